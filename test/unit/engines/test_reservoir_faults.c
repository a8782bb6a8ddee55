/* Memory runs out at every place in turn: nothing leaks, nothing half made is given out as whole. */
#include "engines/reservoir_fixture.h"

#include "fault.h"

static const char STATUS[] = "{\"ready\":false,\"mounts\":[{\"path\":\"/a\",\"source\":\"file:///"
			     "b\",\"state\":\"Failed\",\"message\":\"404\"}],\"ufs\":{\"bytes\":1,"
			     "\"files\":1,\"complete\":true},\"cache\":{\"capacityBytes\":1,\"cachedBytes\":1},"
			     "\"reads\":{\"hitBytes\":1,\"missBytes\":1}}";

static void test_status(void **state)
{
	(void)state;
	FAULT_LOOP
	{
		struct engine_figures f = {0};
		struct error err = {0};
		int rc = reservoir_status_parse(STATUS, sizeof STATUS - 1, &f, &err);
		FAULT_END;
		assert_true(rc == 0 || fault_hit());
		if (rc == 0)
			assert_string_equal(f.mounts[0].message, "404");
		engine_figures_clear(&f);
	}
}

static int make(const struct reconcile_ctx *ctx, json_t **ret)
{
	struct reservoir_specs s;
	struct error err = {0};
	int rc = reservoir_specs_load(ctx, &s, &err);
	if (rc < 0)
		return rc;
	rc = reservoir_objects(ctx, &reservoir_traits, &s, 20123, ret, &err);
	reservoir_specs_clear(&s);
	return rc;
}

static void test_objects(void **state)
{
	struct fixture *x = *state;
	JSON_AUTO d = json_deep_copy(put_dataset(
		x, "{'mounts':[{'mountPoint':'local:///data/x','name':'x'}],'tolerations':[{'operator':'Exists'}]}"));
	JSON_AUTO r = json_deep_copy(put_runtime(
		x, "{'tieredstore':{'levels':[{'mediumtype':'SSD','path':'/data/c','quota':'1Gi'}]},"
		   "'worker':{'env':{'A':'1'},'nodeSelector':{'a':'b'},'volumeMounts':[{'name':'v','mountPath':'/v'}]},"
		   "'volumes':[{'name':'v','emptyDir':{}}]}"));
	struct reconcile_ctx ctx = {.ns = "default",
				    .name = "demo",
				    .runtime_type = "reservoir",
				    .runtime_resource = RUNTIME,
				    .api = &x->api->ops,
				    .limits = &x->limits,
				    .dataset = d,
				    .runtime = r};
	JSON_AUTO whole = NULL;
	assert_int_equal(make(&ctx, &whole), 0);
	FAULT_LOOP
	{
		JSON_AUTO objects = NULL;
		int rc = make(&ctx, &objects);
		FAULT_END;
		assert_true((rc == 0) == (objects != NULL));
		assert_true(rc == 0 || fault_hit());
		if (rc == 0) /* with or without a failure on the way, what comes out is the whole thing */
			assert_true(json_equal(whole, objects));
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_status),
		cmocka_unit_test_setup_teardown(test_objects, fixture_setup, fixture_teardown),
	};
	return cmocka_run_group_tests_name("engines/reservoir_faults", tests, NULL, NULL);
}
