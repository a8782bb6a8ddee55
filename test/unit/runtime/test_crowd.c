/*
 * 8 workers and 200 datasets share one engine's code and one reconciler, with the pools that ask and call beside them. What each dataset is told
 * is its own. Worth most under ThreadSanitizer.
 */
#include "runtime/fake_api.h"

#include <pthread.h>
#include <stdatomic.h>

#include "api/dataset.h"
#include "base/clock.h"
#include "kube/workqueue.h"
#include "runtime/reconciler.h"

#define DATASETS 200
#define WORKERS  8
#define ROUNDS   5

static const struct kube_resource CROWD = {"data.fluid.io", "v1alpha1", "CrowdRuntime", "crowdruntimes", true};

/* The scripted API serves one at a time; a lock around it is what a server is. */
static pthread_mutex_t api_lock = PTHREAD_MUTEX_INITIALIZER;
static struct fake_api *api;
static atomic_int in_one[DATASETS], builds, frees, calls_made;

static int index_of(const char *name)
{
	return (int)strtol(name + 1, NULL, 10);
}

/* Nobody else is at this dataset. */
static void enter(const struct reconcile_ctx *ctx)
{
	assert_int_equal(atomic_fetch_add(&in_one[index_of(ctx->name)], 1), 0);
	(void)sched_yield();
	assert_int_equal(atomic_fetch_sub(&in_one[index_of(ctx->name)], 1), 1);
}

struct own {
	char name[32];
};

static int crowd_build(struct engine *e, struct reconcile_ctx *ctx, struct error *err)
{
	struct own *o = calloc(1, sizeof *o);
	if (o == NULL)
		return error_set(err, -ENOMEM, "crowd: out of memory");
	(void)snprintf(o->name, sizeof o->name, "%s", ctx->name);
	e->priv = o;
	atomic_fetch_add(&builds, 1);
	return 0;
}

static void crowd_free(struct engine *e)
{
	free(e->priv);
	atomic_fetch_add(&frees, 1);
}

static int crowd_validate(struct engine *e, struct reconcile_ctx *ctx, struct error *err)
{
	(void)err;
	enter(ctx);
	assert_string_equal(((struct own *)e->priv)->name, ctx->name);
	return 0;
}

static int crowd_make_objects(struct engine *e, struct reconcile_ctx *ctx, int parts, json_t **ret, struct error *err)
{
	static const char *const names[] = {"rpc"};
	int port;
	(void)e, (void)parts;
	int rc = engine_ports(ctx, names, 1, &port, err);
	*ret = rc == 0 ? json_array() : NULL;
	return rc;
}

static int run_call(const struct engine_question *q, const json_t *args, json_t **ret, struct error *err)
{
	(void)err;
	assert_string_equal(json_string_value(args), q->name);
	atomic_fetch_add(&calls_made, 1);
	*ret = json_string(q->name);
	return 0;
}

static int crowd_should_check_ufs(struct engine *e, struct reconcile_ctx *ctx, struct error *err)
{
	(void)e, (void)ctx, (void)err;
	return 1;
}

static int crowd_prepare_ufs(struct engine *e, struct reconcile_ctx *ctx, struct error *err)
{
	(void)e;
	JSON_AUTO args = json_string(ctx->name);
	JSON_AUTO got = NULL;
	int rc = engine_call(
		ctx, &(struct engine_call){.what = "mount", .run = run_call, .args = args, .timeout_ns = NSEC_PER_SEC},
		&got, err);
	if (rc > 0)
		assert_string_equal(json_string_value(got), ctx->name);
	return rc;
}

static int ready(struct engine *e, struct reconcile_ctx *ctx, struct error *err)
{
	(void)e, (void)err;
	enter(ctx);
	return 1;
}

static int crowd_check_workers_ready(struct engine *e, struct reconcile_ctx *ctx, struct error *err)
{
	return ready(e, ctx, err);
}

static int crowd_check_runtime_healthy(struct engine *e, struct reconcile_ctx *ctx, struct error *err)
{
	return ready(e, ctx, err);
}

static int crowd_create_volume(struct engine *e, struct reconcile_ctx *ctx, struct error *err)
{
	return ready(e, ctx, err) > 0 ? 0 : -EIO;
}

static int crowd_figures_targets(struct engine *e, struct reconcile_ctx *ctx, json_t **ret, struct error *err)
{
	(void)e;
	*ret = json_pack("[s]", ctx->name);
	return *ret != NULL ? 0 : error_set(err, -ENOMEM, "crowd: out of memory");
}

static int crowd_query_figures(const struct engine_question *q, struct engine_figures *ret, struct error *err)
{
	(void)err;
	assert_string_equal(q->target, q->name);
	*ret = (struct engine_figures){.ready = true,
				       .ufs_bytes = index_of(q->name),
				       .ufs_files = 1,
				       .ufs_complete = true,
				       .capacity_bytes = 1,
				       .cached_bytes = 0,
				       .hit_bytes = -1,
				       .miss_bytes = -1,
				       .local_hit_bytes = -1};
	return 0;
}

ENGINE_DEFAULT(crowd, parts);
ENGINE_DEFAULT(crowd, should_setup_master);
ENGINE_DEFAULT(crowd, setup_master);
ENGINE_DEFAULT(crowd, check_master_ready);
ENGINE_DEFAULT(crowd, should_setup_workers);
ENGINE_DEFAULT(crowd, setup_workers);
ENGINE_DEFAULT(crowd, assign_nodes_to_cache);
ENGINE_DEFAULT(crowd, should_update_ufs);
ENGINE_DEFAULT(crowd, update_on_ufs_change);
ENGINE_DEFAULT(crowd, should_sync_dataset_mounts);
ENGINE_DEFAULT(crowd, sync_dataset_mounts);
ENGINE_DEFAULT(crowd, sync_metadata);
ENGINE_DEFAULT(crowd, check_runtime_ready);
ENGINE_DEFAULT(crowd, check_and_update_runtime_status);
ENGINE_DEFAULT(crowd, update_cache_of_dataset);
ENGINE_DEFAULT(crowd, update_dataset_status);
ENGINE_DEFAULT(crowd, bind_to_dataset);
ENGINE_DEFAULT(crowd, sync_replicas);
ENGINE_DEFAULT(crowd, sync_runtime);
ENGINE_DEFAULT(crowd, sync_schedule_info_to_cache_nodes);
ENGINE_DEFAULT(crowd, delete_volume);
ENGINE_DEFAULT(crowd, shutdown);
ENGINE_DEFAULT(crowd, data_operation_spec);
ENGINE_DEFAULT(crowd, used_storage_bytes);
ENGINE_DEFAULT(crowd, free_storage_bytes);
ENGINE_DEFAULT(crowd, total_storage_bytes);
ENGINE_DEFAULT(crowd, total_file_nums);

static const struct engine_traits crowd_traits = {.app = "crowd",
						  .worker_suffix = "-worker",
						  .fuse_suffix = "-fuse",
						  .worker_role = "crowd-worker",
						  .fuse_role = "crowd-fuse",
						  .fuse_dir = "crowd-fuse",
						  .mount_type = "fuse.crowd"};
static ENGINE_REGISTER(crowd);
static const struct engine_factory crowd_engines[] = {ENGINE_FACTORY(crowd), {.name = NULL}};

RUNTIME_STEP_DEFAULT(crowd, get_or_create_engine);
RUNTIME_STEP_DEFAULT(crowd, remove_engine);
RUNTIME_STEP_DEFAULT(crowd, reconcile_runtime);
RUNTIME_STEP_DEFAULT(crowd, reconcile_deletion);
RUNTIME_STEP_DEFAULT(crowd, add_owner_and_finalizer);
RUNTIME_STEP_DEFAULT(crowd, get_runtime_status);
static const struct runtime_steps crowd_steps = RUNTIME_CONTROLLER_STEPS(crowd);
static const struct kube_resource *const crowd_kinds[] = {NULL};

static const struct runtime_controller crowd_controller = {.resource = &CROWD,
							   .name = "CrowdRuntime",
							   .finalizer = "crowd-runtime-controller-finalizer",
							   .category = "Accelerate",
							   .runtime_type = "crowd",
							   .default_engine = "crowd",
							   .engines = crowd_engines,
							   .kinds = crowd_kinds,
							   .steps = &crowd_steps};

/* --- the API, one at a time --------------------------------------------------------------------------------------------------------- */

static json_t *locked_get(void *ctx, const struct kube_resource *r, const char *ns, const char *name)
{
	pthread_mutex_lock(&api_lock);
	json_t *obj = fake_get(ctx, r, ns, name);
	pthread_mutex_unlock(&api_lock);
	return obj;
}

static json_t *locked_list(void *ctx, const struct kube_resource *r, const char *ns, const char *label,
			   const char *value)
{
	pthread_mutex_lock(&api_lock);
	json_t *list = fake_list(ctx, r, ns, label, value);
	pthread_mutex_unlock(&api_lock);
	return list;
}

static int locked_patch(void *ctx, const struct kube_resource *r, const char *ns, const char *name, const char *sub,
			const json_t *patch, struct error *err)
{
	pthread_mutex_lock(&api_lock);
	int rc = fake_patch(ctx, r, ns, name, sub, patch, err);
	pthread_mutex_unlock(&api_lock);
	return rc;
}

static int locked_remove(void *ctx, const struct kube_resource *r, const char *ns, const char *name, struct error *err)
{
	pthread_mutex_lock(&api_lock);
	int rc = fake_remove(ctx, r, ns, name, err);
	pthread_mutex_unlock(&api_lock);
	return rc;
}

static void locked_event(void *ctx, const json_t *obj, const char *type, const char *reason, const char *message)
{
	pthread_mutex_lock(&api_lock);
	fake_event(ctx, obj, type, reason, message);
	pthread_mutex_unlock(&api_lock);
}

static void put(const struct kube_resource *r, int i)
{
	char text[256];
	(void)snprintf(text, sizeof text,
		       "{'kind':'%s','metadata':{'name':'d%d','namespace':'n'},'spec':{'replicas':1}}", r->kind, i);
	fake_put(api, r, text);
}

/* --- the workers ------------------------------------------------------------------------------------------------------------------ */

struct crowd {
	struct reconciler *r;
	struct workqueue *queue;
	atomic_int done;
};

static bool is_bound(const char *name)
{
	JSON_AUTO d = locked_get(api, &dataset_kind.resource, "n", name);
	return strcmp(json_str(d, "status.phase", ""), "Bound") == 0 &&
	       json_int(d, "metadata.generation", 0) >= ROUNDS && *json_str(d, "status.fileNum", "") == '1';
}

/* A change of the spec: the engine is built anew while others go on. */
static void touch(const char *name)
{
	pthread_mutex_lock(&api_lock);
	json_t *d = fake_live(api, &dataset_kind.resource, "n", name);
	if (json_int(d, "metadata.generation", 0) < ROUNDS)
		fake_set(api, d, "spec.owner", json_integer(json_int(d, "metadata.generation", 0)));
	pthread_mutex_unlock(&api_lock);
}

static void *worker(void *arg)
{
	struct crowd *c = arg;
	char *key = NULL;
	while (workqueue_get(c->queue, &key) == 0) {
		struct error err = {0};
		struct reconcile_result res = {0};
		const char *name = key + 2; /* "n/..." */
		int rc = reconciler_reconcile(c->r, "n", name, &res, &err);
		if (rc < 0 && rc != -ESTALE)
			fail_msg("%s: %s", name, err.msg);
		touch(name);
		if (!is_bound(name))
			assert_int_equal(workqueue_add(c->queue, key), 0);
		else if (atomic_fetch_add(&c->done, 1) + 1 == DATASETS)
			workqueue_shutdown(c->queue);
		workqueue_done(c->queue, key);
		free(key);
	}
	return NULL;
}

static void test_crowd(void **state)
{
	(void)state;
	struct engine_limits limits = {.mount_root = "/runtime-mnt", .port_min = 20000, .port_max = 20000 + DATASETS};
	struct error err = {0};
	struct crowd c = {.queue = workqueue_new(0, 0)};
	api = fake_new();
	api->ops.get = locked_get;
	api->ops.list = locked_list;
	api->ops.patch = locked_patch;
	api->ops.remove = locked_remove;
	api->ops.event = locked_event;
	fake_put(api, &KUBE_NODE, "{'kind':'Node','metadata':{'name':'n1'}}");
	assert_int_equal(reconciler_new(&(struct reconciler_options){.runtime = &crowd_controller,
								     .api = &api->ops,
								     .limits = &limits,
								     .ask_figures = true},
					&c.r, &err),
			 0);
	for (int i = 0; i < DATASETS; i++) {
		char key[32];
		put(&dataset_kind.resource, i);
		put(&CROWD, i);
		(void)snprintf(key, sizeof key, "n/d%d", i);
		assert_int_equal(workqueue_add(c.queue, key), 0);
	}
	pthread_t t[WORKERS];
	for (int i = 0; i < WORKERS; i++)
		assert_int_equal(pthread_create(&t[i], NULL, worker, &c), 0);
	for (int i = 0; i < WORKERS; i++)
		assert_int_equal(pthread_join(t[i], NULL), 0);
	reconciler_free(c.r);
	workqueue_free(c.queue);

	bool taken[DATASETS] = {false};
	for (int i = 0; i < DATASETS; i++) {
		char name[16];
		int port = 0;
		(void)snprintf(name, sizeof name, "d%d", i);
		const char *ports = fake_condition(fake_live(api, &CROWD, "n", name), "PortsAllocated", "True");
		assert_int_equal(sscanf(ports, "rpc=%d", &port), 1);
		assert_in_range(port, 20000, 20000 + DATASETS - 1);
		assert_false(taken[port - 20000]); /* nobody has another's */
		taken[port - 20000] = true;
		const json_t *d = fake_live(api, &dataset_kind.resource, "n", name);
		char total[32];
		(void)snprintf(total, sizeof total, "%d.00B", i);
		assert_string_equal(json_str(d, "status.ufsTotal", ""), total); /* nor another's figures */
	}
	assert_int_equal(atomic_load(&builds), atomic_load(&frees));
	assert_true(atomic_load(&builds) > DATASETS); /* they were built anew for new generations */
	assert_true(atomic_load(&calls_made) >= DATASETS);
	fake_free(api);
}

int main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(test_crowd)};
	return cmocka_run_group_tests_name("runtime/crowd", tests, NULL, NULL);
}
