#include "local/agent_probe.h"

#include <fcntl.h>
#include <netdb.h>
#include <netinet/in.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/error.h"
#include "base/process.h"
#include "base/str.h"
#include "local/agent_runtime.h"
#include "net/http_client.h"
#include "json/json.h"

#define OUTPUT_MAX  (64u << 10)
#define BODY_MAX    (10u << 10)
#define HEADERS_MAX 64
#define ARGV_MAX    1024
#define SECONDS_MAX 86400

const char *const probe_kind_name[PROBE_KINDS] = {"Startup", "Readiness", "Liveness"};
static const char *const probe_field[PROBE_KINDS] = {"startupProbe", "readinessProbe", "livenessProbe"};

struct probe {
	enum { ASK_EXEC, ASK_HTTP, ASK_TCP } type;
	char **argv;      /* exec; NULL at the end */
	char *url, *host; /* http, tcp */
	char port[8];
	struct http_header *headers;
	size_t n_headers;
	int64_t initial_delay_ns, timeout_ns, period_ns, grace_seconds;
	int success_threshold, failure_threshold;
};

void probe_free(struct probe *p)
{
	if (p == NULL)
		return;
	for (size_t i = 0; p->argv != NULL && p->argv[i] != NULL; i++)
		free(p->argv[i]);
	for (size_t i = 0; i < p->n_headers; i++) {
		free((char *)p->headers[i].name);
		free((char *)p->headers[i].value);
	}
	free(p->argv);
	free(p->headers);
	free(p->url);
	free(p->host);
	free(p);
}

static void probe_free_p(struct probe **p)
{
	probe_free(*p);
}

static int64_t seconds_at(const json_t *probe, const char *field, int64_t dflt, int64_t min)
{
	const int64_t v = json_int(probe, field, dflt);
	return (v < min ? dflt : v > SECONDS_MAX ? SECONDS_MAX : v) * NSEC_PER_SEC;
}

static int count_at(const json_t *probe, const char *field, int dflt)
{
	const int64_t v = json_int(probe, field, dflt);
	return v < 1 || v > INT32_MAX ? dflt : (int)v;
}

static int find_port(const json_t *container, const json_t *port, char out[static 8], struct error *err)
{
	int64_t n = json_is_integer(port) ? json_integer_value(port) : 0;
	const char *name = json_string_value(port);
	size_t i;
	const json_t *p;
	if (name != NULL && str_to_i64(name, &n) < 0)
		json_array_foreach (json_object_get(container, "ports"), i, p)
			if (str_same(json_str(p, "name", NULL), name))
				n = json_int(p, "containerPort", 0);
	if (n < 1 || n > 65535)
		return error_set(err, -EINVAL, "port: '%s' is neither a port nor the name of one",
				 name != NULL ? name : "");
	(void)snprintf(out, 8, "%d", (int)n);
	return 0;
}

static int parse_exec(struct probe *p, const json_t *exec, struct error *err)
{
	const json_t *command = json_object_get(exec, "command");
	const size_t n = json_array_size(command);
	if (n == 0 || n > ARGV_MAX)
		return error_set(err, -EINVAL, "exec.command must have from 1 to %d words", ARGV_MAX);
	p->argv = calloc(n + 1, sizeof *p->argv);
	for (size_t i = 0; p->argv != NULL && i < n; i++) {
		p->argv[i] = strdup(json_string_value(json_array_get(command, i)) ?: "");
		if (p->argv[i] == NULL)
			return error_set(err, -ENOMEM, "out of memory");
	}
	return p->argv != NULL ? 0 : error_set(err, -ENOMEM, "out of memory");
}

static int parse_headers(struct probe *p, const json_t *list, struct error *err)
{
	const size_t n = json_array_size(list);
	if (n > HEADERS_MAX)
		return error_set(err, -EINVAL, "httpGet.httpHeaders: more than %d", HEADERS_MAX);
	p->headers = calloc(n + 1, sizeof *p->headers);
	for (size_t i = 0; p->headers != NULL && i < n; i++) {
		const json_t *h = json_array_get(list, i);
		p->headers[i] = (struct http_header){.name = strdup(json_str(h, "name", "")),
						     .value = strdup(json_str(h, "value", ""))};
		p->n_headers = i + 1;
		if (p->headers[i].name == NULL || p->headers[i].value == NULL)
			return error_set(err, -ENOMEM, "out of memory");
	}
	return p->headers != NULL ? 0 : error_set(err, -ENOMEM, "out of memory");
}

static int parse_http(struct probe *p, const json_t *container, const json_t *get, const char *address,
		      struct error *err)
{
	int rc = find_port(container, json_object_get(get, "port"), p->port, err);
	rc = rc ?: parse_headers(p, json_object_get(get, "httpHeaders"), err);
	if (rc < 0)
		return rc;
	const char *path = json_str(get, "path", "/");
	const bool https = strcmp(json_str(get, "scheme", "HTTP"), "HTTPS") == 0;
	p->url = str_printf("%s://%s:%s%s%s", https ? "https" : "http", json_str(get, "host", address), p->port,
			    *path == '/' ? "" : "/", path);
	return p->url != NULL ? 0 : error_set(err, -ENOMEM, "out of memory");
}

static int parse_tcp(struct probe *p, const json_t *container, const json_t *tcp, const char *address,
		     struct error *err)
{
	p->host = strdup(json_str(tcp, "host", address));
	return p->host != NULL ? find_port(container, json_object_get(tcp, "port"), p->port, err)
			       : error_set(err, -ENOMEM, "out of memory");
}

static int parse_action(struct probe *p, const json_t *container, const json_t *j, const char *address,
			struct error *err)
{
	const json_t *part;
	if ((part = json_object_get(j, "exec")) != NULL) {
		p->type = ASK_EXEC;
		return parse_exec(p, part, err);
	}
	if ((part = json_object_get(j, "httpGet")) != NULL) {
		p->type = ASK_HTTP;
		return parse_http(p, container, part, address, err);
	}
	if ((part = json_object_get(j, "tcpSocket")) != NULL) {
		p->type = ASK_TCP;
		return parse_tcp(p, container, part, address, err);
	}
	return error_set(err, -EINVAL, "only exec, httpGet and tcpSocket work here");
}

int probe_parse(const json_t *container, enum probe_kind kind, const char *address, struct probe **ret,
		struct error *err)
{
	const json_t *j = json_object_get(container, probe_field[kind]);
	*ret = NULL;
	if (!json_is_object(j))
		return 0;
	CLEANUP(probe_free_p) struct probe *p = calloc(1, sizeof *p);
	if (p == NULL)
		return error_set(err, -ENOMEM, "%s: out of memory", probe_field[kind]);
	p->initial_delay_ns = seconds_at(j, "initialDelaySeconds", 0, 0);
	p->timeout_ns = seconds_at(j, "timeoutSeconds", 1, 1);
	p->period_ns = seconds_at(j, "periodSeconds", 10, 1);
	p->success_threshold = count_at(j, "successThreshold", 1);
	p->failure_threshold = count_at(j, "failureThreshold", 3);
	p->grace_seconds = json_int(j, "terminationGracePeriodSeconds", -1);
	const int rc = parse_action(p, container, j, address, err);
	if (rc < 0)
		return error_wrap(err, rc, "%s", probe_field[kind]);
	*ret = TAKE(p);
	return 0;
}

int64_t probe_initial_delay_ns(const struct probe *p)
{
	return p->initial_delay_ns;
}

int64_t probe_period_ns(const struct probe *p)
{
	return p->period_ns;
}

int64_t probe_grace_seconds(const struct probe *p)
{
	return p->grace_seconds;
}

static bool ask_exec(const struct probe *p, const struct agent_paths *paths, const char *id, char *msg, size_t size)
{
	struct process_result r = {0};
	struct error err = {0};
	const int rc = runtime_exec(paths, id, (const char *const *)p->argv, OUTPUT_MAX, p->timeout_ns, &r, &err);
	if (rc == -ETIMEDOUT) {
		(void)snprintf(msg, size, "command timed out after %lld s", (long long)(p->timeout_ns / NSEC_PER_SEC));
		return false;
	}
	if (rc < 0) {
		(void)snprintf(msg, size, "%s", err.msg);
		return false;
	}
	if (r.status != 0)
		(void)snprintf(msg, size, "%.*s%.*s", 200, r.out, 200, r.err);
	const bool ok = r.status == 0;
	process_result_clear(&r);
	return ok;
}

struct http_seen {
	int status;
	size_t n;
};

static int on_head(void *ctx, int status, const struct http_header *headers, size_t n)
{
	(void)headers;
	(void)n;
	((struct http_seen *)ctx)->status = status;
	return 0;
}

static int on_data(void *ctx, const void *data, size_t n)
{
	(void)data;
	struct http_seen *s = ctx;
	s->n += n;
	return s->n > BODY_MAX ? -ECANCELED : 0; /* the status is all that counts */
}

static bool ask_http(const struct probe *p, struct http_client *http, char *msg, size_t size)
{
	struct http_seen seen = {0};
	struct http_answer answer = {0};
	struct error err = {0};
	const struct http_call call = {.method = "GET",
				       .url = p->url,
				       .headers = p->headers,
				       .n_headers = p->n_headers,
				       .connect_timeout_ns = p->timeout_ns,
				       .timeout_ns = p->timeout_ns,
				       .on_head = on_head,
				       .on_data = on_data,
				       .ctx = &seen};
	const int rc = http_client_do(http, &call, &answer, &err);
	if (rc == 0) {
		seen.status = answer.status;
		http_answer_clear(&answer);
	}
	if (seen.status == 0 || (rc < 0 && rc != -ECANCELED)) {
		(void)snprintf(msg, size, "%s", err.msg);
		return false;
	}
	if (seen.status >= 200 && seen.status < 400)
		return true;
	(void)snprintf(msg, size, "HTTP probe failed with statuscode: %d", seen.status);
	return false;
}

static int connect_within(const struct addrinfo *a, int64_t timeout_ns)
{
	CLEANUP(close_fd) int fd = socket(a->ai_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd < 0)
		return -errno;
	if (connect(fd, a->ai_addr, a->ai_addrlen) == 0)
		return 0;
	if (errno != EINPROGRESS)
		return -errno;
	struct pollfd pfd = {.fd = fd, .events = POLLOUT};
	const int n = poll(&pfd, 1, (int)(timeout_ns / NSEC_PER_MSEC));
	if (n <= 0)
		return n < 0 ? -errno : -ETIMEDOUT;
	int code = 0;
	socklen_t len = sizeof code;
	if (getsockopt(fd, SOL_SOCKET, SO_ERROR, &code, &len) < 0)
		return -errno;
	return -code;
}

static bool ask_tcp(const struct probe *p, char *msg, size_t size)
{
	const struct addrinfo hints = {.ai_socktype = SOCK_STREAM, .ai_flags = AI_NUMERICSERV};
	struct addrinfo *list = NULL;
	const int code = getaddrinfo(p->host, p->port, &hints, &list);
	if (code != 0) {
		(void)snprintf(msg, size, "dial tcp %s:%s: %s", p->host, p->port, gai_strerror(code));
		return false;
	}
	const int rc = connect_within(list, p->timeout_ns);
	freeaddrinfo(list);
	if (rc < 0)
		(void)snprintf(msg, size, "dial tcp %s:%s: %s", p->host, p->port, strerror(-rc));
	return rc == 0;
}

bool probe_ask(const struct probe *p, const struct agent_paths *paths, struct http_client *http,
	       const char *container_id, char *msg, size_t size)
{
	msg[0] = '\0';
	switch (p->type) {
	case ASK_EXEC:
		return ask_exec(p, paths, container_id, msg, size);
	case ASK_HTTP:
		return ask_http(p, http, msg, size);
	default:
		return ask_tcp(p, msg, size);
	}
}

enum probe_verdict probe_count(const struct probe *p, struct probe_counter *c, bool ok)
{
	if (c->n == 0 || c->last != ok)
		*c = (struct probe_counter){.last = ok};
	const int threshold = ok ? p->success_threshold : p->failure_threshold;
	if (c->n < threshold)
		c->n++;
	if (c->n < threshold)
		return PROBE_UNDECIDED;
	return ok ? PROBE_PASSED : PROBE_FAILED;
}
