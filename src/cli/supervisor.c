#include "cli/supervisor.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/error.h"
#include "base/log.h"
#include "base/process.h"
#include "base/str.h"

#define BACKOFF_FIRST_NS   (200 * NSEC_PER_MSEC)
#define BACKOFF_MAX_NS     (10 * NSEC_PER_SEC)
#define STABLE_NS          (30 * NSEC_PER_SEC) /* a role that lasted so long starts its back-off anew */
#define MAX_FIRST_FAILURES 3
#define LOG_MAX_BYTES      (16 << 20)

enum role_state { ROLE_IDLE, ROLE_STARTING, ROLE_READY, ROLE_BACKOFF, ROLE_ENDED, ROLE_STATES };

static const unsigned role_next[ROLE_STATES] = {
	[ROLE_IDLE] = 1u << ROLE_STARTING | 1u << ROLE_BACKOFF | 1u << ROLE_ENDED,
	[ROLE_STARTING] = 1u << ROLE_READY | 1u << ROLE_BACKOFF | 1u << ROLE_ENDED,
	[ROLE_READY] = 1u << ROLE_BACKOFF | 1u << ROLE_ENDED,
	[ROLE_BACKOFF] = 1u << ROLE_STARTING | 1u << ROLE_BACKOFF | 1u << ROLE_ENDED,
};

struct role {
	char *name, *after, *log_path;
	char **argv;
	void (*on_ready)(void *ctx, const char *detail);
	void *ctx;
	enum role_state state;
	struct process process;
	int out; /* its standard output, or -1 */
	char line[512];
	size_t line_n;
	bool was_ready;
	int first_failures, starts;
	int64_t started_at, start_at, backoff;
};

struct supervisor {
	char *log_dir;
	struct role roles[SUPERVISOR_MAX_ROLES];
	size_t n;
};

static void role_move(struct role *r, enum role_state to)
{
	assert(role_next[r->state] & 1u << to);
	r->state = to;
}

static void argv_free(char **argv)
{
	for (size_t i = 0; argv != NULL && argv[i] != NULL; i++)
		free(argv[i]);
	free(argv);
}

static char **argv_copy(const char *const *argv)
{
	size_t n = 0;
	while (argv[n] != NULL)
		n++;
	char **copy = calloc(n + 1, sizeof *copy);
	for (size_t i = 0; copy != NULL && i < n; i++) {
		copy[i] = strdup(argv[i]);
		if (copy[i] == NULL) {
			argv_free(copy);
			return NULL;
		}
	}
	return copy;
}

int supervisor_new(const char *log_dir, struct supervisor **ret, struct error *err)
{
	struct supervisor *s = calloc(1, sizeof *s);
	if (s == NULL || (s->log_dir = strdup(log_dir)) == NULL) {
		free(s);
		return error_set(err, -ENOMEM, "supervisor: out of memory");
	}
	*ret = s;
	return 0;
}

static void role_clear(struct role *r)
{
	process_kill(&r->process);
	close_fd(&r->out);
	free(r->name);
	free(r->after);
	free(r->log_path);
	argv_free(r->argv);
}

int supervisor_add(struct supervisor *s, const struct role_options *o, struct error *err)
{
	assert(s->n < SUPERVISOR_MAX_ROLES);
	struct role r = {
		.name = strdup(o->name),
		.after = o->after == NULL ? NULL : strdup(o->after),
		.log_path = str_printf("%s/%s.log", s->log_dir, o->name),
		.argv = argv_copy(o->argv),
		.on_ready = o->on_ready,
		.ctx = o->ctx,
		.process = PROCESS_NONE,
		.out = -1,
		.backoff = BACKOFF_FIRST_NS,
	};
	if (r.name == NULL || (o->after != NULL && r.after == NULL) || r.log_path == NULL || r.argv == NULL) {
		role_clear(&r);
		return error_set(err, -ENOMEM, "start %s: out of memory", o->name);
	}
	s->roles[s->n++] = r;
	return 0;
}

static struct role *role_find(struct supervisor *s, const char *name)
{
	for (size_t i = 0; i < s->n; i++) {
		if (strcmp(s->roles[i].name, name) == 0)
			return &s->roles[i];
	}
	return NULL;
}

int supervisor_set_argv(struct supervisor *s, const char *name, const char *const *argv)
{
	struct role *r = role_find(s, name);
	assert(r != NULL);
	char **copy = argv_copy(argv);
	if (copy == NULL)
		return -ENOMEM;
	argv_free(r->argv);
	r->argv = copy;
	return 0;
}

/* The log of a role: appended to, begun anew when it has grown too large. */
static int open_log(const struct role *r)
{
	struct stat st;
	if (stat(r->log_path, &st) == 0 && st.st_size > LOG_MAX_BYTES) {
		CLEANUP(free_p) char *old = str_printf("%s.1", r->log_path);
		if (old != NULL)
			(void)rename(r->log_path, old); /* at worst the log goes on growing */
	}
	return open(r->log_path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
}

static int role_start(struct role *r, struct error *err)
{
	int pipe_fds[2];
	if (pipe2(pipe_fds, O_CLOEXEC) != 0)
		return error_set(err, -errno, "start %s: pipe: %s", r->name, strerror(errno));
	CLEANUP(close_fd) int out = pipe_fds[0];
	CLEANUP(close_fd) int out_w = pipe_fds[1];
	CLEANUP(close_fd) int log = open_log(r);
	if (log < 0)
		return error_set(err, -errno, "start %s: open '%s': %s", r->name, r->log_path, strerror(errno));
	if (fcntl(out, F_SETFL, O_NONBLOCK) != 0)
		return error_set(err, -errno, "start %s: %s", r->name, strerror(errno));

	const struct process_options o = {
		.argv = (const char *const *)r->argv,
		.fd_in = -1,
		.fd_out = out_w,
		.fd_err = log,
		.die_with_parent = true,
	};
	const int rc = process_spawn(&o, &r->process, err);
	if (rc != 0)
		return error_wrap(err, rc, "start %s", r->name);
	r->out = TAKE_FD(out);
	r->line_n = 0;
	r->started_at = clock_mono_ns();
	r->starts++;
	role_move(r, ROLE_STARTING);
	return 0;
}

static void role_line(struct role *r)
{
	r->line[r->line_n] = '\0';
	r->line_n = 0;
	if (!str_has_prefix(r->line, "ready") || r->state != ROLE_STARTING)
		return;
	role_move(r, ROLE_READY);
	r->was_ready = true;
	LOG(NULL, LOG_LVL_INFO, "role is ready", LOG_STR("role", r->name),
	    LOG_DUR("after", clock_mono_ns() - r->started_at));
	const char *detail = strchr(r->line, ' ');
	if (r->on_ready != NULL)
		r->on_ready(r->ctx, detail == NULL ? "" : detail + 1);
}

static void role_read(struct role *r)
{
	char buf[512];
	for (ssize_t k; r->out >= 0 && (k = read(r->out, buf, sizeof buf)) != 0;) {
		if (k < 0) {
			if (errno == EINTR)
				continue;
			return;
		}
		for (ssize_t i = 0; i < k; i++) {
			if (buf[i] == '\n')
				role_line(r);
			else if (r->line_n < sizeof r->line - 1)
				r->line[r->line_n++] = buf[i];
		}
	}
	close_fd(&r->out); /* end of file: poll must not report it again and again */
	r->out = -1;
}

/* What the role said last, for the message of whoever gives up on it. */
static void role_last_words(const struct role *r, char *out, size_t size)
{
	out[0] = '\0';
	CLEANUP(close_fd) int fd = open(r->log_path, O_RDONLY | O_CLOEXEC);
	char buf[1025];
	const off_t end = fd < 0 ? 0 : lseek(fd, 0, SEEK_END);
	const ssize_t n = end <= 0 ? 0 : pread(fd, buf, sizeof buf - 1, end > 1024 ? end - 1024 : 0);
	if (n <= 0)
		return;
	buf[n] = '\0';
	for (char *p = buf + n - 1; p >= buf && *p == '\n'; p--)
		*p = '\0';
	const char *line = strrchr(buf, '\n');
	(void)str_copy(out, size, line == NULL ? buf : line + 1);
}

static int role_ended(struct role *r, int status, struct error *err)
{
	const int64_t now = clock_mono_ns();
	const int code = WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
	LOG(NULL, LOG_LVL_WARN, "role ended", LOG_STR("role", r->name), LOG_INT("status", code));
	role_read(r);
	close_fd(&r->out);
	r->out = -1;
	if (!r->was_ready && ++r->first_failures >= MAX_FIRST_FAILURES) {
		char words[400];
		role_last_words(r, words, sizeof words);
		role_move(r, ROLE_ENDED);
		return error_set(err, -ECHILD, "%s does not start (status %d): %s (log: %s)", r->name, code, words,
				 r->log_path);
	}
	if (now - r->started_at > STABLE_NS)
		r->backoff = BACKOFF_FIRST_NS;
	r->start_at = now + r->backoff;
	r->backoff = r->backoff * 2 > BACKOFF_MAX_NS ? BACKOFF_MAX_NS : r->backoff * 2;
	role_move(r, ROLE_BACKOFF);
	return 0;
}

static bool role_may_start(struct supervisor *s, const struct role *r)
{
	if (r->state != ROLE_IDLE && r->state != ROLE_BACKOFF)
		return false;
	if (clock_mono_ns() < r->start_at)
		return false;
	const struct role *after = r->after == NULL ? NULL : role_find(s, r->after);
	return after == NULL || after->was_ready;
}

int supervisor_dispatch(struct supervisor *s, struct error *err)
{
	for (size_t i = 0; i < s->n; i++) {
		struct role *r = &s->roles[i];
		if (r->out >= 0)
			role_read(r);
		int status = 0;
		if (r->process.pid != 0 && process_wait(&r->process, 0, &status) == 0) {
			r->process = PROCESS_NONE;
			const int rc = role_ended(r, status, err);
			if (rc != 0)
				return rc;
		}
	}
	for (size_t i = 0; i < s->n; i++) {
		if (!role_may_start(s, &s->roles[i]))
			continue;
		const int rc = role_start(&s->roles[i], err);
		if (rc != 0)
			return rc;
	}
	return 0;
}

size_t supervisor_poll_fds(struct supervisor *s, struct pollfd *fds, int *ret_timeout_ms)
{
	size_t n = 0;
	int64_t next = INT64_MAX;
	for (size_t i = 0; i < s->n; i++) {
		const struct role *r = &s->roles[i];
		if (r->process.pid != 0)
			fds[n++] = (struct pollfd){.fd = r->process.pidfd, .events = POLLIN};
		if (r->out >= 0)
			fds[n++] = (struct pollfd){.fd = r->out, .events = POLLIN};
		if (r->state == ROLE_BACKOFF && r->start_at < next)
			next = r->start_at;
		if (r->state == ROLE_IDLE && role_may_start(s, r))
			next = 0;
	}
	const int64_t wait = next == INT64_MAX ? -1 : next - clock_mono_ns();
	*ret_timeout_ms = next == INT64_MAX ? -1 : wait <= 0 ? 0 : (int)(wait / NSEC_PER_MSEC) + 1;
	return n;
}

const char *supervisor_waiting_for(const struct supervisor *s)
{
	for (size_t i = 0; i < s->n; i++) {
		if (s->roles[i].state != ROLE_READY)
			return s->roles[i].name;
	}
	return NULL;
}

json_t *supervisor_report(const struct supervisor *s)
{
	static const char *const words[ROLE_STATES] = {"waiting", "starting", "ready", "restarting", "ended"};
	const int64_t now = clock_mono_ns();
	json_t *list = json_array();
	for (size_t i = 0; list != NULL && i < s->n; i++) {
		const struct role *r = &s->roles[i];
		const int64_t seconds = r->starts == 0 ? 0 : (now - r->started_at) / NSEC_PER_SEC;
		json_t *one = json_pack("{s:s, s:s, s:i, s:i, s:I}", "name", r->name, "state", words[r->state], "pid",
					(int)r->process.pid, "starts", r->starts, "seconds", (json_int_t)seconds);
		if (json_array_append_new(list, one) != 0) {
			json_decref(list);
			return NULL;
		}
	}
	return list;
}

bool supervisor_ready(const struct supervisor *s)
{
	return supervisor_waiting_for(s) == NULL;
}

void supervisor_stop(struct supervisor *s, int64_t timeout_ns)
{
	for (size_t i = s->n; i-- > 0;) {
		struct role *r = &s->roles[i];
		int status = 0;
		if (r->process.pid != 0) {
			(void)process_signal(&r->process, SIGTERM); /* gone already: the wait says so */
			if (process_wait(&r->process, clock_mono_ns() + timeout_ns, &status) != 0) {
				LOG(NULL, LOG_LVL_WARN, "role does not end, killing it", LOG_STR("role", r->name));
				process_kill(&r->process);
			}
			r->process = PROCESS_NONE;
		}
		close_fd(&r->out);
		r->out = -1;
		if (r->state != ROLE_ENDED)
			role_move(r, ROLE_ENDED);
	}
}

void supervisor_free(struct supervisor *s)
{
	if (s == NULL)
		return;
	for (size_t i = 0; i < s->n; i++)
		role_clear(&s->roles[i]);
	free(s->log_dir);
	free(s);
}
