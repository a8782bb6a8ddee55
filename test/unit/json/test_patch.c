#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/error.h"
#include "shapes.h"
#include "json/json.h"
#include "json/patch.h"

static json_t *parse(const char *text)
{
	json_t *j = NULL;
	struct error e = {0};
	if (json_parse(text, strlen(text), &j, &e) < 0)
		fail_msg("%s: %s", text, e.msg);
	return j;
}

struct patch_case {
	const char *doc, *patch;
	const char *out; /* the result, or the error's text */
	int rc;
};

/* Run @apply, compare with what the case wants and see that neither input has changed. */
static void run(const struct patch_case *c, int (*apply)(const json_t *, const json_t *, json_t **, struct error *))
{
	JSON_AUTO doc = parse(c->doc);
	JSON_AUTO patch = parse(c->patch);
	JSON_AUTO doc_before = parse(c->doc);
	JSON_AUTO patch_before = parse(c->patch);
	JSON_AUTO out = NULL;
	struct error e = {0};
	const int rc = apply(doc, patch, &out, &e);
	CLEANUP(free_p) char *text = rc == 0 ? json_to_text(out, NULL) : strdup(e.msg);
	if (rc != c->rc || strcmp(text, c->out) != 0)
		fail_msg("%s + %s: %d, %s", c->doc, c->patch, rc, text);
	assert_true(json_same(doc, doc_before));
	assert_true(json_same(patch, patch_before));
}

static void json_patches(void **state)
{
	(void)state;
	static const struct patch_case cases[] = {
		{"{\"a\":1}", "[{\"op\":\"add\",\"path\":\"/b\",\"value\":[1]}]", "{\"a\":1,\"b\":[1]}", 0},
		{"{\"a\":[1,2]}", "[{\"op\":\"add\",\"path\":\"/a/1\",\"value\":9}]", "{\"a\":[1,9,2]}", 0},
		{"{\"a\":[1,2]}", "[{\"op\":\"add\",\"path\":\"/a/-\",\"value\":9}]", "{\"a\":[1,2,9]}", 0},
		{"{\"a\":[1,2]}", "[{\"op\":\"remove\",\"path\":\"/a/0\"}]", "{\"a\":[2]}", 0},
		{"{\"a\":[1,2]}", "[{\"op\":\"replace\",\"path\":\"/a/1\",\"value\":{}}]", "{\"a\":[1,{}]}", 0},
		{"{\"a\":1}", "[{\"op\":\"replace\",\"path\":\"\",\"value\":7}]", "7", 0},
		{"{\"a/b\":{\"m~n\":1}}", "[{\"op\":\"remove\",\"path\":\"/a~1b/m~0n\"}]", "{\"a/b\":{}}", 0},
		{"{\"a\":{\"x\":1},\"b\":{}}", "[{\"op\":\"move\",\"from\":\"/a/x\",\"path\":\"/b/y\"}]",
		 "{\"a\":{},\"b\":{\"y\":1}}", 0},
		{"{\"a\":[1,2,3]}", "[{\"op\":\"move\",\"from\":\"/a/0\",\"path\":\"/a/2\"}]", "{\"a\":[2,3,1]}", 0},
		{"{\"a\":{\"x\":1}}",
		 "[{\"op\":\"copy\",\"from\":\"/a\",\"path\":\"/b\"},{\"op\":\"remove\",\"path\":\"/b/x\"}]",
		 "{\"a\":{\"x\":1},\"b\":{}}", 0},
		{"{\"a\":1}", "[{\"op\":\"test\",\"path\":\"/a\",\"value\":1.0},{\"op\":\"remove\",\"path\":\"/a\"}]",
		 "{}", 0},
		{"{\"a\":1}", "[{\"op\":\"test\",\"path\":\"/b\",\"value\":null}]", "{\"a\":1}", 0},
		{"{\"\":{\"\":1}}", "[{\"op\":\"remove\",\"path\":\"//\"}]", "{\"\":{}}", 0},
		{"{}", "[]", "{}", 0},
		/* RFC 6902, appendix A: what is not above */
		{"{\"foo\":\"bar\"}", "[{\"op\":\"add\",\"path\":\"/child\",\"value\":{\"grandchild\":{}}}]",
		 "{\"foo\":\"bar\",\"child\":{\"grandchild\":{}}}", 0},
		{"{\"foo\":\"bar\"}", "[{\"op\":\"add\",\"path\":\"/baz\",\"value\":\"qux\",\"xyz\":123}]",
		 "{\"foo\":\"bar\",\"baz\":\"qux\"}", 0},
		{"{\"foo\":{\"bar\":\"baz\",\"waldo\":\"fred\"},\"qux\":{\"corge\":\"grault\"}}",
		 "[{\"op\":\"move\",\"from\":\"/foo/waldo\",\"path\":\"/qux/thud\"}]",
		 "{\"foo\":{\"bar\":\"baz\"},\"qux\":{\"corge\":\"grault\",\"thud\":\"fred\"}}", 0},
		{"{\"baz\":\"qux\",\"foo\":[\"a\",2,\"c\"]}",
		 "[{\"op\":\"test\",\"path\":\"/baz\",\"value\":\"qux\"},{\"op\":\"test\",\"path\":\"/foo/1\",\"value\":2}]",
		 "{\"baz\":\"qux\",\"foo\":[\"a\",2,\"c\"]}", 0},
		{"{\"/\":9,\"~1\":10}", "[{\"op\":\"test\",\"path\":\"/~01\",\"value\":10}]", "{\"/\":9,\"~1\":10}", 0},
		{"{\"/\":9,\"~1\":10}", "[{\"op\":\"test\",\"path\":\"/~01\",\"value\":\"10\"}]",
		 "testing value /~01 failed: test failed", -ENOENT},
		{"{\"foo\":[\"bar\"]}", "[{\"op\":\"add\",\"path\":\"/foo/-\",\"value\":[\"abc\",\"def\"]}]",
		 "{\"foo\":[\"bar\",[\"abc\",\"def\"]]}", 0},
		{"{\"foo\":\"bar\"}", "[{\"op\":\"add\",\"path\":\"/baz/bat\",\"value\":\"qux\"}]",
		 "add operation does not apply: doc is missing path: \"/baz/bat\": missing value", -ENOENT},
		{"{\"a\":1}", "[{\"op\":\"test\",\"path\":\"/a\",\"value\":2}]", "testing value /a failed: test failed",
		 -ENOENT},
		{"{\"a\":1}", "[{\"op\":\"add\",\"path\":\"/x/y\",\"value\":2}]",
		 "add operation does not apply: doc is missing path: \"/x/y\": missing value", -ENOENT},
		{"{\"a\":[]}", "[{\"op\":\"add\",\"path\":\"/a/1\",\"value\":2}]",
		 "add operation does not apply: doc is missing path: \"/a/1\": missing value", -ENOENT},
		{"{\"a\":[1]}", "[{\"op\":\"remove\",\"path\":\"/a/00\"}]",
		 "remove operation does not apply: doc is missing path: \"/a/00\": missing value", -ENOENT},
		{"{\"a\":[1]}", "[{\"op\":\"remove\",\"path\":\"/a/-\"}]",
		 "remove operation does not apply: doc is missing path: \"/a/-\": missing value", -ENOENT},
		{"{}", "[{\"op\":\"replace\",\"path\":\"/a\",\"value\":2}]",
		 "replace operation does not apply: doc is missing path: \"/a\": missing value", -ENOENT},
		{"{}", "[{\"op\":\"copy\",\"from\":\"/a\",\"path\":\"/b\"}]",
		 "copy operation does not apply: doc is missing path: \"/b\": missing value", -ENOENT},
		{"{\"a\":{}}", "[{\"op\":\"move\",\"from\":\"/a\",\"path\":\"/a/b\"}]",
		 "JSON Patch: move \"/a/b\" is not a valid operation", -EINVAL},
		{"{}", "[{\"op\":\"add\",\"path\":\"a\",\"value\":1}]",
		 "JSON Patch: add \"a\" is not a valid operation", -EINVAL},
		{"{}", "[{\"op\":\"add\",\"path\":\"/~2\",\"value\":1}]",
		 "JSON Patch: add \"/~2\" is not a valid operation", -EINVAL},
		{"{}", "[{\"op\":\"add\",\"path\":\"/a\"}]", "JSON Patch: add \"/a\" is not a valid operation",
		 -EINVAL},
		{"{}", "[{\"op\":\"spin\",\"path\":\"/a\",\"value\":1}]",
		 "JSON Patch: spin \"/a\" is not a valid operation", -EINVAL},
		{"{}", "[1]", "JSON Patch: each operation needs \"op\" and \"path\"", -EINVAL},
		{"{}", "{}", "JSON Patch: it must be a list of operations", -EINVAL},
	};
	for (size_t i = 0; i < ARRAY_LEN(cases); i++)
		run(&cases[i], json_patch_apply);
}

static void json_patch_limits(void **state)
{
	(void)state;
	JSON_AUTO doc = parse("{\"a\":[0]}");
	JSON_AUTO many = json_array();
	JSON_AUTO grow = json_array();
	JSON_AUTO deepen = json_array();
	for (int i = 0; i <= JSON_PATCH_MAX_OPS; i++)
		(void)json_array_append_new(many, json_pack("{s:s,s:s,s:i}", "op", "add", "path", "/b", "value", 1));
	for (int i = 0; i < 40; i++) /* doubles each time */
		(void)json_array_append_new(grow,
					    json_pack("{s:s,s:s,s:s}", "op", "copy", "from", "/a", "path", "/a/-"));
	for (int i = 0; i < 300; i++)
		(void)json_array_append_new(deepen,
					    json_pack("{s:s,s:s,s:s}", "op", "move", "from", "/a", "path", "/b"));
	json_t *out = NULL;
	struct error e = {0};
	assert_int_equal(json_patch_apply(doc, many, &out, &e), -EINVAL);
	assert_string_equal(e.msg, "JSON Patch: at most 10000 operations are allowed, this has 10001");
	assert_int_equal(json_patch_apply(doc, grow, &out, &e), -EINVAL);
	assert_string_equal(e.msg, "JSON Patch: copy \"/a/-\": the result would be too large or too deep");
	assert_int_equal(json_patch_apply(doc, deepen, &out, &e),
			 -ENOENT); /* the second move finds nothing: not a limit */

	JSON_AUTO nest = json_array();
	char path[2048] = "";
	for (int i = 0; i < 300; i++) {
		(void)snprintf(path + strlen(path), sizeof path - strlen(path), "/a");
		(void)json_array_append_new(nest, json_pack("{s:s,s:s,s:{}}", "op", "add", "path", path, "value"));
	}
	assert_int_equal(json_patch_apply(doc, nest, &out, &e), -EINVAL);
	assert_null(out);
}

static void merge_patches(void **state)
{
	(void)state;
	static const struct patch_case cases[] = {
		/* RFC 7396, appendix A */
		{"{\"a\":\"b\"}", "{\"a\":\"c\"}", "{\"a\":\"c\"}", 0},
		{"{\"a\":\"b\"}", "{\"b\":\"c\"}", "{\"a\":\"b\",\"b\":\"c\"}", 0},
		{"{\"a\":\"b\"}", "{\"a\":null}", "{}", 0},
		{"{\"a\":\"b\",\"b\":\"c\"}", "{\"a\":null}", "{\"b\":\"c\"}", 0},
		{"{\"a\":[\"b\"]}", "{\"a\":\"c\"}", "{\"a\":\"c\"}", 0},
		{"{\"a\":{\"b\":\"c\"}}", "{\"a\":{\"b\":\"d\",\"c\":null}}", "{\"a\":{\"b\":\"d\"}}", 0},
		{"{\"a\":[{\"b\":\"c\"}]}", "{\"a\":[1]}", "{\"a\":[1]}", 0},
		{"[\"a\",\"b\"]", "[\"c\",\"d\"]", "[\"c\",\"d\"]", 0},
		{"{\"a\":\"b\"}", "[\"c\"]", "[\"c\"]", 0},
		{"{\"a\":\"foo\"}", "null", "null", 0},
		{"{\"a\":\"foo\"}", "\"bar\"", "\"bar\"", 0},
		{"{\"a\":\"c\"}", "{\"a\":[\"b\"]}", "{\"a\":[\"b\"]}", 0},
		{"{\"e\":null}", "{\"a\":1}", "{\"e\":null,\"a\":1}", 0},
		{"[1,2]", "{\"a\":\"b\",\"c\":null}", "{\"a\":\"b\"}", 0},
		{"{}", "{\"a\":{\"bb\":{\"ccc\":null}}}", "{\"a\":{\"bb\":{}}}", 0},
	};
	for (size_t i = 0; i < ARRAY_LEN(cases); i++)
		run(&cases[i], json_merge_patch);
}

static void merge_diffs(void **state)
{
	(void)state;
	static const struct {
		const char *from, *to, *patch;
	} cases[] = {
		{"{\"a\":1}", "{\"a\":1.0}", "{}"},
		{"{\"a\":1,\"b\":2}", "{\"a\":3}", "{\"b\":null,\"a\":3}"},
		{"{\"a\":{\"b\":1,\"c\":2}}", "{\"a\":{\"b\":1,\"d\":[1]}}", "{\"a\":{\"c\":null,\"d\":[1]}}"},
		{"{\"a\":[1,2]}", "{\"a\":[2,1]}", "{\"a\":[2,1]}"},
		{"{\"a\":{\"b\":1}}", "{\"a\":5}", "{\"a\":5}"},
		{"1", "2", "2"},
	};
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		JSON_AUTO from = parse(cases[i].from);
		JSON_AUTO to = parse(cases[i].to);
		JSON_AUTO patch = NULL;
		JSON_AUTO back = NULL;
		assert_int_equal(json_merge_diff(from, to, &patch, NULL), 0);
		CLEANUP(free_p) char *text = json_to_text(patch, NULL);
		assert_string_equal(text, cases[i].patch);
		assert_int_equal(json_merge_patch(from, patch, &back, NULL), 0);
		assert_true(json_same(back, to));
	}
}

static int strategic(const json_t *doc, const json_t *patch, json_t **ret, struct error *err)
{
	const struct shape root = shape_of(&t_root);
	return json_strategic_merge(doc, patch, &root, &test_shape_ops, ret, err);
}

static void strategic_merges(void **state)
{
	(void)state;
	static const struct patch_case cases[] = {
		{"{\"data\":{\"a\":\"1\"}}", "{\"data\":{\"b\":\"2\",\"a\":null}}", "{\"data\":{\"b\":\"2\"}}", 0},
		/* by merge key: changed in place, new ones behind; lists without a key are replaced */
		{"{\"spec\":{\"containers\":[{\"name\":\"a\",\"image\":\"i\",\"args\":[\"x\"]},{\"name\":\"b\"}]}}",
		 "{\"spec\":{\"containers\":[{\"name\":\"b\",\"image\":\"j\"},{\"name\":\"a\",\"args\":[\"y\",\"z\"]},{"
		 "\"name\":\"c\",\"image\":null}]}}",
		 "{\"spec\":{\"containers\":[{\"name\":\"a\",\"image\":\"i\",\"args\":[\"y\",\"z\"]},{\"name\":\"b\","
		 "\"image\":\"j\"},{\"name\":\"c\"}]}}",
		 0},
		{"{\"spec\":{\"containers\":[{\"name\":\"a\"},{\"name\":\"b\"}]}}",
		 "{\"spec\":{\"containers\":[{\"name\":\"a\",\"$patch\":\"delete\"}]}}",
		 "{\"spec\":{\"containers\":[{\"name\":\"b\"}]}}", 0},
		{"{\"spec\":{\"containers\":[{\"name\":\"a\"},{\"name\":\"b\"}]}}",
		 "{\"spec\":{\"containers\":[{\"name\":\"c\"},{\"$patch\":\"replace\"}]}}",
		 "{\"spec\":{\"containers\":[{\"name\":\"c\"}]}}", 0},
		{"{\"spec\":{\"containers\":[{\"name\":\"a\"}]}}",
		 "{\"spec\":{\"containers\":[{\"name\":\"a\",\"$patch\":\"merge\",\"image\":\"i\"}]}}",
		 "{\"spec\":{\"containers\":[{\"name\":\"a\",\"image\":\"i\"}]}}", 0},
		{"{}",
		 "{\"spec\":{\"containers\":[{\"name\":\"a\",\"$patch\":\"delete\"},{\"name\":\"b\",\"image\":null}]}}",
		 "{\"spec\":{\"containers\":[{\"name\":\"b\"}]}}", 0},
		/* objects */
		{"{\"data\":{\"a\":\"1\"}}", "{\"data\":{\"$patch\":\"replace\",\"b\":\"2\"}}",
		 "{\"data\":{\"b\":\"2\"}}", 0},
		{"{\"data\":{\"a\":\"1\"}}", "{\"data\":{\"$patch\":\"delete\"}}", "{\"data\":{}}", 0},
		{"{\"data\":{\"a\":\"1\",\"b\":\"2\",\"c\":\"3\"}}",
		 "{\"data\":{\"$retainKeys\":[\"a\",\"d\"],\"d\":\"4\"}}", "{\"data\":{\"a\":\"1\",\"d\":\"4\"}}", 0},
		{"{\"data\":{}}", "{\"data\":{\"$retainKeys\":[\"a\"],\"d\":\"4\"}}",
		 "strategic merge: \"d\" is set, but $retainKeys does not name it", -EINVAL},
		/* lists of scalars */
		{"{\"metadata\":{\"finalizers\":[\"a\",\"b\"]}}", "{\"metadata\":{\"finalizers\":[\"b\",\"c\"]}}",
		 "{\"metadata\":{\"finalizers\":[\"a\",\"b\",\"c\"]}}", 0},
		{"{\"metadata\":{\"finalizers\":[\"a\",\"b\"]}}",
		 "{\"metadata\":{\"$deleteFromPrimitiveList/finalizers\":[\"a\"],\"finalizers\":[\"c\"]}}",
		 "{\"metadata\":{\"finalizers\":[\"b\",\"c\"]}}", 0},
		{"{\"metadata\":{\"finalizers\":[\"a\",\"b\"]}}",
		 "{\"metadata\":{\"$setElementOrder/finalizers\":[\"c\",\"b\"],\"finalizers\":[\"c\"]}}",
		 "{\"metadata\":{\"finalizers\":[\"c\",\"a\",\"b\"]}}", 0},
		/* order: what the patch does not name stays before what it stood before */
		{"{\"spec\":{\"containers\":[{\"name\":\"x\"},{\"name\":\"a\"},{\"name\":\"b\"}]}}",
		 "{\"spec\":{\"$setElementOrder/containers\":[{\"name\":\"b\"},{\"name\":\"a\"},{\"name\":\"new\"}],"
		 "\"containers\":[{\"name\":\"a\",\"image\":\"i\"},{\"name\":\"new\"}]}}",
		 "{\"spec\":{\"containers\":[{\"name\":\"x\"},{\"name\":\"b\"},{\"name\":\"a\",\"image\":\"i\"},{"
		 "\"name\":\"new\"}]}}",
		 0},
		{"{\"spec\":{\"containers\":[{\"name\":\"a\"},{\"name\":\"b\"}]}}",
		 "{\"spec\":{\"$setElementOrder/containers\":[{\"name\":\"b\"},{\"name\":\"a\"}]}}",
		 "{\"spec\":{\"containers\":[{\"name\":\"b\"},{\"name\":\"a\"}]}}", 0},
		{"{\"spec\":{}}",
		 "{\"spec\":{\"$setElementOrder/containers\":[{\"name\":\"a\"}],\"containers\":[{\"name\":\"a\"}]}}",
		 "{\"spec\":{\"containers\":[{\"name\":\"a\"}]}}", 0},
		{"{\"spec\":{\"containers\":[{\"name\":\"a\"},{\"name\":\"b\"}]}}",
		 "{\"spec\":{\"$setElementOrder/"
		 "containers\":[{\"name\":\"b\"}],\"containers\":[{\"name\":\"a\",\"$patch\":\"delete\"}]}}",
		 "{\"spec\":{\"containers\":[{\"name\":\"b\"}]}}", 0},
		{"{\"spec\":{\"containers\":[]}}",
		 "{\"spec\":{\"$setElementOrder/containers\":[{\"name\":\"b\"}],\"containers\":[{\"name\":\"a\"}]}}",
		 "strategic merge: the order in patch doesn't match $setElementOrder list of \"containers\"", -EINVAL},
		/* what does not fit */
		{"{\"spec\":{\"containers\":[{\"name\":\"a\"}]}}", "{\"spec\":{\"containers\":[{\"image\":\"i\"}]}}",
		 "strategic merge: an item of \"containers\" does not contain declared merge key: name", -EINVAL},
		{"{\"data\":{}}", "{\"data\":{\"$patch\":\"spin\"}}", "strategic merge: unknown patch type [spin]",
		 -EINVAL},
		{"{\"data\":{}}", "{\"data\":{\"$patch\":1}}", "strategic merge: unknown patch type []", -EINVAL},
		{"{}", "[]", "strategic merge: document and patch must be objects", -EINVAL},
		{"{\"data\":\"x\"}", "{\"data\":{\"a\":\"1\",\"b\":null}}", "{\"data\":{\"a\":\"1\"}}", 0},
		{"{\"spec\":{\"replicas\":1}}", "{\"spec\":{\"replicas\":{\"$patch\":\"delete\"}}}", "{\"spec\":{}}",
		 0},
		{"{\"unknown\":[1],\"deep\":{\"x\":{\"y\":1}}}", "{\"unknown\":[2],\"deep\":{\"x\":{\"z\":2}}}",
		 "{\"unknown\":[2],\"deep\":{\"x\":{\"y\":1,\"z\":2}}}", 0},
	};
	for (size_t i = 0; i < ARRAY_LEN(cases); i++)
		run(&cases[i], strategic);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(json_patches), cmocka_unit_test(json_patch_limits), cmocka_unit_test(merge_patches),
		cmocka_unit_test(merge_diffs),  cmocka_unit_test(strategic_merges),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
