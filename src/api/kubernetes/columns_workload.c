/* Columns of Deployment, ReplicaSet, ControllerRevision, Job and CronJob. */
#include "api/kubernetes/columns.h"

#include <ctype.h>
#include <string.h>

#include "base/clock.h"
#include "base/strbuf.h"
#include "json/json.h"

RENDER(deployment_ready)
{
	(void)now;
	return json_sprintf("%lld/%lld", (long long)json_int(obj, "status.readyReplicas", 0),
			    (long long)json_int(obj, "spec.replicas", 0));
}

RENDER_INT(deployment_updated, "status.updatedReplicas")
RENDER_INT(deployment_available, "status.availableReplicas")

const struct column deployment_columns[] = {
	COLUMN_NAME,
	COLUMN("Ready", "string", deployment_ready, "Pods that are ready, of those that should run."),
	COLUMN("Up-to-date", "string", deployment_updated, "Pods of the newest template."),
	COLUMN("Available", "string", deployment_available, "Pods that have been ready long enough."),
	COLUMN_AGE,
	WIDE("Containers", "string", render_containers, "Names of the containers."),
	WIDE("Images", "string", render_images, "Images of the containers."),
	WIDE("Selector", "string", render_selector, "Labels of the pods."),
	COLUMN_END,
};

RENDER_INT(replica_set_desired, "spec.replicas")
RENDER_INT(replica_set_current, "status.replicas")
RENDER_INT(replica_set_ready, "status.readyReplicas")

const struct column replica_set_columns[] = {
	COLUMN_NAME,
	COLUMN("Desired", "integer", replica_set_desired, "Pods that should run."),
	COLUMN("Current", "integer", replica_set_current, "Pods there are."),
	COLUMN("Ready", "integer", replica_set_ready, "Pods that are ready."),
	COLUMN_AGE,
	WIDE("Containers", "string", render_containers, "Names of the containers."),
	WIDE("Images", "string", render_images, "Images of the containers."),
	WIDE("Selector", "string", render_selector, "Labels of the pods."),
	COLUMN_END,
};

/** "statefulset.apps/web". */
RENDER(controller_revision_owner)
{
	(void)now;
	size_t i;
	json_t *owner;
	json_array_foreach (json_at(obj, "metadata.ownerReferences"), i, owner) {
		if (!json_bool(owner, "controller", false))
			continue;
		struct strbuf b = STRBUF_INIT(1024);
		for (const char *c = json_str(owner, "kind", ""); *c != '\0'; c++)
			strbuf_addc(&b, (char)tolower((unsigned char)*c));
		const char *version = json_str(owner, "apiVersion", ""), *slash = strchr(version, '/');
		if (slash != NULL)
			strbuf_addf(&b, ".%.*s", (int)(slash - version), version);
		strbuf_addf(&b, "/%s", json_str(owner, "name", ""));
		return cell_take(&b, NONE);
	}
	return json_string(NONE);
}

RENDER_INT(controller_revision_number, "revision")

const struct column controller_revision_columns[] = {
	COLUMN_NAME,
	COLUMN("Controller", "string", controller_revision_owner, "Whose state this was."),
	COLUMN("Revision", "string", controller_revision_number, "Number of the state."),
	COLUMN_AGE,
	COLUMN_END,
};

/* Jobs */

static bool has_condition(const json_t *obj, const char *type)
{
	size_t i;
	json_t *c;
	json_array_foreach (json_at(obj, "status.conditions"), i, c)
		if (strcmp(json_str(c, "type", ""), type) == 0 && strcmp(json_str(c, "status", ""), "True") == 0)
			return true;
	return false;
}

RENDER(job_status)
{
	(void)now;
	static const char *const conditions[] = {"Complete", "Failed", "Suspended", "FailureTarget",
						 "SuccessCriteriaMet"};
	for (size_t i = 0; i < sizeof conditions / sizeof conditions[0]; i++) {
		if (i == 2 && json_at(obj, "metadata.deletionTimestamp") != NULL)
			return json_string("Terminating"); /* unless it has ended already */
		if (has_condition(obj, conditions[i]))
			return json_string(conditions[i]);
	}
	return json_string("Running");
}

RENDER(job_completions)
{
	(void)now;
	const long long done = (long long)json_int(obj, "status.succeeded", 0),
			parallel = (long long)json_int(obj, "spec.parallelism", 0);
	if (json_at(obj, "spec.completions") != NULL)
		return json_sprintf("%lld/%lld", done, (long long)json_int(obj, "spec.completions", 0));
	return parallel > 1 ? json_sprintf("%lld/1 of %lld", done, parallel) : json_sprintf("%lld/1", done);
}

RENDER(job_duration)
{
	int64_t start = 0, end = now;
	const char *from = json_str(obj, "status.startTime", NULL), *to = json_str(obj, "status.completionTime", NULL);
	if (from == NULL || clock_parse_rfc3339(from, &start) < 0)
		return json_string("");
	if (to != NULL && clock_parse_rfc3339(to, &end) < 0)
		return json_string(UNKNOWN);
	char text[32];
	human_duration(end - start, text);
	return json_string(text);
}

const struct column job_columns[] = {
	COLUMN_NAME,
	COLUMN("Status", "string", job_status, "How far the job is."),
	COLUMN("Completions", "string", job_completions, "Pods that succeeded, of those that must."),
	COLUMN("Duration", "string", job_duration, "How long it ran or has been running."),
	COLUMN_AGE,
	WIDE("Containers", "string", render_containers, "Names of the containers."),
	WIDE("Images", "string", render_images, "Images of the containers."),
	WIDE("Selector", "string", render_selector, "Labels of the pods."),
	COLUMN_END,
};

#define CRON_JOB "spec.jobTemplate.spec."

RENDER_STRING(cron_job_schedule, "spec.schedule", "")
RENDER_STRING(cron_job_zone, "spec.timeZone", NONE)

RENDER(cron_job_suspend)
{
	(void)now;
	return json_string(json_bool(obj, "spec.suspend", false) ? "True" : "False");
}

RENDER(cron_job_active)
{
	(void)now;
	return json_integer((json_int_t)json_array_size(json_at(obj, "status.active")));
}

RENDER(cron_job_last)
{
	const char *at = json_str(obj, "status.lastScheduleTime", NULL);
	return at != NULL ? cell_since(at, now) : json_string(NONE);
}

RENDER(cron_job_containers)
{
	(void)now;
	return cell_containers(json_at(obj, CRON_JOB "template.spec.containers"), "name");
}

RENDER(cron_job_images)
{
	(void)now;
	return cell_containers(json_at(obj, CRON_JOB "template.spec.containers"), "image");
}

RENDER(cron_job_selector)
{
	(void)now;
	return cell_selector(json_at(obj, CRON_JOB "selector"));
}

const struct column cron_job_columns[] = {
	COLUMN_NAME,
	COLUMN("Schedule", "string", cron_job_schedule, "When jobs are made."),
	COLUMN("Timezone", "string", cron_job_zone, "Time zone of the schedule."),
	COLUMN("Suspend", "boolean", cron_job_suspend, "Whether no jobs are made for now."),
	COLUMN("Active", "integer", cron_job_active, "Jobs that run."),
	COLUMN("Last Schedule", "string", cron_job_last, "How long ago a job was made."),
	COLUMN_AGE,
	WIDE("Containers", "string", cron_job_containers, "Names of the containers."),
	WIDE("Images", "string", cron_job_images, "Images of the containers."),
	WIDE("Selector", "string", cron_job_selector, "Labels of the pods."),
	COLUMN_END,
};
