#include "net/http_reader.h"

#include <ctype.h>
#include <http_parser.h>
#include <stdint.h>
#include <strings.h>

#include "base/cleanup.h"
#include "base/error.h"
#include "base/str.h"
#include "base/strbuf.h"

/* The head takes at most HTTP_HEAD_MAX in the buffers; the parsed form needs copies, decoded copies and arrays. */
#define ARENA_MAX  (HTTP_HEAD_MAX * 40)
#define FIELDS_MAX 256

struct http_reader {
	http_parser parser;
	size_t max_body;
	size_t head_bytes; /* of target, names and values so far, trailers too */
	struct strbuf target;
	struct strbuf fields; /* name NUL value NUL ... */
	size_t n_fields;
	bool in_value;
	struct strbuf body;
	bool started, head_done, done, wants_continue;
	int status; /* what to answer when a callback refused; 0: the parser's word */
	const char *why;
	struct http_parsed parsed;
};

static int refuse(struct http_reader *r, int status, const char *why)
{
	r->status = status;
	r->why = why;
	return -1;
}

static int count_head(struct http_reader *r, size_t n)
{
	r->head_bytes += n;
	return r->head_bytes > HTTP_HEAD_MAX ? refuse(r, 431, "request head is larger than 64 KiB") : 0;
}

static int on_begin(http_parser *p)
{
	struct http_reader *r = p->data;
	r->started = true;
	return 0;
}

static int on_target(http_parser *p, const char *at, size_t n)
{
	struct http_reader *r = p->data;
	strbuf_add(&r->target, at, n);
	return count_head(r, n);
}

static int on_field(http_parser *p, const char *at, size_t n)
{
	struct http_reader *r = p->data;
	if (count_head(r, n) < 0)
		return -1;
	if (r->head_done)
		return 0; /* trailers of a chunked body: nobody here has use for them */
	if (r->in_value || r->n_fields == 0) {
		if (r->in_value)
			strbuf_addc(&r->fields, '\0');
		r->in_value = false;
		if (++r->n_fields > FIELDS_MAX)
			return refuse(r, 431, "request has more than 256 header fields");
	}
	strbuf_add(&r->fields, at, n);
	return 0;
}

static int on_value(http_parser *p, const char *at, size_t n)
{
	struct http_reader *r = p->data;
	if (count_head(r, n) < 0)
		return -1;
	if (r->head_done)
		return 0;
	if (!r->in_value) {
		strbuf_addc(&r->fields, '\0');
		r->in_value = true;
	}
	strbuf_add(&r->fields, at, n);
	return 0;
}

static int hex_value(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	c = (char)(c | 0x20);
	return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

int http_percent_decode(const char *s, size_t n, bool plus, char *out)
{
	size_t o = 0;
	for (size_t i = 0; i < n; i++) {
		char c = s[i];
		if (c == '+' && plus) {
			c = ' ';
		} else if (c == '%') {
			const int hi = n - i > 2 ? hex_value(s[i + 1]) : -1;
			const int lo = hi >= 0 ? hex_value(s[i + 2]) : -1;
			if (lo < 0)
				return -EINVAL;
			c = (char)(hi << 4 | lo);
			i += 2;
		}
		if (c == '\0')
			return -EINVAL;
		out[o++] = c;
	}
	out[o] = '\0';
	return 0;
}

/* @s decoded, or NULL after the request is refused; @wrong says why, where the text is wrong. */
static char *decode(struct http_reader *r, const char *s, size_t n, bool plus, const char *wrong)
{
	char *out = arena_alloc(&r->parsed.arena, n + 1);
	if (out != NULL && http_percent_decode(s, n, plus, out) == 0 && str_is_utf8(out, strlen(out)))
		return out;
	(void)refuse(r, out == NULL ? 500 : 400, out == NULL ? "out of memory" : wrong);
	return NULL;
}

/* "/path?query", or "http://host/path?query" as a proxy's client says it. */
static int parse_target(struct http_reader *r)
{
	struct http_parsed *q = &r->parsed;
	const char *s = r->target.p;
	if (s == NULL || r->target.failed)
		return refuse(r, 500, "out of memory");
	if (*s != '/') {
		const char *host = strstr(s, "://");
		s = host == NULL ? NULL : strpbrk(host + 3, "/?");
		if (s == NULL || *s != '/')
			return refuse(r, 400, "request target is not a path");
	}
	const size_t n = strcspn(s, "?#");
	const char *query = s[n] == '?' ? s + n + 1 : "";
	q->req.path = decode(r, s, n, false, "path has a bad percent-escape, or is no UTF-8");
	if (q->req.path == NULL)
		return -1;
	q->req.raw_query = arena_strndup(&q->arena, query, strcspn(query, "#"));
	return q->req.raw_query == NULL ? refuse(r, 500, "out of memory") : 0;
}

static int parse_query(struct http_reader *r)
{
	struct http_parsed *q = &r->parsed;
	struct str rest = str_from(q->req.raw_query), pair;
	size_t n = 1;
	for (const char *s = q->req.raw_query; *s != '\0'; s++)
		n += *s == '&';
	q->params = arena_alloc_array(&q->arena, n, sizeof *q->params);
	if (q->params == NULL)
		return refuse(r, 500, "out of memory");
	while (str_split_next(&rest, '&', &pair)) {
		if (pair.n == 0)
			continue;
		const char *eq = memchr(pair.p, '=', pair.n);
		const size_t key_n = eq == NULL ? pair.n : (size_t)(eq - pair.p);
		const char *value = eq == NULL ? "" : eq + 1;
		const size_t value_n = eq == NULL ? 0 : pair.n - key_n - 1;
		const char *name = decode(r, pair.p, key_n, true, "query has a bad percent-escape, or is no UTF-8");
		value = name == NULL
				? NULL
				: decode(r, value, value_n, true, "query has a bad percent-escape, or is no UTF-8");
		if (value == NULL)
			return -1;
		q->params[q->n_params++] = (struct http_header){name, value};
	}
	return 0;
}

/* RFC 9110, 5.6.2. The parser lets a space before the colon pass, which others read as another field: a way to smuggle requests. */
static bool is_token(const char *s)
{
	if (*s == '\0')
		return false;
	for (; *s != '\0'; s++)
		if (!isalnum((unsigned char)*s) && strchr("!#$%&'*+-.^_`|~", *s) == NULL)
			return false;
	return true;
}

/* One entry per field line. */
static int parse_headers(struct http_reader *r)
{
	struct http_parsed *q = &r->parsed;
	if (r->n_fields == 0)
		return 0;
	if (!r->in_value) /* the last field has no value at all */
		strbuf_addc(&r->fields, '\0');
	strbuf_addc(&r->fields, '\0');
	q->headers = arena_alloc_array(&q->arena, r->n_fields, sizeof *q->headers);
	char *copy = r->fields.failed ? NULL : arena_alloc(&q->arena, r->fields.n + 1);
	if (q->headers == NULL || copy == NULL)
		return refuse(r, 500, "out of memory");
	memcpy(copy, r->fields.p, r->fields.n);
	for (const char *s = copy; q->n_headers < r->n_fields;) { /* neither names nor values can hold a NUL */
		const char *value = s + strlen(s) + 1;
		if (!is_token(s))
			return refuse(r, 400, "header field has a bad name");
		q->headers[q->n_headers++] = (struct http_header){s, value};
		s = value + strlen(value) + 1;
	}
	return 0;
}

static int check_head(struct http_reader *r)
{
	const http_parser *p = &r->parser;
	if (p->http_major != 1 || p->http_minor > 1)
		return refuse(r, 505, "only HTTP/1.0 and HTTP/1.1 are spoken here");
	if (p->method == HTTP_CONNECT)
		return refuse(r, 400, "CONNECT is not spoken here");
	size_t hosts = 0;
	for (size_t i = 0; i < r->parsed.n_headers; i++)
		hosts += strcasecmp(r->parsed.headers[i].name, "Host") == 0;
	if (hosts > 1 || (hosts == 0 && p->http_minor == 1))
		return refuse(r, 400, "exactly one Host header is needed");
	if ((p->flags & F_CONTENTLENGTH) && p->content_length > r->max_body)
		return refuse(r, 413, "request body is too large");
	return 0;
}

/* The values of header @i and of those of its name that follow it, which lose their names; NULL on no memory. */
static const char *join_values(struct http_parsed *q, size_t i)
{
	struct http_header *h = &q->headers[i];
	size_t at = strlen(h->value), size = at + 1;
	for (size_t j = i + 1; j < q->n_headers; j++)
		if (q->headers[j].name != NULL && strcasecmp(q->headers[j].name, h->name) == 0)
			size += 2 + strlen(q->headers[j].value);
	if (size == at + 1)
		return h->value;
	char *joined = arena_alloc(&q->arena, size);
	if (joined == NULL)
		return NULL;
	memcpy(joined, h->value, at);
	for (size_t j = i + 1; j < q->n_headers; j++) {
		struct http_header *other = &q->headers[j];
		if (other->name == NULL || strcasecmp(other->name, h->name) != 0)
			continue;
		at += (size_t)snprintf(joined + at, size - at, ", %s", other->value);
		other->name = NULL;
	}
	return joined;
}

/* RFC 9110, 5.3: a list may come in several fields of one name. Here it becomes one. */
static int join_headers(struct http_reader *r)
{
	struct http_parsed *q = &r->parsed;
	size_t kept = 0;
	for (size_t i = 0; i < q->n_headers; i++) {
		if (q->headers[i].name == NULL)
			continue;
		const char *value = join_values(q, i);
		if (value == NULL)
			return refuse(r, 500, "out of memory");
		q->headers[kept++] = (struct http_header){q->headers[i].name, value};
	}
	q->n_headers = kept;
	return 0;
}

static int on_head_done(http_parser *p)
{
	struct http_reader *r = p->data;
	struct http_parsed *q = &r->parsed;
	q->req.method = http_method_str((enum http_method)p->method);
	if (parse_target(r) < 0 || parse_query(r) < 0 || parse_headers(r) < 0 || check_head(r) < 0 ||
	    join_headers(r) < 0)
		return -1;
	q->head = p->method == HTTP_HEAD;
	q->http10 = p->http_minor == 0;
	q->keep_alive = http_should_keep_alive(p) != 0;
	const char *expect = http_parsed_header(q, "Expect");
	r->wants_continue = expect != NULL && strcasecmp(expect, "100-continue") == 0 && !q->http10;
	r->head_done = true;
	p->upgrade = 0;
	return 0;
}

static int on_body(http_parser *p, const char *at, size_t n)
{
	struct http_reader *r = p->data;
	r->wants_continue = false;
	if (n > r->max_body - r->body.n)
		return refuse(r, 413, "request body is too large");
	strbuf_add(&r->body, at, n);
	return r->body.failed ? refuse(r, 500, "out of memory") : 0;
}

static int on_done(http_parser *p)
{
	struct http_reader *r = p->data;
	r->done = true;
	r->wants_continue = false;
	http_parser_pause(p, 1);
	return 0;
}

static const http_parser_settings settings = {
	.on_message_begin = on_begin,
	.on_url = on_target,
	.on_header_field = on_field,
	.on_header_value = on_value,
	.on_headers_complete = on_head_done,
	.on_body = on_body,
	.on_message_complete = on_done,
};

static void reader_reset(struct http_reader *r)
{
	http_parser_init(&r->parser, HTTP_REQUEST);
	r->parser.data = r;
	strbuf_reset(&r->target);
	strbuf_reset(&r->fields);
	r->head_bytes = 0;
	r->n_fields = 0;
	r->in_value = r->started = r->head_done = r->done = r->wants_continue = false;
	r->status = 0;
	r->why = NULL;
	r->parsed = (struct http_parsed){.arena = ARENA_INIT(ARENA_MAX)};
}

struct http_reader *http_reader_new(size_t max_body)
{
	struct http_reader *r = calloc(1, sizeof *r);
	if (r == NULL)
		return NULL;
	r->max_body = max_body;
	r->target = STRBUF_INIT(HTTP_HEAD_MAX + 1);
	r->fields = STRBUF_INIT(HTTP_HEAD_MAX * 2);
	r->body = STRBUF_INIT(max_body + 1);
	reader_reset(r);
	return r;
}

void http_reader_free(struct http_reader *r)
{
	if (r == NULL)
		return;
	http_parsed_clear(&r->parsed);
	strbuf_clear(&r->target);
	strbuf_clear(&r->fields);
	strbuf_clear(&r->body);
	free(r);
}

static int parse_failure(struct http_reader *r, enum http_errno e, const char **ret_why)
{
	if (r->status != 0) {
		*ret_why = r->why;
		return -r->status;
	}
	*ret_why = http_errno_description(e);
	return e == HPE_HEADER_OVERFLOW ? -431 : -400;
}

int http_reader_feed(struct http_reader *r, const char *data, size_t n, size_t *ret_used, const char **ret_why)
{
	*ret_used = n;
	if (n == 0)
		return HTTP_READ_MORE;
	const size_t used = http_parser_execute(&r->parser, &settings, data, n);
	const enum http_errno e = HTTP_PARSER_ERRNO(&r->parser);
	if (e != HPE_OK && e != HPE_PAUSED)
		return parse_failure(r, e, ret_why);
	*ret_used = used;
	return r->done ? HTTP_READ_DONE : HTTP_READ_MORE;
}

void http_reader_take(struct http_reader *r, struct http_parsed *ret)
{
	struct http_parsed *q = &r->parsed;
	q->req.body = "";
	if (r->body.n > 0) {
		q->req.body_n = r->body.n;
		q->body = r->body.p; /* the buffer itself: a copy of a body at its limit would double the memory */
		q->req.body = q->body;
		r->body = STRBUF_INIT(r->max_body + 1);
	}
	*ret = *q;
	reader_reset(r);
}

bool http_reader_wants_continue(struct http_reader *r)
{
	const bool wants = r->wants_continue && r->head_done && r->body.n == 0;
	if (wants)
		r->wants_continue = false;
	return wants;
}

bool http_reader_idle(const struct http_reader *r)
{
	return !r->started;
}

bool http_reader_in_head(const struct http_reader *r)
{
	return r->started && !r->head_done;
}

void http_parsed_clear(struct http_parsed *p)
{
	if (p == NULL)
		return;
	free(p->body);
	arena_free(&p->arena);
	*p = (struct http_parsed){0};
}

const char *http_parsed_header(const struct http_parsed *p, const char *name)
{
	for (size_t i = 0; i < p->n_headers; i++)
		if (strcasecmp(p->headers[i].name, name) == 0)
			return p->headers[i].value;
	return NULL;
}
