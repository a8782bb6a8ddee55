#include "kube/leader.h"

#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/error.h"
#include "base/log.h"
#include "base/random.h"
#include "base/str.h"
#include "kube/client.h"
#include "kube/request.h"
#include "net/http_client.h"
#include "json/json.h"
#include "json/label.h"

#define LEASE_DURATION_NS (15 * NSEC_PER_SEC)
#define RENEW_DEADLINE_NS (10 * NSEC_PER_SEC)
#define RETRY_PERIOD_NS   (2 * NSEC_PER_SEC)
#define LEASE_LONGEST_NS  (3600 * NSEC_PER_SEC)
#define RELEASE_NS        (2 * NSEC_PER_SEC) /* how long the farewell may take */

struct leader {
	struct leader_options o; /* strings: see below */
	char *ns, *name, *identity;
	char *lease_path, *list_path;
	pthread_t thread;
	bool joined; /* the owner alone */
	atomic_bool stop;
	_Atomic int64_t fresh_until; /* monotonic; 0: not the leader */

	/* The elector's thread alone: */
	json_t *lease;       /* as last seen; NULL: never */
	int64_t observed_ns; /* when its record was seen to change */
	char *holder;        /* last told to on_new_holder(); NULL: none yet */

	pthread_mutex_t lock; /* for the condition alone */
	pthread_cond_t wake;  /* `stop` became true */
};

static int no_memory(struct error *err)
{
	return error_set(err, -ENOMEM, "leader election: out of memory");
}

bool leader_is_fresh(const struct leader *l)
{
	return clock_mono_ns() < atomic_load_explicit(&((struct leader *)l)->fresh_until, memory_order_acquire);
}

const char *leader_identity(const struct leader *l)
{
	return l->identity;
}

/* --- the Lease over HTTP, with deadlines shorter than those of client.h --- */

static void answer_clear_p(struct http_answer *a)
{
	http_answer_clear(a);
}

static int call(struct leader *l, const char *method, char *path, const json_t *body, int64_t timeout_ns,
		const atomic_bool *cancel, json_t **ret, struct error *err)
{
	CLEANUP(free_p) char *what = str_printf("%s lease %s/%s", method, l->ns, l->name);
	CLEANUP(free_p) char *text = NULL;
	CLEANUP(answer_clear_p) struct http_answer a = {0};
	size_t n = 0;
	if (what == NULL || (body != NULL && (text = json_to_text(body, &n)) == NULL))
		return no_memory(err);
	const struct kube_request q = {
		.method = method,
		.path_query = path,
		.what = what,
		.content_type = body != NULL ? "application/json" : NULL,
		.body = text,
		.body_n = n,
		.timeout_ns = timeout_ns > NSEC_PER_MSEC ? timeout_ns : NSEC_PER_MSEC,
		.cancel = cancel,
		.unfenced = true,
	};
	int rc = kube_request_do(l->o.client, &q, &a, err);
	if (rc == 0)
		rc = json_parse(a.body, a.body_n, ret, err);
	if (rc == 0 && !json_is_object(*ret)) {
		json_decref(*ret);
		*ret = NULL;
		rc = error_set(err, -EPROTO, "%s: the answer is no object", what);
	}
	return rc;
}

/* --- the record --- */

static const char *holder_of(const json_t *lease)
{
	return json_str(lease, "spec.holderIdentity", "");
}

static bool is_ours(const struct leader *l)
{
	return strcmp(holder_of(l->lease), l->identity) == 0;
}

/** Take @lease (owned) as what is now; its age begins anew when the record changed. @seen_ns: not after it was read. */
static int observe(struct leader *l, json_t *lease, int64_t seen_ns)
{
	if (l->lease == NULL || !json_same(json_object_get(l->lease, "spec"), json_object_get(lease, "spec")))
		l->observed_ns = seen_ns;
	json_decref(l->lease);
	l->lease = lease;
	if (l->holder != NULL && strcmp(l->holder, holder_of(lease)) == 0)
		return 0;
	free(l->holder);
	l->holder = strdup(holder_of(lease));
	if (l->holder == NULL)
		return -ENOMEM;
	if (l->o.on_new_holder != NULL)
		l->o.on_new_holder(l->o.ctx, l->holder);
	return 0;
}

/** Whether another one's lease has to be respected still. */
static bool held_by_another(const struct leader *l)
{
	if (holder_of(l->lease)[0] == '\0' || is_ours(l))
		return false;
	int64_t s = json_int(l->lease, "spec.leaseDurationSeconds", 0);
	if (s <= 0 || s > LEASE_LONGEST_NS / NSEC_PER_SEC)
		s = l->o.lease_duration_ns / NSEC_PER_SEC;
	return clock_mono_ns() - l->observed_ns < s * NSEC_PER_SEC;
}

/** A new tree: the Lease as it shall be when @identity ("": nobody) has it. NULL on no memory. */
static json_t *record(const struct leader *l, const char *identity)
{
	char now[40];
	clock_format_rfc3339_micro(clock_wall_ns(), now);
	JSON_AUTO lease = l->lease != NULL ? json_deep_copy(l->lease) : json_object();
	const bool same = l->lease != NULL && strcmp(holder_of(l->lease), identity) == 0;
	const int64_t transitions = json_int(lease, "spec.leaseTransitions", 0);
	int rc = lease == NULL ? -ENOMEM : 0;
	if (rc == 0 && l->lease == NULL)
		rc = json_put_str(lease, "apiVersion", "coordination.k8s.io/v1") < 0 ||
		     json_put_str(lease, "kind", "Lease") < 0 || json_put_str(lease, "metadata.name", l->name) < 0 ||
		     json_put_str(lease, "metadata.namespace", l->ns) < 0;
	if (rc == 0)
		rc = json_put_str(lease, "spec.holderIdentity", identity);
	if (rc == 0) /* who gives it up lets others take it at once */
		rc = json_put_int(lease, "spec.leaseDurationSeconds",
				  identity[0] != '\0' ? l->o.lease_duration_ns / NSEC_PER_SEC : 1);
	if (rc == 0)
		rc = json_put_str(lease, "spec.renewTime", now);
	if (rc == 0 && !same)
		rc = json_put_str(lease, "spec.acquireTime", now);
	if (rc == 0 && !same && l->lease != NULL && identity[0] != '\0')
		rc = json_put_int(lease, "spec.leaseTransitions", transitions + 1);
	else if (rc == 0 && l->lease == NULL)
		rc = json_put_int(lease, "spec.leaseTransitions", 0);
	return rc == 0 ? TAKE(lease) : NULL;
}

/** Read the Lease; forget it when there is none. */
static int refresh(struct leader *l, int64_t timeout_ns, struct error *err)
{
	json_t *lease = NULL;
	const int rc = call(l, "GET", l->lease_path, NULL, timeout_ns, &l->stop, &lease, err);
	if (rc == -ENOENT) {
		json_decref(l->lease);
		l->lease = NULL;
		return 0;
	}
	/* Seen now, not when it was asked for: waiting longer than needed is the safe side. */
	return rc < 0 ? rc : observe(l, lease, clock_mono_ns()) < 0 ? no_memory(err) : 0;
}

/** Write ourselves into the Lease as last seen. The server refuses when it has changed meanwhile (-ESTALE, -EEXIST). */
static int take(struct leader *l, int64_t timeout_ns, struct error *err)
{
	JSON_AUTO want = record(l, l->identity);
	json_t *got = NULL;
	if (want == NULL)
		return no_memory(err);
	const int64_t sent = clock_mono_ns();
	const int rc = l->lease != NULL ? call(l, "PUT", l->lease_path, want, timeout_ns, &l->stop, &got, err)
					: call(l, "POST", l->list_path, want, timeout_ns, &l->stop, &got, err);
	if (rc < 0)
		return rc;
	if (observe(l, got, sent) < 0)
		return no_memory(err);
	if (!is_ours(l))
		return error_set(err, -EPROTO, "lease %s/%s: the server did not keep what was written", l->ns, l->name);
	atomic_store_explicit(&l->fresh_until, sent + l->o.renew_deadline_ns, memory_order_release);
	return 0;
}

/** One attempt to become or stay the leader: 0 when we are; -EAGAIN when another one is. */
static int acquire_or_renew(struct leader *l, int64_t timeout_ns, struct error *err)
{
	const int64_t deadline = clock_mono_ns() + timeout_ns;
	/* What was written last is most likely what is there: no need to read first. */
	if (l->lease != NULL && is_ours(l) && take(l, timeout_ns, err) == 0)
		return 0;
	int rc = refresh(l, deadline - clock_mono_ns(), err);
	if (rc < 0)
		return rc;
	if (l->lease != NULL && held_by_another(l))
		return error_set(err, -EAGAIN, "lease %s/%s is held by '%s'", l->ns, l->name, holder_of(l->lease));
	return take(l, deadline - clock_mono_ns(), err);
}

/* --- the elector --- */

/** Wait @ns or until the stop. */
static void nap(struct leader *l, int64_t ns)
{
	struct timespec until;
	(void)clock_gettime(CLOCK_MONOTONIC, &until); /* cannot fail for this clock */
	const int64_t t = until.tv_nsec + (ns > 0 ? ns : 0);
	until.tv_sec += t / NSEC_PER_SEC;
	until.tv_nsec = t % NSEC_PER_SEC;
	pthread_mutex_lock(&l->lock);
	while (!atomic_load(&l->stop) && pthread_cond_timedwait(&l->wake, &l->lock, &until) == 0)
		;
	pthread_mutex_unlock(&l->lock);
}

/** Up to a fifth more than the period, so that candidates do not all ask at once. */
static int64_t jittered(int64_t ns)
{
	return ns + ns / 1000 * random_below(200);
}

/** Renew until that fails for too long, another one has the lease, or the stop. */
static void lead(struct leader *l)
{
	int64_t until = atomic_load(&l->fresh_until), next = clock_mono_ns() + l->o.retry_period_ns;
	while (!atomic_load(&l->stop)) {
		const int64_t now = clock_mono_ns();
		if (now >= until)
			break;
		if (now < next) {
			nap(l, (next < until ? next : until) - now);
			continue;
		}
		struct error e = {0};
		const int rc = acquire_or_renew(l, until - now, &e);
		if (rc < 0 && !atomic_load(&l->stop))
			LOG(l->o.log, LOG_LVL_DEBUG, "lease not renewed", LOG_STR("lease", l->name),
			    LOG_STR("err", e.msg));
		if (rc == -EAGAIN)
			break;
		next = clock_mono_ns() + l->o.retry_period_ns;
		/* A renewal that came through after the deadline is none: others may have seen us gone. */
		if (rc == 0 && clock_mono_ns() < until)
			until = atomic_load(&l->fresh_until);
		else if (clock_mono_ns() >= until)
			break;
	}
	atomic_store_explicit(&l->fresh_until, 0, memory_order_release);
}

/** Let others take the lease at once. Failing here only makes them wait. */
static void release(struct leader *l)
{
	struct error e = {0};
	JSON_AUTO nobody = record(l, "");
	JSON_AUTO got = NULL;
	if (nobody == NULL || call(l, "PUT", l->lease_path, nobody, RELEASE_NS, NULL, &got, &e) < 0)
		LOG(l->o.log, LOG_LVL_DEBUG, "lease not given up", LOG_STR("lease", l->name), LOG_STR("err", e.msg));
}

static void *elector_main(void *arg)
{
	struct leader *l = arg;
	while (!atomic_load(&l->stop)) {
		struct error e = {0};
		const int rc = acquire_or_renew(l, l->o.renew_deadline_ns, &e);
		if (rc == 0 && leader_is_fresh(l)) {
			l->o.on_started(l->o.ctx);
			lead(l);
			const bool ended = l->o.on_stopped(l->o.ctx);
			if (ended && atomic_load(&l->stop) && is_ours(l))
				release(l);
			if (!ended || l->o.once)
				break;
		} else if (rc < 0 && rc != -EAGAIN && !atomic_load(&l->stop)) {
			LOG(l->o.log, LOG_LVL_DEBUG, "lease not acquired", LOG_STR("lease", l->name),
			    LOG_STR("err", e.msg));
		}
		atomic_store_explicit(&l->fresh_until, 0, memory_order_release);
		nap(l, jittered(l->o.retry_period_ns));
	}
	return NULL;
}

/* --- making and ending --- */

static void leader_clear(struct leader *l)
{
	json_decref(l->lease);
	free(l->holder);
	free(l->ns);
	free(l->name);
	free(l->identity);
	free(l->lease_path);
	free(l->list_path);
	pthread_cond_destroy(&l->wake);
	pthread_mutex_destroy(&l->lock);
	free(l);
}

static int check_options(struct leader_options *o, struct error *err)
{
	if (o->lease_duration_ns == 0)
		o->lease_duration_ns = LEASE_DURATION_NS;
	if (o->renew_deadline_ns == 0)
		o->renew_deadline_ns = RENEW_DEADLINE_NS;
	if (o->retry_period_ns == 0)
		o->retry_period_ns = RETRY_PERIOD_NS;
	if (o->retry_period_ns < NSEC_PER_MSEC || o->renew_deadline_ns < 2 * o->retry_period_ns ||
	    o->lease_duration_ns <= o->renew_deadline_ns || o->lease_duration_ns > LEASE_LONGEST_NS)
		return error_set(
			err, -EINVAL,
			"leader election: the lease (at most an hour) must be longer than the renew deadline, and that "
			"at least twice the retry period");
	o->lease_duration_ns = (o->lease_duration_ns + NSEC_PER_SEC - 1) / NSEC_PER_SEC * NSEC_PER_SEC;
	const char *bad = dns_label_problem(o->ns);
	if (bad != NULL)
		return error_set(err, -EINVAL, "leader election: namespace '%s': %s", o->ns, bad);
	bad = dns_subdomain_problem(o->name);
	if (bad != NULL)
		return error_set(err, -EINVAL, "leader election: lease '%s': %s", o->name, bad);
	return 0;
}

static char *make_identity(void)
{
	char host[128] = "", id[37];
	if (gethostname(host, sizeof host - 1) < 0)
		host[0] = '\0'; /* the UUID alone is unique */
	random_uuid(id);
	return str_printf("%s_%s", host, id);
}

int leader_new(const struct leader_options *options, struct leader **ret, struct error *err)
{
	struct leader_options o = *options;
	int rc = check_options(&o, err);
	if (rc < 0)
		return rc;
	struct leader *l = calloc(1, sizeof *l);
	if (l == NULL)
		return no_memory(err);
	l->o = o;
	l->o.ns = l->o.name = l->o.identity = NULL; /* the copies count */
	pthread_condattr_t attr;
	pthread_condattr_init(&attr);
	pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
	pthread_cond_init(&l->wake, &attr);
	pthread_condattr_destroy(&attr);
	pthread_mutex_init(&l->lock, NULL);
	l->ns = strdup(o.ns);
	l->name = strdup(o.name);
	l->identity = o.identity != NULL && o.identity[0] != '\0' ? strdup(o.identity) : make_identity();
	l->list_path = str_printf("/apis/coordination.k8s.io/v1/namespaces/%s/leases", o.ns);
	l->lease_path = str_printf("/apis/coordination.k8s.io/v1/namespaces/%s/leases/%s", o.ns, o.name);
	if (l->ns == NULL || l->name == NULL || l->identity == NULL || l->list_path == NULL || l->lease_path == NULL)
		rc = no_memory(err);
	else if ((rc = -pthread_create(&l->thread, NULL, elector_main, l)) < 0)
		error_set(err, rc, "leader election: start a thread: %s", strerror(-rc));
	if (rc < 0) {
		leader_clear(l);
		return rc;
	}
	*ret = l;
	return 0;
}

void leader_stop(struct leader *l)
{
	if (l->joined)
		return;
	pthread_mutex_lock(&l->lock);
	atomic_store(&l->stop, true);
	pthread_cond_broadcast(&l->wake);
	pthread_mutex_unlock(&l->lock);
	kube_client_interrupt(l->o.client);
	(void)pthread_join(l->thread, NULL); /* it is ours and ends */
	l->joined = true;
}

void leader_free(struct leader *l)
{
	if (l == NULL)
		return;
	leader_stop(l);
	leader_clear(l);
}

const struct permission leader_permissions[] = {
	{"coordination.k8s.io", "leases", "get,create,update"},
	{.resources = NULL},
};
