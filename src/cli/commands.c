#include "cli/commands.h"

#include <stddef.h>
#include <string.h>

#include "cli/command.h"

const struct command *const commands[] = {
	&cmd_run,
	&cmd_up,
	&cmd_crds,
	&cmd_help,
	&cmd_version,
	&cmd_api,
	&cmd_controller,
	&cmd_agent,
	&cmd_csi,
	&cmd_cache,
	&cmd_fuse,
	&cmd_bind,
	NULL,
};

const struct command *command_find(const char *name)
{
	for (size_t i = 0; commands[i] != NULL; i++) {
		if (strcmp(commands[i]->name, name) == 0)
			return commands[i];
	}
	return NULL;
}
