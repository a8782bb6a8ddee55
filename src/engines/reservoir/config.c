/* reservoir.json: what the worker and the mount of one dataset are told. */
#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "base/str.h"
#include "engines/reservoir/reservoir.h"
#include "kube/client.h"
#include "runtime/objects.h"
#include "runtime/workloads.h"
#include "json/json.h"
#include "json/quantity.h"

#define PORT_PATH "spec.template.spec.containers[name=reservoir-worker].ports[name=http].containerPort"

static json_t *config_mount(const struct mount *m)
{
	CLEANUP(free_p) char *at = reservoir_mount_path(m);
	CLEANUP(free_p) char *local = reservoir_local_name(m);
	if (at == NULL || local == NULL)
		return NULL;
	CLEANUP(free_p)
	char *source = reservoir_local_dir(m) != NULL ? str_printf("file://%s/%s", RESERVOIR_UFS_ROOT, local)
						      : strdup(m->mount_point);
	if (source == NULL)
		return NULL;
	JSON_AUTO j = json_pack("{s:s,s:s,s:{},s:b}", "path", at, "source", source, "options", "readOnly", 1);
	if (j != NULL && m->name != NULL && *m->name != '\0' &&
	    json_object_set_new(j, "name", json_string(m->name)) < 0)
		return NULL;
	return TAKE(j);
}

static json_t *config_mounts(const mount_list *mounts)
{
	JSON_AUTO list = json_array();
	for (size_t i = 0; i < mounts->n; i++)
		if (json_array_append_new(list, config_mount(&mounts->v[i])) < 0)
			return NULL;
	return TAKE(list);
}

static json_t *config_tiers(const struct reconcile_ctx *ctx, const struct tier_paths *tiers)
{
	JSON_AUTO list = json_array();
	for (size_t i = 0; i < tiers->n; i++) {
		const struct tier_path *t = &tiers->v[i];
		CLEANUP(free_p) char *dir = str_printf("%s/%s/%s", t->path, ctx->ns, ctx->name);
		if (dir == NULL ||
		    json_array_append_new(list, json_pack("{s:s,s:s,s:I,s:f,s:f}", "medium", t->medium, "path", dir,
							  "quotaBytes", (json_int_t)t->quota_bytes, "high", t->high,
							  "low", t->low)) < 0)
			return NULL;
	}
	return TAKE(list);
}

/* A quantity that reservoir_check() has accepted. */
static json_int_t bytes_of(const char *text, int64_t dflt)
{
	int64_t v = dflt;
	if (text != NULL && quantity_parse(text, &v, NULL) < 0)
		return dflt;
	return v;
}

static json_int_t seconds_of(int64_t ns, int64_t dflt)
{
	return ns > 0 ? (ns + NSEC_PER_SEC - 1) / NSEC_PER_SEC : dflt;
}

int reservoir_config(const struct reconcile_ctx *ctx, const struct reservoir_specs *s, int port, json_t **ret,
		     struct error *err)
{
	const struct reservoir_runtime_spec *r = &s->runtime.spec;
	JSON_AUTO mounts = config_mounts(&s->dataset.spec.mounts);
	JSON_AUTO tiers = config_tiers(ctx, &s->tiers);
	char listen[32];
	(void)snprintf(listen, sizeof listen, "127.0.0.1:%d", port); /* a port has at most 5 digits */
	json_t *j = mounts == NULL || tiers == NULL
			    ? NULL
			    : json_pack("{s:{s:s,s:s},s:O,s:O,s:I,s:I,s:{s:i,s:i,s:I,s:I},s:{s:s,s:I},s:s,s:s}",
					"dataset", "namespace", ctx->ns, "name", ctx->name, "mounts", mounts, "tiers",
					tiers, "blockSizeBytes", bytes_of(r->block_size, INT64_C(4) << 20),
					"readAheadBytes", bytes_of(r->read_ahead, INT64_C(32) << 20), "fetch",
					"concurrency", (int)r->fetch.concurrency, "retries", (int)r->fetch.retries,
					"timeoutSeconds", seconds_of(r->fetch.timeout_ns, 30),
					"rateLimitBytesPerSecond", bytes_of(r->fetch.rate_limit, 0), "freshness",
					"mode", r->freshness.mode != NULL ? r->freshness.mode : "TTL", "ttlSeconds",
					seconds_of(r->freshness.ttl_ns, 60), "listen", listen, "socket",
					RESERVOIR_RUN_DIR "/cache.sock");
	if (j == NULL)
		return error_set(err, -ENOMEM, "reservoir.json: out of memory");
	*ret = j;
	return 0;
}

/* --- the port ------------------------------------------------------------------------------------------------------------------- */

static void mark_ports(const json_t *sts, const struct engine_limits *l, unsigned char *used)
{
	size_t i, k;
	json_t *c, *p;
	json_array_foreach (json_at(sts, "spec.template.spec.containers"), i, c)
		json_array_foreach (json_object_get(c, "ports"), k, p) {
			int64_t port = json_int(p, "containerPort", 0);
			if (port >= l->port_min && port < l->port_max)
				used[port - l->port_min] = 1;
		}
}

int reservoir_port(const struct reconcile_ctx *ctx, int *ret, struct error *err)
{
	const struct engine_limits *l = ctx->limits;
	const size_t n = (size_t)(l->port_max - l->port_min);
	CLEANUP(free_p) unsigned char *used = calloc(n, 1);
	CLEANUP(free_p) char *own = workload_name(ctx, reservoir_traits.worker_suffix);
	CLEANUP(free_p) char *id = str_printf("%s/%s", ctx->ns, ctx->name);
	JSON_AUTO all = ctx->api->list(ctx->api->ctx, &KUBE_STATEFULSET, NULL, LABEL_MANAGED_BY, "fluid");
	if (used == NULL || own == NULL || id == NULL || all == NULL)
		return error_set(err, -ENOMEM, "port: out of memory");
	int64_t mine = 0;
	bool lost = false;
	size_t i;
	json_t *sts;
	json_array_foreach (all, i, sts)
		if (strcmp(obj_namespace(sts), ctx->ns) == 0 && strcmp(obj_name(sts), own) == 0)
			mine = json_int(sts, PORT_PATH, 0);
	json_array_foreach (all, i, sts) {
		if (strcmp(obj_namespace(sts), ctx->ns) == 0 && strcmp(obj_name(sts), own) == 0)
			continue;
		mark_ports(sts, l, used);
		/* Two that chose at the same moment: the one whose id is smaller keeps it. */
		CLEANUP(free_p)
		char *other = str_printf("%s/%s", obj_namespace(sts), json_str(sts, "metadata.labels.release", ""));
		lost = lost ||
		       (mine != 0 && json_int(sts, PORT_PATH, 0) == mine && other != NULL && strcmp(other, id) < 0);
	}
	if (mine >= l->port_min && mine < l->port_max && !lost) {
		*ret = (int)mine;
		return 0;
	}
	size_t start = text_hash(id) % n;
	for (i = 0; i < n; i++) {
		size_t at = (start + i) % n;
		if (used[at])
			continue;
		*ret = l->port_min + (int)at;
		return 0;
	}
	return error_set(err, -ENOSPC, "no port from %d to %d is free; widen --runtime-node-port-range", l->port_min,
			 l->port_max - 1);
}
