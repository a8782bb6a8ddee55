/* Table cells of custom kinds: paths, types, ages. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <string.h>

#include "base/cleanup.h"
#include "base/clock.h"
#include "local/api_table.h"
#include "json/json.h"

static const char object_text[] =
	"{\"metadata\":{\"name\":\"n\",\"creationTimestamp\":\"2026-01-02T03:04:05Z\",\"annotations\":{\"a.b/"
	"c\":\"dotted\"}},"
	"\"spec\":{\"list\":[{\"x\":1},{\"x\":2}],\"on\":true},"
	"\"status\":{\"conditions\":[{\"type\":\"A\",\"status\":\"False\"},{\"type\":\"B\",\"status\":\"True\"}]}}";

static void test_json_path(void **state)
{
	(void)state;
	static const struct {
		const char *path, *want; /* compact JSON; NULL: nothing there */
		bool valid;
	} cases[] = {
		{".metadata.name", "\"n\"", true},
		{".metadata.none", NULL, true},
		{".metadata.name.deeper", NULL, true},
		{".spec.list[1].x", "2", true},
		{".spec.list[*].x", "1", true},
		{".spec.list[7].x", NULL, true},
		{".spec.on", "true", true},
		{".metadata.annotations['a\\.b/c']", "\"dotted\"", true},
		{".metadata.annotations['a.b/c']", NULL, true}, /* two members, as everywhere in Kubernetes */
		{".metadata.annotations.a\\.b/c", "\"dotted\"", true},
		{".status.conditions[?(@.type==\"B\")].status", "\"True\"", true},
		{".status.conditions[?(@.type == 'A')].status", "\"False\"", true},
		{".status.conditions[?(@.type==\"C\")].status", NULL, true},
		{"metadata.name", NULL, false},
		{"", NULL, false},
		{".spec.list[", NULL, false},
		{".spec.list[x]", NULL, false},
		{".spec.list[99999999]", NULL, true},
		{".status.conditions[?(@.type=~\"B\")].status", NULL, false},
		{".status..name", NULL, true},
		{".status..type", "\"A\"", true},
		{".spec.list[*", NULL, false},
	};
	JSON_AUTO obj = NULL;
	assert_int_equal(json_parse(object_text, sizeof object_text - 1, &obj, NULL), 0);
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		JSON_AUTO v = api_json_path(obj, cases[i].path);
		CLEANUP(free_p) char *text = v != NULL ? json_to_text(v, NULL) : NULL;
		bool same =
			(text == NULL) == (cases[i].want == NULL) && (text == NULL || strcmp(text, cases[i].want) == 0);
		if (!same || api_json_path_valid(cases[i].path) != cases[i].valid)
			fail_msg("'%s': got %s, valid %d", cases[i].path, text != NULL ? text : "nothing",
				 api_json_path_valid(cases[i].path));
	}
}

static int64_t now_ns;

static int64_t fake_wall(void)
{
	return now_ns;
}

static void test_ages(void **state)
{
	(void)state;
	static const struct {
		int64_t seconds;
		const char *want;
	} cases[] = {
		{0, "0s"},
		{119, "119s"},
		{120, "2m"},
		{125, "2m5s"},
		{600, "10m"},
		{3600, "60m"},
		{3 * 3600, "3h"},
		{3 * 3600 + 300, "3h5m"},
		{8 * 3600, "8h"},
		{47 * 3600, "47h"},
		{49 * 3600, "2d1h"},
		{10 * 86400, "10d"},
		{800 * 86400, "2y70d"},
		{4000 * INT64_C(86400), "10y"},
		{-10, "<invalid>"},
	};
	static const struct column columns[] = {
		{.name = "Age", .type = "date", .format = "", .json_path = ".metadata.creationTimestamp"},
		{0},
	};
	static const struct kind kind = {.columns = columns};
	const struct api_kind served = {.k = &kind};
	JSON_AUTO obj = NULL;
	assert_int_equal(json_parse(object_text, sizeof object_text - 1, &obj, NULL), 0);
	int64_t created = 0;
	assert_int_equal(clock_parse_rfc3339("2026-01-02T03:04:05Z", &created), 0);
	clock_replace(NULL, fake_wall);
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		now_ns = created + cases[i].seconds * NSEC_PER_SEC;
		JSON_AUTO t = api_table_one(&served, obj, "None");
		const char *got = json_str(t, "rows[0].cells[1]", "nothing");
		if (strcmp(got, cases[i].want) != 0)
			fail_msg("%lld s: %s, not %s", (long long)cases[i].seconds, got, cases[i].want);
		assert_string_equal(json_str(t, "rows[0].cells[0]", ""), "n");
		assert_string_equal(json_str(t, "columnDefinitions[0].name", ""), "Name");
	}
	clock_replace(NULL, NULL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(test_json_path), cmocka_unit_test(test_ages)};
	return cmocka_run_group_tests_name("api_table", tests, NULL, NULL);
}
