/*
 * The frames (http2_frames.h) of a gRPC client, for the server's session; the first byte says how many bytes come at a time. Calls are
 * answered by a worker, as in the server, and their answers delivered when all frames are read.
 */
#include <assert.h>
#include <errno.h>
#include <semaphore.h>
#include <stdint.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/clock.h"
#include "http2_frames.h"
#include "net/grpc_frame.h"
#include "net/grpc_server_internal.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

static void echo(void *ctx, const uint8_t *in, size_t n, int64_t deadline, struct grpc_reply *reply)
{
	(void)ctx;
	assert(n <= GRPC_MESSAGE_MAX && deadline > 0);
	reply->data = malloc(n + 1);
	if (n > 0)
		memcpy(reply->data, in, n);
	reply->n = n;
}

static void fail(void *ctx, const uint8_t *in, size_t n, int64_t deadline, struct grpc_reply *reply)
{
	(void)ctx;
	(void)in;
	(void)deadline;
	reply->code = GRPC_NOT_FOUND;
	(void)snprintf(reply->message, sizeof reply->message, "%zu bytes, none of them known \x01\xc3\xa4", n);
}

static const struct grpc_method methods[] = {{"/a/Echo", echo}, {"/a/Fail", fail}};
static struct grpc_server server = {
	.methods = methods, .n_methods = 2, .listen_fd = -1, .event_fd = -1, .lock = PTHREAD_MUTEX_INITIALIZER};
static sem_t ended;

static void run(void *ctx, struct pool_item *it)
{
	struct grpc_server_call *call = (struct grpc_server_call *)it; /* it comes first */
	(void)ctx;
	call->method->fn(NULL, call->in, call->in_n, call->deadline, &call->reply);
	pthread_mutex_lock(&server.lock);
	call->next_done = server.done;
	server.done = call;
	server.n_calls--;
	pthread_mutex_unlock(&server.lock);
	(void)sem_post(&ended);
}

/** Deliver what the worker has answered; true: there was something. */
static bool deliver(struct grpc_conn *c)
{
	pthread_mutex_lock(&server.lock);
	struct grpc_server_call *list = server.done;
	const size_t running = server.n_calls;
	server.done = NULL;
	pthread_mutex_unlock(&server.lock);
	if (list == NULL && running > 0) {
		(void)sem_wait(&ended);
		return true;
	}
	const bool any = list != NULL;
	while (list != NULL) {
		struct grpc_server_call *call = list;
		list = call->next_done;
		grpc_session_deliver(c, call);
		grpc_call_free(call);
	}
	return any;
}

/** Move what the session says to nowhere. */
static int drain(struct grpc_conn *c, int fd)
{
	char buf[65536];
	int rc;
	while ((rc = grpc_wire_write(&c->wire)) == 0 && recv(fd, buf, sizeof buf, MSG_DONTWAIT) > 0)
		;
	return rc;
}

static void feed(struct grpc_conn *c, int fd, const struct strbuf *b, size_t piece)
{
	int rc = drain(c, fd);
	for (size_t at = 0; rc == 0 && at < b->n; at += piece) {
		const size_t k = piece < b->n - at ? piece : b->n - at;
		if (send(fd, b->p + at, k, MSG_NOSIGNAL) != (ssize_t)k)
			abort();
		rc = grpc_wire_read(&c->wire);
		if (rc == 0)
			rc = drain(c, fd);
	}
	while (deliver(c))
		if (rc == 0)
			rc = drain(c, fd);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	static const char preface[] = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\4\0\0\0\0"; /* and empty SETTINGS */
	if (server.pool == NULL && (sem_init(&ended, 0, 0) < 0 || pool_new(1, 8, run, NULL, &server.pool) < 0))
		abort();
	if (n == 0)
		return 0;
	int fd[2];
	struct grpc_conn *c = calloc(1, sizeof *c);
	if (c == NULL || socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, fd) < 0)
		abort();
	struct strbuf b = {.max = 1 << 20};
	strbuf_add(&b, preface, sizeof preface);
	http2_frames(data + 1, n - 1, &b);
	c->server = &server;
	c->wire = (struct grpc_wire){.fd = fd[0], .out = STRBUF_INIT(1 << 20)};
	if (grpc_session_open(c) < 0)
		abort();
	feed(c, fd[1], &b, 1 + (size_t)data[0] * 64);
	grpc_session_free(c);
	(void)close(fd[1]);
	strbuf_clear(&b);
	return 0;
}
