/* CustomResourceDefinition. */
#include "api/kubernetes/table.h"

/* One field a line. */
/* clang-format off */

static const struct field apiextensions_v1_custom_resource_column_definition_fields[] = {
	STRING("name", 1, REQUIRED),
	STRING("type", 2, REQUIRED),
	STRING("format", 3),
	STRING("description", 4),
	INT32("priority", 5),
	STRING("jsonPath", 6, REQUIRED),
	FIELD_END,
};
TYPE(apiextensions_v1_custom_resource_column_definition, "apiextensions.v1.CustomResourceColumnDefinition");

static const struct field apiextensions_v1_custom_resource_conversion_fields[] = {
	STRING("strategy", 1, REQUIRED, ONE_OF("None", "Webhook")),
	OBJ("webhook", 2, apiextensions_v1_webhook_conversion),
	FIELD_END,
};
TYPE(apiextensions_v1_custom_resource_conversion, "apiextensions.v1.CustomResourceConversion");

static const struct field apiextensions_v1_custom_resource_definition_fields[] = {
	TYPE_META,
	OBJ("metadata", 1, object_meta_schema, DOC("Names, labels, owners and more.")),
	OBJ("spec", 2, apiextensions_v1_custom_resource_definition_spec, REQUIRED, DOC("What the object should be.")),
	OBJ("status", 3, apiextensions_v1_custom_resource_definition_status, DOC("What is known of the object.")),
	FIELD_END,
};
TYPE(apiextensions_v1_custom_resource_definition, "apiextensions.v1.CustomResourceDefinition",
     .doc = "Defines a kind of one's own.");

static const struct field apiextensions_v1_custom_resource_definition_condition_fields[] = {
	STRING("type", 1, REQUIRED),
	STRING("status", 2, REQUIRED, DOC("True, False or Unknown.")),
	TIME("lastTransitionTime", 3),
	STRING("reason", 4),
	STRING("message", 5),
	FIELD_END,
};
TYPE(apiextensions_v1_custom_resource_definition_condition, "apiextensions.v1.CustomResourceDefinitionCondition");

static const struct field apiextensions_v1_custom_resource_definition_names_fields[] = {
	STRING("plural", 1, REQUIRED, IMMUTABLE),
	STRING("singular", 2),
	STRINGS("shortNames", 3),
	STRING("kind", 4, REQUIRED, IMMUTABLE),
	STRING("listKind", 5),
	STRINGS("categories", 6),
	FIELD_END,
};
TYPE(apiextensions_v1_custom_resource_definition_names, "apiextensions.v1.CustomResourceDefinitionNames");

static const struct field apiextensions_v1_custom_resource_definition_spec_fields[] = {
	STRING("group", 1, REQUIRED, IMMUTABLE, DOC("Group of the kind.")),
	OBJ("names", 3, apiextensions_v1_custom_resource_definition_names, REQUIRED, DOC("Names of the kind.")),
	STRING("scope", 4, REQUIRED, ONE_OF("Cluster", "Namespaced"), IMMUTABLE, DOC("Namespaced or Cluster.")),
	LIST("versions", 7, apiextensions_v1_custom_resource_definition_version, REQUIRED, .min_items = 1,
		DOC("Versions of the kind.")),
	OBJ("conversion", 9, apiextensions_v1_custom_resource_conversion, DEFAULT("{\"strategy\":\"None\"}"),
		DOC("How versions are turned into one another.")),
	BOOL("preserveUnknownFields", 10),
	FIELD_END,
};
TYPE(apiextensions_v1_custom_resource_definition_spec, "apiextensions.v1.CustomResourceDefinitionSpec",
     .doc = "Names, scope and versions of the kind.");

static const struct field apiextensions_v1_custom_resource_definition_status_fields[] = {
	LIST("conditions", 1, apiextensions_v1_custom_resource_definition_condition, KEYED("type")),
	OBJ("acceptedNames", 2, apiextensions_v1_custom_resource_definition_names),
	STRINGS("storedVersions", 3),
	FIELD_END,
};
TYPE(apiextensions_v1_custom_resource_definition_status, "apiextensions.v1.CustomResourceDefinitionStatus");

static const struct field apiextensions_v1_custom_resource_definition_version_fields[] = {
	STRING("name", 1, REQUIRED),
	BOOL("served", 2, REQUIRED),
	BOOL("storage", 3, REQUIRED),
	OBJ("schema", 4, apiextensions_v1_custom_resource_validation),
	OBJ("subresources", 5, apiextensions_v1_custom_resource_subresources),
	LIST("additionalPrinterColumns", 6, apiextensions_v1_custom_resource_column_definition),
	BOOL("deprecated", 7),
	STRING("deprecationWarning", 8, OPTIONAL),
	LIST("selectableFields", 9, apiextensions_v1_selectable_field),
	FIELD_END,
};
TYPE(apiextensions_v1_custom_resource_definition_version, "apiextensions.v1.CustomResourceDefinitionVersion");

static const struct field apiextensions_v1_custom_resource_subresource_scale_fields[] = {
	STRING("specReplicasPath", 1, REQUIRED),
	STRING("statusReplicasPath", 2, REQUIRED),
	STRING("labelSelectorPath", 3, OPTIONAL),
	FIELD_END,
};
TYPE(apiextensions_v1_custom_resource_subresource_scale, "apiextensions.v1.CustomResourceSubresourceScale");

static const struct field apiextensions_v1_custom_resource_subresources_fields[] = {
	FREE_OBJECT("status", 1),
	OBJ("scale", 2, apiextensions_v1_custom_resource_subresource_scale),
	FIELD_END,
};
TYPE(apiextensions_v1_custom_resource_subresources, "apiextensions.v1.CustomResourceSubresources");

static const struct field apiextensions_v1_custom_resource_validation_fields[] = {
	OBJ("openAPIV3Schema", 1, apiextensions_v1_json_schema_props),
	FIELD_END,
};
TYPE(apiextensions_v1_custom_resource_validation, "apiextensions.v1.CustomResourceValidation");

static const struct field apiextensions_v1_external_documentation_fields[] = {
	STRING("description", 1),
	STRING("url", 2),
	FIELD_END,
};
TYPE(apiextensions_v1_external_documentation, "apiextensions.v1.ExternalDocumentation");

static const struct field apiextensions_v1_json_schema_props_fields[] = {
	STRING("id", 1),
	STRING("$schema", 2),
	STRING("$ref", 3, OPTIONAL),
	STRING("description", 4),
	STRING("type", 5),
	STRING("format", 6),
	STRING("title", 7),
	ANY("default", 8),
	DOUBLE("maximum", 9, OPTIONAL),
	BOOL("exclusiveMaximum", 10),
	DOUBLE("minimum", 11, OPTIONAL),
	BOOL("exclusiveMinimum", 12),
	INT64("maxLength", 13, OPTIONAL),
	INT64("minLength", 14, OPTIONAL),
	STRING("pattern", 15),
	INT64("maxItems", 16, OPTIONAL),
	INT64("minItems", 17, OPTIONAL),
	BOOL("uniqueItems", 18),
	DOUBLE("multipleOf", 19, OPTIONAL),
	ANYS("enum", 20),
	INT64("maxProperties", 21, OPTIONAL),
	INT64("minProperties", 22, OPTIONAL),
	STRINGS("required", 23),
	OBJ("items", 24, apiextensions_v1_json_schema_props_or_array),
	LIST("allOf", 25, apiextensions_v1_json_schema_props),
	LIST("oneOf", 26, apiextensions_v1_json_schema_props),
	LIST("anyOf", 27, apiextensions_v1_json_schema_props),
	OBJ("not", 28, apiextensions_v1_json_schema_props),
	MAP("properties", 29, apiextensions_v1_json_schema_props),
	OBJ("additionalProperties", 30, apiextensions_v1_json_schema_props_or_bool),
	MAP("patternProperties", 31, apiextensions_v1_json_schema_props),
	MAP("dependencies", 32, apiextensions_v1_json_schema_props_or_string_array),
	OBJ("additionalItems", 33, apiextensions_v1_json_schema_props_or_bool),
	MAP("definitions", 34, apiextensions_v1_json_schema_props),
	OBJ("externalDocs", 35, apiextensions_v1_external_documentation),
	ANY("example", 36),
	BOOL("nullable", 37),
	BOOL("x-kubernetes-preserve-unknown-fields", 38, OPTIONAL),
	BOOL("x-kubernetes-embedded-resource", 39),
	BOOL("x-kubernetes-int-or-string", 40),
	STRINGS("x-kubernetes-list-map-keys", 41),
	STRING("x-kubernetes-list-type", 42, OPTIONAL),
	STRING("x-kubernetes-map-type", 43, OPTIONAL),
	LIST("x-kubernetes-validations", 44, apiextensions_v1_validation_rule, KEYED("rule"), MERGE("rule")),
	FIELD_END,
};
TYPE(apiextensions_v1_json_schema_props, "apiextensions.v1.JSONSchemaProps",
     .doc = "A JSON schema, as OpenAPI 3 has it.");

static const struct field apiextensions_v1_selectable_field_fields[] = {
	STRING("jsonPath", 1, REQUIRED),
	FIELD_END,
};
TYPE(apiextensions_v1_selectable_field, "apiextensions.v1.SelectableField");

static const struct field apiextensions_v1_service_reference_fields[] = {
	STRING("namespace", 1, REQUIRED),
	STRING("name", 2, REQUIRED),
	STRING("path", 3, OPTIONAL),
	INT32("port", 4, OPTIONAL, PORT, DEFAULT("443")),
	FIELD_END,
};
TYPE(apiextensions_v1_service_reference, "apiextensions.v1.ServiceReference");

static const struct field apiextensions_v1_validation_rule_fields[] = {
	STRING("rule", 1, REQUIRED),
	STRING("message", 2),
	STRING("messageExpression", 3),
	STRING("reason", 4, OPTIONAL),
	STRING("fieldPath", 5),
	BOOL("optionalOldSelf", 6, OPTIONAL),
	FIELD_END,
};
TYPE(apiextensions_v1_validation_rule, "apiextensions.v1.ValidationRule");

static const struct field apiextensions_v1_webhook_client_config_fields[] = {
	OBJ("service", 1, apiextensions_v1_service_reference),
	BYTES("caBundle", 2),
	STRING("url", 3, OPTIONAL),
	FIELD_END,
};
TYPE(apiextensions_v1_webhook_client_config, "apiextensions.v1.WebhookClientConfig");

static const struct field apiextensions_v1_webhook_conversion_fields[] = {
	OBJ("clientConfig", 2, apiextensions_v1_webhook_client_config),
	STRINGS("conversionReviewVersions", 3, REQUIRED),
	FIELD_END,
};
TYPE(apiextensions_v1_webhook_conversion, "apiextensions.v1.WebhookConversion");

const struct schema apiextensions_v1_json_schema_props_or_array = {.type = SCHEMA_ANY, .name = "apiextensions.v1.JSONSchemaPropsOrArray"};
const struct schema apiextensions_v1_json_schema_props_or_bool = {.type = SCHEMA_ANY, .name = "apiextensions.v1.JSONSchemaPropsOrBool"};
const struct schema apiextensions_v1_json_schema_props_or_string_array = {.type = SCHEMA_ANY, .name = "apiextensions.v1.JSONSchemaPropsOrStringArray"};
