/* From JSON into the C structs of the tables (api/field.h says what becomes what). */
#include <assert.h>
#include <errno.h>
#include <stdint.h>
#include <string.h>

#include "api/schema_private.h"
#include "base/arena.h"
#include "base/cleanup.h"
#include "base/error.h"
#include "json/json.h"
#include "json/quantity.h"

struct decode {
	struct arena *arena;
	struct error *err;
};

/* How LIST_OF(), string_list and string_map lie in memory. */
struct any_list {
	const void *v;
	size_t n;
};

static int decode_value(const struct decode *d, const struct schema *s, const json_t *value, void *dst,
			const struct at *at);

static int fail(const struct decode *d, const struct at *at, int code, const json_t *value, const char *what)
{
	char path[256], text[128];
	return error_set(d->err, code, "%s: %s: %s", at_path(at, "", path, sizeof path),
			 value_text(value, text, sizeof text), what);
}

static int no_memory(const struct decode *d, const struct at *at)
{
	char path[256];
	return error_set(d->err, -ENOMEM, "%s: out of memory or larger than allowed",
			 at_path(at, "", path, sizeof path));
}

/* Bytes that a value takes in C; 0: it stays JSON. */
static size_t c_size(const struct schema *s)
{
	switch (s->type) {
	case SCHEMA_STRING:
	case SCHEMA_QUANTITY:
	case SCHEMA_TIME:
	case SCHEMA_MICROTIME:
	case SCHEMA_BYTES:
		return sizeof(const char *);
	case SCHEMA_BOOL:
		return sizeof(bool);
	case SCHEMA_INT32:
		return sizeof(int32_t);
	case SCHEMA_INT64:
	case SCHEMA_DURATION:
		return sizeof(int64_t);
	case SCHEMA_DOUBLE:
		return sizeof(double);
	case SCHEMA_OBJECT:
		return s->size;
	case SCHEMA_LIST:
		return s->items->type == SCHEMA_STRING || (s->items->type == SCHEMA_OBJECT && s->items->size > 0)
			       ? sizeof(struct any_list)
			       : 0;
	case SCHEMA_MAP:
		return s->items->type == SCHEMA_STRING ? sizeof(struct any_list) : 0;
	case SCHEMA_ANY:
	case SCHEMA_INT_OR_STRING:
		return 0;
	}
	return 0;
}

static int decode_string(const struct decode *d, const json_t *value, const char **dst, const struct at *at)
{
	if (!json_is_string(value))
		return fail(d, at, -EINVAL, value, "must be a string");
	if (strlen(json_string_value(value)) != json_string_length(value))
		return fail(d, at, -EINVAL, value, "may not hold NUL characters");
	*dst = arena_strdup(d->arena, json_string_value(value));
	return *dst == NULL ? no_memory(d, at) : 0;
}

static int decode_quantity(const struct decode *d, const json_t *value, const char **dst, const struct at *at)
{
	char text[64];
	if (json_is_number(value))
		*dst = arena_strdup(d->arena, value_text(value, text, sizeof text));
	else {
		int64_t n;
		if (!json_is_string(value) || quantity_parse(json_string_value(value), &n, NULL) == -EINVAL)
			return fail(d, at, -EINVAL, value, "must be a quantity, like 10Gi");
		*dst = arena_strdup(d->arena, json_string_value(value));
	}
	return *dst == NULL ? no_memory(d, at) : 0;
}

static int decode_int(const struct decode *d, const struct schema *s, const json_t *value, void *dst,
		      const struct at *at)
{
	int64_t n = json_integer_value(value);
	const double real = json_real_value(value);
	if (json_is_real(value) && real >= -9e15 && real <= 9e15 && (double)(int64_t)real == real)
		n = (int64_t)real;
	else if (!json_is_integer(value))
		return fail(d, at, -EINVAL, value, "must be a whole number");
	if (s->type == SCHEMA_INT64) {
		*(int64_t *)dst = n;
		return 0;
	}
	if (n < INT32_MIN || n > INT32_MAX)
		return fail(d, at, -ERANGE, value, "must fit 32 bits");
	*(int32_t *)dst = (int32_t)n;
	return 0;
}

static int decode_duration(const struct decode *d, const json_t *value, int64_t *dst, const struct at *at)
{
	if (!json_is_string(value) || duration_parse(json_string_value(value), dst, NULL) != 0)
		return fail(d, at, -EINVAL, value, "must be a duration, like 90s or 1h30m");
	return 0;
}

static int decode_strings(const struct decode *d, const json_t *value, struct any_list *dst, const struct at *at)
{
	if (!json_is_array(value))
		return fail(d, at, -EINVAL, value, "must be a list");
	const size_t n = json_array_size(value);
	const char **v = arena_alloc_array(d->arena, n + 1, sizeof *v);
	if (v == NULL)
		return no_memory(d, at);
	for (size_t i = 0; i < n; i++) {
		const int rc = decode_string(d, json_array_get(value, i), &v[i], &(struct at){.up = at, .index = i});
		if (rc < 0)
			return rc;
	}
	*dst = (struct any_list){.v = v, .n = n};
	return 0;
}

static int decode_objects(const struct decode *d, const struct schema *s, const json_t *value, struct any_list *dst,
			  const struct at *at)
{
	if (!json_is_array(value))
		return fail(d, at, -EINVAL, value, "must be a list");
	const size_t n = json_array_size(value);
	unsigned char *v = arena_alloc_array(d->arena, n + 1, s->items->size);
	if (v == NULL)
		return no_memory(d, at);
	for (size_t i = 0; i < n; i++) {
		const int rc = decode_value(d, s->items, json_array_get(value, i), v + i * s->items->size,
					    &(struct at){.up = at, .index = i});
		if (rc < 0)
			return rc;
	}
	*dst = (struct any_list){.v = v, .n = n};
	return 0;
}

static int decode_map(const struct decode *d, const json_t *value, struct any_list *dst, const struct at *at)
{
	if (!json_is_object(value))
		return fail(d, at, -EINVAL, value, "must be an object");
	struct string_pair *v = arena_alloc_array(d->arena, json_object_size(value) + 1, sizeof *v);
	if (v == NULL)
		return no_memory(d, at);
	size_t n = 0;
	const char *key;
	json_t *item;
	json_object_foreach ((json_t *)value, key, item) {
		const int rc = decode_string(d, item, &v[n].value, &(struct at){.up = at, .name = key});
		if (rc < 0)
			return rc;
		v[n].key = arena_strdup(d->arena, key);
		if (v[n].key == NULL)
			return no_memory(d, at);
		n++;
	}
	*dst = (struct any_list){.v = v, .n = n};
	return 0;
}

static int decode_pointer(const struct decode *d, const struct field *f, const json_t *value, const void **dst,
			  const struct at *at)
{
	void *p = arena_alloc(d->arena, c_size(f->schema));
	if (p == NULL)
		return no_memory(d, at);
	const int rc = decode_value(d, f->schema, value, p, at);
	if (rc == 0)
		*dst = p;
	return rc;
}

static int decode_field(const struct decode *d, const struct field *f, const json_t *value, unsigned char *dst,
			const struct at *at)
{
	if (c_size(f->schema) == 0) {
		*(const json_t **)(void *)dst = value;
		return 0;
	}
	if (f->pointer)
		return decode_pointer(d, f, value, (const void **)(void *)dst, at);
	return decode_value(d, f->schema, value, dst, at);
}

/* An absent field: its default, or, in an embedded struct, the defaults of the members. */
static int decode_absent(const struct decode *d, const struct field *f, unsigned char *dst, const struct at *at)
{
	if (f->dflt != NULL && c_size(f->schema) > 0) {
		JSON_AUTO value = default_value(f->dflt);
		if (value == NULL)
			return no_memory(d, at);
		/* A default holds no fragment that stays JSON: it would be gone with the tree (a test walks the tables). */
		return decode_field(d, f, value, dst, at);
	}
	if (f->schema->type == SCHEMA_OBJECT && f->schema->size > 0 && !f->pointer)
		return decode_value(d, f->schema, NULL, dst, at);
	return 0;
}

static int decode_object(const struct decode *d, const struct schema *s, const json_t *value, unsigned char *dst,
			 const struct at *up)
{
	if (value != NULL && !json_is_object(value))
		return fail(d, up, -EINVAL, value, "must be an object");
	memset(dst, 0, s->size);
	for (const struct field *f = s->fields; f->name != NULL; f++) {
		if (f->offset == FIELD_NO_OFFSET)
			continue;
		const json_t *member = json_object_get(value, f->name);
		const struct at at = {.up = up, .name = f->name};
		const int rc = member == NULL || json_is_null(member)
				       ? decode_absent(d, f, dst + f->offset, &at)
				       : decode_field(d, f, member, dst + f->offset, &at);
		if (rc < 0)
			return rc;
	}
	return 0;
}

static int decode_value(const struct decode *d, const struct schema *s, const json_t *value, void *dst,
			const struct at *at)
{
	switch (s->type) {
	case SCHEMA_STRING:
	case SCHEMA_TIME:
	case SCHEMA_MICROTIME:
	case SCHEMA_BYTES:
		return decode_string(d, value, dst, at);
	case SCHEMA_QUANTITY:
		return decode_quantity(d, value, dst, at);
	case SCHEMA_BOOL:
		if (!json_is_boolean(value))
			return fail(d, at, -EINVAL, value, "must be true or false");
		*(bool *)dst = json_is_true(value);
		return 0;
	case SCHEMA_INT32:
	case SCHEMA_INT64:
		return decode_int(d, s, value, dst, at);
	case SCHEMA_DOUBLE:
		if (!json_is_number(value))
			return fail(d, at, -EINVAL, value, "must be a number");
		*(double *)dst = json_number_value(value);
		return 0;
	case SCHEMA_DURATION:
		return decode_duration(d, value, dst, at);
	case SCHEMA_OBJECT:
		return decode_object(d, s, value, dst, at);
	case SCHEMA_LIST:
		return s->items->type == SCHEMA_STRING ? decode_strings(d, value, dst, at)
						       : decode_objects(d, s, value, dst, at);
	case SCHEMA_MAP:
		return decode_map(d, value, dst, at);
	case SCHEMA_ANY:
	case SCHEMA_INT_OR_STRING:
		break;
	}
	assert(false && "a value that stays JSON is stored by its field");
	return -EINVAL;
}

int schema_decode(const struct schema *s, const json_t *value, struct arena *arena, void *dst, struct error *err)
{
	assert(s->type == SCHEMA_OBJECT && s->size > 0);
	return decode_value(&(struct decode){.arena = arena, .err = err}, s, value, dst, NULL);
}
