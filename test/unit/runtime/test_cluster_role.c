/* Rules gathered from permissions: each resource once with all its verbs, resources with the same verbs together, in a fixed order. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/error.h"
#include "fault.h"
#include "kube/resource.h"
#include "runtime/cluster_role.h"
#include "sluice/runtime.h"
#include "json/json.h"

static const struct permission some[] = {
	{"", "pods,configmaps", "list,watch"},
	{"apps", "statefulsets", "watch,list"},
	{"", "pods/exec", "create,get"},
	{"", "configmaps", "delete"},
	{"", "secrets", "get"},
	{.resources = NULL},
};

static void expect(const json_t *verbs, const char *want)
{
	JSON_AUTO rules = cluster_role_rules(verbs);
	CLEANUP(free_p) char *text = json_dumps(rules, JSON_COMPACT);
	assert_string_equal(text, want);
}

static void test_rules(void **state)
{
	(void)state;
	JSON_AUTO verbs = json_object();
	struct error err = {0};
	expect(verbs, "[]");
	assert_int_equal(cluster_role_add(verbs, some, &err), 0);
	static const char want[] =
		"[{\"apiGroups\":[\"\"],\"resources\":[\"configmaps\"],\"verbs\":[\"list\",\"watch\",\"delete\"]},"
		"{\"apiGroups\":[\"\"],\"resources\":[\"pods\"],\"verbs\":[\"list\",\"watch\"]},"
		"{\"apiGroups\":[\"\"],\"resources\":[\"pods/exec\"],\"verbs\":[\"get\",\"create\"]},"
		"{\"apiGroups\":[\"\"],\"resources\":[\"secrets\"],\"verbs\":[\"get\"]},"
		"{\"apiGroups\":[\"apps\"],\"resources\":[\"statefulsets\"],\"verbs\":[\"list\",\"watch\"]}]";
	expect(verbs, want);
	assert_int_equal(cluster_role_add(verbs, some, &err), 0); /* twice is once */
	expect(verbs, want);
}

static void test_runtime(void **state)
{
	(void)state;
	static const struct kube_resource kind = {"data.fluid.io", "v1alpha1", "XRuntime", "xruntimes", true};
	static const struct kube_resource *const kinds[] = {&KUBE_DAEMONSET, NULL};
	static const struct permission own[] = {{"", "pods/exec", "get,create"}, {.resources = NULL}};
	const struct runtime_controller rt = {.resource = &kind, .kinds = kinds, .permissions = own};
	JSON_AUTO verbs = json_object();
	struct error err = {0};
	assert_int_equal(cluster_role_add_runtime(verbs, &rt, &err), 0);
	expect(verbs,
	       "[{\"apiGroups\":[\"\"],\"resources\":[\"pods/exec\"],\"verbs\":[\"get\",\"create\"]},"
	       "{\"apiGroups\":[\"apps\"],\"resources\":[\"daemonsets\"],\"verbs\":[\"list\",\"watch\",\"create\",\"patch\","
	       "\"delete\"]},"
	       "{\"apiGroups\":[\"data.fluid.io\"],\"resources\":[\"xruntimes\"],\"verbs\":[\"get\",\"list\",\"watch\","
	       "\"create\",\"update\",\"patch\",\"delete\"]},"
	       "{\"apiGroups\":[\"data.fluid.io\"],\"resources\":[\"xruntimes/status\"],\"verbs\":[\"get\",\"update\","
	       "\"patch\"]}]");
}

static void test_unknown_verb(void **state)
{
	(void)state;
	static const struct permission wrong[] = {{"", "pods", "get,read"}, {.resources = NULL}};
	JSON_AUTO verbs = json_object();
	struct error err = {0};
	assert_int_equal(cluster_role_add(verbs, wrong, &err), -EINVAL);
	assert_string_equal(err.msg, "permissions: verb 'read' is not one of Kubernetes'");
}

static void test_no_memory(void **state)
{
	(void)state;
	FAULT_LOOP
	{
		json_t *verbs = json_object();
		struct error err = {0};
		int rc = verbs == NULL ? -ENOMEM : cluster_role_add(verbs, some, &err);
		json_t *rules = rc == 0 ? cluster_role_rules(verbs) : NULL;
		FAULT_END;
		assert_true(rules != NULL ? !fault_hit() && json_array_size(rules) == 5 : fault_hit());
		json_decref(rules);
		json_decref(verbs);
	}
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_rules),
		cmocka_unit_test(test_runtime),
		cmocka_unit_test(test_unknown_verb),
		cmocka_unit_test(test_no_memory),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
