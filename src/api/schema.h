/*
 * The field table: a type described once. From it come decoding, defaults, validation, CRDs, OpenAPI, protobuf request bodies,
 * strategic merge and apply shapes, `explain` and the reference pages. Kubernetes' own types and the schemas of CRDs that the local API
 * serves use the same structures (the latter built at run time in an arena).
 */
#pragma once

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "json/shape.h"

struct arena;
struct error;

enum schema_type {
	SCHEMA_ANY, /* any JSON (RawExtension, x-kubernetes-preserve-unknown-fields) */
	SCHEMA_STRING,
	SCHEMA_BOOL,
	SCHEMA_INT32,
	SCHEMA_INT64,
	SCHEMA_DOUBLE,
	SCHEMA_INT_OR_STRING,
	SCHEMA_QUANTITY,
	SCHEMA_TIME, /* RFC 3339 with seconds */
	SCHEMA_MICROTIME,
	SCHEMA_DURATION, /* metav1.Duration, a Go duration */
	SCHEMA_BYTES,    /* base64 in JSON */
	SCHEMA_OBJECT,   /* fields */
	SCHEMA_LIST,     /* items */
	SCHEMA_MAP,      /* string keys to items */
};

struct field;

/** A type. Immutable once built; static tables are const. */
struct schema {
	enum schema_type type;
	const char *name;           /* "core.v1.Container", "DatasetSpec"; NULL: anonymous */
	const char *doc;            /* one sentence of our own; NULL: none */
	const struct field *fields; /* SCHEMA_OBJECT: ends with .name == NULL */
	const struct schema *items; /* SCHEMA_LIST, SCHEMA_MAP */
	/* What the field of a list or map cannot say of its items: only its constraints count; NULL: none. */
	const struct field *items_rules;
	size_t size;            /* sizeof the C struct it decodes into; 0: never decoded */
	bool map_atomic;        /* x-kubernetes-map-type: atomic */
	bool preserve_unknown;  /* keeps members that no field names */
	bool embedded_resource; /* x-kubernetes-embedded-resource */
	/* CRD vocabulary beyond the field's own (only run-time schemas set these) */
	/* The openAPIV3Schema it was built from, for publishing and for allOf/anyOf/oneOf/not; borrowed. */
	const json_t *raw;
};

#define FIELD_NO_OFFSET SIZE_MAX

/** One member of an object, with everything known of its value at that place. */
struct field {
	const char *name;            /* JSON name; NULL ends a table */
	const struct schema *schema; /* type of the value */
	size_t offset;               /* in the C struct; FIELD_NO_OFFSET: not decoded */
	bool pointer;                /* the C member points to the value, NULL when absent (api/field.h) */
	const char *doc;
	uint32_t pb;       /* protobuf field number; 0: not in that form */
	uint32_t pb_outer; /* number of the embedded message that JSON flattens; 0: none */
	bool pb_optional;  /* a zero in that form was meant (a pointer in Go); others are sent whether set or not */
	bool required, nullable;
	bool immutable; /* may not change after creation (unset to set counts as a change) */
	bool has_min, has_max;
	double min, max;                /* numbers */
	int64_t min_length, max_length; /* strings; max 0: none */
	int64_t min_items, max_items;   /* lists; min_properties/max_properties of maps too; max 0: none */
	const char *pattern;            /* strings; PCRE2 with match limits */
	const char *format;             /* OpenAPI format where it is not the type's own */
	const char *const *enums;       /* NULL-terminated; strings */
	const char *dflt;               /* JSON text of the default; NULL: none */
	enum list_type list;
	const char *const *list_keys;
	const char *patch_merge_key; /* as in struct shape */
	bool patch_retain_keys;
};

/** Shapes of schema trees for json/patch.h and json/apply.h; a shape's `type` is made by schema_shape(). */
extern const struct shape_ops schema_shape_ops;
struct shape schema_shape(const struct schema *s);

/** What is wrong at one place. */
struct violation {
	const char *path;    /* "spec.replicas", "spec.mounts[0].mountPoint" */
	const char *reason;  /* FieldValueInvalid, FieldValueRequired ... as in Status causes */
	const char *message; /* "Invalid value: -1: spec.replicas in body should be greater than or equal to 0" */
};

/** Violations gathered in an arena, at most 100. */
struct violations {
	struct arena *arena;
	struct violation v[100];
	size_t n;
};

void violation_add(struct violations *vs, const char *path, const char *reason, const char *fmt, ...)
	__attribute__((format(printf, 4, 5)));

/*
 * Kubernetes' own types ("core.v1.Pod") obey Go's rules: null is absent, numbers and flags may be left out, messages have the wording of
 * its validation. All others obey those of CRDs. A Kubernetes type inside another kind (a Toleration in a Dataset) is checked for its
 * types and required members alone, as a CRD would.
 */
/** Whether @s is a type of Kubernetes itself. */
bool schema_is_native(const struct schema *s);

/** Fill in defaults where members are absent (or null and not nullable), at any depth. 0 or -ENOMEM. */
int schema_default(const struct schema *s, json_t *value);
/** Remove members that no field knows. Each removed path is reported to @fn (may be NULL). */
void schema_prune(const struct schema *s, json_t *value, void (*fn)(void *ctx, const char *path), void *ctx);
/** Check types, required, enums, patterns, bounds, list sets and map keys. Kubernetes' wording. */
void schema_validate(const struct schema *s, const json_t *value, const char *path, struct violations *ret);
/**
 * Check immutable fields between two versions. Unset to set is a change, at any depth: an absent parent is an empty one. An absent field with
 * a default has that value.
 */
void schema_validate_update(const struct schema *s, const json_t *before, const json_t *after, const char *path,
			    struct violations *ret);
/** The immutable fields of @value alone (an object of @s), as they are. New tree, NULL on no memory. */
json_t *schema_fixed(const struct schema *s, const json_t *value);
/** Set the immutable fields of @value to what they are in @before (or in schema_fixed() of it); others stay. 0 or -ENOMEM. */
int schema_fixed_restore(const struct schema *s, const json_t *before, json_t *value);
/** Differs between versions of a table that have other immutable fields. */
uint64_t schema_fixed_hash(const struct schema *s);
/**
 * Decode into the C struct of the table (zeroed by the callee, @dst of s->size bytes), everything in @arena: strings and lists are copied,
 * SCHEMA_ANY and un-sized types become borrowed json_t pointers into @value, which must outlive @dst. Defaults are applied to absent fields.
 * -EINVAL with the field's path and value in @err.
 */
int schema_decode(const struct schema *s, const json_t *value, struct arena *arena, void *dst, struct error *err);
/** The openAPIV3Schema of a CRD: everything inlined, structural. New tree. */
json_t *schema_to_openapi(const struct schema *s);
/** Build a schema from a CRD's openAPIV3Schema in @arena (@json must outlive it). -EINVAL with Kubernetes' wording when it is not structural or uses what we do not serve (CEL rules). */
int schema_from_openapi(const json_t *json, struct arena *arena, const struct schema **ret, struct error *err);
/** The field @name of an object schema, or NULL. */
const struct field *schema_field(const struct schema *s, const char *name);
