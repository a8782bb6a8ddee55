/*
 * Managers that stand for election, against the API server: processes of their own that are paused, killed and told to end. Each writes
 * to one ConfigMap while it leads; the revisions of those writes and of the Lease say who acted under whose lease.
 * Started with arguments this program is such a process.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/error.h"
#include "base/file.h"
#include "base/log.h"
#include "base/str.h"
#include "kube/client.h"
#include "kube/informer.h"
#include "kube/manager.h"
#include "local/api_server.h"
#include "json/json.h"

#define WAIT_MS   30000
#define EXIT_LOST 3
#define ACTS_MAX  4096
#define LEASE_NS  (4 * NSEC_PER_SEC) /* a busy machine must not cost a healthy leader its lease */
#define RENEW_NS  (3 * NSEC_PER_SEC)
#define PERIOD_NS (100 * NSEC_PER_MSEC)

/* --- a process that acts while it leads --- */

struct actor {
	struct kube_client *client;
	const char *who;
	int told, go; /* pipes: an act is told; the next one waits for a byte */
	int n;
};

static int act(void *ctx, const char *ns, const char *name, struct reconcile_result *ret, struct error *err)
{
	struct actor *a = ctx;
	char count[16], byte;
	(void)snprintf(count, sizeof count, "%d", ++a->n);
	JSON_AUTO patch = json_pack("{s:{s:s, s:s}}", "data", "who", a->who, "n", count);
	const int rc = kube_patch(a->client, &KUBE_CONFIGMAP, ns, name, NULL, KUBE_PATCH_MERGE, patch, NULL, err);
	if (rc < 0)
		return rc;
	if (write(a->told, a->who, 1) != 1 || read(a->go, &byte, 1) != 1)
		return error_set(err, -EPIPE, "the test has gone");
	ret->requeue_after_ns = NSEC_PER_MSEC;
	return 0;
}

static int actor_run(struct actor *a, const char *kubeconfig, int stop_fd, struct manager **m, struct error *err)
{
	struct kube_config *cfg = NULL;
	struct controller *c = NULL;
	int rc = kube_config_load(kubeconfig, NULL, &cfg, err);
	if (rc == 0)
		rc = kube_client_new(cfg, NULL, &a->client, err);
	kube_config_free(cfg);
	if (rc < 0)
		return rc;
	const struct manager_options o = {.client = a->client,
					  .election = {.ns = "default",
						       .name = "acting",
						       .identity = a->who,
						       .lease_duration_ns = LEASE_NS,
						       .renew_deadline_ns = RENEW_NS,
						       .retry_period_ns = PERIOD_NS}};
	rc = manager_new(&o, m, err);
	const struct controller_options co = {.name = "act", .workers = 1, .reconcile = act, .ctx = a};
	if (rc == 0)
		rc = controller_new(*m, &co, &c, err);
	if (rc == 0)
		rc = controller_watch(c, &KUBE_CONFIGMAP);
	if (rc == 0)
		rc = manager_start(*m, stop_fd, err);
	return rc == 0 ? manager_wait(*m, stop_fd, err) : rc;
}

static int actor_main(char **argv)
{
	struct actor a = {.who = argv[2], .told = (int)strtol(argv[3], NULL, 10), .go = (int)strtol(argv[4], NULL, 10)};
	struct manager *m = NULL;
	struct error err = {0};
	sigset_t term;
	sigemptyset(&term);
	sigaddset(&term, SIGTERM);
	(void)pthread_sigmask(SIG_BLOCK, &term, NULL); /* before threads are made */
	log_init(2, LOG_LVL_ERROR + 1, argv[2]);
	const int stop_fd = signalfd(-1, &term, SFD_CLOEXEC);
	const int rc = actor_run(&a, argv[1], stop_fd, &m, &err);
	manager_free(m);
	kube_client_free(a.client);
	(void)close(stop_fd);
	if (rc < 0 && rc != -ECANCELED)
		(void)fprintf(stderr, "%s: %s\n", a.who, err.msg);
	return rc == 0 ? 0 : rc == -ECANCELED && strstr(err.msg, "was lost") != NULL ? EXIT_LOST : 1;
}

/* --- the world --- */

struct mark {
	int64_t revision;
	char who;
};

struct record {
	pthread_mutex_t lock;
	struct mark marks[ACTS_MAX];
	size_t n;
	const char *path; /* where an object says who */
	const char *name;
};

static struct {
	char dir[64], kubeconfig[96];
	struct api_server *api;
	struct kube_client *c;
	struct informer *acts_informer, *lease_informer;
} w;
static struct record acts = {.lock = PTHREAD_MUTEX_INITIALIZER, .path = "data.who", .name = "acts"};
static struct record leases = {.lock = PTHREAD_MUTEX_INITIALIZER, .path = "spec.holderIdentity", .name = "acting"};

static void note(void *ctx, enum informer_event ev, const json_t *old, const json_t *obj)
{
	struct record *r = ctx;
	(void)old;
	if (ev == INFORMER_DELETED || strcmp(obj_name(obj), r->name) != 0)
		return;
	pthread_mutex_lock(&r->lock);
	assert_true(r->n < ACTS_MAX);
	struct mark *m = &r->marks[r->n++];
	assert_int_equal(str_to_i64(obj_resource_version(obj), &m->revision), 0);
	m->who = json_str(obj, r->path, "")[0];
	pthread_mutex_unlock(&r->lock);
}

struct process {
	pid_t pid;
	int told, go;
	const char *who;
};

static struct process start(const char *who)
{
	int told[2], go[2];
	assert_int_equal(pipe2(told, O_CLOEXEC) | pipe2(go, O_CLOEXEC), 0);
	struct process p = {.who = who, .told = told[0], .go = go[1]};
	p.pid = fork();
	if (p.pid == 0) {
		char told_fd[8], go_fd[8];
		(void)snprintf(told_fd, sizeof told_fd, "%d", told[1]);
		(void)snprintf(go_fd, sizeof go_fd, "%d", go[0]);
		(void)fcntl(told[1], F_SETFD, 0);
		(void)fcntl(go[0], F_SETFD, 0);
		(void)prctl(PR_SET_PDEATHSIG, SIGKILL); /* a test that fails leaves nobody behind */
		(void)execl(program_invocation_name, "actor", w.kubeconfig, who, told_fd, go_fd, (char *)NULL);
		_exit(127);
	}
	assert_true(p.pid > 0);
	(void)close(told[1]);
	(void)close(go[0]);
	return p;
}

/* Wait for @p's next act; it waits for our word then. */
static void acts_once(const struct process *p)
{
	struct pollfd f = {.fd = p->told, .events = POLLIN};
	char byte = 0;
	if (poll(&f, 1, WAIT_MS) != 1 || read(p->told, &byte, 1) != 1)
		fail_msg("'%s' does not act", p->who);
	assert_int_equal(byte, p->who[0]);
}

static void go_on(const struct process *p)
{
	assert_int_equal(write(p->go, "g", 1), 1);
}

static void acts_some(const struct process *p)
{
	for (int i = 0; i < 5; i++) {
		acts_once(p);
		go_on(p);
	}
}

/* Its exit status; the pipes are closed: a reconcile that was begun once more waits for no word of ours. */
static int end_of(struct process *p)
{
	int status = -1;
	(void)close(p->go);
	const int64_t deadline = clock_mono_ns() + WAIT_MS * NSEC_PER_MSEC;
	pid_t got = 0;
	while ((got = waitpid(p->pid, &status, WNOHANG)) == 0 && clock_mono_ns() < deadline)
		(void)poll(NULL, 0, 5);
	if (got == 0) {
		(void)kill(p->pid, SIGKILL);
		(void)waitpid(p->pid, &status, 0);
		fail_msg("'%s' does not end", p->who);
	}
	(void)close(p->told);
	return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

/* Its threads stop one after the other, some time after the signal was sent. */
static void pause_it(const struct process *p)
{
	int status = 0;
	assert_int_equal(kill(p->pid, SIGSTOP), 0);
	assert_int_equal(waitpid(p->pid, &status, WUNTRACED), p->pid);
	assert_true(WIFSTOPPED(status));
}

/* Wait until the informer has told of the object's newest version. */
static void settle(const struct kube_resource *r, struct record *rec)
{
	JSON_AUTO obj = NULL;
	int64_t newest = 0, seen = 0;
	assert_int_equal(kube_get(w.c, r, "default", rec->name, &obj, NULL), 0);
	assert_int_equal(str_to_i64(obj_resource_version(obj), &newest), 0);
	const int64_t deadline = clock_mono_ns() + WAIT_MS * NSEC_PER_MSEC;
	while (seen < newest && clock_mono_ns() < deadline) {
		(void)poll(NULL, 0, 5);
		pthread_mutex_lock(&rec->lock);
		seen = rec->n > 0 ? rec->marks[rec->n - 1].revision : 0;
		pthread_mutex_unlock(&rec->lock);
	}
	assert_true(seen >= newest);
}

/* Each act lies under its own actor's lease. */
static void expect_one_at_a_time(size_t at_least)
{
	settle(&KUBE_CONFIGMAP, &acts);
	settle(&KUBE_LEASE, &leases);
	size_t k = 0, checked = 0;
	for (size_t i = 0; i < acts.n; i++) {
		while (k + 1 < leases.n && leases.marks[k + 1].revision < acts.marks[i].revision)
			k++;
		if (acts.marks[i].who == '\0')
			continue; /* as it was made */
		checked++;
		if (leases.n == 0 || leases.marks[k].revision > acts.marks[i].revision ||
		    leases.marks[k].who != acts.marks[i].who)
			fail_msg("act %zu, revision %lld, by '%c' under the lease of '%c'", i,
				 (long long)acts.marks[i].revision, acts.marks[i].who, leases.marks[k].who);
	}
	assert_true(checked >= at_least);
}

/* --- tests --- */

static void never_two_act(void **state)
{
	(void)state;
	struct process p[2];
	p[0] = start("a");
	acts_some(&p[0]);
	p[1] = start("b");
	for (int round = 0; round < 3; round++) {
		struct process *leader = &p[round % 2], *next = &p[(round + 1) % 2];
		/* Paused after an act: when it wakes up, its lease is another's, and what it wants to write next is refused. */
		acts_once(leader);
		pause_it(leader);
		go_on(leader);
		acts_some(next);
		assert_int_equal(kill(leader->pid, SIGCONT), 0);
		acts_some(next);
		assert_int_equal(end_of(leader), EXIT_LOST);
		acts_some(next);
		*leader = start(round % 2 == 0 ? "a" : "b");
	}
	/* Killed: the next one waits for the lease's end. */
	struct process *leader = &p[1], *next = &p[0];
	acts_some(leader);
	assert_int_equal(kill(leader->pid, SIGKILL), 0);
	assert_int_equal(end_of(leader), 128 + SIGKILL);
	acts_some(next);
	/* Told to end in the midst of a reconcile: that is finished, then the lease is given up. */
	*leader = start("b");
	acts_once(next);
	assert_int_equal(kill(next->pid, SIGTERM), 0);
	go_on(next);
	assert_int_equal(end_of(next), 0);
	acts_some(leader);
	acts_once(leader);
	assert_int_equal(kill(leader->pid, SIGTERM), 0);
	go_on(leader);
	assert_int_equal(end_of(leader), 0);
	JSON_AUTO lease = NULL;
	assert_int_equal(kube_get(w.c, &KUBE_LEASE, "default", "acting", &lease, NULL), 0);
	assert_string_equal(json_str(lease, "spec.holderIdentity", "?"), "");
	expect_one_at_a_time(60);
}

static int world_begin(void **state)
{
	(void)state;
	struct error err = {0};
	struct kube_config *cfg = NULL;
	(void)snprintf(w.dir, sizeof w.dir, "/tmp/test-election-XXXXXX");
	if (mkdtemp(w.dir) == NULL)
		return -1;
	(void)snprintf(w.kubeconfig, sizeof w.kubeconfig, "%s/kubeconfig", w.dir);
	const struct api_server_options o = {.data_dir = w.dir, .address = "127.0.0.1", .kubeconfig = w.kubeconfig};
	int rc = api_server_new(&o, &w.api, &err);
	if (rc == 0)
		rc = kube_config_load(w.kubeconfig, NULL, &cfg, &err);
	if (rc == 0)
		rc = kube_client_new(cfg, NULL, &w.c, &err);
	kube_config_free(cfg);
	JSON_AUTO cm =
		json_pack("{s:s, s:s, s:{s:s}}", "apiVersion", "v1", "kind", "ConfigMap", "metadata", "name", "acts");
	if (rc == 0)
		rc = kube_create(w.c, &KUBE_CONFIGMAP, "default", cm, NULL, &err);
	if (rc == 0)
		rc = informer_new(w.c, &KUBE_CONFIGMAP, NULL, &w.acts_informer, &err);
	if (rc == 0)
		rc = informer_new(w.c, &KUBE_LEASE, NULL, &w.lease_informer, &err);
	if (rc == 0)
		rc = informer_add_handler(w.acts_informer, note, &acts);
	if (rc == 0)
		rc = informer_add_handler(w.lease_informer, note, &leases);
	if (rc == 0)
		rc = informer_start(w.acts_informer, &err);
	if (rc == 0)
		rc = informer_start(w.lease_informer, &err);
	if (rc < 0)
		(void)fprintf(stderr, "set up: %s\n", err.msg);
	return rc;
}

static int world_end(void **state)
{
	(void)state;
	informer_free(w.acts_informer);
	informer_free(w.lease_informer);
	kube_client_free(w.c);
	api_server_free(w.api);
	return file_remove_all(w.dir, NULL);
}

int main(int argc, char **argv)
{
	if (argc == 5)
		return actor_main(argv);
	log_init(2, LOG_LVL_ERROR, "test");
	const struct CMUnitTest tests[] = {cmocka_unit_test(never_two_act)};
	return cmocka_run_group_tests(tests, world_begin, world_end);
}
