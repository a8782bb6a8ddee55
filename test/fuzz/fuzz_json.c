/* JSON text: what is read can be written and read again as the same, and the scan for duplicates takes all that the parser takes. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "json/json.h"
#include "json/read.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

static void ignore(void *ctx, const char *path)
{
	*(size_t *)ctx += strlen(path);
}

/** What the fast reader takes, jansson reads alike. */
static void compare(const char *text, size_t n)
{
	JSON_AUTO fast = NULL;
	if (json_read(text, n, &fast) < 0)
		return;
	JSON_AUTO slow = json_loadb(text, n, JSON_DECODE_ANY | JSON_ALLOW_NUL, NULL);
	CLEANUP(free_p) char *a = json_to_text(fast, NULL), *b = json_to_text(slow, NULL);
	if (slow == NULL || a == NULL || b == NULL || strcmp(a, b) != 0 || !json_equal(fast, slow))
		abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	compare((const char *)data, n);
	size_t seen = 0;
	const int scanned = json_scan_duplicates((const char *)data, n, ignore, &seen);
	JSON_AUTO j = NULL;
	if (json_parse((const char *)data, n, &j, NULL) < 0)
		return 0;
	if (scanned < 0)
		abort();
	size_t text_n = 0;
	CLEANUP(free_p) char *text = json_to_text(j, &text_n), *wide = json_to_text_indent(j, 4);
	JSON_AUTO again = NULL;
	JSON_AUTO from_wide = NULL;
	if (text == NULL || json_parse(text, text_n, &again, NULL) < 0 || !json_same(j, again))
		abort();
	if (wide == NULL || json_parse(wide, strlen(wide), &from_wide, NULL) < 0 || !json_same(j, from_wide))
		abort();
	return 0;
}
