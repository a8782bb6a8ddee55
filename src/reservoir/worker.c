#include "reservoir/worker.h"

#include <signal.h>

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/error.h"
#include "base/log.h"
#include "base/strbuf.h"
#include "net/http_server.h"
#include "reservoir/catalog.h"
#include "reservoir/fetch.h"
#include "reservoir/serve.h"
#include "reservoir/store.h"
#include "json/json.h"

struct worker {
	const struct reservoir_config *config;
	struct store *store;
	struct catalog *catalog;
	struct fetcher *fetcher;
	struct server *server;
	struct http_server *http;
};

static const char *const state_name[] = {"Listing", "Ready", "Failed"};

static json_t *mounts_json(struct worker *w)
{
	json_t *list = json_array();
	for (size_t i = 0; list != NULL && i < w->config->n_mounts; i++) {
		struct catalog_mount_status st;
		catalog_mount_status(w->catalog, i, &st);
		/* a full list is only short of an item when memory is: the answer is then refused as a whole */
		(void)json_array_append_new(list, json_pack("{s:s,s:s,s:s,s:s}", "path", w->config->mounts[i].path,
							    "source", w->config->mounts[i].source, "state",
							    state_name[st.state], "message", st.message));
	}
	return list;
}

static void reply_json(struct http_exchange *x, int status, const json_t *j)
{
	size_t n;
	CLEANUP(free_p) char *text = j != NULL ? json_to_text(j, &n) : NULL;
	if (text == NULL)
		http_reply(x, 500, "text/plain", "out of memory\n", 14);
	else
		http_reply(x, status, "application/json", text, n);
}

static void get_status(struct worker *w, struct http_exchange *x)
{
	struct catalog_totals t;
	struct store_stats st;
	struct server_counts c;
	catalog_totals(w->catalog, &t);
	store_stats(w->store, &st);
	server_counts(w->server, &c);
	JSON_AUTO j = json_pack(
		"{s:b,s:o,s:{s:I,s:I,s:b},s:{s:I,s:I},s:{s:I,s:I,s:I}}", "ready", catalog_ready(w->catalog), "mounts",
		mounts_json(w), "ufs", "bytes", (json_int_t)t.bytes, "files", (json_int_t)t.files, "complete",
		t.complete, "cache", "capacityBytes", (json_int_t)st.capacity_bytes, "cachedBytes",
		(json_int_t)st.cached_bytes, "reads", "hitBytes", (json_int_t)c.hit_bytes, "missBytes",
		(json_int_t)c.miss_bytes, "fetchedBytes", (json_int_t)fetcher_fetched_bytes(w->fetcher));
	reply_json(x, 200, j);
}

static void metric(struct strbuf *b, const char *type, const char *name, const char *help, uint64_t value)
{
	strbuf_addf(b, "# HELP sluice_reservoir_%s %s\n# TYPE sluice_reservoir_%s %s\nsluice_reservoir_%s %llu\n", name,
		    help, name, type, name, (unsigned long long)value);
}

static void get_metrics(struct worker *w, struct http_exchange *x)
{
	struct catalog_totals t;
	struct store_stats st;
	struct server_counts c;
	catalog_totals(w->catalog, &t);
	store_stats(w->store, &st);
	server_counts(w->server, &c);
	struct strbuf b = STRBUF_INIT(64 * 1024);
	metric(&b, "gauge", "ufs_bytes", "Bytes of all files of the sources.", t.bytes);
	metric(&b, "gauge", "ufs_files", "Files of the sources.", t.files);
	metric(&b, "gauge", "ufs_complete", "Whether every directory of the sources was listed.", t.complete);
	metric(&b, "gauge", "ufs_waiting_directories", "Directories that could not be listed and are tried again.",
	       t.failed_dirs);
	metric(&b, "gauge", "index_memory_bytes", "Memory that the index takes.", t.memory);
	metric(&b, "gauge", "cache_capacity_bytes", "Quota of all tiers.", st.capacity_bytes);
	metric(&b, "gauge", "cache_used_bytes", "Disk space that the cache takes or has reserved.", st.used_bytes);
	metric(&b, "gauge", "cache_cached_bytes", "Bytes of the sources' files in the cache.", st.cached_bytes);
	metric(&b, "gauge", "cache_files", "Files that are in the cache, whole or in part.", st.files);
	metric(&b, "gauge", "cache_disk_full", "Whether a cache disk has no space although its quota has.",
	       st.disk_full);
	metric(&b, "counter", "evicted_files_total", "Files evicted.", st.evicted_files);
	metric(&b, "counter", "evicted_bytes_total", "Bytes evicted.", st.evicted_bytes);
	metric(&b, "counter", "read_hit_bytes_total",
	       "Bytes read that were in the cache; reads by the kernel alone are not seen.", c.hit_bytes);
	metric(&b, "counter", "read_miss_bytes_total", "Bytes read that had to be fetched.", c.miss_bytes);
	metric(&b, "counter", "fetched_bytes_total", "Bytes fetched from the sources.",
	       fetcher_fetched_bytes(w->fetcher));
	metric(&b, "gauge", "open_files", "File versions that mounts have open.", c.open_files);
	metric(&b, "gauge", "mounts", "Mounts that are connected.", c.sessions);
	metric(&b, "counter", "requests_total", "Requests of mounts.", c.requests);
	metric(&b, "counter", "failed_requests_total", "Requests of mounts that failed.", c.failed_requests);
	if (b.failed)
		http_reply(x, 500, "text/plain", "out of memory\n", 14);
	else
		http_reply(x, 200, "text/plain; version=0.0.4", b.p, b.n);
	strbuf_clear(&b);
}

static void get_ready(struct worker *w, struct http_exchange *x)
{
	if (catalog_ready(w->catalog)) {
		http_reply(x, 200, "text/plain", "ok\n", 3);
		return;
	}
	struct strbuf b = STRBUF_INIT(64 * 1024);
	for (size_t i = 0; i < w->config->n_mounts; i++) {
		struct catalog_mount_status st;
		catalog_mount_status(w->catalog, i, &st);
		if (st.state != CATALOG_READY)
			strbuf_addf(&b, "%s: %s: %s\n", w->config->mounts[i].path, state_name[st.state],
				    st.message[0] != '\0' ? st.message : "not yet listed");
	}
	http_reply(x, 503, "text/plain", b.p != NULL ? b.p : "", b.n);
	strbuf_clear(&b);
}

static void handle(void *ctx, struct http_exchange *x)
{
	static const struct {
		const char *method, *path;
		void (*fn)(struct worker *w, struct http_exchange *x);
	} routes[] = {
		{"GET", "/v1/status", get_status}, {"GET", "/metrics", get_metrics}, {"GET", "/readyz", get_ready}};
	struct worker *w = ctx;
	const struct http_request *rq = http_exchange_request(x);
	for (size_t i = 0; i < ARRAY_LEN(routes); i++)
		if (strcmp(rq->path, routes[i].path) == 0 && strcmp(rq->method, routes[i].method) == 0) {
			routes[i].fn(w, x);
			return;
		}
	if (strcmp(rq->path, "/healthz") == 0 && strcmp(rq->method, "GET") == 0) {
		http_reply(x, 200, "text/plain", "ok\n", 3);
	} else if (strcmp(rq->path, "/v1/refresh") == 0 && strcmp(rq->method, "POST") == 0) {
		catalog_refresh(w->catalog);
		http_reply(x, 202, "text/plain", "looking at the sources again\n", 29);
	} else {
		http_reply(x, 404, "text/plain", "not found\n", 10);
	}
}

static void note_failure(void *ctx, const struct source *source, const char *message)
{
	catalog_note_failure(((struct worker *)ctx)->catalog, source, message);
}

/* How long the kernel may believe a name before it asks again. */
static int64_t believe_ns(const struct reservoir_config *c)
{
	switch (c->freshness) {
	case FRESHNESS_NEVER:
		return 3600 * NSEC_PER_SEC;
	case FRESHNESS_TTL:
		return c->ttl_ns;
	default:
		return NSEC_PER_SEC;
	}
}

static int start_http(struct worker *w, struct error *err)
{
	char addr[64];
	uint16_t port;
	if (w->config->listen == NULL)
		return 0;
	(void)reservoir_listen_split(w->config->listen, addr, sizeof addr, &port); /* checked with the configuration */
	const struct http_server_options o = {.address = addr,
					      .port = port,
					      .max_connections = 64,
					      .workers = 2,
					      .max_pending = 64,
					      .handler = handle,
					      .ctx = w};
	return http_server_new(&o, &w->http, err);
}

static const char *index_dir(const struct reservoir_config *c)
{
	for (size_t i = 0; i < c->n_tiers; i++)
		if (strcmp(c->tiers[i].medium, "MEM") != 0)
			return c->tiers[i].path;
	return c->tiers[0].path;
}

static int start(struct worker *w, struct error *err)
{
	const struct reservoir_config *c = w->config;
	int r = store_open(c->tiers, c->n_tiers, c->block_size, &w->store, err);
	if (r < 0 || (r = catalog_new(c, index_dir(c), &w->catalog, err)) < 0)
		return r;
	const struct fetcher_options fo = {
		.concurrency = c->fetch_concurrency,
		.retries = c->fetch_retries,
		.timeout_ns = c->fetch_timeout_ns,
		.rate_limit = c->rate_limit,
		.read_ahead = c->read_ahead,
		.on_failure = note_failure,
		.ctx = w,
	};
	if ((r = fetcher_new(w->store, &fo, &w->fetcher, err)) < 0)
		return r;
	const struct server_options so = {
		.path = c->socket,
		.catalog = w->catalog,
		.fetcher = w->fetcher,
		.store = w->store,
		.entry_ns = believe_ns(c),
		.attr_ns = believe_ns(c),
	};
	if ((r = server_new(&so, &w->server, err)) < 0)
		return r;
	return start_http(w, err);
}

int worker_new(const struct reservoir_config *config, struct worker **ret, struct error *err)
{
	struct worker *w = calloc(1, sizeof *w);
	if (w == NULL)
		return error_set(err, -ENOMEM, "out of memory");
	w->config = config;
	/* the kernel tells with SIGIO that somebody opens a file on which we hold a lease; the lease is short-lived anyway */
	(void)signal(SIGIO, SIG_IGN);
	const int r = start(w, err);
	if (r < 0) {
		worker_free(w);
		return r;
	}
	*ret = w;
	return 0;
}

uint16_t worker_port(const struct worker *w)
{
	return w->http != NULL ? http_server_port(w->http) : 0;
}

void worker_free(struct worker *w)
{
	if (w == NULL)
		return;
	http_server_free(w->http);
	if (w->catalog != NULL)
		catalog_stop(w->catalog);
	if (w->fetcher != NULL)
		fetcher_stop(w->fetcher);
	server_free(w->server);
	fetcher_free(w->fetcher);
	catalog_free(w->catalog);
	store_close(w->store);
	free(w);
}
