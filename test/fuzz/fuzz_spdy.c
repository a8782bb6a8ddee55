/* Bytes from the wire into a SPDY session that answers as much as it can; the first byte says how many come at a time. */
#include <errno.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "net/spdy.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

static void on_stream(void *ctx, uint32_t id, const struct spdy_header *h, size_t n, bool fin)
{
	struct spdy **s = ctx;
	(void)fin;
	for (size_t i = 0; i < n; i++)
		if (strlen(h[i].name) == 0 || strlen(h[i].value) > 65536)
			abort(); /* headers that are none */
	if (id % 4 == 3)
		(void)spdy_reset(*s, id, SPDY_REFUSED_STREAM);
}

static void on_data(void *ctx, uint32_t id, const void *data, size_t n, bool fin)
{
	struct spdy **s = ctx;
	(void)spdy_send(*s, id, data, n < SPDY_PIECE ? n : SPDY_PIECE, fin); /* refused once it is closed */
}

static void on_reset(void *ctx, uint32_t id)
{
	struct spdy **s = ctx;
	if (spdy_send(*s, id, "", 0, false) != -EPIPE)
		abort(); /* it is gone */
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	struct spdy *s = NULL;
	if (n == 0)
		return 0;
	const struct spdy_options o = {.max_streams = 4,
				       .max_queued = 65536,
				       .on_stream = on_stream,
				       .on_data = on_data,
				       .on_reset = on_reset,
				       .ctx = &s};
	if (spdy_new(&o, &s) < 0)
		return 0;
	const size_t step = 1 + data[0];
	char out[512];
	int rc = 0;
	for (size_t i = 1; i < n && rc == 0; i += step) {
		rc = spdy_feed(s, data + i, n - i < step ? n - i : step);
		(void)spdy_take(s, out, sizeof out);
	}
	if ((rc == -EPROTO) != (spdy_error(s)[0] != '\0'))
		abort(); /* it ended for no reason, or did not end */
	spdy_free(s);
	return 0;
}
