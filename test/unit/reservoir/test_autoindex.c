#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/error.h"
#include "base/strbuf.h"
#include "reservoir/autoindex.h"

#define HEAD                                                                                                           \
	"<html>\r\n<head><title>Index of /d/</title></head>\r\n<body>\r\n<h1>Index of /d/</h1><hr><pre><a "            \
	"href=\"../\">../</a>\r\n"

static int collect(void *ctx, const struct autoindex_entry *e)
{
	strbuf_addf(ctx, "%s%s %s%llu %s%lld;", e->name, e->dir ? "/" : "", e->size_exact ? "=" : "~",
		    (unsigned long long)e->size, e->time_known ? "@" : "?", (long long)e->mtime_s);
	return 0;
}

static void test_pages(void **state)
{
	(void)state;
	static const struct {
		const char *name, *page, *want;
		int rc;
	} cases[] = {
		{"empty directory", HEAD "</pre>", "", 0},
		{"file and directory",
		 HEAD "<a href=\"s/\">s/</a>   24-Nov-2026 10:11      -\r\n<a href=\"f\">f</a>   24-Nov-2026 10:11    "
		      "1234\r\n",
		 "s/ ~0 @1795515060;f =1234 @1795515060;", 0},
		{"rounded size", HEAD "<a href=\"f\">f</a>   01-Jan-1970 00:01    12K\r\n", "f ~0 @60;", 0},
		{"escapes", HEAD "<a href=\"a%20b%C3%A9%23\">x</a> 01-Jan-1970 00:00 1\r\n", "a b\xc3\xa9# =1 @0;", 0},
		{"entities", HEAD "<a href=\"a&amp;b&#39;&quot;&#xe9;\">x</a> 01-Jan-1970 00:00 1\r\n",
		 "a&b'\"\xc3\xa9 =1 @0;", 0},
		{"cut name: the href counts",
		 HEAD "<a href=\"a-very-long-name\">a-ve..&gt;</a> 01-Jan-1970 00:00 7\r\n", "a-very-long-name =7 @0;",
		 0},
		{"leaves the directory",
		 HEAD "<a href=\"http://e/\">e</a><a href=\"/x\">x</a><a href=\"a/b\">b</a><a href=\"?C=N\">n</a>"
		      "<a href=\"%2e%2e/\">u</a><a href=\"a%2fb\">s</a><a href=\"a%00\">z</a><a href=\"mailto:x\">m</a>"
		      "<a href=\"#t\">t</a><a href=\"\">none</a><a href=\"bad%4\">p</a>\n",
		 "", 0},
		{"colon behind ./", HEAD "<a href=\"./a:b\">a:b</a> 01-Jan-1970 00:00 1\n", "a:b =1 @0;", 0},
		{"no facts", HEAD "<a href=\"f\">f</a>\n<a href=\"g\">g</a> soon 12\n", "f ~0 ?0;g ~0 ?0;", 0},
		{"size beyond 63 bits", HEAD "<a href=\"f\">f</a> 01-Jan-1970 00:00 9223372036854775808\n", "f ~0 @0;",
		 0},
		{"no index", "<html><a href=\"x\">x</a></html>", "", -EPROTO},
		{"cut page", HEAD "<a href=\"x", "", 0},
		{"too many", HEAD "<a href=a><a href=\"1\">1</a><a href=\"2\"></a><a href=\"3\"></a><a href=\"4\"></a>",
		 "1 ~0 ?0;2 ~0 ?0;3 ~0 ?0;", -E2BIG},
	};
	for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
		struct strbuf b = STRBUF_INIT(65536);
		struct error err = {0};
		const int rc = autoindex_parse(cases[i].page, strlen(cases[i].page), 3, collect, &b, &err);
		if (rc != cases[i].rc || strcmp(b.p != NULL ? b.p : "", cases[i].want) != 0)
			fail_msg("case '%s': rc %d, '%s' (%s)", cases[i].name, rc, b.p, err.msg);
		if (rc < 0)
			assert_true(strlen(err.msg) > 10);
		strbuf_clear(&b);
	}
}

static void test_name_length(void **state)
{
	(void)state;
	for (size_t n = 254; n <= 257; n++) {
		struct strbuf page = STRBUF_INIT(65536), out = STRBUF_INIT(65536);
		strbuf_adds(&page, HEAD "<a href=\"");
		for (size_t i = 0; i < n; i++)
			strbuf_adds(&page, "%41");
		strbuf_adds(&page, "\">x</a>\n");
		assert_int_equal(autoindex_parse(page.p, page.n, 3, collect, &out, NULL), 0);
		assert_int_equal(out.n > 0, n <= 255);
		strbuf_clear(&page);
		strbuf_clear(&out);
	}
}

static void test_encode(void **state)
{
	(void)state;
	char *s = url_encode_path("a b/c%?#&\xc3\xa9~x");
	assert_string_equal(s, "a%20b/c%25%3F%23%26%C3%A9~x");
	free(s);
}

static void test_dates(void **state)
{
	(void)state;
	int64_t t;
	assert_int_equal(http_date_parse("Sun, 06 Nov 1994 08:49:37 GMT", &t), 0);
	assert_int_equal(t, 784111777);
	char out[32];
	http_date_format(t, out);
	assert_string_equal(out, "Sun, 06 Nov 1994 08:49:37 GMT");
	static const char *const bad[] = {"", "Sun, 06 Nov 1994 08:49:37 UTC", "Sun, 06 Foo 1994 08:49:37 GMT",
					  "Sunday, 06-Nov-94 08:49:37 GMT", "Sun, 99 Nov 1994 08:49:37 GMT"};
	for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++)
		assert_int_equal(http_date_parse(bad[i], &t), -EINVAL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_pages),
		cmocka_unit_test(test_name_length),
		cmocka_unit_test(test_encode),
		cmocka_unit_test(test_dates),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
