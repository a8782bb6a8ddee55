/* Pods that are counted, not named: what ReplicaSet and Job make and end. */
#pragma once

#include <jansson.h>
#include <stddef.h>

struct error;
struct kube_resource;
struct workload;

/**
 * Make @n more pods of @owner's template. Their names follow from the owner's uid and the lowest numbers that no pod of @pods (all that the
 * owner has) uses: a cache that is late makes no pod twice, the server refuses it. At most 500 a call.
 */
int crowd_create(struct workload *w, const struct kube_resource *kind, const json_t *owner, const json_t *pods,
		 size_t n, struct error *err);
/** End exactly this pod; already gone is success. */
int crowd_delete(struct workload *w, const json_t *owner, const json_t *pod, struct error *err);
/** End @n pods of the list @pods, those first that are the least loss. */
int crowd_shrink(struct workload *w, const json_t *owner, const json_t *pods, size_t n, struct error *err);
