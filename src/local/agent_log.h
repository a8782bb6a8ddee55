/*
 * Container logs in conmon's k8s-file form: "TIMESTAMP stdout|stderr F|P text" a line; what `kubectl logs` asks of them.
 * Threads: any, one at a time for one reader.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct error;

struct log_options {
	int64_t tail_lines;  /* -1: all */
	int64_t since_ns;    /* wall clock; 0: all */
	int64_t limit_bytes; /* -1: none */
	bool timestamps;
};

/** Called with pieces of the answer. A negative return ends reading with it. */
typedef int (*log_sink)(void *ctx, const char *data, size_t n);

struct log_reader;

/** Reads @path, and before it @path.1 (rotated) where that is there. Neither has to exist. NULL on no memory. */
struct log_reader *log_reader_new(const char *path, const struct log_options *o);
/** Accepts NULL. */
void log_reader_free(struct log_reader *r);
/**
 * Give what there is since the last call to @sink. 1: something, 0: nothing new, -EFBIG: the limit of bytes is reached, or the sink's code,
 * or another negative errno. A file that was rotated meanwhile is followed.
 */
int log_reader_read(struct log_reader *r, log_sink sink, void *ctx, struct error *err);

/** One line without its end, split. False when it is not of that form. Pure. */
struct log_line {
	const char *time, *text;
	size_t time_n, text_n;
	bool partial;
};
bool log_line_parse(const char *line, size_t n, struct log_line *ret);
