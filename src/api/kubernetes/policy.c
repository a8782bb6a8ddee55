/* PodDisruptionBudget, Eviction and PriorityClass. */
#include "api/kubernetes/table.h"

/* One field a line. */
/* clang-format off */

static const struct field policy_v1_pod_disruption_budget_fields[] = {
	TYPE_META,
	OBJ("metadata", 1, object_meta_schema, DOC("Names, labels, owners and more.")),
	OBJ("spec", 2, policy_v1_pod_disruption_budget_spec, DOC("What the object should be.")),
	OBJ("status", 3, policy_v1_pod_disruption_budget_status, DEFAULT("{}"),
		DOC("What is known of the object.")),
	FIELD_END,
};
TYPE(policy_v1_pod_disruption_budget, "policy.v1.PodDisruptionBudget",
     .doc = "How many of a set of pods may be evicted at a time.");

static const struct field policy_v1_pod_disruption_budget_spec_fields[] = {
	INT_OR_STRING("minAvailable", 1, DOC("Pods that must stay, as a number or a percentage.")),
	OBJ("selector", 2, meta_v1_label_selector, DOC("Labels of the pods.")),
	INT_OR_STRING("maxUnavailable", 3, DOC("Pods that may be missing, as a number or a percentage.")),
	STRING("unhealthyPodEvictionPolicy", 4, OPTIONAL, ONE_OF("AlwaysAllow", "IfHealthyBudget")),
	FIELD_END,
};
TYPE(policy_v1_pod_disruption_budget_spec, "policy.v1.PodDisruptionBudgetSpec");

static const struct field policy_v1_pod_disruption_budget_status_fields[] = {
	INT64("observedGeneration", 1),
	MAP("disruptedPods", 2, schema_time),
	INT32("disruptionsAllowed", 3, DEFAULT("0")),
	INT32("currentHealthy", 4, DEFAULT("0")),
	INT32("desiredHealthy", 5, DEFAULT("0")),
	INT32("expectedPods", 6, DEFAULT("0")),
	LIST("conditions", 7, meta_v1_condition, KEYED("type"), MERGE("type")),
	FIELD_END,
};
TYPE(policy_v1_pod_disruption_budget_status, "policy.v1.PodDisruptionBudgetStatus");

static const struct field policy_v1_eviction_fields[] = {
	TYPE_META,
	OBJ("metadata", 1, object_meta_schema, DOC("The pod that is to go.")),
	OBJ("deleteOptions", 2, meta_v1_delete_options, DOC("How it is deleted.")),
	FIELD_END,
};
TYPE(policy_v1_eviction, "policy.v1.Eviction", .doc = "Asks that a pod goes, if its disruption budget allows that.");

static const struct field scheduling_v1_priority_class_fields[] = {
	TYPE_META,
	OBJ("metadata", 1, object_meta_schema, DOC("Names, labels, owners and more.")),
	INT32("value", 2, DEFAULT("0"), DOC("The priority of the pods; higher ones are scheduled first.")),
	BOOL("globalDefault", 3, DOC("Whether pods without a class have this one.")),
	STRING("description", 4, DOC("When to use the class.")),
	STRING("preemptionPolicy", 5, OPTIONAL, ONE_OF("Never", "PreemptLowerPriority"), DEFAULT("\"PreemptLowerPriority\""),
		DOC("Whether pods of lower priority make room.")),
	FIELD_END,
};
TYPE(scheduling_v1_priority_class, "scheduling.v1.PriorityClass", .doc = "A name for a priority of pods.");
