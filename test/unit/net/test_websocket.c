#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/error.h"
#include "base/strbuf.h"
#include "net/cert.h"
#include "net/http_client.h"
#include "net/http_server.h"
#include "net/websocket.h"
#include "net/websocket_client.h"
#include "net/websocket_server.h"

#define WAIT_NS (20 * NSEC_PER_SEC)

/* --- the session without I/O --- */

static void note(void *ctx, bool text, const void *data, size_t n)
{
	struct strbuf *b = ctx;
	strbuf_addf(b, "%c:", text ? 't' : 'b');
	strbuf_add(b, data, n);
	strbuf_addc(b, ';');
}

/* Frames of a client are masked; the mask is zero here, so that the payload is readable. */
#define MASK "\0\0\0\0"

static void frames(void **state)
{
	(void)state;
	static const struct {
		const char *name, *in;
		size_t in_n;
		const char *messages, *out;
		size_t out_n;
		int rc;
		uint16_t code;
	} cases[] = {
#define IN(s) (s), sizeof(s) - 1
		{"text", IN("\x81\x82" MASK "hi"), "t:hi;", IN(""), 0, 0},
		{"binary", IN("\x82\x82" MASK "\0\xff"), "b:", IN(""), 0, 0},
		{"empty", IN("\x82\x80" MASK), "b:;", IN(""), 0, 0},
		{"two", IN("\x81\x81" MASK "a\x81\x81" MASK "b"), "t:a;t:b;", IN(""), 0, 0},
		{"fragments around a ping", IN("\x01\x81" MASK "a\x89\x81" MASK "p\x80\x81" MASK "b"), "t:ab;",
		 IN("\x8a\x01p"), 0, 0},
		{"half a frame", IN("\x81\x85" MASK "ab"), "", IN(""), 0, 0},
		{"pong unasked", IN("\x8a\x80" MASK), "", IN(""), 0, 0},
		{"close",
		 IN("\x88\x85" MASK "\x03\xe8"
		    "bye"),
		 "",
		 IN("\x88\x05\x03\xe8"
		    "bye"),
		 -EPIPE, 1000},
		{"close without code", IN("\x88\x80" MASK), "", IN("\x88\0"), -EPIPE, 1005},
		{"what follows a close is not read", IN("\x88\x80" MASK "\x81\x81" MASK "a"), "", IN("\x88\0"), -EPIPE,
		 1005},
		{"not masked", IN("\x81\x02hi"), "", IN("\x88\x02\x03\xea"), -EPIPE, 1002},
		{"reserved bit", IN("\xc1\x82" MASK "hi"), "", IN("\x88\x02\x03\xea"), -EPIPE, 1002},
		{"unknown opcode", IN("\x83\x80" MASK), "", IN("\x88\x02\x03\xea"), -EPIPE, 1002},
		{"fragmented ping", IN("\x09\x80" MASK), "", IN("\x88\0"), -EPIPE, 1005},
		{"continuation of nothing", IN("\x80\x80" MASK), "", IN("\x88\x02\x03\xea"), -EPIPE, 1002},
		{"text that is no UTF-8", IN("\x81\x81" MASK "\xff"), "", IN("\x88\x02\x03\xef"), -EPIPE, 1007},
		{"close code 1005 on the wire", IN("\x88\x82" MASK "\x03\xed"), "", IN("\x88\x02\x03\xea"), -EPIPE,
		 1002},
		{"too long", IN("\x82\xfe\x04\x01" MASK "x"), "", IN("\x88\x02\x03\xf1"), -EPIPE, 1009},
		{"too long in parts", IN("\x02\xfe\x03\xff" MASK), "", IN(""), 0, 0},
		{"length of 2^63", IN("\x82\xff\x80\0\0\0\0\0\0\0" MASK), "", IN("\x88\0"), -EPIPE, 1005},
	};
	for (size_t step = 1; step <= 64; step += 63) { /* byte by byte, and at once */
		for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
			CLEANUP(strbuf_clear) struct strbuf got = STRBUF_INIT(4096);
			const struct websocket_options o = {
				.server = true, .max_message = 1024, .on_message = note, .ctx = &got};
			struct websocket *w = NULL;
			char out[256];
			int rc = 0;
			assert_int_equal(websocket_new(&o, &w), 0);
			for (size_t k = 0; k < cases[i].in_n && rc == 0; k += step)
				rc = websocket_feed(w, cases[i].in + k,
						    cases[i].in_n - k < step ? cases[i].in_n - k : step);
			const size_t n = websocket_take(w, out, sizeof out);
			const char *messages = got.p != NULL ? got.p : "";
			if (rc != cases[i].rc || strcmp(messages, cases[i].messages) != 0 || n != cases[i].out_n ||
			    memcmp(out, cases[i].out, n) != 0 || websocket_close_code(w) != cases[i].code)
				fail_msg("%s, %zu at a time: %d '%s' %zu bytes (%02x %02x), code %u", cases[i].name,
					 step, rc, messages, n, (unsigned char)out[0], (unsigned char)out[1],
					 websocket_close_code(w));
			websocket_free(w);
		}
	}
}

static void limits_of_the_session(void **state)
{
	(void)state;
	CLEANUP(strbuf_clear) struct strbuf got = STRBUF_INIT(4096);
	const struct websocket_options o = {.server = true, .max_queued = 1000, .on_message = note, .ctx = &got};
	struct websocket *w = NULL;
	char big[1001] = "";
	assert_int_equal(websocket_new(&o, &w), 0);
	assert_int_equal(websocket_send(w, false, big, 1001), -ENOBUFS);
	assert_int_equal(websocket_send(w, false, big, 600), 0);
	assert_int_equal(websocket_send(w, false, big, 600), -ENOBUFS);
	assert_int_equal(websocket_take(w, big, sizeof big), 604);
	assert_int_equal(websocket_send(w, false, big, 600), 0);

	/* A peer that pings and never reads. */
	char ping[131] = "\x89\xfd";
	int rc = 0;
	for (size_t i = 0; i < 2000 && rc == 0; i++)
		rc = websocket_feed(w, ping, sizeof ping);
	assert_int_equal(rc, -ENOBUFS);
	websocket_free(w);

	assert_int_equal(websocket_new(&o, &w), 0);
	assert_int_equal(websocket_close(w, 1001, "going"), 0);
	assert_int_equal(websocket_close(w, 1000, NULL), 0);
	assert_int_equal(websocket_send(w, false, big, 1), -EPIPE);
	assert_int_equal(websocket_take(w, big, sizeof big), 9);
	assert_memory_equal(big, "\x88\x07\x03\xe9going", 9);
	assert_false(websocket_done(w));
	assert_int_equal(websocket_feed(w, "\x88\x80" MASK, 6), -EPIPE);
	assert_true(websocket_done(w));
	websocket_free(w);
	websocket_free(NULL);

	char key[29];
	websocket_accept_key("dGhlIHNhbXBsZSBub25jZQ==", key); /* RFC 6455 section 1.3 */
	assert_string_equal(key, "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=");
}

/* --- both sides over a connection --- */

struct fixture {
	struct http_server *server;
	struct http_client *client;
	pthread_mutex_t lock; /* guards the rest */
	pthread_cond_t changed;
	int closed;
	uint16_t code;
	/* The test's thread alone: */
	size_t received, messages;
	char last[64];
	char url[64];
	struct cert_pair ca, leaf;
};

static void server_message(void *ctx, struct websocket_peer *p, bool text, const void *data, size_t n)
{
	(void)ctx;
	if (text && n == 5 && memcmp(data, "close", 5) == 0)
		websocket_peer_close(p, 4000, "as you wish");
	else
		(void)websocket_peer_send(p, text, data, n); /* a client that is gone is seen by the test itself */
}

static void server_close(void *ctx, struct websocket_peer *p, uint16_t code)
{
	struct fixture *f = ctx;
	(void)p;
	pthread_mutex_lock(&f->lock);
	f->closed++;
	f->code = code;
	pthread_cond_broadcast(&f->changed);
	pthread_mutex_unlock(&f->lock);
}

static const char *const both[] = {"v5.test", "v4.test", NULL};

static void handler(void *ctx, struct http_exchange *x)
{
	const struct websocket_accept_options o = {
		.protocols = strcmp(http_exchange_request(x)->path, "/any") == 0 ? NULL : both,
		.max_message = 1 << 20,
		.on_message = server_message,
		.on_close = server_close,
		.ctx = ctx,
	};
	struct websocket_peer *p = NULL;
	struct error e = {0};
	const int rc = websocket_accept(x, &o, &p, &e);
	if (rc < 0 && rc != -ENOMEM)
		http_reply(x, rc == -EPROTONOSUPPORT ? 403 : 400, "text/plain", e.msg, strlen(e.msg));
	websocket_peer_unref(p);
}

static void begin(struct fixture *f, bool tls)
{
	*f = (struct fixture){0};
	pthread_mutex_init(&f->lock, NULL);
	pthread_cond_init(&f->changed, NULL);
	struct error e = {0};
	static const char *const sans[] = {"127.0.0.1", NULL};
	const struct cert_options co = {.cn = "server", .sans = sans, .server = true, .days = 1};
	if (tls && (cert_make_ca("ca", &f->ca, &e) < 0 || cert_issue(&f->ca, &co, &f->leaf, &e) < 0))
		fail_msg("%s", e.msg);
	const struct http_server_options so = {.address = "127.0.0.1",
					       .handler = handler,
					       .ctx = f,
					       .stream_queue_max = 64 << 20,
					       .cert_pem = f->leaf.cert_pem,
					       .key_pem = f->leaf.key_pem};
	const struct http_client_options ho = {.ca_pem = f->ca.cert_pem, .no_proxy = true};
	if (http_server_new(&so, &f->server, &e) < 0 || http_client_new(&ho, &f->client, &e) < 0)
		fail_msg("%s", e.msg);
	(void)snprintf(f->url, sizeof f->url, "http%s://127.0.0.1:%u/x?y=1", tls ? "s" : "",
		       http_server_port(f->server));
}

static void finish(struct fixture *f)
{
	http_client_free(f->client);
	http_server_free(f->server);
	cert_pair_clear(&f->ca);
	cert_pair_clear(&f->leaf);
	pthread_cond_destroy(&f->changed);
	pthread_mutex_destroy(&f->lock);
}

static void client_message(void *ctx, bool text, const void *data, size_t n)
{
	struct fixture *f = ctx;
	(void)text;
	f->received += n;
	f->messages++;
	(void)snprintf(f->last, sizeof f->last, "%.*s", (int)n, (const char *)data);
}

static struct websocket_client *join(struct fixture *f, const char *url, const char *const *protocols)
{
	const struct websocket_connect_options o = {
		.url = url, .protocols = protocols, .max_queued = 32 << 20, .on_message = client_message, .ctx = f};
	struct websocket_client *w = NULL;
	struct error e = {0};
	if (websocket_connect(f->client, &o, &w, NULL, &e) < 0)
		fail_msg("%s", e.msg);
	return w;
}

/* Step until @want messages are there, or the end. */
static int until_messages(struct fixture *f, struct websocket_client *w, size_t want)
{
	const int64_t deadline = clock_mono_ns() + WAIT_NS;
	int rc = 0;
	while (rc == 0 && f->messages < want && clock_mono_ns() < deadline)
		rc = websocket_client_step(w, NSEC_PER_SEC);
	return rc;
}

static uint16_t wait_closed(struct fixture *f)
{
	struct timespec until;
	clock_gettime(CLOCK_REALTIME, &until);
	until.tv_sec += 20;
	pthread_mutex_lock(&f->lock);
	while (f->closed == 0 && pthread_cond_timedwait(&f->changed, &f->lock, &until) == 0)
		;
	assert_int_equal(f->closed, 1);
	const uint16_t code = f->code;
	pthread_mutex_unlock(&f->lock);
	return code;
}

static void echo_and_close(void **state)
{
	(void)state;
	for (int tls = 0; tls <= 1; tls++) {
		struct fixture f;
		begin(&f, tls);
		struct websocket_client *w = join(&f, f.url, both);
		assert_string_equal(websocket_client_protocol(w), "v5.test");
		assert_int_equal(websocket_client_send(w, true, "hello", 5), 0);
		assert_int_equal(until_messages(&f, w, 1), 0);
		assert_string_equal(f.last, "hello");
		assert_int_equal(websocket_client_ping(w), 0);
		assert_int_equal(websocket_client_send(w, false, "", 0), 0);
		assert_int_equal(until_messages(&f, w, 2), 0);
		/* Nothing happens for a while: that is no error. */
		assert_int_equal(websocket_client_step(w, NSEC_PER_MSEC), 0);
		assert_int_equal(websocket_client_close(w, 1000, "bye"), 0);
		assert_int_equal(until_messages(&f, w, 99), -EPIPE);
		assert_int_equal(websocket_client_close_code(w), 1000);
		assert_int_equal(wait_closed(&f), 1000);
		websocket_client_free(w);
		finish(&f);
	}
}

static void the_server_closes(void **state)
{
	(void)state;
	struct fixture f;
	begin(&f, false);
	struct websocket_client *w = join(&f, f.url, &both[1]);
	assert_string_equal(websocket_client_protocol(w), "v4.test");
	assert_int_equal(websocket_client_send(w, true, "close", 5), 0);
	assert_int_equal(until_messages(&f, w, 1), -EPIPE);
	assert_int_equal(websocket_client_close_code(w), 4000);
	websocket_client_free(w);
	assert_int_equal(wait_closed(&f), 4000);
	finish(&f);
}

static void a_client_that_goes_is_noticed(void **state)
{
	(void)state;
	struct fixture f;
	begin(&f, true);
	struct websocket_client *w = join(&f, f.url, both);
	websocket_client_free(w);
	assert_int_equal(wait_closed(&f), WEBSOCKET_ABNORMAL);
	finish(&f);
}

static void the_server_goes(void **state)
{
	(void)state;
	struct fixture f;
	begin(&f, false);
	struct websocket_client *w = join(&f, f.url, both);
	http_server_free(TAKE(f.server));
	assert_int_equal(until_messages(&f, w, 1), -ECONNRESET);
	assert_int_equal(f.code, WEBSOCKET_ABNORMAL);
	websocket_client_free(w);
	finish(&f);
}

static void broken_rules_close(void **state)
{
	(void)state;
	struct fixture f;
	begin(&f, false);
	struct websocket_client *w = join(&f, f.url, both);
	CLEANUP(free_p) char *big = calloc(1, 2 << 20);
	assert_non_null(big);
	assert_int_equal(websocket_client_send(w, false, big, 2 << 20), 0);
	assert_int_equal(until_messages(&f, w, 1), -EPIPE);
	assert_int_equal(websocket_client_close_code(w), WEBSOCKET_TOO_BIG);
	websocket_client_free(w);
	finish(&f);
}

static void much_data(void **state)
{
	(void)state;
	enum { PIECE = 64 << 10, PIECES = 160 };
	for (int tls = 0; tls <= 1; tls++) {
		struct fixture f;
		begin(&f, tls);
		struct websocket_client *w = join(&f, f.url, both);
		CLEANUP(free_p) char *piece = malloc(PIECE);
		assert_non_null(piece);
		memset(piece, 'x', PIECE);
		for (size_t i = 0; i < PIECES; i++)
			assert_int_equal(websocket_client_send(w, false, piece, PIECE), 0);
		assert_int_equal(until_messages(&f, w, PIECES), 0);
		assert_int_equal(f.received, PIECE * PIECES);
		websocket_client_free(w);
		finish(&f);
	}
}

static void refusals(void **state)
{
	(void)state;
	struct fixture f;
	begin(&f, false);
	static const char *const unknown[] = {"v1.other", NULL};
	const struct websocket_connect_options o = {
		.url = f.url, .protocols = unknown, .on_message = client_message, .ctx = &f};
	struct websocket_client *w = NULL;
	struct error e = {0};
	char *body = NULL;
	assert_int_equal(websocket_connect(f.client, &o, &w, &body, &e), -EPROTO);
	assert_int_equal(e.status, 403);
	assert_string_equal(e.msg, "the server answered HTTP 403, not a websocket");
	assert_string_equal(body, "none of the websocket protocols 'v1.other' is supported");
	free(body);

	/* A plain request to the same place. */
	static const struct {
		const char *name, *upgrade, *connection, *version, *key, *msg;
	} cases[] = {
		{"nothing", "", "", "", "", "the request does not ask for a websocket"},
		{"version", "websocket", "keep-alive, Upgrade", "8",
		 "dGhlIHNhbXBsZSBub25jZQ==", "Sec-WebSocket-Version is not 13"},
		{"key", "WebSocket", "upgrade", "13", "dGhl", "Sec-WebSocket-Key is not 16 bytes in base64"},
	};
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		const struct http_header headers[] = {{"Upgrade", cases[i].upgrade},
						      {"Connection", cases[i].connection},
						      {"Sec-WebSocket-Version", cases[i].version},
						      {"Sec-WebSocket-Key", cases[i].key}};
		const struct http_call call = {.method = "GET", .url = f.url, .headers = headers, .n_headers = 4};
		struct http_answer a = {0};
		if (http_client_do(f.client, &call, &a, &e) < 0)
			fail_msg("%s: %s", cases[i].name, e.msg);
		assert_int_equal(a.status, 400);
		assert_string_equal(a.body, cases[i].msg);
		http_answer_clear(&a);
	}
	(void)snprintf(f.url, sizeof f.url, "http://127.0.0.1:%u/any", http_server_port(f.server));
	w = join(&f, f.url, NULL);
	assert_string_equal(websocket_client_protocol(w), "");
	websocket_client_free(w);
	finish(&f);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(frames),
		cmocka_unit_test(limits_of_the_session),
		cmocka_unit_test(echo_and_close),
		cmocka_unit_test(the_server_closes),
		cmocka_unit_test(a_client_that_goes_is_noticed),
		cmocka_unit_test(the_server_goes),
		cmocka_unit_test(broken_rules_close),
		cmocka_unit_test(much_data),
		cmocka_unit_test(refusals),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
