/*
 * What the framework counts, in the registry of the process. Names of Fluid's metrics are kept. Threads: any.
 */
#pragma once

#include <stdint.h>

struct reconcile_ctx;

/** Setup ended with an error, or a health check with one: runtime_setup_error_total, runtime_sync_healthcheck_error_total. */
void metrics_setup_error(const struct reconcile_ctx *ctx);
void metrics_health_error(const struct reconcile_ctx *ctx);
/** dataset_ufs_total_size and dataset_ufs_file_num, as far as known (-1: not). */
void metrics_dataset(const struct reconcile_ctx *ctx, int64_t bytes, int64_t files);
/** The runtime is gone: its series too. */
void metrics_forget(const struct reconcile_ctx *ctx);
/** A question to a cache system ("figures") or a call has ended: sluice_engine_call_duration_seconds, sluice_engine_call_errors_total. */
void metrics_engine_call(const char *engine, const char *call, int64_t took_ns, int rc);
