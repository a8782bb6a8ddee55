/* The frames (http2_frames.h) of a gRPC server that answers one call; the first byte says how many bytes come at a time. */
#include <assert.h>
#include <errno.h>
#include <stdint.h>

#include "base/clock.h"
#include "base/error.h"
#include "http2_frames.h"
#include "net/grpc.h"
#include "net/grpc_frame.h"
#include "peer.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

static struct strbuf script = {.max = 1 << 20};
static size_t piece;

static void answer(int fd)
{
	peer_send(fd, script.p, script.n, piece);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	uint8_t *out = NULL;
	size_t out_n = 0;
	struct error err = {0};
	if (peer.answer == NULL)
		peer_start(answer);
	if (n == 0)
		return 0;
	strbuf_reset(&script);
	http2_frames(data + 1, n - 1, &script);
	piece = 1 + (size_t)data[0] * 4;
	const int rc = grpc_call(peer.path, "/a/B", (const uint8_t *)"x", 1, 5 * NSEC_PER_SEC, &out, &out_n, &err);
	assert(rc == 0 ? out != NULL && out_n <= GRPC_MESSAGE_MAX : out == NULL && err.msg[0] != '\0');
	assert(rc != -ETIMEDOUT && (rc == -EREMOTEIO) == (err.status != 0));
	free(out);
	peer_settle();
	return 0;
}
