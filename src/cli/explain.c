#include "cli/explain.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/error.h"
#include "base/str.h"
#include "base/strbuf.h"
#include "cli/trouble.h"
#include "json/json.h"

#define DATA_GROUP   "data.fluid.io"
#define RUNTIMES_MAX 16
#define EVENTS_MAX   5
#define NAMES_MAX    2000 /* bytes of a list of names */

/* One look at a dataset. */
struct look {
	struct session *s;
	const char *ns, *name;
	json_t *dataset, *runtime; /* NULL: there is none */
	const struct kube_resource *runtime_resource;
	json_t *findings;
	int rc; /* the first failure */
	struct error *err;
};

__attribute__((format(printf, 4, 5))) static void finding(struct look *l, const char *object, const char *advice,
							  const char *fmt, ...)
{
	char problem[1024];
	va_list ap;
	va_start(ap, fmt);
	(void)vsnprintf(problem, sizeof problem, fmt, ap); /* a cut text is still a good one */
	va_end(ap);
	if (json_array_append_new(l->findings, json_pack("{s:s, s:s, s:s}", "object", object, "problem", problem,
							 "advice", advice)) != 0 &&
	    l->rc == 0)
		l->rc = error_set(l->err, -ENOMEM, "out of memory");
}

/* --- the runtime --- */

struct runtimes {
	const struct kube_resource *v[RUNTIMES_MAX];
	size_t n;
};

static int add_runtime_kind(void *ctx, const struct discovered *x)
{
	struct runtimes *all = ctx;
	if (str_same(x->r.group, DATA_GROUP) && str_has_suffix(x->r.kind, "Runtime") && x->preferred &&
	    all->n < RUNTIMES_MAX)
		all->v[all->n++] = &x->r;
	return 0;
}

static void find_runtime(struct look *l)
{
	struct runtimes kinds = {0};
	char names[256] = "";
	(void)discovery_each(l->s->discovery, add_runtime_kind, &kinds);
	for (size_t i = 0; i < kinds.n && l->rc == 0; i++) {
		json_t *one = NULL;
		(void)snprintf(names + strlen(names), sizeof names - strlen(names), "%s%s", i > 0 ? ", " : "",
			       kinds.v[i]->kind);
		const int rc = kube_get(l->s->client, kinds.v[i], l->ns, l->name, &one, l->err);
		if (rc != 0 && rc != -ENOENT)
			l->rc = rc; /* whoever may not look cannot say that there is none */
		if (rc != 0)
			continue;
		if (l->runtime != NULL) {
			finding(l, kinds.v[i]->kind, "delete one of the two",
				"there is a %s of the dataset's name too: one is to one", l->runtime_resource->kind);
			json_decref(one);
			continue;
		}
		l->runtime = one;
		l->runtime_resource = kinds.v[i];
	}
	if (l->rc == 0 && l->runtime == NULL && !obj_deleting(l->dataset))
		finding(l, "runtime", "apply a runtime with the dataset's name and namespace",
			"no runtime is named '%s' in namespace %s, so nothing caches the dataset (kinds here: %s)",
			l->name, l->ns, kinds.n > 0 ? names : "none: are the CRDs installed?");
}

/* Conditions that say no, with their words. */
static void look_at_conditions(struct look *l, const json_t *obj, const char *kind)
{
	size_t i;
	const json_t *c;
	json_array_foreach (json_at(obj, "status.conditions"), i, c) {
		const char *message = json_str(c, "message", "");
		if (condition_is_bad(c) && message[0] != '\0')
			finding(l, kind, "", "%s is %s (%s): %s", json_str(c, "type", ""), json_str(c, "status", ""),
				json_str(c, "reason", ""), message);
	}
}

static void look_at_runtime(struct look *l)
{
	if (l->runtime == NULL)
		return;
	if (json_array_size(json_at(l->runtime, "metadata.finalizers")) == 0 && !obj_deleting(l->runtime))
		finding(l, l->runtime_resource->kind,
			"run 'sluice controller' (or Fluid's) with this kind among its --runtimes",
			"no controller has taken the runtime yet");
	look_at_conditions(l, l->runtime, l->runtime_resource->kind);
}

/* --- workloads --- */

static int list_released(struct look *l, const struct kube_resource *r, json_t **ret)
{
	CLEANUP(free_p) char *selector = str_printf("release=%s", l->name);
	if (selector == NULL)
		return error_set(l->err, -ENOMEM, "out of memory");
	return kube_list(l->s->client, r, l->ns, &(struct kube_list_options){.label_selector = selector}, ret, l->err);
}

static void look_at_workloads(struct look *l, const struct kube_resource *r, const char *want, const char *ready)
{
	JSON_AUTO list = NULL;
	if (l->rc != 0 || (l->rc = list_released(l, r, &list)) != 0)
		return;
	size_t i;
	const json_t *w;
	json_array_foreach (json_at(list, "items"), i, w) {
		const int64_t wanted = json_int(w, want, 0), there = json_int(w, ready, 0);
		char object[300];
		(void)snprintf(object, sizeof object, "%s %s", r->kind, obj_name(w));
		if (there < wanted)
			finding(l, object, "", "%lld of %lld pods are ready", (long long)there, (long long)wanted);
	}
}

static void look_at_pods(struct look *l)
{
	JSON_AUTO list = NULL;
	if (l->rc != 0 || (l->rc = list_released(l, &KUBE_POD, &list)) != 0)
		return;
	size_t i;
	const json_t *pod;
	json_array_foreach (json_at(list, "items"), i, pod) {
		struct pod_trouble t;
		char object[300];
		(void)snprintf(object, sizeof object, "Pod %s", obj_name(pod));
		if (pod_in_trouble(pod, &t))
			finding(l, object, t.advice, "%s", t.problem);
	}
}

/* --- what uses the dataset --- */

static bool uses_claim(const json_t *pod, const char *claim)
{
	const char *phase = json_str(pod, "status.phase", "");
	size_t i;
	const json_t *v;
	if (str_same(phase, "Succeeded") || str_same(phase, "Failed"))
		return false;
	json_array_foreach (json_at(pod, "spec.volumes"), i, v) {
		if (str_same(json_str(v, "persistentVolumeClaim.claimName", ""), claim))
			return true;
	}
	return false;
}

/* Names of pods that use @claim, with commas; empty: none, or we may not look. NULL on no memory. */
static char *users_of_claim(struct session *s, const char *ns, const char *claim)
{
	JSON_AUTO list = NULL;
	struct error ignored = {0};
	struct strbuf b = STRBUF_INIT(NAMES_MAX);
	char *text = NULL;
	if (kube_list(s->client, &KUBE_POD, ns, NULL, &list, &ignored) != 0)
		return strdup("");
	size_t i;
	const json_t *pod;
	json_array_foreach (json_at(list, "items"), i, pod) {
		if (uses_claim(pod, claim))
			strbuf_addf(&b, "%s%s", b.n > 0 ? ", " : "", obj_name(pod));
	}
	if (b.n == 0) {
		strbuf_clear(&b);
		return strdup("");
	}
	return strbuf_take(&b, &text) == 0 ? text : strdup("many");
}

static char *finalizer_names(const json_t *obj)
{
	struct strbuf b = STRBUF_INIT(NAMES_MAX);
	char *text = NULL;
	size_t i;
	const json_t *f;
	json_array_foreach (json_at(obj, "metadata.finalizers"), i, f)
		strbuf_addf(&b, "%s%s", i > 0 ? ", " : "", json_is_string(f) ? json_string_value(f) : "");
	if (b.n == 0) {
		strbuf_clear(&b);
		return strdup("");
	}
	return strbuf_take(&b, &text) == 0 ? text : strdup("many");
}

char *explain_deletion(struct session *s, const struct kube_resource *r, const json_t *obj)
{
	CLEANUP(free_p) char *finalizers = finalizer_names(obj);
	const bool of_data = str_same(r->group, DATA_GROUP) || str_same(r->kind, "PersistentVolumeClaim");
	CLEANUP(free_p) char *users = of_data ? users_of_claim(s, obj_namespace(obj), obj_name(obj)) : strdup("");
	if (finalizers == NULL || users == NULL)
		return NULL;
	if (users[0] != '\0')
		return str_printf("in use by pods: %s; delete them first", users);
	if (finalizers[0] != '\0')
		return str_printf("its finalizers are still to be removed by their controllers: %s", finalizers);
	return strdup("it is ending");
}

static void look_at_deletion(struct look *l, const json_t *obj, const struct kube_resource *r)
{
	if (obj == NULL || !obj_deleting(obj))
		return;
	CLEANUP(free_p) char *why = explain_deletion(l->s, r, obj);
	if (why == NULL)
		l->rc = error_set(l->err, -ENOMEM, "out of memory");
	else
		finding(l, r->kind, "", "it is marked as deleted since %s and still there: %s",
			json_str(obj, "metadata.deletionTimestamp", ""), why);
}

/* --- the claim --- */

static void look_at_claim(struct look *l)
{
	JSON_AUTO claim = NULL;
	if (l->rc != 0 || !str_same(json_str(l->dataset, "status.phase", ""), "Bound"))
		return;
	const int rc = kube_get(l->s->client, &KUBE_PVC, l->ns, l->name, &claim, l->err);
	if (rc == -ENOENT)
		finding(l, "PersistentVolumeClaim",
			"look at the controller's log: it makes the claim anew in each pass",
			"the dataset is Bound, but the claim '%s' that pods mount is not there", l->name);
	else if (rc != 0)
		l->rc = rc;
	else if (!str_same(json_str(claim, "status.phase", ""), "Bound"))
		finding(l, "PersistentVolumeClaim", "'sluice get pv' shows whether its volume exists",
			"the claim is %s, not Bound: pods that mount it wait",
			json_str(claim, "status.phase", "Pending"));
}

/* --- Events --- */

static bool concerns(const struct look *l, const json_t *e)
{
	const char *name = json_str(e, "involvedObject.name", "");
	const size_t n = strlen(l->name);
	return str_same(json_str(e, "type", ""), "Warning") && strncmp(name, l->name, n) == 0 &&
	       (name[n] == '\0' || name[n] == '-');
}

static const char *event_time(const json_t *e)
{
	const char *last = json_str(e, "lastTimestamp", "");
	return last[0] != '\0' ? last : json_str(e, "eventTime", "");
}

/* The newest warnings about the dataset and what belongs to it; where all is well they are of the past. */
static void look_at_events(struct look *l)
{
	JSON_AUTO list = NULL;
	const json_t *newest[EVENTS_MAX] = {0};
	const bool well =
		str_same(json_str(l->dataset, "status.phase", ""), "Bound") && json_array_size(l->findings) == 0;
	if (l->rc != 0 || well || (l->rc = kube_list(l->s->client, &KUBE_EVENT, l->ns, NULL, &list, l->err)) != 0)
		return;
	size_t i, n = 0;
	const json_t *e;
	json_array_foreach (json_at(list, "items"), i, e) {
		if (!concerns(l, e))
			continue;
		size_t at = n;
		while (at > 0 && strcmp(event_time(newest[at - 1]), event_time(e)) < 0)
			at--;
		if (at == EVENTS_MAX)
			continue;
		const size_t last = n < EVENTS_MAX ? n++ : EVENTS_MAX - 1;
		memmove(newest + at + 1, newest + at, (last - at) * sizeof(*newest));
		newest[at] = e;
	}
	for (i = 0; i < n; i++) {
		char object[300];
		e = newest[i];
		(void)snprintf(object, sizeof object, "Event of %s %s", json_str(e, "involvedObject.kind", ""),
			       json_str(e, "involvedObject.name", ""));
		finding(l, object, "", "%s %s: %s", event_time(e), json_str(e, "reason", ""),
			json_str(e, "message", ""));
	}
}

/* --- put together --- */

static char *summary_of(const struct look *l)
{
	const json_t *d = l->dataset;
	const char *phase = json_str(d, "status.phase", "");
	if (obj_deleting(d))
		return strdup("it is being deleted");
	if (!str_same(phase, "Bound"))
		return str_printf("it is %s: pods that use it wait until it is Bound",
				  phase[0] != '\0' ? phase : "NotBound");
	return str_printf(
		"it is Bound: %s of %s cached (%s), of room for %s; what is not cached is read from the source first",
		json_str(d, "status.cacheStates.cached", "?"), json_str(d, "status.ufsTotal", "?"),
		json_str(d, "status.cacheStates.cachedPercentage", "?"),
		json_str(d, "status.cacheStates.cacheCapacity", "?"));
}

static int look_around(struct look *l)
{
	const struct discovered *kind = NULL;
	l->rc = discovery_find_kind(l->s->discovery, DATA_GROUP "/v1alpha1", "Dataset", &kind, l->err);
	if (l->rc == -ENOENT)
		return error_set(l->err, l->rc,
				 "the cluster has no kind Dataset: 'sluice crds | kubectl apply -f -' adds it");
	if (l->rc == 0)
		l->rc = kube_get(l->s->client, &kind->r, l->ns, l->name, &l->dataset, l->err);
	if (l->rc != 0)
		return l->rc;
	look_at_deletion(l, l->dataset, &kind->r);
	find_runtime(l);
	if (l->runtime != NULL)
		look_at_deletion(l, l->runtime, l->runtime_resource);
	look_at_pods(l);
	look_at_workloads(l, &KUBE_STATEFULSET, "spec.replicas", "status.readyReplicas");
	look_at_workloads(l, &KUBE_DAEMONSET, "status.desiredNumberScheduled", "status.numberReady");
	look_at_runtime(l);
	if (!str_same(json_str(l->dataset, "status.phase", ""), "Bound"))
		look_at_conditions(l, l->dataset, "Dataset");
	look_at_claim(l);
	look_at_events(l);
	return l->rc;
}

int explain_dataset(struct session *s, const char *name, json_t **ret, struct error *err)
{
	struct look l = {.s = s, .ns = s->ns, .name = name, .findings = json_array(), .err = err};
	int rc = l.findings == NULL ? error_set(err, -ENOMEM, "out of memory") : look_around(&l);
	if (rc == 0) {
		CLEANUP(free_p) char *summary = summary_of(&l);
		CLEANUP(free_p) char *full = str_printf("%s/%s", l.ns, name);
		*ret = summary == NULL || full == NULL ? NULL
						       : json_pack("{s:s, s:s, s:s, s:O}", "dataset", full, "phase",
								   json_str(l.dataset, "status.phase", ""), "summary",
								   summary, "findings", l.findings);
		if (*ret == NULL)
			rc = error_set(err, -ENOMEM, "out of memory");
	}
	json_decref(l.findings);
	json_decref(l.dataset);
	json_decref(l.runtime);
	return rc;
}
