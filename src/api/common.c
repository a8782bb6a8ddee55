#include "api/common.h"

#include <string.h>

#include "api/kubernetes/types.h"

const char *string_map_get(const struct string_map *m, const char *key)
{
	for (size_t i = 0; i < m->n; i++)
		if (strcmp(m->v[i].key, key) == 0)
			return m->v[i].value;
	return NULL;
}

static const struct field pod_metadata_fields[] = {
	FIELD_STRING_MAP(struct pod_metadata, labels, "labels", .doc = "Labels added to the pods."),
	FIELD_STRING_MAP(struct pod_metadata, annotations, "annotations", .doc = "Annotations added to the pods."),
	FIELD_END,
};
const struct schema pod_metadata_schema = OBJECT(struct pod_metadata, "PodMetadata", pod_metadata_fields,
						 .doc = "Labels and annotations for pods that the runtime makes.");

static const struct field version_spec_fields[] = {
	FIELD_STRING(struct version_spec, image, "image", .doc = "Image without its tag."),
	FIELD_STRING(struct version_spec, image_tag, "imageTag", .doc = "Tag of the image."),
	FIELD_STRING(struct version_spec, image_pull_policy, "imagePullPolicy",
		     .doc = "One of Always, Never, IfNotPresent."),
	FIELD_END,
};
const struct schema version_spec_schema = OBJECT(struct version_spec, "VersionSpec", version_spec_fields,
						 .doc = "An image, its tag and when to pull it.");

static const struct field secret_key_ref_fields[] = {
	FIELD_STRING(struct secret_key_ref, name, "name", .required = true, .doc = "Name of the Secret."),
	FIELD_STRING(struct secret_key_ref, key, "key", .doc = "Key inside the Secret."),
	FIELD_END,
};
const struct schema secret_key_ref_schema = OBJECT(struct secret_key_ref, "SecretKeySelector", secret_key_ref_fields,
						   .doc = "A key of a Secret in the same namespace.");

static const struct field encrypt_option_source_fields[] = {
	FIELD_STRUCT(struct encrypt_option_source, secret_key_ref, struct secret_key_ref, "secretKeyRef",
		     &secret_key_ref_schema, .doc = "The Secret's key that holds the value."),
	FIELD_END,
};
static const struct schema encrypt_option_source_schema =
	OBJECT(struct encrypt_option_source, "EncryptOptionSource", encrypt_option_source_fields);

static const struct field encrypt_option_fields[] = {
	FIELD_STRING(struct encrypt_option, name, "name", .required = true, .doc = "Name of the option."),
	FIELD_STRUCT(struct encrypt_option, value_from, struct encrypt_option_source, "valueFrom",
		     &encrypt_option_source_schema, .doc = "Where the value lies."),
	FIELD_END,
};
const struct schema encrypt_option_schema = OBJECT(struct encrypt_option, "EncryptOption", encrypt_option_fields,
						   .doc = "A mount option whose value is kept in a Secret.");

static const struct field mount_fields[] = {
	FIELD_STRING(struct mount, mount_point, "mountPoint", .required = true, .min_length = 5,
		     .doc = "Where the data lies, as scheme://place."),
	FIELD_STRING_MAP(struct mount, options, "options", .doc = "Options of the connector, a name and a value each."),
	FIELD_STRING(struct mount, name, "name", .doc = "Name of the mount; its path is /NAME unless path is set."),
	FIELD_STRING(struct mount, path, "path", .doc = "Absolute path of the mount inside the dataset."),
	FIELD_BOOL(struct mount, read_only, "readOnly", .doc = "Whether the source may only be read."),
	FIELD_BOOL(struct mount, shared, "shared", .doc = "Whether several users share the mount."),
	FIELD_LIST(struct mount, encrypt_options, struct encrypt_option, "encryptOptions", &encrypt_option_schema,
		   .doc = "Options whose values come from Secrets."),
	FIELD_END,
};
const struct schema mount_schema =
	OBJECT(struct mount, "Mount", mount_fields, .doc = "One storage that a dataset is made of.");

static const struct field user_fields[] = {
	FIELD_INT64(struct user, uid, "uid", .required = true, .doc = "User id."),
	FIELD_INT64(struct user, gid, "gid", .required = true, .doc = "Group id."),
	FIELD_STRING(struct user, user, "user", .required = true, .doc = "User name."),
	FIELD_STRING(struct user, group, "group", .required = true, .doc = "Group name."),
	FIELD_END,
};
const struct schema user_schema =
	OBJECT(struct user, "User", user_fields, .doc = "A user and a group, by number and name.");

/* As Fluid's CRDs spell it: every quantity but the last needs a suffix. */
#define QUANTITY_NUMBER "(([0-9]+(\\.[0-9]*)?)|(\\.[0-9]+))"
#define QUANTITY_SUFFIX "(([KMGTPE]i)|[numkMGTPE]|([eE](\\+|-)?" QUANTITY_NUMBER "))"
#define QUANTITY_PREFIX "(\\+|-)?" QUANTITY_NUMBER

static const struct field tiered_store_level_fields[] = {
	FIELD_STRING(struct tiered_store_level, medium_type, "mediumtype", .required = true,
		     .enums = ENUM("MEM", "SSD", "HDD"), .doc = "Kind of the medium, the fastest first."),
	FIELD_STRING(struct tiered_store_level, volume_type, "volumeType", .enums = ENUM("hostPath", "emptyDir"),
		     .dflt = "\"hostPath\"", .doc = "Kind of the volume that holds the tier."),
	FIELD_JSON(struct tiered_store_level, volume_source, "volumeSource", &core_v1_volume_source,
		   .doc = "The volume in detail; it belongs to volumeType."),
	FIELD_STRING(struct tiered_store_level, path, "path", .min_length = 1,
		     .doc = "Directory of the tier, or several with commas between."),
	FIELD_QUANTITY(struct tiered_store_level, quota, "quota",
		       .doc = "Space of the tier, shared by its directories."),
	FIELD_STRING(struct tiered_store_level, quota_list, "quotaList",
		     .pattern = "^(" QUANTITY_PREFIX QUANTITY_SUFFIX ",)+(" QUANTITY_PREFIX QUANTITY_SUFFIX "?)$",
		     .doc = "Space of each directory, with commas between; it comes before quota."),
	FIELD_STRING(struct tiered_store_level, high, "high", .doc = "Share of the quota at which eviction starts."),
	FIELD_STRING(struct tiered_store_level, low, "low", .doc = "Share of the quota at which eviction ends."),
	FIELD_END,
};
const struct schema tiered_store_level_schema =
	OBJECT(struct tiered_store_level, "Level", tiered_store_level_fields, .doc = "One tier of the cache.");

static const struct field tiered_store_fields[] = {
	FIELD_LIST(struct tiered_store, levels, struct tiered_store_level, "levels", &tiered_store_level_schema,
		   .doc = "The tiers, the fastest first."),
	FIELD_END,
};
const struct schema tiered_store_schema =
	OBJECT(struct tiered_store, "TieredStore", tiered_store_fields, .doc = "Where the cache keeps its data.");

static const struct field clean_cache_policy_fields[] = {
	FIELD_INT32(struct clean_cache_policy, grace_period_seconds, "gracePeriodSeconds", .dflt = "60",
		    .doc = "How long the cache may take to be cleaned."),
	FIELD_INT32(struct clean_cache_policy, max_retry_attempts, "maxRetryAttempts", .dflt = "3",
		    .doc = "How often cleaning is tried before it is given up."),
	FIELD_END,
};
const struct schema clean_cache_policy_schema =
	OBJECT(struct clean_cache_policy, "CleanCachePolicy", clean_cache_policy_fields,
	       .doc = "How the cache is cleaned when the runtime is deleted.");

static const struct field metadata_sync_policy_fields[] = {
	FIELD_OPT_BOOL(
		struct metadata_sync_policy, auto_sync, "autoSync",
		.doc = "Whether the source's size and number of files are found out; they are when this is unset."),
	FIELD_END,
};
static const struct schema metadata_sync_policy_schema =
	OBJECT(struct metadata_sync_policy, "MetadataSyncPolicy", metadata_sync_policy_fields);

static const struct field runtime_management_fields[] = {
	FIELD_STRUCT(struct runtime_management, clean_cache_policy, struct clean_cache_policy, "cleanCachePolicy",
		     &clean_cache_policy_schema, .doc = "How the cache is cleaned when the runtime is deleted."),
	FIELD_STRUCT(struct runtime_management, metadata_sync_policy, struct metadata_sync_policy, "metadataSyncPolicy",
		     &metadata_sync_policy_schema, .doc = "Whether the source's metadata is loaded."),
	FIELD_END,
};
const struct schema runtime_management_schema =
	OBJECT(struct runtime_management, "RuntimeManagement", runtime_management_fields,
	       .doc = "Policies of the runtime's care.");

static const struct field runtime_condition_fields[] = {
	FIELD_STRING(struct runtime_condition, type, "type", .required = true, .doc = "What the condition is about."),
	FIELD_STRING(struct runtime_condition, status, "status", .required = true, .doc = "True, False or Unknown."),
	FIELD_STRING(struct runtime_condition, reason, "reason", .doc = "The reason in one word."),
	FIELD_STRING(struct runtime_condition, message, "message", .doc = "The reason for people."),
	FIELD_INT64(struct runtime_condition, observed_generation, "observedGeneration",
		    .doc = "The metadata.generation that it speaks of."),
	FIELD_TIME(struct runtime_condition, last_probe_time, "lastProbeTime", .doc = "When it was last looked at."),
	FIELD_TIME(struct runtime_condition, last_transition_time, "lastTransitionTime",
		   .doc = "When the status last changed."),
	FIELD_END,
};
const struct schema runtime_condition_schema =
	OBJECT(struct runtime_condition, "RuntimeCondition", runtime_condition_fields);

static const struct field api_gateway_status_fields[] = {
	FIELD_STRING(struct api_gateway_status, endpoint, "endpoint", .doc = "Where the gateway listens."),
	FIELD_END,
};
static const struct schema api_gateway_status_schema =
	OBJECT(struct api_gateway_status, "APIGatewayStatus", api_gateway_status_fields);

#define STATUS_STRING(m, json, ...) FIELD_STRING(struct runtime_status, m, json, __VA_ARGS__)
#define STATUS_INT32(m, json, ...)  FIELD_INT32(struct runtime_status, m, json, __VA_ARGS__)

static const struct field runtime_status_fields[] = {
	STATUS_STRING(value_file, "valueFile", .required = true,
		      .doc = "ConfigMap that holds what the runtime was set up with."),
	STATUS_STRING(master_phase, "masterPhase", .required = true, .doc = "NotReady, PartialReady or Ready."),
	STATUS_STRING(master_reason, "masterReason", .doc = "Why the masters are in this phase."),
	STATUS_STRING(worker_phase, "workerPhase", .required = true, .doc = "NotReady, PartialReady or Ready."),
	STATUS_STRING(worker_reason, "workerReason", .doc = "Why the workers are in this phase."),
	STATUS_STRING(fuse_phase, "fusePhase", .required = true, .doc = "NotReady, PartialReady or Ready."),
	STATUS_STRING(fuse_reason, "fuseReason", .doc = "Why the FUSE servers are in this phase."),
	STATUS_INT32(desired_master_number_scheduled, "desiredMasterNumberScheduled", .required = true,
		     .doc = "Masters that should run."),
	STATUS_INT32(current_master_number_scheduled, "currentMasterNumberScheduled", .required = true,
		     .doc = "Masters that were placed on nodes."),
	STATUS_INT32(master_number_ready, "masterNumberReady", .required = true, .doc = "Masters that are ready."),
	STATUS_INT32(desired_worker_number_scheduled, "desiredWorkerNumberScheduled", .required = true,
		     .doc = "Workers that should run."),
	STATUS_INT32(current_worker_number_scheduled, "currentWorkerNumberScheduled", .required = true,
		     .doc = "Workers that were placed on nodes."),
	STATUS_INT32(worker_number_ready, "workerNumberReady", .required = true, .doc = "Workers that are ready."),
	STATUS_INT32(worker_number_available, "workerNumberAvailable", .doc = "Workers that are available."),
	STATUS_INT32(worker_number_unavailable, "workerNumberUnavailable", .doc = "Workers that are not available."),
	STATUS_INT32(desired_fuse_number_scheduled, "desiredFuseNumberScheduled", .required = true,
		     .doc = "FUSE servers that should run."),
	STATUS_INT32(current_fuse_number_scheduled, "currentFuseNumberScheduled", .required = true,
		     .doc = "FUSE servers that were placed on nodes."),
	STATUS_INT32(fuse_number_ready, "fuseNumberReady", .required = true, .doc = "FUSE servers that are ready."),
	STATUS_INT32(fuse_number_available, "fuseNumberAvailable", .doc = "FUSE servers that are available."),
	STATUS_INT32(fuse_number_unavailable, "fuseNumberUnavailable", .doc = "FUSE servers that are not available."),
	STATUS_STRING(setup_duration, "setupDuration", .doc = "How long setting up took."),
	FIELD_LIST(struct runtime_status, conditions, struct runtime_condition, "conditions", &runtime_condition_schema,
		   .doc = "What is true of the runtime now."),
	FIELD_STRING_MAP(struct runtime_status, cache_states, "cacheStates", .doc = "Figures of the cache."),
	STATUS_STRING(selector, "selector", .doc = "Labels of the workers, for autoscalers."),
	FIELD_STRUCT(struct runtime_status, api_gateway, struct api_gateway_status, "apiGateway",
		     &api_gateway_status_schema, .doc = "Where the API gateway is."),
	FIELD_TIME(struct runtime_status, mount_time, "mountTime", .doc = "When the sources were last mounted."),
	FIELD_LIST(struct runtime_status, mounts, struct mount, "mounts", &mount_schema,
		   .doc = "The sources that are mounted."),
	FIELD_JSON(struct runtime_status, cache_affinity, "cacheAffinity", &core_v1_node_affinity,
		   .doc = "Nodes that may hold the cache."),
	FIELD_END,
};
const struct schema runtime_status_schema = OBJECT(struct runtime_status, "RuntimeStatus", runtime_status_fields,
						   .doc = "What the controller saw of the runtime.");
