/* The client against our own server: methods, bodies, limits, streams, TLS, errors. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <netinet/in.h>
#include <pthread.h>
#include <sys/socket.h>

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/error.h"
#include "base/str.h"
#include "base/strbuf.h"
#include "net/cert.h"
#include "net/http_client.h"
#include "net/http_server.h"

struct fixture {
	struct cert_pair ca, server_cert, client_cert, other_ca, other_cert;
	struct http_server *plain, *tls;
	pthread_mutex_t lock;
	pthread_cond_t changed;
	int streams_closed;
};

static void on_stream_closed(void *ctx)
{
	struct fixture *f = ctx;
	pthread_mutex_lock(&f->lock);
	f->streams_closed++;
	pthread_cond_broadcast(&f->changed);
	pthread_mutex_unlock(&f->lock);
}

static int wait_streams_closed(struct fixture *f, int want)
{
	struct timespec until;
	clock_gettime(CLOCK_REALTIME, &until);
	until.tv_sec += 10;
	pthread_mutex_lock(&f->lock);
	while (f->streams_closed < want && pthread_cond_timedwait(&f->changed, &f->lock, &until) == 0)
		;
	const int got = f->streams_closed;
	pthread_mutex_unlock(&f->lock);
	return got;
}

static void reply_echo(struct http_exchange *x)
{
	const struct http_request *r = http_exchange_request(x);
	const char *auth = http_exchange_header(x, "authorization"), *a = http_exchange_query(x, "a");
	struct strbuf b = STRBUF_INIT(1 << 20);
	strbuf_addf(&b, "%s %s a=%s auth=%s cn=%s o=%s type=%s body=%zu:%.20s", r->method, r->path, a == NULL ? "-" : a,
		    auth == NULL ? "-" : auth, r->peer_cn == NULL ? "-" : r->peer_cn,
		    r->peer_o == NULL ? "-" : r->peer_o[0],
		    http_exchange_header(x, "content-type") == NULL ? "-" : http_exchange_header(x, "content-type"),
		    r->body_n, r->body);
	http_exchange_add_header(x, "X-Echo", "yes");
	http_exchange_add_header(x, "X-Split", "a\r\nInjected: b");
	http_reply(x, 200, "text/plain", b.p, b.n);
	strbuf_clear(&b);
}

static void reply_stream(struct fixture *f, struct http_exchange *x, int chunks)
{
	struct http_stream *s = http_stream_begin(x, 200, "text/plain", on_stream_closed, f);
	if (s == NULL)
		return;
	http_stream_ref(s);
	for (int i = 0; i < chunks; i++)
		(void)http_stream_write(s, "tick\n", 5); /* a peer that is gone is the test's matter */
	if (chunks < 1000)
		http_stream_end(s);
	http_stream_unref(s);
}

static void handler(void *ctx, struct http_exchange *x)
{
	struct fixture *f = ctx;
	const struct http_request *r = http_exchange_request(x);
	static char big[1 << 20];
	if (strcmp(r->path, "/big") == 0) {
		memset(big, 'b', sizeof big);
		http_reply(x, 200, "text/plain", big, sizeof big);
	} else if (strcmp(r->path, "/stream") == 0) {
		reply_stream(f, x, 100);
	} else if (strcmp(r->path, "/endless") == 0) {
		reply_stream(f, x, 1000);
	} else if (strcmp(r->path, "/redirect") == 0) {
		http_exchange_add_header(x, "Location", "/there?a=1");
		http_reply(x, 302, "text/plain", "moved", 5);
	} else if (strcmp(r->path, "/loop") == 0) {
		http_exchange_add_header(x, "Location", "/loop");
		http_reply(x, 302, "text/plain", "moved", 5);
	} else if (strcmp(r->path, "/missing") == 0) {
		http_reply(x, 404, "text/plain", "no such thing", 13);
	} else {
		reply_echo(x);
	}
}

static int setup(void **state)
{
	static const char *const sans[] = {"localhost", "127.0.0.1", NULL}, *const orgs[] = {"system:masters", NULL};
	struct fixture *f = calloc(1, sizeof *f);
	struct error err = {0};
	pthread_mutex_init(&f->lock, NULL);
	pthread_cond_init(&f->changed, NULL);
	assert_int_equal(cert_make_ca("ca", &f->ca, &err), 0);
	assert_int_equal(cert_make_ca("other", &f->other_ca, &err), 0);
	const struct cert_options so = {.cn = "server", .sans = sans, .server = true, .days = 2};
	const struct cert_options co = {.cn = "admin", .organizations = orgs, .client = true, .days = 2};
	assert_int_equal(cert_issue(&f->ca, &so, &f->server_cert, &err), 0);
	assert_int_equal(cert_issue(&f->ca, &co, &f->client_cert, &err), 0);
	assert_int_equal(cert_issue(&f->other_ca, &co, &f->other_cert, &err), 0);
	struct http_server_options o = {.address = "127.0.0.1", .handler = handler, .ctx = f};
	assert_int_equal(http_server_new(&o, &f->plain, &err), 0);
	o.cert_pem = f->server_cert.cert_pem;
	o.key_pem = f->server_cert.key_pem;
	o.client_ca_pem = f->ca.cert_pem;
	assert_int_equal(http_server_new(&o, &f->tls, &err), 0);
	*state = f;
	return 0;
}

static int teardown(void **state)
{
	struct fixture *f = *state;
	http_server_free(f->plain);
	http_server_free(f->tls);
	cert_pair_clear(&f->ca);
	cert_pair_clear(&f->other_ca);
	cert_pair_clear(&f->server_cert);
	cert_pair_clear(&f->client_cert);
	cert_pair_clear(&f->other_cert);
	pthread_cond_destroy(&f->changed);
	pthread_mutex_destroy(&f->lock);
	free(f);
	return 0;
}

static char *url_of(const struct http_server *s, const char *scheme, const char *path)
{
	return str_printf("%s://127.0.0.1:%u%s", scheme, http_server_port(s), path);
}

static struct http_client *client_new(const struct http_client_options *o)
{
	struct http_client *c = NULL;
	struct error err = {0};
	assert_int_equal(http_client_new(o, &c, &err), 0);
	return c;
}

static void test_methods(void **state)
{
	struct fixture *f = *state;
	static const struct http_header json[] = {{"Content-Type", "application/json"}};
	static const struct {
		const char *name, *method, *path, *body, *bearer;
		size_t n_headers;
		const char *want;
	} cases[] = {
		{"plain get", "GET", "/x%20y?a=1+2%26", NULL, NULL, 0,
		 "GET /x y a=1 2& auth=- cn=- o=- type=- body=0:"},
		{"head", "HEAD", "/x", NULL, NULL, 0, ""},
		{"post", "POST", "/x", "hello", NULL, 1,
		 "POST /x a=- auth=- cn=- o=- type=application/json body=5:hello"},
		{"put without body", "PUT", "/x", NULL, NULL, 0, "PUT /x a=- auth=- cn=- o=- type=- body=0:"},
		{"delete with body", "DELETE", "/x", "{}", NULL, 1,
		 "DELETE /x a=- auth=- cn=- o=- type=application/json body=2:{}"},
		{"patch", "PATCH", "/x", "{}", NULL, 0, "PATCH /x a=- auth=- cn=- o=- type=- body=2:{}"},
		{"bearer", "GET", "/x", NULL, "t0ken", 0, "GET /x a=- auth=Bearer t0ken cn=- o=- type=- body=0:"},
	};
	struct http_client *c = client_new(&(struct http_client_options){.no_proxy = true});
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		CLEANUP(free_p) char *url = url_of(f->plain, "http", cases[i].path);
		const struct http_call call = {.method = cases[i].method,
					       .url = url,
					       .headers = json,
					       .n_headers = cases[i].n_headers,
					       .body = cases[i].body,
					       .body_n = cases[i].body == NULL ? 0 : strlen(cases[i].body),
					       .bearer = cases[i].bearer,
					       .timeout_ns = 10 * NSEC_PER_SEC};
		struct http_answer a = {0};
		struct error err = {0};
		const int rc = http_client_do(c, &call, &a, &err);
		if (rc != 0 || a.status != 200 || strcmp(a.body, cases[i].want) != 0)
			fail_msg("case '%s': rc %d, status %d, body '%s', '%s'", cases[i].name, rc, a.status,
				 a.body == NULL ? "" : a.body, err.msg);
		assert_string_equal(http_answer_header(&a, "x-ECHO"), "yes");
		assert_string_equal(http_answer_header(&a, "x-split"), "a  Injected: b");
		assert_null(http_answer_header(&a, "injected"));
		http_answer_clear(&a);
	}
	http_client_free(c);
}

struct sink {
	size_t n, heads;
	int status, stop;
	atomic_bool *cancel;
};

static int sink_data(void *ctx, const void *data, size_t n)
{
	struct sink *s = ctx;
	(void)data;
	s->n += n;
	if (s->cancel != NULL)
		atomic_store(s->cancel, true);
	return s->stop;
}

static int sink_head(void *ctx, int status, const struct http_header *headers, size_t n)
{
	struct sink *s = ctx;
	s->heads++;
	s->status = status;
	assert_non_null(headers);
	assert_true(n > 0);
	return 0;
}

static void test_answers(void **state)
{
	struct fixture *f = *state;
	static const struct {
		const char *name, *path;
		bool follow, sink;
		int stop;
		size_t max_body;
		int rc, status;
		size_t body_n, sunk;
		const char *msg;
	} cases[] = {
		{"large", "/big", .status = 200, .body_n = 1 << 20},
		{"large to a sink", "/big", .sink = true, .status = 200, .sunk = 1 << 20},
		{"too large", "/big", .max_body = 1000, .rc = -EFBIG, .msg = "the answer is too large"},
		{"exactly as large", "/missing", .max_body = 13, .status = 404, .body_n = 13},
		{"error body beside a sink", "/missing", .sink = true, .status = 404, .body_n = 13},
		{"chunks", "/stream", .status = 200, .body_n = 500},
		{"sink ends it", "/stream", .sink = true, .stop = -EBADMSG, .rc = -EBADMSG, .sunk = 1,
		 .msg = "Bad message"},
		{"redirect left alone", "/redirect", .status = 302, .body_n = 5},
		{"redirect followed", "/redirect", .follow = true, .sink = true, .status = 200, .sunk = 1},
		{"redirects without end", "/loop", .follow = true, .rc = -EPROTO, .msg = "redirects"},
	};
	struct http_client *c = client_new(&(struct http_client_options){.no_proxy = true});
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		CLEANUP(free_p) char *url = url_of(f->plain, "http", cases[i].path);
		struct sink sink = {.stop = cases[i].stop};
		const struct http_call call = {.method = "GET",
					       .url = url,
					       .max_body = cases[i].max_body,
					       .timeout_ns = 10 * NSEC_PER_SEC,
					       .follow_redirects = cases[i].follow,
					       .on_head = sink_head,
					       .on_data = cases[i].sink ? sink_data : NULL,
					       .ctx = &sink};
		struct http_answer a = {0};
		struct error err = {0};
		const int rc = http_client_do(c, &call, &a, &err);
		const bool sunk_ok = cases[i].sunk == 1 ? sink.n > 0 : sink.n == cases[i].sunk;
		if (rc != cases[i].rc || a.status != cases[i].status || a.body_n != cases[i].body_n || !sunk_ok ||
		    (cases[i].msg != NULL && strstr(err.msg, cases[i].msg) == NULL) || (rc == 0 && sink.heads != 1))
			fail_msg("case '%s': rc %d, status %d, body %zu, sunk %zu, heads %zu, '%s'", cases[i].name, rc,
				 a.status, a.body_n, sink.n, sink.heads, err.msg);
		http_answer_clear(&a);
	}
	http_client_free(c);
}

static void test_cancel_and_stall(void **state)
{
	struct fixture *f = *state;
	atomic_bool cancel = false;
	struct http_client *c = client_new(&(struct http_client_options){.no_proxy = true});
	CLEANUP(free_p) char *url = url_of(f->plain, "http", "/endless");
	struct sink sink = {.cancel = &cancel};
	struct http_call call = {.method = "GET", .url = url, .on_data = sink_data, .ctx = &sink, .cancel = &cancel};
	struct http_answer a = {0};
	struct error err = {0};
	const int before = wait_streams_closed(f, 0);
	assert_int_equal(http_client_do(c, &call, &a, &err), -ECANCELED);
	assert_non_null(strstr(err.msg, "cancelled"));

	call.cancel = NULL;
	sink.cancel = NULL;
	call.stall_timeout_ns = 200 * NSEC_PER_MSEC;
	const int64_t begun = clock_mono_ns();
	assert_int_equal(http_client_do(c, &call, &a, &err), -ETIMEDOUT);
	assert_non_null(strstr(err.msg, "nothing came for 200 ms"));
	assert_true(clock_mono_ns() - begun < 5 * NSEC_PER_SEC);
	assert_int_equal(wait_streams_closed(f, before + 2), before + 2);
	http_client_free(c);
}

static void test_tls(void **state)
{
	struct fixture *f = *state;
	const struct {
		const char *name, *ca;
		const struct cert_pair *client;
		bool insecure;
		int rc;
		const char *want;
	} cases[] = {
		{"with our certificate", f->ca.cert_pem, &f->client_cert, false, 0, "cn=admin o=system:masters"},
		{"without one", f->ca.cert_pem, NULL, false, 0, "cn=- o=-"},
		{"with a foreign one", f->ca.cert_pem, &f->other_cert, false, 0, "cn=- o=-"},
		{"with a server's as the client's", f->ca.cert_pem, &f->server_cert, false, 0, "cn=- o=-"},
		{"server of another CA", f->other_ca.cert_pem, NULL, false, -EKEYREJECTED, "certificate"},
		{"system's CAs", NULL, NULL, false, -EKEYREJECTED, "certificate"},
		{"not verified", NULL, NULL, true, 0, "cn=- o=-"},
	};
	CLEANUP(free_p) char *url = url_of(f->tls, "https", "/x");
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		const struct http_client_options o = {
			.ca_pem = cases[i].ca,
			.insecure = cases[i].insecure,
			.no_proxy = true,
			.cert_pem = cases[i].client == NULL ? NULL : cases[i].client->cert_pem,
			.key_pem = cases[i].client == NULL ? NULL : cases[i].client->key_pem};
		struct http_client *c = client_new(&o);
		for (int turn = 0; turn < 2; turn++) { /* the second one on the kept connection */
			struct http_answer a = {0};
			struct error err = {0};
			const struct http_call call = {.method = "GET", .url = url, .timeout_ns = 10 * NSEC_PER_SEC};
			const int rc = http_client_do(c, &call, &a, &err);
			if (rc != cases[i].rc || strstr(rc == 0 ? a.body : err.msg, cases[i].want) == NULL)
				fail_msg("case '%s': rc %d, body '%s', '%s'", cases[i].name, rc, rc == 0 ? a.body : "",
					 err.msg);
			http_answer_clear(&a);
		}
		http_client_free(c);
	}
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

static void test_errors(void **state)
{
	struct fixture *f = *state;
	uint16_t port = 0;
	CLEANUP(close_fd) int dead = dead_port(&port);
	(void)dead; /* holds the port */
	CLEANUP(free_p) char *refused = str_printf("http://user:secret@127.0.0.1:%u/p?sig=secret", port);
	CLEANUP(free_p) char *not_tls = url_of(f->plain, "https", "/x");
	static const struct http_header split[] = {{"X-A", "a\r\nX-B: b"}};
	const struct {
		const char *name, *url;
		size_t n_headers;
		int rc;
		const char *msg;
	} cases[] = {
		{"refused", refused, 0, -ECONNREFUSED, "GET http://127.0.0.1:"},
		{"no TLS there", not_tls, 0, -EKEYREJECTED, "GET https://127.0.0.1:"},
		{"unknown scheme", "ftp://127.0.0.1/x", 0, -EPROTO, "GET ftp://127.0.0.1/x: "},
		{"no such host", "http://name.invalid/", 0, -EHOSTUNREACH, "name.invalid"},
		{"line break in a header", refused, 1, -EINVAL, "line break in a request header"},
	};
	struct http_client *c = client_new(&(struct http_client_options){.no_proxy = true});
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct http_answer a = {0};
		struct error err = {0};
		const struct http_call call = {.method = "GET",
					       .url = cases[i].url,
					       .timeout_ns = 10 * NSEC_PER_SEC,
					       .headers = split,
					       .n_headers = cases[i].n_headers};
		const int rc = http_client_do(c, &call, &a, &err);
		if (rc != cases[i].rc || strstr(err.msg, cases[i].msg) == NULL || strstr(err.msg, "secret") != NULL)
			fail_msg("case '%s': rc %d, '%s'", cases[i].name, rc, err.msg);
	}
	http_client_free(c);
}

struct load {
	struct http_client *client;
	char *url;
	int failures;
};

static void *load_main(void *arg)
{
	struct load *l = arg;
	for (int i = 0; i < 50; i++) {
		struct http_answer a = {0};
		const struct http_call call = {
			.method = "POST", .url = l->url, .body = "x", .body_n = 1, .timeout_ns = 20 * NSEC_PER_SEC};
		l->failures += http_client_do(l->client, &call, &a, NULL) != 0 || a.status != 200;
		http_answer_clear(&a);
	}
	return NULL;
}

static void test_many_threads(void **state)
{
	struct fixture *f = *state;
	struct http_client *c =
		client_new(&(struct http_client_options){.ca_pem = f->ca.cert_pem, .no_proxy = true, .max_idle = 2});
	pthread_t threads[6];
	struct load loads[6];
	for (size_t i = 0; i < 6; i++) {
		loads[i] = (struct load){.client = c, .url = url_of(f->tls, "https", "/x")};
		assert_int_equal(pthread_create(&threads[i], NULL, load_main, &loads[i]), 0);
	}
	for (size_t i = 0; i < 6; i++) {
		pthread_join(threads[i], NULL);
		assert_int_equal(loads[i].failures, 0);
		free(loads[i].url);
	}
	http_client_free(c);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_methods), cmocka_unit_test(test_answers), cmocka_unit_test(test_cancel_and_stall),
		cmocka_unit_test(test_tls),     cmocka_unit_test(test_errors),  cmocka_unit_test(test_many_threads),
	};
	return cmocka_run_group_tests(tests, setup, teardown);
}
