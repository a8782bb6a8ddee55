#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/clock.h"
#include "base/error.h"
#include "base/str.h"
#include "shapes.h"
#include "json/apply.h"
#include "json/json.h"

static json_t *parse(const char *text)
{
	json_t *j = NULL;
	struct error e = {0};
	if (json_parse(text, strlen(text), &j, &e) < 0)
		fail_msg("%s: %s", text, e.msg);
	return j;
}

/* One object through its life. */
struct life {
	json_t *live;
	int64_t now;
	json_t *causes; /* of the last refusal */
	struct error err;
};

static const struct shape *root(void)
{
	static struct shape s;
	s = shape_of(&t_root);
	return &s;
}

static struct apply_options options(struct life *l, const char *manager)
{
	l->now += NSEC_PER_SEC;
	return (struct apply_options){.manager = manager,
				      .api_version = "v1",
				      .subresource = "",
				      .now_wall_ns = l->now,
				      .root = root(),
				      .ops = &test_shape_ops};
}

static int run_apply(struct life *l, const struct apply_options *o, const char *config)
{
	JSON_AUTO c = parse(config);
	JSON_AUTO config_before = parse(config);
	JSON_AUTO live_before = json_deep_copy(l->live);
	json_t *out = NULL;
	json_decref(l->causes);
	l->causes = NULL;
	l->err = (struct error){0};
	const int rc = apply_merge(l->live, c, o, &out, &l->causes, &l->err);
	assert_true(json_same(c, config_before));
	assert_true(l->live == NULL || json_same(l->live, live_before));
	if (rc == 0) {
		json_decref(l->live);
		l->live = out;
	}
	return rc;
}

static void apply_ok(struct life *l, const char *manager, bool force, const char *config)
{
	struct apply_options o = options(l, manager);
	o.force = force;
	if (run_apply(l, &o, config) < 0)
		fail_msg("%s: %s", config, l->err.msg);
}

static int apply_fails(struct life *l, const char *manager, const char *config)
{
	struct apply_options o = options(l, manager);
	return run_apply(l, &o, config);
}

static void update_as(struct life *l, const struct apply_options *o, const char *object, bool keep_owners)
{
	JSON_AUTO after = parse(object);
	const json_t *owners = json_at(l->live, "metadata.managedFields");
	if (keep_owners && owners != NULL)
		assert_int_equal(json_put(after, "metadata.managedFields", json_deep_copy(owners)), 0);
	json_t *out = NULL;
	struct error e = {0};
	if (apply_track_update(l->live, after, o, &out, &e) < 0)
		fail_msg("%s: %s", object, e.msg);
	json_decref(l->live);
	l->live = out;
}

static void update(struct life *l, const char *manager, const char *object)
{
	struct apply_options o = options(l, manager);
	update_as(l, &o, object, true);
}

static void check_object(struct life *l, const char *want)
{
	JSON_AUTO bare = json_deep_copy(l->live);
	JSON_AUTO expected = parse(want);
	json_drop(bare, "metadata.managedFields");
	CLEANUP(free_p) char *text = json_to_text(bare, NULL);
	if (!json_same(bare, expected))
		fail_msg("got %s, want %s", text, want);
}

/* What @manager owns, by FieldsV1's text; "" for nothing. */
static void check_owner(struct life *l, const char *manager, const char *operation, const char *want)
{
	const json_t *list = json_at(l->live, "metadata.managedFields");
	CLEANUP(free_p) char *text = NULL;
	for (size_t i = 0; i < json_array_size(list); i++) {
		const json_t *e = json_array_get(list, i);
		if (!str_same(json_str(e, "manager", NULL), manager) ||
		    !str_same(json_str(e, "operation", NULL), operation))
			continue;
		assert_null(text); /* once only */
		text = json_to_text(json_object_get(e, "fieldsV1"), NULL);
	}
	assert_string_equal(text != NULL ? text : "", want);
}

static void finish(struct life *l)
{
	json_decref(l->live);
	json_decref(l->causes);
}

#define CM "\"apiVersion\":\"v1\",\"kind\":\"X\",\"metadata\":{\"name\":\"x\"}"

static void creates_and_owns(void **state)
{
	(void)state;
	struct life l = {0};
	apply_ok(&l, "a", false, "{" CM ",\"data\":{\"k\":\"1\"}}");
	check_object(&l, "{" CM ",\"data\":{\"k\":\"1\"}}");
	check_owner(&l, "a", "Apply", "{\"f:data\":{\"f:k\":{}}}");
	const json_t *e = json_at(l.live, "metadata.managedFields[0]");
	CLEANUP(free_p) char *text = json_to_text(e, NULL);
	assert_string_equal(
		text,
		"{\"manager\":\"a\",\"operation\":\"Apply\",\"apiVersion\":\"v1\",\"time\":\"1970-01-01T00:00:01Z\","
		"\"fieldsType\":\"FieldsV1\",\"fieldsV1\":{\"f:data\":{\"f:k\":{}}}}");
	finish(&l);
}

static void dropped_fields_go(void **state)
{
	(void)state;
	struct life l = {0};
	apply_ok(&l, "a", false, "{" CM ",\"data\":{\"k\":\"1\",\"l\":\"2\"},\"spec\":{\"replicas\":3}}");
	update(&l, "server",
	       "{" CM ",\"data\":{\"k\":\"1\",\"l\":\"2\",\"theirs\":\"x\"},\"spec\":{\"replicas\":3},\"status\":{"
	       "\"s\":\"1\"}}");
	apply_ok(&l, "a", false, "{" CM ",\"data\":{\"k\":\"1\"}}");
	check_object(&l, "{" CM ",\"data\":{\"k\":\"1\",\"theirs\":\"x\"},\"status\":{\"s\":\"1\"}}");
	check_owner(&l, "a", "Apply", "{\"f:data\":{\"f:k\":{}}}");
	check_owner(&l, "server", "Update", "{\"f:data\":{\"f:theirs\":{}},\"f:status\":{\".\":{},\"f:s\":{}}}");
	apply_ok(&l, "a", false, "{" CM "}");
	check_object(&l, "{" CM ",\"data\":{\"theirs\":\"x\"},\"status\":{\"s\":\"1\"}}");
	check_owner(&l, "a", "Apply", "");
	finish(&l);
}

/* What the server defaulted inside something applied goes with it; beside it, it stays. */
static void unowned_fields(void **state)
{
	(void)state;
	struct life l = {0};
	apply_ok(&l, "a", false, "{" CM ",\"spec\":{\"containers\":[{\"name\":\"c\",\"image\":\"i\"}]}}");
	assert_int_equal(json_put_str(l.live, "spec.containers[name=c].pull", "Always"), 0);
	assert_int_equal(json_put_int(l.live, "spec.replicas", 1), 0);
	apply_ok(&l, "a", false,
		 "{" CM ",\"spec\":{\"containers\":[{\"name\":\"c\",\"image\":\"j\"},{\"name\":\"d\"}]}}");
	check_object(&l, "{" CM ",\"spec\":{\"containers\":[{\"name\":\"c\",\"image\":\"j\",\"pull\":\"Always\"},{"
			 "\"name\":\"d\"}],\"replicas\":1}}");
	check_owner(
		&l, "a", "Apply",
		"{\"f:spec\":{\"f:containers\":{\"k:{\\\"name\\\":\\\"c\\\"}\":{\".\":{},\"f:image\":{},\"f:name\":{}},"
		"\"k:{\\\"name\\\":\\\"d\\\"}\":{\".\":{},\"f:name\":{}}}}}");
	apply_ok(&l, "a", false, "{" CM ",\"spec\":{\"containers\":[{\"name\":\"d\"}]}}");
	check_object(&l, "{" CM ",\"spec\":{\"containers\":[{\"name\":\"d\"}],\"replicas\":1}}");
	finish(&l);
}

static void conflicts(void **state)
{
	(void)state;
	struct life l = {0};
	apply_ok(&l, "a", false, "{" CM ",\"data\":{\"k\":\"1\",\"l\":\"1\",\"m\":\"1\"}}");
	assert_int_equal(apply_fails(&l, "b", "{" CM ",\"data\":{\"k\":\"2\"}}"), -EEXIST);
	assert_string_equal(l.err.msg, "Apply failed with 1 conflict: conflict with \"a\": .data.k");
	CLEANUP(free_p) char *causes = json_to_text(l.causes, NULL);
	assert_string_equal(causes, "[{\"reason\":\"FieldManagerConflict\",\"message\":\"conflict with "
				    "\\\"a\\\"\",\"field\":\".data.k\"}]");
	check_object(&l, "{" CM ",\"data\":{\"k\":\"1\",\"l\":\"1\",\"m\":\"1\"}}");

	update(&l, "edit", "{" CM ",\"data\":{\"k\":\"1\",\"l\":\"1\",\"m\":\"9\"}}");
	assert_int_equal(apply_fails(&l, "b", "{" CM ",\"data\":{\"k\":\"2\",\"l\":\"2\",\"m\":\"2\"}}"), -EEXIST);
	assert_string_equal(l.err.msg, "Apply failed with 3 conflicts: conflicts with \"a\":\n- .data.k\n- .data.l\n"
				       "conflicts with \"edit\" using v1:\n- .data.m");
	assert_int_equal(json_array_size(l.causes), 3);

	CLEANUP(free_p) char *message = apply_conflict_message(l.causes);
	assert_string_equal(message, l.err.msg);

	/* equal values are shared, and a shared field stays when one drops it */
	apply_ok(&l, "b", false, "{" CM ",\"data\":{\"k\":\"1\"}}");
	apply_ok(&l, "a", false, "{" CM ",\"data\":{\"l\":\"1\"}}");
	check_object(&l, "{" CM ",\"data\":{\"k\":\"1\",\"l\":\"1\",\"m\":\"9\"}}");
	check_owner(&l, "b", "Apply", "{\"f:data\":{\"f:k\":{}}}");

	/* force takes it over */
	apply_ok(&l, "b", true, "{" CM ",\"data\":{\"k\":\"1\",\"l\":\"2\"}}");
	check_object(&l, "{" CM ",\"data\":{\"k\":\"1\",\"l\":\"2\",\"m\":\"9\"}}");
	check_owner(&l, "a", "Apply", "");
	check_owner(&l, "b", "Apply", "{\"f:data\":{\"f:k\":{},\"f:l\":{}}}");
	finish(&l);
}

static void conflict_paths(void **state)
{
	(void)state;
	struct life l = {0};
	apply_ok(&l, "a", false,
		 "{" CM ",\"spec\":{\"containers\":[{\"name\":\"c\",\"image\":\"i\",\"ports\":[{\"containerPort\":80,"
		 "\"name\":\"h\"}]}]}}");
	assert_int_equal(apply_fails(&l, "b",
				     "{" CM ",\"spec\":{\"containers\":[{\"name\":\"c\",\"image\":\"i\",\"ports\":"
				     "[{\"containerPort\":80,\"protocol\":\"TCP\",\"name\":\"x\"}]}]}}"),
			 -EEXIST);
	assert_string_equal(l.err.msg, "Apply failed with 1 conflict: conflict with \"a\": "
				       ".spec.containers[name=\"c\"].ports[containerPort=80,protocol=\"TCP\"].name");
	finish(&l);
}

static void key_defaults(void **state)
{
	(void)state;
	struct life l = {0};
	apply_ok(&l, "a", false,
		 "{" CM ",\"spec\":{\"containers\":[{\"name\":\"c\",\"ports\":[{\"containerPort\":80}]}]}}");
	/* the same port with the default written out is the same port; another protocol is another */
	apply_ok(&l, "b", false,
		 "{" CM ",\"spec\":{\"containers\":[{\"name\":\"c\",\"ports\":["
		 "{\"containerPort\":80,\"protocol\":\"TCP\"},{\"containerPort\":80,\"protocol\":\"UDP\"}]}]}}");
	check_object(
		&l, "{" CM
		    ",\"spec\":{\"containers\":[{\"name\":\"c\",\"ports\":[{\"containerPort\":80,\"protocol\":\"TCP\"},"
		    "{\"containerPort\":80,\"protocol\":\"UDP\"}]}]}}");
	apply_ok(&l, "b", false, "{" CM "}");
	check_object(&l, "{" CM ",\"spec\":{\"containers\":[{\"name\":\"c\",\"ports\":[{\"containerPort\":80}]}]}}");
	finish(&l);
}

static void sets_and_atomics(void **state)
{
	(void)state;
	struct life l = {0};
	apply_ok(&l, "a", false,
		 "{\"metadata\":{\"name\":\"x\",\"finalizers\":[\"f1\",\"f2\"]},\"spec\":{\"selector\":{\"a\":\"1\"},"
		 "\"containers\":[{\"name\":\"c\",\"args\":[\"x\",\"y\"]}]}}");
	check_owner(&l, "a", "Apply",
		    "{\"f:metadata\":{\"f:finalizers\":{\"v:\\\"f1\\\"\":{},\"v:\\\"f2\\\"\":{}}},\"f:spec\":{"
		    "\"f:containers\":{\"k:{\\\"name\\\":\\\"c\\\"}\":{\".\":{},\"f:args\":{},\"f:name\":{}}},\"f:"
		    "selector\":{}}}");
	apply_ok(&l, "b", false, "{\"metadata\":{\"name\":\"x\",\"finalizers\":[\"f3\",\"f1\"]}}");
	check_object(&l, "{\"metadata\":{\"name\":\"x\",\"finalizers\":[\"f3\",\"f1\",\"f2\"]},\"spec\":{\"selector\":{"
			 "\"a\":\"1\"},"
			 "\"containers\":[{\"name\":\"c\",\"args\":[\"x\",\"y\"]}]}}");
	assert_int_equal(apply_fails(&l, "b", "{\"metadata\":{\"name\":\"x\"},\"spec\":{\"selector\":{\"b\":\"1\"}}}"),
			 -EEXIST);
	assert_string_equal(l.err.msg, "Apply failed with 1 conflict: conflict with \"a\": .spec.selector");
	apply_ok(&l, "a", false,
		 "{\"metadata\":{\"name\":\"x\",\"finalizers\":[\"f2\"]},\"spec\":{\"selector\":{\"b\":\"2\"},"
		 "\"containers\":[{\"name\":\"c\",\"args\":[\"z\"]}]}}");
	check_object(&l, "{\"metadata\":{\"name\":\"x\",\"finalizers\":[\"f3\",\"f1\",\"f2\"]},\"spec\":{\"selector\":{"
			 "\"b\":\"2\"},"
			 "\"containers\":[{\"name\":\"c\",\"args\":[\"z\"]}]}}");
	apply_ok(&l, "b", false, "{\"metadata\":{\"name\":\"x\"}}");
	check_object(&l, "{\"metadata\":{\"name\":\"x\",\"finalizers\":[\"f2\"]},\"spec\":{\"selector\":{\"b\":\"2\"},"
			 "\"containers\":[{\"name\":\"c\",\"args\":[\"z\"]}]}}");
	finish(&l);
}

static void list_order(void **state)
{
	(void)state;
	static const struct {
		const char *theirs, *ours, *want;
	} cases[] = {
		{"abcd", "db", "acdb"}, {"ab", "ba", "ba"}, {"ab", "xay", "xaby"}, {"abc", "xy", "abcxy"},
		{"ac", "bc", "abc"},    {"", "ab", "ab"},   {"ab", "", "ab"},
	};
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct life l = {.live = parse("{" CM ",\"spec\":{\"containers\":[]}}")};
		for (const char *p = cases[i].theirs; *p != '\0'; p++)
			assert_int_equal(json_push(l.live, "spec.containers", json_pack("{s:s#}", "name", p, 1)), 0);
		JSON_AUTO config = parse("{" CM ",\"spec\":{\"containers\":[]}}");
		for (const char *p = cases[i].ours; *p != '\0'; p++)
			assert_int_equal(json_push(config, "spec.containers", json_pack("{s:s#}", "name", p, 1)), 0);
		CLEANUP(free_p) char *text = json_to_text(config, NULL);
		apply_ok(&l, "a", false, text);
		char got[16] = "";
		for (size_t k = 0; k < json_array_size(json_at(l.live, "spec.containers")); k++)
			got[k] = json_str(json_array_get(json_at(l.live, "spec.containers"), k), "name", "?")[0];
		assert_string_equal(got, cases[i].want);
		finish(&l);
	}
}

static void bad_lists(void **state)
{
	(void)state;
	struct life l = {0};
	assert_int_equal(apply_fails(&l, "a", "{" CM ",\"spec\":{\"containers\":[{\"image\":\"i\"}]}}"), -EINVAL);
	assert_string_equal(l.err.msg,
			    ".spec.containers: element 0: associative list with keys has an element that omits all key "
			    "fields (the first is \"name\") and has no default for them");
	assert_int_equal(apply_fails(&l, "a", "{" CM ",\"spec\":{\"containers\":[{\"name\":\"c\"},{\"name\":\"c\"}]}}"),
			 -EINVAL);
	assert_string_equal(l.err.msg, ".spec.containers: duplicate entries for key [{\"name\":\"c\"}]");
	assert_int_equal(apply_fails(&l, "a", "[]"), -EINVAL);

	/* a live object may have them: they stay as they are */
	l.live = parse(
		"{" CM
		",\"spec\":{\"containers\":[{\"image\":\"i\"},{\"name\":\"c\"},{\"name\":\"c\",\"image\":\"j\"}]}}");
	apply_ok(&l, "a", false, "{" CM ",\"data\":{\"k\":\"1\"}}");
	check_object(&l, "{" CM ",\"spec\":{\"containers\":[{\"image\":\"i\"},{\"name\":\"c\"},{\"name\":\"c\","
			 "\"image\":\"j\"}]},\"data\":{\"k\":\"1\"}}");
	finish(&l);
}

static void first_apply_to_an_unmanaged_object(void **state)
{
	(void)state;
	struct life l = {.live = parse("{" CM ",\"data\":{\"k\":\"1\",\"l\":\"1\"}}")};
	assert_int_equal(apply_fails(&l, "a", "{" CM ",\"data\":{\"k\":\"2\"}}"), -EEXIST);
	assert_string_equal(l.err.msg,
			    "Apply failed with 1 conflict: conflict with \"before-first-apply\" using v1: .data.k");
	apply_ok(&l, "a", true, "{" CM ",\"data\":{\"k\":\"2\"}}");
	check_object(&l, "{" CM ",\"data\":{\"k\":\"2\",\"l\":\"1\"}}");
	check_owner(&l, "before-first-apply", "Update", "{\"f:data\":{\".\":{},\"f:l\":{}}}");
	finish(&l);
}

static void nulls_remove(void **state)
{
	(void)state;
	struct life l = {
		.live = parse(
			"{" CM
			",\"spec\":{\"containers\":[{\"name\":\"c\",\"image\":\"i\"}],\"replicas\":1},\"data\":{}}")};
	apply_ok(&l, "a", true,
		 "{" CM
		 ",\"spec\":{\"containers\":[{\"name\":\"c\",\"image\":null}],\"replicas\":null,\"free\":null}}");
	check_object(&l, "{" CM ",\"spec\":{\"containers\":[{\"name\":\"c\"}]},\"data\":{}}");
	const char *time = json_str(l.live, "metadata.managedFields[manager=a].time", NULL);
	assert_string_equal(time, "1970-01-01T00:00:01Z");
	/* and nothing happens the second time */
	apply_ok(&l, "a", false,
		 "{" CM
		 ",\"spec\":{\"containers\":[{\"name\":\"c\",\"image\":null}],\"replicas\":null,\"free\":null}}");
	assert_string_equal(json_str(l.live, "metadata.managedFields[manager=a].time", NULL), "1970-01-01T00:00:01Z");
	finish(&l);
}

/* What a null takes out is nobody's any more, be it a container or inside one. */
static void nulls_end_ownership(void **state)
{
	(void)state;
	struct life l = {0};
	apply_ok(&l, "a", false,
		 "{\"metadata\":{\"name\":\"x\",\"labels\":{\"l\":\"1\"}},\"spec\":{\"containers\":[{\"name\":\"c\","
		 "\"image\":\"i\"}]}}");
	assert_int_equal(
		apply_fails(
			&l, "b",
			"{\"metadata\":{\"name\":\"x\"},\"spec\":{\"containers\":[{\"name\":\"c\",\"image\":null}]}}"),
		-EEXIST);
	apply_ok(&l, "b", true,
		 "{\"metadata\":{\"name\":\"x\",\"labels\":null},\"spec\":{\"containers\":[{\"name\":\"c\",\"image\":"
		 "null}]}}");
	check_object(&l, "{\"metadata\":{\"name\":\"x\"},\"spec\":{\"containers\":[{\"name\":\"c\"}]}}");
	check_owner(&l, "a", "Apply",
		    "{\"f:spec\":{\"f:containers\":{\"k:{\\\"name\\\":\\\"c\\\"}\":{\".\":{},\"f:name\":{}}}}}");
	finish(&l);
}

static void empty_containers_stay(void **state)
{
	(void)state;
	struct life l = {0};
	apply_ok(&l, "a", false, "{" CM ",\"data\":{\"k\":\"1\"},\"spec\":{\"nodeSelector\":{}}}");
	check_owner(&l, "a", "Apply", "{\"f:data\":{\"f:k\":{}},\"f:spec\":{\"f:nodeSelector\":{}}}");
	apply_ok(&l, "a", false, "{" CM ",\"data\":{},\"spec\":{\"nodeSelector\":{}}}");
	check_object(&l, "{" CM ",\"data\":{},\"spec\":{\"nodeSelector\":{}}}");
	finish(&l);
}

static void system_fields_are_left_alone(void **state)
{
	(void)state;
	struct life l = {0};
	apply_ok(&l, "a", false, "{" CM ",\"data\":{\"k\":\"1\"}}");
	assert_int_equal(json_put_str(l.live, "metadata.uid", "u"), 0);
	assert_int_equal(json_put_str(l.live, "metadata.resourceVersion", "7"), 0);
	assert_int_equal(json_put_str(l.live, "metadata.creationTimestamp", "2026-01-01T00:00:00Z"), 0);
	apply_ok(&l, "a", false,
		 "{\"apiVersion\":\"v1\",\"kind\":\"X\",\"metadata\":{\"name\":\"x\",\"creationTimestamp\":null,"
		 "\"resourceVersion\":\"6\"},\"data\":{\"k\":\"2\"}}");
	check_object(&l, "{\"apiVersion\":\"v1\",\"kind\":\"X\",\"metadata\":{\"name\":\"x\",\"uid\":\"u\","
			 "\"resourceVersion\":\"7\","
			 "\"creationTimestamp\":\"2026-01-01T00:00:00Z\"},\"data\":{\"k\":\"2\"}}");
	check_owner(&l, "a", "Apply", "{\"f:data\":{\"f:k\":{}}}");
	/* even for a configuration that says nothing of metadata */
	apply_ok(&l, "a", false, "{\"data\":{\"k\":\"2\"}}");
	assert_string_equal(json_str(l.live, "metadata.uid", ""), "u");
	assert_string_equal(json_str(l.live, "kind", ""), "X");
	finish(&l);
}

static void ignored_paths(void **state)
{
	(void)state;
	struct life l = {0};
	static const char *const status[] = {"status", NULL}, *const spec[] = {"spec", "metadata.labels", NULL};
	struct apply_options o = options(&l, "a");
	o.ignore = status;
	assert_int_equal(run_apply(&l, &o, "{" CM ",\"spec\":{\"replicas\":1},\"status\":{\"s\":\"1\"}}"), 0);
	check_object(&l, "{" CM ",\"spec\":{\"replicas\":1}}");
	check_owner(&l, "a", "Apply", "{\"f:spec\":{\"f:replicas\":{}}}");

	o = options(&l, "ctl");
	o.subresource = "status";
	o.ignore = spec;
	update_as(&l, &o,
		  "{\"apiVersion\":\"v1\",\"kind\":\"X\",\"metadata\":{\"name\":\"x\",\"labels\":{\"l\":\"1\"}},"
		  "\"spec\":{\"replicas\":9},\"status\":{\"s\":\"2\"}}",
		  true);
	check_owner(&l, "ctl", "Update", "{\"f:status\":{\".\":{},\"f:s\":{}}}");
	check_owner(&l, "a", "Apply", "{\"f:spec\":{\"f:replicas\":{}}}");
	assert_string_equal(json_str(l.live, "metadata.managedFields[manager=ctl].subresource", ""), "status");

	/* the same manager applies to the status: an entry of its own */
	o = options(&l, "a");
	o.subresource = "status";
	o.ignore = spec;
	assert_int_equal(run_apply(&l, &o, "{" CM ",\"status\":{\"s\":\"3\"}}"), -EEXIST);
	assert_string_equal(
		l.err.msg,
		"Apply failed with 1 conflict: conflict with \"ctl\" with subresource \"status\" using v1: .status.s");
	finish(&l);
}

static void updates_are_tracked(void **state)
{
	(void)state;
	struct life l = {0};
	update(&l, "creator", "{" CM ",\"data\":{\"k\":\"1\",\"l\":\"1\"}}");
	check_owner(&l, "creator", "Update", "{\"f:data\":{\".\":{},\"f:k\":{},\"f:l\":{}}}");
	assert_string_equal(json_str(l.live, "metadata.managedFields[0].time", ""), "1970-01-01T00:00:01Z");

	/* nothing changes: nothing moves, not even the time */
	update(&l, "other", "{" CM ",\"data\":{\"k\":\"1\",\"l\":\"1\"}}");
	check_owner(&l, "other", "Update", "");
	assert_string_equal(json_str(l.live, "metadata.managedFields[0].time", ""), "1970-01-01T00:00:01Z");

	/* a changed field changes hands; a removed one leaves everybody */
	update(&l, "other", "{" CM ",\"data\":{\"k\":\"2\"}}");
	check_owner(&l, "other", "Update", "{\"f:data\":{\"f:k\":{}}}");
	check_owner(&l, "creator", "Update", "{\"f:data\":{}}");
	assert_string_equal(json_str(l.live, "metadata.managedFields[manager=other].time", ""), "1970-01-01T00:00:03Z");

	/* what the client does not send of the owners is not lost */
	struct apply_options o = options(&l, "third");
	update_as(&l, &o, "{" CM ",\"data\":{\"k\":\"2\",\"n\":\"1\"}}", false);
	check_owner(&l, "other", "Update", "{\"f:data\":{\"f:k\":{}}}");
	check_owner(&l, "third", "Update", "{\"f:data\":{\"f:n\":{}}}");

	/* an updater takes from an applier, who then meets a conflict */
	apply_ok(&l, "a", true, "{" CM ",\"data\":{\"k\":\"5\"}}");
	update(&l, "third", "{" CM ",\"data\":{\"k\":\"6\",\"n\":\"1\"}}");
	check_owner(&l, "a", "Apply", "");
	assert_int_equal(apply_fails(&l, "a", "{" CM ",\"data\":{\"k\":\"5\"}}"), -EEXIST);
	finish(&l);
}

static void owners_from_the_request(void **state)
{
	(void)state;
	struct life l = {0};
	update(&l, "creator", "{" CM ",\"data\":{\"k\":\"1\"}}");
	struct apply_options o = options(&l, "x");
	update_as(&l, &o,
		  "{\"apiVersion\":\"v1\",\"kind\":\"X\",\"metadata\":{\"name\":\"x\",\"managedFields\":[{\"manager\":"
		  "\"sluice\","
		  "\"operation\":\"Apply\",\"apiVersion\":\"v1\",\"fieldsType\":\"FieldsV1\",\"fieldsV1\":{\"f:data\":{"
		  "\"f:k\":{}}}}]},"
		  "\"data\":{\"k\":\"1\"}}",
		  false);
	check_owner(&l, "sluice", "Apply", "{\"f:data\":{\"f:k\":{}}}");
	check_owner(&l, "creator", "Update", "");

	/* nonsense is not taken: the stored owners stay */
	o = options(&l, "x");
	update_as(&l, &o,
		  "{\"apiVersion\":\"v1\",\"kind\":\"X\",\"metadata\":{\"name\":\"x\",\"managedFields\":[{\"manager\":"
		  "\"y\","
		  "\"operation\":\"Guess\"}]},\"data\":{\"k\":\"1\"}}",
		  false);
	check_owner(&l, "sluice", "Apply", "{\"f:data\":{\"f:k\":{}}}");

	/* [{}] gives tracking up */
	o = options(&l, "x");
	update_as(&l, &o,
		  "{\"apiVersion\":\"v1\",\"kind\":\"X\",\"metadata\":{\"name\":\"x\",\"managedFields\":[{}]},\"data\":"
		  "{\"k\":\"1\"}}",
		  false);
	assert_null(json_at(l.live, "metadata.managedFields"));
	update(&l, "x", "{" CM ",\"data\":{\"k\":\"7\"}}");
	assert_null(json_at(l.live, "metadata.managedFields"));
	finish(&l);
}

static void foreign_spelling(void **state)
{
	(void)state;
	struct life l = {
		.live = parse("{\"apiVersion\":\"v1\",\"kind\":\"X\",\"metadata\":{\"name\":\"x\",\"managedFields\":[{"
			      "\"manager\":\"a\","
			      "\"operation\":\"Apply\",\"apiVersion\":\"v0\",\"time\":\"2026-01-01T00:00:00Z\","
			      "\"fieldsType\":\"FieldsV1\","
			      "\"fieldsV1\":{\"f:spec\":{\"f:containers\":{\"k:{\\\"name\\\": "
			      "\\\"c\\\"}\":{\".\":{},\"f:name\":{},"
			      "\"f:ports\":{\"k:{\\\"protocol\\\":\\\"TCP\\\",\\\"containerPort\\\":80}\":{\".\":{},"
			      "\"f:containerPort\":{}}}}}}}}]},"
			      "\"spec\":{\"containers\":[{\"name\":\"c\",\"ports\":[{\"containerPort\":80}]}]}}")};
	apply_ok(&l, "a", false, "{" CM ",\"spec\":{\"containers\":[{\"name\":\"c\"}]}}");
	check_object(&l, "{" CM ",\"spec\":{\"containers\":[{\"name\":\"c\"}]}}");
	assert_int_equal(json_array_size(json_at(l.live, "metadata.managedFields")), 1);
	assert_string_equal(json_str(l.live, "metadata.managedFields[0].apiVersion", ""), "v1");
	finish(&l);
}

static void old_updaters_are_joined(void **state)
{
	(void)state;
	struct life l = {0};
	JSON_AUTO object = parse("{" CM ",\"data\":{}}");
	for (int i = 0; i < 15; i++) {
		char name[24], path[24];
		(void)snprintf(name, sizeof name, "m%02d", i);
		(void)snprintf(path, sizeof path, "data.k%02d", i);
		assert_int_equal(json_put_str(object, path, "1"), 0);
		CLEANUP(free_p) char *text = json_to_text(object, NULL);
		update(&l, name, text);
	}
	assert_int_equal(json_array_size(json_at(l.live, "metadata.managedFields")), 10);
	check_owner(&l, "m00", "Update", "");
	check_owner(&l, "ancient-changes", "Update",
		    "{\"f:data\":{\".\":{},\"f:k00\":{},\"f:k01\":{},\"f:k02\":{},\"f:k03\":{},\"f:k04\":{},\"f:k05\":{"
		    "}}}");
	finish(&l);
}

static void unknown_and_changing_types(void **state)
{
	(void)state;
	struct life l = {0};
	apply_ok(&l, "a", false, "{" CM ",\"spec\":{\"free\":{\"x\":{\"y\":[1,2]},\"z\":1}}}");
	check_owner(&l, "a", "Apply", "{\"f:spec\":{\"f:free\":{\"f:x\":{\".\":{},\"f:y\":{}},\"f:z\":{}}}}");
	assert_int_equal(apply_fails(&l, "b", "{" CM ",\"spec\":{\"free\":{\"x\":5}}}"), -EEXIST);
	assert_string_equal(l.err.msg, "Apply failed with 1 conflict: conflict with \"a\": .spec.free.x");
	apply_ok(&l, "b", true, "{" CM ",\"spec\":{\"free\":{\"x\":[\"list\"]}}}");
	check_object(&l, "{" CM ",\"spec\":{\"free\":{\"x\":[\"list\"],\"z\":1}}}");
	apply_ok(&l, "b", false, "{" CM ",\"spec\":{\"free\":{\"x\":{\"o\":1}}}}");
	check_object(&l, "{" CM ",\"spec\":{\"free\":{\"x\":{\"o\":1},\"z\":1}}}");
	finish(&l);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(creates_and_owns),
		cmocka_unit_test(dropped_fields_go),
		cmocka_unit_test(unowned_fields),
		cmocka_unit_test(conflicts),
		cmocka_unit_test(conflict_paths),
		cmocka_unit_test(key_defaults),
		cmocka_unit_test(sets_and_atomics),
		cmocka_unit_test(list_order),
		cmocka_unit_test(bad_lists),
		cmocka_unit_test(first_apply_to_an_unmanaged_object),
		cmocka_unit_test(nulls_remove),
		cmocka_unit_test(nulls_end_ownership),
		cmocka_unit_test(empty_containers_stay),
		cmocka_unit_test(system_fields_are_left_alone),
		cmocka_unit_test(ignored_paths),
		cmocka_unit_test(updates_are_tracked),
		cmocka_unit_test(owners_from_the_request),
		cmocka_unit_test(foreign_spelling),
		cmocka_unit_test(old_updaters_are_joined),
		cmocka_unit_test(unknown_and_changing_types),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
