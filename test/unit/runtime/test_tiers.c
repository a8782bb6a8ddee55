#include "runtime/fake_api.h"

#include "runtime/nodes.h"

#define LEVEL(...)                                                                                                     \
	{                                                                                                              \
		.medium_type = "SSD", __VA_ARGS__                                                                      \
	}

static void test_paths(void **state)
{
	(void)state;
	static const struct {
		const char *name;
		struct tiered_store_level levels[2];
		size_t n;
		int rc;
		const char *want; /* "path=quota;..." or the message */
	} cases[] = {
		{"one", {LEVEL(.path = "/a/", .quota = "1Gi")}, 1, 0, "/a=1073741824;"},
		{"shared equally", {LEVEL(.path = "/a,/b", .quota = "3")}, 1, 0, "/a=1;/b=1;"},
		{"a list", {LEVEL(.path = "/a,/b", .quota_list = "1Ki,2Ki")}, 1, 0, "/a=1024;/b=2048;"},
		{"two levels",
		 {LEVEL(.path = "/a", .quota = "1"), LEVEL(.path = "/b", .quota = "2")},
		 2,
		 0,
		 "/a=1;/b=2;"},
		{"root", {LEVEL(.path = "/", .quota = "1")}, 1, 0, "/=1;"},
		{"no path",
		 {LEVEL(.quota = "1")},
		 1,
		 -EINVAL,
		 "spec.tieredstore.levels[0].path: must name a directory"},
		{"relative",
		 {LEVEL(.path = "a", .quota = "1")},
		 1,
		 -EINVAL,
		 "spec.tieredstore.levels[0].path: 'a' must be an absolute path"},
		{"empty part",
		 {LEVEL(.path = "/a,,/b", .quota = "1")},
		 1,
		 -EINVAL,
		 "spec.tieredstore.levels[0].path: '' must be an absolute path"},
		{"twice",
		 {LEVEL(.path = "/a", .quota = "1"), LEVEL(.path = "/a/", .quota = "1")},
		 2,
		 -EINVAL,
		 "spec.tieredstore.levels[1].path: '/a' is named twice"},
		{"no quota",
		 {LEVEL(.path = "/a")},
		 1,
		 -EINVAL,
		 "spec.tieredstore.levels[0]: either quota or quotaList must be set"},
		{"list too short",
		 {LEVEL(.path = "/a,/b", .quota_list = "1")},
		 1,
		 -EINVAL,
		 "spec.tieredstore.levels[0].quotaList: must have one quantity for each of the 2 paths"},
		{"list too long",
		 {LEVEL(.path = "/a", .quota_list = "1,2")},
		 1,
		 -EINVAL,
		 "spec.tieredstore.levels[0].quotaList: must have one quantity for each of the 1 paths"},
		{"no quantity",
		 {LEVEL(.path = "/a", .quota = "much")},
		 1,
		 -EINVAL,
		 "spec.tieredstore.levels[0].quota: "},
		{"nothing",
		 {LEVEL(.path = "/a", .quota = "0")},
		 1,
		 -EINVAL,
		 "spec.tieredstore.levels[0].quota: must be more than 0"},
		{"high",
		 {LEVEL(.path = "/a", .quota = "1", .high = "1.1")},
		 1,
		 -EINVAL,
		 "high and low must be numbers"},
		{"low above high",
		 {LEVEL(.path = "/a", .quota = "1", .high = "0.5", .low = "0.6")},
		 1,
		 -EINVAL,
		 "high and low must be numbers"},
		{"no number",
		 {LEVEL(.path = "/a", .quota = "1", .low = "x")},
		 1,
		 -EINVAL,
		 "high and low must be numbers"},
	};
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct tiered_store ts = {.levels = {.v = cases[i].levels, .n = cases[i].n}};
		struct tier_paths p = {.n = 0};
		struct error err = {0};
		char got[512] = "";
		int rc = tier_paths(&ts, &p, &err);
		for (size_t k = 0; k < p.n; k++)
			(void)snprintf(got + strlen(got), sizeof got - strlen(got), "%s=%lld;", p.v[k].path,
				       (long long)p.v[k].quota_bytes);
		tier_paths_clear(&p);
		if (rc != cases[i].rc ||
		    (rc == 0 ? strcmp(got, cases[i].want) != 0 : strstr(err.msg, cases[i].want) == NULL))
			fail_msg("case '%s': rc %d, '%s', '%s'", cases[i].name, rc, got, err.msg);
	}
}

static void test_watermarks(void **state)
{
	(void)state;
	const struct tiered_store_level levels[] = {LEVEL(.path = "/a", .quota = "1"),
						    LEVEL(.path = "/b", .quota = "1", .high = "0.5"),
						    LEVEL(.path = "/c", .quota = "1", .high = "1", .low = "0.25")};
	struct tiered_store ts = {.levels = {.v = levels, .n = 3}};
	struct tier_paths p;
	struct error err = {0};
	assert_int_equal(tier_paths(&ts, &p, &err), 0);
	const double want[][2] = {{0.95, 0.8}, {0.5, 0.5}, {1, 0.25}};
	for (size_t i = 0; i < 3; i++)
		assert_true(p.v[i].high == want[i][0] && p.v[i].low == want[i][1]);
	tier_paths_clear(&p);
}

static void test_totals(void **state)
{
	(void)state;
	const struct tiered_store_level levels[] = {{.medium_type = "MEM", .path = "/m", .quota = "1Gi"},
						    {.medium_type = "HDD", .path = "/a,/b", .quota = "2Gi"}};
	struct tiered_store ts = {.levels = {.v = levels, .n = 2}};
	struct tier_totals t;
	struct error err = {0};
	assert_int_equal(tier_totals(&ts, &t, &err), 0);
	assert_true(t.has_memory && t.has_disk);
	assert_int_equal(t.memory_bytes, INT64_C(1) << 30);
	assert_int_equal(t.disk_bytes, INT64_C(2) << 30);
}

static void test_short_bytes(void **state)
{
	(void)state;
	static const struct {
		int64_t bytes;
		const char *want;
	} cases[] = {{0, "0B"},
		     {1023, "1023B"},
		     {1024, "1KiB"},
		     {INT64_C(3) << 29, "1.5GiB"},
		     {INT64_C(2) << 30, "2GiB"},
		     {INT64_C(1234) << 20, "1.205GiB"}};
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		char got[32];
		bytes_format_short(cases[i].bytes, got);
		assert_string_equal(got, cases[i].want);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(test_paths), cmocka_unit_test(test_watermarks),
					   cmocka_unit_test(test_totals), cmocka_unit_test(test_short_bytes)};
	return cmocka_run_group_tests_name("runtime/tiers", tests, NULL, NULL);
}
