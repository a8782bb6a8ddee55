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
	const char *keeper;  /* its socket; NULL: the mount ends with this process */
	bool no_passthrough; /* for comparison and tests */
	/** Called when the mount ended by itself (@left false: somebody unmounted it) or the next server waits. May be NULL. */
	void (*on_end)(void *ctx, bool left);
	void *ctx;
};

/**
 * Mount and serve; waits for the kernel's greeting, not for the worker. With a keeper the mount that it holds is served on, once the
 * server that has it now has ended, which is asked to; one that cannot be served on is made anew.
 */
int fuse_mount_new(const struct fuse_mount_options *o, struct fuse_mount **ret, struct error *err);
/** Whether the kernel offered passthrough. */
bool fuse_mount_passthrough(const struct fuse_mount *m);
/**
 * Answer what was asked, end the threads, free. The mount stays for the next server when the keeper says so (another one waits, or
 * pods use it): true. Else it is unmounted (detached when in use) first. Accepts NULL.
 */
bool fuse_mount_free(struct fuse_mount *m);
