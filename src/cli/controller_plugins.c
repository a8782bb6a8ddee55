/* The host of runtime plug-ins: one thread a plug-in, which starts its guest again and again. */
#include "cli/controller_plugins.h"

#include <dirent.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/wait.h>

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/error.h"
#include "base/log.h"
#include "base/process.h"
#include "base/str.h"

#define MAX_PLUGINS      32
#define MAX_ARGS         40
#define READY_NS         (60 * NSEC_PER_SEC) /* how long a guest may take to get ready */
#define STOP_NS          (20 * NSEC_PER_SEC)
#define BACKOFF_FIRST_NS (500 * NSEC_PER_MSEC)
#define BACKOFF_MAX_NS   (60 * NSEC_PER_SEC)
#define STABLE_NS        (120 * NSEC_PER_SEC) /* one that lasted so long starts its back-off anew */

struct plugin {
	struct plugin_host *host;
	char *file;
	pthread_t thread;
	bool started;   /* the thread */
	char said[400]; /* why the guest gave up, in its own words */
	bool ready;
};

struct plugin_host {
	struct plugin_host_options o;
	int stop_fd; /* eventfd, readable once the guests are to end */
	struct plugin plugins[MAX_PLUGINS];
	size_t n;
};

/* What a guest says, line by line. False at the end of its output. */
static bool read_guest(struct plugin *p, int fd, char *line, size_t size, size_t *n)
{
	char buf[512];
	const ssize_t k = read(fd, buf, sizeof buf);
	for (ssize_t i = 0; i < k; i++) {
		if (buf[i] != '\n') {
			if (*n < size - 1)
				line[(*n)++] = buf[i];
			continue;
		}
		line[*n] = '\0';
		*n = 0;
		if (str_has_prefix(line, "ended: "))
			(void)str_copy(p->said, sizeof p->said, line + strlen("ended: ")); /* cut is fine */
		if (str_has_prefix(line, "ready") && !p->ready) {
			p->ready = true;
			LOG(NULL, LOG_LVL_INFO, "runtime plug-in is ready", LOG_STR("file", p->file));
		}
	}
	return k > 0 || (k < 0 && errno == EINTR);
}

static void describe_end(const struct plugin *p, int status, char *out, size_t size)
{
	if (p->said[0] != '\0')
		(void)snprintf(out, size, "%s", p->said);
	else if (WIFSIGNALED(status))
		(void)snprintf(out, size, "it was ended by signal %d (%s)", WTERMSIG(status),
			       strsignal(WTERMSIG(status)));
	else
		(void)snprintf(out, size, "it ended by itself with status %d", WEXITSTATUS(status));
}

static bool is_stopping(const struct plugin_host *h)
{
	struct pollfd f = {.fd = h->stop_fd, .events = POLLIN};
	return poll(&f, 1, 0) > 0;
}

/* Until the guest has ended or must end. @ret_why is filled. */
static void attend(struct plugin *p, struct process *guest, int out, char *why, size_t size)
{
	const int64_t late = clock_mono_ns() + READY_NS;
	char line[512];
	size_t n = 0;
	bool talks = true;
	why[0] = '\0';
	for (;;) {
		struct pollfd f[3] = {{.fd = p->host->stop_fd, .events = POLLIN},
				      {.fd = guest->pidfd, .events = POLLIN},
				      {.fd = talks ? out : -1, .events = POLLIN}};
		const int64_t left = late - clock_mono_ns();
		if (!p->ready && left <= 0) {
			(void)snprintf(why, size, "it was not ready after %lld s",
				       (long long)(READY_NS / NSEC_PER_SEC));
			process_kill(guest);
			return;
		}
		(void)poll(f, 3,
			   p->ready ? -1
				    : (int)(left / NSEC_PER_MSEC) + 1); /* woken for nothing: the state is looked at */
		if (f[2].revents != 0)
			talks = read_guest(p, out, line, sizeof line, &n);
		int status = 0;
		if (f[1].revents != 0 && process_wait(guest, 0, &status) == 0) {
			while (talks)
				talks = read_guest(p, out, line, sizeof line, &n);
			describe_end(p, status, why, size);
			return;
		}
		if (f[0].revents == 0)
			continue;
		(void)process_signal(guest, SIGTERM); /* gone already: the wait says so */
		if (process_wait(guest, clock_mono_ns() + STOP_NS, &status) < 0) {
			LOG(NULL, LOG_LVL_WARN, "runtime plug-in does not end, killing it", LOG_STR("file", p->file));
			process_kill(guest);
		}
		return;
	}
}

static int start_guest(struct plugin *p, struct process *ret, int *ret_out, struct error *err)
{
	const char *argv[MAX_ARGS + 3];
	size_t n = 0;
	while (p->host->o.argv[n] != NULL && n < MAX_ARGS) {
		argv[n] = p->host->o.argv[n];
		n++;
	}
	argv[n++] = "--plugin";
	argv[n++] = p->file;
	argv[n] = NULL;
	int fds[2];
	if (pipe2(fds, O_CLOEXEC) != 0)
		return error_set(err, -errno, "pipe: %s", strerror(errno));
	CLEANUP(close_fd) int out = fds[0];
	CLEANUP(close_fd) int out_w = fds[1];
	int rc = process_spawn(
		&(struct process_options){
			.argv = argv, .fd_in = -1, .fd_out = out_w, .fd_err = -1, .die_with_parent = true},
		ret, err);
	if (rc == 0)
		*ret_out = TAKE_FD(out);
	return rc;
}

static void *plugin_thread(void *arg)
{
	struct plugin *p = arg;
	int64_t backoff = BACKOFF_FIRST_NS;
	while (!is_stopping(p->host)) {
		struct process guest = PROCESS_NONE;
		CLEANUP(close_fd) int out = -1;
		struct error err = {0};
		char why[512];
		const int64_t started = clock_mono_ns();
		p->ready = false;
		p->said[0] = '\0';
		if (start_guest(p, &guest, &out, &err) < 0)
			(void)snprintf(why, sizeof why, "it cannot be started: %s", err.msg);
		else
			attend(p, &guest, out, why, sizeof why);
		if (is_stopping(p->host))
			break;
		if (clock_mono_ns() - started > STABLE_NS)
			backoff = BACKOFF_FIRST_NS;
		LOG(NULL, LOG_LVL_ERROR, "runtime plug-in ended, starting it again", LOG_STR("file", p->file),
		    LOG_STR("reason", why), LOG_DUR("after", backoff));
		struct pollfd f = {.fd = p->host->stop_fd, .events = POLLIN};
		(void)poll(&f, 1, (int)(backoff / NSEC_PER_MSEC)); /* a wake-up too early only shortens a pause */
		backoff = backoff * 2 > BACKOFF_MAX_NS ? BACKOFF_MAX_NS : backoff * 2;
	}
	return NULL;
}

static int is_plugin_file(const struct dirent *d)
{
	return str_has_prefix(d->d_name, "sluice-runtime-") && str_has_suffix(d->d_name, ".so");
}

static int find_plugins(struct plugin_host *h, struct error *err)
{
	struct dirent **found = NULL;
	const int n = scandir(h->o.dir, &found, is_plugin_file, alphasort);
	if (n < 0)
		return error_set(err, -errno, "--plugin-dir '%s': %s", h->o.dir, strerror(errno));
	int rc = n > MAX_PLUGINS
			 ? error_set(err, -E2BIG, "--plugin-dir '%s': more than %d plug-ins", h->o.dir, MAX_PLUGINS)
			 : 0;
	for (int i = 0; i < n; i++) {
		if (rc == 0) {
			struct plugin *p = &h->plugins[h->n++];
			p->host = h;
			p->file = str_printf("%s/%s", h->o.dir, found[i]->d_name);
			if (p->file == NULL)
				rc = error_set(err, -ENOMEM, "--plugin-dir: out of memory");
		}
		free(found[i]);
	}
	free(found);
	return rc;
}

int plugin_host_start(const struct plugin_host_options *o, struct plugin_host **ret, struct error *err)
{
	struct plugin_host *h = calloc(1, sizeof *h);
	if (h == NULL)
		return error_set(err, -ENOMEM, "--plugin-dir: out of memory");
	h->o = *o;
	h->stop_fd = eventfd(0, EFD_CLOEXEC);
	int rc = h->stop_fd < 0 ? error_set(err, -errno, "--plugin-dir: eventfd: %s", strerror(errno))
				: find_plugins(h, err);
	for (size_t i = 0; i < h->n && rc == 0; i++) {
		rc = -pthread_create(&h->plugins[i].thread, NULL, plugin_thread, &h->plugins[i]);
		h->plugins[i].started = rc == 0;
		if (rc < 0)
			(void)error_set(err, rc, "--plugin-dir: no thread: %s", strerror(-rc));
	}
	if (rc < 0) {
		plugin_host_stop(h);
		return rc;
	}
	*ret = h;
	return 0;
}

void plugin_host_stop(struct plugin_host *h)
{
	if (h == NULL)
		return;
	if (h->stop_fd >= 0)
		(void)eventfd_write(h->stop_fd, 1); /* the counter is far from its end */
	for (size_t i = 0; i < h->n; i++) {
		if (h->plugins[i].started)
			(void)pthread_join(h->plugins[i].thread, NULL); /* started and joined once: cannot fail */
		free(h->plugins[i].file);
	}
	close_fd(&h->stop_fd);
	free(h);
}
