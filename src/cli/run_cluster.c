/* Joining the one-machine cluster, or starting it. */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/error.h"
#include "base/file.h"
#include "base/process.h"
#include "base/str.h"
#include "cli/command.h"
#include "cli/run.h"
#include "cli/up_protocol.h"
#include "kube/client.h"

#define START_TIMEOUT_NS (60 * NSEC_PER_SEC)
#define LEAVE_TIMEOUT_NS (100 * NSEC_PER_SEC)

static int connect_up(const char *data_dir)
{
	struct sockaddr_un addr = {.sun_family = AF_UNIX};
	(void)snprintf(addr.sun_path, sizeof addr.sun_path, "%s/%s", data_dir, UP_SOCKET_NAME);
	CLEANUP(close_fd) int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (fd < 0 || connect(fd, (struct sockaddr *)&addr, sizeof addr) != 0)
		return -errno;
	return TAKE_FD(fd);
}

/* A cluster in a session of its own: Ctrl-C in our terminal is ours to answer, and it outlives us while others need it. */
static int start_up(const char *data_dir, struct error *err)
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
	const char *argv[] = {self, "up", "--data-dir", data_dir, "--listen", "127.0.0.1:0", "--until-idle", NULL};
	struct process p;
	rc = process_spawn(&(struct process_options){.argv = argv, .fd_in = -1, .fd_out = null, .fd_err = log}, &p,
			   err);
	if (rc != 0)
		return error_wrap(err, rc, "start the cluster");
	close_fd(&p.pidfd); /* it is its own master; we talk to it over its socket */
	return 0;
}

/* Wait for one line of `up`; *@ret_line is NUL-terminated without its newline. */
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
					 "the cluster ended while it was starting: see up.log in its logs");
		if (k == 1 && line[n] == '\n') {
			line[n] = '\0';
			return 0;
		}
		n += k == 1;
	}
	return error_set(err, -EPROTO, "the cluster speaks another language: is it of another version?");
}

static int await_ready(struct run_cluster *c, int signal_fd, int64_t deadline, struct error *err)
{
	char line[UP_LINE_MAX];
	for (;;) {
		const int rc = read_line(c->fd, signal_fd, deadline, line, err);
		if (rc != 0)
			return rc;
		if (str_has_prefix(line, "ready ")) {
			c->kubeconfig = strdup(line + strlen("ready "));
			return c->kubeconfig == NULL ? error_set(err, -ENOMEM, "out of memory") : 0;
		}
		if (str_has_prefix(line, "failed "))
			return error_set(err, -ECHILD, "the cluster cannot start: %s", line + strlen("failed "));
		progress("starting the cluster: waiting for %s",
			 line + (str_has_prefix(line, "wait ") ? strlen("wait ") : 0));
	}
}

/* Connect, starting a cluster when nobody listens; one that is just ending is waited for. */
static int connect_or_start(const char *data_dir, int signal_fd, int64_t deadline, struct error *err)
{
	int64_t start_again_at = 0;
	for (;;) {
		const int fd = connect_up(data_dir);
		if (fd >= 0)
			return fd;
		if (fd != -ENOENT && fd != -ECONNREFUSED)
			return error_set(err, fd, "connect to the cluster of '%s': %s", data_dir, strerror(-fd));
		const int64_t now = clock_mono_ns();
		if (now > deadline)
			return error_set(err, -ETIMEDOUT, "the cluster does not start: see '%s/logs/up.log'", data_dir);
		if (now >= start_again_at) {
			progress("starting the cluster");
			const int rc = start_up(data_dir, err);
			if (rc != 0)
				return rc;
			start_again_at =
				now + 3 * NSEC_PER_SEC; /* the one that was ending held the lock: ours gave up */
		}
		if (poll(&(struct pollfd){.fd = signal_fd, .events = POLLIN}, 1, 20) > 0)
			return error_set(err, -EINTR, "interrupted");
	}
}

int run_cluster_join(const char *data_dir, int signal_fd, struct run_cluster *ret, struct error *err)
{
	struct run_cluster c = {.fd = -1};
	const int64_t deadline = clock_mono_ns() + START_TIMEOUT_NS;
	c.fd = connect_or_start(data_dir, signal_fd, deadline, err);
	int rc = c.fd < 0 ? c.fd : await_ready(&c, signal_fd, deadline, err);
	if (rc == 0)
		rc = kube_config_load(c.kubeconfig, NULL, &c.config, err);
	if (rc == 0)
		rc = kube_client_new(c.config, "sluice-run/" SLUICE_VERSION, &c.client, err);
	if (rc != 0) {
		run_cluster_leave(&c, data_dir);
		return rc;
	}
	*ret = c;
	return 0;
}

void run_cluster_leave(struct run_cluster *c, const char *data_dir)
{
	kube_client_free(c->client);
	kube_config_free(c->config);
	free(c->kubeconfig);
	const bool joined = c->fd >= 0;
	close_fd(&c->fd);
	*c = (struct run_cluster){.fd = -1};
	if (!joined)
		return;

	/* Its lock is free when it has ended; it lives on while others are in it, which its socket tells. */
	CLEANUP(free_p) char *path = str_printf("%s/up.lock", data_dir);
	CLEANUP(close_fd) int lock = path == NULL ? -1 : open(path, O_RDWR | O_CLOEXEC);
	const int64_t deadline = clock_mono_ns() + LEAVE_TIMEOUT_NS;
	const int64_t others_at = clock_mono_ns() + 300 * NSEC_PER_MSEC;
	while (lock >= 0 && clock_mono_ns() < deadline && flock(lock, LOCK_SH | LOCK_NB) != 0) {
		if (clock_mono_ns() > others_at) {
			CLEANUP(close_fd) int fd = connect_up(data_dir);
			if (fd >= 0)
				return;
		}
		(void)poll(NULL, 0, 20);
	}
}
