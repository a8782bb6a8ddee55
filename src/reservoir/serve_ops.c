#include <string.h>

#include "base/cleanup.h"
#include "base/error.h"
#include "base/str.h"
#include "reservoir/catalog.h"
#include "reservoir/fetch.h"
#include "reservoir/serve_internal.h"

#define DIRECT_BYTES (1024u * 1024) /* read past the cache at once for a reader that goes forward */

void open_file_unref(struct open_file *of)
{
	if (of == NULL || atomic_fetch_sub_explicit(&of->refs, 1, memory_order_acq_rel) != 1)
		return;
	atomic_fetch_sub_explicit(&of->server->open_files, 1, memory_order_relaxed);
	(void)fetch_file_unref(of->ff);
	(void)pthread_mutex_destroy(&of->direct_lock);
	free(of->direct);
	free(of);
}

static void open_file_unref_p(struct open_file **of)
{
	open_file_unref(*of);
}

static struct open_file **find_open(struct session *s, uint64_t id)
{
	struct open_file **p = &s->buckets[id % ARRAY_LEN(s->buckets)];
	while (*p != NULL && (*p)->id != id)
		p = &(*p)->next;
	return p;
}

/* What the session has open as @id, with a reference; NULL when it has not. */
static struct open_file *get_open(struct request *rq, uint64_t id, unsigned more_opens)
{
	pthread_mutex_lock(&rq->server->lock);
	struct open_file *of = *find_open(rq->session, id);
	if (of != NULL) {
		of->opens += more_opens;
		(void)atomic_fetch_add_explicit(&of->refs, 1, memory_order_relaxed);
	}
	pthread_mutex_unlock(&rq->server->lock);
	return of;
}

/* The fixed part of a request, or NULL when it is too short. */
static const void *input(struct request *rq, size_t n)
{
	return rq->in_n >= n ? rq->in : NULL;
}

static int output(struct request *rq, const void *p, size_t n)
{
	memcpy(rq->out, p, n);
	rq->out_n = n;
	return 0;
}

static struct rv_attr attr_of(const struct catalog_attr *a)
{
	return (struct rv_attr){.id = a->id,
				.size = a->size,
				.mtime_ns = a->mtime_ns,
				.type = a->type,
				.exact = a->exact,
				.exec = a->exec};
}

static int op_lookup(struct request *rq, struct error *err)
{
	const struct rv_id *in = input(rq, sizeof *in + 1);
	if (in == NULL)
		return -EPROTO;
	struct catalog_attr a;
	const int r = catalog_lookup(rq->server->o.catalog, in->id, rq->in + sizeof *in, &a, err);
	const struct rv_attr out = r == 0 ? attr_of(&a) : (struct rv_attr){0};
	return r < 0 ? r : output(rq, &out, sizeof out);
}

static int op_getattr(struct request *rq, struct error *err)
{
	const struct rv_id *in = input(rq, sizeof *in);
	if (in == NULL)
		return -EPROTO;
	struct catalog_attr a;
	const int r = catalog_getattr(rq->server->o.catalog, in->id, &a, err);
	const struct rv_attr out = r == 0 ? attr_of(&a) : (struct rv_attr){0};
	return r < 0 ? r : output(rq, &out, sizeof out);
}

static int op_readlink(struct request *rq, struct error *err)
{
	const struct rv_id *in = input(rq, sizeof *in);
	if (in == NULL)
		return -EPROTO;
	const int r = catalog_readlink(rq->server->o.catalog, in->id, rq->out, sizeof rq->out, err);
	if (r == 0)
		rq->out_n = strlen(rq->out);
	return r;
}

struct dir_page {
	struct request *rq;
	size_t max;
};

static int add_dirent(void *ctx, const struct catalog_attr *a, const char *name, uint64_t cookie)
{
	struct dir_page *p = ctx;
	struct request *rq = p->rq;
	const size_t name_n = strlen(name), whole = sizeof(struct rv_dirent) + ((name_n + 8) & ~(size_t)7);
	if (rq->out_n + whole > p->max)
		return 1;
	const struct rv_dirent d = {.attr = attr_of(a), .cookie = cookie, .name_n = (uint32_t)name_n};
	memset(rq->out + rq->out_n, 0, whole);
	memcpy(rq->out + rq->out_n, &d, sizeof d);
	memcpy(rq->out + rq->out_n + sizeof d, name, name_n);
	rq->out_n += whole;
	return 0;
}

static int op_readdir(struct request *rq, struct error *err)
{
	const struct rv_readdir *in = input(rq, sizeof *in);
	if (in == NULL)
		return -EPROTO;
	struct dir_page page = {.rq = rq, .max = in->max < sizeof rq->out ? in->max : sizeof rq->out};
	return catalog_readdir(rq->server->o.catalog, in->id, in->cookie, add_dirent, &page, err);
}

/* Put @ff into the session as @id, or join the one that came first. Takes @ff. */
static struct open_file *add_open(struct request *rq, uint64_t id, struct fetch_file *ff)
{
	struct open_file *of = calloc(1, sizeof *of);
	if (of == NULL) {
		(void)fetch_file_unref(ff);
		return NULL;
	}
	*of = (struct open_file){.server = rq->server, .id = id, .refs = 2, .opens = 1, .ff = ff};
	(void)pthread_mutex_init(&of->direct_lock, NULL);
	atomic_fetch_add_explicit(&rq->server->open_files, 1, memory_order_relaxed);
	pthread_mutex_lock(&rq->server->lock);
	struct open_file **p = find_open(rq->session, id), *other = *p;
	if (other == NULL) {
		*p = of;
	} else {
		other->opens++;
		(void)atomic_fetch_add_explicit(&other->refs, 1, memory_order_relaxed);
	}
	pthread_mutex_unlock(&rq->server->lock);
	if (other == NULL)
		return of;
	open_file_unref(of);
	open_file_unref(of);
	return other;
}

static int op_open(struct request *rq, struct error *err)
{
	const struct rv_open *in = input(rq, sizeof *in);
	if (in == NULL)
		return -EPROTO;
	struct catalog_file cf;
	int r = catalog_file(rq->server->o.catalog, in->id, in->again == 0, &cf, err);
	if (r < 0)
		return r;
	CLEANUP(open_file_unref_p) struct open_file *of = get_open(rq, in->id, 1);
	if (of == NULL) {
		struct fetch_file *ff;
		if ((r = fetch_file_new(rq->server->o.fetcher, &cf, &ff, err)) < 0)
			return r;
		if ((of = add_open(rq, in->id, ff)) == NULL)
			return -ENOMEM;
	}
	struct store_file *sf = fetch_file_store(of->ff);
	struct rv_opened out = {
		.size = fetch_file_size(of->ff), .instance = rq->server->instance, .blocks = store_file_blocks(sf)};
	out.complete = store_file_complete(sf);
	if (out.blocks == 1 && !out.complete && in->quiet == 0)
		fetch_hint(of->ff, 0, 1); /* whoever opens a small file reads it */
	if (out.blocks > 0 && (rq->fd = store_file_open_fd(sf)) >= 0)
		out.has_fd = 1;
	return output(rq, &out, sizeof out);
}

static int op_ensure(struct request *rq, struct error *err)
{
	const struct rv_range *in = input(rq, sizeof *in);
	if (in == NULL)
		return -EPROTO;
	CLEANUP(open_file_unref_p) struct open_file *of = get_open(rq, in->id, 0);
	if (of == NULL)
		return error_set(err, -EBADF, "the file is not open");
	struct store_file *sf = fetch_file_store(of->ff);
	const uint32_t blocks = store_file_blocks(sf);
	if (in->n == 0 || in->first >= blocks || in->n > blocks - in->first)
		return error_set(err, -EINVAL, "no such block");
	const int r = fetch_ensure(of->ff, in->first, in->n, err);
	if (r < 0)
		return r;
	struct rv_ensured out = {.instance = rq->server->instance, .complete = store_file_complete(sf)};
	if (in->want_fd != 0) {
		rq->fd = store_file_open_fd(sf);
		if (rq->fd < 0)
			return error_set(err, rq->fd, "open a file of the cache: %s", strerror(-rq->fd));
		out.has_fd = 1;
	}
	return output(rq, &out, sizeof out);
}

/* Fill the buffer of @of from @off on: only what is asked, or more when the reader goes forward. */
static int fill_direct(struct open_file *of, uint64_t off, size_t n, struct error *err)
{
	const uint64_t left = fetch_file_size(of->ff) - off;
	size_t want = off == of->direct_next ? DIRECT_BYTES : n;
	if (want > left)
		want = (size_t)left;
	if (of->direct == NULL && (of->direct = malloc(DIRECT_BYTES)) == NULL)
		return error_set(err, -ENOMEM, "out of memory");
	of->direct_n = 0;
	const int r = fetch_direct(of->ff, off, of->direct, want, err);
	if (r < 0)
		return r;
	of->direct_off = off;
	of->direct_n = want;
	return 0;
}

static int op_read(struct request *rq, struct error *err)
{
	const struct rv_bytes *in = input(rq, sizeof *in);
	if (in == NULL)
		return -EPROTO;
	CLEANUP(open_file_unref_p) struct open_file *of = get_open(rq, in->id, 0);
	if (of == NULL)
		return error_set(err, -EBADF, "the file is not open");
	const uint64_t size = fetch_file_size(of->ff);
	if (in->n > RV_READ_MAX || in->off > size || in->n > size - in->off)
		return error_set(err, -EINVAL, "no such bytes");
	int r = 0;
	pthread_mutex_lock(&of->direct_lock);
	if (in->off < of->direct_off || in->off + in->n > of->direct_off + of->direct_n)
		r = fill_direct(of, in->off, in->n, err);
	if (r == 0) {
		(void)output(rq, of->direct + (in->off - of->direct_off), in->n);
		of->direct_next = in->off + in->n;
	}
	pthread_mutex_unlock(&of->direct_lock);
	return r;
}

static bool release_one(struct request *rq, uint64_t id)
{
	pthread_mutex_lock(&rq->server->lock);
	struct open_file **p = find_open(rq->session, id), *of = *p;
	const bool last = of != NULL && --of->opens == 0;
	if (last)
		*p = of->next;
	pthread_mutex_unlock(&rq->server->lock);
	if (last)
		open_file_unref(of);
	return of != NULL;
}

static int op_release(struct request *rq, struct error *err)
{
	const struct rv_id *in = input(rq, sizeof *in);
	const size_t n = rq->in_n / sizeof *in;
	if (in == NULL || n > RV_RELEASE_MAX)
		return -EPROTO;
	bool all = true;
	for (size_t i = 0; i < n; i++)
		all &= release_one(rq, in[i].id);
	return all ? 0 : error_set(err, -EBADF, "the file is not open");
}

static int op_statfs(struct request *rq, struct error *err)
{
	(void)err;
	struct catalog_totals t;
	catalog_totals(rq->server->o.catalog, &t);
	const struct rv_statfs out = {.bytes = t.bytes, .files = t.files + t.dirs};
	return output(rq, &out, sizeof out);
}

static int op_cached(struct request *rq, struct error *err)
{
	const struct rv_id *in = input(rq, sizeof *in);
	if (in == NULL)
		return -EPROTO;
	struct catalog_file cf;
	const int r = catalog_file(rq->server->o.catalog, in->id, false, &cf, err);
	if (r < 0)
		return r;
	const struct rv_cached out = {.cached = store_cached_of(rq->server->o.store, fetch_key(&cf)),
				      .size = cf.version.size};
	(void)output(rq, &out, sizeof out);
	source_version(&cf.version, rq->out + sizeof out, RV_TEXT_MAX);
	rq->out_n += strlen(rq->out + sizeof out);
	return 0;
}

static int op_count(struct request *rq, struct error *err)
{
	(void)err;
	const struct rv_count *in = input(rq, sizeof *in);
	if (in == NULL)
		return -EPROTO;
	atomic_fetch_add_explicit(&rq->server->hit_bytes, in->hit_bytes, memory_order_relaxed);
	atomic_fetch_add_explicit(&rq->server->miss_bytes, in->miss_bytes, memory_order_relaxed);
	return 0;
}

static int op_cache(struct request *rq, struct error *err)
{
	(void)err;
	struct store_stats st;
	store_stats(rq->server->o.store, &st);
	const struct rv_cache out = {.capacity = st.capacity_bytes, .cached = st.cached_bytes};
	return output(rq, &out, sizeof out);
}

static int op_refresh(struct request *rq, struct error *err)
{
	(void)err;
	catalog_refresh(rq->server->o.catalog);
	return 0;
}

static int (*const ops[RV_OPS])(struct request *rq, struct error *err) = {
	[RV_LOOKUP] = op_lookup,   [RV_GETATTR] = op_getattr, [RV_READLINK] = op_readlink, [RV_READDIR] = op_readdir,
	[RV_OPEN] = op_open,       [RV_ENSURE] = op_ensure,   [RV_READ] = op_read,         [RV_RELEASE] = op_release,
	[RV_STATFS] = op_statfs,   [RV_CACHED] = op_cached,   [RV_COUNT] = op_count,       [RV_CACHE] = op_cache,
	[RV_REFRESH] = op_refresh,
};

void serve_request(struct request *rq)
{
	struct error err = {0};
	int r = -EPROTO;
	if (rq->head.op < RV_OPS && ops[rq->head.op] != NULL)
		r = ops[rq->head.op](rq, &err);
	rq->head.status = r;
	if (r == 0)
		return;
	if (err.code == 0)
		(void)error_set(&err, r, "%s", strerror(-r));
	(void)output(rq, err.msg, strlen(err.msg));
	close_fd(&rq->fd);
	rq->fd = -1;
}
