/* Roles and their bindings. */
#include "api/kubernetes/table.h"

/* One field a line. */
/* clang-format off */

static const struct field rbac_v1_aggregation_rule_fields[] = {
	LIST("clusterRoleSelectors", 1, meta_v1_label_selector, DOC("Labels of ClusterRoles.")),
	FIELD_END,
};
TYPE(rbac_v1_aggregation_rule, "rbac.v1.AggregationRule");

static const struct field rbac_v1_cluster_role_fields[] = {
	TYPE_META,
	OBJ("metadata", 1, object_meta_schema, DOC("Names, labels, owners and more.")),
	LIST("rules", 2, rbac_v1_policy_rule, DOC("What is allowed.")),
	OBJ("aggregationRule", 3, rbac_v1_aggregation_rule, DOC("Other roles whose rules are gathered here.")),
	FIELD_END,
};
TYPE(rbac_v1_cluster_role, "rbac.v1.ClusterRole", .doc = "Rules of what may be done, in all namespaces.");

static const struct field rbac_v1_cluster_role_binding_fields[] = {
	TYPE_META,
	OBJ("metadata", 1, object_meta_schema, DOC("Names, labels, owners and more.")),
	LIST("subjects", 2, rbac_v1_subject, DOC("Who has the role.")),
	OBJ("roleRef", 3, rbac_v1_role_ref, REQUIRED, DOC("The role that is given.")),
	FIELD_END,
};
TYPE(rbac_v1_cluster_role_binding, "rbac.v1.ClusterRoleBinding",
     .doc = "Gives a ClusterRole to subjects, in all namespaces.");

static const struct field rbac_v1_policy_rule_fields[] = {
	STRINGS("verbs", 1, DOC("What may be done; * is everything.")),
	STRINGS("apiGroups", 2, DOC("Groups of the resources; the core group is the empty text.")),
	STRINGS("resources", 3, DOC("Resources, by their plural names, with /subresource or not.")),
	STRINGS("resourceNames", 4, DOC("Objects the rule is limited to.")),
	STRINGS("nonResourceURLs", 5, DOC("Paths outside of resources; * may stand at the end.")),
	FIELD_END,
};
TYPE(rbac_v1_policy_rule, "rbac.v1.PolicyRule", .doc = "Something that is allowed.");

static const struct field rbac_v1_role_fields[] = {
	TYPE_META,
	OBJ("metadata", 1, object_meta_schema, DOC("Names, labels, owners and more.")),
	LIST("rules", 2, rbac_v1_policy_rule, DOC("What is allowed.")),
	FIELD_END,
};
TYPE(rbac_v1_role, "rbac.v1.Role", .doc = "Rules of what may be done in one namespace.");

static const struct field rbac_v1_role_binding_fields[] = {
	TYPE_META,
	OBJ("metadata", 1, object_meta_schema, DOC("Names, labels, owners and more.")),
	LIST("subjects", 2, rbac_v1_subject, DOC("Who has the role.")),
	OBJ("roleRef", 3, rbac_v1_role_ref, REQUIRED, DOC("The role that is given.")),
	FIELD_END,
};
TYPE(rbac_v1_role_binding, "rbac.v1.RoleBinding", .doc = "Gives a role to subjects in one namespace.");

static const struct field rbac_v1_role_ref_fields[] = {
	STRING("apiGroup", 1, DEFAULT("\"rbac.authorization.k8s.io\""), DOC("rbac.authorization.k8s.io.")),
	STRING("kind", 2, REQUIRED, DOC("Role or ClusterRole.")),
	STRING("name", 3, REQUIRED, DOC("Name of the role.")),
	FIELD_END,
};
TYPE(rbac_v1_role_ref, "rbac.v1.RoleRef", .map_atomic = true, .doc = "Names a role.");

static const struct field rbac_v1_subject_fields[] = {
	STRING("kind", 1, DOC("User, Group or ServiceAccount.")),
	STRING("apiGroup", 2, DOC("Empty for a ServiceAccount.")),
	STRING("name", 3, DOC("Name of the subject.")),
	STRING("namespace", 4, DOC("Namespace of a ServiceAccount.")),
	FIELD_END,
};
TYPE(rbac_v1_subject, "rbac.v1.Subject", .map_atomic = true, .doc = "Somebody who is given a role.");
