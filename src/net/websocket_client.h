/* The client's side of a WebSocket. One thread at a time. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct error;
struct http_client;
struct http_header;
struct websocket_client;

struct websocket_connect_options {
	const char *url;              /* http: or https: */
	const char *bearer;           /* NULL: none */
	const char *const *protocols; /* NULL-terminated, the preferred one first; NULL: none is asked for */
	int64_t timeout_ns;           /* until it is open; 0: 30 s */
	size_t max_message;           /* received; 0: 1 MiB */
	size_t max_queued;            /* 0: 8 MiB */
	void (*on_message)(void *ctx, bool text, const void *data, size_t n);
	void *ctx;
};

/**
 * Connect and switch protocols. When the server answers something else, @err->status is its status, the code -EPROTO, and *@ret_body (may be
 * NULL; else set in any case, to be freed, maybe NULL) what it sent, at most 64 KiB.
 */
int websocket_connect(struct http_client *c, const struct websocket_connect_options *o, struct websocket_client **ret,
		      char **ret_body, struct error *err);
/** The protocol that the server chose, "" for none. */
const char *websocket_client_protocol(const struct websocket_client *w);
/** Queue a message; websocket_client_step() sends it. As websocket_send(). */
int websocket_client_send(struct websocket_client *w, bool text, const void *data, size_t n);
int websocket_client_ping(struct websocket_client *w);
int websocket_client_close(struct websocket_client *w, uint16_t code, const char *reason);
/** Bytes that are not sent yet. */
size_t websocket_client_queued(const struct websocket_client *w);
/**
 * Send and receive what is possible, waiting at most @wait_ns for anything to happen; messages go to on_message. 0; -EPIPE when the peer has
 * closed (see the code); -ECONNRESET when it is gone without that; -ENOBUFS, -ENOMEM.
 */
int websocket_client_step(struct websocket_client *w, int64_t wait_ns);
uint16_t websocket_client_close_code(const struct websocket_client *w);
/** Accepts NULL. Does not say goodbye: close and step before. */
void websocket_client_free(struct websocket_client *w);
