/* Time zones: the machine's own files, and files that are none. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/clock.h"
#include "base/error.h"
#include "base/zone.h"

static int64_t utc(const char *text)
{
	int64_t t = 0;
	if (clock_parse_rfc3339(text, &t) < 0)
		fail_msg("'%s' is no time", text);
	return t / NSEC_PER_SEC;
}

static void offsets(void **state)
{
	(void)state;
	static const struct {
		const char *zone, *at;
		int32_t want;
	} cases[] = {
		{"UTC", "2026-01-01T00:00:00Z", 0},
		{"Etc/UTC", "1900-01-01T00:00:00Z", 0},
		{"Europe/Berlin", "2026-01-01T00:00:00Z", 3600},
		{"Europe/Berlin", "2026-03-29T00:59:59Z", 3600},
		{"Europe/Berlin", "2026-03-29T01:00:00Z", 7200},
		{"Europe/Berlin", "2026-10-25T00:59:59Z", 7200},
		{"Europe/Berlin", "2026-10-25T01:00:00Z", 3600},
		{"Asia/Kolkata", "2026-06-01T00:00:00Z", 19800},
		{"Asia/Shanghai", "2026-06-01T00:00:00Z", 28800},
		{"Australia/Lord_Howe", "2026-06-01T00:00:00Z", 37800},
		{"Australia/Lord_Howe", "2026-12-01T00:00:00Z", 39600},
		{"America/St_Johns", "2026-01-15T00:00:00Z", -12600},
		{"Etc/GMT+12", "2026-01-15T00:00:00Z", -43200},
	};
	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
		struct zone *z = NULL;
		struct error err = {0};
		if (zone_load(cases[i].zone, &z, &err) < 0)
			fail_msg("%s: %s", cases[i].zone, err.msg);
		const int32_t have = zone_offset(z, utc(cases[i].at));
		if (have != cases[i].want)
			fail_msg("%s at %s: %d, not %d", cases[i].zone, cases[i].at, have, cases[i].want);
		zone_free(z);
	}
}

static void no_zones(void **state)
{
	(void)state;
	static const struct {
		const char *zone;
		int code;
		const char *why;
	} cases[] = {
		{"Mars/Olympus", -ENOENT,
		 "time zone 'Mars/Olympus': this machine knows no such zone (/usr/share/zoneinfo)"},
		{"", -EINVAL, "time zone '': is not the name of one"},
		{"../../../etc/passwd", -EINVAL, "time zone '../../../etc/passwd': is not the name of one"},
		{"/etc/localtime", -EINVAL, "time zone '/etc/localtime': is not the name of one"},
		{"Europe/Berlin ", -EINVAL, "time zone 'Europe/Berlin ': is not the name of one"},
		{"zone.tab", -EINVAL, "time zone 'zone.tab': is not the name of one"},
		{"Europe", -EISDIR, "read 'Europe': Is a directory"},
	};
	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
		struct zone *z = NULL;
		struct error err = {0};
		const int rc = zone_load(cases[i].zone, &z, &err);
		if (rc != cases[i].code || strcmp(err.msg, cases[i].why) != 0)
			fail_msg("'%s': %d '%s', not %d '%s'", cases[i].zone, rc, err.msg, cases[i].code, cases[i].why);
		assert_null(z);
	}
}

static void the_machines_own(void **state)
{
	(void)state;
	struct zone *z = NULL;
	struct error err = {0};
	assert_int_equal(zone_load(NULL, &z, &err), 0);
	assert_in_range(zone_offset(z, utc("2026-01-01T00:00:00Z")) + 86400, 0, 2 * 86400);
	zone_free(z);
	zone_free(NULL);
}

/* A zone of two changes, and each way to spoil it. */
static size_t make_zone(uint8_t out[static 256])
{
	static const uint8_t one[] = {'T', 'Z', 'i', 'f', '2', 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0,
				      0,   0,   0,   0,   0,   0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0,
				      0,   0,   0,   0,   0,   1, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0};
	static const uint8_t two[] = {'T',  'Z',  'i',  'f',  '2', 0, 0,    0,    0, 0, 0,    0, 0,    0,    0,    0,
				      0,    0,    0,    0,    0,   0, 0,    0,    0, 0, 0,    0, 0,    0,    0,    0,
				      0,    0,    0,    2,    0,   0, 0,    2,    0, 0, 0,    4, 0xff, 0xff, 0xff, 0xff,
				      0xff, 0xff, 0xff, 0xff, 0,   0, 0,    0,    0, 0, 0x10, 0, 1,    0,    0,    0,
				      0,    0,    0,    0,    0,   0, 0x0e, 0x10, 1, 0, 'A',  0, 0,    0};
	memcpy(out, one, sizeof one);
	memcpy(out + sizeof one, two, sizeof two);
	return sizeof one + sizeof two;
}

static void files(void **state)
{
	(void)state;
	uint8_t data[256];
	struct zone *z = NULL;
	const size_t n = make_zone(data), second = 51;
	assert_int_equal(zone_parse(data, n, &z), 0);
	assert_int_equal(zone_offset(z, -2), 0);
	assert_int_equal(zone_offset(z, -1), 3600);
	assert_int_equal(zone_offset(z, 4096), 0);
	assert_int_equal(zone_offset(z, INT64_MAX), 0);
	assert_int_equal(zone_offset(z, INT64_MIN), 0);
	zone_free(z);
	for (size_t cut = 0; cut < n; cut++)
		assert_int_equal(zone_parse(data, cut, &z), -EINVAL);
	static const struct {
		const char *what;
		size_t at;
		uint8_t byte;
	} spoilt[] = {
		{"magic", 0, 'X'},
		{"version 1", 4, 0},
		{"no such type", second + 44 + 16, 2},
		{"offset of more than a day", second + 44 + 18 + 6, 0x7f},
		{"times that go back", second + 44 + 8, 0x80},
		{"too many times", second + 32, 1},
		{"no types", second + 39, 0},
	};
	for (size_t i = 0; i < sizeof spoilt / sizeof *spoilt; i++) {
		(void)make_zone(data);
		data[spoilt[i].at] = spoilt[i].byte;
		if (zone_parse(data, n, &z) != -EINVAL)
			fail_msg("%s was taken", spoilt[i].what);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(offsets),
		cmocka_unit_test(no_zones),
		cmocka_unit_test(the_machines_own),
		cmocka_unit_test(files),
	};
	return cmocka_run_group_tests_name("zone", tests, NULL, NULL);
}
