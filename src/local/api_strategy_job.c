/* Job and CronJob: what the server sets, keeps and refuses. */
#include <string.h>

#include "api/schema.h"
#include "base/cleanup.h"
#include "local/api_internal.h"
#include "local/api_strategy.h"
#include "local/cron.h"
#include "json/json.h"

#define UID_LABEL         "batch.kubernetes.io/controller-uid"
#define NAME_LABEL        "batch.kubernetes.io/job-name"
#define CRON_JOB_NAME_MAX 52 /* a job's name has 11 characters more, and a label holds it */

static int put_label(json_t *obj, const char *path, const char *key, const char *value)
{
	if (!json_is_object(json_at(obj, path)) && json_put(obj, path, json_object()) < 0)
		return -ENOMEM;
	return json_object_set_new(json_at(obj, path), key, json_string(value));
}

/** Unless the user has a selector of his own, the job's pods are found by its uid. */
static int job_create(struct api_request *r, json_t *obj)
{
	static const char *const path = "spec.template.metadata.labels";
	const char *uid = json_str(obj, "metadata.uid", ""), *name = json_str(obj, "metadata.name", "");
	if (json_bool(obj, "spec.manualSelector", false) || json_at(obj, "spec.selector") != NULL ||
	    json_at(obj, "spec.template") == NULL)
		return 0; /* a selector without manualSelector is refused below */
	int rc = put_label(obj, path, "controller-uid", uid);
	rc |= put_label(obj, path, UID_LABEL, uid);
	rc |= put_label(obj, path, "job-name", name);
	rc |= put_label(obj, path, NAME_LABEL, name);
	rc |= put_label(obj, "spec.selector.matchLabels", UID_LABEL, uid);
	return rc == 0 ? 0 : api_fail_memory(r);
}

static int job_spec_fill(json_t *spec)
{
	int rc = 0;
	bool completions = json_object_get(spec, "completions") != NULL;
	if (json_object_get(spec, "parallelism") == NULL) {
		rc |= json_put_int(spec, "parallelism", 1);
		if (!completions)
			rc |= json_put_int(spec, "completions", 1);
	}
	if (json_object_get(spec, "backoffLimit") == NULL)
		rc |= json_put_int(spec, "backoffLimit",
				   json_object_get(spec, "backoffLimitPerIndex") != NULL ? INT32_MAX : 6);
	if (json_object_get(spec, "podReplacementPolicy") == NULL)
		rc |= json_put_str(spec, "podReplacementPolicy",
				   json_object_get(spec, "podFailurePolicy") != NULL ? "Failed"
										     : "TerminatingOrFailed");
	return rc == 0 ? 0 : -ENOMEM;
}

static int job_fill(json_t *obj, const json_t *old)
{
	(void)old;
	json_t *spec = json_object_get(obj, "spec"), *labels = json_at(spec, "template.metadata.labels");
	if (!json_is_object(spec))
		return 0;
	if (json_object_size(json_at(obj, "metadata.labels")) == 0 && json_object_size(labels) > 0 &&
	    json_put(obj, "metadata.labels", json_deep_copy(labels)) < 0)
		return -ENOMEM;
	if (job_spec_fill(spec) < 0)
		return -ENOMEM;
	return api_template_fill(json_object_get(spec, "template"));
}

static void check_restart(const json_t *spec, const char *path, struct violations *vs)
{
	const char *policy = json_str(spec, "template.spec.restartPolicy", "");
	if (strcmp(policy, "OnFailure") != 0 && strcmp(policy, "Never") != 0)
		violation_add(vs, path, "FieldValueRequired", "Required value: valid values: \"OnFailure\", \"Never\"");
}

static void job_validate(const json_t *old, const json_t *obj, struct violations *vs)
{
	static const char *const fixed[] = {"spec.selector", "spec.template", "spec.completionMode",
					    "spec.podFailurePolicy", "spec.backoffLimitPerIndex"};
	const json_t *selector = json_at(obj, "spec.selector");
	bool manual = json_bool(obj, "spec.manualSelector", false);
	const char *uid = json_string_value(json_object_get(json_at(selector, "matchLabels"), UID_LABEL)) ?: "";
	if (selector == NULL)
		violation_add(vs, "spec.selector", "FieldValueRequired", "Required value");
	else if (!manual && strcmp(uid, json_str(obj, "metadata.uid", "")) != 0)
		violation_add(vs, "spec.selector", "FieldValueInvalid", "Invalid value: `selector` not auto-generated");
	check_restart(json_object_get(obj, "spec"), "spec.template.spec.restartPolicy", vs);
	bool indexed = strcmp(json_str(obj, "spec.completionMode", ""), "Indexed") == 0;
	if (indexed && json_at(obj, "spec.completions") == NULL)
		violation_add(vs, "spec.completions", "FieldValueRequired",
			      "Required value: when completion mode is Indexed");
	for (size_t i = 0; i < ARRAY_LEN(fixed); i++)
		api_check_same(old, obj, fixed[i], vs);
	if (!indexed)
		api_check_same(old, obj, "spec.completions", vs);
}

static int cron_job_fill(json_t *obj, const json_t *old)
{
	(void)old;
	return api_template_fill(json_at(obj, "spec.jobTemplate.spec.template"));
}

static void cron_job_validate(const json_t *old, const json_t *obj, struct violations *vs)
{
	const char *schedule = json_str(obj, "spec.schedule", ""), *name = json_str(obj, "metadata.name", "");
	char wrong[CRON_WRONG_MAX];
	struct cron cron;
	if (old == NULL && strlen(name) > CRON_JOB_NAME_MAX)
		violation_add(vs, "metadata.name", "FieldValueInvalid",
			      "Invalid value: \"%s\": must be no more than %d characters", name, CRON_JOB_NAME_MAX);
	if (schedule[0] == '\0')
		violation_add(vs, "spec.schedule", "FieldValueRequired", "Required value");
	else if (strstr(schedule, "TZ") != NULL)
		violation_add(vs, "spec.schedule", "FieldValueInvalid",
			      "Invalid value: \"%s\": cannot use TZ or CRON_TZ in schedule, use timeZone field instead",
			      schedule);
	else if (!cron_parse(schedule, &cron, wrong))
		violation_add(vs, "spec.schedule", "FieldValueInvalid", "Invalid value: \"%s\": %s", schedule, wrong);
	if (json_at(obj, "spec.jobTemplate.spec.manualSelector") != NULL ||
	    json_at(obj, "spec.jobTemplate.spec.selector") != NULL)
		violation_add(vs, "spec.jobTemplate.spec.selector", "FieldValueInvalid",
			      "Invalid value: `selector` will be auto-generated");
	check_restart(json_at(obj, "spec.jobTemplate.spec"), "spec.jobTemplate.spec.template.spec.restartPolicy", vs);
}

const struct api_strategy api_job_strategies[] = {
	{"batch", "jobs", "{}", job_create, NULL, job_fill, job_validate},
	{"batch", "cronjobs", "{}", NULL, NULL, cron_job_fill, cron_job_validate},
	{NULL},
};
