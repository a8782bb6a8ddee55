#include <errno.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/cleanup.h"
#include "base/clock.h"
#include "kube/workqueue.h"

static void expect_key(struct workqueue *q, const char *want, bool finish)
{
	char *key = NULL;
	assert_int_equal(workqueue_get(q, &key), 0);
	assert_string_equal(key, want);
	if (finish)
		workqueue_done(q, key);
	free(key);
}

static void keeps_order_and_collapses_duplicates(void **state)
{
	(void)state;
	struct workqueue *q = workqueue_new(0, 0);
	static const char *const in[] = {"a", "b", "a", "c", "b"};
	for (size_t i = 0; i < ARRAY_LEN(in); i++)
		assert_int_equal(workqueue_add(q, in[i]), 0);
	assert_int_equal(workqueue_depth(q), 3);
	expect_key(q, "a", true);
	expect_key(q, "b", true);
	expect_key(q, "c", true);
	assert_int_equal(workqueue_depth(q), 0);
	workqueue_free(q);
}

static void add_many(struct workqueue *q, const char *keys, int (*add)(struct workqueue *q, const char *key))
{
	for (; *keys != '\0'; keys++)
		assert_int_equal(add(q, (const char[]){*keys, '\0'}), 0);
}

static void urgent_keys_go_first_but_not_for_ever(void **state)
{
	(void)state;
	static const struct {
		const char *name, *plain, *urgent, *want;
	} cases[] = {
		{"later ones pass", "ab", "xy", "xyab"},
		{"one that waits changes lanes", "abc", "b", "bac"},
		{"the first of its lane changes", "abc", "a", "abc"},
		{"the last of its lane changes", "abc", "c", "cab"},
		{"all change", "abc", "bca", "bca"},
		{"one of nine is not urgent", "ab", "123456789ABCDEFGHI", "12345678a9ABCDEFGbHI"},
		{"urgent twice is once", "a", "xx", "xa"},
	};
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct workqueue *q = workqueue_new(0, 0);
		char got[32] = "";
		add_many(q, cases[i].plain, workqueue_add);
		add_many(q, cases[i].urgent, workqueue_add_urgent);
		const size_t n = workqueue_depth(q);
		if (n != strlen(cases[i].want))
			fail_msg("%s: %zu keys", cases[i].name, n);
		for (size_t k = 0; k < n; k++) {
			char *key = NULL;
			assert_int_equal(workqueue_get(q, &key), 0);
			got[k] = key[0];
			workqueue_forget(q, key);
			workqueue_done(q, key);
			free(key);
		}
		if (strcmp(got, cases[i].want) != 0)
			fail_msg("%s: %s", cases[i].name, got);
		workqueue_free(q);
	}
}

static void urgent_stays_so_until_it_did_well(void **state)
{
	(void)state;
	struct workqueue *q = workqueue_new(NSEC_PER_MSEC, NSEC_PER_MSEC);
	assert_int_equal(workqueue_add_urgent(q, "x"), 0);
	expect_key(q, "x", false);
	assert_int_equal(workqueue_add_rate_limited(q, "x"), 0); /* a conflict: it comes again */
	workqueue_done(q, "x");
	expect_key(q, "x", false);
	assert_int_equal(workqueue_add(q, "a"), 0);
	assert_int_equal(workqueue_add(q, "x"), 0);
	workqueue_done(q, "x");
	expect_key(q, "x", false); /* it never did well, so it has not lost its place */
	workqueue_forget(q, "x");
	assert_int_equal(workqueue_add(q, "x"), 0);
	workqueue_done(q, "x");
	expect_key(q, "a", true);
	expect_key(q, "x", false);
	assert_int_equal(workqueue_add_urgent(q, "x"), 0); /* while it is worked on: for what is yet to be done */
	workqueue_forget(q, "x");
	assert_int_equal(workqueue_add(q, "b"), 0);
	workqueue_done(q, "x");
	expect_key(q, "x", true);
	expect_key(q, "b", true);
	workqueue_free(q);
}

static void key_in_work_comes_again_only_after_done(void **state)
{
	(void)state;
	struct workqueue *q = workqueue_new(0, 0);
	assert_int_equal(workqueue_add(q, "a"), 0);
	expect_key(q, "a", false);
	assert_int_equal(workqueue_add(q, "a"), 0);
	assert_int_equal(workqueue_add(q, "a"), 0);
	assert_int_equal(workqueue_depth(q), 0);
	workqueue_done(q, "a");
	assert_int_equal(workqueue_depth(q), 1);
	expect_key(q, "a", true);
	assert_int_equal(workqueue_depth(q), 0);
	workqueue_free(q);
}

static void delayed_keys_come_in_order_of_their_time(void **state)
{
	(void)state;
	struct workqueue *q = workqueue_new(0, 0);
	const int64_t start = clock_mono_ns();
	assert_int_equal(workqueue_add_after(q, "late", 60 * NSEC_PER_MSEC), 0);
	assert_int_equal(workqueue_add_after(q, "mid", 40 * NSEC_PER_MSEC), 0);
	assert_int_equal(workqueue_add_after(q, "early", 20 * NSEC_PER_MSEC), 0);
	assert_int_equal(workqueue_add_after(q, "late", 900 * NSEC_PER_SEC), 0); /* the earlier time wins */
	assert_int_equal(workqueue_add(q, "now"), 0);
	expect_key(q, "now", true);
	expect_key(q, "early", true);
	expect_key(q, "mid", true);
	expect_key(q, "late", true);
	assert_true(clock_mono_ns() - start >= 60 * NSEC_PER_MSEC);
	workqueue_free(q);
}

static void earlier_time_shortens_a_wait(void **state)
{
	(void)state;
	struct workqueue *q = workqueue_new(0, 0);
	assert_int_equal(workqueue_add_after(q, "x", 900 * NSEC_PER_SEC), 0);
	assert_int_equal(workqueue_add_after(q, "x", 1 * NSEC_PER_MSEC), 0);
	expect_key(q, "x", true);
	workqueue_free(q);
}

static void back_off_doubles_to_its_maximum_and_is_forgotten(void **state)
{
	(void)state;
	static const int64_t want_ms[] = {4, 8, 16, 20, 20};
	struct workqueue *q = workqueue_new(4 * NSEC_PER_MSEC, 20 * NSEC_PER_MSEC);
	for (size_t i = 0; i < ARRAY_LEN(want_ms); i++) {
		const int64_t start = clock_mono_ns();
		assert_int_equal(workqueue_add_rate_limited(q, "x"), 0);
		expect_key(q, "x", true);
		if (clock_mono_ns() - start < want_ms[i] * NSEC_PER_MSEC)
			fail_msg("failure %zu came back before %lld ms", i, (long long)want_ms[i]);
	}
	workqueue_forget(q, "x");
	/* a forgotten key starts at 4 ms: it must beat one that waits 15 ms */
	assert_int_equal(workqueue_add_after(q, "mark", 15 * NSEC_PER_MSEC), 0);
	assert_int_equal(workqueue_add_rate_limited(q, "x"), 0);
	expect_key(q, "x", true);
	expect_key(q, "mark", true);
	workqueue_free(q);
}

static int64_t frozen_ns;

static int64_t frozen_clock(void)
{
	return frozen_ns;
}

static void many_delays_stay_sorted(void **state)
{
	(void)state;
	struct workqueue *q = workqueue_new(0, 0);
	char key[16];
	frozen_ns = clock_mono_ns();
	clock_replace(frozen_clock, NULL); /* all delays count from one moment */
	for (unsigned i = 0; i < 200; i++) {
		unsigned slot = (i * 67) % 200; /* a permutation: 67 and 200 share no factor */
		(void)snprintf(key, sizeof key, "%03u", slot);
		assert_int_equal(workqueue_add_after(q, key, (int64_t)(slot + 1) * 100000), 0);
	}
	clock_replace(NULL, NULL);
	for (unsigned i = 0; i < 200; i++) {
		(void)snprintf(key, sizeof key, "%03u", i);
		expect_key(q, key, true);
	}
	workqueue_free(q);
}

static void *get_until_shutdown(void *arg)
{
	char *key = NULL;
	return workqueue_get(arg, &key) == -ESHUTDOWN ? arg : NULL;
}

static void shutdown_wakes_waiters_and_refuses_more(void **state)
{
	(void)state;
	struct workqueue *q = workqueue_new(0, 0);
	pthread_t t[3];
	for (size_t i = 0; i < ARRAY_LEN(t); i++)
		assert_int_equal(pthread_create(&t[i], NULL, get_until_shutdown, q), 0);
	workqueue_shutdown(q);
	for (size_t i = 0; i < ARRAY_LEN(t); i++) {
		void *ret = NULL;
		assert_int_equal(pthread_join(t[i], &ret), 0);
		assert_ptr_equal(ret, q);
	}
	char *key = NULL;
	assert_int_equal(workqueue_add(q, "a"), -ESHUTDOWN);
	assert_int_equal(workqueue_add_after(q, "a", 1), -ESHUTDOWN);
	assert_int_equal(workqueue_add_rate_limited(q, "a"), -ESHUTDOWN);
	assert_int_equal(workqueue_get(q, &key), -ESHUTDOWN);
	workqueue_free(q);
}

#define KEYS   16
#define ROUNDS 400

struct race {
	struct workqueue *q;
	atomic_int inside[KEYS];
	atomic_int seen[KEYS];
	atomic_bool broken;
};

static void *race_worker(void *arg)
{
	struct race *r = arg;
	char *key;
	while (workqueue_get(r->q, &key) == 0) {
		const int k = key[0] - 'A';
		if (atomic_fetch_add(&r->inside[k], 1) != 0)
			atomic_store(&r->broken, true);
		atomic_fetch_add(&r->seen[k], 1);
		atomic_fetch_sub(&r->inside[k], 1);
		workqueue_done(r->q, key);
		free(key);
	}
	return NULL;
}

static void never_one_key_in_two_workers(void **state)
{
	(void)state;
	struct race r = {.q = workqueue_new(0, 0)};
	pthread_t t[4];
	for (size_t i = 0; i < ARRAY_LEN(t); i++)
		assert_int_equal(pthread_create(&t[i], NULL, race_worker, &r), 0);
	for (int i = 0; i < ROUNDS * KEYS; i++) {
		const char key[2] = {(char)('A' + i % KEYS), '\0'};
		assert_int_equal(workqueue_add(r.q, key), 0);
	}
	const int64_t deadline = clock_mono_ns() + 10 * NSEC_PER_SEC;
	bool all = false;
	while (!all && clock_mono_ns() < deadline) {
		all = workqueue_depth(r.q) == 0;
		for (int k = 0; k < KEYS; k++)
			all = all && atomic_load(&r.seen[k]) > 0 && atomic_load(&r.inside[k]) == 0;
	}
	workqueue_shutdown(r.q);
	for (size_t i = 0; i < ARRAY_LEN(t); i++)
		assert_int_equal(pthread_join(t[i], NULL), 0);
	assert_true(all);
	assert_false(atomic_load(&r.broken));
	workqueue_free(r.q);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(keeps_order_and_collapses_duplicates),
		cmocka_unit_test(urgent_keys_go_first_but_not_for_ever),
		cmocka_unit_test(urgent_stays_so_until_it_did_well),
		cmocka_unit_test(key_in_work_comes_again_only_after_done),
		cmocka_unit_test(delayed_keys_come_in_order_of_their_time),
		cmocka_unit_test(earlier_time_shortens_a_wait),
		cmocka_unit_test(back_off_doubles_to_its_maximum_and_is_forgotten),
		cmocka_unit_test(many_delays_stay_sorted),
		cmocka_unit_test(shutdown_wakes_waiters_and_refuses_more),
		cmocka_unit_test(never_one_key_in_two_workers),
	};
	return cmocka_run_group_tests_name("workqueue", tests, NULL, NULL);
}
