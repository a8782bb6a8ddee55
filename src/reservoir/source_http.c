/* http(s)://: directories are nginx's index pages, files are read by ranges that all must be of one version. */
#include <strings.h>

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/error.h"
#include "base/str.h"
#include "net/http_client.h"
#include "reservoir/autoindex.h"
#include "reservoir/source_internal.h"

#define PAGE_MAX (256u * 1024 * 1024)

struct source_http {
	struct source base;
	struct http_client *client;
	char *root; /* ends with '/' */
};

static char *url_of(struct source *s, const char *path, bool dir)
{
	CLEANUP(free_p) char *enc = url_encode_path(path);
	if (enc == NULL)
		return NULL;
	return str_printf("%s%s%s", ((struct source_http *)s)->root, enc, dir && *path != '\0' ? "/" : "");
}

static int status_code(int status)
{
	switch (status) {
	case 401:
	case 403:
		return -EACCES;
	case 404:
	case 410:
		return -ENOENT;
	case 416:
		return -ESTALE;
	default:
		return -EIO;
	}
}

static const char *status_text(int status)
{
	static const struct {
		int status;
		const char *text;
	} texts[] = {{400, "Bad Request"},
		     {401, "Unauthorized"},
		     {403, "Forbidden"},
		     {404, "Not Found"},
		     {410, "Gone"},
		     {416, "Range Not Satisfiable"},
		     {429, "Too Many Requests"},
		     {500, "Internal Server Error"},
		     {502, "Bad Gateway"},
		     {503, "Service Unavailable"},
		     {504, "Gateway Timeout"}};
	for (size_t i = 0; i < ARRAY_LEN(texts); i++)
		if (texts[i].status == status)
			return texts[i].text;
	return status >= 500 ? "server error" : "unexpected answer";
}

static int status_error(int status, const char *url, struct error *err)
{
	const int r = error_set(err, status_code(status), "%s: %d %s", url, status, status_text(status));
	if (err != NULL)
		err->status = status;
	return r;
}

static struct http_call make_call(struct source *s, const char *method, const char *url)
{
	const int64_t connect_max = 10 * NSEC_PER_SEC;
	return (struct http_call){
		.method = method,
		.url = url,
		.connect_timeout_ns = s->timeout_ns < connect_max ? s->timeout_ns : connect_max,
		.stall_timeout_ns = s->timeout_ns,
		.follow_redirects = true,
		.cancel = &s->cancel,
	};
}

static int list_entry(void *ctx, const struct autoindex_entry *a)
{
	struct {
		int (*fn)(void *, const struct source_entry *);
		void *ctx;
	} *to = ctx;
	const struct source_entry e = {.name = a->name,
				       .st = {.type = a->dir ? SOURCE_DIR : SOURCE_FILE,
					      .size_exact = a->dir || a->size_exact,
					      .size = a->size,
					      .mtime_ns = a->time_known ? a->mtime_s * NSEC_PER_SEC : 0,
					      .exact = a->dir}};
	return to->fn(to->ctx, &e);
}

static int http_list(struct source *s, const char *dir, int (*fn)(void *, const struct source_entry *), void *ctx,
		     struct error *err)
{
	CLEANUP(free_p) char *url = url_of(s, dir, true);
	if (url == NULL)
		return error_set(err, -ENOMEM, "%s: out of memory", s->url);
	struct http_call call = make_call(s, "GET", url);
	call.max_body = PAGE_MAX;
	struct http_answer answer;
	int r = http_client_do(((struct source_http *)s)->client, &call, &answer, err);
	if (r < 0)
		return r;
	struct {
		int (*fn)(void *, const struct source_entry *);
		void *ctx;
	} to = {fn, ctx};
	if (answer.status != 200)
		r = status_error(answer.status, url, err);
	else if ((r = autoindex_parse(answer.body, answer.body_n, SOURCE_LIST_MAX, list_entry, &to, err)) < 0)
		r = error_wrap(err, r, "%s", url);
	http_answer_clear(&answer);
	return r;
}

/* ETag and Last-Modified as the answer gives them. */
static void read_version(struct source_stat *v, const char *etag, const char *modified)
{
	int64_t t;
	if (etag != NULL && strlen(etag) < sizeof v->etag)
		(void)str_copy(v->etag, sizeof v->etag, etag);
	if (modified != NULL && http_date_parse(modified, &t) == 0)
		v->mtime_ns = t * NSEC_PER_SEC;
}

static int http_stat(struct source *s, const char *path, struct source_stat *ret, struct error *err)
{
	CLEANUP(free_p) char *url = url_of(s, path, false);
	if (url == NULL)
		return error_set(err, -ENOMEM, "%s: out of memory", s->url);
	/* identity: the length of a compressed body is not the file's */
	const struct http_header h[] = {{"Accept-Encoding", "identity"}};
	struct http_call call = make_call(s, "HEAD", url);
	call.headers = h;
	call.n_headers = ARRAY_LEN(h);
	struct http_answer answer;
	int r = http_client_do(((struct source_http *)s)->client, &call, &answer, err);
	if (r < 0)
		return r;
	struct source_stat st = {.type = SOURCE_FILE, .size_exact = true, .exact = true};
	const char *length = http_answer_header(&answer, "content-length");
	if (answer.status != 200)
		r = status_error(answer.status, url, err);
	else if (length == NULL || str_to_u64(length, &st.size) < 0 || st.size > INT64_MAX)
		r = error_set(err, -EPROTO, "%s: the server tells no length", url);
	else
		read_version(&st, http_answer_header(&answer, "etag"), http_answer_header(&answer, "last-modified"));
	http_answer_clear(&answer);
	if (r == 0)
		*ret = st;
	return r;
}

struct range_read {
	const char *url;
	const struct source_stat *v;
	uint64_t off, n;    /* what is wanted */
	uint64_t skip, got; /* of a whole body: bytes before the range; delivered so far */
	bool whole, done;
	int (*sink)(void *, const void *, size_t);
	void *ctx;
	struct error *err;
};

static const char *header(const struct http_header *headers, size_t n, const char *name)
{
	for (size_t i = 0; i < n; i++)
		if (strcasecmp(headers[i].name, name) == 0)
			return headers[i].value;
	return NULL;
}

/* "bytes 0-99/1234" */
static bool parse_content_range(const char *s, uint64_t *first, uint64_t *last, uint64_t *total)
{
	struct str rest, one;
	if (s == NULL || !str_has_prefix(s, "bytes "))
		return false;
	rest = str_from(s + 6);
	uint64_t *const out[] = {first, last, total};
	static const char sep[] = {'-', '/', '\0'};
	for (size_t i = 0; i < 3; i++) {
		char num[24];
		if (!str_split_next(&rest, sep[i], &one) || one.n == 0 || one.n >= sizeof num)
			return false;
		memcpy(num, one.p, one.n);
		num[one.n] = '\0';
		if (str_to_u64(num, out[i]) < 0)
			return false;
	}
	return *first <= *last && *last < *total;
}

static int changed(struct range_read *rr)
{
	return error_set(rr->err, -ESTALE, "%s: the file changed at the source", rr->url);
}

/* Whether the answer is of the version we want; what the server does not tell cannot contradict. */
static bool version_fits(const struct range_read *rr, const struct http_header *headers, size_t n)
{
	struct source_stat now = {.type = rr->v->type, .size = rr->v->size, .mtime_ns = rr->v->mtime_ns};
	read_version(&now, header(headers, n, "etag"), header(headers, n, "last-modified"));
	return source_same_version(&now, rr->v);
}

static int on_head(void *ctx, int status, const struct http_header *headers, size_t n)
{
	struct range_read *rr = ctx;
	uint64_t first, last, total, length;
	if (status == 206) {
		if (!parse_content_range(header(headers, n, "content-range"), &first, &last, &total))
			return error_set(rr->err, -EPROTO, "%s: 206 without a usable Content-Range", rr->url);
		if (total != rr->v->size || !version_fits(rr, headers, n))
			return changed(rr);
		if (first != rr->off || last != rr->off + rr->n - 1)
			return error_set(rr->err, -EPROTO, "%s: the server sent another range than asked for", rr->url);
		return 0;
	}
	if (status == 200) {
		const char *l = header(headers, n, "content-length");
		if (!version_fits(rr, headers, n) ||
		    (l != NULL && (str_to_u64(l, &length) < 0 || length != rr->v->size)))
			return changed(rr);
		rr->whole = true;
		rr->skip = rr->off;
		return 0;
	}
	if (status >= 200 && status < 300)
		return error_set(rr->err, -EPROTO, "%s: answered %d to a range", rr->url, status);
	return 0;
}

static int on_data(void *ctx, const void *data, size_t n)
{
	struct range_read *rr = ctx;
	const char *p = data;
	const size_t skip = rr->skip < n ? (size_t)rr->skip : n;
	rr->skip -= skip;
	p += skip;
	n -= skip;
	const uint64_t left = rr->n - rr->got;
	if (n > left && !rr->whole)
		return error_set(rr->err, -EPROTO, "%s: the body is longer than the range", rr->url);
	const size_t take = n < left ? n : (size_t)left;
	if (take > 0) {
		const int r = rr->sink(rr->ctx, p, take);
		if (r < 0)
			return r;
		rr->got += take;
	}
	rr->done = rr->got == rr->n;
	/* the rest of a whole body is not wanted: leaving is cheaper than reading on */
	return rr->done && rr->whole && n > take ? -ECANCELED : 0;
}

static int range_done(const struct range_read *rr, int r, int status, struct error *err)
{
	if (rr->done)
		return 0;
	if (r < 0)
		return r;
	if (status != 200 && status != 206)
		return status_error(status, rr->url, err);
	return error_set(err, -ECONNRESET, "%s: the body ended after %llu of %llu bytes", rr->url,
			 (unsigned long long)rr->got, (unsigned long long)rr->n);
}

static int http_read(struct source *s, const char *path, const struct source_stat *v, uint64_t off, uint64_t n,
		     int (*sink)(void *, const void *, size_t), void *ctx, struct error *err)
{
	CLEANUP(free_p) char *url = url_of(s, path, false);
	if (url == NULL)
		return error_set(err, -ENOMEM, "%s: out of memory", s->url);
	char range[64], date[32];
	(void)snprintf(range, sizeof range, "bytes=%llu-%llu", (unsigned long long)off,
		       (unsigned long long)(off + n - 1));
	http_date_format(v->mtime_ns / NSEC_PER_SEC, date);
	/* If-Range takes strong tags only (RFC 9110, 13.1.5); on_head looks at what comes in any case */
	const bool strong = v->etag[0] == '"';
	const struct http_header h[] = {
		{"Accept-Encoding", "identity"}, {"Range", range}, {"If-Range", strong ? v->etag : date}};
	struct error inner = {0}; /* ours, from the callbacks, beats the client's "ended by callback" */
	struct range_read rr = {.url = url, .v = v, .off = off, .n = n, .sink = sink, .ctx = ctx, .err = &inner};
	struct http_call call = make_call(s, "GET", url);
	call.headers = h;
	call.n_headers = strong || (v->etag[0] == '\0' && v->mtime_ns > 0) ? 3 : 2;
	call.on_head = on_head;
	call.on_data = on_data;
	call.ctx = &rr;
	struct http_answer answer = {0};
	int r = http_client_do(((struct source_http *)s)->client, &call, &answer, err);
	const int status = r == 0 ? answer.status : 0;
	if (r == 0)
		http_answer_clear(&answer);
	if (r < 0 && inner.code != 0 && !rr.done) {
		r = inner.code;
		if (err != NULL)
			*err = inner;
	}
	return range_done(&rr, r, status, err);
}

static void http_free(struct source *s)
{
	http_client_free(((struct source_http *)s)->client);
	free(((struct source_http *)s)->root);
	free(s);
}

static const struct source_ops http_ops = {.list = http_list, .stat = http_stat, .read = http_read, .free = http_free};

int source_http_new(const char *url, struct source **ret, struct error *err)
{
	if (strchr(url, '?') != NULL || strchr(url, '#') != NULL)
		return error_set(err, -EINVAL, "%s: a source URL has no query and no fragment", url);
	const struct http_client_options o = {.user_agent = "sluice/" SLUICE_VERSION, .max_idle = 64};
	struct source_http *h = calloc(1, sizeof *h);
	char *root = str_printf("%s%s", url, str_has_suffix(url, "/") ? "" : "/");
	int r = h == NULL || root == NULL ? error_set(err, -ENOMEM, "%s: out of memory", url)
					  : http_client_new(&o, &h->client, err);
	if (r < 0) {
		free(h);
		free(root);
		return r;
	}
	h->base.ops = &http_ops;
	h->root = root;
	*ret = &h->base;
	return 0;
}
