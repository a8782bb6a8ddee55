#include "api/rclone_runtime.h"

#include "api/kubernetes/types.h"

#define WORKER struct rclone_worker
static const struct field rclone_worker_fields[] = {
	FIELD_JSON(WORKER, resources, "resources", &core_v1_resource_requirements,
		   .doc = "What the worker asks for and may use."),
	FIELD_STRING_MAP(WORKER, node_selector, "nodeSelector", .doc = "Labels of nodes that may run a worker."),
	FIELD_JSON_LIST(WORKER, tolerations, "tolerations", &core_v1_toleration,
			.doc = "Taints of nodes that the workers tolerate, beside the dataset's."),
	FIELD_END,
};
static const struct schema rclone_worker_schema = OBJECT(
	WORKER, "RcloneWorker", rclone_worker_fields, .doc = "The processes that read the source and hold the cache.");

#define SPEC struct rclone_runtime_spec
static const struct field rclone_runtime_spec_fields[] = {
	FIELD_INT32(SPEC, replicas, "replicas", AT_LEAST(0), .dflt = "1", .doc = "How many workers should run."),
	FIELD_STRING(SPEC, image, "image", .immutable = true, .dflt = "\"sluice.local/host\"",
		     .doc = "Image with rclone and a shell; the default is the one-machine cluster's own machine."),
	FIELD_QUANTITY(SPEC, cache_size, "cacheSize", .dflt = "\"1Gi\"",
		       .doc = "How much of the source a worker keeps on its node's disk."),
	FIELD_DURATION(SPEC, directory_cache_time_ns, "directoryCacheTime", .dflt = "\"1m\"",
		       .doc = "How long what is known of the source's directories holds."),
	FIELD_STRUCT(SPEC, worker, WORKER, "worker", &rclone_worker_schema, .doc = "The workers."),
	FIELD_END,
};
static const struct schema rclone_runtime_spec_schema =
	OBJECT(SPEC, "RcloneRuntimeSpec", rclone_runtime_spec_fields, .doc = "How the source is served.");

static const struct field rclone_runtime_fields[] = {
	FIELDS_OF_TYPE,
	FIELD_STRUCT(struct rclone_runtime, metadata, struct object_meta, "metadata", &object_meta_schema),
	FIELD_STRUCT(struct rclone_runtime, spec, SPEC, "spec", &rclone_runtime_spec_schema,
		     .doc = "How the source is served."),
	FIELD_STRUCT(struct rclone_runtime, status, struct runtime_status, "status", &runtime_status_schema,
		     .doc = "What the controller saw of it."),
	FIELD_END,
};
static const struct schema rclone_runtime_schema =
	OBJECT(struct rclone_runtime, "RcloneRuntime", rclone_runtime_fields,
	       .doc = "A source served by rclone, read through a cache on the nodes' disks.");

static const struct column rclone_runtime_columns[] = {WORKER_AND_FUSE_COLUMNS, AGE_COLUMN, {.name = NULL}};

const struct kind rclone_runtime_kind = {
	.resource = {SLUICE_GROUP, SLUICE_API_VERSION, "RcloneRuntime", "rcloneruntimes", true},
	.list_kind = "RcloneRuntimeList",
	.singular = "rcloneruntime",
	.short_names = (const char *const[]){"rclone", NULL},
	.categories = (const char *const[]){"fluid", NULL},
	.schema = &rclone_runtime_schema,
	.subresources = SUB_STATUS | SUB_SCALE,
	.verbs = VERBS_ALL,
	.scale_spec_path = ".spec.replicas",
	.scale_status_path = ".status.currentWorkerNumberScheduled",
	.scale_selector_path = ".status.selector",
	.columns = rclone_runtime_columns,
	.doc = "A source served by rclone, read through a cache on the nodes' disks.",
};
