/* Reviews of what somebody may do. */
#include "api/kubernetes/table.h"

/* One field a line. */
/* clang-format off */

static const struct field authorization_v1_local_subject_access_review_fields[] = {
	TYPE_META,
	OBJ("metadata", 1, object_meta_schema, DOC("Names, labels, owners and more.")),
	OBJ("spec", 2, authorization_v1_subject_access_review_spec, REQUIRED,
		DOC("What the object should be.")),
	OBJ("status", 3, authorization_v1_subject_access_review_status, DEFAULT("{\"allowed\":false}"),
		DOC("What is known of the object.")),
	FIELD_END,
};
TYPE(authorization_v1_local_subject_access_review, "authorization.v1.LocalSubjectAccessReview",
     .doc = "Asks whether somebody may do something in one namespace.");

static const struct field authorization_v1_non_resource_rule_fields[] = {
	STRINGS("verbs", 1, REQUIRED),
	STRINGS("nonResourceURLs", 2),
	FIELD_END,
};
TYPE(authorization_v1_non_resource_rule, "authorization.v1.NonResourceRule",
     .doc = "Paths that are allowed.");

static const struct field authorization_v1_resource_rule_fields[] = {
	STRINGS("verbs", 1, REQUIRED),
	STRINGS("apiGroups", 2),
	STRINGS("resources", 3),
	STRINGS("resourceNames", 4),
	FIELD_END,
};
TYPE(authorization_v1_resource_rule, "authorization.v1.ResourceRule", .doc = "Resources that are allowed.");

static const struct field authorization_v1_self_subject_rules_review_fields[] = {
	TYPE_META,
	OBJ("metadata", 1, object_meta_schema, DOC("Names, labels, owners and more.")),
	OBJ("spec", 2, authorization_v1_self_subject_rules_review_spec, REQUIRED,
		DOC("What the object should be.")),
	OBJ("status", 3, authorization_v1_subject_rules_review_status, DEFAULT("{}"),
		DOC("What is known of the object.")),
	FIELD_END,
};
TYPE(authorization_v1_self_subject_rules_review, "authorization.v1.SelfSubjectRulesReview",
     .doc = "Asks what the caller may do in a namespace.");

static const struct field authorization_v1_self_subject_rules_review_spec_fields[] = {
	STRING("namespace", 1, DOC("Namespace that the question is about.")),
	FIELD_END,
};
TYPE(authorization_v1_self_subject_rules_review_spec, "authorization.v1.SelfSubjectRulesReviewSpec");

static const struct field authorization_v1_subject_access_review_fields[] = {
	TYPE_META,
	OBJ("metadata", 1, object_meta_schema, DOC("Names, labels, owners and more.")),
	OBJ("spec", 2, authorization_v1_subject_access_review_spec, REQUIRED,
		DOC("What the object should be.")),
	OBJ("status", 3, authorization_v1_subject_access_review_status, DEFAULT("{\"allowed\":false}"),
		DOC("What is known of the object.")),
	FIELD_END,
};
TYPE(authorization_v1_subject_access_review, "authorization.v1.SubjectAccessReview",
     .doc = "Asks whether somebody may do something.");

static const struct field authorization_v1_subject_access_review_spec_fields[] = {
	OBJ("resourceAttributes", 1, authorization_v1_resource_attributes),
	OBJ("nonResourceAttributes", 2, authorization_v1_non_resource_attributes),
	STRING("user", 3),
	STRINGS("groups", 4),
	MAP("extra", 5, schema_string_list),
	STRING("uid", 6),
	FIELD_END,
};
TYPE(authorization_v1_subject_access_review_spec, "authorization.v1.SubjectAccessReviewSpec");

static const struct field authorization_v1_subject_rules_review_status_fields[] = {
	LIST("resourceRules", 1, authorization_v1_resource_rule, DEFAULT("[]")),
	LIST("nonResourceRules", 2, authorization_v1_non_resource_rule, DEFAULT("[]")),
	BOOL("incomplete", 3, DEFAULT("false")),
	STRING("evaluationError", 4),
	FIELD_END,
};
TYPE(authorization_v1_subject_rules_review_status, "authorization.v1.SubjectRulesReviewStatus");
