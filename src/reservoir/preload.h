/*
 * Preload: have the worker fetch everything below some paths, as a client of its socket. The files are listed first (the manifest), then
 * looked at, loaded, and looked at again: what counts is what is in the cache at the end.
 *
 * Threads: one caller; the requests are made by threads of its own, at most PRELOAD_IN_FLIGHT at a time.
 */
#pragma once

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct error;

#define PRELOAD_IN_FLIGHT    16
#define PRELOAD_FILES_MAX    50000000u /* of one manifest */
#define PRELOAD_FAILURES_MAX 100       /* that a receipt names */

/** Bytes are those of the files, not of blocks. */
struct preload_figures {
	uint64_t files_listed, bytes_listed;
	uint64_t files_loaded, bytes_loaded;   /* fetched by this run */
	uint64_t files_skipped, bytes_skipped; /* that were there before */
	uint64_t files_failed;
};

struct preload_options {
	const char *socket;       /* of the worker */
	const char *const *paths; /* "/a/b", below the Dataset's root */
	size_t n_paths;           /* 0: everything */
	uint64_t rate_limit;      /* bytes per second; 0: none */
	bool refresh;             /* ask the sources for what is new first */
	int64_t wait_ns;          /* for a worker that is away */
	/** Told about each second, on a thread of its own. */
	void (*on_progress)(void *ctx, const struct preload_figures *f);
	void *ctx;
};

/**
 * Do it. 0: every byte of the manifest is in the cache. -EIO: some are not; the receipt says which and why. Both write *@ret, a new tree:
 * the figures, "version" (a digest of the manifest: paths, sizes, versions), "failures" (path and reason, the first
 * PRELOAD_FAILURES_MAX), and "reason" where one covers all. Other errors: there is no manifest.
 */
int preload_run(const struct preload_options *o, json_t **ret, struct error *err);
/** The figures as members of a new object; NULL on no memory. */
json_t *preload_figures_json(const struct preload_figures *f);
