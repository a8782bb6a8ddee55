#include "runtime/status.h"

#include "api/dataset.h"
#include "base/clock.h"
#include "base/str.h"
#include "kube/client.h"
#include "sluice/engine.h"
#include "json/json.h"
#include "json/patch.h"

enum phase {
	PHASE_NONE,
	PHASE_PENDING,
	PHASE_NOT_BOUND,
	PHASE_BOUND,
	PHASE_FAILED,
	PHASE_UPDATING,
	PHASE_MIGRATING,
	PHASES
};

static const char *const phase_name[PHASES] = {
	DATASET_PHASE_NONE,   DATASET_PHASE_PENDING,  DATASET_PHASE_NOT_BOUND,      DATASET_PHASE_BOUND,
	DATASET_PHASE_FAILED, DATASET_PHASE_UPDATING, DATASET_PHASE_DATA_MIGRATING,
};

/* Every state has a way on, and all lead to NotBound: the runtime may be deleted at any time. */
static const unsigned phase_next[PHASES] = {
	[PHASE_NONE] = 1u << PHASE_NOT_BOUND | 1u << PHASE_BOUND,
	[PHASE_PENDING] = 1u << PHASE_NOT_BOUND | 1u << PHASE_BOUND,
	[PHASE_NOT_BOUND] = 1u << PHASE_BOUND,
	[PHASE_BOUND] = 1u << PHASE_NOT_BOUND | 1u << PHASE_FAILED | 1u << PHASE_UPDATING | 1u << PHASE_MIGRATING,
	[PHASE_FAILED] = 1u << PHASE_NOT_BOUND | 1u << PHASE_BOUND,
	[PHASE_UPDATING] = 1u << PHASE_NOT_BOUND | 1u << PHASE_BOUND | 1u << PHASE_FAILED,
	[PHASE_MIGRATING] = 1u << PHASE_NOT_BOUND | 1u << PHASE_BOUND | 1u << PHASE_FAILED,
};

static int phase_of(const char *name)
{
	for (int p = 0; p < PHASES; p++)
		if (strcmp(phase_name[p], name) == 0)
			return p;
	return -1;
}

int dataset_phase_move(json_t *status, const char *to, struct error *err)
{
	const char *from = json_str(status, "phase", "");
	if (strcmp(from, to) == 0)
		return 0;
	int f = phase_of(from), t = phase_of(to);
	if (t < 0 || (f >= 0 && !(phase_next[f] & 1u << t)))
		return error_set(err, -EPERM, "status.phase: a Dataset cannot go from '%s' to '%s'", from, to);
	/* A phase we do not know was written by something newer: any move brings it back into the table. */
	return json_put_str(status, "phase", to);
}

json_t *condition_get(const json_t *status, const char *type)
{
	size_t i;
	json_t *c;
	json_array_foreach (json_object_get(status, "conditions"), i, c)
		if (strcmp(json_str(c, "type", ""), type) == 0)
			return c;
	return NULL;
}

bool condition_is(const json_t *status, const char *type, bool value)
{
	const json_t *c = condition_get(status, type);
	return c != NULL && strcmp(json_str(c, "status", ""), value ? "True" : "False") == 0;
}

void condition_drop(json_t *status, const char *type)
{
	json_t *list = json_object_get(status, "conditions");
	for (size_t i = json_array_size(list); i-- > 0;)
		if (strcmp(json_str(json_array_get(list, i), "type", ""), type) == 0)
			(void)json_array_remove(list, i); /* the index is in range */
}

static json_t *condition_list(json_t *status)
{
	json_t *list = json_object_get(status, "conditions");
	if (json_is_array(list))
		return list;
	if (json_object_set_new(status, "conditions", json_array()) < 0)
		return NULL;
	return json_object_get(status, "conditions");
}

static int condition_set(json_t *status, const json_t *obj, const char *type, bool value, const char *reason,
			 const char *message, const char *seen_key)
{
	json_t *list = condition_list(status);
	if (list == NULL)
		return -ENOMEM;
	const char *text = value ? "True" : "False";
	const int64_t generation = json_int(obj, "metadata.generation", 0);
	json_t *c = condition_get(status, type);
	bool same_status = c != NULL && strcmp(json_str(c, "status", ""), text) == 0;
	if (same_status && strcmp(json_str(c, "reason", ""), reason) == 0 &&
	    strcmp(json_str(c, "message", ""), message) == 0)
		return json_int(c, "observedGeneration", 0) == generation
			       ? 0
			       : json_put_int(c, "observedGeneration", generation);
	char now[32];
	clock_format_rfc3339(clock_wall_ns(), now);
	json_t *fresh = json_pack("{s:s,s:s,s:s,s:s,s:s,s:s,s:I}", "type", type, "status", text, "reason", reason,
				  "message", message, seen_key, now, "lastTransitionTime",
				  same_status ? json_str(c, "lastTransitionTime", now) : now, "observedGeneration",
				  (json_int_t)generation);
	if (fresh == NULL)
		return -ENOMEM;
	if (c == NULL)
		return json_array_append_new(list, fresh) < 0 ? -ENOMEM : 0;
	size_t i;
	json_t *at;
	json_array_foreach (list, i, at)
		if (at == c)
			return json_array_set_new(list, i, fresh) < 0 ? -ENOMEM : 0;
	json_decref(fresh);
	return 0;
}

int dataset_condition_set(struct reconcile_ctx *ctx, const char *type, bool value, const char *reason,
			  const char *message)
{
	return condition_set(ctx->dataset_status, ctx->dataset, type, value, reason, message, "lastUpdateTime");
}

int runtime_condition_set(struct reconcile_ctx *ctx, const char *type, bool value, const char *reason,
			  const char *message)
{
	return condition_set(ctx->runtime_status, ctx->runtime, type, value, reason, message, "lastProbeTime");
}

bool dataset_setup_done(const json_t *status)
{
	return condition_get(status, DATASET_READY) != NULL;
}

const char *workload_phase(int64_t replicas, int64_t ready)
{
	if (replicas == 0 || (ready > 0 && ready >= replicas))
		return "Ready";
	return ready > 0 ? "PartialReady" : "NotReady";
}

int status_patch(const struct engine_api *api, const struct kube_resource *r, const json_t *obj, const json_t *want,
		 struct error *err)
{
	const char *ns = obj_namespace(obj), *name = obj_name(obj);
	JSON_AUTO empty = json_object();
	const json_t *was = json_object_get(obj, "status");
	JSON_AUTO diff = NULL;
	int rc = json_merge_diff(was != NULL ? was : empty, want, &diff, err);
	if (rc < 0)
		return error_wrap(err, rc, "status of %s %s/%s", r->kind, ns, name);
	if (json_object_size(diff) == 0)
		return 0;
	JSON_AUTO patch =
		json_pack("{s:{s:s},s:O}", "metadata", "resourceVersion", obj_resource_version(obj), "status", diff);
	if (patch == NULL)
		return error_set(err, -ENOMEM, "status of %s %s/%s: out of memory", r->kind, ns, name);
	rc = api->patch(api->ctx, r, ns, name, "status", patch, err);
	return rc == -ENOENT ? 0 : rc;
}

int status_flush(struct reconcile_ctx *ctx, struct error *err)
{
	int rc = 0, rc2 = 0;
	if (ctx->dataset != NULL && ctx->dataset_status != NULL)
		rc = status_patch(ctx->api, &dataset_kind.resource, ctx->dataset, ctx->dataset_status, err);
	if (ctx->runtime != NULL && ctx->runtime_status != NULL)
		rc2 = status_patch(ctx->api, ctx->runtime_resource, ctx->runtime, ctx->runtime_status,
				   rc < 0 ? NULL : err);
	return rc < 0 ? rc : rc2;
}
