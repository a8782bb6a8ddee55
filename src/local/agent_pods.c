/* The table of pods that run here. */
#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/error.h"
#include "base/log.h"
#include "base/map.h"
#include "base/str.h"
#include "kube/client.h"
#include "kube/workqueue.h"
#include "local/agent_private.h"
#include "json/json.h"

struct pod_run *pod_run_ref(struct pod_run *p)
{
	(void)atomic_fetch_add_explicit(&p->refs, 1, memory_order_relaxed);
	return p;
}

struct pod_run *pod_run_unref(struct pod_run *p)
{
	if (p == NULL || atomic_fetch_sub_explicit(&p->refs, 1, memory_order_acq_rel) != 1)
		return NULL;
	for (size_t i = 0; i < p->n_containers; i++) {
		free(p->containers[i].name);
		for (int k = 0; k < PROBE_KINDS; k++)
			probe_free(p->containers[i].probes[k]);
	}
	free(p->containers);
	json_decref(p->ref);
	json_decref(p->obj);
	json_decref(p->volumes);
	json_decref(p->conditions);
	free(p->status_text);
	free(p->saved_text);
	free(p->hosts_text);
	free(p->uid);
	free(p->ns);
	free(p->name);
	(void)pthread_mutex_destroy(&p->lock);
	free(p);
	return NULL;
}

static void pod_run_unref_p(struct pod_run **p)
{
	pod_run_unref(*p);
}

struct pod_run *agent_find(struct agent *a, const char *uid)
{
	pthread_mutex_lock(&a->lock);
	struct pod_run *p = map_get(a->runs, uid);
	if (p != NULL)
		pod_run_ref(p);
	pthread_mutex_unlock(&a->lock);
	return p;
}

static int add_container(struct pod_run *p, const json_t *spec, bool init, size_t index)
{
	struct container_run *c = &p->containers[p->n_containers];
	*c = (struct container_run){
		.init = init, .index = index, .unhealthy_grace = -1, .name = strdup(json_str(spec, "name", ""))};
	if (c->name == NULL)
		return -ENOMEM;
	p->n_containers++;
	/* What cannot be asked has been refused by pod_check() by the time it would be. */
	for (int k = 0; k < PROBE_KINDS && !init; k++)
		(void)probe_parse(spec, k, AGENT_ADDRESS, &c->probes[k], NULL);
	return 0;
}

static int add_containers(struct pod_run *p, const json_t *obj)
{
	const json_t *init = json_at(obj, "spec.initContainers"), *list = json_at(obj, "spec.containers");
	p->n_init = json_array_size(init);
	p->containers = calloc(p->n_init + json_array_size(list) + 1, sizeof *p->containers);
	if (p->containers == NULL)
		return -ENOMEM;
	size_t i;
	const json_t *c;
	int rc = 0;
	json_array_foreach (init, i, c)
		rc = rc ?: add_container(p, c, true, i);
	json_array_foreach (list, i, c)
		rc = rc ?: add_container(p, c, false, i);
	return rc;
}

void pod_take_status(struct pod_run *p, const json_t *obj)
{
	size_t i;
	const json_t *c;
	json_array_foreach (json_at(obj, "status.conditions"), i, c)
		(void)json_object_set_new(p->conditions, json_str(c, "type", ""),
					  json_pack("{s:s, s:s}", "status", json_str(c, "status", ""),
						    "lastTransitionTime", json_str(c, "lastTransitionTime", "")));
	(void)clock_parse_rfc3339(json_str(obj, "status.startTime", ""), &p->started_wall_ns); /* absent: starts now */
}

static struct pod_run *pod_run_new(struct agent *a, const json_t *obj)
{
	CLEANUP(pod_run_unref_p) struct pod_run *p = calloc(1, sizeof *p);
	if (p == NULL)
		return NULL;
	p->agent = a;
	atomic_init(&p->refs, 1);
	(void)pthread_mutex_init(&p->lock, NULL);
	p->uid = strdup(obj_uid(obj));
	p->ns = strdup(obj_namespace(obj));
	p->name = strdup(obj_name(obj));
	p->obj = json_deep_copy(obj);
	p->conditions = json_object();
	p->ref = json_pack("{s:s, s:s, s:{s:s, s:s, s:s}}", "apiVersion", "v1", "kind", "Pod", "metadata", "namespace",
			   obj_namespace(obj), "name", obj_name(obj), "uid", obj_uid(obj));
	if (p->ref == NULL || p->uid == NULL || p->ns == NULL || p->name == NULL || p->obj == NULL ||
	    p->conditions == NULL || add_containers(p, obj) < 0)
		return NULL;
	p->started_wall_ns = clock_wall_ns();
	const int64_t grace = json_int(obj, "spec.terminationGracePeriodSeconds", 30);
	p->grace_hint_ns = (grace < 0 ? 0 : grace > 3600 ? 3600 : grace) * NSEC_PER_SEC;
	return TAKE(p);
}

struct pod_run *agent_add(struct agent *a, const json_t *obj)
{
	const char *uid = obj_uid(obj);
	pthread_mutex_lock(&a->lock);
	struct pod_run *p = map_get(a->runs, uid);
	pthread_mutex_unlock(&a->lock);
	if (p != NULL)
		return p;
	/* Pods are added by one thread, so nobody else adds this one meanwhile. */
	p = pod_run_new(a, obj);
	if (p == NULL)
		return NULL;
	pthread_mutex_lock(&a->lock);
	const int rc = map_set(a->runs, uid, p);
	pthread_mutex_unlock(&a->lock);
	return rc == 0 ? p : pod_run_unref(p);
}

void agent_remove(struct agent *a, struct pod_run *p)
{
	pthread_mutex_lock(&a->lock);
	struct pod_run *held = map_get(a->runs, p->uid) == p ? map_steal(a->runs, p->uid) : NULL;
	pthread_mutex_unlock(&a->lock);
	pod_run_unref(held);
}

void agent_queue_all(struct agent *a)
{
	pthread_mutex_lock(&a->lock);
	size_t pos = 0;
	const char *uid;
	while (map_next(a->runs, &pos, &uid, NULL))
		(void)workqueue_add(a->work, uid); /* no memory: its own timer queues it */
	pthread_mutex_unlock(&a->lock);
}

void agent_each(struct agent *a, void (*fn)(void *ctx, struct pod_run *p), void *ctx)
{
	pthread_mutex_lock(&a->lock);
	const size_t max = map_size(a->runs);
	struct pod_run **list = calloc(max + 1, sizeof *list);
	size_t n = 0, pos = 0;
	const char *uid;
	void *p;
	while (list != NULL && n < max && map_next(a->runs, &pos, &uid, &p))
		list[n++] = pod_run_ref(p);
	pthread_mutex_unlock(&a->lock);
	for (size_t i = 0; i < n; i++) {
		fn(ctx, list[i]);
		pod_run_unref(list[i]);
	}
	free(list);
}

struct container_run *pod_container(struct pod_run *p, const char *name)
{
	for (size_t i = 0; i < p->n_containers; i++)
		if (strcmp(p->containers[i].name, name) == 0)
			return &p->containers[i];
	return NULL;
}

const json_t *container_spec(const struct pod_run *p, const struct container_run *c)
{
	return json_array_get(json_at(p->obj, c->init ? "spec.initContainers" : "spec.containers"), c->index);
}

struct by_name {
	const char *ns, *name;
	struct pod_run *found;
};

static void match(void *ctx, struct pod_run *p)
{
	struct by_name *b = ctx;
	if (strcmp(p->ns, b->ns) != 0 || strcmp(p->name, b->name) != 0 ||
	    atomic_load_explicit(&p->gone, memory_order_acquire))
		return;
	/* Where an old pod of that name still ends, the one that came later is meant: it comes later in the table. */
	pod_run_unref(b->found);
	b->found = pod_run_ref(p);
}

struct pod_run *agent_find_named(struct agent *a, const char *ns, const char *name)
{
	struct by_name b = {.ns = ns, .name = name};
	agent_each(a, match, &b);
	return b.found;
}

size_t agent_split_path(const char *path, char part[][AGENT_PART_MAX], size_t max)
{
	struct str rest = str_from(path), one;
	size_t n = 0;
	if (!str_split_next(&rest, '/', &one) || one.n > 0)
		return 0;
	while (str_split_next(&rest, '/', &one)) {
		if (n == max || one.n == 0 || one.n >= AGENT_PART_MAX)
			return 0;
		memcpy(part[n], one.p, one.n);
		part[n++][one.n] = '\0';
	}
	return n;
}
