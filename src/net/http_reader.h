/*
 * Incremental reading of HTTP/1.x requests with limits: bytes in, requests out; no I/O and no threads, so that it can be fuzzed.
 * Upgrades are not spoken: a request that asks for one is read as an ordinary request. CONNECT is refused.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "base/arena.h"
#include "net/http_client.h" /* struct http_header */
#include "net/http_server.h" /* struct http_request */

#define HTTP_HEAD_MAX 65536

struct http_reader;

/** A complete request; all it points to is its own. The peer_ members are left NULL for the connection to fill. */
struct http_parsed {
	struct arena arena;
	struct http_request req;
	char *body;                  /* what req.body points to, malloc'ed; NULL when empty */
	struct http_header *headers; /* several of one name have been joined by ", " */
	size_t n_headers;
	struct http_header *params; /* query parameters, decoded */
	size_t n_params;
	bool head, http10, keep_alive;
};

void http_parsed_clear(struct http_parsed *p);
/** Value of the header (any case), or NULL. Borrowed. */
const char *http_parsed_header(const struct http_parsed *p, const char *name);

enum http_read { HTTP_READ_MORE, HTTP_READ_DONE };

/** NULL on no memory. */
struct http_reader *http_reader_new(size_t max_body);
/** Accepts NULL. */
void http_reader_free(struct http_reader *r);
/**
 * Feed bytes. HTTP_READ_MORE: all were used; HTTP_READ_DONE: *@ret_used were, and http_reader_take() must come before the next feed;
 * otherwise minus the HTTP status to answer before the connection is closed (400, 413, 431, 500, 505), with *@ret_why.
 */
int http_reader_feed(struct http_reader *r, const char *data, size_t n, size_t *ret_used, const char **ret_why);
/** Take the complete request; the reader is ready for the next one. */
void http_reader_take(struct http_reader *r, struct http_parsed *ret);
/** True once for a request whose client waits for "100 Continue" before it sends its body. */
bool http_reader_wants_continue(struct http_reader *r);
/** True between requests: no byte of the next one has come. */
bool http_reader_idle(const struct http_reader *r);
/** True while the head of a request is incomplete. */
bool http_reader_in_head(const struct http_reader *r);

/** Decode %XX (and '+' as a space when @plus) of @n bytes into @out (n + 1 bytes). 0 or -EINVAL (bad escape, NUL). */
int http_percent_decode(const char *s, size_t n, bool plus, char *out);
