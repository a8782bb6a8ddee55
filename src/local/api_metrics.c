/* What the API server counts, and /metrics. */
#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "base/metrics.h"
#include "base/strbuf.h"
#include "local/api_internal.h"

#define METRICS_MAX (16u << 20)

const char *api_verb(struct api_request *r)
{
	const char *m = r->http->method;
	if (strcmp(m, "GET") == 0)
		return r->name[0] != '\0' ? "get" : api_query_bool(r, "watch") ? "watch" : "list";
	if (strcmp(m, "DELETE") == 0)
		return r->name[0] != '\0' ? "delete" : "deletecollection";
	return strcmp(m, "POST") == 0    ? "create"
	       : strcmp(m, "PUT") == 0   ? "update"
	       : strcmp(m, "PATCH") == 0 ? "patch"
					 : "other";
}

void api_count_request(const char *verb, int status, int64_t took_ns)
{
	static const char *const by_code[] = {"verb", "code", NULL}, *const by_verb[] = {"verb", NULL};
	struct metrics *root = metrics_root();
	char code[16];
	(void)snprintf(code, sizeof code, "%d", status);
	struct metric *total =
		metrics_counter(root, "sluice_api_requests_total", "Requests that were answered.", by_code);
	series_add(metric_series(total, (const char *const[]){verb, code}), 1);
	struct metric *seconds = metrics_histogram(root, "sluice_api_request_seconds",
						   "Time until the answer was ready; of a watch, until it had begun.",
						   by_verb, metrics_seconds, metrics_n_seconds);
	series_observe(metric_series(seconds, (const char *const[]){verb}), (double)took_ns / NSEC_PER_SEC);
}

int api_metrics(struct api_request *r)
{
	struct metrics *root = metrics_root();
	series_set(metric_series(metrics_gauge(root, "sluice_api_watches", "Watches that are open.", NULL), NULL),
		   (double)api_hub_size(r->server->hub));
	series_set(metric_series(metrics_gauge(root, "sluice_api_revision", "The newest revision of the store.", NULL),
				 NULL),
		   (double)objstore_revision(r->server->store));
	struct strbuf b = STRBUF_INIT(METRICS_MAX);
	metrics_write(root, &b);
	if (b.failed) {
		strbuf_clear(&b);
		return api_fail_memory(r);
	}
	r->answered = true;
	http_reply(r->x, 200, "text/plain; version=0.0.4; charset=utf-8", b.p != NULL ? b.p : "", b.n);
	strbuf_clear(&b);
	return 0;
}
