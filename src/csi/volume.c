#include "csi/volume.h"

#include <ctype.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/error.h"
#include "base/str.h"

#define FUSE_LABEL_PREFIX  "fluid.io/f-"
#define LABEL_NAME_MAX     63 /* behind the prefix's slash */
#define MOUNT_TYPE_DEFAULT "alluxio-fuse"
#define SKIP_CHECK         "fluid.io/skip-check-mount-ready-target"

bool path_is_clean(const char *rel)
{
	if (*rel == '\0' || strlen(rel) >= PATH_MAX)
		return false;
	struct str rest = str_from(rel), part;
	while (str_split_next(&rest, '/', &part)) {
		if (part.n == 0 || part.n > NAME_MAX || str_eq(part, ".") || str_eq(part, ".."))
			return false;
		for (size_t i = 0; i < part.n; i++)
			if (iscntrl((unsigned char)part.p[i]))
				return false;
	}
	return true;
}

const char *path_below(const char *root, const char *path)
{
	const size_t n = strlen(root);
	if (*path != '/' || strlen(path) >= PATH_MAX || strncmp(path, root, n) != 0 || path[n] != '/')
		return NULL;
	return path_is_clean(path + n + 1) ? path + n + 1 : NULL;
}

bool fuse_label_is_valid(const char *key)
{
	if (!str_has_prefix(key, FUSE_LABEL_PREFIX))
		return false;
	const char *name = strchr(key, '/') + 1;
	const size_t n = strlen(name);
	if (n > LABEL_NAME_MAX || !isalnum((unsigned char)name[n - 1]))
		return false;
	for (size_t i = 0; i < n; i++)
		if (!isalnum((unsigned char)name[i]) && strchr("-_.", name[i]) == NULL)
			return false;
	return true;
}

static int bad(struct error *err, const char *key, const char *why)
{
	return error_set(err, -EINVAL, "volume attribute %s: %s", key, why);
}

static bool is_name(const char *s)
{
	for (; *s != '\0'; s++)
		if (!islower((unsigned char)*s) && !isdigit((unsigned char)*s) && *s != '-' && *s != '.')
			return false;
	return true;
}

static int set_sub_path(struct volume *v, const char *key, const char *value, struct error *err)
{
	while (*value == '/')
		value++;
	size_t n = strlen(value);
	while (n > 0 && value[n - 1] == '/')
		n--;
	if (n >= sizeof v->sub_path)
		return bad(err, key, "is too long");
	memcpy(v->sub_path, value, n);
	v->sub_path[n] = '\0';
	return n == 0 || path_is_clean(v->sub_path)
		       ? 0
		       : bad(err, key, "must be a path below the dataset, without '.', '..' and control characters");
}

static int set_method(struct volume *v, const char *key, const char *value, struct error *err)
{
	if (strcmp(value, "symlink") == 0)
		v->method = PUBLISH_SYMLINK;
	else if (strcmp(value, "bindMount") == 0)
		v->method = PUBLISH_BIND;
	else if (*value != '\0')
		return bad(err, key, "must be bindMount or symlink");
	return 0;
}

/* A list of where the check is to be left out; "MountPod" is us. */
static int set_skip_check(struct volume *v, const char *key, const char *value, struct error *err)
{
	struct str rest = str_from(value), item;
	while (str_split_next(&rest, ',', &item)) {
		if (str_eq(item, "All") || str_eq(item, "MountPod"))
			v->skip_mount_check = true;
		else if (item.n > 0 && !str_eq(item, "Sidecar") && !str_eq(item, "None"))
			return bad(err, key, "must be a list of All, MountPod, Sidecar and None");
	}
	return 0;
}

static int set_text(char *dst, size_t size, const char *key, const char *value, struct error *err)
{
	return str_copy(dst, size, value) == 0 ? 0 : bad(err, key, "is too long");
}

static int set_one(struct volume *v, const char *key, const char *value, struct error *err)
{
	if (strcmp(key, "fluid_path") == 0)
		return set_text(v->fluid_path, sizeof v->fluid_path, key, value, err);
	if (strcmp(key, "fluid_sub_path") == 0)
		return set_sub_path(v, key, value, err);
	if (strcmp(key, "mount_type") == 0)
		return set_text(v->mount_type, sizeof v->mount_type, key, value, err);
	if (strcmp(key, "runtime_namespace") == 0)
		return set_text(v->runtime_namespace, sizeof v->runtime_namespace, key, value, err);
	if (strcmp(key, "runtime_name") == 0)
		return set_text(v->runtime_name, sizeof v->runtime_name, key, value, err);
	if (strcmp(key, "mount_pod_node_selector_key") == 0)
		return set_text(v->label_key, sizeof v->label_key, key, value, err);
	if (strcmp(key, "node_publish_method") == 0)
		return set_method(v, key, value, err);
	if (strcmp(key, SKIP_CHECK) == 0)
		return set_skip_check(v, key, value, err);
	if (strcmp(key, "efc_sessmgr_workdir") == 0)
		return bad(err, key, "volumes of EFC are not served yet");
	return 0; /* the kubelet adds its own (csi.storage.k8s.io/...) */
}

static int check(struct volume *v, const char *mount_root, struct error *err)
{
	if (v->fluid_path[0] == '\0')
		return bad(err, "fluid_path", "is missing");
	v->fluid_rel = path_below(mount_root, v->fluid_path);
	if (v->fluid_rel == NULL)
		return error_set(err, -EINVAL,
				 "volume attribute fluid_path: must be a path below %s, without '.', '..' and control "
				 "characters",
				 mount_root);
	if (v->mount_type[0] == '\0')
		(void)str_copy(v->mount_type, sizeof v->mount_type, MOUNT_TYPE_DEFAULT); /* fits */
	if (v->label_key[0] != '\0' && !fuse_label_is_valid(v->label_key))
		return bad(err, "mount_pod_node_selector_key", "must be a label that begins with " FUSE_LABEL_PREFIX);
	if (!is_name(v->runtime_namespace))
		return bad(err, "runtime_namespace", "is no name of a namespace");
	if (!is_name(v->runtime_name))
		return bad(err, "runtime_name", "is no name of a runtime");
	return 0;
}

int volume_parse(const char *mount_root, enum publish_method dflt, const struct volume_attribute *attributes, size_t n,
		 struct volume *ret, struct error *err)
{
	*ret = (struct volume){.method = dflt}; /* large: filled in place, of no meaning after a failure */
	for (size_t i = 0; i < n; i++) {
		const int rc = set_one(ret, attributes[i].key, attributes[i].value, err);
		if (rc < 0)
			return rc;
	}
	return check(ret, mount_root, err);
}
