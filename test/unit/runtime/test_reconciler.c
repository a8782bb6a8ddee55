/* The shared reconcile and the template's order of calls, with a toy engine that writes down what it is asked. */
#include "runtime/fake_api.h"

#include "api/dataset.h"
#include "api/kind.h"
#include "base/metrics.h"
#include "base/strbuf.h"
#include "runtime/reconciler.h"

static const struct kube_resource TOY = {"data.fluid.io", "v1alpha1", "ToyRuntime", "toyruntimes", true};

static struct {
	char calls[4096];
	int builds, frees;
	char block_size[16], placement[16]; /* of the specs of the last pass */
	int replicas;
	int build_rc, validate_rc, prepared, master_ready, workers_ready, healthy, shutdown_rc, update_ufs;
} toy;

static void note(const char *what)
{
	(void)snprintf(toy.calls + strlen(toy.calls), sizeof toy.calls - strlen(toy.calls), "%s ", what);
}

static int answer(const char *what, int rc, struct error *err)
{
	note(what);
	return rc < 0 ? error_set(err, rc, "toy: %s failed", what) : rc;
}

static int toy_build(struct engine *e, struct reconcile_ctx *ctx, struct error *err)
{
	(void)ctx;
	toy.builds++;
	e->priv = malloc(1);
	return toy.build_rc < 0 ? error_set(err, toy.build_rc, "spec.x: toy cannot be built") : 0;
}

static void toy_free(struct engine *e)
{
	toy.frees++;
	free(e->priv);
}

#define SCRIPTED(method, rc)                                                                                           \
	static int toy_##method(struct engine *e, struct reconcile_ctx *ctx, struct error *err)                        \
	{                                                                                                              \
		(void)e, (void)ctx;                                                                                    \
		return answer(#method, rc, err);                                                                       \
	}

SCRIPTED(should_setup_master, 1)
SCRIPTED(setup_master, 0)
SCRIPTED(check_master_ready, toy.master_ready)
SCRIPTED(should_check_ufs, 1)
SCRIPTED(prepare_ufs, toy.prepared)
SCRIPTED(should_setup_workers, 1)
SCRIPTED(setup_workers, 0)
SCRIPTED(check_workers_ready, toy.workers_ready)
SCRIPTED(check_and_update_runtime_status, toy.workers_ready)
SCRIPTED(check_runtime_healthy, toy.healthy)
SCRIPTED(sync_metadata, 0)
SCRIPTED(sync_replicas, 0)
SCRIPTED(sync_runtime, 0)
SCRIPTED(update_cache_of_dataset, 0)
SCRIPTED(sync_schedule_info_to_cache_nodes, 0)

static int toy_validate(struct engine *e, struct reconcile_ctx *ctx, struct error *err)
{
	(void)e;
	(void)snprintf(toy.block_size, sizeof toy.block_size, "%s", json_str(ctx->runtime, "spec.blockSize", ""));
	(void)snprintf(toy.placement, sizeof toy.placement, "%s", json_str(ctx->dataset, "spec.placement", ""));
	toy.replicas = (int)json_int(ctx->runtime, "spec.replicas", -1);
	return answer("validate", toy.validate_rc, err);
}

SCRIPTED(create_volume, 0)
SCRIPTED(delete_volume, 1)
SCRIPTED(shutdown, toy.shutdown_rc)

static int toy_assign_nodes_to_cache(struct engine *e, struct reconcile_ctx *ctx, int desired, struct error *err)
{
	(void)e, (void)ctx, (void)desired;
	return answer("assign_nodes_to_cache", 1, err);
}

static int toy_update_on_ufs_change(struct engine *e, struct reconcile_ctx *ctx, const struct ufs_change *c,
				    struct error *err)
{
	(void)e, (void)ctx;
	assert_true(json_array_size(c->added) + json_array_size(c->removed) > 0);
	return answer("update_on_ufs_change", toy.update_ufs, err);
}

static int toy_figures_targets(struct engine *e, struct reconcile_ctx *ctx, json_t **ret, struct error *err)
{
	(void)e, (void)ctx, (void)err;
	*ret = json_array();
	return 0;
}

static int toy_query_figures(const struct engine_question *q, struct engine_figures *ret, struct error *err)
{
	(void)q, (void)ret;
	return error_set(err, -ENODATA, "toys have no figures");
}

static int toy_make_objects(struct engine *e, struct reconcile_ctx *ctx, int parts, json_t **ret, struct error *err)
{
	(void)e, (void)ctx, (void)parts, (void)ret;
	return error_set(err, -ENOSYS, "toys send their objects themselves");
}

ENGINE_DEFAULT(toy, parts);
ENGINE_DEFAULT(toy, should_update_ufs);
ENGINE_DEFAULT(toy, should_sync_dataset_mounts);
ENGINE_DEFAULT(toy, sync_dataset_mounts);
ENGINE_DEFAULT(toy, check_runtime_ready);
ENGINE_DEFAULT(toy, update_dataset_status);
ENGINE_DEFAULT(toy, bind_to_dataset);
ENGINE_DEFAULT(toy, data_operation_spec);
ENGINE_DEFAULT(toy, used_storage_bytes);
ENGINE_DEFAULT(toy, free_storage_bytes);
ENGINE_DEFAULT(toy, total_storage_bytes);
ENGINE_DEFAULT(toy, total_file_nums);

static const struct engine_traits toy_traits = {.app = "toy",
						.master_suffix = "-master",
						.worker_suffix = "-worker",
						.fuse_suffix = "-fuse",
						.master_role = "toy-master",
						.worker_role = "toy-worker",
						.fuse_role = "toy-fuse",
						.fuse_dir = "toy-fuse",
						.mount_type = "fuse.toy"};
static ENGINE_REGISTER(toy);
static const struct engine_factory toy_engines[] = {ENGINE_FACTORY(toy), {.name = NULL}};

RUNTIME_STEP_DEFAULT(toy, get_or_create_engine);
RUNTIME_STEP_DEFAULT(toy, remove_engine);
RUNTIME_STEP_DEFAULT(toy, reconcile_runtime);
RUNTIME_STEP_DEFAULT(toy, reconcile_deletion);
RUNTIME_STEP_DEFAULT(toy, add_owner_and_finalizer);
RUNTIME_STEP_DEFAULT(toy, get_runtime_status);
static const struct runtime_steps toy_steps = RUNTIME_CONTROLLER_STEPS(toy);

static const struct kube_resource *const toy_kinds[] = {NULL};
static const struct runtime_controller toy_controller = {.resource = &TOY,
							 .name = "ToyRuntime",
							 .finalizer = "toy-runtime-controller-finalizer",
							 .category = "Accelerate",
							 .runtime_type = "toy",
							 .default_engine = "toy",
							 .engines = toy_engines,
							 .kinds = toy_kinds,
							 .steps = &toy_steps};

struct fixture {
	struct fake_api *api;
	struct engine_limits limits;
	struct reconciler *r;
};

static int setup(void **state)
{
	memset(&toy, 0, sizeof toy);
	toy.prepared = toy.master_ready = toy.workers_ready = toy.healthy = toy.shutdown_rc = 1;
	struct fixture *x = calloc(1, sizeof *x);
	assert_non_null(x);
	x->api = fake_new();
	x->limits = (struct engine_limits){.mount_root = "/runtime-mnt"};
	struct error err = {0};
	/* The toy's spec is as the kind's that has fields of both sorts. */
	assert_int_equal(reconciler_new(&(struct reconciler_options){.runtime = &toy_controller,
								     .kind = &reservoir_runtime_kind,
								     .api = &x->api->ops,
								     .limits = &x->limits},
					&x->r, &err),
			 0);
	fake_put(x->api, &dataset_kind.resource,
		 "{'kind':'Dataset','metadata':{'name':'demo','namespace':'default'},'spec':{'mounts':[{'mountPoint':'"
		 "https://example.org/'}]}}");
	fake_put(x->api, &TOY,
		 "{'kind':'ToyRuntime','metadata':{'name':'demo','namespace':'default'},'spec':{'replicas':1}}");
	*state = x;
	return 0;
}

static int teardown(void **state)
{
	struct fixture *x = *state;
	reconciler_free(x->r);
	assert_int_equal(toy.builds, toy.frees);
	fake_free(x->api);
	free(x);
	return 0;
}

static json_t *dataset(const struct fixture *x)
{
	return fake_live(x->api, &dataset_kind.resource, "default", "demo");
}

static json_t *runtime(const struct fixture *x)
{
	return fake_live(x->api, &TOY, "default", "demo");
}

/* One pass; what was called is in toy.calls. */
static int pass(struct fixture *x, struct error *err)
{
	struct reconcile_result res = {0};
	toy.calls[0] = '\0';
	return reconciler_reconcile(x->r, "default", "demo", &res, err);
}

static void passes(struct fixture *x, int n)
{
	struct error err = {0};
	while (n-- > 0)
		assert_int_equal(pass(x, &err), 0);
}

/* Owner and finalizer, then the Dataset's label, then the first real pass. */
static void prepare(struct fixture *x)
{
	passes(x, 2);
	assert_string_equal(toy.calls, "");
}

static void test_order_of_setup(void **state)
{
	struct fixture *x = *state;
	prepare(x);
	passes(x, 1);
	assert_string_equal(
		toy.calls,
		"validate should_setup_master setup_master check_master_ready should_check_ufs prepare_ufs "
		"should_setup_workers "
		"assign_nodes_to_cache setup_workers check_workers_ready check_and_update_runtime_status "
		"create_volume "
		"sync_metadata sync_replicas sync_runtime check_runtime_healthy check_and_update_runtime_status "
		"update_cache_of_dataset sync_schedule_info_to_cache_nodes ");
	assert_string_equal(json_str(dataset(x), "status.phase", ""), "Bound");
	assert_int_equal(fake_count_writes(x->api, "datasets/status"), 1); /* one status patch a pass */
	passes(x, 1);
	assert_string_equal(
		toy.calls,
		"validate create_volume sync_metadata sync_replicas sync_runtime check_runtime_healthy "
		"check_and_update_runtime_status update_cache_of_dataset sync_schedule_info_to_cache_nodes ");
	assert_int_equal(fake_count_writes(x->api, "datasets/status"), 1);
}

static void test_setup_waits(void **state)
{
	struct fixture *x = *state;
	prepare(x);
	toy.master_ready = 0;
	passes(x, 1);
	assert_string_equal(toy.calls, "validate should_setup_master setup_master check_master_ready ");
	toy.master_ready = 1;
	toy.workers_ready = 0;
	passes(x, 1);
	assert_null(strstr(toy.calls, "create_volume"));
	assert_non_null(strstr(toy.calls, "check_and_update_runtime_status sync_schedule_info_to_cache_nodes"));
	assert_string_equal(json_str(dataset(x), "status.phase", ""), "");
	assert_int_equal(json_array_size(x->api->events), 0); /* waiting is no error */
}

/* Whether the metrics of the process hold @line. */
static bool measured(const char *line)
{
	struct strbuf b = STRBUF_INIT(1 << 20);
	CLEANUP(free_p) char *text = NULL;
	metrics_write(metrics_root(), &b);
	assert_int_equal(strbuf_take(&b, &text), 0);
	return strstr(text, line) != NULL;
}

static void test_setup_error(void **state)
{
	struct fixture *x = *state;
	struct error err = {0};
	prepare(x);
	toy.master_ready = -EIO;
	assert_int_equal(pass(x, &err), -EIO);
	assert_string_equal(fake_condition(dataset(x), "NotReady", "True"), "toy: check_master_ready failed");
	assert_true(fake_has_event(x->api, "Failed to setup ddc engine due to error toy: check_master_ready failed"));
	assert_true(measured("runtime_setup_error_total{runtime_type=\"toyruntime\",runtime=\"default/demo\"} 1\n"));
	toy.master_ready = 1;
	passes(x, 1);
	assert_string_equal(fake_condition(dataset(x), "NotReady", "True"), "");
	assert_string_equal(fake_condition(dataset(x), "Ready", "True"), "The ddc runtime is ready.");
}

static void test_failed_and_back(void **state)
{
	struct fixture *x = *state;
	struct error err = {0};
	prepare(x);
	passes(x, 1);
	toy.healthy = 0; /* merely not ready: the phase stays */
	passes(x, 1);
	assert_string_equal(json_str(dataset(x), "status.phase", ""), "Bound");
	toy.healthy = -ENOENT;
	assert_int_equal(pass(x, &err), -ENOENT);
	assert_string_equal(json_str(dataset(x), "status.phase", ""), "Failed");
	assert_string_equal(fake_condition(dataset(x), "Ready", "False"), "The ddc runtime is not ready.");
	assert_true(measured(
		"runtime_sync_healthcheck_error_total{runtime_type=\"toyruntime\",runtime=\"default/demo\"} 1\n"));
	toy.healthy = 1;
	passes(x, 1);
	assert_string_equal(json_str(dataset(x), "status.phase", ""), "Bound");
	assert_string_equal(fake_condition(dataset(x), "Ready", "True"), "The ddc runtime is ready.");
}

static void test_change_of_mounts(void **state)
{
	struct fixture *x = *state;
	prepare(x);
	passes(x, 1);
	fake_set(x->api, dataset(x), "spec.mounts[0].mountPoint", json_string("https://example.org/new/"));
	passes(x, 2);
	assert_non_null(strstr(toy.calls, "update_on_ufs_change"));
	assert_string_equal(json_str(dataset(x), "status.phase", ""), "Updating");
	toy.update_ufs = 1;
	passes(x, 1);
	assert_string_equal(json_str(dataset(x), "status.phase", ""), "Bound");
	assert_string_equal(json_str(dataset(x), "status.mounts[0].mountPoint", ""), "https://example.org/new/");
	assert_string_equal(fake_condition(dataset(x), "Updating", "True"), "");
	assert_string_equal(fake_condition(dataset(x), "Ready", "True"), "The ddc runtime is ready.");
	passes(x, 1);
	assert_null(strstr(toy.calls, "update_on_ufs_change"));
}

static void test_data_migration_is_left_alone(void **state)
{
	struct fixture *x = *state;
	prepare(x);
	passes(x, 1);
	fake_set(x->api, dataset(x), "status.phase", json_string("DataMigrating"));
	passes(x, 2);
	assert_string_equal(json_str(dataset(x), "status.phase", ""), "DataMigrating");
}

static void test_engine_is_rebuilt_for_a_new_generation(void **state)
{
	struct fixture *x = *state;
	prepare(x);
	passes(x, 3);
	assert_int_equal(toy.builds, 1);
	fake_set(x->api, runtime(x), "spec.replicas", json_integer(2));
	passes(x, 2);
	assert_int_equal(toy.builds, 2);
	assert_int_equal(toy.frees, 1);
}

static void test_build_error(void **state)
{
	struct fixture *x = *state;
	struct error err = {0};
	toy.build_rc = -EIO;
	assert_int_equal(pass(x, &err), -EIO);
	assert_true(fake_has_event(x->api, "Process Runtime error build engine 'toy': spec.x: toy cannot be built"));
	assert_string_equal(fake_condition(dataset(x), "NotReady", "True"),
			    "build engine 'toy': spec.x: toy cannot be built");
	toy.build_rc = 0;
	prepare(x);
	passes(x, 1);
	assert_string_equal(json_str(dataset(x), "status.phase", ""), "Bound");
}

static void test_validation(void **state)
{
	struct fixture *x = *state;
	prepare(x);
	toy.validate_rc = -EINVAL;
	passes(x, 2);
	assert_string_equal(toy.calls, "validate ");
	assert_string_equal(fake_condition(runtime(x), "SpecValid", "False"), "toy: validate failed");
	toy.validate_rc = 0;
	passes(x, 1);
	assert_string_equal(fake_condition(runtime(x), "SpecValid", "False"), "");
}

/* The server does not know what may not change: the value that was there goes on, and who changed it is told, once. */
static void test_immutable_field(void **state)
{
	struct fixture *x = *state;
	fake_set(x->api, runtime(x), "spec.blockSize", json_string("4Mi"));
	toy.validate_rc = -EINVAL; /* nothing acts on this one, so it is not what goes on */
	prepare(x);
	passes(x, 2);
	toy.validate_rc = 0;
	fake_set(x->api, runtime(x), "spec.blockSize", json_string("8Mi"));
	fake_set(x->api, dataset(x), "spec.placement", json_string("Shared"));
	passes(x, 2);
	assert_string_equal(toy.block_size, "8Mi");
	assert_string_equal(json_str(dataset(x), "status.phase", ""), "Bound");

	fake_set(x->api, runtime(x), "spec.blockSize", json_string("16Mi"));
	fake_set(x->api, runtime(x), "spec.runAs", json_pack("{s:i}", "uid", 1));
	fake_set(x->api, runtime(x), "spec.replicas", json_integer(3));
	fake_set(x->api, dataset(x), "spec.placement", json_string("Exclusive"));
	static const char *const why = "spec.blockSize, spec.runAs: may not change after creation; what it was goes on";
	for (int i = 0; i < 3; i++) {
		passes(x, 1);
		assert_string_equal(toy.block_size, "8Mi");
		assert_string_equal(toy.placement, "Shared");
		assert_int_equal(toy.replicas, 3); /* what may change does */
		if (strcmp(fake_condition(runtime(x), "SpecValid", "False"), why) != 0)
			fail_msg("%s", fake_condition(runtime(x), "SpecValid", "False"));
	}
	assert_string_equal(fake_condition(dataset(x), "SpecValid", "False"),
			    "spec.placement: may not change after creation; what it was goes on");
	assert_true(fake_has_event(x->api, why));
	assert_int_equal(json_array_size(x->api->events), 2 + 2); /* of the refused one two */
	assert_string_equal(json_str(dataset(x), "status.phase", ""), "Bound");
	const size_t writes = json_array_size(x->api->writes);
	passes(x, 2);
	assert_int_equal(json_array_size(x->api->writes), writes); /* it comes to rest */

	/* A controller that starts anew knows it still. */
	reconciler_free(x->r);
	struct error err = {0};
	assert_int_equal(reconciler_new(&(struct reconciler_options){.runtime = &toy_controller,
								     .kind = &reservoir_runtime_kind,
								     .api = &x->api->ops,
								     .limits = &x->limits},
					&x->r, &err),
			 0);
	passes(x, 1);
	assert_string_equal(toy.block_size, "8Mi");

	fake_set(x->api, runtime(x), "spec.blockSize", json_string("8192Ki"));
	json_drop(json_object_get(runtime(x), "spec"), "runAs");
	fake_set(x->api, dataset(x), "spec.placement", json_string("Shared"));
	passes(x, 1);
	assert_string_equal(toy.block_size, "8192Ki"); /* the same size in other words */
	assert_string_equal(fake_condition(runtime(x), "SpecValid", "False"), "");
	assert_string_equal(fake_condition(dataset(x), "SpecValid", "False"), "");
}

/* What is remembered is not understood, as after an upgrade that made another field immutable, or by somebody's hand: it begins anew. */
static void test_immutable_field_begins_anew(void **state)
{
	static const char *const remembered[] = {"", "x", "[]", "{\"fields\":\"0\",\"spec\":{}}"};
	struct fixture *x = *state;
	fake_set(x->api, runtime(x), "spec.blockSize", json_string("4Mi"));
	prepare(x);
	passes(x, 1);
	for (size_t i = 0; i < sizeof remembered / sizeof *remembered; i++) {
		json_t *list = json_at(runtime(x), "status.conditions"), *c;
		size_t k;
		bool found = false;
		json_array_foreach (list, k, c)
			if (strcmp(json_str(c, "type", ""), "SpecAccepted") == 0) {
				assert_int_equal(json_put_str(c, "message", remembered[i]), 0);
				found = true;
			}
		assert_true(found);
		char size[16];
		(void)snprintf(size, sizeof size, "%zuMi", 16 + i);
		fake_set(x->api, runtime(x), "spec.blockSize", json_string(size));
		passes(x, 1);
		assert_string_equal(toy.block_size, size);
		fake_set(x->api, runtime(x), "spec.blockSize", json_string("4Mi"));
		passes(x, 1);
		assert_string_equal(toy.block_size, size);
	}
}

static void test_deletion(void **state)
{
	struct fixture *x = *state;
	struct error err = {0};
	prepare(x);
	passes(x, 1);
	toy.shutdown_rc = 0;
	assert_int_equal(x->api->ops.remove(x->api, &TOY, "default", "demo", &err), 0);
	passes(x, 1);
	assert_string_equal(toy.calls, "delete_volume shutdown ");
	assert_non_null(runtime(x));
	toy.shutdown_rc = 1;
	passes(x, 1);
	assert_null(runtime(x));
	assert_string_equal(json_str(dataset(x), "status.phase", ""), "NotBound");
	passes(x, 1); /* the runtime is not there: done */
	assert_string_equal(toy.calls, "");
	assert_false(measured("runtime=\"default/demo\"")); /* nor are its series */
}

static void test_bad_name(void **state)
{
	struct fixture *x = *state;
	struct error err = {0};
	struct reconcile_result res = {0};
	fake_put(x->api, &TOY, "{'kind':'ToyRuntime','metadata':{'name':'1x','namespace':'default'},'spec':{}}");
	assert_int_equal(reconciler_reconcile(x->r, "default", "1x", &res, &err), 0);
	assert_true(fake_has_event(x->api, "the name must be a DNS-1035 label"));
	assert_int_equal(toy.builds, 0);
}

int main(void)
{
#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
	const struct CMUnitTest tests[] = {T(test_order_of_setup),
					   T(test_setup_waits),
					   T(test_setup_error),
					   T(test_failed_and_back),
					   T(test_change_of_mounts),
					   T(test_data_migration_is_left_alone),
					   T(test_engine_is_rebuilt_for_a_new_generation),
					   T(test_build_error),
					   T(test_validation),
					   T(test_immutable_field),
					   T(test_immutable_field_begins_anew),
					   T(test_deletion),
					   T(test_bad_name)};
	return cmocka_run_group_tests_name("runtime/reconciler", tests, NULL, NULL);
}
