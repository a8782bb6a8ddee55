/* Answers on the wire: statuses as Kubernetes words them, forms of bodies and answers, the beginning of a watch. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>

#include "api/kind.h"
#include "base/cleanup.h"
#include "base/error.h"
#include "base/file.h"
#include "base/str.h"
#include "local/api_server.h"
#include "net/http_client.h"
#include "json/json.h"

static char dir[64];
static struct api_server *server;
static struct http_client *client;

static char *read_pem(const char *name)
{
	CLEANUP(free_p) char *path = str_printf("%s/pki/%s", dir, name);
	char *text = NULL;
	return path != NULL && file_read(path, 1u << 16, &text, NULL, NULL) == 0 ? text : NULL;
}

static int setup(void **state)
{
	(void)state;
	(void)snprintf(dir, sizeof dir, "/tmp/sluice-test-wire-XXXXXX");
	if (mkdtemp(dir) == NULL)
		return -1;
	CLEANUP(free_p) char *kubeconfig = str_printf("%s/kubeconfig", dir);
	struct api_server_options o = {.data_dir = dir, .address = "127.0.0.1", .kubeconfig = kubeconfig};
	if (api_server_new(&o, &server, NULL) < 0)
		return -1;
	CLEANUP(free_p) char *ca = read_pem("ca.crt");
	CLEANUP(free_p) char *cert = read_pem("admin.crt");
	CLEANUP(free_p) char *key = read_pem("admin.key");
	struct http_client_options h = {.ca_pem = ca, .cert_pem = cert, .key_pem = key, .no_proxy = true};
	return http_client_new(&h, &client, NULL);
}

static int teardown(void **state)
{
	(void)state;
	http_client_free(client);
	api_server_free(server);
	return file_remove_all(dir, NULL);
}

static int call(const char *method, const char *path, const char *type, const char *accept, const void *body, size_t n,
		struct http_answer *ret)
{
	CLEANUP(free_p) char *url = str_printf("https://127.0.0.1:%u%s", api_server_port(server), path);
	struct http_header headers[2];
	size_t k = 0;
	if (type != NULL)
		headers[k++] = (struct http_header){"Content-Type", type};
	if (accept != NULL)
		headers[k++] = (struct http_header){"Accept", accept};
	struct http_call c = {
		.method = method, .url = url, .headers = headers, .n_headers = k, .body = body, .body_n = n};
	struct error err = {0};
	if (http_client_do(client, &c, ret, &err) < 0)
		fail_msg("%s %s: %s", method, path, err.msg);
	return ret->status;
}

static json_t *call_json(const char *method, const char *path, const char *type, const char *accept, const char *body,
			 int want)
{
	CLEANUP(http_answer_clear) struct http_answer a = {0};
	int status = call(method, path, type, accept, body, body != NULL ? strlen(body) : 0, &a);
	json_t *j = NULL;
	if (status != want || json_parse(a.body, a.body_n, &j, NULL) < 0)
		fail_msg("%s %s: %d %s", method, path, status, a.body);
	return j;
}

#define MAPS "/api/v1/namespaces/default/configmaps"
#define SUBDOMAIN                                                                                                      \
	"a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.', and must "     \
	"start and end with an "                                                                                       \
	"alphanumeric character (e.g. 'example.com', regex used for validation is "                                    \
	"'[a-z0-9]([-a-z0-9]*[a-z0-9])?(\\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*')"

static void test_failures(void **state)
{
	(void)state;
	json_decref(call_json("POST", MAPS, "application/json", NULL,
			      "{\"metadata\":{\"name\":\"one\"},\"data\":{\"k\":\"v\"}}", 201));
	static const struct {
		const char *method, *path, *type, *body;
		int status;
		const char *reason, *message; /* the whole message */
	} cases[] = {
		{"GET", MAPS "/none", NULL, NULL, 404, "NotFound", "configmaps \"none\" not found"},
		{"GET", "/apis/apps/v1/namespaces/default/statefulsets/none", NULL, NULL, 404, "NotFound",
		 "statefulsets.apps \"none\" not found"},
		{"GET", "/api/v1/foos", NULL, NULL, 404, "NotFound",
		 "the server could not find the requested resource"},
		{"POST", MAPS, NULL, "{\"metadata\":{\"name\":\"one\"}}", 409, "AlreadyExists",
		 "configmaps \"one\" already exists"},
		{"POST", MAPS, NULL, "{\"metadata\":{\"name\":\"Bad_Name\"}}", 422, "Invalid",
		 "ConfigMap \"Bad_Name\" is invalid: metadata.name: Invalid value: \"Bad_Name\": " SUBDOMAIN},
		{"POST", MAPS, NULL, "{}", 422, "Invalid",
		 "ConfigMap \"\" is invalid: metadata.name: Required value: name or generateName is required"},
		{"PUT", MAPS "/one", NULL, "{\"metadata\":{\"name\":\"one\",\"resourceVersion\":\"1\"}}", 409,
		 "Conflict",
		 "Operation cannot be fulfilled on configmaps \"one\": the object has been modified; please apply your "
		 "changes to the latest version and try "
		 "again"},
		{"PUT", MAPS "/one", NULL, "{\"metadata\":{\"name\":\"two\"}}", 400, "BadRequest",
		 "the name of the object (two) does not match the name on the URL (one)"},
		{"POST", MAPS, NULL, "{\"kind\":\"Secret\",\"apiVersion\":\"v1\"}", 400, "BadRequest",
		 "Secret in version \"v1\" cannot be handled as a ConfigMap: converting (v1.Secret) to "
		 "(core.ConfigMap): unknown conversion"},
		{"POST", MAPS, NULL, "{\"kind\":\"ConfigMap\",\"apiVersion\":\"v2\"}", 400, "BadRequest",
		 "ConfigMap in version \"v1\" cannot be handled as a ConfigMap: no kind \"ConfigMap\" is registered for "
		 "version \"v2\" in scheme \"pkg/api/legacyscheme/scheme.go:30\""},
		{"POST", MAPS, "text/plain", "x", 415, "UnsupportedMediaType",
		 "the body of the request was in an unknown format - accepted media types include: application/json, "
		 "application/yaml,"
		 " application/vnd.kubernetes.protobuf"},
		{"POST", MAPS, NULL, "{\"metadata\":{\"name\":\"x\",\"namespace\":\"other\"}}", 400, "BadRequest",
		 "the namespace of the provided object does not match the namespace sent on the request"},
		{"POST", "/api/v1/namespaces/none/configmaps", NULL, "{\"metadata\":{\"name\":\"x\"}}", 404, "NotFound",
		 "namespaces \"none\" not found"},
		{"PATCH", MAPS "/one", "application/json-patch+json",
		 "[{\"op\":\"test\",\"path\":\"/data/k\",\"value\":\"x\"}]", 422, "Invalid",
		 "the server rejected our request due to an error in our request"},
		{"PATCH", MAPS "/one", "text/plain", "[]", 415, "UnsupportedMediaType",
		 "the body of the request was in an unknown format - accepted media types include: "
		 "application/json-patch+json, application/merge-patch+json, "
		 "application/strategic-merge-patch+json, application/apply-patch+yaml"},
		{"PATCH", MAPS "/one", "application/apply-patch+yaml", "a: b", 422, "Invalid",
		 "PatchOptions.meta.k8s.io \"\" is invalid: fieldManager: Required value: is required for apply patch"},
		{"PATCH", MAPS "/one?fieldManager=b", "application/apply-patch+yaml",
		 "{apiVersion: v1, kind: ConfigMap, data: {k: other}}", 409, "Conflict", NULL},
		{"PUT", "/api/v1/namespaces/default/status", "text/plain", "x", 415, "UnsupportedMediaType",
		 "the body of the request was in an unknown format - accepted media types include: application/json, "
		 "application/yaml,"
		 " application/vnd.kubernetes.protobuf"},
		{"PATCH", "/api/v1/namespaces/default/status", "text/plain", "[]", 415, "UnsupportedMediaType",
		 "the body of the request was in an unknown format - accepted media types include: "
		 "application/json-patch+json, application/merge-patch+json, "
		 "application/strategic-merge-patch+json, application/apply-patch+yaml"},
		{"POST", "/api/v1/namespaces/default/status", NULL, "{}", 405, "MethodNotAllowed",
		 "the server does not allow this method on the requested resource"},
		{"DELETE", "/api/v1/namespaces/default/status", NULL, NULL, 405, "MethodNotAllowed",
		 "the server does not allow this method on the requested resource"},
		{"GET", MAPS "/one/status", NULL, NULL, 404, "NotFound",
		 "the server could not find the requested resource"},
		{"GET", MAPS "?labelSelector=(", NULL, NULL, 400, "BadRequest",
		 "found '(', expected: !, identifier, or 'end of string'"},
		{"GET", MAPS "?fieldSelector=data.a%3D1", NULL, NULL, 400, "BadRequest",
		 "\"data.a\" is not a known field selector: only \"metadata.name\", \"metadata.namespace\""},
		{"GET", MAPS "?continue=%25", NULL, NULL, 400, "BadRequest",
		 "invalid continue token: continue key is not valid: illegal base64 data at input byte 0"},
		{"GET", MAPS "?limit=x", NULL, NULL, 400, "BadRequest",
		 "strconv.ParseInt: parsing \"x\": invalid syntax"},
		{"POST", MAPS "/one", NULL, "{}", 405, "MethodNotAllowed",
		 "the server does not allow this method on the requested resource"},
		{"DELETE", "/api/v1/namespaces", NULL, NULL, 405, "MethodNotAllowed",
		 "the server does not allow this method on the requested resource"},
		{"DELETE", "/api/v1/namespaces/default", NULL, NULL, 403, "Forbidden",
		 "namespaces \"default\" is forbidden: this namespace may not be deleted"},
		{"DELETE", MAPS "/one", NULL, "{\"propagationPolicy\":\"Sideways\"}", 422, "Invalid",
		 "DeleteOptions.meta.k8s.io \"\" is invalid: propagationPolicy: Unsupported value: \"Sideways\": "
		 "supported values: \"Foreground\","
		 " \"Background\", \"Orphan\", \"nil\""},
		{"POST", MAPS "?fieldValidation=Strict", NULL,
		 "{\"metadata\":{\"name\":\"x\",\"nam\":1},\"data\":{\"a\":\"1\",\"a\":\"2\"}}", 400, "BadRequest",
		 "ConfigMap in version \"v1\" cannot be handled as a ConfigMap: strict decoding error: duplicate field "
		 "\"data.a\""},
		{"POST", MAPS "?fieldValidation=Strict", NULL, "{\"metadata\":{\"name\":\"x\",\"nam\":1}}", 400,
		 "BadRequest",
		 "ConfigMap in version \"v1\" cannot be handled as a ConfigMap: strict decoding error: unknown field "
		 "\"metadata.nam\""},
	};
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		JSON_AUTO s = call_json(cases[i].method, cases[i].path,
					cases[i].type != NULL ? cases[i].type : "application/json", NULL, cases[i].body,
					cases[i].status);
		bool same = strcmp(json_str(s, "reason", ""), cases[i].reason) == 0 &&
			    json_int(s, "code", 0) == cases[i].status &&
			    strcmp(json_str(s, "kind", ""), "Status") == 0 &&
			    strcmp(json_str(s, "status", ""), "Failure") == 0 &&
			    (cases[i].message == NULL || strcmp(json_str(s, "message", ""), cases[i].message) == 0);
		if (!same) {
			CLEANUP(free_p) char *text = json_to_text(s, NULL);
			fail_msg("%s %s: %s", cases[i].method, cases[i].path, text);
		}
	}
}

/** Longer than any struct error: the whole message arrives all the same. */
static void test_many_conflicts(void **state)
{
	(void)state;
	enum { N = 20 };
	JSON_AUTO map = json_pack("{s:s, s:s, s:{s:s}, s:{}}", "apiVersion", "v1", "kind", "ConfigMap", "metadata",
				  "name", "many", "data");
	for (int i = 0; i < N; i++) {
		char key[32];
		(void)snprintf(key, sizeof key, "a-rather-long-key-%d", i);
		(void)json_object_set_new(json_object_get(map, "data"), key, json_string("1"));
	}
	CLEANUP(free_p) char *text = json_to_text(map, NULL);
	json_decref(call_json("POST", MAPS, "application/json", NULL, text, 201));
	for (int i = 0; i < N; i++) {
		char key[32];
		(void)snprintf(key, sizeof key, "a-rather-long-key-%d", i);
		(void)json_object_set_new(json_object_get(map, "data"), key, json_string("2"));
	}
	CLEANUP(free_p) char *other = json_to_text(map, NULL);
	JSON_AUTO s = call_json("PATCH", MAPS "/many?fieldManager=b", "application/apply-patch+yaml", NULL, other, 409);
	const char *message = json_str(s, "message", "");
	assert_non_null(strstr(message, "Apply failed with 20 conflicts"));
	for (int i = 0; i < N; i++) {
		char key[40];
		(void)snprintf(key, sizeof key, ".data.a-rather-long-key-%d", i);
		if (strstr(message, key) == NULL)
			fail_msg("%s is not in: %s", key, message);
	}
	assert_int_equal(json_array_size(json_at(s, "details.causes")), N);
}

/** A definition cannot say what may not change; of our own kinds the server knows. */
static void test_own_kinds_keep_what_is_immutable(void **state)
{
	(void)state;
#define RUNTIMES "/apis/data.fluid.io/v1alpha1/namespaces/default/reservoirruntimes"
	JSON_AUTO crd = kind_to_crd(&reservoir_runtime_kind);
	CLEANUP(free_p) char *text = json_to_text(crd, NULL);
	json_decref(call_json("POST", "/apis/apiextensions.k8s.io/v1/customresourcedefinitions", "application/json",
			      NULL, text, 201));
	json_decref(call_json("POST", RUNTIMES, "application/json", NULL,
			      "{\"metadata\":{\"name\":\"r\"},\"spec\":{\"replicas\":1,\"tieredstore\":{\"levels\":"
			      "[{\"mediumtype\":\"MEM\",\"path\":\"/dev/shm\",\"quota\":\"1Gi\"}]}}}",
			      201));
	JSON_AUTO s = call_json("PATCH", RUNTIMES "/r", "application/merge-patch+json", NULL,
				"{\"spec\":{\"tieredstore\":{\"levels\":[{\"mediumtype\":\"MEM\",\"path\":\"/dev/shm\","
				"\"quota\":\"2Gi\"}]}}}",
				422);
	assert_string_equal(json_str(s, "reason", ""), "Invalid");
	assert_string_equal(json_str(s, "details.causes[0].field", ""), "spec.tieredstore");
	json_decref(call_json("PATCH", RUNTIMES "/r", "application/merge-patch+json", NULL,
			      "{\"spec\":{\"replicas\":2}}", 200));
}

static void test_too_large(void **state)
{
	(void)state;
	size_t n = (3u << 20) + 1;
	CLEANUP(free_p) char *body = malloc(n);
	memset(body, ' ', n);
	CLEANUP(http_answer_clear) struct http_answer a = {0};
	assert_int_equal(call("POST", MAPS, "application/json", NULL, body, n, &a), 413);
	assert_non_null(strstr(
		a.body,
		"\"message\":\"Request entity too large: limit is 3145728\",\"reason\":\"RequestEntityTooLarge\""));
}

static void test_bodies(void **state)
{
	(void)state;
	json_decref(call_json("POST", MAPS, "application/yaml", NULL, "metadata:\n  name: yaml\ndata:\n  a: b\n", 201));
	/* The envelope, a name and one entry of data: field numbers of ObjectMeta.name 1, ConfigMap.metadata 1, ConfigMap.data 2. */
	static const char protobuf[] = "k8s\0\x0a\x0f\x0a\x02v1\x12\x09"
				       "ConfigMap\x12\x10\x0a\x06\x0a\x04wire\x12\x06\x0a\x01"
				       "a\x12\x01"
				       "b";
	CLEANUP(http_answer_clear) struct http_answer a = {0};
	int status = call("POST", MAPS, "application/vnd.kubernetes.protobuf", NULL, protobuf, sizeof protobuf - 1, &a);
	if (status != 201)
		fail_msg("%d %s", status, a.body);
	static const char *const names[] = {"yaml", "wire"};
	for (size_t i = 0; i < ARRAY_LEN(names); i++) {
		CLEANUP(free_p) char *path = str_printf(MAPS "/%s", names[i]);
		JSON_AUTO obj = call_json("GET", path, NULL, NULL, NULL, 200);
		assert_string_equal(json_str(obj, "data.a", ""), "b");
		assert_string_equal(json_str(obj, "kind", ""), "ConfigMap");
	}
}

static void test_forms_of_answers(void **state)
{
	(void)state;
	json_decref(
		call_json("POST", MAPS, NULL, NULL, "{\"metadata\":{\"name\":\"one\"},\"data\":{\"k\":\"v\"}}", 201));
	JSON_AUTO table = call_json("GET", MAPS, NULL, "application/json;as=Table;v=v1;g=meta.k8s.io,application/json",
				    NULL, 200);
	assert_string_equal(json_str(table, "kind", ""), "Table");
	assert_string_equal(json_str(table, "columnDefinitions[1].name", ""), "Data");
	assert_string_equal(json_str(table, "rows[0].cells[0]", ""), "one");
	assert_string_equal(json_str(table, "rows[0].object.kind", ""), "PartialObjectMetadata");
	JSON_AUTO partial = call_json("GET", MAPS, NULL,
				      "application/json;as=PartialObjectMetadataList;v=v1;g=meta.k8s.io", NULL, 200);
	assert_string_equal(json_str(partial, "kind", ""), "PartialObjectMetadataList");
	assert_null(json_at(partial, "items[0].data"));
	JSON_AUTO groups = call_json("GET", "/apis", NULL,
				     "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList", NULL, 200);
	assert_string_equal(json_str(groups, "kind", ""), "APIGroupDiscoveryList");
	JSON_AUTO old = call_json("GET", "/apis", NULL, "application/json", NULL, 200);
	assert_string_equal(json_str(old, "kind", ""), "APIGroupList");
}

static void test_warnings(void **state)
{
	(void)state;
	static const char body[] = "{\"metadata\":{\"name\":\"w\"},\"unknown\":1}";
	CLEANUP(http_answer_clear) struct http_answer a = {0};
	assert_int_equal(
		call("POST", MAPS "?fieldValidation=Warn", "application/json", NULL, body, sizeof body - 1, &a), 201);
	assert_string_equal(http_answer_header(&a, "warning"), "299 - \"unknown field \\\"unknown\\\"\"");
}

static void test_initial_events_end_with_a_bookmark(void **state)
{
	(void)state;
	json_decref(call_json("POST", MAPS, NULL, NULL, "{\"metadata\":{\"name\":\"one\"}}", 201));
	CLEANUP(http_answer_clear) struct http_answer a = {0};
	assert_int_equal(call("GET",
			      MAPS "?watch=true&sendInitialEvents=true&allowWatchBookmarks=true&resourceVersionMatch="
				   "NotOlderThan&timeoutSeconds=1",
			      NULL, NULL, NULL, 0, &a),
			 200);
	const char *added =
		strstr(a.body, "{\"type\":\"ADDED\",\"object\":{\"apiVersion\":\"v1\",\"kind\":\"ConfigMap\"");
	const char *mark = strstr(a.body, "{\"type\":\"BOOKMARK\"");
	assert_non_null(added);
	assert_non_null(mark);
	assert_true(added < mark);
	assert_non_null(strstr(mark, "\"k8s.io/initial-events-end\":\"true\""));
}

static void test_metrics(void **state)
{
	(void)state;
	json_decref(call_json("GET", MAPS "/none", NULL, NULL, NULL, 404));
	CLEANUP(http_answer_clear) struct http_answer a = {0};
	assert_int_equal(call("GET", "/metrics", NULL, NULL, NULL, 0, &a), 200);
	assert_non_null(strstr(a.body, "sluice_api_requests_total{verb=\"get\",code=\"404\"}"));
	assert_non_null(strstr(a.body, "\nsluice_api_watches 0\n"));
}

static void test_events_show_what_happened_first(void **state)
{
	(void)state;
	JSON_AUTO table =
		call_json("GET", "/api/v1/events", NULL, "application/json;as=Table;v=v1;g=meta.k8s.io", NULL, 200);
	assert_string_equal(json_str(table, "columnDefinitions[0].name", ""),
			    "Last Seen"); /* the name is a column for -o wide */
}

#define CASE(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		CASE(test_failures),
		CASE(test_many_conflicts),
		CASE(test_own_kinds_keep_what_is_immutable),
		CASE(test_too_large),
		CASE(test_bodies),
		CASE(test_forms_of_answers),
		CASE(test_warnings),
		CASE(test_initial_events_end_with_a_bookmark),
		CASE(test_metrics),
		CASE(test_events_show_what_happened_first),
	};
	return cmocka_run_group_tests_name("api_wire", tests, NULL, NULL);
}
