#include "reservoir/index.h"

#include <assert.h>
#include <unistd.h>

#include <xxhash.h>

#include "base/cleanup.h"
#include "base/error.h"
#include "base/file.h"
#include "base/str.h"
#include "reservoir/index_internal.h"

const struct index_node *index_get(const struct index *ix, uint32_t id)
{
	/* a hole: an id that a compacted log no longer has */
	return id >= 1 && id < ix->n && ix->nodes[id].parent != 0 ? &ix->nodes[id] : NULL;
}

const char *index_name(const struct index *ix, uint32_t id)
{
	return ix->pool + ix->nodes[id].name;
}

const char *index_extra(const struct index *ix, uint32_t id)
{
	return ix->pool + ix->nodes[id].extra;
}

uint64_t index_epoch(const struct index *ix)
{
	return ix->epoch;
}

uint32_t index_end(const struct index *ix)
{
	return ix->n;
}

static uint32_t hash_of(uint32_t parent, const char *name)
{
	return (uint32_t)XXH3_64bits_withSeed(name, strlen(name), parent);
}

static uint32_t *slot_of(const struct index *ix, uint32_t parent, const char *name)
{
	uint32_t i = hash_of(parent, name) & (ix->table_cap - 1);
	for (;; i = (i + 1) & (ix->table_cap - 1)) {
		const uint32_t id = ix->table[i];
		if (id == 0 || (ix->nodes[id].parent == parent && strcmp(index_name(ix, id), name) == 0))
			return &ix->table[i];
	}
}

uint32_t index_find(const struct index *ix, uint32_t parent, const char *name)
{
	return *slot_of(ix, parent, name);
}

static int grow_table(struct index *ix)
{
	const uint32_t cap = ix->table_cap == 0 ? 1024 : ix->table_cap * 2;
	uint32_t *old = ix->table;
	const uint32_t old_cap = ix->table_cap;
	uint32_t *table = calloc(cap, sizeof *table);
	if (table == NULL)
		return -ENOMEM;
	ix->table = table;
	ix->table_cap = cap;
	for (uint32_t i = 0; i < old_cap; i++)
		if (old[i] != 0)
			*slot_of(ix, ix->nodes[old[i]].parent, index_name(ix, old[i])) = old[i];
	free(old);
	return 0;
}

/* Take @id out of the table, closing the gap that linear probing would stumble over. */
static void table_remove(struct index *ix, uint32_t id)
{
	const uint32_t mask = ix->table_cap - 1;
	uint32_t *slot = slot_of(ix, ix->nodes[id].parent, index_name(ix, id));
	if (*slot != id)
		return;
	uint32_t hole = (uint32_t)(slot - ix->table);
	for (uint32_t i = (hole + 1) & mask; ix->table[i] != 0; i = (i + 1) & mask) {
		const uint32_t home = hash_of(ix->nodes[ix->table[i]].parent, index_name(ix, ix->table[i])) & mask;
		if (((i - home) & mask) >= ((i - hole) & mask)) {
			ix->table[hole] = ix->table[i];
			hole = i;
		}
	}
	ix->table[hole] = 0;
	ix->table_n--;
}

/* Offset of a copy of @s in the pool; 0 for "". -ENOMEM when it cannot grow. */
static int64_t pool_add(struct index *ix, const char *s)
{
	const size_t n = strlen(s) + 1;
	if (n == 1)
		return 0;
	if (n > UINT32_MAX - 1 - ix->pool_n)
		return -ENOMEM;
	if (ix->pool_n + n > ix->pool_cap) {
		uint64_t cap = ix->pool_cap + ix->pool_cap / 2 + n + 4096;
		if (cap > UINT32_MAX)
			cap = UINT32_MAX;
		char *p = realloc(ix->pool, cap);
		if (p == NULL)
			return -ENOMEM;
		ix->pool = p;
		ix->pool_cap = (uint32_t)cap;
	}
	memcpy(ix->pool + ix->pool_n, s, n);
	const uint32_t off = ix->pool_n;
	ix->pool_n += (uint32_t)n;
	return off;
}

int index_reserve(struct index *ix, uint32_t id)
{
	if (id < ix->cap)
		return 0;
	const uint64_t cap = (uint64_t)id + id / 2 + 64;
	struct index_node *p = realloc(ix->nodes, cap * sizeof *p);
	if (p == NULL)
		return -ENOMEM;
	memset(p + ix->cap, 0, (cap - ix->cap) * sizeof *p);
	ix->nodes = p;
	ix->cap = (uint32_t)cap;
	return 0;
}

static void count(struct index *ix, const struct index_node *n, bool add)
{
	const uint64_t d = add ? 1 : UINT64_MAX; /* unsigned arithmetic wraps to a subtraction */
	if (n->type == SOURCE_DIR)
		ix->totals.dirs += d;
	if (n->type == SOURCE_FILE)
		ix->totals.files += d; /* links are neither: what they lead to is counted where it is */
	if (n->type == SOURCE_FILE && n->size_exact)
		ix->totals.bytes += d * n->size;
	if (n->type == SOURCE_FILE && !n->size_exact)
		ix->totals.inexact += d;
}

static void link_child(struct index *ix, uint32_t id)
{
	struct index_node *p = &ix->nodes[ix->nodes[id].parent];
	ix->nodes[id].prev = p->last;
	if (p->last != 0)
		ix->nodes[p->last].next = id;
	else
		p->first = id;
	p->last = id;
}

int index_insert(struct index *ix, uint32_t id, const struct index_node *n, const char *name, const char *extra)
{
	if (id < ix->n || id >= INDEX_MAX_NODES)
		return -EINVAL;
	if (ix->table_n * 4 >= ix->table_cap * 3 && grow_table(ix) < 0)
		return -ENOMEM;
	if (index_reserve(ix, id) < 0)
		return -ENOMEM;
	const int64_t name_off = pool_add(ix, name), extra_off = name_off >= 0 ? pool_add(ix, extra) : -ENOMEM;
	if (extra_off < 0)
		return -ENOMEM;
	struct index_node *to = &ix->nodes[id];
	*to = *n;
	to->name = (uint32_t)name_off;
	to->extra = (uint32_t)extra_off;
	to->prev = to->next = to->first = to->last = 0;
	to->dead = false;
	ix->n = id + 1;
	if (id != INDEX_ROOT) {
		*slot_of(ix, to->parent, name) = id;
		ix->table_n++;
		link_child(ix, id);
	}
	count(ix, to, true);
	return 0;
}

uint32_t index_add(struct index *ix, uint32_t parent, const char *name, uint16_t mount, bool mountpoint,
		   const struct source_stat *st, const char *link)
{
	const struct index_node n = {
		.parent = parent,
		.mount = mount,
		.mountpoint = mountpoint,
		.type = (uint8_t)st->type,
		.size = st->size,
		.mtime_ns = st->mtime_ns,
		.exact = st->exact,
		.size_exact = st->size_exact,
		.exec = st->exec,
	};
	const uint32_t id = ix->n;
	if (index_insert(ix, id, &n, name, st->type == SOURCE_LINK ? link : st->etag) < 0)
		return 0;
	index_log_add(ix, id);
	return id;
}

int index_apply_refine(struct index *ix, uint32_t id, const struct index_node *to, const char *extra)
{
	struct index_node *n = &ix->nodes[id];
	if (strcmp(index_extra(ix, id), extra) != 0) {
		const int64_t off = pool_add(ix, extra);
		if (off < 0)
			return -ENOMEM;
		n->extra = (uint32_t)off;
	}
	if (!n->dead)
		count(ix, n, false);
	n->size = to->size;
	n->mtime_ns = to->mtime_ns;
	n->listed_ns = to->listed_ns;
	n->exact = to->exact;
	n->size_exact = to->size_exact;
	n->exec = to->exec;
	if (!n->dead)
		count(ix, n, true);
	return 0;
}

int index_refine(struct index *ix, uint32_t id, const struct source_stat *st, int64_t seen_ns)
{
	const struct index_node to = {
		.size = st->size,
		.mtime_ns = st->mtime_ns,
		.listed_ns = seen_ns,
		.exact = st->exact,
		.size_exact = st->size_exact,
		.exec = st->exec,
	};
	const int r = index_apply_refine(ix, id, &to, st->etag);
	if (r == 0)
		index_log_refine(ix, id);
	return r;
}

void index_set_listed(struct index *ix, uint32_t id, int64_t when_ns)
{
	ix->nodes[id].listed_ns = when_ns;
	index_log_listed(ix, id);
}

void index_touch(struct index *ix, uint32_t id, int64_t when_ns)
{
	ix->nodes[id].listed_ns = when_ns;
}

void index_set_looked_ahead(struct index *ix, uint32_t id, bool on)
{
	ix->nodes[id].looked_ahead = on;
}

/* Out of its parent's list of children. Its own `next` stays: a reader who stands on it finds on. */
static void unlink_child(struct index *ix, uint32_t id)
{
	const struct index_node *n = &ix->nodes[id];
	struct index_node *p = &ix->nodes[n->parent];
	if (n->prev != 0)
		ix->nodes[n->prev].next = n->next;
	else
		p->first = n->next;
	if (n->next != 0)
		ix->nodes[n->next].prev = n->prev;
	else
		p->last = n->prev;
}

static void remove_one(struct index *ix, uint32_t id)
{
	struct index_node *n = &ix->nodes[id];
	table_remove(ix, id);
	count(ix, n, false);
	n->dead = true;
}

void index_remove(struct index *ix, uint32_t id)
{
	assert(id != INDEX_ROOT);
	if (ix->nodes[id].dead)
		return;
	index_log_remove(ix, id);
	unlink_child(ix, id);
	remove_one(ix, id);
	/* what is below, depth first by the links themselves: no recursion */
	uint32_t at = id;
	for (;;) {
		const uint32_t child = ix->nodes[at].first;
		if (child != 0) {
			ix->nodes[at].first = ix->nodes[child].next;
			if (!ix->nodes[child].dead)
				remove_one(ix, child);
			at = child;
			continue;
		}
		ix->nodes[at].last = 0;
		if (at == id)
			break;
		at = ix->nodes[at].parent;
	}
}

void index_stat(const struct index *ix, uint32_t id, struct source_stat *ret)
{
	const struct index_node *n = &ix->nodes[id];
	*ret = (struct source_stat){
		.type = (enum source_type)n->type,
		.size = n->size,
		.mtime_ns = n->mtime_ns,
		.exact = n->exact,
		.size_exact = n->size_exact,
		.exec = n->exec,
	};
	if (n->type == SOURCE_FILE)
		(void)str_copy(ret->etag, sizeof ret->etag, index_extra(ix, id));
}

int index_path(const struct index *ix, uint32_t id, char *out, size_t size)
{
	uint32_t chain[INDEX_MAX_DEPTH + 2];
	size_t n = 0;
	for (; id != INDEX_ROOT && !ix->nodes[id].mountpoint; id = ix->nodes[id].parent) {
		if (n == ARRAY_LEN(chain))
			return -ENAMETOOLONG;
		chain[n++] = id;
	}
	size_t k = 0;
	while (n-- > 0) {
		const char *name = index_name(ix, chain[n]);
		const size_t len = strlen(name);
		if (k + len + 2 > size)
			return -ENAMETOOLONG;
		memcpy(out + k, name, len);
		k += len;
		if (n > 0)
			out[k++] = '/';
	}
	out[k] = '\0';
	return 0;
}

unsigned index_depth(const struct index *ix, uint32_t id)
{
	unsigned n = 0;
	for (; id != INDEX_ROOT; id = ix->nodes[id].parent)
		n++;
	return n;
}

void index_set_root_mount(struct index *ix, uint16_t mount)
{
	ix->nodes[INDEX_ROOT].mount = mount;
	ix->nodes[INDEX_ROOT].mountpoint = true;
}

void index_totals(const struct index *ix, struct index_totals *ret)
{
	*ret = ix->totals;
	ret->memory =
		(uint64_t)ix->cap * sizeof *ix->nodes + ix->pool_cap + (uint64_t)ix->table_cap * sizeof *ix->table;
}

int index_begin(struct index *ix)
{
	const struct index_node root = {
		.parent = INDEX_ROOT, .mount = INDEX_NO_MOUNT, .type = SOURCE_DIR, .exact = true, .size_exact = true};
	ix->pool = calloc(1, 4096);
	if (ix->pool == NULL)
		return -ENOMEM;
	ix->pool_n = 1;
	ix->pool_cap = 4096;
	return index_insert(ix, INDEX_ROOT, &root, "", "");
}

void index_forget_all(struct index *ix)
{
	free(TAKE(ix->nodes));
	free(TAKE(ix->pool));
	free(TAKE(ix->table));
	ix->n = ix->cap = ix->pool_n = ix->pool_cap = ix->table_cap = ix->table_n = 0;
	ix->totals = (struct index_totals){0};
}

int index_open(const char *path, uint64_t fingerprint, struct index **ret, struct error *err)
{
	struct index *ix = calloc(1, sizeof *ix);
	if (ix == NULL)
		return error_set(err, -ENOMEM, "index: out of memory");
	ix->fd = -1;
	ix->pending = STRBUF_INIT(256u * 1024 * 1024);
	const int r = index_log_open(ix, path, fingerprint, err);
	if (r < 0) {
		index_close(ix);
		return r;
	}
	*ret = ix;
	return 0;
}

void index_close(struct index *ix)
{
	if (ix == NULL)
		return;
	(void)index_commit(ix); /* a lost tail is listed again */
	strbuf_clear(&ix->pending);
	close_fd(&ix->fd);
	index_forget_all(ix);
	free(ix);
}
