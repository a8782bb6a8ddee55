/* Each call to the kernel that the client's side of gRPC, and what listens, makes fails once, or moves half. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/error.h"
#include "base/file.h"
#include "base/str.h"
#include "fault_io.h"
#include "net/grpc.h"
#include "net/listen.h"

static char dir[64], path[96];

static int setup(void **state)
{
	(void)state;
	(void)snprintf(dir, sizeof dir, "/tmp/sluice-io-XXXXXX");
	assert_non_null(mkdtemp(dir));
	(void)snprintf(path, sizeof path, "%s/s", dir);
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	return file_remove_all(dir, NULL);
}

static void listening(void **state)
{
	(void)state;
	IO_LOOP(ENOBUFS)
	{
		struct error err = {0};
		uint16_t port = 0;
		CLEANUP(close_fd) int fd = listen_tcp("127.0.0.1", 0, &port, &err);
		IO_END;
		assert_true(io_hit() ? fd == -ENOBUFS && err.msg[0] != '\0' : fd >= 0 && port > 0);
	}
	IO_LOOP(ENOBUFS)
	{
		struct error err = {0};
		CLEANUP(close_fd) int fd = listen_unix(path, &err);
		IO_END;
		assert_true(io_hit() ? fd == -ENOBUFS && err.msg[0] != '\0' : fd >= 0);
		assert_int_equal(access(path, F_OK) == 0, fd >= 0); /* nothing is left of a failure */
	}
}

static void echo(void *ctx, const uint8_t *in, size_t n, int64_t deadline, struct grpc_reply *reply)
{
	(void)ctx;
	(void)deadline;
	reply->data = malloc(n + 1);
	if (reply->data == NULL) {
		reply->code = GRPC_RESOURCE_EXHAUSTED;
		return;
	}
	memcpy(reply->data, in, n);
	reply->n = n;
}

static void calls(void **state)
{
	static const struct grpc_method methods[] = {{"/a/B", echo}};
	static const int codes[] = {0, EINTR, EAGAIN, ECONNRESET};
	struct grpc_server *s = NULL;
	(void)state;
	assert_int_equal(grpc_server_new(path, methods, 1, NULL, &s, NULL), 0);
	for (size_t i = 0; i < ARRAY_LEN(codes); i++) {
		IO_LOOP(codes[i])
		{
			uint8_t *out = NULL;
			size_t n = 0;
			struct error err = {0};
			const int rc =
				grpc_call(path, "/a/B", (const uint8_t *)"hello", 5, 20 * NSEC_PER_SEC, &out, &n, &err);
			IO_END;
			if (rc == 0)
				assert_true(n == 5 && memcmp(out, "hello", 5) == 0);
			else
				assert_true(io_hit() && codes[i] != 0 && out == NULL && err.msg[0] != '\0');
			assert_true(codes[i] != ECONNRESET || !io_hit() || rc == -ECONNRESET);
			free(out);
		}
	}
	grpc_server_free(s);
}

int main(void)
{
#define CASE(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
	const struct CMUnitTest tests[] = {CASE(listening), CASE(calls)};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
