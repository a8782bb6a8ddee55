/* Reading the store: each call uses one of a few connections and sees one moment of the database. */
#include <errno.h>

#include "base/cleanup.h"
#include "base/error.h"
#include "base/str.h"
#include "local/store_internal.h"

static int reader_take(struct objstore *s, sqlite3 **ret, struct error *err)
{
	pthread_mutex_lock(&s->readers_lock);
	while (s->readers_idle == 0 && s->readers_open == STORE_READERS)
		pthread_cond_wait(&s->reader_free, &s->readers_lock);
	sqlite3 *db = NULL;
	if (s->readers_idle > 0)
		db = s->readers[--s->readers_idle];
	else
		s->readers_open++;
	pthread_mutex_unlock(&s->readers_lock);

	int rc = 0;
	if (db == NULL)
		rc = objstore_connect(s->path, false, &db, err);
	if (rc < 0) {
		pthread_mutex_lock(&s->readers_lock);
		s->readers_open--;
		pthread_cond_signal(&s->reader_free);
		pthread_mutex_unlock(&s->readers_lock);
		return rc;
	}
	*ret = db;
	return 0;
}

static void reader_give(struct objstore *s, sqlite3 *db)
{
	pthread_mutex_lock(&s->readers_lock);
	s->readers[s->readers_idle++] = db;
	pthread_cond_signal(&s->reader_free);
	pthread_mutex_unlock(&s->readers_lock);
}

/** A connection inside a read transaction. */
static int reader_begin(struct objstore *s, sqlite3 **ret, struct error *err)
{
	sqlite3 *db = NULL;
	int rc = reader_take(s, &db, err);
	if (rc < 0)
		return rc;
	int sr = sqlite3_exec(db, "BEGIN", NULL, NULL, NULL);
	if (sr != SQLITE_OK) {
		rc = objstore_sql_error(db, sr, "begin to read", err);
		reader_give(s, db);
		return rc;
	}
	*ret = db;
	return 0;
}

static void reader_end(struct objstore *s, sqlite3 *db)
{
	(void)sqlite3_exec(db, "COMMIT", NULL, NULL, NULL); /* nothing was written */
	reader_give(s, db);
}

static void finalize_p(sqlite3_stmt **st)
{
	(void)sqlite3_finalize(*st);
}

static int prepare(sqlite3 *db, const char *sql, sqlite3_stmt **ret, struct error *err)
{
	int rc = sqlite3_prepare_v2(db, sql, -1, ret, NULL);
	return rc == SQLITE_OK ? 0 : objstore_sql_error(db, rc, "prepare", err);
}

/** Newest and compacted revision as this transaction sees them. */
static int position(sqlite3 *db, int64_t *ret_revision, int64_t *ret_compacted, struct error *err)
{
	CLEANUP(finalize_p) sqlite3_stmt *st = NULL;
	int rc = prepare(
		db,
		"SELECT (SELECT coalesce(max(rev), 0) FROM event), (SELECT value FROM meta WHERE key = 'compacted')",
		&st, err);
	if (rc < 0)
		return rc;
	int sr = sqlite3_step(st);
	if (sr != SQLITE_ROW)
		return objstore_sql_error(db, sr, "read revision", err);
	*ret_revision = sqlite3_column_int64(st, 0);
	*ret_compacted = sqlite3_column_int64(st, 1);
	return 0;
}

static int get_row(sqlite3 *db, const struct objstore_key *key, char **ret, size_t *ret_n, int64_t *ret_revision,
		   struct error *err)
{
	CLEANUP(finalize_p) sqlite3_stmt *st = NULL;
	int rc = prepare(db,
			 "SELECT e.rev, e.data FROM object o JOIN event e ON e.rev = o.rev"
			 " WHERE o.grp = ?1 AND o.plural = ?2 AND o.ns = ?3 AND o.name = ?4",
			 &st, err);
	if (rc < 0)
		return rc;
	objstore_bind_text(st, 1, key->group);
	objstore_bind_text(st, 2, key->plural);
	objstore_bind_text(st, 3, key->ns);
	objstore_bind_text(st, 4, key->name);
	int sr = sqlite3_step(st);
	if (sr == SQLITE_DONE)
		return error_set(err, -ENOENT, "store: %s '%s' is not there", key->plural, key->name);
	if (sr != SQLITE_ROW)
		return objstore_sql_error(db, sr, "read", err);
	size_t n = (size_t)sqlite3_column_bytes(st, 1);
	char *p = malloc(n + 1);
	if (p == NULL)
		return error_set(err, -ENOMEM, "store: out of memory");
	memcpy(p, sqlite3_column_blob(st, 1), n);
	p[n] = '\0';
	*ret = p;
	if (ret_n != NULL)
		*ret_n = n;
	if (ret_revision != NULL)
		*ret_revision = sqlite3_column_int64(st, 0);
	return 0;
}

int objstore_get(struct objstore *s, const struct objstore_key *key, char **ret, size_t *ret_n, int64_t *ret_revision,
		 struct error *err)
{
	sqlite3 *db = NULL;
	int rc = reader_take(s, &db, err);
	if (rc < 0)
		return rc;
	rc = get_row(db, key, ret, ret_n, ret_revision, err); /* one statement is its own transaction */
	reader_give(s, db);
	return rc;
}

/*
 * The state at revision ?6: what has not changed since, and of what has, the row that the first change after it replaced.
 * ?3 is the namespace or NULL; (?4, ?5) the object to start behind.
 */
#define RANGE_NOW                                                                                                      \
	"FROM object o JOIN event e ON e.rev = o.rev WHERE o.grp = ?1 AND o.plural = ?2 AND (?3 IS NULL OR o.ns = ?3)" \
	" AND (?4 IS NULL OR (o.ns, o.name) > (?4, ?5))"
#define RANGE_THEN                                                                                                     \
	"FROM event f JOIN event e ON e.rev = f.prev WHERE f.rev > ?6 AND f.prev > 0 AND f.prev <= ?6 AND f.grp = ?1 " \
	"AND f.plural = ?2"                                                                                            \
	" AND (?3 IS NULL OR f.ns = ?3) AND (?4 IS NULL OR (f.ns, f.name) > (?4, ?5))"
#define ROW "SELECT e.ns, e.name, e.rev, e.data "

static const char sql_now[] = ROW RANGE_NOW " ORDER BY o.ns, o.name LIMIT ?7";
static const char sql_then[] = ROW RANGE_NOW " AND o.rev <= ?6 UNION ALL " ROW RANGE_THEN " ORDER BY 1, 2 LIMIT ?7";
static const char sql_count_now[] = "SELECT count(*) " RANGE_NOW;
static const char sql_count_then[] =
	"SELECT (SELECT count(*) " RANGE_NOW " AND o.rev <= ?6) + (SELECT count(*) " RANGE_THEN ")";

static void bind_range(sqlite3_stmt *st, const struct objstore_range *r, int64_t at)
{
	objstore_bind_text(st, 1, r->group);
	objstore_bind_text(st, 2, r->plural);
	if (r->ns != NULL && r->ns[0] != '\0')
		objstore_bind_text(st, 3, r->ns);
	if (r->after_name != NULL) {
		objstore_bind_text(st, 4, r->after_ns != NULL ? r->after_ns : "");
		objstore_bind_text(st, 5, r->after_name);
	}
	if (at > 0)
		(void)sqlite3_bind_int64(st, 6, at);
}

static int count_range(sqlite3 *db, const struct objstore_range *r, int64_t at, int64_t *ret, struct error *err)
{
	CLEANUP(finalize_p) sqlite3_stmt *st = NULL;
	int rc = prepare(db, at > 0 ? sql_count_then : sql_count_now, &st, err);
	if (rc < 0)
		return rc;
	bind_range(st, r, at);
	int sr = sqlite3_step(st);
	if (sr != SQLITE_ROW)
		return objstore_sql_error(db, sr, "count", err);
	*ret = sqlite3_column_int64(st, 0);
	return 0;
}

static int walk_range(sqlite3 *db, const struct objstore_range *r, int64_t at,
		      int (*fn)(void *ctx, const struct objstore_item *item), void *ctx, size_t *ret_n,
		      struct error *err)
{
	CLEANUP(finalize_p) sqlite3_stmt *st = NULL;
	int rc = prepare(db, at > 0 ? sql_then : sql_now, &st, err);
	if (rc < 0)
		return rc;
	bind_range(st, r, at);
	(void)sqlite3_bind_int64(st, 7, r->limit > 0 ? (int64_t)r->limit : -1);
	int sr;
	while ((sr = sqlite3_step(st)) == SQLITE_ROW) {
		struct objstore_item item = {
			.ns = (const char *)sqlite3_column_text(st, 0),
			.name = (const char *)sqlite3_column_text(st, 1),
			.revision = sqlite3_column_int64(st, 2),
			.data = sqlite3_column_blob(st, 3),
			.n = (size_t)sqlite3_column_bytes(st, 3),
		};
		++*ret_n;
		rc = fn(ctx, &item);
		if (rc < 0)
			return rc;
	}
	return sr == SQLITE_DONE ? 0 : objstore_sql_error(db, sr, "list", err);
}

static int list_in(sqlite3 *db, const struct objstore_range *r, int (*fn)(void *ctx, const struct objstore_item *item),
		   void *ctx, int64_t *ret_revision, int64_t *ret_remaining, struct error *err)
{
	int64_t revision = 0, compacted = 0;
	int rc = position(db, &revision, &compacted, err);
	if (rc < 0)
		return rc;
	if (r->revision > 0 && r->revision < compacted)
		return error_set(err, -EKEYEXPIRED, "revision %lld is compacted (up to %lld)", (long long)r->revision,
				 (long long)compacted);
	if (r->revision > revision)
		return error_set(err, -ERANGE, "revision %lld is newer than the store's %lld", (long long)r->revision,
				 (long long)revision);
	int64_t at = r->revision == revision ? 0 : r->revision;
	size_t n = 0;
	rc = walk_range(db, r, at, fn, ctx, &n, err);
	if (rc < 0)
		return rc;
	if (ret_remaining != NULL) {
		int64_t total = 0;
		if (r->limit > 0 && n == r->limit && (rc = count_range(db, r, at, &total, err)) < 0)
			return rc;
		*ret_remaining = total > (int64_t)n ? total - (int64_t)n : 0;
	}
	if (ret_revision != NULL)
		*ret_revision = r->revision > 0 ? r->revision : revision;
	return 0;
}

int objstore_list(struct objstore *s, const struct objstore_range *r,
		  int (*fn)(void *ctx, const struct objstore_item *item), void *ctx, int64_t *ret_revision,
		  int64_t *ret_remaining, struct error *err)
{
	sqlite3 *db = NULL;
	int rc = reader_begin(s, &db, err);
	if (rc < 0)
		return rc;
	rc = list_in(db, r, fn, ctx, ret_revision, ret_remaining, err);
	reader_end(s, db);
	return rc;
}

static int history_in(sqlite3 *db, const char *group, const char *plural, int64_t from, int64_t to,
		      int (*fn)(void *ctx, struct objstore_event *e), void *ctx, struct error *err)
{
	int64_t revision = 0, compacted = 0;
	int rc = position(db, &revision, &compacted, err);
	if (rc < 0)
		return rc;
	if (from < compacted)
		return error_set(err, -EKEYEXPIRED, "too old resource version: %lld (%lld)", (long long)from,
				 (long long)compacted);
	CLEANUP(finalize_p) sqlite3_stmt *st = NULL;
	rc = prepare(
		db,
		"SELECT e.rev, e.type, e.ns, e.name, e.data, p.data FROM event e LEFT JOIN event p ON p.rev = e.prev"
		" WHERE e.rev > ?1 AND e.rev <= ?2 AND e.grp = ?3 AND e.plural = ?4 ORDER BY e.rev",
		&st, err);
	if (rc < 0)
		return rc;
	(void)sqlite3_bind_int64(st, 1, from);
	(void)sqlite3_bind_int64(st, 2, to);
	objstore_bind_text(st, 3, group);
	objstore_bind_text(st, 4, plural);
	int sr;
	while ((sr = sqlite3_step(st)) == SQLITE_ROW) {
		struct objstore_key key = {group, plural, (const char *)sqlite3_column_text(st, 2),
					   (const char *)sqlite3_column_text(st, 3)};
		struct objstore_event *e =
			objstore_event_new(sqlite3_column_int64(st, 0), (enum objstore_change)sqlite3_column_int(st, 1),
					   &key, sqlite3_column_blob(st, 4), (size_t)sqlite3_column_bytes(st, 4),
					   sqlite3_column_blob(st, 5), (size_t)sqlite3_column_bytes(st, 5));
		if (e == NULL)
			return error_set(err, -ENOMEM, "store: out of memory");
		rc = fn(ctx, e);
		(void)objstore_event_unref(e);
		if (rc < 0)
			return rc;
	}
	return sr == SQLITE_DONE ? 0 : objstore_sql_error(db, sr, "replay", err);
}

int objstore_history(struct objstore *s, const char *group, const char *plural, int64_t from, int64_t to,
		     int (*fn)(void *ctx, struct objstore_event *e), void *ctx, struct error *err)
{
	sqlite3 *db = NULL;
	int rc = reader_begin(s, &db, err);
	if (rc < 0)
		return rc;
	rc = history_in(db, group, plural, from, to, fn, ctx, err);
	reader_end(s, db);
	return rc;
}
