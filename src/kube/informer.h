/*
 * Informer: keeps a local copy of every object of one resource and tells handlers what changed (list, then watch; resumes;
 * lists again after 410). Objects are kept as compact bytes beside key, version and indexed labels, and decoded on demand.
 *
 * Threads: informer_get/list from any thread; handlers run on the informer's own thread, one at a time, in order, without locks held;
 * handlers and transform must be added before informer_start().
 * Ownership: the informer borrows the client, which must outlive it.
 */
#pragma once

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

struct error;
struct informer;
struct kube_client;
struct kube_resource;
struct logger;

enum informer_event { INFORMER_ADDED, INFORMER_UPDATED, INFORMER_DELETED };

struct informer_options {
	const char *ns;                              /* NULL: all */
	const char *label_selector, *field_selector; /* NULL: none */
	/** Drop from @obj what nobody reads, before it is kept (managedFields are always dropped). May be NULL. */
	void (*transform)(json_t *obj);
	struct logger *log;
};

int informer_new(struct kube_client *c, const struct kube_resource *r, const struct informer_options *o,
		 struct informer **ret, struct error *err);
/** @old is NULL for ADDED; for DELETED @obj is the last known state. Both borrowed for the call. */
typedef void (*informer_handler)(void *ctx, enum informer_event ev, const json_t *old, const json_t *obj);
int informer_add_handler(struct informer *inf, informer_handler fn, void *ctx);
/** Group objects by strings derived from each (malloc'ed, one a line; NULL: none), for informer_list_by(). Before start. @name is borrowed. */
int informer_add_index(struct informer *inf, const char *name, char *(*key_of)(const json_t *obj));
int informer_start(struct informer *inf, struct error *err);
/** Whether the first list is in and its handlers have run. */
bool informer_synced(const struct informer *inf);
/** Wait for that. 0, -ETIMEDOUT, -ECANCELED: it was stopped, or @stop_fd (-1: none) became readable. Any thread. */
int informer_wait_synced(struct informer *inf, int64_t deadline_mono_ns, int stop_fd);
/** How many pages its lists have brought: grows as long as a large one comes in. */
unsigned informer_pages(const struct informer *inf);
/** New tree of ns/name (ns "" for cluster scope), or NULL when absent. */
json_t *informer_get(struct informer *inf, const char *ns, const char *name);
/** New array of all objects in @ns (NULL: all); NULL on no memory. */
json_t *informer_list(struct informer *inf, const char *ns);
/** Give one object after the other to @fn, decoded only then, until it says false. 0 or -ENOMEM. */
int informer_visit(struct informer *inf, bool (*fn)(void *ctx, const json_t *obj), void *ctx);
/** New array of the objects whose index @name is @key. */
json_t *informer_list_by(struct informer *inf, const char *name, const char *key);
const struct kube_resource *informer_resource(const struct informer *inf);
/** Ask it to stop without waiting; informer_free() then waits less. Any thread. */
void informer_stop(struct informer *inf);
/** Stop the watch (within a second), join its thread, free. Accepts NULL. */
void informer_free(struct informer *inf);
