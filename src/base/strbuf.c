#include "base/strbuf.h"

#include <assert.h>
#include <errno.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/str.h"

/* Make room for @n more bytes and the NUL. */
static bool strbuf_grow(struct strbuf *b, size_t n)
{
	if (b->failed)
		return false;
	if (b->max >= SIZE_MAX / 2 || n > b->max || b->n > b->max - n) {
		b->failed = b->too_big = true;
		return false;
	}
	const size_t need = b->n + n + 1;
	if (need <= b->cap)
		return true;

	size_t cap = b->cap < 64 ? 64 : b->cap * 2; /* cap <= max + 1 <= SIZE_MAX / 2: no wrap */
	if (cap < need)
		cap = need;
	if (cap > b->max + 1)
		cap = b->max + 1;
	char *p = realloc(b->p, cap);
	if (p == NULL) {
		b->failed = true;
		return false;
	}
	b->p = p;
	b->cap = cap;
	return true;
}

void strbuf_add(struct strbuf *b, const void *data, size_t n)
{
	if (!strbuf_grow(b, n))
		return;
	assert(b->p != NULL); /* there is room for the NUL at least */
	if (n > 0)
		memcpy(b->p + b->n, data, n);
	b->n += n;
	b->p[b->n] = '\0';
}

void strbuf_adds(struct strbuf *b, const char *s)
{
	strbuf_add(b, s, strlen(s));
}

void strbuf_addc(struct strbuf *b, char c)
{
	strbuf_add(b, &c, 1);
}

void strbuf_addf(struct strbuf *b, const char *fmt, ...)
{
	va_list ap, again;
	va_start(ap, fmt);
	va_copy(again, ap);
	const int n = vsnprintf(NULL, 0, fmt, ap);
	va_end(ap);
	if (n < 0)
		b->failed = true;
	else if (strbuf_grow(b, (size_t)n)) {
		(void)vsnprintf(b->p + b->n, (size_t)n + 1, fmt, again);
		b->n += (size_t)n;
	}
	va_end(again);
}

static void add_json_char(struct strbuf *b, unsigned char c)
{
	switch (c) {
	case '"':
		strbuf_adds(b, "\\\"");
		break;
	case '\\':
		strbuf_adds(b, "\\\\");
		break;
	case '\n':
		strbuf_adds(b, "\\n");
		break;
	case '\r':
		strbuf_adds(b, "\\r");
		break;
	case '\t':
		strbuf_adds(b, "\\t");
		break;
	default:
		if (c < 0x20 || c == 0x7f)
			strbuf_addf(b, "\\u%04x", c);
		else
			strbuf_addc(b, (char)c);
	}
}

/* How many bytes from @s on stand for themselves in a JSON string. */
static size_t plain_run(const unsigned char *s, size_t n)
{
	size_t i = 0;
	while (i < n && s[i] >= 0x20 && s[i] < 0x7f && s[i] != '"' && s[i] != '\\')
		i++;
	return i;
}

void strbuf_add_json(struct strbuf *b, const char *s, size_t n)
{
	strbuf_addc(b, '"');
	for (size_t i = 0; i < n && !b->failed;) {
		const size_t run = plain_run((const unsigned char *)s + i, n - i);
		strbuf_add(b, s + i, run);
		i += run;
		if (i == n)
			break;
		const size_t len = str_utf8_length(s + i, n - i);
		if (len == 1)
			add_json_char(b, (unsigned char)s[i]);
		else if (len > 1)
			strbuf_add(b, s + i, len);
		else
			strbuf_adds(b, "\xef\xbf\xbd"); /* U+FFFD: output stays valid whatever came in */
		i += len > 0 ? len : 1;
	}
	strbuf_addc(b, '"');
}

void strbuf_add_url(struct strbuf *b, const char *s, const char *keep)
{
	static const char hex[] = "0123456789ABCDEF";
	for (; *s != '\0'; s++) {
		const unsigned char ch = (unsigned char)*s;
		const bool plain = (ch >= 'a' && ch <= 'z') || (ch >= 'A' && ch <= 'Z') || (ch >= '0' && ch <= '9') ||
				   strchr("-._~", ch) != NULL || strchr(keep, ch) != NULL;
		const char coded[] = {'%', hex[ch >> 4], hex[ch & 15]};
		strbuf_add(b, plain ? s : coded, plain ? 1 : sizeof coded);
	}
}

void strbuf_consume(struct strbuf *b, size_t n)
{
	if (b->p == NULL)
		return;
	if (n > b->n)
		n = b->n;
	memmove(b->p, b->p + n, b->n - n + 1);
	b->n -= n;
}

void strbuf_reset(struct strbuf *b)
{
	b->n = 0;
	b->failed = b->too_big = false;
	if (b->p != NULL)
		b->p[0] = '\0';
}

int strbuf_take(struct strbuf *b, char **ret)
{
	if (b->p == NULL)
		strbuf_add(b, "", 0);
	if (b->failed) {
		const int rc = b->too_big ? -EFBIG : -ENOMEM;
		strbuf_clear(b);
		return rc;
	}
	*ret = b->p;
	*b = STRBUF_INIT(b->max);
	return 0;
}

void strbuf_clear(struct strbuf *b)
{
	if (b == NULL)
		return;
	free(b->p);
	*b = STRBUF_INIT(b->max);
}
