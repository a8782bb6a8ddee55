/* The API as the framework uses it, for real: the manager's informers for reading, the client for writing. */
#pragma once

#include "kube/permission.h"
#include "sluice/engine.h"

struct event_recorder;
struct manager;
struct ports;
struct runtime_api;
struct runtime_controller;

/** What these functions and the framework behind them do, whatever the engine. */
extern const struct permission runtime_api_permissions[];

/**
 * Make (or share) the informers of everything the framework reads, with transforms that drop the rest. Before manager_start().
 * Borrows all four, which must outlive it.
 */
int runtime_api_new(struct manager *m, struct event_recorder *recorder, const struct engine_limits *limits,
		    struct logger *log, struct runtime_api **ret, struct error *err);
/** Add a Runtime's kind, and those of its objects, to what is read. Before manager_start(). */
int runtime_api_add(struct runtime_api *a, const struct runtime_controller *rt, struct error *err);
/** Read objects of @r from a copy too; an index by the label release comes with it. Before manager_start(). */
int runtime_api_cache(struct runtime_api *a, const struct kube_resource *r, struct error *err);
/** Who has which port, told also by what StatefulSets use. Borrowed. */
struct ports *runtime_api_ports(const struct runtime_api *a);
/** The functions; ctx is set. Borrowed. */
const struct engine_api *runtime_api_ops(const struct runtime_api *a);
/** Accepts NULL. After manager_stop(). */
void runtime_api_free(struct runtime_api *a);
