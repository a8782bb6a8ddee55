/*
 * A scripted peer on a unix socket, for what reads the bytes of a server: each connection gets the answer of peer_start()'s function,
 * then the end of the stream; what the client still says is read and dropped until it goes.
 */
#pragma once

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "net/listen.h"

struct peer {
	char dir[32], path[64];
	int fd;
	void (*answer)(int fd);
	atomic_uint over; /* connections that were answered: what they read was read before */
};

static struct peer peer;

static inline void peer_send(int fd, const void *data, size_t n, size_t piece)
{
	for (const char *p = data; n > 0;) {
		const size_t want = piece < n ? piece : n;
		const ssize_t k = send(fd, p, want, MSG_NOSIGNAL);
		if (k <= 0)
			return; /* the client has gone */
		p += k;
		n -= (size_t)k;
	}
}

/** Drop what the client says until it goes, or comes again on another connection. */
static inline void peer_drain(int fd)
{
	char rest[4096];
	struct pollfd p[2] = {{.fd = fd, .events = POLLIN}, {.fd = peer.fd, .events = POLLIN}};
	while (poll(p, 2, -1) > 0 && p[1].revents == 0 && recv(fd, rest, sizeof rest, 0) > 0)
		;
}

static void *peer_run(void *arg)
{
	(void)arg;
	for (;;) {
		const int fd = accept(peer.fd, NULL, NULL);
		if (fd < 0)
			return NULL; /* the process ends */
		peer.answer(fd);
		atomic_fetch_add_explicit(&peer.over, 1, memory_order_release);
		(void)shutdown(fd, SHUT_WR);
		peer_drain(fd);
		(void)close(fd);
	}
}

/** Wait until every connection that was made is over: what the answers are made of may change then. */
static inline void peer_settle(void)
{
	char rest[4096];
	struct sockaddr_un sa = {.sun_family = AF_UNIX};
	memcpy(sa.sun_path, peer.path, sizeof peer.path);
	const int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (fd < 0 || connect(fd, (struct sockaddr *)&sa, sizeof sa) < 0 || shutdown(fd, SHUT_WR) < 0)
		abort();
	ssize_t k;
	do
		k = recv(fd, rest, sizeof rest, 0); /* they are taken in turn, so this one comes last */
	while (k > 0 || (k < 0 && errno == EINTR)); /* the fuzzer's alarms */
	(void)atomic_load_explicit(&peer.over, memory_order_acquire);
	(void)close(fd);
}

static void peer_stop(void)
{
	(void)unlink(peer.path);
	(void)rmdir(peer.dir);
}

/** Once a process; the thread ends with it. Signals are not its business: a call that they cut short would be taken for the end. */
static inline void peer_start(void (*answer)(int fd))
{
	pthread_t thread;
	sigset_t all, before;
	(void)sigfillset(&all);
	(void)snprintf(peer.dir, sizeof peer.dir, "/tmp/sluice-fuzz-XXXXXX");
	if (mkdtemp(peer.dir) == NULL)
		abort();
	(void)snprintf(peer.path, sizeof peer.path, "%s/s", peer.dir);
	peer.answer = answer;
	peer.fd = listen_unix(peer.path, NULL);
	const int blocking = peer.fd < 0 ? -1 : fcntl(peer.fd, F_SETFL, 0);
	if (blocking < 0 || atexit(peer_stop) != 0 || pthread_sigmask(SIG_BLOCK, &all, &before) != 0 ||
	    pthread_create(&thread, NULL, peer_run, NULL) != 0 || pthread_sigmask(SIG_SETMASK, &before, NULL) != 0)
		abort();
}
