/* What Reservoir's tests share: content that can be checked anywhere, a source directory, a worker and a mount as processes. */
#pragma once

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <netinet/in.h>
#include <poll.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/mount.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/error.h"
#include "base/file.h"
#include "base/process.h"
#include "base/str.h"
#include "base/strbuf.h"

#define UNUSED __attribute__((unused))

/* --- content: each 8 bytes follow from the file's seed and their place --- */

static UNUSED uint64_t mix(uint64_t x)
{
	x += UINT64_C(0x9e3779b97f4a7c15);
	x = (x ^ x >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
	x = (x ^ x >> 27) * UINT64_C(0x94d049bb133111eb);
	return x ^ x >> 31;
}

static UNUSED void content(uint64_t seed, uint64_t off, void *buf, size_t n)
{
	unsigned char *p = buf;
	for (size_t i = 0; i < n;) {
		const uint64_t word = mix(seed * 1000003 + (off + i) / 8), at = (off + i) % 8;
		const size_t take = 8 - at < n - i ? (size_t)(8 - at) : n - i;
		memcpy(p + i, (const unsigned char *)&word + at, take);
		i += take;
	}
}

static UNUSED bool content_is(uint64_t seed, uint64_t off, const void *buf, size_t n)
{
	unsigned char want[4096];
	for (size_t i = 0; i < n; i += sizeof want) {
		const size_t take = n - i < sizeof want ? n - i : sizeof want;
		content(seed, off + i, want, take);
		if (memcmp(want, (const unsigned char *)buf + i, take) != 0)
			return false;
	}
	return true;
}

static UNUSED void make_file(const char *dir, const char *name, uint64_t seed, size_t size)
{
	char path[512];
	(void)snprintf(path, sizeof path, "%s/%s", dir, name);
	CLEANUP(close_fd) int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
	assert_true(fd >= 0);
	unsigned char buf[65536];
	for (size_t off = 0; off < size; off += sizeof buf) {
		const size_t n = size - off < sizeof buf ? size - off : sizeof buf;
		content(seed, off, buf, n);
		assert_int_equal(file_write_all(fd, buf, n), 0);
	}
}

static UNUSED bool wait_until(bool (*done)(void *ctx), void *ctx, int seconds)
{
	const int64_t deadline = clock_mono_ns() + seconds * NSEC_PER_SEC;
	while (!done(ctx)) {
		if (clock_mono_ns() > deadline)
			return false;
		(void)poll(NULL, 0, 10); /* another process comes up: nothing to wait on */
	}
	return true;
}

/* --- a scripted HTTP server: what it does to each request is the test's --- */

struct script;
/* Answer one request on @sock; @range_first is -1 without a Range header. */
typedef void (*script_fn)(struct script *s, int sock, const char *method, const char *path, int64_t range_first,
			  int64_t range_last);

struct script {
	int listen;
	uint16_t port;
	script_fn fn;
	void *ctx;
	pthread_t thread;
	atomic_bool stop;
	atomic_int requests, step;
};

static UNUSED void say(int sock, const void *data, size_t n)
{
	while (n > 0) {
		const ssize_t k = send(sock, data, n, MSG_NOSIGNAL);
		if (k <= 0)
			return; /* the client left */
		data = (const char *)data + k;
		n -= (size_t)k;
	}
}

static UNUSED void sayf(int sock, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
static UNUSED void sayf(int sock, const char *fmt, ...)
{
	char buf[4096];
	va_list ap;
	va_start(ap, fmt);
	const int n = vsnprintf(buf, sizeof buf, fmt, ap);
	va_end(ap);
	say(sock, buf, (size_t)n);
}

static UNUSED void *script_one(void *arg)
{
	struct {
		struct script *s;
		int sock;
	} c;
	memcpy(&c, arg, sizeof c);
	free(arg);
	char head[16384];
	size_t n = 0;
	while (n < sizeof head - 1) {
		const ssize_t k = recv(c.sock, head + n, sizeof head - 1 - n, 0);
		if (k <= 0)
			break;
		n += (size_t)k;
		head[n] = '\0';
		char *end;
		while ((end = strstr(head, "\r\n\r\n")) != NULL) {
			char method[16] = "", path[2048] = "";
			int64_t first = -1, last = -1;
			*end = '\0';
			(void)sscanf(head, "%15s %2047s", method, path);
			const char *range = strcasestr(head, "\r\nRange: bytes=");
			if (range != NULL)
				(void)sscanf(range + 15, "%" SCNd64 "-%" SCNd64, &first, &last);
			atomic_fetch_add(&c.s->requests, 1);
			c.s->fn(c.s, c.sock, method, path, first, last);
			const size_t used = (size_t)(end + 4 - head);
			memmove(head, head + used, n - used + 1);
			n -= used;
		}
	}
	(void)close(c.sock);
	return NULL;
}

static UNUSED void *script_main(void *arg)
{
	struct script *s = arg;
	while (!atomic_load(&s->stop)) {
		struct pollfd p = {.fd = s->listen, .events = POLLIN};
		if (poll(&p, 1, 20) <= 0)
			continue;
		struct {
			struct script *s;
			int sock;
		} *c = calloc(1, sizeof *c);
		c->s = s;
		c->sock = accept4(s->listen, NULL, NULL, SOCK_CLOEXEC);
		pthread_t t;
		if (pthread_create(&t, NULL, script_one, c) == 0)
			(void)pthread_detach(t);
	}
	return NULL;
}

static UNUSED int listen_any(uint16_t *ret_port)
{
	const int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	struct sockaddr_in a = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	socklen_t n = sizeof a;
	assert_int_equal(bind(fd, (struct sockaddr *)&a, sizeof a), 0);
	assert_int_equal(listen(fd, 64), 0);
	assert_int_equal(getsockname(fd, (struct sockaddr *)&a, &n), 0);
	*ret_port = ntohs(a.sin_port);
	return fd;
}

static UNUSED void script_start(struct script *s, script_fn fn)
{
	*s = (struct script){.fn = fn};
	s->listen = listen_any(&s->port);
	assert_int_equal(pthread_create(&s->thread, NULL, script_main, s), 0);
}

static UNUSED void script_stop(struct script *s)
{
	atomic_store(&s->stop, true);
	(void)pthread_join(s->thread, NULL);
	(void)close(s->listen);
}
