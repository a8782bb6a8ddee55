/*
 * How the tables of Kubernetes' types are written: MACRO("name", protobuf number, [type,] traits ...). Nothing here has a C struct.
 * Numbers are those of the API's .proto files: they never change once published.
 */
#pragma once

#include "api/kind.h"
#include "api/kubernetes/types.h"

extern const struct schema kubernetes_bytes_map, kubernetes_int32_list, kubernetes_int64_list, kubernetes_any_list,
	kubernetes_atomic_string_map;

#define PLAIN_(name_, pb_, schema_, ...)                                                                               \
	{                                                                                                              \
		.name = (name_), .schema = (schema_), .offset = FIELD_NO_OFFSET, .pb = (pb_), __VA_ARGS__              \
	}

#define STRING(name, pb, ...)            PLAIN_(name, pb, &schema_string, __VA_ARGS__)
#define BOOL(name, pb, ...)              PLAIN_(name, pb, &schema_bool, __VA_ARGS__)
#define INT32(name, pb, ...)             PLAIN_(name, pb, &schema_int32, __VA_ARGS__)
#define INT64(name, pb, ...)             PLAIN_(name, pb, &schema_int64, __VA_ARGS__)
#define DOUBLE(name, pb, ...)            PLAIN_(name, pb, &schema_double, __VA_ARGS__)
#define QUANTITY(name, pb, ...)          PLAIN_(name, pb, &schema_quantity, __VA_ARGS__)
#define INT_OR_STRING(name, pb, ...)     PLAIN_(name, pb, &schema_int_or_string, __VA_ARGS__)
#define TIME(name, pb, ...)              PLAIN_(name, pb, &schema_time, __VA_ARGS__)
#define MICRO_TIME(name, pb, ...)        PLAIN_(name, pb, &schema_micro_time, __VA_ARGS__)
#define BYTES(name, pb, ...)             PLAIN_(name, pb, &schema_bytes, __VA_ARGS__)
#define ANY(name, pb, ...)               PLAIN_(name, pb, &schema_any, __VA_ARGS__)
#define FREE_OBJECT(name, pb, ...)       PLAIN_(name, pb, &schema_free_object, __VA_ARGS__)
#define STRINGS(name, pb, ...)           PLAIN_(name, pb, &schema_string_list, __VA_ARGS__)
#define INT32S(name, pb, ...)            PLAIN_(name, pb, &kubernetes_int32_list, __VA_ARGS__)
#define INT64S(name, pb, ...)            PLAIN_(name, pb, &kubernetes_int64_list, __VA_ARGS__)
#define ANYS(name, pb, ...)              PLAIN_(name, pb, &kubernetes_any_list, __VA_ARGS__)
#define STRING_MAP(name, pb, ...)        PLAIN_(name, pb, &schema_string_map, __VA_ARGS__)
#define ATOMIC_STRING_MAP(name, pb, ...) PLAIN_(name, pb, &kubernetes_atomic_string_map, __VA_ARGS__)
#define BYTES_MAP(name, pb, ...)         PLAIN_(name, pb, &kubernetes_bytes_map, __VA_ARGS__)
#define QUANTITY_MAP(name, pb, ...)      PLAIN_(name, pb, &schema_quantity_map, __VA_ARGS__)
#define OBJ(name, pb, type_, ...)        PLAIN_(name, pb, &type_, __VA_ARGS__)
#define LIST(name, pb, type_, ...)       PLAIN_(name, pb, SCHEMA_LIST_OF(&type_), __VA_ARGS__)
#define MAP(name, pb, type_, ...)        PLAIN_(name, pb, SCHEMA_MAP_OF(&type_), __VA_ARGS__)
/** apiVersion and kind of a whole object: its protobuf form has them in the envelope. */
#define TYPE_META                                                                                                      \
	STRING("apiVersion", 0, DOC("Group and version of the API, as group/version.")),                               \
		STRING("kind", 0, DOC("Kind of the object."))

/* Traits. */
#define REQUIRED      .required = true
#define IMMUTABLE     .immutable = true
#define DEFAULT(json) .dflt = (json)
#define ONE_OF(...)   .enums = ENUM(__VA_ARGS__)
#define PORT          AT_LEAST(1), AT_MOST(65535)
#define DOC(text)     .doc = (text)
/** Sent only when it is set, so that zero is a value. */
#define OPTIONAL .pb_optional = true
/** The member belongs to an embedded message of this number, which JSON flattens. */
#define OUTER(number) .pb_outer = (number)
/** Lists for server-side apply: a set, or a map by these members. */
#define SET        .list = LIST_SET
#define KEYED(...) .list = LIST_MAP, .list_keys = ENUM(__VA_ARGS__)
/** Lists for strategic merge: by this member; "" for lists of scalars. */
#define MERGE(key)  .patch_merge_key = (key)
#define RETAIN_KEYS .patch_retain_keys = true

#define TYPE_OF(var, name_, fields_, ...)                                                                              \
	const struct schema var = {.type = SCHEMA_OBJECT, .name = (name_), .fields = (fields_), __VA_ARGS__}
/** The type @var, whose table is @var_fields. */
#define TYPE(var, name, ...) TYPE_OF(var, name, var##_fields, __VA_ARGS__)
