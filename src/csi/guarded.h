/*
 * System calls that a FUSE server may let hang. They run on a thread of their own, and the caller waits until its deadline; a thread that
 * stays behind ends when the server answers or its connection is aborted. At most 64 may stay behind; more calls are refused with -EBUSY.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

/**
 * Open the directory @rel beneath @dirfd (O_PATH; never outside; without following any link when @no_links: -ELOOP) and ask its file
 * system for its attributes. An fd or -errno, -ENOTCONN when the FUSE server is dead; -ETIMEDOUT.
 */
int guarded_open(int dirfd, const char *rel, bool no_links, int64_t deadline);
/** umount2() of @name in @dirfd. 0 or -errno; -ETIMEDOUT. */
int guarded_umount(int dirfd, const char *name, int flags, int64_t deadline);
