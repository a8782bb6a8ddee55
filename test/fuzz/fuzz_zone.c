/* Files of time zones: what is read can be asked about any time. */
#include <stdint.h>
#include <stdlib.h>

#include "base/zone.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	static const int64_t times[] = {INT64_MIN, -1, 0, 1774000000, INT64_MAX};
	struct zone *z = NULL;
	if (zone_parse(data, n, &z) < 0)
		return 0;
	for (size_t i = 0; i < sizeof times / sizeof *times; i++)
		if (abs(zone_offset(z, times[i])) > 26 * 3600)
			abort();
	zone_free(z);
	return 0;
}
