/*
 * Schedules of CronJobs: five fields of lists of ranges with steps (minute, hour, day of the month, month, day of the week; the last two by
 * name too), or a word such as @daily. As robfig/cron v3 reads them, which Kubernetes uses. Pure functions, any thread.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

struct zone;

#define CRON_WRONG_MAX 192

/** Bit n: the value n is wanted. */
struct cron {
	uint64_t minutes;
	uint32_t hours, days, months, weekdays; /* weekdays: 0 is Sunday */
	bool any_day, any_weekday;              /* written as "*": the other of the two decides alone */
};

/** Read @schedule; false: it cannot be understood, @wrong says why. */
bool cron_parse(const char *schedule, struct cron *ret, char wrong[static CRON_WRONG_MAX]);
/**
 * The first time after @after_s that the schedule names in the time of @zone, whole minutes as seconds since 1970; INT64_MAX when there is
 * none within five years (30 February). A local time that a change of the clock skips is left out, one that comes twice is named twice.
 */
int64_t cron_next(const struct cron *c, const struct zone *zone, int64_t after_s);
/** The last such time that is after @after_s and not after @now_s; INT64_MIN: there is none. */
int64_t cron_last(const struct cron *c, const struct zone *zone, int64_t after_s, int64_t now_s);
