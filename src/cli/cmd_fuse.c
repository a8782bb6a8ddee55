/* sluice fuse: the mount of one dataset. */
#include <poll.h>
#include <stdio.h>
#include <sys/eventfd.h>
#include <sys/resource.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/error.h"
#include "base/log.h"
#include "cli/command.h"
#include "reservoir/config.h"
#include "reservoir/fuse.h"

static void on_end(void *ctx, bool left)
{
	(void)left;                          /* what becomes of the mount is fuse_mount_free()'s to say */
	(void)eventfd_write(*(int *)ctx, 1); /* cannot fail: the counter is small */
}

/* Each open file takes a descriptor. */
static void raise_file_limit(void)
{
	struct rlimit l;
	if (getrlimit(RLIMIT_NOFILE, &l) == 0) {
		l.rlim_cur = l.rlim_max;
		(void)setrlimit(RLIMIT_NOFILE, &l); /* the soft limit stays: fewer files at once */
	}
}

static int serve(const char *path, const char *dir, const char *keeper, bool plain)
{
	struct error err = {0};
	CLEANUP(reservoir_config_clear) struct reservoir_config config = {0};
	CLEANUP(close_fd) int stop = stop_signal_fd();
	CLEANUP(close_fd) int ended = eventfd(0, EFD_CLOEXEC);
	if (stop < 0 || ended < 0)
		return 1;
	struct fuse_mount *m = NULL;
	const struct fuse_mount_options o = {.config = &config,
					     .dir = dir,
					     .keeper = keeper,
					     .no_passthrough = plain,
					     .on_end = on_end,
					     .ctx = &ended};
	int r = reservoir_config_load(path, &config, &err);
	if (r == 0)
		r = fuse_mount_new(&o, &m, &err);
	if (r < 0) {
		LOG(NULL, LOG_LVL_ERROR, "the dataset cannot be mounted", LOG_STR("err", err.msg));
		return 1;
	}
	LOG(NULL, LOG_LVL_INFO, "mounted", LOG_STR("dir", dir), LOG_BOOL("passthrough", fuse_mount_passthrough(m)));
	struct pollfd p[2] = {{.fd = stop, .events = POLLIN}, {.fd = ended, .events = POLLIN}};
	while (poll(p, 2, -1) < 0 && errno == EINTR)
		;
	const bool by_signal = p[0].revents != 0;
	const bool left = fuse_mount_free(m);
	LOG(NULL, LOG_LVL_INFO,
	    left        ? "left the mount to the next server"
	    : by_signal ? "unmounted"
			: "somebody unmounted the dataset");
	return by_signal || left ? 0 : 1;
}

static int run(int argc, char **argv)
{
	const char *config = NULL, *dir = NULL, *keeper = NULL;
	bool plain = false;
	const struct option_spec specs[] = {{"config", OPT_STRING, &config},
					    {"mount", OPT_STRING, &dir},
					    {"keeper", OPT_STRING, &keeper},
					    {"no-passthrough", OPT_FLAG, &plain},
					    {0}};
	int words = 0;
	const int r = options_parse(&cmd_fuse, argc, argv, specs, &words);
	if (r != 0)
		return r > 0 ? 0 : 2;
	if (config == NULL || dir == NULL || dir[0] != '/' || words > 0) {
		(void)fprintf(
			stderr,
			"sluice fuse: --config FILE and --mount DIR (absolute) are needed; see 'sluice help fuse'\n");
		return 2;
	}
	log_init(STDERR_FILENO, LOG_LVL_INFO, "fuse");
	raise_file_limit();
	return serve(config, dir, keeper, plain);
}

const struct command cmd_fuse = {
	.name = "fuse",
	.summary = "Mount a dataset's cache (started by the ReservoirRuntime's pods).",
	.usage =
		"Usage: sluice fuse --config FILE --mount DIR [--keeper SOCKET] [--no-passthrough]\n"
		"\n"
		"Mounts the dataset at DIR, read only, for all users; needs root and /dev/fuse. Waits for the worker "
		"(see 'sluice help\n"
		"cache') at the configured socket. Unmounts and ends cleanly on SIGTERM; with a keeper\n"
		"the mount stays when pods use it or another server waits for it.\n"
		"\n"
		"  --config FILE      the worker's reservoir.json\n"
		"  --mount DIR        the mount point; made when absent; a dead mount there is detached first\n"
		"  --keeper SOCKET    of 'sluice keeper': when this process ends, the next one serves the same mount on, "
		"and readers wait\n"
		"                     (Linux 6.9 or newer)\n"
		"  --no-passthrough   serve every read from user space, as on kernels before 6.9\n",
	.hidden = true,
	.run = run,
};
