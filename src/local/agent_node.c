/* The Node object and what says that it lives. */
#include <stdlib.h>
#include <string.h>
#include <sys/statvfs.h>
#include <sys/sysinfo.h>
#include <sys/utsname.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/error.h"
#include "base/file.h"
#include "base/log.h"
#include "base/str.h"
#include "kube/client.h"
#include "kube/resource.h"
#include "local/agent_csi.h"
#include "local/agent_private.h"
#include "json/json.h"

#define HEARTBEAT_NS    (10 * NSEC_PER_SEC)
#define STATUS_EVERY    30 /* heartbeats, while a Lease carries the sign of life */
#define LEASE_SECONDS   40
#define LEASE_NAMESPACE "kube-node-lease"
#define PODS_MAX        110

struct node {
	struct agent *agent;
	pthread_t thread;
	pthread_mutex_t lock; /* guards stop */
	pthread_cond_t wake;
	bool stop;
	json_t *since; /* condition → when it became what it is */
	char *drivers; /* what CSINode was last told */
	char *uid;
	int64_t beats;
	bool has_lease, warned;
};

static const char *architecture(const char *machine)
{
	if (strcmp(machine, "x86_64") == 0)
		return "amd64";
	return strcmp(machine, "aarch64") == 0 ? "arm64" : machine;
}

static char *first_line(const char *path)
{
	char *text = NULL;
	if (file_read(path, 4096, &text, NULL, NULL) < 0)
		return strdup("");
	text[strcspn(text, "\n")] = '\0';
	return text;
}

static char *os_image(void)
{
	CLEANUP(free_p) char *text = NULL;
	if (file_read("/etc/os-release", 64u << 10, &text, NULL, NULL) < 0)
		return strdup("Linux");
	const char *p = strstr(text, "PRETTY_NAME=\"");
	if (p == NULL)
		return strdup("Linux");
	p += strlen("PRETTY_NAME=\"");
	return strndup(p, strcspn(p, "\"\n"));
}

static json_t *node_info(void)
{
	struct utsname u;
	(void)uname(&u);
	CLEANUP(free_p) char *machine_id = first_line("/etc/machine-id");
	CLEANUP(free_p) char *boot_id = first_line("/proc/sys/kernel/random/boot_id");
	CLEANUP(free_p) char *image = os_image();
	return json_pack("{s:s, s:s, s:s, s:s, s:s, s:s, s:s, s:s, s:s, s:s}", "machineID", machine_id ?: "",
			 "systemUUID", machine_id ?: "", "bootID", boot_id ?: "", "kernelVersion", u.release, "osImage",
			 image ?: "Linux", "containerRuntimeVersion", "runc://1", "kubeletVersion",
			 "v1.34.0-sluice-" SLUICE_VERSION, "kubeProxyVersion", "", "operatingSystem", "linux",
			 "architecture", architecture(u.machine));
}

static json_t *capacity(const struct agent *a)
{
	struct sysinfo si;
	struct statvfs fs;
	char cpu[24], memory[32], disk[32] = "0", pods[16];
	(void)sysinfo(&si);
	(void)snprintf(cpu, sizeof cpu, "%ld", sysconf(_SC_NPROCESSORS_ONLN));
	(void)snprintf(memory, sizeof memory, "%lluKi", (unsigned long long)si.totalram * si.mem_unit / 1024);
	if (statvfs(a->paths.data_dir, &fs) == 0)
		(void)snprintf(disk, sizeof disk, "%lluKi", (unsigned long long)fs.f_blocks * fs.f_frsize / 1024);
	(void)snprintf(pods, sizeof pods, "%d", PODS_MAX);
	return json_pack("{s:s, s:s, s:s, s:s}", "cpu", cpu, "memory", memory, "ephemeral-storage", disk, "pods", pods);
}

static json_t *condition(struct node *n, const char *type, bool yes, const char *reason, const char *message)
{
	char now[32];
	clock_format_rfc3339(clock_wall_ns(), now);
	const char *status = yes ? "True" : "False";
	json_t *old = json_object_get(n->since, type);
	if (strcmp(json_str(old, "status", ""), status) != 0) {
		old = json_pack("{s:s, s:s}", "status", status, "at", now);
		(void)json_object_set_new(n->since, type, old);
	}
	return json_pack("{s:s, s:s, s:s, s:s, s:s, s:s}", "type", type, "status", status, "reason", reason, "message",
			 message, "lastHeartbeatTime", now, "lastTransitionTime", json_str(old, "at", now));
}

static json_t *status_json(struct node *n)
{
	struct agent *a = n->agent;
	json_t *resources = capacity(a);
	json_t *s = json_pack(
		"{s:O, s:o, s:o, s:[{s:s, s:s}, {s:s, s:s}], s:[o, o, o, o]}", "capacity", resources, "allocatable",
		resources, "nodeInfo", node_info(), "addresses", "type", "InternalIP", "address", AGENT_ADDRESS, "type",
		"Hostname", "address", a->host_name, "conditions",
		condition(n, "MemoryPressure", false, "KubeletHasSufficientMemory", "the agent evicts no pods"),
		condition(n, "DiskPressure", false, "KubeletHasNoDiskPressure", "the agent evicts no pods"),
		condition(n, "PIDPressure", false, "KubeletHasSufficientPID", "the agent evicts no pods"),
		condition(n, "Ready", true, "KubeletReady", "the node agent runs pods"));
	return s;
}

static json_t *labels_json(const struct agent *a)
{
	struct utsname u;
	(void)uname(&u);
	const char *arch = architecture(u.machine);
	return json_pack("{s:s, s:s, s:s, s:s, s:s}", "kubernetes.io/hostname", a->node_name, "kubernetes.io/os",
			 "linux", "kubernetes.io/arch", arch, "beta.kubernetes.io/os", "linux",
			 "beta.kubernetes.io/arch", arch);
}

/* Make the Node, or give the one that is there our labels; others that people put on it stay. */
static int register_node(struct node *n, struct error *err)
{
	struct agent *a = n->agent;
	JSON_AUTO node = NULL;
	JSON_AUTO wanted = json_pack("{s:s, s:s, s:{s:s, s:o}}", "apiVersion", "v1", "kind", "Node", "metadata", "name",
				     a->node_name, "labels", labels_json(a));
	int rc = kube_create(a->client, &KUBE_NODE, NULL, wanted, &node, err);
	if (rc == -EEXIST) {
		JSON_AUTO patch = json_pack("{s:{s:o}}", "metadata", "labels", labels_json(a));
		rc = kube_patch(a->client, &KUBE_NODE, NULL, a->node_name, NULL, KUBE_PATCH_MERGE, patch, &node, err);
	}
	if (rc < 0)
		return error_wrap(err, rc, "register the node");
	free(n->uid);
	n->uid = strdup(obj_uid(node));
	return n->uid != NULL ? 0 : error_set(err, -ENOMEM, "register the node: out of memory");
}

static int send_status(struct node *n, struct error *err)
{
	JSON_AUTO patch = json_pack("{s:o}", "status", status_json(n));
	if (patch == NULL)
		return error_set(err, -ENOMEM, "node's status: out of memory");
	return kube_patch(n->agent->client, &KUBE_NODE, NULL, n->agent->node_name, "status", KUBE_PATCH_STRATEGIC,
			  patch, NULL, err);
}

static bool is_our_taint(const char *key)
{
	return strcmp(key, "node.kubernetes.io/not-ready") == 0 || strcmp(key, "node.kubernetes.io/unreachable") == 0;
}

static int remove_taints(struct node *n, struct error *err)
{
	struct agent *a = n->agent;
	JSON_AUTO node = NULL;
	int rc = kube_get(a->client, &KUBE_NODE, NULL, a->node_name, &node, err);
	if (rc < 0)
		return rc;
	JSON_AUTO left = json_array();
	const json_t *taints = json_at(node, "spec.taints");
	size_t i;
	json_t *t;
	json_array_foreach (taints, i, t)
		if (!is_our_taint(json_str(t, "key", "")))
			(void)json_array_append(left, t);
	if (json_array_size(left) == json_array_size(taints))
		return 0;
	JSON_AUTO patch = json_pack("{s:{s:s}, s:{s:O}}", "metadata", "resourceVersion", obj_resource_version(node),
				    "spec", "taints", json_array_size(left) > 0 ? left : json_null());
	return kube_patch(a->client, &KUBE_NODE, NULL, a->node_name, NULL, KUBE_PATCH_MERGE, patch, NULL, err);
}

/* -ENOENT and -EPERM: there is no namespace for it. */
static int renew_lease(struct node *n, struct error *err)
{
	struct agent *a = n->agent;
	char now[40];
	clock_format_rfc3339_micro(clock_wall_ns(), now);
	if (n->has_lease) {
		JSON_AUTO patch = json_pack("{s:{s:s}}", "spec", "renewTime", now);
		const int rc = kube_patch(a->client, &KUBE_LEASE, LEASE_NAMESPACE, a->node_name, NULL, KUBE_PATCH_MERGE,
					  patch, NULL, err);
		n->has_lease = rc != -ENOENT;
		return rc;
	}
	JSON_AUTO lease = json_pack("{s:s, s:s, s:{s:s, s:s, s:[{s:s, s:s, s:s, s:s}]}, s:{s:s, s:i, s:s}}",
				    "apiVersion", "coordination.k8s.io/v1", "kind", "Lease", "metadata", "name",
				    a->node_name, "namespace", LEASE_NAMESPACE, "ownerReferences", "apiVersion", "v1",
				    "kind", "Node", "name", a->node_name, "uid", n->uid, "spec", "holderIdentity",
				    a->node_name, "leaseDurationSeconds", LEASE_SECONDS, "renewTime", now);
	int rc = kube_create(a->client, &KUBE_LEASE, LEASE_NAMESPACE, lease, NULL, err);
	n->has_lease = rc == 0 || rc == -EEXIST;
	return rc == -EEXIST ? 0 : rc;
}

static int send_csi_node(struct node *n, struct error *err)
{
	struct agent *a = n->agent;
	JSON_AUTO drivers = NULL;
	if (agent_csi_drivers(a->csi, &drivers, err) < 0)
		return 0; /* one that does not answer is not listed; a volume of it says why */
	CLEANUP(free_p) char *text = json_to_text(drivers, NULL);
	if (text == NULL || str_same(text, n->drivers))
		return 0;
	JSON_AUTO obj =
		json_pack("{s:s, s:s, s:{s:s, s:[{s:s, s:s, s:s, s:s}]}, s:{s:O}}", "apiVersion", "storage.k8s.io/v1",
			  "kind", "CSINode", "metadata", "name", a->node_name, "ownerReferences", "apiVersion", "v1",
			  "kind", "Node", "name", a->node_name, "uid", n->uid, "spec", "drivers", drivers);
	int rc = kube_create(a->client, &KUBE_CSI_NODE, NULL, obj, NULL, err);
	if (rc == -EEXIST) {
		JSON_AUTO patch = json_pack("{s:{s:O}}", "spec", "drivers", drivers);
		rc = kube_patch(a->client, &KUBE_CSI_NODE, NULL, a->node_name, NULL, KUBE_PATCH_MERGE, patch, NULL,
				err);
	}
	if (rc == 0) {
		free(n->drivers);
		n->drivers = TAKE(text);
	}
	return rc;
}

static int beat(struct node *n, struct error *err)
{
	int rc = renew_lease(n, NULL);
	const bool leased = rc == 0;
	rc = !leased || n->beats % STATUS_EVERY == 0 ? send_status(n, err) : 0;
	if (rc == -ENOENT) { /* somebody deleted the Node */
		n->has_lease = false;
		rc = register_node(n, err);
		rc = rc ?: send_status(n, err);
	}
	rc = rc ?: remove_taints(n, err);
	rc = rc ?: send_csi_node(n, err);
	n->beats++;
	logs_rotate(n->agent);
	return rc;
}

static void *node_main(void *arg)
{
	struct node *n = arg;
	for (;;) {
		struct timespec until;
		(void)clock_gettime(CLOCK_MONOTONIC, &until);
		until.tv_sec += HEARTBEAT_NS / NSEC_PER_SEC;
		pthread_mutex_lock(&n->lock);
		for (int rc = 0; !n->stop && rc == 0;)
			rc = pthread_cond_timedwait(&n->wake, &n->lock, &until);
		const bool stop = n->stop;
		pthread_mutex_unlock(&n->lock);
		if (stop)
			return NULL;
		struct error err = {0};
		const int rc = beat(n, &err);
		if (rc < 0 && !n->warned)
			LOG(n->agent->log, LOG_LVL_WARN, "the node's sign of life cannot be sent",
			    LOG_STR("err", err.msg));
		n->warned = rc < 0;
	}
}

static void node_destroy(struct node *n)
{
	json_decref(n->since);
	free(n->drivers);
	free(n->uid);
	(void)pthread_cond_destroy(&n->wake);
	(void)pthread_mutex_destroy(&n->lock);
	free(n);
}

int node_new(struct agent *a, struct node **ret, struct error *err)
{
	struct node *n = calloc(1, sizeof *n);
	if (n == NULL || (n->since = json_object()) == NULL) {
		free(n);
		return error_set(err, -ENOMEM, "node: out of memory");
	}
	n->agent = a;
	pthread_condattr_t attr;
	(void)pthread_condattr_init(&attr);
	(void)pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
	(void)pthread_cond_init(&n->wake, &attr);
	(void)pthread_condattr_destroy(&attr);
	(void)pthread_mutex_init(&n->lock, NULL);
	int rc = register_node(n, err);
	rc = rc ?: send_status(n, err);
	rc = rc ?: beat(n, err);
	if (rc == 0 && (rc = -pthread_create(&n->thread, NULL, node_main, n)) < 0)
		(void)error_set(err, rc, "node: thread: %s", strerror(-rc));
	if (rc < 0) {
		node_destroy(n);
		return rc;
	}
	*ret = n;
	return 0;
}

void node_free(struct node *n)
{
	if (n == NULL)
		return;
	pthread_mutex_lock(&n->lock);
	n->stop = true;
	(void)pthread_cond_broadcast(&n->wake);
	pthread_mutex_unlock(&n->lock);
	(void)pthread_join(n->thread, NULL);
	node_destroy(n);
}
