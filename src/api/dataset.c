#include "api/dataset.h"

#include "api/kubernetes/types.h"
#include "base/str.h"

static const struct field cacheable_node_affinity_fields[] = {
	FIELD_JSON(struct cacheable_node_affinity, required, "required", &core_v1_node_selector,
		   .doc = "Terms that a node must meet to hold the cache."),
	FIELD_END,
};
static const struct schema cacheable_node_affinity_schema =
	OBJECT(struct cacheable_node_affinity, "CacheableNodeAffinity", cacheable_node_affinity_fields,
	       .doc = "Which nodes may hold the cache.");

static const struct field data_restore_location_fields[] = {
	FIELD_STRING(struct data_restore_location, path, "path",
		     .doc = "Directory of the backup, as local:// or pvc://."),
	FIELD_STRING(struct data_restore_location, node_name, "nodeName", .doc = "Node of a local:// directory."),
	FIELD_END,
};
static const struct schema data_restore_location_schema =
	OBJECT(struct data_restore_location, "DataRestoreLocation", data_restore_location_fields,
	       .doc = "Where metadata is restored from.");

static const struct field dataset_runtime_fields[] = {
	FIELD_STRING(struct dataset_runtime, name, "name", .doc = "Name of the runtime."),
	FIELD_STRING(struct dataset_runtime, namespace_, "namespace", .doc = "Namespace of the runtime."),
	FIELD_STRING(struct dataset_runtime, category, "category", .doc = "What the runtime is for: Accelerate."),
	FIELD_STRING(struct dataset_runtime, type, "type", .doc = "Type of the runtime, like reservoir."),
	FIELD_INT32(struct dataset_runtime, master_replicas, "masterReplicas", .doc = "Number of masters."),
	FIELD_END,
};
static const struct schema dataset_runtime_schema =
	OBJECT(struct dataset_runtime, "Runtime", dataset_runtime_fields, .doc = "A runtime that serves the dataset.");

static const struct field dataset_spec_fields[] = {
	FIELD_LIST(struct dataset_spec, mounts, struct mount, "mounts", &mount_schema, .min_items = 1,
		   .doc = "The storages that the dataset is made of."),
	FIELD_OPT_STRUCT(struct dataset_spec, owner, struct user, "owner", &user_schema, .immutable = true,
			 .doc = "Who the files belong to in the mount."),
	FIELD_OPT_STRUCT(struct dataset_spec, node_affinity, struct cacheable_node_affinity, "nodeAffinity",
			 &cacheable_node_affinity_schema, .immutable = true, .doc = "Which nodes may hold the cache."),
	FIELD_JSON_LIST(struct dataset_spec, tolerations, "tolerations", &core_v1_toleration, .immutable = true,
			.doc = "Taints of nodes that the cache's pods tolerate."),
	FIELD_STRINGS(struct dataset_spec, access_modes, "accessModes", .immutable = true,
		      .doc = "Access modes of the volume; ReadOnlyMany when unset."),
	FIELD_LIST(struct dataset_spec, runtimes, struct dataset_runtime, "runtimes", &dataset_runtime_schema,
		   .doc = "Runtimes that serve the dataset; found by name, so it need not be set."),
	FIELD_STRING(struct dataset_spec, placement, "placement", .enums = ENUM("Exclusive", "", "Shared"),
		     .immutable = true, .doc = "Whether a node may hold several datasets; it may not when unset."),
	FIELD_OPT_STRUCT(struct dataset_spec, data_restore_location, struct data_restore_location,
			 "dataRestoreLocation", &data_restore_location_schema, .immutable = true,
			 .doc = "Where metadata is restored from."),
	FIELD_STRING_MAP(struct dataset_spec, shared_options, "sharedOptions",
			 .doc = "Options for every mount; a mount's own come before them."),
	FIELD_LIST(struct dataset_spec, shared_encrypt_options, struct encrypt_option, "sharedEncryptOptions",
		   &encrypt_option_schema, .doc = "Options from Secrets for every mount."),
	FIELD_END,
};
static const struct schema dataset_spec_schema =
	OBJECT(struct dataset_spec, "DatasetSpec", dataset_spec_fields, .doc = "What the user wants to mount.");

static const struct field dataset_condition_fields[] = {
	FIELD_STRING(struct dataset_condition, type, "type", .required = true, .doc = "What the condition is about."),
	FIELD_STRING(struct dataset_condition, status, "status", .required = true, .doc = "True, False or Unknown."),
	FIELD_STRING(struct dataset_condition, reason, "reason", .doc = "The reason in one word."),
	FIELD_STRING(struct dataset_condition, message, "message", .doc = "The reason for people."),
	FIELD_INT64(struct dataset_condition, observed_generation, "observedGeneration",
		    .doc = "The metadata.generation that it speaks of."),
	FIELD_TIME(struct dataset_condition, last_update_time, "lastUpdateTime", .doc = "When it was last written."),
	FIELD_TIME(struct dataset_condition, last_transition_time, "lastTransitionTime",
		   .doc = "When the status last changed."),
	FIELD_END,
};
static const struct schema dataset_condition_schema =
	OBJECT(struct dataset_condition, "DatasetCondition", dataset_condition_fields);

static const struct field hcfs_status_fields[] = {
	FIELD_STRING(struct hcfs_status, endpoint, "endpoint", .doc = "Address for Hadoop compatible clients."),
	FIELD_STRING(struct hcfs_status, underlayer_file_system_version, "underlayerFileSystemVersion",
		     .doc = "Version of the storage underneath."),
	FIELD_END,
};
static const struct schema hcfs_status_schema = OBJECT(struct hcfs_status, "HCFSStatus", hcfs_status_fields);

static const struct field dataset_status_fields[] = {
	FIELD_LIST(struct dataset_status, mounts, struct mount, "mounts", &mount_schema,
		   .doc = "The storages that are mounted."),
	FIELD_STRING(struct dataset_status, ufs_total, "ufsTotal", .doc = "Size of the data in its storages."),
	FIELD_STRING(struct dataset_status, phase, "phase",
		     .doc = "NotBound, Bound, Failed, Updating or DataMigrating."),
	FIELD_LIST(struct dataset_status, runtimes, struct dataset_runtime, "runtimes", &dataset_runtime_schema,
		   .doc = "Runtimes that are bound to the dataset."),
	FIELD_LIST(struct dataset_status, conditions, struct dataset_condition, "conditions", &dataset_condition_schema,
		   .required = true, .doc = "What is true of the dataset now."),
	FIELD_STRING_MAP(struct dataset_status, cache_states, "cacheStates", .doc = "Figures of the cache."),
	FIELD_OPT_STRUCT(struct dataset_status, hcfs, struct hcfs_status, "hcfs", &hcfs_status_schema,
			 .doc = "How Hadoop compatible clients reach the data."),
	FIELD_STRING(struct dataset_status, file_num, "fileNum", .doc = "Number of files."),
	FIELD_STRING(struct dataset_status, data_load_ref, "dataLoadRef",
		     .doc = "DataLoad that holds the dataset; not used any more."),
	FIELD_STRING(struct dataset_status, data_backup_ref, "dataBackupRef",
		     .doc = "DataBackup that holds the dataset; not used any more."),
	FIELD_STRING_MAP(struct dataset_status, operation_ref, "operationRef",
			 .doc = "Data operations that hold the dataset, by type."),
	FIELD_STRINGS(struct dataset_status, dataset_ref, "datasetRef",
		      .doc = "Datasets that mount this one, as namespace/name."),
	FIELD_END,
};
static const struct schema dataset_status_schema = OBJECT(struct dataset_status, "DatasetStatus", dataset_status_fields,
							  .doc = "What the controllers saw of the dataset.");

static const struct field dataset_fields[] = {
	FIELDS_OF_TYPE,
	FIELD_STRUCT(struct dataset, metadata, struct object_meta, "metadata", &object_meta_schema),
	FIELD_STRUCT(struct dataset, spec, struct dataset_spec, "spec", &dataset_spec_schema,
		     .doc = "What the user wants to mount."),
	FIELD_STRUCT(struct dataset, status, struct dataset_status, "status", &dataset_status_schema,
		     .doc = "What the controllers saw of it."),
	FIELD_END,
};
static const struct schema dataset_schema =
	OBJECT(struct dataset, "Dataset", dataset_fields,
	       .doc = "Data that programs mount, with a cache in front of its storage.");

static const struct column dataset_columns[] = {
	PRINTER_COLUMN("Ufs Total Size", "string", 0, ".status.ufsTotal", "Size of the data in its storages."),
	PRINTER_COLUMN("Cached", "string", 0, ".status.cacheStates.cached", "Bytes in the cache."),
	PRINTER_COLUMN("Cache Capacity", "string", 0, ".status.cacheStates.cacheCapacity", "Size of the cache."),
	PRINTER_COLUMN("Cached Percentage", "string", 0, ".status.cacheStates.cachedPercentage",
		       "Share of the data that is in the cache."),
	PRINTER_COLUMN("Phase", "string", 0, ".status.phase", "Whether the dataset can be used."),
	PRINTER_COLUMN("HCFS URL", "string", 10, ".status.hcfs.endpoint", "Address for Hadoop compatible clients."),
	PRINTER_COLUMN("TOTAL FILES", "string", 11, ".status.fileNum", "Number of files."),
	PRINTER_COLUMN("CACHE HIT RATIO", "string", 10, ".status.cacheStates.cacheHitRatio",
		       "Share of the reads that the cache answered."),
	AGE_COLUMN,
	{.name = NULL},
};

const struct kind dataset_kind = {
	.resource = {SLUICE_GROUP, SLUICE_API_VERSION, "Dataset", "datasets", true},
	.list_kind = "DatasetList",
	.singular = "dataset",
	.short_names = (const char *const[]){"dataset", NULL},
	.categories = (const char *const[]){"fluid", NULL},
	.schema = &dataset_schema,
	.subresources = SUB_STATUS,
	.verbs = VERBS_ALL,
	.columns = dataset_columns,
	.doc = "Data that programs mount, with a cache in front of its storage.",
};

bool dataset_is_shared(const struct dataset *d)
{
	return str_same(d->spec.placement, "Shared");
}
