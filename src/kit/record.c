/* Recording: every method of the engine goes through a wrapper that notes its name. A method that is new to the contract does not link. */
#include <pthread.h>
#include <string.h>

#include "kit/world.h"

static struct {
	struct world *world;
	struct runtime_controller controller;
	struct runtime_steps steps, inner;
	const struct engine_ops *ops; /* of the engine */
	pthread_mutex_t lock;         /* guards the world's calls: questions come from other threads */
} rec = {.lock = PTHREAD_MUTEX_INITIALIZER};

static void note(const char *method)
{
	pthread_mutex_lock(&rec.lock);
	json_t *calls = rec.world->calls;
	bool known = false;
	for (size_t i = 0; i < json_array_size(calls) && !known; i++)
		known = strcmp(json_string_value(json_array_get(calls, i)), method) == 0;
	if (!known)
		(void)json_array_append_new(calls, json_string(method)); /* a missing note fails the order case */
	pthread_mutex_unlock(&rec.lock);
}

#define PLAIN(method)                                                                                                  \
	static int rec_##method(struct engine *e, struct reconcile_ctx *ctx, struct error *err)                        \
	{                                                                                                              \
		note(#method);                                                                                         \
		return rec.ops->method(e, ctx, err);                                                                   \
	}
#define WITH(method, type)                                                                                             \
	static int rec_##method(struct engine *e, struct reconcile_ctx *ctx, type arg, struct error *err)              \
	{                                                                                                              \
		note(#method);                                                                                         \
		return rec.ops->method(e, ctx, arg, err);                                                              \
	}

PLAIN(parts)
PLAIN(should_setup_master)
PLAIN(setup_master)
PLAIN(check_master_ready)
PLAIN(should_setup_workers)
PLAIN(setup_workers)
PLAIN(check_workers_ready)
PLAIN(should_check_ufs)
PLAIN(prepare_ufs)
PLAIN(should_sync_dataset_mounts)
PLAIN(sync_dataset_mounts)
PLAIN(sync_metadata)
PLAIN(check_runtime_healthy)
PLAIN(check_runtime_ready)
PLAIN(check_and_update_runtime_status)
PLAIN(update_cache_of_dataset)
PLAIN(bind_to_dataset)
PLAIN(sync_replicas)
PLAIN(sync_runtime)
PLAIN(sync_schedule_info_to_cache_nodes)
PLAIN(validate)
PLAIN(create_volume)
PLAIN(delete_volume)
PLAIN(shutdown)
WITH(assign_nodes_to_cache, int)
WITH(should_update_ufs, struct ufs_change *)
WITH(update_on_ufs_change, const struct ufs_change *)
WITH(update_dataset_status, const char *)
WITH(used_storage_bytes, int64_t *)
WITH(free_storage_bytes, int64_t *)
WITH(total_storage_bytes, int64_t *)
WITH(total_file_nums, int64_t *)

static int rec_figures_targets(struct engine *e, struct reconcile_ctx *ctx, json_t **ret, struct error *err)
{
	note("figures_targets");
	const int rc = rec.ops->figures_targets(e, ctx, ret, err);
	if (rc == 0) {
		json_decref(rec.world->targets);
		rec.world->targets = json_deep_copy(*ret);
	}
	return rc;
}

static int rec_make_objects(struct engine *e, struct reconcile_ctx *ctx, int parts, json_t **ret, struct error *err)
{
	note("make_objects");
	return rec.ops->make_objects(e, ctx, parts, ret, err);
}

static int rec_data_operation_spec(struct engine *e, struct reconcile_ctx *ctx, const json_t *operation, json_t **ret,
				   struct error *err)
{
	note("data_operation_spec");
	return rec.ops->data_operation_spec(e, ctx, operation, ret, err);
}

static int rec_query_figures(const struct engine_question *q, struct engine_figures *ret, struct error *err)
{
	note("query_figures");
	return rec.ops->query_figures(q, ret, err);
}

static struct engine_ops recorded = {ENGINE_METHODS(ENGINE_ENTRY_, ENGINE_ENTRY_, rec)};

static int rec_get_or_create_engine(struct reconciler *r, struct reconcile_ctx *ctx, struct engine **ret,
				    struct error *err)
{
	const int rc = rec.inner.get_or_create_engine(r, ctx, ret, err);
	if (rc < 0 || (*ret)->ops == NULL || (*ret)->ops == &recorded)
		return rc;
	rec.ops = (*ret)->ops;
	recorded.abi = rec.ops->abi;
	recorded.size = rec.ops->size;
	recorded.name = rec.ops->name;
	recorded.traits = rec.ops->traits;
	recorded.build = rec.ops->build;
	recorded.free = rec.ops->free;
	(*ret)->ops = &recorded;
	return rc;
}

const struct engine_ops *record_ops(void)
{
	return rec.ops;
}

const struct runtime_controller *record_controller(struct world *w, const struct runtime_controller *inner)
{
	rec.world = w;
	rec.inner = rec.steps = *inner->steps;
	rec.steps.get_or_create_engine = rec_get_or_create_engine;
	rec.controller = *inner;
	rec.controller.steps = &rec.steps;
	return &rec.controller;
}
