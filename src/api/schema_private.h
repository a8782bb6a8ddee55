/* What the parts of the schema module share; not for others. */
#pragma once

#include "api/field.h"

/** A place in a document: a chain on the stack, written out only when something is wrong there. */
struct at {
	const struct at *up;
	const char *name; /* NULL: the item @index of a list */
	size_t index;
	bool key;                /* @name is the key of a map, which Kubernetes' own types write as [name] */
	const struct schema *of; /* the object type that @name is a field of; NULL: an item, an entry */
};

/** The path of @at behind @base, cut with "..." when it is too long; returns @out. */
const char *at_path(const struct at *at, const char *base, char *out, size_t size);

/** JSON text of @value for a message, cut when long; returns @out. */
const char *value_text(const json_t *value, char *out, size_t size);

/** New value of a default's JSON text, NULL on no memory. */
json_t *default_value(const char *text);

/** Whether @text matches @pattern: 1, 0, or negative: -EINVAL (no pattern), -ENOMEM, -E2BIG (past the limits). Thread safe. */
int pattern_match(const char *pattern, const char *text, size_t n);
/** Whether @pattern compiles; the reason in @err. */
int pattern_check(const char *pattern, struct error *err);

/** RFC 3339 with an offset, fractions allowed. */
bool time_is_valid(const char *text);
/** Whether the string @value is a quantity. */
bool string_is_quantity(const json_t *value);
/** Standard base64 with padding. */
bool base64_is_valid(const char *text, size_t n);

/** The constraints of an openAPIV3Schema that a field has (bounds, pattern, string enums, list type), strings in @arena. 0 or -ENOMEM. */
int rules_from_openapi(const json_t *json, struct arena *arena, struct field *ret);

struct check {
	struct violations *vs;
	const char *base;
	bool native;
};
/** Report at @at. */
__attribute__((format(printf, 4, 5))) void check_fail(struct check *c, const struct at *at, const char *reason,
						      const char *fmt, ...);
/** Check @value against the constraints of @rules, without its type. */
void check_rules(struct check *c, const struct field *rules, const json_t *value, const struct at *at);
/** Check what only a run-time schema says: allOf, anyOf, oneOf, not, enums of any type, multipleOf, exclusive bounds. */
void check_raw(struct check *c, const json_t *raw, const json_t *value, const struct at *at);
