#include "base/process.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/error.h"
#include "base/file.h"
#include "base/strbuf.h"

#define CHILD_STACK (64u * 1024u)

extern char **environ;

/*
 * What the child reads and writes. It runs in the parent's memory (CLONE_VM | CLONE_VFORK: the caller sleeps until exec), with a
 * copy of the descriptor table and of the signal handlers, and makes only async-signal-safe calls.
 */
struct child {
	const struct process_options *o;
	const char *path;
	pid_t parent;
	int fd[3];        /* -1: as it is; never below 3, so that dup2() cannot overwrite what is still needed */
	int code;         /* out: errno */
	const char *step; /* out: what failed */
};

#define UNCHECKED __attribute__((no_sanitize("address", "undefined", "thread"), noinline))

/* ThreadSanitizer keeps books on forks and cannot bear one that shares the memory: there the child gets a copy, and only is slower. */
#if defined(__SANITIZE_THREAD__)
#define CHILD_FLAGS (CLONE_VFORK | CLONE_PIDFD | SIGCHLD)
#elif defined(__has_feature)
#if __has_feature(thread_sanitizer)
#define CHILD_FLAGS (CLONE_VFORK | CLONE_PIDFD | SIGCHLD)
#endif
#endif
#ifndef CHILD_FLAGS
#define CHILD_FLAGS (CLONE_VM | CLONE_VFORK | CLONE_PIDFD | SIGCHLD)
#endif

/* By the kernel's own call: libc's refuses the two signals it keeps for itself, which a strange parent may have ignored. */
UNCHECKED static bool child_signals(void)
{
	/* The kernel's struct sigaction on every machine: all zero is SIG_DFL without flags. */
	static const unsigned long dfl[8];
	for (int s = 1; s < NSIG; s++)
		/* Fails for SIGKILL and SIGSTOP, which need none. */
		(void)syscall(SYS_rt_sigaction, s, dfl, NULL, (size_t)(NSIG - 1) / 8);
	sigset_t none;
	return sigemptyset(&none) == 0 && sigprocmask(SIG_SETMASK, &none, NULL) == 0;
}

UNCHECKED static bool child_fds(const struct child *c)
{
	for (int i = 0; i < 3; i++)
		if (c->fd[i] >= 0 && dup2(c->fd[i], i) < 0)
			return false;
	for (size_t i = 0; i < c->o->n_pass_fds; i++)
		if (fcntl(c->o->pass_fds[i], F_SETFD, 0) < 0)
			return false;
	return true;
}

UNCHECKED static bool child_death(const struct child *c)
{
	if (!c->o->die_with_parent)
		return true;
	if (prctl(PR_SET_PDEATHSIG, SIGKILL) < 0)
		return false;
	errno = ESRCH;
	return getppid() == c->parent; /* it may have died before the prctl */
}

UNCHECKED static int child_main(void *arg)
{
	struct child *c = arg;
	c->step = "prepare";
	if ((c->o->same_group || setpgid(0, 0) == 0) && child_death(c) && child_fds(c)) {
		c->step = "change directory";
		if (c->o->cwd == NULL || chdir(c->o->cwd) == 0) {
			c->step = "execute";
			if (child_signals())
				(void)execve(c->path, (char *const *)c->o->argv,
					     c->o->envp != NULL ? (char *const *)c->o->envp : environ);
		}
	}
	c->code = errno;
	syscall(SYS_exit_group, 127); /* _exit() may run a sanitizer's hooks in memory that is not ours */
	return 127;
}

static int child_clone(struct child *c, struct process *ret)
{
	void *stack = mmap(NULL, CHILD_STACK, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS | MAP_STACK, -1, 0);
	if (stack == MAP_FAILED)
		return -errno;
	struct child *shared =
		stack; /* at the far end: what the child leaves here is seen even where memory is copied */
	*shared = *c;
	/* No handler of ours may run in the child: it would see the parent's memory. */
	sigset_t all, old;
	(void)sigfillset(&all);
	(void)pthread_sigmask(SIG_SETMASK, &all, &old);
	int pidfd = -1;
	const int pid = clone(child_main, (char *)stack + CHILD_STACK, CHILD_FLAGS, shared, &pidfd);
	const int rc = pid < 0 ? -errno : 0;
	(void)pthread_sigmask(SIG_SETMASK, &old, NULL);
	*c = *shared;
	(void)munmap(stack, CHILD_STACK);
	if (rc < 0) {
		c->step = "fork";
		return rc;
	}
	if (c->code != 0) {
		(void)waitpid(pid, NULL, 0);
		(void)close(pidfd);
		return -c->code;
	}
	*ret = (struct process){.pid = pid, .pidfd = pidfd};
	return 0;
}

/*
 * PR_SET_PDEATHSIG fires when the *thread* that made the child ends, not its process. Children that die with the parent are
 * therefore made by one thread that lives as long as the process does. It takes one request at a time.
 */
static struct {
	pthread_mutex_t lock; /* guards all below */
	pthread_cond_t change;
	bool started;
	struct child *request;
	struct process *result;
	bool done;
	int rc;
} spawner = {.lock = PTHREAD_MUTEX_INITIALIZER, .change = PTHREAD_COND_INITIALIZER};

static void *spawner_main(void *arg)
{
	(void)arg;
	(void)pthread_mutex_lock(&spawner.lock);
	for (;;) {
		while (spawner.request == NULL || spawner.done)
			(void)pthread_cond_wait(&spawner.change, &spawner.lock);
		/* The requester waits for us under no lock of its own: cloning here blocks other requests only. */
		spawner.rc = child_clone(spawner.request, spawner.result);
		spawner.done = true;
		(void)pthread_cond_broadcast(&spawner.change);
	}
	return NULL;
}

static int spawner_start_locked(void)
{
	if (spawner.started)
		return 0;
	pthread_t t;
	pthread_attr_t attr;
	sigset_t all, old;
	(void)sigfillset(&all);
	(void)pthread_attr_init(&attr);
	(void)pthread_attr_setdetachstate(&attr, PTHREAD_CREATE_DETACHED);
	(void)pthread_sigmask(SIG_SETMASK, &all, &old); /* signals belong to the program's own threads */
	const int rc = pthread_create(&t, &attr, spawner_main, NULL);
	(void)pthread_sigmask(SIG_SETMASK, &old, NULL);
	(void)pthread_attr_destroy(&attr);
	spawner.started = rc == 0;
	return -rc;
}

static int clone_by_spawner(struct child *c, struct process *ret)
{
	(void)pthread_mutex_lock(&spawner.lock);
	int rc = spawner_start_locked();
	if (rc == 0) {
		while (spawner.request != NULL)
			(void)pthread_cond_wait(&spawner.change, &spawner.lock);
		spawner.request = c;
		spawner.result = ret;
		spawner.done = false;
		(void)pthread_cond_broadcast(&spawner.change);
		while (!spawner.done)
			(void)pthread_cond_wait(&spawner.change, &spawner.lock);
		rc = spawner.rc;
		spawner.request = NULL;
		(void)pthread_cond_broadcast(&spawner.change);
	}
	(void)pthread_mutex_unlock(&spawner.lock);
	return rc;
}

static bool is_program(const char *path)
{
	struct stat st;
	return stat(path, &st) == 0 && S_ISREG(st.st_mode) && access(path, X_OK) == 0;
}

/* Find @name as execvp would. 0 or -ENOENT. */
static int find_program(const char *name, char out[static PATH_MAX])
{
	if (strchr(name, '/') != NULL)
		return (size_t)snprintf(out, PATH_MAX, "%s", name) < PATH_MAX ? 0 : -ENAMETOOLONG;
	const char *dirs = getenv("PATH");
	if (dirs == NULL || *dirs == '\0')
		dirs = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
	while (*dirs != '\0') {
		const size_t n = strcspn(dirs, ":");
		if (n > 0 && (size_t)snprintf(out, PATH_MAX, "%.*s/%s", (int)n, dirs, name) < PATH_MAX &&
		    is_program(out))
			return 0;
		dirs += n + (dirs[n] == ':');
	}
	return -ENOENT;
}

/* A descriptor for the child's @i, at 3 or above and closed on exec; -1 leaves the parent's. */
static int stdio_fd(const struct process_options *o, int i)
{
	const int want = i == 0 ? o->fd_in : i == 1 ? o->fd_out : o->fd_err;
	int fd;
	if (want > 0)
		fd = fcntl(want, F_DUPFD_CLOEXEC, 3);
	else if (i > 0)
		return -1;
	else {
		CLEANUP(close_fd) int null = open("/dev/null", O_RDONLY | O_CLOEXEC);
		fd = null < 0 ? -1 : fcntl(null, F_DUPFD_CLOEXEC, 3);
	}
	return fd < 0 ? -errno - 1 : fd; /* below -1, so that it is no "leave it" */
}

int process_spawn(const struct process_options *o, struct process *ret, struct error *err)
{
	char path[PATH_MAX];
	const char *name = o->argv[0];
	int rc = find_program(name, path);
	if (rc < 0)
		return error_set(err, rc, "start '%s': no such program in PATH", name);

	struct child c = {.o = o, .path = path, .parent = getpid(), .fd = {-1, -1, -1}};
	for (int i = 0; i < 3 && rc == 0; i++) {
		c.fd[i] = stdio_fd(o, i);
		if (c.fd[i] < -1)
			rc = error_set(err, c.fd[i] + 1, "start '%s': descriptor %d: %s", name, i,
				       strerror(-(c.fd[i] + 1)));
	}
	struct process p = PROCESS_NONE;
	if (rc == 0) {
		rc = o->die_with_parent ? clone_by_spawner(&c, &p) : child_clone(&c, &p);
		if (rc < 0)
			(void)error_set(err, rc, "start '%s': %s: %s", name, c.step != NULL ? c.step : "fork",
					strerror(-rc));
	}
	for (int i = 0; i < 3; i++)
		if (c.fd[i] >= 0)
			(void)close(c.fd[i]);
	if (rc == 0)
		*ret = p;
	return rc;
}

/* Milliseconds until @deadline for poll(), rounded up; -1: for ever. */
static int poll_ms(int64_t deadline)
{
	if (deadline == INT64_MAX)
		return -1;
	const int64_t left = deadline - clock_mono_ns();
	if (left <= 0)
		return 0;
	const int64_t ms = left / NSEC_PER_MSEC + 1;
	return ms > INT_MAX ? INT_MAX : (int)ms;
}

/* Reap a process that has ended, or wait for its end. */
static int reap(struct process *p, int *ret_status)
{
	int status = 0;
	while (waitpid(p->pid, &status, 0) < 0)
		if (errno != EINTR)
			return -errno;
	(void)close(p->pidfd);
	*p = PROCESS_NONE;
	if (ret_status != NULL)
		*ret_status = status;
	return 0;
}

int process_wait(struct process *p, int64_t deadline_mono_ns, int *ret_status)
{
	if (p->pid <= 0)
		return -ECHILD;
	for (;;) {
		struct pollfd pfd = {.fd = p->pidfd, .events = POLLIN};
		const int n = poll(&pfd, 1, poll_ms(deadline_mono_ns));
		if (n > 0)
			return reap(p, ret_status);
		if (n < 0 && errno != EINTR)
			return -errno;
		if (n == 0 && poll_ms(deadline_mono_ns) == 0)
			return -ETIMEDOUT;
	}
}

int process_signal(const struct process *p, int sig)
{
	if (p->pid <= 0)
		return -ESRCH;
	/* Until it is reaped the number is its own, so neither call can hit a stranger. */
	const pid_t target = getpgid(p->pid) == p->pid ? -p->pid : p->pid;
	return kill(target, sig) < 0 ? -errno : 0;
}

void process_kill(struct process *p)
{
	if (p == NULL || p->pid <= 0)
		return;
	(void)process_signal(p, SIGKILL); /* it may be gone already */
	(void)reap(p, NULL);
}

void process_result_clear(struct process_result *r)
{
	if (r == NULL)
		return;
	free(r->out);
	free(r->err);
	*r = (struct process_result){0};
}

/* A file of memory that holds the input: a pipe would need a writer, and SIGPIPE, beside the readers. */
static int stdin_file(const char *in, size_t n)
{
	CLEANUP(close_fd) int fd = memfd_create("stdin", MFD_CLOEXEC);
	if (fd < 0)
		return -errno;
	const int rc = file_pwrite_all(fd, in, n, 0);
	return rc < 0 ? rc : TAKE_FD(fd);
}

struct capture {
	int fd;
	struct strbuf buf;
};

/* Take what is there. 0, or -errno; the descriptor is closed at the end of the stream. */
static int capture_read(struct capture *c)
{
	char chunk[16384];
	const ssize_t k = read(c->fd, chunk, sizeof chunk);
	if (k < 0)
		return errno == EINTR || errno == EAGAIN ? 0 : -errno;
	if (k == 0) {
		(void)close(c->fd);
		c->fd = -1;
		return 0;
	}
	strbuf_add(&c->buf, chunk, (size_t)k);
	return !c->buf.failed ? 0 : c->buf.too_big ? -EFBIG : -ENOMEM;
}

/* Read both outputs until they end, or the process has and nothing more is waiting (a grandchild may keep them open). */
static int capture_all(struct capture c[2], const struct process *p, int64_t deadline)
{
	bool ended = false;
	while (c[0].fd >= 0 || c[1].fd >= 0) {
		struct pollfd pfd[3] = {{.fd = c[0].fd, .events = POLLIN},
					{.fd = c[1].fd, .events = POLLIN},
					{.fd = ended ? -1 : p->pidfd, .events = POLLIN}};
		const int n = poll(pfd, 3, ended ? 0 : poll_ms(deadline));
		if (n < 0 && errno != EINTR)
			return -errno;
		if (poll_ms(deadline) == 0)
			return -ETIMEDOUT;
		if (n == 0 && ended)
			return 0;
		if (n <= 0)
			continue;
		ended = ended || pfd[2].revents != 0;
		for (int i = 0; i < 2; i++) {
			const int rc = c[i].fd >= 0 && pfd[i].revents != 0 ? capture_read(&c[i]) : 0;
			if (rc < 0)
				return rc;
		}
	}
	return 0;
}

static int run_error(struct error *err, const char *name, int rc, size_t max)
{
	if (rc == -ETIMEDOUT)
		return error_set(err, rc, "run '%s': it did not end in time and was killed", name);
	if (rc == -EFBIG)
		return error_set(err, rc, "run '%s': it printed more than %zu bytes and was killed", name, max);
	return error_set(err, rc, "run '%s': %s", name, strerror(-rc));
}

static int collect(struct process *p, struct capture c[2], int64_t deadline, struct process_result *ret)
{
	int status = 0;
	int rc = capture_all(c, p, deadline);
	if (rc == 0)
		rc = process_wait(p, deadline, &status);
	if (rc < 0)
		return rc;
	struct process_result r = {.status = WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status),
				   .out_n = c[0].buf.n,
				   .err_n = c[1].buf.n};
	rc = strbuf_take(&c[0].buf, &r.out);
	if (rc == 0)
		rc = strbuf_take(&c[1].buf, &r.err);
	if (rc < 0) {
		process_result_clear(&r);
		return rc;
	}
	*ret = r;
	return 0;
}

int process_run(const char *const *argv, const char *in, size_t in_n, size_t max, int64_t timeout_ns,
		struct process_result *ret, struct error *err)
{
	int64_t deadline;
	if (__builtin_add_overflow(clock_mono_ns(), timeout_ns, &deadline))
		deadline = INT64_MAX;
	CLEANUP(close_fd) int fd_in = in != NULL ? stdin_file(in, in_n) : -1;
	if (in != NULL && fd_in < 0)
		return run_error(err, argv[0], fd_in, max);

	int out[2] = {-1, -1}, errs[2] = {-1, -1};
	int rc = pipe2(out, O_CLOEXEC) < 0 || pipe2(errs, O_CLOEXEC) < 0 ? -errno : 0;
	struct process p = PROCESS_NONE;
	struct capture c[2] = {{out[0], STRBUF_INIT(max)}, {errs[0], STRBUF_INIT(max)}};
	if (rc < 0)
		rc = run_error(err, argv[0], rc, max);
	else
		rc = process_spawn(
			&(struct process_options){.argv = argv, .fd_in = fd_in, .fd_out = out[1], .fd_err = errs[1]},
			&p, err);
	close_fd(&out[1]);
	close_fd(&errs[1]);
	if (rc == 0) {
		rc = collect(&p, c, deadline, ret);
		if (rc < 0)
			rc = run_error(err, argv[0], rc, max);
	}
	process_kill(&p);
	for (int i = 0; i < 2; i++) {
		close_fd(&c[i].fd);
		strbuf_clear(&c[i].buf);
	}
	return rc;
}
