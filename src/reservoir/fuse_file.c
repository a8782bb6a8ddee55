#include <fcntl.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/error.h"
#include "base/file.h"
#include "base/log.h"
#include "reservoir/fuse_internal.h"
#include "reservoir/mountpoint.h"
#include "uapi/fuse_passthrough.h"

/* Of one thread, for the bytes of one answer. */
static _Thread_local unsigned char *read_buffer;

static void rdlock(struct fuse_file *f)
{
	pthread_rwlock_rdlock(&f->lock);
}

static struct fuse_file **find(struct fuse_mount *m, uint64_t id)
{
	struct fuse_file **p = &m->table[id % FUSE_BUCKETS];
	while (*p != NULL && (*p)->id != id)
		p = &(*p)->next;
	return p;
}

static void backing_close(const struct fuse_mount *m, int32_t backing_id)
{
	const uint32_t id = (uint32_t)backing_id;
	(void)ioctl(m->dev, UAPI_FUSE_DEV_IOC_BACKING_CLOSE, &id); /* it ends with the mount at the latest */
}

static void file_free(struct fuse_file *f)
{
	if (f == NULL)
		return;
	close_fd(&f->fd);
	free(f->present);
	(void)pthread_rwlock_destroy(&f->lock);
	free(f);
}

/* Give the file to the kernel; the table's lock is held, so that at most one id is not yet written down. The reasons why it may refuse (a stacked file system, no right) are of the file, not of the mount. */
static void try_passthrough(struct fuse_mount *m, struct fuse_file *f)
{
	if (!f->complete || f->fd < 0 || !atomic_load_explicit(&m->passthrough, memory_order_relaxed))
		return;
	struct uapi_fuse_backing_map map = {.fd = f->fd};
	const int id = ioctl(m->dev, UAPI_FUSE_DEV_IOC_BACKING_OPEN, &map);
	if (id > 0) {
		open_table_head(m->opens)->last_backing = id;
		f->mode = OPEN_PASSTHROUGH;
		f->backing_id = id;
		close_fd(&f->fd); /* the kernel has its own */
		f->fd = -1;
		return;
	}
	const int e = errno;
	if (id < 0 && (e == EPERM || e == EOPNOTSUPP || e == ENOTTY)) {
		atomic_store_explicit(&m->passthrough, false, memory_order_relaxed);
		LOG(NULL, LOG_LVL_INFO, "passthrough is not possible here; reading plainly",
		    LOG_STR("err", strerror(e)));
	}
}

static struct fuse_file *file_new(uint64_t id, const struct rv_opened *o, int fd)
{
	struct fuse_file *f = calloc(1, sizeof *f);
	uint64_t *present = calloc(((size_t)o->blocks + 63) / 64 + 1, sizeof *present);
	if (f == NULL || present == NULL) {
		free(f);
		free(present);
		return NULL;
	}
	*f = (struct fuse_file){
		.id = id, .size = o->size, .blocks = o->blocks, .fd = fd, .present = present, .instance = o->instance};
	f->complete = o->complete != 0 && (fd >= 0 || o->blocks == 0);
	(void)pthread_rwlock_init(&f->lock, NULL);
	return f;
}

/* Write down that the kernel has @f open. Its handle, or 0. The table's lock is held. */
static uint64_t enter(struct fuse_mount *m, struct fuse_file *f)
{
	const struct open_entry e = {.id = f->id,
				     .size = f->size,
				     .unique = fuse_request_unique() & ~UAPI_FUSE_UNIQUE_RESEND,
				     .blocks = f->blocks,
				     .backing_id = f->mode == OPEN_PASSTHROUGH ? f->backing_id : 0};
	const uint64_t handle = open_table_add(m->opens, &e);
	if (handle == 0)
		return 0;
	m->files[open_table_place(m->opens, open_table_get(m->opens, handle))] = f;
	f->opens++;
	return handle;
}

/* Join the file that is open as @id, or become its first open; the worker was told. Takes @fd. A handle or 0. */
static uint64_t join(struct fuse_mount *m, uint64_t id, const struct rv_opened *o, int fd, struct fuse_file **ret)
{
	uint64_t handle = 0;
	pthread_mutex_lock(&m->table_lock);
	struct fuse_file **p = find(m, id), *f = *p;
	if (f != NULL) {
		close_fd(&fd);
	} else if ((f = file_new(id, o, fd)) != NULL) {
		try_passthrough(m, f);
		*p = f;
	} else {
		close_fd(&fd);
	}
	if (f != NULL && (handle = enter(m, f)) != 0)
		f->told++;
	if (f != NULL && f->opens == 0) { /* the table is full */
		*p = NULL;
		if (f->mode == OPEN_PASSTHROUGH)
			backing_close(m, f->backing_id);
		file_free(f);
	}
	pthread_mutex_unlock(&m->table_lock);
	*ret = f;
	return handle;
}

bool fuse_files_tell_released(struct fuse_mount *m)
{
	struct rv_id ids[RV_RELEASE_MAX];
	pthread_mutex_lock(&m->lock);
	const size_t n = m->n_released;
	memcpy(ids, m->released, n * sizeof *ids);
	m->n_released = 0;
	pthread_mutex_unlock(&m->lock);
	if (n == 0)
		return false;
	char text[RV_TEXT_MAX];
	/* a worker that is away, or new, knows nothing of the files */
	(void)client_call(m->client, &(struct client_request){RV_RELEASE, ids, n * sizeof *ids, NULL}, text,
			  sizeof text, NULL, NULL);
	return true;
}

/* A scan of small files closes thousands a second: they are told in bundles, a moment later. */
static void tell_release(struct fuse_mount *m, uint64_t id)
{
	pthread_mutex_lock(&m->lock);
	while (m->n_released == RV_RELEASE_MAX) {
		pthread_mutex_unlock(&m->lock);
		(void)fuse_files_tell_released(m);
		pthread_mutex_lock(&m->lock);
	}
	m->released[m->n_released++] = (struct rv_id){id};
	if (m->n_released == 1)
		pthread_cond_broadcast(&m->changed);
	pthread_mutex_unlock(&m->lock);
}

/* The kernel has closed it; a close that comes again, because a dead server had not answered, finds nothing. */
static void leave(struct fuse_mount *m, uint64_t handle)
{
	pthread_mutex_lock(&m->table_lock);
	struct open_entry *e = open_table_get(m->opens, handle);
	if (e == NULL) {
		pthread_mutex_unlock(&m->table_lock);
		return;
	}
	struct fuse_file *f = m->files[open_table_place(m->opens, e)];
	const bool last = --f->opens == 0;
	if (last)
		*find(m, f->id) = f->next;
	if (last && f->mode == OPEN_PASSTHROUGH) {
		open_table_closing(e);
		backing_close(m, f->backing_id);
	}
	open_table_remove(m->opens, e);
	pthread_mutex_unlock(&m->table_lock);
	if (!last)
		return;
	const uint64_t id = f->id;
	unsigned told = f->told;
	file_free(f); /* before the worker hears of it: it may evict the file at once */
	for (; told > 0; told--)
		tell_release(m, id);
}

static ptrdiff_t call_open(struct fuse_mount *m, uint64_t id, bool again, struct rv_opened *out, int *ret_fd,
			   struct error *err)
{
	const struct rv_open in = {.id = id, .again = again};
	union {
		struct rv_opened opened;
		char text[RV_TEXT_MAX];
	} answer;
	const ptrdiff_t n = client_call(m->client, &(struct client_request){RV_OPEN, &in, sizeof in, NULL}, &answer,
					sizeof answer, ret_fd, err);
	if (n < 0)
		return n;
	if (n != sizeof answer.opened)
		return error_set(err, -EPROTO, "bad answer to open");
	if (answer.opened.blocks != (answer.opened.size + m->block_size - 1) / m->block_size) {
		close_fd(ret_fd);
		*ret_fd = -1;
		return error_set(err, -EPROTO, "worker and mount were started with different block sizes");
	}
	*out = answer.opened;
	return 0;
}

static void reply_open(fuse_req_t req, struct fuse_mount *m, const struct fuse_file *f, uint64_t handle)
{
	/* libfuse 3.14 has no place for the backing id: the answer is made here. The kernel allows few flags beside passthrough. */
	const struct uapi_fuse_open_out out = {
		.fh = handle,
		.open_flags = f->mode == OPEN_PASSTHROUGH ? UAPI_FOPEN_PASSTHROUGH
							  : UAPI_FOPEN_KEEP_CACHE | UAPI_FOPEN_NOFLUSH,
		.backing_id = f->mode == OPEN_PASSTHROUGH ? f->backing_id : 0,
	};
	if (fuse_reply_buf(req, (const char *)&out, sizeof out) < 0)
		leave(m, handle); /* interrupted: the kernel will not release what it did not open */
}

/* Whether a server that died had opened this already, and only did not say so. */
static bool opened_before(fuse_req_t req, struct fuse_mount *m)
{
	const uint64_t unique = fuse_request_unique();
	if ((unique & UAPI_FUSE_UNIQUE_RESEND) == 0)
		return false;
	pthread_mutex_lock(&m->table_lock);
	const uint64_t handle = open_table_find(m->opens, unique & ~UAPI_FUSE_UNIQUE_RESEND);
	const struct fuse_file *f =
		handle != 0 ? m->files[open_table_place(m->opens, open_table_get(m->opens, handle))] : NULL;
	pthread_mutex_unlock(&m->table_lock);
	if (f != NULL)
		reply_open(req, m, f, handle);
	return f != NULL;
}

void fuse_file_op_open(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
	struct fuse_mount *m = fuse_req_userdata(req);
	struct error err = {0};
	struct rv_opened o;
	int fd = -1;
	if ((fi->flags & O_ACCMODE) != O_RDONLY) {
		(void)fuse_reply_err(req, EROFS); /* here and below: a reader who is gone needs no answer */
		return;
	}
	if (opened_before(req, m))
		return;
	const ptrdiff_t r = call_open(m, ino, false, &o, &fd, &err);
	if (r < 0) {
		(void)fuse_reply_err(req, r == -ESTALE ? ESTALE : fuse_failure(m, "open", (int)r, &err));
		return;
	}
	struct fuse_file *f;
	const uint64_t handle = join(m, ino, &o, fd, &f);
	if (handle == 0) {
		tell_release(m, ino);
		(void)fuse_reply_err(req, f == NULL ? ENOMEM : ENFILE);
		return;
	}
	reply_open(req, m, f, handle);
}

void fuse_file_op_release(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
	(void)ino;
	leave(fuse_req_userdata(req), fi->fh);
	(void)fuse_reply_err(req, 0);
}

/* --- reading --- */

/* The worker does not know the file as open: it is a new one. Open it there again, and read from what it gives us. */
static int reopen(struct fuse_mount *m, struct fuse_file *f, struct error *err)
{
	struct rv_opened o;
	int fd = -1;
	const ptrdiff_t r = call_open(m, f->id, true, &o, &fd, err);
	if (r < 0)
		return (int)r;
	if (o.size != f->size || o.blocks != f->blocks) {
		close_fd(&fd);
		return error_set(err, -ESTALE, "the file is another one since the worker started again");
	}
	pthread_rwlock_wrlock(&f->lock);
	memset(f->present, 0, ((size_t)f->blocks + 63) / 64 * sizeof *f->present);
	f->complete = o.complete != 0 && fd >= 0;
	close_fd(&f->fd);
	f->fd = fd;
	f->instance = o.instance;
	pthread_rwlock_unlock(&f->lock);
	pthread_mutex_lock(&m->table_lock);
	f->told++;
	pthread_mutex_unlock(&m->table_lock);
	return 0;
}

static bool has_block(const struct fuse_file *f, uint32_t b)
{
	return f->complete || (__atomic_load_n(&f->present[b / 64], __ATOMIC_ACQUIRE) >> (b % 64) & 1) != 0;
}

/* Whether all of [first, last] can be read from f->fd; the lock is held. */
static bool has_range(const struct fuse_file *f, uint32_t first, uint32_t last, uint32_t *ret_missing)
{
	for (uint32_t b = first; b <= last; b++)
		if (f->fd < 0 || !has_block(f, b)) {
			*ret_missing = b;
			return false;
		}
	return true;
}

static int ensure(struct fuse_mount *m, struct fuse_file *f, uint32_t first, uint32_t last, struct error *err)
{
	rdlock(f);
	const bool want_fd = f->fd < 0;
	pthread_rwlock_unlock(&f->lock);
	const struct rv_range in = {.id = f->id, .first = first, .n = last - first + 1, .want_fd = want_fd};
	union {
		struct rv_ensured ensured;
		char text[RV_TEXT_MAX];
	} answer;
	int fd = -1;
	const ptrdiff_t n = client_call(m->client, &(struct client_request){RV_ENSURE, &in, sizeof in, NULL}, &answer,
					sizeof answer, &fd, err);
	if (n < 0)
		return (int)n;
	if (n != sizeof answer.ensured)
		return error_set(err, -EPROTO, "bad answer to ensure");
	int r = 0;
	pthread_rwlock_wrlock(&f->lock);
	if (answer.ensured.instance != f->instance) {
		r = -EBADF; /* what it made present is in a file that we may not have */
	} else if (f->fd < 0 && fd < 0) {
		r = error_set(err, -EPROTO, "the worker sent no descriptor");
	} else {
		if (f->fd < 0)
			f->fd = TAKE_FD(fd);
		for (uint32_t b = first; b <= last; b++)
			f->present[b / 64] |= UINT64_C(1) << (b % 64);
		f->complete |= answer.ensured.complete != 0;
	}
	pthread_rwlock_unlock(&f->lock);
	close_fd(&fd);
	return r;
}

/* Bytes past the cache: it has no room. */
static int read_past(struct fuse_mount *m, struct fuse_file *f, uint64_t off, unsigned char *to, size_t n,
		     struct error *err)
{
	while (n > 0) {
		const uint32_t take = n < RV_READ_MAX ? (uint32_t)n : RV_READ_MAX;
		const struct rv_bytes in = {.id = f->id, .off = off, .n = take};
		/* a message of failure has room in any case: a thread's buffer is longer than what is asked */
		const ptrdiff_t got = client_call(m->client, &(struct client_request){RV_READ, &in, sizeof in, NULL},
						  to, take < RV_TEXT_MAX ? RV_TEXT_MAX : take, NULL, err);
		if (got < 0)
			return (int)got;
		if ((size_t)got != take)
			return error_set(err, -EPROTO, "bad answer to read");
		to += take;
		off += take;
		n -= take;
	}
	return 0;
}

static int read_stored(struct fuse_file *f, uint64_t off, unsigned char *to, size_t n, struct error *err)
{
	const ssize_t got = file_pread_full(f->fd, to, n, (off_t)off);
	if (got < 0)
		return error_set(err, (int)got, "read a file of the cache: %s", strerror((int)-got));
	return (size_t)got == n ? 0 : error_set(err, -EIO, "a file of the cache is shorter than it was");
}

static int read_range(struct fuse_mount *m, struct fuse_file *f, uint64_t off, unsigned char *to, size_t n,
		      struct error *err)
{
	const uint32_t first = (uint32_t)(off / m->block_size), last = (uint32_t)((off + n - 1) / m->block_size);
	bool missed = false;
	for (unsigned reopened = 0;;) {
		uint32_t missing = 0;
		rdlock(f);
		if (has_range(f, first, last, &missing)) {
			const int r = read_stored(f, off, to, n, err);
			pthread_rwlock_unlock(&f->lock);
			atomic_fetch_add_explicit(missed ? &m->miss_bytes : &m->hit_bytes, n, memory_order_relaxed);
			return r;
		}
		pthread_rwlock_unlock(&f->lock);
		missed = true;
		int r = ensure(m, f, missing, last, err);
		if (r == -ENOSPC && fuse_files_tell_released(m))
			continue; /* what was just closed may go now */
		if (r == -ENOSPC) {
			r = read_past(m, f, off, to, n, err);
			if (r == 0)
				atomic_fetch_add_explicit(&m->miss_bytes, n, memory_order_relaxed);
			if (r == 0)
				return 0;
		}
		if (r == -EBADF && reopened++ < 3)
			r = reopen(m, f, err);
		if (r < 0)
			return r;
	}
}

void fuse_file_op_read(fuse_req_t req, fuse_ino_t ino, size_t size, off_t off, struct fuse_file_info *fi)
{
	(void)ino;
	struct fuse_mount *m = fuse_req_userdata(req);
	/* without the lock: the entry stays as long as the kernel has it open */
	const struct open_entry *e = open_table_get(m->opens, fi->fh);
	struct fuse_file *f = e != NULL ? m->files[open_table_place(m->opens, e)] : NULL;
	struct error err = {0};
	if (f == NULL) {
		(void)fuse_reply_err(req, EBADF);
		return;
	}
	if (off < 0 || (uint64_t)off >= f->size || size == 0) {
		(void)fuse_reply_buf(req, NULL, 0);
		return;
	}
	if (size > f->size - (uint64_t)off)
		size = (size_t)(f->size - (uint64_t)off);
	if (size > MOUNT_MAX_READ)
		size = MOUNT_MAX_READ;
	if (read_buffer == NULL && (read_buffer = malloc(MOUNT_MAX_READ + RV_TEXT_MAX)) == NULL) {
		(void)fuse_reply_err(req, ENOMEM);
		return;
	}
	const int r = read_range(m, f, (uint64_t)off, read_buffer, size, &err);
	if (r < 0) {
		(void)fuse_failure(m, "read", r, &err);
		(void)fuse_reply_err(req, EIO);
	} else {
		(void)fuse_reply_buf(req, (const char *)read_buffer, size);
	}
}

void fuse_file_thread_end(void)
{
	free(TAKE(read_buffer));
}

/* --- what another server had open --- */

static int adopt(struct fuse_mount *m, const struct open_entry *e)
{
	struct fuse_file **p = find(m, e->id), *f = *p;
	if (f == NULL) {
		const struct rv_opened o = {.size = e->size, .blocks = e->blocks};
		if ((f = file_new(e->id, &o, -1)) == NULL)
			return -ENOMEM;
		f->mode = e->backing_id != 0 ? OPEN_PASSTHROUGH : OPEN_PLAIN;
		f->backing_id = e->backing_id;
		*p = f;
	}
	f->opens++;
	m->files[open_table_place(m->opens, e)] = f;
	return 0;
}

int fuse_files_adopt(struct fuse_mount *m)
{
	const int32_t last = open_table_head(m->opens)->last_backing;
	backing_close(m, last + 1); /* if there is one, the server died before it was written down */
	for (struct open_entry *e = NULL; (e = open_table_next(m->opens, e)) != NULL;) {
		if (open_entry_state(e) == OPEN_CLOSING) {
			backing_close(m, e->backing_id);
			open_table_remove(m->opens, e);
		} else if (adopt(m, e) < 0) {
			return -ENOMEM;
		}
	}
	return 0;
}

/* Files that are open and that the worker was not told of; their ids. At most @max. */
static size_t list_untold(struct fuse_mount *m, uint64_t *ids, size_t max)
{
	size_t n = 0;
	pthread_mutex_lock(&m->table_lock);
	for (size_t i = 0; i < FUSE_BUCKETS; i++)
		for (const struct fuse_file *f = m->table[i]; f != NULL && n < max; f = f->next)
			if (f->told == 0)
				ids[n++] = f->id;
	pthread_mutex_unlock(&m->table_lock);
	return n;
}

/* One more open that the worker knows of; false when the file has been closed meanwhile. */
static bool count_told(struct fuse_mount *m, uint64_t id)
{
	pthread_mutex_lock(&m->table_lock);
	struct fuse_file *f = *find(m, id);
	if (f != NULL)
		f->told++;
	pthread_mutex_unlock(&m->table_lock);
	return f != NULL;
}

void fuse_files_open_adopted(struct fuse_mount *m)
{
	CLEANUP(free_p) uint64_t *ids = calloc(OPEN_TABLE_MAX, sizeof *ids);
	const size_t n = ids != NULL ? list_untold(m, ids, OPEN_TABLE_MAX) : 0;
	for (size_t i = 0; i < n; i++) {
		struct rv_opened o;
		struct error err = {0};
		int fd = -1;
		const ptrdiff_t r = call_open(m, ids[i], true, &o, &fd, &err);
		if (r == -ECANCELED)
			return;
		close_fd(&fd); /* whoever reads asks for one */
		if (r == 0 && !count_told(m, ids[i]))
			tell_release(m, ids[i]);
	}
}

void fuse_files_clear(struct fuse_mount *m, bool left)
{
	for (size_t i = 0; i < FUSE_BUCKETS; i++)
		while (m->table[i] != NULL) {
			struct fuse_file *f = m->table[i];
			m->table[i] = f->next;
			if (!left && f->mode == OPEN_PASSTHROUGH)
				backing_close(m, f->backing_id);
			file_free(f);
		}
}
