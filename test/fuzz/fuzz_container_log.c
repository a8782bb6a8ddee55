/* A container writes its log's text; conmon's form around it is parsed whatever the file holds. */
#include <assert.h>
#include <stdint.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/file.h"
#include "local/agent_log.h"

static int count(void *ctx, const char *data, size_t n)
{
	(void)data;
	*(size_t *)ctx += n;
	return 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	if (n < 4)
		return 0;
	char name[] = "/tmp/sluice-fuzz-log-XXXXXX";
	const int file = mkstemp(name);
	if (file < 0 || file_pwrite_all(file, data + 4, n - 4, 0) < 0)
		abort();
	const struct log_options o = {.tail_lines = data[0] == 255 ? -1 : data[0],
				      .limit_bytes = data[1] == 255 ? -1 : data[1],
				      .since_ns = data[2] ? INT64_C(1700000000000000000) : 0,
				      .timestamps = data[3] & 1};
	struct log_reader *r = log_reader_new(name, &o);
	size_t given = 0;
	for (int i = 0; i < 2 && r != NULL; i++)
		(void)log_reader_read(r, count, &given, NULL);
	assert(o.limit_bytes < 0 || given <= (size_t)o.limit_bytes);
	log_reader_free(r);
	(void)close(file);
	(void)unlink(name);
	return 0;
}
