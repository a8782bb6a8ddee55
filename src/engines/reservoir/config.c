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

/* How a bucket is reached (other sources have no options, and shared ones are not theirs): what stands in the open as it is, secrets as the files that the pods have. */
static json_t *config_options(const json_t *mount)
{
	static const struct {
		const char *secret, *field;
	} files[] = {{"accessKeyId", "accessKeyFile"},
		     {"secretAccessKey", "secretKeyFile"},
		     {"sessionToken", "sessionTokenFile"}};
	JSON_AUTO options = json_object();
	const char *key;
	json_t *v;
	if (!str_has_prefix(json_str(mount, "mountPoint", ""), "s3://"))
		return TAKE(options);
	json_object_foreach (json_object_get(mount, "options"), key, v) {
		const bool flag = strcmp(key, "virtualHost") == 0;
		if (json_object_set_new(options, key,
					flag ? json_boolean(str_same(json_string_value(v), "true")) : json_incref(v)) <
		    0)
			return NULL;
	}
	for (size_t i = 0; i < ARRAY_LEN(files); i++) {
		const json_t *secret = json_object_get(json_object_get(mount, "secrets"), files[i].secret);
		if (secret != NULL && json_object_set(options, files[i].field, json_object_get(secret, "file")) < 0)
			return NULL;
	}
	return TAKE(options);
}

static json_t *config_mount(const json_t *mount)
{
	const char *name = json_str(mount, "name", ""), *at = json_str(mount, "at", NULL);
	CLEANUP(free_p)
	char *source = at != NULL ? str_printf("file://%s", at) : strdup(json_str(mount, "mountPoint", ""));
	JSON_AUTO options = config_options(mount);
	if (source == NULL || options == NULL)
		return NULL;
	JSON_AUTO j = json_pack("{s:s,s:s,s:O,s:b}", "path", json_str(mount, "path", ""), "source", source, "options",
				options, "readOnly", 1);
	if (j != NULL && *name != '\0' && json_object_set_new(j, "name", json_string(name)) < 0)
		return NULL;
	return TAKE(j);
}

static json_t *config_mounts(const json_t *mounts)
{
	JSON_AUTO list = json_array();
	size_t i;
	json_t *m;
	json_array_foreach (mounts, i, m)
		if (json_array_append_new(list, config_mount(m)) < 0)
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
	JSON_AUTO resolved = NULL;
	const int rc = reservoir_mounts(ctx, &resolved, err);
	if (rc < 0)
		return rc;
	JSON_AUTO mounts = config_mounts(resolved);
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
