/*
 * Runtimes in shared objects, each in a process of its own. The host (`sluice controller --plugin-dir`) starts one guest
 * (`sluice controller --plugin FILE`) for each file and keeps it running; what the plug-in does wrong ends its guest alone.
 *
 * A guest says lines on its standard output: "ready: ..." once its caches are filled, "ended: REASON" before it gives up.
 */
#pragma once

#include <stdint.h>

struct error;
struct runtime_controller;
struct sluice_runtime_plugin;

struct plugin_host;

struct plugin_host_options {
	const char *dir;
	const char *const
		*argv; /* of a guest, without "--plugin FILE"; NULL-terminated, borrowed until plugin_host_stop() */
};

/** Find DIR/sluice-runtime-*.so and start a guest for each. An empty directory is fine; one that cannot be read is an error. */
int plugin_host_start(const struct plugin_host_options *o, struct plugin_host **ret, struct error *err);
/** SIGTERM to the guests, SIGKILL to those that do not end in 20 s. Accepts NULL. */
void plugin_host_stop(struct plugin_host *h);

/** Say on standard output why this guest gives up. */
void plugin_guest_tell(const char *reason);
/**
 * The plug-in's controller, watched: when one pass of it takes longer than @timeout_ns the process says so and ends, since nothing
 * else can stop code that hangs. Call once in a process.
 */
int plugin_guest_watch(const struct sluice_runtime_plugin *p, int64_t timeout_ns, const struct runtime_controller **ret,
		       struct error *err);
