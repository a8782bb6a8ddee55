/*
 * Files of a ConfigMap, Secret or projected volume, replaced all at once.
 *
 * A reader sees either all old or all new contents: the names are links into `..data`, itself a link to a directory with a fresh
 * name, and only that one link is renamed (the layout that kubelets use, so programs that watch it work).
 * Threads: one at a time for one payload and one directory.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

struct error;

struct payload_file {
	char *path; /* relative, clean */
	char *data;
	size_t n;
	mode_t mode;
};

struct payload {
	struct payload_file *files;
	size_t n, cap, bytes;
};

#define PAYLOAD_BYTES_MAX (8u << 20)
#define PAYLOAD_FILES_MAX 4096

/** Add (or replace) a file; the bytes are copied. -EINVAL: the path is absolute, goes up, or begins with "..". */
int payload_add(struct payload *p, const char *path, const void *data, size_t n, mode_t mode, struct error *err);
void payload_clear(struct payload *p);
/** Make @dir show exactly @p; nothing is touched when it does already. @gid >= 0: group of the files, which it may read. */
int payload_write(const struct payload *p, const char *dir, int64_t gid, struct error *err);
