#include "runtime/figures.h"

#include <pthread.h>
#include <string.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/map.h"
#include "base/random.h"
#include "base/str.h"
#include "runtime/metrics.h"
#include "json/json.h"

#define MAX_WATCHES   65536
#define MAX_THREADS   16
#define THREADS       8
#define BREAKER_AFTER 3 /* failures in a row until the world is told */

struct watch {
	char *ns, *name, *key, *state;
	json_t *targets;
	const struct engine_ops *ops;
	int64_t due_ns, interval_ns;
	struct heap *heap; /* where it waits for its turn; NULL: it does not */
	size_t place;      /* there, from 1 */
	int64_t took_ns;   /* the last answer */
	uint64_t
		serial; /* grows with each figures_watch() that changed something: an answer to an older question counts as news only */
	bool in_flight, forgotten, again;
	int failures;
	bool have;
	struct engine_figures last;
	char error[512];
};

/* Those that may be asked (with targets, no question in flight): the first is due first. */
struct heap {
	struct watch **v;
	size_t n, cap;
};

struct figures {
	struct figures_options o;
	pthread_mutex_t lock; /* guards all below */
	pthread_cond_t wake;
	struct map *watches;
	/*
	 * Engines that answer at once, and those that failed or were slow last: these are asked with more patience, and by half the threads at
	 * most, so that hung ones keep nobody waiting.
	 */
	struct heap quick, slow;
	int slow_in_flight;
	atomic_bool stop;
	int n_threads;
	pthread_t threads[MAX_THREADS];
};

void engine_figures_clear(struct engine_figures *f)
{
	for (size_t i = 0; i < f->n_mounts; i++) {
		free(f->mounts[i].path);
		free(f->mounts[i].source);
		free(f->mounts[i].message);
	}
	free(f->mounts);
	*f = (struct engine_figures){0};
}

static char *dup_or_empty(const char *s)
{
	return strdup(s != NULL ? s : "");
}

static int figures_copy(const struct engine_figures *from, struct engine_figures *to)
{
	struct engine_figures c = *from;
	c.mounts = calloc(from->n_mounts + 1, sizeof *c.mounts);
	if (c.mounts == NULL)
		return -ENOMEM;
	for (size_t i = 0; i < from->n_mounts; i++) {
		c.mounts[i] = (struct figures_mount){.path = dup_or_empty(from->mounts[i].path),
						     .source = dup_or_empty(from->mounts[i].source),
						     .message = dup_or_empty(from->mounts[i].message),
						     .failed = from->mounts[i].failed,
						     .listing = from->mounts[i].listing};
		if (c.mounts[i].path == NULL || c.mounts[i].source == NULL || c.mounts[i].message == NULL) {
			c.n_mounts = i + 1;
			engine_figures_clear(&c);
			return -ENOMEM;
		}
	}
	*to = c;
	return 0;
}

static bool same_mounts(const struct engine_figures *a, const struct engine_figures *b)
{
	if (a->n_mounts != b->n_mounts)
		return false;
	for (size_t i = 0; i < a->n_mounts; i++)
		if (!str_same(a->mounts[i].path, b->mounts[i].path) ||
		    !str_same(a->mounts[i].source, b->mounts[i].source) ||
		    !str_same(a->mounts[i].message, b->mounts[i].message) ||
		    a->mounts[i].failed != b->mounts[i].failed || a->mounts[i].listing != b->mounts[i].listing)
			return false;
	return true;
}

static bool same_figures(const struct engine_figures *a, const struct engine_figures *b)
{
	return a->ready == b->ready && a->ufs_bytes == b->ufs_bytes && a->ufs_files == b->ufs_files &&
	       a->ufs_complete == b->ufs_complete && a->capacity_bytes == b->capacity_bytes &&
	       a->cached_bytes == b->cached_bytes && a->hit_bytes == b->hit_bytes && a->miss_bytes == b->miss_bytes &&
	       a->local_hit_bytes == b->local_hit_bytes && a->has_rates == b->has_rates && a->hit_rate == b->hit_rate &&
	       a->miss_rate == b->miss_rate && a->local_hit_rate == b->local_hit_rate && same_mounts(a, b);
}

/* Unknown (-1) plus anything known is the known part. */
static int64_t sum(int64_t a, int64_t b)
{
	int64_t s = 0;
	if (a < 0 || b < 0)
		return a < 0 ? b : a;
	return __builtin_add_overflow(a, b, &s) ? INT64_MAX : s;
}

/* Workers share the sources (the largest view counts) and add up their caches. @part's mounts replace @all's when they say more. */
static void figures_add(struct engine_figures *all, struct engine_figures *part)
{
	all->ready = all->ready && part->ready;
	all->ufs_complete = all->ufs_complete || part->ufs_complete;
	all->ufs_bytes = part->ufs_bytes > all->ufs_bytes ? part->ufs_bytes : all->ufs_bytes;
	all->ufs_files = part->ufs_files > all->ufs_files ? part->ufs_files : all->ufs_files;
	all->capacity_bytes = sum(all->capacity_bytes, part->capacity_bytes);
	all->cached_bytes = sum(all->cached_bytes, part->cached_bytes);
	all->hit_bytes = sum(all->hit_bytes, part->hit_bytes);
	all->miss_bytes = sum(all->miss_bytes, part->miss_bytes);
	all->local_hit_bytes = sum(all->local_hit_bytes, part->local_hit_bytes);
	all->has_rates = all->has_rates && part->has_rates;
	all->hit_rate = sum(all->hit_rate, part->hit_rate);
	all->miss_rate = sum(all->miss_rate, part->miss_rate);
	all->local_hit_rate = sum(all->local_hit_rate, part->local_hit_rate);
	for (size_t i = 0; i < all->n_mounts && i < part->n_mounts; i++) {
		if (!part->mounts[i].failed || all->mounts[i].failed)
			continue;
		struct figures_mount t = all->mounts[i];
		all->mounts[i] = part->mounts[i];
		part->mounts[i] = t;
	}
}

/* One target's answer. */
static int ask_one(const struct engine_ops *ops, const struct engine_question *q, struct engine_figures *ret,
		   struct error *err)
{
	const int64_t start = clock_mono_ns();
	int rc = ops->query_figures(q, ret, err);
	metrics_engine_call(ops->name, "figures", clock_mono_ns() - start, rc);
	return rc;
}

/* Ask every target in turn within one deadline. Those that fail are left out as long as one answers. */
static int ask_all(const struct engine_ops *ops, const json_t *targets, const struct engine_question *whole,
		   struct engine_figures *ret, struct error *err)
{
	size_t i, answers = 0;
	json_t *t;
	int rc = -ENODATA;
	json_array_foreach (targets, i, t) {
		struct engine_figures one = {0};
		/* A share for each, so that one that hangs leaves time for the others. */
		int64_t now = clock_mono_ns(),
			share = (whole->deadline_mono_ns - now) / (int64_t)(json_array_size(targets) - i);
		struct engine_question q = *whole;
		q.target = json_string_value(t);
		q.deadline_mono_ns = now + share;
		int r = ask_one(ops, &q, &one, err);
		if (r < 0) {
			rc = r;
			continue;
		}
		if (answers++ == 0) {
			*ret = one;
			if (ops->traits->ask_one)
				break;
			continue;
		}
		figures_add(ret, &one);
		engine_figures_clear(&one);
	}
	if (answers == 0)
		return rc;
	ret->asked_mono_ns = clock_mono_ns();
	return 0;
}

static void watch_free(void *p)
{
	struct watch *w = p;
	if (w == NULL)
		return;
	engine_figures_clear(&w->last);
	json_decref(w->targets);
	free(w->ns);
	free(w->name);
	free(w->key);
	free(w->state);
	free(w);
}

static int64_t jittered(int64_t ns)
{
	return ns - ns / 8 + (int64_t)random_below(1024) * (ns / 4) / 1024;
}

/* Take an answer (or its failure) into the watch; true when the owner should be told. */
static bool take_answer_locked(struct figures *f, struct watch *w, int rc, struct engine_figures *got,
			       const struct error *err)
{
	bool news;
	if (rc < 0) {
		if (w->failures < 1000)
			w->failures++;
		int64_t wait = f->o.min_ns;
		for (int i = 1; i < w->failures && wait < f->o.breaker_max_ns; i++)
			wait *= 2;
		w->interval_ns = f->o.min_ns;
		w->due_ns = clock_mono_ns() + jittered(wait < f->o.breaker_max_ns ? wait : f->o.breaker_max_ns);
		news = w->failures == BREAKER_AFTER;
		if (w->failures >= BREAKER_AFTER)
			(void)str_copy(w->error, sizeof w->error, err->msg); /* a cut message is still one */
		return news;
	}
	bool same = w->have && same_figures(&w->last, got);
	news = !same || w->failures >= BREAKER_AFTER;
	w->failures = 0;
	w->error[0] = '\0';
	w->interval_ns = same ? w->interval_ns * 2 : f->o.min_ns;
	if (w->interval_ns > f->o.max_ns)
		w->interval_ns = f->o.max_ns;
	w->due_ns = clock_mono_ns() + jittered(w->interval_ns);
	engine_figures_clear(&w->last);
	w->last = *got;
	w->have = true;
	*got = (struct engine_figures){0};
	return news;
}

/* --- those that wait for their turn --- */

static void heap_set(struct heap *h, size_t place, struct watch *w)
{
	h->v[place - 1] = w;
	w->place = place;
}

static void heap_sift_locked(struct heap *h, struct watch *w)
{
	size_t at = w->place;
	for (; at > 1 && h->v[at / 2 - 1]->due_ns > w->due_ns; at /= 2)
		heap_set(h, at, h->v[at / 2 - 1]);
	for (size_t child; (child = 2 * at) <= h->n; at = child) {
		if (child < h->n && h->v[child]->due_ns < h->v[child - 1]->due_ns)
			child++;
		if (h->v[child - 1]->due_ns >= w->due_ns)
			break;
		heap_set(h, at, h->v[child - 1]);
	}
	heap_set(h, at, w);
}

static void heap_drop_locked(struct watch *w)
{
	struct heap *h = w->heap;
	if (h == NULL)
		return;
	struct watch *last = h->v[--h->n];
	if (last != w) {
		heap_set(h, w->place, last);
		heap_sift_locked(h, last);
	}
	w->heap = NULL;
}

/* An engine that nobody knows yet is taken for a quick one: it has one short question to show what it is. */
static bool is_slow(const struct figures *f, const struct watch *w)
{
	return w->failures > 0 || w->took_ns > f->o.quick_ns / 2;
}

/* Put @w where its due time says, or take it out while it cannot be asked. There is room: watch_add_locked() made it. */
static void heap_update_locked(struct figures *f, struct watch *w)
{
	struct heap *want = w->in_flight || w->forgotten || json_array_size(w->targets) == 0 ? NULL
			    : is_slow(f, w)                                                  ? &f->slow
											     : &f->quick;
	if (w->heap != want)
		heap_drop_locked(w);
	if (want != NULL && w->heap == NULL) {
		w->heap = want;
		heap_set(want, ++want->n, w);
	}
	if (want != NULL)
		heap_sift_locked(want, w);
}

static int heap_reserve_locked(struct heap *h, size_t need)
{
	if (need <= h->cap)
		return 0;
	struct watch **more = reallocarray(h->v, need * 2, sizeof *more);
	if (more == NULL)
		return -ENOMEM;
	h->v = more;
	h->cap = need * 2;
	return 0;
}

static void wait_until_locked(struct figures *f, int64_t due)
{
	if (due == INT64_MAX) {
		pthread_cond_wait(&f->wake, &f->lock);
		return;
	}
	struct timespec ts = {.tv_sec = due / NSEC_PER_SEC, .tv_nsec = due % NSEC_PER_SEC};
	(void)pthread_cond_timedwait(&f->wake, &f->lock, &ts); /* the clock is looked at again anyway */
}

/* One question, with the lock given up meanwhile. */
static void ask_locked(struct figures *f, struct watch *w)
{
	struct engine_figures got = {0};
	struct error err = {0};
	JSON_AUTO targets = json_deep_copy(w->targets);
	const struct engine_ops *ops = w->ops;
	char ns[64], name[256];
	(void)str_copy(ns, sizeof ns, w->ns); /* names of the API fit */
	(void)str_copy(name, sizeof name, w->name);
	const bool slow = is_slow(f, w);
	const int64_t n = (int64_t)json_array_size(w->targets), quick = f->o.quick_ns * n, start = clock_mono_ns();
	const struct engine_question q = {.api = f->o.api,
					  .ns = ns,
					  .name = name,
					  .deadline_mono_ns =
						  start + (slow || quick > f->o.deadline_ns ? f->o.deadline_ns : quick),
					  .cancel = &f->stop};
	f->slow_in_flight += slow;
	w->in_flight = true;
	w->again = false;
	heap_update_locked(f, w);
	pthread_mutex_unlock(&f->lock);
	int rc = ask_all(ops, targets, &q, &got, &err);
	const int64_t took = clock_mono_ns() - start;
	pthread_mutex_lock(&f->lock);
	f->slow_in_flight -= slow;
	if (slow)
		pthread_cond_signal(&f->wake); /* one that is slow may have waited for this */
	w->in_flight = false;
	if (w->forgotten) {
		watch_free(w);
		engine_figures_clear(&got);
		return;
	}
	w->took_ns = took / n;
	bool tell = take_answer_locked(f, w, rc, &got, &err);
	engine_figures_clear(&got);
	if (w->again)
		w->due_ns = 0;
	heap_update_locked(f, w);
	if (!tell || f->o.notify == NULL)
		return;
	pthread_mutex_unlock(&f->lock);
	f->o.notify(f->o.ctx, ns, name);
	pthread_mutex_lock(&f->lock);
}

/* Whose turn is next; NULL: there is nobody. */
static struct watch *next_locked(const struct figures *f)
{
	struct watch *quick = f->quick.n > 0 ? f->quick.v[0] : NULL;
	struct watch *slow = f->slow.n > 0 && f->slow_in_flight < (f->o.threads + 1) / 2 ? f->slow.v[0] : NULL;
	return quick == NULL || (slow != NULL && slow->due_ns < quick->due_ns) ? slow : quick;
}

static void *figures_main(void *p)
{
	struct figures *f = p;
	pthread_mutex_lock(&f->lock);
	while (!atomic_load_explicit(&f->stop, memory_order_relaxed)) {
		struct watch *w = next_locked(f);
		if (w == NULL || w->due_ns > clock_mono_ns())
			wait_until_locked(f, w != NULL ? w->due_ns : INT64_MAX);
		else
			ask_locked(f, w);
	}
	pthread_mutex_unlock(&f->lock);
	return NULL;
}

int figures_new(const struct figures_options *o, struct figures **ret, struct error *err)
{
	struct figures *f = calloc(1, sizeof *f);
	if (f == NULL || (f->watches = map_new(watch_free)) == NULL) {
		free(f);
		return error_set(err, -ENOMEM, "figures: out of memory");
	}
	f->o = *o;
	if (f->o.threads <= 0 || f->o.threads > MAX_THREADS)
		f->o.threads = THREADS;
	f->o.deadline_ns = o->deadline_ns > 0 ? o->deadline_ns : 5 * NSEC_PER_SEC;
	f->o.quick_ns = o->quick_ns > 0 ? o->quick_ns : NSEC_PER_SEC;
	f->o.min_ns = o->min_ns > 0 ? o->min_ns : 2 * NSEC_PER_SEC;
	f->o.max_ns = o->max_ns > 0 ? o->max_ns : 15 * NSEC_PER_SEC;
	f->o.breaker_max_ns = o->breaker_max_ns > 0 ? o->breaker_max_ns : 60 * NSEC_PER_SEC;
	pthread_condattr_t attr;
	(void)pthread_condattr_init(&attr); /* these two cannot fail on Linux */
	(void)pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
	(void)pthread_mutex_init(&f->lock, NULL);
	(void)pthread_cond_init(&f->wake, &attr);
	(void)pthread_condattr_destroy(&attr);
	for (; f->n_threads < f->o.threads; f->n_threads++) {
		int rc = pthread_create(&f->threads[f->n_threads], NULL, figures_main, f);
		if (rc != 0) {
			figures_free(f);
			return error_set(err, -rc, "figures: start a thread: %s", strerror(rc));
		}
	}
	*ret = f;
	return 0;
}

void figures_free(struct figures *f)
{
	if (f == NULL)
		return;
	pthread_mutex_lock(&f->lock);
	atomic_store_explicit(&f->stop, true, memory_order_relaxed);
	pthread_cond_broadcast(&f->wake);
	pthread_mutex_unlock(&f->lock);
	for (int i = 0; i < f->n_threads; i++)
		(void)pthread_join(f->threads[i], NULL); /* joinable and not ourselves */
	map_free(f->watches);
	free(f->quick.v);
	free(f->slow.v);
	(void)pthread_cond_destroy(&f->wake);
	(void)pthread_mutex_destroy(&f->lock);
	free(f);
}

static int reserve_locked(struct figures *f)
{
	const size_t need = map_size(f->watches) + 1;
	return heap_reserve_locked(&f->quick, need) < 0 || heap_reserve_locked(&f->slow, need) < 0 ? -ENOMEM : 0;
}

static struct watch *watch_add_locked(struct figures *f, const char *ns, const char *name, const char *key)
{
	struct watch *w = calloc(1, sizeof *w);
	if (w == NULL)
		return NULL;
	w->ns = strdup(ns);
	w->name = strdup(name);
	w->key = strdup(key);
	w->interval_ns = f->o.min_ns;
	if (w->ns == NULL || w->name == NULL || w->key == NULL || reserve_locked(f) < 0 ||
	    map_set(f->watches, key, w) < 0) {
		watch_free(w);
		return NULL;
	}
	return w;
}

static int watch_set_locked(struct figures *f, struct watch *w, const struct engine_ops *ops, const json_t *targets,
			    const char *state)
{
	bool same = w->targets != NULL && json_equal(w->targets, targets) && str_same(w->state, state) && w->ops == ops;
	if (same)
		return 0;
	json_t *copy = targets != NULL ? json_deep_copy(targets) : json_array();
	char *st = strdup(state);
	if (copy == NULL || st == NULL) {
		json_decref(copy);
		free(st);
		return -ENOMEM;
	}
	json_decref(w->targets);
	free(w->state);
	w->targets = copy;
	w->state = st;
	w->ops = ops;
	w->again = w->in_flight;
	w->due_ns = 0;
	heap_update_locked(f, w);
	if (w->failures >= BREAKER_AFTER)
		w->failures = BREAKER_AFTER - 1; /* something changed: one honest try before the breaker closes again */
	pthread_cond_signal(&f->wake);
	return 0;
}

int figures_watch(struct figures *f, const char *ns, const char *name, const struct engine_ops *ops,
		  const json_t *targets, const char *state)
{
	CLEANUP(free_p) char *key = str_printf("%s/%s", ns, name);
	JSON_AUTO none = json_array();
	if (key == NULL || none == NULL)
		return -ENOMEM;
	pthread_mutex_lock(&f->lock);
	int rc = 0;
	struct watch *w = map_get(f->watches, key);
	if (w == NULL)
		rc = map_size(f->watches) >= MAX_WATCHES                ? -ENOSPC
		     : (w = watch_add_locked(f, ns, name, key)) == NULL ? -ENOMEM
									: 0;
	if (rc == 0)
		rc = watch_set_locked(f, w, ops, targets != NULL ? targets : none, state);
	pthread_mutex_unlock(&f->lock);
	return rc;
}

void figures_forget(struct figures *f, const char *ns, const char *name)
{
	CLEANUP(free_p) char *key = str_printf("%s/%s", ns, name);
	if (key == NULL)
		return; /* asking on for a dataset that is gone does no harm */
	pthread_mutex_lock(&f->lock);
	struct watch *w = map_steal(f->watches, key);
	if (w != NULL)
		heap_drop_locked(w);
	if (w != NULL && w->in_flight)
		w->forgotten = true;
	else
		watch_free(w);
	pthread_mutex_unlock(&f->lock);
}

bool figures_get(struct figures *f, const char *ns, const char *name, struct engine_figures *ret,
		 char ret_error[static 512])
{
	ret_error[0] = '\0';
	CLEANUP(free_p) char *key = str_printf("%s/%s", ns, name);
	if (key == NULL)
		return false;
	pthread_mutex_lock(&f->lock);
	struct watch *w = map_get(f->watches, key);
	bool have = w != NULL && w->have && figures_copy(&w->last, ret) == 0;
	if (w != NULL)
		(void)str_copy(ret_error, 512, w->error); /* equal sizes */
	pthread_mutex_unlock(&f->lock);
	return have;
}
