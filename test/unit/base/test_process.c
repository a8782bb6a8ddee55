#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <sys/wait.h>

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/error.h"
#include "base/process.h"
#include "base/str.h"

#define SOON      (10 * NSEC_PER_SEC)
#define ARGV(...) ((const char *const[]){__VA_ARGS__, NULL})

static void run_collects(void **state)
{
	(void)state;
	struct process_result r = {0};
	struct error e = {0};
	assert_int_equal(process_run(ARGV("sh", "-c", "cat; echo no >&2; exit 3"), "hello", 5, 100, SOON, &r, &e), 0);
	assert_int_equal(r.status, 3);
	assert_string_equal(r.out, "hello");
	assert_string_equal(r.err, "no\n");
	assert_int_equal(r.out_n, 5);
	process_result_clear(&r);

	assert_int_equal(process_run(ARGV("sh", "-c", "kill -9 $$"), NULL, 0, 100, SOON, &r, &e), 0);
	assert_int_equal(r.status, 128 + SIGKILL);
	process_result_clear(&r);
	assert_int_equal(process_run(ARGV("cat"), NULL, 0, 100, SOON, &r, &e), 0); /* stdin is empty, not ours */
	assert_string_equal(r.out, "");
	process_result_clear(&r);
}

static void run_limits(void **state)
{
	(void)state;
	struct process_result r = {0};
	struct error e = {0};
	assert_int_equal(process_run(ARGV("yes"), NULL, 0, 1000, SOON, &r, &e), -EFBIG);
	assert_string_equal(e.msg, "run 'yes': it printed more than 1000 bytes and was killed");
	assert_int_equal(process_run(ARGV("sleep", "100"), NULL, 0, 1000, 20 * NSEC_PER_MSEC, &r, &e), -ETIMEDOUT);
	assert_string_equal(e.msg, "run 'sleep': it did not end in time and was killed");
	/* A grandchild that keeps the pipes open does not hold us up. */
	const int64_t start = clock_mono_ns();
	assert_int_equal(process_run(ARGV("sh", "-c", "sleep 30 & echo $!"), NULL, 0, 1000, SOON, &r, &e), 0);
	assert_true(clock_mono_ns() - start < SOON);
	int64_t pid = 0;
	r.out[strcspn(r.out, "\n")] = '\0';
	assert_int_equal(str_to_i64(r.out, &pid), 0);
	assert_int_equal(kill((pid_t)pid, SIGKILL), 0);
	process_result_clear(&r);
}

static void spawn_errors(void **state)
{
	(void)state;
	struct process p = PROCESS_NONE;
	struct error e = {0};
	assert_int_equal(process_spawn(&(struct process_options){.argv = ARGV("no-such-program")}, &p, &e), -ENOENT);
	assert_string_equal(e.msg, "start 'no-such-program': no such program in PATH");
	assert_int_equal(process_spawn(&(struct process_options){.argv = ARGV("/etc/passwd")}, &p, &e), -EACCES);
	assert_string_equal(e.msg, "start '/etc/passwd': execute: Permission denied");
	assert_int_equal(process_spawn(&(struct process_options){.argv = ARGV("true"), .cwd = "/no/such"}, &p, &e),
			 -ENOENT);
	assert_string_equal(e.msg, "start 'true': change directory: No such file or directory");
	assert_int_equal(p.pid, 0);
	assert_int_equal(process_signal(&p, SIGTERM), -ESRCH);
	assert_int_equal(process_wait(&p, 0, NULL), -ECHILD);
	process_kill(&p);
}

static void spawn_and_signal(void **state)
{
	(void)state;
	struct process p = PROCESS_NONE;
	assert_int_equal(process_spawn(&(struct process_options){.argv = ARGV("sleep", "100")}, &p, NULL), 0);
	assert_int_equal(getpgid(p.pid), p.pid);
	assert_int_equal(process_wait(&p, clock_mono_ns() + NSEC_PER_MSEC, NULL), -ETIMEDOUT);
	assert_int_equal(process_signal(&p, SIGTERM), 0);
	int status = 0;
	assert_int_equal(process_wait(&p, clock_mono_ns() + SOON, &status), 0);
	assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGTERM);
	assert_int_equal(p.pid, 0);

	assert_int_equal(
		process_spawn(&(struct process_options){.argv = ARGV("sleep", "100"), .same_group = true}, &p, NULL),
		0);
	assert_int_equal(getpgid(p.pid), getpgrp());
	process_kill(&p);
	assert_int_equal(p.pid, 0);
}

static void spawn_passes_fds(void **state)
{
	(void)state;
	int pipefd[2], other[2];
	assert_int_equal(pipe2(pipefd, O_CLOEXEC), 0);
	assert_int_equal(pipe2(other, O_CLOEXEC), 0);
	char script[200];
	/* One end is passed; the other, made in the same way, must be closed; the environment is only what was given. */
	(void)snprintf(script, sizeof script, "echo got >&%d; test ! -e /proc/self/fd/%d && echo closed $A $HOME; pwd",
		       pipefd[1], other[1]);
	struct process p = PROCESS_NONE;
	assert_int_equal(process_spawn(&(struct process_options){.argv = ARGV("/bin/sh", "-c", script),
								 .envp = ARGV("A=b"),
								 .cwd = "/usr",
								 .fd_out = pipefd[1],
								 .pass_fds = &pipefd[1],
								 .n_pass_fds = 1},
				       &p, NULL),
			 0);
	int status = -1;
	assert_int_equal(process_wait(&p, clock_mono_ns() + SOON, &status), 0);
	assert_int_equal(status, 0);
	char buf[100] = "";
	assert_true(read(pipefd[0], buf, sizeof buf - 1) > 0);
	assert_string_equal(buf, "got\nclosed b\n/usr\n");
	for (int i = 0; i < 2; i++) {
		close_fd(&pipefd[i]);
		close_fd(&other[i]);
	}
}

static void spawn_resets_signals(void **state)
{
	(void)state;
	struct sigaction ignore = {.sa_handler = SIG_IGN}, old;
	sigset_t usr1, oldset;
	(void)sigemptyset(&usr1);
	(void)sigaddset(&usr1, SIGUSR1);
	assert_int_equal(sigaction(SIGPIPE, &ignore, &old), 0);
	assert_int_equal(pthread_sigmask(SIG_BLOCK, &usr1, &oldset), 0);
	struct process_result r = {0};
	assert_int_equal(
		process_run(ARGV("grep", "-E", "^Sig(Blk|Ign)", "/proc/self/status"), NULL, 0, 1000, SOON, &r, NULL),
		0);
	assert_string_equal(r.out, "SigBlk:\t0000000000000000\nSigIgn:\t0000000000000000\n");
	process_result_clear(&r);
	(void)sigaction(SIGPIPE, &old, NULL);
	(void)pthread_sigmask(SIG_SETMASK, &oldset, NULL);
}

static void *spawn_in_thread(void *arg)
{
	struct process_options o = {.argv = ARGV("sleep", "100"), .die_with_parent = true};
	return process_spawn(&o, arg, NULL) == 0 ? arg : NULL;
}

/* It dies with the process, not with the thread that happened to start it. */
static void death_of_thread_is_not_of_parent(void **state)
{
	(void)state;
	struct process p = PROCESS_NONE;
	pthread_t t;
	void *ok = NULL;
	assert_int_equal(pthread_create(&t, NULL, spawn_in_thread, &p), 0);
	assert_int_equal(pthread_join(t, &ok), 0);
	assert_non_null(ok);
	assert_int_equal(process_wait(&p, clock_mono_ns() + 50 * NSEC_PER_MSEC, NULL), -ETIMEDOUT);
	process_kill(&p);
}

static int helper_parent(void)
{
	struct process p = PROCESS_NONE;
	struct process_options o = {.argv = ARGV("sleep", "100"), .die_with_parent = true};
	if (process_spawn(&o, &p, NULL) != 0)
		return 1;
	(void)printf("%d\n", (int)p.pid);
	(void)fflush(stdout);
	_exit(0); /* without a word to the child */
}

static void dies_with_parent(void **state)
{
	(void)state;
	struct process_result r = {0};
	assert_int_equal(process_run(ARGV(program_invocation_name, "parent"), NULL, 0, 100, SOON, &r, NULL), 0);
	assert_int_equal(r.status, 0);
	int64_t pid = 0;
	r.out[strcspn(r.out, "\n")] = '\0';
	assert_int_equal(str_to_i64(r.out, &pid), 0);
	process_result_clear(&r);
	const int64_t deadline = clock_mono_ns() + SOON;
	bool gone = false;
	while (!gone && clock_mono_ns() < deadline) {
		/* A zombie nobody reaps (no init in a container) is as dead as one that is gone. */
		char path[64], text[512] = "";
		(void)snprintf(path, sizeof path, "/proc/%lld/stat", (long long)pid);
		CLEANUP(close_fd) int fd = open(path, O_RDONLY | O_CLOEXEC);
		gone = fd < 0 || read(fd, text, sizeof text - 1) <= 0 || strstr(text, ") Z ") != NULL;
	}
	assert_true(gone);
}

int main(int argc, char **argv)
{
	if (argc == 2 && strcmp(argv[1], "parent") == 0)
		return helper_parent();
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(run_collects),
		cmocka_unit_test(run_limits),
		cmocka_unit_test(spawn_errors),
		cmocka_unit_test(spawn_and_signal),
		cmocka_unit_test(spawn_passes_fds),
		cmocka_unit_test(spawn_resets_signals),
		cmocka_unit_test(death_of_thread_is_not_of_parent),
		cmocka_unit_test(dies_with_parent),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
