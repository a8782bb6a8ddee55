/* DaemonSet: one pod on each node that takes it; pods carry a required affinity to their node's name and are bound by the scheduler. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/error.h"
#include "base/str.h"
#include "local/workload_placement.h"
#include "local/workload_pods.h"
#include "local/workload_private.h"
#include "json/json.h"

/* A failed pod is replaced when it is this old, so that one that fails at once does not spin. */
#define FAILED_MIN_AGE_NS (10 * NSEC_PER_SEC)

struct daemon_pass {
	struct workload *w;
	const json_t *set;
	char hash[16];
	int64_t min_ready_s, wait_ns;
	json_t *pods, *nodes;
	/* counted on the way */
	int64_t desired, scheduled, misscheduled, ready, available, updated;
};

/* --- the pod of a node --- */

static int add_toleration(json_t *spec, const char *key, const char *effect)
{
	return json_push(spec, "tolerations",
			 json_pack("{s:s, s:s, s:s}", "key", key, "operator", "Exists", "effect", effect));
}

/* What Kubernetes lets every daemon tolerate. */
static int add_tolerations(json_t *spec)
{
	static const char *const no_schedule[] = {"disk-pressure", "memory-pressure", "pid-pressure", "unschedulable"};
	int rc = add_toleration(spec, "node.kubernetes.io/not-ready", "NoExecute");
	if (rc == 0)
		rc = add_toleration(spec, "node.kubernetes.io/unreachable", "NoExecute");
	for (size_t i = 0; rc == 0 && i < ARRAY_LEN(no_schedule); i++) {
		char key[64];
		(void)snprintf(key, sizeof key, "node.kubernetes.io/%s", no_schedule[i]); /* they fit */
		rc = add_toleration(spec, key, "NoSchedule");
	}
	if (rc == 0 && json_bool(spec, "hostNetwork", false))
		rc = add_toleration(spec, "node.kubernetes.io/network-unavailable", "NoSchedule");
	return rc;
}

static int pin_to_node(json_t *spec, const char *node)
{
	return json_put(spec, "affinity.nodeAffinity.requiredDuringSchedulingIgnoredDuringExecution",
			json_pack("{s:[{s:[{s:s, s:s, s:[s]}]}]}", "nodeSelectorTerms", "matchFields", "key",
				  "metadata.name", "operator", "In", "values", node));
}

/* The node a pod is for: where it runs, or where its affinity pins it. NULL: unknown. */
static const char *node_of(const json_t *pod)
{
	const char *bound = json_str(pod, "spec.nodeName", "");
	if (bound[0] != '\0')
		return bound;
	return json_str(pod,
			"spec.affinity.nodeAffinity.requiredDuringSchedulingIgnoredDuringExecution.nodeSelectorTerms[0]"
			".matchFields[0]"
			".values[0]",
			NULL);
}

/*
 * The name follows from set and node: a cache that does not show the pod yet cannot make a second one, the server refuses it;
 * and a new pod waits until its forerunner has gone.
 */
static void pod_name(const json_t *set, const char *node, char *out, size_t size)
{
	char hash[16];
	JSON_AUTO seed = json_pack("[s, s]", obj_uid(set), node);
	template_hash(seed, hash);
	(void)snprintf(out, size, "%.240s-%.6s", obj_name(set), hash); /* names have at most 253 characters */
}

static json_t *make_pod(const struct daemon_pass *p, const char *node)
{
	char name[256];
	pod_name(p->set, node, name, sizeof name);
	JSON_AUTO pod = pod_from_template(&KUBE_DAEMONSET, p->set, name);
	json_t *spec = json_object_get(pod, "spec");
	char generation[24];
	(void)snprintf(generation, sizeof generation, "%lld", (long long)json_int(p->set, "metadata.generation", 1));
	if (pod == NULL || json_put_str(pod, "metadata.labels[\"controller-revision-hash\"]", p->hash) < 0 ||
	    json_put_str(pod, "metadata.labels[\"pod-template-generation\"]", generation) < 0 ||
	    add_tolerations(spec) < 0 || pin_to_node(spec, node) < 0)
		return NULL;
	return TAKE(pod);
}

/* --- which nodes --- */

struct verdict {
	bool run;  /* a pod should be started */
	bool stay; /* one that is there may go on */
};

static struct verdict judge(const struct daemon_pass *p, const json_t *node)
{
	JSON_AUTO spec = json_deep_copy(json_at(p->set, "spec.template.spec"));
	struct verdict v = {false, true};
	if (spec == NULL || add_tolerations(spec) < 0)
		return v; /* no memory: change nothing */
	v.stay = placement_selects(spec, node) && placement_untolerated(spec, node, TAINT_NO_EXECUTE) == NULL;
	v.run = v.stay && placement_untolerated(spec, node, TAINT_NO_SCHEDULE | TAINT_NO_EXECUTE) == NULL;
	return v;
}

/* --- pods of one node --- */

static bool is_current(const struct daemon_pass *p, const json_t *pod)
{
	return str_same(obj_label(pod, "controller-revision-hash"), p->hash);
}

/* True when @pod has failed long enough ago to be replaced now. */
static bool failed_is_ripe(struct daemon_pass *p, const json_t *pod)
{
	int64_t made;
	if (clock_parse_rfc3339(json_str(pod, "metadata.creationTimestamp", ""), &made) < 0)
		return true;
	const int64_t left = made + FAILED_MIN_AGE_NS - clock_wall_ns();
	if (left > 0 && (p->wait_ns == 0 || left < p->wait_ns))
		p->wait_ns = left;
	return left <= 0;
}

static int end_finished(struct daemon_pass *p, const json_t *pod, struct error *err)
{
	if (obj_deleting(pod) || !failed_is_ripe(p, pod))
		return 0;
	event_emit(p->w->events, p->set, "Warning", "FailedDaemonPod",
		   "Found failed daemon pod %s/%s on node %s, will try to kill it", obj_namespace(pod), obj_name(pod),
		   node_of(pod));
	return workload_delete_pod(p->w, p->set, pod, err);
}

static void count(struct daemon_pass *p, const json_t *pod)
{
	p->scheduled++;
	p->ready += pod_ready(pod);
	p->available += pod_available(pod, p->min_ready_s, &p->wait_ns);
	p->updated += is_current(p, pod);
}

static int tend_pods(struct daemon_pass *p, const char *node, struct verdict v, bool *ret_any, struct error *err)
{
	const json_t *kept = NULL;
	size_t i;
	json_t *pod;
	json_array_foreach (p->pods, i, pod) {
		int rc = 0;
		if (!str_same(node_of(pod), node))
			continue;
		*ret_any = true;
		if (pod_finished(pod))
			rc = end_finished(p, pod, err);
		else if (obj_deleting(pod))
			continue;
		else if (!v.stay || kept != NULL)
			rc = workload_delete_pod(p->w, p->set, pod, err); /* not its place, or one too many */
		else
			kept = pod;
		if (rc < 0)
			return rc;
	}
	if (kept != NULL && v.run)
		count(p, kept);
	if (kept != NULL && !v.run)
		p->misscheduled++;
	return 0;
}

static int tend_node(struct daemon_pass *p, const json_t *node, struct error *err)
{
	const struct verdict v = judge(p, node);
	bool any = false;
	p->desired += v.run;
	int rc = tend_pods(p, obj_name(node), v, &any, err);
	if (rc < 0 || any || !v.run)
		return rc;
	JSON_AUTO made = make_pod(p, obj_name(node));
	if (made == NULL)
		return error_set(err, -ENOMEM, "DaemonSet %s: out of memory", obj_name(p->set));
	return workload_create_pod(p->w, p->set, made, err);
}

/* Pods of nodes that are no more. */
static int end_strays(struct daemon_pass *p, struct error *err)
{
	size_t i;
	json_t *pod;
	json_array_foreach (p->pods, i, pod) {
		const char *node = node_of(pod);
		JSON_AUTO there = node != NULL ? informer_get(p->w->nodes, "", node) : NULL;
		if (there != NULL || obj_deleting(pod))
			continue;
		int rc = workload_delete_pod(p->w, p->set, pod, err);
		if (rc < 0)
			return rc;
	}
	return 0;
}

/* --- rolling update --- */

/* maxUnavailable: a number, or a percentage rounded up; at least 1. */
static int64_t budget_of(const struct daemon_pass *p)
{
	const json_t *v = json_at(p->set, "spec.updateStrategy.rollingUpdate.maxUnavailable");
	int64_t n = json_is_integer(v) ? json_integer_value(v) : 1;
	const char *s = json_string_value(v);
	if (s != NULL && str_has_suffix(s, "%")) {
		CLEANUP(free_p) char *digits = strndup(s, strlen(s) - 1);
		if (digits != NULL && str_to_i64(digits, &n) == 0 && n >= 0 && n <= 100)
			n = (p->desired * n + 99) / 100;
		else
			n = 1;
	}
	return n < 1 ? 1 : n;
}

static int roll(struct daemon_pass *p, struct error *err)
{
	int64_t budget = budget_of(p) - (p->desired - p->available);
	/* old pods that serve nobody go first and cost nothing */
	for (int round = 0; round < 2; round++) {
		size_t i;
		json_t *pod;
		json_array_foreach (p->pods, i, pod) {
			int64_t ignored = 0;
			const bool serves = pod_available(pod, p->min_ready_s, &ignored);
			if (is_current(p, pod) || obj_deleting(pod) || pod_finished(pod) || serves != (round == 1))
				continue;
			if (serves && budget-- <= 0)
				return 0;
			int rc = workload_delete_pod(p->w, p->set, pod, err);
			if (rc < 0)
				return rc;
		}
	}
	return 0;
}

/* --- a pass --- */

static json_t *status_of(const struct daemon_pass *p)
{
	return json_pack("{s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I}", "observedGeneration",
			 (json_int_t)json_int(p->set, "metadata.generation", 0), "desiredNumberScheduled",
			 (json_int_t)p->desired, "currentNumberScheduled", (json_int_t)p->scheduled,
			 "numberMisscheduled", (json_int_t)p->misscheduled, "numberReady", (json_int_t)p->ready,
			 "numberAvailable", (json_int_t)p->available, "numberUnavailable",
			 (json_int_t)(p->desired - p->available), "updatedNumberScheduled", (json_int_t)p->updated);
}

static void pass_clear(struct daemon_pass *p)
{
	json_decref(p->pods);
	json_decref(p->nodes);
}

static int run(struct daemon_pass *p, struct error *err)
{
	size_t i;
	json_t *node;
	json_array_foreach (p->nodes, i, node) {
		int rc = tend_node(p, node, err);
		if (rc < 0)
			return rc;
	}
	int rc = end_strays(p, err);
	if (rc == 0 && strcmp(json_str(p->set, "spec.updateStrategy.type", "RollingUpdate"), "OnDelete") != 0)
		rc = roll(p, err);
	return rc;
}

static bool surge_wanted(const json_t *set)
{
	const json_t *v = json_at(set, "spec.updateStrategy.rollingUpdate.maxSurge");
	return json_integer_value(v) > 0 ||
	       (json_is_string(v) && strcmp(json_string_value(v), "0") != 0 && strcmp(json_string_value(v), "0%") != 0);
}

static bool has_node(const json_t *set, const json_t *pod)
{
	(void)set;
	return node_of(pod) != NULL;
}

static int reconcile(void *ctx, const char *ns, const char *name, struct reconcile_result *ret, struct error *err)
{
	struct workload *w = ctx;
	JSON_AUTO set = informer_get(w->daemonsets, ns, name);
	if (set == NULL || obj_deleting(set))
		return 0; /* its pods are the garbage collector's */
	if (surge_wanted(set)) {
		event_emit(
			w->events, set, "Warning", "Unsupported",
			"spec.updateStrategy.rollingUpdate.maxSurge is not supported by this cluster yet: set it to 0");
		return 0;
	}
	int rc = workload_adopt_pods(w, &KUBE_DAEMONSET, set, has_node, err);
	if (rc != 0)
		return rc < 0 ? rc : 0;
	CLEANUP(pass_clear)
	struct daemon_pass p = {
		.w = w,
		.set = set,
		.min_ready_s = json_int(set, "spec.minReadySeconds", 0),
		.pods = informer_list_by(w->pods, INDEX_POD_OWNER, obj_uid(set)),
		.nodes = informer_list(w->nodes, NULL),
	};
	if (p.pods == NULL || p.nodes == NULL)
		return error_set(err, -ENOMEM, "DaemonSet %s: out of memory", name);
	template_hash(json_at(set, "spec.template"), p.hash);
	rc = run(&p, err);
	ret->requeue_after_ns = p.wait_ns;
	return rc < 0 ? rc : workload_patch_status(w, &KUBE_DAEMONSET, set, status_of(&p), err);
}

static void on_node(void *ctx, struct controller *c, const json_t *node)
{
	struct workload *w = ctx;
	JSON_AUTO sets = informer_list(w->daemonsets, NULL);
	size_t i;
	json_t *set;
	(void)node; /* any set may be concerned: the reconcile looks at all nodes */
	json_array_foreach (sets, i, set) {
		controller_enqueue(c, obj_namespace(set), obj_name(set));
	}
}

int workload_add_daemonset(struct workload *w, struct error *err)
{
	struct controller *c = NULL;
	const struct controller_options o = {.name = "daemonset", .reconcile = reconcile, .ctx = w};
	int rc = controller_new(w->manager, &o, &c, err);
	if (rc < 0)
		return rc;
	rc = controller_watch(c, &KUBE_DAEMONSET);
	if (rc == 0)
		rc = controller_watch_owned(c, &KUBE_POD, &KUBE_DAEMONSET);
	if (rc == 0)
		rc = controller_watch_mapped(c, &KUBE_NODE, on_node, w);
	return rc == 0 ? 0 : error_set(err, rc, "daemonset controller: out of memory");
}
