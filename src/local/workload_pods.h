/* What StatefulSet, DaemonSet and others know of pods. */
#pragma once

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

struct error;
struct kube_resource;
struct workload;

/** Status condition Ready is True. */
bool pod_ready(const json_t *pod);
/** Phase Succeeded or Failed. */
bool pod_finished(const json_t *pod);
/** Ready for @min_ready_s seconds. When it is ready but not for long enough, *@wait_ns is lowered to what is missing. */
bool pod_available(const json_t *pod, int64_t min_ready_s, int64_t *wait_ns);
/** "True", "False" ... of condition @type, NULL when absent. Borrowed. */
const char *pod_condition(const json_t *pod, const char *type);

/** A name for the state of a pod template, 10 characters. */
void template_hash(const json_t *template, char out[static 16]);
/**
 * An object of kind @r made of @template (metadata and spec) for @owner: name, labels, annotations, ownerReference (controlling, blocking).
 * NULL on no memory.
 */
json_t *object_from_template(const struct kube_resource *r, const json_t *template,
			     const struct kube_resource *owner_kind, const json_t *owner, const char *name);
/** A pod of @owner's spec.template. */
json_t *pod_from_template(const struct kube_resource *owner_kind, const json_t *owner, const char *name);

/**
 * Make @owner the controller of pods that nobody controls, that its selector matches and @fits accepts (left behind by an owner
 * that was deleted as "orphan"). How many, or a negative code; the change of each brings the owner's key again.
 */
int workload_adopt_pods(struct workload *w, const struct kube_resource *kind, const json_t *owner,
			bool (*fits)(const json_t *owner, const json_t *pod), struct error *err);
/** Create @pod and tell by an Event on @owner. An equal name already there is success: the cache is only late. */
int workload_create_pod(struct workload *w, const json_t *owner, const json_t *pod, struct error *err);
/** Delete exactly this pod (by uid) and tell by an Event on @owner. Already gone is success. */
int workload_delete_pod(struct workload *w, const json_t *owner, const json_t *pod, struct error *err);
/**
 * Merge @status (reference taken, NULL means no memory) into @obj's status when it says something else than what is there.
 * The patch carries the resourceVersion: -ESTALE means that the cache is late; an object that has gone
 * meanwhile is success.
 */
int workload_patch_status(struct workload *w, const struct kube_resource *r, const json_t *obj, json_t *status,
			  struct error *err);
/** Whether every member of @want has an equal value in @have (nested objects likewise). */
bool workload_status_holds(const json_t *have, const json_t *want);
