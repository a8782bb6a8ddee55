/*
 * Structured log: constant message in lower case, facts in typed fields. JSON lines; readable on a terminal.
 * Threads: log_emit() from any thread; a line is written with one write().
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

enum log_level { LOG_LVL_DEBUG, LOG_LVL_INFO, LOG_LVL_WARN, LOG_LVL_ERROR };

struct log_field {
	const char *key;
	enum { LF_STR, LF_INT, LF_DUR_NS, LF_BOOL } type;
	union {
		const char *s; /* NULL is written as null */
		int64_t i;
	};
};

struct logger;

#define LOG_STR(k, v)  ((struct log_field){.key = (k), .type = LF_STR, .s = (v)})
#define LOG_INT(k, v)  ((struct log_field){.key = (k), .type = LF_INT, .i = (v)})
#define LOG_BOOL(k, v) ((struct log_field){.key = (k), .type = LF_BOOL, .i = (v)})
#define LOG_DUR(k, v)  ((struct log_field){.key = (k), .type = LF_DUR_NS, .i = (v)})

/** The process's root logger: writes to @fd; JSON lines unless the descriptor is a terminal. Never fails. */
void log_init(int fd, enum log_level min, const char *component);
/** The root logger. Valid (stderr, info) even before log_init(). */
struct logger *log_root(void);
/** A logger that adds @key=@value to each line of @parent, which must outlive it. NULL on no memory (then use the parent). */
struct logger *log_with(struct logger *parent, const char *key, const char *value);
/** Free one made by log_with(). Accepts NULL. */
void log_free(struct logger *lg);
/** One line. The last field is {0}; use the LOG() macro. @lg NULL means the root. */
void log_emit(struct logger *lg, enum log_level lvl, const char *msg, const struct log_field *fields);
#define LOG(lg, lvl, msg, ...) log_emit((lg), (lvl), (msg), (const struct log_field[]){__VA_ARGS__ __VA_OPT__(, ){0}})
/** Parse "debug", "info", "warn", "error". 0 or -EINVAL. */
int log_level_parse(const char *s, enum log_level *ret);
