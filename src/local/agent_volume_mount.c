/* Volumes as mounts of one container: read-only, subPath, propagation. */
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/error.h"
#include "base/file.h"
#include "base/str.h"
#include "kube/client.h"
#include "local/agent_env.h"
#include "local/agent_mount.h"
#include "local/agent_oci.h"
#include "local/agent_paths.h"
#include "local/agent_shared.h"
#include "local/agent_volume_private.h"
#include "json/json.h"

struct mount_call {
	const struct volume_host *h;
	const json_t *pod, *container, *volumes, *env;
};

/* mkdir -p beneath @root, never out of it. */
static int make_beneath(int root, const char *rel)
{
	CLEANUP(free_p) char *copy = strdup(rel);
	if (copy == NULL)
		return -ENOMEM;
	for (char *slash = copy;; slash++) {
		slash = strchrnul(slash, '/');
		const char was = *slash;
		*slash = '\0';
		if (*copy != '\0') {
			CLEANUP(close_fd) int fd = file_open_beneath(root, copy, O_PATH | O_CLOEXEC, 0);
			if (fd == -ENOENT) {
				const char *last = strrchr(copy, '/');
				CLEANUP(free_p)
				char *parent = last != NULL ? strndup(copy, (size_t)(last - copy)) : strdup(".");
				CLEANUP(close_fd)
				int dir = parent != NULL
						  ? file_open_beneath(root, parent, O_PATH | O_DIRECTORY | O_CLOEXEC, 0)
						  : -ENOMEM;
				if (dir < 0)
					return dir;
				if (mkdirat(dir, last != NULL ? last + 1 : copy, 0755) < 0 && errno != EEXIST)
					return -errno;
			} else if (fd < 0) {
				return fd;
			}
		}
		if (was == '\0')
			return 0;
		*slash = was;
	}
}

/*
 * Bind volume/@sub at a path of the agent's own and give that: the container's user may turn parts of the path into links later, but what
 * was opened beneath the volume stays what it is.
 */
static int sub_path(const struct mount_call *c, const char *volume, const char *base, const char *sub, size_t index,
		    struct path *ret, struct error *err)
{
	if (*sub == '/' || strlen(sub) >= PATH_MAX / 2)
		return error_set(err, -EINVAL, "subPath '%.100s' must be relative", sub);
	CLEANUP(close_fd) int root = open(base, O_PATH | O_CLOEXEC);
	if (root < 0)
		return error_set(err, -errno, "subPath: open '%s': %s", base, strerror(errno));
	int rc = make_beneath(root, sub);
	CLEANUP(close_fd) int fd = rc < 0 ? rc : file_open_beneath(root, sub, O_PATH | O_CLOEXEC, 0);
	if (fd < 0)
		return error_set(err, fd, "subPath '%s': %s", sub,
				 fd == -EXDEV ? "leads out of the volume" : strerror(-fd));

	struct stat st;
	rc = path_set(ret, err, "%s/pods/%s/volume-subpaths/%s/%s/%zu", c->h->paths->kubelet_root, obj_uid(c->pod),
		      volume, json_str(c->container, "name", ""), index);
	if (rc < 0 || fstat(fd, &st) < 0)
		return rc < 0 ? rc : error_set(err, -errno, "subPath '%s': %s", sub, strerror(errno));
	/* Of an earlier start of this container. */
	rc = mount_remove_all(ret->p, err) ?: mount_remove_tree(ret->p, err);
	if (rc < 0)
		return rc;
	if (S_ISDIR(st.st_mode)) {
		rc = file_mkdir_all(ret->p, 0750, err);
	} else {
		struct path dir;
		rc = path_set(&dir, err, "%s", ret->p);
		if (rc == 0)
			*strrchr(dir.p, '/') = '\0';
		rc = rc ?: file_mkdir_all(dir.p, 0750, err);
		if (rc == 0) {
			CLEANUP(close_fd) int file = open(ret->p, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
			rc = file < 0 ? error_set(err, -errno, "create '%s': %s", ret->p, strerror(errno)) : 0;
		}
	}
	return rc ?: mount_bind(sub, fd, ret->p, false, err);
}

static int propagation(const struct mount_call *c, const json_t *m, const char *source, const char **ret,
		       struct error *err)
{
	const char *p = json_str(m, "mountPropagation", "None");
	*ret = "rprivate";
	if (strcmp(p, "None") == 0)
		return 0;
	if (strcmp(p, "Bidirectional") == 0) {
		if (!oci_privileged(c->container))
			return error_set(err, -EINVAL,
					 "mountPropagation: Bidirectional is available only to privileged containers");
		*ret = "rshared";
	} else if (strcmp(p, "HostToContainer") == 0) {
		*ret = "rslave";
	} else {
		return error_set(err, -EINVAL, "mountPropagation: '%s' is unknown", p);
	}
	struct stat st;
	if (stat(source, &st) < 0 || !S_ISDIR(st.st_mode))
		return 0; /* nothing can be mounted in a file */
	return shared_mounts_acquire(c->h->shared, source, obj_uid(c->pod), err);
}

static int mount_one(const struct mount_call *c, const json_t *m, size_t index, json_t *list, struct error *err)
{
	const char *name = json_str(m, "name", ""), *dest = json_str(m, "mountPath", "");
	const json_t *volume = json_object_get(c->volumes, name);
	if (volume == NULL)
		return error_set(err, -EINVAL, "there is no volume '%s'", name);
	const char *base = json_str(volume, "path", ""), *sub = json_str(m, "subPath", ""),
		   *expr = json_str(m, "subPathExpr", "");
	const bool read_only = json_bool(m, "readOnly", false) || json_bool(volume, "readOnly", false);
	CLEANUP(free_p) char *expanded = *expr != '\0' ? env_expand(expr, c->env) : NULL;
	if (expanded != NULL)
		sub = expanded;
	struct path source;
	int rc = *sub != '\0' ? sub_path(c, name, base, sub, index, &source, err) : path_set(&source, err, "%s", base);
	const char *prop = NULL;
	rc = rc ?: propagation(c, m, *sub != '\0' ? base : source.p, &prop, err);
	CLEANUP(free_p) char *absolute = str_printf("%s%s", *dest == '/' ? "" : "/", dest);
	if (rc < 0)
		return rc;
	/* "ro" leaves mounts inside writable, as Kubernetes has it unless asked for more. */
	const bool recursive = strcmp(json_str(m, "recursiveReadOnly", "Disabled"), "Disabled") != 0;
	json_t *options = json_pack("[s, s, s]", "rbind", prop, !read_only ? "rw" : recursive ? "rro" : "ro");
	if (absolute == NULL ||
	    json_array_append_new(list, json_pack("{s:s, s:s, s:s, s:o}", "destination", absolute, "type", "bind",
						  "source", source.p, "options", options)) < 0)
		return error_set(err, -ENOMEM, "out of memory");
	return 0;
}

int volumes_mounts(const struct volume_host *h, const json_t *pod, const json_t *container, const json_t *volumes,
		   const json_t *env, json_t **ret, struct error *err)
{
	const struct mount_call c = {.h = h, .pod = pod, .container = container, .volumes = volumes, .env = env};
	JSON_AUTO list = json_array();
	size_t i;
	const json_t *m;
	json_array_foreach (json_object_get(container, "volumeMounts"), i, m) {
		const int rc = mount_one(&c, m, i, list, err);
		if (rc < 0)
			return error_wrap(err, rc, "volumeMounts[%zu] (%s)", i, json_str(m, "name", ""));
	}
	*ret = TAKE(list);
	return 0;
}
