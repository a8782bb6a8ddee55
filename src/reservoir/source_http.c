/* http(s)://: directories are nginx's index pages, files are read by ranges that all must be of one version. */
#include <strings.h>

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/error.h"
#include "base/file.h"
#include "base/str.h"
#include "reservoir/autoindex.h"
#include "reservoir/s3.h"
#include "reservoir/s3_list.h"
#include "reservoir/source_http.h"

#define PAGE_MAX   (256u * 1024 * 1024)
#define SECRET_MAX 4096

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
	case 412:
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
		     {412, "Precondition Failed"},
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

int source_http_status_error(const struct source_http *h, int status, const char *body, size_t n, const char *url,
			     struct error *err)
{
	char code[80] = "";
	if (h->account != NULL && body != NULL)
		s3_error_code(body, n, code, sizeof code);
	const int r = error_set(err, status_code(status), "%s: %d %s%s%s", url, status, status_text(status),
				code[0] != '\0' ? ": " : "", code);
	if (err != NULL)
		err->status = status;
	return r;
}

/* A credential of the account: a file's one line. */
static int read_secret(const char *path, char **ret, struct error *err)
{
	size_t n = 0;
	if (path == NULL)
		return 0;
	const int r = file_read(path, SECRET_MAX, ret, &n, err);
	if (r < 0)
		return error_wrap(err, r == -ENOENT ? -EACCES : r, "credentials of the bucket");
	for (; n > 0 && ((*ret)[n - 1] == '\n' || (*ret)[n - 1] == '\r'); n--)
		(*ret)[n - 1] = '\0';
	for (const char *p = *ret; *p != '\0'; p++)
		if ((unsigned char)*p < ' ')
			return error_set(err, -EACCES, "credentials of the bucket: '%s' is more than one line of text",
					 path);
	return 0;
}

void source_headers_clear(struct source_headers *h)
{
	for (size_t i = 0; i < ARRAY_LEN(h->secrets); i++) {
		if (h->secrets[i] != NULL)
			explicit_bzero(h->secrets[i], strlen(h->secrets[i]));
		free(h->secrets[i]);
	}
	*h = (struct source_headers){0};
}

/* Sign @call, whose URL is "scheme://host/path?query". */
static int sign(const struct s3_options *a, const struct http_call *call, struct source_headers *h, struct error *err)
{
	const struct {
		const char *path;
		char **to;
	} files[] = {{a->access_key_file, &h->secrets[0]},
		     {a->secret_key_file, &h->secrets[1]},
		     {a->session_token_file, &h->secrets[2]}};
	for (size_t i = 0; i < ARRAY_LEN(files); i++) {
		const int r = read_secret(files[i].path, files[i].to, err);
		if (r < 0)
			return r;
	}
	if (h->secrets[0] == NULL || h->secrets[1] == NULL)
		return 0;
	const char *host = strstr(call->url, "://") + 3;
	const size_t host_n = strcspn(host, "/"), path_n = strcspn(host + host_n, "?");
	CLEANUP(free_p) char *host_text = strndup(host, host_n);
	/* what is signed is what is sent: the scheme's own port is not */
	const char *usual = str_has_prefix(call->url, "https:") ? ":443" : ":80";
	if (host_text != NULL && str_has_suffix(host_text, usual))
		host_text[host_n - strlen(usual)] = '\0';
	CLEANUP(free_p) char *path = strndup(host + host_n, path_n);
	if (host_text == NULL || path == NULL)
		return error_set(err, -ENOMEM, "%s: out of memory", call->url);
	const char *query = host + host_n + path_n;
	const struct s3_request rq = {.method = call->method,
				      .host = host_text,
				      .path = path,
				      .query = *query == '?' ? query + 1 : "",
				      .headers = h->v,
				      .n_headers = h->n,
				      .region = a->region != NULL ? a->region : "us-east-1",
				      .time_s = clock_wall_ns() / NSEC_PER_SEC};
	const struct s3_credentials c = {h->secrets[0], h->secrets[1], h->secrets[2]};
	const int r = s3_sign(&rq, &c, &h->signature);
	if (r < 0)
		return error_set(err, r, "%s: cannot be signed: %s", call->url, strerror(-r));
	for (size_t i = 0; i < h->signature.n && h->n < ARRAY_LEN(h->v); i++)
		h->v[h->n++] = h->signature.headers[i];
	return 0;
}

int source_http_sign(struct source_http *h, struct http_call *call, struct source_headers *headers, struct error *err)
{
	const int r = h->account != NULL ? sign(h->account, call, headers, err) : 0;
	call->headers = headers->v;
	call->n_headers = headers->n;
	return r;
}

struct http_call source_http_call(struct source *s, const char *method, const char *url)
{
	const int64_t connect_max = 10 * NSEC_PER_SEC;
	return (struct http_call){
		.method = method,
		.url = url,
		.connect_timeout_ns = s->timeout_ns < connect_max ? s->timeout_ns : connect_max,
		.stall_timeout_ns = s->timeout_ns,
		.follow_redirects =
			((struct source_http *)s)->account == NULL, /* a signature is for one host and path */
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
	struct http_call call = source_http_call(s, "GET", url);
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
		r = source_http_status_error((struct source_http *)s, answer.status, NULL, 0, url, err);
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

int source_http_stat(struct source *s, const char *path, struct source_stat *ret, struct error *err)
{
	CLEANUP(free_p) char *url = url_of(s, path, false);
	if (url == NULL)
		return error_set(err, -ENOMEM, "%s: out of memory", s->url);
	/* identity: the length of a compressed body is not the file's */
	CLEANUP(source_headers_clear) struct source_headers h = {.v = {{"accept-encoding", "identity"}}, .n = 1};
	struct http_call call = source_http_call(s, "HEAD", url);
	struct http_answer answer = {0};
	int r = source_http_sign((struct source_http *)s, &call, &h, err);
	if (r == 0)
		r = http_client_do(((struct source_http *)s)->client, &call, &answer, err);
	if (r < 0)
		return r;
	struct source_stat st = {.type = SOURCE_FILE, .size_exact = true, .exact = true};
	const char *length = http_answer_header(&answer, "content-length");
	if (answer.status != 200)
		r = source_http_status_error((struct source_http *)s, answer.status, NULL, 0, url, err);
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

static int range_done(const struct source_http *h, const struct range_read *rr, int r, const struct http_answer *answer,
		      struct error *err)
{
	const int status = answer->status;
	if (rr->done)
		return 0;
	if (r < 0)
		return r;
	if (status != 200 && status != 206)
		return source_http_status_error(h, status, answer->body, answer->body_n, rr->url, err);
	return error_set(err, -ECONNRESET, "%s: the body ended after %llu of %llu bytes", rr->url,
			 (unsigned long long)rr->got, (unsigned long long)rr->n);
}

int source_http_read(struct source *s, const char *path, const struct source_stat *v, uint64_t off, uint64_t n,
		     int (*sink)(void *, const void *, size_t), void *ctx, struct error *err)
{
	struct source_http *http = (struct source_http *)s;
	CLEANUP(free_p) char *url = url_of(s, path, false);
	if (url == NULL)
		return error_set(err, -ENOMEM, "%s: out of memory", s->url);
	char range[64], date[32];
	(void)snprintf(range, sizeof range, "bytes=%llu-%llu", (unsigned long long)off,
		       (unsigned long long)(off + n - 1));
	http_date_format(v->mtime_ns / NSEC_PER_SEC, date);
	/* If-Range takes strong tags only (RFC 9110, 13.1.5), and S3 knows If-Match alone; on_head looks at what comes in any case */
	const bool strong = v->etag[0] == '"';
	CLEANUP(source_headers_clear)
	struct source_headers h = {.v = {{"accept-encoding", "identity"}, {"range", range}}, .n = 2};
	if (strong)
		h.v[h.n++] = (struct http_header){http->account != NULL ? "if-match" : "if-range", v->etag};
	else if (v->etag[0] == '\0' && v->mtime_ns > 0 && http->account == NULL)
		h.v[h.n++] = (struct http_header){"if-range", date};
	struct error inner = {0}; /* ours, from the callbacks, beats the client's "ended by callback" */
	struct range_read rr = {.url = url, .v = v, .off = off, .n = n, .sink = sink, .ctx = ctx, .err = &inner};
	struct http_call call = source_http_call(s, "GET", url);
	call.on_head = on_head;
	call.on_data = on_data;
	call.ctx = &rr;
	CLEANUP(http_answer_clear) struct http_answer answer = {0};
	int r = source_http_sign(http, &call, &h, err);
	if (r == 0)
		r = http_client_do(http->client, &call, &answer, err);
	if (r < 0 && inner.code != 0 && !rr.done) {
		r = inner.code;
		if (err != NULL)
			*err = inner;
	}
	return range_done(http, &rr, r, &answer, err);
}

void source_http_free(struct source *s)
{
	http_client_free(((struct source_http *)s)->client);
	free(((struct source_http *)s)->root);
	free(s);
}

int source_http_make(size_t size, const struct source_ops *ops, char *root, struct source_http **ret, struct error *err)
{
	const struct http_client_options o = {.user_agent = "sluice/" SLUICE_VERSION, .max_idle = 64};
	struct source_http *h = calloc(1, size);
	int r = h == NULL || root == NULL ? error_set(err, -ENOMEM, "a source: out of memory")
					  : http_client_new(&o, &h->client, err);
	if (r < 0) {
		free(h);
		free(root);
		return r;
	}
	h->base.ops = ops;
	h->root = root;
	*ret = h;
	return 0;
}

static const struct source_ops http_ops = {
	.list = http_list, .stat = source_http_stat, .read = source_http_read, .free = source_http_free};

int source_http_new(const char *url, struct source **ret, struct error *err)
{
	struct source_http *h = NULL;
	if (strchr(url, '?') != NULL || strchr(url, '#') != NULL)
		return error_set(err, -EINVAL, "%s: a source URL has no query and no fragment", url);
	const int r = source_http_make(sizeof *h, &http_ops,
				       str_printf("%s%s", url, str_has_suffix(url, "/") ? "" : "/"), &h, err);
	if (r == 0)
		*ret = &h->base;
	return r;
}
