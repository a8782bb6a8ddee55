/*
 * Catalog: the sources' names as one tree. Directories are listed when somebody looks, and by a crawl in the background that ends
 * with the totals; freshness decides when the source is asked again.
 *
 * Threads: all functions from any thread; those with an error argument may ask a source and block for its time limits.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "reservoir/config.h"
#include "reservoir/source.h"

struct error;
struct catalog;

#define CATALOG_ROOT     1u
#define CATALOG_NAME_MAX 255
#define CATALOG_PATH_MAX 4096

/** What is known of a node. Node ids carry the index's epoch in bits 32 to 47, so ids of another index are recognised. */
struct catalog_attr {
	uint64_t id;
	uint64_t size;
	int64_t mtime_ns;
	uint8_t type; /* enum source_type */
	bool exact, exec;
};

/** One version of a file, and where it comes from. */
struct catalog_file {
	struct source *source;
	struct source_stat version;
	char path[CATALOG_PATH_MAX];
};

/** Open the index in @dir, connect the sources, start the crawl. @config must outlive it. */
int catalog_new(const struct reservoir_config *config, const char *dir, struct catalog **ret, struct error *err);
/** End everything that waits for a source. */
void catalog_stop(struct catalog *c);
/** Accepts NULL. Calls under way must have ended. */
void catalog_free(struct catalog *c);

/** -ENOENT, -ENOTDIR, -ESTALE (@parent is of another index), or what the source failed with. */
int catalog_lookup(struct catalog *c, uint64_t parent, const char *name, struct catalog_attr *ret, struct error *err);
int catalog_getattr(struct catalog *c, uint64_t id, struct catalog_attr *ret, struct error *err);
int catalog_readlink(struct catalog *c, uint64_t id, char *out, size_t size, struct error *err);
/** Entries after @cookie (0: from the start); @fn returns non-zero to stop before the entry. It must not call the catalog. */
int catalog_readdir(struct catalog *c, uint64_t id, uint64_t cookie,
		    int (*fn)(void *ctx, const struct catalog_attr *a, const char *name, uint64_t cookie), void *ctx,
		    struct error *err);
/**
 * The file behind @id. With @opening, freshness is looked after: -ESTALE when the name has another version by now (look it up
 * again). Without it, a version that is gone from the tree is still found.
 */
int catalog_file(struct catalog *c, uint64_t id, bool opening, struct catalog_file *ret, struct error *err);
/** Everything learned until now is looked at again before it is used (freshness Manual's "now"). */
void catalog_refresh(struct catalog *c);

enum catalog_state { CATALOG_LISTING, CATALOG_READY, CATALOG_FAILED };
struct catalog_mount_status {
	enum catalog_state state;
	char message[240];
};
void catalog_mount_status(struct catalog *c, size_t mount, struct catalog_mount_status *ret);
/** Note a failure to read from the source of @mount, for status. */
void catalog_note_failure(struct catalog *c, const struct source *source, const char *message);
struct catalog_totals {
	uint64_t bytes, files, dirs, memory;
	bool complete;
	uint64_t failed_dirs;
};
void catalog_totals(struct catalog *c, struct catalog_totals *ret);
/** Every mount's root could be listed. */
bool catalog_ready(struct catalog *c);
