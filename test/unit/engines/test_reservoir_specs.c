/* What specs ReservoirRuntime refuses, with which words; and which port its workers get. */
#include "engines/reservoir_fixture.h"

#include "base/file.h"
#include "base/str.h"
#include "json/yaml.h"

static int validate(struct fixture *x, struct error *err)
{
	JSON_AUTO d = json_deep_copy(dataset(x));
	JSON_AUTO r = json_deep_copy(runtime(x));
	struct reconcile_ctx ctx = {.ns = "default",
				    .name = "demo",
				    .runtime_type = "reservoir",
				    .runtime_resource = RUNTIME,
				    .api = &x->api->ops,
				    .limits = &x->limits,
				    .dataset = d,
				    .runtime = r};
	struct reservoir_specs s;
	int rc = reservoir_specs_load(&ctx, &s, err);
	if (rc < 0)
		return rc;
	rc = reservoir_check(&ctx, &s, err);
	reservoir_specs_clear(&s);
	return rc;
}

#define WEB    "'mounts':[{'mountPoint':'https://example.org/','name':'w'}]"
#define BUCKET "'mounts':[{'mountPoint':'s3://bucket/x','name':'w',"
#define KEYS                                                                                                           \
	"'encryptOptions':[{'name':'accessKeyId','valueFrom':{'secretKeyRef':{'name':'s','key':'id'}}},"               \
	"{'name':'secretAccessKey','valueFrom':{'secretKeyRef':{'name':'s','key':'secret'}}}]"
#define MEM "'tieredstore':{'levels':[{'mediumtype':'SSD','path':'/data/c','quota':'1Gi'}]}"

static void test_refusals(void **state)
{
	struct fixture *x = *state;
	static const struct {
		const char *dataset, *runtime;
		int rc;
		const char *message;
	} cases[] = {
		{"{" WEB "}", "{" MEM "}", 0, ""},
		{"{" WEB ",'accessModes':['ReadOnlyMany']}", "{" MEM "}", 0, ""},
		{"{'mounts':[{'mountPoint':'local:///data/x','name':'w'}]}", "{" MEM "}", 0, ""},
		{"{}", "{" MEM "}", -EINVAL, "spec.mounts: ReservoirRuntime needs at least one source"},
		{"{" WEB ",'accessModes':['ReadWriteMany']}", "{" MEM "}", -EOPNOTSUPP,
		 "spec.accessModes[0]: 'ReadWriteMany'"},
		{"{" WEB ",'sharedOptions':{'a':'b'}}", "{" MEM "}", -EOPNOTSUPP, "spec.sharedOptions.a: is no option"},
		{"{" WEB ",'owner':{'uid':1,'gid':1,'user':'u','group':'g'}}", "{" MEM "}", -EOPNOTSUPP, "spec.owner:"},
		{"{" WEB ",'dataRestoreLocation':{'path':'local:///x'}}", "{" MEM "}", -EOPNOTSUPP,
		 "spec.dataRestoreLocation:"},
		{"{'mounts':[{'mountPoint':'ftp://host/x','name':'w'}]}", "{" MEM "}", -EOPNOTSUPP,
		 "spec.mounts[0].mountPoint: 'ftp://host/x'"},
		{"{'mounts':[{'mountPoint':'pvc://claim/sub','name':'w'}]}", "{" MEM "}", 0, ""},
		{"{'mounts':[{'mountPoint':'pvc://../x','name':'w'}]}", "{" MEM "}", -EINVAL,
		 "spec.mounts[0].mountPoint: 'pvc://../x' is no pvc://CLAIM[/PATH]"},
		{"{'mounts':[{'mountPoint':'pvc://claim/../x','name':'w'}]}", "{" MEM "}", -EINVAL,
		 "is no pvc://CLAIM[/PATH]"},
		{"{" BUCKET "'options':{'region':'eu-west-1','virtualHost':'true'}," KEYS "}]}", "{" MEM "}", 0, ""},
		{"{" BUCKET "'options':{'endpoint':'http://minio:9000'}}],'sharedOptions':{'region':'r'}}", "{" MEM "}",
		 0, ""},
		{"{" BUCKET "'options':{'virtualHost':'yes'}}]}", "{" MEM "}", -EINVAL,
		 "spec.mounts[0].options.virtualHost: must be"},
		{"{" BUCKET "'options':{'accessKeyId':'AK'}}]}", "{" MEM "}", -EOPNOTSUPP,
		 "options.accessKeyId: is no option"},
		{"{" BUCKET
		 "'encryptOptions':[{'name':'accessKeyId','valueFrom':{'secretKeyRef':{'name':'s','key':'k'}}}]}]}",
		 "{" MEM "}", -EINVAL, "accessKeyId and secretAccessKey go together"},
		{"{" BUCKET
		 "'encryptOptions':[{'name':'password','valueFrom':{'secretKeyRef':{'name':'s','key':'k'}}}]}]}",
		 "{" MEM "}", -EOPNOTSUPP, "encryptOptions.password: is no option"},
		{"{'mounts':[{'mountPoint':'local:///etc','name':'w'}]}", "{" MEM "}", -EACCES,
		 "spec.mounts[0].mountPoint: directory '/etc' of the host may not be used"},
		{"{'mounts':[{'mountPoint':'local:///data/../etc','name':'w'}]}", "{" MEM "}", -EINVAL,
		 "spec.mounts[0].mountPoint: '/data/../etc' must be an absolute path without '.' and '..'"},
		{"{'mounts':[{'mountPoint':'local:///database','name':'w'}]}", "{" MEM "}", -EACCES,
		 "directory '/database'"},
		{"{'mounts':[{'mountPoint':'https://example.org/','name':'w','options':{'x':'y'}}]}", "{" MEM "}",
		 -EOPNOTSUPP, "spec.mounts[0].options.x: is no option"},
		{"{'mounts':[{'mountPoint':'https://example.org/"
		 "','name':'w','encryptOptions':[{'name':'k','valueFrom':{'secretKeyRef':"
		 "{'name':'s','key':'k'}}}]}]}",
		 "{" MEM "}", -EOPNOTSUPP, "spec.mounts[0].encryptOptions.k: is no option"},
		{"{'mounts':[{'mountPoint':'https://example.org/','path':'/a/../b'}]}", "{" MEM "}", -EINVAL,
		 "spec.mounts[0].path: '/a/../b'"},
		{"{'mounts':[{'mountPoint':'https://example.org/','name':'a/b'}]}", "{" MEM "}", -EINVAL,
		 "spec.mounts[0].path: '/a/b'"},
		{"{'mounts':[{'mountPoint':'https://example.org/','name':'a'},{'mountPoint':'https://example.org/"
		 "','path':'/a'}]}",
		 "{" MEM "}", -EINVAL, "spec.mounts[1].path: '/a' is spec.mounts[0]'s too"},
		{"{" WEB "}", "{}", -EINVAL, "spec.tieredstore.levels: the cache needs a directory and a quota"},
		{"{" WEB "}", "{'tieredstore':{'levels':[{'mediumtype':'SSD','path':'/data/c'}]}}", -EINVAL,
		 "spec.tieredstore.levels[0]: either quota or quotaList must be set"},
		{"{" WEB "}", "{'tieredstore':{'levels':[{'mediumtype':'SSD','path':'/etc','quota':'1Gi'}]}}", -EACCES,
		 "spec.tieredstore.levels[0].path: directory '/etc'"},
		{"{" WEB "}",
		 "{'tieredstore':{'levels':[{'mediumtype':'SSD','path':'/data/"
		 "c','quota':'1Gi','volumeType':'emptyDir'}]}}",
		 -EOPNOTSUPP, "spec.tieredstore.levels[0].volumeType: 'emptyDir'"},
		{"{" WEB "}",
		 "{'tieredstore':{'levels':[{'mediumtype':'SSD','path':'/data/a,/data/b,/data/c,/data/"
		 "d','quota':'1Gi'}]}}",
		 -EINVAL, "spec.tieredstore: at most 3 directories"},
		{"{" WEB "}", "{" MEM ",'runAs':{'uid':1,'gid':1,'user':'u','group':'g'}}", -EOPNOTSUPP, "spec.runAs:"},
		{"{" WEB "}", "{" MEM ",'fuse':{'options':{'ro':''}}}", -EOPNOTSUPP, "spec.fuse.options.ro:"},
		{"{" WEB "}", "{" MEM ",'worker':{'podMetadata':{'labels':{'app':'x'}}}}", -EINVAL,
		 "spec.worker.podMetadata.labels[app]: this label is set by the controller"},
		{"{" WEB "}", "{" MEM ",'volumes':[{'name':'v','hostPath':{'path':'/root'}}]}", -EACCES,
		 "spec.volumes[0].hostPath.path: directory '/root'"},
		{"{" WEB "}", "{" MEM ",'blockSize':'5000'}", -EINVAL,
		 "spec.blockSize: '5000' must be from 64Ki to 64Mi, and a multiple of 4Ki"},
		{"{" WEB "}", "{" MEM ",'readAhead':'2Gi'}", -EINVAL, "spec.readAhead: '2Gi' must be from 0 to 1Gi"},
		{"{" WEB "}", "{" MEM ",'fetch':{'concurrency':65}}", -EINVAL, "spec.fetch.concurrency: at most 64"},
		{"{" WEB "}", "{" MEM ",'fetch':{'timeout':'10ms'}}", -EINVAL,
		 "spec.fetch.timeout: must be from 1s to 1h"},
	};
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		put_dataset(x, cases[i].dataset);
		put_runtime(x, cases[i].runtime);
		struct error err = {0};
		int rc = validate(x, &err);
		if (rc != cases[i].rc || (cases[i].rc != 0 && strstr(err.msg, cases[i].message) == NULL))
			fail_msg("case %zu (%s, %s): rc %d, '%s'", i, cases[i].dataset, cases[i].runtime, rc, err.msg);
	}
}

static void test_image_not_allowed(void **state)
{
	struct fixture *x = *state;
	static const char *const only[] = {"registry.example.org/", NULL};
	x->limits.allowed_images = only;
	put_dataset(x, "{" WEB "}");
	put_runtime(x, "{" MEM "}");
	struct error err = {0};
	assert_int_equal(validate(x, &err), -EACCES);
	assert_non_null(strstr(err.msg, "image 'sluice.local/host' may not run privileged"));
}

/* The examples that the guide points at must pass, with what their comments ask the operator to allow. */
static void test_examples(void **state)
{
	struct fixture *x = *state;
	static const char *const files[] = {"dataset-http.yaml", "dataset-local.yaml"};
	static const char *const allowed[] = {"/var/cache/sluice", "/usr/share", "/dev/shm", NULL};
	x->limits.allowed_host_paths = allowed;
	for (size_t i = 0; i < ARRAY_LEN(files); i++) {
		CLEANUP(free_p) char *path = str_printf("%s/%s", EXAMPLES_DIR, files[i]);
		CLEANUP(free_p) char *text = NULL;
		size_t n;
		struct error err = {0};
		JSON_AUTO docs = NULL;
		if (file_read(path, 1 << 16, &text, &n, &err) < 0 || yaml_parse(text, n, &docs, &err) < 0)
			fail_msg("%s: %s", path, err.msg);
		const struct kube_resource *const kinds[] = {DATASET, RUNTIME};
		assert_int_equal(json_array_size(docs), 2);
		for (size_t k = 0; k < 2; k++) {
			json_t *obj = json_array_get(docs, k);
			assert_string_equal(json_str(obj, "kind", ""), kinds[k]->kind);
			assert_int_equal(json_put_str(obj, "metadata.name", "demo"), 0);
			assert_int_equal(json_put_str(obj, "metadata.namespace", "default"), 0);
			fake_store(x->api, kinds[k], json_incref(obj));
		}
		if (validate(x, &err) < 0)
			fail_msg("%s: %s", path, err.msg);
	}
}

int main(void)
{
#define T(f) cmocka_unit_test_setup_teardown(f, fixture_setup, fixture_teardown)
	const struct CMUnitTest tests[] = {T(test_refusals), T(test_image_not_allowed), T(test_examples)};
	return cmocka_run_group_tests_name("engines/reservoir_specs", tests, NULL, NULL);
}
