/*
 * Labels of nodes that hold a cache. Fluid's keys and values; `fluid.io/dataset-num` is counted from the node's own labels each time, so
 * that it cannot drift, and every patch carries the node's resourceVersion.
 */
#include <stdio.h>
#include <string.h>

#include "base/str.h"
#include "kube/client.h"
#include "runtime/nodes.h"
#include "runtime/objects.h"
#include "json/json.h"

#define PREFIX_TIER "fluid.io/s-h-"
#define DATASET_NUM "fluid.io/dataset-num"
#define EXCLUSIVE   "fluid_exclusive"

struct label_keys {
	char *common, *runtime, *memory, *disk, *total, *fuse, *exclusive;
};

static void keys_clear(struct label_keys *k)
{
	free(k->common);
	free(k->runtime);
	free(k->memory);
	free(k->disk);
	free(k->total);
	free(k->fuse);
	free(k->exclusive);
}

static char *typed_key(const struct reconcile_ctx *ctx, const char *fmt_prefix, const char *tail)
{
	char prefix[64];
	(void)snprintf(prefix, sizeof prefix, "%s%s%s", fmt_prefix, ctx->runtime_type,
		       tail); /* runtime types are short */
	return dataset_label_key(prefix, ctx->ns, ctx->name, dataset_uid(ctx));
}

char *fuse_label_key(const struct reconcile_ctx *ctx)
{
	return dataset_label_key("f-", ctx->ns, ctx->name, dataset_uid(ctx));
}

static char *exclusive_value(const struct reconcile_ctx *ctx)
{
	const char *uid = dataset_uid(ctx);
	if (strlen(ctx->ns) + 1 + strlen(ctx->name) < 63 || *uid == '\0')
		return str_printf("%s_%s", ctx->ns, ctx->name);
	return strdup(uid);
}

static int keys_make(const struct reconcile_ctx *ctx, struct label_keys *k, struct error *err)
{
	*k = (struct label_keys){
		.common = dataset_label_key("s-", ctx->ns, ctx->name, dataset_uid(ctx)),
		.runtime = typed_key(ctx, "s-", "-"),
		.memory = typed_key(ctx, "s-h-", "-m-"),
		.disk = typed_key(ctx, "s-h-", "-d-"),
		.total = typed_key(ctx, "s-h-", "-t-"),
		.fuse = fuse_label_key(ctx),
		.exclusive = exclusive_value(ctx),
	};
	if (k->common != NULL && k->runtime != NULL && k->memory != NULL && k->disk != NULL && k->total != NULL &&
	    k->fuse != NULL && k->exclusive != NULL)
		return 0;
	keys_clear(k);
	return error_set(err, -ENOMEM, "node labels of %s/%s: out of memory", ctx->ns, ctx->name);
}

/* "fluid.io/s-h-<runtime type>-t-...": one a dataset on the node. */
static bool is_total_key(const char *key)
{
	if (!str_has_prefix(key, PREFIX_TIER))
		return false;
	const char *dash = strchr(key + strlen(PREFIX_TIER), '-');
	return dash != NULL && str_has_prefix(dash, "-t-");
}

static size_t count_datasets(const json_t *labels, const char *without)
{
	size_t n = 0;
	const char *key;
	json_t *v;
	json_object_foreach ((json_t *)labels, key, v)
		n += is_total_key(key) && strcmp(key, without) != 0;
	return n;
}

static void set_label(json_t *want, const json_t *have, const char *key, const char *value)
{
	const char *now = json_string_value(json_object_get(have, key));
	if (!str_same(now, value)) /* a label lost to memory is put back by the next pass */
		(void)json_object_set_new(want, key, value != NULL ? json_string(value) : json_null());
}

static int patch_labels(struct reconcile_ctx *ctx, const json_t *node, json_t *changes, struct error *err)
{
	if (json_object_size(changes) == 0)
		return 0;
	JSON_AUTO patch = json_pack("{s:{s:s,s:O}}", "metadata", "resourceVersion", obj_resource_version(node),
				    "labels", changes);
	if (patch == NULL)
		return error_set(err, -ENOMEM, "labels of node %s: out of memory", obj_name(node));
	int rc = ctx->api->patch(ctx->api->ctx, &KUBE_NODE, "", obj_name(node), NULL, patch, err);
	return rc == -ENOENT ? 0 : rc;
}

static int label_node(struct reconcile_ctx *ctx, const json_t *node, const struct label_keys *k,
		      const struct tier_totals *t, struct error *err)
{
	const json_t *have = json_at(node, "metadata.labels");
	JSON_AUTO want = json_object();
	if (want == NULL)
		return error_set(err, -ENOMEM, "labels of node %s: out of memory", obj_name(node));
	char text[32], num[32];
	set_label(want, have, k->common, "true");
	set_label(want, have, k->runtime, "true");
	bytes_format_short(t->memory_bytes, text);
	set_label(want, have, k->memory, t->has_memory ? text : NULL);
	bytes_format_short(t->disk_bytes, text);
	set_label(want, have, k->disk, t->has_disk ? text : NULL);
	bytes_format_short(t->memory_bytes + t->disk_bytes, text);
	set_label(want, have, k->total, text);
	(void)snprintf(num, sizeof num, "%zu", count_datasets(have, k->total) + 1); /* at most 20 digits */
	set_label(want, have, DATASET_NUM, num);
	if (strcmp(json_str(ctx->dataset, "spec.placement", ""), "Shared") != 0)
		set_label(want, have, EXCLUSIVE, k->exclusive);
	return patch_labels(ctx, node, want, err);
}

static int unlabel_node(struct reconcile_ctx *ctx, const json_t *node, const struct label_keys *k, bool fuse_too,
			struct error *err)
{
	const json_t *have = json_at(node, "metadata.labels");
	JSON_AUTO want = json_object();
	if (want == NULL)
		return error_set(err, -ENOMEM, "labels of node %s: out of memory", obj_name(node));
	const char *const gone[] = {k->common, k->runtime, k->memory, k->disk, k->total, fuse_too ? k->fuse : k->total};
	for (size_t i = 0; i < ARRAY_LEN(gone); i++)
		set_label(want, have, gone[i], NULL);
	size_t left = count_datasets(have, k->total);
	char num[32];
	(void)snprintf(num, sizeof num, "%zu", left); /* at most 20 digits */
	set_label(want, have, DATASET_NUM, left > 0 ? num : NULL);
	if (str_same(json_string_value(json_object_get(have, EXCLUSIVE)), k->exclusive))
		set_label(want, have, EXCLUSIVE, NULL);
	return patch_labels(ctx, node, want, err);
}

/* Names of nodes where pods of StatefulSet @sts are (or are bound to be): an object used as a set. */
static json_t *worker_nodes(struct reconcile_ctx *ctx, const char *sts)
{
	JSON_AUTO pods = ctx->api->list(ctx->api->ctx, &KUBE_POD, ctx->ns, LABEL_RELEASE, ctx->name);
	JSON_AUTO set = json_object();
	if (pods == NULL || set == NULL)
		return NULL;
	size_t i;
	json_t *pod;
	json_array_foreach (pods, i, pod) {
		const json_t *owner = obj_controller_ref(pod);
		const char *node = json_str(pod, "spec.nodeName", "");
		if (owner == NULL || *node == '\0' || strcmp(json_str(owner, "kind", ""), "StatefulSet") != 0 ||
		    strcmp(json_str(owner, "name", ""), sts) != 0)
			continue;
		if (json_object_set_new(set, node, json_true()) < 0)
			return NULL;
	}
	return TAKE(set);
}

int nodes_sync_labels(struct reconcile_ctx *ctx, const struct engine_traits *t, const struct tier_totals *totals,
		      struct error *err)
{
	CLEANUP(keys_clear) struct label_keys k = {0};
	int rc = keys_make(ctx, &k, err);
	if (rc < 0)
		return rc;
	CLEANUP(free_p) char *sts = str_printf("%s%s", ctx->name, t->worker_suffix);
	JSON_AUTO want = sts != NULL ? worker_nodes(ctx, sts) : NULL;
	JSON_AUTO labelled = ctx->api->list(ctx->api->ctx, &KUBE_NODE, NULL, k.runtime, NULL);
	if (want == NULL || labelled == NULL)
		return error_set(err, -ENOMEM, "node labels of %s/%s: out of memory", ctx->ns, ctx->name);
	size_t i;
	json_t *node;
	json_array_foreach (labelled, i, node) {
		if (json_object_get(want, obj_name(node)) == NULL && (rc = unlabel_node(ctx, node, &k, false, err)) < 0)
			return rc;
	}
	const char *name;
	json_t *unused;
	json_object_foreach (want, name, unused) {
		JSON_AUTO n = ctx->api->get(ctx->api->ctx, &KUBE_NODE, "", name);
		if (n != NULL && (rc = label_node(ctx, n, &k, totals, err)) < 0)
			return rc;
	}
	return 0;
}

int nodes_labelled(struct reconcile_ctx *ctx, json_t **ret, struct error *err)
{
	CLEANUP(keys_clear) struct label_keys k = {0};
	int rc = keys_make(ctx, &k, err);
	if (rc < 0)
		return rc;
	const char *const marks[] = {k.common, k.runtime, k.fuse};
	JSON_AUTO all = json_array();
	for (size_t m = 0; m < ARRAY_LEN(marks); m++) {
		JSON_AUTO nodes = ctx->api->list(ctx->api->ctx, &KUBE_NODE, NULL, marks[m], NULL);
		if (nodes == NULL || all == NULL)
			return error_set(err, -ENOMEM, "node labels of %s/%s: out of memory", ctx->ns, ctx->name);
		size_t i;
		json_t *node;
		json_array_foreach (nodes, i, node) {
			bool seen = false;
			for (size_t b = 0; b < m; b++)
				seen = seen || obj_label(node, marks[b]) != NULL;
			if (!seen && json_array_append(all, node) < 0)
				return error_set(err, -ENOMEM, "node labels of %s/%s: out of memory", ctx->ns,
						 ctx->name);
		}
	}
	*ret = TAKE(all);
	return 0;
}

int nodes_clear_one(struct reconcile_ctx *ctx, const json_t *node, struct error *err)
{
	CLEANUP(keys_clear) struct label_keys k = {0};
	int rc = keys_make(ctx, &k, err);
	return rc < 0 ? rc : unlabel_node(ctx, node, &k, true, err);
}

int nodes_clear_labels(struct reconcile_ctx *ctx, struct error *err)
{
	JSON_AUTO nodes = NULL;
	int rc = nodes_labelled(ctx, &nodes, err);
	size_t i;
	json_t *node;
	json_array_foreach (nodes, i, node) {
		rc = nodes_clear_one(ctx, node, err);
		if (rc < 0)
			return rc;
	}
	return rc;
}
