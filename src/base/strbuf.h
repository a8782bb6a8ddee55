/*
 * strbuf: a growable byte string with a mandatory maximum.
 *
 * Invariants: p is NUL-terminated whenever it is not NULL; n never counts the NUL; once an append
 * fails (memory, maximum) `failed` stays set and every later append does nothing, so callers check once at the end.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>

struct strbuf {
	char *p;
	size_t n, cap, max;
	bool failed;
	bool too_big; /* failed because of the maximum, not of memory */
};

#define STRBUF_INIT(limit) ((struct strbuf){.max = (limit)})

void strbuf_add(struct strbuf *b, const void *data, size_t n);
void strbuf_adds(struct strbuf *b, const char *s);
void strbuf_addc(struct strbuf *b, char c);
void strbuf_addf(struct strbuf *b, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
/** Append @s as a JSON string with its quotes. */
void strbuf_add_json(struct strbuf *b, const char *s, size_t n);
/** Append @s percent-encoded as RFC 3986 has it: unreserved characters and those of @keep stay. */
void strbuf_add_url(struct strbuf *b, const char *s, const char *keep);
/** Drop the first @n bytes (all, if there are fewer). */
void strbuf_consume(struct strbuf *b, size_t n);
/** Forget the contents, keep the memory and clear `failed`. */
void strbuf_reset(struct strbuf *b);
/** 0 and a malloc'ed NUL-terminated string owned by the caller ("" when empty), or -ENOMEM/-EFBIG; the buffer is empty afterwards. */
int strbuf_take(struct strbuf *b, char **ret);
/** Free the memory. Accepts NULL. */
void strbuf_clear(struct strbuf *b);
