/* StatefulSet and DaemonSet, and Scale, which changes the size of either. */
#include "api/kubernetes/table.h"

/* One field a line. */
/* clang-format off */

static const struct field apps_v1_daemon_set_fields[] = {
	TYPE_META,
	OBJ("metadata", 1, object_meta_schema, DOC("Names, labels, owners and more.")),
	OBJ("spec", 2, apps_v1_daemon_set_spec, DOC("What the object should be.")),
	OBJ("status", 3, apps_v1_daemon_set_status, DEFAULT("{}"), DOC("What is known of the object.")),
	FIELD_END,
};
TYPE(apps_v1_daemon_set, "apps.v1.DaemonSet", .doc = "One pod on each node that its template selects.");

static const struct field apps_v1_daemon_set_condition_fields[] = {
	STRING("type", 1, REQUIRED),
	STRING("status", 2, REQUIRED, DOC("True, False or Unknown.")),
	TIME("lastTransitionTime", 3),
	STRING("reason", 4),
	STRING("message", 5),
	FIELD_END,
};
TYPE(apps_v1_daemon_set_condition, "apps.v1.DaemonSetCondition");

static const struct field apps_v1_daemon_set_spec_fields[] = {
	OBJ("selector", 1, meta_v1_label_selector, REQUIRED, IMMUTABLE,
		DOC("Labels of the pods; those of the template.")),
	OBJ("template", 2, core_v1_pod_template_spec, REQUIRED, DOC("What the pods look like.")),
	OBJ("updateStrategy", 3, apps_v1_daemon_set_update_strategy, DEFAULT("{\"type\":\"RollingUpdate\"}"),
		DOC("How pods are replaced after a change.")),
	INT32("minReadySeconds", 4, AT_LEAST(0), DOC("How long a pod must be ready to count as available.")),
	INT32("revisionHistoryLimit", 6, OPTIONAL, AT_LEAST(0), DEFAULT("10"), DOC("Old versions that are kept.")),
	FIELD_END,
};
TYPE(apps_v1_daemon_set_spec, "apps.v1.DaemonSetSpec", .doc = "What the DaemonSet should be.");

static const struct field apps_v1_daemon_set_status_fields[] = {
	INT32("currentNumberScheduled", 1, DEFAULT("0")),
	INT32("numberMisscheduled", 2, DEFAULT("0")),
	INT32("desiredNumberScheduled", 3, DEFAULT("0")),
	INT32("numberReady", 4, DEFAULT("0")),
	INT64("observedGeneration", 5),
	INT32("updatedNumberScheduled", 6),
	INT32("numberAvailable", 7),
	INT32("numberUnavailable", 8),
	INT32("collisionCount", 9, OPTIONAL),
	LIST("conditions", 10, apps_v1_daemon_set_condition, KEYED("type"), MERGE("type")),
	FIELD_END,
};
TYPE(apps_v1_daemon_set_status, "apps.v1.DaemonSetStatus", .doc = "What is known of the DaemonSet.");

static const struct field apps_v1_daemon_set_update_strategy_fields[] = {
	STRING("type", 1, ONE_OF("RollingUpdate", "OnDelete"), DEFAULT("\"RollingUpdate\"")),
	OBJ("rollingUpdate", 2, apps_v1_rolling_update_daemon_set),
	FIELD_END,
};
TYPE(apps_v1_daemon_set_update_strategy, "apps.v1.DaemonSetUpdateStrategy");

static const struct field apps_v1_rolling_update_daemon_set_fields[] = {
	INT_OR_STRING("maxUnavailable", 1, DEFAULT("1")),
	INT_OR_STRING("maxSurge", 2, DEFAULT("0")),
	FIELD_END,
};
TYPE(apps_v1_rolling_update_daemon_set, "apps.v1.RollingUpdateDaemonSet");

static const struct field apps_v1_rolling_update_stateful_set_strategy_fields[] = {
	INT32("partition", 1, OPTIONAL, AT_LEAST(0), DEFAULT("0")),
	INT_OR_STRING("maxUnavailable", 2),
	FIELD_END,
};
TYPE(apps_v1_rolling_update_stateful_set_strategy, "apps.v1.RollingUpdateStatefulSetStrategy");

static const struct field apps_v1_stateful_set_fields[] = {
	TYPE_META,
	OBJ("metadata", 1, object_meta_schema, DOC("Names, labels, owners and more.")),
	OBJ("spec", 2, apps_v1_stateful_set_spec, DOC("What the object should be.")),
	OBJ("status", 3, apps_v1_stateful_set_status, DEFAULT("{}"), DOC("What is known of the object.")),
	FIELD_END,
};
TYPE(apps_v1_stateful_set, "apps.v1.StatefulSet", .doc = "Pods with an order and names that stay.");

static const struct field apps_v1_stateful_set_condition_fields[] = {
	STRING("type", 1, REQUIRED),
	STRING("status", 2, REQUIRED, DOC("True, False or Unknown.")),
	TIME("lastTransitionTime", 3),
	STRING("reason", 4),
	STRING("message", 5),
	FIELD_END,
};
TYPE(apps_v1_stateful_set_condition, "apps.v1.StatefulSetCondition");

static const struct field apps_v1_stateful_set_ordinals_fields[] = {
	INT32("start", 1),
	FIELD_END,
};
TYPE(apps_v1_stateful_set_ordinals, "apps.v1.StatefulSetOrdinals");

static const struct field apps_v1_stateful_set_persistent_volume_claim_retention_policy_fields[] = {
	STRING("whenDeleted", 1, ONE_OF("Retain", "Delete"), DEFAULT("\"Retain\"")),
	STRING("whenScaled", 2, ONE_OF("Retain", "Delete"), DEFAULT("\"Retain\"")),
	FIELD_END,
};
TYPE(apps_v1_stateful_set_persistent_volume_claim_retention_policy,
     "apps.v1.StatefulSetPersistentVolumeClaimRetentionPolicy");

static const struct field apps_v1_stateful_set_spec_fields[] = {
	INT32("replicas", 1, OPTIONAL, AT_LEAST(0), DEFAULT("1"), DOC("How many pods should run.")),
	OBJ("selector", 2, meta_v1_label_selector, REQUIRED, IMMUTABLE,
		DOC("Labels of the pods; those of the template.")),
	OBJ("template", 3, core_v1_pod_template_spec, REQUIRED, DOC("What the pods look like.")),
	LIST("volumeClaimTemplates", 4, core_v1_persistent_volume_claim, IMMUTABLE, DOC("Claims made for each pod.")),
	STRING("serviceName", 5, IMMUTABLE, DOC("Service that names the pods.")),
	STRING("podManagementPolicy", 6, ONE_OF("OrderedReady", "Parallel"), DEFAULT("\"OrderedReady\""), IMMUTABLE,
		DOC("One pod after another, or all at once.")),
	OBJ("updateStrategy", 7, apps_v1_stateful_set_update_strategy, DEFAULT("{\"type\":\"RollingUpdate\"}"),
		DOC("How pods are replaced after a change.")),
	INT32("revisionHistoryLimit", 8, OPTIONAL, AT_LEAST(0), DEFAULT("10"), DOC("Old versions that are kept.")),
	INT32("minReadySeconds", 9, AT_LEAST(0), DOC("How long a pod must be ready to count as available.")),
	OBJ("persistentVolumeClaimRetentionPolicy", 10, apps_v1_stateful_set_persistent_volume_claim_retention_policy,
		DEFAULT("{}")),
	OBJ("ordinals", 11, apps_v1_stateful_set_ordinals),
	FIELD_END,
};
TYPE(apps_v1_stateful_set_spec, "apps.v1.StatefulSetSpec", .doc = "What the StatefulSet should be.");

static const struct field apps_v1_stateful_set_status_fields[] = {
	INT64("observedGeneration", 1),
	INT32("replicas", 2, DEFAULT("0")),
	INT32("readyReplicas", 3),
	INT32("currentReplicas", 4),
	INT32("updatedReplicas", 5),
	STRING("currentRevision", 6),
	STRING("updateRevision", 7),
	INT32("collisionCount", 9, OPTIONAL),
	LIST("conditions", 10, apps_v1_stateful_set_condition, KEYED("type"), MERGE("type")),
	INT32("availableReplicas", 11),
	FIELD_END,
};
TYPE(apps_v1_stateful_set_status, "apps.v1.StatefulSetStatus", .doc = "What is known of the StatefulSet.");

static const struct field apps_v1_stateful_set_update_strategy_fields[] = {
	STRING("type", 1, ONE_OF("RollingUpdate", "OnDelete"), DEFAULT("\"RollingUpdate\"")),
	OBJ("rollingUpdate", 2, apps_v1_rolling_update_stateful_set_strategy),
	FIELD_END,
};
TYPE(apps_v1_stateful_set_update_strategy, "apps.v1.StatefulSetUpdateStrategy");

static const struct field autoscaling_v1_scale_fields[] = {
	TYPE_META,
	OBJ("metadata", 1, object_meta_schema, DOC("Names, labels, owners and more.")),
	OBJ("spec", 2, autoscaling_v1_scale_spec, DEFAULT("{}"), DOC("What the object should be.")),
	OBJ("status", 3, autoscaling_v1_scale_status, DEFAULT("{}"), DOC("What is known of the object.")),
	FIELD_END,
};
TYPE(autoscaling_v1_scale, "autoscaling.v1.Scale", .doc = "The size of a workload.");

static const struct field autoscaling_v1_scale_spec_fields[] = {
	INT32("replicas", 1, AT_LEAST(0), DEFAULT("0"), DOC("How many should run.")),
	FIELD_END,
};
TYPE(autoscaling_v1_scale_spec, "autoscaling.v1.ScaleSpec");

static const struct field autoscaling_v1_scale_status_fields[] = {
	INT32("replicas", 1, DEFAULT("0"), DOC("How many run.")),
	STRING("selector", 2, DOC("Labels of the pods, as text.")),
	FIELD_END,
};
TYPE(autoscaling_v1_scale_status, "autoscaling.v1.ScaleStatus");
