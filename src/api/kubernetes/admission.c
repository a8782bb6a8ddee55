/* Configurations of admission webhooks. */
#include "api/kubernetes/table.h"

/* One field a line. */
/* clang-format off */

static const struct field admissionregistration_v1_service_reference_fields[] = {
	STRING("namespace", 1, REQUIRED, DOC("Namespace of the Service.")),
	STRING("name", 2, REQUIRED, DOC("Name of the Service.")),
	STRING("path", 3, OPTIONAL, DOC("Path of the URL that is asked.")),
	INT32("port", 4, OPTIONAL, DEFAULT("443"), DOC("Port of the Service.")),
	FIELD_END,
};
TYPE(admissionregistration_v1_service_reference, "admissionregistration.v1.ServiceReference");

static const struct field admissionregistration_v1_webhook_client_config_fields[] = {
	OBJ("service", 1, admissionregistration_v1_service_reference, DOC("A Service of the cluster; either this or url.")),
	BYTES("caBundle", 2, DOC("Certificates, in PEM, one of which signed the webhook's; absent: the machine's.")),
	STRING("url", 3, OPTIONAL, DOC("Where the webhook is, as https://host:port/path.")),
	FIELD_END,
};
TYPE(admissionregistration_v1_webhook_client_config, "admissionregistration.v1.WebhookClientConfig");

static const struct field admissionregistration_v1_rule_with_operations_fields[] = {
	STRINGS("operations", 1, DOC("CREATE, UPDATE, DELETE, CONNECT or *.")),
	STRINGS("apiGroups", 1, OUTER(2), DOC("Groups of the resources, or *.")),
	STRINGS("apiVersions", 2, OUTER(2), DOC("Versions of the resources, or *.")),
	STRINGS("resources", 3, OUTER(2), DOC("Resources, as pods, pods/status, pods/*, */scale or *.")),
	STRING("scope", 4, OUTER(2), OPTIONAL, ONE_OF("*", "Cluster", "Namespaced"), DEFAULT("\"*\""),
		DOC("Whether objects of namespaces, of none, or both are meant.")),
	FIELD_END,
};
TYPE(admissionregistration_v1_rule_with_operations, "admissionregistration.v1.RuleWithOperations");

static const struct field admissionregistration_v1_match_condition_fields[] = {
	STRING("name", 1, REQUIRED),
	STRING("expression", 2, REQUIRED),
	FIELD_END,
};
TYPE(admissionregistration_v1_match_condition, "admissionregistration.v1.MatchCondition");

#define WEBHOOK(object_selector_pb, conditions_pb)                                                                     \
	STRING("name", 1, REQUIRED, DOC("Name of the webhook, as a domain of three parts or more.")),                  \
	OBJ("clientConfig", 2, admissionregistration_v1_webhook_client_config, REQUIRED,                               \
		DOC("Where the webhook is.")),                                                                         \
	LIST("rules", 3, admissionregistration_v1_rule_with_operations, DOC("Which requests it is asked about.")),     \
	STRING("failurePolicy", 4, OPTIONAL, ONE_OF("Fail", "Ignore"), DEFAULT("\"Fail\""),                            \
		DOC("What happens to a request when the webhook cannot be asked.")),                                   \
	OBJ("namespaceSelector", 5, meta_v1_label_selector, DEFAULT("{}"),                                             \
		DOC("Labels of the namespaces whose objects it is asked about.")),                                     \
	STRING("sideEffects", 6, REQUIRED, OPTIONAL, ONE_OF("None", "NoneOnDryRun"),                                   \
		DOC("Whether it changes anything else when it is asked.")),                                            \
	INT32("timeoutSeconds", 7, OPTIONAL, DEFAULT("10"), DOC("How long it may take, 1 to 30.")),                    \
	STRINGS("admissionReviewVersions", 8, REQUIRED, DOC("Versions of AdmissionReview that it knows.")),            \
	STRING("matchPolicy", 9, OPTIONAL, ONE_OF("Equivalent", "Exact"), DEFAULT("\"Equivalent\""),                   \
		DOC("Whether a rule for one version of a resource means its other versions too.")),                    \
	OBJ("objectSelector", object_selector_pb, meta_v1_label_selector, DEFAULT("{}"),                               \
		DOC("Labels of the objects that it is asked about.")),                                                 \
	LIST("matchConditions", conditions_pb, admissionregistration_v1_match_condition, KEYED("name"), MERGE("name"))

static const struct field admissionregistration_v1_validating_webhook_fields[] = {
	WEBHOOK(10, 11),
	FIELD_END,
};
TYPE(admissionregistration_v1_validating_webhook, "admissionregistration.v1.ValidatingWebhook");

static const struct field admissionregistration_v1_mutating_webhook_fields[] = {
	WEBHOOK(11, 12),
	STRING("reinvocationPolicy", 10, OPTIONAL, ONE_OF("IfNeeded", "Never"), DEFAULT("\"Never\""),
		DOC("Whether it is asked again when a later one changed the object.")),
	FIELD_END,
};
TYPE(admissionregistration_v1_mutating_webhook, "admissionregistration.v1.MutatingWebhook");

static const struct field admissionregistration_v1_validating_webhook_configuration_fields[] = {
	TYPE_META,
	OBJ("metadata", 1, object_meta_schema, DOC("Names, labels, owners and more.")),
	LIST("webhooks", 2, admissionregistration_v1_validating_webhook, KEYED("name"), MERGE("name"),
		DOC("The webhooks.")),
	FIELD_END,
};
TYPE(admissionregistration_v1_validating_webhook_configuration, "admissionregistration.v1.ValidatingWebhookConfiguration",
     .doc = "Webhooks that accept or refuse requests.");

static const struct field admissionregistration_v1_mutating_webhook_configuration_fields[] = {
	TYPE_META,
	OBJ("metadata", 1, object_meta_schema, DOC("Names, labels, owners and more.")),
	LIST("webhooks", 2, admissionregistration_v1_mutating_webhook, KEYED("name"), MERGE("name"),
		DOC("The webhooks.")),
	FIELD_END,
};
TYPE(admissionregistration_v1_mutating_webhook_configuration, "admissionregistration.v1.MutatingWebhookConfiguration",
     .doc = "Webhooks that may change the objects of requests.");
