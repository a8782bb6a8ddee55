/* Constraints of one value: what a field says of it beside its type. Messages have the wording of Kubernetes. */
#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "api/schema_private.h"
#include "base/arena.h"
#include "base/cleanup.h"
#include "base/map.h"
#include "json/quantity.h"

#define TEXT_MAX 256

void violation_add(struct violations *vs, const char *path, const char *reason, const char *fmt, ...)
{
	if (vs->n >= sizeof vs->v / sizeof vs->v[0])
		return;
	char text[2048];
	va_list ap;
	va_start(ap, fmt);
	(void)vsnprintf(text, sizeof text, fmt, ap); /* cut when long */
	va_end(ap);
	struct violation v = {
		.path = arena_strdup(vs->arena, path), .reason = reason, .message = arena_strdup(vs->arena, text)};
	if (v.path == NULL || v.message == NULL)
		v = (struct violation){.path = "", .reason = "InternalError", .message = "out of memory"};
	vs->v[vs->n++] = v;
}

void check_fail(struct check *c, const struct at *at, const char *reason, const char *fmt, ...)
{
	char path[1024], text[2048];
	va_list ap;
	va_start(ap, fmt);
	(void)vsnprintf(text, sizeof text, fmt, ap); /* cut when long */
	va_end(ap);
	violation_add(c->vs, at_path(at, c->base, path, sizeof path), reason, "%s", text);
}

/* "Invalid value: V: PATH in body WHAT", as the schemas of CRDs have it; Kubernetes' own types leave the place out. */
__attribute__((format(printf, 4, 5))) static void fail_value(struct check *c, const json_t *value, const struct at *at,
							     const char *fmt, ...)
{
	char path[1024], text[TEXT_MAX], what[1024];
	va_list ap;
	va_start(ap, fmt);
	(void)vsnprintf(what, sizeof what, fmt, ap); /* cut when long */
	va_end(ap);
	(void)value_text(value, text, sizeof text);
	if (c->native)
		check_fail(c, at, "FieldValueInvalid", "Invalid value: %s: %s", text, what);
	else
		check_fail(c, at, "FieldValueInvalid", "Invalid value: %s: %s in body %s", text,
			   at_path(at, c->base, path, sizeof path), what);
}

static const char *number_text(double v, char out[static 32])
{
	(void)snprintf(out, 32, "%.15g", v);
	return out;
}

static void check_bounds(struct check *c, const struct field *r, const json_t *value, const struct at *at)
{
	const double v = json_number_value(value);
	const bool low = r->has_min && v < r->min, high = r->has_max && v > r->max;
	char min[32], max[32];
	(void)number_text(r->min, min);
	(void)number_text(r->max, max);
	if (c->native && r->has_min && r->has_max && (low || high))
		fail_value(c, value, at, "must be between %s and %s, inclusive", min, max);
	else if (low)
		fail_value(c, value, at,
			   c->native ? "must be greater than or equal to %s" : "should be greater than or equal to %s",
			   min);
	else if (high)
		fail_value(c, value, at,
			   c->native ? "must be less than or equal to %s" : "should be less than or equal to %s", max);
}

static int64_t characters(const char *s, size_t n)
{
	int64_t count = 0;
	for (size_t i = 0; i < n; i++)
		count += ((unsigned char)s[i] & 0xC0) != 0x80;
	return count;
}

static void check_enum(struct check *c, const struct field *r, const json_t *value, const struct at *at)
{
	const char *s = json_string_value(value);
	for (const char *const *e = r->enums; *e != NULL; e++)
		if (strcmp(*e, s) == 0)
			return;
	char list[1024], text[TEXT_MAX];
	size_t n = 0;
	list[0] = '\0';
	for (const char *const *e = r->enums; *e != NULL && n < sizeof list - 1; e++) {
		const int k = snprintf(list + n, sizeof list - n, "%s\"%s\"", n == 0 ? "" : ", ", *e);
		n += (size_t)k;
	}
	check_fail(c, at, "FieldValueNotSupported", "Unsupported value: %s: supported values: %s",
		   value_text(value, text, sizeof text), list);
}

static void check_pattern(struct check *c, const struct field *r, const json_t *value, const struct at *at)
{
	const int rc = pattern_match(r->pattern, json_string_value(value), json_string_length(value));
	if (rc == 0)
		fail_value(c, value, at, "should match '%s'", r->pattern);
	else if (rc < 0)
		fail_value(c, value, at, "cannot be matched against '%s': %s", r->pattern,
			   rc == -E2BIG    ? "it takes too many steps"
			   : rc == -ENOMEM ? "out of memory"
					   : "the pattern is not valid");
}

static bool format_holds(const char *format, const char *text, size_t n)
{
	int64_t ns;
	if (strcmp(format, "date-time") == 0)
		return time_is_valid(text);
	if (strcmp(format, "byte") == 0)
		return base64_is_valid(text, n);
	if (strcmp(format, "duration") == 0)
		return duration_parse(text, &ns, NULL) == 0;
	return true; /* Kubernetes ignores formats it does not know, too */
}

static void check_string(struct check *c, const struct field *r, const json_t *value, const struct at *at)
{
	const size_t n = json_string_length(value);
	const int64_t chars = characters(json_string_value(value), n);
	char text[TEXT_MAX];
	if (chars < r->min_length) {
		if (c->native)
			check_fail(c, at, "FieldValueRequired", "Required value");
		else
			fail_value(c, value, at, "should be at least %lld chars long", (long long)r->min_length);
	}
	if (r->max_length > 0 && chars > r->max_length)
		check_fail(c, at, "FieldValueTooLong", "Too long: may not be more than %lld bytes",
			   (long long)r->max_length);
	if (r->enums != NULL)
		check_enum(c, r, value, at);
	if (r->pattern != NULL)
		check_pattern(c, r, value, at);
	if (r->format != NULL && !format_holds(r->format, json_string_value(value), n))
		fail_value(c, value, at, "must be of type %s: %s", r->format, value_text(value, text, sizeof text));
}

/* The members of @item that are its keys (all of it for sets), as one JSON value. */
static json_t *list_key(const struct field *r, json_t *item)
{
	if (r->list == LIST_SET)
		return json_incref(item);
	if (!json_is_object(item))
		return NULL;
	json_t *key = json_object();
	for (const char *const *k = r->list_keys; key != NULL && *k != NULL; k++) {
		json_t *member = json_object_get(item, *k);
		if (member != NULL && json_object_set(key, *k, member) != 0) {
			json_decref(key);
			return NULL;
		}
	}
	return key;
}

static void check_unique(struct check *c, const struct field *r, const json_t *value, const struct at *at)
{
	struct map *seen = map_new(NULL);
	size_t i;
	json_t *item;
	json_array_foreach (value, i, item) {
		json_t *key = list_key(r, item);
		char *text = key == NULL ? NULL : json_dumps(key, JSON_ENCODE_ANY | JSON_COMPACT | JSON_SORT_KEYS);
		const struct at here = {.up = at, .index = i};
		char shown[TEXT_MAX];
		if (text != NULL && seen != NULL && map_has(seen, text))
			check_fail(c, &here, "FieldValueDuplicate", "Duplicate value: %s",
				   value_text(key, shown, sizeof shown));
		else if (text != NULL && seen != NULL && map_set(seen, text, seen) != 0)
			check_fail(c, &here, "InternalError", "out of memory");
		free(text);
		json_decref(key);
	}
	map_free(seen);
}

static void check_list(struct check *c, const struct field *r, const json_t *value, const struct at *at)
{
	const size_t n = json_array_size(value);
	if ((int64_t)n < r->min_items) {
		char path[1024];
		if (c->native)
			check_fail(c, at, "FieldValueRequired", "Required value");
		else
			check_fail(c, at, "FieldValueInvalid",
				   "Invalid value: %zu: %s in body should have at least %lld items", n,
				   at_path(at, c->base, path, sizeof path), (long long)r->min_items);
	}
	if (r->max_items > 0 && (int64_t)n > r->max_items)
		check_fail(c, at, "FieldValueTooMany", "Too many: %zu: must have at most %lld items", n,
			   (long long)r->max_items);
	/* Kubernetes' own lists may hold a key twice, where its validation does not say otherwise. */
	if (r->list != LIST_ATOMIC && !c->native)
		check_unique(c, r, value, at);
}

static void check_properties(struct check *c, const struct field *r, const json_t *value, const struct at *at)
{
	const size_t n = json_object_size(value);
	char path[1024];
	if ((int64_t)n < r->min_items)
		check_fail(c, at, "FieldValueInvalid",
			   "Invalid value: %zu: %s in body should have at least %lld properties", n,
			   at_path(at, c->base, path, sizeof path), (long long)r->min_items);
	if (r->max_items > 0 && (int64_t)n > r->max_items)
		check_fail(c, at, "FieldValueTooMany", "Too many: %zu: must have at most %lld items", n,
			   (long long)r->max_items);
}

void check_rules(struct check *c, const struct field *r, const json_t *value, const struct at *at)
{
	if (json_is_string(value))
		check_string(c, r, value, at);
	else if (json_is_number(value))
		check_bounds(c, r, value, at);
	else if (json_is_array(value))
		check_list(c, r, value, at);
	else if (json_is_object(value))
		check_properties(c, r, value, at);
}

/* What run-time schemas say beyond the table. */

static bool is_multiple(double value, double of)
{
	const double q = value / of;
	return of > 0 && fabs(q - round(q)) < 1e-9;
}

static void check_raw_number(struct check *c, const json_t *raw, const json_t *value, const struct at *at)
{
	const double v = json_number_value(value);
	char text[32];
	const json_t *multiple = json_object_get(raw, "multipleOf");
	const json_t *min = json_object_get(raw, "minimum"), *max = json_object_get(raw, "maximum");
	if (json_is_number(multiple) && !is_multiple(v, json_number_value(multiple)))
		fail_value(c, value, at, "should be a multiple of %s", number_text(json_number_value(multiple), text));
	if (json_is_true(json_object_get(raw, "exclusiveMinimum")) && json_is_number(min) &&
	    v == json_number_value(min))
		fail_value(c, value, at, "should be greater than %s", number_text(v, text));
	if (json_is_true(json_object_get(raw, "exclusiveMaximum")) && json_is_number(max) &&
	    v == json_number_value(max))
		fail_value(c, value, at, "should be less than %s", number_text(v, text));
}

static void check_raw_enum(struct check *c, const json_t *raw, const json_t *value, const struct at *at)
{
	const json_t *list = json_object_get(raw, "enum");
	if (!json_is_array(list) || json_is_string(value)) /* strings have been checked by the table */
		return;
	size_t i;
	json_t *e;
	json_array_foreach (list, i, e)
		if (json_equal(e, value))
			return;
	char text[TEXT_MAX], all[1024];
	check_fail(c, at, "FieldValueNotSupported", "Unsupported value: %s: supported values: %s",
		   value_text(value, text, sizeof text), value_text(list, all, sizeof all));
}

static bool raw_type_holds(const json_t *raw, const json_t *value)
{
	const char *type = json_string_value(json_object_get(raw, "type"));
	if (type == NULL)
		return true;
	return (strcmp(type, "string") == 0 && json_is_string(value)) ||
	       (strcmp(type, "boolean") == 0 && json_is_boolean(value)) ||
	       (strcmp(type, "integer") == 0 && json_is_integer(value)) ||
	       (strcmp(type, "number") == 0 && json_is_number(value)) ||
	       (strcmp(type, "array") == 0 && json_is_array(value)) ||
	       (strcmp(type, "object") == 0 && json_is_object(value));
}

/* Everything @raw says of @value, members included: what stands inside allOf and the like is not in any table. */
static void check_whole(struct check *c, const json_t *raw, const json_t *value, const struct at *at)
{
	if (!raw_type_holds(raw, value)) {
		fail_value(c, value, at, "must be of type %s", json_string_value(json_object_get(raw, "type")));
		return;
	}
	struct arena arena = ARENA_INIT(1u << 20);
	struct field rules = {0};
	if (rules_from_openapi(raw, &arena, &rules) == 0)
		check_rules(c, &rules, value, at);
	else
		check_fail(c, at, "InternalError", "out of memory");
	arena_free(&arena);
	check_raw(c, raw, value, at);

	const json_t *required = json_object_get(raw, "required");
	size_t i;
	json_t *name, *sub, *item;
	json_array_foreach (required, i, name) {
		const char *key = json_string_value(name);
		if (key != NULL && json_is_object(value) && json_object_get(value, key) == NULL)
			check_fail(c, &(struct at){.up = at, .name = key}, "FieldValueRequired", "Required value");
	}
	const char *key;
	json_object_foreach (json_object_get(raw, "properties"), key, sub) {
		const json_t *member = json_object_get(value, key);
		if (member != NULL)
			check_whole(c, sub, member, &(struct at){.up = at, .name = key});
	}
	const json_t *items = json_object_get(raw, "items");
	if (json_is_object(items)) {
		json_array_foreach (value, i, item)
			check_whole(c, items, item, &(struct at){.up = at, .index = i});
	}
}

static bool holds(const json_t *raw, const json_t *value)
{
	struct arena arena = ARENA_INIT(1u << 20);
	struct violations *vs = calloc(1, sizeof *vs);
	if (vs == NULL)
		return false;
	vs->arena = &arena;
	check_whole(&(struct check){.vs = vs, .base = ""}, raw, value, NULL);
	const bool ok = vs->n == 0;
	free(vs);
	arena_free(&arena);
	return ok;
}

static size_t count_holding(const json_t *list, const json_t *value)
{
	size_t n = 0, i;
	json_t *sub;
	json_array_foreach (list, i, sub)
		n += holds(sub, value);
	return n;
}

void check_raw(struct check *c, const json_t *raw, const json_t *value, const struct at *at)
{
	if (json_is_number(value))
		check_raw_number(c, raw, value, at);
	check_raw_enum(c, raw, value, at);

	const json_t *any = json_object_get(raw, "anyOf"), *one = json_object_get(raw, "oneOf"),
		     *none = json_object_get(raw, "not");
	size_t i;
	json_t *sub;
	json_array_foreach (json_object_get(raw, "allOf"), i, sub)
		check_whole(c, sub, value, at);
	if (json_array_size(any) > 0 && count_holding(any, value) == 0)
		fail_value(c, value, at, "must validate at least one schema (anyOf)");
	if (json_array_size(one) > 0) {
		const size_t n = count_holding(one, value);
		if (n == 0)
			fail_value(c, value, at, "must validate one and only one schema (oneOf). Found none valid");
		else if (n > 1)
			fail_value(c, value, at,
				   "must validate one and only one schema (oneOf). Found %zu valid alternatives", n);
	}
	if (json_is_object(none) && holds(none, value))
		fail_value(c, value, at, "must not validate the schema (not)");
}
