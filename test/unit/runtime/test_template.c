/*
 * An engine with several masters, ports of its own, sources that are mounted by commands in a pod, and a part that may be left out: all by
 * the template's defaults, against a scripted API. What a cache system like Alluxio needs of the framework is here.
 */
#include "runtime/fake_api.h"

#include <pthread.h>

#include "api/dataset.h"
#include "base/clock.h"
#include "runtime/mounts.h"
#include "runtime/objects.h"
#include "runtime/reconciler.h"

static const struct kube_resource HERD = {"data.fluid.io", "v1alpha1", "HerdRuntime", "herdruntimes", true};

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER; /* guards the four below, which pool threads use */
static char mounted[512];
static int execs;
static bool exec_fails, exec_hangs;

static int herd_exec(void *ctx, const struct engine_question *q, const struct engine_exec *x, struct engine_output *ret,
		     struct error *err)
{
	(void)ctx;
	pthread_mutex_lock(&lock);
	execs++;
	while (exec_hangs && !atomic_load(q->cancel)) {
		pthread_mutex_unlock(&lock);
		(void)sched_yield();
		pthread_mutex_lock(&lock);
	}
	assert_string_equal(x->container, "herd-master");
	bool bad = exec_fails;
	for (size_t i = 0; x->argv[i] != NULL && !bad; i++)
		(void)snprintf(mounted + strlen(mounted), sizeof mounted - strlen(mounted), "%s ", x->argv[i]);
	pthread_mutex_unlock(&lock);
	if (bad)
		return error_set(err, -EIO, "exec in pod %s: it is dead", x->pod);
	*ret = (struct engine_output){.out = strdup(""), .err = strdup("")};
	return 0;
}

/* Mount each of @args by a command in the first master. */
static int mount_all(const struct engine_question *q, const json_t *args, json_t **ret, struct error *err)
{
	(void)ret;
	size_t i;
	json_t *m;
	json_array_foreach (args, i, m) {
		struct engine_output out = {0};
		const char *const argv[] = {"mount", json_str(m, "path", ""), json_str(m, "mountPoint", ""), NULL};
		int rc = q->api->exec(
			q->api->ctx, q,
			&(struct engine_exec){
				.ns = q->ns, .pod = "demo-master-0", .container = "herd-master", .argv = argv},
			&out, err);
		engine_output_clear(&out);
		if (rc < 0)
			return rc;
	}
	return 0;
}

static int herd_build(struct engine *e, struct reconcile_ctx *ctx, struct error *err)
{
	(void)e;
	return json_bool(ctx->runtime, "spec.broken", false)
		       ? error_set(err, -EINVAL, "spec.broken: true is not allowed; leave it out")
		       : 0;
}

static void herd_free(struct engine *e)
{
	(void)e;
}

static int herd_validate(struct engine *e, struct reconcile_ctx *ctx, struct error *err)
{
	(void)e;
	JSON_AUTO mounts = NULL;
	return mounts_resolve(ctx, &mounts, err);
}

static int herd_parts(struct engine *e, struct reconcile_ctx *ctx, struct error *err)
{
	(void)e, (void)err;
	int parts = ENGINE_MASTER | ENGINE_FUSE;
	return json_bool(ctx->runtime, "spec.worker.disabled", false) ? parts : parts | ENGINE_WORKERS;
}

static int add(json_t *list, struct reconcile_ctx *ctx, const struct engine_traits *t, const struct kube_resource *r,
	       const char *suffix, const char *role, json_t *spec)
{
	char name[64], version[128];
	(void)snprintf(name, sizeof name, "%s%s", ctx->name, suffix);
	json_t *obj =
		json_pack("{s:s,s:s,s:o}", "apiVersion", kube_api_version(r, version), "kind", r->kind, "spec", spec);
	assert_non_null(obj);
	assert_int_equal(object_identify(obj, ctx, t, name, role), 0);
	return json_array_append_new(list, obj);
}

static int herd_make_objects(struct engine *e, struct reconcile_ctx *ctx, int parts, json_t **ret, struct error *err)
{
	static const char *const names[] = {"rpc", "web"};
	int port[2];
	JSON_AUTO list = json_array();
	if (strcmp(json_str(ctx->runtime, "spec.image", ""), "bad") == 0)
		return error_set(err, -EINVAL, "spec.image: 'bad' is not allowed; name another");
	int rc = engine_ports(ctx, names, 2, port, err);
	if (rc < 0)
		return rc;
	const struct engine_traits *t = e->ops->traits;
	if (parts & ENGINE_MASTER) {
		int64_t n = json_int(ctx->runtime, "spec.master.replicas", 1);
		for (int64_t i = 0; i < n; i++) {
			char suffix[32];
			(void)snprintf(suffix, sizeof suffix, "-master-%d", (int)i);
			add(list, ctx, t, &KUBE_SERVICE, suffix, "herd-master", json_object());
		}
		add(list, ctx, t, &KUBE_STATEFULSET, "-master", "herd-master",
		    json_pack("{s:I,s:{s:{s:[{s:s,s:[{s:i},{s:i}]}]}}}", "replicas", (json_int_t)n, "template", "spec",
			      "containers", "name", "herd-master", "ports", "containerPort", port[0], "containerPort",
			      port[1]));
	}
	if (parts & ENGINE_WORKERS)
		add(list, ctx, t, &KUBE_STATEFULSET, "-worker", "herd-worker",
		    json_pack("{s:I,s:{}}", "replicas", (json_int_t)json_int(ctx->runtime, "spec.replicas", 1),
			      "template"));
	if (parts & ENGINE_FUSE)
		add(list, ctx, t, &KUBE_DAEMONSET, "-fuse", "herd-fuse",
		    json_pack("{s:{s:{s:s}}}", "template", "spec", "image", json_str(ctx->runtime, "spec.image", "1")));
	*ret = TAKE(list);
	return 0;
}

static int herd_should_check_ufs(struct engine *e, struct reconcile_ctx *ctx, struct error *err)
{
	(void)e, (void)ctx, (void)err;
	return 1;
}

static int herd_prepare_ufs(struct engine *e, struct reconcile_ctx *ctx, struct error *err)
{
	(void)e;
	JSON_AUTO mounts = NULL;
	int rc = mounts_resolve(ctx, &mounts, err);
	return rc < 0 ? rc
		      : engine_call(ctx,
				    &(struct engine_call){.what = "mount",
							  .run = mount_all,
							  .args = mounts,
							  .timeout_ns = 10 * NSEC_PER_SEC},
				    NULL, err);
}

static int herd_update_on_ufs_change(struct engine *e, struct reconcile_ctx *ctx, const struct ufs_change *change,
				     struct error *err)
{
	(void)change;
	return herd_prepare_ufs(e, ctx, err); /* other arguments: done again */
}

static int herd_figures_targets(struct engine *e, struct reconcile_ctx *ctx, json_t **ret, struct error *err)
{
	(void)e, (void)ctx, (void)err;
	*ret = json_array();
	return 0;
}

static int herd_query_figures(const struct engine_question *q, struct engine_figures *ret, struct error *err)
{
	(void)q, (void)ret;
	return error_set(err, -ENODATA, "a herd is not asked here");
}

ENGINE_DEFAULT(herd, should_setup_master);
ENGINE_DEFAULT(herd, setup_master);
ENGINE_DEFAULT(herd, check_master_ready);
ENGINE_DEFAULT(herd, should_setup_workers);
ENGINE_DEFAULT(herd, setup_workers);
ENGINE_DEFAULT(herd, check_workers_ready);
ENGINE_DEFAULT(herd, assign_nodes_to_cache);
ENGINE_DEFAULT(herd, should_update_ufs);
ENGINE_DEFAULT(herd, should_sync_dataset_mounts);
ENGINE_DEFAULT(herd, sync_dataset_mounts);
ENGINE_DEFAULT(herd, sync_metadata);
ENGINE_DEFAULT(herd, check_runtime_healthy);
ENGINE_DEFAULT(herd, check_runtime_ready);
ENGINE_DEFAULT(herd, check_and_update_runtime_status);
ENGINE_DEFAULT(herd, update_cache_of_dataset);
ENGINE_DEFAULT(herd, update_dataset_status);
ENGINE_DEFAULT(herd, bind_to_dataset);
ENGINE_DEFAULT(herd, sync_replicas);
ENGINE_DEFAULT(herd, sync_runtime);
ENGINE_DEFAULT(herd, sync_schedule_info_to_cache_nodes);
ENGINE_DEFAULT(herd, create_volume);
ENGINE_DEFAULT(herd, delete_volume);
ENGINE_DEFAULT(herd, shutdown);
ENGINE_DEFAULT(herd, data_operation_spec);
ENGINE_DEFAULT(herd, used_storage_bytes);
ENGINE_DEFAULT(herd, free_storage_bytes);
ENGINE_DEFAULT(herd, total_storage_bytes);
ENGINE_DEFAULT(herd, total_file_nums);

static const struct engine_traits herd_traits = {.app = "herd",
						 .master_suffix = "-master",
						 .worker_suffix = "-worker",
						 .fuse_suffix = "-fuse",
						 .master_role = "herd-master",
						 .worker_role = "herd-worker",
						 .fuse_role = "herd-fuse",
						 .master_container = "herd-master",
						 .fuse_dir = "herd-fuse",
						 .mount_type = "fuse.herd",
						 .ask_one = true};
static ENGINE_REGISTER(herd);
static const struct engine_factory herd_engines[] = {ENGINE_FACTORY(herd), {.name = NULL}};

RUNTIME_STEP_DEFAULT(herd, get_or_create_engine);
RUNTIME_STEP_DEFAULT(herd, remove_engine);
RUNTIME_STEP_DEFAULT(herd, reconcile_runtime);
RUNTIME_STEP_DEFAULT(herd, reconcile_deletion);
RUNTIME_STEP_DEFAULT(herd, add_owner_and_finalizer);
RUNTIME_STEP_DEFAULT(herd, get_runtime_status);
static const struct runtime_steps herd_steps = RUNTIME_CONTROLLER_STEPS(herd);
static const struct kube_resource *const herd_kinds[] = {&KUBE_SERVICE, &KUBE_STATEFULSET, &KUBE_DAEMONSET, NULL};

static const struct runtime_controller herd_controller = {.resource = &HERD,
							  .name = "HerdRuntime",
							  .finalizer = "herd-runtime-controller-finalizer",
							  .category = "Accelerate",
							  .runtime_type = "herd",
							  .default_engine = "herd",
							  .engines = herd_engines,
							  .kinds = herd_kinds,
							  .steps = &herd_steps};

/* --- the fixture ---------------------------------------------------------------------------------------------------------------- */

struct fixture {
	struct fake_api *api;
	struct engine_limits limits;
	struct reconciler *r;
	int64_t again_ns; /* of the last pass */
};

static void restart_controller(struct fixture *x)
{
	struct error err = {0};
	reconciler_free(x->r);
	assert_int_equal(reconciler_new(&(struct reconciler_options){.runtime = &herd_controller,
								     .api = &x->api->ops,
								     .limits = &x->limits,
								     .ask_figures = true},
					&x->r, &err),
			 0);
}

static int setup(void **state)
{
	mounted[0] = '\0';
	execs = 0;
	exec_fails = exec_hangs = false;
	struct fixture *x = calloc(1, sizeof *x);
	assert_non_null(x);
	x->api = fake_new();
	x->api->ops.exec = herd_exec;
	x->limits = (struct engine_limits){.mount_root = "/runtime-mnt", .port_min = 20000, .port_max = 20100};
	restart_controller(x);
	fake_put(x->api, &KUBE_NODE, "{'kind':'Node','metadata':{'name':'n1'}}");
	fake_put(x->api, &dataset_kind.resource,
		 "{'kind':'Dataset','metadata':{'name':'demo','namespace':'default'},"
		 "'spec':{'mounts':[{'mountPoint':'s3://a/','name':'a'}]}}");
	fake_put(x->api, &HERD,
		 "{'kind':'HerdRuntime','metadata':{'name':'demo','namespace':'default'},"
		 "'spec':{'replicas':1,'master':{'replicas':3}}}");
	*state = x;
	return 0;
}

static int teardown(void **state)
{
	struct fixture *x = *state;
	reconciler_free(x->r);
	fake_free(x->api);
	free(x);
	return 0;
}

static json_t *live(const struct fixture *x, const struct kube_resource *r, const char *name)
{
	return fake_live(x->api, r, "default", name);
}

static json_t *dataset(const struct fixture *x)
{
	return live(x, &dataset_kind.resource, "demo");
}

static json_t *runtime(const struct fixture *x)
{
	return live(x, &HERD, "demo");
}

static int pass(struct fixture *x, struct error *err)
{
	struct reconcile_result res = {0};
	int rc = reconciler_reconcile(x->r, "default", "demo", &res, err);
	x->again_ns = res.requeue_after_ns;
	return rc;
}

/* Passes until @done, or ten seconds are over. What a pass does when it is woken for no reason is done here many times over. */
static void until(struct fixture *x, bool (*done)(const struct fixture *x), const char *what)
{
	const int64_t deadline = clock_mono_ns() + 10 * NSEC_PER_SEC;
	struct error err = {0};
	while (!done(x)) {
		(void)pass(x, &err); /* failures are for the test to look at */
		if (clock_mono_ns() > deadline)
			fail_msg("never %s: %s", what, err.msg);
	}
}

static void ready(struct fixture *x, const char *sts, int n)
{
	json_t *obj = live(x, &KUBE_STATEFULSET, sts);
	assert_non_null(obj);
	fake_set(x->api, obj, "status", json_pack("{s:i,s:i}", "replicas", n, "readyReplicas", n));
}

static bool has_masters(const struct fixture *x)
{
	return live(x, &KUBE_STATEFULSET, "demo-master") != NULL;
}

static bool has_workers(const struct fixture *x)
{
	return live(x, &KUBE_STATEFULSET, "demo-worker") != NULL;
}

static bool is_bound(const struct fixture *x)
{
	return strcmp(json_str(dataset(x), "status.phase", ""), "Bound") == 0;
}

static void bind_demo(struct fixture *x)
{
	until(x, has_masters, "had masters");
	ready(x, "demo-master", 3);
	until(x, has_workers, "had workers");
	ready(x, "demo-worker", 1);
	until(x, is_bound, "bound");
}

/* --- cases ---------------------------------------------------------------------------------------------------------------------- */

static void test_life(void **state)
{
	struct fixture *x = *state;
	until(x, has_masters, "had masters");
	struct error err = {0};
	assert_int_equal(pass(x, &err), 0);
	assert_null(live(x, &KUBE_STATEFULSET, "demo-worker")); /* not before a master is ready */
	assert_int_equal(json_int(live(x, &KUBE_STATEFULSET, "demo-master"), "spec.replicas", 0), 3);
	assert_non_null(live(x, &KUBE_SERVICE, "demo-master-2"));
	assert_string_equal(json_str(runtime(x), "status.masterPhase", ""), "NotReady");
	assert_string_equal(fake_condition(runtime(x), "MasterInitialized", "True"), "The master is initialized.");
	assert_string_equal(fake_condition(dataset(x), "NotReady", "True"), "0 of 3 masters are ready");
	assert_int_equal(execs, 0);

	ready(x, "demo-master", 1);
	until(x, has_workers, "had workers");
	assert_string_equal(mounted, "mount /a s3://a/ ");
	assert_string_equal(json_str(runtime(x), "status.masterPhase", ""), "PartialReady");
	assert_non_null(json_str(runtime(x), "status.mountTime", NULL));
	ready(x, "demo-worker", 1);
	until(x, is_bound, "bound");
	assert_int_equal(json_int(dataset(x), "status.runtimes[0].masterReplicas", 0), 3);
	assert_int_equal(execs, 1);

	/* Steady: nothing is written. */
	for (int i = 0; i < 3; i++)
		assert_int_equal(pass(x, &err), 0);
	size_t before = json_array_size(x->api->writes);
	assert_int_equal(pass(x, &err), 0);
	assert_int_equal(json_array_size(x->api->writes), before);
	assert_int_equal(execs, 1);
}

/* A command that fails is told once, in condition and Event, and tried again; one that hangs stops no pass. */
static void test_mount_that_fails_and_hangs(void **state)
{
	struct fixture *x = *state;
	exec_hangs = true;
	until(x, has_masters, "had masters");
	ready(x, "demo-master", 3);
	struct error err = {0};
	for (int i = 0; i < 5; i++)
		assert_int_equal(pass(x, &err), 0);
	assert_string_equal(fake_condition(dataset(x), "NotReady", "True"), "mount is under way");
	assert_false(has_workers(x));
	pthread_mutex_lock(&lock);
	exec_fails = true;
	exec_hangs = false;
	pthread_mutex_unlock(&lock);
	const int64_t deadline = clock_mono_ns() + 10 * NSEC_PER_SEC;
	int rc;
	while ((rc = pass(x, &err)) == 0)
		assert_true(clock_mono_ns() < deadline);
	assert_int_equal(rc, -EIO);
	assert_string_equal(fake_condition(dataset(x), "NotReady", "True"),
			    "mount: exec in pod demo-master-0: it is dead");
	assert_true(fake_has_event(x->api, "Failed to setup ddc engine due to error mount: exec in pod demo-master-0"));
	assert_int_equal(pass(x, &err), 0); /* backing off: it comes again by itself */
	assert_true(x->again_ns > 0);
	pthread_mutex_lock(&lock);
	exec_fails = false;
	pthread_mutex_unlock(&lock);
	until(x, has_workers, "had workers");
}

static bool has_two_mounts(const struct fixture *x)
{
	return is_bound(x) && json_array_size(json_at(dataset(x), "status.mounts")) == 2;
}

static void test_mounts_change(void **state)
{
	struct fixture *x = *state;
	bind_demo(x);
	fake_set(x->api, dataset(x), "spec.mounts",
		 json_pack("[{s:s,s:s},{s:s,s:s}]", "mountPoint", "s3://a/", "name", "a", "mountPoint", "s3://b/",
			   "name", "b"));
	until(x, has_two_mounts, "had two mounts");
	assert_string_equal(mounted, "mount /a s3://a/ mount /a s3://a/ mount /b s3://b/ ");
}

static bool is_mounted_again(const struct fixture *x)
{
	(void)x;
	pthread_mutex_lock(&lock);
	bool again = execs >= 2;
	pthread_mutex_unlock(&lock);
	return again;
}

/* A master that started again has lost its mounts. */
static void test_restarted_master(void **state)
{
	struct fixture *x = *state;
	bind_demo(x);
	char soon[32];
	clock_format_rfc3339(clock_wall_ns() + 5 * NSEC_PER_SEC, soon);
	fake_put(x->api, &KUBE_POD,
		 "{'kind':'Pod','metadata':{'name':'demo-master-0','namespace':'default','labels':{'release':'demo',"
		 "'role':'herd-master','fluid.io/dataset-id':'default-demo'}},'status':{'phase':'Running',"
		 "'containerStatuses':[{'name':'herd-master','state':{'running':{}}}]}}");
	fake_set(x->api, live(x, &KUBE_POD, "demo-master-0"),
		 "status.containerStatuses[name=herd-master].state.running.startedAt", json_string(soon));
	until(x, is_mounted_again, "mounted again");
	assert_true(is_bound(x));
}

/* A spec may be mended before it was ever bound, and what is no longer made goes. */
static void test_spec_changes(void **state)
{
	struct fixture *x = *state;
	struct error err = {0};
	until(x, has_masters, "had masters");
	fake_set(x->api, runtime(x), "spec.master.replicas", json_integer(1));
	for (int i = 0; i < 3; i++)
		assert_int_equal(pass(x, &err), 0);
	assert_int_equal(json_int(live(x, &KUBE_STATEFULSET, "demo-master"), "spec.replicas", 0), 1);
	assert_non_null(live(x, &KUBE_SERVICE, "demo-master-0"));
	assert_null(live(x, &KUBE_SERVICE, "demo-master-1"));
	ready(x, "demo-master", 1);
	until(x, has_workers, "had workers");
	ready(x, "demo-worker", 1);
	until(x, is_bound, "bound");
	fake_set(x->api, runtime(x), "spec.image", json_string("2"));
	for (int i = 0; i < 3; i++)
		assert_int_equal(pass(x, &err), 0);
	assert_string_equal(json_str(live(x, &KUBE_DAEMONSET, "demo-fuse"), "spec.template.spec.image", ""), "2");
	/* Workers are not wanted any more: the rest goes on without them. */
	fake_set(x->api, runtime(x), "spec.worker", json_pack("{s:b}", "disabled", 1));
	for (int i = 0; i < 4; i++)
		assert_int_equal(pass(x, &err), 0);
	assert_false(has_workers(x));
	assert_true(is_bound(x));
	assert_string_equal(json_str(runtime(x), "status.workerPhase", ""), "Ready");
	assert_int_equal(json_int(runtime(x), "status.desiredWorkerNumberScheduled", -1), 0);
}

static void test_ports_stay(void **state)
{
	struct fixture *x = *state;
	bind_demo(x);
	CLEANUP(free_p) char *before = strdup(fake_condition(runtime(x), "PortsAllocated", "True"));
	assert_non_null(strstr(before, "rpc=20"));
	restart_controller(x);
	struct error err = {0};
	size_t writes = json_array_size(x->api->writes);
	assert_int_equal(pass(x, &err), 0);
	assert_string_equal(fake_condition(runtime(x), "PortsAllocated", "True"), before);
	for (size_t i = writes; i < json_array_size(x->api->writes); i++) /* mounting is known no more; objects are */
		assert_null(strstr(json_string_value(json_array_get(x->api->writes, i)), "apply"));
}

static bool is_gone(const struct fixture *x)
{
	return runtime(x) == NULL;
}

static size_t objects_left(const struct fixture *x)
{
	size_t n = 0;
	const char *key;
	json_t *obj;
	json_object_foreach (x->api->objects, key, obj)
		n += strncmp(key, "nodes/", 6) != 0 && strncmp(key, "datasets/", 9) != 0 &&
		     strncmp(key, "services/", 9) != 0; /* those are the garbage collector's */
	return n;
}

static void test_deletion_of_masters_too(void **state)
{
	struct fixture *x = *state;
	struct error err = {0};
	bind_demo(x);
	fake_put(x->api, &KUBE_POD,
		 "{'kind':'Pod','metadata':{'name':'demo-master-0','namespace':'default','labels':{'release':'demo',"
		 "'role':'herd-master','fluid.io/dataset-id':'default-demo'}}}");
	assert_int_equal(x->api->ops.remove(x->api, &HERD, "default", "demo", &err), 0);
	char now[32];
	clock_format_rfc3339(clock_wall_ns(), now);
	fake_set(x->api, runtime(x), "metadata.deletionTimestamp", json_string(now));
	for (int i = 0; i < 4; i++)
		assert_int_equal(pass(x, &err), 0);
	assert_string_equal(fake_condition(runtime(x), "Deleted", "False"), "waiting for pod demo-master-0 to end");
	(void)json_object_del(x->api->objects, "pods/default/demo-master-0");
	until(x, is_gone, "gone");
	assert_int_equal(objects_left(x), 0);
}

/* An engine that cannot be built says so on both objects, and its runtime can be deleted all the same. */
static void test_deletion_of_what_cannot_be_built(void **state)
{
	struct fixture *x = *state;
	struct error err = {0};
	bind_demo(x);
	fake_set(x->api, runtime(x), "spec.broken", json_true());
	for (int i = 0; i < 3; i++)
		assert_int_equal(pass(x, &err), 0);
	assert_string_equal(fake_condition(runtime(x), "EngineReady", "False"),
			    "build engine 'herd': spec.broken: true is not allowed; leave it out");
	assert_true(is_bound(x)); /* what is served is served on */
	restart_controller(x);
	assert_int_equal(x->api->ops.remove(x->api, &HERD, "default", "demo", &err), 0);
	until(x, is_gone, "gone");
	assert_int_equal(objects_left(x), 0);
}

/* Objects that cannot be made of the specs: told in a condition, not tried again and again, and what is served is served on. */
static void test_spec_that_cannot_be_made(void **state)
{
	struct fixture *x = *state;
	struct error err = {0};
	bind_demo(x);
	fake_set(x->api, runtime(x), "spec.image", json_string("bad"));
	for (int i = 0; i < 3; i++)
		assert_int_equal(pass(x, &err), 0);
	assert_string_equal(fake_condition(runtime(x), "SpecValid", "False"),
			    "spec.image: 'bad' is not allowed; name another");
	assert_true(is_bound(x));
	size_t before = json_array_size(x->api->writes);
	assert_int_equal(pass(x, &err), 0);
	assert_int_equal(json_array_size(x->api->writes), before); /* it is told already */
	fake_set(x->api, runtime(x), "spec.image", json_string("2"));
	for (int i = 0; i < 2; i++)
		assert_int_equal(pass(x, &err), 0);
	assert_string_equal(fake_condition(runtime(x), "SpecValid", "False"), "");
}

static void test_builds_again_when_mended(void **state)
{
	struct fixture *x = *state;
	struct error err = {0};
	(void)json_object_del(x->api->objects, "datasets/default/demo"); /* told on the runtime alone, then */
	fake_set(x->api, runtime(x), "spec.broken", json_true());
	assert_int_equal(pass(x, &err), 0);
	assert_non_null(strstr(fake_condition(runtime(x), "EngineReady", "False"), "spec.broken"));
	fake_set(x->api, runtime(x), "spec.broken", json_false());
	assert_int_equal(pass(x, &err), 0);
	assert_string_equal(fake_condition(runtime(x), "EngineReady", "False"), "");
}

int main(void)
{
#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
	const struct CMUnitTest tests[] = {T(test_life),
					   T(test_mount_that_fails_and_hangs),
					   T(test_mounts_change),
					   T(test_restarted_master),
					   T(test_spec_changes),
					   T(test_ports_stay),
					   T(test_deletion_of_masters_too),
					   T(test_deletion_of_what_cannot_be_built),
					   T(test_spec_that_cannot_be_made),
					   T(test_builds_again_when_mended)};
	return cmocka_run_group_tests_name("runtime/template", tests, NULL, NULL);
}
