/*
 * The two statuses a pass works on: conditions, phases, and the one patch each at its end.
 * Threads: as the pass. A condition that is set to what it says already (status, reason, message) keeps its times; observedGeneration
 * follows the object's generation.
 */
#pragma once

#include <jansson.h>
#include <stdbool.h>

struct error;
struct engine_api;
struct kube_resource;
struct reconcile_ctx;

/* Condition types and reasons as Fluid writes them. */
#define DATASET_READY     "Ready"
#define DATASET_NOT_READY "NotReady"
#define DATASET_UPDATING  "Updating"
/* Of a Runtime, and of a Dataset for the second, while something keeps it from being worked on, or keeps a field from taking effect. */
#define CONDITION_SPEC   "SpecValid"
#define CONDITION_MOUNTS "MountsReady" /* whether every source can be read; on Dataset and Runtime */

/** Set a condition of ctx->dataset_status, as seen at the Dataset's generation. 0 or -ENOMEM. */
int dataset_condition_set(struct reconcile_ctx *ctx, const char *type, bool value, const char *reason,
			  const char *message);
/** The same of ctx->runtime_status and the Runtime. */
int runtime_condition_set(struct reconcile_ctx *ctx, const char *type, bool value, const char *reason,
			  const char *message);
/** Borrowed condition of @type, or NULL. Works for both. */
json_t *condition_get(const json_t *status, const char *type);
bool condition_is(const json_t *status, const char *type, bool value);
void condition_drop(json_t *status, const char *type);

/** Move a Dataset's status.phase by the table of legal moves. 0 (also when it is there already) or -EPERM naming both phases. */
int dataset_phase_move(json_t *status, const char *to, struct error *err);
/** Whether Setup has been done: a condition Ready exists, whatever its value. */
bool dataset_setup_done(const json_t *status);

/** "NotReady", "PartialReady" or "Ready" of a workload's numbers. */
const char *workload_phase(int64_t replicas, int64_t ready);

/**
 * One merge patch of @obj's status from what it was to @want, with its resourceVersion; none when they are the same. -ESTALE on a conflict.
 * An object that is gone is no error.
 */
int status_patch(const struct engine_api *api, const struct kube_resource *r, const json_t *obj, const json_t *want,
		 struct error *err);
/**
 * Send what the pass changed: Dataset first, then Runtime, each one merge patch with its resourceVersion, none when nothing changed.
 * -ESTALE on a conflict. A Dataset or Runtime that is gone is no error.
 */
int status_flush(struct reconcile_ctx *ctx, struct error *err);
