/* Requests from the network: fed whole and in small steps they must read the same, within the limits, as plain strings. */
#include <assert.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "net/http_reader.h"

#define BODY_MAX 4096

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

/* The first request: > 0 complete (with *@ret_used), 0 incomplete, < 0 refused. */
static int read_one(struct http_reader *r, const char *data, size_t n, size_t step, size_t *ret_used)
{
	for (size_t at = 0; at < n;) {
		size_t used = 0;
		const char *why = NULL;
		const size_t k = step < n - at ? step : n - at;
		const int rc = http_reader_feed(r, data + at, k, &used, &why);
		if (rc < 0) {
			assert(-rc >= 400 && -rc < 600 && why != NULL && *why != '\0');
			return -1;
		}
		assert(used <= k && (rc == HTTP_READ_DONE || used == k));
		at += used;
		*ret_used = at;
		(void)http_reader_wants_continue(r);
		if (rc == HTTP_READ_DONE)
			return 1;
	}
	return 0;
}

static void check(struct http_parsed *q)
{
	assert(q->req.path[0] == '/' && q->req.body_n <= BODY_MAX && q->req.body[q->req.body_n] == '\0');
	assert(strpbrk(q->req.method, " \r\n") == NULL);
	for (size_t i = 0; i < q->n_headers; i++) {
		assert(strpbrk(q->headers[i].name, " \r\n") == NULL && strpbrk(q->headers[i].value, "\r\n") == NULL);
		assert(http_parsed_header(q, q->headers[i].name) != NULL);
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	if (n == 0)
		return 0;
	const size_t step = 1 + data[0] % 16;
	const char *text = (const char *)data + 1;
	struct http_reader *a = http_reader_new(BODY_MAX), *b = http_reader_new(BODY_MAX);
	if (a == NULL || b == NULL)
		abort();
	size_t used_a = 0, used_b = 0;
	const int rc = read_one(a, text, n - 1, SIZE_MAX, &used_a);
	assert(read_one(b, text, n - 1, step, &used_b) == rc);
	if (rc > 0) {
		struct http_parsed p, q;
		http_reader_take(a, &p);
		http_reader_take(b, &q);
		assert(used_a == used_b && p.n_headers == q.n_headers && p.n_params == q.n_params &&
		       p.keep_alive == q.keep_alive);
		assert(strcmp(p.req.path, q.req.path) == 0 && p.req.body_n == q.req.body_n &&
		       memcmp(p.req.body, q.req.body, p.req.body_n) == 0);
		check(&p);
		check(&q);
		http_parsed_clear(&p);
		http_parsed_clear(&q);
	}
	http_reader_free(a);
	http_reader_free(b);
	return 0;
}
