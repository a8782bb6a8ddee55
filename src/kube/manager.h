/*
 * Manager and controllers: shared informers, workers that call reconcile with a key, ordered start and stop.
 *
 * Reconcile is level-based: it gets a key, reads the informers (or the server), writes, and returns. A negative return is queued again
 * with back-off (-ESTALE, a conflict, without a log line at error level); requeue_after_ns > 0 is queued again after that time.
 * Threads: set up by the owner before manager_start(); reconcile on worker threads, never two at once for one key.
 */
#pragma once

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

#include "kube/informer.h"

struct controller;
struct error;
struct event_recorder;
struct kube_client;
struct kube_resource;
struct logger;
struct manager;

/** Controllers act only while this process holds the Lease; @name NULL: no election. The rest as in leader.h. Strings are copied. */
struct manager_election {
	const char *ns, *name, *identity;
	int64_t lease_duration_ns, renew_deadline_ns, retry_period_ns;
};

struct manager_options {
	struct kube_client *
		client; /* borrowed; fenced (client.h) from manager_start() to manager_free() when there is an election */
	struct logger *log;
	struct manager_election election;
	/**
	 * Where /healthz and /readyz, and where /metrics (of metrics_root()) are served: "ADDRESS:PORT"; ":PORT" is loopback; NULL or "0": not
	 * at all. The same text twice: one listener serves both. Strings are copied.
	 */
	const char *health_address, *metrics_address;
	int64_t stop_timeout_ns; /* how long reconciles may take to end; 0: 30 s */
};

int manager_new(const struct manager_options *o, struct manager **ret, struct error *err);
struct kube_client *manager_client(struct manager *m);
/** The shared informer of @r, made at the first call. Before manager_start(). NULL on no memory. Owned by the manager. */
struct informer *manager_informer(struct manager *m, const struct kube_resource *r);
/** The same with options (label selector, transform) when it does not exist yet; options of the first caller win. */
struct informer *manager_informer_with(struct manager *m, const struct kube_resource *r,
				       const struct informer_options *o);

struct reconcile_result {
	int64_t requeue_after_ns; /* 0: only when something changes */
};

struct controller_options {
	const char *name; /* "statefulset"; label of logs and metrics */
	int workers;      /* 0: 2 */
	int (*reconcile)(void *ctx, const char *ns, const char *name, struct reconcile_result *ret, struct error *err);
	void *ctx;
	/** Called once by manager_free() when neither workers nor the manager's informers can use @ctx any more. May be NULL. */
	void (*free_ctx)(void *ctx);
};

/** Register a controller. Owned by the manager. On failure @o->ctx stays the caller's. */
int controller_new(struct manager *m, const struct controller_options *o, struct controller **ret, struct error *err);
/**
 * Each change of an object of @r queues its own key. What is changed or gone goes before what is new (the whole first list is): under many
 * new objects those that were begun are finished first.
 */
int controller_watch(struct controller *c, const struct kube_resource *r);
/** Whether a change is worth a reconcile; called on the informer's thread, as its handlers are. */
typedef bool (*controller_predicate)(enum informer_event ev, const json_t *old, const json_t *obj);
/** controller_watch() of the changes that @wanted lets through. */
int controller_watch_if(struct controller *c, const struct kube_resource *r, controller_predicate wanted);
/** Not updates that leave metadata.generation as it was, such as of the status alone; the beginning of a deletion raises it. */
bool controller_generation_changed(enum informer_event ev, const json_t *old, const json_t *obj);
/** Each change of an object of @r queues its controlling owner when that is of @owner's kind and group; what is new is not urgent. */
int controller_watch_owned(struct controller *c, const struct kube_resource *r, const struct kube_resource *owner);
/** Each change of an object of @r (old and new state) is given to @map, which queues what it concerns by controller_enqueue(). */
int controller_watch_mapped(struct controller *c, const struct kube_resource *r,
			    void (*map)(void *ctx, struct controller *c, const json_t *obj), void *ctx);
/** The same of the changes that @wanted (NULL: all) lets through. */
int controller_watch_mapped_if(struct controller *c, const struct kube_resource *r, controller_predicate wanted,
			       void (*map)(void *ctx, struct controller *c, const json_t *obj), void *ctx);
/** Queue ns/name now. Any thread. */
void controller_enqueue(struct controller *c, const char *ns, const char *name);
/** The same before all keys that are not urgent: for what goes on with work that was begun. */
void controller_enqueue_urgent(struct controller *c, const char *ns, const char *name);
void controller_enqueue_after(struct controller *c, const char *ns, const char *name, int64_t delay_ns);

/**
 * Have manager_free() call @fn(@ctx) when all workers and the manager's informers have ended and before its controllers go (their
 * controller_enqueue() still may be called): the place to end what several controllers share. 0 or -ENOMEM (then @ctx stays the caller's).
 */
int manager_on_free(struct manager *m, void (*fn)(void *ctx), void *ctx);

/**
 * Start the listeners, then informers, wait until they are synced (at most 60 s without any page of a list and 10 minutes in all, or until
 * @stop_fd is readable: -ECANCELED; -1: none), then start the controllers' workers, or stand for election, and start them when that is won.
 * A standby has warm caches and is ready.
 */
int manager_start(struct manager *m, int stop_fd, struct error *err);
/**
 * Wait until @stop_fd is readable (0), or the manager cannot go on: the lease was lost (-ECANCELED; its controllers have been told to end,
 * nothing more is written, and the process is to end and begin anew), or a thread could not be made.
 */
int manager_wait(struct manager *m, int stop_fd, struct error *err);
/** Whether its controllers act now: always after manager_start() without an election. Any thread. */
bool manager_leads(struct manager *m);
/** The port of /healthz, of /metrics; 0: not served. After manager_start(). */
uint16_t manager_health_port(struct manager *m);
uint16_t manager_metrics_port(struct manager *m);
/**
 * Stop workers (after what they are doing, at most the stop timeout; the lease is kept meanwhile and then given up), informers, listeners.
 */
void manager_stop(struct manager *m);
/** Accepts NULL; stops first. */
void manager_free(struct manager *m);
