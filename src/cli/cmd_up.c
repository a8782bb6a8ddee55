/*
 * `sluice up`: the one-machine cluster. Starts the API server, the node agent, the CSI plug-in and the controllers as children and
 * keeps them running until SIGTERM.
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/error.h"
#include "base/file.h"
#include "base/log.h"
#include "base/str.h"
#include "cli/cluster.h"
#include "cli/command.h"
#include "cli/machine.h"
#include "cli/run.h"
#include "cli/supervisor.h"
#include "cli/up_protocol.h"
#include "kube/client.h"
#include "json/json.h"

#define MAX_CLIENTS       64
#define IDLE_START_NS     (5 * NSEC_PER_SEC) /* how long --until-idle waits for the first client */
#define DETACH_TIMEOUT_NS (60 * NSEC_PER_SEC)
#define STOP_TIMEOUT_NS   (90 * NSEC_PER_SEC)

struct up_client {
	int fd;
	bool joined; /* it needs the cluster */
	char line[64];
	size_t line_n;
};

struct up {
	const char *listen, *kubeconfig_option;
	char event_ttl[32]; /* as `sluice api` takes it */
	bool api_only, until_idle, detach;
	char *data_dir, *kubeconfig, *self, *node_name, *server;
	int lock_fd, listen_fd, signal_fd;
	struct up_client clients[MAX_CLIENTS];
	size_t n_clients;
	bool was_joined, announced;
	const char *told_waiting; /* the role that clients know to be waited for */
	int64_t started_at;
	struct supervisor *sup;
};

static int lock_data_dir(struct up *u, struct error *err)
{
	CLEANUP(free_p) char *path = str_printf("%s/up.lock", u->data_dir);
	if (path == NULL)
		return error_set(err, -ENOMEM, "out of memory");
	CLEANUP(close_fd) int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
	if (fd < 0)
		return error_set(err, -errno, "open '%s': %s", path, strerror(errno));
	char pid[32] = "";
	if (flock(fd, LOCK_EX | LOCK_NB) != 0) {
		const ssize_t n = pread(fd, pid, sizeof pid - 1, 0);
		pid[n > 0 ? n : 0] = '\0';
		return error_set(
			err, -EBUSY,
			"process %s serves the data directory '%s' already: stop it, or choose another --data-dir", pid,
			u->data_dir);
	}
	const int n = snprintf(pid, sizeof pid, "%d", getpid());
	if (ftruncate(fd, 0) != 0 || file_pwrite_all(fd, pid, (size_t)n, 0) != 0)
		return error_set(err, -EIO, "write '%s': %s", path, strerror(errno));
	u->lock_fd = TAKE_FD(fd);
	return 0;
}

static int open_socket(struct up *u, struct error *err)
{
	struct sockaddr_un addr = {.sun_family = AF_UNIX};
	(void)snprintf(addr.sun_path, sizeof addr.sun_path, "%s/%s", u->data_dir, UP_SOCKET_NAME);
	(void)unlink(addr.sun_path); /* ours by the lock; left over from a crash */
	CLEANUP(close_fd) int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	const mode_t old = umask(0177);
	const int rc = fd < 0 ? -1 : bind(fd, (struct sockaddr *)&addr, sizeof addr);
	const int saved = errno;
	(void)umask(old);
	if (rc != 0 || listen(fd, MAX_CLIENTS) != 0)
		return error_set(err, rc != 0 ? -saved : -errno, "listen on '%s': %s", addr.sun_path,
				 strerror(rc != 0 ? saved : errno));
	u->listen_fd = TAKE_FD(fd);
	return 0;
}

static void drop_client(struct up *u, size_t i)
{
	(void)close(u->clients[i].fd);
	u->clients[i] = u->clients[--u->n_clients];
}

__attribute__((format(printf, 3, 4))) static void tell(struct up *u, int only_fd, const char *fmt, ...)
{
	char line[UP_LINE_MAX];
	va_list ap;
	va_start(ap, fmt);
	(void)vsnprintf(line, sizeof line - 1, fmt, ap);
	va_end(ap);
	(void)strncat(line, "\n", sizeof line - strlen(line) - 1);
	for (size_t i = u->n_clients; i-- > 0;) {
		if (only_fd >= 0 && u->clients[i].fd != only_fd)
			continue;
		/* A client that does not read a few kilobytes in time is gone or broken. */
		if (send(u->clients[i].fd, line, strlen(line), MSG_NOSIGNAL | MSG_DONTWAIT) < 0)
			drop_client(u, i);
	}
}

static void accept_client(struct up *u)
{
	const int fd = accept4(u->listen_fd, NULL, NULL, SOCK_CLOEXEC);
	if (fd < 0)
		return;
	if (u->n_clients == MAX_CLIENTS) {
		(void)close(fd);
		return;
	}
	u->clients[u->n_clients++] = (struct up_client){.fd = fd};
	const char *waiting = supervisor_waiting_for(u->sup);
	if (u->announced)
		tell(u, fd, "ready %s", u->kubeconfig);
	else
		tell(u, fd, "wait %s", waiting == NULL ? "api" : waiting);
}

static void tell_status(struct up *u, int fd)
{
	JSON_AUTO parts = supervisor_report(u->sup);
	const char *waiting = supervisor_waiting_for(u->sup);
	JSON_AUTO j = parts == NULL
			      ? NULL
			      : json_pack("{s:s, s:b, s:s, s:O}", "kubeconfig", u->kubeconfig, "ready", waiting == NULL,
					  "waitingFor", waiting == NULL ? "" : waiting, "parts", parts);
	CLEANUP(free_p) char *text = j == NULL ? NULL : json_to_text(j, NULL);
	if (text != NULL)
		tell(u, fd, "status %s", text);
}

static void client_line(struct up *u, struct up_client *c)
{
	c->line[c->line_n] = '\0';
	c->line_n = 0;
	if (strcmp(c->line, "join") == 0) {
		c->joined = true;
		u->was_joined = true;
	} else if (strcmp(c->line, "status") == 0) {
		tell_status(u, c->fd);
	}
}

static struct up_client *find_client(struct up *u, int fd)
{
	for (size_t i = 0; i < u->n_clients; i++) {
		if (u->clients[i].fd == fd)
			return &u->clients[i];
	}
	return NULL;
}

static void read_client(struct up *u, int fd)
{
	char buf[64];
	const ssize_t n = recv(fd, buf, sizeof buf, MSG_DONTWAIT);
	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return;
	struct up_client *c = find_client(u, fd);
	bool usable = n > 0;
	for (ssize_t i = 0; usable && c != NULL && i < n; i++) {
		if (buf[i] == '\n') {
			client_line(u, c);
			c = find_client(u, fd); /* answering may have dropped it */
		} else if (c->line_n < sizeof c->line - 1) {
			c->line[c->line_n++] = buf[i];
		} else {
			usable = false; /* nobody says such long things */
		}
	}
	if (c != NULL && !usable)
		drop_client(u, (size_t)(c - u->clients));
}

static void api_ready(void *ctx, const char *detail)
{
	struct up *u = ctx;
	free(u->server);
	u->server = strdup(detail);
	if (!str_has_prefix(detail, "https://"))
		return;
	/* After a restart clients must find it where it was, whatever port was asked for first. */
	const char *argv[] = {
		u->self,        "api",         "--data-dir",  u->data_dir,  "--listen", detail + strlen("https://"),
		"--kubeconfig", u->kubeconfig, "--event-ttl", u->event_ttl, NULL};
	(void)supervisor_set_argv(u->sup, "api", argv);
}

static int add_api(struct up *u, const char *listen)
{
	const char *argv[] = {u->self,        "api",         "--data-dir",  u->data_dir,  "--listen", listen,
			      "--kubeconfig", u->kubeconfig, "--event-ttl", u->event_ttl, NULL};
	return supervisor_add(
		u->sup, &(struct role_options){.name = "api", .argv = argv, .on_ready = api_ready, .ctx = u}, NULL);
}

static int add_roles(struct up *u, struct error *err)
{
	CLEANUP(free_p) char *kubelet = str_printf("%s/kubelet", u->data_dir);
	CLEANUP(free_p)
	char *endpoint = str_printf("unix://%s/kubelet/csi-plugins/fuse.csi.fluid.io/csi.sock", u->data_dir);
	CLEANUP(free_p) char *socket = str_printf("%s/runtime-mnt/.keeper/sock", u->data_dir);
	if (kubelet == NULL || endpoint == NULL || socket == NULL || add_api(u, u->listen) != 0)
		return error_set(err, -ENOMEM, "out of memory");
	const char *controller[] = {u->self,       "controller",     "--kubeconfig",         u->kubeconfig,
				    "--workloads", "--install-crds", "--allowed-host-paths", "/",
				    NULL};
	const char *keeper[] = {u->self, "keeper", "--socket", socket, NULL};
	const char *csi[] = {u->self,        "csi",         "--endpoint",     endpoint, "--nodeid", u->node_name,
			     "--kubeconfig", u->kubeconfig, "--kubelet-root", kubelet,  NULL};
	const char *agent[] = {u->self,          "agent",     "--kubeconfig",       u->kubeconfig,
			       "--data-dir",     u->data_dir, "--node-name",        u->node_name,
			       "--kubelet-root", kubelet,     "--end-pods-on-exit", NULL};
	const struct role_options roles[] = {
		{.name = "keeper", .argv = keeper},
		{.name = "controller", .argv = controller, .after = "api"},
		{.name = "csi", .argv = csi, .after = "api"},
		{.name = "agent", .argv = agent, .after = "api"},
	};
	for (size_t i = 0; i < ARRAY_LEN(roles); i++) {
		const int rc = supervisor_add(u->sup, &roles[i], err);
		if (rc != 0)
			return rc;
	}
	return 0;
}

static int prepare(struct up *u, struct error *err)
{
	CLEANUP(free_p) char *logs = str_printf("%s/logs", u->data_dir);
	CLEANUP(free_p) char *mount_root = str_printf("%s/runtime-mnt", u->data_dir);
	u->self = file_self_exe();
	char host[65] = "";
	if (gethostname(host, sizeof host - 1) != 0 || host[0] == '\0')
		(void)str_copy(host, sizeof host, "localhost");
	u->node_name = strdup(host);
	u->kubeconfig = u->kubeconfig_option != NULL ? strdup(u->kubeconfig_option)
						     : str_printf("%s/admin.kubeconfig", u->data_dir);
	if (logs == NULL || mount_root == NULL || u->self == NULL || u->node_name == NULL || u->kubeconfig == NULL)
		return error_set(err, -ENOMEM, "out of memory");
	for (char *p = u->node_name; *p != '\0'; p++) {
		/* A node's name is an RFC 1123 name; a host's need not be. */
		if (*p >= 'A' && *p <= 'Z')
			*p = (char)(*p - 'A' + 'a');
		else if (*p == '_')
			*p = '-';
	}
	int rc = file_mkdir_all(logs, 0700, err);
	if (rc == 0)
		rc = file_mkdir_all(mount_root, 0755, err);
	if (rc != 0)
		return rc;
	if (setenv("MOUNT_ROOT", mount_root, 1) != 0)
		return error_set(err, -errno, "setenv: %s", strerror(errno));
	rc = lock_data_dir(u, err);
	if (rc == 0)
		rc = open_socket(u, err);
	if (rc == 0)
		rc = supervisor_new(logs, &u->sup, err);
	return rc == 0 ? add_roles(u, err) : rc;
}

static void announce(struct up *u)
{
	const char *waiting = supervisor_waiting_for(u->sup);
	if (waiting == NULL && !u->announced) {
		u->announced = true;
		(void)printf("ready: %s\n", u->server);
		(void)fflush(stdout);
		tell(u, -1, "ready %s", u->kubeconfig);
	} else if (waiting != NULL && !u->announced && waiting != u->told_waiting) {
		tell(u, -1, "wait %s", waiting);
	}
	u->told_waiting = waiting;
}

static bool idle(const struct up *u)
{
	if (!u->until_idle)
		return false;
	for (size_t i = 0; i < u->n_clients; i++) {
		if (u->clients[i].joined)
			return false;
	}
	return u->was_joined || clock_mono_ns() - u->started_at > IDLE_START_NS;
}

/* Until told to stop (0), idle (0), or a role cannot start (negative). */
static int serve(struct up *u, struct error *err)
{
	for (;;) {
		const int rc = supervisor_dispatch(u->sup, err);
		if (rc != 0)
			return rc;
		announce(u);
		if (idle(u))
			return 0;
		struct pollfd fds[SUPERVISOR_MAX_FDS + MAX_CLIENTS + 2];
		int timeout = -1;
		const size_t n_sup = supervisor_poll_fds(u->sup, fds, &timeout);
		size_t n = n_sup;
		fds[n++] = (struct pollfd){.fd = u->signal_fd, .events = POLLIN};
		fds[n++] = (struct pollfd){.fd = u->listen_fd, .events = POLLIN};
		const size_t n_fixed = n;
		for (size_t i = 0; i < u->n_clients; i++)
			fds[n++] = (struct pollfd){.fd = u->clients[i].fd, .events = POLLIN};
		if (u->until_idle && !u->was_joined && timeout < 0)
			timeout = (int)(IDLE_START_NS / NSEC_PER_MSEC) + 1;
		if (poll(fds, n, timeout) < 0 && errno != EINTR)
			return error_set(err, -errno, "poll: %s", strerror(errno));
		if (fds[n_sup].revents != 0) {
			(void)stop_signal_wait(u->signal_fd);
			return 0;
		}
		for (size_t i = n_fixed; i < n; i++) {
			if (fds[i].revents != 0)
				read_client(u, fds[i].fd);
		}
		if (fds[n_sup + 1].revents != 0)
			accept_client(u);
	}
}

static void up_clear(struct up *u)
{
	/* First the socket: whoever comes now starts a cluster of its own as soon as the lock is free. */
	if (u->listen_fd >= 0) {
		CLEANUP(free_p) char *path = str_printf("%s/%s", u->data_dir, UP_SOCKET_NAME);
		if (path != NULL)
			(void)unlink(path);
	}
	close_fd(&u->listen_fd);
	if (u->sup != NULL)
		supervisor_stop(u->sup, STOP_TIMEOUT_NS);
	supervisor_free(u->sup);
	while (u->n_clients > 0)
		drop_client(u, u->n_clients - 1);
	close_fd(&u->signal_fd);
	close_fd(&u->lock_fd);
	free(u->data_dir);
	free(u->kubeconfig);
	free(u->self);
	free(u->node_name);
	free(u->server);
}

static int run_api_only(struct up *u)
{
	char *argv[10] = {"api", "--data-dir", u->data_dir, "--listen", (char *)u->listen, "--event-ttl", u->event_ttl};
	int argc = 7;
	if (u->kubeconfig_option != NULL) {
		argv[argc++] = "--kubeconfig";
		argv[argc++] = (char *)u->kubeconfig_option;
	}
	return cmd_api.run(argc, argv);
}

/* The same command again, without --detach, behind us; we leave when it serves. */
static int run_detached(struct up *u, struct error *err)
{
	const char *options[7] = {"--listen", u->listen, "--event-ttl", u->event_ttl};
	if (u->kubeconfig_option != NULL) {
		options[4] = "--kubeconfig";
		options[5] = u->kubeconfig_option;
	}
	CLEANUP(close_fd) int signal_fd = stop_signal_fd();
	if (signal_fd < 0)
		return error_set(err, signal_fd, "signalfd: %s", strerror(-signal_fd));
	const int64_t deadline = clock_mono_ns() + DETACH_TIMEOUT_NS;
	CLEANUP(close_fd) int fd = cluster_connect(u->data_dir);
	const bool runs = fd >= 0;
	if (!runs)
		fd = cluster_connect_or_start(u->data_dir, options, signal_fd, deadline, err);
	CLEANUP(free_p) char *kubeconfig = NULL;
	int rc = fd < 0 ? fd : cluster_await_ready(fd, signal_fd, deadline, &kubeconfig, err);
	progress_end();
	struct kube_config *config = NULL;
	if (rc == 0)
		rc = kube_config_load(kubeconfig, NULL, &config, err);
	if (rc != 0)
		return rc;
	if (runs)
		(void)fputs("sluice up: a cluster serves this data directory already\n", stderr);
	(void)printf("ready: %s\n", kube_config_server(config));
	(void)fprintf(stderr, "export KUBECONFIG=%s; 'sluice status' shows the cluster, 'sluice down' ends it\n",
		      kubeconfig);
	kube_config_free(config);
	return 0;
}

static int up_run(int argc, char **argv)
{
	const char *data_dir = MACHINE_DATA_DIR;
	struct up u = {.listen = "127.0.0.1:6443", .lock_fd = -1, .listen_fd = -1, .signal_fd = -1};
	int64_t event_ttl = 3600 * NSEC_PER_SEC;
	const struct option_spec specs[] = {
		{"data-dir", OPT_STRING, &data_dir},
		{"listen", OPT_STRING, &u.listen},
		{"kubeconfig", OPT_STRING, &u.kubeconfig_option},
		{"event-ttl", OPT_DURATION, &event_ttl},
		{"api-only", OPT_FLAG, &u.api_only},
		{"until-idle", OPT_FLAG, &u.until_idle},
		{"detach", OPT_FLAG, &u.detach},
		{0},
	};
	int words = 0;
	const int parsed = options_parse(&cmd_up, argc, argv, specs, &words);
	if (parsed != 0)
		return parsed > 0 ? 0 : 2;
	if (words > 0) {
		(void)fprintf(stderr, "sluice up: '%s' is one word too many\n", argv[1]);
		return 2;
	}

	if (event_ttl <= 0) {
		(void)fprintf(stderr, "sluice up: --event-ttl: must be positive\n");
		return 2;
	}
	(void)snprintf(u.event_ttl, sizeof u.event_ttl, "%lldms", (long long)(event_ttl / NSEC_PER_MSEC));

	if (u.detach && (u.api_only || u.until_idle)) {
		(void)fprintf(stderr, "sluice up: --detach goes with neither --api-only nor --until-idle\n");
		return 2;
	}

	struct error err = {0};
	int rc = u.api_only ? 0 : machine_check(&err);
	if (rc == 0)
		rc = machine_data_dir(data_dir, &u.data_dir, &err);
	if (rc == 0 && u.api_only) {
		rc = run_api_only(&u);
		up_clear(&u);
		return rc;
	}
	if (rc == 0 && u.detach) {
		rc = run_detached(&u, &err);
		if (rc != 0)
			(void)fprintf(stderr, "sluice up: %s\n", err.msg);
		up_clear(&u);
		return rc == 0 ? 0 : rc == -EINTR ? 130 : 1;
	}
	log_init(STDERR_FILENO, LOG_LVL_INFO, "up");
	u.started_at = clock_mono_ns();
	if (rc == 0) {
		u.signal_fd = stop_signal_fd();
		rc = u.signal_fd < 0 ? error_set(&err, u.signal_fd, "signalfd: %s", strerror(-u.signal_fd))
				     : prepare(&u, &err);
	}
	if (rc == 0)
		rc = serve(&u, &err);
	if (rc != 0) {
		(void)fprintf(stderr, "sluice up: %s\n", err.msg);
		tell(&u, -1, "failed %s", err.msg);
	}
	up_clear(&u);
	return rc == 0 ? 0 : 1;
}

const struct command cmd_up = {
	.name = "up",
	.summary = "Run the one-machine cluster",
	.usage =
		"Usage: sluice up [--data-dir DIR] [--listen ADDR:PORT] [--kubeconfig FILE] [--api-only]\n"
		"                 [--event-ttl TIME] [--detach] [--until-idle]\n\n"
		"Serves a Kubernetes API on this machine and runs what a cluster runs behind it: workload controllers,\n"
		"a node agent, the CSI plug-in and the Dataset and Runtime controllers. Needs root.\n\n"
		"  --data-dir DIR        where everything is kept (default " MACHINE_DATA_DIR ")\n"
		"  --listen ADDR:PORT    where the API is served (default 127.0.0.1:6443; port 0: any free one)\n"
		"  --kubeconfig FILE     where the administrator's kubeconfig is written (default DIR/admin.kubeconfig)\n"
		"  --event-ttl TIME      how long Events are kept, as 90m or 12h (default 1h)\n"
		"  --api-only            serve the API alone; needs no root\n"
		"  --detach              return when everything serves; 'sluice status' shows the cluster, 'sluice down' ends it\n"
		"  --until-idle          end when the last 'sluice run' that joined has left\n\n"
		"Prints 'ready: https://ADDR:PORT' on standard output when everything serves. SIGTERM or Ctrl-C ends it,\n"
		"pods and mounts included. The logs of its parts are in DIR/logs.\n",
	.run = up_run,
};
