/* Defaults of the contract that send an engine's objects, and delete those that it makes no longer. */
#include <string.h>

#include "base/str.h"
#include "kube/client.h"
#include "runtime/objects.h"
#include "json/json.h"

/* The kind of @obj among those that the runtime's controller lists. NULL: none of them. */
static const struct kube_resource *kind_of(const struct reconcile_ctx *ctx, const json_t *obj)
{
	char version[128];
	for (const struct kube_resource *const *r = ctx->kinds; r != NULL && *r != NULL; r++)
		if (strcmp((*r)->kind, json_str(obj, "kind", "")) == 0 &&
		    strcmp(kube_api_version(*r, version), json_str(obj, "apiVersion", "")) == 0)
			return *r;
	return NULL;
}

/* 1 when one was sent. */
static int send_all(struct reconcile_ctx *ctx, const json_t *objects, struct error *err)
{
	int sent = 0;
	size_t i;
	json_t *obj;
	json_array_foreach (objects, i, obj) {
		const struct kube_resource *r = kind_of(ctx, obj);
		if (r == NULL)
			return error_set(err, -EINVAL,
					 "%s %s: the controller of %s does not list this kind among its objects'",
					 json_str(obj, "kind", "?"), obj_name(obj), ctx->runtime_resource->kind);
		int rc = object_apply(ctx, r, obj, err);
		if (rc < 0)
			return rc;
		sent |= rc > 0;
	}
	return sent;
}

static bool is_among(const json_t *objects, const struct kube_resource *r, const char *name)
{
	size_t i;
	json_t *obj;
	json_array_foreach (objects, i, obj)
		if (strcmp(json_str(obj, "kind", ""), r->kind) == 0 && strcmp(obj_name(obj), name) == 0)
			return true;
	return false;
}

/* Objects that were sent for this runtime and are not in @objects. 1 when one was deleted. */
static int prune(struct reconcile_ctx *ctx, const json_t *objects, struct error *err)
{
	int removed = 0;
	for (const struct kube_resource *const *r = ctx->kinds; r != NULL && *r != NULL; r++) {
		JSON_AUTO live = ctx->api->list(ctx->api->ctx, *r, ctx->ns, LABEL_RELEASE, ctx->name);
		size_t i;
		json_t *obj;
		if (live == NULL)
			return error_set(err, -ENOMEM, "objects of %s/%s: out of memory", ctx->ns, ctx->name);
		json_array_foreach (live, i, obj) {
			if (obj_annotation(obj, ANNOTATION_APPLIED) == NULL || obj_deleting(obj) ||
			    !str_same(json_str(obj_controller_ref(obj), "uid", NULL), obj_uid(ctx->runtime)) ||
			    is_among(objects, *r, obj_name(obj)))
				continue;
			int rc = ctx->api->remove(ctx->api->ctx, *r, ctx->ns, obj_name(obj), err);
			if (rc < 0)
				return rc;
			removed = 1;
		}
	}
	return removed;
}

static int setup_parts(struct engine *e, struct reconcile_ctx *ctx, int which, struct error *err)
{
	int parts = e->ops->parts(e, ctx, err);
	if (parts < 0 || (parts & which) == 0)
		return parts < 0 ? parts : 0;
	JSON_AUTO objects = NULL;
	int rc = e->ops->make_objects(e, ctx, parts & which, &objects, err);
	return rc < 0 ? rc : send_all(ctx, objects, err);
}

int engine_default_setup_master(struct engine *e, struct reconcile_ctx *ctx, struct error *err)
{
	int rc = setup_parts(e, ctx, ENGINE_MASTER, err);
	return rc < 0 ? rc : 0;
}

int engine_default_setup_workers(struct engine *e, struct reconcile_ctx *ctx, struct error *err)
{
	int rc = setup_parts(e, ctx, ENGINE_WORKERS | ENGINE_FUSE, err);
	return rc < 0 ? rc : 0;
}

/* Parts that Setup has not reached yet are its own to send. */
int engine_default_sync_runtime(struct engine *e, struct reconcile_ctx *ctx, struct error *err)
{
	int parts = e->ops->parts(e, ctx, err);
	if (parts < 0)
		return parts;
	if (*json_str(ctx->runtime_status, "workerPhase", "") == '\0')
		parts &= ENGINE_MASTER;
	JSON_AUTO objects = NULL;
	int rc = e->ops->make_objects(e, ctx, parts, &objects, err);
	if (rc < 0)
		return rc;
	int sent = send_all(ctx, objects, err);
	int removed = sent < 0 ? sent : prune(ctx, objects, err);
	return removed < 0 ? removed : sent | removed;
}
