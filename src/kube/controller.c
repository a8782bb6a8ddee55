/* A controller: informer events become keys in a queue, workers give them to reconcile. */
#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/error.h"
#include "base/log.h"
#include "base/metrics.h"
#include "base/str.h"
#include "kube/client.h"
#include "kube/controller_private.h"
#include "kube/manager.h"
#include "kube/resource.h"
#include "kube/workqueue.h"
#include "json/json.h"

#define WORKERS_DEFAULT 2
#define WORKERS_MAX     64
#define KEY_MAX         576
#define NO_MEMORY_TRIES 100

/* Where keys come from; the context of one informer handler. */
struct source {
	struct source *next;
	struct controller *controller;
	const struct kube_resource *owner; /* of controller_watch_owned(), else NULL */
	void (*map)(void *ctx, struct controller *c, const json_t *obj);
	void *ctx;
	controller_predicate wanted; /* of controller_watch_if() and controller_watch_mapped_if(), else NULL */
};

enum result { RESULT_ERROR, RESULT_REQUEUE_AFTER, RESULT_SUCCESS, RESULTS };

struct controller {
	struct manager *manager;
	char *name;
	int (*reconcile)(void *ctx, const char *ns, const char *name, struct reconcile_result *ret, struct error *err);
	void *ctx;
	void (*free_ctx)(void *ctx);
	struct workqueue *queue;
	struct series *results[RESULTS], *errors, *active, *took;
	struct source *sources;
	pthread_t workers[WORKERS_MAX];
	int n_workers, n_started;
	atomic_bool stopping;
	pthread_mutex_t lock; /* guards running */
	pthread_cond_t ended;
	int running;
};

const char *controller_name(const struct controller *c)
{
	return c->name;
}

void controller_free(struct controller *c)
{
	if (c == NULL)
		return;
	if (c->free_ctx != NULL)
		c->free_ctx(c->ctx); /* before the queue goes: it may still be given keys until then */
	for (struct source *s = c->sources, *next; s != NULL; s = next) {
		next = s->next;
		free(s);
	}
	workqueue_free(c->queue);
	pthread_cond_destroy(&c->ended);
	pthread_mutex_destroy(&c->lock);
	free(c->name);
	free(c);
}

static void controller_free_p(struct controller **c)
{
	controller_free(*c);
}

/* Names and buckets of controller-runtime's metrics. */
static void measure(struct controller *c)
{
	static const char *const by_result[] = {"controller", "result", NULL}, *const by_name[] = {"controller", NULL};
	static const char *const results[RESULTS] = {"error", "requeue_after", "success"};
	static const double seconds[] = {0.005, 0.01, 0.025, 0.05, 0.1, 0.15, 0.2, 0.25, 0.3,  0.35,
					 0.4,   0.45, 0.5,   0.6,  0.7, 0.8,  0.9, 1.0,  1.25, 1.5,
					 1.75,  2.0,  2.5,   3.0,  3.5, 4.0,  4.5, 5,    6,    7,
					 8,     9,    10,    15,   20,  25,   30,  40,   50,   60};
	struct metrics *root = metrics_root();
	const char *const name[] = {c->name};
	struct metric *total = metrics_counter(root, "controller_runtime_reconcile_total",
					       "Reconciles, by controller and result.", by_result);
	for (size_t i = 0; i < RESULTS; i++)
		c->results[i] = metric_series(total, (const char *const[]){c->name, results[i]});
	c->errors = metric_series(metrics_counter(root, "controller_runtime_reconcile_errors_total",
						  "Reconciles that failed, by controller.", by_name),
				  name);
	c->active = metric_series(metrics_gauge(root, "controller_runtime_active_workers",
						"Workers that reconcile now, by controller.", by_name),
				  name);
	c->took = metric_series(metrics_histogram(root, "controller_runtime_reconcile_time_seconds",
						  "How long a reconcile takes, by controller.", by_name, seconds,
						  ARRAY_LEN(seconds)),
				name);
	series_set(metric_series(metrics_gauge(root, "controller_runtime_max_concurrent_reconciles",
					       "Most reconciles at one time, by controller.", by_name),
				 name),
		   c->n_workers);
	workqueue_measure(c->queue, c->name);
}

int controller_new(struct manager *m, const struct controller_options *o, struct controller **ret, struct error *err)
{
	CLEANUP(controller_free_p) struct controller *c = calloc(1, sizeof *c);
	if (c == NULL)
		return error_set(err, -ENOMEM, "controller %s: out of memory", o->name);
	pthread_mutex_init(&c->lock, NULL);
	pthread_condattr_t attr;
	pthread_condattr_init(&attr);
	pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
	pthread_cond_init(&c->ended, &attr);
	pthread_condattr_destroy(&attr);
	c->manager = m;
	c->reconcile = o->reconcile;
	c->ctx = o->ctx;
	c->n_workers = o->workers <= 0 ? WORKERS_DEFAULT : o->workers > WORKERS_MAX ? WORKERS_MAX : o->workers;
	c->name = strdup(o->name);
	c->queue = workqueue_new(0, 0);
	if (c->name == NULL || c->queue == NULL || manager_add_controller(m, c) < 0)
		return error_set(err, -ENOMEM, "controller %s: out of memory", o->name);
	measure(c);
	c->free_ctx = o->free_ctx; /* only now: on failure the context stays the caller's */
	*ret = TAKE(c);
	return 0;
}

/* --- events become keys --- */

/* A key must not get lost: there may be no other change for long. Without memory, others are given time to free some. */
static void add_key(struct controller *c, const char *key, int64_t delay_ns, bool urgent)
{
	int rc = -ENOMEM;
	for (int i = 0; i < NO_MEMORY_TRIES && rc == -ENOMEM; i++) {
		if (i > 0)
			(void)nanosleep(&(struct timespec){.tv_nsec = 10 * NSEC_PER_MSEC},
					NULL); /* woken early: tries earlier */
		rc = urgent ? workqueue_add_urgent(c->queue, key) : workqueue_add_after(c->queue, key, delay_ns);
	}
	if (rc == -ENOMEM)
		LOG(manager_log(c->manager), LOG_LVL_ERROR, "a change is lost: out of memory",
		    LOG_STR("controller", c->name), LOG_STR("key", key));
}

static void enqueue(struct controller *c, const char *ns, const char *name, int64_t delay_ns, bool urgent)
{
	char key[KEY_MAX];
	if (snprintf(key, sizeof key, "%s/%s", ns != NULL ? ns : "", name) >= (int)sizeof key)
		return; /* longer than any server allows: such an object cannot exist */
	add_key(c, key, delay_ns, urgent);
}

void controller_enqueue_after(struct controller *c, const char *ns, const char *name, int64_t delay_ns)
{
	enqueue(c, ns, name, delay_ns, false);
}

void controller_enqueue(struct controller *c, const char *ns, const char *name)
{
	enqueue(c, ns, name, 0, false);
}

void controller_enqueue_urgent(struct controller *c, const char *ns, const char *name)
{
	enqueue(c, ns, name, 0, true);
}

static void on_own(void *ctx, enum informer_event ev, const json_t *old, const json_t *obj)
{
	struct source *s = ctx;
	if (s->wanted != NULL && !s->wanted(ev, old, obj))
		return;
	enqueue(s->controller, obj_namespace(obj), obj_name(obj), 0, ev != INFORMER_ADDED);
}

static void enqueue_owner(struct source *s, const json_t *obj, bool urgent)
{
	const json_t *ref = obj_controller_ref(obj);
	if (ref == NULL || !str_same(json_str(ref, "kind", NULL), s->owner->kind))
		return;
	/* the group alone counts: the same owner may be named in another version */
	const char *api_version = json_str(ref, "apiVersion", "");
	const size_t n = strlen(s->owner->group);
	const bool same_group = n == 0 ? strchr(api_version, '/') == NULL
				       : strncmp(api_version, s->owner->group, n) == 0 && api_version[n] == '/';
	if (same_group)
		enqueue(s->controller, s->owner->namespaced ? obj_namespace(obj) : "", json_str(ref, "name", ""), 0,
			urgent);
}

static void on_owned(void *ctx, enum informer_event ev, const json_t *old, const json_t *obj)
{
	const bool urgent = ev != INFORMER_ADDED;
	if (old != NULL)
		enqueue_owner(ctx, old, urgent); /* it may have changed hands */
	enqueue_owner(ctx, obj, urgent);
}

static void on_mapped(void *ctx, enum informer_event ev, const json_t *old, const json_t *obj)
{
	struct source *s = ctx;
	if (s->wanted != NULL && !s->wanted(ev, old, obj))
		return;
	if (old != NULL)
		s->map(s->ctx, s->controller, old);
	s->map(s->ctx, s->controller, obj);
}

static int add_source(struct controller *c, const struct kube_resource *r, informer_handler fn,
		      const struct source *what)
{
	struct informer *inf = manager_informer(c->manager, r);
	struct source *s = malloc(sizeof *s);
	if (inf == NULL || s == NULL) {
		free(s);
		return -ENOMEM;
	}
	*s = *what;
	s->controller = c;
	s->next = c->sources;
	c->sources = s;
	return informer_add_handler(inf, fn, s);
}

int controller_watch(struct controller *c, const struct kube_resource *r)
{
	return add_source(c, r, on_own, &(struct source){0});
}

int controller_watch_if(struct controller *c, const struct kube_resource *r, controller_predicate wanted)
{
	return add_source(c, r, on_own, &(struct source){.wanted = wanted});
}

bool controller_generation_changed(enum informer_event ev, const json_t *old, const json_t *obj)
{
	return ev != INFORMER_UPDATED || old == NULL ||
	       json_int(old, "metadata.generation", 0) != json_int(obj, "metadata.generation", 0);
}

int controller_watch_owned(struct controller *c, const struct kube_resource *r, const struct kube_resource *owner)
{
	return add_source(c, r, on_owned, &(struct source){.owner = owner});
}

int controller_watch_mapped(struct controller *c, const struct kube_resource *r,
			    void (*map)(void *ctx, struct controller *c, const json_t *obj), void *ctx)
{
	return controller_watch_mapped_if(c, r, NULL, map, ctx);
}

int controller_watch_mapped_if(struct controller *c, const struct kube_resource *r, controller_predicate wanted,
			       void (*map)(void *ctx, struct controller *c, const json_t *obj), void *ctx)
{
	return add_source(c, r, on_mapped, &(struct source){.map = map, .ctx = ctx, .wanted = wanted});
}

/* --- workers --- */

static void finish(struct controller *c, const char *key, int rc, const struct reconcile_result *res,
		   const struct error *err, int64_t took_ns)
{
	struct logger *log = manager_log(c->manager);
	series_observe(c->took, (double)took_ns / NSEC_PER_SEC);
	series_add(c->results[rc < 0                      ? RESULT_ERROR
			      : res->requeue_after_ns > 0 ? RESULT_REQUEUE_AFTER
							  : RESULT_SUCCESS],
		   1);
	if (rc < 0) {
		/* a conflict is every day's; at the end, writes are cut or refused */
		const bool quiet =
			rc == -ESTALE || rc == -ECANCELED || atomic_load_explicit(&c->stopping, memory_order_relaxed);
		series_add(c->errors, 1);
		LOG(log, quiet ? LOG_LVL_DEBUG : LOG_LVL_ERROR, "reconcile failed, trying again",
		    LOG_STR("controller", c->name), LOG_STR("key", key), LOG_STR("err", err->msg),
		    LOG_DUR("duration", took_ns));
		if (workqueue_add_rate_limited(c->queue, key) == -ENOMEM)
			add_key(c, key, 0, false);
		return;
	}
	workqueue_forget(c->queue, key);
	if (res->requeue_after_ns > 0)
		add_key(c, key, res->requeue_after_ns, false);
}

static void work_on(struct controller *c, char *key)
{
	struct reconcile_result res = {0};
	struct error err = {0};
	char *slash = strchr(key, '/');
	const int64_t start = clock_mono_ns();
	*slash = '\0';
	series_add(c->active, 1);
	int rc = c->reconcile(c->ctx, key, slash + 1, &res, &err);
	series_add(c->active, -1);
	*slash = '/';
	finish(c, key, rc, &res, &err, clock_mono_ns() - start);
	workqueue_done(c->queue, key);
}

static void *worker(void *arg)
{
	struct controller *c = arg;
	for (;;) {
		CLEANUP(free_p) char *key = NULL;
		int rc = workqueue_get(c->queue, &key);
		if (rc == -ESHUTDOWN)
			break;
		if (rc == 0)
			work_on(c, key);
		else
			(void)nanosleep(&(struct timespec){.tv_nsec = 50000000},
					NULL); /* no memory: give others time to free some */
	}
	pthread_mutex_lock(&c->lock);
	c->running--;
	pthread_cond_broadcast(&c->ended);
	pthread_mutex_unlock(&c->lock);
	return NULL;
}

int controller_start(struct controller *c, struct error *err)
{
	for (; c->n_started < c->n_workers; c->n_started++) {
		pthread_mutex_lock(&c->lock);
		c->running++;
		pthread_mutex_unlock(&c->lock);
		int rc = pthread_create(&c->workers[c->n_started], NULL, worker, c);
		if (rc != 0) {
			pthread_mutex_lock(&c->lock);
			c->running--;
			pthread_mutex_unlock(&c->lock);
			return error_set(err, -rc, "controller %s: start a worker: %s", c->name, strerror(rc));
		}
		char name[16];
		(void)snprintf(name, sizeof name, "c-%.13s", c->name);    /* the kernel allows 15 bytes */
		(void)pthread_setname_np(c->workers[c->n_started], name); /* only for people who look */
	}
	return 0;
}

void controller_stop(struct controller *c)
{
	atomic_store_explicit(&c->stopping, true, memory_order_relaxed);
	workqueue_shutdown(c->queue);
}

int controller_join(struct controller *c, int64_t deadline_mono_ns)
{
	const struct timespec at = {.tv_sec = deadline_mono_ns / NSEC_PER_SEC,
				    .tv_nsec = deadline_mono_ns % NSEC_PER_SEC};
	int rc = 0;
	pthread_mutex_lock(&c->lock);
	while (c->running > 0 && rc == 0)
		rc = pthread_cond_timedwait(&c->ended, &c->lock, &at);
	const bool all = c->running == 0;
	pthread_mutex_unlock(&c->lock);
	if (!all)
		return -ETIMEDOUT;
	for (; c->n_started > 0; c->n_started--)
		(void)pthread_join(c->workers[c->n_started - 1], NULL); /* it has left its loop */
	return 0;
}
