/* Pod and its template, without what belongs to one container. */
#include "api/kubernetes/table.h"

/* One field a line. */
/* clang-format off */

static const struct field core_v1_app_armor_profile_fields[] = {
	STRING("type", 1, REQUIRED),
	STRING("localhostProfile", 2, OPTIONAL),
	FIELD_END,
};
TYPE(core_v1_app_armor_profile, "core.v1.AppArmorProfile");

static const struct field core_v1_host_alias_fields[] = {
	STRING("ip", 1, REQUIRED),
	STRINGS("hostnames", 2),
	FIELD_END,
};
TYPE(core_v1_host_alias, "core.v1.HostAlias");

static const struct field core_v1_host_ip_fields[] = {
	STRING("ip", 1, REQUIRED),
	FIELD_END,
};
TYPE(core_v1_host_ip, "core.v1.HostIP");

static const struct field core_v1_pod_fields[] = {
	TYPE_META,
	OBJ("metadata", 1, object_meta_schema, DOC("Names, labels, owners and more.")),
	OBJ("spec", 2, core_v1_pod_spec, DOC("What the pod should be.")),
	OBJ("status", 3, core_v1_pod_status, DEFAULT("{}"), DOC("What is known of the pod.")),
	FIELD_END,
};
TYPE(core_v1_pod, "core.v1.Pod", .doc = "Containers that run together on one node.");

static const struct field core_v1_pod_condition_fields[] = {
	STRING("type", 1, REQUIRED),
	STRING("status", 2, REQUIRED, DOC("True, False or Unknown.")),
	TIME("lastProbeTime", 3),
	TIME("lastTransitionTime", 4),
	STRING("reason", 5),
	STRING("message", 6),
	INT64("observedGeneration", 7),
	FIELD_END,
};
TYPE(core_v1_pod_condition, "core.v1.PodCondition");

static const struct field core_v1_pod_dns_config_fields[] = {
	STRINGS("nameservers", 1),
	STRINGS("searches", 2),
	LIST("options", 3, core_v1_pod_dns_config_option),
	FIELD_END,
};
TYPE(core_v1_pod_dns_config, "core.v1.PodDNSConfig");

static const struct field core_v1_pod_dns_config_option_fields[] = {
	STRING("name", 1),
	STRING("value", 2, OPTIONAL),
	FIELD_END,
};
TYPE(core_v1_pod_dns_config_option, "core.v1.PodDNSConfigOption");

static const struct field core_v1_pod_extended_resource_claim_status_fields[] = {
	LIST("requestMappings", 1, core_v1_container_extended_resource_request),
	STRING("resourceClaimName", 2, DEFAULT("\"\"")),
	FIELD_END,
};
TYPE(core_v1_pod_extended_resource_claim_status, "core.v1.PodExtendedResourceClaimStatus");

static const struct field core_v1_pod_ip_fields[] = {
	STRING("ip", 1, REQUIRED),
	FIELD_END,
};
TYPE(core_v1_pod_ip, "core.v1.PodIP");

static const struct field core_v1_pod_os_fields[] = {
	STRING("name", 1, REQUIRED),
	FIELD_END,
};
TYPE(core_v1_pod_os, "core.v1.PodOS");

static const struct field core_v1_pod_readiness_gate_fields[] = {
	STRING("conditionType", 1, REQUIRED),
	FIELD_END,
};
TYPE(core_v1_pod_readiness_gate, "core.v1.PodReadinessGate");

static const struct field core_v1_pod_resource_claim_fields[] = {
	STRING("name", 1, REQUIRED),
	STRING("resourceClaimName", 3),
	STRING("resourceClaimTemplateName", 4),
	FIELD_END,
};
TYPE(core_v1_pod_resource_claim, "core.v1.PodResourceClaim");

static const struct field core_v1_pod_resource_claim_status_fields[] = {
	STRING("name", 1, DEFAULT("\"\"")),
	STRING("resourceClaimName", 2),
	FIELD_END,
};
TYPE(core_v1_pod_resource_claim_status, "core.v1.PodResourceClaimStatus");

static const struct field core_v1_pod_security_context_fields[] = {
	OBJ("seLinuxOptions", 1, core_v1_se_linux_options),
	INT64("runAsUser", 2, OPTIONAL),
	BOOL("runAsNonRoot", 3, OPTIONAL),
	INT64S("supplementalGroups", 4),
	INT64("fsGroup", 5, OPTIONAL),
	INT64("runAsGroup", 6, OPTIONAL),
	LIST("sysctls", 7, core_v1_sysctl),
	OBJ("windowsOptions", 8, core_v1_windows_security_context_options),
	STRING("fsGroupChangePolicy", 9, OPTIONAL),
	OBJ("seccompProfile", 10, core_v1_seccomp_profile),
	OBJ("appArmorProfile", 11, core_v1_app_armor_profile),
	STRING("supplementalGroupsPolicy", 12, OPTIONAL),
	STRING("seLinuxChangePolicy", 13, OPTIONAL),
	FIELD_END,
};
TYPE(core_v1_pod_security_context, "core.v1.PodSecurityContext", .doc = "Rights of all containers of a pod.");

static const struct field core_v1_pod_spec_fields[] = {
	LIST("volumes", 1, core_v1_volume, KEYED("name"), MERGE("name"), RETAIN_KEYS,
		DOC("Volumes that containers may mount.")),
	LIST("containers", 2, core_v1_container, REQUIRED, KEYED("name"), MERGE("name"), .min_items = 1,
		DOC("Containers that run side by side.")),
	STRING("restartPolicy", 3, ONE_OF("Always", "OnFailure", "Never"), DEFAULT("\"Always\""),
		DOC("When containers that end are started again.")),
	INT64("terminationGracePeriodSeconds", 4, OPTIONAL, DEFAULT("30"),
		DOC("How long containers may take to end before they are killed.")),
	INT64("activeDeadlineSeconds", 5, OPTIONAL, AT_LEAST(1), DOC("How long the pod may run in all.")),
	STRING("dnsPolicy", 6, ONE_OF("ClusterFirst", "ClusterFirstWithHostNet", "Default", "None"),
		DEFAULT("\"ClusterFirst\""), DOC("Where names are looked up.")),
	ATOMIC_STRING_MAP("nodeSelector", 7, DOC("Labels that the node must have.")),
	STRING("serviceAccountName", 8, DOC("ServiceAccount that the pod runs as.")),
	STRING("serviceAccount", 9),
	STRING("nodeName", 10, DOC("Node that the pod is on; set by the scheduler.")),
	BOOL("hostNetwork", 11, DOC("Whether the pod uses the network of its node.")),
	BOOL("hostPID", 12, DOC("Whether the pod sees the processes of its node.")),
	BOOL("hostIPC", 13, DOC("Whether the pod shares the IPC namespace of its node.")),
	OBJ("securityContext", 14, core_v1_pod_security_context, DEFAULT("{}"), DOC("Rights of all containers.")),
	LIST("imagePullSecrets", 15, core_v1_local_object_reference, KEYED("name"), MERGE("name"),
		DOC("Secrets for pulling the images.")),
	STRING("hostname", 16, DOC("Host name inside the pod.")),
	STRING("subdomain", 17, DOC("Domain below the namespace's.")),
	OBJ("affinity", 18, core_v1_affinity, DOC("Where the pod would or must run.")),
	STRING("schedulerName", 19, DEFAULT("\"default-scheduler\""), DOC("Scheduler that places the pod.")),
	LIST("initContainers", 20, core_v1_container, KEYED("name"), MERGE("name"),
		DOC("Containers that run before the others, one after another.")),
	BOOL("automountServiceAccountToken", 21, OPTIONAL),
	LIST("tolerations", 22, core_v1_toleration, DOC("Taints of nodes that the pod does not mind.")),
	LIST("hostAliases", 23, core_v1_host_alias, KEYED("ip"), MERGE("ip"), DOC("Lines for /etc/hosts.")),
	STRING("priorityClassName", 24, DOC("Name of the priority.")),
	INT32("priority", 25, OPTIONAL, DOC("The priority as a number.")),
	OBJ("dnsConfig", 26, core_v1_pod_dns_config),
	BOOL("shareProcessNamespace", 27, OPTIONAL, DOC("Whether containers see the processes of one another.")),
	LIST("readinessGates", 28, core_v1_pod_readiness_gate),
	STRING("runtimeClassName", 29, OPTIONAL, DOC("How containers are run.")),
	BOOL("enableServiceLinks", 30, OPTIONAL, DOC("Whether services are announced in the environment.")),
	STRING("preemptionPolicy", 31, OPTIONAL, ONE_OF("PreemptLowerPriority", "Never"),
		DOC("Whether other pods may be ended to make room.")),
	QUANTITY_MAP("overhead", 32, DOC("What running a pod itself takes.")),
	LIST("topologySpreadConstraints", 33, core_v1_topology_spread_constraint, KEYED("topologyKey",
		"whenUnsatisfiable"), MERGE("topologyKey"), DOC("How pods are spread over nodes.")),
	LIST("ephemeralContainers", 34, core_v1_ephemeral_container, KEYED("name"), MERGE("name")),
	BOOL("setHostnameAsFQDN", 35, OPTIONAL),
	OBJ("os", 36, core_v1_pod_os),
	BOOL("hostUsers", 37, OPTIONAL),
	LIST("schedulingGates", 38, core_v1_pod_scheduling_gate, KEYED("name"), MERGE("name")),
	LIST("resourceClaims", 39, core_v1_pod_resource_claim, KEYED("name"), MERGE("name"), RETAIN_KEYS),
	OBJ("resources", 40, core_v1_resource_requirements),
	STRING("hostnameOverride", 41, OPTIONAL),
	FIELD_END,
};
TYPE(core_v1_pod_spec, "core.v1.PodSpec", .doc = "What a pod should be.");

static const struct field core_v1_pod_status_fields[] = {
	STRING("phase", 1, DEFAULT("\"Pending\""), DOC("Pending, Running, Succeeded, Failed or Unknown.")),
	LIST("conditions", 2, core_v1_pod_condition, KEYED("type"), MERGE("type"), DOC("What is true of the pod now.")),
	STRING("message", 3, DOC("Why the pod is in this state, for people.")),
	STRING("reason", 4, DOC("Why the pod is in this state, in one word.")),
	STRING("hostIP", 5, DOC("Address of the node.")),
	STRING("podIP", 6, DOC("Address of the pod.")),
	TIME("startTime", 7, DOC("When the node took the pod.")),
	LIST("containerStatuses", 8, core_v1_container_status, DOC("State of each container.")),
	STRING("qosClass", 9, DOC("Class of service that follows from the resources.")),
	LIST("initContainerStatuses", 10, core_v1_container_status, DOC("State of each init container.")),
	STRING("nominatedNodeName", 11, DOC("Node where room is being made for the pod.")),
	LIST("podIPs", 12, core_v1_pod_ip, KEYED("ip"), MERGE("ip")),
	LIST("ephemeralContainerStatuses", 13, core_v1_container_status),
	STRING("resize", 14),
	LIST("resourceClaimStatuses", 15, core_v1_pod_resource_claim_status, KEYED("name"), MERGE("name"), RETAIN_KEYS),
	LIST("hostIPs", 16, core_v1_host_ip, MERGE("ip")),
	INT64("observedGeneration", 17),
	OBJ("extendedResourceClaimStatus", 18, core_v1_pod_extended_resource_claim_status),
	FIELD_END,
};
TYPE(core_v1_pod_status, "core.v1.PodStatus", .doc = "What is known of a pod.");

static const struct field core_v1_pod_template_spec_fields[] = {
	OBJ("metadata", 1, object_meta_schema, DOC("Labels and annotations of the pods.")),
	OBJ("spec", 2, core_v1_pod_spec, DOC("What the pods should be.")),
	FIELD_END,
};
TYPE(core_v1_pod_template_spec, "core.v1.PodTemplateSpec", .doc = "What pods made from the template look like.");

static const struct field core_v1_se_linux_options_fields[] = {
	STRING("user", 1),
	STRING("role", 2),
	STRING("type", 3),
	STRING("level", 4),
	FIELD_END,
};
TYPE(core_v1_se_linux_options, "core.v1.SELinuxOptions");

static const struct field core_v1_seccomp_profile_fields[] = {
	STRING("type", 1, REQUIRED),
	STRING("localhostProfile", 2, OPTIONAL),
	FIELD_END,
};
TYPE(core_v1_seccomp_profile, "core.v1.SeccompProfile");

static const struct field core_v1_sysctl_fields[] = {
	STRING("name", 1, REQUIRED),
	STRING("value", 2, REQUIRED),
	FIELD_END,
};
TYPE(core_v1_sysctl, "core.v1.Sysctl");

static const struct field core_v1_windows_security_context_options_fields[] = {
	STRING("gmsaCredentialSpecName", 1, OPTIONAL),
	STRING("gmsaCredentialSpec", 2, OPTIONAL),
	STRING("runAsUserName", 3, OPTIONAL),
	BOOL("hostProcess", 4, OPTIONAL),
	FIELD_END,
};
TYPE(core_v1_windows_security_context_options, "core.v1.WindowsSecurityContextOptions");
