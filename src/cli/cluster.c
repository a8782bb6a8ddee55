#include "cli/cluster.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/pidfd.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/error.h"
#include "base/file.h"
#include "base/process.h"
#include "base/str.h"
#include "cli/run.h"
#include "cli/up_protocol.h"
#include "json/json.h"

#define ANSWER_NS      (10 * NSEC_PER_SEC)
#define UP_OPTIONS_MAX 12
#define START_AGAIN_NS (3 * NSEC_PER_SEC)

int cluster_connect(const char *data_dir)
{
	struct sockaddr_un addr = {.sun_family = AF_UNIX};
	if (snprintf(addr.sun_path, sizeof addr.sun_path, "%s/%s", data_dir, UP_SOCKET_NAME) >=
	    (int)sizeof addr.sun_path)
		return -ENAMETOOLONG;
	CLEANUP(close_fd) int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (fd < 0 || connect(fd, (struct sockaddr *)&addr, sizeof addr) != 0)
		return -errno;
	return TAKE_FD(fd);
}

static bool is_absent(int rc)
{
	return rc == -ENOENT || rc == -ECONNREFUSED;
}

int cluster_find(const char *dir, char **ret_dir, struct error *err)
{
	*ret_dir = realpath(dir, NULL);
	if (*ret_dir == NULL)
		*ret_dir = strdup(dir);
	if (*ret_dir == NULL)
		return error_set(err, -ENOMEM, "out of memory");
	const int fd = cluster_connect(*ret_dir);
	if (is_absent(fd))
		return error_set(err, -ENOENT, "no cluster serves '%s': 'sluice up --detach' starts one", *ret_dir);
	return fd >= 0 ? fd : error_set(err, fd, "connect to the cluster of '%s': %s", *ret_dir, strerror(-fd));
}

static int start_up(const char *data_dir, const char *const *options, struct error *err)
{
	CLEANUP(free_p) char *self = file_self_exe();
	CLEANUP(free_p) char *logs = str_printf("%s/logs", data_dir);
	CLEANUP(free_p) char *log_path = str_printf("%s/logs/up.log", data_dir);
	if (self == NULL || logs == NULL || log_path == NULL)
		return error_set(err, -ENOMEM, "out of memory");
	int rc = file_mkdir_all(logs, 0700, err);
	if (rc != 0)
		return rc;
	CLEANUP(close_fd) int log = open(log_path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
	CLEANUP(close_fd) int null = open("/dev/null", O_WRONLY | O_CLOEXEC);
	if (log < 0 || null < 0)
		return error_set(err, -errno, "open '%s': %s", log_path, strerror(errno));
	const char *argv[4 + UP_OPTIONS_MAX + 1] = {self, "up", "--data-dir", data_dir};
	for (size_t i = 0; options[i] != NULL; i++) {
		if (i == UP_OPTIONS_MAX)
			return error_set(err, -E2BIG, "start the cluster: too many options");
		argv[4 + i] = options[i];
	}
	struct process p;
	rc = process_spawn(&(struct process_options){.argv = argv, .fd_in = -1, .fd_out = null, .fd_err = log}, &p,
			   err);
	if (rc != 0)
		return error_wrap(err, rc, "start the cluster");
	close_fd(&p.pidfd); /* it is its own master; we talk to it over its socket */
	return 0;
}

/* Wait for one line of `up`, without its newline. @signal_fd may be -1. */
static int read_line(int fd, int signal_fd, int64_t deadline, char line[static UP_LINE_MAX], struct error *err)
{
	for (size_t n = 0; n < UP_LINE_MAX - 1;) {
		const int64_t left = deadline - clock_mono_ns();
		if (left <= 0)
			return error_set(err, -ETIMEDOUT,
					 "the cluster does not get ready in time: see the logs in its data directory");
		struct pollfd fds[] = {{.fd = fd, .events = POLLIN}, {.fd = signal_fd, .events = POLLIN}};
		(void)poll(fds, 2, (int)(left / NSEC_PER_MSEC) + 1);
		if (fds[1].revents != 0)
			return error_set(err, -EINTR, "interrupted");
		if (fds[0].revents == 0)
			continue;
		const ssize_t k = read(fd, line + n, 1);
		if (k == 0 || (k < 0 && errno != EINTR))
			return error_set(err, -ECONNRESET,
					 "the cluster ended while it was asked: see logs/up.log in its data directory");
		if (k == 1 && line[n] == '\n') {
			line[n] = '\0';
			return 0;
		}
		n += k == 1;
	}
	return error_set(err, -EPROTO, "the cluster speaks another language: is it of another version?");
}

/* A line that `up` understands; it is far shorter than a socket's buffer. */
static int say(int fd, const char *line, struct error *err)
{
	const ssize_t n = send(fd, line, strlen(line), MSG_NOSIGNAL);
	return n == (ssize_t)strlen(line) ? 0 : error_set(err, -ECONNRESET, "the cluster is just ending; try again");
}

int cluster_await_ready(int fd, int signal_fd, int64_t deadline, char **ret_kubeconfig, struct error *err)
{
	char line[UP_LINE_MAX];
	int rc = say(fd, "join\n", err);
	while (rc == 0) {
		rc = read_line(fd, signal_fd, deadline, line, err);
		if (rc != 0)
			break;
		if (str_has_prefix(line, "ready ")) {
			*ret_kubeconfig = strdup(line + strlen("ready "));
			return *ret_kubeconfig == NULL ? error_set(err, -ENOMEM, "out of memory") : 0;
		}
		if (str_has_prefix(line, "failed "))
			return error_set(err, -ECHILD, "the cluster cannot start: %s", line + strlen("failed "));
		if (str_has_prefix(line, "wait "))
			progress("starting the cluster: waiting for %s", line + strlen("wait "));
	}
	return rc;
}

int cluster_connect_or_start(const char *data_dir, const char *const *options, int signal_fd, int64_t deadline,
			     struct error *err)
{
	int64_t start_again_at = 0;
	for (;;) {
		const int fd = cluster_connect(data_dir);
		if (fd >= 0)
			return fd;
		if (!is_absent(fd))
			return error_set(err, fd, "connect to the cluster of '%s': %s", data_dir, strerror(-fd));
		const int64_t now = clock_mono_ns();
		if (now > deadline)
			return error_set(err, -ETIMEDOUT, "the cluster does not start: see '%s/logs/up.log'", data_dir);
		if (now >= start_again_at) {
			progress("starting the cluster");
			const int rc = start_up(data_dir, options, err);
			if (rc != 0)
				return rc;
			start_again_at = now + START_AGAIN_NS; /* the one that was ending held the lock: ours gave up */
		}
		if (poll(&(struct pollfd){.fd = signal_fd, .events = POLLIN}, 1, 20) > 0)
			return error_set(err, -EINTR, "interrupted");
	}
}

int cluster_status(int fd, json_t **ret, struct error *err)
{
	char line[UP_LINE_MAX];
	const int64_t deadline = clock_mono_ns() + ANSWER_NS;
	int rc = say(fd, "status\n", err);
	while (rc == 0) {
		rc = read_line(fd, -1, deadline, line, err);
		if (rc == 0 && str_has_prefix(line, "status "))
			break;
	}
	if (rc != 0)
		return rc;
	const char *text = line + strlen("status ");
	return json_parse(text, strlen(text), ret, err);
}

int cluster_stop(int fd, int signal_fd, int64_t deadline, struct error *err)
{
	/* Whoever listens on the socket holds the data directory. */
	struct ucred cred;
	socklen_t n = sizeof cred;
	if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &cred, &n) != 0)
		return error_set(err, -errno, "who serves the data directory: %s", strerror(errno));
	CLEANUP(close_fd) int pidfd = pidfd_open(cred.pid, 0);
	if (pidfd < 0 && errno == ESRCH)
		return 0;
	if (pidfd < 0 || (pidfd_send_signal(pidfd, SIGTERM, NULL, 0) != 0 && errno != ESRCH))
		return error_set(err, -errno, "end process %d: %s", cred.pid, strerror(errno));
	for (;;) {
		const int64_t left = deadline - clock_mono_ns();
		if (left <= 0)
			return error_set(err, -ETIMEDOUT,
					 "process %d has not ended in time: logs/up.log in its data directory says "
					 "what it waits for",
					 cred.pid);
		struct pollfd fds[] = {{.fd = pidfd, .events = POLLIN}, {.fd = signal_fd, .events = POLLIN}};
		(void)poll(fds, 2, (int)(left / NSEC_PER_MSEC) + 1);
		if (fds[0].revents != 0)
			return 0;
		if (fds[1].revents != 0)
			return error_set(err, -EINTR, "interrupted; the cluster goes on ending");
	}
}
