/*
 * CronJob: Jobs at the times of a schedule. A Job's name follows from the time that it is for, so that no time has two, whatever a cache
 * does not know yet. Of several times that were missed the last one counts.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/error.h"
#include "base/zone.h"
#include "local/cron.h"
#include "local/workload_pods.h"
#include "local/workload_private.h"
#include "json/json.h"

#define INDEX_JOB_OWNER "workload/cronjob"
#define LOOK_NS         (60 * NSEC_PER_SEC) /* the clock may be put forward meanwhile */
#define JOB_NAME_MAX    80
#define AT_ANNOTATION   "batch.kubernetes.io/cronjob-scheduled-timestamp"

struct cron_pass {
	struct workload *w;
	const json_t *cj;
	json_t *jobs;   /* all that it has */
	json_t *active; /* status.active as it will be */
	struct cron cron;
	struct zone *zone;
	int64_t now_s, wait_ns;
	char last_schedule[32], last_success[32]; /* as they will be; "": unset */
};

static void pass_clear(struct cron_pass *p)
{
	json_decref(p->jobs);
	json_decref(p->active);
	zone_free(p->zone);
}

/* ---- its Jobs ---- */

/* "Complete" or "Failed"; NULL: it runs. */
static const char *ended_as(const json_t *job)
{
	return json_str(obj_job_end(job), "type", NULL);
}

static const json_t *job_of_uid(const struct cron_pass *p, const char *uid)
{
	size_t i;
	json_t *job;
	json_array_foreach (p->jobs, i, job)
		if (strcmp(obj_uid(job), uid) == 0)
			return job;
	return NULL;
}

static bool was_active(const struct cron_pass *p, const char *uid)
{
	size_t i;
	json_t *ref;
	json_array_foreach (json_at(p->cj, "status.active"), i, ref)
		if (strcmp(json_str(ref, "uid", ""), uid) == 0)
			return true;
	return false;
}

static int add_active(struct cron_pass *p, const json_t *job)
{
	return json_array_append_new(p->active,
				     json_pack("{s:s, s:s, s:s, s:s, s:s, s:s}", "apiVersion", "batch/v1", "kind",
					       "Job", "namespace", obj_namespace(job), "name", obj_name(job), "uid",
					       obj_uid(job), "resourceVersion", obj_resource_version(job)));
}

static void note_success(struct cron_pass *p, const json_t *job)
{
	const char *at = json_str(job, "status.completionTime", NULL);
	int64_t t = 0, best = INT64_MIN;
	if (at == NULL || clock_parse_rfc3339(at, &t) < 0)
		return;
	(void)clock_parse_rfc3339(p->last_success, &best); /* unset: before all times */
	if (t > best)
		clock_format_rfc3339(t, p->last_success);
}

/* One that was active and is not in the cache: so new that the cache does not have it yet, or gone. */
static int look_for(struct cron_pass *p, const json_t *ref, struct error *err)
{
	JSON_AUTO job = NULL;
	const char *name = json_str(ref, "name", "");
	int rc = kube_get(p->w->client, &KUBE_JOB, obj_namespace(p->cj), name, &job, err);
	if (rc == 0 && strcmp(obj_uid(job), json_str(ref, "uid", "")) == 0)
		return ended_as(job) != NULL || add_active(p, job) == 0 ? 0 : -ENOMEM;
	if (rc == 0 || rc == -ENOENT)
		event_emit(p->w->events, p->cj, "Normal", "MissingJob", "Active job went missing: %s", name);
	return rc == -ENOENT ? 0 : rc;
}

/* What ended, what is new, and what is gone without having ended. */
static int look_at_jobs(struct cron_pass *p, struct error *err)
{
	size_t i;
	json_t *job, *ref;
	int rc = 0;
	json_array_foreach (p->jobs, i, job) {
		const char *end = ended_as(job);
		if (end == NULL) {
			rc |= add_active(p, job);
			continue;
		}
		if (strcmp(end, "Complete") == 0)
			note_success(p, job);
		if (was_active(p, obj_uid(job)))
			event_emit(p->w->events, p->cj, "Normal", "SawCompletedJob",
				   "Saw completed job: %s, condition: %s", obj_name(job), end);
	}
	if (rc < 0)
		return error_set(err, -ENOMEM, "CronJob %s: out of memory", obj_name(p->cj));
	json_array_foreach (json_at(p->cj, "status.active"), i, ref)
		if (rc == 0 && job_of_uid(p, json_str(ref, "uid", "")) == NULL)
			rc = look_for(p, ref, err);
	return rc;
}

static int remove_job(struct cron_pass *p, const json_t *job, struct error *err)
{
	const struct kube_delete_options o = {.grace_seconds = -1, .uid = obj_uid(job), .propagation = "Background"};
	int rc = kube_delete(p->w->client, &KUBE_JOB, obj_namespace(job), obj_name(job), &o, err);
	if (rc < 0)
		return rc == -ENOENT || rc == -ESTALE ? 0 : rc;
	event_emit(p->w->events, p->cj, "Normal", "SuccessfulDelete", "Deleted job %s", obj_name(job));
	return 0;
}

static const json_t *oldest_ended(const struct cron_pass *p, const char *end, const json_t *removed)
{
	const json_t *oldest = NULL;
	size_t i;
	json_t *job;
	json_array_foreach (p->jobs, i, job) {
		const char *e = ended_as(job);
		if (e == NULL || strcmp(e, end) != 0 || json_object_get(removed, obj_name(job)) != NULL)
			continue;
		/* times of one form: their order is that of their text */
		if (oldest == NULL ||
		    strcmp(json_str(job, "status.startTime", ""), json_str(oldest, "status.startTime", "")) < 0)
			oldest = job;
	}
	return oldest;
}

/* No more Jobs that ended as @end than the history is to hold. */
static int trim_history(struct cron_pass *p, const char *end, int64_t keep, struct error *err)
{
	JSON_AUTO removed = json_object();
	int64_t have = 0;
	int rc = removed != NULL ? 0 : -ENOMEM;
	size_t i;
	json_t *job;
	json_array_foreach (p->jobs, i, job) {
		const char *e = ended_as(job);
		have += e != NULL && strcmp(e, end) == 0;
	}
	for (; rc == 0 && have > keep; have--) {
		const json_t *oldest = oldest_ended(p, end, removed);
		rc = oldest != NULL ? remove_job(p, oldest, err) : 0;
		if (rc == 0 && oldest != NULL)
			rc = json_object_set_new(removed, obj_name(oldest), json_true()) == 0 ? 0 : -ENOMEM;
	}
	return rc == -ENOMEM ? error_set(err, -ENOMEM, "CronJob %s: out of memory", obj_name(p->cj)) : rc;
}

static int step_history(struct cron_pass *p, struct error *err)
{
	int rc = trim_history(p, "Complete", json_int(p->cj, "spec.successfulJobsHistoryLimit", 3), err);
	return rc < 0 ? rc : trim_history(p, "Failed", json_int(p->cj, "spec.failedJobsHistoryLimit", 1), err);
}

/* ---- its times ---- */

/* Times up to this one have been looked after. */
static int64_t looked_after_s(const struct cron_pass *p)
{
	int64_t t = 0;
	const char *last = json_str(p->cj, "status.lastScheduleTime", NULL);
	if (last == NULL || clock_parse_rfc3339(last, &t) < 0)
		(void)clock_parse_rfc3339(json_str(p->cj, "metadata.creationTimestamp", ""), &t); /* the server's own */
	return t / NSEC_PER_SEC;
}

static void wait_for_next(struct cron_pass *p)
{
	const int64_t next = cron_next(&p->cron, p->zone, p->now_s);
	p->wait_ns = next == INT64_MAX ? LOOK_NS : next * NSEC_PER_SEC - clock_wall_ns();
	if (p->wait_ns > LOOK_NS)
		p->wait_ns = LOOK_NS;
	if (p->wait_ns <= 0)
		p->wait_ns = NSEC_PER_MSEC;
}

static json_t *job_at(const struct cron_pass *p, int64_t at_s)
{
	char name[JOB_NAME_MAX], at[32];
	(void)snprintf(name, sizeof name, "%.52s-%" PRId64, obj_name(p->cj),
		       at_s / 60); /* as long as the server lets them be */
	clock_format_rfc3339(at_s * NSEC_PER_SEC, at);
	JSON_AUTO job = object_from_template(&KUBE_JOB, json_at(p->cj, "spec.jobTemplate"), &KUBE_CRONJOB, p->cj, name);
	json_t *meta = json_object_get(job, "metadata"), *notes = json_object_get(meta, "annotations");
	if (job == NULL || (notes == NULL && json_object_set_new(meta, "annotations", json_object()) < 0) ||
	    json_object_set_new(json_object_get(meta, "annotations"), AT_ANNOTATION, json_string(at)) < 0)
		return NULL;
	return TAKE(job);
}

static int start_job(struct cron_pass *p, int64_t at_s, struct error *err)
{
	JSON_AUTO job = job_at(p, at_s);
	JSON_AUTO made = NULL;
	if (job == NULL)
		return error_set(err, -ENOMEM, "CronJob %s: out of memory", obj_name(p->cj));
	int rc = kube_create(p->w->client, &KUBE_JOB, obj_namespace(p->cj), job, &made, err);
	if (rc < 0 && rc != -EEXIST) {
		event_emit(p->w->events, p->cj, "Warning", "FailedCreate", "Error creating job: %s",
			   err != NULL ? err->msg : strerror(-rc));
		return rc;
	}
	if (rc == 0) {
		event_emit(p->w->events, p->cj, "Normal", "SuccessfulCreate", "Created job %s", obj_name(made));
		if (add_active(p, made) < 0)
			return error_set(err, -ENOMEM, "CronJob %s: out of memory", obj_name(p->cj));
	}
	clock_format_rfc3339(at_s * NSEC_PER_SEC, p->last_schedule);
	return 0;
}

/* What concurrencyPolicy says while a Job of it runs. 1: the time may have its Job. */
static int make_room(struct cron_pass *p, struct error *err)
{
	const char *policy = json_str(p->cj, "spec.concurrencyPolicy", "Allow");
	if (json_array_size(p->active) == 0 || strcmp(policy, "Allow") == 0)
		return 1;
	if (strcmp(policy, "Forbid") == 0) {
		event_emit(p->w->events, p->cj, "Normal", "JobAlreadyActive",
			   "Not starting job because prior execution is running and concurrency policy is Forbid");
		return 0;
	}
	size_t i;
	json_t *job;
	int rc = 0;
	json_array_foreach (p->jobs, i, job)
		if (rc == 0 && ended_as(job) == NULL && !obj_deleting(job))
			rc = remove_job(p, job, err);
	(void)json_array_clear(p->active);
	return rc < 0 ? rc : 1;
}

static int step_schedule(struct cron_pass *p, struct error *err)
{
	if (json_bool(p->cj, "spec.suspend", false))
		return 0;
	const json_t *limit = json_at(p->cj, "spec.startingDeadlineSeconds");
	int64_t after = looked_after_s(p);
	wait_for_next(p);
	const int64_t at = cron_last(&p->cron, p->zone, after, p->now_s);
	if (at == INT64_MIN)
		return 0;
	if (json_is_integer(limit) && at + json_integer_value(limit) < p->now_s) {
		char text[32];
		clock_format_rfc3339(at * NSEC_PER_SEC, text);
		event_emit(p->w->events, p->cj, "Warning", "MissSchedule", "Missed scheduled time to start a job: %s",
			   text);
		return 0;
	}
	int rc = make_room(p, err);
	return rc > 0 ? start_job(p, at, err) : rc;
}

/* ---- a pass ---- */

static json_t *status_of(const struct cron_pass *p)
{
	JSON_AUTO s = json_pack("{s:O}", "active", p->active);
	int rc = s != NULL ? 0 : -1;
	if (rc == 0 && p->last_schedule[0] != '\0')
		rc = json_object_set_new(s, "lastScheduleTime", json_string(p->last_schedule));
	if (rc == 0 && p->last_success[0] != '\0')
		rc = json_object_set_new(s, "lastSuccessfulTime", json_string(p->last_success));
	return rc == 0 ? TAKE(s) : NULL;
}

/* 1: go on; 0: its schedule or zone cannot be used here, which it is told. */
static int pass_begin(struct cron_pass *p, struct error *err)
{
	char wrong[CRON_WRONG_MAX];
	struct error why = {0};
	p->jobs = informer_list_by(p->w->jobs, INDEX_JOB_OWNER, obj_uid(p->cj));
	p->active = json_array();
	if (p->jobs == NULL || p->active == NULL)
		return error_set(err, -ENOMEM, "CronJob %s: out of memory", obj_name(p->cj));
	p->now_s = clock_wall_ns() / NSEC_PER_SEC;
	(void)snprintf(p->last_success, sizeof p->last_success, "%s", json_str(p->cj, "status.lastSuccessfulTime", ""));
	if (!cron_parse(json_str(p->cj, "spec.schedule", ""), &p->cron, wrong)) {
		event_emit(p->w->events, p->cj, "Warning", "UnparseableSchedule", "the schedule cannot be read: %s",
			   wrong);
		return 0;
	}
	int rc = zone_load(json_str(p->cj, "spec.timeZone", NULL), &p->zone, &why);
	if (rc == -ENOENT || rc == -EINVAL) {
		event_emit(p->w->events, p->cj, "Warning", "UnknownTimeZone", "invalid timeZone: %s", why.msg);
		return 0;
	}
	return rc < 0 ? error_set(err, rc, "%s", why.msg) : 1;
}

static int reconcile(void *ctx, const char *ns, const char *name, struct reconcile_result *ret, struct error *err)
{
	struct workload *w = ctx;
	JSON_AUTO cj = informer_get(w->cronjobs, ns, name);
	if (cj == NULL || obj_deleting(cj))
		return 0;
	CLEANUP(pass_clear) struct cron_pass p = {.w = w, .cj = cj};
	struct error status_err = {0};
	int rc = pass_begin(&p, err);
	if (rc <= 0)
		return rc;
	rc = look_at_jobs(&p, err);
	if (rc == 0)
		rc = step_history(&p, err);
	if (rc == 0)
		rc = step_schedule(&p, err);
	int status_rc = workload_patch_status(w, &KUBE_CRONJOB, cj, status_of(&p), &status_err);
	ret->requeue_after_ns = p.wait_ns;
	if (rc == 0 && status_rc < 0 && err != NULL)
		*err = status_err;
	return rc < 0 ? rc : status_rc;
}

static char *owner_of(const json_t *job)
{
	const char *uid = json_str(obj_controller_ref(job), "uid", NULL);
	return uid != NULL ? strdup(uid) : NULL;
}

int workload_add_cronjob(struct workload *w, struct error *err)
{
	struct controller *c = NULL;
	const struct controller_options o = {.name = "cronjob", .reconcile = reconcile, .ctx = w};
	w->cronjobs = manager_informer(w->manager, &KUBE_CRONJOB);
	if (w->cronjobs == NULL || informer_add_index(w->jobs, INDEX_JOB_OWNER, owner_of) < 0)
		return error_set(err, -ENOMEM, "cronjob controller: out of memory");
	int rc = controller_new(w->manager, &o, &c, err);
	if (rc < 0)
		return rc;
	rc = controller_watch(c, &KUBE_CRONJOB);
	if (rc == 0)
		rc = controller_watch_owned(c, &KUBE_JOB, &KUBE_CRONJOB);
	return rc == 0 ? 0 : error_set(err, rc, "cronjob controller: out of memory");
}
