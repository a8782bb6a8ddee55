/*
 * What the files of the gRPC server share.
 *
 * One thread owns the sockets and sessions; methods run on workers. A call under way knows its connection by number, not by
 * pointer: when it ends, its answer goes to the stream if that still exists.
 */
#pragma once

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/strbuf.h"
#include "net/grpc.h"
#include "net/grpc_wire.h"
#include "net/pool.h"

#define GRPC_CONNS_MAX       64
#define GRPC_METHOD_PATH_MAX 256

struct grpc_server_call {
	struct pool_item item;
	struct grpc_server_call *next_done;
	struct grpc_server *server;
	uint64_t conn_id;
	int32_t stream_id;
	const struct grpc_method *method;
	struct strbuf body;
	const uint8_t *in;
	size_t in_n;
	int64_t deadline;
	struct grpc_reply reply;
};

struct grpc_stream {
	struct grpc_stream *prev, *next;
	int32_t id;
	char path[GRPC_METHOD_PATH_MAX];
	bool post, grpc, replied;
	int64_t timeout_ns;
	struct strbuf body;
	size_t counted;         /* of the body, in the connection's sum */
	enum grpc_code refusal; /* known before the request is complete */
	const char *why;
	uint8_t *frame; /* of the answer */
	size_t frame_n, sent;
};

struct grpc_conn {
	struct grpc_wire wire;
	struct grpc_server *server;
	uint64_t id;
	size_t body_bytes;
	struct grpc_stream *streams;
	bool broken;
};

struct grpc_server {
	const struct grpc_method *methods;
	size_t n_methods;
	void *ctx;
	char *path;
	int listen_fd, event_fd;
	pthread_t thread;
	struct pool *pool;
	struct grpc_conn *conns[GRPC_CONNS_MAX]; /* the thread's, as n_conns and next_id */
	size_t n_conns;
	uint64_t next_id;
	pthread_mutex_t lock; /* guards the rest */
	struct grpc_server_call *done;
	size_t n_calls;
	bool stopping;
};

/* Sessions (grpc_session.c), the server's thread. */
/** Set the session of a new connection up. 0 or -ENOMEM. */
int grpc_session_open(struct grpc_conn *c);
/** Close and free a connection with its streams. */
void grpc_session_free(struct grpc_conn *c);
/** Answer @call on its stream, unless that is gone; @c is its connection. */
void grpc_session_deliver(struct grpc_conn *c, const struct grpc_server_call *call);
/** Accepts NULL. */
void grpc_call_free(struct grpc_server_call *c);
