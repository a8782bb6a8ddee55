/* The store's writer: one thread, which commits what many threads ask for together. */
#include <errno.h>
#include <stdio.h>

#include "base/cleanup.h"
#include "base/error.h"
#include "base/str.h"
#include "local/store_internal.h"

#define BATCH_MAX    256
#define COMPACT_STEP 512 /* changes compacted with one commit: small, so that no writer waits long */

/* Pages of the log from which on it is folded into the database: as far as readers allow, and with waiting for them. */
#define LOG_PAGES     1000
#define LOG_PAGES_MAX 4000

/** One objstore_write() that waits. Lives on its caller's stack until `done`. */
struct objstore_pending {
	struct objstore_pending *next;
	const struct objstore_write *w;
	int rc;
	int64_t revision;
	struct objstore_event *event;
	struct error err;
	bool done;
};

static int step_done(struct objstore *s, sqlite3_stmt *st, struct error *err)
{
	int rc = sqlite3_step(st);
	int code = rc == SQLITE_DONE ? 0 : objstore_sql_error(s->db, rc, "write", err);
	(void)sqlite3_reset(st);
	(void)sqlite3_clear_bindings(st);
	return code;
}

static void bind_key(sqlite3_stmt *st, int at, const struct objstore_key *key)
{
	objstore_bind_text(st, at, key->group);
	objstore_bind_text(st, at + 1, key->plural);
	objstore_bind_text(st, at + 2, key->ns);
	objstore_bind_text(st, at + 3, key->name);
}

/** The present revision of @key, 0 when it does not exist. */
static int current_revision(struct objstore *s, const struct objstore_key *key, int64_t *ret, struct error *err)
{
	bind_key(s->current, 1, key);
	int rc = sqlite3_step(s->current);
	int code = 0;
	if (rc == SQLITE_ROW)
		*ret = sqlite3_column_int64(s->current, 0);
	else if (rc == SQLITE_DONE)
		*ret = 0;
	else
		code = objstore_sql_error(s->db, rc, "look up", err);
	(void)sqlite3_reset(s->current);
	(void)sqlite3_clear_bindings(s->current);
	return code;
}

static int check_expected(const struct objstore_write *w, int64_t current, struct error *err)
{
	if (w->expect == 0 && current != 0)
		return error_set(err, -EEXIST, "store: %s '%s' exists", w->key.plural, w->key.name);
	if (w->expect != 0 && current == 0)
		return error_set(err, -ENOENT, "store: %s '%s' is not there", w->key.plural, w->key.name);
	if (w->expect != current)
		return error_set(err, -ESTALE, "store: %s '%s' is at revision %lld, not %lld", w->key.plural,
				 w->key.name, (long long)current, (long long)w->expect);
	return 0;
}

/** @w's bytes with the revision in them. */
static char *with_revision(const struct objstore_write *w, int64_t revision, size_t *ret_n)
{
	char digits[24];
	size_t k = (size_t)snprintf(digits, sizeof digits, "%lld", (long long)revision);
	char *p = malloc(w->n + k + 1);
	if (p == NULL)
		return NULL;
	memcpy(p, w->data, w->revision_at);
	memcpy(p + w->revision_at, digits, k);
	memcpy(p + w->revision_at + k, w->data + w->revision_at, w->n - w->revision_at);
	p[w->n + k] = '\0';
	*ret_n = w->n + k;
	return p;
}

static int make_event(struct objstore *s, struct objstore_pending *p, int64_t current, int64_t revision,
		      struct error *err)
{
	const struct objstore_write *w = p->w;
	size_t n = 0;
	CLEANUP(free_p) char *data = with_revision(w, revision, &n);
	if (data == NULL)
		return error_set(err, -ENOMEM, "store: out of memory");
	enum objstore_change type = w->remove ? STORE_DELETED : current == 0 ? STORE_ADDED : STORE_MODIFIED;
	if (current == 0) {
		p->event = objstore_event_new(revision, type, &w->key, data, n, NULL, 0);
		return p->event != NULL ? 0 : error_set(err, -ENOMEM, "store: out of memory");
	}
	(void)sqlite3_bind_int64(s->bytes, 1, current);
	int rc = sqlite3_step(s->bytes);
	int code = 0;
	if (rc == SQLITE_ROW) {
		p->event = objstore_event_new(revision, type, &w->key, data, n, sqlite3_column_blob(s->bytes, 0),
					      (size_t)sqlite3_column_bytes(s->bytes, 0));
		if (p->event == NULL)
			code = error_set(err, -ENOMEM, "store: out of memory");
	} else {
		code = objstore_sql_error(s->db, rc, "read what is replaced", err);
	}
	(void)sqlite3_reset(s->bytes);
	return code;
}

static int write_rows(struct objstore *s, const struct objstore_event *e, int64_t current, struct error *err)
{
	(void)sqlite3_bind_int64(s->add_event, 1, e->revision);
	(void)sqlite3_bind_int(s->add_event, 2, (int)e->type);
	bind_key(s->add_event, 3, &e->key);
	(void)sqlite3_bind_int64(s->add_event, 7, current);
	(void)sqlite3_bind_blob64(s->add_event, 8, e->data, e->n, SQLITE_STATIC);
	int rc = step_done(s, s->add_event, err);
	if (rc < 0)
		return rc;
	if (e->type == STORE_DELETED) {
		bind_key(s->del_object, 1, &e->key);
		return step_done(s, s->del_object, err);
	}
	bind_key(s->set_object, 1, &e->key);
	(void)sqlite3_bind_int64(s->set_object, 5, e->revision);
	return step_done(s, s->set_object, err);
}

/** Do one change inside the open transaction. Sets p->rc when the caller was wrong; returns negative when the database failed. */
static int write_one(struct objstore *s, struct objstore_pending *p, int64_t *revision, struct error *err)
{
	int64_t current = 0;
	int rc = current_revision(s, &p->w->key, &current, err);
	if (rc < 0)
		return rc;
	p->rc = check_expected(p->w, current, &p->err);
	if (p->rc < 0)
		return 0;
	rc = make_event(s, p, current, *revision + 1, err);
	if (rc == 0)
		rc = write_rows(s, p->event, current, err);
	if (rc < 0)
		return rc;
	p->revision = ++*revision;
	return 0;
}

/** Forget the oldest changes beyond the history that is kept; never the newest one, which carries the revision counter. */
static int compact_some(struct objstore *s, int64_t revision, int64_t *ret_compacted, struct error *err)
{
	int64_t from = atomic_load(&s->compacted);
	int64_t to = revision - s->history;
	if (to > from + COMPACT_STEP)
		to = from + COMPACT_STEP;
	*ret_compacted = from;
	if (to <= from)
		return 0;
	sqlite3_stmt *const drops[] = {s->drop_replaced, s->drop_removed};
	for (size_t i = 0; i < ARRAY_LEN(drops); i++) {
		(void)sqlite3_bind_int64(drops[i], 1, from);
		(void)sqlite3_bind_int64(drops[i], 2, to);
		int rc = step_done(s, drops[i], err);
		if (rc < 0)
			return rc;
	}
	(void)sqlite3_bind_int64(s->set_compacted, 1, to);
	int rc = step_done(s, s->set_compacted, err);
	if (rc == 0)
		*ret_compacted = to;
	return rc;
}

static int exec(struct objstore *s, const char *sql, struct error *err)
{
	int rc = sqlite3_exec(s->db, sql, NULL, NULL, NULL);
	return rc == SQLITE_OK ? 0 : objstore_sql_error(s->db, rc, sql, err);
}

static int commit_batch(struct objstore *s, struct objstore_pending *batch, struct error *err)
{
	int64_t revision = atomic_load(&s->revision), compacted = 0;
	int rc = exec(s, "BEGIN IMMEDIATE", err);
	if (rc < 0)
		return rc;
	for (struct objstore_pending *p = batch; p != NULL && rc == 0; p = p->next)
		rc = write_one(s, p, &revision, err);
	if (rc == 0)
		rc = compact_some(s, revision, &compacted, err);
	if (rc == 0)
		rc = exec(s, "COMMIT", err);
	if (rc < 0) {
		(void)sqlite3_exec(s->db, "ROLLBACK", NULL, NULL,
				   NULL); /* fails only when SQLite has rolled back already */
		return rc;
	}
	atomic_store(&s->revision, revision);
	atomic_store(&s->compacted, compacted);
	return 0;
}

static void publish(struct objstore *s, struct objstore_pending *batch)
{
	struct objstore_event *events[BATCH_MAX];
	size_t n = 0;
	for (struct objstore_pending *p = batch; p != NULL; p = p->next)
		if (p->rc == 0)
			events[n++] = p->event;
	if (n > 0 && s->on_commit != NULL)
		s->on_commit(s->ctx, events, n);
}

static void finish(struct objstore *s, struct objstore_pending *batch, int rc, const struct error *err)
{
	pthread_mutex_lock(&s->lock);
	for (struct objstore_pending *p = batch, *next; p != NULL; p = next) {
		next = p->next; /* p is its caller's again once done */
		p->event = objstore_event_unref(p->event);
		if (rc < 0) {
			p->rc = rc;
			p->err = *err;
		}
		p->done = true;
	}
	pthread_cond_broadcast(&s->done);
	pthread_mutex_unlock(&s->lock);
}

/** Up to BATCH_MAX waiting writes, or NULL when stopping and nothing waits. */
static struct objstore_pending *next_batch(struct objstore *s)
{
	pthread_mutex_lock(&s->lock);
	while (s->head == NULL && !s->stopping)
		pthread_cond_wait(&s->work, &s->lock);
	struct objstore_pending *batch = s->head, *last = batch;
	for (size_t i = 1; last != NULL && last->next != NULL && i < BATCH_MAX; i++)
		last = last->next;
	if (last != NULL) {
		s->head = last->next;
		if (s->head == NULL)
			s->tail = &s->head;
		last->next = NULL;
	}
	pthread_mutex_unlock(&s->lock);
	return batch;
}

static int committed(void *ctx, sqlite3 *db, const char *name, int pages)
{
	(void)db;
	(void)name;
	((struct objstore *)ctx)->log_pages = pages;
	return SQLITE_OK;
}

/**
 * Keep the log short. Readers that overlap for ever would keep SQLite from beginning it anew; while nobody writes, new readers leave the log
 * alone, so that waiting for the old ones ends. What fails leaves the log as it is: the next commit tries again.
 */
static void fold_log(struct objstore *s)
{
	if (s->log_pages < LOG_PAGES)
		return;
	int how = s->log_pages < LOG_PAGES_MAX ? SQLITE_CHECKPOINT_PASSIVE : SQLITE_CHECKPOINT_RESTART;
	(void)sqlite3_wal_checkpoint_v2(s->db, NULL, how, NULL, NULL);
}

static void *writer_main(void *arg)
{
	struct objstore *s = arg;
	for (struct objstore_pending *batch; (batch = next_batch(s)) != NULL;) {
		struct error err = {0};
		int rc = commit_batch(s, batch, &err);
		if (rc == 0)
			publish(s, batch);
		finish(s, batch, rc, &err);
		fold_log(s); /* nobody waits for it but the next batch */
	}
	return NULL;
}

int objstore_writer_start(struct objstore *s, struct error *err)
{
	const struct {
		sqlite3_stmt **st;
		const char *sql;
	} all[] = {
		{&s->current, "SELECT rev FROM object WHERE grp = ?1 AND plural = ?2 AND ns = ?3 AND name = ?4"},
		{&s->bytes, "SELECT data FROM event WHERE rev = ?1"},
		{&s->add_event, "INSERT INTO event (rev, type, grp, plural, ns, name, prev, data) VALUES (?1, ?2, ?3, "
				"?4, ?5, ?6, ?7, ?8)"},
		{&s->set_object,
		 "INSERT OR REPLACE INTO object (grp, plural, ns, name, rev) VALUES (?1, ?2, ?3, ?4, ?5)"},
		{&s->del_object, "DELETE FROM object WHERE grp = ?1 AND plural = ?2 AND ns = ?3 AND name = ?4"},
		{&s->drop_replaced,
		 "DELETE FROM event WHERE rev IN (SELECT prev FROM event WHERE rev > ?1 AND rev <= ?2 AND prev > 0)"},
		{&s->drop_removed, "DELETE FROM event WHERE rev > ?1 AND rev <= ?2 AND type = 2"},
		{&s->set_compacted, "UPDATE meta SET value = ?1 WHERE key = 'compacted'"},
	};
	for (size_t i = 0; i < ARRAY_LEN(all); i++) {
		int rc = sqlite3_prepare_v3(s->db, all[i].sql, -1, SQLITE_PREPARE_PERSISTENT, all[i].st, NULL);
		if (rc != SQLITE_OK)
			return objstore_sql_error(s->db, rc, "prepare", err);
	}
	(void)sqlite3_wal_hook(s->db, committed, s);
	int rc = pthread_create(&s->writer, NULL, writer_main, s);
	if (rc != 0)
		return error_set(err, -rc, "store: start writer: %s", strerror(rc));
	s->writer_started = true;
	return 0;
}

void objstore_writer_stop(struct objstore *s)
{
	if (s->writer_started) {
		pthread_mutex_lock(&s->lock);
		s->stopping = true;
		pthread_cond_signal(&s->work);
		pthread_mutex_unlock(&s->lock);
		(void)pthread_join(s->writer, NULL);
	}
	sqlite3_stmt *const all[] = {s->current,    s->bytes,         s->add_event,    s->set_object,
				     s->del_object, s->drop_replaced, s->drop_removed, s->set_compacted};
	for (size_t i = 0; i < ARRAY_LEN(all); i++)
		(void)sqlite3_finalize(all[i]);
}

int objstore_write(struct objstore *s, const struct objstore_write *w, int64_t *ret_revision, struct error *err)
{
	struct objstore_pending p = {.w = w};
	pthread_mutex_lock(&s->lock);
	*s->tail = &p;
	s->tail = &p.next;
	pthread_cond_signal(&s->work);
	while (!p.done)
		pthread_cond_wait(&s->done, &s->lock);
	pthread_mutex_unlock(&s->lock);
	if (p.rc < 0) {
		if (err != NULL)
			*err = p.err;
		return p.rc;
	}
	*ret_revision = p.revision;
	return 0;
}
