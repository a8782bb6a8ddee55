/*
 * The mount of one dataset: FUSE on a directory, answered from the worker's store files and by the worker itself. A file that is
 * complete when it is first opened is handed to the kernel (passthrough) where that is offered.
 *
 * Threads: by the owner; the mount has its own.
 */
#pragma once

#include <stdbool.h>

struct error;
struct fuse_mount;
struct reservoir_config;

struct fuse_mount_options {
	const struct reservoir_config *config;
	const char *dir;
	bool no_passthrough; /* for comparison and tests */
	/** Called when the mount ended by itself (somebody unmounted it). May be NULL. */
	void (*on_end)(void *ctx);
	void *ctx;
};

/** Mount and serve; waits for the kernel's greeting, not for the worker. */
int fuse_mount_new(const struct fuse_mount_options *o, struct fuse_mount **ret, struct error *err);
/** Whether the kernel offered passthrough. */
bool fuse_mount_passthrough(const struct fuse_mount *m);
/** Unmount (detach when in use), end the threads, free. Accepts NULL. */
void fuse_mount_free(struct fuse_mount *m);
