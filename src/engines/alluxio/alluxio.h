/*
 * The Alluxio engine, split by what it does: checks of the specs, properties, objects, commands in the master, reading their output.
 * Functions are called on a worker thread with the pass's trees, unless they are given a question: those run on a pool and may wait.
 */
#pragma once

#include "api/alluxio_runtime.h"
#include "api/dataset.h"
#include "base/arena.h"
#include "runtime/nodes.h"
#include "sluice/engine.h"

#define ALLUXIO_MASTER "alluxio-master" /* the container that commands run in, and the role of its pods */

enum alluxio_port {
	ALLUXIO_MASTER_RPC,
	ALLUXIO_MASTER_WEB,
	ALLUXIO_WORKER_RPC,
	ALLUXIO_WORKER_WEB,
	ALLUXIO_JOB_MASTER_RPC,
	ALLUXIO_JOB_MASTER_WEB,
	ALLUXIO_JOB_WORKER_RPC,
	ALLUXIO_JOB_WORKER_WEB,
	ALLUXIO_JOB_WORKER_DATA,
	ALLUXIO_PROXY_WEB,
	ALLUXIO_MASTER_JOURNAL,
	ALLUXIO_JOB_MASTER_JOURNAL,
	ALLUXIO_PORTS
};

/** The components that have options of their own, in the order of struct alluxio_runtime_spec; the FUSE servers are last. */
enum alluxio_part {
	ALLUXIO_PART_MASTER,
	ALLUXIO_PART_JOB_MASTER,
	ALLUXIO_PART_WORKER,
	ALLUXIO_PART_JOB_WORKER,
	ALLUXIO_PART_GATEWAY,
	ALLUXIO_PART_FUSE,
	ALLUXIO_PARTS
};

/** The specs of a pass, decoded. Cleared by alluxio_specs_clear(). */
struct alluxio_specs {
	struct arena arena;
	struct dataset dataset;
	struct alluxio_runtime runtime;
	struct tier_paths tiers;
	json_t *mounts;     /* of mounts_resolve() */
	const json_t *root; /* the one at "/", in mounts; NULL: /underFSStorage is the root */
	int masters;
	bool host_ports; /* masters or workers are on the host's network, where ports are shared */
	bool read_only;
	int ports[ALLUXIO_PORTS]; /* set by alluxio_ports(); 0: not used */
};

/** Decode both specs; without a Dataset (it may be gone first) its part is zero. -EINVAL with the field's path. */
int alluxio_specs_load(const struct reconcile_ctx *ctx, struct alluxio_specs *ret, struct error *err);
void alluxio_specs_clear(struct alluxio_specs *s);
/** What cannot take effect, or is not allowed, is refused: -EINVAL, -EACCES or -EOPNOTSUPP, the field's path first. */
int alluxio_check(const struct reconcile_ctx *ctx, const struct alluxio_specs *s, struct error *err);

/** Fill s->ports: the spec's own, those of the host that the framework gives, or Alluxio's usual ones. */
int alluxio_ports(struct reconcile_ctx *ctx, struct alluxio_specs *s, struct error *err);
/** Options of the Java virtual machines, as environment: a new object. */
int alluxio_environment(const struct reconcile_ctx *ctx, const struct alluxio_specs *s, json_t **ret,
			struct error *err);
/** The component @part, of which the FUSE servers are none. */
const struct alluxio_component *alluxio_component_of(const struct alluxio_specs *s, enum alluxio_part part);
/** "master", "jobMaster", ..., "fuse": the member of the spec. */
const char *alluxio_part_name(enum alluxio_part part);
/** Where level @medium ("MEM") stands among those that the spec has. */
int alluxio_tier_rank(const struct alluxio_specs *s, const char *medium);
/** The objects of @parts, with the ports of @s: a new array in the order in which they must be applied. */
int alluxio_objects(const struct reconcile_ctx *ctx, const struct engine_traits *t, const struct alluxio_specs *s,
		    int parts, json_t **ret, struct error *err);

/* --- what Alluxio prints: pure functions on NUL-terminated text ---------------------------------------------------------------- */

/** Bytes as Alluxio prints them ("7.77MB", "1,024B", "8145742", "-1B" is -EINVAL), 1024 to the unit. -EINVAL, -ERANGE. */
int alluxio_bytes(const char *text, int64_t *ret);
/** `fsadmin report metrics`: capacity, used bytes, bytes read from the cache and past it. -EINVAL names what is missing. */
int alluxio_read_metrics(const char *text, struct engine_figures *ret, struct error *err);
/** /metrics/json/ of the leading master: the same. */
int alluxio_read_metrics_json(const char *text, size_t n, struct engine_figures *ret, struct error *err);
/** `fs count /`. */
int alluxio_read_count(const char *text, int64_t *ret_files, int64_t *ret_bytes, struct error *err);
/** `fs mount`: what is mounted, {path: source}. New object. */
int alluxio_read_mounts(const char *text, json_t **ret, struct error *err);

/* --- commands in the master, on the pools --------------------------------------------------------------------------------------- */

int alluxio_query_figures(const struct engine_question *q, struct engine_figures *ret, struct error *err);
/** engine_call()s. @args {"pod", "mounts": [{"path", "source", "readOnly", "shared", "options"}], "renew": [path]} */
int alluxio_run_mount(const struct engine_question *q, const json_t *args, json_t **ret, struct error *err);
/** @args {"pod"}; @ret {"files", "bytes"} */
int alluxio_run_metadata(const struct engine_question *q, const json_t *args, json_t **ret, struct error *err);
/** @args {"pod"}; @ret the version of HDFS that Alluxio speaks, a string */
int alluxio_run_version(const struct engine_question *q, const json_t *args, json_t **ret, struct error *err);
/** @args {"pod"} */
int alluxio_run_free(const struct engine_question *q, const json_t *args, json_t **ret, struct error *err);

extern const struct engine_traits alluxio_traits;
