/* SampleRuntime's engine: what its cache system alone knows. sluice/engine.h says of each method when it is called and what it must leave true. */
#include "registry.h"

#include "sample_runtime.h"

#include "base/arena.h"
#include "base/cleanup.h"
#include "kube/client.h"
#include "runtime/guard.h"
#include "runtime/objects.h"
#include "runtime/workloads.h"
#include "json/json.h"

#define ARENA_LIMIT (1u << 20)

static const struct engine_traits sample_traits = {
	.app = "sample",
	.worker_suffix = "-worker",
	.fuse_suffix = "-fuse",
	.worker_role = "sample-worker",
	.fuse_role = "sample-fuse",
	.fuse_dir = "sample-fuse",
	.mount_type = "tmpfs", /* what /proc/self/mountinfo calls your mounts: "fuse.sample", say */
};

static int sample_build(struct engine *e, struct reconcile_ctx *ctx, struct error *err)
{
	(void)e, (void)ctx, (void)err;
	return 0; /* no state: every pass reads the specs anew */
}

static void sample_free(struct engine *e)
{
	(void)e;
}

static int load_spec(const struct reconcile_ctx *ctx, struct arena *a, struct sample_runtime_spec *ret,
		     struct error *err)
{
	struct sample_runtime r;
	int rc = schema_decode(sample_runtime_kind.schema, ctx->runtime, a, &r, err);
	if (rc < 0)
		return error_wrap(err, rc, "SampleRuntime");
	*ret = r.spec;
	return 0;
}

/* Refuse what cannot take effect, the field's path first. */
static int sample_validate(struct engine *e, struct reconcile_ctx *ctx, struct error *err)
{
	(void)e;
	struct arena a = ARENA_INIT(ARENA_LIMIT);
	struct sample_runtime_spec s;
	int rc = load_spec(ctx, &a, &s, err);
	if (rc == 0)
		rc = guard_image(ctx->limits, "spec.image", s.image, err);
	arena_free(&a);
	return rc;
}

/* --- objects: skeletons of manifests/sample with what depends on the specs laid over them ---------------------------------------- */

static int make_worker(struct reconcile_ctx *ctx, const struct engine_traits *t, const struct sample_runtime_spec *s,
		       json_t *list, struct error *err)
{
	JSON_AUTO sts = NULL;
	int rc = skeleton_load("sample/worker.yaml", &sts, err);
	if (rc < 0)
		return rc;
	json_t *c = json_at(sts, "spec.template.spec.containers[name=sample-worker]");
	if (json_put_str(c, "image", s->image) < 0 ||
	    workload_worker_set(sts, ctx, t, s->replicas, &s->node_selector, s->tolerations) < 0 ||
	    json_array_append(list, sts) < 0)
		return error_set(err, -ENOMEM,
				 "manifests/sample/worker.yaml: out of memory, or no container 'sample-worker'");
	return 0;
}

static int make_fuse(struct reconcile_ctx *ctx, const struct engine_traits *t, const struct sample_runtime_spec *s,
		     json_t *list, struct error *err)
{
	JSON_AUTO ds = NULL;
	CLEANUP(free_p) char *mount = NULL;
	int rc = skeleton_load("sample/fuse.yaml", &ds, err);
	if (rc < 0)
		return rc;
	json_t *c = json_at(ds, "spec.template.spec.containers[name=sample-fuse]");
	if (json_put_str(c, "image", s->image) < 0 || workload_fuse_set(ds, ctx, t, c, &mount) < 0 ||
	    json_push(c, "command", json_string(mount)) < 0 || json_array_append(list, ds) < 0)
		return error_set(err, -ENOMEM,
				 "manifests/sample/fuse.yaml: out of memory, or no container 'sample-fuse'");
	return 0;
}

static int sample_make_objects(struct engine *e, struct reconcile_ctx *ctx, int parts, json_t **ret, struct error *err)
{
	struct arena a = ARENA_INIT(ARENA_LIMIT);
	struct sample_runtime_spec s;
	JSON_AUTO list = json_array();
	int rc = load_spec(ctx, &a, &s, err);
	if (rc == 0 && (parts & ENGINE_WORKERS))
		rc = make_worker(ctx, e->ops->traits, &s, list, err);
	if (rc == 0 && (parts & ENGINE_FUSE))
		rc = make_fuse(ctx, e->ops->traits, &s, list, err);
	arena_free(&a);
	if (rc == 0)
		*ret = TAKE(list);
	return rc;
}

/* --- figures -------------------------------------------------------------------------------------------------------------------- */

/* Whom to ask: nobody yet. Name your workers' or masters' addresses here (workload_pods()) once query_figures() can ask them. */
static int sample_figures_targets(struct engine *e, struct reconcile_ctx *ctx, json_t **ret, struct error *err)
{
	(void)e, (void)ctx;
	*ret = json_array();
	return *ret != NULL ? 0 : error_set(err, -ENOMEM, "figures: out of memory");
}

static int sample_query_figures(const struct engine_question *q, struct engine_figures *ret, struct error *err)
{
	(void)ret;
	return error_set(err, -EOPNOTSUPP, "figures of %s/%s: engine 'sample' knows none", q->ns, q->name);
}

/* Nobody counts the source: its columns stay empty instead of promising a number. With figures, take the default. */
static int sample_sync_metadata(struct engine *e, struct reconcile_ctx *ctx, struct error *err)
{
	(void)e, (void)ctx, (void)err;
	return 0;
}

/* --- the template's methods: replace one by a function of yours where your cache system differs ----------------------------------- */

ENGINE_DEFAULT(sample, parts);
ENGINE_DEFAULT(sample, should_setup_master);
ENGINE_DEFAULT(sample, setup_master);
ENGINE_DEFAULT(sample, check_master_ready);
ENGINE_DEFAULT(sample, should_setup_workers);
ENGINE_DEFAULT(sample, setup_workers);
ENGINE_DEFAULT(sample, check_workers_ready);
ENGINE_DEFAULT(sample, assign_nodes_to_cache);
ENGINE_DEFAULT(sample, should_check_ufs);
ENGINE_DEFAULT(sample, prepare_ufs);
ENGINE_DEFAULT(sample, should_update_ufs);
ENGINE_DEFAULT(sample, update_on_ufs_change);
ENGINE_DEFAULT(sample, should_sync_dataset_mounts);
ENGINE_DEFAULT(sample, sync_dataset_mounts);
ENGINE_DEFAULT(sample, check_runtime_healthy);
ENGINE_DEFAULT(sample, check_runtime_ready);
ENGINE_DEFAULT(sample, check_and_update_runtime_status);
ENGINE_DEFAULT(sample, update_cache_of_dataset);
ENGINE_DEFAULT(sample, update_dataset_status);
ENGINE_DEFAULT(sample, bind_to_dataset);
ENGINE_DEFAULT(sample, sync_replicas);
ENGINE_DEFAULT(sample, sync_runtime);
ENGINE_DEFAULT(sample, sync_schedule_info_to_cache_nodes);
ENGINE_DEFAULT(sample, create_volume);
ENGINE_DEFAULT(sample, delete_volume);
ENGINE_DEFAULT(sample, shutdown);
ENGINE_DEFAULT(sample, data_operation_spec);
ENGINE_DEFAULT(sample, used_storage_bytes);
ENGINE_DEFAULT(sample, free_storage_bytes);
ENGINE_DEFAULT(sample, total_storage_bytes);
ENGINE_DEFAULT(sample, total_file_nums);

static ENGINE_REGISTER(sample);

/* --- the controller -------------------------------------------------------------------------------------------------------------- */

static const struct engine_factory sample_engines[] = {ENGINE_FACTORY(sample), {.name = NULL}};
/* Kinds of the objects that make_objects() makes. */
static const struct kube_resource *const sample_kinds[] = {&KUBE_STATEFULSET, &KUBE_DAEMONSET, NULL};

/* What this engine does at the API beside the framework's own, as {group, resources, verbs}: nothing. */
static const struct permission sample_permissions[] = {{.resources = NULL}};

RUNTIME_STEP_DEFAULT(sample, get_or_create_engine);
RUNTIME_STEP_DEFAULT(sample, remove_engine);
RUNTIME_STEP_DEFAULT(sample, reconcile_runtime);
RUNTIME_STEP_DEFAULT(sample, reconcile_deletion);
RUNTIME_STEP_DEFAULT(sample, add_owner_and_finalizer);
RUNTIME_STEP_DEFAULT(sample, get_runtime_status);
static const struct runtime_steps sample_steps = RUNTIME_CONTROLLER_STEPS(sample);

const struct runtime_controller sample_runtime_controller = {
	.resource = &sample_runtime_kind.resource,
	.name = "SampleRuntime",
	.finalizer = "sample-runtime-controller-finalizer",
	.category = "Accelerate",
	.runtime_type = "sample",
	.default_engine = "sample",
	.engines = sample_engines,
	.kinds = sample_kinds,
	.permissions = sample_permissions,
	.steps = &sample_steps,
};
