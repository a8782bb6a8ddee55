#include "local/agent_wire.h"

#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/eventfd.h>

#include "base/cleanup.h"
#include "base/error.h"
#include "base/str.h"
#include "net/http_server.h"
#include "net/websocket.h"
#include "net/websocket_server.h"

#define WAITING_MAX  ((size_t)512 << 10) /* bytes not taken after which the client is not read */
#define WAITING_LAST ((size_t)8 << 20)   /* more than what can be under way then: it is cut off */
#define MESSAGE_MAX  ((size_t)1 << 20)

struct wire {
	atomic_uint refs; /* the thread's and the loop's */
	int fd;
	char protocol[64];
	struct websocket_peer *peer; /* one of the two; a reference */
	struct http_stream *stream;
	pthread_mutex_t lock; /* guards all below */
	struct wire_message *first, **last;
	size_t waiting;
	bool paused, closed;
};

static void wire_unref(struct wire *w)
{
	if (atomic_fetch_sub_explicit(&w->refs, 1, memory_order_acq_rel) != 1)
		return;
	for (struct wire_message *m = w->first; m != NULL;) {
		struct wire_message *next = m->next;
		free(m);
		m = next;
	}
	(void)pthread_mutex_destroy(&w->lock);
	close_fd(&w->fd);
	free(w);
}

static void ring(struct wire *w)
{
	(void)eventfd_write(w->fd, 1); /* refused only when it is full, and so readable */
}

/* --- the loop's side --- */

static void read_locked(struct wire *w, bool on)
{
	if (w->peer != NULL)
		websocket_peer_read(w->peer, on);
	else if (w->stream != NULL)
		http_stream_read(w->stream, on);
}

static void keep(struct wire *w, const void *data, size_t n)
{
	struct wire_message *m = malloc(sizeof *m + n);
	if (m != NULL) {
		m->next = NULL;
		m->n = n;
		if (n > 0) /* an empty message has no data */
			memcpy(m->data, data, n);
	}
	pthread_mutex_lock(&w->lock);
	if (m == NULL || w->waiting > WAITING_LAST || w->closed) {
		w->closed = true; /* nothing may be missing between what came and what comes */
		free(m);
	} else {
		*w->last = m;
		w->last = &m->next;
		w->waiting += n + sizeof *m;
		w->paused |= w->waiting > WAITING_MAX;
	}
	if (w->paused || w->closed)
		read_locked(w, false);
	pthread_mutex_unlock(&w->lock);
	ring(w);
}

static void on_bytes(void *ctx, const void *data, size_t n)
{
	keep(ctx, data, n);
}

static void on_message(void *ctx, struct websocket_peer *p, bool text, const void *data, size_t n)
{
	(void)p;
	(void)text;
	keep(ctx, data, n);
}

static void ended(struct wire *w)
{
	pthread_mutex_lock(&w->lock);
	w->closed = true;
	pthread_mutex_unlock(&w->lock);
	ring(w);
	wire_unref(w);
}

static void on_stream_close(void *ctx)
{
	ended(ctx);
}

static void on_peer_close(void *ctx, struct websocket_peer *p, uint16_t code)
{
	(void)p;
	(void)code;
	ended(ctx);
}

/* --- accepting --- */

/** The first of @ours in the comma-separated list @theirs, or NULL. */
static const char *choose(const char *const *ours, const char *theirs)
{
	for (; *ours != NULL; ours++) {
		struct str rest = str_from(theirs), one;
		while (str_split_next(&rest, ',', &one)) {
			while (one.n > 0 && *one.p == ' ') {
				one.p++;
				one.n--;
			}
			if (str_eq(one, *ours))
				return *ours;
		}
	}
	return NULL;
}

static int accept_spdy(struct http_exchange *x, const struct wire_options *o, struct wire *w, struct error *err)
{
	const char *upgrade = http_exchange_header(x, "Upgrade");
	const char *asked = http_exchange_header(x, "X-Stream-Protocol-Version");
	if (upgrade == NULL || strcasecmp(upgrade, "SPDY/3.1") != 0)
		return error_set(err, -EINVAL, "Upgrade request required: a websocket or SPDY/3.1");
	const char *protocol = asked != NULL ? choose(o->spdy, asked) : o->unversioned;
	if (protocol == NULL)
		return error_set(err, -EPROTONOSUPPORT, "none of the protocols '%s' is supported",
				 asked != NULL ? asked : "");
	(void)str_copy(w->protocol, sizeof w->protocol, protocol); /* ours are shorter */
	if (asked != NULL)
		http_exchange_add_header(x, "X-Stream-Protocol-Version", protocol);
	struct http_stream *s = http_upgrade(x, "SPDY/3.1", on_bytes, on_stream_close, w);
	if (s == NULL)
		return error_set(err, -ENOMEM, "out of memory");
	/* A handler runs here: the stream is there until it returns. */
	pthread_mutex_lock(&w->lock);
	w->stream = http_stream_ref(s);
	if (w->paused)
		read_locked(w, false);
	http_stream_notify(s, w->fd, WIRE_ROOM / 2);
	pthread_mutex_unlock(&w->lock);
	return 0;
}

static int accept_websocket(struct http_exchange *x, const struct wire_options *o, struct wire *w, struct error *err)
{
	const struct websocket_accept_options wo = {.protocols = o->websocket,
						    .max_message = MESSAGE_MAX,
						    .on_message = on_message,
						    .on_close = on_peer_close,
						    .ctx = w};
	struct websocket_peer *peer = NULL;
	const int rc = websocket_accept(x, &wo, &peer, err);
	if (rc < 0)
		return rc;
	pthread_mutex_lock(&w->lock);
	w->peer = peer;
	if (w->paused)
		read_locked(w, false);
	pthread_mutex_unlock(&w->lock);
	websocket_peer_notify(peer, w->fd, WIRE_ROOM / 2);
	(void)str_copy(w->protocol, sizeof w->protocol, websocket_peer_protocol(peer)); /* ours are shorter */
	return 0;
}

static struct wire *wire_new(void)
{
	struct wire *w = calloc(1, sizeof *w);
	if (w == NULL)
		return NULL;
	w->fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (w->fd < 0) {
		free(w);
		return NULL;
	}
	atomic_init(&w->refs, 2);
	(void)pthread_mutex_init(&w->lock, NULL);
	w->last = &w->first;
	return w;
}

int wire_accept(struct http_exchange *x, const struct wire_options *o, struct wire **ret, struct error *err)
{
	struct wire *w = wire_new();
	int rc = w != NULL ? accept_websocket(x, o, w, err) : -EUNATCH;
	if (w == NULL) {
		http_reply(x, 500, "text/plain", "", 0);
		return error_set(err, -ENOMEM, "out of memory");
	}
	if (rc == -EUNATCH)
		rc = accept_spdy(x, o, w, err);
	if (rc < 0) {
		wire_unref(w);
		wire_unref(w); /* the loop has never seen it */
		return rc;
	}
	*ret = w;
	return 0;
}

void wire_free(struct wire *w)
{
	if (w == NULL)
		return;
	if (w->peer != NULL) {
		websocket_peer_close(w->peer, WEBSOCKET_NORMAL, NULL);
		websocket_peer_read(w->peer, true); /* what comes is dropped, the end is seen */
	} else {
		http_stream_end(w->stream);
	}
	pthread_mutex_lock(&w->lock);
	w->closed = true;
	struct websocket_peer *peer = TAKE(w->peer);
	struct http_stream *stream = TAKE(w->stream);
	pthread_mutex_unlock(&w->lock);
	websocket_peer_unref(peer);
	(void)http_stream_unref(stream);
	wire_unref(w);
}

const char *wire_protocol(const struct wire *w)
{
	return w->protocol;
}

bool wire_is_websocket(const struct wire *w)
{
	return w->peer != NULL;
}

int wire_fd(const struct wire *w)
{
	return w->fd;
}

void wire_clear(struct wire *w)
{
	eventfd_t count;
	(void)eventfd_read(w->fd, &count); /* nothing there: quiet already */
}

struct wire_message *wire_take(struct wire *w)
{
	pthread_mutex_lock(&w->lock);
	struct wire_message *m = w->first;
	if (m != NULL) {
		w->first = m->next;
		if (w->first == NULL)
			w->last = &w->first;
		w->waiting -= m->n + sizeof *m;
		if (w->paused && w->waiting <= WAITING_MAX / 2) {
			w->paused = false;
			read_locked(w, true);
		}
	}
	pthread_mutex_unlock(&w->lock);
	return m;
}

bool wire_gone(struct wire *w)
{
	pthread_mutex_lock(&w->lock);
	const bool gone = w->closed;
	pthread_mutex_unlock(&w->lock);
	return gone;
}

int wire_send(struct wire *w, const void *data, size_t n)
{
	return w->peer != NULL ? websocket_peer_send(w->peer, false, data, n) : http_stream_write(w->stream, data, n);
}

size_t wire_queued(struct wire *w)
{
	return w->peer != NULL ? websocket_peer_queued(w->peer) : http_stream_queued(w->stream);
}
