/*
 * Asking probes: a queue of "<uid> <kind> <container>" worked off by a few threads. A probe that hangs costs one of them at most its
 * timeout. What is found is written into the container and its pod is queued.
 */
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/error.h"
#include "base/str.h"
#include "kube/event.h"
#include "kube/workqueue.h"
#include "local/agent_private.h"

#define PROBER_THREADS 12

struct prober {
	struct agent *agent;
	struct workqueue *queue;
	pthread_t threads[PROBER_THREADS];
	int n_threads;
};

static void enqueue(struct prober *pr, const struct pod_run *p, const struct container_run *c, int kind,
		    int64_t delay_ns)
{
	CLEANUP(free_p) char *key = str_printf("%s %d %s", p->uid, kind, c->name);
	if (key != NULL)
		(void)workqueue_add_after(pr->queue, key,
					  delay_ns > 0 ? delay_ns : 0); /* only memory or the end can fail it */
}

static int64_t first_delay(const struct container_run *c, int kind)
{
	return probe_initial_delay_ns(c->probes[kind]) - (clock_mono_ns() - c->started_ns);
}

static void enqueue_steady(struct prober *pr, const struct pod_run *p, const struct container_run *c)
{
	if (c->probes[PROBE_READINESS] != NULL)
		enqueue(pr, p, c, PROBE_READINESS, first_delay(c, PROBE_READINESS));
	if (c->probes[PROBE_LIVENESS] != NULL)
		enqueue(pr, p, c, PROBE_LIVENESS, first_delay(c, PROBE_LIVENESS));
}

void prober_begin(struct prober *pr, struct pod_run *p, struct container_run *c)
{
	pthread_mutex_lock(&p->lock);
	memset(c->counters, 0, sizeof c->counters);
	c->unhealthy = false;
	c->unhealthy_grace = -1;
	c->started = c->probes[PROBE_STARTUP] == NULL;
	c->ready = c->started && c->probes[PROBE_READINESS] == NULL;
	const bool started = c->started;
	pthread_mutex_unlock(&p->lock);
	if (started)
		enqueue_steady(pr, p, c);
	else
		enqueue(pr, p, c, PROBE_STARTUP, first_delay(c, PROBE_STARTUP));
}

/* Under the pod's lock: what a verdict means. True when the pod must look at it. */
static bool apply_locked(struct container_run *c, int kind, enum probe_verdict v)
{
	if (v == PROBE_UNDECIDED)
		return false;
	if (kind == PROBE_READINESS) {
		const bool changed = c->ready != (v == PROBE_PASSED);
		c->ready = v == PROBE_PASSED;
		return changed;
	}
	if (v == PROBE_FAILED) {
		const bool changed = !c->unhealthy;
		c->unhealthy = true;
		c->unhealthy_grace = probe_grace_seconds(c->probes[kind]);
		return changed;
	}
	if (kind != PROBE_STARTUP || c->started)
		return false;
	c->started = true;
	c->ready = c->probes[PROBE_READINESS] == NULL;
	return true;
}

struct asked {
	struct pod_run *p;
	struct container_run *c;
	int kind;
	char id[CONTAINER_ID_MAX + 1];
};

static bool is_due(struct asked *q)
{
	pthread_mutex_lock(&q->p->lock);
	const struct container_run *c = q->c;
	const bool due = c->phase == CONTAINER_RUNNING && c->probes[q->kind] != NULL && !c->unhealthy &&
			 c->started == (q->kind != PROBE_STARTUP);
	(void)str_copy(q->id, sizeof q->id, c->id);
	pthread_mutex_unlock(&q->p->lock);
	return due;
}

static void ask(struct prober *pr, struct asked *q)
{
	if (!is_due(q))
		return; /* of an attempt that is over: the next one begins anew */
	const struct probe *probe = q->c->probes[q->kind];
	char msg[400];
	const bool ok = probe_ask(probe, &pr->agent->paths, pr->agent->http, q->id, msg, sizeof msg);

	pthread_mutex_lock(&q->p->lock);
	const bool current = q->c->phase == CONTAINER_RUNNING && strcmp(q->c->id, q->id) == 0;
	const bool was_started = q->c->started;
	const bool news = current && apply_locked(q->c, q->kind, probe_count(probe, &q->c->counters[q->kind], ok));
	const bool began = !was_started && q->c->started;
	pthread_mutex_unlock(&q->p->lock);
	if (!current)
		return;
	if (!ok)
		event_emit(pr->agent->events, q->p->ref, "Warning", "Unhealthy", "%s probe failed: %s",
			   probe_kind_name[q->kind], msg);
	if (began)
		enqueue_steady(pr, q->p, q->c);
	else
		enqueue(pr, q->p, q->c, q->kind, probe_period_ns(probe));
	if (news)
		(void)workqueue_add(pr->agent->work, q->p->uid); /* no memory: the pod's next pass sees it */
}

static void work_on(struct prober *pr, const char *key)
{
	struct str rest = str_from(key), uid, kind, name;
	if (!str_split_next(&rest, ' ', &uid) || !str_split_next(&rest, ' ', &kind) ||
	    !str_split_next(&rest, ' ', &name))
		return;
	CLEANUP(free_p) char *id = strndup(uid.p, uid.n);
	struct asked q = {.kind = kind.p[0] - '0', .p = id != NULL ? agent_find(pr->agent, id) : NULL};
	q.c = q.p != NULL ? pod_container(q.p, name.p) : NULL;
	if (q.c != NULL)
		ask(pr, &q);
	pod_run_unref(q.p);
}

static void *prober_main(void *arg)
{
	struct prober *pr = arg;
	for (char *key; workqueue_get(pr->queue, &key) == 0; free(key)) {
		work_on(pr, key);
		workqueue_done(pr->queue, key);
	}
	return NULL;
}

int prober_new(struct agent *a, struct prober **ret, struct error *err)
{
	struct prober *pr = calloc(1, sizeof *pr);
	if (pr == NULL || (pr->queue = workqueue_new(0, 0)) == NULL) {
		free(pr);
		return error_set(err, -ENOMEM, "prober: out of memory");
	}
	pr->agent = a;
	for (; pr->n_threads < PROBER_THREADS; pr->n_threads++) {
		const int rc = -pthread_create(&pr->threads[pr->n_threads], NULL, prober_main, pr);
		if (rc < 0) {
			prober_free(pr);
			return error_set(err, rc, "prober: thread: %s", strerror(-rc));
		}
	}
	*ret = pr;
	return 0;
}

void prober_free(struct prober *pr)
{
	if (pr == NULL)
		return;
	workqueue_shutdown(pr->queue);
	for (int i = 0; i < pr->n_threads; i++)
		(void)pthread_join(pr->threads[i], NULL);
	workqueue_free(pr->queue);
	free(pr);
}
