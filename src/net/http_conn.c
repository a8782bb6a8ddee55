#include <arpa/inet.h>
#include <assert.h>
#include <stdlib.h>

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/error.h"
#include "base/str.h"
#include "net/http_server_internal.h"

#define LINGER_NS       (2 * NSEC_PER_SEC)
#define TLS_RECORD_MAX  16384
#define KEEPALIVE_DELAY 60 /* seconds until the kernel asks a silent peer whether it lives */

static const unsigned conn_next[CONN_STATES] = {
	[CONN_READING] = 1u << CONN_BUSY | 1u << CONN_DRAINING | 1u << CONN_CLOSED,
	[CONN_BUSY] = 1u << CONN_READING | 1u << CONN_STREAMING | 1u << CONN_DRAINING | 1u << CONN_CLOSED,
	[CONN_STREAMING] = 1u << CONN_READING | 1u << CONN_DRAINING | 1u << CONN_CLOSED,
	[CONN_DRAINING] = 1u << CONN_LINGERING | 1u << CONN_CLOSED,
	[CONN_LINGERING] = 1u << CONN_CLOSED,
};

static void conn_input(struct http_conn *c, const char *data, size_t n);
static void conn_read(struct http_conn *c, bool on);

static void conn_move(struct http_conn *c, enum http_conn_state to)
{
	assert(conn_next[c->state] & 1u << to);
	c->state = to;
}

void http_conn_unref(struct http_conn *c)
{
	if (atomic_fetch_sub_explicit(&c->refs, 1, memory_order_acq_rel) != 1)
		return;
	outbuf_free_list(c->out);
	outbuf_free_list(c->queue);
	http_reader_free(c->reader);
	tls_free(c->tls);
	strbuf_clear(&c->pending);
	free(c->peer_cn);
	free(c->peer_o);
	http_party_unref(c->party);
	pthread_mutex_destroy(&c->lock);
	http_server_unref(c->server);
	free(c);
}

bool http_conn_schedule_locked(struct http_conn *c)
{
	struct http_server *s = c->server;
	if (c->scheduled)
		return true;
	pthread_mutex_lock(&s->lock);
	const bool alive = !s->dead;
	if (alive) {
		atomic_fetch_add_explicit(&c->refs, 1, memory_order_relaxed);
		c->scheduled = true;
		c->next_ready = NULL;
		*s->ready_tail = c;
		s->ready_tail = &c->next_ready;
		(void)uv_async_send(&s->wake); /* fails only for a handle that is closing, which `dead` rules out */
	}
	pthread_mutex_unlock(&s->lock);
	return alive;
}

void http_conn_queue_locked(struct http_conn *c, struct outbuf *b)
{
	*c->queue_tail = b;
	while (*c->queue_tail != NULL)
		c->queue_tail = &(*c->queue_tail)->next;
}

/* --- closing --- */

static void on_closed(uv_handle_t *h)
{
	struct http_conn *c = h->data;
	struct http_server *s = c->server;
	http_party_leave(c);
	if (c->prev != NULL)
		c->prev->next = c->next;
	else
		s->conns = c->next;
	if (c->next != NULL)
		c->next->prev = c->prev;
	pthread_mutex_lock(&s->lock);
	if (--s->n_conns == 0)
		pthread_cond_broadcast(&s->quiet);
	pthread_mutex_unlock(&s->lock);
	http_conn_unref(c);
}

void http_conn_close(struct http_conn *c)
{
	if (c->state == CONN_CLOSED)
		return;
	conn_move(c, CONN_CLOSED);
	pthread_mutex_lock(&c->lock);
	c->closed = true;
	struct http_stream *begun = TAKE(c->begun);
	struct outbuf *rest = TAKE(c->queue);
	c->queue_tail = &c->queue;
	pthread_mutex_unlock(&c->lock);
	outbuf_free_list(rest);
	uv_close(&c->uv.handle, on_closed);
	if (begun != NULL)
		http_stream_finish(begun);
	if (c->stream != NULL)
		http_stream_finish(TAKE(c->stream));
}

static void on_shutdown(uv_shutdown_t *req, int status)
{
	struct http_conn *c = req->data;
	free(req);
	if (status < 0)
		http_conn_close(c);
	http_conn_unref(c);
}

/* All is sent: say so, and read the peer's rest for a moment, because closing with unread input resets the connection. */
void http_conn_linger(struct http_conn *c)
{
	conn_move(c, CONN_LINGERING);
	c->since_ns = clock_mono_ns();
	uv_shutdown_t *req = malloc(sizeof *req);
	if (req == NULL || c->eof) {
		free(req);
		http_conn_close(c);
		return;
	}
	req->data = c;
	if (uv_shutdown(req, &c->uv.stream, on_shutdown) < 0) {
		free(req);
		http_conn_close(c);
		return;
	}
	atomic_fetch_add_explicit(&c->refs, 1, memory_order_relaxed);
	conn_read(c, true);
}

/* --- going on --- */

/* Go on with what came meanwhile. Not before the last answer is out: a peer that asks and never reads must not fill our memory. */
void http_conn_resume(struct http_conn *c)
{
	if (c->state != CONN_READING || c->out != NULL)
		return;
	if (c->pending.n > 0) {
		struct strbuf input = c->pending;
		c->pending = STRBUF_INIT(2 * HTTP_PENDING_MAX + HTTP_PIECE);
		conn_input(c, input.p, input.n);
		strbuf_clear(&input);
	}
	if (c->state == CONN_READING && c->eof && c->out == NULL && c->in_flight == 0)
		http_conn_close(c);
	else
		conn_read(c, c->pending.n < HTTP_PENDING_MAX);
}

/* --- requests --- */

static char *error_text(struct http_server *s, int status, const char *why, const char **ret_type)
{
	char *text = s->o.on_error != NULL ? s->o.on_error(s->o.ctx, status, why, ret_type) : NULL;
	if (text != NULL)
		return text;
	*ret_type = "text/plain; charset=utf-8";
	return str_printf("%s\n", why);
}

/* Answer a request that no handler will see, then close. */
static void conn_refuse(struct http_conn *c, int status, const char *why)
{
	const char *type = "text/plain; charset=utf-8";
	CLEANUP(free_p) char *text = error_text(c->server, status, why, &type);
	static char retry[] = "Retry-After: 1\r\n";
	const struct strbuf extra = {.p = retry, .n = sizeof retry - 1};
	struct outbuf *b = text == NULL ? NULL
					: http_answer_make(status, type, status == 503 || status == 429 ? &extra : NULL,
							   false, false, false, text, strlen(text));
	if (b == NULL) {
		http_conn_close(c);
		return;
	}
	conn_move(c, CONN_DRAINING);
	http_output_append(c, b);
	http_output_pump(c);
}

/* Who the peer is, once, before its first request is handed on. */
static int conn_identify(struct http_conn *c)
{
	if (c->identified || c->tls == NULL)
		return 0;
	c->identified = true;
	return tls_peer(c->tls, &c->peer_cn, &c->peer_o);
}

static void conn_dispatch(struct http_conn *c)
{
	struct http_server *s = c->server;
	struct http_exchange *x = calloc(1, sizeof *x);
	if (x == NULL || conn_identify(c) < 0) {
		free(x);
		http_conn_close(c);
		return;
	}
	atomic_fetch_add_explicit(&c->refs, 1, memory_order_relaxed);
	pthread_mutex_lock(&s->lock);
	s->n_exchanges++;
	pthread_mutex_unlock(&s->lock);
	x->conn = c;
	x->extra = STRBUF_INIT(32768);
	http_reader_take(c->reader, &x->q);
	x->q.req.peer_address = c->peer_address;
	x->q.req.peer_cn = c->peer_cn;
	x->q.req.peer_o = (const char *const *)c->peer_o;
	conn_move(c, CONN_BUSY);
	int rc = http_party_join(c, http_parsed_header(&x->q, "authorization"));
	if (rc == 0)
		rc = pool_submit(s->pool, c->party != NULL ? &c->party->flow : NULL, &x->item);
	if (rc == 0)
		return;
	http_exchange_free(x);
	if (rc == -EDQUOT)
		conn_refuse(c, 429, "too many requests of one client, please try again later");
	else
		conn_refuse(c, 503, "too many requests are waiting; try again");
}

static void send_continue(struct http_conn *c)
{
	static const char text[] = "HTTP/1.1 100 Continue\r\n\r\n";
	struct outbuf *b = outbuf_new(sizeof text - 1);
	if (b == NULL) {
		http_conn_close(c);
		return;
	}
	memcpy(b->data, text, sizeof text - 1);
	http_output_append(c, b);
	http_output_pump(c);
}

static void conn_keep(struct http_conn *c, const char *data, size_t n)
{
	strbuf_add(&c->pending, data, n);
	if (c->pending.failed)
		http_conn_close(c);
	else if (c->pending.n >= HTTP_PENDING_MAX)
		conn_read(c, false);
}

/* Plain bytes from the peer. */
static void conn_input(struct http_conn *c, const char *data, size_t n)
{
	if (c->state == CONN_STREAMING && c->stream != NULL && c->stream->on_data != NULL) {
		c->stream->on_data(c->stream->ctx, data, n);
		return;
	}
	while (n > 0 && c->state == CONN_READING && c->out == NULL) {
		size_t used;
		const char *why = "";
		if (http_reader_idle(c->reader))
			c->since_ns = clock_mono_ns();
		const int rc = http_reader_feed(c->reader, data, n, &used, &why);
		if (rc < 0) {
			conn_refuse(c, -rc, why);
			return;
		}
		data += used;
		n -= used;
		if (rc == HTTP_READ_DONE)
			conn_dispatch(c);
		else if (http_reader_wants_continue(c->reader))
			send_continue(c);
	}
	if (n > 0 && (c->state == CONN_READING || c->state == CONN_BUSY || c->state == CONN_STREAMING))
		conn_keep(c, data, n);
}

/* --- receiving --- */

static void on_alloc(uv_handle_t *h, size_t hint, uv_buf_t *buf)
{
	struct http_conn *c = h->data;
	(void)hint;
	*buf = uv_buf_init(c->server->read_buf, sizeof c->server->read_buf);
}

static void conn_eof(struct http_conn *c)
{
	c->eof = true;
	if (c->state == CONN_BUSY || c->state == CONN_DRAINING || (c->state == CONN_READING && c->out != NULL))
		conn_read(c, false); /* the peer may have closed its side alone and still want the answer */
	else
		http_conn_close(c);
}

static void conn_input_tls(struct http_conn *c, const char *data, size_t n)
{
	char plain[TLS_RECORD_MAX];
	int k = tls_feed(c->tls, data, n) < 0 ? -EPROTO : 1;
	while (k > 0 && c->state != CONN_CLOSED) {
		k = tls_read(c->tls, plain, sizeof plain);
		if (k > 0)
			conn_input(c, plain, (size_t)k);
	}
	http_output_flush_tls(c, 0); /* handshake, or the alert that says why not */
	if (c->state == CONN_CLOSED)
		return;
	if (k == -EPIPE)
		conn_eof(c);
	else if (k < 0)
		http_conn_close(c);
}

static void on_read(uv_stream_t *stream, ssize_t n, const uv_buf_t *buf)
{
	struct http_conn *c = stream->data;
	if (n == 0 || c->state == CONN_CLOSED)
		return;
	if (n == UV_EOF) {
		conn_eof(c);
		return;
	}
	if (n < 0) {
		http_conn_close(c);
		return;
	}
	c->active_ns = clock_mono_ns();
	if (c->state == CONN_DRAINING || c->state == CONN_LINGERING)
		return;
	if (c->tls != NULL)
		conn_input_tls(c, buf->base, (size_t)n);
	else
		conn_input(c, buf->base, (size_t)n);
}

static void conn_read(struct http_conn *c, bool on)
{
	if (c->state == CONN_CLOSED || c->paused == !on || (on && c->eof))
		return;
	c->paused = !on;
	if (!on)
		(void)uv_read_stop(&c->uv.stream); /* documented to succeed always */
	else if (uv_read_start(&c->uv.stream, on_alloc, on_read) < 0)
		http_conn_close(c);
}

/* --- what other threads and the server want --- */

static bool server_stopping(struct http_server *s)
{
	pthread_mutex_lock(&s->lock);
	const bool stopping = s->stopping;
	pthread_mutex_unlock(&s->lock);
	return stopping;
}

/* An upgraded connection: give on what came before the switch, and read or not, as its owner wants. */
static void conn_read_upgraded(struct http_conn *c)
{
	if (c->state != CONN_STREAMING || c->stream->on_data == NULL)
		return;
	pthread_mutex_lock(&c->lock);
	const bool on = !c->stream->no_read;
	pthread_mutex_unlock(&c->lock);
	if (c->pending.n > 0) {
		struct strbuf input = c->pending;
		c->pending = STRBUF_INIT(2 * HTTP_PENDING_MAX + HTTP_PIECE);
		conn_input(c, input.p, input.n);
		strbuf_clear(&input);
	}
	conn_read(c, on);
}

/* The answer is complete. */
static void conn_answered(struct http_conn *c, bool close_after)
{
	if (close_after || server_stopping(c->server)) {
		conn_move(c, CONN_DRAINING);
		http_output_pump(c);
		return;
	}
	conn_move(c, CONN_READING);
	c->active_ns = c->since_ns = clock_mono_ns();
	http_output_pump(c);
	http_conn_resume(c);
}

void http_conn_process(struct http_conn *c)
{
	pthread_mutex_lock(&c->lock);
	struct outbuf *list = TAKE(c->queue);
	c->queue_tail = &c->queue;
	struct http_stream *begun = TAKE(c->begun);
	const bool cut = c->cut, done = c->answered || c->stream_ending, close_after = c->close_after;
	c->scheduled = c->answered = c->stream_ending = false;
	pthread_mutex_unlock(&c->lock);

	if (c->state == CONN_CLOSED) {
		outbuf_free_list(list);
		if (begun != NULL)
			http_stream_finish(begun);
		return;
	}
	http_output_append(c, list);
	if (begun != NULL) {
		conn_move(c, CONN_STREAMING);
		c->stream = begun;
		if (server_stopping(c->server))
			http_stream_end(begun);
	}
	if (cut || (c->state == CONN_STREAMING && c->eof && !done)) {
		http_conn_close(c);
		return;
	}
	if (done && c->stream != NULL)
		http_stream_finish(TAKE(c->stream));
	if (done) {
		conn_answered(c, close_after);
		return;
	}
	http_output_pump(c);
	conn_read_upgraded(c);
}

void http_conn_sweep(struct http_conn *c, int64_t now)
{
	const int64_t idle = c->server->o.idle_timeout_ns;
	bool late = false;
	switch (c->state) {
	case CONN_READING:
		late = now - c->active_ns > idle;
		if (http_reader_in_head(c->reader) || (c->tls != NULL && !tls_ready(c->tls)))
			late |= now - c->since_ns > idle; /* however slowly it drips */
		break;
	case CONN_BUSY:
	case CONN_STREAMING:
	case CONN_DRAINING:
		late = c->in_flight > 0 && now - c->active_ns > idle;
		break;
	case CONN_LINGERING:
		late = now - c->since_ns > LINGER_NS;
		break;
	default:
		break;
	}
	if (late)
		http_conn_close(c);
}

void http_conn_stop(struct http_conn *c)
{
	if (c->state == CONN_STREAMING) {
		http_stream_end(c->stream);
	} else if (c->state == CONN_READING && c->in_flight > 0) {
		conn_move(c, CONN_DRAINING);
		http_output_pump(c);
	} else if (c->state == CONN_READING || c->state == CONN_LINGERING) {
		http_conn_close(c);
	}
}

/* --- beginning --- */

static void name_peer(struct http_conn *c)
{
	struct sockaddr_storage sa;
	int n = sizeof sa;
	char host[INET6_ADDRSTRLEN] = "?";
	if (c->server->is_unix) {
		(void)str_copy(c->peer_address, sizeof c->peer_address, "unix"); /* fits */
		return;
	}
	if (uv_tcp_getpeername(&c->uv.tcp, (struct sockaddr *)&sa, &n) < 0)
		sa.ss_family = AF_UNSPEC;
	in_port_t port = 0;
	if (sa.ss_family == AF_INET) {
		const struct sockaddr_in *in = (const struct sockaddr_in *)&sa;
		(void)inet_ntop(AF_INET, &in->sin_addr, host, sizeof host); /* the buffer is large enough */
		port = in->sin_port;
	} else if (sa.ss_family == AF_INET6) {
		const struct sockaddr_in6 *in6 = (const struct sockaddr_in6 *)&sa;
		(void)inet_ntop(AF_INET6, &in6->sin6_addr, host, sizeof host);
		port = in6->sin6_port;
	}
	const bool v6 = sa.ss_family == AF_INET6;
	(void)snprintf(c->peer_address, sizeof c->peer_address, "%s%s%s:%u", v6 ? "[" : "", host, v6 ? "]" : "",
		       ntohs(port));
}

static struct http_conn *conn_new(struct http_server *s)
{
	struct http_conn *c = calloc(1, sizeof *c);
	if (c == NULL)
		return NULL;
	atomic_init(&c->refs, 1); /* the loop's, dropped when the handle is closed */
	pthread_mutex_init(&c->lock, NULL);
	c->server = http_server_ref(s);
	c->out_tail = &c->out;
	c->queue_tail = &c->queue;
	c->pending = STRBUF_INIT(2 * HTTP_PENDING_MAX + HTTP_PIECE);
	c->paused = true;
	c->notify_fd = -1;
	c->active_ns = c->since_ns = clock_mono_ns();
	c->reader = http_reader_new(s->o.max_body);
	c->tls = s->tls == NULL ? NULL : tls_new(s->tls);
	if (c->reader == NULL || (s->tls != NULL && c->tls == NULL)) {
		http_conn_unref(c);
		return NULL;
	}
	const int rc = s->is_unix ? uv_pipe_init(&s->loop, &c->uv.pipe, 0) : uv_tcp_init(&s->loop, &c->uv.tcp);
	assert(rc == 0); /* neither allocates nor opens anything */
	c->uv.handle.data = c;
	return c;
}

/* The oldest connection that has not asked for anything: whoever opens connections only to have them does not keep others out. */
static struct http_conn *silent_conn(const struct http_server *s)
{
	struct http_conn *found = NULL;
	for (struct http_conn *c = s->conns; c != NULL; c = c->next) /* the newest comes first */
		if (c->party == NULL && c->state == CONN_READING)
			found = c;
	return found;
}

void http_conn_accept(struct http_server *s)
{
	struct http_conn *c = conn_new(s);
	s->accept_again = c == NULL; /* libuv offers nothing more before this one is taken: the sweep tries again */
	if (c == NULL)
		return;
	c->next = s->conns;
	if (c->next != NULL)
		c->next->prev = c;
	s->conns = c;
	pthread_mutex_lock(&s->lock);
	bool full = ++s->n_conns > s->o.max_connections;
	pthread_mutex_unlock(&s->lock);
	struct http_conn *silent = full && s->parties != NULL ? silent_conn(s) : NULL;
	if (silent != NULL && silent != c) {
		http_conn_close(silent);
		full = false;
	}
	if (uv_accept(&s->listener.stream, &c->uv.stream) < 0 || full) {
		http_conn_close(c);
		return;
	}
	if (!s->is_unix) {
		(void)uv_tcp_nodelay(&c->uv.tcp, 1); /* it works without, only slower */
		(void)uv_tcp_keepalive(&c->uv.tcp, 1, KEEPALIVE_DELAY);
	}
	name_peer(c);
	conn_read(c, true);
}
