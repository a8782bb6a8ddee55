/* sluice cache: the worker of one dataset. */
#include <poll.h>
#include <stdio.h>
#include <sys/resource.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/error.h"
#include "base/log.h"
#include "cli/command.h"
#include "reservoir/config.h"
#include "reservoir/worker.h"

/* Each file that a mount has open takes a descriptor here while it is being fetched. */
static void raise_file_limit(void)
{
	struct rlimit l;
	if (getrlimit(RLIMIT_NOFILE, &l) == 0) {
		l.rlim_cur = l.rlim_max;
		(void)setrlimit(RLIMIT_NOFILE, &l); /* the soft limit stays: fewer files at once */
	}
}

static int serve(const char *path)
{
	struct error err = {0};
	CLEANUP(reservoir_config_clear) struct reservoir_config config = {0};
	CLEANUP(close_fd) int stop = stop_signal_fd();
	if (stop < 0)
		return 1;
	struct worker *w = NULL;
	int r = reservoir_config_load(path, &config, &err);
	if (r == 0)
		r = worker_new(&config, &w, &err);
	if (r < 0) {
		LOG(NULL, LOG_LVL_ERROR, "the worker cannot start", LOG_STR("err", err.msg));
		return 1;
	}
	LOG(NULL, LOG_LVL_INFO, "worker started", LOG_STR("namespace", config.namespace_), LOG_STR("name", config.name),
	    LOG_INT("port", worker_port(w)), LOG_STR("socket", config.socket));
	(void)stop_signal_wait(stop);
	worker_free(w);
	LOG(NULL, LOG_LVL_INFO, "worker stopped");
	return 0;
}

static int run(int argc, char **argv)
{
	const char *config = NULL;
	const struct option_spec specs[] = {{"config", OPT_STRING, &config}, {0}};
	int words = 0;
	const int r = options_parse(&cmd_cache, argc, argv, specs, &words);
	if (r != 0)
		return r > 0 ? 0 : 2;
	if (config == NULL || words > 0) {
		(void)fprintf(stderr,
			      "sluice cache: --config FILE is needed, and nothing else; see 'sluice help cache'\n");
		return 2;
	}
	log_init(STDERR_FILENO, LOG_LVL_INFO, "cache");
	raise_file_limit();
	return serve(config);
}

const struct command cmd_cache = {
	.name = "cache",
	.summary = "Run the cache worker of one dataset (started by the ReservoirRuntime's pods).",
	.usage = "Usage: sluice cache --config FILE\n"
		 "\n"
		 "Serves the files of a dataset's sources to mounts on this machine (see 'sluice help fuse'), keeping "
		 "what was read in\n"
		 "the cache directories. Ends cleanly on SIGTERM.\n"
		 "\n"
		 "  --config FILE   reservoir.json: dataset, mounts, tiers, fetch, freshness, listen, socket\n",
	.hidden = true,
	.run = run,
};
