/* reservoir.json: what the worker and the mount of one dataset are told. */
#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "base/str.h"
#include "engines/reservoir/reservoir.h"
#include "kube/client.h"
#include "runtime/objects.h"
#include "json/json.h"
#include "json/quantity.h"

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
