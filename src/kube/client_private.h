/* Inside src/kube only: what a client is made of. */
#pragma once

#include <pthread.h>
#include <stdatomic.h>
#include <stdint.h>

/* A page of 500 of the largest objects (3 MiB each) is not expected; 256 MiB ends a server that never stops. */
#define KUBE_ANSWER_MAX (256u << 20)

struct exec_credential;
struct http_client;

struct kube_client {
	struct http_client *http;
	char *server;
	const char *host; /* within `server`: "127.0.0.1:6443", a label of metrics */
	const struct kube_fence *_Atomic fence;
	char *token_file;             /* NULL: the token does not change */
	struct exec_credential *exec; /* gives the token; NULL: none */
	pthread_mutex_t lock; /* guards all below; held while a plug-in runs, so that others wait for its token */
	char *token;
	int64_t token_read_ns;
	int64_t token_expires; /* wall clock; of a plug-in */
};
