/*
 * JSONPath templates as kubectl has them (`-o jsonpath=`): "{range .items[*]}{.metadata.name}{\"\\n\"}{end}".
 *
 * Text outside braces stands for itself. Within: .name and ['name'] (dots in a name are escaped: \.), [0], [-1], [from:to:step],
 * [*], [a,b], .*, ..name, @, $, [?(@.x == "y")] with == != < > <= >= or no operator (exists), range/end, quoted text, numbers,
 * true and false. What is absent gives nothing; an index that is out of bounds and a comparison of unlike types are errors.
 * Other than kubectl, an index out of bounds within an "exists" filter means that the thing does not exist, and members keep their order
 * in wildcards. Source: kubernetes.io/docs/reference/kubectl/jsonpath and the behaviour of kubectl 1.32.
 *
 * Threads: a parsed template is immutable and may be used by many at once, on trees of their own.
 */
#pragma once

#include <jansson.h>
#include <stddef.h>

struct error;
struct jsonpath;
struct strbuf;

/** Longest template in bytes. */
#define JSONPATH_TEXT_MAX 65536

/** Parse a template. -EINVAL in kubectl's wording where it has one; -ENOMEM. */
int jsonpath_parse(const char *text, struct jsonpath **ret, struct error *err);
/** Parse a bare path as columns and flags hold them: ".a.b", "a.b", "{.a.b}" and "{a.b}" mean the same. */
int jsonpath_parse_path(const char *text, struct jsonpath **ret, struct error *err);
/**
 * All values that the template's actions find in @root, in order: a new array that shares them. -EINVAL (out of bounds, unlike types),
 * -E2BIG (more than 100,000 values, or too much work), -ENOMEM.
 */
int jsonpath_find(const struct jsonpath *p, json_t *root, json_t **ret, struct error *err);
/** Append what kubectl would print. -EFBIG at @out's maximum, else as jsonpath_find(). */
int jsonpath_print(const struct jsonpath *p, json_t *root, struct strbuf *out, struct error *err);
/** Append one found value as kubectl prints it: text bare, objects and lists as compact JSON with sorted keys. */
void jsonpath_print_value(const json_t *value, struct strbuf *out);
/** Accepts NULL. */
void jsonpath_free(struct jsonpath *p);
