#include "controllers/operations/internal.h"

#include <errno.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/error.h"
#include "base/str.h"
#include "kube/client.h"
#include "runtime/objects.h"
#include "json/json.h"

static int no_memory(struct error *err)
{
	return error_set(err, -ENOMEM, "Job: out of memory");
}

bool operation_owns(const struct operation_pass *p, const json_t *obj)
{
	return str_same(json_str(obj_controller_ref(obj), "uid", NULL), obj_uid(p->op));
}

static int put_owner(const struct operation_pass *p, json_t *obj)
{
	char version[128];
	const struct kube_resource *r = &p->k->kind->resource;
	json_t *owner =
		json_pack("[{s:s,s:s,s:s,s:s,s:b,s:b}]", "apiVersion", kube_api_version(r, version), "kind", r->kind,
			  "name", p->name, "uid", obj_uid(p->op), "controller", 1, "blockOwnerDeletion", 0);
	return owner != NULL ? json_put(obj, "metadata.ownerReferences", owner) : -ENOMEM;
}

/* Labels of the object, of its Jobs and of their pods: one list for all of them. */
static int put_labels(const struct operation_pass *p, json_t *obj)
{
	const struct {
		const char *key, *value;
	} labels[] = {
		{LABEL_RELEASE, p->release},
		{"role", p->k->role},
		{"app", p->type},
		{"targetDataset", operation_target(p->op)},
		{LABEL_MANAGED_BY, "fluid"},
		{"cronjob", operation_is_cron(p->op) ? p->job : NULL},
		{"fluid.io/jobPolicy", operation_is_cron(p->op) ? "cron" : NULL},
	};
	int rc = 0;
	for (size_t i = 0; i < ARRAY_LEN(labels) && rc == 0; i++) {
		JSON_AUTO one = NULL;
		if (labels[i].value == NULL)
			continue;
		if (json_at(obj, "metadata.labels") == NULL && json_put(obj, "metadata.labels", json_object()) < 0)
			return -ENOMEM;
		one = json_string(labels[i].value);
		rc = one != NULL && json_object_set(json_at(obj, "metadata.labels"), labels[i].key, one) == 0 ? 0
													      : -ENOMEM;
	}
	return rc;
}

static int identify(const struct operation_pass *p, json_t *obj, const char *name)
{
	int rc = json_put_str(obj, "metadata.name", name);
	if (rc == 0)
		rc = json_put_str(obj, "metadata.namespace", p->ns);
	if (rc == 0)
		rc = put_labels(p, obj);
	return rc == 0 ? put_owner(p, obj) : rc;
}

/* What the operation itself says of its pods, over what the engine says. */
static int overlay_pods(const struct operation_pass *p, json_t *spec)
{
	static const struct {
		const char *from, *to;
	} members[] = {{"spec.affinity", "template.spec.affinity"},
		       {"spec.nodeSelector", "template.spec.nodeSelector"},
		       {"spec.schedulerName", "template.spec.schedulerName"},
		       {"spec.resources", "template.spec.containers[0].resources"},
		       {"spec.podMetadata.labels", "template.metadata.labels"},
		       {"spec.podMetadata.annotations", "template.metadata.annotations"}};
	for (size_t i = 0; i < ARRAY_LEN(members); i++) {
		json_t *mine = json_at(p->op, members[i].from), *have = json_at(spec, members[i].to);
		JSON_AUTO copy = mine != NULL ? json_deep_copy(mine) : NULL;
		if (mine == NULL)
			continue;
		if (copy == NULL)
			return -ENOMEM;
		if (json_is_object(have) ? json_object_update(have, copy) < 0
					 : json_put(spec, members[i].to, json_incref(copy)) < 0)
			return -ENOMEM;
	}
	return list_append(spec, "template.spec.tolerations", json_at(p->op, "spec.tolerations"));
}

/* The Job of @spec (what the skeleton has and @spec has not is kept). */
static int make_job(const struct operation_pass *p, const json_t *spec, json_t **ret, struct error *err)
{
	JSON_AUTO job = NULL;
	int rc = skeleton_load("operations/job.yaml", &job, err);
	if (rc < 0)
		return rc;
	json_t *mine = json_object_get(job, "spec");
	if (json_object_update_recursive(mine, (json_t *)spec) < 0 || overlay_pods(p, mine) < 0 ||
	    put_labels(p, json_object_get(mine, "template")) < 0 || identify(p, job, p->job) < 0)
		return no_memory(err);
	*ret = TAKE(job);
	return 0;
}

static int make_cron_job(const struct operation_pass *p, const json_t *job, json_t **ret, struct error *err)
{
	JSON_AUTO cron = NULL;
	int rc = skeleton_load("operations/cronjob.yaml", &cron, err);
	if (rc < 0)
		return rc;
	if (identify(p, cron, p->job) < 0 || put_labels(p, json_at(cron, "spec.jobTemplate")) < 0 ||
	    json_put_str(cron, "spec.schedule", json_str(p->op, "spec.schedule", "")) < 0 ||
	    json_object_set(json_at(cron, "spec.jobTemplate"), "spec", json_object_get(job, "spec")) < 0)
		return no_memory(err);
	*ret = TAKE(cron);
	return 0;
}

static int apply(const struct operation_pass *p, const struct kube_resource *r, const json_t *obj, struct error *err)
{
	JSON_AUTO live = p->api->get(p->api->ctx, r, p->ns, obj_name(obj));
	if (live != NULL && !operation_owns(p, live))
		return error_set(err, -EAGAIN,
				 "%s %s is not this operation's; delete it, or give the operation another name",
				 r->kind, obj_name(obj));
	return p->api->apply(p->api->ctx, r, p->ns, obj_name(obj), obj, err);
}

static int make_config_map(const struct operation_pass *p, struct error *err)
{
	JSON_AUTO data = NULL;
	int rc = p->k->config_data != NULL ? p->k->config_data(p->op, &data, err) : 0;
	if (rc < 0 || data == NULL)
		return rc;
	JSON_AUTO cm =
		json_pack("{s:s,s:s,s:{},s:O}", "apiVersion", "v1", "kind", "ConfigMap", "metadata", "data", data);
	if (cm == NULL || identify(p, cm, p->config_map) < 0)
		return no_memory(err);
	return apply(p, &KUBE_CONFIGMAP, cm, err);
}

int operation_make_job(struct operation_pass *p, json_t *spec, struct error *err)
{
	JSON_AUTO owned = spec;
	JSON_AUTO job = NULL;
	JSON_AUTO cron = NULL;
	int rc = make_config_map(p, err);
	if (rc == 0)
		rc = make_job(p, owned, &job, err);
	if (rc < 0)
		return rc;
	if (!operation_is_cron(p->op))
		return apply(p, &KUBE_JOB, job, err);
	rc = make_cron_job(p, job, &cron, err);
	return rc == 0 ? apply(p, &KUBE_CRONJOB, cron, err) : rc;
}

json_t *operation_latest_job(const struct operation_pass *p, const json_t *cron)
{
	if (cron == NULL) {
		JSON_AUTO job = p->api->get(p->api->ctx, &KUBE_JOB, p->ns, p->job);
		return job != NULL && operation_owns(p, job) ? TAKE(job) : NULL;
	}
	JSON_AUTO jobs = p->api->list(p->api->ctx, &KUBE_JOB, p->ns, LABEL_RELEASE, p->release);
	json_t *latest = NULL, *job;
	size_t i;
	json_array_foreach (jobs, i, job) {
		if (!str_same(json_str(obj_controller_ref(job), "uid", NULL), obj_uid(cron)))
			continue;
		/* RFC 3339 in UTC with seconds, as Kubernetes writes it, sorts as text; of one second the later name is taken */
		const int order = latest == NULL ? 1
						 : strcmp(json_str(job, "metadata.creationTimestamp", ""),
							  json_str(latest, "metadata.creationTimestamp", ""));
		if (order > 0 || (order == 0 && strcmp(obj_name(job), obj_name(latest)) > 0))
			latest = job;
	}
	return latest != NULL ? json_incref(latest) : NULL;
}

int operation_remove_jobs(struct operation_pass *p, struct error *err)
{
	const struct {
		const struct kube_resource *r;
		const char *name;
	} made[] = {{&KUBE_CRONJOB, p->job}, {&KUBE_JOB, p->job}, {&KUBE_CONFIGMAP, p->config_map}};
	bool left = false;
	for (size_t i = 0; i < ARRAY_LEN(made); i++) {
		JSON_AUTO live = p->api->get(p->api->ctx, made[i].r, p->ns, made[i].name);
		if (live == NULL || !operation_owns(p, live))
			continue;
		left = left ||
		       made[i].r != &KUBE_CONFIGMAP; /* nobody tells when that is gone, and nothing hangs on it */
		int rc = obj_deleting(live) ? 0 : p->api->remove(p->api->ctx, made[i].r, p->ns, made[i].name, err);
		if (rc < 0)
			return rc;
	}
	return !left;
}
