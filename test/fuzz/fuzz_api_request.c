/* A request as it comes from the wire: request line, query, headers, body. Without "X-Nobody" it is the administrator's. */
#include <string.h>

#include "api_harness.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	static const char nobody[] = "X-Nobody";
	harness_certificate(memmem(data, n, nobody, sizeof nobody - 1) == NULL);
	(void)harness_ask(data, n);
	harness_restore();
	return 0;
}
