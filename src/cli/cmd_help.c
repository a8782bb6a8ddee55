#include <stdio.h>

#include "cli/command.h"
#include "cli/commands.h"

static void list_commands(bool hidden)
{
	for (size_t i = 0; commands[i] != NULL; i++) {
		if (commands[i]->hidden == hidden)
			(void)printf("  %-12s %s\n", commands[i]->name, commands[i]->summary);
	}
}

static int help_run(int argc, char **argv)
{
	int words = 0;
	const int rc = options_parse(&cmd_help, argc, argv, (const struct option_spec[]){{0}}, &words);
	if (rc != 0)
		return rc > 0 ? 0 : 2;
	if (words == 0) {
		(void)fputs("Sluice gives data-intensive programs a mounted, cached dataset.\n\n"
			    "Usage: sluice COMMAND [OPTION...]\n\nCommands:\n",
			    stdout);
		list_commands(false);
		(void)fputs("\nRoles that 'sluice up' starts:\n", stdout);
		list_commands(true);
		(void)fputs("\n'sluice help COMMAND' says more.\n", stdout);
		return 0;
	}
	const struct command *cmd = command_find(argv[1]);
	if (cmd == NULL) {
		command_unknown("sluice help", argv[1]);
		return 2;
	}
	(void)fputs(cmd->usage, stdout);
	return 0;
}

const struct command cmd_help = {
	.name = "help",
	.summary = "Say how a command is used",
	.usage = "Usage: sluice help [COMMAND]\n\nLists the commands, or says how one is used.\n",
	.run = help_run,
};
