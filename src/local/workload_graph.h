/*
 * Who owns whom: the metadata that garbage collection needs of every object, by uid, and the dependents of every uid.
 * Threads: all functions from any thread; nodes are immutable and reference counted.
 */
#pragma once

#include <jansson.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>

struct graph;
struct kube_resource;

struct graph_owner {
	char *uid, *api_version, *kind, *name;
	bool block; /* blockOwnerDeletion */
};

struct graph_node {
	atomic_uint refs;
	const struct kube_resource *resource; /* borrowed: outlives the graph */
	char *uid, *ns, *name;
	struct graph_owner *owners;
	size_t n_owners;
	bool deleting;
	bool foreground, orphan; /* has the finalizer foregroundDeletion, orphan */
};

/** NULL on no memory. */
struct graph *graph_new(void);
/** Accepts NULL. */
void graph_free(struct graph *g);
/** Add or replace. 0, -ENOMEM, -EINVAL (no uid). */
int graph_put(struct graph *g, const struct kube_resource *r, const json_t *obj);
/** The object has gone; its uid is remembered as gone (of the last ones, a bounded number). */
void graph_remove(struct graph *g, const char *uid);
/** New reference, or NULL. */
struct graph_node *graph_get(struct graph *g, const char *uid);
/** Whether the object of this uid is known to have gone. */
bool graph_is_gone(struct graph *g, const char *uid);
/** Call @fn with each dependent of @uid; no lock is held meanwhile. 0 or the first negative return of @fn; -ENOMEM. */
int graph_each_dependent(struct graph *g, const char *uid, int (*fn)(void *ctx, const struct graph_node *n), void *ctx);
/** Call @fn with each node (of @r, when not NULL); no lock is held meanwhile. */
int graph_each(struct graph *g, const struct kube_resource *r, int (*fn)(void *ctx, const struct graph_node *n),
	       void *ctx);
/** Accepts NULL. */
void graph_node_unref(struct graph_node *n);

static inline void graph_node_unref_p(struct graph_node **n)
{
	graph_node_unref(*n);
}
