/*
 * The CSI node plug-in: Identity and Node of CSI v1 over gRPC on a unix socket.
 *
 * One call at a time per volume (stage, unstage) and per target path (publish, unpublish): a second one is Aborted, as the kubelet
 * expects. Every call is idempotent and ends by its deadline.
 */
#pragma once

#include <jansson.h>

#include "csi/volume.h"
#include "kube/permission.h"

#define CSI_DRIVER_NAME "fuse.csi.fluid.io"

struct csi_plugin;
struct error;
struct kube_client;
struct kube_resource;

extern const struct permission csi_permissions[];

/** What the plug-in needs of Kubernetes; tests give their own. Called from any thread; -ENOENT: no such object. */
struct csi_api {
	int (*get)(void *ctx, const struct kube_resource *r, const char *ns, const char *name, json_t **ret,
		   struct error *err);
	/** Strategic merge patch of the Node @name. */
	int (*patch_node)(void *ctx, const char *name, const json_t *patch, struct error *err);
	void *ctx;
};

/** The real one. */
struct csi_api csi_api_of(struct kube_client *client);

struct csi_options {
	const char *endpoint;               /* "unix:///path/csi.sock" */
	const char *registration_dir;       /* where the kubelet looks for plug-ins; NULL: nobody looks */
	const char *node_id;                /* the Node's name */
	const char *kubelet_root;           /* target paths lie below */
	const char *mount_root;             /* fuse mounts lie below */
	enum publish_method publish_method; /* of volumes that do not choose */
	struct csi_api api;
};

/** Listen and serve; strings are copied. The socket's directory is made. */
int csi_plugin_new(const struct csi_options *o, struct csi_plugin **ret, struct error *err);
/** Path of the socket. Borrowed. */
const char *csi_plugin_socket(const struct csi_plugin *p);
/** Stop, wait for running calls, free. Accepts NULL. */
void csi_plugin_free(struct csi_plugin *p);
