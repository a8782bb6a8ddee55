/*
 * Index: the tree of names of all mounts, in memory (some 120 bytes a file) and in an append-only log, so that a restarted worker
 * knows it again and every id stays what it was.
 *
 * An id is never used twice for different things. A new version of a file is a new id; the old one is "dead" (no name leads to it)
 * but still answers. The epoch changes whenever the log was not the same one, so ids of another log are recognised.
 *
 * Threads: none of its own; the catalog's lock guards it.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "reservoir/source.h"

#define INDEX_ROOT      1u
#define INDEX_MAX_NODES 50000000u
#define INDEX_MAX_DEPTH 64
#define INDEX_NO_MOUNT  0xffff

struct index;

struct index_node {
	uint64_t size;
	int64_t mtime_ns;
	int64_t listed_ns; /* directories: wall clock of the last listing, 0 never; files: of the last look at the source */
	uint32_t parent, prev, next, first, last;
	uint32_t name, extra; /* offsets in the pool; extra: etag or link target */
	uint16_t mount;       /* INDEX_NO_MOUNT: a directory that is only there to lead to a mount */
	uint8_t type;         /* enum source_type */
	bool exact : 1, size_exact : 1, exec : 1, dead : 1, mountpoint : 1;
	bool looked_ahead : 1; /* directories: the figures of its files are on order */
};

/** Load the log at @path, or begin a new one when it is absent, damaged at its head or of another @fingerprint. */
int index_open(const char *path, uint64_t fingerprint, struct index **ret, struct error *err);
/** Write what is buffered; free. Accepts NULL. */
void index_close(struct index *ix);
uint64_t index_epoch(const struct index *ix);
/** Hand what was changed to the kernel (survives a kill, not a power loss). Cheap when nothing was. */
int index_commit(struct index *ix);

/** The node, or NULL for an unknown id. Valid until the next index_add(). */
const struct index_node *index_get(const struct index *ix, uint32_t id);
const char *index_name(const struct index *ix, uint32_t id);
const char *index_extra(const struct index *ix, uint32_t id);
/** Id of @name in @parent, or 0. */
uint32_t index_find(const struct index *ix, uint32_t parent, const char *name);
/** Add a child. Its id, or 0 on no memory or past the limit. */
uint32_t index_add(struct index *ix, uint32_t parent, const char *name, uint16_t mount, bool mountpoint,
		   const struct source_stat *st, const char *link);
/** The same file, known better: from a page's "12K" to the source's own figures. */
int index_refine(struct index *ix, uint32_t id, const struct source_stat *st, int64_t seen_ns);
void index_set_listed(struct index *ix, uint32_t id, int64_t when_ns);
/** As if it had been looked at at @when_ns; not remembered over a restart. */
void index_touch(struct index *ix, uint32_t id, int64_t when_ns);
/** Note that the figures of the directory's files are on order (or not any more). Not remembered. */
void index_set_looked_ahead(struct index *ix, uint32_t id, bool on);
/** No name leads to it (nor to what is below) any more. */
void index_remove(struct index *ix, uint32_t id);
/** What a source would say about the node. */
void index_stat(const struct index *ix, uint32_t id, struct source_stat *ret);
/** Path relative to its mount's root. 0 or -ENAMETOOLONG. */
int index_path(const struct index *ix, uint32_t id, char *out, size_t size);
unsigned index_depth(const struct index *ix, uint32_t id);

/** The root is @mount's root; to be said after each index_open(). */
void index_set_root_mount(struct index *ix, uint16_t mount);

struct index_totals {
	uint64_t bytes, files, dirs, inexact; /* inexact: files whose size is not yet known exactly */
	uint64_t memory;
};
void index_totals(const struct index *ix, struct index_totals *ret);
/** First unused id: iterate from 1 to it. */
uint32_t index_end(const struct index *ix);
