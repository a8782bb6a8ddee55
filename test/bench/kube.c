/*
 * Measures the Kubernetes client layer: what an object costs in time and memory, how fast a queue hands on, and what the caches of a
 * large cluster weigh. Prints rows of a Markdown table. usage: bench_kube OBJECTS (kube-objects.txt)
 */
#include <malloc.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/error.h"
#include "base/file.h"
#include "base/log.h"
#include "base/strbuf.h"
#include "kube/client.h"
#include "kube/config.h"
#include "kube/informer.h"
#include "kube/informer_store.h"
#include "kube/workqueue.h"
#include "net/http_server.h"
#include "json/json.h"

#define KINDS       6
#define EACH        10000
#define STORED      100000
#define STORED_SIZE 2048
#define KEYS        10000
#define ROUNDS      100
#define DELAYS      20000
#define MIB         (1024.0 * 1024.0)

static const struct kube_resource dataset = {"data.fluid.io", "v1alpha1", "Dataset", "datasets", true};
static const struct kube_resource runtime = {"data.fluid.io", "v1alpha1", "ReservoirRuntime", "reservoirruntimes",
					     true};
static const struct kube_resource *const kinds[KINDS] = {&KUBE_STATEFULSET, &KUBE_DAEMONSET, &KUBE_PV,
							 &KUBE_PVC,         &dataset,        &runtime};
static char *objects[KINDS]; /* a line each: '@' is a digit of the number, '#' a hex digit of a uid */

static void die(const char *what)
{
	(void)fprintf(stderr, "bench_kube: %s\n", what);
	exit(1);
}

static double seconds_since(int64_t then_ns)
{
	return (double)(clock_mono_ns() - then_ns) / NSEC_PER_SEC;
}

/* Append object @number of the pattern. */
static void add_object(struct strbuf *b, const char *pattern, unsigned number)
{
	uint64_t noise = number * UINT64_C(0x9e3779b97f4a7c15) + 1;
	const size_t from = b->n;
	strbuf_adds(b, pattern);
	if (b->failed)
		die("out of memory");
	unsigned digits = number;
	for (char *p = b->p + b->n - 1; p >= b->p + from; p--) {
		if (*p == '@') {
			*p = (char)('0' + digits % 10);
			digits = p[-1] == '@' ? digits / 10 : number;
		} else if (*p == '#') {
			noise = noise * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
			*p = "0123456789abcdef"[noise >> 60];
		}
	}
}

/* --- one object --- */

static long heap_bytes(void)
{
	const struct mallinfo2 m = mallinfo2();
	return (long)(m.uordblks + m.hblkhd);
}

static void measure_store(void)
{
	struct informer_store *s = informer_store_new();
	struct strbuf b = STRBUF_INIT(1u << 20);
	char pattern[STORED_SIZE + 1] = "";
	/* A claim, and a label that makes it as large as is asked for. */
	const size_t rest = strlen(objects[3]) - 1;
	if (s == NULL || rest > STORED_SIZE - 64)
		die("no store");
	(void)snprintf(pattern, sizeof pattern, "%.*s,\"padding\":\"", (int)rest, objects[3]);
	for (size_t n = strlen(pattern); n < STORED_SIZE - 2; n++)
		pattern[n] = "#abcdefghijklmno"[n % 16];
	memcpy(pattern + STORED_SIZE - 2, "\"}", 3);
	const long before = heap_bytes();
	int64_t spent = 0;
	for (unsigned i = 0; i < STORED; i++) {
		strbuf_reset(&b);
		add_object(&b, pattern, i);
		const int64_t start = clock_mono_ns();
		json_t *obj = NULL, *old = NULL;
		bool existed = false;
		if (json_parse(b.p, b.n, &obj, NULL) < 0 || informer_store_put(s, obj, false, &existed, &old) < 0)
			die("an object cannot be kept");
		json_decref(obj);
		spent += clock_mono_ns() - start;
	}
	const long after = heap_bytes();
	(void)printf("| decode and store %d objects of %d bytes | %.2f s, %.1f us an object |\n", STORED, STORED_SIZE,
		     (double)spent / NSEC_PER_SEC, (double)spent / STORED / 1000);
	(void)printf("| memory of each, key, version and indexing included | %ld bytes |\n", (after - before) / STORED);
	const int64_t start = clock_mono_ns();
	for (unsigned i = 0; i < STORED; i += 10) {
		char name[16];
		(void)snprintf(name, sizeof name, "d%05u", i % 100000);
		JSON_AUTO got = informer_store_get(s, "default", name);
		if (got == NULL)
			die("an object is lost");
	}
	(void)printf("| read one and decode it | %.1f us |\n", seconds_since(start) * 1e6 / (STORED / 10.0));
	informer_store_free(s);
	strbuf_clear(&b);
}

/* --- the queue --- */

static void measure_queue_alone(void)
{
	struct workqueue *q = workqueue_new(0, 0);
	char name[32];
	const int64_t start = clock_mono_ns();
	for (int round = 0; round < ROUNDS; round++) {
		for (int i = 0; i < KEYS; i++) {
			(void)snprintf(name, sizeof name, "namespace/dataset-%d", i);
			(void)workqueue_add(q, name); /* no memory: the next get would hang, and be seen */
		}
		for (int i = 0; i < KEYS; i++) {
			CLEANUP(free_p) char *key = NULL;
			if (workqueue_get(q, &key) < 0)
				die("no key");
			workqueue_forget(q, key);
			workqueue_done(q, key);
		}
	}
	(void)printf("| queue: keys added, taken and done by one thread | %.0f a second |\n",
		     (double)KEYS * ROUNDS / seconds_since(start));
	workqueue_free(q);
}

struct worker {
	struct workqueue *q;
	int64_t *added_ns; /* by key */
	int64_t *delay_ns;
	atomic_int *done;
};

static void *work(void *arg)
{
	struct worker *w = arg;
	for (;;) {
		CLEANUP(free_p) char *key = NULL;
		if (workqueue_get(w->q, &key) < 0)
			return NULL;
		const long n = strtol(key, NULL, 10);
		w->delay_ns[n] = clock_mono_ns() - w->added_ns[n];
		workqueue_done(w->q, key);
		atomic_fetch_add(w->done, 1);
	}
}

static int by_size(const void *a, const void *b)
{
	const int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;
	return (x > y) - (x < y);
}

/* One key each 200 us, so that the workers sleep in between: what is measured is the wake-up. */
static void measure_dispatch(void)
{
	enum { WORKERS = 4 };
	pthread_t t[WORKERS];
	atomic_int done = 0;
	int64_t *added = calloc(DELAYS, sizeof *added), *delay = calloc(DELAYS, sizeof *delay);
	struct worker w = {.q = workqueue_new(0, 0), .added_ns = added, .delay_ns = delay, .done = &done};
	if (added == NULL || delay == NULL || w.q == NULL)
		die("out of memory");
	for (int i = 0; i < WORKERS; i++)
		if (pthread_create(&t[i], NULL, work, &w) != 0)
			die("no thread");
	for (int i = 0; i < DELAYS; i++) {
		char key[16];
		(void)snprintf(key, sizeof key, "%d", i);
		added[i] = clock_mono_ns();
		(void)workqueue_add(w.q, key);
		(void)nanosleep(&(struct timespec){.tv_nsec = 200000}, NULL);
	}
	while (atomic_load(&done) < DELAYS)
		(void)poll(NULL, 0, 1);
	workqueue_shutdown(w.q);
	for (int i = 0; i < WORKERS; i++)
		(void)pthread_join(t[i], NULL);
	qsort(delay, DELAYS, sizeof *delay, by_size);
	const int64_t p50 = delay[DELAYS / 2], p99 = delay[DELAYS / 100 * 99];
	(void)printf("| queue: from added to taken by a sleeping worker, p50 and p99 | %.0f us, %.0f us |\n",
		     (double)p50 / 1000, (double)p99 / 1000);
	workqueue_free(w.q);
	free(added);
	free(delay);
}

/* --- the caches of a large cluster --- */

static void serve(void *ctx, struct http_exchange *x)
{
	(void)ctx;
	const char *path = http_exchange_request(x)->path, *limit = http_exchange_query(x, "limit"),
		   *cont = http_exchange_query(x, "continue");
	size_t kind = 0;
	while (kind < KINDS && strcmp(strrchr(path, '/') + 1, kinds[kind]->plural) != 0)
		kind++;
	if (kind == KINDS) {
		http_reply(x, 404, "application/json", "{}", 2);
		return;
	}
	if (http_exchange_query(x, "watch") != NULL) { /* nothing happens */
		(void)http_stream_begin(x, 200, "application/json", NULL, NULL);
		return;
	}
	const unsigned from = cont != NULL ? (unsigned)strtoul(cont, NULL, 10) : 0;
	const unsigned n = limit != NULL ? (unsigned)strtoul(limit, NULL, 10) : EACH;
	const unsigned to = from + n < EACH ? from + n : EACH;
	struct strbuf b = STRBUF_INIT(256u << 20);
	strbuf_adds(&b, "{\"kind\":\"List\",\"apiVersion\":\"v1\",\"metadata\":{\"resourceVersion\":\"100000\"");
	if (to < EACH)
		strbuf_addf(&b, ",\"continue\":\"%u\"", to);
	strbuf_adds(&b, "},\"items\":[");
	for (unsigned i = from; i < to; i++) {
		if (i > from)
			strbuf_addc(&b, ',');
		add_object(&b, objects[kind], i);
	}
	strbuf_adds(&b, "]}");
	http_reply(x, 200, "application/json", b.p, b.n);
	strbuf_clear(&b);
}

/* A server in a process of its own: its memory is not ours. */
static pid_t start_server(uint16_t *ret_port)
{
	int ends[2];
	if (pipe(ends) < 0)
		die("no pipe");
	const pid_t pid = fork();
	if (pid < 0)
		die("no process");
	if (pid == 0) {
		struct http_server *s = NULL;
		const struct http_server_options o = {.address = "127.0.0.1", .handler = serve};
		(void)close(ends[0]);
		if (http_server_new(&o, &s, NULL) < 0)
			_exit(1);
		const uint16_t port = http_server_port(s);
		if (write(ends[1], &port, sizeof port) != sizeof port)
			_exit(1);
		for (;;)
			(void)pause();
	}
	(void)close(ends[1]);
	if (read(ends[0], ret_port, sizeof *ret_port) != sizeof *ret_port)
		die("no server");
	(void)close(ends[0]);
	return pid;
}

/* A line of /proc/self/status in MiB. */
static double memory(const char *what)
{
	char line[256];
	double kib = 0;
	FILE *f = fopen("/proc/self/status", "re");
	while (f != NULL && fgets(line, sizeof line, f) != NULL)
		if (strncmp(line, what, strlen(what)) == 0)
			kib = strtod(line + strlen(what) + 1, NULL);
	if (f != NULL)
		(void)fclose(f); /* read only */
	return kib / 1024;
}

static size_t touched;

static void on_change(void *ctx, enum informer_event ev, const json_t *old, const json_t *obj)
{
	(void)ctx;
	(void)ev;
	(void)old;
	(void)obj;
	(void)__atomic_add_fetch(&touched, 1, __ATOMIC_RELAXED);
}

static void measure_caches(uint16_t port)
{
	char url[64];
	struct kube_client *c = NULL;
	struct informer *inf[KINDS];
	(void)snprintf(url, sizeof url, "http://127.0.0.1:%u", port);
	const struct kube_config cfg = {.server = url, .ns = (char *)"default"};
	size_t bytes = 0;
	for (int i = 0; i < KINDS; i++)
		bytes += strlen(objects[i]);
	if (kube_client_new(&cfg, NULL, &c, NULL) < 0)
		die("no client");
	const double before = memory("VmRSS");
	const int64_t start = clock_mono_ns();
	for (int i = 0; i < KINDS; i++)
		if (informer_new(c, kinds[i], NULL, &inf[i], NULL) < 0 ||
		    informer_add_handler(inf[i], on_change, NULL) < 0 || informer_start(inf[i], NULL) < 0)
			die("no informer");
	for (int i = 0; i < KINDS; i++)
		if (informer_wait_synced(inf[i], start + 600 * NSEC_PER_SEC, -1) < 0)
			die("a cache does not fill");
	(void)printf(
		"| caches of %d each of StatefulSets, DaemonSets, PVs, PVCs, Datasets, Runtimes filled | %.1f s |\n",
		EACH, seconds_since(start));
	(void)printf("| their texts as the server sends them, managedFields included | %.0f MiB |\n",
		     (double)bytes * EACH / MIB);
	(void)printf("| memory (RSS) of the process with all of them | %.0f MiB (%.0f MiB without) |\n",
		     memory("VmRSS"), before);
	(void)printf("| memory at its highest while they were filled | %.0f MiB |\n", memory("VmHWM"));
	if (touched != (size_t)KINDS * EACH)
		die("handlers were not told of every object");
	for (int i = 0; i < KINDS; i++)
		informer_free(inf[i]);
	kube_client_free(c);
}

int main(int argc, char **argv)
{
	CLEANUP(free_p) char *text = NULL;
	char *rest;
	uint16_t port = 0;
	if (argc != 2 || file_read(argv[1], 1u << 20, &text, NULL, NULL) < 0)
		die("usage: bench_kube OBJECTS");
	rest = text;
	for (int i = 0; i < KINDS; i++)
		if ((objects[i] = strsep(&rest, "\n")) == NULL || objects[i][0] != '{')
			die("the file has not a line for each kind");
	log_init(2, LOG_LVL_WARN, "bench");
	const pid_t server = start_server(&port);
	measure_caches(port); /* first: what the others leave behind would count */
	(void)kill(server, SIGKILL);
	(void)waitpid(server, NULL, 0);
	measure_store();
	measure_queue_alone();
	measure_dispatch();
	return 0;
}
