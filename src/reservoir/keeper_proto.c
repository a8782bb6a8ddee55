#include "reservoir/keeper_proto.h"

#include <errno.h>
#include <stdbool.h>
#include <stddef.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

#define HEAD offsetof(struct keeper_msg, path)

union control {
	struct cmsghdr align;
	char buf[CMSG_SPACE(KEEPER_FDS * sizeof(int))];
};

int keeper_send(int sock, const struct keeper_msg *m, const int *fds)
{
	const bool names = m->op == KEEPER_TAKE;
	struct iovec iov = {(void *)m, HEAD + (names ? strlen(m->path) + 1 : 0)};
	union control control = {0};
	struct msghdr msg = {.msg_iov = &iov, .msg_iovlen = 1};
	if (fds != NULL) {
		msg.msg_control = control.buf;
		msg.msg_controllen = sizeof control.buf;
		struct cmsghdr *c = CMSG_FIRSTHDR(&msg);
		c->cmsg_level = SOL_SOCKET;
		c->cmsg_type = SCM_RIGHTS;
		c->cmsg_len = CMSG_LEN(KEEPER_FDS * sizeof(int));
		memcpy(CMSG_DATA(c), fds, KEEPER_FDS * sizeof(int));
	}
	ssize_t r;
	do
		r = sendmsg(sock, &msg, MSG_NOSIGNAL);
	while (r < 0 && errno == EINTR);
	return r < 0 ? -errno : 0;
}

/* All descriptors, or none: false when there were some, but not as many as there must be. */
static bool take_fds(struct msghdr *msg, int fds[KEEPER_FDS])
{
	size_t n = 0;
	for (struct cmsghdr *c = CMSG_FIRSTHDR(msg); c != NULL; c = CMSG_NXTHDR(msg, c)) {
		if (c->cmsg_level != SOL_SOCKET || c->cmsg_type != SCM_RIGHTS)
			continue;
		const size_t got = (c->cmsg_len - CMSG_LEN(0)) / sizeof(int);
		for (size_t i = 0; i < got; i++) {
			int fd;
			memcpy(&fd, CMSG_DATA(c) + i * sizeof fd, sizeof fd);
			if (n < KEEPER_FDS)
				fds[n++] = fd;
			else
				(void)close(fd);
		}
	}
	if (n == 0 || n == KEEPER_FDS)
		return true;
	while (n > 0) {
		(void)close(fds[--n]);
		fds[n] = -1;
	}
	return false;
}

int keeper_recv(int sock, struct keeper_msg *m, int fds[KEEPER_FDS])
{
	struct iovec iov = {m, sizeof *m};
	union control control;
	struct msghdr msg = {
		.msg_iov = &iov, .msg_iovlen = 1, .msg_control = control.buf, .msg_controllen = sizeof control.buf};
	for (size_t i = 0; i < KEEPER_FDS; i++)
		fds[i] = -1;
	ssize_t r;
	do
		r = recvmsg(sock, &msg, MSG_CMSG_CLOEXEC);
	while (r < 0 && errno == EINTR);
	if (r <= 0)
		return r < 0 ? -errno : -ECONNRESET;
	const bool whole = take_fds(&msg, fds) && (msg.msg_flags & (MSG_TRUNC | MSG_CTRUNC)) == 0 && (size_t)r >= HEAD;
	const bool named = (size_t)r > HEAD && ((const char *)m)[r - 1] == '\0';
	if (whole && named == (m->op == KEEPER_TAKE))
		return 0;
	for (size_t i = 0; i < KEEPER_FDS; i++)
		if (fds[i] >= 0) {
			(void)close(fds[i]);
			fds[i] = -1;
		}
	return -EPROTO;
}
