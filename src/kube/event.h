/*
 * Event recorder: core/v1 Events, sent from a thread of its own; equal ones within 10 minutes raise `count` of the first instead of
 * making another. More than 10 that differ in the message alone become one "(combined from similar events)"; an object has 25 at once, then one
 * each 5 minutes. At most 1,000 wait. What is more is dropped and counted (sluice_events_dropped_total). Threads: any.
 */
#pragma once

#include <jansson.h>

#include "kube/permission.h"

struct error;
struct event_recorder;
struct kube_client;

/** What a recorder does. */
extern const struct permission event_permissions[];

int event_recorder_new(struct kube_client *c, const char *component, struct event_recorder **ret, struct error *err);
/** @type is "Normal" or "Warning". @obj gives apiVersion, kind, namespace, name, uid. Never blocks on the network. Message is cut at 1,024 bytes. */
__attribute__((format(printf, 5, 6))) void event_emit(struct event_recorder *r, const json_t *obj, const char *type,
						      const char *reason, const char *fmt, ...);
/** Send what waits (at most 2 s), stop, free. Accepts NULL. */
void event_recorder_free(struct event_recorder *r);
