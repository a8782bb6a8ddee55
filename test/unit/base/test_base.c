/* The small foundations: errors, arenas, buffers, strings, maps, clock, randomness. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/arena.h"
#include "base/cleanup.h"
#include "base/clock.h"
#include "base/error.h"
#include "base/map.h"
#include "base/random.h"
#include "base/str.h"
#include "base/strbuf.h"

static void error_set_and_wrap(void **state)
{
	(void)state;
	struct error e = {0};
	assert_int_equal(error_set(&e, -ENOENT, "no %s", "pod"), -ENOENT);
	e.status = 404;
	(void)str_copy(e.reason, sizeof e.reason, "NotFound");
	assert_int_equal(error_wrap(&e, -EIO, "get %d", 7), -EIO);
	assert_string_equal(e.msg, "get 7: no pod");
	assert_int_equal(e.code, -EIO);
	assert_int_equal(e.status, 404);
	assert_string_equal(e.reason, "NotFound");

	/* The old message may be an argument of the new one. */
	(void)error_set(&e, -EIO, "again: %s", e.msg);
	assert_string_equal(e.msg, "again: get 7: no pod");
	assert_int_equal(e.status, 0);
	assert_string_equal(e.reason, "");

	for (int i = 0; i < 100; i++)
		(void)error_wrap(&e, -EIO, "%0100d", i);
	assert_int_equal(strlen(e.msg), sizeof e.msg - 1);
	assert_int_equal(error_set(NULL, -EIO, "x"), -EIO);
	assert_int_equal(error_wrap(NULL, -EIO, "x"), -EIO);

	struct error empty = {0};
	(void)error_wrap(&empty, -ENOENT, "open");
	assert_string_equal(empty.msg, "open: No such file or directory");
}

static void arena_limits(void **state)
{
	(void)state;
	struct arena a = ARENA_INIT(100);
	char *p = arena_alloc(&a, 33);
	assert_non_null(p);
	for (int i = 0; i < 33; i++)
		assert_int_equal(p[i], 0);
	assert_int_equal((uintptr_t)p % _Alignof(max_align_t), 0);
	assert_null(arena_alloc(&a, 101));
	assert_null(arena_alloc(&a, SIZE_MAX));
	assert_null(arena_alloc_array(&a, SIZE_MAX / 2, 3));
	assert_null(arena_strndup(&a, "", SIZE_MAX));
	assert_non_null(arena_alloc(&a, 48)); /* 48 + 48 = 96 */
	assert_null(arena_alloc(&a, 5));      /* rounded up past the limit, which no multiple of the alignment meets */
	arena_free(&a);
	assert_non_null(arena_alloc(&a, 96));
	arena_free(&a);
	arena_free(NULL);
}

static void arena_strings(void **state)
{
	(void)state;
	struct arena a = ARENA_INIT(1 << 20);
	assert_string_equal(arena_printf(&a, "%s-%d", "pod", 3), "pod-3");
	assert_string_equal(arena_strdup(&a, "x"), "x");
	assert_null(arena_strdup(&a, NULL));
	assert_string_equal(arena_strndup(&a, "abc", 2), "ab");
	assert_non_null(arena_alloc(&a, 100000)); /* a block of its own */
	assert_string_equal(arena_strdup(&a, "after"), "after");
	const char *one = arena_alloc(&a, 0), *two = arena_alloc(&a, 0);
	assert_non_null(one);
	assert_ptr_not_equal(one, two);
	arena_free(&a);
}

static void strbuf_maximum(void **state)
{
	(void)state;
	struct strbuf b = STRBUF_INIT(5);
	char *s = NULL;
	strbuf_adds(&b, "abc");
	strbuf_addc(&b, 'd');
	assert_string_equal(b.p, "abcd");
	strbuf_adds(&b, "ef");
	assert_true(b.failed);
	strbuf_addc(&b, 'e'); /* would fit, but what came before is lost */
	assert_int_equal(b.n, 4);
	assert_int_equal(strbuf_take(&b, &s), -EFBIG);
	strbuf_addf(&b, "%d", 12345);
	assert_int_equal(strbuf_take(&b, &s), 0);
	assert_string_equal(s, "12345");
	free(s);
	assert_int_equal(strbuf_take(&b, &s), 0);
	assert_string_equal(s, "");
	free(s);
	strbuf_clear(&b);
	strbuf_clear(NULL);
}

static void strbuf_moves(void **state)
{
	(void)state;
	struct strbuf b = STRBUF_INIT(1 << 20);
	strbuf_consume(&b, 3);
	for (int i = 0; i < 1000; i++)
		strbuf_addf(&b, "%03d", i);
	assert_int_equal(b.n, 3000);
	strbuf_consume(&b, 2994);
	assert_string_equal(b.p, "998999");
	strbuf_consume(&b, 100);
	assert_string_equal(b.p, "");
	strbuf_adds(&b, "x");
	strbuf_reset(&b);
	assert_int_equal(b.n, 0);
	strbuf_clear(&b);
}

static void strbuf_json(void **state)
{
	(void)state;
	static const struct {
		const char *in, *out;
		size_t n;
	} cases[] = {
		{"a\"b\\", "\"a\\\"b\\\\\"", 4},
		{"\n\t\r\x01\x7f", "\"\\n\\t\\r\\u0001\\u007f\"", 5},
		{"a\0b", "\"a\\u0000b\"", 3},
		{"\xc3\xa9", "\"\xc3\xa9\"", 2},
		{"\xf0\x9f\x98\x80", "\"\xf0\x9f\x98\x80\"", 4},
		{"\xc0\xaf", "\"\xef\xbf\xbd\xef\xbf\xbd\"", 2},                 /* overlong */
		{"\xed\xa0\x80", "\"\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd\"", 3}, /* surrogate */
		{"\xe2\x82", "\"\xef\xbf\xbd\xef\xbf\xbd\"", 2},                 /* cut */
		{"\xf4\x90\x80\x80", "\"\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd\"", 4},
	};
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct strbuf b = STRBUF_INIT(1000);
		strbuf_add_json(&b, cases[i].in, cases[i].n);
		assert_string_equal(b.p, cases[i].out);
		strbuf_clear(&b);
	}
}

static void str_numbers(void **state)
{
	(void)state;
	static const struct {
		const char *s;
		int rc;
		int64_t v;
	} cases[] = {
		{"0", 0, 0},
		{"-1", 0, -1},
		{"9223372036854775807", 0, INT64_MAX},
		{"-9223372036854775808", 0, INT64_MIN},
		{"9223372036854775808", -ERANGE, 0},
		{"-9223372036854775809", -ERANGE, 0},
		{"99999999999999999999", -ERANGE, 0},
		{"", -EINVAL, 0},
		{"-", -EINVAL, 0},
		{"+1", -EINVAL, 0},
		{" 1", -EINVAL, 0},
		{"1x", -EINVAL, 0},
		{"99999999999999999999x", -EINVAL, 0},
		{"--1", -EINVAL, 0},
		{NULL, -EINVAL, 0},
	};
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		int64_t v = 0;
		if (str_to_i64(cases[i].s, &v) != cases[i].rc || v != cases[i].v)
			fail_msg("%s", cases[i].s);
	}
	uint64_t u = 0;
	assert_int_equal(str_to_u64("18446744073709551615", &u), 0);
	assert_true(u == UINT64_MAX);
	assert_int_equal(str_to_u64("18446744073709551616", &u), -ERANGE);
	assert_int_equal(str_to_u64("-1", &u), -EINVAL);
}

static void str_pieces(void **state)
{
	(void)state;
	struct str rest = str_from("a,,b"), piece;
	assert_true(str_split_next(&rest, ',', &piece) && str_eq(piece, "a"));
	assert_true(str_split_next(&rest, ',', &piece) && str_eq(piece, ""));
	assert_true(str_split_next(&rest, ',', &piece) && str_eq(piece, "b"));
	assert_false(str_split_next(&rest, ',', &piece));
	rest = str_from("");
	assert_true(str_split_next(&rest, ',', &piece) && piece.n == 0);
	assert_false(str_split_next(&rest, ',', &piece));
	rest = str_from(NULL);
	assert_false(str_split_next(&rest, ',', &piece));

	assert_true(str_has_prefix("abc", "ab") && !str_has_prefix("a", "ab"));
	assert_true(str_has_suffix("abc", "bc") && !str_has_suffix("c", "bc"));
	assert_true(str_same(NULL, NULL) && str_same("a", "a"));
	assert_false(str_same("a", NULL) || str_same(NULL, "a") || str_same("a", "b"));
	char small[3];
	assert_int_equal(str_copy(small, sizeof small, "ab"), 0);
	assert_int_equal(str_copy(small, sizeof small, "abc"), -ENAMETOOLONG);
	assert_string_equal(small, "ab");
	CLEANUP(free_p) char *s = str_printf("%d/%s", 1, "x");
	assert_string_equal(s, "1/x");
}

static int freed;

static void count_free(void *p)
{
	freed++;
	free(p);
}

static void map_life(void **state)
{
	(void)state;
	freed = 0;
	struct map *m = map_new(count_free);
	assert_null(map_get(m, "absent"));
	assert_false(map_remove(m, "absent"));
	for (int i = 0; i < 5000; i++) {
		char key[32];
		(void)snprintf(key, sizeof key, "key-%d", i);
		assert_int_equal(map_set(m, key, strdup(key)), 0);
	}
	assert_int_equal(map_size(m), 5000);
	size_t pos = 0;
	const char *key;
	void *value;
	for (int i = 0; map_next(m, &pos, &key, &value);
	     i++) { /* insertion order; removing the entry at hand is allowed */
		char want[32];
		(void)snprintf(want, sizeof want, "key-%d", i);
		assert_string_equal(key, want);
		assert_string_equal(value, want);
		if (i % 2 == 0)
			assert_true(map_remove(m, want));
	}
	assert_int_equal(map_size(m), 2500);
	assert_int_equal(freed, 2500);
	assert_false(map_has(m, "key-0"));
	assert_true(map_has(m, "key-1"));
	assert_int_equal(map_set(m, "key-1", strdup("new")), 0);
	assert_int_equal(freed, 2501);
	assert_string_equal(map_get(m, "key-1"), "new");
	char *stolen = map_steal(m, "key-1");
	assert_string_equal(stolen, "new");
	free(stolen);
	assert_null(map_steal(m, "key-1"));
	map_free(m);
	assert_int_equal(freed, 5000);
	map_free(NULL);
}

static void map_churn(void **state)
{
	(void)state;
	struct map *m = map_new(NULL);
	int x;
	for (int i = 0; i < 100000; i++) { /* removed places are used again: the map does not grow */
		char key[32];
		(void)snprintf(key, sizeof key, "%d", i);
		assert_int_equal(map_set(m, key, &x), 0);
		assert_true(map_remove(m, key));
	}
	assert_int_equal(map_size(m), 0);
	assert_int_equal(map_set(m, "", &x), 0);
	assert_ptr_equal(map_get(m, ""), &x);
	map_free(m);
}

static void clock_texts(void **state)
{
	(void)state;
	static const struct {
		const char *s, *out; /* out NULL: refused */
	} cases[] = {
		{"2026-01-02T03:04:05Z", "2026-01-02T03:04:05.000000Z"},
		{"2026-01-02t03:04:05.25z", "2026-01-02T03:04:05.250000Z"},
		{"2026-01-02T03:04:05.123456789+02:00", "2026-01-02T01:04:05.123456Z"},
		{"2024-02-29T23:59:59-00:30", "2024-03-01T00:29:59.000000Z"},
		{"1969-12-31T23:59:59.5Z", "1969-12-31T23:59:59.500000Z"},
		{"2000-02-29T00:00:00Z", "2000-02-29T00:00:00.000000Z"},
		{"2116-02-20T23:53:38Z", "2116-02-20T23:53:38.000000Z"},
		{"9999-12-31T23:59:59Z", "2116-02-20T23:53:38.427387Z"}, /* past the last time */
		{"0001-01-01T00:00:00Z", "1823-11-12T00:06:21.572612Z"},
		{"2025-02-29T00:00:00Z", NULL},
		{"1900-02-29T00:00:00Z", NULL},
		{"2026-13-01T00:00:00Z", NULL},
		{"2026-01-02T24:00:00Z", NULL},
		{"2026-01-02T03:04:05", NULL},
		{"2026-01-02T03:04:05.Z", NULL},
		{"2026-01-02 03:04:05Z", NULL},
		{"2026-01-02T03:04:05Zx", NULL},
		{"2026-01-02T03:04:05+0200", NULL},
		{"2026-1-02T03:04:05Z", NULL},
		{"", NULL},
	};
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		int64_t ns = 0;
		const int rc = clock_parse_rfc3339(cases[i].s, &ns);
		if (rc != (cases[i].out != NULL ? 0 : -EINVAL))
			fail_msg("%s: %d", cases[i].s, rc);
		if (rc < 0)
			continue;
		char out[40];
		clock_format_rfc3339_micro(ns, out);
		assert_string_equal(out, cases[i].out);
	}
	char out[32];
	clock_format_rfc3339(INT64_C(1767323045999999999), out);
	assert_string_equal(out, "2026-01-02T03:04:05Z");
}

static int64_t fixed(void)
{
	return 42;
}

static void clock_replaced(void **state)
{
	(void)state;
	const int64_t before = clock_mono_ns();
	clock_replace(fixed, fixed);
	assert_int_equal(clock_mono_ns(), 42);
	assert_int_equal(clock_wall_ns(), 42);
	clock_replace(NULL, NULL);
	assert_true(clock_mono_ns() >= before);
}

static void random_shapes(void **state)
{
	(void)state;
	char a[37], b[37], s[6];
	random_uuid(a);
	random_uuid(b);
	assert_int_equal(strlen(a), 36);
	assert_int_equal(a[14], '4');
	assert_non_null(strchr("89ab", a[19]));
	assert_string_not_equal(a, b);
	random_suffix(s, 5);
	assert_int_equal(strspn(s, "bcdfghjklmnpqrstvwxz2456789"), 5);
	bool seen[3] = {false};
	for (int i = 0; i < 1000; i++)
		seen[random_below(3)] = true;
	assert_true(seen[0] && seen[1] && seen[2]);
	assert_int_equal(random_below(1), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(error_set_and_wrap), cmocka_unit_test(arena_limits), cmocka_unit_test(arena_strings),
		cmocka_unit_test(strbuf_maximum),     cmocka_unit_test(strbuf_moves), cmocka_unit_test(strbuf_json),
		cmocka_unit_test(str_numbers),        cmocka_unit_test(str_pieces),   cmocka_unit_test(map_life),
		cmocka_unit_test(map_churn),          cmocka_unit_test(clock_texts),  cmocka_unit_test(clock_replaced),
		cmocka_unit_test(random_shapes),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
