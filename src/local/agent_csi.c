#include "local/agent_csi.h"

#include <dirent.h>
#include <openssl/evp.h>
#include <pthread.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/error.h"
#include "base/file.h"
#include "base/map.h"
#include "base/str.h"
#include "kube/client.h"
#include "local/agent_csi_call.h"
#include "local/agent_mount.h"
#include "local/agent_paths.h"
#include "json/json.h"

#define VOL_DATA_MAX (64u << 10)
/* Half of the pods' workers: hung drivers must not stop pods without such volumes (their own fuse pods among them). */
#define CALLS_MAX 12

struct agent_csi {
	const struct agent_paths *paths;
	char *node_name;
	atomic_int calls;
	pthread_mutex_t lock; /* guards busy */
	struct map *busy;     /* "driver/volume" of each call under way */
};

int agent_csi_new(const struct agent_paths *paths, const char *node_name, struct agent_csi **ret, struct error *err)
{
	struct agent_csi *n = calloc(1, sizeof *n);
	if (n == NULL || (n->node_name = strdup(node_name)) == NULL || (n->busy = map_new(NULL)) == NULL) {
		agent_csi_free(n);
		return error_set(err, -ENOMEM, "CSI: out of memory");
	}
	n->paths = paths;
	(void)pthread_mutex_init(&n->lock, NULL);
	*ret = n;
	return 0;
}

void agent_csi_free(struct agent_csi *n)
{
	if (n == NULL)
		return;
	map_free(n->busy);
	free(n->node_name);
	free(n);
}

/* One call at a time for a volume. -EAGAIN: come again. */
static int begin(struct agent_csi *n, const char *key, struct error *err)
{
	if (atomic_fetch_add_explicit(&n->calls, 1, memory_order_acq_rel) >= CALLS_MAX) {
		(void)atomic_fetch_sub_explicit(&n->calls, 1, memory_order_acq_rel);
		return error_set(err, -EAGAIN, "%d CSI calls are under way, this one waits", CALLS_MAX);
	}
	pthread_mutex_lock(&n->lock);
	int rc = map_has(n->busy, key) ? -EAGAIN : map_set(n->busy, key, n);
	pthread_mutex_unlock(&n->lock);
	if (rc < 0) {
		(void)atomic_fetch_sub_explicit(&n->calls, 1, memory_order_acq_rel);
		return error_set(err, rc, "another call for volume '%s' is under way", key);
	}
	return 0;
}

static void end(struct agent_csi *n, const char *key)
{
	pthread_mutex_lock(&n->lock);
	(void)map_remove(n->busy, key);
	pthread_mutex_unlock(&n->lock);
	(void)atomic_fetch_sub_explicit(&n->calls, 1, memory_order_acq_rel);
}

static int socket_path(const struct agent_csi *n, const char *driver, struct path *ret, struct error *err)
{
	if (*driver == '\0' || *driver == '.' || strchr(driver, '/') != NULL)
		return error_set(err, -EINVAL, "'%s' is no CSI driver's name", driver);
	return path_set(ret, err, "%s/csi-plugins/%s/csi.sock", n->paths->kubelet_root, driver);
}

/* The directory that kubelets use: the handle may hold any characters. */
static int staging_dir(const struct agent_csi *n, const char *driver, const char *handle, struct path *ret,
		       struct error *err)
{
	unsigned char sum[EVP_MAX_MD_SIZE];
	unsigned len = 0;
	if (EVP_Digest(handle, strlen(handle), sum, &len, EVP_sha256(), NULL) != 1)
		return error_set(err, -EIO, "sha256 is not available");
	char hex[2 * EVP_MAX_MD_SIZE + 1];
	for (unsigned i = 0; i < len; i++)
		(void)snprintf(hex + 2 * i, 3, "%02x", sum[i]);
	return path_set(ret, err, "%s/plugins/kubernetes.io/csi/%s/%s", n->paths->kubelet_root, driver, hex);
}

static int write_vol_data(const char *dir, json_t *data, struct error *err)
{
	struct path path;
	CLEANUP(free_p) char *text = data != NULL ? json_to_text(data, NULL) : NULL;
	json_decref(data);
	if (text == NULL)
		return error_set(err, -ENOMEM, "vol_data.json: out of memory");
	int rc = file_mkdir_all(dir, 0750, err);
	rc = rc ?: path_set(&path, err, "%s/vol_data.json", dir);
	return rc ?: file_write_atomic(path.p, 0600, text, strlen(text), err);
}

static int read_vol_data(const char *dir, json_t **ret)
{
	struct path path;
	CLEANUP(free_p) char *text = NULL;
	size_t n = 0;
	int rc = path_set(&path, NULL, "%s/vol_data.json", dir);
	rc = rc ?: file_read(path.p, VOL_DATA_MAX, &text, &n, NULL);
	return rc ?: json_parse(text, n, ret, NULL);
}

/* What pods give drivers that ask for it (podInfoOnMount). */
static void add_pod_info(json_t *context, const json_t *pod)
{
	(void)json_object_set_new(context, "csi.storage.k8s.io/pod.name", json_string(obj_name(pod)));
	(void)json_object_set_new(context, "csi.storage.k8s.io/pod.namespace", json_string(obj_namespace(pod)));
	(void)json_object_set_new(context, "csi.storage.k8s.io/pod.uid", json_string(obj_uid(pod)));
	(void)json_object_set_new(context, "csi.storage.k8s.io/serviceAccount.name",
				  json_string(json_str(pod, "spec.serviceAccountName", "default")));
	(void)json_object_set_new(context, "csi.storage.k8s.io/ephemeral", json_string("false"));
}

static int publish(struct agent_csi *n, const struct agent_csi_mount *m, const char *driver, const char *handle,
		   const char *dir, const char *target, struct error *err)
{
	const json_t *csi = json_at(m->pv, "spec.csi");
	struct path sock, staging, global;
	int rc = socket_path(n, driver, &sock, err);
	rc = rc ?: staging_dir(n, driver, handle, &staging, err);
	rc = rc ?: path_set(&global, err, "%s/globalmount", staging.p);
	rc = rc
		     ?: write_vol_data(dir,
				       json_pack("{s:s, s:s, s:s, s:s, s:s, s:s}", "attachmentID", "", "driverName",
						 driver, "nodeName", n->node_name, "specVolID", m->pv_name,
						 "volumeHandle", handle, "volumeLifecycleMode", "Persistent"),
				       err);
	if (rc < 0)
		return rc;
	JSON_AUTO context = json_object();
	(void)json_object_update(context, json_object_get(csi, "volumeAttributes") ?: context);
	struct csi_volume v = {.handle = handle,
			       .staging = global.p,
			       .target = target,
			       .pv = m->pv,
			       .read_only = m->read_only,
			       .context = context,
			       .secrets = m->stage_secret};
	bool stages = false;
	rc = csi_call_stages(sock.p, &stages, err);
	if (rc == 0 && stages) {
		rc = write_vol_data(staging.p, json_pack("{s:s, s:s}", "driverName", driver, "volumeHandle", handle),
				    err);
		rc = rc ?: file_mkdir_all(global.p, 0750, err);
		rc = rc ?: csi_call_stage(sock.p, &v, err);
	}
	if (rc < 0)
		return rc;
	if (!stages)
		v.staging = "";
	if (m->pod_info)
		add_pod_info(context, m->pod);
	v.secrets = m->publish_secret;
	return csi_call_publish(sock.p, &v, err);
}

int agent_csi_publish(struct agent_csi *n, const struct agent_csi_mount *m, struct path *ret, struct error *err)
{
	const char *driver = json_str(m->pv, "spec.csi.driver", ""),
		   *handle = json_str(m->pv, "spec.csi.volumeHandle", "");
	if (strcmp(json_str(m->pv, "spec.volumeMode", "Filesystem"), "Filesystem") != 0)
		return error_set(err, -EOPNOTSUPP, "persistentvolume \"%s\": only volumeMode Filesystem works here",
				 m->pv_name);
	struct path dir, target;
	CLEANUP(free_p) char *key = str_printf("%s/%s", driver, handle);
	int rc = path_set(&dir, err, "%s/pods/%s/volumes/kubernetes.io~csi/%s", n->paths->kubelet_root, obj_uid(m->pod),
			  m->pv_name);
	rc = rc ?: path_set(&target, err, "%s/mount", dir.p);
	if (rc < 0 || key == NULL)
		return rc < 0 ? rc : error_set(err, -ENOMEM, "out of memory");
	const int mounts = mount_count(target.p, false, err);
	if (mounts < 0)
		return mounts;
	if (mounts == 0) {
		rc = begin(n, key, err);
		if (rc < 0)
			return rc;
		rc = publish(n, m, driver, handle, dir.p, target.p, err);
		end(n, key);
	}
	return rc < 0 ? error_wrap(err, rc, "CSI driver '%s'", driver) : path_set(ret, err, "%s", target.p);
}

/* Whether another pod than the one of @dir has the volume. */
static bool is_used_elsewhere(const struct agent_csi *n, const char *dir, const char *pv_name)
{
	struct path pods, path;
	if (path_set(&pods, NULL, "%s/pods", n->paths->kubelet_root) < 0)
		return true;
	DIR *d = opendir(pods.p);
	bool used = false;
	for (struct dirent *e; d != NULL && !used && (e = readdir(d)) != NULL;) {
		if (e->d_name[0] == '.' ||
		    path_set(&path, NULL, "%s/%s/volumes/kubernetes.io~csi/%s", pods.p, e->d_name, pv_name) < 0 ||
		    strcmp(path.p, dir) == 0)
			continue;
		used = file_exists(path.p);
	}
	if (d != NULL)
		(void)closedir(d);
	return used;
}

/* The driver is gone or hangs: what it mounted is ours to remove. */
static bool driver_is_away(int rc)
{
	return rc == -ECONNREFUSED || rc == -ENOENT || rc == -ETIMEDOUT || rc == -ECONNRESET;
}

static int unstage(struct agent_csi *n, const char *sock, const char *driver, const char *handle, struct error *err)
{
	struct path staging, global;
	int rc = staging_dir(n, driver, handle, &staging, err);
	rc = rc ?: path_set(&global, err, "%s/globalmount", staging.p);
	if (rc < 0 || !file_exists(staging.p))
		return rc;
	rc = csi_call_unstage(sock, handle, global.p, err);
	if (rc < 0 && !driver_is_away(rc))
		return rc;
	rc = mount_remove_all(staging.p, err);
	return rc ?: mount_remove_tree(staging.p, err);
}

static int unpublish(struct agent_csi *n, const char *dir, const json_t *data, const char *driver, const char *handle,
		     struct error *err)
{
	struct path sock, target;
	int rc = socket_path(n, driver, &sock, err);
	rc = rc ?: path_set(&target, err, "%s/mount", dir);
	if (rc < 0)
		return rc;
	rc = csi_call_unpublish(sock.p, handle, target.p, err);
	if (rc < 0 && !driver_is_away(rc))
		return rc;
	rc = mount_remove_all(target.p, err);
	if (rc == 0 && !is_used_elsewhere(n, dir, json_str(data, "specVolID", "")))
		rc = unstage(n, sock.p, driver, handle, err);
	return rc ?: mount_remove_tree(dir, err);
}

int agent_csi_unpublish(struct agent_csi *n, const char *dir, struct error *err)
{
	JSON_AUTO data = NULL;
	if (read_vol_data(dir, &data) < 0)
		return 0; /* died before anything was asked of a driver */
	const char *driver = json_str(data, "driverName", ""), *handle = json_str(data, "volumeHandle", "");
	CLEANUP(free_p) char *key = str_printf("%s/%s", driver, handle);
	int rc = key != NULL ? begin(n, key, err) : error_set(err, -ENOMEM, "out of memory");
	if (rc < 0)
		return rc;
	rc = unpublish(n, dir, data, driver, handle, err);
	end(n, key);
	return rc < 0 ? error_wrap(err, rc, "CSI driver '%s'", driver) : 0;
}

int agent_csi_drivers(struct agent_csi *n, json_t **ret, struct error *err)
{
	struct path dir, sock;
	int rc = path_set(&dir, err, "%s/csi-plugins", n->paths->kubelet_root);
	DIR *d = rc == 0 ? opendir(dir.p) : NULL;
	if (d == NULL)
		return rc < 0 ? rc : error_set(err, -errno, "open '%s': %s", dir.p, strerror(errno));
	json_t *list = json_array();
	for (struct dirent *e; (e = readdir(d)) != NULL;) {
		CLEANUP(free_p) char *id = NULL;
		if (e->d_name[0] == '.' || socket_path(n, e->d_name, &sock, NULL) < 0 ||
		    csi_call_node_id(sock.p, &id, NULL) < 0)
			continue; /* not one that answers */
		(void)json_array_append_new(
			list, json_pack("{s:s, s:s, s:[]}", "name", e->d_name, "nodeID", id, "topologyKeys"));
	}
	(void)closedir(d);
	*ret = list;
	return 0;
}
