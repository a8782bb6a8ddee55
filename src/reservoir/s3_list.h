/*
 * Parser of S3's ListObjectsV2 answers (XML, by expat). The answer is outside input: sizes, depth and every key are checked.
 * Pure functions, any thread. Source: Amazon S3 API Reference, ListObjectsV2.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "reservoir/source.h"

struct error;

#define S3_TOKEN_MAX 2048 /* of a continuation token */

struct s3_page {
	uint64_t skipped;         /* keys that can be no file name here: empty or dotted parts, too long */
	uint64_t entries;         /* handed to @fn */
	char token[S3_TOKEN_MAX]; /* "" when this was the last page */
};

/**
 * Call @fn for each object and common prefix of a page that was asked for with @prefix ("" or ending in '/') and delimiter "/"; names are
 * what follows @prefix. A negative return of @fn ends with it. -EPROTO when the text is no such answer.
 */
int s3_list_parse(const char *xml, size_t n, const char *prefix, int (*fn)(void *ctx, const struct source_entry *e),
		  void *ctx, struct s3_page *ret, struct error *err);
/** The text of <Code> in an error answer into @out ("" when there is none). */
void s3_error_code(const char *xml, size_t n, char *out, size_t size);
/** "2009-10-12T17:50:30.000Z" in nanoseconds since 1970. 0 or -EINVAL. */
int s3_time_parse(const char *s, int64_t *ret_ns);
