/*
 * Deployment: one ReplicaSet for each state of its template. The newest grows while the others shrink, within maxSurge and maxUnavailable;
 * old ones are kept for `kubectl rollout undo`.
 */
#include "local/workload_deployment.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/error.h"
#include "base/str.h"
#include "local/workload_pods.h"
#include "local/workload_private.h"
#include "json/json.h"

#define HASH_LABEL "pod-template-hash"
#define REVISION   "deployment.kubernetes.io/revision"
#define NAME_BYTES 320

static int64_t replicas_of(const json_t *set)
{
	return json_int(set, "spec.replicas", 0);
}

static int64_t revision_of(const json_t *set)
{
	int64_t n = 0;
	const char *text = obj_annotation(set, REVISION);
	return text != NULL && str_to_i64(text, &n) == 0 ? n : 0;
}

/* ---- a pass ---- */

void deployment_pass_clear(struct deployment_pass *p)
{
	json_decref(p->sets);
	json_decref(p->old);
}

/** A number, or a percentage of @total, rounded up or down. */
static int64_t resolve(const json_t *v, int64_t total, bool up, int64_t dflt)
{
	int64_t percent = 0;
	if (json_is_integer(v))
		return json_integer_value(v);
	if (!json_is_string(v))
		return dflt;
	CLEANUP(free_p) char *digits = strdup(json_string_value(v));
	if (digits == NULL)
		return dflt;
	digits[strcspn(digits, "%")] = '\0';
	if (str_to_i64(digits, &percent) < 0 || percent < 0 || percent > 100)
		return dflt;
	return (total * percent + (up ? 99 : 0)) / 100;
}

static void read_strategy(struct deployment_pass *p)
{
	const json_t *rolling = json_at(p->d, "spec.strategy.rollingUpdate");
	p->recreate = strcmp(json_str(p->d, "spec.strategy.type", ""), "Recreate") == 0;
	p->surge = p->recreate ? 0 : resolve(json_object_get(rolling, "maxSurge"), p->replicas, true, 1);
	p->unavailable = p->recreate ? 0 : resolve(json_object_get(rolling, "maxUnavailable"), p->replicas, false, 0);
	if (p->surge == 0 && p->unavailable == 0)
		p->unavailable = 1;
	if (p->unavailable > p->replicas)
		p->unavailable = p->replicas;
}

/** Whether @set is of the deployment's present template. */
static bool is_of_template(const json_t *d, const json_t *set)
{
	JSON_AUTO mine = json_deep_copy(json_at(d, "spec.template"));
	JSON_AUTO its = json_deep_copy(json_at(set, "spec.template"));
	(void)json_object_del(json_at(mine, "metadata.labels"), HASH_LABEL);
	(void)json_object_del(json_at(its, "metadata.labels"), HASH_LABEL);
	return mine != NULL && its != NULL && json_same(mine, its);
}

static int by_revision(const void *a, const void *b)
{
	const int64_t x = revision_of(*(json_t *const *)a), y = revision_of(*(json_t *const *)b);
	return x < y ? -1 : x > y;
}

/** The other sets, oldest revision first. */
static int sort_old(struct deployment_pass *p)
{
	size_t n = json_array_size(p->sets), k = 0;
	CLEANUP(free_p) json_t **list = calloc(n + 1, sizeof(json_t *));
	p->old = json_array();
	if (list == NULL || p->old == NULL)
		return -ENOMEM;
	for (size_t i = 0; i < n; i++)
		if (json_array_get(p->sets, i) != p->newest)
			list[k++] = json_array_get(p->sets, i);
	qsort(list, k, sizeof *list, by_revision);
	for (size_t i = 0; i < k; i++)
		if (json_array_append(p->old, list[i]) < 0)
			return -ENOMEM;
	return 0;
}

static int pass_begin(struct deployment_pass *p, struct error *err)
{
	size_t i;
	json_t *set;
	p->replicas = json_int(p->d, "spec.replicas", 1);
	p->paused = json_bool(p->d, "spec.paused", false);
	read_strategy(p);
	clock_format_rfc3339(clock_wall_ns(), p->now);
	p->sets = informer_list_by(p->w->replicasets, INDEX_POD_OWNER, obj_uid(p->d));
	json_array_foreach (p->sets, i, set) {
		int64_t revision = revision_of(set);
		p->revision = revision > p->revision ? revision : p->revision;
		if (is_of_template(p->d, set) && (p->newest == NULL || revision_of(p->newest) < revision))
			p->newest = set;
	}
	return p->sets != NULL && sort_old(p) == 0
		       ? 0
		       : error_set(err, -ENOMEM, "Deployment %s: out of memory", obj_name(p->d));
}

/* ---- the newest set ---- */

static int label(json_t *obj, const char *path, const char *hash)
{
	if (!json_is_object(json_at(obj, path)) && json_put(obj, path, json_object()) < 0)
		return -ENOMEM;
	return json_object_set_new(json_at(obj, path), HASH_LABEL, json_string(hash));
}

/** New tree; NULL on no memory. */
static json_t *make_set(const struct deployment_pass *p, const char *name, const char *hash)
{
	char revision[24];
	(void)snprintf(revision, sizeof revision, "%lld", (long long)p->revision + 1);
	JSON_AUTO set = json_pack(
		"{s:s, s:s, s:{s:s, s:s, s:{s:s}, s:[{s:s, s:s, s:s, s:s, s:b, s:b}]}, s:{s:I, s:I, s:o, s:o}}",
		"apiVersion", "apps/v1", "kind", "ReplicaSet", "metadata", "name", name, "namespace",
		obj_namespace(p->d), "annotations", REVISION, revision, "ownerReferences", "apiVersion", "apps/v1",
		"kind", "Deployment", "name", obj_name(p->d), "uid", obj_uid(p->d), "controller", 1,
		"blockOwnerDeletion", 1, "spec", "replicas", (json_int_t)0, "minReadySeconds",
		(json_int_t)json_int(p->d, "spec.minReadySeconds", 0), "selector",
		json_deep_copy(json_at(p->d, "spec.selector")), "template",
		json_deep_copy(json_at(p->d, "spec.template")));
	json_t *labels = json_at(set, "spec.template.metadata.labels");
	int rc = set != NULL ? label(set, "spec.template.metadata.labels", hash) : -1;
	rc = rc == 0 ? label(set, "spec.selector.matchLabels", hash) : rc;
	if (rc == 0)
		rc = json_put(set, "metadata.labels", json_deep_copy(labels));
	return rc == 0 ? TAKE(set) : NULL;
}

/** It starts empty; the next pass gives it pods. */
static int create_newest(struct deployment_pass *p, struct error *err)
{
	char hash[16], name[NAME_BYTES];
	JSON_AUTO template = json_deep_copy(json_at(p->d, "spec.template"));
	(void)json_object_del(json_at(template, "metadata.labels"), HASH_LABEL);
	template_hash(template, hash);
	(void)snprintf(name, sizeof name, "%.240s-%s", obj_name(p->d), hash);
	JSON_AUTO set = make_set(p, name, hash);
	if (template == NULL || set == NULL)
		return error_set(err, -ENOMEM, "Deployment %s: out of memory", obj_name(p->d));
	int rc = kube_create(p->w->client, &KUBE_REPLICASET, obj_namespace(p->d), set, NULL, err);
	if (rc == -EEXIST)
		return 0; /* the cache is late */
	if (rc < 0)
		event_emit(p->w->events, p->d, "Warning", "ReplicaSetCreateError",
			   "Failed to create new replica set \"%s\": %s", name, err != NULL ? err->msg : strerror(-rc));
	return rc;
}

static int put_revision(struct deployment_pass *p, const struct kube_resource *r, const json_t *obj, int64_t revision,
			struct error *err)
{
	char text[24];
	(void)snprintf(text, sizeof text, "%lld", (long long)revision);
	if (str_same(obj_annotation(obj, REVISION), text))
		return 0;
	JSON_AUTO patch = json_pack("{s:{s:s, s:{s:s}}}", "metadata", "resourceVersion", obj_resource_version(obj),
				    "annotations", REVISION, text);
	int rc = patch == NULL ? error_set(err, -ENOMEM, "Deployment %s: out of memory", obj_name(p->d))
			       : kube_patch(p->w->client, r, obj_namespace(obj), obj_name(obj), NULL, KUBE_PATCH_MERGE,
					    patch, NULL, err);
	return rc < 0 && rc != -ENOENT ? rc : 1;
}

/** Going back to an older template makes its set the newest again. 1: something was written, the next pass goes on. */
static int step_newest(struct deployment_pass *p, struct error *err)
{
	if (p->newest == NULL && p->paused)
		return 0;
	if (p->newest == NULL) {
		int rc = create_newest(p, err);
		return rc < 0 ? rc : 1;
	}
	int64_t old = 0;
	size_t i;
	json_t *set;
	json_array_foreach (p->old, i, set)
		old = revision_of(set) > old ? revision_of(set) : old;
	int64_t revision = revision_of(p->newest) > old ? revision_of(p->newest) : old + 1;
	int rc = put_revision(p, &KUBE_REPLICASET, p->newest, revision, err);
	return rc == 0 ? put_revision(p, &KUBE_DEPLOYMENT, p->d, revision, err) : rc;
}

/* ---- sizes ---- */

/** The sum of @path over a list of sets. */
static int64_t sum(const json_t *sets, const char *path)
{
	int64_t n = 0;
	size_t i;
	json_t *set;
	json_array_foreach (sets, i, set)
		n += json_int(set, path, 0);
	return n;
}

/** 1: written; the cache's set is changed too, so that the pass goes on with it. */
static int resize(struct deployment_pass *p, json_t *set, int64_t to, struct error *err)
{
	int64_t from = replicas_of(set);
	if (from == to)
		return 0;
	JSON_AUTO patch = json_pack("{s:{s:s}, s:{s:I}}", "metadata", "resourceVersion", obj_resource_version(set),
				    "spec", "replicas", (json_int_t)to);
	if (patch == NULL || json_put_int(set, "spec.replicas", to) < 0)
		return error_set(err, -ENOMEM, "Deployment %s: out of memory", obj_name(p->d));
	int rc = kube_patch(p->w->client, &KUBE_REPLICASET, obj_namespace(set), obj_name(set), NULL, KUBE_PATCH_MERGE,
			    patch, NULL, err);
	if (rc < 0)
		return rc;
	event_emit(p->w->events, p->d, "Normal", "ScalingReplicaSet", "Scaled %s replica set %s from %lld to %lld",
		   to > from ? "up" : "down", obj_name(set), (long long)from, (long long)to);
	return 1;
}

static int grow(struct deployment_pass *p, struct error *err)
{
	int64_t now = replicas_of(p->newest), all = sum(p->sets, "spec.replicas");
	if (now >= p->replicas)
		return resize(p, p->newest, p->replicas, err);
	int64_t room = p->replicas + p->surge - all, left = p->replicas - now;
	return room > 0 ? resize(p, p->newest, now + (room < left ? room : left), err) : 0;
}

/** Pods of old sets that are not available are no loss, as many as the rest can bear. */
static int shrink_unhealthy(struct deployment_pass *p, int64_t most, struct error *err)
{
	size_t i;
	json_t *set;
	int rc = 0;
	json_array_foreach (p->old, i, set) {
		int64_t have = replicas_of(set), idle = have - json_int(set, "status.availableReplicas", 0);
		int64_t n = idle < most ? idle : most;
		if (n > 0 && rc >= 0) {
			rc = resize(p, set, have - n, err);
			most -= n;
		}
	}
	return rc < 0 ? rc : 0;
}

static int shrink(struct deployment_pass *p, struct error *err)
{
	int64_t least = p->replicas - p->unavailable;
	int64_t pending = replicas_of(p->newest) - json_int(p->newest, "status.availableReplicas", 0);
	int64_t most = sum(p->sets, "spec.replicas") - least - pending;
	if (most <= 0 || sum(p->old, "spec.replicas") == 0)
		return 0;
	int rc = shrink_unhealthy(p, most, err);
	int64_t spare = sum(p->sets, "status.availableReplicas") - least;
	size_t i;
	json_t *set;
	json_array_foreach (p->old, i, set) {
		int64_t have = replicas_of(set), n = have < spare ? have : spare;
		if (rc < 0 || n <= 0)
			continue;
		rc = resize(p, set, have - n, err);
		spare -= n;
	}
	return rc < 0 ? rc : 0;
}

/** Whether a pod of an old set is there still. */
static bool old_pods_left(const struct deployment_pass *p)
{
	size_t i, k;
	json_t *set, *pod;
	bool left = false;
	json_array_foreach (p->old, i, set) {
		JSON_AUTO pods = informer_list_by(p->w->pods, INDEX_POD_OWNER, obj_uid(set));
		json_array_foreach (pods, k, pod)
			left |= !pod_finished(pod);
	}
	return left;
}

static int recreate(struct deployment_pass *p, struct error *err)
{
	size_t i;
	json_t *set;
	int rc = 0;
	json_array_foreach (p->old, i, set)
		if (rc >= 0)
			rc = resize(p, set, 0, err);
	if (rc < 0 || old_pods_left(p))
		return rc < 0 ? rc : 0;
	return resize(p, p->newest, p->replicas, err);
}

/** While it is paused only its size follows, and only when there is no doubt whose. */
static int resize_paused(struct deployment_pass *p, struct error *err)
{
	json_t *only = NULL, *set;
	size_t i, n = 0;
	json_array_foreach (p->sets, i, set)
		if (replicas_of(set) > 0 || set == p->newest) {
			only = set;
			n++;
		}
	return n == 1 ? resize(p, only, p->replicas, err) : 0;
}

static int step_sizes(struct deployment_pass *p, struct error *err)
{
	if (p->paused)
		return resize_paused(p, err);
	if (p->recreate)
		return recreate(p, err);
	int rc = grow(p, err);
	return rc < 0 ? rc : shrink(p, err);
}

/* ---- history ---- */

static int step_history(struct deployment_pass *p, struct error *err)
{
	int64_t keep = json_int(p->d, "spec.revisionHistoryLimit", 10), n = (int64_t)json_array_size(p->old);
	size_t i;
	json_t *set;
	json_array_foreach (p->old, i, set) {
		if (n <= keep)
			break;
		if (replicas_of(set) > 0 || json_int(set, "status.replicas", 0) > 0 || obj_deleting(set))
			continue;
		const struct kube_delete_options o = {
			.grace_seconds = -1, .uid = obj_uid(set), .propagation = "Background"};
		int rc = kube_delete(p->w->client, &KUBE_REPLICASET, obj_namespace(set), obj_name(set), &o, err);
		if (rc < 0 && rc != -ENOENT && rc != -ESTALE)
			return rc;
		n--;
	}
	return 0;
}

static int run_steps(struct deployment_pass *p, struct error *err)
{
	int rc = step_newest(p, err);
	if (rc == 0)
		rc = step_sizes(p, err);
	if (rc >= 0)
		rc = step_history(p, err);
	return rc < 0 ? rc : 0;
}

static int reconcile(void *ctx, const char *ns, const char *name, struct reconcile_result *ret, struct error *err)
{
	struct workload *w = ctx;
	JSON_AUTO d = informer_get(w->deployments, ns, name);
	if (d == NULL || obj_deleting(d))
		return 0; /* its sets are the garbage collector's */
	CLEANUP(deployment_pass_clear) struct deployment_pass p = {.w = w, .d = d};
	int rc = pass_begin(&p, err);
	if (rc < 0)
		return rc;
	struct error status_err = {0};
	rc = run_steps(&p, err);
	int status_rc = workload_patch_status(w, &KUBE_DEPLOYMENT, d, deployment_status(&p), &status_err);
	ret->requeue_after_ns = p.wait_ns;
	if (rc == 0 && status_rc < 0 && err != NULL)
		*err = status_err;
	return rc < 0 ? rc : status_rc;
}

/** A pod that has gone lets a Deployment of type Recreate go on: its set's owner is queued. */
static void map_pod(void *ctx, struct controller *c, const json_t *pod)
{
	struct workload *w = ctx;
	const json_t *ref = obj_controller_ref(pod);
	if (strcmp(json_str(ref, "kind", ""), "ReplicaSet") != 0)
		return;
	JSON_AUTO set = informer_get(w->replicasets, obj_namespace(pod), json_str(ref, "name", ""));
	const json_t *owner = set != NULL ? obj_controller_ref(set) : NULL;
	if (owner != NULL && strcmp(json_str(owner, "kind", ""), "Deployment") == 0)
		controller_enqueue(c, obj_namespace(pod), json_str(owner, "name", ""));
}

static char *owner_uid(const json_t *set)
{
	const char *uid = json_str(obj_controller_ref(set), "uid", NULL);
	return uid != NULL ? strdup(uid) : NULL;
}

int workload_add_deployment(struct workload *w, struct error *err)
{
	struct controller *c = NULL;
	const struct controller_options o = {.name = "deployment", .reconcile = reconcile, .ctx = w};
	w->deployments = manager_informer(w->manager, &KUBE_DEPLOYMENT);
	if (w->deployments == NULL || informer_add_index(w->replicasets, INDEX_POD_OWNER, owner_uid) < 0)
		return error_set(err, -ENOMEM, "deployment controller: out of memory");
	int rc = controller_new(w->manager, &o, &c, err);
	if (rc < 0)
		return rc;
	rc = controller_watch(c, &KUBE_DEPLOYMENT);
	if (rc == 0)
		rc = controller_watch_owned(c, &KUBE_REPLICASET, &KUBE_DEPLOYMENT);
	if (rc == 0)
		rc = controller_watch_mapped(c, &KUBE_POD, map_pod, w);
	return rc == 0 ? 0 : error_set(err, rc, "deployment controller: out of memory");
}
