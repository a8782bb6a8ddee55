/* Schedules of CronJobs: whether one can be understood. Five fields of lists of ranges with steps, or a word such as @daily. */
#include <ctype.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/str.h"
#include "local/api_internal.h"
#include "local/api_strategy.h"

#define FIELDS 5

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

#define WRONG_MAX API_CRON_WRONG_MAX

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

/** "*", "a", "a-b", each with "/step" or not. */
static bool check_range(const struct cron_field *f, struct str range, char wrong[static WRONG_MAX])
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
	return true;
}

static bool check_field(const struct cron_field *f, struct str text, char wrong[static WRONG_MAX])
{
	struct str rest = text, range;
	while (str_split_next(&rest, ',', &range))
		if (!check_range(f, range, wrong))
			return false;
	return true;
}

static bool check_word(const char *word, char wrong[static WRONG_MAX])
{
	static const char *const words[] = {"@yearly", "@annually", "@monthly", "@weekly",
					    "@daily",  "@midnight", "@hourly"};
	for (size_t i = 0; i < ARRAY_LEN(words); i++)
		if (strcmp(word, words[i]) == 0)
			return true;
	return refuse(wrong, "unrecognized descriptor: %.100s", word);
}

bool api_cron_valid(const char *schedule, char wrong[static WRONG_MAX])
{
	if (schedule[0] == '@')
		return check_word(schedule, wrong);
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
		if (!check_field(&fields[i], found[i], wrong))
			return false;
	return true;
}
