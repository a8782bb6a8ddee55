/* Lease, and the question what one may do. */
#include "api/kubernetes/table.h"

/* One field a line. */
/* clang-format off */

static const struct field authorization_v1_field_selector_attributes_fields[] = {
	STRING("rawSelector", 1),
	LIST("requirements", 2, meta_v1_field_selector_requirement),
	FIELD_END,
};
TYPE(authorization_v1_field_selector_attributes, "authorization.v1.FieldSelectorAttributes");

static const struct field authorization_v1_label_selector_attributes_fields[] = {
	STRING("rawSelector", 1),
	LIST("requirements", 2, meta_v1_label_selector_requirement),
	FIELD_END,
};
TYPE(authorization_v1_label_selector_attributes, "authorization.v1.LabelSelectorAttributes");

static const struct field authorization_v1_non_resource_attributes_fields[] = {
	STRING("path", 1),
	STRING("verb", 2),
	FIELD_END,
};
TYPE(authorization_v1_non_resource_attributes, "authorization.v1.NonResourceAttributes");

static const struct field authorization_v1_resource_attributes_fields[] = {
	STRING("namespace", 1),
	STRING("verb", 2),
	STRING("group", 3),
	STRING("version", 4),
	STRING("resource", 5),
	STRING("subresource", 6),
	STRING("name", 7),
	OBJ("fieldSelector", 8, authorization_v1_field_selector_attributes),
	OBJ("labelSelector", 9, authorization_v1_label_selector_attributes),
	FIELD_END,
};
TYPE(authorization_v1_resource_attributes, "authorization.v1.ResourceAttributes");

static const struct field authorization_v1_self_subject_access_review_fields[] = {
	TYPE_META,
	OBJ("metadata", 1, object_meta_schema, DOC("Names, labels, owners and more.")),
	OBJ("spec", 2, authorization_v1_self_subject_access_review_spec, REQUIRED, DOC("What the object should be.")),
	OBJ("status", 3, authorization_v1_subject_access_review_status, DEFAULT("{\"allowed\":false}"),
		DOC("What is known of the object.")),
	FIELD_END,
};
TYPE(authorization_v1_self_subject_access_review, "authorization.v1.SelfSubjectAccessReview",
     .doc = "Asks whether the caller may do something.");

static const struct field authorization_v1_self_subject_access_review_spec_fields[] = {
	OBJ("resourceAttributes", 1, authorization_v1_resource_attributes),
	OBJ("nonResourceAttributes", 2, authorization_v1_non_resource_attributes),
	FIELD_END,
};
TYPE(authorization_v1_self_subject_access_review_spec, "authorization.v1.SelfSubjectAccessReviewSpec");

static const struct field authorization_v1_subject_access_review_status_fields[] = {
	BOOL("allowed", 1, DEFAULT("false")),
	STRING("reason", 2),
	STRING("evaluationError", 3),
	BOOL("denied", 4),
	FIELD_END,
};
TYPE(authorization_v1_subject_access_review_status, "authorization.v1.SubjectAccessReviewStatus");

static const struct field coordination_v1_lease_fields[] = {
	TYPE_META,
	OBJ("metadata", 1, object_meta_schema, DOC("Names, labels, owners and more.")),
	OBJ("spec", 2, coordination_v1_lease_spec, DOC("What the object should be.")),
	FIELD_END,
};
TYPE(coordination_v1_lease, "coordination.v1.Lease", .doc = "A lock with a holder and a time.");

static const struct field coordination_v1_lease_spec_fields[] = {
	STRING("holderIdentity", 1, OPTIONAL, DOC("Who holds the lease.")),
	INT32("leaseDurationSeconds", 2, OPTIONAL, DOC("How long it holds without being renewed.")),
	MICRO_TIME("acquireTime", 3, DOC("When it was taken.")),
	MICRO_TIME("renewTime", 4, DOC("When it was last renewed.")),
	INT32("leaseTransitions", 5, OPTIONAL, DOC("How often the holder changed.")),
	STRING("strategy", 6, OPTIONAL),
	STRING("preferredHolder", 7, OPTIONAL),
	FIELD_END,
};
TYPE(coordination_v1_lease_spec, "coordination.v1.LeaseSpec", .doc = "Who holds the lease and until when.");
