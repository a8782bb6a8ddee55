/*
 * A scripted server on a raw socket of loopback: the script writes what it likes, whole answers, half a chunk, or nothing, and the
 * connection is closed when it returns. One thread a connection, one request each.
 */
#pragma once

#include <arpa/inet.h>
#include <assert.h>
#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/error.h"
#include "kube/client.h"
#include "kube/config.h"

#define FAKE_MAX 4096

/* What each of the server's threads does first. */
#ifndef FAKE_THREAD_BEGIN
#define FAKE_THREAD_BEGIN (void)0
#endif

struct fake_api;

struct fake_request {
	char line[2048]; /* "GET /path?query" */
	char *head;      /* all header lines */
	char *body;
	int fd;
	unsigned n; /* counts from 0 */
};

struct fake_api {
	int listen_fd;
	uint16_t port;
	pthread_t thread;
	atomic_bool stop;
	void (*script)(struct fake_api *f, struct fake_request *q);
	void *ctx;
	pthread_mutex_t lock; /* guards all below */
	pthread_t workers[FAKE_MAX];
	unsigned n;
	char *lines[FAKE_MAX]; /* what was asked, in order */
};

static inline void fake_send(int fd, const void *data, size_t n)
{
	const char *p = data;
	while (n > 0) {
		ssize_t k = send(fd, p, n, MSG_NOSIGNAL);
		if (k <= 0)
			return; /* the client has gone: the test sees that on its own side */
		p += k;
		n -= (size_t)k;
	}
}

static inline void fake_text(int fd, const char *text)
{
	fake_send(fd, text, strlen(text));
}

static inline void fake_reply(int fd, int status, const char *extra, const char *body)
{
	char head[512];
	(void)snprintf(
		head, sizeof head,
		"HTTP/1.1 %d X\r\nContent-Type: application/json\r\nConnection: close\r\nContent-Length: %zu\r\n%s\r\n",
		status, strlen(body), extra);
	fake_text(fd, head);
	fake_text(fd, body);
}

static inline void fake_stream_begin(int fd)
{
	fake_text(fd, "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nConnection: close\r\nTransfer-Encoding: "
		      "chunked\r\n\r\n");
}

static inline void fake_chunk(int fd, const char *text)
{
	char head[32];
	(void)snprintf(head, sizeof head, "%zx\r\n", strlen(text));
	fake_text(fd, head);
	fake_text(fd, text);
	fake_text(fd, "\r\n");
}

static inline void fake_stream_end(int fd)
{
	fake_text(fd, "0\r\n\r\n");
}

/* Hold the connection until the server stops or the client goes. */
static inline void fake_hold(struct fake_api *f, int fd)
{
	struct pollfd p = {.fd = fd, .events = POLLRDHUP};
	while (!atomic_load(&f->stop) && poll(&p, 1, 20) == 0)
		;
}

/* Wait until @flag is at least @want (at most 10 s); false when that did not happen. */
static inline bool fake_wait(const atomic_int *flag, int want)
{
	const int64_t deadline = clock_mono_ns() + 10 * NSEC_PER_SEC;
	while (atomic_load(flag) < want && clock_mono_ns() < deadline)
		(void)poll(NULL, 0, 2);
	return atomic_load(flag) >= want;
}

struct fake_job {
	struct fake_api *f;
	struct fake_request q;
};

static inline void *fake_serve(void *arg)
{
	FAKE_THREAD_BEGIN;
	struct fake_job *job = arg;
	struct fake_request *q = &job->q;
	char *buf = calloc(1, 1 << 16);
	size_t n = 0;
	char *end = NULL;
	while (n < (1 << 16) - 1 && (end = strstr(buf, "\r\n\r\n")) == NULL) {
		ssize_t k = recv(q->fd, buf + n, (1 << 16) - 1 - n, 0);
		if (k <= 0)
			break;
		n += (size_t)k;
	}
	if (end != NULL) {
		const char *cl = strcasestr(buf, "\r\ncontent-length:");
		const size_t want = (size_t)(end + 4 - buf) + (cl != NULL ? strtoul(cl + 17, NULL, 10) : 0);
		for (ssize_t k; n < want && (k = recv(q->fd, buf + n, want - n, 0)) > 0;)
			n += (size_t)k;
		*end = '\0';
		q->head = buf;
		q->body = end + 4;
		(void)snprintf(q->line, sizeof q->line, "%.*s", (int)strcspn(buf, "\r"), buf);
		char *http = strstr(q->line, " HTTP/");
		if (http != NULL)
			*http = '\0';
		pthread_mutex_lock(&job->f->lock);
		job->f->lines[q->n] = strdup(q->line);
		pthread_mutex_unlock(&job->f->lock);
		job->f->script(job->f, q);
	}
	(void)shutdown(q->fd, SHUT_RDWR);
	(void)close(q->fd);
	free(buf);
	free(job);
	return NULL;
}

static inline void *fake_accept(void *arg)
{
	FAKE_THREAD_BEGIN;
	struct fake_api *f = arg;
	while (!atomic_load(&f->stop)) {
		struct pollfd p = {.fd = f->listen_fd, .events = POLLIN};
		if (poll(&p, 1, 20) <= 0)
			continue;
		int fd = accept4(f->listen_fd, NULL, NULL, SOCK_CLOEXEC);
		if (fd < 0)
			continue;
		struct fake_job *job = calloc(1, sizeof *job);
		job->f = f;
		job->q.fd = fd;
		pthread_mutex_lock(&f->lock);
		assert(f->n < FAKE_MAX);
		job->q.n = f->n++;
		int rc = pthread_create(&f->workers[job->q.n], NULL, fake_serve, job);
		pthread_mutex_unlock(&f->lock);
		assert(rc == 0);
		(void)rc;
	}
	return NULL;
}

static inline void fake_start(struct fake_api *f, void (*script)(struct fake_api *, struct fake_request *), void *ctx)
{
	struct sockaddr_in a = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	socklen_t n = sizeof a;
	*f = (struct fake_api){.script = script, .ctx = ctx};
	pthread_mutex_init(&f->lock, NULL);
	f->listen_fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	int rc = bind(f->listen_fd, (struct sockaddr *)&a, n);
	rc |= listen(f->listen_fd, 64);
	rc |= getsockname(f->listen_fd, (struct sockaddr *)&a, &n);
	rc |= pthread_create(&f->thread, NULL, fake_accept, f);
	assert(rc == 0);
	(void)rc;
	f->port = ntohs(a.sin_port);
}

static inline void fake_stop(struct fake_api *f)
{
	atomic_store(&f->stop, true);
	(void)pthread_join(f->thread, NULL);
	for (unsigned i = 0; i < f->n; i++) {
		(void)pthread_join(f->workers[i], NULL);
		free(f->lines[i]);
	}
	(void)close(f->listen_fd);
	pthread_mutex_destroy(&f->lock);
}

static inline unsigned fake_count(struct fake_api *f)
{
	pthread_mutex_lock(&f->lock);
	unsigned n = f->n;
	pthread_mutex_unlock(&f->lock);
	return n;
}

/* A client of the scripted server. */
static inline struct kube_client *fake_client(const struct fake_api *f, const char *token_file)
{
	char url[64];
	struct kube_client *c = NULL;
	(void)snprintf(url, sizeof url, "http://127.0.0.1:%u", f->port);
	const struct kube_config cfg = {.server = url, .ns = (char *)"default", .token_file = (char *)token_file};
	int rc = kube_client_new(&cfg, NULL, &c, NULL);
	assert(rc == 0);
	(void)rc;
	return c;
}
