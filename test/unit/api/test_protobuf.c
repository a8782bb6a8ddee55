/* Kubernetes' protobuf bodies: what kubectl 1.32 sends, and what nobody should. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "api/kind.h"
#include "api/protobuf.h"
#include "base/error.h"
#include "json/json.h"

/* Request bodies of kubectl 1.32 for `create namespace team-a`, `create configmap`, ..., `auth can-i create pods`. */
static const struct {
	const char *name, *body;
	size_t n;
	const char *api_version, *kind, *schema, *want;
} captured[] = {
	{"namespace",
	 "\x6b\x38\x73\x00\x0a\x0f\x0a\x02\x76\x31\x12\x09\x4e\x61\x6d\x65\x73\x70\x61\x63\x65\x12\x1e\x0a"
	 "\x16\x0a\x06\x74\x65\x61\x6d\x2d\x61\x12\x00\x1a\x00\x22\x00\x2a\x00\x32\x00\x38\x00\x42\x00\x12"
	 "\x00\x1a\x02\x0a\x00\x1a\x00\x22\x00",
	 57, "v1", "Namespace", "core.v1.Namespace", "{\"metadata\":{\"name\":\"team-a\"},\"spec\":{},\"status\":{}}"},
	{"configmap",
	 "\x6b\x38\x73\x00\x0a\x0f\x0a\x02\x76\x31\x12\x09\x43\x6f\x6e\x66\x69\x67\x4d\x61\x70\x12\x2c\x0a"
	 "\x18\x0a\x08\x73\x65\x74\x74\x69\x6e\x67\x73\x12\x00\x1a\x00\x22\x00\x2a\x00\x32\x00\x38\x00\x42"
	 "\x00\x12\x06\x0a\x01\x61\x12\x01\x31\x12\x08\x0a\x01\x62\x12\x03\x74\x77\x6f\x1a\x00\x22\x00",
	 71, "v1", "ConfigMap", "core.v1.ConfigMap",
	 "{\"metadata\":{\"name\":\"settings\"},\"data\":{\"a\":\"1\",\"b\":\"two\"}}"},
	{"secret",
	 "\x6b\x38\x73\x00\x0a\x0c\x0a\x02\x76\x31\x12\x06\x53\x65\x63\x72\x65\x74\x12\x39\x0a\x15\x0a\x05"
	 "\x6c\x6f\x67\x69\x6e\x12\x00\x1a\x00\x22\x00\x2a\x00\x32\x00\x38\x00\x42\x00\x12\x12\x0a\x08\x70"
	 "\x61\x73\x73\x77\x6f\x72\x64\x12\x06\x73\x33\x63\x72\x65\x74\x12\x0a\x0a\x04\x75\x73\x65\x72\x12"
	 "\x02\x6d\x65\x1a\x00\x1a\x00\x22\x00",
	 81, "v1", "Secret", "core.v1.Secret",
	 "{\"metadata\":{\"name\":\"login\"},\"data\":{\"user\":\"bWU=\",\"password\":\"czNjcmV0\"}}"},
	{"serviceaccount",
	 "\x6b\x38\x73\x00\x0a\x14\x0a\x02\x76\x31\x12\x0e\x53\x65\x72\x76\x69\x63\x65\x41\x63\x63\x6f\x75"
	 "\x6e\x74\x12\x17\x0a\x15\x0a\x05\x72\x6f\x62\x6f\x74\x12\x00\x1a\x00\x22\x00\x2a\x00\x32\x00\x38"
	 "\x00\x42\x00\x1a\x00\x22\x00",
	 55, "v1", "ServiceAccount", "core.v1.ServiceAccount", "{\"metadata\":{\"name\":\"robot\"}}"},
	{"access",
	 "\x6b\x38\x73\x00\x0a\x32\x0a\x17\x61\x75\x74\x68\x6f\x72\x69\x7a\x61\x74\x69\x6f\x6e\x2e\x6b\x38"
	 "\x73\x2e\x69\x6f\x2f\x76\x31\x12\x17\x53\x65\x6c\x66\x53\x75\x62\x6a\x65\x63\x74\x41\x63\x63\x65"
	 "\x73\x73\x52\x65\x76\x69\x65\x77\x12\x3f\x0a\x10\x0a\x00\x12\x00\x1a\x00\x22\x00\x2a\x00\x32\x00"
	 "\x38\x00\x42\x00\x12\x21\x0a\x1f\x0a\x07\x64\x65\x66\x61\x75\x6c\x74\x12\x06\x63\x72\x65\x61\x74"
	 "\x65\x1a\x00\x22\x00\x2a\x04\x70\x6f\x64\x73\x32\x00\x3a\x00\x1a\x08\x08\x00\x12\x00\x1a\x00\x20"
	 "\x00\x1a\x00\x22\x00",
	 125, "authorization.k8s.io/v1", "SelfSubjectAccessReview", "authorization.v1.SelfSubjectAccessReview",
	 "{\"metadata\":{},\"spec\":{\"resourceAttributes\":{\"namespace\":\"default\",\"verb\":\"create\","
	 "\"resource\":\"pods\"}},\"status\":{}}"},
	{"service",
	 "\x6b\x38\x73\x00\x0a\x0d\x0a\x02\x76\x31\x12\x07\x53\x65\x72\x76\x69\x63\x65\x12\x69\x0a\x1f\x0a"
	 "\x03\x77\x65\x62\x12\x00\x1a\x00\x22\x00\x2a\x00\x32\x00\x38\x00\x42\x00\x5a\x0a\x0a\x03\x61\x70"
	 "\x70\x12\x03\x77\x65\x62\x12\x42\x0a\x1b\x0a\x07\x38\x30\x2d\x38\x30\x38\x30\x12\x03\x54\x43\x50"
	 "\x18\x50\x22\x07\x08\x00\x10\x90\x3f\x1a\x00\x28\x00\x12\x0a\x0a\x03\x61\x70\x70\x12\x03\x77\x65"
	 "\x62\x1a\x00\x22\x09\x43\x6c\x75\x73\x74\x65\x72\x49\x50\x3a\x00\x42\x00\x52\x00\x5a\x00\x60\x00"
	 "\x68\x00\x1a\x02\x0a\x00\x1a\x00\x22\x00",
	 130, "v1", "Service", "core.v1.Service",
	 "{\"metadata\":{\"name\":\"web\",\"labels\":{\"app\":\"web\"}},\"spec\":{\"ports\":[{\"name\":\"80-8080\","
	 "\"protocol\":\"TCP\",\"port\":80,\"targetPort\":8080}],\"selector\":{\"app\":\"web\"},\"type\":\"ClusterIP\"}"
	 ",\"status\":{\"loadBalancer\":{}}}"},
};

static void expect_json(const char *name, const json_t *got, const char *want)
{
	JSON_AUTO wanted = json_loads(want, JSON_DECODE_ANY, NULL);
	CLEANUP(free_p) char *text = json_dumps(got, JSON_ENCODE_ANY);
	if (wanted == NULL || !json_equal(got, wanted))
		fail_msg("%s: got %s, want %s", name, text, want);
}

static void test_captured(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(captured); i++) {
		CLEANUP(free_p) char *api_version = NULL;
		CLEANUP(free_p) char *kind = NULL;
		const uint8_t *raw = NULL;
		size_t n = 0;
		struct error err = {0};
		JSON_AUTO got = NULL;
		int rc = protobuf_envelope((const uint8_t *)captured[i].body, captured[i].n, &api_version, &kind, &raw,
					   &n, &err);
		if (rc == 0)
			rc = protobuf_decode(kubernetes_schema(captured[i].schema), raw, n, &got, &err);
		if (rc != 0)
			fail_msg("%s: %s", captured[i].name, err.msg);
		assert_string_equal(api_version, captured[i].api_version);
		assert_string_equal(kind, captured[i].kind);
		expect_json(captured[i].name, got, captured[i].want);
	}
}

/* Any beginning of a body is an error or a shorter body, never a crash. */
static void test_cut(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(captured); i++) {
		for (size_t n = 0; n < captured[i].n; n++) {
			CLEANUP(free_p) char *api_version = NULL;
			CLEANUP(free_p) char *kind = NULL;
			CLEANUP(free_p) uint8_t *copy = malloc(n + 1);
			const uint8_t *raw;
			size_t raw_n;
			struct error err = {0};
			JSON_AUTO got = NULL;
			assert_non_null(copy);
			memcpy(copy, captured[i].body, n);
			if (protobuf_envelope(copy, n, &api_version, &kind, &raw, &raw_n, &err) == 0)
				(void)protobuf_decode(kubernetes_schema(captured[i].schema), raw, raw_n, &got, &err);
			else
				assert_true(strncmp(err.msg, "protobuf: ", 10) == 0);
		}
	}
}

#define B(s) s, sizeof(s) - 1

static void test_values(void **state)
{
	(void)state;
	static const struct {
		const char *schema, *body;
		size_t n;
		const char *want;
	} cases[] = {
		/* A pointer's zero is a value; another's is nothing. */
		{"apps.v1.StatefulSetSpec", B("\x08\x00\x48\x00"), "{\"replicas\":0}"},
		{"core.v1.ContainerPort", B("\x10\x00\x18\x00"), "{\"containerPort\":0}"},
		{"core.v1.Probe", B("\x0a\x08\x12\x06\x0a\x00\x12\x02\x08\x00\x10\x05"),
		 "{\"httpGet\":{\"port\":0},\"initialDelaySeconds\":5}"},
		{"core.v1.HTTPGetAction", B("\x12\x08\x08\x01\x1a\x04http"), "{\"port\":\"http\"}"},
		{"core.v1.Volume", B("\x0a\x01v\x12\x06\x0a\x04\x0a\x02/x"),
		 "{\"name\":\"v\",\"hostPath\":{\"path\":\"/x\"}}"},
		{"core.v1.EmptyDirVolumeSource",
		 B("\x0a\x06Memory\x12\x05\x0a\x03"
		   "1Gi"),
		 "{\"medium\":\"Memory\",\"sizeLimit\":\"1Gi\"}"},
		{"core.v1.ResourceRequirements",
		 B("\x0a\x0b\x0a\x03"
		   "cpu\x12\x04\x0a\x02"
		   "2m"),
		 "{\"limits\":{\"cpu\":\"2m\"}}"},
		{"coordination.v1.LeaseSpec", B("\x0a\x01h\x22\x09\x08\xa5\xeb\xdc\xca\x06\x10\xe8\x07\x28\x00"),
		 "{\"holderIdentity\":\"h\",\"renewTime\":\"2026-01-02T03:04:05.000001Z\",\"leaseTransitions\":0}"},
		{"meta.v1.ObjectMeta", B("\x42\x00\x38\x07"), "{\"generation\":7}"},
		{"meta.v1.ManagedFieldsEntry", B("\x3a\x0c\x0a\x0a{\"f:a\":{}}"), "{\"fieldsV1\":{\"f:a\":{}}}"},
		{"core.v1.PodSecurityContext", B("\x20\x01\x20\x02"), "{\"supplementalGroups\":[1,2]}"},
		{"core.v1.PodSecurityContext", B("\x22\x02\x01\x02"), "{\"supplementalGroups\":[1,2]}"},
		{"core.v1.Taint", B("\xf8\x07\x01\x0a\x01k"), "{\"key\":\"k\"}"},
	};
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct error err = {0};
		JSON_AUTO got = NULL;
		const int rc = protobuf_decode(kubernetes_schema(cases[i].schema), (const uint8_t *)cases[i].body,
					       cases[i].n, &got, &err);
		if (rc != 0)
			fail_msg("%s: %s", cases[i].schema, err.msg);
		if (cases[i].want != NULL)
			expect_json(cases[i].schema, got, cases[i].want);
	}
}

static void test_schema_or(void **state)
{
	(void)state;
	static const struct {
		const char *body;
		size_t n;
		const char *want;
	} cases[] = {
		/* additionalProperties: true; a schema; items: one schema; default: any JSON. */
		{B("\xf2\x01\x02\x08\x01"), "{\"additionalProperties\":true}"},
		{B("\xf2\x01\x0c\x08\x01\x12\x08\x2a\x06string"), "{\"additionalProperties\":{\"type\":\"string\"}}"},
		{B("\xc2\x01\x0a\x0a\x08\x2a\x06string"), "{\"items\":{\"type\":\"string\"}}"},
		{B("\x42\x05\x0a\x03[1]"), "{\"default\":[1]}"},
		{B("\xea\x01\x0d\x0a\x01\x61\x12\x08\x2a\x06object"), "{\"properties\":{\"a\":{\"type\":\"object\"}}}"},
	};
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct error err = {0};
		JSON_AUTO got = NULL;
		if (protobuf_decode(kubernetes_schema("apiextensions.v1.JSONSchemaProps"),
				    (const uint8_t *)cases[i].body, cases[i].n, &got, &err) != 0)
			fail_msg("case %zu: %s", i, err.msg);
		expect_json(cases[i].want, got, cases[i].want);
	}
}

static void test_malformed(void **state)
{
	(void)state;
	static const struct {
		const char *schema, *body;
		size_t n;
		const char *msg;
	} cases[] = {
		{"core.v1.Taint",
		 B("\x0a\x05"
		   "ab"),
		 "protobuf: core.v1.Taint: a field is longer than the message"},
		{"core.v1.Taint", B("\x0a\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01"),
		 "protobuf: core.v1.Taint: a field is longer than the message"},
		{"core.v1.Taint", B("\x08\x01"), "protobuf: core.v1.Taint: a field has another form than its type"},
		{"core.v1.Taint", B("\x0a\x01\xff"), "protobuf: core.v1.Taint: a text is not valid UTF-8"},
		{"core.v1.Taint", B("\x0b"), "protobuf: core.v1.Taint: holds a group, which is not supported"},
		{"core.v1.Taint", B("\x02\x00"), "protobuf: core.v1.Taint: a field number is out of range"},
		{"core.v1.Taint", B("\x18\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01"),
		 "protobuf: core.v1.Taint: a number is longer than 64 bits"},
		{"core.v1.ConfigMap", B("\x12\x03\x12\x01v"),
		 "protobuf: core.v1.ConfigMap: a map's entry has no usable key"},
		{"meta.v1.ObjectMeta", B("\x42\x0b\x08\x80\x80\x80\x80\x80\x80\x80\x80\x80\x01"),
		 "protobuf: meta.v1.ObjectMeta: a time is out of range"},
	};
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct error err = {0};
		json_t *got = NULL;
		const int rc = protobuf_decode(kubernetes_schema(cases[i].schema), (const uint8_t *)cases[i].body,
					       cases[i].n, &got, &err);
		if (rc != -EINVAL || strcmp(err.msg, cases[i].msg) != 0)
			fail_msg("case %zu: %d '%s'", i, rc, err.msg);
	}
	char *api_version = NULL, *kind = NULL;
	const uint8_t *raw;
	size_t n;
	struct error err = {0};
	assert_int_equal(protobuf_envelope((const uint8_t *)"{\"kind\":1}", 10, &api_version, &kind, &raw, &n, &err),
			 -EINVAL);
	assert_string_equal(err.msg, "protobuf: the body does not begin with the bytes of Kubernetes' protobuf form");
	assert_int_equal(
		protobuf_envelope((const uint8_t *)"k8s\0\x1a\x04gzip", 10, &api_version, &kind, &raw, &n, &err),
		-EINVAL);
	assert_string_equal(err.msg, "protobuf: envelope: the object is encoded, which is not supported");
}

/* A schema that nests itself for ever ends at the limit. */
static void test_depth(void **state)
{
	(void)state;
	uint8_t body[4096];
	size_t n = 0;
	for (unsigned level = 0; level < 200;
	     level++) { /* `not` of `not` of ..., the innermost first, written from the back */
		uint8_t head[8];
		size_t k = 0;
		head[k++] = 0xe2;
		head[k++] = 0x01;
		head[k++] = (uint8_t)(n < 128 ? n : (n & 0x7F) | 0x80);
		if (n >= 128)
			head[k++] = (uint8_t)(n >> 7);
		memmove(body + k, body, n);
		memcpy(body, head, k);
		n += k;
	}
	struct error err = {0};
	json_t *got = NULL;
	assert_int_equal(protobuf_decode(kubernetes_schema("apiextensions.v1.JSONSchemaProps"), body, n, &got, &err),
			 -EINVAL);
	assert_string_equal(err.msg, "protobuf: apiextensions.v1.JSONSchemaProps: nested too deeply");
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_captured),  cmocka_unit_test(test_cut),       cmocka_unit_test(test_values),
		cmocka_unit_test(test_schema_or), cmocka_unit_test(test_malformed), cmocka_unit_test(test_depth),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
