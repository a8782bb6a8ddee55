/* The binary's entry: finds the subcommand and runs it. */
#include <signal.h>
#include <string.h>
#include <unistd.h>

#include "cli/command.h"
#include "cli/commands.h"

/*
 * The kernel throws SIGTERM away for a process 1 that neither handles nor blocks it: a container that is told to end while it starts would
 * run into its whole grace period. Blocked, the signal waits for the role's signalfd.
 */
static void keep_early_signals(void)
{
	sigset_t set;
	(void)sigemptyset(&set);
	(void)sigaddset(&set, SIGTERM);
	(void)sigaddset(&set, SIGINT);
	if (getpid() == 1)
		(void)sigprocmask(SIG_BLOCK, &set, NULL);
}

int main(int argc, char **argv)
{
	keep_early_signals();
	if (argc < 2 || strcmp(argv[1], "--help") == 0 || strcmp(argv[1], "-h") == 0)
		return cmd_help.run(1, (char *[]){"help", NULL}) == 0 && argc >= 2 ? 0 : 2;
	if (strcmp(argv[1], "--version") == 0)
		return cmd_version.run(1, (char *[]){"version", NULL});

	const struct command *cmd = command_find(argv[1]);
	if (cmd == NULL) {
		command_unknown("sluice", argv[1]);
		return 2;
	}
	return cmd->run(argc - 1, argv + 1);
}
