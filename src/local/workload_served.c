#include "local/workload_served.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/error.h"
#include "base/log.h"
#include "base/str.h"
#include "kube/client.h"
#include "kube/discovery.h"
#include "kube/informer.h"
#include "local/workload_graph.h"
#include "json/json.h"

/* One resource ever seen; kept to the end, because nodes of the graph point to its resource. */
struct known {
	struct known *next;
	struct served *served;
	const struct discovered *x;
	struct informer *inf; /* NULL: not watched (events; or served no more) */
	bool watchable;
	bool present, seen; /* served now; seen in the discovery that is under way */
};

struct served {
	struct kube_client *client;
	struct discovery *discovery;
	struct logger *log;
	struct graph *graph;
	served_changed changed;
	void *ctx;
	pthread_mutex_t lock; /* guards the list, present and inf */
	struct known *list;
	bool discovered;
};

int served_new(struct kube_client *c, struct logger *log, struct graph *g, served_changed changed, void *ctx,
	       struct served **ret, struct error *err)
{
	struct served *s = calloc(1, sizeof *s);
	if (s == NULL)
		return error_set(err, -ENOMEM, "discovery: out of memory");
	*s = (struct served){.client = c, .log = log, .graph = g, .changed = changed, .ctx = ctx};
	const int rc = discovery_new(c, &s->discovery, err);
	if (rc < 0) {
		free(s);
		return rc;
	}
	pthread_mutex_init(&s->lock, NULL);
	*ret = s;
	return 0;
}

void served_free(struct served *s)
{
	if (s == NULL)
		return;
	for (struct known *k = s->list; k != NULL; k = k->next) {
		if (k->inf != NULL)
			informer_stop(k->inf); /* all at once, then wait for each */
	}
	for (struct known *k = s->list, *next; k != NULL; k = next) {
		next = k->next;
		informer_free(k->inf);
		free(k);
	}
	discovery_free(s->discovery); /* after the informers, which use its resources */
	pthread_mutex_destroy(&s->lock);
	free(s);
}

/* --- watching one resource --- */

/* Nothing but what ownership needs is kept, above all no data of Secrets. */
static void only_metadata(json_t *obj)
{
	static const char *const kept[] = {
		"name", "namespace", "uid", "resourceVersion", "deletionTimestamp", "finalizers", "ownerReferences"};
	const char *key;
	json_t *v;
	void *tmp;
	json_object_foreach_safe (obj, tmp, key, v) {
		if (strcmp(key, "metadata") != 0 && strcmp(key, "kind") != 0 && strcmp(key, "apiVersion") != 0)
			(void)json_object_del(obj, key); /* it is there */
	}
	json_t *meta = json_object_get(obj, "metadata");
	json_object_foreach_safe (meta, tmp, key, v) {
		bool keep = false;
		for (size_t i = 0; i < ARRAY_LEN(kept); i++)
			keep = keep || strcmp(key, kept[i]) == 0;
		if (!keep)
			(void)json_object_del(meta, key); /* it is there */
	}
}

static void on_object(void *ctx, enum informer_event ev, const json_t *old, const json_t *obj)
{
	struct known *k = ctx;
	struct served *s = k->served;
	const bool replaced = old != NULL && strcmp(obj_uid(old), obj_uid(obj)) != 0;
	if (replaced) { /* deleted and made again between two looks */
		graph_remove(s->graph, obj_uid(old));
		s->changed(s->ctx, NULL, old, true);
		old = NULL;
	}
	if (ev == INFORMER_DELETED)
		graph_remove(s->graph, obj_uid(obj));
	else if (graph_put(s->graph, &k->x->r, obj) == -ENOMEM)
		LOG(s->log, LOG_LVL_ERROR, "garbage collector misses an object: out of memory",
		    LOG_STR("name", obj_name(obj)));
	s->changed(s->ctx, old, obj, ev == INFORMER_DELETED);
}

static int start_watch(struct served *s, struct known *k, struct error *err)
{
	struct informer *inf = NULL;
	int rc = informer_new(s->client, &k->x->r,
			      &(struct informer_options){.transform = only_metadata, .log = s->log}, &inf, err);
	if (rc == 0 && (rc = informer_add_handler(inf, on_object, k)) < 0)
		rc = error_set(err, rc, "watch %s: out of memory", k->x->r.plural);
	if (rc == 0)
		rc = informer_start(inf, err);
	if (rc < 0) {
		informer_free(inf);
		return rc;
	}
	pthread_mutex_lock(&s->lock);
	k->inf = inf;
	pthread_mutex_unlock(&s->lock);
	return 0;
}

static int tell_gone(void *ctx, const struct graph_node *n)
{
	struct served *s = ctx;
	JSON_AUTO obj =
		json_pack("{s:{s:s, s:s, s:s}}", "metadata", "name", n->name, "namespace", n->ns, "uid", n->uid);
	graph_remove(s->graph, n->uid);
	if (obj == NULL)
		return -ENOMEM;
	s->changed(s->ctx, NULL, obj, true);
	return 0;
}

static void stop_watch(struct served *s, struct known *k)
{
	pthread_mutex_lock(&s->lock);
	struct informer *inf = TAKE(k->inf);
	k->present = false;
	pthread_mutex_unlock(&s->lock);
	informer_free(inf);
	if (graph_each(s->graph, &k->x->r, tell_gone, s) < 0)
		LOG(s->log, LOG_LVL_ERROR, "garbage collector misses a deletion: out of memory",
		    LOG_STR("resource", k->x->r.plural));
}

/* --- discovery --- */

static int note_resource(void *ctx, const struct discovered *x)
{
	struct served *s = ctx;
	const unsigned needed = DISCOVERY_LIST | DISCOVERY_DELETE;
	struct known *k = s->list;
	if (!x->preferred || (x->verbs & needed) != needed)
		return 0;
	while (k != NULL && k->x != x)
		k = k->next;
	if (k == NULL && (k = calloc(1, sizeof *k)) == NULL)
		return -ENOMEM;
	k->seen = true;
	if (k->x != NULL)
		return 0;
	k->served = s;
	k->x = x;
	/* Events own nothing and are many: deleted with their namespace, not watched. */
	k->watchable = (x->verbs & DISCOVERY_WATCH) != 0 && strcmp(x->r.plural, "events") != 0;
	pthread_mutex_lock(&s->lock);
	k->next = s->list;
	s->list = k;
	pthread_mutex_unlock(&s->lock);
	return 0;
}

static int discover_all(struct served *s, struct error *err)
{
	int rc = discovery_refresh(s->discovery, err);
	if (rc < 0)
		return rc;
	for (struct known *k = s->list; k != NULL; k = k->next)
		k->seen = false;
	rc = discovery_each(s->discovery, note_resource, s);
	return rc < 0 ? error_set(err, rc, "discovery: out of memory") : 0;
}

int served_refresh(struct served *s, struct error *err)
{
	int rc = discover_all(s, err); /* complete or nothing: half an answer would make objects look gone */
	if (rc < 0)
		return rc;
	for (struct known *k = s->list; k != NULL; k = k->next) {
		if (!k->seen && k->present) {
			stop_watch(s, k);
			continue;
		}
		if (!k->seen)
			continue;
		pthread_mutex_lock(&s->lock);
		k->present = true;
		pthread_mutex_unlock(&s->lock);
		if (k->watchable && k->inf == NULL && (rc = start_watch(s, k, err)) < 0)
			return rc;
	}
	pthread_mutex_lock(&s->lock);
	s->discovered = true;
	pthread_mutex_unlock(&s->lock);
	return 0;
}

bool served_synced(struct served *s)
{
	pthread_mutex_lock(&s->lock);
	bool all = s->discovered;
	for (struct known *k = s->list; k != NULL; k = k->next) {
		if (k->present && k->watchable)
			all = all && k->inf != NULL && informer_synced(k->inf);
	}
	pthread_mutex_unlock(&s->lock);
	return all;
}

const struct kube_resource *served_find(struct served *s, const char *api_version, const char *kind)
{
	const char *slash = strchr(api_version, '/');
	const size_t n = slash != NULL ? (size_t)(slash - api_version) : 0;
	const struct kube_resource *found = NULL;
	pthread_mutex_lock(&s->lock);
	for (const struct known *k = s->list; k != NULL && found == NULL; k = k->next) {
		if (k->present && strlen(k->x->r.group) == n && strncmp(k->x->r.group, api_version, n) == 0 &&
		    strcmp(k->x->r.kind, kind) == 0)
			found = &k->x->r;
	}
	pthread_mutex_unlock(&s->lock);
	return found;
}

int served_each_namespaced(struct served *s, int (*fn)(void *ctx, const struct kube_resource *r, struct error *err),
			   void *ctx, struct error *err)
{
	pthread_mutex_lock(&s->lock);
	const bool known = s->discovered;
	const struct known *k = s->list; /* the list only grows at its head: what follows is stable */
	pthread_mutex_unlock(&s->lock);
	if (!known)
		return error_set(err, -EAGAIN, "what the server serves is not known yet");
	for (int rc; k != NULL; k = k->next) {
		pthread_mutex_lock(&s->lock);
		const bool use = k->present && k->x->r.namespaced;
		pthread_mutex_unlock(&s->lock);
		if (use && (rc = fn(ctx, &k->x->r, err)) < 0)
			return rc;
	}
	return 0;
}
