/* The field tables at work: defaults, pruning, validation and decoding, on Dataset, ReservoirRuntime and Kubernetes' kinds. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "api/alluxio_runtime.h"
#include "api/data_operation.h"
#include "api/dataset.h"
#include "api/jindo_runtime.h"
#include "api/kind.h"
#include "api/reservoir_runtime.h"
#include "base/arena.h"
#include "base/error.h"
#include "json/json.h"

static json_t *parse(const char *text)
{
	json_t *j = json_loads(text, JSON_DECODE_ANY, NULL);
	if (j == NULL)
		fail_msg("no JSON: %s", text);
	return j;
}

static const struct schema *schema_named(const char *name)
{
	if (strcmp(name, "Dataset") == 0)
		return dataset_kind.schema;
	if (strcmp(name, "ReservoirRuntime") == 0)
		return reservoir_runtime_kind.schema;
	const struct schema *s = kubernetes_schema(name);
	if (s == NULL)
		fail_msg("no schema %s", name);
	return s;
}

static void expect_json(const char *what, const json_t *got, const char *want)
{
	JSON_AUTO wanted = parse(want);
	if (json_equal(got, wanted))
		return;
	CLEANUP(free_p) char *text = json_dumps(got, JSON_ENCODE_ANY | JSON_SORT_KEYS);
	fail_msg("%s: got %s, want %s", what, text, want);
}

static void test_default(void **state)
{
	(void)state;
	static const struct {
		const char *schema, *in, *want;
	} cases[] = {
		{"ReservoirRuntime", "{\"spec\":{\"tieredstore\":{\"levels\":[{\"mediumtype\":\"SSD\"}]}}}",
		 "{\"spec\":{\"replicas\":1,\"blockSize\":\"4Mi\",\"readAhead\":\"32Mi\",\"tieredstore\":{\"levels\":[{"
		 "\"mediumtype\":\"SSD\","
		 "\"volumeType\":\"hostPath\"}]}}}"},
		/* Kubernetes' types take no defaults inside ours, as in a CRD; null is absent. */
		{"ReservoirRuntime",
		 "{\"spec\":{\"replicas\":null,\"blockSize\":\"1Mi\",\"readAhead\":\"0\",\"volumes\":[{\"name\":\"a\","
		 "\"hostPath\":{"
		 "\"path\":\"/x\"}}]}}",
		 "{\"spec\":{\"replicas\":1,\"blockSize\":\"1Mi\",\"readAhead\":\"0\",\"volumes\":[{\"name\":\"a\","
		 "\"hostPath\":{\"path\":\"/x\"}}]}}"},
		{"core.v1.Volume", "{\"name\":\"a\",\"hostPath\":{\"path\":\"/x\"}}",
		 "{\"name\":\"a\",\"hostPath\":{\"path\":\"/x\",\"type\":\"\"}}"},
		{"core.v1.Container",
		 "{\"name\":\"c\",\"ports\":[{\"containerPort\":80}],\"livenessProbe\":{\"httpGet\":{\"port\":80}}}",
		 "{\"name\":\"c\",\"ports\":[{\"containerPort\":80,\"protocol\":\"TCP\"}],\"livenessProbe\":{"
		 "\"httpGet\":{\"port\":80,\"path\":\"/\","
		 "\"scheme\":\"HTTP\"},\"timeoutSeconds\":1,\"periodSeconds\":10,\"successThreshold\":1,"
		 "\"failureThreshold\":3},"
		 "\"resources\":{},\"terminationMessagePath\":\"/dev/"
		 "termination-log\",\"terminationMessagePolicy\":\"File\"}"},
		{"core.v1.Secret", "{\"metadata\":{\"creationTimestamp\":null}}",
		 "{\"metadata\":{},\"type\":\"Opaque\"}"},
		{"storage.v1.CSIDriver", "{\"spec\":{}}",
		 "{\"spec\":{\"attachRequired\":true,\"podInfoOnMount\":false,\"volumeLifecycleModes\":[\"Persistent\"]"
		 ",\"fsGroupPolicy\":"
		 "\"ReadWriteOnceWithFSType\",\"storageCapacity\":false,\"requiresRepublish\":false,\"seLinuxMount\":"
		 "false}}"},
	};
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		JSON_AUTO value = parse(cases[i].in);
		assert_int_equal(schema_default(schema_named(cases[i].schema), value), 0);
		expect_json(cases[i].in, value, cases[i].want);
	}
}

static void note_path(void *ctx, const char *path)
{
	char *paths = ctx;
	const size_t n = strlen(paths);
	(void)snprintf(paths + n, 256 - n, "%s%s", n == 0 ? "" : " ", path);
}

static void test_prune(void **state)
{
	(void)state;
	static const struct {
		const char *schema, *in, *want, *paths;
	} cases[] = {
		{"Dataset", "{\"spec\":{\"mounts\":[{\"mountPoint\":\"a\"},{\"x\":1}],\"y\":{}},\"z\":1}",
		 "{\"spec\":{\"mounts\":[{\"mountPoint\":\"a\"},{}]}}", "spec.mounts[1].x spec.y z"},
		{"Dataset", "{\"spec\":{\"sharedOptions\":{\"any\":\"key\"}}}",
		 "{\"spec\":{\"sharedOptions\":{\"any\":\"key\"}}}", ""},
		{"core.v1.Pod", "{\"spec\":{\"containers\":[{\"name\":\"c\",\"imag\":\"i\"}]}}",
		 "{\"spec\":{\"containers\":[{\"name\":\"c\"}]}}", "spec.containers[0].imag"},
		{"meta.v1.ManagedFieldsEntry", "{\"fieldsV1\":{\"f:a\":{}}}", "{\"fieldsV1\":{\"f:a\":{}}}", ""},
	};
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		JSON_AUTO value = parse(cases[i].in);
		char paths[256] = "";
		schema_prune(schema_named(cases[i].schema), value, note_path, paths);
		expect_json(cases[i].in, value, cases[i].want);
		if (strcmp(paths, cases[i].paths) != 0)
			fail_msg("%s: removed '%s', want '%s'", cases[i].in, paths, cases[i].paths);
	}
}

struct validate_case {
	const char *schema, *in;
	const char *path, *reason, *message; /* of the first; path NULL: nothing is wrong */
};

static void validate_one(const struct schema *s, const struct validate_case *c)
{
	JSON_AUTO value = parse(c->in);
	struct arena arena = ARENA_INIT(1u << 20);
	CLEANUP(free_p) struct violations *vs = calloc(1, sizeof *vs);
	assert_non_null(vs);
	vs->arena = &arena;
	schema_validate(s, value, "", vs);
	if (c->path == NULL) {
		if (vs->n != 0)
			fail_msg("%s: '%s' '%s'", c->in, vs->v[0].path, vs->v[0].message);
	} else if (vs->n == 0) {
		fail_msg("%s: nothing found", c->in);
	} else if (strcmp(vs->v[0].path, c->path) != 0 || strcmp(vs->v[0].reason, c->reason) != 0 ||
		   strcmp(vs->v[0].message, c->message) != 0) {
		fail_msg("%s: got %s, %s, %s", c->in, vs->v[0].path, vs->v[0].reason, vs->v[0].message);
	}
	arena_free(&arena);
}

static void test_validate(void **state)
{
	(void)state;
	static const struct validate_case cases[] = {
		{"Dataset", "{\"spec\":{\"mounts\":[{\"mountPoint\":\"local:///"
			    "x\",\"options\":{\"a\":\"b\"}}],\"placement\":\"Shared\"}}"},
		{"Dataset", "{\"spec\":{\"mounts\":[{}]}}", "spec.mounts[0].mountPoint", "FieldValueRequired",
		 "Required value"},
		{"Dataset", "{\"spec\":{\"mounts\":[]}}", "spec.mounts", "FieldValueInvalid",
		 "Invalid value: 0: spec.mounts in body should have at least 1 items"},
		{"Dataset", "{\"spec\":{\"mounts\":[{\"mountPoint\":\"abc\"}]}}", "spec.mounts[0].mountPoint",
		 "FieldValueInvalid",
		 "Invalid value: \"abc\": spec.mounts[0].mountPoint in body should be at least 5 chars long"},
		{"Dataset", "{\"spec\":{\"placement\":\"No\"}}", "spec.placement", "FieldValueNotSupported",
		 "Unsupported value: \"No\": supported values: \"Exclusive\", \"\", \"Shared\""},
		{"Dataset", "{\"spec\":{\"sharedOptions\":{\"a\":1}}}", "spec.sharedOptions.a", "FieldValueTypeInvalid",
		 "Invalid value: \"integer\": spec.sharedOptions.a in body must be of type string: \"integer\""},
		/* A toleration's operator is not the Dataset's business: Kubernetes says so when the pod is made. */
		{"Dataset", "{\"spec\":{\"tolerations\":[{\"operator\":\"No\"}]}}"},
		{"Dataset", "{\"spec\":{\"tolerations\":[{\"operator\":1}]}}", "spec.tolerations[0].operator",
		 "FieldValueTypeInvalid",
		 "Invalid value: \"integer\": spec.tolerations[0].operator in body must be of type string: "
		 "\"integer\""},
		{"ReservoirRuntime", "{\"spec\":{\"replicas\":-1}}", "spec.replicas", "FieldValueInvalid",
		 "Invalid value: -1: spec.replicas in body should be greater than or equal to 0"},
		{"ReservoirRuntime", "{\"spec\":{\"replicas\":\"1\"}}", "spec.replicas", "FieldValueTypeInvalid",
		 "Invalid value: \"string\": spec.replicas in body must be of type integer: \"string\""},
		{"ReservoirRuntime", "{\"spec\":{\"replicas\":3000000000}}", "spec.replicas", "FieldValueTypeInvalid",
		 "Invalid value: \"integer\": spec.replicas in body must be of type integer: \"integer\""},
		{"ReservoirRuntime", "{\"spec\":{\"blockSize\":\"4Mib\"}}", "spec.blockSize", "FieldValueInvalid",
		 "Invalid value: \"4Mib\": spec.blockSize in body must be of type quantity: \"4Mib\""},
		{"ReservoirRuntime", "{\"spec\":{\"freshness\":{\"ttl\":\"soon\"}}}", "spec.freshness.ttl",
		 "FieldValueInvalid",
		 "Invalid value: \"soon\": spec.freshness.ttl in body must be of type duration: \"soon\""},
		{"ReservoirRuntime",
		 "{\"spec\":{\"tieredstore\":{\"levels\":[{\"mediumtype\":\"SSD\",\"quotaList\":\"1Gi,2Gi\"}]}}}"},
		{"core.v1.Pod", "{\"spec\":{\"containers\":[{\"name\":\"c\",\"image\":\"i\",\"env\":[{\"name\":\"A\","
				"\"value\":\"1\"},{\"name\":"
				"\"A\"}]}]}}"},
		{"core.v1.Pod", "{\"spec\":{}}", "spec.containers", "FieldValueRequired", "Required value"},
		{"core.v1.Pod", "{\"spec\":{\"containers\":[]}}", "spec.containers", "FieldValueRequired",
		 "Required value"},
		{"core.v1.Pod", "{\"spec\":{\"containers\":[{\"image\":\"i\"}]}}", "spec.containers[0].name",
		 "FieldValueRequired", "Required value"},
		{"core.v1.Pod", "{\"spec\":{\"containers\":[{\"name\":\"c\"},{\"name\":\"c\"}]}}",
		 "spec.containers[1].name", "FieldValueDuplicate", "Duplicate value: \"c\""},
		{"core.v1.Pod", "{\"spec\":{\"containers\":[{\"name\":\"c\",\"imagePullPolicy\":\"x\"}]}}",
		 "spec.containers[0].imagePullPolicy", "FieldValueNotSupported",
		 "Unsupported value: \"x\": supported values: \"Always\", \"IfNotPresent\", \"Never\""},
		{"core.v1.Pod", "{\"spec\":{\"containers\":[{\"name\":\"c\",\"ports\":[{\"containerPort\":70000}]}]}}",
		 "spec.containers[0].ports[0].containerPort", "FieldValueInvalid",
		 "Invalid value: 70000: must be between 1 and 65535, inclusive"},
		{"core.v1.ConfigMap", "{\"data\":{\"a\":1}}", "data[a]", "FieldValueTypeInvalid",
		 "json: cannot unmarshal number into Go struct field ConfigMap.data of type string"},
		{"core.v1.Secret", "{\"data\":{\"a\":\"?\"}}", "data[a]", "FieldValueTypeInvalid",
		 "json: cannot read \"?\" as byte for field data[a]"},
		{"apps.v1.StatefulSet", "{\"spec\":{\"replicas\":-1,\"selector\":{},\"template\":{}}}", "spec.replicas",
		 "FieldValueInvalid", "Invalid value: -1: must be greater than or equal to 0"},
		{"apps.v1.StatefulSet", "{\"spec\":{\"template\":{}}}", "spec.selector", "FieldValueRequired",
		 "Required value"},
	};
	for (size_t i = 0; i < ARRAY_LEN(cases); i++)
		validate_one(schema_named(cases[i].schema), &cases[i]);
}

static void test_validate_update(void **state)
{
	(void)state;
	static const struct {
		const char *schema, *before, *after, *path;
	} cases[] = {
		{"ReservoirRuntime", "{\"spec\":{\"replicas\":1}}", "{\"spec\":{\"replicas\":2}}", NULL},
		{"ReservoirRuntime", "{\"spec\":{\"blockSize\":\"4Mi\"}}", "{\"spec\":{\"blockSize\":\"4096Ki\"}}",
		 NULL},
		{"ReservoirRuntime", "{\"spec\":{\"blockSize\":\"4Mi\"}}", "{\"spec\":{\"blockSize\":\"8Mi\"}}",
		 "spec.blockSize"},
		{"ReservoirRuntime", "{\"spec\":{}}", "{\"spec\":{\"runAs\":{\"uid\":1}}}", "spec.runAs"},
		{"ReservoirRuntime", "{\"spec\":{\"fuse\":{\"cleanPolicy\":\"OnDemand\"}}}",
		 "{\"spec\":{\"fuse\":{\"cleanPolicy\":\"OnRuntimeDeleted\",\"options\":{\"a\":\"b\"}}}}",
		 "spec.fuse.options"},
		/* The parent was absent, or goes: the field inside is set or unset all the same. */
		{"ReservoirRuntime", "{\"spec\":{}}", "{\"spec\":{\"fuse\":{\"options\":{\"a\":\"b\"}}}}",
		 "spec.fuse.options"},
		{"ReservoirRuntime", "{\"spec\":{\"fuse\":{\"env\":{\"a\":\"b\"}}}}", "{\"spec\":{\"fuse\":null}}",
		 "spec.fuse.env"},
		{"ReservoirRuntime", "{\"spec\":{}}", "{\"spec\":{\"fuse\":{\"cleanPolicy\":\"OnDemand\"}}}", NULL},
		{"ReservoirRuntime", "{}", "{\"spec\":{\"runAs\":{\"uid\":1}}}", "spec.runAs"},
		/* An absent field has its default. */
		{"ReservoirRuntime", "{\"spec\":{}}", "{\"spec\":{\"blockSize\":\"4Mi\"}}", NULL},
		{"ReservoirRuntime", "{\"spec\":{\"blockSize\":\"8Mi\"}}", "{\"spec\":{}}", "spec.blockSize"},
		{"Dataset", "{\"spec\":{\"placement\":\"Shared\"}}", "{\"spec\":{\"placement\":\"Exclusive\"}}",
		 "spec.placement"},
		{"apps.v1.StatefulSet", "{\"spec\":{\"serviceName\":\"a\"}}", "{\"spec\":{\"serviceName\":\"b\"}}",
		 "spec.serviceName"},
	};
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		JSON_AUTO before = parse(cases[i].before);
		JSON_AUTO after = parse(cases[i].after);
		struct arena arena = ARENA_INIT(1u << 16);
		CLEANUP(free_p) struct violations *vs = calloc(1, sizeof *vs);
		assert_non_null(vs);
		vs->arena = &arena;
		schema_validate_update(schema_named(cases[i].schema), before, after, "", vs);
		if (vs->n != (cases[i].path != NULL) ||
		    (vs->n == 1 && (strcmp(vs->v[0].path, cases[i].path) != 0 ||
				    strstr(vs->v[0].message, "field is immutable") == NULL)))
			fail_msg("%s: %zu, %s %s", cases[i].after, vs->n, vs->n > 0 ? vs->v[0].path : "",
				 vs->n > 0 ? vs->v[0].message : "");
		arena_free(&arena);
	}
}

static void test_fixed(void **state)
{
	(void)state;
	static const struct {
		const char *before, *after, *want; /* specs */
	} cases[] = {
		{"{\"replicas\":1,\"blockSize\":\"4Mi\"}", "{\"replicas\":2,\"blockSize\":\"8Mi\"}",
		 "{\"replicas\":2,\"blockSize\":\"4Mi\"}"},
		{"{\"runAs\":{\"uid\":1}}", "{}", "{\"runAs\":{\"uid\":1}}"},
		{"{}", "{\"runAs\":{\"uid\":1},\"replicas\":3}", "{\"replicas\":3}"},
		{"{\"fuse\":{\"env\":{\"a\":\"b\"},\"cleanPolicy\":\"OnDemand\"}}", "{\"fuse\":null}",
		 "{\"fuse\":{\"env\":{\"a\":\"b\"}}}"},
		{"{}", "{\"fuse\":{\"env\":{\"a\":\"b\"},\"cleanPolicy\":\"OnDemand\"}}",
		 "{\"fuse\":{\"cleanPolicy\":\"OnDemand\"}}"},
		{"{\"blockSize\":\"4Mi\"}", "{\"blockSize\":\"4096Ki\"}", "{\"blockSize\":\"4096Ki\"}"},
	};
	const struct schema *s = schema_field(reservoir_runtime_kind.schema, "spec")->schema;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		JSON_AUTO before = parse(cases[i].before);
		JSON_AUTO after = parse(cases[i].after);
		JSON_AUTO want = parse(cases[i].want);
		JSON_AUTO fixed = schema_fixed(s, before);
		assert_null(json_object_get(fixed, "replicas"));
		assert_null(json_at(fixed, "fuse.cleanPolicy"));
		assert_int_equal(schema_fixed_restore(s, fixed, after), 0);
		CLEANUP(free_p) char *text = json_to_text(after, NULL);
		if (!json_equal(after, want))
			fail_msg("%s, then %s: %s", cases[i].before, cases[i].after, text);
	}
	assert_true(schema_fixed_hash(s) != schema_fixed_hash(schema_field(dataset_kind.schema, "spec")->schema));
}

static void test_decode_dataset(void **state)
{
	(void)state;
	JSON_AUTO value =
		parse("{\"metadata\":{\"name\":\"d\",\"namespace\":\"n\",\"generation\":3,\"labels\":{\"a\":\"b\"},"
		      "\"finalizers\":[\"x\",\"y\"]},\"spec\":{\"mounts\":[{\"mountPoint\":\"local:///"
		      "x\",\"name\":\"m\",\"readOnly\":true,"
		      "\"options\":{\"k\":\"v\"},\"encryptOptions\":[{\"name\":\"p\",\"valueFrom\":{\"secretKeyRef\":{"
		      "\"name\":\"s\",\"key\":"
		      "\"c\"}}}]}],\"placement\":\"Shared\",\"nodeAffinity\":{\"required\":{\"nodeSelectorTerms\":[]}},"
		      "\"tolerations\":[{}],"
		      "\"accessModes\":[\"ReadOnlyMany\"]},\"status\":{\"phase\":\"Bound\",\"cacheStates\":{\"cached\":"
		      "\"1.00GiB\"}}}");
	struct arena arena = ARENA_INIT(1u << 16);
	struct error err = {0};
	struct dataset d;
	assert_int_equal(schema_decode(dataset_kind.schema, value, &arena, &d, &err), 0);
	assert_string_equal(d.metadata.name, "d");
	assert_int_equal(d.metadata.generation, 3);
	assert_string_equal(string_map_get(&d.metadata.labels, "a"), "b");
	assert_int_equal(d.metadata.finalizers.n, 2);
	assert_string_equal(d.metadata.finalizers.v[1], "y");
	assert_int_equal(d.spec.mounts.n, 1);
	const struct mount *m = &d.spec.mounts.v[0];
	assert_string_equal(m->mount_point, "local:///x");
	assert_true(m->read_only);
	assert_false(m->shared);
	assert_string_equal(string_map_get(&m->options, "k"), "v");
	assert_string_equal(m->encrypt_options.v[0].value_from.secret_key_ref.key, "c");
	assert_true(dataset_is_shared(&d));
	assert_null(d.spec.owner);
	assert_true(json_is_object(d.spec.node_affinity->required));
	assert_int_equal(json_array_size(d.spec.tolerations), 1);
	assert_string_equal(d.spec.access_modes.v[0], "ReadOnlyMany");
	assert_string_equal(d.status.phase, "Bound");
	assert_string_equal(string_map_get(&d.status.cache_states, "cached"), "1.00GiB");
	assert_null(d.status.hcfs);
	arena_free(&arena);
}

static void test_decode_runtime_defaults(void **state)
{
	(void)state;
	JSON_AUTO value = parse(
		"{\"spec\":{\"tieredstore\":{\"levels\":[{\"mediumtype\":\"SSD\",\"path\":\"/"
		"c\",\"quota\":2147483648}]},"
		"\"fetch\":{\"timeout\":\"1m30s\"},\"management\":{\"metadataSyncPolicy\":{\"autoSync\":false}}}}");
	struct arena arena = ARENA_INIT(1u << 16);
	struct error err = {0};
	struct reservoir_runtime r;
	assert_int_equal(schema_decode(reservoir_runtime_kind.schema, value, &arena, &r, &err), 0);
	assert_int_equal(r.spec.replicas, 1);
	assert_string_equal(r.spec.block_size, "4Mi");
	assert_int_equal(r.spec.fetch.concurrency, 16);
	assert_int_equal(r.spec.fetch.timeout_ns, INT64_C(90000000000));
	assert_string_equal(r.spec.freshness.mode, "TTL");
	assert_int_equal(r.spec.freshness.ttl_ns, INT64_C(60000000000));
	assert_string_equal(r.spec.fuse.clean_policy, "OnRuntimeDeleted");
	assert_string_equal(r.spec.tiered_store.levels.v[0].volume_type, "hostPath");
	assert_string_equal(r.spec.tiered_store.levels.v[0].quota, "2147483648");
	assert_null(r.spec.run_as);
	assert_int_equal(r.spec.management.clean_cache_policy.grace_period_seconds, 60);
	assert_non_null(r.spec.management.metadata_sync_policy.auto_sync);
	assert_false(*r.spec.management.metadata_sync_policy.auto_sync);
	arena_free(&arena);
}

static void test_decode_alluxio(void **state)
{
	(void)state;
	JSON_AUTO value = parse(
		"{\"spec\":{\"alluxioVersion\":{\"imageTag\":\"2.9.0\"},\"master\":{\"replicas\":3,\"ports\":{"
		"\"rpc\":19998},\"jvmOptions\":[\"-Xmx1G\"],\"networkMode\":\"ContainerNetwork\"},\"apiGateway\":{"
		"\"enabled\":true},\"initUsers\":{\"image\":\"init\",\"env\":{\"A\":\"b\"}},\"fuse\":{\"imageTag\":"
		"\"2.9.1\",\"args\":[\"fuse\",\"--x\"],\"cleanPolicy\":\"OnDemand\"},\"properties\":{\"k\":\"v\"},"
		"\"data\":{"
		"\"replicas\":2},\"replicas\":4,\"runAs\":{\"uid\":1000,\"gid\":1001,\"user\":\"u\",\"group\":\"g\"}}"
		"}");
	struct arena arena = ARENA_INIT(1u << 16);
	struct error err = {0};
	struct alluxio_runtime r;
	assert_int_equal(schema_decode(alluxio_runtime_kind.schema, value, &arena, &r, &err), 0);
	assert_string_equal(r.spec.alluxio_version.image_tag, "2.9.0");
	assert_int_equal(r.spec.master.replicas, 3);
	assert_int_equal(json_int(r.spec.master.ports, "rpc", 0), 19998);
	assert_int_equal(r.spec.master.jvm_options.n, 1);
	assert_string_equal(r.spec.master.network_mode, "ContainerNetwork");
	assert_true(r.spec.api_gateway.enabled);
	assert_string_equal(r.spec.init_users.version.image, "init");
	assert_string_equal(string_map_get(&r.spec.init_users.env, "A"), "b");
	assert_string_equal(r.spec.fuse.version.image_tag, "2.9.1");
	assert_string_equal(r.spec.fuse.args.v[1], "--x");
	assert_string_equal(r.spec.fuse.clean_policy, "OnDemand");
	assert_string_equal(string_map_get(&r.spec.properties, "k"), "v");
	assert_int_equal(r.spec.data.replicas, 2);
	assert_int_equal(r.spec.replicas, 4);
	assert_int_equal(r.spec.run_as->gid, 1001);
	assert_int_equal(r.spec.management.clean_cache_policy.max_retry_attempts, 3);
	assert_null(r.spec.worker.network_mode);
	assert_null(r.spec.hadoop_config);
	arena_free(&arena);
}

static void test_decode_jindo(void **state)
{
	(void)state;
	JSON_AUTO value = parse(
		"{\"spec\":{\"jindoVersion\":{\"image\":\"smartdata\"},\"master\":{\"disabled\":true},\"worker\":{"
		"\"resources\":{\"requests\":{\"cpu\":1}},\"tolerations\":[{\"operator\":\"Exists\"}]},\"fuse\":{"
		"\"metrics\":{\"enabled\":true,\"scrapeTarget\":\"MountPod\"},\"logConfig\":{\"logger.level\":\"1\"}},"
		"\"replicas\":2,\"user\":\"hadoop\",\"secret\":\"s\",\"networkmode\":\"\",\"cleanCachePolicy\":{"
		"\"gracePeriodSeconds\":5}}}");
	struct arena arena = ARENA_INIT(1u << 16);
	struct error err = {0};
	struct jindo_runtime r;
	assert_int_equal(schema_decode(jindo_runtime_kind.schema, value, &arena, &r, &err), 0);
	assert_string_equal(r.spec.jindo_version.image, "smartdata");
	assert_true(r.spec.master.disabled);
	assert_false(r.spec.worker.disabled);
	assert_int_equal(json_int(json_object_get(r.spec.worker.resources, "requests"), "cpu", 0), 1);
	assert_int_equal(json_array_size(r.spec.worker.tolerations), 1);
	assert_true(r.spec.fuse.metrics.enabled);
	assert_string_equal(r.spec.fuse.metrics.scrape_target, "MountPod");
	assert_string_equal(string_map_get(&r.spec.fuse.log_config, "logger.level"), "1");
	assert_string_equal(r.spec.user, "hadoop");
	assert_string_equal(r.spec.secret, "s");
	assert_string_equal(r.spec.network_mode, "");
	assert_int_equal(r.spec.clean_cache_policy.grace_period_seconds, 5);
	assert_int_equal(r.spec.clean_cache_policy.max_retry_attempts, 3);
	assert_null(r.spec.run_as);
	arena_free(&arena);
}

static void test_decode_operations(void **state)
{
	(void)state;
	JSON_AUTO load = parse(
		"{\"spec\":{\"dataset\":{\"name\":\"d\"},\"loadMetadata\":true,\"target\":[{\"path\":\"/a\",\"replicas\":2}],"
		"\"schedulerName\":\"s\",\"policy\":\"Cron\",\"schedule\":\"* * * * *\",\"ttlSecondsAfterFinished\":0,"
		"\"runAfter\":{\"kind\":\"DataProcess\",\"name\":\"p\",\"affinityStrategy\":{\"policy\":\"Prefer\",\"prefers\":[{"
		"\"name\":\"zone\",\"weight\":7}]}}},\"status\":{\"waitingFor\":{\"operationComplete\":true}}}");
	struct arena arena = ARENA_INIT(1u << 16);
	struct error err = {0};
	struct data_load l;
	assert_int_equal(schema_decode(data_load_kind.schema, load, &arena, &l, &err), 0);
	assert_string_equal(l.spec.dataset.name, "d");
	assert_true(l.spec.load_metadata);
	assert_int_equal(l.spec.target.v[0].replicas, 2);
	assert_string_equal(l.spec.pods.scheduler_name, "s");
	assert_string_equal(l.spec.timing.policy, "Cron");
	assert_int_equal(*l.spec.timing.ttl_seconds_after_finished, 0);
	assert_string_equal(l.spec.timing.run_after->ref.name, "p");
	assert_string_equal(l.spec.timing.run_after->affinity.prefers.v[0].name, "zone");
	assert_int_equal(l.spec.timing.run_after->affinity.prefers.v[0].weight, 7);
	assert_null(l.spec.timing.run_after->affinity.depend_on);
	assert_true(*l.status.waiting_for.operation_complete);

	JSON_AUTO migrate = parse(
		"{\"spec\":{\"from\":{\"externalStorage\":{\"uri\":\"s3://b\"}},\"to\":{\"dataset\":{\"name\":\"d\","
		"\"namespace\":\"n\"}}}}");
	struct data_migrate m;
	assert_int_equal(schema_decode(data_migrate_kind.schema, migrate, &arena, &m, &err), 0);
	assert_string_equal(m.spec.from.external_storage->uri, "s3://b");
	assert_null(m.spec.from.dataset);
	assert_string_equal(m.spec.to.dataset->namespace_, "n");
	assert_int_equal(m.spec.parallelism, 1);
	assert_string_equal(m.spec.timing.policy, "Once");

	JSON_AUTO process = parse(
		"{\"spec\":{\"dataset\":{\"name\":\"d\",\"mountPath\":\"/data\"},\"processor\":{\"script\":{\"source\":"
		"\"ls\",\"command\":[\"sh\"]}}}}");
	struct data_process p;
	assert_int_equal(schema_decode(data_process_kind.schema, process, &arena, &p, &err), 0);
	assert_string_equal(p.spec.dataset.mount_path, "/data");
	assert_null(p.spec.processor.job);
	assert_string_equal(p.spec.processor.script->source, "ls");
	assert_string_equal(p.spec.processor.script->restart_policy, "Never");

	JSON_AUTO backup = parse("{\"spec\":{\"dataset\":\"d\",\"backupPath\":\"pvc://c/x\"}}");
	struct data_backup b;
	assert_int_equal(schema_decode(data_backup_kind.schema, backup, &arena, &b, &err), 0);
	assert_string_equal(b.spec.backup_path, "pvc://c/x");
	assert_null(b.spec.run_as);
	arena_free(&arena);
}

static void test_decode_errors(void **state)
{
	(void)state;
	static const struct {
		const char *in;
		int rc;
		const char *msg;
	} cases[] = {
		{"{\"spec\":{\"mounts\":{}}}", -EINVAL, "spec.mounts: {}: must be a list"},
		{"{\"spec\":{\"mounts\":[{\"mountPoint\":1}]}}", -EINVAL,
		 "spec.mounts[0].mountPoint: 1: must be a string"},
		{"{\"spec\":{\"mounts\":[{\"mountPoint\":\"a\\u0000b\"}]}}", -EINVAL,
		 "spec.mounts[0].mountPoint: \"a\\u0000b\": may not hold NUL characters"},
		{"{\"metadata\":{\"generation\":1.5}}", -EINVAL, "metadata.generation: 1.5: must be a whole number"},
		{"{\"status\":{\"runtimes\":[{\"masterReplicas\":4294967296}]}}", -ERANGE,
		 "status.runtimes[0].masterReplicas: 4294967296: must fit 32 bits"},
		{"[]", -EINVAL, ": []: must be an object"},
	};
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		JSON_AUTO value = json_loads(cases[i].in, JSON_ALLOW_NUL, NULL);
		struct arena arena = ARENA_INIT(1u << 16);
		struct error err = {0};
		struct dataset d;
		const int rc = schema_decode(dataset_kind.schema, value, &arena, &d, &err);
		if (rc != cases[i].rc || strcmp(err.msg, cases[i].msg) != 0)
			fail_msg("%s: %d '%s'", cases[i].in, rc, err.msg);
		arena_free(&arena);
	}
	/* An arena that is too small is an error, not a crash. */
	JSON_AUTO value = parse("{\"metadata\":{\"name\":\"a-name-that-takes-some-room\"}}");
	struct arena small = ARENA_INIT(8);
	struct error err = {0};
	struct dataset d;
	assert_int_equal(schema_decode(dataset_kind.schema, value, &small, &d, &err), -ENOMEM);
	arena_free(&small);
}

static void test_shapes(void **state)
{
	(void)state;
	struct shape pod = schema_shape(kubernetes_schema("core.v1.Pod")), spec, list, item, ports, other;
	assert_true(schema_shape_ops.member(&pod, "spec", &spec));
	assert_true(schema_shape_ops.member(&spec, "containers", &list));
	assert_int_equal(list.list, LIST_MAP);
	assert_string_equal(list.list_keys[0], "name");
	assert_string_equal(list.patch_merge_key, "name");
	assert_true(schema_shape_ops.element(&list, &item));
	assert_true(schema_shape_ops.member(&item, "ports", &ports));
	assert_string_equal(ports.list_keys[1], "protocol");
	const char *json = NULL;
	assert_true(schema_shape_ops.element(&ports, &other));
	assert_true(ports.key_default(other.type, "protocol", &json));
	assert_string_equal(json, "\"TCP\"");
	assert_false(ports.key_default(other.type, "containerPort", &json));
	assert_true(schema_shape_ops.member(&spec, "nodeSelector", &other));
	assert_true(other.atomic);
	assert_false(schema_shape_ops.member(&spec, "nope", &other));
	assert_false(schema_shape_ops.element(&spec, &other));
	/* A volume's sources are members of the volume. */
	assert_true(schema_shape_ops.member(&spec, "volumes", &list));
	assert_true(list.patch_retain_keys);
	assert_true(schema_shape_ops.element(&list, &item));
	assert_true(schema_shape_ops.member(&item, "hostPath", &other));
	struct shape meta, finalizers;
	assert_true(schema_shape_ops.member(&pod, "metadata", &meta));
	assert_true(schema_shape_ops.member(&meta, "finalizers", &finalizers));
	assert_int_equal(finalizers.list, LIST_SET);
	assert_string_equal(finalizers.patch_merge_key, "");
}

/* What every table must keep: defaults that are JSON and valid, names once, a place in C that decoding may use. */
static void walk(const struct schema *s, unsigned depth)
{
	if (depth > 12)
		return;
	if (s->items != NULL)
		walk(s->items, depth + 1);
	for (const struct field *f = s->fields; f != NULL && f->name != NULL; f++) {
		for (const struct field *g = s->fields; g != f; g++)
			if (strcmp(g->name, f->name) == 0 ||
			    (f->pb != 0 && g->pb == f->pb && g->pb_outer == f->pb_outer))
				fail_msg("%s: %s and %s share a name or number", s->name, f->name, g->name);
		if (f->schema == NULL)
			fail_msg("%s.%s has no type", s->name, f->name);
		if (f->offset != FIELD_NO_OFFSET && f->offset >= s->size && s->size > 0)
			fail_msg("%s.%s lies outside its struct", s->name, f->name);
		if (f->list == LIST_MAP)
			for (const char *const *k = f->list_keys; *k != NULL; k++)
				if (schema_field(f->schema->items, *k) == NULL)
					fail_msg("%s.%s has a key '%s' that its items lack", s->name, f->name, *k);
		if (f->dflt != NULL) {
			JSON_AUTO value = parse(f->dflt);
			struct arena arena = ARENA_INIT(1u << 16);
			CLEANUP(free_p) struct violations *vs = calloc(1, sizeof *vs);
			vs->arena = &arena;
			schema_validate(f->schema, value, f->name, vs);
			if (vs->n != 0)
				fail_msg("%s.%s: its default: %s", s->name, f->name, vs->v[0].message);
			arena_free(&arena);
		}
		walk(f->schema, depth + 1);
	}
}

static void test_tables(void **state)
{
	(void)state;
	for (const struct kind *const *k = sluice_kinds; *k != NULL; k++)
		walk((*k)->schema, 0);
	static const char *const names[] = {"core.v1.Pod",          "core.v1.PersistentVolume",
					    "apps.v1.StatefulSet",  "core.v1.Node",
					    "core.v1.Service",      "apiextensions.v1.CustomResourceDefinition",
					    "storage.v1.CSIDriver", "meta.v1.Status"};
	for (size_t i = 0; i < ARRAY_LEN(names); i++)
		walk(schema_named(names[i]), 4);
	assert_null(kubernetes_schema("core.v1.Nope"));
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_default),
		cmocka_unit_test(test_prune),
		cmocka_unit_test(test_validate),
		cmocka_unit_test(test_validate_update),
		cmocka_unit_test(test_fixed),
		cmocka_unit_test(test_decode_dataset),
		cmocka_unit_test(test_decode_runtime_defaults),
		cmocka_unit_test(test_decode_alluxio),
		cmocka_unit_test(test_decode_jindo),
		cmocka_unit_test(test_decode_operations),
		cmocka_unit_test(test_decode_errors),
		cmocka_unit_test(test_shapes),
		cmocka_unit_test(test_tables),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
