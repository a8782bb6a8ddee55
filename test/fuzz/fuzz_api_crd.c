/* The schema of a definition (first line), and an object that it is to judge (second line): created, replaced, applied, shown as a table. */
#include <jansson.h>
#include <stdlib.h>
#include <string.h>

#include "api_harness.h"
#include "base/str.h"
#include "json/json.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

/** A definition with @schema, in which the input may also have put other members of a version. */
static char *definition(json_t *schema, size_t *ret_n)
{
	json_t *version = json_pack("{s:s, s:b, s:b, s:{s:O}}", "name", "v1", "served", 1, "storage", 1, "schema",
				    "openAPIV3Schema", schema);
	json_t *given = json_object_get(schema, "version");
	if (json_is_object(given))
		(void)json_object_update(version, given);
	JSON_AUTO crd = json_pack("{s:s, s:s, s:{s:s}, s:{s:s, s:s, s:{s:s, s:s}, s:[o]}}", "apiVersion",
				  "apiextensions.k8s.io/v1", "kind", "CustomResourceDefinition", "metadata", "name",
				  "fuzzes.example.com", "spec", "group", "example.com", "scope", "Namespaced", "names",
				  "plural", "fuzzes", "kind", "Fuzz", "versions", version);
	return crd != NULL ? json_to_text(crd, ret_n) : NULL;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	static const char path[] = "/apis/example.com/v1/namespaces/default/fuzzes";
	static const char table[] = "application/json;as=Table;v=v1;g=meta.k8s.io";
	struct str rest = {(const char *)data, n}, line = {0};
	JSON_AUTO schema = NULL;
	size_t crd_n = 0;
	if (!str_split_next(&rest, '\n', &line) || json_parse(line.p, line.n, &schema, NULL) < 0)
		return 0;
	(void)harness_server();
	CLEANUP(free_p) char *crd = definition(schema, &crd_n);
	if (crd != NULL && harness_request("POST", "/apis/apiextensions.k8s.io/v1/customresourcedefinitions", NULL,
					   "application/json", crd, crd_n) == 201) {
		(void)harness_request("POST", path, NULL, "application/json", rest.p, rest.n);
		(void)harness_request("PUT", "/apis/example.com/v1/namespaces/default/fuzzes/n?fieldValidation=Strict",
				      NULL, "application/json", rest.p, rest.n);
		(void)harness_request("PATCH", "/apis/example.com/v1/namespaces/default/fuzzes/n?fieldManager=f", NULL,
				      "application/apply-patch+yaml", rest.p, rest.n);
		(void)harness_request("GET", path, table, NULL, NULL, 0);
		(void)harness_request("GET", "/openapi/v3/apis/example.com/v1", NULL, NULL, NULL, 0);
	}
	harness_restore();
	return 0;
}
