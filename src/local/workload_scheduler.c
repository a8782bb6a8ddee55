/*
 * Scheduler: binds each pod without a node to one that selectors, affinity, taints, host ports and anti-affinity allow. It does not
 * count cpu and memory. One worker: what it has just bound counts although the cache does not show it yet.
 */
#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/error.h"
#include "base/map.h"
#include "base/str.h"
#include "base/strbuf.h"
#include "local/workload_placement.h"
#include "local/workload_pods.h"
#include "local/workload_private.h"
#include "json/json.h"

#define SCHEDULER   "default-scheduler"
#define MESSAGE_MAX 1000

struct scheduler {
	struct workload *w;
	struct map *
		assumed; /* the one worker alone: uid -> pod tree with the node it was just bound to, until the cache shows it */
	pthread_mutex_t lock; /* guards waiting */
	struct map *waiting;  /* "ns/name" of pods on trial, or found without a place: changes of others concern them */
};

static void scheduler_free(void *p)
{
	struct scheduler *s = p;
	map_free(s->assumed);
	map_free(s->waiting);
	pthread_mutex_destroy(&s->lock);
	free(s);
}

/* Why nodes were left out: reason -> how many. */
struct reasons {
	struct map *count; /* of int */
	bool failed;
};

static void add_reason(struct reasons *r, const char *reason)
{
	int *n = map_get(r->count, reason);
	if (n == NULL && (n = calloc(1, sizeof *n)) != NULL && map_set(r->count, reason, n) < 0) {
		free(n);
		n = NULL;
	}
	if (n != NULL)
		++*n;
	else
		r->failed = true;
}

static int by_text(const void *a, const void *b)
{
	return strcmp(*(const char *const *)a, *(const char *const *)b);
}

/* "0/2 nodes are available: 1 node(s) ..., 1 node(s) ...." as Kubernetes words and sorts it. */
static char *explain(const struct reasons *r, size_t n_nodes)
{
	struct strbuf b = STRBUF_INIT(MESSAGE_MAX);
	char *parts[64], *text = NULL;
	size_t n = 0, pos = 0;
	const char *reason;
	void *count;
	while (n < ARRAY_LEN(parts) && map_next(r->count, &pos, &reason, &count)) {
		parts[n] = str_printf("%d %s", *(int *)count, reason);
		n += parts[n] != NULL;
	}
	qsort(parts, n, sizeof parts[0], by_text);
	strbuf_addf(&b, "0/%zu nodes are available", n_nodes);
	for (size_t i = 0; i < n; i++) {
		if (b.n + strlen(parts[i]) + 8 < MESSAGE_MAX)
			strbuf_addf(&b, "%s%s", i == 0 ? ": " : ", ", parts[i]);
		free(parts[i]);
	}
	strbuf_addc(&b, '.');
	if (strbuf_take(&b, &text) < 0)
		strbuf_clear(&b);
	return text;
}

/* --- claims --- */

/* The claim name of a volume, or NULL. */
static const char *claim_of(const json_t *volume)
{
	return json_str(volume, "persistentVolumeClaim.claimName", NULL);
}

/* NULL: all claims of the pod are bound. Otherwise a malloc'ed reason (NULL on no memory counts as bound: the agent waits too). */
static char *claims_missing(struct workload *w, const json_t *pod)
{
	size_t i;
	json_t *volume;
	json_array_foreach (json_at(pod, "spec.volumes"), i, volume) {
		const char *name = claim_of(volume);
		if (name == NULL)
			continue;
		JSON_AUTO claim = informer_get(w->pvcs, obj_namespace(pod), name);
		if (claim == NULL)
			return str_printf("persistentvolumeclaim \"%s\" not found", name);
		if (obj_deleting(claim))
			return str_printf("persistentvolumeclaim \"%s\" is being deleted", name);
		if (strcmp(json_str(claim, "status.phase", ""), "Bound") != 0)
			return strdup("pod has unbound immediate PersistentVolumeClaims");
	}
	return NULL;
}

static bool volumes_fit(struct workload *w, const json_t *pod, const json_t *node)
{
	size_t i;
	json_t *volume;
	json_array_foreach (json_at(pod, "spec.volumes"), i, volume) {
		const char *name = claim_of(volume);
		JSON_AUTO claim = name != NULL ? informer_get(w->pvcs, obj_namespace(pod), name) : NULL;
		JSON_AUTO pv = claim != NULL ? informer_get(w->pvs, "", json_str(claim, "spec.volumeName", "")) : NULL;
		const json_t *required = json_at(pv, "spec.nodeAffinity.required");
		if (required == NULL)
			continue;
		JSON_AUTO as_pod = json_pack("{s:{s:{s:O}}}", "affinity", "nodeAffinity",
					     "requiredDuringSchedulingIgnoredDuringExecution", required);
		if (as_pod == NULL || !placement_selects(as_pod, node))
			return false;
	}
	return true;
}

/* --- filters --- */

/* Unfinished pods of @list, and those just bound to @node; NULL on no memory. Takes @list. */
static json_t *with_assumed(const struct scheduler *s, json_t *list, const char *node)
{
	JSON_AUTO all = json_array();
	JSON_AUTO from = list;
	size_t i, pos = 0;
	json_t *pod;
	const char *uid;
	void *value;
	json_array_foreach (from, i, pod) {
		if (!pod_finished(pod) && json_array_append(all, pod) < 0)
			return NULL;
	}
	while (map_next(s->assumed, &pos, &uid, &value)) {
		if (str_same(json_str(value, "spec.nodeName", NULL), node) && json_array_append(all, value) < 0)
			return NULL;
	}
	return from != NULL ? TAKE(all) : NULL;
}

static json_t *pods_on(const struct scheduler *s, const char *node)
{
	return with_assumed(s, informer_list_by(s->w->pods, INDEX_POD_NODE, node), node);
}

/* The pods on @node that could keep @pod away: all when it minds others itself, else only those that mind others. */
static json_t *pods_that_matter(const struct scheduler *s, const json_t *pod, const char *node)
{
	CLEANUP(free_p) char *minds = workload_pod_minds(pod);
	return minds != NULL ? pods_on(s, node)
			     : with_assumed(s, informer_list_by(s->w->pods, INDEX_POD_MINDS, node), node);
}

/* NULL: the node takes the pod. Otherwise the reason, in @buf. */
static const char *filter(struct workload *w, const json_t *pod, const json_t *node, const json_t *there, char *buf,
			  size_t size)
{
	const json_t *spec = json_object_get(pod, "spec");
	const char *unknown = NULL;
	if (json_bool(node, "spec.unschedulable", false)) {
		static const char taint_text[] =
			"{\"key\":\"node.kubernetes.io/unschedulable\",\"effect\":\"NoSchedule\"}";
		JSON_AUTO taint = json_loads(taint_text, 0, NULL);
		bool tolerated = false;
		size_t i;
		json_t *t;
		json_array_foreach (json_object_get(spec, "tolerations"), i, t) {
			tolerated = tolerated || placement_tolerates(t, taint);
		}
		if (!tolerated)
			return "node(s) were unschedulable";
	}
	if (!placement_selects(spec, node))
		return "node(s) didn't match Pod's node affinity/selector";
	const json_t *taint = placement_untolerated(spec, node, TAINT_NO_SCHEDULE | TAINT_NO_EXECUTE);
	if (taint != NULL) {
		(void)snprintf(buf, size, "node(s) had untolerated taint {%s: %s}", json_str(taint, "key", ""),
			       json_str(taint, "value", ""));
		return buf;
	}
	if (!volumes_fit(w, pod, node))
		return "node(s) didn't match PersistentVolume's node affinity";
	if (placement_ports_taken(pod, there))
		return "node(s) didn't have free ports for the requested pod ports";
	if (placement_repelled(pod, there, &unknown))
		return "node(s) didn't match pod anti-affinity rules";
	if (unknown != NULL) {
		(void)snprintf(buf, size,
			       "node(s) cannot judge pod anti-affinity by topology key %.100s (only "
			       "kubernetes.io/hostname is supported yet)",
			       unknown);
		return buf;
	}
	return NULL;
}

static const char *fewest_pods(const struct scheduler *s, const json_t *nodes)
{
	const char *best = NULL;
	size_t best_n = SIZE_MAX, i;
	json_t *node;
	if (json_array_size(nodes) == 1)
		return obj_name(json_array_get(nodes, 0));
	json_array_foreach (nodes, i, node) {
		JSON_AUTO there = pods_on(s, obj_name(node));
		if (json_array_size(there) < best_n) {
			best = obj_name(node);
			best_n = json_array_size(there);
		}
	}
	return best;
}

/* The name of the allowed node with the fewest pods, malloc'ed, or NULL with @r filled. */
static char *choose(const struct scheduler *s, const json_t *pod, const json_t *nodes, struct reasons *r)
{
	JSON_AUTO allowed = json_array();
	size_t i;
	json_t *node;
	json_array_foreach (nodes, i, node) {
		char buf[512];
		JSON_AUTO there = pods_that_matter(s, pod, obj_name(node));
		const char *why_not = there != NULL ? filter(s->w, pod, node, there, buf, sizeof buf) : NULL;
		if (why_not != NULL)
			add_reason(r, why_not);
		else if (there == NULL || json_array_append(allowed, node) < 0)
			r->failed = true;
	}
	const char *best = fewest_pods(s, allowed);
	return best != NULL ? strdup(best) : NULL;
}

/* --- outcome --- */

static int say_unschedulable(struct workload *w, const json_t *pod, const char *message, struct error *err)
{
	char now[32];
	const json_t *c = json_at(pod, "status.conditions[type=PodScheduled]");
	if (str_same(json_str(c, "status", NULL), "False") && str_same(json_str(c, "message", NULL), message))
		return 0;
	event_emit(w->events, pod, "Warning", "FailedScheduling", "%s", message);
	const bool was_false = str_same(json_str(c, "status", NULL), "False");
	clock_format_rfc3339(clock_wall_ns(), now);
	/* conditions merge by type: the strategic patch leaves the others alone */
	JSON_AUTO patch =
		json_pack("{s:{s:[{s:s, s:s, s:s, s:s, s:n, s:s}]}}", "status", "conditions", "type", "PodScheduled",
			  "status", "False", "reason", "Unschedulable", "message", message, "lastProbeTime",
			  "lastTransitionTime", was_false ? json_str(c, "lastTransitionTime", now) : now);
	if (patch == NULL)
		return error_set(err, -ENOMEM, "scheduler: out of memory");
	int rc = kube_patch(w->client, &KUBE_POD, obj_namespace(pod), obj_name(pod), "status", KUBE_PATCH_STRATEGIC,
			    patch, NULL, err);
	return rc == -ENOENT ? 0 : rc;
}

static void drop_tree(void *j)
{
	json_decref(j);
}

/* @pod's tree becomes what is assumed of it. */
static int assume(struct scheduler *s, json_t *pod, const char *node)
{
	if (json_put_str(pod, "spec.nodeName", node) < 0)
		return -ENOMEM;
	int rc = map_set(s->assumed, obj_uid(pod), json_incref(pod));
	if (rc < 0)
		json_decref(pod);
	return rc;
}

static int bind_pod(struct scheduler *s, json_t *pod, const char *node, struct error *err)
{
	const char *ns = obj_namespace(pod), *name = obj_name(pod);
	JSON_AUTO binding = json_pack("{s:s, s:s, s:{s:s, s:s, s:s}, s:{s:s, s:s, s:s}}", "apiVersion", "v1", "kind",
				      "Binding", "metadata", "name", name, "namespace", ns, "uid", obj_uid(pod),
				      "target", "apiVersion", "v1", "kind", "Node", "name", node);
	if (binding == NULL || assume(s, pod, node) < 0)
		return error_set(err, -ENOMEM, "scheduler: out of memory");
	int rc = kube_create_sub(s->w->client, &KUBE_POD, ns, name, "binding", binding, NULL, err);
	if (rc == 0) {
		event_emit(s->w->events, pod, "Normal", "Scheduled", "Successfully assigned %s/%s to %s", ns, name,
			   node);
		return 0;
	}
	(void)map_remove(s->assumed, obj_uid(pod));     /* we have just put it there */
	return rc == -ENOENT || rc == -ESTALE ? 0 : rc; /* gone, or bound already: its change is on the way to us */
}

/* Forget what the cache shows by now, and pods that are no more. */
static void prune_assumed(struct scheduler *s)
{
	size_t pos = 0;
	const char *uid;
	void *pod;
	while (map_next(s->assumed, &pos, &uid, &pod)) {
		JSON_AUTO now = informer_get(s->w->pods, obj_namespace(pod), obj_name(pod));
		if (now == NULL || strcmp(obj_uid(now), uid) != 0 || json_str(now, "spec.nodeName", "")[0] != '\0')
			(void)map_remove(s->assumed, uid); /* the entry just returned may be removed */
	}
}

static int schedule(struct scheduler *s, json_t *pod, struct error *err)
{
	struct workload *w = s->w;
	CLEANUP(free_p) char *missing = claims_missing(w, pod);
	JSON_AUTO nodes = informer_list(w->nodes, NULL);
	if (missing == NULL && json_array_size(nodes) == 0)
		return say_unschedulable(w, pod, "no nodes available to schedule pods", err);
	if (missing != NULL) {
		CLEANUP(free_p)
		char *text = str_printf("0/%zu nodes are available: %s.", json_array_size(nodes), missing);
		return text != NULL ? say_unschedulable(w, pod, text, err)
				    : error_set(err, -ENOMEM, "scheduler: out of memory");
	}
	CLEANUP(map_free_p) struct map *count = map_new(free);
	struct reasons r = {.count = count};
	if (count == NULL)
		return error_set(err, -ENOMEM, "scheduler: out of memory");
	CLEANUP(free_p) char *node = choose(s, pod, nodes, &r);
	if (node != NULL)
		return bind_pod(s, pod, node, err);
	CLEANUP(free_p) char *text = !r.failed ? explain(&r, json_array_size(nodes)) : NULL;
	return text != NULL ? say_unschedulable(w, pod, text, err)
			    : error_set(err, -ENOMEM, "scheduler: out of memory");
}

static bool is_ours(const struct scheduler *s, const json_t *pod)
{
	return pod != NULL && json_str(pod, "spec.nodeName", "")[0] == '\0' && !obj_deleting(pod) &&
	       !pod_finished(pod) && !map_has(s->assumed, obj_uid(pod)) &&
	       strcmp(json_str(pod, "spec.schedulerName", SCHEDULER), SCHEDULER) == 0 &&
	       json_array_size(json_at(pod, "spec.schedulingGates")) == 0;
}

/* On trial from before the judgement on, so that no change of others falls between judgement and waiting. */
static int set_waiting(struct scheduler *s, const char *ns, const char *name, bool waiting)
{
	static char mark;
	CLEANUP(free_p) char *key = str_printf("%s/%s", ns, name);
	if (key == NULL)
		return -ENOMEM;
	int rc = 0;
	pthread_mutex_lock(&s->lock);
	if (waiting)
		rc = map_set(s->waiting, key, &mark);
	else
		(void)map_remove(s->waiting, key); /* it need not be there */
	pthread_mutex_unlock(&s->lock);
	return rc;
}

static int reconcile(void *ctx, const char *ns, const char *name, struct reconcile_result *ret, struct error *err)
{
	struct scheduler *s = ctx;
	(void)ret; /* a pod that finds no place is tried again when nodes, pods or claims change */
	prune_assumed(s);
	JSON_AUTO pod = informer_get(s->w->pods, ns, name);
	const bool ours = is_ours(s, pod);
	if (set_waiting(s, ns, name, ours) < 0)
		return error_set(err, -ENOMEM, "scheduler: out of memory");
	return ours ? schedule(s, pod, err) : 0;
}

/* --- what makes a pod worth another look --- */

static void enqueue_waiting(struct scheduler *s, struct controller *c)
{
	size_t pos = 0;
	const char *key;
	void *mark;
	pthread_mutex_lock(&s->lock);
	while (map_next(s->waiting, &pos, &key, &mark)) {
		const char *slash = strchr(key, '/');
		char ns[256];
		if ((size_t)(slash - key) >= sizeof ns)
			continue; /* no namespace is that long */
		memcpy(ns, key, (size_t)(slash - key));
		ns[slash - key] = '\0';
		controller_enqueue(c, ns, slash + 1); /* takes only the queue's own lock, and that last */
	}
	pthread_mutex_unlock(&s->lock);
}

static void on_anything(void *ctx, struct controller *c, const json_t *obj)
{
	(void)obj;
	enqueue_waiting(ctx, c);
}

static void on_pod(void *ctx, struct controller *c, const json_t *pod)
{
	if (json_str(pod, "spec.nodeName", "")[0] == '\0')
		controller_enqueue(c, obj_namespace(pod), obj_name(pod));
	else
		enqueue_waiting(ctx, c); /* it may have made room */
}

static int scheduler_new(struct workload *w, struct scheduler **ret)
{
	struct scheduler *s = calloc(1, sizeof *s);
	if (s == NULL)
		return -ENOMEM;
	s->w = w;
	pthread_mutex_init(&s->lock, NULL);
	s->assumed = map_new(drop_tree);
	s->waiting = map_new(NULL);
	if (s->assumed == NULL || s->waiting == NULL) {
		scheduler_free(s);
		return -ENOMEM;
	}
	*ret = s;
	return 0;
}

int workload_add_scheduler(struct workload *w, struct error *err)
{
	struct scheduler *s = NULL;
	struct controller *c = NULL;
	if (scheduler_new(w, &s) < 0)
		return error_set(err, -ENOMEM, "scheduler: out of memory");
	const struct controller_options o = {
		.name = "scheduler", .workers = 1, .reconcile = reconcile, .ctx = s, .free_ctx = scheduler_free};
	int rc = controller_new(w->manager, &o, &c, err);
	if (rc < 0) {
		scheduler_free(s);
		return rc;
	}
	rc = controller_watch_mapped(c, &KUBE_POD, on_pod, s);
	if (rc == 0)
		rc = controller_watch_mapped(c, &KUBE_NODE, on_anything, s);
	if (rc == 0)
		rc = controller_watch_mapped(c, &KUBE_PVC, on_anything, s);
	return rc == 0 ? 0 : error_set(err, rc, "scheduler: out of memory");
}
