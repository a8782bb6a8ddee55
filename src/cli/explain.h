/*
 * Why an object is as it is: what can be seen through the API of a Dataset, its Runtime, their workloads, pods, claims and Events, put
 * together into findings, each with what to do next. Threads: one.
 */
#pragma once

#include "cli/session.h"

/**
 * Look at the Dataset @name of the session's namespace. *@ret is a new tree:
 * {"dataset": "ns/name", "phase", "summary", "findings": [{"object", "problem", "advice"}]}, the likely cause first. -ENOENT: there is none.
 */
int explain_dataset(struct session *s, const char *name, json_t **ret, struct error *err);
/** What keeps @obj, which is marked as deleted, in one line; malloc'ed, NULL on no memory. */
char *explain_deletion(struct session *s, const struct kube_resource *r, const json_t *obj);
