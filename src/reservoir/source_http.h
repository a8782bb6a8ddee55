/* What the http(s) and the S3 connector share: requests to one server, and ranged reads that all must be of one version. */
#pragma once

#include "net/http_client.h"
#include "reservoir/s3_sign.h"
#include "reservoir/source_internal.h"

#define SOURCE_HTTP_HEADERS (8 + S3_HEADERS)

struct source_http {
	struct source base;
	struct http_client *client;
	char *root;                 /* ends with '/' */
	struct s3_options *account; /* requests are signed; NULL: plain */
};

/** Headers of one request; with an account its signature among them. */
struct source_headers {
	struct http_header v[SOURCE_HTTP_HEADERS];
	size_t n;
	struct s3_signature signature;
	char *secrets[3]; /* what the signature was made of */
};

/** A connector of @size bytes (its first member is a struct source_http) with @root (taken, also on failure). */
int source_http_make(size_t size, const struct source_ops *ops, char *root, struct source_http **ret,
		     struct error *err);
void source_http_free(struct source *s);
int source_http_stat(struct source *s, const char *path, struct source_stat *ret, struct error *err);
int source_http_read(struct source *s, const char *path, const struct source_stat *v, uint64_t off, uint64_t n,
		     int (*sink)(void *, const void *, size_t), void *ctx, struct error *err);

/** A call with the source's limits of time. */
struct http_call source_http_call(struct source *s, const char *method, const char *url);
/** Give @call the headers @h, signed where there is an account. Cleared by source_headers_clear(), also on failure. */
int source_http_sign(struct source_http *h, struct http_call *call, struct source_headers *headers, struct error *err);
void source_headers_clear(struct source_headers *h);
/** The error of an answer that is no success; @answer may say more. */
int source_http_status_error(const struct source_http *h, int status, const char *body, size_t n, const char *url,
			     struct error *err);
