/* One exec or attach: bytes between a client's channels and a command in a container, or the container's own first process. */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <termios.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/error.h"
#include "base/strbuf.h"
#include "local/agent_channels.h"
#include "local/agent_remote.h"
#include "json/json.h"

#define INPUT_ROOM  ((size_t)256 << 10) /* bytes for stdin after which the client waits */
#define INPUT_MAX   ((size_t)4 << 20)
#define ATTACH_MAX  8192 /* of one packet to or from the monitor */
#define TAIL_MAX    1024
#define RESIZE_MAX  256
#define DRAIN_NS    (2 * NSEC_PER_SEC) /* for output that comes after the command's end */
#define STDOUT_PIPE 2

struct command {
	struct command_options o;
	struct channels *channels;
	struct runtime_exec exec;
	int in, out, err; /* ours: -1 closed. With a terminal or attached all three are `in`'s file */
	bool tty_or_socket;
	struct strbuf input; /* for stdin */
	size_t input_off;
	bool input_ended;
	struct winsize size; /* zero: not known */
	char resize[RESIZE_MAX];
	size_t resize_n;
	char tail[TAIL_MAX + 1]; /* the end of its complaints */
	size_t tail_n;
	char buf[32768];
};

/* --- from the client --- */

/* {"Width":80,"Height":24}, one after the other. */
static void set_size(struct command *c, const char *text, size_t n)
{
	JSON_AUTO size = NULL;
	if (json_parse(text, n, &size, NULL) < 0)
		return;
	const int64_t rows = json_int(size, "Height", 0), columns = json_int(size, "Width", 0);
	if (rows < 1 || rows > UINT16_MAX || columns < 1 || columns > UINT16_MAX)
		return;
	c->size = (struct winsize){.ws_row = (unsigned short)rows, .ws_col = (unsigned short)columns};
	/* What fails leaves the terminal as large as it was. */
	if (c->o.argv == NULL)
		(void)runtime_resize(c->o.paths, c->o.id, c->size.ws_row, c->size.ws_col, NULL);
	else if (c->in >= 0 && ioctl(c->in, TIOCSWINSZ, &c->size) == 0)
		(void)process_signal(&c->exec.process, SIGWINCH); /* runc looks at the size then */
}

static void on_resize(struct command *c, const char *data, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		if (c->resize_n == RESIZE_MAX)
			c->resize_n = 0; /* no size is that long */
		c->resize[c->resize_n++] = data[i];
		if (data[i] == '}') {
			set_size(c, c->resize, c->resize_n);
			c->resize_n = 0;
		}
	}
}

static void on_input(void *ctx, enum channel ch, const char *data, size_t n, bool fin)
{
	struct command *c = ctx;
	if (ch == CHANNEL_RESIZE) {
		on_resize(c, data, n);
		return;
	}
	strbuf_add(&c->input, data, n);
	c->input_ended |= fin;
}

/* --- to the command --- */

static size_t input_left(const struct command *c)
{
	return c->input.n - c->input_off;
}

static void close_input(struct command *c)
{
	if (c->in >= 0 && !c->tty_or_socket)
		(void)close(TAKE_FD(c->in));
	else if (c->in >= 0 && c->o.argv == NULL)
		(void)shutdown(c->in, SHUT_WR); /* the monitor closes the container's input, if it has one */
}

/* What stdin takes now. A command that does not read any more loses the rest, as from a pipe. */
static void push_input(struct command *c)
{
	while (c->in >= 0 && input_left(c) > 0) {
		const size_t n = input_left(c);
		const ssize_t k = c->o.argv == NULL ? send(c->in, c->input.p + c->input_off,
							   n < ATTACH_MAX ? n : ATTACH_MAX, MSG_NOSIGNAL)
						    : write(c->in, c->input.p + c->input_off, n);
		if (k < 0 && errno == EINTR)
			continue;
		if (k < 0 && errno == EAGAIN)
			break;
		if (k < 0) {
			c->input_ended = true;
			c->input_off = c->input.n;
			break;
		}
		c->input_off += (size_t)k;
	}
	if (c->in < 0 || input_left(c) == 0) {
		strbuf_reset(&c->input);
		c->input_off = 0;
		if (c->input_ended)
			close_input(c);
		c->input_ended = false;
	} else if (c->input_off > INPUT_ROOM) {
		strbuf_consume(&c->input, c->input_off);
		c->input_off = 0;
	}
}

/* --- to the client --- */

static void keep_tail(struct command *c, const char *data, size_t n)
{
	if (n > TAIL_MAX) {
		data += n - TAIL_MAX;
		n = TAIL_MAX;
	}
	const size_t keep = c->tail_n < TAIL_MAX - n ? c->tail_n : TAIL_MAX - n;
	memmove(c->tail, c->tail + c->tail_n - keep, keep);
	memcpy(c->tail + keep, data, n);
	c->tail_n = keep + n;
	c->tail[c->tail_n] = '\0';
}

/* One piece of output from @fd. 1: some; 0: none now; -ENODATA: its end; else what the client's end gave. */
static int pull(struct command *c, int fd, enum channel to)
{
	const bool attached = c->o.argv == NULL;
	const ssize_t k = read(fd, c->buf, sizeof c->buf);
	if (k < 0 && (errno == EAGAIN || errno == EINTR))
		return 0;
	if (k <= 0)
		return -ENODATA; /* of a terminal, EIO */
	const char *data = c->buf;
	size_t n = (size_t)k;
	if (attached) {
		to = data[0] == STDOUT_PIPE ? CHANNEL_STDOUT : CHANNEL_STDERR;
		data++;
		n--;
	} else if (to == CHANNEL_STDERR || c->o.tty) {
		keep_tail(c, data, n);
	}
	const int rc = n > 0 ? channels_write(c->channels, to, data, n) : 0;
	return rc < 0 ? rc : 1;
}

static int pull_all(struct command *c, int *fd, enum channel to)
{
	int rc = 1;
	while (rc == 1 && channels_has_room(c->channels))
		rc = pull(c, *fd, to);
	if (rc != -ENODATA)
		return rc < 0 ? rc : 0;
	if (*fd == c->in)
		c->in = -1;
	(void)close(TAKE_FD(*fd));
	return 0;
}

/* --- beginning --- */

static int open_pipe(bool wanted, bool ours_reads, int *ret_ours, int *ret_theirs, struct error *err)
{
	int fds[2];
	if (!wanted)
		return 0;
	if (pipe2(fds, O_CLOEXEC) < 0)
		return error_set(err, -errno, "pipe: %s", strerror(errno));
	*ret_ours = fds[ours_reads ? 0 : 1];
	*ret_theirs = fds[ours_reads ? 1 : 0];
	if (fcntl(*ret_ours, F_SETFL, O_NONBLOCK) < 0)
		return error_set(err, -errno, "pipe: %s", strerror(errno));
	return 0;
}

static int open_terminal(struct command *c, int *ret_theirs, struct error *err)
{
	c->in = posix_openpt(O_RDWR | O_NOCTTY | O_CLOEXEC | O_NONBLOCK);
	if (c->in < 0 || unlockpt(c->in) < 0)
		return error_set(err, -errno, "terminal: %s", strerror(errno));
	*ret_theirs = ioctl(c->in, TIOCGPTPEER, O_RDWR | O_NOCTTY | O_CLOEXEC);
	if (*ret_theirs < 0)
		return error_set(err, -errno, "terminal: %s", strerror(errno));
	if (c->size.ws_row > 0)
		(void)ioctl(c->in, TIOCSWINSZ, &c->size); /* then it has none */
	c->out = c->in;
	c->tty_or_socket = true;
	return 0;
}

static int start_exec(struct command *c, struct error *err)
{
	int theirs[3] = {-1, -1, -1}, rc;
	if (c->o.tty) {
		rc = open_terminal(c, &theirs[0], err);
		theirs[1] = theirs[2] = theirs[0];
	} else {
		rc = open_pipe(c->o.in, false, &c->in, &theirs[0], err);
		rc = rc ?: open_pipe(true, true, &c->out, &theirs[1], err);
		rc = rc ?: open_pipe(true, true, &c->err, &theirs[2], err);
	}
	rc = rc
		     ?: runtime_exec_start(c->o.paths, c->o.id, (const char *const *)c->o.argv, c->o.tty, theirs,
					   &c->exec, err);
	for (size_t i = 0; i < (c->o.tty ? 1 : ARRAY_LEN(theirs)); i++)
		close_fd(&theirs[i]);
	return rc;
}

static int start(struct command *c, struct error *err)
{
	if (c->o.argv != NULL)
		return start_exec(c, err);
	c->in = runtime_attach(c->o.paths, c->o.id, err);
	if (c->in < 0)
		return c->in;
	c->out = c->in;
	c->tty_or_socket = true;
	return 0;
}

/* --- under way --- */

/* All pieces of the client that there is room for. 1: there may be more; 0: none now. */
static int take_input(struct command *c)
{
	int rc = 1;
	while (rc == 1 && input_left(c) < INPUT_ROOM) {
		rc = channels_step(c->channels);
		if (c->input.failed)
			rc = -ENOBUFS;
		if (c->in < 0 && input_left(c) > 0) { /* nobody reads it */
			strbuf_reset(&c->input);
			c->input_off = 0;
		}
	}
	return rc;
}

enum { WAIT_CLIENT, WAIT_IN, WAIT_OUT, WAIT_ERR, WAIT_END, WAITS };

static int wait_and_move(struct command *c, bool ended)
{
	const bool room = channels_has_room(c->channels);
	struct pollfd p[WAITS] = {
		[WAIT_CLIENT] = {.fd = channels_fd(c->channels), .events = POLLIN},
		[WAIT_IN] = {.fd = input_left(c) > 0 ? c->in : -1, .events = POLLOUT},
		[WAIT_OUT] = {.fd = room ? c->out : -1, .events = POLLIN},
		[WAIT_ERR] = {.fd = room ? c->err : -1, .events = POLLIN},
		[WAIT_END] = {.fd = ended || c->o.argv == NULL ? -1 : c->exec.process.pidfd, .events = POLLIN},
	};
	if (poll(p, WAITS, ended ? 100 : -1) < 0 && errno != EINTR)
		return -errno;
	int rc = channels_gone(c->channels) ? -EPIPE : 1;
	push_input(c);
	while (rc == 1 && input_left(c) < INPUT_ROOM) { /* what came meanwhile has been rung for already */
		rc = take_input(c);
		push_input(c);
	}
	rc = rc < 0 ? rc : 0;
	if (rc == 0 && p[WAIT_OUT].revents != 0)
		rc = pull_all(c, &c->out, CHANNEL_STDOUT);
	if (rc == 0 && p[WAIT_ERR].revents != 0)
		rc = pull_all(c, &c->err, CHANNEL_STDERR);
	return rc;
}

static bool has_output(const struct command *c)
{
	return c->out >= 0 || c->err >= 0;
}

/* Until it has ended and all that it said is sent. *@ret_status as of waitpid(). */
static int serve(struct command *c, int *ret_status)
{
	bool ended = c->o.argv == NULL;
	int64_t deadline = INT64_MAX;
	int rc = 0;
	push_input(c);
	while (rc == 0 && (!ended || has_output(c)) && clock_mono_ns() < deadline) {
		rc = wait_and_move(c, ended && c->o.argv != NULL);
		if (rc == 0 && !ended && process_wait(&c->exec.process, 0, ret_status) == 0) {
			ended = true;
			/* Its children may hold the pipes: what they say later is not waited for. */
			deadline = clock_mono_ns() + DRAIN_NS;
		}
		if (ended && !channels_has_room(c->channels))
			deadline = deadline == INT64_MAX ? deadline : clock_mono_ns() + DRAIN_NS;
	}
	return rc;
}

/* --- the end --- */

static json_t *failure(const char *reason, int code, const char *message)
{
	json_t *s = json_pack("{s:{}, s:s, s:o, s:s, s:i}", "metadata", "status", "Failure", "message",
			      json_string(message) ?: json_string("failed"), "reason", reason, "code", code);
	return s;
}

static json_t *exit_status(const struct command *c, int status)
{
	if (status == 0)
		return json_pack("{s:{}, s:s}", "metadata", "status", "Success");
	if (!runtime_exec_begun(&c->exec)) {
		char message[TAIL_MAX + 64];
		size_t n = c->tail_n;
		while (n > 0 && (c->tail[n - 1] == '\n' || c->tail[n - 1] == '\r'))
			n--;
		(void)snprintf(message, sizeof message, "the command cannot be started: %.*s", (int)n, c->tail);
		return failure("InternalError", 500, message);
	}
	const int code = WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
	char message[80], number[12];
	(void)snprintf(number, sizeof number, "%d", code);
	(void)snprintf(message, sizeof message, "command terminated with non-zero exit code: exit status %d", code);
	json_t *s = json_pack("{s:{}, s:s, s:s, s:s, s:{s:[{s:s, s:s}]}}", "metadata", "status", "Failure", "message",
			      message, "reason", "NonZeroExitCode", "details", "causes", "reason", "ExitCode",
			      "message", number);
	return s;
}

int command_new(struct http_exchange *x, const struct command_options *o, struct command **ret, struct error *err)
{
	struct command *c = calloc(1, sizeof *c);
	if (c == NULL)
		return error_set(err, -EAGAIN, "out of memory");
	c->o = *o;
	c->in = c->out = c->err = -1;
	c->exec.process = PROCESS_NONE;
	c->input = STRBUF_INIT(INPUT_MAX);
	const struct channels_options co = {
		.in = o->in, .out = o->out, .err = o->err, .tty = o->tty, .on_input = on_input, .ctx = c};
	const int rc = channels_accept(x, &co, &c->channels, err);
	if (rc < 0) {
		free(c);
		return rc;
	}
	*ret = c;
	return 0;
}

void command_run(struct command *c)
{
	struct error err = {0};
	int status = 0;
	int rc = channels_open(c->channels, clock_mono_ns() + REMOTE_OPEN_NS);
	if (rc < 0)
		return;
	JSON_AUTO answer = NULL;
	if (start(c, &err) < 0) {
		answer = failure("InternalError", 500, err.msg);
	} else {
		rc = serve(c, &status);
		if (rc == 0)
			answer = exit_status(c, status);
	}
	if (answer == NULL || channels_end(c->channels, answer) < 0)
		return;
	channels_linger(c->channels, clock_mono_ns() + REMOTE_LINGER_NS);
}

void command_free(struct command *c)
{
	if (c == NULL)
		return;
	if (c->o.argv != NULL)
		runtime_exec_end(&c->exec);
	if (c->out == c->in)
		c->out = -1;
	close_fd(&c->in);
	close_fd(&c->out);
	close_fd(&c->err);
	channels_free(c->channels);
	strbuf_clear(&c->input);
	for (char **s = c->o.argv; s != NULL && *s != NULL; s++)
		free(*s);
	free(c->o.argv);
	free(c);
}
