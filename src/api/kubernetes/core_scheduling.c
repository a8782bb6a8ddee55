/* Which nodes a pod may run on. */
#include "api/kubernetes/table.h"

/* One field a line. */
/* clang-format off */

static const struct field core_v1_affinity_fields[] = {
	OBJ("nodeAffinity", 1, core_v1_node_affinity),
	OBJ("podAffinity", 2, core_v1_pod_affinity),
	OBJ("podAntiAffinity", 3, core_v1_pod_anti_affinity),
	FIELD_END,
};
TYPE(core_v1_affinity, "core.v1.Affinity", .doc = "Where a pod would or must run.");

static const struct field core_v1_node_affinity_fields[] = {
	OBJ("requiredDuringSchedulingIgnoredDuringExecution", 1, core_v1_node_selector),
	LIST("preferredDuringSchedulingIgnoredDuringExecution", 2, core_v1_preferred_scheduling_term),
	FIELD_END,
};
TYPE(core_v1_node_affinity, "core.v1.NodeAffinity");

static const struct field core_v1_node_selector_fields[] = {
	LIST("nodeSelectorTerms", 1, core_v1_node_selector_term, REQUIRED,
		DOC("Terms; a node that meets one is selected.")),
	FIELD_END,
};
TYPE(core_v1_node_selector, "core.v1.NodeSelector", .map_atomic = true, .doc = "Terms of which a node must meet one.");

static const struct field core_v1_node_selector_requirement_fields[] = {
	STRING("key", 1, REQUIRED, DOC("Key of the label.")),
	STRING("operator", 2, REQUIRED, ONE_OF("In", "NotIn", "Exists", "DoesNotExist", "Gt", "Lt"),
		DOC("How the values are compared.")),
	STRINGS("values", 3, DOC("Values to compare with.")),
	FIELD_END,
};
TYPE(core_v1_node_selector_requirement, "core.v1.NodeSelectorRequirement");

static const struct field core_v1_node_selector_term_fields[] = {
	LIST("matchExpressions", 1, core_v1_node_selector_requirement, DOC("What the labels of the node must be.")),
	LIST("matchFields", 2, core_v1_node_selector_requirement, DOC("What the fields of the node must be.")),
	FIELD_END,
};
TYPE(core_v1_node_selector_term, "core.v1.NodeSelectorTerm", .map_atomic = true);

static const struct field core_v1_pod_affinity_fields[] = {
	LIST("requiredDuringSchedulingIgnoredDuringExecution", 1, core_v1_pod_affinity_term),
	LIST("preferredDuringSchedulingIgnoredDuringExecution", 2, core_v1_weighted_pod_affinity_term),
	FIELD_END,
};
TYPE(core_v1_pod_affinity, "core.v1.PodAffinity");

static const struct field core_v1_pod_affinity_term_fields[] = {
	OBJ("labelSelector", 1, meta_v1_label_selector),
	STRINGS("namespaces", 2),
	STRING("topologyKey", 3, REQUIRED),
	OBJ("namespaceSelector", 4, meta_v1_label_selector),
	STRINGS("matchLabelKeys", 5),
	STRINGS("mismatchLabelKeys", 6),
	FIELD_END,
};
TYPE(core_v1_pod_affinity_term, "core.v1.PodAffinityTerm");

static const struct field core_v1_pod_anti_affinity_fields[] = {
	LIST("requiredDuringSchedulingIgnoredDuringExecution", 1, core_v1_pod_affinity_term),
	LIST("preferredDuringSchedulingIgnoredDuringExecution", 2, core_v1_weighted_pod_affinity_term),
	FIELD_END,
};
TYPE(core_v1_pod_anti_affinity, "core.v1.PodAntiAffinity");

static const struct field core_v1_pod_scheduling_gate_fields[] = {
	STRING("name", 1, REQUIRED),
	FIELD_END,
};
TYPE(core_v1_pod_scheduling_gate, "core.v1.PodSchedulingGate");

static const struct field core_v1_preferred_scheduling_term_fields[] = {
	INT32("weight", 1, REQUIRED, AT_LEAST(1), AT_MOST(100)),
	OBJ("preference", 2, core_v1_node_selector_term, REQUIRED),
	FIELD_END,
};
TYPE(core_v1_preferred_scheduling_term, "core.v1.PreferredSchedulingTerm");

static const struct field core_v1_toleration_fields[] = {
	STRING("key", 1, DOC("Key of the taint; any when unset.")),
	STRING("operator", 2, ONE_OF("", "Equal", "Exists"), DOC("Equal or Exists.")),
	STRING("value", 3, DOC("Value of the taint.")),
	STRING("effect", 4, ONE_OF("", "NoSchedule", "PreferNoSchedule", "NoExecute"),
		DOC("Effect of the taint; any when unset.")),
	INT64("tolerationSeconds", 5, OPTIONAL, DOC("How long a NoExecute taint is tolerated.")),
	FIELD_END,
};
TYPE(core_v1_toleration, "core.v1.Toleration", .doc = "A taint of nodes that the pod does not mind.");

static const struct field core_v1_topology_spread_constraint_fields[] = {
	INT32("maxSkew", 1, REQUIRED),
	STRING("topologyKey", 2, REQUIRED),
	STRING("whenUnsatisfiable", 3, REQUIRED, ONE_OF("DoNotSchedule", "ScheduleAnyway")),
	OBJ("labelSelector", 4, meta_v1_label_selector),
	INT32("minDomains", 5, OPTIONAL),
	STRING("nodeAffinityPolicy", 6, OPTIONAL),
	STRING("nodeTaintsPolicy", 7, OPTIONAL),
	STRINGS("matchLabelKeys", 8),
	FIELD_END,
};
TYPE(core_v1_topology_spread_constraint, "core.v1.TopologySpreadConstraint");

static const struct field core_v1_weighted_pod_affinity_term_fields[] = {
	INT32("weight", 1, REQUIRED, AT_LEAST(1), AT_MOST(100)),
	OBJ("podAffinityTerm", 2, core_v1_pod_affinity_term, REQUIRED),
	FIELD_END,
};
TYPE(core_v1_weighted_pod_affinity_term, "core.v1.WeightedPodAffinityTerm");
