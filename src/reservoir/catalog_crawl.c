/* The crawl: lists what nobody has looked at yet, so that the totals become known; what fails is tried again with back-off. */
#include "base/clock.h"
#include "base/error.h"
#include "base/log.h"
#include "reservoir/catalog_internal.h"

#define AHEAD_MAX 100000u

static void work_on(struct catalog *c, struct crawl_item *it, bool ahead)
{
	struct error err = {0};
	const struct index_node *n = index_get(c->index, it->id);
	if (n == NULL || n->dead)
		return;
	int r;
	uint32_t id = it->id;
	if (n->type == SOURCE_DIR)
		r = catalog_list_for_crawl(c, id, &err);
	else
		r = n->exact ? 0 : catalog_ensure_exact(c, &id, false, &err);
	if (r == 0 || r == -ENOENT || r == -ECANCELED) {
		for (size_t i = 0; i < c->n_mounts; i++) /* a root that is not there may come */
			if (r == -ENOENT && c->mounts[i].root == it->id)
				catalog_crawl_add(c, it->id, it->attempt + 1,
						  NSEC_PER_SEC << (it->attempt < 6 ? it->attempt : 6));
		return;
	}
	if (ahead)
		return; /* asked for when somebody looks: a source that is away leaves the figures complete */
	LOG(NULL, LOG_LVL_DEBUG, "crawl: trying again later", LOG_STR("err", err.msg));
	catalog_crawl_add(c, it->id, it->attempt + 1, NSEC_PER_SEC << (it->attempt < 6 ? it->attempt : 6));
}

static int queue_push(struct crawl_queue *q, const struct crawl_item *it)
{
	if (q->n == q->cap) {
		const size_t cap = q->cap == 0 ? 256 : q->cap * 2;
		struct crawl_item *p = calloc(cap, sizeof *p);
		if (p == NULL)
			return -ENOMEM;
		for (size_t i = 0; i < q->n; i++)
			p[i] = q->items[(q->head + i) % q->cap];
		free(q->items);
		*q = (struct crawl_queue){.items = p, .n = q->n, .cap = cap};
	}
	q->items[(q->head + q->n++) % q->cap] = *it;
	return 0;
}

static bool queue_pop(struct crawl_queue *q, struct crawl_item *ret)
{
	if (q->n == 0)
		return false;
	*ret = q->items[q->head];
	q->head = (q->head + 1) % q->cap;
	q->n--;
	return true;
}

void catalog_crawl_add(struct catalog *c, uint32_t id, unsigned attempt, int64_t delay_ns)
{
	const struct crawl_item it = {.id = id, .attempt = attempt, .due_ns = clock_mono_ns() + delay_ns};
	(void)queue_push(delay_ns > 0 ? &c->delayed : &c->ready, &it); /* without memory: listed when somebody looks */
	pthread_cond_broadcast(&c->changed);
}

void catalog_look_ahead(struct catalog *c, uint32_t dir)
{
	if (index_get(c->index, dir)->looked_ahead)
		return;
	index_set_looked_ahead(c->index, dir, true);
	for (uint32_t id = index_get(c->index, dir)->first; id != 0 && c->ahead.n < AHEAD_MAX;
	     id = index_get(c->index, id)->next) {
		const struct crawl_item it = {.id = id};
		if (index_get(c->index, id)->type == SOURCE_FILE && !index_get(c->index, id)->exact)
			(void)queue_push(&c->ahead, &it); /* without memory: asked for when somebody looks */
	}
	if (c->ahead.n > 0)
		pthread_cond_broadcast(&c->changed);
}

/* Move what is due; the time at which the next is, or INT64_MAX. */
static int64_t take_due(struct catalog *c)
{
	int64_t next = INT64_MAX;
	const int64_t now = clock_mono_ns();
	for (size_t i = c->delayed.n; i > 0; i--) {
		struct crawl_item it = {0};
		(void)queue_pop(&c->delayed, &it); /* there are n */
		if (it.due_ns > now && it.due_ns < next)
			next = it.due_ns;
		(void)queue_push(it.due_ns <= now ? &c->ready : &c->delayed, &it); /* as above */
	}
	return next;
}

static void *crawl_main(void *arg)
{
	struct catalog *c = arg;
	pthread_mutex_lock(&c->lock);
	while (!c->stop) {
		const int64_t next = take_due(c);
		struct crawl_item it;
		const bool ahead = queue_pop(&c->ahead, &it);
		if (ahead || queue_pop(&c->ready, &it)) {
			/* Looking ahead changes no total: what was complete stays so meanwhile. */
			c->crawling += ahead ? 0 : 1;
			work_on(c, &it, ahead);
			c->crawling -= ahead ? 0 : 1;
			pthread_cond_broadcast(&c->changed);
			continue;
		}
		if (next == INT64_MAX) {
			pthread_cond_wait(&c->changed, &c->lock);
			continue;
		}
		const struct timespec ts = {.tv_sec = next / NSEC_PER_SEC, .tv_nsec = next % NSEC_PER_SEC};
		(void)pthread_cond_timedwait(&c->changed, &c->lock, &ts); /* the loop looks again */
	}
	pthread_mutex_unlock(&c->lock);
	return NULL;
}

int catalog_crawl_start(struct catalog *c, struct error *err)
{
	for (size_t i = 0; i < CRAWL_THREADS; i++) {
		const int r = -pthread_create(&c->threads[i], NULL, crawl_main, c);
		if (r < 0)
			return error_set(err, r, "cannot start a thread: %s", strerror(-r));
		c->n_threads++;
	}
	return 0;
}
