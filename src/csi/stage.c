/* NodeStageVolume and NodeUnstageVolume: the node label that calls the fuse pod here, and its end. */
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/log.h"
#include "base/str.h"
#include "csi/mounts.h"
#include "csi/plugin_internal.h"
#include "kube/client.h"
#include "net/proto/csi.pb-c.h"
#include "json/json.h"

#define DATA_GROUP   "data.fluid.io"
#define DATA_VERSION "v1alpha1"

static const struct kube_resource dataset_resource = {DATA_GROUP, DATA_VERSION, "Dataset", "datasets", true};

/* Runtime types as a dataset's status names them. */
static const struct {
	const char *type;
	struct kube_resource resource;
} runtimes[] = {
	{"alluxio", {DATA_GROUP, DATA_VERSION, "AlluxioRuntime", "alluxioruntimes", true}},
	{"cache", {DATA_GROUP, DATA_VERSION, "CacheRuntime", "cacheruntimes", true}},
	{"efc", {DATA_GROUP, DATA_VERSION, "EFCRuntime", "efcruntimes", true}},
	{"jindo", {DATA_GROUP, DATA_VERSION, "JindoRuntime", "jindoruntimes", true}},
	{"juicefs", {DATA_GROUP, DATA_VERSION, "JuiceFSRuntime", "juicefsruntimes", true}},
	{"reservoir", {DATA_GROUP, DATA_VERSION, "ReservoirRuntime", "reservoirruntimes", true}},
	{"thin", {DATA_GROUP, DATA_VERSION, "ThinRuntime", "thinruntimes", true}},
	{"vineyard", {DATA_GROUP, DATA_VERSION, "VineyardRuntime", "vineyardruntimes", true}},
};

const struct permission csi_permissions[] = {
	{"", "persistentvolumes", "get"},
	{"", "nodes", "patch"},
	{DATA_GROUP, "datasets", "get"},
	/* all of the table above: the clean policy is theirs */
	{DATA_GROUP,
	 "alluxioruntimes,cacheruntimes,efcruntimes,jindoruntimes,juicefsruntimes,reservoirruntimes,thinruntimes,"
	 "vineyardruntimes",
	 "get"},
	{.resources = NULL},
};

/* --- the label --- */

static int set_label(struct csi_plugin *p, const char *key, bool on, struct error *err)
{
	JSON_AUTO patch = json_pack("{s:{s:{s:o}}}", "metadata", "labels", key, on ? json_string("true") : json_null());
	if (patch == NULL)
		return error_set(err, -ENOMEM, "label node %s: out of memory", p->node_id);
	const int rc = p->api.patch_node(p->api.ctx, p->node_id, patch, err);
	return rc < 0 ? error_wrap(err, rc, "label node %s", p->node_id) : 0;
}

/* --- stage --- */

static int parse_volume(const struct csi_plugin *p, const Csi__V1__NodeStageVolumeRequest *r, struct volume *ret,
			struct error *err)
{
	CLEANUP(free_p) struct volume_attribute *a = calloc(r->n_volume_context + 1, sizeof *a);
	if (a == NULL)
		return error_set(err, -ENOMEM, "out of memory");
	for (size_t i = 0; i < r->n_volume_context; i++)
		a[i] = (struct volume_attribute){r->volume_context[i]->key, r->volume_context[i]->value};
	const int rc = volume_parse(p->mount_root, p->publish_method, a, r->n_volume_context, ret, err);
	if (rc == 0 && ret->label_key[0] == '\0')
		return error_set(err, -EINVAL, "volume attribute mount_pod_node_selector_key: is missing");
	return rc;
}

static int check_ids(const struct csi_plugin *p, const char *volume_id, const char *staging_path, struct error *err)
{
	if (*volume_id == '\0')
		return error_set(err, -EINVAL, "volume_id is needed");
	if (path_below(p->kubelet_root, staging_path) == NULL)
		return error_set(err, -EINVAL, "staging_target_path must lie below %s", p->kubelet_root);
	return 0;
}

int csi_stage(struct csi_plugin *p, const Csi__V1__NodeStageVolumeRequest *r, int64_t deadline, struct error *err)
{
	struct volume v;
	int rc = check_ids(p, r->volume_id, r->staging_target_path, err);
	if (rc == 0)
		rc = parse_volume(p, r, &v, err);
	if (rc < 0)
		return rc;
	rc = busy_enter(&p->volumes, r->volume_id);
	if (rc < 0)
		return error_set(err, rc, "another call works on volume %s", r->volume_id);
	rc = volume_detach_dead(p->mount_root, &v, deadline, err);
	if (rc == 0)
		rc = set_label(p, v.label_key, true, err);
	busy_leave(&p->volumes, r->volume_id);
	return rc;
}

/* --- unstage --- */

enum clean_policy { CLEAN_NEVER, CLEAN_ON_DEMAND };

static const struct kube_resource *runtime_resource(const char *type)
{
	for (size_t i = 0; i < ARRAY_LEN(runtimes); i++)
		if (strcmp(runtimes[i].type, type) == 0)
			return &runtimes[i].resource;
	return NULL;
}

static enum clean_policy parse_policy(const char *policy, const char *volume_id)
{
	if (strcmp(policy, "OnDemand") == 0)
		return CLEAN_ON_DEMAND;
	if (*policy != '\0' && strcmp(policy, "OnRuntimeDeleted") != 0)
		LOG(NULL, LOG_LVL_WARN,
		    "clean policy is not known here; the fuse pod stays until its runtime is deleted",
		    LOG_STR("policy", policy), LOG_STR("volume", volume_id));
	return CLEAN_NEVER;
}

/* The policy of the dataset's runtime. -ENOENT: dataset or runtime are gone. */
static int find_policy(struct csi_plugin *p, const char *volume_id, const char *ns, const char *name,
		       enum clean_policy *ret, struct error *err)
{
	JSON_AUTO dataset = NULL;
	JSON_AUTO runtime = NULL;
	int rc = p->api.get(p->api.ctx, &dataset_resource, ns, name, &dataset, err);
	if (rc < 0)
		return rc;
	const json_t *bound = json_array_get(json_at(dataset, "status.runtimes"), 0);
	const struct kube_resource *r = runtime_resource(json_str(bound, "type", ""));
	if (r == NULL)
		return error_set(err, -ENOENT, "dataset %s/%s has no runtime that is known here", ns, name);
	rc = p->api.get(p->api.ctx, r, json_str(bound, "namespace", ns), json_str(bound, "name", name), &runtime, err);
	if (rc < 0)
		return rc;
	*ret = parse_policy(json_str(runtime, "spec.fuse.cleanPolicy", ""), volume_id);
	return 0;
}

static int label_of(const json_t *pv, const char *ns, const char *name, char **ret, struct error *err)
{
	const char *key = json_str(pv, "spec.csi.volumeAttributes.mount_pod_node_selector_key", NULL);
	char *label = key != NULL ? strdup(key) : str_printf("fluid.io/f-%s-%s", ns, name);
	if (label == NULL)
		return error_set(err, -ENOMEM, "out of memory");
	if (!fuse_label_is_valid(label)) {
		free(label);
		return error_set(err, -EINVAL,
				 "PersistentVolume %s: mount_pod_node_selector_key is not a label of a fuse pod",
				 obj_name(pv));
	}
	*ret = label;
	return 0;
}

static int clean(struct csi_plugin *p, const json_t *pv, const char *ns, const char *name, struct error *err)
{
	CLEANUP(free_p) char *label = NULL;
	int rc = label_of(pv, ns, name, &label, err);
	if (rc == 0)
		rc = volume_count_publications(p->kubelet_root, obj_name(pv), err);
	if (rc != 0)
		return rc > 0 ? 0 : rc; /* still used: the last one's unstage cleans */
	return set_label(p, label, false, err);
}

static int unstage(struct csi_plugin *p, const char *volume_id, struct error *err)
{
	JSON_AUTO pv = NULL;
	enum clean_policy policy = CLEAN_NEVER;
	int rc = p->api.get(p->api.ctx, &KUBE_PV, NULL, volume_id, &pv, err);
	if (rc < 0)
		return rc;
	const char *ns = json_str(pv, "spec.csi.volumeAttributes.runtime_namespace",
				  json_str(pv, "spec.claimRef.namespace", ""));
	const char *name =
		json_str(pv, "spec.csi.volumeAttributes.runtime_name", json_str(pv, "spec.claimRef.name", ""));
	if (*ns == '\0' || *name == '\0')
		return error_set(err, -EINVAL, "PersistentVolume %s names no runtime", volume_id);
	rc = find_policy(p, volume_id, ns, name, &policy, err);
	if (rc < 0 || policy == CLEAN_NEVER)
		return rc;
	return clean(p, pv, ns, name, err);
}

int csi_unstage(struct csi_plugin *p, const Csi__V1__NodeUnstageVolumeRequest *r, int64_t deadline, struct error *err)
{
	(void)deadline; /* the API's calls have their own, which is shorter */
	int rc = check_ids(p, r->volume_id, r->staging_target_path, err);
	if (rc < 0)
		return rc;
	rc = busy_enter(&p->volumes, r->volume_id);
	if (rc < 0)
		return error_set(err, rc, "another call works on volume %s", r->volume_id);
	rc = unstage(p, r->volume_id, err);
	busy_leave(&p->volumes, r->volume_id);
	return rc == -ENOENT ? 0 : rc; /* volume, dataset or runtime are gone: nothing is left to clean */
}
