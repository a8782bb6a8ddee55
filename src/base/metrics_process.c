/* What every process says of itself, under the names that Prometheus' client libraries use. */
#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/file.h"
#include "base/metrics.h"

static double cpu_seconds(void)
{
	struct rusage u;
	if (getrusage(RUSAGE_SELF, &u) < 0)
		return 0;
	return (double)(u.ru_utime.tv_sec + u.ru_stime.tv_sec) +
	       (double)(u.ru_utime.tv_usec + u.ru_stime.tv_usec) / 1e6;
}

/* The @n-th number (from 0) of a file of /proc, behind the last ')' when there is one: a program's name may hold anything. */
static double proc_number(const char *path, unsigned n)
{
	char *text = NULL;
	double value = 0;
	if (file_read(path, 8192, &text, NULL, NULL) < 0)
		return 0;
	const char *p = strrchr(text, ')');
	p = p != NULL ? p + 1 : text;
	p += strspn(p, " ");
	for (; n > 0 && *p != '\0'; n--) {
		p += strcspn(p, " ");
		p += strspn(p, " ");
	}
	value = strtod(p, NULL);
	free(text);
	return value;
}

static double open_fds(void)
{
	DIR *d = opendir("/proc/self/fd");
	double n = -3; /* ".", ".." and the directory itself */
	if (d == NULL)
		return 0;
	while (readdir(d) != NULL)
		n++;
	(void)closedir(d); /* read only */
	return n;
}

static void look(void *ctx)
{
	struct metrics *r = ctx;
	struct series *cpu = metric_series(
		metrics_counter(r, "process_cpu_seconds_total", "Processor time that was used, user and system.", NULL),
		NULL);
	const double more = cpu_seconds() - series_value(cpu);
	series_add(cpu, more > 0 ? more : 0);
	const struct {
		const char *name, *help;
		double value;
	} gauges[] = {
		{"process_resident_memory_bytes", "Memory that is resident.",
		 proc_number("/proc/self/statm", 1) * (double)sysconf(_SC_PAGESIZE)},
		{"process_open_fds", "File descriptors that are open.", open_fds()},
		{"process_threads", "Threads that run.", proc_number("/proc/self/stat", 17)},
	};
	for (size_t i = 0; i < sizeof gauges / sizeof gauges[0]; i++)
		series_set(metric_series(metrics_gauge(r, gauges[i].name, gauges[i].help, NULL), NULL),
			   gauges[i].value);
}

/* The start is told in clock ticks since the machine's. */
static double start_time(void)
{
	const double ticks = proc_number("/proc/self/stat", 19), up = proc_number("/proc/uptime", 0);
	return (double)clock_wall_ns() / NSEC_PER_SEC - up + ticks / (double)sysconf(_SC_CLK_TCK);
}

int metrics_process(struct metrics *r)
{
	series_set(metric_series(metrics_gauge(r, "process_start_time_seconds",
					       "When the process began, in seconds since 1970.", NULL),
				 NULL),
		   start_time());
	return metrics_on_write(r, look, r);
}
