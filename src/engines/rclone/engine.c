/*
 * RcloneRuntime's engine, the example of docs/add-a-runtime.md. A worker (`rclone serve webdav`) reads the source and keeps what was read on its
 * node's disk; a mount (`rclone mount`) reads from the worker of its own node. There is no master.
 *
 * Figures: rclone can tell whether the source can be read, and we know what the cache may hold. How much the source or the cache holds it does
 * not tell without listing all of it, so that is not shown.
 */
#include <stdio.h>
#include <string.h>

#include "api/dataset.h"
#include "api/rclone_runtime.h"
#include "base/arena.h"
#include "base/clock.h"
#include "base/str.h"
#include "engines/engines.h"
#include "kube/client.h"
#include "net/http_client.h"
#include "runtime/ask.h"
#include "runtime/guard.h"
#include "runtime/mounts.h"
#include "runtime/objects.h"
#include "runtime/workloads.h"
#include "json/json.h"
#include "json/quantity.h"

#define WORKER      "containers[name=rclone-worker]"
#define FUSE        "containers[name=rclone-fuse]"
#define ARENA_LIMIT (1u << 20)

static const struct engine_traits rclone_traits = {
	.app = "rclone",
	.worker_suffix = "-worker",
	.fuse_suffix = "-fuse",
	.worker_role = "rclone-worker",
	.fuse_role = "rclone-fuse",
	.fuse_dir = "rclone-fuse",
	.mount_type = "fuse.rclone",
};

static int rclone_build(struct engine *e, struct reconcile_ctx *ctx, struct error *err)
{
	(void)e, (void)ctx, (void)err;
	return 0; /* no state: every pass reads the specs anew */
}

static void rclone_free(struct engine *e)
{
	(void)e;
}

/* --- what may be asked for ------------------------------------------------------------------------------------------------------ */

static int load_spec(const struct reconcile_ctx *ctx, struct arena *a, struct rclone_runtime_spec *ret,
		     struct error *err)
{
	struct rclone_runtime r;
	int rc = schema_decode(rclone_runtime_kind.schema, ctx->runtime, a, &r, err);
	if (rc < 0)
		return error_wrap(err, rc, "RcloneRuntime");
	*ret = r.spec;
	return 0;
}

static int check_mount(const struct reconcile_ctx *ctx, struct error *err)
{
	const json_t *mounts = json_at(ctx->dataset, "spec.mounts");
	if (json_array_size(mounts) != 1)
		return error_set(err, -EINVAL, "spec.mounts: RcloneRuntime serves exactly one source, not %zu",
				 json_array_size(mounts));
	const json_t *m = json_array_get(mounts, 0);
	const char *point = json_str(m, "mountPoint", ""), *path = json_str(m, "path", "");
	if (strcmp(path, "/") != 0)
		return error_set(err, -EINVAL, "spec.mounts[0].path: '%s' must be '/': the source is the whole mount",
				 path);
	if (str_has_prefix(point, "local://"))
		return guard_host_path(ctx->limits, "spec.mounts[0].mountPoint", point + strlen("local://"), err);
	if (!str_has_prefix(point, "http://") && !str_has_prefix(point, "https://"))
		return error_set(err, -EOPNOTSUPP,
				 "spec.mounts[0].mountPoint: '%s': RcloneRuntime reads local://, http:// and "
				 "https:// only",
				 point);
	if (strchr(point, '@') != NULL)
		return error_set(err, -EINVAL,
				 "spec.mounts[0].mountPoint: a user or password in a URL would be seen by all");
	return 0;
}

static int rclone_validate(struct engine *e, struct reconcile_ctx *ctx, struct error *err)
{
	static const char *const no_effect[] = {"spec.owner",
						"spec.dataRestoreLocation",
						"spec.sharedOptions",
						"spec.sharedEncryptOptions",
						"spec.mounts[0].options",
						"spec.mounts[0].encryptOptions"};
	(void)e;
	struct arena a = ARENA_INIT(ARENA_LIMIT);
	struct rclone_runtime_spec s;
	int64_t bytes;
	int rc = load_spec(ctx, &a, &s, err);
	if (rc == 0 && (rc = quantity_parse(s.cache_size, &bytes, err)) < 0)
		rc = error_wrap(err, rc, "spec.cacheSize");
	if (rc == 0 && bytes < (1 << 20))
		rc = error_set(err, -EINVAL, "spec.cacheSize: '%s' must be 1Mi or more", s.cache_size);
	if (rc == 0)
		rc = guard_image(ctx->limits, "spec.image", s.image, err);
	if (rc == 0)
		rc = check_mount(ctx, err);
	for (size_t i = 0; i < ARRAY_LEN(no_effect) && rc == 0; i++)
		if (json_at(ctx->dataset, no_effect[i]) != NULL)
			rc = error_set(err, -EOPNOTSUPP, "%s: RcloneRuntime does nothing with it; leave it out",
				       no_effect[i]);
	const json_t *mode = json_at(ctx->dataset, "spec.accessModes[0]");
	if (rc == 0 && mode != NULL && !str_same(json_string_value(mode), "ReadOnlyMany"))
		rc = error_set(err, -EOPNOTSUPP,
			       "spec.accessModes[0]: mounts of RcloneRuntime are read-only (ReadOnlyMany)");
	arena_free(&a);
	return rc;
}

/* --- objects -------------------------------------------------------------------------------------------------------------------- */

static int rclone_port(struct reconcile_ctx *ctx, int *ret, struct error *err)
{
	static const char *const names[] = {"webdav"};
	return engine_ports(ctx, names, ARRAY_LEN(names), ret, err);
}

/* Append words to a command. */
static int add_words(json_t *container, const char *const *words)
{
	for (; *words != NULL; words++)
		if (json_push(container, "command", json_string(*words)) < 0)
			return -ENOMEM;
	return 0;
}

static int add_source(const json_t *mount, json_t *container)
{
	const char *point = json_str(mount, "mountPoint", "");
	return json_is_true(json_object_get(mount, "native"))
		       ? add_words(container, (const char *const[]){json_str(mount, "at", ""), NULL})
		       : add_words(container, (const char *const[]){":http:", "--http-url", point, NULL});
}

static int fill_worker(struct reconcile_ctx *ctx, const struct engine_traits *t, const struct rclone_runtime_spec *s,
		       int port, json_t *sts, struct error *err)
{
	json_t *pod = json_at(sts, "spec.template"), *c = json_at(pod, "spec." WORKER);
	int64_t cache = 0;
	(void)quantity_parse(s->cache_size, &cache, NULL); /* validate() has read it */
	CLEANUP(free_p) char *addr = str_printf("127.0.0.1:%d", port);
	CLEANUP(free_p) char *size = str_printf("%lldB", (long long)cache);
	CLEANUP(free_p) char *dir_time = str_printf("%llds", (long long)(s->directory_cache_time_ns / NSEC_PER_SEC));
	JSON_AUTO listen = json_pack("{s:s,s:i,s:i}", "name", "webdav", "containerPort", port, "hostPort", port);
	JSON_AUTO mounts = NULL;
	int rc = mounts_resolve(ctx, &mounts, err);
	if (rc < 0)
		return rc;
	if (addr == NULL || size == NULL || dir_time == NULL || listen == NULL ||
	    workload_worker_set(sts, ctx, t, s->replicas, &s->worker.node_selector, s->worker.tolerations) < 0 ||
	    (s->worker.resources != NULL && json_put(c, "resources", json_deep_copy(s->worker.resources)) < 0) ||
	    json_put_str(c, "image", s->image) < 0 || json_push(c, "ports", TAKE(listen)) < 0 ||
	    json_put_int(c, "readinessProbe.httpGet.port", port) < 0 ||
	    add_words(c, (const char *const[]){"--addr", addr, "--vfs-cache-max-size", size, "--dir-cache-time",
					       dir_time, NULL}) < 0 ||
	    add_source(json_array_get(mounts, 0), c) < 0 || mounts_native_volumes(mounts, pod, c) < 0)
		return error_set(err, -ENOMEM, "StatefulSet: out of memory");
	return 0;
}

static int fill_fuse(struct reconcile_ctx *ctx, const struct engine_traits *t, const struct rclone_runtime_spec *s,
		     int port, json_t *ds, struct error *err)
{
	json_t *c = json_at(ds, "spec.template.spec." FUSE);
	CLEANUP(free_p) char *mount = NULL;
	CLEANUP(free_p) char *url = str_printf("http://127.0.0.1:%d", port);
	if (url == NULL || workload_fuse_set(ds, ctx, t, c, &mount) < 0 || json_put_str(c, "image", s->image) < 0 ||
	    add_words(c, (const char *const[]){mount, "--config", "", "--webdav-url", url, "--webdav-vendor", "other",
					       "--read-only", "--allow-other", "--dir-cache-time", "5s", NULL}) < 0)
		return error_set(err, -ENOMEM, "DaemonSet: out of memory");
	return 0;
}

static int rclone_make_objects(struct engine *e, struct reconcile_ctx *ctx, int parts, json_t **ret, struct error *err)
{
	const struct engine_traits *t = e->ops->traits;
	struct arena a = ARENA_INIT(ARENA_LIMIT);
	struct rclone_runtime_spec s;
	int port = 0;
	JSON_AUTO objects = json_array();
	JSON_AUTO sts = NULL;
	JSON_AUTO ds = NULL;
	int rc = load_spec(ctx, &a, &s, err);
	if (rc == 0 && parts != 0)
		rc = rclone_port(ctx, &port, err);
	if (rc == 0 && (parts & ENGINE_WORKERS) && (rc = skeleton_load("rclone/worker.yaml", &sts, err)) == 0)
		rc = fill_worker(ctx, t, &s, port, sts, err);
	if (rc == 0 && (parts & ENGINE_FUSE) && (rc = skeleton_load("rclone/fuse.yaml", &ds, err)) == 0)
		rc = fill_fuse(ctx, t, &s, port, ds, err);
	arena_free(&a);
	if (rc == 0 && ((sts != NULL && json_array_append(objects, sts) < 0) ||
			(ds != NULL && json_array_append(objects, ds) < 0)))
		rc = error_set(err, -ENOMEM, "objects: out of memory");
	if (rc == 0)
		*ret = TAKE(objects);
	return rc;
}

/* A new source is in the workers' command line, which sync_runtime has sent: it is served when all run with it. */
static int rclone_update_on_ufs_change(struct engine *e, struct reconcile_ctx *ctx, const struct ufs_change *change,
				       struct error *err)
{
	(void)change;
	JSON_AUTO sts = workload_stateful_set(ctx, e->ops->traits->worker_suffix);
	const int64_t want = json_int(sts, "spec.replicas", 1);
	if (sts != NULL && json_int(sts, "status.observedGeneration", 0) == json_int(sts, "metadata.generation", 0) &&
	    json_int(sts, "status.updatedReplicas", 0) >= want && json_int(sts, "status.readyReplicas", 0) >= want)
		return 1;
	(void)error_set(err, -EAGAIN, "workers do not run with the new source yet");
	return 0;
}

/* --- figures -------------------------------------------------------------------------------------------------------------------- */

/* "URL BYTES": workers listen on loopback alone, so they are asked on one machine only; the bytes are what their cache may hold. */
static int rclone_figures_targets(struct engine *e, struct reconcile_ctx *ctx, json_t **ret, struct error *err)
{
	int port;
	int64_t cache = 0;
	int rc = rclone_port(ctx, &port, err);
	if (rc < 0)
		return rc;
	(void)quantity_parse(json_str(ctx->runtime, "spec.cacheSize", "1Gi"), &cache,
			     NULL); /* validate() has read it */
	JSON_AUTO pods = workload_pods(ctx, e->ops->traits->worker_role);
	JSON_AUTO targets = json_array();
	size_t i;
	json_t *pod;
	json_array_foreach (pods, i, pod) {
		if (!str_has_prefix(json_str(pod, "status.podIP", ""), "127.") || obj_deleting(pod) ||
		    strcmp(json_str(pod, "status.phase", ""), "Running") != 0 ||
		    json_array_size(targets) == ENGINE_MAX_TARGETS)
			continue;
		json_t *target = json_sprintf("http://127.0.0.1:%d/ %lld", port, (long long)cache);
		if (target == NULL || json_array_append_new(targets, target) < 0)
			return error_set(err, -ENOMEM, "figures: out of memory");
	}
	*ret = TAKE(targets);
	return 0;
}

static int rclone_query_figures(const struct engine_question *q, struct engine_figures *ret, struct error *err)
{
	static const struct http_header depth = {"Depth", "0"};
	char url[128];
	int64_t cache;
	const char *space = strchr(q->target, ' '); /* rclone_figures_targets() wrote it */
	if (space == NULL || space - q->target >= (ptrdiff_t)sizeof url || str_to_i64(space + 1, &cache) < 0)
		return error_set(err, -EINVAL, "figures: '%s' is no target", q->target);
	(void)snprintf(url, sizeof url, "%.*s", (int)(space - q->target), q->target);
	struct http_answer a = {0};
	int rc = ask_http(
		q,
		&(struct http_call){
			.method = "PROPFIND", .url = url, .headers = &depth, .n_headers = 1, .max_body = 1u << 16},
		207, &a, err);
	if (rc == 0 && strstr(a.body, "multistatus") == NULL)
		rc = error_set(err, -EPROTO, "PROPFIND %s: the answer is no WebDAV", url);
	if (rc == 0)
		*ret = (struct engine_figures){.ready = true,
					       .capacity_bytes = cache,
					       .ufs_bytes = -1,
					       .ufs_files = -1,
					       .cached_bytes = -1,
					       .hit_bytes = -1,
					       .miss_bytes = -1,
					       .local_hit_bytes = -1};
	http_answer_clear(&a);
	return rc;
}

/* Nobody counts the source: the columns stay empty instead of promising a number that never comes. */
static int rclone_sync_metadata(struct engine *e, struct reconcile_ctx *ctx, struct error *err)
{
	(void)e, (void)ctx, (void)err;
	return 0;
}

/* --- registration --------------------------------------------------------------------------------------------------------------- */

ENGINE_DEFAULT(rclone, parts);
ENGINE_DEFAULT(rclone, should_setup_master);
ENGINE_DEFAULT(rclone, setup_master);
ENGINE_DEFAULT(rclone, check_master_ready);
ENGINE_DEFAULT(rclone, should_setup_workers);
ENGINE_DEFAULT(rclone, setup_workers);
ENGINE_DEFAULT(rclone, check_workers_ready);
ENGINE_DEFAULT(rclone, assign_nodes_to_cache);
ENGINE_DEFAULT(rclone, should_check_ufs);
ENGINE_DEFAULT(rclone, prepare_ufs);
ENGINE_DEFAULT(rclone, should_update_ufs);
ENGINE_DEFAULT(rclone, should_sync_dataset_mounts);
ENGINE_DEFAULT(rclone, sync_dataset_mounts);
ENGINE_DEFAULT(rclone, check_runtime_healthy);
ENGINE_DEFAULT(rclone, check_runtime_ready);
ENGINE_DEFAULT(rclone, check_and_update_runtime_status);
ENGINE_DEFAULT(rclone, update_cache_of_dataset);
ENGINE_DEFAULT(rclone, update_dataset_status);
ENGINE_DEFAULT(rclone, bind_to_dataset);
ENGINE_DEFAULT(rclone, sync_replicas);
ENGINE_DEFAULT(rclone, sync_runtime);
ENGINE_DEFAULT(rclone, sync_schedule_info_to_cache_nodes);
ENGINE_DEFAULT(rclone, create_volume);
ENGINE_DEFAULT(rclone, delete_volume);
ENGINE_DEFAULT(rclone, shutdown);
ENGINE_DEFAULT(rclone, data_operation_spec);
ENGINE_DEFAULT(rclone, used_storage_bytes);
ENGINE_DEFAULT(rclone, free_storage_bytes);
ENGINE_DEFAULT(rclone, total_storage_bytes);
ENGINE_DEFAULT(rclone, total_file_nums);

static ENGINE_REGISTER(rclone);

static const struct engine_factory rclone_engines[] = {ENGINE_FACTORY(rclone), {.name = NULL}};
static const struct kube_resource *const rclone_kinds[] = {&KUBE_STATEFULSET, &KUBE_DAEMONSET, NULL};

/* Nothing beside the framework's own. */
static const struct permission rclone_permissions[] = {{.resources = NULL}};

RUNTIME_STEP_DEFAULT(rclone, get_or_create_engine);
RUNTIME_STEP_DEFAULT(rclone, remove_engine);
RUNTIME_STEP_DEFAULT(rclone, reconcile_runtime);
RUNTIME_STEP_DEFAULT(rclone, reconcile_deletion);
RUNTIME_STEP_DEFAULT(rclone, add_owner_and_finalizer);
RUNTIME_STEP_DEFAULT(rclone, get_runtime_status);
static const struct runtime_steps rclone_steps = RUNTIME_CONTROLLER_STEPS(rclone);

const struct runtime_controller rclone_runtime_controller = {
	.resource = &rclone_runtime_kind.resource,
	.name = "RcloneRuntime",
	.finalizer = "rclone-runtime-controller-finalizer",
	.category = "Accelerate",
	.runtime_type = "rclone",
	.default_engine = "rclone",
	.engines = rclone_engines,
	.kinds = rclone_kinds,
	.permissions = rclone_permissions,
	.steps = &rclone_steps,
};
