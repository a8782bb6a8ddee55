#include "base/error.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#undef error_set /* the analyzer's */
#undef error_wrap

int error_set(struct error *err, int code, const char *fmt, ...)
{
	if (err == NULL)
		return code;

	/* Formatted aside: an argument may point into @err itself. */
	char msg[sizeof err->msg];
	va_list ap;
	va_start(ap, fmt);
	(void)vsnprintf(msg, sizeof msg, fmt, ap);
	va_end(ap);
	err->code = code;
	err->status = 0;
	err->reason[0] = '\0';
	memcpy(err->msg, msg, sizeof msg);
	return code;
}

/* Put @s behind the first @n bytes of @dst, cutting it where the room ends. */
static void append(char *dst, size_t size, size_t n, const char *s)
{
	if (n >= size - 1)
		return;
	const size_t k = strnlen(s, size - 1 - n);
	memcpy(dst + n, s, k);
	dst[n + k] = '\0';
}

int error_wrap(struct error *err, int code, const char *fmt, ...)
{
	if (err == NULL)
		return code;

	char msg[sizeof err->msg];
	va_list ap;
	va_start(ap, fmt);
	const int n = vsnprintf(msg, sizeof msg, fmt, ap);
	va_end(ap);
	const char *inner = err->msg[0] != '\0' ? err->msg : strerror(code < 0 ? -code : code);
	append(msg, sizeof msg, n < 0 ? 0 : (size_t)n, ": ");
	append(msg, sizeof msg, strlen(msg), inner);
	err->code = code;
	memcpy(err->msg, msg, sizeof msg);
	return code;
}
