/* fuse_session.c: kernel's greeting and threads; fuse_ops.c: names and figures; fuse_file.c: open files and their bytes. */
#pragma once

#define FUSE_USE_VERSION 312
#include <fuse_lowlevel.h>
#include <limits.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "reservoir/client.h"
#include "reservoir/fuse.h"
#include "reservoir/keeper_link.h"
#include "reservoir/open_table.h"
#include "reservoir/proto.h"

#define FUSE_THREADS_MAX 128
#define FUSE_BUCKETS     1024

enum open_mode { OPEN_PLAIN, OPEN_PASSTHROUGH };

/*
 * A file version that the kernel has open. Its first open fixes the mode until the last close: the kernel refuses to mix.
 */
struct fuse_file {
	struct fuse_file *next;
	uint64_t id, size;
	uint32_t blocks;
	unsigned opens; /* by the kernel; guarded by the table's lock */
	unsigned told;  /* opens that the worker knows of; guarded by the table's lock */
	enum open_mode mode;
	int32_t backing_id;
	pthread_rwlock_t lock; /* guards the rest; held for reading while bytes are read from fd */
	int fd;                /* the store file, or -1 */
	uint64_t instance;     /* of the worker that it is from */
	bool complete;
	uint64_t *present; /* blocks known to be in fd */
};

struct fuse_mount {
	struct fuse_mount_options o;
	char *dir;                /* resolved */
	int dev;                  /* /dev/fuse; the session's */
	struct keeper_link *link; /* NULL: nobody keeps the mount */
	struct client *client;
	struct fuse_session *session;
	_Atomic double entry_timeout, attr_timeout; /* 0 until the worker was heard */
	uint32_t block_size;
	uint64_t init_unique;    /* of the kernel's INIT, while its answer is under way */
	uint64_t offered;        /* flags of the kernel's INIT */
	bool adopted;            /* another server was greeted: the kernel is not to be answered again */
	atomic_bool passthrough; /* in use */
	atomic_uint_fast64_t hit_bytes, miss_bytes;
	atomic_int_fast64_t last_error_ns; /* of the last logged failure */
	pthread_mutex_t table_lock;        /* guards the table and what is entered in opens */
	struct fuse_file *table[FUSE_BUCKETS];
	struct open_table *opens;
	struct fuse_file **files; /* by the places in opens; the kernel lets go of a file only after its last read */
	pthread_mutex_t lock;     /* guards the rest */
	pthread_cond_t changed;
	pthread_t threads[FUSE_THREADS_MAX];
	size_t n_threads, n_idle;
	struct rv_id released[RV_RELEASE_MAX]; /* closed, and the worker is not yet told */
	size_t n_released;
	pthread_t reporter;
	bool reporting, greeted, ending, ended;
};

/** Operations of the low-level interface; user data is the struct fuse_mount. */
extern const struct fuse_lowlevel_ops fuse_mount_ops;

void fuse_file_op_open(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi);
void fuse_file_op_read(fuse_req_t req, fuse_ino_t ino, size_t size, off_t off, struct fuse_file_info *fi);
void fuse_file_op_release(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi);
/** Tell the worker what was closed. Whether there was anything to tell. */
bool fuse_files_tell_released(struct fuse_mount *m);
/** Take over what another server had open. The kernel is not read yet. 0 or -ENOMEM. */
int fuse_files_adopt(struct fuse_mount *m);
/** Tell the worker that adopted files are open, so that they stay. */
void fuse_files_open_adopted(struct fuse_mount *m);
/** The kernel's number of the request that this thread works on. */
uint64_t fuse_request_unique(void);
/** A thread that has read ends. */
void fuse_file_thread_end(void);
/** Free what is open. @left: the kernel still has it open, for the next server. */
void fuse_files_clear(struct fuse_mount *m, bool left);

/** A failed call: what the reader is told (a positive errno); the reason is logged, now and then. */
int fuse_failure(struct fuse_mount *m, const char *what, int code, const struct error *err);
