/* Exec against a server that plays the container: the command's first word says what it does. */
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
#include "base/file.h"
#include "base/strbuf.h"
#include "kube/client.h"
#include "kube/config.h"
#include "kube/exec.h"
#include "net/http_server.h"
#include "net/websocket_server.h"

#define SUCCESS "\3{\"status\":\"Success\"}"
#define EXIT(code)                                                                                                     \
	"\3{\"status\":\"Failure\",\"reason\":\"NonZeroExitCode\",\"message\":\"command terminated\",\"details\":{"    \
	"\"causes\":[{\"reason\":\"ExitCode\",\"message\":\"" code "\"}]}}"

struct container {
	const char *const *protocols;
	const char *script; /* what it does, until the test sets another */
	const char *token;  /* wanted; NULL: any */
	char query[2048], path[256];
	struct strbuf in; /* loop thread; read when the exec has ended */
	struct http_server *http;
	struct kube_client *client;
};

static void say(struct websocket_peer *p, const char *message)
{
	(void)websocket_peer_send(p, false, message, strlen(message)); /* a client that is gone is part of some cases */
}

static void on_message(void *ctx, struct websocket_peer *p, bool text, const void *data, size_t n)
{
	struct container *k = ctx;
	const unsigned char *b = data;
	(void)text;
	if (n > 0 && b[0] == 0)
		strbuf_add(&k->in, b + 1, n - 1);
	if (n == 2 && b[0] == 255 && b[1] == 0 && strcmp(k->script, "cat") == 0) {
		char size[32];
		(void)snprintf(size, sizeof size, "\1%zu", k->in.n);
		say(p, size);
		say(p, SUCCESS);
	}
}

static void play(struct container *k, struct websocket_peer *p)
{
	if (strcmp(k->script, "true") == 0) {
		(void)websocket_peer_send(p, false, "\1", 1);
		(void)websocket_peer_send(p, false, "\2", 1);
		(void)websocket_peer_send(p, false, "\3", 1);
		(void)websocket_peer_send(p, false, "", 0);
		say(p, "\1hel");
		say(p, "\2oops");
		say(p, "\1lo");
		say(p, SUCCESS);
	} else if (strcmp(k->script, "three") == 0) {
		say(p, EXIT("3"));
	} else if (strcmp(k->script, "bad code") == 0) {
		say(p, EXIT("x"));
	} else if (strcmp(k->script, "internal") == 0) {
		say(p, "\3{\"status\":\"Failure\",\"reason\":\"InternalError\",\"message\":\"no such "
		       "file\",\"code\":500}");
	} else if (strcmp(k->script, "no json") == 0) {
		say(p, "\3hello");
	} else if (strcmp(k->script, "alien") == 0) {
		say(p, "\7x");
	} else if (strcmp(k->script, "close") == 0) {
		websocket_peer_close(p, 1011, "no");
	} else if (strcmp(k->script, "much") == 0) {
		char big[4096];
		memset(big, 'x', sizeof big);
		big[0] = 1;
		(void)websocket_peer_send(p, false, big, sizeof big);
		(void)websocket_peer_send(p, false, big, sizeof big);
	}
}

static void handler(void *ctx, struct http_exchange *x)
{
	struct container *k = ctx;
	static const char status[] =
		"{\"kind\":\"Status\",\"reason\":\"NotFound\",\"message\":\"pods \\\"x\\\" not found\"}";
	(void)snprintf(k->query, sizeof k->query, "%s", http_exchange_request(x)->raw_query);
	(void)snprintf(k->path, sizeof k->path, "%s", http_exchange_request(x)->path);
	const char *auth = http_exchange_header(x, "Authorization");
	if (k->token != NULL && (auth == NULL || strcmp(auth, k->token) != 0)) {
		k->token = "Bearer second";
		http_reply(x, 401, NULL, "", 0);
		return;
	}
	if (strcmp(k->script, "not found") == 0) {
		http_reply(x, 404, "application/json", status, sizeof status - 1);
		return;
	}
	if (strcmp(k->script, "no websocket") == 0) {
		http_reply(x, 200, "text/plain", "hello", 5);
		return;
	}
	const struct websocket_accept_options o = {
		.protocols = k->protocols, .max_message = 1 << 20, .on_message = on_message, .ctx = k};
	struct websocket_peer *p = NULL;
	struct error e = {0};
	if (websocket_accept(x, &o, &p, &e) < 0)
		fail_msg("%s", e.msg);
	play(k, p);
	websocket_peer_unref(p);
}

static const char *const both[] = {"v5.channel.k8s.io", "v4.channel.k8s.io", NULL};

static void begin(struct container *k, const char *script, const char *token_file)
{
	*k = (struct container){.protocols = both, .script = script, .in = STRBUF_INIT(32 << 20)};
	struct error e = {0};
	const struct http_server_options o = {.address = "127.0.0.1", .handler = handler, .ctx = k};
	if (http_server_new(&o, &k->http, &e) < 0)
		fail_msg("%s", e.msg);
	char url[64];
	(void)snprintf(url, sizeof url, "http://127.0.0.1:%u", http_server_port(k->http));
	const struct kube_config cfg = {.server = url, .ns = (char *)"default", .token_file = (char *)token_file};
	if (kube_client_new(&cfg, NULL, &k->client, &e) < 0)
		fail_msg("%s", e.msg);
}

static void finish(struct container *k)
{
	kube_client_free(k->client);
	http_server_free(k->http);
	strbuf_clear(&k->in);
}

static void results(void **state)
{
	(void)state;
	static const struct {
		const char *script, *protocol; /* NULL: both */
		int rc, status;
		const char *msg, *in;
		int64_t timeout_ns;
	} cases[] = {
		{"true", NULL, 0, 0, NULL, NULL, 0},
		{"true", "v4.channel.k8s.io", 0, 0, NULL, NULL, 0},
		{"three", NULL, 0, 3, NULL, NULL, 0},
		{"cat", NULL, 0, 0, NULL, "abc", 0},
		{"cat", NULL, 0, 0, NULL, "", 0},
		{"cat", "v4.channel.k8s.io", -EOPNOTSUPP, 0,
		 "exec in pod team/p: the server speaks only v4.channel.k8s.io, which cannot end stdin", "abc", 0},
		{"bad code", NULL, -EIO, 0, "exec in pod team/p: the server: command terminated", NULL, 0},
		{"internal", NULL, -EIO, 0, "exec in pod team/p: the server: no such file", NULL, 0},
		{"no json", NULL, -EPROTO, 0, "exec in pod team/p: the command's status is no JSON", NULL, 0},
		{"alien", NULL, -EPROTO, 0, "exec in pod team/p: the server uses a channel that does not exist", NULL,
		 0},
		{"close", NULL, -ECONNRESET, 0,
		 "exec in pod team/p: the connection ended (close code 1011) before the command's status came", NULL,
		 0},
		{"much", NULL, -EFBIG, 0, "exec in pod team/p: more than 5000 bytes of output", NULL, 0},
		{"not found", NULL, -ENOENT, 0, "exec in pod team/p: pods \"x\" not found", NULL, 0},
		{"no websocket", NULL, -EPROTO, 0, "exec in pod team/p: the server answered HTTP 200, not a websocket",
		 NULL, 0},
		{"hang", NULL, -ETIMEDOUT, 0, "exec in pod team/p: the command did not end in time", NULL,
		 300 * NSEC_PER_MSEC},
	};
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct container k;
		begin(&k, cases[i].script, NULL);
		const char *const one[] = {cases[i].protocol, NULL};
		if (cases[i].protocol != NULL)
			k.protocols = one;
		static const char *const argv[] = {"run it", "a&b", "", "\xc3\xa9", NULL};
		const struct kube_exec_options o = {.ns = "team",
						    .pod = "p",
						    .container = "c",
						    .argv = argv,
						    .in = cases[i].in,
						    .in_n = cases[i].in != NULL ? strlen(cases[i].in) : 0,
						    .max_output = 5000,
						    .timeout_ns = cases[i].timeout_ns};
		struct kube_exec_result r = {0};
		struct error e = {0};
		const int rc = kube_exec(k.client, &o, &r, &e);
		if (rc != cases[i].rc || r.status != cases[i].status || (rc < 0 && strcmp(e.msg, cases[i].msg) != 0))
			fail_msg("'%s': %d, status %d, '%s'", cases[i].script, rc, r.status, e.msg);
		assert_string_equal(k.path, "/api/v1/namespaces/team/pods/p/exec");
		char query[256];
		(void)snprintf(query, sizeof query,
			       "stdout=true&stderr=true&stdin=%s&container=c&command=run%%20it&command=a%%26b&command=&"
			       "command=%%C3%%A9",
			       cases[i].in != NULL ? "true" : "false");
		assert_string_equal(k.query, query);
		if (rc == 0 && strcmp(cases[i].script, "true") == 0) {
			assert_string_equal(r.out, "hello");
			assert_string_equal(r.err, "oops");
			assert_int_equal(r.out_n, 5);
		}
		if (rc == 0 && cases[i].in != NULL) {
			char size[32];
			(void)snprintf(size, sizeof size, "%zu", strlen(cases[i].in));
			assert_string_equal(r.out, size);
		}
		kube_exec_result_clear(&r);
		finish(&k);
	}
}

static void much_stdin(void **state)
{
	(void)state;
	struct container k;
	begin(&k, "cat", NULL);
	const size_t n = 10 << 20;
	CLEANUP(free_p) char *in = malloc(n);
	assert_non_null(in);
	for (size_t i = 0; i < n; i++)
		in[i] = (char)(i * 7 + i / 4096);
	static const char *const argv[] = {"cat", NULL};
	const struct kube_exec_options o = {.ns = "team", .pod = "p", .argv = argv, .in = in, .in_n = n};
	struct kube_exec_result r = {0};
	struct error e = {0};
	if (kube_exec(k.client, &o, &r, &e) < 0)
		fail_msg("%s", e.msg);
	assert_string_equal(r.out, "10485760");
	assert_int_equal(r.status, 0);
	assert_memory_equal(k.in.p, in, n);
	kube_exec_result_clear(&r);
	finish(&k);
}

static void what_cannot_be_asked(void **state)
{
	(void)state;
	struct container k;
	begin(&k, "true", NULL);
	CLEANUP(free_p) char *big = malloc(70000);
	assert_non_null(big);
	memset(big, 'x', 69999);
	big[69999] = '\0';
	const char *const empty[] = {NULL}, *const longer[] = {"echo", big, NULL}, *const one[] = {"true", NULL};
	struct kube_exec_result r = {0};
	struct error e = {0};
	struct kube_exec_options o = {.ns = "team", .pod = "p", .argv = empty};
	assert_int_equal(kube_exec(k.client, &o, &r, &e), -EINVAL);
	assert_string_equal(e.msg, "exec: there is no command");
	o.argv = longer;
	assert_int_equal(kube_exec(k.client, &o, &r, &e), -E2BIG);
	assert_string_equal(e.msg, "exec: the command is too long; give what is long by stdin");
	atomic_bool cancel = true;
	o.argv = one;
	o.cancel = &cancel;
	k.script = "hang";
	assert_int_equal(kube_exec(k.client, &o, &r, &e), -ECANCELED);
	assert_string_equal(e.msg, "exec in pod team/p: stopped");
	finish(&k);
}

static void rotated_token_is_read_again(void **state)
{
	(void)state;
	char path[] = "/tmp/test-exec-XXXXXX";
	const int fd = mkstemp(path);
	assert_true(fd >= 0);
	assert_int_equal(file_write_all(fd, "first", 5), 0);
	struct container k;
	begin(&k, "true", path);
	static const char *const argv[] = {"true", NULL};
	const struct kube_exec_options o = {.ns = "team", .pod = "p", .argv = argv};
	struct kube_exec_result r = {0};
	struct error e = {0};
	k.token = "Bearer first";
	assert_int_equal(kube_exec(k.client, &o, &r, &e), 0);
	kube_exec_result_clear(&r);
	/* The server has moved on, and so has the file. */
	assert_int_equal(file_write_atomic(path, 0600, "second\n", 7, &e), 0);
	k.token = "Bearer second";
	if (kube_exec(k.client, &o, &r, &e) < 0)
		fail_msg("%s", e.msg);
	kube_exec_result_clear(&r);
	k.token = "Bearer third";
	assert_int_equal(kube_exec(k.client, &o, &r, &e), 0); /* handler(): after one refusal "second" is right */
	kube_exec_result_clear(&r);
	finish(&k);
	close(fd);
	unlink(path);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(results),
		cmocka_unit_test(much_stdin),
		cmocka_unit_test(what_cannot_be_asked),
		cmocka_unit_test(rotated_token_is_read_again),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
