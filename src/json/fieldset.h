/*
 * Sets of field paths, as managedFields holds them.
 *
 * A set is a jansson object whose members are path elements in FieldsV1's spelling ("f:name", "k:{"name":"x"}", "v:"y"", "i:0") and
 * whose values are the sets below. Unlike FieldsV1, the member "." (true) stands in *every* element that belongs to the set, and
 * no element without members is kept: an empty object is the empty set.
 */
#pragma once

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>

struct error;
struct strbuf;

/** A path being walked: the elements from the root. Elements are borrowed. */
struct field_path {
	const char **element;
	size_t n, cap;
};

int field_path_push(struct field_path *p, const char *element);
void field_path_pop(struct field_path *p);
void field_path_clear(struct field_path *p);

/** Append @p as Kubernetes prints it. */
void field_path_text(const struct field_path *p, struct strbuf *b);

/** Add @p; the empty path is no field and adds nothing. 0 or -ENOMEM. */
int fieldset_insert(json_t *set, const struct field_path *p);
/** New sets, or NULL on no memory. */
json_t *fieldset_union(const json_t *a, const json_t *b);
json_t *fieldset_difference(const json_t *a, const json_t *b);
json_t *fieldset_intersection(const json_t *a, const json_t *b);
/** @a without what @b names and without everything below that. */
json_t *fieldset_exclude(const json_t *a, const json_t *b);
bool fieldset_has(const json_t *node, const char *element);
bool fieldset_empty(const json_t *set);
bool fieldset_same(const json_t *a, const json_t *b);

/** The canonical element of a list item: kind 'k' with the object of its keys, 'v' with its value. malloc'ed. 0 or -ENOMEM. */
int fieldset_element(char kind, const json_t *value, char **ret);

/** From FieldsV1: elements are brought into their canonical spelling. 0 and a new set; -EINVAL: not FieldsV1; -ENOMEM. */
int fieldset_decode(const json_t *fields_v1, json_t **ret, struct error *err);
/** A new FieldsV1 with sorted members, or NULL on no memory. */
json_t *fieldset_encode(const json_t *set);

/** Call @fn with each path as Kubernetes prints it (".spec.containers[name=\"x\"].image"), in its order, until it fails. */
int fieldset_each(const json_t *set, int (*fn)(void *ctx, const char *path), void *ctx);
