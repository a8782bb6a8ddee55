/* Frames from the wire into a session of either side; the first byte says which, and how many bytes come at a time. */
#include <errno.h>
#include <stdint.h>
#include <stdlib.h>

#include "net/websocket.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

static void on_message(void *ctx, bool text, const void *data, size_t n)
{
	struct websocket **w = ctx;
	(void)websocket_send(*w, text, data, n); /* refused once it closes */
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	struct websocket *w = NULL;
	if (n == 0)
		return 0;
	const struct websocket_options o = {
		.server = data[0] & 1, .max_message = 4096, .max_queued = 65536, .on_message = on_message, .ctx = &w};
	if (websocket_new(&o, &w) < 0)
		return 0;
	const size_t step = 1 + data[0] / 2;
	char out[512];
	int rc = 0;
	for (size_t i = 1; i < n && rc == 0; i += step) {
		rc = websocket_feed(w, data + i, n - i < step ? n - i : step);
		(void)websocket_take(w, out, sizeof out);
	}
	(void)websocket_close(w, WEBSOCKET_GOING_AWAY, "end");
	while (websocket_take(w, out, sizeof out) > 0)
		;
	if (rc == -EPIPE && websocket_close_code(w) == 0)
		abort(); /* it ended for no reason */
	websocket_free(w);
	return 0;
}
