/* Reading the store: each call uses one of a few connections and sees one moment of the database. */
#include <errno.h>

#include "base/cleanup.h"
#include "base/error.h"
#include "base/str.h"
#include "local/store_internal.h"

/*
 * What is asked. The state at revision ?6: what has not changed since, and of what has, the row that the first change after it replaced.
 * Objects lie behind (?3, ?4) and in no namespace behind ?5, which is an empty blob for all of them: blobs come after texts. So a range is
 * one piece of the index.
 */
#define RANGE_NOW                                                                                                      \
	"FROM object o JOIN event e ON e.rev = o.rev WHERE o.grp = ?1 AND o.plural = ?2 AND (o.ns, o.name) > (?3, ?4)" \
	" AND o.ns <= ?5"
#define RANGE_THEN                                                                                                     \
	"FROM event f JOIN event e ON e.rev = f.prev WHERE f.rev > ?6 AND f.prev > 0 AND f.prev <= ?6 AND f.grp = ?1 " \
	"AND f.plural = ?2 AND (f.ns, f.name) > (?3, ?4) AND f.ns <= ?5"
#define ROW "SELECT e.ns, e.name, e.rev, e.data "

enum query {
	ASK_BEGIN,
	ASK_END,
	ASK_POSITION,
	ASK_GET,
	ASK_NOW,
	ASK_THEN,
	ASK_COUNT_NOW,
	ASK_COUNT_THEN,
	ASK_HISTORY,
	QUERIES
};

static const char *const query_sql[QUERIES] = {
	[ASK_BEGIN] = "BEGIN",
	[ASK_END] = "COMMIT",
	[ASK_POSITION] =
		"SELECT (SELECT coalesce(max(rev), 0) FROM event), (SELECT value FROM meta WHERE key = 'compacted')",
	[ASK_GET] = "SELECT e.rev, e.data FROM object o JOIN event e ON e.rev = o.rev"
		    " WHERE o.grp = ?1 AND o.plural = ?2 AND o.ns = ?3 AND o.name = ?4",
	[ASK_NOW] = ROW RANGE_NOW " ORDER BY o.ns, o.name LIMIT ?7",
	[ASK_THEN] = ROW RANGE_NOW " AND o.rev <= ?6 UNION ALL " ROW RANGE_THEN " ORDER BY 1, 2 LIMIT ?7",
	[ASK_COUNT_NOW] = "SELECT count(*) " RANGE_NOW,
	[ASK_COUNT_THEN] = "SELECT (SELECT count(*) " RANGE_NOW " AND o.rev <= ?6) + (SELECT count(*) " RANGE_THEN ")",
	[ASK_HISTORY] =
		"SELECT e.rev, e.type, e.ns, e.name, e.data, p.data FROM event e LEFT JOIN event p ON p.rev = e.prev"
		" WHERE e.rev > ?1 AND e.rev <= ?2 AND e.grp = ?3 AND e.plural = ?4 ORDER BY e.rev",
};

/** A connection and the statements that it has prepared so far. */
struct objstore_reader {
	sqlite3 *db;
	sqlite3_stmt *statements[QUERIES];
};

static void reader_free(struct objstore_reader *r)
{
	for (size_t i = 0; i < QUERIES; i++)
		(void)sqlite3_finalize(r->statements[i]);
	(void)sqlite3_close_v2(r->db);
	free(r);
}

static int reader_new(struct objstore *s, struct objstore_reader **ret, struct error *err)
{
	struct objstore_reader *r = calloc(1, sizeof *r);
	if (r == NULL)
		return error_set(err, -ENOMEM, "store: out of memory");
	int rc = objstore_connect(s->path, false, &r->db, err);
	if (rc < 0) {
		free(r);
		return rc;
	}
	*ret = r;
	return 0;
}

void objstore_readers_close(struct objstore *s)
{
	while (s->readers_idle > 0)
		reader_free(s->readers[--s->readers_idle]);
}

static int reader_take(struct objstore *s, struct objstore_reader **ret, struct error *err)
{
	pthread_mutex_lock(&s->readers_lock);
	while (s->readers_idle == 0 && s->readers_open == STORE_READERS)
		pthread_cond_wait(&s->reader_free, &s->readers_lock);
	struct objstore_reader *r = NULL;
	if (s->readers_idle > 0)
		r = s->readers[--s->readers_idle];
	else
		s->readers_open++;
	pthread_mutex_unlock(&s->readers_lock);

	int rc = r == NULL ? reader_new(s, &r, err) : 0;
	if (rc < 0) {
		pthread_mutex_lock(&s->readers_lock);
		s->readers_open--;
		pthread_cond_signal(&s->reader_free);
		pthread_mutex_unlock(&s->readers_lock);
		return rc;
	}
	*ret = r;
	return 0;
}

static void reader_give(struct objstore *s, struct objstore_reader *r)
{
	pthread_mutex_lock(&s->readers_lock);
	s->readers[s->readers_idle++] = r;
	pthread_cond_signal(&s->reader_free);
	pthread_mutex_unlock(&s->readers_lock);
}

/** The statement of @q, ready to be bound. Its user ends with CLEANUP(reset_p). */
static int ask(struct objstore_reader *r, enum query q, sqlite3_stmt **ret, struct error *err)
{
	if (r->statements[q] == NULL) {
		int rc =
			sqlite3_prepare_v3(r->db, query_sql[q], -1, SQLITE_PREPARE_PERSISTENT, &r->statements[q], NULL);
		if (rc != SQLITE_OK)
			return objstore_sql_error(r->db, rc, "prepare", err);
	}
	*ret = r->statements[q];
	return 0;
}

static void reset_p(sqlite3_stmt **st)
{
	(void)sqlite3_reset(*st); /* what went wrong was told by the step */
	if (*st != NULL)
		(void)sqlite3_clear_bindings(*st);
}

static int run(struct objstore_reader *r, enum query q, struct error *err)
{
	CLEANUP(reset_p) sqlite3_stmt *st = NULL;
	int rc = ask(r, q, &st, err);
	if (rc < 0)
		return rc;
	int sr = sqlite3_step(st);
	return sr == SQLITE_DONE ? 0 : objstore_sql_error(r->db, sr, query_sql[q], err);
}

/** A connection inside a read transaction. */
static int reader_begin(struct objstore *s, struct objstore_reader **ret, struct error *err)
{
	struct objstore_reader *r = NULL;
	int rc = reader_take(s, &r, err);
	if (rc < 0)
		return rc;
	rc = run(r, ASK_BEGIN, err);
	if (rc < 0) {
		reader_give(s, r);
		return rc;
	}
	*ret = r;
	return 0;
}

static void reader_end(struct objstore *s, struct objstore_reader *r)
{
	(void)run(r, ASK_END, NULL); /* nothing was written */
	reader_give(s, r);
}

/** Newest and compacted revision as this transaction sees them. */
static int position(struct objstore_reader *r, int64_t *ret_revision, int64_t *ret_compacted, struct error *err)
{
	CLEANUP(reset_p) sqlite3_stmt *st = NULL;
	int rc = ask(r, ASK_POSITION, &st, err);
	if (rc < 0)
		return rc;
	int sr = sqlite3_step(st);
	if (sr != SQLITE_ROW)
		return objstore_sql_error(r->db, sr, "read revision", err);
	*ret_revision = sqlite3_column_int64(st, 0);
	*ret_compacted = sqlite3_column_int64(st, 1);
	return 0;
}

static int get_row(struct objstore_reader *r, const struct objstore_key *key, char **ret, size_t *ret_n,
		   int64_t *ret_revision, struct error *err)
{
	CLEANUP(reset_p) sqlite3_stmt *st = NULL;
	int rc = ask(r, ASK_GET, &st, err);
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
		return objstore_sql_error(r->db, sr, "read", err);
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
	struct objstore_reader *r = NULL;
	int rc = reader_take(s, &r, err);
	if (rc < 0)
		return rc;
	rc = get_row(r, key, ret, ret_n, ret_revision, err); /* one statement is its own transaction */
	reader_give(s, r);
	return rc;
}

static void bind_range(sqlite3_stmt *st, const struct objstore_range *range, int64_t at)
{
	objstore_bind_text(st, 1, range->group);
	objstore_bind_text(st, 2, range->plural);
	const bool all = range->ns == NULL || range->ns[0] == '\0';
	const char *after_ns = !all ? range->ns : range->after_ns != NULL ? range->after_ns : "";
	objstore_bind_text(st, 3, after_ns);
	objstore_bind_text(st, 4, range->after_name != NULL ? range->after_name : "");
	if (all)
		(void)sqlite3_bind_zeroblob(st, 5, 0);
	else
		objstore_bind_text(st, 5, range->ns);
	if (at > 0)
		(void)sqlite3_bind_int64(st, 6, at);
}

static int count_range(struct objstore_reader *r, const struct objstore_range *range, int64_t at, int64_t *ret,
		       struct error *err)
{
	CLEANUP(reset_p) sqlite3_stmt *st = NULL;
	int rc = ask(r, at > 0 ? ASK_COUNT_THEN : ASK_COUNT_NOW, &st, err);
	if (rc < 0)
		return rc;
	bind_range(st, range, at);
	int sr = sqlite3_step(st);
	if (sr != SQLITE_ROW)
		return objstore_sql_error(r->db, sr, "count", err);
	*ret = sqlite3_column_int64(st, 0);
	return 0;
}

static int walk_range(struct objstore_reader *r, const struct objstore_range *range, int64_t at,
		      int (*fn)(void *ctx, const struct objstore_item *item), void *ctx, size_t *ret_n,
		      struct error *err)
{
	CLEANUP(reset_p) sqlite3_stmt *st = NULL;
	int rc = ask(r, at > 0 ? ASK_THEN : ASK_NOW, &st, err);
	if (rc < 0)
		return rc;
	bind_range(st, range, at);
	(void)sqlite3_bind_int64(st, 7, range->limit > 0 ? (int64_t)range->limit : -1);
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
	return sr == SQLITE_DONE ? 0 : objstore_sql_error(r->db, sr, "list", err);
}

static int list_in(struct objstore_reader *r, const struct objstore_range *range,
		   int (*fn)(void *ctx, const struct objstore_item *item), void *ctx, int64_t *ret_revision,
		   int64_t *ret_remaining, struct error *err)
{
	int64_t revision = 0, compacted = 0;
	int rc = position(r, &revision, &compacted, err);
	if (rc < 0)
		return rc;
	if (range->revision > 0 && range->revision < compacted)
		return error_set(err, -EKEYEXPIRED, "revision %lld is compacted (up to %lld)",
				 (long long)range->revision, (long long)compacted);
	if (range->revision > revision)
		return error_set(err, -ERANGE, "revision %lld is newer than the store's %lld",
				 (long long)range->revision, (long long)revision);
	int64_t at = range->revision == revision ? 0 : range->revision;
	size_t n = 0;
	rc = walk_range(r, range, at, fn, ctx, &n, err);
	if (rc < 0)
		return rc;
	if (ret_remaining != NULL) {
		int64_t total = 0;
		if (range->limit > 0 && n == range->limit && (rc = count_range(r, range, at, &total, err)) < 0)
			return rc;
		*ret_remaining = total > (int64_t)n ? total - (int64_t)n : 0;
	}
	if (ret_revision != NULL)
		*ret_revision = range->revision > 0 ? range->revision : revision;
	return 0;
}

int objstore_list(struct objstore *s, const struct objstore_range *range,
		  int (*fn)(void *ctx, const struct objstore_item *item), void *ctx, int64_t *ret_revision,
		  int64_t *ret_remaining, struct error *err)
{
	struct objstore_reader *r = NULL;
	int rc = reader_begin(s, &r, err);
	if (rc < 0)
		return rc;
	rc = list_in(r, range, fn, ctx, ret_revision, ret_remaining, err);
	reader_end(s, r);
	return rc;
}

static int history_in(struct objstore_reader *r, const char *group, const char *plural, int64_t from, int64_t to,
		      int (*fn)(void *ctx, struct objstore_event *e), void *ctx, struct error *err)
{
	int64_t revision = 0, compacted = 0;
	int rc = position(r, &revision, &compacted, err);
	if (rc < 0)
		return rc;
	if (from < compacted)
		return error_set(err, -EKEYEXPIRED, "too old resource version: %lld (%lld)", (long long)from,
				 (long long)compacted);
	CLEANUP(reset_p) sqlite3_stmt *st = NULL;
	rc = ask(r, ASK_HISTORY, &st, err);
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
	return sr == SQLITE_DONE ? 0 : objstore_sql_error(r->db, sr, "replay", err);
}

int objstore_history(struct objstore *s, const char *group, const char *plural, int64_t from, int64_t to,
		     int (*fn)(void *ctx, struct objstore_event *e), void *ctx, struct error *err)
{
	struct objstore_reader *r = NULL;
	int rc = reader_begin(s, &r, err);
	if (rc < 0)
		return rc;
	rc = history_in(r, group, plural, from, to, fn, ctx, err);
	reader_end(s, r);
	return rc;
}
