/*
 * Job: pods that run until enough of them have succeeded. Counted are the pods that are there, and never less than was counted before.
 * What needs more than counts (indexes, policies for single failures) is refused by an Event.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/error.h"
#include "base/str.h"
#include "local/workload_crowd.h"
#include "local/workload_pods.h"
#include "local/workload_private.h"
#include "json/json.h"

#define BACKOFF_FIRST_NS (10 * NSEC_PER_SEC)
#define BACKOFF_MAX_NS   (360 * NSEC_PER_SEC)
#define RESTARTS_MAX     1000000

struct job_pass {
	struct workload *w;
	const json_t *job;
	json_t *pods, *active; /* all that it has; those that run or may run */
	int64_t succeeded, failed, terminating, ready, restarts;
	int64_t last_failure; /* wall clock; 0: none */
	bool suspended, many; /* @many: completions are given */
	int64_t completions, parallelism, backoff_limit;
	int64_t wait_ns;
	json_t *conditions; /* as they will be */
	const char *start;  /* startTime as it will be; NULL: none */
	char now[32];
	bool finished;
};

static void pass_clear(struct job_pass *p)
{
	json_decref(p->pods);
	json_decref(p->active);
	json_decref(p->conditions);
}

static void wait_at_most(struct job_pass *p, int64_t ns)
{
	if (ns > 0 && (p->wait_ns == 0 || ns < p->wait_ns))
		p->wait_ns = ns;
}

/* ---- what is refused ---- */

static const char *refusal(const json_t *job)
{
	static const struct {
		const char *path, *why;
	} unknown[] = {
		{"spec.podFailurePolicy", "spec.podFailurePolicy is not supported by this cluster: use backoffLimit"},
		{"spec.successPolicy", "spec.successPolicy is not supported by this cluster: use completions"},
		{"spec.backoffLimitPerIndex",
		 "spec.backoffLimitPerIndex is not supported by this cluster: use backoffLimit"},
	};
	for (size_t i = 0; i < ARRAY_LEN(unknown); i++)
		if (json_at(job, unknown[i].path) != NULL)
			return unknown[i].why;
	if (strcmp(json_str(job, "spec.completionMode", ""), "Indexed") == 0)
		return "spec.completionMode Indexed is not supported by this cluster: use NonIndexed";
	return NULL;
}

/* ---- conditions ---- */

static json_t *condition(const struct job_pass *p, const char *type)
{
	size_t i;
	json_t *c;
	json_array_foreach (p->conditions, i, c)
		if (strcmp(json_str(c, "type", ""), type) == 0)
			return c;
	return NULL;
}

static bool holds(const struct job_pass *p, const char *type)
{
	return strcmp(json_str(condition(p, type), "status", ""), "True") == 0;
}

/** Returns whether that is new. */
static bool put_condition(struct job_pass *p, const char *type, bool status, const char *reason, const char *message)
{
	json_t *c = condition(p, type);
	const char *word = status ? "True" : "False";
	if (c != NULL && strcmp(json_str(c, "status", ""), word) == 0)
		return false;
	JSON_AUTO fresh = json_pack("{s:s, s:s, s:s, s:s, s:s, s:s}", "type", type, "status", word, "lastProbeTime",
				    p->now, "lastTransitionTime", p->now, "reason", reason, "message", message);
	if (c != NULL)
		(void)json_object_update(c, fresh);
	else
		(void)json_array_append(p->conditions, fresh); /* without memory the next pass does it */
	return true;
}

/* ---- counting ---- */

static int64_t finished_at(const json_t *pod)
{
	int64_t last = 0;
	size_t i;
	json_t *c;
	json_array_foreach (json_at(pod, "status.containerStatuses"), i, c) {
		int64_t t = 0;
		const char *at = json_str(c, "state.terminated.finishedAt", NULL);
		if (at != NULL && clock_parse_rfc3339(at, &t) == 0 && t > last)
			last = t;
	}
	return last;
}

static int64_t restarts_of(const json_t *pod)
{
	static const char *const lists[] = {"initContainerStatuses", "containerStatuses"};
	int64_t n = 0;
	for (size_t l = 0; l < ARRAY_LEN(lists); l++) {
		size_t i;
		json_t *c;
		json_array_foreach (json_object_get(json_object_get(pod, "status"), lists[l]), i, c)
			n += json_int(c, "restartCount", 0) % RESTARTS_MAX;
	}
	return n;
}

static int count_pod(struct job_pass *p, json_t *pod)
{
	const char *phase = json_str(pod, "status.phase", "");
	if (strcmp(phase, "Succeeded") == 0) {
		p->succeeded++;
	} else if (strcmp(phase, "Failed") == 0) {
		int64_t at = finished_at(pod);
		p->failed++;
		p->last_failure = at > p->last_failure ? at : p->last_failure;
	} else if (obj_deleting(pod)) {
		p->terminating++;
	} else {
		p->ready += pod_ready(pod);
		p->restarts += restarts_of(pod);
		return json_array_append(p->active, pod);
	}
	return 0;
}

static int pass_begin(struct job_pass *p, struct error *err)
{
	const json_t *job = p->job, *old = json_at(job, "status.conditions");
	p->pods = informer_list_by(p->w->pods, INDEX_POD_OWNER, obj_uid(job));
	p->active = json_array();
	p->conditions = old != NULL ? json_deep_copy(old) : json_array();
	int rc = p->pods != NULL && p->active != NULL && p->conditions != NULL ? 0 : -ENOMEM;
	size_t i;
	json_t *pod;
	json_array_foreach (p->pods, i, pod)
		if (rc == 0)
			rc = count_pod(p, pod);
	if (rc < 0)
		return error_set(err, -ENOMEM, "Job %s: out of memory", obj_name(job));
	int64_t before = json_int(job, "status.succeeded", 0), lost = json_int(job, "status.failed", 0);
	p->succeeded = p->succeeded > before ? p->succeeded : before;
	p->failed = p->failed > lost ? p->failed : lost;
	p->many = json_at(job, "spec.completions") != NULL;
	p->completions = json_int(job, "spec.completions", 1);
	p->parallelism = json_int(job, "spec.parallelism", 1);
	p->backoff_limit = json_int(job, "spec.backoffLimit", 6);
	p->suspended = json_bool(job, "spec.suspend", false);
	p->start = json_str(job, "status.startTime", NULL);
	clock_format_rfc3339(clock_wall_ns(), p->now);
	return 0;
}

/* ---- success and failure ---- */

static bool past_deadline(struct job_pass *p)
{
	const json_t *limit = json_at(p->job, "spec.activeDeadlineSeconds");
	int64_t since = 0;
	if (!json_is_integer(limit) || p->suspended || p->start == NULL || clock_parse_rfc3339(p->start, &since) < 0)
		return false;
	int64_t left = since + (int64_t)json_integer_value(limit) * NSEC_PER_SEC - clock_wall_ns();
	wait_at_most(p, left);
	return left <= 0;
}

/** Containers that are started again in their pods count too. */
static bool too_many_restarts(const struct job_pass *p)
{
	if (strcmp(json_str(p->job, "spec.template.spec.restartPolicy", ""), "OnFailure") != 0)
		return false;
	return p->backoff_limit == 0 ? p->restarts > 0 : p->restarts >= p->backoff_limit;
}

static void find_failure(struct job_pass *p)
{
	if (p->failed > p->backoff_limit || too_many_restarts(p))
		(void)put_condition(p, "FailureTarget", true, "BackoffLimitExceeded",
				    "Job has reached the specified backoff limit");
	else if (past_deadline(p))
		(void)put_condition(p, "FailureTarget", true, "DeadlineExceeded",
				    "Job was active longer than specified deadline");
}

static void find_success(struct job_pass *p)
{
	bool enough = p->many ? p->succeeded >= p->completions
			      : p->succeeded > 0 && json_array_size(p->active) == 0 && p->terminating == 0;
	if (enough)
		(void)put_condition(p, "SuccessCriteriaMet", true, "CompletionsReached",
				    "Reached expected number of succeeded pods");
}

/** What was aimed at is reached when no pod is left: the Job has ended. */
static void finish(struct job_pass *p, const char *target, const char *type)
{
	const json_t *why = condition(p, target);
	const char *reason = json_str(why, "reason", ""), *message = json_str(why, "message", "");
	if (!put_condition(p, type, true, reason, message))
		return;
	p->finished = true;
	if (strcmp(type, "Complete") == 0)
		event_emit(p->w->events, p->job, "Normal", "Completed", "Job completed");
	else
		event_emit(p->w->events, p->job, "Warning", reason, "%s", message);
}

static int end_pods(struct job_pass *p, struct error *err)
{
	return crowd_shrink(p->w, p->job, p->active, json_array_size(p->active), err);
}

/** 1: the Job has reached an end and needs no more pods; 0: it goes on. */
static int step_end(struct job_pass *p, struct error *err)
{
	if (!holds(p, "SuccessCriteriaMet") && !holds(p, "FailureTarget")) {
		find_success(p);
		if (!holds(p, "SuccessCriteriaMet"))
			find_failure(p);
	}
	bool good = holds(p, "SuccessCriteriaMet"), bad = holds(p, "FailureTarget");
	if (!good && !bad)
		return 0;
	if (json_array_size(p->active) == 0 && p->terminating == 0)
		finish(p, good ? "SuccessCriteriaMet" : "FailureTarget", good ? "Complete" : "Failed");
	int rc = end_pods(p, err);
	return rc < 0 ? rc : 1;
}

/* ---- running ---- */

/** 1: it is suspended. */
static int step_suspend(struct job_pass *p, struct error *err)
{
	if (p->suspended) {
		if (put_condition(p, "Suspended", true, "JobSuspended", "Job suspended"))
			event_emit(p->w->events, p->job, "Normal", "Suspended", "Job suspended");
		p->start = NULL;
		int rc = end_pods(p, err);
		return rc < 0 ? rc : 1;
	}
	if (holds(p, "Suspended")) {
		(void)put_condition(p, "Suspended", false, "JobResumed", "Job resumed");
		event_emit(p->w->events, p->job, "Normal", "Resumed", "Job resumed");
		p->start = p->now;
	}
	if (p->start == NULL)
		p->start = p->now;
	return 0;
}

static int64_t wanted(const struct job_pass *p)
{
	int64_t active = (int64_t)json_array_size(p->active);
	if (!p->many)
		return p->succeeded > 0 ? active : p->parallelism;
	int64_t left = p->completions - p->succeeded;
	return left < p->parallelism ? left : p->parallelism;
}

/** After a failure the next pod waits: 10 s, 20 s, ... 6 min. True: not yet. */
static bool backs_off(struct job_pass *p)
{
	if (p->failed == 0 || p->last_failure == 0)
		return false;
	int64_t delay = BACKOFF_FIRST_NS;
	for (int64_t i = 1; i < p->failed && delay < BACKOFF_MAX_NS; i++)
		delay *= 2;
	if (delay > BACKOFF_MAX_NS)
		delay = BACKOFF_MAX_NS;
	int64_t left = p->last_failure + delay - clock_wall_ns();
	wait_at_most(p, left);
	return left > 0;
}

static int step_pods(struct job_pass *p, struct error *err)
{
	int64_t have = (int64_t)json_array_size(p->active), want = wanted(p);
	if (have > want)
		return crowd_shrink(p->w, p->job, p->active, (size_t)(have - want), err);
	if (strcmp(json_str(p->job, "spec.podReplacementPolicy", ""), "Failed") == 0)
		have += p->terminating;
	if (have >= want || backs_off(p))
		return 0;
	return crowd_create(p->w, &KUBE_JOB, p->job, p->pods, (size_t)(want - have), err);
}

/* ---- status ---- */

static json_t *status_of(const struct job_pass *p)
{
	json_t *s = json_pack("{s:I, s:I, s:I, s:I, s:I, s:O, s:{}}", "active", (json_int_t)json_array_size(p->active),
			      "ready", (json_int_t)p->ready, "succeeded", (json_int_t)p->succeeded, "failed",
			      (json_int_t)p->failed, "terminating", (json_int_t)p->terminating, "conditions",
			      p->conditions, "uncountedTerminatedPods");
	int rc = json_object_set_new(s, "startTime", p->start != NULL ? json_string(p->start) : json_null());
	if (rc == 0 && p->finished && holds(p, "Complete"))
		rc = json_object_set_new(s, "completionTime", json_string(p->now));
	if (rc < 0) {
		json_decref(s);
		return NULL;
	}
	return s;
}

/* ---- after the end ---- */

/** A Job that has ended goes after ttlSecondsAfterFinished, if it says so. */
static int reap(struct workload *w, const json_t *job, const json_t *end, struct reconcile_result *ret,
		struct error *err)
{
	const json_t *ttl = json_at(job, "spec.ttlSecondsAfterFinished");
	int64_t since = 0;
	if (!json_is_integer(ttl) || clock_parse_rfc3339(json_str(end, "lastTransitionTime", ""), &since) < 0)
		return 0;
	int64_t left = since + (int64_t)json_integer_value(ttl) * NSEC_PER_SEC - clock_wall_ns();
	if (left > 0) {
		ret->requeue_after_ns = left;
		return 0;
	}
	const struct kube_delete_options o = {.grace_seconds = -1, .uid = obj_uid(job), .propagation = "Background"};
	int rc = kube_delete(w->client, &KUBE_JOB, obj_namespace(job), obj_name(job), &o, err);
	return rc == -ENOENT || rc == -ESTALE ? 0 : rc;
}

/* ---- a pass ---- */

static int run_steps(struct job_pass *p, struct error *err)
{
	int rc = step_end(p, err);
	if (rc == 0)
		rc = step_suspend(p, err);
	if (rc == 0)
		rc = step_pods(p, err);
	return rc < 0 ? rc : 0;
}

static bool takes_any(const json_t *job, const json_t *pod)
{
	(void)job;
	(void)pod;
	return true; /* its selector holds the job's own uid */
}

static int reconcile(void *ctx, const char *ns, const char *name, struct reconcile_result *ret, struct error *err)
{
	struct workload *w = ctx;
	JSON_AUTO job = informer_get(w->jobs, ns, name);
	const char *managed = json_str(job, "spec.managedBy", "kubernetes.io/job-controller");
	if (job == NULL || obj_deleting(job) || strcmp(managed, "kubernetes.io/job-controller") != 0)
		return 0;
	const json_t *end = obj_job_end(job);
	if (end != NULL)
		return reap(w, job, end, ret, err);
	const char *why_not = refusal(job);
	if (why_not != NULL) {
		event_emit(w->events, job, "Warning", "Unsupported", "%s", why_not);
		return 0;
	}
	int rc = workload_adopt_pods(w, &KUBE_JOB, job, takes_any, err);
	if (rc != 0)
		return rc < 0 ? rc : 0;
	CLEANUP(pass_clear) struct job_pass p = {.w = w, .job = job};
	rc = pass_begin(&p, err);
	if (rc < 0)
		return rc;
	struct error status_err = {0};
	rc = run_steps(&p, err);
	int status_rc = workload_patch_status(w, &KUBE_JOB, job, status_of(&p), &status_err);
	ret->requeue_after_ns = p.wait_ns;
	if (rc == 0 && status_rc < 0 && err != NULL)
		*err = status_err;
	return rc < 0 ? rc : status_rc;
}

int workload_add_job(struct workload *w, struct error *err)
{
	struct controller *c = NULL;
	const struct controller_options o = {.name = "job", .reconcile = reconcile, .ctx = w};
	w->jobs = manager_informer(w->manager, &KUBE_JOB);
	if (w->jobs == NULL)
		return error_set(err, -ENOMEM, "job controller: out of memory");
	int rc = controller_new(w->manager, &o, &c, err);
	if (rc < 0)
		return rc;
	rc = controller_watch(c, &KUBE_JOB);
	if (rc == 0)
		rc = controller_watch_owned(c, &KUBE_POD, &KUBE_JOB);
	return rc == 0 ? 0 : error_set(err, rc, "job controller: out of memory");
}
