/* The worker as a whole, in this process: its HTTP answers, and its socket against clients that behave and that do not. */
#include "support.h"

#include <sys/un.h>

#include "net/http_client.h"
#include "reservoir/client.h"
#include "reservoir/config.h"
#include "reservoir/worker.h"
#include "json/json.h"

#define BLOCK 65536u
#define SIZE  (5u * BLOCK + 77)

struct fixture {
	char dir[64], source[96], socket[96];
	struct reservoir_config config;
	struct worker *w;
	struct client *client;
};

static struct fixture fx;

static int setup(void **state)
{
	(void)state;
	fx = (struct fixture){.dir = "/tmp/test-worker-XXXXXX"};
	if (mkdtemp(fx.dir) == NULL)
		return -1;
	(void)snprintf(fx.source, sizeof fx.source, "%s/src", fx.dir);
	(void)snprintf(fx.socket, sizeof fx.socket, "%s/run/s", fx.dir);
	if (mkdir(fx.source, 0755) < 0)
		return -1;
	make_file(fx.source, "f", 1, SIZE);
	char text[1024];
	const int n = snprintf(
		text, sizeof text,
		"{\"dataset\":{\"namespace\":\"n\",\"name\":\"d\"},\"mounts\":[{\"path\":\"/\",\"source\":\"file://"
		"%s\"}],"
		"\"tiers\":[{\"medium\":\"SSD\",\"path\":\"%s/cache\",\"quotaBytes\":10000000}],\"blockSizeBytes\":%u,"
		"\"readAheadBytes\":0,\"listen\":\"127.0.0.1:0\",\"socket\":\"%s\"}",
		fx.source, fx.dir, BLOCK, fx.socket);
	if (reservoir_config_parse(text, (size_t)n, "test", &fx.config, NULL) < 0 ||
	    worker_new(&fx.config, &fx.w, NULL) < 0)
		return -1;
	return client_new(fx.socket, 2 * NSEC_PER_SEC, &fx.client, NULL);
}

static int teardown(void **state)
{
	(void)state;
	client_free(fx.client);
	worker_free(fx.w);
	reservoir_config_clear(&fx.config);
	return file_remove_all(fx.dir, NULL);
}

static int get(const char *method, const char *path, char **body)
{
	struct http_client *c;
	struct http_answer a;
	char url[128];
	assert_int_equal(http_client_new(&(struct http_client_options){.no_proxy = true}, &c, NULL), 0);
	(void)snprintf(url, sizeof url, "http://127.0.0.1:%u%s", worker_port(fx.w), path);
	assert_int_equal(http_client_do(c, &(struct http_call){.method = method, .url = url}, &a, NULL), 0);
	const int status = a.status;
	if (body != NULL)
		*body = TAKE(a.body);
	http_answer_clear(&a);
	http_client_free(c);
	return status;
}

static ptrdiff_t call(enum rv_op op, const void *in, size_t n, const char *name, void *out, size_t size, int *fd)
{
	struct error err = {0};
	return client_call(fx.client, &(struct client_request){op, in, n, name}, out, size, fd, &err);
}

static uint64_t look_up(const char *name)
{
	union {
		struct rv_attr a;
		char text[RV_TEXT_MAX];
	} out;
	return call(RV_LOOKUP, &(struct rv_id){1}, sizeof(struct rv_id), name, &out, sizeof out, NULL) == sizeof out.a
		       ? out.a.id
		       : 0;
}

static bool status_ready(void *ctx)
{
	(void)ctx;
	return get("GET", "/readyz", NULL) == 200;
}

static void test_http(void **state)
{
	(void)state;
	assert_true(wait_until(status_ready, NULL, 10));
	assert_int_equal(get("GET", "/healthz", NULL), 200);
	assert_int_equal(get("GET", "/nothing", NULL), 404);
	assert_int_equal(get("POST", "/v1/refresh", NULL), 202);
	CLEANUP(free_p) char *text = NULL, *metrics = NULL;
	assert_int_equal(get("GET", "/v1/status", &text), 200);
	JSON_AUTO j = NULL;
	assert_int_equal(json_parse(text, strlen(text), &j, NULL), 0);
	assert_true(json_bool(j, "ready", false));
	assert_int_equal(json_int(j, "ufs.bytes", -1), SIZE);
	assert_int_equal(json_int(j, "ufs.files", -1), 1);
	assert_int_equal(json_int(j, "cache.capacityBytes", -1), 10000000);
	assert_int_equal(json_int(j, "cache.cachedBytes", -1), 0);
	assert_string_equal(json_str(j, "mounts[path=/].state", ""), "Ready");
	assert_int_equal(get("GET", "/metrics", &metrics), 200);
	assert_non_null(strstr(metrics, "\nsluice_reservoir_cache_capacity_bytes 10000000\n"));
}

static void test_open_ensure_release(void **state)
{
	(void)state;
	const uint64_t id = look_up("f");
	assert_true(id != 0);
	union {
		struct rv_opened opened;
		struct rv_ensured ensured;
		char text[RV_TEXT_MAX];
		unsigned char bytes[RV_READ_MAX];
	} out;
	int fd = -1;
	const struct rv_range range = {.id = id, .first = 4, .n = 2, .want_fd = 1};
	assert_int_equal(call(RV_ENSURE, &range, sizeof range, NULL, &out, sizeof out, &fd), -EBADF); /* not open */
	assert_int_equal(
		call(RV_OPEN, &(struct rv_open){.id = id}, sizeof(struct rv_open), NULL, &out, sizeof out, &fd),
		sizeof out.opened);
	assert_int_equal(out.opened.size, SIZE);
	assert_int_equal(out.opened.blocks, 6);
	assert_int_equal(fd, -1); /* nothing is stored yet */
	assert_int_equal(call(RV_ENSURE, &range, sizeof range, NULL, &out, sizeof out, &fd), sizeof out.ensured);
	assert_true(fd >= 0);
	unsigned char buf[1000];
	assert_int_equal(pread(fd, buf, sizeof buf, 4 * BLOCK + 5), sizeof buf);
	assert_true(content_is(1, 4 * BLOCK + 5, buf, sizeof buf));
	(void)close(fd);
	const struct rv_range beyond[] = {{.id = id, .first = 5, .n = 2},
					  {.id = id, .first = 0, .n = 0},
					  {.id = id, .first = 7, .n = 1},
					  {.id = id, .first = UINT32_MAX, .n = UINT32_MAX}};
	for (size_t i = 0; i < ARRAY_LEN(beyond); i++)
		assert_int_equal(call(RV_ENSURE, &beyond[i], sizeof beyond[i], NULL, &out, sizeof out, NULL), -EINVAL);
	const struct rv_bytes bytes = {.id = id, .off = SIZE - 100, .n = 100},
			      too_far = {.id = id, .off = SIZE - 100, .n = 101};
	assert_int_equal(call(RV_READ, &bytes, sizeof bytes, NULL, &out, sizeof out, NULL), 100);
	assert_true(content_is(1, SIZE - 100, out.bytes, 100));
	assert_int_equal(call(RV_READ, &too_far, sizeof too_far, NULL, &out, sizeof out, NULL), -EINVAL);
	assert_int_equal(call(RV_RELEASE, &(struct rv_id){id}, sizeof(struct rv_id), NULL, &out, sizeof out, NULL), 0);
	assert_int_equal(call(RV_RELEASE, &(struct rv_id){id}, sizeof(struct rv_id), NULL, &out, sizeof out, NULL),
			 -EBADF);
	assert_int_equal(look_up("none"), 0);
	assert_int_equal(
		call(RV_OPEN, &(struct rv_open){.id = 12345}, sizeof(struct rv_open), NULL, &out, sizeof out, NULL),
		-ESTALE);
}

static int raw_connect(void)
{
	struct sockaddr_un a = {.sun_family = AF_UNIX};
	const int s = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
	const struct timeval tv = {.tv_sec = 5};
	(void)setsockopt(s, SOL_SOCKET, SO_RCVTIMEO, &tv, sizeof tv);
	assert_int_equal(str_copy(a.sun_path, sizeof a.sun_path, fx.socket), 0);
	assert_int_equal(connect(s, (struct sockaddr *)&a, sizeof a), 0);
	return s;
}

static bool no_open_files(void *ctx)
{
	(void)ctx;
	CLEANUP(free_p) char *metrics = NULL;
	return get("GET", "/metrics", &metrics) == 200 && strstr(metrics, "\nsluice_reservoir_open_files 0\n") != NULL;
}

static void test_strange_clients(void **state)
{
	(void)state;
	struct rv_head h = {.op = RV_HELLO};
	struct rv_hello hello = {.version = RV_VERSION + 1, .session = 1};
	char text[RV_TEXT_MAX + 1];
	CLEANUP(close_fd) int old = raw_connect();
	assert_int_equal(rv_send(old, &h, &hello, sizeof hello, -1), 0);
	const ptrdiff_t n = rv_recv(old, &h, text, sizeof text - 1, NULL);
	assert_true(n > 0);
	text[n] = '\0';
	assert_int_equal(h.status, -EPROTO);
	assert_non_null(strstr(text, "another version"));
	assert_int_equal(rv_recv(old, &h, text, sizeof text, NULL), -ECONNRESET);

	CLEANUP(close_fd) int mute = raw_connect(); /* an operation before the greeting: the connection ends */
	h = (struct rv_head){.op = RV_STATFS};
	assert_int_equal(rv_send(mute, &h, NULL, 0, -1), 0);
	assert_int_equal(rv_recv(mute, &h, text, sizeof text, NULL), -ECONNRESET);

	CLEANUP(close_fd) int s = raw_connect();
	hello.version = RV_VERSION;
	h = (struct rv_head){.op = RV_HELLO};
	assert_int_equal(rv_send(s, &h, &hello, sizeof hello, -1), 0);
	assert_int_equal(rv_recv(s, &h, text, sizeof text, NULL), sizeof(struct rv_welcome));
	for (uint32_t op = 0; op < RV_OPS + 3; op++) { /* every operation, too short */
		const bool bare = op == RV_STATFS || op == RV_CACHE || op == RV_REFRESH; /* they take nothing */
		h = (struct rv_head){.op = op};
		assert_int_equal(rv_send(s, &h, "x", bare ? 0 : 1, -1), 0);
		assert_true(rv_recv(s, &h, text, sizeof text, NULL) >= 0);
		assert_int_equal(h.status, bare ? 0 : -EPROTO);
	}
	CLEANUP(free_p) char *huge = calloc(1, RV_PAYLOAD_MAX);
	assert_int_equal(rv_send(s, &h, huge, RV_PAYLOAD_MAX, -1),
			 0); /* longer than any request: the connection ends */
	assert_int_equal(rv_recv(s, &h, text, sizeof text, NULL), -ECONNRESET);
}

/* What a mount had open is released when its last connection ends. */
static void test_session_ends(void **state)
{
	(void)state;
	const uint64_t id = look_up("f");
	struct rv_head h = {.op = RV_HELLO};
	const struct rv_hello hello = {.version = RV_VERSION, .session = 77};
	char text[RV_TEXT_MAX];
	int s[2];
	for (size_t i = 0; i < 2; i++) {
		s[i] = raw_connect();
		h = (struct rv_head){.op = RV_HELLO};
		assert_int_equal(rv_send(s[i], &h, &hello, sizeof hello, -1), 0);
		assert_int_equal(rv_recv(s[i], &h, text, sizeof text, NULL), sizeof(struct rv_welcome));
	}
	const struct rv_open open_it = {.id = id};
	h = (struct rv_head){.op = RV_OPEN};
	assert_int_equal(rv_send(s[0], &h, &open_it, sizeof open_it, -1), 0);
	assert_int_equal(rv_recv(s[0], &h, text, sizeof text, NULL), sizeof(struct rv_opened));
	(void)close(s[0]);
	const struct rv_range range = {.id = id, .first = 0, .n = 1};
	h = (struct rv_head){.op = RV_ENSURE};
	assert_int_equal(rv_send(s[1], &h, &range, sizeof range, -1), 0);
	assert_int_equal(rv_recv(s[1], &h, text, sizeof text, NULL), sizeof(struct rv_ensured));
	assert_int_equal(h.status, 0); /* the other connection keeps the session */
	assert_false(no_open_files(NULL));
	(void)close(s[1]);
	assert_true(wait_until(no_open_files, NULL, 10));
}

static void test_second_worker_refused(void **state)
{
	(void)state;
	struct worker *second = NULL;
	struct error err = {0};
	assert_true(worker_new(&fx.config, &second, &err) < 0);
	assert_non_null(strstr(err.msg, "another worker"));
}

int main(int argc, char **argv)
{
	if (argc == 2)
		cmocka_set_test_filter(argv[1]);
#define T(fn) cmocka_unit_test_setup_teardown(fn, setup, teardown)
	const struct CMUnitTest tests[] = {
		T(test_http),         T(test_open_ensure_release),   T(test_strange_clients),
		T(test_session_ends), T(test_second_worker_refused),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
