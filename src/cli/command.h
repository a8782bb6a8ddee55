/* A subcommand of the binary: one file each, listed in commands.c. */
#pragma once

#include <stdbool.h>

struct command {
	const char *name;
	const char *summary; /* one line for `sluice help` */
	/*
	 * The whole help text of `sluice help NAME` and `sluice NAME --help`, ends with a newline. Shell completion reads it: the
	 * first word after "Usage: sluice NAME" says what the argument is, and for each option "--name VALUE" what its value is (FILE,
	 * DIR, or a choice: a|b), from a line "  --name VALUE  description" where there is one.
	 */
	const char *usage;
	bool hidden; /* a role that `up` starts: not in the list that users see first */
	/** argv[0] is the command's name; options_parse() comes first. Returns the exit status: 0 done, 1 failed, 2 wrong usage. */
	int (*run)(int argc, char **argv);
};

extern const struct command cmd_agent, cmd_api, cmd_apply, cmd_bind, cmd_cache, cmd_completion, cmd_controller,
	cmd_crds, cmd_create, cmd_csi, cmd_delete, cmd_describe, cmd_down, cmd_engine_test, cmd_explain, cmd_fuse,
	cmd_get, cmd_help, cmd_keeper, cmd_load, cmd_logs, cmd_manifests, cmd_preload, cmd_run, cmd_status, cmd_up,
	cmd_version;

/** One option of a command, declared as a table. */
struct option_spec {
	const char *name; /* "data-dir", given as --data-dir VALUE or --data-dir=VALUE; or "o" for -o VALUE */
	enum { OPT_STRING, OPT_FLAG, OPT_INT, OPT_DURATION, OPT_QUANTITY } type;
	void *value; /* const char **, bool *, int64_t * (durations in ns, quantities in bytes) */
};

/**
 * Parse argv[1..] by @specs (ends with .name == NULL): options may stand before and after the other words, which are moved to
 * argv[1..*ret_words]. On wrong usage prints what is wrong and how to get help on stderr and returns -EINVAL; --help prints
 * @cmd's usage and returns 1 (the caller then exits with 0).
 */
int options_parse(const struct command *cmd, int argc, char **argv, const struct option_spec *specs, int *ret_words);

/**
 * Call @visit for each option of @cmd. The tables are local to the commands, since they point at their variables, so this runs
 * @cmd up to its options_parse(), which hands the table over and ends the command as --help does. Main thread only.
 */
void command_options(const struct command *cmd, void (*visit)(const struct option_spec *o, void *arg), void *arg);

/**
 * Block SIGINT and SIGTERM in this and all later threads and return a signalfd that becomes readable for them. -errno on failure.
 * Roles poll() it in main and end cleanly with status 0.
 */
int stop_signal_fd(void);
/** Wait until @fd of stop_signal_fd() tells; returns the signal. */
int stop_signal_wait(int fd);
