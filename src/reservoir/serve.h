/*
 * The worker's side of the protocol of proto.h: a thread for each connection, sessions that own what their mount has open.
 *
 * Threads: new and free by the owner. The socket is for processes of the same user alone.
 */
#pragma once

#include <stdint.h>

struct catalog;
struct error;
struct fetcher;
struct server;
struct store;

struct server_options {
	const char *path; /* of the socket; its directory is made when absent */
	struct catalog *catalog;
	struct fetcher *fetcher;
	struct store *store;
	int64_t entry_ns, attr_ns;
};

/** Listen and serve. -EADDRINUSE when another worker answers there; a socket left over from a dead one is replaced. */
int server_new(const struct server_options *o, struct server **ret, struct error *err);
/** End all connections, release what was open, free. What the connections wait for must have been stopped. Accepts NULL. */
void server_free(struct server *s);

struct server_counts {
	uint64_t hit_bytes, miss_bytes; /* what mounts have read from the store at once, and after a wait */
	uint64_t open_files, sessions, requests, failed_requests;
};
void server_counts(struct server *s, struct server_counts *ret);
