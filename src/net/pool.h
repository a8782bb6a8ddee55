/*
 * A fixed number of worker threads behind a bounded queue. What waits belongs to flows (clients), which take turns: one of them that asks for
 * much waits for itself, the others go on.
 * Threads: pool_submit() from any thread; new and free by the owner.
 */
#pragma once

#include <stddef.h>

struct pool;

/** What is queued embeds one of these. */
struct pool_item {
	struct pool_item *next;
};

/** A queue within the queue. Zeroed but for @max; the caller's, and must outlive its items. */
struct pool_flow {
	size_t max; /* how many of its items may wait; 0: as many as there is room for */
	/* The pool's. */
	struct pool_item *head, **tail;
	size_t pending;
	struct pool_flow *next;
};

/** @run is called on a worker thread for each item and owns it from then on. 0 or -errno. */
int pool_new(size_t workers, size_t max_pending, void (*run)(void *ctx, struct pool_item *it), void *ctx,
	     struct pool **ret);
/**
 * Queue @it behind those of its @flow (NULL: one that all such share). 0, -ENOBUFS when @max_pending items wait already, -EDQUOT when only the
 * flow's share is used up, -ESHUTDOWN after pool_stop(); on failure the item stays the caller's.
 */
int pool_submit(struct pool *p, struct pool_flow *flow, struct pool_item *it);
/** Wait for what runs, join the threads. Items not begun are returned as a list for the caller to free. Call once. */
struct pool_item *pool_stop(struct pool *p);
/** After pool_stop(). Accepts NULL. */
void pool_free(struct pool *p);
