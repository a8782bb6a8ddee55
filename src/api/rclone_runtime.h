/* RcloneRuntime: a source served by Debian's rclone. The model to read beside docs/add-a-runtime.md. */
#pragma once

#include "api/common.h"
#include "api/kind.h"

struct rclone_worker {
	const json_t *resources; /* core.v1.ResourceRequirements */
	struct string_map node_selector;
	const json_t *tolerations; /* [core.v1.Toleration] */
};

struct rclone_runtime_spec {
	int32_t replicas;
	const char *image;      /* that has rclone and a shell */
	const char *cache_size; /* quantity, of one worker */
	int64_t directory_cache_time_ns;
	struct rclone_worker worker;
};

/** schema_decode(rclone_runtime_kind.schema, ...) fills it. */
struct rclone_runtime {
	struct object_meta metadata;
	struct rclone_runtime_spec spec;
	struct runtime_status status;
};

extern const struct kind rclone_runtime_kind;
