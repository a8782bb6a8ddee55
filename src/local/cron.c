#include "local/cron.h"

#include <ctype.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>
#include <time.h>

#include "base/cleanup.h"
#include "base/str.h"
#include "base/zone.h"

#define FIELDS      5
#define MINUTE_S    60
#define HOUR_S      3600
#define DAY_S       86400
#define AHEAD_MAX_S (5 * INT64_C(366) * DAY_S)

struct cron_field {
	int64_t min, max;
	const char *const *names; /* of the values from min on; NULL-terminated or NULL */
};

static const char *const months[] = {"jan", "feb", "mar", "apr", "may", "jun", "jul",
				     "aug", "sep", "oct", "nov", "dec", NULL};
static const char *const days[] = {"sun", "mon", "tue", "wed", "thu", "fri", "sat", NULL};
static const struct cron_field fields[FIELDS] = {
	{0, 59, NULL}, {0, 23, NULL}, {1, 31, NULL}, {1, 12, months}, {0, 6, days},
};

#define WRONG_MAX CRON_WRONG_MAX

__attribute__((format(printf, 2, 3))) static bool refuse(char wrong[static WRONG_MAX], const char *fmt, ...)
{
	va_list args;
	va_start(args, fmt);
	(void)vsnprintf(wrong, WRONG_MAX, fmt, args); /* cut when the schedule is absurdly long */
	va_end(args);
	return false;
}

static bool read_value(const struct cron_field *f, struct str s, int64_t *ret, char wrong[static WRONG_MAX])
{
	for (size_t i = 0; f->names != NULL && f->names[i] != NULL; i++) {
		if (s.n == 3 && strncasecmp(s.p, f->names[i], 3) == 0) {
			*ret = f->min + (int64_t)i;
			return true;
		}
	}
	int64_t v = 0;
	bool digits = s.n > 0 && s.n <= 9;
	for (size_t i = 0; i < s.n && digits; i++) {
		digits = isdigit((unsigned char)s.p[i]);
		v = v * 10 + (s.p[i] - '0');
	}
	if (!digits)
		return refuse(wrong, "failed to parse int from %.*s", (int)s.n, s.p);
	*ret = v;
	return true;
}

/** "*", "a", "a-b", each with "/step" or not: their bits are set in @bits; *@ret_any: it was a "*" without a step. */
static bool read_range(const struct cron_field *f, struct str range, uint64_t *bits, bool *ret_any,
		       char wrong[static WRONG_MAX])
{
	struct str rest = range, span, step = {0}, from, to;
	int64_t low = f->min, high = f->max, by = 1;
	bool good = true;
	(void)str_split_next(&rest, '/', &span);
	bool stepped = str_split_next(&rest, '/', &step), more = str_split_next(&rest, '/', &from);
	if (more)
		return refuse(wrong, "too many slashes: %.*s", (int)range.n, range.p);
	bool any = span.n == 1 && (span.p[0] == '*' || span.p[0] == '?');
	if (!any) {
		rest = span;
		(void)str_split_next(&rest, '-', &from);
		bool two = str_split_next(&rest, '-', &to);
		good = read_value(f, from, &low, wrong);
		high = two || !stepped ? low : f->max; /* "a/n" means a-max/n */
		if (good && two)
			good = read_value(f, to, &high, wrong);
		if (good && str_split_next(&rest, '-', &to))
			return refuse(wrong, "too many hyphens: %.*s", (int)range.n, range.p);
	}
	if (good && stepped)
		good = read_value(&(struct cron_field){0}, step, &by, wrong);
	if (!good)
		return false;
	if (low < f->min)
		return refuse(wrong, "beginning of range (%lld) below minimum (%lld): %.*s", (long long)low,
			      (long long)f->min, (int)range.n, range.p);
	if (high > f->max)
		return refuse(wrong, "end of range (%lld) above maximum (%lld): %.*s", (long long)high,
			      (long long)f->max, (int)range.n, range.p);
	if (low > high)
		return refuse(wrong, "beginning of range (%lld) beyond end of range (%lld): %.*s", (long long)low,
			      (long long)high, (int)range.n, range.p);
	if (by == 0)
		return refuse(wrong, "step of range should be a positive number: %.*s", (int)range.n, range.p);
	for (int64_t v = low; v <= high; v += by)
		*bits |= UINT64_C(1) << v;
	*ret_any |= any && by == 1;
	return true;
}

static bool read_field(const struct cron_field *f, struct str text, uint64_t *bits, bool *ret_any,
		       char wrong[static WRONG_MAX])
{
	struct str rest = text, range;
	while (str_split_next(&rest, ',', &range))
		if (!read_range(f, range, bits, ret_any, wrong))
			return false;
	return true;
}

static const char *word_schedule(const char *word)
{
	static const struct {
		const char *word, *schedule;
	} words[] = {{"@yearly", "0 0 1 1 *"}, {"@annually", "0 0 1 1 *"}, {"@monthly", "0 0 1 * *"},
		     {"@weekly", "0 0 * * 0"}, {"@daily", "0 0 * * *"},    {"@midnight", "0 0 * * *"},
		     {"@hourly", "0 * * * *"}};
	for (size_t i = 0; i < ARRAY_LEN(words); i++)
		if (strcmp(word, words[i].word) == 0)
			return words[i].schedule;
	return NULL;
}

static bool read_fields(const char *schedule, uint64_t bits[static FIELDS], bool any[static FIELDS],
			char wrong[static WRONG_MAX])
{
	struct str found[FIELDS] = {0}, rest = str_from(schedule), piece;
	size_t n = 0;
	while (str_split_next(&rest, ' ', &piece)) {
		if (piece.n == 0)
			continue;
		if (n < FIELDS)
			found[n] = piece;
		n++;
	}
	if (n != FIELDS)
		return refuse(wrong, "expected exactly 5 fields, found %zu: [%.100s]", n, schedule);
	for (size_t i = 0; i < FIELDS; i++)
		if (!read_field(&fields[i], found[i], &bits[i], &any[i], wrong))
			return false;
	return true;
}

bool cron_parse(const char *schedule, struct cron *ret, char wrong[static WRONG_MAX])
{
	uint64_t bits[FIELDS] = {0};
	bool any[FIELDS] = {false};
	const char *text = schedule[0] == '@' ? word_schedule(schedule) : schedule;
	if (text == NULL)
		return refuse(wrong, "unrecognized descriptor: %.100s", schedule);
	if (!read_fields(text, bits, any, wrong))
		return false;
	*ret = (struct cron){.minutes = bits[0],
			     .hours = (uint32_t)bits[1],
			     .days = (uint32_t)bits[2],
			     .months = (uint32_t)bits[3],
			     .weekdays = (uint32_t)bits[4],
			     .any_day = any[2],
			     .any_weekday = any[4]};
	return true;
}

static bool day_fits(const struct cron *c, const struct tm *tm)
{
	const bool day = c->days & UINT32_C(1) << tm->tm_mday, weekday = c->weekdays & UINT32_C(1) << tm->tm_wday;
	if ((c->months & UINT32_C(1) << (tm->tm_mon + 1)) == 0)
		return false;
	return c->any_day || c->any_weekday ? day && weekday : day || weekday;
}

int64_t cron_next(const struct cron *c, const struct zone *zone, int64_t after_s)
{
	/* Steps of an hour at most, so that every change of the clock is met; changes happen at whole minutes. */
	const int64_t minute = after_s >= 0 ? after_s / MINUTE_S : -((-after_s + MINUTE_S - 1) / MINUTE_S);
	for (int64_t t = (minute + 1) * MINUTE_S; t - after_s <= AHEAD_MAX_S;) {
		const int64_t local = t + zone_offset(zone, t) / MINUTE_S * MINUTE_S;
		const time_t at = (time_t)local;
		struct tm tm;
		if (gmtime_r(&at, &tm) == NULL)
			break; /* past the years that there are */
		if (!day_fits(c, &tm) || (c->hours & UINT32_C(1) << tm.tm_hour) == 0)
			t += HOUR_S - tm.tm_min * MINUTE_S;
		else if ((c->minutes & UINT64_C(1) << tm.tm_min) == 0)
			t += MINUTE_S;
		else
			return t;
	}
	return INT64_MAX;
}

int64_t cron_last(const struct cron *c, const struct zone *zone, int64_t after_s, int64_t now_s)
{
	/* From the nearest past outwards, so that what was missed for long is not counted one by one. */
	static const int64_t backs[] = {2 * MINUTE_S, 2 * HOUR_S, 2 * DAY_S, 62 * (int64_t)DAY_S, AHEAD_MAX_S};
	for (size_t i = 0; i < ARRAY_LEN(backs); i++) {
		const bool whole = now_s - after_s <= backs[i];
		int64_t last = INT64_MIN, from = whole ? after_s : now_s - backs[i];
		for (int64_t t; (t = cron_next(c, zone, from)) <= now_s; from = t)
			last = t;
		if (last != INT64_MIN || whole)
			return last;
	}
	return INT64_MIN;
}
