/* Each allocation fails once while definitions are read, tables made and the store is asked: nothing leaks, nothing is half there. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>

#include "base/cleanup.h"
#include "base/error.h"
#include "base/file.h"
#include "local/api_internal.h"
#include "local/api_registry.h"
#include "local/api_table.h"
#include "local/store.h"
#include "json/json.h"

#include "fault.h"

static const char crd_text[] =
	"{\"metadata\":{\"name\":\"things.example.com\"},\"spec\":{\"group\":\"example.com\",\"scope\":\"Namespaced\","
	"\"names\":{\"plural\":\"things\",\"kind\":\"Thing\",\"listKind\":\"ThingList\",\"shortNames\":[\"t\"]},"
	"\"versions\":[{\"name\":\"v1\",\"served\":true,"
	"\"storage\":true,\"additionalPrinterColumns\":[{\"name\":\"A\",\"type\":\"integer\",\"jsonPath\":\".spec.a\"}]"
	","
	"\"schema\":{\"openAPIV3Schema\":{\"type\":\"object\",\"properties\":{\"spec\":{\"type\":\"object\","
	"\"properties\":{\"a\":{\"type\":\"integer\"}}}}}}}]}}";
static const char object_text[] =
	"{\"metadata\":{\"name\":\"n\",\"creationTimestamp\":\"2026-01-02T03:04:05Z\"},\"spec\":{\"a\":1}}";

static json_t *parse(const char *text, size_t n)
{
	json_t *j = NULL;
	assert_int_equal(json_parse(text, n, &j, NULL), 0);
	return j;
}

static void test_definition(void **state)
{
	(void)state;
	JSON_AUTO crd = parse(crd_text, sizeof crd_text - 1);
	FAULT_LOOP
	{
		struct error err = {0};
		struct api_registry *reg = api_registry_new();
		int rc = reg != NULL ? api_registry_add_crd(reg, crd, &err) : -ENOMEM;
		FAULT_END;
		if (rc < 0)
			assert_true(fault_hit());
		struct api_kind *k = reg != NULL ? api_registry_find(reg, "example.com", NULL, "things") : NULL;
		assert_true((k != NULL) == (rc == 0)); /* all of it is served, or nothing */
		(void)api_kind_unref(k);
		api_registry_free(reg);
	}
}

static void test_table(void **state)
{
	(void)state;
	static const struct column columns[] = {{.name = "A", .type = "string", .format = "", .json_path = ".spec.a"},
						{0}};
	static const struct kind kind = {.columns = columns};
	const struct api_kind served = {.k = &kind};
	JSON_AUTO obj = parse(object_text, sizeof object_text - 1);
	FAULT_LOOP
	{
		json_t *t = api_table_one(&served, obj, "Metadata");
		FAULT_END;
		assert_true(t != NULL || fault_hit());
		if (t != NULL && !fault_hit())
			assert_string_equal(json_str(t, "rows[0].cells[1]", ""), "1");
		json_decref(t);
	}
}

static void test_status(void **state)
{
	(void)state;
	FAULT_LOOP
	{
		json_t *s = api_status_new(404, "NotFound", NULL, "gone");
		FAULT_END;
		assert_true(s != NULL || fault_hit());
		json_decref(s);
	}
}

static int count(void *ctx, const struct objstore_item *item)
{
	(void)item;
	++*(size_t *)ctx;
	return 0;
}

static void test_store(void **state)
{
	(void)state;
	char dir[] = "/tmp/sluice-test-fault-XXXXXX";
	assert_non_null(mkdtemp(dir));
	const struct objstore_options o = {.dir = dir};
	struct objstore *made = NULL;
	assert_int_equal(objstore_open(&o, &made, NULL), 0);
	const struct objstore_key key = {"", "configmaps", "default", "a"};
	const struct objstore_write w = {.key = key, .data = "{\"rv\":\"\"}", .n = 9, .revision_at = 7};
	int64_t revision = 0;
	assert_int_equal(objstore_write(made, &w, &revision, NULL), 0);
	objstore_close(made);
	FAULT_LOOP
	{
		struct objstore *s = NULL;
		struct error err = {0};
		char *text = NULL;
		size_t n = 0;
		const struct objstore_range range = {.group = "", .plural = "configmaps"};
		int rc = objstore_open(&o, &s, &err);
		if (rc == 0)
			rc = objstore_get(s, &key, &text, NULL, NULL, &err);
		if (rc == 0)
			rc = objstore_list(s, &range, count, &n, NULL, NULL, &err);
		FAULT_END;
		assert_int_equal(rc, fault_hit() ? -ENOMEM : 0);
		assert_true(rc < 0 || n == 1);
		free(text);
		objstore_close(s);
	}
	assert_int_equal(file_remove_all(dir, NULL), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_definition),
		cmocka_unit_test(test_table),
		cmocka_unit_test(test_status),
		cmocka_unit_test(test_store),
	};
	return cmocka_run_group_tests_name("api_fault", tests, NULL, NULL);
}
