/* A kind as a CustomResourceDefinition. Setters of jansson own what they are given, also on failure: nothing leaks without memory. */
#include <string.h>

#include "api/kind.h"
#include "json/json.h"

static json_t *string_array(const char *const *list)
{
	json_t *a = json_array();
	for (; list != NULL && *list != NULL; list++)
		(void)json_array_append_new(a, json_string(*list));
	return a;
}

static json_t *crd_names(const struct kind *k)
{
	json_t *names = json_pack("{s:s,s:s,s:s,s:s}", "kind", k->resource.kind, "listKind", k->list_kind, "plural",
				  k->resource.plural, "singular", k->singular);
	if (k->short_names != NULL)
		(void)json_object_set_new(names, "shortNames", string_array(k->short_names));
	if (k->categories != NULL)
		(void)json_object_set_new(names, "categories", string_array(k->categories));
	return names;
}

static json_t *crd_columns(const struct column *c)
{
	json_t *list = json_array();
	for (; c->name != NULL; c++) {
		json_t *column = json_pack("{s:s,s:s,s:s}", "name", c->name, "type", c->type, "jsonPath", c->json_path);
		if (c->doc != NULL)
			(void)json_object_set_new(column, "description", json_string(c->doc));
		if (c->format != NULL && c->format[0] != '\0')
			(void)json_object_set_new(column, "format", json_string(c->format));
		if (c->priority != 0)
			(void)json_object_set_new(column, "priority", json_integer(c->priority));
		(void)json_array_append_new(list, column);
	}
	return list;
}

static json_t *crd_subresources(const struct kind *k)
{
	json_t *sub = json_object();
	if (k->subresources & SUB_STATUS)
		(void)json_object_set_new(sub, "status", json_object());
	if (k->subresources & SUB_SCALE) {
		json_t *scale = json_pack("{s:s,s:s}", "specReplicasPath", k->scale_spec_path, "statusReplicasPath",
					  k->scale_status_path);
		if (k->scale_selector_path != NULL)
			(void)json_object_set_new(scale, "labelSelectorPath", json_string(k->scale_selector_path));
		(void)json_object_set_new(sub, "scale", scale);
	}
	return sub;
}

json_t *kind_to_crd(const struct kind *k)
{
	json_t *version = json_pack("{s:s,s:b,s:b,s:{s:o}}", "name", k->resource.version, "served", 1, "storage", 1,
				    "schema", "openAPIV3Schema", schema_to_openapi(k->schema));
	if (k->columns != NULL)
		(void)json_object_set_new(version, "additionalPrinterColumns", crd_columns(k->columns));
	if (k->subresources & (SUB_STATUS | SUB_SCALE))
		(void)json_object_set_new(version, "subresources", crd_subresources(k));
	json_t *crd = json_pack("{s:s,s:s,s:{},s:{s:s,s:s,s:o,s:[o]}}", "apiVersion", "apiextensions.k8s.io/v1", "kind",
				"CustomResourceDefinition", "metadata", "spec", "group", k->resource.group, "scope",
				k->resource.namespaced ? "Namespaced" : "Cluster", "names", crd_names(k), "versions",
				version);
	(void)json_object_set_new(json_object_get(crd, "metadata"), "name",
				  json_sprintf("%s.%s", k->resource.plural, k->resource.group));
	return crd;
}
