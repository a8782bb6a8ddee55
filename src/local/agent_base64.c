#include "local/agent_base64.h"

#include <errno.h>
#include <stdint.h>
#include <string.h>

#include "base/cleanup.h"

static int digit(char c)
{
	if (c >= 'A' && c <= 'Z')
		return c - 'A';
	if (c >= 'a' && c <= 'z')
		return c - 'a' + 26;
	if (c >= '0' && c <= '9')
		return c - '0' + 52;
	return c == '+' ? 62 : c == '/' ? 63 : -1;
}

int base64_decode(const char *text, char **ret, size_t *ret_n)
{
	size_t len = strlen(text);
	if (len % 4 != 0)
		return -EINVAL;
	size_t pad = 0;
	while (pad < 2 && len > 0 && text[len - 1] == '=') {
		len--;
		pad++;
	}
	CLEANUP(free_p) char *out = malloc(len / 4 * 3 + 4);
	if (out == NULL)
		return -ENOMEM;
	size_t n = 0;
	uint32_t bits = 0;
	for (size_t i = 0; i < len; i++) {
		const int d = digit(text[i]);
		if (d < 0)
			return -EINVAL;
		bits = (bits << 6 | (uint32_t)d) & 0xffffff;
		if (i % 4 > 0)
			out[n++] = (char)(uint8_t)(bits >> (6 - 2 * (i % 4)));
	}
	out[n] = '\0';
	*ret = TAKE(out);
	*ret_n = n;
	return 0;
}
