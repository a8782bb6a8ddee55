/*
 * Nodes: labels that say where caches are (Fluid's names), where workers may go, and how many nodes can take one.
 */
#pragma once

#include <jansson.h>
#include <stdbool.h>

#include "api/common.h"
#include "kube/informer.h"
#include "sluice/engine.h"

/** Bytes of cache per worker by kind of medium, for the node labels. */
struct tier_totals {
	int64_t memory_bytes, disk_bytes;
	bool has_memory, has_disk;
};

/** Sum @ts up. Quotas shared by several paths count once; -EINVAL with the field's path for what cannot be read. */
int tier_totals(const struct tiered_store *ts, struct tier_totals *ret, struct error *err);

/** One path of a tier. */
struct tier_path {
	const char *medium; /* MEM, SSD, HDD; borrowed */
	size_t level;       /* index in the levels */
	char *path;         /* without a trailing slash */
	int64_t quota_bytes;
	double high, low;
};
#define TIER_MAX_PATHS 64
struct tier_paths {
	struct tier_path v[TIER_MAX_PATHS];
	size_t n;
};
/**
 * The levels' paths in order, each with its share of the quota. -EINVAL with the field's path: no quota, a list of another length,
 * a path that is not absolute, watermarks not 0 < low <= high <= 1. Clear with tier_paths_clear().
 */
int tier_paths(const struct tiered_store *ts, struct tier_paths *ret, struct error *err);
void tier_paths_clear(struct tier_paths *p);

/** Bytes as docker's units print them, four significant digits ("2GiB", "1.5GiB"). */
void bytes_format_short(int64_t bytes, char out[static 32]);

/** "fluid.io/f-<ns>-<name>": nodes where the volume is staged. malloc'ed. */
char *fuse_label_key(const struct reconcile_ctx *ctx);

/**
 * Make node labels equal to where the pods of StatefulSet @worker are. Each node is one conditional patch; a conflict is -ESTALE.
 * @totals go into the labels' values.
 */
int nodes_sync_labels(struct reconcile_ctx *ctx, const struct engine_traits *t, const struct tier_totals *totals,
		      struct error *err);
/** Nodes that carry a label of this dataset, of its cache or of its fuse: new array of Node objects. */
int nodes_labelled(struct reconcile_ctx *ctx, json_t **ret, struct error *err);
/** Take every label of this dataset off one node. */
int nodes_clear_one(struct reconcile_ctx *ctx, const json_t *node, struct error *err);
/** The same for all nodes. */
int nodes_clear_labels(struct reconcile_ctx *ctx, struct error *err);

/** The affinity of workers, from placement and nodeAffinity of the Dataset (reference: Fluid's). New tree, NULL on no memory. */
json_t *placement_affinity(const struct reconcile_ctx *ctx);
/** Add the rule that a node holds at most one worker of this dataset (workers share a directory of the host). */
int placement_one_per_node(json_t *affinity, const struct reconcile_ctx *ctx, const struct engine_traits *t);
/**
 * How many nodes can take a worker with @pod_spec's selector, affinity and tolerations now, those that hold one included: @enough, or fewer
 * when there are not so many. The rule of one worker a node makes nodes and workers the same count.
 * @ret_why (of 256 bytes): when they are fewer, what keeps the others out. -ENOMEM.
 */
int placement_count(struct reconcile_ctx *ctx, const json_t *pod_spec, int enough, char ret_why[static 256]);
/**
 * Whether a change of a node may give a worker a place that it did not have: heartbeats and the labels of caches must not wake all that wait.
 * What a controller_predicate is.
 */
bool node_gives_room(enum informer_event ev, const json_t *old, const json_t *node);
/** Whether a node (its object) meets a NodeSelector's terms. */
bool node_matches(const json_t *node, const json_t *node_selector);
