/* file:///dir: a directory of this machine. Links are shown as links; nothing outside the directory is ever opened. */
#include <dirent.h>
#include <fcntl.h>
#include <limits.h>
#include <sys/stat.h>

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/error.h"
#include "base/file.h"
#include "base/str.h"
#include "reservoir/source_internal.h"

#define CHUNK (256u * 1024)

struct source_file {
	struct source base;
	char *root;
};

/* The root is opened anew each time: it may appear, or be mounted upon, after we started. */
static int open_beneath(struct source *s, const char *path, int flags, struct error *err)
{
	const char *root = ((struct source_file *)s)->root;
	CLEANUP(close_fd) int dir = open(root, O_PATH | O_DIRECTORY | O_CLOEXEC);
	if (dir < 0)
		return error_set(err, -errno, "file://%s: %s", root, strerror(errno));
	/* a fifo in place of the file must not hold us up; openat2() takes no such flag beside O_PATH */
	const int extra = (flags & O_PATH) != 0 ? O_CLOEXEC : O_CLOEXEC | O_NONBLOCK;
	const int fd = file_open_beneath(dir, *path == '\0' ? "." : path, flags | extra, 0);
	return fd >= 0 ? fd : error_set(err, fd, "file://%s/%s: %s", root, path, strerror(-fd));
}

static void fill_stat(struct source_stat *ret, const struct stat *st)
{
	*ret = (struct source_stat){
		.type = S_ISDIR(st->st_mode)   ? SOURCE_DIR
			: S_ISLNK(st->st_mode) ? SOURCE_LINK
					       : SOURCE_FILE,
		.size_exact = true,
		.exact = true,
		.exec = S_ISREG(st->st_mode) && (st->st_mode & 0111) != 0,
		.size = S_ISDIR(st->st_mode) ? 0 : (uint64_t)st->st_size,
		.mtime_ns = (int64_t)st->st_mtim.tv_sec * NSEC_PER_SEC + st->st_mtim.tv_nsec,
	};
}

static bool shown(const struct stat *st)
{
	return S_ISREG(st->st_mode) || S_ISDIR(st->st_mode) || S_ISLNK(st->st_mode);
}

static int list_one(DIR *d, const char *name, int (*fn)(void *, const struct source_entry *), void *ctx)
{
	struct stat st;
	char link[PATH_MAX] = "";
	if (strcmp(name, ".") == 0 || strcmp(name, "..") == 0)
		return 0;
	if (fstatat(dirfd(d), name, &st, AT_SYMLINK_NOFOLLOW) < 0)
		return errno == ENOENT ? 0 : -errno; /* it went while we were listing */
	if (!shown(&st))
		return 0;
	if (S_ISLNK(st.st_mode)) {
		const ssize_t n = readlinkat(dirfd(d), name, link, sizeof link - 1);
		if (n < 0)
			return 0; /* went, or became something else */
		link[n] = '\0';
	}
	struct source_entry e = {.name = name, .link = link};
	fill_stat(&e.st, &st);
	return fn(ctx, &e);
}

static int file_list(struct source *s, const char *dir, int (*fn)(void *, const struct source_entry *), void *ctx,
		     struct error *err)
{
	const int fd = open_beneath(s, dir, O_RDONLY | O_DIRECTORY, err);
	if (fd < 0)
		return fd;
	DIR *d = fdopendir(fd);
	if (d == NULL) {
		const int r = -errno;
		(void)close(fd);
		return error_set(err, r, "%s: %s", s->url, strerror(-r));
	}
	int r = 0;
	unsigned count = 0;
	for (struct dirent *e; r == 0;) {
		errno = 0;
		if ((e = readdir(d)) == NULL) {
			r = -errno;
			break;
		}
		r = ++count > SOURCE_LIST_MAX ? -E2BIG : list_one(d, e->d_name, fn, ctx);
	}
	(void)closedir(d);
	return r < 0 ? error_set(err, r, "%s/%s: %s", s->url, dir, strerror(-r)) : 0;
}

static int file_stat(struct source *s, const char *path, struct source_stat *ret, struct error *err)
{
	CLEANUP(close_fd) int fd = open_beneath(s, path, O_PATH | O_NOFOLLOW, err);
	if (fd < 0)
		return fd;
	struct stat st;
	if (fstat(fd, &st) < 0)
		return error_set(err, -errno, "%s/%s: %s", s->url, path, strerror(errno));
	if (!shown(&st))
		return error_set(err, -ENOENT, "%s/%s: no file, directory or link", s->url, path);
	fill_stat(ret, &st);
	return 0;
}

static int same_file(int fd, const struct source_stat *v)
{
	struct stat st;
	struct source_stat now;
	if (fstat(fd, &st) < 0)
		return -errno;
	fill_stat(&now, &st);
	return source_same_version(&now, v) ? 0 : -ESTALE;
}

/* The version is looked at after each piece is read and before it is handed on. */
static int copy_range(struct source *s, int fd, const struct source_stat *v, uint64_t off, uint64_t n,
		      int (*sink)(void *, const void *, size_t), void *ctx, void *buf)
{
	while (n > 0) {
		if (atomic_load_explicit(&s->cancel, memory_order_relaxed))
			return -ECANCELED;
		const size_t want = n < CHUNK ? (size_t)n : CHUNK;
		const ssize_t got = file_pread_full(fd, buf, want, (off_t)off);
		if (got < 0)
			return (int)got;
		int r = same_file(fd, v);
		if (r < 0)
			return r;
		if ((size_t)got != want)
			return -ESTALE;
		if ((r = sink(ctx, buf, want)) < 0)
			return r;
		off += want;
		n -= want;
	}
	return 0;
}

static int file_read_range(struct source *s, const char *path, const struct source_stat *v, uint64_t off, uint64_t n,
			   int (*sink)(void *, const void *, size_t), void *ctx, struct error *err)
{
	CLEANUP(close_fd) int fd = open_beneath(s, path, O_RDONLY | O_NOFOLLOW, err);
	if (fd < 0)
		return fd;
	CLEANUP(free_p) void *buf = malloc(CHUNK);
	int r = buf == NULL ? -ENOMEM : same_file(fd, v);
	if (r == 0)
		r = copy_range(s, fd, v, off, n, sink, ctx, buf);
	if (r == -ESTALE)
		return error_set(err, r, "%s/%s: changed while it was being read", s->url, path);
	return r < 0 ? error_set(err, r, "%s/%s: %s", s->url, path, strerror(-r)) : 0;
}

static void file_free(struct source *s)
{
	free(((struct source_file *)s)->root);
	free(s);
}

static const struct source_ops file_ops = {
	.list = file_list, .stat = file_stat, .read = file_read_range, .free = file_free};

int source_file_new(const char *url, struct source **ret, struct error *err)
{
	struct source_file *f = calloc(1, sizeof *f);
	char *root = strdup(url + strlen("file://"));
	if (f == NULL || root == NULL) {
		free(f);
		free(root);
		return error_set(err, -ENOMEM, "%s: out of memory", url);
	}
	for (size_t n = strlen(root); n > 1 && root[n - 1] == '/'; n--)
		root[n - 1] = '\0';
	*f = (struct source_file){.base.ops = &file_ops, .root = root};
	*ret = &f->base;
	return 0;
}
