/* The openAPIV3Schema of a CRD as a table: structural schemas only (KEP-1693's rules), no CEL. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "api/kind.h"
#include "api/schema_private.h"
#include "base/arena.h"
#include "base/error.h"
#include "json/json.h"

#define DEPTH_MAX 64

struct build {
	struct arena *arena;
	struct error *err;
};

static int build_node(const struct build *b, const json_t *json, const struct at *at, unsigned depth,
		      struct schema *ret);

static int bad(const struct build *b, const struct at *at, const char *what)
{
	char path[256];
	return error_set(b->err, -EINVAL, "%s: %s", at_path(at, "openAPIV3Schema", path, sizeof path), what);
}

static int no_memory(const struct build *b)
{
	return error_set(b->err, -ENOMEM, "openAPIV3Schema: too large, or out of memory");
}

static int64_t count(const json_t *json, const char *key)
{
	return json_integer_value(json_object_get(json, key));
}

static const char *text(const json_t *json, const char *key)
{
	return json_string_value(json_object_get(json, key));
}

static bool flag(const json_t *json, const char *key)
{
	return json_is_true(json_object_get(json, key));
}

/* A NULL-terminated list of the strings in @list; NULL when one is no string (*@ret_other is set then) or on no memory. */
static const char *const *strings(struct arena *arena, const json_t *list, bool *ret_other)
{
	const size_t n = json_array_size(list);
	const char **v = arena_alloc_array(arena, n + 1, sizeof *v);
	for (size_t i = 0; v != NULL && i < n; i++) {
		v[i] = json_string_value(json_array_get(list, i));
		if (v[i] == NULL) {
			*ret_other = true;
			return NULL;
		}
	}
	return v;
}

int rules_from_openapi(const json_t *json, struct arena *arena, struct field *ret)
{
	const json_t *min = json_object_get(json, "minimum"), *max = json_object_get(json, "maximum");
	ret->has_min = json_is_number(min);
	ret->min = json_number_value(min);
	ret->has_max = json_is_number(max);
	ret->max = json_number_value(max);
	ret->min_length = count(json, "minLength");
	ret->max_length = count(json, "maxLength");
	ret->min_items = count(json, "minItems") + count(json, "minProperties");
	ret->max_items = count(json, "maxItems") + count(json, "maxProperties");
	ret->pattern = text(json, "pattern");
	ret->format = text(json, "format");
	ret->nullable = flag(json, "nullable");
	const char *list = text(json, "x-kubernetes-list-type");
	if (list != NULL)
		ret->list = strcmp(list, "set") == 0 ? LIST_SET : strcmp(list, "map") == 0 ? LIST_MAP : LIST_ATOMIC;

	bool other = false;
	const json_t *enums = json_object_get(json, "enum"),
		     *keys = json_object_get(json, "x-kubernetes-list-map-keys");
	if (enums != NULL && (ret->enums = strings(arena, enums, &other)) == NULL && !other)
		return -ENOMEM;
	if (keys != NULL && (ret->list_keys = strings(arena, keys, &other)) == NULL && !other)
		return -ENOMEM;
	return 0;
}

/* What a structural schema may not have, wherever it stands. */
static int check_forbidden(const struct build *b, const json_t *json, const struct at *at)
{
	static const struct {
		const char *key, *why;
	} forbidden[] = {
		{"x-kubernetes-validations",
		 "x-kubernetes-validations: Forbidden: CEL rules are not served by this server; use pattern, "
		 "enum, bounds or allOf/anyOf/oneOf/not instead"},
		{"$ref", "$ref: Forbidden: $ref is not supported"},
		{"definitions", "definitions: Forbidden: definitions is not supported"},
		{"dependencies", "dependencies: Forbidden: dependencies is not supported"},
		{"patternProperties", "patternProperties: Forbidden: patternProperties is not supported"},
		{"additionalItems", "additionalItems: Forbidden: additionalItems is not supported"},
		{"id", "id: Forbidden: id is not supported"},
	};
	for (size_t i = 0; i < sizeof forbidden / sizeof forbidden[0]; i++)
		if (json_object_get(json, forbidden[i].key) != NULL)
			return bad(b, at, forbidden[i].why);
	if (flag(json, "uniqueItems"))
		return bad(b, at,
			   "uniqueItems: Forbidden: uniqueItems cannot be set to true since the runtime complexity "
			   "becomes quadratic");
	if (json_is_array(json_object_get(json, "items")))
		return bad(b, at, "items: Forbidden: items must be a schema object and not an array");
	return 0;
}

static int check_pattern(const struct build *b, const json_t *json, const struct at *at)
{
	const char *pattern = text(json, "pattern");
	struct error why = {0};
	if (pattern == NULL || pattern_check(pattern, &why) == 0)
		return 0;
	char path[256];
	return error_set(b->err, -EINVAL,
			 "%s.pattern: Invalid value: \"%.100s\": must be a valid regular expression, but isn't: %s",
			 at_path(at, "openAPIV3Schema", path, sizeof path), pattern, why.msg);
}

/* Inside allOf, anyOf, oneOf and not only value validations may stand. */
static int check_junctor(const struct build *b, const json_t *json, const struct at *at, unsigned depth)
{
	static const char *const must_be_empty[] = {"default",
						    "additionalProperties",
						    "nullable",
						    "title",
						    "description",
						    "x-kubernetes-preserve-unknown-fields",
						    "x-kubernetes-embedded-resource",
						    "x-kubernetes-int-or-string",
						    "x-kubernetes-list-type"};
	if (depth > DEPTH_MAX)
		return bad(b, at, "Invalid value: nested too deeply");
	if (!json_is_object(json))
		return bad(b, at, "Invalid value: must be a schema object");
	for (size_t i = 0; i < sizeof must_be_empty / sizeof must_be_empty[0]; i++)
		if (json_object_get(json, must_be_empty[i]) != NULL) {
			char path[256];
			return error_set(b->err, -EINVAL, "%s.%s: Forbidden: must be empty to be structural",
					 at_path(at, "openAPIV3Schema", path, sizeof path), must_be_empty[i]);
		}
	int rc = check_forbidden(b, json, at);
	if (rc == 0)
		rc = check_pattern(b, json, at);
	const char *key;
	json_t *sub;
	json_object_foreach (json_object_get(json, "properties"), key, sub) {
		if (rc == 0)
			rc = check_junctor(b, sub, &(struct at){.up = at, .name = key}, depth + 1);
	}
	if (rc == 0 && json_object_get(json, "items") != NULL)
		rc = check_junctor(b, json_object_get(json, "items"), &(struct at){.up = at, .name = "items"},
				   depth + 1);
	return rc;
}

static int check_junctors(const struct build *b, const json_t *json, const struct at *at, unsigned depth)
{
	static const char *const lists[] = {"allOf", "anyOf", "oneOf"};
	/* The form of an int-or-string is the one place where types may stand inside. */
	const bool int_or_string = flag(json, "x-kubernetes-int-or-string");
	for (size_t k = 0; k < sizeof lists / sizeof lists[0]; k++) {
		size_t i;
		json_t *sub;
		const struct at list = {.up = at, .name = lists[k]};
		json_array_foreach (json_object_get(json, lists[k]), i, sub) {
			const struct at here = {.up = &list, .index = i};
			if (!int_or_string && json_object_get(sub, "type") != NULL)
				return bad(b, &(struct at){.up = &here, .name = "type"},
					   "Forbidden: must be empty to be structural");
			const int rc = check_junctor(b, sub, &here, depth + 1);
			if (rc < 0)
				return rc;
		}
	}
	const json_t *none = json_object_get(json, "not");
	return none == NULL ? 0 : check_junctor(b, none, &(struct at){.up = at, .name = "not"}, depth + 1);
}

static bool is_required(const json_t *json, const char *name)
{
	size_t i;
	json_t *r;
	json_array_foreach (json_object_get(json, "required"), i, r)
		if (json_is_string(r) && strcmp(json_string_value(r), name) == 0)
			return true;
	return false;
}

/* A default has to be valid itself. */
static int build_default(const struct build *b, const json_t *json, const struct at *at, struct field *f)
{
	const json_t *value = json_object_get(json, "default");
	if (value == NULL || (json_is_null(value) && !f->nullable))
		return 0;
	char *dump = json_dumps(value, JSON_ENCODE_ANY | JSON_COMPACT);
	f->dflt = arena_strdup(b->arena, dump);
	free(dump);
	struct violations *vs = calloc(1, sizeof *vs);
	if (f->dflt == NULL || vs == NULL) {
		free(vs);
		return no_memory(b);
	}
	vs->arena = b->arena;
	if (!json_is_null(value)) {
		char path[256];
		schema_validate(f->schema, value, "default", vs);
		check_rules(&(struct check){.vs = vs, .base = "default"}, f, value, NULL);
		if (vs->n > 0)
			(void)error_set(b->err, -EINVAL, "%s.%s: %s", at_path(at, "openAPIV3Schema", path, sizeof path),
					vs->v[0].path, vs->v[0].message);
	}
	const int rc = vs->n > 0 ? -EINVAL : 0;
	free(vs);
	return rc;
}

static int build_field(const struct build *b, const char *name, const json_t *json, const struct at *at, unsigned depth,
		       struct field *ret)
{
	struct schema *s = arena_alloc(b->arena, sizeof *s);
	if (s == NULL)
		return no_memory(b);
	int rc = build_node(b, json, at, depth, s);
	if (rc < 0)
		return rc;
	*ret = (struct field){.name = name, .schema = s, .offset = FIELD_NO_OFFSET, .doc = text(json, "description")};
	if (rules_from_openapi(json, b->arena, ret) < 0)
		return no_memory(b);
	return build_default(b, json, at, ret);
}

static bool is_type_meta(const char *key)
{
	return strcmp(key, "apiVersion") == 0 || strcmp(key, "kind") == 0 || strcmp(key, "metadata") == 0;
}

static int build_properties(const struct build *b, const json_t *json, const struct at *at, unsigned depth,
			    struct schema *ret)
{
	json_t *properties = json_object_get(json, "properties"), *sub;
	const bool whole = at == NULL || ret->embedded_resource; /* has apiVersion, kind and metadata */
	struct field *fields = arena_alloc_array(b->arena, json_object_size(properties) + 4, sizeof *fields);
	if (fields == NULL)
		return no_memory(b);
	size_t n = 0;
	if (whole) {
		fields[n++] = (struct field){.name = "apiVersion", .schema = &schema_string, .offset = FIELD_NO_OFFSET};
		fields[n++] = (struct field){.name = "kind", .schema = &schema_string, .offset = FIELD_NO_OFFSET};
		fields[n++] =
			(struct field){.name = "metadata", .schema = &object_meta_schema, .offset = FIELD_NO_OFFSET};
	}
	const struct at list = {.up = at, .name = "properties"};
	const char *key;
	json_object_foreach (properties, key, sub) {
		const struct at here = {.up = &list, .name = key, .key = true};
		if (whole && is_type_meta(key)) {
			if (strcmp(key, "metadata") == 0 && json_object_size(json_object_get(sub, "properties")) > 0)
				return bad(b, &here, "Forbidden: rules for metadata are not served by this server");
			continue;
		}
		const int rc = build_field(b, key, sub, &here, depth + 1, &fields[n]);
		if (rc < 0)
			return rc;
		fields[n++].required = is_required(json, key);
	}
	ret->fields = fields;
	return 0;
}

static int build_items(const struct build *b, const json_t *items, const struct at *at, unsigned depth,
		       struct schema *ret)
{
	struct field *rules = arena_alloc(b->arena, sizeof *rules);
	if (rules == NULL)
		return no_memory(b);
	const int rc = build_field(b, "", items, at, depth + 1, rules);
	if (rc < 0)
		return rc;
	ret->items = rules->schema;
	ret->items_rules = rules;
	return 0;
}

static int build_object(const struct build *b, const json_t *json, const struct at *at, unsigned depth,
			struct schema *ret)
{
	json_t *additional = json_object_get(json, "additionalProperties");
	const bool properties = json_object_get(json, "properties") != NULL;
	ret->type = SCHEMA_OBJECT;
	if (additional == NULL || json_is_false(additional)) {
		if (json_is_false(additional))
			return bad(b, at, "additionalProperties: Forbidden: must not be false");
		return build_properties(b, json, at, depth, ret);
	}
	if (properties)
		return bad(b, at,
			   "additionalProperties: Forbidden: additionalProperties and properties are mutual exclusive");
	if (at == NULL)
		return bad(b, at, "additionalProperties: Forbidden: must not be used at the root");
	ret->type = SCHEMA_MAP;
	if (json_is_object(additional))
		return build_items(b, additional, &(struct at){.up = at, .name = "additionalProperties"}, depth, ret);
	struct schema *any = arena_alloc(b->arena, sizeof *any);
	if (any == NULL)
		return no_memory(b);
	*any = (struct schema){.type = SCHEMA_ANY, .raw = json};
	ret->items = any;
	return 0;
}

static int check_list_keys(const struct build *b, const json_t *json, const struct at *at, const struct schema *list)
{
	const char *type = text(json, "x-kubernetes-list-type");
	const json_t *keys = json_object_get(json, "x-kubernetes-list-map-keys");
	const bool map = type != NULL && strcmp(type, "map") == 0;
	if (type != NULL && !map && strcmp(type, "set") != 0 && strcmp(type, "atomic") != 0)
		return bad(b, at,
			   "x-kubernetes-list-type: Unsupported value: supported values: \"atomic\", \"map\", \"set\"");
	if (!map)
		return keys == NULL ? 0
				    : bad(b, at,
					  "x-kubernetes-list-type: Required value: must be map if "
					  "x-kubernetes-list-map-keys is non-empty");
	if (json_array_size(keys) == 0)
		return bad(b, at,
			   "x-kubernetes-list-map-keys: Required value: must not be empty if x-kubernetes-list-type is "
			   "map");
	size_t i;
	json_t *key;
	json_array_foreach (keys, i, key) {
		const struct field *f = json_is_string(key) ? schema_field(list->items, json_string_value(key)) : NULL;
		if (f == NULL)
			return bad(b, at,
				   "x-kubernetes-list-map-keys: Invalid value: entries must all be names of item "
				   "properties");
		if (!f->required && f->dflt == NULL)
			return bad(b, at,
				   "x-kubernetes-list-map-keys: Required value: this property is in "
				   "x-kubernetes-list-map-keys, so it must "
				   "have a default or be a required property");
	}
	return 0;
}

static int build_list(const struct build *b, const json_t *json, const struct at *at, unsigned depth,
		      struct schema *ret)
{
	const json_t *items = json_object_get(json, "items");
	if (!json_is_object(items))
		return bad(b, at, "items: Required value: must be specified");
	ret->type = SCHEMA_LIST;
	const int rc = build_items(b, items, &(struct at){.up = at, .name = "items"}, depth, ret);
	return rc < 0 ? rc : check_list_keys(b, json, at, ret);
}

static int build_typeless(const struct build *b, const json_t *json, const struct at *at, struct schema *ret)
{
	if (flag(json, "x-kubernetes-int-or-string"))
		ret->type = SCHEMA_INT_OR_STRING;
	else if (flag(json, "x-kubernetes-preserve-unknown-fields"))
		ret->type = SCHEMA_ANY;
	else
		return bad(b, at,
			   at == NULL ? "type: Required value: must not be empty at the root"
				      : "type: Required value: must not be empty for specified object fields");
	return 0;
}

static int build_node(const struct build *b, const json_t *json, const struct at *at, unsigned depth,
		      struct schema *ret)
{
	if (depth > DEPTH_MAX)
		return bad(b, at, "Invalid value: nested too deeply");
	if (!json_is_object(json))
		return bad(b, at, "Invalid value: must be a schema object");
	int rc = check_forbidden(b, json, at);
	if (rc == 0)
		rc = check_pattern(b, json, at);
	if (rc == 0)
		rc = check_junctors(b, json, at, depth);
	if (rc < 0)
		return rc;
	*ret = (struct schema){
		.raw = json,
		.doc = text(json, "description"),
		.preserve_unknown = flag(json, "x-kubernetes-preserve-unknown-fields"),
		.embedded_resource = flag(json, "x-kubernetes-embedded-resource"),
		.map_atomic = json_is_string(json_object_get(json, "x-kubernetes-map-type")) &&
			      strcmp(text(json, "x-kubernetes-map-type"), "atomic") == 0,
	};
	const char *type = text(json, "type"), *format = text(json, "format");
	if (type == NULL || type[0] == '\0')
		return build_typeless(b, json, at, ret);
	if (at == NULL && strcmp(type, "object") != 0)
		return bad(b, at, "type: Invalid value: must be object at the root");
	if (strcmp(type, "object") == 0)
		return build_object(b, json, at, depth, ret);
	if (strcmp(type, "array") == 0)
		return build_list(b, json, at, depth, ret);
	if (strcmp(type, "string") == 0)
		ret->type = SCHEMA_STRING;
	else if (strcmp(type, "boolean") == 0)
		ret->type = SCHEMA_BOOL;
	else if (strcmp(type, "number") == 0)
		ret->type = SCHEMA_DOUBLE;
	else if (strcmp(type, "integer") == 0)
		ret->type = format != NULL && strcmp(format, "int32") == 0 ? SCHEMA_INT32 : SCHEMA_INT64;
	else
		return bad(b, at,
			   "type: Unsupported value: supported values: \"array\", \"boolean\", \"integer\", "
			   "\"number\", \"object\", \"string\"");
	return 0;
}

int schema_from_openapi(const json_t *json, struct arena *arena, const struct schema **ret, struct error *err)
{
	const struct build b = {.arena = arena, .err = err};
	struct schema *s = arena_alloc(arena, sizeof *s);
	if (s == NULL)
		return no_memory(&b);
	const int rc = build_node(&b, json, NULL, 0, s);
	if (rc == 0)
		*ret = s;
	return rc;
}
