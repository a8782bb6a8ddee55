#include <string.h>
#include <sys/stat.h>
#include <sys/statvfs.h>

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/error.h"
#include "base/log.h"
#include "reservoir/fuse_internal.h"
#include "reservoir/source.h"

#define LOG_PAUSE_NS  NSEC_PER_SEC
#define DOT_COOKIE    1 /* the root's id, which is nobody's entry */
#define DOTDOT_COOKIE (INT64_C(1) << 40)

int fuse_failure(struct fuse_mount *m, const char *what, int code, const struct error *err)
{
	switch (code) {
	case -ENOENT:
	case -ENOTDIR:
	case -ESTALE:
	case -EACCES:
	case -EINVAL:
	case -ENAMETOOLONG:
	case -ECANCELED:
		return code == -ECANCELED ? EIO : -code;
	default:
		break;
	}
	const int64_t now = clock_mono_ns();
	int64_t last = atomic_load_explicit(&m->last_error_ns, memory_order_relaxed);
	if ((last == 0 || now - last > LOG_PAUSE_NS) &&
	    atomic_compare_exchange_strong_explicit(&m->last_error_ns, &last, now, memory_order_relaxed,
						    memory_order_relaxed))
		LOG(NULL, LOG_LVL_ERROR, "a request failed", LOG_STR("request", what), LOG_STR("err", err->msg));
	return code == -ENOMEM ? ENOMEM : EIO;
}

static void fill_stat(const struct rv_attr *a, struct stat *st)
{
	static const mode_t types[] = {
		[SOURCE_FILE] = S_IFREG | 0444, [SOURCE_DIR] = S_IFDIR | 0555, [SOURCE_LINK] = S_IFLNK | 0777};
	*st = (struct stat){
		.st_ino = a->id,
		.st_mode = (a->type < ARRAY_LEN(types) ? types[a->type] : S_IFREG) | (a->exec != 0 ? 0111u : 0u),
		.st_nlink = a->type == SOURCE_DIR ? 2 : 1,
		.st_size = a->type == SOURCE_DIR ? 4096 : (off_t)a->size,
		.st_blocks = (blkcnt_t)((a->size + 511) / 512),
		.st_blksize = 256 * 1024,
	};
	st->st_mtim.tv_sec = a->mtime_ns / NSEC_PER_SEC;
	st->st_mtim.tv_nsec = a->mtime_ns % NSEC_PER_SEC;
	st->st_atim = st->st_ctim = st->st_mtim;
}

static void fill_entry(const struct fuse_mount *m, const struct rv_attr *a, struct fuse_entry_param *e)
{
	*e = (struct fuse_entry_param){
		.ino = a->id, .attr_timeout = m->attr_timeout, .entry_timeout = m->entry_timeout};
	fill_stat(a, &e->attr);
}

/* A call whose answer is one rv_attr. */
static int call_attr(struct fuse_mount *m, enum rv_op op, uint64_t id, const char *name, struct rv_attr *ret,
		     struct error *err)
{
	const struct rv_id in = {.id = id};
	union {
		struct rv_attr attr;
		char text[RV_TEXT_MAX];
	} answer;
	const ptrdiff_t n = client_call(m->client, &(struct client_request){op, &in, sizeof in, name}, &answer,
					sizeof answer, NULL, err);
	if (n < 0)
		return (int)n;
	if (n != sizeof answer.attr)
		return error_set(err, -EPROTO, "bad answer");
	*ret = answer.attr;
	return 0;
}

/* How long names may be believed is the worker's to say; it may have changed with a new one. */
static void op_init(void *userdata, struct fuse_conn_info *conn)
{
	struct fuse_mount *m = userdata;
	const unsigned want = FUSE_CAP_ASYNC_READ | FUSE_CAP_READDIRPLUS | FUSE_CAP_READDIRPLUS_AUTO |
			      FUSE_CAP_PARALLEL_DIROPS | FUSE_CAP_CACHE_SYMLINKS;
	conn->want = conn->capable & want;
	conn->max_readahead = 8u * 1024 * 1024;
	conn->max_background = 64;
	conn->congestion_threshold = 48;
	pthread_mutex_lock(&m->lock);
	m->greeted = true;
	pthread_cond_broadcast(&m->changed);
	pthread_mutex_unlock(&m->lock);
}

static void op_lookup(fuse_req_t req, fuse_ino_t parent, const char *name)
{
	struct fuse_mount *m = fuse_req_userdata(req);
	struct error err = {0};
	struct rv_attr a;
	struct fuse_entry_param e;
	if (strlen(name) > 255) {
		(void)fuse_reply_err(req, ENAMETOOLONG); /* here and below: a reader who is gone needs no answer */
		return;
	}
	const int r = call_attr(m, RV_LOOKUP, parent, name, &a, &err);
	if (r == -ENOENT) {
		const double timeout = m->entry_timeout;
		e = (struct fuse_entry_param){.entry_timeout = timeout < 1 ? timeout : 1};
		(void)fuse_reply_entry(req, &e);
	} else if (r < 0) {
		(void)fuse_reply_err(req, fuse_failure(m, "lookup", r, &err));
	} else {
		fill_entry(m, &a, &e);
		(void)fuse_reply_entry(req, &e);
	}
}

static void op_getattr(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
	(void)fi;
	struct fuse_mount *m = fuse_req_userdata(req);
	struct error err = {0};
	struct rv_attr a;
	const int r = call_attr(m, RV_GETATTR, ino, NULL, &a, &err);
	if (r < 0) {
		(void)fuse_reply_err(req, fuse_failure(m, "getattr", r, &err));
		return;
	}
	struct stat st;
	fill_stat(&a, &st);
	(void)fuse_reply_attr(req, &st, m->attr_timeout);
}

static void op_readlink(fuse_req_t req, fuse_ino_t ino)
{
	struct fuse_mount *m = fuse_req_userdata(req);
	struct error err = {0};
	const struct rv_id in = {.id = ino};
	char target[8192];
	const ptrdiff_t n = client_call(m->client, &(struct client_request){RV_READLINK, &in, sizeof in, NULL}, target,
					sizeof target - 1, NULL, &err);
	if (n < 0) {
		(void)fuse_reply_err(req, fuse_failure(m, "readlink", (int)n, &err));
		return;
	}
	target[n] = '\0';
	(void)fuse_reply_readlink(req, target);
}

struct listing {
	fuse_req_t req;
	const struct fuse_mount *m;
	char *buf;
	size_t n, size;
	bool plus;
};

/* False when it does not fit any more. */
static bool add_name(struct listing *l, const char *name, const struct rv_attr *a, off_t cookie)
{
	struct fuse_entry_param e;
	size_t n;
	fill_entry(l->m, a, &e);
	/* figures that a page gave only roughly are not shown: without an id the kernel asks when somebody wants them */
	if (a->exact == 0 || cookie == DOT_COOKIE || cookie == DOTDOT_COOKIE)
		e.ino = 0;
	if (l->plus)
		n = fuse_add_direntry_plus(l->req, l->buf + l->n, l->size - l->n, name, &e, cookie);
	else
		n = fuse_add_direntry(l->req, l->buf + l->n, l->size - l->n, name, &e.attr, cookie);
	if (n > l->size - l->n)
		return false;
	l->n += n;
	return true;
}

static ptrdiff_t call_readdir(struct fuse_mount *m, uint64_t id, uint64_t cookie, char *page, size_t size,
			      struct error *err)
{
	const struct rv_readdir in = {.id = id, .cookie = cookie, .max = (uint32_t)size};
	return client_call(m->client, &(struct client_request){RV_READDIR, &in, sizeof in, NULL}, page, size, NULL,
			   err);
}

/* Add the entries of one page. True when there may be more and they may fit. */
static bool add_page(struct listing *l, const char *page, size_t n, uint64_t *cookie)
{
	if (n == 0)
		return false;
	for (size_t at = 0; n - at >= sizeof(struct rv_dirent);) {
		struct rv_dirent d;
		char name[256];
		memcpy(&d, page + at, sizeof d);
		if (d.name_n >= sizeof name || sizeof d + d.name_n > n - at)
			return false;
		memcpy(name, page + at + sizeof d, d.name_n);
		name[d.name_n] = '\0';
		if (!add_name(l, name, &d.attr, (off_t)d.cookie))
			return false;
		*cookie = d.cookie;
		at += sizeof d + ((d.name_n + 8u) & ~(size_t)7);
	}
	return true;
}

static int fill_listing(struct listing *l, struct fuse_mount *m, fuse_ino_t ino, off_t off, struct error *err)
{
	const struct rv_attr dir = {.id = ino, .type = SOURCE_DIR, .exact = 1};
	if (off == 0) {
		if (!add_name(l, ".", &dir, DOT_COOKIE))
			return 0;
		off = DOT_COOKIE;
	}
	if (off == DOT_COOKIE) {
		if (!add_name(l, "..", &dir, DOTDOT_COOKIE))
			return 0;
		off = DOTDOT_COOKIE;
	}
	uint64_t cookie = off == DOTDOT_COOKIE ? 0 : (uint64_t)off;
	/* an entry takes more room here than in the kernel's answer: a page of this size is never much too long */
	const size_t page_size = l->size < 32768 ? l->size : 32768;
	CLEANUP(free_p) char *page = malloc(page_size + RV_TEXT_MAX);
	if (page == NULL)
		return error_set(err, -ENOMEM, "out of memory");
	for (;;) {
		const ptrdiff_t n = call_readdir(m, ino, cookie, page, page_size + RV_TEXT_MAX, err);
		if (n < 0)
			return (int)n;
		if (!add_page(l, page, (size_t)n, &cookie))
			return 0;
	}
}

static void list(fuse_req_t req, fuse_ino_t ino, size_t size, off_t off, bool plus)
{
	struct fuse_mount *m = fuse_req_userdata(req);
	struct error err = {0};
	struct listing l = {.req = req, .m = m, .size = size < 1024 * 1024 ? size : 1024 * 1024, .plus = plus};
	CLEANUP(free_p) char *buf = malloc(l.size + 1);
	l.buf = buf;
	const int r = buf == NULL ? error_set(&err, -ENOMEM, "out of memory") : fill_listing(&l, m, ino, off, &err);
	if (r < 0 && l.n == 0)
		(void)fuse_reply_err(req, fuse_failure(m, "readdir", r, &err));
	else
		(void)fuse_reply_buf(req, l.buf, l.n);
}

static void op_readdir(fuse_req_t req, fuse_ino_t ino, size_t size, off_t off, struct fuse_file_info *fi)
{
	(void)fi;
	list(req, ino, size, off, false);
}

static void op_readdirplus(fuse_req_t req, fuse_ino_t ino, size_t size, off_t off, struct fuse_file_info *fi)
{
	(void)fi;
	list(req, ino, size, off, true);
}

static void op_statfs(fuse_req_t req, fuse_ino_t ino)
{
	(void)ino;
	struct fuse_mount *m = fuse_req_userdata(req);
	struct error err = {0};
	union {
		struct rv_statfs statfs;
		char text[RV_TEXT_MAX];
	} answer;
	const ptrdiff_t n =
		client_call(m->client, &(struct client_request){.op = RV_STATFS}, &answer, sizeof answer, NULL, &err);
	if (n != sizeof answer.statfs) {
		(void)fuse_reply_err(req, n < 0 ? fuse_failure(m, "statfs", (int)n, &err) : EIO);
		return;
	}
	const struct statvfs st = {
		.f_bsize = 4096,
		.f_frsize = 4096,
		.f_blocks = (answer.statfs.bytes + 4095) / 4096,
		.f_files = answer.statfs.files,
		.f_namemax = 255,
		.f_flag = ST_RDONLY,
	};
	(void)fuse_reply_statfs(req, &st);
}

static const char xattr_cached[] = "user.sluice.cached", xattr_version[] = "user.sluice.version";

static void reply_xattr(fuse_req_t req, const char *value, size_t n, size_t size)
{
	if (size == 0)
		(void)fuse_reply_xattr(req, n);
	else if (n > size)
		(void)fuse_reply_err(req, ERANGE);
	else
		(void)fuse_reply_buf(req, value, n);
}

static void op_getxattr(fuse_req_t req, fuse_ino_t ino, const char *name, size_t size)
{
	const bool version = strcmp(name, xattr_version) == 0;
	if (!version && strcmp(name, xattr_cached) != 0) {
		(void)fuse_reply_err(req, ENODATA);
		return;
	}
	struct fuse_mount *m = fuse_req_userdata(req);
	struct error err = {0};
	const struct rv_id in = {.id = ino};
	struct {
		struct rv_cached cached;
		char text[RV_TEXT_MAX];
	} answer;
	const ptrdiff_t n = client_call(m->client, &(struct client_request){RV_CACHED, &in, sizeof in, NULL}, &answer,
					sizeof answer, NULL, &err);
	if (n < (ptrdiff_t)sizeof answer.cached) {
		(void)fuse_reply_err(req, n == -EINVAL ? ENODATA
					  : n < 0      ? fuse_failure(m, "getxattr", (int)n, &err)
						       : EIO);
		return;
	}
	if (version) {
		reply_xattr(req, answer.text, (size_t)n - sizeof answer.cached, size);
		return;
	}
	char percent[8];
	const uint64_t total = answer.cached.size;
	(void)snprintf(percent, sizeof percent, "%u",
		       total == 0 ? 100u : (unsigned)((double)answer.cached.cached / (double)total * 100));
	reply_xattr(req, percent, strlen(percent), size);
}

static void op_listxattr(fuse_req_t req, fuse_ino_t ino, size_t size)
{
	(void)ino;
	char names[sizeof xattr_cached + sizeof xattr_version];
	memcpy(names, xattr_cached, sizeof xattr_cached);
	memcpy(names + sizeof xattr_cached, xattr_version, sizeof xattr_version);
	reply_xattr(req, names, sizeof names, size);
}

/* Ids are the index's: nothing is kept for the kernel's references. */
static void op_forget(fuse_req_t req, fuse_ino_t ino, uint64_t nlookup)
{
	(void)ino;
	(void)nlookup;
	fuse_reply_none(req);
}

static void op_forget_multi(fuse_req_t req, size_t count, struct fuse_forget_data *forgets)
{
	(void)count;
	(void)forgets;
	fuse_reply_none(req);
}

const struct fuse_lowlevel_ops fuse_mount_ops = {
	.init = op_init,
	.lookup = op_lookup,
	.forget = op_forget,
	.forget_multi = op_forget_multi,
	.getattr = op_getattr,
	.readlink = op_readlink,
	.open = fuse_file_op_open,
	.read = fuse_file_op_read,
	.release = fuse_file_op_release,
	.readdir = op_readdir,
	.readdirplus = op_readdirplus,
	.statfs = op_statfs,
	.getxattr = op_getxattr,
	.listxattr = op_listxattr,
};
