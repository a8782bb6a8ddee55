/*
 * What the files of the HTTP server share.
 *
 * One loop thread owns all sockets. Other threads hand bytes to a connection under its lock and put it on the server's ready list;
 * the loop sends them. Memory of a connection lives until its last reference, memory of the server until its last connection is freed,
 * so an answer that comes late meets a closed connection, never a freed one.
 *
 * Lock order: connection, then server. No callback and no I/O under either.
 */
#pragma once

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <uv.h>

#include "base/map.h"
#include "base/strbuf.h"
#include "net/http_reader.h"
#include "net/http_server.h"
#include "net/pool.h"
#include "net/tls.h"

#define HTTP_PENDING_MAX 65536  /* bytes of later requests kept while one is being answered */
#define HTTP_PIECE       65536  /* bytes of one write */
#define HTTP_FLIGHT_MAX  262144 /* bytes handed to the kernel at once; the rest waits in our queue */

/** A piece of output; freed when sent. */
struct outbuf {
	struct outbuf *next;
	size_t n, off;
	const char *bytes; /* `data`, or in `own` */
	void *own;         /* malloc'ed; NULL: there is none */
	char data[];
};

/** NULL on no memory. Room for @n bytes. */
struct outbuf *outbuf_new(size_t n);
/** The @n bytes at @bytes, which lie in the malloc'ed @own: taken, also on failure. NULL on no memory. */
struct outbuf *outbuf_take(void *own, const char *bytes, size_t n);
void outbuf_free_list(struct outbuf *b);

enum http_conn_state {
	CONN_READING,   /* waits for a request, or reads one */
	CONN_BUSY,      /* an exchange is with the handler */
	CONN_STREAMING, /* an endless answer is under way */
	CONN_DRAINING,  /* no more requests: sends what is queued, then shuts down */
	CONN_LINGERING, /* shut down; reads the peer's rest so that it does not lose the answer to a reset */
	CONN_CLOSED,
	CONN_STATES,
};

/** Whom the connections of one certificate or one token belong to. */
struct http_party {
	struct pool_flow flow;
	atomic_uint refs; /* one for each connection */
	size_t conns;     /* open ones; loop thread */
	char name[];      /* its key among the server's clients */
};

struct http_conn {
	/* Loop thread. */
	struct http_server *server; /* a reference */
	union {
		uv_handle_t handle;
		uv_stream_t stream;
		uv_tcp_t tcp;
		uv_pipe_t pipe;
	} uv;
	enum http_conn_state state;
	struct tls *tls; /* NULL: plain */
	struct http_reader *reader;
	struct strbuf pending; /* received, not yet parsed */
	struct outbuf *out, **out_tail;
	size_t in_flight; /* bytes that libuv has */
	bool paused, eof, shut, keep_alive, identified;
	int64_t active_ns; /* last byte in or out */
	int64_t since_ns;  /* when the handshake or the head under way began, or the lingering */
	struct http_stream *stream;
	struct http_conn *prev, *next;

	/* Fixed once the first request is dispatched. */
	char peer_address[64], *peer_cn, **peer_o;
	struct http_party *
		party; /* a reference; NULL: before the first request, and on a server that does not ask who they are */

	atomic_uint refs;
	pthread_mutex_t lock; /* guards the rest, and `ended` of its streams */
	bool closed, scheduled, cut, answered, close_after;
	struct outbuf *queue, **queue_tail;
	size_t queued;             /* bytes of a stream that are not yet with the kernel's socket */
	size_t notify_below;       /* tell notify_fd when they fall to this */
	int notify_fd;             /* -1: nobody */
	struct http_stream *begun; /* begun or ended by another thread, the loop has not seen it yet */
	bool stream_ending;
	struct http_conn *next_ready; /* guarded by the server's lock */
};

struct http_exchange {
	struct pool_item item;
	struct http_conn *conn; /* a reference */
	struct http_parsed q;
	struct strbuf extra; /* header lines to add to the answer */
};

struct http_stream {
	atomic_uint refs;
	struct http_conn *conn; /* a reference */
	void (*on_close)(void *ctx);
	void (*on_data)(void *ctx, const void *data, size_t n); /* upgraded; NULL: the peer has nothing more to say */
	void *ctx;
	bool chunked, discard;
	bool ended;   /* guarded by the connection's lock */
	bool no_read; /* guarded by the connection's lock */
	struct http_stream *next_begun;
};

struct http_server {
	struct http_server_options o; /* strings: address only, owned */
	bool is_unix, keep_socket_path;
	uint16_t port;
	struct tls_config *tls;
	struct pool *pool;
	pthread_t thread;
	uv_loop_t loop;
	uv_async_t wake;
	uv_timer_t sweep;
	union {
		uv_handle_t handle;
		uv_stream_t stream;
		uv_tcp_t tcp;
		uv_pipe_t pipe;
	} listener;
	struct http_conn *conns; /* loop thread, as those below */
	struct map *parties;     /* who has connections, by name; NULL: clients have no names here */
	size_t unnamed_conns;    /* of those without a certificate */
	bool accept_again, stop_seen;
	char read_buf[HTTP_PIECE], work_buf[HTTP_PIECE];

	atomic_uint refs;
	pthread_mutex_t lock; /* guards the rest */
	pthread_cond_t quiet; /* n_conns or n_exchanges became 0 */
	size_t n_conns, n_exchanges;
	struct http_conn *ready, **ready_tail;
	bool stopping, dying, dead;
};

struct http_server *http_server_ref(struct http_server *s);
void http_server_unref(struct http_server *s);

/* Parties (http_party.c), loop thread unless said otherwise. */
/** Find out whose the connection is, from its certificate or @authorization (may be NULL). -EDQUOT when he has his share of them; -ENOMEM. */
int http_party_join(struct http_conn *c, const char *authorization);
/** The connection is closed. */
void http_party_leave(struct http_conn *c);
/** Any thread. Accepts NULL. */
void http_party_unref(struct http_party *p);

/* Connections (http_conn.c), loop thread unless said otherwise. */
/** Take one waiting connection from the listener. */
void http_conn_accept(struct http_server *s);
/** Act on what other threads left at @c. */
void http_conn_process(struct http_conn *c);
/** Close at once. */
void http_conn_close(struct http_conn *c);
/** All is sent and nothing more will be: say so to the peer and wait for it to go. */
void http_conn_linger(struct http_conn *c);
/** Go on with requests that have come meanwhile, once the last answer has left the queue. */
void http_conn_resume(struct http_conn *c);
/** Time limits. */
void http_conn_sweep(struct http_conn *c, int64_t now);
/** The server stops: close what is idle, end streams. */
void http_conn_stop(struct http_conn *c);
void http_conn_unref(struct http_conn *c); /* any thread */
/** Put @c on the ready list and wake the loop. False when the loop has ended. Any thread; needs the connection's lock. */
bool http_conn_schedule_locked(struct http_conn *c);
/** Append a list of output. Any thread; needs the connection's lock. */
void http_conn_queue_locked(struct http_conn *c, struct outbuf *b);

/* Output (http_output.c), loop thread. */
void http_output_append(struct http_conn *c, struct outbuf *list);
/** Send as much of the queue as may be under way at once. */
void http_output_pump(struct http_conn *c);
/** Send what TLS has for the wire: handshake, alerts, records that carry @plain_n bytes of the queue. */
void http_output_flush_tls(struct http_conn *c, size_t plain_n);

/* Exchanges (http_exchange.c), any thread. */
/** A worker's turn: call the handler. */
void http_exchange_run(void *ctx, struct pool_item *it);
/** Drop an exchange that nobody answers. */
void http_exchange_free(struct http_exchange *x);
/** Hand @b and what follows it (NULL: memory is out, so the connection is cut) to the loop and end the exchange. */
void http_exchange_answer(struct http_exchange *x, struct outbuf *b, bool keep_alive);
bool http_exchange_keeps_alive(struct http_exchange *x);
/**
 * Head and body of an answer; @body NULL: a head alone, for a body of @n bytes (SIZE_MAX: of unknown length); @extra may be NULL. NULL on no
 * memory.
 */
struct outbuf *http_answer_make(int status, const char *content_type, const struct strbuf *extra, bool http10,
				bool keep_alive, bool head_only, const void *body, size_t n);

/* Streams (http_stream.c). */
/** Call on_close and drop the loop's reference. Loop thread (or the beginner's, when the loop has ended). */
void http_stream_finish(struct http_stream *s);
/** Around a handler, on its thread: the streams that it begins are kept alive until it returns. */
void http_stream_handler_called(void);
void http_stream_handler_returned(void);
