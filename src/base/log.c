#include "base/log.h"

#include <errno.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/file.h"
#include "base/strbuf.h"

#define LINE_MAX_BYTES  65536u
#define VALUE_MAX_BYTES 4096u

struct logger {
	struct logger *parent; /* NULL: the root */
	char *key, *value;
};

/* The sink is set once at start, before threads; only the level is read and written concurrently. */
static struct logger root;
static int sink_fd = STDERR_FILENO;
static bool sink_tty;
static const char *sink_component;
static atomic_int sink_min = LOG_LVL_INFO;

static const char *const level_name[] = {"debug", "info", "warn", "error"};

void log_init(int fd, enum log_level min, const char *component)
{
	sink_fd = fd;
	sink_tty = isatty(fd) == 1;
	sink_component = component;
	atomic_store_explicit(&sink_min, (int)min, memory_order_relaxed);
}

struct logger *log_root(void)
{
	return &root;
}

struct logger *log_with(struct logger *parent, const char *key, const char *value)
{
	struct logger *lg = calloc(1, sizeof *lg);
	if (lg == NULL)
		return NULL;
	lg->parent = parent != NULL ? parent : &root;
	lg->key = strdup(key);
	lg->value = strdup(value != NULL ? value : "");
	if (lg->key == NULL || lg->value == NULL) {
		log_free(lg);
		return NULL;
	}
	return lg;
}

void log_free(struct logger *lg)
{
	if (lg == NULL || lg == &root)
		return;
	free(lg->key);
	free(lg->value);
	free(lg);
}

/* At most VALUE_MAX_BYTES of @s, cut between characters. */
static size_t value_length(const char *s)
{
	size_t n = strnlen(s, VALUE_MAX_BYTES + 1);
	if (n <= VALUE_MAX_BYTES)
		return n;
	for (n = VALUE_MAX_BYTES; n > 0 && ((unsigned char)s[n] & 0xc0) == 0x80;)
		n--;
	return n;
}

static bool is_plain(const char *s, size_t n)
{
	for (size_t i = 0; i < n; i++)
		if (s[i] <= ' ' || s[i] == '"' || s[i] == '=' || s[i] == '\\' || s[i] == 0x7f)
			return false;
	return n > 0;
}

static void add_key(struct strbuf *b, const char *key)
{
	if (sink_tty) {
		strbuf_addf(b, " %s=", key);
		return;
	}
	strbuf_addc(b, ',');
	strbuf_add_json(b, key, value_length(key));
	strbuf_addc(b, ':');
}

static void add_string(struct strbuf *b, const char *key, const char *s)
{
	add_key(b, key);
	if (s == NULL) {
		strbuf_adds(b, "null");
		return;
	}
	const size_t n = value_length(s);
	if (sink_tty && is_plain(s, n))
		strbuf_add(b, s, n);
	else
		strbuf_add_json(b, s, n); /* quoted on a terminal too: control characters must not reach it */
}

static void add_field(struct strbuf *b, const struct log_field *f)
{
	switch (f->type) {
	case LF_STR:
		add_string(b, f->key, f->s);
		break;
	case LF_INT:
		add_key(b, f->key);
		strbuf_addf(b, "%lld", (long long)f->i);
		break;
	case LF_BOOL:
		add_key(b, f->key);
		strbuf_adds(b, f->i != 0 ? "true" : "false");
		break;
	case LF_DUR_NS:
		add_key(b, f->key);
		strbuf_addf(b, "%.3f", (double)f->i / 1e6); /* the key says it: duration_ms */
		break;
	}
}

static void add_context(struct strbuf *b, const struct logger *lg, int depth)
{
	if (lg == NULL || lg->parent == NULL || depth == 16)
		return;
	add_context(b, lg->parent, depth + 1);
	add_string(b, lg->key, lg->value);
}

static void add_head(struct strbuf *b, enum log_level lvl, const char *msg)
{
	char ts[40];
	clock_format_rfc3339_micro(clock_wall_ns(), ts);
	if (sink_tty) {
		static const char *const shout[] = {"DEBUG", "INFO ", "WARN ", "ERROR"};
		strbuf_addf(b, "%.15s %s %s", ts + 11, shout[lvl], msg);
		return;
	}
	strbuf_addf(b, "{\"ts\":\"%s\",\"level\":\"%s\",\"msg\":", ts, level_name[lvl]);
	strbuf_add_json(b, msg, value_length(msg));
	if (sink_component != NULL)
		add_string(b, "component", sink_component);
}

void log_emit(struct logger *lg, enum log_level lvl, const char *msg, const struct log_field *fields)
{
	if ((int)lvl < atomic_load_explicit(&sink_min, memory_order_relaxed))
		return;
	const int saved = errno; /* callers log between a failure and its handling */
	struct strbuf b = STRBUF_INIT(LINE_MAX_BYTES);
	add_head(&b, lvl, msg);
	add_context(&b, lg, 0);
	for (; fields != NULL && fields->key != NULL; fields++)
		add_field(&b, fields);
	strbuf_adds(&b, sink_tty ? "\n" : "}\n");
	/* There is nowhere to report a log that cannot be written to. */
	if (b.failed) {
		static const char lost[] =
			"{\"level\":\"error\",\"msg\":\"a log line was lost: too long or out of memory\"}\n";
		(void)file_write_all(sink_fd, lost, sizeof lost - 1);
	} else {
		(void)file_write_all(sink_fd, b.p, b.n);
	}
	strbuf_clear(&b);
	errno = saved;
}

int log_level_parse(const char *s, enum log_level *ret)
{
	for (size_t i = 0; i < sizeof level_name / sizeof level_name[0]; i++) {
		if (strcmp(s, level_name[i]) == 0) {
			*ret = (enum log_level)i;
			return 0;
		}
	}
	return -EINVAL;
}
