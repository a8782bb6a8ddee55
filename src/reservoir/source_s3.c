/* s3://bucket/prefix: listed by ListObjectsV2, read by ranges of the version that was listed. Requests are signed, or a bucket is public. */
#include <errno.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/error.h"
#include "base/log.h"
#include "base/str.h"
#include "reservoir/autoindex.h"
#include "reservoir/s3.h"
#include "reservoir/s3_list.h"
#include "reservoir/source_http.h"

#define PAGE_MAX   (16u * 1024 * 1024) /* a thousand keys of a kilobyte, encoded */
#define PAGE_KEYS  "1000"
#define PAGES_MAX  (SOURCE_LIST_MAX / 100) /* a server may send short pages, but not without end */
#define SCHEME     "s3://"
#define BUCKET_MAX 63

struct source_s3 {
	struct source_http http; /* its root is the bucket's URL and the prefix */
	struct s3_options options;
	char *bucket_url; /* ends with '/' */
	char *prefix;     /* "" or ends with '/' */
};

/* Amazon S3 User Guide, "Bucket naming rules"; underscores and capitals are met at other servers. */
static bool bucket_is_valid(struct str b)
{
	for (size_t i = 0; i < b.n; i++) {
		const char ch = b.p[i];
		if (!((ch >= 'a' && ch <= 'z') || (ch >= 'A' && ch <= 'Z') || (ch >= '0' && ch <= '9') ||
		      strchr("-._", ch) != NULL))
			return false;
	}
	return b.n >= 3 && b.n <= BUCKET_MAX;
}

/* One page of the directory @prefix, after @page->token. */
static int list_page(struct source_s3 *s, const char *prefix, struct s3_page *page,
		     int (*fn)(void *, const struct source_entry *), void *ctx, struct error *err)
{
	struct source *base = &s->http.base;
	char token[S3_TOKEN_MAX];
	(void)str_copy(token, sizeof token, page->token); /* of the same size */
	struct s3_pair pairs[] = {{"delimiter", "/"},
				  {"list-type", "2"},
				  {"max-keys", PAGE_KEYS},
				  {"prefix", prefix},
				  {"continuation-token", token}};
	CLEANUP(free_p) char *query = s3_query(pairs, token[0] != '\0' ? 5 : 4);
	CLEANUP(free_p) char *url = query != NULL ? str_printf("%s?%s", s->bucket_url, query) : NULL;
	if (url == NULL)
		return error_set(err, -ENOMEM, "%s: out of memory", base->url);
	CLEANUP(source_headers_clear) struct source_headers h = {0};
	struct http_call call = source_http_call(base, "GET", url);
	call.max_body = PAGE_MAX;
	CLEANUP(http_answer_clear) struct http_answer answer = {0};
	int r = source_http_sign(&s->http, &call, &h, err);
	if (r == 0)
		r = http_client_do(s->http.client, &call, &answer, err);
	if (r < 0)
		return r;
	if (answer.status != 200)
		return source_http_status_error(&s->http, answer.status, answer.body, answer.body_n, s->bucket_url,
						err);
	r = s3_list_parse(answer.body, answer.body_n, prefix, fn, ctx, page, err);
	if (r == 0 && token[0] != '\0' && strcmp(token, page->token) == 0)
		r = error_set(err, -EPROTO, "the listing goes in circles");
	return r < 0 ? error_wrap(err, r, "%s%s", s->bucket_url, prefix) : 0;
}

static int s3_list(struct source *base, const char *dir, int (*fn)(void *, const struct source_entry *), void *ctx,
		   struct error *err)
{
	struct source_s3 *s = (struct source_s3 *)base;
	CLEANUP(free_p) char *prefix = str_printf("%s%s%s", s->prefix, dir, *dir != '\0' ? "/" : "");
	if (prefix == NULL)
		return error_set(err, -ENOMEM, "%s: out of memory", base->url);
	struct s3_page page = {0};
	uint64_t entries = 0, skipped = 0, pages = 0;
	do {
		const int r = list_page(s, prefix, &page, fn, ctx, err);
		if (r < 0)
			return r;
		entries += page.entries;
		skipped += page.skipped;
		if (entries > SOURCE_LIST_MAX || ++pages > PAGES_MAX)
			return error_set(err, -E2BIG, "%s%s: more than %u entries, or %u pages", s->bucket_url, prefix,
					 SOURCE_LIST_MAX, PAGES_MAX);
		if (atomic_load_explicit(&base->cancel, memory_order_relaxed))
			return error_set(err, -ECANCELED, "%s: stopping", base->url);
	} while (page.token[0] != '\0');
	if (skipped > 0)
		LOG(NULL, LOG_LVL_WARN, "keys that can be no file names are left out", LOG_STR("prefix", prefix),
		    LOG_INT("keys", (int64_t)skipped));
	return 0;
}

static void s3_free(struct source *base)
{
	struct source_s3 *s = (struct source_s3 *)base;
	free(s->bucket_url);
	free(s->prefix);
	source_http_free(base);
}

static const struct source_ops s3_ops = {
	.list = s3_list, .stat = source_http_stat, .read = source_http_read, .free = s3_free};

/* "https://host/bucket/" or "https://bucket.host/"; malloc'ed, NULL on no memory. */
static char *make_bucket_url(const struct s3_options *o, struct str bucket)
{
	CLEANUP(free_p)
	char *amazon = str_printf("https://s3.%s.amazonaws.com", o->region != NULL ? o->region : "us-east-1");
	if (amazon == NULL)
		return NULL;
	const char *endpoint = o->endpoint != NULL ? o->endpoint : amazon;
	size_t n = strlen(endpoint);
	while (n > 0 && endpoint[n - 1] == '/')
		n--;
	const size_t scheme = (size_t)(strstr(endpoint, "://") - endpoint) + 3;
	if (o->virtual_host)
		return str_printf("%.*s%.*s.%.*s/", (int)scheme, endpoint, (int)bucket.n, bucket.p, (int)(n - scheme),
				  endpoint + scheme);
	return str_printf("%.*s/%.*s/", (int)n, endpoint, (int)bucket.n, bucket.p);
}

static bool endpoint_is_valid(const char *e)
{
	const char *host = str_has_prefix(e, "https://") ? e + 8 : str_has_prefix(e, "http://") ? e + 7 : "";
	const size_t n = strcspn(host, "/?#@");
	return n > 0 && strspn(host + n, "/") == strlen(host + n);
}

int source_s3_new(const char *url, const struct s3_options *o, struct source **ret, struct error *err)
{
	static const struct s3_options public_bucket = {0};
	const struct s3_options *options = o != NULL ? o : &public_bucket;
	const char *after = url + strlen(SCHEME);
	const struct str bucket = {after, strcspn(after, "/")};
	const char *prefix = after + bucket.n + strspn(after + bucket.n, "/");
	if (!bucket_is_valid(bucket))
		return error_set(
			err, -EINVAL,
			"%s: s3://BUCKET/PREFIX is wanted; a bucket's name has 3 to 63 letters, digits and -._", url);
	if (options->endpoint != NULL && !endpoint_is_valid(options->endpoint))
		return error_set(err, -EINVAL, "%s: the endpoint '%s' is no http(s)://HOST[:PORT]", url,
				 options->endpoint);
	CLEANUP(free_p) char *bucket_url = make_bucket_url(options, bucket);
	CLEANUP(free_p)
	char *dir = str_printf("%s%s", prefix, *prefix != '\0' && !str_has_suffix(prefix, "/") ? "/" : "");
	CLEANUP(free_p) char *encoded = dir != NULL ? url_encode_path(dir) : NULL;
	char *root = bucket_url != NULL && encoded != NULL ? str_printf("%s%s", bucket_url, encoded) : NULL;
	struct source_http *h = NULL;
	const int r = source_http_make(sizeof(struct source_s3), &s3_ops, root, &h, err);
	if (r < 0)
		return r;
	struct source_s3 *s = (struct source_s3 *)h;
	s->options = *options;
	h->account = &s->options;
	s->bucket_url = TAKE(bucket_url);
	s->prefix = TAKE(dir);
	*ret = &h->base;
	return 0;
}
