/* The pool that asks engines, with scripted answers. Waiting is for a condition, with a deadline; nothing sleeps. */
#include "runtime/fake_api.h"

#include <pthread.h>
#include <stdatomic.h>

#include "base/clock.h"
#include "runtime/figures.h"

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER; /* guards all below */
static pthread_cond_t changed = PTHREAD_COND_INITIALIZER;
static int asked, told, in_flight, most_in_flight, held_asked;
static int64_t cached;
static int hang_asked[4]; /* of targets "hang0" to "hang3": they fail once, then hang while it is held */
static bool fails, hold;

static int scripted(const struct engine_question *q, struct engine_figures *ret, struct error *err)
{
	const char *target = q->target;
	assert_true(q->deadline_mono_ns <= clock_mono_ns() + NSEC_PER_SEC);
	pthread_mutex_lock(&lock);
	asked++;
	in_flight++;
	most_in_flight = in_flight > most_in_flight ? in_flight : most_in_flight;
	const bool hang = strncmp(target, "hang", 4) == 0;
	const bool first = hang && hang_asked[target[4] - '0']++ == 0;
	bool held = hold && (strcmp(target, "slow") == 0 || (hang && !first));
	held_asked += held;
	pthread_cond_broadcast(&changed);
	while (held && hold)
		pthread_cond_wait(&changed, &lock);
	in_flight--;
	bool bad = fails || hang || strcmp(target, "bad") == 0;
	*ret = (struct engine_figures){.ready = true,
				       .capacity_bytes = 10,
				       .cached_bytes = cached,
				       .ufs_bytes = 5,
				       .hit_bytes = -1,
				       .miss_bytes = 1};
	pthread_mutex_unlock(&lock);
	return bad ? error_set(err, -ECONNREFUSED, "GET %s: refused", target) : 0;
}

static const struct engine_traits all_count = {.app = "toy"}, one_counts = {.app = "toy", .ask_one = true};
static const struct engine_ops workers = {.name = "toy", .traits = &all_count, .query_figures = scripted},
			       masters = {.name = "toy", .traits = &one_counts, .query_figures = scripted};

/* The first question is too short for it, the ones after that are not. */
static int given_time;

static int needs_time(const struct engine_question *q, struct engine_figures *ret, struct error *err)
{
	(void)ret;
	pthread_mutex_lock(&lock);
	asked++;
	given_time += q->deadline_mono_ns > clock_mono_ns() + 30 * NSEC_PER_SEC;
	const bool good = given_time > 0;
	pthread_cond_broadcast(&changed);
	pthread_mutex_unlock(&lock);
	return good ? 0 : error_set(err, -ETIMEDOUT, "too late");
}

static const struct engine_ops patient = {.name = "toy", .traits = &all_count, .query_figures = needs_time};

static void news(void *ctx, const char *ns, const char *name)
{
	(void)ctx;
	assert_string_equal(ns, "default");
	assert_non_null(name);
	pthread_mutex_lock(&lock);
	told++;
	pthread_cond_broadcast(&changed);
	pthread_mutex_unlock(&lock);
}

/* Wait until *@what reaches @n. */
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

static int setup(void **state)
{
	given_time = asked = told = in_flight = most_in_flight = held_asked = 0;
	cached = 1;
	fails = hold = false;
	memset(hang_asked, 0, sizeof hang_asked);
	struct figures *f = NULL;
	struct error err = {0};
	const struct figures_options o = {.threads = 3,
					  .deadline_ns = NSEC_PER_SEC,
					  .min_ns = NSEC_PER_MSEC,
					  .max_ns = 4 * NSEC_PER_MSEC,
					  .breaker_max_ns = 4 * NSEC_PER_MSEC,
					  .notify = news};
	assert_int_equal(figures_new(&o, &f, &err), 0);
	*state = f;
	return 0;
}

static int teardown(void **state)
{
	figures_free(*state);
	return 0;
}

static void watch(struct figures *f, const char *name, const char *target, const char *seen)
{
	JSON_AUTO targets = json_pack("[s]", target);
	assert_int_equal(figures_watch(f, "default", name, &workers, targets, seen), 0);
}

static void test_only_news_is_told(void **state)
{
	struct figures *f = *state;
	watch(f, "a", "t", "");
	await(&asked, 5);
	pthread_mutex_lock(&lock);
	assert_int_equal(told, 1); /* the first answer; the same again is no news */
	cached = 2;
	pthread_mutex_unlock(&lock);
	await(&told, 2);
	struct engine_figures got = {0};
	char err[512];
	assert_true(figures_get(f, "default", "a", &got, err));
	assert_int_equal(got.cached_bytes, 2);
	assert_string_equal(err, "");
	engine_figures_clear(&got);
	assert_false(figures_get(f, "default", "nobody", &got, err));
}

static void test_failures_are_told_once_and_end(void **state)
{
	struct figures *f = *state;
	char err[512];
	struct engine_figures got = {0};
	watch(f, "a", "t", "");
	await(&told, 1);
	pthread_mutex_lock(&lock);
	fails = true;
	pthread_mutex_unlock(&lock);
	await(&told, 2);                                        /* the breaker opened */
	assert_true(figures_get(f, "default", "a", &got, err)); /* the last answer stays */
	assert_string_equal(err, "GET t: refused");
	engine_figures_clear(&got);
	await(&asked, asked + 5);
	pthread_mutex_lock(&lock);
	assert_int_equal(told, 2); /* not again and again */
	fails = false;
	pthread_mutex_unlock(&lock);
	await(&told, 3); /* it answers again, although with the same figures */
	assert_true(figures_get(f, "default", "a", &got, err));
	assert_string_equal(err, "");
	engine_figures_clear(&got);
}

static void test_one_hung_engine_stops_nobody(void **state)
{
	struct figures *f = *state;
	pthread_mutex_lock(&lock);
	hold = true;
	pthread_mutex_unlock(&lock);
	watch(f, "hung", "slow", "");
	await(&held_asked, 1);
	watch(f, "hung", "slow", "again"); /* asks at once, but never two at a time for one dataset */
	watch(f, "a", "t", "");
	await(&asked, 8);
	pthread_mutex_lock(&lock);
	assert_int_equal(held_asked, 1);
	assert_true(most_in_flight <= 2);
	pthread_mutex_unlock(&lock);
	figures_forget(f, "default", "hung"); /* its answer, when it comes, goes nowhere */
	pthread_mutex_lock(&lock);
	hold = false;
	pthread_cond_broadcast(&changed);
	pthread_mutex_unlock(&lock);
	await(&asked, asked + 3);
	struct engine_figures got = {0};
	char err[512];
	assert_false(figures_get(f, "default", "hung", &got, err));
}

static void test_many_hung_engines_stop_nobody(void **state)
{
	struct figures *f = *state;
	static const char *const names[] = {"hang0", "hang1", "hang2", "hang3"};
	pthread_mutex_lock(&lock);
	hold = true;
	pthread_mutex_unlock(&lock);
	for (size_t i = 0; i < ARRAY_LEN(names); i++)
		watch(f, names[i], names[i], "");
	await(&held_asked, 2); /* of three threads */
	watch(f, "a", "t", "");
	await(&asked, asked + 8);
	pthread_mutex_lock(&lock);
	assert_int_equal(held_asked, 2);
	hold = false; /* one after the other gets its turn */
	pthread_cond_broadcast(&changed);
	pthread_mutex_unlock(&lock);
	for (size_t i = 0; i < ARRAY_LEN(names); i++)
		await(&hang_asked[i], 3);
}

/* What an engine may take: a short time for each of its targets, and more once it was slow. */
static void test_slow_engines_are_given_time(void **state)
{
	(void)state;
	struct figures *f = NULL;
	const struct figures_options o = {
		.threads = 1, .quick_ns = NSEC_PER_MSEC, .min_ns = NSEC_PER_MSEC, .deadline_ns = 60 * NSEC_PER_SEC};
	struct error err = {0};
	assert_int_equal(figures_new(&o, &f, &err), 0);
	JSON_AUTO targets = json_pack("[s]", "t");
	assert_int_equal(figures_watch(f, "default", "a", &patient, targets, ""), 0);
	await(&given_time, 1);
	figures_free(f);
}

static void test_several_targets_add_up(void **state)
{
	struct figures *f = *state;
	JSON_AUTO targets = json_pack("[s,s,s]", "t1", "bad", "t2");
	assert_int_equal(figures_watch(f, "default", "a", &workers, targets, ""), 0);
	await(&told, 1);
	struct engine_figures got = {0};
	char err[512];
	assert_true(figures_get(f, "default", "a", &got, err));
	assert_int_equal(got.capacity_bytes, 20);
	assert_int_equal(got.cached_bytes, 2);
	assert_int_equal(got.ufs_bytes, 5);  /* the same source, seen twice */
	assert_int_equal(got.hit_bytes, -1); /* unknown stays unknown */
	assert_int_equal(got.miss_bytes, 2);
	engine_figures_clear(&got);
}

/* Masters say all the same: the first that answers is the answer, and one that does not is passed over. */
static void test_one_of_several_masters_is_enough(void **state)
{
	struct figures *f = *state;
	JSON_AUTO targets = json_pack("[s,s,s]", "bad", "t1", "t2");
	assert_int_equal(figures_watch(f, "default", "a", &masters, targets, ""), 0);
	await(&told, 1);
	struct engine_figures got = {0};
	char err[512];
	assert_true(figures_get(f, "default", "a", &got, err));
	assert_int_equal(got.capacity_bytes, 10);
	engine_figures_clear(&got);
}

/* Everybody gets a turn, in the order in which they are due, whatever comes and goes meanwhile. */
static void test_many_take_turns(void **state)
{
	struct figures *f = *state;
	char name[16];
	for (int i = 0; i < 100; i++) {
		(void)snprintf(name, sizeof name, "n%d", i);
		watch(f, name, "t", "");
	}
	for (int i = 0; i < 100; i += 3) {
		(void)snprintf(name, sizeof name, "n%d", i);
		figures_forget(f, "default", name);
	}
	await(&asked, 300);
	for (int i = 0; i < 100; i++) {
		struct engine_figures got = {0};
		char err[512];
		(void)snprintf(name, sizeof name, "n%d", i);
		if (figures_get(f, "default", name, &got, err) != (i % 3 != 0))
			fail_msg("%s: forgotten or not, that is wrong", name);
		engine_figures_clear(&got);
	}
}

static void test_without_targets_nobody_is_asked(void **state)
{
	struct figures *f = *state;
	watch(f, "a", "t", "");
	await(&told, 1);
	assert_int_equal(figures_watch(f, "default", "a", &workers, NULL, ""), 0);
	watch(f, "b", "t", "");
	await(&told, 2);
	struct engine_figures got = {0};
	char err[512];
	assert_true(figures_get(f, "default", "a", &got, err)); /* the last answer is kept */
	engine_figures_clear(&got);
}

int main(void)
{
#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
	const struct CMUnitTest tests[] = {
		T(test_only_news_is_told),
		T(test_failures_are_told_once_and_end),
		T(test_one_hung_engine_stops_nobody),
		T(test_many_hung_engines_stop_nobody),
		cmocka_unit_test_setup_teardown(test_slow_engines_are_given_time, setup, teardown),
		T(test_several_targets_add_up),
		T(test_one_of_several_masters_is_enough),
		T(test_many_take_turns),
		T(test_without_targets_nobody_is_asked)};
	return cmocka_run_group_tests_name("runtime/figures", tests, NULL, NULL);
}
