#include "server.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/error.h"
#include "base/file.h"
#include "kube/client.h"

#define READY_NS (60 * NSEC_PER_SEC)

int load_server_init(struct load_server *s, const char *sluice, struct error *err)
{
	*s = (struct load_server){.sluice = sluice, .process = PROCESS_NONE, .out = -1};
	(void)snprintf(s->dir, sizeof s->dir, "/tmp/sluice-load-XXXXXX");
	if (mkdtemp(s->dir) == NULL)
		return error_set(err, -errno, "mkdtemp %s: %s", s->dir, strerror(errno));
	(void)snprintf(s->kubeconfig, sizeof s->kubeconfig, "%s/kubeconfig", s->dir);
	(void)snprintf(s->log, sizeof s->log, "%s/log", s->dir);
	return 0;
}

int load_server_spawn(struct load_server *s, struct error *err)
{
	int fds[2];
	if (pipe2(fds, O_CLOEXEC) < 0)
		return error_set(err, -errno, "pipe: %s", strerror(errno));
	CLEANUP(close_fd) int in = fds[0];
	CLEANUP(close_fd) int out = fds[1];
	CLEANUP(close_fd) int log = open(s->log, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
	if (log < 0)
		return error_set(err, -errno, "open %s: %s", s->log, strerror(errno));
	const char *const argv[] = {s->sluice, "api", "--data-dir", s->dir, "--kubeconfig", s->kubeconfig, NULL};
	const struct process_options o = {.argv = argv, .fd_out = out, .fd_err = log, .die_with_parent = true};
	int rc = process_spawn(&o, &s->process, err);
	if (rc == 0)
		s->out = TAKE_FD(in);
	return rc;
}

int load_server_ready(struct load_server *s, struct error *err)
{
	char text[256] = "";
	size_t n = 0;
	int64_t end = clock_mono_ns() + READY_NS;
	CLEANUP(close_fd) int in = s->out;
	s->out = -1;
	while (strchr(text, '\n') == NULL) {
		struct pollfd p = {.fd = in, .events = POLLIN};
		int64_t left = (end - clock_mono_ns()) / NSEC_PER_MSEC;
		if (left <= 0 || poll(&p, 1, (int)left) <= 0)
			return error_set(err, -ETIMEDOUT, "the server does not get ready; see %s", s->log);
		ssize_t k = read(in, text + n, sizeof text - 1 - n);
		if (k <= 0)
			return error_set(err, -EPIPE, "the server ended before it was ready; see %s", s->log);
		n += (size_t)k;
		text[n] = '\0';
	}
	return strncmp(text, "ready: ", 7) == 0 ? 0 : error_set(err, -EPROTO, "the server says '%s'", text);
}

void load_server_kill(struct load_server *s)
{
	process_kill(&s->process);
	if (s->out >= 0)
		(void)close(s->out);
	s->out = -1;
}

int load_server_stop(struct load_server *s)
{
	int status = 0;
	(void)process_signal(&s->process, SIGTERM); /* a server that is gone shows in the wait */
	if (process_wait(&s->process, clock_mono_ns() + READY_NS, &status) < 0)
		return -1;
	return WIFSIGNALED(status) ? 128 + WTERMSIG(status) : WEXITSTATUS(status);
}

void load_server_clear(struct load_server *s)
{
	load_server_kill(s);
	(void)file_remove_all(s->dir, NULL); /* what is left lies in /tmp */
}

int load_server_client(const struct load_server *s, struct kube_client **ret, struct error *err)
{
	struct kube_config *cfg = NULL;
	int rc = kube_config_load(s->kubeconfig, NULL, &cfg, err);
	if (rc == 0)
		rc = kube_client_new(cfg, "load", ret, err);
	kube_config_free(cfg);
	return rc;
}
