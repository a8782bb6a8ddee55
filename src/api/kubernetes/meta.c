/* What all kinds share: object references of owners, selectors, deletion options, Status (metadata itself: object_meta.c). */
#include "api/kubernetes/table.h"

/* One field a line. */
/* clang-format off */

static const struct field meta_v1_condition_fields[] = {
	STRING("type", 1, REQUIRED),
	STRING("status", 2, REQUIRED, DOC("True, False or Unknown.")),
	INT64("observedGeneration", 3),
	TIME("lastTransitionTime", 4, REQUIRED),
	STRING("reason", 5, REQUIRED),
	STRING("message", 6, REQUIRED),
	FIELD_END,
};
TYPE(meta_v1_condition, "meta.v1.Condition");

static const struct field meta_v1_delete_options_fields[] = {
	TYPE_META,
	INT64("gracePeriodSeconds", 1, OPTIONAL, DOC("Time for ending; 0 deletes at once.")),
	OBJ("preconditions", 2, meta_v1_preconditions, DOC("What must be true of the object.")),
	BOOL("orphanDependents", 3, OPTIONAL, DOC("Replaced by propagationPolicy.")),
	STRING("propagationPolicy", 4, OPTIONAL, DOC("What happens to objects that belong to it.")),
	STRINGS("dryRun", 5, DOC("All: nothing is changed.")),
	BOOL("ignoreStoreReadErrorWithClusterBreakingPotential", 6, OPTIONAL),
	FIELD_END,
};
TYPE(meta_v1_delete_options, "meta.v1.DeleteOptions", .doc = "How an object is to be deleted.");

static const struct field meta_v1_field_selector_requirement_fields[] = {
	STRING("key", 1, REQUIRED),
	STRING("operator", 2, REQUIRED),
	STRINGS("values", 3),
	FIELD_END,
};
TYPE(meta_v1_field_selector_requirement, "meta.v1.FieldSelectorRequirement");

static const struct field meta_v1_label_selector_fields[] = {
	STRING_MAP("matchLabels", 1, DOC("Labels that must be there with these values.")),
	LIST("matchExpressions", 2, meta_v1_label_selector_requirement, DOC("Terms on labels.")),
	FIELD_END,
};
TYPE(meta_v1_label_selector, "meta.v1.LabelSelector", .map_atomic = true,
     .doc = "Selects objects by their labels; all its terms must hold.");

static const struct field meta_v1_label_selector_requirement_fields[] = {
	STRING("key", 1, REQUIRED, DOC("Key of the label.")),
	STRING("operator", 2, REQUIRED, ONE_OF("In", "NotIn", "Exists", "DoesNotExist"),
		DOC("How the values are compared.")),
	STRINGS("values", 3, DOC("Values to compare with.")),
	FIELD_END,
};
TYPE(meta_v1_label_selector_requirement, "meta.v1.LabelSelectorRequirement");

static const struct field meta_v1_list_meta_fields[] = {
	STRING("selfLink", 1),
	STRING("resourceVersion", 2),
	STRING("continue", 3),
	INT64("remainingItemCount", 4, OPTIONAL),
	FIELD_END,
};
TYPE(meta_v1_list_meta, "meta.v1.ListMeta");

static const struct field meta_v1_managed_fields_entry_fields[] = {
	STRING("manager", 1),
	STRING("operation", 2),
	STRING("apiVersion", 3),
	TIME("time", 4),
	STRING("fieldsType", 6),
	ANY("fieldsV1", 7),
	STRING("subresource", 8),
	FIELD_END,
};
TYPE(meta_v1_managed_fields_entry, "meta.v1.ManagedFieldsEntry");

static const struct field meta_v1_owner_reference_fields[] = {
	STRING("kind", 1, REQUIRED, DOC("Kind of the owner.")),
	STRING("name", 3, REQUIRED, DOC("Name of the owner.")),
	STRING("uid", 4, REQUIRED, DOC("Identity of the owner.")),
	STRING("apiVersion", 5, REQUIRED, DOC("API version of the owner.")),
	BOOL("controller", 6, OPTIONAL, DOC("Whether the owner manages this object.")),
	BOOL("blockOwnerDeletion", 7, OPTIONAL,
		DOC("Whether the owner waits for this object when it is deleted in the foreground.")),
	FIELD_END,
};
TYPE(meta_v1_owner_reference, "meta.v1.OwnerReference", .map_atomic = true,
     .doc = "Names an object that this one belongs to.");

static const struct field meta_v1_preconditions_fields[] = {
	STRING("uid", 1, OPTIONAL),
	STRING("resourceVersion", 2, OPTIONAL),
	FIELD_END,
};
TYPE(meta_v1_preconditions, "meta.v1.Preconditions");

static const struct field meta_v1_status_fields[] = {
	TYPE_META,
	OBJ("metadata", 1, meta_v1_list_meta, DOC("Names, labels, owners and more.")),
	STRING("status", 2),
	STRING("message", 3),
	STRING("reason", 4),
	OBJ("details", 5, meta_v1_status_details),
	INT32("code", 6),
	FIELD_END,
};
TYPE(meta_v1_status, "meta.v1.Status", .doc = "How a request ended when it returns no object.");

static const struct field meta_v1_status_cause_fields[] = {
	STRING("reason", 1),
	STRING("message", 2),
	STRING("field", 3),
	FIELD_END,
};
TYPE(meta_v1_status_cause, "meta.v1.StatusCause");

static const struct field meta_v1_status_details_fields[] = {
	STRING("name", 1),
	STRING("group", 2),
	STRING("kind", 3),
	LIST("causes", 4, meta_v1_status_cause),
	INT32("retryAfterSeconds", 5),
	STRING("uid", 6),
	FIELD_END,
};
TYPE(meta_v1_status_details, "meta.v1.StatusDetails");
