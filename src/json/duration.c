/* Go's durations: "1h30m", "1.5s". */
#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/error.h"
#include "json/quantity.h"

static const struct unit {
	const char *name;
	uint64_t ns;
} units[] = {
	{"ns", 1},
	{"us", 1000},
	{"\xc2\xb5s", 1000}, /* U+00B5 micro sign */
	{"\xce\xbcs", 1000}, /* U+03BC Greek mu */
	{"ms", 1000000},
	{"s", 1000000000},
	{"m", 60 * UINT64_C(1000000000)},
	{"h", 3600 * UINT64_C(1000000000)},
};

static const struct unit *find_unit(const char *s, size_t n)
{
	for (size_t i = 0; i < ARRAY_LEN(units); i++)
		if (strlen(units[i].name) == n && memcmp(units[i].name, s, n) == 0)
			return &units[i];
	return NULL;
}

/* "1.5h" at *@s, added to *@sum. */
static int parse_part(const char **s, uint64_t *sum)
{
	const char *p = *s;
	uint64_t whole = 0, fraction = 0, scale = 1;
	bool any = false, range = false;
	for (; *p >= '0' && *p <= '9'; p++, any = true)
		range = range || __builtin_mul_overflow(whole, UINT64_C(10), &whole) ||
			__builtin_add_overflow(whole, (uint64_t)(*p - '0'), &whole);
	if (*p == '.') {
		for (p++; *p >= '0' && *p <= '9'; p++, any = true) {
			if (scale >= UINT64_C(1000000000000000)) /* finer than a ns of an hour: nothing left to add */
				continue;
			fraction = fraction * 10 + (uint64_t)(*p - '0');
			scale *= 10;
		}
	}
	const size_t n = strcspn(p, ".0123456789");
	const struct unit *u = any ? find_unit(p, n) : NULL;
	if (u == NULL)
		return -EINVAL;
	uint64_t v;
	const uint64_t part = (uint64_t)((unsigned __int128)fraction * u->ns / scale);
	if (range || __builtin_mul_overflow(whole, u->ns, &v) || __builtin_add_overflow(v, part, &v) ||
	    __builtin_add_overflow(*sum, v, sum))
		return -ERANGE;
	*s = p + n;
	return 0;
}

int duration_parse(const char *text, int64_t *ret_ns, struct error *err)
{
	const char *s = text != NULL ? text : "";
	const bool negative = *s == '-';
	if (*s == '-' || *s == '+')
		s++;
	uint64_t sum = 0;
	int rc = 0;
	if (strcmp(s, "0") == 0)
		s++;
	else if (*s == '\0')
		rc = -EINVAL;
	while (*s != '\0' && rc == 0)
		rc = parse_part(&s, &sum);
	if (rc == 0 && sum > (uint64_t)INT64_MAX + negative)
		rc = -ERANGE;
	if (rc == -ERANGE)
		return error_set(err, rc, "'%.100s' is too long a duration", text);
	if (rc < 0)
		return error_set(err, rc, "'%.100s' is not a duration (like \"1h30m\" or \"1.5s\")",
				 text != NULL ? text : "");
	*ret_ns = negative ? (int64_t)(0 - sum) : (int64_t)sum;
	return 0;
}

/* value / 10^digits without trailing zeros: "1.5". */
static int format_decimal(char *out, size_t size, uint64_t value, int digits)
{
	uint64_t scale = 1;
	for (int i = 0; i < digits; i++)
		scale *= 10;
	int n = snprintf(out, size, "%llu", (unsigned long long)(value / scale));
	uint64_t rest = value % scale;
	if (rest == 0)
		return n;
	for (; rest % 10 == 0; digits--)
		rest /= 10;
	n += snprintf(out + n, size - (size_t)n, ".%0*llu", digits, (unsigned long long)rest);
	return n;
}

void duration_format(int64_t ns, char out[static 32])
{
	const uint64_t u = ns < 0 ? 0 - (uint64_t)ns : (uint64_t)ns;
	char *p = out;
	size_t left = 32;
	if (ns < 0) {
		*p++ = '-';
		left--;
	}
	if (u == 0) {
		(void)snprintf(out, 32, "0s");
		return;
	}
	if (u < NSEC_PER_SEC) {
		const int digits = u < 1000 ? 0 : u < 1000000 ? 3 : 6;
		const int n = format_decimal(p, left, u, digits);
		(void)snprintf(p + n, left - (size_t)n, "%s", digits == 0 ? "ns" : digits == 3 ? "\xc2\xb5s" : "ms");
		return;
	}
	const uint64_t hours = u / (3600 * (uint64_t)NSEC_PER_SEC), minutes = u / (60 * (uint64_t)NSEC_PER_SEC) % 60;
	int n = 0;
	if (hours > 0)
		n += snprintf(p, left, "%lluh", (unsigned long long)hours);
	if (hours > 0 || minutes > 0)
		n += snprintf(p + n, left - (size_t)n, "%llum", (unsigned long long)minutes);
	n += format_decimal(p + n, left - (size_t)n, u % (60 * (uint64_t)NSEC_PER_SEC), 9);
	(void)snprintf(p + n, left - (size_t)n, "s");
}
