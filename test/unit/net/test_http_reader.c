#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "base/cleanup.h"
#include "base/error.h"
#include "base/strbuf.h"
#include "net/http_reader.h"

/* Feed everything in steps of @step bytes, as far as the first request goes. */
static int feed(struct http_reader *r, const char *text, size_t n, size_t step, size_t *ret_used, const char **why)
{
	size_t at = 0;
	while (at < n) {
		size_t used = 0;
		const size_t k = step < n - at ? step : n - at;
		const int rc = http_reader_feed(r, text + at, k, &used, why);
		if (rc < 0)
			return rc;
		at += used;
		*ret_used = at;
		if (rc == HTTP_READ_DONE)
			return rc;
	}
	return HTTP_READ_MORE;
}

#define H "Host: h\r\n"

static void test_requests(void **state)
{
	static const struct {
		const char *name, *text;
		int rc;
		const char *method, *path, *query, *body;
		bool keep_alive;
	} cases[] = {
		{"least", "GET / HTTP/1.1\r\n" H "\r\n", HTTP_READ_DONE, "GET", "/", "", "", true},
		{"decoded", "GET /a%20b%2fc?x=%41&y=1+2#f HTTP/1.1\r\n" H "\r\n", HTTP_READ_DONE, "GET", "/a b/c",
		 "x=%41&y=1+2", "", true},
		{"absolute", "GET http://h:1/a?b HTTP/1.1\r\n" H "\r\n", HTTP_READ_DONE, "GET", "/a", "b", "", true},
		{"close", "GET / HTTP/1.1\r\n" H "Connection: close\r\n\r\n", HTTP_READ_DONE, "GET", "/", "", "",
		 false},
		{"old", "GET / HTTP/1.0\r\n\r\n", HTTP_READ_DONE, "GET", "/", "", "", false},
		{"old, kept", "GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n", HTTP_READ_DONE, "GET", "/", "", "",
		 true},
		{"body", "POST /x HTTP/1.1\r\n" H "Content-Length: 5\r\n\r\nhello", HTTP_READ_DONE, "POST", "/x", "",
		 "hello", true},
		{"chunks",
		 "PUT /x HTTP/1.1\r\n" H
		 "Transfer-Encoding: chunked\r\n\r\n2\r\nhe\r\n3;x=y\r\nllo\r\n0\r\nT: v\r\n\r\n",
		 HTTP_READ_DONE, "PUT", "/x", "", "hello", true},
		{"upgrade is not spoken", "GET / HTTP/1.1\r\n" H "Connection: Upgrade\r\nUpgrade: websocket\r\n\r\n",
		 HTTP_READ_DONE, "GET", "/", "", "", true},
		{"cut", "GET / HTTP/1.1\r\nHost", HTTP_READ_MORE, NULL, NULL, NULL, NULL, false},
		{"no host", "GET / HTTP/1.1\r\n\r\n", -400, NULL, NULL, NULL, NULL, false},
		{"two hosts", "GET / HTTP/1.1\r\n" H H "\r\n", -400, NULL, NULL, NULL, NULL, false},
		{"NUL in the path", "GET /%00 HTTP/1.1\r\n" H "\r\n", -400, NULL, NULL, NULL, NULL, false},
		{"bad escape", "GET /%2 HTTP/1.1\r\n" H "\r\n", -400, NULL, NULL, NULL, NULL, false},
		{"bad escape in the query", "GET /?a=%zz HTTP/1.1\r\n" H "\r\n", -400, NULL, NULL, NULL, NULL, false},
		{"no UTF-8 in the path", "GET /a%ff HTTP/1.1\r\n" H "\r\n", -400, NULL, NULL, NULL, NULL, false},
		{"half a character in the query", "GET /?a=%c3 HTTP/1.1\r\n" H "\r\n", -400, NULL, NULL, NULL, NULL,
		 false},
		{"asterisk", "OPTIONS * HTTP/1.1\r\n" H "\r\n", -400, NULL, NULL, NULL, NULL, false},
		{"connect", "CONNECT h:1 HTTP/1.1\r\n" H "\r\n", -400, NULL, NULL, NULL, NULL, false},
		{"garbage", "\x16\x03\x01\x02\r\n\r\n", -400, NULL, NULL, NULL, NULL, false},
		{"version", "GET / HTTP/2.0\r\n" H "\r\n", -505, NULL, NULL, NULL, NULL, false},
		{"two lengths", "POST / HTTP/1.1\r\n" H "Content-Length: 1\r\nContent-Length: 2\r\n\r\nab", -400, NULL,
		 NULL, NULL, NULL, false},
		{"length and chunks",
		 "POST / HTTP/1.1\r\n" H "Content-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", -400, NULL,
		 NULL, NULL, NULL, false},
		{"negative length", "POST / HTTP/1.1\r\n" H "Content-Length: -1\r\n\r\n", -400, NULL, NULL, NULL, NULL,
		 false},
		{"bad chunk", "POST / HTTP/1.1\r\n" H "Transfer-Encoding: chunked\r\n\r\nxy\r\n", -400, NULL, NULL,
		 NULL, NULL, false},
		{"body too large", "POST / HTTP/1.1\r\n" H "Content-Length: 11\r\n\r\n", -413, NULL, NULL, NULL, NULL,
		 false},
		{"chunks too large",
		 "POST / HTTP/1.1\r\n" H "Transfer-Encoding: chunked\r\n\r\n6\r\nabcdef\r\n6\r\nabcdef\r\n", -413, NULL,
		 NULL, NULL, NULL, false},
		{"space before the colon", "POST / HTTP/1.1\r\n" H "Content-Length : 1\r\n\r\na", -400, NULL, NULL,
		 NULL, NULL, false},
		{"control character",
		 "GET / HTTP/1.1\r\n" H "X: a\x01"
		 "b\r\n\r\n",
		 -400, NULL, NULL, NULL, NULL, false},
	};
	static const size_t steps[] = {1, 7, SIZE_MAX};
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases) * ARRAY_LEN(steps); i++) {
		const size_t k = i / ARRAY_LEN(steps), step = steps[i % ARRAY_LEN(steps)];
		struct http_reader *r = http_reader_new(10);
		const char *why = "";
		size_t used = 0;
		struct http_parsed q = {0};
		const int rc = feed(r, cases[k].text, strlen(cases[k].text), step, &used, &why);
		if (rc != cases[k].rc || (rc < 0 && *why == '\0'))
			fail_msg("case '%s' by %zu: %d, '%s'", cases[k].name, step, rc, why);
		if (rc == HTTP_READ_DONE) {
			http_reader_take(r, &q);
			if (strcmp(q.req.method, cases[k].method) != 0 || strcmp(q.req.path, cases[k].path) != 0 ||
			    strcmp(q.req.raw_query, cases[k].query) != 0 || strcmp(q.req.body, cases[k].body) != 0 ||
			    q.req.body_n != strlen(cases[k].body) || q.keep_alive != cases[k].keep_alive ||
			    used != strlen(cases[k].text))
				fail_msg("case '%s' by %zu: %s '%s' '%s' '%s' %d, used %zu", cases[k].name, step,
					 q.req.method, q.req.path, q.req.raw_query, q.req.body, q.keep_alive, used);
			http_parsed_clear(&q);
			assert_true(http_reader_idle(r));
		}
		http_reader_free(r);
	}
}

static void test_headers_and_params(void **state)
{
	static const char text[] =
		"GET /?a=1&&b&a=2&c=%26%3d&=e HTTP/1.1\r\n" H "X-A: 1\r\nEmpty:\r\nx-a: 2\r\nX-A:3\r\n\r\n";
	struct http_reader *r = http_reader_new(0);
	struct http_parsed q;
	const char *why = "";
	size_t used = 0;
	(void)state;
	assert_int_equal(feed(r, text, strlen(text), 3, &used, &why), HTTP_READ_DONE);
	http_reader_take(r, &q);
	assert_string_equal(http_parsed_header(&q, "X-a"), "1, 2, 3");
	assert_string_equal(http_parsed_header(&q, "empty"), "");
	assert_null(http_parsed_header(&q, "other"));
	static const char *const want[][2] = {{"a", "1"}, {"b", ""}, {"a", "2"}, {"c", "&="}, {"", "e"}};
	assert_int_equal(q.n_params, ARRAY_LEN(want));
	for (size_t i = 0; i < ARRAY_LEN(want); i++) {
		assert_string_equal(q.params[i].name, want[i][0]);
		assert_string_equal(q.params[i].value, want[i][1]);
	}
	http_parsed_clear(&q);
	http_reader_free(r);
}

static void test_pipeline_and_continue(void **state)
{
	static const char text[] = "POST /1 HTTP/1.1\r\n" H "Expect: 100-continue\r\nContent-Length: 2\r\n\r\nab"
				   "GET /2 HTTP/1.1\r\n" H "\r\n";
	const size_t head = strlen(text) - strlen("abGET /2 HTTP/1.1\r\n" H "\r\n");
	struct http_reader *r = http_reader_new(10);
	struct http_parsed q;
	const char *why = "";
	size_t used = 0;
	(void)state;
	assert_int_equal(feed(r, text, head, SIZE_MAX, &used, &why), HTTP_READ_MORE);
	assert_true(http_reader_wants_continue(r));
	assert_false(http_reader_wants_continue(r));
	assert_false(http_reader_in_head(r));
	assert_int_equal(feed(r, text + head, strlen(text) - head, SIZE_MAX, &used, &why), HTTP_READ_DONE);
	assert_int_equal(used, 2);
	http_reader_take(r, &q);
	assert_string_equal(q.req.body, "ab");
	http_parsed_clear(&q);
	assert_int_equal(feed(r, text + head + 2, strlen(text) - head - 2, SIZE_MAX, &used, &why), HTTP_READ_DONE);
	http_reader_take(r, &q);
	assert_string_equal(q.req.path, "/2");
	http_parsed_clear(&q);
	http_reader_free(r);

	r = http_reader_new(10); /* the body came along: nothing to wait for */
	assert_int_equal(feed(r, text, head + 1, SIZE_MAX, &used, &why), HTTP_READ_MORE);
	assert_false(http_reader_wants_continue(r));
	http_reader_free(r);
}

static void test_head_limits(void **state)
{
	static const struct {
		const char *name, *part;
		size_t times;
		bool target;
		int rc;
	} cases[] = {
		{"long target", "aaaaaaaaaaaaaaaa", 4200, true, -431},
		{"long head",
		 "X-Aaaaaaaa: "
		 "bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb"
		 "bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb"
		 "bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb\r\n",
		 250, false, -431},
		{"many fields", "A:\r\n", 300, false, -431},
		{"just enough fields", "A:\r\n", 255, false, HTTP_READ_DONE},
	};
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct strbuf b = STRBUF_INIT(1 << 20);
		struct http_reader *r = http_reader_new(10);
		struct http_parsed q;
		const char *why = "";
		size_t used = 0;
		strbuf_adds(&b, cases[i].target ? "GET /" : "GET / HTTP/1.1\r\n" H);
		for (size_t k = 0; k < cases[i].times; k++)
			strbuf_adds(&b, cases[i].part);
		strbuf_adds(&b, cases[i].target ? " HTTP/1.1\r\n" H "\r\n" : "\r\n");
		const int rc = feed(r, b.p, b.n, 1000, &used, &why);
		if (rc != cases[i].rc)
			fail_msg("case '%s': %d, '%s'", cases[i].name, rc, why);
		if (rc == HTTP_READ_DONE) {
			http_reader_take(r, &q);
			http_parsed_clear(&q);
		}
		http_reader_free(r);
		strbuf_clear(&b);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(test_requests), cmocka_unit_test(test_headers_and_params),
					   cmocka_unit_test(test_pipeline_and_continue),
					   cmocka_unit_test(test_head_limits)};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
