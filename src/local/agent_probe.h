/*
 * Probes of containers: what one asks, asking it once, and counting answers to a verdict.
 * Threads: any; one at a time for one counter.
 */
#pragma once

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct agent_paths;
struct error;
struct http_client;
struct probe;

enum probe_kind { PROBE_STARTUP, PROBE_READINESS, PROBE_LIVENESS, PROBE_KINDS };
/** "Startup", "Readiness", "Liveness", as Events say it. */
extern const char *const probe_kind_name[PROBE_KINDS];

/** *@ret is NULL when @container has no such probe. @address is the pod's. -EINVAL: it cannot be asked here. */
int probe_parse(const json_t *container, enum probe_kind kind, const char *address, struct probe **ret,
		struct error *err);
/** Accepts NULL. */
void probe_free(struct probe *p);

int64_t probe_initial_delay_ns(const struct probe *p);
int64_t probe_period_ns(const struct probe *p);
/** Grace period of its own for a restart that it causes, or -1. */
int64_t probe_grace_seconds(const struct probe *p);

/** Ask once; blocks at most its timeout. True: passed. Otherwise @msg says why. */
bool probe_ask(const struct probe *p, const struct agent_paths *paths, struct http_client *http,
	       const char *container_id, char *msg, size_t size);

struct probe_counter {
	bool last;
	int n;
};
enum probe_verdict { PROBE_UNDECIDED, PROBE_PASSED, PROBE_FAILED };
/** Count one answer against the thresholds. */
enum probe_verdict probe_count(const struct probe *p, struct probe_counter *c, bool ok);
