#include "net/pool.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdbool.h>
#include <stdlib.h>

struct pool {
	pthread_mutex_t lock;           /* guards the flows, pending, stopping */
	pthread_cond_t ready;           /* turn != NULL or stopping */
	struct pool_flow *turn, **last; /* the flows that have items, in the order of their turns */
	struct pool_flow common;
	size_t pending, max_pending;
	bool stopping;
	void (*run)(void *ctx, struct pool_item *it);
	void *ctx;
	size_t n_threads;
	pthread_t threads[];
};

static void put_last_locked(struct pool *p, struct pool_flow *f)
{
	f->next = NULL;
	*p->last = f;
	p->last = &f->next;
}

/* The first item of the flow whose turn it is; if the flow has more, its next turn comes after all others'. */
static struct pool_item *take_locked(struct pool *p)
{
	struct pool_flow *f = p->turn;
	struct pool_item *it = f->head;
	p->turn = f->next;
	if (p->turn == NULL)
		p->last = &p->turn;
	f->head = it->next;
	f->pending--;
	p->pending--;
	if (f->head != NULL)
		put_last_locked(p, f);
	return it;
}

static struct pool_item *pool_next(struct pool *p)
{
	pthread_mutex_lock(&p->lock);
	while (p->turn == NULL && !p->stopping)
		pthread_cond_wait(&p->ready, &p->lock);
	struct pool_item *it = p->stopping ? NULL : take_locked(p);
	pthread_mutex_unlock(&p->lock);
	return it;
}

static void *pool_main(void *arg)
{
	struct pool *p = arg;
	for (struct pool_item *it; (it = pool_next(p)) != NULL;)
		p->run(p->ctx, it);
	return NULL;
}

/* Signals are the main thread's business, and a write to a dead socket must give EPIPE instead of SIGPIPE. */
static int start_threads(struct pool *p, size_t n)
{
	sigset_t all, before;
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &before);
	int rc = 0;
	while (p->n_threads < n && rc == 0) {
		rc = -pthread_create(&p->threads[p->n_threads], NULL, pool_main, p);
		p->n_threads += rc == 0;
	}
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	return rc;
}

int pool_new(size_t workers, size_t max_pending, void (*run)(void *ctx, struct pool_item *it), void *ctx,
	     struct pool **ret)
{
	struct pool *p = calloc(1, sizeof *p + workers * sizeof p->threads[0]);
	if (p == NULL)
		return -ENOMEM;
	pthread_mutex_init(&p->lock, NULL);
	pthread_cond_init(&p->ready, NULL);
	p->last = &p->turn;
	p->max_pending = max_pending;
	p->run = run;
	p->ctx = ctx;
	int rc = start_threads(p, workers);
	if (rc < 0) {
		(void)pool_stop(p); /* nothing was submitted */
		pool_free(p);
		return rc;
	}
	*ret = p;
	return 0;
}

static void add_locked(struct pool *p, struct pool_flow *f, struct pool_item *it)
{
	if (f->head == NULL) {
		f->tail = &f->head;
		put_last_locked(p, f);
	}
	*f->tail = it;
	f->tail = &it->next;
	f->pending++;
	p->pending++;
	pthread_cond_signal(&p->ready);
}

int pool_submit(struct pool *p, struct pool_flow *flow, struct pool_item *it)
{
	struct pool_flow *f = flow != NULL ? flow : &p->common;
	int rc = 0;
	it->next = NULL;
	pthread_mutex_lock(&p->lock);
	if (p->stopping)
		rc = -ESHUTDOWN;
	else if (p->pending >= p->max_pending)
		rc = -ENOBUFS;
	else if (f->max > 0 && f->pending >= f->max)
		rc = -EDQUOT;
	else
		add_locked(p, f, it);
	pthread_mutex_unlock(&p->lock);
	return rc;
}

struct pool_item *pool_stop(struct pool *p)
{
	pthread_mutex_lock(&p->lock);
	p->stopping = true;
	pthread_cond_broadcast(&p->ready);
	pthread_mutex_unlock(&p->lock);
	for (size_t i = 0; i < p->n_threads; i++)
		pthread_join(p->threads[i], NULL);
	p->n_threads = 0;
	struct pool_item *rest = NULL, **end = &rest;
	while (p->turn != NULL) {
		*end = take_locked(p); /* no thread is left to lock out */
		end = &(*end)->next;
	}
	*end = NULL;
	return rest;
}

void pool_free(struct pool *p)
{
	if (p == NULL)
		return;
	pthread_cond_destroy(&p->ready);
	pthread_mutex_destroy(&p->lock);
	free(p);
}
