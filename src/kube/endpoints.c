#include "kube/endpoints.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/error.h"
#include "base/metrics.h"
#include "base/str.h"
#include "base/strbuf.h"
#include "net/http_server.h"

#define METRICS_MAX     (64u << 20)
#define CHECKS_MAX      65536
#define HOST_MAX        256
#define LOOPBACK        "127.0.0.1"
#define CONNECTIONS_MAX 64 /* probes and scrapers are few */

struct endpoints {
	struct endpoints_options o; /* its strings are not kept */
	struct http_server *health, *metrics;
	bool shared; /* `health` serves the metrics too */
};

static void reply_text(struct http_exchange *x, int status, const char *type, struct strbuf *b)
{
	if (b->failed)
		http_reply(x, 500, "text/plain", "out of memory\n", 14);
	else
		http_reply(x, status, type, b->p != NULL ? b->p : "", b->n);
}

static void reply_metrics(struct http_exchange *x)
{
	CLEANUP(strbuf_clear) struct strbuf b = STRBUF_INIT(METRICS_MAX);
	metrics_write(metrics_root(), &b);
	reply_text(x, 200, "text/plain; version=0.0.4; charset=utf-8", &b);
}

/* "ok" alone when all is well, as Kubernetes' own endpoints answer; every check when it is not, or with ?verbose. */
static void reply_checks(struct http_exchange *x, bool (*check)(void *ctx, struct strbuf *out), void *ctx)
{
	CLEANUP(strbuf_clear) struct strbuf b = STRBUF_INIT(CHECKS_MAX);
	const bool ok = check(ctx, &b);
	if (ok && http_exchange_query(x, "verbose") == NULL)
		http_reply(x, 200, "text/plain; charset=utf-8", "ok", 2);
	else
		reply_text(x, ok ? 200 : 503, "text/plain; charset=utf-8", &b);
}

static void answer(const struct endpoints *e, struct http_exchange *x, bool health, bool metrics)
{
	const struct http_request *q = http_exchange_request(x);
	if (strcmp(q->method, "GET") != 0)
		http_reply(x, 405, "text/plain", "only GET is answered here\n", 26);
	else if (health && strcmp(q->path, "/healthz") == 0)
		reply_checks(x, e->o.healthy, e->o.ctx);
	else if (health && strcmp(q->path, "/readyz") == 0)
		reply_checks(x, e->o.ready, e->o.ctx);
	else if (metrics && strcmp(q->path, "/metrics") == 0)
		reply_metrics(x);
	else
		http_reply(x, 404, "text/plain", "not found\n", 10);
}

static void on_health(void *ctx, struct http_exchange *x)
{
	const struct endpoints *e = ctx;
	answer(e, x, true, e->shared);
}

static void on_metrics(void *ctx, struct http_exchange *x)
{
	answer(ctx, x, false, true);
}

/* "ADDRESS:PORT" taken apart; an IPv6 address may have its brackets. */
static int parse_address(const char *text, char host[static HOST_MAX], uint16_t *ret_port, struct error *err)
{
	const char *colon = strrchr(text, ':');
	int64_t port = -1;
	size_t n = colon != NULL ? (size_t)(colon - text) : 0;
	const char *from = text;
	if (n >= 2 && text[0] == '[' && text[n - 1] == ']') {
		from++;
		n -= 2;
	}
	if (colon == NULL || n >= HOST_MAX || str_to_i64(colon + 1, &port) < 0 || port < 0 || port > 65535)
		return error_set(err, -EINVAL, "'%s' is not ADDRESS:PORT, such as 127.0.0.1:8080 or :8080", text);
	(void)str_copy(host, HOST_MAX, LOOPBACK); /* it fits */
	if (n > 0) {
		memcpy(host, from, n);
		host[n] = '\0';
	}
	*ret_port = (uint16_t)port;
	return 0;
}

static bool is_served(const char *address)
{
	return address != NULL && address[0] != '\0' && strcmp(address, "0") != 0;
}

static int serve(struct endpoints *e, const char *address, http_handler handler, struct http_server **ret,
		 struct error *err)
{
	char host[HOST_MAX];
	uint16_t port = 0;
	const int rc = parse_address(address, host, &port, err);
	if (rc < 0)
		return rc;
	const struct http_server_options o = {.address = host,
					      .port = port,
					      .max_body = 1024,
					      .max_connections = CONNECTIONS_MAX,
					      .max_pending = CONNECTIONS_MAX,
					      .workers = 2,
					      .handler = handler,
					      .ctx = e};
	return http_server_new(&o, ret, err);
}

static void process_init(void)
{
	(void)metrics_process(metrics_root()); /* no memory: measuring never fails anything */
}

int endpoints_new(const struct endpoints_options *o, struct endpoints **ret, struct error *err)
{
	const bool health = is_served(o->health_address), metrics = is_served(o->metrics_address);
	*ret = NULL;
	if (!health && !metrics)
		return 0;
	struct endpoints *e = calloc(1, sizeof *e);
	if (e == NULL)
		return error_set(err, -ENOMEM, "health and metrics: out of memory");
	static pthread_once_t process_once = PTHREAD_ONCE_INIT;
	(void)pthread_once(&process_once, process_init); /* fails only for a bad argument */
	e->o = *o;
	e->shared = health && metrics && strcmp(o->health_address, o->metrics_address) == 0;
	int rc = 0;
	if (health && (rc = serve(e, o->health_address, on_health, &e->health, err)) < 0)
		error_wrap(err, rc, "serve /healthz and /readyz");
	if (rc == 0 && metrics && !e->shared && (rc = serve(e, o->metrics_address, on_metrics, &e->metrics, err)) < 0)
		error_wrap(err, rc, "serve /metrics");
	if (rc < 0)
		endpoints_free(e);
	else
		*ret = e;
	return rc;
}

uint16_t endpoints_health_port(const struct endpoints *e)
{
	return e != NULL && e->health != NULL ? http_server_port(e->health) : 0;
}

uint16_t endpoints_metrics_port(const struct endpoints *e)
{
	if (e == NULL || e->shared)
		return endpoints_health_port(e);
	return e->metrics != NULL ? http_server_port(e->metrics) : 0;
}

void endpoints_free(struct endpoints *e)
{
	if (e == NULL)
		return;
	http_server_free(e->health);
	http_server_free(e->metrics);
	free(e);
}
