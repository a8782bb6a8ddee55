#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/error.h"
#include "base/str.h"
#include "reservoir/catalog.h"
#include "reservoir/client.h"
#include "reservoir/preload_internal.h"

#define PAGE_SIZE (64u * 1024)

/* Directories that are still to be listed. */
struct pending {
	struct pending *next;
	uint64_t id;
	char *path;
};

static void pending_free(struct pending *d)
{
	if (d != NULL)
		free(d->path);
	free(d);
}

static int no_memory(struct error *err)
{
	return error_set(err, -ENOMEM, "list files: out of memory");
}

static int look_up(struct client *c, uint64_t parent, const char *name, struct rv_attr *ret, struct error *err)
{
	union {
		struct rv_attr attr;
		char text[RV_TEXT_MAX];
	} out;
	const struct rv_id in = {.id = parent};
	const ptrdiff_t n =
		client_call(c, &(struct client_request){RV_LOOKUP, &in, sizeof in, name}, &out, sizeof out, NULL, err);
	if (n < 0)
		return (int)n;
	if (n != sizeof out.attr)
		return error_set(err, -EPROTO, "the cache worker's answer is none");
	*ret = out.attr;
	return 0;
}

/* Walk from the root. */
static int find(struct client *c, const char *path, struct rv_attr *ret, struct error *err)
{
	struct rv_attr at = {.id = CATALOG_ROOT, .type = SOURCE_DIR};
	struct str rest = str_from(path), part;
	while (str_split_next(&rest, '/', &part)) {
		char name[CATALOG_NAME_MAX + 1];
		if (part.n == 0)
			continue;
		if (part.n >= sizeof name)
			return error_set(err, -ENAMETOOLONG, "'%s': a name in it is too long", path);
		memcpy(name, part.p, part.n);
		name[part.n] = '\0';
		const int r = look_up(c, at.id, name, &at, err);
		if (r == -ENOENT)
			return error_set(err, r, "'%s' is not in the dataset", path);
		if (r < 0)
			return error_wrap(err, r, "'%s'", path);
	}
	*ret = at;
	return 0;
}

int preload_resolve(struct client *c, const char *path, uint64_t *ret, struct error *err)
{
	struct rv_attr at = {0};
	const int r = find(c, path, &at, err);
	if (r < 0)
		return r;
	*ret = at.id;
	return 0;
}

/* Takes @path. */
static int add_file(struct preload_manifest *m, char *path, const struct rv_attr *a, struct error *err)
{
	CLEANUP(free_p) char *owned = path;
	if (m->n == PRELOAD_FILES_MAX)
		return error_set(err, -EFBIG, "more than %u files; load parts of the dataset by their paths",
				 PRELOAD_FILES_MAX);
	if (m->n == m->cap) {
		const size_t cap = m->cap == 0 ? 256 : m->cap * 2;
		struct preload_file *v = reallocarray(m->v, cap, sizeof *v);
		if (v == NULL)
			return no_memory(err);
		m->v = v;
		m->cap = cap;
	}
	m->v[m->n++] = (struct preload_file){.path = TAKE(owned), .id = a->id, .size = a->size};
	return 0;
}

/* A name of a directory: a file goes into the manifest, a directory to those that wait; links lead to what is listed anyway. */
static int add_name(struct preload_manifest *m, struct pending **todo, const char *dir, const char *name,
		    const struct rv_attr *a, struct error *err)
{
	if (a->type == SOURCE_LINK)
		return 0;
	CLEANUP(free_p) char *path = str_printf("%s%s%s", dir, str_has_suffix(dir, "/") ? "" : "/", name);
	if (path == NULL)
		return no_memory(err);
	if (strlen(path) >= CATALOG_PATH_MAX)
		return error_set(err, -ENAMETOOLONG, "'%s/...': the path is too long", dir);
	if (a->type == SOURCE_FILE)
		return add_file(m, TAKE(path), a, err);
	struct pending *d = calloc(1, sizeof *d);
	if (d == NULL)
		return no_memory(err);
	*d = (struct pending){.next = *todo, .id = a->id, .path = TAKE(path)};
	*todo = d;
	return 0;
}

static int add_page(struct preload_manifest *m, struct pending **todo, const char *dir, const char *page, size_t n,
		    uint64_t *cookie, struct error *err)
{
	for (size_t at = 0; n - at >= sizeof(struct rv_dirent);) {
		struct rv_dirent d;
		char name[CATALOG_NAME_MAX + 1];
		memcpy(&d, page + at, sizeof d);
		const size_t whole = sizeof d + ((d.name_n + (size_t)8) & ~(size_t)7);
		if (d.name_n >= sizeof name || whole > n - at)
			return error_set(err, -EPROTO, "the cache worker's answer is none");
		memcpy(name, page + at + sizeof d, d.name_n);
		name[d.name_n] = '\0';
		const int r = add_name(m, todo, dir, name, &d.attr, err);
		if (r < 0)
			return r;
		*cookie = d.cookie;
		at += whole;
	}
	return 0;
}

static int list_directory(struct client *c, const struct pending *dir, char *page, struct preload_manifest *m,
			  struct pending **todo, struct error *err)
{
	for (uint64_t cookie = 0;;) {
		const struct rv_readdir in = {.id = dir->id, .cookie = cookie, .max = PAGE_SIZE};
		const ptrdiff_t n = client_call(c, &(struct client_request){RV_READDIR, &in, sizeof in, NULL}, page,
						PAGE_SIZE, NULL, err);
		if (n < 0)
			return error_wrap(err, (int)n, "list '%s'", dir->path);
		if (n == 0)
			return 0;
		const int r = add_page(m, todo, dir->path, page, (size_t)n, &cookie, err);
		if (r < 0)
			return r;
	}
}

int preload_list(struct client *c, const char *path, struct preload_manifest *m, struct error *err)
{
	struct rv_attr at = {0};
	CLEANUP(free_p) char *page = malloc(PAGE_SIZE);
	CLEANUP(free_p) char *start = strdup(path);
	if (page == NULL || start == NULL)
		return no_memory(err);
	for (size_t n = strlen(start); n > 1 && start[n - 1] == '/';)
		start[--n] = '\0';
	int r = find(c, start, &at, err);
	if (r < 0)
		return r;
	if (at.type == SOURCE_FILE)
		return add_file(m, TAKE(start), &at, err);
	struct pending *todo = calloc(1, sizeof *todo);
	if (todo == NULL)
		return no_memory(err);
	*todo = (struct pending){.id = at.id, .path = TAKE(start)};
	while (todo != NULL) {
		struct pending *dir = todo;
		todo = dir->next;
		if (r == 0)
			r = list_directory(c, dir, page, m, &todo, err);
		pending_free(dir);
	}
	return r;
}

static int by_path(const void *a, const void *b)
{
	return strcmp(((const struct preload_file *)a)->path, ((const struct preload_file *)b)->path);
}

void preload_manifest_sort(struct preload_manifest *m)
{
	if (m->n == 0)
		return;
	qsort(m->v, m->n, sizeof *m->v, by_path);
	size_t kept = 1;
	for (size_t i = 1; i < m->n; i++) {
		if (strcmp(m->v[i].path, m->v[kept - 1].path) == 0)
			free(m->v[i].path); /* two paths that were asked for lie in one another */
		else
			m->v[kept++] = m->v[i];
	}
	m->n = kept;
}

void preload_manifest_clear(struct preload_manifest *m)
{
	for (size_t i = 0; i < m->n; i++) {
		free(m->v[i].path);
		free(m->v[i].why);
	}
	free(m->v);
	*m = (struct preload_manifest){0};
}
