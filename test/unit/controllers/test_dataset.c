#include "runtime/fake_api.h"

#include "api/dataset.h"
#include "controllers/dataset.h"

#define DATASET (&dataset_kind.resource)

struct fixture {
	struct fake_api *api;
	struct dataset_controller *d;
};

static int setup(void **state)
{
	struct fixture *x = calloc(1, sizeof *x);
	assert_non_null(x);
	x->api = fake_new();
	struct error err = {0};
	assert_int_equal(
		dataset_controller_new(&(struct dataset_controller_options){.api = &x->api->ops, .served = "XRuntime"},
				       &x->d, &err),
		0);
	*state = x;
	return 0;
}

static int teardown(void **state)
{
	struct fixture *x = *state;
	dataset_controller_free(x->d);
	fake_free(x->api);
	free(x);
	return 0;
}

/* Passes until one writes nothing; the number of those that did. */
static int settle(struct fixture *x, const char *name)
{
	for (int i = 0; i < 10; i++) {
		size_t before = json_array_size(x->api->writes);
		struct reconcile_result res = {0};
		struct error err = {0};
		int rc = dataset_reconcile(x->d, "default", name, &res, &err);
		if (rc < 0)
			fail_msg("%s", err.msg);
		if (json_array_size(x->api->writes) == before)
			return i;
	}
	fail_msg("it never settles");
	return -1;
}

static json_t *put_dataset(struct fixture *x, const char *name, const char *mounts)
{
	char text[512];
	(void)snprintf(text, sizeof text,
		       "{'kind':'Dataset','metadata':{'name':'%s','namespace':'default'},'spec':{'mounts':[%s]}}", name,
		       mounts);
	return fake_put(x->api, DATASET, text);
}

static json_t *dataset(const struct fixture *x, const char *name)
{
	return fake_live(x->api, DATASET, "default", name);
}

static void test_new_dataset(void **state)
{
	struct fixture *x = *state;
	put_dataset(x, "demo", "{'mountPoint':'https://example.org/'}");
	assert_int_equal(settle(x, "demo"), 2);
	assert_true(obj_has_finalizer(dataset(x, "demo"), "fluid-dataset-controller-finalizer"));
	assert_string_equal(json_str(dataset(x, "demo"), "status.phase", ""), "NotBound");
	assert_string_equal(json_str(dataset(x, "demo"), "status.conditions[type=NotReady].reason", ""), "NoRuntime");
	assert_string_equal(
		json_str(dataset(x, "demo"), "status.conditions[type=NotReady].message", ""),
		"No runtime is bound: the dataset needs one of its name in its namespace; served here: XRuntime");
	assert_int_equal(json_array_size(x->api->events), 0);
}

static void test_absent_is_done(void **state)
{
	struct fixture *x = *state;
	assert_int_equal(settle(x, "nobody"), 0);
}

static void test_conflict_is_returned(void **state)
{
	struct fixture *x = *state;
	put_dataset(x, "demo", "{'mountPoint':'https://example.org/'}");
	x->api->conflicts = 1;
	struct reconcile_result res = {0};
	struct error err = {0};
	assert_int_equal(dataset_reconcile(x->d, "default", "demo", &res, &err), -ESTALE);
	(void)settle(x, "demo");
	assert_string_equal(json_str(dataset(x, "demo"), "status.phase", ""), "NotBound");
}

static void test_refusals(void **state)
{
	struct fixture *x = *state;
	static const struct {
		const char *name, *mounts, *message;
	} cases[] = {
		{"1bad", "{'mountPoint':'https://example.org/'}", "the name must be a DNS-1035 label"},
		{"two", "{'mountPoint':'dataset://a/b'},{'mountPoint':'https://example.org/'}",
		 "a dataset:// mount must be the only one"},
		{"one", "{'mountPoint':'dataset://a/b'}", "needs ThinRuntime, which this version does not have"},
	};
	for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
		put_dataset(x, cases[i].name, cases[i].mounts);
		(void)settle(x, cases[i].name);
		const char *got = fake_condition(dataset(x, cases[i].name), "NotReady", "True");
		if (strstr(got, cases[i].message) == NULL)
			fail_msg("case '%s': condition says '%s'", cases[i].name, got);
		if (!fake_has_event(x->api, cases[i].message))
			fail_msg("case '%s': no Event", cases[i].name);
		if (*json_str(dataset(x, cases[i].name), "status.phase", "") != '\0')
			fail_msg("case '%s': it got a phase", cases[i].name);
	}
	assert_int_equal(json_array_size(x->api->events), 3); /* once each, however many passes */
}

static void test_deletion_waits_for_pods(void **state)
{
	struct fixture *x = *state;
	put_dataset(x, "demo", "{'mountPoint':'https://example.org/'}");
	(void)settle(x, "demo");
	fake_put(x->api, &KUBE_PVC,
		 "{'kind':'PersistentVolumeClaim','metadata':{'name':'demo','namespace':'default','annotations':{'"
		 "CreatedBy':'fluid'}}}");
	json_t *pod = fake_put(x->api, &KUBE_POD,
			       "{'kind':'Pod','metadata':{'name':'reader','namespace':'default'},"
			       "'spec':{'volumes':[{'name':'d','persistentVolumeClaim':{'claimName':'demo'}}]},'status'"
			       ":{'phase':'Running'}}");
	struct error err = {0};
	assert_int_equal(x->api->ops.remove(x->api, DATASET, "default", "demo", &err), 0);
	(void)settle(x, "demo");
	assert_non_null(dataset(x, "demo"));
	assert_non_null(strstr(fake_condition(dataset(x, "demo"), "DeletionBlocked", "True"),
			       "Pod reader in Namespace default is using it"));
	assert_int_equal(json_array_size(x->api->events), 1);

	fake_set(x->api, pod, "status.phase", json_string("Succeeded"));
	(void)settle(x, "demo");
	assert_null(dataset(x, "demo"));
}

static void test_deletion_ignores_foreign_claim(void **state)
{
	struct fixture *x = *state;
	put_dataset(x, "demo", "{'mountPoint':'https://example.org/'}");
	(void)settle(x, "demo");
	fake_put(x->api, &KUBE_PVC,
		 "{'kind':'PersistentVolumeClaim','metadata':{'name':'demo','namespace':'default'}}");
	fake_put(x->api, &KUBE_POD,
		 "{'kind':'Pod','metadata':{'name':'reader','namespace':'default'},"
		 "'spec':{'volumes':[{'name':'d','persistentVolumeClaim':{'claimName':'demo'}}]},'status':{'phase':'"
		 "Running'}}");
	struct error err = {0};
	assert_int_equal(x->api->ops.remove(x->api, DATASET, "default", "demo", &err), 0);
	(void)settle(x, "demo");
	assert_null(dataset(x, "demo"));
}

static void test_deletion_waits_for_references(void **state)
{
	struct fixture *x = *state;
	json_t *demo = put_dataset(x, "demo", "{'mountPoint':'https://example.org/'}");
	(void)demo;
	(void)settle(x, "demo");
	put_dataset(x, "other", "{'mountPoint':'dataset://default/demo'}");
	fake_set(x->api, dataset(x, "demo"), "status.datasetRef",
		 json_pack("[s,s]", "default/other", "default/long-gone"));
	struct error err = {0};
	assert_int_equal(x->api->ops.remove(x->api, DATASET, "default", "demo", &err), 0);
	(void)settle(x, "demo");
	assert_non_null(strstr(fake_condition(dataset(x, "demo"), "DeletionBlocked", "True"),
			       "dataset default/other mounts it"));
	assert_int_equal(x->api->ops.remove(x->api, DATASET, "default", "other", &err), 0);
	(void)settle(x, "other");
	(void)settle(x, "demo");
	assert_null(dataset(x, "demo"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_new_dataset, setup, teardown),
		cmocka_unit_test_setup_teardown(test_absent_is_done, setup, teardown),
		cmocka_unit_test_setup_teardown(test_conflict_is_returned, setup, teardown),
		cmocka_unit_test_setup_teardown(test_refusals, setup, teardown),
		cmocka_unit_test_setup_teardown(test_deletion_waits_for_pods, setup, teardown),
		cmocka_unit_test_setup_teardown(test_deletion_ignores_foreign_claim, setup, teardown),
		cmocka_unit_test_setup_teardown(test_deletion_waits_for_references, setup, teardown),
	};
	return cmocka_run_group_tests_name("controllers/dataset", tests, NULL, NULL);
}
