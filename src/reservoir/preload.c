#include "reservoir/preload.h"

#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <xxhash.h>

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/error.h"
#include "base/str.h"
#include "reservoir/client.h"
#include "reservoir/preload_internal.h"
#include "json/json.h"

#define CHUNK_BYTES   (16u * 1024 * 1024)         /* asked for at once */
#define SEGMENT_BYTES (4 * (uint64_t)CHUNK_BYTES) /* about so much of a file is one thread's */
#define REOPEN_MAX    5
#define REPORT_NS     NSEC_PER_SEC

struct preload {
	const struct preload_options *o;
	struct client *client;
	struct preload_manifest m;
	uint32_t block_size;
	uint64_t segment; /* of a file, for one thread: whole blocks */
	void (*phase)(struct preload *p);
	pthread_mutex_t lock; /* guards the rest */
	pthread_cond_t wake;
	struct preload_figures figures;
	size_t next;          /* file that a thread takes */
	uint64_t next_off;    /* where in it, while loading */
	int64_t next_byte_ns; /* when the rate limit lets the next chunk go */
	bool done;
};

/* --- what all phases do with one file ------------------------------------------------------------------------------------------- */

static void failed(struct preload *p, struct preload_file *f, const char *why)
{
	CLEANUP(free_p) char *copy = strdup(why); /* without memory the receipt says only that it is not in the cache */
	pthread_mutex_lock(&p->lock);
	if (f->why == NULL)
		f->why = TAKE(copy);
	pthread_mutex_unlock(&p->lock);
}

/* The cached bytes, size and version of @f. */
static int ask_cached(struct preload *p, const struct preload_file *f, struct rv_cached *ret, uint64_t *ret_version,
		      struct error *err)
{
	struct {
		struct rv_cached cached;
		char text[RV_TEXT_MAX];
	} out;
	const struct rv_id in = {.id = f->id};
	const ptrdiff_t n = client_call(p->client, &(struct client_request){RV_CACHED, &in, sizeof in, NULL}, &out,
					sizeof out, NULL, err);
	if (n < 0)
		return (int)n;
	if ((size_t)n < sizeof out.cached)
		return error_set(err, -EPROTO, "the cache worker's answer is none");
	*ret = out.cached;
	*ret_version = XXH64(out.text, (size_t)n - sizeof out.cached, 0);
	return 0;
}

static int open_file(struct preload *p, struct preload_file *f, bool again, struct rv_opened *ret, struct error *err)
{
	union {
		struct rv_opened opened;
		char text[RV_TEXT_MAX];
	} out;
	ptrdiff_t n = -ESTALE;
	for (int i = 0; i < REOPEN_MAX && n == -ESTALE; i++) {
		const struct rv_open in = {.id = f->id, .again = again, .quiet = 1};
		n = client_call(p->client, &(struct client_request){RV_OPEN, &in, sizeof in, NULL}, &out, sizeof out,
				NULL, err);
		if (n == -ESTALE) { /* it has a newer version, or the worker another index */
			const int r = preload_resolve(p->client, f->path, &f->id, err);
			if (r < 0)
				return r;
		}
	}
	if (n < 0)
		return (int)n;
	if (n != sizeof out.opened)
		return error_set(err, -EPROTO, "the cache worker's answer is none");
	*ret = out.opened;
	return 0;
}

static void release_file(struct preload *p, uint64_t id)
{
	char text[RV_TEXT_MAX];
	const struct rv_id in = {.id = id};
	/* a worker that was away in between has released it already */
	(void)client_call(p->client, &(struct client_request){RV_RELEASE, &in, sizeof in, NULL}, text, sizeof text,
			  NULL, NULL);
}

/* The next file for a phase that takes one after the other; NULL when there is none. */
static struct preload_file *take_file(struct preload *p)
{
	pthread_mutex_lock(&p->lock);
	struct preload_file *f = p->next < p->m.n ? &p->m.v[p->next++] : NULL;
	pthread_mutex_unlock(&p->lock);
	return f;
}

/* --- looking -------------------------------------------------------------------------------------------------------------------- */

static int look_at(struct preload *p, struct preload_file *f, struct error *err)
{
	struct rv_opened opened;
	struct rv_cached cached;
	/* to open it makes its size exact, and its version the one that readers get */
	int r = open_file(p, f, false, &opened, err);
	if (r < 0)
		return r;
	r = ask_cached(p, f, &cached, &f->version, err);
	release_file(p, f->id);
	if (r < 0)
		return r;
	f->size = opened.size;
	f->before = cached.cached;
	return 0;
}

static void look(struct preload *p)
{
	struct preload_file *f;
	while ((f = take_file(p)) != NULL) {
		struct error err = {0};
		if (look_at(p, f, &err) < 0) {
			failed(p, f, err.msg);
			continue;
		}
		const bool whole = f->before >= f->size;
		pthread_mutex_lock(&p->lock);
		p->figures.bytes_listed += f->size;
		p->figures.files_skipped += whole;
		p->figures.bytes_skipped += whole ? f->size : 0;
		pthread_mutex_unlock(&p->lock);
	}
}

/* Afterwards: what is in the cache now? */
static void verify(struct preload *p)
{
	struct preload_file *f;
	while ((f = take_file(p)) != NULL) {
		struct rv_cached cached;
		uint64_t version;
		struct error err = {0};
		if (f->why != NULL)
			continue;
		if (ask_cached(p, f, &cached, &version, &err) < 0)
			failed(p, f, err.msg);
		else if (version != f->version)
			failed(p, f, "it was changed at its source meanwhile; load it again");
		else if (cached.cached < f->size)
			failed(p, f, "it was evicted again: the cache's quota is too small for what is loaded");
		else
			f->after = f->size;
	}
}

/* --- loading -------------------------------------------------------------------------------------------------------------------- */

/* Wait until the rate limit lets @n bytes go. */
static void pace(struct preload *p, uint64_t n)
{
	if (p->o->rate_limit == 0)
		return;
	pthread_mutex_lock(&p->lock);
	const int64_t now = clock_mono_ns();
	const int64_t at = p->next_byte_ns > now ? p->next_byte_ns : now;
	p->next_byte_ns = at + (int64_t)((double)n / (double)p->o->rate_limit * (double)NSEC_PER_SEC);
	while (clock_mono_ns() < at) {
		const struct timespec ts = {.tv_sec = at / NSEC_PER_SEC, .tv_nsec = at % NSEC_PER_SEC};
		(void)pthread_cond_timedwait(&p->wake, &p->lock, &ts); /* looked at again */
	}
	pthread_mutex_unlock(&p->lock);
}

static int ensure(struct preload *p, struct preload_file *f, uint32_t first, uint32_t n, struct error *err)
{
	union {
		struct rv_ensured ensured;
		char text[RV_TEXT_MAX];
	} out;
	ptrdiff_t r = -EBADF;
	for (int i = 0; i < REOPEN_MAX && r == -EBADF; i++) {
		const struct rv_range in = {.id = f->id, .first = first, .n = n};
		r = client_call(p->client, &(struct client_request){RV_ENSURE, &in, sizeof in, NULL}, &out, sizeof out,
				NULL, err);
		struct rv_opened opened;
		if (r == -EBADF && open_file(p, f, true, &opened, err) < 0) /* the worker was restarted */
			return err->code;
	}
	return r < 0 ? (int)r : 0;
}

/* The bytes of @f from @off on, at most a segment. */
static int load_segment(struct preload *p, struct preload_file *f, uint64_t off, struct error *err)
{
	struct rv_opened opened;
	int r = open_file(p, f, true, &opened, err);
	if (r < 0)
		return r;
	const uint64_t end = off + p->segment < f->size ? off + p->segment : f->size;
	const uint64_t chunk = CHUNK_BYTES > p->block_size ? CHUNK_BYTES - CHUNK_BYTES % p->block_size : p->block_size;
	while (r == 0 && off < end) {
		const uint64_t n = end - off < chunk ? end - off : chunk;
		pace(p, n);
		r = ensure(p, f, (uint32_t)(off / p->block_size), (uint32_t)((n + p->block_size - 1) / p->block_size),
			   err);
		off += n;
		pthread_mutex_lock(&p->lock);
		p->figures.bytes_loaded += r == 0 ? n : 0;
		pthread_mutex_unlock(&p->lock);
	}
	release_file(p, f->id);
	return r;
}

/* The next segment that is not in the cache; false when there is none. */
static bool take_segment(struct preload *p, struct preload_file **ret, uint64_t *ret_off)
{
	bool found = false;
	pthread_mutex_lock(&p->lock);
	while (!found && p->next < p->m.n) {
		struct preload_file *f = &p->m.v[p->next];
		found = f->why == NULL && f->before < f->size && p->next_off < f->size;
		if (found) {
			*ret = f;
			*ret_off = p->next_off;
			p->next_off += p->segment;
		} else {
			p->next++;
			p->next_off = 0;
		}
	}
	pthread_mutex_unlock(&p->lock);
	return found;
}

static void load(struct preload *p)
{
	struct preload_file *f = NULL;
	uint64_t off = 0;
	while (take_segment(p, &f, &off)) {
		struct error err = {0};
		const int r = load_segment(p, f, off, &err);
		if (r == -ENOSPC)
			failed(p, f, "no room in the cache: its quota is too small, or everything in it is in use");
		else if (r < 0)
			failed(p, f, err.msg);
	}
}

/* --- threads -------------------------------------------------------------------------------------------------------------------- */

static void *phase_main(void *p)
{
	((struct preload *)p)->phase(p);
	return NULL;
}

/* Run one phase to its end. Fewer threads than wanted do it as well. */
static void run_phase(struct preload *p, void (*phase)(struct preload *p))
{
	pthread_t threads[PRELOAD_IN_FLIGHT - 1];
	size_t n = 0;
	p->phase = phase;
	p->next = 0;
	p->next_off = 0;
	while (n < ARRAY_LEN(threads) && pthread_create(&threads[n], NULL, phase_main, p) == 0)
		n++;
	phase(p);
	while (n > 0)
		(void)pthread_join(threads[--n], NULL);
}

static void *report(void *arg)
{
	struct preload *p = arg;
	int64_t at = clock_mono_ns() + REPORT_NS;
	pthread_mutex_lock(&p->lock);
	while (!p->done) {
		const struct timespec ts = {.tv_sec = at / NSEC_PER_SEC, .tv_nsec = at % NSEC_PER_SEC};
		(void)pthread_cond_timedwait(&p->wake, &p->lock, &ts); /* looked at again */
		if (p->done || clock_mono_ns() < at)
			continue;
		const struct preload_figures f = p->figures;
		pthread_mutex_unlock(&p->lock);
		p->o->on_progress(p->o->ctx, &f);
		at += REPORT_NS;
		pthread_mutex_lock(&p->lock);
	}
	pthread_mutex_unlock(&p->lock);
	return NULL;
}

/* --- the receipt ---------------------------------------------------------------------------------------------------------------- */

json_t *preload_figures_json(const struct preload_figures *f)
{
	return json_pack("{s:I,s:I,s:I,s:I,s:I,s:I,s:I}", "filesListed", (json_int_t)f->files_listed, "bytesListed",
			 (json_int_t)f->bytes_listed, "filesLoaded", (json_int_t)f->files_loaded, "bytesLoaded",
			 (json_int_t)f->bytes_loaded, "filesSkipped", (json_int_t)f->files_skipped, "bytesSkipped",
			 (json_int_t)f->bytes_skipped, "filesFailed", (json_int_t)f->files_failed);
}

/* The figures anew, from what each file came to. */
static void sum_up(struct preload *p, json_t *failures)
{
	p->figures = (struct preload_figures){.files_listed = p->m.n};
	for (size_t i = 0; i < p->m.n; i++) {
		const struct preload_file *f = &p->m.v[i];
		p->figures.bytes_listed += f->size;
		if (f->after < f->size || f->why != NULL) {
			p->figures.files_failed++;
			if (json_array_size(failures) < PRELOAD_FAILURES_MAX)
				(void)json_array_append_new(
					failures, json_pack("{s:s,s:s}", "path", f->path, "reason",
							    f->why != NULL ? f->why : "it is not in the cache"));
		} else if (f->before < f->size) {
			p->figures.files_loaded++;
			p->figures.bytes_loaded += f->size - f->before;
			p->figures.bytes_skipped += f->before;
		} else {
			p->figures.files_skipped++;
			p->figures.bytes_skipped += f->size;
		}
	}
}

static uint64_t digest(const struct preload_manifest *m)
{
	uint64_t h = 0;
	for (size_t i = 0; i < m->n; i++) {
		const uint64_t facts[2] = {m->v[i].size, m->v[i].version};
		h = XXH64(m->v[i].path, strlen(m->v[i].path) + 1, h);
		h = XXH64(facts, sizeof facts, h);
	}
	return h;
}

static int make_receipt(struct preload *p, const char *reason, json_t **ret, struct error *err)
{
	char version[17];
	JSON_AUTO failures = json_array();
	sum_up(p, failures);
	(void)snprintf(version, sizeof version, "%016llx", (unsigned long long)digest(&p->m)); /* 16 digits */
	JSON_AUTO j = preload_figures_json(&p->figures);
	if (j == NULL || json_object_set_new(j, "version", json_string(version)) < 0 ||
	    json_object_set(j, "failures", failures) < 0 ||
	    (reason[0] != '\0' && json_object_set_new(j, "reason", json_string(reason)) < 0))
		return error_set(err, -ENOMEM, "receipt: out of memory");
	*ret = TAKE(j);
	return p->figures.files_failed == 0 && reason[0] == '\0' ? 0 : -EIO;
}

/* --- all of it ------------------------------------------------------------------------------------------------------------------ */

static int list_all(struct preload *p, struct error *err)
{
	static const char *const everything[] = {"/"};
	const char *const *paths = p->o->n_paths > 0 ? p->o->paths : everything;
	const size_t n = p->o->n_paths > 0 ? p->o->n_paths : ARRAY_LEN(everything);
	char text[RV_TEXT_MAX];
	ptrdiff_t r = 0;
	if (p->o->refresh)
		r = client_call(p->client, &(struct client_request){.op = RV_REFRESH}, text, sizeof text, NULL, err);
	for (size_t i = 0; i < n && r >= 0; i++)
		r = preload_list(p->client, paths[i], &p->m, err);
	if (r < 0)
		return (int)r;
	preload_manifest_sort(&p->m);
	pthread_mutex_lock(&p->lock);
	p->figures.files_listed = p->m.n;
	pthread_mutex_unlock(&p->lock);
	return 0;
}

/* What can never fit is not begun: it would evict what others read. */
static int check_room(struct preload *p, char reason[static 200], struct error *err)
{
	union {
		struct rv_cache cache;
		char text[RV_TEXT_MAX];
	} out;
	const ptrdiff_t n =
		client_call(p->client, &(struct client_request){.op = RV_CACHE}, &out, sizeof out, NULL, err);
	if (n < 0)
		return (int)n;
	if (n == sizeof out.cache && p->figures.bytes_listed > out.cache.capacity)
		(void)snprintf(reason, 200,
			       "%llu bytes are to be loaded and the cache's quota is %llu; give the runtime a larger "
			       "tieredstore quota, or load a part by its path",
			       (unsigned long long)p->figures.bytes_listed,
			       (unsigned long long)out.cache.capacity); /* fits */
	return 0;
}

static int run_phases(struct preload *p, json_t **ret, struct error *err)
{
	struct rv_welcome w;
	char reason[200] = "";
	int r = client_welcome(p->client, &w, err);
	if (r == 0)
		r = list_all(p, err);
	if (r < 0)
		return r;
	p->block_size = w.block_size;
	p->segment = SEGMENT_BYTES > w.block_size ? SEGMENT_BYTES - SEGMENT_BYTES % w.block_size : w.block_size;
	run_phase(p, look);
	r = check_room(p, reason, err);
	if (r < 0)
		return r;
	if (reason[0] == '\0')
		run_phase(p, load);
	run_phase(p, verify);
	return make_receipt(p, reason, ret, err);
}

int preload_run(const struct preload_options *o, json_t **ret, struct error *err)
{
	struct preload p = {.o = o};
	int r = client_new(o->socket, o->wait_ns, &p.client, err);
	if (r < 0)
		return r;
	pthread_condattr_t attr;
	pthread_t reporter;
	(void)pthread_condattr_init(&attr);
	(void)pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
	(void)pthread_mutex_init(&p.lock, NULL);
	(void)pthread_cond_init(&p.wake, &attr);
	(void)pthread_condattr_destroy(&attr);
	const bool reporting = o->on_progress != NULL && pthread_create(&reporter, NULL, report, &p) == 0;
	r = run_phases(&p, ret, err);
	pthread_mutex_lock(&p.lock);
	p.done = true;
	pthread_cond_broadcast(&p.wake);
	pthread_mutex_unlock(&p.lock);
	if (reporting)
		(void)pthread_join(reporter, NULL);
	preload_manifest_clear(&p.m);
	client_free(p.client);
	(void)pthread_cond_destroy(&p.wake);
	(void)pthread_mutex_destroy(&p.lock);
	return r;
}
