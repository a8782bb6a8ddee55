/* Index pages come from outside: whatever the bytes, every name handed out must be one plain path component. */
#include <assert.h>
#include <stdint.h>
#include <string.h>

#include "reservoir/autoindex.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

static int check(void *ctx, const struct autoindex_entry *e)
{
	(void)ctx;
	const size_t n = strlen(e->name);
	assert(n >= 1 && n <= 255 && strchr(e->name, '/') == NULL);
	assert(strcmp(e->name, ".") != 0 && strcmp(e->name, "..") != 0);
	assert(e->size_exact || e->size == 0);
	assert(e->size <= INT64_MAX);
	return 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	(void)autoindex_parse((const char *)data, n, 1000, check, NULL, NULL);
	return 0;
}
