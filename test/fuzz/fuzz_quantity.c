/* Quantities, durations and times: what is printed of a value reads back as that value. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "json/quantity.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	char text[300];
	if (n >= sizeof text)
		return 0;
	memcpy(text, data, n);
	text[n] = '\0';

	int64_t v, again;
	char out[32];
	if (quantity_parse(text, &v, NULL) == 0) {
		quantity_format_binary(v, out);
		if (quantity_parse(out, &again, NULL) < 0 || again != v || quantity_compare(text, text) != 0)
			abort();
	}
	if (quantity_parse_milli(text, &v, NULL) == 0 && quantity_parse(text, &again, NULL) == 0 &&
	    (v < 0 ? v / 1000 < again : v / 1000 > again))
		abort(); /* both are rounded away from zero, units further */
	if (duration_parse(text, &v, NULL) == 0) {
		duration_format(v, out);
		if (duration_parse(out, &again, NULL) < 0 || again != v)
			abort();
	}
	if (clock_parse_rfc3339(text, &v) == 0) {
		char time[40];
		clock_format_rfc3339_micro(v, time);
		if (clock_parse_rfc3339(time, &again) < 0 || again > v || v - again >= 1000)
			abort(); /* cut to microseconds */
	}
	return 0;
}
