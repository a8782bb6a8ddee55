#include "local/workload_graph.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/map.h"
#include "kube/client.h"
#include "json/json.h"

#define GONE_MAX 20000

struct graph {
	pthread_mutex_t lock;   /* guards all below */
	struct map *nodes;      /* uid -> struct graph_node, one reference */
	struct map *dependents; /* owner uid -> struct map of uid -> node (borrowed from nodes) */
	struct map *gone;       /* uid -> not NULL */
};

void graph_node_unref(struct graph_node *n)
{
	if (n == NULL || atomic_fetch_sub_explicit(&n->refs, 1, memory_order_acq_rel) != 1)
		return;
	for (size_t i = 0; i < n->n_owners; i++) {
		free(n->owners[i].uid);
		free(n->owners[i].api_version);
		free(n->owners[i].kind);
		free(n->owners[i].name);
	}
	free(n->owners);
	free(n->uid);
	free(n->ns);
	free(n->name);
	free(n);
}

static struct graph_node *node_ref(struct graph_node *n)
{
	atomic_fetch_add_explicit(&n->refs, 1, memory_order_relaxed);
	return n;
}

static void node_unref_v(void *n)
{
	graph_node_unref(n);
}

static void map_free_v(void *m)
{
	map_free(m);
}

struct graph *graph_new(void)
{
	struct graph *g = calloc(1, sizeof *g);
	if (g == NULL)
		return NULL;
	pthread_mutex_init(&g->lock, NULL);
	g->nodes = map_new(node_unref_v);
	g->dependents = map_new(map_free_v);
	g->gone = map_new(NULL);
	if (g->nodes != NULL && g->dependents != NULL && g->gone != NULL)
		return g;
	graph_free(g);
	return NULL;
}

void graph_free(struct graph *g)
{
	if (g == NULL)
		return;
	map_free(g->dependents);
	map_free(g->nodes);
	map_free(g->gone);
	pthread_mutex_destroy(&g->lock);
	free(g);
}

static bool owner_fill(struct graph_owner *o, const json_t *ref)
{
	o->uid = strdup(json_str(ref, "uid", ""));
	o->api_version = strdup(json_str(ref, "apiVersion", ""));
	o->kind = strdup(json_str(ref, "kind", ""));
	o->name = strdup(json_str(ref, "name", ""));
	o->block = json_bool(ref, "blockOwnerDeletion", false);
	return o->uid != NULL && o->api_version != NULL && o->kind != NULL && o->name != NULL;
}

static struct graph_node *node_new(const struct kube_resource *r, const json_t *obj)
{
	const json_t *refs = json_at(obj, "metadata.ownerReferences");
	CLEANUP(graph_node_unref_p) struct graph_node *n = calloc(1, sizeof *n);
	if (n == NULL)
		return NULL;
	atomic_init(&n->refs, 1);
	n->resource = r;
	n->uid = strdup(obj_uid(obj));
	n->ns = strdup(obj_namespace(obj));
	n->name = strdup(obj_name(obj));
	n->deleting = obj_deleting(obj);
	n->foreground = obj_has_finalizer(obj, "foregroundDeletion");
	n->orphan = obj_has_finalizer(obj, "orphan");
	n->owners = calloc(json_array_size(refs) + 1, sizeof *n->owners);
	if (n->uid == NULL || n->ns == NULL || n->name == NULL || n->owners == NULL)
		return NULL;
	for (; n->n_owners < json_array_size(refs);) {
		const json_t *ref = json_array_get(refs, n->n_owners);
		if (!owner_fill(&n->owners[n->n_owners++], ref)) /* counted first: what was filled is freed */
			return NULL;
	}
	return TAKE(n);
}

static void unlink_owners_locked(struct graph *g, const struct graph_node *n)
{
	for (size_t i = 0; i < n->n_owners; i++) {
		struct map *deps = map_get(g->dependents, n->owners[i].uid);
		if (deps == NULL)
			continue;
		(void)map_remove(deps, n->uid); /* the same owner may stand there twice */
		if (map_size(deps) == 0)
			(void)map_remove(g->dependents, n->owners[i].uid);
	}
}

static int link_owners_locked(struct graph *g, struct graph_node *n)
{
	for (size_t i = 0; i < n->n_owners; i++) {
		struct map *deps = map_get(g->dependents, n->owners[i].uid);
		if (deps == NULL) {
			deps = map_new(NULL);
			if (deps == NULL)
				return -ENOMEM;
			if (map_set(g->dependents, n->owners[i].uid, deps) < 0) {
				map_free(deps);
				return -ENOMEM;
			}
		}
		if (map_set(deps, n->uid, n) < 0)
			return -ENOMEM;
	}
	return 0;
}

static void remove_locked(struct graph *g, const char *uid)
{
	struct graph_node *n = map_get(g->nodes, uid);
	if (n == NULL)
		return;
	unlink_owners_locked(g, n);
	(void)map_steal(g->nodes, uid); /* ours now */
	graph_node_unref(n);
}

int graph_put(struct graph *g, const struct kube_resource *r, const json_t *obj)
{
	if (obj_uid(obj)[0] == '\0')
		return -EINVAL;
	struct graph_node *n = node_new(r, obj);
	if (n == NULL)
		return -ENOMEM;
	pthread_mutex_lock(&g->lock);
	remove_locked(g, n->uid);
	int rc = map_set(g->nodes, n->uid, n);
	if (rc < 0)
		graph_node_unref(n);
	else if ((rc = link_owners_locked(g, n)) < 0)
		remove_locked(g, obj_uid(obj));
	pthread_mutex_unlock(&g->lock);
	return rc;
}

void graph_remove(struct graph *g, const char *uid)
{
	static char mark;
	pthread_mutex_lock(&g->lock);
	remove_locked(g, uid);
	if (map_size(g->gone) >= GONE_MAX) { /* only a help: without it the server is asked */
		struct map *fresh = map_new(NULL);
		if (fresh != NULL) {
			map_free(g->gone);
			g->gone = fresh;
		}
	}
	(void)map_set(g->gone, uid, &mark); /* as above */
	pthread_mutex_unlock(&g->lock);
}

struct graph_node *graph_get(struct graph *g, const char *uid)
{
	pthread_mutex_lock(&g->lock);
	struct graph_node *n = map_get(g->nodes, uid);
	if (n != NULL)
		node_ref(n);
	pthread_mutex_unlock(&g->lock);
	return n;
}

bool graph_is_gone(struct graph *g, const char *uid)
{
	pthread_mutex_lock(&g->lock);
	bool gone = map_has(g->gone, uid);
	pthread_mutex_unlock(&g->lock);
	return gone;
}

/* References to the nodes in @from (of @r, when not NULL); malloc'ed; NULL on no memory. */
static struct graph_node **collect_locked(const struct map *from, const struct kube_resource *r, size_t *ret_n)
{
	struct graph_node **list = calloc((from != NULL ? map_size(from) : 0) + 1, sizeof(struct graph_node *));
	size_t pos = 0, n = 0;
	const char *key;
	void *value;
	while (list != NULL && from != NULL && map_next(from, &pos, &key, &value)) {
		struct graph_node *node = value;
		if (r == NULL || node->resource == r)
			list[n++] = node_ref(node);
	}
	*ret_n = n;
	return list;
}

static int call_each(struct graph_node **list, size_t n, int (*fn)(void *ctx, const struct graph_node *n), void *ctx)
{
	int rc = list != NULL ? 0 : -ENOMEM;
	for (size_t i = 0; list != NULL && i < n; i++) {
		if (rc == 0)
			rc = fn(ctx, list[i]);
		graph_node_unref(list[i]);
	}
	free(list);
	return rc;
}

int graph_each_dependent(struct graph *g, const char *uid, int (*fn)(void *ctx, const struct graph_node *n), void *ctx)
{
	size_t n;
	pthread_mutex_lock(&g->lock);
	struct graph_node **list = collect_locked(map_get(g->dependents, uid), NULL, &n);
	pthread_mutex_unlock(&g->lock);
	return call_each(list, n, fn, ctx);
}

int graph_each(struct graph *g, const struct kube_resource *r, int (*fn)(void *ctx, const struct graph_node *n),
	       void *ctx)
{
	size_t n;
	pthread_mutex_lock(&g->lock);
	struct graph_node **list = collect_locked(g->nodes, r, &n);
	pthread_mutex_unlock(&g->lock);
	return call_each(list, n, fn, ctx);
}
