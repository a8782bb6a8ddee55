/*
 * HTTP/1.1 server: libuv, OpenSSL, http-parser. One loop thread does the I/O; handlers run on a pool of worker threads and may block.
 * TLS with optional client certificates. Every connection has limits: head 64 KiB, body @max_body, @idle_timeout, a bounded output queue.
 *
 * Threads: http_server_new/free by the owner; http_server_renew and everything on an exchange or stream by any thread.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct error;
struct http_server;
struct http_exchange; /* one request and the right to answer it */
struct http_stream;   /* an answer without an end, such as a watch */

/** A request as received. Valid until the exchange is answered. */
struct http_request {
	const char *method;    /* "GET" ... */
	const char *path;      /* percent-decoded, starts with '/'; UTF-8 without a NUL (400 otherwise) */
	const char *raw_query; /* without '?', "" when absent */
	const char *body;      /* NUL-terminated; "" when absent */
	size_t body_n;
	const char *peer_cn;       /* subject CN of the verified client certificate, or NULL */
	const char *const *peer_o; /* its O values, NULL-terminated; NULL without a certificate */
	const char *peer_address;  /* "127.0.0.1:1234", or "unix" */
};

/** Called on a worker thread for each request; must end in exactly one http_reply*() or http_stream_begin(), now or later, from any thread. */
typedef void (*http_handler)(void *ctx, struct http_exchange *x);

struct http_server_options {
	const char *address;            /* "127.0.0.1"; "unix:/path" for a socket (0600) */
	uint16_t port;                  /* 0: any free one */
	const char *cert_pem, *key_pem; /* server certificate; NULL: plain HTTP */
	const char *client_ca_pem;      /* ask for client certificates of this CA (not required); NULL: do not ask */
	size_t max_body;                /* 0: 3 MiB; larger bodies: 413, by @on_error */
	/**
	 * 0: 4096; beyond it the oldest that has asked for nothing yet makes room, and without one a new one is closed. With @client_ca_pem the holder
	 * of a certificate has at most three quarters of them, and so have all without a certificate together: 429.
	 */
	size_t max_connections;
	size_t workers; /* handler threads; 0: 8 */
	/**
	 * Requests waiting for a worker; 0: 4096; more: 503. With @client_ca_pem each client (certificate or token) has at most half of them (429), and
	 * clients take turns.
	 */
	size_t max_pending;
	int64_t idle_timeout_ns; /* of a connection between requests or within one that stalls; 0: 120 s */
	int64_t stop_timeout_ns; /* how long http_server_free() waits for exchanges; 0: 5 s */
	size_t stream_queue_max; /* bytes waiting to be sent on one stream; 0: 8 MiB; more: the stream is cut */
	http_handler handler;
	/** Body of an error that the server itself answers (400, 413, 503 ...): a malloc'ed text; NULL: plain text is sent. On the loop thread. */
	char *(*on_error)(void *ctx, int status, const char *message, const char **ret_content_type);
	void *ctx;
};

/** Bind, listen and start. -EADDRINUSE and so on with the address in the message. Strings are copied. */
int http_server_new(const struct http_server_options *o, struct http_server **ret, struct error *err);
/** The port it listens on. */
uint16_t http_server_port(const struct http_server *s);
/** Other keys for the connections to come (as in the options); those there are go on. A server with TLS. On failure nothing changes. */
int http_server_renew(struct http_server *s, const char *cert_pem, const char *key_pem, const char *client_ca_pem,
		      struct error *err);
/**
 * Stop accepting, end streams, wait at most @stop_timeout_ns for exchanges, cut what is left, free. A handler that is still running is waited for;
 * exchanges and referenced streams that others hold stay usable (their peers are gone). Accepts NULL.
 */
void http_server_free(struct http_server *s);

const struct http_request *http_exchange_request(struct http_exchange *x);
/** Request header @name (any case), or NULL. Several of one name are joined by ", ". Borrowed. */
const char *http_exchange_header(struct http_exchange *x, const char *name);
/** The request header at @index among those whose names begin with @prefix (any case), its whole name in *@ret_name; NULL: no more. */
const char *http_exchange_header_from(struct http_exchange *x, const char *prefix, size_t index, const char **ret_name);
/** Decoded query parameter (first of that name; UTF-8), or NULL. Borrowed from the exchange. */
const char *http_exchange_query(struct http_exchange *x, const char *name);
/** The same: of several parameters of one name the one at @index. */
const char *http_exchange_query_at(struct http_exchange *x, const char *name, size_t index);
/** Add a header to the answer to come. */
void http_exchange_add_header(struct http_exchange *x, const char *name, const char *value);

/** Answer and end the exchange. @body is copied. Large bodies are gzipped only when the client accepts it and they exceed 128 KiB. */
void http_reply(struct http_exchange *x, int status, const char *content_type, const void *body, size_t n);

/** The same with the @n bytes at @body, which lie in the malloc'ed @own: it is taken, and nothing is copied. */
void http_reply_take(struct http_exchange *x, int status, const char *content_type, char *own, const char *body,
		     size_t n);

/**
 * Begin a chunked answer and end the exchange. @on_close (may be NULL) is called exactly once, on the loop thread, when the peer is gone
 * or http_stream_end() was called; the stream is freed after it returns, though never before the handler that began it has returned
 * (so the handler can take a reference; begun elsewhere, use the pointer only as long as @on_close has not run). It must not block. NULL on no memory: then the peer is cut off and @on_close is not called.
 */
struct http_stream *http_stream_begin(struct http_exchange *x, int status, const char *content_type,
				      void (*on_close)(void *ctx), void *ctx);
/** Queue one chunk (copied). 0; -EPIPE when closed; -ENOBUFS when the peer does not read (the stream is then cut). */
int http_stream_write(struct http_stream *s, const void *data, size_t n);
/** Keep the stream usable from another thread: each ref needs an unref; the memory lives until the last one. */
struct http_stream *http_stream_ref(struct http_stream *s);
struct http_stream *http_stream_unref(struct http_stream *s);
/** End the answer after what is queued. */
void http_stream_end(struct http_stream *s);

/**
 * Switch the connection to another protocol ("websocket"): answers 101 with the headers added so far and ends the exchange. From then on
 * http_stream_write() sends plain bytes, http_stream_end() ends the connection after what is queued, and what the peer sends goes to @on_data,
 * on the loop thread, which must not block. @on_close as for http_stream_begin(). NULL on no memory (peer cut off, nothing is called).
 */
struct http_stream *http_upgrade(struct http_exchange *x, const char *protocol,
				 void (*on_data)(void *ctx, const void *data, size_t n), void (*on_close)(void *ctx),
				 void *ctx);
/**
 * As http_upgrade(), without an answer of ours: what is written goes to the peer as it is, head and all. For who passes on a whole exchange.
 */
struct http_stream *http_hijack(struct http_exchange *x, void (*on_data)(void *ctx, const void *data, size_t n),
				void (*on_close)(void *ctx), void *ctx);
/** Stop (@on false) or go on reading what an upgraded peer sends; what is under way still comes. Any thread. */
void http_stream_read(struct http_stream *s, bool on);
/** Bytes of a stream that are not yet with the kernel's socket. Any thread. */
size_t http_stream_queued(struct http_stream *s);
/**
 * Add 1 to the eventfd @fd (borrowed until @on_close has returned; not blocking; -1: no more) whenever the bytes queued fall to @below or
 * less. Any thread.
 */
void http_stream_notify(struct http_stream *s, int fd, size_t below);
