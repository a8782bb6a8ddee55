#include "runtime/reconciler.h"

#include <assert.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>

#include "api/dataset.h"
#include "base/clock.h"
#include "base/log.h"
#include "base/map.h"
#include "base/str.h"
#include "kube/client.h"
#include "runtime/calls.h"
#include "runtime/figures.h"
#include "runtime/fixed.h"
#include "runtime/metrics.h"
#include "runtime/nodes.h"
#include "runtime/objects.h"
#include "runtime/ports.h"
#include "runtime/shared.h"
#include "runtime/status.h"
#include "json/json.h"

struct reconciler {
	struct reconciler_options o;
	struct figures *pool;
	struct calls *calls;
	struct ports *own_ports; /* when the options have none */
	struct controller *controller;
	pthread_mutex_t lock; /* guards the two maps */
	struct map *engines;  /* "ns/name" → struct engine, owned */
	struct map *waiting;  /* keys of runtimes that want more nodes */
};

const struct engine_factory *engine_factory_find(const struct engine_factory *list, const char *name)
{
	for (const struct engine_factory *f = list; f->name != NULL; f++)
		if (strcmp(f->name, name) == 0)
			return f;
	return NULL;
}

static void free_engine(void *e)
{
	engine_free(e);
}

/* What goes on with a runtime that was begun goes before those that are new. */
static void wake(struct reconciler *r, const char *ns, const char *name)
{
	char key[320];
	if (r->controller == NULL || snprintf(key, sizeof key, "%s/%s", ns, name) >= (int)sizeof key)
		return; /* no object has such a name */
	pthread_mutex_lock(&r->lock);
	const bool begun = map_get(r->engines, key) != NULL;
	pthread_mutex_unlock(&r->lock);
	(begun ? controller_enqueue_urgent : controller_enqueue)(r->controller, ns, name);
}

/* A cache system has answered. */
static void figures_news(void *ctx, const char *ns, const char *name)
{
	wake(ctx, ns, name);
}

static int start_pools(struct reconciler *r, struct error *err)
{
	int rc = figures_new(&(struct figures_options){.api = r->o.api, .notify = figures_news, .ctx = r}, &r->pool,
			     err);
	if (rc < 0)
		return rc;
	return calls_new(
		&(struct calls_options){
			.api = r->o.api, .engine = r->o.runtime->runtime_type, .notify = figures_news, .ctx = r},
		&r->calls, err);
}

int reconciler_new(const struct reconciler_options *o, struct reconciler **ret, struct error *err)
{
	struct reconciler *r = calloc(1, sizeof *r);
	if (r == NULL)
		return error_set(err, -ENOMEM, "%s: out of memory", o->runtime->name);
	r->o = *o;
	if (r->o.pass_deadline_ns == 0)
		r->o.pass_deadline_ns = 600 * NSEC_PER_SEC;
	(void)pthread_mutex_init(&r->lock, NULL); /* cannot fail on Linux */
	r->engines = map_new(free_engine);
	r->waiting = map_new(NULL);
	if (r->o.ports == NULL)
		r->o.ports = r->own_ports = ports_new(o->limits->port_min, o->limits->port_max);
	if (r->engines == NULL || r->waiting == NULL || r->o.ports == NULL) {
		reconciler_free(r);
		return error_set(err, -ENOMEM, "%s: out of memory", o->runtime->name);
	}
	int rc = o->ask_figures ? start_pools(r, err) : 0;
	if (rc < 0) {
		reconciler_free(r);
		return rc;
	}
	*ret = r;
	return 0;
}

void reconciler_free(struct reconciler *r)
{
	if (r == NULL)
		return;
	figures_free(r->pool);
	calls_free(r->calls);
	ports_free(r->own_ports);
	map_free(r->engines);
	map_free(r->waiting);
	(void)pthread_mutex_destroy(&r->lock);
	free(r);
}

/* --- watches -------------------------------------------------------------------------------------------------------------------- */

static void map_same_key(void *ctx, struct controller *c, const json_t *obj)
{
	(void)c;
	wake(ctx, obj_namespace(obj), obj_name(obj));
}

static void map_release(void *ctx, struct controller *c, const json_t *obj)
{
	(void)c;
	const char *release = obj_label(obj, LABEL_RELEASE);
	if (release != NULL && obj_label(obj, LABEL_DATASET_ID) != NULL)
		wake(ctx, obj_namespace(obj), release);
}

static void map_claim_ref(void *ctx, struct controller *c, const json_t *obj)
{
	(void)c;
	if (str_same(obj_annotation(obj, ANNOTATION_CREATED), "fluid"))
		wake(ctx, json_str(obj, "spec.claimRef.namespace", ""), json_str(obj, "spec.claimRef.name", ""));
}

static void map_node(void *ctx, struct controller *c, const json_t *obj)
{
	(void)obj;
	struct reconciler *r = ctx;
	size_t pos = 0;
	const char *key;
	void *unused;
	JSON_AUTO keys = json_array();
	pthread_mutex_lock(&r->lock);
	while (map_next(r->waiting, &pos, &key, &unused))
		(void)json_array_append_new(
			keys, json_string(key)); /* one missed for want of memory: the next node event has it */
	pthread_mutex_unlock(&r->lock);
	size_t i;
	json_t *k;
	json_array_foreach (keys, i, k) {
		struct str rest = str_from(json_string_value(k)), ns;
		if (!str_split_next(&rest, '/', &ns))
			continue;
		CLEANUP(free_p) char *ns_text = strndup(ns.p, ns.n);
		if (ns_text != NULL)
			controller_enqueue(c, ns_text, rest.p);
	}
}

static void free_reconciler(void *r)
{
	reconciler_free(r);
}

int reconciler_register(struct reconciler *r, struct manager *m, int workers, struct error *err)
{
	const struct runtime_controller *rt = r->o.runtime;
	int rc = controller_new(m,
				&(struct controller_options){.name = rt->name,
							     .workers = workers,
							     .reconcile = reconciler_reconcile,
							     .ctx = r,
							     .free_ctx = free_reconciler},
				&r->controller, err);
	if (rc < 0) {
		reconciler_free(r);
		return rc;
	}
	const struct {
		const struct kube_resource *r;
		void (*map)(void *ctx, struct controller *c, const json_t *obj);
		controller_predicate wanted;
	} watched[] = {{&dataset_kind.resource, map_same_key, NULL},
		       {&KUBE_PVC, map_same_key, NULL},
		       {&KUBE_POD, map_release, NULL},
		       {&KUBE_PV, map_claim_ref, NULL},
		       {&KUBE_NODE, map_node, node_gives_room}};
	rc = controller_watch(r->controller, rt->resource);
	for (size_t i = 0; rt->kinds[i] != NULL && rc == 0; i++)
		rc = controller_watch_owned(r->controller, rt->kinds[i], rt->resource);
	for (size_t i = 0; i < ARRAY_LEN(watched) && rc == 0; i++)
		rc = controller_watch_mapped_if(r->controller, watched[i].r, watched[i].wanted, watched[i].map, r);
	return rc < 0 ? error_set(err, rc, "%s: cannot set up its watches", rt->name) : 0;
}

/* --- engines -------------------------------------------------------------------------------------------------------------------- */

static bool is_current(const struct engine *e, const struct reconcile_ctx *ctx)
{
	return str_same(e->runtime_uid, obj_uid(ctx->runtime)) &&
	       e->runtime_generation == json_int(ctx->runtime, "metadata.generation", 0) &&
	       (ctx->dataset == NULL || e->dataset_generation == json_int(ctx->dataset, "metadata.generation", 0));
}

static struct engine *engine_swap(struct reconciler *r, const char *key, struct engine *fresh, struct error *err)
{
	pthread_mutex_lock(&r->lock);
	struct engine *old = map_steal(r->engines, key);
	int rc = fresh != NULL ? map_set(r->engines, key, fresh) : 0;
	pthread_mutex_unlock(&r->lock);
	engine_free(old);
	if (rc < 0) {
		engine_free(fresh);
		(void)error_set(err, rc, "engine %s: out of memory", key);
		return NULL;
	}
	return fresh;
}

int runtime_default_get_or_create_engine(struct reconciler *r, struct reconcile_ctx *ctx, struct engine **ret,
					 struct error *err)
{
	CLEANUP(free_p) char *key = str_printf("%s/%s", ctx->ns, ctx->name);
	if (key == NULL)
		return error_set(err, -ENOMEM, "engine: out of memory");
	pthread_mutex_lock(&r->lock);
	struct engine *e = map_get(r->engines, key);
	pthread_mutex_unlock(&r->lock);
	/* Only the worker that has this key touches its engine, so it may be looked at without the lock. */
	if (e != NULL && is_current(e, ctx)) {
		*ret = e;
		return 0;
	}
	const struct engine_factory *f = engine_factory_find(r->o.runtime->engines, r->o.runtime->default_engine);
	if (f == NULL)
		return error_set(err, -ENOENT, "no engine '%s' in this binary", r->o.runtime->default_engine);
	struct engine *fresh = NULL;
	int rc = f->build(f, ctx, key, &fresh, err);
	if (rc < 0)
		return error_wrap(err, rc, "build engine '%s'", f->name);
	fresh->runtime_generation = json_int(ctx->runtime, "metadata.generation", 0);
	fresh->dataset_generation = json_int(ctx->dataset, "metadata.generation", 0);
	fresh = engine_swap(r, key, fresh, err);
	if (fresh == NULL)
		return -ENOMEM;
	*ret = fresh;
	return 0;
}

int runtime_default_remove_engine(struct reconciler *r, struct reconcile_ctx *ctx, struct error *err)
{
	CLEANUP(free_p) char *key = str_printf("%s/%s", ctx->ns, ctx->name);
	if (key == NULL)
		return error_set(err, -ENOMEM, "engine: out of memory");
	(void)engine_swap(r, key, NULL, err); /* nothing is set: it cannot fail */
	return 0;
}

/* --- one pass ------------------------------------------------------------------------------------------------------------------- */

static void note_waiting(struct reconciler *r, const struct reconcile_ctx *ctx)
{
	char key[320];
	if (snprintf(key, sizeof key, "%s/%s", ctx->ns, ctx->name) >= (int)sizeof key)
		return; /* no object has such a name */
	pthread_mutex_lock(&r->lock);
	if (ctx->wait_for_nodes)
		(void)map_set(r->waiting, key,
			      r); /* the value only marks; without memory a node event is missed, not lost work */
	else
		(void)map_remove(r->waiting, key);
	pthread_mutex_unlock(&r->lock);
}

int reconciler_specs_accepted(struct reconciler *r, struct reconcile_ctx *ctx, int rc)
{
	if (ctx->fixed->runtime == NULL)
		condition_drop(ctx->runtime_status, CONDITION_SPEC);
	const int rc2 = fixed_tell(ctx->fixed, ctx);
	return rc2 == 0 && rc >= 0 ? fixed_accept(ctx, r->o.kind) : rc2;
}

/* The runtime does not exist (any more). */
static int forget(struct reconciler *r, struct reconcile_ctx *ctx, struct error *err)
{
	note_waiting(r, ctx);
	if (r->pool != NULL)
		figures_forget(r->pool, ctx->ns, ctx->name);
	if (r->calls != NULL)
		calls_forget(r->calls, ctx->ns, ctx->name, NULL);
	char key[320];
	if (snprintf(key, sizeof key, "%s/%s", ctx->ns, ctx->name) < (int)sizeof key)
		(void)ports_take(r->o.ports, key, 0, NULL, NULL); /* gives back, which cannot fail */
	metrics_forget(ctx);
	return r->o.runtime->steps->remove_engine(r, ctx, err);
}

/* What a look at the runtime ns/name knows; the trees and figures in it are the caller's, to be cleared by look_clear(). */
struct look {
	struct reconcile_ctx ctx;
	json_t *runtime, *dataset;
	struct engine_figures figures;
	char figures_error[512];
	struct fixed fixed;
};

static void look_clear(struct look *l)
{
	json_decref(l->ctx.runtime_status);
	json_decref(l->ctx.dataset_status);
	engine_figures_clear(&l->figures);
	fixed_clear(&l->fixed);
	json_decref(l->runtime);
	json_decref(l->dataset);
}

/* 1, or 0 when there is no such runtime; @l must be cleared in any case. */
static int look_at(struct reconciler *r, const char *ns, const char *name, struct look *l, struct error *err)
{
	const struct runtime_controller *rt = r->o.runtime;
	*l = (struct look){.ctx = {
				   .deadline_mono_ns = clock_mono_ns() + r->o.pass_deadline_ns,
				   .log = r->o.log,
				   .ns = ns,
				   .name = name,
				   .category = rt->category,
				   .runtime_type = rt->runtime_type,
				   .finalizer = rt->finalizer,
				   .runtime_resource = rt->resource,
				   .api = r->o.api,
				   .kinds = rt->kinds,
				   .limits = r->o.limits,
				   .pool = r->pool,
				   .calls = r->calls,
				   .ports = r->o.ports,
			   }};
	struct reconcile_ctx *ctx = &l->ctx;
	l->runtime = ctx->api->get(ctx->api->ctx, rt->resource, ns, name);
	if (l->runtime == NULL)
		return 0;
	l->dataset = ctx->api->get(ctx->api->ctx, &dataset_kind.resource, ns, name);
	ctx->runtime = l->runtime;
	ctx->dataset = l->dataset;
	if (r->pool != NULL && figures_get(r->pool, ns, name, &l->figures, l->figures_error))
		ctx->figures = &l->figures;
	ctx->figures_error = l->figures_error[0] != '\0' ? l->figures_error : NULL;
	ctx->fixed = &l->fixed;
	int rc = fixed_look(&l->fixed, ctx, r->o.kind, err);
	return rc < 0 ? rc : 1;
}

int reconciler_reconcile(void *reconciler, const char *ns, const char *name, struct reconcile_result *ret,
			 struct error *err)
{
	struct reconciler *r = reconciler;
	CLEANUP(look_clear) struct look l;
	int rc = look_at(r, ns, name, &l, err);
	if (rc == 0)
		return forget(r, &l.ctx, err);
	if (rc > 0)
		rc = shared_reconcile(r, r->o.runtime, &l.ctx, err);
	if (rc != -ESTALE) {
		struct error flush_err = {0};
		int rc2 = status_flush(&l.ctx, &flush_err);
		if (rc >= 0 && rc2 < 0) {
			rc = rc2;
			if (err != NULL)
				*err = flush_err;
		}
	}
	note_waiting(r, &l.ctx);
	ret->requeue_after_ns = l.ctx.requeue_after_ns;
	return rc < 0 ? rc : 0;
}

/* --- data operations ------------------------------------------------------------------------------------------------------------ */

const char *reconciler_runtime_type(const struct reconciler *r)
{
	return r->o.runtime->runtime_type;
}

static void engine_free_p(struct engine **e)
{
	engine_free(*e);
}

/* Ask @e, which nobody else has. */
static int ask_engine(struct engine *e, struct reconcile_ctx *ctx, const json_t *operation, json_t **ret,
		      struct error *err)
{
	if (e->ops == NULL)
		return error_set(err, -EOPNOTSUPP, "%s has no %s", ctx->runtime_resource->kind,
				 json_str(operation, "kind", "such operation"));
	int rc = e->ops->check_runtime_ready(e, ctx, err);
	if (rc <= 0 || ret == NULL)
		return rc;
	rc = e->ops->data_operation_spec(e, ctx, operation, ret, err);
	return rc < 0 ? rc : 1;
}

int reconciler_operation(struct reconciler *r, const char *ns, const char *name, const json_t *operation, json_t **ret,
			 struct error *err)
{
	CLEANUP(look_clear) struct look l;
	int rc = look_at(r, ns, name, &l, err);
	if (rc <= 0)
		return rc < 0 ? rc
			      : (int)error_set(err, 0, "there is no %s %s/%s", r->o.runtime->resource->kind, ns, name);
	rc = r->o.runtime->steps->get_runtime_status(r, &l.ctx, err);
	const json_t *status = json_object_get(l.dataset, "status");
	l.ctx.dataset_status = status != NULL ? json_deep_copy(status) : json_object();
	if (rc < 0)
		return rc;
	const struct engine_factory *f = engine_factory_find(r->o.runtime->engines, r->o.runtime->default_engine);
	CLEANUP(free_p) char *id = str_printf("%s/%s", ns, name);
	CLEANUP(engine_free_p) struct engine *e = NULL;
	assert(f != NULL); /* as when it was registered */
	if (id == NULL || l.ctx.dataset_status == NULL)
		return error_set(err, -ENOMEM, "engine of %s/%s: out of memory", ns, name);
	rc = f->build(f, &l.ctx, id, &e, err);
	/* what its specs lack is no fault of the operation */
	if (rc < 0)
		return rc == -ENOMEM ? rc : 0;
	return ask_engine(e, &l.ctx, operation, ret, err);
}
