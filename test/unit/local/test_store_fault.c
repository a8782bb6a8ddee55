/*
 * The store on a bad disk: each write, sync and truncation fails once in turn; a full disk; what a crash may leave of the files. A layer below
 * SQLite makes the failures.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <pthread.h>
#include <sqlite3.h>
#include <stdio.h>
#include <sys/stat.h>

#include "base/cleanup.h"
#include "base/error.h"
#include "base/file.h"
#include "base/str.h"
#include "local/store.h"

/* ---- a disk that fails ---- */

enum disk_op { DISK_WRITE, DISK_SYNC, DISK_TRUNCATE, DISK_SHM, DISK_READ };

static pthread_mutex_t disk_lock = PTHREAD_MUTEX_INITIALIZER; /* guards disk */
static struct {
	enum disk_op op;
	long left; /* operations until the failure; negative: none is planned */
	int code;  /* SQLite's */
	bool for_ever, hit;
} disk = {.left = -1};

static void disk_plan(enum disk_op op, long n, int code, bool for_ever)
{
	pthread_mutex_lock(&disk_lock);
	disk.op = op;
	disk.left = n;
	disk.code = code;
	disk.for_ever = for_ever;
	disk.hit = false;
	pthread_mutex_unlock(&disk_lock);
}

static bool disk_heal(void)
{
	pthread_mutex_lock(&disk_lock);
	disk.left = -1;
	bool hit = disk.hit;
	pthread_mutex_unlock(&disk_lock);
	return hit;
}

static int disk_result(enum disk_op op)
{
	int rc = SQLITE_OK;
	pthread_mutex_lock(&disk_lock);
	if (disk.left >= 0 && disk.op == op) {
		if (disk.left == 0) {
			rc = disk.code;
			disk.hit = true;
		}
		if (disk.left > 0 || !disk.for_ever)
			disk.left--;
	}
	pthread_mutex_unlock(&disk_lock);
	return rc;
}

struct disk_file {
	sqlite3_file base;
	sqlite3_file *real; /* behind this struct */
};

#define REAL(f) (((struct disk_file *)(f))->real)

static int disk_close(sqlite3_file *f)
{
	return REAL(f)->pMethods->xClose(REAL(f));
}

static int disk_read(sqlite3_file *f, void *p, int n, sqlite3_int64 at)
{
	int rc = disk_result(DISK_READ);
	return rc != SQLITE_OK ? rc : REAL(f)->pMethods->xRead(REAL(f), p, n, at);
}

/** A write that fails has written a half of it. */
static int disk_write(sqlite3_file *f, const void *p, int n, sqlite3_int64 at)
{
	int rc = disk_result(DISK_WRITE);
	if (rc != SQLITE_OK) {
		(void)REAL(f)->pMethods->xWrite(REAL(f), p, n / 2, at);
		return rc;
	}
	return REAL(f)->pMethods->xWrite(REAL(f), p, n, at);
}

static int disk_truncate(sqlite3_file *f, sqlite3_int64 size)
{
	int rc = disk_result(DISK_TRUNCATE);
	return rc != SQLITE_OK ? rc : REAL(f)->pMethods->xTruncate(REAL(f), size);
}

static int disk_sync(sqlite3_file *f, int flags)
{
	int rc = disk_result(DISK_SYNC);
	return rc != SQLITE_OK ? rc : REAL(f)->pMethods->xSync(REAL(f), flags);
}

static int disk_size(sqlite3_file *f, sqlite3_int64 *ret)
{
	return REAL(f)->pMethods->xFileSize(REAL(f), ret);
}

static int disk_file_lock(sqlite3_file *f, int how)
{
	return REAL(f)->pMethods->xLock(REAL(f), how);
}

static int disk_unlock(sqlite3_file *f, int how)
{
	return REAL(f)->pMethods->xUnlock(REAL(f), how);
}

static int disk_reserved(sqlite3_file *f, int *ret)
{
	return REAL(f)->pMethods->xCheckReservedLock(REAL(f), ret);
}

static int disk_control(sqlite3_file *f, int op, void *arg)
{
	return REAL(f)->pMethods->xFileControl(REAL(f), op, arg);
}

static int disk_sector(sqlite3_file *f)
{
	return REAL(f)->pMethods->xSectorSize(REAL(f));
}

static int disk_traits(sqlite3_file *f)
{
	return REAL(f)->pMethods->xDeviceCharacteristics(REAL(f));
}

static int disk_shm_map(sqlite3_file *f, int page, int size, int extend, void volatile **ret)
{
	int rc = disk_result(DISK_SHM);
	return rc != SQLITE_OK ? rc : REAL(f)->pMethods->xShmMap(REAL(f), page, size, extend, ret);
}

static int disk_shm_lock(sqlite3_file *f, int at, int n, int flags)
{
	return REAL(f)->pMethods->xShmLock(REAL(f), at, n, flags);
}

static void disk_shm_barrier(sqlite3_file *f)
{
	REAL(f)->pMethods->xShmBarrier(REAL(f));
}

static int disk_shm_unmap(sqlite3_file *f, int delete)
{
	return REAL(f)->pMethods->xShmUnmap(REAL(f), delete);
}

static const sqlite3_io_methods disk_methods = {
	.iVersion = 2,
	.xClose = disk_close,
	.xRead = disk_read,
	.xWrite = disk_write,
	.xTruncate = disk_truncate,
	.xSync = disk_sync,
	.xFileSize = disk_size,
	.xLock = disk_file_lock,
	.xUnlock = disk_unlock,
	.xCheckReservedLock = disk_reserved,
	.xFileControl = disk_control,
	.xSectorSize = disk_sector,
	.xDeviceCharacteristics = disk_traits,
	.xShmMap = disk_shm_map,
	.xShmLock = disk_shm_lock,
	.xShmBarrier = disk_shm_barrier,
	.xShmUnmap = disk_shm_unmap,
};

static sqlite3_vfs *real_vfs;

static int disk_open(sqlite3_vfs *vfs, const char *name, sqlite3_file *f, int flags, int *ret_flags)
{
	(void)vfs;
	struct disk_file *d = (struct disk_file *)f;
	d->real = (sqlite3_file *)(d + 1);
	int rc = real_vfs->xOpen(real_vfs, name, d->real, flags, ret_flags);
	d->base.pMethods = d->real->pMethods != NULL ? &disk_methods : NULL;
	return rc;
}

static int disk_setup(void **state)
{
	(void)state;
	static sqlite3_vfs vfs;
	real_vfs = sqlite3_vfs_find(NULL);
	vfs = *real_vfs;
	vfs.szOsFile = real_vfs->szOsFile + (int)sizeof(struct disk_file);
	vfs.zName = "disk";
	vfs.xOpen = disk_open;
	return sqlite3_vfs_register(&vfs, 1) == SQLITE_OK ? 0 : -1;
}

/* ---- a store and what it should hold ---- */

#define OBJECTS  8
#define TEXT_MAX 100000

static char dir[64];
static int64_t told[OBJECTS]; /* revision of each object; 0: it is not there */

/** In memory where that can be: the failures are ours, and there are many rounds. */
static int make_directory(void)
{
	(void)snprintf(dir, sizeof dir, "%s/sluice-test-store-XXXXXX", file_exists("/dev/shm") ? "/dev/shm" : "/tmp");
	return mkdtemp(dir) != NULL ? 0 : -1;
}

static int setup(void **state)
{
	(void)state;
	memset(told, 0, sizeof told);
	return make_directory();
}

static int teardown(void **state)
{
	(void)state;
	(void)disk_heal();
	return file_remove_all(dir, NULL);
}

static int try_open(struct objstore **ret, struct error *err)
{
	struct objstore_options o = {.dir = dir, .history = 20};
	return objstore_open(&o, ret, err);
}

static struct objstore *open_store(void)
{
	struct objstore *s = NULL;
	struct error err = {0};
	if (try_open(&s, &err) < 0)
		fail_msg("%s", err.msg);
	return s;
}

static int write_object(struct objstore *s, int i, size_t n, struct error *err)
{
	static const char head[] = "{\"rv\":\"\",\"v\":\"";
	char name[16];
	CLEANUP(free_p) char *text = malloc(sizeof head + n + 3);
	assert_non_null(text);
	(void)snprintf(name, sizeof name, "o%d", i);
	memcpy(text, head, sizeof head - 1);
	memset(text + sizeof head - 1, 'x', n);
	memcpy(text + sizeof head - 1 + n, "\"}", 3);
	struct objstore_write w = {.key = {"", "configmaps", "default", name},
				   .expect = told[i],
				   .data = text,
				   .n = sizeof head - 1 + n + 2,
				   .revision_at = 7};
	int64_t revision = 0;
	int rc = objstore_write(s, &w, &revision, err);
	if (rc == 0) {
		assert_true(revision > told[i]);
		told[i] = revision;
	}
	return rc;
}

static int see(void *ctx, const struct objstore_item *item)
{
	int64_t *there = ctx;
	int64_t in_text = 0;
	int i = item->name[1] - '0';
	there[i] = item->revision;
	CLEANUP(free_p) char *digits = strndup(item->data + 7, strcspn(item->data + 7, "\""));
	assert_int_equal(str_to_i64(digits, &in_text), 0);
	assert_int_equal(in_text, item->revision);
	return 0;
}

/** The store holds what was told, nothing else. */
static void check(struct objstore *s)
{
	int64_t there[OBJECTS] = {0};
	struct objstore_range r = {.group = "", .plural = "configmaps"};
	struct error err = {0};
	if (objstore_list(s, &r, see, there, NULL, NULL, &err) < 0)
		fail_msg("%s", err.msg);
	assert_memory_equal(there, told, sizeof told);
}

static void check_file(void)
{
	CLEANUP(free_p) char *path = str_printf("%s/store.db", dir);
	sqlite3 *db = NULL;
	sqlite3_stmt *st = NULL;
	assert_int_equal(sqlite3_open(path, &db), SQLITE_OK);
	assert_int_equal(sqlite3_prepare_v2(db, "PRAGMA integrity_check", -1, &st, NULL), SQLITE_OK);
	assert_int_equal(sqlite3_step(st), SQLITE_ROW);
	assert_string_equal((const char *)sqlite3_column_text(st, 0), "ok");
	(void)sqlite3_finalize(st);
	(void)sqlite3_close(db);
}

/* ---- failures ---- */

/** One run with the failure planned. True when it came. */
static bool survive(int code)
{
	struct objstore *s = NULL;
	struct error err = {0};
	int rc = try_open(&s, &err), failures = 0;
	for (int i = 0; rc == 0 && i < 24; i++) {
		rc = write_object(s, i % OBJECTS, i % 5 == 0 ? TEXT_MAX : 300, &err);
		if (rc < 0) {
			failures++;
			assert_int_equal(rc, code == SQLITE_FULL ? -ENOSPC : -EIO);
			assert_int_equal(strncmp(err.msg, "store: ", 7), 0);
			check(s);
			rc = 0;
		}
	}
	assert_true(failures <= 1);
	bool hit = disk_heal();
	assert_true(hit || (rc == 0 && failures == 0));
	if (s != NULL)
		check(s);
	objstore_close(s);
	return hit;
}

static void test_each_operation_fails_once(void **state)
{
	(void)state;
	static const struct {
		enum disk_op op;
		int code;
	} cases[] = {
		{DISK_WRITE, SQLITE_FULL},        {DISK_WRITE, SQLITE_IOERR_WRITE},
		{DISK_SYNC, SQLITE_IOERR_FSYNC},  {DISK_TRUNCATE, SQLITE_IOERR_TRUNCATE},
		{DISK_SHM, SQLITE_IOERR_SHMSIZE},
	};
	for (size_t k = 0; k < ARRAY_LEN(cases); k++) {
		bool hit = true;
		/* Every place of the beginning, then fewer and fewer of the many alike. */
		for (long n = 0; hit; n += 1 + n / 12) {
			assert_int_equal(setup(NULL), 0);
			disk_plan(cases[k].op, n, cases[k].code, false);
			hit = survive(cases[k].code);
			struct objstore *s = open_store(); /* whatever happened */
			check(s);
			assert_int_equal(write_object(s, 0, 10, NULL), 0);
			objstore_close(s);
			check_file();
			assert_int_equal(teardown(NULL), 0);
		}
	}
}

static void test_full_disk(void **state)
{
	(void)state;
	struct objstore *s = open_store();
	struct error err = {0};
	assert_int_equal(write_object(s, 0, 100, NULL), 0);
	disk_plan(DISK_WRITE, 0, SQLITE_FULL, true);
	for (int i = 0; i < 5; i++) {
		assert_int_equal(write_object(s, i, 100, &err), -ENOSPC);
		assert_non_null(strstr(err.msg, "database or disk is full"));
		check(s);
	}
	assert_true(disk_heal());
	int64_t before = objstore_revision(s);
	assert_int_equal(write_object(s, 0, 100, NULL), 0);
	assert_int_equal(told[0], before + 1);
	check(s);
	objstore_close(s);
	check_file();
}

static void test_disk_cannot_be_read(void **state)
{
	(void)state;
	struct objstore *s = open_store();
	struct error err = {0};
	for (int i = 0; i < OBJECTS; i++)
		assert_int_equal(write_object(s, i, TEXT_MAX, NULL), 0);
	disk_plan(DISK_READ, 0, SQLITE_IOERR_READ, true);
	struct objstore_range r = {.group = "", .plural = "configmaps"};
	int64_t there[OBJECTS] = {0};
	assert_int_equal(objstore_list(s, &r, see, there, NULL, NULL, &err), -EIO);
	assert_non_null(strstr(err.msg, "disk I/O error"));
	assert_true(disk_heal());
	check(s);
	objstore_close(s);
}

/* ---- what a crash leaves ---- */

static void copy_file(const char *from, const char *to, const char *name, size_t max)
{
	CLEANUP(free_p) char *a = str_printf("%s/%s", from, name);
	CLEANUP(free_p) char *b = str_printf("%s/%s", to, name);
	CLEANUP(free_p) char *text = NULL;
	size_t n = 0;
	assert_int_equal(file_read(a, 64u << 20, &text, &n, NULL), 0);
	assert_int_equal(file_write_atomic(b, 0600, text, n < max ? n : max, NULL), 0);
}

/** Open the store in @dir: it holds the writes up to some moment, one after another, and takes new ones. Returns its revision. */
static int64_t check_prefix(size_t at)
{
	struct objstore *s = NULL;
	struct error err = {0};
	if (try_open(&s, &err) < 0)
		fail_msg("log cut at %zu: %s", at, err.msg);
	int64_t there[OBJECTS] = {0}, last = objstore_revision(s);
	struct objstore_range r = {.group = "", .plural = "configmaps"};
	assert_int_equal(objstore_list(s, &r, see, there, NULL, NULL, NULL), 0);
	for (int i = 0; i < OBJECTS; i++) {
		int64_t newest =
			0; /* the writes went round: object i has the last revision that is i + 1 modulo their number */
		for (int64_t v = i + 1; v <= last; v += OBJECTS)
			newest = v;
		if (there[i] != newest)
			fail_msg("log cut at %zu, revision %lld: o%d is at %lld", at, (long long)last, i,
				 (long long)there[i]);
	}
	memcpy(told, there, sizeof told);
	assert_int_equal(write_object(s, 0, 10, &err), 0);
	assert_int_equal(told[0], last + 1);
	check(s);
	objstore_close(s);
	return last;
}

static void test_any_rest_of_the_log(void **state)
{
	(void)state;
	char origin[64];
	struct objstore *s = open_store();
	for (int i = 0; i < 20; i++)
		assert_int_equal(write_object(s, i % OBJECTS, (size_t)i * 300, NULL), 0);
	memcpy(origin, dir, sizeof dir);
	CLEANUP(free_p) char *log = str_printf("%s/store.db-wal", origin);
	struct stat st = {0};
	assert_int_equal(stat(log, &st), 0);
	assert_true(st.st_size > 20000);
	int64_t last = 0;
	for (size_t at = 0; at <= (size_t)st.st_size; at += 1531) {
		assert_int_equal(make_directory(), 0);
		copy_file(origin, dir, "store.db", SIZE_MAX);
		copy_file(origin, dir, "store.db-wal", at);
		if (at % 2 == 0) /* an index of the log that knows more than there is, or none */
			copy_file(origin, dir, "store.db-shm", SIZE_MAX);
		int64_t revision = check_prefix(at);
		assert_true(revision >= last);
		last = revision;
		assert_int_equal(file_remove_all(dir, NULL), 0);
	}
	assert_true(last >= 19);
	memcpy(dir, origin, sizeof dir);
	objstore_close(s);
}

static void test_a_flipped_bit_in_the_log(void **state)
{
	(void)state;
	char origin[64];
	struct objstore *s = open_store();
	for (int i = 0; i < 12; i++)
		assert_int_equal(write_object(s, i % OBJECTS, 500, NULL), 0);
	memcpy(origin, dir, sizeof dir);
	CLEANUP(free_p) char *log = str_printf("%s/store.db-wal", origin);
	CLEANUP(free_p) char *text = NULL;
	size_t n = 0;
	assert_int_equal(file_read(log, 64u << 20, &text, &n, NULL), 0);
	for (size_t at = 40; at < n; at += n / 17) {
		assert_int_equal(make_directory(), 0);
		copy_file(origin, dir, "store.db", SIZE_MAX);
		CLEANUP(free_p) char *path = str_printf("%s/store.db-wal", dir);
		text[at] = (char)(text[at] ^ 4);
		assert_int_equal(file_write_atomic(path, 0600, text, n, NULL), 0);
		text[at] = (char)(text[at] ^ 4);
		(void)check_prefix(at);
		assert_int_equal(file_remove_all(dir, NULL), 0);
	}
	memcpy(dir, origin, sizeof dir);
	objstore_close(s);
}

static void test_an_empty_file_is_a_new_store(void **state)
{
	(void)state;
	CLEANUP(free_p) char *path = str_printf("%s/store.db", dir);
	assert_int_equal(file_write_atomic(path, 0600, "", 0, NULL), 0);
	struct objstore *s = open_store();
	assert_int_equal(objstore_revision(s), 0);
	assert_int_equal(write_object(s, 0, 10, NULL), 0);
	objstore_close(s);
}

static void test_what_is_no_database_is_refused(void **state)
{
	(void)state;
	CLEANUP(free_p) char *path = str_printf("%s/store.db", dir);
	char text[4096];
	memset(text, 'n', sizeof text);
	assert_int_equal(file_write_atomic(path, 0600, text, sizeof text, NULL), 0);
	struct objstore *s = NULL;
	struct error err = {0};
	assert_int_equal(try_open(&s, &err), -EIO);
	assert_non_null(strstr(err.msg, "file is not a database"));
	assert_non_null(strstr(err.msg, path));
}

#define CASE(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_each_operation_fails_once),
		CASE(test_full_disk),
		CASE(test_disk_cannot_be_read),
		CASE(test_any_rest_of_the_log),
		CASE(test_a_flipped_bit_in_the_log),
		CASE(test_an_empty_file_is_a_new_store),
		CASE(test_what_is_no_database_is_refused),
	};
	return cmocka_run_group_tests_name("store_fault", tests, disk_setup, NULL);
}
