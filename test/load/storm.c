/*
 * kill -9 at random moments under concurrent writers. usage: storm SLUICE-BINARY ROUNDS
 *
 * Eight writers create, replace, patch and delete objects of their own, and count up one that they share; four watchers follow. In each round
 * the server is killed and started again, sometimes killed once more while it starts. What must hold then:
 *  1. What was acknowledged is there, with the version that was told; of a write without an answer, all or nothing.
 *  2. Versions grow: for each writer in the order of its writes, and no version is told for two writes.
 *  3. Each watcher resumes from the last version that it saw: every object's states come one by one, none is missing, none comes twice; in the
 *     end it knows what a list shows.
 *  4. The shared count is what was acknowledged, and at most one more for each write without an answer.
 */
#include <errno.h>
#include <pthread.h>
#include <sqlite3.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/error.h"
#include "base/file.h"
#include "base/map.h"
#include "base/random.h"
#include "base/str.h"
#include "kube/client.h"
#include "server.h"
#include "json/json.h"

#define WRITERS     8
#define WATCHERS    4
#define OBJECTS     6
#define NAMESPACE   "default"
#define CATCH_UP_NS (60 * NSEC_PER_SEC)
#define ROUND_MAX   150   /* a round has up to so many acknowledged writes */
#define LATE_US     20000 /* and then the server lives up to so long */

/** An object as its writer knows it. Its content is a number that each write raises by one. */
struct object {
	char name[32];
	int64_t seq, revision;
	bool there;
	enum { DOUBT_NONE, DOUBT_WRITE, DOUBT_DELETE } doubt; /* the last write had no answer */
};

struct writer {
	pthread_t thread;
	int id;
	struct object objects[OBJECTS];
	int64_t revision; /* newest that it was told */
	int64_t counted, in_doubt;
};

struct seen {
	int64_t seq, revision;
	bool there;
};

struct watcher {
	pthread_t thread;
	int id;
	int64_t revision;
	size_t events;
	struct map *objects; /* name: struct seen */
};

static struct load_server server;
static struct writer writers[WRITERS];
static struct watcher watchers[WATCHERS];
static struct object mark = {.name = "mark"};
static atomic_bool writing;
static atomic_size_t acknowledged;

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER; /* guards all below, and what watchers have seen */
static pthread_cond_t changed = PTHREAD_COND_INITIALIZER;
static unsigned generation; /* of servers */
static bool over;
static char failure[512];
static struct map *told; /* versions that were acknowledged */

__attribute__((format(printf, 1, 2))) static void fail(const char *fmt, ...)
{
	va_list ap;
	va_start(ap, fmt);
	pthread_mutex_lock(&lock);
	if (failure[0] == '\0')
		(void)vsnprintf(failure, sizeof failure, fmt, ap);
	pthread_cond_broadcast(&changed);
	pthread_mutex_unlock(&lock);
	va_end(ap);
}

static bool failed(void)
{
	pthread_mutex_lock(&lock);
	bool yes = failure[0] != '\0';
	pthread_mutex_unlock(&lock);
	return yes;
}

static int64_t number(const json_t *obj, const char *path)
{
	int64_t n = 0;
	return str_to_i64(json_str(obj, path, "0"), &n) == 0 ? n : -1;
}

/* ---- writers ---- */

static json_t *content(const char *name, int64_t seq, int64_t revision)
{
	json_t *j = json_pack("{s:s, s:s, s:{s:s}, s:{s:o}}", "apiVersion", "v1", "kind", "ConfigMap", "metadata",
			      "name", name, "data", "seq", json_sprintf("%lld", (long long)seq));
	if (revision > 0)
		(void)json_put(j, "metadata.resourceVersion", json_sprintf("%lld", (long long)revision));
	return j;
}

/** The server told @revision for a write of @name: it is newer than all that this writer knows, and nobody else's. */
static void acknowledge(struct writer *w, const char *name, int64_t revision)
{
	char key[32];
	(void)snprintf(key, sizeof key, "%lld", (long long)revision);
	if (revision <= w->revision)
		fail("%s: version %lld was told after %lld", name, (long long)revision, (long long)w->revision);
	pthread_mutex_lock(&lock);
	const char *other = map_get(told, key);
	bool ok = other == NULL && map_set(told, key, strdup(name)) == 0;
	pthread_mutex_unlock(&lock);
	if (!ok)
		fail("version %s was told for %s and for %s", key, other != NULL ? other : "?", name);
	w->revision = revision;
	atomic_fetch_add(&acknowledged, 1);
}

/** Without an answer, or with one that only the end of the server explains. False: neither. */
static bool no_answer(int rc)
{
	return rc == -ECONNREFUSED || rc == -ECONNRESET || rc == -EPROTO || rc == -EIO || rc == -ETIMEDOUT ||
	       rc == -EKEYREJECTED;
}

static int put(struct kube_client *c, struct object *o, json_t **ret, struct error *err)
{
	JSON_AUTO obj = content(o->name, o->seq + 1, o->revision);
	if (!o->there) {
		json_drop(obj, "metadata.resourceVersion");
		return kube_create(c, &KUBE_CONFIGMAP, NAMESPACE, obj, ret, err);
	}
	if (random_below(5) > 0)
		return kube_update(c, &KUBE_CONFIGMAP, NAMESPACE, o->name, NULL, obj, ret, err);
	return kube_patch(c, &KUBE_CONFIGMAP, NAMESPACE, o->name, NULL, KUBE_PATCH_MERGE, obj, ret, err);
}

static int write_object(struct writer *w, struct kube_client *c, struct object *o)
{
	struct error err = {0};
	JSON_AUTO now = NULL;
	bool remove = o->there && random_below(6) == 0;
	int rc = remove ? kube_delete(c, &KUBE_CONFIGMAP, NAMESPACE, o->name, NULL, &err) : put(c, o, &now, &err);
	if (rc < 0) {
		o->doubt = remove ? DOUBT_DELETE : DOUBT_WRITE;
		if (!no_answer(rc))
			fail("%s: %s", o->name, err.msg);
		return rc;
	}
	if (remove) {
		o->there = false;
		atomic_fetch_add(&acknowledged, 1);
		return 0;
	}
	int64_t revision = number(now, "metadata.resourceVersion");
	if (number(now, "data.seq") != o->seq + 1)
		fail("%s: %lld was written, %lld came back", o->name, (long long)o->seq + 1,
		     (long long)number(now, "data.seq"));
	acknowledge(w, o->name, revision);
	o->there = true;
	o->seq++;
	o->revision = revision;
	return 0;
}

/** Count the shared object up, unless somebody else was faster. */
static int count_up(struct writer *w, struct kube_client *c)
{
	struct error err = {0};
	JSON_AUTO old = NULL;
	JSON_AUTO now = NULL;
	int rc = kube_get(c, &KUBE_CONFIGMAP, NAMESPACE, "count", &old, &err);
	if (rc < 0)
		return rc;
	JSON_AUTO next = content("count", number(old, "data.seq") + 1, number(old, "metadata.resourceVersion"));
	rc = kube_update(c, &KUBE_CONFIGMAP, NAMESPACE, "count", NULL, next, &now, &err);
	if (rc == -ESTALE)
		return 0;
	if (rc < 0) {
		w->in_doubt++;
		if (!no_answer(rc))
			fail("count: %s", err.msg);
		return rc;
	}
	w->counted++;
	acknowledge(w, "count", number(now, "metadata.resourceVersion"));
	return 0;
}

static void *write_main(void *arg)
{
	struct writer *w = arg;
	struct kube_client *c = NULL;
	if (load_server_client(&server, &c, NULL) < 0)
		fail("writer %d: no client", w->id);
	int rc = c != NULL ? 0 : -EIO;
	while (rc == 0 && atomic_load(&writing))
		rc = random_below(4) == 0 ? count_up(w, c) : write_object(w, c, &w->objects[random_below(OBJECTS)]);
	kube_client_free(c);
	return NULL;
}

/* ---- watchers ---- */

static struct seen *seen_of(struct watcher *w, const char *name)
{
	struct seen *s = map_get(w->objects, name);
	if (s == NULL) {
		s = calloc(1, sizeof *s);
		if (s == NULL || map_set(w->objects, name, s) < 0)
			abort();
	}
	return s;
}

static void see_locked(struct watcher *w, const char *type, const json_t *obj, char problem[static 256])
{
	const char *name = json_str(obj, "metadata.name", "");
	int64_t seq = number(obj, "data.seq"), revision = number(obj, "metadata.resourceVersion");
	struct seen *s = seen_of(w, name);
	bool added = strcmp(type, "ADDED") == 0, deleted = strcmp(type, "DELETED") == 0;
	int64_t want = deleted ? s->seq : s->seq + 1;
	if (revision <= w->revision || added == s->there || seq != want)
		(void)snprintf(problem, 256,
			       "watcher %d at %lld: %s %s (number %lld, version %lld), but it knows number %lld, %s",
			       w->id, (long long)w->revision, type, name, (long long)seq, (long long)revision,
			       (long long)s->seq, s->there ? "there" : "not there");
	*s = (struct seen){.seq = seq, .revision = revision, .there = !deleted};
	w->revision = revision;
	w->events++;
}

static int see(void *ctx, const char *type, json_t *obj)
{
	struct watcher *w = ctx;
	char problem[256] = "";
	if (strcmp(type, "BOOKMARK") == 0 || strcmp(json_str(obj, "metadata.name", ""), "kube-root-ca.crt") == 0)
		return 0;
	if (strcmp(type, "ERROR") == 0) {
		fail("watcher %d: %s", w->id, json_str(obj, "message", ""));
		return -EIO;
	}
	pthread_mutex_lock(&lock);
	see_locked(w, type, obj, problem);
	pthread_cond_broadcast(&changed);
	pthread_mutex_unlock(&lock);
	if (problem[0] == '\0')
		return 0;
	fail("%s", problem);
	return -EIO;
}

/** Watch one server until it dies. */
static void watch_once(struct watcher *w)
{
	struct kube_client *c = NULL;
	struct error err = {0};
	char from[32];
	(void)snprintf(from, sizeof from, "%lld", (long long)w->revision);
	struct kube_list_options o = {.resource_version = from};
	if (load_server_client(&server, &c, &err) < 0)
		fail("watcher %d: %s", w->id, err.msg);
	else
		(void)kube_watch(c, &KUBE_CONFIGMAP, NAMESPACE, &o, see, w, NULL, &err); /* it ends with the server */
	kube_client_free(c);
}

static void *watch_main(void *arg)
{
	struct watcher *w = arg;
	unsigned seen = 0;
	pthread_mutex_lock(&lock);
	for (;;) {
		while (generation == seen && !over)
			pthread_cond_wait(&changed, &lock);
		if (over)
			break;
		seen = generation;
		pthread_mutex_unlock(&lock);
		watch_once(w);
		pthread_mutex_lock(&lock);
	}
	pthread_mutex_unlock(&lock);
	return NULL;
}

/** Wait until every watcher has seen @revision. */
static void wait_watchers(int64_t revision)
{
	struct timespec until;
	(void)clock_gettime(CLOCK_REALTIME, &until);
	until.tv_sec += CATCH_UP_NS / NSEC_PER_SEC;
	pthread_mutex_lock(&lock);
	int behind = -1, rc = 0;
	do {
		behind = -1;
		for (int i = 0; i < WATCHERS; i++)
			if (watchers[i].revision < revision)
				behind = i;
	} while (behind >= 0 && failure[0] == '\0' && (rc = pthread_cond_timedwait(&changed, &lock, &until)) == 0);
	if (behind >= 0 && failure[0] == '\0')
		(void)snprintf(failure, sizeof failure, "watcher %d is at version %lld and does not reach %lld", behind,
			       (long long)watchers[behind].revision, (long long)revision);
	pthread_mutex_unlock(&lock);
}

/* ---- checks after a restart ---- */

/** What the server has of @o is what was acknowledged, or what the write without an answer would make of it. */
static void check_object(struct object *o, const json_t *now)
{
	int64_t seq = number(now, "data.seq"), revision = number(now, "metadata.resourceVersion");
	bool as_told = o->there ? now != NULL && seq == o->seq && revision == o->revision : now == NULL;
	bool as_doubt = (o->doubt == DOUBT_WRITE && now != NULL && seq == o->seq + 1 && revision > o->revision) ||
			(o->doubt == DOUBT_DELETE && now == NULL);
	if (!as_told && !as_doubt)
		fail("%s: the server has %s, number %lld, version %lld; told were %s, number %lld, version %lld%s",
		     o->name, now != NULL ? "it" : "nothing", (long long)seq, (long long)revision,
		     o->there ? "it" : "nothing", (long long)o->seq, (long long)o->revision,
		     o->doubt != DOUBT_NONE ? ", and the last write had no answer" : "");
	o->there = now != NULL;
	if (now != NULL) {
		o->seq = seq;
		o->revision = revision;
	}
	o->doubt = DOUBT_NONE;
}

static json_t *in_list(json_t *list, const char *name)
{
	size_t i;
	json_t *o;
	json_array_foreach (json_object_get(list, "items"), i, o)
		if (strcmp(json_str(o, "metadata.name", ""), name) == 0)
			return o;
	return NULL;
}

static void check_writers(json_t *list)
{
	int64_t at = number(list, "metadata.resourceVersion"), least = 0, most = 0;
	for (int i = 0; i < WRITERS; i++) {
		struct writer *w = &writers[i];
		if (w->revision > at)
			fail("the server is at version %lld and has told %lld", (long long)at, (long long)w->revision);
		for (int k = 0; k < OBJECTS; k++)
			check_object(&w->objects[k], in_list(list, w->objects[k].name));
		least += w->counted;
		most += w->counted + w->in_doubt;
	}
	int64_t count = number(in_list(list, "count"), "data.seq") - 1;
	if (count < least || count > most)
		fail("the shared count is %lld, acknowledged were %lld, without an answer %lld more", (long long)count,
		     (long long)least, (long long)(most - least));
}

/** Each watcher knows what a list shows, no more and no less. */
static void check_watchers(json_t *list)
{
	for (int i = 0; i < WATCHERS; i++) {
		size_t pos = 0, there = 0, listed = 0, k;
		const char *name;
		void *value;
		json_t *o;
		pthread_mutex_lock(&lock);
		while (map_next(watchers[i].objects, &pos, &name, &value)) {
			const struct seen *s = value;
			const json_t *now = in_list(list, name);
			there += s->there;
			if (s->there != (now != NULL) ||
			    (now != NULL && s->revision != number(now, "metadata.resourceVersion")))
				(void)snprintf(failure, sizeof failure, "watcher %d: %s is not what the list shows", i,
					       name);
		}
		pthread_mutex_unlock(&lock);
		json_array_foreach (json_object_get(list, "items"), k, o)
			listed += strcmp(json_str(o, "metadata.name", ""), "kube-root-ca.crt") != 0;
		if (there != listed)
			fail("watcher %d knows %zu objects, the list shows %zu", i, there, listed);
	}
}

static void check_all(void)
{
	struct kube_client *c = NULL;
	struct error err = {0};
	JSON_AUTO list = NULL;
	JSON_AUTO now = NULL;
	JSON_AUTO after = NULL;
	int rc = load_server_client(&server, &c, &err);
	if (rc == 0)
		rc = kube_list(c, &KUBE_CONFIGMAP, NAMESPACE, NULL, &list, &err);
	if (rc == 0) {
		check_writers(list);
		rc = put(c, &mark, &now, &err);
	}
	if (rc == 0) {
		mark.there = true;
		mark.seq++;
		mark.revision = number(now, "metadata.resourceVersion");
		wait_watchers(mark.revision);
		rc = kube_list(c, &KUBE_CONFIGMAP, NAMESPACE, NULL, &after, &err);
	}
	if (rc == 0)
		check_watchers(after);
	else
		fail("%s", err.msg);
	kube_client_free(c);
}

/* ---- rounds ---- */

static void pause_us(uint32_t us)
{
	struct timespec t = {.tv_nsec = (long)us * 1000};
	(void)nanosleep(&t, NULL); /* shorter is as good */
}

static void wait_writes(size_t n)
{
	int64_t end = clock_mono_ns() + CATCH_UP_NS;
	while (atomic_load(&acknowledged) < n && !failed() && clock_mono_ns() < end)
		pause_us(500);
	if (atomic_load(&acknowledged) < n)
		fail("the server does not acknowledge writes");
}

static void start(void)
{
	struct error err = {0};
	int rc = load_server_spawn(&server, &err);
	if (rc == 0 && random_below(3) == 0) { /* dies while it recovers from the last death */
		pause_us(random_below(3 * LATE_US));
		load_server_kill(&server);
		rc = load_server_spawn(&server, &err);
	}
	if (rc == 0)
		rc = load_server_ready(&server, &err);
	if (rc < 0) {
		fail("%s", err.msg);
		return;
	}
	pthread_mutex_lock(&lock);
	generation++;
	pthread_cond_broadcast(&changed);
	pthread_mutex_unlock(&lock);
}

static void one_round(void)
{
	size_t before = atomic_load(&acknowledged);
	atomic_store(&writing, true);
	for (int i = 0; i < WRITERS; i++)
		if (pthread_create(&writers[i].thread, NULL, write_main, &writers[i]) != 0)
			abort();
	wait_writes(before + random_below(ROUND_MAX));
	pause_us(random_below(LATE_US));
	load_server_kill(&server);
	atomic_store(&writing, false);
	for (int i = 0; i < WRITERS; i++)
		(void)pthread_join(writers[i].thread, NULL);
	start();
	if (!failed())
		check_all();
}

static void begin(void)
{
	for (int i = 0; i < WRITERS; i++) {
		writers[i].id = i;
		for (int k = 0; k < OBJECTS; k++)
			(void)snprintf(writers[i].objects[k].name, sizeof writers[i].objects[k].name, "w%d-%d", i, k);
	}
	start();
	struct kube_client *c = NULL;
	struct error err = {0};
	JSON_AUTO list = NULL;
	JSON_AUTO count = content("count", 1, 0);
	int rc = failed() ? -EIO : load_server_client(&server, &c, &err);
	if (rc == 0)
		rc = kube_list(c, &KUBE_CONFIGMAP, NAMESPACE, NULL, &list, &err);
	if (rc == 0)
		rc = kube_create(c, &KUBE_CONFIGMAP, NAMESPACE, count, NULL, &err);
	if (rc < 0)
		fail("%s", err.msg);
	for (int i = 0; i < WATCHERS; i++) {
		watchers[i].id = i;
		watchers[i].revision = number(list, "metadata.resourceVersion");
		watchers[i].objects = map_new(free);
		if (watchers[i].objects == NULL ||
		    pthread_create(&watchers[i].thread, NULL, watch_main, &watchers[i]) != 0)
			abort();
	}
	kube_client_free(c);
}

static void check_database(void)
{
	char path[192];
	sqlite3 *db = NULL;
	sqlite3_stmt *st = NULL;
	(void)snprintf(path, sizeof path, "%s/api/store.db", server.dir);
	bool ok = sqlite3_open(path, &db) == SQLITE_OK &&
		  sqlite3_prepare_v2(db, "PRAGMA integrity_check", -1, &st, NULL) == SQLITE_OK &&
		  sqlite3_step(st) == SQLITE_ROW && strcmp((const char *)sqlite3_column_text(st, 0), "ok") == 0;
	if (!ok)
		fail("the database is damaged: %s", sqlite3_errmsg(db));
	(void)sqlite3_finalize(st);
	(void)sqlite3_close(db);
}

static void finish(void)
{
	pthread_mutex_lock(&lock);
	over = true;
	pthread_cond_broadcast(&changed);
	pthread_mutex_unlock(&lock);
	int status = failed() ? 0 : load_server_stop(&server);
	if (status != 0)
		fail("the server ended with status %d; see %s", status, server.log);
	load_server_kill(&server);
	for (int i = 0; i < WATCHERS; i++) {
		(void)pthread_join(watchers[i].thread, NULL);
		map_free(watchers[i].objects);
	}
	check_database();
	map_free(told);
}

int main(int argc, char **argv)
{
	int64_t rounds = 0;
	struct error err = {0};
	if (argc != 3 || str_to_i64(argv[2], &rounds) < 0 || rounds < 1) {
		(void)fprintf(stderr, "usage: storm SLUICE-BINARY ROUNDS\n");
		return 2;
	}
	told = map_new(free);
	if (told == NULL || load_server_init(&server, argv[1], &err) < 0) {
		(void)fprintf(stderr, "storm: %s\n", err.msg);
		return 1;
	}
	begin();
	int64_t done = 0;
	for (; done < rounds && !failed(); done++)
		one_round();
	finish();
	size_t events = 0;
	for (int i = 0; i < WATCHERS; i++)
		events += watchers[i].events;
	if (failure[0] != '\0') {
		(void)fprintf(stderr, "storm: round %lld: %s\nthe server's directory is kept: %s\n", (long long)done,
			      failure, server.dir);
		return 1;
	}
	(void)printf("storm: %lld deaths of the server, %zu writes acknowledged, %zu events seen: nothing lost\n",
		     (long long)done, atomic_load(&acknowledged), events);
	load_server_clear(&server);
	return 0;
}
