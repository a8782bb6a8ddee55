/*
 * A Dataset's mounts as an engine makes them: options merged, paths made out, secrets as files. No secret is ever read here: a pod mounts
 * it, and what is handed on is the path of the file.
 */
#pragma once

#include <jansson.h>

#include "sluice/engine.h"

/** Where pods find secrets: MOUNT_SECRETS_DIR/<secret>/<key>. */
#define MOUNT_SECRETS_DIR "/etc/fluid/secrets"
/** Where pods find local:// directories and pvc:// claims: MOUNT_NATIVE_DIR/<path or name>. */
#define MOUNT_NATIVE_DIR "/underFSStorage"

/**
 * spec.mounts, each {"mountPoint", "name", "path" (absolute: its own, else "/<name>"), "readOnly", "shared", "native" (true for local:// and
 * pvc://), "at" (where pods find it, native ones alone), "options" (sharedOptions, overridden by its own), "secrets" (option → {"secret",
 * "key", "file"}, shared ones overridden by its own)}: a new array. -EINVAL with the field's path when an option stands both in the open
 * and encrypted on one level, or two mounts have one path, or a native mount's directory would leave MOUNT_NATIVE_DIR.
 */
int mounts_resolve(const struct reconcile_ctx *ctx, json_t **ret, struct error *err);

/** Where one of spec.mounts lies in the cache: its path when that is absolute, else "/<name>"; malloc'ed, NULL on no memory. */
char *mount_cache_path(const json_t *mount);

/** Give @pod (a template) and its @container the secrets that @mounts (of mounts_resolve()) name, only the keys that they name. */
int mounts_secret_volumes(const json_t *mounts, const char *prefix, json_t *pod, json_t *container);
/**
 * Give them the native mounts: host directories and claims below MOUNT_NATIVE_DIR, read-only ones read-only. What may be mounted is for
 * guard_host_path() and validate() to say.
 */
int mounts_native_volumes(const json_t *mounts, json_t *pod, json_t *container);
