#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <sys/eventfd.h>
#include <sys/socket.h>

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/error.h"
#include "base/str.h"
#include "net/grpc.h"
#include "net/grpc_frame.h"
#include "net/grpc_wire.h"
#include "net/listen.h"
#include "net/pool.h"

/*
 * One thread owns the sockets and sessions; methods run on workers. A call under way knows its connection by number, not by
 * pointer: when it ends, its answer goes to the stream if that still exists.
 */

#define CONNS_MAX     64
#define STREAMS_MAX   100
#define WORKERS       16
#define PENDING_MAX   256
#define CONN_BODY_MAX ((size_t)16 << 20) /* of all requests that one connection has not finished */
#define TIMEOUT_NS    (120 * NSEC_PER_SEC) /* when the client names none, and at most */
#define FLUSH_NS      NSEC_PER_SEC /* for the last answers when the server stops */
#define METHOD_PATH_MAX     256

struct call {
	struct pool_item item;
	struct call *next_done;
	struct grpc_server *server;
	uint64_t conn_id;
	int32_t stream_id;
	const struct grpc_method *method;
	struct strbuf body;
	const uint8_t *in;
	size_t in_n;
	int64_t deadline;
	struct grpc_reply reply;
};

struct stream {
	struct stream *prev, *next;
	int32_t id;
	char path[METHOD_PATH_MAX];
	bool post, grpc, replied;
	int64_t timeout_ns;
	struct strbuf body;
	size_t counted;         /* of the body, in the connection's sum */
	enum grpc_code refusal; /* known before the request is complete */
	const char *why;
	uint8_t *frame;         /* of the answer */
	size_t frame_n, sent;
};

struct conn {
	struct grpc_wire wire;
	struct grpc_server *server;
	uint64_t id;
	size_t body_bytes;
	struct stream *streams;
	bool broken;
};

struct grpc_server {
	const struct grpc_method *methods;
	size_t n_methods;
	void *ctx;
	char *path;
	int listen_fd, event_fd;
	pthread_t thread;
	struct pool *pool;
	struct conn *conns[CONNS_MAX]; /* the thread's, as n_conns and next_id */
	size_t n_conns;
	uint64_t next_id;
	pthread_mutex_t lock; /* guards the rest */
	struct call *done;
	size_t n_calls;
	bool stopping;
};

static void wake(struct grpc_server *s)
{
	const uint64_t one = 1;
	if (write(s->event_fd, &one, sizeof one) < 0)
		return; /* the counter is full, so it is readable already */
}

static void call_free(struct call *c)
{
	if (c == NULL)
		return;
	strbuf_clear(&c->body);
	free(c->reply.data);
	free(c);
}

/* --- streams --- */

static void stream_free(struct conn *c, struct stream *st)
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

static struct stream *stream_new(struct conn *c, int32_t id)
{
	struct stream *st = calloc(1, sizeof *st);
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

static void refuse(struct stream *st, enum grpc_code code, const char *why)
{
	if (st->refusal != GRPC_OK)
		return;
	st->refusal = code;
	st->why = why;
}

/* --- answering --- */

static ssize_t read_answer(nghttp2_session *session, int32_t id, uint8_t *buf, size_t n, uint32_t *flags, nghttp2_data_source *src,
			   void *arg)
{
	struct stream *st = src->ptr;
	(void)arg;
	const size_t left = st->frame_n - st->sent, k = left < n ? left : n;
	memcpy(buf, st->frame + st->sent, k);
	st->sent += k;
	if (st->sent < st->frame_n)
		return (ssize_t)k;
	const nghttp2_nv trailers[] = {GRPC_NV_LIT("grpc-status", "0")};
	*flags |= NGHTTP2_DATA_FLAG_EOF | NGHTTP2_DATA_FLAG_NO_END_STREAM;
	return nghttp2_submit_trailer(session, id, trailers, ARRAY_LEN(trailers)) == 0 ? (ssize_t)k : NGHTTP2_ERR_CALLBACK_FAILURE;
}

static int answer_error(struct conn *c, struct stream *st, enum grpc_code code, const char *message)
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

static int answer_data(struct conn *c, struct stream *st, const uint8_t *data, size_t n)
{
	const nghttp2_nv nv[] = {GRPC_NV_LIT(":status", "200"), GRPC_NV_LIT("content-type", "application/grpc")};
	st->frame = grpc_frame_make(data, n, &st->frame_n);
	if (st->frame == NULL)
		return answer_error(c, st, GRPC_RESOURCE_EXHAUSTED, "the answer is too large");
	st->replied = true;
	const nghttp2_data_provider body = {.source = {.ptr = st}, .read_callback = read_answer};
	return nghttp2_submit_response(c->wire.session, st->id, nv, ARRAY_LEN(nv), &body);
}

static int answer_not_grpc(struct conn *c, struct stream *st)
{
	const nghttp2_nv nv[] = {GRPC_NV_LIT(":status", "415")};
	st->replied = true;
	return nghttp2_submit_response(c->wire.session, st->id, nv, ARRAY_LEN(nv), NULL);
}

/* --- calls --- */

static void run_call(void *ctx, struct pool_item *it)
{
	struct grpc_server *s = ctx;
	struct call *c = (struct call *)((char *)it - offsetof(struct call, item));
	c->method->fn(s->ctx, c->in, c->in_n, c->deadline, &c->reply);
	pthread_mutex_lock(&s->lock);
	c->next_done = s->done;
	s->done = c;
	wake(s); /* under the lock: once the loop may take it, the server may be freed */
	pthread_mutex_unlock(&s->lock);
}

static const struct grpc_method *find_method(const struct grpc_server *s, const char *path)
{
	for (size_t i = 0; i < s->n_methods; i++)
		if (strcmp(s->methods[i].path, path) == 0)
			return &s->methods[i];
	return NULL;
}

static int submit_call(struct conn *c, struct stream *st, const struct grpc_method *m, const uint8_t *in, size_t in_n)
{
	struct grpc_server *s = c->server;
	struct call *call = calloc(1, sizeof *call);
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
	if (pool_submit(s->pool, &call->item) == 0)
		return 0;
	pthread_mutex_lock(&s->lock);
	s->n_calls--;
	pthread_mutex_unlock(&s->lock);
	call_free(call);
	return answer_error(c, st, GRPC_UNAVAILABLE, "too many calls are waiting; try again");
}

/* The request is complete. */
static int dispatch(struct conn *c, struct stream *st)
{
	const uint8_t *in = NULL;
	size_t in_n = 0;
	if (!st->post || !st->grpc)
		return answer_not_grpc(c, st);
	const struct grpc_method *m = find_method(c->server, st->path);
	if (m == NULL && st->refusal == GRPC_OK) {
		char why[METHOD_PATH_MAX + 32];
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
	struct conn *c = arg;
	if (frame->hd.type != NGHTTP2_HEADERS || frame->headers.cat != NGHTTP2_HCAT_REQUEST)
		return 0;
	struct stream *st = stream_new(c, frame->hd.stream_id);
	if (st == NULL)
		return NGHTTP2_ERR_TEMPORAL_CALLBACK_FAILURE;
	return nghttp2_session_set_stream_user_data(session, frame->hd.stream_id, st) == 0 ? 0 : NGHTTP2_ERR_CALLBACK_FAILURE;
}

static void set_path(struct stream *st, const uint8_t *value, size_t n)
{
	if (n >= sizeof st->path || memchr(value, '\0', n) != NULL) {
		refuse(st, GRPC_UNIMPLEMENTED, "no such method");
		return;
	}
	memcpy(st->path, value, n);
	st->path[n] = '\0';
}

static int on_header(nghttp2_session *session, const nghttp2_frame *frame, const uint8_t *name, size_t name_n, const uint8_t *value,
		     size_t n, uint8_t flags, void *arg)
{
	static const char type[] = "application/grpc";
	struct stream *st = nghttp2_session_get_stream_user_data(session, frame->hd.stream_id);
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
	struct conn *c = arg;
	struct stream *st = nghttp2_session_get_stream_user_data(session, id);
	(void)flags;
	if (st == NULL || st->refusal != GRPC_OK)
		return 0;
	if (n > st->body.max - st->body.n || n > CONN_BODY_MAX - c->body_bytes) {
		refuse(st, GRPC_RESOURCE_EXHAUSTED, "the request is larger than 4 MiB, or the connection's requests than 16 MiB");
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
	struct conn *c = arg;
	if ((frame->hd.type != NGHTTP2_DATA && frame->hd.type != NGHTTP2_HEADERS) || !(frame->hd.flags & NGHTTP2_FLAG_END_STREAM))
		return 0;
	struct stream *st = nghttp2_session_get_stream_user_data(session, frame->hd.stream_id);
	if (st == NULL || st->replied)
		return 0;
	return dispatch(c, st) == 0 ? 0 : NGHTTP2_ERR_CALLBACK_FAILURE;
}

static int on_stream_close(nghttp2_session *session, int32_t id, uint32_t code, void *arg)
{
	struct conn *c = arg;
	struct stream *st = nghttp2_session_get_stream_user_data(session, id);
	(void)code;
	if (st != NULL)
		stream_free(c, st);
	return 0;
}

/* --- connections --- */

static void conn_free(struct conn *c)
{
	while (c->streams != NULL)
		stream_free(c, c->streams);
	grpc_wire_clear(&c->wire);
	free(c);
}

static int open_session(struct conn *c)
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
	return nghttp2_submit_settings(c->wire.session, NGHTTP2_FLAG_NONE, settings, ARRAY_LEN(settings)) == 0 ? 0 : -ENOMEM;
}

static void accept_one(struct grpc_server *s)
{
	CLEANUP(close_fd) int fd = accept4(s->listen_fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
	if (fd < 0 || s->n_conns == CONNS_MAX)
		return;
	struct conn *c = calloc(1, sizeof *c);
	if (c == NULL)
		return;
	c->server = s;
	c->id = ++s->next_id;
	c->wire = (struct grpc_wire){.fd = TAKE_FD(fd), .out = STRBUF_INIT(1 << 20)};
	if (open_session(c) < 0) {
		conn_free(c);
		return;
	}
	s->conns[s->n_conns++] = c;
}

static void conn_turn(struct conn *c, short events)
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
		conn_free(s->conns[i]);
		s->conns[i] = s->conns[--s->n_conns];
	}
}

static struct conn *find_conn(struct grpc_server *s, uint64_t id)
{
	for (size_t i = 0; i < s->n_conns; i++)
		if (s->conns[i]->id == id)
			return s->conns[i];
	return NULL;
}

static void deliver(struct grpc_server *s, struct call *call)
{
	struct conn *c = find_conn(s, call->conn_id);
	struct stream *st = c == NULL ? NULL : nghttp2_session_get_stream_user_data(c->wire.session, call->stream_id);
	if (st == NULL)
		return; /* cancelled meanwhile */
	const struct grpc_reply *r = &call->reply;
	const int rc = r->code == GRPC_OK ? answer_data(c, st, r->data, r->n) : answer_error(c, st, r->code, r->message);
	if (rc != 0)
		c->broken = true;
}

static void deliver_all(struct grpc_server *s)
{
	pthread_mutex_lock(&s->lock);
	struct call *list = TAKE(s->done);
	pthread_mutex_unlock(&s->lock);
	size_t n = 0;
	for (struct call *c = list, *next; c != NULL; c = next, n++) {
		next = c->next_done;
		deliver(s, c);
		call_free(c);
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
		fds[2 + i] = (struct pollfd){.fd = s->conns[i]->wire.fd, .events = (short)(POLLIN | (out ? POLLOUT : 0))};
	}
	return 2 + s->n_conns;
}

static void *loop_main(void *arg)
{
	struct grpc_server *s = arg;
	struct pollfd fds[2 + CONNS_MAX];
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
		conn_free(s->conns[i]);
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
	int rc = s->event_fd < 0 || s->path == NULL ? error_set(err, -ENOMEM, "serve on '%s': out of memory", socket_path) : 0;
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
