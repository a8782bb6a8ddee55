/*
 * The Runtime framework's contract: what a cache system ("engine") must tell us so that Datasets can be served by it.
 *
 * An engine is what its cache system alone knows. The template engine (src/runtime/template.c) owns the lifecycle
 *
 *     validate → Setup → CreateVolume → Sync, again and again → DeleteVolume → Shutdown
 *
 * and calls the methods listed once below, in ENGINE_METHODS. From that list come the vtable, the prototypes of the template's
 * defaults and ENGINE_REGISTER(): an engine that forgets a method does not compile. A default is taken visibly:
 *
 *     ENGINE_DEFAULT(jindo, sync_metadata);
 *
 * Threads:   methods are called on any worker thread, never two at once for one dataset; an engine owns no mutable globals.
 *            query_figures() and the functions given to engine_call() alone run beside them, on pools of their own, and therefore
 *            get no engine and no pass: they are what may wait for the cache system.
 * Returns:   every method returns an int. Negative: an errno, the reason in @err (place, reason, what to do next); the pass ends and
 *            is tried again with back-off. Questions answer 1 (yes, ready, done) or 0 (no, not yet); with 0 they may say why in @err.
 *            "Not yet" is no error: whoever waits is woken by a watch, or by ctx->requeue_after_ns.
 * Ownership: everything reached through reconcile_ctx is valid for the call only. "New" trees belong to the caller.
 */
#pragma once

#include <jansson.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"
#include "kube/resource.h"

#define SLUICE_ENGINE_ABI 1u
#define SLUICE_PUBLIC     __attribute__((visibility("default")))

struct calls;
struct engine;
struct figures;
struct fixed;
struct logger;
struct ports;

/* --- what the world offers ------------------------------------------------------------------------------------------------------ */

struct engine_question;

/** A command to be run in a container. */
struct engine_exec {
	const char *ns, *pod, *container;
	const char *const *argv; /* NULL-terminated; no shell is involved */
	size_t max_output;       /* of stdout and stderr each; more is -EFBIG. 0: 1 MiB */
};

/** What it said. Freed by engine_output_clear(). */
struct engine_output {
	int status;      /* exit status; 0: success */
	char *out, *err; /* NUL-terminated */
	size_t out_n, err_n;
};

SLUICE_PUBLIC void engine_output_clear(struct engine_output *o);

/** In place of a label: pods that mount a PersistentVolumeClaim. */
#define ENGINE_LIST_CLAIMS "*claims*"
/** In place of a label: pods that hold a cache on the node that is the value. */
#define ENGINE_LIST_CACHES "*caches*"

/**
 * The API as engines and the framework use it: reads come from the informers (or, for kinds that are not cached, from the server),
 * writes go to the server. Tests script it. All functions may be called from any thread; exec() only where waiting is allowed, in
 * query_figures() and in the functions given to engine_call().
 */
struct engine_api {
	/** New tree or NULL when absent. @ns is "" for cluster scope. */
	json_t *(*get)(void *ctx, const struct kube_resource *r, const char *ns, const char *name);
	/** New array of the objects in @ns (NULL: everywhere) whose @label is @value (NULL @value: that have it; NULL @label: all;
	 *  ENGINE_LIST_CLAIMS, ENGINE_LIST_CACHES: as said there); NULL on no memory. */
	json_t *(*list)(void *ctx, const struct kube_resource *r, const char *ns, const char *label, const char *value);
	/** Server-side apply as field manager "sluice", forced. */
	int (*apply)(void *ctx, const struct kube_resource *r, const char *ns, const char *name, const json_t *obj,
		     struct error *err);
	/** Merge patch of the object, or of its status with @sub "status". A resourceVersion inside makes it conditional (-ESTALE). */
	int (*patch)(void *ctx, const struct kube_resource *r, const char *ns, const char *name, const char *sub,
		     const json_t *patch, struct error *err);
	/** Delete. An absent object is 0: what was wanted is true. */
	int (*remove)(void *ctx, const struct kube_resource *r, const char *ns, const char *name, struct error *err);
	/** An Event on @obj; never blocks. */
	void (*event)(void *ctx, const json_t *obj, const char *type, const char *reason, const char *message);
	/** Run a command to its end: 0 whenever it ran, whatever its exit status. Blocks until @q's deadline at most. */
	int (*exec)(void *ctx, const struct engine_question *q, const struct engine_exec *x, struct engine_output *ret,
		    struct error *err);
	void *ctx;
	/** Give all objects of a cluster-scoped kind to @fn, one after the other, until it says false. 0 or -ENOMEM. */
	int (*visit)(void *ctx, const struct kube_resource *r, bool (*fn)(void *arg, const json_t *obj), void *arg);
	/** The last line that the only container of a pod wrote, of at most @max bytes: malloc'ed. Blocks for 5 s at most. */
	int (*last_line)(void *ctx, const char *ns, const char *pod, size_t max, char **ret, struct error *err);
};

/** What the operator allows and decides. Strings and lists are borrowed and never change. */
struct engine_limits {
	const char *mount_root; /* MOUNT_ROOT: host directory below which fuse mounts appear, "/runtime-mnt" */
	const char *const *allowed_images;     /* prefixes of images that may run privileged; NULL-terminated */
	const char *const *allowed_host_paths; /* directories that local:// and hostPath may name; NULL-terminated */
	int port_min, port_max; /* ports for workers on the host's network: port_min <= port < port_max */
};

/* --- one pass ------------------------------------------------------------------------------------------------------------------- */

/** What a mount's source is doing, as the engine sees it. */
struct figures_mount {
	char *path, *source, *message;
	bool failed, listing;
};

/** An engine's answer to "how are you?". Numbers are exact; -1 means unknown. Freed by engine_figures_clear(). */
struct engine_figures {
	bool ready; /* every mount can be read */
	int64_t ufs_bytes, ufs_files;
	bool ufs_complete; /* the two above are final, not still being counted */
	int64_t capacity_bytes, cached_bytes;
	int64_t hit_bytes, miss_bytes; /* read from the cache, and past it, since the engine started */
	int64_t local_hit_bytes;       /* the part of hit_bytes that came from the reader's own node */
	struct figures_mount *mounts;  /* at most ENGINE_MAX_MOUNTS */
	size_t n_mounts;
	int64_t asked_mono_ns; /* when the answer came */
	bool has_rates; /* the engine tells the next three: the same as the three of reads, but bytes a minute now */
	int64_t hit_rate, miss_rate, local_hit_rate;
};

#define ENGINE_MAX_MOUNTS 256

/** What a function that waits for the cache system is given: query_figures(), and those of engine_call(). */
struct engine_question {
	const struct engine_api *api; /* its exec() may be used here */
	const char *ns, *name;        /* of the Dataset */
	const char *target;           /* whom to ask, of figures_targets(); NULL for a call */
	int64_t deadline_mono_ns;     /* no longer than this */
	const atomic_bool *cancel;    /* true: the answer is not wanted any more; may be NULL */
};

SLUICE_PUBLIC void engine_figures_clear(struct engine_figures *f);

/** Everything one reconcile knows. Filled by the reconciler, handed down to every method. */
struct reconcile_ctx {
	int64_t deadline_mono_ns; /* the pass should be over by then */
	struct logger *log;       /* of the controller; add namespace and name to lines */
	const char *ns, *name;    /* the key: of Dataset, Runtime, claim */
	const char *category;     /* "Accelerate" */
	const char *runtime_type; /* "reservoir" */
	const char *finalizer;    /* "reservoir-runtime-controller-finalizer" */
	const struct kube_resource *runtime_resource;
	const struct kube_resource *const *kinds; /* of the runtime's objects; ends with NULL */
	const struct engine_api *api;
	const struct engine_limits *limits;

	const json_t *runtime; /* as read at the start of the pass */
	const json_t *dataset; /* NULL: there is none */

	/* What the pass wants the two statuses to be; sent once, at its end, when something changed. */
	json_t *runtime_status;
	json_t *dataset_status;

	const struct engine_figures *figures; /* last answer; NULL: none yet */
	const char *figures_error;            /* why the last question failed; NULL: it did not */

	struct figures *pool; /* where questions wait (src/runtime/figures.h); NULL: nobody asks */
	struct calls *calls;  /* where calls wait (src/runtime/calls.h) */
	struct ports *ports;  /* who has which port (src/runtime/ports.h) */

	bool wait_for_nodes;      /* come back when a node changes */
	int64_t requeue_after_ns; /* 0: when something changes; lower it by reconcile_again() */

	const struct fixed *
		fixed; /* fields that were changed and may not be; the specs above are without that (src/runtime/fixed.h) */
};

/** Come back after @delay_ns at the latest. */
SLUICE_PUBLIC void reconcile_again(struct reconcile_ctx *ctx, int64_t delay_ns);

/**
 * Something to be done at the cache system that takes its time: mounting a source, loading metadata, freeing a cache.
 */
struct engine_call {
	const char *what; /* "mount": one name, one purpose; a literal */
	/** Runs on a pool thread; @args as given, @ret a new tree or left alone. */
	int (*run)(const struct engine_question *q, const json_t *args, json_t **ret, struct error *err);
	const json_t *args; /* copied */
	int64_t timeout_ns; /* at most ENGINE_CALL_MAX_NS */
};

#define ENGINE_CALL_MAX_NS (INT64_C(1800) * 1000000000)

/**
 * Have it done, without waiting: one at a time for a dataset, a bounded number in all, each within its timeout. 1: it was done with
 * these arguments, the answer is in @ret (new tree, JSON null when it gave none; @ret may be NULL) and stays so until the arguments
 * change or engine_call_forget(). 0: it is under way, or waits to be tried again (@err says why); the runtime is queued when that changes.
 * Negative: it just failed (told once for each failure; it is tried again with back-off, 2 s to 60 s), or there is no memory or room.
 */
SLUICE_PUBLIC int engine_call(struct reconcile_ctx *ctx, const struct engine_call *c, json_t **ret, struct error *err);
/** The answer of @what is old: the next engine_call() does it again. */
SLUICE_PUBLIC void engine_call_forget(struct reconcile_ctx *ctx, const char *what);

/**
 * Ports of the host for @names (at most ENGINE_MAX_PORTS), no other runtime's, the same at each call: they are remembered in the condition
 * PortsAllocated of ctx->runtime_status and given back when the runtime is gone. -ENOSPC when the operator's range is used up.
 */
SLUICE_PUBLIC int engine_ports(struct reconcile_ctx *ctx, const char *const *names, size_t n, int *ret,
			       struct error *err);

#define ENGINE_MAX_PORTS 16

/** A change of the mounts between what is served (status) and what is wanted (spec). Borrowed from the pass's trees. */
struct ufs_change {
	json_t *added, *removed; /* arrays of cache paths; new trees owned by the caller */
};

/* --- the contract --------------------------------------------------------------------------------------------------------------- */

/** Parts of a runtime; a spec may have some of them only. */
enum engine_part { ENGINE_MASTER = 1, ENGINE_WORKERS = 2, ENGINE_FUSE = 4 };

/*
 * M(engine, method, arguments...) has a default in the template; OWN(...) has none: only the engine can know.
 * A method's name as the template calls it is engine_default_<method>.
 */
/* clang-format off */
#define ENGINE_METHODS(M, OWN, X)                                                                                                   \
	/* ---- master and workers ---- */                                                                                          \
                                                                                                                                    \
	/* The parts that the specs want: a set of enum engine_part. The default: workers, fuse, and a master when the traits name one. */ \
	M(X, parts, struct engine *e, struct reconcile_ctx *ctx, struct error *err)                                                 \
	/* The objects of @parts as they should be: a new array in the order in which they must be sent (configuration before those who \
	 * read it), each complete, of the kinds that the runtime's controller lists. Called in Setup, for the master and then for workers \
	 * and fuse, and in every Sync for all: what differs from what was sent last is sent, what is no longer made is deleted. */ \
	OWN(X, make_objects, struct engine *e, struct reconcile_ctx *ctx, int parts, json_t **ret, struct error *err)               \
	/* Asked at the start of every Setup: must the master's objects be made? The default says yes while there is a master among \
	 * the parts and runtime.status.masterPhase is "". */                                                                       \
	M(X, should_setup_master, struct engine *e, struct reconcile_ctx *ctx, struct error *err)                                   \
	/* After should_setup_master said 1. Leaves true: the master's objects exist or have been sent. Must bear being called      \
	 * again. The default sends the objects of ENGINE_MASTER. */                                                                \
	M(X, setup_master, struct engine *e, struct reconcile_ctx *ctx, struct error *err)                                          \
	/* In Setup and in every Sync. 1 when at least one master is ready (and when there is no master by design). Leaves the      \
	 * master's numbers, phase and conditions in ctx->runtime_status. */                                                        \
	M(X, check_master_ready, struct engine *e, struct reconcile_ctx *ctx, struct error *err)                                    \
	/* Must the workers' and mounts' objects be made? The default says yes while status.workerPhase is "". */                   \
	M(X, should_setup_workers, struct engine *e, struct reconcile_ctx *ctx, struct error *err)                                  \
	/* Leaves true: the objects of workers and fuse (and what they need, configuration first) have been sent with the wanted    \
	 * number of replicas. Idempotent. The default sends the objects of ENGINE_WORKERS and ENGINE_FUSE. */                      \
	M(X, setup_workers, struct engine *e, struct reconcile_ctx *ctx, struct error *err)                                         \
	/* In Setup and in every Sync. 1 when at least one worker is ready, or none is wanted. Leaves numbers, phase and            \
	 * conditions of workers and fuse in ctx->runtime_status. */                                                                \
	M(X, check_workers_ready, struct engine *e, struct reconcile_ctx *ctx, struct error *err)                                   \
	/* Before workers are created and on scaling. Returns how many nodes can take a worker now; what is missing is named in     \
	 * a condition (WorkersInitialized, False), and the runtime is queued again when nodes change. @desired >= 0. The default   \
	 * counts nodes that pass selector, affinity, taints and placement. */                                                      \
	M(X, assign_nodes_to_cache, struct engine *e, struct reconcile_ctx *ctx, int desired, struct error *err)                    \
                                                                                                                                    \
	/* ---- storage underneath ---- */                                                                                          \
                                                                                                                                    \
	/* In Setup, once masters are ready: is there anything to prepare? The default says no. */                                  \
	M(X, should_check_ufs, struct engine *e, struct reconcile_ctx *ctx, struct error *err)                                      \
	/* 1: every mount of the Dataset is mounted in the cache's namespace; 0 while that is under way (engine_call()), why in @err. \
	 * Idempotent. */                                                                                                           \
	M(X, prepare_ufs, struct engine *e, struct reconcile_ctx *ctx, struct error *err)                                           \
	/* In Sync. 1 when Dataset.spec.mounts and what is served differ; then fills @ret (two new arrays). The default compares    \
	 * the paths of spec.mounts and status.mounts. */                                                                           \
	M(X, should_update_ufs, struct engine *e, struct reconcile_ctx *ctx, struct ufs_change *ret, struct error *err)             \
	/* Make it so; 1 when the change is served, 0 while it is under way. The template moves the Dataset to Updating meanwhile.  \
	 * The default says that this engine cannot change mounts (-EOPNOTSUPP), naming the field. */                               \
	M(X, update_on_ufs_change, struct engine *e, struct reconcile_ctx *ctx, const struct ufs_change *change, struct error *err) \
	/* In Sync: has the engine lost its mounts? The default says yes when a master's container (traits.master_container) started \
	 * after status.mountTime, which the template sets when prepare_ufs or sync_dataset_mounts said 1. */                       \
	M(X, should_sync_dataset_mounts, struct engine *e, struct reconcile_ctx *ctx, struct error *err)                            \
	/* Mount what was lost; 1 when it is there again, 0 while that is under way. The default prepares the storage anew. */      \
	M(X, sync_dataset_mounts, struct engine *e, struct reconcile_ctx *ctx, struct error *err)                                   \
	/* In Sync: bring ufsTotal and fileNum of ctx->dataset_status up to date. The default prints total_storage_bytes() and      \
	 * total_file_nums(), "[Calculating]" while they are not known. */                                                          \
	M(X, sync_metadata, struct engine *e, struct reconcile_ctx *ctx, struct error *err)                                         \
                                                                                                                                    \
	/* ---- status and health ---- */                                                                                           \
                                                                                                                                    \
	/* In every Sync. 1: master and workers have a ready replica and the fuse's object exists; 0: not, with the reason in       \
	 * @err (no change of phase); negative: their state could not be found out or they are gone (the Dataset becomes Failed,    \
	 * and Bound again once this answers 1). */                                                                                 \
	M(X, check_runtime_healthy, struct engine *e, struct reconcile_ctx *ctx, struct error *err)                                 \
	/* Before a data operation: does the cache system answer? */                                                                \
	M(X, check_runtime_ready, struct engine *e, struct reconcile_ctx *ctx, struct error *err)                                   \
	/* Leaves cacheStates, selector, cacheAffinity, conditions and numbers in ctx->runtime_status. 1 when the runtime may       \
	 * be bound. */                                                                                                             \
	M(X, check_and_update_runtime_status, struct engine *e, struct reconcile_ctx *ctx, struct error *err)                       \
	/* Leaves the runtime's cacheStates in ctx->dataset_status. */                                                              \
	M(X, update_cache_of_dataset, struct engine *e, struct reconcile_ctx *ctx, struct error *err)                               \
	/* Move the Dataset to @phase ("Bound", "Failed", ...) by the table of legal moves, with its conditions. */                 \
	M(X, update_dataset_status, struct engine *e, struct reconcile_ctx *ctx, const char *phase, struct error *err)              \
	/* End of Setup: phase Bound, status.runtimes, status.mounts. */                                                            \
	M(X, bind_to_dataset, struct engine *e, struct reconcile_ctx *ctx, struct error *err)                                       \
                                                                                                                                    \
	/* ---- change ---- */                                                                                                      \
                                                                                                                                    \
	/* In every Sync: make spec.replicas true (also when it came through the scale subresource); conditions WorkersScaledIn     \
	 * and WorkersScaledOut, an Event "Succeed". The default patches the worker StatefulSet. */                                 \
	M(X, sync_replicas, struct engine *e, struct reconcile_ctx *ctx, struct error *err)                                         \
	/* In every Sync, and in Setup for what was sent before: make every other change of the specs true. 1 when something was    \
	 * changed: the rest of this Sync waits for the next pass. The default sends the objects whose content is not what was sent last, \
	 * and deletes those that are no longer made. */                                                                            \
	M(X, sync_runtime, struct engine *e, struct reconcile_ctx *ctx, struct error *err)                                          \
	/* Node labels that say where the cache is, equal to where worker pods are. */                                              \
	M(X, sync_schedule_info_to_cache_nodes, struct engine *e, struct reconcile_ctx *ctx, struct error *err)                     \
	/* Before anything else in each pass. Refuse what cannot take effect: -EINVAL, the field's path first in the message        \
	 * ("spec.mounts[0].readOnly: ..."). Leaves nothing changed. */                                                             \
	OWN(X, validate, struct engine *e, struct reconcile_ctx *ctx, struct error *err)                                            \
                                                                                                                                    \
	/* ---- volume and end ---- */                                                                                              \
                                                                                                                                    \
	/* PV and PVC exist. Called in every pass after Setup. */                                                                   \
	M(X, create_volume, struct engine *e, struct reconcile_ctx *ctx, struct error *err)                                         \
	/* 1 when PVC and PV are gone, 0 while something holds them (named in @err). */                                             \
	M(X, delete_volume, struct engine *e, struct reconcile_ctx *ctx, struct error *err)                                         \
	/* 1 when nothing of the runtime is left (objects, node labels), 0 while pods still end (named in @err). Also called, as the \
	 * template's default, for a runtime whose engine cannot be built. */                                                       \
	M(X, shutdown, struct engine *e, struct reconcile_ctx *ctx, struct error *err)                                              \
                                                                                                                                    \
	/* ---- data operations ---- */                                                                                             \
                                                                                                                                    \
	/* What @operation (a DataLoad, DataMigrate, ... object) runs for this engine: a new batch.v1.JobSpec in @ret, its template and, \
	 * where they are not one pod, its parallelism, completions and backoffLimit; labels, owner and what the operation's own spec \
	 * says of its pods are put in by who asks. Called after check_runtime_ready said 1, on an engine that was built for it alone. \
	 * -EOPNOTSUPP when the engine has no such operation (the default: none), -EINVAL (the field's path first) when it has, but \
	 * not this one: the operation has failed then, with the message for a reason. */                                                \
	M(X, data_operation_spec, struct engine *e, struct reconcile_ctx *ctx, const json_t *operation, json_t **ret,               \
	  struct error *err)                                                                                                        \
                                                                                                                                    \
	/* ---- UnderFileSystemService; -ENODATA: not known yet. The defaults read ctx->figures. ---- */                            \
                                                                                                                                    \
	M(X, used_storage_bytes, struct engine *e, struct reconcile_ctx *ctx, int64_t *ret, struct error *err)                      \
	M(X, free_storage_bytes, struct engine *e, struct reconcile_ctx *ctx, int64_t *ret, struct error *err)                      \
	M(X, total_storage_bytes, struct engine *e, struct reconcile_ctx *ctx, int64_t *ret, struct error *err)                     \
	M(X, total_file_nums, struct engine *e, struct reconcile_ctx *ctx, int64_t *ret, struct error *err)                         \
                                                                                                                                    \
	/* ---- figures ---- */                                                                                                     \
                                                                                                                                    \
	/* Whom to ask: a new array of strings (URLs, pod names; at most ENGINE_MAX_TARGETS) that query_figures() understands;      \
	 * empty while nobody can be asked. */                                                                                      \
	OWN(X, figures_targets, struct engine *e, struct reconcile_ctx *ctx, json_t **ret, struct error *err)                       \
	/* Ask q->target, on the figures' pool: may block until q->deadline_mono_ns, and no longer. No state of the engine is there: the \
	 * engine may be gone when the answer comes. Answers of several targets are summed up by the pool, unless traits.ask_one. */ \
	OWN(X, query_figures, const struct engine_question *q, struct engine_figures *ret, struct error *err)
/* clang-format on */

#define ENGINE_MAX_TARGETS 64

/* --- the vtable and its registration -------------------------------------------------------------------------------------------- */

/** Names and constants of an engine that the template works with. */
struct engine_traits {
	const char *app;           /* label app of its objects: "reservoir" */
	const char *master_suffix; /* "<name><suffix>" is the master StatefulSet; NULL: masterless */
	const char *worker_suffix; /* "-worker" */
	const char *fuse_suffix;   /* "-fuse" */
	const char *master_role;   /* label role of master pods: "alluxio-master"; NULL: masterless */
	const char *worker_role;   /* label role of worker pods: "reservoir-worker" */
	const char *fuse_role;
	const char *master_container; /* whose start tells that mounts were lost; NULL: they are not */
	const char
		*fuse_dir; /* last part of the fuse's mount point: MOUNT_ROOT/<runtime type>/<ns>/<name>/<fuse_dir> */
	const char *mount_type; /* as /proc/self/mountinfo shows it: "fuse.reservoir-fuse" */
	bool ask_one; /* targets of figures say all the same (masters): one answer is enough, in their order */
};

#define ENGINE_MEMBER_(X, method, ...) int (*method)(__VA_ARGS__);

struct engine_ops {
	uint32_t abi;     /* SLUICE_ENGINE_ABI it was built with */
	uint32_t size;    /* sizeof this struct at that time: new members go last */
	const char *name; /* engine name: "reservoir" */
	const struct engine_traits *traits;
	/** Make the engine's own state (e->priv) from the specs. 0, or an error, which becomes a condition and an Event; it is tried
	 *  again: -EINVAL when a spec has changed, others with back-off. */
	int (*build)(struct engine *e, struct reconcile_ctx *ctx, struct error *err);
	/** Free e->priv; must bear a half-built one. */
	void (*free)(struct engine *e);
	ENGINE_METHODS(ENGINE_MEMBER_, ENGINE_MEMBER_, )
};

#define ENGINE_PROTOTYPE_(X, method, ...) SLUICE_PUBLIC int X##_##method(__VA_ARGS__);
#define ENGINE_NOTHING_(X, method, ...)
ENGINE_METHODS(ENGINE_PROTOTYPE_, ENGINE_NOTHING_, engine_default)

#define ENGINE_ENTRY_(X, method, ...) .method = X##_##method,

/**
 * Define `const struct engine_ops <name>_engine` from <name>_traits, <name>_build, <name>_free and one <name>_<method> for each method.
 */
#define ENGINE_REGISTER(X)                                                                                             \
	const struct engine_ops X##_engine = {.abi = SLUICE_ENGINE_ABI,                                                \
					      .size = sizeof(struct engine_ops),                                       \
					      .name = #X,                                                              \
					      .traits = &X##_traits,                                                   \
					      .build = X##_build,                                                      \
					      .free = X##_free,                                                        \
					      ENGINE_METHODS(ENGINE_ENTRY_, ENGINE_ENTRY_, X)}

/** Take the template's default for @method, by name. */
#define ENGINE_DEFAULT(X, method)                                                                                      \
	extern __typeof__(engine_default_##method) X##_##method __asm__("engine_default_" #method)

/* --- the outer interface -------------------------------------------------------------------------------------------------------- */

/**
 * What the reconciler calls. The template engine implements it over struct engine_ops; an engine that does not fit the template
 * implements it itself. Returns as above; @setup 1 when the Dataset may be bound, @sync 0 or negative, @delete_volume and @shutdown 1
 * when done.
 */
struct engine_lifecycle {
	const char *(*id)(const struct engine *e);
	int (*validate)(struct engine *e, struct reconcile_ctx *ctx, struct error *err);
	int (*setup)(struct engine *e, struct reconcile_ctx *ctx, struct error *err);
	int (*create_volume)(struct engine *e, struct reconcile_ctx *ctx, struct error *err);
	int (*sync)(struct engine *e, struct reconcile_ctx *ctx, struct error *err);
	int (*delete_volume)(struct engine *e, struct reconcile_ctx *ctx, struct error *err);
	int (*shutdown)(struct engine *e, struct reconcile_ctx *ctx, struct error *err);
	void (*free)(struct engine *e);
};

/** A live engine: one Dataset's. Rebuilt when the runtime's or the dataset's generation changes. */
struct engine {
	const struct engine_lifecycle *lifecycle;
	const struct engine_ops *ops; /* of the template; NULL for an engine with a lifecycle of its own */
	char *id, *ns, *name;         /* id: "ns/name" */
	char *runtime_uid;
	int64_t runtime_generation, dataset_generation;
	bool built; /* false: build() failed, and the runtime is being deleted by the template's defaults */
	void *priv; /* the engine's own */
};

/**
 * How an engine is built by name: `build` makes the engine @id ("ns/name") from what @ctx holds. Entries made by ENGINE_FACTORY()
 * build the template engine over @ops.
 */
struct engine_factory {
	const char *name;
	const struct engine_ops *ops;
	int (*build)(const struct engine_factory *f, struct reconcile_ctx *ctx, const char *id, struct engine **ret,
		     struct error *err);
};

/** Build the template engine over @f->ops. */
SLUICE_PUBLIC int engine_template_build(const struct engine_factory *f, struct reconcile_ctx *ctx, const char *id,
					struct engine **ret, struct error *err);
#define ENGINE_FACTORY(X)                                                                                              \
	{                                                                                                              \
		.name = #X, .ops = &X##_engine, .build = engine_template_build                                         \
	}

/** Free an engine by its lifecycle. Accepts NULL. */
SLUICE_PUBLIC void engine_free(struct engine *e);
