/* Definitions and the documents around them. jansson's setters own what they are given: without memory parts are missing, nothing leaks. */
#include "api/openapi.h"

#include <assert.h>
#include <stdio.h>
#include <string.h>

#include "api/openapi_private.h"
#include "json/json.h"

#define NAME_MAX_ 256

static json_t *type_node(const struct openapi *o, const struct schema *s);

const char *openapi_type_name(const char *name, char *out, size_t size)
{
	static const struct {
		const char *group, *where;
	} places[] = {
		{"meta.", "io.k8s.apimachinery.pkg.apis."},
		{"apiextensions.", "io.k8s.apiextensions-apiserver.pkg.apis."},
	};
	const char *where = "io.k8s.api.";
	for (size_t i = 0; i < sizeof places / sizeof places[0]; i++)
		if (strncmp(name, places[i].group, strlen(places[i].group)) == 0)
			where = places[i].where;
	(void)snprintf(out, size, "%s%s", where, name); /* names of ours: they fit */
	return out;
}

/* "data.fluid.io" is "io.fluid.data". */
static void reverse_group(const char *group, char *out, size_t size)
{
	size_t n = 0;
	for (const char *end = group + strlen(group); end > group && n + 1 < size;) {
		const char *start = end;
		while (start > group && start[-1] != '.')
			start--;
		const int k = snprintf(out + n, size - n, "%.*s.", (int)(end - start), start);
		n = (size_t)k < size - n ? n + (size_t)k : size - 1;
		end = start > group ? start - 1 : group;
	}
	out[n] = '\0';
}

const char *openapi_kind_name(const struct kind *k, char *out, size_t size)
{
	if (schema_is_native(k->schema))
		return openapi_type_name(k->schema->name, out, size);
	char group[NAME_MAX_];
	reverse_group(k->resource.group, group, sizeof group);
	(void)snprintf(out, size, "%s%s.%s", group, k->resource.version, k->resource.kind); /* cut when absurdly long */
	return out;
}

json_t *openapi_ref(const struct openapi *o, const char *name)
{
	json_t *ref = json_object();
	(void)json_object_set_new(ref, "$ref",
				  json_sprintf("%s%s", o->v3 ? "#/components/schemas/" : "#/definitions/", name));
	return ref;
}

/* Types with a name but no table. */
static const char *special_name(const struct schema *s)
{
	switch (s->type) {
	case SCHEMA_QUANTITY:
		return "io.k8s.apimachinery.pkg.api.resource.Quantity";
	case SCHEMA_TIME:
		return "io.k8s.apimachinery.pkg.apis.meta.v1.Time";
	case SCHEMA_MICROTIME:
		return "io.k8s.apimachinery.pkg.apis.meta.v1.MicroTime";
	case SCHEMA_INT_OR_STRING:
		return "io.k8s.apimachinery.pkg.util.intstr.IntOrString";
	default:
		return NULL;
	}
}

static json_t *special_node(const struct openapi *o, const struct schema *s)
{
	switch (s->type) {
	case SCHEMA_QUANTITY:
		if (o->v3)
			return json_pack("{s:s,s:[{s:s},{s:s}]}", "description", "An amount, like 500m or 10Gi.",
					 "oneOf", "type", "string", "type", "number");
		return json_pack("{s:s,s:s}", "description", "An amount, like 500m or 10Gi.", "type", "string");
	case SCHEMA_INT_OR_STRING:
		if (o->v3)
			return json_pack("{s:s,s:s,s:[{s:s},{s:s}]}", "description", "A number or a text.", "format",
					 "int-or-string", "oneOf", "type", "integer", "type", "string");
		return json_pack("{s:s,s:s,s:s}", "description", "A number or a text.", "type", "string", "format",
				 "int-or-string");
	default:
		return json_pack("{s:s,s:s,s:s}", "description", "A time, as RFC 3339 has it.", "type", "string",
				 "format", "date-time");
	}
}

static json_t *special_ref(const struct openapi *o, const struct schema *s)
{
	const char *name = special_name(s);
	if (json_object_get(o->definitions, name) == NULL)
		(void)json_object_set_new(o->definitions, name, special_node(o, s));
	return openapi_ref(o, name);
}

static json_t *string_array(const char *const *list)
{
	json_t *a = json_array();
	for (; *list != NULL; list++)
		(void)json_array_append_new(a, json_string(*list));
	return a;
}

static void put_merging(json_t *n, const struct field *f)
{
	static const char *const list_types[] = {[LIST_ATOMIC] = "atomic", [LIST_SET] = "set", [LIST_MAP] = "map"};
	const bool merge = f->patch_merge_key != NULL;
	if (f->schema->type == SCHEMA_LIST)
		(void)json_object_set_new(n, "x-kubernetes-list-type", json_string(list_types[f->list]));
	if (f->list == LIST_MAP)
		(void)json_object_set_new(n, "x-kubernetes-list-map-keys", string_array(f->list_keys));
	if (merge && f->patch_merge_key[0] != '\0')
		(void)json_object_set_new(n, "x-kubernetes-patch-merge-key", json_string(f->patch_merge_key));
	if (merge || f->patch_retain_keys)
		(void)json_object_set_new(n, "x-kubernetes-patch-strategy",
					  json_string(!merge                 ? "retainKeys"
						      : f->patch_retain_keys ? "merge,retainKeys"
									     : "merge"));
}

/* In OpenAPI 3.0 nothing may stand beside a $ref. */
static json_t *with_siblings(const struct openapi *o, json_t *n)
{
	if (!o->v3 || json_object_get(n, "$ref") == NULL)
		return n;
	json_t *all = json_pack("{s:[o]}", "allOf", n);
	return all == NULL ? n : all;
}

static json_t *member_node(const struct openapi *o, const struct field *f)
{
	json_t *n = type_node(o, f->schema);
	if (f->doc != NULL || f->enums != NULL)
		n = with_siblings(o, n);
	if (f->doc != NULL)
		(void)json_object_set_new(n, "description", json_string(f->doc));
	if (f->enums != NULL)
		(void)json_object_set_new(n, "enum", string_array(f->enums));
	put_merging(n, f);
	return n;
}

static json_t *object_node(const struct openapi *o, const struct schema *s)
{
	json_t *n = json_pack("{s:s}", "type", "object"), *properties = json_object(), *required = json_array();
	if (s->doc != NULL)
		(void)json_object_set_new(n, "description", json_string(s->doc));
	for (const struct field *f = s->fields; f != NULL && f->name != NULL; f++) {
		(void)json_object_set_new(properties, f->name, member_node(o, f));
		if (f->required)
			(void)json_array_append_new(required, json_string(f->name));
	}
	if (json_object_size(properties) > 0)
		(void)json_object_set(n, "properties", properties);
	if (json_array_size(required) > 0)
		(void)json_object_set(n, "required", required);
	json_decref(properties);
	json_decref(required);
	if (s->map_atomic)
		(void)json_object_set_new(n, "x-kubernetes-map-type", json_string("atomic"));
	if (s->preserve_unknown)
		(void)json_object_set_new(n, "x-kubernetes-preserve-unknown-fields", json_true());
	return n;
}

/* A named type is defined once and referred to; a placeholder stands for it while its members are built, so types may hold themselves. */
static json_t *named_ref(const struct openapi *o, const struct schema *s)
{
	char name[NAME_MAX_];
	(void)openapi_type_name(s->name, name, sizeof name);
	if (json_object_get(o->definitions, name) == NULL) {
		(void)json_object_set_new(o->definitions, name, json_object());
		json_t *n = s->type == SCHEMA_OBJECT ? object_node(o, s) : json_object();
		(void)json_object_set_new(o->definitions, name, n);
	}
	return openapi_ref(o, name);
}

static json_t *type_node(const struct openapi *o, const struct schema *s)
{
	json_t *n;
	if (special_name(s) != NULL)
		return special_ref(o, s);
	if (schema_is_native(s))
		return named_ref(o, s);
	switch (s->type) {
	case SCHEMA_STRING:
		return json_pack("{s:s}", "type", "string");
	case SCHEMA_BOOL:
		return json_pack("{s:s}", "type", "boolean");
	case SCHEMA_INT32:
		return json_pack("{s:s,s:s}", "type", "integer", "format", "int32");
	case SCHEMA_INT64:
		return json_pack("{s:s,s:s}", "type", "integer", "format", "int64");
	case SCHEMA_DOUBLE:
		return json_pack("{s:s,s:s}", "type", "number", "format", "double");
	case SCHEMA_DURATION:
		return json_pack("{s:s}", "type", "string");
	case SCHEMA_BYTES:
		return json_pack("{s:s,s:s}", "type", "string", "format", "byte");
	case SCHEMA_LIST:
		n = json_pack("{s:s}", "type", "array");
		(void)json_object_set_new(n, "items", type_node(o, s->items));
		return n;
	case SCHEMA_MAP:
		n = json_pack("{s:s}", "type", "object");
		(void)json_object_set_new(n, "additionalProperties", type_node(o, s->items));
		if (s->map_atomic)
			(void)json_object_set_new(n, "x-kubernetes-map-type", json_string("atomic"));
		return n;
	case SCHEMA_OBJECT:
		return object_node(o, s);
	default:
		/* Any JSON. A client of v2 checks against a type that is named, so there it has none. */
		return o->v3 ? json_pack("{s:s}", "type", "object") : json_object();
	}
}

/* What Swagger 2 has no word for is left out, at every depth; the server still checks it. */
static void strip_v2(json_t *n, unsigned depth)
{
	static const char *const foreign[] = {"nullable", "anyOf", "oneOf", "allOf", "not"};
	const char *key;
	json_t *sub;
	if (!json_is_object(n) || depth > 64)
		return;
	for (size_t i = 0; i < sizeof foreign / sizeof foreign[0]; i++)
		(void)json_object_del(n, foreign[i]); /* absent is fine */
	if (json_is_true(json_object_get(n, "x-kubernetes-int-or-string")) ||
	    json_is_true(json_object_get(n, "x-kubernetes-preserve-unknown-fields"))) {
		(void)json_object_del(n, "type"); /* any form is accepted */
		(void)json_object_del(n, "items");
		(void)json_object_del(n, "pattern");
	}
	json_object_foreach (json_object_get(n, "properties"), key, sub)
		strip_v2(sub, depth + 1);
	strip_v2(json_object_get(n, "items"), depth + 1);
	strip_v2(json_object_get(n, "additionalProperties"), depth + 1);
}

/* A kind of a CRD (or of ours): its schema as it stands there, with the metadata that all objects share. */
static json_t *custom_node(const struct openapi *o, const struct schema *s)
{
	json_t *n = schema_to_openapi(s);
	if (!o->v3)
		strip_v2(n, 0);
	json_t *properties = json_object_get(n, "properties");
	if (properties == NULL) {
		properties = json_object();
		(void)json_object_set_new(n, "properties", properties);
	}
	static const char *const type_meta[][2] = {{"apiVersion", "Group and version of the API, as group/version."},
						   {"kind", "Kind of the object."}};
	for (size_t i = 0; i < 2; i++)
		(void)json_object_set_new(properties, type_meta[i][0],
					  json_pack("{s:s,s:s}", "type", "string", "description", type_meta[i][1]));
	json_t *metadata = with_siblings(o, named_ref(o, &object_meta_schema));
	(void)json_object_set_new(metadata, "description", json_string("Names, labels, owners and more."));
	(void)json_object_set_new(properties, "metadata", metadata);
	return n;
}

static void put_kind(json_t *definition, const char *group, const char *version, const char *kind)
{
	(void)json_object_set_new(definition, "x-kubernetes-group-version-kind",
				  json_pack("[{s:s,s:s,s:s}]", "group", group, "version", version, "kind", kind));
}

const char *openapi_list_name(const struct kind *k, char *out, size_t size)
{
	const size_t n = strlen(openapi_kind_name(k, out, size));
	(void)snprintf(out + n, size - n, "List"); /* cut when absurdly long */
	return out;
}

const char *openapi_add_document(const struct openapi *o, const struct kind_subresource *s, char *out, size_t size)
{
	char name[NAME_MAX_], group[NAME_MAX_];
	(void)snprintf(group, sizeof group, "%s", s->group[0] != '\0' ? s->group : "core");
	group[strcspn(group, ".")] = '\0';
	(void)snprintf(name, sizeof name, "%.63s.%.31s.%.63s", group, s->version, s->kind);
	const struct schema *schema = kubernetes_schema(name);
	assert(schema != NULL); /* the table of subresources names types that there are */
	json_decref(named_ref(o, schema));
	(void)openapi_type_name(name, out, size);
	put_kind(json_object_get(o->definitions, out), s->group, s->version, s->kind);
	return out;
}

/* A kind that cannot be listed has no list. */
static void add_list(const struct openapi *o, const struct kind *k)
{
	char name[NAME_MAX_];
	if ((k->verbs & VERB_LIST) == 0)
		return;
	json_t *metadata = with_siblings(o, named_ref(o, kubernetes_schema("meta.v1.ListMeta")));
	(void)json_object_set_new(metadata, "description", json_string("Version and continuation of the list."));
	json_t *items = openapi_ref(o, openapi_kind_name(k, name, sizeof name));
	json_t *list = json_pack("{s:s,s:o,s:[s],s:{s:{s:s,s:s},s:{s:s,s:s},s:o,s:{s:s,s:s,s:o}}}", "type", "object",
				 "description", json_sprintf("A list of %s.", k->resource.kind), "required", "items",
				 "properties", "apiVersion", "type", "string", "description",
				 "Group and version of the API, as group/version.", "kind", "type", "string",
				 "description", "Kind of the object.", "metadata", metadata, "items", "type", "array",
				 "description", "The objects.", "items", items);
	put_kind(list, k->resource.group, k->resource.version, k->list_kind);
	(void)json_object_set_new(o->definitions, openapi_list_name(k, name, sizeof name), list);
}

void openapi_add_kind(const struct openapi *o, const struct kind *k)
{
	char name[NAME_MAX_];
	(void)openapi_kind_name(k, name, sizeof name);
	if (schema_is_native(k->schema))
		json_decref(named_ref(o, k->schema));
	else
		(void)json_object_set_new(o->definitions, name, custom_node(o, k->schema));
	json_t *n = json_object_get(o->definitions, name);
	if (k->doc != NULL && json_object_get(n, "description") == NULL)
		(void)json_object_set_new(n, "description", json_string(k->doc));
	put_kind(n, k->resource.group, k->resource.version, k->resource.kind);
	add_list(o, k);
}

/* Types that requests of every kind use. */
static void add_common(const struct openapi *o)
{
	static const char *const names[] = {"meta.v1.DeleteOptions", "meta.v1.Status", "meta.v1.ListMeta"};
	for (size_t i = 0; i < sizeof names / sizeof names[0]; i++)
		json_decref(named_ref(o, kubernetes_schema(names[i])));
}

json_t *openapi_v2(const struct kind *const *kinds, size_t n)
{
	json_t *doc = json_pack("{s:s,s:{s:s,s:s},s:{},s:{}}", "swagger", "2.0", "info", "title", "Kubernetes",
				"version", SLUICE_VERSION, "paths", "definitions");
	const struct openapi o = {.definitions = json_object_get(doc, "definitions")};
	add_common(&o);
	for (size_t i = 0; i < n; i++) {
		openapi_add_kind(&o, kinds[i]);
		openapi_add_paths(&o, kinds[i], json_object_get(doc, "paths"));
	}
	return doc;
}

json_t *openapi_v3(const struct kind *const *kinds, size_t n, const char *group, const char *version)
{
	json_t *doc = json_pack("{s:s,s:{s:s,s:s},s:{},s:{s:{}}}", "openapi", "3.0.0", "info", "title", "Kubernetes",
				"version", SLUICE_VERSION, "paths", "components", "schemas");
	const struct openapi o = {.v3 = true,
				  .definitions = json_object_get(json_object_get(doc, "components"), "schemas")};
	add_common(&o);
	for (size_t i = 0; i < n; i++) {
		if (strcmp(kinds[i]->resource.group, group) != 0 || strcmp(kinds[i]->resource.version, version) != 0)
			continue;
		openapi_add_kind(&o, kinds[i]);
		openapi_add_paths(&o, kinds[i], json_object_get(doc, "paths"));
	}
	return doc;
}
