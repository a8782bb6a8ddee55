/* /v1/status: what is understood, what is refused, and how the figures appear in the statuses. */
#include "engines/reservoir_fixture.h"

#include "base/clock.h"
#include "runtime/status.h"
#include "json/quantity.h"

#define GOOD                                                                                                           \
	"{\"ready\":true,\"mounts\":[{\"path\":\"/\",\"source\":\"http://x/\",\"state\":\"Ready\",\"message\":\"\"}]," \
	"\"ufs\":{\"bytes\":5368709120,\"files\":1234,\"complete\":true},\"cache\":{\"capacityBytes\":2147483648,"     \
	"\"cachedBytes\":1610612736},"                                                                                 \
	"\"reads\":{\"hitBytes\":300,\"missBytes\":100,\"fetchedBytes\":100}}"

static void test_parse(void **state)
{
	(void)state;
	struct engine_figures f;
	struct error err = {0};
	assert_int_equal(reservoir_status_parse(GOOD, strlen(GOOD), &f, &err), 0);
	assert_true(f.ready && f.ufs_complete);
	assert_int_equal(f.ufs_bytes, 5368709120);
	assert_int_equal(f.ufs_files, 1234);
	assert_int_equal(f.cached_bytes, 1610612736);
	assert_int_equal(f.n_mounts, 1);
	assert_string_equal(f.mounts[0].source, "http://x/");
	engine_figures_clear(&f);
}

static void test_parse_refuses(void **state)
{
	(void)state;
	static const struct {
		const char *from, *to, *message;
	} cases[] = {
		{"\"ready\":true", "\"ready\":1", "ready: must be true or false"},
		{"5368709120", "-1", "ufs.bytes: must be a whole number of 0 or more"},
		{"1234", "1.5", "ufs.files: must be a whole number"},
		{"\"complete\":true", "\"complete\":null", "ufs.complete: must be"},
		{"\"state\":\"Ready\"", "\"state\":\"Sleeping\"", "mounts[].state: must be Ready, Listing or Failed"},
		{"\"source\":\"http://x/\",", "", "mounts: must be a list of objects with path, source and state"},
		{"\"hitBytes\":300", "\"hitBytes\":\"300\"", "reads.hitBytes: must be"},
		{"\"mounts\":[", "\"mount\":[", "mounts: must be a list"},
	};
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		char text[1024];
		const char *at = strstr(GOOD, cases[i].from);
		assert_non_null(at);
		(void)snprintf(text, sizeof text, "%.*s%s%s", (int)(at - GOOD), GOOD, cases[i].to,
			       at + strlen(cases[i].from));
		struct engine_figures f;
		struct error err = {0};
		if (reservoir_status_parse(text, strlen(text), &f, &err) != -EINVAL ||
		    strstr(err.msg, cases[i].message) == NULL)
			fail_msg("case %zu: '%s'", i, err.msg);
	}
	struct engine_figures f;
	struct error err = {0};
	assert_int_equal(reservoir_status_parse("<html>", 6, &f, &err), -EINVAL);
}

static void test_query_names_what_failed(void **state)
{
	(void)state;
	struct engine_figures f;
	struct error err = {0};
	/* Port 1 of loopback: nobody listens there. */
	int rc = reservoir_query_figures(
		&(struct engine_question){.target = "http://127.0.0.1:1/v1/status",
					  .deadline_mono_ns = clock_mono_ns() + 2 * NSEC_PER_SEC},
		&f, &err);
	assert_true(rc < 0);
	assert_non_null(strstr(err.msg, "http://127.0.0.1:1/v1/status"));
	assert_int_equal(reservoir_query_figures(&(struct engine_question){.target = "http://127.0.0.1:1/"}, &f, &err),
			 -ETIMEDOUT);
}

/* One pass of the status methods with these figures. */
static void update(struct fixture *x, const struct engine_figures *figures, json_t **ret_dataset, json_t **ret_runtime)
{
	struct engine e = {.ops = reservoir_runtime_controller.engines[0].ops};
	struct reconcile_ctx ctx = {.ns = "default",
				    .name = "demo",
				    .category = "Accelerate",
				    .runtime_type = "reservoir",
				    .runtime_resource = RUNTIME,
				    .api = &x->api->ops,
				    .limits = &x->limits,
				    .dataset = dataset(x),
				    .runtime = runtime(x),
				    .figures = figures,
				    .dataset_status = json_object(),
				    .runtime_status = json_object()};
	struct error err = {0};
	assert_int_equal(e.ops->sync_metadata(&e, &ctx, &err), 0);
	assert_true(e.ops->check_and_update_runtime_status(&e, &ctx, &err) >= 0);
	assert_int_equal(e.ops->update_cache_of_dataset(&e, &ctx, &err), 0);
	*ret_dataset = ctx.dataset_status;
	*ret_runtime = ctx.runtime_status;
}

static void test_figures_in_statuses(void **state)
{
	struct fixture *x = *state;
	put_dataset(x, SPEC_HTTP);
	put_runtime(x, SPEC_MEM);
	static const struct {
		int64_t total, cached, hit, miss;
		bool complete;
		const char *ufs, *files, *percent, *hit_ratio;
	} cases[] = {
		{5368709120, 1610612736, 300, 100, true, "5.00GiB", "7", "30.0%", "75.0%"},
		{5368709120, 5368709120, 0, 0, true, "5.00GiB", "7", "100.0%", "0.0%"},
		{1000000000000, 999999999999, 1, 0, true, "931.32GiB", "7", "99.9%",
		 "100.0%"}, /* not all of it is not 100.0% */
		{0, 0, 0, 0, true, "0.00B", "7", "100.0%", "0.0%"},
		{123, 12, 0, 1, false, "[Calculating]", "[Calculating]", NULL, "0.0%"},
	};
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct engine_figures f = {.ready = true,
					   .ufs_bytes = cases[i].total,
					   .ufs_files = 7,
					   .ufs_complete = cases[i].complete,
					   .capacity_bytes = 2147483648,
					   .cached_bytes = cases[i].cached,
					   .hit_bytes = cases[i].hit,
					   .miss_bytes = cases[i].miss,
					   .local_hit_bytes = cases[i].hit,
					   .has_rates = i > 0,
					   .hit_rate = cases[i].hit,
					   .miss_rate = cases[i].miss,
					   .local_hit_rate = cases[i].hit};
		json_t *d, *r;
		update(x, &f, &d, &r);
		if (strcmp(json_str(d, "ufsTotal", ""), cases[i].ufs) != 0 ||
		    strcmp(json_str(d, "fileNum", ""), cases[i].files) != 0 ||
		    strcmp(json_str(d, "cacheStates.cacheCapacity", ""), "2.00GiB") != 0 ||
		    strcmp(json_str(d, "cacheStates.cachedPercentage", "-"),
			   cases[i].percent != NULL ? cases[i].percent : "-") != 0 ||
		    strcmp(json_str(d, "cacheStates.cacheHitRatio", ""), cases[i].hit_ratio) != 0 ||
		    strcmp(json_str(d, "cacheStates.localThroughputRatio", "-"), i > 0 ? cases[i].hit_ratio : "-") != 0)
			fail_msg("case %zu: %s", i, json_dumps(d, 0));
		json_decref(d);
		json_decref(r);
	}
}

static void test_failed_mount_is_told(void **state)
{
	struct fixture *x = *state;
	put_dataset(x, SPEC_HTTP);
	put_runtime(x, SPEC_MEM);
	struct figures_mount m = {.path = (char *)"/",
				  .source = (char *)"https://example.org/pub/",
				  .message = (char *)"https://example.org/pub/: 404 Not Found",
				  .failed = true};
	struct engine_figures f = {.mounts = &m, .n_mounts = 1};
	json_t *d, *r;
	update(x, &f, &d, &r);
	assert_string_equal(json_str(condition_get(d, "MountsReady"), "message", ""),
			    "mount /: https://example.org/pub/: 404 Not Found");
	assert_string_equal(json_str(condition_get(r, "MountsReady"), "message", ""),
			    "mount /: https://example.org/pub/: 404 Not Found");
	assert_string_equal(json_str(r, "workerReason", ""), "mount /: https://example.org/pub/: 404 Not Found");
	assert_true(fake_has_event(x->api,
				   "Warning MountFailed on Dataset: mount /: https://example.org/pub/: 404 Not Found"));
	json_decref(d);
	json_decref(r);
}

int main(void)
{
#define T(f) cmocka_unit_test_setup_teardown(f, fixture_setup, fixture_teardown)
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_parse),
		cmocka_unit_test(test_parse_refuses),
		cmocka_unit_test(test_query_names_what_failed),
		T(test_figures_in_statuses),
		T(test_failed_mount_is_told),
	};
	return cmocka_run_group_tests_name("engines/reservoir_figures", tests, NULL, NULL);
}
