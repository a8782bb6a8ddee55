/*
 * Supervisor: keeps a set of roles (child processes of this binary) running, restarts each with back-off, and stops them in order.
 *
 * A role is ready when it prints a line that starts with "ready" on its standard output. Its standard error goes to a log file.
 * Threads: one owner, which polls the descriptors that supervisor_poll_fds() names and calls supervisor_dispatch().
 */
#pragma once

#include <jansson.h>
#include <poll.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct error;
struct supervisor;

#define SUPERVISOR_MAX_ROLES 8
#define SUPERVISOR_MAX_FDS   (SUPERVISOR_MAX_ROLES * 2)

struct role_options {
	const char *name;        /* names its log file too */
	const char *const *argv; /* NULL-terminated, copied */
	const char *after;       /* start only once that role is ready; NULL: at once */
	/** Told each time the role gets ready, with the rest of its line ("https://..."). May be NULL. */
	void (*on_ready)(void *ctx, const char *detail);
	void *ctx;
};

/** @log_dir must exist. */
int supervisor_new(const char *log_dir, struct supervisor **ret, struct error *err);
/** Add a role; it starts at the next dispatch. Roles are stopped in the reverse order of adding. */
int supervisor_add(struct supervisor *s, const struct role_options *o, struct error *err);
/** Replace the arguments that a role's next start gets. */
int supervisor_set_argv(struct supervisor *s, const char *name, const char *const *argv);
/** Fill @fds (SUPERVISOR_MAX_FDS of them) and return how many; *@ret_timeout_ms is when to dispatch at the latest (-1: never). */
size_t supervisor_poll_fds(struct supervisor *s, struct pollfd *fds, int *ret_timeout_ms);
/** Start what is due, read what roles said, reap what ended. -ECHILD and @err when a role failed three times without ever being ready. */
int supervisor_dispatch(struct supervisor *s, struct error *err);
/** New array with what each role does: {"name", "state", "pid" (0: none), "starts", "seconds" (since its last start)}. NULL on no memory. */
json_t *supervisor_report(const struct supervisor *s);
/** Whether every role is ready. */
bool supervisor_ready(const struct supervisor *s);
/** Name of the first role that is not ready yet, or NULL. */
const char *supervisor_waiting_for(const struct supervisor *s);
/** SIGTERM one role after the other, last added first, each at most @timeout_ns, then SIGKILL. */
void supervisor_stop(struct supervisor *s, int64_t timeout_ns);
/** Kills what still runs. Accepts NULL. */
void supervisor_free(struct supervisor *s);
