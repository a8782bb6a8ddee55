/*
 * AWS Signature Version 4 for S3: what makes the Authorization header of a request. Pure functions.
 * Source: AWS, "Authenticating Requests: Using the Authorization Header (AWS Signature Version 4)".
 */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "net/http_client.h"

struct s3_credentials {
	const char *access_key, *secret_key;
	const char *session_token; /* NULL: none */
};

struct s3_pair {
	const char *name, *value; /* not encoded */
};

/** Parameters as the URL and the signature both have them: encoded and in order. malloc'ed, NULL on no memory. Sorts @pairs. */
char *s3_query(struct s3_pair *pairs, size_t n);
struct s3_request {
	const char *method, *host;         /* host: with the port where it is not the scheme's own */
	const char *path;                  /* encoded, begins with '/' */
	const char *query;                 /* of s3_query(); "" when there is none */
	const struct http_header *headers; /* more headers to be signed, by names in lower case in their order */
	size_t n_headers;
	const char *region;
	int64_t time_s; /* since 1970 */
};

#define S3_HEADERS 4 /* x-amz-content-sha256, x-amz-date, x-amz-security-token (maybe), authorization */

/** What must be sent beside the request's own headers; values point into this struct. To be wiped after use. */
struct s3_signature {
	struct http_header headers[S3_HEADERS];
	size_t n;
	char date[17];
	char authorization[1024];
};

/** Sign a request without a body. 0; -E2BIG when its parts are too long, -ENOMEM. */
int s3_sign(const struct s3_request *rq, const struct s3_credentials *c, struct s3_signature *ret);
