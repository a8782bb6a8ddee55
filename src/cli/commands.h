/* The list of subcommands. */
#pragma once

struct command;

/** Every subcommand, NULL-terminated, in the order that `sluice help` shows. */
extern const struct command *const commands[];
/** The command called @name, or NULL. */
const struct command *command_find(const char *name);
/** Say on stderr, as @program, that @name is no command, and which one may have been meant. */
void command_unknown(const char *program, const char *name);
