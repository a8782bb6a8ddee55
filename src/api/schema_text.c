/* Texts inside documents: paths, values in messages, patterns, times, base64. */
#define PCRE2_CODE_UNIT_WIDTH 8
#include <errno.h>
#include <pcre2.h>

#include <pthread.h>
#include <stdio.h>
#include <string.h>

#include "api/schema_private.h"
#include "base/cleanup.h"
#include "base/error.h"
#include "base/map.h"

static size_t add(char *out, size_t size, size_t n, const char *text, size_t text_n)
{
	const size_t room = size - 1 - n;
	const size_t take = text_n < room ? text_n : room;
	memcpy(out + n, text, take);
	return n + take;
}

/* Recursion is as deep as the document, which the parser limits. */
static size_t add_path(const struct at *at, char *out, size_t size, size_t n)
{
	if (at == NULL)
		return n;
	n = add_path(at->up, out, size, n);
	if (at->name != NULL && !at->key) {
		if (n > 0)
			n = add(out, size, n, ".", 1);
		return add(out, size, n, at->name, strlen(at->name));
	}
	if (at->name != NULL) {
		n = add(out, size, n, "[", 1);
		n = add(out, size, n, at->name, strlen(at->name));
		return add(out, size, n, "]", 1);
	}
	char index[32];
	const int len = snprintf(index, sizeof index, "[%zu]", at->index);
	return add(out, size, n, index, (size_t)len);
}

const char *at_path(const struct at *at, const char *base, char *out, size_t size)
{
	size_t n = base == NULL ? 0 : add(out, size, 0, base, strlen(base));
	n = add_path(at, out, size, n);
	out[n] = '\0';
	if (n == size - 1 && size > 4)
		memcpy(out + size - 4, "...", 3);
	return out;
}

const char *value_text(const json_t *value, char *out, size_t size)
{
	const size_t n = json_dumpb(value, out, size - 1, JSON_ENCODE_ANY | JSON_COMPACT | JSON_REAL_PRECISION(15));
	if (n <= size - 1) {
		out[n] = '\0';
	} else {
		/* The buffer holds the beginning; cut between characters. */
		size_t cut = size - 4;
		while (cut > 0 && ((unsigned char)out[cut] & 0xC0) == 0x80)
			cut--;
		memcpy(out + cut, "...", 4);
	}
	return out;
}

/* Compiled patterns are kept: the same few are asked for again and again. Cleared when there are too many (hostile CRDs). */
#define PATTERN_MAX   512
#define MATCH_LIMIT   100000
#define PATTERN_BYTES 65536

static pthread_mutex_t pattern_lock =
	PTHREAD_MUTEX_INITIALIZER; /* guards pattern_cache and its codes while they match */
static struct map *pattern_cache;

static void code_free(void *code)
{
	pcre2_code_free(code);
}

static pcre2_code *pattern_compile(const char *pattern, int *ret_error, size_t *ret_offset)
{
	return pcre2_compile((PCRE2_SPTR)pattern, PCRE2_ZERO_TERMINATED,
			     PCRE2_UTF | PCRE2_DOLLAR_ENDONLY | PCRE2_NO_AUTO_CAPTURE, ret_error, ret_offset, NULL);
}

static pcre2_code *pattern_get_locked(const char *pattern)
{
	if (pattern_cache != NULL && map_size(pattern_cache) >= PATTERN_MAX) {
		map_free(pattern_cache);
		pattern_cache = NULL;
	}
	if (pattern_cache == NULL && (pattern_cache = map_new(code_free)) == NULL)
		return NULL;
	pcre2_code *code = map_get(pattern_cache, pattern);
	if (code != NULL)
		return code;
	int error;
	size_t offset;
	code = pattern_compile(pattern, &error, &offset);
	if (code != NULL && map_set(pattern_cache, pattern, code) != 0) {
		pcre2_code_free(code);
		return NULL;
	}
	return code;
}

int pattern_match(const char *pattern, const char *text, size_t n)
{
	pthread_mutex_lock(&pattern_lock);
	pcre2_code *code = pattern_get_locked(pattern);
	pcre2_match_data *data = code == NULL ? NULL : pcre2_match_data_create(1, NULL);
	pcre2_match_context *limits = code == NULL ? NULL : pcre2_match_context_create(NULL);
	int rc = -EINVAL;
	if (code != NULL && (data == NULL || limits == NULL))
		rc = -ENOMEM;
	else if (code != NULL) {
		(void)pcre2_set_match_limit(limits, MATCH_LIMIT);
		(void)pcre2_set_depth_limit(limits, MATCH_LIMIT);
		const int m = pcre2_match(code, (PCRE2_SPTR)text, n, 0, 0, data, limits);
		rc = m >= 0 ? 1 : m == PCRE2_ERROR_NOMATCH ? 0 : -E2BIG;
	}
	pcre2_match_context_free(limits);
	pcre2_match_data_free(data);
	pthread_mutex_unlock(&pattern_lock);
	return rc;
}

int pattern_check(const char *pattern, struct error *err)
{
	if (strlen(pattern) > PATTERN_BYTES)
		return error_set(err, -E2BIG, "pattern is longer than %d bytes", PATTERN_BYTES);
	int error;
	size_t offset;
	pcre2_code *code = pattern_compile(pattern, &error, &offset);
	if (code != NULL) {
		pcre2_code_free(code);
		return 0;
	}
	char reason[128];
	(void)pcre2_get_error_message(error, (PCRE2_UCHAR *)reason, sizeof reason); /* cut when long */
	return error_set(err, -EINVAL, "%s at offset %zu", reason, offset);
}

static bool digits(const char **p, size_t n, unsigned max)
{
	unsigned value = 0;
	for (size_t i = 0; i < n; i++, (*p)++) {
		if (**p < '0' || **p > '9')
			return false;
		value = value * 10 + (unsigned)(**p - '0');
	}
	return value <= max;
}

static bool literal(const char **p, const char *set)
{
	if (**p == '\0' || strchr(set, **p) == NULL)
		return false;
	(*p)++;
	return true;
}

bool time_is_valid(const char *text)
{
	const char *p = text;
	if (!digits(&p, 4, 9999) || !literal(&p, "-") || !digits(&p, 2, 12) || !literal(&p, "-") ||
	    !digits(&p, 2, 31) || !literal(&p, "Tt") || !digits(&p, 2, 23) || !literal(&p, ":") || !digits(&p, 2, 59) ||
	    !literal(&p, ":") || !digits(&p, 2, 60))
		return false;
	if (*p == '.') {
		const size_t n = strspn(p + 1, "0123456789");
		if (n == 0)
			return false;
		p += n + 1;
	}
	if (literal(&p, "Zz"))
		return *p == '\0';
	return literal(&p, "+-") && digits(&p, 2, 23) && literal(&p, ":") && digits(&p, 2, 59) && *p == '\0';
}

bool base64_is_valid(const char *text, size_t n)
{
	static const char alphabet[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
	if (n % 4 != 0)
		return false;
	size_t pad = 0;
	while (pad < 2 && pad < n && text[n - 1 - pad] == '=')
		pad++;
	for (size_t i = 0; i < n - pad; i++)
		if (text[i] == '\0' || strchr(alphabet, text[i]) == NULL)
			return false;
	return true;
}
