/* Writing down: the marks of blocks follow their bytes to the disk, through a sync. */
#include <unistd.h>

#include "base/cleanup.h"
#include "base/clock.h"
#include "reservoir/store_internal.h"

#define FLUSH_PERIOD_NS (2 * NSEC_PER_SEC)
#define SYNC_ONE_BY_ONE 16 /* more files than this: one sync of the whole file system is cheaper */

struct flush_item {
	struct store_file *f;
	uint64_t *bits; /* NULL: complete */
	bool touch, name, map;
};

/* Take the dirty files, each with a reference, and what is to be written of each. */
static struct flush_item *flush_collect_locked(struct store *s, size_t *ret_n)
{
	size_t n = 0;
	for (const struct store_file *f = s->dirty; f != NULL; f = f->dirty_next)
		n++;
	struct flush_item *items = n > 0 ? calloc(n, sizeof *items) : NULL;
	*ret_n = 0;
	if (items == NULL)
		return NULL; /* nothing to do, or no memory: next time */
	for (struct store_file *f = s->dirty, *next; f != NULL; f = next) {
		next = f->dirty_next;
		struct flush_item *it = &items[(*ret_n)++];
		*it = (struct flush_item){.f = f, .touch = f->touched};
		it->name = store_complete_locked(f) && !f->full_name;
		if (!store_complete_locked(f) && f->present_bits != NULL) {
			it->bits = calloc(store_words(f->blocks), sizeof *it->bits);
			it->map = it->bits != NULL;
			if (it->map)
				memcpy(it->bits, f->present_bits, store_words(f->blocks) * sizeof *it->bits);
		}
		f->touched = f->dirty = false;
		f->dirty_prev = f->dirty_next = NULL;
		if (f->in_lru)
			store_lru_remove_locked(f);
		f->refs++;
	}
	s->dirty = NULL;
	return items;
}

/* Bring the data of @items to the disk; what cannot be synced is not marked, and so fetched again after a crash. */
static void sync_data(struct store *s, struct flush_item *items, size_t n)
{
	size_t data = 0;
	for (size_t i = 0; i < n; i++)
		data += items[i].name || items[i].map;
	bool ok[ARRAY_LEN(s->tiers)] = {true, true, true};
	for (size_t i = 0; data > SYNC_ONE_BY_ONE && i < s->n_tiers; i++)
		ok[i] = syncfs(s->tiers[i].dirfd) == 0;
	for (size_t i = 0; i < n; i++) {
		bool synced = ok[items[i].f->tier];
		if (data <= SYNC_ONE_BY_ONE && (items[i].name || items[i].map)) {
			CLEANUP(close_fd) int fd = store_file_open_fd(items[i].f);
			synced = fd >= 0 && fdatasync(fd) == 0;
		}
		items[i].name &= synced;
		items[i].map &= synced;
	}
}

static void flush_one(struct store *s, struct flush_item *it)
{
	struct store_tier *t = &s->tiers[it->f->tier];
	const bool named = it->name && store_disk_complete(t, it->f) == 0;
	if (it->map)
		(void)store_disk_write_map(t, it->f, s->block_size,
					   it->bits); /* without marks the blocks are fetched again */
	pthread_mutex_lock(&s->lock);
	if (named) {
		it->f->full_name = true;
		store_unreserve_locked(it->f, STORE_MAP_CHARGE);
	}
	pthread_mutex_unlock(&s->lock);
	if (it->touch)
		store_disk_touch(t, it->f);
	pthread_mutex_lock(&s->lock);
	store_unref_locked(it->f);
	pthread_mutex_unlock(&s->lock);
	free(it->bits);
}

void store_flush(struct store *s)
{
	pthread_mutex_lock(&s->flush_lock);
	pthread_mutex_lock(&s->lock);
	size_t n;
	CLEANUP(free_p) struct flush_item *items = flush_collect_locked(s, &n);
	pthread_mutex_unlock(&s->lock);
	sync_data(s, items, n);
	for (size_t i = n; i-- > 0;) /* oldest first: the order of use is kept */
		flush_one(s, &items[i]);
	pthread_mutex_unlock(&s->flush_lock);
}

void *store_flusher_main(void *arg)
{
	struct store *s = arg;
	pthread_mutex_lock(&s->lock);
	while (!s->stop) {
		store_cond_wait_until(&s->stop_cond, &s->lock, clock_mono_ns() + FLUSH_PERIOD_NS);
		pthread_mutex_unlock(&s->lock);
		store_flush(s);
		pthread_mutex_lock(&s->lock);
	}
	pthread_mutex_unlock(&s->lock);
	return NULL;
}
