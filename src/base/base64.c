#include "base/base64.h"

#include <errno.h>
#include <stdint.h>
#include <string.h>

#include "base/cleanup.h"

static const char alphabet[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

char *base64_encode(const void *data, size_t n)
{
	const uint8_t *in = data;
	size_t size = 0;
	if (__builtin_mul_overflow(n / 3 + 1, 4, &size) || __builtin_add_overflow(size, 1, &size))
		return NULL;
	char *out = malloc(size);
	size_t at = 0;
	for (size_t i = 0; i < n && out != NULL; i += 3) {
		const size_t left = n - i;
		const uint32_t bits = (uint32_t)in[i] << 16 | (left > 1 ? (uint32_t)in[i + 1] << 8 : 0) |
				      (left > 2 ? (uint32_t)in[i + 2] : 0);
		out[at++] = alphabet[bits >> 18];
		out[at++] = alphabet[bits >> 12 & 63];
		out[at++] = left > 1 ? alphabet[bits >> 6 & 63] : '=';
		out[at++] = left > 2 ? alphabet[bits & 63] : '=';
	}
	if (out != NULL)
		out[at] = '\0';
	return out;
}

/** Value of a character that strspn() found in the alphabet. */
static uint32_t value_of(char c)
{
	return (uint32_t)(strchr(alphabet, c) - alphabet);
}

size_t base64_bad_byte(const char *text)
{
	const size_t digits = strspn(text, alphabet), n = digits + strspn(text + digits, "=");
	if (text[n] != '\0')
		return n;
	return digits % 4 == 1 ? digits : n; /* one digit of four says nothing */
}

int base64_decode(const char *text, char **ret, size_t *ret_n)
{
	const size_t n = strlen(text), digits = strspn(text, alphabet), pad = n - digits;
	if (n % 4 != 0 || pad > 2 || strspn(text + digits, "=") != pad)
		return -EINVAL;
	CLEANUP(free_p) char *out = malloc(n / 4 * 3 + 1);
	if (out == NULL)
		return -ENOMEM;
	size_t at = 0;
	uint32_t bits = 0;
	for (size_t i = 0; i < digits; i++) {
		bits = bits << 6 | value_of(text[i]);
		if (i % 4 > 0)
			out[at++] = (char)(uint8_t)(bits >> (6 - 2 * (i % 4)));
	}
	out[at] = '\0';
	*ret = TAKE(out);
	*ret_n = at;
	return 0;
}
