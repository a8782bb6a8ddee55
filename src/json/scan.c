/* A scan of raw JSON text for duplicate keys: RFC 8259's grammar, nothing built but the keys of the objects that are open. */
#include <errno.h>
#include <string.h>

#include "base/map.h"
#include "base/strbuf.h"
#include "json/json.h"

#define PATH_MAX_BYTES (1u << 20)

struct scan {
	const char *p, *end;
	struct strbuf path;
	void (*fn)(void *ctx, const char *path);
	void *ctx;
};

static void skip_space(struct scan *s)
{
	while (s->p < s->end && (*s->p == ' ' || *s->p == '\t' || *s->p == '\n' || *s->p == '\r'))
		s->p++;
}

static bool take(struct scan *s, char c)
{
	if (s->p == s->end || *s->p != c)
		return false;
	s->p++;
	return true;
}

static bool take_word(struct scan *s, const char *word)
{
	const size_t n = strlen(word);
	if ((size_t)(s->end - s->p) < n || memcmp(s->p, word, n) != 0)
		return false;
	s->p += n;
	return true;
}

static bool take_digits(struct scan *s)
{
	const char *start = s->p;
	while (s->p < s->end && *s->p >= '0' && *s->p <= '9')
		s->p++;
	return s->p > start;
}

static bool scan_number(struct scan *s)
{
	(void)take(s, '-');
	if (!take(s, '0') && !take_digits(s))
		return false;
	if (take(s, '.') && !take_digits(s))
		return false;
	if (take(s, 'e') || take(s, 'E')) {
		if (!take(s, '+'))
			(void)take(s, '-');
		return take_digits(s);
	}
	return true;
}

static int hex4(struct scan *s)
{
	int v = 0;
	for (int i = 0; i < 4; i++) {
		if (s->p == s->end)
			return -1;
		const char c = *s->p++;
		const int d = c >= '0' && c <= '9'   ? c - '0'
			      : c >= 'a' && c <= 'f' ? c - 'a' + 10
			      : c >= 'A' && c <= 'F' ? c - 'A' + 10
						     : -1;
		if (d < 0)
			return -1;
		v = v << 4 | d;
	}
	return v;
}

static void add_utf8(struct strbuf *b, unsigned c)
{
	if (c < 0x80) {
		strbuf_addc(b, (char)c);
	} else if (c < 0x800) {
		strbuf_addc(b, (char)(0xc0 | c >> 6));
		strbuf_addc(b, (char)(0x80 | (c & 0x3f)));
	} else if (c < 0x10000) {
		strbuf_addc(b, (char)(0xe0 | c >> 12));
		strbuf_addc(b, (char)(0x80 | (c >> 6 & 0x3f)));
		strbuf_addc(b, (char)(0x80 | (c & 0x3f)));
	} else {
		strbuf_addc(b, (char)(0xf0 | c >> 18));
		strbuf_addc(b, (char)(0x80 | (c >> 12 & 0x3f)));
		strbuf_addc(b, (char)(0x80 | (c >> 6 & 0x3f)));
		strbuf_addc(b, (char)(0x80 | (c & 0x3f)));
	}
}

static bool scan_unicode(struct scan *s, struct strbuf *out)
{
	const int high = hex4(s);
	if (high < 0)
		return false;
	unsigned c = (unsigned)high;
	if (high >= 0xd800 && high <= 0xdbff) {
		int low;
		if (!take(s, '\\') || !take(s, 'u') || (low = hex4(s)) < 0xdc00 || low > 0xdfff)
			return false;
		c = 0x10000 + ((unsigned)(high - 0xd800) << 10) + (unsigned)(low - 0xdc00);
	} else if (high >= 0xdc00 && high <= 0xdfff) {
		return false;
	}
	if (out != NULL)
		add_utf8(out, c);
	return true;
}

static bool scan_escape(struct scan *s, struct strbuf *out)
{
	static const char from[] = "\"\\/bfnrt", to[] = "\"\\/\b\f\n\r\t";
	if (s->p == s->end)
		return false;
	const char c = *s->p++;
	if (c == 'u')
		return scan_unicode(s, out);
	const char *at = c != '\0' ? strchr(from, c) : NULL;
	if (at == NULL)
		return false;
	if (out != NULL)
		strbuf_addc(out, to[at - from]);
	return true;
}

/* @out (may be NULL) gets the text without quotes and escapes. */
static bool scan_string(struct scan *s, struct strbuf *out)
{
	if (!take(s, '"'))
		return false;
	for (;;) {
		const char *run = s->p;
		while (s->p < s->end && *s->p != '"' && *s->p != '\\' && (unsigned char)*s->p >= 0x20)
			s->p++;
		if (out != NULL)
			strbuf_add(out, run, (size_t)(s->p - run));
		if (take(s, '"'))
			return true;
		if (!take(s, '\\') || !scan_escape(s, out))
			return false;
	}
}

static int scan_value(struct scan *s, int depth);

/* One "key": value of an object whose keys so far are in @seen. */
static int scan_member(struct scan *s, struct map *seen, int depth)
{
	const size_t before = s->path.n;
	if (before > 0)
		strbuf_addc(&s->path, '.');
	const size_t start = s->path.n;
	skip_space(s);
	if (!scan_string(s, &s->path))
		return -EINVAL;
	skip_space(s);
	if (!take(s, ':'))
		return -EINVAL;
	if (s->path.failed)
		return s->path.too_big ? -EINVAL : -ENOMEM;
	const char *key = s->path.p != NULL ? s->path.p + start : "";
	if (strlen(key) != s->path.n - start) /* a NUL, which no key may have */
		return -EINVAL;
	if (map_has(seen, key))
		s->fn(s->ctx, s->path.p != NULL ? s->path.p : "");
	else if (map_set(seen, key, NULL) < 0)
		return -ENOMEM;
	const int rc = scan_value(s, depth);
	s->path.n = before;
	if (s->path.p != NULL)
		s->path.p[before] = '\0';
	return rc;
}

static int scan_object(struct scan *s, int depth)
{
	skip_space(s);
	if (take(s, '}'))
		return 0;
	CLEANUP(map_free_p) struct map *seen = map_new(NULL);
	if (seen == NULL)
		return -ENOMEM;
	for (;;) {
		const int rc = scan_member(s, seen, depth);
		if (rc < 0)
			return rc;
		skip_space(s);
		if (take(s, '}'))
			return 0;
		if (!take(s, ','))
			return -EINVAL;
	}
}

static int scan_array(struct scan *s, int depth)
{
	skip_space(s);
	if (take(s, ']'))
		return 0;
	const size_t before = s->path.n;
	for (size_t i = 0;; i++) {
		strbuf_addf(&s->path, "[%zu]", i);
		if (s->path.failed)
			return s->path.too_big ? -EINVAL : -ENOMEM;
		const int rc = scan_value(s, depth);
		if (rc < 0)
			return rc;
		s->path.n = before;
		s->path.p[before] = '\0';
		skip_space(s);
		if (take(s, ']'))
			return 0;
		if (!take(s, ','))
			return -EINVAL;
	}
}

static int scan_value(struct scan *s, int depth)
{
	skip_space(s);
	if (s->p == s->end)
		return -EINVAL;
	switch (*s->p) {
	case '{':
	case '[':
		if (depth == JSON_MAX_DEPTH)
			return -EINVAL;
		return *s->p++ == '{' ? scan_object(s, depth + 1) : scan_array(s, depth + 1);
	case '"':
		return scan_string(s, NULL) ? 0 : -EINVAL;
	case 't':
		return take_word(s, "true") ? 0 : -EINVAL;
	case 'f':
		return take_word(s, "false") ? 0 : -EINVAL;
	case 'n':
		return take_word(s, "null") ? 0 : -EINVAL;
	default:
		return scan_number(s) ? 0 : -EINVAL;
	}
}

int json_scan_duplicates(const char *text, size_t n, void (*fn)(void *ctx, const char *path), void *ctx)
{
	struct scan s = {.p = text, .end = text + n, .path = STRBUF_INIT(PATH_MAX_BYTES), .fn = fn, .ctx = ctx};
	int rc = scan_value(&s, 0);
	skip_space(&s);
	if (rc == 0 && s.p != s.end)
		rc = -EINVAL;
	strbuf_clear(&s.path);
	return rc;
}
