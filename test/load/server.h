/* A `sluice api` of its own for the programs of this folder: a directory, a child that can be killed, credentials. */
#pragma once

#include <stdint.h>

#include "base/process.h"

struct error;
struct kube_client;

struct load_server {
	const char *sluice;                       /* the binary */
	char dir[128], kubeconfig[160], log[160]; /* what it prints on stderr is appended to log */
	struct process process;
	int out; /* its stdout until it is ready; -1 */
};

/** Make a directory below /tmp. */
int load_server_init(struct load_server *s, const char *sluice, struct error *err);
/** Start it and return at once. */
int load_server_spawn(struct load_server *s, struct error *err);
/** Wait until it serves. */
int load_server_ready(struct load_server *s, struct error *err);
/** kill -9. */
void load_server_kill(struct load_server *s);
/** SIGTERM; its exit status, 128 + signal when it died of one, -1 when it does not end. */
int load_server_stop(struct load_server *s);
/** Kill it and remove its directory. */
void load_server_clear(struct load_server *s);
/** A new client of it. */
int load_server_client(const struct load_server *s, struct kube_client **ret, struct error *err);
