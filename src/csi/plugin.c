#include "csi/plugin.h"

#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/file.h"
#include "base/map.h"
#include "base/str.h"
#include "csi/plugin_internal.h"
#include "kube/client.h"

/* --- busy names --- */

int busy_enter(struct busy_set *b, const char *name)
{
	static char present;
	pthread_mutex_lock(&b->lock);
	const int rc = map_has(b->names, name) ? -EBUSY : map_set(b->names, name, &present);
	pthread_mutex_unlock(&b->lock);
	return rc;
}

void busy_leave(struct busy_set *b, const char *name)
{
	pthread_mutex_lock(&b->lock);
	(void)map_remove(b->names, name); /* there: busy_enter() put it */
	pthread_mutex_unlock(&b->lock);
}

static int busy_init(struct busy_set *b)
{
	pthread_mutex_init(&b->lock, NULL);
	b->names = map_new(NULL);
	return b->names == NULL ? -ENOMEM : 0;
}

static void busy_clear(struct busy_set *b)
{
	map_free(b->names);
	pthread_mutex_destroy(&b->lock);
}

/* --- Kubernetes --- */

static int api_get(void *ctx, const struct kube_resource *r, const char *ns, const char *name, json_t **ret,
		   struct error *err)
{
	return kube_get(ctx, r, ns, name, ret, err);
}

static int api_patch_node(void *ctx, const char *name, const json_t *patch, struct error *err)
{
	return kube_patch(ctx, &KUBE_NODE, NULL, name, NULL, KUBE_PATCH_STRATEGIC, patch, NULL, err);
}

struct csi_api csi_api_of(struct kube_client *client)
{
	return (struct csi_api){.get = api_get, .patch_node = api_patch_node, .ctx = client};
}

/* --- the plug-in --- */

/* "unix:///a/b" and "unix:/a/b". */
static int socket_of(const char *endpoint, char **ret, struct error *err)
{
	const char *path = str_has_prefix(endpoint, "unix://") ? endpoint + 7
			   : str_has_prefix(endpoint, "unix:") ? endpoint + 5
							       : "";
	if (*path != '/')
		return error_set(err, -EINVAL, "endpoint '%s': must be unix:// and an absolute path", endpoint);
	*ret = strdup(path);
	return *ret == NULL ? error_set(err, -ENOMEM, "endpoint '%s': out of memory", endpoint) : 0;
}

static int make_socket_dir(const char *socket, struct error *err)
{
	const char *slash = strrchr(socket, '/');
	CLEANUP(free_p) char *dir = strndup(socket, slash == socket ? 1 : (size_t)(slash - socket));
	if (dir == NULL)
		return error_set(err, -ENOMEM, "make the directory of '%s': out of memory", socket);
	return file_mkdir_all(dir, 0750, err);
}

/* An absolute path without slashes at its end. */
static int copy_root(const char *what, const char *path, char **ret, struct error *err)
{
	size_t n = strlen(path);
	while (n > 1 && path[n - 1] == '/')
		n--;
	CLEANUP(free_p) char *root = strndup(path, n);
	if (root == NULL)
		return error_set(err, -ENOMEM, "%s: out of memory", what);
	if (*root != '/' || !path_is_clean(root + 1))
		return error_set(err, -EINVAL, "%s '%s': must be an absolute path other than /, without '.' and '..'",
				 what, path);
	*ret = TAKE(root);
	return 0;
}

void csi_plugin_free(struct csi_plugin *p)
{
	if (p == NULL)
		return;
	grpc_server_free(p->registration);
	grpc_server_free(p->server);
	busy_clear(&p->volumes);
	busy_clear(&p->targets);
	free(p->socket);
	free(p->node_id);
	free(p->kubelet_root);
	free(p->mount_root);
	free(p);
}

static int configure(struct csi_plugin *p, const struct csi_options *o, struct error *err)
{
	p->api = o->api;
	p->publish_method = o->publish_method;
	p->node_id = strdup(o->node_id);
	if (busy_init(&p->volumes) < 0 || busy_init(&p->targets) < 0 || p->node_id == NULL)
		return error_set(err, -ENOMEM, "out of memory");
	int rc = copy_root("kubelet root", o->kubelet_root, &p->kubelet_root, err);
	if (rc == 0)
		rc = copy_root("mount root", o->mount_root, &p->mount_root, err);
	if (rc == 0)
		rc = socket_of(o->endpoint, &p->socket, err);
	if (rc == 0)
		rc = make_socket_dir(p->socket, err);
	return rc;
}

int csi_plugin_new(const struct csi_options *o, struct csi_plugin **ret, struct error *err)
{
	struct csi_plugin *p = calloc(1, sizeof *p);
	if (p == NULL)
		return error_set(err, -ENOMEM, "CSI plug-in: out of memory");
	int rc = configure(p, o, err);
	if (rc == 0)
		rc = grpc_server_new(p->socket, csi_methods, csi_n_methods, p, &p->server, err);
	if (rc == 0 && o->registration_dir != NULL)
		rc = csi_registration_begin(p, o->registration_dir, err);
	if (rc < 0) {
		csi_plugin_free(p);
		return error_wrap(err, rc, "CSI plug-in");
	}
	*ret = p;
	return 0;
}

const char *csi_plugin_socket(const struct csi_plugin *p)
{
	return p->socket;
}
