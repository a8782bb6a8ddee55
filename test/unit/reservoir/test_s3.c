/* S3: signatures against Amazon's published examples, listings, and the connector against a scripted server. */
#include "support.h"

#include "base/clock.h"
#include "base/error.h"
#include "base/file.h"
#include "reservoir/s3.h"
#include "reservoir/s3_list.h"
#include "reservoir/s3_sign.h"
#include "reservoir/source.h"

/* Amazon S3 API Reference, "Examples: Signature Calculations in AWS Signature Version 4". */
static void test_signature(void **state)
{
	(void)state;
	static const struct {
		const char *label, *path, *signature, *names;
		struct s3_pair query[2];
		size_t n_query;
		struct http_header header;
	} cases[] = {
		{"an object's range",
		 "/test.txt",
		 "f0e8bdb87c964420e857bd35b5d6ed310bd44f0170aba48dd91039c6036bdb41",
		 "host;range;x-amz-content-sha256;x-amz-date",
		 {{0}},
		 0,
		 {"range", "bytes=0-9"}},
		{"a parameter without a value",
		 "/",
		 "fea454ca298b7da1c68078a5d1bdbfbbe0d65c699e0f91ac7a200a0136783543",
		 "host;x-amz-content-sha256;x-amz-date",
		 {{"lifecycle", ""}},
		 1,
		 {0}},
		{"a listing, parameters out of order",
		 "/",
		 "34b48302e7b5fa45bde8084f4b7868a86f0a534bc59db6670ed5711ef69dc6f7",
		 "host;x-amz-content-sha256;x-amz-date",
		 {{"prefix", "J"}, {"max-keys", "2"}},
		 2,
		 {0}},
	};
	const struct s3_credentials c = {"AKIAIOSFODNN7EXAMPLE", "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY", NULL};
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct s3_pair query[2] = {cases[i].query[0], cases[i].query[1]};
		CLEANUP(free_p) char *text = s3_query(query, cases[i].n_query);
		const struct s3_request rq = {.method = "GET",
					      .host = "examplebucket.s3.amazonaws.com",
					      .path = cases[i].path,
					      .query = text,
					      .headers = &cases[i].header,
					      .n_headers = cases[i].header.name != NULL ? 1 : 0,
					      .region = "us-east-1",
					      .time_s = 1369353600}; /* 2013-05-24 */
		struct s3_signature s;
		char want[600];
		(void)snprintf(want, sizeof want,
			       "AWS4-HMAC-SHA256 Credential=AKIAIOSFODNN7EXAMPLE/20130524/us-east-1/s3/aws4_request,"
			       "SignedHeaders=%s,Signature=%s",
			       cases[i].names, cases[i].signature);
		print_message("%s\n", cases[i].label);
		assert_int_equal(s3_sign(&rq, &c, &s), 0);
		assert_string_equal(s.date, "20130524T000000Z");
		assert_string_equal(s.headers[s.n - 1].value, want);
	}
}

static void test_signature_limits(void **state)
{
	(void)state;
	char *long_text = malloc(100001);
	memset(long_text, 'x', 100000);
	long_text[100000] = '\0';
	struct s3_signature s;
	const struct s3_request good = {
		.method = "GET", .host = "h", .path = "/", .query = "", .region = "r", .time_s = 1};
	struct s3_request rq = good;
	const struct s3_credentials c = {"a", "s", "a session"};
	assert_int_equal(s3_sign(&good, &c, &s), 0);
	assert_int_equal(s.n, S3_HEADERS);
	assert_string_equal(s.headers[2].value, "a session");
	rq.path = long_text;
	assert_int_equal(s3_sign(&rq, &c, &s), -E2BIG);
	rq = good;
	rq.region = long_text;
	assert_int_equal(s3_sign(&rq, &c, &s), -E2BIG);
	assert_int_equal(s3_sign(&good, &(struct s3_credentials){long_text, "s", NULL}, &s), -E2BIG);
	assert_int_equal(s3_sign(&good, &(struct s3_credentials){"a", long_text, NULL}, &s), -E2BIG);
	free(long_text);
}

#define HEAD "<?xml version=\"1.0\"?><ListBucketResult xmlns=\"http://s3.amazonaws.com/doc/2006-03-01/\">"
#define TAIL "</ListBucketResult>"
#define OBJECT(key, size)                                                                                              \
	"<Contents><Key>" key                                                                                          \
	"</Key><LastModified>2026-11-24T10:11:12.500Z</LastModified><ETag>&quot;e&quot;</ETag><Size>" size             \
	"</Size></Contents>"
#define DIR(prefix) "<CommonPrefixes><Prefix>" prefix "</Prefix></CommonPrefixes>"

struct seen {
	char text[1000];
	int stop_with;
};

static int see(void *ctx, const struct source_entry *e)
{
	struct seen *s = ctx;
	const size_t n = strlen(s->text);
	(void)snprintf(s->text + n, sizeof s->text - n, "%s%s:%llu ", e->name, e->st.type == SOURCE_DIR ? "/" : "",
		       (unsigned long long)e->st.size);
	if (e->st.type == SOURCE_FILE &&
	    (!e->st.exact || !e->st.size_exact || e->st.mtime_ns != INT64_C(1795515072500000000)))
		(void)snprintf(s->text, sizeof s->text, "bad figures");
	return s->stop_with;
}

static void test_listing(void **state)
{
	(void)state;
	static const struct {
		const char *label, *prefix, *xml, *seen, *token, *error;
		int rc;
		uint64_t skipped;
	} cases[] = {
		{"files and directories", "p/", HEAD OBJECT("p/a", "7") OBJECT("p/b &amp; c", "0") DIR("p/d/") TAIL,
		 "a:7 b & c:0 d/:0 ", "", NULL, 0, 0},
		{"an empty bucket", "", HEAD TAIL, "", "", NULL, 0, 0},
		{"a directory's own marker is no entry", "p/", HEAD OBJECT("p/", "0") OBJECT("p/x", "1") TAIL, "x:1 ",
		 "", NULL, 0, 0},
		{"keys that are no names", "p/",
		 HEAD OBJECT("p/..", "1") OBJECT("p/.", "1") DIR("p//") DIR("p/../") OBJECT("p/ok", "1") TAIL, "ok:1 ",
		 "", NULL, 0, 4},
		{"more to come", "",
		 HEAD "<IsTruncated>true</IsTruncated><NextContinuationToken>t=1/+</NextContinuationToken>" TAIL, "",
		 "t=1/+", NULL, 0, 0},
		{"a token on the last page", "",
		 HEAD "<IsTruncated>false</IsTruncated><NextContinuationToken>t</NextContinuationToken>" TAIL, "", "",
		 NULL, 0, 0},
		{"more to come, but from where?", "", HEAD "<IsTruncated>true</IsTruncated>" TAIL, "", "",
		 "no continuation token", -EPROTO, 0},
		{"no size", "", HEAD OBJECT("a", "many") TAIL, "", "", "a size is no number", -EPROTO, 0},
		{"a size beyond all files", "", HEAD OBJECT("a", "18446744073709551615") TAIL, "", "",
		 "a size is no number", -EPROTO, 0},
		{"no time", "", HEAD "<Contents><Key>a</Key><LastModified>now</LastModified></Contents>" TAIL, "", "",
		 "a time is none", -EPROTO, 0},
		{"another prefix", "p/", HEAD OBJECT("q/a", "1") TAIL, "", "", "outside of what was asked for", -EPROTO,
		 0},
		{"a page of HTML", "", "<html><body>Welcome</body></html>", "", "", "is this an S3 endpoint?", -EPROTO,
		 0},
		{"no XML", "", "no", "", "", "line 1", -EPROTO, 0},
		{"cut", "", HEAD OBJECT("a", "1"), NULL, "", "line 1", -EPROTO, 0},
		{"entities", "", "<!DOCTYPE x [<!ENTITY a \"aaaa\">]><ListBucketResult/>", "", "", "document type",
		 -EPROTO, 0},
		{"deep", "", HEAD "<a><a><a><a><a><a><a><a><a><a><a><a><a><a><a><a>", "", "", "too deeply", -EPROTO, 0},
	};
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct seen s = {0};
		struct s3_page page;
		struct error err = {0};
		print_message("%s\n", cases[i].label);
		assert_int_equal(
			s3_list_parse(cases[i].xml, strlen(cases[i].xml), cases[i].prefix, see, &s, &page, &err),
			cases[i].rc);
		if (cases[i].error != NULL)
			assert_non_null(strstr(err.msg, cases[i].error));
		if (cases[i].seen != NULL)
			assert_string_equal(s.text, cases[i].seen);
		assert_int_equal(page.skipped, cases[i].skipped);
		if (cases[i].rc == 0)
			assert_string_equal(page.token, cases[i].token);
	}
	struct seen s = {.stop_with = -ENOSPC};
	struct s3_page page;
	static const char two[] = HEAD OBJECT("a", "1") OBJECT("b", "1") TAIL;
	assert_int_equal(s3_list_parse(two, sizeof two - 1, "", see, &s, &page, NULL), -ENOSPC);
	assert_string_equal(s.text, "a:1 ");
}

static void test_error_code(void **state)
{
	(void)state;
	static const struct {
		const char *xml, *code;
	} cases[] = {
		{"<Error><Code>NoSuchBucket</Code><Message>x</Message></Error>", "NoSuchBucket"},
		{"<Error><Message><Code>Deep</Code></Message></Error>", ""},
		{"<Error><Code>Half", "Half"},
		{"<Error><Code>a&#10;b</Code></Error>", "a?b"},
		{"no XML", ""},
		{"", ""},
	};
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		char out[20];
		s3_error_code(cases[i].xml, strlen(cases[i].xml), out, sizeof out);
		assert_string_equal(out, cases[i].code);
	}
}

/* --- the connector --- */

static struct script server;
static char last_line[300]; /* of the request that came last; the test waits for the answer before it looks */

static void xml_answer(int sock, const char *status, const char *xml)
{
	sayf(sock, "HTTP/1.1 %s\r\nContent-Type: application/xml\r\nContent-Length: %zu\r\n\r\n%s", status, strlen(xml),
	     xml);
}

static void answer(struct script *s, int sock, const char *method, const char *path, int64_t first, int64_t last)
{
	(void)s;
	(void)snprintf(last_line, sizeof last_line, "%s %s", method, path);
	if (strstr(path, "prefix=circle%2F") != NULL)
		xml_answer(sock, "200 OK",
			   HEAD
			   "<IsTruncated>true</IsTruncated><NextContinuationToken>again</NextContinuationToken>" TAIL);
	else if (strstr(path, "continuation-token=t%2B1") != NULL)
		xml_answer(sock, "200 OK", HEAD OBJECT("p/b", "3") TAIL);
	else if (strstr(path, "list-type=2") != NULL && str_has_prefix(path, "/bucket/"))
		xml_answer(sock, "200 OK",
			   HEAD
			   "<IsTruncated>true</IsTruncated><NextContinuationToken>t+1</NextContinuationToken>" OBJECT(
				   "p/a%", "5") DIR("p/d/") TAIL);
	else if (strstr(path, "list-type=2") != NULL)
		xml_answer(sock, "404 Not Found", "<Error><Code>NoSuchBucket</Code></Error>");
	else if (strcmp(path, "/bucket/p/a%25") == 0 && first >= 0)
		sayf(sock,
		     "HTTP/1.1 206 Partial Content\r\nETag: \"e\"\r\nContent-Range: bytes %d-%d/5\r\nContent-Length: %d\r\n\r\n%.*s",
		     (int)first, (int)last, (int)(last - first + 1), (int)(last - first + 1), &"hello"[first]);
	else
		xml_answer(sock, "412 Precondition Failed", "<Error><Code>PreconditionFailed</Code></Error>");
}

static int keep(void *ctx, const void *data, size_t n)
{
	(void)snprintf(ctx, 20, "%.*s", (int)n, (const char *)data);
	return 0;
}

static void test_connector(void **state)
{
	(void)state;
	char endpoint[64], got[20] = "", dir[] = "/tmp/test-s3.XXXXXX";
	(void)snprintf(endpoint, sizeof endpoint, "http://127.0.0.1:%d/", server.port);
	assert_non_null(mkdtemp(dir));
	CLEANUP(free_p) char *key = str_printf("%s/key", dir), *secret = NULL;
	secret = str_printf("%s/secret", dir);
	const struct s3_options o = {.endpoint = endpoint, .access_key_file = key, .secret_key_file = secret};
	struct source *s = NULL;
	struct error err = {0};
	struct seen seen = {0};
	assert_int_equal(source_new("s3://bucket/p", &o, NSEC_PER_SEC, &s, &err), 0);
	/* credentials are looked for when they are needed */
	assert_int_equal(source_list(s, "", see, &seen, &err), -EACCES);
	assert_non_null(strstr(err.msg, "credentials of the bucket"));
	assert_int_equal(file_write_atomic(key, 0600, "AK\n", 3, NULL), 0);
	assert_int_equal(file_write_atomic(secret, 0600, "SK\n", 3, NULL), 0);
	assert_int_equal(source_list(s, "", see, &seen, &err), 0);
	assert_string_equal(seen.text, "a%:5 d/:0 b:3 ");
	assert_string_equal(
		last_line, "GET /bucket/?continuation-token=t%2B1&delimiter=%2F&list-type=2&max-keys=1000&prefix=p%2F");
	const struct source_stat v = {.type = SOURCE_FILE, .size = 5, .etag = "\"e\"", .exact = true};
	assert_int_equal(source_read(s, "a%", &v, 1, 3, keep, got, &err), 0);
	assert_string_equal(got, "ell");
	assert_int_equal(source_read(s, "gone", &v, 1, 3, keep, got, &err), -ESTALE);
	assert_non_null(strstr(err.msg, "PreconditionFailed"));
	source_free(s);

	assert_int_equal(source_new("s3://bucket/circle", &o, NSEC_PER_SEC, &s, &err), 0);
	assert_int_equal(source_list(s, "", see, &seen, &err), -EPROTO);
	assert_non_null(strstr(err.msg, "the listing goes in circles"));
	source_free(s);

	assert_int_equal(source_new("s3://other", &o, NSEC_PER_SEC, &s, &err), 0);
	assert_int_equal(source_list(s, "", see, &seen, &err), -ENOENT);
	assert_non_null(strstr(err.msg, "/other/: 404 Not Found: NoSuchBucket"));
	source_free(s);
	(void)unlink(key);
	(void)unlink(secret);
	(void)rmdir(dir);
}

static void test_refused(void **state)
{
	(void)state;
	static const struct {
		const char *url, *endpoint, *why;
	} cases[] = {
		{"s3://", NULL, "s3://BUCKET/PREFIX is wanted"},
		{"s3://b/x", NULL, "3 to 63 letters"},
		{"s3://a?b/x", NULL, "3 to 63 letters"},
		{"s3://bucket", "minio:9000", "is no http(s)://HOST[:PORT]"},
		{"s3://bucket", "http://host/path", "is no http(s)://HOST[:PORT]"},
		{"s3://bucket", "https://", "is no http(s)://HOST[:PORT]"},
	};
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct source *s = NULL;
		struct error err = {0};
		const struct s3_options o = {.endpoint = cases[i].endpoint};
		assert_int_equal(source_new(cases[i].url, &o, NSEC_PER_SEC, &s, &err), -EINVAL);
		assert_non_null(strstr(err.msg, cases[i].why));
	}
}

static int start_server(void **state)
{
	(void)state;
	script_start(&server, answer);
	return 0;
}

static int stop_server(void **state)
{
	(void)state;
	script_stop(&server);
	return 0;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_signature), cmocka_unit_test(test_signature_limits),
		cmocka_unit_test(test_listing),   cmocka_unit_test(test_error_code),
		cmocka_unit_test(test_connector), cmocka_unit_test(test_refused),
	};
	return cmocka_run_group_tests(tests, start_server, stop_server);
}
