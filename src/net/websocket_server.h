/*
 * WebSocket on a connection of the HTTP server.
 * Threads: callbacks run on the server's loop thread, one at a time, and must not block; everything else from any thread.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct error;
struct http_exchange;
struct websocket_peer;

struct websocket_accept_options {
	const char *const *protocols; /* NULL-terminated, the preferred one first; NULL: none is spoken */
	size_t max_message;           /* received; 0: 1 MiB */
	/** NULL: what comes is dropped. */
	void (*on_message)(void *ctx, struct websocket_peer *p, bool text, const void *data, size_t n);
	/** The connection is gone; called once. @code: the peer's close code, or 1006. */
	void (*on_close)(void *ctx, struct websocket_peer *p, uint16_t code);
	void *ctx;
};

/**
 * Accept the upgrade that @x asks for; ends the exchange. *@ret is a reference. When it is no proper request (-EINVAL), or asks for
 * protocols of which we speak none (-EPROTONOSUPPORT), the exchange stays the caller's to answer (400; for -EUNATCH
 * no upgrade is asked for). -ENOMEM ends it too.
 */
int websocket_accept(struct http_exchange *x, const struct websocket_accept_options *o, struct websocket_peer **ret,
		     struct error *err);
/** The protocol agreed on, "" for none. Borrowed. */
const char *websocket_peer_protocol(const struct websocket_peer *p);
/** Queue a message. 0, -EPIPE when the peer is gone or closing; -ENOBUFS when it does not read, -ENOMEM: it is then cut off. */
int websocket_peer_send(struct websocket_peer *p, bool text, const void *data, size_t n);
/** Keep the connection alive through proxies that cut idle ones. As above. */
int websocket_peer_ping(struct websocket_peer *p);
/** Bytes that are not yet with the kernel's socket: who sends much waits while they are many. */
size_t websocket_peer_queued(struct websocket_peer *p);
/** As http_stream_notify(). */
void websocket_peer_notify(struct websocket_peer *p, int fd, size_t below);
/** Say that we close, after what is queued. */
void websocket_peer_close(struct websocket_peer *p, uint16_t code, const char *reason);
/** Stop (@on false) or go on reading. */
void websocket_peer_read(struct websocket_peer *p, bool on);
struct websocket_peer *websocket_peer_ref(struct websocket_peer *p);
/** Accepts NULL. Dropping the last reference does not close. */
void websocket_peer_unref(struct websocket_peer *p);
