#include "local/agent_runtime.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/error.h"
#include "base/file.h"
#include "base/process.h"
#include "base/random.h"
#include "base/str.h"
#include "local/agent_paths.h"
#include "json/json.h"

#define CREATE_TIMEOUT_NS (60 * NSEC_PER_SEC)
#define RUNC_TIMEOUT_NS   (30 * NSEC_PER_SEC)
#define RUNC_OUTPUT_MAX   (256u << 10)
#define SYNC_MAX          (64u << 10)
/* The agent rotates logs far below this; it is what holds while no agent runs. */
#define LOG_SIZE_LAST_RESORT "67108864"

void runtime_new_id(char out[static CONTAINER_ID_MAX + 1])
{
	unsigned char raw[16];
	random_bytes(raw, sizeof raw);
	for (size_t i = 0; i < sizeof raw; i++)
		(void)snprintf(out + 2 * i, 3, "%02x", raw[i]);
}

static int bundle_path(const struct agent_paths *p, const char *id, const char *rest, struct path *ret,
		       struct error *err)
{
	return path_set(ret, err, "%s/containers/%s%s", p->data_dir, id, rest);
}

/* The last line of runc's output without its decoration (time="..." level=error msg="...") is what a person wants to read. */
static void runc_words(const char *text, char *out, size_t size)
{
	size_t n = strlen(text);
	while (n > 0 && (text[n - 1] == '\n' || text[n - 1] == ' '))
		n--;
	size_t from = n;
	while (from > 0 && text[from - 1] != '\n')
		from--;
	const char *p = text + from, *end = text + n;
	const char *msg = memmem(p, n - from, "msg=\"", 5);
	if (msg != NULL)
		p = msg + 5;
	size_t k = 0;
	for (; p < end && k + 1 < size; p++) {
		if (msg != NULL && *p == '"')
			break;
		if (msg != NULL && *p == '\\' && p + 1 < end)
			p++;
		out[k++] = *p;
	}
	out[k] = '\0';
}

/* Run runc --root=R VERB ... ID and give its complaint as the error. */
static int run_runc(const struct agent_paths *p, const char *what, const char *const *words, size_t n,
		    struct error *err)
{
	struct path root;
	int rc = path_set(&root, err, "--root=%s/containers/runc", p->data_dir);
	if (rc < 0)
		return rc;
	const char *argv[12] = {p->runc, root.p};
	for (size_t i = 0; i < n; i++)
		argv[2 + i] = words[i];
	struct process_result res = {0};
	rc = process_run(argv, NULL, 0, RUNC_OUTPUT_MAX, RUNC_TIMEOUT_NS, &res, err);
	if (rc < 0)
		return error_wrap(err, rc, "runc %s", what);
	if (res.status != 0) {
		char words_out[401];
		runc_words(res.err, words_out, sizeof words_out);
		const bool gone = strstr(res.err, "does not exist") != NULL ||
				  strstr(res.err, "process already finished") != NULL ||
				  strstr(res.err, "container not running") != NULL ||
				  strstr(res.err, "no such process") != NULL;
		rc = error_set(err, gone ? -ESRCH : -EIO, "runc %s: %s", what, words_out);
	}
	process_result_clear(&res);
	return rc;
}

static int write_config(const struct agent_paths *p, const char *id, const json_t *config, struct error *err)
{
	struct path path;
	CLEANUP(free_p) char *text = json_to_text(config, NULL);
	if (text == NULL)
		return error_set(err, -ENOMEM, "container's configuration: out of memory");
	const int rc = bundle_path(p, id, "/config.json", &path, err);
	return rc ?: file_write_atomic(path.p, 0600, text, strlen(text), err);
}

/* conmon tells {"pid": N}, or {"pid": -1, "message": "runc's words"}. */
static int read_sync(int fd, int64_t deadline, struct error *err)
{
	CLEANUP(free_p) char *buf = malloc(SYNC_MAX + 1);
	if (buf == NULL)
		return error_set(err, -ENOMEM, "out of memory");
	size_t n = 0;
	while (n < SYNC_MAX && memchr(buf, '\n', n) == NULL) {
		const int64_t left = deadline - clock_mono_ns();
		struct pollfd pfd = {.fd = fd, .events = POLLIN};
		const int ready = left > 0 ? poll(&pfd, 1, (int)(left / NSEC_PER_MSEC) + 1) : 0;
		if (ready == 0)
			return error_set(err, -ETIMEDOUT, "the container runtime does not answer");
		const ssize_t k = ready < 0 ? -1 : read(fd, buf + n, SYNC_MAX - n);
		if (k < 0 && errno == EINTR)
			continue;
		if (k < 0)
			return error_set(err, -errno, "the container's monitor: %s", strerror(errno));
		if (k == 0)
			break;
		n += (size_t)k;
	}
	buf[n] = '\0';
	JSON_AUTO answer = NULL;
	const char *end = memchr(buf, '\n', n);
	if (n == 0 || json_parse(buf, end != NULL ? (size_t)(end - buf) : n, &answer, NULL) < 0)
		return error_set(err, -EIO, "the container's monitor ended without an answer");
	if (json_int(answer, "pid", -1) > 0)
		return 0;
	char words[401];
	runc_words(json_str(answer, "message", "the runtime gives no reason"), words, sizeof words);
	return error_set(err, -EIO, "%s", words);
}

struct conmon_call {
	struct path bundle, root, log, exits, conmon_pid, pid, errors;
	char sync_env[32];
};

static int fill_call(const struct agent_paths *p, const char *id, const char *log_path, struct conmon_call *c,
		     struct error *err)
{
	int rc = bundle_path(p, id, "", &c->bundle, err);
	rc = rc ?: bundle_path(p, id, "/conmon.pid", &c->conmon_pid, err);
	rc = rc ?: bundle_path(p, id, "/pid", &c->pid, err);
	rc = rc ?: bundle_path(p, id, "/conmon.log", &c->errors, err);
	rc = rc ?: path_set(&c->root, err, "--root=%s/containers/runc", p->data_dir);
	rc = rc ?: path_set(&c->exits, err, "%s/agent/exits", p->data_dir);
	return rc ?: path_set(&c->log, err, "k8s-file:%s", log_path);
}

static int spawn_conmon(const struct agent_paths *p, const char *id, const struct runtime_io *io, struct conmon_call *c,
			int sync_fd, struct error *err)
{
	CLEANUP(close_fd) int null = open("/dev/null", O_WRONLY | O_CLOEXEC);
	CLEANUP(close_fd) int errors = open(c->errors.p, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	if (null < 0 || errors < 0)
		return error_set(err, -errno, "open '%s': %s", null < 0 ? "/dev/null" : c->errors.p, strerror(errno));
	(void)snprintf(c->sync_env, sizeof c->sync_env, "_OCI_SYNCPIPE=%d", sync_fd);
	const char *argv[40] = {p->conmon,
				"--full-attach",
				"-c",
				id,
				"-u",
				id,
				"-n",
				id,
				"-b",
				c->bundle.p,
				"-r",
				p->runc,
				"--runtime-arg",
				c->root.p,
				"-l",
				c->log.p,
				"--log-size-max",
				LOG_SIZE_LAST_RESORT,
				"--exit-dir",
				c->exits.p,
				"--persist-dir",
				c->bundle.p,
				"-P",
				c->conmon_pid.p,
				"-p",
				c->pid.p,
				"--log-level",
				"error"};
	size_t n = 0;
	while (argv[n] != NULL)
		n++;
	if (io->tty)
		argv[n++] = "--terminal";
	if (io->in)
		argv[n++] = "--stdin";
	if (io->in && !io->in_once)
		argv[n++] = "--leave-stdin-open";
	const char *const envp[] = {"PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", c->sync_env,
				    NULL};
	const struct process_options o = {.argv = argv,
					  .envp = envp,
					  .cwd = c->bundle.p,
					  .fd_out = null,
					  .fd_err = errors,
					  .pass_fds = &sync_fd,
					  .n_pass_fds = 1};
	struct process child = PROCESS_NONE;
	int rc = process_spawn(&o, &child, err);
	if (rc < 0)
		return rc;
	/* It forks and the first process ends at once; the monitor itself becomes a child of init. */
	int status = 0;
	rc = process_wait(&child, clock_mono_ns() + RUNC_TIMEOUT_NS, &status);
	if (rc < 0) {
		process_kill(&child);
		return error_set(err, rc, "conmon does not start");
	}
	return 0;
}

int runtime_create(const struct agent_paths *p, const char *id, const json_t *config, const char *log_path,
		   const struct runtime_io *io, struct error *err)
{
	/* seven paths: too much for the stack of a worker */
	CLEANUP(free_p) struct conmon_call *c = malloc(sizeof *c);
	if (c == NULL)
		return error_set(err, -ENOMEM, "create container: out of memory");
	int rc = write_config(p, id, config, err);
	rc = rc ?: fill_call(p, id, log_path, c, err);
	if (rc < 0)
		return error_wrap(err, rc, "create container");

	int fds[2];
	if (pipe2(fds, O_CLOEXEC) < 0)
		return error_set(err, -errno, "create container: pipe: %s", strerror(errno));
	CLEANUP(close_fd) int rd = fds[0];
	CLEANUP(close_fd) int wr = fds[1];
	rc = spawn_conmon(p, id, io, c, wr, err);
	(void)close(TAKE_FD(wr)); /* so that its end shows when conmon dies */
	rc = rc ?: read_sync(rd, clock_mono_ns() + CREATE_TIMEOUT_NS, err);
	return rc < 0 ? error_wrap(err, rc, "create container") : 0;
}

int runtime_start(const struct agent_paths *p, const char *id, struct error *err)
{
	return run_runc(p, "start", (const char *const[]){"start", id}, 2, err);
}

int runtime_signal(const struct agent_paths *p, const char *id, int sig, struct error *err)
{
	char number[12];
	(void)snprintf(number, sizeof number, "%d", sig);
	return run_runc(p, "kill", (const char *const[]){"kill", id, number}, 3, err);
}

int runtime_delete(const struct agent_paths *p, const char *id, struct error *err)
{
	const int rc = run_runc(p, "delete", (const char *const[]){"delete", "--force", id}, 3, err);
	return rc == -ESRCH ? 0 : rc;
}

static int read_small(const char *path, char *out, size_t size)
{
	CLEANUP(close_fd) int fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return -errno;
	const ssize_t n = file_pread_full(fd, out, size - 1, 0);
	if (n < 0)
		return (int)n;
	out[n] = '\0';
	for (char *c = out; *c != '\0'; c++)
		if (*c == '\n') {
			*c = '\0';
			break;
		}
	return 0;
}

static bool read_exit(const struct agent_paths *p, const char *id, struct runtime_exit *ret)
{
	struct path path;
	struct stat st;
	char text[32];
	int64_t code = 0;
	if (path_set(&path, NULL, "%s/agent/exits/%s", p->data_dir, id) < 0 || stat(path.p, &st) < 0 ||
	    read_small(path.p, text, sizeof text) < 0 || str_to_i64(text, &code) < 0)
		return false; /* not there, or not yet written to its end */
	*ret = (struct runtime_exit){.code = (int)code,
				     .finished_wall_ns = st.st_mtim.tv_sec * NSEC_PER_SEC + st.st_mtim.tv_nsec};
	ret->oom_killed = bundle_path(p, id, "/oom", &path, NULL) == 0 && file_exists(path.p);
	return true;
}

/* A pid may be another process by now: the command line must name this container. */
static bool names_container(int64_t pid, const char *file, const char *id)
{
	struct path path;
	if (path_set(&path, NULL, "/proc/%lld/%s", (long long)pid, file) < 0)
		return false;
	CLEANUP(free_p) char *text = NULL;
	size_t n = 0;
	return file_read(path.p, 1u << 20, &text, &n, NULL) == 0 && memmem(text, n, id, strlen(id)) != NULL;
}

static int64_t monitor_pid(const struct agent_paths *p, const char *id)
{
	struct path path;
	char text[32];
	int64_t pid = 0;
	if (bundle_path(p, id, "/conmon.pid", &path, NULL) < 0 || read_small(path.p, text, sizeof text) < 0 ||
	    str_to_i64(text, &pid) < 0 || pid <= 1 || !names_container(pid, "cmdline", id))
		return -1;
	return pid;
}

enum runtime_state runtime_look(const struct agent_paths *p, const char *id, struct runtime_exit *ret)
{
	if (read_exit(p, id, ret))
		return RUNTIME_EXITED;
	if (monitor_pid(p, id) > 0)
		return RUNTIME_RUNNING;
	/* It writes the code before it ends: look again, it may have ended between the two looks. */
	return read_exit(p, id, ret) ? RUNTIME_EXITED : RUNTIME_LOST;
}

bool runtime_is_begun(const struct agent_paths *p, const char *id)
{
	struct runtime_exit e;
	struct path root;
	if (read_exit(p, id, &e) || path_set(&root, NULL, "--root=%s/containers/runc", p->data_dir) < 0)
		return true;
	const char *const argv[] = {p->runc, root.p, "state", id, NULL};
	struct process_result res = {0};
	if (process_run(argv, NULL, 0, RUNC_OUTPUT_MAX, RUNC_TIMEOUT_NS, &res, NULL) < 0)
		return true;
	JSON_AUTO state = NULL;
	bool begun = res.status == 0;
	if (begun && json_parse(res.out, strlen(res.out), &state, NULL) == 0)
		begun = strcmp(json_str(state, "status", ""), "created") != 0;
	process_result_clear(&res);
	return begun;
}

int runtime_monitor_fd(const struct agent_paths *p, const char *id)
{
	const int64_t pid = monitor_pid(p, id);
	if (pid < 0)
		return -ESRCH;
	CLEANUP(close_fd) int fd = (int)syscall(SYS_pidfd_open, (pid_t)pid, 0);
	if (fd < 0)
		return -errno;
	/* Still the same one after opening: the descriptor is right. */
	return names_container(pid, "cmdline", id) ? TAKE_FD(fd) : -ESRCH;
}

/* runc's own end does not end the command inside. */
static void kill_inside(const char *id, const char *pid_file)
{
	char text[32];
	int64_t pid = 0;
	if (read_small(pid_file, text, sizeof text) == 0 && str_to_i64(text, &pid) == 0 && pid > 1 &&
	    names_container(pid, "cgroup", id) && kill((pid_t)-pid, SIGKILL) < 0)
		(void)kill((pid_t)pid, SIGKILL); /* not the leader of a group */
}

#define EXEC_HEAD_MAX 10

/* runc's command line: words to be freed, which borrow from the rest. */
static int exec_words(const struct agent_paths *p, const char *id, const char *const *argv, bool tty, struct path *root,
		      struct path *pid_file, const char ***ret, struct error *err)
{
	size_t n = 0, k = 0;
	while (argv[n] != NULL)
		n++;
	char token[9] = "";
	random_suffix(token, 8);
	int rc = path_set(root, err, "--root=%s/containers/runc", p->data_dir);
	rc = rc ?: path_set(pid_file, err, "%s/containers/%s/exec-%s.pid", p->data_dir, id, token);
	if (rc < 0)
		return rc;
	const char **words = calloc(n + EXEC_HEAD_MAX + 1, sizeof *words);
	if (words == NULL)
		return error_set(err, -ENOMEM, "exec: out of memory");
	const char *const head[] = {p->runc, root->p, "exec", "--pid-file", pid_file->p};
	static const char *const terminal[] = {"--tty", "--env", "TERM=xterm"};
	for (size_t i = 0; i < ARRAY_LEN(head); i++)
		words[k++] = head[i];
	for (size_t i = 0; tty && i < ARRAY_LEN(terminal); i++)
		words[k++] = terminal[i];
	words[k++] = id;
	for (size_t i = 0; i < n; i++)
		words[k++] = argv[i];
	*ret = words;
	return 0;
}

int runtime_exec(const struct agent_paths *p, const char *id, const char *const *argv, size_t max, int64_t timeout_ns,
		 struct process_result *ret, struct error *err)
{
	struct path root, pid_file;
	CLEANUP(free_p) const char **words = NULL;
	int rc = exec_words(p, id, argv, false, &root, &pid_file, &words, err);
	if (rc < 0)
		return rc;
	rc = process_run(words, NULL, 0, max, timeout_ns, ret, err);
	if (rc < 0)
		kill_inside(id, pid_file.p);
	(void)unlink(pid_file.p); /* absent when the command never began */
	return rc;
}

int runtime_exec_start(const struct agent_paths *p, const char *id, const char *const *argv, bool tty, const int fds[3],
		       struct runtime_exec *ret, struct error *err)
{
	struct path root;
	CLEANUP(free_p) const char **words = NULL;
	(void)str_copy(ret->id, sizeof ret->id, id); /* ids fit */
	int rc = exec_words(p, id, argv, tty, &root, &ret->pid_file, &words, err);
	if (rc < 0)
		return rc;
	const struct process_options o = {.argv = words, .fd_in = fds[0], .fd_out = fds[1], .fd_err = fds[2]};
	rc = process_spawn(&o, &ret->process, err);
	return rc < 0 ? error_wrap(err, rc, "exec") : 0;
}

bool runtime_exec_begun(const struct runtime_exec *e)
{
	return file_exists(e->pid_file.p);
}

void runtime_exec_end(struct runtime_exec *e)
{
	if (e->process.pid > 0) {
		kill_inside(e->id, e->pid_file.p);
		process_kill(&e->process);
	}
	(void)unlink(e->pid_file.p); /* absent when the command never began */
}

int runtime_attach(const struct agent_paths *p, const char *id, struct error *err)
{
	struct path bundle;
	int rc = bundle_path(p, id, "", &bundle, err);
	if (rc < 0)
		return rc;
	/* Paths of sockets are short: through a descriptor of the directory any path will do. */
	CLEANUP(close_fd) int dir = open(bundle.p, O_PATH | O_DIRECTORY | O_CLOEXEC);
	CLEANUP(close_fd) int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (dir < 0 || fd < 0)
		return error_set(err, -errno, "attach: '%s': %s", bundle.p, strerror(errno));
	struct sockaddr_un sa = {.sun_family = AF_UNIX};
	(void)snprintf(sa.sun_path, sizeof sa.sun_path, "/proc/self/fd/%d/attach", dir);
	if (connect(fd, (struct sockaddr *)&sa, sizeof sa) < 0)
		return error_set(err, -errno, "attach: the container's monitor: %s", strerror(errno));
	return TAKE_FD(fd);
}

/* One line into conmon's control pipe. */
static int tell_monitor(const struct agent_paths *p, const char *id, const char *line, struct error *err)
{
	struct path ctl;
	int rc = bundle_path(p, id, "/ctl", &ctl, err);
	if (rc < 0)
		return rc;
	/* Not blocking: without a conmon at the other end there is nothing to tell. */
	CLEANUP(close_fd) int fd = open(ctl.p, O_WRONLY | O_NONBLOCK | O_CLOEXEC);
	if (fd < 0)
		return error_set(err, -errno, "'%s': %s", ctl.p, strerror(errno));
	rc = file_write_all(fd, line, strlen(line));
	return rc < 0 ? error_set(err, rc, "'%s': %s", ctl.p, strerror(-rc)) : 0;
}

int runtime_reopen_log(const struct agent_paths *p, const char *id, struct error *err)
{
	const int rc = tell_monitor(p, id, "2 0 0\n", err); /* conmon's REOPEN_LOGS */
	return rc < 0 ? error_wrap(err, rc, "reopen log") : 0;
}

int runtime_resize(const struct agent_paths *p, const char *id, unsigned short rows, unsigned short columns,
		   struct error *err)
{
	char line[32];
	(void)snprintf(line, sizeof line, "1 %u %u\n", rows, columns); /* conmon's WIN_RESIZE_EVENT */
	const int rc = tell_monitor(p, id, line, err);
	return rc < 0 ? error_wrap(err, rc, "resize terminal") : 0;
}
