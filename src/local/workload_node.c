/*
 * Node lifecycle: a node whose heartbeat (its Lease, or its status) has not moved for the grace period is Unknown, and carries the
 * taint that goes with its Ready condition. The clock is ours: heartbeats are compared for change, not read as times.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/error.h"
#include "base/map.h"
#include "base/str.h"
#include "local/workload_pods.h"
#include "local/workload_private.h"
#include "json/json.h"

#define LEASE_NS          "kube-node-lease"
#define TAINT_NOT_READY   "node.kubernetes.io/not-ready"
#define TAINT_UNREACHABLE "node.kubernetes.io/unreachable"

struct heartbeat {
	char *beat; /* the last values seen */
	int64_t seen_ns;
};

static void heartbeat_free(void *p)
{
	struct heartbeat *h = p;
	free(h->beat);
	free(h);
}

/* Everything that moves when the node lives; malloc'ed. */
static char *beat_of(struct workload *w, const json_t *node)
{
	JSON_AUTO lease = informer_get(w->leases, LEASE_NS, obj_name(node));
	const char *status = json_str(node, "status.conditions[type=Ready].lastHeartbeatTime", "");
	/* what we wrote ourselves is no sign of life */
	const bool ours = strcmp(json_str(node, "status.conditions[type=Ready].status", ""), "Unknown") == 0;
	return str_printf("%s %s", json_str(lease, "spec.renewTime", ""), ours ? "" : status);
}

/* For how long nothing has moved, or a negative code. */
static int64_t silence_ns(struct workload *w, const json_t *node)
{
	CLEANUP(free_p) char *beat = beat_of(w, node);
	struct heartbeat *h = map_get(w->heartbeats, obj_name(node));
	if (beat == NULL)
		return -ENOMEM;
	if (h == NULL) {
		h = calloc(1, sizeof *h);
		if (h == NULL || map_set(w->heartbeats, obj_name(node), h) < 0) {
			free(h);
			return -ENOMEM;
		}
	}
	if (h->beat == NULL || strcmp(h->beat, beat) != 0) {
		free(h->beat);
		h->beat = TAKE(beat);
		h->seen_ns = clock_mono_ns();
	}
	return clock_mono_ns() - h->seen_ns;
}

static int mark_unknown(struct workload *w, const json_t *node, struct error *err)
{
	static const char *const types[] = {"Ready", "MemoryPressure", "DiskPressure", "PIDPressure"};
	char now[32];
	clock_format_rfc3339(clock_wall_ns(), now);
	JSON_AUTO conditions = json_array();
	for (size_t i = 0; i < ARRAY_LEN(types); i++) {
		json_t *c = json_pack("{s:s, s:s, s:s, s:s, s:s}", "type", types[i], "status", "Unknown", "reason",
				      "NodeStatusUnknown", "message", "Kubelet stopped posting node status.",
				      "lastTransitionTime", now);
		if (json_array_append_new(conditions, c) < 0)
			return error_set(err, -ENOMEM, "node lifecycle: out of memory");
	}
	JSON_AUTO patch = json_pack("{s:{s:s}, s:{s:O}}", "metadata", "resourceVersion", obj_resource_version(node),
				    "status", "conditions", conditions);
	if (patch == NULL)
		return error_set(err, -ENOMEM, "node lifecycle: out of memory");
	event_emit(w->events, node, "Normal", "NodeNotReady", "Node %s status is now: NodeNotReady", obj_name(node));
	return kube_patch(w->client, &KUBE_NODE, "", obj_name(node), "status", KUBE_PATCH_STRATEGIC, patch, NULL, err);
}

/* --- taints follow the Ready condition --- */

static bool ours(const json_t *taint)
{
	const char *key = json_str(taint, "key", "");
	return (strcmp(key, TAINT_NOT_READY) == 0 || strcmp(key, TAINT_UNREACHABLE) == 0) &&
	       strcmp(json_str(taint, "effect", ""), "NoSchedule") == 0;
}

/* The taints the node should have: those of others as they are, and ours for @ready. NULL on no memory. */
static json_t *wanted_taints(const json_t *node, const char *ready)
{
	const char *want = strcmp(ready, "True") == 0      ? NULL
			   : strcmp(ready, "Unknown") == 0 ? TAINT_UNREACHABLE
							   : TAINT_NOT_READY;
	json_t *list = json_array();
	bool have = want == NULL;
	size_t i;
	json_t *t;
	json_array_foreach (json_at(node, "spec.taints"), i, t) {
		const bool keep = !ours(t) || str_same(json_str(t, "key", NULL), want);
		have = have || (keep && ours(t));
		if (keep && json_array_append(list, t) < 0)
			goto fail;
	}
	if (!have && json_array_append_new(list, json_pack("{s:s, s:s}", "key", want, "effect", "NoSchedule")) < 0)
		goto fail;
	return list;
fail:
	json_decref(list);
	return NULL;
}

static int sync_taints(struct workload *w, const json_t *node, struct error *err)
{
	const char *ready = json_str(node, "status.conditions[type=Ready].status", "False");
	JSON_AUTO want = wanted_taints(node, ready);
	if (want == NULL)
		return error_set(err, -ENOMEM, "node lifecycle: out of memory");
	const json_t *have = json_at(node, "spec.taints");
	if (json_array_size(have) == json_array_size(want) && (json_array_size(want) == 0 || json_same(have, want)))
		return 0;
	JSON_AUTO none = json_null();
	JSON_AUTO patch = json_pack("{s:{s:s}, s:{s:O}}", "metadata", "resourceVersion", obj_resource_version(node),
				    "spec", "taints", json_array_size(want) > 0 ? want : none);
	if (patch == NULL)
		return error_set(err, -ENOMEM, "node lifecycle: out of memory");
	return kube_patch(w->client, &KUBE_NODE, "", obj_name(node), NULL, KUBE_PATCH_MERGE, patch, NULL, err);
}

static int reconcile(void *ctx, const char *ns, const char *name, struct reconcile_result *ret, struct error *err)
{
	struct workload *w = ctx;
	(void)ns;
	JSON_AUTO node = informer_get(w->nodes, "", name);
	if (node == NULL) {
		(void)map_remove(w->heartbeats, name); /* it may never have been there */
		return 0;
	}
	const int64_t silent = silence_ns(w, node);
	if (silent < 0)
		return error_set(err, (int)silent, "node lifecycle: out of memory");
	const bool known = !str_same(pod_condition(node, "Ready"), "Unknown");
	if (silent >= w->node_grace_ns && known) {
		int rc = mark_unknown(w, node, err);
		return rc == -ENOENT ? 0 : rc; /* the change brings us back, for the taints */
	}
	if (known)
		ret->requeue_after_ns = w->node_grace_ns - silent;
	int rc = sync_taints(w, node, err);
	return rc == -ENOENT ? 0 : rc;
}

static void on_lease(void *ctx, struct controller *c, const json_t *lease)
{
	(void)ctx;
	if (strcmp(obj_namespace(lease), LEASE_NS) == 0)
		controller_enqueue(c, "", obj_name(lease));
}

int workload_add_node(struct workload *w, struct error *err)
{
	struct controller *c = NULL;
	const struct controller_options o = {.name = "node", .workers = 1, .reconcile = reconcile, .ctx = w};
	w->heartbeats = map_new(heartbeat_free);
	if (w->heartbeats == NULL)
		return error_set(err, -ENOMEM, "node lifecycle: out of memory");
	int rc = controller_new(w->manager, &o, &c, err);
	if (rc < 0)
		return rc;
	rc = controller_watch(c, &KUBE_NODE);
	if (rc == 0)
		rc = controller_watch_mapped(c, &KUBE_LEASE, on_lease, w);
	return rc == 0 ? 0 : error_set(err, rc, "node lifecycle: out of memory");
}
