#include "runtime/fake_api.h"

#include "runtime/mounts.h"

static json_t *parse(const char *text)
{
	CLEANUP(free_p) char *copy = strdup(text);
	for (char *p = copy; *p != '\0'; p++)
		*p = *p == '\'' ? '"' : *p;
	json_t *j = NULL;
	struct error err = {0};
	if (json_parse(copy, strlen(copy), &j, &err) < 0)
		fail_msg("%s: %s", err.msg, copy);
	return j;
}

static int resolve(const char *spec, json_t **ret, struct error *err)
{
	JSON_AUTO dataset = json_pack("{s:o}", "spec", parse(spec));
	struct reconcile_ctx ctx = {.dataset = dataset};
	return mounts_resolve(&ctx, ret, err);
}

#define REF "'valueFrom':{'secretKeyRef':{'name':'s','key':'k'}}"

static void test_resolved(void **state)
{
	(void)state;
	static const struct {
		const char *name, *spec, *want; /* want: of the first mount */
	} cases[] = {
		{"a name gives the path", "{'mounts':[{'mountPoint':'s3://b/','name':'n'}]}",
		 "{'mountPoint':'s3://b/','name':'n','path':'/n','readOnly':false,'shared':false,'native':false,"
		 "'options':{},'secrets':{}}"},
		{"options are merged, the mount's own win",
		 "{'sharedOptions':{'a':'1','b':'1'},'mounts':[{'mountPoint':'s3://b/','path':'/p','readOnly':true,"
		 "'shared':true,'options':{'b':'2'}}]}",
		 "{'mountPoint':'s3://b/','name':'','path':'/p','readOnly':true,'shared':true,'native':false,"
		 "'options':{'a':'1','b':'2'},'secrets':{}}"},
		{"secrets are files, and override shared ones of either sort",
		 "{'sharedOptions':{'x':'open'},'sharedEncryptOptions':[{'name':'y'," REF "}],"
		 "'mounts':[{'mountPoint':'s3://b/','name':'n','options':{'y':'open'},'encryptOptions':[{'name':'x'," REF
		 "}]}]}",
		 "{'mountPoint':'s3://b/','name':'n','path':'/n','readOnly':false,'shared':false,'native':false,"
		 "'options':{'y':'open'},'secrets':{'x':{'secret':'s','key':'k','file':'/etc/fluid/secrets/s/k'}}}"},
		{"native ones have a place in pods",
		 "{'mounts':[{'mountPoint':'local:///data/x','name':'n','path':'/'}]}",
		 "{'mountPoint':'local:///data/x','name':'n','path':'/','readOnly':false,'shared':false,'native':true,"
		 "'at':'/underFSStorage/n','options':{},'secrets':{}}"},
	};
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct error err = {0};
		JSON_AUTO got = NULL;
		JSON_AUTO want = parse(cases[i].want);
		if (resolve(cases[i].spec, &got, &err) < 0)
			fail_msg("%s: %s", cases[i].name, err.msg);
		CLEANUP(free_p) char *text = json_to_text(json_array_get(got, 0), NULL);
		if (!json_equal(json_array_get(got, 0), want))
			fail_msg("%s: got %s", cases[i].name, text);
	}
}

static void test_refused(void **state)
{
	(void)state;
	static const struct {
		const char *spec, *why;
	} cases[] = {
		{"{'mounts':[{'mountPoint':'s3://a/','name':'n'},{'mountPoint':'s3://b/','path':'/n'}]}",
		 "spec.mounts[1].path: '/n' is spec.mounts[0]'s too; give each its own"},
		{"{'mounts':[{'mountPoint':'s3://a/','name':'n','options':{'k':'v'},'encryptOptions':[{'name':'k'," REF
		 "}]}]}",
		 "spec.mounts[0].encryptOptions[0].name: 'k' stands among the open options too; keep one"},
		{"{'sharedOptions':{'k':'v'},'sharedEncryptOptions':[{'name':'k'," REF
		 "}],'mounts':[{'mountPoint':'s3://a/','name':'n'}]}",
		 "spec.sharedEncryptOptions[0].name: 'k' stands among the open options too; keep one"},
		{"{'mounts':[{'mountPoint':'s3://a/','name':'n','encryptOptions':[{'name':'k','valueFrom':{}}]}]}",
		 "spec.mounts[0].encryptOptions[0].valueFrom.secretKeyRef: name and key of a secret are needed"},
		{"{'mounts':[{'mountPoint':'s3://a/','name':'n','encryptOptions':[{'name':'k','valueFrom':{"
		 "'secretKeyRef':{'name':'s','key':'../../x'}}}]}]}",
		 "spec.mounts[0].encryptOptions[0].valueFrom.secretKeyRef: name and key of a secret are needed"},
		{"{'mounts':[{'mountPoint':'local:///data','path':'/a/../../etc'}]}",
		 "spec.mounts[0].path: 'a/../../etc' cannot be a directory below /underFSStorage"},
		{"{'mounts':[{'mountPoint':'pvc://c','path':'/','name':'..'}]}",
		 "spec.mounts[0].name: '..' cannot be a directory below /underFSStorage"},
	};
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct error err = {0};
		JSON_AUTO got = NULL;
		assert_int_equal(resolve(cases[i].spec, &got, &err), -EINVAL);
		assert_string_equal(err.msg, cases[i].why);
	}
}

static void test_secret_volumes(void **state)
{
	(void)state;
	struct error err = {0};
	JSON_AUTO mounts = NULL;
	assert_int_equal(resolve("{'mounts':[{'mountPoint':'s3://a/','name':'a','encryptOptions':["
				 "{'name':'x','valueFrom':{'secretKeyRef':{'name':'keys','key':'id'}}},"
				 "{'name':'y','valueFrom':{'secretKeyRef':{'name':'keys','key':'secret'}}},"
				 "{'name':'z','valueFrom':{'secretKeyRef':{'name':'with.dots','key':'id'}}}]},"
				 "{'mountPoint':'s3://b/','name':'b','encryptOptions':["
				 "{'name':'x','valueFrom':{'secretKeyRef':{'name':'keys','key':'id'}}}]}]}",
				 &mounts, &err),
			 0);
	JSON_AUTO pod = json_object();
	JSON_AUTO container = json_object();
	assert_int_equal(mounts_secret_volumes(mounts, "toy-mount-secret-", pod, container), 0);
	assert_int_equal(json_array_size(json_at(pod, "spec.volumes")), 2); /* each secret once */
	const json_t *v = json_at(pod, "spec.volumes[name=toy-mount-secret-keys]");
	assert_string_equal(json_str(v, "secret.secretName", ""), "keys");
	assert_int_equal(json_int(v, "secret.defaultMode", 0), 0400);
	assert_int_equal(json_array_size(json_at(v, "secret.items")), 2); /* and only the keys that are named */
	assert_string_equal(json_str(container, "volumeMounts[name=toy-mount-secret-keys].mountPath", ""),
			    "/etc/fluid/secrets/keys");
	assert_true(json_bool(container, "volumeMounts[name=toy-mount-secret-keys].readOnly", false));
	const char *odd = json_str(json_array_get(json_at(pod, "spec.volumes"), 1), "name", "");
	assert_int_equal(strspn(odd, "abcdefghijklmnopqrstuvwxyz0123456789-"), strlen(odd)); /* a legal label */
	assert_string_equal(json_str(json_array_get(json_at(container, "volumeMounts"), 1), "mountPath", ""),
			    "/etc/fluid/secrets/with.dots");
}

static void test_native_volumes(void **state)
{
	(void)state;
	struct error err = {0};
	JSON_AUTO mounts = NULL;
	assert_int_equal(
		resolve("{'mounts':[{'mountPoint':'https://x.org/','name':'web'},"
			"{'mountPoint':'local:///data','name':'l','readOnly':true},"
			"{'mountPoint':'pvc://claim/sub/dir','name':'c'},{'mountPoint':'pvc://bare','name':'d'}]}",
			&mounts, &err),
		0);
	JSON_AUTO pod = json_object();
	JSON_AUTO container = json_object();
	assert_int_equal(mounts_native_volumes(mounts, pod, container), 0);
	assert_int_equal(json_array_size(json_at(pod, "spec.volumes")), 3);
	assert_string_equal(json_str(pod, "spec.volumes[name=source-1].hostPath.path", ""), "/data");
	assert_true(json_bool(container, "volumeMounts[name=source-1].readOnly", false));
	assert_string_equal(json_str(pod, "spec.volumes[name=source-2].persistentVolumeClaim.claimName", ""), "claim");
	assert_string_equal(json_str(container, "volumeMounts[name=source-2].subPath", ""), "sub/dir");
	assert_string_equal(json_str(container, "volumeMounts[name=source-2].mountPath", ""), "/underFSStorage/c");
	assert_null(json_at(container, "volumeMounts[name=source-3].subPath"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(test_resolved), cmocka_unit_test(test_refused),
					   cmocka_unit_test(test_secret_volumes),
					   cmocka_unit_test(test_native_volumes)};
	return cmocka_run_group_tests_name("runtime/mounts", tests, NULL, NULL);
}
