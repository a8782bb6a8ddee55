/*
 * Asking engines for figures, away from the reconcile workers: a bounded pool of threads, one question in flight for a dataset, a deadline
 * for each, a circuit breaker for those that do not answer. A pass says whom to ask (figures_watch) and reads the last answer
 * (figures_get); it is told (the notify callback) when an answer differs from the one before or the state of asking changed.
 *
 * Interval: 2 s while answers differ, doubling to 15 s while they do not, jittered; after failures 2 s doubling to 60 s.
 * A hung engine occupies one thread for one short deadline; from then on, until it answers at once, it is one of the slow, who have a longer
 * one and half the threads at most between them, and waits for its turn behind the breaker.
 *
 * Threads: all functions from any thread. notify runs on a pool thread without locks.
 */
#pragma once

#include <jansson.h>

#include "sluice/engine.h"

struct figures;

struct figures_options {
	int threads;                  /* 0: 8 */
	int64_t quick_ns;             /* deadline of one question for each target while it answers at once; 0: 1 s */
	int64_t deadline_ns;          /* of one question to a slow one, and the most for a quick one; 0: 5 s */
	int64_t min_ns, max_ns;       /* intervals; 0: 2 s and 15 s */
	int64_t breaker_max_ns;       /* 0: 60 s */
	const struct engine_api *api; /* handed on to query_figures(); borrowed */
	void (*notify)(void *ctx, const char *ns, const char *name);
	void *ctx;
};

int figures_new(const struct figures_options *o, struct figures **ret, struct error *err);
/** Cancels questions in flight and waits for them (a deadline at most). Accepts NULL. */
void figures_free(struct figures *f);

/**
 * Ask @targets (array of strings, copied) for ns/name from now on, by the query_figures() of @ops; empty or NULL: stop asking, keep the last
 * answer. When targets or @state (anything that tells a change, "1/1") differ from the last call's, the question is asked at once.
 * 0, -ENOMEM, or -ENOSPC past 65,536 datasets.
 */
int figures_watch(struct figures *f, const char *ns, const char *name, const struct engine_ops *ops,
		  const json_t *targets, const char *state);
/** Stop asking and forget. An answer in flight is dropped. */
void figures_forget(struct figures *f, const char *ns, const char *name);
/**
 * The last answer into @ret (to be cleared by the caller). True when there is one. @ret_error (of 512 bytes) gets why asking has been
 * failing three times or more in a row, or "".
 */
bool figures_get(struct figures *f, const char *ns, const char *name, struct engine_figures *ret,
		 char ret_error[static 512]);
