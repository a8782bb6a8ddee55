/* Dataset: the data a user wants to mount, wherever it lies. Names, defaults and columns are Fluid's. */
#pragma once

#include "api/common.h"
#include "api/kind.h"

/* status.phase */
#define DATASET_PHASE_NONE           ""
#define DATASET_PHASE_PENDING        "Pending"
#define DATASET_PHASE_NOT_BOUND      "NotBound"
#define DATASET_PHASE_BOUND          "Bound"
#define DATASET_PHASE_FAILED         "Failed"
#define DATASET_PHASE_UPDATING       "Updating"
#define DATASET_PHASE_DATA_MIGRATING "DataMigrating"

struct cacheable_node_affinity {
	const json_t *required; /* core.v1.NodeSelector */
};

struct data_restore_location {
	const char *path, *node_name;
};

struct dataset_runtime {
	const char *name, *namespace_, *category, *type;
	int32_t master_replicas;
};
typedef LIST_OF(struct dataset_runtime) dataset_runtime_list;

struct dataset_spec {
	mount_list mounts;
	const struct user *owner;                            /* NULL: none */
	const struct cacheable_node_affinity *node_affinity; /* NULL: none */
	const json_t *tolerations;                           /* [core.v1.Toleration] */
	struct string_list access_modes;                     /* empty: ReadOnlyMany */
	dataset_runtime_list runtimes;
	const char *placement; /* NULL, "", "Exclusive", "Shared"; the first two mean Exclusive */
	const struct data_restore_location *data_restore_location; /* NULL: none */
	struct string_map shared_options;
	encrypt_option_list shared_encrypt_options;
};

struct dataset_condition {
	const char *type, *status, *reason, *message, *last_update_time, *last_transition_time;
	int64_t observed_generation;
};

struct hcfs_status {
	const char *endpoint, *underlayer_file_system_version;
};

struct dataset_status {
	mount_list mounts;
	const char *ufs_total, *phase, *file_num;
	dataset_runtime_list runtimes;
	LIST_OF(struct dataset_condition) conditions;
	struct string_map cache_states;
	const struct hcfs_status *hcfs; /* NULL: none */
	const char *data_load_ref, *data_backup_ref;
	struct string_map operation_ref;
	struct string_list dataset_ref;
};

/** schema_decode(dataset_kind.schema, ...) fills it. */
struct dataset {
	struct object_meta metadata;
	struct dataset_spec spec;
	struct dataset_status status;
};

/** Whether several datasets may share a node (spec.placement). */
bool dataset_is_shared(const struct dataset *d);
