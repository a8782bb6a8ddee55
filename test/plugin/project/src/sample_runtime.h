/* SampleRuntime: what can be asked for. The tables in sample_runtime.c describe the same fields for the API. */
#pragma once

#include "api/common.h"
#include "api/kind.h"

struct sample_runtime_spec {
	int32_t replicas;
	const char *image;
	struct string_map node_selector; /* of workers */
	const json_t *tolerations;       /* of workers: [core.v1.Toleration] */
};

/** schema_decode(sample_runtime_kind.schema, ...) fills it. */
struct sample_runtime {
	struct object_meta metadata;
	struct sample_runtime_spec spec;
	struct runtime_status status;
};

extern const struct kind sample_runtime_kind;
