#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/error.h"
#include "base/strbuf.h"
#include "json/json.h"

static json_t *parse(const char *text)
{
	json_t *j = NULL;
	struct error e = {0};
	if (json_parse(text, strlen(text), &j, &e) < 0)
		fail_msg("%s: %s", text, e.msg);
	return j;
}

static void parse_and_print(void **state)
{
	(void)state;
	static const struct {
		const char *in, *out; /* out NULL: refused */
	} cases[] = {
		{"{\"b\":1,\"a\":[true,false,null,\"x\"]}", "{\"b\":1,\"a\":[true,false,null,\"x\"]}"},
		{" 1 ", "1"},
		{"\"a\\u0000b\"", "\"a\\u0000b\""},
		{"\"\\ud83d\\ude00\"", "\"\xf0\x9f\x98\x80\""},
		{"0.1", "0.1"},
		{"1.0", "1"},
		{"-2.5e3", "-2500"},
		{"1e21", "1e+21"},
		{"123456789012345680000.0", "1.2345678901234568e+20"},
		{"9223372036854775808.0", "9.223372036854776e+18"},
		{"9223372036854774784.0", "9223372036854774784"},
		{"-0.0", "-0"},
		{"0.000001", "0.000001"},
		{"0.0000001", "1e-7"},
		{"1.7976931348623157e308", "1.7976931348623157e+308"},
		{"5e-324", "5e-324"},
		{"0.0", "0"},
		{"9223372036854775807", "9223372036854775807"},
		{"{}", "{}"},
		{"[]", "[]"},
		{"", NULL},
		{"{\"a\":1} x", NULL},
		{"{\"a\":1,}", NULL},
		{"nul", NULL},
		{"01", NULL},
		{"'a'", NULL},
		{"\"\\ud83d\"", NULL},
		{"\"a\tb\"", NULL},
	};
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		JSON_AUTO j = NULL;
		const int rc = json_parse(cases[i].in, strlen(cases[i].in), &j, NULL);
		if (rc != (cases[i].out != NULL ? 0 : -EINVAL))
			fail_msg("%s: %d", cases[i].in, rc);
		if (rc < 0)
			continue;
		CLEANUP(free_p) char *text = json_to_text(j, NULL);
		assert_string_equal(text, cases[i].out);
	}
}

static void parse_errors(void **state)
{
	(void)state;
	json_t *j = NULL;
	struct error e = {0};
	assert_int_equal(json_parse("{\n \"a\": x}", 10, &j, &e), -EINVAL);
	assert_string_equal(e.msg, "JSON line 2, column 7: invalid token near 'x'");
	assert_int_equal(json_parse("{\"a\\u0000\": 1}", 14, &j, &e), -EINVAL);
	assert_int_equal(json_parse("[0\0]", 4, &j, &e), -EINVAL);
	assert_string_equal(e.msg, "JSON contains a NUL byte");

	struct strbuf b = STRBUF_INIT(10000);
	for (int i = 0; i < JSON_MAX_DEPTH + 1; i++)
		strbuf_addc(&b, '[');
	for (int i = 0; i < JSON_MAX_DEPTH + 1; i++)
		strbuf_addc(&b, ']');
	assert_int_equal(json_parse(b.p, b.n, &j, &e), -EINVAL);
	assert_string_equal(e.msg, "JSON is nested more than 256 deep");
	JSON_AUTO deep = NULL;
	assert_int_equal(json_parse(b.p + 1, b.n - 2, &deep, &e), 0);
	assert_null(j);
	strbuf_clear(&b);
}

static void print_indented(void **state)
{
	(void)state;
	JSON_AUTO j = parse("{\"a\":{},\"b\":[1,{\"c\":[]}]}");
	CLEANUP(free_p) char *text = json_to_text_indent(j, 4);
	assert_string_equal(
		text,
		"{\n    \"a\": {},\n    \"b\": [\n        1,\n        {\n            \"c\": []\n        }\n    ]\n}");
	assert_null(json_to_text(NULL, NULL));
}

static void paths_read(void **state)
{
	(void)state;
	JSON_AUTO j = parse(
		"{\"metadata\":{\"labels\":{\"a.b/c\":\"x\"}},\"n\":3,\"r\":4.0,\"h\":4.5,\"t\":true,"
		"\"c\":[{\"name\":\"one\",\"v\":1},{\"name\":\"two\",\"v\":2,\"p\":[10,20]},{\"port\":80,\"v\":3}]}");
	assert_string_equal(json_str(j, "metadata.labels[\"a.b/c\"]", NULL), "x");
	assert_int_equal(json_int(j, "c[name=two].v", 0), 2);
	assert_int_equal(json_int(j, "c[port=80].v", 0), 3);
	assert_int_equal(json_int(j, "c[1].p[1]", 0), 20);
	assert_int_equal(json_int(j, "c[name=three].v", -1), -1);
	assert_int_equal(json_int(j, "c[7].v", -1), -1);
	assert_int_equal(json_int(j, "n.x", -1), -1);
	assert_int_equal(json_int(j, "r", -1), 4);
	assert_int_equal(json_int(j, "h", -1), -1);
	assert_true(json_bool(j, "t", false));
	assert_true(json_bool(j, "n", true));
	assert_string_equal(json_str(j, "n", "no"), "no");
	assert_null(json_at(NULL, "a"));
	assert_ptr_equal(json_at(j, ""), j);
}

static void paths_write(void **state)
{
	(void)state;
	JSON_AUTO j = parse("{\"null\":null,\"s\":\"x\"}");
	assert_int_equal(json_put_str(j, "spec.containers[name=fuse].image", "i"), 0);
	assert_int_equal(json_put_int(j, "spec.containers[name=fuse].n", 1), 0);
	assert_int_equal(json_put_bool(j, "null.a[\"x.y\"]", true), 0);
	assert_int_equal(json_put(j, "list[0]", json_string("first")), 0);
	assert_int_equal(json_put(j, "list[0]", json_string("again")), 0);
	assert_int_equal(json_put(j, "list[2]", json_null()), -EINVAL);
	assert_int_equal(json_put_str(j, "s.t", "x"), -EINVAL);
	assert_int_equal(json_put_str(j, "s", NULL), -EINVAL);
	assert_int_equal(json_put(j, "s", NULL), -ENOMEM);
	assert_int_equal(json_push(j, "spec.args", json_string("-v")), 0);
	assert_int_equal(json_push(j, "spec.args", json_string("-x")), 0);
	assert_int_equal(json_push(j, "s", json_null()), -EINVAL);
	json_drop(j, "spec.containers[name=fuse].n");
	json_drop(j, "spec.containers[name=none].n");
	json_drop(j, "a.b.c");
	json_drop(j, "spec.args[0]");
	json_drop(j, "s");
	CLEANUP(free_p) char *text = json_to_text(j, NULL);
	assert_string_equal(
		text, "{\"null\":{\"a\":{\"x.y\":true}},\"spec\":{\"containers\":[{\"name\":\"fuse\",\"image\":\"i\"}],"
		      "\"args\":[\"-x\"]},\"list\":[\"again\"]}");
}

static void sameness(void **state)
{
	(void)state;
	static const struct {
		const char *a, *b;
		bool same;
	} cases[] = {
		{"1", "1.0", true},
		{"1", "1.5", false},
		{"9223372036854775807", "9.223372036854775807e18", false}, /* the real is 2^63 */
		{"{\"a\":1,\"b\":[2]}", "{\"b\":[2.0],\"a\":1}", true},
		{"{\"a\":1}", "{\"a\":1,\"b\":null}", false},
		{"[1,2]", "[2,1]", false},
		{"\"a\\u0000b\"", "\"a\\u0000c\"", false},
		{"null", "false", false},
		{"\"1\"", "1", false},
	};
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		JSON_AUTO a = parse(cases[i].a);
		JSON_AUTO b = parse(cases[i].b);
		if (json_same(a, b) != cases[i].same || json_same(b, a) != cases[i].same)
			fail_msg("%s, %s", cases[i].a, cases[i].b);
	}
}

static void note(void *ctx, const char *path)
{
	strbuf_adds(ctx, path);
	strbuf_addc(ctx, ';');
}

static void duplicates(void **state)
{
	(void)state;
	static const struct {
		const char *text, *found; /* found NULL: no JSON */
	} cases[] = {
		{"{\"a\":1,\"b\":2}", ""},
		{"{\"a\":1,\"a\":2,\"a\":3}", "a;a;"},
		{"{\"spec\":{\"x\":[{\"y\":1},{\"y\":1,\"z\":2,\"y\":3}]}}", "spec.x[1].y;"},
		{"{\"a\":1,\"\\u0061\":2}", "a;"},
		{"{\"\xc3\xa9\":1,\"\\u00e9\":2}", "\xc3\xa9;"},
		{"{\"\\ud83d\\ude00\":1,\"\xf0\x9f\x98\x80\":2}", "\xf0\x9f\x98\x80;"},
		{"{\"\":1,\"\":2}", ";"},
		{" [ 1 , -0.5e+3, true, false, null, \"x\\n\" ] ", ""},
		{"{\"a\":1 \"b\":2}", NULL},
		{"{\"a\\u0000\":1}", NULL},
		{"[1,]", NULL},
		{"[01]", NULL},
		{"[1.]", NULL},
		{"[1e]", NULL},
		{"\"\\x\"", NULL},
		{"\"\\udc00\"", NULL},
		{"{", NULL},
		{"", NULL},
		{"1 1", NULL},
	};
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct strbuf b = STRBUF_INIT(1000);
		const int rc = json_scan_duplicates(cases[i].text, strlen(cases[i].text), note, &b);
		if (rc != (cases[i].found != NULL ? 0 : -EINVAL))
			fail_msg("%s: %d", cases[i].text, rc);
		if (rc == 0)
			assert_string_equal(b.p != NULL ? b.p : "", cases[i].found);
		strbuf_clear(&b);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(parse_and_print), cmocka_unit_test(parse_errors), cmocka_unit_test(print_indented),
		cmocka_unit_test(paths_read),      cmocka_unit_test(paths_write),  cmocka_unit_test(sameness),
		cmocka_unit_test(duplicates),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
