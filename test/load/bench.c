/*
 * Measures an API server, ours or another. Prints one line a figure: NAME VALUE.
 * usage: bench KUBECONFIG WHAT...
 *   writes SECONDS     create_N, update_N: a second, with N of 1, 8, 32 clients on kept connections
 *   gets SECONDS       get_N
 *   fill COUNT         until there are so many objects in the namespace "bench"
 *   lists COUNT        list, table: a second; of what "bench" holds, one client after another
 *   mixed ROUNDS       mixed: a second, of 32 clients that write, read, list, watch, review, define kinds and bind roles beside each other
 *   watches N EVENTS   watch_N_p50, watch_N_p99: milliseconds from before a write until each of N watchers has its event
 */
#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/error.h"
#include "base/str.h"
#include "base/strbuf.h"
#include "connection.h"
#include "kube/client.h"
#include "kube/config.h"
#include "json/json.h"

#define CLIENTS_MAX 1024
#define DATA_BYTES  1000
#define STACK_BYTES (256u << 10)

static struct kube_config *cfg;

__attribute__((noreturn)) static void die(const char *what, const char *why)
{
	(void)fprintf(stderr, "bench: %s: %s\n", what, why);
	exit(1);
}

static struct load_connection *connect_or_die(void)
{
	struct error err = {0};
	struct load_connection *c = NULL;
	if (load_connect(cfg, &c, &err) < 0)
		die("connect", err.msg);
	return c;
}

static void ask_or_die(struct load_connection *c, const char *method, const char *path, const char *accept,
		       const char *body, int want)
{
	int status = load_ask(c, method, path, accept, body);
	if (status == want)
		return;
	char what[256];
	(void)snprintf(what, sizeof what, "%s %s: %d instead of %d", method, path, status, want);
	die(what, status < 0 ? strerror(-status) : load_body(c, NULL));
}

/** A config map with a kilobyte in it. */
static void make_object(char *out, size_t size, const char *name, long number)
{
	char data[DATA_BYTES + 1];
	memset(data, 'x', DATA_BYTES);
	data[DATA_BYTES] = '\0';
	(void)snprintf(
		out, size,
		"{\"apiVersion\":\"v1\",\"kind\":\"ConfigMap\",\"metadata\":{\"name\":\"%s\",\"labels\":{\"app\":\"bench\"}},"
		"\"data\":{\"number\":\"%ld\",\"text\":\"%s\"}}",
		name, number, data);
}

static void make_namespace(struct load_connection *c, const char *name)
{
	char body[256];
	(void)snprintf(body, sizeof body,
		       "{\"apiVersion\":\"v1\",\"kind\":\"Namespace\",\"metadata\":{\"name\":\"%s\"}}", name);
	int status = load_ask(c, "POST", "/api/v1/namespaces", NULL, body);
	if (status != 201 && status != 409)
		die("make namespace", load_body(c, NULL));
}

/* ---- many clients, as fast as they can ---- */

enum load { LOAD_CREATE, LOAD_UPDATE, LOAD_GET };

struct client {
	pthread_t thread;
	enum load what;
	unsigned id, group;
	long done;
	struct load_connection *c;
};

static atomic_bool stop;
static pthread_barrier_t barrier;

static void one_call(struct client *k)
{
	char name[64], path[160], body[2048];
	(void)snprintf(name, sizeof name, k->what == LOAD_CREATE ? "c%u-%u-%ld" : "u%u-%u", k->group, k->id, k->done);
	make_object(body, sizeof body, name, k->done);
	const char *ns = "/api/v1/namespaces/speed/configmaps";
	(void)snprintf(path, sizeof path, k->what == LOAD_CREATE ? "%s" : "%s/%s", ns, name);
	if (k->what == LOAD_CREATE)
		ask_or_die(k->c, "POST", path, NULL, body, 201);
	else if (k->what == LOAD_UPDATE)
		ask_or_die(k->c, "PUT", path, NULL, body, 200);
	else
		ask_or_die(k->c, "GET", path, NULL, NULL, 200);
	k->done++;
}

static void *client_main(void *arg)
{
	struct client *k = arg;
	k->c = connect_or_die();
	if (k->what != LOAD_CREATE) {
		char name[64], body[2048];
		(void)snprintf(name, sizeof name, "u%u-%u", k->group, k->id);
		make_object(body, sizeof body, name, -1);
		if (load_ask(k->c, "POST", "/api/v1/namespaces/speed/configmaps", NULL, body) < 0)
			die("create", "no answer");
	}
	(void)pthread_barrier_wait(&barrier);
	while (!atomic_load_explicit(&stop, memory_order_relaxed))
		one_call(k);
	load_disconnect(k->c);
	return NULL;
}

static void start_thread(pthread_t *t, void *(*fn)(void *), void *arg)
{
	pthread_attr_t attr;
	(void)pthread_attr_init(&attr);
	(void)pthread_attr_setstacksize(&attr, STACK_BYTES);
	if (pthread_create(t, &attr, fn, arg) != 0)
		die("start a thread", "no more of them");
	(void)pthread_attr_destroy(&attr);
}

static void sleep_until(int64_t ns)
{
	struct timespec t = {.tv_sec = ns / NSEC_PER_SEC, .tv_nsec = ns % NSEC_PER_SEC};
	while (clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &t, NULL) == EINTR)
		;
}

static void run_clients(enum load what, unsigned n, int64_t seconds)
{
	static const char *const names[] = {"create", "update", "get"};
	static struct client clients[CLIENTS_MAX];
	static unsigned group;
	long total = 0;
	group++;
	atomic_store(&stop, false);
	(void)pthread_barrier_init(&barrier, NULL, n + 1);
	for (unsigned i = 0; i < n; i++) {
		clients[i] = (struct client){.what = what, .id = i, .group = group};
		start_thread(&clients[i].thread, client_main, &clients[i]);
	}
	(void)pthread_barrier_wait(&barrier);
	int64_t from = clock_mono_ns();
	sleep_until(from + seconds * NSEC_PER_SEC);
	atomic_store(&stop, true);
	for (unsigned i = 0; i < n; i++) {
		(void)pthread_join(clients[i].thread, NULL);
		total += clients[i].done;
	}
	(void)printf("%s_%u %.0f\n", names[what], n, (double)total * NSEC_PER_SEC / (double)(clock_mono_ns() - from));
	(void)pthread_barrier_destroy(&barrier);
}

static void run_all(enum load what, int64_t seconds)
{
	static const unsigned counts[] = {1, 8, 32};
	for (size_t i = 0; i < ARRAY_LEN(counts); i++)
		run_clients(what, counts[i], seconds);
}

/* ---- many clients, each with something else ---- */

#define MIXED_CLIENTS 32
#define MIXED         "/api/v1/namespaces/mixed"

struct step {
	const char *method, *path, *body;
	int want, or ; /* statuses; a definition goes a moment after its deletion was answered */
};

/* In each of these %u is the client's number. */
static const struct step write_steps[] = {
	{"POST", MIXED "/configmaps", "{\"metadata\":{\"name\":\"m%u\",\"labels\":{\"app\":\"m\"}}}", 201},
	{"GET", MIXED "/configmaps/m%u", NULL, 200},
	{"PUT", MIXED "/configmaps/m%u", "{\"metadata\":{\"name\":\"m%u\"},\"data\":{\"a\":\"b\"}}", 200},
	{"PATCH", MIXED "/configmaps/m%u", "{\"data\":{\"a\":\"c\"}}", 200},
	{"GET", MIXED "/configmaps?labelSelector=app", NULL, 200},
	{"GET", MIXED "/configmaps?limit=3", NULL, 200},
	{"POST", "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews",
	 "{\"spec\":{\"resourceAttributes\":{\"verb\":\"get\",\"resource\":\"pods\",\"name\":\"p%u\"}}}", 201},
	{"POST", MIXED "/events",
	 "{\"metadata\":{\"generateName\":\"e%u-\"},\"involvedObject\":{\"namespace\":\"mixed\"},\"reason\":\"R\"}",
	 201},
	{"DELETE", MIXED "/configmaps/m%u", NULL, 200},
};
static const struct step watch_steps[] = {
	{"GET", MIXED "/configmaps?watch=true&timeoutSeconds=1&resourceVersion=0", NULL, 200},
	{"GET",
	 MIXED "/configmaps?watch=true&timeoutSeconds=1&sendInitialEvents=true&resourceVersionMatch=NotOlderThan", NULL,
	 200},
};
static const struct step define_steps[] = {
	{"POST", "/apis/apiextensions.k8s.io/v1/customresourcedefinitions",
	 "{\"metadata\":{\"name\":\"things.g%u.example.com\"},\"spec\":{\"group\":\"g%u.example.com\",\"scope\":\"Namespaced\","
	 "\"names\":{\"plural\":\"things\",\"kind\":\"Thing\"},\"versions\":[{\"name\":\"v1\",\"served\":true,\"storage\":true,"
	 "\"schema\":{\"openAPIV3Schema\":{\"type\":\"object\"}}}]}}",
	 201, 409},
	{"GET", "/apis", NULL, 200},
	{"GET", "/openapi/v2", NULL, 200},
	{"DELETE", "/apis/apiextensions.k8s.io/v1/customresourcedefinitions/things.g%u.example.com", NULL, 200, 404},
};
static const struct step bind_steps[] = {
	{"POST", "/apis/rbac.authorization.k8s.io/v1/namespaces/mixed/rolebindings",
	 "{\"metadata\":{\"name\":\"b%u\"},\"roleRef\":{\"apiGroup\":\"rbac.authorization.k8s.io\",\"kind\":\"ClusterRole\","
	 "\"name\":\"view\"},\"subjects\":[{\"kind\":\"User\",\"name\":\"u%u\"}]}",
	 201},
	{"POST", "/apis/authorization.k8s.io/v1/subjectaccessreviews",
	 "{\"spec\":{\"user\":\"u%u\",\"resourceAttributes\":{\"namespace\":\"mixed\",\"verb\":\"get\",\"resource\":\"pods\"}}}",
	 201},
	{"POST", MIXED "/serviceaccounts/default/token", "{\"spec\":{\"expirationSeconds\":600}}", 201},
	{"DELETE", "/apis/rbac.authorization.k8s.io/v1/namespaces/mixed/rolebindings/b%u", NULL, 200},
};

static long mixed_rounds;
static atomic_long mixed_done;

/** Put @n for each %u of @text. */
static void with_number(char *out, size_t size, const char *text, unsigned n)
{
	size_t at = 0;
	for (; *text != '\0' && at + 12 < size; text++) {
		if (strncmp(text, "%u", 2) == 0) {
			at += (size_t)snprintf(out + at, size - at, "%u", n);
			text++;
		} else {
			out[at++] = *text;
		}
	}
	out[at] = '\0';
}

static void *mixed_main(void *arg)
{
	const struct client *k = arg;
	static const struct {
		const struct step *steps;
		size_t n;
	} kinds[] = {
		{write_steps, ARRAY_LEN(write_steps)},
		{watch_steps, ARRAY_LEN(watch_steps)},
		{define_steps, ARRAY_LEN(define_steps)},
		{bind_steps, ARRAY_LEN(bind_steps)},
	};
	/* Half of the clients write; of each eight one watches, one defines and two bind. */
	static const unsigned kind_of[] = {0, 1, 0, 2, 0, 3, 0, 3};
	const unsigned kind = kind_of[k->id % ARRAY_LEN(kind_of)];
	struct load_connection *c = connect_or_die();
	for (long i = 0; i < mixed_rounds; i++) {
		for (size_t s = 0; s < kinds[kind].n; s++) {
			const struct step *step = &kinds[kind].steps[s];
			char path[256], body[768];
			with_number(path, sizeof path, step->path, k->id);
			with_number(body, sizeof body, step->body != NULL ? step->body : "", k->id);
			int status = load_ask(c, step->method, path, NULL, step->body != NULL ? body : NULL);
			if (status != step->want && status != step->or)
				die(path, status < 0 ? strerror(-status) : load_body(c, NULL));
			atomic_fetch_add(&mixed_done, 1);
		}
	}
	load_disconnect(c);
	return NULL;
}

static void mixed(long rounds)
{
	static struct client clients[MIXED_CLIENTS];
	struct load_connection *c = connect_or_die();
	make_namespace(c, "mixed");
	int64_t end = clock_mono_ns() + 60 * NSEC_PER_SEC;
	while (load_ask(c, "GET", MIXED "/serviceaccounts/default", NULL, NULL) != 200)
		if (clock_mono_ns() > end)
			die("mixed", "the namespace has no ServiceAccount");
	load_disconnect(c);
	mixed_rounds = rounds;
	int64_t from = clock_mono_ns();
	for (unsigned i = 0; i < MIXED_CLIENTS; i++) {
		clients[i] = (struct client){.id = i};
		start_thread(&clients[i].thread, mixed_main, &clients[i]);
	}
	for (unsigned i = 0; i < MIXED_CLIENTS; i++)
		(void)pthread_join(clients[i].thread, NULL);
	(void)printf("mixed %.0f\n",
		     (double)atomic_load(&mixed_done) * NSEC_PER_SEC / (double)(clock_mono_ns() - from));
}

/* ---- many objects ---- */

static atomic_long next;
static long fill_to;

static void *fill_main(void *arg)
{
	struct load_connection *c = connect_or_die();
	char name[64], body[2048];
	long i;
	(void)arg;
	while ((i = atomic_fetch_add(&next, 1)) < fill_to) {
		(void)snprintf(name, sizeof name, "f%ld", i);
		make_object(body, sizeof body, name, i);
		int status = load_ask(c, "POST", "/api/v1/namespaces/bench/configmaps", NULL, body);
		if (status != 201 && status != 409)
			die("fill", status < 0 ? strerror(-status) : load_body(c, NULL));
	}
	load_disconnect(c);
	return NULL;
}

static void fill(long count)
{
	pthread_t threads[16];
	struct load_connection *c = connect_or_die();
	make_namespace(c, "bench");
	load_disconnect(c);
	fill_to = count;
	for (size_t i = 0; i < ARRAY_LEN(threads); i++)
		start_thread(&threads[i], fill_main, NULL);
	for (size_t i = 0; i < ARRAY_LEN(threads); i++)
		(void)pthread_join(threads[i], NULL);
	atomic_store(&next, count);
}

static void lists(int64_t count)
{
	static const struct {
		const char *name, *accept;
	} forms[] = {{"list", "application/json"}, {"table", "application/json;as=Table;v=v1;g=meta.k8s.io"}};
	struct load_connection *c = connect_or_die();
	for (size_t i = 0; i < ARRAY_LEN(forms); i++) {
		int64_t from = 0;
		size_t n = 0;
		for (int64_t k = -1; k < count; k++) { /* the first one warms up */
			if (k == 0)
				from = clock_mono_ns();
			ask_or_die(c, "GET", "/api/v1/namespaces/bench/configmaps", forms[i].accept, NULL, 200);
		}
		double seconds = (double)(clock_mono_ns() - from) / NSEC_PER_SEC;
		(void)load_body(c, &n);
		(void)printf("%s %.2f\n%s_bytes %zu\n", forms[i].name, (double)count / seconds, forms[i].name, n);
	}
	load_disconnect(c);
}

/* ---- watches ---- */

struct watch {
	pthread_t thread;
	struct load_connection *c;
};

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER; /* guards all below */
static pthread_cond_t changed = PTHREAD_COND_INITIALIZER;
static double *delays;
static size_t n_delays;
static unsigned ready, arrived;
static int64_t sent_ns;

static void *watch_thread(void *arg)
{
	struct watch *w = arg;
	w->c = connect_or_die();
	if (load_watch(w->c, "/api/v1/namespaces/watched/configmaps?watch=true&resourceVersion=0") != 200)
		die("watch", "refused");
	pthread_mutex_lock(&lock);
	ready++;
	pthread_cond_signal(&changed);
	pthread_mutex_unlock(&lock);
	for (const char *line; (line = load_line(w->c)) != NULL;) {
		int64_t now = clock_mono_ns();
		if (strstr(line, "\"MODIFIED\"") == NULL)
			continue;
		pthread_mutex_lock(&lock);
		delays[n_delays++] = (double)(now - sent_ns) / NSEC_PER_MSEC;
		arrived++;
		pthread_cond_signal(&changed);
		pthread_mutex_unlock(&lock);
	}
	return NULL;
}

static void wait_for(const unsigned *what, unsigned n)
{
	struct timespec until;
	(void)clock_gettime(CLOCK_REALTIME, &until);
	until.tv_sec += 60;
	pthread_mutex_lock(&lock);
	int rc = 0;
	while (*what < n && rc == 0)
		rc = pthread_cond_timedwait(&changed, &lock, &until);
	pthread_mutex_unlock(&lock);
	if (rc != 0)
		die("watch", "events do not come");
}

static int by_value(const void *a, const void *b)
{
	const double x = *(const double *)a, y = *(const double *)b;
	return x < y ? -1 : x > y;
}

static void watches(unsigned n, unsigned events)
{
	static struct watch list[CLIENTS_MAX];
	char body[2048];
	if (n == 0 || n > CLIENTS_MAX || events == 0)
		die("watches", "1 to 1024 watchers, and events");
	struct load_connection *c = connect_or_die();
	make_namespace(c, "watched");
	make_object(body, sizeof body, "watched", 0);
	(void)load_ask(c, "POST", "/api/v1/namespaces/watched/configmaps", NULL, body); /* there already is as good */
	delays = calloc((size_t)n * events, sizeof *delays);
	if (delays == NULL)
		die("watches", "out of memory");
	n_delays = 0;
	ready = 0;
	for (unsigned i = 0; i < n; i++)
		start_thread(&list[i].thread, watch_thread, &list[i]);
	wait_for(&ready, n);
	for (unsigned i = 0; i < events; i++) {
		make_object(body, sizeof body, "watched", (long)(clock_mono_ns() / 1000));
		pthread_mutex_lock(&lock);
		arrived = 0;
		sent_ns = clock_mono_ns();
		pthread_mutex_unlock(&lock);
		ask_or_die(c, "PUT", "/api/v1/namespaces/watched/configmaps/watched", NULL, body, 200);
		wait_for(&arrived, n);
	}
	qsort(delays, n_delays, sizeof *delays, by_value);
	(void)printf("watch_%u_p50 %.2f\nwatch_%u_p99 %.2f\n", n, delays[n_delays / 2], n, delays[n_delays * 99 / 100]);
	for (unsigned i = 0; i < n; i++) {
		load_cut(list[i].c);
		(void)pthread_join(list[i].thread, NULL);
		load_disconnect(list[i].c);
	}
	free(delays);
	load_disconnect(c);
}

static int64_t number(char **argv, int *at)
{
	int64_t n = 0;
	if (argv[++*at] == NULL || str_to_i64(argv[*at], &n) < 0 || n < 0)
		die("usage", "a number is missing; the head of bench.c says how");
	return n;
}

int main(int argc, char **argv)
{
	(void)signal(SIGPIPE, SIG_IGN); /* a watch that is cut still says goodbye: some servers have closed by then */
	struct error err = {0};
	if (argc < 3 || kube_config_load(argv[1], NULL, &cfg, &err) < 0)
		die("usage: bench KUBECONFIG WHAT...", err.msg);
	(void)setvbuf(stdout, NULL, _IOLBF, 0);
	struct load_connection *c = connect_or_die();
	make_namespace(c, "speed");
	load_disconnect(c);
	for (int i = 2; i < argc; i++) {
		if (strcmp(argv[i], "writes") == 0) {
			int64_t seconds = number(argv, &i);
			run_all(LOAD_CREATE, seconds);
			run_all(LOAD_UPDATE, seconds);
		} else if (strcmp(argv[i], "gets") == 0) {
			run_all(LOAD_GET, number(argv, &i));
		} else if (strcmp(argv[i], "mixed") == 0) {
			mixed((long)number(argv, &i));
		} else if (strcmp(argv[i], "fill") == 0) {
			fill((long)number(argv, &i));
		} else if (strcmp(argv[i], "lists") == 0) {
			lists(number(argv, &i));
		} else if (strcmp(argv[i], "watches") == 0) {
			unsigned n = (unsigned)number(argv, &i);
			watches(n, (unsigned)number(argv, &i));
		} else {
			die("usage", "writes, gets, mixed, fill, lists or watches");
		}
	}
	kube_config_free(cfg);
	return 0;
}
