/* Deployment, ReplicaSet and ControllerRevision. */
#include "api/kubernetes/table.h"

/* One field a line. */
/* clang-format off */

static const struct field apps_v1_controller_revision_fields[] = {
	TYPE_META,
	OBJ("metadata", 1, object_meta_schema, DOC("Names, labels, owners and more.")),
	ANY("data", 2, DOC("The state of that time, as its owner wrote it.")),
	INT64("revision", 3, DEFAULT("0"), AT_LEAST(0), DOC("Number of the state; higher is newer.")),
	FIELD_END,
};
TYPE(apps_v1_controller_revision, "apps.v1.ControllerRevision",
     .doc = "An earlier state of a StatefulSet or DaemonSet.");

static const struct field apps_v1_deployment_fields[] = {
	TYPE_META,
	OBJ("metadata", 1, object_meta_schema, DOC("Names, labels, owners and more.")),
	OBJ("spec", 2, apps_v1_deployment_spec, DOC("What the object should be.")),
	OBJ("status", 3, apps_v1_deployment_status, DEFAULT("{}"), DOC("What is known of the object.")),
	FIELD_END,
};
TYPE(apps_v1_deployment, "apps.v1.Deployment",
     .doc = "Pods without names of their own, replaced step by step.");

static const struct field apps_v1_deployment_condition_fields[] = {
	STRING("type", 1, REQUIRED),
	STRING("status", 2, REQUIRED, DOC("True, False or Unknown.")),
	STRING("reason", 4),
	STRING("message", 5),
	TIME("lastUpdateTime", 6),
	TIME("lastTransitionTime", 7),
	FIELD_END,
};
TYPE(apps_v1_deployment_condition, "apps.v1.DeploymentCondition");

static const struct field apps_v1_deployment_spec_fields[] = {
	INT32("replicas", 1, OPTIONAL, AT_LEAST(0), DEFAULT("1"), DOC("How many pods should run.")),
	OBJ("selector", 2, meta_v1_label_selector, REQUIRED,
		DOC("Labels of the pods; those of the template.")),
	OBJ("template", 3, core_v1_pod_template_spec, REQUIRED, DOC("What the pods look like.")),
	OBJ("strategy", 4, apps_v1_deployment_strategy, RETAIN_KEYS, DEFAULT("{}"),
		DOC("How pods are replaced after a change.")),
	INT32("minReadySeconds", 5, AT_LEAST(0), DOC("How long a pod must be ready to count as available.")),
	INT32("revisionHistoryLimit", 6, OPTIONAL, AT_LEAST(0), DEFAULT("10"),
		DOC("Old ReplicaSets that are kept.")),
	BOOL("paused", 7, DOC("Whether changes wait.")),
	INT32("progressDeadlineSeconds", 9, OPTIONAL, AT_LEAST(0), DEFAULT("600"),
		DOC("After how long without progress it counts as failed.")),
	FIELD_END,
};
TYPE(apps_v1_deployment_spec, "apps.v1.DeploymentSpec", .doc = "What the Deployment should be.");

static const struct field apps_v1_deployment_status_fields[] = {
	INT64("observedGeneration", 1),
	INT32("replicas", 2),
	INT32("updatedReplicas", 3),
	INT32("availableReplicas", 4),
	INT32("unavailableReplicas", 5),
	LIST("conditions", 6, apps_v1_deployment_condition, KEYED("type"), MERGE("type")),
	INT32("readyReplicas", 7),
	INT32("collisionCount", 8, OPTIONAL),
	INT32("terminatingReplicas", 9, OPTIONAL),
	FIELD_END,
};
TYPE(apps_v1_deployment_status, "apps.v1.DeploymentStatus", .doc = "What is known of the Deployment.");

static const struct field apps_v1_deployment_strategy_fields[] = {
	STRING("type", 1, ONE_OF("Recreate", "RollingUpdate"), DEFAULT("\"RollingUpdate\""),
		DOC("All at once or a few at a time.")),
	OBJ("rollingUpdate", 2, apps_v1_rolling_update_deployment),
	FIELD_END,
};
TYPE(apps_v1_deployment_strategy, "apps.v1.DeploymentStrategy");

static const struct field apps_v1_replica_set_fields[] = {
	TYPE_META,
	OBJ("metadata", 1, object_meta_schema, DOC("Names, labels, owners and more.")),
	OBJ("spec", 2, apps_v1_replica_set_spec, DOC("What the object should be.")),
	OBJ("status", 3, apps_v1_replica_set_status, DEFAULT("{}"), DOC("What is known of the object.")),
	FIELD_END,
};
TYPE(apps_v1_replica_set, "apps.v1.ReplicaSet", .doc = "A number of equal pods.");

static const struct field apps_v1_replica_set_condition_fields[] = {
	STRING("type", 1, REQUIRED),
	STRING("status", 2, REQUIRED, DOC("True, False or Unknown.")),
	TIME("lastTransitionTime", 3),
	STRING("reason", 4),
	STRING("message", 5),
	FIELD_END,
};
TYPE(apps_v1_replica_set_condition, "apps.v1.ReplicaSetCondition");

static const struct field apps_v1_replica_set_spec_fields[] = {
	INT32("replicas", 1, OPTIONAL, AT_LEAST(0), DEFAULT("1"), DOC("How many pods should run.")),
	OBJ("selector", 2, meta_v1_label_selector, REQUIRED,
		DOC("Labels of the pods; those of the template.")),
	OBJ("template", 3, core_v1_pod_template_spec, DOC("What the pods look like.")),
	INT32("minReadySeconds", 4, AT_LEAST(0), DOC("How long a pod must be ready to count as available.")),
	FIELD_END,
};
TYPE(apps_v1_replica_set_spec, "apps.v1.ReplicaSetSpec", .doc = "What the ReplicaSet should be.");

static const struct field apps_v1_replica_set_status_fields[] = {
	INT32("replicas", 1, DEFAULT("0")),
	INT32("fullyLabeledReplicas", 2),
	INT64("observedGeneration", 3),
	INT32("readyReplicas", 4),
	INT32("availableReplicas", 5),
	LIST("conditions", 6, apps_v1_replica_set_condition, KEYED("type"), MERGE("type")),
	INT32("terminatingReplicas", 7, OPTIONAL),
	FIELD_END,
};
TYPE(apps_v1_replica_set_status, "apps.v1.ReplicaSetStatus", .doc = "What is known of the ReplicaSet.");

static const struct field apps_v1_rolling_update_deployment_fields[] = {
	INT_OR_STRING("maxUnavailable", 1, DOC("Pods that may be missing, as a number or a percentage.")),
	INT_OR_STRING("maxSurge", 2, DOC("Pods that may be too many, as a number or a percentage.")),
	FIELD_END,
};
TYPE(apps_v1_rolling_update_deployment, "apps.v1.RollingUpdateDeployment");
