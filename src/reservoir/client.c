#include "reservoir/client.h"

#include <assert.h>
#include <pthread.h>
#include <stdatomic.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/error.h"
#include "base/log.h"
#include "base/random.h"
#include "base/str.h"
#include "reservoir/local_socket.h"

#define CONNECTIONS_MAX    256
#define RETRY_NS           (50 * NSEC_PER_MSEC)
#define ANSWER_MAX_SECONDS 660 /* above every deadline of the worker: only a worker that hangs takes longer */

struct client {
	char *path;
	_Atomic int64_t wait_ns;
	uint64_t session;
	pthread_mutex_t lock; /* guards everything below */
	pthread_cond_t wake;
	int idle[CONNECTIONS_MAX];
	int busy[CONNECTIONS_MAX]; /* so that they can be shut down */
	size_t n_idle, n_busy;
	struct rv_welcome welcome;
	bool stop, away_logged;
};

int client_new(const char *socket, int64_t wait_ns, struct client **ret, struct error *err)
{
	struct client *c = calloc(1, sizeof *c);
	char *path = strdup(socket);
	if (c == NULL || path == NULL) {
		free(c);
		free(path);
		return error_set(err, -ENOMEM, "out of memory");
	}
	c->path = path;
	atomic_init(&c->wait_ns, wait_ns);
	random_bytes(&c->session, sizeof c->session);
	pthread_condattr_t attr;
	(void)pthread_condattr_init(&attr);
	(void)pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
	(void)pthread_mutex_init(&c->lock, NULL);
	(void)pthread_cond_init(&c->wake, &attr);
	(void)pthread_condattr_destroy(&attr);
	*ret = c;
	return 0;
}

void client_hurry(struct client *c)
{
	atomic_store_explicit(&c->wait_ns, 0, memory_order_relaxed);
}

void client_stop(struct client *c)
{
	pthread_mutex_lock(&c->lock);
	c->stop = true;
	for (size_t i = 0; i < c->n_busy; i++)
		(void)shutdown(c->busy[i], SHUT_RDWR);
	pthread_cond_broadcast(&c->wake);
	pthread_mutex_unlock(&c->lock);
}

void client_free(struct client *c)
{
	if (c == NULL)
		return;
	for (size_t i = 0; i < c->n_idle; i++)
		(void)close(c->idle[i]);
	(void)pthread_cond_destroy(&c->wake);
	(void)pthread_mutex_destroy(&c->lock);
	free(c->path);
	free(c);
}

/* Connect and introduce ourselves. A socket or -errno. */
static int dial(struct client *c, struct rv_welcome *ret, struct error *err)
{
	struct error inner = {0};
	CLEANUP(close_fd) int sock = local_connect(c->path, &inner);
	if (sock < 0)
		return error_set(err, sock, "the cache worker at '%s' is away: %s", c->path, inner.msg);
	const struct timeval tv = {.tv_sec = ANSWER_MAX_SECONDS};
	(void)setsockopt(sock, SOL_SOCKET, SO_RCVTIMEO, &tv,
			 sizeof tv); /* without it a hung worker is waited for longer */
	struct rv_head h = {.op = RV_HELLO};
	const struct rv_hello hello = {.version = RV_VERSION, .session = c->session};
	union {
		struct rv_welcome welcome;
		char text[RV_TEXT_MAX];
	} answer;
	int r = rv_send(sock, &h, &hello, sizeof hello, -1);
	const ptrdiff_t n = r < 0 ? r : rv_recv(sock, &h, &answer, sizeof answer, NULL);
	if (n < 0)
		return error_set(err, (int)n, "the cache worker at '%s': %s", c->path, strerror((int)-n));
	if (h.status < 0)
		return error_set(err, h.status, "%.*s", (int)n, answer.text);
	if (n != sizeof answer.welcome || answer.welcome.version != RV_VERSION || answer.welcome.block_size == 0)
		return error_set(err, -EPROTO, "the cache worker at '%s' speaks another language", c->path);
	*ret = answer.welcome;
	return TAKE_FD(sock);
}

/* The lock is held. */
static void pause_locked(struct client *c, int64_t until)
{
	const struct timespec ts = {.tv_sec = until / NSEC_PER_SEC, .tv_nsec = until % NSEC_PER_SEC};
	(void)pthread_cond_timedwait(&c->wake, &c->lock, &ts); /* the caller looks again */
}

static int dial_locked(struct client *c, struct error *err)
{
	struct rv_welcome w;
	pthread_mutex_unlock(&c->lock);
	const int sock = dial(c, &w, err);
	pthread_mutex_lock(&c->lock);
	if (sock >= 0) {
		c->welcome = w;
		if (c->away_logged)
			LOG(NULL, LOG_LVL_INFO, "the cache worker is back");
		c->away_logged = false;
	} else if (!c->away_logged) {
		LOG(NULL, LOG_LVL_WARN, "the cache worker is away; waiting for it", LOG_STR("err", err->msg));
		c->away_logged = true;
	}
	return sock;
}

/* A connection for one call, now among the busy ones. */
static int take_connection(struct client *c, int64_t deadline, struct error *err)
{
	struct error inner = {0};
	int sock = -1;
	pthread_mutex_lock(&c->lock);
	for (;;) {
		if (c->stop) {
			sock = error_set(err, -ECANCELED, "stopping");
			break;
		}
		if (c->n_busy < CONNECTIONS_MAX) {
			sock = c->n_idle > 0 ? c->idle[--c->n_idle] : dial_locked(c, &inner);
			if (sock >= 0 && c->n_busy < CONNECTIONS_MAX && !c->stop) {
				c->busy[c->n_busy++] = sock;
				break;
			}
			close_fd(&sock);
			if (inner.code == -EPROTO) {
				sock = error_set(err, -EIO, "%s", inner.msg);
				break;
			}
		}
		const int64_t now = clock_mono_ns();
		if (now >= deadline) {
			sock = error_set(err, -EIO, "%s",
					 inner.code != 0 ? inner.msg : "too many requests to the cache worker");
			break;
		}
		pause_locked(c, now + RETRY_NS < deadline ? now + RETRY_NS : deadline);
	}
	pthread_mutex_unlock(&c->lock);
	return sock;
}

static void give_back(struct client *c, int sock, bool usable)
{
	pthread_mutex_lock(&c->lock);
	for (size_t i = 0; i < c->n_busy; i++)
		if (c->busy[i] == sock) {
			c->busy[i] = c->busy[--c->n_busy];
			break;
		}
	if (usable) {
		c->idle[c->n_idle++] =
			sock; /* idle and busy together are at most CONNECTIONS_MAX: see take_connection() */
	} else {
		/* the worker is gone, and with it the other ends of the idle ones */
		(void)close(sock);
		while (c->n_idle > 0)
			(void)close(c->idle[--c->n_idle]);
	}
	pthread_cond_signal(&c->wake);
	pthread_mutex_unlock(&c->lock);
}

static ptrdiff_t exchange(int sock, const struct client_request *rq, struct rv_head *h, void *out, size_t size,
			  int *ret_fd)
{
	char msg[4096 + 256];
	const size_t name_n = rq->name != NULL ? strlen(rq->name) : 0;
	assert(rq->in_n + name_n <= sizeof msg);
	if (rq->in_n > 0)
		memcpy(msg, rq->in, rq->in_n);
	if (name_n > 0)
		memcpy(msg + rq->in_n, rq->name, name_n);
	*h = (struct rv_head){.op = rq->op};
	const int r = rv_send(sock, h, msg, rq->in_n + name_n, -1);
	return r < 0 ? r : rv_recv(sock, h, out, size, ret_fd);
}

ptrdiff_t client_call(struct client *c, const struct client_request *rq, void *out, size_t size, int *ret_fd,
		      struct error *err)
{
	const int64_t deadline = clock_mono_ns() + atomic_load_explicit(&c->wait_ns, memory_order_relaxed);
	for (;;) {
		const int sock = take_connection(c, deadline, err);
		if (sock < 0)
			return sock;
		struct rv_head h;
		int fd = -1;
		const ptrdiff_t n = exchange(sock, rq, &h, out, size, &fd);
		give_back(c, sock, n >= 0);
		if (n < 0 && clock_mono_ns() >= deadline)
			return error_set(err, -EIO, "the cache worker at '%s' does not answer: %s", c->path,
					 strerror((int)-n));
		if (n < 0)
			continue;
		if (h.status < 0) {
			close_fd(&fd);
			return error_set(err, h.status, "%.*s", (int)n, (const char *)out);
		}
		if (ret_fd != NULL)
			*ret_fd = fd;
		else
			close_fd(&fd);
		return n;
	}
}

int client_welcome(struct client *c, struct rv_welcome *ret, struct error *err)
{
	const int sock =
		take_connection(c, clock_mono_ns() + atomic_load_explicit(&c->wait_ns, memory_order_relaxed), err);
	if (sock < 0)
		return sock;
	give_back(c, sock, true);
	pthread_mutex_lock(&c->lock);
	*ret = c->welcome;
	pthread_mutex_unlock(&c->lock);
	return 0;
}

bool client_connected(struct client *c)
{
	pthread_mutex_lock(&c->lock);
	const bool r = c->n_idle > 0;
	pthread_mutex_unlock(&c->lock);
	return r;
}
