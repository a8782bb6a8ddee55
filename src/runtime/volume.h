/* PersistentVolume and claim of a Dataset, as Fluid makes them. Threads: as the pass. */
#pragma once

struct engine_api;
struct reconcile_ctx;

/** Host path of the fuse's mount point: MOUNT_ROOT/<runtime type>/<ns>/<name>/<fuse_dir>. malloc'ed, NULL on no memory. */
char *volume_mount_path(const struct reconcile_ctx *ctx, const char *fuse_dir);
/**
 * Names of the pods in @ns that mount the claim and have not ended ("a, b and 3 more"), "" when there are none. malloc'ed, NULL on no
 * memory.
 */
char *claim_users(const struct engine_api *api, const char *ns, const char *claim);
