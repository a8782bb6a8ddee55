/* preload_list.c: names into a manifest; preload.c: the phases. */
#pragma once

#include "reservoir/preload.h"

struct client;

/** One file of the manifest. Each phase has one thread at it at a time, but for `why` (the lock's). */
struct preload_file {
	char *path; /* "/a/b" */
	uint64_t id, size;
	uint64_t before, after; /* bytes that were, and are, in the cache */
	uint64_t version;       /* hash of the version's text */
	char *why;              /* what failed; NULL: nothing */
};

struct preload_manifest {
	struct preload_file *v;
	size_t n, cap;
};

/** Add the files at and below @path ("/": all). -ENOENT when it is not there; what the source failed with. */
int preload_list(struct client *c, const char *path, struct preload_manifest *m, struct error *err);
/** The id that @path has now. */
int preload_resolve(struct client *c, const char *path, uint64_t *ret, struct error *err);
/** By path, each once. */
void preload_manifest_sort(struct preload_manifest *m);
void preload_manifest_clear(struct preload_manifest *m);
