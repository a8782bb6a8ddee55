#include "cli/machine.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/error.h"
#include "base/file.h"
#include "base/str.h"

static bool in_path(const char *program)
{
	const char *path = getenv("PATH");
	struct str rest = str_from(path == NULL ? "/usr/sbin:/usr/bin:/sbin:/bin" : path);
	struct str dir;
	while (str_split_next(&rest, ':', &dir)) {
		CLEANUP(free_p) char *full = str_printf("%.*s/%s", (int)dir.n, dir.p, program);
		if (full != NULL && access(full, X_OK) == 0)
			return true;
	}
	return false;
}

int machine_check(struct error *err)
{
	if (geteuid() != 0)
		return error_set(err, -EPERM, "root is needed to run containers and mounts: run it with sudo");
	CLEANUP(close_fd) int fd = open("/dev/fuse", O_RDWR | O_CLOEXEC);
	if (fd < 0)
		return error_set(err, -ENODEV,
				 "open '/dev/fuse': %s: load the kernel's module with 'modprobe fuse', or give this "
				 "container the device",
				 strerror(errno));
	static const char *const programs[] = {"runc", "conmon"};
	for (size_t i = 0; i < ARRAY_LEN(programs); i++) {
		if (!in_path(programs[i]))
			return error_set(err, -ENOENT, "the program '%s' is not here: apt-get install %s", programs[i],
					 programs[i]);
	}
	return 0;
}

int machine_data_dir(const char *dir, char **ret, struct error *err)
{
	const int rc = file_mkdir_all(dir, 0700, err);
	if (rc != 0)
		return error_wrap(err, rc, "data directory");
	CLEANUP(free_p) char *full = realpath(dir, NULL);
	if (full == NULL)
		return error_set(err, -errno, "data directory '%s': %s", dir, strerror(errno));
	if (strlen(full) > MACHINE_DATA_DIR_MAX)
		return error_set(err, -ENAMETOOLONG,
				 "data directory '%s': longer than %d characters, which leaves no room for the "
				 "names of sockets in it: choose a shorter --data-dir",
				 full, MACHINE_DATA_DIR_MAX);
	*ret = TAKE(full);
	return 0;
}
