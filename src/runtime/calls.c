#include "runtime/calls.h"

#include <pthread.h>
#include <string.h>

#include "base/clock.h"
#include "base/map.h"
#include "base/str.h"
#include "net/pool.h"
#include "runtime/metrics.h"
#include "json/json.h"

#define MAX_DATASETS 65536
#define MAX_KINDS    16 /* different calls of one dataset */

enum call_state { CALL_IDLE, CALL_WAITING, CALL_RUNNING, CALL_DONE, CALL_FAILED };

/* What is known of one kind of call of one dataset. */
struct entry {
	struct entry *next;
	const char *what;
	enum call_state state;
	json_t *args, *answer;
	int64_t not_before_ns, timeout_ns;
	int failures;
	bool told, stale; /* stale: its arguments changed while it ran: the answer is not wanted */
	struct error error;
	int (*run)(const struct engine_question *q, const json_t *args, json_t **ret, struct error *err);
};

struct target {
	char *ns, *name;
	struct entry *entries;
	size_t n;
	struct job *running; /* at most one for a dataset */
};

struct job {
	struct pool_item item;
	struct calls *owner;
	struct target *target; /* NULL: forgotten */
	struct entry *entry;
	char *ns, *name;
	const char *what;
	json_t *args;
	int64_t timeout_ns;
	int (*run)(const struct engine_question *q, const json_t *args, json_t **ret, struct error *err);
	atomic_bool cancel;
};

struct calls {
	struct calls_options o;
	struct pool *pool;
	pthread_mutex_t lock; /* guards the rest */
	struct map *targets;  /* "ns/name" → struct target, owned */
	bool stopping;
};

static void entry_free(struct entry *e)
{
	json_decref(e->args);
	json_decref(e->answer);
	free(e);
}

static void target_free(void *p)
{
	struct target *t = p;
	if (t == NULL)
		return;
	if (t->running != NULL) {
		t->running->target = NULL;
		atomic_store_explicit(&t->running->cancel, true, memory_order_relaxed);
	}
	for (struct entry *e; (e = t->entries) != NULL;) {
		t->entries = e->next;
		entry_free(e);
	}
	free(t->ns);
	free(t->name);
	free(t);
}

static void job_free(struct job *j)
{
	if (j == NULL)
		return;
	json_decref(j->args);
	free(j->ns);
	free(j->name);
	free(j);
}

static void run_job(void *ctx, struct pool_item *it);

int calls_new(const struct calls_options *o, struct calls **ret, struct error *err)
{
	struct calls *c = calloc(1, sizeof *c);
	if (c == NULL)
		return error_set(err, -ENOMEM, "calls: out of memory");
	c->o = *o;
	c->o.threads = o->threads > 0 ? o->threads : 8;
	c->o.pause_ns = o->pause_ns > 0 ? o->pause_ns : NSEC_PER_SEC;
	c->o.backoff_min_ns = o->backoff_min_ns > 0 ? o->backoff_min_ns : 2 * NSEC_PER_SEC;
	c->o.backoff_max_ns = o->backoff_max_ns > 0 ? o->backoff_max_ns : 60 * NSEC_PER_SEC;
	(void)pthread_mutex_init(&c->lock, NULL); /* cannot fail on Linux */
	c->targets = map_new(target_free);
	int rc = c->targets != NULL ? pool_new(c->o.threads, MAX_DATASETS, run_job, c, &c->pool) : -ENOMEM;
	if (rc < 0) {
		calls_free(c);
		return error_set(err, rc, "calls: cannot start their threads: %s", strerror(-rc));
	}
	*ret = c;
	return 0;
}

void calls_free(struct calls *c)
{
	if (c == NULL)
		return;
	if (c->pool != NULL) {
		pthread_mutex_lock(&c->lock);
		c->stopping = true;
		struct map *targets = TAKE(c->targets);
		map_free(targets); /* cancels what runs */
		pthread_mutex_unlock(&c->lock);
		for (struct pool_item *it = pool_stop(c->pool), *next; it != NULL; it = next) {
			next = it->next;
			job_free((struct job *)it); /* the item is its first member */
		}
		pool_free(c->pool);
	}
	map_free(c->targets);
	(void)pthread_mutex_destroy(&c->lock);
	free(c);
}

/* --- running -------------------------------------------------------------------------------------------------------------------- */

static struct job *job_new(struct calls *c, struct target *t, struct entry *e)
{
	struct job *j = calloc(1, sizeof *j);
	if (j == NULL)
		return NULL;
	j->owner = c;
	j->target = t;
	j->entry = e;
	j->what = e->what;
	j->run = e->run;
	j->timeout_ns = e->timeout_ns;
	j->ns = strdup(t->ns);
	j->name = strdup(t->name);
	j->args = e->args != NULL ? json_deep_copy(e->args) : NULL;
	if (j->ns != NULL && j->name != NULL && (e->args == NULL || j->args != NULL))
		return j;
	job_free(j);
	return NULL;
}

/* Give the first waiting call of @t to the pool, if none of its calls runs. */
static int start_next_locked(struct calls *c, struct target *t)
{
	if (t->running != NULL)
		return 0;
	struct entry *e = t->entries;
	while (e != NULL && e->state != CALL_WAITING)
		e = e->next;
	if (e == NULL)
		return 0;
	struct job *j = job_new(c, t, e);
	int rc = j != NULL ? pool_submit(c->pool, NULL, &j->item) : -ENOMEM;
	if (rc < 0) {
		job_free(j);
		e->state = CALL_IDLE; /* whoever asks next starts it again */
		return rc;
	}
	e->state = CALL_RUNNING;
	t->running = j;
	return 0;
}

static int64_t backoff(const struct calls *c, int failures)
{
	int64_t wait = c->o.backoff_min_ns;
	for (int i = 1; i < failures && wait < c->o.backoff_max_ns; i++)
		wait *= 2;
	return wait < c->o.backoff_max_ns ? wait : c->o.backoff_max_ns;
}

/* Takes *@answer when it is wanted: a tree belongs to one thread, and that is not the pool's any more. */
static void take_answer_locked(struct calls *c, struct entry *e, int rc, json_t **answer, const struct error *err)
{
	json_decref(e->answer);
	e->answer = NULL;
	e->not_before_ns = clock_mono_ns() + c->o.pause_ns;
	if (e->stale) {
		e->stale = false;
		e->state = CALL_IDLE;
		return;
	}
	if (rc >= 0) {
		e->failures = 0;
		e->state = CALL_DONE;
		e->answer = TAKE(*answer);
		return;
	}
	if (e->failures < 100)
		e->failures++;
	e->state = CALL_FAILED;
	e->told = false;
	e->error = *err;
	e->error.code = rc;
	e->not_before_ns = clock_mono_ns() + backoff(c, e->failures);
}

static void run_job(void *ctx, struct pool_item *it)
{
	struct calls *c = ctx;
	struct job *j = (struct job *)it; /* the item is its first member */
	struct error err = {0};
	JSON_AUTO answer = NULL;
	const int64_t start = clock_mono_ns();
	const struct engine_question q = {.api = c->o.api,
					  .ns = j->ns,
					  .name = j->name,
					  .deadline_mono_ns = start + j->timeout_ns,
					  .cancel = &j->cancel};
	int rc = j->run(&q, j->args, &answer, &err);
	metrics_engine_call(c->o.engine, j->what, clock_mono_ns() - start, rc);
	json_decref(j->args); /* here, as the answer may hold parts of them */
	j->args = NULL;
	pthread_mutex_lock(&c->lock);
	struct target *t = j->target;
	if (t != NULL) {
		t->running = NULL;
		take_answer_locked(c, j->entry, rc, &answer, &err);
		(void)start_next_locked(c, t); /* one that cannot start is started by the pass that asks for it */
	}
	pthread_mutex_unlock(&c->lock);
	if (t != NULL && c->o.notify != NULL)
		c->o.notify(c->o.ctx, j->ns, j->name);
	job_free(j);
}

/* --- asking --------------------------------------------------------------------------------------------------------------------- */

static struct target *target_get_locked(struct calls *c, const char *key, const char *ns, const char *name, int *ret_rc)
{
	struct target *t = map_get(c->targets, key);
	if (t != NULL)
		return t;
	*ret_rc = map_size(c->targets) >= MAX_DATASETS ? -ENOSPC : -ENOMEM;
	t = *ret_rc == -ENOMEM ? calloc(1, sizeof *t) : NULL;
	if (t == NULL)
		return NULL;
	t->ns = strdup(ns);
	t->name = strdup(name);
	if (t->ns == NULL || t->name == NULL || map_set(c->targets, key, t) < 0) {
		target_free(t);
		return NULL;
	}
	return t;
}

static struct entry *entry_get_locked(struct target *t, const char *what, int *ret_rc)
{
	for (struct entry *e = t->entries; e != NULL; e = e->next)
		if (strcmp(e->what, what) == 0)
			return e;
	*ret_rc = t->n >= MAX_KINDS ? -ENOSPC : -ENOMEM;
	struct entry *e = t->n < MAX_KINDS ? calloc(1, sizeof *e) : NULL;
	if (e == NULL)
		return NULL;
	e->what = what;
	e->next = t->entries;
	t->entries = e;
	t->n++;
	return e;
}

static bool same_args(const json_t *a, const json_t *b)
{
	return (a == NULL && b == NULL) || (a != NULL && b != NULL && json_equal(a, b));
}

/* Take over what is asked now: an answer to other arguments counts no more. */
static int entry_update_locked(struct entry *e, const struct engine_call *call)
{
	e->run = call->run;
	e->timeout_ns =
		call->timeout_ns > 0 && call->timeout_ns < ENGINE_CALL_MAX_NS ? call->timeout_ns : ENGINE_CALL_MAX_NS;
	if (same_args(e->args, call->args))
		return 0;
	json_t *copy = call->args != NULL ? json_deep_copy(call->args) : NULL;
	if (call->args != NULL && copy == NULL)
		return -ENOMEM;
	json_decref(e->args);
	e->args = copy;
	e->failures = 0;
	if (e->state == CALL_RUNNING)
		e->stale = true;
	else if (e->state != CALL_WAITING)
		e->state = CALL_IDLE;
	return 0;
}

static int hand_out_locked(const struct entry *e, json_t **ret)
{
	if (ret == NULL)
		return 1;
	*ret = e->answer != NULL ? json_deep_copy(e->answer) : json_null();
	return *ret != NULL ? 1 : -ENOMEM;
}

/* Where the call stands, starting it when nothing keeps it back. */
static int entry_ask_locked(struct calls *c, struct target *t, struct entry *e, json_t **ret, int64_t *ret_again_ns,
			    struct error *err)
{
	if (e->state == CALL_DONE)
		return hand_out_locked(e, ret);
	int64_t wait = e->not_before_ns - clock_mono_ns();
	if (e->state == CALL_FAILED && !e->told) {
		e->told = true;
		*ret_again_ns = wait > 0 ? wait : 1;
		return error_set(err, e->error.code, "%s: %s", e->what, e->error.msg);
	}
	if (e->state == CALL_FAILED && wait > 0) {
		*ret_again_ns = wait;
		(void)error_set(err, -EAGAIN, "%s failed, and is tried again in %lld s: %s", e->what,
				(long long)((wait + NSEC_PER_SEC - 1) / NSEC_PER_SEC), e->error.msg);
		return 0;
	}
	if (e->state == CALL_IDLE && wait > 0) {
		*ret_again_ns = wait;
		(void)error_set(err, -EAGAIN, "%s is to begin", e->what);
		return 0;
	}
	if (e->state == CALL_IDLE || e->state == CALL_FAILED)
		e->state = CALL_WAITING;
	int rc = start_next_locked(c, t);
	if (rc < 0)
		return error_set(err, rc, "%s: %s", e->what,
				 rc == -ENOBUFS ? "too many calls wait already" : "cannot be started");
	(void)error_set(err, -EAGAIN, "%s is under way", e->what);
	return 0;
}

int calls_do(struct calls *c, const char *ns, const char *name, const struct engine_call *call, json_t **ret,
	     int64_t *ret_again_ns, struct error *err)
{
	*ret_again_ns = 0;
	CLEANUP(free_p) char *key = str_printf("%s/%s", ns, name);
	if (key == NULL)
		return error_set(err, -ENOMEM, "%s: out of memory", call->what);
	pthread_mutex_lock(&c->lock);
	int rc = c->stopping ? -ESHUTDOWN : -ENOMEM;
	struct target *t = c->stopping ? NULL : target_get_locked(c, key, ns, name, &rc);
	struct entry *e = t != NULL ? entry_get_locked(t, call->what, &rc) : NULL;
	if (e != NULL)
		rc = entry_update_locked(e, call);
	if (e != NULL && rc == 0)
		rc = entry_ask_locked(c, t, e, ret, ret_again_ns, err);
	else
		(void)error_set(err, rc, "%s: %s", call->what,
				rc == -ENOSPC      ? "too many calls"
				: rc == -ESHUTDOWN ? "the controller ends"
						   : "out of memory");
	pthread_mutex_unlock(&c->lock);
	return rc;
}

static void entry_forget_locked(struct target *t, const char *what)
{
	for (struct entry *e = t->entries; e != NULL; e = e->next) {
		if (strcmp(e->what, what) != 0)
			continue;
		if (e->state == CALL_RUNNING) {
			e->stale = true;
		} else if (e->state != CALL_WAITING) {
			e->state = CALL_IDLE;
			e->failures = 0;
		}
	}
}

void calls_forget(struct calls *c, const char *ns, const char *name, const char *what)
{
	CLEANUP(free_p) char *key = str_printf("%s/%s", ns, name);
	if (key == NULL)
		return; /* an answer more in memory does no harm */
	pthread_mutex_lock(&c->lock);
	struct target *t = c->stopping ? NULL : map_get(c->targets, key);
	if (t != NULL && what != NULL)
		entry_forget_locked(t, what);
	else if (t != NULL)
		target_free(map_steal(c->targets, key));
	pthread_mutex_unlock(&c->lock);
}

/* --- the contract's functions --------------------------------------------------------------------------------------------------- */

int engine_call(struct reconcile_ctx *ctx, const struct engine_call *call, json_t **ret, struct error *err)
{
	if (ctx->calls == NULL)
		return error_set(err, -EOPNOTSUPP, "%s: nobody makes calls to cache systems here", call->what);
	int64_t again;
	int rc = calls_do(ctx->calls, ctx->ns, ctx->name, call, ret, &again, err);
	if (again > 0)
		reconcile_again(ctx, again);
	return rc;
}

void engine_call_forget(struct reconcile_ctx *ctx, const char *what)
{
	if (ctx->calls != NULL)
		calls_forget(ctx->calls, ctx->ns, ctx->name, what);
}

void engine_output_clear(struct engine_output *o)
{
	free(o->out);
	free(o->err);
	*o = (struct engine_output){0};
}
