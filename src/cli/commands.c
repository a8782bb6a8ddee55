#include "cli/commands.h"

#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include "cli/command.h"
#include "cli/suggest.h"

const struct command *const commands[] = {
	&cmd_run,         &cmd_up,         &cmd_status, &cmd_get,     &cmd_describe, &cmd_explain,    &cmd_apply,
	&cmd_delete,      &cmd_load,       &cmd_logs,   &cmd_down,    &cmd_crds,     &cmd_manifests,  &cmd_create,
	&cmd_engine_test, &cmd_completion, &cmd_help,   &cmd_version, &cmd_api,      &cmd_controller, &cmd_agent,
	&cmd_csi,         &cmd_cache,      &cmd_fuse,   &cmd_keeper,  &cmd_preload,  &cmd_bind,       NULL,
};

const struct command *command_find(const char *name)
{
	for (size_t i = 0; commands[i] != NULL; i++) {
		if (strcmp(commands[i]->name, name) == 0)
			return commands[i];
	}
	return NULL;
}

void command_unknown(const char *program, const char *name)
{
	struct suggestion near = suggestion_of(name);
	for (size_t i = 0; commands[i] != NULL; i++)
		suggestion_try(&near, commands[i]->name);
	if (near.best == NULL)
		(void)fprintf(stderr, "%s: '%s' is no command; 'sluice help' lists them\n", program, name);
	else
		(void)fprintf(stderr, "%s: '%s' is no command; did you mean '%s'? 'sluice help' lists them\n", program,
			      name, near.best);
}
