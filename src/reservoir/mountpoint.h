/* Mounting and unmounting a FUSE file system by hand: no helper program, so it works in a container that has none. */
#pragma once

#include <limits.h>
#include <stdbool.h>

struct error;

#define MOUNT_TYPE     "fuse.reservoir-fuse"
#define MOUNT_MAX_READ (1024u * 1024)

/**
 * Mount a new read-only FUSE at @dir (made when absent; what a dead server left there is detached first); @source is shown in
 * mountinfo. The /dev/fuse descriptor, or -errno: -EBUSY when a living mount is there, -ENOENT/-ENODEV without /dev/fuse, -EPERM.
 */
int mountpoint_mount(const char *dir, const char *source, struct error *err);
/** @dir with its parents' links resolved, as mountinfo shows it; parents are made when absent. The last part may be a dead mount. */
int mountpoint_resolve(const char *dir, char out[static PATH_MAX], struct error *err);
/** The device of the mount of ours at @path (resolved). False: there is none. */
bool mountpoint_device(const char *path, unsigned *ret_major, unsigned *ret_minor);
/** How many mounts of the device there are beside the one at @path (resolved). */
unsigned mountpoint_count_other(const char *path, unsigned major, unsigned minor);
/** Detach the mount at @path (resolved) when it is of the device. Waits for nobody. */
void mountpoint_detach_device(const char *path, unsigned major, unsigned minor);
/** Unmount; detach when it is in use. 0 or -errno; -EBUSY: detached, somebody still uses it. */
int mountpoint_unmount(const char *dir);
/** Let the kernel read ahead by @kib for what is mounted at @dir; only a matter of speed. */
void mountpoint_set_read_ahead(const char *dir, unsigned kib);
