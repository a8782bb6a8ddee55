/*
 * Leader election against a small server that keeps one Lease as Kubernetes does: compare and swap by resourceVersion.
 * Started with arguments this program is a candidate process of its own, which the test pauses and kills.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/error.h"
#include "kube/client.h"
#include "kube/config.h"
#include "kube/leader.h"
#include "net/http_server.h"
#include "json/json.h"

#define LEASE_NS  (1 * NSEC_PER_SEC)
#define RENEW_NS  (600 * NSEC_PER_MSEC)
#define PERIOD_NS (100 * NSEC_PER_MSEC)
#define WAIT_NS   (20 * NSEC_PER_SEC)

/* --- the server --- */

struct lease_server {
	struct http_server *http;
	pthread_mutex_t lock; /* guards all below */
	json_t *lease;
	int64_t version;
	bool broken;         /* answers 500 */
	const char *usurper; /* takes the lease right before the next PUT */
};

static void reply_json(struct http_exchange *x, int status, const json_t *j)
{
	size_t n = 0;
	CLEANUP(free_p) char *text = json_to_text(j, &n);
	assert_non_null(text);
	http_reply(x, status, "application/json", text, n);
}

static void reply_status(struct http_exchange *x, int status, const char *reason)
{
	JSON_AUTO j = json_pack("{s:s, s:s, s:s}", "kind", "Status", "reason", reason, "message", "scripted");
	reply_json(x, status, j);
}

static void store_locked(struct lease_server *s, json_t *lease)
{
	char version[24];
	(void)snprintf(version, sizeof version, "%lld", (long long)++s->version);
	assert_int_equal(json_put_str(lease, "metadata.resourceVersion", version), 0);
	json_decref(s->lease);
	s->lease = lease;
}

static void put_locked(struct lease_server *s, struct http_exchange *x, json_t *lease)
{
	if (s->usurper != NULL) {
		json_t *other = json_deep_copy(s->lease);
		assert_int_equal(json_put_str(other, "spec.holderIdentity", s->usurper), 0);
		s->usurper = NULL;
		store_locked(s, other);
	}
	if (s->lease == NULL) {
		reply_status(x, 404, "NotFound");
	} else if (strcmp(json_str(lease, "metadata.resourceVersion", ""),
			  json_str(s->lease, "metadata.resourceVersion", "")) != 0) {
		reply_status(x, 409, "Conflict");
	} else {
		store_locked(s, json_incref(lease));
		reply_json(x, 200, s->lease);
	}
}

static void lease_handler(void *ctx, struct http_exchange *x)
{
	struct lease_server *s = ctx;
	const struct http_request *q = http_exchange_request(x);
	JSON_AUTO body = NULL;
	const bool get = strcmp(q->method, "GET") == 0;
	if (!get && json_parse(q->body, q->body_n, &body, NULL) < 0) {
		reply_status(x, 400, "BadRequest");
		return;
	}
	pthread_mutex_lock(&s->lock);
	if (s->broken) {
		reply_status(x, 500, "InternalError");
	} else if (get) {
		if (s->lease != NULL)
			reply_json(x, 200, s->lease);
		else
			reply_status(x, 404, "NotFound");
	} else if (strcmp(q->method, "POST") == 0) {
		if (s->lease == NULL) {
			store_locked(s, json_incref(body));
			reply_json(x, 201, s->lease);
		} else {
			reply_status(x, 409, "AlreadyExists");
		}
	} else {
		put_locked(s, x, body);
	}
	pthread_mutex_unlock(&s->lock);
}

static void server_start(struct lease_server *s)
{
	*s = (struct lease_server){0};
	pthread_mutex_init(&s->lock, NULL);
	struct error e = {0};
	const struct http_server_options o = {.address = "127.0.0.1", .handler = lease_handler, .ctx = s};
	if (http_server_new(&o, &s->http, &e) < 0)
		fail_msg("%s", e.msg);
}

static void server_stop(struct lease_server *s)
{
	http_server_free(s->http);
	json_decref(s->lease);
	pthread_mutex_destroy(&s->lock);
}

static void server_set_broken(struct lease_server *s, bool broken)
{
	pthread_mutex_lock(&s->lock);
	s->broken = broken;
	pthread_mutex_unlock(&s->lock);
}

static bool server_holder_is(struct lease_server *s, const char *who)
{
	pthread_mutex_lock(&s->lock);
	const bool is = strcmp(json_str(s->lease, "spec.holderIdentity", "?"), who) == 0;
	pthread_mutex_unlock(&s->lock);
	return is;
}

static struct kube_client *client_of(uint16_t port)
{
	char url[64];
	struct kube_client *c = NULL;
	(void)snprintf(url, sizeof url, "http://127.0.0.1:%u", port);
	const struct kube_config cfg = {.server = url, .ns = (char *)"default"};
	struct error e = {0};
	if (kube_client_new(&cfg, NULL, &c, &e) < 0)
		fail_msg("%s", e.msg);
	return c;
}

/* --- a candidate --- */

struct candidate {
	struct kube_client *client;
	struct leader *leader;
	atomic_int started, stopped;
	atomic_bool fresh_at_start, fresh_at_stop;
	struct leader *_Atomic self;
};

static void count_started(void *ctx)
{
	struct candidate *c = ctx;
	atomic_fetch_add(&c->started, 1);
}

static bool count_stopped(void *ctx)
{
	struct candidate *c = ctx;
	struct leader *l = atomic_load(&c->self);
	if (l != NULL)
		atomic_store(&c->fresh_at_stop, leader_is_fresh(l));
	atomic_fetch_add(&c->stopped, 1);
	return true;
}

static void candidate_start(struct candidate *c, uint16_t port, const char *identity)
{
	*c = (struct candidate){.client = client_of(port)};
	const struct leader_options o = {
		.client = c->client,
		.ns = "sluice-system",
		.name = "dataset",
		.identity = identity,
		.lease_duration_ns = LEASE_NS,
		.renew_deadline_ns = RENEW_NS,
		.retry_period_ns = PERIOD_NS,
		.on_started = count_started,
		.on_stopped = count_stopped,
		.ctx = c,
	};
	struct error e = {0};
	if (leader_new(&o, &c->leader, &e) < 0)
		fail_msg("%s", e.msg);
	atomic_store(&c->self, c->leader);
}

static void candidate_stop(struct candidate *c)
{
	leader_free(c->leader);
	kube_client_free(c->client);
}

static bool wait_count(const atomic_int *n, int want)
{
	const int64_t deadline = clock_mono_ns() + WAIT_NS;
	while (atomic_load(n) < want && clock_mono_ns() < deadline)
		(void)poll(NULL, 0, 2);
	return atomic_load(n) >= want;
}

/* --- tests in one process --- */

static void options(void **state)
{
	(void)state;
	static const struct {
		const char *ns, *name, *msg;
		int64_t lease, renew, retry;
	} cases[] = {
		{"default", "x", "leader election: the lease (at most an hour) must be longer than the renew deadline",
		 5, 5, 1},
		{"default", "x", "leader election: the lease (at most an hour) must be longer than the renew deadline",
		 5, 4, 3},
		{"default", "x", "leader election: the lease (at most an hour) must be longer than the renew deadline",
		 4000, 4, 1},
		{"Default", "x", "leader election: namespace 'Default': ", 0, 0, 0},
		{"default", "x/y", "leader election: lease 'x/y': ", 0, 0, 0},
	};
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		const struct leader_options o = {
			.ns = cases[i].ns,
			.name = cases[i].name,
			.lease_duration_ns = cases[i].lease * NSEC_PER_SEC,
			.renew_deadline_ns = cases[i].renew * NSEC_PER_SEC,
			.retry_period_ns = cases[i].retry * NSEC_PER_SEC,
		};
		struct leader *l = NULL;
		struct error e = {0};
		assert_int_equal(leader_new(&o, &l, &e), -EINVAL);
		if (strncmp(e.msg, cases[i].msg, strlen(cases[i].msg)) != 0)
			fail_msg("case %zu: '%s'", i, e.msg);
	}
	leader_free(NULL);
}

static void lease_is_made_kept_and_given_up(void **state)
{
	(void)state;
	struct lease_server s;
	struct candidate a, b;
	server_start(&s);
	candidate_start(&a, http_server_port(s.http), "a");
	assert_true(wait_count(&a.started, 1));
	assert_true(leader_is_fresh(a.leader));
	assert_string_equal(leader_identity(a.leader), "a");
	candidate_start(&b, http_server_port(s.http), NULL);
	assert_true(strlen(leader_identity(b.leader)) > 36);

	/* Longer than a lease: a renews, b waits. */
	const int64_t until = clock_mono_ns() + LEASE_NS + LEASE_NS / 2;
	while (clock_mono_ns() < until) {
		assert_false(leader_is_fresh(b.leader));
		(void)poll(NULL, 0, 10);
	}
	assert_int_equal(atomic_load(&b.started), 0);
	assert_int_equal(atomic_load(&a.stopped), 0);
	pthread_mutex_lock(&s.lock);
	assert_string_equal(json_str(s.lease, "spec.holderIdentity", ""), "a");
	assert_int_equal(json_int(s.lease, "spec.leaseDurationSeconds", 0), 1);
	assert_int_equal(json_int(s.lease, "spec.leaseTransitions", -1), 0);
	assert_string_not_equal(json_str(s.lease, "spec.renewTime", ""), json_str(s.lease, "spec.acquireTime", ""));
	pthread_mutex_unlock(&s.lock);

	candidate_stop(&a);
	assert_int_equal(atomic_load(&a.started), 1);
	assert_int_equal(atomic_load(&a.stopped), 1);
	assert_true(wait_count(&b.started, 1));
	assert_true(server_holder_is(&s, leader_identity(b.leader)));
	pthread_mutex_lock(&s.lock);
	assert_int_equal(json_int(s.lease, "spec.leaseTransitions", -1), 1);
	pthread_mutex_unlock(&s.lock);
	candidate_stop(&b);
	assert_true(server_holder_is(&s, ""));
	server_stop(&s);
}

static void leader_cut_off_stops_in_time(void **state)
{
	(void)state;
	struct lease_server s;
	struct candidate a;
	server_start(&s);
	candidate_start(&a, http_server_port(s.http), "a");
	assert_true(wait_count(&a.started, 1));
	server_set_broken(&s, true);
	const int64_t cut = clock_mono_ns();
	while (leader_is_fresh(a.leader))
		(void)poll(NULL, 0, 1);
	assert_true(clock_mono_ns() - cut < LEASE_NS);
	assert_true(wait_count(&a.stopped, 1));
	assert_false(atomic_load(&a.fresh_at_stop));
	/* It comes back when the server does. */
	server_set_broken(&s, false);
	assert_true(wait_count(&a.started, 2));
	assert_true(leader_is_fresh(a.leader));
	candidate_stop(&a);
	server_stop(&s);
}

static void leader_that_was_replaced_stops_at_once(void **state)
{
	(void)state;
	struct lease_server s;
	struct candidate a;
	server_start(&s);
	candidate_start(&a, http_server_port(s.http), "a");
	assert_true(wait_count(&a.started, 1));
	pthread_mutex_lock(&s.lock);
	s.usurper = "b";
	pthread_mutex_unlock(&s.lock);
	assert_true(wait_count(&a.stopped, 1));
	assert_false(atomic_load(&a.fresh_at_stop));
	assert_true(server_holder_is(&s, "b"));
	/* Nobody renews it: a takes it when it has been unchanged for its time. */
	assert_true(wait_count(&a.started, 2));
	candidate_stop(&a);
	server_stop(&s);
}

/* --- two processes, one of them paused --- */

struct act {
	char who;
	int64_t at_ns;
};

/* A candidate process: acts as fast as it may while it leads, noting each act and the moment before it asked whether it may. */
static int candidate_main(const char *port, const char *who, const char *path)
{
	struct candidate c;
	CLEANUP(close_fd) int fd = open(path, O_WRONLY | O_APPEND | O_CLOEXEC);
	if (fd < 0)
		return 1;
	candidate_start(&c, (uint16_t)strtoul(port, NULL, 10), who);
	const pid_t parent = getppid();
	while (getppid() == parent) {
		const struct act a = {.who = who[0], .at_ns = clock_mono_ns()};
		if (leader_is_fresh(c.leader) && write(fd, &a, sizeof a) != sizeof a)
			return 1;
		(void)poll(NULL, 0, 5);
	}
	return 0;
}

static pid_t spawn(uint16_t port, const char *who, const char *path)
{
	char text[8];
	(void)snprintf(text, sizeof text, "%u", port);
	const pid_t pid = fork();
	if (pid == 0) {
		(void)execl(program_invocation_name, "candidate", text, who, path, (char *)NULL);
		_exit(127);
	}
	assert_true(pid > 0);
	return pid;
}

/* Wait until @who acts after @after; false when it never did. */
static bool acts_after(int fd, char who, int64_t after)
{
	const int64_t deadline = clock_mono_ns() + WAIT_NS;
	struct act a;
	off_t at = 0;
	while (clock_mono_ns() < deadline) {
		if (pread(fd, &a, sizeof a, at) != sizeof a) {
			(void)poll(NULL, 0, 5);
			continue;
		}
		at += (off_t)sizeof a;
		if (a.who == who && a.at_ns > after)
			return true;
	}
	return false;
}

static int by_time(const void *a, const void *b)
{
	const int64_t x = ((const struct act *)a)->at_ns, y = ((const struct act *)b)->at_ns;
	return (x > y) - (x < y);
}

/* The terms of office in the order of time: "ab" when a acted, then b, and never a again. */
static void terms(int fd, char *out, size_t size)
{
	const off_t bytes = lseek(fd, 0, SEEK_END);
	const size_t n = (size_t)bytes / sizeof(struct act);
	CLEANUP(free_p) struct act *acts = calloc(n + 1, sizeof *acts);
	assert_non_null(acts);
	assert_int_equal(pread(fd, acts, (size_t)bytes, 0), bytes);
	qsort(acts, n, sizeof *acts, by_time);
	size_t k = 0;
	for (size_t i = 0; i < n; i++)
		if ((k == 0 || out[k - 1] != acts[i].who) && k + 1 < size)
			out[k++] = acts[i].who;
	out[k] = '\0';
}

static void end(pid_t pid)
{
	int status = 0;
	(void)kill(pid, SIGKILL);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFSIGNALED(status)); /* it had not ended by itself */
}

static void paused_leader_never_acts_beside_the_next(void **state)
{
	(void)state;
	struct lease_server s;
	server_start(&s);
	char path[] = "/tmp/test_leader.XXXXXX";
	CLEANUP(close_fd) int fd = mkostemp(path, O_CLOEXEC);
	assert_true(fd >= 0);
	const uint16_t port = http_server_port(s.http);

	const pid_t a = spawn(port, "a", path);
	assert_true(acts_after(fd, 'a', 0));
	const pid_t b = spawn(port, "b", path);
	assert_int_equal(kill(a, SIGSTOP), 0);
	assert_true(acts_after(fd, 'b', 0));
	assert_int_equal(kill(a, SIGCONT), 0);
	/* Both run: b goes on, a waits. */
	const int64_t both = clock_mono_ns() + LEASE_NS / 2;
	assert_true(acts_after(fd, 'b', both));
	assert_int_equal(kill(b, SIGSTOP), 0);
	assert_true(acts_after(fd, 'a', both));
	assert_int_equal(kill(b, SIGCONT), 0);
	assert_true(acts_after(fd, 'a', clock_mono_ns() + LEASE_NS / 2));
	end(a);
	assert_true(acts_after(fd, 'b', clock_mono_ns()));
	end(b);

	char got[16];
	terms(fd, got, sizeof got);
	assert_string_equal(got, "abab");
	(void)unlink(path);
	server_stop(&s);
}

int main(int argc, char **argv)
{
	if (argc == 4)
		return candidate_main(argv[1], argv[2], argv[3]);
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(options),
		cmocka_unit_test(lease_is_made_kept_and_given_up),
		cmocka_unit_test(leader_cut_off_stops_in_time),
		cmocka_unit_test(leader_that_was_replaced_stops_at_once),
		cmocka_unit_test(paused_leader_never_acts_beside_the_next),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
