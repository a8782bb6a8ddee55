#include "local/agent_image.h"

#include <dirent.h>
#include <fcntl.h>
#include <string.h>
#include <sys/sendfile.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/error.h"
#include "base/file.h"
#include "base/str.h"
#include "local/agent_paths.h"

static const char *const trees[] = {"usr", "bin", "sbin", "lib", "lib32", "lib64", "libx32"};

/* Names that programs need to run, trust certificates and name users; nothing that is a secret or tells of the host's services. */
static const char *const etc_files[] = {
	"passwd",      "group",      "ssl",          "ca-certificates", "ca-certificates.conf", "nsswitch.conf",
	"ld.so.cache", "ld.so.conf", "ld.so.conf.d", "localtime",       "alternatives",
};

static const struct {
	const char *name;
	mode_t mode;
} own_dirs[] = {
	{"etc", 0755},     {"tmp", 01777},    {"run", 0755},        {"run/lock", 01777},      {"var", 0755},
	{"var/lib", 0755}, {"var/log", 0755}, {"var/cache", 0755},  {"var/tmp", 01777},       {"var/spool", 0755},
	{"root", 0700},    {"opt", 0755},     {"opt/sluice", 0755}, {"opt/sluice/bin", 0755}, {"proc", 0555},
	{"sys", 0555},     {"dev", 0755},     {"mnt", 0755},
};

static const struct {
	const char *name, *target;
} own_links[] = {
	{"var/run", "/run"},
	{"var/lock", "/run/lock"},
	{"etc/mtab", "/proc/self/mounts"},
};

bool image_is_host(const char *image)
{
	const size_t n = strlen(IMAGE_HOST);
	return image != NULL && strncmp(image, IMAGE_HOST, n) == 0 && (image[n] == '\0' || image[n] == ':');
}

/* What @host is: a link is made again in the root, a file or directory is bound. */
enum host_entry { HOST_ABSENT, HOST_LINK, HOST_BIND };

static enum host_entry look_at(const char *host, struct path *ret_target, mode_t *ret_mode)
{
	struct stat st;
	if (lstat(host, &st) < 0)
		return HOST_ABSENT;
	*ret_mode = st.st_mode;
	if (S_ISLNK(st.st_mode)) {
		const ssize_t n = readlink(host, ret_target->p, sizeof ret_target->p - 1);
		if (n < 0)
			return HOST_ABSENT;
		ret_target->p[n] = '\0';
		return HOST_LINK;
	}
	return S_ISREG(st.st_mode) || S_ISDIR(st.st_mode) ? HOST_BIND : HOST_ABSENT;
}

static int copy_link(int root, const char *host, const char *name, struct error *err)
{
	struct path target;
	mode_t mode = 0;
	if (look_at(host, &target, &mode) != HOST_LINK)
		return 0;
	if (symlinkat(target.p, root, name) < 0)
		return error_set(err, -errno, "container root: link '%s': %s", name, strerror(errno));
	return 0;
}

int image_prepare_root(const char *rootfs, struct error *err)
{
	if (mkdir(rootfs, 0755) < 0)
		return error_set(err, -errno, "container root '%s': %s", rootfs, strerror(errno));
	CLEANUP(close_fd) int root = open(rootfs, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (root < 0)
		return error_set(err, -errno, "container root '%s': %s", rootfs, strerror(errno));

	for (size_t i = 0; i < ARRAY_LEN(own_dirs); i++)
		if (mkdirat(root, own_dirs[i].name, 0755) < 0 ||
		    fchmodat(root, own_dirs[i].name, own_dirs[i].mode, 0) < 0)
			return error_set(err, -errno, "container root '%s/%s': %s", rootfs, own_dirs[i].name,
					 strerror(errno));
	for (size_t i = 0; i < ARRAY_LEN(own_links); i++)
		if (symlinkat(own_links[i].target, root, own_links[i].name) < 0)
			return error_set(err, -errno, "container root '%s/%s': %s", rootfs, own_links[i].name,
					 strerror(errno));

	struct path host, name;
	int rc = 0;
	for (size_t i = 0; rc == 0 && i < ARRAY_LEN(trees); i++)
		rc = path_set(&host, err, "/%s", trees[i]) ?: copy_link(root, host.p, trees[i], err);
	for (size_t i = 0; rc == 0 && i < ARRAY_LEN(etc_files); i++)
		rc = path_set(&host, err, "/etc/%s", etc_files[i]) ?: path_set(&name, err, "etc/%s", etc_files[i]) ?:
			copy_link(root, host.p, name.p, err);
	return rc;
}

static int add_bind(json_t *list, const char *source, const char *dest)
{
	return json_array_append_new(list, json_pack("{s:s, s:s, s:s, s:[s, s, s]}", "destination", dest, "type",
						     "bind", "source", source, "options", "rbind", "rro", "rslave")) < 0
		       ? -ENOMEM
		       : 0;
}

int image_mounts(const char *binary, json_t **ret, struct error *err)
{
	json_t *list = json_array();
	struct path host, target;
	mode_t mode = 0;
	int rc = 0;
	for (size_t i = 0; rc == 0 && i < ARRAY_LEN(trees); i++) {
		rc = path_set(&host, err, "/%s", trees[i]);
		if (rc == 0 && look_at(host.p, &target, &mode) == HOST_BIND)
			rc = add_bind(list, host.p, host.p);
	}
	for (size_t i = 0; rc == 0 && i < ARRAY_LEN(etc_files); i++) {
		rc = path_set(&host, err, "/etc/%s", etc_files[i]);
		if (rc == 0 && look_at(host.p, &target, &mode) == HOST_BIND)
			rc = add_bind(list, host.p, host.p);
	}
	rc = rc ?: add_bind(list, binary, "/opt/sluice/bin/sluice");
	if (rc < 0) {
		json_decref(list);
		return error_set(err, rc, "image's mounts: out of memory");
	}
	*ret = list;
	return 0;
}

static int add_device(json_t *list, int dirfd, const char *name, const char *path)
{
	struct stat st;
	if (fstatat(dirfd, name, &st, AT_SYMLINK_NOFOLLOW) < 0 || (!S_ISCHR(st.st_mode) && !S_ISBLK(st.st_mode)))
		return 0;
	json_t *d =
		json_pack("{s:s, s:s, s:i, s:i, s:i, s:i, s:i}", "path", path, "type", S_ISCHR(st.st_mode) ? "c" : "b",
			  "major", (int)major(st.st_rdev), "minor", (int)minor(st.st_rdev), "fileMode",
			  (int)(st.st_mode & 07777), "uid", (int)st.st_uid, "gid", (int)st.st_gid);
	return json_array_append_new(list, d) < 0 ? -ENOMEM : 0;
}

/* Made by the runtime itself, or of no use without the file system that they belong to. */
static bool skip_device(const char *path)
{
	static const char *const skipped[] = {"/dev/console", "/dev/ptmx",   "/dev/null",    "/dev/zero",
					      "/dev/full",    "/dev/random", "/dev/urandom", "/dev/tty",
					      "/dev/pts",     "/dev/shm",    "/dev/mqueue",  "/dev/fd"};
	for (size_t i = 0; i < ARRAY_LEN(skipped); i++)
		if (strcmp(path, skipped[i]) == 0)
			return true;
	return false;
}

#define DEVICE_DEPTH_MAX 3
#define DEVICES_MAX      4096

static int walk_devices(json_t *list, const char *dir, int depth)
{
	DIR *d = opendir(dir);
	if (d == NULL)
		return 0; /* a directory that went away holds no devices */
	int rc = 0;
	struct path path;
	for (struct dirent *e; rc == 0 && (e = readdir(d)) != NULL && json_array_size(list) < DEVICES_MAX;) {
		if (e->d_name[0] == '.' || path_set(&path, NULL, "%s/%s", dir, e->d_name) < 0 || skip_device(path.p))
			continue;
		if (e->d_type == DT_DIR && depth < DEVICE_DEPTH_MAX)
			rc = walk_devices(list, path.p, depth + 1);
		else if (e->d_type == DT_CHR || e->d_type == DT_BLK)
			rc = add_device(list, dirfd(d), e->d_name, path.p);
	}
	(void)closedir(d);
	return rc;
}

json_t *image_devices(void)
{
	json_t *list = json_array();
	if (list != NULL && walk_devices(list, "/dev", 0) < 0) {
		json_decref(list);
		return NULL;
	}
	return list;
}

static bool same_contents(int a, int b)
{
	struct stat x, y;
	if (fstat(a, &x) < 0 || fstat(b, &y) < 0 || x.st_size != y.st_size)
		return false;
	char p[16384], q[16384];
	for (off_t off = 0; off < x.st_size;) {
		const ssize_t n = file_pread_full(a, p, sizeof p, off);
		const ssize_t m = file_pread_full(b, q, sizeof q, off);
		if (n <= 0 || n != m || memcmp(p, q, (size_t)n) != 0)
			return false;
		off += n;
	}
	return true;
}

static int copy_all(int from, int to, off_t size)
{
	off_t off = 0;
	while (off < size) {
		const ssize_t n = sendfile(to, from, &off, (size_t)(size - off));
		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return n < 0 ? -errno : -EIO;
	}
	return 0;
}

int image_install_binary(const char *path, struct error *err)
{
	/* Through /proc: right also when the file on disk has been replaced since we started. */
	CLEANUP(close_fd) int self = open("/proc/self/exe", O_RDONLY | O_CLOEXEC);
	struct stat st;
	if (self < 0 || fstat(self, &st) < 0)
		return error_set(err, -errno, "own binary: %s", strerror(errno));
	CLEANUP(close_fd) int old = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
	if (old >= 0 && same_contents(self, old))
		return 0;

	struct path tmp;
	int rc = path_set(&tmp, err, "%s.new", path);
	if (rc < 0)
		return rc;
	(void)unlink(tmp.p); /* left by a crash */
	CLEANUP(close_fd) int fd = open(tmp.p, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0755);
	if (fd < 0)
		return error_set(err, -errno, "copy own binary to '%s': %s", tmp.p, strerror(errno));
	rc = copy_all(self, fd, st.st_size);
	if (rc == 0 && (fchmod(fd, 0755) < 0 || fsync(fd) < 0 || rename(tmp.p, path) < 0))
		rc = -errno;
	if (rc < 0) {
		(void)unlink(tmp.p); /* the error matters more */
		return error_set(err, rc, "copy own binary to '%s': %s", path, strerror(-rc));
	}
	return 0;
}
