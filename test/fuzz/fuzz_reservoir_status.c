/* The answer of a Reservoir worker's /v1/status: whatever comes back is read or refused, and freed. */
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"
#include "engines/reservoir/reservoir.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	struct engine_figures f;
	struct error err = {0};
	if (reservoir_status_parse((const char *)data, n, &f, &err) == 0)
		engine_figures_clear(&f);
	return 0;
}
