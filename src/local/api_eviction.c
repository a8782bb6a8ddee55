/* pods/eviction: a pod goes if its disruption budget allows that. */
#include <stdio.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/error.h"
#include "base/str.h"
#include "local/api_admission.h"
#include "local/api_internal.h"
#include "json/json.h"
#include "json/selector.h"

#define EVICTION_TRIES 10
#define DISRUPTED_MAX  2000
#define RETRY_SECONDS  10

/* ---- the budget ---- */

struct found {
	const json_t *labels;
	json_t *budget; /* the first one that selects the pod */
	int64_t revision;
	size_t n;
};

static int match(void *ctx, const struct objstore_item *item)
{
	struct found *f = ctx;
	JSON_AUTO budget = NULL;
	struct label_selector *s = NULL;
	if (json_parse(item->data, item->n, &budget, NULL) < 0)
		return -EIO;
	const json_t *selector = json_at(budget, "spec.selector");
	bool selects = selector != NULL && label_selector_from_json(selector, &s, NULL) == 0 &&
		       label_selector_matches(s, f->labels);
	label_selector_free(s);
	if (selects && f->n++ == 0) {
		f->budget = TAKE(budget);
		f->revision = item->revision;
	}
	return 0;
}

static int find_budget(struct api_request *r, const json_t *pod, struct found *f)
{
	struct objstore_range range = {.group = "policy", .plural = "poddisruptionbudgets", .ns = r->ns};
	struct error err = {0};
	*f = (struct found){.labels = json_at(pod, "metadata.labels")};
	if (objstore_list(r->server->store, &range, match, f, NULL, NULL, &err) < 0)
		return api_fail_internal(r, &err);
	return f->n <= 1
		       ? 0
		       : api_fail(r, 500, "InternalError", NULL,
				  "This pod has more than one PodDisruptionBudget, which the eviction subresource does "
				  "not support.");
}

/** The budget says no; @message is the cause. @retry: it will be known in a moment. */
static int fail_budget(struct api_request *r, const char *message, bool retry)
{
	json_t *details = json_pack("{s:[{s:s, s:s}]}", "causes", "reason", "DisruptionBudget", "message", message);
	if (retry) {
		char seconds[8];
		(void)snprintf(seconds, sizeof seconds, "%d", RETRY_SECONDS);
		http_exchange_add_header(r->x, "Retry-After", seconds);
		(void)json_object_set_new(details, "retryAfterSeconds", json_integer(RETRY_SECONDS));
	}
	return api_fail(r, 429, "TooManyRequests", details,
			"Cannot evict pod as it would violate the pod's disruption budget.");
}

static int fail_forbidden(struct api_request *r, const char *budget, const char *why)
{
	return api_fail(r, 403, "Forbidden",
			json_pack("{s:s, s:s, s:s}", "name", budget, "group", "policy", "kind", "poddisruptionbudget"),
			"poddisruptionbudget.policy \"%s\" is forbidden: %s", budget, why);
}

/** May @budget lose a pod now? */
static int check_budget(struct api_request *r, const json_t *budget)
{
	const char *name = json_str(budget, "metadata.name", "");
	int64_t allowed = json_int(budget, "status.disruptionsAllowed", 0);
	char text[400];
	if (json_int(budget, "status.observedGeneration", 0) < json_int(budget, "metadata.generation", 0)) {
		(void)snprintf(text, sizeof text, "The disruption budget %s is still being processed by the server.",
			       name);
		return fail_budget(r, text, true);
	}
	if (allowed < 0)
		return fail_forbidden(r, name, "pdb disruptions allowed is negative");
	if (json_object_size(json_at(budget, "status.disruptedPods")) > DISRUPTED_MAX)
		return fail_forbidden(r, name,
				      "DisruptedPods map too big - too many evictions not confirmed by PDB controller");
	if (allowed > 0)
		return 0;
	(void)snprintf(text, sizeof text, "The disruption budget %s needs %lld healthy pods and has %lld currently",
		       name, (long long)json_int(budget, "status.desiredHealthy", 0),
		       (long long)json_int(budget, "status.currentHealthy", 0));
	return fail_budget(r, text, false);
}

/** Write down that one pod less may go. -ESTALE when somebody else was faster. */
static int take_from_budget(struct api_request *r, json_t *budget, int64_t revision)
{
	const char *name = json_str(budget, "metadata.name", "");
	char now[32];
	api_now(now);
	int64_t allowed = json_int(budget, "status.disruptionsAllowed", 0) - 1;
	int rc = json_put_int(budget, "status.disruptionsAllowed", allowed);
	if (!json_is_object(json_at(budget, "status.disruptedPods")))
		rc |= json_put(budget, "status.disruptedPods", json_object());
	rc |= json_object_set_new(json_at(budget, "status.disruptedPods"), r->name, json_string(now));
	if (rc != 0)
		return api_fail_memory(r);
	if (r->dry_run)
		return 0;
	struct objstore_key key = {"policy", "poddisruptionbudgets", r->ns, name};
	struct error err = {0};
	rc = api_store_object(r->server, &key, budget, revision, false, &err);
	if (rc == -ENOENT || rc == -ESTALE)
		return -ESTALE;
	return rc < 0 ? api_fail_internal(r, &err) : 0;
}

/* ---- the pod ---- */

/** Whoever has ended, has not begun or goes already is no loss. */
static bool is_no_loss(const json_t *pod)
{
	static const char *const phases[] = {"Succeeded", "Failed", "Pending"};
	for (size_t i = 0; i < ARRAY_LEN(phases); i++)
		if (strcmp(json_str(pod, "status.phase", ""), phases[i]) == 0)
			return true;
	return json_at(pod, "metadata.deletionTimestamp") != NULL;
}

static bool is_ready(const json_t *pod)
{
	return strcmp(json_str(pod, "status.conditions[type=Ready].status", ""), "True") == 0;
}

/** A pod that is not ready is no part of what the budget counts, when the budget is met without it or says so. */
static bool is_free_to_go(const json_t *pod, const json_t *budget)
{
	int64_t desired = json_int(budget, "status.desiredHealthy", 0);
	bool always = strcmp(json_str(budget, "spec.unhealthyPodEvictionPolicy", ""), "AlwaysAllow") == 0;
	return !is_ready(pod) && (always || (desired > 0 && json_int(budget, "status.currentHealthy", 0) >= desired));
}

static int ask_budget(struct api_request *r, const json_t *pod)
{
	struct found f;
	if (is_no_loss(pod))
		return 0;
	int rc = find_budget(r, pod, &f);
	if (rc == 0 && f.budget != NULL && !is_free_to_go(pod, f.budget)) {
		rc = check_budget(r, f.budget);
		if (rc == 0)
			rc = take_from_budget(r, f.budget, f.revision);
	}
	json_decref(f.budget);
	return rc;
}

static int read_eviction(struct api_request *r, json_t **ret)
{
	static const struct kube_resource of = {"policy", "v1", "Eviction", "eviction", true};
	struct kind kind = {.resource = of, .schema = kubernetes_schema("policy.v1.Eviction")};
	JSON_AUTO eviction = NULL;
	int rc = api_body_object(r, &kind, &eviction);
	if (rc < 0)
		return rc;
	const char *name = json_str(eviction, "metadata.name", "");
	if (name[0] != '\0' && strcmp(name, r->name) != 0)
		return api_fail_bad(r, "name in URL does not match name in Eviction object");
	struct api_change c = {.operation = "CREATE", .name = r->name, .of = &of, .obj = eviction};
	rc = api_admit(r, &c);
	eviction = c.obj;
	if (rc == 0)
		*ret = TAKE(eviction);
	return rc;
}

static int evict(struct api_request *r, const json_t *options)
{
	int rc = -ESTALE;
	for (int i = 0; i < EVICTION_TRIES && rc == -ESTALE; i++) {
		JSON_AUTO pod = NULL;
		rc = api_load(r, r->name, &pod, NULL);
		if (rc == 0)
			rc = ask_budget(r, pod);
	}
	if (rc == -ESTALE)
		return api_fail_conflict(r, r->name);
	JSON_AUTO gone = NULL;
	return rc < 0 ? rc : api_delete_object(r, r->name, options, &gone);
}

int api_eviction(struct api_request *r)
{
	if (strcmp(r->http->method, "POST") != 0)
		return api_fail_method(r);
	JSON_AUTO eviction = NULL;
	int rc = read_eviction(r, &eviction);
	if (rc < 0)
		return rc;
	JSON_AUTO none = json_object();
	const json_t *options = json_object_get(eviction, "deleteOptions");
	r->dry_run |= json_array_size(json_object_get(options, "dryRun")) > 0;
	rc = evict(r, options != NULL ? options : none);
	if (rc < 0)
		return rc;
	JSON_AUTO status = json_pack("{s:s, s:s, s:{}, s:s, s:i}", "kind", "Status", "apiVersion", "v1", "metadata",
				     "status", "Success", "code", 201);
	api_reply_json(r, 201, status);
	return 0;
}
