/* ReservoirRuntime: the built-in cache engine's kind. Fields that other runtimes have too mean the same here. */
#pragma once

#include "api/common.h"
#include "api/kind.h"

struct reservoir_worker {
	const json_t *resources; /* core.v1.ResourceRequirements */
	struct string_map env;
	struct string_map node_selector;
	const json_t *tolerations; /* [core.v1.Toleration] */
	struct pod_metadata pod_metadata;
	const json_t *volume_mounts; /* [core.v1.VolumeMount] */
};

struct reservoir_fuse {
	const char *clean_policy; /* OnRuntimeDeleted (default), OnDemand, OnFuseChanged */
	struct string_map options;
	const json_t *resources;
	struct string_map env;
	struct string_map node_selector;
	const json_t *tolerations;
	struct pod_metadata pod_metadata;
	const json_t *volume_mounts;
};

struct reservoir_freshness {
	const char *mode; /* Never, TTL (default), OnOpen, Manual */
	int64_t ttl_ns;
};

struct reservoir_fetch {
	int32_t concurrency, retries;
	int64_t timeout_ns;
	const char *rate_limit; /* bytes a second; NULL: none */
};

struct reservoir_runtime_spec {
	int32_t replicas;
	struct tiered_store tiered_store;
	struct reservoir_worker worker;
	struct reservoir_fuse fuse;
	struct reservoir_freshness freshness;
	const char *block_size; /* quantity, default 4Mi */
	struct reservoir_fetch fetch;
	const char *read_ahead; /* quantity; "0": none */
	struct pod_metadata pod_metadata;
	const struct user *run_as; /* NULL: root */
	struct runtime_management management;
	const json_t *volumes;            /* [core.v1.Volume] */
	const json_t *image_pull_secrets; /* [core.v1.LocalObjectReference] */
	bool disable_prometheus;
};

/** schema_decode(reservoir_runtime_kind.schema, ...) fills it. */
struct reservoir_runtime {
	struct object_meta metadata;
	struct reservoir_runtime_spec spec;
	struct runtime_status status;
};
