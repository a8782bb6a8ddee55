/* Listings of buckets come from outside: whatever the bytes, every name handed out must be one plain path component. */
#include <assert.h>
#include <stdint.h>
#include <string.h>

#include "reservoir/s3_list.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

static int check(void *ctx, const struct source_entry *e)
{
	(void)ctx;
	const size_t n = strlen(e->name);
	assert(n >= 1 && n <= 255 && strchr(e->name, '/') == NULL);
	assert(strcmp(e->name, ".") != 0 && strcmp(e->name, "..") != 0);
	assert(e->st.size <= INT64_MAX && e->st.mtime_ns >= 0);
	return 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	struct s3_page page;
	char code[64];
	(void)s3_list_parse((const char *)data, n, "", check, NULL, &page, NULL);
	(void)s3_list_parse((const char *)data, n, "p/", check, NULL, &page, NULL);
	assert(strnlen(page.token, sizeof page.token) < sizeof page.token);
	s3_error_code((const char *)data, n, code, sizeof code);
	return 0;
}
