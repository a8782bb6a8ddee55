/*
 * The mount's side of the protocol of proto.h: calls to the worker over a pool of connections. A worker that goes away is waited for
 * until it is back, for a bounded time; the call is then made anew (every request may be made twice).
 *
 * Threads: client_call() from any thread; one connection for each call under way.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "reservoir/proto.h"

struct client;
struct error;

/** Nothing is connected yet. @wait_ns: how long a call waits for a worker that is away. */
int client_new(const char *socket, int64_t wait_ns, struct client **ret, struct error *err);
/** From now on a call that finds the worker away fails at once instead of waiting for it. Any thread. */
void client_hurry(struct client *c);
/** Calls under way and later ones fail with -ECANCELED. */
void client_stop(struct client *c);
/** No call may be under way. Accepts NULL. */
void client_free(struct client *c);
/** What the worker said when it was last connected; waits for it. */
int client_welcome(struct client *c, struct rv_welcome *ret, struct error *err);

/** Whether a call would find a connection ready. */
bool client_connected(struct client *c);

struct client_request {
	enum rv_op op;
	const void *in; /* the fixed part */
	size_t in_n;
	const char *name; /* behind it; NULL: nothing */
};
/**
 * One call. Bytes of the answer written to @out, or a negative errno: the worker's, with its message, or -EIO when it did not come
 * back in time. @ret_fd (may be NULL): a descriptor that came with it, or -1; the caller's.
 */
ptrdiff_t client_call(struct client *c, const struct client_request *rq, void *out, size_t size, int *ret_fd,
		      struct error *err);
