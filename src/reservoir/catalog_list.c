#include <assert.h>

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/error.h"
#include "base/log.h"
#include "base/str.h"
#include "reservoir/catalog_internal.h"

#define QUICK_RETRIES 2u
#define GRACE_NS      (10 * NSEC_PER_SEC)

/* What a source listed, kept until the lock is taken again. */
struct listed {
	struct listed_entry {
		struct source_stat st;
		char *name, *link;
	} * items;
	size_t n, cap;
};

static void listed_clear(struct listed *l)
{
	for (size_t i = 0; i < l->n; i++) {
		free(l->items[i].name);
		free(l->items[i].link);
	}
	free(l->items);
	*l = (struct listed){0};
}

static int collect(void *ctx, const struct source_entry *e)
{
	struct listed *l = ctx;
	if (l->n == l->cap) {
		const size_t cap = l->cap == 0 ? 64 : l->cap * 2;
		struct listed_entry *p = reallocarray(l->items, cap, sizeof *p);
		if (p == NULL)
			return -ENOMEM;
		l->items = p;
		l->cap = cap;
	}
	struct listed_entry it = {.st = e->st, .name = strdup(e->name)};
	if (e->st.type == SOURCE_LINK)
		it.link = strdup(e->link);
	if (it.name == NULL || (e->st.type == SOURCE_LINK && it.link == NULL)) {
		free(it.name);
		free(it.link);
		return -ENOMEM;
	}
	l->items[l->n++] = it;
	return 0;
}

static int by_name(const void *a, const void *b)
{
	const struct listed_entry *x = a, *y = b;
	const int order = strcmp(x->name, y->name);
	return order != 0 ? order : (y->st.type == SOURCE_DIR) - (x->st.type == SOURCE_DIR);
}

/* One entry a name. Where a source has both (keys "a" and "a/b" of a bucket) the directory stays: it leads to more. */
static void drop_doubles(struct listed *l)
{
	size_t n = 0;
	if (l->n > 0)
		qsort(l->items, l->n, sizeof *l->items, by_name);
	for (size_t i = 0; i < l->n; i++) {
		if (n > 0 && strcmp(l->items[n - 1].name, l->items[i].name) == 0) {
			free(l->items[i].name);
			free(l->items[i].link);
		} else {
			l->items[n++] = l->items[i];
		}
	}
	l->n = n;
}

int64_t catalog_fresh_since(const struct catalog *c)
{
	const int64_t now = clock_wall_ns();
	int64_t since = 1;
	if (c->config->freshness == FRESHNESS_TTL)
		since = now - c->config->ttl_ns;
	if (c->config->freshness == FRESHNESS_ON_OPEN)
		since = now - NSEC_PER_SEC; /* one look a second is enough for names */
	return since > c->stale_before_ns ? since : c->stale_before_ns;
}

static bool being_listed(const struct catalog *c, uint32_t id)
{
	for (size_t i = 0; i < c->n_listing; i++)
		if (c->listing[i] == id)
			return true;
	return false;
}

static void listing_ended(struct catalog *c, uint32_t id)
{
	for (size_t i = 0; i < c->n_listing; i++)
		if (c->listing[i] == id) {
			c->listing[i] = c->listing[--c->n_listing];
			break;
		}
	pthread_cond_broadcast(&c->changed);
}

/* Wait @ns, or less when we are to stop. The lock is held. */
static void pause_locked(struct catalog *c, int64_t ns)
{
	const int64_t until = clock_mono_ns() + ns;
	const struct timespec ts = {.tv_sec = until / NSEC_PER_SEC, .tv_nsec = until % NSEC_PER_SEC};
	while (!c->stop && clock_mono_ns() < until)
		(void)pthread_cond_timedwait(&c->changed, &c->lock, &ts); /* the loop looks again */
}

/* List with a few quick tries. The lock is held, and dropped while the source is asked. */
static int ask_listing(struct catalog *c, struct source *source, const char *path, struct listed *l, struct error *err)
{
	for (unsigned attempt = 0;; attempt++) {
		pthread_mutex_unlock(&c->lock);
		listed_clear(l);
		const int r = source_list(source, path, collect, l, err);
		drop_doubles(l);
		pthread_mutex_lock(&c->lock);
		if (r == 0 || !source_may_retry(r) || c->stop || attempt >= QUICK_RETRIES ||
		    attempt >= c->config->fetch_retries)
			return r;
		pause_locked(c, (100 * NSEC_PER_MSEC) << attempt);
	}
}

/* Whether what the listing says can be the version that we know. A page's minutes say nothing about a second look. */
static bool still_same(const struct source_stat *known, const struct source_stat *now)
{
	if (known->type != now->type)
		return false;
	if (known->type == SOURCE_DIR)
		return true;
	if (known->exact && now->exact)
		return source_same_version(known, now);
	return !now->size_exact || !known->size_exact || known->size == now->size;
}

/* Whether the listing is as good as a look at the file: size and minute are what they were. */
static bool confirmed(const struct source_stat *known, const struct source_stat *now)
{
	const int64_t minute = 60 * NSEC_PER_SEC;
	if (known->type != SOURCE_FILE || !known->exact)
		return false;
	return now->exact ||
	       (now->size_exact && now->size == known->size && now->mtime_ns / minute == known->mtime_ns / minute);
}

static uint32_t merge_one(struct catalog *c, uint32_t dir, uint16_t mount, const struct listed_entry *e)
{
	uint32_t id = index_find(c->index, dir, e->name);
	if (id != 0 && index_get(c->index, id)->mount != mount)
		return id; /* another mount lies over it */
	if (id != 0) {
		struct source_stat known;
		index_stat(c->index, id, &known);
		const bool same_link = e->st.type != SOURCE_LINK || strcmp(index_extra(c->index, id), e->link) == 0;
		if (still_same(&known, &e->st) && same_link) {
			if (confirmed(&known, &e->st))
				index_touch(c->index, id, clock_wall_ns());
			return id;
		}
		index_remove(c->index, id);
	}
	return index_add(c->index, dir, e->name, mount, false, &e->st, e->link);
}

static int by_id(const void *a, const void *b)
{
	const uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;
	return (x > y) - (x < y);
}

/* Names that the source no longer has. */
static void sweep(struct catalog *c, uint32_t dir, uint16_t mount, uint32_t *seen, size_t n)
{
	qsort(seen, n, sizeof *seen, by_id);
	for (uint32_t id = index_get(c->index, dir)->first, next; id != 0; id = next) {
		const struct index_node *node = index_get(c->index, id);
		next = node->next;
		if (node->mount == mount && !node->mountpoint && bsearch(&id, seen, n, sizeof *seen, by_id) == NULL)
			index_remove(c->index, id);
	}
}

static int merge(struct catalog *c, uint32_t dir, const struct listed *l, struct error *err)
{
	const struct index_node *node = index_get(c->index, dir);
	const uint16_t mount = node->mount;
	const bool first_time = node->listed_ns == 0;
	const bool deep = index_depth(c->index, dir) >= INDEX_MAX_DEPTH;
	CLEANUP(free_p) uint32_t *seen = calloc(l->n + 1, sizeof *seen);
	if (seen == NULL)
		return error_set(err, -ENOMEM, "index: out of memory");
	for (size_t i = 0; i < l->n; i++) {
		if (deep && l->items[i].st.type == SOURCE_DIR)
			continue; /* links at the source that lead in circles end here */
		if ((seen[i] = merge_one(c, dir, mount, &l->items[i])) == 0)
			return error_set(err, -ENOMEM, "index: out of memory, or more than %u entries",
					 INDEX_MAX_NODES);
	}
	if (!first_time)
		sweep(c, dir, mount, seen, l->n);
	if (first_time)
		index_set_listed(c->index, dir, clock_wall_ns());
	else
		index_touch(c->index, dir, clock_wall_ns());
	index_set_looked_ahead(c->index, dir, false);
	for (uint32_t id = index_get(c->index, dir)->first; id != 0; id = index_get(c->index, id)->next) {
		const struct index_node *n = index_get(c->index, id);
		if ((n->type == SOURCE_DIR && n->listed_ns == 0) || (n->type == SOURCE_FILE && !n->size_exact))
			catalog_crawl_add(c, id, 0, 0);
	}
	if (index_commit(c->index) < 0)
		LOG(NULL, LOG_LVL_WARN, "the index cannot be written: after a restart everything is listed anew");
	return 0;
}

static void note_mount(struct catalog *c, uint32_t dir, int r, const struct error *err)
{
	for (size_t i = 0; i < c->n_mounts; i++) {
		struct catalog_mount *m = &c->mounts[i];
		if (m->root != dir || r == -ECANCELED)
			continue;
		const bool was_failed = m->status.state == CATALOG_FAILED;
		m->noted_ns = clock_mono_ns();
		m->listed |= r == 0;
		m->status.state = r == 0 || m->listed ? CATALOG_READY : CATALOG_FAILED;
		(void)str_copy(m->status.message, sizeof m->status.message, r == 0 ? "" : err->msg); /* cut is fine */
		if (r < 0 && !was_failed)
			LOG(NULL, LOG_LVL_ERROR, "cannot list a source; trying again",
			    LOG_STR("source", source_url(m->source)), LOG_STR("err", err->msg));
	}
}

static int list_locked(struct catalog *c, uint32_t id, struct error *err)
{
	char path[CATALOG_PATH_MAX];
	struct source *source = c->mounts[index_get(c->index, id)->mount].source;
	int r = index_path(c->index, id, path, sizeof path);
	if (r < 0)
		return error_set(err, r, "%s: the path is too long", source_url(source));
	struct listed l = {0};
	struct error inner = {0};
	c->listing[c->n_listing++] = id;
	r = ask_listing(c, source, path, &l, &inner);
	if (r == 0 && !index_get(c->index, id)->dead)
		r = merge(c, id, &l, &inner);
	note_mount(c, id, r, &inner);
	listing_ended(c, id);
	listed_clear(&l);
	if (r < 0 && err != NULL)
		*err = inner;
	return r;
}

/* A mount that is known to be away answers at once; the crawl tries again. */
static const struct catalog_mount *failed_mount(const struct catalog *c, uint32_t id)
{
	for (size_t i = 0; i < c->n_mounts; i++)
		if (c->mounts[i].root == id && c->mounts[i].status.state == CATALOG_FAILED)
			return &c->mounts[i];
	return NULL;
}

/* What was known before is better than nothing while the source is away; it is not asked again at each step. */
static bool go_on_with_old(struct catalog *c, uint32_t id)
{
	const struct index_node *n = index_get(c->index, id);
	if ((n->type == SOURCE_DIR && n->listed_ns == 0) || c->config->freshness == FRESHNESS_ON_OPEN)
		return false;
	index_touch(c->index, id, catalog_fresh_since(c) + GRACE_NS);
	return true;
}

static int ensure_listed(struct catalog *c, uint32_t id, bool crawl, struct error *err)
{
	for (;;) {
		const struct index_node *n = index_get(c->index, id);
		if (n->type != SOURCE_DIR)
			return error_set(err, -ENOTDIR, "no directory");
		if (n->mount == INDEX_NO_MOUNT || n->dead || n->listed_ns >= catalog_fresh_since(c))
			return 0;
		if (c->stop)
			return error_set(err, -ECANCELED, "stopping");
		const struct catalog_mount *m = crawl ? NULL : failed_mount(c, id);
		if (m != NULL)
			return error_set(err, -EIO, "%s", m->status.message);
		const bool full = c->n_listing == LISTING_MAX;
		if (!full && !being_listed(c, id)) {
			struct error inner = {0};
			const int r = list_locked(c, id, &inner);
			if (r == 0)
				return 0;
			if (source_may_retry(r) && go_on_with_old(c, id))
				return 0;
			if (err != NULL)
				*err = inner;
			return r;
		}
		pthread_cond_wait(&c->changed, &c->lock);
	}
}

int catalog_ensure_listed(struct catalog *c, uint32_t id, struct error *err)
{
	return ensure_listed(c, id, false, err);
}

int catalog_list_for_crawl(struct catalog *c, uint32_t id, struct error *err)
{
	return ensure_listed(c, id, true, err);
}

static int ask_stat(struct catalog *c, struct source *source, const char *path, struct source_stat *ret,
		    struct error *err)
{
	for (unsigned attempt = 0;; attempt++) {
		pthread_mutex_unlock(&c->lock);
		const int r = source_stat(source, path, ret, err);
		pthread_mutex_lock(&c->lock);
		if (r == 0 || !source_may_retry(r) || c->stop || attempt >= QUICK_RETRIES ||
		    attempt >= c->config->fetch_retries)
			return r;
		pause_locked(c, (100 * NSEC_PER_MSEC) << attempt);
	}
}

/* A name has a new version: a new id beside the old one. */
static int replace_version(struct catalog *c, uint32_t *id, const struct source_stat *st, struct error *err)
{
	const struct index_node *n = index_get(c->index, *id);
	const uint32_t parent = n->parent;
	const uint16_t mount = n->mount;
	char name[CATALOG_NAME_MAX + 1];
	(void)str_copy(name, sizeof name, index_name(c->index, *id)); /* names are no longer */
	const bool was_dead = n->dead;
	index_remove(c->index, *id);
	const uint32_t other = index_find(c->index, parent, name);
	if (was_dead && other != 0) {
		*id = other;
		return 0;
	}
	const uint32_t fresh = index_add(c->index, parent, name, mount, false, st, "");
	if (fresh == 0)
		return error_set(err, -ENOMEM, "index: out of memory");
	*id = fresh;
	return index_refine(c->index, fresh, st, clock_wall_ns());
}

static int stat_locked(struct catalog *c, uint32_t *id, struct error *err)
{
	char path[CATALOG_PATH_MAX];
	struct source *source = c->mounts[index_get(c->index, *id)->mount].source;
	if (index_path(c->index, *id, path, sizeof path) < 0)
		return error_set(err, -ENAMETOOLONG, "%s: the path is too long", source_url(source));
	struct source_stat st, known;
	int r = ask_stat(c, source, path, &st, err);
	if (r == -ENOENT)
		index_remove(c->index, *id);
	if (r == 0) {
		index_stat(c->index, *id, &known);
		if (!known.exact && st.type == known.type)
			r = index_refine(c->index, *id, &st, clock_wall_ns());
		else if (source_same_version(&known, &st))
			index_touch(c->index, *id, clock_wall_ns()); /* not logged: the log grows with changes alone */
		else
			r = replace_version(c, id, &st, err);
	}
	if (index_commit(c->index) < 0)
		LOG(NULL, LOG_LVL_WARN, "the index cannot be written: after a restart everything is listed anew");
	return r;
}

int catalog_ensure_exact(struct catalog *c, uint32_t *id, bool force, struct error *err)
{
	const struct index_node *n = index_get(c->index, *id);
	if (n->type != SOURCE_FILE || n->dead)
		return 0;
	const bool fresh = c->config->freshness == FRESHNESS_NEVER || n->listed_ns >= catalog_fresh_since(c);
	if (!force && n->exact && (fresh || c->config->freshness == FRESHNESS_ON_OPEN))
		return 0;
	const bool known = n->exact;
	const int r = stat_locked(c, id, err);
	return r < 0 && known && source_may_retry(r) && go_on_with_old(c, *id) ? 0 : r;
}
