#include "reservoir/store.h"

#include <assert.h>
#include <fcntl.h>

#include <xxhash.h>

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/error.h"
#include "reservoir/store_internal.h"

struct store_key store_key_make(const char *source, const char *path, const char *version)
{
	XXH3_state_t *st = XXH3_createState();
	assert(st != NULL); /* some 600 bytes; without them nothing goes on */
	(void)XXH3_128bits_reset(st);
	(void)XXH3_128bits_update(st, source, strlen(source) + 1);
	(void)XXH3_128bits_update(st, path, strlen(path) + 1);
	(void)XXH3_128bits_update(st, version, strlen(version) + 1);
	const XXH128_hash_t h = XXH3_128bits_digest(st);
	(void)XXH3_freeState(st);
	return (struct store_key){.hi = h.high64, .lo = h.low64};
}

uint64_t store_block_bytes(const struct store_file *f, uint32_t block)
{
	const uint64_t off = (uint64_t)block * f->store->block_size;
	const uint64_t left = f->size - off;
	return left < f->store->block_size ? left : f->store->block_size;
}

uint64_t store_present_bytes(const struct store_file *f)
{
	if (f->present == f->blocks)
		return f->size;
	uint64_t n = (uint64_t)f->present * f->store->block_size;
	if (f->blocks > 0 && store_bit(f->present_bits, f->blocks - 1))
		n -= f->store->block_size - store_block_bytes(f, f->blocks - 1);
	return n;
}

bool store_complete_locked(const struct store_file *f)
{
	return f->present == f->blocks;
}

pthread_cond_t *store_cond_of(const struct store_file *f)
{
	return &f->store->conds[f->key.lo % STORE_CONDS];
}

/* --- the table and the order of use --- */

struct store_file *store_lookup_locked(struct store *s, struct store_key key)
{
	struct store_file *f = s->n_buckets > 0 ? s->buckets[key.lo & (s->n_buckets - 1)] : NULL;
	while (f != NULL && (f->key.hi != key.hi || f->key.lo != key.lo))
		f = f->hash_next;
	return f;
}

static int grow_locked(struct store *s)
{
	const size_t n = s->n_buckets == 0 ? 1024 : s->n_buckets * 2;
	struct store_file **b = calloc(n, sizeof(struct store_file *));
	if (b == NULL)
		return -ENOMEM;
	for (size_t i = 0; i < s->n_buckets; i++)
		for (struct store_file *f = s->buckets[i], *next; f != NULL; f = next) {
			next = f->hash_next;
			f->hash_next = b[f->key.lo & (n - 1)];
			b[f->key.lo & (n - 1)] = f;
		}
	free(s->buckets);
	s->buckets = b;
	s->n_buckets = n;
	return 0;
}

struct store_file *store_insert_locked(struct store *s, struct store_key key, uint64_t size)
{
	if (s->n_files >= s->n_buckets && grow_locked(s) < 0)
		return NULL;
	struct store_file *f = calloc(1, sizeof *f);
	if (f == NULL)
		return NULL;
	*f = (struct store_file){.store = s, .key = key, .size = size, .fd = -1, .tier = STORE_NO_TIER};
	f->blocks = (uint32_t)store_block_count(size, s->block_size);
	f->hash_next = s->buckets[key.lo & (s->n_buckets - 1)];
	s->buckets[key.lo & (s->n_buckets - 1)] = f;
	s->n_files++;
	return f;
}

static void file_free(struct store_file *f)
{
	close_fd(&f->fd);
	free(f->present_bits);
	free(f->inflight_bits);
	free(f->failure);
	free(f);
}

void store_drop_locked(struct store_file *f)
{
	struct store *s = f->store;
	struct store_file **p = &s->buckets[f->key.lo & (s->n_buckets - 1)];
	while (*p != f)
		p = &(*p)->hash_next;
	*p = f->hash_next;
	s->n_files--;
	file_free(f);
}

void store_lru_add_locked(struct store_file *f)
{
	struct store_tier *t = &f->store->tiers[f->tier];
	f->in_lru = true;
	f->lru_prev = NULL;
	f->lru_next = t->lru_head;
	if (t->lru_head != NULL)
		t->lru_head->lru_prev = f;
	else
		t->lru_tail = f;
	t->lru_head = f;
}

void store_lru_remove_locked(struct store_file *f)
{
	struct store_tier *t = &f->store->tiers[f->tier];
	if (f->lru_prev != NULL)
		f->lru_prev->lru_next = f->lru_next;
	else
		t->lru_head = f->lru_next;
	if (f->lru_next != NULL)
		f->lru_next->lru_prev = f->lru_prev;
	else
		t->lru_tail = f->lru_prev;
	f->lru_prev = f->lru_next = NULL;
	f->in_lru = false;
}

void store_dirty_add_locked(struct store_file *f)
{
	if (f->dirty)
		return;
	f->dirty = true;
	f->dirty_prev = NULL;
	f->dirty_next = f->store->dirty;
	if (f->dirty_next != NULL)
		f->dirty_next->dirty_prev = f;
	f->store->dirty = f;
}

void store_dirty_remove_locked(struct store_file *f)
{
	if (!f->dirty)
		return;
	if (f->dirty_prev != NULL)
		f->dirty_prev->dirty_next = f->dirty_next;
	else
		f->store->dirty = f->dirty_next;
	if (f->dirty_next != NULL)
		f->dirty_next->dirty_prev = f->dirty_prev;
	f->dirty_prev = f->dirty_next = NULL;
	f->dirty = false;
}

/* --- references --- */

int store_acquire(struct store *s, struct store_key key, uint64_t size, struct store_file **ret, struct error *err)
{
	if (store_block_count(size, s->block_size) > UINT32_MAX - 1)
		return error_set(err, -EFBIG, "a file of %llu bytes is too large for the block size",
				 (unsigned long long)size);
	pthread_mutex_lock(&s->lock);
	struct store_file *f;
	while ((f = store_lookup_locked(s, key)) != NULL && f->evicting)
		pthread_cond_wait(&s->evicted, &s->lock);
	int r = 0;
	if (f == NULL)
		f = store_insert_locked(s, key, size);
	if (f == NULL) {
		r = error_set(err, -ENOMEM, "cache: out of memory");
	} else if (f->size != size) {
		r = error_set(err, -EIO, "the cache holds a file of the same version with another size");
	} else {
		if (f->in_lru)
			store_lru_remove_locked(f);
		f->refs++;
		*ret = f;
	}
	pthread_mutex_unlock(&s->lock);
	return r;
}

struct store_file *store_ref(struct store_file *f)
{
	pthread_mutex_lock(&f->store->lock);
	assert(f->refs > 0);
	f->refs++;
	pthread_mutex_unlock(&f->store->lock);
	return f;
}

void store_unref_locked(struct store_file *f)
{
	assert(f->refs > 0);
	if (--f->refs > 0)
		return;
	close_fd(&f->fd);
	f->fd = -1;
	free(TAKE(f->inflight_bits)); /* nothing is in flight without a reference */
	if (!f->on_disk) {
		if (f->tier != STORE_NO_TIER)
			store_unreserve_locked(f, f->charged);
		store_drop_locked(f);
		return;
	}
	store_lru_add_locked(f);
	f->store->tiers[f->tier].stuck_until_ns = 0;
}

void store_release(struct store_file *f)
{
	if (f == NULL)
		return;
	struct store *s = f->store;
	pthread_mutex_lock(&s->lock);
	f->last_use_ns = clock_wall_ns();
	f->touched = true;
	if (f->on_disk)
		store_dirty_add_locked(f);
	store_unref_locked(f);
	pthread_mutex_unlock(&s->lock);
}

uint32_t store_file_blocks(const struct store_file *f)
{
	return f->blocks;
}

bool store_file_complete(struct store_file *f)
{
	pthread_mutex_lock(&f->store->lock);
	const bool r = store_complete_locked(f);
	pthread_mutex_unlock(&f->store->lock);
	return r;
}

uint64_t store_file_cached(struct store_file *f)
{
	pthread_mutex_lock(&f->store->lock);
	const uint64_t r = store_present_bytes(f);
	pthread_mutex_unlock(&f->store->lock);
	return r;
}

uint64_t store_cached_of(struct store *s, struct store_key key)
{
	pthread_mutex_lock(&s->lock);
	const struct store_file *f = store_lookup_locked(s, key);
	const uint64_t r = f != NULL ? store_present_bytes(f) : 0;
	pthread_mutex_unlock(&s->lock);
	return r;
}

int store_file_open_fd(struct store_file *f)
{
	struct store *s = f->store;
	pthread_mutex_lock(&s->lock);
	const bool there = f->on_disk;
	const struct store_tier *t = there ? &s->tiers[f->tier] : NULL;
	pthread_mutex_unlock(&s->lock);
	return there ? store_disk_open(t, f, O_RDONLY) : -ENOENT;
}

void store_stats(struct store *s, struct store_stats *ret)
{
	const int64_t now = clock_mono_ns();
	pthread_mutex_lock(&s->lock);
	*ret = (struct store_stats){
		.files = s->n_files, .evicted_files = s->evicted_files, .evicted_bytes = s->evicted_bytes};
	for (size_t i = 0; i < s->n_tiers; i++) {
		ret->capacity_bytes += s->tiers[i].quota;
		ret->used_bytes += s->tiers[i].used;
		ret->cached_bytes += s->tiers[i].cached;
		ret->disk_full |= s->tiers[i].full_until_ns > now;
	}
	pthread_mutex_unlock(&s->lock);
}

uint32_t store_block_size(const struct store *s)
{
	return s->block_size;
}

/* --- opening and closing --- */

static int by_last_use(const void *a, const void *b)
{
	const struct store_file *x = *(struct store_file *const *)a, *y = *(struct store_file *const *)b;
	return (x->last_use_ns > y->last_use_ns) - (x->last_use_ns < y->last_use_ns);
}

/* Put what was loaded in order, and make it fit a quota that may have become smaller. */
static int order_loaded(struct store *s)
{
	CLEANUP(free_p) struct store_file **all = calloc(s->n_files + 1, sizeof(struct store_file *));
	if (all == NULL)
		return -ENOMEM;
	size_t n = 0;
	for (size_t i = 0; i < s->n_buckets; i++)
		for (struct store_file *f = s->buckets[i]; f != NULL; f = f->hash_next)
			all[n++] = f;
	qsort(all, n, sizeof(struct store_file *), by_last_use);
	pthread_mutex_lock(&s->lock);
	for (size_t i = 0; i < n; i++)
		store_lru_add_locked(all[i]);
	pthread_mutex_unlock(&s->lock);
	store_flush(s);
	pthread_mutex_lock(&s->lock);
	for (size_t i = 0; i < s->n_tiers; i++)
		if (s->tiers[i].used > s->tiers[i].high)
			store_evict_to_locked(s, &s->tiers[i], s->tiers[i].low);
	pthread_mutex_unlock(&s->lock);
	return 0;
}

static void init_sync(struct store *s)
{
	pthread_condattr_t attr;
	(void)pthread_condattr_init(&attr);
	(void)pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
	(void)pthread_mutex_init(&s->lock, NULL);
	(void)pthread_mutex_init(&s->flush_lock, NULL);
	for (size_t i = 0; i < STORE_CONDS; i++)
		(void)pthread_cond_init(&s->conds[i], &attr);
	(void)pthread_cond_init(&s->evicted, NULL);
	(void)pthread_cond_init(&s->stop_cond, &attr);
	(void)pthread_condattr_destroy(&attr);
}

int store_open(const struct tier_config *tiers, size_t n, uint32_t block_size, struct store **ret, struct error *err)
{
	struct store *s = calloc(1, sizeof *s);
	if (s == NULL)
		return error_set(err, -ENOMEM, "cache: out of memory");
	assert(n >= 1 && n <= ARRAY_LEN(s->tiers));
	init_sync(s);
	s->block_size = block_size;
	int r = 0;
	for (size_t i = 0; r == 0 && i < n; i++) {
		s->n_tiers++;
		r = store_tier_open(&s->tiers[i], &tiers[i], err);
	}
	for (size_t i = 0; r == 0 && i < n; i++)
		r = store_tier_load(s, i, err);
	if (r == 0 && (r = order_loaded(s)) < 0)
		r = error_set(err, r, "cache: out of memory");
	if (r == 0 && (r = -pthread_create(&s->flusher, NULL, store_flusher_main, s)) < 0)
		r = error_set(err, r, "cache: cannot start a thread: %s", strerror(-r));
	s->flusher_runs = r == 0;
	if (r < 0) {
		store_close(s);
		return r;
	}
	*ret = s;
	return 0;
}

void store_close(struct store *s)
{
	if (s == NULL)
		return;
	if (s->flusher_runs) {
		pthread_mutex_lock(&s->lock);
		s->stop = true;
		pthread_cond_signal(&s->stop_cond);
		pthread_mutex_unlock(&s->lock);
		(void)pthread_join(s->flusher, NULL);
		store_flush(s);
	}
	for (size_t i = 0; i < s->n_buckets; i++)
		for (struct store_file *f = s->buckets[i], *next; f != NULL; f = next) {
			next = f->hash_next;
			file_free(f);
		}
	free(s->buckets);
	for (size_t i = 0; i < s->n_tiers; i++)
		store_tier_close(&s->tiers[i]);
	for (size_t i = 0; i < STORE_CONDS; i++)
		(void)pthread_cond_destroy(&s->conds[i]);
	(void)pthread_cond_destroy(&s->evicted);
	(void)pthread_cond_destroy(&s->stop_cond);
	(void)pthread_mutex_destroy(&s->lock);
	(void)pthread_mutex_destroy(&s->flush_lock);
	free(s);
}
