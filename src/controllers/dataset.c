#include "controllers/dataset.h"

#include <stdio.h>
#include <string.h>

#include "api/dataset.h"
#include "base/log.h"
#include "base/str.h"
#include "kube/client.h"
#include "runtime/objects.h"
#include "runtime/shared.h"
#include "runtime/status.h"
#include "runtime/volume.h"
#include "json/json.h"

#define FINALIZER   "fluid-dataset-controller-finalizer"
#define DATASET_RES (&dataset_kind.resource)

struct dataset_controller {
	struct dataset_controller_options o;
	struct controller *controller;
};

const struct permission dataset_controller_permissions[] = {
	{SLUICE_GROUP, "datasets", "list,watch,patch"},
	{SLUICE_GROUP, "datasets/status", "patch"},
	{"", "pods,persistentvolumeclaims", "list,watch"},
	{.resources = NULL},
};

int dataset_controller_new(const struct dataset_controller_options *o, struct dataset_controller **ret,
			   struct error *err)
{
	struct dataset_controller *d = calloc(1, sizeof *d);
	if (d == NULL)
		return error_set(err, -ENOMEM, "dataset controller: out of memory");
	d->o = *o;
	*ret = d;
	return 0;
}

void dataset_controller_free(struct dataset_controller *d)
{
	free(d);
}

/* A pod that comes, ends or goes may be what a Dataset's deletion waits for: its claims have the Datasets' names. */
static void map_pod_claims(void *ctx, struct controller *c, const json_t *pod)
{
	(void)ctx;
	size_t i;
	json_t *v;
	json_array_foreach (json_at(pod, "spec.volumes"), i, v) {
		const char *claim = json_str(v, "persistentVolumeClaim.claimName", NULL);
		if (claim != NULL)
			controller_enqueue(c, obj_namespace(pod), claim);
	}
}

/* Datasets that this one mounts (dataset://ns/name) may be waiting for its end. */
static void map_references(void *ctx, struct controller *c, const json_t *dataset)
{
	(void)ctx;
	size_t i;
	json_t *m;
	json_array_foreach (json_at(dataset, "spec.mounts"), i, m) {
		const char *point = json_str(m, "mountPoint", "");
		if (!str_has_prefix(point, "dataset://"))
			continue;
		struct str rest = str_from(point + strlen("dataset://")), ns, name;
		if (!str_split_next(&rest, '/', &ns) || !str_split_next(&rest, '/', &name))
			continue;
		CLEANUP(free_p) char *ns_text = strndup(ns.p, ns.n);
		CLEANUP(free_p) char *name_text = strndup(name.p, name.n);
		if (ns_text != NULL && name_text != NULL)
			controller_enqueue(c, ns_text, name_text);
	}
}

int dataset_controller_register(struct dataset_controller *d, struct manager *m, int workers, struct error *err)
{
	int rc = controller_new(m,
				&(struct controller_options){.name = "dataset",
							     .workers = workers,
							     .reconcile = dataset_reconcile,
							     .ctx = d,
							     .free_ctx = free},
				&d->controller, err);
	if (rc < 0) {
		dataset_controller_free(d);
		return rc;
	}
	rc = controller_watch(d->controller, DATASET_RES);
	if (rc == 0)
		rc = controller_watch_mapped(d->controller, DATASET_RES, map_references, d);
	if (rc == 0)
		rc = controller_watch_mapped(d->controller, &KUBE_POD, map_pod_claims, d);
	return rc < 0 ? error_set(err, rc, "dataset controller: cannot set up its watches") : 0;
}

/* --- one pass ------------------------------------------------------------------------------------------------------------------- */

static int patch_finalizers(const struct engine_api *api, const json_t *dataset, json_t *finalizers, struct error *err)
{
	JSON_AUTO patch = json_pack("{s:{s:s,s:O}}", "metadata", "resourceVersion", obj_resource_version(dataset),
				    "finalizers", finalizers);
	if (patch == NULL)
		return error_set(err, -ENOMEM, "finalizer: out of memory");
	int rc = api->patch(api->ctx, DATASET_RES, obj_namespace(dataset), obj_name(dataset), NULL, patch, err);
	return rc == -ENOENT ? 0 : rc;
}

static int add_finalizer(const struct engine_api *api, const json_t *dataset, struct error *err)
{
	json_t *live = json_at(dataset, "metadata.finalizers");
	JSON_AUTO list = live != NULL ? json_deep_copy(live) : json_array();
	if (list == NULL || json_array_append_new(list, json_string(FINALIZER)) < 0)
		return error_set(err, -ENOMEM, "finalizer: out of memory");
	return patch_finalizers(api, dataset, list, err);
}

static int drop_finalizer(const struct engine_api *api, const json_t *dataset, struct error *err)
{
	JSON_AUTO left = json_array();
	size_t i;
	json_t *f;
	json_array_foreach (json_at(dataset, "metadata.finalizers"), i, f)
		if (!str_same(json_string_value(f), FINALIZER) && json_array_append(left, f) < 0)
			return error_set(err, -ENOMEM, "finalizer: out of memory");
	return patch_finalizers(api, dataset, left, err);
}

static json_t *status_copy(const json_t *dataset)
{
	json_t *live = json_object_get(dataset, "status");
	JSON_AUTO s = live != NULL ? json_deep_copy(live) : json_object();
	if (s == NULL ||
	    (json_object_get(s, "conditions") == NULL && json_object_set_new(s, "conditions", json_array()) < 0))
		return NULL;
	return TAKE(s);
}

/* A pass over the Dataset alone. */
static struct reconcile_ctx pass_of(const struct engine_api *api, const json_t *dataset, json_t *status)
{
	return (struct reconcile_ctx){.ns = obj_namespace(dataset),
				      .name = obj_name(dataset),
				      .api = api,
				      .dataset = dataset,
				      .dataset_status = status};
}

/* "dataset://" mounts stand alone: one, and nothing beside it. */
static int check_references(const json_t *dataset, struct error *err)
{
	const json_t *mounts = json_at(dataset, "spec.mounts");
	size_t i, refs = 0;
	json_t *m;
	json_array_foreach (mounts, i, m)
		refs += str_has_prefix(json_str(m, "mountPoint", ""), "dataset://");
	if (refs == 0)
		return 0;
	if (refs > 1 || json_array_size(mounts) > 1)
		return error_set(err, -EINVAL, "spec.mounts: a dataset:// mount must be the only one");
	return error_set(
		err, -EOPNOTSUPP,
		"spec.mounts[0].mountPoint: a dataset:// mount needs ThinRuntime, which this version does not have");
}

/* Tell once, in a condition and an Event, why this Dataset goes nowhere. */
static int complain(const struct dataset_controller *d, const json_t *dataset, const char *type, const char *reason,
		    const char *message, struct error *err)
{
	JSON_AUTO status = status_copy(dataset);
	if (status == NULL)
		return error_set(err, -ENOMEM, "status: out of memory");
	const json_t *c = condition_get(status, type);
	if (!str_same(json_str(c, "message", NULL), message))
		d->o.api->event(d->o.api->ctx, dataset, "Warning", reason, message);
	struct reconcile_ctx ctx = pass_of(d->o.api, dataset, status);
	if (dataset_condition_set(&ctx, type, true, reason, message) < 0)
		return error_set(err, -ENOMEM, "status: out of memory");
	return status_flush(&ctx, err);
}

/* Datasets of status.datasetRef that still are. NULL on no memory. */
static json_t *living_references(const struct engine_api *api, const json_t *dataset)
{
	JSON_AUTO left = json_array();
	size_t i;
	json_t *ref;
	json_array_foreach (json_at(dataset, "status.datasetRef"), i, ref) {
		struct str rest = str_from(json_string_value(ref)), ns;
		if (!str_split_next(&rest, '/', &ns) || rest.p == NULL)
			continue;
		CLEANUP(free_p) char *ns_text = strndup(ns.p, ns.n);
		JSON_AUTO live = ns_text != NULL ? api->get(api->ctx, DATASET_RES, ns_text, rest.p) : NULL;
		if (live != NULL && json_array_append(left, ref) < 0)
			return NULL;
	}
	return TAKE(left);
}

static int reconcile_deleted(struct dataset_controller *d, const json_t *dataset, struct error *err)
{
	if (!obj_has_finalizer(dataset, FINALIZER))
		return 0;
	const char *ns = obj_namespace(dataset), *name = obj_name(dataset);
	char msg[512];
	JSON_AUTO pvc = d->o.api->get(d->o.api->ctx, &KUBE_PVC, ns, name);
	if (pvc != NULL && str_same(obj_annotation(pvc, ANNOTATION_CREATED), "fluid")) {
		CLEANUP(free_p) char *users = claim_users(d->o.api, ns, name);
		if (users == NULL)
			return error_set(err, -ENOMEM, "pods of claim %s/%s: out of memory", ns, name);
		if (*users != '\0') {
			(void)snprintf(msg, sizeof msg,
				       "Failed to delete dataset because err: can not delete dataset because Pod %s in "
				       "Namespace %s is using it",
				       users, ns); /* a cut message is still one */
			return complain(d, dataset, "DeletionBlocked", "ErrorDeleteDataset", msg, err);
		}
	}
	JSON_AUTO refs = living_references(d->o.api, dataset);
	if (refs == NULL)
		return error_set(err, -ENOMEM, "references to dataset %s/%s: out of memory", ns, name);
	if (json_array_size(refs) > 0) {
		(void)snprintf(msg, sizeof msg,
			       "Failed to delete dataset because err: dataset %s mounts it; delete that first",
			       json_string_value(json_array_get(refs, 0))); /* a cut message is still one */
		return complain(d, dataset, "DeletionBlocked", "ErrorDeleteDataset", msg, err);
	}
	return drop_finalizer(d->o.api, dataset, err);
}

/* The first status: no runtime is bound, and which ones would be. */
static int begin(const struct dataset_controller *d, const json_t *dataset, struct error *err)
{
	JSON_AUTO status = status_copy(dataset);
	if (status == NULL)
		return error_set(err, -ENOMEM, "status: out of memory");
	int rc = dataset_phase_move(status, DATASET_PHASE_NOT_BOUND, err);
	if (rc < 0)
		return rc;
	char msg[512];
	(void)snprintf(msg, sizeof msg,
		       d->o.served != NULL
			       ? "No runtime is bound: the dataset needs one of its name in its namespace; "
				 "served here: %s"
			       : "No runtime is bound: the dataset needs one of its name in its namespace%s",
		       d->o.served != NULL ? d->o.served : ""); /* a cut message is still one */
	struct reconcile_ctx ctx = pass_of(d->o.api, dataset, status);
	if (dataset_condition_set(&ctx, DATASET_NOT_READY, true, "NoRuntime", msg) < 0)
		return error_set(err, -ENOMEM, "status: out of memory");
	return status_flush(&ctx, err);
}

int dataset_reconcile(void *dataset_controller, const char *ns, const char *name, struct reconcile_result *ret,
		      struct error *err)
{
	(void)ret; /* everything that matters here is watched */
	struct dataset_controller *d = dataset_controller;
	JSON_AUTO dataset = d->o.api->get(d->o.api->ctx, DATASET_RES, ns, name);
	if (dataset == NULL)
		return 0;
	if (obj_deleting(dataset))
		return reconcile_deleted(d, dataset, err);
	if (!name_is_dns1035(name))
		return complain(d, dataset, DATASET_NOT_READY, "ErrorCreateDataset",
				"Failed to create dataset because err: the name must be a DNS-1035 label (a lower case "
				"letter, then letters, digits, '-')",
				err);
	if (!obj_has_finalizer(dataset, FINALIZER))
		return add_finalizer(d->o.api, dataset, err);
	struct error why = {0};
	if (check_references(dataset, &why) < 0) {
		char msg[640];
		(void)snprintf(msg, sizeof msg, "Failed to validate dataset because err: %s",
			       why.msg); /* a cut message is still one */
		return complain(d, dataset, DATASET_NOT_READY, "ErrorCreateDataset", msg, err);
	}
	return *json_str(dataset, "status.phase", "") != '\0' ? 0 : begin(d, dataset, err);
}
