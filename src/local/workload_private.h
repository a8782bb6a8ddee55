/* Shared by the workload controllers (src/local/workload_*.c) only. */
#pragma once

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

#include "kube/client.h"
#include "kube/event.h"
#include "kube/informer.h"
#include "kube/manager.h"
#include "kube/resource.h"

struct graph;
struct logger;
struct map;
struct served;

/* Indexes of the shared pod informer. */
#define INDEX_POD_OWNER  "workload/owner"  /* uid of the controlling owner */
#define INDEX_POD_ORPHAN "workload/orphan" /* namespace of pods without a controlling owner */
#define INDEX_POD_NODE   "workload/node"   /* spec.nodeName; "" while unscheduled */
#define INDEX_POD_MINDS  "workload/minds"  /* spec.nodeName of pods that mind who runs beside them */

/** What all of them share. Made before the manager starts, read only afterwards; freed with the manager. */
struct workload {
	struct manager *manager;
	struct kube_client *client;
	struct event_recorder *events;
	struct logger *log;
	struct informer *pods, *nodes, *statefulsets, *daemonsets, *services, *endpoints, *pvcs, *pvs, *namespaces,
		*leases, *jobs, *cronjobs, *replicasets, *deployments, *budgets;
	struct graph *graph; /* what the garbage collector and namespace deletion know of all objects */
	struct served *served;
	struct controller *gc_queue, *namespace_queue;
	int64_t node_grace_ns;
	struct map *heartbeats; /* node lifecycle's one worker alone: node name -> struct heartbeat */
};

/** The node of a pod with required anti-affinity or host ports ("" while unscheduled), malloc'ed; NULL for the others. */
char *workload_pod_minds(const json_t *pod);

/* Each adds one controller. */
int workload_add_statefulset(struct workload *w, struct error *err);
int workload_add_daemonset(struct workload *w, struct error *err);
int workload_add_scheduler(struct workload *w, struct error *err);
int workload_add_volumes(struct workload *w, struct error *err);
int workload_add_gc(struct workload *w, struct error *err);
int workload_add_namespace(struct workload *w, struct error *err);
int workload_add_node(struct workload *w, struct error *err);
int workload_add_endpoints(struct workload *w, struct error *err);
int workload_add_job(struct workload *w, struct error *err);
/** After the Job controller. */
int workload_add_cronjob(struct workload *w, struct error *err);
int workload_add_replicaset(struct workload *w, struct error *err);
/** After the ReplicaSet controller. */
int workload_add_deployment(struct workload *w, struct error *err);
int workload_add_disruption(struct workload *w, struct error *err);
