#include "sample_runtime.h"

#include "api/kubernetes/types.h"

#define SPEC struct sample_runtime_spec
static const struct field sample_runtime_spec_fields[] = {
	FIELD_INT32(SPEC, replicas, "replicas", AT_LEAST(0), .dflt = "1", .doc = "How many workers should run."),
	FIELD_STRING(SPEC, image, "image", .immutable = true, .dflt = "\"sluice.local/host\"",
		     .doc = "Image of workers and mounts; the default is the one-machine cluster's own machine."),
	FIELD_STRING_MAP(SPEC, node_selector, "nodeSelector", .doc = "Labels of nodes that may run a worker."),
	FIELD_JSON_LIST(SPEC, tolerations, "tolerations", &core_v1_toleration,
			.doc = "Taints of nodes that the workers tolerate, beside the dataset's."),
	FIELD_END,
};
static const struct schema sample_runtime_spec_schema =
	OBJECT(SPEC, "SampleRuntimeSpec", sample_runtime_spec_fields, .doc = "What is wanted.");

static const struct field sample_runtime_fields[] = {
	FIELDS_OF_TYPE,
	FIELD_STRUCT(struct sample_runtime, metadata, struct object_meta, "metadata", &object_meta_schema),
	FIELD_STRUCT(struct sample_runtime, spec, SPEC, "spec", &sample_runtime_spec_schema, .doc = "What is wanted."),
	FIELD_STRUCT(struct sample_runtime, status, struct runtime_status, "status", &runtime_status_schema,
		     .doc = "What the controller saw of it."),
	FIELD_END,
};
static const struct schema sample_runtime_schema =
	OBJECT(struct sample_runtime, "SampleRuntime", sample_runtime_fields, .doc = "SampleRuntime.");

static const struct column sample_runtime_columns[] = {WORKER_AND_FUSE_COLUMNS, AGE_COLUMN, {.name = NULL}};

const struct kind sample_runtime_kind = {
	.resource = {"data.fluid.io", "v1alpha1", "SampleRuntime", "sampleruntimes", true},
	.list_kind = "SampleRuntimeList",
	.singular = "sampleruntime",
	.categories = (const char *const[]){"fluid", NULL},
	.schema = &sample_runtime_schema,
	.subresources = SUB_STATUS | SUB_SCALE,
	.verbs = VERBS_ALL,
	.scale_spec_path = ".spec.replicas",
	.scale_status_path = ".status.currentWorkerNumberScheduled",
	.scale_selector_path = ".status.selector",
	.columns = sample_runtime_columns,
	.doc = "SampleRuntime.",
};
