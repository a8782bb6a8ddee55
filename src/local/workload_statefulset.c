/*
 * StatefulSet: pods <name>-<ordinal>, made and ended in order (or all at once), updated from the highest ordinal down.
 * Old templates are not kept (there are no ControllerRevision objects), so a rollout that must stay partial is refused.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/error.h"
#include "base/str.h"
#include "local/workload_pods.h"
#include "local/workload_private.h"
#include "json/json.h"

#define REPLICAS_MAX 10000
#define NAME_MAX_LEN 320

/* One reconcile. */
struct set_pass {
	struct workload *w;
	const json_t *set;
	int64_t start, replicas, min_ready_s;
	bool ordered, rolling;
	char revision[NAME_MAX_LEN]; /* what new pods get */
	const json_t **slot;         /* by ordinal - start; borrowed from pods; NULL: there is none */
	json_t *pods;                /* all that the set owns */
	int64_t wait_ns;
};

/* The ordinal of a pod of this set, or -1. */
static int64_t ordinal_of(const json_t *set, const json_t *pod)
{
	const char *base = obj_name(set), *name = obj_name(pod);
	const size_t n = strlen(base);
	int64_t ordinal;
	if (strncmp(name, base, n) != 0 || name[n] != '-' || str_to_i64(name + n + 1, &ordinal) < 0 || ordinal < 0)
		return -1;
	return ordinal;
}

static bool is_current(const struct set_pass *p, const json_t *pod)
{
	return str_same(obj_label(pod, "controller-revision-hash"), p->revision);
}

/* --- what is refused --- */

/* The reason why this set is not run, or NULL. */
static const char *refusal(const json_t *set)
{
	if (json_array_size(json_at(set, "spec.volumeClaimTemplates")) > 0)
		return "spec.volumeClaimTemplates is not supported by this cluster yet: create the claims and name "
		       "them in the template";
	if (json_int(set, "spec.updateStrategy.rollingUpdate.partition", 0) > 0)
		return "spec.updateStrategy.rollingUpdate.partition above 0 is not supported by this cluster yet: set "
		       "it to 0 or use OnDelete";
	const int64_t replicas = json_int(set, "spec.replicas", 1);
	if (replicas < 0 || replicas > REPLICAS_MAX)
		return "spec.replicas is out of range (0 to 10000)";
	return NULL;
}

/* --- one pod --- */

static json_t *make_pod(const struct set_pass *p, int64_t ordinal)
{
	char name[NAME_MAX_LEN], index[24];
	(void)snprintf(index, sizeof index, "%lld", (long long)ordinal);
	if (snprintf(name, sizeof name, "%s-%s", obj_name(p->set), index) >= (int)sizeof name)
		return NULL;
	JSON_AUTO pod = pod_from_template(&KUBE_STATEFULSET, p->set, name);
	const char *service = json_str(p->set, "spec.serviceName", "");
	if (pod == NULL || json_put_str(pod, "metadata.labels[\"statefulset.kubernetes.io/pod-name\"]", name) < 0 ||
	    json_put_str(pod, "metadata.labels[\"apps.kubernetes.io/pod-index\"]", index) < 0 ||
	    json_put_str(pod, "metadata.labels[\"controller-revision-hash\"]", p->revision) < 0 ||
	    json_put_str(pod, "spec.hostname", name) < 0 ||
	    (service[0] != '\0' && json_put_str(pod, "spec.subdomain", service) < 0))
		return NULL;
	return TAKE(pod);
}

static bool is_child(const json_t *set, const json_t *pod)
{
	return ordinal_of(set, pod) >= 0;
}

/* Whether somebody else's pod has the name. */
static bool name_is_taken(const struct set_pass *p, const char *name)
{
	JSON_AUTO there = informer_get(p->w->pods, obj_namespace(p->set), name);
	return there != NULL && !str_same(json_str(obj_controller_ref(there), "uid", NULL), obj_uid(p->set));
}

static int create_ordinal(struct set_pass *p, int64_t ordinal, struct error *err)
{
	JSON_AUTO pod = make_pod(p, ordinal);
	if (pod == NULL)
		return error_set(err, -ENOMEM, "pod %lld of StatefulSet %s: out of memory", (long long)ordinal,
				 obj_name(p->set));
	if (name_is_taken(p, obj_name(pod))) {
		event_emit(p->w->events, p->set, "Warning", "FailedCreate",
			   "pod %s is there already and belongs to somebody else: delete or rename it", obj_name(pod));
		return error_set(err, -EEXIST, "pod %s/%s belongs to somebody else", obj_namespace(p->set),
				 obj_name(pod));
	}
	return workload_create_pod(p->w, p->set, pod, err);
}

/* --- the steps; each returns 1 when the pass must wait for what it did, 0 to go on, or a negative code --- */

static int step_create(struct set_pass *p, struct error *err)
{
	for (int64_t i = 0; i < p->replicas; i++) {
		const json_t *pod = p->slot[i];
		int rc = 0;
		bool acted = true;
		if (pod == NULL)
			rc = create_ordinal(p, p->start + i, err);
		else if (obj_deleting(pod))
			acted = p->ordered; /* nothing to do but to wait for its end */
		else if (pod_finished(pod))
			rc = workload_delete_pod(p->w, p->set, pod, err);
		else if (p->ordered && !pod_available(pod, p->min_ready_s, &p->wait_ns)) {
			/* a pod that never gets ready must not keep its own repair away: an old one is replaced */
			if (p->rolling && !is_current(p, pod) && !pod_ready(pod))
				rc = workload_delete_pod(p->w, p->set, pod, err);
		} else
			acted = false;
		if (rc < 0)
			return rc;
		if (acted && p->ordered)
			return 1;
	}
	return 0;
}

static int by_ordinal_down(const void *a, const void *b, void *set)
{
	const int64_t x = ordinal_of(set, *(const json_t *const *)a), y = ordinal_of(set, *(const json_t *const *)b);
	return x < y ? 1 : x > y ? -1 : 0;
}

/* The pods beyond the wanted ordinals, highest first; malloc'ed array of borrowed pods, NULL on no memory. */
static const json_t **surplus_pods(const struct set_pass *p, size_t *ret_n)
{
	const json_t **list = calloc(json_array_size(p->pods) + 1, sizeof(const json_t *));
	size_t i, n = 0;
	json_t *pod;
	json_array_foreach (p->pods, i, pod) {
		const int64_t ordinal = ordinal_of(p->set, pod);
		if (list != NULL && (ordinal < p->start || ordinal >= p->start + p->replicas))
			list[n++] = pod;
	}
	if (list != NULL)
		qsort_r(list, n, sizeof *list, by_ordinal_down, (void *)p->set);
	*ret_n = n;
	return list;
}

static int step_scale_down(struct set_pass *p, struct error *err)
{
	size_t n;
	CLEANUP(free_p) const json_t **list = surplus_pods(p, &n);
	if (list == NULL)
		return error_set(err, -ENOMEM, "StatefulSet %s: out of memory", obj_name(p->set));
	for (size_t i = 0; i < n; i++) {
		if (!obj_deleting(list[i])) {
			int rc = workload_delete_pod(p->w, p->set, list[i], err);
			if (rc < 0)
				return rc;
		}
		if (p->ordered)
			return 1; /* the next one when this one has gone */
	}
	return 0;
}

static int step_update(struct set_pass *p, struct error *err)
{
	for (int64_t i = p->replicas - 1; p->rolling && i >= 0; i--) {
		const json_t *pod = p->slot[i];
		if (pod == NULL || obj_deleting(pod))
			return 1;
		if (!is_current(p, pod)) {
			int rc = workload_delete_pod(p->w, p->set, pod, err);
			return rc < 0 ? rc : 1;
		}
		if (!pod_available(pod, p->min_ready_s, &p->wait_ns))
			return 1; /* one at a time */
	}
	return 0;
}

/* --- status --- */

static json_t *status_of(struct set_pass *p)
{
	int64_t have = 0, ready = 0, available = 0, updated = 0;
	size_t i;
	json_t *pod;
	json_array_foreach (p->pods, i, pod) {
		if (pod_finished(pod))
			continue;
		have++;
		ready += pod_ready(pod);
		available += pod_available(pod, p->min_ready_s, &p->wait_ns);
		updated += is_current(p, pod) && !obj_deleting(pod);
	}
	const bool settled = updated == have && ready == have && have == p->replicas;
	const char *current = json_str(p->set, "status.currentRevision", "");
	if (settled || current[0] == '\0')
		current = p->revision;
	const int64_t of_current = strcmp(current, p->revision) == 0 ? updated : have - updated;
	return json_pack("{s:I, s:I, s:I, s:I, s:I, s:I, s:s, s:s, s:i}", "observedGeneration",
			 (json_int_t)json_int(p->set, "metadata.generation", 0), "replicas", (json_int_t)have,
			 "readyReplicas", (json_int_t)ready, "availableReplicas", (json_int_t)available,
			 "updatedReplicas", (json_int_t)updated, "currentReplicas", (json_int_t)of_current,
			 "currentRevision", current, "updateRevision", p->revision, "collisionCount", 0);
}

/* --- a pass --- */

static int pass_begin(struct set_pass *p, struct error *err)
{
	char hash[16];
	size_t i;
	json_t *pod;
	p->start = json_int(p->set, "spec.ordinals.start", 0);
	p->replicas = json_int(p->set, "spec.replicas", 1);
	p->min_ready_s = json_int(p->set, "spec.minReadySeconds", 0);
	p->ordered = strcmp(json_str(p->set, "spec.podManagementPolicy", "OrderedReady"), "Parallel") != 0;
	p->rolling = strcmp(json_str(p->set, "spec.updateStrategy.type", "RollingUpdate"), "OnDelete") != 0;
	template_hash(json_at(p->set, "spec.template"), hash);
	/* a label's value has at most 63 characters */
	(void)snprintf(p->revision, sizeof p->revision, "%.52s-%s", obj_name(p->set), hash);
	p->pods = informer_list_by(p->w->pods, INDEX_POD_OWNER, obj_uid(p->set));
	p->slot = calloc((size_t)p->replicas + 1, sizeof *p->slot);
	if (p->pods == NULL || p->slot == NULL)
		return error_set(err, -ENOMEM, "StatefulSet %s: out of memory", obj_name(p->set));
	json_array_foreach (p->pods, i, pod) {
		const int64_t at = ordinal_of(p->set, pod) - p->start;
		if (at >= 0 && at < p->replicas)
			p->slot[at] = pod;
	}
	return 0;
}

static void pass_clear(struct set_pass *p)
{
	json_decref(p->pods);
	free(p->slot);
}

static int run_steps(struct set_pass *p, struct error *err)
{
	int rc = step_create(p, err);
	if (rc == 0)
		rc = step_scale_down(p, err);
	if (rc == 0)
		rc = step_update(p, err);
	return rc < 0 ? rc : 0;
}

static int reconcile(void *ctx, const char *ns, const char *name, struct reconcile_result *ret, struct error *err)
{
	struct workload *w = ctx;
	JSON_AUTO set = informer_get(w->statefulsets, ns, name);
	if (set == NULL || obj_deleting(set))
		return 0; /* its pods are the garbage collector's */
	const char *why_not = refusal(set);
	if (why_not != NULL) {
		event_emit(w->events, set, "Warning", "Unsupported", "%s", why_not);
		return workload_patch_status(w, &KUBE_STATEFULSET, set,
					     json_pack("{s:I, s:I}", "observedGeneration",
						       (json_int_t)json_int(set, "metadata.generation", 0), "replicas",
						       json_int(set, "status.replicas", 0)),
					     err);
	}
	int rc = workload_adopt_pods(w, &KUBE_STATEFULSET, set, is_child, err);
	if (rc != 0)
		return rc < 0 ? rc : 0;
	CLEANUP(pass_clear) struct set_pass p = {.w = w, .set = set};
	rc = pass_begin(&p, err);
	if (rc < 0)
		return rc;
	struct error status_err = {0};
	rc = run_steps(&p, err);
	int status_rc = workload_patch_status(w, &KUBE_STATEFULSET, set, status_of(&p), &status_err);
	ret->requeue_after_ns = p.wait_ns;
	if (rc == 0 && status_rc < 0 && err != NULL)
		*err = status_err;
	return rc < 0 ? rc : status_rc;
}

int workload_add_statefulset(struct workload *w, struct error *err)
{
	struct controller *c = NULL;
	const struct controller_options o = {.name = "statefulset", .reconcile = reconcile, .ctx = w};
	int rc = controller_new(w->manager, &o, &c, err);
	if (rc < 0)
		return rc;
	rc = controller_watch(c, &KUBE_STATEFULSET);
	if (rc == 0)
		rc = controller_watch_owned(c, &KUBE_POD, &KUBE_STATEFULSET);
	return rc == 0 ? 0 : error_set(err, rc, "statefulset controller: out of memory");
}
