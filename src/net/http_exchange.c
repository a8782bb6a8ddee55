#include <strings.h>
#include <zlib.h>

#include <http_parser.h>

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/error.h"
#include "base/str.h"
#include "net/http_server_internal.h"

#define HEAD_OUT_MAX 65536
#define EXTRA_MAX    32768
#define GZIP_MIN     (128 * 1024)

struct outbuf *outbuf_new(size_t n)
{
	size_t size;
	if (__builtin_add_overflow(n, sizeof(struct outbuf), &size))
		return NULL;
	struct outbuf *b = malloc(size);
	if (b != NULL) {
		b->next = NULL;
		b->n = n;
		b->off = 0;
		b->bytes = b->data;
		b->own = NULL;
	}
	return b;
}

struct outbuf *outbuf_take(void *own, const char *bytes, size_t n)
{
	struct outbuf *b = outbuf_new(0);
	if (b == NULL) {
		free(own);
		return NULL;
	}
	b->n = n;
	b->bytes = bytes;
	b->own = own;
	return b;
}

static void add_date(struct strbuf *b)
{
	const time_t now = (time_t)(clock_wall_ns() / NSEC_PER_SEC);
	struct tm tm;
	char text[64];
	if (gmtime_r(&now, &tm) != NULL && strftime(text, sizeof text, "%a, %d %b %Y %H:%M:%S GMT", &tm) > 0)
		strbuf_addf(b, "Date: %s\r\n", text);
}

static bool has_body(int status)
{
	return status >= 200 && status != 204 && status != 304;
}

/* @length SIZE_MAX: unknown, chunked. */
static void make_head(struct strbuf *b, int status, const char *content_type, const struct strbuf *extra, bool http10,
		      bool keep_alive, size_t length)
{
	strbuf_addf(b, "HTTP/1.1 %d %s\r\n", status, http_status_str((enum http_status)status));
	if (content_type != NULL && has_body(status))
		strbuf_addf(b, "Content-Type: %s\r\n", content_type);
	if (has_body(status) && length != SIZE_MAX)
		strbuf_addf(b, "Content-Length: %zu\r\n", length);
	else if (length == SIZE_MAX && !http10)
		strbuf_adds(b, "Transfer-Encoding: chunked\r\n");
	add_date(b);
	if (extra != NULL && extra->n > 0)
		strbuf_add(b, extra->p, extra->n);
	if (!keep_alive)
		strbuf_adds(b, "Connection: close\r\n");
	else if (http10)
		strbuf_adds(b, "Connection: keep-alive\r\n");
	strbuf_adds(b, "\r\n");
}

struct outbuf *http_answer_make(int status, const char *content_type, const struct strbuf *extra, bool http10,
				bool keep_alive, bool head_only, const void *body, size_t n)
{
	CLEANUP(strbuf_clear) struct strbuf head = STRBUF_INIT(HEAD_OUT_MAX);
	make_head(&head, status, content_type, extra, http10, keep_alive, n);
	const size_t body_n = head_only || !has_body(status) || body == NULL ? 0 : n;
	struct outbuf *b = head.failed ? NULL : outbuf_new(head.n + body_n);
	if (b == NULL)
		return NULL;
	memcpy(b->data, head.p, head.n);
	if (body_n > 0)
		memcpy(b->data + head.n, body, body_n);
	return b;
}

void http_exchange_free(struct http_exchange *x)
{
	struct http_server *s = x->conn->server;
	pthread_mutex_lock(&s->lock);
	if (--s->n_exchanges == 0)
		pthread_cond_broadcast(&s->quiet);
	pthread_mutex_unlock(&s->lock);
	http_conn_unref(x->conn);
	http_parsed_clear(&x->q);
	strbuf_clear(&x->extra);
	free(x);
}

void http_exchange_run(void *ctx, struct pool_item *it)
{
	struct http_server *s = ctx;
	struct http_exchange *x = (struct http_exchange *)((char *)it - offsetof(struct http_exchange, item));
	http_stream_handler_called();
	s->o.handler(s->o.ctx, x);
	http_stream_handler_returned();
}

const struct http_request *http_exchange_request(struct http_exchange *x)
{
	return &x->q.req;
}

const char *http_exchange_header(struct http_exchange *x, const char *name)
{
	return http_parsed_header(&x->q, name);
}

const char *http_exchange_header_from(struct http_exchange *x, const char *prefix, size_t index, const char **ret_name)
{
	for (size_t i = 0; i < x->q.n_headers; i++) {
		if (strncasecmp(x->q.headers[i].name, prefix, strlen(prefix)) != 0 || index-- > 0)
			continue;
		*ret_name = x->q.headers[i].name;
		return x->q.headers[i].value;
	}
	return NULL;
}

const char *http_exchange_query_at(struct http_exchange *x, const char *name, size_t index)
{
	for (size_t i = 0; i < x->q.n_params; i++)
		if (strcmp(x->q.params[i].name, name) == 0 && index-- == 0)
			return x->q.params[i].value;
	return NULL;
}

const char *http_exchange_query(struct http_exchange *x, const char *name)
{
	return http_exchange_query_at(x, name, 0);
}

/* A line break inside would begin another header. */
static void add_clean(struct strbuf *b, const char *s)
{
	for (; *s != '\0'; s++)
		strbuf_addc(b, *s == '\r' || *s == '\n' ? ' ' : *s);
}

void http_exchange_add_header(struct http_exchange *x, const char *name, const char *value)
{
	add_clean(&x->extra, name);
	strbuf_adds(&x->extra, ": ");
	add_clean(&x->extra, value);
	strbuf_adds(&x->extra, "\r\n");
}

/* "gzip" as a coding of its own, not refused by q=0. */
static bool accepts_gzip(struct http_exchange *x)
{
	struct str rest = str_from(http_exchange_header(x, "Accept-Encoding")), item;
	while (str_split_next(&rest, ',', &item)) {
		while (item.n > 0 && *item.p == ' ') {
			item.p++;
			item.n--;
		}
		if (item.n < 4 || strncasecmp(item.p, "gzip", 4) != 0)
			continue;
		const struct str params = {item.p + 4, item.n - 4};
		if (params.n == 0)
			return true;
		if (*params.p != ';' && *params.p != ' ')
			continue;
		const char *q = memmem(params.p, params.n, "q=", 2);
		return q == NULL || (q[2] >= '1' && q[2] <= '9') ||
		       (params.n > (size_t)(q - params.p) + 4 && q[4] != '0');
	}
	return false;
}

/* NULL when it does not help or memory is out: then the plain body goes. */
static void *gzip(const void *body, size_t n, size_t *ret_n)
{
	z_stream z = {0};
	if (n > UINT32_MAX / 2 || deflateInit2(&z, 1, Z_DEFLATED, 15 + 16, 8, Z_DEFAULT_STRATEGY) != Z_OK)
		return NULL;
	const size_t room = n - n / 8; /* a smaller gain is not worth the peer's time */
	char *out = malloc(room);
	bool done = false;
	if (out != NULL) {
		z.next_in = (z_const Bytef *)body;
		z.avail_in = (uInt)n;
		z.next_out = (Bytef *)out;
		z.avail_out = (uInt)room;
		done = deflate(&z, Z_FINISH) == Z_STREAM_END;
		*ret_n = z.total_out;
	}
	(void)deflateEnd(&z); /* its only complaint is about output that was not taken */
	if (!done) {
		free(out);
		return NULL;
	}
	return out;
}

/* Hand the answer to the loop; without memory for one the connection is cut, which tells the peer at least that much. */
void http_exchange_answer(struct http_exchange *x, struct outbuf *b, bool keep_alive)
{
	struct http_conn *c = x->conn;
	pthread_mutex_lock(&c->lock);
	if (c->closed) {
		outbuf_free_list(b);
	} else {
		if (b != NULL)
			http_conn_queue_locked(c, b);
		c->cut |= b == NULL;
		c->answered = true;
		c->close_after = !keep_alive;
		(void)http_conn_schedule_locked(c); /* refused only when the loop is gone, and then it is closed */
	}
	pthread_mutex_unlock(&c->lock);
	http_exchange_free(x);
}

bool http_exchange_keeps_alive(struct http_exchange *x)
{
	struct http_server *s = x->conn->server;
	pthread_mutex_lock(&s->lock);
	const bool stopping = s->stopping;
	pthread_mutex_unlock(&s->lock);
	return x->q.keep_alive && !stopping;
}

/* The body goes as it is, without a copy: only the head is put before it. Takes @own. */
static struct outbuf *make_answer(struct http_exchange *x, int status, const char *content_type, void *own,
				  const char *body, size_t n, bool keep_alive)
{
	struct outbuf *b = x->extra.failed ? NULL
					   : http_answer_make(status, content_type, &x->extra, x->q.http10, keep_alive,
							      true, NULL, n);
	if (b == NULL || x->q.head || !has_body(status) || n == 0) {
		free(own);
		return b;
	}
	b->next = outbuf_take(own, body, n);
	if (b->next == NULL) {
		free(b);
		return NULL;
	}
	return b;
}

void http_reply_take(struct http_exchange *x, int status, const char *content_type, char *own, const char *body,
		     size_t n)
{
	size_t packed_n = 0;
	char *packed = n > GZIP_MIN && accepts_gzip(x) ? gzip(body, n, &packed_n) : NULL;
	if (packed != NULL) {
		free(own);
		own = packed;
		body = packed;
		n = packed_n;
		http_exchange_add_header(x, "Content-Encoding", "gzip");
		http_exchange_add_header(x, "Vary", "Accept-Encoding");
	}
	const bool keep_alive = http_exchange_keeps_alive(x);
	http_exchange_answer(x, make_answer(x, status, content_type, own, body, n, keep_alive), keep_alive);
}

void http_reply(struct http_exchange *x, int status, const char *content_type, const void *body, size_t n)
{
	char *copy = malloc(n + 1);
	if (copy == NULL) {
		http_exchange_answer(x, NULL, false);
		return;
	}
	if (n > 0)
		memcpy(copy, body, n);
	http_reply_take(x, status, content_type, copy, copy, n);
}
