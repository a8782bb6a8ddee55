#include "runtime/shared.h"

#include <stdio.h>
#include <string.h>

#include "api/dataset.h"
#include "base/clock.h"
#include "base/log.h"
#include "base/str.h"
#include "kube/client.h"
#include "runtime/metrics.h"
#include "runtime/objects.h"
#include "runtime/reconciler.h"
#include "runtime/status.h"
#include "json/json.h"

bool name_is_dns1035(const char *name)
{
	size_t n = strlen(name);
	if (n == 0 || n > 63 || name[0] < 'a' || name[0] > 'z' || name[n - 1] == '-')
		return false;
	for (size_t i = 0; i < n; i++)
		if (!((name[i] >= 'a' && name[i] <= 'z') || (name[i] >= '0' && name[i] <= '9') || name[i] == '-'))
			return false;
	return true;
}

/* Conditions of a Runtime that stand while something keeps it from being worked on. */
#define CONDITION_ENGINE "EngineReady"

static void warn(struct reconcile_ctx *ctx, const char *reason, const char *text, const char *what)
{
	char msg[640];
	(void)snprintf(msg, sizeof msg, "%s%s", text, what); /* a cut message is still one */
	ctx->api->event(ctx->api->ctx, ctx->runtime, "Warning", reason, msg);
}

/* Told in both statuses (the Dataset may not be there) until it is no longer so. */
static int refuse(struct reconcile_ctx *ctx, const char *type, const char *reason, const char *message)
{
	int rc = ctx->dataset_status != NULL ? dataset_condition_set(ctx, DATASET_NOT_READY, true, reason, message) : 0;
	int rc2 = runtime_condition_set(ctx, type, false, reason, message);
	return rc < 0 ? rc : rc2;
}

static int not_ready(struct reconcile_ctx *ctx, const char *reason, const char *message)
{
	return dataset_condition_set(ctx, DATASET_NOT_READY, true, reason, message);
}

/* Whose the Dataset is: free, or ours already. */
static bool can_be_bound(const struct reconcile_ctx *ctx, char *other, size_t size)
{
	const json_t *list = json_object_get(ctx->dataset_status, "runtimes");
	size_t i;
	json_t *x;
	json_array_foreach (list, i, x) {
		if (strcmp(json_str(x, "category", ""), ctx->category) != 0)
			continue;
		if (strcmp(json_str(x, "name", ""), ctx->name) == 0 &&
		    strcmp(json_str(x, "namespace", ""), ctx->ns) == 0 &&
		    strcmp(json_str(x, "type", ctx->runtime_type), ctx->runtime_type) == 0)
			return true;
		(void)snprintf(other, size, "%s %s/%s", json_str(x, "type", ""), json_str(x, "namespace", ""),
			       json_str(x, "name", ""));
		return false;
	}
	return true;
}

static int label_dataset(struct reconcile_ctx *ctx, struct error *err)
{
	CLEANUP(free_p) char *id = dataset_id(ctx->ns, ctx->name, dataset_uid(ctx));
	if (id == NULL)
		return error_set(err, -ENOMEM, "label: out of memory");
	if (str_same(obj_label(ctx->dataset, LABEL_DATASET_ID), id))
		return 0;
	JSON_AUTO patch = json_pack("{s:{s:{s:s}}}", "metadata", "labels", LABEL_DATASET_ID, id);
	int rc = patch != NULL
			 ? ctx->api->patch(ctx->api->ctx, &dataset_kind.resource, ctx->ns, ctx->name, NULL, patch, err)
			 : error_set(err, -ENOMEM, "label: out of memory");
	return rc < 0 ? rc : 1;
}

static json_t *owners_with_dataset(const struct reconcile_ctx *ctx)
{
	json_t *live = json_at(ctx->runtime, "metadata.ownerReferences");
	JSON_AUTO owners = live != NULL ? json_deep_copy(live) : json_array();
	size_t i;
	json_t *o;
	/* A reference to an earlier Dataset of the same name would have the garbage collector take the runtime away. */
	for (i = json_array_size(owners); i-- > 0;)
		if (strcmp(json_str(json_array_get(owners, i), "kind", ""), "Dataset") == 0 &&
		    strcmp(json_str(json_array_get(owners, i), "uid", ""), obj_uid(ctx->dataset)) != 0)
			(void)json_array_remove(owners, i); /* the index is in range */
	json_array_foreach (owners, i, o)
		if (strcmp(json_str(o, "uid", ""), obj_uid(ctx->dataset)) == 0)
			return TAKE(owners);
	char version[128];
	if (json_array_append_new(owners, json_pack("{s:s,s:s,s:s,s:s}", "apiVersion",
						    kube_api_version(&dataset_kind.resource, version), "kind",
						    dataset_kind.resource.kind, "name", ctx->name, "uid",
						    obj_uid(ctx->dataset))) < 0)
		return NULL;
	return TAKE(owners);
}

int runtime_default_add_owner_and_finalizer(struct reconciler *r, struct reconcile_ctx *ctx, struct error *err)
{
	(void)r;
	CLEANUP(free_p) char *id = dataset_id(ctx->ns, ctx->name, dataset_uid(ctx));
	JSON_AUTO owners = owners_with_dataset(ctx);
	json_t *live = json_at(ctx->runtime, "metadata.finalizers");
	JSON_AUTO finalizers = live != NULL ? json_deep_copy(live) : json_array();
	if (id == NULL || owners == NULL || finalizers == NULL)
		return error_set(err, -ENOMEM, "finalizer: out of memory");
	bool missing = !obj_has_finalizer(ctx->runtime, ctx->finalizer);
	if (missing && json_array_append_new(finalizers, json_string(ctx->finalizer)) < 0)
		return error_set(err, -ENOMEM, "finalizer: out of memory");
	if (!missing && json_equal(owners, json_at(ctx->runtime, "metadata.ownerReferences")) &&
	    str_same(obj_label(ctx->runtime, LABEL_DATASET_ID), id))
		return 0;
	JSON_AUTO patch = json_pack("{s:{s:s,s:O,s:O,s:{s:s}}}", "metadata", "resourceVersion",
				    obj_resource_version(ctx->runtime), "ownerReferences", owners, "finalizers",
				    finalizers, "labels", LABEL_DATASET_ID, id);
	int rc = patch != NULL
			 ? ctx->api->patch(ctx->api->ctx, ctx->runtime_resource, ctx->ns, ctx->name, NULL, patch, err)
			 : error_set(err, -ENOMEM, "finalizer: out of memory");
	return rc < 0 ? rc : 1;
}

int runtime_default_get_runtime_status(struct reconciler *r, struct reconcile_ctx *ctx, struct error *err)
{
	(void)r;
	static const char *const numbers[] = {
		"desiredMasterNumberScheduled", "currentMasterNumberScheduled", "masterNumberReady",
		"desiredWorkerNumberScheduled", "currentWorkerNumberScheduled", "workerNumberReady",
		"desiredFuseNumberScheduled",   "currentFuseNumberScheduled",   "fuseNumberReady"};
	static const char *const texts[] = {"valueFile", "masterPhase", "workerPhase", "fusePhase"};
	json_t *live = json_object_get(ctx->runtime, "status");
	JSON_AUTO s = live != NULL ? json_deep_copy(live) : json_object();
	for (size_t i = 0; i < ARRAY_LEN(numbers); i++)
		if (json_object_get(s, numbers[i]) == NULL && json_object_set_new(s, numbers[i], json_integer(0)) < 0)
			return error_set(err, -ENOMEM, "status: out of memory");
	for (size_t i = 0; i < ARRAY_LEN(texts); i++)
		if (json_object_get(s, texts[i]) == NULL && json_object_set_new(s, texts[i], json_string("")) < 0)
			return error_set(err, -ENOMEM, "status: out of memory");
	ctx->runtime_status = TAKE(s);
	return 0;
}

static int load_dataset_status(struct reconcile_ctx *ctx, struct error *err)
{
	if (ctx->dataset == NULL)
		return 0;
	json_t *live = json_object_get(ctx->dataset, "status");
	JSON_AUTO s = live != NULL ? json_deep_copy(live) : json_object();
	if (s == NULL ||
	    (json_object_get(s, "conditions") == NULL && json_object_set_new(s, "conditions", json_array()) < 0))
		return error_set(err, -ENOMEM, "status: out of memory");
	ctx->dataset_status = TAKE(s);
	return 0;
}

/* Whether an engine says that a spec cannot be (what a server says has its HTTP status): nothing changes that but another spec. */
static bool is_refusal(int rc, const struct error *why)
{
	return (rc == -EINVAL || rc == -EACCES || rc == -EOPNOTSUPP) && why->status == 0;
}

/* --- the steps ------------------------------------------------------------------------------------------------------------------ */

static int do_setup(struct engine *e, struct reconcile_ctx *ctx, bool *ret_refused, struct error *err)
{
	struct error why = {0};
	int rc = e->lifecycle->setup(e, ctx, &why);
	if (rc < 0) {
		metrics_setup_error(ctx);
		if (rc != -ESTALE && rc != -EAGAIN)
			warn(ctx, "ErrorProcessRuntime", "Failed to setup ddc engine due to error ", why.msg);
		if (is_refusal(rc, &why)) {
			*ret_refused = true;
			return refuse(ctx, CONDITION_SPEC, "ErrorProcessRuntime", why.msg) < 0 ? -ENOMEM : 0;
		}
		if (err != NULL)
			*err = why;
		return not_ready(ctx, "DatasetFailedToSetup", why.msg) < 0 ? -ENOMEM : rc;
	}
	if (rc > 0) {
		LOG(ctx->log, LOG_LVL_INFO, "dataset is bound", LOG_STR("namespace", ctx->ns),
		    LOG_STR("name", ctx->name), LOG_STR("runtime", ctx->runtime_type));
		return rc;
	}
	const json_t *mounts = condition_get(ctx->dataset_status, CONDITION_MOUNTS);
	bool failed = condition_is(ctx->dataset_status, CONDITION_MOUNTS, false);
	const char *text = failed               ? json_str(mounts, "message", "")
			   : why.msg[0] != '\0' ? why.msg
						: "the runtime is being set up";
	return not_ready(ctx, failed ? "MountFailed" : "DatasetNotReady", text) < 0
		       ? error_set(err, -ENOMEM, "status: out of memory")
		       : 0;
}

static int do_sync(struct engine *e, struct reconcile_ctx *ctx, bool *ret_refused, struct error *err)
{
	struct error why = {0};
	int rc = e->lifecycle->sync(e, ctx, &why);
	if (rc < 0 && rc != -ESTALE && rc != -EAGAIN)
		warn(ctx, "ErrorProcessRuntime", "Failed to sync the ddc due to ", why.msg);
	else if (rc == 0 && why.msg[0] != '\0')
		LOG(ctx->log, LOG_LVL_DEBUG, "runtime is not healthy", LOG_STR("namespace", ctx->ns),
		    LOG_STR("name", ctx->name), LOG_STR("why", why.msg));
	if (is_refusal(rc, &why)) { /* what was served before is served on */
		*ret_refused = true;
		rc = runtime_condition_set(ctx, CONDITION_SPEC, false, "ErrorProcessRuntime", why.msg);
	}
	if (ctx->figures_error != NULL)
		warn(ctx, "EngineDoesNotAnswer", "The cache system does not answer: ", ctx->figures_error);
	if (rc < 0 && err != NULL)
		*err = why;
	return rc;
}

static int setup_and_sync(struct engine *e, struct reconcile_ctx *ctx, bool *ret_refused, struct error *err)
{
	struct error why = {0};
	if (!dataset_setup_done(ctx->dataset_status)) {
		int rc = do_setup(e, ctx, ret_refused, err);
		if (rc <= 0)
			return rc;
	}
	int rc = e->lifecycle->create_volume(e, ctx, &why);
	if (rc < 0 && rc != -ESTALE)
		warn(ctx, "ErrorProcessRuntime", "Failed to setup volume due to error ", why.msg);
	int rc2 = do_sync(e, ctx, ret_refused, err);
	if (rc2 < 0 || rc >= 0)
		return rc2;
	if (err != NULL)
		*err = why;
	return rc;
}

int runtime_default_reconcile_runtime(struct reconciler *r, struct engine *e, struct reconcile_ctx *ctx,
				      struct error *err)
{
	struct error why = {0};
	int rc = e->lifecycle->validate(e, ctx, &why);
	if (is_refusal(rc, &why)) {
		warn(ctx, "ErrorValidateSpecFields",
		     "Validation failed for spec fields of Dataset and Runtime: ", why.msg);
		return refuse(ctx, CONDITION_SPEC, "ErrorValidateSpecFields", why.msg) < 0
			       ? error_set(err, -ENOMEM, "status: out of memory")
			       : 0;
	}
	if (rc < 0) {
		if (err != NULL)
			*err = why;
		return rc;
	}
	bool refused = false;
	rc = setup_and_sync(e, ctx, &refused, err);
	const int rc2 = refused ? 0 : reconciler_specs_accepted(r, ctx, rc);
	return rc < 0 || rc2 == 0 ? rc : error_set(err, rc2, "status: out of memory");
}

static int drop_finalizer(struct reconcile_ctx *ctx, struct error *err)
{
	json_t *live = json_at(ctx->runtime, "metadata.finalizers");
	JSON_AUTO left = json_array();
	size_t i;
	json_t *f;
	json_array_foreach (live, i, f)
		if (!str_same(json_string_value(f), ctx->finalizer) && json_array_append(left, f) < 0)
			return error_set(err, -ENOMEM, "finalizer: out of memory");
	JSON_AUTO patch = json_pack("{s:{s:s,s:O}}", "metadata", "resourceVersion", obj_resource_version(ctx->runtime),
				    "finalizers", left);
	int rc = patch != NULL
			 ? ctx->api->patch(ctx->api->ctx, ctx->runtime_resource, ctx->ns, ctx->name, NULL, patch, err)
			 : error_set(err, -ENOMEM, "finalizer: out of memory");
	return rc == -ENOENT ? 0 : rc;
}

/* As if it had never been bound; mounts, operationRef and datasetRef stay, as Fluid has it. */
static int unbind(struct reconcile_ctx *ctx, struct error *err)
{
	static const char *const gone[] = {"ufsTotal", "cacheStates", "runtimes", "hcfs", "fileNum"};
	if (ctx->dataset_status == NULL)
		return 0;
	int rc = dataset_phase_move(ctx->dataset_status, DATASET_PHASE_NOT_BOUND, err);
	for (size_t i = 0; i < ARRAY_LEN(gone); i++)
		json_drop(ctx->dataset_status, gone[i]);
	return rc == 0 && json_put(ctx->dataset_status, "conditions", json_array()) < 0 ? -ENOMEM : rc;
}

static int wait_told(struct reconcile_ctx *ctx, const char *what)
{
	const json_t *c = condition_get(ctx->runtime_status, "Deleted");
	if (!str_same(json_str(c, "message", NULL), what))
		ctx->api->event(ctx->api->ctx, ctx->runtime, "Normal", "WaitingToDelete", what);
	return runtime_condition_set(ctx, "Deleted", false, "WaitingToDelete", what) < 0 ? -ENOMEM : 0;
}

int runtime_default_reconcile_deletion(struct reconciler *r, struct engine *e, struct reconcile_ctx *ctx,
				       struct error *err)
{
	(void)r;
	struct error why = {0};
	const char *what = "Failed to delete volume ";
	int rc = e->lifecycle->delete_volume(e, ctx, &why);
	if (rc > 0) {
		what = "Failed to shutdown engine ";
		rc = e->lifecycle->shutdown(e, ctx, &why);
	}
	if (rc > 0)
		return 1;
	if (rc < 0 && rc != -ESTALE)
		warn(ctx, "ErrorProcessRuntime", what, why.msg);
	if (rc == 0)
		rc = wait_told(ctx, why.msg);
	if (err != NULL)
		*err = why;
	return rc;
}

/* Nothing is sent at the end of this pass. */
static void drop_statuses(struct reconcile_ctx *ctx)
{
	json_decref(ctx->dataset_status);
	json_decref(ctx->runtime_status);
	ctx->dataset_status = ctx->runtime_status = NULL;
}

static int reconcile_deleted(struct reconciler *r, const struct runtime_controller *rt, struct engine *e,
			     struct reconcile_ctx *ctx, struct error *err)
{
	if (!obj_has_finalizer(ctx->runtime, ctx->finalizer))
		return 0;
	int rc = rt->steps->reconcile_deletion(r, e, ctx, err);
	if (rc <= 0)
		return rc;
	rc = unbind(ctx, err);
	/* The Dataset first: once the finalizer is off nobody would come back for it. */
	const json_t *runtime = ctx->runtime;
	ctx->runtime = NULL;
	if (rc == 0)
		rc = status_flush(ctx, err);
	ctx->runtime = runtime;
	drop_statuses(ctx); /* the runtime ends with the finalizer: nothing to tell it any more */
	if (rc == 0)
		rc = drop_finalizer(ctx, err);
	if (rc < 0)
		return rc;
	LOG(ctx->log, LOG_LVL_INFO, "runtime is gone", LOG_STR("namespace", ctx->ns), LOG_STR("name", ctx->name),
	    LOG_STR("runtime", ctx->runtime_type));
	return rt->steps->remove_engine(r, ctx, err);
}

/* The runtime is alive, and so is its Dataset. */
static int reconcile_live(struct reconciler *r, const struct runtime_controller *rt, struct engine *e,
			  struct reconcile_ctx *ctx, struct error *err)
{
	if (ctx->dataset == NULL) {
		warn(ctx, "ErrorProcessRuntime", "No dataset can be bound to the runtime, waiting.", "");
		return 0;
	}
	if (obj_deleting(ctx->dataset))
		return 0; /* the garbage collector takes the runtime next */
	char other[400];
	if (!can_be_bound(ctx, other, sizeof other)) {
		warn(ctx, "ErrorProcessRuntime",
		     "the dataset can't be bound to the runtime, because it's already bound to another runtime ",
		     other);
		return 0; /* its change wakes us */
	}
	int rc = rt->steps->add_owner_and_finalizer(r, ctx, err);
	if (rc == 0)
		rc = label_dataset(ctx, err);
	if (rc != 0)
		drop_statuses(ctx); /* what was read is old now: the watch brings the new one */
	if (rc != 0)
		return rc < 0 ? rc : 0;
	return rt->steps->reconcile_runtime(r, e, ctx, err);
}

int shared_reconcile(struct reconciler *r, const struct runtime_controller *rt, struct reconcile_ctx *ctx,
		     struct error *err)
{
	if (!name_is_dns1035(ctx->name)) {
		warn(ctx, "ErrorProcessRuntime",
		     "the name must be a DNS-1035 label (lower case letters, digits, '-'): ", ctx->name);
		return 0; /* a name never changes */
	}
	int rc = rt->steps->get_runtime_status(r, ctx, err);
	if (rc == 0)
		rc = load_dataset_status(ctx, err);
	if (rc < 0)
		return rc;
	struct engine *e = NULL;
	struct error why = {0};
	rc = rt->steps->get_or_create_engine(r, ctx, &e, &why);
	if (rc < 0) {
		warn(ctx, "ErrorProcessRuntime", "Process Runtime error ", why.msg);
		if (refuse(ctx, CONDITION_ENGINE, "ErrorProcessRuntime", why.msg) < 0)
			return error_set(err, -ENOMEM, "status: out of memory");
		if (err != NULL)
			*err = why;
		return rc == -EINVAL ? 0 : rc; /* a spec that cannot be built changes before it is tried again */
	}
	condition_drop(ctx->runtime_status, CONDITION_ENGINE);
	if (obj_deleting(ctx->runtime))
		return reconcile_deleted(r, rt, e, ctx, err);
	return reconcile_live(r, rt, e, ctx, err);
}
