/*
 * pods/exec, pods/attach, pods/portforward: the node agent speaks the protocols (SPDY/3.1, websockets); what the client and the agent say to
 * each other is passed on as it is, once it is known who asks and that it may.
 */
#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/error.h"
#include "base/strbuf.h"
#include "local/api_internal.h"
#include "local/api_logs.h"
#include "net/http_client.h"
#include "net/http_tunnel.h"
#include "json/json.h"

#define CONNECT_NS  (10 * NSEC_PER_SEC)
#define REQUEST_MAX ((size_t)128 << 10)
#define INPUT_ROOM  ((size_t)512 << 10) /* bytes for the agent after which the client is not read */
#define INPUT_MAX   ((size_t)8 << 20)   /* more than what can be under way then */
#define OUTPUT_ROOM ((size_t)1 << 20)
#define PIECE       65536

/** One exchange that is passed on. Two own it: its thread, and on_close() once the client is ours. */
struct remote {
	atomic_uint refs;
	struct api_logs *logs;
	struct http_stream *stream;
	struct http_tunnel *agent;
	int wake;             /* readable: input came, the client's queue has room, or it is gone */
	pthread_mutex_t lock; /* guards input, paused, closed */
	struct strbuf input;
	bool paused, closed;
	struct strbuf request; /* then what goes to the agent */
	size_t sent;           /* of that */
	char buf[PIECE];
};

static void remote_unref(struct remote *r)
{
	if (atomic_fetch_sub_explicit(&r->refs, 1, memory_order_acq_rel) != 1)
		return;
	http_tunnel_free(r->agent);
	strbuf_clear(&r->input);
	strbuf_clear(&r->request);
	close_fd(&r->wake);
	(void)pthread_mutex_destroy(&r->lock);
	free(r);
}

static void ring(struct remote *r)
{
	(void)eventfd_write(r->wake, 1); /* refused only when it is full, and so readable */
}

/* --- the client, on the server's loop --- */

static void on_data(void *ctx, const void *data, size_t n)
{
	struct remote *r = ctx;
	pthread_mutex_lock(&r->lock);
	strbuf_add(&r->input, data, n);
	r->closed |= r->input.failed; /* nothing may be missing */
	r->paused |= r->input.n > INPUT_ROOM;
	if (r->paused && r->stream != NULL)
		http_stream_read(r->stream, false);
	pthread_mutex_unlock(&r->lock);
	ring(r);
}

static void on_close(void *ctx)
{
	struct remote *r = ctx;
	pthread_mutex_lock(&r->lock);
	r->closed = true;
	pthread_mutex_unlock(&r->lock);
	ring(r);
	remote_unref(r);
}

/* --- between the two --- */

/* More for the agent, when all before is sent. False: the client is gone. */
static bool take_input(struct remote *r)
{
	pthread_mutex_lock(&r->lock);
	const bool alive = !r->closed;
	if (r->sent == r->request.n) {
		strbuf_reset(&r->request);
		r->sent = 0;
		const struct strbuf empty = r->request;
		r->request = r->input;
		r->input = empty;
		if (r->paused) {
			r->paused = false;
			http_stream_read(r->stream, true);
		}
	}
	pthread_mutex_unlock(&r->lock);
	return alive;
}

/* 0, or an error: the agent is gone. */
static int push(struct remote *r)
{
	while (r->sent < r->request.n) {
		const ssize_t k = http_tunnel_send(r->agent, r->request.p + r->sent, r->request.n - r->sent);
		if (k < 0)
			return k == -EAGAIN ? 0 : (int)k;
		r->sent += (size_t)k;
	}
	return 0;
}

/* 0; 1: the queue for the client is full; an error: the agent or the client is gone. */
static int pull(struct remote *r)
{
	while (http_stream_queued(r->stream) < OUTPUT_ROOM) {
		const ssize_t k = http_tunnel_recv(r->agent, r->buf, sizeof r->buf);
		if (k == -EAGAIN)
			return 0;
		if (k <= 0)
			return k == 0 ? -EPIPE : (int)k;
		const int rc = http_stream_write(r->stream, r->buf, (size_t)k);
		if (rc < 0)
			return rc;
	}
	return 1;
}

static void pass_on(struct remote *r)
{
	for (;;) {
		eventfd_t count;
		(void)eventfd_read(r->wake, &count); /* nothing there: quiet already */
		do {                                 /* what came while we sent has been rung for already */
			if (!take_input(r) || push(r) < 0)
				return;
		} while (r->request.n > 0 && r->sent == r->request.n);
		const int rc = pull(r);
		if (rc < 0)
			return;
		const short events = (short)((rc == 0 ? POLLIN : 0) | (r->sent < r->request.n ? POLLOUT : 0));
		struct pollfd p[] = {{.fd = r->wake, .events = POLLIN},
				     {.fd = events != 0 ? http_tunnel_fd(r->agent) : -1, .events = events}};
		if (poll(p, ARRAY_LEN(p), -1) < 0 && errno != EINTR)
			return;
	}
}

static void *remote_main(void *arg)
{
	struct remote *r = arg;
	struct api_logs *logs = r->logs;
	pass_on(r);
	http_stream_end(r->stream);
	(void)http_stream_unref(r->stream);
	remote_unref(r);
	api_logs_release(logs);
	return NULL;
}

/* --- the request --- */

/** Headers that the protocols are negotiated by. */
static void add_headers(struct api_request *r, struct strbuf *b)
{
	static const char *const names[] = {"Upgrade", "Sec-WebSocket-Key", "Sec-WebSocket-Version",
					    "Sec-WebSocket-Protocol", "X-Stream-Protocol-Version"};
	for (size_t i = 0; i < ARRAY_LEN(names); i++) {
		const char *v = http_exchange_header(r->x, names[i]);
		if (v != NULL)
			strbuf_addf(b, "%s: %s\r\n", names[i], v);
	}
}

/** The query goes as it came: only what a request line can hold. */
static bool is_clean(const char *query)
{
	for (; *query != '\0'; query++)
		if (*query <= ' ' || *query > '~')
			return false;
	return true;
}

/** Names are valid Kubernetes names: nothing in them needs escaping. */
static int make_request(struct api_request *r, const char *container, struct strbuf *b)
{
	const bool forward = strcmp(r->sub, "portforward") == 0;
	if (!is_clean(r->http->raw_query))
		return api_fail_bad(r, "the query holds characters that must be percent-encoded");
	strbuf_addf(b, "%s /%s/%s/%s%s%s?%s HTTP/1.1\r\nHost: agent\r\nConnection: Upgrade, close\r\n", r->http->method,
		    forward ? "portForward" : r->sub, r->ns, r->name, forward ? "" : "/", container,
		    r->http->raw_query);
	add_headers(r, b);
	strbuf_adds(b, "\r\n");
	return b->failed ? api_fail_memory(r) : 0;
}

static int check_pod(struct api_request *r, const json_t *pod)
{
	const char *phase = json_str(pod, "status.phase", "");
	if (strcmp(phase, "Succeeded") == 0 || strcmp(phase, "Failed") == 0)
		return api_fail(r, 400, "BadRequest", NULL,
				"cannot %s a container in a completed pod; current phase is %s",
				strcmp(r->sub, "exec") == 0     ? "exec into"
				: strcmp(r->sub, "attach") == 0 ? "attach to"
								: "forward ports to",
				phase);
	if (json_str(pod, "spec.nodeName", "")[0] == '\0')
		return api_fail_bad(r, "pod %s does not have a host assigned", r->name);
	return 0;
}

static struct remote *remote_new(struct api_logs *logs, const struct strbuf *request)
{
	struct remote *r = calloc(1, sizeof *r);
	if (r == NULL)
		return NULL;
	atomic_init(&r->refs, 1);
	(void)pthread_mutex_init(&r->lock, NULL);
	r->logs = logs;
	r->input = STRBUF_INIT(INPUT_MAX);
	r->request = STRBUF_INIT(INPUT_MAX);
	strbuf_add(&r->request, request->p, request->n);
	r->wake = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (r->wake < 0 || r->request.failed) {
		remote_unref(r);
		return NULL;
	}
	return r;
}

/** Take the client over: from here on only the agent answers it. Drops @r when it fails. */
static int take_over(struct api_request *req, struct remote *r)
{
	req->answered = true;
	req->status = 101;
	atomic_fetch_add_explicit(&r->refs, 1, memory_order_relaxed);
	struct http_stream *s = http_hijack(req->x, on_data, on_close, r);
	if (s == NULL) {
		remote_unref(r);
		return -ENOMEM;
	}
	/* A handler runs here: the stream is there until it returns. */
	pthread_mutex_lock(&r->lock);
	r->stream = http_stream_ref(s);
	if (r->paused)
		http_stream_read(s, false);
	http_stream_notify(s, r->wake, OUTPUT_ROOM / 2);
	pthread_mutex_unlock(&r->lock);
	pthread_attr_t attr;
	pthread_t thread;
	(void)pthread_attr_init(&attr);
	(void)pthread_attr_setdetachstate(&attr, PTHREAD_CREATE_DETACHED);
	const int rc = -pthread_create(&thread, &attr, remote_main, r);
	(void)pthread_attr_destroy(&attr);
	if (rc < 0) {
		http_stream_end(s);
		(void)http_stream_unref(s);
	}
	return rc;
}

static int start(struct api_request *req, const struct strbuf *request)
{
	struct api_logs *l = req->server->logs;
	struct error err = {0};
	if (!api_logs_reserve(l))
		return api_fail(req, 429, "TooManyRequests", NULL,
				"too many logs, commands and forwarded ports are open; try again when one has ended");
	struct remote *r = remote_new(l, request);
	int rc = r == NULL ? api_fail_memory(req) : 0;
	if (rc == 0 && http_tunnel_open(api_logs_client(l), "http://agent", CONNECT_NS, &r->agent, &err) < 0)
		rc = api_fail(req, 500, "InternalError", NULL, "the node agent does not answer (is it running?): %s",
			      err.msg);
	rc = rc < 0 ? rc : take_over(req, r);
	if (rc < 0) {
		if (r != NULL)
			remote_unref(r);
		api_logs_release(l);
	}
	return rc;
}

int api_remote(struct api_request *r)
{
	if (strcmp(r->http->method, "GET") != 0 && strcmp(r->http->method, "POST") != 0)
		return api_fail_method(r);
	JSON_AUTO pod = NULL;
	const char *container = "";
	CLEANUP(strbuf_clear) struct strbuf request = STRBUF_INIT(REQUEST_MAX);
	int rc = api_load(r, r->name, &pod, NULL);
	rc = rc < 0 ? rc : check_pod(r, pod);
	if (rc == 0 && strcmp(r->sub, "portforward") != 0)
		rc = api_choose_container(r, pod, &container);
	if (rc == 0)
		rc = make_request(r, container, &request);
	return rc < 0 ? rc : start(r, &request);
}
