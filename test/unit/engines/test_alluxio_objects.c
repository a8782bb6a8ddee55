/*
 * The Alluxio's objects against golden JSON trees. golden/alluxio/cases.json holds the specs: what each case changes of the base, by merge
 * patch; golden/alluxio/base.json the base's objects, golden/alluxio/<case>.json how those of the case differ from them, as a merge patch.
 * Options of the Java virtual machines are shown one by one. "refused" are changes that have no objects but a reason.
 * SLUICE_GOLDEN_UPDATE=1 writes the objects anew; the difference is then read by a person.
 */
#include "runtime/fake_api.h"

#include "base/file.h"
#include "base/str.h"
#include "engines/alluxio/alluxio.h"
#include "json/patch.h"

static const char *const images[] = {"sluice.local/", "alluxio/", NULL};
static const char *const paths[] = {"/data", "/mnt", "/dev/shm", NULL};
static const struct engine_limits limits = {
	.mount_root = "/runtime-mnt", .allowed_images = images, .allowed_host_paths = paths};

static json_t *read_json(const char *name)
{
	CLEANUP(free_p) char *path = str_printf("%s/alluxio/%s.json", GOLDEN_DIR, name);
	CLEANUP(free_p) char *text = NULL;
	size_t n;
	struct error err = {0};
	json_t *j = NULL;
	if (file_read(path, 1 << 20, &text, &n, &err) < 0 || json_parse(text, n, &j, &err) < 0)
		fail_msg("%s: %s", path, err.msg);
	return j;
}

static void write_json(const char *name, const json_t *j)
{
	CLEANUP(free_p) char *path = str_printf("%s/alluxio/%s.json", GOLDEN_DIR, name);
	CLEANUP(free_p) char *text = json_dumps(j, JSON_INDENT(1));
	CLEANUP(free_p) char *line = str_printf("%s\n", text);
	struct error err = {0};
	if (file_write_atomic(path, 0644, line, strlen(line), &err) < 0)
		fail_msg("%s", err.msg);
}

/* An object of that kind, its spec the base's with the case's changes. */
static json_t *object_of(const char *kind, const json_t *base, const json_t *change)
{
	json_t *obj = json_pack("{s:s,s:s,s:{s:s,s:s,s:s},s:o}", "apiVersion", "data.fluid.io/v1alpha1", "kind", kind,
				"metadata", "name", "demo", "namespace", "default", "uid",
				"00000000-0000-0000-0000-000000000001", "spec", json_deep_copy(base));
	assert_non_null(obj);
	if (change == NULL)
		return obj;
	json_t *spec = NULL;
	assert_int_equal(json_merge_patch(json_object_get(obj, "spec"), change, &spec, NULL), 0);
	assert_int_equal(json_object_set_new(obj, "spec", spec), 0);
	return obj;
}

/* Ports as the framework would give them. */
static void put_ports(struct alluxio_specs *s)
{
	for (int i = 0; i < ALLUXIO_PORTS; i++)
		s->ports[i] = 20100 + i;
	s->ports[ALLUXIO_PROXY_WEB] *= s->runtime.spec.api_gateway.enabled;
	s->ports[ALLUXIO_MASTER_JOURNAL] *= s->masters > 1;
	s->ports[ALLUXIO_JOB_MASTER_JOURNAL] *= s->masters > 1;
}

/* "-Da=b -Xmx1G" as {"-Da": "b", "-Xmx1G": true}. */
static json_t *words_of(const char *text)
{
	json_t *words = json_object();
	struct str rest = str_from(text), word;
	while (str_split_next(&rest, ' ', &word)) {
		const char *eq = memchr(word.p, '=', word.n);
		const size_t n = eq != NULL ? (size_t)(eq - word.p) : word.n;
		json_t *value = eq != NULL ? json_stringn(eq + 1, word.n - n - 1) : json_true();
		if (word.n == 0)
			json_decref(value);
		else
			assert_int_equal(json_object_setn_new(words, word.p, n, value), 0);
	}
	return words;
}

/* {"Kind name": object}, the environment of the first one in words. */
static json_t *show(json_t *objects)
{
	const char *key;
	json_t *v, *data = json_at(objects, "[0].data"), *all = json_object();
	void *next;
	size_t i;
	json_object_foreach_safe (data, next, key, v)
		assert_int_equal(json_object_set_new(data, key, words_of(json_string_value(v))), 0);
	json_array_foreach (objects, i, v) {
		CLEANUP(free_p)
		char *name = str_printf("%s %s", json_str(v, "kind", ""), json_str(v, "metadata.name", ""));
		assert_int_equal(json_object_set(all, name, v), 0);
	}
	return all;
}

static int make(const json_t *base, const json_t *c, json_t **ret, struct error *err)
{
	JSON_AUTO dataset = object_of("Dataset", json_object_get(base, "dataset"), json_object_get(c, "dataset"));
	JSON_AUTO runtime =
		object_of("AlluxioRuntime", json_object_get(base, "runtime"), json_object_get(c, "runtime"));
	struct reconcile_ctx ctx = {.ns = "default",
				    .name = "demo",
				    .runtime_type = "alluxio",
				    .runtime_resource = &alluxio_runtime_kind.resource,
				    .limits = &limits,
				    .dataset = dataset,
				    .runtime = runtime,
				    .dataset_status = json_object_get(c, "status")};
	struct alluxio_specs s;
	int rc = alluxio_specs_load(&ctx, &s, err);
	if (rc < 0)
		return rc;
	put_ports(&s);
	rc = alluxio_check(&ctx, &s, err);
	if (rc == 0)
		rc = alluxio_objects(&ctx, &alluxio_traits, &s, ENGINE_MASTER | ENGINE_WORKERS | ENGINE_FUSE, ret, err);
	alluxio_specs_clear(&s);
	return rc;
}

static void test_golden(void **state)
{
	(void)state;
	JSON_AUTO all = read_json("cases");
	const json_t *base = json_object_get(all, "base");
	const char *name;
	json_t *c;
	size_t made = 0;
	JSON_AUTO first = NULL;
	json_object_foreach (json_object_get(all, "cases"), name, c) {
		JSON_AUTO objects = NULL;
		JSON_AUTO got = NULL;
		struct error err = {0};
		if (make(base, c, &objects, &err) < 0)
			fail_msg("%s: %s", name, err.msg);
		JSON_AUTO shown = show(objects);
		if (first == NULL)
			first = json_incref(shown);
		if (made == 0)
			got = json_incref(shown);
		else
			assert_int_equal(json_merge_diff(first, shown, &got, &err), 0);
		if (getenv("SLUICE_GOLDEN_UPDATE") != NULL)
			write_json(name, got);
		JSON_AUTO want = read_json(name);
		if (!json_equal(got, want)) {
			CLEANUP(free_p) char *text = json_dumps(got, JSON_INDENT(1));
			fail_msg("case '%s' differs from golden/alluxio/%s.json; it is now:\n%s", name, name, text);
		}
		made++;
	}
	assert_true(made >= 15);
}

static void test_refused(void **state)
{
	(void)state;
	JSON_AUTO all = read_json("cases");
	size_t i;
	json_t *c;
	json_array_foreach (json_object_get(all, "refused"), i, c) {
		JSON_AUTO got = NULL;
		struct error err = {0};
		const char *words = json_str(c, "words", "?");
		if (make(json_object_get(all, "base"), c, &got, &err) == 0)
			fail_msg("refused[%zu] is not refused: %s", i, words);
		if (strncmp(err.msg, words, strlen(words)) != 0)
			fail_msg("refused[%zu]: '%s' instead of '%s'", i, err.msg, words);
	}
	assert_true(i >= 25);
}

/* No secret's name leads anywhere but to a volume of the master: neither environment nor arguments. */
static void test_secrets_stay_files(void **state)
{
	(void)state;
	JSON_AUTO all = read_json("cases");
	JSON_AUTO got = NULL;
	struct error err = {0};
	size_t i;
	json_t *obj;
	assert_int_equal(make(json_object_get(all, "base"), json_at(all, "cases.secrets"), &got, &err), 0);
	json_array_foreach (got, i, obj) {
		CLEANUP(free_p) char *text = json_dumps(obj, 0);
		const bool master = strcmp(json_str(obj, "metadata.name", ""), "demo-master") == 0;
		assert_int_equal(strstr(text, "s3a.secretKey") != NULL, master);
		json_drop(obj, "spec.template.spec.volumes");
		CLEANUP(free_p) char *rest = json_dumps(obj, 0);
		assert_null(strstr(rest, "s3a.secretKey"));
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_golden),
		cmocka_unit_test(test_refused),
		cmocka_unit_test(test_secrets_stay_files),
	};
	return cmocka_run_group_tests_name("engines/alluxio_objects", tests, NULL, NULL);
}
