/*
 * The dataset controller: finalizer, first phase, and a deletion that says what it waits for. It makes nothing and deletes nothing: the
 * runtime's controller binds the Dataset, the garbage collector takes the runtime away.
 *
 * Threads: dataset_reconcile() on worker threads, one key at a time each. Ownership: borrows its options.
 */
#pragma once

#include "kube/manager.h"
#include "kube/permission.h"
#include "sluice/engine.h"

struct dataset_controller;

extern const struct permission dataset_controller_permissions[];

struct dataset_controller_options {
	const struct engine_api *api;
	const char *served; /* kinds of Runtimes that this process serves, for people: "ReservoirRuntime"; NULL: none */
	struct logger *log;
};

int dataset_controller_new(const struct dataset_controller_options *o, struct dataset_controller **ret,
			   struct error *err);
/** Register with @m: Datasets, and pods that name claims. Before manager_start(). @m owns @d from then on, also after a failure. */
int dataset_controller_register(struct dataset_controller *d, struct manager *m, int workers, struct error *err);
/** One pass: the reconcile function of a controller. */
int dataset_reconcile(void *dataset_controller, const char *ns, const char *name, struct reconcile_result *ret,
		      struct error *err);
/** Free one that was never registered. Accepts NULL. */
void dataset_controller_free(struct dataset_controller *d);
