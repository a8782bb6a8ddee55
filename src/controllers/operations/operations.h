/*
 * Controllers of data operations (DataLoad, DataProcess): one state machine, a table of what each kind has of its own. An operation waits
 * for its Dataset, runs a Job (or, by a schedule, a CronJob), and ends as its Job did.
 *
 * Threads:   operation_reconcile() on worker threads, one key at a time each; the rest from the owner.
 * Ownership: borrows what its options point to, which must outlive the manager.
 */
#pragma once

#include "kube/manager.h"
#include "kube/permission.h"
#include "sluice/engine.h"

struct kind;
struct operation_controller;

extern const struct permission operation_permissions[];
/** Kinds that have a controller; ends with NULL. */
extern const struct kind *const operation_kinds[];

/** How the engine of a Dataset is asked. */
struct operation_engines {
	/** Whether runtimes of @type are served in this process. */
	bool (*serves)(void *ctx, const char *type);
	/** As reconciler_operation(), of the runtime @type ns/name. */
	int (*ask)(void *ctx, const char *type, const char *ns, const char *name, const json_t *operation, json_t **ret,
		   struct error *err);
	void *ctx;
};

struct operation_options {
	const struct engine_api *api;
	struct operation_engines engines;
	/** Also operations whose Dataset has no runtime, and all deletions: true in one of the processes that share a cluster. */
	bool others;
	struct logger *log;
};

/** The controller of @kind, one of operation_kinds. */
int operation_controller_new(const struct operation_options *o, const struct kind *kind,
			     struct operation_controller **ret, struct error *err);
/** Register with @m: the operations, their Jobs, the Datasets. Before manager_start(). @m owns @c from then on, also after a failure. */
int operation_controller_register(struct operation_controller *c, struct manager *m, int workers, struct error *err);
/** One pass: the reconcile function of a controller. */
int operation_reconcile(void *operation_controller, const char *ns, const char *name, struct reconcile_result *ret,
			struct error *err);
/** Free one that was never registered. Accepts NULL. */
void operation_controller_free(struct operation_controller *c);
