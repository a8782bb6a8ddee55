#include "kube/manager.h"

#include <assert.h>
#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/error.h"
#include "base/log.h"
#include "base/metrics.h"
#include "base/strbuf.h"
#include "kube/client.h"
#include "kube/controller_private.h"
#include "kube/endpoints.h"
#include "kube/leader.h"
#include "kube/resource.h"

#define SYNC_NS     (60 * NSEC_PER_SEC) /* without a page of any list */
#define SYNC_ROUNDS 10
#define STOP_NS     (30 * NSEC_PER_SEC)

struct last_word {
	struct last_word *next;
	void (*fn)(void *ctx);
	void *ctx;
};

struct manager {
	struct kube_client *client;
	struct logger *log;
	struct manager_options o; /* its strings are the copies below */
	char *strings[5];
	int64_t stop_ns;

	/* Fixed once started: */
	struct informer **informers;
	size_t n_informers;
	struct controller **controllers;
	size_t n_controllers;
	struct last_word *last_words;
	bool started, stopped;

	struct kube_fence fence;
	struct leader *_Atomic leader; /* NULL: none stands for election */
	struct endpoints *_Atomic endpoints;
	struct series *leading;
	atomic_bool acting, stuck; /* controllers have been started; one of them did not end */

	pthread_mutex_t work_lock; /* one thread at a time starts or ends controllers; taken before `lock` */
	bool over;                 /* guarded by work_lock: no controller may start any more */

	pthread_mutex_t lock; /* guards failure */
	struct error failure; /* code 0: none */
	int failed_fd;        /* readable when there is one */
};

/* --- making --- */

static int no_memory(struct error *err)
{
	return error_set(err, -ENOMEM, "manager: out of memory");
}

/* Take copies of the options' strings. */
static int copy_strings(struct manager *m)
{
	const char **const from[] = {&m->o.election.ns, &m->o.election.name, &m->o.election.identity,
				     &m->o.health_address, &m->o.metrics_address};
	_Static_assert(ARRAY_LEN(from) == ARRAY_LEN(m->strings), "one copy each");
	for (size_t i = 0; i < ARRAY_LEN(from); i++) {
		if (*from[i] != NULL && (m->strings[i] = strdup(*from[i])) == NULL)
			return -ENOMEM;
		*from[i] = m->strings[i];
	}
	return 0;
}

static void manager_destroy(struct manager *m)
{
	for (size_t i = 0; i < ARRAY_LEN(m->strings); i++)
		free(m->strings[i]);
	if (m->failed_fd >= 0)
		(void)close(m->failed_fd); /* an eventfd */
	pthread_mutex_destroy(&m->work_lock);
	pthread_mutex_destroy(&m->lock);
	free(m->informers);
	free(m->controllers);
	free(m);
}

static bool fence_is_open(void *ctx)
{
	struct manager *m = ctx;
	const struct leader *l = atomic_load_explicit(&m->leader, memory_order_acquire);
	return l != NULL && leader_is_fresh(l);
}

int manager_new(const struct manager_options *o, struct manager **ret, struct error *err)
{
	struct manager *m = calloc(1, sizeof *m);
	if (m == NULL)
		return no_memory(err);
	pthread_mutex_init(&m->work_lock, NULL);
	pthread_mutex_init(&m->lock, NULL);
	m->client = o->client;
	m->log = o->log;
	m->o = *o;
	m->stop_ns = o->stop_timeout_ns > 0 ? o->stop_timeout_ns : STOP_NS;
	m->fence = (struct kube_fence){.open = fence_is_open, .ctx = m};
	m->failed_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	int rc = m->failed_fd >= 0 ? 0 : error_set(err, -errno, "manager: eventfd: %s", strerror(errno));
	if (rc == 0 && copy_strings(m) < 0)
		rc = no_memory(err);
	if (rc < 0)
		manager_destroy(m);
	else
		*ret = m;
	return rc;
}

struct kube_client *manager_client(struct manager *m)
{
	return m->client;
}

struct logger *manager_log(struct manager *m)
{
	return m->log;
}

static struct informer *find_informer(const struct manager *m, const struct kube_resource *r)
{
	for (size_t i = 0; i < m->n_informers; i++) {
		const struct kube_resource *have = informer_resource(m->informers[i]);
		if (strcmp(have->group, r->group) == 0 && strcmp(have->plural, r->plural) == 0)
			return m->informers[i];
	}
	return NULL;
}

struct informer *manager_informer_with(struct manager *m, const struct kube_resource *r,
				       const struct informer_options *o)
{
	struct informer *inf = find_informer(m, r);
	if (inf != NULL)
		return inf;
	assert(!m->started);
	struct informer_options with = o != NULL ? *o : (struct informer_options){0};
	if (with.log == NULL)
		with.log = m->log;
	struct informer **list = reallocarray(m->informers, m->n_informers + 1, sizeof(struct informer *));
	if (list == NULL)
		return NULL;
	m->informers = list;
	if (informer_new(m->client, r, &with, &inf, NULL) < 0)
		return NULL;
	m->informers[m->n_informers++] = inf;
	return inf;
}

struct informer *manager_informer(struct manager *m, const struct kube_resource *r)
{
	return manager_informer_with(m, r, NULL);
}

int manager_add_controller(struct manager *m, struct controller *c)
{
	assert(!m->started);
	struct controller **list = reallocarray(m->controllers, m->n_controllers + 1, sizeof(struct controller *));
	if (list == NULL)
		return -ENOMEM;
	m->controllers = list;
	m->controllers[m->n_controllers++] = c;
	return 0;
}

int manager_on_free(struct manager *m, void (*fn)(void *ctx), void *ctx)
{
	struct last_word *l = malloc(sizeof *l);
	if (l == NULL)
		return -ENOMEM;
	*l = (struct last_word){.next = m->last_words, .fn = fn, .ctx = ctx};
	m->last_words = l;
	return 0;
}

/* --- what goes wrong --- */

/* The first failure counts; manager_wait() returns it. */
static void give_up(struct manager *m, const struct error *why)
{
	const uint64_t one = 1;
	pthread_mutex_lock(&m->lock);
	const bool first = m->failure.code == 0;
	if (first)
		m->failure = *why;
	pthread_mutex_unlock(&m->lock);
	if (first && write(m->failed_fd, &one, sizeof one) < 0)
		assert(errno == EAGAIN); /* an eventfd refuses only when it is readable anyway */
}

static void failure_of(struct manager *m, struct error *ret)
{
	pthread_mutex_lock(&m->lock);
	*ret = m->failure;
	pthread_mutex_unlock(&m->lock);
}

int manager_wait(struct manager *m, int stop_fd, struct error *err)
{
	struct pollfd p[] = {{.fd = m->failed_fd, .events = POLLIN}, {.fd = stop_fd, .events = POLLIN}};
	while (poll(p, ARRAY_LEN(p), -1) < 0)
		assert(errno == EINTR); /* anything else is a bad descriptor */
	if (p[1].revents != 0)
		return 0;
	struct error why;
	failure_of(m, &why);
	if (err != NULL)
		*err = why;
	return why.code;
}

/* --- health --- */

static bool is_healthy(void *ctx, struct strbuf *out)
{
	struct manager *m = ctx;
	struct error why;
	failure_of(m, &why);
	const bool stuck = atomic_load_explicit(&m->stuck, memory_order_relaxed);
	if (why.code == 0)
		strbuf_adds(out, "[+]manager ok\n");
	else
		strbuf_addf(out, "[-]manager: %s\n", why.msg);
	strbuf_adds(out, stuck ? "[-]reconciles: one does not end\n" : "[+]reconciles ok\n");
	return why.code == 0 && !stuck;
}

static bool is_ready(void *ctx, struct strbuf *out)
{
	struct manager *m = ctx;
	bool ready = is_healthy(m, out);
	for (size_t i = 0; i < m->n_informers; i++) {
		const char *what = informer_resource(m->informers[i])->plural;
		const bool synced = informer_synced(m->informers[i]);
		strbuf_addf(out, synced ? "[+]cache of %s ok\n" : "[-]cache of %s: the first list is not in\n", what);
		ready = ready && synced;
	}
	return ready;
}

uint16_t manager_health_port(struct manager *m)
{
	return endpoints_health_port(atomic_load_explicit(&m->endpoints, memory_order_acquire));
}

uint16_t manager_metrics_port(struct manager *m)
{
	return endpoints_metrics_port(atomic_load_explicit(&m->endpoints, memory_order_acquire));
}

/* --- controllers come and go --- */

static int start_work(struct manager *m, struct error *err)
{
	int rc = 0;
	pthread_mutex_lock(&m->work_lock);
	for (size_t i = 0; i < m->n_controllers && !m->over && rc == 0; i++)
		rc = controller_start(m->controllers[i], err);
	atomic_store_explicit(&m->acting, !m->over && rc == 0, memory_order_release);
	pthread_mutex_unlock(&m->work_lock);
	return rc;
}

/* For good. Does nothing the second time. */
static void end_work(struct manager *m)
{
	const int64_t deadline = clock_mono_ns() + m->stop_ns;
	pthread_mutex_lock(&m->work_lock);
	atomic_store_explicit(&m->acting, false, memory_order_release);
	for (size_t i = 0; i < m->n_controllers && !m->over; i++)
		controller_stop(m->controllers[i]);
	for (size_t i = 0; i < m->n_controllers && !m->over; i++) {
		if (controller_join(m->controllers[i], deadline) == 0)
			continue;
		atomic_store_explicit(&m->stuck, true, memory_order_relaxed);
		LOG(m->log, LOG_LVL_ERROR, "a reconcile does not end, leaving it behind",
		    LOG_STR("controller", controller_name(m->controllers[i])));
	}
	m->over = true;
	pthread_mutex_unlock(&m->work_lock);
}

bool manager_leads(struct manager *m)
{
	return atomic_load_explicit(&m->acting, memory_order_acquire) &&
	       (m->o.election.name == NULL || fence_is_open(m));
}

/* --- election: called by the elector's thread --- */

static void on_elected(void *ctx)
{
	struct manager *m = ctx;
	struct error err = {0};
	LOG(m->log, LOG_LVL_INFO, "this process leads now", LOG_STR("lease", m->o.election.name));
	series_set(m->leading, 1);
	if (start_work(m, &err) < 0)
		give_up(m, &err);
}

/* The process is told before its controllers end: they may take their time, and /healthz says at once what is. */
static bool on_lost(void *ctx)
{
	struct manager *m = ctx;
	struct error err = {0};
	series_set(m->leading, 0);
	pthread_mutex_lock(&m->work_lock);
	const bool wanted = m->over; /* manager_stop() has ended the work before */
	pthread_mutex_unlock(&m->work_lock);
	if (!wanted) {
		error_set(&err, -ECANCELED, "lease %s/%s was lost: another process may lead", m->o.election.ns,
			  m->o.election.name);
		LOG(m->log, LOG_LVL_ERROR, "this process leads no more", LOG_STR("err", err.msg));
		give_up(m, &err);
	}
	end_work(m);
	return !atomic_load_explicit(&m->stuck, memory_order_relaxed);
}

static void on_new_leader(void *ctx, const char *identity)
{
	struct manager *m = ctx;
	LOG(m->log, LOG_LVL_INFO, "leader is known", LOG_STR("lease", m->o.election.name), LOG_STR("leader", identity));
}

static int stand(struct manager *m, struct error *err)
{
	static const char *const by_name[] = {"name", NULL};
	const struct manager_election *e = &m->o.election;
	const struct leader_options o = {
		.client = m->client,
		.ns = e->ns,
		.name = e->name,
		.identity = e->identity,
		.lease_duration_ns = e->lease_duration_ns,
		.renew_deadline_ns = e->renew_deadline_ns,
		.retry_period_ns = e->retry_period_ns,
		.once = true,
		.on_started = on_elected,
		.on_stopped = on_lost,
		.on_new_holder = on_new_leader,
		.ctx = m,
		.log = m->log,
	};
	m->leading = metric_series(metrics_gauge(metrics_root(), "leader_election_master_status",
						 "Whether this process leads (1) or not (0), by lease.", by_name),
				   (const char *const[]){e->name});
	series_set(m->leading, 0);
	kube_client_set_fence(m->client, &m->fence);
	struct leader *l = NULL;
	/* Held so that no controller starts before the fence knows whom to ask. */
	pthread_mutex_lock(&m->work_lock);
	const int rc = leader_new(&o, &l, err);
	atomic_store_explicit(&m->leader, l, memory_order_release);
	pthread_mutex_unlock(&m->work_lock);
	return rc;
}

/* --- start and stop --- */

static int serve(struct manager *m, struct error *err)
{
	const struct endpoints_options o = {.health_address = m->o.health_address,
					    .metrics_address = m->o.metrics_address,
					    .healthy = is_healthy,
					    .ready = is_ready,
					    .ctx = m};
	struct endpoints *e = NULL;
	const int rc = endpoints_new(&o, &e, err);
	atomic_store_explicit(&m->endpoints, e, memory_order_release);
	if (e != NULL)
		LOG(m->log, LOG_LVL_INFO, "health and metrics are served",
		    LOG_INT("health_port", manager_health_port(m)), LOG_INT("metrics_port", manager_metrics_port(m)));
	return rc;
}

static unsigned pages_so_far(const struct manager *m)
{
	unsigned n = 0;
	for (size_t i = 0; i < m->n_informers; i++)
		n += informer_pages(m->informers[i]);
	return n;
}

/* A large cluster behind a busy server takes its time: that is no failure as long as something comes. */
static int wait_synced(const struct manager *m, struct informer *inf, int stop_fd)
{
	int rc = -ETIMEDOUT;
	unsigned before = 0, now = pages_so_far(m);
	for (int i = 0; rc == -ETIMEDOUT && i < SYNC_ROUNDS && (i == 0 || now != before); i++) {
		before = now;
		rc = informer_wait_synced(inf, clock_mono_ns() + SYNC_NS, stop_fd);
		now = pages_so_far(m);
	}
	return rc;
}

static int fill_caches(struct manager *m, int stop_fd, struct error *err)
{
	for (size_t i = 0; i < m->n_informers; i++) {
		int rc = informer_start(m->informers[i], err);
		if (rc < 0)
			return rc;
	}
	for (size_t i = 0; i < m->n_informers; i++) {
		int rc = wait_synced(m, m->informers[i], stop_fd);
		if (rc == -ECANCELED)
			return error_set(err, rc, "stopped while the list of %s was under way",
					 informer_resource(m->informers[i])->plural);
		if (rc < 0)
			return error_set(
				err, rc,
				"the list of %s did not arrive, and for 60 s no part of any: see the log for the reason (is the "
				"server up, is the kind served?)",
				informer_resource(m->informers[i])->plural);
	}
	return 0;
}

/*
 * Listeners first, so that probes see a slow start; caches before controllers, which would take everything for absent on an empty one;
 * the election last: who is elected can act at once.
 */
int manager_start(struct manager *m, int stop_fd, struct error *err)
{
	assert(!m->started);
	m->started = true;
	int rc = serve(m, err);
	if (rc == 0)
		rc = fill_caches(m, stop_fd, err);
	if (rc < 0)
		return rc;
	return m->o.election.name != NULL ? stand(m, err) : start_work(m, err);
}

void manager_stop(struct manager *m)
{
	if (m->stopped)
		return;
	m->stopped = true;
	end_work(m); /* under the lease, which is renewed meanwhile */
	struct leader *l = atomic_load(&m->leader);
	if (l != NULL)
		leader_stop(l);
	for (size_t i = 0; i < m->n_informers; i++)
		informer_stop(m->informers[i]);
	endpoints_free(atomic_exchange(&m->endpoints, NULL));
}

void manager_free(struct manager *m)
{
	if (m == NULL)
		return;
	manager_stop(m);
	if (atomic_load(&m->stuck))
		return; /* its thread still uses all of this: a leak at the end of the process is the lesser evil */
	for (size_t i = 0; i < m->n_informers; i++)
		informer_free(m->informers[i]);
	for (struct last_word *l; (l = m->last_words) != NULL; free(l)) {
		m->last_words = l->next;
		l->fn(l->ctx);
	}
	for (size_t i = 0; i < m->n_controllers; i++)
		controller_free(m->controllers[i]);
	if (m->o.election.name != NULL && m->started)
		kube_client_set_fence(m->client, NULL);
	leader_free(atomic_load(&m->leader));
	manager_destroy(m);
}
