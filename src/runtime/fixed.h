/*
 * What may not change after creation, on a server that does not know: the values with which a Dataset and its Runtime were first set up are
 * remembered in the condition SpecAccepted of each status, and go on when somebody writes others. The local API server refuses such a
 * write; a cluster's server takes it, as a CustomResourceDefinition cannot say without CEL what is immutable.
 *
 * Threads: as the pass.
 */
#pragma once

#include <jansson.h>

struct error;
struct kind;
struct reconcile_ctx;

struct fixed {
	json_t *runtime, *dataset; /* with the values that go on; NULL: nothing was changed that may not */
	char runtime_why[400], dataset_why[400]; /* which fields were; "" */
};

/**
 * Look at ctx->runtime and ctx->dataset (may be NULL) as they were read, and put what goes on in their place; @runtime describes the first.
 * @f must be zeroed, outlive the pass, and be cleared. 0 or -ENOMEM.
 */
int fixed_look(struct fixed *f, struct reconcile_ctx *ctx, const struct kind *runtime, struct error *err);
void fixed_clear(struct fixed *f);
/** Say in conditions (SpecValid, False) and Events what was changed in vain; takes the Dataset's back when it no longer is. 0 or -ENOMEM. */
int fixed_tell(const struct fixed *f, struct reconcile_ctx *ctx);
/** The specs are being acted on: remember what may not change from now on, unless that was done. 0 or -ENOMEM. */
int fixed_accept(struct reconcile_ctx *ctx, const struct kind *runtime);
