/* Kubernetes' kinds that are served: names, verbs, subresources. */
#include "api/kubernetes/columns.h"
#include "api/kubernetes/types.h"

#define NAMES(...) ((const char *const[]){__VA_ARGS__, NULL})
#define KIND(var, group_, kind_, plural_, namespaced_, singular_, schema_, ...)                                        \
	static const struct kind var = {.resource = {group_, "v1", kind_, plural_, namespaced_},                       \
					.list_kind = kind_ "List",                                                     \
					.singular = singular_,                                                         \
					.schema = &schema_,                                                            \
					__VA_ARGS__}

KIND(namespace_kind, "", "Namespace", "namespaces", false, "namespace", core_v1_namespace, .short_names = NAMES("ns"),
     .subresources = SUB_STATUS | SUB_FINALIZE, .verbs = VERBS_ALL & ~VERB_DELETECOLLECTION,
     .columns = namespace_columns, .doc = "A space of names for objects.");
KIND(node_kind, "", "Node", "nodes", false, "node", core_v1_node, .short_names = NAMES("no"),
     .subresources = SUB_STATUS, .verbs = VERBS_ALL, .columns = node_columns, .doc = "A machine that runs pods.");
KIND(pod_kind, "", "Pod", "pods", true, "pod", core_v1_pod, .short_names = NAMES("po"), .categories = NAMES("all"),
     .subresources = SUB_STATUS | SUB_LOG | SUB_BINDING | SUB_EVICTION | SUB_REMOTE, .verbs = VERBS_ALL,
     .columns = pod_columns, .doc = "Containers that run together on one node.");
KIND(config_map_kind, "", "ConfigMap", "configmaps", true, "configmap", core_v1_config_map, .short_names = NAMES("cm"),
     .verbs = VERBS_ALL, .columns = config_map_columns, .doc = "Settings for programs, as keys and values.");
KIND(secret_kind, "", "Secret", "secrets", true, "secret", core_v1_secret, .verbs = VERBS_ALL,
     .columns = secret_columns, .doc = "Values that are not for everyone to see, as keys and bytes.");
KIND(service_account_kind, "", "ServiceAccount", "serviceaccounts", true, "serviceaccount", core_v1_service_account,
     .short_names = NAMES("sa"), .subresources = SUB_TOKEN, .verbs = VERBS_ALL, .columns = service_account_columns,
     .doc = "An identity for the processes of pods.");
KIND(service_kind, "", "Service", "services", true, "service", core_v1_service, .short_names = NAMES("svc"),
     .categories = NAMES("all"), .subresources = SUB_STATUS, .verbs = VERBS_ALL, .columns = service_columns,
     .doc = "A name and a set of ports for pods that a selector finds.");
KIND(endpoints_kind, "", "Endpoints", "endpoints", true, "endpoints", core_v1_endpoints, .short_names = NAMES("ep"),
     .verbs = VERBS_ALL, .columns = endpoints_columns, .doc = "The addresses behind a Service.");
KIND(event_kind, "", "Event", "events", true, "event", core_v1_event, .short_names = NAMES("ev"), .verbs = VERBS_ALL,
     .columns = event_columns, .doc = "Something that happened to an object.");
KIND(events_event_kind, "events.k8s.io", "Event", "events", true, "event", events_v1_event, .short_names = NAMES("ev"),
     .verbs = VERBS_ALL, .columns = event_columns, .doc = "Something that happened to an object.");
KIND(persistent_volume_kind, "", "PersistentVolume", "persistentvolumes", false, "persistentvolume",
     core_v1_persistent_volume, .short_names = NAMES("pv"), .subresources = SUB_STATUS, .verbs = VERBS_ALL,
     .columns = persistent_volume_columns, .doc = "Storage that the cluster has.");
KIND(persistent_volume_claim_kind, "", "PersistentVolumeClaim", "persistentvolumeclaims", true, "persistentvolumeclaim",
     core_v1_persistent_volume_claim, .short_names = NAMES("pvc"), .subresources = SUB_STATUS, .verbs = VERBS_ALL,
     .columns = persistent_volume_claim_columns, .doc = "A wish for storage, bound to a PersistentVolume.");
KIND(stateful_set_kind, "apps", "StatefulSet", "statefulsets", true, "statefulset", apps_v1_stateful_set,
     .short_names = NAMES("sts"), .categories = NAMES("all"), .subresources = SUB_STATUS | SUB_SCALE,
     .scale_spec_path = ".spec.replicas", .scale_status_path = ".status.replicas",
     .scale_selector_path = ".spec.selector", .verbs = VERBS_ALL, .columns = stateful_set_columns,
     .doc = "Pods with an order and names that stay.");
KIND(daemon_set_kind, "apps", "DaemonSet", "daemonsets", true, "daemonset", apps_v1_daemon_set,
     .short_names = NAMES("ds"), .categories = NAMES("all"), .subresources = SUB_STATUS, .verbs = VERBS_ALL,
     .columns = daemon_set_columns, .doc = "One pod on each node that its template selects.");
KIND(storage_class_kind, "storage.k8s.io", "StorageClass", "storageclasses", false, "storageclass",
     storage_v1_storage_class, .short_names = NAMES("sc"), .verbs = VERBS_ALL, .columns = storage_class_columns,
     .doc = "A kind of storage that claims may ask for.");
KIND(csi_driver_kind, "storage.k8s.io", "CSIDriver", "csidrivers", false, "csidriver", storage_v1_csi_driver,
     .verbs = VERBS_ALL, .columns = csi_driver_columns, .doc = "What the cluster must know of a storage plug-in.");
KIND(csi_node_kind, "storage.k8s.io", "CSINode", "csinodes", false, "csinode", storage_v1_csi_node, .verbs = VERBS_ALL,
     .columns = csi_node_columns, .doc = "The storage plug-ins of a node.");
KIND(volume_attachment_kind, "storage.k8s.io", "VolumeAttachment", "volumeattachments", false, "volumeattachment",
     storage_v1_volume_attachment, .subresources = SUB_STATUS, .verbs = VERBS_ALL, .columns = volume_attachment_columns,
     .doc = "The wish that a volume be attached to a node.");
KIND(lease_kind, "coordination.k8s.io", "Lease", "leases", true, "lease", coordination_v1_lease, .verbs = VERBS_ALL,
     .columns = lease_columns, .doc = "A lock with a holder and a time.");

KIND(deployment_kind, "apps", "Deployment", "deployments", true, "deployment", apps_v1_deployment,
     .short_names = NAMES("deploy"), .categories = NAMES("all"), .subresources = SUB_STATUS | SUB_SCALE,
     .scale_spec_path = ".spec.replicas", .scale_status_path = ".status.replicas",
     .scale_selector_path = ".spec.selector", .verbs = VERBS_ALL, .columns = deployment_columns,
     .doc = "Pods without names of their own, replaced step by step.");
KIND(replica_set_kind, "apps", "ReplicaSet", "replicasets", true, "replicaset", apps_v1_replica_set,
     .short_names = NAMES("rs"), .categories = NAMES("all"), .subresources = SUB_STATUS | SUB_SCALE,
     .scale_spec_path = ".spec.replicas", .scale_status_path = ".status.replicas",
     .scale_selector_path = ".spec.selector", .verbs = VERBS_ALL, .columns = replica_set_columns,
     .doc = "A number of equal pods.");
KIND(controller_revision_kind, "apps", "ControllerRevision", "controllerrevisions", true, "controllerrevision",
     apps_v1_controller_revision, .verbs = VERBS_ALL, .columns = controller_revision_columns,
     .doc = "An earlier state of a StatefulSet or DaemonSet.");
KIND(job_kind, "batch", "Job", "jobs", true, "job", batch_v1_job, .categories = NAMES("all"),
     .subresources = SUB_STATUS, .verbs = VERBS_ALL, .columns = job_columns,
     .doc = "Pods that run until they have succeeded.");
KIND(cron_job_kind, "batch", "CronJob", "cronjobs", true, "cronjob", batch_v1_cron_job, .short_names = NAMES("cj"),
     .categories = NAMES("all"), .subresources = SUB_STATUS, .verbs = VERBS_ALL, .columns = cron_job_columns,
     .doc = "Jobs at certain times.");
KIND(cluster_role_kind, "rbac.authorization.k8s.io", "ClusterRole", "clusterroles", false, "clusterrole",
     rbac_v1_cluster_role, .verbs = VERBS_ALL, .columns = role_columns,
     .doc = "Rules of what may be done, in all namespaces.");
KIND(cluster_role_binding_kind, "rbac.authorization.k8s.io", "ClusterRoleBinding", "clusterrolebindings", false,
     "clusterrolebinding", rbac_v1_cluster_role_binding, .verbs = VERBS_ALL, .columns = role_binding_columns,
     .doc = "Gives a ClusterRole to subjects, in all namespaces.");
KIND(role_kind, "rbac.authorization.k8s.io", "Role", "roles", true, "role", rbac_v1_role, .verbs = VERBS_ALL,
     .columns = role_columns, .doc = "Rules of what may be done in one namespace.");
KIND(role_binding_kind, "rbac.authorization.k8s.io", "RoleBinding", "rolebindings", true, "rolebinding",
     rbac_v1_role_binding, .verbs = VERBS_ALL, .columns = role_binding_columns,
     .doc = "Gives a role to subjects in one namespace.");
KIND(pod_disruption_budget_kind, "policy", "PodDisruptionBudget", "poddisruptionbudgets", true, "poddisruptionbudget",
     policy_v1_pod_disruption_budget, .short_names = NAMES("pdb"), .subresources = SUB_STATUS, .verbs = VERBS_ALL,
     .columns = pod_disruption_budget_columns, .doc = "How many of a set of pods may be evicted at a time.");
KIND(priority_class_kind, "scheduling.k8s.io", "PriorityClass", "priorityclasses", false, "priorityclass",
     scheduling_v1_priority_class, .short_names = NAMES("pc"), .verbs = VERBS_ALL, .columns = priority_class_columns,
     .doc = "A name for a priority of pods.");

KIND(mutating_webhook_configuration_kind, "admissionregistration.k8s.io", "MutatingWebhookConfiguration",
     "mutatingwebhookconfigurations", false, "mutatingwebhookconfiguration",
     admissionregistration_v1_mutating_webhook_configuration, .categories = NAMES("api-extensions"), .verbs = VERBS_ALL,
     .columns = webhook_configuration_columns, .doc = "Webhooks that may change the objects of requests.");
KIND(validating_webhook_configuration_kind, "admissionregistration.k8s.io", "ValidatingWebhookConfiguration",
     "validatingwebhookconfigurations", false, "validatingwebhookconfiguration",
     admissionregistration_v1_validating_webhook_configuration, .categories = NAMES("api-extensions"),
     .verbs = VERBS_ALL, .columns = webhook_configuration_columns, .doc = "Webhooks that accept or refuse requests.");

/* A question: never stored, so there is no list. */
#define REVIEW(var, group_, kind_, plural_, namespaced_, singular_, schema_, doc_)                                     \
	static const struct kind var = {.resource = {group_, "v1", kind_, plural_, namespaced_},                       \
					.singular = singular_,                                                         \
					.schema = &schema_,                                                            \
					.verbs = VERB_CREATE,                                                          \
					.doc = doc_}

REVIEW(self_subject_access_review_kind, "authorization.k8s.io", "SelfSubjectAccessReview", "selfsubjectaccessreviews",
       false, "selfsubjectaccessreview", authorization_v1_self_subject_access_review,
       "Asks whether the caller may do something.");
REVIEW(self_subject_rules_review_kind, "authorization.k8s.io", "SelfSubjectRulesReview", "selfsubjectrulesreviews",
       false, "selfsubjectrulesreview", authorization_v1_self_subject_rules_review,
       "Asks what the caller may do in a namespace.");
REVIEW(subject_access_review_kind, "authorization.k8s.io", "SubjectAccessReview", "subjectaccessreviews", false,
       "subjectaccessreview", authorization_v1_subject_access_review, "Asks whether somebody may do something.");
REVIEW(local_subject_access_review_kind, "authorization.k8s.io", "LocalSubjectAccessReview",
       "localsubjectaccessreviews", true, "localsubjectaccessreview", authorization_v1_local_subject_access_review,
       "Asks whether somebody may do something in one namespace.");
REVIEW(token_review_kind, "authentication.k8s.io", "TokenReview", "tokenreviews", false, "tokenreview",
       authentication_v1_token_review, "Asks whether a token is good and whose it is.");
REVIEW(self_subject_review_kind, "authentication.k8s.io", "SelfSubjectReview", "selfsubjectreviews", false,
       "selfsubjectreview", authentication_v1_self_subject_review, "Asks who the caller is.");

const struct kind crd_kind = {
	.resource = {"apiextensions.k8s.io", "v1", "CustomResourceDefinition", "customresourcedefinitions", false},
	.list_kind = "CustomResourceDefinitionList",
	.singular = "customresourcedefinition",
	.short_names = NAMES("crd", "crds"),
	.categories = NAMES("api-extensions"),
	.schema = &apiextensions_v1_custom_resource_definition,
	.subresources = SUB_STATUS,
	.verbs = VERBS_ALL,
	.columns = crd_columns,
	.doc = "Defines a kind of one's own.",
};

const struct kind *const kubernetes_kinds[] = {
	&namespace_kind,
	&node_kind,
	&pod_kind,
	&config_map_kind,
	&secret_kind,
	&service_account_kind,
	&service_kind,
	&endpoints_kind,
	&event_kind,
	&persistent_volume_kind,
	&persistent_volume_claim_kind,
	&stateful_set_kind,
	&daemon_set_kind,
	&deployment_kind,
	&replica_set_kind,
	&controller_revision_kind,
	&job_kind,
	&cron_job_kind,
	&storage_class_kind,
	&csi_driver_kind,
	&csi_node_kind,
	&volume_attachment_kind,
	&lease_kind,
	&cluster_role_kind,
	&cluster_role_binding_kind,
	&role_kind,
	&role_binding_kind,
	&pod_disruption_budget_kind,
	&priority_class_kind,
	&events_event_kind,
	&mutating_webhook_configuration_kind,
	&validating_webhook_configuration_kind,
	&self_subject_access_review_kind,
	&self_subject_rules_review_kind,
	&subject_access_review_kind,
	&local_subject_access_review_kind,
	&self_subject_review_kind,
	&token_review_kind,
	&crd_kind,
	NULL,
};
