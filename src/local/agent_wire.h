/*
 * The connection of a client that runs commands or forwards ports: a websocket, or SPDY/3.1. Bytes as they come, with a bounded queue
 * between the server's loop and the one thread that serves the client.
 *
 * Threads: everything by that thread.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>

struct error;
struct http_exchange;
struct wire;

/** What wire_send() may leave in the queue before who has more to say waits for wire_fd(). */
#define WIRE_ROOM ((size_t)1 << 20)

struct wire_options {
	const char *const *websocket; /* protocols, NULL-terminated, the preferred one first */
	const char *const *spdy;      /* the same of X-Stream-Protocol-Version */
	const char *unversioned;      /* what a SPDY client speaks that names none; NULL: it is refused */
};

struct wire_message {
	struct wire_message *next;
	size_t n;
	char data[];
};

/**
 * Switch protocols, as @x asks for; ends the exchange. Otherwise the exchange stays the caller's, to be answered with 400: -EINVAL,
 * -EPROTONOSUPPORT. -ENOMEM ends it.
 */
int wire_accept(struct http_exchange *x, const struct wire_options *o, struct wire **ret, struct error *err);
/** Say goodbye, after what is queued. Accepts NULL. */
void wire_free(struct wire *w);
/** The protocol that was agreed on. Borrowed. */
const char *wire_protocol(const struct wire *w);
/** Whether messages have borders: a websocket. */
bool wire_is_websocket(const struct wire *w);
/** An eventfd: readable when something came, the queue has room again or the client is gone. wire_clear() makes it quiet. */
int wire_fd(const struct wire *w);
void wire_clear(struct wire *w);
/** The next message (of SPDY: some bytes), to be freed, or NULL. While many wait, no more is read from the client. */
struct wire_message *wire_take(struct wire *w);
/** The client is gone; what came before can still be taken. */
bool wire_gone(struct wire *w);
/** Queue @n bytes (copied), of a websocket a binary message. 0, -EPIPE, -ENOBUFS, -ENOMEM. */
int wire_send(struct wire *w, const void *data, size_t n);
/** Bytes that are not on their way yet. */
size_t wire_queued(struct wire *w);
