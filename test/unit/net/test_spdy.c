/* SPDY sessions against frames made by hand: every rule that is kept, every one that a peer may break. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <zlib.h>

#include <cmocka.h>

#include "base/cleanup.h"
#include "net/spdy.h"

#define FIN    1
#define STREAM 1
#define REPLY  2
#define RESET  3
#define PING   6
#define GOAWAY 7
#define WINDOW 9

/* The client: what it has to say, and what it heard. */
struct peer {
	struct spdy *s;
	z_stream deflate, inflate;
	unsigned char out[300000];
	size_t n;
	char heard[4096]; /* what the callbacks were told */
	bool echo;
};

static void hear(struct peer *p, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
static void hear(struct peer *p, const char *fmt, ...)
{
	const size_t n = strlen(p->heard);
	va_list ap;
	va_start(ap, fmt);
	(void)vsnprintf(p->heard + n, sizeof p->heard - n, fmt, ap);
	va_end(ap);
}

static void on_stream(void *ctx, uint32_t id, const struct spdy_header *h, size_t n, bool fin)
{
	hear(ctx, "open %u%s", id, fin ? " fin" : "");
	for (size_t i = 0; i < n; i++)
		hear(ctx, " %s=%s", h[i].name, h[i].value);
	hear(ctx, ";");
}

static void on_data(void *ctx, uint32_t id, const void *data, size_t n, bool fin)
{
	struct peer *p = ctx;
	if (n < 100)
		hear(p, "data %u '%.*s'%s;", id, (int)n, (const char *)data, fin ? " fin" : "");
	if (p->echo)
		assert_int_equal(spdy_send(p->s, id, data, n, fin), 0);
}

static void on_reset(void *ctx, uint32_t id)
{
	hear(ctx, "reset %u;", id);
}

static struct peer *peer_new(size_t max_streams, size_t max_queued)
{
	struct peer *p = calloc(1, sizeof *p);
	unsigned char dictionary[SPDY_DICTIONARY_N];
	assert_non_null(p);
	const struct spdy_options o = {.max_streams = max_streams,
				       .max_queued = max_queued,
				       .on_stream = on_stream,
				       .on_data = on_data,
				       .on_reset = on_reset,
				       .ctx = p};
	assert_int_equal(spdy_new(&o, &p->s), 0);
	spdy_dictionary(dictionary);
	assert_int_equal(deflateInit(&p->deflate, Z_BEST_COMPRESSION), Z_OK);
	assert_int_equal(deflateSetDictionary(&p->deflate, dictionary, sizeof dictionary), Z_OK);
	assert_int_equal(inflateInit(&p->inflate), Z_OK);
	return p;
}

static void peer_free(struct peer *p)
{
	spdy_free(p->s);
	(void)deflateEnd(&p->deflate); /* fails for data that was never finished: that is how it is here */
	(void)inflateEnd(&p->inflate);
	free(p);
}

static void put32(struct peer *p, uint32_t v)
{
	const unsigned char b[] = {(unsigned char)(v >> 24), (unsigned char)(v >> 16), (unsigned char)(v >> 8),
				   (unsigned char)v};
	memcpy(p->out + p->n, b, 4);
	p->n += 4;
}

static void control(struct peer *p, unsigned type, unsigned flags, size_t n)
{
	put32(p, 0x80030000u | type);
	put32(p, flags << 24 | (uint32_t)n);
}

/* SYN_STREAM with the @n bytes of @block as its headers, compressed. */
static void open_raw(struct peer *p, uint32_t id, unsigned flags, const void *block, size_t n)
{
	unsigned char z[200000];
	p->deflate.next_in = (unsigned char *)block;
	p->deflate.avail_in = (unsigned)n;
	p->deflate.next_out = z;
	p->deflate.avail_out = sizeof z;
	assert_int_equal(deflate(&p->deflate, Z_SYNC_FLUSH), Z_OK);
	const size_t z_n = sizeof z - p->deflate.avail_out;
	control(p, STREAM, flags, 10 + z_n);
	put32(p, id);
	put32(p, 0);
	p->out[p->n++] = 0;
	p->out[p->n++] = 0;
	memcpy(p->out + p->n, z, z_n);
	p->n += z_n;
}

static void open_stream(struct peer *p, uint32_t id, unsigned flags)
{
	static const char block[] = "\0\0\0\2"
				    "\0\0\0\12streamtype"
				    "\0\0\0\5stdin"
				    "\0\0\0\4port"
				    "\0\0\0\0";
	open_raw(p, id, flags, block, sizeof block - 1);
}

static void data(struct peer *p, uint32_t id, unsigned flags, const void *bytes, size_t n)
{
	put32(p, id);
	put32(p, flags << 24 | (uint32_t)n);
	memcpy(p->out + p->n, bytes, n);
	p->n += n;
}

static int feed(struct peer *p, size_t step)
{
	int rc = 0;
	for (size_t i = 0; i < p->n && rc == 0; i += step)
		rc = spdy_feed(p->s, p->out + i, p->n - i < step ? p->n - i : step);
	p->n = 0;
	return rc;
}

/* What the session said, a word for each frame. */
static void listen(struct peer *p, char *ret, size_t size)
{
	unsigned char b[8], body[70000];
	ret[0] = '\0';
	while (spdy_take(p->s, b, sizeof b) == sizeof b) {
		const size_t n = (size_t)b[5] << 16 | (size_t)b[6] << 8 | b[7], at = strlen(ret);
		assert_int_equal(spdy_take(p->s, body, n), n);
		const unsigned id = n >= 4 ? body[3] : 0, last = n >= 8 ? (unsigned)body[6] << 8 | body[7] : 0;
		if (!(b[0] & 0x80)) {
			(void)snprintf(ret + at, size - at, "data %u %zu%s;", b[3], n, b[4] ? " fin" : "");
			continue;
		}
		(void)snprintf(ret + at, size - at, "frame %u of %u: %u;", b[3], id, b[3] == REPLY ? 0 : last);
		if (b[3] != REPLY)
			continue;
		/* The headers of the reply are ours to read: none. */
		unsigned char block[64], dictionary[SPDY_DICTIONARY_N];
		p->inflate.next_in = body + 4;
		p->inflate.avail_in = (unsigned)n - 4;
		p->inflate.next_out = block;
		p->inflate.avail_out = sizeof block;
		int rc = inflate(&p->inflate, Z_SYNC_FLUSH);
		if (rc == Z_NEED_DICT) {
			spdy_dictionary(dictionary);
			assert_int_equal(inflateSetDictionary(&p->inflate, dictionary, sizeof dictionary), Z_OK);
			rc = inflate(&p->inflate, Z_SYNC_FLUSH);
		}
		assert_int_equal(rc, Z_OK);
		assert_int_equal(sizeof block - p->inflate.avail_out, 4);
		assert_memory_equal(block, "\0\0\0\0", 4);
	}
}

static void test_dictionary(void **state)
{
	(void)state;
	unsigned char dictionary[SPDY_DICTIONARY_N];
	spdy_dictionary(dictionary);
	/* The dictionary's id of every SPDY/3 implementation. */
	assert_int_equal(adler32(adler32(0, NULL, 0), dictionary, sizeof dictionary), 0xe3c6a7c2);
}

/* The same, whatever pieces it comes in. */
static void test_streams(void **state)
{
	(void)state;
	static const size_t steps[] = {1, 2, 7, 1000000};
	for (size_t i = 0; i < ARRAY_LEN(steps); i++) {
		struct peer *p = peer_new(0, 0);
		char said[1024];
		p->echo = true;
		open_stream(p, 1, 0);
		open_stream(p, 5, FIN);
		control(p, PING, 0, 4);
		put32(p, 77);
		data(p, 1, 0, "ab", 2);
		data(p, 1, FIN, "", 0);
		assert_int_equal(feed(p, steps[i]), 0);
		listen(p, said, sizeof said);
		if (steps[i] > 2)
			assert_string_equal(p->heard, "open 1 streamtype=stdin port=;open 5 fin streamtype=stdin port=;"
						      "data 1 'ab';data 1 '' fin;");
		else
			assert_non_null(strstr(p->heard, "data 1 '' fin;"));
		assert_non_null(strstr(said, "frame 2 of 1: 0;frame 2 of 5: 0;frame 6 of 77: 0;data 1 "));
		assert_non_null(strstr(said, "data 1 0 fin;"));
		/* 1 is closed from both sides, 5 from theirs alone. */
		assert_int_equal(spdy_send(p->s, 1, "x", 1, false), -EPIPE);
		assert_int_equal(spdy_send(p->s, 5, "x", 1, true), 0);
		assert_int_equal(spdy_send(p->s, 5, "x", 1, false), -EPIPE);
		peer_free(p);
	}
}

static void test_reset(void **state)
{
	(void)state;
	struct peer *p = peer_new(2, 0);
	char said[1024];
	open_stream(p, 1, 0);
	open_stream(p, 3, 0);
	open_stream(p, 5, 0); /* one too many */
	control(p, RESET, 0, 8);
	put32(p, 1);
	put32(p, 5);
	data(p, 5, 0, "late", 4); /* on its way when it was refused */
	open_stream(p, 7, 0);
	assert_int_equal(feed(p, 100000), 0);
	assert_string_equal(p->heard, "open 1 streamtype=stdin port=;open 3 streamtype=stdin port=;reset 1;"
				      "open 7 streamtype=stdin port=;");
	listen(p, said, sizeof said);
	assert_string_equal(said, "frame 2 of 1: 0;frame 2 of 3: 0;frame 3 of 5: 3;frame 2 of 7: 0;");
	assert_int_equal(spdy_reset(p->s, 3, SPDY_INTERNAL_ERROR), 0);
	assert_int_equal(spdy_reset(p->s, 3, SPDY_INTERNAL_ERROR), -EPIPE);
	listen(p, said, sizeof said);
	assert_string_equal(said, "frame 3 of 3: 6;");
	peer_free(p);
}

static void test_windows(void **state)
{
	(void)state;
	struct peer *p = peer_new(0, 0);
	static const char zeros[32768];
	char said[1024];
	open_stream(p, 1, 0);
	data(p, 1, 0, zeros, sizeof zeros);
	control(p, WINDOW, 0, 8);
	put32(p, 1);
	put32(p, 100);
	assert_int_equal(feed(p, 1000000), 0);
	listen(p, said, sizeof said);
	assert_string_equal(said, "frame 2 of 1: 0;frame 9 of 0: 32768;frame 9 of 1: 32768;");
	peer_free(p);
}

static void test_queue(void **state)
{
	(void)state;
	struct peer *p = peer_new(0, 1000);
	static const char zeros[SPDY_PIECE + 1];
	open_stream(p, 1, 0);
	assert_int_equal(feed(p, 1000000), 0);
	assert_int_equal(spdy_send(p->s, 1, zeros, sizeof zeros, false), -EINVAL);
	assert_int_equal(spdy_send(p->s, 1, zeros, 1001, false), -ENOBUFS);
	assert_int_equal(spdy_send(p->s, 1, zeros, 900, false), 0);
	assert_int_equal(spdy_send(p->s, 1, zeros, 900, false), -ENOBUFS);
	/* A peer that pings and never reads. */
	int rc = 0;
	for (int i = 0; i < 100000 && rc == 0; i++) {
		control(p, PING, 0, 4);
		put32(p, 1);
		rc = feed(p, 100);
	}
	assert_int_equal(rc, -ENOBUFS);
	peer_free(p);
}

static void broken_version(struct peer *p)
{
	put32(p, 0x80020000u | PING);
	put32(p, 4);
}

static void broken_even(struct peer *p)
{
	open_stream(p, 2, 0);
}

static void broken_order(struct peer *p)
{
	open_stream(p, 5, 0);
	open_stream(p, 3, 0);
}

static void broken_unopened(struct peer *p)
{
	data(p, 1, 0, "x", 1);
}

static void broken_closed(struct peer *p)
{
	open_stream(p, 1, FIN);
	data(p, 1, 0, "x", 1);
}

static void broken_huge_control(struct peer *p)
{
	control(p, STREAM, 0, 65537);
}

static void broken_bomb(struct peer *p)
{
	static const char zeros[120000];
	open_raw(p, 1, 0, zeros, sizeof zeros);
}

static void broken_count(struct peer *p)
{
	open_raw(p, 1, 0, "\0\0\0\101", 4);
}

static void broken_length(struct peer *p)
{
	open_raw(p, 1, 0, "\0\0\0\1\0\0\0\2ab\377\377\377\377", 14);
}

static void broken_no_name(struct peer *p)
{
	open_raw(p, 1, 0, "\0\0\0\1\0\0\0\0\0\0\0\1x", 13);
}

static void broken_name(struct peer *p)
{
	open_raw(p, 1, 0, "\0\0\0\1\0\0\0\2\0a\0\0\0\1x", 15);
}

static void broken_zlib(struct peer *p)
{
	control(p, STREAM, 0, 16);
	put32(p, 1);
	put32(p, 0);
	put32(p, 0xffffffff);
	put32(p, 0xffffffff);
}

static void broken_short(struct peer *p)
{
	control(p, STREAM, 0, 4);
	put32(p, 1);
}

static void broken_ping(struct peer *p)
{
	control(p, PING, 0, 0);
}

static void broken_window(struct peer *p)
{
	control(p, WINDOW, 0, 8);
	put32(p, 1);
	put32(p, 0);
}

static void test_broken(void **state)
{
	(void)state;
	static const struct {
		void (*make)(struct peer *p);
		const char *why;
	} cases[] = {
		{broken_version, "a frame is not of SPDY's version 3"},
		{broken_even, "a stream's id is not odd and larger than those before"},
		{broken_order, "a stream's id is not odd and larger than those before"},
		{broken_unopened, "data on a stream that was never opened"},
		{broken_closed, "data on a stream that its sender has closed"},
		{broken_huge_control, "a control frame is larger than 64 KiB"},
		{broken_bomb, "headers are larger than 64 KiB"},
		{broken_count, "more than 64 headers"},
		{broken_length, "malformed headers"},
		{broken_no_name, "malformed headers"},
		{broken_name, "malformed headers"},
		{broken_zlib, "headers are not compressed as they must be"},
		{broken_short, "SYN_STREAM is too short"},
		{broken_ping, "PING is not 4 bytes long"},
		{broken_window, "malformed WINDOW_UPDATE"},
	};
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct peer *p = peer_new(0, 0);
		char said[1024];
		cases[i].make(p);
		const int rc = feed(p, 1000000);
		if (rc != -EPROTO || strcmp(spdy_error(p->s), cases[i].why) != 0)
			fail_msg("'%s' expected, got %d '%s'", cases[i].why, rc, spdy_error(p->s));
		assert_int_equal(spdy_feed(p->s, "x", 1), -EPIPE);
		listen(p, said, sizeof said);
		assert_non_null(strstr(said, "frame 7 of ")); /* GOAWAY */
		peer_free(p);
	}
}

static void test_goaway(void **state)
{
	(void)state;
	struct peer *p = peer_new(0, 0);
	control(p, GOAWAY, 0, 8);
	put32(p, 0);
	put32(p, 0);
	assert_int_equal(feed(p, 100), -EPIPE);
	assert_string_equal(spdy_error(p->s), "");
	peer_free(p);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_dictionary), cmocka_unit_test(test_streams), cmocka_unit_test(test_reset),
		cmocka_unit_test(test_windows),    cmocka_unit_test(test_queue),   cmocka_unit_test(test_broken),
		cmocka_unit_test(test_goaway),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
