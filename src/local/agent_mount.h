/*
 * The kernel's mount table and what the agent does to it: everything mounted beneath a directory is found there, never guessed.
 * Threads: any; mount_share() and mount_unshare() calls for one directory must not overlap (struct shared_mounts sees to it).
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

struct error;

struct mount_entry {
	int id, parent;
	const char *target; /* unescaped */
	const char *fstype;
	bool shared;
};

/** Call @fn for each mount, oldest first, until it returns other than 0, which is then returned. */
int mount_each(int (*fn)(void *ctx, const struct mount_entry *m), void *ctx, struct error *err);
/** How many mounts lie at @dir or beneath it (@below_only: beneath), or a negative errno. */
int mount_count(const char *dir, bool below_only, struct error *err);
/** Unmount everything at @dir and beneath, newest first; what is busy is detached. -EBUSY when some is left. */
int mount_remove_all(const char *dir, struct error *err);
/** Remove a tree after all mounts in it are gone; refuses (-EBUSY) to walk into one that is not. */
int mount_remove_tree(const char *dir, struct error *err);
/** tmpfs at @dir. @size 0: the kernel's default. */
int mount_tmpfs(const char *dir, mode_t mode, size_t size, struct error *err);
/** Bind @source (a path, or an open descriptor when @fd >= 0) at @target, recursively; @readonly for all of it. */
int mount_bind(const char *source, int fd, const char *target, bool readonly, struct error *err);

/**
 * See to it that mounts made in @dir are passed on: when the mount that holds it is not shared, bind it onto itself and make that
 * shared. *@ret_made: whether that was necessary (then mount_unshare() undoes it).
 */
int mount_share(const char *dir, bool *ret_made, struct error *err);
