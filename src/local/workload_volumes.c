/*
 * Volume binder: claims meet volumes (by name, by claimRef, or by class, size and access modes), phases follow, and the protection
 * finalizers hold claims that pods use and volumes that claims use. Nothing is provisioned or recycled.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/error.h"
#include "base/str.h"
#include "local/workload_pods.h"
#include "local/workload_private.h"
#include "json/json.h"
#include "json/quantity.h"
#include "json/selector.h"

#define PVC_PROTECTION "kubernetes.io/pvc-protection"
#define PV_PROTECTION  "kubernetes.io/pv-protection"
#define BIND_COMPLETED "pv.kubernetes.io/bind-completed"
#define BOUND_BY_US    "pv.kubernetes.io/bound-by-controller"

static int no_memory(struct error *err)
{
	return error_set(err, -ENOMEM, "volume binder: out of memory");
}

/* Gone meanwhile is no failure: the deletion is on its way to us. */
static int unless_gone(int rc)
{
	return rc == -ENOENT ? 0 : rc;
}

/* --- finalizers --- */

static int remove_finalizer(struct workload *w, const struct kube_resource *r, const json_t *obj, const char *finalizer,
			    struct error *err)
{
	JSON_AUTO left = json_array();
	size_t i;
	json_t *f;
	json_array_foreach (json_at(obj, "metadata.finalizers"), i, f) {
		if (!str_same(json_string_value(f), finalizer) && json_array_append(left, f) < 0)
			return no_memory(err);
	}
	JSON_AUTO patch = json_pack("{s:{s:s, s:O}}", "metadata", "resourceVersion", obj_resource_version(obj),
				    "finalizers", left);
	if (patch == NULL)
		return no_memory(err);
	return unless_gone(
		kube_patch(w->client, r, obj_namespace(obj), obj_name(obj), NULL, KUBE_PATCH_MERGE, patch, NULL, err));
}

static bool pod_uses_claim(const json_t *pod, const char *claim)
{
	size_t i;
	json_t *v;
	json_array_foreach (json_at(pod, "spec.volumes"), i, v) {
		if (str_same(json_str(v, "persistentVolumeClaim.claimName", NULL), claim))
			return true;
	}
	return false;
}

/* A pod that is not finished uses the claim. One that no node has yet does not count: it could not start any more. */
static bool claim_in_use(struct workload *w, const json_t *claim)
{
	JSON_AUTO pods = informer_list(w->pods, obj_namespace(claim));
	size_t i;
	json_t *pod;
	if (pods == NULL)
		return true; /* no memory: keep it */
	json_array_foreach (pods, i, pod) {
		if (!pod_finished(pod) && json_str(pod, "spec.nodeName", "")[0] != '\0' &&
		    pod_uses_claim(pod, obj_name(claim)))
			return true;
	}
	return false;
}

/* --- matching --- */

static bool ref_is(const json_t *ref, const json_t *claim)
{
	const char *uid = json_str(ref, "uid", "");
	return strcmp(json_str(ref, "namespace", ""), obj_namespace(claim)) == 0 &&
	       strcmp(json_str(ref, "name", ""), obj_name(claim)) == 0 &&
	       (uid[0] == '\0' || strcmp(uid, obj_uid(claim)) == 0);
}

static bool has_modes(const json_t *have, const json_t *want)
{
	size_t i, k;
	json_t *m, *h;
	json_array_foreach (want, i, m) {
		bool found = false;
		json_array_foreach (have, k, h) {
			found = found || json_same(h, m);
		}
		if (!found)
			return false;
	}
	return true;
}

static bool selector_accepts(const json_t *claim, const json_t *pv)
{
	const json_t *selector = json_at(claim, "spec.selector");
	struct label_selector *sel = NULL;
	if (!json_is_object(selector))
		return true;
	if (label_selector_from_json(selector, &sel, NULL) < 0)
		return false;
	const bool yes = label_selector_matches(sel, json_at(pv, "metadata.labels"));
	label_selector_free(sel);
	return yes;
}

/* NULL: @pv can serve @claim. Otherwise why not. */
static const char *misfit(const json_t *pv, const json_t *claim)
{
	const char *size = json_str(claim, "spec.resources.requests.storage", "0");
	if (strcmp(json_str(pv, "spec.storageClassName", ""), json_str(claim, "spec.storageClassName", "")) != 0)
		return "storageClassName does not match";
	if (strcmp(json_str(pv, "spec.volumeMode", "Filesystem"), json_str(claim, "spec.volumeMode", "Filesystem")) !=
	    0)
		return "incompatible volumeMode";
	if (!has_modes(json_at(pv, "spec.accessModes"), json_at(claim, "spec.accessModes")))
		return "incompatible accessMode";
	if (quantity_compare(json_str(pv, "spec.capacity.storage", "0"), size) < 0)
		return "requested PV is too small";
	return NULL;
}

/* The volume that refers to the claim already, else the smallest free one that fits. New tree or NULL. */
static json_t *find_volume(struct workload *w, const json_t *claim)
{
	JSON_AUTO all = informer_list(w->pvs, NULL);
	json_t *best = NULL, *pv;
	size_t i;
	json_array_foreach (all, i, pv) {
		const json_t *ref = json_at(pv, "spec.claimRef");
		if (obj_deleting(pv) || misfit(pv, claim) != NULL)
			continue;
		if (ref != NULL) {
			if (ref_is(ref, claim))
				return json_incref(pv);
			continue;
		}
		if (selector_accepts(claim, pv) &&
		    (best == NULL || quantity_compare(json_str(pv, "spec.capacity.storage", "0"),
						      json_str(best, "spec.capacity.storage", "0")) < 0))
			best = pv;
	}
	return json_incref(best);
}

/* --- binding --- */

/* Make the volume refer to the claim. 0 also when it does. */
static int claim_volume(struct workload *w, const json_t *pv, const json_t *claim, struct error *err)
{
	const json_t *ref = json_at(pv, "spec.claimRef");
	if (ref != NULL && strcmp(json_str(ref, "uid", ""), obj_uid(claim)) == 0)
		return 0;
	JSON_AUTO patch = json_pack("{s:{s:s}, s:{s:{s:s, s:s, s:s, s:s, s:s, s:s}}}", "metadata", "resourceVersion",
				    obj_resource_version(pv), "spec", "claimRef", "apiVersion", "v1", "kind",
				    "PersistentVolumeClaim", "namespace", obj_namespace(claim), "name", obj_name(claim),
				    "uid", obj_uid(claim), "resourceVersion", obj_resource_version(claim));
	if (patch == NULL ||
	    (ref == NULL && json_put_str(patch, "metadata.annotations[\"" BOUND_BY_US "\"]", "yes") < 0))
		return no_memory(err);
	return kube_patch(w->client, &KUBE_PV, "", obj_name(pv), NULL, KUBE_PATCH_MERGE, patch, NULL, err);
}

static int set_pv_phase(struct workload *w, const json_t *pv, const char *phase, struct error *err)
{
	return workload_patch_status(w, &KUBE_PV, pv, json_pack("{s:s}", "phase", phase), err);
}

/* The claim's side: annotation and volumeName, then its status. *@ret is the claim as it is after the first. */
static int complete_claim(struct workload *w, const json_t *claim, const json_t *pv, json_t **ret, struct error *err)
{
	const bool named = json_str(claim, "spec.volumeName", "")[0] != '\0';
	if (named && str_same(obj_annotation(claim, BIND_COMPLETED), "yes")) {
		*ret = json_incref((json_t *)claim);
		return 0;
	}
	JSON_AUTO patch =
		json_pack("{s:{s:s, s:{s:s}}, s:{s:s}}", "metadata", "resourceVersion", obj_resource_version(claim),
			  "annotations", BIND_COMPLETED, "yes", "spec", "volumeName", obj_name(pv));
	if (patch == NULL || (!named && json_put_str(patch, "metadata.annotations[\"" BOUND_BY_US "\"]", "yes") < 0))
		return no_memory(err);
	return kube_patch(w->client, &KUBE_PVC, obj_namespace(claim), obj_name(claim), NULL, KUBE_PATCH_MERGE, patch,
			  ret, err);
}

static int bind(struct workload *w, const json_t *claim, const json_t *pv, struct error *err)
{
	int rc = claim_volume(w, pv, claim, err);
	JSON_AUTO now = NULL;
	if (rc == 0)
		rc = complete_claim(w, claim, pv, &now, err);
	if (rc < 0)
		return unless_gone(rc);
	json_t *modes = json_at(pv, "spec.accessModes"), *capacity = json_at(pv, "spec.capacity");
	json_t *status = json_pack("{s:s, s:O*, s:O*}", "phase", "Bound", "accessModes", modes, "capacity", capacity);
	/* the volume's phase follows from its own change (claimRef) in the volume's controller */
	return workload_patch_status(w, &KUBE_PVC, now, status, err);
}

static int stay_pending(struct workload *w, const json_t *claim, const char *why, struct error *err)
{
	event_emit(w->events, claim, "Normal", "FailedBinding", "%s", why);
	return workload_patch_status(w, &KUBE_PVC, claim, json_pack("{s:s}", "phase", "Pending"), err);
}

/* The claim names its volume. */
static int bind_named(struct workload *w, const json_t *claim, const char *volume, struct error *err)
{
	char why[400];
	const bool completed = str_same(obj_annotation(claim, BIND_COMPLETED), "yes");
	JSON_AUTO pv = informer_get(w->pvs, "", volume);
	const json_t *ref = json_at(pv, "spec.claimRef");
	if (pv != NULL && (ref == NULL || ref_is(ref, claim))) {
		const char *why_not = completed ? NULL : misfit(pv, claim);
		if (why_not == NULL)
			return bind(w, claim, pv, err);
		(void)snprintf(why, sizeof why, "volume \"%.200s\" cannot serve this claim: %s", volume, why_not);
		return stay_pending(w, claim, why, err);
	}
	if (completed) {
		event_emit(w->events, claim, "Warning", "ClaimLost",
			   "Bound claim has lost its PersistentVolume. Data on the volume is lost!");
		return workload_patch_status(w, &KUBE_PVC, claim, json_pack("{s:s}", "phase", "Lost"), err);
	}
	(void)snprintf(why, sizeof why,
		       pv == NULL ? "volume \"%.200s\" is not there yet"
				  : "volume \"%.200s\" already bound to a different claim.",
		       volume);
	return stay_pending(w, claim, why, err);
}

static int reconcile_claim(void *ctx, const char *ns, const char *name, struct reconcile_result *ret, struct error *err)
{
	struct workload *w = ctx;
	(void)ret;
	JSON_AUTO claim = informer_get(w->pvcs, ns, name);
	if (claim == NULL)
		return 0;
	if (obj_deleting(claim)) {
		if (!obj_has_finalizer(claim, PVC_PROTECTION) || claim_in_use(w, claim))
			return 0; /* the end of the last pod brings us back */
		return remove_finalizer(w, &KUBE_PVC, claim, PVC_PROTECTION, err);
	}
	const char *volume = json_str(claim, "spec.volumeName", "");
	if (volume[0] != '\0')
		return bind_named(w, claim, volume, err);
	JSON_AUTO pv = find_volume(w, claim);
	if (pv != NULL)
		return bind(w, claim, pv, err);
	char why[400];
	const char *class = json_str(claim, "spec.storageClassName", "");
	if (class[0] == '\0')
		return stay_pending(w, claim,
				    "no persistent volumes available for this claim and no storage class is set", err);
	(void)snprintf(
		why, sizeof why,
		"no persistent volume of storage class \"%.200s\" fits this claim; none is provisioned on this cluster",
		class);
	return stay_pending(w, claim, why, err);
}

/* --- volumes --- */

static int reconcile_volume(void *ctx, const char *ns, const char *name, struct reconcile_result *ret,
			    struct error *err)
{
	struct workload *w = ctx;
	(void)ns;
	(void)ret;
	JSON_AUTO pv = informer_get(w->pvs, "", name);
	if (pv == NULL)
		return 0;
	const json_t *ref = json_at(pv, "spec.claimRef");
	const char *uid = json_str(ref, "uid", "");
	JSON_AUTO claim =
		ref != NULL ? informer_get(w->pvcs, json_str(ref, "namespace", ""), json_str(ref, "name", "")) : NULL;
	const bool mine = claim != NULL && (uid[0] == '\0' || strcmp(uid, obj_uid(claim)) == 0);
	if (obj_deleting(pv)) {
		const bool used = mine && str_same(json_str(claim, "spec.volumeName", NULL), name);
		if (!obj_has_finalizer(pv, PV_PROTECTION) || used)
			return 0; /* the end of the claim brings us back */
		return remove_finalizer(w, &KUBE_PV, pv, PV_PROTECTION, err);
	}
	if (uid[0] == '\0')
		return set_pv_phase(w, pv, "Available", err);
	if (mine)
		return str_same(json_str(claim, "spec.volumeName", NULL), name) ? set_pv_phase(w, pv, "Bound", err) : 0;
	if (claim == NULL) { /* the cache of claims may be behind that of volumes: only the server knows */
		int rc = kube_get(w->client, &KUBE_PVC, json_str(ref, "namespace", ""), json_str(ref, "name", ""),
				  &claim, err);
		if (rc < 0 && rc != -ENOENT)
			return rc;
		if (rc == 0 && strcmp(uid, obj_uid(claim)) == 0)
			return 0; /* its arrival in the cache brings us back */
	}
	const bool deletes = strcmp(json_str(pv, "spec.persistentVolumeReclaimPolicy", "Retain"), "Delete") == 0;
	if (deletes && strcmp(json_str(pv, "status.phase", ""), "Released") != 0)
		event_emit(w->events, pv, "Warning", "VolumeFailedDelete",
			   "reclaim policy Delete is not carried out by this cluster: delete the volume when its data "
			   "is no longer wanted");
	return set_pv_phase(w, pv, "Released", err);
}

/* --- who concerns whom --- */

static void volume_to_claims(void *ctx, struct controller *c, const json_t *pv)
{
	struct workload *w = ctx;
	const json_t *ref = json_at(pv, "spec.claimRef");
	if (ref != NULL) {
		controller_enqueue(c, json_str(ref, "namespace", ""), json_str(ref, "name", ""));
		if (json_str(ref, "uid", "")[0] != '\0')
			return;
	}
	JSON_AUTO claims = informer_list(w->pvcs, NULL);
	size_t i;
	json_t *claim;
	json_array_foreach (claims, i, claim) {
		const char *volume = json_str(claim, "spec.volumeName", "");
		if (strcmp(json_str(claim, "status.phase", ""), "Bound") != 0 &&
		    (volume[0] == '\0' || strcmp(volume, obj_name(pv)) == 0))
			controller_enqueue(c, obj_namespace(claim), obj_name(claim));
	}
}

static void pod_to_claims(void *ctx, struct controller *c, const json_t *pod)
{
	size_t i;
	json_t *v;
	(void)ctx;
	json_array_foreach (json_at(pod, "spec.volumes"), i, v) {
		const char *claim = json_str(v, "persistentVolumeClaim.claimName", NULL);
		if (claim != NULL)
			controller_enqueue(c, obj_namespace(pod), claim);
	}
}

static void claim_to_volumes(void *ctx, struct controller *c, const json_t *claim)
{
	struct workload *w = ctx;
	const char *volume = json_str(claim, "spec.volumeName", "");
	if (volume[0] != '\0')
		controller_enqueue(c, "", volume);
	JSON_AUTO pvs = informer_list(w->pvs, NULL);
	size_t i;
	json_t *pv;
	json_array_foreach (pvs, i, pv) {
		const json_t *ref = json_at(pv, "spec.claimRef");
		if (ref != NULL && strcmp(json_str(ref, "name", ""), obj_name(claim)) == 0 &&
		    strcmp(json_str(ref, "namespace", ""), obj_namespace(claim)) == 0)
			controller_enqueue(c, "", obj_name(pv));
	}
}

int workload_add_volumes(struct workload *w, struct error *err)
{
	struct controller *claims = NULL, *volumes = NULL;
	const struct controller_options oc = {.name = "persistentvolumeclaim", .reconcile = reconcile_claim, .ctx = w};
	const struct controller_options ov = {.name = "persistentvolume", .reconcile = reconcile_volume, .ctx = w};
	int rc = controller_new(w->manager, &oc, &claims, err);
	if (rc == 0)
		rc = controller_new(w->manager, &ov, &volumes, err);
	if (rc < 0)
		return rc;
	rc = controller_watch(claims, &KUBE_PVC);
	if (rc == 0)
		rc = controller_watch_mapped(claims, &KUBE_PV, volume_to_claims, w);
	if (rc == 0)
		rc = controller_watch_mapped(claims, &KUBE_POD, pod_to_claims, w);
	if (rc == 0)
		rc = controller_watch(volumes, &KUBE_PV);
	if (rc == 0)
		rc = controller_watch_mapped(volumes, &KUBE_PVC, claim_to_volumes, w);
	return rc == 0 ? 0 : error_set(err, rc, "volume binder: out of memory");
}
