#include "api/data_operation.h"

#include "api/kubernetes/types.h"

/* --- what operations share ------------------------------------------------------------------------------------------------------ */

#define OPERATION_KINDS ENUM("DataLoad", "DataBackup", "DataMigrate", "DataProcess")
#define REF             struct operation_object_ref

/* As Fluid, one table for a reference that stands alone, and its members again where it is spread into another object. */
#define REF_FIELDS(T, prefix)                                                                                          \
	FIELD_STRING(T, prefix api_version, "apiVersion", .doc = "API version of the operation."),                     \
		FIELD_STRING(T, prefix kind, "kind", .required = true, .enums = OPERATION_KINDS,                       \
			     .doc = "Kind of the operation."),                                                         \
		FIELD_STRING(T, prefix name, "name", .required = true, .doc = "Name of the operation."),               \
		FIELD_STRING(T, prefix namespace_, "namespace",                                                        \
			     .doc = "Namespace of the operation; that of this one when unset.")

static const struct field operation_object_ref_fields[] = {
	REF_FIELDS(REF, ),
	FIELD_END,
};
static const struct schema operation_object_ref_schema =
	OBJECT(REF, "ObjectRef", operation_object_ref_fields, .doc = "A data operation.");

static const struct field operation_prefer_fields[] = {
	FIELD_STRING(struct operation_prefer, name, "name", .required = true, .doc = "Label of nodes."),
	FIELD_INT32(struct operation_prefer, weight, "weight", .required = true,
		    .doc = "How much it counts, from 1 to 100."),
	FIELD_END,
};
static const struct schema operation_prefer_schema = OBJECT(struct operation_prefer, "Prefer", operation_prefer_fields);

static const struct field operation_require_fields[] = {
	FIELD_STRING(struct operation_require, name, "name", .required = true, .doc = "Label of nodes."),
	FIELD_END,
};
static const struct schema operation_require_schema =
	OBJECT(struct operation_require, "Require", operation_require_fields);

#define AFFINITY struct operation_affinity

static const struct field operation_affinity_fields[] = {
	FIELD_OPT_STRUCT(AFFINITY, depend_on, REF, "dependOn", &operation_object_ref_schema,
			 .doc = "The operation whose nodes count; the one of runAfter when unset."),
	FIELD_STRING(AFFINITY, policy, "policy",
		     .doc = "Require or Prefer the nodes where that operation ran; when unset they do not count."),
	FIELD_LIST(AFFINITY, prefers, struct operation_prefer, "prefers", &operation_prefer_schema,
		   .doc = "Labels whose value should be that of those nodes."),
	FIELD_LIST(AFFINITY, requires, struct operation_require, "requires", &operation_require_schema,
		   .doc = "Labels whose value must be that of those nodes."),
	FIELD_END,
};
static const struct schema operation_affinity_schema = OBJECT(AFFINITY, "AffinityStrategy", operation_affinity_fields);

static const struct field operation_run_after_fields[] = {
	REF_FIELDS(struct operation_run_after, ref.),
	FIELD_STRUCT(struct operation_run_after, affinity, AFFINITY, "affinityStrategy", &operation_affinity_schema,
		     .doc = "Where the pods run, as seen from that operation."),
	FIELD_END,
};
static const struct schema operation_run_after_schema =
	OBJECT(struct operation_run_after, "OperationRef", operation_run_after_fields);

#define CONDITION struct operation_condition

static const struct field operation_condition_fields[] = {
	FIELD_STRING(CONDITION, type, "type", .required = true, .doc = "Complete or Failed."),
	FIELD_STRING(CONDITION, status, "status", .required = true, .doc = "True, False or Unknown."),
	FIELD_STRING(CONDITION, reason, "reason", .doc = "The reason in one word."),
	FIELD_STRING(CONDITION, message, "message", .doc = "The reason for people."),
	FIELD_TIME(CONDITION, last_probe_time, "lastProbeTime", .doc = "When it was last looked at."),
	FIELD_TIME(CONDITION, last_transition_time, "lastTransitionTime", .doc = "When the status last changed."),
	FIELD_END,
};
static const struct schema operation_condition_schema = OBJECT(CONDITION, "Condition", operation_condition_fields);

static const struct field operation_waiting_fields[] = {
	FIELD_OPT_BOOL(struct operation_waiting, operation_complete, "operationComplete",
		       .doc = "Whether the operation of runAfter is still to be completed."),
	FIELD_END,
};
static const struct schema operation_waiting_schema =
	OBJECT(struct operation_waiting, "WaitingStatus", operation_waiting_fields);

#define STATUS struct operation_status

static const struct field operation_status_fields[] = {
	FIELD_STRING(STATUS, phase, "phase", .required = true, .doc = "Pending, Executing, Complete or Failed."),
	FIELD_STRING(STATUS, duration, "duration", .required = true, .doc = "How long it took, or Unfinished."),
	FIELD_LIST(STATUS, conditions, CONDITION, "conditions", &operation_condition_schema, .required = true,
		   .doc = "How it ended."),
	FIELD_STRING_MAP(STATUS, infos, "infos", .doc = "What else is to be told of this kind of operation."),
	FIELD_TIME(STATUS, last_schedule_time, "lastScheduleTime", .doc = "When the schedule last started it."),
	FIELD_TIME(STATUS, last_successful_time, "lastSuccessfulTime", .doc = "When it last ended well."),
	FIELD_STRUCT(STATUS, waiting_for, struct operation_waiting, "waitingFor", &operation_waiting_schema,
		     .doc = "What it waits for."),
	FIELD_JSON(STATUS, node_affinity, "nodeAffinity", &core_v1_node_affinity,
		   .doc = "Nodes where it ran, for operations after it."),
	FIELD_END,
};
static const struct schema operation_status_schema =
	OBJECT(STATUS, "OperationStatus", operation_status_fields, .doc = "What the controller saw of the operation.");

#define RUN_AFTER_FIELD(T, m)                                                                                          \
	FIELD_OPT_STRUCT(T, m, struct operation_run_after, "runAfter", &operation_run_after_schema, .immutable = true, \
			 .doc = "The operation that has to be complete first.")
#define TTL_FIELD(T, m)                                                                                                \
	FIELD_OPT_INT32(T, m, "ttlSecondsAfterFinished",                                                               \
			.doc = "How long the object stays once it has ended; for ever when unset.")
#define TIMING_FIELDS(T)                                                                                               \
	FIELD_STRING(T, timing.policy, "policy", .enums = ENUM("Once", "Cron", "OnEvent"), .dflt = "\"Once\"",         \
		     .immutable = true, .doc = "When it runs: Once, by the schedule (Cron), or OnEvent."),             \
		FIELD_STRING(T, timing.schedule, "schedule", .immutable = true,                                        \
			     .doc = "The schedule of Cron, as CronJobs have it."),                                     \
		RUN_AFTER_FIELD(T, timing.run_after), TTL_FIELD(T, timing.ttl_seconds_after_finished)
#define POD_FIELDS(T)                                                                                                  \
	FIELD_STRUCT(T, pods.pod_metadata, struct pod_metadata, "podMetadata", &pod_metadata_schema,                   \
		     .immutable = true, .doc = "Labels and annotations of the pods."),                                 \
		FIELD_JSON(T, pods.affinity, "affinity", &core_v1_affinity, .immutable = true,                         \
			   .doc = "Which nodes the pods may run on, and beside which pods."),                          \
		FIELD_JSON_LIST(T, pods.tolerations, "tolerations", &core_v1_toleration, .immutable = true,            \
				.doc = "Taints of nodes that the pods tolerate."),                                     \
		FIELD_STRING_MAP(T, pods.node_selector, "nodeSelector", .immutable = true,                             \
				 .doc = "Labels of nodes that may run the pods."),                                     \
		FIELD_STRING(T, pods.scheduler_name, "schedulerName", .immutable = true,                               \
			     .doc = "Scheduler of the pods."),                                                         \
		FIELD_JSON(T, pods.resources, "resources", &core_v1_resource_requirements, .immutable = true,          \
			   .doc = "What a pod asks for and may use.")

#define OBJECT_FIELDS(T, spec_type, spec_table, doc_)                                                                  \
	FIELDS_OF_TYPE, FIELD_STRUCT(T, metadata, struct object_meta, "metadata", &object_meta_schema),                \
		FIELD_STRUCT(T, spec, spec_type, "spec", &(spec_table), .doc = (doc_)),                                \
		FIELD_STRUCT(T, status, STATUS, "status", &operation_status_schema,                                    \
			     .doc = "What the controller saw of it.")

#define PHASE_COLUMN    PRINTER_COLUMN("Phase", "string", 0, ".status.phase", "How far it is.")
#define DURATION_COLUMN PRINTER_COLUMN("Duration", "string", 0, ".status.duration", "How long it took.")

/* --- DataLoad ------------------------------------------------------------------------------------------------------------------- */

static const struct field target_dataset_fields[] = {
	FIELD_STRING(struct target_dataset, name, "name", .required = true, .doc = "Name of the Dataset."),
	FIELD_STRING(struct target_dataset, namespace_, "namespace",
		     .doc = "Namespace of the Dataset, which has to be the operation's own."),
	FIELD_END,
};
static const struct schema target_dataset_schema =
	OBJECT(struct target_dataset, "TargetDataset", target_dataset_fields);

static const struct field data_load_target_fields[] = {
	FIELD_STRING(struct data_load_target, path, "path", .required = true, .doc = "Path inside the Dataset."),
	FIELD_INT32(struct data_load_target, replicas, "replicas", .doc = "Copies in the cache; one when unset."),
	FIELD_END,
};
static const struct schema data_load_target_schema =
	OBJECT(struct data_load_target, "TargetPath", data_load_target_fields);

#define LOAD struct data_load_spec

static const struct field data_load_spec_fields[] = {
	FIELD_STRUCT(LOAD, dataset, struct target_dataset, "dataset", &target_dataset_schema, .immutable = true,
		     .doc = "The Dataset whose data is loaded."),
	FIELD_BOOL(LOAD, load_metadata, "loadMetadata", .immutable = true,
		   .doc = "Whether the source is asked for what is new first."),
	FIELD_LIST(LOAD, target, struct data_load_target, "target", &data_load_target_schema, .immutable = true,
		   .doc = "What is loaded; everything when unset."),
	FIELD_STRING_MAP(LOAD, options, "options", .immutable = true, .doc = "Options of the cache system's loader."),
	POD_FIELDS(LOAD),
	TIMING_FIELDS(LOAD),
	FIELD_END,
};
static const struct schema data_load_spec_schema =
	OBJECT(LOAD, "DataLoadSpec", data_load_spec_fields, .doc = "What is loaded, when and how.");

static const struct field data_load_fields[] = {
	OBJECT_FIELDS(struct data_load, LOAD, data_load_spec_schema, "What is loaded, when and how."),
	FIELD_END,
};
static const struct schema data_load_schema =
	OBJECT(struct data_load, "DataLoad", data_load_fields, .doc = "Brings data of a Dataset into its cache.");

static const struct column data_load_columns[] = {
	PRINTER_COLUMN("Dataset", "string", 0, ".spec.dataset.name", "The Dataset whose data is loaded."),
	PHASE_COLUMN,
	AGE_COLUMN,
	DURATION_COLUMN,
	{.name = NULL},
};

#define OPERATION_KIND(kind_, singular_, plural_)                                                                      \
	.resource = {SLUICE_GROUP, SLUICE_API_VERSION, kind_, plural_, true}, .list_kind = kind_ "List",               \
	.singular = (singular_), .subresources = SUB_STATUS, .verbs = VERBS_ALL

const struct kind data_load_kind = {
	OPERATION_KIND("DataLoad", "dataload", "dataloads"),
	.short_names = (const char *const[]){"load", NULL},
	.categories = (const char *const[]){"fluid", NULL},
	.schema = &data_load_schema,
	.columns = data_load_columns,
	.doc = "Brings data of a Dataset into its cache.",
};

/* --- DataBackup ----------------------------------------------------------------------------------------------------------------- */

#define BACKUP struct data_backup_spec

static const struct field data_backup_spec_fields[] = {
	FIELD_STRING(BACKUP, dataset, "dataset", .immutable = true,
		     .doc = "Name of the Dataset whose metadata is kept."),
	FIELD_STRING(BACKUP, backup_path, "backupPath", .immutable = true,
		     .doc = "Directory of the backup, as local:///DIRECTORY or pvc://CLAIM/DIRECTORY."),
	FIELD_OPT_STRUCT(BACKUP, run_as, struct user, "runAs", &user_schema, .immutable = true,
			 .doc = "Who writes the backup; root when unset."),
	RUN_AFTER_FIELD(BACKUP, run_after),
	TTL_FIELD(BACKUP, ttl_seconds_after_finished),
	FIELD_END,
};
static const struct schema data_backup_spec_schema =
	OBJECT(BACKUP, "DataBackupSpec", data_backup_spec_fields, .doc = "What is kept, and where.");

static const struct field data_backup_fields[] = {
	OBJECT_FIELDS(struct data_backup, BACKUP, data_backup_spec_schema, "What is kept, and where."),
	FIELD_END,
};
static const struct schema data_backup_schema =
	OBJECT(struct data_backup, "DataBackup", data_backup_fields, .doc = "Keeps the metadata of a Dataset's cache.");

static const struct column data_backup_columns[] = {
	PRINTER_COLUMN("Dataset", "string", 0, ".spec.dataset", "The Dataset whose metadata is kept."),
	PHASE_COLUMN,
	PRINTER_COLUMN("Path", "string", 0, ".status.infos.BackupLocationPath", "Where the backup is."),
	PRINTER_COLUMN("NodeName", "string", 0, ".status.infos.BackupLocationNodeName", "On which node it is."),
	DURATION_COLUMN,
	AGE_COLUMN,
	{.name = NULL},
};

const struct kind data_backup_kind = {
	OPERATION_KIND("DataBackup", "databackup", "databackups"),
	.short_names = (const char *const[]){"backup", NULL},
	.categories = (const char *const[]){"fluid", NULL},
	.schema = &data_backup_schema,
	.columns = data_backup_columns,
	.doc = "Keeps the metadata of a Dataset's cache.",
};

/* --- DataMigrate ---------------------------------------------------------------------------------------------------------------- */

static const struct field dataset_to_migrate_fields[] = {
	FIELD_STRING(struct dataset_to_migrate, name, "name", .required = true, .doc = "Name of the Dataset."),
	FIELD_STRING(struct dataset_to_migrate, namespace_, "namespace", .required = true,
		     .doc = "Namespace of the Dataset."),
	FIELD_STRING(struct dataset_to_migrate, path, "path", .doc = "Path inside it; all of it when unset."),
	FIELD_END,
};
static const struct schema dataset_to_migrate_schema =
	OBJECT(struct dataset_to_migrate, "DatasetToMigrate", dataset_to_migrate_fields);

static const struct field external_storage_fields[] = {
	FIELD_STRING(struct external_storage, uri, "uri", .required = true,
		     .doc = "Where the data lies, as scheme://place."),
	FIELD_LIST(struct external_storage, encrypt_options, struct encrypt_option, "encryptOptions",
		   &encrypt_option_schema, .doc = "Options whose values come from Secrets."),
	FIELD_END,
};
static const struct schema external_storage_schema =
	OBJECT(struct external_storage, "ExternalStorage", external_storage_fields);

static const struct field data_to_migrate_fields[] = {
	FIELD_OPT_STRUCT(struct data_to_migrate, dataset, struct dataset_to_migrate, "dataset",
			 &dataset_to_migrate_schema, .doc = "A Dataset."),
	FIELD_OPT_STRUCT(struct data_to_migrate, external_storage, struct external_storage, "externalStorage",
			 &external_storage_schema, .doc = "A storage that no Dataset has."),
	FIELD_END,
};
static const struct schema data_to_migrate_schema =
	OBJECT(struct data_to_migrate, "DataToMigrate", data_to_migrate_fields);

#define MIGRATE struct data_migrate_spec

static const struct field data_migrate_spec_fields[] = {
	FIELD_STRING(MIGRATE, version.image, "image", .immutable = true, .doc = "Image without its tag."),
	FIELD_STRING(MIGRATE, version.image_tag, "imageTag", .immutable = true, .doc = "Tag of the image."),
	FIELD_STRING(MIGRATE, version.image_pull_policy, "imagePullPolicy", .immutable = true,
		     .doc = "One of Always, Never, IfNotPresent."),
	FIELD_STRUCT(MIGRATE, from, struct data_to_migrate, "from", &data_to_migrate_schema, .required = true,
		     .immutable = true, .doc = "Where the data comes from."),
	FIELD_STRUCT(MIGRATE, to, struct data_to_migrate, "to", &data_to_migrate_schema, .required = true,
		     .immutable = true, .doc = "Where the data goes."),
	FIELD_BOOL(MIGRATE, block, "block", .immutable = true, .doc = "Whether the Dataset may not be used meanwhile."),
	FIELD_STRING(MIGRATE, runtime_type, "runtimeType", .immutable = true,
		     .doc = "Type of the runtime that does it, where both ends are Datasets."),
	FIELD_STRING_MAP(MIGRATE, options, "options", .immutable = true, .doc = "Options of the tool that copies."),
	FIELD_STRING_MAP(MIGRATE, parallel_options, "parallelOptions", .immutable = true,
			 .doc = "How several pods reach each other: sshSecretName, sshPort, sshReadyTimeoutSeconds."),
	FIELD_INT32(MIGRATE, parallelism, "parallelism", AT_LEAST(1), .dflt = "1", .immutable = true,
		    .doc = "How many pods copy."),
	POD_FIELDS(MIGRATE),
	TIMING_FIELDS(MIGRATE),
	FIELD_END,
};
static const struct schema data_migrate_spec_schema =
	OBJECT(MIGRATE, "DataMigrateSpec", data_migrate_spec_fields, .doc = "What is copied, when and how.");

static const struct field data_migrate_fields[] = {
	OBJECT_FIELDS(struct data_migrate, MIGRATE, data_migrate_spec_schema, "What is copied, when and how."),
	FIELD_END,
};
static const struct schema data_migrate_schema = OBJECT(struct data_migrate, "DataMigrate", data_migrate_fields,
							.doc = "Copies data between a Dataset and another storage.");

static const struct column data_migrate_columns[] = {
	PHASE_COLUMN,
	AGE_COLUMN,
	DURATION_COLUMN,
	{.name = NULL},
};

const struct kind data_migrate_kind = {
	OPERATION_KIND("DataMigrate", "datamigrate", "datamigrates"),
	.short_names = (const char *const[]){"migrate", NULL},
	.categories = (const char *const[]){"fluid", NULL},
	.schema = &data_migrate_schema,
	.columns = data_migrate_columns,
	.doc = "Copies data between a Dataset and another storage.",
};

/* --- DataProcess ---------------------------------------------------------------------------------------------------------------- */

#define MOUNTED struct dataset_with_mount_path

static const struct field dataset_with_mount_path_fields[] = {
	FIELD_STRING(MOUNTED, name, "name", .required = true, .doc = "Name of the Dataset."),
	FIELD_STRING(MOUNTED, namespace_, "namespace",
		     .doc = "Namespace of the Dataset, which has to be the operation's own."),
	FIELD_STRING(MOUNTED, mount_path, "mountPath", .required = true, .doc = "Where the pod has it."),
	FIELD_STRING(MOUNTED, sub_path, "subPath", .doc = "Path inside it that is mounted; all of it when unset."),
	FIELD_END,
};
static const struct schema dataset_with_mount_path_schema =
	OBJECT(MOUNTED, "TargetDatasetWithMountPath", dataset_with_mount_path_fields);

static const struct field job_processor_fields[] = {
	FIELD_JSON(struct job_processor, pod_spec, "podSpec", &core_v1_pod_spec,
		   .doc = "The pod; the Dataset's volume is added to it."),
	FIELD_END,
};
static const struct schema job_processor_schema = OBJECT(struct job_processor, "JobProcessor", job_processor_fields);

#define SCRIPT struct script_processor

static const struct field script_processor_fields[] = {
	FIELD_STRING(SCRIPT, version.image, "image", .doc = "Image without its tag."),
	FIELD_STRING(SCRIPT, version.image_tag, "imageTag", .doc = "Tag of the image."),
	FIELD_STRING(SCRIPT, version.image_pull_policy, "imagePullPolicy",
		     .doc = "One of Always, Never, IfNotPresent."),
	FIELD_STRING(SCRIPT, restart_policy, "restartPolicy", .enums = ENUM("Never", "OnFailure"), .dflt = "\"Never\"",
		     .doc = "Whether a container that failed starts again."),
	FIELD_STRINGS(SCRIPT, command, "command", .doc = "What reads the script; the script is its last argument."),
	FIELD_STRING(SCRIPT, source, "source", .required = true, .doc = "Text of the script."),
	FIELD_JSON_LIST(SCRIPT, env, "env", &core_v1_env_var, .doc = "Environment of the script."),
	FIELD_JSON_LIST(SCRIPT, volume_mounts, "volumeMounts", &core_v1_volume_mount,
			.doc = "Where volumes are mounted."),
	FIELD_JSON_LIST(SCRIPT, volumes, "volumes", &core_v1_volume, .doc = "Volumes beside the Dataset's."),
	FIELD_JSON(SCRIPT, resources, "resources", &core_v1_resource_requirements,
		   .doc = "What the script asks for and may use."),
	FIELD_END,
};
static const struct schema script_processor_schema = OBJECT(SCRIPT, "ScriptProcessor", script_processor_fields);

static const struct field processor_fields[] = {
	FIELD_STRUCT(struct processor, pod_metadata, struct pod_metadata, "podMetadata", &pod_metadata_schema,
		     .doc = "Labels and annotations of the pod."),
	FIELD_STRING(struct processor, service_account_name, "serviceAccountName", .doc = "ServiceAccount of the pod."),
	FIELD_OPT_STRUCT(struct processor, job, struct job_processor, "job", &job_processor_schema,
			 .doc = "A pod of your own; one of job and script is to be given."),
	FIELD_OPT_STRUCT(struct processor, script, SCRIPT, "script", &script_processor_schema,
			 .doc = "A script; one of job and script is to be given."),
	FIELD_END,
};
static const struct schema processor_schema = OBJECT(struct processor, "Processor", processor_fields);

#define PROCESS struct data_process_spec

static const struct field data_process_spec_fields[] = {
	FIELD_STRUCT(PROCESS, dataset, MOUNTED, "dataset", &dataset_with_mount_path_schema, .required = true,
		     .immutable = true, .doc = "The Dataset that is worked on, and where the pod has it."),
	FIELD_STRUCT(PROCESS, processor, struct processor, "processor", &processor_schema, .required = true,
		     .immutable = true, .doc = "What is done."),
	TIMING_FIELDS(PROCESS),
	FIELD_END,
};
static const struct schema data_process_spec_schema =
	OBJECT(PROCESS, "DataProcessSpec", data_process_spec_fields, .doc = "What is done, when and how.");

static const struct field data_process_fields[] = {
	OBJECT_FIELDS(struct data_process, PROCESS, data_process_spec_schema, "What is done, when and how."),
	FIELD_END,
};
static const struct schema data_process_schema =
	OBJECT(struct data_process, "DataProcess", data_process_fields, .doc = "Runs a pod on the data of a Dataset.");

static const struct column data_process_columns[] = {
	PRINTER_COLUMN("Dataset", "string", 0, ".spec.dataset.name", "The Dataset that is worked on."),
	PHASE_COLUMN,
	AGE_COLUMN,
	DURATION_COLUMN,
	{.name = NULL},
};

const struct kind data_process_kind = {
	OPERATION_KIND("DataProcess", "dataprocess", "dataprocesses"),
	.schema = &data_process_schema,
	.columns = data_process_columns,
	.doc = "Runs a pod on the data of a Dataset.",
};
