/* machine.c: the phases; kinds.c: what each kind has of its own; jobs.c: Jobs and CronJobs; receipt.c: what a pod's log says. */
#pragma once

#include <jansson.h>

#include "api/kind.h"
#include "controllers/operations/operations.h"

enum operation_phase { PHASE_NEW, PHASE_PENDING, PHASE_EXECUTING, PHASE_COMPLETE, PHASE_FAILED, PHASES };

struct operation_kind {
	const struct kind *kind;
	const char *finalizer;
	const char *release_suffix; /* "<name>-loader": label release of what it makes */
	const char *job_suffix;     /* "<name>-loader-job" */
	const char *role;           /* label role of the pods */
	bool has_receipt;           /* the pods' last line is JSON: how far it is, or what came of it */
	/** What is the kind's own among what makes an operation impossible. 0, or -EINVAL. */
	int (*validate)(const json_t *op, const char **ret_reason, struct error *err);
	/** A new JobSpec; NULL: the engine says it. */
	int (*job_spec)(const json_t *op, const char *config_map, json_t **ret, struct error *err);
	/** Data of a ConfigMap "<release>-scripts", a new object; NULL: none. *@ret stays NULL: this one has none. */
	int (*config_data)(const json_t *op, json_t **ret, struct error *err);
};

extern const struct operation_kind data_load_operation, data_process_operation;

struct operation_controller {
	struct operation_options o;
	const struct operation_kind *k;
	struct controller *controller;
	struct informer *informer;
};

/** One pass. */
struct operation_pass {
	struct operation_controller *c;
	const struct operation_kind *k;
	const struct engine_api *api;
	const char *ns, *name;
	json_t *op, *dataset;                         /* as read; the second may be NULL */
	json_t *status;                               /* as it is to be */
	const char *type, *runtime_ns, *runtime_name; /* of the runtime that the Dataset is bound to; NULL */
	char release[320], job[330], config_map[330];
	struct reconcile_result *result;
};

const char *operation_target(const json_t *op);
bool operation_is_cron(const json_t *op);

/** Whether @obj was made for the operation of the pass. */
bool operation_owns(const struct operation_pass *p, const json_t *obj);
/** Make the Job (or CronJob) from @spec, which is taken, with its ConfigMap. */
int operation_make_job(struct operation_pass *p, json_t *spec, struct error *err);
/** The Job that counts: the one, or the latest of the CronJob @cron. New tree or NULL. */
json_t *operation_latest_job(const struct operation_pass *p, const json_t *cron);
/** Remove what was made. 1 when nothing is left, 0 while it still goes. */
int operation_remove_jobs(struct operation_pass *p, struct error *err);

/** Put what the pods' last lines say into status.infos; @done: of those that ended. What cannot be read is left as it is. */
int operation_read_receipt(struct operation_pass *p, const json_t *job, bool done, struct error *err);
/** Sum of the receipts of pods in status.infos form (strings): a new object. For tests too. */
int operation_infos_of(const json_t *receipts, json_t **ret, struct error *err);
