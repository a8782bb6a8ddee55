/* Node. */
#include "api/kubernetes/table.h"

/* One field a line. */
/* clang-format off */

static const struct field core_v1_attached_volume_fields[] = {
	STRING("name", 1, DEFAULT("\"\"")),
	STRING("devicePath", 2, DEFAULT("\"\"")),
	FIELD_END,
};
TYPE(core_v1_attached_volume, "core.v1.AttachedVolume");

static const struct field core_v1_config_map_node_config_source_fields[] = {
	STRING("namespace", 1, REQUIRED),
	STRING("name", 2, REQUIRED),
	STRING("uid", 3),
	STRING("resourceVersion", 4),
	STRING("kubeletConfigKey", 5, REQUIRED),
	FIELD_END,
};
TYPE(core_v1_config_map_node_config_source, "core.v1.ConfigMapNodeConfigSource");

static const struct field core_v1_container_image_fields[] = {
	STRINGS("names", 1),
	INT64("sizeBytes", 2),
	FIELD_END,
};
TYPE(core_v1_container_image, "core.v1.ContainerImage");

static const struct field core_v1_daemon_endpoint_fields[] = {
	INT32("Port", 1, DEFAULT("0")),
	FIELD_END,
};
TYPE(core_v1_daemon_endpoint, "core.v1.DaemonEndpoint");

static const struct field core_v1_node_fields[] = {
	TYPE_META,
	OBJ("metadata", 1, object_meta_schema, DOC("Names, labels, owners and more.")),
	OBJ("spec", 2, core_v1_node_spec, DEFAULT("{}"), DOC("What the object should be.")),
	OBJ("status", 3, core_v1_node_status, DEFAULT("{}"), DOC("What is known of the object.")),
	FIELD_END,
};
TYPE(core_v1_node, "core.v1.Node", .doc = "A machine that runs pods.");

static const struct field core_v1_node_address_fields[] = {
	STRING("type", 1, REQUIRED),
	STRING("address", 2, REQUIRED),
	FIELD_END,
};
TYPE(core_v1_node_address, "core.v1.NodeAddress");

static const struct field core_v1_node_condition_fields[] = {
	STRING("type", 1, REQUIRED),
	STRING("status", 2, REQUIRED, DOC("True, False or Unknown.")),
	TIME("lastHeartbeatTime", 3),
	TIME("lastTransitionTime", 4),
	STRING("reason", 5),
	STRING("message", 6),
	FIELD_END,
};
TYPE(core_v1_node_condition, "core.v1.NodeCondition");

static const struct field core_v1_node_config_source_fields[] = {
	OBJ("configMap", 2, core_v1_config_map_node_config_source),
	FIELD_END,
};
TYPE(core_v1_node_config_source, "core.v1.NodeConfigSource");

static const struct field core_v1_node_config_status_fields[] = {
	OBJ("assigned", 1, core_v1_node_config_source),
	OBJ("active", 2, core_v1_node_config_source),
	OBJ("lastKnownGood", 3, core_v1_node_config_source),
	STRING("error", 4),
	FIELD_END,
};
TYPE(core_v1_node_config_status, "core.v1.NodeConfigStatus");

static const struct field core_v1_node_daemon_endpoints_fields[] = {
	OBJ("kubeletEndpoint", 1, core_v1_daemon_endpoint, DEFAULT("{}")),
	FIELD_END,
};
TYPE(core_v1_node_daemon_endpoints, "core.v1.NodeDaemonEndpoints");

static const struct field core_v1_node_features_fields[] = {
	BOOL("supplementalGroupsPolicy", 1, OPTIONAL),
	FIELD_END,
};
TYPE(core_v1_node_features, "core.v1.NodeFeatures");

static const struct field core_v1_node_runtime_handler_fields[] = {
	STRING("name", 1),
	OBJ("features", 2, core_v1_node_runtime_handler_features),
	FIELD_END,
};
TYPE(core_v1_node_runtime_handler, "core.v1.NodeRuntimeHandler");

static const struct field core_v1_node_runtime_handler_features_fields[] = {
	BOOL("recursiveReadOnlyMounts", 1, OPTIONAL),
	BOOL("userNamespaces", 2, OPTIONAL),
	FIELD_END,
};
TYPE(core_v1_node_runtime_handler_features, "core.v1.NodeRuntimeHandlerFeatures");

static const struct field core_v1_node_spec_fields[] = {
	STRING("podCIDR", 1, DOC("Addresses of the node's pods.")),
	STRING("externalID", 2),
	STRING("providerID", 3, DOC("Name of the machine at its provider.")),
	BOOL("unschedulable", 4, DOC("Whether new pods are kept away.")),
	LIST("taints", 5, core_v1_taint, DOC("Keep pods away that do not tolerate them.")),
	OBJ("configSource", 6, core_v1_node_config_source),
	STRINGS("podCIDRs", 7, SET, MERGE("")),
	FIELD_END,
};
TYPE(core_v1_node_spec, "core.v1.NodeSpec", .doc = "What the node should be.");

static const struct field core_v1_node_status_fields[] = {
	QUANTITY_MAP("capacity", 1, DOC("What the node has.")),
	QUANTITY_MAP("allocatable", 2, DOC("What pods may use of it.")),
	STRING("phase", 3),
	LIST("conditions", 4, core_v1_node_condition, KEYED("type"), MERGE("type"),
		DOC("What is true of the node now.")),
	LIST("addresses", 5, core_v1_node_address, KEYED("type"), MERGE("type"), DOC("How the node is reached.")),
	OBJ("daemonEndpoints", 6, core_v1_node_daemon_endpoints, DEFAULT("{}")),
	OBJ("nodeInfo", 7, core_v1_node_system_info, DEFAULT("{}"), DOC("Versions of the node's programs.")),
	LIST("images", 8, core_v1_container_image),
	STRINGS("volumesInUse", 9),
	LIST("volumesAttached", 10, core_v1_attached_volume),
	OBJ("config", 11, core_v1_node_config_status),
	LIST("runtimeHandlers", 12, core_v1_node_runtime_handler),
	OBJ("features", 13, core_v1_node_features),
	FIELD_END,
};
TYPE(core_v1_node_status, "core.v1.NodeStatus", .doc = "What is known of the node.");

static const struct field core_v1_node_swap_status_fields[] = {
	INT64("capacity", 1, OPTIONAL),
	FIELD_END,
};
TYPE(core_v1_node_swap_status, "core.v1.NodeSwapStatus");

static const struct field core_v1_node_system_info_fields[] = {
	STRING("machineID", 1, DEFAULT("\"\"")),
	STRING("systemUUID", 2, DEFAULT("\"\"")),
	STRING("bootID", 3, DEFAULT("\"\"")),
	STRING("kernelVersion", 4, DEFAULT("\"\"")),
	STRING("osImage", 5, DEFAULT("\"\"")),
	STRING("containerRuntimeVersion", 6, DEFAULT("\"\"")),
	STRING("kubeletVersion", 7, DEFAULT("\"\"")),
	STRING("kubeProxyVersion", 8, DEFAULT("\"\"")),
	STRING("operatingSystem", 9, DEFAULT("\"\"")),
	STRING("architecture", 10, DEFAULT("\"\"")),
	OBJ("swap", 11, core_v1_node_swap_status),
	FIELD_END,
};
TYPE(core_v1_node_system_info, "core.v1.NodeSystemInfo");

static const struct field core_v1_taint_fields[] = {
	STRING("key", 1, REQUIRED),
	STRING("value", 2),
	STRING("effect", 3, REQUIRED, ONE_OF("NoSchedule", "PreferNoSchedule", "NoExecute")),
	TIME("timeAdded", 4),
	FIELD_END,
};
TYPE(core_v1_taint, "core.v1.Taint", .doc = "Keeps pods away that do not tolerate it.");
