/* What may not change after creation: compared between two versions, told apart from the rest, and given back. */
#include <errno.h>
#include <string.h>

#include "api/schema_private.h"
#include "base/cleanup.h"
#include "json/json.h"
#include "json/quantity.h"

static const json_t *present(const json_t *object, const char *name)
{
	const json_t *value = json_object_get(object, name);
	return json_is_null(value) ? NULL : value;
}

/* Items of lists come and go: what may not change inside one is a matter of the list as a whole. */
static bool goes_inside(const struct field *f)
{
	return !f->immutable && f->schema->type == SCHEMA_OBJECT && f->schema->fields != NULL;
}

static bool same_values(const struct schema *s, const json_t *a, const json_t *b)
{
	if (a == NULL || b == NULL)
		return a == b;
	if (s->type == SCHEMA_QUANTITY && json_is_string(a) && json_is_string(b) && string_is_quantity(a) &&
	    string_is_quantity(b))
		return quantity_compare(json_string_value(a), json_string_value(b)) == 0;
	return json_same(a, b);
}

/* An absent field is what its default says: a parent that is set later brings the default with it. */
static bool is_same(const struct field *f, const json_t *was, const json_t *is)
{
	if (f->dflt == NULL || (was == NULL) == (is == NULL))
		return same_values(f->schema, was, is);
	JSON_AUTO value = default_value(f->dflt);
	return same_values(f->schema, was != NULL ? was : value, is != NULL ? is : value);
}

/* --- compared ------------------------------------------------------------------------------------------------------------------- */

/* Either may be absent (NULL), which is the same as empty: a field inside is not set by setting its parent. */
static void update_value(struct check *c, const struct schema *s, const json_t *before, const json_t *after,
			 const struct at *up)
{
	for (const struct field *f = s->fields; f->name != NULL; f++) {
		const struct at at = {.up = up, .name = f->name};
		const json_t *was = present(before, f->name), *is = present(after, f->name);
		char text[256];
		if (f->immutable && !is_same(f, was, is))
			check_fail(c, &at, "FieldValueInvalid", "Invalid value: %s: field is immutable",
				   is == NULL ? "null" : value_text(is, text, sizeof text));
		else if (goes_inside(f) && (was != NULL || is != NULL))
			update_value(c, f->schema, was, is, &at);
	}
}

void schema_validate_update(const struct schema *s, const json_t *before, const json_t *after, const char *path,
			    struct violations *ret)
{
	struct check c = {.vs = ret, .base = path == NULL ? "" : path, .native = schema_is_native(s)};
	if (s->type == SCHEMA_OBJECT && s->fields != NULL)
		update_value(&c, s, before, after, NULL);
}

/* --- told apart and given back -------------------------------------------------------------------------------------------------- */

json_t *schema_fixed(const struct schema *s, const json_t *value)
{
	JSON_AUTO out = json_object();
	if (out == NULL)
		return NULL;
	for (const struct field *f = s->fields; f->name != NULL; f++) {
		const json_t *v = present(value, f->name);
		if (v == NULL || (!f->immutable && !goes_inside(f)))
			continue;
		JSON_AUTO part = f->immutable ? json_deep_copy(v) : schema_fixed(f->schema, v);
		if (part == NULL)
			return NULL;
		if ((f->immutable || json_object_size(part) > 0) && json_object_set(out, f->name, part) < 0)
			return NULL;
	}
	return TAKE(out);
}

int schema_fixed_restore(const struct schema *s, const json_t *before, json_t *value)
{
	int rc = 0;
	for (const struct field *f = s->fields; f->name != NULL && rc == 0; f++) {
		const json_t *was = present(before, f->name);
		json_t *is = json_object_get(value, f->name);
		if (f->immutable && was != NULL && !is_same(f, was, present(value, f->name)))
			rc = json_object_set_new(value, f->name, json_deep_copy(was)) < 0 ? -ENOMEM : 0;
		else if (f->immutable && was == NULL)
			(void)json_object_del(value, f->name); /* absent is fine */
		else if (goes_inside(f) && was != NULL && !json_is_object(is))
			rc = json_object_set_new(value, f->name, json_deep_copy(was)) < 0 ? -ENOMEM : 0;
		else if (goes_inside(f) && json_is_object(is))
			rc = schema_fixed_restore(f->schema, was, is);
	}
	return rc;
}

static uint64_t hash_text(uint64_t h, const char *text)
{
	do /* the end of the text too: "a.bc" is not "ab.c" */
		h = (h ^ (unsigned char)*text) * UINT64_C(0x100000001b3);
	while (*text++ != '\0');
	return h;
}

static uint64_t hash_fixed(const struct schema *s, uint64_t h)
{
	for (const struct field *f = s->fields; f->name != NULL; f++) {
		/* Kubernetes' types may hold themselves, and say nothing of immutability inside our kinds. */
		const bool inside = goes_inside(f) && !schema_is_native(f->schema);
		if (f->immutable || inside)
			h = hash_text(h, f->name);
		if (inside)
			h = hash_text(hash_fixed(f->schema, h), "}");
	}
	return h;
}

uint64_t schema_fixed_hash(const struct schema *s)
{
	return hash_fixed(s, UINT64_C(0xcbf29ce484222325));
}
