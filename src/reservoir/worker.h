/*
 * The worker of one dataset: store, catalog, fetcher, the socket that mounts talk to, and HTTP for people and probes:
 * /healthz, /readyz, /metrics, /v1/status, POST /v1/refresh.
 *
 * Threads: by the owner.
 */
#pragma once

#include <stdint.h>

struct error;
struct reservoir_config;
struct worker;

/** Start everything. @config must outlive it. A source that is away is no error: it is tried until it comes. */
int worker_new(const struct reservoir_config *config, struct worker **ret, struct error *err);
/** The port that HTTP listens on; 0 without. */
uint16_t worker_port(const struct worker *w);
/** Accepts NULL. */
void worker_free(struct worker *w);
