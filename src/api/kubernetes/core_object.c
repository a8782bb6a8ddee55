/* The small kinds of the core group, and references to objects. */
#include "api/kubernetes/table.h"

/* One field a line. */
/* clang-format off */

static const struct field core_v1_binding_fields[] = {
	TYPE_META,
	OBJ("metadata", 1, object_meta_schema, DOC("Names, labels, owners and more.")),
	OBJ("target", 2, core_v1_object_reference, REQUIRED),
	FIELD_END,
};
TYPE(core_v1_binding, "core.v1.Binding", .doc = "Puts a pod on a node.");

static const struct field core_v1_config_map_fields[] = {
	TYPE_META,
	OBJ("metadata", 1, object_meta_schema, DOC("Names, labels, owners and more.")),
	STRING_MAP("data", 2, DOC("Keys and texts.")),
	BYTES_MAP("binaryData", 3, DOC("Keys and bytes.")),
	BOOL("immutable", 4, OPTIONAL, DOC("Whether the data may not change any more.")),
	FIELD_END,
};
TYPE(core_v1_config_map, "core.v1.ConfigMap", .doc = "Settings for programs, as keys and values.");

static const struct field core_v1_event_fields[] = {
	TYPE_META,
	OBJ("metadata", 1, object_meta_schema, REQUIRED, DOC("Names, labels, owners and more.")),
	OBJ("involvedObject", 2, core_v1_object_reference, REQUIRED, DOC("What the event is about.")),
	STRING("reason", 3, DOC("What happened, in one word.")),
	STRING("message", 4, DOC("What happened, for people.")),
	OBJ("source", 5, core_v1_event_source, DOC("Who tells it.")),
	TIME("firstTimestamp", 6, DOC("When it happened first.")),
	TIME("lastTimestamp", 7, DOC("When it happened last.")),
	INT32("count", 8, DOC("How often it happened.")),
	STRING("type", 9, DOC("Normal or Warning.")),
	MICRO_TIME("eventTime", 10),
	OBJ("series", 11, core_v1_event_series),
	STRING("action", 12),
	OBJ("related", 13, core_v1_object_reference),
	STRING("reportingComponent", 14, DOC("Who tells it.")),
	STRING("reportingInstance", 15),
	FIELD_END,
};
TYPE(core_v1_event, "core.v1.Event", .doc = "Something that happened to an object.");

static const struct field core_v1_event_series_fields[] = {
	INT32("count", 1),
	MICRO_TIME("lastObservedTime", 2),
	FIELD_END,
};
TYPE(core_v1_event_series, "core.v1.EventSeries");

static const struct field core_v1_event_source_fields[] = {
	STRING("component", 1),
	STRING("host", 2),
	FIELD_END,
};
TYPE(core_v1_event_source, "core.v1.EventSource");

static const struct field core_v1_local_object_reference_fields[] = {
	STRING("name", 1),
	FIELD_END,
};
TYPE(core_v1_local_object_reference, "core.v1.LocalObjectReference", .map_atomic = true,
     .doc = "Names an object of the same namespace.");

static const struct field core_v1_namespace_fields[] = {
	TYPE_META,
	OBJ("metadata", 1, object_meta_schema, DOC("Names, labels, owners and more.")),
	OBJ("spec", 2, core_v1_namespace_spec, DEFAULT("{}"), DOC("What the object should be.")),
	OBJ("status", 3, core_v1_namespace_status, DEFAULT("{}"), DOC("What is known of the object.")),
	FIELD_END,
};
TYPE(core_v1_namespace, "core.v1.Namespace", .doc = "A space of names for objects.");

static const struct field core_v1_namespace_condition_fields[] = {
	STRING("type", 1, REQUIRED),
	STRING("status", 2, REQUIRED, DOC("True, False or Unknown.")),
	TIME("lastTransitionTime", 4),
	STRING("reason", 5),
	STRING("message", 6),
	FIELD_END,
};
TYPE(core_v1_namespace_condition, "core.v1.NamespaceCondition");

static const struct field core_v1_namespace_spec_fields[] = {
	STRINGS("finalizers", 1),
	FIELD_END,
};
TYPE(core_v1_namespace_spec, "core.v1.NamespaceSpec");

static const struct field core_v1_namespace_status_fields[] = {
	STRING("phase", 1, DEFAULT("\"Active\"")),
	LIST("conditions", 2, core_v1_namespace_condition, KEYED("type"), MERGE("type")),
	FIELD_END,
};
TYPE(core_v1_namespace_status, "core.v1.NamespaceStatus");

static const struct field core_v1_object_reference_fields[] = {
	STRING("kind", 1),
	STRING("namespace", 2),
	STRING("name", 3),
	STRING("uid", 4),
	STRING("apiVersion", 5),
	STRING("resourceVersion", 6),
	STRING("fieldPath", 7),
	FIELD_END,
};
TYPE(core_v1_object_reference, "core.v1.ObjectReference", .map_atomic = true, .doc = "Names another object.");

/* A PersistentVolume's claimRef: the same, its members owned one by one. */
TYPE_OF(core_v1_granular_object_reference, "core.v1.ObjectReference", core_v1_object_reference_fields);

static const struct field core_v1_secret_fields[] = {
	TYPE_META,
	OBJ("metadata", 1, object_meta_schema, DOC("Names, labels, owners and more.")),
	BYTES_MAP("data", 2, DOC("Keys and bytes, in base64.")),
	STRING("type", 3, DEFAULT("\"Opaque\""), IMMUTABLE, DOC("What kind of secret this is.")),
	STRING_MAP("stringData", 4, DOC("Keys and texts; written into data, never read back.")),
	BOOL("immutable", 5, OPTIONAL, DOC("Whether the data may not change any more.")),
	FIELD_END,
};
TYPE(core_v1_secret, "core.v1.Secret", .doc = "Values that are not for everyone to see, as keys and bytes.");

static const struct field core_v1_secret_reference_fields[] = {
	STRING("name", 1),
	STRING("namespace", 2),
	FIELD_END,
};
TYPE(core_v1_secret_reference, "core.v1.SecretReference", .map_atomic = true);

static const struct field core_v1_service_account_fields[] = {
	TYPE_META,
	OBJ("metadata", 1, object_meta_schema, DOC("Names, labels, owners and more.")),
	LIST("secrets", 2, core_v1_object_reference, KEYED("name"), MERGE("name"),
		DOC("Secrets that pods of the account may use.")),
	LIST("imagePullSecrets", 3, core_v1_local_object_reference, DOC("Secrets for pulling images.")),
	BOOL("automountServiceAccountToken", 4, OPTIONAL, DOC("Whether pods get a token.")),
	FIELD_END,
};
TYPE(core_v1_service_account, "core.v1.ServiceAccount", .doc = "An identity for the processes of pods.");
