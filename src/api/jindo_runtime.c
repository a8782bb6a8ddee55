#include "api/jindo_runtime.h"

#include "api/kubernetes/types.h"

#define COMPONENT struct jindo_component

static const struct field jindo_component_fields[] = {
	FIELD_INT32(COMPONENT, replicas, "replicas", AT_LEAST(1), .immutable = true,
		    .doc = "How many masters run, one or three; one when unset. It counts for the master alone."),
	FIELD_STRING_MAP(COMPONENT, properties, "properties", .immutable = true,
			 .doc = "Configuration of the component; it comes before what is set for it."),
	FIELD_JSON(COMPONENT, ports, "ports", &schema_int_map, .immutable = true,
		   .doc = "Ports by their purpose: rpc, raft; those unset are chosen."),
	FIELD_JSON(COMPONENT, resources, "resources", &core_v1_resource_requirements,
		   .doc = "What the component asks for and may use; a change holds for pods made after it."),
	FIELD_STRING_MAP(COMPONENT, env, "env", .immutable = true, .doc = "Environment of the component."),
	FIELD_STRING_MAP(COMPONENT, node_selector, "nodeSelector", .immutable = true,
			 .doc = "Labels of nodes that may run it."),
	FIELD_JSON_LIST(COMPONENT, tolerations, "tolerations", &core_v1_toleration, .immutable = true,
			.doc = "Taints of nodes that the pods tolerate, beside the dataset's."),
	FIELD_STRING_MAP(COMPONENT, labels, "labels", .immutable = true,
			 .doc = "Deprecated: use podMetadata.labels, not both."),
	FIELD_STRUCT(COMPONENT, pod_metadata, struct pod_metadata, "podMetadata", &pod_metadata_schema,
		     .immutable = true, .doc = "Labels and annotations of the component's pods."),
	FIELD_BOOL(COMPONENT, disabled, "disabled", .immutable = true,
		   .doc = "Whether the component does not run; master and worker only together."),
	FIELD_JSON_LIST(COMPONENT, volume_mounts, "volumeMounts", &core_v1_volume_mount, .immutable = true,
			.doc = "Where spec.volumes are mounted in the component."),
	FIELD_JSON_LIST(COMPONENT, image_pull_secrets, "imagePullSecrets", &core_v1_local_object_reference,
			.immutable = true, .doc = "Secrets for pulling the component's image."),
	FIELD_END,
};
static const struct schema jindo_component_schema =
	OBJECT(COMPONENT, "JindoCompTemplateSpec", jindo_component_fields, .doc = "How masters or workers run.");

static const struct field client_metrics_fields[] = {
	FIELD_BOOL(struct client_metrics, enabled, "enabled", .immutable = true,
		   .doc = "Whether FUSE servers offer metrics."),
	FIELD_STRING(struct client_metrics, scrape_target, "scrapeTarget",
		     .doc = "Which FUSE servers Prometheus is to scrape: MountPod, Sidecar, All or None, several with "
			    "commas between; None when unset."),
	FIELD_END,
};
static const struct schema client_metrics_schema =
	OBJECT(struct client_metrics, "ClientMetrics", client_metrics_fields, .doc = "Metrics of the FUSE servers.");

#define FUSE struct jindo_fuse

static const struct field jindo_fuse_fields[] = {
	FIELD_STRING(FUSE, version.image, "image", .immutable = true,
		     .doc = "Image of the FUSE server without its tag."),
	FIELD_STRING(FUSE, version.image_tag, "imageTag", .immutable = true, .doc = "Tag of the image."),
	FIELD_STRING(FUSE, version.image_pull_policy, "imagePullPolicy", .immutable = true,
		     .doc = "One of Always, Never, IfNotPresent."),
	FIELD_JSON_LIST(FUSE, image_pull_secrets, "imagePullSecrets", &core_v1_local_object_reference,
			.immutable = true, .doc = "Secrets for pulling the image."),
	FIELD_STRING_MAP(FUSE, properties, "properties", .immutable = true,
			 .doc = "Configuration of the FUSE servers; it comes before what is set for them."),
	FIELD_STRING_MAP(FUSE, env, "env", .immutable = true, .doc = "Environment of the FUSE server."),
	FIELD_JSON(FUSE, resources, "resources", &core_v1_resource_requirements,
		   .doc = "What the FUSE server asks for and may use; a change holds for pods made after it."),
	FIELD_STRINGS(FUSE, args, "args", .immutable = true, .doc = "Arguments of the FUSE server, in place of ours."),
	FIELD_STRING_MAP(FUSE, node_selector, "nodeSelector", .immutable = true,
			 .doc = "Labels of nodes that may run a FUSE server; the volume is usable there alone."),
	FIELD_JSON_LIST(FUSE, tolerations, "tolerations", &core_v1_toleration, .immutable = true,
			.doc = "Taints of nodes that FUSE servers tolerate; they tolerate all anyway."),
	FIELD_STRING_MAP(FUSE, labels, "labels", .immutable = true,
			 .doc = "Deprecated: use podMetadata.labels, not both."),
	FIELD_STRUCT(FUSE, pod_metadata, struct pod_metadata, "podMetadata", &pod_metadata_schema, .immutable = true,
		     .doc = "Labels and annotations of the FUSE servers' pods."),
	FIELD_STRING(FUSE, clean_policy, "cleanPolicy",
		     .doc = "When a node's FUSE server ends: OnRuntimeDeleted (when unset), OnDemand, OnFuseChanged."),
	FIELD_BOOL(FUSE, disabled, "disabled", .immutable = true, .doc = "Whether no FUSE server runs."),
	FIELD_STRING_MAP(FUSE, log_config, "logConfig", .immutable = true, .doc = "Logging of the FUSE servers."),
	FIELD_STRUCT(FUSE, metrics, struct client_metrics, "metrics", &client_metrics_schema,
		     .doc = "Metrics of the FUSE servers."),
	FIELD_END,
};
static const struct schema jindo_fuse_schema =
	OBJECT(FUSE, "JindoFuseSpec", jindo_fuse_fields, .doc = "The processes that mount the data on nodes.");

#define SPEC struct jindo_runtime_spec

static const struct field jindo_runtime_spec_fields[] = {
	FIELD_STRUCT(SPEC, jindo_version, struct version_spec, "jindoVersion", &version_spec_schema, .immutable = true,
		     .doc = "Image that masters and workers run."),
	FIELD_STRUCT(SPEC, master, COMPONENT, "master", &jindo_component_schema,
		     .doc = "The servers that hold the metadata."),
	FIELD_STRUCT(SPEC, worker, COMPONENT, "worker", &jindo_component_schema,
		     .doc = "The servers that hold the data."),
	FIELD_STRUCT(SPEC, fuse, FUSE, "fuse", &jindo_fuse_schema,
		     .doc = "The processes that mount the data on nodes."),
	FIELD_STRING_MAP(SPEC, properties, "properties", .immutable = true,
			 .doc = "Configuration of all components; a component's own comes before it."),
	FIELD_STRUCT(SPEC, tiered_store, struct tiered_store, "tieredstore", &tiered_store_schema, .immutable = true,
		     .doc = "Where the workers keep the cache; memory of 1Gi when unset."),
	FIELD_INT32(SPEC, replicas, "replicas", .doc = "How many workers should run."),
	FIELD_OPT_STRUCT(SPEC, run_as, struct user, "runAs", &user_schema, .immutable = true,
			 .doc = "Who the servers run as; root when unset."),
	FIELD_STRING(SPEC, user, "user", .immutable = true, .doc = "User name that the servers act as."),
	FIELD_STRING(SPEC, hadoop_config, "hadoopConfig", .immutable = true,
		     .doc = "ConfigMap with hdfs-site.xml and core-site.xml for HDFS sources."),
	FIELD_STRING(SPEC, secret, "secret", .immutable = true, .doc = "Secret with the credentials for the sources."),
	FIELD_STRING_MAP(SPEC, labels, "labels", .immutable = true,
			 .doc = "Deprecated: use podMetadata.labels, not both."),
	FIELD_STRUCT(SPEC, pod_metadata, struct pod_metadata, "podMetadata", &pod_metadata_schema, .immutable = true,
		     .doc = "Labels and annotations of all the runtime's pods; a component's own come before them."),
	FIELD_STRING_MAP(SPEC, log_config, "logConfig", .immutable = true, .doc = "Logging of masters and workers."),
	FIELD_STRING(SPEC, network_mode, "networkmode", .enums = NETWORK_MODES, .immutable = true,
		     .doc = "Whose network the pods use; the host's when unset."),
	FIELD_STRUCT(SPEC, clean_cache_policy, struct clean_cache_policy, "cleanCachePolicy",
		     &clean_cache_policy_schema, .doc = "How the cache is cleaned when the runtime is deleted."),
	FIELD_JSON_LIST(SPEC, volumes, "volumes", &core_v1_volume, .immutable = true,
			.doc = "Volumes that volumeMounts of the components name."),
	FIELD_JSON_LIST(SPEC, image_pull_secrets, "imagePullSecrets", &core_v1_local_object_reference,
			.immutable = true, .doc = "Secrets for pulling the images of components that name none."),
	FIELD_END,
};
static const struct schema jindo_runtime_spec_schema =
	OBJECT(SPEC, "JindoRuntimeSpec", jindo_runtime_spec_fields, .doc = "How JindoCache should be.");

static const struct field jindo_runtime_fields[] = {
	FIELDS_OF_TYPE,
	FIELD_STRUCT(struct jindo_runtime, metadata, struct object_meta, "metadata", &object_meta_schema),
	FIELD_STRUCT(struct jindo_runtime, spec, SPEC, "spec", &jindo_runtime_spec_schema,
		     .doc = "How JindoCache should be."),
	FIELD_STRUCT(struct jindo_runtime, status, struct runtime_status, "status", &runtime_status_schema,
		     .doc = "What the controller saw of it."),
	FIELD_END,
};
static const struct schema jindo_runtime_schema = OBJECT(struct jindo_runtime, "JindoRuntime", jindo_runtime_fields,
							 .doc = "JindoCache as the cache of a Dataset.");

static const struct column jindo_runtime_columns[] = {
	MASTER_COLUMNS,
	WORKER_AND_FUSE_COLUMNS,
	AGE_COLUMN,
	{.name = NULL},
};

const struct kind jindo_runtime_kind = {
	.resource = {SLUICE_GROUP, SLUICE_API_VERSION, "JindoRuntime", "jindoruntimes", true},
	.list_kind = "JindoRuntimeList",
	.singular = "jindoruntime",
	.short_names = (const char *const[]){"jindo", NULL},
	.categories = (const char *const[]){"fluid", NULL},
	.schema = &jindo_runtime_schema,
	.subresources = SUB_STATUS | SUB_SCALE,
	.verbs = VERBS_ALL,
	.scale_spec_path = ".spec.replicas",
	.scale_status_path = ".status.currentWorkerNumberScheduled",
	.columns = jindo_runtime_columns,
	.doc = "JindoCache as the cache of a Dataset.",
};
