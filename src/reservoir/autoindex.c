#include "reservoir/autoindex.h"

#include <ctype.h>

#include "base/cleanup.h"
#include "base/error.h"
#include "base/str.h"
#include "base/strbuf.h"

#define NAME_MAX_BYTES 255

static const char *const months[12] = {"Jan", "Feb", "Mar", "Apr", "May", "Jun",
				       "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"};

static int month_of(const char *s)
{
	for (int i = 0; i < 12; i++)
		if (strncmp(s, months[i], 3) == 0)
			return i;
	return -1;
}

static int hex_of(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	const char l = (char)(c | 0x20);
	return l >= 'a' && l <= 'f' ? l - 'a' + 10 : -1;
}

/* Where @needle starts in [p, end), any case, or NULL. */
static const char *find(const char *p, const char *end, const char *needle)
{
	const size_t n = strlen(needle);
	for (; (size_t)(end - p) >= n; p++)
		if (strncasecmp(p, needle, n) == 0)
			return p;
	return NULL;
}

static size_t put_utf8(char *out, unsigned cp)
{
	if (cp < 0x80) {
		out[0] = (char)cp;
		return 1;
	}
	if (cp < 0x800) {
		out[0] = (char)(0xc0 | cp >> 6);
		out[1] = (char)(0x80 | (cp & 0x3f));
		return 2;
	}
	if (cp < 0x10000) {
		out[0] = (char)(0xe0 | cp >> 12);
		out[1] = (char)(0x80 | (cp >> 6 & 0x3f));
		out[2] = (char)(0x80 | (cp & 0x3f));
		return 3;
	}
	out[0] = (char)(0xf0 | cp >> 18);
	out[1] = (char)(0x80 | (cp >> 12 & 0x3f));
	out[2] = (char)(0x80 | (cp >> 6 & 0x3f));
	out[3] = (char)(0x80 | (cp & 0x3f));
	return 4;
}

/* Decode one entity at *p ("&amp;"); leaves *p behind it. An unknown one stays as it is. Writes at most 4 bytes. */
static size_t take_entity(const char **p, const char *end, char *out)
{
	static const struct {
		const char *name;
		char c;
	} named[] = {{"&amp;", '&'}, {"&lt;", '<'}, {"&gt;", '>'}, {"&quot;", '"'}, {"&apos;", '\''}};
	const size_t left = (size_t)(end - *p);
	for (size_t i = 0; i < ARRAY_LEN(named); i++) {
		const size_t n = strlen(named[i].name);
		if (left >= n && memcmp(*p, named[i].name, n) == 0) {
			*p += n;
			out[0] = named[i].c;
			return 1;
		}
	}
	if (left > 3 && (*p)[1] == '#') {
		const bool hex = (*p)[2] == 'x' || (*p)[2] == 'X';
		const char *q = *p + (hex ? 3 : 2);
		unsigned cp = 0;
		size_t digits = 0;
		for (; q < end && digits < 7; q++, digits++) {
			const int d = hex_of(*q);
			if (d < 0 || (!hex && d > 9))
				break;
			cp = cp * (hex ? 16u : 10u) + (unsigned)d;
		}
		if (digits > 0 && q < end && *q == ';' && cp > 0 && cp <= 0x10ffff) {
			*p = q + 1;
			return put_utf8(out, cp);
		}
	}
	out[0] = *(*p)++;
	return 1;
}

/* The href as written: entities decoded, escapes still in. Length, or 0 when it does not fit. */
static size_t decode_entities(const char *p, const char *end, char *out, size_t size)
{
	size_t n = 0;
	while (p < end) {
		if (n + 4 > size)
			return 0;
		if (*p == '&')
			n += take_entity(&p, end, out + n);
		else
			out[n++] = *p++;
	}
	return n;
}

/* The file name that an href means, or false when it leads elsewhere (or nowhere). */
static bool name_of_href(const char *p, const char *end, char out[static NAME_MAX_BYTES + 1], bool *ret_dir)
{
	char raw[4 * NAME_MAX_BYTES + 8];
	size_t n = decode_entities(p, end, raw, sizeof raw);
	const char *h = raw;
	if (n >= 2 && h[0] == '.' && h[1] == '/') {
		h += 2;
		n -= 2;
	}
	if (n == 0 || memchr(h, '?', n) != NULL || memchr(h, '#', n) != NULL)
		return false;
	*ret_dir = h[n - 1] == '/';
	if (*ret_dir)
		n--;
	if (n == 0 || memchr(h, '/', n) != NULL)
		return false;
	/* "mailto:x", "http:..." are links elsewhere; nginx escapes a colon in a name */
	if (memchr(h, ':', n) != NULL && h == raw)
		return false;

	size_t k = 0;
	for (size_t i = 0; i < n; i++) {
		char c = h[i];
		if (c == '%') {
			if (i + 2 >= n)
				return false;
			const int a = hex_of(h[i + 1]), b = hex_of(h[i + 2]);
			if (a < 0 || b < 0)
				return false;
			c = (char)(a * 16 + b);
			i += 2;
		}
		if (c == '/' || c == '\0' || k == NAME_MAX_BYTES)
			return false;
		out[k++] = c;
	}
	out[k] = '\0';
	return strcmp(out, ".") != 0 && strcmp(out, "..") != 0;
}

static bool digits_at(const char *p, size_t n, int *ret)
{
	int v = 0;
	for (size_t i = 0; i < n; i++) {
		if (!isdigit((unsigned char)p[i]))
			return false;
		v = v * 10 + (p[i] - '0');
	}
	*ret = v;
	return true;
}

/* "02-Jan-2026 15:04" */
static bool parse_time(const char *p, const char *end, int64_t *ret)
{
	int d, y, h, m;
	if (end - p < 17 || p[2] != '-' || p[6] != '-' || p[11] != ' ' || p[14] != ':' || !digits_at(p, 2, &d) ||
	    !digits_at(p + 7, 4, &y) || !digits_at(p + 12, 2, &h) || !digits_at(p + 15, 2, &m))
		return false;
	const int mon = month_of(p + 3);
	if (mon < 0 || d < 1 || d > 31 || h > 23 || m > 59 || y < 1970)
		return false;
	struct tm tm = {.tm_mday = d, .tm_mon = mon, .tm_year = y - 1900, .tm_hour = h, .tm_min = m};
	*ret = (int64_t)timegm(&tm);
	return true;
}

static bool parse_size(const char *p, const char *end, uint64_t *ret)
{
	uint64_t v = 0;
	const char *start = p;
	for (; p < end && isdigit((unsigned char)*p); p++)
		if (__builtin_mul_overflow(v, UINT64_C(10), &v) || __builtin_add_overflow(v, (uint64_t)(*p - '0'), &v))
			return false;
	/* a unit behind the digits means that the figure was rounded */
	if (p == start || v > INT64_MAX || (p < end && !isspace((unsigned char)*p) && *p != '<'))
		return false;
	*ret = v;
	return true;
}

/* What stands behind the link up to the end of its line: "  02-Jan-2026 15:04   123". */
static void parse_facts(const char *p, const char *end, struct autoindex_entry *e)
{
	while (p < end && isspace((unsigned char)*p))
		p++;
	if (!parse_time(p, end, &e->mtime_s))
		return;
	e->time_known = true;
	p += 17;
	while (p < end && isspace((unsigned char)*p))
		p++;
	if (!e->dir)
		e->size_exact = parse_size(p, end, &e->size);
}

/* The href value within the tag [p, end). */
static bool find_href(const char *p, const char *end, const char **ret, const char **ret_end)
{
	const char *h = find(p, end, "href=");
	if (h == NULL || h == p || !isspace((unsigned char)h[-1]))
		return false;
	h += 5;
	if (h == end || (*h != '"' && *h != '\''))
		return false;
	const char *close = memchr(h + 1, *h, (size_t)(end - h - 1));
	if (close == NULL)
		return false;
	*ret = h + 1;
	*ret_end = close;
	return true;
}

static bool looks_like_index(const char *page, const char *end)
{
	return find(page, end, "<title>Index of ") != NULL || find(page, end, "<h1>Index of ") != NULL ||
	       find(page, end, "<a href=\"../\">") != NULL;
}

int autoindex_parse(const char *page, size_t n, size_t max_entries,
		    int (*fn)(void *ctx, const struct autoindex_entry *e), void *ctx, struct error *err)
{
	const char *const end = page + n;
	if (!looks_like_index(page, end))
		return error_set(err, -EPROTO, "the page is no index of a directory (nginx: autoindex on)");

	size_t count = 0;
	for (const char *p = page; (p = find(p, end, "<a ")) != NULL;) {
		const char *tag_end = memchr(p, '>', (size_t)(end - p));
		if (tag_end == NULL)
			break;
		const char *href, *href_end;
		char name[NAME_MAX_BYTES + 1];
		struct autoindex_entry e = {.name = name};
		const bool ok =
			find_href(p + 2, tag_end, &href, &href_end) && name_of_href(href, href_end, name, &e.dir);
		p = tag_end + 1;
		if (!ok)
			continue;

		const char *nl = memchr(p, '\n', (size_t)(end - p));
		const char *line_end = nl != NULL ? nl : end;
		const char *facts = find(p, line_end, "</a>");
		if (facts != NULL) {
			parse_facts(facts + 4, line_end, &e);
			p = facts + 4;
		}
		if (++count > max_entries)
			return error_set(err, -E2BIG, "more than %zu entries in one directory", max_entries);
		const int r = fn(ctx, &e);
		if (r < 0)
			return r;
	}
	return 0;
}

char *url_encode_path(const char *path)
{
	struct strbuf b = STRBUF_INIT(3 * strlen(path) + 1);
	char *out = NULL;
	strbuf_add_url(&b, path, "/");
	return strbuf_take(&b, &out) == 0 ? out : NULL;
}

int http_date_parse(const char *s, int64_t *ret_s)
{
	int d, y, h, m, sec;
	const size_t n = strlen(s);
	if (n != 29 || strcmp(s + 25, " GMT") != 0 || s[3] != ',' || !digits_at(s + 5, 2, &d) ||
	    !digits_at(s + 12, 4, &y) || !digits_at(s + 17, 2, &h) || !digits_at(s + 20, 2, &m) ||
	    !digits_at(s + 23, 2, &sec))
		return -EINVAL;
	const int mon = month_of(s + 8);
	if (mon < 0 || d < 1 || d > 31 || h > 23 || m > 59 || sec > 60)
		return -EINVAL;
	struct tm tm = {.tm_mday = d, .tm_mon = mon, .tm_year = y - 1900, .tm_hour = h, .tm_min = m, .tm_sec = sec};
	*ret_s = (int64_t)timegm(&tm);
	return 0;
}

void http_date_format(int64_t s, char out[static 32])
{
	static const char *const days[7] = {"Sun", "Mon", "Tue", "Wed", "Thu", "Fri", "Sat"};
	const time_t t = (time_t)s;
	struct tm tm;
	(void)gmtime_r(&t, &tm);
	(void)snprintf(out, 32, "%s, %02d %s %04d %02d:%02d:%02d GMT", days[tm.tm_wday % 7], tm.tm_mday % 100,
		       months[tm.tm_mon % 12], (tm.tm_year + 1900) % 10000, tm.tm_hour % 100, tm.tm_min % 100,
		       tm.tm_sec % 100);
}
