#include "base/file.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/openat2.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/error.h"
#include "base/random.h"

#define TREE_MAX_DEPTH 256 /* one descriptor is open for each level */

int file_read_fd(int fd, const char *what, size_t max, char **ret, size_t *ret_n, struct error *err)
{
	size_t cap = 4096 < max ? 4096 : max, n = 0;
	CLEANUP(free_p) char *buf = malloc(cap + 1);
	if (buf == NULL)
		return error_set(err, -ENOMEM, "read '%s': out of memory", what);

	for (;;) {
		const ssize_t k = read(fd, buf + n, cap + 1 - n);
		if (k < 0 && errno == EINTR)
			continue;
		if (k < 0)
			return error_set(err, -errno, "read '%s': %s", what, strerror(errno));
		if (k == 0)
			break;
		n += (size_t)k;
		if (n > max)
			return error_set(err, -EFBIG, "read '%s': larger than %zu bytes", what, max);
		if (n <= cap)
			continue;
		cap = cap > max / 2 ? max : cap * 2;
		char *bigger = realloc(buf, cap + 1);
		if (bigger == NULL)
			return error_set(err, -ENOMEM, "read '%s': out of memory", what);
		buf = bigger;
	}
	buf[n] = '\0';
	*ret = TAKE(buf);
	if (ret_n != NULL)
		*ret_n = n;
	return 0;
}

int file_read(const char *path, size_t max, char **ret, size_t *ret_n, struct error *err)
{
	CLEANUP(close_fd) int fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return error_set(err, -errno, "open '%s': %s", path, strerror(errno));
	return file_read_fd(fd, path, max, ret, ret_n, err);
}

int file_write_all(int fd, const void *data, size_t n)
{
	const char *p = data;
	while (n > 0) {
		const ssize_t k = write(fd, p, n);
		if (k < 0 && errno == EINTR)
			continue;
		if (k < 0)
			return -errno;
		p += k;
		n -= (size_t)k;
	}
	return 0;
}

int file_pwrite_all(int fd, const void *data, size_t n, off_t off)
{
	const char *p = data;
	while (n > 0) {
		const ssize_t k = pwrite(fd, p, n, off);
		if (k < 0 && errno == EINTR)
			continue;
		if (k < 0)
			return -errno;
		p += k;
		off += k;
		n -= (size_t)k;
	}
	return 0;
}

ssize_t file_pread_full(int fd, void *buf, size_t n, off_t off)
{
	size_t done = 0;
	while (done < n) {
		const ssize_t k = pread(fd, (char *)buf + done, n - done, off + (off_t)done);
		if (k < 0 && errno == EINTR)
			continue;
		if (k < 0)
			return -errno;
		if (k == 0)
			break;
		done += (size_t)k;
	}
	return (ssize_t)done;
}

/* Open the directory that holds @path and find the name in it. */
static int open_parent(const char *path, const char **ret_name, struct error *err)
{
	const char *slash = strrchr(path, '/');
	char dir[PATH_MAX] = ".";
	if (slash != NULL) {
		const size_t n = slash == path ? 1 : (size_t)(slash - path);
		if (n >= sizeof dir)
			return error_set(err, -ENAMETOOLONG, "write '%.100s...': the path is too long", path);
		memcpy(dir, path, n);
		dir[n] = '\0';
	}
	*ret_name = slash != NULL ? slash + 1 : path;
	if (**ret_name == '\0')
		return error_set(err, -EISDIR, "write '%s': this names a directory", path);
	const int fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	return fd < 0 ? error_set(err, -errno, "open '%s': %s", dir, strerror(errno)) : fd;
}

/* Write @data under @tmp, whole and on disk. 0 or -errno. */
static int write_new(int dirfd, const char *tmp, mode_t mode, const void *data, size_t n)
{
	CLEANUP(close_fd) int fd = openat(dirfd, tmp, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
	if (fd < 0)
		return -errno;
	const int rc = file_write_all(fd, data, n);
	if (rc < 0)
		return rc;
	return fchmod(fd, mode) < 0 || fsync(fd) < 0 ? -errno : 0;
}

int file_write_atomic(const char *path, mode_t mode, const void *data, size_t n, struct error *err)
{
	const char *name;
	CLEANUP(close_fd) int dirfd = open_parent(path, &name, err);
	if (dirfd < 0)
		return dirfd;

	char suffix[9], tmp[NAME_MAX + 1];
	random_suffix(suffix, sizeof suffix - 1);
	(void)snprintf(tmp, sizeof tmp, ".%.200s.%s", name, suffix);
	int rc = write_new(dirfd, tmp, mode, data, n);
	if (rc == 0 && renameat(dirfd, tmp, dirfd, name) < 0)
		rc = -errno;
	if (rc < 0) {
		(void)unlinkat(dirfd, tmp, 0); /* it may not exist; the first error is the one to tell */
		return error_set(err, rc, "write '%s': %s", path, strerror(-rc));
	}
	if (fsync(dirfd) < 0)
		return error_set(err, -errno, "write '%s': fsync of its directory: %s", path, strerror(errno));
	return 0;
}

int file_mkdir_all(const char *path, mode_t mode, struct error *err)
{
	char p[PATH_MAX];
	const size_t n = strlen(path);
	if (n == 0 || n >= sizeof p)
		return error_set(err, n == 0 ? -ENOENT : -ENAMETOOLONG, "create directory '%.100s': bad path", path);
	memcpy(p, path, n + 1);
	for (size_t i = 1; i <= n; i++) {
		if (p[i] != '/' && p[i] != '\0')
			continue;
		const char c = p[i];
		p[i] = '\0';
		struct stat st;
		const int code = mkdir(p, mode) < 0 ? errno : 0;
		if (code != 0 && code != EEXIST && !(stat(p, &st) == 0 && S_ISDIR(st.st_mode)))
			return error_set(err, -code, "create directory '%s': %s", p, strerror(code));
		p[i] = c;
	}
	struct stat st;
	if (stat(path, &st) < 0 || !S_ISDIR(st.st_mode))
		return error_set(err, -ENOTDIR, "create directory '%s': something else has this name", path);
	return 0;
}

static void close_dir(DIR **d)
{
	if (*d != NULL)
		(void)closedir(*d);
}

/* A bind mount may share its device with the tree around it, so the device number does not tell: ask for the mount. */
static int refuse_mount(int fd)
{
	struct statx st;
	if (statx(fd, "", AT_EMPTY_PATH | AT_NO_AUTOMOUNT, STATX_TYPE, &st) < 0)
		return -errno;
	if ((st.stx_attributes_mask & STATX_ATTR_MOUNT_ROOT) == 0)
		return -EOPNOTSUPP;
	return (st.stx_attributes & STATX_ATTR_MOUNT_ROOT) != 0 ? -EBUSY : 0;
}

/* Remove everything in the directory @name below @parent, then itself. */
static int remove_dir(int parent, const char *name, int depth)
{
	if (depth > TREE_MAX_DEPTH)
		return -ELOOP;
	CLEANUP(close_fd) int fd = openat(parent, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (fd < 0)
		return errno == ENOENT ? 0 : -errno;
	int rc = refuse_mount(fd);
	if (rc < 0)
		return rc;
	CLEANUP(close_dir) DIR *d = fdopendir(fd);
	if (d == NULL)
		return -errno;
	(void)TAKE_FD(fd); /* the stream owns it now */

	for (struct dirent *e; errno = 0, (e = readdir(d)) != NULL;) {
		if (strcmp(e->d_name, ".") == 0 || strcmp(e->d_name, "..") == 0)
			continue;
		if (unlinkat(dirfd(d), e->d_name, 0) == 0 || errno == ENOENT)
			continue;
		if (errno != EISDIR)
			return -errno;
		rc = remove_dir(dirfd(d), e->d_name, depth + 1);
		if (rc < 0)
			return rc;
	}
	if (errno != 0)
		return -errno;
	return unlinkat(parent, name, AT_REMOVEDIR) < 0 && errno != ENOENT ? -errno : 0;
}

int file_remove_all(const char *path, struct error *err)
{
	struct stat st;
	if (lstat(path, &st) < 0)
		return errno == ENOENT ? 0 : error_set(err, -errno, "remove '%s': %s", path, strerror(errno));
	int rc;
	if (S_ISDIR(st.st_mode))
		rc = remove_dir(AT_FDCWD, path, 0);
	else
		rc = unlink(path) < 0 && errno != ENOENT ? -errno : 0;
	if (rc == -EBUSY)
		return error_set(err, rc, "remove '%s': something is mounted there or below; unmount it first", path);
	return rc < 0 ? error_set(err, rc, "remove '%s': %s", path, strerror(-rc)) : 0;
}

int file_open_beneath(int dirfd, const char *rel, int flags, mode_t mode)
{
	const bool creates = (flags & O_CREAT) != 0 || (flags & O_TMPFILE) == O_TMPFILE;
	struct open_how how = {
		.flags = (uint64_t)(unsigned)(flags | O_CLOEXEC),
		.mode = creates ? mode : 0, /* openat2 refuses a mode that does nothing */
		.resolve = RESOLVE_BENEATH | RESOLVE_NO_MAGICLINKS,
	};
	for (int tries = 0;; tries++) {
		const long fd = syscall(SYS_openat2, dirfd, rel, &how, sizeof how);
		if (fd >= 0)
			return (int)fd;
		/* EAGAIN: a rename somewhere raced with a ".." in the path. */
		if (errno != EINTR && (errno != EAGAIN || tries == 100))
			return -errno;
	}
}

bool file_exists(const char *path)
{
	struct stat st;
	return stat(path, &st) == 0;
}

char *file_self_exe(void)
{
	char buf[PATH_MAX];
	const ssize_t n = readlink("/proc/self/exe", buf, sizeof buf);
	return n <= 0 || (size_t)n == sizeof buf ? NULL : strndup(buf, (size_t)n);
}
