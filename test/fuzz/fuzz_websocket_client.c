/*
 * The answer of a server to a websocket's handshake, and the frames behind it. "{accept}" in the input stands for the accept key of the
 * request; the first byte says how many bytes come at a time.
 */
#include <assert.h>
#include <errno.h>
#include <stdint.h>

#include "base/clock.h"
#include "base/error.h"
#include "net/http_client.h"
#include "net/websocket.h"
#include "net/websocket_client.h"
#include "peer.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

static const uint8_t *script;
static size_t script_n, piece;

static void answer(int fd)
{
	static const char mark[] = "{accept}";
	char head[4096], accept[29];
	size_t n = 0;
	while (n < sizeof head - 1 && (n < 4 || memcmp(head + n - 4, "\r\n\r\n", 4) != 0)) {
		const ssize_t k = recv(fd, head + n, sizeof head - 1 - n, 0);
		if (k <= 0)
			return;
		n += (size_t)k;
	}
	head[n] = '\0';
	char *key = strstr(head, "Sec-WebSocket-Key: ");
	assert(key != NULL);
	key += strlen("Sec-WebSocket-Key: ");
	key[strcspn(key, "\r")] = '\0';
	websocket_accept_key(key, accept);
	const uint8_t *at = memmem(script, script_n, mark, sizeof mark - 1);
	const size_t before = at == NULL ? script_n : (size_t)(at - script);
	peer_send(fd, script, before, piece);
	if (at == NULL)
		return;
	peer_send(fd, accept, strlen(accept), piece);
	peer_send(fd, at + sizeof mark - 1, script_n - before - (sizeof mark - 1), piece);
}

static size_t messages;

static void on_message(void *ctx, bool text, const void *data, size_t n)
{
	(void)ctx;
	(void)text;
	(void)data;
	assert(n <= 1024);
	messages++;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	static const char *const protocols[] = {"v5.channel.k8s.io", "v4.channel.k8s.io", NULL};
	static struct http_client *c;
	struct websocket_client *w = NULL;
	struct error err = {0};
	char *body = NULL;
	if (peer.answer == NULL)
		peer_start(answer);
	if (c == NULL && http_client_new(&(struct http_client_options){.unix_socket = peer.path}, &c, NULL) < 0)
		abort();
	if (n == 0)
		return 0;
	script = data + 1;
	script_n = n - 1;
	piece = 1 + (size_t)data[0] * 4;
	const struct websocket_connect_options o = {.url = "http://localhost/exec",
						    .protocols = data[0] & 1 ? protocols : NULL,
						    .timeout_ns = 5 * NSEC_PER_SEC,
						    .max_message = 1024,
						    .max_queued = 4096,
						    .on_message = on_message};
	const int rc = websocket_connect(c, &o, &w, &body, &err);
	assert(rc == 0 ? w != NULL && body == NULL : w == NULL && err.msg[0] != '\0' && rc != -ETIMEDOUT);
	if (rc == 0) {
		assert(err.status == 0 && strlen(websocket_client_protocol(w)) < 64);
		(void)websocket_client_send(w, true, "x", 1); /* refused when it has closed already */
		int step;
		do
			step = websocket_client_step(w, NSEC_PER_SEC);
		while (step == 0);
		assert(step == -EPIPE || step == -ECONNRESET || step == -ENOBUFS);
		assert(step != -EPIPE || websocket_client_close_code(w) != 0);
	}
	free(body);
	websocket_client_free(w);
	peer_settle();
	return 0;
}
