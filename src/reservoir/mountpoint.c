#include "reservoir/mountpoint.h"

#include <fcntl.h>
#include <sys/mount.h>
#include <sys/statfs.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/error.h"
#include "base/file.h"
#include "base/log.h"
#include "base/str.h"

#define MOUNTINFO_MAX (64u * 1024 * 1024)

/* mountinfo writes blanks and the like as \040. */
static void unescape(char *s)
{
	char *to = s;
	for (const char *p = s; *p != '\0';) {
		if (p[0] == '\\' && p[1] >= '0' && p[1] <= '3' && p[2] >= '0' && p[2] <= '7' && p[3] >= '0' &&
		    p[3] <= '7') {
			*to++ = (char)((p[1] - '0') * 64 + (p[2] - '0') * 8 + (p[3] - '0'));
			p += 4;
		} else {
			*to++ = *p++;
		}
	}
	*to = '\0';
}

struct mount_line {
	const char *dir;
	unsigned major, minor;
	bool ours;
};

/* "0:51". */
static bool parse_device(const char *text, struct mount_line *ret)
{
	char *end;
	const unsigned long major = strtoul(text, &end, 10), minor = *end == ':' ? strtoul(end + 1, &end, 10) : 0;
	ret->major = (unsigned)major;
	ret->minor = (unsigned)minor;
	return end != text && *end == ' ' && major <= UINT_MAX && minor <= UINT_MAX;
}

/* False when the line makes no sense; the line is changed. */
static bool parse_line(char *line, struct mount_line *ret)
{
	const char *sep = strstr(line, " - ");
	int dev_at = 0, dir_at = 0, dir_end = 0;
	if (sep == NULL || sscanf(line, "%*d %*d %n%*s %*s %n%*s%n", &dev_at, &dir_at, &dir_end) < 0 || dir_end == 0 ||
	    !parse_device(line + dev_at, ret))
		return false;
	ret->ours = str_has_prefix(sep + 3, MOUNT_TYPE " ");
	line[dir_end] = '\0';
	unescape(line + dir_at);
	ret->dir = line + dir_at;
	return true;
}

/* Show each mount of this namespace to @see, lower ones first. -errno when they cannot be read. */
static int each_mount(void (*see)(const struct mount_line *l, void *ctx), void *ctx)
{
	CLEANUP(free_p) char *text = NULL;
	const int r = file_read("/proc/self/mountinfo", MOUNTINFO_MAX, &text, NULL, NULL);
	char *save = NULL;
	for (char *line = r < 0 ? NULL : strtok_r(text, "\n", &save); line != NULL;
	     line = strtok_r(NULL, "\n", &save)) {
		struct mount_line l;
		if (parse_line(line, &l))
			see(&l, ctx);
	}
	return r;
}

struct search {
	const char *dir;
	unsigned major, minor; /* found there, or looked for elsewhere */
	bool found, ours;
	unsigned other;
};

static void see_at(const struct mount_line *l, void *ctx)
{
	struct search *s = ctx;
	if (strcmp(l->dir, s->dir) != 0)
		return;
	s->found = true;
	s->ours = l->ours;
	s->major = l->major;
	s->minor = l->minor;
}

/* The uppermost mount exactly at @dir, and whether it is ours. False when there is none. */
static bool find_mount(const char *dir, struct search *ret)
{
	*ret = (struct search){.dir = dir};
	return each_mount(see_at, ret) >= 0 && ret->found;
}

static void see_other(const struct mount_line *l, void *ctx)
{
	struct search *s = ctx;
	s->other += l->major == s->major && l->minor == s->minor && strcmp(l->dir, s->dir) != 0;
}

unsigned mountpoint_count_other(const char *path, unsigned major, unsigned minor)
{
	struct search s = {.dir = path, .major = major, .minor = minor};
	return each_mount(see_other, &s) < 0 ? 1 : s.other; /* what cannot be looked at may be in use */
}

bool mountpoint_device(const char *path, unsigned *ret_major, unsigned *ret_minor)
{
	struct search s;
	if (!find_mount(path, &s) || !s.ours)
		return false;
	*ret_major = s.major;
	*ret_minor = s.minor;
	return true;
}

void mountpoint_detach_device(const char *path, unsigned major, unsigned minor)
{
	unsigned a, b;
	if (mountpoint_device(path, &a, &b) && a == major && b == minor)
		(void)umount2(path, MNT_DETACH | UMOUNT_NOFOLLOW); /* somebody else may just have done it */
}

/* Detach what dead servers left at @dir. */
static int clear_stale(const char *dir, struct error *err)
{
	struct search found;
	while (find_mount(dir, &found)) {
		struct statfs st;
		if (statfs(dir, &st) == 0 || errno != ENOTCONN)
			return found.ours ? error_set(err, -EBUSY, "'%s': a dataset is mounted there already", dir)
					  : 0; /* another file system is a fine place to mount upon */
		LOG(NULL, LOG_LVL_INFO, "detaching a mount whose server is dead", LOG_STR("dir", dir));
		if (umount2(dir, MNT_DETACH) < 0)
			return error_set(err, -errno, "detach the dead mount at '%s': %s", dir, strerror(errno));
	}
	return 0;
}

int mountpoint_resolve(const char *dir, char out[static PATH_MAX], struct error *err)
{
	/* the last component may be a dead mount, which realpath() would stumble over */
	CLEANUP(free_p) char *copy = strdup(dir);
	char parent[PATH_MAX];
	if (copy == NULL)
		return error_set(err, -ENOMEM, "out of memory");
	for (size_t n = strlen(copy); n > 1 && copy[n - 1] == '/'; n--)
		copy[n - 1] = '\0';
	char *slash = strrchr(copy, '/');
	if (slash == NULL || slash[1] == '\0')
		return error_set(err, -EINVAL, "'%s': the mount point must be an absolute path", dir);
	*slash = '\0';
	int r = *copy == '\0' ? 0 : file_mkdir_all(copy, 0755, err);
	if (r < 0)
		return r;
	if (realpath(*copy == '\0' ? "/" : copy, parent) == NULL)
		return error_set(err, -errno, "'%s': %s", copy, strerror(errno));
	const int n = snprintf(out, PATH_MAX, "%s/%s", strcmp(parent, "/") == 0 ? "" : parent, slash + 1);
	return n < PATH_MAX ? 0 : error_set(err, -ENAMETOOLONG, "'%s': too long", dir);
}

int mountpoint_mount(const char *dir, const char *source, struct error *err)
{
	char path[PATH_MAX];
	int r = mountpoint_resolve(dir, path, err);
	if (r < 0 || (r = clear_stale(path, err)) < 0 || (r = file_mkdir_all(path, 0755, err)) < 0)
		return r;
	CLEANUP(close_fd) int fd = open("/dev/fuse", O_RDWR | O_CLOEXEC);
	if (fd < 0)
		return error_set(err, -errno, "/dev/fuse: %s%s", strerror(errno),
				 errno == ENOENT || errno == ENODEV
					 ? "; load the kernel's fuse module or give the container the device"
					 : "");
	char options[160];
	(void)snprintf(options, sizeof options,
		       "fd=%d,rootmode=40000,user_id=0,group_id=0,allow_other,default_permissions,max_read=%u", fd,
		       MOUNT_MAX_READ);
	if (mount(source, path, MOUNT_TYPE, MS_RDONLY | MS_NOSUID | MS_NODEV, options) < 0)
		return error_set(err, -errno, "mount at '%s': %s%s", path, strerror(errno),
				 errno == EPERM ? "; mounting needs root (CAP_SYS_ADMIN)" : "");
	return TAKE_FD(fd);
}

int mountpoint_unmount(const char *dir)
{
	if (umount2(dir, 0) == 0)
		return 0;
	if (errno != EBUSY)
		return -errno;
	return umount2(dir, MNT_DETACH) < 0 ? -errno : -EBUSY;
}

/* Open a file of sysfs for writing, also where the container's /sys is read only: by a sysfs that is mounted nowhere. */
static int open_sys(const char *rel)
{
	char path[128];
	(void)snprintf(path, sizeof path, "/sys/%s", rel);
	const int direct = open(path, O_WRONLY | O_CLOEXEC);
	if (direct >= 0)
		return direct;
	CLEANUP(close_fd) int fs = fsopen("sysfs", FSOPEN_CLOEXEC);
	if (fs < 0 || fsconfig(fs, FSCONFIG_CMD_CREATE, NULL, NULL, 0) < 0)
		return -errno;
	CLEANUP(close_fd) int mnt = fsmount(fs, FSMOUNT_CLOEXEC, 0);
	if (mnt < 0)
		return -errno;
	const int fd = openat(mnt, rel, O_WRONLY | O_CLOEXEC);
	return fd < 0 ? -errno : fd;
}

void mountpoint_set_read_ahead(const char *dir, unsigned kib)
{
	char path[PATH_MAX], file[96], text[16];
	unsigned major, minor;
	if (mountpoint_resolve(dir, path, NULL) < 0 || !mountpoint_device(path, &major, &minor))
		return;
	(void)snprintf(file, sizeof file, "class/bdi/%u:%u/read_ahead_kb", major, minor);
	(void)snprintf(text, sizeof text, "%u", kib);
	CLEANUP(close_fd) int fd = open_sys(file);
	if (fd >= 0)
		(void)file_write_all(fd, text, strlen(text)); /* without it reads are smaller, no more */
}
