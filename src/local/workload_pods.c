#include "local/workload_pods.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/error.h"
#include "base/str.h"
#include "local/workload_private.h"
#include "json/json.h"
#include "json/selector.h"

static const json_t *condition_of(const json_t *pod, const char *type)
{
	size_t i;
	json_t *c;
	json_array_foreach (json_at(pod, "status.conditions"), i, c) {
		if (str_same(json_str(c, "type", NULL), type))
			return c;
	}
	return NULL;
}

const char *pod_condition(const json_t *pod, const char *type)
{
	return json_str(condition_of(pod, type), "status", NULL);
}

bool pod_ready(const json_t *pod)
{
	return str_same(pod_condition(pod, "Ready"), "True");
}

bool pod_finished(const json_t *pod)
{
	const char *phase = json_str(pod, "status.phase", "");
	return strcmp(phase, "Succeeded") == 0 || strcmp(phase, "Failed") == 0;
}

bool pod_available(const json_t *pod, int64_t min_ready_s, int64_t *wait_ns)
{
	int64_t since;
	if (!pod_ready(pod))
		return false;
	if (min_ready_s <= 0)
		return true;
	const char *at = json_str(condition_of(pod, "Ready"), "lastTransitionTime", "");
	if (clock_parse_rfc3339(at, &since) < 0)
		return false;
	const int64_t left = since + min_ready_s * NSEC_PER_SEC - clock_wall_ns();
	if (left <= 0)
		return true;
	if (*wait_ns == 0 || left < *wait_ns)
		*wait_ns = left;
	return false;
}

void template_hash(const json_t *template, char out[static 16])
{
	static const char alphabet[] = "bcdfghjklmnpqrstvwxz2456789";
	CLEANUP(free_p) char *text = json_dumps(template, JSON_COMPACT | JSON_SORT_KEYS);
	uint64_t h = UINT64_C(0xcbf29ce484222325); /* FNV-1a: a name, no protection against anyone */
	for (const char *p = text; p != NULL && *p != '\0'; p++)
		h = (h ^ (unsigned char)*p) * UINT64_C(0x100000001b3);
	for (size_t i = 0; i < 10; i++, h /= sizeof alphabet - 1)
		out[i] = alphabet[h % (sizeof alphabet - 1)];
	out[10] = '\0';
}

static json_t *owner_reference(const struct kube_resource *kind, const json_t *owner)
{
	char api_version[128];
	return json_pack("{s:s, s:s, s:s, s:s, s:b, s:b}", "apiVersion", kube_api_version(kind, api_version), "kind",
			 kind->kind, "name", obj_name(owner), "uid", obj_uid(owner), "controller", 1,
			 "blockOwnerDeletion", 1);
}

json_t *object_from_template(const struct kube_resource *r, const json_t *template,
			     const struct kube_resource *owner_kind, const json_t *owner, const char *name)
{
	static const char *const taken[] = {"labels", "annotations", "finalizers"};
	char version[128];
	JSON_AUTO obj = json_pack("{s:s, s:s, s:{s:s, s:s}, s:o}", "apiVersion", kube_api_version(r, version), "kind",
				  r->kind, "metadata", "name", name, "namespace", obj_namespace(owner), "spec",
				  json_deep_copy(json_object_get(template, "spec")));
	json_t *meta = json_object_get(obj, "metadata");
	int rc = obj == NULL ? -1
			     : json_object_set_new(meta, "ownerReferences",
						   json_pack("[o]", owner_reference(owner_kind, owner)));
	for (size_t i = 0; rc == 0 && i < ARRAY_LEN(taken); i++) {
		const json_t *v = json_object_get(json_object_get(template, "metadata"), taken[i]);
		if (v != NULL && !json_is_null(v))
			rc = json_object_set_new(meta, taken[i], json_deep_copy(v));
	}
	return rc == 0 ? TAKE(obj) : NULL;
}

json_t *pod_from_template(const struct kube_resource *owner_kind, const json_t *owner, const char *name)
{
	return object_from_template(&KUBE_POD, json_at(owner, "spec.template"), owner_kind, owner, name);
}

static int adopt(struct workload *w, const struct kube_resource *kind, const json_t *owner, const json_t *pod,
		 struct error *err)
{
	const json_t *before = json_at(pod, "metadata.ownerReferences");
	JSON_AUTO refs = before != NULL ? json_deep_copy(before) : json_array();
	if (refs == NULL || json_array_append_new(refs, owner_reference(kind, owner)) < 0)
		return error_set(err, -ENOMEM, "adopt pod %s: out of memory", obj_name(pod));
	JSON_AUTO patch = json_pack("{s:{s:s, s:O}}", "metadata", "resourceVersion", obj_resource_version(pod),
				    "ownerReferences", refs);
	if (patch == NULL)
		return error_set(err, -ENOMEM, "adopt pod %s: out of memory", obj_name(pod));
	int rc = kube_patch(w->client, &KUBE_POD, obj_namespace(pod), obj_name(pod), NULL, KUBE_PATCH_MERGE, patch,
			    NULL, err);
	return rc == -ENOENT ? 0 : rc;
}

int workload_adopt_pods(struct workload *w, const struct kube_resource *kind, const json_t *owner,
			bool (*fits)(const json_t *owner, const json_t *pod), struct error *err)
{
	struct label_selector *sel = NULL;
	JSON_AUTO orphans = informer_list_by(w->pods, INDEX_POD_ORPHAN, obj_namespace(owner));
	size_t i;
	json_t *pod;
	int adopted = 0;
	int rc = label_selector_from_json(json_at(owner, "spec.selector"), &sel, err);
	if (rc < 0)
		return rc;
	json_array_foreach (orphans, i, pod) {
		if (obj_deleting(pod) || pod_finished(pod) ||
		    !label_selector_matches(sel, json_at(pod, "metadata.labels")) || !fits(owner, pod))
			continue;
		if ((rc = adopt(w, kind, owner, pod, err)) < 0)
			break;
		adopted++;
	}
	label_selector_free(sel);
	return rc < 0 ? rc : adopted;
}

int workload_create_pod(struct workload *w, const json_t *owner, const json_t *pod, struct error *err)
{
	const char *kind = json_str(owner, "kind", "");
	int rc = kube_create(w->client, &KUBE_POD, obj_namespace(owner), pod, NULL, err);
	if (rc == -EEXIST)
		return 0;
	if (rc < 0) {
		event_emit(w->events, owner, "Warning", "FailedCreate", "create Pod %s in %s %s failed error: %s",
			   obj_name(pod), kind, obj_name(owner), err->msg);
		return rc;
	}
	event_emit(w->events, owner, "Normal", "SuccessfulCreate", "create Pod %s in %s %s successful", obj_name(pod),
		   kind, obj_name(owner));
	return 0;
}

int workload_delete_pod(struct workload *w, const json_t *owner, const json_t *pod, struct error *err)
{
	const char *kind = json_str(owner, "kind", "");
	const struct kube_delete_options o = {.grace_seconds = -1, .uid = obj_uid(pod)};
	int rc = kube_delete(w->client, &KUBE_POD, obj_namespace(pod), obj_name(pod), &o, err);
	if (rc == -ENOENT || rc == -ESTALE)
		return 0; /* gone, or another one by now: the cache is only late */
	if (rc < 0) {
		event_emit(w->events, owner, "Warning", "FailedDelete", "delete Pod %s in %s %s failed error: %s",
			   obj_name(pod), kind, obj_name(owner), err->msg);
		return rc;
	}
	event_emit(w->events, owner, "Normal", "SuccessfulDelete", "delete Pod %s in %s %s successful", obj_name(pod),
		   kind, obj_name(owner));
	return 0;
}

bool workload_status_holds(const json_t *have, const json_t *want)
{
	const char *key;
	json_t *v;
	json_object_foreach ((json_t *)want, key, v) {
		const json_t *h = json_object_get(have, key);
		if (json_is_null(v) ? h != NULL && !json_is_null(h) : !json_same(h, v))
			return false;
	}
	return true;
}

int workload_patch_status(struct workload *w, const struct kube_resource *r, const json_t *obj, json_t *status,
			  struct error *err)
{
	if (status != NULL && workload_status_holds(json_object_get(obj, "status"), status)) {
		json_decref(status);
		return 0;
	}
	JSON_AUTO patch = status != NULL ? json_pack("{s:{s:s}, s:o}", "metadata", "resourceVersion",
						     obj_resource_version(obj), "status", status)
					 : NULL;
	if (patch == NULL)
		return error_set(err, -ENOMEM, "status of %s: out of memory", obj_name(obj));
	int rc = kube_patch(w->client, r, obj_namespace(obj), obj_name(obj), "status", KUBE_PATCH_MERGE, patch, NULL,
			    err);
	return rc == -ENOENT ? 0 : rc;
}
