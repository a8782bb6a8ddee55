/*
 * Mounting and unmounting, by descriptors and beneath roots only. Needs Linux 5.12 (openat2, mount ids, mount_setattr) and root.
 * Deadlines are on the monotonic clock.
 */
#pragma once

#include <limits.h>
#include <stdbool.h>
#include <stdint.h>

struct error;
struct volume;

/** Where a volume is published: a name in a directory beneath the kubelet's root. */
struct target {
	int dir_fd;
	char name[NAME_MAX + 1];
};

#define TARGET_NONE ((struct target){.dir_fd = -1})

/** Open @path's directory. -EINVAL: not beneath @kubelet_root; -ENOENT: there is no such directory. */
int target_open(const char *kubelet_root, const char *path, int64_t deadline, struct target *ret, struct error *err);
void target_close(struct target *t);

enum target_kind { TARGET_ABSENT, TARGET_DIRECTORY, TARGET_MOUNT, TARGET_LINK, TARGET_OTHER };

/** What is there now. An enum target_kind or -errno. Never waits for a FUSE server. */
int target_look(const struct target *t);
/** Whether the file system mounted at the target answers. 0, -ENOTCONN (dead), -ETIMEDOUT or another errno. */
int target_probe(const struct target *t, int64_t deadline);

struct bind_options {
	bool read_only, no_exec;
};

/** Mount the directory @src_fd at the target, which must be a directory; nosuid and nodev always. Complete or not at all. */
int target_bind(const struct target *t, int src_fd, const struct bind_options *o, struct error *err);
/**
 * Unmount all that is mounted at the target. What is busy is detached; what hangs too, and when nothing else here uses its FUSE
 * connection, that is aborted, so that its users get errors instead of hanging for ever.
 */
int target_unmount(const struct target *t, int64_t deadline, struct error *err);

/**
 * Wait until the volume's FUSE file system is mounted at its path beneath @mount_root, answers, and has the sub path: *@ret_fd is
 * the directory to publish (O_PATH). -ETIMEDOUT says in @err what was missing last.
 */
int volume_wait(const char *mount_root, const struct volume *v, int64_t deadline, int *ret_fd, struct error *err);
/** Detach the mount at the volume's path when its FUSE server is dead. 0 also when there is nothing to do. */
int volume_detach_dead(const char *mount_root, const struct volume *v, int64_t deadline, struct error *err);
/** How many publications of @pv's volume are mounted beneath @kubelet_root; -errno. */
int volume_count_publications(const char *kubelet_root, const char *pv, struct error *err);
