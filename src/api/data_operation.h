/*
 * Data operations: work that is done once, by a schedule, or after another operation, on the data of a Dataset. Names, defaults and columns
 * are Fluid's.
 */
#pragma once

#include "api/common.h"
#include "api/kind.h"

/** An operation that another one refers to. */
struct operation_object_ref {
	const char *api_version, *kind, *name, *namespace_;
};

struct operation_prefer {
	const char *name; /* label of nodes */
	int32_t weight;
};

struct operation_require {
	const char *name; /* label of nodes */
};

/** Where the pods of an operation should run, as seen from the one before it. */
struct operation_affinity {
	const struct operation_object_ref *depend_on; /* NULL: the one of run_after */
	const char *policy;                           /* NULL, "", "Require", "Prefer" */
	LIST_OF(struct operation_prefer) prefers;
	LIST_OF(struct operation_require) requires;
};

struct operation_run_after {
	struct operation_object_ref ref; /* its members stand in the JSON object itself */
	struct operation_affinity affinity;
};

struct operation_condition {
	const char *type, *status, *reason, *message, *last_probe_time, *last_transition_time;
};

struct operation_waiting {
	const bool *operation_complete; /* NULL: waits for nothing */
};

/** status of every data operation. */
struct operation_status {
	const char *phase, *duration;
	LIST_OF(struct operation_condition) conditions;
	struct string_map infos;
	const char *last_schedule_time, *last_successful_time;
	struct operation_waiting waiting_for;
	const json_t *node_affinity; /* core.v1.NodeAffinity */
};

/** What the pods of an operation have in common. */
struct operation_pods {
	struct pod_metadata pod_metadata;
	const json_t *affinity;    /* core.v1.Affinity */
	const json_t *tolerations; /* [core.v1.Toleration] */
	struct string_map node_selector;
	const char *scheduler_name;
	const json_t *resources; /* core.v1.ResourceRequirements */
};

/** When an operation runs. */
struct operation_timing {
	const char *policy;   /* "Once" (default), "Cron", "OnEvent" */
	const char *schedule; /* of Cron */
	const struct operation_run_after *run_after;
	const int32_t *ttl_seconds_after_finished;
};

struct target_dataset {
	const char *name, *namespace_;
};

struct data_load_target {
	const char *path;
	int32_t replicas; /* 0: unset, one */
};

struct data_load_spec {
	struct target_dataset dataset;
	bool load_metadata;
	LIST_OF(struct data_load_target) target;
	struct string_map options;
	struct operation_pods pods;
	struct operation_timing timing;
};

/** schema_decode(data_load_kind.schema, ...) fills it; so with the others. */
struct data_load {
	struct object_meta metadata;
	struct data_load_spec spec;
	struct operation_status status;
};

struct data_backup_spec {
	const char *dataset, *backup_path;
	const struct user *run_as;
	const struct operation_run_after *run_after;
	const int32_t *ttl_seconds_after_finished;
};

struct data_backup {
	struct object_meta metadata;
	struct data_backup_spec spec;
	struct operation_status status;
};

struct dataset_to_migrate {
	const char *name, *namespace_, *path;
};

struct external_storage {
	const char *uri;
	encrypt_option_list encrypt_options;
};

/** One end of a migration: one of the two. */
struct data_to_migrate {
	const struct dataset_to_migrate *dataset;
	const struct external_storage *external_storage;
};

struct data_migrate_spec {
	struct version_spec version; /* its members stand in the JSON object itself */
	struct data_to_migrate from, to;
	bool block;
	const char *runtime_type;
	struct string_map options, parallel_options;
	int32_t parallelism;
	struct operation_pods pods;
	struct operation_timing timing;
};

struct data_migrate {
	struct object_meta metadata;
	struct data_migrate_spec spec;
	struct operation_status status;
};

struct dataset_with_mount_path {
	const char *name, *namespace_, *mount_path, *sub_path;
};

struct job_processor {
	const json_t *pod_spec; /* core.v1.PodSpec */
};

struct script_processor {
	struct version_spec version; /* its members stand in the JSON object itself */
	const char *restart_policy;  /* "Never" (default), "OnFailure" */
	struct string_list command;
	const char *source;
	const json_t *env;           /* [core.v1.EnvVar] */
	const json_t *volume_mounts; /* [core.v1.VolumeMount] */
	const json_t *volumes;       /* [core.v1.Volume] */
	const json_t *resources;
};

/** One of job and script. */
struct processor {
	struct pod_metadata pod_metadata;
	const char *service_account_name;
	const struct job_processor *job;
	const struct script_processor *script;
};

struct data_process_spec {
	struct dataset_with_mount_path dataset;
	struct processor processor;
	struct operation_timing timing;
};

struct data_process {
	struct object_meta metadata;
	struct data_process_spec spec;
	struct operation_status status;
};
