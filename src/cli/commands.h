/* The list of subcommands. */
#pragma once

struct command;

/** Every subcommand, NULL-terminated, in the order that `sluice help` shows. */
extern const struct command *const commands[];
/** The command called @name, or NULL. */
const struct command *command_find(const char *name);
