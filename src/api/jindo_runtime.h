/* JindoRuntime: JindoCache as the cache. Names, defaults and columns are Fluid's. */
#pragma once

#include "api/common.h"
#include "api/kind.h"

/** Master or worker. */
struct jindo_component {
	int32_t replicas; /* of masters; 0: unset, one */
	struct string_map properties;
	const json_t *ports;     /* {"rpc": 8101, ...} */
	const json_t *resources; /* core.v1.ResourceRequirements */
	struct string_map env;
	struct string_map node_selector;
	const json_t *tolerations; /* [core.v1.Toleration] */
	struct string_map labels;  /* deprecated: pod_metadata.labels; never both */
	struct pod_metadata pod_metadata;
	bool disabled;
	const json_t *volume_mounts;      /* [core.v1.VolumeMount] */
	const json_t *image_pull_secrets; /* [core.v1.LocalObjectReference] */
};

struct client_metrics {
	bool enabled;
	const char *scrape_target; /* MountPod, Sidecar, All, None, with commas between; NULL: None */
};

struct jindo_fuse {
	struct version_spec version; /* its members stand in the JSON object itself */
	const json_t *image_pull_secrets;
	struct string_map properties;
	struct string_map env;
	const json_t *resources;
	struct string_list args;
	struct string_map node_selector;
	const json_t *tolerations;
	struct string_map labels; /* deprecated */
	struct pod_metadata pod_metadata;
	const char *clean_policy; /* NULL, "" and "OnRuntimeDeleted" mean the same; "OnDemand", "OnFuseChanged" */
	bool disabled;
	struct string_map log_config;
	struct client_metrics metrics;
};

struct jindo_runtime_spec {
	struct version_spec jindo_version;
	struct jindo_component master, worker;
	struct jindo_fuse fuse;
	struct string_map properties;
	struct tiered_store tiered_store;
	int32_t replicas; /* of workers */
	const struct user *run_as;
	const char *user;
	const char *hadoop_config; /* name of a ConfigMap */
	const char *secret;        /* name of a Secret */
	struct string_map labels;  /* deprecated */
	struct pod_metadata pod_metadata;
	struct string_map log_config;
	const char *network_mode; /* NULL, "", "HostNetwork", "ContainerNetwork"; the first three mean the host's */
	struct clean_cache_policy clean_cache_policy;
	const json_t *volumes; /* [core.v1.Volume] */
	const json_t *image_pull_secrets;
};

/** schema_decode(jindo_runtime_kind.schema, ...) fills it. */
struct jindo_runtime {
	struct object_meta metadata;
	struct jindo_runtime_spec spec;
	struct runtime_status status;
};
