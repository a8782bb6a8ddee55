/*
 * How long Datasets take to be bound: makes many Dataset+ReservoirRuntime pairs at once, stands in for the controllers of StatefulSets (each is
 * ready as soon as it is seen), the garbage collector and the protection of volumes, and takes the times. Whoever binds them runs elsewhere.
 * usage: bind KUBECONFIG COUNT HUNG CONTROLLER-PID METRICS-PORT     HUNG of the COUNT have a worker that never answers
 */
#include <arpa/inet.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "api/dataset.h"
#include "api/reservoir_runtime.h"
#include "base/clock.h"
#include "base/error.h"
#include "base/map.h"
#include "base/str.h"
#include "kube/client.h"
#include "kube/informer.h"
#include "kube/workqueue.h"
#include "net/http_client.h"
#include "json/json.h"

#define NS       "bench"
#define WRITERS  8
#define PATIENCE (1800 * NSEC_PER_SEC)

static struct {
	struct kube_client *client;
	int count, hung, controller_pid;
	const char *metrics_port;
	int64_t start_ns, *created, *ready, *bound;
	atomic_int next, n_ready, n_bound, n_left;
	struct workqueue *todo; /* "what/name" */
	atomic_bool failed;
} b;

static void die(const char *what, const struct error *err)
{
	(void)fprintf(stderr, "bind: %s: %s\n", what, err->msg);
	exit(1);
}

static int index_of(const char *name)
{
	int64_t i;
	const char *dash = strchr(name, '-');
	return strncmp(name, "d", 1) == 0 && dash == NULL && str_to_i64(name + 1, &i) == 0 && i < b.count ? (int)i : -1;
}

static bool is_hung(int i)
{
	return b.hung > 0 && i % (b.count / b.hung) == 0;
}

/* --- making them ---------------------------------------------------------------------------------------------------------------- */

static json_t *meta(const struct kube_resource *r, const char *name)
{
	char version[128];
	return json_pack("{s:s,s:s,s:{s:s,s:s}}", "apiVersion", kube_api_version(r, version), "kind", r->kind,
			 "metadata", "name", name, "namespace", NS);
}

static void make_pair(int i)
{
	char name[32];
	struct error err = {0};
	(void)snprintf(name, sizeof name, "d%d", i);
	JSON_AUTO dataset = meta(&dataset_kind.resource, name);
	JSON_AUTO runtime = meta(&reservoir_runtime_kind.resource, name);
	(void)json_put(dataset, "spec",
		       json_pack("{s:s,s:[{s:s,s:s}]}", "placement", "Shared", "mounts", "mountPoint",
				 "https://example.org/data/", "name", "data"));
	(void)json_put(runtime, "spec",
		       json_pack("{s:i,s:{s:[{s:s,s:s,s:s}]}}", "replicas", 1, "tieredstore", "levels", "mediumtype",
				 "SSD", "path", "/var/cache/sluice", "quota", "1Gi"));
	b.created[i] = clock_mono_ns();
	if (kube_create(b.client, &dataset_kind.resource, NS, dataset, NULL, &err) < 0 ||
	    kube_create(b.client, &reservoir_runtime_kind.resource, NS, runtime, NULL, &err) < 0)
		die("create", &err);
}

static void *maker(void *unused)
{
	for (int i; (i = atomic_fetch_add(&b.next, 1)) < b.count;)
		make_pair(i);
	return unused;
}

static void *unmaker(void *unused)
{
	for (int i; (i = atomic_fetch_add(&b.next, 1)) < b.count;) {
		char name[32];
		struct error err = {0};
		(void)snprintf(name, sizeof name, "d%d", i);
		if (kube_delete(b.client, &dataset_kind.resource, NS, name, NULL, &err) < 0)
			die("delete", &err);
	}
	return unused;
}

static void with_threads(void *(*fn)(void *))
{
	pthread_t t[WRITERS];
	atomic_store(&b.next, 0);
	for (int i = 0; i < WRITERS; i++)
		if (pthread_create(&t[i], NULL, fn, NULL) != 0)
			exit(1);
	for (int i = 0; i < WRITERS; i++)
		(void)pthread_join(t[i], NULL);
}

/* --- standing in for a cluster -------------------------------------------------------------------------------------------------- */

/* A worker that takes connections and says nothing: the kernel completes them, nobody reads. */
static void hang_at(int port)
{
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	const int one = 1;
	struct sockaddr_in at = {
		.sin_family = AF_INET, .sin_port = htons((uint16_t)port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	if (fd < 0 || setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one) < 0 ||
	    bind(fd, (struct sockaddr *)&at, sizeof at) < 0 || listen(fd, 128) < 0)
		(void)fprintf(stderr, "bind: port %d cannot be listened on: %s\n", port, strerror(errno));
}

static void make_hung_pod(const char *name, const json_t *sts)
{
	char pod[64];
	struct error err = {0};
	(void)snprintf(pod, sizeof pod, "%s-worker-0", name);
	JSON_AUTO obj = meta(&KUBE_POD, pod);
	json_t *labels = json_at(sts, "spec.template.metadata.labels");
	(void)json_put(obj, "metadata.labels", json_deep_copy(labels));
	(void)json_put(obj, "spec", json_pack("{s:[{s:s,s:s}]}", "containers", "name", "c", "image", "x"));
	JSON_AUTO status = json_pack("{s:{s:s,s:s}}", "status", "phase", "Running", "podIP", "127.0.0.1");
	if (kube_create(b.client, &KUBE_POD, NS, obj, NULL, &err) < 0 ||
	    kube_patch(b.client, &KUBE_POD, NS, pod, "status", KUBE_PATCH_MERGE, status, NULL, &err) < 0)
		die("hung pod", &err);
	hang_at((int)json_int(
		sts, "spec.template.spec.containers[name=reservoir-worker].ports[name=http].containerPort", 0));
}

static void make_ready(const char *name)
{
	int i = index_of(name);
	char sts[64];
	struct error err = {0};
	(void)snprintf(sts, sizeof sts, "%s-worker", name);
	JSON_AUTO live = NULL;
	if (is_hung(i) && kube_get(b.client, &KUBE_STATEFULSET, NS, sts, &live, &err) == 0)
		make_hung_pod(name, live);
	JSON_AUTO patch =
		json_pack("{s:{s:i,s:i,s:i}}", "status", "replicas", 1, "readyReplicas", 1, "availableReplicas", 1);
	int rc = kube_patch(b.client, &KUBE_STATEFULSET, NS, sts, "status", KUBE_PATCH_MERGE, patch, NULL, &err);
	if (rc < 0 && rc != -ENOENT)
		die("make ready", &err);
	b.ready[i] = clock_mono_ns();
	atomic_fetch_add(&b.n_ready, 1);
}

/* What the garbage collector and the protection of claims do once nobody needs them. */
static void let_go(const struct kube_resource *r, const char *name)
{
	struct error err = {0};
	JSON_AUTO patch = json_pack("{s:{s:n}}", "metadata", "finalizers");
	(void)kube_patch(b.client, r, NS, name, NULL, KUBE_PATCH_MERGE, patch, NULL, &err); /* gone already is fine */
}

static void *worker(void *unused)
{
	char *key = NULL;
	while (workqueue_get(b.todo, &key) == 0) {
		const char *name = key + 2;
		struct error err = {0};
		char pod[64];
		switch (key[0]) {
		case 'r':
			make_ready(name);
			break;
		case 'd':
			(void)kube_delete(b.client, &reservoir_runtime_kind.resource, NS, name, NULL, &err);
			break;
		case 'o':
			(void)snprintf(pod, sizeof pod, "%s-config", name);
			(void)kube_delete(b.client, &KUBE_CONFIGMAP, NS, pod, NULL, &err);
			break;
		case 'p':
			(void)snprintf(pod, sizeof pod, "%s-worker-0", name);
			(void)kube_delete(b.client, &KUBE_POD, NS, pod,
					  &(struct kube_delete_options){.grace_seconds = 0}, &err);
			break;
		case 'c':
			let_go(&KUBE_PVC, name);
			break;
		default:
			let_go(&KUBE_PV, name);
			break;
		}
		workqueue_done(b.todo, key);
		free(key);
	}
	return unused;
}

static void queue(char what, const char *name)
{
	char key[128];
	(void)snprintf(key, sizeof key, "%c/%s", what, name);
	(void)workqueue_add(b.todo, key);
}

static void on_dataset(void *ctx, enum informer_event ev, const json_t *old, const json_t *obj)
{
	(void)ctx, (void)old;
	int i = index_of(obj_name(obj));
	if (i < 0 || strcmp(obj_namespace(obj), NS) != 0)
		return;
	if (ev == INFORMER_DELETED) {
		queue('d', obj_name(obj));
	} else if (b.bound[i] == 0 && strcmp(json_str(obj, "status.phase", ""), "Bound") == 0) {
		b.bound[i] = clock_mono_ns();
		atomic_fetch_add(&b.n_bound, 1);
	}
}

static void on_runtime(void *ctx, enum informer_event ev, const json_t *old, const json_t *obj)
{
	(void)ctx, (void)old;
	if (ev == INFORMER_DELETED) {
		queue('o', obj_name(obj));
		atomic_fetch_sub(&b.n_left, 1);
	}
}

static void on_stateful_set(void *ctx, enum informer_event ev, const json_t *old, const json_t *obj)
{
	(void)ctx, (void)old;
	char name[64];
	(void)str_copy(name, sizeof name, obj_name(obj));
	char *suffix = strstr(name, "-worker");
	if (suffix == NULL)
		return;
	*suffix = '\0';
	if (ev == INFORMER_ADDED)
		queue('r', name);
	else if (ev == INFORMER_DELETED && is_hung(index_of(name)))
		queue('p', name);
}

static void on_claim(void *ctx, enum informer_event ev, const json_t *old, const json_t *obj)
{
	(void)ctx, (void)old;
	if (ev != INFORMER_DELETED && obj_deleting(obj))
		queue('c', obj_name(obj));
}

static void on_volume(void *ctx, enum informer_event ev, const json_t *old, const json_t *obj)
{
	(void)ctx, (void)old;
	if (ev != INFORMER_DELETED && obj_deleting(obj))
		queue('v', obj_name(obj));
}

/* Of objects only what is looked at. */
static void trim(json_t *obj)
{
	json_drop(obj, "spec");
	json_drop(obj, "status.conditions");
}

static void watch(const struct kube_resource *r, informer_handler fn)
{
	struct informer *inf = NULL;
	struct error err = {0};
	if (informer_new(b.client, r, &(struct informer_options){.transform = trim}, &inf, &err) < 0 ||
	    informer_add_handler(inf, fn, NULL) < 0 || informer_start(inf, &err) < 0 ||
	    informer_wait_synced(inf, clock_mono_ns() + 60 * NSEC_PER_SEC) < 0)
		die(r->plural, &err);
}

/* --- what it came to ------------------------------------------------------------------------------------------------------------ */

static int by_value(const void *x, const void *y)
{
	int64_t l = *(const int64_t *)x, r = *(const int64_t *)y;
	return l < r ? -1 : l > r;
}

static void print_times(const char *what, const int64_t *from, const int64_t *to, bool hung)
{
	int64_t *v = calloc((size_t)b.count, sizeof *v);
	size_t n = 0;
	for (int i = 0; i < b.count && v != NULL; i++)
		if (is_hung(i) == hung)
			v[n++] = to[i] > from[i] ? to[i] - from[i] : 0;
	if (n > 0) {
		qsort(v, n, sizeof *v, by_value);
		(void)printf("%s %.0f %.0f %.0f\n", what, (double)v[n / 2] / 1e6, (double)v[(n - 1) * 99 / 100] / 1e6,
			     (double)v[n - 1] / 1e6);
	}
	free(v);
}

static void print_process(void)
{
	char path[64], line[1024];
	(void)snprintf(path, sizeof path, "/proc/%d/stat", b.controller_pid);
	FILE *f = fopen(path, "re");
	unsigned long user = 0, sys = 0;
	if (f != NULL && fgets(line, sizeof line, f) != NULL && strrchr(line, ')') != NULL)
		(void)sscanf(strrchr(line, ')') + 2, "%*c %*d %*d %*d %*d %*d %*u %*u %*u %*u %*u %lu %lu", &user,
			     &sys);
	if (f != NULL)
		(void)fclose(f);
	(void)printf("cpu_s %.1f\n", (double)(user + sys) / (double)sysconf(_SC_CLK_TCK));
	(void)snprintf(path, sizeof path, "/proc/%d/status", b.controller_pid);
	f = fopen(path, "re");
	long kib;
	while (f != NULL && fgets(line, sizeof line, f) != NULL) {
		if (sscanf(line, "VmHWM: %ld", &kib) == 1)
			(void)printf("rss_peak_mib %.0f\n", (double)kib / 1024);
		if (sscanf(line, "VmRSS: %ld", &kib) == 1)
			(void)printf("rss_mib %.0f\n", (double)kib / 1024);
	}
	if (f != NULL)
		(void)fclose(f);
}

/* Requests of the controller so far, watches left out: they are few and long. */
static double requests(void)
{
	char url[64];
	struct error err = {0};
	struct http_client *http = NULL;
	struct http_answer a = {0};
	(void)snprintf(url, sizeof url, "http://127.0.0.1:%s/metrics", b.metrics_port);
	if (http_client_new(&(struct http_client_options){.user_agent = "bind", .no_proxy = true, .max_idle = 1}, &http,
			    &err) < 0 ||
	    http_client_do(http,
			   &(struct http_call){
				   .method = "GET", .url = url, .timeout_ns = 10 * NSEC_PER_SEC, .max_body = 1 << 25},
			   &a, &err) < 0)
		die("metrics", &err);
	double sum = 0;
	for (const char *p = a.body; p != NULL && (p = strstr(p, "\nrest_client_requests_total{")) != NULL; p++) {
		const char *end = strchr(p, '}');
		if (end != NULL)
			sum += strtod(end + 1, NULL);
	}
	http_answer_clear(&a);
	http_client_free(http);
	return sum;
}

static void wait_for(const char *what, atomic_int *n, int want)
{
	const int64_t deadline = clock_mono_ns() + PATIENCE;
	int64_t told = clock_mono_ns();
	while (atomic_load(n) != want) {
		(void)usleep(20000); /* the figures are taken elsewhere */
		if (clock_mono_ns() - told > 10 * NSEC_PER_SEC) {
			told = clock_mono_ns();
			(void)fprintf(stderr, "bind: %s: %d of %d\n", what, atomic_load(n), want);
		}
		if (clock_mono_ns() > deadline) {
			(void)fprintf(stderr, "bind: %s: %d of %d after half an hour\n", what, atomic_load(n), want);
			exit(1);
		}
	}
}

int main(int argc, char **argv)
{
	struct error err = {0};
	struct kube_config *cfg = NULL;
	if (argc != 6) {
		(void)fputs("usage: bind KUBECONFIG COUNT HUNG CONTROLLER-PID METRICS-PORT\n", stderr);
		return 2;
	}
	b.count = (int)strtol(argv[2], NULL, 10);
	b.hung = (int)strtol(argv[3], NULL, 10);
	b.controller_pid = (int)strtol(argv[4], NULL, 10);
	b.metrics_port = argv[5];
	b.created = calloc((size_t)b.count, sizeof *b.created);
	b.ready = calloc((size_t)b.count, sizeof *b.ready);
	b.bound = calloc((size_t)b.count, sizeof *b.bound);
	b.todo = workqueue_new(0, 0);
	b.n_left = b.count;
	if (b.created == NULL || b.ready == NULL || b.bound == NULL || b.todo == NULL)
		return 1;
	if (kube_config_load(argv[1], NULL, &cfg, &err) < 0 || kube_client_new(cfg, "bind", &b.client, &err) < 0)
		die("connect", &err);
	JSON_AUTO ns = json_pack("{s:s,s:s,s:{s:s}}", "apiVersion", "v1", "kind", "Namespace", "metadata", "name", NS);
	JSON_AUTO node =
		json_pack("{s:s,s:s,s:{s:s}}", "apiVersion", "v1", "kind", "Node", "metadata", "name", "bench");
	(void)kube_create(b.client, &KUBE_NAMESPACE, NULL, ns, NULL, &err); /* of an earlier run is fine */
	(void)kube_create(b.client, &KUBE_NODE, NULL, node, NULL, &err);
	pthread_t t[WRITERS];
	for (int i = 0; i < WRITERS; i++)
		if (pthread_create(&t[i], NULL, worker, NULL) != 0)
			return 1;
	watch(&dataset_kind.resource, on_dataset);
	watch(&reservoir_runtime_kind.resource, on_runtime);
	watch(&KUBE_STATEFULSET, on_stateful_set);
	watch(&KUBE_PVC, on_claim);
	watch(&KUBE_PV, on_volume);

	const double before = requests();
	b.start_ns = clock_mono_ns();
	with_threads(maker);
	(void)printf("created_s %.1f\n", (double)(clock_mono_ns() - b.start_ns) / 1e9);
	wait_for("bound", &b.n_bound, b.count);
	(void)printf("all_bound_s %.1f\n", (double)(clock_mono_ns() - b.start_ns) / 1e9);
	print_times("bound_ms", b.created, b.bound, false);
	print_times("own_ms", b.ready, b.bound, false);
	if (b.hung > 0)
		print_times("hung_own_ms", b.ready, b.bound, true);
	(void)printf("requests_each %.1f\n", (requests() - before) / b.count);
	print_process();
	const int64_t from = clock_mono_ns();
	with_threads(unmaker);
	wait_for("left", &b.n_left, 0);
	(void)printf("deleted_s %.1f\n", (double)(clock_mono_ns() - from) / 1e9);
	print_process();
	(void)fflush(stdout);
	_exit(0); /* the informers have nothing to put in order */
}
