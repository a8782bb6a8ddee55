#include <stdlib.h>

#include "base/cleanup.h"
#include "base/error.h"
#include "net/http_server_internal.h"

/*
 * A peer may go at any moment, also between the beginning of a stream and the handler's first use of the pointer that it got:
 * what a handler begins is kept for it until it returns.
 */
static _Thread_local struct http_stream *begun_here;
static _Thread_local bool in_handler;

static struct http_stream *stream_new(struct http_conn *c, void (*on_close)(void *ctx), void *ctx)
{
	struct http_stream *s = calloc(1, sizeof *s);
	if (s == NULL)
		return NULL;
	atomic_init(&s->refs, 1); /* the loop's, dropped after on_close */
	atomic_fetch_add_explicit(&c->refs, 1, memory_order_relaxed);
	s->conn = c;
	s->on_close = on_close;
	s->ctx = ctx;
	return s;
}

static void keep_for_handler(struct http_stream *s)
{
	if (!in_handler)
		return;
	s->next_begun = begun_here;
	begun_here = http_stream_ref(s);
}

void http_stream_handler_called(void)
{
	in_handler = true;
}

void http_stream_handler_returned(void)
{
	in_handler = false;
	while (begun_here != NULL) {
		struct http_stream *s = begun_here;
		begun_here = s->next_begun;
		http_stream_unref(s);
	}
}

void http_stream_finish(struct http_stream *s)
{
	pthread_mutex_lock(&s->conn->lock);
	s->ended = true;
	pthread_mutex_unlock(&s->conn->lock);
	if (s->on_close != NULL)
		s->on_close(s->ctx);
	http_stream_notify(s, -1, 0);
	http_stream_unref(s);
}

/** Give the loop the stream and its head @b; ends the exchange. */
static void stream_hand_over(struct http_exchange *x, struct http_stream *s, struct outbuf *b, bool keep_alive)
{
	struct http_conn *c = x->conn;
	keep_for_handler(s);

	pthread_mutex_lock(&c->lock);
	if (c->closed)
		free(b);
	else
		http_conn_queue_locked(c, b);
	c->begun = s;
	c->close_after = !keep_alive;
	const bool scheduled = http_conn_schedule_locked(c);
	if (!scheduled)
		c->begun = NULL;
	pthread_mutex_unlock(&c->lock);
	http_exchange_free(x);
	if (!scheduled)
		http_stream_finish(s); /* the server has stopped: nobody else is left to say so */
}

struct http_stream *http_stream_begin(struct http_exchange *x, int status, const char *content_type,
				      void (*on_close)(void *ctx), void *ctx)
{
	struct http_conn *c = x->conn;
	const bool keep_alive = http_exchange_keeps_alive(x) && !x->q.http10;
	struct http_stream *s = stream_new(c, on_close, ctx);
	struct outbuf *b = s == NULL || x->extra.failed ? NULL
							: http_answer_make(status, content_type, &x->extra, x->q.http10,
									   keep_alive, x->q.head, NULL, SIZE_MAX);
	if (b == NULL) {
		if (s != NULL)
			http_stream_unref(s);
		http_exchange_answer(x, NULL, false);
		return NULL;
	}
	s->chunked = !x->q.http10;
	s->discard = x->q.head;
	stream_hand_over(x, s, b, keep_alive);
	return s;
}

static struct http_stream *switch_over(struct http_exchange *x, struct outbuf *b,
				       void (*on_data)(void *ctx, const void *data, size_t n),
				       void (*on_close)(void *ctx), void *ctx)
{
	struct http_stream *s = b != NULL ? stream_new(x->conn, on_close, ctx) : NULL;
	if (s == NULL) {
		free(b);
		http_exchange_answer(x, NULL, false);
		return NULL;
	}
	s->on_data = on_data;
	stream_hand_over(x, s, b, false);
	return s;
}

struct http_stream *http_hijack(struct http_exchange *x, void (*on_data)(void *ctx, const void *data, size_t n),
				void (*on_close)(void *ctx), void *ctx)
{
	return switch_over(x, outbuf_new(0), on_data, on_close, ctx);
}

struct http_stream *http_upgrade(struct http_exchange *x, const char *protocol,
				 void (*on_data)(void *ctx, const void *data, size_t n), void (*on_close)(void *ctx),
				 void *ctx)
{
	http_exchange_add_header(x, "Connection", "Upgrade");
	http_exchange_add_header(x, "Upgrade", protocol);
	struct outbuf *b = x->extra.failed ? NULL : http_answer_make(101, NULL, &x->extra, false, true, true, NULL, 0);
	return switch_over(x, b, on_data, on_close, ctx);
}

void http_stream_read(struct http_stream *s, bool on)
{
	struct http_conn *c = s->conn;
	pthread_mutex_lock(&c->lock);
	if (!c->closed && s->no_read == on) {
		s->no_read = !on;
		(void)http_conn_schedule_locked(c); /* refused only when the loop is gone, and then it is closed */
	}
	pthread_mutex_unlock(&c->lock);
}

size_t http_stream_queued(struct http_stream *s)
{
	pthread_mutex_lock(&s->conn->lock);
	const size_t n = s->conn->queued;
	pthread_mutex_unlock(&s->conn->lock);
	return n;
}

void http_stream_notify(struct http_stream *s, int fd, size_t below)
{
	pthread_mutex_lock(&s->conn->lock);
	s->conn->notify_fd = fd;
	s->conn->notify_below = below;
	pthread_mutex_unlock(&s->conn->lock);
}

static struct outbuf *make_chunk(const struct http_stream *s, const void *data, size_t n)
{
	char size[24];
	const int size_n = s->chunked ? snprintf(size, sizeof size, "%zx\r\n", n) : 0;
	const size_t tail = s->chunked ? 2 : 0;
	struct outbuf *b = outbuf_new((size_t)size_n + n + tail);
	if (b == NULL)
		return NULL;
	memcpy(b->data, size, (size_t)size_n);
	memcpy(b->data + size_n, data, n);
	memcpy(b->data + (size_t)size_n + n, "\r\n", tail);
	return b;
}

static int write_locked(struct http_stream *s, struct outbuf *b)
{
	struct http_conn *c = s->conn;
	if (c->closed || s->ended || c->cut)
		return -EPIPE;
	if (b == NULL || b->n > c->server->o.stream_queue_max - c->queued) {
		c->cut = true;
		(void)http_conn_schedule_locked(c); /* refused only when the loop is gone, and then it is closed */
		return b == NULL ? -ENOMEM : -ENOBUFS;
	}
	c->queued += b->n;
	http_conn_queue_locked(c, b);
	(void)http_conn_schedule_locked(c);
	return 0;
}

int http_stream_write(struct http_stream *s, const void *data, size_t n)
{
	if (n == 0 || n > SIZE_MAX / 2)
		return n == 0 ? 0 : -ENOBUFS; /* an empty chunk would be the end */
	struct outbuf *b = s->discard ? outbuf_new(0) : make_chunk(s, data, n);
	pthread_mutex_lock(&s->conn->lock);
	const int rc = write_locked(s, b);
	pthread_mutex_unlock(&s->conn->lock);
	if (rc < 0)
		free(b);
	return rc;
}

void http_stream_end(struct http_stream *s)
{
	struct http_conn *c = s->conn;
	struct outbuf *b = outbuf_new(s->chunked && !s->discard ? 5 : 0);
	if (b != NULL)
		memcpy(b->data, "0\r\n\r\n", b->n);
	pthread_mutex_lock(&c->lock);
	if (!c->closed && !s->ended && !c->cut) {
		s->ended = true;
		c->stream_ending = true;
		c->cut |= b == NULL;
		if (b != NULL)
			http_conn_queue_locked(c, TAKE(b));
		(void)http_conn_schedule_locked(c); /* refused only when the loop is gone, and then it is closed */
	}
	pthread_mutex_unlock(&c->lock);
	free(b);
}

struct http_stream *http_stream_ref(struct http_stream *s)
{
	atomic_fetch_add_explicit(&s->refs, 1, memory_order_relaxed);
	return s;
}

struct http_stream *http_stream_unref(struct http_stream *s)
{
	if (s != NULL && atomic_fetch_sub_explicit(&s->refs, 1, memory_order_acq_rel) == 1) {
		http_conn_unref(s->conn);
		free(s);
	}
	return NULL;
}
