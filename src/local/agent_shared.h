/*
 * Directories that the agent made shared mounts so that mounts pass between pods and the machine, and who needs them.
 *
 * The list is kept in a file: after a crash the next agent knows what to undo. Threads: any; calls are serialised by one mutex, which
 * is held over the mount calls because two of them for one directory must not overlap.
 */
#pragma once

struct error;
struct shared_mounts;

/** @file need not exist yet. */
int shared_mounts_new(const char *file, struct shared_mounts **ret, struct error *err);
/** Nothing is undone. Accepts NULL. */
void shared_mounts_free(struct shared_mounts *s);
/** See to it that @dir passes mounts on as long as @user (a pod's uid) needs it. */
int shared_mounts_acquire(struct shared_mounts *s, const char *dir, const char *user, struct error *err);
/**
 * @user needs none any more; directories that nobody needs become what they were. One in which something is mounted still does so with a
 * later release, or at the end: a mount that a keeper holds outlives the pod that made it.
 */
int shared_mounts_release(struct shared_mounts *s, const char *user, struct error *err);
/** As a release of the last @user there is, with what is mounted in the directories. */
int shared_mounts_end(struct shared_mounts *s, const char *user, struct error *err);
/** Release every user for whom @alive says false (leftovers of an earlier agent). */
int shared_mounts_sweep(struct shared_mounts *s, int (*alive)(void *ctx, const char *user), void *ctx,
			struct error *err);
