/* Each allocation of reading, patching and applying fails once: nothing leaks, inputs stay whole, the answer is -ENOMEM. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/error.h"
#include "base/strbuf.h"
#include "json/apply.h"
#include "json/json.h"
#include "json/jsonpath.h"
#include "json/patch.h"
#include "json/selector.h"
#include "json/yaml.h"

#include "fault.h"
#include "shapes.h"

static json_t *parse(const char *text)
{
	json_t *j = NULL;
	assert_int_equal(json_parse(text, strlen(text), &j, NULL), 0);
	return j;
}

static const char pod[] =
	"{\"metadata\":{\"name\":\"x\",\"labels\":{\"a\":\"1\"},\"finalizers\":[\"f\"]},\"spec\":{\"containers\":["
	"{\"name\":\"c\",\"image\":\"i\",\"ports\":[{\"containerPort\":80}]},{\"name\":\"d\"}],\"replicas\":1.5}}";
static const char change[] =
	"{\"metadata\":{\"name\":\"x\",\"labels\":{\"b\":\"2\"},\"finalizers\":[\"g\"]},\"spec\":{\"containers\":["
	"{\"name\":\"d\",\"image\":\"k\"},{\"name\":\"e\",\"args\":[\"x\"]}]}}";

static void reading(void **state)
{
	(void)state;
	FAULT_LOOP
	{
		json_t *j = NULL;
		const int rc = json_parse(pod, sizeof pod - 1, &j, NULL);
		char *text = rc == 0 ? json_to_text_indent(j, 2) : NULL;
		FAULT_END;
		assert_true(rc == 0 || (rc == -ENOMEM && fault_hit()));
		assert_true(text != NULL || fault_hit());
		free(text);
		json_decref(j);
	}
}

static void ignore_path(void *ctx, const char *path)
{
	(void)ctx;
	(void)path;
}

static void scanning(void **state)
{
	(void)state;
	FAULT_LOOP
	{
		const int rc = json_scan_duplicates(pod, sizeof pod - 1, ignore_path, NULL);
		FAULT_END;
		assert_int_equal(rc, fault_hit() ? -ENOMEM : 0);
	}
}

static void paths(void **state)
{
	(void)state;
	FAULT_LOOP
	{
		json_t *j = json_object();
		const int rc = j != NULL ? json_put_str(j, "a.b[name=x].c[0]", "v") : -ENOMEM;
		const int rc2 = j != NULL ? json_push(j, "a.l", json_string("v")) : -ENOMEM;
		FAULT_END;
		assert_true(rc == 0 || (rc == -ENOMEM && fault_hit()));
		assert_true(rc2 == 0 || (rc2 == -ENOMEM && fault_hit()));
		json_decref(j);
	}
}

static void yaml(void **state)
{
	(void)state;
	static const char text[] = "a: &x {b: [1, 2.5, yes, text]}\nc: *x\n<<: {d: 1}\n";
	FAULT_LOOP
	{
		json_t *j = NULL;
		const int rc = yaml_parse(text, sizeof text - 1, &j, NULL);
		char *back = rc == 0 ? yaml_to_text(j) : NULL;
		FAULT_END;
		assert_true(rc == 0 || fault_hit());
		assert_true(back != NULL || fault_hit());
		free(back);
		json_decref(j);
	}
}

static void selectors(void **state)
{
	(void)state;
	json_t *j = parse("{\"matchLabels\":{\"a\":\"b\"},\"matchExpressions\":[{\"key\":\"c\",\"operator\":\"In\","
			  "\"values\":[\"d\"]}]}");
	FAULT_LOOP
	{
		struct label_selector *a = NULL, *b = NULL;
		struct field_selector *c = NULL;
		const int r1 = label_selector_parse("a=b,c in (d,e),!f", &a, NULL),
			  r2 = label_selector_from_json(j, &b, NULL);
		const int r3 = field_selector_parse("a=b,c!=d", &c, NULL);
		FAULT_END;
		assert_true(fault_hit() ? r1 + r2 + r3 == -ENOMEM : r1 + r2 + r3 == 0);
		label_selector_free(a);
		label_selector_free(b);
		field_selector_free(c);
	}
	json_decref(j);
}

typedef int patch_fn(const json_t *, const json_t *, json_t **, struct error *);

static int strategic(const json_t *doc, const json_t *patch, json_t **ret, struct error *err)
{
	const struct shape root = shape_of(&t_root);
	return json_strategic_merge(doc, patch, &root, &test_shape_ops, ret, err);
}

static void check_patch(patch_fn *fn, const char *patch_text)
{
	json_t *doc = parse(pod), *patch = parse(patch_text);
	FAULT_LOOP
	{
		json_t *out = NULL;
		const int rc = fn(doc, patch, &out, NULL);
		FAULT_END;
		assert_int_equal(rc, fault_hit() ? -ENOMEM : 0);
		json_decref(out);
	}
	json_t *doc_again = parse(pod), *patch_again = parse(patch_text);
	assert_true(json_same(doc, doc_again) && json_same(patch, patch_again));
	json_decref(doc);
	json_decref(patch);
	json_decref(doc_again);
	json_decref(patch_again);
}

static void patches(void **state)
{
	(void)state;
	check_patch(json_merge_patch, change);
	check_patch(json_merge_diff, change);
	check_patch(strategic, change);
	check_patch(strategic, "{\"spec\":{\"$setElementOrder/"
			       "containers\":[{\"name\":\"d\"},{\"name\":\"c\"}],\"containers\":[{\"name\":\"c\","
			       "\"image\":\"z\"}]},\"metadata\":{\"$deleteFromPrimitiveList/"
			       "finalizers\":[\"f\"],\"labels\":{\"$patch\":\"replace\","
			       "\"z\":\"1\"}}}");
	check_patch(json_patch_apply, "[{\"op\":\"add\",\"path\":\"/spec/"
				      "x\",\"value\":{}},{\"op\":\"copy\",\"from\":\"/spec\",\"path\":\"/t\"},"
				      "{\"op\":\"move\",\"from\":\"/t/x\",\"path\":\"/spec/containers/"
				      "0\"},{\"op\":\"remove\",\"path\":\"/t\"},"
				      "{\"op\":\"replace\",\"path\":\"/spec/containers/1\",\"value\":1}]");
}

static void applying(void **state)
{
	(void)state;
	const struct shape root = shape_of(&t_root);
	static const char *const ignore[] = {"status", NULL};
	struct apply_options o = {.manager = "a",
				  .api_version = "v1",
				  .subresource = "",
				  .root = &root,
				  .ops = &test_shape_ops,
				  .ignore = ignore};
	json_t *config = parse(pod), *next = parse(change), *live = NULL;
	assert_int_equal(apply_merge(NULL, config, &o, &live, NULL, NULL), 0);
	FAULT_LOOP
	{
		json_t *out = NULL;
		const int rc = apply_merge(live, next, &o, &out, NULL, NULL);
		FAULT_END;
		assert_int_equal(rc, fault_hit() ? -ENOMEM : 0);
		json_decref(out);
	}
	o.manager = "b";
	json_t *contrary = parse("{\"metadata\":{\"name\":\"x\",\"labels\":{\"a\":\"9\"}},\"spec\":{\"replicas\":9}}");
	FAULT_LOOP
	{
		json_t *out = NULL, *causes = NULL;
		const int rc = apply_merge(live, contrary, &o, &out, &causes, NULL);
		FAULT_END;
		assert_int_equal(rc, fault_hit() ? -ENOMEM : -EEXIST);
		assert_true((causes != NULL) == (rc == -EEXIST));
		json_decref(causes);
	}
	FAULT_LOOP
	{
		json_t *out = NULL;
		const int rc = apply_track_update(live, contrary, &o, &out, NULL);
		FAULT_END;
		assert_int_equal(rc, fault_hit() ? -ENOMEM : 0);
		json_decref(out);
	}
	json_decref(config);
	json_decref(next);
	json_decref(contrary);
	json_decref(live);
}

static void jsonpaths(void **state)
{
	(void)state;
	static const char text[] =
		"{range .spec.containers[?(@.name!=\"\\u0063\")]}{.name}{\"\\n\"}{end}{.spec['containers','none']}"
		"{..image}{.metadata.*}{.spec.containers[-1:].name}{1}{2.5}{true}";
	json_t *doc = parse(pod);
	FAULT_LOOP
	{
		struct jsonpath *p = NULL;
		const int rc = jsonpath_parse(text, &p, NULL);
		FAULT_END;
		assert_int_equal(rc, fault_hit() ? -ENOMEM : 0);
		jsonpath_free(p);
	}
	struct jsonpath *p = NULL;
	assert_int_equal(jsonpath_parse(text, &p, NULL), 0);
	FAULT_LOOP
	{
		json_t *found = NULL;
		struct strbuf out = STRBUF_INIT(65536);
		int rc = jsonpath_find(p, doc, &found, NULL);
		if (rc == 0)
			rc = jsonpath_print(p, doc, &out, NULL);
		FAULT_END;
		assert_int_equal(rc, fault_hit() ? -ENOMEM : 0);
		json_decref(found);
		strbuf_clear(&out);
	}
	jsonpath_free(p);
	json_decref(doc);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(reading),  cmocka_unit_test(scanning),  cmocka_unit_test(paths),
		cmocka_unit_test(yaml),     cmocka_unit_test(selectors), cmocka_unit_test(patches),
		cmocka_unit_test(applying), cmocka_unit_test(jsonpaths),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
