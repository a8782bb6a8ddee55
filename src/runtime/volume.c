#include "runtime/volume.h"

#include <string.h>

#include "api/dataset.h"
#include "base/str.h"
#include "base/strbuf.h"
#include "kube/client.h"
#include "runtime/nodes.h"
#include "runtime/objects.h"
#include "json/json.h"
#include "json/quantity.h"

#define CSI_DRIVER       "fuse.csi.fluid.io"
#define STORAGE_CLASS    "fluid"
#define CAPACITY_DEFAULT "100Pi"
#define CAPACITY_FROM    "pvc.fluid.io/resources.requests.storage"
#define SKIP_MOUNT_CHECK "fluid.io/skip-check-mount-ready-target"

char *volume_mount_path(const struct reconcile_ctx *ctx, const char *fuse_dir)
{
	return str_printf("%s/%s/%s/%s/%s", ctx->limits->mount_root, ctx->runtime_type, ctx->ns, ctx->name, fuse_dir);
}

static bool is_ours(const json_t *obj)
{
	return str_same(obj_annotation(obj, ANNOTATION_CREATED), "fluid");
}

static const char *capacity(const struct reconcile_ctx *ctx)
{
	const char *text = obj_annotation(ctx->dataset, CAPACITY_FROM);
	int64_t unused;
	return text != NULL && quantity_parse(text, &unused, NULL) == 0 ? text : CAPACITY_DEFAULT;
}

static json_t *access_modes(const struct reconcile_ctx *ctx)
{
	const json_t *modes = json_at(ctx->dataset, "spec.accessModes");
	return json_array_size(modes) > 0 ? json_deep_copy(modes) : json_pack("[s]", "ReadOnlyMany");
}

static json_t *volume_metadata(const struct reconcile_ctx *ctx, const char *name)
{
	CLEANUP(free_p) char *id = dataset_id(ctx->ns, ctx->name, dataset_uid(ctx));
	CLEANUP(free_p) char *common = dataset_label_key("s-", ctx->ns, ctx->name, dataset_uid(ctx));
	if (id == NULL || common == NULL)
		return NULL;
	return json_pack("{s:s,s:{s:s,s:s},s:{s:s}}", "name", name, "labels", common, "true", LABEL_DATASET_ID, id,
			 "annotations", ANNOTATION_CREATED, "fluid");
}

static json_t *volume_attributes(const struct reconcile_ctx *ctx, const struct engine_traits *t)
{
	CLEANUP(free_p) char *path = volume_mount_path(ctx, t->fuse_dir);
	CLEANUP(free_p) char *key = fuse_label_key(ctx);
	if (path == NULL || key == NULL)
		return NULL;
	JSON_AUTO a =
		json_pack("{s:s,s:s,s:s,s:s,s:s}", "fluid_path", path, "mount_type", t->mount_type, "runtime_namespace",
			  ctx->ns, "runtime_name", ctx->name, "mount_pod_node_selector_key", key);
	const char *skip = obj_annotation(ctx->runtime, SKIP_MOUNT_CHECK);
	if (a != NULL && skip != NULL && json_object_set_new(a, SKIP_MOUNT_CHECK, json_string(skip)) < 0)
		return NULL;
	return TAKE(a);
}

/* Only nodes that may run the fuse may use the volume. */
static json_t *volume_node_affinity(const struct reconcile_ctx *ctx)
{
	JSON_AUTO terms = json_array();
	const char *key;
	json_t *v;
	json_object_foreach (json_at(ctx->runtime, "spec.fuse.nodeSelector"), key, v)
		if (json_array_append_new(terms,
					  json_pack("{s:s,s:s,s:[O]}", "key", key, "operator", "In", "values", v)) < 0)
			return NULL;
	return json_pack("{s:{s:[{s:O}]}}", "required", "nodeSelectorTerms", "matchExpressions", terms);
}

static json_t *make_pv(const struct reconcile_ctx *ctx, const struct engine_traits *t, const char *name)
{
	JSON_AUTO meta = volume_metadata(ctx, name);
	JSON_AUTO attributes = volume_attributes(ctx, t);
	JSON_AUTO modes = access_modes(ctx);
	if (meta == NULL || attributes == NULL || modes == NULL)
		return NULL;
	JSON_AUTO pv =
		json_pack("{s:s,s:s,s:O,s:{s:O,s:{s:s},s:s,s:{s:s,s:s,s:s,s:s},s:{s:s,s:s,s:O}}}", "apiVersion", "v1",
			  "kind", "PersistentVolume", "metadata", meta, "spec", "accessModes", modes, "capacity",
			  "storage", capacity(ctx), "storageClassName", STORAGE_CLASS, "claimRef", "apiVersion", "v1",
			  "kind", "PersistentVolumeClaim", "namespace", ctx->ns, "name", ctx->name, "csi", "driver",
			  CSI_DRIVER, "volumeHandle", name, "volumeAttributes", attributes);
	if (pv != NULL && json_object_size(json_at(ctx->runtime, "spec.fuse.nodeSelector")) > 0 &&
	    json_put(pv, "spec.nodeAffinity", volume_node_affinity(ctx)) < 0)
		return NULL;
	return TAKE(pv);
}

static json_t *make_pvc(const struct reconcile_ctx *ctx, const char *pv)
{
	JSON_AUTO meta = volume_metadata(ctx, ctx->name);
	JSON_AUTO modes = access_modes(ctx);
	if (meta == NULL || modes == NULL || json_object_set_new(meta, "namespace", json_string(ctx->ns)) < 0)
		return NULL;
	return json_pack("{s:s,s:s,s:O,s:{s:O,s:{s:{s:s}},s:s,s:s}}", "apiVersion", "v1", "kind",
			 "PersistentVolumeClaim", "metadata", meta, "spec", "accessModes", modes, "resources",
			 "requests", "storage", capacity(ctx), "storageClassName", STORAGE_CLASS, "volumeName", pv);
}

/* A volume of that name that is not this claim's: names are joined by '-', so that two datasets may meet in one. */
static int refuse_foreign_pv(const struct reconcile_ctx *ctx, const json_t *pv, struct error *err)
{
	const char *ns = json_str(pv, "spec.claimRef.namespace", ""), *name = json_str(pv, "spec.claimRef.name", "");
	if (is_ours(pv) && strcmp(ns, ctx->ns) == 0 && strcmp(name, ctx->name) == 0)
		return 0;
	return error_set(err, -EEXIST, "PersistentVolume %s exists and belongs to %s %s/%s; rename one of the two",
			 obj_name(pv), is_ours(pv) ? "the claim" : "somebody else, claim", ns, name);
}

static int create_pv(struct reconcile_ctx *ctx, const struct engine_traits *t, const char *name, struct error *err)
{
	JSON_AUTO live = ctx->api->get(ctx->api->ctx, &KUBE_PV, "", name);
	if (live != NULL && obj_deleting(live))
		return error_set(err, -EAGAIN, "PersistentVolume %s is still being deleted", name);
	if (live != NULL)
		return refuse_foreign_pv(ctx, live, err);
	JSON_AUTO pv = make_pv(ctx, t, name);
	if (pv == NULL)
		return error_set(err, -ENOMEM, "PersistentVolume %s: out of memory", name);
	return ctx->api->apply(ctx->api->ctx, &KUBE_PV, "", name, pv, err);
}

int engine_default_create_volume(struct engine *e, struct reconcile_ctx *ctx, struct error *err)
{
	CLEANUP(free_p) char *pv = str_printf("%s-%s", ctx->ns, ctx->name);
	if (pv == NULL)
		return error_set(err, -ENOMEM, "create volume: out of memory");
	int rc = create_pv(ctx, e->ops->traits, pv, err);
	if (rc < 0)
		return rc;
	JSON_AUTO live = ctx->api->get(ctx->api->ctx, &KUBE_PVC, ctx->ns, ctx->name);
	if (live != NULL && !is_ours(live))
		return error_set(
			err, -EEXIST,
			"PersistentVolumeClaim %s/%s exists and was not made for the Dataset; rename it or the Dataset",
			ctx->ns, ctx->name);
	if (live != NULL)
		return obj_deleting(live)
			       ? error_set(err, -EAGAIN, "PersistentVolumeClaim %s/%s is still being deleted", ctx->ns,
					   ctx->name)
			       : 0;
	JSON_AUTO pvc = make_pvc(ctx, pv);
	if (pvc == NULL)
		return error_set(err, -ENOMEM, "PersistentVolumeClaim %s/%s: out of memory", ctx->ns, ctx->name);
	return ctx->api->apply(ctx->api->ctx, &KUBE_PVC, ctx->ns, ctx->name, pvc, err);
}

static bool mounts_claim(const json_t *pod, const char *claim)
{
	size_t i;
	json_t *v;
	json_array_foreach (json_at(pod, "spec.volumes"), i, v)
		if (str_same(json_str(v, "persistentVolumeClaim.claimName", NULL), claim))
			return true;
	return false;
}

/* As Fluid sees it: one that is being deleted, or has ended, holds nothing. */
static bool pod_has_ended(const json_t *pod)
{
	const char *phase = json_str(pod, "status.phase", "");
	return obj_deleting(pod) || strcmp(phase, "Succeeded") == 0 || strcmp(phase, "Failed") == 0;
}

char *claim_users(const struct engine_api *api, const char *ns, const char *claim)
{
	JSON_AUTO pods = api->list(api->ctx, &KUBE_POD, ns, ENGINE_LIST_CLAIMS, NULL);
	if (pods == NULL)
		return NULL;
	struct strbuf b = STRBUF_INIT(4096);
	size_t i, n = 0;
	json_t *pod;
	json_array_foreach (pods, i, pod) {
		if (!mounts_claim(pod, claim) || pod_has_ended(pod))
			continue;
		if (n < 5)
			strbuf_addf(&b, "%s%s", n > 0 ? ", " : "", obj_name(pod));
		n++;
	}
	if (n > 5)
		strbuf_addf(&b, " and %zu more", n - 5);
	char *text = NULL;
	return strbuf_take(&b, &text) < 0 ? NULL : text;
}

/* Say which pods hold the claim, as far as they are known. */
static void name_users(struct reconcile_ctx *ctx, struct error *err)
{
	CLEANUP(free_p) char *users = claim_users(ctx->api, ctx->ns, ctx->name);
	if (users != NULL && *users != '\0')
		(void)error_set(err, -EBUSY, "PersistentVolumeClaim %s/%s is in use by pod %s; delete it first",
				ctx->ns, ctx->name, users);
	else
		(void)error_set(err, -EBUSY, "PersistentVolumeClaim %s/%s is being deleted", ctx->ns, ctx->name);
}

int engine_default_delete_volume(struct engine *e, struct reconcile_ctx *ctx, struct error *err)
{
	(void)e;
	JSON_AUTO pvc = ctx->api->get(ctx->api->ctx, &KUBE_PVC, ctx->ns, ctx->name);
	if (pvc != NULL && is_ours(pvc)) {
		int rc = obj_deleting(pvc) ? 0 : ctx->api->remove(ctx->api->ctx, &KUBE_PVC, ctx->ns, ctx->name, err);
		if (rc < 0)
			return rc;
		name_users(ctx, err);
		return 0;
	}
	CLEANUP(free_p) char *name = str_printf("%s-%s", ctx->ns, ctx->name);
	JSON_AUTO pv = name != NULL ? ctx->api->get(ctx->api->ctx, &KUBE_PV, "", name) : NULL;
	if (pv == NULL || refuse_foreign_pv(ctx, pv, NULL) < 0)
		return 1;
	int rc = obj_deleting(pv) ? 0 : ctx->api->remove(ctx->api->ctx, &KUBE_PV, "", name, err);
	if (rc < 0)
		return rc;
	(void)error_set(err, -EBUSY, "PersistentVolume %s is being deleted", name);
	return 0;
}
