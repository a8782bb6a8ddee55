#include "reservoir/serve.h"

#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <sys/eventfd.h>
#include <sys/socket.h>

#include "base/cleanup.h"
#include "base/error.h"
#include "base/file.h"
#include "base/log.h"
#include "base/random.h"
#include "base/str.h"
#include "reservoir/catalog.h"
#include "reservoir/fetch.h"
#include "reservoir/index.h"
#include "reservoir/local_socket.h"
#include "reservoir/proto.h"
#include "reservoir/serve_internal.h"

#define CONNECTIONS_MAX 512
#define STACK_SIZE      (512u * 1024)

struct connection {
	struct connection *next;
	struct server *server;
	int sock;
};

/* --- sessions --- */

static struct session *session_join(struct server *s, uint64_t id)
{
	pthread_mutex_lock(&s->lock);
	struct session *it = s->sessions;
	while (it != NULL && it->id != id)
		it = it->next;
	if (it == NULL && (it = calloc(1, sizeof *it)) != NULL) {
		*it = (struct session){.id = id, .next = s->sessions};
		s->sessions = it;
	}
	if (it != NULL)
		it->connections++;
	pthread_mutex_unlock(&s->lock);
	return it;
}

static void session_leave(struct server *s, struct session *it)
{
	if (it == NULL)
		return;
	pthread_mutex_lock(&s->lock);
	const bool last = --it->connections == 0;
	if (last) {
		struct session **p = &s->sessions;
		while (*p != it)
			p = &(*p)->next;
		*p = it->next;
	}
	pthread_mutex_unlock(&s->lock);
	if (!last)
		return;
	for (size_t i = 0; i < ARRAY_LEN(it->buckets); i++)
		while (it->buckets[i] != NULL) {
			struct open_file *of = it->buckets[i];
			it->buckets[i] = of->next;
			open_file_unref(of);
		}
	free(it);
}

/* --- connections --- */

static int hello(struct server *s, int sock, struct session **ret)
{
	struct rv_head h;
	struct rv_hello hello;
	const ptrdiff_t n = rv_recv(sock, &h, &hello, sizeof hello, NULL);
	if (n != sizeof hello || h.op != RV_HELLO)
		return n < 0 ? (int)n : -EPROTO;
	if (hello.version != RV_VERSION) {
		static const char text[] = "the worker speaks another version: run the same sluice on both sides";
		h.status = -EPROTO;
		(void)rv_send(sock, &h, text, sizeof text - 1, -1); /* it is gone anyway */
		return -EPROTO;
	}
	*ret = session_join(s, hello.session);
	if (*ret == NULL)
		return -ENOMEM;
	const struct rv_welcome w = {
		.version = RV_VERSION,
		.block_size = store_block_size(s->o.store),
		.entry_ns = s->o.entry_ns,
		.attr_ns = s->o.attr_ns,
	};
	h.status = 0;
	return rv_send(sock, &h, &w, sizeof w, -1);
}

static void converse(struct server *s, int sock)
{
	struct session *session = NULL;
	CLEANUP(free_p) struct request *rq = malloc(sizeof *rq);
	int r = rq != NULL ? hello(s, sock, &session) : -ENOMEM;
	while (r == 0) {
		*rq = (struct request){.server = s, .session = session, .fd = -1};
		const ptrdiff_t n = rv_recv(sock, &rq->head, rq->in, sizeof rq->in - 1, NULL);
		if (n < 0)
			break;
		rq->in_n = (size_t)n;
		rq->in[n] = '\0'; /* names become strings */
		serve_request(rq);
		atomic_fetch_add_explicit(&s->requests, 1, memory_order_relaxed);
		if (rq->head.status < 0 && rq->head.status != -ENOENT)
			atomic_fetch_add_explicit(&s->failed, 1, memory_order_relaxed);
		r = rv_send(sock, &rq->head, rq->out, rq->out_n, rq->fd);
		close_fd(&rq->fd);
	}
	session_leave(s, session);
}

static void *connection_main(void *arg)
{
	struct connection *c = arg;
	struct server *s = c->server;
	converse(s, c->sock);
	pthread_mutex_lock(&s->lock);
	struct connection **p = &s->connections;
	while (*p != c)
		p = &(*p)->next;
	*p = c->next;
	(void)close(
		c->sock); /* under the lock: server_free() must not shut down a number that is somebody else's by then */
	s->n_connections--;
	pthread_cond_broadcast(&s->left);
	pthread_mutex_unlock(&s->lock);
	free(c);
	return NULL;
}

static bool same_user(int sock)
{
	struct ucred cred;
	socklen_t n = sizeof cred;
	return getsockopt(sock, SOL_SOCKET, SO_PEERCRED, &cred, &n) == 0 && (cred.uid == geteuid() || cred.uid == 0);
}

static void accept_one(struct server *s, int sock)
{
	struct connection *c = calloc(1, sizeof *c);
	const int size = 1024 * 1024;
	(void)setsockopt(sock, SOL_SOCKET, SO_SNDBUF, &size,
			 sizeof size); /* the default holds one message, which does */
	pthread_mutex_lock(&s->lock);
	bool ok = c != NULL && s->n_connections < CONNECTIONS_MAX && same_user(sock);
	if (ok) {
		*c = (struct connection){.next = s->connections, .server = s, .sock = sock};
		s->connections = c;
		s->n_connections++;
	}
	pthread_mutex_unlock(&s->lock);
	if (!ok) {
		free(c);
		(void)close(sock);
		return;
	}
	pthread_attr_t attr;
	pthread_t t;
	(void)pthread_attr_init(&attr);
	(void)pthread_attr_setdetachstate(&attr, PTHREAD_CREATE_DETACHED);
	(void)pthread_attr_setstacksize(&attr, STACK_SIZE);
	const int r = pthread_create(&t, &attr, connection_main, c);
	(void)pthread_attr_destroy(&attr);
	if (r != 0) {
		LOG(NULL, LOG_LVL_ERROR, "cannot start a thread for a mount", LOG_STR("err", strerror(r)));
		(void)shutdown(sock, SHUT_RDWR);
		(void)connection_main(c); /* ends at once, tidily */
	}
}

static void *accept_main(void *arg)
{
	struct server *s = arg;
	for (;;) {
		struct pollfd p[2] = {{.fd = s->listen, .events = POLLIN}, {.fd = s->stop, .events = POLLIN}};
		if (poll(p, 2, -1) < 0 && errno != EINTR)
			break;
		if (p[1].revents != 0)
			break;
		if (p[0].revents == 0)
			continue;
		const int sock = accept4(s->listen, NULL, NULL, SOCK_CLOEXEC);
		if (sock >= 0)
			accept_one(s, sock);
		else if (errno == EMFILE || errno == ENFILE)
			(void)poll(&p[1], 1, 100); /* until descriptors are free; not in a tight circle */
	}
	return NULL;
}

/* --- beginning and end --- */

int server_new(const struct server_options *o, struct server **ret, struct error *err)
{
	struct server *s = calloc(1, sizeof *s);
	if (s == NULL)
		return error_set(err, -ENOMEM, "out of memory");
	*s = (struct server){.o = *o, .listen = -1, .stop = -1};
	random_bytes(&s->instance, sizeof s->instance);
	(void)pthread_mutex_init(&s->lock, NULL);
	(void)pthread_cond_init(&s->left, NULL);
	int r = s->listen = local_listen(o->path, err);
	if (r >= 0)
		r = (s->stop = eventfd(0, EFD_CLOEXEC)) < 0 ? error_set(err, -errno, "eventfd: %s", strerror(errno))
							    : 0;
	if (r == 0 && (r = -pthread_create(&s->acceptor, NULL, accept_main, s)) < 0)
		(void)error_set(err, r, "cannot start a thread: %s", strerror(-r));
	s->accepting = r == 0;
	if (r < 0) {
		server_free(s);
		return r;
	}
	*ret = s;
	return 0;
}

void server_free(struct server *s)
{
	if (s == NULL)
		return;
	if (s->accepting) {
		(void)eventfd_write(s->stop, 1); /* cannot fail: the counter is small */
		(void)pthread_join(s->acceptor, NULL);
		(void)unlink(s->o.path); /* a leftover is replaced by the next worker */
	}
	pthread_mutex_lock(&s->lock);
	for (struct connection *c = s->connections; c != NULL; c = c->next)
		(void)shutdown(c->sock, SHUT_RDWR);
	while (s->n_connections > 0)
		pthread_cond_wait(&s->left, &s->lock);
	pthread_mutex_unlock(&s->lock);
	close_fd(&s->listen);
	close_fd(&s->stop);
	(void)pthread_cond_destroy(&s->left);
	(void)pthread_mutex_destroy(&s->lock);
	free(s);
}

void server_counts(struct server *s, struct server_counts *ret)
{
	*ret = (struct server_counts){
		.hit_bytes = atomic_load_explicit(&s->hit_bytes, memory_order_relaxed),
		.miss_bytes = atomic_load_explicit(&s->miss_bytes, memory_order_relaxed),
		.open_files = atomic_load_explicit(&s->open_files, memory_order_relaxed),
		.requests = atomic_load_explicit(&s->requests, memory_order_relaxed),
		.failed_requests = atomic_load_explicit(&s->failed, memory_order_relaxed),
	};
	pthread_mutex_lock(&s->lock);
	for (const struct session *it = s->sessions; it != NULL; it = it->next)
		ret->sessions++;
	pthread_mutex_unlock(&s->lock);
}
