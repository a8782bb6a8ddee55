/*
 * CSI volumes as a kubelet handles them: stage once a node, publish for each pod, and back. The driver listens at
 * KUBELET_ROOT/csi-plugins/<driver>/csi.sock; what was done is written beside each mount (vol_data.json), so it can be undone without the API.
 *
 * Threads: any; calls for one volume are serialised inside. Every call has a deadline.
 */
#pragma once

#include <jansson.h>
#include <stdbool.h>

struct agent_paths;
struct agent_csi;
struct error;
struct path;

int agent_csi_new(const struct agent_paths *paths, const char *node_name, struct agent_csi **ret, struct error *err);
/** Accepts NULL. */
void agent_csi_free(struct agent_csi *n);

struct agent_csi_mount {
	const json_t *pod, *pv;
	const char *pv_name;
	bool read_only;
	bool pod_info;                               /* CSIDriver.spec.podInfoOnMount */
	const json_t *stage_secret, *publish_secret; /* Secrets' data (base64), or NULL */
};

/** Stage and publish. *@ret is where it lies. -EAGAIN when the driver is not there yet. */
int agent_csi_publish(struct agent_csi *n, const struct agent_csi_mount *m, struct path *ret, struct error *err);
/** Unpublish @dir (.../volumes/kubernetes.io~csi/<pv>) of a pod, and unstage when no other pod has the volume. A driver that is gone: what it left is unmounted. */
int agent_csi_unpublish(struct agent_csi *n, const char *dir, struct error *err);
/** *@ret: new list of {"name", "nodeID"} of the drivers that answer. */
int agent_csi_drivers(struct agent_csi *n, json_t **ret, struct error *err);
