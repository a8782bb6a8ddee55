/*
 * Arena: a bump allocator for many small values with one lifetime (a decoded document, one request).
 * Nothing is freed singly; arena_free() drops all. Not thread safe.
 */
#pragma once

#include <stddef.h>

struct arena_block;

struct arena {
	struct arena_block *head;
	size_t total, limit; /* limit: refuse to grow past it (hostile input) */
};

#define ARENA_INIT(max) ((struct arena){.limit = (max)})

/** @size zeroed bytes aligned for any type, or NULL when memory or the limit is exhausted. */
void *arena_alloc(struct arena *a, size_t size);
/** @n zeroed elements of @size bytes; NULL on overflow too. */
void *arena_alloc_array(struct arena *a, size_t n, size_t size);
/** Copy of @n bytes of @s with a NUL behind them, or NULL. */
char *arena_strndup(struct arena *a, const char *s, size_t n);
/** Copy of @s, or NULL (also for a NULL @s). */
char *arena_strdup(struct arena *a, const char *s);
/** A formatted string in the arena, or NULL. */
char *arena_printf(struct arena *a, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
/** Free everything; the arena may be used again. Accepts NULL. */
void arena_free(struct arena *a);
