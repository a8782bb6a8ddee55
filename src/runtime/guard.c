#include "runtime/guard.h"

#include <stdio.h>
#include <string.h>

#include "api/common.h"
#include "base/str.h"
#include "sluice/engine.h"
#include "json/json.h"

int guard_image(const struct engine_limits *l, const char *path, const char *image, struct error *err)
{
	for (const char *const *p = l->allowed_images; p != NULL && *p != NULL; p++)
		if (**p != '\0' && str_has_prefix(image, *p))
			return 0;
	return error_set(err, -EACCES,
			 "%s: image '%s' may not run privileged; the operator allows images by --allowed-images", path,
			 image);
}

/* Parts that would make prefix comparison lie. */
static bool has_dot_part(const char *dir)
{
	struct str rest = str_from(dir), part;
	while (str_split_next(&rest, '/', &part))
		if (str_eq(part, ".") || str_eq(part, ".."))
			return true;
	return false;
}

static bool is_below(const char *dir, const char *root)
{
	size_t n = strlen(root);
	while (n > 1 && root[n - 1] == '/')
		n--;
	if (n == 1 && root[0] == '/')
		return true;
	return strncmp(dir, root, n) == 0 && (dir[n] == '\0' || dir[n] == '/');
}

int guard_host_path(const struct engine_limits *l, const char *path, const char *dir, struct error *err)
{
	if (dir[0] != '/' || has_dot_part(dir))
		return error_set(err, -EINVAL, "%s: '%s' must be an absolute path without '.' and '..'", path, dir);
	for (const char *const *p = l->allowed_host_paths; p != NULL && *p != NULL; p++)
		if (**p == '/' && is_below(dir, *p))
			return 0;
	return error_set(err, -EACCES,
			 "%s: directory '%s' of the host may not be used; the operator allows directories by "
			 "--allowed-host-paths",
			 path, dir);
}

int guard_labels(const char *path, const struct pod_metadata *m, struct error *err)
{
	static const char *const ours[] = {"app", "release", "role"};
	for (size_t i = 0; i < m->labels.n; i++) {
		const char *key = m->labels.v[i].key;
		bool taken = str_has_prefix(key, "fluid.io/");
		for (size_t k = 0; k < ARRAY_LEN(ours); k++)
			taken = taken || strcmp(key, ours[k]) == 0;
		if (taken)
			return error_set(err, -EINVAL, "%s.labels[%s]: this label is set by the controller", path, key);
	}
	return 0;
}

int guard_volumes(const struct engine_limits *l, const json_t *volumes, struct error *err)
{
	size_t i;
	json_t *v;
	json_array_foreach (volumes, i, v) {
		const json_t *host = json_object_get(v, "hostPath");
		char path[64];
		(void)snprintf(path, sizeof path, "spec.volumes[%zu].hostPath.path", i); /* at most 51 characters */
		int rc = host != NULL ? guard_host_path(l, path, json_str(host, "path", ""), err) : 0;
		if (rc < 0)
			return rc;
	}
	return 0;
}
