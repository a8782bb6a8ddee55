/* Connectors: file:// on a directory, http:// against nginx-like pages and against servers that misbehave. */
#include "support.h"

#include "base/clock.h"
#include "reservoir/fetch.h"
#include "reservoir/source.h"
#include "reservoir/store.h"

#define SIZE     300000u
#define ETAG     "\"5f-abc\""
#define MODIFIED "Tue, 24 Nov 2026 10:11:12 GMT"

enum fault {
	GOOD,
	WHOLE_BODY,  /* 200 to a range */
	WHOLE_OTHER, /* 200 to a range, of another version */
	OTHER_ETAG,  /* 206 of another version */
	OTHER_TOTAL,
	WRONG_RANGE,
	NO_RANGE_HEADER,
	SHORT, /* the connection ends in the body */
	LONG_BODY,
	STALL, /* nothing comes any more */
	STATUS_404,
	STATUS_403,
	STATUS_416,
	STATUS_500,
	CLOSE, /* no answer at all */
};

static struct script server;
static atomic_int fault_now, fault_count; /* the next so many requests fail so */

static void send_range(int sock, enum fault f, int64_t first, int64_t last)
{
	const char *etag = f == OTHER_ETAG || f == WHOLE_OTHER ? "\"66-abc\"" : ETAG;
	const bool whole = f == WHOLE_BODY || f == WHOLE_OTHER || first < 0;
	if (whole) {
		first = 0;
		last = SIZE - 1;
	}
	const size_t n = (size_t)(last - first + 1);
	sayf(sock, "HTTP/1.1 %s\r\nETag: %s\r\nLast-Modified: " MODIFIED "\r\n",
	     whole ? "200 OK" : "206 Partial Content", etag);
	if (!whole && f != NO_RANGE_HEADER)
		sayf(sock, "Content-Range: bytes %lld-%lld/%u\r\n", (long long)(f == WRONG_RANGE ? first + 1 : first),
		     (long long)(f == WRONG_RANGE ? last + 1 : last), f == OTHER_TOTAL ? SIZE + 9 : SIZE);
	sayf(sock, "Content-Length: %zu\r\n\r\n", f == LONG_BODY ? n + 100 : n);
	CLEANUP(free_p) unsigned char *body = malloc(n + 100);
	content(f == WHOLE_OTHER || f == OTHER_ETAG ? 2 : 1, (uint64_t)first, body, n + 100);
	say(sock, body, f == SHORT ? n / 2 : f == STALL ? 1000 : f == LONG_BODY ? n + 100 : n);
}

static void answer(struct script *s, int sock, const char *method, const char *path, int64_t first, int64_t last)
{
	(void)s;
	enum fault f = GOOD;
	if (atomic_fetch_sub(&fault_count, 1) > 0)
		f = (enum fault)atomic_load(&fault_now);
	if (strcmp(method, "HEAD") == 0) {
		sayf(sock,
		     "HTTP/1.1 200 OK\r\nETag: " ETAG "\r\nLast-Modified: " MODIFIED "\r\nContent-Length: %u\r\n\r\n",
		     SIZE);
		return;
	}
	if (strcmp(path, "/d%20x/") == 0) {
		static const char page[] = "<html><head><title>Index of /d x/</title></head><h1>Index of /d "
					   "x/</h1><pre><a href=\"../\">../</a>\n"
					   "<a href=\"a%20b\">a b</a>  24-Nov-2026 10:11  300000\n<a "
					   "href=\"s/\">s/</a>  24-Nov-2026 10:11  -\n</pre>";
		sayf(sock, "HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nContent-Length: %zu\r\n\r\n%s",
		     sizeof page - 1, page);
		return;
	}
	static const struct {
		enum fault f;
		const char *line;
	} plain[] = {{STATUS_404, "404 Not Found"},
		     {STATUS_403, "403 Forbidden"},
		     {STATUS_416, "416 Range Not Satisfiable"},
		     {STATUS_500, "500 Internal Server Error"}};
	for (size_t i = 0; i < ARRAY_LEN(plain); i++)
		if (plain[i].f == f || (f == GOOD && strncmp(path, "/gone", 5) == 0 && i == 0)) {
			sayf(sock, "HTTP/1.1 %s\r\nContent-Length: 4\r\n\r\noops", plain[i].line);
			return;
		}
	if (f != CLOSE)
		send_range(sock, f, first, last);
	if (f == SHORT || f == CLOSE)
		(void)shutdown(sock, SHUT_RDWR);
}

static int setup(void **state)
{
	(void)state;
	script_start(&server, answer);
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	script_stop(&server);
	return 0;
}

static struct source *connect_to(const char *path, int64_t timeout)
{
	char url[128];
	struct source *s = NULL;
	(void)snprintf(url, sizeof url, "http://127.0.0.1:%u%s", server.port, path);
	assert_int_equal(source_new(url, NULL, timeout, &s, NULL), 0);
	return s;
}

static int list_into(void *ctx, const struct source_entry *e)
{
	strbuf_addf(ctx, "%s%s %llu%s;", e->name, e->st.type == SOURCE_DIR ? "/" : "", (unsigned long long)e->st.size,
		    e->st.exact ? "!" : "");
	return 0;
}

static void test_http_list_and_stat(void **state)
{
	(void)state;
	struct source *s = connect_to("", 5 * NSEC_PER_SEC);
	struct strbuf b = STRBUF_INIT(4096);
	struct error err = {0};
	assert_int_equal(source_list(s, "d x", list_into, &b, &err), 0);
	assert_string_equal(b.p, "a b 300000;s/ 0!;");
	strbuf_clear(&b);
	struct source_stat st;
	assert_int_equal(source_stat(s, "d x/a b", &st, NULL), 0);
	assert_int_equal(st.size, SIZE);
	assert_true(st.exact);
	assert_string_equal(st.etag, ETAG);
	assert_int_equal(st.mtime_ns, 1795515072 * NSEC_PER_SEC);
	assert_int_equal(source_list(s, "gone", list_into, &b, &err), -ENOENT);
	char want[128];
	(void)snprintf(want, sizeof want, "http://127.0.0.1:%u/gone/: 404 Not Found", server.port);
	assert_string_equal(err.msg, want);
	source_free(s);
}

struct sink {
	uint64_t off, n;
	bool wrong;
};

static int check_sink(void *ctx, const void *data, size_t n)
{
	struct sink *k = ctx;
	k->wrong |= !content_is(1, k->off + k->n, data, n);
	k->n += n;
	return 0;
}

static const struct source_stat version = {.type = SOURCE_FILE,
					   .exact = true,
					   .size_exact = true,
					   .size = SIZE,
					   .mtime_ns = INT64_C(1795515072000000000),
					   .etag = ETAG};

/* Whatever the server does: the right bytes, or an error; never bytes of another version. */
static void test_http_read_faults(void **state)
{
	(void)state;
	static const struct {
		const char *name;
		enum fault f;
		int rc;
		const char *msg;
	} cases[] = {
		{"good", GOOD, 0, NULL},
		{"200 to a range", WHOLE_BODY, 0, NULL},
		{"200 of another version", WHOLE_OTHER, -ESTALE, "changed at the source"},
		{"206 of another version", OTHER_ETAG, -ESTALE, "changed at the source"},
		{"another total", OTHER_TOTAL, -ESTALE, "changed at the source"},
		{"another range", WRONG_RANGE, -EPROTO, "another range"},
		{"206 without Content-Range", NO_RANGE_HEADER, -EPROTO, "Content-Range"},
		{"cut", SHORT, -ECONNRESET, NULL},
		{"stall", STALL, -ETIMEDOUT, NULL},
		{"404", STATUS_404, -ENOENT, "404 Not Found"},
		{"403", STATUS_403, -EACCES, "403 Forbidden"},
		{"416", STATUS_416, -ESTALE, "416"},
		{"500", STATUS_500, -EIO, "500 Internal Server Error"},
		{"no answer", CLOSE, -ECONNRESET, NULL},
	};
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct source *s = connect_to("", NSEC_PER_SEC);
		struct sink k = {.off = 5000};
		struct error err = {0};
		atomic_store(&fault_now, cases[i].f);
		atomic_store(&fault_count, 1);
		const int rc = source_read(s, "f", &version, 5000, 100000, check_sink, &k, &err);
		if (rc != cases[i].rc || k.wrong || (rc == 0 && k.n != 100000) || k.n > 100000 ||
		    (cases[i].msg != NULL && strstr(err.msg, cases[i].msg) == NULL))
			fail_msg("case '%s': rc %d, %llu bytes%s, '%s'", cases[i].name, rc, (unsigned long long)k.n,
				 k.wrong ? " (wrong ones)" : "", err.msg);
		if (rc < 0)
			assert_non_null(strstr(err.msg, "http://127.0.0.1:"));
		atomic_store(&fault_count, 0);
		source_free(s);
	}
}

static void test_url_is_checked(void **state)
{
	(void)state;
	struct source *s = NULL;
	struct error err = {0};
	assert_int_equal(source_new("http://h/a?b", NULL, NSEC_PER_SEC, &s, &err), -EINVAL);
	assert_non_null(strstr(err.msg, "no query"));
}

/* --- the fetcher on top --- */

struct stack {
	char dir[64];
	struct store *store;
	struct fetcher *fetcher;
	struct source *source;
	struct fetch_file *ff;
};

static void stack_begin(struct stack *k, unsigned retries, uint64_t rate)
{
	*k = (struct stack){.dir = "/tmp/test-source-XXXXXX"};
	assert_non_null(mkdtemp(k->dir));
	const struct tier_config tier = {
		.medium = "SSD", .path = k->dir, .quota_bytes = 1 << 24, .high = 1, .low = 0.5};
	assert_int_equal(store_open(&tier, 1, 65536, &k->store, NULL), 0);
	const struct fetcher_options o = {.concurrency = 4,
					  .retries = retries,
					  .timeout_ns = NSEC_PER_SEC,
					  .read_ahead = 4 * 65536,
					  .rate_limit = rate};
	assert_int_equal(fetcher_new(k->store, &o, &k->fetcher, NULL), 0);
	k->source = connect_to("", NSEC_PER_SEC);
	const struct catalog_file cf = {.source = k->source, .version = version, .path = "f"};
	assert_int_equal(fetch_file_new(k->fetcher, &cf, &k->ff, NULL), 0);
}

static void stack_end(struct stack *k)
{
	(void)fetch_file_unref(k->ff);
	source_cancel(k->source);
	fetcher_free(k->fetcher);
	source_free(k->source);
	store_close(k->store);
	assert_int_equal(file_remove_all(k->dir, NULL), 0);
}

static bool stored_right(struct stack *k)
{
	CLEANUP(close_fd) int fd = store_file_open_fd(fetch_file_store(k->ff));
	CLEANUP(free_p) unsigned char *buf = malloc(SIZE);
	return fd >= 0 && file_pread_full(fd, buf, SIZE, 0) == SIZE && content_is(1, 0, buf, SIZE);
}

static void test_fetch_retries(void **state)
{
	(void)state;
	static const struct {
		const char *name;
		enum fault f;
		int times, rc;
	} cases[] = {
		{"good", GOOD, 0, 0},
		{"500 twice", STATUS_500, 2, 0},
		{"cut twice", SHORT, 2, 0},
		{"stall once", STALL, 1, 0},
		{"no answer twice", CLOSE, 2, 0},
		{"wrong range once", WRONG_RANGE, 1, 0},
		{"longer body", LONG_BODY, 1, 0},
		{"500 for ever", STATUS_500, 1000, -EIO},
		{"404", STATUS_404, 1000, -ENOENT},
		{"changed", OTHER_ETAG, 1000, -ESTALE},
	};
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct stack k;
		struct error err = {0};
		stack_begin(&k, 3, 0);
		atomic_store(&fault_now, cases[i].f);
		atomic_store(&fault_count, cases[i].times);
		const int rc = fetch_ensure(k.ff, 0, store_file_blocks(fetch_file_store(k.ff)), &err);
		if (rc != cases[i].rc || (rc == 0 && !stored_right(&k)))
			fail_msg("case '%s': rc %d, '%s'", cases[i].name, rc, err.msg);
		atomic_store(&fault_count, 0);
		if (rc == -EIO) /* the source is well again: so are we */
			assert_int_equal(fetch_ensure(k.ff, 0, 5, &err), 0);
		stack_end(&k);
	}
}

struct waiter {
	pthread_t thread;
	struct fetch_file *ff;
	int rc;
};

static void *wait_main(void *arg)
{
	struct waiter *w = arg;
	w->rc = fetch_ensure(w->ff, 0, 5, NULL);
	return NULL;
}

/* Many readers of the same blocks cost one fetch. */
static void test_single_flight(void **state)
{
	(void)state;
	struct stack k;
	struct waiter w[16];
	stack_begin(&k, 0, 3000000);
	for (size_t i = 0; i < ARRAY_LEN(w); i++) {
		w[i] = (struct waiter){.ff = k.ff, .rc = 1};
		assert_int_equal(pthread_create(&w[i].thread, NULL, wait_main, &w[i]), 0);
	}
	for (size_t i = 0; i < ARRAY_LEN(w); i++) {
		(void)pthread_join(w[i].thread, NULL);
		assert_int_equal(w[i].rc, 0);
	}
	assert_int_equal(fetcher_fetched_bytes(k.fetcher), SIZE);
	assert_true(stored_right(&k));
	stack_end(&k);
}

static void test_rate_limit(void **state)
{
	(void)state;
	struct stack k;
	stack_begin(&k, 0, SIZE * 2);
	const int64_t start = clock_mono_ns();
	assert_int_equal(fetch_ensure(k.ff, 0, 5, NULL), 0);
	const int64_t took = clock_mono_ns() - start;
	assert_true(took > 350 * NSEC_PER_MSEC); /* half a second's worth of bytes */
	stack_end(&k);
}

static void test_direct(void **state)
{
	(void)state;
	struct stack k;
	unsigned char buf[5000];
	struct error err = {0};
	stack_begin(&k, 1, 0);
	atomic_store(&fault_now, STATUS_500);
	atomic_store(&fault_count, 1);
	assert_int_equal(fetch_direct(k.ff, 12345, buf, sizeof buf, &err), 0);
	assert_true(content_is(1, 12345, buf, sizeof buf));
	assert_int_equal(store_file_cached(fetch_file_store(k.ff)), 0);
	stack_end(&k);
}

/* --- file:// --- */

static void test_file(void **state)
{
	(void)state;
	char dir[] = "/tmp/test-source-XXXXXX", url[96], path[96];
	assert_non_null(mkdtemp(dir));
	make_file(dir, "a", 1, 1000);
	(void)snprintf(path, sizeof path, "%s/out", dir);
	assert_int_equal(symlink("/etc/passwd", path), 0);
	(void)snprintf(path, sizeof path, "%s/fifo", dir);
	assert_int_equal(mkfifo(path, 0600), 0);
	(void)snprintf(url, sizeof url, "file://%s/", dir);
	struct source *s = NULL;
	assert_int_equal(source_new(url, NULL, NSEC_PER_SEC, &s, NULL), 0);
	struct strbuf b = STRBUF_INIT(4096);
	assert_int_equal(source_list(s, "", list_into, &b, NULL), 0);
	assert_non_null(strstr(b.p, "a 1000!;"));
	assert_null(strstr(b.p, "fifo"));
	strbuf_clear(&b);

	struct source_stat st;
	struct error err = {0};
	struct sink k = {0};
	assert_int_equal(source_stat(s, "a", &st, NULL), 0);
	assert_int_equal(source_read(s, "a", &st, 0, 1000, check_sink, &k, NULL), 0);
	assert_int_equal(k.n, 1000);
	assert_false(k.wrong);
	/* nothing outside is ever opened */
	assert_true(source_read(s, "out", &st, 0, 10, check_sink, &k, &err) < 0);
	assert_true(source_stat(s, "../etc/passwd", &st, &err) < 0);
	assert_int_equal(source_stat(s, "none", &st, &err), -ENOENT);
	make_file(dir, "a", 3, 1000);
	assert_int_equal(source_read(s, "a", &(struct source_stat){.type = SOURCE_FILE, .size = 1000, .mtime_ns = 5}, 0,
				     10, check_sink, &k, &err),
			 -ESTALE);
	source_free(s);
	assert_int_equal(file_remove_all(dir, NULL), 0);
}

int main(int argc, char **argv)
{
	if (argc == 2)
		cmocka_set_test_filter(argv[1]);
	(void)signal(SIGIO, SIG_IGN);
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_http_list_and_stat),
		cmocka_unit_test(test_http_read_faults),
		cmocka_unit_test(test_url_is_checked),
		cmocka_unit_test(test_fetch_retries),
		cmocka_unit_test(test_single_flight),
		cmocka_unit_test(test_rate_limit),
		cmocka_unit_test(test_direct),
		cmocka_unit_test(test_file),
	};
	return cmocka_run_group_tests(tests, setup, teardown);
}
