/*
 * The Reservoir's objects against golden JSON trees (golden/<case>.in.json → golden/<case>.json). SLUICE_GOLDEN_UPDATE=1 writes them anew;
 * the difference is then read by a person.
 */
#include "engines/reservoir_fixture.h"

#include "base/file.h"
#include "base/str.h"

static json_t *read_json(const char *name, const char *suffix)
{
	CLEANUP(free_p) char *path = str_printf("%s/%s%s", GOLDEN_DIR, name, suffix);
	char *text = NULL;
	size_t n;
	struct error err = {0};
	json_t *j = NULL;
	if (file_read(path, 1 << 20, &text, &n, &err) < 0 || json_parse(text, n, &j, &err) < 0)
		fail_msg("%s: %s", path, err.msg);
	free(text);
	return j;
}

static void write_json(const char *name, const json_t *j)
{
	CLEANUP(free_p) char *path = str_printf("%s/%s.json", GOLDEN_DIR, name);
	CLEANUP(free_p) char *text = json_dumps(j, JSON_INDENT(2));
	CLEANUP(free_p) char *line = str_printf("%s\n", text);
	struct error err = {0};
	if (file_write_atomic(path, 0644, line, strlen(line), &err) < 0)
		fail_msg("%s", err.msg);
}

static json_t *make_objects(struct fixture *x, const json_t *in)
{
	struct reconcile_ctx ctx = {
		.ns = json_str(in, "dataset.metadata.namespace", ""),
		.name = json_str(in, "dataset.metadata.name", ""),
		.runtime_type = "reservoir",
		.runtime_resource = RUNTIME,
		.api = &x->api->ops,
		.limits = &x->limits,
		.dataset = json_object_get(in, "dataset"),
		.runtime = json_object_get(in, "runtime"),
	};
	struct reservoir_specs s;
	struct error err = {0};
	json_t *objects = NULL;
	if (reservoir_specs_load(&ctx, &s, &err) < 0 || reservoir_check(&ctx, &s, &err) < 0 ||
	    reservoir_objects(&ctx, &reservoir_traits, &s, 20123, &objects, &err) < 0)
		fail_msg("%s", err.msg);
	reservoir_specs_clear(&s);
	/* The configuration is JSON inside a string: show it as what it is, too. */
	const char *text = json_str(objects, "[0].data[\"reservoir.json\"]", NULL);
	json_t *config = NULL;
	if (text == NULL || json_parse(text, strlen(text), &config, &err) < 0)
		fail_msg("reservoir.json: %s", err.msg);
	return json_pack("{s:o,s:o}", "objects", objects, "reservoir.json", config);
}

static void compare(struct fixture *x, const char *name)
{
	JSON_AUTO in = read_json(name, ".in.json");
	JSON_AUTO got = make_objects(x, in);
	if (getenv("SLUICE_GOLDEN_UPDATE") != NULL)
		write_json(name, got);
	JSON_AUTO want = read_json(name, ".json");
	if (json_equal(got, want))
		return;
	CLEANUP(free_p) char *text = json_dumps(got, JSON_INDENT(2));
	fail_msg("case '%s' differs from golden/%s.json; it is now:\n%s", name, name, text);
}

static void test_http(void **state)
{
	compare(*state, "http");
}

static void test_everything(void **state)
{
	compare(*state, "everything");
}

static void test_s3(void **state)
{
	compare(*state, "s3");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_http, fixture_setup, fixture_teardown),
		cmocka_unit_test_setup_teardown(test_everything, fixture_setup, fixture_teardown),
		cmocka_unit_test_setup_teardown(test_s3, fixture_setup, fixture_teardown),
	};
	return cmocka_run_group_tests_name("engines/reservoir_objects", tests, NULL, NULL);
}
