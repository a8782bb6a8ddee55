#include "api/alluxio_runtime.h"

#include "api/kubernetes/types.h"

#define COMPONENT struct alluxio_component

static const struct field alluxio_component_fields[] = {
	FIELD_INT32(COMPONENT, replicas, "replicas", AT_LEAST(1),
		    .doc = "How many masters run; one when unset. It counts for the master alone."),
	FIELD_STRINGS(COMPONENT, jvm_options, "jvmOptions", .doc = "Options of the Java virtual machine."),
	FIELD_STRING_MAP(COMPONENT, properties, "properties",
			 .doc = "Properties of Alluxio for this component, before those of spec.properties."),
	FIELD_JSON(COMPONENT, ports, "ports", &schema_int_map,
		   .doc = "Ports by their purpose: rpc, web, data, embeddedJournal; those unset are chosen."),
	FIELD_JSON(COMPONENT, resources, "resources", &core_v1_resource_requirements,
		   .doc = "What the component asks for and may use."),
	FIELD_STRING_MAP(COMPONENT, env, "env", .doc = "Environment of the component."),
	FIELD_BOOL(COMPONENT, enabled, "enabled",
		   .doc = "Whether the component runs. It counts for the API gateway alone."),
	FIELD_STRING_MAP(COMPONENT, node_selector, "nodeSelector", .doc = "Labels of nodes that may run it."),
	FIELD_STRING(COMPONENT, network_mode, "networkMode", .enums = NETWORK_MODES,
		     .doc = "Whose network the pods use; the host's when unset."),
	FIELD_JSON_LIST(COMPONENT, volume_mounts, "volumeMounts", &core_v1_volume_mount,
			.doc = "Where spec.volumes are mounted in the component."),
	FIELD_STRUCT(COMPONENT, pod_metadata, struct pod_metadata, "podMetadata", &pod_metadata_schema,
		     .doc = "Labels and annotations of the component's pods."),
	FIELD_JSON_LIST(COMPONENT, image_pull_secrets, "imagePullSecrets", &core_v1_local_object_reference,
			.doc = "Secrets for pulling the component's image."),
	FIELD_END,
};
static const struct schema alluxio_component_schema = OBJECT(
	COMPONENT, "AlluxioCompTemplateSpec", alluxio_component_fields, .doc = "How one of Alluxio's servers runs.");

#define FUSE struct alluxio_fuse

static const struct field alluxio_fuse_fields[] = {
	FIELD_STRING(FUSE, version.image, "image", .immutable = true,
		     .doc = "Image of the FUSE server without its tag."),
	FIELD_STRING(FUSE, version.image_tag, "imageTag", .immutable = true, .doc = "Tag of the image."),
	FIELD_STRING(FUSE, version.image_pull_policy, "imagePullPolicy", .immutable = true,
		     .doc = "One of Always, Never, IfNotPresent."),
	FIELD_JSON_LIST(FUSE, image_pull_secrets, "imagePullSecrets", &core_v1_local_object_reference,
			.immutable = true, .doc = "Secrets for pulling the image."),
	FIELD_STRINGS(FUSE, jvm_options, "jvmOptions", .immutable = true,
		      .doc = "Options of the Java virtual machine."),
	FIELD_STRING_MAP(FUSE, properties, "properties", .immutable = true,
			 .doc = "Properties of Alluxio for the FUSE servers, before those of spec.properties."),
	FIELD_STRING_MAP(FUSE, env, "env", .immutable = true, .doc = "Environment of the FUSE server."),
	FIELD_JSON(FUSE, resources, "resources", &core_v1_resource_requirements, .immutable = true,
		   .doc = "What the FUSE server asks for and may use."),
	FIELD_STRINGS(FUSE, args, "args", .immutable = true, .doc = "Arguments of the FUSE server, in place of ours."),
	FIELD_STRING_MAP(FUSE, node_selector, "nodeSelector", .immutable = true,
			 .doc = "Labels of nodes that may run a FUSE server; the volume is usable there alone."),
	FIELD_STRING(FUSE, clean_policy, "cleanPolicy",
		     .doc = "When a node's FUSE server ends: OnRuntimeDeleted (when unset), OnDemand, OnFuseChanged."),
	FIELD_STRING(FUSE, network_mode, "networkMode", .enums = NETWORK_MODES, .immutable = true,
		     .doc = "Whose network the pods use; the host's when unset."),
	FIELD_JSON_LIST(FUSE, volume_mounts, "volumeMounts", &core_v1_volume_mount, .immutable = true,
			.doc = "Where spec.volumes are mounted in the FUSE servers."),
	FIELD_STRUCT(FUSE, pod_metadata, struct pod_metadata, "podMetadata", &pod_metadata_schema, .immutable = true,
		     .doc = "Labels and annotations of the FUSE servers' pods."),
	FIELD_END,
};
static const struct schema alluxio_fuse_schema =
	OBJECT(FUSE, "AlluxioFuseSpec", alluxio_fuse_fields, .doc = "The processes that mount the data on nodes.");

static const struct field alluxio_data_fields[] = {
	FIELD_INT32(struct alluxio_data, replicas, "replicas",
		    .doc = "Copies of a block in the cache; one when unset."),
	FIELD_BOOL(struct alluxio_data, pin, "pin", .doc = "Whether the data is kept in the cache."),
	FIELD_END,
};
static const struct schema alluxio_data_schema =
	OBJECT(struct alluxio_data, "Data", alluxio_data_fields, .doc = "How the data is kept in the cache.");

#define INIT struct init_users_spec

static const struct field init_users_fields[] = {
	FIELD_STRING(INIT, version.image, "image", .doc = "Image without its tag."),
	FIELD_STRING(INIT, version.image_tag, "imageTag", .doc = "Tag of the image."),
	FIELD_STRING(INIT, version.image_pull_policy, "imagePullPolicy", .doc = "One of Always, Never, IfNotPresent."),
	FIELD_STRING_MAP(INIT, env, "env", .doc = "Environment of the container."),
	FIELD_JSON(INIT, resources, "resources", &core_v1_resource_requirements,
		   .doc = "What the container asks for and may use."),
	FIELD_END,
};
static const struct schema init_users_schema =
	OBJECT(INIT, "InitUsersSpec", init_users_fields,
	       .doc = "The container that makes the user of runAs before the servers start.");

#define SPEC struct alluxio_runtime_spec
#define COMPONENT_FIELD(m, json, doc_)                                                                                 \
	FIELD_STRUCT(SPEC, m, COMPONENT, json, &alluxio_component_schema, .immutable = true, .doc = (doc_))

static const struct field alluxio_runtime_spec_fields[] = {
	FIELD_STRUCT(SPEC, alluxio_version, struct version_spec, "alluxioVersion", &version_spec_schema,
		     .immutable = true, .doc = "Image that masters and workers run."),
	COMPONENT_FIELD(master, "master", "The servers that hold the metadata."),
	COMPONENT_FIELD(job_master, "jobMaster", "The servers that plan jobs, one beside each master."),
	COMPONENT_FIELD(worker, "worker", "The servers that hold the data."),
	COMPONENT_FIELD(job_worker, "jobWorker", "The servers that run jobs, one beside each worker."),
	COMPONENT_FIELD(api_gateway, "apiGateway", "The server that offers Alluxio's REST API, beside the master."),
	FIELD_STRUCT(SPEC, init_users, INIT, "initUsers", &init_users_schema, .immutable = true,
		     .doc = "The container that makes the user of runAs before the servers start."),
	FIELD_STRUCT(SPEC, fuse, FUSE, "fuse", &alluxio_fuse_schema,
		     .doc = "The processes that mount the data on nodes."),
	FIELD_STRING_MAP(SPEC, properties, "properties", .immutable = true,
			 .doc = "Properties of Alluxio for all components."),
	FIELD_STRINGS(SPEC, jvm_options, "jvmOptions", .immutable = true,
		      .doc = "Options of the Java virtual machine for all components."),
	FIELD_STRUCT(SPEC, tiered_store, struct tiered_store, "tieredstore", &tiered_store_schema, .immutable = true,
		     .doc = "Where the workers keep the cache."),
	FIELD_STRUCT(SPEC, data, struct alluxio_data, "data", &alluxio_data_schema, .immutable = true,
		     .doc = "How the data is kept in the cache."),
	FIELD_INT32(SPEC, replicas, "replicas", .doc = "How many workers should run."),
	FIELD_OPT_STRUCT(SPEC, run_as, struct user, "runAs", &user_schema, .immutable = true,
			 .doc = "Who the servers run as; root when unset."),
	FIELD_BOOL(SPEC, disable_prometheus, "disablePrometheus", .immutable = true,
		   .doc = "Whether Prometheus is not to scrape the masters."),
	FIELD_STRING(SPEC, hadoop_config, "hadoopConfig", .immutable = true,
		     .doc = "ConfigMap with hdfs-site.xml and core-site.xml for HDFS sources."),
	FIELD_JSON_LIST(SPEC, volumes, "volumes", &core_v1_volume, .immutable = true,
			.doc = "Volumes that volumeMounts of the components name."),
	FIELD_STRUCT(SPEC, pod_metadata, struct pod_metadata, "podMetadata", &pod_metadata_schema, .immutable = true,
		     .doc = "Labels and annotations of all the runtime's pods; a component's own come before them."),
	FIELD_STRUCT(SPEC, management, struct runtime_management, "management", &runtime_management_schema,
		     .doc = "Policies of the runtime's care."),
	FIELD_JSON_LIST(SPEC, image_pull_secrets, "imagePullSecrets", &core_v1_local_object_reference,
			.immutable = true, .doc = "Secrets for pulling the images of components that name none."),
	FIELD_END,
};
static const struct schema alluxio_runtime_spec_schema =
	OBJECT(SPEC, "AlluxioRuntimeSpec", alluxio_runtime_spec_fields, .doc = "How Alluxio should be.");

static const struct field alluxio_runtime_fields[] = {
	FIELDS_OF_TYPE,
	FIELD_STRUCT(struct alluxio_runtime, metadata, struct object_meta, "metadata", &object_meta_schema),
	FIELD_STRUCT(struct alluxio_runtime, spec, SPEC, "spec", &alluxio_runtime_spec_schema,
		     .doc = "How Alluxio should be."),
	FIELD_STRUCT(struct alluxio_runtime, status, struct runtime_status, "status", &runtime_status_schema,
		     .doc = "What the controller saw of it."),
	FIELD_END,
};
static const struct schema alluxio_runtime_schema = OBJECT(
	struct alluxio_runtime, "AlluxioRuntime", alluxio_runtime_fields, .doc = "Alluxio as the cache of a Dataset.");

static const struct column alluxio_runtime_columns[] = {
	MASTER_COLUMNS,
	WORKER_AND_FUSE_COLUMNS,
	PRINTER_COLUMN("API Gateway", "string", 10, ".status.apiGateway.endpoint", "Where the API gateway is."),
	AGE_COLUMN,
	{.name = NULL},
};

const struct kind alluxio_runtime_kind = {
	.resource = {SLUICE_GROUP, SLUICE_API_VERSION, "AlluxioRuntime", "alluxioruntimes", true},
	.list_kind = "AlluxioRuntimeList",
	.singular = "alluxioruntime",
	.short_names = (const char *const[]){"alluxio", NULL},
	.categories = (const char *const[]){"fluid", NULL},
	.schema = &alluxio_runtime_schema,
	.subresources = SUB_STATUS | SUB_SCALE,
	.verbs = VERBS_ALL,
	.scale_spec_path = ".spec.replicas",
	.scale_status_path = ".status.currentWorkerNumberScheduled",
	.scale_selector_path = ".status.selector",
	.columns = alluxio_runtime_columns,
	.doc = "Alluxio as the cache of a Dataset.",
};
