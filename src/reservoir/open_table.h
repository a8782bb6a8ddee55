/*
 * What the kernel has open of a mount, in shared memory that outlives the server: a memfd, whose descriptor the keeper holds. Memory
 * instead of messages: an entry is whole at any instant at which the server may be killed, and an open costs no system call.
 *
 * Invariants: (1) an entry is written before the kernel is told of the open, and goes only once the kernel has closed it; (2) each
 * carries the request that made it, so a request that comes again (the dead server had not answered) finds it instead of counting
 * twice; (3) a handle is used once: a close that comes again finds nothing.
 *
 * Threads: the caller has the lock, but for the head once it was written.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct error;
struct open_table;

#define OPEN_TABLE_MAX (1u << 20) /* files open at once; only what was used once takes memory */

/** The kernel's greeting and what was agreed, for servers that come later. */
struct open_head {
	uint32_t major, minor; /* the mount's device */
	uint32_t block_size;
	int32_t last_backing; /* id of the last file that was given to the kernel */
	uint64_t flags;       /* that the answer had */
	uint32_t init_n;
	unsigned char init[124]; /* the request */
};

enum open_state { OPEN_FREE, OPEN_USED, OPEN_CLOSING };

struct open_entry {
	uint64_t id, size;
	uint64_t unique; /* of the request */
	uint32_t blocks;
	int32_t backing_id; /* 0: not given to the kernel */
	uint64_t turn;      /* how often the place was used, and in the low half the state */
};

static inline enum open_state open_entry_state(const struct open_entry *e)
{
	return (enum open_state)(uint32_t)__atomic_load_n(&e->turn, __ATOMIC_ACQUIRE);
}

static inline uint32_t open_entry_generation(const struct open_entry *e)
{
	return (uint32_t)(__atomic_load_n(&e->turn, __ATOMIC_RELAXED) >> 32);
}

/** A new table (@fd -1), or the one that another server left in @fd, which stays the caller's. -EPROTO: of another version. */
int open_table_new(int fd, struct open_table **ret, struct error *err);
/** Accepts NULL. The memory itself goes with the last descriptor. */
void open_table_free(struct open_table *t);
/** Borrowed. */
int open_table_fd(const struct open_table *t);
struct open_head *open_table_head(struct open_table *t);

/** Enter an open; its handle, or 0 when the table is full. */
uint64_t open_table_add(struct open_table *t, const struct open_entry *e);
/** What is open under @handle, or NULL. */
struct open_entry *open_table_get(struct open_table *t, uint64_t handle);
/** The handle that the request @unique made, or 0. */
uint64_t open_table_find(struct open_table *t, uint64_t unique);
/** Nobody may join it any more, but what it holds is not yet given back. */
void open_table_closing(struct open_entry *e);
/** The kernel has closed it. @e is of this table. */
void open_table_remove(struct open_table *t, struct open_entry *e);
/** The entry after @e (NULL: the first) that is not free, or NULL. */
struct open_entry *open_table_next(struct open_table *t, struct open_entry *e);
/** The place of an entry: below OPEN_TABLE_MAX. */
size_t open_table_place(const struct open_table *t, const struct open_entry *e);
