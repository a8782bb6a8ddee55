/* Containers, their probes, environment and states. */
#include "api/kubernetes/table.h"

/* One field a line. */
/* clang-format off */

static const struct field core_v1_capabilities_fields[] = {
	STRINGS("add", 1),
	STRINGS("drop", 2),
	FIELD_END,
};
TYPE(core_v1_capabilities, "core.v1.Capabilities");

static const struct field core_v1_config_map_env_source_fields[] = {
	STRING("name", 1, OUTER(1)),
	BOOL("optional", 2, OPTIONAL),
	FIELD_END,
};
TYPE(core_v1_config_map_env_source, "core.v1.ConfigMapEnvSource");

static const struct field core_v1_config_map_key_selector_fields[] = {
	STRING("name", 1, OUTER(1)),
	STRING("key", 2, REQUIRED),
	BOOL("optional", 3, OPTIONAL),
	FIELD_END,
};
TYPE(core_v1_config_map_key_selector, "core.v1.ConfigMapKeySelector", .map_atomic = true);

static const struct field core_v1_container_fields[] = {
	STRING("name", 1, REQUIRED, .min_length = 1, DOC("Name of the container, unique in the pod.")),
	STRING("image", 2, DOC("Image to run.")),
	STRINGS("command", 3, DOC("Program and arguments; the image's when unset.")),
	STRINGS("args", 4, DOC("Arguments for the program.")),
	STRING("workingDir", 5, DOC("Directory the program starts in.")),
	LIST("ports", 6, core_v1_container_port, KEYED("containerPort", "protocol"), MERGE("containerPort"),
		DOC("Ports that the container listens on.")),
	LIST("env", 7, core_v1_env_var, KEYED("name"), MERGE("name"), DOC("Environment of the container.")),
	OBJ("resources", 8, core_v1_resource_requirements, DEFAULT("{}"),
		DOC("What the container asks for and may use.")),
	LIST("volumeMounts", 9, core_v1_volume_mount, KEYED("mountPath"), MERGE("mountPath"),
		DOC("Volumes that the container sees, and where.")),
	OBJ("livenessProbe", 10, core_v1_probe, DOC("Restarts the container when it fails.")),
	OBJ("readinessProbe", 11, core_v1_probe, DOC("Takes the pod out of service while it fails.")),
	OBJ("lifecycle", 12, core_v1_lifecycle, DOC("What to do after the start and before the end.")),
	STRING("terminationMessagePath", 13, DEFAULT("\"/dev/termination-log\""),
		DOC("File whose content becomes the end's message.")),
	STRING("imagePullPolicy", 14, ONE_OF("Always", "IfNotPresent", "Never"), DOC("When the image is pulled.")),
	OBJ("securityContext", 15, core_v1_security_context, DOC("Rights of the container.")),
	BOOL("stdin", 16, DOC("Whether the container has an input.")),
	BOOL("stdinOnce", 17),
	BOOL("tty", 18, DOC("Whether the container has a terminal.")),
	LIST("envFrom", 19, core_v1_env_from_source, DOC("Sources whose keys all become variables.")),
	STRING("terminationMessagePolicy", 20, ONE_OF("File", "FallbackToLogsOnError"), DEFAULT("\"File\""),
		DOC("Where the end's message is taken from.")),
	LIST("volumeDevices", 21, core_v1_volume_device, KEYED("devicePath"), MERGE("devicePath"),
		DOC("Block devices that the container sees.")),
	OBJ("startupProbe", 22, core_v1_probe, DOC("Holds the other probes back until it succeeds.")),
	LIST("resizePolicy", 23, core_v1_container_resize_policy),
	STRING("restartPolicy", 24, OPTIONAL),
	LIST("restartPolicyRules", 25, core_v1_container_restart_rule),
	FIELD_END,
};
TYPE(core_v1_container, "core.v1.Container", .doc = "One container of a pod.");

static const struct field core_v1_container_extended_resource_request_fields[] = {
	STRING("containerName", 1, REQUIRED),
	STRING("resourceName", 2, REQUIRED),
	STRING("requestName", 3, REQUIRED),
	FIELD_END,
};
TYPE(core_v1_container_extended_resource_request, "core.v1.ContainerExtendedResourceRequest");

static const struct field core_v1_container_port_fields[] = {
	STRING("name", 1, DOC("Name of the port.")),
	INT32("hostPort", 2, AT_LEAST(0), AT_MOST(65535), DOC("Port of the node.")),
	INT32("containerPort", 3, REQUIRED, PORT, DOC("Port inside the pod.")),
	STRING("protocol", 4, ONE_OF("TCP", "UDP", "SCTP"), DEFAULT("\"TCP\""), DOC("TCP, UDP or SCTP.")),
	STRING("hostIP", 5, DOC("Address of the node to listen on.")),
	FIELD_END,
};
TYPE(core_v1_container_port, "core.v1.ContainerPort");

static const struct field core_v1_container_resize_policy_fields[] = {
	STRING("resourceName", 1, REQUIRED),
	STRING("restartPolicy", 2, REQUIRED),
	FIELD_END,
};
TYPE(core_v1_container_resize_policy, "core.v1.ContainerResizePolicy");

static const struct field core_v1_container_restart_rule_fields[] = {
	STRING("action", 1, REQUIRED),
	OBJ("exitCodes", 2, core_v1_container_restart_rule_on_exit_codes),
	FIELD_END,
};
TYPE(core_v1_container_restart_rule, "core.v1.ContainerRestartRule");

static const struct field core_v1_container_restart_rule_on_exit_codes_fields[] = {
	STRING("operator", 1, REQUIRED),
	INT32S("values", 2, SET),
	FIELD_END,
};
TYPE(core_v1_container_restart_rule_on_exit_codes, "core.v1.ContainerRestartRuleOnExitCodes");

static const struct field core_v1_container_state_fields[] = {
	OBJ("waiting", 1, core_v1_container_state_waiting),
	OBJ("running", 2, core_v1_container_state_running),
	OBJ("terminated", 3, core_v1_container_state_terminated),
	FIELD_END,
};
TYPE(core_v1_container_state, "core.v1.ContainerState");

static const struct field core_v1_container_state_running_fields[] = {
	TIME("startedAt", 1),
	FIELD_END,
};
TYPE(core_v1_container_state_running, "core.v1.ContainerStateRunning");

static const struct field core_v1_container_state_terminated_fields[] = {
	INT32("exitCode", 1, DEFAULT("0")),
	INT32("signal", 2),
	STRING("reason", 3),
	STRING("message", 4),
	TIME("startedAt", 5),
	TIME("finishedAt", 6),
	STRING("containerID", 7),
	FIELD_END,
};
TYPE(core_v1_container_state_terminated, "core.v1.ContainerStateTerminated");

static const struct field core_v1_container_state_waiting_fields[] = {
	STRING("reason", 1),
	STRING("message", 2),
	FIELD_END,
};
TYPE(core_v1_container_state_waiting, "core.v1.ContainerStateWaiting");

static const struct field core_v1_container_status_fields[] = {
	STRING("name", 1, DEFAULT("\"\"")),
	OBJ("state", 2, core_v1_container_state),
	OBJ("lastState", 3, core_v1_container_state),
	BOOL("ready", 4, DEFAULT("false")),
	INT32("restartCount", 5, DEFAULT("0")),
	STRING("image", 6, DEFAULT("\"\"")),
	STRING("imageID", 7, DEFAULT("\"\"")),
	STRING("containerID", 8),
	BOOL("started", 9, OPTIONAL),
	QUANTITY_MAP("allocatedResources", 10),
	OBJ("resources", 11, core_v1_resource_requirements),
	LIST("volumeMounts", 12, core_v1_volume_mount_status, KEYED("mountPath"), MERGE("mountPath")),
	OBJ("user", 13, core_v1_container_user),
	LIST("allocatedResourcesStatus", 14, core_v1_resource_status, KEYED("name"), MERGE("name")),
	STRING("stopSignal", 15),
	FIELD_END,
};
TYPE(core_v1_container_status, "core.v1.ContainerStatus");

static const struct field core_v1_container_user_fields[] = {
	OBJ("linux", 1, core_v1_linux_container_user),
	FIELD_END,
};
TYPE(core_v1_container_user, "core.v1.ContainerUser");

static const struct field core_v1_env_from_source_fields[] = {
	STRING("prefix", 1),
	OBJ("configMapRef", 2, core_v1_config_map_env_source),
	OBJ("secretRef", 3, core_v1_secret_env_source),
	FIELD_END,
};
TYPE(core_v1_env_from_source, "core.v1.EnvFromSource");

static const struct field core_v1_env_var_fields[] = {
	STRING("name", 1, REQUIRED, .min_length = 1, DOC("Name of the variable.")),
	STRING("value", 2, DOC("Value of the variable.")),
	OBJ("valueFrom", 3, core_v1_env_var_source, DOC("Where the value comes from.")),
	FIELD_END,
};
TYPE(core_v1_env_var, "core.v1.EnvVar", .doc = "A variable of a container's environment.");

static const struct field core_v1_env_var_source_fields[] = {
	OBJ("fieldRef", 1, core_v1_object_field_selector),
	OBJ("resourceFieldRef", 2, core_v1_resource_field_selector),
	OBJ("configMapKeyRef", 3, core_v1_config_map_key_selector),
	OBJ("secretKeyRef", 4, core_v1_secret_key_selector),
	OBJ("fileKeyRef", 5, core_v1_file_key_selector),
	FIELD_END,
};
TYPE(core_v1_env_var_source, "core.v1.EnvVarSource");

static const struct field core_v1_ephemeral_container_fields[] = {
	STRING("name", 1, OUTER(1), REQUIRED, .min_length = 1, DOC("Name of the container, unique in the pod.")),
	STRING("image", 2, OUTER(1), DOC("Image to run.")),
	STRINGS("command", 3, OUTER(1), DOC("Program and arguments; the image's when unset.")),
	STRINGS("args", 4, OUTER(1), DOC("Arguments for the program.")),
	STRING("workingDir", 5, OUTER(1), DOC("Directory the program starts in.")),
	LIST("ports", 6, core_v1_container_port, OUTER(1), KEYED("containerPort", "protocol"), MERGE("containerPort"),
		DOC("Ports that the container listens on.")),
	LIST("env", 7, core_v1_env_var, OUTER(1), KEYED("name"), MERGE("name"), DOC("Environment of the container.")),
	OBJ("resources", 8, core_v1_resource_requirements, OUTER(1), DEFAULT("{}"),
		DOC("What the container asks for and may use.")),
	LIST("volumeMounts", 9, core_v1_volume_mount, OUTER(1), KEYED("mountPath"), MERGE("mountPath"),
		DOC("Volumes that the container sees, and where.")),
	OBJ("livenessProbe", 10, core_v1_probe, OUTER(1), DOC("Restarts the container when it fails.")),
	OBJ("readinessProbe", 11, core_v1_probe, OUTER(1), DOC("Takes the pod out of service while it fails.")),
	OBJ("lifecycle", 12, core_v1_lifecycle, OUTER(1), DOC("What to do after the start and before the end.")),
	STRING("terminationMessagePath", 13, OUTER(1), DEFAULT("\"/dev/termination-log\""),
		DOC("File whose content becomes the end's message.")),
	STRING("imagePullPolicy", 14, OUTER(1), ONE_OF("Always", "IfNotPresent", "Never"),
		DOC("When the image is pulled.")),
	OBJ("securityContext", 15, core_v1_security_context, OUTER(1), DOC("Rights of the container.")),
	BOOL("stdin", 16, OUTER(1), DOC("Whether the container has an input.")),
	BOOL("stdinOnce", 17, OUTER(1)),
	BOOL("tty", 18, OUTER(1), DOC("Whether the container has a terminal.")),
	LIST("envFrom", 19, core_v1_env_from_source, OUTER(1), DOC("Sources whose keys all become variables.")),
	STRING("terminationMessagePolicy", 20, OUTER(1), ONE_OF("File", "FallbackToLogsOnError"), DEFAULT("\"File\""),
		DOC("Where the end's message is taken from.")),
	LIST("volumeDevices", 21, core_v1_volume_device, OUTER(1), KEYED("devicePath"), MERGE("devicePath"),
		DOC("Block devices that the container sees.")),
	OBJ("startupProbe", 22, core_v1_probe, OUTER(1), DOC("Holds the other probes back until it succeeds.")),
	LIST("resizePolicy", 23, core_v1_container_resize_policy, OUTER(1)),
	STRING("restartPolicy", 24, OUTER(1), OPTIONAL),
	LIST("restartPolicyRules", 25, core_v1_container_restart_rule, OUTER(1)),
	STRING("targetContainerName", 2),
	FIELD_END,
};
TYPE(core_v1_ephemeral_container, "core.v1.EphemeralContainer");

static const struct field core_v1_exec_action_fields[] = {
	STRINGS("command", 1),
	FIELD_END,
};
TYPE(core_v1_exec_action, "core.v1.ExecAction", .doc = "A command to run in the container.");

static const struct field core_v1_file_key_selector_fields[] = {
	STRING("volumeName", 1, REQUIRED),
	STRING("path", 2, REQUIRED),
	STRING("key", 3, REQUIRED),
	BOOL("optional", 4, OPTIONAL),
	FIELD_END,
};
TYPE(core_v1_file_key_selector, "core.v1.FileKeySelector", .map_atomic = true);

static const struct field core_v1_grpc_action_fields[] = {
	INT32("port", 1, REQUIRED, PORT),
	STRING("service", 2, OPTIONAL, DEFAULT("\"\"")),
	FIELD_END,
};
TYPE(core_v1_grpc_action, "core.v1.GRPCAction");

static const struct field core_v1_http_get_action_fields[] = {
	STRING("path", 1, DEFAULT("\"/\"")),
	INT_OR_STRING("port", 2, REQUIRED),
	STRING("host", 3),
	STRING("scheme", 4, ONE_OF("HTTP", "HTTPS"), DEFAULT("\"HTTP\"")),
	LIST("httpHeaders", 5, core_v1_http_header),
	FIELD_END,
};
TYPE(core_v1_http_get_action, "core.v1.HTTPGetAction", .doc = "An HTTP request to send.");

static const struct field core_v1_http_header_fields[] = {
	STRING("name", 1, REQUIRED),
	STRING("value", 2, REQUIRED),
	FIELD_END,
};
TYPE(core_v1_http_header, "core.v1.HTTPHeader");

static const struct field core_v1_lifecycle_fields[] = {
	OBJ("postStart", 1, core_v1_lifecycle_handler),
	OBJ("preStop", 2, core_v1_lifecycle_handler),
	STRING("stopSignal", 3),
	FIELD_END,
};
TYPE(core_v1_lifecycle, "core.v1.Lifecycle");

static const struct field core_v1_lifecycle_handler_fields[] = {
	OBJ("exec", 1, core_v1_exec_action),
	OBJ("httpGet", 2, core_v1_http_get_action),
	OBJ("tcpSocket", 3, core_v1_tcp_socket_action),
	OBJ("sleep", 4, core_v1_sleep_action),
	FIELD_END,
};
TYPE(core_v1_lifecycle_handler, "core.v1.LifecycleHandler");

static const struct field core_v1_linux_container_user_fields[] = {
	INT64("uid", 1, REQUIRED),
	INT64("gid", 2, REQUIRED),
	INT64S("supplementalGroups", 3),
	FIELD_END,
};
TYPE(core_v1_linux_container_user, "core.v1.LinuxContainerUser");

static const struct field core_v1_object_field_selector_fields[] = {
	STRING("apiVersion", 1, DEFAULT("\"v1\"")),
	STRING("fieldPath", 2, REQUIRED),
	FIELD_END,
};
TYPE(core_v1_object_field_selector, "core.v1.ObjectFieldSelector", .map_atomic = true);

static const struct field core_v1_probe_fields[] = {
	OBJ("exec", 1, core_v1_exec_action, OUTER(1), DOC("Runs a command.")),
	OBJ("httpGet", 2, core_v1_http_get_action, OUTER(1), DOC("Sends an HTTP request.")),
	OBJ("tcpSocket", 3, core_v1_tcp_socket_action, OUTER(1), DOC("Opens a connection.")),
	OBJ("grpc", 4, core_v1_grpc_action, OUTER(1), DOC("Asks the gRPC health service.")),
	INT32("initialDelaySeconds", 2, AT_LEAST(0), DOC("Time before the first try.")),
	INT32("timeoutSeconds", 3, AT_LEAST(0), DEFAULT("1"), DOC("Time that one try may take.")),
	INT32("periodSeconds", 4, AT_LEAST(0), DEFAULT("10"), DOC("Time between tries.")),
	INT32("successThreshold", 5, AT_LEAST(0), DEFAULT("1"), DOC("Successes in a row that count as well.")),
	INT32("failureThreshold", 6, AT_LEAST(0), DEFAULT("3"), DOC("Failures in a row that count as unwell.")),
	INT64("terminationGracePeriodSeconds", 7, OPTIONAL),
	FIELD_END,
};
TYPE(core_v1_probe, "core.v1.Probe", .doc = "How it is found out whether a container is well.");

static const struct field core_v1_resource_claim_fields[] = {
	STRING("name", 1, REQUIRED),
	STRING("request", 2),
	FIELD_END,
};
TYPE(core_v1_resource_claim, "core.v1.ResourceClaim");

static const struct field core_v1_resource_field_selector_fields[] = {
	STRING("containerName", 1),
	STRING("resource", 2, REQUIRED),
	QUANTITY("divisor", 3),
	FIELD_END,
};
TYPE(core_v1_resource_field_selector, "core.v1.ResourceFieldSelector", .map_atomic = true);

static const struct field core_v1_resource_health_fields[] = {
	STRING("resourceID", 1, REQUIRED),
	STRING("health", 2),
	FIELD_END,
};
TYPE(core_v1_resource_health, "core.v1.ResourceHealth");

static const struct field core_v1_resource_requirements_fields[] = {
	QUANTITY_MAP("limits", 1, DOC("The most that may be used.")),
	QUANTITY_MAP("requests", 2, DOC("What is set aside.")),
	LIST("claims", 3, core_v1_resource_claim, KEYED("name")),
	FIELD_END,
};
TYPE(core_v1_resource_requirements, "core.v1.ResourceRequirements",
     .doc = "What a container asks for and may use at most.");

static const struct field core_v1_resource_status_fields[] = {
	STRING("name", 1, DEFAULT("\"\"")),
	LIST("resources", 2, core_v1_resource_health, KEYED("resourceID")),
	FIELD_END,
};
TYPE(core_v1_resource_status, "core.v1.ResourceStatus");

static const struct field core_v1_secret_env_source_fields[] = {
	STRING("name", 1, OUTER(1)),
	BOOL("optional", 2, OPTIONAL),
	FIELD_END,
};
TYPE(core_v1_secret_env_source, "core.v1.SecretEnvSource");

static const struct field core_v1_secret_key_selector_fields[] = {
	STRING("name", 1, OUTER(1)),
	STRING("key", 2, REQUIRED),
	BOOL("optional", 3, OPTIONAL),
	FIELD_END,
};
TYPE(core_v1_secret_key_selector, "core.v1.SecretKeySelector", .map_atomic = true);

static const struct field core_v1_security_context_fields[] = {
	OBJ("capabilities", 1, core_v1_capabilities),
	BOOL("privileged", 2, OPTIONAL),
	OBJ("seLinuxOptions", 3, core_v1_se_linux_options),
	INT64("runAsUser", 4, OPTIONAL),
	BOOL("runAsNonRoot", 5, OPTIONAL),
	BOOL("readOnlyRootFilesystem", 6, OPTIONAL),
	BOOL("allowPrivilegeEscalation", 7, OPTIONAL),
	INT64("runAsGroup", 8, OPTIONAL),
	STRING("procMount", 9, OPTIONAL),
	OBJ("windowsOptions", 10, core_v1_windows_security_context_options),
	OBJ("seccompProfile", 11, core_v1_seccomp_profile),
	OBJ("appArmorProfile", 12, core_v1_app_armor_profile),
	FIELD_END,
};
TYPE(core_v1_security_context, "core.v1.SecurityContext", .doc = "Rights of a container.");

static const struct field core_v1_sleep_action_fields[] = {
	INT64("seconds", 1, REQUIRED),
	FIELD_END,
};
TYPE(core_v1_sleep_action, "core.v1.SleepAction");

static const struct field core_v1_tcp_socket_action_fields[] = {
	INT_OR_STRING("port", 1, REQUIRED),
	STRING("host", 2),
	FIELD_END,
};
TYPE(core_v1_tcp_socket_action, "core.v1.TCPSocketAction", .doc = "A port to connect to.");

static const struct field core_v1_volume_device_fields[] = {
	STRING("name", 1, REQUIRED),
	STRING("devicePath", 2, REQUIRED),
	FIELD_END,
};
TYPE(core_v1_volume_device, "core.v1.VolumeDevice");

static const struct field core_v1_volume_mount_fields[] = {
	STRING("name", 1, REQUIRED, .min_length = 1, DOC("Name of the volume.")),
	BOOL("readOnly", 2, DOC("Whether the container may only read.")),
	STRING("mountPath", 3, REQUIRED, .min_length = 1, DOC("Path in the container.")),
	STRING("subPath", 4, DOC("Path inside the volume.")),
	STRING("mountPropagation", 5, OPTIONAL, ONE_OF("None", "HostToContainer", "Bidirectional"),
		DOC("Whether mounts made later are seen across.")),
	STRING("subPathExpr", 6, DOC("Path inside the volume with variables.")),
	STRING("recursiveReadOnly", 7, OPTIONAL, ONE_OF("Disabled", "IfPossible", "Enabled")),
	FIELD_END,
};
TYPE(core_v1_volume_mount, "core.v1.VolumeMount", .doc = "Where a container sees a volume.");

static const struct field core_v1_volume_mount_status_fields[] = {
	STRING("name", 1, DEFAULT("\"\"")),
	STRING("mountPath", 2, DEFAULT("\"\"")),
	BOOL("readOnly", 3),
	STRING("recursiveReadOnly", 4, OPTIONAL),
	FIELD_END,
};
TYPE(core_v1_volume_mount_status, "core.v1.VolumeMountStatus");
