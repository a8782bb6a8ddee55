/*
 * The mount keeper: a process that does nothing but hold, for each mount, the connection to the kernel and the table of what is open
 * while `sluice fuse` is away, and give both to the next one (keeper_proto.h). It reads no file of a dataset, follows no path and
 * answers the kernel nothing. When it dies, servers that run go on and give it theirs again; mounts without a server end.
 *
 * A mount that has no server is unmounted: when the server said goodbye, as soon as nothing but its own mount point uses it (a pod's
 * publication is another mount of the same device); else after a while, so that readers do not wait for ever.
 *
 * Threads: one, keeper_run()'s.
 */
#pragma once

#include <stdint.h>

struct error;

struct keeper_options {
	const char *socket;
	int stop_fd; /* readable: end */
	/** How long a mount without a server is kept; 0: the usual 10 minutes, 1 minute when no pod uses it. */
	int64_t keep_ns;
};

/** Serve until told to stop; mounts without a server are unmounted then. @ready (may be NULL) is called once the socket is there. */
int keeper_run(const struct keeper_options *o, void (*ready)(const char *socket), struct error *err);
