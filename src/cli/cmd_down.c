/* `sluice down`: end the one-machine cluster. */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/error.h"
#include "cli/cluster.h"
#include "cli/command.h"
#include "cli/machine.h"

static int end_cluster(const char *dir_option, int64_t timeout_ns, struct error *err)
{
	CLEANUP(free_p) char *data_dir = NULL;
	CLEANUP(close_fd) int fd = cluster_find(dir_option, &data_dir, err);
	if (fd == -ENOENT) {
		(void)printf("no cluster serves '%s'\n", data_dir);
		return 0;
	}
	if (fd < 0)
		return fd;
	CLEANUP(close_fd) int signal_fd = stop_signal_fd();
	if (signal_fd < 0)
		return error_set(err, signal_fd, "signalfd: %s", strerror(-signal_fd));
	const int rc = cluster_stop(fd, signal_fd, clock_mono_ns() + timeout_ns, err);
	if (rc == 0)
		(void)printf("ended: %s\n", data_dir);
	return rc;
}

static int down_run(int argc, char **argv)
{
	const char *data_dir = MACHINE_DATA_DIR;
	int64_t timeout_ns = 120 * NSEC_PER_SEC;
	const struct option_spec specs[] = {
		{"data-dir", OPT_STRING, &data_dir},
		{"timeout", OPT_DURATION, &timeout_ns},
		{0},
	};
	int words = 0;
	const int parsed = options_parse(&cmd_down, argc, argv, specs, &words);
	if (parsed != 0)
		return parsed > 0 ? 0 : 2;
	if (words > 0 || timeout_ns <= 0) {
		(void)fprintf(stderr,
			      words > 0 ? "sluice down: '%s' is one word too many\n"
					: "sluice down: --timeout: must be positive\n",
			      argv[1]);
		return 2;
	}
	struct error err = {0};
	const int rc = end_cluster(data_dir, timeout_ns, &err);
	if (rc != 0)
		(void)fprintf(stderr, "sluice down: %s\n", err.msg);
	return rc == 0 ? 0 : rc == -EINTR ? 130 : 1;
}

const struct command cmd_down = {
	.name = "down",
	.summary = "End the one-machine cluster",
	.usage = "Usage: sluice down [--data-dir DIR] [--timeout DURATION]\n\n"
		 "Ends the cluster that serves DIR, pods and mounts included, and waits until it has ended. Objects "
		 "and cached\n"
		 "data stay in DIR for the next 'sluice up'. No cluster there is no error.\n\n"
		 "  --data-dir DIR        where the cluster keeps everything (default " MACHINE_DATA_DIR ")\n"
		 "  --timeout DURATION    how long to wait (default 2m)\n",
	.run = down_run,
};
