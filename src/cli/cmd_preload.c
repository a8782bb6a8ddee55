/* sluice preload: bring the files of one dataset into its worker's cache; what a DataLoad's pod runs. */
#include <signal.h>
#include <stdio.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/error.h"
#include "base/log.h"
#include "cli/command.h"
#include "reservoir/preload.h"
#include "json/json.h"

#define WAIT_NS   (120 * NSEC_PER_SEC) /* for a worker that is being started again */
#define PATHS_MAX 1024

/* The worker keeps what is fetched, and drops what was open for us: nothing is to be done at an end. */
static void end_at_once(int sig)
{
	_exit(128 + sig);
}

/* One line, whole, for whoever reads the log while it grows. */
static bool print_line(const char *what, json_t *j)
{
	CLEANUP(free_p)
	char *text =
		j != NULL && json_object_set_new(j, "event", json_string(what)) == 0 ? json_to_text(j, NULL) : NULL;
	return text != NULL && puts(text) >= 0 && fflush(stdout) == 0;
}

static void on_progress(void *ctx, const struct preload_figures *f)
{
	(void)ctx;
	JSON_AUTO j = preload_figures_json(f);
	(void)print_line("progress", j); /* the next one comes in a second */
}

static int load(const struct preload_options *o)
{
	struct error err = {0};
	JSON_AUTO receipt = NULL;
	const int r = preload_run(o, &receipt, &err);
	if (receipt == NULL)
		receipt = json_pack("{s:s}", "reason", err.msg);
	if (!print_line("receipt", receipt))
		return 1;
	return r < 0 ? 1 : 0;
}

static int run(int argc, char **argv)
{
	const char *socket = NULL;
	int64_t rate = 0;
	bool refresh = false;
	const struct option_spec specs[] = {{"socket", OPT_STRING, &socket},
					    {"rate-limit", OPT_QUANTITY, &rate},
					    {"refresh", OPT_FLAG, &refresh},
					    {0}};
	int words = 0;
	const int r = options_parse(&cmd_preload, argc, argv, specs, &words);
	if (r != 0)
		return r > 0 ? 0 : 2;
	bool absolute = true;
	for (int i = 1; i <= words; i++)
		absolute = absolute && argv[i][0] == '/';
	if (socket == NULL || !absolute || words > PATHS_MAX || rate < 0) {
		(void)fprintf(
			stderr,
			"sluice preload: --socket FILE is needed, and paths (at most %d) begin with '/'; see 'sluice "
			"help preload'\n",
			PATHS_MAX);
		return 2;
	}
	log_init(STDERR_FILENO, LOG_LVL_WARN, "preload");
	const struct sigaction end = {.sa_handler = end_at_once};
	(void)sigaction(SIGTERM, &end, NULL); /* as process 1 of its container it would be deaf to it otherwise */
	(void)sigaction(SIGINT, &end, NULL);
	return load(&(struct preload_options){.socket = socket,
					      .paths = (const char *const *)argv + 1,
					      .n_paths = (size_t)words,
					      .rate_limit = (uint64_t)rate,
					      .refresh = refresh,
					      .wait_ns = WAIT_NS,
					      .on_progress = on_progress});
}

const struct command cmd_preload = {
	.name = "preload",
	.summary = "Bring files of a dataset into its cache (started by a DataLoad's pods).",
	.usage =
		"Usage: sluice preload [PATH...] --socket FILE [--rate-limit BYTES] [--refresh]\n"
		"\n"
		"Lists the files at and below each PATH of the dataset (everything without one) and has the worker (see "
		"'sluice help\n"
		"cache') fetch what is not in its cache. Prints a line of JSON each second, and at its end the receipt: how "
		"much was\n"
		"listed, loaded, skipped and failed, and which manifest it was. Ends with 0 only when every byte is in the "
		"cache.\n"
		"\n"
		"  --socket FILE       the worker's socket\n"
		"  --rate-limit BYTES  for each second, like 100Mi (default: none beside the worker's own)\n"
		"  --refresh           ask the sources for what is new first\n",
	.hidden = true,
	.run = run,
};
