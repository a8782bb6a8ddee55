/* Logs being passed on from the node agent. */
#pragma once

struct api_logs;
struct error;

/** NULL and @err on failure. The agent need not be there yet. */
struct api_logs *api_logs_new(const char *data_dir, struct error *err);
/** The HTTP server must be gone, so that the streams have ended. Accepts NULL. */
void api_logs_free(struct api_logs *l);
