/* serve.c: sockets and sessions; serve_ops.c: what each request does. */
#pragma once

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>

#include "reservoir/proto.h"
#include "reservoir/serve.h"

struct fetch_file;
struct connection;

/* One file version that a session has open. */
struct open_file {
	struct open_file *next;
	struct server *server;
	uint64_t id;
	atomic_uint refs;
	unsigned opens; /* guarded by the server's lock */
	struct fetch_file *ff;
	pthread_mutex_t direct_lock; /* guards what was read past the cache */
	unsigned char *direct;
	uint64_t direct_off, direct_next;
	size_t direct_n;
};

struct session {
	struct session *next;
	uint64_t id;
	unsigned connections;
	struct open_file *buckets[256];
};

struct server {
	struct server_options o;
	uint64_t instance;
	int listen, stop;
	pthread_t acceptor;
	bool accepting;
	atomic_uint_fast64_t hit_bytes, miss_bytes, requests, failed, open_files;
	pthread_mutex_t lock; /* guards sessions, their files' counts, connections */
	pthread_cond_t left;
	struct session *sessions;
	struct connection *connections;
	size_t n_connections;
};

struct request {
	struct server *server;
	struct session *session;
	struct rv_head head; /* of the request, then of the answer */
	size_t in_n, out_n;
	int fd; /* goes with the answer */
	_Alignas(8) char in[4096 + 512];
	_Alignas(8) char out[RV_PAYLOAD_MAX];
};

/** Do what @rq asks and make its answer. */
void serve_request(struct request *rq);
void open_file_unref(struct open_file *of);
