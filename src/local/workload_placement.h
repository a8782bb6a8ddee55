/* Where a pod may run: node selector, required node affinity, taints, required pod anti-affinity. Pure functions of JSON objects. */
#pragma once

#include <jansson.h>
#include <stdbool.h>

enum taint_effect { TAINT_NO_SCHEDULE = 1, TAINT_NO_EXECUTE = 2 };

/** Whether @pod_spec's nodeSelector and required node affinity accept @node. */
bool placement_selects(const json_t *pod_spec, const json_t *node);
/** The first taint of @node with one of @effects that @pod_spec does not tolerate, or NULL. Borrowed. */
const json_t *placement_untolerated(const json_t *pod_spec, const json_t *node, unsigned effects);
/** Whether @toleration tolerates @taint. */
bool placement_tolerates(const json_t *toleration, const json_t *taint);
/**
 * Whether required pod anti-affinity keeps @pod away from a node where the pods of array @there run: its own terms against them
 * and theirs against it. Only the topology kubernetes.io/hostname is known; *@ret_unknown tells a term of @pod with another one (borrowed), or NULL.
 */
bool placement_repelled(const json_t *pod, const json_t *there, const char **ret_unknown);
/** Whether a hostPort of @pod is taken by one of the pods of array @there. */
bool placement_ports_taken(const json_t *pod, const json_t *there);
