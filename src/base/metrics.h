/*
 * Metrics: counters, gauges and histograms, printed in Prometheus' text format.
 *
 * A family has a name, a help text and fixed label names; each combination of label values that is asked for becomes a series. Label
 * values must come from small sets; past METRICS_MAX_SERIES of one family everything lands in one series whose values are "other".
 *
 * Threads: all of it may be used from any thread. Updating a series takes no lock; looking one up does, so hot paths keep the pointer.
 * Ownership: the registry owns families and series; a series stays valid until metric_drop() or metrics_free().
 * No memory: a family or series that could not be made is NULL, and every function takes NULL and does nothing: measuring never fails.
 */
#pragma once

#include <stddef.h>
#include <stdint.h>

#define METRICS_MAX_SERIES 10000
#define METRICS_MAX_LABELS 8

struct metrics;
struct metric;
struct series;
struct strbuf;

struct metrics *metrics_new(void);
/** Accepts NULL. */
void metrics_free(struct metrics *r);
/** The registry of the process, made at first use; never freed. */
struct metrics *metrics_root(void);

/**
 * Declare a family, or get the one that has this name already. @labels: NULL-terminated names, may be NULL; they and the texts
 * are borrowed for ever (literals). A bad or differently declared name is a bug (assert).
 */
struct metric *metrics_counter(struct metrics *r, const char *name, const char *help, const char *const *labels);
struct metric *metrics_gauge(struct metrics *r, const char *name, const char *help, const char *const *labels);
/** @bounds: @n ascending upper bounds of the buckets, borrowed for ever; +Inf is added. */
struct metric *metrics_histogram(struct metrics *r, const char *name, const char *help, const char *const *labels,
				 const double *bounds, size_t n);
/** Bounds in seconds from 5 ms to 60 s, for what a reconcile or a request takes. */
extern const double metrics_seconds[];
extern const size_t metrics_n_seconds;

/** The series with these label values (as many as the family has labels; NULL when it has none). */
struct series *metric_series(struct metric *m, const char *const *values);
/** Forget that series: its object is gone. Nobody may use it afterwards. */
void metric_drop(struct metric *m, const char *const *values);

/** Counter: @by must not be negative. Gauge: any. */
void series_add(struct series *s, double by);
/** Gauge only. */
void series_set(struct series *s, double value);
/** Histogram only. */
void series_observe(struct series *s, double value);
double series_value(const struct series *s);

/** Have @fn(@ctx) called at the beginning of each metrics_write(), to set what is known only by looking. It must not write metrics itself. */
int metrics_on_write(struct metrics *r, void (*fn)(void *ctx), void *ctx);
/** No more: when this returns, @fn is not running and is not called with @ctx again. Absent is fine. */
void metrics_off_write(struct metrics *r, void (*fn)(void *ctx), void *ctx);

/** Append everything in text format 0.0.4; families and series in the order they were made. */
void metrics_write(struct metrics *r, struct strbuf *out);

/**
 * Add what every process has: process_cpu_seconds_total, process_resident_memory_bytes, process_open_fds, process_threads and
 * process_start_time_seconds, read when @r is written. Once a registry; 0 or -ENOMEM.
 */
int metrics_process(struct metrics *r);
