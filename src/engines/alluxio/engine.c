/*
 * AlluxioRuntime's engine: what Alluxio alone knows. Masters hold the metadata, workers the cache; the Dataset's root mount is a property of
 * the masters, the others are made by commands in one of them. Everything else is the template's.
 */
#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "base/str.h"
#include "engines/alluxio/alluxio.h"
#include "engines/engines.h"
#include "kube/client.h"
#include "runtime/metrics.h"
#include "runtime/nodes.h"
#include "runtime/workloads.h"
#include "json/json.h"
#include "json/quantity.h"

#define CALCULATING "[Calculating]"
#define MOUNT_NS    (120 * NSEC_PER_SEC)

const struct engine_traits alluxio_traits = {
	.app = "alluxio",
	.master_suffix = "-master",
	.worker_suffix = "-worker",
	.fuse_suffix = "-fuse",
	.master_role = ALLUXIO_MASTER,
	.worker_role = "alluxio-worker",
	.fuse_role = "alluxio-fuse",
	.master_container = ALLUXIO_MASTER,
	.fuse_dir = "alluxio-fuse",
	.mount_type = "fuse.alluxio-fuse",
	.ask_one = true,
};

/* How often freeing the cache at the end has failed: the only state, as lasting as the patience with it. */
struct state {
	int64_t failed;
};

static int alluxio_build(struct engine *e, struct reconcile_ctx *ctx, struct error *err)
{
	(void)ctx;
	e->priv = calloc(1, sizeof(struct state));
	return e->priv != NULL ? 0 : error_set(err, -ENOMEM, "engine: out of memory");
}

static void alluxio_free(struct engine *e)
{
	free(e->priv);
}

static int alluxio_validate(struct engine *e, struct reconcile_ctx *ctx, struct error *err)
{
	(void)e;
	struct alluxio_specs s;
	int rc = alluxio_specs_load(ctx, &s, err);
	if (rc < 0)
		return rc;
	rc = alluxio_check(ctx, &s, err);
	alluxio_specs_clear(&s);
	return rc;
}

static int load_with_ports(struct reconcile_ctx *ctx, struct alluxio_specs *s, struct error *err)
{
	int rc = alluxio_specs_load(ctx, s, err);
	if (rc < 0)
		return rc;
	rc = alluxio_ports(ctx, s, err);
	if (rc < 0)
		alluxio_specs_clear(s);
	return rc;
}

static int alluxio_make_objects(struct engine *e, struct reconcile_ctx *ctx, int parts, json_t **ret, struct error *err)
{
	struct alluxio_specs s;
	int rc = load_with_ports(ctx, &s, err);
	if (rc < 0)
		return rc;
	rc = alluxio_objects(ctx, e->ops->traits, &s, parts, ret, err);
	alluxio_specs_clear(&s);
	return rc;
}

/* --- whom to ask ---------------------------------------------------------------------------------------------------------------- */

static bool pod_runs(const json_t *pod)
{
	return !obj_deleting(pod) && strcmp(json_str(pod, "status.phase", ""), "Running") == 0;
}

/* {"pod": the first master that runs}, for calls: any of them knows who leads. NULL: none runs, or no memory. */
static json_t *call_args(struct reconcile_ctx *ctx)
{
	JSON_AUTO pods = workload_pods(ctx, ALLUXIO_MASTER);
	const char *first = NULL;
	size_t i;
	json_t *pod;
	json_array_foreach (pods, i, pod)
		if (pod_runs(pod) && (first == NULL || strcmp(obj_name(pod), first) < 0))
			first = obj_name(pod);
	return first != NULL ? json_pack("{s:s}", "pod", first) : NULL;
}

static int alluxio_figures_targets(struct engine *e, struct reconcile_ctx *ctx, json_t **ret, struct error *err)
{
	struct alluxio_specs s;
	int rc = load_with_ports(ctx, &s, err);
	if (rc < 0)
		return rc;
	const int port = s.ports[ALLUXIO_MASTER_WEB];
	alluxio_specs_clear(&s);
	JSON_AUTO pods = workload_pods(ctx, e->ops->traits->master_role);
	JSON_AUTO targets = json_array();
	size_t i;
	json_t *pod;
	json_array_foreach (pods, i, pod) {
		const char *ip = json_str(pod, "status.podIP", "");
		if (*ip == '\0' || !pod_runs(pod) || json_array_size(targets) == ENGINE_MAX_TARGETS)
			continue;
		const bool six = strchr(ip, ':') != NULL;
		json_t *target = json_sprintf("http://%s%s%s:%d/metrics/json/ %s", six ? "[" : "", ip, six ? "]" : "",
					      port, obj_name(pod));
		if (target == NULL || json_array_append_new(targets, target) < 0)
			return error_set(err, -ENOMEM, "figures: out of memory");
	}
	*ret = TAKE(targets);
	return 0;
}

/* A call in a master; 0 also while none runs. */
static int call(struct reconcile_ctx *ctx, struct engine_call c, json_t **ret, struct error *err)
{
	JSON_AUTO args = call_args(ctx);
	if (args == NULL) {
		(void)error_set(err, -EAGAIN, "no master of %s/%s runs", ctx->ns, ctx->name);
		return 0;
	}
	if (c.args != NULL && json_object_update(args, (json_t *)c.args) < 0)
		return error_set(err, -ENOMEM, "%s: out of memory", c.what);
	c.args = args;
	return engine_call(ctx, &c, ret, err);
}

/* --- mounts --------------------------------------------------------------------------------------------------------------------- */

/* What commands have to mount: all but the root, and without a root not what lies in its directory anyway. */
static json_t *mount_args(const struct alluxio_specs *s, const json_t *renew)
{
	JSON_AUTO list = json_array();
	size_t i;
	json_t *m;
	json_array_foreach (s->mounts, i, m) {
		if (m == s->root || (s->root == NULL && json_bool(m, "native", false)))
			continue;
		json_t *one = json_pack("{s:s,s:s,s:b,s:b,s:O}", "path", json_str(m, "path", ""), "source",
					json_str(m, "at", json_str(m, "mountPoint", "")), "readOnly",
					(int)json_bool(m, "readOnly", false), "shared",
					(int)json_bool(m, "shared", false), "options", json_object_get(m, "options"));
		if (one == NULL || json_array_append_new(list, one) < 0)
			return NULL;
	}
	return renew != NULL ? json_pack("{s:O,s:O}", "mounts", list, "renew", renew)
			     : json_pack("{s:O}", "mounts", list);
}

static int mount_all(struct reconcile_ctx *ctx, const struct ufs_change *change, struct error *err)
{
	struct alluxio_specs s;
	int rc = alluxio_specs_load(ctx, &s, err);
	if (rc < 0)
		return rc;
	JSON_AUTO args = mount_args(&s, change != NULL ? change->removed : NULL);
	alluxio_specs_clear(&s);
	if (args == NULL)
		return error_set(err, -ENOMEM, "mount: out of memory");
	if (change == NULL && json_array_size(json_object_get(args, "mounts")) == 0)
		return 1;
	return call(
		ctx,
		(struct engine_call){.what = "mount", .run = alluxio_run_mount, .args = args, .timeout_ns = MOUNT_NS},
		NULL, err);
}

static int alluxio_should_check_ufs(struct engine *e, struct reconcile_ctx *ctx, struct error *err)
{
	(void)e, (void)ctx, (void)err;
	return 1;
}

static int alluxio_prepare_ufs(struct engine *e, struct reconcile_ctx *ctx, struct error *err)
{
	(void)e;
	return mount_all(ctx, NULL, err);
}

static int alluxio_update_on_ufs_change(struct engine *e, struct reconcile_ctx *ctx, const struct ufs_change *change,
					struct error *err)
{
	(void)e;
	int rc = mount_all(ctx, change, err);
	if (rc <= 0)
		return rc;
	/* There are other files now: count them anew. */
	engine_call_forget(ctx, "metadata");
	return json_put_str(ctx->dataset_status, "ufsTotal", CALCULATING) < 0 ||
			       json_put_str(ctx->dataset_status, "fileNum", CALCULATING) < 0
		       ? error_set(err, -ENOMEM, "status: out of memory")
		       : 1;
}

/* --- metadata ------------------------------------------------------------------------------------------------------------------- */

static bool is_known(const char *shown)
{
	return *shown != '\0' && strcmp(shown, CALCULATING) != 0;
}

static int show_metadata(struct reconcile_ctx *ctx, const json_t *answer, struct error *err)
{
	char total[32] = CALCULATING, num[32] = CALCULATING;
	if (answer != NULL) {
		const int64_t bytes = json_int(answer, "bytes", 0), files = json_int(answer, "files", 0);
		metrics_dataset(ctx, bytes, files);
		bytes_format_fluid((uint64_t)bytes, total);
		(void)snprintf(num, sizeof num, "%lld", (long long)files); /* at most 20 digits */
	}
	return json_put_str(ctx->dataset_status, "ufsTotal", total) < 0 ||
			       json_put_str(ctx->dataset_status, "fileNum", num) < 0
		       ? error_set(err, -ENOMEM, "status: out of memory")
		       : 0;
}

/* Counting all files takes its time and is done once; a controller that starts anew does not do it again. */
static int alluxio_sync_metadata(struct engine *e, struct reconcile_ctx *ctx, struct error *err)
{
	(void)e;
	if (!json_bool(ctx->runtime, "spec.management.metadataSyncPolicy.autoSync", true) ||
	    is_known(json_str(ctx->dataset_status, "ufsTotal", "")))
		return 0;
	JSON_AUTO answer = NULL;
	struct error why = {0};
	int rc = call(
		ctx,
		(struct engine_call){.what = "metadata", .run = alluxio_run_metadata, .timeout_ns = ENGINE_CALL_MAX_NS},
		&answer, &why);
	if (rc == -ENOMEM)
		return error_set(err, rc, "metadata: out of memory");
	/* That it failed must not hold up the pass; it is tried again, and the column says that it is not known. */
	return show_metadata(ctx, rc > 0 ? answer : NULL, err);
}

/* As printed in the status: it outlives the controller. A cache that would be printed alike holds all of it. */
static int alluxio_total_storage_bytes(struct engine *e, struct reconcile_ctx *ctx, int64_t *ret, struct error *err)
{
	(void)e;
	const char *shown = json_str(ctx->dataset_status, "ufsTotal", "");
	int64_t cached = ctx->figures != NULL ? ctx->figures->cached_bytes : -1;
	char text[32];
	if (!is_known(shown) || alluxio_bytes(shown, ret) < 0)
		return error_set(err, -ENODATA, "total bytes: not known yet");
	if (cached >= 0) {
		bytes_format_fluid((uint64_t)cached, text);
		*ret = strcmp(text, shown) == 0 ? cached : *ret;
	}
	return 0;
}

static int alluxio_total_file_nums(struct engine *e, struct reconcile_ctx *ctx, int64_t *ret, struct error *err)
{
	(void)e;
	return str_to_i64(json_str(ctx->dataset_status, "fileNum", ""), ret) == 0
		       ? 0
		       : error_set(err, -ENODATA, "number of files: not known yet");
}

/* --- status --------------------------------------------------------------------------------------------------------------------- */

static int alluxio_check_and_update_runtime_status(struct engine *e, struct reconcile_ctx *ctx, struct error *err)
{
	int ready = engine_default_check_and_update_runtime_status(e, ctx, err);
	struct alluxio_specs s;
	if (ready < 0)
		return ready;
	int rc = load_with_ports(ctx, &s, err);
	if (rc < 0)
		return rc;
	if (s.runtime.spec.api_gateway.enabled) {
		CLEANUP(free_p)
		char *at = str_printf("%s-master-0.%s:%d", ctx->name, ctx->ns, s.ports[ALLUXIO_PROXY_WEB]);
		if (at == NULL || json_put_str(ctx->runtime_status, "apiGateway.endpoint", at) < 0)
			rc = error_set(err, -ENOMEM, "status: out of memory");
	}
	alluxio_specs_clear(&s);
	return rc < 0 ? rc : ready;
}

/* Where programs that speak Hadoop's file system find it. */
static int put_hcfs(struct reconcile_ctx *ctx, struct error *err)
{
	JSON_AUTO version = NULL;
	struct alluxio_specs s;
	struct error why = {0};
	int rc = call(ctx, (struct engine_call){.what = "version", .run = alluxio_run_version, .timeout_ns = MOUNT_NS},
		      &version, &why);
	if (rc <= 0)
		return rc == -ENOMEM ? error_set(err, rc, "status: out of memory") : 0;
	rc = load_with_ports(ctx, &s, err);
	if (rc < 0)
		return rc;
	CLEANUP(free_p)
	char *at = str_printf("alluxio://%s-master-0.%s:%d", ctx->name, ctx->ns, s.ports[ALLUXIO_MASTER_RPC]);
	alluxio_specs_clear(&s);
	json_t *hcfs =
		at != NULL ? json_pack("{s:s,s:O}", "endpoint", at, "underlayerFileSystemVersion", version) : NULL;
	return hcfs == NULL || json_put(ctx->dataset_status, "hcfs", hcfs) < 0
		       ? error_set(err, -ENOMEM, "status: out of memory")
		       : 0;
}

static int alluxio_update_cache_of_dataset(struct engine *e, struct reconcile_ctx *ctx, struct error *err)
{
	int rc = engine_default_update_cache_of_dataset(e, ctx, err);
	if (rc < 0 || json_at(ctx->dataset_status, "hcfs.endpoint") != NULL)
		return rc;
	return put_hcfs(ctx, err);
}

/* --- the end -------------------------------------------------------------------------------------------------------------------- */

/* Cached files on the nodes' disks go with the runtime, as long as there is a master to see to it. 1 when there is nothing to wait for. */
static int free_cache(struct engine *e, struct reconcile_ctx *ctx, struct error *err)
{
	struct state *state = e->priv;
	const json_t *policy = json_at(ctx->runtime, "spec.management.cleanCachePolicy");
	const int64_t grace = json_int(policy, "gracePeriodSeconds", 60),
		      tries = json_int(policy, "maxRetryAttempts", 3);
	JSON_AUTO sts = workload_stateful_set(ctx, e->ops->traits->master_suffix);
	if (sts == NULL || obj_deleting(sts) || json_int(sts, "status.readyReplicas", 0) == 0 || state->failed >= tries)
		return 1;
	struct error why = {0};
	int rc = call(ctx,
		      (struct engine_call){.what = "free",
					   .run = alluxio_run_free,
					   .timeout_ns = (grace > 0 && grace < 1800 ? grace : 60) * NSEC_PER_SEC},
		      NULL, &why);
	if (rc < 0 && rc != -ENOMEM && ++state->failed >= tries) {
		ctx->api->event(ctx->api->ctx, ctx->runtime, "Warning", "CacheNotCleaned", why.msg);
		return 1;
	}
	if (rc <= 0)
		(void)error_set(err, -EBUSY, "waiting until the cache is freed%s%s", *why.msg != '\0' ? ": " : "",
				why.msg);
	return rc < 0 && rc != -ENOMEM ? 0 : rc;
}

static int alluxio_shutdown(struct engine *e, struct reconcile_ctx *ctx, struct error *err)
{
	int rc = free_cache(e, ctx, err);
	return rc > 0 ? engine_default_shutdown(e, ctx, err) : rc;
}

/* --- registration --------------------------------------------------------------------------------------------------------------- */

ENGINE_DEFAULT(alluxio, parts);
ENGINE_DEFAULT(alluxio, should_setup_master);
ENGINE_DEFAULT(alluxio, setup_master);
ENGINE_DEFAULT(alluxio, check_master_ready);
ENGINE_DEFAULT(alluxio, should_setup_workers);
ENGINE_DEFAULT(alluxio, setup_workers);
ENGINE_DEFAULT(alluxio, check_workers_ready);
ENGINE_DEFAULT(alluxio, assign_nodes_to_cache);
ENGINE_DEFAULT(alluxio, should_update_ufs);
ENGINE_DEFAULT(alluxio, should_sync_dataset_mounts);
ENGINE_DEFAULT(alluxio, sync_dataset_mounts);
ENGINE_DEFAULT(alluxio, check_runtime_healthy);
ENGINE_DEFAULT(alluxio, check_runtime_ready);
ENGINE_DEFAULT(alluxio, update_dataset_status);
ENGINE_DEFAULT(alluxio, bind_to_dataset);
ENGINE_DEFAULT(alluxio, sync_replicas);
ENGINE_DEFAULT(alluxio, sync_runtime);
ENGINE_DEFAULT(alluxio, sync_schedule_info_to_cache_nodes);
ENGINE_DEFAULT(alluxio, create_volume);
ENGINE_DEFAULT(alluxio, delete_volume);
ENGINE_DEFAULT(alluxio, data_operation_spec);
ENGINE_DEFAULT(alluxio, used_storage_bytes);
ENGINE_DEFAULT(alluxio, free_storage_bytes);

static ENGINE_REGISTER(alluxio);

static const struct engine_factory alluxio_engines[] = {ENGINE_FACTORY(alluxio), {.name = NULL}};

static const struct kube_resource *const alluxio_kinds[] = {&KUBE_CONFIGMAP, &KUBE_SERVICE, &KUBE_STATEFULSET,
							    &KUBE_DAEMONSET, NULL};

/* Commands in the masters. */
static const struct permission alluxio_permissions[] = {
	{"", "pods/exec", "get,create"},
	{.resources = NULL},
};

RUNTIME_STEP_DEFAULT(alluxio, get_or_create_engine);
RUNTIME_STEP_DEFAULT(alluxio, remove_engine);
RUNTIME_STEP_DEFAULT(alluxio, reconcile_runtime);
RUNTIME_STEP_DEFAULT(alluxio, reconcile_deletion);
RUNTIME_STEP_DEFAULT(alluxio, add_owner_and_finalizer);
RUNTIME_STEP_DEFAULT(alluxio, get_runtime_status);

static const struct runtime_steps alluxio_steps = RUNTIME_CONTROLLER_STEPS(alluxio);

const struct runtime_controller alluxio_runtime_controller = {
	.resource = &alluxio_runtime_kind.resource,
	.name = "AlluxioRuntime",
	.finalizer = "alluxio-runtime-controller-finalizer",
	.category = "Accelerate",
	.runtime_type = "alluxio",
	.default_engine = "alluxio",
	.engines = alluxio_engines,
	.kinds = alluxio_kinds,
	.permissions = alluxio_permissions,
	.steps = &alluxio_steps,
};
