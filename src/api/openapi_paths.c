/* Paths: enough for kubectl to find a kind by its resource and to see which parameters a PATCH takes. */
#include <stdio.h>
#include <string.h>

#include "api/openapi_private.h"

struct parameter {
	const char *name, *in, *doc;
};

static const struct parameter name_parameter = {"name", "path", "Name of the object."};
static const struct parameter namespace_parameter = {"namespace", "path", "Namespace of the object."};
static const struct parameter write_parameters[] = {
	{"dryRun", "query", "All: nothing is stored."},
	{"fieldManager", "query", "Who makes the change."},
	{"fieldValidation", "query", "What to do about unknown and duplicate fields: Ignore, Warn or Strict."},
};
static const struct parameter force_parameter = {"force", "query",
						 "Take over fields that belong to another manager; only for apply."};

static json_t *parameter_node(const struct openapi *o, const struct parameter *p)
{
	const char *type = strcmp(p->name, "force") == 0 ? "boolean" : "string";
	json_t *n = json_pack("{s:s,s:s,s:s}", "name", p->name, "in", p->in, "description", p->doc);
	if (o->v3)
		(void)json_object_set_new(n, "schema", json_pack("{s:s}", "type", type));
	else
		(void)json_object_set_new(n, "type", json_string(type));
	if (strcmp(p->in, "path") == 0)
		(void)json_object_set_new(n, "required", json_true());
	return n;
}

static json_t *response(const struct openapi *o, const char *definition)
{
	json_t *ok = json_pack("{s:s}", "description", "OK");
	json_t *schema = definition == NULL ? NULL : openapi_ref(o, definition);
	if (schema != NULL && o->v3)
		(void)json_object_set_new(ok, "content", json_pack("{s:{s:o}}", "application/json", "schema", schema));
	else if (schema != NULL)
		(void)json_object_set_new(ok, "schema", schema);
	return json_pack("{s:o}", "200", ok);
}

static json_t *body(const struct openapi *o, const char *definition)
{
	json_t *schema = openapi_ref(o, definition);
	if (o->v3)
		return json_pack("{s:b,s:{s:{s:o}}}", "required", 1, "content", "application/json", "schema", schema);
	return json_pack("{s:s,s:s,s:b,s:o}", "name", "body", "in", "body", "required", 1, "schema", schema);
}

static const char *const patch_types[] = {"application/apply-patch+yaml", "application/json-patch+json",
					  "application/merge-patch+json", "application/strategic-merge-patch+json"};

/* kubectl looks here for the patch it may send: custom kinds have no strategic merge. */
static size_t patch_types_of(const struct kind *k)
{
	const size_t n = sizeof patch_types / sizeof patch_types[0];
	return schema_is_native(k->schema) ? n : n - 1;
}

/* A patch has many forms: its body is any object. */
static json_t *patch_body(const struct openapi *o, const struct kind *k)
{
	if (!o->v3)
		return json_pack("{s:s,s:s,s:b,s:{s:s}}", "name", "body", "in", "body", "required", 1, "schema", "type",
				 "object");
	json_t *content = json_object();
	for (size_t i = 0; i < patch_types_of(k); i++)
		(void)json_object_set_new(content, patch_types[i], json_pack("{s:{s:s}}", "schema", "type", "object"));
	return json_pack("{s:b,s:o}", "required", 1, "content", content);
}

static json_t *patch_consumes(const struct kind *k)
{
	json_t *list = json_array();
	for (size_t i = 0; i < patch_types_of(k); i++)
		(void)json_array_append_new(list, json_string(patch_types[i]));
	return list;
}

static void put_body(const struct openapi *o, json_t *operation, json_t *node)
{
	if (o->v3)
		(void)json_object_set_new(operation, "requestBody", node);
	else
		(void)json_array_append_new(json_object_get(operation, "parameters"), node);
}

static json_t *operation(const struct openapi *o, const struct kind *k, const char *action, bool writes,
			 const char *definition)
{
	char id[256];
	(void)snprintf(id, sizeof id, "%s%s%s%s", action, k->resource.namespaced ? "Namespaced" : "", k->resource.kind,
		       k->resource.version);
	json_t *op = json_pack("{s:s,s:s,s:[],s:o,s:{s:s,s:s,s:s}}", "operationId", id, "x-kubernetes-action", action,
			       "parameters", "responses", response(o, definition), "x-kubernetes-group-version-kind",
			       "group", k->resource.group, "version", k->resource.version, "kind", k->resource.kind);
	json_t *parameters = json_object_get(op, "parameters");
	for (size_t i = 0; writes && i < sizeof write_parameters / sizeof write_parameters[0]; i++)
		(void)json_array_append_new(parameters, parameter_node(o, &write_parameters[i]));
	if (strcmp(action, "patch") == 0)
		(void)json_array_append_new(parameters, parameter_node(o, &force_parameter));
	return op;
}

static json_t *path_item(const struct openapi *o, const struct kind *k, bool named)
{
	json_t *item = json_pack("{s:[]}", "parameters"), *parameters = json_object_get(item, "parameters");
	if (named)
		(void)json_array_append_new(parameters, parameter_node(o, &name_parameter));
	if (k->resource.namespaced)
		(void)json_array_append_new(parameters, parameter_node(o, &namespace_parameter));
	return item;
}

static void add_writing(const struct openapi *o, const struct kind *k, json_t *item, const char *method,
			const char *action, const char *definition)
{
	json_t *op = operation(o, k, action, true, definition);
	const bool patch = strcmp(action, "patch") == 0;
	put_body(o, op, patch ? patch_body(o, k) : body(o, definition));
	if (patch && !o->v3)
		(void)json_object_set_new(op, "consumes", patch_consumes(k));
	(void)json_object_set_new(item, method, op);
}

void openapi_add_paths(const struct openapi *o, const struct kind *k, json_t *paths)
{
	char base[512], one[600], name[256];
	(void)snprintf(base, sizeof base, "%s%s/%s/%s%s", k->resource.group[0] == '\0' ? "/api" : "/apis/",
		       k->resource.group, k->resource.version, k->resource.namespaced ? "namespaces/{namespace}/" : "",
		       k->resource.plural);
	(void)snprintf(one, sizeof one, "%s/{name}", base);
	(void)openapi_kind_name(k, name, sizeof name);

	json_t *all = path_item(o, k, false);
	if (k->verbs & VERB_LIST)
		(void)json_object_set_new(all, "get", operation(o, k, "list", false, NULL));
	if (k->verbs & VERB_CREATE)
		add_writing(o, k, all, "post", "post", name);
	(void)json_object_set_new(paths, base, all);
	if ((k->verbs & VERB_GET) == 0)
		return;

	json_t *item = path_item(o, k, true);
	(void)json_object_set_new(item, "get", operation(o, k, "get", false, name));
	if (k->verbs & VERB_UPDATE)
		add_writing(o, k, item, "put", "put", name);
	if (k->verbs & VERB_PATCH)
		add_writing(o, k, item, "patch", "patch", name);
	if (k->verbs & VERB_DELETE)
		(void)json_object_set_new(item, "delete", operation(o, k, "delete", false, NULL));
	(void)json_object_set_new(paths, one, item);
}
