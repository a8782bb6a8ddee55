/*
 * The template engine: the lifecycle over the contract's methods. Setup and Sync call them in Fluid's order; what differs is that nothing
 * here blocks or polls, and that a "not yet" says why.
 */
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/str.h"
#include "kube/client.h"
#include "runtime/figures.h"
#include "runtime/metrics.h"
#include "runtime/status.h"
#include "sluice/engine.h"
#include "json/json.h"

void reconcile_again(struct reconcile_ctx *ctx, int64_t delay_ns)
{
	if (ctx->requeue_after_ns == 0 || delay_ns < ctx->requeue_after_ns)
		ctx->requeue_after_ns = delay_ns;
}

static const char *template_id(const struct engine *e)
{
	return e->id;
}

static int template_validate(struct engine *e, struct reconcile_ctx *ctx, struct error *err)
{
	return e->ops->validate(e, ctx, err);
}

/* Tell the pool whom to ask; it tells us when an answer is news. */
static int ask_figures(struct engine *e, struct reconcile_ctx *ctx, struct error *err)
{
	if (ctx->pool == NULL)
		return 0;
	JSON_AUTO targets = NULL;
	int rc = e->ops->figures_targets(e, ctx, &targets, err);
	if (rc < 0)
		return rc;
	CLEANUP(free_p)
	char *state = str_printf("%lld %lld", (long long)json_int(ctx->runtime_status, "workerNumberReady", 0),
				 (long long)json_int(ctx->runtime_status, "fuseNumberReady", 0));
	rc = state != NULL ? figures_watch(ctx->pool, ctx->ns, ctx->name, e->ops, targets, state) : -ENOMEM;
	return rc < 0 ? error_set(err, rc, "figures of %s: %s", e->id,
				  rc == -ENOSPC ? "too many datasets" : "out of memory")
		      : 0;
}

/* The spec may change before the dataset was ever bound: a wrong image must not need a new runtime. */
static int resend(struct engine *e, struct reconcile_ctx *ctx, struct error *err)
{
	int rc = e->ops->sync_runtime(e, ctx, err);
	return rc < 0 ? rc : 0;
}

static int setup_master(struct engine *e, struct reconcile_ctx *ctx, struct error *err)
{
	int parts = e->ops->parts(e, ctx, err);
	int rc = parts < 0 ? parts : e->ops->should_setup_master(e, ctx, err);
	if (rc > 0)
		rc = e->ops->setup_master(e, ctx, err);
	else if (rc == 0 && (parts & ENGINE_MASTER))
		rc = resend(e, ctx, err);
	return rc < 0 ? rc : e->ops->check_master_ready(e, ctx, err);
}

static int note_mount_time(struct reconcile_ctx *ctx, struct error *err)
{
	char now[32];
	clock_format_rfc3339(clock_wall_ns(), now);
	return json_put_str(ctx->runtime_status, "mountTime", now) < 0
		       ? error_set(err, -ENOMEM, "status: out of memory")
		       : 1;
}

/* 1 when the sources are mounted in the cache's namespace, or nothing is to be mounted. */
static int setup_ufs(struct engine *e, struct reconcile_ctx *ctx, struct error *err)
{
	int rc = e->ops->should_check_ufs(e, ctx, err);
	if (rc <= 0)
		return rc < 0 ? rc : 1;
	rc = e->ops->prepare_ufs(e, ctx, err);
	if (rc > 0 && *json_str(ctx->runtime_status, "mountTime", "") == '\0')
		rc = note_mount_time(ctx, err);
	return rc;
}

/* Nodes were missing when they were counted last: count again, so that the condition tells of now (and nodes wake us until then). */
static int count_nodes_again(struct engine *e, struct reconcile_ctx *ctx, struct error *err)
{
	if (!condition_is(ctx->runtime_status, "WorkersInitialized", false))
		return 0;
	int rc = e->ops->assign_nodes_to_cache(e, ctx, (int)json_int(ctx->runtime, "spec.replicas", 1), err);
	return rc < 0 ? rc : 0;
}

static int setup_workers(struct engine *e, struct reconcile_ctx *ctx, struct error *err)
{
	int parts = e->ops->parts(e, ctx, err);
	int rc = parts < 0 ? parts : e->ops->should_setup_workers(e, ctx, err);
	if (rc > 0) {
		if (parts & ENGINE_WORKERS)
			rc = e->ops->assign_nodes_to_cache(e, ctx, (int)json_int(ctx->runtime, "spec.replicas", 1),
							   err);
		if (rc >= 0)
			rc = e->ops->setup_workers(e, ctx, err);
	} else if (rc == 0) {
		rc = parts & ENGINE_MASTER ? 0 : resend(e, ctx, err); /* with a master that has been done for all */
		if (rc >= 0)
			rc = count_nodes_again(e, ctx, err);
	}
	return rc < 0 ? rc : e->ops->check_workers_ready(e, ctx, err);
}

static int template_setup(struct engine *e, struct reconcile_ctx *ctx, struct error *err)
{
	int rc = setup_master(e, ctx, err);
	if (rc <= 0)
		return rc;
	rc = setup_ufs(e, ctx, err);
	if (rc <= 0)
		return rc;
	int ready = setup_workers(e, ctx, err);
	if (ready < 0)
		return ready;
	struct error waiting_for = err != NULL ? *err : (struct error){0};
	rc = ask_figures(e, ctx, err);
	/* Also while workers are not ready: what the engine says of its sources is why they are not. */
	if (rc >= 0)
		rc = e->ops->check_and_update_runtime_status(e, ctx, err);
	if (rc < 0)
		return rc;
	if (ready == 0 || rc == 0) {
		/* Where workers are must be known even if they never get ready: their end cleans up there. */
		rc = e->ops->sync_schedule_info_to_cache_nodes(e, ctx, err);
		if (rc >= 0 && ready == 0 && err != NULL)
			*err = waiting_for;
		return rc < 0 ? rc : 0;
	}
	rc = e->ops->bind_to_dataset(e, ctx, err);
	return rc < 0 ? rc : 1;
}

static int template_create_volume(struct engine *e, struct reconcile_ctx *ctx, struct error *err)
{
	return e->ops->create_volume(e, ctx, err);
}

/* Bound while healthy, Failed on an error, untouched while merely not ready. Updating and DataMigrating end by their own ends only. */
static int sync_health(struct engine *e, struct reconcile_ctx *ctx, struct error *err)
{
	int rc = e->ops->check_runtime_healthy(e, ctx, err);
	const char *phase = json_str(ctx->dataset_status, "phase", "");
	if (rc < 0) {
		struct error unused = {0};
		metrics_health_error(ctx);
		if (rc != -ESTALE &&
		    rc != -EAGAIN) /* the error that counts is the first; a move that is not legal leaves the phase */
			(void)e->ops->update_dataset_status(e, ctx, "Failed", &unused);
		return rc;
	}
	if (rc == 0 || strcmp(phase, "Updating") == 0 || strcmp(phase, "DataMigrating") == 0)
		return rc;
	int rc2 = e->ops->update_dataset_status(e, ctx, "Bound", err);
	return rc2 < 0 ? rc2 : 1;
}

static int sync_ufs(struct engine *e, struct reconcile_ctx *ctx, struct error *err)
{
	int rc = e->ops->should_sync_dataset_mounts(e, ctx, err);
	if (rc > 0) {
		rc = e->ops->sync_dataset_mounts(e, ctx, err);
		rc = rc > 0 ? note_mount_time(ctx, err) : rc;
	}
	if (rc < 0)
		return rc;
	struct ufs_change change = {0};
	rc = e->ops->should_update_ufs(e, ctx, &change, err);
	if (rc > 0) {
		rc = e->ops->update_dataset_status(e, ctx, "Updating", err);
		if (rc >= 0)
			rc = e->ops->update_on_ufs_change(e, ctx, &change, err);
		if (rc > 0)
			rc = e->ops->bind_to_dataset(e, ctx, err);
	}
	json_decref(change.added);
	json_decref(change.removed);
	return rc < 0 ? rc : 0;
}

static int template_sync(struct engine *e, struct reconcile_ctx *ctx, struct error *err)
{
	int rc = ask_figures(e, ctx, err);
	if (rc >= 0)
		rc = e->ops->sync_metadata(e, ctx, err);
	if (rc >= 0)
		rc = e->ops->sync_replicas(e, ctx, err);
	if (rc >= 0)
		rc = count_nodes_again(e, ctx, err);
	if (rc >= 0)
		rc = e->ops->sync_runtime(e, ctx, err);
	if (rc < 0)
		return rc;
	if (rc > 0)
		return 0; /* the objects just changed: what they become is seen by the watch */
	int healthy = sync_health(e, ctx, err);
	if (healthy < 0)
		return healthy;
	struct error why = healthy == 0 && err != NULL ? *err : (struct error){0};
	rc = e->ops->check_and_update_runtime_status(e, ctx, err);
	if (rc >= 0)
		rc = e->ops->update_cache_of_dataset(e, ctx, err);
	if (rc >= 0)
		rc = sync_ufs(e, ctx, err);
	if (rc >= 0)
		rc = e->ops->sync_schedule_info_to_cache_nodes(e, ctx, err);
	if (rc >= 0 && err != NULL)
		*err = why;
	return rc < 0 ? rc : 0;
}

static int template_delete_volume(struct engine *e, struct reconcile_ctx *ctx, struct error *err)
{
	return e->built ? e->ops->delete_volume(e, ctx, err) : engine_default_delete_volume(e, ctx, err);
}

static int template_shutdown(struct engine *e, struct reconcile_ctx *ctx, struct error *err)
{
	if (ctx->pool != NULL)
		figures_forget(ctx->pool, ctx->ns, ctx->name);
	return e->built ? e->ops->shutdown(e, ctx, err) : engine_default_shutdown(e, ctx, err);
}

static void template_free(struct engine *e)
{
	e->ops->free(e);
	free(e->id);
	free(e->ns);
	free(e->name);
	free(e->runtime_uid);
	free(e);
}

static const struct engine_lifecycle template_lifecycle = {
	.id = template_id,
	.validate = template_validate,
	.setup = template_setup,
	.create_volume = template_create_volume,
	.sync = template_sync,
	.delete_volume = template_delete_volume,
	.shutdown = template_shutdown,
	.free = template_free,
};

int engine_template_build(const struct engine_factory *f, struct reconcile_ctx *ctx, const char *id,
			  struct engine **ret, struct error *err)
{
	if (f->ops->abi != SLUICE_ENGINE_ABI || f->ops->size < sizeof *f->ops)
		return error_set(err, -ENOEXEC,
				 "engine '%s' was built for contract %u of %u bytes, this is %u of %zu: build it again",
				 f->name, f->ops->abi, f->ops->size, SLUICE_ENGINE_ABI, sizeof *f->ops);
	struct engine *e = calloc(1, sizeof *e);
	if (e == NULL)
		return error_set(err, -ENOMEM, "engine %s: out of memory", id);
	e->lifecycle = &template_lifecycle;
	e->ops = f->ops;
	e->id = strdup(id);
	e->ns = strdup(ctx->ns);
	e->name = strdup(ctx->name);
	e->runtime_uid = strdup(obj_uid(ctx->runtime));
	int rc = -ENOMEM;
	if (e->id == NULL || e->ns == NULL || e->name == NULL || e->runtime_uid == NULL)
		(void)error_set(err, rc, "engine %s: out of memory", id);
	else
		rc = f->ops->build(e, ctx, err);
	e->built = rc == 0;
	/* A runtime that goes must be able to go: what the template made is removed by the traits alone. */
	if (rc < 0 && rc != -ENOMEM && obj_deleting(ctx->runtime))
		rc = 0;
	if (rc < 0) {
		engine_free(e);
		return rc;
	}
	*ret = e;
	return 0;
}

void engine_free(struct engine *e)
{
	if (e != NULL)
		e->lifecycle->free(e);
}
