#include "local/workload.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/error.h"
#include "base/map.h"
#include "local/workload_graph.h"
#include "local/workload_private.h"
#include "local/workload_served.h"
#include "json/json.h"

#define NODE_GRACE_NS (40 * NSEC_PER_SEC)

/* At the manager's end nothing runs any more but the collector's own watches; they still feed its queue, and end here first. */
static void workload_free(void *p)
{
	struct workload *w = p;
	served_free(w->served);
	graph_free(w->graph);
	event_recorder_free(w->events);
	map_free(w->heartbeats);
	free(w);
}

static char *owner_uid(const json_t *pod)
{
	const char *uid = json_str(obj_controller_ref(pod), "uid", NULL);
	return uid != NULL ? strdup(uid) : NULL;
}

static char *orphan_namespace(const json_t *pod)
{
	return obj_controller_ref(pod) == NULL ? strdup(obj_namespace(pod)) : NULL;
}

static char *node_name(const json_t *pod)
{
	return strdup(json_str(pod, "spec.nodeName", ""));
}

char *workload_pod_minds(const json_t *pod)
{
	size_t i, k;
	json_t *c, *port;
	bool minds = json_array_size(json_at(
			     pod, "spec.affinity.podAntiAffinity.requiredDuringSchedulingIgnoredDuringExecution")) > 0;
	json_array_foreach (json_at(pod, "spec.containers"), i, c) {
		json_array_foreach (json_object_get(c, "ports"), k, port) {
			minds = minds || json_int(port, "hostPort", 0) > 0;
		}
	}
	return minds ? node_name(pod) : NULL;
}

/* The shared informers. */
static int open_caches(struct workload *w)
{
	const struct {
		struct informer **to;
		const struct kube_resource *r;
	} wanted[] = {
		{&w->pods, &KUBE_POD},
		{&w->nodes, &KUBE_NODE},
		{&w->statefulsets, &KUBE_STATEFULSET},
		{&w->daemonsets, &KUBE_DAEMONSET},
		{&w->services, &KUBE_SERVICE},
		{&w->endpoints, &KUBE_ENDPOINTS},
		{&w->pvcs, &KUBE_PVC},
		{&w->pvs, &KUBE_PV},
		{&w->namespaces, &KUBE_NAMESPACE},
		{&w->leases, &KUBE_LEASE},
	};
	for (size_t i = 0; i < ARRAY_LEN(wanted); i++) {
		*wanted[i].to = manager_informer(w->manager, wanted[i].r);
		if (*wanted[i].to == NULL)
			return -ENOMEM;
	}
	int rc = informer_add_index(w->pods, INDEX_POD_OWNER, owner_uid);
	if (rc == 0)
		rc = informer_add_index(w->pods, INDEX_POD_ORPHAN, orphan_namespace);
	if (rc == 0)
		rc = informer_add_index(w->pods, INDEX_POD_NODE, node_name);
	return rc == 0 ? informer_add_index(w->pods, INDEX_POD_MINDS, workload_pod_minds) : rc;
}

int workload_controllers_register(struct manager *m, const struct workload_options *o, struct error *err)
{
	static int (*const add[])(struct workload *, struct error *) = {
		workload_add_namespace,  workload_add_gc,      workload_add_statefulset, workload_add_daemonset,
		workload_add_scheduler,  workload_add_volumes, workload_add_node,        workload_add_endpoints,
		workload_add_job,        workload_add_cronjob, workload_add_replicaset,  workload_add_deployment,
		workload_add_disruption,
	};
	struct workload *w = calloc(1, sizeof *w);
	if (w == NULL)
		return error_set(err, -ENOMEM, "workload controllers: out of memory");
	w->manager = m;
	w->client = manager_client(m);
	w->log = o != NULL ? o->log : NULL;
	w->node_grace_ns = o != NULL && o->node_grace_ns > 0 ? o->node_grace_ns : NODE_GRACE_NS;
	int rc = manager_on_free(m, workload_free, w);
	if (rc < 0) {
		workload_free(w);
		return error_set(err, rc, "workload controllers: out of memory");
	}
	/* from here on the manager frees it, whatever happens */
	if (open_caches(w) < 0)
		return error_set(err, -ENOMEM, "workload controllers: out of memory");
	rc = event_recorder_new(w->client, "sluice-workload", &w->events, err);
	for (size_t i = 0; rc == 0 && i < ARRAY_LEN(add); i++)
		rc = add[i](w, err);
	return rc;
}
