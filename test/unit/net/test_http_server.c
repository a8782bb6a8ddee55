/* The server against plain sockets, where the client's library would hide what goes over the wire. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <netinet/in.h>
#include <pthread.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/time.h>
#include <sys/un.h>

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/error.h"
#include "base/str.h"
#include "net/cert.h"
#include "net/http_client.h"
#include "net/http_server.h"

#define GET(path) "GET " path " HTTP/1.1\r\nHost: h\r\n\r\n"

struct fixture {
	struct http_server *server;
	pthread_mutex_t lock; /* guards the rest */
	pthread_cond_t changed;
	struct http_exchange *held;
	struct http_stream *stream; /* a reference */
	int closed, entered, notify;
	bool released;
};

static void signal_locked(struct fixture *f)
{
	pthread_cond_broadcast(&f->changed);
	pthread_mutex_unlock(&f->lock);
}

/* Wait until *@value is at least @want, 20 s at most; it is read under the lock. */
static int wait_for(struct fixture *f, const int *value, int want)
{
	struct timespec until;
	clock_gettime(CLOCK_REALTIME, &until);
	until.tv_sec += 20;
	pthread_mutex_lock(&f->lock);
	while (*value < want && pthread_cond_timedwait(&f->changed, &f->lock, &until) == 0)
		;
	const int got = *value;
	pthread_mutex_unlock(&f->lock);
	return got;
}

static void on_stream_closed(void *ctx)
{
	struct fixture *f = ctx;
	pthread_mutex_lock(&f->lock);
	f->closed++;
	signal_locked(f);
}

/* What the peer says goes back, and what was asked with it before. */
static void on_raw(void *ctx, const void *data, size_t n)
{
	struct fixture *f = ctx;
	assert_int_equal(http_stream_write(f->stream, data, n), 0);
}

static void hijack(struct fixture *f, struct http_exchange *x)
{
	CLEANUP(free_p)
	char *words = str_printf("%s+%s+%s\n", http_exchange_query_at(x, "w", 0), http_exchange_query_at(x, "w", 1),
				 http_exchange_query_at(x, "w", 2) ?: "none");
	struct http_stream *s = http_hijack(x, on_raw, on_stream_closed, f);
	assert_non_null(s);
	f->stream = http_stream_ref(s);
	http_stream_notify(s, f->notify, 4);
	assert_int_equal(http_stream_write(s, words, strlen(words)), 0);
}

static void handler(void *ctx, struct http_exchange *x)
{
	struct fixture *f = ctx;
	const struct http_request *r = http_exchange_request(x);
	static char big[300000];
	if (strcmp(r->path, "/stream") == 0) {
		struct http_stream *s = http_stream_begin(x, 200, "text/plain", on_stream_closed, f);
		pthread_mutex_lock(&f->lock);
		f->stream = s == NULL ? NULL : http_stream_ref(s);
		f->entered++;
		signal_locked(f);
	} else if (strcmp(r->path, "/hold") == 0) {
		pthread_mutex_lock(&f->lock);
		f->held = x;
		f->entered++;
		signal_locked(f);
	} else if (strcmp(r->path, "/block") == 0) {
		pthread_mutex_lock(&f->lock);
		f->entered++;
		pthread_cond_broadcast(&f->changed);
		while (!f->released)
			pthread_cond_wait(&f->changed, &f->lock);
		pthread_mutex_unlock(&f->lock);
		http_reply(x, 200, "text/plain", "free", 4);
	} else if (strcmp(r->path, "/big") == 0) {
		memset(big, 'b', sizeof big);
		http_reply(x, 200, "text/plain", big, sizeof big);
	} else if (strcmp(r->path, "/hijack") == 0) {
		hijack(f, x);
	} else if (strcmp(r->path, "/none") == 0) {
		http_reply(x, 204, NULL, NULL, 0);
	} else {
		CLEANUP(free_p) char *text = str_printf("%s:%s", r->path, r->body);
		http_reply(x, 200, "text/plain", text, strlen(text));
	}
}

static char *error_page(void *ctx, int status, const char *message, const char **ret_content_type)
{
	(void)ctx;
	*ret_content_type = "application/json";
	return str_printf("{\"code\":%d,\"message\":\"%s\"}", status, message);
}

static void start(struct fixture *f, struct http_server_options o)
{
	struct error err = {0};
	o.address = o.address == NULL ? "127.0.0.1" : o.address;
	o.handler = handler;
	o.ctx = f;
	if (http_server_new(&o, &f->server, &err) != 0)
		fail_msg("%s", err.msg);
}

static int setup(void **state)
{
	struct fixture *f = calloc(1, sizeof *f);
	assert_non_null(f);
	pthread_mutex_init(&f->lock, NULL);
	pthread_cond_init(&f->changed, NULL);
	*state = f;
	return 0;
}

static int teardown(void **state)
{
	struct fixture *f = *state;
	http_server_free(f->server);
	http_stream_unref(f->stream);
	pthread_cond_destroy(&f->changed);
	pthread_mutex_destroy(&f->lock);
	free(f);
	return 0;
}

static int dial(const struct fixture *f)
{
	const int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	const struct sockaddr_in sa = {.sin_family = AF_INET,
				       .sin_addr = {htonl(INADDR_LOOPBACK)},
				       .sin_port = htons(http_server_port(f->server))};
	const struct timeval limit = {.tv_sec = 20};
	assert_int_equal(setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit), 0);
	assert_int_equal(connect(fd, (const struct sockaddr *)&sa, sizeof sa), 0);
	return fd;
}

static void say(int fd, const char *text)
{
	assert_int_equal(send(fd, text, strlen(text), MSG_NOSIGNAL), strlen(text));
}

/* Read until @end is there (NULL: until the server closes). False when it closes before. */
static bool hear(int fd, const char *end, char *buf, size_t size)
{
	size_t n = 0;
	buf[0] = '\0';
	while (n + 1 < size && (end == NULL || strstr(buf, end) == NULL)) {
		const ssize_t k = recv(fd, buf + n, size - 1 - n, 0);
		if (k <= 0)
			return end == NULL && k == 0;
		n += (size_t)k;
		buf[n] = '\0';
	}
	return true;
}

static size_t count(const char *text, const char *what)
{
	size_t n = 0;
	for (const char *s = text; (s = strstr(s, what)) != NULL; s += strlen(what))
		n++;
	return n;
}

static void test_keep_alive_and_pipeline(void **state)
{
	struct fixture *f = *state;
	char buf[8192];
	start(f, (struct http_server_options){0});
	CLEANUP(close_fd) int fd = dial(f);
	say(fd, GET("/1"));
	assert_true(hear(fd, "/1:", buf, sizeof buf));
	assert_null(strstr(buf, "Connection:"));
	say(fd, GET("/2") "POST /3 HTTP/1.1\r\nHost: h\r\nContent-Length: 3\r\n\r\nabc" GET(
			"/none") "HEAD /4 HTTP/1.1\r\nHost: h\r\n\r\n" GET("/5"));
	assert_true(hear(fd, "/5:", buf, sizeof buf));
	assert_int_equal(count(buf, "HTTP/1.1 200 OK"), 4);
	assert_int_equal(count(buf, "HTTP/1.1 204 No Content"), 1);
	assert_true(strstr(buf, "/2:") < strstr(buf, "/3:abc") && strstr(buf, "/3:abc") < strstr(buf, "204") &&
		    strstr(buf, "204") < strstr(buf, "/5:"));
	assert_null(strstr(buf, "/4:"));
	say(fd, "GET /6 HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n" GET("/7"));
	assert_true(hear(fd, NULL, buf, sizeof buf));
	assert_non_null(strstr(buf, "Connection: close\r\n"));
	assert_non_null(strstr(buf, "/6:"));
	assert_null(strstr(buf, "/7:"));
}

static void test_half_close(void **state)
{
	struct fixture *f = *state;
	char buf[8192];
	start(f, (struct http_server_options){0});
	CLEANUP(close_fd) int fd = dial(f);
	say(fd, GET("/1") GET("/2"));
	assert_int_equal(shutdown(fd, SHUT_WR), 0);
	assert_true(hear(fd, NULL, buf, sizeof buf));
	assert_int_equal(count(buf, "HTTP/1.1 200 OK"), 2);
}

static void test_continue(void **state)
{
	struct fixture *f = *state;
	char buf[8192];
	start(f, (struct http_server_options){0});
	CLEANUP(close_fd) int fd = dial(f);
	say(fd, "POST /x HTTP/1.1\r\nHost: h\r\nExpect: 100-continue\r\nContent-Length: 2\r\n\r\n");
	assert_true(hear(fd, "\r\n\r\n", buf, sizeof buf));
	assert_string_equal(buf, "HTTP/1.1 100 Continue\r\n\r\n");
	say(fd, "ab");
	assert_true(hear(fd, "/x:ab", buf, sizeof buf));
}

static void test_errors(void **state)
{
	struct fixture *f = *state;
	static const struct {
		const char *name, *text, *want, *body;
	} cases[] = {
		{"garbage", "\x16\x03\x01\r\n\r\n", "HTTP/1.1 400 Bad Request\r\n", "{\"code\":400,\"message\":\""},
		{"too large", "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 11\r\n\r\nhello world",
		 "HTTP/1.1 413 Payload Too Large\r\n", "{\"code\":413,\"message\":\"request body is too large\"}"},
		{"no host", "GET / HTTP/1.1\r\n\r\n", "HTTP/1.1 400 Bad Request\r\n",
		 "{\"code\":400,\"message\":\"exactly one Host header is needed\"}"},
	};
	start(f, (struct http_server_options){.on_error = error_page, .max_body = 10});
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		char buf[8192];
		CLEANUP(close_fd) int fd = dial(f);
		say(fd, cases[i].text);
		if (!hear(fd, NULL, buf, sizeof buf) || !str_has_prefix(buf, cases[i].want) ||
		    strstr(buf, cases[i].body) == NULL || strstr(buf, "Content-Type: application/json\r\n") == NULL ||
		    strstr(buf, "Connection: close\r\n") == NULL)
			fail_msg("case '%s': '%s'", cases[i].name, buf);
	}
}

/* A body that nobody will read must not turn the answer into a reset connection. */
static void test_large_body_still_hears_413(void **state)
{
	struct fixture *f = *state;
	char buf[8192];
	static char body[1 << 20];
	start(f, (struct http_server_options){.max_body = 1000});
	CLEANUP(close_fd) int fd = dial(f);
	say(fd, "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 1048576\r\n\r\n");
	for (size_t n = 0; n < sizeof body;) {
		const ssize_t k = send(fd, body + n, sizeof body - n, MSG_NOSIGNAL);
		assert_true(k > 0);
		n += (size_t)k;
	}
	assert_true(hear(fd, NULL, buf, sizeof buf));
	assert_true(str_has_prefix(buf, "HTTP/1.1 413 "));
}

static void test_stream(void **state)
{
	struct fixture *f = *state;
	char buf[8192];
	start(f, (struct http_server_options){0});
	CLEANUP(close_fd) int fd = dial(f);
	say(fd, GET("/stream"));
	assert_int_equal(wait_for(f, &f->entered, 1), 1);
	assert_true(hear(fd, "\r\n\r\n", buf, sizeof buf));
	assert_non_null(strstr(buf, "Transfer-Encoding: chunked\r\n"));
	int64_t slowest = 0;
	for (int i = 0; i < 50; i++) { /* each one alone, as a watch's events come */
		const int64_t begun = clock_mono_ns();
		assert_int_equal(http_stream_write(f->stream, "event\n", 6), 0);
		assert_true(hear(fd, "6\r\nevent\n\r\n", buf, sizeof buf));
		const int64_t took = clock_mono_ns() - begun;
		slowest = took > slowest ? took : slowest;
	}
	assert_true(slowest <
		    NSEC_PER_SEC); /* delayed acknowledgements would show as 40 ms each; a busy machine may show too */
	assert_int_equal(f->closed, 0);
	http_stream_end(f->stream);
	assert_int_equal(wait_for(f, &f->closed, 1), 1);
	assert_true(hear(fd, "0\r\n\r\n", buf, sizeof buf));
	assert_int_equal(http_stream_write(f->stream, "x", 1), -EPIPE);
	say(fd, GET("/after"));
	assert_true(hear(fd, "/after:", buf, sizeof buf));
	http_stream_end(f->stream); /* once more is harmless */
}

/* No head of the server's: the bytes of both sides as they are; and its owner hears when they are sent. */
static void test_hijack(void **state)
{
	struct fixture *f = *state;
	char buf[1024];
	CLEANUP(close_fd) int notify = eventfd(0, EFD_CLOEXEC);
	f->notify = notify;
	start(f, (struct http_server_options){0});
	CLEANUP(close_fd) int fd = dial(f);
	say(fd, GET("/hijack?w=a%20b&x=1&w=c"));
	assert_true(hear(fd, "\n", buf, sizeof buf));
	assert_string_equal(buf, "a b+c+none\n");
	eventfd_t times = 0;
	assert_int_equal(eventfd_read(notify, &times), 0);
	say(fd, "raw\n");
	assert_true(hear(fd, "\n", buf, sizeof buf));
	assert_string_equal(buf, "raw\n");
	http_stream_end(f->stream);
	assert_true(hear(fd, NULL, buf, sizeof buf));
	assert_int_equal(wait_for(f, &f->closed, 1), 1);
}

static void test_stream_peer_gone(void **state)
{
	struct fixture *f = *state;
	char buf[8192];
	start(f, (struct http_server_options){0});
	int fd = dial(f);
	say(fd, GET("/stream"));
	assert_true(hear(fd, "\r\n\r\n", buf, sizeof buf));
	const int64_t begun = clock_mono_ns();
	(void)close(fd);
	assert_int_equal(wait_for(f, &f->closed, 1), 1); /* without a write */
	assert_true(clock_mono_ns() - begun < 5 * NSEC_PER_SEC);
	assert_int_equal(http_stream_write(f->stream, "x", 1), -EPIPE);
}

static void test_stream_peer_does_not_read(void **state)
{
	struct fixture *f = *state;
	static char chunk[65536];
	start(f, (struct http_server_options){.stream_queue_max = 1 << 20});
	CLEANUP(close_fd) int fd = dial(f);
	say(fd, GET("/stream"));
	assert_int_equal(wait_for(f, &f->entered, 1), 1);
	int rc = 0, n = 0;
	while (rc == 0 && n++ < 4096) /* 256 MiB: more than any socket buffer */
		rc = http_stream_write(f->stream, chunk, sizeof chunk);
	assert_int_equal(rc, -ENOBUFS);
	assert_int_equal(wait_for(f, &f->closed, 1), 1);
	assert_int_equal(http_stream_write(f->stream, "x", 1), -EPIPE);
}

static void test_old_client_and_head(void **state)
{
	struct fixture *f = *state;
	char buf[8192];
	start(f, (struct http_server_options){0});
	CLEANUP(close_fd) int fd = dial(f);
	say(fd, "GET /stream HTTP/1.0\r\n\r\n");
	assert_int_equal(wait_for(f, &f->entered, 1), 1);
	assert_int_equal(http_stream_write(f->stream, "event", 5), 0);
	http_stream_end(f->stream);
	assert_true(hear(fd, NULL, buf, sizeof buf));
	assert_null(strstr(buf, "chunked"));
	assert_true(str_has_suffix(buf, "\r\n\r\nevent"));
	f->stream = http_stream_unref(f->stream);

	CLEANUP(close_fd) int second = dial(f);
	say(second, "HEAD /stream HTTP/1.1\r\nHost: h\r\n\r\n");
	assert_int_equal(wait_for(f, &f->entered, 2), 2);
	assert_int_equal(http_stream_write(f->stream, "event", 5), 0);
	http_stream_end(f->stream);
	say(second, GET("/after"));
	assert_true(hear(second, "/after:", buf, sizeof buf));
	assert_null(strstr(buf, "event"));
}

static void test_gzip(void **state)
{
	struct fixture *f = *state;
	static char buf[400000];
	start(f, (struct http_server_options){0});
	static const struct {
		const char *name, *accept;
		bool packed;
	} cases[] = {
		{"asked", "gzip", true},        {"among others", "br, gzip;q=0.5", true},
		{"refused", "gzip;q=0", false}, {"refused exactly", "gzip;q=0.0", false},
		{"another", "xgzip", false},    {"longer", "gzipped", false},
		{"nothing", "", false},
	};
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		CLEANUP(close_fd) int fd = dial(f);
		CLEANUP(free_p)
		char *text =
			str_printf("GET /big HTTP/1.1\r\nHost: h\r\nAccept-Encoding: %s\r\nConnection: close\r\n\r\n",
				   cases[i].accept);
		say(fd, text);
		assert_true(hear(fd, NULL, buf, sizeof buf));
		if ((strstr(buf, "Content-Encoding: gzip") != NULL) != cases[i].packed)
			fail_msg("case '%s': '%.300s'", cases[i].name, buf);
	}
}

static void test_overload(void **state)
{
	struct fixture *f = *state;
	char buf[8192];
	start(f, (struct http_server_options){.workers = 1, .max_pending = 1, .on_error = error_page});
	CLEANUP(close_fd) int working = dial(f);
	CLEANUP(close_fd) int waiting = dial(f);
	say(working, GET("/block"));
	assert_int_equal(wait_for(f, &f->entered, 1), 1);
	say(waiting, GET("/block"));
	bool refused = false;
	for (int i = 0; i < 1000 && !refused; i++) { /* until the second one is queued */
		CLEANUP(close_fd) int fd = dial(f);
		say(fd, GET("/quick"));
		const struct timeval soon = {.tv_usec = 100000};
		assert_int_equal(setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &soon, sizeof soon), 0);
		refused =
			hear(fd, NULL, buf, sizeof buf) && str_has_prefix(buf, "HTTP/1.1 503 Service Unavailable\r\n");
	}
	assert_true(refused);
	assert_non_null(strstr(buf, "Retry-After: 1\r\n"));
	pthread_mutex_lock(&f->lock);
	f->released = true;
	signal_locked(f);
	assert_true(hear(working, "free", buf, sizeof buf));
}

static void test_connection_limit_and_idle(void **state)
{
	struct fixture *f = *state;
	char buf[8192];
	start(f, (struct http_server_options){.max_connections = 2, .idle_timeout_ns = NSEC_PER_SEC / 2});
	CLEANUP(close_fd) int first = dial(f);
	CLEANUP(close_fd) int second = dial(f);
	say(first, GET("/1"));
	assert_true(hear(first, "/1:", buf, sizeof buf));
	say(second, GET("/2"));
	assert_true(hear(second, "/2:", buf, sizeof buf));
	CLEANUP(close_fd) int third = dial(f);
	assert_false(hear(third, "HTTP", buf, sizeof buf)); /* closed: no room */
	const int64_t begun = clock_mono_ns();
	assert_true(hear(first, NULL, buf, sizeof buf)); /* closed: idle */
	assert_true(clock_mono_ns() - begun < 10 * NSEC_PER_SEC);
	assert_true(hear(second, NULL, buf, sizeof buf));

	/* A head that comes drop by drop has no more time than one that does not come. */
	CLEANUP(close_fd) int slow = dial(f);
	say(slow, "GET / HTTP/1.1\r\n");
	bool open = true;
	while (open && clock_mono_ns() - begun < 15 * NSEC_PER_SEC) {
		const struct timeval pause = {.tv_usec = 50000};
		assert_int_equal(setsockopt(slow, SOL_SOCKET, SO_RCVTIMEO, &pause, sizeof pause), 0);
		open = send(slow, "X", 1, MSG_NOSIGNAL) == 1 && (recv(slow, buf, sizeof buf, 0) < 0 && errno == EAGAIN);
	}
	assert_false(open);
}

static void test_unix(void **state)
{
	struct fixture *f = *state;
	char dir[] = "/tmp/sluice-http-XXXXXX", buf[8192];
	assert_non_null(mkdtemp(dir));
	CLEANUP(free_p) char *path = str_printf("%s/s", dir), *address = str_printf("unix:%s/s", dir);
	start(f, (struct http_server_options){.address = address});
	struct stat st;
	assert_int_equal(stat(path, &st), 0);
	assert_int_equal(st.st_mode & 0777, 0600);
	struct sockaddr_un sa = {.sun_family = AF_UNIX};
	(void)str_copy(sa.sun_path, sizeof sa.sun_path, path); /* fits */
	CLEANUP(close_fd) int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	assert_int_equal(connect(fd, (struct sockaddr *)&sa, sizeof sa), 0);
	say(fd, GET("/1"));
	assert_true(hear(fd, "/1:", buf, sizeof buf));
	struct http_server *second = NULL;
	struct error err = {0};
	const struct http_server_options o = {.address = address, .handler = handler};
	assert_int_equal(http_server_new(&o, &second, &err), -EADDRINUSE);
	http_server_free(TAKE(f->server));
	assert_int_equal(stat(path, &st), -1);
	assert_int_equal(rmdir(dir), 0);
}

static void test_port_in_use(void **state)
{
	struct fixture *f = *state;
	struct http_server *second = NULL;
	struct error err = {0};
	start(f, (struct http_server_options){0});
	const struct http_server_options o = {
		.address = "127.0.0.1", .port = http_server_port(f->server), .handler = handler};
	assert_int_equal(http_server_new(&o, &second, &err), -EADDRINUSE);
	CLEANUP(free_p) char *want = str_printf("listen on 127.0.0.1:%u: Address already in use", o.port);
	assert_string_equal(err.msg, want);
	const struct http_server_options bad = {.address = "no such address", .handler = handler};
	assert_int_equal(http_server_new(&bad, &second, &err), -EADDRNOTAVAIL);
	const struct http_server_options cert = {
		.address = "127.0.0.1", .handler = handler, .cert_pem = "x", .key_pem = "y"};
	assert_int_equal(http_server_new(&cert, &second, &err), -EINVAL);
	assert_non_null(strstr(err.msg, "read the server's certificate and key"));
}

/* Asks for /1 over TLS; the status, or what went wrong. */
static int ask_trusting(struct http_client *h, uint16_t port)
{
	struct http_answer a = {0};
	char url[64];
	(void)snprintf(url, sizeof url, "https://127.0.0.1:%u/1", port);
	const struct http_call call = {.method = "GET", .url = url, .timeout_ns = 10 * NSEC_PER_SEC};
	const int rc = http_client_do(h, &call, &a, NULL);
	const int status = a.status;
	http_answer_clear(&a);
	return rc < 0 ? rc : status;
}

/* New connections get the new certificate, those there are go on; keys that are no good change nothing. */
static void test_renew(void **state)
{
	struct fixture *f = *state;
	static const char *const sans[] = {"127.0.0.1", NULL};
	const struct cert_options leaf = {.cn = "server", .sans = sans, .server = true, .days = 1};
	struct cert_pair ca[2] = {0}, pair[2] = {0};
	struct http_client *trusts[2] = {0}, *late = NULL;
	for (int i = 0; i < 2; i++) {
		assert_int_equal(cert_make_ca("ca", &ca[i], NULL), 0);
		assert_int_equal(cert_issue(&ca[i], &leaf, &pair[i], NULL), 0);
		const struct http_client_options o = {.ca_pem = ca[i].cert_pem};
		assert_int_equal(http_client_new(&o, &trusts[i], NULL), 0);
	}
	assert_int_equal(http_client_new(&(struct http_client_options){.ca_pem = ca[0].cert_pem}, &late, NULL), 0);
	start(f, (struct http_server_options){.cert_pem = pair[0].cert_pem, .key_pem = pair[0].key_pem});
	const uint16_t port = http_server_port(f->server);
	struct error err = {0};
	assert_int_equal(ask_trusting(trusts[0], port), 200);
	assert_true(ask_trusting(trusts[1], port) < 0);
	assert_int_equal(http_server_renew(f->server, pair[1].cert_pem, pair[0].key_pem, NULL, &err), -EINVAL);
	assert_non_null(strstr(err.msg, "read the server's certificate and key"));
	assert_int_equal(http_server_renew(f->server, pair[1].cert_pem, pair[1].key_pem, NULL, &err), 0);
	assert_int_equal(ask_trusting(trusts[0], port), 200); /* its connection is from before */
	assert_int_equal(ask_trusting(trusts[1], port), 200);
	assert_true(ask_trusting(late, port) < 0);
	http_client_free(late);
	for (int i = 0; i < 2; i++) {
		http_client_free(trusts[i]);
		cert_pair_clear(&pair[i]);
		cert_pair_clear(&ca[i]);
	}
}

/* The end: streams are closed properly, an answer under way still gets out, and what is left may be used without harm. */
static void test_stop(void **state)
{
	struct fixture *f = *state;
	char buf[8192];
	start(f, (struct http_server_options){0});
	CLEANUP(close_fd) int streaming = dial(f);
	say(streaming, GET("/stream"));
	assert_int_equal(wait_for(f, &f->entered, 1), 1);
	assert_int_equal(http_stream_write(f->stream, "last", 4), 0);
	http_server_free(TAKE(f->server));
	assert_int_equal(f->closed, 1);
	assert_true(hear(streaming, NULL, buf, sizeof buf));
	assert_non_null(strstr(buf, "4\r\nlast\r\n0\r\n\r\n"));
	assert_int_equal(http_stream_write(f->stream, "x", 1), -EPIPE);
}

static void test_late_answers(void **state)
{
	struct fixture *f = *state;
	start(f, (struct http_server_options){.stop_timeout_ns = NSEC_PER_SEC / 4});
	int gone = dial(f);
	say(gone, GET("/hold"));
	assert_int_equal(wait_for(f, &f->entered, 1), 1);
	struct http_exchange *first = f->held;
	(void)close(gone);
	CLEANUP(close_fd) int fd = dial(f);
	say(fd, GET("/hold"));
	assert_int_equal(wait_for(f, &f->entered, 2), 2);
	http_reply(first, 200, "text/plain", "x", 1); /* to a peer that is gone */
	const int64_t begun = clock_mono_ns();
	http_server_free(TAKE(f->server)); /* waits for the second, in vain */
	assert_true(clock_mono_ns() - begun >= NSEC_PER_SEC / 4);
	struct http_stream *s = http_stream_begin(f->held, 200, "text/plain", on_stream_closed, f);
	assert_non_null(s);
	assert_int_equal(f->closed, 1);
}

int main(void)
{
#define TEST(fn) cmocka_unit_test_setup_teardown(fn, setup, teardown)
	const struct CMUnitTest tests[] = {
		TEST(test_keep_alive_and_pipeline),
		TEST(test_half_close),
		TEST(test_continue),
		TEST(test_errors),
		TEST(test_large_body_still_hears_413),
		TEST(test_stream),
		TEST(test_hijack),
		TEST(test_stream_peer_gone),
		TEST(test_stream_peer_does_not_read),
		TEST(test_old_client_and_head),
		TEST(test_gzip),
		TEST(test_overload),
		TEST(test_connection_limit_and_idle),
		TEST(test_unix),
		TEST(test_port_in_use),
		TEST(test_renew),
		TEST(test_stop),
		TEST(test_late_answers),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
