/* The API as the framework uses it, for real: the manager's informers for reading, the client for writing. */
#pragma once

#include "sluice/engine.h"

struct event_recorder;
struct manager;
struct runtime_api;

/**
 * Make (or share) the informers of everything the framework reads, with transforms that drop the rest. Before manager_start().
 * Borrows all three, which must outlive it.
 */
int runtime_api_new(struct manager *m, struct event_recorder *recorder, struct logger *log, struct runtime_api **ret,
		    struct error *err);
/** Add a Runtime kind to what is read. Before manager_start(). */
int runtime_api_add(struct runtime_api *a, const struct kube_resource *r, struct error *err);
/** The functions; ctx is set. Borrowed. */
const struct engine_api *runtime_api_ops(const struct runtime_api *a);
/** Accepts NULL. After manager_stop(). */
void runtime_api_free(struct runtime_api *a);
