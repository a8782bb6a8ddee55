#include "csi/mounts.h"

#include <fcntl.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/error.h"
#include "base/file.h"
#include "base/str.h"
#include "csi/guarded.h"
#include "csi/mountinfo.h"
#include "csi/volume.h"

#define STACKED_MAX 64 /* mounts on top of each other at one target */
#define UMOUNT_NS   (5 * NSEC_PER_SEC)
#define RECHECK_NS  NSEC_PER_SEC /* a mount wakes us; a directory that appears does not */
#define PROBE_NS    (10 * NSEC_PER_SEC)
#define PROBE_MIN_NS                                                                                                   \
	(NSEC_PER_SEC / 5) /* a look just before the deadline must not take a healthy mount for a hanging one */
#define CSI_VOLUMES "/volumes/kubernetes.io~csi/"

static int64_t earlier(int64_t a, int64_t b)
{
	return a < b ? a : b;
}

static int open_root(const char *path)
{
	const int fd = open(path, O_PATH | O_DIRECTORY | O_CLOEXEC);
	return fd < 0 ? -errno : fd;
}

static int open_below(const char *root, const char *rel, int64_t deadline)
{
	CLEANUP(close_fd) int root_fd = open_root(root);
	return root_fd < 0 ? root_fd : guarded_open(root_fd, rel, true, deadline);
}

/* --- targets --- */

int target_open(const char *kubelet_root, const char *path, int64_t deadline, struct target *ret, struct error *err)
{
	const char *rel = path_below(kubelet_root, path);
	if (rel == NULL)
		return error_set(err, -EINVAL,
				 "target path must lie below %s, without '.', '..' and control characters",
				 kubelet_root);
	const char *slash = strrchr(rel, '/');
	CLEANUP(free_p) char *dir = strndup(rel, slash == NULL ? 0 : (size_t)(slash - rel));
	if (dir == NULL)
		return error_set(err, -ENOMEM, "open target path '%s': out of memory", path);
	struct target t = {.dir_fd = open_below(kubelet_root, *dir == '\0' ? "." : dir, deadline)};
	if (t.dir_fd < 0)
		return error_set(err, t.dir_fd, "open the directory of target path '%s': %s", path,
				 strerror(-t.dir_fd));
	(void)str_copy(t.name, sizeof t.name,
		       slash == NULL ? rel : slash + 1); /* path_below() has checked its length */
	*ret = t;
	return 0;
}

void target_close(struct target *t)
{
	if (t->dir_fd >= 0)
		(void)close(t->dir_fd); /* O_PATH */
	t->dir_fd = -1;
}

static int look(int dirfd, const char *name, struct statx *st)
{
	const int flags =
		AT_SYMLINK_NOFOLLOW | AT_NO_AUTOMOUNT | AT_STATX_DONT_SYNC | (*name == '\0' ? AT_EMPTY_PATH : 0);
	return statx(dirfd, name, flags, STATX_TYPE | STATX_MNT_ID, st) == 0 ? 0 : -errno;
}

static bool is_mount_root(const struct statx *st)
{
	return (st->stx_attributes_mask & st->stx_attributes & STATX_ATTR_MOUNT_ROOT) != 0;
}

int target_look(const struct target *t)
{
	struct statx st;
	const int rc = look(t->dir_fd, t->name, &st);
	if (rc == -ENOENT)
		return TARGET_ABSENT;
	if (rc == -ENOTCONN)
		return TARGET_MOUNT;
	if (rc < 0)
		return rc;
	if (is_mount_root(&st))
		return TARGET_MOUNT;
	if (S_ISLNK(st.stx_mode))
		return TARGET_LINK;
	return S_ISDIR(st.stx_mode) ? TARGET_DIRECTORY : TARGET_OTHER;
}

int target_probe(const struct target *t, int64_t deadline)
{
	CLEANUP(close_fd)
	int fd = guarded_open(t->dir_fd, t->name, true, earlier(deadline, clock_mono_ns() + PROBE_NS));
	return fd < 0 ? fd : 0;
}

int target_bind(const struct target *t, int src_fd, const struct bind_options *o, struct error *err)
{
	struct mount_attr attr = {.attr_set = MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV};
	if (o->read_only)
		attr.attr_set |= MOUNT_ATTR_RDONLY;
	if (o->no_exec)
		attr.attr_set |= MOUNT_ATTR_NOEXEC;
	CLEANUP(close_fd) int tree = open_tree(src_fd, "", OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC | AT_EMPTY_PATH);
	if (tree < 0)
		return error_set(err, -errno, "bind mount: take the source: %s", strerror(errno));
	if (mount_setattr(tree, "", AT_EMPTY_PATH, &attr, sizeof attr) < 0)
		return error_set(err, -errno, "bind mount: set its attributes: %s", strerror(errno));
	CLEANUP(close_fd) int dst = openat(t->dir_fd, t->name, O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (dst < 0)
		return error_set(err, -errno, "bind mount: open target '%s': %s", t->name, strerror(errno));
	if (move_mount(tree, "", dst, "", MOVE_MOUNT_F_EMPTY_PATH | MOVE_MOUNT_T_EMPTY_PATH) < 0)
		return error_set(err, -errno, "bind mount at target '%s': %s", t->name, strerror(errno));
	return 0;
}

/* --- unmounting --- */

static const struct mount_entry *entry_at(const struct mount_table *table, int dirfd, const char *name)
{
	struct statx st;
	if (look(dirfd, name, &st) < 0 || !is_mount_root(&st))
		return NULL;
	return mount_table_by_id(table, st.stx_mnt_id);
}

static bool device_in_use(unsigned major, unsigned minor)
{
	CLEANUP(mount_table_clear) struct mount_table table = {0};
	if (mount_table_read(&table, NULL) < 0)
		return true;
	for (size_t i = 0; i < table.n; i++)
		if (table.entries[i].major == major && table.entries[i].minor == minor)
			return true;
	return false;
}

/* The connection's number is the minor number of the file system's device. */
static void abort_connection(unsigned minor)
{
	char path[64];
	(void)snprintf(path, sizeof path, "/sys/fs/fuse/connections/%u/abort", minor);
	CLEANUP(close_fd) int fd = open(path, O_WRONLY | O_CLOEXEC);
	if (fd >= 0)
		(void)file_write_all(fd, "1", 1); /* gone meanwhile: nothing is left to abort */
}

static int unmount_hard(const struct target *t, int first, int64_t deadline)
{
	unsigned major = 0, minor = 0;
	bool fuse = false;
	CLEANUP(mount_table_clear) struct mount_table table = {0};
	const int read = mount_table_read(&table, NULL);
	const struct mount_entry *e = read < 0 ? NULL : entry_at(&table, t->dir_fd, t->name);
	if (e != NULL) {
		fuse = str_has_prefix(e->type, "fuse");
		major = e->major;
		minor = e->minor;
	}
	const int rc = guarded_umount(t->dir_fd, t->name, MNT_DETACH, deadline);
	if (first == -ETIMEDOUT && rc == 0 && fuse && !device_in_use(major, minor))
		abort_connection(minor);
	return rc;
}

int target_unmount(const struct target *t, int64_t deadline, struct error *err)
{
	for (int i = 0; i < STACKED_MAX; i++) {
		const int kind = target_look(t);
		if (kind < 0)
			return error_set(err, kind, "look at target '%s': %s", t->name, strerror(-kind));
		if (kind != TARGET_MOUNT)
			return 0;
		int rc = guarded_umount(t->dir_fd, t->name, 0, earlier(deadline, clock_mono_ns() + UMOUNT_NS));
		if (rc == -EBUSY || rc == -ETIMEDOUT)
			rc = unmount_hard(t, rc, deadline);
		if (rc < 0 && rc != -EINVAL && rc != -ENOENT) /* those two: somebody else was quicker */
			return error_set(err, rc, "unmount target '%s': %s", t->name, strerror(-rc));
	}
	return error_set(err, -ELOOP, "unmount target '%s': still mounted after %d times", t->name, STACKED_MAX);
}

/* --- the volume's own mount --- */

/* Legacy volumes name a part of the type ("jindo" for fuse.jindofs-fuse). */
static bool type_matches(const char *type, const char *wanted)
{
	return strstr(type, wanted) != NULL;
}

static int check_mounted(int fd, const struct volume *v, struct error *err)
{
	CLEANUP(mount_table_clear) struct mount_table table = {0};
	const int rc = mount_table_read(&table, err);
	if (rc < 0)
		return rc;
	const struct mount_entry *e = entry_at(&table, fd, "");
	if (e == NULL)
		return error_set(err, -EAGAIN, "nothing is mounted at %s yet; is the fuse pod running on this node?",
				 v->fluid_path);
	if (!type_matches(e->type, v->mount_type))
		return error_set(err, -EAGAIN, "%s is a mount of type %s, not %s", v->fluid_path, e->type,
				 v->mount_type);
	return 0;
}

/* One look. -EAGAIN: not yet. */
static int volume_try(const char *mount_root, const struct volume *v, int64_t deadline, int *ret_fd, struct error *err)
{
	const int64_t now = clock_mono_ns(),
		      probe = earlier(deadline > now + PROBE_MIN_NS ? deadline : now + PROBE_MIN_NS, now + PROBE_NS);
	CLEANUP(close_fd) int fd = open_below(mount_root, v->fluid_rel, probe);
	if (fd == -ENOENT)
		return error_set(err, -EAGAIN, "%s does not exist yet; is the fuse pod running on this node?",
				 v->fluid_path);
	if (fd == -ENOTCONN)
		return error_set(err, -EAGAIN, "the fuse process behind %s is dead; its pod has to mount it again",
				 v->fluid_path);
	if (fd == -ETIMEDOUT)
		return error_set(err, -EAGAIN, "the fuse process behind %s does not answer", v->fluid_path);
	if (fd == -ELOOP)
		return error_set(err, -EINVAL, "%s leads through a symbolic link, which is refused", v->fluid_path);
	if (fd < 0)
		return error_set(err, fd, "open %s: %s", v->fluid_path, strerror(-fd));
	const int rc = v->skip_mount_check ? 0 : check_mounted(fd, v, err);
	if (rc < 0)
		return rc;
	if (v->sub_path[0] == '\0') {
		*ret_fd = TAKE_FD(fd);
		return 0;
	}
	const int sub = guarded_open(fd, v->sub_path, false, probe);
	if (sub == -ENOENT || sub == -ETIMEDOUT || sub == -ENOTCONN)
		return error_set(err, -EAGAIN, "sub path '%s' below %s: %s", v->sub_path, v->fluid_path,
				 strerror(-sub));
	if (sub < 0)
		return error_set(err, sub == -EXDEV ? -EINVAL : sub, "sub path '%s' below %s: %s", v->sub_path,
				 v->fluid_path, sub == -EXDEV ? "leads out of the dataset" : strerror(-sub));
	*ret_fd = sub;
	return 0;
}

static void wait_change(int mountinfo, int64_t deadline)
{
	const int64_t left = earlier(deadline - clock_mono_ns(), RECHECK_NS);
	struct pollfd p = {.fd = mountinfo, .events = POLLPRI};
	if (left > 0)
		(void)poll(&p, 1, (int)(left / NSEC_PER_MSEC) + 1); /* whatever it says, we look again */
}

int volume_wait(const char *mount_root, const struct volume *v, int64_t deadline, int *ret_fd, struct error *err)
{
	/* Opened before the first look, so that no change is missed between look and poll. */
	CLEANUP(close_fd) int mountinfo = open("/proc/self/mountinfo", O_RDONLY | O_CLOEXEC);
	if (mountinfo < 0)
		return error_set(err, -errno, "open /proc/self/mountinfo: %s", strerror(errno));
	for (;;) {
		const int rc = volume_try(mount_root, v, deadline, ret_fd, err);
		if (rc != -EAGAIN)
			return rc;
		wait_change(mountinfo, deadline);
		if (clock_mono_ns() >= deadline) /* err says what was missing at the last look */
			return -ETIMEDOUT;
	}
}

int volume_detach_dead(const char *mount_root, const struct volume *v, int64_t deadline, struct error *err)
{
	struct target t = TARGET_NONE;
	int rc = target_open(mount_root, v->fluid_path, deadline, &t, NULL);
	if (rc < 0)
		return 0; /* not there yet: the fuse pod makes it */
	if (target_look(&t) == TARGET_MOUNT && target_probe(&t, deadline) == -ENOTCONN) {
		rc = guarded_umount(t.dir_fd, t.name, MNT_DETACH, deadline);
		if (rc < 0)
			(void)error_set(err, rc, "detach the dead mount at %s: %s", v->fluid_path, strerror(-rc));
	}
	target_close(&t);
	return rc;
}

/* ".../pods/<uid>/volumes/kubernetes.io~csi/<pv>/mount" */
static bool is_publication(const struct mount_entry *e, const char *kubelet_root, const char *pv)
{
	const char *at = strstr(e->path, CSI_VOLUMES);
	if (at == NULL || !str_has_prefix(e->path, kubelet_root))
		return false;
	at += strlen(CSI_VOLUMES);
	const size_t n = strlen(pv);
	return strncmp(at, pv, n) == 0 && strcmp(at + n, "/mount") == 0;
}

int volume_count_publications(const char *kubelet_root, const char *pv, struct error *err)
{
	CLEANUP(mount_table_clear) struct mount_table table = {0};
	CLEANUP(free_p) char *root = realpath(kubelet_root, NULL); /* mountinfo names no links */
	if (root == NULL)
		return error_set(err, -errno, "resolve %s: %s", kubelet_root, strerror(errno));
	const int rc = mount_table_read(&table, err);
	if (rc < 0)
		return rc;
	int n = 0;
	for (size_t i = 0; i < table.n; i++)
		n += is_publication(&table.entries[i], root, pv);
	return n;
}
