/*
 * JSON on jansson: reading with limits and exact error places, compact writing, paths into trees.
 *
 * Trees are jansson's: "new" means the caller owns a reference (json_decref), "borrowed" that the tree does.
 * Threads: a tree belongs to one thread at a time.
 */
#pragma once

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/cleanup.h"

struct error;
struct strbuf;

#define JSON_MAX_DEPTH 256

static inline void json_decref_p(json_t **j)
{
	json_decref(*j);
}
#define JSON_AUTO CLEANUP(json_decref_p) json_t *

/**
 * Parse exactly one JSON value of @n bytes (NULs inside strings allowed; depth at most JSON_MAX_DEPTH; any value at top).
 * 0 and a new tree, or -EINVAL with line and column in @err, -ENOMEM.
 */
int json_parse(const char *text, size_t n, json_t **ret, struct error *err);
/** Compact text, keys in insertion order; malloc'ed, owned by the caller; NULL on no memory. @ret_n may be NULL. */
char *json_to_text(const json_t *j, size_t *ret_n);
/** The same, indented by 4 as kubectl prints (@indent 0: compact). */
char *json_to_text_indent(const json_t *j, size_t indent);
/** Append the compact text of @j; @b fails when it cannot be written. */
void json_add_text(struct strbuf *b, const json_t *j);

/*
 * Paths: members separated by '.', list items by [i] or [key=value] ("spec.template.spec.containers[name=fuse].image").
 * A member whose name has dots is quoted: metadata.labels["a.b/c"]. A malformed path is a bug (assert): paths are never user input.
 */
/** Borrowed value at @path, or NULL. Accepts a NULL @j. */
json_t *json_at(const json_t *j, const char *path);
/** String at @path, or @dflt when absent or no string. Borrowed. */
const char *json_str(const json_t *j, const char *path, const char *dflt);
int64_t json_int(const json_t *j, const char *path, int64_t dflt);
bool json_bool(const json_t *j, const char *path, bool dflt);
/** Set @path to @value (the reference is taken, also on failure), making objects and [key=value] items on the way. 0 or -ENOMEM/-EINVAL (something on the way is no container). */
int json_put(json_t *j, const char *path, json_t *value);
int json_put_str(json_t *j, const char *path, const char *value);
int json_put_int(json_t *j, const char *path, int64_t value);
int json_put_bool(json_t *j, const char *path, bool value);
/** Remove what is at @path; absent is fine. */
void json_drop(json_t *j, const char *path);
/** Append @value (reference taken) to the list at @path, making the list. */
int json_push(json_t *j, const char *path, json_t *value);

/** Deep equality as Kubernetes sees it: 1 and 1.0 are equal. */
bool json_same(const json_t *a, const json_t *b);

/*
 * A scan of the raw text for what a tree cannot show: duplicate keys.
 */
/** Call @fn with the path ("spec.a") of each duplicate key. 0, or -EINVAL when @text is no JSON. */
int json_scan_duplicates(const char *text, size_t n, void (*fn)(void *ctx, const char *path), void *ctx);
