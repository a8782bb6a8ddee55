/* Informers of the agent: pods of this node, and what they refer to. */
#include <string.h>

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/error.h"
#include "kube/client.h"
#include "kube/informer.h"
#include "kube/resource.h"
#include "kube/workqueue.h"
#include "local/agent_private.h"
#include "json/json.h"

#define SYNC_TIMEOUT_NS (60 * NSEC_PER_SEC)

static void names_changed(struct agent *a)
{
	(void)atomic_fetch_add_explicit(&a->names_version, 1, memory_order_acq_rel);
	agent_queue_all(a);
}

static void on_pod(void *ctx, enum informer_event ev, const json_t *old, const json_t *obj)
{
	struct agent *a = ctx;
	/* A new pod under the same name: the old one is to end. */
	if (old != NULL && strcmp(obj_uid(old), obj_uid(obj)) != 0)
		(void)workqueue_add(a->work, obj_uid(old)); /* no memory: its own timer queues it */
	if (ev != INFORMER_DELETED)
		(void)agent_add(a, obj); /* no memory: tried again with its next change */
	(void)workqueue_add(a->work, obj_uid(obj));
	if (ev != INFORMER_UPDATED && *json_str(obj, "spec.subdomain", "") != '\0')
		names_changed(a);
}

static void on_service(void *ctx, enum informer_event ev, const json_t *old, const json_t *obj)
{
	(void)old;
	(void)obj;
	if (ev != INFORMER_UPDATED)
		names_changed(ctx);
}

struct reference {
	struct agent *a;
	const char *field, *name_key; /* of a volume: "persistentVolumeClaim", "claimName" */
	const char *projected;        /* of a projected volume's source; NULL: none */
};

static bool refers(const json_t *volume, const struct reference *r, const char *name)
{
	const json_t *part = json_object_get(volume, r->field);
	if (part != NULL && strcmp(json_str(part, r->name_key, ""), name) == 0)
		return true;
	size_t i;
	const json_t *s;
	if (r->projected != NULL)
		json_array_foreach (json_at(volume, "projected.sources"), i, s)
			if (strcmp(json_str(json_object_get(s, r->projected), "name", ""), name) == 0)
				return true;
	return false;
}

/* Queue the pods of @obj's namespace with a volume of it. */
static void queue_users(const struct reference *r, const json_t *obj)
{
	JSON_AUTO pods = informer_list(r->a->pods, obj_namespace(obj));
	size_t i, k;
	const json_t *pod, *volume;
	json_array_foreach (pods, i, pod)
		json_array_foreach (json_at(pod, "spec.volumes"), k, volume) {
			if (!refers(volume, r, obj_name(obj)))
				continue;
			struct pod_run *p = agent_find(r->a, obj_uid(pod));
			if (p != NULL)
				atomic_store_explicit(&p->refresh_now, true, memory_order_release);
			pod_run_unref(p);
			(void)workqueue_add(r->a->work, obj_uid(pod)); /* no memory: its own timer queues it */
			break;
		}
}

static void on_claim(void *ctx, enum informer_event ev, const json_t *old, const json_t *obj)
{
	(void)old;
	if (ev != INFORMER_DELETED)
		queue_users(&(struct reference){ctx, "persistentVolumeClaim", "claimName", NULL}, obj);
}

static void on_config_map(void *ctx, enum informer_event ev, const json_t *old, const json_t *obj)
{
	(void)ev;
	(void)old;
	queue_users(&(struct reference){ctx, "configMap", "name", "configMap"}, obj);
}

static void on_secret(void *ctx, enum informer_event ev, const json_t *old, const json_t *obj)
{
	(void)ev;
	(void)old;
	queue_users(&(struct reference){ctx, "secret", "secretName", "secret"}, obj);
}

/* Only that it changed is of interest; what it holds is fetched when it is needed and kept nowhere. */
static void drop_data(json_t *obj)
{
	static const char *const fields[] = {"data", "binaryData", "stringData", "annotations"};
	for (size_t i = 0; i < ARRAY_LEN(fields); i++)
		(void)json_object_del(obj, fields[i]);
	(void)json_object_del(json_object_get(obj, "metadata"),
			      "annotations"); /* kubectl apply leaves the data there, too */
}

static int add(struct agent *a, const struct kube_resource *r, struct informer_options *o, informer_handler fn,
	       struct informer **ret, struct error *err)
{
	o->log = a->log;
	int rc = informer_new(a->client, r, o, ret, err);
	if (rc == 0)
		rc = informer_add_handler(*ret, fn, a);
	return rc < 0 ? error_wrap(err, rc, "watch %s", r->plural) : 0;
}

int watch_new(struct agent *a, struct error *err)
{
	char selector[300];
	(void)snprintf(selector, sizeof selector, "spec.nodeName=%s", a->node_name);
	int rc = add(a, &KUBE_POD, &(struct informer_options){.field_selector = selector}, on_pod, &a->pods, err);
	rc = rc ?: add(a, &KUBE_SERVICE, &(struct informer_options){0}, on_service, &a->services, err);
	rc = rc ?: add(a, &KUBE_PVC, &(struct informer_options){0}, on_claim, &a->claims, err);
	rc = rc
		     ?: add(a, &KUBE_CONFIGMAP, &(struct informer_options){.transform = drop_data}, on_config_map,
			    &a->config_maps, err);
	return rc
		       ?: add(a, &KUBE_SECRET, &(struct informer_options){.transform = drop_data}, on_secret,
			      &a->secrets, err);
}

static int wait_synced(struct agent *a, struct informer *inf, int64_t deadline, struct error *err)
{
	const char *what = informer_resource(inf)->plural;
	const int rc = informer_wait_synced(inf, deadline, a->stop_fd > 0 ? a->stop_fd : -1);
	if (rc == -ECANCELED)
		return error_set(err, rc, "stopped while waiting for the API server");
	if (rc < 0)
		return error_set(err, rc,
				 "the API server does not list %s: is it running, and is the kubeconfig its own?",
				 what);
	return 0;
}

int watch_start(struct agent *a, struct error *err)
{
	struct informer *const list[] = {a->pods, a->services, a->claims, a->config_maps, a->secrets};
	for (size_t i = 0; i < ARRAY_LEN(list); i++) {
		const int rc = informer_start(list[i], err);
		if (rc < 0)
			return rc;
	}
	const int64_t deadline = clock_mono_ns() + SYNC_TIMEOUT_NS;
	for (size_t i = 0; i < ARRAY_LEN(list); i++) {
		const int rc = wait_synced(a, list[i], deadline, err);
		if (rc < 0)
			return rc;
	}
	return 0;
}

void watch_free(struct agent *a)
{
	informer_free(a->pods);
	informer_free(a->services);
	informer_free(a->claims);
	informer_free(a->config_maps);
	informer_free(a->secrets);
}
