/* Schedules: what is understood, and when it is next. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/error.h"
#include "base/zone.h"
#include "local/cron.h"

static void schedules(void **state)
{
	(void)state;
	static const struct {
		const char *schedule, *wrong; /* NULL: a good one */
	} cases[] = {
		{"* * * * *", NULL},
		{"*/5 1-3,7 1 JAN-mar Mon", NULL},
		{"0 0/2 ? * 0", NULL},
		{"@hourly", NULL},
		{"", "expected exactly 5 fields, found 0: []"},
		{"* * * *", "expected exactly 5 fields, found 4: [* * * *]"},
		{"@never", "unrecognized descriptor: @never"},
		{"60 * * * *", "end of range (60) above maximum (59): 60"},
		{"* * 0 * *", "beginning of range (0) below minimum (1): 0"},
		{"* * 5-3 * *", "beginning of range (5) beyond end of range (3): 5-3"},
		{"1/2/3 * * * *", "too many slashes: 1/2/3"},
		{"1-2-3 * * * *", "too many hyphens: 1-2-3"},
		{"*/0 * * * *", "step of range should be a positive number: */0"},
		{"x * * * *", "failed to parse int from x"},
		{"-1 * * * *", "failed to parse int from "},
		{"9999999999 * * * *", "failed to parse int from 9999999999"},
		{"* * * foo *", "failed to parse int from foo"},
	};
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		char wrong[CRON_WRONG_MAX] = "";
		struct cron c;
		bool good = cron_parse(cases[i].schedule, &c, wrong);
		if (good != (cases[i].wrong == NULL) || (!good && strcmp(wrong, cases[i].wrong) != 0))
			fail_msg("'%s': %d '%s'", cases[i].schedule, good, wrong);
	}
}

static int64_t seconds(const char *text)
{
	int64_t t = 0;
	if (text == NULL)
		return INT64_MAX;
	if (clock_parse_rfc3339(text, &t) < 0)
		fail_msg("'%s' is no time", text);
	return t / NSEC_PER_SEC;
}

static void next_times(void **state)
{
	(void)state;
	static const struct {
		const char *schedule, *zone, *after, *next; /* next NULL: never */
	} cases[] = {
		{"* * * * *", "UTC", "2026-01-01T00:00:00Z", "2026-01-01T00:01:00Z"},
		{"* * * * *", "UTC", "2026-01-01T00:00:59Z", "2026-01-01T00:01:00Z"},
		{"*/15 * * * *", "UTC", "2026-01-01T00:45:00Z", "2026-01-01T01:00:00Z"},
		{"5 4 * * *", "UTC", "2026-12-31T04:05:00Z", "2027-01-01T04:05:00Z"},
		{"0 0 29 2 *", "UTC", "2026-01-01T00:00:00Z", "2028-02-29T00:00:00Z"},
		{"0 0 30 2 *", "UTC", "2026-01-01T00:00:00Z", NULL},
		{"0 0 31 * *", "UTC", "2026-04-01T00:00:00Z", "2026-05-31T00:00:00Z"},
		{"0 0 1 JAN *", "UTC", "2026-02-01T00:00:00Z", "2027-01-01T00:00:00Z"},
		{"0 0 * * MON", "UTC", "2026-11-25T00:00:00Z", "2026-11-30T00:00:00Z"}, /* a Wednesday */
		{"0 0 13 * 5", "UTC", "2026-11-25T00:00:00Z", "2026-11-27T00:00:00Z"},  /* either of the two */
		{"0 0 13 * *", "UTC", "2026-11-25T00:00:00Z", "2026-12-13T00:00:00Z"},
		{"@yearly", "UTC", "2026-11-25T00:00:00Z", "2027-01-01T00:00:00Z"},
		{"@weekly", "UTC", "2026-11-25T00:00:00Z", "2026-11-29T00:00:00Z"},
		{"@hourly", "UTC", "2026-11-25T00:00:01Z", "2026-11-25T01:00:00Z"},
		{"30 5 * * *", "Asia/Kolkata", "2026-01-01T00:00:00Z", "2026-01-02T00:00:00Z"},
		{"0 9 * * *", "Europe/Berlin", "2026-01-01T00:00:00Z", "2026-01-01T08:00:00Z"},
		{"0 9 * * *", "Europe/Berlin", "2026-07-01T00:00:00Z", "2026-07-01T07:00:00Z"},
		/* 2:30 is not there on the day when the clock is put forward, and there twice when it is put back */
		{"30 2 * * *", "Europe/Berlin", "2026-03-28T01:30:00Z", "2026-03-30T00:30:00Z"},
		{"30 2 * * *", "Europe/Berlin", "2026-10-24T23:30:00Z", "2026-10-25T00:30:00Z"},
		{"30 2 * * *", "Europe/Berlin", "2026-10-25T00:30:00Z", "2026-10-25T01:30:00Z"},
		{"30 2 * * *", "Europe/Berlin", "2026-10-25T01:30:00Z", "2026-10-26T01:30:00Z"},
		{"0 0 * * *", "Europe/Berlin", "2026-03-28T23:00:00Z", "2026-03-29T22:00:00Z"}, /* a day of 23 hours */
		{"15 2 * * *", "Australia/Lord_Howe", "2026-10-03T00:00:00Z",
		 "2026-10-04T15:15:00Z"}, /* half an hour */
		{"0 0 * * *", "UTC", "1969-12-30T12:00:00Z", "1969-12-31T00:00:00Z"},
	};
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		char wrong[CRON_WRONG_MAX] = "", text[32] = "never";
		struct cron c;
		struct zone *z = NULL;
		struct error err = {0};
		if (!cron_parse(cases[i].schedule, &c, wrong) || zone_load(cases[i].zone, &z, &err) < 0)
			fail_msg("%s: %s%s", cases[i].schedule, wrong, err.msg);
		const int64_t next = cron_next(&c, z, seconds(cases[i].after));
		if (next != INT64_MAX)
			clock_format_rfc3339(next * NSEC_PER_SEC, text);
		if (next != seconds(cases[i].next))
			fail_msg("%s in %s after %s: %s, not %s", cases[i].schedule, cases[i].zone, cases[i].after,
				 text, cases[i].next != NULL ? cases[i].next : "never");
		zone_free(z);
	}
}

static void last_times(void **state)
{
	(void)state;
	static const struct {
		const char *schedule, *after, *now, *last; /* last NULL: none */
	} cases[] = {
		{"* * * * *", "2026-01-01T00:00:00Z", "2026-01-01T00:00:59Z", NULL},
		{"* * * * *", "2026-01-01T00:00:00Z", "2026-01-01T00:01:00Z", "2026-01-01T00:01:00Z"},
		{"* * * * *", "2021-01-01T00:00:00Z", "2026-01-01T00:01:30Z", "2026-01-01T00:01:00Z"},
		{"0 * * * *", "2026-01-01T00:00:00Z", "2026-01-01T05:30:00Z", "2026-01-01T05:00:00Z"},
		{"0 0 1 * *", "2025-01-01T00:00:00Z", "2026-01-20T00:00:00Z", "2026-01-01T00:00:00Z"},
		{"@yearly", "2023-06-01T00:00:00Z", "2026-11-20T00:00:00Z", "2026-01-01T00:00:00Z"},
		{"@yearly", "2026-06-01T00:00:00Z", "2026-11-20T00:00:00Z", NULL},
		{"0 0 30 2 *", "2001-01-01T00:00:00Z", "2026-01-01T00:00:00Z", NULL},
		{"* * * * *", "2026-01-01T00:00:00Z", "2025-01-01T00:00:00Z", NULL}, /* the clock was put back */
	};
	struct zone *z = NULL;
	assert_int_equal(zone_load("UTC", &z, NULL), 0);
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		char wrong[CRON_WRONG_MAX] = "";
		struct cron c;
		if (!cron_parse(cases[i].schedule, &c, wrong))
			fail_msg("%s: %s", cases[i].schedule, wrong);
		const int64_t last = cron_last(&c, z, seconds(cases[i].after), seconds(cases[i].now));
		if (last != (cases[i].last != NULL ? seconds(cases[i].last) : INT64_MIN))
			fail_msg("%s from %s to %s: %lld, not %s", cases[i].schedule, cases[i].after, cases[i].now,
				 (long long)last, cases[i].last != NULL ? cases[i].last : "none");
	}
	zone_free(z);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(schedules),
		cmocka_unit_test(next_times),
		cmocka_unit_test(last_times),
	};
	return cmocka_run_group_tests_name("cron", tests, NULL, NULL);
}
