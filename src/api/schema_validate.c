/* Validation of documents against the tables, and of changes between two versions. */
#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "api/schema_private.h"
#include "json/json.h"
#include "json/quantity.h"

static void validate_value(struct check *c, const struct schema *s, const json_t *value, const struct at *at);

static const char *json_type_name(const json_t *value)
{
	switch (json_typeof(value)) {
	case JSON_OBJECT:
		return "object";
	case JSON_ARRAY:
		return "array";
	case JSON_STRING:
		return "string";
	case JSON_INTEGER:
		return "integer";
	case JSON_REAL:
		return "number";
	case JSON_TRUE:
	case JSON_FALSE:
		return "boolean";
	case JSON_NULL:
		return "null";
	}
	return "unknown";
}

static const char *schema_type_name(const struct schema *s)
{
	switch (s->type) {
	case SCHEMA_STRING:
		return "string";
	case SCHEMA_BOOL:
		return "boolean";
	case SCHEMA_INT32:
		return "int32";
	case SCHEMA_INT64:
		return "integer";
	case SCHEMA_DOUBLE:
		return "number";
	case SCHEMA_INT_OR_STRING:
		return "integer or string";
	case SCHEMA_QUANTITY:
		return "quantity";
	case SCHEMA_TIME:
	case SCHEMA_MICROTIME:
		return "date-time";
	case SCHEMA_DURATION:
		return "duration";
	case SCHEMA_BYTES:
		return "byte";
	case SCHEMA_LIST:
		return "array";
	case SCHEMA_OBJECT:
	case SCHEMA_MAP:
		return "object";
	case SCHEMA_ANY:
		break;
	}
	return "any";
}

static bool is_integral(const json_t *value, double limit)
{
	if (json_is_integer(value))
		return fabs((double)json_integer_value(value)) <= limit;
	const double v = json_number_value(value);
	return json_is_real(value) && v == floor(v) && fabs(v) <= limit;
}

bool string_is_quantity(const json_t *value)
{
	int64_t n;
	return quantity_parse(json_string_value(value), &n, NULL) != -EINVAL;
}

static bool string_is_duration(const json_t *value)
{
	int64_t ns;
	return duration_parse(json_string_value(value), &ns, NULL) == 0;
}

static bool type_holds(const struct schema *s, const json_t *value)
{
	switch (s->type) {
	case SCHEMA_ANY:
		return true;
	case SCHEMA_STRING:
		return json_is_string(value);
	case SCHEMA_BOOL:
		return json_is_boolean(value);
	case SCHEMA_INT32:
		return is_integral(value, INT32_MAX) ||
		       (json_is_integer(value) && json_integer_value(value) == INT32_MIN);
	case SCHEMA_INT64:
		return is_integral(value, 9223372036854775807.0);
	case SCHEMA_DOUBLE:
		return json_is_number(value);
	case SCHEMA_INT_OR_STRING:
		return json_is_integer(value) || json_is_string(value);
	case SCHEMA_QUANTITY:
		return json_is_number(value) || (json_is_string(value) && string_is_quantity(value));
	case SCHEMA_TIME:
	case SCHEMA_MICROTIME:
		return json_is_string(value) && time_is_valid(json_string_value(value));
	case SCHEMA_DURATION:
		return json_is_string(value) && string_is_duration(value);
	case SCHEMA_BYTES:
		return json_is_string(value) && base64_is_valid(json_string_value(value), json_string_length(value));
	case SCHEMA_LIST:
		return json_is_array(value);
	case SCHEMA_OBJECT:
	case SCHEMA_MAP:
		return json_is_object(value);
	}
	return false;
}

/* The path as Go's decoder says it: fields alone, joined by dots. */
static size_t go_path(const struct at *at, char *out, size_t size)
{
	if (at == NULL)
		return 0;
	size_t n = go_path(at->up, out, size);
	if (at->of != NULL && n < size)
		n += (size_t)snprintf(out + n, size - n, "%s%s", n > 0 ? "." : "", at->name);
	return n;
}

/* "core.v1.Container" is v1.Container in Go, and Container where the type's own name is asked for. */
static const char *after_dots(const char *name, int keep)
{
	const char *at = name + strlen(name);
	while (at > name && (at[-1] != '.' || keep-- > 0))
		at--;
	return at;
}

static void go_type(const struct schema *s, char *out, size_t size)
{
	static const char *const plain[] = {
		[SCHEMA_ANY] = "interface {}", [SCHEMA_STRING] = "string", [SCHEMA_BOOL] = "bool",
		[SCHEMA_INT32] = "int32",      [SCHEMA_INT64] = "int64",   [SCHEMA_DOUBLE] = "float64",
		[SCHEMA_BYTES] = "[]uint8",    [SCHEMA_LIST] = "[]",       [SCHEMA_MAP] = "map[string]"};
	const bool inner = s->type == SCHEMA_LIST || s->type == SCHEMA_MAP;
	const char *own = s->type < ARRAY_LEN(plain) ? plain[s->type] : NULL;
	if (own == NULL)
		own = s->name != NULL ? after_dots(s->name, 1) : schema_type_name(s);
	const size_t n = (size_t)snprintf(out, size, "%s", own);
	if (inner && s->items != NULL && n < size)
		go_type(s->items, out + n, size - n);
}

static void fail_native_type(struct check *c, const struct schema *s, const json_t *value, const struct at *at)
{
	char path[1024], type[256];
	const struct at *in = at;
	while (in != NULL && in->of == NULL)
		in = in->up;
	const char *of = in == NULL || in->of->name == NULL ? "" : after_dots(in->of->name, 0);
	path[0] = '\0';
	(void)go_path(at, path, sizeof path);
	go_type(s, type, sizeof type);
	const char *got = json_is_integer(value) ? "number" : json_is_boolean(value) ? "bool" : json_type_name(value);
	if (of[0] == '\0')
		check_fail(c, at, "FieldValueTypeInvalid", "json: cannot unmarshal %s into Go value of type %s", got,
			   type);
	else
		check_fail(c, at, "FieldValueTypeInvalid",
			   "json: cannot unmarshal %s into Go struct field %s.%s of type %s", got, of, path, type);
}

static void fail_type(struct check *c, const struct schema *s, const json_t *value, const struct at *at)
{
	char path[1024], text[256];
	const char *got = json_type_name(value);
	(void)at_path(at, c->base, path, sizeof path);
	const bool right_json = json_is_string(value) && s->type != SCHEMA_BOOL && s->type != SCHEMA_LIST &&
				s->type != SCHEMA_OBJECT && s->type != SCHEMA_MAP && s->type >= SCHEMA_QUANTITY;
	if (right_json && c->native && s->type == SCHEMA_QUANTITY)
		check_fail(
			c, at, "FieldValueTypeInvalid",
			"quantities must match the regular expression '^([+-]?[0-9.]+)([eEinumkKMGTP]*[-+]?[0-9]*)$'");
	else if (c->native && right_json)
		check_fail(c, at, "FieldValueTypeInvalid", "json: cannot read %s as %s for field %s",
			   value_text(value, text, sizeof text), schema_type_name(s), path);
	else if (c->native)
		fail_native_type(c, s, value, at);
	else if (right_json)
		check_fail(c, at, "FieldValueInvalid", "Invalid value: %s: %s in body must be of type %s: %s",
			   value_text(value, text, sizeof text), path, schema_type_name(s),
			   value_text(value, text, sizeof text));
	else
		check_fail(c, at, "FieldValueTypeInvalid",
			   "Invalid value: \"%s\": %s in body must be of type %s: \"%s\"", got, path,
			   s->type == SCHEMA_INT32 ? "integer" : schema_type_name(s), got);
}

/* Go leaves numbers and flags at zero and lists empty; only what has to be there by a bound or is a text or an object is missed. */
static bool is_missed(const struct check *c, const struct field *f)
{
	if (!c->native)
		return true;
	switch (f->schema->type) {
	case SCHEMA_BOOL:
		return false;
	case SCHEMA_INT32:
	case SCHEMA_INT64:
	case SCHEMA_DOUBLE:
		return f->has_min && f->min > 0;
	case SCHEMA_LIST:
	case SCHEMA_MAP:
		return f->min_items > 0;
	default:
		return true;
	}
}

/* Names of containers and volumes must differ though their lists are merged by other keys, or by the same. */
static void check_names_differ(struct check *c, const struct field *f, const json_t *list, const struct at *at)
{
	const char *item = f->schema->items->name;
	if (item == NULL || (strcmp(item, "core.v1.Container") != 0 && strcmp(item, "core.v1.Volume") != 0))
		return;
	for (size_t i = 1; i < json_array_size(list); i++) {
		const char *name = json_str(json_array_get(list, i), "name", NULL);
		for (size_t k = 0; name != NULL && k < i; k++) {
			if (strcmp(name, json_str(json_array_get(list, k), "name", "")) != 0)
				continue;
			const struct at here = {.up = at, .index = i};
			check_fail(c, &(struct at){.up = &here, .name = "name"}, "FieldValueDuplicate",
				   "Duplicate value: \"%s\"", name);
			break;
		}
	}
}

static void validate_member(struct check *c, const struct schema *s, const struct field *f, const json_t *object,
			    const struct at *up)
{
	const struct at at = {.up = up, .name = f->name, .of = s};
	const json_t *value = json_object_get(object, f->name);
	const bool native = schema_is_native(s);
	if (value == NULL || (json_is_null(value) && (native || f->nullable))) {
		if (f->required && value == NULL && is_missed(c, f))
			check_fail(c, &at, "FieldValueRequired", "Required value");
		return;
	}
	const size_t before = c->vs->n;
	validate_value(c, f->schema, value, &at);
	/* A Kubernetes type inside another kind has no constraints there: its CRD shows none. */
	if (c->vs->n != before || (native && !c->native))
		return;
	check_rules(c, f, value, &at);
	if (c->native && f->schema->type == SCHEMA_LIST)
		check_names_differ(c, f, value, &at);
}

static void validate_items(struct check *c, const struct schema *s, const json_t *value, const struct at *at)
{
	size_t i;
	json_t *item;
	json_array_foreach (value, i, item) {
		const struct at here = {.up = at, .index = i};
		if (c->native && json_is_null(item))
			continue;
		validate_value(c, s->items, item, &here);
		if (s->items_rules != NULL)
			check_rules(c, s->items_rules, item, &here);
	}
}

static void validate_values(struct check *c, const struct schema *s, const json_t *value, const struct at *at)
{
	const char *key;
	json_t *item;
	json_object_foreach ((json_t *)value, key, item) {
		const struct at here = {.up = at, .name = key, .key = c->native};
		if (json_is_null(item) && (c->native || (s->items_rules != NULL && s->items_rules->nullable)))
			continue;
		validate_value(c, s->items, item, &here);
		if (s->items_rules != NULL)
			check_rules(c, s->items_rules, item, &here);
	}
}

static void validate_value(struct check *c, const struct schema *s, const json_t *value, const struct at *at)
{
	if (!type_holds(s, value)) {
		fail_type(c, s, value, at);
		return;
	}
	if (s->type == SCHEMA_OBJECT && s->fields != NULL)
		for (const struct field *f = s->fields; f->name != NULL; f++)
			validate_member(c, s, f, value, at);
	else if (s->type == SCHEMA_LIST)
		validate_items(c, s, value, at);
	else if (s->type == SCHEMA_MAP)
		validate_values(c, s, value, at);
	if (s->raw != NULL)
		check_raw(c, s->raw, value, at);
}

void schema_validate(const struct schema *s, const json_t *value, const char *path, struct violations *ret)
{
	struct check c = {.vs = ret, .base = path == NULL ? "" : path, .native = schema_is_native(s)};
	validate_value(&c, s, value, NULL);
}
