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
