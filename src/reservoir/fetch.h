/*
 * Fetcher: brings missing blocks from the sources into the store, by a pool of threads: one fetch in flight for a block, adjacent
 * blocks in one ranged read, read-ahead that grows while a reader is sequential, retries with back-off, one rate limit for all.
 *
 * Threads: all functions from any thread. Ownership: a fetch_file is reference counted; it holds its store file.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "reservoir/catalog.h"
#include "reservoir/config.h"
#include "reservoir/store.h"

struct error;
struct fetcher;
struct fetch_file;

struct fetcher_options {
	size_t concurrency;
	unsigned retries;
	int64_t timeout_ns;
	uint64_t rate_limit, read_ahead;
	/** Told about each read that failed for good. May be NULL. */
	void (*on_failure)(void *ctx, const struct source *source, const char *message);
	void *ctx;
};

int fetcher_new(struct store *store, const struct fetcher_options *o, struct fetcher **ret, struct error *err);
/** Fail what waits; fetches under way end when their sources are cancelled. */
void fetcher_stop(struct fetcher *f);
/** All files must have been released. Accepts NULL. */
void fetcher_free(struct fetcher *f);
uint64_t fetcher_fetched_bytes(const struct fetcher *f);

/** The store's key of a file version. */
struct store_key fetch_key(const struct catalog_file *cf);
/** A file that readers want. *@ret is released with fetch_file_unref(). */
int fetch_file_new(struct fetcher *f, const struct catalog_file *cf, struct fetch_file **ret, struct error *err);
struct fetch_file *fetch_file_ref(struct fetch_file *ff);
/** Returns NULL. Accepts NULL. */
struct fetch_file *fetch_file_unref(struct fetch_file *ff);
struct store_file *fetch_file_store(const struct fetch_file *ff);
uint64_t fetch_file_size(const struct fetch_file *ff);

/**
 * Make blocks [first, first + n) present, and begin with what is likely wanted next. 0; -ENOSPC (read it with fetch_direct());
 * -ESTALE, -ENOENT, -EACCES, -ETIMEDOUT, -EIO ... with the source's own words.
 */
int fetch_ensure(struct fetch_file *ff, uint32_t first, uint32_t n, struct error *err);
/** Begin to fetch the blocks without waiting; does nothing when there is too much to do. */
void fetch_hint(struct fetch_file *ff, uint32_t first, uint32_t n);
/** Read bytes past the cache. */
int fetch_direct(struct fetch_file *ff, uint64_t off, void *buf, size_t n, struct error *err);
