#include "net/spdy.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <zlib.h>

#include "base/cleanup.h"
#include "base/strbuf.h"

#define STREAMS_DEFAULT   256
#define QUEUED_DEFAULT    ((size_t)4 << 20)
#define FRAME_ROOM        ((size_t)64 << 10) /* for answers beside the data */
#define CONTROL_MAX       ((size_t)64 << 10) /* length of a control frame */
#define BLOCK_MAX         ((size_t)64 << 10) /* of headers, inflated */
#define HEADERS_MAX       64
#define WINDOW_ANSWER     ((size_t)32 << 10) /* bytes after which their window is opened again: half of the first one */
#define DEFLATE_LEVEL     1
#define DEFLATE_WINDOW    11
#define DEFLATE_MEM_LEVEL 1
#define HEAD_N            8
#define ID_MASK           0x7fffffffu

enum frame_type {
	SYN_STREAM = 1,
	SYN_REPLY = 2,
	RST_STREAM = 3,
	SETTINGS = 4,
	PING = 6,
	GOAWAY = 7,
	HEADERS = 8,
	WINDOW_UPDATE = 9,
};

#define FLAG_FIN            1
#define FLAG_UNIDIRECTIONAL 2

struct spdy_stream {
	uint32_t id;
	bool in_done, out_done; /* what the peer says, what we say */
	size_t unanswered;      /* bytes whose window is not open again */
};

struct spdy {
	struct spdy_options o;
	struct spdy_stream *streams;
	size_t n_streams, cap_streams;
	uint32_t last_id;
	size_t unanswered; /* of the session's window */

	unsigned char head[HEAD_N];
	size_t head_n;
	struct strbuf control;    /* a control frame under way, behind its head */
	size_t left;              /* bytes of the frame that are to come */
	unsigned char data_flags; /* of the data frame under way */
	uint32_t data_id;
	bool in_frame, is_control;

	z_stream inflate, deflate;
	bool inflate_ready, deflate_ready;
	unsigned char *block; /* BLOCK_MAX + 1 bytes */

	struct strbuf out;
	size_t out_off; /* of `out`, taken already */
	bool gone;
	const char *error;
};

static uint32_t get32(const unsigned char *p)
{
	return (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 | (uint32_t)p[2] << 8 | p[3];
}

static void put32(unsigned char *p, uint32_t v)
{
	p[0] = (unsigned char)(v >> 24);
	p[1] = (unsigned char)(v >> 16);
	p[2] = (unsigned char)(v >> 8);
	p[3] = (unsigned char)v;
}

static int open_zlib(struct spdy *s)
{
	unsigned char dictionary[SPDY_DICTIONARY_N];
	s->inflate_ready = inflateInit(&s->inflate) == Z_OK;
	s->deflate_ready = deflateInit2(&s->deflate, DEFLATE_LEVEL, Z_DEFLATED, DEFLATE_WINDOW, DEFLATE_MEM_LEVEL,
					Z_DEFAULT_STRATEGY) == Z_OK;
	spdy_dictionary(dictionary);
	return s->inflate_ready && s->deflate_ready &&
			       deflateSetDictionary(&s->deflate, dictionary, sizeof dictionary) == Z_OK
		       ? 0
		       : -ENOMEM;
}

int spdy_new(const struct spdy_options *o, struct spdy **ret)
{
	struct spdy *s = calloc(1, sizeof *s);
	if (s == NULL)
		return -ENOMEM;
	s->o = *o;
	if (s->o.max_streams == 0)
		s->o.max_streams = STREAMS_DEFAULT;
	if (s->o.max_queued == 0)
		s->o.max_queued = QUEUED_DEFAULT;
	s->control = STRBUF_INIT(CONTROL_MAX);
	s->out = STRBUF_INIT(s->o.max_queued + FRAME_ROOM);
	s->error = "";
	s->block = malloc(BLOCK_MAX + 1);
	if (s->block == NULL || open_zlib(s) < 0) {
		spdy_free(s);
		return -ENOMEM;
	}
	*ret = s;
	return 0;
}

void spdy_free(struct spdy *s)
{
	if (s == NULL)
		return;
	if (s->inflate_ready)
		(void)inflateEnd(&s->inflate); /* fails only for a stream that is none */
	if (s->deflate_ready)
		(void)deflateEnd(&s->deflate);
	strbuf_clear(&s->control);
	strbuf_clear(&s->out);
	free(s->streams);
	free(s->block);
	free(s);
}

const char *spdy_error(const struct spdy *s)
{
	return s->error;
}

size_t spdy_pending(const struct spdy *s)
{
	return s->out.n - s->out_off;
}

size_t spdy_take(struct spdy *s, void *buf, size_t size)
{
	const size_t k = size < spdy_pending(s) ? size : spdy_pending(s);
	if (k > 0)
		memcpy(buf, s->out.p + s->out_off, k);
	s->out_off += k;
	if (s->out_off == s->out.n) {
		strbuf_consume(&s->out, s->out_off);
		s->out_off = 0;
	}
	return k;
}

/* --- what goes out --- */

static int out_result(const struct spdy *s)
{
	return !s->out.failed ? 0 : s->out.too_big ? -ENOBUFS : -ENOMEM;
}

/** Make room at the end by dropping what is taken, once that is worth it. */
static void out_compact(struct spdy *s)
{
	if (s->out_off < FRAME_ROOM)
		return;
	strbuf_consume(&s->out, s->out_off);
	s->out_off = 0;
}

static int put_control(struct spdy *s, enum frame_type type, unsigned char flags, const void *body, size_t n)
{
	unsigned char head[HEAD_N] = {0x80, 3, 0, (unsigned char)type};
	put32(head + 4, (uint32_t)n);
	head[4] = flags;
	out_compact(s);
	strbuf_add(&s->out, head, sizeof head);
	strbuf_add(&s->out, body, n);
	return out_result(s);
}

static int put_two(struct spdy *s, enum frame_type type, uint32_t first, uint32_t second)
{
	unsigned char body[8];
	put32(body, first);
	put32(body + 4, second);
	return put_control(s, type, 0, body, sizeof body);
}

/** Says what the peer did wrong, once, and ends the reading. */
static int broken(struct spdy *s, const char *why)
{
	s->error = why;
	s->gone = true;
	(void)put_two(s, GOAWAY, s->last_id, SPDY_PROTOCOL_ERROR); /* a peer that does not read need not know why */
	return -EPROTO;
}

/** The answer to SYN_STREAM: no headers. The compressor's state goes through all of them. */
static int put_reply(struct spdy *s, uint32_t id)
{
	unsigned char body[64] = {0}, none[4] = {0};
	put32(body, id);
	s->deflate.next_in = none;
	s->deflate.avail_in = sizeof none;
	s->deflate.next_out = body + 4;
	s->deflate.avail_out = sizeof body - 4;
	if (deflate(&s->deflate, Z_SYNC_FLUSH) != Z_OK || s->deflate.avail_in > 0 || s->deflate.avail_out == 0)
		return -ENOMEM;
	return put_control(s, SYN_REPLY, 0, body, sizeof body - s->deflate.avail_out);
}

/* --- streams --- */

static struct spdy_stream *find(struct spdy *s, uint32_t id)
{
	for (size_t i = 0; i < s->n_streams; i++)
		if (s->streams[i].id == id)
			return &s->streams[i];
	return NULL;
}

static struct spdy_stream *add(struct spdy *s, uint32_t id, bool in_done, bool out_done)
{
	if (s->n_streams == s->cap_streams) {
		const size_t cap = s->cap_streams > 0 ? 2 * s->cap_streams : 8;
		struct spdy_stream *more = reallocarray(s->streams, cap, sizeof *more);
		if (more == NULL)
			return NULL;
		s->streams = more;
		s->cap_streams = cap;
	}
	struct spdy_stream *t = &s->streams[s->n_streams++];
	*t = (struct spdy_stream){.id = id, .in_done = in_done, .out_done = out_done};
	return t;
}

static void drop(struct spdy *s, struct spdy_stream *t)
{
	*t = s->streams[--s->n_streams];
}

static void drop_if_done(struct spdy *s, struct spdy_stream *t)
{
	if (t->in_done && t->out_done)
		drop(s, t);
}

int spdy_send(struct spdy *s, uint32_t id, const void *data, size_t n, bool fin)
{
	struct spdy_stream *t = find(s, id);
	if (t == NULL || t->out_done)
		return -EPIPE;
	if (n > SPDY_PIECE)
		return -EINVAL;
	if (spdy_pending(s) > s->o.max_queued || n > s->o.max_queued - spdy_pending(s))
		return -ENOBUFS;
	unsigned char head[HEAD_N];
	put32(head, id);
	put32(head + 4, (uint32_t)n);
	head[4] = fin ? FLAG_FIN : 0;
	out_compact(s);
	strbuf_add(&s->out, head, sizeof head);
	strbuf_add(&s->out, data, n);
	t->out_done = fin;
	drop_if_done(s, t);
	return out_result(s);
}

int spdy_reset(struct spdy *s, uint32_t id, uint32_t status)
{
	struct spdy_stream *t = find(s, id);
	if (t == NULL)
		return -EPIPE;
	drop(s, t);
	return put_two(s, RST_STREAM, id, status);
}

/* --- header blocks --- */

/** Inflate the block into s->block. Every block goes through: the two compressors are one stream of bytes. */
static int inflate_block(struct spdy *s, const unsigned char *in, size_t n, size_t *ret_n)
{
	unsigned char dictionary[SPDY_DICTIONARY_N];
	s->inflate.next_in = (unsigned char *)in;
	s->inflate.avail_in = (unsigned)n;
	s->inflate.next_out = s->block;
	s->inflate.avail_out = BLOCK_MAX + 1;
	for (;;) {
		const int rc = inflate(&s->inflate, Z_SYNC_FLUSH);
		if (rc == Z_NEED_DICT) {
			spdy_dictionary(dictionary);
			if (inflateSetDictionary(&s->inflate, dictionary, sizeof dictionary) != Z_OK)
				return broken(s, "headers are compressed with another dictionary");
			continue;
		}
		if (s->inflate.avail_out == 0)
			return broken(s, "headers are larger than 64 KiB");
		if (rc != Z_OK && rc != Z_BUF_ERROR)
			return rc == Z_MEM_ERROR ? -ENOMEM : broken(s, "headers are not compressed as they must be");
		if (s->inflate.avail_in == 0)
			break;
		if (rc == Z_BUF_ERROR)
			return broken(s, "headers are not compressed as they must be");
	}
	*ret_n = BLOCK_MAX + 1 - s->inflate.avail_out;
	return 0;
}

/**
 * Take one counted string at *@at and end it with a NUL, which takes the place of the next one's count: that one was read before.
 * NULL: it goes beyond the block.
 */
static char *take_string(unsigned char *block, size_t n, size_t *at, uint32_t len)
{
	if (len > n - *at)
		return NULL;
	char *p = (char *)block + *at;
	*at += len;
	return p;
}

static bool take_count(const unsigned char *block, size_t n, size_t *at, uint32_t *ret)
{
	if (n - *at < 4)
		return false;
	*ret = get32(block + *at);
	*at += 4;
	return true;
}

/** Cut s->block of @n bytes into headers. */
static int parse_block(struct spdy *s, size_t n, struct spdy_header *h, size_t *ret_n)
{
	static const char bad[] = "malformed headers";
	unsigned char *b = s->block;
	size_t at = 0;
	uint32_t count = 0;
	if (!take_count(b, n, &at, &count))
		return broken(s, bad);
	if (count > HEADERS_MAX)
		return broken(s, "more than 64 headers");
	for (uint32_t i = 0; i < count; i++) {
		uint32_t name_n = 0, value_n = 0;
		char *name = take_count(b, n, &at, &name_n) ? take_string(b, n, &at, name_n) : NULL;
		char *value = name != NULL && take_count(b, n, &at, &value_n) ? take_string(b, n, &at, value_n) : NULL;
		if (value == NULL || name_n == 0 || memchr(name, '\0', name_n) != NULL)
			return broken(s, bad);
		name[name_n] = '\0'; /* where the value's length stood */
		h[i] = (struct spdy_header){.name = name, .value = value};
		if (i > 0)
			((char *)h[i].name)[-4] = '\0'; /* the value before ends where this name's length stood */
	}
	b[at] = '\0'; /* the block has room for one byte more */
	*ret_n = count;
	return 0;
}

/* --- control frames --- */

static int on_syn_stream(struct spdy *s, unsigned char flags, const unsigned char *p, size_t n)
{
	struct spdy_header headers[HEADERS_MAX];
	size_t block_n = 0, n_headers = 0;
	if (n < 10)
		return broken(s, "SYN_STREAM is too short");
	const uint32_t id = get32(p) & ID_MASK;
	if (id % 2 == 0 || id <= s->last_id)
		return broken(s, "a stream's id is not odd and larger than those before");
	s->last_id = id;
	int rc = inflate_block(s, p + 10, n - 10, &block_n);
	rc = rc < 0 ? rc : parse_block(s, block_n, headers, &n_headers);
	if (rc < 0)
		return rc;
	if (s->n_streams >= s->o.max_streams)
		return put_two(s, RST_STREAM, id, SPDY_REFUSED_STREAM);
	const bool fin = (flags & FLAG_FIN) != 0;
	if (fin && (flags & FLAG_UNIDIRECTIONAL) != 0)
		return 0; /* over before it began */
	if (add(s, id, fin, (flags & FLAG_UNIDIRECTIONAL) != 0) == NULL)
		return -ENOMEM;
	rc = (flags & FLAG_UNIDIRECTIONAL) != 0 ? 0 : put_reply(s, id);
	if (rc == 0)
		s->o.on_stream(s->o.ctx, id, headers, n_headers, fin);
	return rc;
}

/** HEADERS and SYN_REPLY: nothing in them is wanted, the compressor has to see them all the same. */
static int on_more_headers(struct spdy *s, unsigned char flags, const unsigned char *p, size_t n)
{
	size_t block_n = 0;
	if (n < 4)
		return broken(s, "HEADERS is too short");
	const uint32_t id = get32(p) & ID_MASK;
	const int rc = inflate_block(s, p + 4, n - 4, &block_n);
	struct spdy_stream *t = rc == 0 && (flags & FLAG_FIN) != 0 ? find(s, id) : NULL;
	if (t == NULL || t->in_done)
		return rc;
	t->in_done = true;
	drop_if_done(s, t);
	s->o.on_data(s->o.ctx, id, "", 0, true);
	return 0;
}

static int on_rst_stream(struct spdy *s, const unsigned char *p, size_t n)
{
	if (n != 8)
		return broken(s, "RST_STREAM is not 8 bytes long");
	const uint32_t id = get32(p) & ID_MASK;
	struct spdy_stream *t = find(s, id);
	if (t == NULL)
		return 0; /* it was closed on its way */
	drop(s, t);
	s->o.on_reset(s->o.ctx, id);
	return 0;
}

static int on_window_update(struct spdy *s, const unsigned char *p, size_t n)
{
	if (n != 8 || (get32(p + 4) & ID_MASK) == 0)
		return broken(s, "malformed WINDOW_UPDATE");
	return 0; /* see the header: what we send is not held back by it */
}

static int on_control(struct spdy *s)
{
	const unsigned char *p = (const unsigned char *)s->control.p, flags = s->head[4];
	const size_t n = s->control.n;
	switch ((enum frame_type)((unsigned)s->head[2] << 8 | s->head[3])) {
	case SYN_STREAM:
		return on_syn_stream(s, flags, p, n);
	case SYN_REPLY:
	case HEADERS:
		return on_more_headers(s, flags, p, n);
	case RST_STREAM:
		return on_rst_stream(s, p, n);
	case PING:
		if (n != 4)
			return broken(s, "PING is not 4 bytes long");
		return get32(p) % 2 == 1 ? put_control(s, PING, 0, p, n) : 0;
	case GOAWAY:
		s->gone = true;
		return -EPIPE;
	case WINDOW_UPDATE:
		return on_window_update(s, p, n);
	case SETTINGS:
	default:
		return 0;
	}
}

/* --- reading --- */

/** Open the windows of the @n bytes that came on stream @t (NULL: on one that is closed by now). */
static int answer_window(struct spdy *s, struct spdy_stream *t, size_t n)
{
	int rc = 0;
	s->unanswered += n;
	if (s->unanswered >= WINDOW_ANSWER) {
		rc = put_two(s, WINDOW_UPDATE, 0, (uint32_t)s->unanswered);
		s->unanswered = 0;
	}
	if (t == NULL || t->in_done)
		return rc;
	t->unanswered += n;
	if (rc == 0 && t->unanswered >= WINDOW_ANSWER) {
		rc = put_two(s, WINDOW_UPDATE, t->id, (uint32_t)t->unanswered);
		t->unanswered = 0;
	}
	return rc;
}

static int on_data(struct spdy *s, const unsigned char *p, size_t n)
{
	struct spdy_stream *t = find(s, s->data_id);
	const bool fin = s->left == n && (s->data_flags & FLAG_FIN) != 0;
	if (t != NULL && t->in_done)
		return broken(s, "data on a stream that its sender has closed");
	if (t != NULL)
		t->in_done = fin;
	const int rc = answer_window(s, t, n);
	if (t == NULL || rc < 0)
		return rc; /* we have dropped it, and the peer will hear of that */
	drop_if_done(s, t);
	s->o.on_data(s->o.ctx, s->data_id, p, n, fin);
	return 0;
}

static int begin_frame(struct spdy *s)
{
	s->head_n = 0;
	s->in_frame = true;
	s->is_control = (s->head[0] & 0x80) != 0;
	s->left = get32(s->head + 4) & 0xffffff;
	if (s->is_control) {
		if ((s->head[0] & 0x7f) != 0 || s->head[1] != 3)
			return broken(s, "a frame is not of SPDY's version 3");
		if (s->left > CONTROL_MAX)
			return broken(s, "a control frame is larger than 64 KiB");
		strbuf_reset(&s->control);
		return 0;
	}
	s->data_flags = s->head[4];
	s->data_id = get32(s->head) & ID_MASK;
	return s->data_id > s->last_id || s->data_id % 2 == 0 ? broken(s, "data on a stream that was never opened") : 0;
}

/** @n bytes of the frame under way. */
static int feed_frame(struct spdy *s, const unsigned char *p, size_t n)
{
	int rc = 0;
	if (s->is_control) {
		strbuf_add(&s->control, p, n);
		if (s->control.failed)
			return -ENOMEM;
	} else {
		rc = on_data(s, p, n);
	}
	s->left -= n;
	if (rc < 0 || s->left > 0)
		return rc;
	s->in_frame = false;
	return s->is_control ? on_control(s) : 0;
}

int spdy_feed(struct spdy *s, const void *data, size_t n)
{
	const unsigned char *p = data, *end = p + n;
	int rc = s->gone ? -EPIPE : 0;
	while (rc == 0 && p < end) {
		if (!s->in_frame) {
			s->head[s->head_n++] = *p++;
			rc = s->head_n == HEAD_N ? begin_frame(s) : 0;
			if (rc < 0 || !s->in_frame || s->left > 0)
				continue;
		}
		const size_t k = (size_t)(end - p) < s->left ? (size_t)(end - p) : s->left;
		rc = feed_frame(s, p, k);
		p += k;
	}
	return rc;
}
