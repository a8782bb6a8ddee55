#include "api/reservoir_runtime.h"

#include "api/kubernetes/types.h"

static const struct field reservoir_worker_fields[] = {
	FIELD_JSON(struct reservoir_worker, resources, "resources", &core_v1_resource_requirements,
		   .doc = "What the worker asks for and may use."),
	FIELD_STRING_MAP(struct reservoir_worker, env, "env", .doc = "Environment of the worker."),
	FIELD_STRING_MAP(struct reservoir_worker, node_selector, "nodeSelector",
			 .doc = "Labels of nodes that may run a worker."),
	FIELD_JSON_LIST(struct reservoir_worker, tolerations, "tolerations", &core_v1_toleration,
			.doc = "Taints of nodes that the workers tolerate, beside the dataset's."),
	FIELD_STRUCT(struct reservoir_worker, pod_metadata, struct pod_metadata, "podMetadata", &pod_metadata_schema,
		     .doc = "Labels and annotations of the workers' pods."),
	FIELD_JSON_LIST(struct reservoir_worker, volume_mounts, "volumeMounts", &core_v1_volume_mount,
			.doc = "Where spec.volumes are mounted in the workers."),
	FIELD_END,
};
static const struct schema reservoir_worker_schema =
	OBJECT(struct reservoir_worker, "ReservoirWorker", reservoir_worker_fields,
	       .doc = "The processes that fetch data and hold the cache.");

static const struct field reservoir_fuse_fields[] = {
	FIELD_STRING(struct reservoir_fuse, clean_policy, "cleanPolicy",
		     .enums = ENUM("OnRuntimeDeleted", "OnDemand", "OnFuseChanged", ""), .dflt = "\"OnRuntimeDeleted\"",
		     .doc = "When a node's FUSE server ends."),
	FIELD_STRING_MAP(struct reservoir_fuse, options, "options", .immutable = true, .doc = "Options of the mount."),
	FIELD_JSON(struct reservoir_fuse, resources, "resources", &core_v1_resource_requirements, .immutable = true,
		   .doc = "What the FUSE server asks for and may use."),
	FIELD_STRING_MAP(struct reservoir_fuse, env, "env", .immutable = true,
			 .doc = "Environment of the FUSE server."),
	FIELD_STRING_MAP(struct reservoir_fuse, node_selector, "nodeSelector", .immutable = true,
			 .doc = "Labels of nodes that may run a FUSE server."),
	FIELD_JSON_LIST(struct reservoir_fuse, tolerations, "tolerations", &core_v1_toleration, .immutable = true,
			.doc = "Taints of nodes that FUSE servers tolerate."),
	FIELD_STRUCT(struct reservoir_fuse, pod_metadata, struct pod_metadata, "podMetadata", &pod_metadata_schema,
		     .immutable = true, .doc = "Labels and annotations of the FUSE servers' pods."),
	FIELD_JSON_LIST(struct reservoir_fuse, volume_mounts, "volumeMounts", &core_v1_volume_mount, .immutable = true,
			.doc = "Where spec.volumes are mounted in the FUSE servers."),
	FIELD_END,
};
static const struct schema reservoir_fuse_schema = OBJECT(struct reservoir_fuse, "ReservoirFuse", reservoir_fuse_fields,
							  .doc = "The processes that mount the data on nodes.");

static const struct field reservoir_freshness_fields[] = {
	FIELD_STRING(struct reservoir_freshness, mode, "mode", .enums = ENUM("Never", "TTL", "OnOpen", "Manual"),
		     .dflt = "\"TTL\"",
		     .doc = "When the source is asked for newer versions: Never, after the TTL, at each open (OnOpen), "
			    "or on demand (Manual)."),
	FIELD_DURATION(struct reservoir_freshness, ttl_ns, "ttl", .dflt = "\"1m\"",
		       .doc = "How long what is known of the source holds, in mode TTL."),
	FIELD_END,
};
static const struct schema reservoir_freshness_schema =
	OBJECT(struct reservoir_freshness, "Freshness", reservoir_freshness_fields,
	       .doc = "How fresh the files of the mount are.");

static const struct field reservoir_fetch_fields[] = {
	FIELD_INT32(struct reservoir_fetch, concurrency, "concurrency", AT_LEAST(1), AT_MOST(1024), .dflt = "16",
		    .doc = "Requests to the source at one time."),
	FIELD_INT32(struct reservoir_fetch, retries, "retries", AT_LEAST(0), AT_MOST(100), .dflt = "3",
		    .doc = "How often a failed request is tried again."),
	FIELD_DURATION(struct reservoir_fetch, timeout_ns, "timeout", .dflt = "\"30s\"",
		       .doc = "How long a request may go without an answer."),
	FIELD_QUANTITY(struct reservoir_fetch, rate_limit, "rateLimit",
		       .doc = "Bytes a second taken from the source; unset: no limit."),
	FIELD_END,
};
static const struct schema reservoir_fetch_schema =
	OBJECT(struct reservoir_fetch, "Fetch", reservoir_fetch_fields, .doc = "How data is fetched from the source.");

#define SPEC struct reservoir_runtime_spec

static const struct field reservoir_runtime_spec_fields[] = {
	FIELD_INT32(SPEC, replicas, "replicas", AT_LEAST(0), .dflt = "1", .doc = "How many workers should run."),
	FIELD_STRUCT(SPEC, tiered_store, struct tiered_store, "tieredstore", &tiered_store_schema, .immutable = true,
		     .doc = "Where the cache keeps its data."),
	FIELD_STRUCT(SPEC, worker, struct reservoir_worker, "worker", &reservoir_worker_schema,
		     .doc = "The processes that fetch data and hold the cache."),
	FIELD_STRUCT(SPEC, fuse, struct reservoir_fuse, "fuse", &reservoir_fuse_schema,
		     .doc = "The processes that mount the data on nodes."),
	FIELD_STRUCT(SPEC, freshness, struct reservoir_freshness, "freshness", &reservoir_freshness_schema,
		     .immutable = true, .doc = "How fresh the files of the mount are."),
	FIELD_QUANTITY(SPEC, block_size, "blockSize", .dflt = "\"4Mi\"", .immutable = true,
		       .doc = "Unit in which data is fetched and kept."),
	FIELD_STRUCT(SPEC, fetch, struct reservoir_fetch, "fetch", &reservoir_fetch_schema, .immutable = true,
		     .doc = "How data is fetched from the source."),
	FIELD_QUANTITY(SPEC, read_ahead, "readAhead", .dflt = "\"32Mi\"", .immutable = true,
		       .doc = "How far a sequential reader is run ahead of, at most; 0 turns it off."),
	FIELD_STRUCT(SPEC, pod_metadata, struct pod_metadata, "podMetadata", &pod_metadata_schema, .immutable = true,
		     .doc = "Labels and annotations of all the runtime's pods."),
	FIELD_OPT_STRUCT(SPEC, run_as, struct user, "runAs", &user_schema, .immutable = true,
			 .doc = "Who the processes run as; root when unset."),
	FIELD_STRUCT(SPEC, management, struct runtime_management, "management", &runtime_management_schema,
		     .doc = "Policies of the runtime's care."),
	FIELD_JSON_LIST(SPEC, volumes, "volumes", &core_v1_volume, .immutable = true,
			.doc = "Volumes that volumeMounts of the worker and the FUSE server name."),
	FIELD_JSON_LIST(SPEC, image_pull_secrets, "imagePullSecrets", &core_v1_local_object_reference,
			.immutable = true, .doc = "Secrets for pulling images."),
	FIELD_BOOL(SPEC, disable_prometheus, "disablePrometheus", .immutable = true,
		   .doc = "Whether no metrics are offered."),
	FIELD_END,
};
static const struct schema reservoir_runtime_spec_schema =
	OBJECT(struct reservoir_runtime_spec, "ReservoirRuntimeSpec", reservoir_runtime_spec_fields,
	       .doc = "How the cache should be.");

static const struct field reservoir_runtime_fields[] = {
	FIELDS_OF_TYPE,
	FIELD_STRUCT(struct reservoir_runtime, metadata, struct object_meta, "metadata", &object_meta_schema),
	FIELD_STRUCT(struct reservoir_runtime, spec, struct reservoir_runtime_spec, "spec",
		     &reservoir_runtime_spec_schema, .doc = "How the cache should be."),
	FIELD_STRUCT(struct reservoir_runtime, status, struct runtime_status, "status", &runtime_status_schema,
		     .doc = "What the controller saw of it."),
	FIELD_END,
};
static const struct schema reservoir_runtime_schema =
	OBJECT(struct reservoir_runtime, "ReservoirRuntime", reservoir_runtime_fields,
	       .doc = "The built-in cache system: files of the source kept on the nodes' own media.");

static const struct column reservoir_runtime_columns[] = {
	WORKER_AND_FUSE_COLUMNS,
	AGE_COLUMN,
	{.name = NULL},
};

const struct kind reservoir_runtime_kind = {
	.resource = {SLUICE_GROUP, SLUICE_API_VERSION, "ReservoirRuntime", "reservoirruntimes", true},
	.list_kind = "ReservoirRuntimeList",
	.singular = "reservoirruntime",
	.short_names = (const char *const[]){"reservoir", NULL},
	.categories = (const char *const[]){"fluid", NULL},
	.schema = &reservoir_runtime_schema,
	.subresources = SUB_STATUS | SUB_SCALE,
	.verbs = VERBS_ALL,
	.scale_spec_path = ".spec.replicas",
	.scale_status_path = ".status.currentWorkerNumberScheduled",
	.scale_selector_path = ".status.selector",
	.columns = reservoir_runtime_columns,
	.doc = "The built-in cache system: files of the source kept on the nodes' own media.",
};
