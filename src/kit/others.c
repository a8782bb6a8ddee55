/* The stand-ins: what workload controllers, kubelets, volume protection and the garbage collector of a cluster would have done by now. */
#include <stdio.h>
#include <string.h>

#include "api/dataset.h"
#include "base/cleanup.h"
#include "base/str.h"
#include "kit/world.h"
#include "json/json.h"

#define NODES 3

static int out_of_memory(struct error *err)
{
	return error_set(err, -ENOMEM, "stand-ins: out of memory");
}

/* An object that went meanwhile is nobody's concern. */
static int unless_gone(int rc)
{
	return rc == -ENOENT || rc == -ESTALE || rc == -EEXIST ? 0 : rc;
}

static json_t *pod_of(const json_t *sts, const char *name, int64_t i)
{
	char node[16];
	(void)snprintf(node, sizeof node, "n%d", (int)(i % NODES) + 1); /* one digit */
	JSON_AUTO pod = json_pack("{s:s,s:s,s:{s:s},s:o}", "apiVersion", "v1", "kind", "Pod", "metadata", "name", name,
				  "spec", json_deep_copy(json_at(sts, "spec.template.spec")));
	json_t *labels = json_at(sts, "spec.template.metadata.labels");
	json_t *owner = json_pack("[{s:s,s:s,s:s,s:s,s:b}]", "apiVersion", "apps/v1", "kind", "StatefulSet", "name",
				  obj_name(sts), "uid", obj_uid(sts), "controller", 1);
	if (owner == NULL || json_put(pod, "metadata.ownerReferences", owner) < 0 ||
	    json_put_str(pod, "spec.nodeName", node) < 0 ||
	    (labels != NULL && json_put(pod, "metadata.labels", json_deep_copy(labels)) < 0))
		return NULL;
	return TAKE(pod);
}

static const json_t *find_named(const json_t *list, const char *name)
{
	size_t i;
	json_t *obj;
	json_array_foreach (list, i, obj)
		if (strcmp(obj_name(obj), name) == 0)
			return obj;
	return NULL;
}

/* Pods <name>-0 ... of a StatefulSet, those past its replicas gone. */
static int make_pods(struct world *w, const json_t *sts, const json_t *pods, int64_t want, struct error *err)
{
	for (int64_t i = 0; i < NODES; i++) {
		CLEANUP(free_p) char *name = str_printf("%s-%lld", obj_name(sts), (long long)i);
		if (name == NULL)
			return out_of_memory(err);
		const json_t *live = find_named(pods, name);
		int rc = 0;
		if (live == NULL && i < want) {
			JSON_AUTO pod = pod_of(sts, name, i);
			rc = pod != NULL ? kube_create(w->client, &KUBE_POD, KIT_NS, pod, NULL, err)
					 : out_of_memory(err);
		} else if (live != NULL && i >= want && !obj_deleting(live)) {
			rc = world_delete(w, &KUBE_POD, name, err);
		}
		if (unless_gone(rc) < 0)
			return rc;
	}
	return 0;
}

static int put_status(struct world *w, const struct kube_resource *r, const json_t *obj, json_t *status,
		      struct error *err)
{
	JSON_AUTO patch = json_pack("{s:o}", "status", status);
	if (patch == NULL)
		return out_of_memory(err);
	json_t *live = json_object_get(obj, "status"), *v;
	const char *key;
	bool same = true;
	json_object_foreach (status, key, v)
		same = same && json_same(v, json_object_get(live, key));
	return same ? 0 : unless_gone(world_patch(w, r, obj_name(obj), "status", patch, err));
}

static int stateful_sets(struct world *w, struct error *err)
{
	JSON_AUTO list = world_list(w, &KUBE_STATEFULSET);
	JSON_AUTO pods = world_list(w, &KUBE_POD);
	size_t i;
	json_t *sts;
	json_array_foreach (list, i, sts) {
		const json_int_t want = (json_int_t)json_int(sts, "spec.replicas", 1), ready = w->unready ? 0 : want;
		int rc = obj_deleting(sts) ? 0 : make_pods(w, sts, pods, want, err);
		if (rc == 0)
			rc = put_status(w, &KUBE_STATEFULSET, sts,
					json_pack("{s:I,s:I,s:I,s:I,s:I}", "observedGeneration",
						  (json_int_t)json_int(sts, "metadata.generation", 1), "replicas", want,
						  "readyReplicas", ready, "availableReplicas", ready, "updatedReplicas",
						  want),
					err);
		if (rc < 0)
			return rc;
	}
	return 0;
}

/* No volume is staged: no node wants a mount. */
static int daemon_sets(struct world *w, struct error *err)
{
	JSON_AUTO list = world_list(w, &KUBE_DAEMONSET);
	size_t i;
	json_t *ds;
	json_array_foreach (list, i, ds) {
		int rc = put_status(w, &KUBE_DAEMONSET, ds,
				    json_pack("{s:I,s:i,s:i,s:i,s:i}", "observedGeneration",
					      (json_int_t)json_int(ds, "metadata.generation", 1),
					      "desiredNumberScheduled", 0, "currentNumberScheduled", 0, "numberReady",
					      0, "numberMisscheduled", 0),
				    err);
		if (rc < 0)
			return rc;
	}
	return 0;
}

/* Pods that serve run; others have done their work; deleted ones have ended. */
static int pods(struct world *w, struct error *err)
{
	JSON_AUTO list = world_list(w, &KUBE_POD);
	size_t i;
	json_t *pod;
	json_array_foreach (list, i, pod) {
		const bool serves = strcmp(json_str(pod, "spec.restartPolicy", "Always"), "Always") == 0;
		int rc;
		if (obj_deleting(pod)) {
			rc = kube_delete(w->client, &KUBE_POD, KIT_NS, obj_name(pod),
					 &(struct kube_delete_options){.grace_seconds = 0, .uid = obj_uid(pod)}, err);
		} else {
			const char *ready = serves && !w->unready ? "True" : "False";
			json_t *conditions = json_pack("[{s:s,s:s,s:s}]", "type", "Ready", "status", ready,
						       "lastTransitionTime", "2026-01-01T00:00:00Z");
			rc = put_status(w, &KUBE_POD, pod,
					json_pack("{s:s,s:s,s:o}", "phase", serves ? "Running" : "Succeeded", "podIP",
						  "127.0.0.1", "conditions", conditions),
					err);
		}
		if (unless_gone(rc) < 0)
			return rc;
	}
	return 0;
}

static bool is_used(struct world *w, const char *claim)
{
	JSON_AUTO list = world_list(w, &KUBE_POD);
	size_t i, k;
	json_t *pod, *v;
	json_array_foreach (list, i, pod)
		json_array_foreach (json_at(pod, "spec.volumes"), k, v)
			if (str_same(json_str(v, "persistentVolumeClaim.claimName", NULL), claim))
				return true;
	return false;
}

/* Protection of claims and volumes ends when nobody uses them. */
static int volumes(struct world *w, struct error *err)
{
	const struct kube_resource *const kinds[] = {&KUBE_PVC, &KUBE_PV};
	JSON_AUTO off = json_pack("{s:{s:n}}", "metadata", "finalizers");
	for (size_t n = 0; n < ARRAY_LEN(kinds); n++) {
		JSON_AUTO list = world_list(w, kinds[n]);
		size_t i;
		json_t *obj;
		json_array_foreach (list, i, obj) {
			if (!obj_deleting(obj) || (n == 0 && is_used(w, obj_name(obj))))
				continue;
			int rc = off != NULL ? world_patch(w, kinds[n], obj_name(obj), NULL, off, err)
					     : out_of_memory(err);
			if (unless_gone(rc) < 0)
				return rc;
		}
	}
	return 0;
}

/* What was owned by something that is gone goes too. */
static int collect(struct world *w, const struct kube_resource *r, const json_t *list, const json_t *uids,
		   struct error *err)
{
	size_t i, k;
	json_t *obj, *ref;
	json_array_foreach (list, i, obj) {
		bool owned = false, alive = false;
		json_array_foreach (json_at(obj, "metadata.ownerReferences"), k, ref) {
			owned = true;
			alive = alive || json_object_get(uids, json_str(ref, "uid", "")) != NULL;
		}
		int rc = owned && !alive && !obj_deleting(obj) ? world_delete(w, r, obj_name(obj), err) : 0;
		if (unless_gone(rc) < 0)
			return rc;
	}
	return 0;
}

static int garbage(struct world *w, struct error *err)
{
	const struct kube_resource *kinds[16] = {&dataset_kind.resource, w->o->controller->resource, &KUBE_POD};
	size_t n = 3, i, k;
	json_t *obj;
	for (const struct kube_resource *const *r = w->o->controller->kinds; *r != NULL && n < ARRAY_LEN(kinds); r++)
		kinds[n++] = *r;
	JSON_AUTO lists = json_array();
	JSON_AUTO uids = json_object();
	for (k = 0; k < n; k++) {
		if (json_array_append_new(lists, world_list(w, kinds[k])) < 0)
			return out_of_memory(err);
		json_array_foreach (json_array_get(lists, k), i, obj)
			if (json_object_set_new(uids, obj_uid(obj), json_true()) < 0)
				return out_of_memory(err);
	}
	int rc = 0;
	for (k = 0; k < n && rc == 0; k++)
		rc = collect(w, kinds[k], json_array_get(lists, k), uids, err);
	return rc;
}

int world_others(struct world *w, struct error *err)
{
	int (*const parts[])(struct world * w, struct error * err) = {stateful_sets, daemon_sets, pods, volumes,
								      garbage};
	for (size_t i = 0; i < ARRAY_LEN(parts); i++) {
		int rc = parts[i](w, err);
		if (rc < 0)
			return error_wrap(err, rc, "stand-ins of the kit");
	}
	return 0;
}
