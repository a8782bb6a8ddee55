/* The store: opening, the format, the lock, and the writer's counterpart for events. Reading is in objstore_read.c, writing in objstore_write.c. */
#include "local/store.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/file.h>
#include <sys/stat.h>

#include "base/cleanup.h"
#include "base/error.h"
#include "base/file.h"
#include "base/str.h"
#include "local/store_internal.h"

#define FORMAT          1
#define APPLICATION_ID  0x536c7563 /* "Sluc" */
#define DEFAULT_HISTORY 10000

/*
 * `event` is the log of changes and holds all bytes; `object` says which event is an object's present state. A row of `event` goes once
 * the event that replaced it is compacted, so that each event that may be replayed still finds what it replaced.
 */
static const char schema_sql[] =
	"CREATE TABLE IF NOT EXISTS meta (key TEXT PRIMARY KEY, value INTEGER NOT NULL) WITHOUT ROWID;"
	"CREATE TABLE IF NOT EXISTS event (rev INTEGER PRIMARY KEY, type INTEGER NOT NULL, grp TEXT NOT NULL, plural "
	"TEXT NOT NULL,"
	" ns TEXT NOT NULL, name TEXT NOT NULL, prev INTEGER NOT NULL, data BLOB NOT NULL);"
	"CREATE TABLE IF NOT EXISTS object (grp TEXT NOT NULL, plural TEXT NOT NULL, ns TEXT NOT NULL, name TEXT NOT "
	"NULL,"
	" rev INTEGER NOT NULL, PRIMARY KEY (grp, plural, ns, name)) WITHOUT ROWID;"
	"INSERT OR IGNORE INTO meta VALUES ('compacted', 0);";

int objstore_sql_error(sqlite3 *db, int rc, const char *what, struct error *err)
{
	int code = -EIO;
	switch (rc & 0xff) {
	case SQLITE_FULL:
		code = -ENOSPC;
		break;
	case SQLITE_NOMEM:
		code = -ENOMEM;
		break;
	case SQLITE_READONLY:
		code = -EROFS;
		break;
	case SQLITE_CANTOPEN:
	case SQLITE_PERM:
		code = -EACCES;
		break;
	default:
		break;
	}
	return error_set(err, code, "store: %s: %s", what, db != NULL ? sqlite3_errmsg(db) : sqlite3_errstr(rc));
}

void objstore_bind_text(sqlite3_stmt *st, int at, const char *s)
{
	(void)sqlite3_bind_text(st, at, s, -1, SQLITE_STATIC); /* a wrong index would fail the step that follows */
}

struct objstore_event *objstore_event_new(int64_t revision, enum objstore_change type, const struct objstore_key *key,
					  const void *data, size_t n, const void *prev, size_t prev_n)
{
	const char *names[] = {key->group, key->plural, key->ns, key->name};
	size_t total = sizeof(struct objstore_event) + n + 1 + prev_n + 1;
	for (size_t i = 0; i < ARRAY_LEN(names); i++)
		total += strlen(names[i]) + 1;
	struct objstore_event *e = malloc(total);
	if (e == NULL)
		return NULL;

	char *at = (char *)(e + 1);
	const char *copies[ARRAY_LEN(names)];
	for (size_t i = 0; i < ARRAY_LEN(names); i++) {
		size_t k = strlen(names[i]) + 1;
		memcpy(at, names[i], k);
		copies[i] = at;
		at += k;
	}
	*e = (struct objstore_event){
		.revision = revision, .type = type, .key = {copies[0], copies[1], copies[2], copies[3]}, .n = n};
	atomic_init(&e->refs, 1);
	e->data = at;
	memcpy(at, data, n);
	at[n] = '\0';
	if (prev != NULL) {
		at += n + 1;
		e->prev = at;
		e->prev_n = prev_n;
		memcpy(at, prev, prev_n);
		at[prev_n] = '\0';
	}
	return e;
}

struct objstore_event *objstore_event_ref(struct objstore_event *e)
{
	atomic_fetch_add_explicit(&e->refs, 1, memory_order_relaxed);
	return e;
}

struct objstore_event *objstore_event_unref(struct objstore_event *e)
{
	if (e != NULL && atomic_fetch_sub_explicit(&e->refs, 1, memory_order_acq_rel) == 1)
		free(e);
	return NULL;
}

static int lock_directory(const char *dir, int *ret_fd, struct error *err)
{
	CLEANUP(free_p) char *path = str_printf("%s/lock", dir);
	if (path == NULL)
		return error_set(err, -ENOMEM, "store: out of memory");
	CLEANUP(close_fd) int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
	if (fd < 0)
		return error_set(err, -errno, "store: open '%s': %s", path, strerror(errno));
	if (flock(fd, LOCK_EX | LOCK_NB) < 0) {
		char pid[32] = "";
		ssize_t n = pread(fd, pid, sizeof pid - 1, 0);
		if (n > 0)
			pid[strcspn(pid, "\n")] = '\0';
		return error_set(err, -EBUSY,
				 "store: '%s' is in use by process %s; stop it, or choose another data directory", dir,
				 pid[0] != '\0' ? pid : "(unknown)");
	}
	char pid[32];
	int n = snprintf(pid, sizeof pid, "%ld\n", (long)getpid());
	if (ftruncate(fd, 0) < 0 || pwrite(fd, pid, (size_t)n, 0) != n)
		return error_set(err, -EIO, "store: write '%s': %s", path, strerror(errno));
	*ret_fd = TAKE_FD(fd);
	return 0;
}

int objstore_connect(const char *path, bool write, sqlite3 **ret, struct error *err)
{
	sqlite3 *db = NULL;
	int flags = SQLITE_OPEN_READWRITE | SQLITE_OPEN_NOMUTEX | (write ? SQLITE_OPEN_CREATE : 0);
	int rc = sqlite3_open_v2(path, &db, flags, NULL);
	if (rc == SQLITE_OK) {
		(void)sqlite3_extended_result_codes(db, 1);
		(void)sqlite3_busy_timeout(db, 10000); /* a reader may meet the end of a recovery */
		rc = sqlite3_exec(db,
				  "PRAGMA journal_mode=WAL; PRAGMA synchronous=FULL; PRAGMA "
				  "temp_store=MEMORY; PRAGMA wal_autocheckpoint=0; PRAGMA journal_size_limit=16777216;",
				  NULL, NULL, NULL);
	}
	if (rc == SQLITE_OK)
		rc = sqlite3_exec(db, write ? "PRAGMA cache_size=-8192" : "PRAGMA cache_size=-2048", NULL, NULL, NULL);
	if (rc != SQLITE_OK) {
		int code = objstore_sql_error(db, rc, path, err);
		(void)sqlite3_close_v2(db);
		return code;
	}
	*ret = db;
	return 0;
}

/** The single integer that @sql yields. */
static int query_int(sqlite3 *db, const char *sql, int64_t *ret, struct error *err)
{
	sqlite3_stmt *st = NULL;
	int rc = sqlite3_prepare_v2(db, sql, -1, &st, NULL);
	if (rc == SQLITE_OK)
		rc = sqlite3_step(st);
	int code = 0;
	if (rc == SQLITE_ROW)
		*ret = sqlite3_column_int64(st, 0);
	else
		code = objstore_sql_error(db, rc, sql, err);
	(void)sqlite3_finalize(st);
	return code;
}

static int prepare_format(struct objstore *s, struct error *err)
{
	int64_t format = 0;
	int rc = query_int(s->db, "PRAGMA user_version", &format, err);
	if (rc < 0)
		return rc;
	if (format > FORMAT)
		return error_set(err, -EPROTO,
				 "store: '%s' has format %lld, this sluice knows up to %d: use a newer sluice", s->path,
				 (long long)format, FORMAT);
	if (format == FORMAT)
		return 0;
	CLEANUP(free_p)
	char *sql = str_printf("BEGIN IMMEDIATE; %s PRAGMA application_id=%d; PRAGMA user_version=%d; COMMIT;",
			       schema_sql, APPLICATION_ID, FORMAT);
	if (sql == NULL)
		return error_set(err, -ENOMEM, "store: out of memory");
	int sr = sqlite3_exec(s->db, sql, NULL, NULL, NULL);
	return sr == SQLITE_OK ? 0 : objstore_sql_error(s->db, sr, "create tables", err);
}

static int read_position(struct objstore *s, struct error *err)
{
	int64_t revision = 0, compacted = 0;
	int rc = query_int(s->db, "SELECT coalesce(max(rev), 0) FROM event", &revision, err);
	if (rc == 0)
		rc = query_int(s->db, "SELECT value FROM meta WHERE key = 'compacted'", &compacted, err);
	if (rc < 0)
		return rc;
	atomic_store(&s->revision, revision);
	atomic_store(&s->compacted, compacted);
	return 0;
}

static void objstore_close_p(struct objstore **s)
{
	objstore_close(*s);
}

int objstore_open(const struct objstore_options *o, struct objstore **ret, struct error *err)
{
	CLEANUP(objstore_close_p) struct objstore *s = calloc(1, sizeof *s);
	if (s == NULL)
		return error_set(err, -ENOMEM, "store: out of memory");
	s->lock_fd = -1;
	s->history = o->history > 0 ? o->history : DEFAULT_HISTORY;
	s->on_commit = o->on_commit;
	s->ctx = o->ctx;
	s->tail = &s->head;
	(void)pthread_mutex_init(&s->lock, NULL);
	(void)pthread_mutex_init(&s->readers_lock, NULL);
	(void)pthread_cond_init(&s->work, NULL);
	(void)pthread_cond_init(&s->done, NULL);
	(void)pthread_cond_init(&s->reader_free, NULL);

	int rc = file_mkdir_all(o->dir, 0700, err);
	if (rc < 0)
		return rc;
	s->path = str_printf("%s/store.db", o->dir);
	if (s->path == NULL)
		return error_set(err, -ENOMEM, "store: out of memory");
	rc = lock_directory(o->dir, &s->lock_fd, err);
	if (rc == 0) {
		mode_t old = umask(0077); /* secrets lie in it */
		rc = objstore_connect(s->path, true, &s->db, err);
		(void)umask(old);
	}
	if (rc == 0)
		rc = prepare_format(s, err);
	if (rc == 0)
		rc = read_position(s, err);
	if (rc == 0)
		rc = objstore_writer_start(s, err);
	if (rc < 0)
		return rc;
	*ret = TAKE(s);
	return 0;
}

void objstore_close(struct objstore *s)
{
	if (s == NULL)
		return;
	objstore_writer_stop(s);
	objstore_readers_close(s);
	(void)sqlite3_close_v2(s->db); /* last, so that the log is folded into the file */
	(void)pthread_cond_destroy(&s->reader_free);
	(void)pthread_cond_destroy(&s->done);
	(void)pthread_cond_destroy(&s->work);
	(void)pthread_mutex_destroy(&s->readers_lock);
	(void)pthread_mutex_destroy(&s->lock);
	if (s->lock_fd >= 0)
		(void)close(s->lock_fd);
	free(s->path);
	free(s);
}

int64_t objstore_revision(struct objstore *s)
{
	return atomic_load(&s->revision);
}

int64_t objstore_compacted(struct objstore *s)
{
	return atomic_load(&s->compacted);
}
