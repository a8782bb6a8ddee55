#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "api/dataset.h"
#include "base/cleanup.h"
#include "base/clock.h"
#include "base/error.h"
#include "base/log.h"
#include "base/str.h"
#include "base/strbuf.h"
#include "controllers/operations/internal.h"
#include "kube/client.h"
#include "runtime/status.h"
#include "json/json.h"
#include "json/quantity.h"

#define DATASET_RES    (&dataset_kind.resource)
#define NAME_MAX_BYTES 63                 /* of a label's value, which the names of Job and release become */
#define PROGRESS_NS    (3 * NSEC_PER_SEC) /* between two looks at a running loader's log */
#define READY_NS       (5 * NSEC_PER_SEC) /* an answer of the cache system is no change of an object */

static const char *const phase_name[PHASES] = {"", "Pending", "Executing", "Complete", "Failed"};

/* An operation by a schedule begins anew, however its last Job ended. */
static const unsigned phase_next[PHASES] = {
	[PHASE_NEW] = 1u << PHASE_PENDING | 1u << PHASE_FAILED,
	[PHASE_PENDING] = 1u << PHASE_EXECUTING | 1u << PHASE_FAILED,
	[PHASE_EXECUTING] = 1u << PHASE_COMPLETE | 1u << PHASE_FAILED,
	[PHASE_COMPLETE] = 1u << PHASE_PENDING,
	[PHASE_FAILED] = 1u << PHASE_PENDING,
};

static int no_memory(struct error *err)
{
	return error_set(err, -ENOMEM, "data operation: out of memory");
}

/* -1: one that is none of ours. */
static int phase_of(const json_t *status)
{
	const char *text = json_str(status, "phase", "");
	for (int i = 0; i < PHASES; i++)
		if (strcmp(text, phase_name[i]) == 0)
			return i;
	return -1;
}

static int move(struct operation_pass *p, enum operation_phase to, struct error *err)
{
	const int from = phase_of(p->status);
	assert(from >= 0 && (phase_next[from] & 1u << to) != 0);
	LOG(p->c->o.log, LOG_LVL_INFO, "data operation moves", LOG_STR("kind", p->k->kind->resource.kind),
	    LOG_STR("namespace", p->ns), LOG_STR("name", p->name), LOG_STR("from", phase_name[from]),
	    LOG_STR("to", phase_name[to]));
	return json_put_str(p->status, "phase", phase_name[to]) < 0 ? no_memory(err) : 0;
}

static void tell(const struct operation_pass *p, const char *type, const char *reason, const char *message)
{
	p->api->event(p->api->ctx, p->op, type, reason, message);
}

static void come_back(struct operation_pass *p, int64_t ns)
{
	if (p->result->requeue_after_ns == 0 || ns < p->result->requeue_after_ns)
		p->result->requeue_after_ns = ns;
}

/* --- the end of an operation ---------------------------------------------------------------------------------------------------- */

/* One condition says how it ended; @at: when (RFC 3339). */
static int put_end(struct operation_pass *p, enum operation_phase to, const char *reason, const char *message,
		   const char *at, struct error *err)
{
	int64_t begin, end;
	char duration[32] = "0s";
	if (clock_parse_rfc3339(json_str(p->op, "metadata.creationTimestamp", ""), &begin) == 0 &&
	    clock_parse_rfc3339(at, &end) == 0 && end > begin)
		duration_format((end - begin + NSEC_PER_SEC / 2) / NSEC_PER_SEC * NSEC_PER_SEC, duration);
	json_t *conditions =
		json_pack("[{s:s,s:s,s:s,s:s,s:s,s:s}]", "type", phase_name[to], "status", "True", "reason", reason,
			  "message", message, "lastProbeTime", at, "lastTransitionTime", at);
	if (conditions == NULL || json_object_set_new(p->status, "conditions", conditions) < 0 ||
	    json_put_str(p->status, "duration", duration) < 0)
		return no_memory(err);
	return move(p, to, err);
}

/* It can never be done: @reason is the condition's and @event the Event's. */
static int fail(struct operation_pass *p, const char *event, const char *reason, const char *message, struct error *err)
{
	char now[32];
	clock_format_rfc3339(clock_wall_ns(), now);
	int rc = put_end(p, PHASE_FAILED, reason, message, now, err);
	if (rc == 0)
		tell(p, "Warning", event, message);
	return rc;
}

/* --- who is at work on a Dataset: its status.operationRef ----------------------------------------------------------------------- */

/* The names of @list (comma separated) without ours, and with it when @with. NULL on no memory. */
static char *names_with(const char *list, const char *name, bool with)
{
	struct strbuf b = STRBUF_INIT(1u << 20);
	struct str rest = str_from(list), one;
	while (str_split_next(&rest, ',', &one))
		if (one.n > 0 && !str_eq(one, name))
			strbuf_addf(&b, "%s%.*s", b.n > 0 ? "," : "", (int)one.n, one.p);
	if (with)
		strbuf_addf(&b, "%s%s", b.n > 0 ? "," : "", name);
	char *out = NULL;
	return strbuf_take(&b, &out) < 0 ? NULL : out;
}

static int reference(struct operation_pass *p, bool with, struct error *err)
{
	const char *kind = p->k->kind->resource.kind;
	if (p->dataset == NULL)
		return 0;
	const char *have = json_str(json_at(p->dataset, "status.operationRef"), kind, "");
	bool there = false;
	struct str rest = str_from(have), one;
	while (str_split_next(&rest, ',', &one))
		there = there || str_eq(one, p->name);
	if (there == with)
		return 0;
	CLEANUP(free_p) char *names = names_with(have, p->name, with);
	if (names == NULL)
		return no_memory(err);
	JSON_AUTO value = *names != '\0' ? json_pack("{s:s}", kind, names)
			  : json_object_size(json_at(p->dataset, "status.operationRef")) > 1
				  ? json_pack("{s:n}", kind)
				  : json_null(); /* nobody is at work any more */
	JSON_AUTO patch = json_pack("{s:{s:s},s:{s:O?}}", "metadata", "resourceVersion",
				    obj_resource_version(p->dataset), "status", "operationRef", value);
	if (value == NULL || patch == NULL)
		return no_memory(err);
	int rc = p->api->patch(p->api->ctx, DATASET_RES, p->ns, operation_target(p->op), "status", patch, err);
	return rc == -ENOENT ? 0 : rc;
}

/* --- what can never run --------------------------------------------------------------------------------------------------------- */

static int validate(const struct operation_pass *p, const char **ret_reason, struct error *err)
{
	const char *ns = json_str(p->op, "spec.dataset.namespace", "");
	const char *policy = json_str(p->op, "spec.policy", "Once");
	if (*ns != '\0' && strcmp(ns, p->ns) != 0) {
		*ret_reason = "TargetDatasetNamespaceNotSame";
		return error_set(err, -EINVAL, "spec.dataset.namespace: '%s' must be the operation's own, '%s'", ns,
				 p->ns);
	}
	if (*operation_target(p->op) == '\0') {
		*ret_reason = "TargetDatasetNotSpecified";
		return error_set(err, -EINVAL, "spec.dataset.name: which Dataset is meant?");
	}
	if (strlen(p->job) > NAME_MAX_BYTES || strlen(p->release) > NAME_MAX_BYTES) {
		*ret_reason = "NameTooLong";
		return error_set(err, -EINVAL, "metadata.name: at most %zu characters",
				 NAME_MAX_BYTES - strlen(p->k->job_suffix));
	}
	if (strcmp(policy, "OnEvent") == 0) {
		*ret_reason = "PolicyNotSupported";
		return error_set(err, -EINVAL, "spec.policy: OnEvent is not supported; Once and Cron are");
	}
	if (strcmp(policy, "Cron") == 0 && *json_str(p->op, "spec.schedule", "") == '\0') {
		*ret_reason = "ScheduleNotSpecified";
		return error_set(err, -EINVAL, "spec.schedule: policy Cron needs a schedule, like \"0 3 * * *\"");
	}
	if (json_at(p->op, "spec.runAfter") != NULL) {
		*ret_reason = "RunAfterNotSupported";
		return error_set(err, -EINVAL,
				 "spec.runAfter: is not supported; create this operation when the other has ended");
	}
	return p->k->validate(p->op, ret_reason, err);
}

/* --- the phases ----------------------------------------------------------------------------------------------------------------- */

/* 1: the Dataset is there and bound, to a runtime of this process. */
static int has_target(const struct operation_pass *p)
{
	char msg[512];
	const char *target = operation_target(p->op);
	if (p->dataset == NULL) {
		(void)snprintf(msg, sizeof msg, "Dataset %s is not there; waiting for it",
			       target); /* a cut message is still one */
		tell(p, "Warning", "TargetDatasetNotFound", msg);
		return 0;
	}
	if (p->type == NULL || strcmp(json_str(p->dataset, "status.phase", ""), "Bound") != 0) {
		(void)snprintf(msg, sizeof msg, "Dataset %s is not bound to a runtime yet; waiting for it",
			       target); /* a cut message is still one */
		tell(p, "Normal", "RuntimeNotReady", msg);
		return 0;
	}
	return 1;
}

/* Finalizer and owner, in one patch. 1 when they are there. */
static int adopt(struct operation_pass *p, struct error *err)
{
	json_t *owners = json_at(p->op, "metadata.ownerReferences"), *o;
	json_t *live = json_at(p->op, "metadata.finalizers");
	JSON_AUTO finalizers = live != NULL ? json_copy(live) : json_array();
	bool owned = false;
	size_t i;
	json_array_foreach (owners, i, o)
		owned = owned || strcmp(json_str(o, "uid", ""), obj_uid(p->dataset)) == 0;
	if (owned && obj_has_finalizer(p->op, p->k->finalizer))
		return 1;
	char version[128];
	json_t *owner = json_pack("{s:s,s:s,s:s,s:s}", "apiVersion", kube_api_version(DATASET_RES, version), "kind",
				  DATASET_RES->kind, "name", obj_name(p->dataset), "uid", obj_uid(p->dataset));
	JSON_AUTO own_list = json_array();
	if (finalizers == NULL || own_list == NULL || json_array_append_new(own_list, owner) < 0)
		return no_memory(err);
	json_array_foreach (owners, i, o) /* but for an earlier Dataset of that name */
		if (strcmp(json_str(o, "kind", ""), DATASET_RES->kind) != 0 && json_array_append(own_list, o) < 0)
			return no_memory(err);
	if (!obj_has_finalizer(p->op, p->k->finalizer) &&
	    json_array_append_new(finalizers, json_string(p->k->finalizer)) < 0)
		return no_memory(err);
	JSON_AUTO patch = json_pack("{s:{s:s,s:O,s:O}}", "metadata", "resourceVersion", obj_resource_version(p->op),
				    "ownerReferences", own_list, "finalizers", finalizers);
	if (patch == NULL)
		return no_memory(err);
	return p->api->patch(p->api->ctx, &p->k->kind->resource, p->ns, p->name, NULL, patch, err);
}

static int step_new(struct operation_pass *p, struct error *err)
{
	const char *reason = NULL;
	struct error why = {0};
	if (validate(p, &reason, &why) < 0)
		return fail(p, "DataOperationNotValid", reason, why.msg, err);
	if (!has_target(p))
		return 0;
	int rc = adopt(p, err);
	if (rc <= 0)
		return rc; /* the change comes back */
	if (json_put_str(p->status, "duration", "Unfinished") < 0 ||
	    json_object_set_new(p->status, "conditions", json_array()) < 0)
		return no_memory(err);
	return move(p, PHASE_PENDING, err);
}

static int ask(struct operation_pass *p, json_t **ret, struct error *err)
{
	const struct operation_engines *e = &p->c->o.engines;
	return e->ask(e->ctx, p->type, p->runtime_ns, p->runtime_name, p->op, ret, err);
}

static int not_ready(struct operation_pass *p, const char *why)
{
	char msg[512];
	(void)snprintf(msg, sizeof msg, "the runtime is not ready: %s", why); /* a cut message is still one */
	tell(p, "Normal", "RuntimeNotReady", msg);
	come_back(p, READY_NS);
	return 0;
}

static int step_pending(struct operation_pass *p, struct error *err)
{
	struct error why = {0};
	if (!has_target(p))
		return 0;
	int rc = ask(p, NULL, &why);
	if (rc == 0)
		return not_ready(p, why.msg);
	if (rc == -EOPNOTSUPP)
		return fail(p, "DataOperationNotSupport", "DataOperationNotSupport", why.msg, err);
	if (rc < 0)
		return error_set(err, rc, "%s", why.msg);
	rc = reference(p, true, err);
	return rc < 0 ? rc : move(p, PHASE_EXECUTING, err);
}

/* There is no Job: have the engine (or the operation itself) say what it runs, and make it. */
static int begin(struct operation_pass *p, struct error *err)
{
	JSON_AUTO spec = NULL;
	struct error why = {0};
	if (!has_target(p))
		return 0;
	int rc = p->k->job_spec != NULL ? p->k->job_spec(p->op, p->config_map, &spec, &why) : ask(p, &spec, &why);
	if (rc == 0 && p->k->job_spec == NULL)
		return not_ready(p, why.msg);
	if (rc >= 0)
		rc = operation_make_job(p, TAKE(spec), &why);
	if (rc == -EOPNOTSUPP)
		return fail(p, "DataOperationNotSupport", "DataOperationNotSupport", why.msg, err);
	if (rc == -EINVAL)
		return fail(p, "DataOperationExecutionFailed", "DataOperationExecutionFailed", why.msg, err);
	if (rc >= 0)
		return 0;
	if (rc != -ESTALE)
		tell(p, "Warning", "DataOperationExecutionFailed", why.msg);
	if (err != NULL)
		*err = why;
	return rc;
}

/* The Job has ended as the condition @c says. */
static int finish(struct operation_pass *p, const json_t *job, const json_t *c, struct error *err)
{
	const bool ok = strcmp(json_str(c, "type", ""), "Complete") == 0;
	char msg[640], now[32];
	clock_format_rfc3339(clock_wall_ns(), now);
	int rc = operation_read_receipt(p, job, true, err);
	if (rc < 0)
		return rc;
	const char *why = json_str(p->status, "infos.reason", json_str(c, "message", ""));
	rc = put_end(p, ok ? PHASE_COMPLETE : PHASE_FAILED, json_str(c, "reason", ""),
		     ok ? json_str(c, "message", "") : why, json_str(c, "lastTransitionTime", now), err);
	if (rc < 0)
		return rc;
	(void)snprintf(msg, sizeof msg, ok ? "%s %s has succeeded" : "%s %s has failed: %s", p->k->kind->resource.kind,
		       p->name, why); /* a cut message is still one */
	tell(p, ok ? "Normal" : "Warning", ok ? "DataOperationSucceed" : "DataOperationFailed", msg);
	return 0;
}

/* When the schedule last ran, as its CronJob says. */
static int copy_times(struct operation_pass *p, const json_t *cron, struct error *err)
{
	static const char *const names[] = {"lastScheduleTime", "lastSuccessfulTime"};
	for (size_t i = 0; i < ARRAY_LEN(names); i++) {
		json_t *v = json_object_get(json_object_get(cron, "status"), names[i]);
		if (v != NULL && json_object_set(p->status, names[i], v) < 0)
			return no_memory(err);
	}
	return 0;
}

static json_t *cron_job(const struct operation_pass *p)
{
	JSON_AUTO cron = operation_is_cron(p->op) ? p->api->get(p->api->ctx, &KUBE_CRONJOB, p->ns, p->job) : NULL;
	return cron != NULL && operation_owns(p, cron) ? TAKE(cron) : NULL;
}

static int step_executing(struct operation_pass *p, struct error *err)
{
	JSON_AUTO cron = cron_job(p);
	JSON_AUTO job = cron == NULL && operation_is_cron(p->op) ? NULL : operation_latest_job(p, cron);
	const json_t *made = operation_is_cron(p->op) ? cron : job;
	int rc = reference(p, true, err); /* a Dataset that was set up anew does not know of us */
	if (rc < 0)
		return rc;
	if (made == NULL)
		return begin(p, err);
	if (obj_deleting(made))
		return 0; /* somebody deletes it: made again when it is gone */
	if (cron != NULL && (rc = copy_times(p, cron, err)) < 0)
		return rc;
	if (job == NULL)
		return 0; /* the schedule has not come yet */
	const json_t *end = obj_job_end(job);
	if (end != NULL)
		return finish(p, job, end, err);
	if (p->k->has_receipt)
		come_back(p, PROGRESS_NS);
	return operation_read_receipt(p, job, false, err);
}

/* An object of Once that has ended goes after its time. */
static int time_to_live(struct operation_pass *p, struct error *err)
{
	const json_t *ttl = json_at(p->op, "spec.ttlSecondsAfterFinished");
	int64_t at;
	if (ttl == NULL || clock_parse_rfc3339(json_str(p->status, "conditions[0].lastTransitionTime", ""), &at) < 0)
		return 0;
	const int64_t left = at + json_integer_value(ttl) * NSEC_PER_SEC - clock_wall_ns();
	if (left > 0) {
		come_back(p, left);
		return 0;
	}
	return p->api->remove(p->api->ctx, &p->k->kind->resource, p->ns, p->name, err);
}

/* A schedule's operation that has ended begins anew with the next Job, or when its CronJob is gone. */
static int step_ended(struct operation_pass *p, struct error *err)
{
	int rc = reference(p, false, err);
	if (rc < 0 || !operation_is_cron(p->op))
		return rc < 0 ? rc : time_to_live(p, err);
	if (!obj_has_finalizer(p->op, p->k->finalizer) ||
	    str_has_prefix(json_str(p->status, "conditions[0].reason", ""), "DataOperation"))
		return 0; /* no Job ended here: it never began, and never will */
	JSON_AUTO cron = cron_job(p);
	JSON_AUTO job = cron != NULL ? operation_latest_job(p, cron) : NULL;
	const json_t *end = obj_job_end(job);
	if (cron != NULL && ((rc = copy_times(p, cron, err)) < 0 || job == NULL ||
			     (end != NULL && str_same(json_str(end, "lastTransitionTime", NULL),
						      json_str(p->status, "conditions[0].lastTransitionTime", NULL)))))
		return rc;
	if (json_object_set_new(p->status, "conditions", json_array()) < 0 ||
	    json_put_str(p->status, "duration", "-") < 0)
		return no_memory(err);
	return move(p, PHASE_PENDING, err);
}

static int drop_finalizer(struct operation_pass *p, struct error *err)
{
	JSON_AUTO left = json_array();
	size_t i;
	json_t *f;
	json_array_foreach (json_at(p->op, "metadata.finalizers"), i, f)
		if (!str_same(json_string_value(f), p->k->finalizer) && json_array_append(left, f) < 0)
			return no_memory(err);
	JSON_AUTO patch = json_pack("{s:{s:s,s:O}}", "metadata", "resourceVersion", obj_resource_version(p->op),
				    "finalizers", left);
	if (patch == NULL)
		return no_memory(err);
	int rc = p->api->patch(p->api->ctx, &p->k->kind->resource, p->ns, p->name, NULL, patch, err);
	return rc == -ENOENT ? 0 : rc;
}

/* What was made goes first, then the Dataset forgets us, then we go. */
static int step_deleted(struct operation_pass *p, struct error *err)
{
	if (!obj_has_finalizer(p->op, p->k->finalizer))
		return 0;
	int rc = operation_remove_jobs(p, err);
	if (rc <= 0)
		return rc; /* the end of the Job comes back */
	rc = reference(p, false, err);
	return rc < 0 ? rc : drop_finalizer(p, err);
}

/* --- one pass ------------------------------------------------------------------------------------------------------------------- */

/* The Dataset's runtime, when it has one. */
static void find_runtime(struct operation_pass *p)
{
	size_t i;
	json_t *r;
	json_array_foreach (json_at(p->dataset, "status.runtimes"), i, r) {
		if (strcmp(json_str(r, "category", ""), "Accelerate") != 0)
			continue;
		p->type = json_str(r, "type", "");
		p->runtime_ns = json_str(r, "namespace", p->ns);
		p->runtime_name = json_str(r, "name", "");
		return;
	}
}

/* Several processes may watch the same operations: one acts. */
static bool is_ours(const struct operation_pass *p)
{
	const struct operation_engines *e = &p->c->o.engines;
	if (p->type != NULL && e->serves(e->ctx, p->type))
		return true;
	return p->c->o.others && (p->type == NULL || obj_deleting(p->op));
}

static int step(struct operation_pass *p, struct error *err)
{
	static int (*const steps[PHASES])(struct operation_pass * p, struct error * err) = {
		[PHASE_NEW] = step_new,        [PHASE_PENDING] = step_pending, [PHASE_EXECUTING] = step_executing,
		[PHASE_COMPLETE] = step_ended, [PHASE_FAILED] = step_ended,
	};
	const int phase = phase_of(p->status);
	if (phase < 0) {
		tell(p, "Warning", "ErrorProcessDataset", "status.phase: no phase of a data operation");
		return 0;
	}
	int rc = steps[phase](p, err);
	if (rc < 0)
		return rc;
	return status_patch(p->api, &p->k->kind->resource, p->op, p->status, err);
}

static void pass_clear(struct operation_pass *p)
{
	json_decref(p->op);
	json_decref(p->dataset);
	json_decref(p->status);
}

static int read_objects(struct operation_pass *p, struct error *err)
{
	const json_t *live = json_object_get(p->op, "status");
	p->status = live != NULL ? json_deep_copy(live) : json_object();
	if (p->status == NULL)
		return no_memory(err);
	/* cut names are refused by validate() */
	(void)snprintf(p->release, sizeof p->release, "%s%s", p->name, p->k->release_suffix);
	(void)snprintf(p->job, sizeof p->job, "%s%s", p->name, p->k->job_suffix);
	(void)snprintf(p->config_map, sizeof p->config_map, "%s-scripts", p->release);
	if (*operation_target(p->op) != '\0')
		p->dataset = p->api->get(p->api->ctx, DATASET_RES, p->ns, operation_target(p->op));
	find_runtime(p);
	return 0;
}

int operation_reconcile(void *operation_controller, const char *ns, const char *name, struct reconcile_result *ret,
			struct error *err)
{
	struct operation_controller *c = operation_controller;
	CLEANUP(pass_clear)
	struct operation_pass p = {.c = c, .k = c->k, .api = c->o.api, .ns = ns, .name = name, .result = ret};
	p.op = p.api->get(p.api->ctx, &c->k->kind->resource, ns, name);
	if (p.op == NULL)
		return 0;
	int rc = read_objects(&p, err);
	if (rc < 0 || !is_ours(&p))
		return rc;
	return obj_deleting(p.op) ? step_deleted(&p, err) : step(&p, err);
}
