/*
 * Block store: what is cached of the source's files, as sparse files in the tiers' directories.
 *
 * One version of one source file is one store file, named by a hash of where it comes from and of its version, so bytes of two
 * versions never meet. Invariants:
 *  1. A block is marked present only after its bytes were written; on the disk the mark follows the bytes through a sync.
 *  2. Space is reserved before anything is fetched: a tier's files never take more than its quota.
 *  3. A file with a reference, or one that anybody on this machine still has open or mapped, is never evicted; eviction unlinks
 *     whole files, so whoever mapped one keeps its bytes.
 *  4. A block is in flight for at most one claimer at a time.
 *
 * Threads: every function from any thread. No lock is held across I/O on data.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "reservoir/config.h"

struct error;
struct store;
struct store_file;

struct store_key {
	uint64_t hi, lo;
};

/** Key of the version @version of @path in @source. */
struct store_key store_key_make(const char *source, const char *path, const char *version);

/** Open the tiers' directories (made when absent, locked against a second worker) and learn what they hold. Copies @tiers. */
int store_open(const struct tier_config *tiers, size_t n, uint32_t block_size, struct store **ret, struct error *err);
/** Write down what is not yet on the disk and free. All references must be gone. Accepts NULL. */
void store_close(struct store *s);

struct store_stats {
	uint64_t capacity_bytes, used_bytes; /* used: blocks on the disk or reserved, with overhead */
	uint64_t cached_bytes;               /* bytes of present blocks */
	uint64_t files, evicted_files, evicted_bytes;
	bool disk_full; /* a tier's disk has no space although its quota has */
};
void store_stats(struct store *s, struct store_stats *ret);
uint32_t store_block_size(const struct store *s);

/** Reference to the file of @key, known or new; nothing is made on the disk yet. The caller ends with store_release(). */
int store_acquire(struct store *s, struct store_key key, uint64_t size, struct store_file **ret, struct error *err);
/** One more reference. */
struct store_file *store_ref(struct store_file *f);
/** Accepts NULL. */
void store_release(struct store_file *f);

uint32_t store_file_blocks(const struct store_file *f);
bool store_file_complete(struct store_file *f);
/** Bytes of present blocks. */
uint64_t store_file_cached(struct store_file *f);
/** Bytes cached of @key without making it known (0 when it is not). */
uint64_t store_cached_of(struct store *s, struct store_key key);
/** A new descriptor, read only, owned by the caller; -ENOENT while nothing was ever claimed. */
int store_file_open_fd(struct store_file *f);

enum store_claim { STORE_PRESENT, STORE_BUSY, STORE_CLAIMED };
/**
 * What is at @block, and for how many blocks that holds (*@ret_n >= 1, at most @max_n). Absent blocks become the caller's:
 * STORE_CLAIMED means that it must end each with store_done() or store_fail().
 * -ENOSPC: no room, even after eviction; -EIO and others: the disk.
 */
int store_claim(struct store_file *f, uint32_t block, uint32_t max_n, uint32_t *ret_n, struct error *err);
/** Write bytes of claimed blocks. -ENOSPC when the disk is full although everything that may go was evicted. */
int store_write(struct store_file *f, uint64_t off, const void *data, size_t n);
/** The claimed block is whole. */
void store_done(struct store_file *f, uint32_t block);
/** The claim on @n blocks from @block ends without them. */
void store_fail(struct store_file *f, uint32_t block, uint32_t n, int code, const char *msg);
/** A number that grows with each store_fail() of @f; take it before claiming and hand it to store_wait(). */
uint64_t store_fail_seq(struct store_file *f);
/**
 * Wait until @block is present. 0; -EAGAIN when nobody fetches it; -ETIMEDOUT at @deadline_ns; or the code and message of a
 * store_fail() later than @since.
 */
int store_wait(struct store_file *f, uint32_t block, uint64_t since, int64_t deadline_ns, struct error *err);

/** Sync and write the marks of everything that changed; called by the store's own thread every two seconds, and by tests. */
void store_flush(struct store *s);
