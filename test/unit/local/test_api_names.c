/* The forms of names. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <string.h>

#include "base/cleanup.h"
#include "local/api_names.h"

#define LABEL63 "a12345678901234567890123456789012345678901234567890123456789012"

static void test_forms(void **state)
{
	(void)state;
	static const struct {
		const char *s;
		bool label, label_1035, subdomain, segment, qualified, value;
	} cases[] = {
		{"", false, false, false, false, false, true},
		{"a", true, true, true, true, true, true},
		{"1a", true, false, true, true, true, true},
		{"a-b", true, true, true, true, true, true},
		{"-a", false, false, false, true, false, false},
		{"a-", false, false, false, true, false, false},
		{"a.b", false, false, true, true, true, true},
		{"a..b", false, false, false, true, true, true},
		{".a", false, false, false, true, false, false},
		{"A", false, false, false, true, true, true},
		{"a_b", false, false, false, true, true, true},
		{"a/b", false, false, false, false, true, false},
		{"A.b/c", false, false, false, false, false, false},
		{"/b", false, false, false, false, false, false},
		{"a/", false, false, false, false, false, false},
		{"a/b/c", false, false, false, false, false, false},
		{"..", false, false, false, false, false, false},
		{"%2e", false, false, false, false, false, false},
		{LABEL63, true, true, true, true, true, true},
		{LABEL63 "x", false, false, true, true, false, false},
	};
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		const char *s = cases[i].s;
		bool same = api_name_dns_label(s) == cases[i].label &&
			    api_name_dns_label_1035(s) == cases[i].label_1035 &&
			    api_name_dns_subdomain(s) == cases[i].subdomain &&
			    api_name_path_segment(s) == cases[i].segment &&
			    (api_name_qualified_fault(s, false) == NULL) == cases[i].qualified &&
			    api_name_label_value(s) == cases[i].value;
		if (!same)
			fail_msg("'%s': label %d, 1035 %d, subdomain %d, segment %d, qualified %d, value %d", s,
				 api_name_dns_label(s), api_name_dns_label_1035(s), api_name_dns_subdomain(s),
				 api_name_path_segment(s), api_name_qualified_fault(s, false) == NULL,
				 api_name_label_value(s));
	}
	assert_null(api_name_qualified_fault("A.b/c", true));
}

static void test_faults(void **state)
{
	(void)state;
	static const struct {
		const char *s, *fault;
	} cases[] = {
		{"/b", "prefix part must be non-empty"},
		{"A.b/c", "prefix part a lowercase RFC 1123 subdomain must consist of"},
		{"a/", "name part must be non-empty"},
		{LABEL63 "x", "name part must be no more than 63 characters"},
		{"b!", "name part must consist of alphanumeric characters"},
		{"a/b/c", "a qualified name must consist of alphanumeric characters"},
	};
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		const char *fault = api_name_qualified_fault(cases[i].s, false);
		if (fault == NULL || strncmp(fault, cases[i].fault, strlen(cases[i].fault)) != 0)
			fail_msg("'%s': %s", cases[i].s, fault);
	}
}

static void test_rules(void **state)
{
	(void)state;
	assert_true(api_name_rule("", "configmaps")->valid("a.b"));
	assert_false(api_name_rule("", "namespaces")->valid("a.b"));
	assert_false(api_name_rule("", "services")->valid("1a"));
	assert_true(api_name_rule("rbac.authorization.k8s.io", "clusterroles")->valid("system:node"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(test_forms), cmocka_unit_test(test_faults),
					   cmocka_unit_test(test_rules)};
	return cmocka_run_group_tests_name("api_names", tests, NULL, NULL);
}
