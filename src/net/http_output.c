/* A connection's way out: from its queue, through TLS, to libuv, a bounded number of bytes at a time. Loop thread. */
#include <stdlib.h>
#include <sys/eventfd.h>

#include "base/clock.h"
#include "net/http_server_internal.h"

struct write_req {
	uv_write_t req;
	struct http_conn *conn;
	size_t plain_n; /* bytes of the queue that it carries */
	size_t n;
	char data[];
};

void outbuf_free_list(struct outbuf *b)
{
	while (b != NULL) {
		struct outbuf *next = b->next;
		free(b->own);
		free(b);
		b = next;
	}
}

void http_output_append(struct http_conn *c, struct outbuf *list)
{
	*c->out_tail = list;
	while (*c->out_tail != NULL)
		c->out_tail = &(*c->out_tail)->next;
}

static void sent(struct http_conn *c, size_t n)
{
	pthread_mutex_lock(&c->lock);
	const bool above = c->queued > c->notify_below;
	c->queued -= n < c->queued ? n : c->queued;
	if (c->notify_fd >= 0 && above && c->queued <= c->notify_below)
		(void)eventfd_write(c->notify_fd, 1); /* refused only when it is full, and so readable */
	pthread_mutex_unlock(&c->lock);
}

static void on_written(uv_write_t *req, int status)
{
	struct write_req *w = (struct write_req *)req;
	struct http_conn *c = w->conn;
	if (c->state != CONN_CLOSED) {
		c->in_flight -= w->n;
		c->active_ns = clock_mono_ns();
		sent(c, w->plain_n);
		if (status < 0)
			http_conn_close(c);
		http_output_pump(c);
		http_conn_resume(c);
	}
	free(w);
	http_conn_unref(c);
}

static void conn_send(struct http_conn *c, struct write_req *w)
{
	const uv_buf_t buf = uv_buf_init(w->data, (unsigned)w->n);
	w->conn = c;
	if (uv_write(&w->req, &c->uv.stream, &buf, 1, on_written) < 0) {
		free(w);
		http_conn_close(c);
		return;
	}
	c->in_flight += w->n;
	atomic_fetch_add_explicit(&c->refs, 1, memory_order_relaxed);
}

static struct write_req *write_new(struct http_conn *c, size_t n)
{
	struct write_req *w = malloc(sizeof *w + n);
	if (w == NULL) {
		http_conn_close(c);
		return NULL;
	}
	w->n = n;
	w->plain_n = 0;
	return w;
}

void http_output_flush_tls(struct http_conn *c, size_t plain_n)
{
	const size_t n = c->tls == NULL ? 0 : tls_pending(c->tls);
	if (n == 0 || c->state == CONN_CLOSED)
		return;
	struct write_req *w = write_new(c, n);
	if (w == NULL)
		return;
	w->n = tls_take(c->tls, w->data, n);
	w->plain_n = plain_n;
	conn_send(c, w);
}

/* Gather up to one piece from the queue. */
static size_t take_piece(struct http_conn *c, char *buf)
{
	size_t n = 0;
	while (c->out != NULL && n < HTTP_PIECE) {
		struct outbuf *b = c->out;
		const size_t left = b->n - b->off, k = left < HTTP_PIECE - n ? left : HTTP_PIECE - n;
		memcpy(buf + n, b->bytes + b->off, k);
		b->off += k;
		n += k;
		if (b->off == b->n) {
			c->out = b->next;
			if (c->out == NULL)
				c->out_tail = &c->out;
			b->next = NULL;
			outbuf_free_list(b);
		}
	}
	return n;
}

static void send_piece(struct http_conn *c)
{
	char *buf = c->server->work_buf;
	const size_t n = take_piece(c, buf);
	if (n == 0)
		return;
	if (c->tls != NULL) {
		if (tls_write(c->tls, buf, n) < 0)
			http_conn_close(c);
		else
			http_output_flush_tls(c, n);
		return;
	}
	struct write_req *w = write_new(c, n);
	if (w == NULL)
		return;
	memcpy(w->data, buf, n);
	w->plain_n = n;
	conn_send(c, w);
}

void http_output_pump(struct http_conn *c)
{
	while (c->state != CONN_CLOSED && c->out != NULL && c->in_flight < HTTP_FLIGHT_MAX)
		send_piece(c);
	if (c->state == CONN_DRAINING && c->out == NULL && !c->shut) {
		c->shut = true;
		if (c->tls != NULL) {
			tls_end(c->tls);
			http_output_flush_tls(c, 0);
		}
	}
	if (c->state == CONN_DRAINING && c->out == NULL && c->in_flight == 0)
		http_conn_linger(c);
}
