/* Each allocation of the network layer fails once: nothing leaks, nothing is half done, the error says so. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <netinet/in.h>
#include <sys/socket.h>

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/error.h"
#include "base/str.h"
#include "fault.h"
#include "net/cert.h"
#include "net/grpc.h"
#include "net/grpc_frame.h"
#include "net/http_client.h"
#include "net/http_reader.h"
#include "net/http_server.h"
#include "net/tls.h"
#include "net/websocket.h"
#include "net/websocket_client.h"
#include "net/websocket_server.h"

static void certificates(void **state)
{
	static const char *const sans[] = {"localhost", "127.0.0.1", NULL}, *const orgs[] = {"o", NULL};
	(void)state;
	FAULT_LOOP
	{
		struct cert_pair ca = {0}, leaf = {0};
		struct error err = {0};
		int rc = cert_make_ca("ca", &ca, &err);
		const struct cert_options o = {
			.cn = "x", .organizations = orgs, .sans = sans, .server = true, .days = 1};
		if (rc == 0)
			rc = cert_issue(&ca, &o, &leaf, &err);
		FAULT_END;
		assert_true(rc == 0 ? !fault_hit() : rc == -ENOMEM && err.msg[0] != '\0');
		assert_true((leaf.cert_pem != NULL) == (rc == 0));
		cert_pair_clear(&ca);
		cert_pair_clear(&leaf);
	}
}

static void requests(void **state)
{
	static const char text[] =
		"POST /a%20b?x=1&y=2 HTTP/1.1\r\nHost: h\r\nX-A: 1\r\nX-A: 2\r\nContent-Length: 5\r\n\r\nhello";
	(void)state;
	FAULT_LOOP
	{
		struct http_reader *r = http_reader_new(100);
		struct http_parsed q = {0};
		const char *why = "";
		size_t used = 0;
		const int rc = r == NULL ? -500 : http_reader_feed(r, text, sizeof text - 1, &used, &why);
		const char *joined = NULL;
		if (rc == HTTP_READ_DONE) {
			http_reader_take(r, &q);
			joined = http_parsed_header(&q, "x-a");
		}
		FAULT_END;
		assert_true(rc == HTTP_READ_DONE || (fault_hit() && rc < 0));
		assert_true(fault_hit() || str_same(joined, "1, 2"));
		assert_true(joined == NULL || str_same(joined, "1, 2"));
		http_parsed_clear(&q);
		http_reader_free(r);
	}
}

static void no_handler(void *ctx, struct http_exchange *x)
{
	(void)ctx;
	http_reply(x, 200, NULL, "", 0);
}

static void servers(void **state)
{
	static const char *const sans[] = {"127.0.0.1", NULL};
	struct cert_pair ca = {0}, leaf = {0};
	(void)state;
	assert_int_equal(cert_make_ca("ca", &ca, NULL), 0);
	assert_int_equal(cert_issue(&ca, &(struct cert_options){.cn = "x", .sans = sans, .server = true, .days = 1},
				    &leaf, NULL),
			 0);
	FAULT_LOOP
	{
		struct http_server *s = NULL;
		struct error err = {0};
		const struct http_server_options o = {.address = "127.0.0.1",
						      .cert_pem = leaf.cert_pem,
						      .key_pem = leaf.key_pem,
						      .client_ca_pem = ca.cert_pem,
						      .workers = 1,
						      .handler = no_handler};
		const int rc = http_server_new(&o, &s, &err);
		FAULT_END;
		assert_true(rc == 0 ? !fault_hit() : rc == -ENOMEM && err.msg[0] != '\0');
		http_server_free(s);
	}
	cert_pair_clear(&ca);
	cert_pair_clear(&leaf);
}

static void sessions(void **state)
{
	struct cert_pair ca = {0};
	struct tls_config *c = NULL;
	(void)state;
	assert_int_equal(cert_make_ca("ca", &ca, NULL), 0);
	assert_int_equal(tls_config_new(ca.cert_pem, ca.key_pem, NULL, &c, NULL), 0);
	FAULT_LOOP
	{
		struct tls *t = tls_new(c);
		FAULT_END;
		assert_true(t != NULL || fault_hit());
		tls_free(t);
	}
	tls_config_free(c);
	cert_pair_clear(&ca);
}

/* A port that nobody listens on: bound and never listening. */
static int dead_port(uint16_t *ret)
{
	const int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	struct sockaddr_in sa = {.sin_family = AF_INET, .sin_addr = {htonl(INADDR_LOOPBACK)}};
	socklen_t n = sizeof sa;
	assert_true(fd >= 0 && bind(fd, (struct sockaddr *)&sa, n) == 0 &&
		    getsockname(fd, (struct sockaddr *)&sa, &n) == 0);
	*ret = ntohs(sa.sin_port);
	return fd;
}

static void clients(void **state)
{
	static const struct http_header headers[] = {{"Accept", "a"}, {"X-Empty", ""}};
	uint16_t port = 0;
	CLEANUP(close_fd) int dead = dead_port(&port);
	(void)dead; /* holds the port */
	CLEANUP(free_p) char *url = str_printf("http://127.0.0.1:%u/", port);
	(void)state;
	FAULT_LOOP
	{
		struct http_client *c = NULL;
		struct http_answer a = {0};
		struct error err = {0};
		const struct http_client_options o = {
			.user_agent = "u", .ca_pem = "c", .cert_pem = "d", .key_pem = "e", .no_proxy = true};
		const struct http_call call = {.method = "POST",
					       .url = url,
					       .headers = headers,
					       .n_headers = 2,
					       .bearer = "t",
					       .timeout_ns = 5 * NSEC_PER_SEC};
		int rc = http_client_new(&o, &c, &err);
		if (rc == 0)
			rc = http_client_do(c, &call, &a, &err);
		FAULT_END;
		assert_int_equal(rc, fault_hit() ? -ENOMEM : -ECONNREFUSED);
		assert_true(err.msg[0] != '\0');
		http_client_free(c);
	}
}

static void no_method(void *ctx, const uint8_t *in, size_t n, int64_t deadline, struct grpc_reply *reply)
{
	(void)ctx;
	(void)in;
	(void)n;
	(void)deadline;
	reply->code = GRPC_INTERNAL;
}

static void grpc(void **state)
{
	static const struct grpc_method methods[] = {{"/a/B", no_method}};
	char dir[] = "/tmp/sluice-fault-XXXXXX";
	(void)state;
	assert_non_null(mkdtemp(dir));
	CLEANUP(free_p) char *path = str_printf("%s/s", dir);
	FAULT_LOOP
	{
		struct grpc_server *s = NULL;
		struct error err = {0};
		const int rc = grpc_server_new(path, methods, 1, NULL, &s, &err);
		FAULT_END;
		assert_true(rc == 0 ? !fault_hit() : rc == -ENOMEM && err.msg[0] != '\0');
		grpc_server_free(s);
		assert_int_equal(access(path, F_OK), -1);
	}
	FAULT_LOOP
	{
		uint8_t *out = NULL;
		size_t n = 0;
		struct error err = {0};
		const int rc = grpc_call(path, "/a/B", (const uint8_t *)"x", 1, NSEC_PER_SEC, &out, &n, &err);
		FAULT_END;
		assert_int_equal(rc, fault_hit() ? -ENOMEM : -ENOENT);
	}
	assert_int_equal(rmdir(dir), 0);
}

/* --- whole exchanges: first the client's allocations fail, then the server's --- */

static void echo_message(void *ctx, struct websocket_peer *p, bool text, const void *data, size_t n)
{
	(void)ctx;
	(void)websocket_peer_send(p, text, data, n); /* a peer that is cut off shows at the other end */
}

static void peer_closed(void *ctx, struct websocket_peer *p, uint16_t code)
{
	(void)ctx;
	(void)p;
	(void)code;
}

/** "/ws": a websocket that echoes; "/stream": three chunks; else the request's body. */
static void answer(void *ctx, struct http_exchange *x)
{
	static const char *const protocols[] = {"echo", NULL};
	const struct http_request *r = http_exchange_request(x);
	(void)ctx;
	if (strcmp(r->path, "/ws") == 0) {
		const struct websocket_accept_options o = {
			.protocols = protocols, .on_message = echo_message, .on_close = peer_closed};
		struct websocket_peer *p = NULL;
		const int rc = websocket_accept(x, &o, &p, NULL);
		if (rc < 0 && rc != -ENOMEM)
			http_reply(x, 400, "text/plain", "no", 2);
		websocket_peer_unref(p);
		return;
	}
	if (strcmp(r->path, "/stream") == 0) {
		struct http_stream *s = http_stream_begin(x, 200, "text/plain", NULL, NULL);
		if (s == NULL)
			return;
		bool whole = true;
		for (int i = 0; i < 3; i++)
			whole = whole && http_stream_write(s, "tick", 4) == 0;
		http_stream_end(s); /* one that could not be written whole is cut */
		return;
	}
	http_exchange_add_header(x, "X-Query", http_exchange_query(x, "q") != NULL ? http_exchange_query(x, "q") : "-");
	http_reply(x, 200, "text/plain", r->body, r->body_n);
}

static int count(void *ctx, const void *data, size_t n)
{
	(void)data;
	*(size_t *)ctx += n;
	return 0;
}

/** One call with a client of its own. 0: the answer was right; -EBADMSG: it was another, 500 and above excepted; else what failed. */
static int one_call(const char *base, const char *path)
{
	static const struct http_header headers[] = {{"Accept", "a"}, {"X-Empty", ""}};
	struct http_client *c = NULL;
	struct http_answer a = {0};
	const bool streams = strcmp(path, "/stream") == 0;
	char url[128];
	size_t streamed = 0;
	(void)snprintf(url, sizeof url, "%s%s", base, path);
	int rc = http_client_new(&(struct http_client_options){.user_agent = "u", .no_proxy = true}, &c, NULL);
	const struct http_call call = {.method = "POST",
				       .url = url,
				       .headers = headers,
				       .n_headers = 2,
				       .body = "body",
				       .body_n = 4,
				       .bearer = "t",
				       .on_data = streams ? count : NULL,
				       .ctx = &streamed,
				       .timeout_ns = 20 * NSEC_PER_SEC};
	if (rc == 0)
		rc = http_client_do(c, &call, &a, NULL);
	if (rc == 0 && (a.status != 200 || (streams ? streamed != 12 : a.body_n != 4)))
		rc = a.status >= 500 ? -EIO : -EBADMSG;
	if (rc == -EBADMSG)
		print_message("status %d, %zu bytes, %zu streamed\n", a.status, a.body_n, streamed);
	http_answer_clear(&a);
	http_client_free(c);
	return rc;
}

struct note {
	bool got;
};

static void note_message(void *ctx, bool text, const void *data, size_t n)
{
	((struct note *)ctx)->got = text && n == 5 && memcmp(data, "hello", 5) == 0;
}

/** Open a websocket, have a message echoed, close. As one_call(). */
static int one_websocket(const char *base, const char *path)
{
	static const char *const protocols[] = {"echo", NULL};
	struct http_client *c = NULL;
	struct websocket_client *w = NULL;
	struct note note = {0};
	char url[128], *body = NULL;
	(void)snprintf(url, sizeof url, "%s%s", base, path);
	int rc = http_client_new(&(struct http_client_options){.no_proxy = true}, &c, NULL);
	const struct websocket_connect_options o = {.url = url,
						    .protocols = protocols,
						    .timeout_ns = 20 * NSEC_PER_SEC,
						    .on_message = note_message,
						    .ctx = &note};
	if (rc == 0)
		rc = websocket_connect(c, &o, &w, &body, NULL);
	if (rc == 0)
		rc = websocket_client_send(w, true, "hello", 5);
	const int64_t deadline = clock_mono_ns() + 20 * NSEC_PER_SEC;
	while (rc == 0 && !note.got)
		rc = clock_mono_ns() < deadline ? websocket_client_step(w, NSEC_PER_SEC) : -ETIMEDOUT;
	if (rc == 0)
		rc = websocket_client_close(w, WEBSOCKET_NORMAL, "done");
	while (rc == 0)
		rc = clock_mono_ns() < deadline ? websocket_client_step(w, NSEC_PER_SEC) : -ETIMEDOUT;
	if (rc == -EPIPE && note.got)
		rc = 0; /* closed, as it should */
	free(body);
	websocket_client_free(w);
	http_client_free(c);
	return rc;
}

static void exchanges(void **state)
{
	static const struct {
		int (*fn)(const char *base, const char *path);
		const char *path;
	} cases[] = {{one_call, "/echo?q=a%20b"}, {one_call, "/stream"}, {one_websocket, "/ws"}};
	struct http_server *s = NULL;
	char base[64];
	(void)state;
	const struct http_server_options o = {.address = "127.0.0.1", .workers = 1, .handler = answer};
	assert_int_equal(http_server_new(&o, &s, NULL), 0);
	(void)snprintf(base, sizeof base, "http://127.0.0.1:%u", http_server_port(s));
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		fault_exempt = false;
		fault_only_this_thread();
		FAULT_LOOP
		{
			const int rc = cases[i].fn(base, cases[i].path);
			FAULT_END;
			if (rc != (fault_hit() ? -ENOMEM : 0) && rc != 0)
				fail_msg("%s, allocation %ld of the client: %d", cases[i].path, fault_n_, rc);
		}
		fault_exempt = true; /* from here on, the server's */
		atomic_store(&fault_one_thread, false);
		FAULT_LOOP
		{
			const int rc = cases[i].fn(base, cases[i].path);
			FAULT_END;
			if (rc != 0 && (!fault_hit() || rc == -ETIMEDOUT || rc == -EBADMSG))
				fail_msg("%s, allocation %ld of the server: %d", cases[i].path, fault_n_, rc);
			const int again = cases[i].fn(base, cases[i].path);
			if (again != 0)
				fail_msg("%s, after allocation %ld of the server: %d", cases[i].path, fault_n_, again);
		}
	}
	http_server_free(s);
}

static void echo_method(void *ctx, const uint8_t *in, size_t n, int64_t deadline, struct grpc_reply *reply)
{
	(void)ctx;
	(void)deadline;
	reply->data = malloc(n + 1);
	if (reply->data == NULL) {
		reply->code = GRPC_RESOURCE_EXHAUSTED;
		return;
	}
	memcpy(reply->data, in, n);
	reply->n = n;
}

static int one_grpc_call(const char *path)
{
	uint8_t *out = NULL;
	size_t n = 0;
	int rc = grpc_call(path, "/a/B", (const uint8_t *)"hello", 5, 20 * NSEC_PER_SEC, &out, &n, NULL);
	if (rc == 0 && (n != 5 || memcmp(out, "hello", 5) != 0))
		rc = -EBADMSG;
	free(out);
	return rc;
}

static void grpc_exchanges(void **state)
{
	static const struct grpc_method methods[] = {{"/a/B", echo_method}};
	char dir[] = "/tmp/sluice-fault-XXXXXX";
	struct grpc_server *s = NULL;
	(void)state;
	assert_non_null(mkdtemp(dir));
	CLEANUP(free_p) char *path = str_printf("%s/s", dir);
	assert_int_equal(grpc_server_new(path, methods, 1, NULL, &s, NULL), 0);
	fault_exempt = false;
	fault_only_this_thread();
	FAULT_LOOP
	{
		const int rc = one_grpc_call(path);
		FAULT_END;
		assert_int_equal(rc, fault_hit() ? -ENOMEM : 0);
	}
	fault_exempt = true; /* from here on, the server's */
	atomic_store(&fault_one_thread, false);
	FAULT_LOOP
	{
		const int rc = one_grpc_call(path);
		FAULT_END;
		if (rc != 0 && (!fault_hit() || rc == -ETIMEDOUT || rc == -EBADMSG))
			fail_msg("allocation %ld of the server: %d", fault_n_, rc);
		assert_int_equal(one_grpc_call(path), 0);
	}
	grpc_server_free(s);
	assert_int_equal(rmdir(dir), 0);
}

/* Frames in and out, without a network. */
static void count_message(void *ctx, bool text, const void *data, size_t n)
{
	(void)text;
	(void)data;
	*(size_t *)ctx += n;
}

static void websockets(void **state)
{
	(void)state;
	FAULT_LOOP
	{
		struct websocket *w = NULL;
		size_t got = 0;
		char out[64];
		const struct websocket_options o = {.server = true, .on_message = count_message, .ctx = &got};
		int rc = websocket_new(&o, &w);
		if (rc == 0)
			rc = websocket_feed(w, "\x81\x82\0\0\0\0hi\x89\x80\0\0\0\0", 14);
		if (rc == 0)
			rc = websocket_send(w, true, "you", 3);
		if (rc == 0)
			rc = websocket_ping(w);
		if (rc == 0)
			rc = websocket_close(w, WEBSOCKET_NORMAL, "bye");
		while (w != NULL && websocket_take(w, out, sizeof out) > 0)
			;
		FAULT_END;
		assert_int_equal(rc, fault_hit() ? -ENOMEM : 0);
		assert_true(fault_hit() || got == 2);
		websocket_free(w);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(certificates), cmocka_unit_test(requests),  cmocka_unit_test(servers),
		cmocka_unit_test(sessions),     cmocka_unit_test(clients),   cmocka_unit_test(grpc),
		cmocka_unit_test(websockets),   cmocka_unit_test(exchanges), cmocka_unit_test(grpc_exchanges)};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
