#include "local/agent_log.h"

#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/error.h"
#include "base/file.h"
#include "base/str.h"
#include "base/strbuf.h"

#define CHUNK          (64u << 10)
#define LINE_MAX_BYTES (1u << 20)
#define TIME_MAX       48

struct log_reader {
	char *path;
	struct log_options o;
	int fd;             /* of the file being read, or -1 */
	struct strbuf part; /* the beginning of a line whose end is not written yet */
	bool begun;         /* tail and rotation have been seen to */
	bool mid_line;      /* the last piece given was partial: no timestamp before the next */
	int64_t left;       /* bytes that may still be given; -1: any number */
};

struct log_reader *log_reader_new(const char *path, const struct log_options *o)
{
	struct log_reader *r = calloc(1, sizeof *r);
	if (r == NULL || (r->path = strdup(path)) == NULL) {
		free(r);
		return NULL;
	}
	r->o = *o;
	r->fd = -1;
	r->left = o->limit_bytes;
	r->part = STRBUF_INIT(LINE_MAX_BYTES);
	return r;
}

void log_reader_free(struct log_reader *r)
{
	if (r == NULL)
		return;
	close_fd(&r->fd);
	strbuf_clear(&r->part);
	free(r->path);
	free(r);
}

bool log_line_parse(const char *line, size_t n, struct log_line *ret)
{
	const char *end = line + n, *space = memchr(line, ' ', n);
	if (space == NULL || space == line || space - line > TIME_MAX)
		return false;
	*ret = (struct log_line){.time = line, .time_n = (size_t)(space - line)};
	const char *stream = space + 1;
	space = memchr(stream, ' ', (size_t)(end - stream));
	if (space == NULL || space - stream != 6 ||
	    (memcmp(stream, "stdout", 6) != 0 && memcmp(stream, "stderr", 6) != 0))
		return false;
	const char *tag = space + 1;
	space = memchr(tag, ' ', (size_t)(end - tag));
	if (space == NULL || space == tag || (*tag != 'F' && *tag != 'P'))
		return false;
	ret->partial = *tag == 'P';
	ret->text = space + 1;
	ret->text_n = (size_t)(end - ret->text);
	return true;
}

static bool is_too_old(const struct log_reader *r, const struct log_line *l)
{
	if (r->o.since_ns == 0)
		return false;
	char text[TIME_MAX + 1];
	int64_t at = 0;
	memcpy(text, l->time, l->time_n);
	text[l->time_n] = '\0';
	return clock_parse_rfc3339(text, &at) == 0 && at < r->o.since_ns;
}

static int give(struct log_reader *r, const char *data, size_t n, log_sink sink, void *ctx)
{
	if (r->left >= 0 && (uint64_t)r->left < n)
		n = (size_t)r->left;
	if (n > 0) {
		const int rc = sink(ctx, data, n);
		if (rc < 0)
			return rc;
	}
	if (r->left >= 0 && (r->left -= (int64_t)n) == 0)
		return -EFBIG;
	return 0;
}

static int give_line(struct log_reader *r, const char *line, size_t n, struct strbuf *out)
{
	struct log_line l;
	if (!log_line_parse(line, n, &l) || is_too_old(r, &l))
		return 0; /* cut by a crash of the machine, or not asked for */
	if (r->o.timestamps && !r->mid_line) {
		strbuf_add(out, l.time, l.time_n);
		strbuf_addc(out, ' ');
	}
	strbuf_add(out, l.text, l.text_n);
	if (!l.partial)
		strbuf_addc(out, '\n');
	r->mid_line = l.partial;
	return 0;
}

/* All whole lines of what was read, in one piece to the sink. */
static int give_lines(struct log_reader *r, const char *data, size_t n, log_sink sink, void *ctx, struct error *err)
{
	struct strbuf out = STRBUF_INIT(CHUNK * 2 + LINE_MAX_BYTES + TIME_MAX);
	int rc = 0;
	while (rc == 0 && n > 0) {
		const char *nl = memchr(data, '\n', n);
		const size_t k = nl != NULL ? (size_t)(nl - data) : n;
		strbuf_add(&r->part, data, k);
		if (r->part.failed) { /* a line beyond all measure: what follows is found again at the next one */
			strbuf_reset(&r->part);
		} else if (nl != NULL) {
			if (out.n > CHUNK && (rc = give(r, out.p, out.n, sink, ctx)) == 0)
				strbuf_reset(&out);
			rc = rc ?: give_line(r, r->part.p != NULL ? r->part.p : "", r->part.n, &out);
			strbuf_reset(&r->part);
		}
		data += nl != NULL ? k + 1 : k;
		n -= nl != NULL ? k + 1 : k;
	}
	if (rc == 0 && out.n > 0)
		rc = out.failed ? error_set(err, -ENOMEM, "log: out of memory") : give(r, out.p, out.n, sink, ctx);
	strbuf_clear(&out);
	return rc;
}

static int open_log(const char *path)
{
	const int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
	return fd < 0 ? -errno : fd;
}

/* Offset from which @lines lines are left, and how many are missing when the file has fewer. */
static off_t tail_offset(int fd, int64_t lines, int64_t *ret_missing)
{
	struct stat st;
	*ret_missing = lines;
	if (lines <= 0 || fstat(fd, &st) < 0)
		return fstat(fd, &st) == 0 ? st.st_size : 0;
	CLEANUP(free_p) char *buf = malloc(CHUNK);
	off_t end = st.st_size;
	bool last = true; /* the newline that ends the file begins no line */
	while (buf != NULL && end > 0) {
		const off_t from = end > (off_t)CHUNK ? end - (off_t)CHUNK : 0;
		const ssize_t n = file_pread_full(fd, buf, (size_t)(end - from), from);
		if (n <= 0)
			break;
		for (ssize_t i = n; i-- > 0; last = false)
			if (buf[i] == '\n' && !last && --*ret_missing == 0)
				return from + i + 1;
		end = from;
	}
	if (st.st_size > 0)
		--*ret_missing;
	return 0;
}

static int read_to_end(struct log_reader *r, log_sink sink, void *ctx, struct error *err)
{
	CLEANUP(free_p) char *buf = malloc(CHUNK);
	if (buf == NULL)
		return error_set(err, -ENOMEM, "log: out of memory");
	bool any = false;
	for (;;) {
		const ssize_t n = read(r->fd, buf, CHUNK);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return error_set(err, -errno, "read log '%s': %s", r->path, strerror(errno));
		if (n == 0)
			return any;
		any = true;
		const int rc = give_lines(r, buf, (size_t)n, sink, ctx, err);
		if (rc < 0)
			return rc;
	}
}

/* The rotated file first, as far as the tail reaches back into it. */
static int begin(struct log_reader *r, log_sink sink, void *ctx, struct error *err)
{
	CLEANUP(free_p) char *old_path = str_printf("%s.1", r->path);
	if (old_path == NULL)
		return error_set(err, -ENOMEM, "log: out of memory");
	CLEANUP(close_fd) int now = open_log(r->path);
	CLEANUP(close_fd) int old = open_log(old_path);
	int64_t missing = r->o.tail_lines;
	off_t from = 0, old_from = 0;
	if (r->o.tail_lines >= 0 && now >= 0)
		from = tail_offset(now, r->o.tail_lines, &missing);
	if (r->o.tail_lines >= 0 && old >= 0)
		old_from = tail_offset(old, missing, &missing);
	r->begun = true;
	int rc = 0;
	if (old >= 0 && lseek(old, old_from, SEEK_SET) >= 0) {
		r->fd = TAKE_FD(old);
		rc = read_to_end(r, sink, ctx, err);
		close_fd(&r->fd);
		r->fd = -1;
	}
	if (rc >= 0 && now >= 0 && lseek(now, from, SEEK_SET) >= 0)
		r->fd = TAKE_FD(now);
	return rc;
}

static bool was_replaced(const struct log_reader *r)
{
	struct stat here, there;
	return fstat(r->fd, &here) == 0 && stat(r->path, &there) == 0 &&
	       (here.st_ino != there.st_ino || here.st_dev != there.st_dev);
}

int log_reader_read(struct log_reader *r, log_sink sink, void *ctx, struct error *err)
{
	int any = 0, rc = 0;
	if (r->left == 0)
		return -EFBIG;
	if (!r->begun && (any = begin(r, sink, ctx, err)) < 0)
		return any;
	if (r->fd < 0 && (r->fd = open_log(r->path)) < 0)
		return r->fd == -ENOENT ? any : error_set(err, r->fd, "open log '%s': %s", r->path, strerror(-r->fd));
	/* Looked at before reading: what is written to the old file after the look is written to the new one, too. */
	const bool replaced = was_replaced(r);
	rc = read_to_end(r, sink, ctx, err);
	if (rc < 0 || !replaced)
		return rc < 0 ? rc : rc | any;
	any |= rc;
	close_fd(&r->fd);
	r->fd = open_log(r->path);
	rc = r->fd >= 0 ? read_to_end(r, sink, ctx, err) : 0;
	return rc < 0 ? rc : rc | any;
}
