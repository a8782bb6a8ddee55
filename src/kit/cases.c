#include "kit/cases.h"

#include <poll.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "api/dataset.h"
#include "base/arena.h"
#include "base/cleanup.h"
#include "base/clock.h"
#include "base/str.h"
#include "runtime/plugin.h"
#include "json/json.h"
#include "json/patch.h"

#define MAX_STEPS   400
#define MAX_CRASHES 60
#define QUIET_STEPS 3
#define PAUSE_MS    5
#define SETTLE_NS   (30 * NSEC_PER_SEC)
#define DATASET     (&dataset_kind.resource)

static void world_free_p(struct world **w)
{
	world_free(*w);
}
#define WORLD_AUTO CLEANUP(world_free_p) struct world *

__attribute__((format(printf, 2, 3))) static int failed(char *why, const char *fmt, ...)
{
	va_list ap;
	va_start(ap, fmt);
	(void)vsnprintf(why, KIT_WHY, fmt, ap); /* a cut reason is still one */
	va_end(ap);
	return KIT_FAILED;
}

/* --- waiting -------------------------------------------------------------------------------------------------------------------- */

static bool phase_is(struct world *w, const char *phase)
{
	JSON_AUTO d = world_get(w, DATASET, KIT_NAME);
	return d != NULL && strcmp(json_str(d, "status.phase", ""), phase) == 0;
}

static bool is_bound(struct world *w)
{
	JSON_AUTO pvc = world_get(w, &KUBE_PVC, KIT_NAME);
	return pvc != NULL && phase_is(w, "Bound");
}

static bool is_gone(struct world *w)
{
	JSON_AUTO d = world_get(w, DATASET, KIT_NAME);
	JSON_AUTO r = world_get(w, w->o->controller->resource, KIT_NAME);
	return d == NULL && r == NULL;
}

/* Steps of @n controllers in turn until @holds. 1 held, 0 not in time, negative errno. */
static int settle(struct world *w, size_t n, bool (*holds)(struct world *w), struct error *err)
{
	const int64_t late = clock_mono_ns() + SETTLE_NS;
	for (size_t i = 0; i < MAX_STEPS && clock_mono_ns() < late; i++) {
		const long before = atomic_load(&w->writes);
		int rc = world_step(w, i % n, err);
		if (rc < 0 || w->crashed)
			return rc < 0 ? rc : 0;
		if (holds(w))
			return 1;
		if (atomic_load(&w->writes) == before)
			(void)poll(NULL, 0, PAUSE_MS); /* an answer may be under way */
	}
	return 0;
}

/* Until passes write nothing any more. */
static int quiet(struct world *w, size_t n, struct error *err)
{
	int still = 0;
	for (size_t i = 0; i < MAX_STEPS && still < QUIET_STEPS * (int)n; i++) {
		const long before = atomic_load(&w->writes);
		int rc = world_step(w, i % n, err);
		if (rc < 0)
			return rc;
		still = atomic_load(&w->writes) == before ? still + 1 : 0;
		(void)poll(NULL, 0, PAUSE_MS);
	}
	return still == QUIET_STEPS * (int)n;
}

static int not_settled(struct world *w, const char *what, char *why)
{
	JSON_AUTO d = world_get(w, DATASET, KIT_NAME);
	const json_t *e = json_array_get(w->events, json_array_size(w->events) - 1);
	return failed(why, "%s; phase '%s', last pass: %s, last Event: %s", what, json_str(d, "status.phase", "(none)"),
		      w->last.msg[0] != '\0' ? w->last.msg : "fine", e != NULL ? json_string_value(e) : "none");
}

/* A world with a bound Dataset. KIT_HELD, KIT_FAILED, negative. */
static int begin_bound(const struct kit_options *o, struct world **ret, char *why, struct error *err)
{
	int rc = world_new(o, ret, err);
	if (rc == 0)
		rc = world_create_dataset(*ret, err);
	if (rc == 0)
		rc = world_create_runtime(*ret, err);
	if (rc == 0)
		rc = settle(*ret, 1, is_bound, err);
	if (rc == 0)
		return not_settled(*ret, "was never bound", why);
	if (rc < 0)
		return rc;
	rc = quiet(*ret, 1, err);
	return rc == 0 ? not_settled(*ret, "passes never end writing", why) : rc;
}

/* What is left after everything was deleted; NULL: nothing. */
static const char *left_over(struct world *w, char *out, size_t size)
{
	const struct kube_resource *kinds[] = {&KUBE_STATEFULSET, &KUBE_DAEMONSET, &KUBE_CONFIGMAP, &KUBE_POD,
					       &KUBE_PVC,         &KUBE_PV,        &KUBE_SERVICE};
	for (size_t k = 0; k < ARRAY_LEN(kinds); k++) {
		JSON_AUTO list = world_list(w, kinds[k]);
		for (size_t i = 0; i < json_array_size(list); i++) {
			const json_t *obj = json_array_get(list, i);
			if (obj_label(obj, "fluid.io/managed-by") == NULL && obj_annotation(obj, "CreatedBy") == NULL)
				continue;                                                  /* the cluster's own */
			(void)snprintf(out, size, "%s %s", kinds[k]->kind, obj_name(obj)); /* cut is fine */
			return out;
		}
	}
	JSON_AUTO nodes = world_list(w, &KUBE_NODE);
	for (size_t i = 0; i < json_array_size(nodes); i++) {
		const char *key;
		json_t *v;
		json_object_foreach (json_at(json_array_get(nodes, i), "metadata.labels"), key, v)
			if (strstr(key, "fluid.io/") != NULL) {
				(void)snprintf(out, size, "label %s of node %s", key,
					       obj_name(json_array_get(nodes, i)));
				return out;
			}
	}
	return NULL;
}

/* Delete the Dataset (and the runtime, when nothing owns it yet) and wait until all is gone. */
static int end_all(struct world *w, size_t n, char *why, struct error *err)
{
	char what[300];
	int rc = world_delete(w, DATASET, KIT_NAME, err);
	if (rc == 0)
		rc = world_delete(w, w->o->controller->resource, KIT_NAME, err);
	if (rc == 0)
		rc = settle(w, n, is_gone, err);
	if (w->crashed && rc == 0)
		return KIT_HELD; /* the caller starts it again */
	if (rc == 0)
		return not_settled(w, "deletion does not end", why);
	if (rc > 0)
		rc = world_others(w, err);
	if (rc < 0)
		return rc;
	if (left_over(w, what, sizeof what) != NULL)
		return failed(why, "after the end there is still %s", what);
	return KIT_HELD;
}

/* --- cases: structure ----------------------------------------------------------------------------------------------------------- */

static bool is_permitted(const struct runtime_controller *rt, const struct kube_resource *r, const char *verb)
{
	for (const struct runtime_permission *p = rt->permissions; p->resources != NULL; p++) {
		struct str rest = str_from(p->resources), word, verbs = str_from(p->verbs), v;
		bool resource = false, allowed = false;
		while (strcmp(p->group, r->group) == 0 && str_split_next(&rest, ',', &word))
			resource = resource || str_eq(word, r->plural);
		while (resource && str_split_next(&verbs, ',', &v))
			allowed = allowed || str_eq(v, verb);
		if (allowed)
			return true;
	}
	return false;
}

static int case_structure(const struct kit_options *o, char *why, struct error *err)
{
	(void)err;
	char text[128];
	const char *missing = runtime_controller_missing(o->controller, text);
	if (missing != NULL)
		return failed(why, "there is no %s", missing);
	if (o->kind->resource.kind != o->controller->resource->kind)
		return failed(why, "the controller is of %s, not of %s", o->controller->resource->kind,
			      o->kind->resource.kind);
	if (!o->kind->resource.namespaced)
		return failed(why, "the kind is cluster-scoped; a Runtime lives in the namespace of its Dataset");
	JSON_AUTO crd = kind_to_crd(o->kind);
	return crd != NULL ? KIT_HELD : failed(why, "no CustomResourceDefinition can be made of the kind");
}

static int case_permissions(const struct kit_options *o, char *why, struct error *err)
{
	(void)err;
	static const char *const read[] = {"get", "list", "watch"}, *const write[] = {"create", "patch", "delete"};
	const struct kube_resource *const always[] = {
		o->controller->resource, DATASET, &KUBE_POD, &KUBE_PV, &KUBE_PVC, &KUBE_NODE};
	for (size_t i = 0; i < ARRAY_LEN(always); i++)
		for (size_t k = 0; k < ARRAY_LEN(read); k++)
			if (!is_permitted(o->controller, always[i], read[k]))
				return failed(why, "permissions lack %s of %s", read[k], always[i]->plural);
	for (const struct kube_resource *const *r = o->controller->kinds; *r != NULL; r++)
		for (size_t k = 0; k < ARRAY_LEN(write); k++)
			if (!is_permitted(o->controller, *r, write[k]))
				return failed(why, "permissions lack %s of %s", write[k], (*r)->plural);
	return KIT_HELD;
}

/* --- cases: life ---------------------------------------------------------------------------------------------------------------- */

static int either_order(const struct kit_options *o, bool runtime_first, char *why, struct error *err)
{
	WORLD_AUTO w = NULL;
	int rc = world_new(o, &w, err);
	for (int k = 0; k < 2 && rc == 0; k++) {
		rc = (k == 0) == runtime_first ? world_create_runtime(w, err) : world_create_dataset(w, err);
		for (int i = 0; i < 5 && rc == 0; i++)
			rc = world_step(w, 0, err);
	}
	if (rc == 0)
		rc = settle(w, 1, is_bound, err);
	if (rc == 0)
		return not_settled(w, "was never bound", why);
	return rc < 0 ? rc : KIT_HELD;
}

static int case_runtime_first(const struct kit_options *o, char *why, struct error *err)
{
	return either_order(o, true, why, err);
}

static int case_dataset_first(const struct kit_options *o, char *why, struct error *err)
{
	return either_order(o, false, why, err);
}

static long place_of(const json_t *calls, const char *method)
{
	size_t i;
	json_t *m;
	json_array_foreach (calls, i, m)
		if (strcmp(json_string_value(m), method) == 0)
			return (long)i;
	return -1;
}

/* First calls in the order of the guide: Setup, then CreateVolume, then Sync. */
static int case_order(const struct kit_options *o, char *why, struct error *err)
{
	static const char *const order[] = {
		"validate",         "should_setup_master", "check_master_ready", "should_setup_workers",
		"setup_workers",    "check_workers_ready", "bind_to_dataset",    "create_volume",
		"sync_metadata",    "sync_replicas",       "sync_runtime",       "check_runtime_healthy",
		"should_update_ufs"};
	WORLD_AUTO w = NULL;
	int rc = begin_bound(o, &w, why, err);
	if (rc <= 0)
		return rc;
	if (record_ops() == NULL) {
		(void)snprintf(why, KIT_WHY, "the engine has a lifecycle of its own");
		return KIT_NOT_APPLICABLE;
	}
	long last = -1;
	for (size_t i = 0; i < ARRAY_LEN(order); i++) {
		const long at = place_of(w->calls, order[i]);
		/* A Setup that takes several passes sends changes of specs before it is done. */
		if (at < 0 || (at < last && strcmp(order[i], "sync_runtime") != 0))
			return failed(why, "%s was called %s", order[i], at < 0 ? "never" : "too early");
		last = at > last ? at : last;
	}
	return KIT_HELD;
}

static int case_not_ready(const struct kit_options *o, char *why, struct error *err)
{
	WORLD_AUTO w = NULL;
	int rc = world_new(o, &w, err);
	if (rc < 0)
		return rc;
	w->unready = true;
	rc = world_create_dataset(w, err);
	if (rc == 0)
		rc = world_create_runtime(w, err);
	for (int i = 0; i < 12 && rc == 0; i++)
		rc = world_step(w, 0, err);
	if (rc < 0)
		return rc;
	if (place_of(w->calls, "setup_workers") >= 0 && phase_is(w, "Bound")) {
		JSON_AUTO sets = world_list(w, &KUBE_STATEFULSET);
		if (json_array_size(sets) > 0)
			return failed(why, "the Dataset was bound while no pod was ready");
	}
	w->unready = false;
	rc = settle(w, 1, is_bound, err);
	return rc == 0 ? not_settled(w, "was never bound once pods were ready", why) : rc < 0 ? rc : KIT_HELD;
}

static int case_scale(const struct kit_options *o, char *why, struct error *err)
{
	WORLD_AUTO w = NULL;
	int rc = begin_bound(o, &w, why, err);
	if (rc <= 0)
		return rc;
	JSON_AUTO sets = world_list(w, &KUBE_STATEFULSET);
	if (o->kind->scale_spec_path == NULL || json_array_size(sets) == 0) {
		(void)snprintf(why, KIT_WHY, "it has no workers to scale");
		return KIT_NOT_APPLICABLE;
	}
	const int wanted[] = {3, 1, 2};
	for (size_t i = 0; i < ARRAY_LEN(wanted); i++) {
		JSON_AUTO patch = json_pack("{s:{s:i}}", "spec", "replicas", wanted[i]);
		rc = world_patch(w, o->controller->resource, KIT_NAME, NULL, patch, err);
		if (rc == 0)
			rc = quiet(w, 1, err);
		JSON_AUTO runtime = world_get(w, o->controller->resource, KIT_NAME);
		if (rc < 0)
			return rc;
		if (json_int(runtime, "status.workerNumberReady", -1) != wanted[i])
			return not_settled(w, "spec.replicas did not take effect", why);
	}
	return KIT_HELD;
}

/* A changed runtime, or changed mounts: the passes come to rest, without an error. */
static int change_and_settle(struct world *w, const struct kube_resource *r, const json_t *spec, const char *what,
			     char *why, struct error *err)
{
	JSON_AUTO patch = json_pack("{s:O}", "spec", spec);
	int rc = patch != NULL ? world_patch(w, r, KIT_NAME, NULL, patch, err) : -ENOMEM;
	if (rc == -EINVAL)
		return failed(why, "the API refuses it: %s", err->msg);
	if (rc == 0)
		rc = quiet(w, 1, err);
	if (rc < 0)
		return rc;
	if (rc == 0 || w->last.code != 0)
		return not_settled(w, what, why);
	return KIT_HELD;
}

static int case_changes(const struct kit_options *o, char *why, struct error *err)
{
	WORLD_AUTO w = NULL;
	const json_t *changes = json_object_get(o->script, "changes");
	if (json_array_size(changes) == 0) {
		(void)snprintf(why, KIT_WHY, "the script has no 'changes'");
		return KIT_NOT_APPLICABLE;
	}
	int rc = begin_bound(o, &w, why, err);
	for (size_t i = 0; i < json_array_size(changes) && rc > 0; i++) {
		char what[64];
		(void)snprintf(what, sizeof what, "change %zu did not settle", i);
		const long before = atomic_load(&w->writes);
		rc = change_and_settle(w, o->controller->resource, json_array_get(changes, i), what, why, err);
		if (rc > 0 && atomic_load(&w->writes) == before)
			rc = failed(why, "change %zu had no effect", i);
		if (rc > 0 && !phase_is(w, "Bound"))
			rc = not_settled(w, what, why);
	}
	return rc;
}

static bool serves_its_mounts(struct world *w)
{
	JSON_AUTO d = world_get(w, DATASET, KIT_NAME);
	return json_same(json_at(d, "spec.mounts"), json_at(d, "status.mounts")) &&
	       strcmp(json_str(d, "status.phase", ""), "Bound") == 0;
}

static bool has_event(struct world *w, const char *words)
{
	size_t i;
	json_t *e;
	json_array_foreach (w->events, i, e)
		if (strstr(json_string_value(e), words) != NULL)
			return true;
	return false;
}

/* Changed mounts are served, or the change is refused with the field's path. */
static int case_mounts(const struct kit_options *o, char *why, struct error *err)
{
	WORLD_AUTO w = NULL;
	const json_t *mounts = json_object_get(o->script, "mounts");
	if (mounts == NULL) {
		(void)snprintf(why, KIT_WHY, "the script has no changed 'mounts'");
		return KIT_NOT_APPLICABLE;
	}
	int rc = begin_bound(o, &w, why, err);
	if (rc <= 0)
		return rc;
	JSON_AUTO patch = json_pack("{s:{s:O}}", "spec", "mounts", mounts);
	rc = world_patch(w, DATASET, KIT_NAME, NULL, patch, err);
	if (rc == 0)
		rc = settle(w, 1, serves_its_mounts, err);
	if (rc != 0)
		return rc < 0 ? rc : KIT_HELD;
	if (!has_event(w, "spec.mounts"))
		return not_settled(
			w, "changed mounts are neither served nor refused by an Event that names spec.mounts", why);
	(void)snprintf(why, KIT_WHY, "refused, and said so");
	return KIT_HELD;
}

static int case_refused(const struct kit_options *o, char *why, struct error *err)
{
	const json_t *refused = json_object_get(o->script, "refused");
	size_t i;
	json_t *x;
	if (json_array_size(refused) == 0) {
		(void)snprintf(why, KIT_WHY, "the script has no 'refused'");
		return KIT_NOT_APPLICABLE;
	}
	json_array_foreach (refused, i, x) {
		WORLD_AUTO w = NULL;
		const struct kube_resource *r =
			json_object_get(x, "dataset") != NULL ? DATASET : o->controller->resource;
		JSON_AUTO patch = json_pack("{s:O}", "spec", json_object_get(x, r == DATASET ? "dataset" : "runtime"));
		int rc = world_new(o, &w, err);
		if (rc == 0)
			rc = world_create_dataset(w, err);
		if (rc == 0)
			rc = world_create_runtime(w, err);
		if (rc == 0)
			rc = patch != NULL ? world_patch(w, r, KIT_NAME, NULL, patch, err) : -ENOMEM;
		for (int k = 0; k < 10 && rc == 0; k++)
			rc = world_step(w, 0, err);
		if (rc < 0)
			return rc;
		if (phase_is(w, "Bound"))
			return failed(why, "refused[%zu] was bound all the same", i);
		if (!has_event(w, json_str(x, "words", "spec.")))
			return not_settled(w, json_str(x, "words", "spec."), why);
	}
	return KIT_HELD;
}

static int case_lost(const struct kit_options *o, char *why, struct error *err)
{
	WORLD_AUTO w = NULL;
	int rc = begin_bound(o, &w, why, err);
	if (rc <= 0)
		return rc;
	for (const struct kube_resource *const *r = o->controller->kinds; *r != NULL && rc > 0; r++) {
		JSON_AUTO list = world_list(w, *r);
		for (size_t i = 0; i < json_array_size(list) && rc > 0; i++)
			if (obj_label(json_array_get(list, i), "fluid.io/managed-by") != NULL)
				rc = world_delete(w, *r, obj_name(json_array_get(list, i)), err) < 0 ? -EIO : rc;
	}
	if (rc > 0)
		rc = settle(w, 1, is_bound, err);
	if (rc > 0)
		rc = quiet(w, 1, err);
	if (rc > 0 && !phase_is(w, "Bound"))
		rc = 0;
	return rc == 0 ? not_settled(w, "objects that were deleted did not come back", why) : rc;
}

/* --- cases: crashes and turns --------------------------------------------------------------------------------------------------- */

/*
 * A controller that dies before its write @after, and the next one that goes on; then everything is deleted. KIT_HELD: it did die; DID_NOT_DIE:
 * it was done before that write.
 */
#define DID_NOT_DIE 2

static int crash_in_setup(struct world *w, long after, char *why, struct error *err)
{
	w->crash_after = after;
	int rc = settle(w, 1, is_bound, err);
	if (rc == 0 && !w->crashed)
		return not_settled(w, "was never bound", why);
	if (rc != 0)
		return rc < 0 ? rc : DID_NOT_DIE;
	rc = world_restart(w, 1, err);
	if (rc == 0)
		rc = settle(w, 1, is_bound, err);
	if (rc > 0)
		rc = quiet(w, 1, err);
	if (rc <= 0)
		return rc < 0 ? rc : not_settled(w, "not bound after a crash", why);
	return end_all(w, 1, why, err);
}

static int crash_in_end(struct world *w, long after, char *why, struct error *err)
{
	int rc = settle(w, 1, is_bound, err);
	if (rc <= 0)
		return rc < 0 ? rc : not_settled(w, "was never bound", why);
	atomic_store(&w->writes, 0);
	w->crash_after = after;
	rc = end_all(w, 1, why, err);
	if (rc <= 0 || !w->crashed)
		return rc <= 0 ? rc : DID_NOT_DIE;
	rc = world_restart(w, 1, err);
	return rc < 0 ? rc : end_all(w, 1, why, err);
}

static int at_every_write(const struct kit_options *o,
			  int (*one)(struct world *w, long after, char *why, struct error *err), char *why,
			  struct error *err)
{
	WORLD_AUTO w = NULL;
	int rc = world_new(o, &w, err);
	for (long n = 0; n < MAX_CRASHES && rc >= 0; n++) {
		rc = world_restart(w, 1, err);
		atomic_store(&w->writes, 0);
		if (rc == 0)
			rc = world_create_dataset(w, err);
		if (rc == 0)
			rc = world_create_runtime(w, err);
		if (rc == 0)
			rc = one(w, n, why, err);
		if (rc == DID_NOT_DIE) {
			(void)snprintf(why, KIT_WHY, "%ld crashes", n);
			return KIT_HELD;
		}
		if (rc == KIT_FAILED) {
			char what[KIT_WHY];
			(void)snprintf(what, sizeof what, "%s", why);
			return failed(why, "killed before write %ld: %.400s", n + 1, what);
		}
	}
	return rc < 0 ? rc : failed(why, "it still writes after %d writes", MAX_CRASHES);
}

static int case_crash_setup(const struct kit_options *o, char *why, struct error *err)
{
	return at_every_write(o, crash_in_setup, why, err);
}

static int case_crash_end(const struct kit_options *o, char *why, struct error *err)
{
	return at_every_write(o, crash_in_end, why, err);
}

static int case_two_controllers(const struct kit_options *o, char *why, struct error *err)
{
	WORLD_AUTO w = NULL;
	int rc = world_new(o, &w, err);
	if (rc == 0)
		rc = world_restart(w, 2, err);
	if (rc == 0)
		rc = world_create_dataset(w, err);
	if (rc == 0)
		rc = world_create_runtime(w, err);
	if (rc < 0)
		return rc;
	rc = settle(w, 2, is_bound, err);
	if (rc > 0)
		rc = quiet(w, 2, err);
	if (rc <= 0)
		return rc < 0 ? rc : not_settled(w, "two controllers in turn do not come to rest", why);
	return end_all(w, 2, why, err);
}

/* --- cases: deletion ------------------------------------------------------------------------------------------------------------ */

static int case_delete_any_time(const struct kit_options *o, char *why, struct error *err)
{
	WORLD_AUTO w = NULL;
	int rc = world_new(o, &w, err);
	for (int steps = 0; steps < 10 && rc >= 0; steps++) {
		rc = world_create_dataset(w, err);
		if (rc == 0)
			rc = world_create_runtime(w, err);
		w->unready = steps % 2 != 0; /* also while nothing is ready */
		for (int i = 0; i < steps && rc == 0; i++)
			rc = world_step(w, 0, err);
		if (rc == 0)
			rc = end_all(w, 1, why, err);
		if (rc == KIT_FAILED) {
			char what[KIT_WHY];
			(void)snprintf(what, sizeof what, "%s", why);
			return failed(why, "deleted after %d passes: %.400s", steps, what);
		}
	}
	return rc < 0 ? rc : KIT_HELD;
}

static int case_delete_in_use(const struct kit_options *o, char *why, struct error *err)
{
	WORLD_AUTO w = NULL;
	int rc = begin_bound(o, &w, why, err);
	if (rc <= 0)
		return rc;
	JSON_AUTO pod =
		json_pack("{s:s,s:s,s:{s:s},s:{s:s,s:[{s:s,s:s}],s:[{s:s,s:{s:s}}]}}", "apiVersion", "v1", "kind",
			  "Pod", "metadata", "name", "reader", "spec", "nodeName", "n1", "containers", "name", "c",
			  "image", "i", "volumes", "name", "d", "persistentVolumeClaim", "claimName", KIT_NAME);
	rc = kube_create(w->client, &KUBE_POD, KIT_NS, pod, NULL, err);
	if (rc == 0)
		rc = world_others(w, err);
	if (rc == 0)
		rc = world_delete(w, o->controller->resource, KIT_NAME, err);
	for (int i = 0; i < 6 && rc == 0; i++)
		rc = world_step(w, 0, err);
	if (rc < 0)
		return rc;
	JSON_AUTO runtime = world_get(w, o->controller->resource, KIT_NAME);
	if (runtime == NULL)
		return failed(why, "the runtime went while pod reader used its volume");
	if (!has_event(w, "reader"))
		return not_settled(w, "no Event names the pod that holds the volume", why);
	rc = world_delete(w, &KUBE_POD, "reader", err);
	return rc < 0 ? rc : end_all(w, 1, why, err);
}

/* --- cases: figures ------------------------------------------------------------------------------------------------------------- */

/* Ask the first target directly. What query_figures() returned, and how long it took. */
static int ask(struct world *w, enum answer_mode mode, int64_t allowed_ns, int64_t *ret_took_ns, struct error *why)
{
	struct engine_figures f = {0};
	const int64_t begin = clock_mono_ns();
	const struct engine_question q = {.api = &w->api,
					  .ns = KIT_NS,
					  .name = KIT_NAME,
					  .target = json_string_value(json_array_get(w->targets, 0)),
					  .deadline_mono_ns = begin + allowed_ns};
	answers_mode(w->answers, mode);
	const int rc = record_ops()->query_figures(&q, &f, why);
	answers_mode(w->answers, ANSWER_GOOD);
	*ret_took_ns = clock_mono_ns() - begin;
	if (rc == 0)
		engine_figures_clear(&f);
	return rc;
}

static int case_figures(const struct kit_options *o, char *why, struct error *err)
{
	static const struct {
		enum answer_mode mode;
		const char *name;
		bool fails;
	} asked[] = {{ANSWER_GOOD, "good", false},
		     {ANSWER_LATE, "late", false},
		     {ANSWER_GARBLED, "garbled", true},
		     {ANSWER_HUNG, "hung", true}};
	WORLD_AUTO w = NULL;
	int rc = begin_bound(o, &w, why, err);
	if (rc <= 0)
		return rc;
	if (record_ops() == NULL || json_array_size(w->targets) == 0) {
		(void)snprintf(why, KIT_WHY, "it asks nobody");
		return KIT_NOT_APPLICABLE;
	}
	for (size_t i = 0; i < ARRAY_LEN(asked); i++) {
		struct error told = {0};
		int64_t took;
		const int64_t allowed = asked[i].mode == ANSWER_HUNG ? NSEC_PER_SEC : 5 * NSEC_PER_SEC;
		rc = ask(w, asked[i].mode, allowed, &took, &told);
		if ((rc < 0) != asked[i].fails)
			return failed(why, "a %s answer: %s", asked[i].name,
				      rc < 0 ? told.msg : "was taken for a good one");
		if (rc < 0 && told.msg[0] == '\0')
			return failed(why, "a %s answer: no reason was given", asked[i].name);
		if (took > allowed + 2 * NSEC_PER_SEC)
			return failed(why, "a %s answer: it took %lld ms, past its deadline", asked[i].name,
				      (long long)(took / NSEC_PER_MSEC));
	}
	if (*answers_unknown(w->answers) != '\0')
		return failed(why, "'%s' was asked, for which the script has no answer", answers_unknown(w->answers));
	return KIT_HELD;
}

/* A cache system that answers nothing, or nonsense, keeps nobody from binding, changing and ending the Dataset. */
static int case_deaf(const struct kit_options *o, char *why, struct error *err)
{
	const enum answer_mode modes[] = {ANSWER_HUNG, ANSWER_GARBLED};
	for (size_t i = 0; i < ARRAY_LEN(modes); i++) {
		WORLD_AUTO w = NULL;
		int rc = begin_bound(o, &w, why, err);
		if (rc <= 0)
			return rc;
		answers_mode(w->answers, modes[i]);
		rc = world_restart(w, 1, err);
		const int64_t begin = clock_mono_ns();
		for (int k = 0; k < 5 && rc == 0; k++)
			rc = world_step(w, 0, err);
		if (rc < 0)
			return rc;
		if (clock_mono_ns() - begin > 10 * NSEC_PER_SEC)
			return failed(why, "passes wait for a cache system that does not answer");
		answers_mode(w->answers, ANSWER_GOOD);
		rc = end_all(w, 1, why, err);
		if (rc <= 0)
			return rc;
	}
	return KIT_HELD;
}

const struct kit_case kit_cases[] = {
	{"structure: nothing is missing", case_structure},
	{"permissions: for all that it reads and writes", case_permissions},
	{"bound: the runtime first, the Dataset later", case_runtime_first},
	{"bound: the Dataset first, the runtime later", case_dataset_first},
	{"order: Setup, then CreateVolume, then Sync", case_order},
	{"pods that are not ready: not bound before they are", case_not_ready},
	{"scale: out and in", case_scale},
	{"changes of the runtime's spec take effect", case_changes},
	{"changed mounts are served or refused", case_mounts},
	{"what cannot take effect is refused with its path", case_refused},
	{"objects that somebody deleted come back", case_lost},
	{"a crash at every write of Setup", case_crash_setup},
	{"a crash at every write of the end", case_crash_end},
	{"two controllers in turn", case_two_controllers},
	{"deletion at any time leaves nothing", case_delete_any_time},
	{"deletion while a pod reads names the pod", case_delete_in_use},
	{"figures: good, late, garbled and no answers", case_figures},
	{"a deaf cache system holds nobody up", case_deaf},
	{.name = NULL},
};
