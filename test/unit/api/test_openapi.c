/* The documents for kubectl: every reference leads somewhere, and the protobuf form says what the JSON form says. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "api/kind.h"
#include "api/openapi.h"
#include "base/cleanup.h"
#include "base/error.h"
#include "json/json.h"

static size_t all_kinds(const struct kind *out[static 64])
{
	size_t n = 0;
	for (const struct kind *const *k = kubernetes_kinds; *k != NULL; k++)
		out[n++] = *k;
	for (const struct kind *const *k = sluice_kinds; *k != NULL; k++)
		out[n++] = *k;
	return n;
}

static size_t check_refs(const json_t *value, const char *prefix, const json_t *definitions)
{
	size_t found = 0, i;
	const char *key;
	json_t *sub;
	json_object_foreach ((json_t *)value, key, sub) {
		const char *ref = strcmp(key, "$ref") == 0 ? json_string_value(sub) : NULL;
		if (ref != NULL) {
			if (strncmp(ref, prefix, strlen(prefix)) != 0 ||
			    json_object_get(definitions, ref + strlen(prefix)) == NULL)
				fail_msg("%s leads nowhere", ref);
			found++;
		}
		found += check_refs(sub, prefix, definitions);
	}
	json_array_foreach (value, i, sub)
		found += check_refs(sub, prefix, definitions);
	return found;
}

static void test_v2(void **state)
{
	(void)state;
	const struct kind *kinds[64];
	JSON_AUTO doc = openapi_v2(kinds, all_kinds(kinds));
	const json_t *definitions = json_object_get(doc, "definitions"), *paths = json_object_get(doc, "paths");
	assert_true(check_refs(doc, "#/definitions/", definitions) > 500);

	const json_t *pod = json_object_get(definitions, "io.k8s.api.core.v1.Pod");
	assert_string_equal(json_str(pod, "x-kubernetes-group-version-kind[0].kind", ""), "Pod");
	const json_t *containers =
		json_at(json_object_get(definitions, "io.k8s.api.core.v1.PodSpec"), "properties.containers");
	assert_string_equal(json_str(containers, "x-kubernetes-patch-merge-key", ""), "name");
	assert_string_equal(json_str(containers, "x-kubernetes-patch-strategy", ""), "merge");
	assert_string_equal(json_str(json_object_get(definitions, "io.k8s.api.core.v1.PodSpec"),
				     "properties.volumes.x-kubernetes-patch-strategy", ""),
			    "merge,retainKeys");
	const json_t *dataset = json_object_get(definitions, "io.fluid.data.v1alpha1.Dataset");
	assert_string_equal(json_str(dataset, "x-kubernetes-group-version-kind[0].group", ""), "data.fluid.io");
	assert_non_null(json_at(dataset, "properties.spec.properties.mounts"));

	/* Any JSON has no type here: kubectl 1.20 would take a list or a text for an error. */
	const json_t *any = json_object_get(definitions,
					    "io.k8s.apiextensions-apiserver.pkg.apis.apiextensions.v1.JSONSchemaProps");
	assert_non_null(json_at(any, "properties.example"));
	assert_null(json_at(any, "properties.example.type"));
	assert_null(json_at(any, "properties.enum.items.type"));

	/* What kubectl looks for before it sends a server-side dry run, strict validation or a strategic merge. */
	const json_t *patch =
		json_object_get(json_object_get(paths, "/api/v1/namespaces/{namespace}/pods/{name}"), "patch");
	static const char *const parameters[] = {"dryRun", "fieldManager", "fieldValidation", "force"};
	for (size_t i = 0; i < ARRAY_LEN(parameters); i++)
		assert_string_equal(json_str(json_array_get(json_object_get(patch, "parameters"), i), "name", ""),
				    parameters[i]);
	assert_string_equal(json_str(patch, "x-kubernetes-group-version-kind.kind", ""), "Pod");
	assert_int_equal(json_array_size(json_object_get(patch, "consumes")), 4);
	patch = json_object_get(
		json_object_get(paths, "/apis/data.fluid.io/v1alpha1/namespaces/{namespace}/datasets/{name}"), "patch");
	assert_int_equal(json_array_size(json_object_get(patch, "consumes")), 3);
	assert_non_null(json_object_get(paths, "/api/v1/nodes/{name}"));
	assert_null(json_object_get(paths, "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews/{name}"));
}

static void test_v3(void **state)
{
	(void)state;
	const struct kind *kinds[64];
	const size_t n = all_kinds(kinds);
	for (size_t i = 0; i < n; i++) {
		JSON_AUTO doc = openapi_v3(kinds, n, kinds[i]->resource.group, kinds[i]->resource.version);
		const json_t *schemas = json_at(doc, "components.schemas");
		assert_true(check_refs(doc, "#/components/schemas/", schemas) > 10);
		assert_string_equal(json_str(doc, "openapi", ""), "3.0.0");
	}
	JSON_AUTO none = openapi_v3(kinds, n, "no.such.group", "v1");
	assert_int_equal(json_object_size(json_object_get(none, "paths")), 0);
}

/* Each place and verb has its operation, and no two one id: clients are generated from these. */
static void test_operations(void **state)
{
	(void)state;
	static const struct {
		const char *path, *method, *action, *kind, *id, *parameter;
	} cases[] = {
		{"/api/v1/pods", "get", "list", "Pod", "listCoreV1PodForAllNamespaces", "watch"},
		{"/api/v1/namespaces/{namespace}/pods", "delete", "deletecollection", "Pod",
		 "deleteCoreV1CollectionNamespacedPod", "labelSelector"},
		{"/api/v1/namespaces/{namespace}/pods/{name}", "delete", "delete", "Pod", "deleteCoreV1NamespacedPod",
		 "propagationPolicy"},
		{"/api/v1/namespaces/{namespace}/pods/{name}/status", "patch", "patch", "Pod",
		 "patchCoreV1NamespacedPodStatus", "force"},
		{"/api/v1/namespaces/{namespace}/pods/{name}/log", "get", "get", "Pod", "readCoreV1NamespacedPodLog",
		 "tailLines"},
		{"/api/v1/namespaces/{namespace}/pods/{name}/binding", "post", "post", "Binding",
		 "createCoreV1NamespacedPodBinding", "dryRun"},
		{"/api/v1/namespaces/{namespace}/pods/{name}/eviction", "post", "post", "Eviction",
		 "createCoreV1NamespacedPodEviction", "dryRun"},
		{"/api/v1/namespaces/{namespace}/serviceaccounts/{name}/token", "post", "post", "TokenRequest",
		 "createCoreV1NamespacedServiceAccountToken", "dryRun"},
		{"/api/v1/namespaces/{name}/finalize", "put", "put", "Namespace", "replaceCoreV1NamespaceFinalize",
		 "fieldManager"},
		{"/apis/apps/v1/namespaces/{namespace}/statefulsets/{name}/scale", "patch", "patch", "Scale",
		 "patchAppsV1NamespacedStatefulSetScale", "fieldManager"},
		{"/apis/rbac.authorization.k8s.io/v1/clusterroles", "post", "post", "ClusterRole",
		 "createRbacAuthorizationV1ClusterRole", "fieldValidation"},
		{"/apis/data.fluid.io/v1alpha1/namespaces/{namespace}/datasets/{name}/status", "put", "put", "Dataset",
		 "replaceDataFluidIoV1alpha1NamespacedDatasetStatus", "dryRun"},
	};
	const struct kind *kinds[64];
	const size_t n = all_kinds(kinds);
	JSON_AUTO doc = openapi_v2(kinds, n);
	JSON_AUTO ids = json_object();
	json_t *paths = json_object_get(doc, "paths"), *item, *op;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		op = json_object_get(json_object_get(paths, cases[i].path), cases[i].method);
		if (op == NULL)
			fail_msg("%s %s is not described", cases[i].method, cases[i].path);
		assert_string_equal(json_str(op, "operationId", ""), cases[i].id);
		assert_string_equal(json_str(op, "x-kubernetes-action", ""), cases[i].action);
		assert_string_equal(json_str(op, "x-kubernetes-group-version-kind.kind", ""), cases[i].kind);
		size_t p;
		json_t *parameter;
		bool found = false;
		json_array_foreach (json_object_get(op, "parameters"), p, parameter)
			found = found || strcmp(json_str(parameter, "name", ""), cases[i].parameter) == 0;
		if (!found)
			fail_msg("%s %s has no parameter %s", cases[i].method, cases[i].path, cases[i].parameter);
	}
	const char *path, *method;
	json_object_foreach (paths, path, item) {
		json_object_foreach (item, method, op) {
			const char *id = json_str(op, "operationId", NULL);
			if (id == NULL)
				continue; /* the parameters of the path */
			if (json_object_get(ids, id) != NULL)
				fail_msg("two operations are called %s", id);
			(void)json_object_set_new(ids, id, json_true());
		}
	}
	const json_t *list = json_object_get(json_object_get(doc, "definitions"), "io.k8s.api.core.v1.PodList");
	assert_string_equal(json_str(list, "x-kubernetes-group-version-kind[0].kind", ""), "PodList");
	assert_string_equal(json_str(list, "properties.items.type", ""), "array");
}

/* The first field @number of length-delimited form in the message, or NULL. */
static const uint8_t *member(const uint8_t *p, size_t n, unsigned number, size_t *ret_n)
{
	const uint8_t *end = p + n;
	while (p < end) {
		uint64_t v[2] = {0, 0};
		for (unsigned k = 0; k < 2; k++) {
			unsigned shift = 0;
			do
				v[k] |= (uint64_t)(*p & 0x7F) << shift, shift += 7;
			while (*p++ & 0x80);
			if (k == 0 && (v[0] & 7) == 1) {
				p += 8;
				break;
			}
			if (k == 0 && (v[0] & 7) != 2 && (v[0] & 7) != 0)
				fail_msg("wire type %u", (unsigned)(v[0] & 7));
		}
		if ((v[0] & 7) != 2)
			continue;
		assert_true(v[1] <= (uint64_t)(end - p));
		if (v[0] >> 3 == number) {
			*ret_n = (size_t)v[1];
			return p;
		}
		p += v[1];
	}
	return NULL;
}

/* All definitions of the message are walked; returns how many there are, and the schema of @name in *@ret. */
static size_t definitions_of(const uint8_t *p, size_t n, const char *name, const uint8_t **ret, size_t *ret_n)
{
	size_t count = 0;
	while (n > 0) {
		size_t named_n, name_n, schema_n;
		const uint8_t *named = member(p, n, 1, &named_n);
		if (named == NULL)
			break;
		const uint8_t *key = member(named, named_n, 1, &name_n), *schema = member(named, named_n, 2, &schema_n);
		assert_non_null(key);
		assert_non_null(schema);
		if (name_n == strlen(name) && memcmp(key, name, name_n) == 0) {
			*ret = schema;
			*ret_n = schema_n;
		}
		n -= (size_t)(named + named_n - p);
		p = named + named_n;
		count++;
	}
	return count;
}

static void test_protobuf(void **state)
{
	(void)state;
	const struct kind *kinds[64];
	JSON_AUTO doc = openapi_v2(kinds, all_kinds(kinds));
	CLEANUP(free_p) uint8_t *bytes = NULL;
	size_t n = 0, definitions_n = 0, port_n = 0, properties_n = 0, type_n = 0, text_n = 0, swagger_n = 0;
	struct error err = {0};
	assert_int_equal(openapi_v2_protobuf(doc, &bytes, &n, &err), 0);
	const uint8_t *swagger = member(bytes, n, 1, &swagger_n), *definitions = member(bytes, n, 9, &definitions_n),
		      *port = NULL;
	assert_memory_equal(swagger, "2.0", 3);
	assert_int_equal(definitions_of(definitions, definitions_n, "io.k8s.api.core.v1.ContainerPort", &port, &port_n),
			 json_object_size(json_object_get(doc, "definitions")));
	assert_non_null(port);
	const uint8_t *type = member(port, port_n, 22, &type_n), *text = member(type, type_n, 1, &text_n);
	assert_memory_equal(text, "object", 6);
	const uint8_t *properties = member(port, port_n, 25, &properties_n), *protocol = NULL;
	size_t protocol_n = 0, any_n = 0, yaml_n = 0;
	assert_int_equal(definitions_of(properties, properties_n, "protocol", &protocol, &protocol_n), 5);
	const uint8_t *any = member(protocol, protocol_n, 20, &any_n), *yaml = member(any, any_n, 2, &yaml_n);
	assert_int_equal(yaml_n, 5);
	assert_memory_equal(yaml, "\"TCP\"", 5);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_v2),
		cmocka_unit_test(test_v3),
		cmocka_unit_test(test_operations),
		cmocka_unit_test(test_protobuf),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
