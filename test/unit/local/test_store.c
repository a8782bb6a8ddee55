/* The store: conflicts, history, compaction, paging at a revision, the lock, formats, and kill -9 of a writing process. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <sqlite3.h>
#include <stdio.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/error.h"
#include "base/file.h"
#include "base/str.h"
#include "local/store.h"

static char dir[64];

static int setup(void **state)
{
	(void)state;
	(void)snprintf(dir, sizeof dir, "/tmp/sluice-test-store-XXXXXX");
	return mkdtemp(dir) != NULL ? 0 : -1;
}

static int teardown(void **state)
{
	(void)state;
	return file_remove_all(dir, NULL);
}

static struct objstore *open_store(int64_t history)
{
	struct objstore *s = NULL;
	struct error err = {0};
	struct objstore_options o = {.dir = dir, .history = history};
	if (objstore_open(&o, &s, &err) < 0)
		fail_msg("%s", err.msg);
	return s;
}

#define TEXT             "{\"rv\":\"\",\"v\":%d}"
#define TEXT_REVISION_AT 7

static int write_value(struct objstore *s, const char *name, int64_t expect, bool remove, int value, int64_t *ret)
{
	char text[64];
	int n = snprintf(text, sizeof text, TEXT, value);
	struct objstore_write w = {.key = {"", "configmaps", "default", name},
				   .expect = expect,
				   .remove = remove,
				   .data = text,
				   .n = (size_t)n,
				   .revision_at = TEXT_REVISION_AT};
	return objstore_write(s, &w, ret, NULL);
}

static void test_expectations(void **state)
{
	(void)state;
	struct objstore *s = open_store(0);
	int64_t rev = 0;
	assert_int_equal(write_value(s, "a", 0, false, 1, &rev), 0);
	assert_int_equal(rev, 1);
	static const struct {
		const char *name, *key;
		int64_t expect;
		int rc;
	} cases[] = {
		{"create what exists", "a", 0, -EEXIST}, {"update what is absent", "b", 1, -ENOENT},
		{"stale revision", "a", 7, -ESTALE},     {"right revision", "a", 1, 0},
		{"the same again", "a", 1, -ESTALE},
	};
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		int rc = write_value(s, cases[i].key, cases[i].expect, false, 2, &rev);
		if (rc != cases[i].rc)
			fail_msg("%s: %d", cases[i].name, rc);
	}
	CLEANUP(free_p) char *text = NULL;
	int64_t at = 0;
	struct objstore_key key = {"", "configmaps", "default", "a"};
	assert_int_equal(objstore_get(s, &key, &text, NULL, &at, NULL), 0);
	assert_int_equal(at, 2);
	assert_string_equal(text, "{\"rv\":\"2\",\"v\":2}");
	assert_int_equal(objstore_revision(s), 2);
	objstore_close(s);
}

struct seen {
	char text[4096];
	size_t n;
};

static int see_event(void *ctx, struct objstore_event *e)
{
	struct seen *seen = ctx;
	static const char *const types[] = {"add", "mod", "del"};
	seen->n += (size_t)snprintf(seen->text + seen->n, sizeof seen->text - seen->n, "%s %s %lld %s <- %s\n",
				    types[e->type], e->key.name, (long long)e->revision, e->data,
				    e->prev != NULL ? e->prev : "-");
	return 0;
}

static void test_history(void **state)
{
	(void)state;
	struct objstore *s = open_store(0);
	int64_t rev = 0;
	assert_int_equal(write_value(s, "a", 0, false, 1, &rev), 0);
	assert_int_equal(write_value(s, "a", rev, false, 2, &rev), 0);
	assert_int_equal(write_value(s, "a", rev, true, 2, &rev), 0);
	assert_int_equal(write_value(s, "a", 0, false, 3, &rev), 0);
	struct seen seen = {0};
	assert_int_equal(objstore_history(s, "", "configmaps", 1, 4, see_event, &seen, NULL), 0);
	assert_string_equal(seen.text, "mod a 2 {\"rv\":\"2\",\"v\":2} <- {\"rv\":\"1\",\"v\":1}\n"
				       "del a 3 {\"rv\":\"3\",\"v\":2} <- {\"rv\":\"2\",\"v\":2}\n"
				       "add a 4 {\"rv\":\"4\",\"v\":3} <- -\n");
	seen = (struct seen){0};
	assert_int_equal(objstore_history(s, "", "secrets", 0, 4, see_event, &seen, NULL), 0);
	assert_int_equal(seen.n, 0);
	objstore_close(s);
}

static void test_compaction_keeps_what_can_be_replayed(void **state)
{
	(void)state;
	struct objstore *s = open_store(10);
	int64_t rev = 0, quiet = 0;
	assert_int_equal(write_value(s, "quiet", 0, false, 0, &quiet), 0);
	assert_int_equal(write_value(s, "a", 0, false, 0, &rev), 0);
	for (int i = 1; i <= 100; i++)
		assert_int_equal(write_value(s, "a", rev, false, i, &rev), 0);
	int64_t compacted = objstore_compacted(s);
	assert_int_equal(compacted, rev - 10);
	struct error err = {0};
	struct seen seen = {0};
	assert_int_equal(objstore_history(s, "", "configmaps", compacted - 1, rev, see_event, &seen, &err),
			 -EKEYEXPIRED);
	assert_string_equal(err.msg, "too old resource version: 91 (92)");
	assert_int_equal(objstore_history(s, "", "configmaps", compacted, rev, see_event, &seen, &err), 0);
	assert_non_null(strstr(seen.text, "mod a 93 {\"rv\":\"93\",\"v\":91} <- {\"rv\":\"92\",\"v\":90}"));
	CLEANUP(free_p) char *text = NULL;
	struct objstore_key key = {"", "configmaps", "default", "quiet"};
	assert_int_equal(objstore_get(s, &key, &text, NULL, NULL, NULL), 0); /* present state survives any compaction */
	/* A removed object's revision is not given again after a restart, though its rows are compacted. */
	assert_int_equal(write_value(s, "a", rev, true, 0, &rev), 0);
	objstore_close(s);
	s = open_store(10);
	assert_int_equal(objstore_revision(s), rev);
	objstore_close(s);
}

static int see_item(void *ctx, const struct objstore_item *item)
{
	struct seen *seen = ctx;
	seen->n += (size_t)snprintf(seen->text + seen->n, sizeof seen->text - seen->n, "%s@%lld ", item->name,
				    (long long)item->revision);
	return 0;
}

static void test_pages_show_one_moment(void **state)
{
	(void)state;
	struct objstore *s = open_store(0);
	int64_t rev[5] = {0}, now = 0;
	const char *const names[] = {"a", "b", "c", "d", "e"};
	for (size_t i = 0; i < 5; i++)
		assert_int_equal(write_value(s, names[i], 0, false, 0, &rev[i]), 0);
	struct objstore_range r = {.group = "", .plural = "configmaps", .limit = 2};
	struct seen seen = {0};
	int64_t at = 0, remaining = 0;
	assert_int_equal(objstore_list(s, &r, see_item, &seen, &at, &remaining, NULL), 0);
	assert_string_equal(seen.text, "a@1 b@2 ");
	assert_int_equal(at, 5);
	assert_int_equal(remaining, 3);
	assert_int_equal(write_value(s, "c", rev[2], false, 1, &now), 0);
	assert_int_equal(write_value(s, "d", rev[3], true, 1, &now), 0);
	assert_int_equal(write_value(s, "d", 0, false, 1, &now), 0);
	assert_int_equal(write_value(s, "cc", 0, false, 1, &now), 0);
	r.after_ns = "default";
	r.after_name = "b";
	r.revision = at;
	seen = (struct seen){0};
	assert_int_equal(objstore_list(s, &r, see_item, &seen, &at, &remaining, NULL), 0);
	assert_string_equal(seen.text, "c@3 d@4 ");
	assert_int_equal(at, 5);
	assert_int_equal(remaining, 1);
	seen = (struct seen){0};
	r = (struct objstore_range){.group = "", .plural = "configmaps", .ns = "default"};
	assert_int_equal(objstore_list(s, &r, see_item, &seen, &at, &remaining, NULL), 0);
	assert_string_equal(seen.text, "a@1 b@2 c@6 cc@9 d@8 e@5 ");
	r.revision = 100;
	assert_int_equal(objstore_list(s, &r, see_item, &seen, &at, &remaining, NULL), -ERANGE);
	objstore_close(s);
}

static void test_second_process_is_refused(void **state)
{
	(void)state;
	struct objstore *s = open_store(0);
	struct objstore *other = NULL;
	struct error err = {0};
	struct objstore_options o = {.dir = dir};
	assert_int_equal(objstore_open(&o, &other, &err),
			 -EBUSY); /* flock is per open file: the same process is refused alike */
	CLEANUP(free_p)
	char *want = str_printf("store: '%s' is in use by process %ld; stop it, or choose another data directory", dir,
				(long)getpid());
	assert_string_equal(err.msg, want);
	objstore_close(s);
	s = open_store(0);
	objstore_close(s);
}

static void test_newer_format_is_refused(void **state)
{
	(void)state;
	objstore_close(open_store(0));
	CLEANUP(free_p) char *path = str_printf("%s/store.db", dir);
	sqlite3 *db = NULL;
	assert_int_equal(sqlite3_open(path, &db), SQLITE_OK);
	assert_int_equal(sqlite3_exec(db, "PRAGMA user_version=2", NULL, NULL, NULL), SQLITE_OK);
	(void)sqlite3_close(db);
	struct objstore *s = NULL;
	struct error err = {0};
	struct objstore_options o = {.dir = dir};
	assert_int_equal(objstore_open(&o, &s, &err), -EPROTO);
	assert_non_null(strstr(err.msg, "has format 2, this sluice knows up to 1: use a newer sluice"));
}

/** Write for ever, telling each acknowledged value through @fd, until killed. */
static void write_until_killed(int fd)
{
	struct objstore *s = open_store(20);
	int64_t rev = 0;
	for (int i = 0;; i++) {
		if (write_value(s, "a", rev, false, i, &rev) < 0)
			_exit(1);
		if (file_write_all(fd, &i, sizeof i) < 0)
			_exit(0);
	}
}

static void test_kill_9_loses_nothing_acknowledged(void **state)
{
	(void)state;
	int64_t last_revision = 0;
	for (int round = 0; round < 3; round++) {
		int pipe_fds[2];
		assert_int_equal(pipe(pipe_fds), 0);
		pid_t pid = fork();
		if (pid == 0) {
			(void)close(pipe_fds[0]);
			struct objstore *s = open_store(0);
			struct objstore_key key = {"", "configmaps", "default", "a"};
			int64_t rev = 0, removed = 0;
			char *text = NULL;
			if (objstore_get(s, &key, &text, NULL, &rev, NULL) == 0)
				(void)write_value(s, "a", rev, true, 0, &removed);
			free(text);
			objstore_close(s);
			write_until_killed(pipe_fds[1]);
		}
		(void)close(pipe_fds[1]);
		int acked = -1, want = 20 + round * 13;
		while (acked < want)
			assert_int_equal(read(pipe_fds[0], &acked, sizeof acked), sizeof acked);
		(void)kill(pid, SIGKILL);
		for (int v; read(pipe_fds[0], &v, sizeof v) == sizeof v;)
			acked = v;
		(void)close(pipe_fds[0]);
		assert_int_equal(waitpid(pid, NULL, 0), pid);

		struct objstore *s = open_store(0);
		CLEANUP(free_p) char *text = NULL;
		struct objstore_key key = {"", "configmaps", "default", "a"};
		assert_int_equal(objstore_get(s, &key, &text, NULL, NULL, NULL), 0);
		int value = -1;
		assert_int_equal(sscanf(strstr(text, "\"v\":"), "\"v\":%d", &value), 1);
		assert_true(value == acked || value == acked + 1); /* the one in flight may have made it */
		assert_true(objstore_revision(s) > last_revision);
		last_revision = objstore_revision(s);
		objstore_close(s);
	}
}

struct counter {
	int64_t last;
	size_t n;
	bool disorder;
};

static void count_commits(void *ctx, struct objstore_event *const *events, size_t n)
{
	struct counter *c = ctx;
	for (size_t i = 0; i < n; i++) {
		c->disorder |= events[i]->revision != c->last + 1;
		c->last = events[i]->revision;
		c->n++;
	}
}

#define THREADS    8
#define PER_THREAD 25

struct worker {
	struct objstore *s;
	int id, failed;
};

static void *work(void *arg)
{
	struct worker *w = arg;
	char name[16];
	for (int i = 0; i < PER_THREAD; i++) {
		int64_t rev = 0;
		(void)snprintf(name, sizeof name, "t%d-%d", w->id, i);
		w->failed += write_value(w->s, name, 0, false, i, &rev) < 0;
	}
	return NULL;
}

static void test_many_writers_one_order(void **state)
{
	(void)state;
	struct counter c = {0};
	struct objstore *s = NULL;
	struct objstore_options o = {.dir = dir, .on_commit = count_commits, .ctx = &c};
	assert_int_equal(objstore_open(&o, &s, NULL), 0);
	pthread_t threads[THREADS];
	struct worker workers[THREADS];
	for (int i = 0; i < THREADS; i++) {
		workers[i] = (struct worker){.s = s, .id = i};
		assert_int_equal(pthread_create(&threads[i], NULL, work, &workers[i]), 0);
	}
	for (int i = 0; i < THREADS; i++) {
		(void)pthread_join(threads[i], NULL);
		assert_int_equal(workers[i].failed, 0);
	}
	assert_false(c.disorder);
	assert_int_equal(c.n, THREADS * PER_THREAD);
	assert_int_equal(objstore_revision(s), THREADS * PER_THREAD);
	objstore_close(s);
}

#define READ_NS (40 * NSEC_PER_SEC / 1000)

/** Readers that overlap, so that the store is never without one, each for longer than a few commits last. */
struct relay {
	struct objstore *s;
	pthread_mutex_t lock;
	pthread_cond_t stopped;
	bool stop;
};

static int read_slowly(void *ctx, const struct objstore_item *item)
{
	struct relay *r = ctx;
	struct timespec until;
	(void)item;
	(void)clock_gettime(CLOCK_REALTIME, &until);
	until.tv_nsec += READ_NS;
	until.tv_sec += until.tv_nsec / NSEC_PER_SEC;
	until.tv_nsec %= NSEC_PER_SEC;
	pthread_mutex_lock(&r->lock);
	while (!r->stop && pthread_cond_timedwait(&r->stopped, &r->lock, &until) == 0)
		;
	const bool stop = r->stop;
	pthread_mutex_unlock(&r->lock);
	return stop ? -ECANCELED : 0;
}

static void *read_for_ever(void *arg)
{
	struct relay *r = arg;
	struct objstore_range range = {.group = "", .plural = "configmaps", .limit = 1};
	while (objstore_list(r->s, &range, read_slowly, r, NULL, NULL, NULL) == 0)
		;
	return NULL;
}

static int64_t size_of(const char *name)
{
	CLEANUP(free_p) char *path = str_printf("%s/%s", dir, name);
	struct stat st = {0};
	return stat(path, &st) == 0 ? st.st_size : -1;
}

static void test_readers_do_not_make_the_log_grow(void **state)
{
	(void)state;
	struct relay relay = {
		.s = open_store(50), .lock = PTHREAD_MUTEX_INITIALIZER, .stopped = PTHREAD_COND_INITIALIZER};
	pthread_t readers[5];
	int64_t rev = 0;
	assert_int_equal(write_value(relay.s, "a", 0, false, 0, &rev), 0);
	for (size_t i = 0; i < ARRAY_LEN(readers); i++)
		assert_int_equal(pthread_create(&readers[i], NULL, read_for_ever, &relay), 0);
	CLEANUP(free_p) char *text = calloc(1, 400001);
	assert_non_null(text);
	memset(text, 'x', 400000);
	rev = 0;
	for (int i = 0; i < 150; i++) { /* 60 MB */
		struct objstore_write w = {.key = {"", "configmaps", "default", "b"},
					   .expect = rev,
					   .data = text,
					   .n = 400000,
					   .revision_at = 0};
		assert_int_equal(objstore_write(relay.s, &w, &rev, NULL), 0);
	}
	pthread_mutex_lock(&relay.lock);
	relay.stop = true;
	pthread_cond_broadcast(&relay.stopped);
	pthread_mutex_unlock(&relay.lock);
	for (size_t i = 0; i < ARRAY_LEN(readers); i++)
		(void)pthread_join(readers[i], NULL);
	assert_in_range(size_of("store.db-wal"), 1, 20 << 20);
	objstore_close(relay.s);
	assert_int_equal(size_of("store.db-wal"), -1); /* all of it is in the database */
}

#define CASE(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		CASE(test_expectations),
		CASE(test_history),
		CASE(test_compaction_keeps_what_can_be_replayed),
		CASE(test_pages_show_one_moment),
		CASE(test_second_process_is_refused),
		CASE(test_newer_format_is_refused),
		CASE(test_kill_9_loses_nothing_acknowledged),
		CASE(test_many_writers_one_order),
		CASE(test_readers_do_not_make_the_log_grow),
	};
	return cmocka_run_group_tests_name("store", tests, NULL, NULL);
}
