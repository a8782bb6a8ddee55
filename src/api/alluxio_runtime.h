/* AlluxioRuntime: Alluxio as the cache. Names, defaults and columns are Fluid's. */
#pragma once

#include "api/common.h"
#include "api/kind.h"

/** One of Alluxio's servers: master, job master, worker, job worker, API gateway. */
struct alluxio_component {
	int32_t replicas; /* of masters; 0: unset, one */
	struct string_list jvm_options;
	struct string_map properties;
	const json_t *ports;     /* {"rpc": 19998, ...} */
	const json_t *resources; /* core.v1.ResourceRequirements */
	struct string_map env;
	bool enabled; /* of the API gateway */
	struct string_map node_selector;
	const char *network_mode;    /* NULL, "", "HostNetwork", "ContainerNetwork"; the first three mean the host's */
	const json_t *volume_mounts; /* [core.v1.VolumeMount] */
	struct pod_metadata pod_metadata;
	const json_t *image_pull_secrets; /* [core.v1.LocalObjectReference] */
};

struct alluxio_fuse {
	struct version_spec version; /* its members stand in the JSON object itself */
	const json_t *image_pull_secrets;
	struct string_list jvm_options;
	struct string_map properties;
	struct string_map env;
	const json_t *resources;
	struct string_list args;
	struct string_map node_selector;
	const char *clean_policy; /* NULL, "" and "OnRuntimeDeleted" mean the same; "OnDemand", "OnFuseChanged" */
	const char *network_mode;
	const json_t *volume_mounts;
	struct pod_metadata pod_metadata;
};

struct alluxio_data {
	int32_t replicas; /* 0: unset, one */
	bool pin;
};

/** The image that makes users before the servers start. */
struct init_users_spec {
	struct version_spec version; /* its members stand in the JSON object itself */
	struct string_map env;
	const json_t *resources;
};

struct alluxio_runtime_spec {
	struct version_spec alluxio_version;
	struct alluxio_component master, job_master, worker, job_worker, api_gateway;
	struct init_users_spec init_users;
	struct alluxio_fuse fuse;
	struct string_map properties;
	struct string_list jvm_options;
	struct tiered_store tiered_store;
	struct alluxio_data data;
	int32_t replicas;          /* of workers */
	const struct user *run_as; /* NULL: root */
	bool disable_prometheus;
	const char *hadoop_config; /* name of a ConfigMap */
	const json_t *volumes;     /* [core.v1.Volume] */
	struct pod_metadata pod_metadata;
	struct runtime_management management;
	const json_t *image_pull_secrets;
};

/** schema_decode(alluxio_runtime_kind.schema, ...) fills it. */
struct alluxio_runtime {
	struct object_meta metadata;
	struct alluxio_runtime_spec spec;
	struct runtime_status status;
};
