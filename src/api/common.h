/*
 * What the kinds of data.fluid.io share: object metadata as controllers read it, mounts, tiered storage, management, the status of runtimes.
 */
#pragma once

#include "api/field.h"
#include "api/kind.h"

#define SLUICE_GROUP       "data.fluid.io"
#define SLUICE_API_VERSION "v1alpha1"

/** metadata, as far as code reads it by name; the rest stays in the JSON object. */
struct object_meta {
	const char *name, *namespace_, *uid, *resource_version;
	const char *creation_timestamp, *deletion_timestamp; /* deletion_timestamp: NULL while not being deleted */
	int64_t generation;
	struct string_map labels, annotations;
	struct string_list finalizers;
	const json_t *owner_references;
};

struct pod_metadata {
	struct string_map labels, annotations;
};

/** An image given as Fluid does: name and tag apart. */
struct version_spec {
	const char *image, *image_tag, *image_pull_policy;
};

struct secret_key_ref {
	const char *name, *key;
};

struct encrypt_option_source {
	struct secret_key_ref secret_key_ref;
};

/** A mount option whose value lies in a Secret. */
struct encrypt_option {
	const char *name;
	struct encrypt_option_source value_from;
};
typedef LIST_OF(struct encrypt_option) encrypt_option_list;

/** One source of a Dataset. */
struct mount {
	const char *mount_point, *name, *path;
	struct string_map options;
	bool read_only, shared;
	encrypt_option_list encrypt_options;
};
typedef LIST_OF(struct mount) mount_list;

struct user {
	int64_t uid, gid;
	const char *user, *group;
};

struct tiered_store_level {
	const char *medium_type;     /* MEM, SSD, HDD */
	const char *volume_type;     /* hostPath (default), emptyDir */
	const json_t *volume_source; /* core.v1.VolumeSource */
	const char *path;            /* one or several, comma separated */
	const char *quota;           /* shared by the paths */
	const char *quota_list;      /* one each, comma separated */
	const char *high, *low;      /* watermarks, "0.95" */
};

struct tiered_store {
	LIST_OF(struct tiered_store_level) levels;
};

struct clean_cache_policy {
	int32_t grace_period_seconds, max_retry_attempts;
};

struct metadata_sync_policy {
	const bool *auto_sync; /* NULL: yes */
};

struct runtime_management {
	struct clean_cache_policy clean_cache_policy;
	struct metadata_sync_policy metadata_sync_policy;
};

struct runtime_condition {
	const char *type, *status, *reason, *message, *last_probe_time, *last_transition_time;
	int64_t observed_generation;
};

struct api_gateway_status {
	const char *endpoint;
};

/** status of every runtime kind. */
struct runtime_status {
	const char *value_file;
	const char *master_phase, *master_reason;
	const char *worker_phase, *worker_reason;
	const char *fuse_phase, *fuse_reason;
	int32_t desired_master_number_scheduled, current_master_number_scheduled, master_number_ready;
	int32_t desired_worker_number_scheduled, current_worker_number_scheduled;
	int32_t worker_number_ready, worker_number_available, worker_number_unavailable;
	int32_t desired_fuse_number_scheduled, current_fuse_number_scheduled;
	int32_t fuse_number_ready, fuse_number_available, fuse_number_unavailable;
	const char *setup_duration, *selector, *mount_time;
	LIST_OF(struct runtime_condition) conditions;
	struct string_map cache_states;
	struct api_gateway_status api_gateway;
	mount_list mounts;
	const json_t *cache_affinity; /* core.v1.NodeAffinity */
};

/* Their tables. */
extern const struct schema pod_metadata_schema, version_spec_schema, secret_key_ref_schema, encrypt_option_schema,
	mount_schema, user_schema, tiered_store_schema, tiered_store_level_schema, clean_cache_policy_schema,
	runtime_management_schema, runtime_condition_schema, runtime_status_schema;

/* Values of a runtime's network mode; "" and absent mean the host's. */
#define NETWORK_MODES ENUM("HostNetwork", "", "ContainerNetwork")

/* Columns that runtime kinds have in common. */
#define MASTER_COLUMNS                                                                                                 \
	PRINTER_COLUMN("Ready Masters", "integer", 10, ".status.masterNumberReady", "Masters that are ready."),        \
		PRINTER_COLUMN("Desired Masters", "integer", 10, ".status.desiredMasterNumberScheduled",               \
			       "Masters that should run."),                                                            \
		PRINTER_COLUMN("Master Phase", "string", 0, ".status.masterPhase", "Phase of the masters.")
#define WORKER_AND_FUSE_COLUMNS                                                                                        \
	PRINTER_COLUMN("Ready Workers", "integer", 10, ".status.workerNumberReady", "Workers that are ready."),        \
		PRINTER_COLUMN("Desired Workers", "integer", 10, ".status.desiredWorkerNumberScheduled",               \
			       "Workers that should run."),                                                            \
		PRINTER_COLUMN("Worker Phase", "string", 0, ".status.workerPhase", "Phase of the workers."),           \
		PRINTER_COLUMN("Ready Fuses", "integer", 10, ".status.fuseNumberReady",                                \
			       "FUSE servers that are ready."),                                                        \
		PRINTER_COLUMN("Desired Fuses", "integer", 10, ".status.desiredFuseNumberScheduled",                   \
			       "FUSE servers that should run."),                                                       \
		PRINTER_COLUMN("Fuse Phase", "string", 0, ".status.fusePhase", "Phase of the FUSE servers.")
#define AGE_COLUMN PRINTER_COLUMN("Age", "date", 0, ".metadata.creationTimestamp", "When it was created.")
