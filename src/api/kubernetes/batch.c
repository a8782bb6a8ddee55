/* Job and CronJob. */
#include "api/kubernetes/table.h"

/* One field a line. */
/* clang-format off */

static const struct field batch_v1_cron_job_fields[] = {
	TYPE_META,
	OBJ("metadata", 1, object_meta_schema, DOC("Names, labels, owners and more.")),
	OBJ("spec", 2, batch_v1_cron_job_spec, DOC("What the object should be.")),
	OBJ("status", 3, batch_v1_cron_job_status, DEFAULT("{}"), DOC("What is known of the object.")),
	FIELD_END,
};
TYPE(batch_v1_cron_job, "batch.v1.CronJob", .doc = "Jobs at certain times.");

static const struct field batch_v1_cron_job_spec_fields[] = {
	STRING("schedule", 1, REQUIRED, DOC("When: minute, hour, day, month and weekday, as cron has it.")),
	INT64("startingDeadlineSeconds", 2, OPTIONAL, AT_LEAST(0), DOC("How late a job may still start.")),
	STRING("concurrencyPolicy", 3, ONE_OF("Allow", "Forbid", "Replace"), DEFAULT("\"Allow\""),
		DOC("What happens when the last job still runs.")),
	BOOL("suspend", 4, OPTIONAL, DEFAULT("false"), DOC("Whether no jobs are made for now.")),
	OBJ("jobTemplate", 5, batch_v1_job_template_spec, REQUIRED, DOC("What the jobs look like.")),
	INT32("successfulJobsHistoryLimit", 6, OPTIONAL, AT_LEAST(0), DEFAULT("3"),
		DOC("Jobs kept that succeeded.")),
	INT32("failedJobsHistoryLimit", 7, OPTIONAL, AT_LEAST(0), DEFAULT("1"), DOC("Jobs kept that failed.")),
	STRING("timeZone", 8, OPTIONAL, DOC("Time zone of the schedule, as Europe/Berlin.")),
	FIELD_END,
};
TYPE(batch_v1_cron_job_spec, "batch.v1.CronJobSpec", .doc = "What the CronJob should be.");

static const struct field batch_v1_cron_job_status_fields[] = {
	LIST("active", 1, core_v1_object_reference),
	TIME("lastScheduleTime", 4),
	TIME("lastSuccessfulTime", 5),
	FIELD_END,
};
TYPE(batch_v1_cron_job_status, "batch.v1.CronJobStatus", .doc = "What is known of the CronJob.");

static const struct field batch_v1_job_fields[] = {
	TYPE_META,
	OBJ("metadata", 1, object_meta_schema, DOC("Names, labels, owners and more.")),
	OBJ("spec", 2, batch_v1_job_spec, DOC("What the object should be.")),
	OBJ("status", 3, batch_v1_job_status, DEFAULT("{}"), DOC("What is known of the object.")),
	FIELD_END,
};
TYPE(batch_v1_job, "batch.v1.Job", .doc = "Pods that run until they have succeeded.");

static const struct field batch_v1_job_condition_fields[] = {
	STRING("type", 1, REQUIRED),
	STRING("status", 2, REQUIRED, DOC("True, False or Unknown.")),
	TIME("lastProbeTime", 3),
	TIME("lastTransitionTime", 4),
	STRING("reason", 5),
	STRING("message", 6),
	FIELD_END,
};
TYPE(batch_v1_job_condition, "batch.v1.JobCondition");

static const struct field batch_v1_job_spec_fields[] = {
	INT32("parallelism", 1, OPTIONAL, AT_LEAST(0), DOC("Pods that run at the same time.")),
	INT32("completions", 2, OPTIONAL, AT_LEAST(0), DOC("Pods that must succeed.")),
	INT64("activeDeadlineSeconds", 3, OPTIONAL, AT_LEAST(0), DOC("After how long the job is ended.")),
	OBJ("selector", 4, meta_v1_label_selector,
		DOC("Labels of the pods; made by the server unless manualSelector is set.")),
	BOOL("manualSelector", 5, OPTIONAL, DOC("Whether the selector is the user's own.")),
	OBJ("template", 6, core_v1_pod_template_spec, REQUIRED, DOC("What the pods look like.")),
	INT32("backoffLimit", 7, OPTIONAL, AT_LEAST(0), DOC("Failed pods after which the job has failed.")),
	INT32("ttlSecondsAfterFinished", 8, OPTIONAL, AT_LEAST(0),
		DOC("How long the job is kept when it has ended.")),
	STRING("completionMode", 9, OPTIONAL, ONE_OF("NonIndexed", "Indexed"), DEFAULT("\"NonIndexed\""),
		DOC("Whether each pod has a number of its own.")),
	BOOL("suspend", 10, OPTIONAL, DEFAULT("false"), DOC("Whether no pods are made for now.")),
	OBJ("podFailurePolicy", 11, batch_v1_pod_failure_policy),
	INT32("backoffLimitPerIndex", 12, OPTIONAL, AT_LEAST(0)),
	INT32("maxFailedIndexes", 13, OPTIONAL, AT_LEAST(0)),
	STRING("podReplacementPolicy", 14, OPTIONAL, ONE_OF("Failed", "TerminatingOrFailed")),
	STRING("managedBy", 15, OPTIONAL, IMMUTABLE),
	OBJ("successPolicy", 16, batch_v1_success_policy),
	FIELD_END,
};
TYPE(batch_v1_job_spec, "batch.v1.JobSpec", .doc = "What the Job should be.");

static const struct field batch_v1_job_status_fields[] = {
	LIST("conditions", 1, batch_v1_job_condition, MERGE("type")),
	TIME("startTime", 2),
	TIME("completionTime", 3),
	INT32("active", 4),
	INT32("succeeded", 5),
	INT32("failed", 6),
	STRING("completedIndexes", 7),
	OBJ("uncountedTerminatedPods", 8, batch_v1_uncounted_terminated_pods),
	INT32("ready", 9, OPTIONAL),
	STRING("failedIndexes", 10, OPTIONAL),
	INT32("terminating", 11, OPTIONAL),
	FIELD_END,
};
TYPE(batch_v1_job_status, "batch.v1.JobStatus", .doc = "What is known of the Job.");

static const struct field batch_v1_job_template_spec_fields[] = {
	OBJ("metadata", 1, object_meta_schema, DEFAULT("{}"), DOC("Labels and annotations of the jobs.")),
	OBJ("spec", 2, batch_v1_job_spec, DOC("What the jobs should be.")),
	FIELD_END,
};
TYPE(batch_v1_job_template_spec, "batch.v1.JobTemplateSpec");

static const struct field batch_v1_pod_failure_policy_fields[] = {
	LIST("rules", 1, batch_v1_pod_failure_policy_rule, REQUIRED),
	FIELD_END,
};
TYPE(batch_v1_pod_failure_policy, "batch.v1.PodFailurePolicy");

static const struct field batch_v1_pod_failure_policy_on_exit_codes_requirement_fields[] = {
	STRING("containerName", 1, OPTIONAL),
	STRING("operator", 2, REQUIRED, ONE_OF("In", "NotIn")),
	INT32S("values", 3, REQUIRED, SET),
	FIELD_END,
};
TYPE(batch_v1_pod_failure_policy_on_exit_codes_requirement, "batch.v1.PodFailurePolicyOnExitCodesRequirement");

static const struct field batch_v1_pod_failure_policy_on_pod_conditions_pattern_fields[] = {
	STRING("type", 1, REQUIRED),
	STRING("status", 2, REQUIRED),
	FIELD_END,
};
TYPE(batch_v1_pod_failure_policy_on_pod_conditions_pattern, "batch.v1.PodFailurePolicyOnPodConditionsPattern");

static const struct field batch_v1_pod_failure_policy_rule_fields[] = {
	STRING("action", 1, REQUIRED, ONE_OF("Count", "FailIndex", "FailJob", "Ignore")),
	OBJ("onExitCodes", 2, batch_v1_pod_failure_policy_on_exit_codes_requirement),
	LIST("onPodConditions", 3, batch_v1_pod_failure_policy_on_pod_conditions_pattern),
	FIELD_END,
};
TYPE(batch_v1_pod_failure_policy_rule, "batch.v1.PodFailurePolicyRule");

static const struct field batch_v1_success_policy_fields[] = {
	LIST("rules", 1, batch_v1_success_policy_rule, REQUIRED),
	FIELD_END,
};
TYPE(batch_v1_success_policy, "batch.v1.SuccessPolicy");

static const struct field batch_v1_success_policy_rule_fields[] = {
	STRING("succeededIndexes", 1, OPTIONAL),
	INT32("succeededCount", 2, OPTIONAL, AT_LEAST(0)),
	FIELD_END,
};
TYPE(batch_v1_success_policy_rule, "batch.v1.SuccessPolicyRule");

static const struct field batch_v1_uncounted_terminated_pods_fields[] = {
	STRINGS("succeeded", 1, SET),
	STRINGS("failed", 2, SET),
	FIELD_END,
};
TYPE(batch_v1_uncounted_terminated_pods, "batch.v1.UncountedTerminatedPods");
