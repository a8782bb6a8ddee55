/* Probes: thresholds, and asking over tcp and http. */
#include <netinet/in.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/error.h"
#include "base/str.h"
#include "local/agent_probe.h"
#include "net/http_client.h"
#include "net/http_server.h"
#include "json/json.h"

static struct probe *parse(enum probe_kind kind, const char *text)
{
	JSON_AUTO container = NULL;
	struct probe *p = NULL;
	struct error err = {0};
	if (json_parse(text, strlen(text), &container, &err) < 0 ||
	    probe_parse(container, kind, "127.0.0.1", &p, &err) < 0)
		fail_msg("%s: %s", text, err.msg);
	return p;
}

static void test_thresholds(void **state)
{
	(void)state;
	static const struct {
		const char *name, *probe, *answers, *want; /* answers: + -; want: . undecided, P passed, F failed */
	} cases[] = {
		{"defaults", "{}", "+-+---+", "P.P..FP"},
		{"success twice", "{\"successThreshold\":2,\"failureThreshold\":1}", "+-+++-", ".F.PPF"},
		{"again and again", "{\"failureThreshold\":2}", "----", ".FFF"},
		{"values that are none", "{\"successThreshold\":0,\"failureThreshold\":-1}", "---+", "..FP"},
	};
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		JSON_AUTO container = json_object();
		json_t *probe = json_loads(cases[i].probe, 0, NULL);
		(void)json_object_set_new(probe, "tcpSocket", json_pack("{s:i}", "port", 1));
		(void)json_object_set_new(container, "livenessProbe", probe);
		struct probe *p = NULL;
		assert_int_equal(probe_parse(container, PROBE_LIVENESS, "127.0.0.1", &p, NULL), 0);
		struct probe_counter c = {0};
		char got[16] = "";
		for (size_t k = 0; cases[i].answers[k] != '\0'; k++)
			got[k] = ".PF"[probe_count(p, &c, cases[i].answers[k] == '+')];
		if (strcmp(got, cases[i].want) != 0)
			fail_msg("%s: %s", cases[i].name, got);
		probe_free(p);
	}
}

static void test_times(void **state)
{
	(void)state;
	struct probe *p = parse(
		PROBE_READINESS,
		"{\"readinessProbe\":{\"initialDelaySeconds\":3,\"periodSeconds\":2,\"tcpSocket\":{\"port\":80}}}");
	assert_int_equal(probe_initial_delay_ns(p), 3 * NSEC_PER_SEC);
	assert_int_equal(probe_period_ns(p), 2 * NSEC_PER_SEC);
	assert_int_equal(probe_grace_seconds(p), -1);
	probe_free(p);
	p = parse(PROBE_STARTUP, "{\"startupProbe\":{\"periodSeconds\":0,\"tcpSocket\":{\"port\":80},"
				 "\"terminationGracePeriodSeconds\":5}}");
	assert_int_equal(probe_initial_delay_ns(p), 0);
	assert_int_equal(probe_period_ns(p), 10 * NSEC_PER_SEC);
	assert_int_equal(probe_grace_seconds(p), 5);
	probe_free(p);
	assert_null(parse(PROBE_LIVENESS, "{\"startupProbe\":{\"tcpSocket\":{\"port\":80}}}"));
}

static int listener(uint16_t *ret_port)
{
	const int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	struct sockaddr_in a = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	socklen_t len = sizeof a;
	assert_true(fd >= 0 && bind(fd, (struct sockaddr *)&a, sizeof a) == 0 && listen(fd, 4) == 0);
	assert_int_equal(getsockname(fd, (struct sockaddr *)&a, &len), 0);
	*ret_port = ntohs(a.sin_port);
	return fd;
}

static void test_tcp(void **state)
{
	(void)state;
	uint16_t port = 0;
	const int fd = listener(&port);
	CLEANUP(free_p)
	char *text = str_printf("{\"ports\":[{\"name\":\"x\",\"containerPort\":%d}],\"livenessProbe\":{\"tcpSocket\":{"
				"\"port\":\"x\"}}}",
				port);
	struct probe *p = parse(PROBE_LIVENESS, text);
	char msg[200];
	assert_true(probe_ask(p, NULL, NULL, "", msg, sizeof msg));
	(void)close(fd);
	assert_false(probe_ask(p, NULL, NULL, "", msg, sizeof msg));
	CLEANUP(free_p) char *want = str_printf("dial tcp 127.0.0.1:%d: Connection refused", port);
	assert_string_equal(msg, want);
	probe_free(p);
}

static void serve(void *ctx, struct http_exchange *x)
{
	(void)ctx;
	const char *path = http_exchange_request(x)->path;
	const char *seen = http_exchange_header(x, "X-Probe");
	static char large[64 << 10];
	if (strcmp(path, "/large") == 0)
		http_reply(x, 200, "text/plain", large, sizeof large);
	else if (strcmp(path, "/moved") == 0)
		http_reply(x, 302, "text/plain", "", 0);
	else
		http_reply(x, strcmp(path, "/ok") == 0 && seen != NULL && strcmp(seen, "yes") == 0 ? 200 : 503,
			   "text/plain", "", 0);
}

static void test_http(void **state)
{
	(void)state;
	struct http_server *server = NULL;
	struct http_client *client = NULL;
	struct error err = {0};
	assert_int_equal(
		http_server_new(&(struct http_server_options){.address = "127.0.0.1", .handler = serve}, &server, &err),
		0);
	assert_int_equal(http_client_new(&(struct http_client_options){.no_proxy = true}, &client, &err), 0);
	static const struct {
		const char *path;
		bool ok;
		const char *msg;
	} cases[] = {
		{"/ok", true, ""},    {"ok", true, ""},
		{"/large", true, ""}, /* only the status counts */
		{"/moved", true, ""}, {"/bad", false, "HTTP probe failed with statuscode: 503"},
	};
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		CLEANUP(free_p)
		char *text = str_printf(
			"{\"readinessProbe\":{\"timeoutSeconds\":10,\"httpGet\":{\"path\":\"%s\",\"port\":%d,"
			"\"httpHeaders\":[{\"name\":\"X-Probe\",\"value\":\"yes\"}]}}}",
			cases[i].path, http_server_port(server));
		struct probe *p = parse(PROBE_READINESS, text);
		char msg[200];
		const bool ok = probe_ask(p, NULL, client, "", msg, sizeof msg);
		if (ok != cases[i].ok || strcmp(msg, cases[i].msg) != 0)
			fail_msg("%s: %d '%s'", cases[i].path, ok, msg);
		probe_free(p);
	}
	http_client_free(client);
	http_server_free(server);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_thresholds),
		cmocka_unit_test(test_times),
		cmocka_unit_test(test_tcp),
		cmocka_unit_test(test_http),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
