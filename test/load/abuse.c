/*
 * Clients that behave badly, and one that behaves well beside them. usage: abuse SLUICE-BINARY
 *
 * Each case leaves its connections open while the well-behaved client writes, reads and lists: it gets its answers within a bound of time, and the
 * server's memory stays within a bound too. In the end the server stops cleanly.
 */
#include <errno.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/error.h"
#include "base/file.h"
#include "base/str.h"
#include "connection.h"
#include "kube/client.h"
#include "kube/config.h"
#include "server.h"
#include "json/json.h"

#define SILENT       1000 /* connections that never say a word */
#define SLOW         150  /* that stop in the middle */
#define WATCHES      200
#define ANSWER_NS    (20 * NSEC_PER_SEC) /* of three calls, with sanitizers, on a busy machine */
#define MEMORY_MAX   700                 /* MiB; sanitizers keep what is freed for a while */
#define LARGE        400000
#define GREEDY       300  /* requests of one client at a time */
#define OBJECTS      200  /* that each of its lists looks at */
#define ANSWER_BYTES 4096 /* fewer are no answer to it, but what TLS says by itself */

static struct load_server server;
static struct kube_config *cfg;
static struct load_connection *connections[GREEDY];
static int sockets[SILENT];
static size_t n_connections, n_sockets;
static int64_t slowest_ns;
static unsigned number;

__attribute__((noreturn)) static void die(const char *what, const char *why)
{
	(void)fprintf(stderr, "abuse: %s: %s\nthe server's log: %s\n", what, why, server.log);
	load_server_kill(&server);
	exit(1);
}

static struct load_connection *open_connection(void)
{
	struct error err = {0};
	struct load_connection *c = NULL;
	if (load_connect(cfg, &c, &err) < 0)
		die("connect", err.msg);
	return c;
}

static void close_all(void)
{
	while (n_connections > 0)
		load_disconnect(connections[--n_connections]);
	while (n_sockets > 0)
		(void)close(sockets[--n_sockets]);
}

/** Resident memory of the server in MiB. */
static long memory(void)
{
	char path[64];
	CLEANUP(free_p) char *text = NULL;
	(void)snprintf(path, sizeof path, "/proc/%d/status", (int)server.process.pid);
	if (file_read(path, 65536, &text, NULL, NULL) < 0)
		die("memory", "the server is gone");
	const char *at = strstr(text, "VmRSS:");
	return at != NULL ? strtol(at + 6, NULL, 10) / 1024 : 0;
}

/** Write, read, list, as ever. */
static void behave_well(const char *beside)
{
	static const char collection[] = "/api/v1/namespaces/default/configmaps";
	char body[256], path[128];
	int64_t from = clock_mono_ns();
	struct load_connection *c = open_connection();
	(void)snprintf(body, sizeof body, "{\"metadata\":{\"name\":\"good-%u\"},\"data\":{\"a\":\"b\"}}", number);
	(void)snprintf(path, sizeof path, "%s/good-%u", collection, number++);
	bool ok = load_ask(c, "POST", collection, NULL, body) == 201 && load_ask(c, "GET", path, NULL, NULL) == 200 &&
		  load_ask(c, "GET", "/api/v1/namespaces", NULL, NULL) == 200;
	load_disconnect(c);
	int64_t took = clock_mono_ns() - from;
	if (took > slowest_ns)
		slowest_ns = took;
	if (!ok || took > ANSWER_NS)
		die(beside, ok ? "the well-behaved client waited too long" : "the well-behaved client got no answer");
	if (memory() > MEMORY_MAX)
		die(beside, "the server takes too much memory");
}

static void silent_connections(void)
{
	const char *colon = strrchr(cfg->server, ':');
	uint64_t port = 0;
	(void)str_to_u64(colon + 1, &port);
	const struct sockaddr_in to = {
		.sin_family = AF_INET, .sin_port = htons((uint16_t)port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	while (n_sockets < SILENT) {
		int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
		if (fd < 0 || connect(fd, (const struct sockaddr *)&to, sizeof to) < 0)
			die("silent connections", strerror(errno));
		sockets[n_sockets++] = fd;
	}
}

/** Connections that send @text and stop. */
static void stop_behind(const char *text, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		struct load_connection *c = open_connection();
		if (load_send(c, text, strlen(text)) < 0)
			die("send", "refused");
		connections[n_connections++] = c;
	}
}

static void expect(const char *what, const char *text, size_t n, int want, const char *reason)
{
	struct load_connection *c = open_connection();
	(void)load_send(c, text, n); /* the answer may come, and the connection close, before all is sent */
	int status = load_answer(c);
	if (status != want || strstr(load_body(c, NULL), reason) == NULL)
		die(what, load_body(c, NULL));
	load_disconnect(c);
}

static void too_large(void)
{
	static char text[200 + 100000];
	int n = snprintf(text, sizeof text,
			 "POST /api/v1/namespaces/default/configmaps HTTP/1.1\r\nHost: h\r\nContent-Length: %u\r\n\r\n",
			 (3u << 20) + 1);
	expect("a body over 3 MiB", text, (size_t)n, 413, "RequestEntityTooLarge");
	n = snprintf(text, sizeof text, "GET /api HTTP/1.1\r\nHost: h\r\nX: ");
	memset(text + n, 'x', 100000);
	expect("a head over 64 KiB", text, (size_t)n + 100000, 431, "");
}

static void cut_requests(void)
{
	static const char text[] =
		"POST /api/v1/namespaces/default/configmaps HTTP/1.1\r\nHost: h\r\nContent-Length: 50\r\n\r\n{\"metadata\":{";
	for (size_t n = 1; n < sizeof text; n += 3) {
		struct load_connection *c = open_connection();
		(void)load_send(c, text, n);
		load_disconnect(c);
	}
}

/** Watchers that do not read while more is written than the server keeps for one. */
static void deaf_watchers(size_t watchers, int writes)
{
	CLEANUP(free_p) char *body = malloc(LARGE + 256);
	if (body == NULL)
		die("deaf watchers", "out of memory");
	for (size_t i = 0; i < watchers; i++) {
		struct load_connection *c = open_connection();
		if (load_watch(c, "/api/v1/namespaces/kube-public/configmaps?watch=true&resourceVersion=0") != 200)
			die("watch", "refused");
		connections[n_connections++] = c;
	}
	struct load_connection *c = open_connection();
	for (int i = 0; i < writes; i++) {
		int n = snprintf(body, 256,
				 "{\"metadata\":{\"name\":\"large\"},\"data\":{\"number\":\"%d\",\"text\":\"", i);
		memset(body + n, 'x', LARGE);
		memcpy(body + n + LARGE, "\"}}", 4);
		int status = i == 0 ? load_ask(c, "POST", "/api/v1/namespaces/kube-public/configmaps", NULL, body)
				    : load_ask(c, "PUT", "/api/v1/namespaces/kube-public/configmaps/large", NULL, body);
		if (status != 200 && status != 201)
			die("write beside deaf watchers", load_body(c, NULL));
		if (i % 50 == 49)
			behave_well("deaf watchers");
	}
	load_disconnect(c);
}

/** Ask as the administrator, for the answer @want. */
static void must(const char *method, const char *path, const char *body, int want)
{
	struct load_connection *c = open_connection();
	const int status = load_ask(c, method, path, NULL, body);
	if (status != want)
		die(path, load_body(c, NULL));
	load_disconnect(c);
}

/** The head of a request that takes the server a while, by somebody else than the administrator. */
static char *greedy_request(void)
{
	char body[128];
	must("POST", "/apis/rbac.authorization.k8s.io/v1/clusterrolebindings",
	     "{\"metadata\":{\"name\":\"greedy\"},\"roleRef\":{\"apiGroup\":\"rbac.authorization.k8s.io\",\"kind\":"
	     "\"ClusterRole\",\"name\":\"view\"},\"subjects\":[{\"kind\":\"ServiceAccount\",\"name\":\"greedy\","
	     "\"namespace\":\"kube-public\"}]}",
	     201);
	must("POST", "/api/v1/namespaces/kube-public/serviceaccounts", "{\"metadata\":{\"name\":\"greedy\"}}", 201);
	struct load_connection *c = open_connection();
	for (int i = 0; i < OBJECTS; i++) {
		(void)snprintf(
			body, sizeof body,
			"{\"metadata\":{\"name\":\"object-%d\",\"labels\":{\"some\":\"%s\"}},\"data\":{\"a\":\"b\"}}",
			i, i % 10 == 0 ? "yes" : "no");
		if (load_ask(c, "POST", "/api/v1/namespaces/kube-node-lease/configmaps", NULL, body) != 201)
			die("greedy client", load_body(c, NULL));
	}
	const int status =
		load_ask(c, "POST", "/api/v1/namespaces/kube-public/serviceaccounts/greedy/token", NULL,
			 "{\"apiVersion\":\"authentication.k8s.io/v1\",\"kind\":\"TokenRequest\",\"spec\":{}}");
	JSON_AUTO answer = status == 201 ? json_loads(load_body(c, NULL), 0, NULL) : NULL;
	const char *token = json_str(answer, "status.token", NULL);
	char *text = token == NULL
			     ? NULL
			     : str_printf("GET /api/v1/namespaces/kube-node-lease/configmaps?labelSelector=some%%3Dyes "
					  "HTTP/1.1\r\nHost: h\r\nAuthorization: Bearer %s\r\n\r\n",
					  token);
	if (text == NULL)
		die("greedy client", load_body(c, NULL));
	load_disconnect(c);
	return text;
}

/** How many of the open connections have their answer, or its beginning. */
static size_t answered(void)
{
	size_t n = 0;
	for (size_t i = 0; i < n_connections; i++)
		n += load_waiting(connections[i]) >= ANSWER_BYTES;
	return n;
}

/**
 * One client fills the queue: the others go on beside it, not after it. When the well-behaved one has its answers, most of the greedy one's
 * requests still wait.
 */
static void greedy_client(void)
{
	CLEANUP(free_p) char *request = greedy_request();
	struct kube_config *const own = cfg;
	struct kube_config without = *own;
	without.cert_pem = without.key_pem = without.token = NULL;
	cfg = &without; /* open_connection() is the greedy one's */
	while (n_connections < GREEDY)
		connections[n_connections++] = open_connection();
	cfg = own;
	const size_t n = strlen(request);
	for (size_t i = 0; i < n_connections; i++)
		if (load_send(connections[i], request, n) < 0)
			die("a greedy client", "cannot send");
	behave_well("a greedy client");
	const size_t done = answered();
	if (done > GREEDY / 2)
		die("a greedy client", "the well-behaved client had to wait until its requests were answered");
	/* And it gets its answers too. */
	for (size_t i = 0; i < n_connections; i++)
		if (load_answer(connections[i]) != 200)
			die("a greedy client", "an answer is missing");
}

static void all_cases(void)
{
	behave_well("nobody");
	silent_connections();
	behave_well("silent connections");
	close_all();
	stop_behind("GET /api/v1/names", SLOW);
	behave_well("half heads");
	close_all();
	stop_behind(
		"POST /api/v1/namespaces/default/configmaps HTTP/1.1\r\nHost: h\r\nContent-Length: 3000000\r\n\r\n{\"metadata\":",
		SLOW);
	behave_well("half bodies");
	close_all();
	cut_requests();
	behave_well("cut requests");
	too_large();
	behave_well("large requests");
	deaf_watchers(2, 170);
	behave_well("deaf watchers");
	close_all();
	deaf_watchers(WATCHES, 0);
	behave_well("many watches");
	close_all();
	greedy_client();
	close_all();
}

int main(int argc, char **argv)
{
	struct error err = {0};
	struct rlimit files = {0};
	if (argc != 2) {
		(void)fprintf(stderr, "usage: abuse SLUICE-BINARY\n");
		return 2;
	}
	(void)getrlimit(RLIMIT_NOFILE, &files);
	files.rlim_cur = files.rlim_max; /* the server inherits it */
	(void)setrlimit(RLIMIT_NOFILE, &files);
	if (files.rlim_cur < SILENT + 200) {
		(void)fprintf(stderr, "abuse: needs %d open files, the limit is %lu\n", SILENT + 200,
			      (unsigned long)files.rlim_cur);
		return 77;
	}
	int rc = load_server_init(&server, argv[1], &err);
	if (rc == 0)
		rc = load_server_spawn(&server, &err);
	if (rc == 0)
		rc = load_server_ready(&server, &err);
	if (rc == 0)
		rc = kube_config_load(server.kubeconfig, NULL, &cfg, &err);
	if (rc < 0)
		die("start", err.msg);
	all_cases();
	kube_config_free(cfg);
	long mib = memory();
	int status = load_server_stop(&server);
	if (status != 0)
		die("stop", "the server did not end cleanly");
	(void)printf("abuse: the well-behaved client waited %lld ms at most; the server has %ld MiB in the end\n",
		     (long long)(slowest_ns / NSEC_PER_MSEC), mib);
	load_server_clear(&server);
	return 0;
}
