#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "base/str.h"
#include "engines/reservoir/reservoir.h"
#include "runtime/guard.h"
#include "json/json.h"
#include "json/quantity.h"

#define ARENA_LIMIT (4u << 20)
#define MAX_TIERS   3
#define BLOCK_MIN   (INT64_C(64) << 10)
#define BLOCK_MAX   (INT64_C(64) << 20)
#define AHEAD_MAX   (INT64_C(1) << 30)

void reservoir_specs_clear(struct reservoir_specs *s)
{
	tier_paths_clear(&s->tiers);
	arena_free(&s->arena);
}

int reservoir_specs_load(const struct reconcile_ctx *ctx, struct reservoir_specs *ret, struct error *err)
{
	*ret = (struct reservoir_specs){.arena = ARENA_INIT(ARENA_LIMIT)};
	int rc = ctx->dataset != NULL
			 ? schema_decode(dataset_kind.schema, ctx->dataset, &ret->arena, &ret->dataset, err)
			 : 0;
	if (rc < 0)
		(void)error_wrap(err, rc, "Dataset");
	else if ((rc = schema_decode(reservoir_runtime_kind.schema, ctx->runtime, &ret->arena, &ret->runtime, err)) < 0)
		(void)error_wrap(err, rc, "ReservoirRuntime");
	else
		rc = tier_paths(&ret->runtime.spec.tiered_store, &ret->tiers, err);
	if (rc < 0)
		reservoir_specs_clear(ret);
	return rc;
}

int reservoir_mounts(const struct reconcile_ctx *ctx, json_t **ret, struct error *err)
{
	JSON_AUTO mounts = NULL;
	const int rc = mounts_resolve(ctx, &mounts, err);
	if (rc < 0)
		return rc;
	size_t i;
	json_t *m;
	json_array_foreach (mounts, i, m)
		if (json_object_set_new(m, "readOnly", json_true()) < 0)
			return error_set(err, -ENOMEM, "spec.mounts: out of memory");
	*ret = TAKE(mounts);
	return 0;
}

/* "/" or plain parts: it becomes a directory in our own namespace. */
static bool path_is_plain(const char *path)
{
	struct str rest = str_from(path + 1), part;
	if (*path != '/')
		return false;
	if (path[1] == '\0')
		return true;
	while (str_split_next(&rest, '/', &part))
		if (part.n == 0 || part.n > 255 || str_eq(part, ".") || str_eq(part, ".."))
			return false;
	return true;
}

#define S3 "s3://"

static bool is_s3(const json_t *m)
{
	return str_has_prefix(json_str(m, "mountPoint", ""), S3);
}

/* "NAME[/SUBPATH]"; that the claim exists is for the pod to find out. */
static bool claim_is_plain(const char *claim)
{
	const size_t n = strcspn(claim, "/");
	return n > 0 && n <= 253 && claim[0] != '.' && claim[n - 1] != '.' &&
	       strspn(claim, "abcdefghijklmnopqrstuvwxyz0123456789-.") == n &&
	       (claim[n] == '\0' || claim[n + 1] == '\0' || path_is_plain(claim + n));
}

static int check_scheme(const struct reconcile_ctx *ctx, const json_t *m, const char *path, struct error *err)
{
	const char *point = json_str(m, "mountPoint", "");
	if (str_has_prefix(point, "local://")) {
		char field[64];
		(void)snprintf(field, sizeof field, "%s.mountPoint", path); /* paths are short */
		return guard_host_path(ctx->limits, field, point + strlen("local://"), err);
	}
	if (str_has_prefix(point, "pvc://")) {
		if (claim_is_plain(point + strlen("pvc://")))
			return 0;
		return error_set(err, -EINVAL, "%s.mountPoint: '%s' is no pvc://CLAIM[/PATH]", path, point);
	}
	if (is_s3(m) || str_has_prefix(point, "http://") || str_has_prefix(point, "https://"))
		return 0;
	return error_set(
		err, -EOPNOTSUPP,
		"%s.mountPoint: '%s': ReservoirRuntime reads local://, pvc://, http://, https:// and s3:// only", path,
		point);
}

static bool is_one_of(const char *word, const char *const *list)
{
	for (; *list != NULL; list++)
		if (strcmp(*list, word) == 0)
			return true;
	return false;
}

static int no_option(const char *path, const char *list, const char *key, struct error *err)
{
	return error_set(err, -EOPNOTSUPP,
			 "%s.%s.%s: is no option of this source; s3:// has endpoint, region and virtualHost, and "
			 "as encryptOptions accessKeyId, secretAccessKey and sessionToken",
			 path, list, key);
}

/* What a bucket's mount has of its own and of the shared ones. */
static int check_bucket(const json_t *m, const char *path, struct error *err)
{
	static const char *const open[] = {"endpoint", "region", "virtualHost", NULL}, *const secret[] = {
											       "accessKeyId",
											       "secretAccessKey",
											       "sessionToken", NULL};
	const json_t *options = json_object_get(m, "options"), *secrets = json_object_get(m, "secrets");
	const char *key;
	json_t *v;
	json_object_foreach ((json_t *)options, key, v) {
		if (!is_one_of(key, open))
			return no_option(path, "options", key, err);
		if (strcmp(key, "virtualHost") == 0 && !str_same(json_string_value(v), "true") &&
		    !str_same(json_string_value(v), "false"))
			return error_set(err, -EINVAL, "%s.options.virtualHost: must be \"true\" or \"false\"", path);
	}
	json_object_foreach ((json_t *)secrets, key, v)
		if (!is_one_of(key, secret))
			return no_option(path, "encryptOptions", key, err);
	if ((json_object_get(secrets, "accessKeyId") == NULL) != (json_object_get(secrets, "secretAccessKey") == NULL))
		return error_set(err, -EINVAL, "%s.encryptOptions: accessKeyId and secretAccessKey go together", path);
	return 0;
}

/* Other sources have no options; shared ones are for the buckets beside them. */
static int check_options(const json_t *m, const struct mount *own, const char *path, struct error *err)
{
	if (is_s3(m))
		return check_bucket(m, path, err);
	if (own->options.n > 0)
		return no_option(path, "options", own->options.v[0].key, err);
	if (own->encrypt_options.n > 0)
		return no_option(path, "encryptOptions", own->encrypt_options.v[0].name, err);
	return 0;
}

static int check_mount(const struct reconcile_ctx *ctx, const json_t *m, const struct mount *own, size_t i,
		       struct error *err)
{
	char path[48];
	(void)snprintf(path, sizeof path, "spec.mounts[%zu]", i); /* at most 34 characters */
	int rc = check_scheme(ctx, m, path, err);
	if (rc == 0)
		rc = check_options(m, own, path, err);
	if (rc < 0)
		return rc;
	const char *at = json_str(m, "path", "");
	if (!path_is_plain(at) || strchr(json_str(m, "name", ""), '/') != NULL)
		return error_set(err, -EINVAL,
				 "%s.path: '%s' must be '/' or plain names between slashes (name: without slashes)",
				 path, at);
	return 0;
}

static int check_mounts(const struct reconcile_ctx *ctx, const struct reservoir_specs *s, struct error *err)
{
	const size_t n = s->dataset.spec.mounts.n;
	if (n == 0)
		return error_set(err, -EINVAL, "spec.mounts: ReservoirRuntime needs at least one source");
	if (n > ENGINE_MAX_MOUNTS)
		return error_set(err, -EINVAL, "spec.mounts: more than %d", ENGINE_MAX_MOUNTS);
	JSON_AUTO mounts = NULL;
	int rc = reservoir_mounts(ctx, &mounts, err);
	size_t i;
	json_t *m;
	bool bucket = false;
	json_array_foreach (rc == 0 ? mounts : NULL, i, m) {
		if ((rc = check_mount(ctx, m, &s->dataset.spec.mounts.v[i], i, err)) < 0)
			return rc;
		bucket = bucket || is_s3(m);
	}
	const struct dataset_spec *d = &s->dataset.spec;
	if (rc == 0 && !bucket && d->shared_options.n > 0)
		return no_option("spec", "sharedOptions", d->shared_options.v[0].key, err);
	if (rc == 0 && !bucket && d->shared_encrypt_options.n > 0)
		return no_option("spec", "sharedEncryptOptions", d->shared_encrypt_options.v[0].name, err);
	return rc;
}

static int check_dataset(const struct reservoir_specs *s, struct error *err)
{
	const struct dataset_spec *d = &s->dataset.spec;
	for (size_t i = 0; i < d->access_modes.n; i++)
		if (strcmp(d->access_modes.v[i], "ReadOnlyMany") != 0)
			return error_set(
				err, -EOPNOTSUPP,
				"spec.accessModes[%zu]: '%s': mounts of ReservoirRuntime are read-only (ReadOnlyMany)",
				i, d->access_modes.v[i]);
	if (d->owner != NULL)
		return error_set(err, -EOPNOTSUPP,
				 "spec.owner: files of ReservoirRuntime belong to root and everybody may read them");
	if (d->data_restore_location != NULL)
		return error_set(err, -EOPNOTSUPP,
				 "spec.dataRestoreLocation: ReservoirRuntime has no metadata to restore");
	return 0;
}

static int check_quantity(const char *path, const char *text, int64_t min, int64_t max, int64_t multiple,
			  struct error *err)
{
	int64_t v;
	int rc = quantity_parse(text, &v, err);
	if (rc < 0)
		return error_wrap(err, rc, "%s", path);
	if (v < min || v > max || v % multiple != 0) {
		char lo[32], hi[32];
		quantity_format_binary(min, lo);
		quantity_format_binary(max, hi);
		return error_set(err, -EINVAL, "%s: '%s' must be from %s to %s%s", path, text, lo, hi,
				 multiple > 1 ? ", and a multiple of 4Ki" : "");
	}
	return 0;
}

static int check_fetch(const struct reservoir_runtime_spec *r, struct error *err)
{
	const struct reservoir_fetch *f = &r->fetch;
	int rc = r->block_size != NULL
			 ? check_quantity("spec.blockSize", r->block_size, BLOCK_MIN, BLOCK_MAX, 4096, err)
			 : 0;
	if (rc == 0 && r->read_ahead != NULL)
		rc = check_quantity("spec.readAhead", r->read_ahead, 0, AHEAD_MAX, 1, err);
	if (rc == 0 && f->rate_limit != NULL)
		rc = check_quantity("spec.fetch.rateLimit", f->rate_limit, 0, INT64_MAX / 4, 1, err);
	if (rc < 0)
		return rc;
	if (f->concurrency > 64)
		return error_set(err, -EINVAL, "spec.fetch.concurrency: at most 64");
	if (f->retries > 20)
		return error_set(err, -EINVAL, "spec.fetch.retries: at most 20");
	if (f->timeout_ns != 0 && (f->timeout_ns < NSEC_PER_SEC || f->timeout_ns > 3600 * NSEC_PER_SEC))
		return error_set(err, -EINVAL, "spec.fetch.timeout: must be from 1s to 1h");
	if (r->freshness.mode != NULL && strcmp(r->freshness.mode, "TTL") == 0 && r->freshness.ttl_ns != 0 &&
	    r->freshness.ttl_ns < NSEC_PER_SEC)
		return error_set(err, -EINVAL, "spec.freshness.ttl: must be 1s or more");
	return 0;
}

int reservoir_check_tiers(const struct reconcile_ctx *ctx, const struct reservoir_specs *s, struct error *err)
{
	const struct tiered_store *ts = &s->runtime.spec.tiered_store;
	if (s->tiers.n == 0)
		return error_set(err, -EINVAL, "spec.tieredstore.levels: the cache needs a directory and a quota");
	if (s->tiers.n > MAX_TIERS)
		return error_set(err, -EINVAL, "spec.tieredstore: at most %d directories", MAX_TIERS);
	for (size_t i = 0; i < ts->levels.n; i++) {
		if (ts->levels.v[i].volume_type != NULL && strcmp(ts->levels.v[i].volume_type, "hostPath") != 0)
			return error_set(err, -EOPNOTSUPP,
					 "spec.tieredstore.levels[%zu].volumeType: '%s': the worker and the mount "
					 "share the cache's directory, so it must "
					 "be hostPath",
					 i, ts->levels.v[i].volume_type);
		if (json_object_size(ts->levels.v[i].volume_source) > 0)
			return error_set(err, -EOPNOTSUPP,
					 "spec.tieredstore.levels[%zu].volumeSource: give a path instead", i);
	}
	for (size_t i = 0; i < s->tiers.n; i++) {
		char path[64];
		(void)snprintf(path, sizeof path, "spec.tieredstore.levels[%zu].path",
			       s->tiers.v[i].level); /* at most 53 characters */
		int rc = guard_host_path(ctx->limits, path, s->tiers.v[i].path, err);
		if (rc < 0)
			return rc;
	}
	return 0;
}

static int check_runtime(const struct reconcile_ctx *ctx, const struct reservoir_specs *s, struct error *err)
{
	const struct reservoir_runtime_spec *r = &s->runtime.spec;
	if (r->run_as != NULL)
		return error_set(err, -EOPNOTSUPP, "spec.runAs: workers run as root; another user is not there yet");
	if (r->fuse.options.n > 0)
		return error_set(err, -EOPNOTSUPP,
				 "spec.fuse.options.%s: is no option of the mount; there are none yet",
				 r->fuse.options.v[0].key);
	const struct {
		const char *path;
		const struct pod_metadata *m;
	} metadata[] = {{"spec.podMetadata", &r->pod_metadata},
			{"spec.worker.podMetadata", &r->worker.pod_metadata},
			{"spec.fuse.podMetadata", &r->fuse.pod_metadata}};
	for (size_t i = 0; i < ARRAY_LEN(metadata); i++) {
		int rc = guard_labels(metadata[i].path, metadata[i].m, err);
		if (rc < 0)
			return rc;
	}
	int rc = reservoir_check_tiers(ctx, s, err);
	if (rc == 0)
		rc = guard_volumes(ctx->limits, r->volumes, err);
	return rc == 0 ? check_fetch(r, err) : rc;
}

int reservoir_check(const struct reconcile_ctx *ctx, const struct reservoir_specs *s, struct error *err)
{
	int rc = check_dataset(s, err);
	if (rc == 0)
		rc = check_mounts(ctx, s, err);
	if (rc == 0)
		rc = check_runtime(ctx, s, err);
	return rc == 0 ? guard_image(ctx->limits, "spec.fuse", RESERVOIR_IMAGE, err) : rc;
}
