#include "kit/settle.h"

#include <stdio.h>
#include <string.h>

#include "api/dataset.h"
#include "base/cleanup.h"
#include "base/str.h"
#include "controllers/dataset.h"
#include "runtime/api.h"
#include "runtime/cluster_role.h"
#include "runtime/plugin.h"
#include "json/json.h"

#define DATASET (&dataset_kind.resource)

/* --- cases: structure ----------------------------------------------------------------------------------------------------------- */

static int case_structure(const struct kit_options *o, char *why, struct error *err)
{
	(void)err;
	char text[128];
	const char *missing = runtime_controller_missing(o->controller, text);
	if (missing != NULL)
		return kit_failed(why, "there is no %s", missing);
	if (o->kind->resource.kind != o->controller->resource->kind)
		return kit_failed(why, "the controller is of %s, not of %s", o->controller->resource->kind,
				  o->kind->resource.kind);
	if (!o->kind->resource.namespaced)
		return kit_failed(why, "the kind is cluster-scoped; a Runtime lives in the namespace of its Dataset");
	JSON_AUTO crd = kind_to_crd(o->kind);
	return crd != NULL ? KIT_HELD : kit_failed(why, "no CustomResourceDefinition can be made of the kind");
}

/* What a whole life does at the API must be in the role that `sluice manifests rbac` prints. */
static int case_permissions(const struct kit_options *o, char *why, struct error *err)
{
	WORLD_AUTO w = NULL;
	JSON_AUTO verbs = json_object();
	int rc = cluster_role_add(verbs, runtime_api_permissions, err);
	if (rc == 0)
		rc = cluster_role_add(verbs, dataset_controller_permissions, err);
	if (rc == 0)
		rc = cluster_role_add_runtime(verbs, o->controller, err);
	if (rc < 0)
		return rc == -EINVAL ? kit_failed(why, "%s", err->msg) : rc;
	rc = kit_begin_bound(o, &w, why, err);
	if (rc > 0)
		rc = kit_end_all(w, 1, why, err);
	json_t *used = w != NULL ? w->used : NULL;
	for (size_t i = 0; i < json_array_size(used) && rc > 0; i++) {
		const char *group, *resource, *verb;
		json_t *use = json_array_get(used, i);
		if (json_unpack(use, "[s,s,s]", &group, &resource, &verb) == 0 &&
		    !cluster_role_allows(verbs, group, resource, verb))
			rc = kit_failed(why, "permissions lack '%s' of %s (group '%s')", verb, resource, group);
	}
	return rc;
}

/* What an operator reads: each turn of a Dataset's life once, at info; waiting for pods is no warning. */
static int case_logs(const struct kit_options *o, char *why, struct error *err)
{
	static const char *const told[] = {"dataset is bound", "runtime is gone"};
	WORLD_AUTO w = NULL;
	int rc = kit_begin_bound(o, &w, why, err);
	if (rc <= 0)
		return rc;
	w->unready = true;
	rc = kit_quiet(w, 1, err);
	w->unready = false;
	if (rc > 0)
		rc = kit_end_all(w, 1, why, err);
	else if (rc == 0)
		return kit_not_settled(w, "passes never end writing while pods are not ready", why);
	if (rc <= 0)
		return rc;
	JSON_AUTO worse = NULL;
	if (logs_count(LOG_LVL_WARN, NULL, &worse) > 0)
		return kit_failed(why, "logged as %s: %.300s", json_str(worse, "level", ""),
				  json_str(worse, "msg", ""));
	for (size_t i = 0; i < ARRAY_LEN(told); i++) {
		const size_t n = logs_count(LOG_LVL_INFO, told[i], NULL);
		if (n != 1)
			return kit_failed(why, "'%s' was logged at info %zu times, not once", told[i], n);
	}
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
		rc = kit_settle(w, 1, kit_is_bound, err);
	if (rc == 0)
		return kit_not_settled(w, "was never bound", why);
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
	int rc = kit_begin_bound(o, &w, why, err);
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
			return kit_failed(why, "%s was called %s", order[i], at < 0 ? "never" : "too early");
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
	if (place_of(w->calls, "setup_workers") >= 0 && kit_phase_is(w, "Bound")) {
		JSON_AUTO sets = world_list(w, &KUBE_STATEFULSET);
		if (json_array_size(sets) > 0)
			return kit_failed(why, "the Dataset was bound while no pod was ready");
	}
	w->unready = false;
	rc = kit_settle(w, 1, kit_is_bound, err);
	return rc == 0 ? kit_not_settled(w, "was never bound once pods were ready", why) : rc < 0 ? rc : KIT_HELD;
}

static int case_scale(const struct kit_options *o, char *why, struct error *err)
{
	WORLD_AUTO w = NULL;
	int rc = kit_begin_bound(o, &w, why, err);
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
			rc = kit_quiet(w, 1, err);
		JSON_AUTO runtime = world_get(w, o->controller->resource, KIT_NAME);
		if (rc < 0)
			return rc;
		if (json_int(runtime, "status.workerNumberReady", -1) != wanted[i])
			return kit_not_settled(w, "spec.replicas did not take effect", why);
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
		return kit_failed(why, "the API refuses it: %s", err->msg);
	if (rc == 0)
		rc = kit_quiet(w, 1, err);
	if (rc < 0)
		return rc;
	if (rc == 0 || w->last.code != 0)
		return kit_not_settled(w, what, why);
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
	int rc = kit_begin_bound(o, &w, why, err);
	for (size_t i = 0; i < json_array_size(changes) && rc > 0; i++) {
		char what[64];
		(void)snprintf(what, sizeof what, "change %zu did not settle", i);
		const long before = atomic_load(&w->writes);
		rc = change_and_settle(w, o->controller->resource, json_array_get(changes, i), what, why, err);
		if (rc > 0 && atomic_load(&w->writes) == before)
			rc = kit_failed(why, "change %zu had no effect", i);
		if (rc > 0 && !kit_phase_is(w, "Bound"))
			rc = kit_not_settled(w, what, why);
	}
	return rc;
}

static bool serves_its_mounts(struct world *w)
{
	JSON_AUTO d = world_get(w, DATASET, KIT_NAME);
	return json_same(json_at(d, "spec.mounts"), json_at(d, "status.mounts")) &&
	       strcmp(json_str(d, "status.phase", ""), "Bound") == 0;
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
	int rc = kit_begin_bound(o, &w, why, err);
	if (rc <= 0)
		return rc;
	JSON_AUTO patch = json_pack("{s:{s:O}}", "spec", "mounts", mounts);
	rc = world_patch(w, DATASET, KIT_NAME, NULL, patch, err);
	if (rc == 0)
		rc = kit_settle(w, 1, serves_its_mounts, err);
	if (rc != 0)
		return rc < 0 ? rc : KIT_HELD;
	if (!kit_has_event(w, "spec.mounts"))
		return kit_not_settled(
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
		if (kit_phase_is(w, "Bound"))
			return kit_failed(why, "refused[%zu] was bound all the same", i);
		if (!kit_has_event(w, json_str(x, "words", "spec.")))
			return kit_not_settled(w, json_str(x, "words", "spec."), why);
	}
	return KIT_HELD;
}

static int case_lost(const struct kit_options *o, char *why, struct error *err)
{
	WORLD_AUTO w = NULL;
	int rc = kit_begin_bound(o, &w, why, err);
	if (rc <= 0)
		return rc;
	for (const struct kube_resource *const *r = o->controller->kinds; *r != NULL && rc > 0; r++) {
		JSON_AUTO list = world_list(w, *r);
		for (size_t i = 0; i < json_array_size(list) && rc > 0; i++)
			if (obj_label(json_array_get(list, i), "fluid.io/managed-by") != NULL)
				rc = world_delete(w, *r, obj_name(json_array_get(list, i)), err) < 0 ? -EIO : rc;
	}
	if (rc > 0)
		rc = kit_settle(w, 1, kit_is_bound, err);
	if (rc > 0)
		rc = kit_quiet(w, 1, err);
	if (rc > 0 && !kit_phase_is(w, "Bound"))
		rc = 0;
	return rc == 0 ? kit_not_settled(w, "objects that were deleted did not come back", why) : rc;
}

const struct kit_case kit_cases[] = {
	{"structure: nothing is missing", case_structure},
	{"logs: what is done at info, and no worse in a good life", case_logs},
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
	{"a crash at every write of Setup", kit_case_crash_setup},
	{"a crash at every write of the end", kit_case_crash_end},
	{"two controllers in turn", kit_case_two_controllers},
	{"deletion at any time leaves nothing", kit_case_delete_any_time},
	{"deletion while a pod reads names the pod", kit_case_delete_in_use},
	{"figures: good, late, garbled and no answers", kit_case_figures},
	{"a deaf cache system holds nobody up", kit_case_deaf},
	{.name = NULL},
};
