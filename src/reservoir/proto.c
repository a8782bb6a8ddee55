#include "reservoir/proto.h"

#include <assert.h>
#include <errno.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

int rv_send(int sock, const struct rv_head *h, const void *payload, size_t n, int fd)
{
	assert(n <= RV_PAYLOAD_MAX);
	struct iovec iov[2] = {{(void *)h, sizeof *h}, {(void *)payload, n}};
	union {
		struct cmsghdr align;
		char buf[CMSG_SPACE(sizeof(int))];
	} control = {0};
	struct msghdr m = {.msg_iov = iov, .msg_iovlen = n > 0 ? 2 : 1};
	if (fd >= 0) {
		m.msg_control = control.buf;
		m.msg_controllen = sizeof control.buf;
		struct cmsghdr *c = CMSG_FIRSTHDR(&m);
		c->cmsg_level = SOL_SOCKET;
		c->cmsg_type = SCM_RIGHTS;
		c->cmsg_len = CMSG_LEN(sizeof(int));
		memcpy(CMSG_DATA(c), &fd, sizeof fd);
	}
	ssize_t r;
	do
		r = sendmsg(sock, &m, MSG_NOSIGNAL);
	while (r < 0 && errno == EINTR);
	return r < 0 ? -errno : 0;
}

/* The one descriptor of a message; any more are closed. */
static int take_fds(struct msghdr *m)
{
	int got = -1;
	for (struct cmsghdr *c = CMSG_FIRSTHDR(m); c != NULL; c = CMSG_NXTHDR(m, c)) {
		if (c->cmsg_level != SOL_SOCKET || c->cmsg_type != SCM_RIGHTS)
			continue;
		const size_t n = (c->cmsg_len - CMSG_LEN(0)) / sizeof(int);
		for (size_t i = 0; i < n; i++) {
			int fd;
			memcpy(&fd, CMSG_DATA(c) + i * sizeof fd, sizeof fd);
			if (got < 0)
				got = fd;
			else
				(void)close(fd);
		}
	}
	return got;
}

ptrdiff_t rv_recv(int sock, struct rv_head *h, void *payload, size_t size, int *ret_fd)
{
	struct iovec iov[2] = {{h, sizeof *h}, {payload, size}};
	union {
		struct cmsghdr align;
		char buf[CMSG_SPACE(sizeof(int))];
	} control;
	struct msghdr m = {
		.msg_iov = iov, .msg_iovlen = 2, .msg_control = control.buf, .msg_controllen = sizeof control.buf};
	ssize_t r;
	do
		r = recvmsg(sock, &m, MSG_CMSG_CLOEXEC);
	while (r < 0 && errno == EINTR);
	if (r < 0)
		return -errno;
	if (r == 0)
		return -ECONNRESET;
	const int fd = take_fds(&m);
	if ((size_t)r < sizeof *h || (m.msg_flags & (MSG_TRUNC | MSG_CTRUNC)) != 0) {
		if (fd >= 0)
			(void)close(fd);
		return -EPROTO;
	}
	if (ret_fd != NULL)
		*ret_fd = fd;
	else if (fd >= 0)
		(void)close(fd);
	return r - (ptrdiff_t)sizeof *h;
}
