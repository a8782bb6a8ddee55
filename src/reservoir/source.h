/*
 * Connectors: list, stat and ranged read of one source, whatever it is. Paths are relative to the source's root, decoded, without a
 * leading '/'; "" is the root.
 *
 * Threads: all functions from any thread at once. Calls block; each attempt ends by the source's time limit. No retries here.
 */
#pragma once

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct error;
struct s3_options;
struct source;

#define SOURCE_ETAG_SIZE 128
#define SOURCE_LIST_MAX  2000000u /* entries of one directory */

enum source_type { SOURCE_FILE, SOURCE_DIR, SOURCE_LINK };

struct source_stat {
	enum source_type type;
	bool size_exact; /* size may be shown */
	bool exact;      /* size, time and etag are the source's own, to the last digit */
	bool exec;       /* may be executed */
	uint64_t size;
	int64_t mtime_ns;
	char etag[SOURCE_ETAG_SIZE]; /* "" when the source has none */
};

struct source_entry {
	const char *name; /* one plain component */
	const char *link; /* target of a SOURCE_LINK */
	struct source_stat st;
};

/**
 * A connector for @url ("file:///dir", "http://...", "https://...", "s3://bucket/prefix"). @s3 (reservoir/s3.h; borrowed) is for the last.
 * Nothing is asked of the source yet.
 */
int source_new(const char *url, const struct s3_options *s3, int64_t timeout_ns, struct source **ret,
	       struct error *err);
/** All calls must have ended. Accepts NULL. */
void source_free(struct source *s);
/** As configured; names the source in messages and in the store's keys. */
const char *source_url(const struct source *s);
/** Become true: calls under way and later ones end with -ECANCELED within a second. */
void source_cancel(struct source *s);

/** Call @fn for each entry of directory @dir; a negative return ends with it. -ENOENT, -EACCES, ... name the place. */
int source_list(struct source *s, const char *dir, int (*fn)(void *ctx, const struct source_entry *e), void *ctx,
		struct error *err);
/** What the source itself says about @path. */
int source_stat(struct source *s, const char *path, struct source_stat *ret, struct error *err);
/**
 * Read bytes [off, off + n) of the version @v of @path; @sink gets them in order, in pieces, a negative return ends with it.
 * 0 only when all n were delivered; -ESTALE when the source has another version by now (pieces already delivered are of version @v).
 */
int source_read(struct source *s, const char *path, const struct source_stat *v, uint64_t off, uint64_t n,
		int (*sink)(void *ctx, const void *data, size_t n), void *ctx, struct error *err);
/** Whether trying again may help after @code. */
bool source_may_retry(int code);
/** Whether the two say the same version of a file. Both exact. */
bool source_same_version(const struct source_stat *a, const struct source_stat *b);
/** Text that differs whenever the version does; for keys and for people. */
void source_version(const struct source_stat *v, char *out, size_t size);
