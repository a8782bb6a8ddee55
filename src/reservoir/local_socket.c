#include "reservoir/local_socket.h"

#include <errno.h>
#include <stdbool.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/error.h"
#include "base/file.h"
#include "base/str.h"

#define BACKLOG 128

static int address(const char *path, struct sockaddr_un *a, struct error *err)
{
	*a = (struct sockaddr_un){.sun_family = AF_UNIX};
	return str_copy(a->sun_path, sizeof a->sun_path, path) < 0
		       ? error_set(err, -ENAMETOOLONG, "'%s': too long for a socket", path)
		       : 0;
}

/* A socket file that nobody listens on is left over from a process that was killed. */
static int take_path(const struct sockaddr_un *a, struct error *err)
{
	CLEANUP(close_fd) int probe = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
	if (probe < 0)
		return error_set(err, -errno, "socket: %s", strerror(errno));
	if (connect(probe, (const struct sockaddr *)a, sizeof *a) == 0)
		return error_set(err, -EADDRINUSE, "'%s': another process serves there", a->sun_path);
	if (errno == ECONNREFUSED && unlink(a->sun_path) < 0)
		return error_set(err, -errno, "'%s': %s", a->sun_path, strerror(errno));
	return 0;
}

static int make_directory(const char *path, struct error *err)
{
	CLEANUP(free_p) char *dir = strdup(path);
	char *slash = dir != NULL ? strrchr(dir, '/') : NULL;
	if (slash == NULL || slash == dir)
		return 0;
	*slash = '\0';
	return file_mkdir_all(dir, 0700, err);
}

int local_listen(const char *path, struct error *err)
{
	struct sockaddr_un a;
	int r = address(path, &a, err);
	if (r == 0)
		r = make_directory(path, err);
	if (r == 0)
		r = take_path(&a, err);
	if (r < 0)
		return r;
	CLEANUP(close_fd) int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd < 0 || bind(fd, (struct sockaddr *)&a, sizeof a) < 0 || chmod(a.sun_path, 0600) < 0 ||
	    listen(fd, BACKLOG) < 0)
		return error_set(err, -errno, "listen on '%s': %s", a.sun_path, strerror(errno));
	return TAKE_FD(fd);
}

int local_connect(const char *path, struct error *err)
{
	struct sockaddr_un a;
	const int r = address(path, &a, err);
	if (r < 0)
		return r;
	CLEANUP(close_fd) int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
	if (fd < 0 || connect(fd, (const struct sockaddr *)&a, sizeof a) < 0)
		return error_set(err, -errno, "%s", strerror(errno));
	return TAKE_FD(fd);
}
