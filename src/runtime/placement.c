/* Where workers may go: the affinity that Fluid gives them, and a count of nodes that could take one. */
#include <stdio.h>
#include <string.h>

#include "base/str.h"
#include "kube/client.h"
#include "runtime/nodes.h"
#include "runtime/objects.h"
#include "json/json.h"

#define HOSTNAME "kubernetes.io/hostname"

static bool is_shared(const json_t *dataset)
{
	return strcmp(json_str(dataset, "spec.placement", ""), "Shared") == 0;
}

static json_t *term_exists(void)
{
	return json_pack("{s:{s:[{s:s,s:s}]},s:s}", "labelSelector", "matchExpressions", "key", LABEL_DATASET,
			 "operator", "Exists", "topologyKey", HOSTNAME);
}

static int put_pod_anti_affinity(json_t *aff, bool shared)
{
	json_t *term = term_exists();
	if (term == NULL)
		return -ENOMEM;
	if (!shared)
		return json_push(aff, "podAntiAffinity.requiredDuringSchedulingIgnoredDuringExecution", term);
	json_t *weighted = json_pack("{s:i,s:o}", "weight", 50, "podAffinityTerm", term);
	json_t *exclusive =
		json_pack("{s:{s:[{s:s,s:s,s:[s]}]},s:s}", "labelSelector", "matchExpressions", "key", LABEL_PLACEMENT,
			  "operator", "In", "values", "Exclusive", "topologyKey", HOSTNAME);
	if (weighted == NULL || exclusive == NULL) {
		json_decref(weighted);
		json_decref(exclusive);
		return -ENOMEM;
	}
	int rc = json_push(aff, "podAntiAffinity.preferredDuringSchedulingIgnoredDuringExecution", weighted);
	int rc2 = json_push(aff, "podAntiAffinity.requiredDuringSchedulingIgnoredDuringExecution", exclusive);
	return rc < 0 ? rc : rc2;
}

json_t *placement_affinity(const struct reconcile_ctx *ctx)
{
	JSON_AUTO aff = json_object();
	CLEANUP(free_p) char *fuse = fuse_label_key(ctx);
	if (aff == NULL || fuse == NULL || put_pod_anti_affinity(aff, is_shared(ctx->dataset)) < 0)
		return NULL;
	json_t *near_fuse = json_pack("{s:i,s:{s:[{s:s,s:s,s:[s]}]}}", "weight", 100, "preference", "matchExpressions",
				      "key", fuse, "operator", "In", "values", "true");
	if (near_fuse == NULL ||
	    json_push(aff, "nodeAffinity.preferredDuringSchedulingIgnoredDuringExecution", near_fuse) < 0)
		return NULL;
	const json_t *required = json_at(ctx->dataset, "spec.nodeAffinity.required");
	if (required != NULL) {
		json_t *copy = json_deep_copy(required);
		if (copy == NULL ||
		    json_put(aff, "nodeAffinity.requiredDuringSchedulingIgnoredDuringExecution", copy) < 0)
			return NULL;
	}
	return TAKE(aff);
}

int placement_one_per_node(json_t *affinity, const struct reconcile_ctx *ctx, const struct engine_traits *t)
{
	json_t *term = json_pack("{s:{s:{s:s,s:s,s:s}},s:s}", "labelSelector", "matchLabels", "app", t->app,
				 LABEL_RELEASE, ctx->name, "role", t->worker_role, "topologyKey", HOSTNAME);
	return term != NULL
		       ? json_push(affinity, "podAntiAffinity.requiredDuringSchedulingIgnoredDuringExecution", term)
		       : -ENOMEM;
}

static bool in_values(const json_t *values, const char *v)
{
	size_t i;
	json_t *x;
	json_array_foreach (values, i, x)
		if (str_same(json_string_value(x), v))
			return true;
	return false;
}

static bool expression_holds(const json_t *e, const char *value)
{
	const char *op = json_str(e, "operator", "");
	const json_t *values = json_object_get(e, "values");
	if (strcmp(op, "In") == 0)
		return value != NULL && in_values(values, value);
	if (strcmp(op, "NotIn") == 0)
		return value == NULL || !in_values(values, value);
	if (strcmp(op, "Exists") == 0)
		return value != NULL;
	if (strcmp(op, "DoesNotExist") == 0)
		return value == NULL;
	int64_t have, want;
	const char *bound = json_string_value(json_array_get(values, 0));
	if (value == NULL || bound == NULL || str_to_i64(value, &have) < 0 || str_to_i64(bound, &want) < 0)
		return false;
	return strcmp(op, "Gt") == 0 ? have > want : strcmp(op, "Lt") == 0 && have < want;
}

static bool term_holds(const json_t *node, const json_t *term)
{
	const json_t *exprs = json_object_get(term, "matchExpressions"), *fields = json_object_get(term, "matchFields");
	size_t i;
	json_t *e;
	json_array_foreach (exprs, i, e)
		if (!expression_holds(e, obj_label(node, json_str(e, "key", ""))))
			return false;
	json_array_foreach (fields, i, e)
		if (!expression_holds(e, strcmp(json_str(e, "key", ""), "metadata.name") == 0 ? obj_name(node) : NULL))
			return false;
	return json_array_size(exprs) + json_array_size(fields) > 0; /* an empty term matches nothing */
}

bool node_matches(const json_t *node, const json_t *node_selector)
{
	size_t i;
	json_t *term;
	json_array_foreach (json_object_get(node_selector, "nodeSelectorTerms"), i, term)
		if (term_holds(node, term))
			return true;
	return false;
}

static bool tolerated(const json_t *taint, const json_t *tolerations)
{
	size_t i;
	json_t *t;
	json_array_foreach (tolerations, i, t) {
		const char *key = json_str(t, "key", ""), *effect = json_str(t, "effect", "");
		if (*effect != '\0' && strcmp(effect, json_str(taint, "effect", "")) != 0)
			continue;
		if (*key != '\0' && strcmp(key, json_str(taint, "key", "")) != 0)
			continue;
		if (strcmp(json_str(t, "operator", "Equal"), "Exists") == 0 ||
		    (*key != '\0' && strcmp(json_str(t, "value", ""), json_str(taint, "value", "")) == 0))
			return true;
	}
	return false;
}

static bool taints_tolerated(const json_t *node, const json_t *tolerations)
{
	size_t i;
	json_t *taint;
	json_array_foreach (json_at(node, "spec.taints"), i, taint) {
		const char *effect = json_str(taint, "effect", "");
		if ((strcmp(effect, "NoSchedule") == 0 || strcmp(effect, "NoExecute") == 0) &&
		    !tolerated(taint, tolerations))
			return false;
	}
	return !json_bool(node, "spec.unschedulable", false);
}

static bool selector_holds(const json_t *node, const json_t *pod_spec)
{
	const char *key;
	json_t *v;
	json_object_foreach (json_object_get(pod_spec, "nodeSelector"), key, v)
		if (!str_same(obj_label(node, key), json_string_value(v)))
			return false;
	const json_t *required =
		json_at(pod_spec, "affinity.nodeAffinity.requiredDuringSchedulingIgnoredDuringExecution");
	return required == NULL || node_matches(node, required);
}

/* Whether another dataset's worker, on that node, keeps ours away (or we it), as the anti-affinity says: within the namespace. */
static int taken(struct reconcile_ctx *ctx, const char *node)
{
	JSON_AUTO cache_pods = ctx->api->list(ctx->api->ctx, &KUBE_POD, ctx->ns, ENGINE_LIST_CACHES, node);
	if (cache_pods == NULL)
		return -ENOMEM;
	bool shared = is_shared(ctx->dataset);
	size_t i;
	json_t *pod;
	json_array_foreach (cache_pods, i, pod) {
		const char *phase = json_str(pod, "status.phase", "");
		if (str_same(obj_label(pod, LABEL_RELEASE), ctx->name) || strcmp(phase, "Succeeded") == 0 ||
		    strcmp(phase, "Failed") == 0)
			continue;
		if (!shared || str_same(obj_label(pod, LABEL_PLACEMENT), "Exclusive"))
			return 1;
	}
	return 0;
}

struct count {
	struct reconcile_ctx *ctx;
	const json_t *pod_spec;
	int enough, rc;
	int all, fit, no_selector, no_taint, no_room;
};

static bool count_node(void *arg, const json_t *node)
{
	struct count *c = arg;
	int room = 0;
	c->all++;
	if (!selector_holds(node, c->pod_spec))
		c->no_selector++;
	else if (!taints_tolerated(node, json_object_get(c->pod_spec, "tolerations")))
		c->no_taint++;
	else if ((room = taken(c->ctx, obj_name(node))) > 0)
		c->no_room++;
	else if (room == 0)
		c->fit++;
	else
		c->rc = room;
	return c->rc == 0 && c->fit < c->enough;
}

int placement_count(struct reconcile_ctx *ctx, const json_t *pod_spec, int enough, char ret_why[static 256])
{
	struct count c = {.ctx = ctx, .pod_spec = pod_spec, .enough = enough};
	int rc = ctx->api->visit(ctx->api->ctx, &KUBE_NODE, count_node, &c);
	if (rc < 0 || c.rc < 0)
		return rc < 0 ? rc : c.rc;
	(void)snprintf(ret_why, 256,
		       "%d/%d nodes can take a worker: %d did not match the node selector or affinity, %d had an "
		       "untolerated taint or are "
		       "cordoned, %d hold another dataset that excludes this one",
		       c.fit, c.all, c.no_selector, c.no_taint, c.no_room); /* bounded by the format */
	return c.fit;
}

/* Labels that we or Fluid write for each dataset: they come and go all the time, and no worker is placed by them. */
static bool is_our_label(const char *key)
{
	return str_has_prefix(key, "fluid.io/") || strcmp(key, "fluid_exclusive") == 0;
}

static bool has_labels_of(const json_t *a, const json_t *b)
{
	const char *key;
	json_t *v;
	json_object_foreach (json_at(b, "metadata.labels"), key, v)
		if (!is_our_label(key) && !str_same(obj_label(a, key), json_string_value(v)))
			return false;
	return true;
}

bool node_gives_room(enum informer_event ev, const json_t *old, const json_t *node)
{
	return ev != INFORMER_UPDATED || old == NULL ||
	       !json_same(json_object_get(old, "spec"), json_object_get(node, "spec")) || !has_labels_of(old, node) ||
	       !has_labels_of(node, old);
}
