#include "json/yaml_scalar.h"

#include <errno.h>
#include <math.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"

#define NUMBER_MAX 64 /* a longer text is a string of digits, not a number anyone computes with */

enum word { WORD_NONE, WORD_TRUE, WORD_FALSE, WORD_NULL, WORD_NO_NUMBER };

static enum word find_word(const char *s, size_t n)
{
	static const struct {
		const char *text;
		enum word word;
	} words[] = {
		{"", WORD_NULL},           {"~", WORD_NULL},          {"null", WORD_NULL},
		{"Null", WORD_NULL},       {"NULL", WORD_NULL},       {"y", WORD_TRUE},
		{"Y", WORD_TRUE},          {"yes", WORD_TRUE},        {"Yes", WORD_TRUE},
		{"YES", WORD_TRUE},        {"true", WORD_TRUE},       {"True", WORD_TRUE},
		{"TRUE", WORD_TRUE},       {"on", WORD_TRUE},         {"On", WORD_TRUE},
		{"ON", WORD_TRUE},         {"n", WORD_FALSE},         {"N", WORD_FALSE},
		{"no", WORD_FALSE},        {"No", WORD_FALSE},        {"NO", WORD_FALSE},
		{"false", WORD_FALSE},     {"False", WORD_FALSE},     {"FALSE", WORD_FALSE},
		{"off", WORD_FALSE},       {"Off", WORD_FALSE},       {"OFF", WORD_FALSE},
		{".nan", WORD_NO_NUMBER},  {".NaN", WORD_NO_NUMBER},  {".NAN", WORD_NO_NUMBER},
		{".inf", WORD_NO_NUMBER},  {".Inf", WORD_NO_NUMBER},  {".INF", WORD_NO_NUMBER},
		{"+.inf", WORD_NO_NUMBER}, {"+.Inf", WORD_NO_NUMBER}, {"+.INF", WORD_NO_NUMBER},
		{"-.inf", WORD_NO_NUMBER}, {"-.Inf", WORD_NO_NUMBER}, {"-.INF", WORD_NO_NUMBER},
	};
	if (n > 5)
		return WORD_NONE;
	for (size_t i = 0; i < ARRAY_LEN(words); i++)
		if (strlen(words[i].text) == n && memcmp(words[i].text, s, n) == 0)
			return words[i].word;
	return WORD_NONE;
}

static int digit_value(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	const char lower = (char)(c | 0x20);
	return lower >= 'a' && lower <= 'f' ? lower - 'a' + 10 : 99;
}

/* [-+]?(0x|0b|0o|0)?digits with the underscores gone already. 0; -EINVAL; -ERANGE: an integer, but not one of 64 bits. */
static int parse_integer(const char *s, int64_t *ret)
{
	const bool negative = *s == '-';
	if (*s == '-' || *s == '+')
		s++;
	int base = 10;
	if (s[0] == '0' && s[1] != '\0') {
		const char c = (char)(s[1] | 0x20);
		base = c == 'x' ? 16 : c == 'b' ? 2 : 8;
		s += c == 'x' || c == 'b' || c == 'o' ? 2 : 1;
	}
	if (*s == '\0')
		return -EINVAL;
	uint64_t v = 0;
	bool range = false;
	for (; *s != '\0'; s++) {
		const int d = digit_value(*s);
		if (d >= base)
			return -EINVAL;
		range = range || __builtin_mul_overflow(v, (uint64_t)base, &v) ||
			__builtin_add_overflow(v, (uint64_t)d, &v);
	}
	if (range || v > (uint64_t)INT64_MAX + negative)
		return -ERANGE;
	*ret = negative ? (int64_t)(0 - v) : (int64_t)v;
	return 0;
}

/* [-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)? */
static bool is_float(const char *s)
{
	if (*s == '-' || *s == '+')
		s++;
	const size_t whole = strspn(s, "0123456789");
	s += whole;
	if (*s == '.') {
		const size_t fraction = strspn(s + 1, "0123456789");
		if (whole == 0 && fraction == 0)
			return false;
		s += 1 + fraction;
	} else if (whole == 0) {
		return false;
	}
	if (*s == 'e' || *s == 'E') {
		s += s[1] == '-' || s[1] == '+' ? 2 : 1;
		const size_t exponent = strspn(s, "0123456789");
		if (exponent == 0)
			return false;
		s += exponent;
	}
	return *s == '\0';
}

/* A number, or -EINVAL when the text is none. */
static int resolve_number(const char *s, size_t n, json_t **ret)
{
	if (n == 0 || n > NUMBER_MAX || strchr("0123456789+-.", s[0]) == NULL)
		return -EINVAL;
	char text[NUMBER_MAX + 1];
	size_t k = 0;
	for (size_t i = 0; i < n; i++)
		if (s[i] != '_')
			text[k++] = s[i];
	text[k] = '\0';
	if (strlen(text) != k)
		return -EINVAL;
	int64_t i;
	const int rc = parse_integer(text, &i);
	if (rc == 0) {
		*ret = json_integer(i);
		return *ret == NULL ? -ENOMEM : 0;
	}
	if (!is_float(text)) /* an octal past 64 bits is none either */
		return -EINVAL;
	const double d = strtod(text, NULL);
	if (!isfinite(d))
		return -ERANGE;
	*ret = json_real(d);
	return *ret == NULL ? -ENOMEM : 0;
}

int yaml_scalar_resolve(const char *s, size_t n, json_t **ret)
{
	json_t *v;
	switch (find_word(s, n)) {
	case WORD_TRUE:
		v = json_true();
		break;
	case WORD_FALSE:
		v = json_false();
		break;
	case WORD_NULL:
		v = json_null();
		break;
	case WORD_NO_NUMBER:
		return -ERANGE;
	default: {
		const int rc = resolve_number(s, n, ret);
		if (rc != -EINVAL)
			return rc;
		v = json_stringn(s, n);
		if (v == NULL)
			return -EINVAL;
	}
	}
	*ret = v;
	return 0;
}

/* "2001-01-02...", "1:30": read as times or base 60 by other YAML 1.1 readers. */
static bool looks_like_time(const char *s, size_t n)
{
	bool colon = false, dash = false;
	for (size_t i = 0; i < n; i++) {
		colon = colon || s[i] == ':';
		dash = dash || (i > 0 && s[i] == '-');
		if (strchr("0123456789:-+_. TtZz", s[i]) == NULL || s[i] == '\0')
			return false;
	}
	return n > 0 && (colon || dash) && strchr("0123456789-+", s[0]) != NULL;
}

bool yaml_scalar_needs_quotes(const char *s, size_t n)
{
	if (find_word(s, n) != WORD_NONE || (n == 2 && memcmp(s, "<<", 2) == 0) || (n == 1 && s[0] == '='))
		return true;
	json_t *v = NULL;
	const int rc = resolve_number(s, n, &v);
	json_decref(v);
	return rc != -EINVAL || looks_like_time(s, n);
}
