/* Service and Endpoints. */
#include "api/kubernetes/table.h"

/* One field a line. */
/* clang-format off */

static const struct field core_v1_client_ip_config_fields[] = {
	INT32("timeoutSeconds", 1, OPTIONAL),
	FIELD_END,
};
TYPE(core_v1_client_ip_config, "core.v1.ClientIPConfig");

static const struct field core_v1_endpoint_address_fields[] = {
	STRING("ip", 1, REQUIRED),
	OBJ("targetRef", 2, core_v1_object_reference),
	STRING("hostname", 3),
	STRING("nodeName", 4, OPTIONAL),
	FIELD_END,
};
TYPE(core_v1_endpoint_address, "core.v1.EndpointAddress", .map_atomic = true);

static const struct field core_v1_endpoint_port_fields[] = {
	STRING("name", 1),
	INT32("port", 2, REQUIRED, PORT),
	STRING("protocol", 3, ONE_OF("TCP", "UDP", "SCTP"), DEFAULT("\"TCP\"")),
	STRING("appProtocol", 4, OPTIONAL),
	FIELD_END,
};
TYPE(core_v1_endpoint_port, "core.v1.EndpointPort", .map_atomic = true);

static const struct field core_v1_endpoint_subset_fields[] = {
	LIST("addresses", 1, core_v1_endpoint_address),
	LIST("notReadyAddresses", 2, core_v1_endpoint_address),
	LIST("ports", 3, core_v1_endpoint_port),
	FIELD_END,
};
TYPE(core_v1_endpoint_subset, "core.v1.EndpointSubset");

static const struct field core_v1_endpoints_fields[] = {
	TYPE_META,
	OBJ("metadata", 1, object_meta_schema, DOC("Names, labels, owners and more.")),
	LIST("subsets", 2, core_v1_endpoint_subset, DOC("Addresses with their ports.")),
	FIELD_END,
};
TYPE(core_v1_endpoints, "core.v1.Endpoints", .doc = "The addresses behind a Service.");

static const struct field core_v1_load_balancer_ingress_fields[] = {
	STRING("ip", 1),
	STRING("hostname", 2),
	STRING("ipMode", 3, OPTIONAL),
	LIST("ports", 4, core_v1_port_status),
	FIELD_END,
};
TYPE(core_v1_load_balancer_ingress, "core.v1.LoadBalancerIngress");

static const struct field core_v1_load_balancer_status_fields[] = {
	LIST("ingress", 1, core_v1_load_balancer_ingress),
	FIELD_END,
};
TYPE(core_v1_load_balancer_status, "core.v1.LoadBalancerStatus");

static const struct field core_v1_port_status_fields[] = {
	INT32("port", 1, DEFAULT("0")),
	STRING("protocol", 2, DEFAULT("\"\"")),
	STRING("error", 3, OPTIONAL),
	FIELD_END,
};
TYPE(core_v1_port_status, "core.v1.PortStatus");

static const struct field core_v1_service_fields[] = {
	TYPE_META,
	OBJ("metadata", 1, object_meta_schema, DOC("Names, labels, owners and more.")),
	OBJ("spec", 2, core_v1_service_spec, DOC("What the object should be.")),
	OBJ("status", 3, core_v1_service_status, DEFAULT("{}"), DOC("What is known of the object.")),
	FIELD_END,
};
TYPE(core_v1_service, "core.v1.Service", .doc = "A name and a set of ports for pods that a selector finds.");

static const struct field core_v1_service_port_fields[] = {
	STRING("name", 1, DOC("Name of the port.")),
	STRING("protocol", 2, ONE_OF("TCP", "UDP", "SCTP"), DEFAULT("\"TCP\""), DOC("TCP, UDP or SCTP.")),
	INT32("port", 3, REQUIRED, PORT, DOC("Port of the service.")),
	INT_OR_STRING("targetPort", 4, DOC("Port of the pods.")),
	INT32("nodePort", 5, AT_LEAST(0), AT_MOST(65535), DOC("Port on every node.")),
	STRING("appProtocol", 6, OPTIONAL, DOC("Protocol spoken on the port.")),
	FIELD_END,
};
TYPE(core_v1_service_port, "core.v1.ServicePort", .doc = "A port of a service.");

static const struct field core_v1_service_spec_fields[] = {
	LIST("ports", 1, core_v1_service_port, KEYED("port", "protocol"), MERGE("port"),
		DOC("Ports that the service has.")),
	ATOMIC_STRING_MAP("selector", 2, DOC("Labels of the pods behind the service.")),
	STRING("clusterIP", 3, DOC("Address of the service; None for a headless one.")),
	STRING("type", 4, ONE_OF("ClusterIP", "NodePort", "LoadBalancer", "ExternalName"), DEFAULT("\"ClusterIP\""),
		DOC("How the service can be reached.")),
	STRINGS("externalIPs", 5),
	STRING("sessionAffinity", 7, ONE_OF("ClientIP", "None"), DEFAULT("\"None\""),
		DOC("Whether a client stays with one pod.")),
	STRING("loadBalancerIP", 8),
	STRINGS("loadBalancerSourceRanges", 9),
	STRING("externalName", 10, DOC("Name that the service stands for.")),
	STRING("externalTrafficPolicy", 11, ONE_OF("Cluster", "Local")),
	INT32("healthCheckNodePort", 12),
	BOOL("publishNotReadyAddresses", 13, DOC("Whether pods are listed before they are ready.")),
	OBJ("sessionAffinityConfig", 14, core_v1_session_affinity_config),
	STRING("ipFamilyPolicy", 17, OPTIONAL, ONE_OF("SingleStack", "PreferDualStack", "RequireDualStack")),
	STRINGS("clusterIPs", 18),
	STRINGS("ipFamilies", 19),
	BOOL("allocateLoadBalancerNodePorts", 20, OPTIONAL),
	STRING("loadBalancerClass", 21, OPTIONAL),
	STRING("internalTrafficPolicy", 22, OPTIONAL, ONE_OF("Cluster", "Local")),
	STRING("trafficDistribution", 23, OPTIONAL),
	FIELD_END,
};
TYPE(core_v1_service_spec, "core.v1.ServiceSpec", .doc = "What the service should be.");

static const struct field core_v1_service_status_fields[] = {
	OBJ("loadBalancer", 1, core_v1_load_balancer_status, DEFAULT("{}")),
	LIST("conditions", 2, meta_v1_condition, KEYED("type"), MERGE("type")),
	FIELD_END,
};
TYPE(core_v1_service_status, "core.v1.ServiceStatus");

static const struct field core_v1_session_affinity_config_fields[] = {
	OBJ("clientIP", 1, core_v1_client_ip_config),
	FIELD_END,
};
TYPE(core_v1_session_affinity_config, "core.v1.SessionAffinityConfig");
