/*
 * Parser of the index pages that nginx makes (autoindex on, HTML). The page is outside input: every name is checked.
 * Pure functions, any thread.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct error;

struct autoindex_entry {
	const char *name; /* decoded: 1 to 255 bytes, no '/' and no NUL, not "." or ".." */
	bool dir;
	bool size_exact; /* size is in bytes, not a rounded "12K" or absent */
	uint64_t size;   /* 0 unless size_exact */
	bool time_known;
	int64_t mtime_s; /* whole minutes, as the page has no seconds; the page's zone is taken for UTC */
};

/**
 * Call @fn for each link that stays in the page's own directory; a negative return of @fn ends with it.
 * -EPROTO when the page is no index, -E2BIG past @max_entries.
 */
int autoindex_parse(const char *page, size_t n, size_t max_entries,
		    int (*fn)(void *ctx, const struct autoindex_entry *e), void *ctx, struct error *err);

/** Percent-encode the bytes of a relative path so that it may stand in a URL; '/' stays. malloc'ed, or NULL on no memory. */
char *url_encode_path(const char *path);

/** Parse "Sun, 06 Nov 1994 08:49:37 GMT" (RFC 9110). 0 or -EINVAL. */
int http_date_parse(const char *s, int64_t *ret_s);
/** The same, written. */
void http_date_format(int64_t s, char out[static 32]);
