/*
 * The Reservoir engine, split by what it does: checks of the specs, reservoir.json, objects, figures. Masterless.
 * Everything here is called on a worker thread, with the pass's trees.
 */
#pragma once

#include "api/dataset.h"
#include "api/reservoir_runtime.h"
#include "base/arena.h"
#include "runtime/mounts.h"
#include "runtime/nodes.h"
#include "sluice/engine.h"

#define RESERVOIR_IMAGE      "sluice.local/host"
#define RESERVOIR_CONFIG_DIR "/etc/sluice"
#define RESERVOIR_RUN_DIR    "/run/reservoir"

/** The specs of a pass, decoded. Cleared by reservoir_specs_clear(). */
struct reservoir_specs {
	struct arena arena;
	struct dataset dataset;
	struct reservoir_runtime runtime;
	struct tier_paths tiers;
};

/** Decode both specs and the tiers; without a Dataset (it may be gone first) its part is zero. -EINVAL with the field's path. */
int reservoir_specs_load(const struct reconcile_ctx *ctx, struct reservoir_specs *ret, struct error *err);
void reservoir_specs_clear(struct reservoir_specs *s);

/** What cannot take effect, or is not allowed, is refused: -EINVAL, -EACCES or -EOPNOTSUPP, the field's path first. */
int reservoir_check(const struct reconcile_ctx *ctx, const struct reservoir_specs *s, struct error *err);

/** The Dataset's mounts as mounts_resolve() has them, all read-only as a Reservoir's are. New array. */
int reservoir_mounts(const struct reconcile_ctx *ctx, json_t **ret, struct error *err);
/** reservoir.json for workers listening on @port. New tree. */
int reservoir_config(const struct reconcile_ctx *ctx, const struct reservoir_specs *s, int port, json_t **ret,
		     struct error *err);

/** ConfigMap, StatefulSet and DaemonSet: a new array in the order in which they must be applied. */
int reservoir_objects(const struct reconcile_ctx *ctx, const struct engine_traits *t, const struct reservoir_specs *s,
		      int port, json_t **ret, struct error *err);

/** What a DataLoad runs: a new JobSpec. -EINVAL with the path of the operation's field that cannot be. */
int reservoir_load_spec(const struct reconcile_ctx *ctx, const json_t *operation, json_t **ret, struct error *err);

/**
 * Remove what the workers and mounts left on the disks of the nodes that carry the dataset's labels: one pod a node deletes the tiers' and
 * mounts' directories of this dataset; when it has ended the node loses its labels. 1 when no node is left, 0 while one is at it (named in
 * @err). A node that is not ready, and a pod that has not ended after management.cleanCachePolicy, is given up with an Event.
 */
int reservoir_clean_nodes(struct reconcile_ctx *ctx, const struct engine_traits *t, struct error *err);
/** Directories of the specs that the operator does not allow are refused. */
int reservoir_check_tiers(const struct reconcile_ctx *ctx, const struct reservoir_specs *s, struct error *err);

/** The answer of /v1/status. -EINVAL with the field's path for anything unexpected; @ret is to be cleared on success. */
int reservoir_status_parse(const char *text, size_t n, struct engine_figures *ret, struct error *err);
int reservoir_query_figures(const struct engine_question *q, struct engine_figures *ret, struct error *err);

extern const struct engine_traits reservoir_traits;
