/* Schedules: the next time is one that is later, whole minutes, and the last one before itself. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/zone.h"
#include "local/cron.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	static struct zone *zone;
	char text[300], wrong[CRON_WRONG_MAX] = "";
	struct cron c;
	if (zone == NULL && zone_load("Europe/Berlin", &zone, NULL) < 0)
		abort();
	if (n >= sizeof text)
		return 0;
	memcpy(text, data, n);
	text[n] = '\0';
	if (!cron_parse(text, &c, wrong)) {
		if (wrong[0] == '\0')
			abort();
		return 0;
	}
	const int64_t after = INT64_C(1774000000), next = cron_next(&c, zone, after);
	if (next == INT64_MAX)
		return 0;
	if (next <= after || next % 60 != 0 || cron_last(&c, zone, after, next) != next)
		abort();
	return 0;
}
