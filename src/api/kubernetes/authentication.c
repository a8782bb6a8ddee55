/* Reviews of tokens and of who the caller is. */
#include "api/kubernetes/table.h"

/* One field a line. */
/* clang-format off */

static const struct field authentication_v1_self_subject_review_fields[] = {
	TYPE_META,
	OBJ("metadata", 1, object_meta_schema, DOC("Names, labels, owners and more.")),
	OBJ("status", 2, authentication_v1_self_subject_review_status, DEFAULT("{}"),
		DOC("What is known of the object.")),
	FIELD_END,
};
TYPE(authentication_v1_self_subject_review, "authentication.v1.SelfSubjectReview",
     .doc = "Asks who the caller is.");

static const struct field authentication_v1_self_subject_review_status_fields[] = {
	OBJ("userInfo", 1, authentication_v1_user_info),
	FIELD_END,
};
TYPE(authentication_v1_self_subject_review_status, "authentication.v1.SelfSubjectReviewStatus");

static const struct field authentication_v1_bound_object_reference_fields[] = {
	STRING("kind", 1),
	STRING("apiVersion", 2),
	STRING("name", 3),
	STRING("uid", 4),
	FIELD_END,
};
TYPE(authentication_v1_bound_object_reference, "authentication.v1.BoundObjectReference");

static const struct field authentication_v1_token_request_fields[] = {
	TYPE_META,
	OBJ("metadata", 1, object_meta_schema, DOC("Names, labels, owners and more.")),
	OBJ("spec", 2, authentication_v1_token_request_spec, REQUIRED, DOC("What the token should be.")),
	OBJ("status", 3, authentication_v1_token_request_status, DOC("The token.")),
	FIELD_END,
};
TYPE(authentication_v1_token_request, "authentication.v1.TokenRequest", .doc = "Asks for a token of a service account.");

static const struct field authentication_v1_token_request_spec_fields[] = {
	STRINGS("audiences", 1, DOC("For whom the token is; this server when unset.")),
	OBJ("boundObjectRef", 3, authentication_v1_bound_object_reference),
	INT64("expirationSeconds", 4, OPTIONAL, DOC("How long it is good.")),
	FIELD_END,
};
TYPE(authentication_v1_token_request_spec, "authentication.v1.TokenRequestSpec");

static const struct field authentication_v1_token_request_status_fields[] = {
	STRING("token", 1, DOC("The token.")),
	TIME("expirationTimestamp", 2, DOC("When it ends.")),
	FIELD_END,
};
TYPE(authentication_v1_token_request_status, "authentication.v1.TokenRequestStatus");

static const struct field authentication_v1_token_review_fields[] = {
	TYPE_META,
	OBJ("metadata", 1, object_meta_schema, DOC("Names, labels, owners and more.")),
	OBJ("spec", 2, authentication_v1_token_review_spec, REQUIRED, DOC("What the object should be.")),
	OBJ("status", 3, authentication_v1_token_review_status, DEFAULT("{}"),
		DOC("What is known of the object.")),
	FIELD_END,
};
TYPE(authentication_v1_token_review, "authentication.v1.TokenReview",
     .doc = "Asks whether a token is good and whose it is.");

static const struct field authentication_v1_token_review_spec_fields[] = {
	STRING("token", 1, DOC("The token to review.")),
	STRINGS("audiences", 2, DOC("For whom it should be.")),
	FIELD_END,
};
TYPE(authentication_v1_token_review_spec, "authentication.v1.TokenReviewSpec");

static const struct field authentication_v1_token_review_status_fields[] = {
	BOOL("authenticated", 1, DOC("Whether the token is good.")),
	OBJ("user", 2, authentication_v1_user_info, DEFAULT("{}"), DOC("Whose it is.")),
	STRING("error", 3),
	STRINGS("audiences", 4),
	FIELD_END,
};
TYPE(authentication_v1_token_review_status, "authentication.v1.TokenReviewStatus");

static const struct field authentication_v1_user_info_fields[] = {
	STRING("username", 1),
	STRING("uid", 2),
	STRINGS("groups", 3),
	MAP("extra", 4, schema_string_list),
	FIELD_END,
};
TYPE(authentication_v1_user_info, "authentication.v1.UserInfo", .doc = "Who somebody is.");
