/* What every engine's StatefulSet of workers and DaemonSet of mounts need besides what their cache system runs. */
#include <string.h>

#include "base/cleanup.h"
#include "runtime/nodes.h"
#include "runtime/objects.h"
#include "runtime/volume.h"
#include "runtime/workloads.h"
#include "json/json.h"

int workload_worker_set(json_t *sts, const struct reconcile_ctx *ctx, const struct engine_traits *t, int64_t replicas,
			const struct string_map *node_selector, const json_t *tolerations)
{
	json_t *pod = json_at(sts, "spec.template");
	const bool shared = strcmp(json_str(ctx->dataset, "spec.placement", ""), "Shared") == 0;
	CLEANUP(free_p) char *name = workload_name(ctx, t->worker_suffix);
	CLEANUP(free_p) char *id = dataset_id(ctx->ns, ctx->name, dataset_uid(ctx));
	JSON_AUTO affinity = placement_affinity(ctx);
	if (name == NULL || id == NULL || affinity == NULL || placement_one_per_node(affinity, ctx, t) < 0)
		return -ENOMEM;
	return object_identify(sts, ctx, t, name, t->worker_role) < 0 || object_label(sts, LABEL_DATASET, id) < 0 ||
			       object_label(sts, LABEL_PLACEMENT, shared ? "Shared" : "Exclusive") < 0 ||
			       json_put_str(sts, "spec.serviceName", name) < 0 ||
			       json_put_int(sts, "spec.replicas", replicas) < 0 ||
			       json_put(pod, "spec.affinity", TAKE(affinity)) < 0 ||
			       list_append(pod, "spec.tolerations", json_at(ctx->dataset, "spec.tolerations")) < 0 ||
			       list_append(pod, "spec.tolerations", tolerations) < 0 ||
			       pod_put_pairs(pod, "spec.nodeSelector", node_selector) < 0
		       ? -ENOMEM
		       : 0;
}

int workload_fuse_set(json_t *ds, const struct reconcile_ctx *ctx, const struct engine_traits *t, json_t *container,
		      char **ret_mount)
{
	json_t *pod = json_at(ds, "spec.template");
	CLEANUP(free_p) char *name = workload_name(ctx, t->fuse_suffix);
	CLEANUP(free_p) char *mount = volume_mount_path(ctx, t->fuse_dir);
	CLEANUP(free_p) char *key = fuse_label_key(ctx);
	if (name == NULL || mount == NULL || key == NULL)
		return -ENOMEM;
	CLEANUP(free_p) char *parent = strndup(mount, strlen(mount) - strlen(t->fuse_dir) - 1);
	const struct string_pair label = {key, "true"};
	if (parent == NULL || object_identify(ds, ctx, t, name, t->fuse_role) < 0 ||
	    pod_put_pairs(pod, "spec.nodeSelector", &(struct string_map){.v = &label, .n = 1}) < 0 ||
	    pod_host_path(pod, "mount", parent, "DirectoryOrCreate") < 0 ||
	    container_mount(container, "mount", parent, false, "Bidirectional") < 0)
		return -ENOMEM;
	*ret_mount = TAKE(mount);
	return 0;
}
