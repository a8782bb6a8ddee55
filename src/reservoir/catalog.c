#include "reservoir/catalog.h"

#include <xxhash.h>

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/error.h"
#include "base/str.h"
#include "reservoir/catalog_internal.h"

#define MESSAGE_NS (60 * NSEC_PER_SEC) /* how long a failure stays in the status of a mount that is ready */

uint32_t catalog_own_id(const struct catalog *c, uint64_t id)
{
	const uint32_t own = (uint32_t)id;
	if (catalog_public_id(c, own) != id || index_get(c->index, own) == NULL)
		return 0;
	return own;
}

static int stale(struct error *err)
{
	return error_set(err, -ESTALE, "the id is of another index");
}

static void attr_of(const struct catalog *c, uint32_t id, struct catalog_attr *ret)
{
	const struct index_node *n = index_get(c->index, id);
	*ret = (struct catalog_attr){
		.id = catalog_public_id(c, id),
		.size = n->size,
		.mtime_ns = n->mtime_ns,
		.type = n->type,
		.exact = n->exact,
		.exec = n->exec,
	};
}

int catalog_lookup(struct catalog *c, uint64_t parent, const char *name, struct catalog_attr *ret, struct error *err)
{
	pthread_mutex_lock(&c->lock);
	uint32_t dir = catalog_own_id(c, parent), id = 0;
	int r = dir == 0 ? stale(err) : 0;
	if (r == 0 && index_get(c->index, dir)->dead)
		r = error_set(err, -ENOENT, "the directory is gone");
	/* a mount point is known whatever the source around it does */
	if (r == 0 && !((id = index_find(c->index, dir, name)) != 0 && index_get(c->index, id)->mountpoint))
		r = catalog_ensure_listed(c, dir, err);
	if (r == 0 && (id = index_find(c->index, dir, name)) == 0)
		r = error_set(err, -ENOENT, "no such name");
	if (r == 0)
		r = catalog_ensure_exact(c, &id, false, err);
	if (r == 0)
		attr_of(c, id, ret);
	pthread_mutex_unlock(&c->lock);
	return r;
}

int catalog_getattr(struct catalog *c, uint64_t id, struct catalog_attr *ret, struct error *err)
{
	pthread_mutex_lock(&c->lock);
	uint32_t own = catalog_own_id(c, id);
	int r = own == 0 ? stale(err) : 0;
	if (r == 0) {
		const struct index_node *n = index_get(c->index, own);
		if (n->type == SOURCE_FILE && !n->exact && !n->dead)
			r = catalog_ensure_exact(c, &own, false, err);
	}
	if (r == 0)
		attr_of(c, own, ret);
	pthread_mutex_unlock(&c->lock);
	return r;
}

int catalog_readlink(struct catalog *c, uint64_t id, char *out, size_t size, struct error *err)
{
	pthread_mutex_lock(&c->lock);
	const uint32_t own = catalog_own_id(c, id);
	int r = own == 0 ? stale(err) : 0;
	if (r == 0 && index_get(c->index, own)->type != SOURCE_LINK)
		r = error_set(err, -EINVAL, "no link");
	if (r == 0)
		r = str_copy(out, size, index_extra(c->index, own));
	pthread_mutex_unlock(&c->lock);
	return r;
}

int catalog_readdir(struct catalog *c, uint64_t id, uint64_t cookie,
		    int (*fn)(void *ctx, const struct catalog_attr *a, const char *name, uint64_t cookie), void *ctx,
		    struct error *err)
{
	pthread_mutex_lock(&c->lock);
	const uint32_t dir = catalog_own_id(c, id);
	int r = dir == 0 ? stale(err) : 0;
	if (r == 0 && cookie == 0)
		r = catalog_ensure_listed(c, dir, err);
	if (r == 0 && cookie == 0)
		catalog_look_ahead(c, dir);
	const struct index_node *at = r == 0 && cookie != 0 ? index_get(c->index, (uint32_t)cookie) : NULL;
	if (r == 0 && cookie != 0 && (at == NULL || at->parent != dir))
		r = error_set(err, -EINVAL, "no such position");
	if (r == 0) {
		uint32_t child = cookie == 0 ? index_get(c->index, dir)->first : at->next;
		for (; child != 0; child = index_get(c->index, child)->next) {
			struct catalog_attr a;
			attr_of(c, child, &a);
			if (!index_get(c->index, child)->dead && fn(ctx, &a, index_name(c->index, child), child) != 0)
				break;
		}
	}
	pthread_mutex_unlock(&c->lock);
	return r;
}

int catalog_file(struct catalog *c, uint64_t id, bool opening, struct catalog_file *ret, struct error *err)
{
	pthread_mutex_lock(&c->lock);
	uint32_t own = catalog_own_id(c, id);
	const uint32_t asked = own;
	int r = own == 0 ? stale(err) : 0;
	if (r == 0 && index_get(c->index, own)->type != SOURCE_FILE)
		r = error_set(err, -EINVAL, "no file");
	if (r == 0 && opening)
		r = catalog_ensure_exact(c, &own, c->config->freshness == FRESHNESS_ON_OPEN, err);
	if (r == 0 && opening && (own != asked || index_get(c->index, own)->dead))
		r = error_set(err, -ESTALE, "the file has a newer version");
	if (r == 0) {
		ret->source = c->mounts[index_get(c->index, own)->mount].source;
		index_stat(c->index, own, &ret->version);
		r = index_path(c->index, own, ret->path, sizeof ret->path);
	}
	pthread_mutex_unlock(&c->lock);
	return r;
}

void catalog_refresh(struct catalog *c)
{
	pthread_mutex_lock(&c->lock);
	c->stale_before_ns = clock_wall_ns();
	for (uint32_t id = 1; id < index_end(c->index); id++) {
		const struct index_node *n = index_get(c->index, id);
		if (n != NULL && !n->dead && n->type == SOURCE_DIR && n->mount != INDEX_NO_MOUNT)
			catalog_crawl_add(c, id, 0, 0);
	}
	pthread_mutex_unlock(&c->lock);
}

void catalog_mount_status(struct catalog *c, size_t mount, struct catalog_mount_status *ret)
{
	pthread_mutex_lock(&c->lock);
	*ret = c->mounts[mount].status;
	if (ret->state == CATALOG_READY && clock_mono_ns() - c->mounts[mount].noted_ns > MESSAGE_NS)
		ret->message[0] = '\0'; /* it went well since, or nobody asked */
	pthread_mutex_unlock(&c->lock);
}

void catalog_note_failure(struct catalog *c, const struct source *source, const char *message)
{
	pthread_mutex_lock(&c->lock);
	for (size_t i = 0; i < c->n_mounts; i++)
		if (c->mounts[i].source == source) {
			c->mounts[i].noted_ns = clock_mono_ns();
			(void)str_copy(c->mounts[i].status.message, sizeof c->mounts[i].status.message, message);
		}
	pthread_mutex_unlock(&c->lock);
}

void catalog_totals(struct catalog *c, struct catalog_totals *ret)
{
	pthread_mutex_lock(&c->lock);
	struct index_totals t;
	index_totals(c->index, &t);
	*ret = (struct catalog_totals){.bytes = t.bytes, .files = t.files, .dirs = t.dirs, .memory = t.memory};
	ret->failed_dirs = c->delayed.n;
	ret->complete = c->ready.n == 0 && c->delayed.n == 0 && c->crawling == 0 && t.inexact == 0;
	for (size_t i = 0; i < c->n_mounts; i++)
		ret->complete &= c->mounts[i].listed;
	pthread_mutex_unlock(&c->lock);
}

bool catalog_ready(struct catalog *c)
{
	pthread_mutex_lock(&c->lock);
	bool ready = true;
	for (size_t i = 0; i < c->n_mounts; i++)
		ready &= c->mounts[i].listed;
	pthread_mutex_unlock(&c->lock);
	return ready;
}

/* --- beginning and end --- */

static uint64_t fingerprint(const struct reservoir_config *config)
{
	uint64_t h = XXH64(config->name, strlen(config->name) + 1, 0);
	for (size_t i = 0; i < config->n_mounts; i++) {
		h = XXH64(config->mounts[i].path, strlen(config->mounts[i].path) + 1, h);
		h = XXH64(config->mounts[i].source, strlen(config->mounts[i].source) + 1, h);
	}
	return h;
}

/* The node of a mount's path, making the directories that lead there. */
static uint32_t make_mount_point(struct catalog *c, const char *path, uint16_t mount)
{
	const struct source_stat dir = {.type = SOURCE_DIR, .exact = true, .size_exact = true};
	struct str rest = str_from(path + 1), one;
	uint32_t at = INDEX_ROOT;
	if (path[1] == '\0') {
		index_set_root_mount(c->index, mount);
		return at;
	}
	while (at != 0 && str_split_next(&rest, '/', &one)) {
		char name[CATALOG_NAME_MAX + 1];
		memcpy(name, one.p, one.n); /* reservoir_config checked the length */
		name[one.n] = '\0';
		const uint32_t child = index_find(c->index, at, name);
		if (child != 0)
			at = child;
		else
			at = index_add(c->index, at, name, rest.p == NULL ? mount : INDEX_NO_MOUNT, true, &dir, "");
	}
	return at;
}

static int connect_mounts(struct catalog *c, struct error *err)
{
	c->mounts = calloc(c->config->n_mounts, sizeof *c->mounts);
	if (c->mounts == NULL)
		return error_set(err, -ENOMEM, "out of memory");
	for (size_t i = 0; i < c->config->n_mounts; i++) {
		const struct mount_config *m = &c->config->mounts[i];
		int r = source_new(m->source, &m->s3, c->config->fetch_timeout_ns, &c->mounts[i].source, err);
		if (r < 0)
			return r;
		c->n_mounts++;
		c->mounts[i].root = make_mount_point(c, m->path, (uint16_t)i);
		if (c->mounts[i].root == 0)
			return error_set(err, -ENOMEM, "mount '%s': out of memory", m->path);
		const struct index_node *root = index_get(c->index, c->mounts[i].root);
		if (root->mount != i)
			return error_set(err, -EINVAL, "mount '%s': another mount lies below it", m->path);
		if (root->listed_ns != 0) { /* known from an earlier run */
			c->mounts[i].listed = true;
			c->mounts[i].status.state = CATALOG_READY;
		}
	}
	return 0;
}

/* What an earlier run did not get to. */
static void queue_unlisted(struct catalog *c)
{
	for (uint32_t id = 1; id < index_end(c->index); id++) {
		const struct index_node *n = index_get(c->index, id);
		if (n == NULL || n->dead || n->mount == INDEX_NO_MOUNT)
			continue;
		if ((n->type == SOURCE_DIR && n->listed_ns < catalog_fresh_since(c)) ||
		    (n->type == SOURCE_FILE && !n->size_exact))
			catalog_crawl_add(c, id, 0, 0);
	}
}

int catalog_new(const struct reservoir_config *config, const char *dir, struct catalog **ret, struct error *err)
{
	struct catalog *c = calloc(1, sizeof *c);
	CLEANUP(free_p) char *path = str_printf("%s/index", dir);
	if (c == NULL || path == NULL) {
		free(c);
		return error_set(err, -ENOMEM, "out of memory");
	}
	c->config = config;
	pthread_condattr_t attr;
	(void)pthread_condattr_init(&attr);
	(void)pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
	(void)pthread_mutex_init(&c->lock, NULL);
	(void)pthread_cond_init(&c->changed, &attr);
	(void)pthread_condattr_destroy(&attr);
	int r = index_open(path, fingerprint(config), &c->index, err);
	if (r == 0)
		r = connect_mounts(c, err);
	if (r == 0) {
		(void)index_commit(c->index); /* tried again with the first listing */
		queue_unlisted(c);
		r = catalog_crawl_start(c, err);
	}
	if (r < 0) {
		catalog_free(c);
		return r;
	}
	*ret = c;
	return 0;
}

void catalog_stop(struct catalog *c)
{
	for (size_t i = 0; i < c->n_mounts; i++)
		source_cancel(c->mounts[i].source);
	pthread_mutex_lock(&c->lock);
	c->stop = true;
	pthread_cond_broadcast(&c->changed);
	pthread_mutex_unlock(&c->lock);
}

void catalog_free(struct catalog *c)
{
	if (c == NULL)
		return;
	catalog_stop(c);
	for (size_t i = 0; i < c->n_threads; i++)
		(void)pthread_join(c->threads[i], NULL);
	for (size_t i = 0; i < c->n_mounts; i++)
		source_free(c->mounts[i].source);
	free(c->mounts);
	free(c->ready.items);
	free(c->delayed.items);
	free(c->ahead.items);
	index_close(c->index);
	(void)pthread_cond_destroy(&c->changed);
	(void)pthread_mutex_destroy(&c->lock);
	free(c);
}
