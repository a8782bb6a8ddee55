/* ReplicaSet: as many pods as it says. */
#include <errno.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/error.h"
#include "base/str.h"
#include "local/workload_crowd.h"
#include "local/workload_pods.h"
#include "local/workload_private.h"
#include "json/json.h"
#include "json/selector.h"

#define REPLICAS_MAX 10000

struct replica_pass {
	struct workload *w;
	const json_t *set;
	json_t *pods, *active;
	int64_t replicas, min_ready_s, wait_ns;
	struct error failure; /* .code 0: pods could be made and ended */
};

static void pass_clear(struct replica_pass *p)
{
	json_decref(p->pods);
	json_decref(p->active);
}

static int pass_begin(struct replica_pass *p, struct error *err)
{
	p->replicas = json_int(p->set, "spec.replicas", 1);
	p->min_ready_s = json_int(p->set, "spec.minReadySeconds", 0);
	p->pods = informer_list_by(p->w->pods, INDEX_POD_OWNER, obj_uid(p->set));
	p->active = json_array();
	int rc = p->pods != NULL && p->active != NULL ? 0 : -1;
	size_t i;
	json_t *pod;
	json_array_foreach (p->pods, i, pod)
		if (rc == 0 && !obj_deleting(pod) && !pod_finished(pod))
			rc = json_array_append(p->active, pod);
	return rc == 0 ? 0 : error_set(err, -ENOMEM, "ReplicaSet %s: out of memory", obj_name(p->set));
}

static int step_pods(struct replica_pass *p, struct error *err)
{
	int64_t have = (int64_t)json_array_size(p->active),
		want = p->replicas < REPLICAS_MAX ? p->replicas : REPLICAS_MAX;
	if (have > want)
		return crowd_shrink(p->w, p->set, p->active, (size_t)(have - want), err);
	return have < want ? crowd_create(p->w, &KUBE_REPLICASET, p->set, p->pods, (size_t)(want - have), err) : 0;
}

/** Whether the pod has all labels of the template: it may have been adopted. */
static bool is_labelled(const json_t *set, const json_t *pod)
{
	const char *key;
	json_t *v;
	json_object_foreach (json_at(set, "spec.template.metadata.labels"), key, v)
		if (!str_same(obj_label(pod, key), json_string_value(v)))
			return false;
	return true;
}

/** The list with ReplicaFailure, or without it. New reference; NULL on no memory. */
static json_t *conditions_of(const struct replica_pass *p)
{
	const json_t *old = json_at(p->set, "status.conditions[type=ReplicaFailure]");
	if (p->failure.code == 0)
		return json_array();
	char now[32];
	clock_format_rfc3339(clock_wall_ns(), now);
	const char *reason = (int64_t)json_array_size(p->active) < p->replicas ? "FailedCreate" : "FailedDelete";
	return json_pack("[{s:s, s:s, s:s, s:s, s:s}]", "type", "ReplicaFailure", "status", "True",
			 "lastTransitionTime", json_str(old, "lastTransitionTime", now), "reason", reason, "message",
			 p->failure.msg);
}

static json_t *status_of(struct replica_pass *p)
{
	int64_t ready = 0, available = 0, labelled = 0;
	size_t i;
	json_t *pod;
	json_array_foreach (p->active, i, pod) {
		ready += pod_ready(pod);
		available += pod_available(pod, p->min_ready_s, &p->wait_ns);
		labelled += is_labelled(p->set, pod);
	}
	json_t *conditions = conditions_of(p);
	if (conditions == NULL)
		return NULL;
	if (json_array_size(conditions) == 0 && json_at(p->set, "status.conditions") == NULL) {
		json_decref(conditions);
		conditions = json_null();
	}
	return json_pack("{s:I, s:I, s:I, s:I, s:I, s:o}", "replicas", (json_int_t)json_array_size(p->active),
			 "fullyLabeledReplicas", (json_int_t)labelled, "readyReplicas", (json_int_t)ready,
			 "availableReplicas", (json_int_t)available, "observedGeneration",
			 (json_int_t)json_int(p->set, "metadata.generation", 0), "conditions", conditions);
}

static bool takes_any(const json_t *set, const json_t *pod)
{
	(void)set;
	(void)pod;
	return true; /* whatever its selector matches */
}

static int reconcile(void *ctx, const char *ns, const char *name, struct reconcile_result *ret, struct error *err)
{
	struct workload *w = ctx;
	JSON_AUTO set = informer_get(w->replicasets, ns, name);
	if (set == NULL || obj_deleting(set))
		return 0; /* its pods are the garbage collector's */
	int rc = workload_adopt_pods(w, &KUBE_REPLICASET, set, takes_any, err);
	if (rc != 0)
		return rc < 0 ? rc : 0;
	CLEANUP(pass_clear) struct replica_pass p = {.w = w, .set = set};
	rc = pass_begin(&p, err);
	if (rc < 0)
		return rc;
	rc = step_pods(&p, &p.failure);
	if (rc < 0 && err != NULL)
		*err = p.failure;
	struct error status_err = {0};
	int status_rc = workload_patch_status(w, &KUBE_REPLICASET, set, status_of(&p), &status_err);
	ret->requeue_after_ns = p.wait_ns;
	if (rc == 0 && status_rc < 0 && err != NULL)
		*err = status_err;
	return rc < 0 ? rc : status_rc;
}

int workload_add_replicaset(struct workload *w, struct error *err)
{
	struct controller *c = NULL;
	const struct controller_options o = {.name = "replicaset", .reconcile = reconcile, .ctx = w};
	w->replicasets = manager_informer(w->manager, &KUBE_REPLICASET);
	if (w->replicasets == NULL)
		return error_set(err, -ENOMEM, "replicaset controller: out of memory");
	int rc = controller_new(w->manager, &o, &c, err);
	if (rc < 0)
		return rc;
	rc = controller_watch(c, &KUBE_REPLICASET);
	if (rc == 0)
		rc = controller_watch_owned(c, &KUBE_POD, &KUBE_REPLICASET);
	return rc == 0 ? 0 : error_set(err, rc, "replicaset controller: out of memory");
}
