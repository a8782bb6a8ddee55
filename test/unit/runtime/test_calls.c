/* Calls that take their time, with scripted answers. Waiting is for a condition, with a deadline; nothing sleeps. */
#include "runtime/fake_api.h"

#include <pthread.h>

#include "base/clock.h"
#include "base/metrics.h"
#include "base/str.h"
#include "base/strbuf.h"
#include "runtime/calls.h"

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER; /* guards all below */
static pthread_cond_t changed = PTHREAD_COND_INITIALIZER;
static int ran, told, in_flight, most_in_flight, of_one, most_of_one, cancelled;
static bool hold, fails;

static int scripted(const struct engine_question *q, const json_t *args, json_t **ret, struct error *err)
{
	pthread_mutex_lock(&lock);
	ran++;
	in_flight++;
	most_in_flight = in_flight > most_in_flight ? in_flight : most_in_flight;
	bool one = strcmp(q->name, "one") == 0;
	of_one += one;
	most_of_one = of_one > most_of_one ? of_one : most_of_one;
	pthread_cond_broadcast(&changed);
	while (hold && !atomic_load(q->cancel)) {
		struct timespec soon;
		assert_int_equal(clock_gettime(CLOCK_REALTIME, &soon), 0);
		soon.tv_nsec = (soon.tv_nsec + 10000000) % 1000000000;
		soon.tv_sec += soon.tv_nsec < 10000000;
		(void)pthread_cond_timedwait(&changed, &lock, &soon); /* the flag is looked at again */
	}
	cancelled += atomic_load(q->cancel);
	in_flight--;
	of_one -= one;
	bool bad = fails;
	pthread_cond_broadcast(&changed);
	pthread_mutex_unlock(&lock);
	if (bad)
		return error_set(err, -EIO, "the master says no");
	*ret = json_pack("{s:O}", "did", (json_t *)args);
	return 0;
}

static void news(void *ctx, const char *ns, const char *name)
{
	(void)ctx, (void)ns, (void)name;
	pthread_mutex_lock(&lock);
	told++;
	pthread_cond_broadcast(&changed);
	pthread_mutex_unlock(&lock);
}

static void await(const int *what, int n)
{
	struct timespec until;
	assert_int_equal(clock_gettime(CLOCK_REALTIME, &until), 0);
	until.tv_sec += 10;
	pthread_mutex_lock(&lock);
	int rc = 0;
	while (*what < n && rc == 0)
		rc = pthread_cond_timedwait(&changed, &lock, &until);
	pthread_mutex_unlock(&lock);
	if (rc != 0)
		fail_msg("waited for %d, it is %d", n, *what);
}

static void set(bool *flag, bool value)
{
	pthread_mutex_lock(&lock);
	*flag = value;
	pthread_cond_broadcast(&changed);
	pthread_mutex_unlock(&lock);
}

static int setup(void **state)
{
	ran = told = in_flight = most_in_flight = of_one = most_of_one = cancelled = 0;
	hold = fails = false;
	struct calls *c = NULL;
	struct error err = {0};
	const struct calls_options o = {.threads = 3,
					.pause_ns = 1,
					.backoff_min_ns = NSEC_PER_MSEC,
					.backoff_max_ns = 4 * NSEC_PER_MSEC,
					.engine = "toy",
					.notify = news};
	assert_int_equal(calls_new(&o, &c, &err), 0);
	*state = c;
	return 0;
}

static int teardown(void **state)
{
	calls_free(*state);
	return 0;
}

/* Ask once. */
static int ask(struct calls *c, const char *name, const char *what, const char *arg, json_t **ret, struct error *err)
{
	JSON_AUTO args = json_pack("[s]", arg);
	int64_t again;
	const struct engine_call call = {.what = what, .run = scripted, .args = args, .timeout_ns = NSEC_PER_SEC};
	return calls_do(c, "n", name, &call, ret, &again, err);
}

/* Ask until it is done; what a pass does each time it is woken. */
static void until_done(struct calls *c, const char *name, const char *arg)
{
	struct error err = {0};
	const int64_t deadline = clock_mono_ns() + 10 * NSEC_PER_SEC;
	JSON_AUTO got = NULL;
	while (ask(c, name, "mount", arg, &got, &err) != 1)
		if (clock_mono_ns() > deadline)
			fail_msg("never done: %s", err.msg);
	assert_string_equal(json_string_value(json_array_get(json_object_get(got, "did"), 0)), arg);
}

static void test_done_once(void **state)
{
	struct calls *c = *state;
	struct error err = {0};
	set(&hold, true);
	assert_int_equal(ask(c, "a", "mount", "x", NULL, &err), 0);
	assert_string_equal(err.msg, "mount is under way");
	await(&ran, 1);
	assert_int_equal(ask(c, "a", "mount", "x", NULL, &err), 0);
	set(&hold, false);
	await(&told, 1);
	until_done(c, "a", "x");
	assert_int_equal(ran, 1); /* the answer stays */
	until_done(c, "a", "y");  /* other arguments: done again */
	assert_int_equal(ran, 2);
	calls_forget(c, "n", "a", "mount");
	until_done(c, "a", "y");
	assert_int_equal(ran, 3);
}

static void test_changed_while_it_ran(void **state)
{
	struct calls *c = *state;
	struct error err = {0};
	set(&hold, true);
	assert_int_equal(ask(c, "a", "mount", "old", NULL, &err), 0);
	await(&ran, 1);
	assert_int_equal(ask(c, "a", "mount", "new", NULL, &err), 0); /* the answer under way is not wanted any more */
	set(&hold, false);
	await(&told, 1);
	until_done(c, "a", "new");
	assert_int_equal(ran, 2);
}

static void test_failure_is_told_once_and_tried_again(void **state)
{
	struct calls *c = *state;
	struct error err = {0};
	set(&fails, true);
	assert_int_equal(ask(c, "a", "mount", "x", NULL, &err), 0);
	await(&told, 1);
	assert_int_equal(ask(c, "a", "mount", "x", NULL, &err), -EIO);
	assert_string_equal(err.msg, "mount: the master says no");
	int rc = ask(c, "a", "mount", "x", NULL, &err); /* backing off, or under way again */
	assert_int_equal(rc, 0);
	set(&fails, false);
	const int64_t deadline = clock_mono_ns() + 10 * NSEC_PER_SEC;
	while ((rc = ask(c, "a", "mount", "x", NULL, &err)) != 1)
		assert_true(clock_mono_ns() < deadline);
	struct strbuf b = STRBUF_INIT(1 << 20);
	CLEANUP(free_p) char *text = NULL;
	metrics_write(metrics_root(), &b);
	assert_int_equal(strbuf_take(&b, &text), 0);
	assert_non_null(strstr(text, "sluice_engine_call_errors_total{engine=\"toy\",call=\"mount\"}"));
	assert_non_null(strstr(text, "sluice_engine_call_duration_seconds_count{engine=\"toy\",call=\"mount\"}"));
}

static void test_one_at_a_time_for_a_dataset(void **state)
{
	struct calls *c = *state;
	struct error err = {0};
	static const char *const kinds[] = {"mount", "load", "free", "count", "check"};
	set(&hold, true);
	for (size_t i = 0; i < ARRAY_LEN(kinds); i++)
		assert_int_equal(ask(c, "one", kinds[i], "x", NULL, &err), 0);
	assert_int_equal(ask(c, "other", "mount", "x", NULL, &err), 0);
	await(&ran, 2);
	set(&hold, false);
	await(&told, 6);
	assert_int_equal(most_of_one, 1);
	for (size_t i = 0; i < ARRAY_LEN(kinds); i++)
		assert_int_equal(ask(c, "one", kinds[i], "x", NULL, &err), 1);
	assert_int_equal(ran, 6);
}

static void test_a_bounded_number_in_all(void **state)
{
	struct calls *c = *state;
	struct error err = {0};
	set(&hold, true);
	for (int i = 0; i < 20; i++) {
		char name[16];
		(void)snprintf(name, sizeof name, "d%d", i);
		assert_int_equal(ask(c, name, "mount", "x", NULL, &err), 0);
	}
	await(&ran, 3);
	set(&hold, false);
	await(&told, 20);
	assert_int_equal(most_in_flight, 3);
}

static void test_forgotten_while_it_ran(void **state)
{
	struct calls *c = *state;
	struct error err = {0};
	set(&hold, true);
	assert_int_equal(ask(c, "a", "mount", "x", NULL, &err), 0);
	await(&ran, 1);
	calls_forget(c, "n", "a", NULL);
	await(&cancelled, 1); /* although it is held */
	set(&hold, false);
	until_done(c, "a", "x");
	assert_int_equal(ran, 2);
}

static void test_freeing_cancels(void **state)
{
	(void)state;
	struct calls *c = NULL;
	struct error err = {0};
	assert_int_equal(calls_new(&(struct calls_options){.threads = 1, .engine = "toy"}, &c, &err), 0);
	set(&hold, true);
	assert_int_equal(ask(c, "a", "mount", "x", NULL, &err), 0);
	assert_int_equal(ask(c, "b", "mount", "x", NULL, &err), 0);
	await(&ran, 1);
	calls_free(c); /* hangs if it does not */
	assert_int_equal(cancelled, 1);
	set(&hold, false);
}

int main(void)
{
#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
	const struct CMUnitTest tests[] = {T(test_done_once),
					   T(test_changed_while_it_ran),
					   T(test_failure_is_told_once_and_tried_again),
					   T(test_one_at_a_time_for_a_dataset),
					   T(test_a_bounded_number_in_all),
					   T(test_forgotten_while_it_ran),
					   T(test_freeing_cancels)};
	return cmocka_run_group_tests_name("runtime/calls", tests, NULL, NULL);
}
