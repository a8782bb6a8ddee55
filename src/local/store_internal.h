/* What the parts of the store share: connections, statements, the writer. */
#pragma once

#include <pthread.h>
#include <sqlite3.h>

#include "local/store.h"

#define STORE_READERS 8

struct objstore_pending;
struct objstore_reader;

struct objstore {
	int lock_fd;
	char *path;
	int64_t history;
	void (*on_commit)(void *ctx, struct objstore_event *const *events, size_t n);
	void *ctx;

	/* The writer's thread alone uses these. */
	sqlite3 *db;
	sqlite3_stmt *current, *bytes, *add_event, *set_object, *del_object, *drop_replaced, *drop_removed,
		*set_compacted;
	int log_pages; /* in the write-ahead log after the last commit */
	pthread_t writer;
	bool writer_started;

	_Atomic int64_t revision, compacted; /* newest on disk; written by the writer after its commit */

	pthread_mutex_t lock; /* guards the queue and `stopping` */
	pthread_cond_t work, done;
	struct objstore_pending *head, **tail;
	bool stopping;

	pthread_mutex_t readers_lock; /* guards `readers` */
	pthread_cond_t reader_free;
	struct objstore_reader *readers[STORE_READERS]; /* idle ones */
	size_t readers_idle, readers_open;
};

/** Translate SQLite's last error of @db. Returns the code set. */
int objstore_sql_error(sqlite3 *db, int rc, const char *what, struct error *err);
/** Open one connection with our settings; the one that writes creates the file and has more of it in memory. */
int objstore_connect(const char *path, bool write, sqlite3 **ret, struct error *err);
/** A new event owning copies of everything. NULL on no memory. */
struct objstore_event *objstore_event_new(int64_t revision, enum objstore_change type, const struct objstore_key *key,
					  const void *data, size_t n, const void *prev, size_t prev_n);
void objstore_bind_text(sqlite3_stmt *st, int at, const char *s);
/** Close the idle readers; all are, when nobody reads. */
void objstore_readers_close(struct objstore *s);

/** Prepare the writer's statements and start its thread; stop and join it. */
int objstore_writer_start(struct objstore *s, struct error *err);
void objstore_writer_stop(struct objstore *s);
