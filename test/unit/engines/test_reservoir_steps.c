/*
 * The controller dies at each of its writes in turn, before the server has it and after, in Setup and in Shutdown; another one takes over.
 * Whatever was left half done, the Dataset is bound in the end, and nothing is left of it after its deletion.
 */
#include "engines/reservoir_fixture.h"

#include "base/clock.h"

/* How many writes are let through; the one after them is the last (@landed: the server has it), and all others fail. -1: no limit. */
static struct {
	int left;
	bool landed, dead;
	struct engine_api real;
} death;

static bool dies(void)
{
	if (death.dead)
		return true;
	if (death.left < 0 || death.left-- > 0)
		return false;
	death.dead = true;
	return true;
}

static int dead(struct error *err)
{
	return error_set(err, -EIO, "the controller was killed");
}

#define WRITE(call)                                                                                                    \
	do {                                                                                                           \
		bool was_dead = death.dead;                                                                            \
		if (!dies())                                                                                           \
			return death.real.call;                                                                        \
		if (!was_dead && death.landed)                                                                         \
			(void)death.real.call;                                                                         \
		return dead(err);                                                                                      \
	} while (0)

static int mortal_apply(void *ctx, const struct kube_resource *r, const char *ns, const char *name, const json_t *obj,
			struct error *err)
{
	WRITE(apply(ctx, r, ns, name, obj, err));
}

static int mortal_patch(void *ctx, const struct kube_resource *r, const char *ns, const char *name, const char *sub,
			const json_t *patch, struct error *err)
{
	WRITE(patch(ctx, r, ns, name, sub, patch, err));
}

static int mortal_remove(void *ctx, const struct kube_resource *r, const char *ns, const char *name, struct error *err)
{
	WRITE(remove(ctx, r, ns, name, err));
}

static void restart(struct fixture *x)
{
	struct error err = {0};
	reconciler_free(x->r);
	assert_int_equal(reconciler_new(&(struct reconciler_options){.runtime = &reservoir_runtime_controller,
								     .api = &x->api->ops,
								     .limits = &x->limits},
					&x->r, &err),
			 0);
}

/* What the cluster does meanwhile. */
static void cluster_step(struct fixture *x)
{
	json_t *sts = worker(x), *clean = clean_pod(x);
	if (sts != NULL && fake_live(x->api, &KUBE_POD, "default", "demo-worker-0") == NULL)
		worker_becomes_ready(x);
	if (sts == NULL)
		(void)json_object_del(x->api->objects, "pods/default/demo-worker-0");
	if (clean != NULL && strcmp(json_str(clean, "status.phase", ""), "Succeeded") != 0)
		fake_set(x->api, clean, "status.phase", json_string("Succeeded"));
}

/* Passes until nothing more is written, or the controller is dead. */
static void drive(struct fixture *x)
{
	for (int i = 0, quiet = 0; i < 60 && quiet < 2 && !death.dead; i++) {
		size_t before = json_array_size(x->api->writes);
		struct error err = {0};
		int rc = pass(x, &err);
		if (rc < 0 && !death.dead && rc != -ESTALE && rc != -EAGAIN)
			fail_msg("pass %d: %s", i, err.msg);
		cluster_step(x);
		quiet = json_array_size(x->api->writes) == before ? quiet + 1 : 0;
	}
}

/* Drive with death after @left writes, then with a new controller to the end. False when the first got through alive. */
static bool drive_and_die(struct fixture *x, int left, bool landed)
{
	death.left = left;
	death.landed = landed;
	death.dead = false;
	drive(x);
	bool died = death.dead;
	death.dead = false;
	death.left = -1;
	if (died) {
		restart(x);
		drive(x);
	}
	return died;
}

static void world_begins(struct fixture *x)
{
	death.real = x->api->ops;
	x->api->ops.apply = mortal_apply;
	x->api->ops.patch = mortal_patch;
	x->api->ops.remove = mortal_remove;
	put_dataset(x, SPEC_HTTP);
	put_runtime(x, SPEC_MEM);
}

static void check_bound(struct fixture *x, int step)
{
	if (strcmp(json_str(dataset(x), "status.phase", ""), "Bound") != 0 || worker(x) == NULL ||
	    fake_live(x->api, &KUBE_PVC, "default", "demo") == NULL ||
	    fake_live(x->api, &KUBE_PV, "", "default-demo") == NULL)
		fail_msg("killed at write %d of Setup: not bound", step);
	assert_int_equal(json_array_size(json_at(runtime(x), "metadata.finalizers")), 1);
	assert_int_equal(json_array_size(json_at(dataset(x), "status.runtimes")), 1);
	json_t *node = fake_live(x->api, &KUBE_NODE, "", "n1");
	assert_string_equal(obj_label(node, "fluid.io/dataset-num"), "1");
}

static void check_gone(struct fixture *x, int step)
{
	const char *key;
	json_t *obj;
	json_object_foreach (x->api->objects, key, obj)
		if (strncmp(key, "nodes/", 6) != 0 && strncmp(key, "datasets/", 9) != 0 &&
		    strcmp(key, "configmaps/default/demo-config") != 0) /* the garbage collector's */
			fail_msg("killed at write %d of Shutdown: %s is left", step, key);
	assert_string_equal(json_str(dataset(x), "status.phase", ""), "NotBound");
	assert_int_equal(json_object_size(json_at(fake_live(x->api, &KUBE_NODE, "", "n1"), "metadata.labels")), 1);
}

static void delete_runtime(struct fixture *x)
{
	struct error err = {0};
	char now[32];
	clock_format_rfc3339(clock_wall_ns(), now);
	assert_int_equal(death.real.remove(x->api, RUNTIME, "default", "demo", &err), 0);
	fake_set(x->api, runtime(x), "metadata.deletionTimestamp", json_string(now));
}

/* Each case of @landed × step in a world of its own. The number of steps, which must be what makes the test worth its name. */
static int walk(bool shutdown, bool landed)
{
	int step = 0;
	for (bool died = true; died; step++) {
		void *state = NULL;
		assert_int_equal(fixture_setup(&state), 0);
		struct fixture *x = state;
		world_begins(x);
		if (!shutdown) {
			died = drive_and_die(x, step, landed);
			check_bound(x, step);
		} else {
			(void)drive_and_die(x, -1, false);
			delete_runtime(x);
			died = drive_and_die(x, step, landed);
			check_gone(x, step);
		}
		assert_int_equal(fixture_teardown(&state), 0);
	}
	return step - 1;
}

static void test_killed_in_setup(void **state)
{
	(void)state;
	assert_true(walk(false, false) >= 10);
	assert_true(walk(false, true) >= 10);
}

static void test_killed_in_shutdown(void **state)
{
	(void)state;
	assert_true(walk(true, false) >= 8);
	assert_true(walk(true, true) >= 8);
}

int main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(test_killed_in_setup),
					   cmocka_unit_test(test_killed_in_shutdown)};
	return cmocka_run_group_tests_name("engines/reservoir_steps", tests, NULL, NULL);
}
