#include "kube/workqueue.h"

#include <assert.h>
#include <errno.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/map.h"
#include "base/metrics.h"

#define BACKOFF_BASE_NS (5 * NSEC_PER_MSEC)
#define BACKOFF_MAX_NS  (1000 * NSEC_PER_SEC)
#define NOT_IN_HEAP     SIZE_MAX
#define URGENT_IN_A_ROW 8 /* then one ordinary key has its turn, so that none waits for ever */

/*
 * What is known of one key. It exists only while at least one of these holds: it is in the ready list, it is being worked on,
 * it waits in the heap, or it has failures to remember. So memory is bounded by the number of distinct live keys.
 *
 * Invariants: (1) ready implies !working; (2) dirty only while working: it becomes ready at done; (3) while ready, it is in the lane
 * that `urgent` says.
 */
struct entry {
	char *key;
	struct entry *next, **at; /* its lane; valid while ready */
	bool ready, working, dirty;
	bool urgent; /* stays until the key did well, so that a conflict does not lose its place */
	struct entry *work_next, **work_at; /* list of what is being worked on; valid while working */
	int64_t added_ns, taken_ns;         /* for measuring: since it waits; since it is worked on */
	unsigned failures;
	int64_t due; /* valid while heap_pos != NOT_IN_HEAP */
	size_t heap_pos;
};

/* Keys in order of arrival. */
struct lane {
	struct entry *head, **tail;
};

struct workqueue {
	pthread_mutex_t lock; /* guards all below */
	pthread_cond_t wake;  /* something became ready or due earlier, or shutdown */
	struct map *entries;  /* key -> struct entry */
	struct lane urgent, ordinary;
	unsigned urgent_in_a_row;
	struct entry *at_work;
	size_t n_ready;
	struct entry **heap; /* by due, earliest first */
	size_t heap_n, heap_cap;
	int64_t base_ns, max_ns;
	bool shutdown;
	bool measured; /* the series below are NULL while it is not */
	struct series *depth, *adds, *retries, *unfinished, *longest, *waited, *worked;
};

static void entry_free(void *p)
{
	struct entry *e = p;
	free(e->key);
	free(e);
}

/* --- measuring --- */

/* What only looking tells: how long those that are at work are at it. */
static void measure_now(void *ctx)
{
	struct workqueue *q = ctx;
	int64_t sum = 0, longest = 0;
	pthread_mutex_lock(&q->lock);
	const int64_t now = clock_mono_ns();
	for (const struct entry *e = q->at_work; e != NULL; e = e->work_next) {
		const int64_t took = now - e->taken_ns;
		sum += took;
		longest = took > longest ? took : longest;
	}
	pthread_mutex_unlock(&q->lock);
	series_set(q->unfinished, (double)sum / NSEC_PER_SEC);
	series_set(q->longest, (double)longest / NSEC_PER_SEC);
}

void workqueue_measure(struct workqueue *q, const char *name)
{
	static const char *const labels[] = {"name", NULL};
	static const double seconds[] = {1e-8, 1e-7, 1e-6, 1e-5, 1e-4, 1e-3, 1e-2, 0.1, 1, 10, 100, 1000};
	struct metrics *root = metrics_root();
	const char *const values[] = {name};
	assert(!q->measured && map_size(q->entries) == 0);
	q->depth = metric_series(metrics_gauge(root, "workqueue_depth", "Keys that wait.", labels), values);
	q->adds = metric_series(metrics_counter(root, "workqueue_adds_total", "Keys that were added.", labels), values);
	q->retries = metric_series(
		metrics_counter(root, "workqueue_retries_total", "Keys that were to come again later.", labels),
		values);
	q->unfinished = metric_series(metrics_gauge(root, "workqueue_unfinished_work_seconds",
						    "For how long those at work are at it, summed up.", labels),
				      values);
	q->longest = metric_series(metrics_gauge(root, "workqueue_longest_running_processor_seconds",
						 "For how long the longest of those at work is at it.", labels),
				   values);
	q->waited = metric_series(metrics_histogram(root, "workqueue_queue_duration_seconds",
						    "How long keys wait before they are taken.", labels, seconds,
						    ARRAY_LEN(seconds)),
				  values);
	q->worked =
		metric_series(metrics_histogram(root, "workqueue_work_duration_seconds", "How long keys are worked on.",
						labels, seconds, ARRAY_LEN(seconds)),
			      values);
	q->measured = metrics_on_write(root, measure_now, q) == 0; /* no memory: two gauges stay at 0 */
}

static double since(int64_t then_ns)
{
	return (double)(clock_mono_ns() - then_ns) / NSEC_PER_SEC;
}

/* --- making and ending --- */

struct workqueue *workqueue_new(int64_t backoff_base_ns, int64_t backoff_max_ns)
{
	struct workqueue *q = calloc(1, sizeof *q);
	if (q == NULL)
		return NULL;
	q->base_ns = backoff_base_ns > 0 ? backoff_base_ns : BACKOFF_BASE_NS;
	q->max_ns = backoff_max_ns > 0 ? backoff_max_ns : BACKOFF_MAX_NS;
	q->entries = map_new(entry_free);
	if (q->entries == NULL) {
		free(q);
		return NULL;
	}
	q->urgent.tail = &q->urgent.head;
	q->ordinary.tail = &q->ordinary.head;
	pthread_mutex_init(&q->lock, NULL);
	pthread_condattr_t attr;
	pthread_condattr_init(&attr);
	pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
	pthread_cond_init(&q->wake, &attr);
	pthread_condattr_destroy(&attr);
	return q;
}

void workqueue_free(struct workqueue *q)
{
	if (q == NULL)
		return;
	if (q->measured)
		metrics_off_write(metrics_root(), measure_now, q);
	series_set(q->depth, 0);
	map_free(q->entries);
	free(q->heap);
	pthread_cond_destroy(&q->wake);
	pthread_mutex_destroy(&q->lock);
	free(q);
}

/* --- the heap of delayed keys --- */

static void heap_place(struct workqueue *q, size_t pos, struct entry *e)
{
	q->heap[pos] = e;
	e->heap_pos = pos;
}

static void heap_up(struct workqueue *q, size_t pos)
{
	struct entry *e = q->heap[pos];
	while (pos > 0 && q->heap[(pos - 1) / 2]->due > e->due) {
		heap_place(q, pos, q->heap[(pos - 1) / 2]);
		pos = (pos - 1) / 2;
	}
	heap_place(q, pos, e);
}

static void heap_down(struct workqueue *q, size_t pos)
{
	struct entry *e = q->heap[pos];
	for (;;) {
		size_t child = 2 * pos + 1;
		if (child >= q->heap_n)
			break;
		if (child + 1 < q->heap_n && q->heap[child + 1]->due < q->heap[child]->due)
			child++;
		if (q->heap[child]->due >= e->due)
			break;
		heap_place(q, pos, q->heap[child]);
		pos = child;
	}
	heap_place(q, pos, e);
}

static struct entry *heap_pop(struct workqueue *q)
{
	struct entry *e = q->heap[0];
	struct entry *last = q->heap[--q->heap_n];
	e->heap_pos = NOT_IN_HEAP;
	if (last != e) {
		heap_place(q, 0, last);
		heap_down(q, 0);
	}
	return e;
}

static int heap_push(struct workqueue *q, struct entry *e)
{
	if (q->heap_n == q->heap_cap) {
		size_t cap = q->heap_cap == 0 ? 16 : q->heap_cap * 2;
		struct entry **p = reallocarray(q->heap, cap, sizeof(struct entry *));
		if (p == NULL)
			return -ENOMEM;
		q->heap = p;
		q->heap_cap = cap;
	}
	heap_place(q, q->heap_n++, e);
	heap_up(q, q->heap_n - 1);
	return 0;
}

/* --- entries --- */

static struct entry *entry_get_locked(struct workqueue *q, const char *key)
{
	struct entry *e = map_get(q->entries, key);
	if (e != NULL)
		return e;
	e = calloc(1, sizeof *e);
	if (e == NULL)
		return NULL;
	e->heap_pos = NOT_IN_HEAP;
	e->key = strdup(key);
	if (e->key == NULL || map_set(q->entries, key, e) < 0) {
		entry_free(e);
		return NULL;
	}
	return e;
}

static void entry_drop_if_idle_locked(struct workqueue *q, struct entry *e)
{
	if (!e->ready && !e->working && e->failures == 0 && e->heap_pos == NOT_IN_HEAP)
		entry_free(map_steal(q->entries, e->key)); /* not map_remove(): the key must outlive the lookup */
}

static struct lane *lane_of(struct workqueue *q, const struct entry *e)
{
	return e->urgent ? &q->urgent : &q->ordinary;
}

static void lane_append_locked(struct lane *l, struct entry *e)
{
	e->next = NULL;
	e->at = l->tail;
	*l->tail = e;
	l->tail = &e->next;
}

static void lane_remove_locked(struct lane *l, struct entry *e)
{
	*e->at = e->next;
	if (e->next != NULL)
		e->next->at = e->at;
	else
		l->tail = e->at;
}

static void append_locked(struct workqueue *q, struct entry *e)
{
	e->ready = true;
	lane_append_locked(lane_of(q, e), e);
	q->n_ready++;
	series_set(q->depth, (double)q->n_ready);
	pthread_cond_signal(&q->wake);
}

static void make_ready_locked(struct workqueue *q, struct entry *e)
{
	if (e->ready || e->dirty)
		return;
	e->added_ns = clock_mono_ns();
	series_add(q->adds, 1);
	if (e->working)
		e->dirty = true;
	else
		append_locked(q, e);
}

/* From now on until it did well it goes before those that are not. */
static void make_urgent_locked(struct workqueue *q, struct entry *e)
{
	if (e->urgent)
		return;
	if (e->ready)
		lane_remove_locked(&q->ordinary, e);
	e->urgent = true;
	if (e->ready)
		lane_append_locked(&q->urgent, e);
}

static int add_after_locked(struct workqueue *q, struct entry *e, int64_t delay_ns)
{
	int64_t due;
	series_add(q->retries, 1);
	if (__builtin_add_overflow(clock_mono_ns(), delay_ns, &due))
		due = INT64_MAX;
	if (e->heap_pos == NOT_IN_HEAP) {
		e->due = due;
		int rc = heap_push(q, e);
		if (rc < 0) {
			entry_drop_if_idle_locked(q, e);
			return rc;
		}
	} else if (due < e->due) {
		e->due = due;
		heap_up(q, e->heap_pos);
	}
	if (q->heap[0] == e)
		pthread_cond_signal(&q->wake); /* a waiter must shorten its wait */
	return 0;
}

static int add_locked(struct workqueue *q, const char *key, int64_t delay_ns)
{
	if (q->shutdown)
		return -ESHUTDOWN;
	struct entry *e = entry_get_locked(q, key);
	if (e == NULL)
		return -ENOMEM;
	if (delay_ns > 0)
		return add_after_locked(q, e, delay_ns);
	make_ready_locked(q, e);
	return 0;
}

int workqueue_add(struct workqueue *q, const char *key)
{
	return workqueue_add_after(q, key, 0);
}

int workqueue_add_urgent(struct workqueue *q, const char *key)
{
	pthread_mutex_lock(&q->lock);
	int rc = add_locked(q, key, 0);
	if (rc == 0)
		make_urgent_locked(q, map_get(q->entries, key));
	pthread_mutex_unlock(&q->lock);
	return rc;
}

int workqueue_add_after(struct workqueue *q, const char *key, int64_t delay_ns)
{
	pthread_mutex_lock(&q->lock);
	int rc = add_locked(q, key, delay_ns);
	pthread_mutex_unlock(&q->lock);
	return rc;
}

static int64_t backoff_ns(const struct workqueue *q, unsigned failures)
{
	int64_t d = q->base_ns;
	for (unsigned i = 0; i < failures && d < q->max_ns; i++)
		d = d > q->max_ns / 2 ? q->max_ns : d * 2;
	return d < q->max_ns ? d : q->max_ns;
}

int workqueue_add_rate_limited(struct workqueue *q, const char *key)
{
	int rc = -ESHUTDOWN;
	pthread_mutex_lock(&q->lock);
	if (!q->shutdown) {
		struct entry *e = entry_get_locked(q, key);
		rc = -ENOMEM;
		if (e != NULL) {
			int64_t delay = backoff_ns(q, e->failures);
			if (e->failures < UINT32_MAX)
				e->failures++;
			rc = add_after_locked(q, e, delay);
		}
	}
	pthread_mutex_unlock(&q->lock);
	return rc;
}

void workqueue_forget(struct workqueue *q, const char *key)
{
	pthread_mutex_lock(&q->lock);
	struct entry *e = map_get(q->entries, key);
	if (e != NULL) {
		e->failures = 0;
		if (!e->ready && !e->dirty) /* else it was made urgent for what is yet to be done */
			e->urgent = false;
		entry_drop_if_idle_locked(q, e);
	}
	pthread_mutex_unlock(&q->lock);
}

/* --- taking --- */

static void release_due_locked(struct workqueue *q)
{
	int64_t now = clock_mono_ns();
	while (q->heap_n > 0 && q->heap[0]->due <= now)
		make_ready_locked(q, heap_pop(q));
}

static void wait_locked(struct workqueue *q)
{
	if (q->heap_n == 0 || q->heap[0]->due == INT64_MAX) {
		pthread_cond_wait(&q->wake, &q->lock);
		return;
	}
	const int64_t due = q->heap[0]->due;
	const struct timespec at = {.tv_sec = due / NSEC_PER_SEC, .tv_nsec = due % NSEC_PER_SEC};
	(void)pthread_cond_timedwait(&q->wake, &q->lock, &at); /* on timeout the caller looks at the clock */
}

/* Whose turn it is; NULL: nothing is ready. */
static struct entry *next_locked(const struct workqueue *q)
{
	const bool yield = q->urgent_in_a_row >= URGENT_IN_A_ROW && q->ordinary.head != NULL;
	return q->urgent.head != NULL && !yield ? q->urgent.head : q->ordinary.head;
}

static void pop_ready_locked(struct workqueue *q, struct entry *e)
{
	lane_remove_locked(lane_of(q, e), e);
	q->urgent_in_a_row = e->urgent ? q->urgent_in_a_row + 1 : 0;
	q->n_ready--;
	series_set(q->depth, (double)q->n_ready);
	e->ready = false;
}

static void begin_work_locked(struct workqueue *q, struct entry *e)
{
	e->working = true;
	e->taken_ns = clock_mono_ns();
	e->work_next = q->at_work;
	e->work_at = &q->at_work;
	if (e->work_next != NULL)
		e->work_next->work_at = &e->work_next;
	q->at_work = e;
	series_observe(q->waited, since(e->added_ns));
}

static void end_work_locked(struct workqueue *q, struct entry *e)
{
	e->working = false;
	*e->work_at = e->work_next;
	if (e->work_next != NULL)
		e->work_next->work_at = e->work_at;
	series_observe(q->worked, since(e->taken_ns));
}

int workqueue_get(struct workqueue *q, char **ret_key)
{
	int rc = -ESHUTDOWN;
	struct entry *e = NULL;
	pthread_mutex_lock(&q->lock);
	while (!q->shutdown) {
		release_due_locked(q);
		e = next_locked(q);
		if (e != NULL)
			break;
		wait_locked(q);
	}
	if (!q->shutdown) {
		char *key = strdup(e->key);
		rc = -ENOMEM;
		if (key != NULL) {
			pop_ready_locked(q, e);
			begin_work_locked(q, e);
			*ret_key = key;
			rc = 0;
		}
		if (q->n_ready > 0 || q->heap_n > 0)
			pthread_cond_signal(&q->wake); /* signals may have collapsed: pass the turn on */
	}
	pthread_mutex_unlock(&q->lock);
	return rc;
}

void workqueue_done(struct workqueue *q, const char *key)
{
	pthread_mutex_lock(&q->lock);
	struct entry *e = map_get(q->entries, key);
	assert(e != NULL && e->working);
	end_work_locked(q, e);
	if (e->dirty && !q->shutdown) {
		e->dirty = false;
		append_locked(q, e); /* it was counted when it was added */
	}
	entry_drop_if_idle_locked(q, e);
	pthread_mutex_unlock(&q->lock);
}

size_t workqueue_depth(struct workqueue *q)
{
	pthread_mutex_lock(&q->lock);
	size_t n = q->n_ready;
	pthread_mutex_unlock(&q->lock);
	return n;
}

void workqueue_shutdown(struct workqueue *q)
{
	pthread_mutex_lock(&q->lock);
	q->shutdown = true;
	pthread_cond_broadcast(&q->wake);
	pthread_mutex_unlock(&q->lock);
}
