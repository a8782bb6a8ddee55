/* Reading container logs, with what `kubectl logs` may ask. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/error.h"
#include "base/file.h"
#include "base/str.h"
#include "base/strbuf.h"
#include "local/agent_log.h"

#define T "2026-01-02T03:04:05.000000001+00:00"

static void test_parse_line(void **state)
{
	(void)state;
	static const struct {
		const char *line, *text;
		bool ok, partial;
	} cases[] = {
		{T " stdout F hello world", "hello world", true, false},
		{T " stderr P half", "half", true, true},
		{T " stdout F ", "", true, false},
		{T " stdout F  two", " two", true, false},
		{T " stdout F", NULL, false, false},
		{T " stdxxx F x", NULL, false, false},
		{T " stdout X x", NULL, false, false},
		{T "", NULL, false, false},
		{"", NULL, false, false},
		{" stdout F x", NULL, false, false},
	};
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct log_line l = {0};
		const bool ok = log_line_parse(cases[i].line, strlen(cases[i].line), &l);
		if (ok != cases[i].ok || (ok && (l.partial != cases[i].partial || l.text_n != strlen(cases[i].text) ||
						 memcmp(l.text, cases[i].text, l.text_n) != 0)))
			fail_msg("'%s'", cases[i].line);
	}
}

static int collect(void *ctx, const char *data, size_t n)
{
	strbuf_add(ctx, data, n);
	return 0;
}

static char dir[] = "/tmp/sluice-test-log-XXXXXX";

static void put(const char *name, const char *text)
{
	CLEANUP(free_p) char *path = str_printf("%s/%s", dir, name);
	(void)unlink(path);
	if (text != NULL)
		assert_int_equal(file_write_atomic(path, 0600, text, strlen(text), NULL), 0);
}

static void test_options(void **state)
{
	(void)state;
	static const char now[] =
		T " stdout F three\n" T " stderr P fo\n" T " stderr F ur\n2099-01-01T00:00:00Z stdout F five\n";
	static const char old[] = T " stdout F one\n" T " stdout F two\n";
	static const struct {
		const char *name, *old, *now;
		struct log_options o;
		const char *want;
		int rc;
	} cases[] = {
		{"all", NULL, now, {.tail_lines = -1, .limit_bytes = -1}, "three\nfour\nfive\n", 1},
		{"rotated first", old, now, {.tail_lines = -1, .limit_bytes = -1}, "one\ntwo\nthree\nfour\nfive\n", 1},
		{"tail", old, now, {.tail_lines = 1, .limit_bytes = -1}, "five\n", 1},
		{"tail none", old, now, {.tail_lines = 0, .limit_bytes = -1}, "", 0},
		{"tail of all there is", NULL, now, {.tail_lines = 4, .limit_bytes = -1}, "three\nfour\nfive\n", 1},
		{"tail reaches back", old, now, {.tail_lines = 5, .limit_bytes = -1}, "two\nthree\nfour\nfive\n", 1},
		{"tail of more than there is",
		 old,
		 now,
		 {.tail_lines = 100, .limit_bytes = -1},
		 "one\ntwo\nthree\nfour\nfive\n",
		 1},
		{"limit", NULL, now, {.tail_lines = -1, .limit_bytes = 8}, "three\nfo", -EFBIG},
		{"limit not reached", NULL, now, {.tail_lines = -1, .limit_bytes = 800}, "three\nfour\nfive\n", 1},
		{"since",
		 NULL,
		 now,
		 {.tail_lines = -1, .limit_bytes = -1, .since_ns = INT64_C(2000000000) * NSEC_PER_SEC},
		 "five\n",
		 1},
		{"timestamps, once for a line in pieces",
		 NULL,
		 now,
		 {.tail_lines = -1, .limit_bytes = -1, .timestamps = true},
		 T " three\n" T " four\n2099-01-01T00:00:00Z five\n",
		 1},
		{"nothing there", NULL, NULL, {.tail_lines = -1, .limit_bytes = -1}, "", 0},
		{"a line that is none",
		 NULL,
		 "garbage\n" T " stdout F x\n",
		 {.tail_lines = -1, .limit_bytes = -1},
		 "x\n",
		 1},
	};
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		put("0.log.1", cases[i].old);
		put("0.log", cases[i].now);
		CLEANUP(free_p) char *path = str_printf("%s/0.log", dir);
		CLEANUP(strbuf_clear) struct strbuf b = STRBUF_INIT(65536);
		struct log_reader *r = log_reader_new(path, &cases[i].o);
		struct error err = {0};
		const int rc = log_reader_read(r, collect, &b, &err);
		log_reader_free(r);
		if (rc != cases[i].rc || strcmp(b.p != NULL ? b.p : "", cases[i].want) != 0)
			fail_msg("%s: rc %d, '%s'", cases[i].name, rc, b.p != NULL ? b.p : "");
	}
}

static void append(const char *path, const char *text)
{
	FILE *f = fopen(path, "ae");
	assert_non_null(f);
	assert_true(fputs(text, f) >= 0);
	assert_int_equal(fclose(f), 0);
}

/* A reader that follows: lines as they come, halves when they are whole, and over a rotation. */
static void test_follow(void **state)
{
	(void)state;
	put("0.log.1", NULL);
	put("0.log", NULL);
	CLEANUP(free_p) char *path = str_printf("%s/0.log", dir);
	CLEANUP(free_p) char *rotated = str_printf("%s/0.log.1", dir);
	CLEANUP(strbuf_clear) struct strbuf b = STRBUF_INIT(65536);
	struct log_reader *r = log_reader_new(path, &(struct log_options){.tail_lines = -1, .limit_bytes = -1});
	assert_int_equal(log_reader_read(r, collect, &b, NULL), 0);
	append(path, T " stdout F a\n" T " stdo");
	assert_int_equal(log_reader_read(r, collect, &b, NULL), 1);
	assert_string_equal(b.p, "a\n");
	append(path, "ut F b\n");
	assert_int_equal(log_reader_read(r, collect, &b, NULL), 1);
	assert_string_equal(b.p, "a\nb\n");
	assert_int_equal(log_reader_read(r, collect, &b, NULL), 0);
	append(path, T " stdout F c\n");
	assert_int_equal(rename(path, rotated), 0);
	append(path, T " stdout F d\n");
	assert_int_equal(log_reader_read(r, collect, &b, NULL), 1);
	assert_string_equal(b.p, "a\nb\nc\nd\n");
	log_reader_free(r);
}

static int refuse(void *ctx, const char *data, size_t n)
{
	(void)ctx;
	(void)data;
	(void)n;
	return -EPIPE;
}

static void test_sink_ends_it(void **state)
{
	(void)state;
	put("0.log", T " stdout F a\n");
	CLEANUP(free_p) char *path = str_printf("%s/0.log", dir);
	struct log_reader *r = log_reader_new(path, &(struct log_options){.tail_lines = -1, .limit_bytes = -1});
	assert_int_equal(log_reader_read(r, refuse, NULL, NULL), -EPIPE);
	log_reader_free(r);
}

static int setup(void **state)
{
	(void)state;
	return mkdtemp(dir) != NULL ? 0 : -1;
}

static int teardown(void **state)
{
	(void)state;
	return file_remove_all(dir, NULL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_parse_line),
		cmocka_unit_test(test_options),
		cmocka_unit_test(test_follow),
		cmocka_unit_test(test_sink_ends_it),
	};
	return cmocka_run_group_tests(tests, setup, teardown);
}
