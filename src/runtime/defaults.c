/* Defaults of the contract that concern storage underneath, figures, the Dataset's status, and the end. */
#include <stdio.h>
#include <string.h>

#include "api/dataset.h"
#include "base/clock.h"
#include "base/random.h"
#include "base/str.h"
#include "kube/client.h"
#include "runtime/metrics.h"
#include "runtime/mounts.h"
#include "runtime/nodes.h"
#include "runtime/objects.h"
#include "runtime/status.h"
#include "runtime/workloads.h"
#include "json/json.h"
#include "json/quantity.h"

#define CALCULATING "[Calculating]"

int engine_default_should_check_ufs(struct engine *e, struct reconcile_ctx *ctx, struct error *err)
{
	(void)e, (void)ctx, (void)err;
	return 0;
}

int engine_default_prepare_ufs(struct engine *e, struct reconcile_ctx *ctx, struct error *err)
{
	(void)e, (void)ctx, (void)err;
	return 1;
}

/* When the master that started last did so: a container's start, of the pods of all masters. 0: unknown. */
static int64_t last_master_start(const struct engine_traits *t, struct reconcile_ctx *ctx)
{
	JSON_AUTO pods = workload_pods(ctx, t->master_role);
	int64_t last = 0, at;
	size_t i, k;
	json_t *pod, *c;
	json_array_foreach (pods, i, pod)
		json_array_foreach (json_at(pod, "status.containerStatuses"), k, c)
			if (strcmp(json_str(c, "name", ""), t->master_container) == 0 &&
			    clock_parse_rfc3339(json_str(c, "state.running.startedAt", ""), &at) == 0 && at > last)
				last = at;
	return last;
}

int engine_default_should_sync_dataset_mounts(struct engine *e, struct reconcile_ctx *ctx, struct error *err)
{
	const struct engine_traits *t = e->ops->traits;
	int64_t mounted;
	int parts = e->ops->parts(e, ctx, err);
	if (parts < 0)
		return parts;
	if (!(parts & ENGINE_MASTER) || t->master_container == NULL ||
	    clock_parse_rfc3339(json_str(ctx->runtime_status, "mountTime", ""), &mounted) < 0)
		return 0;
	return last_master_start(t, ctx) > mounted;
}

int engine_default_sync_dataset_mounts(struct engine *e, struct reconcile_ctx *ctx, struct error *err)
{
	engine_call_forget(ctx, "mount"); /* what was done, was done to a master that is no more */
	return e->ops->prepare_ufs(e, ctx, err);
}

/* The mounts of @list that have no equal in @other, as an array of their cache paths. */
static json_t *mounts_without(const json_t *list, const json_t *other)
{
	JSON_AUTO out = json_array();
	size_t i, k;
	json_t *m, *o;
	json_array_foreach (list, i, m) {
		bool found = false;
		json_array_foreach (other, k, o)
			found = found || json_same(m, o);
		CLEANUP(free_p) char *path = found ? NULL : mount_cache_path(m);
		if (!found && (path == NULL || json_array_append_new(out, json_string(path)) < 0))
			return NULL;
	}
	return TAKE(out);
}

int engine_default_should_update_ufs(struct engine *e, struct reconcile_ctx *ctx, struct ufs_change *ret,
				     struct error *err)
{
	(void)e;
	const json_t *want = json_at(ctx->dataset, "spec.mounts"),
		     *have = json_object_get(ctx->dataset_status, "mounts");
	if (have == NULL)
		return 0;
	struct ufs_change c = {.added = mounts_without(want, have), .removed = mounts_without(have, want)};
	if (c.added == NULL || c.removed == NULL) {
		json_decref(c.added);
		json_decref(c.removed);
		return error_set(err, -ENOMEM, "compare mounts: out of memory");
	}
	int changed = json_array_size(c.added) + json_array_size(c.removed) > 0;
	*ret = c;
	return changed;
}

int engine_default_update_on_ufs_change(struct engine *e, struct reconcile_ctx *ctx, const struct ufs_change *change,
					struct error *err)
{
	(void)ctx, (void)change;
	return error_set(err, -EOPNOTSUPP,
			 "spec.mounts: engine '%s' cannot change the mounts of a bound Dataset; make a new one",
			 e->ops->name);
}

/* --- figures -------------------------------------------------------------------------------------------------------------------- */

static int known(int64_t value, int64_t *ret)
{
	if (value < 0)
		return -ENODATA;
	*ret = value;
	return 0;
}

int engine_default_used_storage_bytes(struct engine *e, struct reconcile_ctx *ctx, int64_t *ret, struct error *err)
{
	(void)e;
	return ctx->figures != NULL && known(ctx->figures->cached_bytes, ret) == 0
		       ? 0
		       : error_set(err, -ENODATA, "used bytes: not known yet");
}

int engine_default_free_storage_bytes(struct engine *e, struct reconcile_ctx *ctx, int64_t *ret, struct error *err)
{
	(void)e;
	const struct engine_figures *f = ctx->figures;
	if (f == NULL || f->capacity_bytes < 0 || f->cached_bytes < 0)
		return error_set(err, -ENODATA, "free bytes: not known yet");
	*ret = f->capacity_bytes > f->cached_bytes ? f->capacity_bytes - f->cached_bytes : 0;
	return 0;
}

int engine_default_total_storage_bytes(struct engine *e, struct reconcile_ctx *ctx, int64_t *ret, struct error *err)
{
	(void)e;
	const struct engine_figures *f = ctx->figures;
	return f != NULL && f->ufs_complete && known(f->ufs_bytes, ret) == 0
		       ? 0
		       : error_set(err, -ENODATA, "total bytes: not known yet");
}

int engine_default_total_file_nums(struct engine *e, struct reconcile_ctx *ctx, int64_t *ret, struct error *err)
{
	(void)e;
	const struct engine_figures *f = ctx->figures;
	return f != NULL && f->ufs_complete && known(f->ufs_files, ret) == 0
		       ? 0
		       : error_set(err, -ENODATA, "number of files: not known yet");
}

int engine_default_sync_metadata(struct engine *e, struct reconcile_ctx *ctx, struct error *err)
{
	if (!json_bool(ctx->runtime, "spec.management.metadataSyncPolicy.autoSync", true))
		return 0;
	int64_t bytes, files;
	char total[32], num[32];
	struct error unused = {0};
	bool have = e->ops->total_storage_bytes(e, ctx, &bytes, &unused) == 0 &&
		    e->ops->total_file_nums(e, ctx, &files, &unused) == 0;
	const char *shown = json_str(ctx->dataset_status, "ufsTotal", "");
	/* What was known stays until something newer is: a restarted worker that counts again must not blank the column. */
	if (!have && *shown != '\0')
		return 0;
	if (have) {
		metrics_dataset(ctx, bytes, files);
		bytes_format_fluid((uint64_t)bytes, total);
		(void)snprintf(num, sizeof num, "%lld", (long long)files); /* at most 20 digits */
	}
	if (json_put_str(ctx->dataset_status, "ufsTotal", have ? total : CALCULATING) < 0 ||
	    json_put_str(ctx->dataset_status, "fileNum", have ? num : CALCULATING) < 0)
		return error_set(err, -ENOMEM, "status: out of memory");
	return 0;
}

static void percent(int64_t part, int64_t whole, char out[static 32])
{
	double p = whole > 0 ? (double)part * 100 / (double)whole : part > 0 || whole == 0 ? 100 : 0;
	if (p > 100)
		p = 100;
	if (p > 99.9 && part < whole)
		p = 99.9;                     /* "100.0%" means all of it */
	(void)snprintf(out, 32, "%.1f%%", p); /* at most 6 characters */
}

static int put_state(json_t *states, const char *key, const char *value)
{
	return json_object_set_new(states, key, json_string(value)) < 0 ? -ENOMEM : 0;
}

/* Of what was read, how much came from the cache, and of that from the reader's own node and from others, under @keys. */
static int put_ratios(json_t *states, const char *const keys[3], int64_t hits, int64_t misses, int64_t local)
{
	char text[3][32] = {"0.0%", "0.0%", "0.0%"};
	int64_t all = 0;
	if (!__builtin_add_overflow(hits, misses, &all) && all > 0) {
		const int64_t near = local > 0 ? local : 0;
		percent(hits, all, text[0]);
		percent(near, all, text[1]);
		percent(hits > near ? hits - near : 0, all, text[2]);
	}
	for (size_t i = 0; i < ARRAY_LEN(text); i++)
		if (put_state(states, keys[i], text[i]) < 0)
			return -ENOMEM;
	return 0;
}

static int put_reads(json_t *states, const struct engine_figures *f)
{
	static const char *const bytes[] = {"cacheHitRatio", "localHitRatio", "remoteHitRatio"},
				 *const rates[] = {"cacheThroughputRatio", "localThroughputRatio",
						   "remoteThroughputRatio"};
	int rc = f->hit_bytes >= 0 && f->miss_bytes >= 0
			 ? put_ratios(states, bytes, f->hit_bytes, f->miss_bytes, f->local_hit_bytes)
			 : 0;
	return rc == 0 && f->has_rates ? put_ratios(states, rates, f->hit_rate, f->miss_rate, f->local_hit_rate) : rc;
}

static int put_cache_states(struct engine *e, struct reconcile_ctx *ctx)
{
	const struct engine_figures *f = ctx->figures;
	if (f == NULL)
		return 0;
	if (json_object_get(ctx->runtime_status, "cacheStates") == NULL &&
	    json_put(ctx->runtime_status, "cacheStates", json_object()) < 0)
		return -ENOMEM;
	json_t *states = json_object_get(ctx->runtime_status, "cacheStates");
	char text[32];
	int64_t total;
	if (f->capacity_bytes >= 0) {
		bytes_format_fluid((uint64_t)f->capacity_bytes, text);
		if (put_state(states, "cacheCapacity", text) < 0)
			return -ENOMEM;
	}
	if (f->cached_bytes >= 0) {
		bytes_format_fluid((uint64_t)f->cached_bytes, text);
		if (put_state(states, "cached", text) < 0)
			return -ENOMEM;
	}
	struct error unused = {0};
	if (f->cached_bytes >= 0 && e->ops->total_storage_bytes(e, ctx, &total, &unused) == 0) {
		percent(f->cached_bytes, total, text);
		if (put_state(states, "cachedPercentage", text) < 0)
			return -ENOMEM;
	}
	return put_reads(states, f);
}

/* A source that cannot be read is told on both objects, and once in an Event. */
static int put_mounts_condition(struct reconcile_ctx *ctx)
{
	const struct engine_figures *f = ctx->figures;
	if (f == NULL)
		return 0;
	char msg[480] = "Every mount of the dataset can be read.";
	bool failed = false;
	for (size_t i = 0; i < f->n_mounts && !failed; i++) {
		failed = f->mounts[i].failed;
		if (failed)
			(void)snprintf(msg, sizeof msg, "mount %s: %s", f->mounts[i].path,
				       f->mounts[i].message); /* cut is fine */
	}
	if (!failed && !f->ready)
		return 0; /* still listing */
	if (failed && !condition_is(ctx->dataset_status, CONDITION_MOUNTS, false))
		ctx->api->event(ctx->api->ctx, ctx->dataset, "Warning", "MountFailed", msg);
	if (dataset_condition_set(ctx, CONDITION_MOUNTS, !failed, failed ? "MountFailed" : "MountsReadable", msg) < 0 ||
	    runtime_condition_set(ctx, CONDITION_MOUNTS, !failed, failed ? "MountFailed" : "MountsReadable", msg) < 0)
		return -ENOMEM;
	return failed ? json_put_str(ctx->runtime_status, "workerReason", msg) : 0;
}

/* status.selector (for the scale subresource), cacheAffinity and setupDuration. */
static int put_facts(struct engine *e, struct reconcile_ctx *ctx)
{
	CLEANUP(free_p)
	char *selector =
		str_printf("app=%s,release=%s,role=%s", e->ops->traits->app, ctx->name, e->ops->traits->worker_role);
	JSON_AUTO affinity = placement_affinity(ctx);
	if (selector == NULL || affinity == NULL || json_put_str(ctx->runtime_status, "selector", selector) < 0)
		return -ENOMEM;
	json_t *node = json_deep_copy(json_object_get(affinity, "nodeAffinity"));
	size_t i;
	json_t *term, *v;
	const char *key;
	json_array_foreach (json_at(node, "requiredDuringSchedulingIgnoredDuringExecution.nodeSelectorTerms"), i, term)
		json_object_foreach (json_at(ctx->runtime, "spec.worker.nodeSelector"), key, v) {
			json_t *e1 = json_pack("{s:s,s:s,s:[O]}", "key", key, "operator", "In", "values", v);
			if (e1 == NULL || json_push(term, "matchExpressions", e1) < 0)
				return -ENOMEM;
		}
	return node != NULL ? json_put(ctx->runtime_status, "cacheAffinity", node) : -ENOMEM;
}

int engine_default_check_and_update_runtime_status(struct engine *e, struct reconcile_ctx *ctx, struct error *err)
{
	int master = e->ops->check_master_ready(e, ctx, err);
	int workers = master < 0 ? master : e->ops->check_workers_ready(e, ctx, err);
	if (workers < 0)
		return workers;
	if (put_cache_states(e, ctx) < 0 || put_mounts_condition(ctx) < 0 || put_facts(e, ctx) < 0)
		return error_set(err, -ENOMEM, "status: out of memory");
	return master > 0 && workers > 0;
}

int engine_default_check_runtime_ready(struct engine *e, struct reconcile_ctx *ctx, struct error *err)
{
	(void)e;
	if (ctx->figures != NULL && ctx->figures->ready && (ctx->figures_error == NULL || *ctx->figures_error == '\0'))
		return 1;
	(void)error_set(err, -EAGAIN, "the cache system does not answer%s%s", ctx->figures_error != NULL ? ": " : "",
			ctx->figures_error != NULL ? ctx->figures_error : "");
	return 0;
}

/* --- the Dataset ---------------------------------------------------------------------------------------------------------------- */

int engine_default_update_cache_of_dataset(struct engine *e, struct reconcile_ctx *ctx, struct error *err)
{
	(void)e;
	json_t *states = json_object_get(ctx->runtime_status, "cacheStates");
	json_t *copy = states != NULL ? json_deep_copy(states) : NULL;
	if (states != NULL && (copy == NULL || json_put(ctx->dataset_status, "cacheStates", copy) < 0))
		return error_set(err, -ENOMEM, "status: out of memory");
	return 0;
}

static int add_runtime_entry(struct reconcile_ctx *ctx)
{
	size_t i;
	json_t *r;
	json_array_foreach (json_object_get(ctx->dataset_status, "runtimes"), i, r)
		if (strcmp(json_str(r, "category", ""), ctx->category) == 0)
			return 0;
	json_t *entry = json_pack("{s:s,s:s,s:s,s:s}", "name", ctx->name, "namespace", ctx->ns, "category",
				  ctx->category, "type", ctx->runtime_type);
	int64_t masters = json_int(ctx->runtime, "spec.master.replicas", 0);
	if (entry != NULL && masters > 0)
		(void)json_put_int(entry, "masterReplicas", masters); /* informative; made again at the next binding */
	return entry != NULL ? json_push(ctx->dataset_status, "runtimes", entry) : -ENOMEM;
}

static int put_phase_condition(struct reconcile_ctx *ctx, const char *phase)
{
	if (strcmp(phase, DATASET_PHASE_BOUND) == 0) {
		condition_drop(ctx->dataset_status, DATASET_NOT_READY);
		condition_drop(ctx->dataset_status, DATASET_UPDATING);
		return dataset_condition_set(ctx, DATASET_READY, true, "DatasetReady", "The ddc runtime is ready.");
	}
	if (strcmp(phase, DATASET_PHASE_FAILED) == 0)
		return dataset_condition_set(ctx, DATASET_READY, false, "DatasetReady",
					     "The ddc runtime is not ready.");
	if (strcmp(phase, DATASET_PHASE_UPDATING) == 0)
		return dataset_condition_set(ctx, DATASET_UPDATING, true, "DatasetUpdating",
					     "The ddc runtime is updating.");
	return 0;
}

int engine_default_update_dataset_status(struct engine *e, struct reconcile_ctx *ctx, const char *phase,
					 struct error *err)
{
	(void)e;
	int rc = dataset_phase_move(ctx->dataset_status, phase, err);
	if (rc < 0)
		return rc;
	if (put_phase_condition(ctx, phase) < 0 ||
	    (strcmp(phase, DATASET_PHASE_BOUND) == 0 && add_runtime_entry(ctx) < 0))
		return error_set(err, -ENOMEM, "status: out of memory");
	return 0;
}

int engine_default_bind_to_dataset(struct engine *e, struct reconcile_ctx *ctx, struct error *err)
{
	int rc = e->ops->update_dataset_status(e, ctx, DATASET_PHASE_BOUND, err);
	json_t *mounts = json_at(ctx->dataset, "spec.mounts");
	json_t *copy = mounts != NULL ? json_deep_copy(mounts) : json_array();
	if (rc < 0) {
		json_decref(copy);
		return rc;
	}
	if (copy == NULL || json_put(ctx->dataset_status, "mounts", copy) < 0)
		return error_set(err, -ENOMEM, "status: out of memory");
	return 0;
}

/* --- change, volume, end -------------------------------------------------------------------------------------------------------- */

/*
 * Many datasets write the labels of one node. That another was faster is nothing to hold up the pass for (its status would wait too): the
 * labels come a little later.
 */
static int sync_node_labels(struct engine *e, struct reconcile_ctx *ctx, const struct tier_totals *totals,
			    struct error *err)
{
	struct error why = {0};
	int rc = nodes_sync_labels(ctx, e->ops->traits, totals, &why);
	if (rc == -ESTALE) {
		reconcile_again(ctx, (10 + random_below(90)) * NSEC_PER_MSEC);
		return 0;
	}
	if (rc < 0 && err != NULL)
		*err = why;
	return rc;
}

int engine_default_sync_schedule_info_to_cache_nodes(struct engine *e, struct reconcile_ctx *ctx, struct error *err)
{
	/* The shape is the same in every runtime kind, so the JSON is read without its table. */
	struct tiered_store_level levels[TIER_MAX_PATHS] = {0};
	struct tiered_store ts = {.levels = {.v = levels}};
	struct tier_totals totals;
	json_t *l;
	size_t i;
	json_array_foreach (json_at(ctx->runtime, "spec.tieredstore.levels"), i, l) {
		if (ts.levels.n == TIER_MAX_PATHS)
			break;
		levels[ts.levels.n++] = (struct tiered_store_level){.medium_type = json_str(l, "mediumtype", "SSD"),
								    .path = json_str(l, "path", NULL),
								    .quota = json_str(l, "quota", NULL),
								    .quota_list = json_str(l, "quotaList", NULL),
								    .high = json_str(l, "high", NULL),
								    .low = json_str(l, "low", NULL)};
	}
	int rc = tier_totals(&ts, &totals, err);
	return rc < 0 ? rc : sync_node_labels(e, ctx, &totals, err);
}

int engine_default_data_operation_spec(struct engine *e, struct reconcile_ctx *ctx, const json_t *operation,
				       json_t **ret, struct error *err)
{
	(void)ctx, (void)ret;
	return error_set(err, -EOPNOTSUPP, "engine '%s' has no %s", e->ops->name,
			 json_str(operation, "kind", "such operation"));
}

/* Pods that do not end (a node that is gone) hold a deletion no longer than this. */
#define SHUTDOWN_PATIENCE (5 * 60 * NSEC_PER_SEC)

static bool waited_long_enough(const struct reconcile_ctx *ctx)
{
	int64_t since;
	const char *at = json_str(ctx->runtime, "metadata.deletionTimestamp", "");
	return clock_parse_rfc3339(at, &since) == 0 && clock_wall_ns() - since > SHUTDOWN_PATIENCE;
}

static int remove_objects(const struct engine_traits *t, struct reconcile_ctx *ctx, struct error *err)
{
	const struct {
		const struct kube_resource *r;
		const char *suffix;
	} all[] = {{&KUBE_STATEFULSET, t->master_suffix},
		   {&KUBE_STATEFULSET, t->worker_suffix},
		   {&KUBE_DAEMONSET, t->fuse_suffix}};
	for (size_t i = 0; i < ARRAY_LEN(all); i++) {
		CLEANUP(free_p) char *name = all[i].suffix != NULL ? workload_name(ctx, all[i].suffix) : NULL;
		JSON_AUTO live = name != NULL ? ctx->api->get(ctx->api->ctx, all[i].r, ctx->ns, name) : NULL;
		int rc = live != NULL && !obj_deleting(live)
				 ? ctx->api->remove(ctx->api->ctx, all[i].r, ctx->ns, name, err)
				 : 0;
		if (rc < 0)
			return rc;
	}
	return 0;
}

int workloads_remove(const struct engine_traits *t, struct reconcile_ctx *ctx, struct error *err)
{
	int rc = remove_objects(t, ctx, err);
	if (rc < 0)
		return rc;
	const char *const roles[] = {t->master_role, t->worker_role, t->fuse_role};
	for (size_t i = 0; i < ARRAY_LEN(roles); i++) {
		JSON_AUTO pods = roles[i] != NULL ? workload_pods(ctx, roles[i]) : NULL;
		if (json_array_size(pods) == 0 || waited_long_enough(ctx))
			continue;
		(void)error_set(err, -EBUSY, "waiting for pod %s to end", obj_name(json_array_get(pods, 0)));
		reconcile_again(ctx, 30 * NSEC_PER_SEC); /* patience ends without an event */
		return 0;
	}
	return 1;
}

int engine_default_shutdown(struct engine *e, struct reconcile_ctx *ctx, struct error *err)
{
	int rc = workloads_remove(e->ops->traits, ctx, err);
	if (rc <= 0)
		return rc;
	rc = nodes_clear_labels(ctx, err);
	return rc < 0 ? rc : 1;
}
