/* Small string helpers and views. */
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include <string.h>

/** A view into somebody else's bytes; not NUL-terminated. */
struct str {
	const char *p;
	size_t n;
};

#define STR(lit) ((struct str){(lit), sizeof(lit) - 1})

struct str str_from(const char *s); /* NULL gives an empty view */
bool str_eq(struct str a, const char *b);
bool str_has_prefix(const char *s, const char *prefix);
bool str_has_suffix(const char *s, const char *suffix);
/** NULL-safe equality: two NULLs are equal. */
bool str_same(const char *a, const char *b);
/** Cut the next piece before @sep off *@rest into *@ret. False when *@rest is used up (p == NULL). */
bool str_split_next(struct str *rest, char sep, struct str *ret);
/** Parse all of @s as a decimal. 0, -EINVAL (not a number), -ERANGE. */
int str_to_i64(const char *s, int64_t *ret);
int str_to_u64(const char *s, uint64_t *ret);
/** malloc'ed formatted string, or NULL. */
char *str_printf(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
/** Copy @src into @dst of @size bytes, always terminated. 0, or -ENAMETOOLONG when it was cut. */
int str_copy(char *dst, size_t size, const char *src);
/** Length of the UTF-8 character at @s (n bytes, at least one), or 0 when the bytes are none (overlong, surrogate, cut). RFC 3629, section 4. */
size_t str_utf8_length(const char *s, size_t n);
bool str_is_utf8(const char *s, size_t n);
