/* What the template reads off an engine's StatefulSets, DaemonSet and pods. Threads: as the pass. */
#pragma once

#include <jansson.h>
#include <stddef.h>

#include "api/common.h"
#include "sluice/engine.h"

/** "<name><suffix>", malloc'ed; NULL on no memory. */
char *workload_name(const struct reconcile_ctx *ctx, const char *suffix);
/** The cached StatefulSet <name><suffix>: new tree, or NULL when absent. */
json_t *workload_stateful_set(struct reconcile_ctx *ctx, const char *suffix);
json_t *workload_daemon_set(struct reconcile_ctx *ctx, const char *suffix);
/** Pods of this runtime with that role: new array, NULL on no memory. */
json_t *workload_pods(struct reconcile_ctx *ctx, const char *role);
/**
 * Why pods of @role are not ready, in words a user can act on ("pod demo-worker-0: ImagePullBackOff: ..."); "" when nothing is known.
 */
void workload_trouble(struct reconcile_ctx *ctx, const char *role, char *out, size_t size);
/**
 * First half of an engine's end: delete StatefulSets and DaemonSet, 1 when their pods are gone too, 0 while one still ends (named in
 * @err; no longer than five minutes). The second half is nodes_clear_labels().
 */
int workloads_remove(const struct engine_traits *t, struct reconcile_ctx *ctx, struct error *err);
/**
 * What every StatefulSet of workers needs besides what its cache system runs: name, labels, owner, replicas, placement by the Dataset, one
 * worker a node, @node_selector and @tolerations (of the runtime's spec; the latter may be NULL) beside the Dataset's. 0 or -ENOMEM.
 */
int workload_worker_set(json_t *sts, const struct reconcile_ctx *ctx, const struct engine_traits *t, int64_t replicas,
			const struct string_map *node_selector, const json_t *tolerations);
/**
 * The same of a DaemonSet of mounts: only on nodes where the volume is wanted, with the mount point's parent shared with the host. The mount
 * point that @container must mount at comes in *@ret_mount, malloc'ed. 0 or -ENOMEM.
 */
int workload_fuse_set(json_t *ds, const struct reconcile_ctx *ctx, const struct engine_traits *t, json_t *container,
		      char **ret_mount);
