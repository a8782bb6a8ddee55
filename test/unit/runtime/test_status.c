#include "runtime/fake_api.h"

#include "api/dataset.h"
#include "base/clock.h"
#include "runtime/status.h"

static int64_t now_ns = INT64_C(1767323045) * NSEC_PER_SEC;

static int64_t fake_wall(void)
{
	return now_ns;
}

static void test_condition_times(void **state)
{
	(void)state;
	clock_replace(NULL, fake_wall);
	JSON_AUTO s = json_object();
	JSON_AUTO dataset = json_pack("{s:{s:i}}", "metadata", "generation", 3);
	struct reconcile_ctx ctx = {.dataset = dataset, .dataset_status = s};
	assert_int_equal(dataset_condition_set(&ctx, "Ready", false, "R", "one"), 0);
	assert_int_equal(json_int(condition_get(s, "Ready"), "observedGeneration", 0), 3);
	assert_string_equal(json_str(condition_get(s, "Ready"), "lastTransitionTime", ""), "2026-01-02T03:04:05Z");
	now_ns += NSEC_PER_SEC;
	assert_int_equal(dataset_condition_set(&ctx, "Ready", false, "R", "one"), 0); /* nothing changed */
	assert_string_equal(json_str(condition_get(s, "Ready"), "lastUpdateTime", ""), "2026-01-02T03:04:05Z");
	assert_int_equal(dataset_condition_set(&ctx, "Ready", false, "R", "two"), 0); /* the message did */
	assert_string_equal(json_str(condition_get(s, "Ready"), "lastUpdateTime", ""), "2026-01-02T03:04:06Z");
	assert_string_equal(json_str(condition_get(s, "Ready"), "lastTransitionTime", ""), "2026-01-02T03:04:05Z");
	now_ns += NSEC_PER_SEC;
	assert_int_equal(dataset_condition_set(&ctx, "Ready", true, "R", "two"), 0); /* the status did */
	assert_string_equal(json_str(condition_get(s, "Ready"), "lastTransitionTime", ""), "2026-01-02T03:04:07Z");
	assert_int_equal(json_array_size(json_at(s, "conditions")), 1);
	assert_true(condition_is(s, "Ready", true) && !condition_is(s, "Ready", false) &&
		    !condition_is(s, "None", false));
	condition_drop(s, "Ready");
	assert_null(condition_get(s, "Ready"));
	JSON_AUTO r = json_object();
	ctx = (struct reconcile_ctx){.runtime = dataset, .runtime_status = r};
	assert_int_equal(runtime_condition_set(&ctx, "X", true, "R", ""), 0);
	assert_string_equal(json_str(condition_get(r, "X"), "lastProbeTime", ""), "2026-01-02T03:04:07Z");
	now_ns += NSEC_PER_SEC;
	assert_int_equal(json_put_int(dataset, "metadata.generation", 4), 0);
	assert_int_equal(runtime_condition_set(&ctx, "X", true, "R", ""), 0); /* the same, of a newer spec */
	assert_int_equal(json_int(condition_get(r, "X"), "observedGeneration", 0), 4);
	assert_string_equal(json_str(condition_get(r, "X"), "lastProbeTime", ""), "2026-01-02T03:04:07Z");
	clock_replace(NULL, NULL);
}

static void test_phase_moves(void **state)
{
	(void)state;
	static const char *const phases[] = {"", "Pending", "NotBound", "Bound", "Failed", "Updating", "DataMigrating"};
	/* Row: from; columns in the order above. */
	static const char *const legal[] = {"y.yy...", ".yyy...", "..yy...", "..yyyyy",
					    "..yyy..", "..yyyy.", "..yyy.y"};
	for (size_t f = 0; f < 7; f++)
		for (size_t t = 0; t < 7; t++) {
			JSON_AUTO s = json_pack("{s:s}", "phase", phases[f]);
			struct error err = {0};
			int rc = dataset_phase_move(s, phases[t], &err);
			bool want = legal[f][t] == 'y';
			if ((rc == 0) != want || strcmp(json_str(s, "phase", ""), want ? phases[t] : phases[f]) != 0)
				fail_msg("'%s' to '%s': rc %d", phases[f], phases[t], rc);
			if (!want && strstr(err.msg, "status.phase: a Dataset cannot go from") == NULL)
				fail_msg("'%s' to '%s': '%s'", phases[f], phases[t], err.msg);
		}
}

static void test_workload_phase(void **state)
{
	(void)state;
	static const struct {
		int64_t want, ready;
		const char *phase;
	} cases[] = {{0, 0, "Ready"}, {1, 0, "NotReady"}, {1, 1, "Ready"}, {3, 1, "PartialReady"}, {3, 4, "Ready"}};
	for (size_t i = 0; i < ARRAY_LEN(cases); i++)
		assert_string_equal(workload_phase(cases[i].want, cases[i].ready), cases[i].phase);
}

static void test_flush(void **state)
{
	(void)state;
	struct fake_api *f = fake_new();
	fake_put(f, &dataset_kind.resource,
		 "{'kind':'Dataset','metadata':{'name':'d','namespace':'n'},'status':{'phase':'NotBound','conditions':["
		 "],'fileNum':'1'}}");
	JSON_AUTO d = f->ops.get(f, &dataset_kind.resource, "n", "d");
	struct reconcile_ctx ctx = {.ns = "n",
				    .name = "d",
				    .api = &f->ops,
				    .dataset = d,
				    .dataset_status = json_deep_copy(json_at(d, "status"))};
	struct error err = {0};
	assert_int_equal(status_flush(&ctx, &err), 0);
	assert_int_equal(json_array_size(f->writes), 0); /* nothing changed, nothing sent */

	json_drop(ctx.dataset_status, "fileNum");
	assert_int_equal(json_put_str(ctx.dataset_status, "phase", "Bound"), 0);
	assert_int_equal(status_flush(&ctx, &err), 0);
	json_t *live = fake_live(f, &dataset_kind.resource, "n", "d");
	assert_string_equal(json_str(live, "status.phase", ""), "Bound");
	assert_null(json_at(live, "status.fileNum"));
	assert_int_equal(fake_count_writes(f, "patch datasets/status n/d"), 1);

	/* What was read is old now. */
	assert_int_equal(json_put_str(ctx.dataset_status, "phase", "Failed"), 0);
	assert_int_equal(status_flush(&ctx, &err), -ESTALE);
	(void)json_object_del(f->objects, "datasets/n/d");
	assert_int_equal(status_flush(&ctx, &err), 0); /* gone is no error */
	json_decref(ctx.dataset_status);
	fake_free(f);
}

int main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(test_condition_times), cmocka_unit_test(test_phase_moves),
					   cmocka_unit_test(test_workload_phase), cmocka_unit_test(test_flush)};
	return cmocka_run_group_tests_name("runtime/status", tests, NULL, NULL);
}
