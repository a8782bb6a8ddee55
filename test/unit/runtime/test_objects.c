#include "runtime/fake_api.h"

#include "runtime/objects.h"

static const char UID[] = "11111111-1111-1111-1111-111111111111";

static void test_names(void **state)
{
	(void)state;
	char long_name[64];
	memset(long_name, 'n', 55);
	long_name[55] = '\0';
	static const struct {
		const char *prefix, *name, *want;
	} cases[] = {
		{"s-", "demo", "fluid.io/s-default-demo"},
		{"f-", "demo", "fluid.io/f-default-demo"},
		{"s-h-reservoir-t-", "demo", "fluid.io/s-h-reservoir-t-default-demo"},
		{"s-", NULL, "fluid.io/s-11111111-1111-1111-1111-111111111111"}, /* too long with its name */
	};
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		CLEANUP(free_p)
		char *key = dataset_label_key(cases[i].prefix, "default",
					      cases[i].name != NULL ? cases[i].name : long_name, UID);
		assert_string_equal(key, cases[i].want);
	}
	CLEANUP(free_p) char *id = dataset_id("default", "demo", UID);
	CLEANUP(free_p) char *long_id = dataset_id("default", long_name, UID);
	assert_string_equal(id, "default-demo");
	assert_string_equal(long_id, UID);
}

static void test_skeletons(void **state)
{
	(void)state;
	struct error err = {0};
	for (const struct skeleton *s = skeletons; s->name != NULL; s++) {
		JSON_AUTO j = NULL;
		if (skeleton_load(s->name, &j, &err) < 0)
			fail_msg("%s", err.msg);
		assert_non_null(json_str(j, "kind", NULL));
	}
	JSON_AUTO j = NULL;
	assert_int_equal(skeleton_load("nobody/nothing.yaml", &j, &err), -ENOENT);
	assert_string_equal(
		err.msg,
		"manifests/nobody/nothing.yaml: not compiled in; it must stand among the manifests of meson.build");
}

static void test_apply_sends_what_changed(void **state)
{
	(void)state;
	struct fake_api *f = fake_new();
	struct reconcile_ctx ctx = {.ns = "default", .name = "demo", .api = &f->ops};
	struct error err = {0};
	JSON_AUTO cm = json_pack("{s:s,s:{s:s,s:s},s:{s:s}}", "kind", "ConfigMap", "metadata", "name", "x", "namespace",
				 "default", "data", "k", "1");
	assert_int_equal(object_apply(&ctx, &KUBE_CONFIGMAP, cm, &err), 1);
	assert_int_equal(object_apply(&ctx, &KUBE_CONFIGMAP, cm, &err), 0);
	assert_int_equal(json_put_str(cm, "data.k", "2"), 0);
	assert_int_equal(object_apply(&ctx, &KUBE_CONFIGMAP, cm, &err), 1);
	/* One that is being deleted is waited for, not written to. */
	assert_int_equal(json_put_str(fake_live(f, &KUBE_CONFIGMAP, "default", "x"), "metadata.deletionTimestamp",
				      "2026-01-01T00:00:00Z"),
			 0);
	assert_int_equal(object_apply(&ctx, &KUBE_CONFIGMAP, cm, &err), -EAGAIN);
	assert_int_equal(fake_count_writes(f, "apply"), 2);
	fake_free(f);
}

static void test_user_volumes(void **state)
{
	(void)state;
	JSON_AUTO pod = json_object();
	JSON_AUTO c = json_object();
	JSON_AUTO volumes = json_pack("[{s:s},{s:s}]", "name", "a", "name", "b");
	JSON_AUTO mounts =
		json_pack("[{s:s,s:s},{s:s,s:s}]", "name", "a", "mountPath", "/1", "name", "a", "mountPath", "/2");
	JSON_AUTO missing = json_pack("[{s:s,s:s}]", "name", "z", "mountPath", "/1");
	struct error err = {0};
	assert_int_equal(pod_user_volumes(pod, c, volumes, mounts, "spec.worker.volumeMounts", &err), 0);
	assert_int_equal(json_array_size(json_at(pod, "spec.volumes")), 1);
	assert_int_equal(json_array_size(json_at(c, "volumeMounts")), 2);
	assert_int_equal(pod_user_volumes(pod, c, volumes, missing, "spec.worker.volumeMounts", &err), -EINVAL);
	assert_string_equal(err.msg,
			    "spec.worker.volumeMounts[0].name: 'z' is not in spec.volumes; add the volume there");
}

static void test_env_replaces(void **state)
{
	(void)state;
	JSON_AUTO c = json_pack("{s:[{s:s,s:s}]}", "env", "name", "A", "value", "old");
	const struct string_pair pairs[] = {{"A", "new"}, {"B", "2"}};
	assert_int_equal(container_env(c, &(struct string_map){.v = pairs, .n = 2}), 0);
	assert_int_equal(json_array_size(json_at(c, "env")), 2);
	assert_string_equal(json_str(c, "env[name=A].value", ""), "new");
}

int main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(test_names), cmocka_unit_test(test_skeletons),
					   cmocka_unit_test(test_apply_sends_what_changed),
					   cmocka_unit_test(test_user_volumes), cmocka_unit_test(test_env_replaces)};
	return cmocka_run_group_tests_name("runtime/objects", tests, NULL, NULL);
}
