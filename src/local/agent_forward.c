/*
 * Port forwarding, portforward.k8s.io: SPDY streams, on a SPDY connection or inside of a websocket's messages. Each connection is a pair of
 * streams of one request id, "error" and "data"; it leads to a port of the pod, whose network is the machine's own.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/error.h"
#include "base/str.h"
#include "base/strbuf.h"
#include "local/agent_private.h"
#include "local/agent_remote.h"
#include "local/agent_wire.h"
#include "net/spdy.h"

#define PAIRS_MAX 128
#define PIECE     16384
#define ROOM      ((size_t)256 << 10) /* for one port: then nothing more is read from the client */
#define ROOM_MAX  ((size_t)4 << 20)
#define ID_MAX    64

struct pair {
	char request[ID_MAX];
	uint16_t port;
	uint32_t data, error; /* streams; 0: not open (any more) */
	bool had_data, had_error;
	int fd;
	bool connecting, in_ended, in_shut, out_ended;
	struct strbuf in; /* for the port */
	size_t in_off;
};

struct forward {
	struct wire *wire;
	struct spdy *spdy;
	struct pair *pairs[PAIRS_MAX];
	size_t n_pairs;
	char buf[PIECE];
};

static void pair_free(struct pair *p)
{
	close_fd(&p->fd);
	strbuf_clear(&p->in);
	free(p);
}

/* --- what the client opens --- */

static const char *header(const struct spdy_header *h, size_t n, const char *name)
{
	for (size_t i = 0; i < n; i++)
		if (strcmp(h[i].name, name) == 0)
			return h[i].value;
	return NULL;
}

static struct pair *pair_of_request(struct forward *f, const char *request, uint16_t port)
{
	for (size_t i = 0; i < f->n_pairs; i++)
		if (strcmp(f->pairs[i]->request, request) == 0)
			return f->pairs[i]->port == port ? f->pairs[i] : NULL;
	struct pair *p = f->n_pairs < PAIRS_MAX ? calloc(1, sizeof *p) : NULL;
	if (p == NULL)
		return NULL;
	p->fd = -1;
	p->port = port;
	p->in = STRBUF_INIT(ROOM_MAX);
	(void)str_copy(p->request, sizeof p->request, request); /* its length was looked at */
	f->pairs[f->n_pairs++] = p;
	return p;
}

static struct pair *pair_of_stream(struct forward *f, uint32_t id)
{
	for (size_t i = 0; i < f->n_pairs; i++)
		if (f->pairs[i]->data == id || f->pairs[i]->error == id)
			return f->pairs[i];
	return NULL;
}

/* What fails of these shows when the session is flushed. */
static void say(struct forward *f, uint32_t *id, const char *text)
{
	if (*id != 0)
		(void)spdy_send(f->spdy, *id, text, strlen(text), true);
	*id = 0;
}

static void give_up(struct forward *f, struct pair *p, int error)
{
	char text[128];
	(void)snprintf(text, sizeof text, "error forwarding port %u: connect to 127.0.0.1:%u: %s", p->port, p->port,
		       strerror(error));
	say(f, &p->error, text);
	say(f, &p->data, "");
	close_fd(&p->fd);
	p->fd = -1;
	p->in_ended = p->out_ended = true;
	strbuf_reset(&p->in);
	p->in_off = 0;
}

static void dial(struct forward *f, struct pair *p)
{
	struct sockaddr_in sa = {.sin_family = AF_INET, .sin_port = htons(p->port)};
	(void)inet_pton(AF_INET, AGENT_ADDRESS, &sa.sin_addr); /* a constant */
	p->fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	p->connecting = p->fd >= 0;
	if (p->fd < 0 || (connect(p->fd, (struct sockaddr *)&sa, sizeof sa) < 0 && errno != EINPROGRESS))
		give_up(f, p, errno);
}

static void on_stream(void *ctx, uint32_t id, const struct spdy_header *h, size_t n, bool fin)
{
	struct forward *f = ctx;
	const char *type = header(h, n, "streamtype"), *request = header(h, n, "requestid"),
		   *text = header(h, n, "port");
	int64_t port = 0;
	const bool is_data = type != NULL && strcmp(type, "data") == 0;
	struct pair *p = NULL;
	if (type != NULL && (is_data || strcmp(type, "error") == 0) && request != NULL && strlen(request) < ID_MAX &&
	    text != NULL && str_to_i64(text, &port) == 0 && port > 0 && port <= UINT16_MAX)
		p = pair_of_request(f, request, (uint16_t)port);
	if (p == NULL || (is_data ? p->had_data : p->had_error)) {
		(void)spdy_reset(f->spdy, id, SPDY_REFUSED_STREAM); /* what fails shows when the session is flushed */
		return;
	}
	*(is_data ? &p->data : &p->error) = id;
	*(is_data ? &p->had_data : &p->had_error) = true;
	if (is_data)
		p->in_ended = fin;
	if (p->had_data && p->had_error)
		dial(f, p);
}

static void on_data(void *ctx, uint32_t id, const void *data, size_t n, bool fin)
{
	struct forward *f = ctx;
	struct pair *p = pair_of_stream(f, id);
	if (p == NULL || p->data != id || p->in_shut)
		return; /* nothing is expected on an error stream */
	strbuf_add(&p->in, data, n);
	p->in_ended |= fin;
}

static void on_reset(void *ctx, uint32_t id)
{
	struct forward *f = ctx;
	struct pair *p = pair_of_stream(f, id);
	if (p == NULL)
		return;
	if (p->data == id) {
		p->data = 0;
		give_up(f, p, ECONNRESET);
	} else {
		p->error = 0;
	}
}

/* --- to and from the port --- */

static void push(struct forward *f, struct pair *p)
{
	while (p->fd >= 0 && !p->connecting && p->in.n > p->in_off) {
		const ssize_t k = send(p->fd, p->in.p + p->in_off, p->in.n - p->in_off, MSG_NOSIGNAL);
		if (k < 0 && errno == EINTR)
			continue;
		if (k < 0 && errno == EAGAIN)
			return;
		if (k < 0) {
			give_up(f, p, errno);
			return;
		}
		p->in_off += (size_t)k;
	}
	if (p->in.n > p->in_off || p->connecting)
		return;
	strbuf_reset(&p->in);
	p->in_off = 0;
	if (p->in_ended && !p->in_shut && p->fd >= 0) {
		p->in_shut = true;
		(void)shutdown(p->fd, SHUT_WR); /* its end is seen when it is read */
	}
}

static void pull(struct forward *f, struct pair *p)
{
	while (p->fd >= 0 && !p->out_ended && spdy_pending(f->spdy) + wire_queued(f->wire) < WIRE_ROOM) {
		const ssize_t k = recv(p->fd, f->buf, sizeof f->buf, 0);
		if (k < 0 && errno == EINTR)
			continue;
		if (k < 0 && errno == EAGAIN)
			return;
		if (k <= 0) {
			p->out_ended = true;
			say(f, &p->data, "");
			return;
		}
		if (p->data != 0)
			(void)spdy_send(f->spdy, p->data, f->buf, (size_t)k, false); /* shows when flushed */
	}
}

static void connected(struct forward *f, struct pair *p)
{
	int error = 0;
	socklen_t n = sizeof error;
	p->connecting = false;
	if (getsockopt(p->fd, SOL_SOCKET, SO_ERROR, &error, &n) < 0)
		error = errno;
	if (error != 0)
		give_up(f, p, error);
}

/* A pair is over when the port has said all: what the client says then reaches nobody. */
static void drop_ended(struct forward *f)
{
	for (size_t i = 0; i < f->n_pairs;) {
		struct pair *p = f->pairs[i];
		if (!p->out_ended || !p->had_data || !p->had_error) {
			i++;
			continue;
		}
		say(f, &p->error, "");
		pair_free(p);
		f->pairs[i] = f->pairs[--f->n_pairs];
	}
}

/* --- under way --- */

static int flush(struct forward *f)
{
	int rc = 0;
	for (size_t k; rc == 0 && (k = spdy_take(f->spdy, f->buf, sizeof f->buf)) > 0;)
		rc = wire_send(f->wire, f->buf, k);
	return rc;
}

static bool has_room(const struct forward *f)
{
	for (size_t i = 0; i < f->n_pairs; i++)
		if (f->pairs[i]->in.n - f->pairs[i]->in_off > ROOM)
			return false;
	return true;
}

/* What came and there is room for. 1: there may be more; 0: none now. */
static int take(struct forward *f)
{
	if (wire_gone(f->wire))
		return -EPIPE;
	while (has_room(f)) {
		struct wire_message *m = wire_take(f->wire);
		if (m == NULL)
			return 0;
		int rc = spdy_feed(f->spdy, m->data, m->n);
		free(m);
		for (size_t i = 0; i < f->n_pairs; i++)
			rc = f->pairs[i]->in.failed ? -ENOBUFS : rc;
		if (rc < 0)
			return rc;
	}
	return 1;
}

static size_t fill(struct forward *f, struct pollfd *p)
{
	const bool room = wire_queued(f->wire) < WIRE_ROOM;
	p[0] = (struct pollfd){.fd = wire_fd(f->wire), .events = POLLIN};
	for (size_t i = 0; i < f->n_pairs; i++) {
		const struct pair *a = f->pairs[i];
		const bool out = a->connecting || a->in.n > a->in_off, in = room && !a->connecting && !a->out_ended;
		p[i + 1] = (struct pollfd){.fd = out || in ? a->fd : -1,
					   .events = (short)((out ? POLLOUT : 0) | (in ? POLLIN : 0))};
	}
	return f->n_pairs + 1;
}

static void move(struct forward *f, const struct pollfd *polled, size_t n)
{
	for (size_t i = 1; i < n; i++) {
		struct pair *p = f->pairs[i - 1];
		if (polled[i].revents != 0 && p->connecting)
			connected(f, p);
		else if (polled[i].revents != 0)
			pull(f, p);
	}
}

void forward_run(struct forward *f)
{
	struct pollfd p[PAIRS_MAX + 1];
	int rc = 0;
	while (rc >= 0) {
		const size_t n = fill(f, p);
		if (poll(p, n, -1) < 0 && errno != EINTR)
			return;
		move(f, p, n);
		wire_clear(f->wire);
		do {
			rc = take(f);
			for (size_t i = 0; i < f->n_pairs; i++)
				push(f, f->pairs[i]);
		} while (rc == 1 && has_room(f)); /* what came meanwhile has been rung for already */
		drop_ended(f);
		const int sent = flush(f); /* also why it ends */
		rc = rc < 0 ? rc : sent;
	}
}

int forward_new(struct http_exchange *x, struct forward **ret, struct error *err)
{
	static const char *const websocket[] = {"SPDY/3.1+portforward.k8s.io", NULL}, *const spdy[] = {
											      "portforward.k8s.io",
											      NULL};
	struct forward *f = calloc(1, sizeof *f);
	const struct spdy_options so = {.max_streams = 2 * PAIRS_MAX,
					.on_stream = on_stream,
					.on_data = on_data,
					.on_reset = on_reset,
					.ctx = f};
	if (f == NULL || spdy_new(&so, &f->spdy) < 0) {
		free(f);
		return error_set(err, -EAGAIN, "out of memory");
	}
	const int rc = wire_accept(
		x, &(struct wire_options){.websocket = websocket, .spdy = spdy, .unversioned = "portforward.k8s.io"},
		&f->wire, err);
	if (rc < 0) {
		forward_free(f);
		return rc;
	}
	*ret = f;
	return 0;
}

void forward_free(struct forward *f)
{
	if (f == NULL)
		return;
	for (size_t i = 0; i < f->n_pairs; i++)
		pair_free(f->pairs[i]);
	wire_free(f->wire);
	spdy_free(f->spdy);
	free(f);
}
