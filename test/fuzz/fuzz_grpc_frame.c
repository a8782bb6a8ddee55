/* What a gRPC peer sends: message frames, timeouts, status messages. */
#include <assert.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "net/grpc_frame.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

static void check_frame(const uint8_t *data, size_t n)
{
	const uint8_t *msg = NULL;
	size_t msg_n = 0, again_n = 0;
	if (grpc_frame_parse(data, n, &msg, &msg_n) != 0)
		return;
	assert(msg == data + GRPC_PREFIX && msg_n == n - GRPC_PREFIX);
	uint8_t *again = grpc_frame_make(msg, msg_n, &again_n);
	assert(again != NULL && again_n == n && memcmp(again, data, n) == 0);
	free(again);
}

static void check_text(const char *text, size_t n)
{
	char small[8], plain[1024], escaped[4096], back[1024];
	int64_t ns = -1;
	assert(grpc_timeout_parse(text, n, &ns) != 0 || ns >= 0);
	grpc_message_unescape(text, n, small, sizeof small);
	grpc_message_unescape(text, n, plain, sizeof plain);
	grpc_message_escape(plain, escaped, sizeof escaped);
	grpc_message_unescape(escaped, strlen(escaped), back, sizeof back);
	assert(strcmp(plain, back) == 0);
	grpc_message_escape(plain, small, sizeof small);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	check_frame(data, n);
	check_text((const char *)data, n);
	return 0;
}
