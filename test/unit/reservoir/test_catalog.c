/* Names and figures against a scripted nginx: what a page rounds is asked for, freshness, sources that are away. */
#include "support.h"

#include "base/log.h"
#include "reservoir/catalog.h"

struct fixture {
	char dir[64], url[2][96];
	struct script server;
	struct mount_config mounts[2];
	struct reservoir_config config;
	struct catalog *c;
};

static struct fixture fx;
static atomic_int site_down, site_version, heads;

static void send_page(int sock, const char *lines)
{
	char page[2048];
	const int n =
		snprintf(page, sizeof page,
			 "<html><head><title>Index of /</title></head><pre><a href=\"../\">../</a>\n%s</pre>", lines);
	sayf(sock, "HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nContent-Length: %d\r\n\r\n%s", n, page);
}

static void answer(struct script *s, int sock, const char *method, const char *path, int64_t first, int64_t last)
{
	(void)s;
	(void)first;
	(void)last;
	const int version = atomic_load(&site_version);
	if (atomic_load(&site_down) != 0) {
		sayf(sock, "HTTP/1.1 %d Sorry\r\nContent-Length: 0\r\n\r\n", atomic_load(&site_down));
	} else if (strcmp(method, "HEAD") == 0) {
		atomic_fetch_add(&heads, 1);
		if (strcmp(path, "/lost") == 0)
			sayf(sock, "HTTP/1.1 404 Not Found\r\nContent-Length: 9\r\n\r\n");
		else
			sayf(sock,
			     "HTTP/1.1 200 OK\r\nETag: \"v%d\"\r\nLast-Modified: Tue, 24 Nov 2026 10:11:12 "
			     "GMT\r\nContent-Length: %d\r\n\r\n",
			     version, strcmp(path, "/rounded") == 0 ? 12345 : 1000 + version);
	} else if (strcmp(path, "/") == 0) {
		send_page(sock, version == 1 ? "<a href=\"rounded\">rounded</a> 24-Nov-2026 10:11 12K\n<a "
					       "href=\"exact\">e</a> 24-Nov-2026 10:11 1001\n"
					       "<a href=\"sub/\">s</a> 24-Nov-2026 10:11 -\n<a href=\"lost\">l</a> "
					       "24-Nov-2026 10:11 7\n"
					     : "<a href=\"exact\">e</a> 24-Nov-2026 10:12 1002\n<a "
					       "href=\"fresh\">f</a> 24-Nov-2026 10:12 1002\n");
	} else if (strcmp(path, "/sub/") == 0) {
		send_page(sock, "<a href=\"deep/\">d</a> 24-Nov-2026 10:11 -\n");
	} else if (strcmp(path, "/sub/deep/") == 0) {
		send_page(sock, "<a href=\"x\">x</a> 24-Nov-2026 10:11 1001\n");
	} else {
		sayf(sock, "HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n");
	}
}

static int setup(void **state)
{
	(void)state;
	fx = (struct fixture){.dir = "/tmp/test-catalog-XXXXXX"};
	atomic_store(&site_down, 0);
	atomic_store(&site_version, 1);
	atomic_store(&heads, 0);
	script_start(&fx.server, answer);
	(void)snprintf(fx.url[0], sizeof fx.url[0], "http://127.0.0.1:%u", fx.server.port);
	fx.mounts[0] = (struct mount_config){.path = "/", .source = fx.url[0]};
	fx.config = (struct reservoir_config){
		.name = "t", .mounts = fx.mounts, .n_mounts = 1, .fetch_timeout_ns = 2 * NSEC_PER_SEC};
	return mkdtemp(fx.dir) != NULL ? 0 : -1;
}

static int teardown(void **state)
{
	(void)state;
	catalog_free(fx.c);
	script_stop(&fx.server);
	return file_remove_all(fx.dir, NULL);
}

static void begin(void)
{
	struct error err = {0};
	if (catalog_new(&fx.config, fx.dir, &fx.c, &err) < 0)
		fail_msg("%s", err.msg);
}

static bool complete(void *ctx)
{
	(void)ctx;
	struct catalog_totals t;
	catalog_totals(fx.c, &t);
	return t.complete;
}

static bool ready(void *ctx)
{
	(void)ctx;
	return catalog_ready(fx.c);
}

static uint64_t id_of(const char *name)
{
	struct catalog_attr a;
	return catalog_lookup(fx.c, CATALOG_ROOT, name, &a, NULL) == 0 ? a.id : 0;
}

static void test_crawl_and_exact_figures(void **state)
{
	(void)state;
	begin();
	assert_true(wait_until(complete, NULL, 10));
	struct catalog_totals t;
	catalog_totals(fx.c, &t);
	assert_int_equal(t.files, 4);
	assert_int_equal(t.bytes, 12345 + 1001 + 7 + 1001); /* "12K" was asked for */
	assert_int_equal(atomic_load(&heads), 1);
	struct catalog_attr a;
	assert_int_equal(catalog_lookup(fx.c, CATALOG_ROOT, "exact", &a, NULL), 0);
	assert_int_equal(a.mtime_ns, 1795515072 * NSEC_PER_SEC); /* to the second, which no page has */
	assert_int_equal(catalog_lookup(fx.c, CATALOG_ROOT, "none", &a, NULL), -ENOENT);
	assert_int_equal(catalog_lookup(fx.c, CATALOG_ROOT, "lost", &a, NULL), -ENOENT); /* listed, but not there */
	assert_int_equal(catalog_lookup(fx.c, a.id ^ UINT64_C(1) << 40, "x", &a, NULL), -ESTALE);
	struct catalog_file f;
	assert_int_equal(catalog_file(fx.c, id_of("exact"), true, &f, NULL), 0);
	assert_string_equal(f.path, "exact");
	assert_string_equal(f.version.etag, "\"v1\"");
}

static int count_entry(void *ctx, const struct catalog_attr *a, const char *name, uint64_t cookie)
{
	(void)a;
	(void)name;
	(void)cookie;
	++*(int *)ctx;
	return 0;
}

static void test_never_asks_again(void **state)
{
	(void)state;
	begin();
	assert_true(wait_until(complete, NULL, 10));
	const uint64_t id = id_of("exact"), sub = id_of("sub");
	catalog_free(fx.c);
	atomic_store(&site_down, 503);
	begin(); /* a restart, and the source is away */
	assert_true(catalog_ready(fx.c));
	assert_int_equal(id_of("exact"), id);
	assert_int_equal(id_of("sub"), sub);
	int n = 0;
	assert_int_equal(catalog_readdir(fx.c, CATALOG_ROOT, 0, count_entry, &n, NULL), 0);
	assert_int_equal(n, 4);
	assert_true(complete(NULL));
}

static void test_manual_refresh(void **state)
{
	(void)state;
	fx.config.freshness = FRESHNESS_MANUAL;
	begin();
	assert_true(wait_until(complete, NULL, 10));
	const uint64_t id = id_of("exact");
	atomic_store(&site_version, 2);
	assert_int_equal(id_of("exact"), id);
	assert_int_equal(id_of("fresh"), 0);
	catalog_refresh(fx.c);
	assert_true(id_of("fresh") != 0);
	assert_true(id_of("exact") != id); /* a new version is a new id */
	assert_int_equal(id_of("rounded"), 0);
	struct catalog_file f;
	assert_int_equal(catalog_file(fx.c, id, true, &f, NULL), -ESTALE);
	assert_int_equal(catalog_file(fx.c, id, false, &f, NULL), 0); /* whoever has it open goes on */
	assert_string_equal(f.version.etag, "\"v1\"");
	assert_true(wait_until(complete, NULL, 10));
	struct catalog_totals t;
	catalog_totals(fx.c, &t);
	assert_int_equal(t.bytes, 2004);
}

/* With a time to live, a source that is away leaves what was known, and nobody waits for it at each step. */
static void test_ttl_and_source_away(void **state)
{
	(void)state;
	fx.config.freshness = FRESHNESS_TTL;
	fx.config.ttl_ns = 1;
	begin();
	assert_true(wait_until(complete, NULL, 10));
	const uint64_t id = id_of("exact");
	char path[96];
	struct stat before, after;
	(void)snprintf(path, sizeof path, "%s/index", fx.dir);
	assert_int_equal(stat(path, &before), 0);
	for (int i = 0; i < 10; i++)
		assert_int_equal(id_of("exact"), id); /* asked again each time */
	assert_true(atomic_load(&heads) >= 10);
	assert_int_equal(stat(path, &after), 0);
	assert_int_equal(after.st_size, before.st_size); /* nothing changed: nothing to write */
	atomic_store(&site_down, 500);
	assert_int_equal(id_of("exact"), id);
	const int asked = atomic_load(&fx.server.requests);
	for (int i = 0; i < 10; i++)
		assert_int_equal(id_of("exact"), id);
	assert_int_equal(atomic_load(&fx.server.requests), asked);
}

static void test_on_open(void **state)
{
	(void)state;
	fx.config.freshness = FRESHNESS_ON_OPEN;
	begin();
	assert_true(wait_until(complete, NULL, 10));
	const uint64_t id = id_of("exact");
	struct catalog_file f;
	assert_int_equal(catalog_file(fx.c, id, true, &f, NULL), 0);
	atomic_store(&site_version, 2);
	assert_int_equal(catalog_file(fx.c, id, true, &f, NULL), -ESTALE);
	const uint64_t newer = id_of("exact");
	assert_true(newer != 0 && newer != id);
	assert_int_equal(catalog_file(fx.c, newer, true, &f, NULL), 0);
	assert_string_equal(f.version.etag, "\"v2\"");
}

static void test_source_away(void **state)
{
	(void)state;
	static const struct {
		int status;
		const char *text;
	} cases[] = {{404, "404 Not Found"}, {500, "500 Internal Server Error"}, {403, "403 Forbidden"}};
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		char want[160];
		struct catalog_attr a;
		struct error err = {0};
		struct catalog_mount_status st;
		atomic_store(&site_down, cases[i].status);
		begin();
		/* the crawl's first try and ours say the same */
		(void)catalog_lookup(fx.c, CATALOG_ROOT, "exact", &a, &err);
		assert_int_not_equal(err.code, 0);
		(void)snprintf(want, sizeof want, "%s/: %s", fx.url[0], cases[i].text);
		assert_string_equal(err.msg, want);
		catalog_mount_status(fx.c, 0, &st);
		assert_int_equal(st.state, CATALOG_FAILED);
		assert_string_equal(st.message, want);
		assert_false(catalog_ready(fx.c));
		assert_false(complete(NULL));
		atomic_store(&site_down, 0); /* tried again with back-off */
		assert_true(wait_until(ready, NULL, 10));
		assert_true(id_of("exact") != 0);
		catalog_free(TAKE(fx.c));
		char path[96];
		(void)snprintf(path, sizeof path, "%s/index", fx.dir);
		assert_int_equal(unlink(path), 0);
	}
}

static void test_several_mounts(void **state)
{
	(void)state;
	(void)snprintf(fx.url[1], sizeof fx.url[1], "http://127.0.0.1:%u/sub", fx.server.port);
	fx.mounts[0].path = "/all";
	fx.mounts[1] = (struct mount_config){.path = "/b/part", .source = fx.url[1]};
	fx.config.n_mounts = 2;
	begin();
	assert_true(wait_until(complete, NULL, 10));
	int n = 0;
	assert_int_equal(catalog_readdir(fx.c, CATALOG_ROOT, 0, count_entry, &n, NULL), 0);
	assert_int_equal(n, 2);
	struct catalog_attr a;
	assert_int_equal(catalog_lookup(fx.c, CATALOG_ROOT, "b", &a, NULL), 0);
	assert_int_equal(catalog_lookup(fx.c, a.id, "part", &a, NULL), 0);
	assert_int_equal(catalog_lookup(fx.c, a.id, "deep", &a, NULL), 0);
	assert_int_equal(catalog_lookup(fx.c, a.id, "x", &a, NULL), 0);
	struct catalog_file f;
	assert_int_equal(catalog_file(fx.c, a.id, true, &f, NULL), 0);
	assert_string_equal(f.path, "deep/x");
	assert_string_equal(source_url(f.source), fx.url[1]);
}

int main(int argc, char **argv)
{
	if (argc == 2)
		cmocka_set_test_filter(argv[1]);
#define T(fn) cmocka_unit_test_setup_teardown(fn, setup, teardown)
	const struct CMUnitTest tests[] = {
		T(test_crawl_and_exact_figures), T(test_never_asks_again), T(test_manual_refresh),
		T(test_ttl_and_source_away),     T(test_on_open),          T(test_source_away),
		T(test_several_mounts),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
