/*
 * Garbage collector: objects whose owners are all gone are deleted; "foreground" owners wait for the dependents that block them;
 * "orphan" owners let their dependents go first. Keys are uids; the graph says what exists, the server decides.
 */
#include <errno.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/error.h"
#include "base/log.h"
#include "base/str.h"
#include "local/workload_graph.h"
#include "local/workload_private.h"
#include "local/workload_served.h"
#include "json/json.h"

#define KEY_DISCOVERY "#discovery" /* no uid looks like that */
#define FOREGROUND    "foregroundDeletion"
#define ORPHAN        "orphan"

static int no_memory(struct error *err)
{
	return error_set(err, -ENOMEM, "garbage collector: out of memory");
}

static int get_live(struct workload *w, const struct graph_node *n, json_t **ret, struct error *err)
{
	int rc = kube_get(w->client, n->resource, n->ns, n->name, ret, err);
	if (rc < 0)
		return rc;
	if (strcmp(obj_uid(*ret), n->uid) == 0)
		return 0;
	json_decref(*ret);
	*ret = NULL;
	return -ENOENT; /* another object of the same name */
}

/* Merge-patch metadata.@member to @value (reference taken), as of @obj's version. Gone or changed meanwhile is fine: that comes to us. */
static int patch_metadata(struct workload *w, const struct graph_node *n, const json_t *obj, const char *member,
			  json_t *value, struct error *err)
{
	JSON_AUTO patch =
		json_pack("{s:{s:s, s:o}}", "metadata", "resourceVersion", obj_resource_version(obj), member, value);
	if (patch == NULL)
		return no_memory(err);
	int rc = kube_patch(w->client, n->resource, n->ns, n->name, NULL, KUBE_PATCH_MERGE, patch, NULL, err);
	return rc == -ENOENT ? 0 : rc;
}

static int remove_finalizer(struct workload *w, const struct graph_node *n, const char *finalizer, struct error *err)
{
	JSON_AUTO obj = NULL;
	int rc = get_live(w, n, &obj, err);
	if (rc < 0 || !obj_has_finalizer(obj, finalizer))
		return rc == -ENOENT ? 0 : rc;
	json_t *left = json_array();
	size_t i;
	json_t *f;
	json_array_foreach (json_at(obj, "metadata.finalizers"), i, f) {
		if (!str_same(json_string_value(f), finalizer) && json_array_append(left, f) < 0) {
			json_decref(left);
			return no_memory(err);
		}
	}
	return patch_metadata(w, n, obj, "finalizers", left, err);
}

/* --- what an owner is to its dependent --- */

enum owner_state { OWNER_SOLID, OWNER_WAITING, OWNER_ABSENT, OWNER_UNKNOWN };

static bool in_reach(const struct graph_node *owner, const char *ns)
{
	return owner->ns[0] == '\0' || strcmp(owner->ns, ns) == 0;
}

/* By the graph alone: OWNER_UNKNOWN when only the server can tell. */
static enum owner_state owner_in_graph(struct workload *w, const char *uid, const char *ns)
{
	CLEANUP(graph_node_unref_p) struct graph_node *owner = graph_get(w->graph, uid);
	if (owner != NULL && in_reach(owner, ns))
		return owner->deleting && owner->foreground ? OWNER_WAITING : OWNER_SOLID;
	return owner == NULL && graph_is_gone(w->graph, uid) ? OWNER_ABSENT : OWNER_UNKNOWN;
}

static int owner_state(struct workload *w, const json_t *ref, const char *ns, enum owner_state *ret, struct error *err)
{
	const char *uid = json_str(ref, "uid", ""), *kind = json_str(ref, "kind", "");
	*ret = owner_in_graph(w, uid, ns);
	if (*ret != OWNER_UNKNOWN)
		return 0;
	const struct kube_resource *r = served_find(w->served, json_str(ref, "apiVersion", ""), kind);
	if (r == NULL)
		return 0; /* unknown it stays: never delete what cannot be judged; a new kind brings us back */
	if (r->namespaced && ns[0] == '\0') {
		*ret = OWNER_ABSENT; /* a cluster-scoped object cannot have such an owner */
		return 0;
	}
	JSON_AUTO owner = NULL;
	int rc = kube_get(w->client, r, ns, json_str(ref, "name", ""), &owner, err);
	if (rc < 0 && rc != -ENOENT)
		return rc;
	if (rc == -ENOENT || strcmp(obj_uid(owner), uid) != 0)
		*ret = OWNER_ABSENT;
	else
		*ret = obj_deleting(owner) && obj_has_finalizer(owner, FOREGROUND) ? OWNER_WAITING : OWNER_SOLID;
	return 0;
}

/* --- dependents --- */

struct dependents {
	struct workload *w;
	const struct graph_node *owner;
	struct error *err;
	size_t all, blocking;
};

static int count_dependent(void *ctx, const struct graph_node *n)
{
	struct dependents *d = ctx;
	d->all++;
	for (size_t i = 0; i < n->n_owners; i++)
		d->blocking += n->owners[i].block && strcmp(n->owners[i].uid, d->owner->uid) == 0;
	return 0;
}

static int queue_dependent(void *ctx, const struct graph_node *n)
{
	struct workload *w = ctx;
	controller_enqueue(w->gc_queue, "", n->uid);
	return 0;
}

/* The ownerReferences of @obj without the uids that @drop accepts; NULL on no memory. */
static json_t *refs_without(struct workload *w, const json_t *obj,
			    bool (*drop)(struct workload *w, const json_t *ref, const char *ns, const char *uid),
			    const char *uid)
{
	json_t *left = json_array();
	size_t i;
	json_t *ref;
	json_array_foreach (json_at(obj, "metadata.ownerReferences"), i, ref) {
		if (drop(w, ref, obj_namespace(obj), uid))
			continue;
		if (json_array_append(left, ref) < 0) {
			json_decref(left);
			return NULL;
		}
	}
	return left;
}

static bool has_uid(struct workload *w, const json_t *ref, const char *ns, const char *uid)
{
	(void)w;
	(void)ns;
	return strcmp(json_str(ref, "uid", ""), uid) == 0;
}

static int let_go(void *ctx, const struct graph_node *n)
{
	struct dependents *d = ctx;
	JSON_AUTO obj = NULL;
	int rc = get_live(d->w, n, &obj, d->err);
	if (rc < 0)
		return rc == -ENOENT ? 0 : rc;
	json_t *left = refs_without(d->w, obj, has_uid, d->owner->uid);
	return left != NULL ? patch_metadata(d->w, n, obj, "ownerReferences", left, d->err) : no_memory(d->err);
}

/* --- an owner that is being deleted --- */

static int tend_orphaning(struct workload *w, const struct graph_node *n, struct error *err)
{
	struct dependents d = {.w = w, .owner = n, .err = err};
	int rc = graph_each_dependent(w->graph, n->uid, let_go, &d);
	return rc < 0 ? rc : remove_finalizer(w, n, ORPHAN, err);
}

static int tend_foreground(struct workload *w, const struct graph_node *n, struct error *err)
{
	struct dependents d = {.w = w, .owner = n, .err = err};
	int rc = graph_each_dependent(w->graph, n->uid, count_dependent, &d);
	if (rc < 0)
		return no_memory(err);
	if (d.blocking == 0)
		return remove_finalizer(w, n, FOREGROUND, err);
	rc = graph_each_dependent(w->graph, n->uid, queue_dependent, w);
	return rc < 0 ? no_memory(err) : 0;
}

/* --- an object with owners --- */

static bool all_solid_in_graph(struct workload *w, const struct graph_node *n)
{
	for (size_t i = 0; i < n->n_owners; i++) {
		if (owner_in_graph(w, n->owners[i].uid, n->ns) != OWNER_SOLID)
			return false;
	}
	return true;
}

struct owners {
	size_t solid, waiting, absent, unknown;
};

static int judge_owners(struct workload *w, const json_t *obj, struct owners *ret, struct error *err)
{
	size_t i;
	json_t *ref;
	json_array_foreach (json_at(obj, "metadata.ownerReferences"), i, ref) {
		enum owner_state state;
		int rc = owner_state(w, ref, obj_namespace(obj), &state, err);
		if (rc < 0)
			return rc;
		ret->solid += state == OWNER_SOLID;
		ret->waiting += state == OWNER_WAITING;
		ret->absent += state == OWNER_ABSENT;
		ret->unknown += state == OWNER_UNKNOWN;
	}
	return 0;
}

/* Not to be kept beside an owner that stays. On doubt it is kept. */
static bool is_void(struct workload *w, const json_t *ref, const char *ns, const char *uid)
{
	enum owner_state state = OWNER_UNKNOWN;
	(void)uid;
	return owner_state(w, ref, ns, &state, NULL) == 0 && (state == OWNER_ABSENT || state == OWNER_WAITING);
}

static int delete_object(struct workload *w, const struct graph_node *n, const json_t *obj, const struct owners *o,
			 struct error *err)
{
	struct dependents d = {.w = w, .owner = n, .err = err};
	if (graph_each_dependent(w->graph, n->uid, count_dependent, &d) < 0)
		return no_memory(err);
	const char *how = "Background";
	if (obj_has_finalizer(obj, ORPHAN))
		how = "Orphan";
	else if (obj_has_finalizer(obj, FOREGROUND) || (o->waiting > 0 && d.all > 0))
		how = "Foreground"; /* its own dependents first: the owner waits for all of them */
	const struct kube_delete_options opt = {
		.grace_seconds = -1, .uid = n->uid, .resource_version = obj_resource_version(obj), .propagation = how};
	int rc = kube_delete(w->client, n->resource, n->ns, n->name, &opt, err);
	return rc == -ENOENT ? 0 : rc;
}

static int tend_dependent(struct workload *w, const struct graph_node *n, struct error *err)
{
	struct owners o = {0};
	JSON_AUTO obj = NULL;
	if (all_solid_in_graph(w, n))
		return 0;
	int rc = get_live(w, n, &obj, err);
	if (rc < 0)
		return rc == -ENOENT ? 0 : rc;
	if (obj_deleting(obj) || (rc = judge_owners(w, obj, &o, err)) < 0)
		return rc;
	if (o.absent + o.waiting == 0 || (o.solid == 0 && o.unknown > 0))
		return 0;
	if (o.solid == 0)
		return delete_object(w, n, obj, &o, err);
	json_t *left = refs_without(w, obj, is_void, NULL);
	if (left == NULL)
		return no_memory(err);
	return patch_metadata(w, n, obj, "ownerReferences", left, err);
}

/* --- the queue --- */

static int queue_owned(void *ctx, const struct graph_node *n)
{
	return n->n_owners > 0 ? queue_dependent(ctx, n) : 0;
}

static int refresh(struct workload *w, struct error *err)
{
	int rc = served_refresh(w->served, err);
	if (rc < 0)
		return rc;
	/* owners of kinds that were not served before can be judged now */
	rc = graph_each(w->graph, NULL, queue_owned, w);
	return rc < 0 ? no_memory(err) : 0;
}

static int reconcile(void *ctx, const char *ns, const char *name, struct reconcile_result *ret, struct error *err)
{
	struct workload *w = ctx;
	(void)ns;
	if (strcmp(name, KEY_DISCOVERY) == 0)
		return refresh(w, err);
	CLEANUP(graph_node_unref_p) struct graph_node *n = graph_get(w->graph, name);
	if (n == NULL)
		return 0;
	if (n->deleting && (n->orphan || n->foreground)) {
		if (!served_synced(w->served)) { /* dependents may not be known yet: deciding now could lose them */
			ret->requeue_after_ns = 200 * NSEC_PER_MSEC;
			return 0;
		}
		return n->orphan ? tend_orphaning(w, n, err) : tend_foreground(w, n, err);
	}
	return n->n_owners > 0 && !n->deleting ? tend_dependent(w, n, err) : 0;
}

static void queue_owners_of(struct workload *w, const json_t *obj)
{
	size_t i;
	json_t *ref;
	json_array_foreach (json_at(obj, "metadata.ownerReferences"), i, ref) {
		controller_enqueue(w->gc_queue, "", json_str(ref, "uid", ""));
	}
}

static void on_change(void *ctx, const json_t *old, const json_t *obj, bool gone)
{
	struct workload *w = ctx;
	if (!gone) {
		controller_enqueue(w->gc_queue, "", obj_uid(obj));
		if (old != NULL &&
		    !json_same(json_at(old, "metadata.ownerReferences"), json_at(obj, "metadata.ownerReferences")))
			queue_owners_of(w, old);
		return;
	}
	queue_owners_of(w, obj); /* one of them may wait for just this */
	if (graph_each_dependent(w->graph, obj_uid(obj), queue_dependent, w) < 0)
		LOG(w->log, LOG_LVL_ERROR, "garbage collector misses a deletion: out of memory",
		    LOG_STR("name", obj_name(obj)));
	if (obj_namespace(obj)[0] != '\0')
		controller_enqueue(w->namespace_queue, "",
				   obj_namespace(obj)); /* it may be ending and wait for its last object */
}

static void on_crd(void *ctx, struct controller *c, const json_t *crd)
{
	(void)ctx;
	(void)crd;
	controller_enqueue(c, "", KEY_DISCOVERY);
}

int workload_add_gc(struct workload *w, struct error *err)
{
	const struct controller_options o = {.name = "garbagecollector", .reconcile = reconcile, .ctx = w};
	w->graph = graph_new();
	if (w->graph == NULL)
		return no_memory(err);
	int rc = served_new(w->client, w->log, w->graph, on_change, w, &w->served, err);
	if (rc == 0)
		rc = controller_new(w->manager, &o, &w->gc_queue, err);
	if (rc < 0)
		return rc;
	rc = controller_watch_mapped(w->gc_queue, &KUBE_CRD, on_crd, w);
	if (rc < 0)
		return no_memory(err);
	controller_enqueue(w->gc_queue, "", KEY_DISCOVERY);
	return 0;
}
