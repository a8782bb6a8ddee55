/* Inside src/kube only: the manager's small HTTP server: /healthz, /readyz, /metrics. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

struct endpoints;
struct error;
struct strbuf;

struct endpoints_options {
	const char *health_address, *metrics_address; /* as of struct manager_options */
	/** Whether all is well; each check as a line "[+]name ok" or "[-]name: why" into @out. Any thread. */
	bool (*healthy)(void *ctx, struct strbuf *out);
	bool (*ready)(void *ctx, struct strbuf *out);
	void *ctx;
};

/** Listen. *@ret is NULL when nothing is to be served. */
int endpoints_new(const struct endpoints_options *o, struct endpoints **ret, struct error *err);
/** 0: not served, or @e is NULL. */
uint16_t endpoints_health_port(const struct endpoints *e);
uint16_t endpoints_metrics_port(const struct endpoints *e);
/** Accepts NULL. */
void endpoints_free(struct endpoints *e);
