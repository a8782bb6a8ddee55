/* What apply.c and track.c share. */
#pragma once

#include <jansson.h>

struct apply_options;
struct error;
struct owner;
struct owners;

/** The fields that this request cannot own: the system's and those the caller ignores. A new set, or NULL on no memory. */
json_t *apply_unowned(const struct apply_options *o);
/** Take the system's fields out of all sets. 0 or -ENOMEM. */
int apply_strip(struct owners *ms);
/** Take @fields from every manager but @self (may be NULL). 0 or -ENOMEM. */
int apply_take(struct owners *ms, const struct owner *self, const json_t *fields);
/** Write metadata.managedFields, or drop it when nobody owns anything. */
int apply_put_managers(json_t *object, struct owners *ms, struct error *err);
