#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "net/pool.h"

struct job {
	struct pool_item item; /* first */
	char name;
};

/** What one worker has run, in order; it stops at the job '|' until it is let go. */
struct log {
	pthread_mutex_t lock;
	pthread_cond_t changed;
	char ran[32];
	size_t n;
	int held, go;
};

static void run(void *ctx, struct pool_item *it)
{
	struct log *l = ctx;
	const char name = ((struct job *)it)->name;
	pthread_mutex_lock(&l->lock);
	if (name == '|') {
		l->held = 1;
		pthread_cond_broadcast(&l->changed);
		while (!l->go)
			pthread_cond_wait(&l->changed, &l->lock);
	} else {
		l->ran[l->n++] = name;
	}
	pthread_cond_broadcast(&l->changed);
	pthread_mutex_unlock(&l->lock);
}

static struct pool *held_pool(struct log *l, struct job *gate, size_t max_pending)
{
	struct pool *p = NULL;
	*l = (struct log){.lock = PTHREAD_MUTEX_INITIALIZER, .changed = PTHREAD_COND_INITIALIZER};
	*gate = (struct job){.name = '|'};
	assert_int_equal(pool_new(1, max_pending, run, l, &p), 0);
	assert_int_equal(pool_submit(p, NULL, &gate->item), 0);
	pthread_mutex_lock(&l->lock);
	while (!l->held)
		pthread_cond_wait(&l->changed, &l->lock);
	pthread_mutex_unlock(&l->lock);
	return p;
}

static void let_go(struct log *l, size_t wait_for)
{
	pthread_mutex_lock(&l->lock);
	l->go = 1;
	pthread_cond_broadcast(&l->changed);
	while (l->n < wait_for)
		pthread_cond_wait(&l->changed, &l->lock);
	pthread_mutex_unlock(&l->lock);
}

static void test_turns(void **state)
{
	(void)state;
	static const struct {
		const char *name, *submitted, *ran; /* a flow is called by its letter; '-' is the common one */
	} cases[] = {
		{"one flow keeps its order", "aaa", "aaa"},
		{"a second one waits for one of the first", "aaaaab", "abaaaa"},
		{"three take turns", "aaabbc", "abcaba"},
		{"those without a flow share one", "aaa--", "a-a-a"},
		{"nobody is forgotten", "abcabcabc", "abcabcabc"},
	};
	for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
		struct log l;
		struct job gate, jobs[16];
		struct pool_flow flows[3] = {0};
		struct pool *p = held_pool(&l, &gate, 100);
		const size_t n = strlen(cases[i].submitted);
		for (size_t k = 0; k < n; k++) {
			const char c = cases[i].submitted[k];
			jobs[k] = (struct job){.name = c};
			assert_int_equal(pool_submit(p, c == '-' ? NULL : &flows[c - 'a'], &jobs[k].item), 0);
		}
		let_go(&l, n);
		if (strcmp(l.ran, cases[i].ran) != 0)
			fail_msg("%s: ran %s, not %s", cases[i].name, l.ran, cases[i].ran);
		assert_null(pool_stop(p));
		pool_free(p);
	}
}

static void test_limits(void **state)
{
	(void)state;
	struct log l;
	struct job gate, jobs[8];
	struct pool_flow greedy = {.max = 2}, other = {0};
	struct pool *p = held_pool(&l, &gate, 4);
	assert_int_equal(pool_submit(p, &greedy, &jobs[0].item), 0);
	assert_int_equal(pool_submit(p, &greedy, &jobs[1].item), 0);
	assert_int_equal(pool_submit(p, &greedy, &jobs[2].item), -EDQUOT);
	assert_int_equal(pool_submit(p, &other, &jobs[2].item), 0);
	assert_int_equal(pool_submit(p, NULL, &jobs[3].item), 0);
	assert_int_equal(pool_submit(p, &other, &jobs[4].item), -ENOBUFS);
	for (size_t i = 0; i < 4; i++)
		jobs[i].name = 'x';
	let_go(&l, 4);
	assert_int_equal(pool_submit(p, &greedy, &jobs[0].item), 0); /* there is room again */
	let_go(&l, 5);
	assert_null(pool_stop(p));
	assert_int_equal(pool_submit(p, &other, &jobs[0].item), -ESHUTDOWN);
	pool_free(p);
}

static struct pool *stopping;

static void *stop_main(void *arg)
{
	(void)arg;
	return pool_stop(stopping);
}

static void test_stop_gives_back(void **state)
{
	(void)state;
	struct log l;
	struct job gate, jobs[3] = {0};
	struct pool_flow a = {0}, b = {.max = 1};
	struct pool *p = stopping = held_pool(&l, &gate, 10);
	assert_int_equal(pool_submit(p, &a, &jobs[0].item), 0);
	assert_int_equal(pool_submit(p, &a, &jobs[1].item), 0);
	assert_int_equal(pool_submit(p, &b, &jobs[2].item), 0);
	pthread_t t;
	assert_int_equal(pthread_create(&t, NULL, stop_main, NULL), 0);
	struct job probe;
	/* b is full: the probe is refused until the pool stops. */
	while (pool_submit(p, &b, &probe.item) != -ESHUTDOWN)
		(void)sched_yield();
	let_go(&l, 0);
	void *rest = NULL;
	assert_int_equal(pthread_join(t, &rest), 0);
	size_t n = 0;
	for (struct pool_item *it = rest; it != NULL; it = it->next)
		n++;
	assert_int_equal(n, 3);
	pool_free(p);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {cmocka_unit_test(test_turns), cmocka_unit_test(test_limits),
						  cmocka_unit_test(test_stop_gives_back)};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
