/* Schemas of CRDs: what is accepted, what is refused and why, and how documents are checked by them. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "api/dataset.h"
#include "api/kind.h"
#include "api/reservoir_runtime.h"
#include "base/arena.h"
#include "base/error.h"
#include "base/strbuf.h"
#include "json/json.h"

static json_t *parse(const char *text)
{
	json_error_t why;
	json_t *j = json_loads(text, JSON_DECODE_ANY, &why);
	if (j == NULL)
		fail_msg("no JSON: %s: %s", text, why.text);
	return j;
}

static void test_refused(void **state)
{
	(void)state;
	static const struct {
		const char *schema, *msg;
	} cases[] = {
		{"{}", "openAPIV3Schema: type: Required value: must not be empty at the root"},
		{"{\"type\":\"string\"}", "openAPIV3Schema: type: Invalid value: must be object at the root"},
		{"{\"type\":\"object\",\"properties\":{\"a\":{}}}",
		 "openAPIV3Schema.properties[a]: type: Required value: must not be empty for specified object fields"},
		{"{\"type\":\"object\",\"properties\":{\"a\":{\"type\":\"text\"}}}",
		 "openAPIV3Schema.properties[a]: type: Unsupported value: supported values: \"array\", \"boolean\", "
		 "\"integer\", \"number\", "
		 "\"object\", \"string\""},
		{"{\"type\":\"object\",\"x-kubernetes-validations\":[]}",
		 "openAPIV3Schema: x-kubernetes-validations: Forbidden: CEL rules are not served by this server; use "
		 "pattern, enum, bounds or "
		 "allOf/anyOf/oneOf/not instead"},
		{"{\"type\":\"object\",\"properties\":{\"a\":{\"type\":\"array\"}}}",
		 "openAPIV3Schema.properties[a]: items: Required value: must be specified"},
		{"{\"type\":\"object\",\"properties\":{\"a\":{\"type\":\"array\",\"items\":{\"type\":\"string\"},"
		 "\"uniqueItems\":true}}}",
		 "openAPIV3Schema.properties[a]: uniqueItems: Forbidden: uniqueItems cannot be set to true since the "
		 "runtime complexity "
		 "becomes quadratic"},
		{"{\"type\":\"object\",\"properties\":{\"a\":{\"$ref\":\"#/x\"}}}",
		 "openAPIV3Schema.properties[a]: $ref: Forbidden: $ref is not supported"},
		{"{\"type\":\"object\",\"properties\":{\"a\":{\"type\":\"object\",\"properties\":{\"b\":{\"type\":"
		 "\"string\"}},"
		 "\"additionalProperties\":{\"type\":\"string\"}}}}",
		 "openAPIV3Schema.properties[a]: additionalProperties: Forbidden: additionalProperties and properties "
		 "are mutual exclusive"},
		{"{\"type\":\"object\",\"properties\":{\"a\":{\"type\":\"string\",\"pattern\":\"(\"}}}",
		 "openAPIV3Schema.properties[a].pattern: Invalid value: \"(\": must be a valid regular expression, but "
		 "isn't: missing closing "
		 "parenthesis at offset 1"},
		{"{\"type\":\"object\",\"properties\":{\"a\":{\"type\":\"integer\",\"default\":\"x\"}}}",
		 "openAPIV3Schema.properties[a].default: Invalid value: \"string\": default in body must be of type "
		 "integer: \"string\""},
		{"{\"type\":\"object\",\"properties\":{\"a\":{\"type\":\"integer\",\"minimum\":3,\"default\":1}}}",
		 "openAPIV3Schema.properties[a].default: Invalid value: 1: default in body should be greater than or "
		 "equal to 3"},
		{"{\"type\":\"object\",\"anyOf\":[{\"properties\":{\"a\":{\"type\":\"string\",\"default\":\"x\"}}}]}",
		 "openAPIV3Schema.anyOf[0].a.default: Forbidden: must be empty to be structural"},
		{"{\"type\":\"object\",\"properties\":{\"a\":{\"type\":\"array\",\"x-kubernetes-list-type\":\"map\","
		 "\"items\":{\"type\":\"object\"}}}}",
		 "openAPIV3Schema.properties[a]: x-kubernetes-list-map-keys: Required value: must not be empty if "
		 "x-kubernetes-list-type is map"},
		{"{\"type\":\"object\",\"properties\":{\"a\":{\"type\":\"array\",\"x-kubernetes-list-type\":\"map\","
		 "\"x-kubernetes-list-map-keys\":[\"k\"],"
		 "\"items\":{\"type\":\"object\",\"properties\":{\"k\":{\"type\":\"string\"}}}}}}",
		 "openAPIV3Schema.properties[a]: x-kubernetes-list-map-keys: Required value: this property is in "
		 "x-kubernetes-list-map-keys, so "
		 "it must have a default or be a required property"},
		{"{\"type\":\"object\",\"properties\":{\"metadata\":{\"type\":\"object\",\"properties\":{\"name\":{"
		 "\"type\":\"string\"}}}}}",
		 "openAPIV3Schema.properties[metadata]: Forbidden: rules for metadata are not served by this server"},
	};
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		JSON_AUTO json = parse(cases[i].schema);
		struct arena arena = ARENA_INIT(1u << 20);
		const struct schema *s;
		struct error err = {0};
		const int rc = schema_from_openapi(json, &arena, &s, &err);
		if (rc != -EINVAL || strcmp(err.msg, cases[i].msg) != 0)
			fail_msg("%s: %d '%s'", cases[i].schema, rc, err.msg);
		arena_free(&arena);
	}
}

static void test_checked(void **state)
{
	(void)state;
	static const struct {
		const char *spec, *value, *path, *message; /* path NULL: valid */
	} cases[] = {
		{"{\"type\":\"string\",\"pattern\":\"^a+$\"}", "\"aaa\"", NULL, NULL},
		{"{\"type\":\"string\",\"pattern\":\"^a+$\"}", "\"aab\"", "spec",
		 "Invalid value: \"aab\": spec in body should match '^a+$'"},
		{"{\"type\":\"string\",\"pattern\":\"^a+$\"}", "\"a\\n\"", "spec",
		 "Invalid value: \"a\\n\": spec in body should match '^a+$'"},
		{"{\"type\":\"string\",\"pattern\":\"(a*)*b\"}", "\"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaac\"",
		 "spec", NULL},
		{"{\"type\":\"string\",\"format\":\"date-time\"}", "\"2026-01-02\"", "spec",
		 "Invalid value: \"2026-01-02\": spec in body must be of type date-time: \"2026-01-02\""},
		{"{\"type\":\"string\",\"maxLength\":3}", "\"\xc3\xa4\xc3\xa4\xc3\xa4\"", NULL, NULL},
		{"{\"type\":\"string\",\"maxLength\":3}", "\"abcd\"", "spec", "Too long: may not be more than 3 bytes"},
		{"{\"type\":\"string\",\"nullable\":true}", "null", NULL, NULL},
		{"{\"type\":\"string\"}", "null", "spec",
		 "Invalid value: \"null\": spec in body must be of type string: \"null\""},
		{"{\"type\":\"integer\",\"multipleOf\":2}", "3", "spec",
		 "Invalid value: 3: spec in body should be a multiple of 2"},
		{"{\"type\":\"integer\",\"minimum\":1,\"exclusiveMinimum\":true}", "1", "spec",
		 "Invalid value: 1: spec in body should be greater than 1"},
		{"{\"type\":\"integer\",\"enum\":[1,2]}", "3", "spec", "Unsupported value: 3: supported values: [1,2]"},
		{"{\"type\":\"integer\",\"enum\":[1,2]}", "2", NULL, NULL},
		{"{\"type\":\"array\",\"items\":{\"type\":\"string\",\"enum\":[\"a\"]}}", "[\"a\",\"b\"]", "spec[1]",
		 "Unsupported value: \"b\": supported values: \"a\""},
		{"{\"type\":\"array\",\"x-kubernetes-list-type\":\"set\",\"items\":{\"type\":\"string\"}}",
		 "[\"a\",\"a\"]", "spec[1]", "Duplicate value: \"a\""},
		{"{\"type\":\"array\",\"x-kubernetes-list-type\":\"map\",\"x-kubernetes-list-map-keys\":[\"k\"],"
		 "\"items\":{\"type\":\"object\","
		 "\"required\":[\"k\"],\"properties\":{\"k\":{\"type\":\"string\"},\"v\":{\"type\":\"string\"}}}}",
		 "[{\"k\":\"1\",\"v\":\"a\"},{\"k\":\"1\",\"v\":\"b\"}]", "spec[1]", "Duplicate value: {\"k\":\"1\"}"},
		{"{\"type\":\"object\",\"additionalProperties\":{\"type\":\"integer\",\"minimum\":1}}", "{\"a\":0}",
		 "spec.a", "Invalid value: 0: spec.a in body should be greater than or equal to 1"},
		{"{\"x-kubernetes-int-or-string\":true,\"anyOf\":[{\"type\":\"integer\"},{\"type\":\"string\"}]}",
		 "\"5%\"", NULL, NULL},
		{"{\"x-kubernetes-int-or-string\":true}", "true", "spec",
		 "Invalid value: \"boolean\": spec in body must be of type integer or string: \"boolean\""},
		{"{\"type\":\"object\",\"x-kubernetes-preserve-unknown-fields\":true}", "{\"a\":[1]}", NULL, NULL},
		{"{\"type\":\"object\",\"properties\":{\"a\":{\"type\":\"string\"},\"b\":{\"type\":\"string\"}},"
		 "\"oneOf\":[{\"required\":[\"a\"]},"
		 "{\"required\":[\"b\"]}]}",
		 "{}", "spec",
		 "Invalid value: {}: spec in body must validate one and only one schema (oneOf). Found none valid"},
		{"{\"type\":\"object\",\"properties\":{\"a\":{\"type\":\"string\"},\"b\":{\"type\":\"string\"}},"
		 "\"oneOf\":[{\"required\":[\"a\"]},"
		 "{\"required\":[\"b\"]}]}",
		 "{\"b\":\"\"}", NULL, NULL},
		{"{\"type\":\"object\",\"properties\":{\"a\":{\"type\":\"string\"}},\"not\":{\"required\":[\"a\"]}}",
		 "{\"a\":\"\"}", "spec",
		 "Invalid value: {\"a\":\"\"}: spec in body must not validate the schema (not)"},
		{"{\"type\":\"object\",\"properties\":{\"a\":{\"type\":\"integer\"}},\"allOf\":[{\"properties\":{\"a\":"
		 "{\"maximum\":4}}}]}",
		 "{\"a\":5}", "spec.a", "Invalid value: 5: spec.a in body should be less than or equal to 4"},
	};
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		JSON_AUTO json =
			json_pack("{s:s,s:{s:o}}", "type", "object", "properties", "spec", parse(cases[i].spec));
		JSON_AUTO value = json_pack("{s:o}", "spec", parse(cases[i].value));
		struct arena arena = ARENA_INIT(1u << 20);
		CLEANUP(free_p) struct violations *vs = calloc(1, sizeof *vs);
		const struct schema *s;
		struct error err = {0};
		assert_non_null(vs);
		vs->arena = &arena;
		if (schema_from_openapi(json, &arena, &s, &err) != 0)
			fail_msg("%s: %s", cases[i].spec, err.msg);
		schema_validate(s, value, "", vs);
		if (vs->n != (cases[i].path != NULL))
			fail_msg("%s, %s: %zu found: %s", cases[i].spec, cases[i].value, vs->n,
				 vs->n > 0 ? vs->v[0].message : "");
		if (vs->n == 1 && (strcmp(vs->v[0].path, cases[i].path) != 0 ||
				   (cases[i].message != NULL && strcmp(vs->v[0].message, cases[i].message) != 0)))
			fail_msg("%s: %s: %s", cases[i].spec, vs->v[0].path, vs->v[0].message);
		arena_free(&arena);
	}
}

static void test_default_and_prune(void **state)
{
	(void)state;
	JSON_AUTO json = parse("{\"type\":\"object\",\"properties\":{\"spec\":{\"type\":\"object\",\"default\":{},"
			       "\"properties\":{\"a\":{\"type\":\"string\","
			       "\"default\":\"x\"},\"n\":{\"type\":\"string\",\"nullable\":true,\"default\":\"y\"},"
			       "\"e\":{\"type\":\"object\","
			       "\"x-kubernetes-embedded-resource\":true,\"x-kubernetes-preserve-unknown-fields\":true},"
			       "\"p\":{\"type\":\"object\"}}}}}");
	struct arena arena = ARENA_INIT(1u << 20);
	const struct schema *s;
	struct error err = {0};
	assert_int_equal(schema_from_openapi(json, &arena, &s, &err), 0);
	static const struct {
		const char *in, *want;
	} cases[] = {
		{"{}", "{\"spec\":{\"a\":\"x\",\"n\":\"y\"}}"},
		{"{\"spec\":{\"a\":null,\"n\":null}}", "{\"spec\":{\"a\":\"x\",\"n\":null}}"},
		{"{\"metadata\":{\"name\":\"m\",\"nope\":1},\"spec\":{\"e\":{\"kind\":\"K\",\"any\":1},\"p\":{\"any\":"
		 "1}}}",
		 "{\"metadata\":{\"name\":\"m\"},\"spec\":{\"a\":\"x\",\"n\":\"y\",\"e\":{\"kind\":\"K\",\"any\":1},"
		 "\"p\":{}}}"},
	};
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		JSON_AUTO value = parse(cases[i].in);
		JSON_AUTO want = parse(cases[i].want);
		schema_prune(s, value, NULL, NULL);
		assert_int_equal(schema_default(s, value), 0);
		CLEANUP(free_p) char *text = json_dumps(value, 0);
		if (!json_equal(value, want))
			fail_msg("%s: got %s", cases[i].in, text);
	}
	arena_free(&arena);
}

/* The CRD of each of our kinds is one that this server, and Kubernetes' rules for structural schemas, accept; documents fare the same by
 * the table and by its CRD. */
static void test_round_trip(void **state)
{
	(void)state;
	static const char *const documents[] = {
		"{\"spec\":{\"replicas\":-1,\"tieredstore\":{\"levels\":[{\"mediumtype\":\"X\"}]},\"volumes\":[{"
		"\"name\":1}],\"blockSize\":\"y\"}}",
		"{\"spec\":{\"mounts\":[{\"mountPoint\":\"a\"}],\"placement\":\"No\",\"tolerations\":[{\"operator\":1}]"
		",\"owner\":{}}}",
		"{\"spec\":{\"mounts\":[{\"mountPoint\":\"local:///x\"}]},\"status\":{}}",
	};
	for (const struct kind *const *k = sluice_kinds; *k != NULL; k++) {
		JSON_AUTO crd = kind_to_crd(*k);
		const json_t *version = json_at(crd, "spec.versions[0]");
		struct arena arena = ARENA_INIT(4u << 20);
		const struct schema *s;
		struct error err = {0};
		if (schema_from_openapi(json_at(version, "schema.openAPIV3Schema"), &arena, &s, &err) != 0)
			fail_msg("%s: %s", (*k)->resource.kind, err.msg);
		for (size_t i = 0; i < ARRAY_LEN(documents); i++) {
			JSON_AUTO value = parse(documents[i]);
			CLEANUP(free_p) struct violations *a = calloc(1, sizeof *a);
			CLEANUP(free_p) struct violations *b = calloc(1, sizeof *b);
			assert_non_null(a);
			assert_non_null(b);
			a->arena = b->arena = &arena;
			schema_validate((*k)->schema, value, "", a);
			schema_validate(s, value, "", b);
			if (a->n != b->n)
				fail_msg("%s: %s: %zu by the table, %zu by its CRD", (*k)->resource.kind, documents[i],
					 a->n, b->n);
			for (size_t n = 0; n < a->n; n++)
				assert_string_equal(a->v[n].path, b->v[n].path);
		}
		arena_free(&arena);
	}
}

static void test_crd(void **state)
{
	(void)state;
	JSON_AUTO crd = kind_to_crd(&reservoir_runtime_kind);
	static const struct {
		const char *path, *want;
	} strings[] = {
		{"metadata.name", "reservoirruntimes.data.fluid.io"},
		{"spec.scope", "Namespaced"},
		{"spec.names.shortNames[0]", "reservoir"},
		{"spec.names.categories[0]", "fluid"},
		{"spec.names.listKind", "ReservoirRuntimeList"},
		{"spec.versions[0].name", "v1alpha1"},
		{"spec.versions[0].subresources.scale.specReplicasPath", ".spec.replicas"},
		{"spec.versions[0].subresources.scale.statusReplicasPath", ".status.currentWorkerNumberScheduled"},
		{"spec.versions[0].subresources.scale.labelSelectorPath", ".status.selector"},
		{"spec.versions[0].additionalPrinterColumns[2].jsonPath", ".status.workerPhase"},
	};
	for (size_t i = 0; i < ARRAY_LEN(strings); i++)
		assert_string_equal(json_str(crd, strings[i].path, "(absent)"), strings[i].want);
	assert_true(json_is_object(json_at(crd, "spec.versions[0].subresources.status")));
	const json_t *spec = json_at(crd, "spec.versions[0].schema.openAPIV3Schema.properties.spec.properties");
	assert_int_equal(json_int(spec, "replicas.minimum", -1), 0);
	assert_int_equal(json_int(spec, "replicas.default", -1), 1);
	assert_true(json_bool(spec, "blockSize.x-kubernetes-int-or-string", false));
	/* Kubernetes' fragments carry no rules of their own into our CRD. */
	assert_null(json_at(spec, "worker.properties.tolerations.items.properties.operator.enum"));
	assert_null(json_at(spec, "volumes.items.properties.secret.properties.defaultMode.default"));
}

/* The column "may change after creation", walked: what is listed here may, all else may not. */
static void walk_changeable(const struct schema *s, const char *prefix, struct strbuf *out)
{
	for (const struct field *f = s->fields; f->name != NULL; f++) {
		if (f->immutable)
			continue;
		struct strbuf path = STRBUF_INIT(256);
		strbuf_addf(&path, "%s%s%s", prefix, prefix[0] == '\0' ? "" : ".", f->name);
		if (f->schema->type == SCHEMA_OBJECT && !schema_is_native(f->schema))
			walk_changeable(f->schema, path.p, out);
		else
			strbuf_addf(out, "%s ", path.p);
		strbuf_clear(&path);
	}
}

static void test_changeable(void **state)
{
	(void)state;
	const struct {
		const struct kind *kind;
		const char *want;
	} cases[] = {
		{sluice_kind_find("data.fluid.io", "Dataset"), "mounts runtimes sharedOptions sharedEncryptOptions "},
		{&reservoir_runtime_kind,
		 "replicas worker.resources worker.env worker.nodeSelector worker.tolerations worker.podMetadata.labels "
		 "worker.podMetadata.annotations worker.volumeMounts fuse.cleanPolicy "
		 "management.cleanCachePolicy.gracePeriodSeconds management.cleanCachePolicy.maxRetryAttempts "
		 "management.metadataSyncPolicy.autoSync "},
		{&alluxio_runtime_kind,
		 "fuse.cleanPolicy replicas management.cleanCachePolicy.gracePeriodSeconds "
		 "management.cleanCachePolicy.maxRetryAttempts management.metadataSyncPolicy.autoSync "},
		{&jindo_runtime_kind,
		 "master.resources worker.resources fuse.resources fuse.cleanPolicy fuse.metrics.scrapeTarget replicas "
		 "cleanCachePolicy.gracePeriodSeconds cleanCachePolicy.maxRetryAttempts "},
	};
	assert_null(sluice_kind_find("data.fluid.io", "Nope"));
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct strbuf got = STRBUF_INIT(4096);
		walk_changeable(schema_field(cases[i].kind->schema, "spec")->schema, "", &got);
		assert_string_equal(got.p, cases[i].want);
		strbuf_clear(&got);
	}
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_refused),
		cmocka_unit_test(test_checked),
		cmocka_unit_test(test_default_and_prune),
		cmocka_unit_test(test_round_trip),
		cmocka_unit_test(test_crd),
		cmocka_unit_test(test_changeable),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
