/*
 * The workload controllers of the one-machine cluster: what kube-controller-manager and kube-scheduler do on a real one, as far as
 * it is needed here. StatefulSet, DaemonSet, Job, CronJob, scheduler, volume binder, garbage collector, namespaces, node lifecycle, Endpoints.
 */
#pragma once

#include <stdint.h>

struct error;
struct logger;
struct manager;

struct workload_options {
	struct logger *log;    /* NULL: the root logger */
	int64_t node_grace_ns; /* a node without heartbeat for so long is Unknown; 0: 40 s */
};

/** Add the controllers to @m, before manager_start(). They live and end with it. */
int workload_controllers_register(struct manager *m, const struct workload_options *o, struct error *err);
