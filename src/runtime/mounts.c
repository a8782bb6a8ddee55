#include "runtime/mounts.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/str.h"
#include "runtime/objects.h"
#include "json/json.h"

#define LOCAL "local://"
#define CLAIM "pvc://"

static bool is_native(const char *point)
{
	return str_has_prefix(point, LOCAL) || str_has_prefix(point, CLAIM);
}

char *mount_cache_path(const json_t *mount)
{
	const char *path = json_str(mount, "path", ""), *name = json_str(mount, "name", "");
	if (*path == '/')
		return strdup(path);
	while (*name == '/')
		name++;
	return str_printf("/%s", name);
}

/* Below MOUNT_NATIVE_DIR: the path, or the name for "/"; without a way out. */
static int native_place(const json_t *mount, const char *path, size_t i, char **ret, struct error *err)
{
	const char *below = strcmp(path, "/") == 0 ? json_str(mount, "name", "") : path;
	while (*below == '/')
		below++;
	if (*below == '\0')
		below = "root"; /* the whole of the dataset, and no name was given */
	struct str rest = str_from(below), part;
	bool bad = false;
	while (str_split_next(&rest, '/', &part))
		bad = bad || str_eq(part, ".") || str_eq(part, "..");
	if (bad)
		return error_set(err, -EINVAL, "spec.mounts[%zu].%s: '%s' cannot be a directory below %s", i,
				 *json_str(mount, "path", "") == '/' && strcmp(path, "/") != 0 ? "path" : "name", below,
				 MOUNT_NATIVE_DIR);
	*ret = str_printf("%s/%s", MOUNT_NATIVE_DIR, below);
	return *ret != NULL ? 0 : error_set(err, -ENOMEM, "spec.mounts: out of memory");
}

static int add_secrets(json_t *secrets, json_t *options, const json_t *list, const json_t *beside, const char *where,
		       struct error *err)
{
	size_t i;
	json_t *o;
	json_array_foreach (list, i, o) {
		const char *name = json_str(o, "name", ""), *secret = json_str(o, "valueFrom.secretKeyRef.name", ""),
			   *key = json_str(o, "valueFrom.secretKeyRef.key", "");
		if (*secret == '\0' || *key == '\0' || strchr(secret, '/') != NULL || strchr(key, '/') != NULL)
			return error_set(err, -EINVAL,
					 "%s[%zu].valueFrom.secretKeyRef: name and key of a secret are needed", where,
					 i);
		if (json_object_get(beside, name) != NULL)
			return error_set(err, -EINVAL, "%s[%zu].name: '%s' stands among the open options too; keep one",
					 where, i, name);
		CLEANUP(free_p) char *file = str_printf("%s/%s/%s", MOUNT_SECRETS_DIR, secret, key);
		json_t *entry =
			file != NULL ? json_pack("{s:s,s:s,s:s}", "secret", secret, "key", key, "file", file) : NULL;
		if (entry == NULL || json_object_set_new(secrets, name, entry) < 0)
			return error_set(err, -ENOMEM, "%s: out of memory", where);
		(void)json_object_del(options, name); /* one of the mount overrides a shared one; absent is fine */
	}
	return 0;
}

static int add_options(json_t *options, json_t *secrets, const json_t *from)
{
	const char *key;
	json_t *v;
	json_object_foreach ((json_t *)from, key, v) {
		if (json_object_set(options, key, v) < 0)
			return -ENOMEM;
		(void)json_object_del(secrets, key); /* as above */
	}
	return 0;
}

static int put_options(const struct reconcile_ctx *ctx, const json_t *mount, size_t i, json_t *out, struct error *err)
{
	const json_t *spec = json_object_get(ctx->dataset, "spec");
	const json_t *shared = json_object_get(spec, "sharedOptions"), *own = json_object_get(mount, "options");
	JSON_AUTO options = json_object();
	JSON_AUTO secrets = json_object();
	char where[64];
	(void)snprintf(where, sizeof where, "spec.mounts[%zu].encryptOptions", i); /* always fits */
	if (options == NULL || secrets == NULL || add_options(options, secrets, shared) < 0)
		return error_set(err, -ENOMEM, "spec.mounts: out of memory");
	int rc = add_secrets(secrets, options, json_object_get(spec, "sharedEncryptOptions"), shared,
			     "spec.sharedEncryptOptions", err);
	if (rc == 0 && add_options(options, secrets, own) < 0)
		rc = error_set(err, -ENOMEM, "spec.mounts: out of memory");
	if (rc == 0)
		rc = add_secrets(secrets, options, json_object_get(mount, "encryptOptions"), own, where, err);
	if (rc < 0)
		return rc;
	return json_object_set(out, "options", options) < 0 || json_object_set(out, "secrets", secrets) < 0
		       ? error_set(err, -ENOMEM, "spec.mounts: out of memory")
		       : 0;
}

static int resolve_one(const struct reconcile_ctx *ctx, const json_t *mount, size_t i, const json_t *before,
		       json_t **ret, struct error *err)
{
	const char *point = json_str(mount, "mountPoint", "");
	CLEANUP(free_p) char *path = mount_cache_path(mount);
	CLEANUP(free_p) char *at = NULL;
	if (path == NULL)
		return error_set(err, -ENOMEM, "spec.mounts: out of memory");
	size_t k;
	json_t *m;
	json_array_foreach (before, k, m)
		if (strcmp(json_str(m, "path", ""), path) == 0)
			return error_set(err, -EINVAL,
					 "spec.mounts[%zu].path: '%s' is spec.mounts[%zu]'s too; give each its own", i,
					 path, k);
	int rc = is_native(point) ? native_place(mount, path, i, &at, err) : 0;
	if (rc < 0)
		return rc;
	JSON_AUTO out = json_pack("{s:s,s:s,s:s,s:b,s:b,s:b}", "mountPoint", point, "name", json_str(mount, "name", ""),
				  "path", path, "readOnly", (int)json_bool(mount, "readOnly", false), "shared",
				  (int)json_bool(mount, "shared", false), "native", (int)is_native(point));
	if (out == NULL || (at != NULL && json_object_set_new(out, "at", json_string(at)) < 0))
		return error_set(err, -ENOMEM, "spec.mounts: out of memory");
	rc = put_options(ctx, mount, i, out, err);
	if (rc == 0)
		*ret = TAKE(out);
	return rc;
}

int mounts_resolve(const struct reconcile_ctx *ctx, json_t **ret, struct error *err)
{
	JSON_AUTO list = json_array();
	size_t i;
	json_t *mount;
	json_array_foreach (json_at(ctx->dataset, "spec.mounts"), i, mount) {
		json_t *one = NULL;
		int rc = resolve_one(ctx, mount, i, list, &one, err);
		if (rc < 0)
			return rc;
		if (json_array_append_new(list, one) < 0)
			return error_set(err, -ENOMEM, "spec.mounts: out of memory");
	}
	if (list == NULL)
		return error_set(err, -ENOMEM, "spec.mounts: out of memory");
	*ret = TAKE(list);
	return 0;
}

/* --- volumes -------------------------------------------------------------------------------------------------------------------- */

/* A volume's name is a label of at most 63 characters; a secret's may have dots and be longer. */
static void volume_label(const char *prefix, const char *name, char out[static 64])
{
	if (strlen(prefix) + strlen(name) < 64 && strchr(name, '.') == NULL)
		(void)snprintf(out, 64, "%s%s", prefix, name); /* it fits */
	else
		(void)snprintf(out, 64, "%.40s%016" PRIx64, prefix, text_hash(name)); /* at most 56 characters */
}

/* secret → list of its keys that are needed. */
static json_t *needed_keys(const json_t *mounts)
{
	JSON_AUTO all = json_object();
	size_t i, k;
	json_t *m, *s, *have;
	const char *option;
	json_array_foreach (mounts, i, m)
		json_object_foreach (json_object_get(m, "secrets"), option, s) {
			const char *secret = json_str(s, "secret", ""), *key = json_str(s, "key", "");
			if (json_object_get(all, secret) == NULL && json_object_set_new(all, secret, json_array()) < 0)
				return NULL;
			bool there = false;
			json_array_foreach (json_object_get(all, secret), k, have)
				there = there || str_same(json_string_value(have), key);
			if (!there && json_array_append_new(json_object_get(all, secret), json_string(key)) < 0)
				return NULL;
		}
	return TAKE(all);
}

int mounts_secret_volumes(const json_t *mounts, const char *prefix, json_t *pod, json_t *container)
{
	JSON_AUTO all = needed_keys(mounts);
	if (all == NULL)
		return -ENOMEM;
	const char *secret;
	json_t *keys, *key;
	size_t i;
	json_object_foreach (all, secret, keys) {
		char name[64];
		volume_label(prefix, secret, name);
		CLEANUP(free_p) char *dir = str_printf("%s/%s", MOUNT_SECRETS_DIR, secret);
		JSON_AUTO items = json_array();
		json_array_foreach (keys, i, key)
			if (json_array_append_new(items, json_pack("{s:O,s:O}", "key", key, "path", key)) < 0)
				return -ENOMEM;
		json_t *v = json_pack("{s:s,s:{s:s,s:i,s:O}}", "name", name, "secret", "secretName", secret,
				      "defaultMode", 0400, "items", items);
		if (dir == NULL || v == NULL || json_push(pod, "spec.volumes", v) < 0 ||
		    container_mount(container, name, dir, true, NULL) < 0)
			return -ENOMEM;
	}
	return 0;
}

static int add_claim(json_t *pod, const char *volume, const char *claim, bool read_only)
{
	json_t *v = json_pack("{s:s,s:{s:s,s:b}}", "name", volume, "persistentVolumeClaim", "claimName", claim,
			      "readOnly", (int)read_only);
	return v != NULL ? json_push(pod, "spec.volumes", v) : -ENOMEM;
}

static int add_native(const json_t *mount, size_t i, json_t *pod, json_t *container)
{
	const char *point = json_str(mount, "mountPoint", ""), *at = json_str(mount, "at", "");
	bool read_only = json_bool(mount, "readOnly", false);
	char volume[40];
	(void)snprintf(volume, sizeof volume, "source-%zu", i); /* at most 27 characters */
	if (str_has_prefix(point, LOCAL))
		return pod_host_path(pod, volume, point + strlen(LOCAL), "Directory") < 0
			       ? -ENOMEM
			       : container_mount(container, volume, at, read_only, "HostToContainer");
	const char *claim = point + strlen(CLAIM), *sub = strchr(claim, '/');
	CLEANUP(free_p) char *name = sub != NULL ? strndup(claim, (size_t)(sub - claim)) : strdup(claim);
	if (name == NULL || add_claim(pod, volume, name, read_only) < 0 ||
	    container_mount(container, volume, at, read_only, NULL) < 0)
		return -ENOMEM;
	while (sub != NULL && *sub == '/')
		sub++;
	json_t *mounts = json_object_get(container, "volumeMounts");
	return sub != NULL && *sub != '\0'
		       ? json_put_str(json_array_get(mounts, json_array_size(mounts) - 1), "subPath", sub)
		       : 0;
}

int mounts_native_volumes(const json_t *mounts, json_t *pod, json_t *container)
{
	size_t i;
	json_t *m;
	json_array_foreach (mounts, i, m)
		if (json_bool(m, "native", false) && add_native(m, i, pod, container) < 0)
			return -ENOMEM;
	return 0;
}
