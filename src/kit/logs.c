/* What is logged while a case runs, kept in memory and read as it was written: lines of JSON. */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/error.h"
#include "base/file.h"
#include "base/str.h"
#include "kit/world.h"
#include "json/json.h"

#define MAX_LOG (64u << 20)

static int kept = -1; /* for the life of the process: the log writes there */

int logs_keep(struct error *err)
{
	if (kept < 0)
		kept = memfd_create("kit-log", MFD_CLOEXEC);
	if (kept < 0 || fcntl(kept, F_SETFL, O_APPEND) < 0)
		return error_set(err, -errno, "no memory for the log: %s", strerror(errno));
	log_init(kept, LOG_LVL_DEBUG, "kit");
	return 0;
}

/* Calls @fn with each line of @level or worse. */
static void each(enum log_level level, void (*fn)(void *ctx, struct str line, const json_t *parsed), void *ctx)
{
	const off_t n = kept >= 0 ? lseek(kept, 0, SEEK_END) : 0;
	CLEANUP(free_p) char *text = n > 0 && n <= (off_t)MAX_LOG ? malloc((size_t)n + 1) : NULL;
	if (text == NULL || file_pread_full(kept, text, (size_t)n, 0) != n)
		return;
	text[n] = '\0';
	struct str rest = {text, (size_t)n}, line;
	while (str_split_next(&rest, '\n', &line)) {
		JSON_AUTO parsed = NULL;
		enum log_level at;
		if (json_parse(line.p, line.n, &parsed, NULL) == 0 &&
		    log_level_parse(json_str(parsed, "level", ""), &at) == 0 && at >= level)
			fn(ctx, line, parsed);
	}
}

struct count {
	const char *msg;
	size_t n;
	json_t **first;
};

static void count_line(void *ctx, struct str line, const json_t *parsed)
{
	struct count *c = ctx;
	(void)line;
	if (c->msg != NULL && strcmp(json_str(parsed, "msg", ""), c->msg) != 0)
		return;
	if (c->n++ == 0 && c->first != NULL)
		*c->first = json_deep_copy(parsed);
}

size_t logs_count(enum log_level level, const char *msg, json_t **ret)
{
	struct count c = {.msg = msg, .first = ret};
	each(level, count_line, &c);
	return c.n;
}

static void show_line(void *ctx, struct str line, const json_t *parsed)
{
	(void)ctx, (void)parsed;
	/* There is nowhere to report a log that cannot be written to. */
	(void)file_write_all(STDERR_FILENO, line.p, line.n);
	(void)file_write_all(STDERR_FILENO, "\n", 1);
}

void logs_end(enum log_level level)
{
	each(level, show_line, NULL);
	(void)ftruncate(kept, 0); /* what stays is counted by the next case, which fails then */
}
