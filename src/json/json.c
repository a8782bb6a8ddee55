#include "json/json.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/error.h"
#include "json/read.h"

/* Nesting of @text outside strings, so that a hostile text is refused before jansson recurses into it. */
static bool nesting_fits(const char *text, size_t n)
{
	size_t depth = 0;
	bool in_string = false;
	for (size_t i = 0; i < n; i++) {
		const char c = text[i];
		if (in_string) {
			if (c == '\\')
				i++;
			else if (c == '"')
				in_string = false;
		} else if (c == '"') {
			in_string = true;
		} else if (c == '{' || c == '[') {
			if (++depth > JSON_MAX_DEPTH)
				return false;
		} else if ((c == '}' || c == ']') && depth > 0) {
			depth--;
		}
	}
	return true;
}

/*
 * jansson passes over some allocations that fail: what a growing text would have held is left out, and a key or a string is cut. So each
 * failure is noted, by thread.
 */
static _Thread_local bool allocation_failed;

static void *noting_malloc(size_t n)
{
	void *p = malloc(n);
	if (p == NULL)
		allocation_failed = true;
	return p;
}

__attribute__((constructor)) static void note_allocations(void)
{
	json_set_alloc_funcs(noting_malloc, free);
}

int json_parse(const char *text, size_t n, json_t **ret, struct error *err)
{
	int rc = json_read(text, n, ret);
	if (rc != -EAGAIN)
		return rc == 0 ? 0 : error_set(err, rc, "read JSON: out of memory");
	if (!nesting_fits(text, n))
		return error_set(err, -EINVAL, "JSON is nested more than %d deep", JSON_MAX_DEPTH);
	if (n > 0 && memchr(text, '\0', n) != NULL) /* jansson passes over them */
		return error_set(err, -EINVAL, "JSON contains a NUL byte");
	json_error_t je;
	allocation_failed = false;
	JSON_AUTO j = json_loadb(text, n, JSON_DECODE_ANY | JSON_ALLOW_NUL, &je);
	if (allocation_failed)
		return error_set(err, -ENOMEM, "read JSON: out of memory");
	if (j == NULL)
		return error_set(err, -EINVAL, "JSON line %d, column %d: %s", je.line, je.column, je.text);
	*ret = TAKE(j);
	return 0;
}

/* A whole number that a real holds exactly, as int64. */
static bool real_as_int(double d, int64_t *ret)
{
	if (!(d >= -0x1p63 && d < 0x1p63) || d != trunc(d))
		return false;
	*ret = (int64_t)d;
	return true;
}

static bool number_same(const json_t *a, const json_t *b)
{
	if (json_is_integer(a) && json_is_integer(b))
		return json_integer_value(a) == json_integer_value(b);
	if (json_is_real(a) && json_is_real(b))
		return json_real_value(a) == json_real_value(b);
	int64_t v;
	const json_t *whole = json_is_integer(a) ? a : b, *real = json_is_integer(a) ? b : a;
	return real_as_int(json_real_value(real), &v) && v == json_integer_value(whole);
}

static bool same_at(const json_t *a, const json_t *b, int depth);

static bool object_same(const json_t *a, const json_t *b, int depth)
{
	if (json_object_size(a) != json_object_size(b))
		return false;
	const char *key;
	size_t len;
	json_t *v;
	json_object_keylen_foreach((json_t *)a, key, len, v)
	{
		const json_t *w = json_object_getn(b, key, len);
		if (w == NULL || !same_at(v, w, depth + 1))
			return false;
	}
	return true;
}

static bool array_same(const json_t *a, const json_t *b, int depth)
{
	if (json_array_size(a) != json_array_size(b))
		return false;
	for (size_t i = 0; i < json_array_size(a); i++)
		if (!same_at(json_array_get(a, i), json_array_get(b, i), depth + 1))
			return false;
	return true;
}

static bool same_at(const json_t *a, const json_t *b, int depth)
{
	if (a == b)
		return true;
	if (a == NULL || b == NULL || depth > 4 * JSON_MAX_DEPTH)
		return false;
	if (json_is_number(a) && json_is_number(b))
		return number_same(a, b);
	if (json_typeof(a) != json_typeof(b))
		return false;
	switch (json_typeof(a)) {
	case JSON_OBJECT:
		return object_same(a, b, depth);
	case JSON_ARRAY:
		return array_same(a, b, depth);
	case JSON_STRING:
		return json_string_length(a) == json_string_length(b) &&
		       memcmp(json_string_value(a), json_string_value(b), json_string_length(a)) == 0;
	default:
		return true; /* null, true, false: the type is the value */
	}
}

bool json_same(const json_t *a, const json_t *b)
{
	return same_at(a, b, 0);
}
