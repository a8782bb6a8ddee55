#include "json/quantity.h"

#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/error.h"

#define QUANTITY_MAX_LENGTH 256 /* more digits than that say nothing about a number of this world */

typedef unsigned __int128 u128;

/* 10^-9 units; everything within int64 whole units fits, and what does not is kept at the cap so that it still compares. */
#define NANO      ((u128)1000000000)
#define NANO_CAP  ((u128)1 << 126)
#define DIGIT_CAP 38

struct quantity {
	bool negative;
	u128 nano; /* rounded up (away from zero), at most NANO_CAP */
};

/* value * 10^exponent, rounded up and capped. */
static u128 scale10(u128 value, long exponent)
{
	for (; exponent > 0 && value > 0; exponent--) {
		if (value > NANO_CAP / 10)
			return NANO_CAP;
		value *= 10;
	}
	bool rest = false;
	for (; exponent < 0 && value > 0; exponent++) {
		rest = rest || value % 10 != 0;
		value /= 10;
	}
	return value + rest;
}

/* value * 2^shift / 10^digits units in nano, rounded up and capped. */
static u128 scale2(u128 value, int shift, long digits)
{
	u128 power = 1;
	for (long i = 0; i < digits; i++)
		power *= 10;
	/* Whole and fractional part apart: power <= 10^20 and shift <= 60 keep every product below 2^127. */
	const u128 whole = value / power, rest = value % power;
	if (whole > (NANO_CAP >> shift) / NANO)
		return NANO_CAP;
	const u128 scaled = rest << shift;
	const u128 low = scaled % power * NANO;
	return (whole << shift) * NANO + scaled / power * NANO + low / power + (low % power != 0);
}

struct suffix {
	int shift;     /* of Ki ...: a power of two; 0: none */
	long exponent; /* of the rest: a power of ten */
};

static bool parse_exponent(const char *s, long *ret)
{
	const bool negative = *s == '-';
	if (*s == '-' || *s == '+')
		s++;
	if (*s < '0' || *s > '9')
		return false;
	long v = 0;
	for (; *s >= '0' && *s <= '9'; s++)
		if (v < 10000) /* far past the cap in either direction */
			v = v * 10 + (*s - '0');
	*ret = negative ? -v : v;
	return *s == '\0';
}

static bool parse_suffix(const char *s, struct suffix *ret)
{
	static const struct {
		const char *name;
		int shift, exponent;
	} suffixes[] = {
		{"", 0, 0},    {"n", 0, -9},  {"u", 0, -6},  {"m", 0, -3},  {"k", 0, 3},   {"M", 0, 6},
		{"G", 0, 9},   {"T", 0, 12},  {"P", 0, 15},  {"E", 0, 18},  {"Ki", 10, 0}, {"Mi", 20, 0},
		{"Gi", 30, 0}, {"Ti", 40, 0}, {"Pi", 50, 0}, {"Ei", 60, 0},
	};
	for (size_t i = 0; i < ARRAY_LEN(suffixes); i++) {
		if (strcmp(s, suffixes[i].name) == 0) {
			*ret = (struct suffix){suffixes[i].shift, suffixes[i].exponent};
			return true;
		}
	}
	*ret = (struct suffix){0};
	return (*s == 'e' || *s == 'E') && parse_exponent(s + 1, &ret->exponent);
}

struct digits {
	u128 value;    /* the first DIGIT_CAP significant digits */
	long fraction; /* how many of them stand behind the point */
	long dropped;  /* digits left out before the point: value is to be multiplied by 10^dropped */
	size_t length;
};

/* "12.5": false when there is no digit at all. */
static bool parse_digits(const char *s, long max_fraction, struct digits *ret)
{
	struct digits d = {0};
	bool point = false, any = false, sticky = false;
	int significant = 0;
	for (; (*s >= '0' && *s <= '9') || (*s == '.' && !point); s++, d.length++) {
		if (*s == '.') {
			point = true;
			continue;
		}
		any = true;
		const bool full = significant == DIGIT_CAP - 1 || (point && d.fraction == max_fraction);
		if (full && point)
			sticky = sticky || *s != '0';
		else if (full)
			d.dropped++;
		else {
			d.value = d.value * 10 + (u128)(*s - '0');
			significant += d.value > 0;
			d.fraction += point;
		}
	}
	if (sticky) { /* something more, however little: it makes the result round up */
		d.value = d.value * 10 + 1;
		d.fraction++;
	}
	*ret = d;
	return any;
}

static int parse(const char *text, struct quantity *ret)
{
	if (text == NULL || strnlen(text, QUANTITY_MAX_LENGTH + 1) > QUANTITY_MAX_LENGTH)
		return -EINVAL;
	const char *s = text;
	struct quantity q = {.negative = *s == '-'};
	if (*s == '-' || *s == '+')
		s++;
	struct digits d;
	struct suffix suffix;
	if (!parse_digits(s, DIGIT_CAP, &d) || !parse_suffix(s + d.length, &suffix))
		return -EINVAL;
	if (suffix.shift > 0)
		(void)parse_digits(s, 19, &d); /* as above, with as many places as scale2() takes */
	if (d.dropped > 0)
		q.nano = NANO_CAP; /* 38 significant digits before the point */
	else if (suffix.shift > 0)
		q.nano = scale2(d.value, suffix.shift, d.fraction);
	else
		q.nano = scale10(d.value, suffix.exponent + 9 - d.fraction);
	*ret = q;
	return 0;
}

/* @text in units of 10^-9 * @unit, rounded up. */
static int parse_in(const char *text, u128 unit, int64_t *ret, struct error *err)
{
	struct quantity q;
	if (parse(text, &q) < 0)
		return error_set(err, -EINVAL, "'%.100s' is not a quantity", text != NULL ? text : "");
	const u128 v = q.nano / unit + (q.nano % unit != 0);
	if (v > (u128)INT64_MAX)
		return error_set(err, -ERANGE, "'%.100s' is too large", text);
	*ret = q.negative ? -(int64_t)v : (int64_t)v;
	return 0;
}

int quantity_parse(const char *text, int64_t *ret, struct error *err)
{
	return parse_in(text, NANO, ret, err);
}

int quantity_parse_milli(const char *text, int64_t *ret, struct error *err)
{
	return parse_in(text, NANO / 1000, ret, err);
}

int quantity_compare(const char *a, const char *b)
{
	struct quantity x = {0}, y = {0};
	(void)parse(a, &x); /* the caller has validated both; else they count as 0 */
	(void)parse(b, &y);
	x.negative = x.negative && x.nano > 0;
	y.negative = y.negative && y.nano > 0;
	if (x.negative != y.negative)
		return x.negative ? -1 : 1;
	const int magnitude = (x.nano > y.nano) - (x.nano < y.nano);
	return x.negative ? -magnitude : magnitude;
}

void quantity_format_binary(int64_t value, char out[static 32])
{
	static const char *const units[] = {"", "Ki", "Mi", "Gi", "Ti", "Pi", "Ei"};
	size_t unit = 0;
	while (value != 0 && value % 1024 == 0 && unit < ARRAY_LEN(units) - 1) {
		value /= 1024;
		unit++;
	}
	(void)snprintf(out, 32, "%lld%s", (long long)value, units[unit]);
}

void bytes_format_fluid(uint64_t value, char out[static 32])
{
	static const char *const units[] = {"B", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB"};
	double v = (double)value;
	size_t unit = 0;
	for (; v >= 1024 && unit < ARRAY_LEN(units) - 1; unit++)
		v /= 1024;
	(void)snprintf(out, 32, "%.2f%s", v, units[unit]);
}
