#include "reservoir/source.h"

#include "base/error.h"
#include "base/str.h"
#include "reservoir/source_internal.h"

int source_new(const char *url, const struct s3_options *s3, int64_t timeout_ns, struct source **ret, struct error *err)
{
	struct source *s = NULL;
	const int r = str_has_prefix(url, "file://") ? source_file_new(url, &s, err)
		      : str_has_prefix(url, "s3://") ? source_s3_new(url, s3, &s, err)
						     : source_http_new(url, &s, err);
	if (r < 0)
		return r;
	s->timeout_ns = timeout_ns;
	s->url = strdup(url);
	if (s->url == NULL) {
		source_free(s);
		return error_set(err, -ENOMEM, "%s: out of memory", url);
	}
	*ret = s;
	return 0;
}

void source_free(struct source *s)
{
	if (s == NULL)
		return;
	free(s->url);
	s->ops->free(s);
}

const char *source_url(const struct source *s)
{
	return s->url;
}

void source_cancel(struct source *s)
{
	atomic_store_explicit(&s->cancel, true, memory_order_relaxed);
}

static int cancelled(const struct source *s, struct error *err)
{
	return atomic_load_explicit(&s->cancel, memory_order_relaxed)
		       ? error_set(err, -ECANCELED, "%s: stopping", s->url)
		       : 0;
}

int source_list(struct source *s, const char *dir, int (*fn)(void *ctx, const struct source_entry *e), void *ctx,
		struct error *err)
{
	const int r = cancelled(s, err);
	return r < 0 ? r : s->ops->list(s, dir, fn, ctx, err);
}

int source_stat(struct source *s, const char *path, struct source_stat *ret, struct error *err)
{
	const int r = cancelled(s, err);
	return r < 0 ? r : s->ops->stat(s, path, ret, err);
}

int source_read(struct source *s, const char *path, const struct source_stat *v, uint64_t off, uint64_t n,
		int (*sink)(void *ctx, const void *data, size_t n), void *ctx, struct error *err)
{
	const int r = cancelled(s, err);
	return r < 0 ? r : s->ops->read(s, path, v, off, n, sink, ctx, err);
}

bool source_may_retry(int code)
{
	switch (code) {
	case -ENOENT:
	case -EACCES:
	case -ESTALE:
	case -ECANCELED:
	case -ENOMEM:
	case -ENOSPC:
	case -ENOTDIR:
	case -EISDIR:
	case -E2BIG:
	case -EKEYREJECTED:
		return false;
	default:
		return true;
	}
}

bool source_same_version(const struct source_stat *a, const struct source_stat *b)
{
	if (a->type != b->type || a->size != b->size)
		return false;
	if (a->etag[0] != '\0' && b->etag[0] != '\0')
		return strcmp(a->etag, b->etag) == 0;
	return a->mtime_ns == b->mtime_ns;
}

void source_version(const struct source_stat *v, char *out, size_t size)
{
	if (v->etag[0] != '\0')
		(void)snprintf(out, size, "etag %s size %llu", v->etag, (unsigned long long)v->size);
	else
		(void)snprintf(out, size, "mtime %lld.%09lld size %llu", (long long)(v->mtime_ns / 1000000000),
			       (long long)(v->mtime_ns % 1000000000), (unsigned long long)v->size);
}
