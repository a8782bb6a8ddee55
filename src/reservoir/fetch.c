#include "reservoir/fetch.h"

#include <assert.h>
#include <pthread.h>
#include <stdatomic.h>

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/error.h"
#include "base/log.h"
#include "base/str.h"

#define COALESCE_BYTES   (8u * 1024 * 1024) /* longest single read of a source */
#define PIECE_BYTES      (256u * 1024)      /* longest write to the cache; libcurl hands out 16 KiB at a time */
#define AHEAD_JOBS_MAX   256
#define STREAMS          4
#define BACKOFF_FIRST_NS (100 * NSEC_PER_MSEC)
#define BACKOFF_MAX_NS   (5 * NSEC_PER_SEC)
#define FULL_LOG_NS      (60 * NSEC_PER_SEC)
#define WAIT_MAX_NS      (600 * NSEC_PER_SEC)

/* A reader going forward: where it will go on, and how many blocks ahead it is worth to be. */
struct stream {
	uint32_t next, window;
	uint64_t used;
};

struct fetch_file {
	atomic_uint refs;
	struct fetcher *fetcher;
	struct store_file *sf;
	struct source *source;
	struct source_stat version;
	struct stream streams[STREAMS]; /* guarded by the fetcher's lock */
	char path[];
};

struct job {
	struct job *next;
	struct fetch_file *ff;
	uint32_t first, n;
};

struct job_list {
	struct job *head, **tail;
	size_t n;
};

struct fetcher {
	struct store *store;
	struct fetcher_options o;
	uint32_t block_size, coalesce, ahead_max;
	atomic_uint_fast64_t fetched;
	atomic_int_fast64_t logged_ns, full_logged_ns; /* when a failure, a full cache was last logged */
	pthread_mutex_t lock;                          /* guards everything below */
	pthread_cond_t work, stopped;
	struct job_list wanted, ahead;
	int64_t rate_free_ns; /* when the next byte may come */
	uint64_t stream_clock;
	pthread_t *threads;
	size_t n_threads;
	bool stop;
};

static void list_push(struct job_list *l, struct job *j)
{
	j->next = NULL;
	*l->tail = j;
	l->tail = &j->next;
	l->n++;
}

/* Remove the job that *@link points to. */
static struct job *list_take(struct job_list *l, struct job **link)
{
	struct job *j = *link;
	if (j == NULL)
		return NULL;
	*link = j->next;
	if (l->tail == &j->next)
		l->tail = link;
	l->n--;
	return j;
}

/* --- one job --- */

struct transfer {
	struct fetch_file *ff;
	uint32_t block, end; /* the block being filled; behind the last */
	uint64_t off;        /* where the next byte belongs */
	size_t held;         /* bytes before it that are in buf, not written yet */
	int disk_error;
	char buf[PIECE_BYTES];
};

static bool stop_wait(struct fetcher *f, int64_t until_ns)
{
	const struct timespec ts = {.tv_sec = until_ns / NSEC_PER_SEC, .tv_nsec = until_ns % NSEC_PER_SEC};
	pthread_mutex_lock(&f->lock);
	while (!f->stop && clock_mono_ns() < until_ns)
		(void)pthread_cond_timedwait(&f->stopped, &f->lock, &ts); /* the loop looks again */
	const bool stop = f->stop;
	pthread_mutex_unlock(&f->lock);
	return stop;
}

/* Wait for the right to have received @n more bytes. True when we are to stop. */
static bool rate_wait(struct fetcher *f, size_t n)
{
	if (f->o.rate_limit == 0)
		return false;
	const int64_t cost = (int64_t)((double)n * (double)NSEC_PER_SEC / (double)f->o.rate_limit);
	pthread_mutex_lock(&f->lock);
	const int64_t now = clock_mono_ns();
	if (f->rate_free_ns < now)
		f->rate_free_ns = now;
	f->rate_free_ns += cost;
	const int64_t until = f->rate_free_ns;
	pthread_mutex_unlock(&f->lock);
	return stop_wait(f, until);
}

static uint64_t block_end(const struct fetch_file *ff, uint32_t block)
{
	const uint64_t end = ((uint64_t)block + 1) * ff->fetcher->block_size;
	return end < ff->version.size ? end : ff->version.size;
}

/* Write what is held; blocks that are whole then are there for readers. */
static int flush_held(struct transfer *t)
{
	const int r = store_write(t->ff->sf, t->off - t->held, t->buf, t->held);
	if (r < 0) {
		t->disk_error = r;
		return r;
	}
	t->held = 0;
	while (t->block < t->end && t->off >= block_end(t->ff, t->block))
		store_done(t->ff->sf, t->block++);
	return 0;
}

static int store_piece(void *ctx, const void *data, size_t n)
{
	struct transfer *t = ctx;
	struct fetcher *f = t->ff->fetcher;
	if (rate_wait(f, n))
		return -ECANCELED;
	atomic_fetch_add_explicit(&f->fetched, n, memory_order_relaxed);
	const uint64_t end = block_end(t->ff, t->end - 1);
	for (const char *p = data; n > 0;) {
		const size_t room = PIECE_BYTES - t->held, k = n < room ? n : room;
		memcpy(t->buf + t->held, p, k);
		t->held += k;
		t->off += k;
		p += k;
		n -= k;
		/* Also at a block's end: somebody waits for it. */
		if (t->held == PIECE_BYTES || t->off >= end || t->off >= block_end(t->ff, t->block)) {
			const int r = flush_held(t);
			if (r < 0)
				return r;
		}
	}
	return 0;
}

/* What fails once fails often: one line each @pause_ns tells as much. */
static bool may_log(atomic_int_fast64_t *last_ns, int64_t pause_ns)
{
	const int64_t now = clock_mono_ns();
	int64_t last = atomic_load_explicit(last_ns, memory_order_relaxed);
	return (last == 0 || now - last > pause_ns) &&
	       atomic_compare_exchange_strong_explicit(last_ns, &last, now, memory_order_relaxed, memory_order_relaxed);
}

static void run_job(struct fetcher *f, struct job *j, struct transfer *t)
{
	t->ff = j->ff;
	t->block = j->first;
	t->end = j->first + j->n;
	t->disk_error = 0;
	struct error err = {0};
	int r = 0;
	int64_t pause = BACKOFF_FIRST_NS;
	for (unsigned attempt = 0; t->block < t->end; attempt++) {
		t->off = (uint64_t)t->block * f->block_size;
		t->held = 0; /* of an attempt that was cut: it comes again */
		const uint32_t before = t->block;
		r = source_read(j->ff->source, j->ff->path, &j->ff->version, t->off,
				block_end(j->ff, t->end - 1) - t->off, store_piece, t, &err);
		if (t->block == t->end)
			break;
		if (t->disk_error != 0) {
			r = error_set(&err, t->disk_error, "write to the cache: %s", strerror(-t->disk_error));
			break;
		}
		if (t->block > before)
			attempt = 0; /* it goes forward: that is no reason to give up */
		if (!source_may_retry(r) || attempt >= f->o.retries)
			break;
		LOG(NULL, LOG_LVL_DEBUG, "fetch: trying again", LOG_STR("err", err.msg),
		    LOG_INT("attempt", attempt + 1));
		if (stop_wait(f, clock_mono_ns() + pause)) {
			r = error_set(&err, -ECANCELED, "stopping");
			break;
		}
		pause = pause * 2 < BACKOFF_MAX_NS ? pause * 2 : BACKOFF_MAX_NS;
	}
	if (t->block == t->end)
		return;
	if (r != -ECANCELED && r != -ENOSPC) {
		if (may_log(&f->logged_ns, NSEC_PER_SEC))
			LOG(NULL, LOG_LVL_ERROR, "cannot read from a source", LOG_STR("path", j->ff->path),
			    LOG_STR("err", err.msg));
		if (f->o.on_failure != NULL)
			f->o.on_failure(f->o.ctx, j->ff->source, err.msg);
	}
	store_fail(j->ff->sf, t->block, t->end - t->block, r, err.msg);
}

static void *fetch_main(void *arg)
{
	struct fetcher *f = arg;
	struct transfer t; /* 256 KiB of the thread's 8 MiB stack; only what is used becomes memory */
	pthread_mutex_lock(&f->lock);
	for (;;) {
		struct job *j = list_take(&f->wanted, &f->wanted.head);
		if (j == NULL)
			j = list_take(&f->ahead, &f->ahead.head);
		if (j == NULL && f->stop)
			break;
		if (j == NULL) {
			pthread_cond_wait(&f->work, &f->lock);
			continue;
		}
		const bool stop = f->stop;
		pthread_mutex_unlock(&f->lock);
		if (stop)
			store_fail(j->ff->sf, j->first, j->n, -ECANCELED, "the worker is stopping");
		else
			run_job(f, j, &t);
		(void)fetch_file_unref(j->ff);
		free(j);
		pthread_mutex_lock(&f->lock);
	}
	pthread_mutex_unlock(&f->lock);
	return NULL;
}

/* --- what readers ask --- */

static void add_job(struct fetch_file *ff, uint32_t first, uint32_t n, bool wanted)
{
	struct fetcher *f = ff->fetcher;
	struct job *j = calloc(1, sizeof *j);
	if (j == NULL) {
		store_fail(ff->sf, first, n, -ENOMEM, "out of memory");
		return;
	}
	*j = (struct job){.ff = fetch_file_ref(ff), .first = first, .n = n};
	pthread_mutex_lock(&f->lock);
	list_push(wanted ? &f->wanted : &f->ahead, j);
	pthread_cond_signal(&f->work);
	pthread_mutex_unlock(&f->lock);
}

/* A block that waits as read-ahead is wanted now. */
static void promote(struct fetch_file *ff, uint32_t block)
{
	struct fetcher *f = ff->fetcher;
	pthread_mutex_lock(&f->lock);
	for (struct job **p = &f->ahead.head; *p != NULL; p = &(*p)->next)
		if ((*p)->ff == ff && block >= (*p)->first && block - (*p)->first < (*p)->n) {
			list_push(&f->wanted, list_take(&f->ahead, p));
			break;
		}
	pthread_mutex_unlock(&f->lock);
}

static bool too_much_ahead(struct fetcher *f)
{
	pthread_mutex_lock(&f->lock);
	const bool r = f->ahead.n >= AHEAD_JOBS_MAX || f->stop;
	pthread_mutex_unlock(&f->lock);
	return r;
}

/* Claim what is absent of [first, end) and queue it; the first @wanted_end blocks are waited for. -ENOSPC and the like for those. */
static int claim_range(struct fetch_file *ff, uint32_t first, uint32_t wanted_end, uint32_t end, struct error *err)
{
	for (uint32_t at = first, n; at < end; at += n) {
		const bool wanted = at < wanted_end;
		if (!wanted && too_much_ahead(ff->fetcher))
			return 0;
		const uint32_t max = end - at < ff->fetcher->coalesce ? end - at : ff->fetcher->coalesce;
		const int r = store_claim(ff->sf, at, max, &n, wanted ? err : NULL);
		if (r < 0)
			return wanted ? r : 0;
		if (r == STORE_CLAIMED)
			add_job(ff, at, n, wanted);
		else if (r == STORE_BUSY && wanted)
			promote(ff, at);
	}
	return 0;
}

/* How many blocks behind @first + @n are worth fetching for the reader that asks for these. */
static uint32_t stream_window(struct fetch_file *ff, uint32_t first, uint32_t n)
{
	struct fetcher *f = ff->fetcher;
	uint32_t window = 0;
	pthread_mutex_lock(&f->lock);
	struct stream *s = NULL, *oldest = &ff->streams[0];
	for (size_t i = 0; i < STREAMS; i++) {
		struct stream *c = &ff->streams[i];
		/* parallel requests of one reader overtake each other by a little */
		if (c->used != 0 && first + 1 >= c->next && first <= c->next + 1)
			s = c;
		if (c->used < oldest->used)
			oldest = c;
	}
	if (s == NULL) {
		*oldest = (struct stream){.window = first == 0 ? 1 : 0};
		s = oldest;
	} else if (first >= s->next) {
		s->window = s->window == 0 ? 1 : s->window * 2;
	}
	if (s->window > f->ahead_max)
		s->window = f->ahead_max;
	if (first + n > s->next)
		s->next = first + n;
	s->used = ++f->stream_clock;
	window = s->window;
	pthread_mutex_unlock(&f->lock);
	return window;
}

static int wait_range(struct fetch_file *ff, uint32_t first, uint32_t end, uint64_t since, int64_t deadline,
		      struct error *err)
{
	for (uint32_t at = first; at < end; at++) {
		const int r = store_wait(ff->sf, at, since, deadline, err);
		if (r < 0)
			return r;
	}
	return 0;
}

int fetch_ensure(struct fetch_file *ff, uint32_t first, uint32_t n, struct error *err)
{
	struct fetcher *f = ff->fetcher;
	const uint32_t blocks = store_file_blocks(ff->sf);
	assert(n > 0 && first < blocks && n <= blocks - first);
	const int64_t span = (f->o.timeout_ns + BACKOFF_MAX_NS) * (f->o.retries + 1);
	const int64_t deadline = clock_mono_ns() + (span < WAIT_MAX_NS ? span : WAIT_MAX_NS);
	const uint32_t window = store_file_complete(ff->sf) ? 0 : stream_window(ff, first, n);
	const uint32_t wanted_end = first + n, end = blocks - wanted_end < window ? blocks : wanted_end + window;
	for (;;) {
		const uint64_t since = store_fail_seq(ff->sf);
		int r = claim_range(ff, first, wanted_end, end, err);
		if (r == 0)
			r = wait_range(ff, first, wanted_end, since, deadline, err);
		if (r == -ENOSPC && err != NULL && may_log(&f->full_logged_ns, FULL_LOG_NS))
			LOG(NULL, LOG_LVL_WARN, "reading past the cache", LOG_STR("err", err->msg));
		/* -EAGAIN: the claim of somebody else ended without a word; claim it ourselves */
		if (r != -EAGAIN)
			return r;
	}
}

void fetch_hint(struct fetch_file *ff, uint32_t first, uint32_t n)
{
	(void)claim_range(ff, first, first, first + n, NULL); /* only a hint */
}

struct direct {
	char *to;
	struct fetcher *f;
};

static int direct_piece(void *ctx, const void *data, size_t n)
{
	struct direct *d = ctx;
	if (rate_wait(d->f, n))
		return -ECANCELED;
	memcpy(d->to, data, n);
	d->to += n;
	atomic_fetch_add_explicit(&d->f->fetched, n, memory_order_relaxed);
	return 0;
}

int fetch_direct(struct fetch_file *ff, uint64_t off, void *buf, size_t n, struct error *err)
{
	struct fetcher *f = ff->fetcher;
	int64_t pause = BACKOFF_FIRST_NS;
	for (unsigned attempt = 0;; attempt++) {
		struct direct d = {.to = buf, .f = f};
		const int r = source_read(ff->source, ff->path, &ff->version, off, n, direct_piece, &d, err);
		if (r == 0)
			return 0;
		if (!source_may_retry(r) || attempt >= f->o.retries || stop_wait(f, clock_mono_ns() + pause)) {
			if (r != -ECANCELED && f->o.on_failure != NULL && err != NULL)
				f->o.on_failure(f->o.ctx, ff->source, err->msg);
			return r;
		}
		pause = pause * 2 < BACKOFF_MAX_NS ? pause * 2 : BACKOFF_MAX_NS;
	}
}

/* --- files --- */

struct store_key fetch_key(const struct catalog_file *cf)
{
	char version[SOURCE_ETAG_SIZE + 64];
	source_version(&cf->version, version, sizeof version);
	return store_key_make(source_url(cf->source), cf->path, version);
}

int fetch_file_new(struct fetcher *f, const struct catalog_file *cf, struct fetch_file **ret, struct error *err)
{
	const size_t n = strlen(cf->path) + 1;
	struct fetch_file *ff = calloc(1, sizeof *ff + n);
	if (ff == NULL)
		return error_set(err, -ENOMEM, "out of memory");
	ff->fetcher = f;
	ff->source = cf->source;
	ff->version = cf->version;
	memcpy(ff->path, cf->path, n);
	atomic_init(&ff->refs, 1);
	const int r = store_acquire(f->store, fetch_key(cf), cf->version.size, &ff->sf, err);
	if (r < 0) {
		free(ff);
		return r;
	}
	*ret = ff;
	return 0;
}

struct fetch_file *fetch_file_ref(struct fetch_file *ff)
{
	(void)atomic_fetch_add_explicit(&ff->refs, 1, memory_order_relaxed);
	return ff;
}

struct fetch_file *fetch_file_unref(struct fetch_file *ff)
{
	if (ff != NULL && atomic_fetch_sub_explicit(&ff->refs, 1, memory_order_acq_rel) == 1) {
		store_release(ff->sf);
		free(ff);
	}
	return NULL;
}

struct store_file *fetch_file_store(const struct fetch_file *ff)
{
	return ff->sf;
}

uint64_t fetch_file_size(const struct fetch_file *ff)
{
	return ff->version.size;
}

/* --- beginning and end --- */

int fetcher_new(struct store *store, const struct fetcher_options *o, struct fetcher **ret, struct error *err)
{
	struct fetcher *f = calloc(1, sizeof *f);
	if (f == NULL)
		return error_set(err, -ENOMEM, "out of memory");
	f->store = store;
	f->o = *o;
	f->block_size = store_block_size(store);
	f->coalesce = f->block_size < COALESCE_BYTES ? COALESCE_BYTES / f->block_size : 1;
	f->ahead_max = (uint32_t)(o->read_ahead / f->block_size);
	f->wanted.tail = &f->wanted.head;
	f->ahead.tail = &f->ahead.head;
	pthread_condattr_t attr;
	(void)pthread_condattr_init(&attr);
	(void)pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
	(void)pthread_mutex_init(&f->lock, NULL);
	(void)pthread_cond_init(&f->work, NULL);
	(void)pthread_cond_init(&f->stopped, &attr);
	(void)pthread_condattr_destroy(&attr);
	f->threads = calloc(o->concurrency, sizeof *f->threads);
	int r = f->threads != NULL ? 0 : error_set(err, -ENOMEM, "out of memory");
	while (r == 0 && f->n_threads < o->concurrency) {
		r = -pthread_create(&f->threads[f->n_threads], NULL, fetch_main, f);
		if (r < 0)
			(void)error_set(err, r, "cannot start a thread: %s", strerror(-r));
		else
			f->n_threads++;
	}
	if (r < 0) {
		fetcher_free(f);
		return r;
	}
	*ret = f;
	return 0;
}

void fetcher_stop(struct fetcher *f)
{
	pthread_mutex_lock(&f->lock);
	f->stop = true;
	pthread_cond_broadcast(&f->work);
	pthread_cond_broadcast(&f->stopped);
	pthread_mutex_unlock(&f->lock);
}

void fetcher_free(struct fetcher *f)
{
	if (f == NULL)
		return;
	fetcher_stop(f);
	for (size_t i = 0; i < f->n_threads; i++)
		(void)pthread_join(f->threads[i], NULL);
	free(f->threads);
	(void)pthread_cond_destroy(&f->work);
	(void)pthread_cond_destroy(&f->stopped);
	(void)pthread_mutex_destroy(&f->lock);
	free(f);
}

uint64_t fetcher_fetched_bytes(const struct fetcher *f)
{
	return atomic_load_explicit(&f->fetched, memory_order_relaxed);
}
