/* PodDisruptionBudget: how many of its pods are healthy, and how many may go. */
#include <errno.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/error.h"
#include "base/str.h"
#include "local/workload_pods.h"
#include "local/workload_private.h"
#include "json/json.h"
#include "json/selector.h"

#define EVICTION_NS (120 * NSEC_PER_SEC) /* an eviction that has not ended its pod by then counts no more */

static const struct kube_resource budgets = {"policy", "v1", "PodDisruptionBudget", "poddisruptionbudgets", true};

struct budget_pass {
	struct workload *w;
	const json_t *budget;
	json_t *pods;      /* that it selects */
	json_t *disrupted; /* evictions under way, as they will be */
	int64_t expected, desired, healthy;
	int64_t wait_ns;
};

static void pass_clear(struct budget_pass *p)
{
	json_decref(p->pods);
	json_decref(p->disrupted);
}

static int select_pods(struct budget_pass *p, struct error *err)
{
	struct label_selector *sel = NULL;
	JSON_AUTO all = informer_list(p->w->pods, obj_namespace(p->budget));
	p->pods = json_array();
	int rc = label_selector_from_json(json_at(p->budget, "spec.selector"), &sel, err);
	if (rc < 0)
		return rc;
	size_t i;
	json_t *pod;
	json_array_foreach (all, i, pod)
		if (!pod_finished(pod) && label_selector_matches(sel, json_at(pod, "metadata.labels")))
			rc |= json_array_append(p->pods, pod);
	label_selector_free(sel);
	return rc == 0 && all != NULL && p->pods != NULL
		       ? 0
		       : error_set(err, -ENOMEM, "budget %s: out of memory", obj_name(p->budget));
}

/* ---- how many there should be ---- */

/** The size of what controls @pod; *@ret_uid says who that is. 0: it is not known. */
static int64_t scale_of(struct workload *w, const json_t *pod, const char **ret_uid, json_t **ret_held)
{
	const json_t *ref = obj_controller_ref(pod);
	const char *kind = json_str(ref, "kind", ""), *name = json_str(ref, "name", "");
	struct informer *from = strcmp(kind, "ReplicaSet") == 0    ? w->replicasets
				: strcmp(kind, "StatefulSet") == 0 ? w->statefulsets
								   : NULL;
	json_t *owner = from != NULL ? informer_get(from, obj_namespace(pod), name) : NULL;
	const json_t *above = owner != NULL ? obj_controller_ref(owner) : NULL;
	if (strcmp(json_str(above, "kind", ""), "Deployment") == 0) {
		json_t *d = informer_get(w->deployments, obj_namespace(pod), json_str(above, "name", ""));
		json_decref(owner);
		owner = d;
	}
	*ret_held = owner;
	*ret_uid = owner != NULL ? obj_uid(owner) : NULL;
	return owner != NULL ? json_int(owner, "spec.replicas", 1) : 0;
}

/** The sizes of all that control pods of the budget; a pod whose controller has no size counts for itself. */
static int64_t expected_pods(const struct budget_pass *p)
{
	JSON_AUTO seen = json_object();
	int64_t n = 0;
	size_t i;
	json_t *pod;
	json_array_foreach (p->pods, i, pod) {
		JSON_AUTO held = NULL;
		const char *uid = NULL;
		int64_t scale = scale_of(p->w, pod, &uid, &held);
		if (uid == NULL)
			n++;
		else if (json_object_get(seen, uid) == NULL)
			n += scale;
		if (uid != NULL)
			(void)json_object_set_new(seen, uid,
						  json_true()); /* without memory one counts twice: on the safe side */
	}
	return n;
}

/** A number, or a percentage of @total rounded up. */
static int64_t resolve(const json_t *v, int64_t total)
{
	int64_t percent = 0;
	if (json_is_integer(v))
		return json_integer_value(v);
	CLEANUP(free_p) char *digits = json_is_string(v) ? strdup(json_string_value(v)) : NULL;
	if (digits == NULL)
		return total;
	digits[strcspn(digits, "%")] = '\0';
	return str_to_i64(digits, &percent) == 0 && percent >= 0 && percent <= 100 ? (total * percent + 99) / 100
										   : total;
}

static void count_wanted(struct budget_pass *p)
{
	const json_t *most = json_at(p->budget, "spec.maxUnavailable"),
		     *least = json_at(p->budget, "spec.minAvailable");
	p->expected = json_is_integer(least) ? (int64_t)json_array_size(p->pods) : expected_pods(p);
	if (most != NULL)
		p->desired = p->expected - resolve(most, p->expected);
	else
		p->desired = least != NULL ? resolve(least, p->expected) : 1;
	p->desired = p->desired > 0 ? p->desired : 0;
}

/* ---- how many there are ---- */

/** Whether an eviction of the pod is under way. */
static bool is_disrupted(struct budget_pass *p, const json_t *pod)
{
	const char *at = json_string_value(json_object_get(json_at(p->budget, "status.disruptedPods"), obj_name(pod)));
	int64_t since = 0;
	if (at == NULL || obj_deleting(pod) || clock_parse_rfc3339(at, &since) < 0)
		return false;
	int64_t left = since + EVICTION_NS - clock_wall_ns();
	if (left <= 0)
		return false;
	if (p->wait_ns == 0 || left < p->wait_ns)
		p->wait_ns = left;
	return json_object_set_new(p->disrupted, obj_name(pod), json_string(at)) == 0;
}

static void count_healthy(struct budget_pass *p)
{
	size_t i;
	json_t *pod;
	json_array_foreach (p->pods, i, pod)
		p->healthy += !is_disrupted(p, pod) && !obj_deleting(pod) && pod_ready(pod);
}

/* ---- status ---- */

static json_t *condition(const struct budget_pass *p, bool allowed)
{
	const json_t *old = json_at(p->budget, "status.conditions[type=DisruptionAllowed]");
	const char *status = allowed ? "True" : "False";
	bool same = strcmp(json_str(old, "status", ""), status) == 0;
	char now[32];
	clock_format_rfc3339(clock_wall_ns(), now);
	return json_pack("{s:s, s:s, s:I, s:s, s:s, s:s}", "type", "DisruptionAllowed", "status", status,
			 "observedGeneration", (json_int_t)json_int(p->budget, "metadata.generation", 0),
			 "lastTransitionTime", same ? json_str(old, "lastTransitionTime", now) : now, "reason",
			 allowed ? "SufficientPods" : "InsufficientPods", "message", "");
}

/** Evictions that are over are taken out one by one: the patch merges. */
static json_t *disrupted_patch(const struct budget_pass *p)
{
	json_t *patch = json_deep_copy(p->disrupted);
	const char *name;
	json_t *at;
	json_object_foreach (json_at(p->budget, "status.disruptedPods"), name, at)
		if (json_object_get(patch, name) == NULL)
			(void)json_object_set_new(patch, name, json_null()); /* without memory the next pass does it */
	return patch;
}

static int write_status(struct budget_pass *p, struct error *err)
{
	int64_t allowed = p->expected > 0 && p->healthy > p->desired ? p->healthy - p->desired : 0;
	json_t *status = json_pack("{s:I, s:I, s:I, s:I, s:I, s:[o]}", "observedGeneration",
				   (json_int_t)json_int(p->budget, "metadata.generation", 0), "disruptionsAllowed",
				   (json_int_t)allowed, "currentHealthy", (json_int_t)p->healthy, "desiredHealthy",
				   (json_int_t)p->desired, "expectedPods", (json_int_t)p->expected, "conditions",
				   condition(p, allowed > 0));
	const json_t *before = json_at(p->budget, "status.disruptedPods");
	bool same = before != NULL ? json_same(before, p->disrupted) : json_object_size(p->disrupted) == 0;
	if (status != NULL && !same && json_object_set_new(status, "disruptedPods", disrupted_patch(p)) < 0) {
		json_decref(status);
		status = NULL;
	}
	return workload_patch_status(p->w, &budgets, p->budget, status, err);
}

static int reconcile(void *ctx, const char *ns, const char *name, struct reconcile_result *ret, struct error *err)
{
	struct workload *w = ctx;
	JSON_AUTO budget = informer_get(w->budgets, ns, name);
	if (budget == NULL || obj_deleting(budget))
		return 0;
	CLEANUP(pass_clear) struct budget_pass p = {.w = w, .budget = budget, .disrupted = json_object()};
	int rc = p.disrupted != NULL ? select_pods(&p, err) : error_set(err, -ENOMEM, "budget %s: out of memory", name);
	if (rc < 0)
		return rc;
	count_wanted(&p);
	count_healthy(&p);
	ret->requeue_after_ns = p.wait_ns;
	return write_status(&p, err);
}

/** Any change of a pod or of what controls pods may concern each budget of its namespace. */
static void map_pod(void *ctx, struct controller *c, const json_t *obj)
{
	struct workload *w = ctx;
	JSON_AUTO list = informer_list(w->budgets, obj_namespace(obj));
	size_t i;
	json_t *b;
	json_array_foreach (list, i, b)
		controller_enqueue(c, obj_namespace(b), obj_name(b));
}

int workload_add_disruption(struct workload *w, struct error *err)
{
	struct controller *c = NULL;
	const struct controller_options o = {.name = "disruption", .reconcile = reconcile, .ctx = w};
	w->budgets = manager_informer(w->manager, &budgets);
	if (w->budgets == NULL)
		return error_set(err, -ENOMEM, "disruption controller: out of memory");
	int rc = controller_new(w->manager, &o, &c, err);
	if (rc < 0)
		return rc;
	rc = controller_watch(c, &budgets);
	if (rc == 0)
		rc = controller_watch_mapped(c, &KUBE_POD, map_pod, w);
	if (rc == 0)
		rc = controller_watch_mapped(c, &KUBE_REPLICASET, map_pod, w);
	if (rc == 0)
		rc = controller_watch_mapped(c, &KUBE_STATEFULSET, map_pod, w);
	return rc == 0 ? 0 : error_set(err, rc, "disruption controller: out of memory");
}
