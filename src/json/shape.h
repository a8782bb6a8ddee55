/*
 * What merging must know of a type: the schema comes in as callbacks, so that built-in tables and CRDs look alike.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>

enum list_type { LIST_ATOMIC, LIST_SET, LIST_MAP };

/** One value's type as merging sees it. The zero value means "unknown": objects merge by member, lists are atomic. */
struct shape {
	const void *type;             /* what member()/element() of its shape_ops understand; NULL: unknown below */
	bool atomic;                  /* object: replaced as a whole by apply (x-kubernetes-map-type: atomic) */
	enum list_type list;          /* list: x-kubernetes-list-type, for server-side apply */
	const char *const *list_keys; /* LIST_MAP: NULL-terminated member names */
	/** Default of a key member ("\"TCP\""); may be NULL. */
	bool (*key_default)(const void *element_type, const char *key, const char **ret_json);
	const char *patch_merge_key; /* list: strategic merge by this member; "": of scalars; NULL replaces */
	bool patch_retain_keys;      /* object: patchStrategy retainKeys */
	bool map;              /* object: names are keys of a map, not declared fields (an entry is owned as such) */
	bool granular_unknown; /* object: track unknown members below (CRD preserve-unknown-fields) */
};

struct shape_ops {
	/** The shape of member @name of an object of @s (a map's value type for any name). False: no such member is known. */
	bool (*member)(const struct shape *s, const char *name, struct shape *ret);
	/** The shape of the elements of a list of @s. */
	bool (*element)(const struct shape *s, struct shape *ret);
};
