/*
 * Reading JSON that is as it should be, fast: jansson goes byte by byte through several functions. Whatever this reader does not take to, jansson
 * reads again, and says what is wrong with it where something is; what both take gives equal trees (fuzz_json.c compares).
 */
#include "json/read.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/str.h"
#include "json/json.h"

#define INTEGER_SAFE 18 /* digits that always fit */

struct reader {
	const char *p, *end;
	char *text; /* of the string under way, when it has escapes */
	size_t cap;
	bool no_memory;
};

/** @j is what jansson made: NULL means that memory is out. */
static json_t *made(struct reader *r, json_t *j)
{
	r->no_memory |= j == NULL;
	return j;
}

static json_t *read_value(struct reader *r, int depth);

static void skip_space(struct reader *r)
{
	while (r->p < r->end && (*r->p == ' ' || *r->p == '\n' || *r->p == '\t' || *r->p == '\r'))
		r->p++;
}

/** The end of the run of bytes that stand for themselves; NULL: they are no UTF-8. */
static const char *plain_run(const char *p, const char *end)
{
	while (p < end && *p != '"' && *p != '\\' && (unsigned char)*p >= 0x20) {
		const size_t n = (unsigned char)*p < 0x80 ? 1 : str_utf8_length(p, (size_t)(end - p));
		if (n == 0)
			return NULL;
		p += n;
	}
	return p;
}

/** The byte that @c after a backslash stands for; 0: it is none of the simple ones. */
static char escaped(char c)
{
	static const char from[] = "\"\\/bfnrt", to[] = "\"\\/\b\f\n\r\t";
	const char *at = c != '\0' ? strchr(from, c) : NULL;
	return at != NULL ? to[at - from] : '\0';
}

static bool add_text(struct reader *r, size_t *n, const char *s, size_t k)
{
	if (*n + k > r->cap) {
		const size_t cap = (*n + k) * 2;
		char *p = realloc(r->text, cap);
		r->no_memory |= p == NULL;
		if (p == NULL)
			return false;
		r->text = p;
		r->cap = cap;
	}
	if (k > 0)
		memcpy(r->text + *n, s, k);
	*n += k;
	return true;
}

/** A string behind its first quote: borrowed until the next one is read. False: jansson's. */
static bool read_string(struct reader *r, const char **ret, size_t *ret_n)
{
	const char *from = r->p, *end = plain_run(from, r->end);
	size_t n = 0;
	if (end == NULL || end == r->end)
		return false;
	if (*end == '"') { /* nearly always */
		*ret = from;
		*ret_n = (size_t)(end - from);
		r->p = end + 1;
		return true;
	}
	while (*end == '\\') {
		const char c = end + 1 < r->end ? escaped(end[1]) : '\0'; /* \u is left to jansson */
		if (c == '\0' || !add_text(r, &n, from, (size_t)(end - from)) || !add_text(r, &n, &c, 1))
			return false;
		from = end + 2;
		end = plain_run(from, r->end);
		if (end == NULL || end == r->end)
			return false;
	}
	if (*end != '"' || !add_text(r, &n, from, (size_t)(end - from)))
		return false;
	*ret = r->text;
	*ret_n = n;
	r->p = end + 1;
	return true;
}

static bool is_digit(char c)
{
	return c >= '0' && c <= '9';
}

static json_t *read_number(struct reader *r)
{
	const char *from = r->p, *p = from;
	if (*p == '-')
		p++;
	const char *digits = p;
	while (p < r->end && is_digit(*p))
		p++;
	const size_t n = (size_t)(p - digits);
	const bool whole = p == r->end || (*p != '.' && *p != 'e' && *p != 'E');
	if (!whole || n == 0 || n > INTEGER_SAFE || (n > 1 && *digits == '0'))
		return NULL;
	int64_t v = 0;
	for (; digits < p; digits++)
		v = v * 10 + (*digits - '0');
	r->p = p;
	return made(r, json_integer(*from == '-' ? -v : v));
}

static bool read_members(struct reader *r, json_t *object, int depth)
{
	for (;;) {
		const char *key = NULL;
		size_t n = 0;
		skip_space(r);
		if (r->p == r->end || *r->p++ != '"' || !read_string(r, &key, &n))
			return false;
		/* The key is in the text, or in the buffer, which the value may need. */
		char small[256], *copy = key == r->text ? n < sizeof small ? small : NULL : (char *)key;
		if (copy == NULL)
			return false;
		if (copy == small)
			memcpy(small, key, n);
		skip_space(r);
		if (r->p == r->end || *r->p++ != ':')
			return false;
		json_t *v = read_value(r, depth + 1);
		if (v == NULL)
			return false;
		if (json_object_setn_new_nocheck(object, copy, n, v) < 0) {
			r->no_memory = true;
			return false;
		}
		skip_space(r);
		if (r->p == r->end)
			return false;
		const char c = *r->p++;
		if (c != ',')
			return c == '}';
	}
}

static json_t *read_object(struct reader *r, int depth)
{
	JSON_AUTO object = made(r, json_object());
	r->p++;
	skip_space(r);
	if (object != NULL && r->p < r->end && *r->p == '}') {
		r->p++;
		return TAKE(object);
	}
	return object != NULL && read_members(r, object, depth) ? TAKE(object) : NULL;
}

static json_t *read_array(struct reader *r, int depth)
{
	JSON_AUTO array = made(r, json_array());
	r->p++;
	skip_space(r);
	if (array == NULL || r->p == r->end)
		return NULL;
	if (*r->p == ']') {
		r->p++;
		return TAKE(array);
	}
	for (;;) {
		json_t *v = read_value(r, depth + 1);
		if (v == NULL)
			return NULL;
		if (json_array_append_new(array, v) < 0) {
			r->no_memory = true;
			return NULL;
		}
		skip_space(r);
		if (r->p == r->end)
			return NULL;
		const char c = *r->p++;
		if (c != ',')
			return c == ']' ? TAKE(array) : NULL;
	}
}

static json_t *read_word(struct reader *r, const char *word, json_t *value)
{
	const size_t n = strlen(word);
	if ((size_t)(r->end - r->p) < n || memcmp(r->p, word, n) != 0)
		return NULL;
	r->p += n;
	return value; /* of these there is one each, which is never freed */
}

/** A new tree, or NULL: jansson's. */
static json_t *read_value(struct reader *r, int depth)
{
	const char *s = NULL;
	size_t n = 0;
	skip_space(r);
	if (r->p == r->end || depth > JSON_MAX_DEPTH)
		return NULL;
	switch (*r->p) {
	case '{':
		return read_object(r, depth);
	case '[':
		return read_array(r, depth);
	case '"':
		r->p++;
		return read_string(r, &s, &n) ? made(r, json_stringn_nocheck(s, n)) : NULL;
	case 't':
		return read_word(r, "true", json_true());
	case 'f':
		return read_word(r, "false", json_false());
	case 'n':
		return read_word(r, "null", json_null());
	default:
		return read_number(r);
	}
}

int json_read(const char *text, size_t n, json_t **ret)
{
	struct reader r = {.p = text, .end = text + n};
	JSON_AUTO j = read_value(&r, 1);
	skip_space(&r);
	free(r.text);
	if (r.no_memory)
		return -ENOMEM;
	if (j == NULL || r.p != r.end)
		return -EAGAIN;
	*ret = TAKE(j);
	return 0;
}
