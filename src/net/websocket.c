#include "net/websocket.h"

#include <errno.h>
#include <openssl/evp.h>
#include <openssl/sha.h>
#include <stdlib.h>
#include <string.h>
#include <wslay/wslay.h>

#include "base/cleanup.h"
#include "base/random.h"
#include "base/strbuf.h"

#define MESSAGE_DEFAULT ((size_t)1 << 20)
#define QUEUED_DEFAULT  ((size_t)8 << 20)
#define FRAME_ROOM      (64 * 1024) /* heads of frames, pongs and the close frame beside the messages */

struct websocket {
	wslay_event_context_ptr ctx;
	struct websocket_options o;
	const uint8_t *in; /* what websocket_feed() was given and wslay has not taken yet */
	size_t in_n;
	struct strbuf out;
	size_t out_off; /* of `out`, taken already */
};

static ssize_t on_recv(wslay_event_context_ptr ctx, uint8_t *buf, size_t len, int flags, void *user)
{
	struct websocket *w = user;
	(void)flags;
	const size_t k = len < w->in_n ? len : w->in_n;
	if (k == 0) {
		wslay_event_set_error(ctx, WSLAY_ERR_WOULDBLOCK);
		return -1;
	}
	memcpy(buf, w->in, k);
	w->in += k;
	w->in_n -= k;
	return (ssize_t)k;
}

static ssize_t on_send(wslay_event_context_ptr ctx, const uint8_t *data, size_t len, int flags, void *user)
{
	struct websocket *w = user;
	(void)flags;
	strbuf_add(&w->out, data, len);
	if (w->out.failed) {
		wslay_event_set_error(ctx, WSLAY_ERR_CALLBACK_FAILURE);
		return -1;
	}
	return (ssize_t)len;
}

static int on_mask(wslay_event_context_ptr ctx, uint8_t *buf, size_t len, void *user)
{
	(void)ctx;
	(void)user;
	random_bytes(buf, len);
	return 0;
}

static void on_message(wslay_event_context_ptr ctx, const struct wslay_event_on_msg_recv_arg *a, void *user)
{
	struct websocket *w = user;
	(void)ctx;
	if (!wslay_is_ctrl_frame(a->opcode))
		w->o.on_message(w->o.ctx, a->opcode == WSLAY_TEXT_FRAME, a->msg, a->msg_length);
}

int websocket_new(const struct websocket_options *o, struct websocket **ret)
{
	static const struct wslay_event_callbacks callbacks = {
		.recv_callback = on_recv,
		.send_callback = on_send,
		.genmask_callback = on_mask,
		.on_msg_recv_callback = on_message,
	};
	struct websocket *w = calloc(1, sizeof *w);
	if (w == NULL)
		return -ENOMEM;
	w->o = *o;
	if (w->o.max_message == 0)
		w->o.max_message = MESSAGE_DEFAULT;
	if (w->o.max_queued == 0)
		w->o.max_queued = QUEUED_DEFAULT;
	w->out = STRBUF_INIT(w->o.max_queued + FRAME_ROOM);
	const int rc = o->server ? wslay_event_context_server_init(&w->ctx, &callbacks, w)
				 : wslay_event_context_client_init(&w->ctx, &callbacks, w);
	if (rc != 0) {
		free(w);
		return -ENOMEM;
	}
	wslay_event_config_set_max_recv_msg_length(w->ctx, w->o.max_message);
	*ret = w;
	return 0;
}

void websocket_free(struct websocket *w)
{
	if (w == NULL)
		return;
	wslay_event_context_free(w->ctx);
	strbuf_clear(&w->out);
	free(w);
}

/** Move what wslay has to say into `out`. */
static int flush(struct websocket *w)
{
	if (w->out_off > 0) {
		strbuf_consume(&w->out, w->out_off);
		w->out_off = 0;
	}
	if (wslay_event_send(w->ctx) == 0)
		return 0;
	return w->out.too_big ? -ENOBUFS : -ENOMEM;
}

int websocket_feed(struct websocket *w, const void *data, size_t n)
{
	w->in = data;
	w->in_n = n;
	int rc = 0;
	while (rc == 0 && w->in_n > 0) {
		const size_t before = w->in_n;
		if (!wslay_event_want_read(w->ctx) || wslay_event_get_close_received(w->ctx))
			rc = -EPIPE;
		else if ((rc = wslay_event_recv(w->ctx)) != 0)
			rc = rc == WSLAY_ERR_NOMEM ? -ENOMEM : -EPIPE; /* a frame that is none: it has queued a close */
		else if (w->in_n == before)
			rc = -EPIPE;
		const int sent = flush(w); /* pongs, and the close frame */
		rc = sent < 0 ? sent : rc;
	}
	w->in = NULL;
	w->in_n = 0;
	if (rc == 0 && !wslay_event_want_read(w->ctx))
		rc = -EPIPE;
	return rc;
}

static int queue(struct websocket *w, uint8_t opcode, const void *data, size_t n)
{
	if (wslay_event_get_close_sent(w->ctx) || wslay_event_get_close_received(w->ctx))
		return -EPIPE;
	if (n > w->o.max_queued || websocket_pending(w) > w->o.max_queued - n)
		return -ENOBUFS;
	const struct wslay_event_msg msg = {.opcode = opcode, .msg = data, .msg_length = n};
	const int rc = wslay_event_queue_msg(w->ctx, &msg);
	if (rc != 0)
		return rc == WSLAY_ERR_NOMEM ? -ENOMEM : -EPIPE;
	return flush(w);
}

int websocket_send(struct websocket *w, bool text, const void *data, size_t n)
{
	return queue(w, text ? WSLAY_TEXT_FRAME : WSLAY_BINARY_FRAME, data, n);
}

int websocket_ping(struct websocket *w)
{
	return queue(w, WSLAY_PING, NULL, 0);
}

int websocket_close(struct websocket *w, uint16_t code, const char *reason)
{
	const size_t n = reason != NULL ? strnlen(reason, 123) : 0;
	if (wslay_event_get_close_sent(w->ctx))
		return 0;
	if (wslay_event_queue_close(w->ctx, code, (const uint8_t *)reason, n) == WSLAY_ERR_NOMEM)
		return -ENOMEM;
	return flush(w);
}

size_t websocket_pending(const struct websocket *w)
{
	return w->out.n - w->out_off;
}

size_t websocket_take(struct websocket *w, void *buf, size_t size)
{
	const size_t left = websocket_pending(w), k = size < left ? size : left;
	if (k > 0)
		memcpy(buf, w->out.p + w->out_off, k);
	w->out_off += k;
	if (w->out_off == w->out.n) {
		strbuf_consume(&w->out, w->out.n);
		w->out_off = 0;
	}
	return k;
}

bool websocket_done(const struct websocket *w)
{
	return wslay_event_get_close_sent(w->ctx) &&
	       (wslay_event_get_close_received(w->ctx) || !wslay_event_want_read(w->ctx)) && websocket_pending(w) == 0;
}

uint16_t websocket_close_code(const struct websocket *w)
{
	if (wslay_event_get_close_received(w->ctx))
		return wslay_event_get_status_code_received(w->ctx);
	return wslay_event_get_close_sent(w->ctx) ? wslay_event_get_status_code_sent(w->ctx) : 0;
}

void websocket_accept_key(const char *key, char out[static 29])
{
	static const char magic[] = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11";
	unsigned char text[128], digest[SHA_DIGEST_LENGTH];
	const size_t n = strnlen(key, sizeof text - sizeof magic);
	memcpy(text, key, n);
	memcpy(text + n, magic, sizeof magic - 1);
	(void)SHA1(text, n + sizeof magic - 1, digest); /* writes to the buffer it is given */
	(void)EVP_EncodeBlock((unsigned char *)out, digest, sizeof digest);
}
