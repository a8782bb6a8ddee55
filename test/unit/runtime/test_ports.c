/* Ports of the hosts' network: nobody gets what is another's, and one's own stay. */
#include "runtime/fake_api.h"

#include <pthread.h>

#include "runtime/ports.h"
#include "runtime/status.h"

#define MIN 20000
#define MAX 20008

static int setup(void **state)
{
	*state = ports_new(MIN, MAX);
	return *state != NULL ? 0 : -1;
}

static int teardown(void **state)
{
	ports_free(*state);
	return 0;
}

static int take(struct ports *p, const char *key, int before)
{
	struct error err = {0};
	int rc = ports_take(p, key, 1, &before, &err);
	return rc < 0 ? rc : before;
}

static void test_one_each(void **state)
{
	struct ports *p = *state;
	bool got[MAX - MIN] = {false};
	for (int i = 0; i < MAX - MIN; i++) {
		char key[16];
		(void)snprintf(key, sizeof key, "n/%d", i);
		int port = take(p, key, 0);
		assert_in_range(port, MIN, MAX - 1);
		assert_false(got[port - MIN]);
		got[port - MIN] = true;
		assert_int_equal(take(p, key, port), port); /* it does not wander */
	}
	struct error err = {0};
	int port = 0;
	assert_int_equal(ports_take(p, "n/one-more", 1, &port, &err), -ENOSPC);
	assert_string_equal(err.msg, "no port from 20000 to 20007 is free; widen --runtime-node-port-range");
	assert_int_equal(ports_take(p, "n/3", 0, NULL, &err), 0);
	assert_in_range(take(p, "n/one-more", 0), MIN, MAX - 1);
}

static void test_several_are_different_and_shrink(void **state)
{
	struct ports *p = *state;
	struct error err = {0};
	int v[3] = {0, 0, 0};
	assert_int_equal(ports_take(p, "n/a", 3, v, &err), 0);
	assert_true(v[0] != v[1] && v[1] != v[2] && v[0] != v[2]);
	int again[3] = {v[0], v[1], v[2]};
	assert_int_equal(ports_take(p, "n/a", 3, again, &err), 0);
	assert_memory_equal(v, again, sizeof v);
	/* The third is not wanted any more: somebody else may have it. */
	int two[2] = {v[0], v[0]}; /* and one that is named twice counts once */
	assert_int_equal(ports_take(p, "n/a", 2, two, &err), 0);
	assert_int_equal(two[0], v[0]);
	assert_int_not_equal(two[1], v[0]);
}

static void test_what_is_seen(void **state)
{
	struct ports *p = *state;
	ports_seen(p, "n/b", "n/b-worker", (const int[]){20003, 1, 70000}, 3);
	for (int i = 0; i < 7; i++) {
		char key[16];
		(void)snprintf(key, sizeof key, "m/%d", i);
		assert_int_not_equal(take(p, key, 0), 20003); /* somebody else's objects use it */
	}
	assert_int_equal(take(p, "n/b", 0), 20003); /* its own objects use it: a restarted controller finds it again */
	ports_seen(p, "n/b", "n/b-worker", NULL, 0);
	assert_int_equal(take(p, "n/b", 20003), 20003); /* it holds it all the same */
}

/* Two controllers chose one port at the same moment: the smaller key keeps it, the other goes elsewhere. */
static void test_collision_of_two_controllers(void **state)
{
	struct ports *p = *state;
	struct error err = {0};
	int mine = take(p, "n/m", 0);
	ports_seen(p, "n/m", "n/m-worker", &mine, 1);
	ports_seen(p, "n/z", "n/z-worker", &mine, 1);
	assert_int_equal(take(p, "n/m", mine), mine);
	assert_int_equal(ports_take(p, "n/m", 0, NULL, &err), 0); /* a restart: nothing is taken */
	ports_seen(p, "n/a", "n/a-worker", &mine, 1);
	assert_int_not_equal(take(p, "n/m", mine), mine);
}

static void *taker(void *arg)
{
	struct ports *p = arg;
	for (int i = 0; i < 200; i++) {
		char key[32];
		struct error err = {0};
		int port = 0;
		(void)snprintf(key, sizeof key, "%p/%d", (void *)&key, i);
		if (ports_take(p, key, 1, &port, &err) == 0)
			assert_int_equal(ports_take(p, key, 0, NULL, &err), 0);
	}
	return NULL;
}

static void test_many_threads(void **state)
{
	pthread_t t[8];
	for (size_t i = 0; i < ARRAY_LEN(t); i++)
		assert_int_equal(pthread_create(&t[i], NULL, taker, *state), 0);
	for (size_t i = 0; i < ARRAY_LEN(t); i++)
		assert_int_equal(pthread_join(t[i], NULL), 0);
	test_one_each(state); /* all of them came back */
}

static struct reconcile_ctx pass(struct ports *p, json_t *status)
{
	return (struct reconcile_ctx){.ns = "n", .name = "d", .runtime_status = status, .ports = p};
}

static void test_remembered_in_the_status(void **state)
{
	static const char *const names[] = {"rpc", "web"};
	struct error err = {0};
	int first[2], second[2];
	JSON_AUTO status = json_object();
	struct reconcile_ctx ctx = pass(*state, status);
	assert_int_equal(engine_ports(&ctx, names, 2, first, &err), 0);
	char want[64];
	(void)snprintf(want, sizeof want, "rpc=%d web=%d", first[0], first[1]);
	assert_string_equal(json_str(condition_get(status, "PortsAllocated"), "message", ""), want);

	/* Another controller, which knows only the status. */
	struct ports *fresh = ports_new(MIN, MAX);
	ctx = pass(fresh, status);
	assert_int_equal(engine_ports(&ctx, (const char *const[]){"web", "rpc"}, 2, second, &err), 0);
	assert_int_equal(second[0], first[1]);
	assert_int_equal(second[1], first[0]);

	/* Words that somebody else wrote there do no harm. */
	assert_int_equal(runtime_condition_set(&ctx, "PortsAllocated", true, "x", "rpc web=99999 =1 rpc=1x web="), 0);
	assert_int_equal(engine_ports(&ctx, names, 2, second, &err), 0);
	assert_in_range(second[0], MIN, MAX - 1);
	assert_int_equal(engine_ports(&ctx, names, 0, NULL, &err), 0);
	assert_null(condition_get(status, "PortsAllocated"));
	ports_free(fresh);
}

int main(void)
{
#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
	const struct CMUnitTest tests[] = {T(test_one_each),     T(test_several_are_different_and_shrink),
					   T(test_what_is_seen), T(test_collision_of_two_controllers),
					   T(test_many_threads), T(test_remembered_in_the_status)};
	return cmocka_run_group_tests_name("runtime/ports", tests, NULL, NULL);
}
