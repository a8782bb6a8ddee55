/*
 * How a field table is written: one macro a field, which also checks at compile time that the C member has the type the decoder writes.
 *
 *	static const struct field freshness_fields[] = {
 *		FIELD_STRING(struct freshness, mode, "mode", .enums = ENUM("Never", "TTL"), .dflt = "\"TTL\"", .doc = "..."),
 *		FIELD_DURATION(struct freshness, ttl_ns, "ttl", .doc = "..."),
 *		FIELD_END,
 *	};
 *	static const struct schema freshness_schema = OBJECT(struct freshness, "Freshness", freshness_fields, .doc = "...");
 *
 * What a value becomes in C:
 *	string, quantity, time, base64   const char *     NULL: absent
 *	bool, int32, int64, double       the C type       0: absent (FIELD_OPT_*: pointer to it, NULL: absent)
 *	duration                         int64_t          nanoseconds, 0: absent
 *	object with a C struct           the struct       zeroed: absent (FIELD_OPT_STRUCT: pointer to it, NULL: absent)
 *	list of strings, map of strings  struct string_list, struct string_map
 *	list of such objects             LIST_OF(struct x) { v, n }
 *	everything else (Kubernetes' fragments, any JSON)   const json_t *, borrowed from the tree; NULL: absent
 */
#pragma once

#include "api/schema.h"

struct string_list {
	const char *const *v;
	size_t n;
};

struct string_pair {
	const char *key, *value;
};

/** Keys in the order of the document. */
struct string_map {
	const struct string_pair *v;
	size_t n;
};

/** The value of @key, or NULL. */
const char *string_map_get(const struct string_map *m, const char *key);

/** The decoded form of a list of objects: an anonymous struct { const T *v; size_t n; }. */
#define LIST_OF(T)                                                                                                     \
	struct {                                                                                                       \
		const T *v;                                                                                            \
		size_t n;                                                                                              \
	}

/* Types that need no table of their own. */
extern const struct schema schema_any, schema_string, schema_bool, schema_int, schema_int32, schema_int64,
	schema_double, schema_int_or_string, schema_quantity, schema_time, schema_micro_time, schema_duration,
	schema_bytes, schema_string_list, schema_string_map, schema_int_map, schema_int32_map, schema_quantity_map,
	schema_free_object;

#define ENUM(...)    ((const char *const[]){__VA_ARGS__, NULL})
#define AT_LEAST(v_) .has_min = true, .min = (v_)
#define AT_MOST(v_)  .has_max = true, .max = (v_)

/* offsetof(T, m), refused by the compiler when the member is no `type`. */
#define FIELD_OFFSET_(T, m, type)                                                                                      \
	(offsetof(T, m) + 0 * sizeof(struct {                                                                          \
				  _Static_assert(__builtin_types_compatible_p(__typeof__(((T *)0)->m), type),          \
						 "the member is no " #type);                                           \
				  char c;                                                                              \
			  }))
#define FIELD_(T, m, type, json, schema_, ...)                                                                         \
	{                                                                                                              \
		.name = (json), .schema = (schema_), .offset = FIELD_OFFSET_(T, m, type), __VA_ARGS__                  \
	}

#define FIELD_STRING(T, m, json, ...)   FIELD_(T, m, const char *, json, &schema_string, __VA_ARGS__)
#define FIELD_QUANTITY(T, m, json, ...) FIELD_(T, m, const char *, json, &schema_quantity, __VA_ARGS__)
#define FIELD_TIME(T, m, json, ...)     FIELD_(T, m, const char *, json, &schema_time, __VA_ARGS__)
#define FIELD_BOOL(T, m, json, ...)     FIELD_(T, m, bool, json, &schema_bool, __VA_ARGS__)
#define FIELD_INT32(T, m, json, ...)    FIELD_(T, m, int32_t, json, &schema_int32, __VA_ARGS__)
#define FIELD_INT64(T, m, json, ...)    FIELD_(T, m, int64_t, json, &schema_int64, __VA_ARGS__)
#define FIELD_DOUBLE(T, m, json, ...)   FIELD_(T, m, double, json, &schema_double, __VA_ARGS__)
#define FIELD_DURATION(T, m, json, ...) FIELD_(T, m, int64_t, json, &schema_duration, __VA_ARGS__)
#define FIELD_OPT_BOOL(T, m, json, ...) FIELD_(T, m, const bool *, json, &schema_bool, .pointer = true, __VA_ARGS__)
#define FIELD_OPT_INT32(T, m, json, ...)                                                                               \
	FIELD_(T, m, const int32_t *, json, &schema_int32, .pointer = true, __VA_ARGS__)
#define FIELD_OPT_INT64(T, m, json, ...)                                                                               \
	FIELD_(T, m, const int64_t *, json, &schema_int64, .pointer = true, __VA_ARGS__)
#define FIELD_STRINGS(T, m, json, ...)    FIELD_(T, m, struct string_list, json, &schema_string_list, __VA_ARGS__)
#define FIELD_STRING_MAP(T, m, json, ...) FIELD_(T, m, struct string_map, json, &schema_string_map, __VA_ARGS__)
/** A fragment that stays JSON: @schema_ has no C struct. */
#define FIELD_JSON(T, m, json, schema_, ...) FIELD_(T, m, const json_t *, json, schema_, __VA_ARGS__)
/** A list of Kubernetes' fragments: one JSON array. */
#define FIELD_JSON_LIST(T, m, json, item, ...) FIELD_(T, m, const json_t *, json, SCHEMA_LIST_OF(item), __VA_ARGS__)
/** An embedded struct; @ctype is its type, checked against the member's. */
#define FIELD_STRUCT(T, m, ctype, json, schema_, ...) FIELD_(T, m, ctype, json, schema_, __VA_ARGS__)
#define FIELD_OPT_STRUCT(T, m, ctype, json, schema_, ...)                                                              \
	FIELD_(T, m, const ctype *, json, schema_, .pointer = true, __VA_ARGS__)
/** A LIST_OF(ctype) of objects. */
#define FIELD_LIST(T, m, ctype, json, item, ...)                                                                       \
	{                                                                                                              \
		.name = (json), .schema = SCHEMA_LIST_OF(item),                                                        \
		.offset = offsetof(T, m) + 0 * FIELD_OFFSET_(T, m.v, const ctype *), __VA_ARGS__                       \
	}
#define FIELD_END                                                                                                      \
	{                                                                                                              \
		.name = NULL                                                                                           \
	}
/** apiVersion and kind of a whole object: known and checked, not decoded. */
#define FIELDS_OF_TYPE                                                                                                 \
	{.name = "apiVersion", .schema = &schema_string, .offset = FIELD_NO_OFFSET},                                   \
	{                                                                                                              \
		.name = "kind", .schema = &schema_string, .offset = FIELD_NO_OFFSET                                    \
	}

/* Types made in place (file scope only: the literal is static there). */
#define SCHEMA_LIST_OF(item) (&(const struct schema){.type = SCHEMA_LIST, .items = (item)})
#define SCHEMA_MAP_OF(item)  (&(const struct schema){.type = SCHEMA_MAP, .items = (item)})
#define OBJECT(T, name_, fields_, ...)                                                                                 \
	{                                                                                                              \
		.type = SCHEMA_OBJECT, .name = (name_), .fields = (fields_), .size = sizeof(T), __VA_ARGS__            \
	}
