/* Tables as the openAPIV3Schema of a CRD. */
#include <string.h>

#include "api/kind.h"
#include "api/schema_private.h"

#define DEPTH_MAX 64
#define QUANTITY_PATTERN                                                                                               \
	"^(\\+|-)?(([0-9]+(\\.[0-9]*)?)|(\\.[0-9]+))(([KMGTPE]i)|[numkMGTPE]|([eE](\\+|-)?(([0-9]+(\\.[0-9]*)?)|(\\.[" \
	"0-9]+))))?$"

/* Trees are built without a look at each step: jansson's setters take a NULL as a failure and own what they are given, so without
 * memory a part is missing and nothing leaks. */

static json_t *node(const struct schema *s, bool native, unsigned depth);

static json_t *int_or_string(void)
{
	return json_pack("{s:[{s:s},{s:s}],s:b}", "anyOf", "type", "integer", "type", "string",
			 "x-kubernetes-int-or-string", 1);
}

static json_t *simple_node(const struct schema *s)
{
	switch (s->type) {
	case SCHEMA_STRING:
		return json_pack("{s:s}", "type", "string");
	case SCHEMA_BOOL:
		return json_pack("{s:s}", "type", "boolean");
	case SCHEMA_INT32:
		return json_pack("{s:s,s:s}", "type", "integer", "format", "int32");
	case SCHEMA_INT64:
		return s == &schema_int ? json_pack("{s:s}", "type", "integer")
					: json_pack("{s:s,s:s}", "type", "integer", "format", "int64");
	case SCHEMA_DOUBLE:
		return json_pack("{s:s}", "type", "number");
	case SCHEMA_INT_OR_STRING:
		return int_or_string();
	case SCHEMA_QUANTITY: {
		json_t *q = int_or_string();
		(void)json_object_set_new(q, "pattern", json_string(QUANTITY_PATTERN));
		return q;
	}
	case SCHEMA_TIME:
	case SCHEMA_MICROTIME:
		return json_pack("{s:s,s:s}", "type", "string", "format", "date-time");
	case SCHEMA_DURATION:
		return json_pack("{s:s,s:s}", "type", "string", "format", "duration");
	case SCHEMA_BYTES:
		return json_pack("{s:s,s:s}", "type", "string", "format", "byte");
	default:
		return json_pack("{s:b}", "x-kubernetes-preserve-unknown-fields", 1);
	}
}

static void put_number(json_t *n, const char *key, double v)
{
	const bool whole = v >= -9e15 && v <= 9e15 && v == (double)(json_int_t)v;
	(void)json_object_set_new(n, key, whole ? json_integer((json_int_t)v) : json_real(v));
}

static void put_count(json_t *n, const char *key, int64_t v)
{
	if (v > 0)
		(void)json_object_set_new(n, key, json_integer(v));
}

static json_t *string_array(const char *const *list)
{
	json_t *a = json_array();
	for (; *list != NULL; list++)
		(void)json_array_append_new(a, json_string(*list));
	return a;
}

static void put_constraints(json_t *n, const struct field *f)
{
	const bool map = f->schema != NULL && f->schema->type == SCHEMA_MAP;
	if (f->has_min)
		put_number(n, "minimum", f->min);
	if (f->has_max)
		put_number(n, "maximum", f->max);
	put_count(n, "minLength", f->min_length);
	put_count(n, "maxLength", f->max_length);
	put_count(n, map ? "minProperties" : "minItems", f->min_items);
	put_count(n, map ? "maxProperties" : "maxItems", f->max_items);
	if (f->pattern != NULL)
		(void)json_object_set_new(n, "pattern", json_string(f->pattern));
	if (f->format != NULL)
		(void)json_object_set_new(n, "format", json_string(f->format));
	if (f->enums != NULL)
		(void)json_object_set_new(n, "enum", string_array(f->enums));
	if (f->dflt != NULL)
		(void)json_object_set_new(n, "default", default_value(f->dflt));
}

static void put_list_type(json_t *n, const struct field *f, bool native)
{
	if (f->schema == NULL || f->schema->type != SCHEMA_LIST || (f->list == LIST_ATOMIC && !native))
		return;
	static const char *const name[] = {[LIST_ATOMIC] = "atomic", [LIST_SET] = "set", [LIST_MAP] = "map"};
	(void)json_object_set_new(n, "x-kubernetes-list-type", json_string(name[f->list]));
	if (f->list == LIST_MAP)
		(void)json_object_set_new(n, "x-kubernetes-list-map-keys", string_array(f->list_keys));
}

/* A member that is a key of its list has to be required or to have a default. */
static void put_key_defaults(json_t *list_node, const struct field *list)
{
	json_t *properties = json_object_get(json_object_get(list_node, "items"), "properties");
	for (const char *const *k = list->list_keys; *k != NULL; k++) {
		const struct field *key = schema_field(list->schema->items, *k);
		json_t *member = json_object_get(properties, *k);
		if (key != NULL && member != NULL && !key->required)
			(void)json_object_set_new(member, "default",
						  key->dflt != NULL ? default_value(key->dflt) : json_string(""));
	}
}

static json_t *member_node(const struct schema *owner, const struct field *f, bool native, unsigned depth)
{
	const bool fragment = schema_is_native(owner) && !native;
	json_t *n = node(f->schema, native, depth);
	if (f->schema->type == SCHEMA_LIST && f->list == LIST_MAP)
		put_key_defaults(n, f);
	if (f->doc != NULL)
		(void)json_object_set_new(n, "description", json_string(f->doc));
	if (f->nullable)
		(void)json_object_set_new(n, "nullable", json_true());
	if (!fragment)
		put_constraints(n, f);
	put_list_type(n, f, schema_is_native(owner));
	return n;
}

static json_t *object_node(const struct schema *s, bool native, unsigned depth)
{
	json_t *n = json_pack("{s:s}", "type", "object");
	if (s->preserve_unknown)
		(void)json_object_set_new(n, "x-kubernetes-preserve-unknown-fields", json_true());
	if (s->embedded_resource)
		(void)json_object_set_new(n, "x-kubernetes-embedded-resource", json_true());
	if (s->map_atomic)
		(void)json_object_set_new(n, "x-kubernetes-map-type", json_string("atomic"));
	if (s->fields == NULL)
		return n;
	json_t *properties = json_object(), *required = json_array();
	for (const struct field *f = s->fields; f->name != NULL; f++) {
		(void)json_object_set_new(properties, f->name, member_node(s, f, native, depth + 1));
		if (f->required)
			(void)json_array_append_new(required, json_string(f->name));
	}
	(void)json_object_set_new(n, "properties", properties);
	if (json_array_size(required) > 0)
		(void)json_object_set_new(n, "required", required);
	else
		json_decref(required);
	return n;
}

/* Metadata inside a spec (claim templates): what users set there. The root's is known to every server and stays open. */
static json_t *embedded_metadata(void)
{
	return json_pack("{s:s,s:{s:{s:s,s:{s:s}},s:{s:s,s:{s:s}},s:{s:s,s:{s:s}},s:{s:s},s:{s:s}}}", "type", "object",
			 "properties", "annotations", "type", "object", "additionalProperties", "type", "string",
			 "labels", "type", "object", "additionalProperties", "type", "string", "finalizers", "type",
			 "array", "items", "type", "string", "name", "type", "string", "namespace", "type", "string");
}

static json_t *node(const struct schema *s, bool native, unsigned depth)
{
	if (s->raw != NULL)
		return json_deep_copy(s->raw);
	if (s == &object_meta_schema)
		return depth <= 1 ? json_pack("{s:s}", "type", "object") : embedded_metadata();
	if (depth > DEPTH_MAX) /* a type that holds itself: below this it is any object */
		return json_pack("{s:b}", "x-kubernetes-preserve-unknown-fields", 1);
	json_t *n;
	switch (s->type) {
	case SCHEMA_OBJECT:
		return object_node(s, native, depth);
	case SCHEMA_LIST:
		n = json_pack("{s:s}", "type", "array");
		break;
	case SCHEMA_MAP:
		n = json_pack("{s:s}", "type", "object");
		if (s->map_atomic)
			(void)json_object_set_new(n, "x-kubernetes-map-type", json_string("atomic"));
		break;
	default:
		return simple_node(s);
	}
	json_t *items = node(s->items, native, depth + 1);
	if (s->items_rules != NULL)
		put_constraints(items, s->items_rules);
	(void)json_object_set_new(n, s->type == SCHEMA_LIST ? "items" : "additionalProperties", items);
	return n;
}

json_t *schema_to_openapi(const struct schema *s)
{
	json_t *n = node(s, schema_is_native(s), 0);
	if (s->doc != NULL && s->raw == NULL)
		(void)json_object_set_new(n, "description", json_string(s->doc));
	return n;
}
