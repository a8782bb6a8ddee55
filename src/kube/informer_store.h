/*
 * Inside src/kube only: the objects of an informer as compact bytes beside key and version, with indexes.
 * Threads: one writer (the informer's thread); readers from any thread.
 */
#pragma once

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

struct informer_store;

/** NULL on no memory. */
struct informer_store *informer_store_new(void);
/** Accepts NULL. */
void informer_store_free(struct informer_store *s);
/** Before the first object. 0 or -ENOMEM. */
int informer_store_add_index(struct informer_store *s, const char *name, char *(*key_of)(const json_t *obj));

/** A new generation begins (a list): what informer_store_touch() and _put() do not reach in it is stale at its end. */
void informer_store_begin(struct informer_store *s);
/** Whether ns/name is there in version @rv already; then it is marked as seen in this generation. */
bool informer_store_touch(struct informer_store *s, const char *ns, const char *name, const char *rv);
/** Keep @obj. *@ret_old is a new tree of what was there before (NULL: nothing), made only when @want_old. 0, -ENOMEM, -EINVAL (no name). */
int informer_store_put(struct informer_store *s, const json_t *obj, bool want_old, bool *ret_existed, json_t **ret_old);
/** Remove ns/name; true when it was there. */
bool informer_store_remove(struct informer_store *s, const char *ns, const char *name);
/** A new tree of one object that the running generation did not reach, removed from the store; NULL when there is none left. */
json_t *informer_store_take_stale(struct informer_store *s);

json_t *informer_store_get(struct informer_store *s, const char *ns, const char *name);
json_t *informer_store_list(struct informer_store *s, const char *ns);
/** As informer_visit(). */
int informer_store_visit(struct informer_store *s, bool (*fn)(void *ctx, const json_t *obj), void *ctx);
json_t *informer_store_list_by(struct informer_store *s, const char *index, const char *key);
