#include "reservoir/s3_sign.h"

#include <errno.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <openssl/sha.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/cleanup.h"
#include "base/strbuf.h"

#define CANONICAL_MAX (64u * 1024)
#define HASH          SHA256_DIGEST_LENGTH
#define ALGORITHM     "AWS4-HMAC-SHA256"

/* SHA-256 of nothing: no request of ours has a body. */
static const char empty_hash[] = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

static int by_name(const void *a, const void *b)
{
	const struct s3_pair *x = a, *y = b;
	const int order = strcmp(x->name, y->name);
	return order != 0 ? order : strcmp(x->value, y->value);
}

char *s3_query(struct s3_pair *pairs, size_t n)
{
	struct strbuf b = STRBUF_INIT(CANONICAL_MAX);
	qsort(pairs, n, sizeof *pairs, by_name); /* our names are plain: sorted as they are when encoded */
	for (size_t i = 0; i < n; i++) {
		if (i > 0)
			strbuf_addc(&b, '&');
		strbuf_add_url(&b, pairs[i].name, "");
		strbuf_addc(&b, '=');
		strbuf_add_url(&b, pairs[i].value, "");
	}
	char *text = NULL;
	return strbuf_take(&b, &text) == 0 ? text : NULL;
}

static void hex_of(const unsigned char hash[static HASH], char out[static 2 * HASH + 1])
{
	for (size_t i = 0; i < HASH; i++)
		(void)snprintf(out + 2 * i, 3, "%02x", hash[i]);
}

static bool hmac(const void *key, size_t key_n, const char *text, unsigned char out[static HASH])
{
	unsigned n = 0;
	return HMAC(EVP_sha256(), key, (int)key_n, (const unsigned char *)text, strlen(text), out, &n) != NULL &&
	       n == HASH;
}

/* The key of a day, region and service, made of the secret. */
static int signing_key(const char *secret, const char *day, const char *region, unsigned char out[static HASH])
{
	char first[256];
	unsigned char k[HASH];
	const int n = snprintf(first, sizeof first, "AWS4%s", secret);
	if (n < 0 || (size_t)n >= sizeof first)
		return -E2BIG;
	const bool ok = hmac(first, (size_t)n, day, k) && hmac(k, HASH, region, out) && hmac(out, HASH, "s3", k) &&
			hmac(k, HASH, "aws4_request", out);
	OPENSSL_cleanse(first, sizeof first);
	OPENSSL_cleanse(k, sizeof k);
	return ok ? 0 : -ENOMEM;
}

/* All headers that are signed, sorted by name; the request's own are few and in order, ours lie around them. */
static size_t gather(const struct s3_request *rq, const struct s3_signature *s, const struct http_header **out,
		     size_t max, const struct http_header *host)
{
	size_t n = 0;
	out[n++] = host;
	for (size_t i = 0; i < rq->n_headers && n < max; i++)
		out[n++] = &rq->headers[i];
	for (size_t i = 0; i < s->n && n < max; i++)
		out[n++] = &s->headers[i];
	for (size_t i = 1; i < n; i++)
		for (size_t k = i; k > 0 && strcmp(out[k - 1]->name, out[k]->name) > 0; k--) {
			const struct http_header *h = out[k];
			out[k] = out[k - 1];
			out[k - 1] = h;
		}
	return n;
}

/* "host;range;x-amz-date" */
static void add_names(struct strbuf *b, const struct http_header *const *h, size_t n)
{
	for (size_t i = 0; i < n; i++)
		strbuf_addf(b, "%s%s", i > 0 ? ";" : "", h[i]->name);
}

/* Hash of the canonical request, in hexadecimal digits. */
static int canonical_hash(const struct s3_request *rq, const struct http_header *const *h, size_t n, const char *names,
			  char out[static 2 * HASH + 1])
{
	struct strbuf b = STRBUF_INIT(CANONICAL_MAX);
	strbuf_addf(&b, "%s\n%s\n%s\n", rq->method, rq->path, rq->query);
	for (size_t i = 0; i < n; i++)
		strbuf_addf(&b, "%s:%s\n", h[i]->name, h[i]->value);
	strbuf_addf(&b, "\n%s\n%s", names, empty_hash);
	CLEANUP(free_p) char *text = NULL;
	const int r = strbuf_take(&b, &text);
	if (r < 0)
		return r == -ENOMEM ? r : -E2BIG;
	unsigned char hash[HASH];
	(void)SHA256((const unsigned char *)text, strlen(text), hash);
	hex_of(hash, out);
	return 0;
}

int s3_sign(const struct s3_request *rq, const struct s3_credentials *c, struct s3_signature *ret)
{
	struct tm tm;
	const time_t t = (time_t)rq->time_s;
	*ret = (struct s3_signature){.headers = {{"x-amz-content-sha256", empty_hash}, {"x-amz-date", ret->date}},
				     .n = 2};
	if (gmtime_r(&t, &tm) == NULL || strftime(ret->date, sizeof ret->date, "%Y%m%dT%H%M%SZ", &tm) == 0)
		return -E2BIG;
	if (c->session_token != NULL)
		ret->headers[ret->n++] = (struct http_header){"x-amz-security-token", c->session_token};

	const struct http_header host = {"host", rq->host};
	const struct http_header *signed_[16];
	const size_t n = gather(rq, ret, signed_, sizeof signed_ / sizeof *signed_, &host);
	struct strbuf b = STRBUF_INIT(512);
	add_names(&b, signed_, n);
	CLEANUP(free_p) char *names = NULL;
	if (strbuf_take(&b, &names) < 0)
		return -ENOMEM;
	char hash[2 * HASH + 1], day[9], scope[128], to_sign[512];
	int r = canonical_hash(rq, signed_, n, names, hash);
	if (r < 0)
		return r;
	(void)snprintf(day, sizeof day, "%.8s", ret->date);
	const int scope_n = snprintf(scope, sizeof scope, "%s/%s/s3/aws4_request", day, rq->region);
	if (scope_n < 0 || (size_t)scope_n >= sizeof scope)
		return -E2BIG;
	(void)snprintf(to_sign, sizeof to_sign, ALGORITHM "\n%s\n%s\n%s", ret->date, scope,
		       hash); /* its parts are short */

	unsigned char key[HASH], mac[HASH];
	r = signing_key(c->secret_key, day, rq->region, key);
	if (r == 0 && !hmac(key, sizeof key, to_sign, mac))
		r = -ENOMEM;
	OPENSSL_cleanse(key, sizeof key);
	if (r < 0)
		return r;
	hex_of(mac, hash);
	const int auth_n = snprintf(ret->authorization, sizeof ret->authorization,
				    ALGORITHM " Credential=%s/%s,SignedHeaders=%s,Signature=%s", c->access_key, scope,
				    names, hash);
	if (auth_n < 0 || (size_t)auth_n >= sizeof ret->authorization)
		return -E2BIG;
	ret->headers[ret->n++] = (struct http_header){"authorization", ret->authorization};
	return 0;
}
