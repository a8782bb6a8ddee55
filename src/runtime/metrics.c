#include "runtime/metrics.h"

#include <ctype.h>
#include <stdio.h>

#include "base/clock.h"
#include "base/metrics.h"
#include "base/str.h"
#include "sluice/engine.h"

/* "ns/name" and the lower-cased kind, as Fluid labels them. */
struct names {
	char dataset[320], type[64];
};

static void names_of(const struct reconcile_ctx *ctx, struct names *n)
{
	(void)snprintf(n->dataset, sizeof n->dataset, "%s/%s", ctx->ns, ctx->name); /* names of the API fit */
	(void)str_copy(n->type, sizeof n->type, ctx->runtime_resource->kind);       /* kinds are short */
	for (char *p = n->type; *p != '\0'; p++)
		*p = (char)tolower((unsigned char)*p);
}

static struct metric *runtime_counter(const char *name, const char *help)
{
	static const char *const labels[] = {"runtime_type", "runtime", NULL};
	return metrics_counter(metrics_root(), name, help, labels);
}

static struct metric *setup_errors(void)
{
	return runtime_counter("runtime_setup_error_total", "Passes over a runtime whose setup ended with an error.");
}

static struct metric *health_errors(void)
{
	return runtime_counter("runtime_sync_healthcheck_error_total",
			       "Passes over a runtime whose health check ended with an error.");
}

static struct metric *dataset_gauge(const char *name, const char *help)
{
	static const char *const labels[] = {"dataset", NULL};
	return metrics_gauge(metrics_root(), name, help, labels);
}

static struct metric *file_num(void)
{
	return dataset_gauge("dataset_ufs_file_num", "Files that the sources of a dataset hold.");
}

static struct metric *total_size(void)
{
	return dataset_gauge("dataset_ufs_total_size", "Bytes that the sources of a dataset hold.");
}

void metrics_setup_error(const struct reconcile_ctx *ctx)
{
	struct names n;
	names_of(ctx, &n);
	series_add(metric_series(setup_errors(), (const char *const[]){n.type, n.dataset}), 1);
}

void metrics_health_error(const struct reconcile_ctx *ctx)
{
	struct names n;
	names_of(ctx, &n);
	series_add(metric_series(health_errors(), (const char *const[]){n.type, n.dataset}), 1);
}

void metrics_dataset(const struct reconcile_ctx *ctx, int64_t bytes, int64_t files)
{
	struct names n;
	names_of(ctx, &n);
	if (bytes >= 0)
		series_set(metric_series(total_size(), (const char *const[]){n.dataset}), (double)bytes);
	if (files >= 0)
		series_set(metric_series(file_num(), (const char *const[]){n.dataset}), (double)files);
}

void metrics_forget(const struct reconcile_ctx *ctx)
{
	struct names n;
	names_of(ctx, &n);
	metric_drop(setup_errors(), (const char *const[]){n.type, n.dataset});
	metric_drop(health_errors(), (const char *const[]){n.type, n.dataset});
	metric_drop(total_size(), (const char *const[]){n.dataset});
	metric_drop(file_num(), (const char *const[]){n.dataset});
}

void metrics_engine_call(const char *engine, const char *call, int64_t took_ns, int rc)
{
	static const char *const labels[] = {"engine", "call", NULL};
	const char *const values[] = {engine, call};
	series_observe(metric_series(metrics_histogram(metrics_root(), "sluice_engine_call_duration_seconds",
						       "How long cache systems took to answer.", labels,
						       metrics_seconds, metrics_n_seconds),
				     values),
		       (double)took_ns / (double)NSEC_PER_SEC);
	if (rc < 0)
		series_add(metric_series(metrics_counter(metrics_root(), "sluice_engine_call_errors_total",
							 "Questions to cache systems that failed.", labels),
					 values),
			   1);
}
