/*
 * Answers of a server: head, chunks, redirects, trailers, cut anywhere. The first byte says how: its lowest bits whether the body is
 * streamed, redirects are followed and how the method is called; the rest how many bytes come at a time.
 */
#include <assert.h>
#include <ctype.h>
#include <errno.h>
#include <stdint.h>

#include "base/clock.h"
#include "base/error.h"
#include "net/http_client.h"
#include "peer.h"

#define BODY_MAX 4096

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

static const uint8_t *script;
static size_t script_n, piece, streamed, heads;

static void answer(int fd)
{
	char head[4096];
	size_t n = 0;
	while (n < sizeof head && (n < 4 || memcmp(head + n - 4, "\r\n\r\n", 4) != 0)) {
		const ssize_t k = recv(fd, head + n, sizeof head - n, 0);
		if (k <= 0)
			return;
		n += (size_t)k;
	}
	peer_send(fd, script, script_n, piece);
}

static int on_head(void *ctx, int status, const struct http_header *headers, size_t n)
{
	(void)ctx;
	assert(status >= 200 && (n == 0 || headers[0].name != NULL));
	heads++;
	return 0;
}

static int on_data(void *ctx, const void *data, size_t n)
{
	(void)ctx;
	(void)data;
	assert(heads == 1);
	streamed += n;
	return streamed > BODY_MAX ? -EFBIG : 0;
}

static void check(const struct http_answer *a, bool streams)
{
	assert(a->status >= 200 && a->status <= 999 && a->body_n <= BODY_MAX && a->body[a->body_n] == '\0');
	assert(!streams || a->status / 100 != 2 || a->body_n == 0);
	for (size_t i = 0; i < a->n_headers; i++) {
		const char *name = a->headers[i].name;
		assert(name[0] != '\0' && strpbrk(name, ":\n") == NULL && strchr(a->headers[i].value, '\n') == NULL);
		for (const char *p = name; *p != '\0'; p++)
			assert(!isupper((unsigned char)*p));
		assert(http_answer_header(a, name) != NULL);
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	struct http_client *c = NULL;
	struct http_answer a = {0};
	struct error err = {0};
	if (peer.answer == NULL)
		peer_start(answer);
	if (n == 0)
		return 0;
	script = data + 1;
	script_n = n - 1;
	piece = 1 + (size_t)(data[0] >> 3) * 8;
	streamed = heads = 0;
	const bool streams = data[0] & 1;
	const struct http_client_options o = {.user_agent = "fuzz", .unix_socket = peer.path, .max_idle = 1};
	const struct http_call call = {.method = data[0] & 4 ? "HEAD" : "GET",
				       .url = "http://localhost/a/b",
				       .timeout_ns = 5 * NSEC_PER_SEC,
				       .max_body = BODY_MAX,
				       .follow_redirects = data[0] & 2,
				       .on_head = on_head,
				       .on_data = streams ? on_data : NULL};
	if (http_client_new(&o, &c, NULL) < 0)
		abort();
	const int rc = http_client_do(c, &call, &a, &err);
	assert(rc == 0 || (rc < 0 && err.msg[0] != '\0' && rc != -ETIMEDOUT));
	if (rc == 0) {
		check(&a, streams);
		assert(heads == 1);
	}
	http_answer_clear(&a);
	http_client_free(c);
	peer_settle();
	return 0;
}
