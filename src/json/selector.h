/*
 * Label and field selectors, parsed from their text forms and from LabelSelector objects.
 * Threads: a parsed selector is immutable.
 */
#pragma once

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>

struct error;

struct label_selector;

/** Parse "a=b,c!=d,e in (f,g),h,!i". "" matches everything. -EINVAL with Kubernetes' wording ("found '(', expected: ..."). At most 64 KiB. */
int label_selector_parse(const char *text, struct label_selector **ret, struct error *err);
/** From a LabelSelector {matchLabels, matchExpressions}. NULL or JSON null matches nothing, {} everything. */
int label_selector_from_json(const json_t *selector, struct label_selector **ret, struct error *err);
/** @labels: an object of strings, or NULL. */
bool label_selector_matches(const struct label_selector *s, const json_t *labels);
/** Accepts NULL. */
void label_selector_free(struct label_selector *s);

struct field_selector;

/** Parse "metadata.name=x,spec.nodeName!=y" (also ==). */
int field_selector_parse(const char *text, struct field_selector **ret, struct error *err);
/** Call @fn for each requirement's path until it returns non-zero; returns that (used to refuse unknown paths). */
int field_selector_each(const struct field_selector *s, int (*fn)(void *ctx, const char *path), void *ctx);
/** Values are looked up by path in @obj: strings as they are, numbers and bools as text, absent as "". */
bool field_selector_matches(const struct field_selector *s, const json_t *obj);
/** The value required by "path=value", or NULL when there is no such requirement. Borrowed. */
const char *field_selector_value(const struct field_selector *s, const char *path);
void field_selector_free(struct field_selector *s);
