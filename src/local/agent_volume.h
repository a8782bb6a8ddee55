/*
 * Volumes of a pod: made ready before its containers, mounted into them, taken down after them; laid out as a kubelet does
 * (KUBELET_ROOT/pods/<uid>/volumes/<plugin>/<name>). Everything here may be called again after a crash: what is there already stays.
 *
 * Threads: any, one at a time for one pod.
 */
#pragma once

#include <jansson.h>

struct agent_paths;
struct agent_csi;
struct error;
struct kube_resource;
struct shared_mounts;

/** What volumes need of the agent; tests put something else behind it. */
struct volume_host {
	const struct agent_paths *paths;
	const char *node_name, *address;
	struct shared_mounts *shared;
	struct agent_csi *csi; /* NULL: no CSI volumes */
	/** Fetch an object: a new tree, or -ENOENT. */
	int (*fetch)(void *ctx, const struct kube_resource *r, const char *ns, const char *name, json_t **ret,
		     struct error *err);
	void *ctx;
};

/**
 * Make all volumes of @pod ready. *@ret is a new object: volume's name → {"path", "readOnly"}. A wrong or missing thing is the pod's
 * business (FailedMount) and tried again: -ENOENT, -EINVAL, -EAGAIN (not ready yet) ...; the message begins with the volume's name.
 */
int volumes_setup(const struct volume_host *h, const json_t *pod, json_t **ret, struct error *err);
/** Write ConfigMaps, Secrets and downward fields of a running pod anew where they changed. */
int volumes_refresh(const struct volume_host *h, const json_t *pod, struct error *err);
/** *@ret: new list of OCI mounts for @container's volumeMounts. @volumes is what volumes_setup() gave, @env the container's environment. */
int volumes_mounts(const struct volume_host *h, const json_t *pod, const json_t *container, const json_t *volumes,
		   const json_t *env, json_t **ret, struct error *err);
/** Take everything of pod @uid down: no container of it may run. Absent is fine. */
int volumes_teardown(const struct volume_host *h, const char *uid, struct error *err);
