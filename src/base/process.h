/*
 * Child processes: argv only (never a shell), own process group, CLOEXEC everywhere, pidfd, deadlines.
 * Threads: any; the child is made with vfork semantics by posix_spawn or clone, no code runs between fork and exec in threads.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

struct error;

struct process {
	pid_t pid; /* 0: none */
	int pidfd; /* readable when it has ended */
};

#define PROCESS_NONE ((struct process){.pidfd = -1})

struct process_options {
	const char *const *argv; /* NULL-terminated; argv[0] is looked up in PATH */
	const char *const *envp; /* NULL: the parent's environment */
	const char *cwd;         /* NULL: the parent's */
	/* What becomes 0, 1, 2; -1 or 0 (unset): /dev/null for 0, the parent's for 1 and 2. */
	int fd_in, fd_out, fd_err;
	const int *pass_fds; /* kept open under the same numbers */
	size_t n_pass_fds;
	bool die_with_parent; /* SIGKILL when the spawning thread's process ends (PR_SET_PDEATHSIG) */
	bool same_group;      /* stay in the parent's process group (default: a group of its own) */
};

/** Start a child. The caller ends with process_wait() or process_kill(). */
int process_spawn(const struct process_options *o, struct process *ret, struct error *err);
/** Wait until @deadline_mono_ns (INT64_MAX: for ever). 0 and *@ret_status as of waitpid; -ETIMEDOUT leaves it running. */
int process_wait(struct process *p, int64_t deadline_mono_ns, int *ret_status);
/** Send @sig to its group (or to it alone when same_group). 0 or -errno; -ESRCH when it is gone. */
int process_signal(const struct process *p, int sig);
/** SIGKILL its group and reap it. Accepts an empty one. */
void process_kill(struct process *p);

struct process_result {
	int status;      /* exit code, or 128 + signal */
	char *out, *err; /* malloc'ed, NUL-terminated, owned by the caller: process_result_clear() */
	size_t out_n, err_n;
};

/**
 * Run to the end with stdin from @in (may be NULL), collecting at most @max bytes of each output (more: killed, -EFBIG).
 * -ETIMEDOUT: killed at @timeout_ns. A non-zero exit is no error here: look at @ret->status.
 */
int process_run(const char *const *argv, const char *in, size_t in_n, size_t max, int64_t timeout_ns,
		struct process_result *ret, struct error *err);
void process_result_clear(struct process_result *r);
