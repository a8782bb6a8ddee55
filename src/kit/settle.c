#include "kit/settle.h"

#include <poll.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "api/dataset.h"
#include "base/cleanup.h"
#include "base/clock.h"
#include "json/json.h"

#define MAX_STEPS   400
#define QUIET_MAX   400
#define QUIET_STEPS 3
#define PAUSE_MS    5
#define SETTLE_NS   (30 * NSEC_PER_SEC)
#define DATASET     (&dataset_kind.resource)

int kit_failed(char *why, const char *fmt, ...)
{
	va_list ap;
	va_start(ap, fmt);
	(void)vsnprintf(why, KIT_WHY, fmt, ap); /* a cut reason is still one */
	va_end(ap);
	return KIT_FAILED;
}

/* --- waiting -------------------------------------------------------------------------------------------------------------------- */

bool kit_phase_is(struct world *w, const char *phase)
{
	JSON_AUTO d = world_get(w, DATASET, KIT_NAME);
	return d != NULL && strcmp(json_str(d, "status.phase", ""), phase) == 0;
}

bool kit_is_bound(struct world *w)
{
	JSON_AUTO pvc = world_get(w, &KUBE_PVC, KIT_NAME);
	return pvc != NULL && kit_phase_is(w, "Bound");
}

bool kit_is_gone(struct world *w)
{
	JSON_AUTO d = world_get(w, DATASET, KIT_NAME);
	JSON_AUTO r = world_get(w, w->o->controller->resource, KIT_NAME);
	return d == NULL && r == NULL;
}

/* Steps of @n controllers in turn until @holds. 1 held, 0 not in time, negative errno. */
int kit_settle(struct world *w, size_t n, bool (*holds)(struct world *w), struct error *err)
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
int kit_quiet(struct world *w, size_t n, struct error *err)
{
	int still = 0;
	for (size_t i = 0; i < QUIET_MAX && still < QUIET_STEPS * (int)n; i++) {
		const long before = atomic_load(&w->writes);
		int rc = world_step(w, i % n, err);
		if (rc < 0)
			return rc;
		still = atomic_load(&w->writes) == before ? still + 1 : 0;
		(void)poll(NULL, 0, PAUSE_MS);
	}
	return still == QUIET_STEPS * (int)n;
}

int kit_not_settled(struct world *w, const char *what, char *why)
{
	JSON_AUTO d = world_get(w, DATASET, KIT_NAME);
	const json_t *e = json_array_get(w->events, json_array_size(w->events) - 1);
	return kit_failed(why, "%s; phase '%s', last pass: %s, last Event: %s", what,
			  json_str(d, "status.phase", "(none)"), w->last.msg[0] != '\0' ? w->last.msg : "fine",
			  e != NULL ? json_string_value(e) : "none");
}

/* A world with a bound Dataset. KIT_HELD, KIT_FAILED, negative. */
int kit_begin_bound(const struct kit_options *o, struct world **ret, char *why, struct error *err)
{
	int rc = world_new(o, ret, err);
	if (rc == 0)
		rc = world_create_dataset(*ret, err);
	if (rc == 0)
		rc = world_create_runtime(*ret, err);
	if (rc == 0)
		rc = kit_settle(*ret, 1, kit_is_bound, err);
	if (rc == 0)
		return kit_not_settled(*ret, "was never bound", why);
	if (rc < 0)
		return rc;
	rc = kit_quiet(*ret, 1, err);
	return rc == 0 ? kit_not_settled(*ret, "passes never end writing", why) : rc;
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
int kit_end_all(struct world *w, size_t n, char *why, struct error *err)
{
	char what[300];
	int rc = world_delete(w, DATASET, KIT_NAME, err);
	if (rc == 0)
		rc = world_delete(w, w->o->controller->resource, KIT_NAME, err);
	if (rc == 0)
		rc = kit_settle(w, n, kit_is_gone, err);
	if (w->crashed && rc == 0)
		return KIT_HELD; /* the caller starts it again */
	if (rc == 0)
		return kit_not_settled(w, "deletion does not end", why);
	if (rc > 0)
		rc = world_others(w, err);
	if (rc < 0)
		return rc;
	if (left_over(w, what, sizeof what) != NULL)
		return kit_failed(why, "after the end there is still %s", what);
	return KIT_HELD;
}

bool kit_has_event(struct world *w, const char *words)
{
	size_t i;
	json_t *e;
	json_array_foreach (w->events, i, e)
		if (strstr(json_string_value(e), words) != NULL)
			return true;
	return false;
}
