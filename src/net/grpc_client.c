#include <poll.h>
#include <sys/socket.h>
#include <sys/un.h>

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/error.h"
#include "base/str.h"
#include "net/grpc.h"
#include "net/grpc_frame.h"
#include "net/grpc_wire.h"

#define BODY_MAX (GRPC_MESSAGE_MAX + GRPC_PREFIX)

struct call {
	struct grpc_wire wire;
	uint8_t *frame;
	size_t frame_n, sent;
	struct strbuf body;
	char message[480];
	int http_status, grpc_status; /* -1: not told */
	uint32_t reset;               /* HTTP/2 error code of the stream's end */
	bool closed, too_large;
};

static void call_clear(struct call *c)
{
	grpc_wire_clear(&c->wire);
	free(c->frame);
	strbuf_clear(&c->body);
}

static int decimal(const uint8_t *s, size_t n)
{
	int v = n == 0 || n > 3 ? -1 : 0;
	for (size_t i = 0; v >= 0 && i < n; i++)
		v = s[i] >= '0' && s[i] <= '9' ? v * 10 + (s[i] - '0') : -1;
	return v;
}

static int on_header(nghttp2_session *session, const nghttp2_frame *frame, const uint8_t *name, size_t name_n,
		     const uint8_t *value, size_t value_n, uint8_t flags, void *arg)
{
	struct call *c = arg;
	const struct str key = {(const char *)name, name_n};
	(void)session;
	(void)frame;
	(void)flags;
	if (str_eq(key, ":status"))
		c->http_status = decimal(value, value_n);
	else if (str_eq(key, "grpc-status"))
		c->grpc_status = decimal(value, value_n);
	else if (str_eq(key, "grpc-message"))
		grpc_message_unescape((const char *)value, value_n, c->message, sizeof c->message);
	return 0;
}

static int on_data(nghttp2_session *session, uint8_t flags, int32_t id, const uint8_t *data, size_t n, void *arg)
{
	struct call *c = arg;
	(void)flags;
	if (n > BODY_MAX - c->body.n) {
		c->too_large = true;
		return nghttp2_submit_rst_stream(session, NGHTTP2_FLAG_NONE, id, NGHTTP2_CANCEL);
	}
	strbuf_add(&c->body, data, n);
	return c->body.failed ? NGHTTP2_ERR_CALLBACK_FAILURE : 0;
}

static int on_stream_close(nghttp2_session *session, int32_t id, uint32_t code, void *arg)
{
	struct call *c = arg;
	(void)session;
	(void)id;
	c->closed = true;
	c->reset = code;
	return 0;
}

static ssize_t read_frame(nghttp2_session *session, int32_t id, uint8_t *buf, size_t n, uint32_t *flags,
			  nghttp2_data_source *src, void *arg)
{
	struct call *c = arg;
	(void)session;
	(void)id;
	(void)src;
	const size_t left = c->frame_n - c->sent, k = left < n ? left : n;
	memcpy(buf, c->frame + c->sent, k);
	c->sent += k;
	if (c->sent == c->frame_n)
		*flags |= NGHTTP2_DATA_FLAG_EOF;
	return (ssize_t)k;
}

static int open_session(struct call *c)
{
	nghttp2_session_callbacks *cb;
	if (nghttp2_session_callbacks_new(&cb) != 0)
		return -ENOMEM;
	nghttp2_session_callbacks_set_on_header_callback(cb, on_header);
	nghttp2_session_callbacks_set_on_data_chunk_recv_callback(cb, on_data);
	nghttp2_session_callbacks_set_on_stream_close_callback(cb, on_stream_close);
	const int rc = nghttp2_session_client_new(&c->wire.session, cb, c);
	nghttp2_session_callbacks_del(cb);
	return rc == 0 ? 0 : -ENOMEM;
}

static int submit(struct call *c, const char *path, int64_t timeout_ns)
{
	char timeout[32];
	grpc_timeout_format(timeout_ns, timeout);
	const nghttp2_settings_entry settings[] = {{NGHTTP2_SETTINGS_ENABLE_PUSH, 0}};
	const nghttp2_nv nv[] = {
		GRPC_NV_LIT(":method", "POST"),
		GRPC_NV_LIT(":scheme", "http"),
		GRPC_NV(":path", path, strlen(path)),
		GRPC_NV_LIT(":authority", "localhost"),
		GRPC_NV_LIT("content-type", "application/grpc"),
		GRPC_NV_LIT("te", "trailers"),
		GRPC_NV("grpc-timeout", timeout, strlen(timeout)),
		GRPC_NV_LIT("user-agent", "sluice"),
	};
	const nghttp2_data_provider body = {.read_callback = read_frame};
	if (nghttp2_submit_settings(c->wire.session, NGHTTP2_FLAG_NONE, settings, ARRAY_LEN(settings)) != 0 ||
	    nghttp2_submit_request(c->wire.session, NULL, nv, ARRAY_LEN(nv), &body, NULL) < 0)
		return -ENOMEM;
	return 0;
}

static int connect_to(const char *path, struct grpc_wire *w)
{
	struct sockaddr_un sa;
	int rc = grpc_wire_address(path, &sa);
	if (rc < 0)
		return rc;
	w->fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (w->fd < 0 || connect(w->fd, (const struct sockaddr *)&sa, sizeof sa) < 0)
		return errno == EAGAIN ? -ECONNREFUSED : -errno; /* EAGAIN: its queue of connections is full */
	return 0;
}

static int wait_ready(const struct grpc_wire *w, int64_t deadline)
{
	const int64_t left = deadline - clock_mono_ns();
	if (left <= 0)
		return -ETIMEDOUT;
	const int64_t ms = left / NSEC_PER_MSEC + 1;
	struct pollfd p = {.fd = w->fd, .events = (short)(POLLIN | (grpc_wire_wants_write(w) ? POLLOUT : 0))};
	if (poll(&p, 1, ms > 60000 ? 60000 : (int)ms) < 0 && errno != EINTR)
		return -errno;
	return 0;
}

static int exchange(struct call *c, int64_t deadline)
{
	while (!c->closed) {
		int rc = grpc_wire_write(&c->wire);
		if (rc == 0)
			rc = wait_ready(&c->wire, deadline);
		if (rc == 0)
			rc = grpc_wire_read(&c->wire);
		if (rc == -EPIPE || rc == -ECONNRESET)
			rc = c->closed ? 0 : -ECONNRESET;
		if (rc < 0)
			return c->body.failed ? -ENOMEM : rc; /* which the session takes for a violation */
	}
	return 0;
}

static int result(struct call *c, const char *path, uint8_t **ret, size_t *ret_n, struct error *err)
{
	const uint8_t *msg = NULL;
	size_t n = 0;
	if (c->too_large)
		return error_set(err, -EPROTO, "call %s: the answer is larger than 4 MiB", path);
	if (c->grpc_status > 0) {
		error_set(err, -EREMOTEIO, "call %s: %s", path,
			  c->message[0] != '\0' ? c->message : "failed without a message");
		if (err != NULL)
			err->status = c->grpc_status;
		return -EREMOTEIO;
	}
	if (c->http_status != 200 || c->grpc_status < 0)
		return error_set(err, -EPROTO, "call %s: not an answer of gRPC (HTTP status %d, HTTP/2 error %u)", path,
				 c->http_status, c->reset);
	int rc = grpc_frame_parse((const uint8_t *)c->body.p, c->body.n, &msg, &n);
	if (rc < 0)
		return error_set(err, -EPROTO, "call %s: malformed answer: %s", path, strerror(-rc));
	uint8_t *copy = malloc(n + 1);
	if (copy == NULL)
		return error_set(err, -ENOMEM, "call %s: out of memory", path);
	if (n > 0)
		memcpy(copy, msg, n);
	*ret = copy;
	*ret_n = n;
	return 0;
}

int grpc_call(const char *socket_path, const char *path, const uint8_t *in, size_t n, int64_t timeout_ns, uint8_t **ret,
	      size_t *ret_n, struct error *err)
{
	int64_t deadline;
	if (__builtin_add_overflow(clock_mono_ns(), timeout_ns, &deadline))
		deadline = INT64_MAX;
	CLEANUP(call_clear)
	struct call c = {.wire = {.fd = -1, .out = STRBUF_INIT(1 << 20)},
			 .body = STRBUF_INIT(BODY_MAX),
			 .http_status = -1,
			 .grpc_status = -1};
	c.frame = grpc_frame_make(in, n, &c.frame_n);
	if (c.frame == NULL)
		return error_set(err, n > GRPC_MESSAGE_MAX ? -EMSGSIZE : -ENOMEM, "call %s: the request is too large",
				 path);
	int rc = connect_to(socket_path, &c.wire);
	if (rc < 0)
		return error_set(err, rc, "call %s: connect to '%s': %s", path, socket_path, strerror(-rc));
	rc = open_session(&c);
	if (rc == 0)
		rc = submit(&c, path, timeout_ns);
	if (rc == 0)
		rc = exchange(&c, deadline);
	if (rc < 0)
		return error_set(err, rc, "call %s on '%s': %s", path, socket_path, strerror(-rc));
	return result(&c, path, ret, ret_n, err);
}
