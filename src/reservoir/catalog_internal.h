/* catalog.c: questions; catalog_list.c: asking sources; catalog_crawl.c: in the background. */
#pragma once

#include <pthread.h>

#include "reservoir/catalog.h"
#include "reservoir/index.h"

#define CRAWL_THREADS 8
#define LISTING_MAX   256

struct catalog_mount {
	struct source *source;
	uint32_t root;
	struct catalog_mount_status status;
	int64_t noted_ns; /* when the message was written */
	bool listed;      /* the root could be listed at least once */
};

struct crawl_item {
	uint32_t id;
	unsigned attempt;
	int64_t due_ns;
};

struct crawl_queue {
	struct crawl_item *items; /* a ring */
	size_t head, n, cap;
};

struct catalog {
	pthread_mutex_t lock;   /* guards everything below but config and mounts[].source */
	pthread_cond_t changed; /* a listing ended, something to crawl, stop */
	const struct reservoir_config *config;
	struct index *index;
	struct catalog_mount *mounts;
	size_t n_mounts;
	int64_t stale_before_ns;       /* wall clock; what was learned earlier is looked at again */
	uint32_t listing[LISTING_MAX]; /* directories that somebody lists right now */
	size_t n_listing;
	struct crawl_queue ready, delayed;
	struct crawl_queue
		ahead;   /* files of directories that were just read: whoever lists names asks for figures next */
	size_t crawling; /* items in hands */
	pthread_t threads[CRAWL_THREADS];
	size_t n_threads;
	bool stop;
};

static inline uint64_t catalog_public_id(const struct catalog *c, uint32_t id)
{
	return id == INDEX_ROOT ? CATALOG_ROOT : (index_epoch(c->index) & 0xffff) << 32 | id;
}
/** The index id, or 0 when it is of another index or unknown. */
uint32_t catalog_own_id(const struct catalog *c, uint64_t id);
/** Make sure that directory @id was listed since it had to be. The lock is held, and dropped meanwhile. */
int catalog_ensure_listed(struct catalog *c, uint32_t id, struct error *err);
/** The same for the crawl, which also tries a mount that is known to have failed. */
int catalog_list_for_crawl(struct catalog *c, uint32_t id, struct error *err);
/** Make sure that the figures of file *@id are the source's own; a new version changes *@id. @force: ask in any case. Drops the lock. */
int catalog_ensure_exact(struct catalog *c, uint32_t *id, bool force, struct error *err);
/** Queue for the crawl; failure only delays totals. The lock is held. */
void catalog_crawl_add(struct catalog *c, uint32_t id, unsigned attempt, int64_t delay_ns);
/** Order the exact figures of @dir's files, before somebody asks for one after the other. The lock is held. */
void catalog_look_ahead(struct catalog *c, uint32_t dir);
int catalog_crawl_start(struct catalog *c, struct error *err);
/** The oldest wall-clock time at which something may have been learned to be still good. */
int64_t catalog_fresh_since(const struct catalog *c);
