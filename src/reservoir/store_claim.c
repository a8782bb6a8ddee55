/* Space, eviction, claims on blocks. */
#include <assert.h>
#include <fcntl.h>

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/error.h"
#include "base/file.h"
#include "base/log.h"
#include "reservoir/store_internal.h"

#define FULL_DISK_PAUSE_NS (10 * NSEC_PER_SEC)
#define STUCK_PAUSE_NS     (100 * NSEC_PER_MSEC)
#define EVICT_TRIES        64 /* files in use that one search for room passes over */

/* --- space --- */

/* Take the least recently used file out of @t. 0, -EBUSY (it is in use: now the newest) or -ENOENT (none left). Drops the lock. */
static int evict_one_locked(struct store *s, struct store_tier *t)
{
	struct store_file *f = t->lru_tail;
	if (f == NULL)
		return -ENOENT;
	store_lru_remove_locked(f);
	store_dirty_remove_locked(f);
	f->evicting = true;
	pthread_mutex_unlock(&s->lock);
	const int r = store_disk_remove(t, f);
	pthread_mutex_lock(&s->lock);

	f->evicting = false;
	pthread_cond_broadcast(&s->evicted);
	if (r < 0) {
		store_lru_add_locked(f);
		store_dirty_add_locked(f);
		return -EBUSY;
	}
	t->used -= f->charged;
	t->cached -= store_present_bytes(f);
	s->evicted_files++;
	s->evicted_bytes += store_present_bytes(f);
	store_drop_locked(f);
	return 0;
}

/* Evict until @t uses at most @target bytes, or nothing more may go. Drops the lock. */
void store_evict_to_locked(struct store *s, struct store_tier *t, uint64_t target)
{
	unsigned busy = 0;
	while (t->used > target && busy < EVICT_TRIES) {
		const int r = evict_one_locked(s, t);
		if (r == -ENOENT)
			break;
		busy += r == -EBUSY;
	}
}

/* Reserve @bytes of @t. Drops the lock while it evicts. */
static bool reserve_locked(struct store *s, struct store_tier *t, uint64_t bytes)
{
	if (bytes > t->quota)
		return false;
	if (t->used + bytes > t->high && t->stuck_until_ns <= clock_mono_ns()) {
		store_evict_to_locked(s, t, bytes < t->low ? t->low - bytes : 0);
		if (t->used + bytes > t->high)
			t->stuck_until_ns = clock_mono_ns() + STUCK_PAUSE_NS;
	}
	if (t->used + bytes > t->quota)
		return false;
	t->used += bytes;
	return true;
}

/* The tier that a new file goes to: the first with room below its watermark, else the first that could ever hold it. */
static uint8_t choose_tier_locked(const struct store *s, uint64_t bytes)
{
	const int64_t now = clock_mono_ns();
	uint8_t best = STORE_NO_TIER;
	for (uint8_t i = 0; i < s->n_tiers; i++) {
		const struct store_tier *t = &s->tiers[i];
		if (t->full_until_ns > now)
			continue;
		if (t->used + bytes <= t->high)
			return i;
		if (best == STORE_NO_TIER || (bytes > s->tiers[best].high && t->quota > s->tiers[best].quota))
			best = i;
	}
	return best;
}

static int no_room(struct error *err, const struct store_tier *t, bool disk)
{
	if (disk)
		return error_set(err, -ENOSPC, "no space left on the disk of cache directory '%s'", t->path);
	return error_set(err, -ENOSPC, "the cache is full: all of it is in use (quota %llu bytes in '%s')",
			 (unsigned long long)t->quota, t->path);
}

/* The disk under @t is full: make room by evicting a part of what is cached; whether anything went. Drops the lock. */
static bool disk_full_locked(struct store *s, struct store_tier *t)
{
	const uint64_t step = 16ull * s->block_size, before = t->used;
	store_evict_to_locked(s, t, before > step ? before - step : 0);
	if (t->used < before)
		return true;
	t->full_until_ns = clock_mono_ns() + FULL_DISK_PAUSE_NS;
	return false;
}

/* --- claims --- */

static int open_for_write_locked(struct store_file *f, struct error *err)
{
	struct store_tier *t = &f->store->tiers[f->tier];
	if (f->fd >= 0)
		return 0;
	const int fd = f->on_disk ? store_disk_open(t, f, O_RDWR) : store_disk_create(t, f);
	if (fd < 0)
		return error_set(err, fd, "open a file in cache directory '%s': %s", t->path, strerror(-fd));
	f->fd = fd;
	f->on_disk = true;
	return 0;
}

static int alloc_bits_locked(struct store_file *f)
{
	if (f->present_bits == NULL)
		f->present_bits = calloc(store_words(f->blocks), sizeof *f->present_bits);
	if (f->inflight_bits == NULL)
		f->inflight_bits = calloc(store_words(f->blocks), sizeof *f->inflight_bits);
	return f->present_bits != NULL && f->inflight_bits != NULL ? 0 : -ENOMEM;
}

static enum store_claim state_of(const struct store_file *f, uint32_t block)
{
	if (store_complete_locked(f) || store_bit(f->present_bits, block))
		return STORE_PRESENT;
	return store_bit(f->inflight_bits, block) ? STORE_BUSY : STORE_CLAIMED;
}

static uint32_t run_of(const struct store_file *f, uint32_t block, uint32_t max_n, enum store_claim state)
{
	uint32_t n = 0;
	while (n < max_n && block + n < f->blocks && state_of(f, block + n) == state)
		n++;
	return n;
}

static uint64_t charge_of(const struct store_file *f, uint32_t block, uint32_t n)
{
	uint64_t sum = 0;
	for (uint32_t i = 0; i < n; i++)
		sum += store_charge(store_block_bytes(f, block + i));
	return sum;
}

/* Count @bytes (and the file of marks, once) in tier @i for @f, evicting as needed. -EAGAIN: another claimer chose another tier. */
static int charge_locked(struct store_file *f, uint8_t i, uint64_t bytes)
{
	struct store_tier *t = &f->store->tiers[i];
	if (!reserve_locked(f->store, t, bytes + STORE_MAP_CHARGE))
		return -ENOSPC;
	const bool other_tier = f->tier != STORE_NO_TIER && f->tier != i;
	if (other_tier || f->charged > 0)
		t->used -= STORE_MAP_CHARGE; /* counted already */
	else
		f->charged += STORE_MAP_CHARGE;
	if (other_tier) {
		t->used -= bytes;
		return -EAGAIN;
	}
	f->tier = i;
	f->charged += bytes;
	return 0;
}

/* Reserve room for a run of at most @n absent blocks; fewer when the tier has no more. Blocks reserved, or -ENOSPC. Drops the lock. */
static int64_t reserve_run_locked(struct store_file *f, uint32_t block, uint32_t n, struct error *err)
{
	struct store *s = f->store;
	uint8_t i = STORE_NO_TIER;
	while (n > 0) {
		i = f->tier != STORE_NO_TIER ? f->tier : choose_tier_locked(s, f->size);
		if (i == STORE_NO_TIER || s->tiers[i].full_until_ns > clock_mono_ns())
			return no_room(err, &s->tiers[i == STORE_NO_TIER ? 0 : i], true);
		const int r = charge_locked(f, i, charge_of(f, block, n));
		if (r == 0)
			return n;
		if (r == -ENOSPC)
			n /= 2;
	}
	return no_room(err, &s->tiers[i], false);
}

void store_unreserve_locked(struct store_file *f, uint64_t bytes)
{
	f->charged -= bytes;
	f->store->tiers[f->tier].used -= bytes;
}

static int claim_locked(struct store_file *f, uint32_t block, uint32_t max_n, uint32_t *ret_n, struct error *err)
{
	enum store_claim state = state_of(f, block);
	uint32_t n = run_of(f, block, max_n, state);
	if (state != STORE_CLAIMED) {
		*ret_n = n;
		return (int)state;
	}
	const int64_t got = reserve_run_locked(f, block, n, err);
	if (got < 0)
		return (int)got;
	/* the lock was open while room was made: look again, and give back what is too much */
	state = state_of(f, block);
	n = run_of(f, block, (uint32_t)got, state);
	const uint32_t keep = state == STORE_CLAIMED ? n : 0;
	store_unreserve_locked(f, charge_of(f, block, (uint32_t)got) - charge_of(f, block, keep));
	*ret_n = n;
	if (keep == 0)
		return (int)state;
	int r = open_for_write_locked(f, err);
	if (r == 0 && alloc_bits_locked(f) < 0)
		r = error_set(err, -ENOMEM, "cache: out of memory");
	if (r < 0) {
		store_unreserve_locked(f, charge_of(f, block, keep));
		return r;
	}
	for (uint32_t i = block; i < block + keep; i++)
		f->inflight_bits[i / 64] |= UINT64_C(1) << (i % 64);
	f->inflight += keep;
	return STORE_CLAIMED;
}

int store_claim(struct store_file *f, uint32_t block, uint32_t max_n, uint32_t *ret_n, struct error *err)
{
	assert(block < f->blocks && max_n > 0);
	pthread_mutex_lock(&f->store->lock);
	const int r = claim_locked(f, block, max_n, ret_n, err);
	pthread_mutex_unlock(&f->store->lock);
	return r;
}

int store_write(struct store_file *f, uint64_t off, const void *data, size_t n)
{
	struct store *s = f->store;
	for (;;) {
		const int r = file_pwrite_all(f->fd, data, n, (off_t)off);
		if (r != -ENOSPC && r != -EDQUOT)
			return r;
		pthread_mutex_lock(&s->lock);
		struct store_tier *t = &s->tiers[f->tier];
		const bool freed = disk_full_locked(s, t);
		const bool tell = !freed && !t->full_logged;
		t->full_logged |= tell;
		pthread_mutex_unlock(&s->lock);
		if (tell)
			LOG(NULL, LOG_LVL_WARN,
			    "no space left on the cache disk: serving without caching; free space there or lower the "
			    "quota",
			    LOG_STR("path", t->path));
		if (!freed)
			return -ENOSPC;
	}
}

static void end_claim_locked(struct store_file *f, uint32_t block)
{
	assert(store_bit(f->inflight_bits, block));
	f->inflight_bits[block / 64] &= ~(UINT64_C(1) << (block % 64));
	f->inflight--;
}

void store_done(struct store_file *f, uint32_t block)
{
	struct store *s = f->store;
	pthread_mutex_lock(&s->lock);
	end_claim_locked(f, block);
	f->present_bits[block / 64] |= UINT64_C(1) << (block % 64);
	f->present++;
	s->tiers[f->tier].cached += store_block_bytes(f, block);
	s->tiers[f->tier].full_logged = false;
	if (store_complete_locked(f)) {
		free(TAKE(f->present_bits));
		free(TAKE(f->inflight_bits));
	}
	store_dirty_add_locked(f);
	pthread_cond_broadcast(store_cond_of(f));
	pthread_mutex_unlock(&s->lock);
}

void store_fail(struct store_file *f, uint32_t block, uint32_t n, int code, const char *msg)
{
	struct store *s = f->store;
	pthread_mutex_lock(&s->lock);
	for (uint32_t i = block; i < block + n; i++)
		end_claim_locked(f, i);
	store_unreserve_locked(f, charge_of(f, block, n));
	if (f->failure == NULL)
		f->failure = calloc(1, sizeof *f->failure);
	if (f->failure != NULL) {
		f->failure->seq = ++s->fail_seq;
		f->failure->code = code;
		(void)snprintf(f->failure->msg, sizeof f->failure->msg, "%s", msg);
	}
	pthread_cond_broadcast(store_cond_of(f));
	pthread_mutex_unlock(&s->lock);
}

uint64_t store_fail_seq(struct store_file *f)
{
	pthread_mutex_lock(&f->store->lock);
	const uint64_t seq = f->store->fail_seq;
	pthread_mutex_unlock(&f->store->lock);
	return seq;
}

void store_cond_wait_until(pthread_cond_t *c, pthread_mutex_t *m, int64_t deadline_ns)
{
	const struct timespec ts = {.tv_sec = deadline_ns / NSEC_PER_SEC, .tv_nsec = deadline_ns % NSEC_PER_SEC};
	(void)pthread_cond_timedwait(c, m, &ts); /* the caller looks at state and clock again */
}

int store_wait(struct store_file *f, uint32_t block, uint64_t since, int64_t deadline_ns, struct error *err)
{
	struct store *s = f->store;
	int r = 0;
	pthread_mutex_lock(&s->lock);
	for (;;) {
		const enum store_claim state = state_of(f, block);
		if (state == STORE_PRESENT)
			break;
		if (state == STORE_CLAIMED) {
			r = -EAGAIN;
			if (f->failure != NULL && f->failure->seq > since)
				r = error_set(err, f->failure->code, "%s", f->failure->msg);
			break;
		}
		if (clock_mono_ns() >= deadline_ns) {
			r = error_set(err, -ETIMEDOUT, "the source did not deliver in time");
			break;
		}
		store_cond_wait_until(store_cond_of(f), &s->lock, deadline_ns);
	}
	pthread_mutex_unlock(&s->lock);
	return r;
}
