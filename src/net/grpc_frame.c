#include "net/grpc_frame.h"

#include <ctype.h>
#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#define TIMEOUT_DIGITS 8
#define TIMEOUT_MAX    INT64_C(99999999)

int grpc_frame_parse(const uint8_t *data, size_t n, const uint8_t **ret, size_t *ret_n)
{
	if (n == 0)
		return -ENODATA;
	if (n < GRPC_PREFIX)
		return -EPROTO;
	const size_t len = (size_t)data[1] << 24 | (size_t)data[2] << 16 | (size_t)data[3] << 8 | data[4];
	if (len > GRPC_MESSAGE_MAX)
		return -EFBIG;
	if (len != n - GRPC_PREFIX)
		return -EPROTO;
	if (data[0] != 0)
		return data[0] == 1 ? -EOPNOTSUPP : -EPROTO;
	*ret = data + GRPC_PREFIX;
	*ret_n = len;
	return 0;
}

uint8_t *grpc_frame_make(const uint8_t *msg, size_t n, size_t *ret_n)
{
	uint8_t *f = n > GRPC_MESSAGE_MAX ? NULL : malloc(GRPC_PREFIX + n);
	if (f == NULL)
		return NULL;
	f[0] = 0;
	for (int i = 0; i < 4; i++)
		f[1 + i] = (uint8_t)(n >> (24 - 8 * i));
	if (n > 0)
		memcpy(f + GRPC_PREFIX, msg, n);
	*ret_n = GRPC_PREFIX + n;
	return f;
}

static const struct {
	char unit;
	int64_t ns;
} units[] = {
	{'n', 1},
	{'u', 1000},
	{'m', 1000000},
	{'S', 1000000000},
	{'M', 60 * INT64_C(1000000000)},
	{'H', 3600 * INT64_C(1000000000)},
};

int grpc_timeout_parse(const char *s, size_t n, int64_t *ret_ns)
{
	if (n < 2 || n > TIMEOUT_DIGITS + 1)
		return -EINVAL;
	int64_t v = 0;
	for (size_t i = 0; i < n - 1; i++) {
		if (!isdigit((unsigned char)s[i]))
			return -EINVAL;
		v = v * 10 + (s[i] - '0');
	}
	for (size_t i = 0; i < sizeof units / sizeof units[0]; i++) {
		if (units[i].unit != s[n - 1])
			continue;
		if (__builtin_mul_overflow(v, units[i].ns, ret_ns))
			*ret_ns = INT64_MAX; /* more than 290 years */
		return 0;
	}
	return -EINVAL;
}

void grpc_timeout_format(int64_t ns, char out[static 32])
{
	size_t i = 0;
	int64_t v = ns < 1 ? 1 : ns;
	while (i < 5 && v > TIMEOUT_MAX) {
		i++;
		v = ns / units[i].ns + (ns % units[i].ns != 0);
	}
	(void)snprintf(out, 32, "%lld%c", (long long)v, units[i].unit);
}

void grpc_message_escape(const char *msg, char *out, size_t size)
{
	static const char hex[] = "0123456789ABCDEF";
	size_t o = 0;
	for (const unsigned char *p = (const unsigned char *)msg; *p != '\0'; p++) {
		const bool plain = *p >= 0x20 && *p <= 0x7e && *p != '%';
		if (o + (plain ? 1 : 3) >= size)
			break;
		if (plain) {
			out[o++] = (char)*p;
			continue;
		}
		out[o++] = '%';
		out[o++] = hex[*p >> 4];
		out[o++] = hex[*p & 15];
	}
	out[o] = '\0';
}

static int hex_value(char c)
{
	return isdigit((unsigned char)c)    ? c - '0'
	       : isxdigit((unsigned char)c) ? tolower((unsigned char)c) - 'a' + 10
					    : -1;
}

void grpc_message_unescape(const char *s, size_t n, char *out, size_t size)
{
	size_t o = 0;
	for (size_t i = 0; i < n && o + 1 < size; i++) {
		char c = s[i];
		const bool coded = c == '%' && n - i > 2;
		const int high = coded ? hex_value(s[i + 1]) : -1, low = coded ? hex_value(s[i + 2]) : -1;
		if (high >= 0 && low >= 0) {
			c = (char)(high << 4 | low);
			i += 2;
		}
		out[o++] = (unsigned char)c < 0x20 || c == 0x7f ? ' ' : c;
	}
	out[o] = '\0';
}
