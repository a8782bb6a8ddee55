/*
 * Remote commands and forwarded ports, below the agent's socket:
 *   /exec/NAMESPACE/POD/CONTAINER?command=..&command=..   run a command (Kubernetes' PodExecOptions)
 *   /attach/NAMESPACE/POD/CONTAINER                       the container's own input and output
 *   /portForward/NAMESPACE/POD                            connections to ports of the pod
 * Each client has a thread, of a limited number.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "local/agent_paths.h"
#include "local/agent_runtime.h"

struct agent;
struct channels;
struct error;
struct http_exchange;
struct remote_server;

int remote_server_new(struct agent *a, struct remote_server **ret, struct error *err);
/** Wait until all clients have gone: the HTTP server must have ended before, which cuts them off. Accepts NULL. */
void remote_server_free(struct remote_server *s);
/** Answer @x. False when the path is none of these. Any thread. */
bool remote_handle(struct remote_server *s, struct http_exchange *x);

/** How long a client has for opening its streams, and for going once it has been told all. */
#define REMOTE_OPEN_NS   (30 * INT64_C(1000000000))
#define REMOTE_LINGER_NS (10 * INT64_C(1000000000))

/* agent_command.c */

struct command_options {
	const struct agent_paths *paths;
	char id[CONTAINER_ID_MAX + 1]; /* of the container */
	char **argv;                   /* NULL: attach */
	bool in, out, err, tty;
};

struct command;
/** Switch the protocols of @x; errors as of wire_accept(). Takes @o->argv when it succeeds. */
int command_new(struct http_exchange *x, const struct command_options *o, struct command **ret, struct error *err);
/** Serve to the end; blocks. */
void command_run(struct command *c);
void command_free(struct command *c);

/* agent_forward.c */

struct forward;
/** Switch the protocols of @x; errors as of wire_accept(). */
int forward_new(struct http_exchange *x, struct forward **ret, struct error *err);
/** Serve to the end; blocks. */
void forward_run(struct forward *f);
void forward_free(struct forward *f);
