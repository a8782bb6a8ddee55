/*
 * Ten informers on the local API server while thousands of objects come, change and go and the server is killed again and again: the
 * events of each must follow from one another, and at the end each cache must equal a fresh list. Without a sanitizer the memory of this
 * process must stay what it was. usage: soak_kube SLUICE EVENTS RESTARTS
 */
#include <errno.h>
#include <fcntl.h>
#include <malloc.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/error.h"
#include "base/file.h"
#include "base/log.h"
#include "base/map.h"
#include "base/process.h"
#include "base/random.h"
#include "base/str.h"
#include "kube/client.h"
#include "kube/informer.h"
#include "json/json.h"

#define SPACES     5
#define NAMES      40 /* of each kind in each namespace */
#define INFORMERS  10
#define WRITERS    4
#define READY_NS   (60 * NSEC_PER_SEC)
#define SETTLE_NS  (120 * NSEC_PER_SEC)
#define GROWTH_KIB 16384

#if defined __SANITIZE_ADDRESS__ || defined __SANITIZE_THREAD__
#define SANITIZED 1
#else
#define SANITIZED 0
#endif

static struct {
	const char *sluice;
	char dir[64], kubeconfig[96], listen[32];
	struct process api;
	struct kube_client *c;
	long events, restarts;
	atomic_long done; /* writes that succeeded */
} w;

/* What the events of one informer have told so far. */
struct watched {
	const struct kube_resource *r;
	const char *ns, *labels;
	struct informer *inf;
	struct map *seen; /* "ns/name" to its version, malloc'ed; the informer's thread alone until the end */
	long told;
};

static struct watched watched[INFORMERS];

__attribute__((noreturn, format(printf, 1, 2))) static void die(const char *fmt, ...)
{
	va_list ap;
	va_start(ap, fmt);
	(void)fputs("soak_kube: ", stderr);
	(void)vfprintf(stderr, fmt, ap);
	(void)fputc('\n', stderr);
	va_end(ap);
	process_kill(&w.api);
	exit(1);
}

/* --- the server --- */

/* The address that it tells on its first line. */
static void read_ready(int fd)
{
	char line[256] = "";
	size_t n = 0;
	const int64_t deadline = clock_mono_ns() + READY_NS;
	while (strchr(line, '\n') == NULL) {
		struct pollfd p = {.fd = fd, .events = POLLIN};
		if (clock_mono_ns() > deadline || n + 1 >= sizeof line)
			die("the server is not ready: '%s'", line);
		if (poll(&p, 1, 100) != 1)
			continue;
		const ssize_t k = read(fd, line + n, sizeof line - 1 - n);
		if (k <= 0)
			die("the server ended: '%s'", line);
		n += (size_t)k;
		line[n] = '\0';
	}
	line[strcspn(line, "\n")] = '\0';
	if (!str_has_prefix(line, "ready: https://") ||
	    str_copy(w.listen, sizeof w.listen, line + strlen("ready: https://")) < 0)
		die("the server says '%s'", line);
}

static void start_server(void)
{
	int ends[2];
	struct error err = {0};
	const char *const argv[] = {w.sluice,     "api",      "--data-dir", w.dir, "--kubeconfig",
				    w.kubeconfig, "--listen", w.listen,     NULL};
	if (pipe2(ends, O_CLOEXEC) < 0)
		die("pipe: %s", strerror(errno));
	const struct process_options o = {.argv = argv, .fd_out = ends[1], .die_with_parent = true};
	if (process_spawn(&o, &w.api, &err) < 0)
		die("%s", err.msg);
	(void)close(ends[1]);
	read_ready(ends[0]);
	(void)close(ends[0]);
}

/* --- what happens --- */

static void make_name(char out[static 96], int space, int name)
{
	(void)snprintf(out, 96, "o-%d-%d", space, name);
}

/* One change of one object; whichever it can be. A negative errno of the server. */
static int change(const struct kube_resource *r, int space, int number, const char *label)
{
	char ns[32], name[96], value[24];
	(void)snprintf(ns, sizeof ns, "soak-%d", space);
	(void)snprintf(value, sizeof value, "%u", random_below(1000000));
	make_name(name, space, number);
	JSON_AUTO patch =
		json_pack("{s:{s:{s:s}}, s:{s:s}}", "metadata", "labels", "colour", label, "data", "v", "MQ==");
	if (patch == NULL || json_put_str(patch, "metadata.annotations.value", value) < 0)
		return -ENOMEM;
	if (random_below(4) == 0)
		return kube_delete(w.c, r, ns, name, NULL, NULL);
	const int rc = kube_patch(w.c, r, ns, name, NULL, KUBE_PATCH_MERGE, patch, NULL, NULL);
	if (rc != -ENOENT)
		return rc;
	if (json_put_str(patch, "metadata.name", name) < 0)
		return -ENOMEM;
	return kube_create(w.c, r, ns, patch, NULL, NULL);
}

static void *writer(void *arg)
{
	static const char *const colours[] = {"red", "green", "blue"};
	(void)arg;
	while (atomic_load(&w.done) < w.events) {
		const struct kube_resource *r = random_below(3) == 0 ? &KUBE_SECRET : &KUBE_CONFIGMAP;
		const int rc = change(r, (int)random_below(SPACES), (int)random_below(NAMES), colours[random_below(3)]);
		if (rc == 0)
			atomic_fetch_add(&w.done, 1);
		else if (rc != -ENOENT && rc != -EEXIST && rc != -ESTALE)
			(void)poll(NULL, 0, 20); /* the server is away */
	}
	return NULL;
}

/* --- what is told --- */

static void on_change(void *ctx, enum informer_event ev, const json_t *old, const json_t *obj)
{
	struct watched *x = ctx;
	char key[192];
	(void)snprintf(key, sizeof key, "%s/%s", obj_namespace(obj), obj_name(obj));
	const char *had = map_get(x->seen, key);
	x->told++;
	if ((had != NULL) != (ev != INFORMER_ADDED))
		die("%s %s: event %d, but it is %s", x->r->plural, key, ev, had != NULL ? "there" : "not there");
	if (ev == INFORMER_UPDATED && (old == NULL || strcmp(obj_resource_version(old), had) != 0))
		die("%s %s: the old version is not the one told before", x->r->plural, key);
	if (ev == INFORMER_UPDATED && strcmp(obj_resource_version(obj), had) == 0)
		die("%s %s: told twice", x->r->plural, key);
	if (ev == INFORMER_DELETED) {
		(void)map_remove(x->seen, key);
		return;
	}
	char *version = strdup(obj_resource_version(obj));
	if (version == NULL || map_set(x->seen, key, version) < 0)
		die("out of memory");
}

static void start_informers(void)
{
	for (int i = 0; i < INFORMERS; i++) {
		static const char *const spaces[] = {"soak-0", "soak-1", "soak-2", "soak-3", "soak-4"};
		struct watched *x = &watched[i];
		*x = (struct watched){.r = i < 7 ? &KUBE_CONFIGMAP : &KUBE_SECRET, .seen = map_new(free)};
		x->ns = i < SPACES ? spaces[i] : i == 8 ? spaces[0] : NULL;
		x->labels = i == 6 || i == 9 ? "colour=red" : NULL;
		const struct informer_options o = {.ns = x->ns, .label_selector = x->labels, .log = NULL};
		struct error err = {0};
		if (x->seen == NULL || informer_new(w.c, x->r, &o, &x->inf, &err) < 0 ||
		    informer_add_handler(x->inf, on_change, x) < 0 || informer_start(x->inf, &err) < 0)
			die("informer: %s", err.msg);
	}
	for (int i = 0; i < INFORMERS; i++)
		if (informer_wait_synced(watched[i].inf, clock_mono_ns() + READY_NS, -1) < 0)
			die("informer %d does not fill", i);
}

/* --- the end --- */

/* NULL when @x's cache is what the server has; otherwise what differs. */
static const char *difference(struct watched *x)
{
	const struct kube_list_options o = {.label_selector = x->labels};
	JSON_AUTO list = NULL;
	JSON_AUTO have = informer_list(x->inf, NULL);
	struct error err = {0};
	size_t i;
	json_t *item;
	if (have == NULL || kube_list(w.c, x->r, x->ns, &o, &list, &err) < 0)
		return "it cannot be listed";
	if (json_array_size(have) != json_array_size(json_object_get(list, "items")))
		return "not as many objects";
	json_array_foreach (json_object_get(list, "items"), i, item) {
		JSON_AUTO mine = informer_get(x->inf, obj_namespace(item), obj_name(item));
		(void)json_object_del(mine, "kind"); /* items of a list have neither */
		(void)json_object_del(mine, "apiVersion");
		(void)json_object_del(item, "kind");
		(void)json_object_del(item, "apiVersion");
		(void)json_object_del(json_object_get(item, "metadata"), "managedFields");
		if (mine == NULL || !json_same(mine, item))
			return "an object differs";
	}
	return NULL;
}

/* After the informers have ended: what their events told is what their caches hold. */
static void check_told(struct watched *x, const json_t *have)
{
	size_t i;
	json_t *item;
	if (json_array_size(have) != map_size(x->seen))
		die("informer of %s: its events tell of %zu objects, its cache has %zu", x->r->plural,
		    map_size(x->seen), json_array_size(have));
	json_array_foreach (have, i, item) {
		char key[192];
		(void)snprintf(key, sizeof key, "%s/%s", obj_namespace(item), obj_name(item));
		if (!str_same(map_get(x->seen, key), obj_resource_version(item)))
			die("%s %s: the last event is not of what the cache holds", x->r->plural, key);
	}
}

static void settle(void)
{
	const int64_t deadline = clock_mono_ns() + SETTLE_NS;
	for (int i = 0; i < INFORMERS; i++) {
		const char *why;
		while ((why = difference(&watched[i])) != NULL) {
			if (clock_mono_ns() > deadline)
				die("informer %d of %s: %s", i, watched[i].r->plural, why);
			(void)poll(NULL, 0, 50);
		}
	}
	for (int i = 0; i < INFORMERS; i++) {
		JSON_AUTO have = informer_list(watched[i].inf, NULL);
		informer_free(watched[i].inf);
		check_told(&watched[i], have);
		map_free(watched[i].seen);
	}
}

static long resident_kib(void)
{
	char line[256];
	long kib = 0;
	(void)malloc_trim(0); /* what is free but not given back is no growth */
	FILE *f = fopen("/proc/self/status", "re");
	while (f != NULL && fgets(line, sizeof line, f) != NULL)
		if (str_has_prefix(line, "VmRSS:"))
			kib = strtol(line + 6, NULL, 10);
	if (f != NULL)
		(void)fclose(f); /* read only */
	return kib;
}

/* --- all of it --- */

static void set_up(void)
{
	struct kube_config *cfg = NULL;
	struct error err = {0};
	(void)snprintf(w.dir, sizeof w.dir, "/tmp/soak-kube-XXXXXX");
	if (mkdtemp(w.dir) == NULL)
		die("mkdtemp: %s", strerror(errno));
	(void)snprintf(w.kubeconfig, sizeof w.kubeconfig, "%s/kubeconfig", w.dir);
	(void)str_copy(w.listen, sizeof w.listen, "127.0.0.1:0"); /* it fits */
	start_server();
	if (kube_config_load(w.kubeconfig, NULL, &cfg, &err) < 0 || kube_client_new(cfg, NULL, &w.c, &err) < 0)
		die("%s", err.msg);
	kube_config_free(cfg);
	for (int i = 0; i < SPACES; i++) {
		char name[32];
		(void)snprintf(name, sizeof name, "soak-%d", i);
		JSON_AUTO ns = json_pack("{s:s, s:s, s:{s:s}}", "apiVersion", "v1", "kind", "Namespace", "metadata",
					 "name", name);
		if (kube_create(w.c, &KUBE_NAMESPACE, NULL, ns, NULL, &err) < 0)
			die("%s", err.msg);
	}
}

/* Kill the server at @n moments that chance chooses, spread over the whole. */
static long run(void)
{
	long warm = 0;
	for (long i = 0; i < w.restarts; i++) {
		const long share = w.events / (w.restarts + 1);
		const long at = share * i + (long)random_below((uint32_t)share);
		while (atomic_load(&w.done) < at)
			(void)poll(NULL, 0, 5);
		if (i == w.restarts / 4)
			warm = resident_kib();
		process_kill(&w.api);
		start_server();
	}
	return warm;
}

int main(int argc, char **argv)
{
	pthread_t t[WRITERS];
	int64_t events = 0, restarts = 0;
	if (argc != 4 || str_to_i64(argv[2], &events) < 0 || str_to_i64(argv[3], &restarts) < 0 || restarts < 1 ||
	    events < restarts * 10) {
		(void)fprintf(stderr, "usage: soak_kube SLUICE EVENTS RESTARTS\n");
		return 2;
	}
	log_init(2, LOG_LVL_ERROR, "soak");
	w.sluice = argv[1];
	w.events = (long)events;
	w.restarts = (long)restarts;
	const int64_t start = clock_mono_ns();
	set_up();
	start_informers();
	for (int i = 0; i < WRITERS; i++)
		if (pthread_create(&t[i], NULL, writer, NULL) != 0)
			die("no thread");
	const long warm = run();
	for (int i = 0; i < WRITERS; i++)
		(void)pthread_join(t[i], NULL);
	const long grown = resident_kib() - warm;
	settle();
	long told = 0;
	for (int i = 0; i < INFORMERS; i++)
		told += watched[i].told;
	kube_client_free(w.c);
	process_kill(&w.api);
	(void)file_remove_all(w.dir, NULL); /* below /tmp: no harm when it stays */
	(void)printf("%ld changes, %ld events told, %ld restarts, %.0f s, memory grew by %ld KiB\n", w.events, told,
		     w.restarts, (double)(clock_mono_ns() - start) / NSEC_PER_SEC, grown);
	if (!SANITIZED && grown > GROWTH_KIB)
		die("memory grew by %ld KiB", grown);
	return 0;
}
