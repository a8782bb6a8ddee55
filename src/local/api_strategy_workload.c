/* StatefulSet, DaemonSet, Deployment, ReplicaSet, ControllerRevision: what the server sets, keeps and refuses. */
#include <string.h>

#include "api/schema.h"
#include "base/cleanup.h"
#include "local/api_internal.h"
#include "local/api_strategy.h"
#include "json/json.h"

int api_template_fill(json_t *template)
{
	json_t *spec = json_object_get(template, "spec");
	if (json_is_object(template) && json_object_get(template, "metadata") == NULL &&
	    json_object_set_new(template, "metadata", json_object()) < 0)
		return -ENOMEM;
	return json_is_object(spec) ? api_pod_spec_default(spec) : 0;
}

static int template_fill(json_t *obj, const json_t *old)
{
	(void)old;
	return api_template_fill(json_at(obj, "spec.template"));
}

static int stateful_set_fill(json_t *obj, const json_t *old)
{
	size_t i;
	json_t *claim;
	if (strcmp(json_str(obj, "spec.updateStrategy.type", ""), "RollingUpdate") == 0 &&
	    json_at(obj, "spec.updateStrategy.rollingUpdate.partition") == NULL &&
	    json_put_int(obj, "spec.updateStrategy.rollingUpdate.partition", 0) < 0)
		return -ENOMEM;
	json_array_foreach (json_at(obj, "spec.volumeClaimTemplates"), i, claim) {
		int rc = json_put_str(claim, "apiVersion", "v1");
		rc |= json_put_str(claim, "kind", "PersistentVolumeClaim");
		rc |= json_put_str(claim, "status.phase", "Pending");
		if (rc < 0)
			return -ENOMEM;
	}
	return template_fill(obj, old);
}

static int daemon_set_fill(json_t *obj, const json_t *old)
{
	if (strcmp(json_str(obj, "spec.updateStrategy.type", ""), "RollingUpdate") == 0) {
		if (json_at(obj, "spec.updateStrategy.rollingUpdate.maxUnavailable") == NULL &&
		    json_put_int(obj, "spec.updateStrategy.rollingUpdate.maxUnavailable", 1) < 0)
			return -ENOMEM;
		if (json_at(obj, "spec.updateStrategy.rollingUpdate.maxSurge") == NULL &&
		    json_put_int(obj, "spec.updateStrategy.rollingUpdate.maxSurge", 0) < 0)
			return -ENOMEM;
	}
	return template_fill(obj, old);
}

static int daemon_set_create(struct api_request *r, json_t *obj)
{
	json_t *a = json_at(obj, "metadata.annotations");
	if (!json_is_object(a) && json_put(obj, "metadata.annotations", json_object()) < 0)
		return api_fail_memory(r);
	a = json_at(obj, "metadata.annotations");
	return json_object_set_new(a, "deprecated.daemonset.template.generation", json_string("1")) == 0
		       ? 0
		       : api_fail_memory(r);
}

/** Every label that the selector asks for by matchLabels is on the template. */
static void selector_validate(const json_t *old, const json_t *obj, struct violations *vs)
{
	json_t *selector = json_at(obj, "spec.selector"), *labels = json_at(obj, "spec.template.metadata.labels");
	const char *key;
	json_t *v;
	size_t wanted = json_object_size(json_object_get(selector, "matchLabels")) +
			json_array_size(json_object_get(selector, "matchExpressions"));
	if (selector == NULL)
		return; /* the schema requires it */
	if (wanted == 0)
		violation_add(vs, "spec.selector", "FieldValueInvalid", "Invalid value: {}: empty selector is invalid");
	json_object_foreach (json_object_get(selector, "matchLabels"), key, v) {
		if (json_object_get(labels, key) != NULL && json_same(json_object_get(labels, key), v))
			continue;
		CLEANUP(free_p) char *text = labels != NULL ? json_to_text(labels, NULL) : NULL;
		violation_add(vs, "spec.template.metadata.labels", "FieldValueInvalid",
			      "Invalid value: %s: `selector` does not match template `labels`",
			      text != NULL ? text : "{}");
		break;
	}
	api_check_same(old, obj, "spec.selector", vs);
}

static void stateful_set_validate(const json_t *old, const json_t *obj, struct violations *vs)
{
	static const char *const mutable_fields[] = {"replicas",
						     "ordinals",
						     "template",
						     "updateStrategy",
						     "revisionHistoryLimit",
						     "persistentVolumeClaimRetentionPolicy",
						     "minReadySeconds"};
	selector_validate(NULL, obj, vs);
	if (old == NULL)
		return;
	JSON_AUTO a = json_copy(json_object_get(old, "spec"));
	JSON_AUTO b = json_copy(json_object_get(obj, "spec"));
	for (size_t i = 0; i < ARRAY_LEN(mutable_fields); i++) {
		(void)json_object_del(a, mutable_fields[i]);
		(void)json_object_del(b, mutable_fields[i]);
	}
	if (!json_same(a, b))
		violation_add(vs, "spec", "FieldValueForbidden",
			      "Forbidden: updates to statefulset spec for fields other than 'replicas', 'ordinals', "
			      "'template', 'updateStrategy',"
			      " 'revisionHistoryLimit', 'persistentVolumeClaimRetentionPolicy' and 'minReadySeconds' "
			      "are forbidden");
}

/* ---- Deployment and ReplicaSet ---- */

static int deployment_fill(json_t *obj, const json_t *old)
{
	static const char *const members[] = {"spec.strategy.rollingUpdate.maxUnavailable",
					      "spec.strategy.rollingUpdate.maxSurge"};
	bool rolling = strcmp(json_str(obj, "spec.strategy.type", ""), "RollingUpdate") == 0;
	for (size_t i = 0; i < ARRAY_LEN(members) && rolling; i++)
		if (json_at(obj, members[i]) == NULL && json_put_str(obj, members[i], "25%") < 0)
			return -ENOMEM;
	return template_fill(obj, old);
}

void api_check_template_restart(const json_t *obj, struct violations *vs)
{
	const char *policy = json_str(obj, "spec.template.spec.restartPolicy", "Always");
	if (strcmp(policy, "Always") != 0)
		violation_add(vs, "spec.template.spec.restartPolicy", "FieldValueNotSupported",
			      "Unsupported value: \"%s\": supported values: \"Always\"", policy);
}

/** Whether a number or percentage is none at all. */
static bool is_zero(const json_t *v)
{
	return json_is_integer(v) ? json_integer_value(v) == 0 : strcmp(json_string_value(v) ?: "", "0%") == 0;
}

static void deployment_validate(const json_t *old, const json_t *obj, struct violations *vs)
{
	const json_t *rolling = json_at(obj, "spec.strategy.rollingUpdate");
	selector_validate(old, obj, vs);
	api_check_template_restart(obj, vs);
	if (strcmp(json_str(obj, "spec.strategy.type", ""), "Recreate") == 0 && rolling != NULL)
		violation_add(vs, "spec.strategy.rollingUpdate", "FieldValueForbidden",
			      "Forbidden: may not be specified when strategy `type` is 'Recreate'");
	if (rolling != NULL && is_zero(json_at(rolling, "maxUnavailable")) && is_zero(json_at(rolling, "maxSurge")))
		violation_add(vs, "spec.strategy.rollingUpdate.maxUnavailable", "FieldValueInvalid",
			      "Invalid value: 0: may not be 0 when `maxSurge` is 0");
	int64_t deadline = json_int(obj, "spec.progressDeadlineSeconds", 600);
	if (deadline <= json_int(obj, "spec.minReadySeconds", 0))
		violation_add(vs, "spec.progressDeadlineSeconds", "FieldValueInvalid",
			      "Invalid value: %lld: must be greater than minReadySeconds", (long long)deadline);
}

static void replica_set_validate(const json_t *old, const json_t *obj, struct violations *vs)
{
	selector_validate(old, obj, vs);
	api_check_template_restart(obj, vs);
	if (json_at(obj, "spec.template") == NULL)
		violation_add(vs, "spec.template", "FieldValueRequired", "Required value");
}

static void revision_validate(const json_t *old, const json_t *obj, struct violations *vs)
{
	if (json_object_get(obj, "data") == NULL)
		violation_add(vs, "data", "FieldValueRequired", "Required value: data is mandatory");
	api_check_same(old, obj, "data", vs);
}

const struct api_strategy api_workload_strategies[] = {
	{"apps", "statefulsets", "{\"replicas\":0,\"availableReplicas\":0}", NULL, NULL, stateful_set_fill,
	 stateful_set_validate},
	{"apps", "daemonsets",
	 "{\"currentNumberScheduled\":0,\"numberMisscheduled\":0,\"desiredNumberScheduled\":0,\"numberReady\":0}",
	 daemon_set_create, NULL, daemon_set_fill, selector_validate},
	{"apps", "deployments", "{}", NULL, NULL, deployment_fill, deployment_validate},
	{"apps", "replicasets", "{\"replicas\":0}", NULL, NULL, template_fill, replica_set_validate},
	{"apps", "controllerrevisions", NULL, NULL, NULL, NULL, revision_validate},
	{NULL},
};
