/*
 * The shared reconcile of every Runtime kind: live engines by key, the fixed order of steps, one status patch a pass.
 *
 * Threads:   reconciler_reconcile() from worker threads, one key at a time each; the rest from the owner.
 * Locks:     one mutex guards the map of engines and the set of keys that wait for nodes; engines are built and freed outside it.
 *            No other lock is taken under it.
 * Ownership: borrows everything in its options, which must outlive it.
 */
#pragma once

#include "kube/manager.h"
#include "sluice/runtime.h"

struct reconciler;

struct reconciler_options {
	const struct runtime_controller *runtime;
	const struct kind *kind; /* of the runtime, for what may not change after creation; NULL: anything may */
	const struct engine_api *api;
	const struct engine_limits *limits;
	struct logger *log;
	int64_t pass_deadline_ns; /* 0: 10 minutes */
	struct ports *ports;      /* of all reconcilers of the process; borrowed; NULL: one of its own */
	bool ask_figures;         /* start the pools that ask engines and call them */
};

int reconciler_new(const struct reconciler_options *o, struct reconciler **ret, struct error *err);
/**
 * Register as a controller of @m: watches of the runtime, its Dataset, workloads, pods, claims, nodes. Before manager_start().
 * The manager owns @r from then on, also after a failure: manager_free() frees it.
 */
int reconciler_register(struct reconciler *r, struct manager *m, int workers, struct error *err);
/** One pass over ns/name: the reconcile function of a controller. */
int reconciler_reconcile(void *reconciler, const char *ns, const char *name, struct reconcile_result *ret,
			 struct error *err);
/** Free one that was never registered. Cancels what engines are asked, and waits for it. Accepts NULL. */
void reconciler_free(struct reconciler *r);

/**
 * For the step reconcile_runtime: the specs of @ctx were valid and are being acted on, with the result @rc. Says what was changed that may not
 * be, remembers what may not change from now on, and drops the condition SpecValid when there is nothing to say. 0 or -ENOMEM.
 */
int reconciler_specs_accepted(struct reconciler *r, struct reconcile_ctx *ctx, int rc);

/** "reservoir": the type of the runtimes that it reconciles. */
const char *reconciler_runtime_type(const struct reconciler *r);
/**
 * What @operation (a DataLoad, ...) runs for the Dataset ns/name: a new JobSpec in *@ret, as the engine says (sluice/engine.h); with a NULL
 * @ret only whether the runtime is ready. 1, or 0 with the reason in @err: it is not. -EOPNOTSUPP and -EINVAL: it never will be.
 * An engine is built and freed for it, so that the live one, which may be in its own pass, is left alone. Any thread.
 */
int reconciler_operation(struct reconciler *r, const char *ns, const char *name, const json_t *operation, json_t **ret,
			 struct error *err);

/** The factory entry of @name in @list, or NULL. */
const struct engine_factory *engine_factory_find(const struct engine_factory *list, const char *name);
