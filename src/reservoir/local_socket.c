#include "reservoir/local_socket.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/error.h"
#include "base/file.h"
#include "base/str.h"
#include "net/listen.h"

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
	const int r = make_directory(path, err);
	return r < 0 ? r : listen_unix_messages(path, err);
}

int local_connect(const char *path, struct error *err)
{
	struct sockaddr_un a = {.sun_family = AF_UNIX};
	if (str_copy(a.sun_path, sizeof a.sun_path, path) < 0)
		return error_set(err, -ENAMETOOLONG, "'%s': too long for a socket", path);
	CLEANUP(close_fd) int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
	if (fd < 0 || connect(fd, (const struct sockaddr *)&a, sizeof a) < 0)
		return error_set(err, -errno, "%s", strerror(errno));
	return TAKE_FD(fd);
}
