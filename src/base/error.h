/*
 * Errors as caller-owned values: no allocation, wrapped outward as they travel up.
 */
#pragma once

#include <errno.h>

/** What went wrong. `code` is a negative errno; `status` an HTTP status or 0. */
struct error {
	int code;
	int status;
	char reason[40]; /* Kubernetes' Status.reason ("NotFound"), or "" */
	char msg[480];   /* cut, never overrun */
};

/** Fill @err (may be NULL) and return @code, so that callers can `return error_set(...)`. */
int error_set(struct error *err, int code, const char *fmt, ...) __attribute__((format(printf, 3, 4)));

/** Put "context: " in front of the message already in @err; returns @code unchanged. Keeps status and reason. */
int error_wrap(struct error *err, int code, const char *fmt, ...) __attribute__((format(printf, 3, 4)));

#ifdef __clang_analyzer__ /* it sees one file at a time, so it is told what both return */
#define error_returned_(code)                                                                                          \
	({                                                                                                             \
		const int c_ = (code);                                                                                 \
		if (c_ >= 0)                                                                                           \
			__builtin_unreachable();                                                                       \
		c_;                                                                                                    \
	})
#define error_set(err, code, ...)  ((void)(error_set)((err), -1, __VA_ARGS__), error_returned_(code))
#define error_wrap(err, code, ...) ((void)(error_wrap)((err), -1, __VA_ARGS__), error_returned_(code))
#endif
