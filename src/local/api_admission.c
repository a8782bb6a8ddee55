#include "local/api_admission.h"

#include <assert.h>
#include <pthread.h>
#include <stdatomic.h>
#include <string.h>

#include "api/schema.h"
#include "base/base64.h"
#include "base/cleanup.h"
#include "base/clock.h"
#include "base/error.h"
#include "base/log.h"
#include "base/metrics.h"
#include "base/str.h"
#include "local/api_internal.h"
#include "local/api_webhook_call.h"
#include "local/api_webhooks.h"
#include "json/json.h"
#include "json/patch.h"
#include "json/selector.h"

#define GROUP       "admissionregistration.k8s.io"
#define ALL_MAX_NS  (60 * NSEC_PER_SEC) /* for all webhooks of one write together */
#define WARNING_MAX 50

struct api_admission {
	atomic_bool stopping;
	atomic_int busy;
	atomic_bool dirty;
	pthread_mutex_t lock; /* guards set; held while it is read from the store, so that it is read once */
	struct api_webhook_set *set;
};

struct api_admission *api_admission_new(void)
{
	struct api_admission *a = calloc(1, sizeof *a);
	if (a == NULL)
		return NULL;
	atomic_init(&a->dirty, true);
	(void)pthread_mutex_init(&a->lock, NULL);
	return a;
}

void api_admission_stop(struct api_admission *a)
{
	atomic_store_explicit(&a->stopping, true, memory_order_release);
}

void api_admission_free(struct api_admission *a)
{
	if (a == NULL)
		return;
	(void)api_webhook_set_unref(a->set);
	(void)pthread_mutex_destroy(&a->lock);
	free(a);
}

void api_admission_changed(struct api_admission *a)
{
	atomic_store_explicit(&a->dirty, true, memory_order_release);
}

static int current(struct api_request *r, struct api_webhook_set **ret)
{
	struct api_admission *a = r->server->admission;
	struct error err = {0};
	int rc = 0;
	pthread_mutex_lock(&a->lock);
	if (atomic_exchange_explicit(&a->dirty, false, memory_order_acq_rel)) {
		struct api_webhook_set *fresh = NULL;
		rc = api_webhook_set_load(r->server, &fresh, &err);
		if (rc < 0) {
			api_admission_changed(a);
		} else {
			(void)api_webhook_set_unref(a->set);
			a->set = fresh;
		}
	}
	if (rc == 0)
		*ret = api_webhook_set_ref(a->set);
	pthread_mutex_unlock(&a->lock);
	return rc < 0 ? api_fail_internal(r, &err) : 0;
}

static void set_unref_p(struct api_webhook_set **set)
{
	(void)api_webhook_set_unref(*set);
}

/* ---- who is asked ---- */

static bool is_namespace(const struct api_request *r)
{
	return r->group[0] == '\0' && strcmp(r->plural, "namespaces") == 0;
}

/** The labels that a namespaceSelector looks at. *@ret NULL: there are none. */
static int namespace_labels(struct api_request *r, const struct api_change *c, json_t **ret_held, json_t **ret)
{
	if (is_namespace(r)) { /* a namespace that is being made is in no store yet */
		const json_t *space = c->obj != NULL ? c->obj : c->old;
		*ret = json_at(space, "metadata.labels");
		return 0;
	}
	int rc = api_load_other(r->server, "", "namespaces", "", r->ns, ret_held, NULL);
	if (rc == -ENOENT)
		return api_fail(r, 404, "NotFound", json_pack("{s:s, s:s}", "name", r->ns, "kind", "namespaces"),
				"namespaces \"%s\" not found", r->ns);
	if (rc < 0)
		return api_fail_internal(r, &(struct error){.code = rc, .msg = "cannot read the namespace"});
	*ret = json_at(*ret_held, "metadata.labels");
	return 0;
}

static int namespace_selected(struct api_request *r, const struct api_webhook *w, const struct api_change *c, bool *ret)
{
	*ret = true;
	if ((r->ns[0] == '\0' && !is_namespace(r)) || label_selector_matches(w->namespaces, NULL))
		return 0; /* what lives in no namespace is always meant */
	JSON_AUTO held = NULL;
	json_t *labels = NULL;
	int rc = namespace_labels(r, c, &held, &labels);
	if (rc == 0)
		*ret = label_selector_matches(w->namespaces, labels);
	return rc;
}

static bool object_selected(const struct api_webhook *w, const struct api_change *c)
{
	if (label_selector_matches(w->objects, json_at(c->obj, "metadata.labels")))
		return true;
	return c->old != NULL && label_selector_matches(w->objects, json_at(c->old, "metadata.labels"));
}

/** The version of the resource that the rules name: the request's own, or with matchPolicy Equivalent another one. NULL: none. */
static const char *version_asked(struct api_request *r, const struct api_webhook *w, const struct api_change *c)
{
	const struct kube_resource *res = &r->kind->k->resource;
	struct api_webhook_target t = {.operation = c->operation,
				       .group = res->group,
				       .version = res->version,
				       .plural = res->plural,
				       .sub = r->sub,
				       .namespaced = res->namespaced};
	if (api_webhook_rules_match(w, &t))
		return res->version;
	size_t i;
	json_t *v;
	json_array_foreach (json_at(r->kind->crd, "spec.versions"), i, v) {
		t.version = json_str(v, "name", "");
		if (w->equivalent && json_bool(v, "served", false) && api_webhook_rules_match(w, &t))
			return t.version;
	}
	return NULL;
}

/** *@ret: the version to ask in, or NULL when @w does not care. */
static int wanted(struct api_request *r, const struct api_webhook *w, const struct api_change *c, const char **ret)
{
	bool selected = false;
	*ret = version_asked(r, w, c);
	if (*ret == NULL)
		return 0;
	int rc = namespace_selected(r, w, c, &selected);
	if (rc == 0 && (!selected || !object_selected(w, c)))
		*ret = NULL;
	return rc;
}

/* ---- asking ---- */

static void count(const char *type, const char *outcome)
{
	static const char *const labels[] = {"type", "outcome", NULL};
	struct metric *m = metrics_counter(metrics_root(), "sluice_api_webhooks_total",
					   "Questions to admission webhooks.", labels);
	series_add(metric_series(m, (const char *const[]){type, outcome}), 1);
}

static void tell_warnings(struct api_request *r, const json_t *response)
{
	size_t i;
	json_t *w;
	json_array_foreach (json_object_get(response, "warnings"), i, w)
		if (i < WARNING_MAX && json_is_string(w))
			api_warn(r, json_string_value(w));
}

static int fail_call(struct api_request *r, const char *name, const char *why)
{
	CLEANUP(free_p) char *text = str_printf("failed calling webhook \"%s\": %s", name, why);
	if (text == NULL)
		return api_fail_memory(r);
	return api_fail(r, 500, "InternalError", json_pack("{s:[{s:s}]}", "causes", "message", text),
			"Internal error occurred: %s", text);
}

/** Ask one. *@ret: the response when it allows, NULL when it could not be asked and that does not matter. */
static int ask(const struct api_webhook_question *q, const char *type, json_t **ret)
{
	char why[API_WEBHOOK_WHY_MAX] = "";
	JSON_AUTO response = NULL;
	int rc = api_webhook_ask(q, &response, why);
	if (rc == -EREMOTEIO) {
		LOG(NULL, LOG_LVL_WARN, "failed calling webhook", LOG_STR("webhook", q->hook->name),
		    LOG_STR("err", why));
		count(type, q->hook->ignore_failure ? "ignored" : "failed");
		return q->hook->ignore_failure ? 0 : fail_call(q->r, q->hook->name, why);
	}
	if (rc < 0)
		return rc;
	tell_warnings(q->r, response);
	if (!json_bool(response, "allowed", false)) {
		count(type, "denied");
		return api_webhook_refused(q->r, q->hook->name, response);
	}
	count(type, "allowed");
	*ret = TAKE(response);
	return 0;
}

/** Whether there is anybody to ask, and room to do so. */
static int begin(struct api_request *r, size_t n, bool *ret)
{
	struct api_admission *a = r->server->admission;
	*ret = n > 0;
	if (!*ret)
		return 0;
	if (atomic_fetch_add_explicit(&a->busy, 1, memory_order_acq_rel) < API_ADMISSION_MAX)
		return 0;
	atomic_fetch_sub_explicit(&a->busy, 1, memory_order_acq_rel);
	http_exchange_add_header(r->x, "Retry-After", "1");
	return api_fail(r, 429, "TooManyRequests", json_pack("{s:i}", "retryAfterSeconds", 1),
			"too many requests wait for admission webhooks, please try again later");
}

static void end(struct api_request *r)
{
	atomic_fetch_sub_explicit(&r->server->admission->busy, 1, memory_order_acq_rel);
}

/** Their own configurations are asked about of nobody, so that a wrong one can be mended. */
static bool exempt(const struct api_request *r)
{
	return strcmp(r->group, GROUP) == 0;
}

static struct api_webhook_question question(struct api_request *r, const struct api_webhook *w,
					    const struct api_change *c, const char *version, int64_t deadline)
{
	return (struct api_webhook_question){.r = r,
					     .hook = w,
					     .change = c,
					     .version = version,
					     .deadline = deadline,
					     .cancel = &r->server->admission->stopping};
}

static int ask_validating(struct api_request *r, const struct api_webhook_set *set, const struct api_change *c)
{
	int64_t deadline = clock_mono_ns() + ALL_MAX_NS;
	for (size_t i = 0; i < set->n_validating; i++) {
		const char *version = NULL;
		JSON_AUTO response = NULL;
		int rc = wanted(r, &set->validating[i], c, &version);
		if (rc == 0 && version != NULL) {
			struct api_webhook_question q = question(r, &set->validating[i], c, version, deadline);
			rc = ask(&q, "validating", &response);
		}
		if (rc < 0)
			return rc;
	}
	return 0;
}

int api_admit_validating(struct api_request *r, const struct api_change *c)
{
	CLEANUP(set_unref_p) struct api_webhook_set *set = NULL;
	if (exempt(r))
		return 0;
	bool any = false;
	int rc = current(r, &set);
	if (rc < 0)
		return rc;
	assert(set != NULL);
	rc = begin(r, set->n_validating, &any);
	if (rc < 0 || !any)
		return rc;
	rc = ask_validating(r, set, c);
	end(r);
	return rc;
}

/* ---- changing ---- */

/** What a decoder would make of the patched object: no nulls, no unknown members, with its defaults. */
static int settle(struct api_request *r, const struct api_change *c, json_t *obj)
{
	if (c->of != NULL)
		return 0;
	if (!r->kind->custom)
		api_drop_nulls(r->kind->k->schema, obj);
	schema_prune(r->kind->k->schema, obj, NULL, NULL);
	return schema_default(r->kind->k->schema, obj) < 0 ? api_fail_memory(r) : 0;
}

static int fail_patch(struct api_request *r, const struct error *err)
{
	return api_fail(r, 500, "InternalError", json_pack("{s:[{s:s}]}", "causes", "message", err->msg),
			"Internal error occurred: %s", err->msg);
}

static int patch_now(struct api_request *r, struct api_change *c, const json_t *patch, bool *ret_changed)
{
	JSON_AUTO made = NULL;
	struct error err = {0};
	int rc = json_patch_apply(c->obj, patch, &made, &err);
	if (rc == -ENOMEM)
		return api_fail_memory(r);
	if (rc < 0)
		return fail_patch(r, &err);
	if (!json_is_object(made) || !json_is_object(json_object_get(made, "metadata")))
		return fail_patch(r, &(struct error){.msg = "the patch of a webhook removed the object's metadata"});
	json_t *version = json_object_get(c->obj, "apiVersion"), *kind = json_object_get(c->obj, "kind");
	if (json_object_set(made, "apiVersion", version) < 0 || json_object_set(made, "kind", kind) < 0)
		return api_fail_memory(r);
	rc = settle(r, c, made);
	if (rc < 0 || json_same(made, c->obj))
		return rc;
	json_decref(c->obj);
	c->obj = TAKE(made);
	*ret_changed = true;
	return 0;
}

static int apply_patch(struct api_request *r, const struct api_webhook *w, struct api_change *c, const json_t *response,
		       bool *ret_changed)
{
	const char *text = json_str(response, "patch", "");
	CLEANUP(free_p) char *bytes = NULL;
	JSON_AUTO patch = NULL;
	size_t n = 0;
	struct error err = {0};
	if (text[0] == '\0')
		return 0;
	if (base64_decode(text, &bytes, &n) < 0)
		return fail_patch(r, &(struct error){.msg = "the patch of a webhook is no base64"});
	if (json_parse(bytes, n, &patch, &err) < 0)
		return fail_patch(r, &err);
	if (json_array_size(patch) == 0)
		return 0;
	if (c->obj == NULL || strcmp(c->operation, "DELETE") == 0) {
		(void)error_set(&err, -EINVAL,
				"admission webhook \"%s\" attempted to modify the object, which is not supported for "
				"this operation",
				w->name);
		return fail_patch(r, &err);
	}
	return patch_now(r, c, patch, ret_changed);
}

/** What one pass over the mutating webhooks remembers for the second. */
struct round {
	bool *asked; /* of each: was asked and wants to be asked again when needed */
	bool *again; /* of each: the object changed after it was asked */
	bool second;
	int64_t deadline;
};

static int ask_mutating(struct api_request *r, const struct api_webhook_set *set, struct api_change *c,
			struct round *round, size_t i, bool *ret_changed)
{
	const struct api_webhook *w = &set->mutating[i];
	const char *version = NULL;
	JSON_AUTO response = NULL;
	bool changed = false;
	int rc = wanted(r, w, c, &version);
	if (rc < 0 || version == NULL)
		return rc;
	struct api_webhook_question q = question(r, w, c, version, round->deadline);
	rc = ask(&q, "mutating", &response);
	if (rc == 0 && response != NULL)
		rc = apply_patch(r, w, c, response, &changed);
	for (size_t k = 0; k < set->n_mutating && changed && !round->second; k++)
		round->again[k] |= round->asked[k];
	round->asked[i] = w->reinvoke;
	*ret_changed |= changed;
	return rc;
}

static int ask_all_mutating(struct api_request *r, const struct api_webhook_set *set, struct api_change *c,
			    bool *ret_changed)
{
	CLEANUP(free_p) bool *flags = calloc(set->n_mutating, 2 * sizeof *flags);
	if (flags == NULL)
		return api_fail_memory(r);
	struct round round = {flags, flags + set->n_mutating, false, clock_mono_ns() + ALL_MAX_NS};
	int rc = 0;
	for (size_t i = 0; i < set->n_mutating && rc == 0; i++)
		rc = ask_mutating(r, set, c, &round, i, ret_changed);
	round.second = true;
	for (size_t i = 0; i < set->n_mutating && rc == 0; i++)
		if (round.again[i])
			rc = ask_mutating(r, set, c, &round, i, ret_changed);
	return rc;
}

int api_admit_mutating(struct api_request *r, struct api_change *c, bool *ret_changed)
{
	CLEANUP(set_unref_p) struct api_webhook_set *set = NULL;
	*ret_changed = false;
	if (exempt(r))
		return 0;
	bool any = false;
	int rc = current(r, &set);
	if (rc < 0)
		return rc;
	assert(set != NULL);
	rc = begin(r, set->n_mutating, &any);
	if (rc < 0 || !any)
		return rc;
	rc = ask_all_mutating(r, set, c, ret_changed);
	end(r);
	return rc;
}

int api_admit(struct api_request *r, struct api_change *c)
{
	bool changed = false;
	int rc = api_admit_mutating(r, c, &changed);
	return rc == 0 ? api_admit_validating(r, c) : rc;
}
