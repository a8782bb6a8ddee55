/* The two sides of gRPC against each other, the frame format, the generated messages. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <pthread.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/error.h"
#include "base/str.h"
#include "net/grpc.h"
#include "net/grpc_frame.h"
#include "net/proto/csi.pb-c.h"

struct fixture {
	char dir[32], path[64];
	struct grpc_server *server;
	pthread_mutex_t lock;
	pthread_cond_t changed;
	int waiting;
	bool released;
};

static void reply_data(struct grpc_reply *reply, const uint8_t *data, size_t n)
{
	reply->data = malloc(n + 1);
	assert_non_null(reply->data);
	if (n > 0)
		memcpy(reply->data, data, n);
	reply->n = n;
}

static void echo(void *ctx, const uint8_t *in, size_t n, int64_t deadline, struct grpc_reply *reply)
{
	(void)ctx;
	(void)deadline;
	reply_data(reply, in, n);
}

static void refuse(void *ctx, const uint8_t *in, size_t n, int64_t deadline, struct grpc_reply *reply)
{
	(void)ctx;
	(void)in;
	(void)n;
	(void)deadline;
	reply->code = GRPC_ABORTED;
	(void)str_copy(reply->message, sizeof reply->message, "100% busy\n\xc3\xa4"); /* fits */
}

static void left(void *ctx, const uint8_t *in, size_t n, int64_t deadline, struct grpc_reply *reply)
{
	const int64_t seconds = (deadline - clock_mono_ns()) / NSEC_PER_SEC;
	const uint8_t s = (uint8_t)seconds;
	(void)ctx;
	(void)in;
	(void)n;
	reply_data(reply, &s, 1);
}

static void block(void *ctx, const uint8_t *in, size_t n, int64_t deadline, struct grpc_reply *reply)
{
	struct fixture *f = ctx;
	(void)deadline;
	pthread_mutex_lock(&f->lock);
	f->waiting++;
	pthread_cond_broadcast(&f->changed);
	while (!f->released)
		pthread_cond_wait(&f->changed, &f->lock);
	pthread_mutex_unlock(&f->lock);
	reply_data(reply, in, n);
}

static const struct grpc_method methods[] = {
	{"/test.S/Echo", echo},
	{"/test.S/Fail", refuse},
	{"/test.S/Left", left},
	{"/test.S/Block", block},
};

static int setup(void **state)
{
	struct fixture *f = calloc(1, sizeof *f);
	struct error err = {0};
	assert_non_null(f);
	(void)str_copy(f->dir, sizeof f->dir, "/tmp/sluice-grpc-XXXXXX"); /* fits */
	assert_non_null(mkdtemp(f->dir));
	(void)snprintf(f->path, sizeof f->path, "%s/s.sock", f->dir);
	pthread_mutex_init(&f->lock, NULL);
	pthread_cond_init(&f->changed, NULL);
	if (grpc_server_new(f->path, methods, ARRAY_LEN(methods), f, &f->server, &err) != 0)
		fail_msg("%s", err.msg);
	*state = f;
	return 0;
}

static int teardown(void **state)
{
	struct fixture *f = *state;
	grpc_server_free(f->server);
	assert_int_equal(access(f->path, F_OK), -1);
	assert_int_equal(rmdir(f->dir), 0);
	pthread_cond_destroy(&f->changed);
	pthread_mutex_destroy(&f->lock);
	free(f);
	return 0;
}

static void test_calls(void **state)
{
	struct fixture *f = *state;
	static uint8_t large[GRPC_MESSAGE_MAX + 1];
	static const struct {
		const char *name, *path;
		size_t n;
		int64_t timeout_ns;
		int rc, status;
		const char *msg;
	} cases[] = {
		{"empty message", "/test.S/Echo", 0, 5 * NSEC_PER_SEC, 0, 0, ""},
		{"small message", "/test.S/Echo", 10, 5 * NSEC_PER_SEC, 0, 0, ""},
		{"largest message", "/test.S/Echo", GRPC_MESSAGE_MAX, 60 * NSEC_PER_SEC, 0, 0, ""},
		{"too large", "/test.S/Echo", GRPC_MESSAGE_MAX + 1, 5 * NSEC_PER_SEC, -EMSGSIZE, 0, "too large"},
		{"error", "/test.S/Fail", 1, 5 * NSEC_PER_SEC, -EREMOTEIO, GRPC_ABORTED,
		 "call /test.S/Fail: 100% busy \xc3\xa4"},
		{"unknown method", "/test.S/None", 1, 5 * NSEC_PER_SEC, -EREMOTEIO, GRPC_UNIMPLEMENTED,
		 "/test.S/None is not served"},
		{"late", "/test.S/Block", 1, NSEC_PER_SEC / 10, -ETIMEDOUT, 0, "timed out"},
	};
	memset(large, 'x', sizeof large);
	f->released = false;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct error err = {0};
		CLEANUP(free_p) uint8_t *data = NULL;
		size_t n = 0;
		const int rc =
			grpc_call(f->path, cases[i].path, large, cases[i].n, cases[i].timeout_ns, &data, &n, &err);
		if (rc != cases[i].rc || err.status != cases[i].status || strstr(err.msg, cases[i].msg) == NULL ||
		    (rc == 0 && (n != cases[i].n || memcmp(data, large, n) != 0)))
			fail_msg("case '%s': rc %d, status %d, n %zu, '%s'", cases[i].name, rc, err.status, n, err.msg);
	}
	pthread_mutex_lock(&f->lock);
	f->released = true;
	pthread_cond_broadcast(&f->changed);
	pthread_mutex_unlock(&f->lock);
}

static void test_deadline_travels(void **state)
{
	struct fixture *f = *state;
	CLEANUP(free_p) uint8_t *data = NULL;
	size_t n = 0;
	struct error err = {0};
	assert_int_equal(grpc_call(f->path, "/test.S/Left", NULL, 0, 30 * NSEC_PER_SEC, &data, &n, &err), 0);
	assert_int_equal(n, 1);
	assert_in_range(data[0], 20, 30);
}

static void test_socket(void **state)
{
	struct fixture *f = *state;
	struct stat st;
	struct grpc_server *second = NULL;
	struct error err = {0};
	uint8_t *data = NULL;
	size_t n = 0;
	CLEANUP(free_p) char *stale = str_printf("%s/stale", f->dir);
	assert_int_equal(stat(f->path, &st), 0);
	assert_int_equal(st.st_mode & 0777, 0600);
	assert_int_equal(grpc_server_new(f->path, methods, 1, f, &second, &err), -EADDRINUSE);
	assert_non_null(strstr(err.msg, "another process serves there"));

	CLEANUP(close_fd) int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	struct sockaddr_un sa = {.sun_family = AF_UNIX};
	(void)str_copy(sa.sun_path, sizeof sa.sun_path, stale); /* fits */
	assert_int_equal(bind(fd, (struct sockaddr *)&sa, sizeof sa), 0);
	assert_int_equal(grpc_call(stale, "/test.S/Echo", NULL, 0, NSEC_PER_SEC, &data, &n, &err), -ECONNREFUSED);
	assert_int_equal(grpc_server_new(stale, methods, 1, f, &second, &err), 0);
	grpc_server_free(second);
	assert_int_equal(grpc_call(stale, "/test.S/Echo", NULL, 0, NSEC_PER_SEC, &data, &n, &err), -ENOENT);
	assert_non_null(strstr(err.msg, stale));
}

/* A peer that speaks something else must neither be answered as gRPC nor disturb the others. */
static void test_garbage(void **state)
{
	struct fixture *f = *state;
	static const char *const inputs[] = {"GET / HTTP/1.1\r\nHost: x\r\n\r\n",
					     "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\xff\xff\xff\xff\xff\xff\xff\xff\xff"};
	for (size_t i = 0; i < ARRAY_LEN(inputs); i++) {
		CLEANUP(close_fd) int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
		struct sockaddr_un sa = {.sun_family = AF_UNIX};
		char buf[4096];
		(void)str_copy(sa.sun_path, sizeof sa.sun_path, f->path); /* fits */
		assert_int_equal(connect(fd, (struct sockaddr *)&sa, sizeof sa), 0);
		assert_true(send(fd, inputs[i], strlen(inputs[i]), MSG_NOSIGNAL) > 0);
		while (recv(fd, buf, sizeof buf, 0) > 0) /* ends when the server closes: a hang is the test's timeout */
			;
	}
	test_deadline_travels(state);
}

struct caller {
	struct fixture *f;
	int failures;
};

static void *caller_main(void *arg)
{
	struct caller *c = arg;
	for (int i = 0; i < 30; i++) {
		uint8_t in[100] = {(uint8_t)i}, *out = NULL;
		size_t n = 0;
		c->failures +=
			grpc_call(c->f->path, "/test.S/Echo", in, sizeof in, 20 * NSEC_PER_SEC, &out, &n, NULL) != 0 ||
			n != sizeof in || memcmp(in, out, n) != 0;
		free(out);
	}
	return NULL;
}

static void test_many_callers(void **state)
{
	pthread_t threads[6];
	struct caller callers[6];
	for (size_t i = 0; i < 6; i++) {
		callers[i] = (struct caller){.f = *state};
		assert_int_equal(pthread_create(&threads[i], NULL, caller_main, &callers[i]), 0);
	}
	for (size_t i = 0; i < 6; i++) {
		pthread_join(threads[i], NULL);
		assert_int_equal(callers[i].failures, 0);
	}
}

static void *block_main(void *arg)
{
	struct fixture *f = arg;
	uint8_t *out = NULL;
	size_t n = 0;
	const int rc =
		grpc_call(f->path, "/test.S/Block", (const uint8_t *)"abc", 3, 20 * NSEC_PER_SEC, &out, &n, NULL);
	free(out);
	return rc == 0 && n == 3 ? f : NULL;
}

static void *free_main(void *arg)
{
	grpc_server_free(arg);
	return NULL;
}

/* The end of the server waits for a call that runs, and the caller gets its answer. */
static void test_stop_waits(void **state)
{
	struct fixture *f = *state;
	pthread_t caller, freer;
	void *ok = NULL;
	f->released = false;
	f->waiting = 0;
	assert_int_equal(pthread_create(&caller, NULL, block_main, f), 0);
	pthread_mutex_lock(&f->lock);
	while (f->waiting == 0)
		pthread_cond_wait(&f->changed, &f->lock);
	pthread_mutex_unlock(&f->lock);
	assert_int_equal(pthread_create(&freer, NULL, free_main, TAKE(f->server)), 0);
	while (access(f->path, F_OK) == 0) /* the stop has begun */
		sched_yield();
	pthread_mutex_lock(&f->lock);
	f->released = true;
	pthread_cond_broadcast(&f->changed);
	pthread_mutex_unlock(&f->lock);
	pthread_join(caller, &ok);
	pthread_join(freer, NULL);
	assert_ptr_equal(ok, f);
}

static void test_frames(void **state)
{
	static const struct {
		const char *name, *data;
		size_t n;
		int rc;
		size_t want_n;
	} cases[] = {
		{"nothing", "", 0, -ENODATA, 0},
		{"cut prefix", "\0\0\0", 3, -EPROTO, 0},
		{"empty message", "\0\0\0\0\0", 5, 0, 0},
		{"one byte", "\0\0\0\0\1x", 6, 0, 1},
		{"cut message", "\0\0\0\0\2x", 6, -EPROTO, 0},
		{"two messages", "\0\0\0\0\0\0\0\0\0\0", 10, -EPROTO, 0},
		{"compressed", "\1\0\0\0\1x", 6, -EOPNOTSUPP, 0},
		{"bad flag", "\2\0\0\0\1x", 6, -EPROTO, 0},
		{"huge", "\0\xff\xff\xff\xffx", 6, -EFBIG, 0},
	};
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		const uint8_t *msg = NULL;
		size_t n = 0;
		const int rc = grpc_frame_parse((const uint8_t *)cases[i].data, cases[i].n, &msg, &n);
		if (rc != cases[i].rc || n != cases[i].want_n)
			fail_msg("case '%s': rc %d, n %zu", cases[i].name, rc, n);
	}
}

static void test_timeouts(void **state)
{
	static const struct {
		const char *text;
		int rc;
		int64_t ns;
	} cases[] = {
		{"1n", 0, 1},           {"20u", 0, 20000},        {"100m", 0, 100000000},      {"2S", 0, 2000000000},
		{"1M", 0, 60000000000}, {"1H", 0, 3600000000000}, {"99999999H", 0, INT64_MAX}, {"", -EINVAL, 0},
		{"S", -EINVAL, 0},      {"12", -EINVAL, 0},       {"123456789S", -EINVAL, 0},  {"-1S", -EINVAL, 0},
		{"1s", -EINVAL, 0},
	};
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		int64_t ns = 0;
		const int rc = grpc_timeout_parse(cases[i].text, strlen(cases[i].text), &ns);
		if (rc != cases[i].rc || ns != cases[i].ns)
			fail_msg("case '%s': rc %d, %lld", cases[i].text, rc, (long long)ns);
	}
	static const int64_t round[] = {1, 99999999, 100000001, 120 * NSEC_PER_SEC, INT64_MAX / 2};
	for (size_t i = 0; i < ARRAY_LEN(round); i++) {
		char text[32];
		int64_t ns = 0;
		grpc_timeout_format(round[i], text);
		assert_int_equal(grpc_timeout_parse(text, strlen(text), &ns), 0);
		if (ns < round[i] || ns - round[i] > round[i] / 50)
			fail_msg("%lld became '%s'", (long long)round[i], text);
	}
}

/* Field numbers and types of the messages, against bytes worked out by hand from the specification's numbers. */
static void test_messages(void **state)
{
	static const uint8_t bytes[] = {
		0x0a, 1, 'v',  0x22, 2,    '/', 't', 0x2a, 6, 0x12, 0,    0x1a, 2, 0x08, 3,
		0x30, 1, 0x42, 6,    0x0a, 1,   'k', 0x12, 1, 'w',  0xfa, 0x06, 1, 'z', /* field 111: a newer version's */
	};
	(void)state;
	Csi__V1__NodePublishVolumeRequest *r = csi__v1__node_publish_volume_request__unpack(NULL, sizeof bytes, bytes);
	assert_non_null(r);
	assert_string_equal(r->volume_id, "v");
	assert_string_equal(r->target_path, "/t");
	assert_true(r->readonly);
	assert_int_equal(r->volume_capability->access_type_case, CSI__V1__VOLUME_CAPABILITY__ACCESS_TYPE_MOUNT);
	assert_int_equal(r->volume_capability->access_mode->mode,
			 CSI__V1__VOLUME_CAPABILITY__ACCESS_MODE__MODE__MULTI_NODE_READER_ONLY);
	assert_int_equal(r->n_volume_context, 1);
	assert_string_equal(r->volume_context[0]->key, "k");
	assert_string_equal(r->volume_context[0]->value, "w");
	csi__v1__node_publish_volume_request__free_unpacked(r, NULL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_calls, setup, teardown),
		cmocka_unit_test_setup_teardown(test_deadline_travels, setup, teardown),
		cmocka_unit_test_setup_teardown(test_socket, setup, teardown),
		cmocka_unit_test_setup_teardown(test_garbage, setup, teardown),
		cmocka_unit_test_setup_teardown(test_many_callers, setup, teardown),
		cmocka_unit_test_setup_teardown(test_stop_waits, setup, teardown),
		cmocka_unit_test(test_frames),
		cmocka_unit_test(test_timeouts),
		cmocka_unit_test(test_messages),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
