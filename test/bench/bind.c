/*
 * How long Datasets take to be bound: makes many Dataset+ReservoirRuntime pairs at once, stands in for the controllers of StatefulSets (each is
 * ready as soon as it is seen), the garbage collector and the protection of volumes, and takes the times. Whoever binds them runs elsewhere.
 * usage: bind KUBECONFIG COUNT HUNG NODES
 *   HUNG of the COUNT have a worker that never answers; with NODES, each has a worker pod on one of so many nodes.
 * Figures go to standard output, "name value..." a line. What the script beside it is to do is a line with '!': "!start" (a controller, new),
 * "!kill" (it, with -9); it answers on standard input with "PID METRICS-PORT", 0 0 when it was killed.
 */
#include <arpa/inet.h>
#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "api/dataset.h"
#include "api/reservoir_runtime.h"
#include "base/cleanup.h"
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
#define SINGLES  50 /* made one after the other while nothing else goes on */

static struct {
	struct kube_client *client;
	int count, total, hung, nodes; /* total: the singles and the one made for a restart too */
	int controller_pid, metrics_port;
	int64_t start_ns, *created, *ready;
	_Atomic int64_t *bound;
	atomic_int next, n_bound, n_left;
	struct workqueue *todo; /* "what/name" */
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
	return strncmp(name, "d", 1) == 0 && dash == NULL && str_to_i64(name + 1, &i) == 0 && i < b.total ? (int)i : -1;
}

static bool is_hung(int i)
{
	return b.hung > 0 && i < b.count && i % (b.count / b.hung) == 0;
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
	for (int i; (i = atomic_fetch_add(&b.next, 1)) < b.total;) {
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

static void make_pod(int i, const char *name, const json_t *sts)
{
	char pod[64], node[32];
	struct error err = {0};
	(void)snprintf(pod, sizeof pod, "%s-worker-0", name);
	JSON_AUTO obj = meta(&KUBE_POD, pod);
	(void)json_put(obj, "metadata.labels", json_deep_copy(json_at(sts, "spec.template.metadata.labels")));
	(void)json_put(obj, "metadata.ownerReferences",
		       json_pack("[{s:s,s:s,s:s,s:s,s:b}]", "apiVersion", "apps/v1", "kind", "StatefulSet", "name",
				 obj_name(sts), "uid", obj_uid(sts), "controller", 1));
	(void)json_put(obj, "spec", json_pack("{s:[{s:s,s:s}]}", "containers", "name", "c", "image", "x"));
	(void)snprintf(node, sizeof node, "bench-%d", b.nodes > 0 ? i % b.nodes : 0);
	if (b.nodes > 0)
		(void)json_put_str(obj, "spec.nodeName", node);
	JSON_AUTO status = json_pack("{s:{s:s,s:s}}", "status", "phase", "Running", "podIP", "127.0.0.1");
	if (kube_create(b.client, &KUBE_POD, NS, obj, NULL, &err) < 0 ||
	    kube_patch(b.client, &KUBE_POD, NS, pod, "status", KUBE_PATCH_MERGE, status, NULL, &err) < 0)
		die("pod", &err);
	if (is_hung(i))
		hang_at((int)json_int(
			sts, "spec.template.spec.containers[name=reservoir-worker].ports[name=http].containerPort", 0));
}

static bool has_pod(int i)
{
	return is_hung(i) || b.nodes > 0;
}

static void make_ready(const char *name)
{
	int i = index_of(name);
	char sts[64];
	struct error err = {0};
	(void)snprintf(sts, sizeof sts, "%s-worker", name);
	JSON_AUTO live = NULL;
	if (i < 0)
		return;
	if (has_pod(i) && kube_get(b.client, &KUBE_STATEFULSET, NS, sts, &live, &err) == 0)
		make_pod(i, name, live);
	JSON_AUTO patch =
		json_pack("{s:{s:i,s:i,s:i}}", "status", "replicas", 1, "readyReplicas", 1, "availableReplicas", 1);
	b.ready[i] = clock_mono_ns(); /* in case that it is bound before this thread goes on */
	int rc = kube_patch(b.client, &KUBE_STATEFULSET, NS, sts, "status", KUBE_PATCH_MERGE, patch, NULL, &err);
	if (rc < 0 && rc != -ENOENT)
		die("make ready", &err);
	b.ready[i] = clock_mono_ns();
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
	} else if (atomic_load(&b.bound[i]) == 0 && strcmp(json_str(obj, "status.phase", ""), "Bound") == 0) {
		atomic_store(&b.bound[i], clock_mono_ns());
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
	else if (ev == INFORMER_DELETED && has_pod(index_of(name)))
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
	    informer_wait_synced(inf, clock_mono_ns() + 60 * NSEC_PER_SEC, -1) < 0)
		die(r->plural, &err);
}

/* --- what it came to ------------------------------------------------------------------------------------------------------------ */

static int by_value(const void *x, const void *y)
{
	int64_t l = *(const int64_t *)x, r = *(const int64_t *)y;
	return l < r ? -1 : l > r;
}

/* Of those from index @first on, up to @end, that are hung or not: in ms, the middle one, of a hundred the ninety-ninth, the longest. */
static void print_times(const char *what, const int64_t *from, int first, int end, bool hung)
{
	int64_t *v = calloc((size_t)b.total, sizeof *v);
	size_t n = 0;
	for (int i = first; i < end && v != NULL; i++)
		if (is_hung(i) == hung) {
			const int64_t to = atomic_load(&b.bound[i]);
			v[n++] = to > from[i] ? to - from[i] : 0;
		}
	if (n > 0) {
		qsort(v, n, sizeof *v, by_value);
		const int64_t p50 = v[n / 2], p99 = v[(n - 1) * 99 / 100];
		(void)printf("%s %.0f %.0f %.0f\n", what, (double)p50 / 1e6, (double)p99 / 1e6, (double)v[n - 1] / 1e6);
	}
	free(v);
}

static void print_process(const char *prefix)
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
	(void)printf("%scpu_s %.1f\n", prefix, (double)(user + sys) / (double)sysconf(_SC_CLK_TCK));
	(void)snprintf(path, sizeof path, "/proc/%d/status", b.controller_pid);
	f = fopen(path, "re");
	long kib;
	while (f != NULL && fgets(line, sizeof line, f) != NULL) {
		if (sscanf(line, "VmHWM: %ld", &kib) == 1)
			(void)printf("%srss_peak_mib %.0f\n", prefix, (double)kib / 1024);
		if (sscanf(line, "VmRSS: %ld", &kib) == 1)
			(void)printf("%srss_mib %.0f\n", prefix, (double)kib / 1024);
	}
	if (f != NULL)
		(void)fclose(f);
}

/* The sum of the controller's series that begin so. */
static double metric(const char *series)
{
	char url[64], line[128];
	struct error err = {0};
	struct http_client *http = NULL;
	struct http_answer a = {0};
	(void)snprintf(url, sizeof url, "http://127.0.0.1:%d/metrics", b.metrics_port);
	(void)snprintf(line, sizeof line, "\n%s{", series);
	if (http_client_new(&(struct http_client_options){.user_agent = "bind", .no_proxy = true, .max_idle = 1}, &http,
			    &err) < 0 ||
	    http_client_do(http,
			   &(struct http_call){
				   .method = "GET", .url = url, .timeout_ns = 10 * NSEC_PER_SEC, .max_body = 1 << 25},
			   &a, &err) < 0)
		die("metrics", &err);
	double sum = 0;
	for (const char *p = a.body; p != NULL && (p = strstr(p, line)) != NULL; p++) {
		const char *end = strchr(p, '}');
		if (end != NULL)
			sum += strtod(end + 1, NULL);
	}
	http_answer_clear(&a);
	http_client_free(http);
	return sum;
}

/* Watches left out: they are few and long. */
static double requests(void)
{
	return metric("rest_client_requests_total");
}

static void wait_for(const char *what, atomic_int *n, int want)
{
	const int64_t deadline = clock_mono_ns() + PATIENCE;
	int64_t told = clock_mono_ns();
	while (atomic_load(n) != want) {
		(void)poll(NULL, 0, 20); /* the figures are taken elsewhere */
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

/* --- the parts ------------------------------------------------------------------------------------------------------------------ */

/* Have the script beside us do something to the controller. */
static void ask_script(const char *what)
{
	(void)printf("!%s\n", what);
	(void)fflush(stdout);
	if (scanf("%d %d", &b.controller_pid, &b.metrics_port) != 2)
		exit(1);
}

/* All at once. */
static void run_many(void)
{
	const double before = requests();
	b.start_ns = clock_mono_ns();
	with_threads(maker);
	(void)printf("created_s %.1f\n", (double)(clock_mono_ns() - b.start_ns) / 1e9);
	wait_for("bound", &b.n_bound, b.count);
	(void)printf("all_bound_s %.1f\n", (double)(clock_mono_ns() - b.start_ns) / 1e9);
	print_times("bound_ms", b.created, 0, b.count, false);
	print_times("own_ms", b.ready, 0, b.count, false);
	if (b.hung > 0)
		print_times("hung_own_ms", b.ready, 0, b.count, true);
	(void)printf("requests_each %.1f\n", (requests() - before) / b.count);
	print_process("bound_");
}

/* Wait until nothing is to be reconciled and nothing is being reconciled, ten times in a row. */
static void wait_idle(void)
{
	const int64_t deadline = clock_mono_ns() + PATIENCE;
	for (int calm = 0; calm < 10 && clock_mono_ns() < deadline; (void)poll(NULL, 0, 20))
		calm = metric("workqueue_depth") + metric("controller_runtime_active_workers") == 0 ? calm + 1 : 0;
}

/* One after the other, beside those that are there. */
static void run_singles(void)
{
	wait_idle();
	for (int i = b.count; i < b.count + SINGLES; i++) {
		make_pair(i);
		wait_for("single", &b.n_bound, i + 1);
	}
	print_times("single_bound_ms", b.created, b.count, b.count + SINGLES, false);
	print_times("single_own_ms", b.ready, b.count, b.count + SINGLES, false);
}

/* The controller dies with one Dataset more to be bound, and begins anew. */
static void run_restart(void)
{
	ask_script("kill");
	make_pair(b.total - 1);
	const int64_t start = clock_mono_ns();
	ask_script("start");
	wait_for("bound after the restart", &b.n_bound, b.total);
	(void)printf("restart_bound_ms %.0f\n", (double)(atomic_load(&b.bound[b.total - 1]) - start) / 1e6);
	wait_idle();
	(void)printf("restart_idle_ms %.0f\n", (double)(clock_mono_ns() - start) / 1e6);
	print_process("restart_");
}

static int count_kind(const struct kube_resource *r)
{
	JSON_AUTO list = NULL;
	struct error err = {0};
	size_t i;
	json_t *obj;
	int n = 0;
	if (kube_list(b.client, r, r->namespaced ? NS : NULL, NULL, &list, &err) < 0)
		die(r->plural, &err);
	json_array_foreach (json_object_get(list, "items"), i, obj) {
		const char *key;
		json_t *v;
		n += r != &KUBE_NODE && strncmp(obj_name(obj), "kube-", 5) != 0;
		if (r == &KUBE_NODE)
			json_object_foreach (json_at(obj, "metadata.labels"), key, v)
				n += strncmp(key, "fluid.io/", 9) == 0;
	}
	return n;
}

/* Objects, and labels of nodes. */
static int count_left(void)
{
	static const struct kube_resource *const all[] = {&KUBE_STATEFULSET,
							  &KUBE_DAEMONSET,
							  &KUBE_CONFIGMAP,
							  &KUBE_PVC,
							  &KUBE_PV,
							  &KUBE_POD,
							  &KUBE_NODE,
							  &dataset_kind.resource,
							  &reservoir_runtime_kind.resource};
	int n = 0;
	for (size_t i = 0; i < sizeof all / sizeof *all; i++)
		n += count_kind(all[i]);
	return n;
}

static void run_deletion(void)
{
	const int64_t from = clock_mono_ns();
	with_threads(unmaker);
	wait_for("left", &b.n_left, 0);
	const int64_t deadline = clock_mono_ns() + 30 * NSEC_PER_SEC;
	int left;
	while ((left = count_left()) > 0 && clock_mono_ns() < deadline)
		(void)poll(NULL, 0, 100);
	(void)printf("deleted_s %.1f\nleft_behind %d\n", (double)(clock_mono_ns() - from) / 1e9, left);
	print_process("deleted_");
}

static void make_cluster(void)
{
	struct error err = {0};
	CLEANUP(free_p) char *text = NULL;
	size_t n = 0;
	JSON_AUTO version = NULL;
	if (kube_get_raw(b.client, "/version", &text, &n, &err) < 0 || json_parse(text, n, &version, &err) < 0)
		die("version", &err);
	(void)printf("server %s\n", json_str(version, "gitVersion", "?"));
	JSON_AUTO ns = json_pack("{s:s,s:s,s:{s:s}}", "apiVersion", "v1", "kind", "Namespace", "metadata", "name", NS);
	(void)kube_create(b.client, &KUBE_NAMESPACE, NULL, ns, NULL, &err); /* of an earlier run is fine */
	for (int i = 0; i < (b.nodes > 0 ? b.nodes : 1); i++) {
		char name[32];
		(void)snprintf(name, sizeof name, "bench-%d", i);
		JSON_AUTO node =
			json_pack("{s:s,s:s,s:{s:s}}", "apiVersion", "v1", "kind", "Node", "metadata", "name", name);
		JSON_AUTO untainted = json_pack("{s:{s:n}}", "spec", "taints");
		(void)kube_create(b.client, &KUBE_NODE, NULL, node, NULL, &err); /* as above */
		if (kube_patch(b.client, &KUBE_NODE, NULL, name, NULL, KUBE_PATCH_MERGE, untainted, NULL, &err) < 0)
			die("node", &err);
	}
}

int main(int argc, char **argv)
{
	struct error err = {0};
	struct kube_config *cfg = NULL;
	if (argc != 5) {
		(void)fputs("usage: bind KUBECONFIG COUNT HUNG NODES\n", stderr);
		return 2;
	}
	b.count = (int)strtol(argv[2], NULL, 10);
	b.hung = (int)strtol(argv[3], NULL, 10);
	b.nodes = (int)strtol(argv[4], NULL, 10);
	b.total = b.count + SINGLES + 1;
	b.created = calloc((size_t)b.total, sizeof *b.created);
	b.ready = calloc((size_t)b.total, sizeof *b.ready);
	b.bound = calloc((size_t)b.total, sizeof *b.bound);
	b.todo = workqueue_new(0, 0);
	b.n_left = b.total;
	if (b.created == NULL || b.ready == NULL || b.bound == NULL || b.todo == NULL)
		return 1;
	if (kube_config_load(argv[1], NULL, &cfg, &err) < 0 || kube_client_new(cfg, "bind", &b.client, &err) < 0)
		die("connect", &err);
	ask_script("start");
	make_cluster();
	pthread_t t[WRITERS];
	for (int i = 0; i < WRITERS; i++)
		if (pthread_create(&t[i], NULL, worker, NULL) != 0)
			return 1;
	watch(&dataset_kind.resource, on_dataset);
	watch(&reservoir_runtime_kind.resource, on_runtime);
	watch(&KUBE_STATEFULSET, on_stateful_set);
	watch(&KUBE_PVC, on_claim);
	watch(&KUBE_PV, on_volume);
	run_many();
	run_singles();
	run_restart();
	run_deletion();
	(void)fflush(stdout);
	_exit(0); /* the informers have nothing to put in order */
}
