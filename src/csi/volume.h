/* What a request says about a volume, checked. Volume attributes come from objects that a user may have written: they are hostile. */
#pragma once

#include <limits.h>
#include <stdbool.h>
#include <stddef.h>

struct error;

struct volume_attribute {
	const char *key, *value;
};

enum publish_method { PUBLISH_BIND, PUBLISH_SYMLINK };

struct volume {
	char fluid_path[PATH_MAX]; /* as given, for messages and links */
	const char *fluid_rel;     /* the same below the mount root, inside fluid_path */
	char sub_path[PATH_MAX];   /* relative, "" for the whole */
	char mount_type[64];
	char runtime_namespace[64], runtime_name[256];
	char label_key[320]; /* node label that calls the fuse pod here; "" when the volume names none */
	enum publish_method method;
	bool skip_mount_check; /* the path alone has to be there, not a mount */
};

/**
 * Read the attributes. @mount_root is an absolute path without a slash at its end. 0, or -EINVAL with the attribute's name and what is wrong with it.
 */
int volume_parse(const char *mount_root, enum publish_method dflt, const struct volume_attribute *attributes, size_t n,
		 struct volume *ret, struct error *err);

/**
 * The part of @path that lies below @root, without leading slash; NULL when @path is not absolute, not below, too long, or has an
 * empty, "." or ".." component or a control character.
 */
const char *path_below(const char *root, const char *path);
/** Whether @rel is a relative path of proper components without control characters. */
bool path_is_clean(const char *rel);
/** Whether @key is a label that calls a fuse pod to a node ("fluid.io/f-..."). No other label is ever written. */
bool fuse_label_is_valid(const char *key);
