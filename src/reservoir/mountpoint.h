/* Mounting and unmounting a FUSE file system by hand: no helper program, so it works in a container that has none. */
#pragma once

#include <stdint.h>

struct error;

#define MOUNT_TYPE     "fuse.reservoir-fuse"
#define MOUNT_MAX_READ (1024u * 1024)

/**
 * Mount a new read-only FUSE at @dir (made when absent; what a dead server left there is detached first); @source is shown in
 * mountinfo. The /dev/fuse descriptor, or -errno: -EBUSY when a living mount is there, -ENOENT/-ENODEV without /dev/fuse, -EPERM.
 */
int mountpoint_mount(const char *dir, const char *source, struct error *err);
/** Unmount; detach when it is in use. 0 or -errno; -EBUSY: detached, somebody still uses it. */
int mountpoint_unmount(const char *dir);
/** Let the kernel read ahead by @kib for what is mounted at @dir; only a matter of speed. */
void mountpoint_set_read_ahead(const char *dir, unsigned kib);
