/* JSON Pointer (RFC 6901) for JSON Patch. */
#pragma once

#include <jansson.h>
#include <stddef.h>

/** Place in a tree: the container and the member or index within it. */
struct pointer {
	json_t *parent; /* borrowed; NULL: the whole document */
	char *key;      /* unescaped last token, malloc'ed */
	size_t key_n;   /* it may hold NULs */
	size_t depth;   /* how many tokens */
};

/** Walk @text from @doc up to its last token. 0; -ENOENT: the way does not exist; -EINVAL: no pointer; -ENOMEM. */
int pointer_find(json_t *doc, const char *text, size_t n, struct pointer *ret);
/** Free the key. Accepts a cleared one. */
void pointer_clear(struct pointer *p);
/** Borrowed value at @p, or NULL. @doc is what a pointer to the whole document means. */
json_t *pointer_get(const struct pointer *p, json_t *doc);
/** Index that @p's key means in the list of @size items; SIZE_MAX when it is none. "-" is @size. */
size_t pointer_index(const struct pointer *p, size_t size);
