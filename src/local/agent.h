/*
 * The node agent: what a kubelet is to Kubernetes, for pods of the host image, by runc under conmon.
 *
 * Threads: agent_new, agent_end_pods and agent_free by one owner; everything else is inside.
 */
#pragma once

#include <stdbool.h>

struct agent;
struct error;
struct logger;

struct agent_options {
	const char *kubeconfig; /* NULL: as kube_config_load() finds one */
	const char *data_dir;
	const char *kubelet_root; /* NULL: DATA_DIR/kubelet */
	const char *node_name;    /* NULL: the host name */
	int stop_fd;              /* readable: give up starting; 0: none */
	struct logger *log;
};

/** Take over what an earlier agent left, register the node and run its pods. When it returns 0, the node is Ready. Strings are copied.
 * -ECANCELED when @stop_fd became readable first. */
int agent_new(const struct agent_options *o, struct agent **ret, struct error *err);
/** End all pods, gracefully, and wait for it: at most their grace periods and a little more. -ETIMEDOUT when some are left. */
int agent_end_pods(struct agent *a, struct error *err);
/** Stop; containers go on. Accepts NULL. */
void agent_free(struct agent *a);
