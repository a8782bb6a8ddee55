#include "base/str.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

struct str str_from(const char *s)
{
	return s == NULL ? (struct str){NULL, 0} : (struct str){s, strlen(s)};
}

bool str_eq(struct str a, const char *b)
{
	return b != NULL && strlen(b) == a.n && (a.n == 0 || memcmp(a.p, b, a.n) == 0);
}

bool str_has_prefix(const char *s, const char *prefix)
{
	return strncmp(s, prefix, strlen(prefix)) == 0;
}

bool str_has_suffix(const char *s, const char *suffix)
{
	const size_t n = strlen(s), k = strlen(suffix);
	return k <= n && memcmp(s + n - k, suffix, k) == 0;
}

bool str_same(const char *a, const char *b)
{
	if (a == NULL || b == NULL)
		return a == b;
	return strcmp(a, b) == 0;
}

bool str_split_next(struct str *rest, char sep, struct str *ret)
{
	if (rest->p == NULL)
		return false;
	const char *cut = rest->n > 0 ? memchr(rest->p, sep, rest->n) : NULL;
	if (cut == NULL) {
		*ret = *rest;
		*rest = (struct str){NULL, 0};
		return true;
	}
	*ret = (struct str){rest->p, (size_t)(cut - rest->p)};
	rest->p = cut + 1;
	rest->n -= ret->n + 1;
	return true;
}

int str_to_u64(const char *s, uint64_t *ret)
{
	uint64_t v = 0;
	if (s == NULL || *s == '\0')
		return -EINVAL;
	for (const char *p = s; *p != '\0'; p++)
		if (*p < '0' || *p > '9')
			return -EINVAL;
	for (; *s != '\0'; s++)
		if (__builtin_mul_overflow(v, UINT64_C(10), &v) || __builtin_add_overflow(v, (uint64_t)(*s - '0'), &v))
			return -ERANGE;
	*ret = v;
	return 0;
}

int str_to_i64(const char *s, int64_t *ret)
{
	if (s == NULL)
		return -EINVAL;
	const bool negative = *s == '-';
	uint64_t v;
	const int rc = str_to_u64(s + negative, &v);
	if (rc < 0)
		return rc;
	if (v > (uint64_t)INT64_MAX + negative)
		return -ERANGE;
	*ret = negative ? (int64_t)(0 - v) : (int64_t)v;
	return 0;
}

char *str_printf(const char *fmt, ...)
{
	va_list ap;
	char *p = NULL;
	va_start(ap, fmt);
	const int n = vasprintf(&p, fmt, ap);
	va_end(ap);
	return n < 0 ? NULL : p;
}

int str_copy(char *dst, size_t size, const char *src)
{
	const size_t n = strlen(src);
	if (size == 0)
		return -ENAMETOOLONG;
	const size_t k = n < size ? n : size - 1;
	memcpy(dst, src, k);
	dst[k] = '\0';
	return k == n ? 0 : -ENAMETOOLONG;
}

size_t str_utf8_length(const char *text, size_t n)
{
	const unsigned char *s = (const unsigned char *)text, c = s[0];
	if (c < 0x80)
		return 1;
	const size_t len = c >= 0xc2 && c <= 0xdf ? 2 : (c & 0xf0) == 0xe0 ? 3 : c >= 0xf0 && c <= 0xf4 ? 4 : 0;
	if (len == 0 || len > n)
		return 0;
	for (size_t i = 1; i < len; i++)
		if ((s[i] & 0xc0) != 0x80)
			return 0;
	if ((c == 0xe0 && s[1] < 0xa0) || (c == 0xed && s[1] > 0x9f) || (c == 0xf0 && s[1] < 0x90) ||
	    (c == 0xf4 && s[1] > 0x8f))
		return 0;
	return len;
}

bool str_is_utf8(const char *s, size_t n)
{
	for (size_t i = 0, len; i < n; i += len)
		if ((len = str_utf8_length(s + i, n - i)) == 0)
			return false;
	return true;
}
