#include "local/agent_channels.h"

#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/error.h"
#include "local/agent_wire.h"
#include "net/spdy.h"
#include "json/json.h"

#define PIECE_MAX 32768
#define CLOSE     255 /* v5: the message's second byte names the channel that is closed */

static const char *const stream_type[CHANNELS] = {"stdin", "stdout", "stderr", "error", "resize"};

struct channels {
	struct channels_options o;
	struct wire *wire;
	struct spdy *spdy; /* NULL: a websocket */
	int version;
	unsigned wanted, open;     /* masks of channels; of SPDY, whose streams have come */
	uint32_t stream[CHANNELS]; /* of SPDY; 0: none */
	bool closed[CHANNELS];     /* the client says no more on it */
	char message[1 + PIECE_MAX];
};

static const char *const versions[] = {"v5.channel.k8s.io", "v4.channel.k8s.io", "channel.k8s.io", NULL};
static const char *const spdy_versions[] = {"v4.channel.k8s.io", "v3.channel.k8s.io", "v2.channel.k8s.io",
					    "channel.k8s.io", NULL};

void channels_free(struct channels *c)
{
	if (c == NULL)
		return;
	wire_free(c->wire);
	spdy_free(c->spdy);
	free(c);
}

static bool is_input(enum channel ch)
{
	return ch == CHANNEL_STDIN || ch == CHANNEL_RESIZE;
}

static void give(struct channels *c, enum channel ch, const char *data, size_t n, bool fin)
{
	if (!is_input(ch) || !(c->wanted & 1u << ch) || c->closed[ch])
		return;
	c->closed[ch] = fin;
	c->o.on_input(c->o.ctx, ch, data, n, fin);
}

/* --- SPDY --- */

static void on_stream(void *ctx, uint32_t id, const struct spdy_header *h, size_t n, bool fin)
{
	struct channels *c = ctx;
	for (size_t i = 0; i < n; i++) {
		for (unsigned ch = 0; ch < CHANNELS && strcmp(h[i].name, "streamtype") == 0; ch++) {
			if (strcmp(h[i].value, stream_type[ch]) != 0 || c->stream[ch] != 0)
				continue;
			c->stream[ch] = id;
			c->open |= 1u << ch;
			if (fin)
				give(c, ch, "", 0, true);
			return;
		}
	}
	(void)spdy_reset(c->spdy, id, SPDY_REFUSED_STREAM); /* what fails shows at the next spdy_feed() */
}

static bool channel_of(const struct channels *c, uint32_t id, enum channel *ret)
{
	for (unsigned ch = 0; ch < CHANNELS; ch++) {
		if (c->stream[ch] == id) {
			*ret = ch;
			return true;
		}
	}
	return false;
}

static void on_stream_data(void *ctx, uint32_t id, const void *data, size_t n, bool fin)
{
	enum channel ch;
	if (channel_of(ctx, id, &ch))
		give(ctx, ch, data, n, fin);
}

static void on_stream_reset(void *ctx, uint32_t id)
{
	on_stream_data(ctx, id, "", 0, true);
}

static int spdy_flush(struct channels *c)
{
	int rc = 0;
	for (size_t k; rc == 0 && (k = spdy_take(c->spdy, c->message, sizeof c->message)) > 0;)
		rc = wire_send(c->wire, c->message, k);
	return rc;
}

/* --- websockets --- */

static int on_message(struct channels *c, const char *data, size_t n)
{
	if (n == 0)
		return 0;
	const unsigned ch = (unsigned char)data[0];
	if (ch == CLOSE && c->version >= 5) {
		if (n == 2 && (unsigned char)data[1] < CHANNELS)
			give(c, (unsigned char)data[1], "", 0, true);
		return 0;
	}
	if (ch < CHANNELS && n > 1)
		give(c, ch, data + 1, n - 1, false);
	return 0;
}

/* --- both --- */

static int version_of(const char *protocol)
{
	return protocol[0] == 'v' ? protocol[1] - '0' : 1;
}

static unsigned mask_of(const struct channels_options *o, int version)
{
	unsigned mask = 1u << CHANNEL_ERROR;
	mask |= o->in ? 1u << CHANNEL_STDIN : 0;
	mask |= o->out ? 1u << CHANNEL_STDOUT : 0;
	mask |= o->err && !o->tty ? 1u << CHANNEL_STDERR : 0;
	return mask | (o->tty && version >= 3 ? 1u << CHANNEL_RESIZE : 0);
}

int channels_accept(struct http_exchange *x, const struct channels_options *o, struct channels **ret, struct error *err)
{
	struct channels *c = calloc(1, sizeof *c);
	const struct spdy_options so = {.max_streams = CHANNELS,
					.on_stream = on_stream,
					.on_data = on_stream_data,
					.on_reset = on_stream_reset,
					.ctx = c};
	if (c == NULL || spdy_new(&so, &c->spdy) < 0) {
		free(c);
		return error_set(err, -EAGAIN, "out of memory");
	}
	const struct wire_options wo = {.websocket = versions, .spdy = spdy_versions, .unversioned = "channel.k8s.io"};
	const int rc = wire_accept(x, &wo, &c->wire, err);
	if (rc < 0) {
		spdy_free(c->spdy);
		free(c);
		return rc;
	}
	c->o = *o;
	c->version = version_of(wire_protocol(c->wire));
	c->wanted = mask_of(o, c->version);
	if (wire_is_websocket(c->wire)) {
		spdy_free(TAKE(c->spdy));
		c->open = c->wanted;
	}
	*ret = c;
	return 0;
}

int channels_fd(const struct channels *c)
{
	return wire_fd(c->wire);
}

bool channels_gone(struct channels *c)
{
	return wire_gone(c->wire);
}

int channels_step(struct channels *c)
{
	wire_clear(c->wire);
	struct wire_message *m = wire_take(c->wire);
	if (m == NULL)
		return wire_gone(c->wire) ? -EPIPE : 0;
	int rc = c->spdy != NULL ? spdy_feed(c->spdy, m->data, m->n) : on_message(c, m->data, m->n);
	free(m);
	if (c->spdy != NULL) {
		const int sent = spdy_flush(c); /* replies and pongs, and why it ends */
		rc = rc < 0 ? rc : sent;
	}
	return rc < 0 ? rc : 1;
}

int channels_open(struct channels *c, int64_t deadline_ns)
{
	while ((c->open & c->wanted) != c->wanted) {
		const int rc = channels_step(c);
		if (rc < 0)
			return rc;
		const int64_t left = deadline_ns - clock_mono_ns();
		if (left <= 0)
			return -ETIMEDOUT;
		struct pollfd p = {.fd = wire_fd(c->wire), .events = POLLIN};
		if (rc == 0)
			(void)poll(&p, 1, (int)(left / NSEC_PER_MSEC) + 1); /* the deadline decides */
	}
	return 0;
}

bool channels_has_room(struct channels *c)
{
	return wire_queued(c->wire) < WIRE_ROOM;
}

int channels_write(struct channels *c, enum channel to, const void *data, size_t n)
{
	if (!(c->wanted & 1u << to))
		return 0;
	if (n > PIECE_MAX)
		return -EINVAL;
	if (c->spdy != NULL) {
		const int rc = spdy_send(c->spdy, c->stream[to], data, n, false);
		return rc < 0 ? rc : spdy_flush(c);
	}
	c->message[0] = (char)to;
	memcpy(c->message + 1, data, n);
	return wire_send(c->wire, c->message, n + 1);
}

static int close_streams(struct channels *c)
{
	int rc = 0;
	for (unsigned ch = 0; ch < CHANNELS && rc == 0; ch++) {
		if (c->stream[ch] != 0)
			rc = spdy_send(c->spdy, c->stream[ch], "", 0, true);
		rc = rc == -EPIPE ? 0 : rc; /* the client dropped it */
	}
	return rc < 0 ? rc : spdy_flush(c);
}

int channels_end(struct channels *c, const json_t *status)
{
	const bool success = strcmp(json_str(status, "status", ""), "Success") == 0;
	CLEANUP(free_p)
	char *text = c->version >= 4 ? json_to_text(status, NULL)
		     : success       ? strdup("")
				     : strdup(json_str(status, "message", "failed"));
	if (text == NULL)
		return -ENOMEM;
	const size_t n = strlen(text);
	int rc = n > 0 ? channels_write(c, CHANNEL_ERROR, text, n < PIECE_MAX ? n : PIECE_MAX) : 0;
	if (rc == 0 && c->spdy != NULL)
		rc = close_streams(c);
	return rc;
}

void channels_linger(struct channels *c, int64_t deadline_ns)
{
	if (c->spdy == NULL)
		return; /* the close frame comes after all that is queued */
	for (int64_t left; !wire_gone(c->wire) && (left = deadline_ns - clock_mono_ns()) > 0;) {
		struct pollfd p = {.fd = wire_fd(c->wire), .events = POLLIN};
		(void)poll(&p, 1, (int)(left / NSEC_PER_MSEC) + 1); /* the deadline decides */
		wire_clear(c->wire);
		for (struct wire_message *m; (m = wire_take(c->wire)) != NULL;)
			free(m);
	}
}
