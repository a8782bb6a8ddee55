/*
 * map: string keys (copied) to pointers. Insertion order is kept by iteration while nothing is removed.
 * Not thread safe. Hash is seeded per process, so hostile keys cannot be chosen to collide.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>

struct map;

/** Create an empty map; @free_value (may be NULL) is called for each value that is replaced or removed. NULL on no memory. */
struct map *map_new(void (*free_value)(void *value));
/** Free the map and its values. Accepts NULL. */
void map_free(struct map *m);
/** The value of @key, or NULL. */
void *map_get(const struct map *m, const char *key);
bool map_has(const struct map *m, const char *key);
/** Set or replace. Takes @value. 0 or -ENOMEM (then @value stays the caller's). */
int map_set(struct map *m, const char *key, void *value);
/** Remove and free the value. True when it was there. */
bool map_remove(struct map *m, const char *key);
/** Remove and give the value to the caller; NULL when absent. */
void *map_steal(struct map *m, const char *key);
size_t map_size(const struct map *m);
/**
 * Iterate: start with *@pos = 0; false at the end. The map may not be changed meanwhile,
 * except that the entry just returned may be removed.
 */
bool map_next(const struct map *m, size_t *pos, const char **ret_key, void **ret_value);

static inline void map_free_p(struct map **m)
{
	map_free(*m);
}
