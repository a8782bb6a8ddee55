#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/error.h"
#include "json/json.h"
#include "json/label.h"
#include "json/selector.h"

static json_t *parse(const char *text)
{
	json_t *j = NULL;
	if (json_parse(text, strlen(text), &j, NULL) < 0)
		fail_msg("%s", text);
	return j;
}

static void label_texts(void **state)
{
	(void)state;
	static const char labels[] = "{\"a\":\"b\",\"e\":\"f\",\"n\":\"5\",\"empty\":\"\",\"x.y/z\":\"q\"}";
	static const struct {
		const char *text;
		bool matches;
	} cases[] = {
		{"", true},
		{"  ", true},
		{"a=b", true},
		{"a==b", true},
		{"a = c", false},
		{"a!=b", false},
		{"zz!=b", true},
		{"a", true},
		{"!a", false},
		{"! zz", true},
		{"zz", false},
		{"e in (f,g)", true},
		{"e in (g)", false},
		{"e notin (g)", true},
		{"zz notin (g)", true},
		{"zz in (g)", false},
		{"a=b,e in (f , g),!h", true},
		{"a=b,e in (g),!h", false},
		{"n>4", true},
		{"n>5", false},
		{"n<6", true},
		{"a<6", false},
		{"empty=", true},
		{"empty in (,x)", true},
		{"empty in (x,)", true},
		{"empty in (x)", false},
		{"empty==,a=b", true},
		{"x.y/z=q", true},
		{"a in (in,notin,b)", true},
		{"in", false},
		{"notin=a", false},
	};
	JSON_AUTO j = parse(labels);
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct label_selector *s = NULL;
		struct error e = {0};
		if (label_selector_parse(cases[i].text, &s, &e) < 0)
			fail_msg("'%s': %s", cases[i].text, e.msg);
		if (label_selector_matches(s, j) != cases[i].matches)
			fail_msg("'%s'", cases[i].text);
		label_selector_free(s);
	}
	struct label_selector *s = NULL;
	assert_int_equal(label_selector_parse("a", &s, NULL), 0);
	assert_false(label_selector_matches(s, NULL));
	label_selector_free(s);
	label_selector_free(NULL);
}

static void label_errors(void **state)
{
	(void)state;
	static const struct {
		const char *text, *msg;
	} cases[] = {
		{"(", "found '(', expected: !, identifier, or 'end of string'"},
		{"a,", "found '', expected: identifier after ','"},
		{"a,,b", "found ',', expected: identifier after ','"},
		{"a=b c", "found 'c', expected: ',' or 'end of string'"},
		{"a b", "unable to parse requirement: found 'b', expected: in, notin, =, ==, !=, gt, lt"},
		{"a in b", "unable to parse requirement: found 'b' expected: '('"},
		{"a in (b", "unable to parse requirement: found '', expected: ',' or ')'"},
		{"a in (=", "unable to parse requirement: found '=', expected: ',', ')' or identifier"},
		{"a in ()",
		 "unable to parse requirement: values: Invalid value: []: for 'in', 'notin' operators, values set "
		 "can't be empty"},
		{"a=(", "unable to parse requirement: found '(', expected: identifier"},
		{"!=a", "found '!=', expected: !, identifier, or 'end of string'"},
		{"!", "unable to parse requirement: found '', expected: identifier"},
		{"a>x", "unable to parse requirement: values[0]: Invalid value: \"x\": for 'Gt', 'Lt' operators, the "
			"value must be "
			"an integer"},
		{"-a",
		 "unable to parse requirement: <nil>: Invalid value: \"-a\": name part must consist of alphanumeric "
		 "characters, '-', '_' or '.', and must start and end with an alphanumeric character (e.g. 'MyName',  "
		 "or "
		 "'my.name',  or '123-abc', regex used for validation is '([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]')"},
	};
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct label_selector *s = NULL;
		struct error e = {0};
		assert_int_equal(label_selector_parse(cases[i].text, &s, &e), -EINVAL);
		assert_string_equal(e.msg, cases[i].msg);
		assert_null(s);
	}
	CLEANUP(free_p) char *big = malloc(70000);
	memset(big, 'a', 69999);
	big[69999] = '\0';
	struct label_selector *s = NULL;
	struct error e = {0};
	assert_int_equal(label_selector_parse(big, &s, &e), -EINVAL);
	assert_string_equal(e.msg, "a selector may have at most 65536 bytes");
}

static void label_objects(void **state)
{
	(void)state;
	static const struct {
		const char *selector;
		bool matches;
		const char *msg; /* not NULL: refused */
	} cases[] = {
		{"{}", true, NULL},
		{"null", false, NULL},
		{"{\"matchLabels\":{\"a\":\"b\"}}", true, NULL},
		{"{\"matchLabels\":{\"a\":\"c\"}}", false, NULL},
		{"{\"matchExpressions\":[{\"key\":\"a\",\"operator\":\"In\",\"values\":[\"x\",\"b\"]}]}", true, NULL},
		{"{\"matchExpressions\":[{\"key\":\"a\",\"operator\":\"NotIn\",\"values\":[\"b\"]}]}", false, NULL},
		{"{\"matchExpressions\":[{\"key\":\"a\",\"operator\":\"Exists\"}]}", true, NULL},
		{"{\"matchExpressions\":[{\"key\":\"a\",\"operator\":\"DoesNotExist\"}]}", false, NULL},
		{"{\"matchExpressions\":[{\"key\":\"a\",\"operator\":\"Gt\",\"values\":[\"1\"]}]}", false,
		 "\"Gt\" is not a valid label selector operator"},
		{"{\"matchExpressions\":[{\"key\":\"a\",\"operator\":\"Exists\",\"values\":[\"1\"]}]}", false,
		 "values: Invalid value: values set must be empty for exists and does not exist"},
		{"{\"matchLabels\":{\"a\":1}}", false, "label selector: values of \"a\" must be strings"},
		{"[]", false, "a label selector must be an object"},
	};
	JSON_AUTO labels = parse("{\"a\":\"b\"}");
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		JSON_AUTO j = parse(cases[i].selector);
		struct label_selector *s = NULL;
		struct error e = {0};
		const int rc = label_selector_from_json(j, &s, &e);
		assert_string_equal(e.msg, cases[i].msg != NULL ? cases[i].msg : "");
		assert_int_equal(rc, cases[i].msg != NULL ? -EINVAL : 0);
		if (rc == 0 && label_selector_matches(s, labels) != cases[i].matches)
			fail_msg("%s", cases[i].selector);
		label_selector_free(s);
	}
	struct label_selector *s = NULL;
	assert_int_equal(label_selector_from_json(NULL, &s, NULL), 0);
	assert_false(label_selector_matches(s, labels));
	label_selector_free(s);
}

static int refuse_status(void *ctx, const char *path)
{
	(*(int *)ctx)++;
	return strcmp(path, "status.phase") == 0 ? -EINVAL : 0;
}

static void field_texts(void **state)
{
	(void)state;
	static const struct {
		const char *text;
		bool matches;
	} cases[] = {
		{"", true},
		{",", true},
		{"metadata.name=x", true},
		{"metadata.name==x,spec.n=3", true},
		{"metadata.name!=x", false},
		{"spec.nodeName=", true},
		{"spec.nodeName!=", false},
		{"spec.ok=true", true},
		{"spec.list=", true},
		{"metadata.note=a\\,b\\=c\\\\", true},
		{"metadata.=x", false},
		{"..=", true},
	};
	JSON_AUTO j = parse(
		"{\"metadata\":{\"name\":\"x\",\"note\":\"a,b=c\\\\\"},\"spec\":{\"n\":3,\"ok\":true,\"list\":[1]}}");
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct field_selector *s = NULL;
		struct error e = {0};
		if (field_selector_parse(cases[i].text, &s, &e) < 0)
			fail_msg("'%s': %s", cases[i].text, e.msg);
		if (field_selector_matches(s, j) != cases[i].matches)
			fail_msg("'%s'", cases[i].text);
		field_selector_free(s);
	}
	struct field_selector *s = NULL;
	struct error e = {0};
	assert_int_equal(field_selector_parse("a=b,c", &s, &e), -EINVAL);
	assert_string_equal(e.msg, "invalid selector: 'a=b,c'; can't understand 'c'");
	assert_int_equal(field_selector_parse("a=b=c", &s, &e), -EINVAL);
	assert_int_equal(field_selector_parse("a=b\\x", &s, &e), -EINVAL);
	assert_int_equal(field_selector_parse("a=b\\", &s, &e), -EINVAL);
	assert_int_equal(field_selector_parse("metadata.name=x,status.phase!=y,z=1", &s, &e), 0);
	int calls = 0;
	assert_int_equal(field_selector_each(s, refuse_status, &calls), -EINVAL);
	assert_int_equal(calls, 2);
	assert_string_equal(field_selector_value(s, "metadata.name"), "x");
	assert_null(field_selector_value(s, "status.phase"));
	field_selector_free(s);
	field_selector_free(NULL);
}

static void names(void **state)
{
	(void)state;
	char long64[65], long254[255];
	memset(long64, 'a', 64);
	memset(long254, 'a', 254);
	long64[64] = long254[254] = '\0';
	assert_null(label_key_problem("a"));
	assert_null(label_key_problem("kubernetes.io/A_b.c-d"));
	assert_non_null(label_key_problem(""));
	assert_non_null(label_key_problem("/a"));
	assert_non_null(label_key_problem("A.b/c"));
	assert_non_null(label_key_problem("a/b/c"));
	assert_non_null(label_key_problem(long64));
	assert_null(label_value_problem(""));
	assert_null(label_value_problem("A-b_9"));
	assert_non_null(label_value_problem("-a"));
	assert_non_null(label_value_problem(long64));
	assert_null(dns_label_problem("a-9"));
	assert_non_null(dns_label_problem("a.b"));
	assert_non_null(dns_label_problem(long64));
	assert_null(dns_subdomain_problem("a.b-c.9"));
	assert_non_null(dns_subdomain_problem("a..b"));
	assert_non_null(dns_subdomain_problem("A"));
	assert_non_null(dns_subdomain_problem(long254));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(label_texts), cmocka_unit_test(label_errors), cmocka_unit_test(label_objects),
		cmocka_unit_test(field_texts), cmocka_unit_test(names),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
