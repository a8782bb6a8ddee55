/*
 * WebSocket (RFC 6455) on libwslay, without I/O: bytes from the wire in, messages out, and back. Pings are answered and close frames returned
 * by itself. One thread at a time per session.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct error;
struct websocket;

#define WEBSOCKET_NORMAL     1000
#define WEBSOCKET_GOING_AWAY 1001
#define WEBSOCKET_PROTOCOL   1002
#define WEBSOCKET_TOO_BIG    1009
#define WEBSOCKET_ERROR      1011
#define WEBSOCKET_ABNORMAL   1006 /* the connection ended without a close frame; never on the wire */

struct websocket_options {
	bool server;
	size_t max_message; /* received; larger ones close with 1009. 0: 1 MiB */
	size_t max_queued;  /* bytes that wait to go out. 0: 8 MiB */
	/** A complete message; must not call websocket_feed(). */
	void (*on_message)(void *ctx, bool text, const void *data, size_t n);
	void *ctx;
};

/** 0 or -ENOMEM. */
int websocket_new(const struct websocket_options *o, struct websocket **ret);
/** Accepts NULL. */
void websocket_free(struct websocket *w);
/**
 * @n bytes from the wire. 0; -EPIPE: this side has nothing more to read (closed, or the peer broke the protocol: what websocket_take() gives
 * still has to go out); -ENOBUFS: the peer makes us answer more than it reads; -ENOMEM.
 */
int websocket_feed(struct websocket *w, const void *data, size_t n);
/** Queue a message (copied), at most @max_queued. 0, -EPIPE when closing, -ENOBUFS, -ENOMEM. */
int websocket_send(struct websocket *w, bool text, const void *data, size_t n);
/** Ask for a pong. As above. */
int websocket_ping(struct websocket *w);
/** Begin to close; @reason (may be NULL) at most 123 bytes. Again: nothing. */
int websocket_close(struct websocket *w, uint16_t code, const char *reason);
/** Bytes for the wire: how many wait, and take up to @size of them. */
size_t websocket_pending(const struct websocket *w);
size_t websocket_take(struct websocket *w, void *buf, size_t size);
/** Both sides have said that they close, and all is taken. */
bool websocket_done(const struct websocket *w);
/** The peer's close code (1005: it gave none); 0 before it closed; what we closed with when the peer broke the rules. */
uint16_t websocket_close_code(const struct websocket *w);

/** Sec-WebSocket-Accept for a key (RFC 6455 section 4.2.2) into @out. */
void websocket_accept_key(const char *key, char out[static 29]);
