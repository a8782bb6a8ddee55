#include "runtime/api.h"

#include <assert.h>
#include <string.h>

#include "api/dataset.h"
#include "base/log.h"
#include "base/str.h"
#include "kube/client.h"
#include "kube/event.h"
#include "kube/manager.h"
#include "runtime/objects.h"
#include "json/json.h"

#define MAX_INFORMERS 24

struct runtime_api {
	struct engine_api ops;
	struct manager *manager;
	struct event_recorder *recorder;
	struct logger *log;
	struct {
		const struct kube_resource *r;
		struct informer *inf;
	} informers[MAX_INFORMERS];
	size_t n;
};

/* Keep only these members of the object at @path. */
static void keep_only(json_t *obj, const char *path, const char *const *names)
{
	json_t *at = json_at(obj, path);
	const char *key;
	json_t *v;
	void *tmp;
	json_object_foreach_safe (at, tmp, key, v) {
		bool wanted = false;
		for (size_t i = 0; names[i] != NULL; i++)
			wanted = wanted || strcmp(names[i], key) == 0;
		if (!wanted)
			(void)json_object_del(at, key); /* it is there */
	}
}

static void trim_pod(json_t *pod)
{
	keep_only(pod, "spec", (const char *const[]){"nodeName", "volumes", NULL});
	keep_only(pod, "status", (const char *const[]){"phase", "podIP", "conditions", "containerStatuses", NULL});
}

static void trim_node(json_t *node)
{
	keep_only(node, "spec", (const char *const[]){"taints", "unschedulable", NULL});
	keep_only(node, "status", (const char *const[]){"conditions", NULL});
	json_drop(node, "metadata.annotations");
}

static void trim_config_map(json_t *cm)
{
	json_drop(cm, "data");
	json_drop(cm, "binaryData");
}

static char *release_of(const json_t *pod)
{
	const char *release = obj_label(pod, LABEL_RELEASE);
	return release != NULL ? str_printf("%s/%s", obj_namespace(pod), release) : NULL;
}

static struct informer *find(const struct runtime_api *a, const struct kube_resource *r)
{
	for (size_t i = 0; i < a->n; i++)
		if (strcmp(a->informers[i].r->plural, r->plural) == 0 &&
		    strcmp(a->informers[i].r->group, r->group) == 0)
			return a->informers[i].inf;
	return NULL;
}

static json_t *api_get(void *ctx, const struct kube_resource *r, const char *ns, const char *name)
{
	struct informer *inf = find(ctx, r);
	assert(inf != NULL); /* every kind the framework reads is registered by runtime_api_new() or _add() */
	return informer_get(inf, ns, name);
}

static json_t *api_list(void *ctx, const struct kube_resource *r, const char *ns, const char *label, const char *value)
{
	struct informer *inf = find(ctx, r);
	assert(inf != NULL);
	if (label == NULL)
		return informer_list(inf, ns);
	bool by_release = r == &KUBE_POD && ns != NULL && value != NULL && strcmp(label, LABEL_RELEASE) == 0;
	CLEANUP(free_p) char *key = by_release ? str_printf("%s/%s", ns, value) : NULL;
	JSON_AUTO all = key != NULL ? informer_list_by(inf, LABEL_RELEASE, key) : informer_list(inf, ns);
	JSON_AUTO out = json_array();
	size_t i;
	json_t *obj;
	if (all == NULL || out == NULL)
		return NULL;
	json_array_foreach (all, i, obj) {
		const char *have = obj_label(obj, label);
		if (have != NULL && (value == NULL || strcmp(have, value) == 0) && json_array_append(out, obj) < 0)
			return NULL;
	}
	return TAKE(out);
}

static int api_apply(void *ctx, const struct kube_resource *r, const char *ns, const char *name, const json_t *obj,
		     struct error *err)
{
	struct runtime_api *a = ctx;
	return kube_apply(manager_client(a->manager), r, ns, name, NULL, obj, NULL, err);
}

static int api_patch(void *ctx, const struct kube_resource *r, const char *ns, const char *name, const char *sub,
		     const json_t *patch, struct error *err)
{
	struct runtime_api *a = ctx;
	return kube_patch(manager_client(a->manager), r, ns, name, sub, KUBE_PATCH_MERGE, patch, NULL, err);
}

static int api_remove(void *ctx, const struct kube_resource *r, const char *ns, const char *name, struct error *err)
{
	struct runtime_api *a = ctx;
	int rc = kube_delete(manager_client(a->manager), r, ns, name,
			     &(struct kube_delete_options){.grace_seconds = -1, .propagation = "Background"}, err);
	return rc == -ENOENT ? 0 : rc;
}

static void api_event(void *ctx, const json_t *obj, const char *type, const char *reason, const char *message)
{
	struct runtime_api *a = ctx;
	event_emit(a->recorder, obj, type, reason, "%s", message);
}

static int add_informer(struct runtime_api *a, const struct kube_resource *r, void (*transform)(json_t *obj),
			struct error *err)
{
	if (find(a, r) != NULL)
		return 0;
	assert(a->n < MAX_INFORMERS);
	struct informer *inf =
		manager_informer_with(a->manager, r, &(struct informer_options){.transform = transform, .log = a->log});
	if (inf == NULL)
		return error_set(err, -ENOMEM, "cache of %s: out of memory", r->plural);
	if (r == &KUBE_POD) {
		int rc = informer_add_index(inf, LABEL_RELEASE, release_of);
		if (rc < 0)
			return error_set(err, rc, "cache of %s: no index", r->plural);
	}
	a->informers[a->n].r = r;
	a->informers[a->n++].inf = inf;
	return 0;
}

int runtime_api_new(struct manager *m, struct event_recorder *recorder, struct logger *log, struct runtime_api **ret,
		    struct error *err)
{
	static const struct {
		const struct kube_resource *r;
		void (*transform)(json_t *obj);
	} read[] = {
		{&KUBE_POD, trim_pod},     {&KUBE_NODE, trim_node},        {&KUBE_CONFIGMAP, trim_config_map},
		{&KUBE_STATEFULSET, NULL}, {&KUBE_DAEMONSET, NULL},        {&KUBE_PV, NULL},
		{&KUBE_PVC, NULL},         {&dataset_kind.resource, NULL},
	};
	struct runtime_api *a = calloc(1, sizeof *a);
	if (a == NULL)
		return error_set(err, -ENOMEM, "runtime framework: out of memory");
	a->manager = m;
	a->recorder = recorder;
	a->log = log;
	a->ops = (struct engine_api){.get = api_get,
				     .list = api_list,
				     .apply = api_apply,
				     .patch = api_patch,
				     .remove = api_remove,
				     .event = api_event,
				     .ctx = a};
	for (size_t i = 0; i < ARRAY_LEN(read); i++) {
		int rc = add_informer(a, read[i].r, read[i].transform, err);
		if (rc < 0) {
			free(a);
			return rc;
		}
	}
	*ret = a;
	return 0;
}

int runtime_api_add(struct runtime_api *a, const struct kube_resource *r, struct error *err)
{
	return add_informer(a, r, NULL, err);
}

const struct engine_api *runtime_api_ops(const struct runtime_api *a)
{
	return &a->ops;
}

void runtime_api_free(struct runtime_api *a)
{
	free(a);
}
