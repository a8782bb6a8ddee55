/* A watch in the background: a thread reads it, the case takes its events in order. */
#pragma once

#include <jansson.h>
#include <stdint.h>

struct error;
struct http_call;
struct http_client;
struct stream;

/** Open @call (copied; a GET) and wait for the head of its answer: *@ret_status; when that is no 200, *@ret_body is the answer (malloc'ed). */
int stream_open(struct http_client *client, const struct http_call *call, struct stream **ret, int *ret_status,
		char **ret_body, struct error *err);
/** The next event within @timeout_ns, a new tree; -ETIMEDOUT, -EPIPE once the server has ended the stream, -EINVAL when a line is no JSON. */
int stream_next(struct stream *s, int64_t timeout_ns, json_t **ret, struct error *err);
/** End it and wait for its thread. Accepts NULL. */
void stream_free(struct stream *s);
