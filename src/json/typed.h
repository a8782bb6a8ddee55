/*
 * What apply does to objects by their shapes: which fields an object sets, what differs between two, how they merge, and taking
 * fields out. Objects merge by member and lists by key or value unless their shape says atomic; of what no shape knows, objects
 * merge and lists are atomic. Inputs are never changed. Errors: -EINVAL (a list item without its key, or twice), -ENOMEM.
 */
#pragma once

#include <jansson.h>

struct error;
struct shape;
struct shape_ops;

/** Differences of two objects as field sets (fieldset.h), all owned: typed_comparison_clear(). */
struct typed_comparison {
	json_t *added, *modified, *removed;
};

/** The fields that @v sets. A new set in *@ret. Strict about list keys. */
int typed_fields(const json_t *v, const struct shape *s, const struct shape_ops *ops, json_t **ret, struct error *err);
/** What changed from @from to @to; either may be NULL (absent). */
int typed_compare(const json_t *from, const json_t *to, const struct shape *s, const struct shape_ops *ops,
		  struct typed_comparison *ret, struct error *err);
void typed_comparison_clear(struct typed_comparison *c);
/** @over laid on @base (NULL: absent); a new value. */
int typed_merge(const json_t *base, const json_t *over, const struct shape *s, const struct shape_ops *ops,
		json_t **ret, struct error *err);
/** @v without the fields of @set; containers that become empty go too. A new value. */
int typed_remove(const json_t *v, const json_t *set, const struct shape *s, const struct shape_ops *ops, json_t **ret,
		 struct error *err);
/** @set in which each declared field that has members below it is a member itself. A new set. */
int typed_name_fields(const json_t *set, const struct shape *s, const struct shape_ops *ops, json_t **ret,
		      struct error *err);
/** Take the members out of @v, the result of a merge, that @config sets to null: such a null says "not there". */
int typed_drop_nulls(json_t *v, const json_t *config, const struct shape *s, const struct shape_ops *ops,
		     struct error *err);
