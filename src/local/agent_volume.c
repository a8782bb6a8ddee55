#include "local/agent_volume.h"

#include <dirent.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/error.h"
#include "base/file.h"
#include "base/str.h"
#include "kube/client.h"
#include "kube/resource.h"
#include "local/agent_csi.h"
#include "local/agent_mount.h"
#include "local/agent_paths.h"
#include "local/agent_shared.h"
#include "local/agent_volume_private.h"
#include "json/json.h"
#include "json/quantity.h"

int volume_dir(const struct volume_host *h, const json_t *pod, const char *plugin, const char *name, unsigned mode,
	       struct path *ret, struct error *err)
{
	if (*name == '\0' || *name == '.' || strchr(name, '/') != NULL)
		return error_set(err, -EINVAL, "'%s' is no volume's name", name);
	int rc = path_set(ret, err, "%s/pods/%s/volumes/%s/%s", h->paths->kubelet_root, obj_uid(pod), plugin, name);
	if (rc < 0 || mode == 0)
		return rc;
	rc = file_mkdir_all(ret->p, 0750, err);
	if (rc == 0 && chmod(ret->p, (mode_t)mode) < 0)
		rc = error_set(err, -errno, "'%s': %s", ret->p, strerror(errno));
	return rc;
}

int64_t volume_group(const json_t *pod)
{
	return json_int(pod, "spec.securityContext.fsGroup", -1);
}

static int empty_dir(const struct volume_host *h, const json_t *pod, const json_t *volume, struct path *ret,
		     struct error *err)
{
	const json_t *source = json_object_get(volume, "emptyDir");
	const char *medium = json_str(source, "medium", ""), *limit = json_str(source, "sizeLimit", NULL);
	const bool memory = strcmp(medium, "Memory") == 0;
	int64_t size = 0;
	int rc = 0;
	if (*medium != '\0' && !memory)
		return error_set(err, -EINVAL, "emptyDir.medium: '%s' is not offered here, only Memory", medium);
	if (limit != NULL)
		rc = quantity_parse(limit, &size, err);
	rc = rc ?: volume_dir(h, pod, "kubernetes.io~empty-dir", json_str(volume, "name", ""), 0777, ret, err);
	if (rc == 0 && memory) {
		const int n = mount_count(ret->p, false, err);
		rc = n < 0 ? n : n > 0 ? 0 : mount_tmpfs(ret->p, 0777, (size_t)size, err);
	}
	const int64_t gid = volume_group(pod);
	if (rc == 0 && gid >= 0 && (chown(ret->p, (uid_t)-1, (gid_t)gid) < 0 || chmod(ret->p, 02777) < 0))
		rc = error_set(err, -errno, "'%s': %s", ret->p, strerror(errno));
	return rc;
}

static int touch(const char *path, struct error *err)
{
	CLEANUP(close_fd) int fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC | O_NONBLOCK, 0644);
	return fd < 0 ? error_set(err, -errno, "create '%s': %s", path, strerror(errno)) : 0;
}

static int host_path(const json_t *source, struct path *ret, struct error *err)
{
	static const struct {
		const char *type;
		mode_t want;
		bool create;
		const char *what;
	} types[] = {
		{"Directory", S_IFDIR, false, "a directory"},
		{"DirectoryOrCreate", S_IFDIR, true, "a directory"},
		{"File", S_IFREG, false, "a file"},
		{"FileOrCreate", S_IFREG, true, "a file"},
		{"Socket", S_IFSOCK, false, "a socket"},
		{"CharDevice", S_IFCHR, false, "a character device"},
		{"BlockDevice", S_IFBLK, false, "a block device"},
	};
	const char *path = json_str(source, "path", ""), *type = json_str(source, "type", "");
	if (*path != '/')
		return error_set(err, -EINVAL, "hostPath.path: '%s' must be absolute", path);
	int rc = path_set(ret, err, "%s", path);
	struct stat st;
	if (rc == 0 && *type == '\0') /* as container runtimes: what is absent becomes a directory */
		return lstat(path, &st) < 0 ? file_mkdir_all(path, 0755, err) : 0;
	for (size_t i = 0; rc == 0 && i < ARRAY_LEN(types); i++) {
		if (strcmp(types[i].type, type) != 0)
			continue;
		if (types[i].create && stat(path, &st) < 0 && errno == ENOENT)
			rc = types[i].want == S_IFDIR ? file_mkdir_all(path, 0755, err) : touch(path, err);
		if (rc < 0)
			return rc;
		if (stat(path, &st) < 0)
			return error_set(err, -errno, "hostPath type check failed: %s: %s", path, strerror(errno));
		return (st.st_mode & S_IFMT) == types[i].want
			       ? 0
			       : error_set(err, -ENOTDIR, "hostPath type check failed: %s is not %s", path,
					   types[i].what);
	}
	return rc < 0 ? rc : error_set(err, -EINVAL, "hostPath.type: '%s' is unknown", type);
}

static int fetch_secret_data(const struct volume_host *h, const json_t *csi, const char *ref, json_t **ret,
			     struct error *err)
{
	const json_t *r = json_object_get(csi, ref);
	if (r == NULL)
		return 0;
	JSON_AUTO secret = NULL;
	const char *ns = json_str(r, "namespace", "default"), *name = json_str(r, "name", "");
	const int rc = h->fetch(h->ctx, &KUBE_SECRET, ns, name, &secret, err);
	if (rc < 0)
		return error_wrap(err, rc, "csi.%s: secret %s/%s", ref, ns, name);
	*ret = json_incref(json_object_get(secret, "data"));
	return 0;
}

static int csi_volume(const struct volume_host *h, const json_t *pod, const json_t *pv, bool read_only,
		      struct path *ret, struct error *err)
{
	if (h->csi == NULL)
		return error_set(err, -EOPNOTSUPP, "CSI volumes are not available here");
	const json_t *csi = json_at(pv, "spec.csi");
	const char *driver = json_str(csi, "driver", "");
	JSON_AUTO driver_obj = NULL;
	JSON_AUTO stage = NULL;
	JSON_AUTO publish = NULL;
	int rc = h->fetch(h->ctx, &KUBE_CSI_DRIVER, "", driver, &driver_obj, err);
	if (rc < 0 && rc != -ENOENT)
		return rc;
	if (driver_obj != NULL && json_bool(driver_obj, "spec.attachRequired", true))
		return error_set(
			err, -EOPNOTSUPP,
			"CSI driver '%s' wants volumes to be attached first (attachRequired), which is not done here",
			driver);
	rc = fetch_secret_data(h, csi, "nodeStageSecretRef", &stage, err);
	rc = rc ?: fetch_secret_data(h, csi, "nodePublishSecretRef", &publish, err);
	if (rc < 0)
		return rc;
	const struct agent_csi_mount m = {.pod = pod,
					  .pv = pv,
					  .pv_name = obj_name(pv),
					  .read_only = read_only,
					  .pod_info = json_bool(driver_obj, "spec.podInfoOnMount", false),
					  .stage_secret = stage,
					  .publish_secret = publish};
	return agent_csi_publish(h->csi, &m, ret, err);
}

static int claim(const struct volume_host *h, const json_t *pod, const json_t *volume, bool *read_only,
		 struct path *ret, struct error *err)
{
	const json_t *source = json_object_get(volume, "persistentVolumeClaim");
	const char *name = json_str(source, "claimName", "");
	JSON_AUTO pvc = NULL;
	JSON_AUTO pv = NULL;
	int rc = h->fetch(h->ctx, &KUBE_PVC, obj_namespace(pod), name, &pvc, err);
	if (rc < 0)
		return rc == -ENOENT ? error_set(err, rc, "persistentvolumeclaim \"%s\" not found", name) : rc;
	const char *pv_name = json_str(pvc, "spec.volumeName", "");
	if (*pv_name == '\0' || strcmp(json_str(pvc, "status.phase", ""), "Bound") != 0)
		return error_set(err, -EAGAIN, "persistentvolumeclaim \"%s\" is not bound yet", name);
	rc = h->fetch(h->ctx, &KUBE_PV, "", pv_name, &pv, err);
	if (rc < 0)
		return rc == -ENOENT ? error_set(err, rc, "persistentvolume \"%s\" not found", pv_name) : rc;
	const json_t *ref = json_at(pv, "spec.claimRef");
	if (ref != NULL && !str_same(json_str(ref, "uid", obj_uid(pvc)), obj_uid(pvc)))
		return error_set(err, -EAGAIN, "persistentvolume \"%s\" belongs to another claim", pv_name);
	*read_only = json_bool(source, "readOnly", false) || json_bool(pv, "spec.csi.readOnly", false);
	const json_t *part;
	if (json_at(pv, "spec.csi") != NULL)
		return csi_volume(h, pod, pv, *read_only, ret, err);
	if ((part = json_at(pv, "spec.hostPath")) != NULL)
		return host_path(part, ret, err);
	if ((part = json_at(pv, "spec.local")) != NULL)
		return host_path(part, ret, err);
	return error_set(err, -EINVAL, "persistentvolume \"%s\": only csi, hostPath and local work here", pv_name);
}

static int setup_one(const struct volume_host *h, const json_t *pod, const json_t *volume, bool *read_only,
		     struct path *ret, struct error *err)
{
	if (json_object_get(volume, "hostPath") != NULL)
		return host_path(json_object_get(volume, "hostPath"), ret, err);
	if (json_object_get(volume, "emptyDir") != NULL)
		return empty_dir(h, pod, volume, ret, err);
	if (json_object_get(volume, "persistentVolumeClaim") != NULL)
		return claim(h, pod, volume, read_only, ret, err);
	if (volume_is_projected(volume)) {
		*read_only = true;
		return volume_project(h, pod, volume, ret, err);
	}
	return error_set(err, -EINVAL,
			 "its type does not work here: hostPath, emptyDir, configMap, secret, downwardAPI, projected "
			 "and persistentVolumeClaim do");
}

int volumes_setup(const struct volume_host *h, const json_t *pod, json_t **ret, struct error *err)
{
	JSON_AUTO paths = json_object();
	size_t i;
	const json_t *v;
	json_array_foreach (json_at(pod, "spec.volumes"), i, v) {
		const char *name = json_str(v, "name", "");
		struct path path;
		bool read_only = false;
		int rc = setup_one(h, pod, v, &read_only, &path, err);
		if (rc == 0 && json_object_set_new(paths, name,
						   json_pack("{s:s, s:b}", "path", path.p, "readOnly", read_only)) < 0)
			rc = error_set(err, -ENOMEM, "out of memory");
		if (rc < 0)
			return error_wrap(err, rc, "MountVolume.SetUp failed for volume \"%s\"", name);
	}
	*ret = TAKE(paths);
	return 0;
}

int volumes_refresh(const struct volume_host *h, const json_t *pod, struct error *err)
{
	size_t i;
	const json_t *v;
	int first = 0;
	json_array_foreach (json_at(pod, "spec.volumes"), i, v) {
		struct path path;
		if (!volume_is_projected(v))
			continue;
		const int rc = volume_project(h, pod, v, &path, first == 0 ? err : NULL);
		if (rc < 0 && first == 0)
			first = error_wrap(err, rc, "MountVolume.SetUp failed for volume \"%s\"",
					   json_str(v, "name", ""));
	}
	return first;
}

/* One plug-in's directory: each volume in it is unmounted in the way of its kind. */
static int teardown_plugin(const struct volume_host *h, const char *plugin_dir, bool csi, struct error *err)
{
	DIR *d = opendir(plugin_dir);
	if (d == NULL)
		return errno == ENOENT ? 0 : error_set(err, -errno, "open '%s': %s", plugin_dir, strerror(errno));
	int rc = 0;
	struct path path;
	for (struct dirent *e; rc == 0 && (e = readdir(d)) != NULL;) {
		if (e->d_name[0] == '.')
			continue;
		rc = path_set(&path, err, "%s/%s", plugin_dir, e->d_name);
		if (rc == 0 && csi && h->csi != NULL)
			rc = agent_csi_unpublish(h->csi, path.p, err);
		rc = rc ?: mount_remove_all(path.p, err);
		rc = rc ?: mount_remove_tree(path.p, err);
	}
	(void)closedir(d);
	return rc;
}

int volumes_teardown(const struct volume_host *h, const char *uid, struct error *err)
{
	struct path pod_dir, path;
	if (strchr(uid, '/') != NULL || *uid == '\0' || *uid == '.')
		return error_set(err, -EINVAL, "'%s' is no pod's uid", uid);
	int rc = path_set(&pod_dir, err, "%s/pods/%s", h->paths->kubelet_root, uid);
	/* Binds of subPaths first: they hold the volumes. */
	rc = rc ?: path_set(&path, err, "%s/volume-subpaths", pod_dir.p);
	rc = rc ?: mount_remove_all(path.p, err);
	rc = rc ?: path_set(&path, err, "%s/volumes/kubernetes.io~csi", pod_dir.p);
	rc = rc ?: teardown_plugin(h, path.p, true, err);
	rc = rc ?: mount_remove_all(pod_dir.p, err);
	rc = rc ?: mount_remove_tree(pod_dir.p, err);
	rc = rc ?: shared_mounts_release(h->shared, uid, err);
	return rc < 0 ? error_wrap(err, rc, "take volumes down") : 0;
}
