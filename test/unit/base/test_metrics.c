#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <math.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/metrics.h"
#include "base/strbuf.h"

#define LABELS(...) ((const char *const[]){__VA_ARGS__, NULL})

static const char *const by_controller[] = {"controller", "result", NULL};

static char *text_of(struct metrics *r)
{
	struct strbuf b = STRBUF_INIT(1 << 20);
	char *text = NULL;
	metrics_write(r, &b);
	assert_int_equal(strbuf_take(&b, &text), 0);
	return text;
}

static void counters_and_gauges(void **state)
{
	(void)state;
	struct metrics *r = metrics_new();
	struct metric *c = metrics_counter(r, "sluice_reconciles_total", "How many.\nBy \\result.", by_controller);
	struct metric *g = metrics_gauge(r, "depth", "Now.", NULL);
	series_add(metric_series(c, LABELS("dataset", "ok")), 1);
	series_add(metric_series(c, LABELS("dataset", "ok")), 2);
	series_add(metric_series(c, LABELS("a\"b\\c\nd", "error")), 0.5);
	series_set(metric_series(g, NULL), -7);
	series_add(metric_series(g, NULL), 1e18);
	char *text = text_of(r);
	assert_string_equal(text, "# HELP sluice_reconciles_total How many.\\nBy \\\\result.\n"
				  "# TYPE sluice_reconciles_total counter\n"
				  "sluice_reconciles_total{controller=\"dataset\",result=\"ok\"} 3\n"
				  "sluice_reconciles_total{controller=\"a\\\"b\\\\c\\nd\",result=\"error\"} 0.5\n"
				  "# HELP depth Now.\n# TYPE depth gauge\ndepth 1e+18\n");
	free(text);
	assert_ptr_equal(metrics_counter(r, "sluice_reconciles_total", "again", by_controller), c);
	metric_drop(c, LABELS("dataset", "ok"));
	metric_drop(c, LABELS("never", "seen"));
	series_set(metric_series(g, NULL), INFINITY);
	text = text_of(r);
	assert_null(strstr(text, "dataset"));
	assert_non_null(strstr(text, "depth +Inf\n"));
	free(text);
	metrics_free(r);
}

static void histograms(void **state)
{
	(void)state;
	static const double bounds[] = {0.1, 1};
	struct metrics *r = metrics_new();
	struct series *s = metric_series(metrics_histogram(r, "d_seconds", "T.", LABELS("op"), bounds, 2), LABELS("x"));
	series_observe(s, 0.1); /* a bound belongs to its bucket */
	series_observe(s, 0.5);
	series_observe(s, 2);
	char *text = text_of(r);
	assert_string_equal(
		text,
		"# HELP d_seconds T.\n# TYPE d_seconds histogram\n"
		"d_seconds_bucket{op=\"x\",le=\"0.1\"} 1\nd_seconds_bucket{op=\"x\",le=\"1\"} 2\n"
		"d_seconds_bucket{op=\"x\",le=\"+Inf\"} 3\nd_seconds_sum{op=\"x\"} 2.6\nd_seconds_count{op=\"x\"} 3\n");
	free(text);
	metrics_free(r);
}

static void too_many_series(void **state)
{
	(void)state;
	struct metrics *r = metrics_new();
	struct metric *c = metrics_counter(r, "c", "C.", LABELS("who"));
	char name[5000];
	for (int i = 0; i < METRICS_MAX_SERIES + 5; i++) {
		(void)snprintf(name, sizeof name, "%d", i);
		series_add(metric_series(c, LABELS(name)), 1);
	}
	memset(name, 'x', sizeof name - 1);
	name[sizeof name - 1] = '\0';
	series_add(metric_series(c, LABELS(name)), 1);
	assert_true(series_value(metric_series(c, LABELS("other"))) == 6);
	metrics_free(r);
}

static void nothing_is_taken(void **state)
{
	(void)state;
	assert_null(metric_series(metrics_counter(NULL, "c", "C.", NULL), NULL));
	series_add(NULL, 1);
	series_set(NULL, 1);
	series_observe(NULL, 1);
	metric_drop(NULL, NULL);
	metrics_free(NULL);
	metrics_write(NULL, NULL);
	assert_non_null(metrics_root());
	assert_ptr_equal(metrics_root(), metrics_root());
}

static void *count(void *arg)
{
	for (int i = 0; i < 10000; i++)
		series_add(metric_series(arg, LABELS(i % 2 ? "odd" : "even")), 1);
	return NULL;
}

static void threads(void **state)
{
	(void)state;
	struct metrics *r = metrics_new();
	struct metric *c = metrics_counter(r, "c", "C.", LABELS("n"));
	pthread_t t[4];
	for (int i = 0; i < 4; i++)
		assert_int_equal(pthread_create(&t[i], NULL, count, c), 0);
	for (int i = 0; i < 4; i++)
		assert_int_equal(pthread_join(t[i], NULL), 0);
	assert_true(series_value(metric_series(c, LABELS("odd"))) == 20000);
	metrics_free(r);
}

static void set_answer(void *ctx)
{
	struct metrics *r = ctx;
	series_add(metric_series(metrics_counter(r, "looks_total", "Looks.", NULL), NULL), 1);
}

static bool writes(struct metrics *r, const char *text)
{
	struct strbuf b = STRBUF_INIT(65536);
	metrics_write(r, &b);
	assert_false(b.failed);
	const bool found = b.p != NULL && strstr(b.p, text) != NULL;
	strbuf_clear(&b);
	return found;
}

static void what_is_looked_at_when_written(void **state)
{
	(void)state;
	struct metrics *r = metrics_new();
	int other = 0;
	metrics_off_write(r, set_answer, r);
	assert_int_equal(metrics_on_write(r, set_answer, r), 0);
	assert_true(writes(r, "looks_total 1\n"));
	metrics_off_write(r, set_answer, &other);
	assert_true(writes(r, "looks_total 2\n"));
	metrics_off_write(r, set_answer, r);
	assert_true(writes(r, "looks_total 2\n"));
	assert_int_equal(metrics_on_write(r, set_answer, r), 0); /* metrics_free() forgets it */
	metrics_free(r);
	assert_int_equal(metrics_on_write(NULL, set_answer, NULL), -ENOMEM);
	metrics_off_write(NULL, set_answer, NULL);
}

static double value_of(struct metrics *r, const char *name)
{
	return series_value(metric_series(metrics_gauge(r, name, "", NULL), NULL));
}

static void processes_are_measured(void **state)
{
	(void)state;
	struct metrics *r = metrics_new();
	const double now = (double)time(NULL);
	assert_int_equal(metrics_process(r), 0);
	assert_true(writes(r, "# TYPE process_cpu_seconds_total counter\n"));
	const double fds = value_of(r, "process_open_fds"), started = value_of(r, "process_start_time_seconds");
	if (started < now - 600 || started > now + 2)
		fail_msg("started at %f, now is %f", started, now);
	assert_true(value_of(r, "process_threads") >= 1);
	assert_true(value_of(r, "process_resident_memory_bytes") > 100000);
	const int fd = dup(0);
	assert_true(fd >= 0);
	assert_true(writes(r, "process_open_fds "));
	assert_true(value_of(r, "process_open_fds") == fds + 1);
	(void)close(fd);
	const int64_t used = clock() + CLOCKS_PER_SEC / 20;
	while (clock() < used)
		;
	const double before =
		series_value(metric_series(metrics_counter(r, "process_cpu_seconds_total", "", NULL), NULL));
	assert_true(writes(r, "process_cpu_seconds_total"));
	assert_true(series_value(metric_series(metrics_counter(r, "process_cpu_seconds_total", "", NULL), NULL)) >
		    before);
	metrics_free(r);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(counters_and_gauges),
		cmocka_unit_test(histograms),
		cmocka_unit_test(too_many_series),
		cmocka_unit_test(nothing_is_taken),
		cmocka_unit_test(threads),
		cmocka_unit_test(what_is_looked_at_when_written),
		cmocka_unit_test(processes_are_measured),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
