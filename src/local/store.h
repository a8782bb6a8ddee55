/*
 * The API server's memory: objects as JSON bytes in SQLite, with revisions and a bounded history of changes.
 *
 * Invariants:
 *  1. Revisions are global, start at 1, grow by one for each change and are never given twice, whatever crashes.
 *  2. objstore_write() returns 0 only when the change is on disk (WAL, synchronous=FULL); changes of many threads share one commit.
 *  3. on_commit is called in the order of revisions, after the commit and before objstore_write() returns.
 *  4. Every change after the compacted revision can be replayed together with the bytes it replaced.
 *  5. One process at a time: the lock file beside the database is held with flock(2).
 *
 * Threads: all functions but objstore_open() and objstore_close() from any thread. on_commit runs on the writer's thread.
 */
#pragma once

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct error;
struct objstore;

enum objstore_change { STORE_ADDED, STORE_MODIFIED, STORE_DELETED };

/** Names an object. @ns is "" for what lives in no namespace. */
struct objstore_key {
	const char *group, *plural, *ns, *name;
};

/** One change. Immutable, reference counted. */
struct objstore_event {
	atomic_uint refs;
	int64_t revision;
	enum objstore_change type;
	struct objstore_key key;
	const char *data; /* the object after the change; of a deletion its last state, with the deletion's revision */
	size_t n;
	const char *prev; /* what it replaced; NULL for STORE_ADDED */
	size_t prev_n;
};

struct objstore_event *objstore_event_ref(struct objstore_event *e);
/** Always returns NULL. Accepts NULL. */
struct objstore_event *objstore_event_unref(struct objstore_event *e);

struct objstore_options {
	const char *dir; /* made when absent (mode 0700) */
	int64_t history; /* changes that can be replayed at least; 0: 10,000 */
	void (*on_commit)(void *ctx, struct objstore_event *const *events, size_t n); /* borrowed events; may be NULL */
	void *ctx;
};

/**
 * Open or create the database in @o->dir. -EBUSY when another process holds it (its pid is in the message), -EPROTO when the
 * database was written by a newer format.
 */
int objstore_open(const struct objstore_options *o, struct objstore **ret, struct error *err);
/** All other calls must have ended. Accepts NULL. */
void objstore_close(struct objstore *s);

/** The newest revision on disk. */
int64_t objstore_revision(struct objstore *s);

struct objstore_write {
	struct objstore_key key;
	int64_t expect; /* the object's present revision; 0: it must not exist */
	bool remove;    /* delete it; @data is its last state */
	const char *data;
	size_t n;
	size_t revision_at; /* where in @data the decimal digits of the new revision are inserted */
};

/**
 * Write one change and wait until it is on disk. -EEXIST (expect 0 but it exists), -ENOENT (expected but absent), -ESTALE (another
 * revision is there), -ENOSPC and -EIO from the disk: nothing was changed then.
 */
int objstore_write(struct objstore *s, const struct objstore_write *w, int64_t *ret_revision, struct error *err);

/** The newest bytes of one object: *@ret is malloc'ed and NUL-terminated. -ENOENT when absent. @ret_n, @ret_revision may be NULL. */
int objstore_get(struct objstore *s, const struct objstore_key *key, char **ret, size_t *ret_n, int64_t *ret_revision,
		 struct error *err);

struct objstore_range {
	const char *group, *plural;
	const char *ns;                    /* NULL or "": all namespaces */
	const char *after_ns, *after_name; /* start behind this object; NULL: from the beginning */
	size_t limit;                      /* 0: all */
	int64_t revision;                  /* as it was then; 0: now */
};

struct objstore_item {
	const char *ns, *name, *data; /* valid during the call only */
	size_t n;
	int64_t revision;
};

/**
 * Call @fn for each object of the range, ordered by namespace and name, all of one moment: *@ret_revision. A negative return ends the
 * walk with it. *@ret_remaining (may be NULL) counts what @limit left out. -EKEYEXPIRED when @r->revision was compacted,
 * -ERANGE when it is newer than the store.
 */
int objstore_list(struct objstore *s, const struct objstore_range *r,
		  int (*fn)(void *ctx, const struct objstore_item *item), void *ctx, int64_t *ret_revision,
		  int64_t *ret_remaining, struct error *err);

/** Replay the changes of one resource after @from up to @to. The event is borrowed: objstore_event_ref() to keep it. -EKEYEXPIRED when compacted. */
int objstore_history(struct objstore *s, const char *group, const char *plural, int64_t from, int64_t to,
		     int (*fn)(void *ctx, struct objstore_event *e), void *ctx, struct error *err);
/** Changes up to this revision can no longer be replayed. */
int64_t objstore_compacted(struct objstore *s);
