/* The items of a set or a list-map by the element ("k:...", "v:...") that names each. */
#pragma once

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>

#include "json/shape.h"

struct error;
struct map;

struct typed_list {
	char **element; /* one an item, owned */
	size_t n;
	struct map *position; /* element to index + 1 of its first item */
};

/**
 * Index @list (NULL or no list: empty). @strict: an item without its keys or named twice is -EINVAL with a message; otherwise such an
 * item is named by its index and stays on its own.
 */
int typed_list_index(const json_t *list, const struct shape *s, const struct shape_ops *ops, bool strict,
		     struct typed_list *ret, struct error *err);
bool typed_list_position(const struct typed_list *l, const char *element, size_t *ret);
/** The item that @element names in @list, which @l indexes; NULL when there is none. Borrowed. */
json_t *typed_list_find(const struct typed_list *l, const json_t *list, const char *element);
void typed_list_clear(struct typed_list *l);

/** Shape of a member or of the elements; unknown ones are the zero shape. @ret_declared (may be NULL): a field, not a map's key. */
struct shape typed_member_shape(const struct shape_ops *ops, const struct shape *s, const char *name,
				bool *ret_declared);
struct shape typed_element_shape(const struct shape_ops *ops, const struct shape *s);
