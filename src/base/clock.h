/* Time. Monotonic nanoseconds for intervals, wall clock only for API timestamps; tests may replace both. */
#pragma once

#include <stddef.h>
#include <stdint.h>

#define NSEC_PER_SEC  INT64_C(1000000000)
#define NSEC_PER_MSEC INT64_C(1000000)

/** Nanoseconds of a clock that never jumps. Any thread. */
int64_t clock_mono_ns(void);
/** Nanoseconds since 1970 UTC. Any thread. */
int64_t clock_wall_ns(void);
/** Replace the sources (NULL: the real one again). Only for tests, before threads start. */
void clock_replace(int64_t (*mono)(void), int64_t (*wall)(void));

/** RFC 3339 in UTC with seconds ("2026-01-02T03:04:05Z"), as metav1.Time prints it. */
void clock_format_rfc3339(int64_t wall_ns, char out[static 32]);
/** The same with microseconds ("…05.000006Z"), as metav1.MicroTime prints it. */
void clock_format_rfc3339_micro(int64_t wall_ns, char out[static 40]);
/**
 * Parse RFC 3339 with any zone and fraction. 0 or -EINVAL. What lies before 1823 or after 2116 becomes the first or last time that there
 * is, so the difference of any two times fits.
 */
int clock_parse_rfc3339(const char *s, int64_t *ret_wall_ns);
