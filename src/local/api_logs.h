/* What the node agent is asked for over its socket: logs, remote commands, forwarded ports. Each request has a thread, of a limited number. */
#pragma once

#include <stdbool.h>

struct api_logs;
struct error;
struct http_client;

/** NULL and @err on failure. The agent need not be there yet. */
struct api_logs *api_logs_new(const char *data_dir, struct error *err);
/** The HTTP server must be gone, so that the streams have ended. Accepts NULL. */
void api_logs_free(struct api_logs *l);

/** May one more request go to the agent? Each true is to be followed by one api_logs_release(). */
bool api_logs_reserve(struct api_logs *l);
void api_logs_release(struct api_logs *l);
/** The client of its socket. */
struct http_client *api_logs_client(struct api_logs *l);
