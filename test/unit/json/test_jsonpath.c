#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "base/error.h"
#include "base/strbuf.h"
#include "json/json.h"
#include "json/jsonpath.h"

static json_t *parse(const char *text)
{
	json_t *j = NULL;
	struct error e = {0};
	if (json_parse(text, strlen(text), &j, &e) < 0)
		fail_msg("%s: %s", text, e.msg);
	return j;
}

/* The example of kubectl's documentation. */
static const char documented[] =
	"{\"kind\":\"List\",\"items\":["
	"{\"kind\":\"None\",\"metadata\":{\"name\":\"127.0.0.1\",\"labels\":{\"kubernetes.io/"
	"hostname\":\"127.0.0.1\"}},"
	"\"status\":{\"capacity\":{\"cpu\":\"4\"},\"addresses\":[{\"type\":\"LegacyHostIP\",\"address\":\"127.0.0.1\"}]"
	"}},"
	"{\"kind\":\"None\",\"metadata\":{\"name\":\"127.0.0.2\"},"
	"\"status\":{\"capacity\":{\"cpu\":\"8\"},\"addresses\":[{\"type\":\"LegacyHostIP\",\"address\":\"127.0.0.2\"},"
	"{\"type\":\"another\",\"address\":\"127.0.0.3\"}]}}],"
	"\"users\":[{\"name\":\"myself\",\"user\":{}},"
	"{\"name\":\"e2e\",\"user\":{\"username\":\"admin\",\"password\":\"secret\"}}]}";

/* Numbers, null, lists and text that needs escapes; each expectation is what kubectl 1.32 printed for the same object. */
static const char mixed[] =
	"{\"n\":null,\"i\":5,\"f\":1.5,\"big\":1e6,\"small\":0.00001,\"whole\":2.0,\"neg\":-2.5,"
	"\"its\":[{\"a\":1,\"s\":\"x\",\"t\":true,\"l\":[1,2,3]},{\"a\":2,\"s\":\"y\",\"t\":false},"
	"{\"a\":3,\"s\":\"z\",\"n\":null,\"l\":[9]}],"
	"\"m\":{\"z\":1,\"a\":\"<&>\",\"u\":\"\\u2028\\b\\u0001\xc3\xa9\\\\\"},\"x-y\":8,\"w_1\":7}";

struct text_case {
	const char *path, *text;
};

static void check_texts(const char *object, const struct text_case *cases, size_t n)
{
	JSON_AUTO j = parse(object);
	for (size_t i = 0; i < n; i++) {
		struct jsonpath *p = NULL;
		struct error e = {0};
		CLEANUP(strbuf_clear) struct strbuf out = STRBUF_INIT(65536);
		if (jsonpath_parse(cases[i].path, &p, &e) < 0 || jsonpath_print(p, j, &out, &e) < 0)
			fail_msg("'%s': %s", cases[i].path, e.msg);
		jsonpath_free(p);
		const char *got = out.p != NULL ? out.p : "";
		if (strcmp(got, cases[i].text) != 0)
			fail_msg("'%s': got '%s', not '%s'", cases[i].path, got, cases[i].text);
	}
}

static void documentation(void **state)
{
	(void)state;
	static const struct text_case cases[] = {
		{"kind is {.kind}", "kind is List"},
		{"{.kind}", "List"},
		{"{['kind']}", "List"},
		{"{['metadata\\.name']}", ""},
		{"{..metadata.name}", "127.0.0.1 127.0.0.2"},
		{"{.items[*].metadata.name}", "127.0.0.1 127.0.0.2"},
		{"{.users[0].name}", "myself"},
		{"{.items[*]['metadata.name', 'status.capacity']}",
		 "127.0.0.1 127.0.0.2 {\"cpu\":\"4\"} {\"cpu\":\"8\"}"},
		{"{.users[?(@.name==\"e2e\")].user.password}", "secret"},
		{"{range .items[*]}[{.metadata.name}, {.status.capacity}] {end}",
		 "[127.0.0.1, {\"cpu\":\"4\"}] [127.0.0.2, {\"cpu\":\"8\"}] "},
		{"{range .items[*]}{.metadata.name}{'\\t'}{end}", "127.0.0.1\t127.0.0.2\t"},
		{"{.items[*].metadata.labels.kubernetes\\.io/hostname}", "127.0.0.1"},
		{"{.items[*].status.addresses[?(@.type=='LegacyHostIP')].address}", "127.0.0.1 127.0.0.2"},
		{"{range .items[*]}{range .status.addresses[*]}{.address},{end};{end}",
		 "127.0.0.1,;127.0.0.2,127.0.0.3,;"},
	};
	check_texts(documented, cases, ARRAY_LEN(cases));
}

static void as_kubectl_prints(void **state)
{
	(void)state;
	static const struct text_case cases[] = {
		{"", ""},
		{"abc", "abc"},
		{"a}b{.i}}", "a}b5}"},
		{"{.}", ""},
		{"{.n}|{.m}", "null|{\"a\":\"\\u003c\\u0026\\u003e\",\"u\":\"\\u2028\\b\\u0001\xc3\xa9\\\\\",\"z\":1}"},
		{"{.f} {.big} {.small} {.whole} {.neg}", "1.5 1e+06 1e-05 2 -2.5"},
		{"{$.i}{@.i}{ .i }", "555"},
		{"{.x-y}{.w_1}", "87"},
		{"{.i.x}{.nope.x[0]}{.n[0]}{.n.x}.", "."},
		{"{.its[-1].s}{.its[-1:].s}{.its[0:3:2].s}", "zzx z"},
		{"{.its[:2].s} {.its[1:].s} {.its[-2:-1].s} {.its[::2].s}{.its[0:0].s}", "x y y z y x z"},
		{"{.its[0,2].s}", "x z"},
		{"{.its[*]['a','s']}", "1 2 3 x y z"},
		{"{.its[*].l} {.its[*].l[*]}", "[1,2,3] [9] 1 2 3 9"},
		{"{.its[0].*}", "1 x true [1,2,3]"},
		{"{.its..a}{...a}", "1 2 31 2 3 <&>"},
		{"{.its[?(@.n)].s}", "z"},
		{"{.its[?(@.l[2])].s}", "x"},
		{"{.its[?(@.a>1)].s}{.its[?(@.a<=2)].s}{.its[?(@.a>=3)].s}{.its[?(@.a<2)].s}", "y zx yzx"},
		{"{.its[?(@.a==-1)].s}{.its[?(1==@.a)].s}{.its[?(@.a==@.a)].s}", "xx y z"},
		{"{.its[?( @.s == \"y\" )].s}{.its[?(@.s!='y')].a}{.its[?(@.s>\"x\")].s}", "y1 3y z"},
		{"{.its[?(@.t==true)].s}{.its[?(@['s']==\"y\")].a}{.its[?(@.s==\")\")].s}", "x2"},
		{"{.its[0].l[?(@>1)]}", "2 3"},
		{"{true}{false}{5}{+5}{-3}{1.5}", "truefalse55-31.5"},
		{"{.its[*] \"x\"}", "x"},
		{"{'a\"b'}{\"a\\x41\\u00e9\\101\\n\\U0001F600\"}", "a\"baA\xc3\xa9"
								   "A\n\xf0\x9f\x98\x80"},
		{"{range .nope[*]}{.a[?(@.a)]}{end}x", "x"},
		{"{range .its[*]}\n{.s}{end}", "\nx\ny\nz"},
	};
	check_texts(mixed, cases, ARRAY_LEN(cases));
}

static void errors(void **state)
{
	(void)state;
	static const struct text_case cases[] = {
		{"{.i", "unclosed action"},
		{"{.i\n}", "unclosed action"},
		{"{foo}", "unrecognized identifier foo"},
		{"{/}", "unrecognized character in action: U+002F '/'"},
		{"{end}", "not in range, nothing to end"},
		{"{range .its[*]}x", "a range has no {end}"},
		{"{.i range .its[*]}{end}", "range and end stand at the beginning of an action"},
		{"{.its[?(range .i)]}", "range and end have no place within brackets"},
		{"{....a}", "invalid multiple recursive descent"},
		{"{[\"i\"]}", "invalid array index \"i\""},
		{"{.its[a]}", "invalid array index a"},
		{"{.its[0:1:2:3]}", "invalid array index 0:1:2:3"},
		{"{.its[99999999999]}", "invalid array index 99999999999"},
		{"{.its[::0]}", "step must be > 0"},
		{"{.its[}", "unterminated array"},
		{"{.its[?(@.a}", "unterminated filter"},
		{"{.its[?(@.a)}", "unclosed array expect ]"},
		{"{.its[?(@.a===1)]}", "unrecognized filter operator ==="},
		{"{.its[?(@.a==)]}", "a filter's operator stands between two values"},
		{"{.its[?(@.s==\"x\" && @.a==1)].s}", "unrecognized character in action: U+0026 '&'"},
		{"{\"abc}", "unterminated quoted string"},
		{"{\"\\q\"}", "invalid escape '\\q' in a quoted string"},
		{"{\"\\ud800\"}", "invalid escape '\\u' in a quoted string"},
		{"{1.2.3}", "cannot parse number 1.2.3"},
		/* Found only with an object. */
		{"{.i[0]}", "an integer is not array or slice"},
		{"{.its[5]}", "array index out of bounds: index 5, length 3"},
		{"{.its[-4]}", "array index out of bounds: index -1, length 3"},
		{"{.its[0:4]}", "array index out of bounds: index 3, length 3"},
		{"{.its[2:1]}", "starting index 2 is greater than ending index 1"},
		{"{.i[?(@.x)]}", "an integer is not array or slice and cannot be filtered"},
		{"{.its[?(@.a==\"x\")].s}", "incompatible types for comparison"},
		{"{.its[?(@.a==1.0)].s}", "incompatible types for comparison"},
		{"{.its[?(@.n==1)].s}", "invalid type for comparison"},
		{"{.its[?(@.t<true)].s}", "invalid type for comparison"},
		{"{.its[?(@.l[*]==1)].s}", "can only compare one element at a time"},
	};
	JSON_AUTO j = parse(mixed);
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct jsonpath *p = NULL;
		struct error e = {0};
		CLEANUP(strbuf_clear) struct strbuf out = STRBUF_INIT(65536);
		int rc = jsonpath_parse(cases[i].path, &p, &e);
		if (rc == 0)
			rc = jsonpath_print(p, j, &out, &e);
		jsonpath_free(p);
		if (rc != -EINVAL || strcmp(e.msg, cases[i].text) != 0)
			fail_msg("'%s': %d '%s', not '%s'", cases[i].path, rc, e.msg, cases[i].text);
	}
}

static void bare_paths(void **state)
{
	(void)state;
	static const char *const same[] = {".its[1].s",  "its[1].s",   "{.its[1].s}",
					   "{its[1].s}", "$.its[1].s", "@.its[1].s"};
	JSON_AUTO j = parse(mixed);
	for (size_t i = 0; i < ARRAY_LEN(same); i++) {
		struct jsonpath *p = NULL;
		struct error e = {0};
		JSON_AUTO found = NULL;
		if (jsonpath_parse_path(same[i], &p, &e) < 0 || jsonpath_find(p, j, &found, &e) < 0)
			fail_msg("'%s': %s", same[i], e.msg);
		jsonpath_free(p);
		assert_int_equal(json_array_size(found), 1);
		assert_string_equal(json_string_value(json_array_get(found, 0)), "y");
	}
	struct jsonpath *p = NULL;
	struct error e = {0};
	assert_int_equal(jsonpath_parse_path(".a}{.b", &p, &e), -EINVAL);
	assert_string_equal(e.msg, "'.a}{.b' is not one path");
}

static void limits(void **state)
{
	(void)state;
	struct jsonpath *p = NULL;
	struct error e = {0};
	CLEANUP(free_p) char *text = malloc(JSONPATH_TEXT_MAX + 2);
	memset(text, 'a', JSONPATH_TEXT_MAX + 1);
	text[JSONPATH_TEXT_MAX + 1] = '\0';
	assert_int_equal(jsonpath_parse(text, &p, &e), -EINVAL);
	assert_string_equal(e.msg, "a JSONPath may have at most 65536 bytes");

	/* The longest template of the most members is no problem. */
	for (size_t i = 0; i < JSONPATH_TEXT_MAX; i++)
		text[i] = i == 0 ? '{' : i == JSONPATH_TEXT_MAX - 1 ? '}' : i % 2 ? '.' : 'a';
	text[JSONPATH_TEXT_MAX] = '\0';
	assert_int_equal(jsonpath_parse(text, &p, &e), 0);
	JSON_AUTO j = parse(mixed);
	CLEANUP(strbuf_clear) struct strbuf out = STRBUF_INIT(16);
	assert_int_equal(jsonpath_print(p, j, &out, &e), 0);
	jsonpath_free(p);

	assert_int_equal(jsonpath_parse("{.its}", &p, &e), 0);
	assert_int_equal(jsonpath_print(p, j, &out, &e), -EFBIG);
	assert_string_equal(e.msg, "what a JSONPath prints is too long");
	jsonpath_free(p);

	/* Each descent multiplies. */
	JSON_AUTO deep = json_string("x");
	for (size_t i = 0; i < 100; i++)
		deep = json_pack("{s:o}", "a", deep);
	JSON_AUTO found = NULL;
	assert_int_equal(jsonpath_parse("{..a..a..a..a}", &p, &e), 0);
	assert_int_equal(jsonpath_find(p, deep, &found, &e), -E2BIG);
	assert_string_equal(e.msg, "a JSONPath finds too many values");
	jsonpath_free(p);

	(void)snprintf(text, 1000, "%s", "{@");
	for (size_t i = 0; i < 20; i++)
		(void)strncat(text, "[?(@", 5);
	for (size_t i = 0; i < 20; i++)
		(void)strncat(text, ")]", 3);
	(void)strncat(text, "}", 2);
	assert_int_equal(jsonpath_parse(text, &p, &e), -EINVAL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(documentation), cmocka_unit_test(as_kubectl_prints),
		cmocka_unit_test(errors),        cmocka_unit_test(bare_paths),
		cmocka_unit_test(limits),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
