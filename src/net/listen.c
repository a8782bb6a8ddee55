#include "net/listen.h"

#include <netdb.h>
#include <stdbool.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>

#include "base/cleanup.h"
#include "base/error.h"
#include "base/str.h"

#define BACKLOG 1024

static int resolve(const char *address, uint16_t port, struct addrinfo **ret, struct error *err)
{
	char service[8];
	const struct addrinfo hints = {
		.ai_family = AF_UNSPEC, .ai_socktype = SOCK_STREAM, .ai_flags = AI_PASSIVE | AI_NUMERICSERV};
	(void)snprintf(service, sizeof service, "%u", port);
	const int rc = getaddrinfo(address, service, &hints, ret);
	return rc == 0 ? 0 : error_set(err, -EADDRNOTAVAIL, "listen on '%s': %s", address, gai_strerror(rc));
}

static uint16_t bound_port(int fd)
{
	union {
		struct sockaddr any;
		struct sockaddr_in in;
		struct sockaddr_in6 in6;
	} sa = {.in6 = {0}};
	socklen_t n = sizeof sa;
	if (getsockname(fd, &sa.any, &n) < 0)
		return 0;
	return ntohs(sa.any.sa_family == AF_INET6 ? sa.in6.sin6_port : sa.in.sin_port);
}

int listen_tcp(const char *address, uint16_t port, uint16_t *ret_port, struct error *err)
{
	struct addrinfo *ai = NULL;
	const int rc = resolve(address, port, &ai, err);
	if (rc < 0)
		return rc;
	CLEANUP(close_fd) int fd = socket(ai->ai_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	const int one = 1;
	const bool ok = fd >= 0 && setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one) == 0 &&
			bind(fd, ai->ai_addr, ai->ai_addrlen) == 0 && listen(fd, BACKLOG) == 0;
	const int code = ok ? 0 : -errno;
	freeaddrinfo(ai);
	if (!ok)
		return error_set(err, code, "listen on %s:%u: %s", address, port, strerror(-code));
	*ret_port = bound_port(fd);
	return TAKE_FD(fd);
}

/* 0 when the way is free. */
static int clear_stale(const char *path, int type, const struct sockaddr_un *sa, struct error *err)
{
	struct stat st;
	if (lstat(path, &st) < 0)
		return errno == ENOENT ? 0 : error_set(err, -errno, "listen on '%s': %s", path, strerror(errno));
	if (!S_ISSOCK(st.st_mode))
		return error_set(err, -EEXIST, "listen on '%s': a file that is no socket is there; move it away", path);
	CLEANUP(close_fd) int fd = socket(AF_UNIX, type | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd < 0)
		return error_set(err, -errno, "listen on '%s': %s", path, strerror(errno));
	if (connect(fd, (const struct sockaddr *)sa, sizeof *sa) == 0 || errno != ECONNREFUSED)
		return error_set(err, -EADDRINUSE, "listen on '%s': another process serves there; stop it first", path);
	if (unlink(path) < 0 && errno != ENOENT)
		return error_set(err, -errno, "remove the stale socket '%s': %s", path, strerror(errno));
	return 0;
}

static int listen_at(const char *path, int type, struct error *err)
{
	struct sockaddr_un sa = {.sun_family = AF_UNIX};
	if (str_copy(sa.sun_path, sizeof sa.sun_path, path) < 0)
		return error_set(err, -ENAMETOOLONG, "listen on '%s': a socket's path has at most %zu bytes", path,
				 sizeof sa.sun_path - 1);
	const int rc = clear_stale(path, type, &sa, err);
	if (rc < 0)
		return rc;
	CLEANUP(close_fd) int fd = socket(AF_UNIX, type | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	/* Nobody can connect between bind and listen, so the mode is right before the first peer comes. */
	const bool bound = fd >= 0 && bind(fd, (const struct sockaddr *)&sa, sizeof sa) == 0;
	if (bound && chmod(path, 0600) == 0 && listen(fd, BACKLOG) == 0)
		return TAKE_FD(fd);
	const int code = errno;
	if (bound)
		(void)unlink(path); /* the first error is the one to tell */
	return error_set(err, -code, "listen on '%s': %s", path, strerror(code));
}

int listen_unix(const char *path, struct error *err)
{
	return listen_at(path, SOCK_STREAM, err);
}

int listen_unix_messages(const char *path, struct error *err)
{
	return listen_at(path, SOCK_SEQPACKET, err);
}
