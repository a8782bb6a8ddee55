#include "net/websocket_client.h"

#include <errno.h>
#include <http_parser.h>
#include <openssl/evp.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/error.h"
#include "base/random.h"
#include "base/str.h"
#include "base/strbuf.h"
#include "net/http_tunnel.h"
#include "net/websocket.h"

#define OPEN_NS       (30 * NSEC_PER_SEC)
#define ANSWER_MAX    65536 /* of the head, and of the body of a refusal */
#define PIECE         32768
#define PIECES_A_STEP 64 /* received in one step, so that sending gets its turn */

struct websocket_client {
	struct http_tunnel *tunnel;
	struct websocket *ws;
	char *protocol;
	char piece[PIECE]; /* taken from the session, not yet on the wire */
	size_t piece_n, piece_off;
};

void websocket_client_free(struct websocket_client *w)
{
	if (w == NULL)
		return;
	websocket_free(w->ws);
	http_tunnel_free(w->tunnel);
	free(w->protocol);
	free(w);
}

static void client_free_p(struct websocket_client **w)
{
	websocket_client_free(*w);
}

/* --- the handshake --- */

struct handshake {
	struct strbuf name, value; /* header under way */
	struct strbuf body;
	char accept[64], protocol[64], upgrade[32];
	int status;
	size_t head_n;
	bool in_value, complete;
};

/** A header is complete. */
static void note_header(struct handshake *h)
{
	const struct {
		const char *name;
		char *to;
		size_t size;
	} wanted[] = {
		{"Sec-WebSocket-Accept", h->accept, sizeof h->accept},
		{"Sec-WebSocket-Protocol", h->protocol, sizeof h->protocol},
		{"Upgrade", h->upgrade, sizeof h->upgrade},
	};
	for (size_t i = 0; i < ARRAY_LEN(wanted) && h->name.p != NULL && h->value.p != NULL; i++)
		if (strcasecmp(h->name.p, wanted[i].name) == 0)
			(void)str_copy(wanted[i].to, wanted[i].size,
				       h->value.p); /* a longer one is none that we accept */
	strbuf_reset(&h->name);
	strbuf_reset(&h->value);
	h->in_value = false;
}

static int on_field(http_parser *p, const char *at, size_t n)
{
	struct handshake *h = p->data;
	if (h->in_value)
		note_header(h);
	strbuf_add(&h->name, at, n);
	return (h->head_n += n) > ANSWER_MAX;
}

static int on_value(http_parser *p, const char *at, size_t n)
{
	struct handshake *h = p->data;
	h->in_value = true;
	strbuf_add(&h->value, at, n);
	return (h->head_n += n) > ANSWER_MAX;
}

static int on_head(http_parser *p)
{
	struct handshake *h = p->data;
	note_header(h);
	h->status = p->status_code;
	return 0;
}

static int on_body(http_parser *p, const char *at, size_t n)
{
	struct handshake *h = p->data;
	strbuf_add(&h->body, at, n);
	return h->body.failed;
}

static int on_complete(http_parser *p)
{
	struct handshake *h = p->data;
	h->complete = true;
	return 0;
}

/** Poll for @events until @deadline. 0 or -ETIMEDOUT. */
static int wait_for(const struct websocket_client *w, short events, int64_t deadline)
{
	const int64_t left = deadline - clock_mono_ns();
	struct pollfd p = {.fd = http_tunnel_fd(w->tunnel), .events = events};
	if (left <= 0)
		return -ETIMEDOUT;
	(void)poll(&p, 1,
		   (int)(left / NSEC_PER_MSEC < 1000 ? left / NSEC_PER_MSEC + 1 : 1000)); /* the deadline decides */
	return 0;
}

static int send_all(struct websocket_client *w, const char *data, size_t n, int64_t deadline)
{
	while (n > 0) {
		const ssize_t k = http_tunnel_send(w->tunnel, data, n);
		if (k < 0 && k != -EAGAIN)
			return (int)k;
		if (k < 0 && wait_for(w, POLLOUT, deadline) < 0)
			return -ETIMEDOUT;
		if (k > 0) {
			data += k;
			n -= (size_t)k;
		}
	}
	return 0;
}

/** Read the answer; bytes behind a 101 go to the session. */
static int read_answer(struct websocket_client *w, struct handshake *h, int64_t deadline)
{
	static const http_parser_settings settings = {
		.on_header_field = on_field,
		.on_header_value = on_value,
		.on_headers_complete = on_head,
		.on_body = on_body,
		.on_message_complete = on_complete,
	};
	http_parser parser;
	char buf[4096];
	http_parser_init(&parser, HTTP_RESPONSE);
	parser.data = h;
	for (;;) {
		const ssize_t k = http_tunnel_recv(w->tunnel, buf, sizeof buf);
		if (k == -EAGAIN) {
			if (wait_for(w, POLLIN, deadline) < 0)
				return -ETIMEDOUT;
			continue;
		}
		if (k < 0)
			return (int)k;
		const size_t used = http_parser_execute(&parser, &settings, buf, (size_t)k);
		if (h->status == 101 && parser.upgrade && h->complete) {
			const int rc = used < (size_t)k ? websocket_feed(w->ws, buf + used, (size_t)k - used) : 0;
			return rc == -EPIPE ? 0 : rc; /* closed at once: the first step says so */
		}
		if (HTTP_PARSER_ERRNO(&parser) != HPE_OK)
			return h->body.failed ? 0 : -EPROTO; /* a refusal's text is only cut */
		if (h->complete)
			return 0;
		if (k == 0)
			return -ECONNRESET;
	}
}

static int make_request(const struct websocket_connect_options *o, const char *key, struct strbuf *b)
{
	const char *scheme_end = strstr(o->url, "://");
	if (scheme_end == NULL || strpbrk(o->url, " \r\n#") != NULL ||
	    (o->bearer != NULL && strpbrk(o->bearer, "\r\n") != NULL))
		return -EINVAL;
	const char *host = scheme_end + 3;
	const size_t host_n = strcspn(host, "/?");
	const char *path = host + host_n;
	strbuf_addf(b, "GET %s%s HTTP/1.1\r\nHost: %.*s\r\n", path[0] == '/' ? "" : "/", path, (int)host_n, host);
	strbuf_addf(
		b,
		"Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: %s\r\n",
		key);
	for (size_t i = 0; o->protocols != NULL && o->protocols[i] != NULL; i++)
		strbuf_addf(b, "%s%s", i == 0 ? "Sec-WebSocket-Protocol: " : ", ", o->protocols[i]);
	if (o->protocols != NULL)
		strbuf_adds(b, "\r\n");
	if (o->bearer != NULL)
		strbuf_addf(b, "Authorization: Bearer %s\r\n", o->bearer);
	strbuf_adds(b, "\r\n");
	return b->failed ? -ENOMEM : 0;
}

/** Whether the answer is what RFC 6455 section 4.1 asks for. */
static int check_answer(const struct websocket_connect_options *o, const struct handshake *h, const char *key,
			struct error *err)
{
	char accept[29];
	websocket_accept_key(key, accept);
	if (h->status != 101) {
		error_set(err, -EPROTO, "the server answered HTTP %d, not a websocket", h->status);
		if (err != NULL)
			err->status = h->status;
		return -EPROTO;
	}
	if (strcasecmp(h->upgrade, "websocket") != 0 || strcmp(h->accept, accept) != 0)
		return error_set(err, -EPROTO, "the server's answer is no websocket's");
	bool asked = h->protocol[0] == '\0';
	for (size_t i = 0; o->protocols != NULL && o->protocols[i] != NULL; i++)
		asked |= strcmp(o->protocols[i], h->protocol) == 0;
	return asked ? 0
		     : error_set(err, -EPROTO, "the server chose the protocol '%s', which nobody asked for",
				 h->protocol);
}

static int shake_hands(struct websocket_client *w, const struct websocket_connect_options *o, int64_t deadline,
		       struct handshake *h, struct error *err)
{
	CLEANUP(strbuf_clear) struct strbuf request = STRBUF_INIT(ANSWER_MAX);
	unsigned char nonce[16];
	char key[25];
	random_bytes(nonce, sizeof nonce);
	(void)EVP_EncodeBlock((unsigned char *)key, nonce, sizeof nonce); /* writes 24 characters and NUL */
	int rc = make_request(o, key, &request);
	if (rc == 0)
		rc = send_all(w, request.p, request.n, deadline);
	if (request.p != NULL)
		explicit_bzero(request.p, request.n);
	if (rc == 0)
		rc = read_answer(w, h, deadline);
	if (rc < 0)
		return error_set(err, rc, "websocket: %s", rc == -EINVAL ? "malformed URL or token" : strerror(-rc));
	if ((rc = check_answer(o, h, key, err)) == 0 && (w->protocol = strdup(h->protocol)) == NULL)
		rc = error_set(err, -ENOMEM, "websocket: out of memory");
	return rc;
}

int websocket_connect(struct http_client *c, const struct websocket_connect_options *o, struct websocket_client **ret,
		      char **ret_body, struct error *err)
{
	const int64_t timeout = o->timeout_ns > 0 ? o->timeout_ns : OPEN_NS, deadline = clock_mono_ns() + timeout;
	CLEANUP(client_free_p) struct websocket_client *w = calloc(1, sizeof *w);
	const struct websocket_options wo = {
		.max_message = o->max_message, .max_queued = o->max_queued, .on_message = o->on_message, .ctx = o->ctx};
	if (ret_body != NULL)
		*ret_body = NULL;
	if (w == NULL || websocket_new(&wo, &w->ws) < 0)
		return error_set(err, -ENOMEM, "websocket: out of memory");
	int rc = http_tunnel_open(c, o->url, timeout, &w->tunnel, err);
	if (rc < 0)
		return rc;
	struct handshake h = {
		.name = STRBUF_INIT(ANSWER_MAX), .value = STRBUF_INIT(ANSWER_MAX), .body = STRBUF_INIT(ANSWER_MAX)};
	rc = shake_hands(w, o, deadline, &h, err);
	if (rc == 0)
		*ret = TAKE(w);
	else if (ret_body != NULL && h.body.n > 0)
		*ret_body = TAKE(h.body.p);
	strbuf_clear(&h.name);
	strbuf_clear(&h.value);
	if (h.body.p != NULL)
		strbuf_clear(&h.body);
	return rc;
}

/* --- open --- */

const char *websocket_client_protocol(const struct websocket_client *w)
{
	return w->protocol;
}

int websocket_client_send(struct websocket_client *w, bool text, const void *data, size_t n)
{
	return websocket_send(w->ws, text, data, n);
}

int websocket_client_ping(struct websocket_client *w)
{
	return websocket_ping(w->ws);
}

int websocket_client_close(struct websocket_client *w, uint16_t code, const char *reason)
{
	return websocket_close(w->ws, code, reason);
}

size_t websocket_client_queued(const struct websocket_client *w)
{
	return websocket_pending(w->ws) + (w->piece_n - w->piece_off);
}

uint16_t websocket_client_close_code(const struct websocket_client *w)
{
	return websocket_close_code(w->ws);
}

/** Send what goes out without waiting. 1: some did; 0: nothing; or an error. */
static int push(struct websocket_client *w)
{
	int moved = 0;
	for (;;) {
		if (w->piece_off == w->piece_n) {
			w->piece_off = 0;
			w->piece_n = websocket_take(w->ws, w->piece, sizeof w->piece);
		}
		if (w->piece_n == 0)
			return moved;
		const ssize_t k = http_tunnel_send(w->tunnel, w->piece + w->piece_off, w->piece_n - w->piece_off);
		if (k < 0)
			return k == -EAGAIN ? moved : (int)k;
		w->piece_off += (size_t)k;
		moved = 1;
	}
}

/** Receive what is there. As push(). */
static int pull(struct websocket_client *w)
{
	char buf[PIECE];
	int moved = 0;
	for (size_t i = 0; i < PIECES_A_STEP; i++) {
		const ssize_t k = http_tunnel_recv(w->tunnel, buf, sizeof buf);
		if (k == -EAGAIN)
			return moved;
		if (k <= 0)
			return websocket_close_code(w->ws) != 0 ? -EPIPE : -ECONNRESET;
		const int rc = websocket_feed(w->ws, buf, (size_t)k);
		if (rc < 0)
			return rc;
		moved = 1;
	}
	return moved;
}

int websocket_client_step(struct websocket_client *w, int64_t wait_ns)
{
	const int64_t deadline = clock_mono_ns() + wait_ns;
	for (;;) {
		const int sent = push(w);
		const int got = pull(w); /* also when sending failed: the reason may have come */
		if (got == -EPIPE)
			(void)push(w); /* the answer to the close frame; the peer may be gone */
		if (got < 0 || sent < 0)
			return got < 0 ? got : sent;
		if (got > 0 || sent > 0 ||
		    wait_for(w, websocket_client_queued(w) > 0 ? POLLIN | POLLOUT : POLLIN, deadline) < 0)
			return 0;
	}
}
