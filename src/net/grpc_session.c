/* The server's HTTP/2 sessions: streams, what nghttp2 calls, requests in, answers out. */
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/error.h"
#include "base/str.h"
#include "net/grpc_frame.h"
#include "net/grpc_server_internal.h"

#define STREAMS_MAX   100
#define CONN_BODY_MAX ((size_t)16 << 20)   /* of all requests that one connection has not finished */
#define TIMEOUT_NS    (120 * NSEC_PER_SEC) /* when the client names none, and at most */

void grpc_call_free(struct grpc_server_call *c)
{
	if (c == NULL)
		return;
	strbuf_clear(&c->body);
	free(c->reply.data);
	free(c);
}

/* --- streams --- */

static void stream_free(struct grpc_conn *c, struct grpc_stream *st)
{
	if (st->prev != NULL)
		st->prev->next = st->next;
	else
		c->streams = st->next;
	if (st->next != NULL)
		st->next->prev = st->prev;
	c->body_bytes -= st->counted;
	strbuf_clear(&st->body);
	free(st->frame);
	free(st);
}

static struct grpc_stream *stream_new(struct grpc_conn *c, int32_t id)
{
	struct grpc_stream *st = calloc(1, sizeof *st);
	if (st == NULL)
		return NULL;
	st->id = id;
	st->timeout_ns = TIMEOUT_NS;
	st->body = STRBUF_INIT(GRPC_MESSAGE_MAX + GRPC_PREFIX);
	st->next = c->streams;
	if (st->next != NULL)
		st->next->prev = st;
	c->streams = st;
	return st;
}

static void refuse(struct grpc_stream *st, enum grpc_code code, const char *why)
{
	if (st->refusal != GRPC_OK)
		return;
	st->refusal = code;
	st->why = why;
}

/* --- answering --- */

static ssize_t read_answer(nghttp2_session *session, int32_t id, uint8_t *buf, size_t n, uint32_t *flags,
			   nghttp2_data_source *src, void *arg)
{
	struct grpc_stream *st = src->ptr;
	(void)arg;
	const size_t left = st->frame_n - st->sent, k = left < n ? left : n;
	memcpy(buf, st->frame + st->sent, k);
	st->sent += k;
	if (st->sent < st->frame_n)
		return (ssize_t)k;
	const nghttp2_nv trailers[] = {GRPC_NV_LIT("grpc-status", "0")};
	*flags |= NGHTTP2_DATA_FLAG_EOF | NGHTTP2_DATA_FLAG_NO_END_STREAM;
	return nghttp2_submit_trailer(session, id, trailers, ARRAY_LEN(trailers)) == 0 ? (ssize_t)k
										       : NGHTTP2_ERR_CALLBACK_FAILURE;
}

static int answer_error(struct grpc_conn *c, struct grpc_stream *st, enum grpc_code code, const char *message)
{
	char status[8], text[1024];
	(void)snprintf(status, sizeof status, "%d", (int)code);
	grpc_message_escape(message, text, sizeof text);
	const nghttp2_nv nv[] = {
		GRPC_NV_LIT(":status", "200"),
		GRPC_NV_LIT("content-type", "application/grpc"),
		GRPC_NV("grpc-status", status, strlen(status)),
		GRPC_NV("grpc-message", text, strlen(text)),
	};
	st->replied = true;
	return nghttp2_submit_response(c->wire.session, st->id, nv, ARRAY_LEN(nv), NULL);
}

static int answer_data(struct grpc_conn *c, struct grpc_stream *st, const uint8_t *data, size_t n)
{
	const nghttp2_nv nv[] = {GRPC_NV_LIT(":status", "200"), GRPC_NV_LIT("content-type", "application/grpc")};
	st->frame = grpc_frame_make(data, n, &st->frame_n);
	if (st->frame == NULL)
		return answer_error(c, st, GRPC_RESOURCE_EXHAUSTED, "the answer is too large");
	st->replied = true;
	const nghttp2_data_provider body = {.source = {.ptr = st}, .read_callback = read_answer};
	return nghttp2_submit_response(c->wire.session, st->id, nv, ARRAY_LEN(nv), &body);
}

static int answer_not_grpc(struct grpc_conn *c, struct grpc_stream *st)
{
	const nghttp2_nv nv[] = {GRPC_NV_LIT(":status", "415")};
	st->replied = true;
	return nghttp2_submit_response(c->wire.session, st->id, nv, ARRAY_LEN(nv), NULL);
}

/* --- calls --- */

static const struct grpc_method *find_method(const struct grpc_server *s, const char *path)
{
	for (size_t i = 0; i < s->n_methods; i++)
		if (strcmp(s->methods[i].path, path) == 0)
			return &s->methods[i];
	return NULL;
}

static int submit_call(struct grpc_conn *c, struct grpc_stream *st, const struct grpc_method *m, const uint8_t *in,
		       size_t in_n)
{
	struct grpc_server *s = c->server;
	struct grpc_server_call *call = calloc(1, sizeof *call);
	if (call == NULL)
		return answer_error(c, st, GRPC_RESOURCE_EXHAUSTED, "out of memory");
	call->server = s;
	call->conn_id = c->id;
	call->stream_id = st->id;
	call->method = m;
	call->body = st->body; /* moves over: in points into it */
	st->body = (struct strbuf){0};
	call->in = in;
	call->in_n = in_n;
	call->deadline = clock_mono_ns() + st->timeout_ns;
	pthread_mutex_lock(&s->lock);
	s->n_calls++;
	pthread_mutex_unlock(&s->lock);
	if (pool_submit(s->pool, NULL, &call->item) == 0)
		return 0;
	pthread_mutex_lock(&s->lock);
	s->n_calls--;
	pthread_mutex_unlock(&s->lock);
	grpc_call_free(call);
	return answer_error(c, st, GRPC_UNAVAILABLE, "too many calls are waiting; try again");
}

/* The request is complete. */
static int dispatch(struct grpc_conn *c, struct grpc_stream *st)
{
	const uint8_t *in = NULL;
	size_t in_n = 0;
	if (!st->post || !st->grpc)
		return answer_not_grpc(c, st);
	const struct grpc_method *m = find_method(c->server, st->path);
	if (m == NULL && st->refusal == GRPC_OK) {
		char why[GRPC_METHOD_PATH_MAX + 32];
		(void)snprintf(why, sizeof why, "method %s is not served here", st->path);
		return answer_error(c, st, GRPC_UNIMPLEMENTED, why);
	}
	if (st->refusal == GRPC_OK) {
		const int rc = grpc_frame_parse((const uint8_t *)st->body.p, st->body.n, &in, &in_n);
		if (rc == -EOPNOTSUPP)
			refuse(st, GRPC_UNIMPLEMENTED, "compressed messages are not understood here");
		else if (rc < 0)
			refuse(st, GRPC_INTERNAL, "the request is not exactly one message");
	}
	if (st->refusal != GRPC_OK)
		return answer_error(c, st, st->refusal, st->why);
	return submit_call(c, st, m, in, in_n);
}

/* --- what nghttp2 calls --- */

static int on_begin(nghttp2_session *session, const nghttp2_frame *frame, void *arg)
{
	struct grpc_conn *c = arg;
	if (frame->hd.type != NGHTTP2_HEADERS || frame->headers.cat != NGHTTP2_HCAT_REQUEST)
		return 0;
	struct grpc_stream *st = stream_new(c, frame->hd.stream_id);
	if (st == NULL)
		return NGHTTP2_ERR_TEMPORAL_CALLBACK_FAILURE;
	return nghttp2_session_set_stream_user_data(session, frame->hd.stream_id, st) == 0
		       ? 0
		       : NGHTTP2_ERR_CALLBACK_FAILURE;
}

static void set_path(struct grpc_stream *st, const uint8_t *value, size_t n)
{
	if (n >= sizeof st->path || memchr(value, '\0', n) != NULL) {
		refuse(st, GRPC_UNIMPLEMENTED, "no such method");
		return;
	}
	memcpy(st->path, value, n);
	st->path[n] = '\0';
}

static int on_header(nghttp2_session *session, const nghttp2_frame *frame, const uint8_t *name, size_t name_n,
		     const uint8_t *value, size_t n, uint8_t flags, void *arg)
{
	static const char type[] = "application/grpc";
	struct grpc_stream *st = nghttp2_session_get_stream_user_data(session, frame->hd.stream_id);
	const struct str key = {(const char *)name, name_n}, val = {(const char *)value, n};
	(void)flags;
	(void)arg;
	if (st == NULL)
		return 0;
	if (str_eq(key, ":method")) {
		st->post = str_eq(val, "POST");
	} else if (str_eq(key, ":path")) {
		set_path(st, value, n);
	} else if (str_eq(key, "content-type")) {
		const size_t k = sizeof type - 1;
		st->grpc = n >= k && memcmp(value, type, k) == 0 && (n == k || value[k] == '+' || value[k] == ';');
	} else if (str_eq(key, "grpc-timeout")) {
		int64_t ns = 0;
		if (grpc_timeout_parse(val.p, n, &ns) < 0)
			refuse(st, GRPC_INVALID_ARGUMENT, "malformed grpc-timeout");
		else if (ns < st->timeout_ns)
			st->timeout_ns = ns;
	} else if (str_eq(key, "grpc-encoding") && !str_eq(val, "identity")) {
		refuse(st, GRPC_UNIMPLEMENTED, "compressed messages are not understood here");
	}
	return 0;
}

static int on_data(nghttp2_session *session, uint8_t flags, int32_t id, const uint8_t *data, size_t n, void *arg)
{
	struct grpc_conn *c = arg;
	struct grpc_stream *st = nghttp2_session_get_stream_user_data(session, id);
	(void)flags;
	if (st == NULL || st->refusal != GRPC_OK)
		return 0;
	if (n > st->body.max - st->body.n || n > CONN_BODY_MAX - c->body_bytes) {
		refuse(st, GRPC_RESOURCE_EXHAUSTED,
		       "the request is larger than 4 MiB, or the connection's requests than 16 MiB");
		return 0;
	}
	strbuf_add(&st->body, data, n);
	if (st->body.failed)
		refuse(st, GRPC_RESOURCE_EXHAUSTED, "out of memory");
	st->counted += n;
	c->body_bytes += n;
	return 0;
}

static int on_frame(nghttp2_session *session, const nghttp2_frame *frame, void *arg)
{
	struct grpc_conn *c = arg;
	if ((frame->hd.type != NGHTTP2_DATA && frame->hd.type != NGHTTP2_HEADERS) ||
	    !(frame->hd.flags & NGHTTP2_FLAG_END_STREAM))
		return 0;
	struct grpc_stream *st = nghttp2_session_get_stream_user_data(session, frame->hd.stream_id);
	if (st == NULL || st->replied)
		return 0;
	return dispatch(c, st) == 0 ? 0 : NGHTTP2_ERR_CALLBACK_FAILURE;
}

static int on_stream_close(nghttp2_session *session, int32_t id, uint32_t code, void *arg)
{
	struct grpc_conn *c = arg;
	struct grpc_stream *st = nghttp2_session_get_stream_user_data(session, id);
	(void)code;
	if (st != NULL)
		stream_free(c, st);
	return 0;
}

/* --- connections --- */

void grpc_session_free(struct grpc_conn *c)
{
	while (c->streams != NULL)
		stream_free(c, c->streams);
	grpc_wire_clear(&c->wire);
	free(c);
}

int grpc_session_open(struct grpc_conn *c)
{
	nghttp2_session_callbacks *cb = NULL;
	nghttp2_option *option = NULL;
	int rc = nghttp2_session_callbacks_new(&cb) != 0 || nghttp2_option_new(&option) != 0 ? -ENOMEM : 0;
	if (rc == 0) {
		/* Clients on a unix socket put its path into :authority, which nghttp2 takes for a violation of HTTP. */
		nghttp2_option_set_no_http_messaging(option, 1);
		nghttp2_session_callbacks_set_on_begin_headers_callback(cb, on_begin);
		nghttp2_session_callbacks_set_on_header_callback(cb, on_header);
		nghttp2_session_callbacks_set_on_data_chunk_recv_callback(cb, on_data);
		nghttp2_session_callbacks_set_on_frame_recv_callback(cb, on_frame);
		nghttp2_session_callbacks_set_on_stream_close_callback(cb, on_stream_close);
		rc = nghttp2_session_server_new2(&c->wire.session, cb, c, option) == 0 ? 0 : -ENOMEM;
	}
	nghttp2_session_callbacks_del(cb);
	nghttp2_option_del(option);
	if (rc < 0)
		return rc;
	const nghttp2_settings_entry settings[] = {{NGHTTP2_SETTINGS_MAX_CONCURRENT_STREAMS, STREAMS_MAX},
						   {NGHTTP2_SETTINGS_MAX_HEADER_LIST_SIZE, 16384}};
	return nghttp2_submit_settings(c->wire.session, NGHTTP2_FLAG_NONE, settings, ARRAY_LEN(settings)) == 0
		       ? 0
		       : -ENOMEM;
}

void grpc_session_deliver(struct grpc_conn *c, const struct grpc_server_call *call)
{
	struct grpc_stream *st = nghttp2_session_get_stream_user_data(c->wire.session, call->stream_id);
	if (st == NULL)
		return; /* cancelled meanwhile */
	const struct grpc_reply *r = &call->reply;
	const int rc =
		r->code == GRPC_OK ? answer_data(c, st, r->data, r->n) : answer_error(c, st, r->code, r->message);
	if (rc != 0)
		c->broken = true;
}
