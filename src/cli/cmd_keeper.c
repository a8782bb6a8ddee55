/* sluice keeper: holds mounts while their server is away. */
#include <stdio.h>

#include "base/cleanup.h"
#include "base/error.h"
#include "base/log.h"
#include "cli/command.h"
#include "reservoir/keeper.h"

static void announce(const char *socket)
{
	(void)printf("ready: keeper unix://%s\n", socket);
	(void)fflush(stdout);
}

static int run(int argc, char **argv)
{
	const char *socket = NULL;
	const struct option_spec specs[] = {{"socket", OPT_STRING, &socket}, {0}};
	struct error err = {0};
	int words = 0;
	const int r = options_parse(&cmd_keeper, argc, argv, specs, &words);
	if (r != 0)
		return r > 0 ? 0 : 2;
	if (socket == NULL || socket[0] != '/' || words > 0) {
		(void)fprintf(stderr, "sluice keeper: --socket PATH (absolute) is needed; see 'sluice help keeper'\n");
		return 2;
	}
	log_init(STDERR_FILENO, LOG_LVL_INFO, "keeper");
	CLEANUP(close_fd) int stop = stop_signal_fd();
	if (stop < 0)
		return 1;
	if (keeper_run(&(struct keeper_options){.socket = socket, .stop_fd = stop}, announce, &err) < 0) {
		(void)fprintf(stderr, "sluice keeper: %s\n", err.msg);
		return 1;
	}
	return 0;
}

const struct command cmd_keeper = {
	.name = "keeper",
	.summary = "Keep a node's mounts while their server is away.",
	.usage =
		"Usage: sluice keeper --socket PATH\n"
		"\n"
		"Holds, for each 'sluice fuse --keeper PATH' of this node, its connection to the kernel and what is open, so "
		"that another\n"
		"one can go on when it dies or makes room: readers only wait. A mount without a server ends once no pod uses "
		"it any more,\n"
		"after 10 minutes at the latest. Ends on SIGTERM; mounts that have a server then go on, the others end.\n"
		"\n"
		"  --socket PATH  the socket to serve on, for the same user alone; its directory is made\n",
	.hidden = true,
	.run = run,
};
