/* The binary's entry: finds the subcommand and runs it. */
#include <stdio.h>
#include <string.h>

#include "cli/command.h"
#include "cli/commands.h"

int main(int argc, char **argv)
{
	if (argc < 2 || strcmp(argv[1], "--help") == 0 || strcmp(argv[1], "-h") == 0)
		return cmd_help.run(1, (char *[]){"help", NULL}) == 0 && argc >= 2 ? 0 : 2;
	if (strcmp(argv[1], "--version") == 0)
		return cmd_version.run(1, (char *[]){"version", NULL});

	const struct command *cmd = command_find(argv[1]);
	if (cmd == NULL) {
		(void)fprintf(stderr, "sluice: '%s' is no command; 'sluice help' lists them\n", argv[1]);
		return 2;
	}
	return cmd->run(argc - 1, argv + 1);
}
