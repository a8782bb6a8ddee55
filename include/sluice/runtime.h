/*
 * A Runtime's controller: what the shared reconcile (src/runtime/reconciler.h) must know of one Runtime kind.
 *
 * The steps of the shared reconcile are fixed; what it needs from a kind is listed once in RUNTIME_STEPS and checked at compile
 * time by RUNTIME_CONTROLLER_STEPS(). A kind that has nothing special takes the default of each step by name.
 */
#pragma once

#include "kube/permission.h"
#include "sluice/engine.h"

struct reconciler;

/*
 * M(kind, step, arguments...). Returns as in sluice/engine.h. Called on a worker thread, one call at a time for one key.
 */
/* clang-format off */
#define RUNTIME_STEPS(M, X)                                                                                                         \
	/* The live engine of ctx's key, built when there is none or the specs' generation moved on. Owned by the reconciler. */    \
	M(X, get_or_create_engine, struct reconciler *r, struct reconcile_ctx *ctx, struct engine **ret, struct error *err)         \
	/* Forget it and free it. */                                                                                                \
	M(X, remove_engine, struct reconciler *r, struct reconcile_ctx *ctx, struct error *err)                                     \
	/* validate → Setup → CreateVolume → Sync. */                                                                               \
	M(X, reconcile_runtime, struct reconciler *r, struct engine *e, struct reconcile_ctx *ctx, struct error *err)               \
	/* DeleteVolume → Shutdown → the Dataset is NotBound again. 1 when all is gone. */                                          \
	M(X, reconcile_deletion, struct reconciler *r, struct engine *e, struct reconcile_ctx *ctx, struct error *err)              \
	/* Owner reference to the Dataset, finalizer and dataset-id label, in one patch. 1 when something was missing. */           \
	M(X, add_owner_and_finalizer, struct reconciler *r, struct reconcile_ctx *ctx, struct error *err)                           \
	/* A new tree of the runtime's status, for the pass to change. */                                                           \
	M(X, get_runtime_status, struct reconciler *r, struct reconcile_ctx *ctx, struct error *err)
/* clang-format on */

#define RUNTIME_STEP_MEMBER_(X, step, ...) int (*step)(__VA_ARGS__);
struct runtime_steps {
	RUNTIME_STEPS(RUNTIME_STEP_MEMBER_, )
};

#define RUNTIME_STEP_PROTOTYPE_(X, step, ...) SLUICE_PUBLIC int X##_##step(__VA_ARGS__);
RUNTIME_STEPS(RUNTIME_STEP_PROTOTYPE_, runtime_default)

#define RUNTIME_STEP_ENTRY_(X, step, ...) .step = X##_##step,
/** Initializer of struct runtime_steps from <X>_<step> functions. */
#define RUNTIME_CONTROLLER_STEPS(X)                                                                                    \
	{                                                                                                              \
		RUNTIME_STEPS(RUNTIME_STEP_ENTRY_, X)                                                                  \
	}
/** Take the default of @step, by name. */
#define RUNTIME_STEP_DEFAULT(X, step)                                                                                  \
	extern __typeof__(runtime_default_##step) X##_##step __asm__("runtime_default_" #step)

struct runtime_controller {
	const struct kube_resource *resource; /* of the Runtime kind */
	const char *name;                     /* "reservoirruntime": in logs, and component of Events */
	const char *finalizer;
	const char *category;       /* "Accelerate" */
	const char *runtime_type;   /* "reservoir": Dataset.status.runtimes[].type, node labels, host directories */
	const char *default_engine; /* name in @engines */
	const struct engine_factory *engines; /* ends with .name == NULL */
	const struct kube_resource *const
		*kinds; /* of the objects that its engines make, watched for it, made and deleted; ends with NULL */
	/**
	 * What its engines need beside that: what they apply needs create and patch, pods/exec get and create.
	 */
	const struct permission *permissions;
	const struct runtime_steps *steps;
};
