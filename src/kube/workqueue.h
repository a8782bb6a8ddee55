/*
 * Work queue of keys: collapses duplicates, never hands one key to two workers at once (a key added while it is being worked on
 * comes again after workqueue_done()), delays, per-key exponential back-off 5 ms to 1000 s. Two lanes: urgent keys go before the others,
 * of which one has its turn after every eighth.
 * Threads: all functions from any thread.
 */
#pragma once

#include <stddef.h>
#include <stdint.h>

struct workqueue;

/** NULL on no memory. */
struct workqueue *workqueue_new(int64_t backoff_base_ns, int64_t backoff_max_ns); /* 0, 0: the defaults */
/** Measure it from now on as client-go's queues are (workqueue_depth and so on, label @name), in metrics_root(). Before its first key. */
void workqueue_measure(struct workqueue *q, const char *name);
/** 0, -ENOMEM, -ESHUTDOWN. */
int workqueue_add(struct workqueue *q, const char *key);
/** The same, before all that are not urgent; it stays so, also when it is added in other ways, until workqueue_forget(). */
int workqueue_add_urgent(struct workqueue *q, const char *key);
/** Add after @delay_ns; an earlier waiting time of the same key wins. */
int workqueue_add_after(struct workqueue *q, const char *key, int64_t delay_ns);
/** Add after the key's back-off, which doubles each time. */
int workqueue_add_rate_limited(struct workqueue *q, const char *key);
/** The key did well: its back-off starts anew. */
void workqueue_forget(struct workqueue *q, const char *key);
/** Wait for the next key (malloc'ed, owned by the caller, to be given to workqueue_done). -ESHUTDOWN when stopped. */
int workqueue_get(struct workqueue *q, char **ret_key);
/** Work on @key has ended. Does not free it. */
void workqueue_done(struct workqueue *q, const char *key);
size_t workqueue_depth(struct workqueue *q);
/** Wake all waiters; nothing more is handed out. */
void workqueue_shutdown(struct workqueue *q);
/** No thread may be inside. Accepts NULL. */
void workqueue_free(struct workqueue *q);
