/* What store.c (blocks, space, eviction) and store_disk.c (names, marks, loading) share. */
#pragma once

#include <pthread.h>

#include "reservoir/store.h"

#define STORE_CONDS      64
#define STORE_MAP_CHARGE 4096u /* the file of marks beside an incomplete one */
#define STORE_NO_TIER    0xff

struct store_failure {
	uint64_t seq;
	int code;
	char msg[200];
};

struct store_file {
	struct store *store;
	struct store_key key;
	struct store_file *hash_next;
	struct store_file *lru_prev, *lru_next; /* of its tier, while unreferenced and on the disk; newest first */
	struct store_file *dirty_prev, *dirty_next;
	uint64_t size;
	uint64_t charged;        /* bytes counted in its tier's used */
	uint64_t *present_bits;  /* NULL once complete, or before the first claim */
	uint64_t *inflight_bits; /* NULL while nothing was claimed since loading */
	struct store_failure *failure;
	int64_t last_use_ns; /* wall clock, so that it survives a restart as the file's mtime */
	uint32_t blocks, present, inflight;
	int refs;
	int fd; /* for writing; -1 when closed */
	uint8_t tier;
	bool on_disk;   /* .part or .full exists */
	bool full_name; /* it is .full */
	bool in_lru, dirty, evicting, touched;
};

struct store_tier {
	char *path;
	int dirfd, lockfd;
	uint64_t quota, high, low;
	uint64_t used, cached;
	int64_t full_until_ns;  /* the disk said ENOSPC: no claims before this */
	int64_t stuck_until_ns; /* nothing could be evicted: not tried again before this, or a release */
	bool full_logged;
	struct store_file *lru_head, *lru_tail;
};

struct store {
	pthread_mutex_t lock;              /* guards everything below, and every store_file */
	pthread_cond_t conds[STORE_CONDS]; /* a file's blocks changed */
	pthread_cond_t evicted;            /* an entry left the table */
	pthread_cond_t stop_cond;
	pthread_mutex_t flush_lock; /* one flush at a time; taken before `lock` */
	uint32_t block_size;
	struct store_tier tiers[3];
	size_t n_tiers;
	struct store_file **buckets;
	size_t n_buckets, n_files;
	struct store_file *dirty;
	uint64_t fail_seq, evicted_files, evicted_bytes;
	pthread_t flusher;
	bool flusher_runs, stop;
};

#define STORE_NAME_SIZE 48

enum store_name { STORE_PART, STORE_FULL, STORE_MAP };
/** File name of @key for @kind. */
void store_name(struct store_key key, enum store_name kind, char out[static STORE_NAME_SIZE]);
/** Blocks of a file of @size bytes. */
static inline uint64_t store_block_count(uint64_t size, uint32_t block_size)
{
	return size / block_size + (size % block_size != 0);
}
/** Bytes of @block. */
uint64_t store_block_bytes(const struct store_file *f, uint32_t block);
/** Bytes of the present blocks. */
uint64_t store_present_bytes(const struct store_file *f);
/** What so many bytes cost on the disk. */
static inline uint64_t store_charge(uint64_t bytes)
{
	return (bytes + 4095) & ~UINT64_C(4095);
}
static inline size_t store_words(uint32_t blocks)
{
	return ((size_t)blocks + 63) / 64;
}
static inline bool store_bit(const uint64_t *bits, uint32_t i)
{
	return bits != NULL && (bits[i / 64] >> (i % 64) & 1) != 0;
}

/** Open the tier's directory and lock it. */
int store_tier_open(struct store_tier *t, const struct tier_config *c, struct error *err);
void store_tier_close(struct store_tier *t);
/** Add every file found in tier @i to the table. */
int store_tier_load(struct store *s, size_t i, struct error *err);
/** Make the .part file of @f, open for writing. An fd or -errno. */
int store_disk_create(const struct store_tier *t, const struct store_file *f);
/** Unlink @f's files unless somebody has them open or mapped: -EBUSY. */
int store_disk_remove(const struct store_tier *t, const struct store_file *f);
/** The file's .full, or .part, opened with @flags. */
int store_disk_open(const struct store_tier *t, const struct store_file *f, int flags);
/** Write the marks (@bits of @words words) of an incomplete file whose data is synced. */
int store_disk_write_map(const struct store_tier *t, const struct store_file *f, uint32_t block_size,
			 const uint64_t *bits);
/** The file is complete and synced: give it its final name. */
int store_disk_complete(const struct store_tier *t, const struct store_file *f);
/** Remember when it was used last, for the order of eviction after a restart. */
void store_disk_touch(const struct store_tier *t, const struct store_file *f);

/** Add a new entry. NULL on no memory. The lock is held. */
struct store_file *store_insert_locked(struct store *s, struct store_key key, uint64_t size);
struct store_file *store_lookup_locked(struct store *s, struct store_key key);
/** Remove the entry from the table and free it. */
void store_drop_locked(struct store_file *f);
void store_lru_add_locked(struct store_file *f);
void store_lru_remove_locked(struct store_file *f);
/** On the list of what the next flush writes down. */
void store_dirty_add_locked(struct store_file *f);
void store_dirty_remove_locked(struct store_file *f);
bool store_complete_locked(const struct store_file *f);
void store_unref_locked(struct store_file *f);
/** Take @bytes out of what the file is counted for. */
void store_unreserve_locked(struct store_file *f, uint64_t bytes);
/** Evict until @t uses at most @target bytes, or nothing more may go. Drops the lock meanwhile. */
void store_evict_to_locked(struct store *s, struct store_tier *t, uint64_t target);
pthread_cond_t *store_cond_of(const struct store_file *f);
/** Wait for @c until @deadline_ns (monotonic) at most; also wakes for nothing. */
void store_cond_wait_until(pthread_cond_t *c, pthread_mutex_t *m, int64_t deadline_ns);
/** The store's own thread: a flush every two seconds. */
void *store_flusher_main(void *store);
