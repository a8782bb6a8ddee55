/*
 * Calls to cache systems that take their time, for engine_call() of sluice/engine.h: a bounded pool of threads, one call at a time for a
 * dataset, a timeout for each, back-off after failures, a pause between two of a kind. A pass never waits: it starts a call or reads its
 * answer, and is told (notify) when one ended.
 *
 * Threads: all functions from any thread; notify runs on a pool thread without locks.
 */
#pragma once

#include "sluice/engine.h"

struct engine_metrics;

struct calls_options {
	size_t threads;                         /* 0: 8 */
	int64_t pause_ns;                       /* between the end of a call and the next of its kind; 0: 1 s */
	int64_t backoff_min_ns, backoff_max_ns; /* after failures; 0: 2 s and 60 s */
	const struct engine_api *api;           /* borrowed */
	const char *engine;                     /* label of metrics; borrowed */
	void (*notify)(void *ctx, const char *ns, const char *name);
	void *ctx;
};

int calls_new(const struct calls_options *o, struct calls **ret, struct error *err);
/** Cancels what is under way and waits for it. Accepts NULL. */
void calls_free(struct calls *c);

/** As engine_call(); @ret_again_ns: after how long to come back at the latest, 0: when told. */
int calls_do(struct calls *c, const char *ns, const char *name, const struct engine_call *call, json_t **ret,
	     int64_t *ret_again_ns, struct error *err);
/** Forget the answer of @what, or (NULL) everything of the dataset; what is under way is cancelled. */
void calls_forget(struct calls *c, const char *ns, const char *name, const char *what);
