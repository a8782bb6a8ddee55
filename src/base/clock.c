#include "base/clock.h"

#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <time.h>

static int64_t (*mono_source)(void);
static int64_t (*wall_source)(void);

static int64_t read_clock(clockid_t id)
{
	struct timespec ts;
	(void)clock_gettime(id, &ts); /* cannot fail for these two clocks */
	return (int64_t)ts.tv_sec * NSEC_PER_SEC + ts.tv_nsec;
}

int64_t clock_mono_ns(void)
{
	return mono_source != NULL ? mono_source() : read_clock(CLOCK_MONOTONIC);
}

int64_t clock_wall_ns(void)
{
	return wall_source != NULL ? wall_source() : read_clock(CLOCK_REALTIME);
}

void clock_replace(int64_t (*mono)(void), int64_t (*wall)(void))
{
	mono_source = mono;
	wall_source = wall;
}

static void split_ns(int64_t ns, struct tm *ret, int64_t *ret_frac)
{
	int64_t frac = ns % NSEC_PER_SEC;
	if (frac < 0)
		frac += NSEC_PER_SEC;
	const time_t sec = (time_t)((ns - frac) / NSEC_PER_SEC);
	(void)gmtime_r(&sec, ret); /* 64-bit ns reach from 1677 to 2262: always representable */
	*ret_frac = frac;
}

void clock_format_rfc3339(int64_t wall_ns, char out[static 32])
{
	struct tm tm;
	int64_t frac;
	split_ns(wall_ns, &tm, &frac);
	(void)strftime(out, 32, "%Y-%m-%dT%H:%M:%SZ", &tm);
}

void clock_format_rfc3339_micro(int64_t wall_ns, char out[static 40])
{
	struct tm tm;
	int64_t frac;
	split_ns(wall_ns, &tm, &frac);
	const size_t n = strftime(out, 40, "%Y-%m-%dT%H:%M:%S", &tm);
	(void)snprintf(out + n, 40 - n, ".%06dZ", (int)(frac / 1000));
}

/* Exactly @n digits at *@s, which moves on. -1 when there are none. */
static int digits(const char **s, int n)
{
	int v = 0;
	for (int i = 0; i < n; i++, (*s)++) {
		if (**s < '0' || **s > '9')
			return -1;
		v = v * 10 + (**s - '0');
	}
	return v;
}

static bool skip(const char **s, char c)
{
	if (**s != c)
		return false;
	(*s)++;
	return true;
}

/* Days from 1970-01-01 in the Gregorian calendar; years start in March so that leap days come last. */
static int64_t days_from_civil(int year, int month, int day)
{
	const int64_t y = year - (month <= 2);
	const int64_t era = y / 400; /* years 0000..9999 only: never negative except y = -1 */
	const int64_t yoe = y - era * 400;
	const int64_t doy = (153 * (month + (month > 2 ? -3 : 9)) + 2) / 5 + day - 1;
	return era * 146097 + yoe * 365 + yoe / 4 - yoe / 100 + doy - 719468;
}

static int days_in_month(int year, int month)
{
	static const int days[] = {31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
	const bool leap = (year % 4 == 0 && year % 100 != 0) || year % 400 == 0;
	return days[month - 1] + (month == 2 && leap);
}

static bool parse_date(const char **s, int64_t *ret_days)
{
	const int y = digits(s, 4);
	if (y < 1 || !skip(s, '-'))
		return false;
	const int m = digits(s, 2);
	if (m < 1 || m > 12 || !skip(s, '-'))
		return false;
	const int d = digits(s, 2);
	if (d < 1 || d > days_in_month(y, m))
		return false;
	*ret_days = days_from_civil(y, m, d);
	return true;
}

static bool parse_time(const char **s, int64_t *ret_sec, int64_t *ret_frac)
{
	const int h = digits(s, 2);
	if (h < 0 || h > 23 || !skip(s, ':'))
		return false;
	const int m = digits(s, 2);
	if (m < 0 || m > 59 || !skip(s, ':'))
		return false;
	const int sec = digits(s, 2);
	if (sec < 0 || sec > 60) /* 60: a leap second, counted into the next minute */
		return false;
	*ret_sec = h * 3600 + m * 60 + sec;
	*ret_frac = 0;
	if (!skip(s, '.') && !skip(s, ','))
		return true;
	if (**s < '0' || **s > '9')
		return false;
	for (int64_t scale = NSEC_PER_SEC / 10; **s >= '0' && **s <= '9'; (*s)++, scale /= 10)
		*ret_frac += (**s - '0') * scale;
	return true;
}

static bool parse_zone(const char **s, int64_t *ret_offset)
{
	*ret_offset = 0;
	if (skip(s, 'Z') || skip(s, 'z'))
		return true;
	const int sign = skip(s, '-') ? -1 : skip(s, '+') ? 1 : 0;
	if (sign == 0)
		return false;
	const int h = digits(s, 2);
	if (h < 0 || h > 23 || !skip(s, ':'))
		return false;
	const int m = digits(s, 2);
	if (m < 0 || m > 59)
		return false;
	*ret_offset = sign * (h * 3600 + m * 60);
	return true;
}

int clock_parse_rfc3339(const char *s, int64_t *ret_wall_ns)
{
	int64_t days, sec, frac, offset, ns;
	if (s == NULL || !parse_date(&s, &days) || (!skip(&s, 'T') && !skip(&s, 't')) || !parse_time(&s, &sec, &frac) ||
	    !parse_zone(&s, &offset) || *s != '\0')
		return -EINVAL;
	const int64_t second = days * 86400 + sec - offset;
	if (__builtin_mul_overflow(second, NSEC_PER_SEC, &ns) || __builtin_add_overflow(ns, frac, &ns))
		ns = second < 0 ? INT64_MIN : INT64_MAX;
	*ret_wall_ns = ns < -INT64_MAX / 2 ? -INT64_MAX / 2 : ns > INT64_MAX / 2 ? INT64_MAX / 2 : ns;
	return 0;
}
