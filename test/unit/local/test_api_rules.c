/* What rules allow, and which schedules are ones, as pure functions. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <string.h>

#include "base/cleanup.h"
#include "local/api_rbac.h"
#include "local/api_strategy.h"
#include "json/json.h"

static void test_rules(void **state)
{
	(void)state;
#define RESOURCES(groups, resources, verbs, more)                                                                      \
	"[{\"apiGroups\":[" groups "],\"resources\":[" resources "],\"verbs\":[" verbs "]" more "}]"
	static const struct {
		const char *rules;
		struct api_access a;
		bool want;
	} cases[] = {
		{"[]", {"get", "", "pods", "", "", "", NULL}, false},
		{RESOURCES("\"\"", "\"pods\"", "\"get\"", ""), {"get", "", "pods", "", "", "x", NULL}, true},
		{RESOURCES("\"\"", "\"pods\"", "\"get\"", ""), {"list", "", "pods", "", "", "", NULL}, false},
		{RESOURCES("\"\"", "\"pods\"", "\"get\"", ""), {"get", "apps", "pods", "", "", "", NULL}, false},
		{RESOURCES("\"\"", "\"pods\"", "\"get\"", ""), {"get", "", "pods", "log", "", "x", NULL}, false},
		{RESOURCES("\"\"", "\"pods/log\"", "\"get\"", ""), {"get", "", "pods", "log", "", "x", NULL}, true},
		{RESOURCES("\"\"", "\"pods/log\"", "\"get\"", ""), {"get", "", "pods", "", "", "x", NULL}, false},
		{RESOURCES("\"\"", "\"*/log\"", "\"get\"", ""), {"get", "", "pods", "log", "", "x", NULL}, true},
		{RESOURCES("\"*\"", "\"*\"", "\"*\"", ""),
		 {"patch", "apps", "deployments", "scale", "n", "x", NULL},
		 true},
		{RESOURCES("\"*\"", "\"*\"", "\"*\"", ""), {"get", "", "", "", "", "", "/metrics"}, false},
		{RESOURCES("\"\"", "\"pods\"", "\"get\"", ",\"resourceNames\":[\"a\"]"),
		 {"get", "", "pods", "", "", "a", NULL},
		 true},
		{RESOURCES("\"\"", "\"pods\"", "\"get\"", ",\"resourceNames\":[\"a\"]"),
		 {"get", "", "pods", "", "", "b", NULL},
		 false},
		{RESOURCES("\"\"", "\"pods\"", "\"list\"", ",\"resourceNames\":[\"a\"]"),
		 {"list", "", "pods", "", "", "", NULL},
		 false},
		{"[{\"nonResourceURLs\":[\"/metrics\",\"/x/*\"],\"verbs\":[\"get\"]}]",
		 {"get", "", "", "", "", "", "/metrics"},
		 true},
		{"[{\"nonResourceURLs\":[\"/metrics\",\"/x/*\"],\"verbs\":[\"get\"]}]",
		 {"get", "", "", "", "", "", "/x/y/z"},
		 true},
		{"[{\"nonResourceURLs\":[\"/metrics\",\"/x/*\"],\"verbs\":[\"get\"]}]",
		 {"get", "", "", "", "", "", "/metrics/a"},
		 false},
		{"[{\"nonResourceURLs\":[\"*\"],\"verbs\":[\"get\"]}]", {"post", "", "", "", "", "", "/a"}, false},
		{"[{\"nonResourceURLs\":[\"*\"],\"verbs\":[\"*\"]}]", {"get", "", "pods", "", "", "", NULL}, false},
	};
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		JSON_AUTO rules = json_loads(cases[i].rules, 0, NULL);
		assert_non_null(rules);
		if (api_rules_allow(rules, &cases[i].a) != cases[i].want)
			fail_msg("%zu: %s: %s %s", i, cases[i].rules, cases[i].a.verb, cases[i].a.resource);
	}
}

static void test_groups(void **state)
{
	(void)state;
	static const char *const given[] = {"g"};
	static const struct {
		const char *user, *want;
	} cases[] = {
		{"u", "g system:authenticated "},
		{"system:anonymous", "g "},
		{"system:serviceaccount:n:s",
		 "g system:serviceaccounts system:serviceaccounts:n system:authenticated "},
		{"system:serviceaccount:", "g system:authenticated "},
	};
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		CLEANUP(arena_free) struct arena arena = ARENA_INIT(4096);
		char got[256] = "";
		for (const char *const *g = api_user_groups(&arena, cases[i].user, given, 1); *g != NULL; g++) {
			size_t n = strlen(got);
			(void)snprintf(got + n, sizeof got - n, "%s ", *g);
		}
		assert_string_equal(got, cases[i].want);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_rules),
		cmocka_unit_test(test_groups),
	};
	return cmocka_run_group_tests_name("api_rules", tests, NULL, NULL);
}
