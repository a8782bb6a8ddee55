/*
 * What the files of the agent share: pods that run here and their containers.
 *
 * Threads: a pod's worker (one at a time, the work queue sees to it) owns everything in struct pod_run; fields marked [lock] are
 * written under the pod's lock, because probes and the log server read them.
 * Lock order: agent.lock before pod_run.lock; neither is held over I/O.
 */
#pragma once

#include <jansson.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "local/agent_paths.h"
#include "local/agent_probe.h"
#include "local/agent_runtime.h"
#include "local/agent_volume.h"

struct agent;

#define AGENT_ADDRESS "127.0.0.1"
#define AGENT_WORKERS 24

enum container_phase { CONTAINER_WAITING, CONTAINER_RUNNING, CONTAINER_ENDED };

/** How one attempt of a container ended. */
struct container_end {
	bool valid;
	char id[CONTAINER_ID_MAX + 1];
	int code;
	char reason[40], message[2048];
	int64_t started_wall_ns, finished_wall_ns;
};

struct container_run {
	char *name;
	bool init;
	size_t index;                  /* in spec.initContainers or spec.containers */
	enum container_phase phase;    /* [lock] */
	char id[CONTAINER_ID_MAX + 1]; /* [lock] of the newest attempt, "" before the first */
	int restarts;
	bool begun; /* the newest attempt's command was begun, not only its container made */
	int64_t started_wall_ns, started_ns;
	char image[300];           /* of the newest attempt */
	struct container_end end;  /* of the newest attempt, when ENDED */
	struct container_end last; /* of the one before */
	char wait_reason[40], wait_message[480];
	int64_t backoff_ns, next_start_ns; /* monotonic */

	bool stopping, hooked, killed; /* asked to end; preStop has run; SIGKILL was sent */
	int64_t kill_at_ns;

	struct probe *probes[PROBE_KINDS];
	struct probe_counter counters[PROBE_KINDS]; /* prober's own */
	bool started, ready, unhealthy;             /* [lock] what the probes say */
	int64_t unhealthy_grace;                    /* [lock] seconds, or -1 */
};

enum pod_state {
	POD_NEW,      /* nothing has been done */
	POD_VOLUMES,  /* volumes are made ready */
	POD_INIT,     /* init containers, one after the other */
	POD_RUNNING,  /* containers */
	POD_FINISHED, /* all have ended for good; volumes are taken down; waits for deletion */
	POD_STOPPING, /* containers are asked to end */
	POD_CLEANING, /* volumes, groups and directories are removed */
	POD_GONE,     /* nothing is left */
	POD_STATES
};

struct pod_run {
	struct agent *agent;
	atomic_uint refs;
	char *uid, *ns, *name;
	pthread_mutex_t lock;
	json_t *ref; /* apiVersion, kind, namespace, name, uid for Events; never changes: any thread */
	json_t *obj; /* the newest object */
	enum pod_state state;
	bool seen;                        /* the API's object has been seen since the agent started */
	bool forgotten;                   /* the API has no such pod any more */
	bool warned;                      /* that its last pass failed has been logged */
	bool refused;                     /* its spec asks for what cannot be had */
	struct container_run *containers; /* init containers first */
	size_t n_containers, n_init;
	json_t *volumes;         /* what volumes_setup() gave, or NULL */
	bool volumes_down;       /* taken down in POD_FINISHED */
	int64_t retry_ns;        /* back-off of volumes and cleaning */
	int64_t refresh_at_ns;   /* projected volumes are looked at again */
	atomic_bool refresh_now; /* set by any thread: a ConfigMap or Secret of it has changed */
	atomic_bool gone;        /* in POD_GONE, for whoever waits for the end of all */
	int64_t started_wall_ns;
	int64_t grace_hint_ns; /* spec.terminationGracePeriodSeconds; never changes: any thread */
	char *status_text;     /* last status that the server took */
	json_t *conditions;    /* type → {status, lastTransitionTime} */
	char *saved_text;      /* what lies in the pod's file */
	char *hosts_text;      /* what lies in its hosts file, and of which version of the names */
	unsigned hosts_version;
};

struct event_recorder;
struct http_client;
struct log_server;
struct node;
struct informer;
struct kube_client;
struct logger;
struct monitor;
struct prober;
struct workqueue;

struct agent {
	struct agent_paths paths;
	char *node_name, *host_name;
	char tag[9]; /* of the data directory: tells our control groups from another agent's */
	struct kube_client *client;
	struct event_recorder *events;
	struct logger *log;
	struct informer *pods, *claims, *services, *config_maps, *secrets;
	struct workqueue *work; /* uids of pods */
	struct prober *prober;
	struct monitor *monitor;
	struct http_client *http; /* probes */
	struct shared_mounts *shared;
	struct agent_csi *csi;
	struct volume_host volumes;
	uint64_t capabilities;
	int oom_score_adj;
	bool cgroup_v2;
	atomic_bool end_pods;      /* all pods are to end */
	atomic_uint names_version; /* raised when a service or a pod with a name comes or goes */

	pthread_mutex_t lock; /* guards runs */
	pthread_cond_t went;  /* a pod is gone */
	struct map *runs;     /* uid → struct pod_run, one reference each */

	pthread_t workers[AGENT_WORKERS];
	int n_workers;
	struct node *node;
	struct log_server *logs;
	int lock_fd; /* held on the data directory */
	int stop_fd; /* borrowed; 0: none */
};

/* agent_pods.c: the table of pods. */
/** The pod @uid with a reference to drop by pod_run_unref(), or NULL. */
struct pod_run *agent_find(struct agent *a, const char *uid);
struct pod_run *pod_run_ref(struct pod_run *p);
struct pod_run *pod_run_unref(struct pod_run *p);
/** The same of the newest pod of that name that is not gone. */
struct pod_run *agent_find_named(struct agent *a, const char *ns, const char *name);
/** A pod that just became known; @obj is copied. In the table already: that one. NULL on no memory. */
struct pod_run *agent_add(struct agent *a, const json_t *obj);
void agent_remove(struct agent *a, struct pod_run *p);
/** Take over what the server knows of an earlier agent's time: start time, conditions. */
void pod_take_status(struct pod_run *p, const json_t *obj);
/** The container of that name, or NULL. */
struct container_run *pod_container(struct pod_run *p, const char *name);
/** Its part of the spec, or NULL. Borrowed from p->obj. */
const json_t *container_spec(const struct pod_run *p, const struct container_run *c);

/** Queue every pod. */
void agent_queue_all(struct agent *a);
/** Call @fn for each pod, with a reference held and no lock. */
void agent_each(struct agent *a, void (*fn)(void *ctx, struct pod_run *p), void *ctx);

/* agent_watch.c: what changes in the API queues pods. */
int watch_new(struct agent *a, struct error *err);
/** Start the informers and wait until they are synced. */
int watch_start(struct agent *a, struct error *err);
void watch_free(struct agent *a);

/* agent_sweep.c */
/** Remove what pods that nobody knows left: directories, mounts, control groups, logs. */
void sweep(struct agent *a);

/* agent_node.c: the Node, its Lease and CSINode, kept alive by a thread. */
int node_new(struct agent *a, struct node **ret, struct error *err);
void node_free(struct node *n);

/* agent_rotate.c */
/** Rename logs of running containers that have grown too large. */
void logs_rotate(struct agent *a);

#define AGENT_PART_MAX 256
/** Cut "/a/b/c" into its parts. How many; 0 when one is empty or too long, or when there are more than @max. */
size_t agent_split_path(const char *path, char part[][AGENT_PART_MAX], size_t max);

/* agent_logs.c: the HTTP server of logs, remote commands and forwarded ports. */
int log_server_new(struct agent *a, struct log_server **ret, struct error *err);
void log_server_free(struct log_server *s);

/* agent_pod.c: the state machine. */
/** One pass; *@ret_again_ns is when to come again (0: when something happens). */
int pod_sync(struct pod_run *p, int64_t *ret_again_ns, struct error *err);

/* agent_container.c: one container. */
/** Start its next attempt. Failing is no error of the agent: the container is WAITING with a reason, or ENDED. */
void container_start(struct pod_run *p, struct container_run *c);
/** See whether it has ended. True when it changed. */
bool container_observe(struct pod_run *p, struct container_run *c);
/** Go on stopping it within @grace_ns from now at most. True when it runs no more. */
bool container_stop(struct pod_run *p, struct container_run *c, int64_t grace_ns, const char *why);
/** The name of @p's control group, "/sluice/<tag>-pod<uid>". */
int pod_group(const struct agent *a, const char *uid, struct path *ret, struct error *err);
/** Remove all that an attempt left (not its log). */
int container_clean(struct agent *a, const char *id, struct error *err);
/** Path of the log of attempt @n. */
int container_log_path(const struct agent *a, const char *ns, const char *pod, const char *uid, const char *container,
		       int n, struct path *ret, struct error *err);

/* agent_record.c: what outlives the agent. */
/** Write the container's record beside its bundle. */
int record_save(const struct pod_run *p, const struct container_run *c, struct error *err);
/** Write the pod's file, when it changed. */
int record_save_pod(struct pod_run *p, struct error *err);
void record_remove_pod(const struct agent *a, const char *uid);
/** Read all files into pods (agent_add) with their containers; bundles that belong to none are removed. */
int record_load(struct agent *a, struct error *err);

/* agent_status.c */
/** New status object of @p. @final: the pod was ended, restarts are over. */
json_t *status_build(struct pod_run *p, bool final);
/** "Pending", "Running", "Succeeded", "Failed". */
const char *status_phase(const struct pod_run *p, bool final);
/** Send it when it differs from what the server has. */
int status_send(struct pod_run *p, bool final, struct error *err);

/* agent_files.c: /etc/hosts, /etc/resolv.conf and the like. */
/** Write @p's files; *@ret: new list of OCI mounts for @c. */
int pod_files(struct pod_run *p, const struct container_run *c, json_t **ret, struct error *err);
/** Bring @p's hosts file up to date. */
int pod_files_refresh(struct pod_run *p, struct error *err);
/** The pod's host name. Borrowed. */
const char *pod_hostname(const struct pod_run *p);
bool pod_host_network(const json_t *obj);

/* agent_check.c */
/** Whether everything that @obj asks for can be had. -EOPNOTSUPP with the field's path. */
int pod_check(const json_t *obj, struct error *err);

/* agent_monitor.c */
/** Queue @uid when the monitor of container @id ends (or has ended). */
int monitor_watch(struct monitor *m, const struct agent_paths *paths, const char *id, const char *uid);
int monitor_new(struct workqueue *work, struct monitor **ret, struct error *err);
void monitor_free(struct monitor *m);

/* agent_prober.c */
int prober_new(struct agent *a, struct prober **ret, struct error *err);
void prober_free(struct prober *p);
/** Begin asking for the container that has just started. */
void prober_begin(struct prober *p, struct pod_run *pod, struct container_run *c);

void container_end_set(struct container_end *e, const char *id, int code, const char *reason, const char *message,
		       int64_t started, int64_t finished);
