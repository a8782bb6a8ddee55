/* Columns of the kinds that need little computing, and the pieces that all columns are made of. */
#include "api/kubernetes/columns.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/strbuf.h"
#include "json/json.h"

#define CELL_MAX 4096

json_t *cell_string(const json_t *obj, const char *path, const char *dflt)
{
	const char *s = json_str(obj, path, "");
	return json_string(s[0] == '\0' ? dflt : s);
}

json_t *cell_int(const json_t *obj, const char *path)
{
	return json_integer(json_int(obj, path, 0));
}

json_t *cell_take(struct strbuf *b, const char *dflt)
{
	json_t *v = b->failed ? NULL : json_string(b->n == 0 ? dflt : b->p);
	strbuf_clear(b);
	return v;
}

/* Two units while the first is small, then one: the table of k8s.io/apimachinery's duration package. */
void human_duration(int64_t ns, char out[static 32])
{
	const long long s = ns / NSEC_PER_SEC, m = s / 60, h = m / 60, d = h / 24, y = d / 365;
	if (s < -1)
		(void)snprintf(out, 32, "<invalid>");
	else if (s < 0)
		(void)snprintf(out, 32, "0s");
	else if (s < 120)
		(void)snprintf(out, 32, "%llds", s);
	else if (m < 10)
		(void)snprintf(out, 32, s % 60 == 0 ? "%lldm" : "%lldm%llds", m, s % 60);
	else if (m < 180)
		(void)snprintf(out, 32, "%lldm", m);
	else if (h < 8)
		(void)snprintf(out, 32, m % 60 == 0 ? "%lldh" : "%lldh%lldm", h, m % 60);
	else if (h < 48)
		(void)snprintf(out, 32, "%lldh", h);
	else if (h < 192)
		(void)snprintf(out, 32, h % 24 == 0 ? "%lldd" : "%lldd%lldh", d, h % 24);
	else if (d < 365 * 2)
		(void)snprintf(out, 32, "%lldd", d);
	else if (d < 365 * 8)
		(void)snprintf(out, 32, d % 365 == 0 ? "%lldy" : "%lldy%lldd", y, d % 365);
	else
		(void)snprintf(out, 32, "%lldy", y);
}

json_t *cell_since(const char *at, int64_t now)
{
	int64_t then;
	if (at == NULL || at[0] == '\0' || clock_parse_rfc3339(at, &then) != 0)
		return json_string(UNKNOWN);
	char text[32];
	human_duration(now - then, text);
	return json_string(text);
}

json_t *render_name(const json_t *obj, int64_t now)
{
	(void)now;
	return cell_string(obj, "metadata.name", "");
}

json_t *render_age(const json_t *obj, int64_t now)
{
	return cell_since(json_str(obj, "metadata.creationTimestamp", NULL), now);
}

static int compare_text(const void *a, const void *b)
{
	return strcmp(*(const char *const *)a, *(const char *const *)b);
}

/* "k=v,k2=v2" with sorted keys. */
static void add_labels(struct strbuf *b, const json_t *labels)
{
	const size_t n = json_object_size(labels);
	CLEANUP(free_p) const char **keys = calloc(n + 1, sizeof *keys);
	if (keys == NULL) {
		b->failed = true;
		return;
	}
	size_t i = 0;
	const char *key;
	json_t *value;
	json_object_foreach ((json_t *)labels, key, value)
		keys[i++] = key;
	qsort(keys, n, sizeof *keys, compare_text);
	for (i = 0; i < n; i++) {
		const char *text = json_string_value(json_object_get(labels, keys[i]));
		strbuf_addf(b, "%s%s=%s", b->n == 0 ? "" : ",", keys[i], text == NULL ? "" : text);
	}
}

/* A LabelSelector as `kubectl get -l` would take it. */
json_t *cell_selector(const json_t *selector)
{
	struct strbuf b = STRBUF_INIT(CELL_MAX);
	add_labels(&b, json_object_get(selector, "matchLabels"));
	size_t i, k;
	json_t *term, *value;
	json_array_foreach (json_object_get(selector, "matchExpressions"), i, term) {
		const char *key = json_str(term, "key", ""), *op = json_str(term, "operator", "");
		strbuf_adds(&b, b.n == 0 ? "" : ",");
		if (strcmp(op, "Exists") == 0 || strcmp(op, "DoesNotExist") == 0) {
			strbuf_addf(&b, "%s%s", op[0] == 'E' ? "" : "!", key);
			continue;
		}
		strbuf_addf(&b, "%s %s (", key, strcmp(op, "In") == 0 ? "in" : "notin");
		json_array_foreach (json_object_get(term, "values"), k, value)
			strbuf_addf(&b, "%s%s", k == 0 ? "" : ",",
				    json_is_string(value) ? json_string_value(value) : "");
		strbuf_adds(&b, ")");
	}
	return cell_take(&b, NONE);
}

json_t *cell_containers(const json_t *containers, const char *member)
{
	struct strbuf b = STRBUF_INIT(CELL_MAX);
	size_t i;
	json_t *c;
	json_array_foreach (containers, i, c)
		strbuf_addf(&b, "%s%s", i == 0 ? "" : ",", json_str(c, member, ""));
	return cell_take(&b, "");
}

json_t *render_containers(const json_t *obj, int64_t now)
{
	(void)now;
	return cell_containers(json_at(obj, "spec.template.spec.containers"), "name");
}

json_t *render_images(const json_t *obj, int64_t now)
{
	(void)now;
	return cell_containers(json_at(obj, "spec.template.spec.containers"), "image");
}

json_t *render_selector(const json_t *obj, int64_t now)
{
	(void)now;
	return cell_selector(json_at(obj, "spec.selector"));
}

/* Namespace, ConfigMap, Secret, ServiceAccount */

RENDER_STRING(namespace_status, "status.phase", "")

const struct column namespace_columns[] = {
	COLUMN_NAME,
	COLUMN("Status", "string", namespace_status, "Active or Terminating."),
	COLUMN_AGE,
	COLUMN_END,
};

RENDER(data_count)
{
	(void)now;
	return json_integer(
		(json_int_t)(json_object_size(json_at(obj, "data")) + json_object_size(json_at(obj, "binaryData"))));
}

const struct column config_map_columns[] = {
	COLUMN_NAME,
	COLUMN("Data", "string", data_count, "Number of keys."),
	COLUMN_AGE,
	COLUMN_END,
};

RENDER_STRING(secret_type, "type", "")

const struct column secret_columns[] = {
	COLUMN_NAME,
	COLUMN("Type", "string", secret_type, "Kind of secret."),
	COLUMN("Data", "string", data_count, "Number of keys."),
	COLUMN_AGE,
	COLUMN_END,
};

RENDER(secrets_count)
{
	(void)now;
	return json_integer((json_int_t)json_array_size(json_at(obj, "secrets")));
}

const struct column service_account_columns[] = {
	COLUMN_NAME,
	COLUMN("Secrets", "string", secrets_count, "Number of secrets."),
	COLUMN_AGE,
	COLUMN_END,
};

/* Node */

static const json_t *condition(const json_t *obj, const char *type)
{
	size_t i;
	json_t *c;
	json_array_foreach (json_at(obj, "status.conditions"), i, c)
		if (strcmp(json_str(c, "type", ""), type) == 0)
			return c;
	return NULL;
}

RENDER(node_status)
{
	(void)now;
	const json_t *ready = condition(obj, "Ready");
	const char *status = ready == NULL                                        ? "Unknown"
			     : strcmp(json_str(ready, "status", ""), "True") == 0 ? "Ready"
										  : "NotReady";
	return json_sprintf("%s%s", status, json_bool(obj, "spec.unschedulable", false) ? ",SchedulingDisabled" : "");
}

RENDER(node_roles)
{
	static const char prefix[] = "node-role.kubernetes.io/";
	(void)now;
	JSON_AUTO roles = json_object();
	const char *key;
	json_t *value;
	json_object_foreach ((json_t *)json_at(obj, "metadata.labels"), key, value) {
		const char *role = strncmp(key, prefix, sizeof prefix - 1) == 0 ? key + sizeof prefix - 1 : NULL;
		if (strcmp(key, "kubernetes.io/role") == 0)
			role = json_string_value(value);
		if (role != NULL && role[0] != '\0')
			(void)json_object_set_new(roles, role, json_null()); /* without memory a role is missing */
	}
	struct strbuf b = STRBUF_INIT(CELL_MAX);
	CLEANUP(free_p) const char **names = calloc(json_object_size(roles) + 1, sizeof *names);
	size_t n = 0;
	json_object_foreach (roles, key, value)
		if (names != NULL)
			names[n++] = key;
	if (n > 0)
		qsort(names, n, sizeof *names, compare_text);
	for (size_t i = 0; i < n; i++)
		strbuf_addf(&b, "%s%s", i == 0 ? "" : ",", names[i]);
	return cell_take(&b, NONE);
}

static json_t *node_address(const json_t *obj, const char *type)
{
	size_t i;
	json_t *a;
	json_array_foreach (json_at(obj, "status.addresses"), i, a)
		if (strcmp(json_str(a, "type", ""), type) == 0)
			return cell_string(a, "address", NONE);
	return json_string(NONE);
}

RENDER(node_internal_ip)
{
	(void)now;
	return node_address(obj, "InternalIP");
}

RENDER(node_external_ip)
{
	(void)now;
	return node_address(obj, "ExternalIP");
}

RENDER_STRING(node_version, "status.nodeInfo.kubeletVersion", "")
RENDER_STRING(node_os_image, "status.nodeInfo.osImage", UNKNOWN)
RENDER_STRING(node_kernel, "status.nodeInfo.kernelVersion", UNKNOWN)
RENDER_STRING(node_runtime, "status.nodeInfo.containerRuntimeVersion", UNKNOWN)

const struct column node_columns[] = {
	COLUMN_NAME,
	COLUMN("Status", "string", node_status, "Whether the node is ready and takes new pods."),
	COLUMN("Roles", "string", node_roles, "What the node is for."),
	COLUMN_AGE,
	COLUMN("Version", "string", node_version, "Version of the node agent."),
	WIDE("Internal-IP", "string", node_internal_ip, "Address inside the cluster."),
	WIDE("External-IP", "string", node_external_ip, "Address outside the cluster."),
	WIDE("OS-Image", "string", node_os_image, "Operating system."),
	WIDE("Kernel-Version", "string", node_kernel, "Version of the kernel."),
	WIDE("Container-Runtime", "string", node_runtime, "What runs the containers."),
	COLUMN_END,
};

/* StatefulSet, DaemonSet */

RENDER(stateful_set_ready)
{
	(void)now;
	return json_sprintf("%lld/%lld", (long long)json_int(obj, "status.readyReplicas", 0),
			    (long long)json_int(obj, "spec.replicas", 0));
}

const struct column stateful_set_columns[] = {
	COLUMN_NAME,
	COLUMN("Ready", "string", stateful_set_ready, "Pods that are ready, of those that should run."),
	COLUMN_AGE,
	WIDE("Containers", "string", render_containers, "Names of the containers."),
	WIDE("Images", "string", render_images, "Images of the containers."),
	COLUMN_END,
};

RENDER_INT(daemon_set_desired, "status.desiredNumberScheduled")
RENDER_INT(daemon_set_current, "status.currentNumberScheduled")
RENDER_INT(daemon_set_ready, "status.numberReady")
RENDER_INT(daemon_set_updated, "status.updatedNumberScheduled")
RENDER_INT(daemon_set_available, "status.numberAvailable")

RENDER(daemon_set_node_selector)
{
	(void)now;
	struct strbuf b = STRBUF_INIT(CELL_MAX);
	add_labels(&b, json_at(obj, "spec.template.spec.nodeSelector"));
	return cell_take(&b, NONE);
}

const struct column daemon_set_columns[] = {
	COLUMN_NAME,
	COLUMN("Desired", "integer", daemon_set_desired, "Nodes that should run the pod."),
	COLUMN("Current", "integer", daemon_set_current, "Nodes that run it."),
	COLUMN("Ready", "integer", daemon_set_ready, "Pods that are ready."),
	COLUMN("Up-to-date", "integer", daemon_set_updated, "Pods of the newest template."),
	COLUMN("Available", "integer", daemon_set_available, "Pods that have been ready long enough."),
	COLUMN("Node Selector", "string", daemon_set_node_selector, "Labels that nodes must have."),
	COLUMN_AGE,
	WIDE("Containers", "string", render_containers, "Names of the containers."),
	WIDE("Images", "string", render_images, "Images of the containers."),
	WIDE("Selector", "string", render_selector, "Labels of the pods."),
	COLUMN_END,
};

/* Storage, leases, definitions */

RENDER(storage_class_name)
{
	(void)now;
	const char *dflt = json_str(obj, "metadata.annotations[\"storageclass.kubernetes.io/is-default-class\"]", "");
	return json_sprintf("%s%s", json_str(obj, "metadata.name", ""), strcmp(dflt, "true") == 0 ? " (default)" : "");
}

RENDER(storage_class_expansion)
{
	(void)now;
	return json_boolean(json_bool(obj, "allowVolumeExpansion", false));
}

RENDER_STRING(storage_class_provisioner, "provisioner", "")
RENDER_STRING(storage_class_reclaim, "reclaimPolicy", "Delete")
RENDER_STRING(storage_class_binding, "volumeBindingMode", "Immediate")

const struct column storage_class_columns[] = {
	{.name = "Name",
	 .type = "string",
	 .format = "name",
	 .render = storage_class_name,
	 .doc = "Name of the object."},
	COLUMN("Provisioner", "string", storage_class_provisioner, "Who makes the volumes."),
	COLUMN("ReclaimPolicy", "string", storage_class_reclaim, "What happens to volumes when their claims are gone."),
	COLUMN("VolumeBindingMode", "string", storage_class_binding, "Whether binding waits for a pod."),
	COLUMN("AllowVolumeExpansion", "string", storage_class_expansion, "Whether claims may grow."),
	COLUMN_AGE,
	COLUMN_END,
};

RENDER(csi_driver_attach)
{
	(void)now;
	return json_boolean(json_bool(obj, "spec.attachRequired", true));
}

RENDER(csi_driver_pod_info)
{
	(void)now;
	return json_boolean(json_bool(obj, "spec.podInfoOnMount", false));
}

RENDER(csi_driver_modes)
{
	(void)now;
	struct strbuf b = STRBUF_INIT(CELL_MAX);
	size_t i;
	json_t *mode;
	json_array_foreach (json_at(obj, "spec.volumeLifecycleModes"), i, mode)
		strbuf_addf(&b, "%s%s", i == 0 ? "" : ",", json_is_string(mode) ? json_string_value(mode) : "");
	return cell_take(&b, NONE);
}

const struct column csi_driver_columns[] = {
	COLUMN_NAME,
	COLUMN("AttachRequired", "boolean", csi_driver_attach, "Whether volumes must be attached first."),
	COLUMN("PodInfoOnMount", "boolean", csi_driver_pod_info, "Whether the plug-in is told about the pod."),
	COLUMN("Modes", "string", csi_driver_modes, "How volumes may live."),
	COLUMN_AGE,
	COLUMN_END,
};

RENDER(csi_node_drivers)
{
	(void)now;
	return json_integer((json_int_t)json_array_size(json_at(obj, "spec.drivers")));
}

const struct column csi_node_columns[] = {
	COLUMN_NAME,
	COLUMN("Drivers", "integer", csi_node_drivers, "Number of plug-ins on the node."),
	COLUMN_AGE,
	COLUMN_END,
};

RENDER_STRING(attachment_attacher, "spec.attacher", "")
RENDER_STRING(attachment_volume, "spec.source.persistentVolumeName", "")
RENDER_STRING(attachment_node, "spec.nodeName", "")

RENDER(attachment_attached)
{
	(void)now;
	return json_boolean(json_bool(obj, "status.attached", false));
}

const struct column volume_attachment_columns[] = {
	COLUMN_NAME,
	{.name = "Attacher",
	 .type = "string",
	 .format = "name",
	 .doc = "The storage plug-in that must do it.",
	 .render = attachment_attacher},
	COLUMN("PV", "string", attachment_volume, "The volume to attach."),
	COLUMN("Node", "string", attachment_node, "Where it is attached."),
	COLUMN("Attached", "boolean", attachment_attached, "Whether it is attached."),
	COLUMN_AGE,
	COLUMN_END,
};

RENDER_STRING(lease_holder, "spec.holderIdentity", "")

const struct column lease_columns[] = {
	COLUMN_NAME,
	COLUMN("Holder", "string", lease_holder, "Who holds the lease."),
	COLUMN_AGE,
	COLUMN_END,
};

RENDER_STRING(crd_created, "metadata.creationTimestamp", "")

const struct column crd_columns[] = {
	COLUMN_NAME,
	COLUMN("Created At", "date", crd_created, "When the object was created."),
	COLUMN_END,
};
