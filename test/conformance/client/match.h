/* Variables of a case, and patterns of answers. */
#pragma once

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>

struct error;
struct map;

/** A copy of @text in which each ${name} is the variable's value; malloc'ed. -EINVAL names one that is not set. */
int vars_fill(const struct map *vars, const char *text, char **ret, struct error *err);
/** Set a variable to a copy of @value. */
int vars_set(struct map *vars, const char *name, const char *value);

/**
 * Whether @got is as @want says: an object has the members of @want (@exact: those alone), a list as many items, each as wanted; null is absent.
 * A text "~RE" is a POSIX extended expression that the value (as text) matches; "=name" takes the value into a variable; a list that begins
 * with "..." holds the items after it, in this order, among others; "{!}" as a member makes that object exact.
 * 0, or -EINVAL with the path, what was wanted and what was there.
 */
int match(const json_t *want, const json_t *got, bool exact, struct map *vars, struct error *err);
