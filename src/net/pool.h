/*
 * A fixed number of worker threads behind a bounded queue.
 * Threads: pool_submit() from any thread; new and free by the owner.
 */
#pragma once

#include <stddef.h>

struct pool;

/** What is queued embeds one of these. */
struct pool_item {
	struct pool_item *next;
};

/** @run is called on a worker thread for each item and owns it from then on. 0 or -errno. */
int pool_new(size_t workers, size_t max_pending, void (*run)(void *ctx, struct pool_item *it), void *ctx,
	     struct pool **ret);
/** 0, -ENOBUFS when @max_pending items wait already, -ESHUTDOWN after pool_stop(); on failure the item stays the caller's. */
int pool_submit(struct pool *p, struct pool_item *it);
/** Wait for what runs, join the threads. Items not begun are returned as a list for the caller to free. Call once. */
struct pool_item *pool_stop(struct pool *p);
/** After pool_stop(). Accepts NULL. */
void pool_free(struct pool *p);
