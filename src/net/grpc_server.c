#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/socket.h>

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/error.h"
#include "base/str.h"
#include "net/grpc.h"
#include "net/grpc_server_internal.h"
#include "net/listen.h"

#define WORKERS     16
#define PENDING_MAX 256
#define FLUSH_NS    NSEC_PER_SEC /* for the last answers when the server stops */

static void wake(struct grpc_server *s)
{
	const uint64_t one = 1;
	if (write(s->event_fd, &one, sizeof one) < 0)
		return; /* the counter is full, so it is readable already */
}

static void run_call(void *ctx, struct pool_item *it)
{
	struct grpc_server *s = ctx;
	struct grpc_server_call *c = (struct grpc_server_call *)((char *)it - offsetof(struct grpc_server_call, item));
	c->method->fn(s->ctx, c->in, c->in_n, c->deadline, &c->reply);
	pthread_mutex_lock(&s->lock);
	c->next_done = s->done;
	s->done = c;
	wake(s); /* under the lock: once the loop may take it, the server may be freed */
	pthread_mutex_unlock(&s->lock);
}

/* --- connections --- */

static void accept_one(struct grpc_server *s)
{
	CLEANUP(close_fd) int fd = accept4(s->listen_fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
	if (fd < 0 || s->n_conns == GRPC_CONNS_MAX)
		return;
	struct grpc_conn *c = calloc(1, sizeof *c);
	if (c == NULL)
		return;
	c->server = s;
	c->id = ++s->next_id;
	c->wire = (struct grpc_wire){.fd = TAKE_FD(fd), .out = STRBUF_INIT(1 << 20)};
	if (grpc_session_open(c) < 0) {
		grpc_session_free(c);
		return;
	}
	s->conns[s->n_conns++] = c;
}

static void conn_turn(struct grpc_conn *c, short events)
{
	int rc = 0;
	if (events & (POLLIN | POLLHUP | POLLERR))
		rc = grpc_wire_read(&c->wire);
	if (rc == 0)
		rc = grpc_wire_write(&c->wire);
	c->broken |= rc < 0 || (!nghttp2_session_want_read(c->wire.session) && !grpc_wire_wants_write(&c->wire));
}

static void sweep(struct grpc_server *s)
{
	for (size_t i = 0; i < s->n_conns;) {
		if (!s->conns[i]->broken) {
			i++;
			continue;
		}
		grpc_session_free(s->conns[i]);
		s->conns[i] = s->conns[--s->n_conns];
	}
}

static struct grpc_conn *find_conn(struct grpc_server *s, uint64_t id)
{
	for (size_t i = 0; i < s->n_conns; i++)
		if (s->conns[i]->id == id)
			return s->conns[i];
	return NULL;
}

static void deliver_all(struct grpc_server *s)
{
	pthread_mutex_lock(&s->lock);
	struct grpc_server_call *list = TAKE(s->done);
	pthread_mutex_unlock(&s->lock);
	size_t n = 0;
	for (struct grpc_server_call *c = list, *next; c != NULL; c = next, n++) {
		next = c->next_done;
		struct grpc_conn *conn = find_conn(s, c->conn_id);
		if (conn != NULL)
			grpc_session_deliver(conn, c);
		grpc_call_free(c);
	}
	pthread_mutex_lock(&s->lock);
	s->n_calls -= n;
	pthread_mutex_unlock(&s->lock);
}

/* --- the loop --- */

/* Whether the loop goes on: until stopped, then for the running calls, then a moment for their answers. */
static bool goes_on(struct grpc_server *s, int64_t *quiet_since)
{
	pthread_mutex_lock(&s->lock);
	const bool stopping = s->stopping;
	const size_t calls = s->n_calls;
	pthread_mutex_unlock(&s->lock);
	if (!stopping)
		return true;
	if (s->listen_fd >= 0) {
		(void)close(s->listen_fd); /* a socket that only listened */
		s->listen_fd = -1;
	}
	if (calls > 0)
		return true;
	bool unsent = false;
	for (size_t i = 0; i < s->n_conns; i++)
		unsent |= grpc_wire_wants_write(&s->conns[i]->wire);
	if (*quiet_since == 0)
		*quiet_since = clock_mono_ns();
	return unsent && clock_mono_ns() - *quiet_since < FLUSH_NS;
}

static size_t fill_poll(const struct grpc_server *s, struct pollfd *fds)
{
	fds[0] = (struct pollfd){.fd = s->event_fd, .events = POLLIN};
	fds[1] = (struct pollfd){.fd = s->listen_fd, .events = POLLIN}; /* ignored by poll() once it is -1 */
	for (size_t i = 0; i < s->n_conns; i++) {
		const bool out = grpc_wire_wants_write(&s->conns[i]->wire);
		fds[2 + i] =
			(struct pollfd){.fd = s->conns[i]->wire.fd, .events = (short)(POLLIN | (out ? POLLOUT : 0))};
	}
	return 2 + s->n_conns;
}

static void *loop_main(void *arg)
{
	struct grpc_server *s = arg;
	struct pollfd fds[2 + GRPC_CONNS_MAX];
	int64_t quiet_since = 0;
	while (goes_on(s, &quiet_since)) {
		const size_t n = fill_poll(s, fds);
		uint64_t count;
		if (poll(fds, n, quiet_since != 0 ? 50 : -1) < 0)
			continue; /* EINTR; nothing else can happen with these arguments */
		if (fds[0].revents != 0 && read(s->event_fd, &count, sizeof count) > 0)
			deliver_all(s);
		for (size_t i = 2; i < n; i++)
			conn_turn(s->conns[i - 2], fds[i].revents); /* always: an answer may have been queued for it */
		sweep(s);
		if (fds[1].revents != 0)
			accept_one(s);
	}
	return NULL;
}

/* --- construction --- */

static void server_free(struct grpc_server *s)
{
	for (size_t i = 0; i < s->n_conns; i++)
		grpc_session_free(s->conns[i]);
	pool_free(s->pool);
	if (s->listen_fd >= 0)
		(void)close(s->listen_fd); /* a socket that only listened */
	if (s->event_fd >= 0)
		(void)close(s->event_fd); /* a counter */
	pthread_mutex_destroy(&s->lock);
	free(s->path);
	free(s);
}

static int start_threads(struct grpc_server *s)
{
	int rc = pool_new(WORKERS, PENDING_MAX, run_call, s, &s->pool);
	if (rc < 0)
		return rc;
	sigset_t all, before; /* signals are the main thread's */
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &before);
	rc = -pthread_create(&s->thread, NULL, loop_main, s);
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	if (rc < 0)
		(void)pool_stop(s->pool); /* nothing was submitted */
	return rc;
}

int grpc_server_new(const char *socket_path, const struct grpc_method *methods, size_t n_methods, void *ctx,
		    struct grpc_server **ret, struct error *err)
{
	struct grpc_server *s = calloc(1, sizeof *s);
	if (s == NULL)
		return error_set(err, -ENOMEM, "serve on '%s': out of memory", socket_path);
	pthread_mutex_init(&s->lock, NULL);
	s->methods = methods;
	s->n_methods = n_methods;
	s->ctx = ctx;
	s->listen_fd = -1;
	s->event_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	s->path = strdup(socket_path);
	int rc = s->event_fd < 0 || s->path == NULL
			 ? error_set(err, -ENOMEM, "serve on '%s': out of memory", socket_path)
			 : 0;
	if (rc == 0)
		rc = s->listen_fd = listen_unix(socket_path, err);
	if (rc >= 0) {
		rc = start_threads(s);
		if (rc < 0) {
			(void)error_set(err, rc, "serve on '%s': start threads: %s", socket_path, strerror(-rc));
			(void)unlink(socket_path); /* ours; a leftover would be taken for stale anyway */
		}
	}
	if (rc < 0) {
		server_free(s);
		return rc;
	}
	*ret = s;
	return 0;
}

void grpc_server_free(struct grpc_server *s)
{
	if (s == NULL)
		return;
	(void)unlink(s->path); /* nobody should come any more; gone already is fine */
	pthread_mutex_lock(&s->lock);
	s->stopping = true;
	wake(s);
	pthread_mutex_unlock(&s->lock);
	pthread_join(s->thread, NULL);
	(void)pool_stop(s->pool); /* the loop has waited until no call was left */
	server_free(s);
}
