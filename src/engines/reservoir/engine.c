/*
 * ReservoirRuntime's engine: what Reservoir alone knows. It has no master; its workers read the sources and hold the cache, its mounts read
 * the workers' files. Everything else is the template's.
 */
#include <string.h>

#include "base/str.h"
#include "engines/engines.h"
#include "engines/reservoir/reservoir.h"
#include "kube/client.h"
#include "runtime/objects.h"
#include "runtime/workloads.h"
#include "json/json.h"

const struct engine_traits reservoir_traits = {
	.app = "reservoir",
	.master_suffix = NULL,
	.worker_suffix = "-worker",
	.fuse_suffix = "-fuse",
	.worker_role = "reservoir-worker",
	.fuse_role = "reservoir-fuse",
	.fuse_dir = "reservoir-fuse",
	.mount_type = "fuse.reservoir-fuse",
};

static int reservoir_build(struct engine *e, struct reconcile_ctx *ctx, struct error *err)
{
	(void)e, (void)ctx, (void)err;
	return 0; /* no state: every pass reads the specs anew */
}

static void reservoir_free(struct engine *e)
{
	(void)e;
}

static int reservoir_validate(struct engine *e, struct reconcile_ctx *ctx, struct error *err)
{
	(void)e;
	struct reservoir_specs s;
	int rc = reservoir_specs_load(ctx, &s, err);
	if (rc < 0)
		return rc;
	rc = reservoir_check(ctx, &s, err);
	reservoir_specs_clear(&s);
	return rc;
}

/* The workers' port, which the configuration, the probes and whoever asks for figures must agree on. */
static int reservoir_port(struct reconcile_ctx *ctx, int *ret, struct error *err)
{
	static const char *const names[] = {"http"};
	return engine_ports(ctx, names, ARRAY_LEN(names), ret, err);
}

/* All of them in one: there is no master, and workers and mounts share the configuration. */
static int reservoir_make_objects(struct engine *e, struct reconcile_ctx *ctx, int parts, json_t **ret,
				  struct error *err)
{
	struct reservoir_specs s;
	int port;
	if (parts == 0) {
		*ret = json_array();
		return *ret != NULL ? 0 : error_set(err, -ENOMEM, "objects: out of memory");
	}
	int rc = reservoir_specs_load(ctx, &s, err);
	if (rc < 0)
		return rc;
	rc = reservoir_port(ctx, &port, err);
	if (rc == 0)
		rc = reservoir_objects(ctx, e->ops->traits, &s, port, ret, err);
	reservoir_specs_clear(&s);
	return rc;
}

/* A change of mounts is a new configuration, which sync_runtime has sent: it is served when the workers name exactly the new mounts. */
static int reservoir_update_on_ufs_change(struct engine *e, struct reconcile_ctx *ctx, const struct ufs_change *change,
					  struct error *err)
{
	(void)e, (void)change;
	JSON_AUTO want = NULL;
	int rc = reservoir_mounts(ctx, &want, err);
	if (rc < 0)
		return rc;
	const struct engine_figures *f = ctx->figures;
	bool served = f != NULL && f->ready && f->n_mounts == json_array_size(want);
	size_t i;
	json_t *m;
	json_array_foreach (want, i, m) {
		bool found = false;
		for (size_t k = 0; served && k < f->n_mounts; k++)
			found = found || (strcmp(f->mounts[k].path, json_str(m, "path", "")) == 0 &&
					  (json_bool(m, "native", false) ||
					   str_same(f->mounts[k].source, json_str(m, "mountPoint", ""))));
		served = served && found;
	}
	return served;
}

static int reservoir_figures_targets(struct engine *e, struct reconcile_ctx *ctx, json_t **ret, struct error *err)
{
	int port;
	int rc = reservoir_port(ctx, &port, err);
	if (rc < 0)
		return rc;
	JSON_AUTO pods = workload_pods(ctx, e->ops->traits->worker_role);
	JSON_AUTO targets = json_array();
	size_t i;
	json_t *pod;
	json_array_foreach (pods, i, pod) {
		const char *ip = json_str(pod, "status.podIP", "");
		if (*ip == '\0' || strcmp(json_str(pod, "status.phase", ""), "Running") != 0 || obj_deleting(pod) ||
		    json_array_size(targets) == ENGINE_MAX_TARGETS)
			continue;
		CLEANUP(free_p)
		char *url = str_printf(strchr(ip, ':') != NULL ? "http://[%s]:%d/v1/status" : "http://%s:%d/v1/status",
				       ip, port);
		if (url == NULL || json_array_append_new(targets, json_string(url)) < 0)
			return error_set(err, -ENOMEM, "figures: out of memory");
	}
	*ret = TAKE(targets);
	return 0;
}

static int reservoir_data_operation_spec(struct engine *e, struct reconcile_ctx *ctx, const json_t *operation,
					 json_t **ret, struct error *err)
{
	if (strcmp(json_str(operation, "kind", ""), data_load_kind.resource.kind) == 0)
		return reservoir_load_spec(ctx, operation, ret, err);
	return engine_default_data_operation_spec(e, ctx, operation, ret, err);
}

/* Pods first, then what they left on the nodes' disks, then the labels that tell where that is. */
static int reservoir_shutdown(struct engine *e, struct reconcile_ctx *ctx, struct error *err)
{
	int rc = workloads_remove(e->ops->traits, ctx, err);
	if (rc > 0)
		rc = reservoir_clean_nodes(ctx, e->ops->traits, err);
	if (rc <= 0)
		return rc;
	rc = nodes_clear_labels(ctx, err);
	return rc < 0 ? rc : 1;
}

ENGINE_DEFAULT(reservoir, parts);
ENGINE_DEFAULT(reservoir, should_setup_master);
ENGINE_DEFAULT(reservoir, setup_master);
ENGINE_DEFAULT(reservoir, check_master_ready);
ENGINE_DEFAULT(reservoir, should_setup_workers);
ENGINE_DEFAULT(reservoir, setup_workers);
ENGINE_DEFAULT(reservoir, check_workers_ready);
ENGINE_DEFAULT(reservoir, assign_nodes_to_cache);
ENGINE_DEFAULT(reservoir, should_check_ufs);
ENGINE_DEFAULT(reservoir, prepare_ufs);
ENGINE_DEFAULT(reservoir, should_update_ufs);
ENGINE_DEFAULT(reservoir, should_sync_dataset_mounts);
ENGINE_DEFAULT(reservoir, sync_dataset_mounts);
ENGINE_DEFAULT(reservoir, sync_metadata);
ENGINE_DEFAULT(reservoir, check_runtime_healthy);
ENGINE_DEFAULT(reservoir, check_runtime_ready);
ENGINE_DEFAULT(reservoir, check_and_update_runtime_status);
ENGINE_DEFAULT(reservoir, update_cache_of_dataset);
ENGINE_DEFAULT(reservoir, update_dataset_status);
ENGINE_DEFAULT(reservoir, bind_to_dataset);
ENGINE_DEFAULT(reservoir, sync_replicas);
ENGINE_DEFAULT(reservoir, sync_runtime);
ENGINE_DEFAULT(reservoir, sync_schedule_info_to_cache_nodes);
ENGINE_DEFAULT(reservoir, create_volume);
ENGINE_DEFAULT(reservoir, delete_volume);
ENGINE_DEFAULT(reservoir, used_storage_bytes);
ENGINE_DEFAULT(reservoir, free_storage_bytes);
ENGINE_DEFAULT(reservoir, total_storage_bytes);
ENGINE_DEFAULT(reservoir, total_file_nums);

extern const struct engine_ops reservoir_engine;
ENGINE_REGISTER(reservoir);

static const struct engine_factory reservoir_engines[] = {ENGINE_FACTORY(reservoir), {.name = NULL}};

static const struct kube_resource *const reservoir_kinds[] = {&KUBE_CONFIGMAP, &KUBE_STATEFULSET, &KUBE_DAEMONSET,
							      NULL};

/* The pods that clean what is left on a node's disks. */
static const struct permission reservoir_permissions[] = {
	{"", "pods", "create,patch,delete"},
	{.resources = NULL},
};

RUNTIME_STEP_DEFAULT(reservoir, get_or_create_engine);
RUNTIME_STEP_DEFAULT(reservoir, remove_engine);
RUNTIME_STEP_DEFAULT(reservoir, reconcile_runtime);
RUNTIME_STEP_DEFAULT(reservoir, reconcile_deletion);
RUNTIME_STEP_DEFAULT(reservoir, add_owner_and_finalizer);
RUNTIME_STEP_DEFAULT(reservoir, get_runtime_status);

static const struct runtime_steps reservoir_steps = RUNTIME_CONTROLLER_STEPS(reservoir);

const struct runtime_controller reservoir_runtime_controller = {
	.resource = &reservoir_runtime_kind.resource,
	.name = "ReservoirRuntime",
	.finalizer = "reservoir-runtime-controller-finalizer",
	.category = "Accelerate",
	.runtime_type = "reservoir",
	.default_engine = "reservoir",
	.engines = reservoir_engines,
	.kinds = reservoir_kinds,
	.permissions = reservoir_permissions,
	.steps = &reservoir_steps,
};
