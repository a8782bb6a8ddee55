/* /proc/self/mountinfo: which mount lies where. The parser takes text, so that tests and fuzzing need no mounts. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

struct error;

struct mount_entry {
	uint64_t id, parent_id;
	unsigned major, minor;
	char *root, *path, *options, *type, *source; /* unescaped; into the table's text */
};

struct mount_table {
	struct mount_entry *entries; /* in the file's order: of two mounts on one path the later one is on top */
	size_t n;
	char *text;
};

/** Parse the text of a mountinfo file; a line that makes no sense is left out. 0 or -ENOMEM. */
int mount_table_parse(const char *text, struct mount_table *ret);
/** Read this process's. */
int mount_table_read(struct mount_table *ret, struct error *err);
void mount_table_clear(struct mount_table *t);
/** The mount with this id, or NULL. */
const struct mount_entry *mount_table_by_id(const struct mount_table *t, uint64_t id);
