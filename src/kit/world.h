/* What a case stands on: a local API server of its own, reconcilers that are called by hand, and stand-ins for everybody else. */
#pragma once

#include <stdatomic.h>
#include <stdbool.h>

#include "base/log.h"
#include "kit/kit.h"
#include "kube/client.h"
#include "runtime/reconciler.h"
#include "sluice/runtime.h"

#define KIT_NS   "kit"
#define KIT_NAME "demo"

struct answers;

struct world {
	const struct kit_options *o;
	char dir[256];
	struct api_server *server;
	struct kube_client *client;
	struct engine_api api;
	struct engine_limits limits;
	struct answers *answers;
	struct dataset_controller *datasets;
	struct reconciler *reconcilers[2];
	atomic_long writes; /* that controllers have sent */
	long crash_after;   /* the write after so many "kills" the controller: it and all later ones fail; -1: never */
	bool crashed;
	bool unready;      /* pods do not get ready */
	json_t *calls;     /* names of methods in the order of their first calls */
	json_t *targets;   /* whom the engine asks for figures */
	json_t *used;      /* [[group, resource, verb]] of what controllers did at the API */
	json_t *events;    /* ["Warning Reason: message"] */
	struct error last; /* of the last pass */
};

int world_new(const struct kit_options *o, struct world **ret, struct error *err);
/** Accepts NULL. */
void world_free(struct world *w);

/** Controllers as after a start of their process: nothing is remembered. @n reconcilers (1 or 2). */
int world_restart(struct world *w, size_t n, struct error *err);
/** One pass of reconciler @i and of the dataset controller, and what everybody else does then. Negative: the stand-ins failed. */
int world_step(struct world *w, size_t i, struct error *err);
/** What a kubelet, the workload controllers and the garbage collector would do now: statuses, pods, owned objects. */
int world_others(struct world *w, struct error *err);

/** Create the script's Dataset or runtime. */
int world_create_dataset(struct world *w, struct error *err);
int world_create_runtime(struct world *w, struct error *err);
/** New tree, or NULL when absent. */
json_t *world_get(struct world *w, const struct kube_resource *r, const char *name);
/** New array. */
json_t *world_list(struct world *w, const struct kube_resource *r);
int world_patch(struct world *w, const struct kube_resource *r, const char *name, const char *sub, const json_t *patch,
		struct error *err);
int world_delete(struct world *w, const struct kube_resource *r, const char *name, struct error *err);

/** From now on what is logged, debug too, is kept. -EMFILE and the like. */
int logs_keep(struct error *err);
/** How many lines of @level or worse with @msg (NULL: any) there are since the case began; the first one in @ret (may be NULL; new tree). */
size_t logs_count(enum log_level level, const char *msg, json_t **ret);
/** The case is over: lines of @level or worse go to stderr, and all are forgotten. */
void logs_end(enum log_level level);

/** Wrap @inner so that calls of its methods are recorded in the world. One engine a process. */
const struct runtime_controller *record_controller(struct world *w, const struct runtime_controller *inner);

/** The engine's own methods, once one was built; NULL before, and for an engine with a lifecycle of its own. */
const struct engine_ops *record_ops(void);

/* The scripted cache system: HTTP on loopback, and commands in pods. */
/** @ports of the host (1 to ENGINE_MAX_PORTS) that follow each other, answers_port() the first. */
int answers_new(const json_t *script, int ports, struct answers **ret, struct error *err);
void answers_free(struct answers *a);
int answers_port(const struct answers *a);
enum answer_mode { ANSWER_GOOD, ANSWER_GARBLED, ANSWER_HUNG, ANSWER_LATE };
void answers_mode(struct answers *a, enum answer_mode mode);
/** engine_api's exec. */
int answers_exec(struct answers *a, const struct engine_question *q, const struct engine_exec *x,
		 struct engine_output *ret, struct error *err);
/** The first request that had no answer in the script, or "". */
const char *answers_unknown(const struct answers *a);
