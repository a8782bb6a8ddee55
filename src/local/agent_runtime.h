/*
 * Containers by runc, each under a conmon of its own that outlives this process, keeps the log and writes the exit code down.
 *
 * Threads: any, but not two calls at once for one container. Every call has a deadline.
 */
#pragma once

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/process.h"
#include "local/agent_paths.h"

struct error;

#define CONTAINER_ID_MAX 64

/** A new id: 32 hex digits. */
void runtime_new_id(char out[static CONTAINER_ID_MAX + 1]);

/** What a container's first process has for its input and output. */
struct runtime_io {
	bool tty, in;
	bool in_once; /* its input ends when the first who attached has gone */
};

/**
 * Make the container @id from @config, stopped in front of its first instruction. Its bundle (with rootfs/) must exist.
 * Errors carry the runtime's own words.
 */
int runtime_create(const struct agent_paths *p, const char *id, const json_t *config, const char *log_path,
		   const struct runtime_io *io, struct error *err);
/** Let it run. */
int runtime_start(const struct agent_paths *p, const char *id, struct error *err);
/** Send @sig to its first process; a container that has ended is -ESRCH. */
int runtime_signal(const struct agent_paths *p, const char *id, int sig, struct error *err);
/** Kill what is left of it and drop runc's state; the bundle stays. Absent is fine. */
int runtime_delete(const struct agent_paths *p, const char *id, struct error *err);

enum runtime_state { RUNTIME_RUNNING, RUNTIME_EXITED, RUNTIME_LOST };

struct runtime_exit {
	int code;
	int64_t finished_wall_ns;
	bool oom_killed;
};

/** What its monitor says. LOST: the monitor is gone without a word (a reboot, a kill -9). @ret is filled when EXITED. */
enum runtime_state runtime_look(const struct agent_paths *p, const char *id, struct runtime_exit *ret);
/** Whether its command was begun: false when it was never made, or made and no more. In doubt true. */
bool runtime_is_begun(const struct agent_paths *p, const char *id);
/** A pidfd of its monitor, readable when that has ended, or a negative errno (-ESRCH). */
int runtime_monitor_fd(const struct agent_paths *p, const char *id);

/**
 * Run @argv inside with the container's user, environment and rights. A command that takes longer than @timeout_ns is killed, inside too:
 * -ETIMEDOUT. Output beyond @max bytes is -EFBIG.
 */
int runtime_exec(const struct agent_paths *p, const char *id, const char *const *argv, size_t max, int64_t timeout_ns,
		 struct process_result *ret, struct error *err);
/** Make conmon open its log file anew (after it was renamed). */
int runtime_reopen_log(const struct agent_paths *p, const char *id, struct error *err);

/** A command under way in a container. */
struct runtime_exec {
	struct process process; /* runc's: ends with the command's exit code */
	struct path pid_file;
	char id[CONTAINER_ID_MAX + 1];
};

/**
 * Start @argv inside as runtime_exec() does, with @fds for its input (-1: none), output and errors; @tty: all three are one terminal, and so is
 * what the command gets. @ret->process must be PROCESS_NONE, and @ret is to be given to runtime_exec_end() in any case.
 */
int runtime_exec_start(const struct agent_paths *p, const char *id, const char *const *argv, bool tty, const int fds[3],
		       struct runtime_exec *ret, struct error *err);
/** Whether the command was begun; false: there was no such program, say. */
bool runtime_exec_begun(const struct runtime_exec *e);
/** Kill what still runs of it, inside too. */
void runtime_exec_end(struct runtime_exec *e);
/**
 * A socket to the container's monitor: packets come, a byte 2 (stdout) or 3 (stderr) and up to 8 KiB; what is written (8 KiB at most at a time)
 * is the container's input. The fd (not blocking) or a negative errno.
 */
int runtime_attach(const struct agent_paths *p, const char *id, struct error *err);
/** The size of the container's terminal. */
int runtime_resize(const struct agent_paths *p, const char *id, unsigned short rows, unsigned short columns,
		   struct error *err);
