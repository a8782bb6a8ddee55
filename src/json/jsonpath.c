/* Parsing of JSONPath templates. */
#include "json/jsonpath.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/error.h"
#include "base/strbuf.h"
#include "json/json.h"
#include "json/jsonpath_node.h"

#define ARENA_MAX ((size_t)32 << 20) /* of one template: a node for every few bytes of the longest text, and more */

struct parser {
	struct jsonpath *path;
	const char *p, *end;
	unsigned depth;
	enum jsonpath_part_kind kind; /* what the action turned out to be */
	struct error *err;
};

static int parse_steps(struct parser *ps, struct jsonpath_steps *steps, bool whole);

static int fail(struct parser *ps, const char *message)
{
	return error_set(ps->err, -EINVAL, "%s", message);
}

static int out_of_memory(struct parser *ps)
{
	return error_set(ps->err, -ENOMEM, "parse a JSONPath: out of memory");
}

static struct jsonpath_node *add_node(struct parser *ps, struct jsonpath_steps *steps, enum jsonpath_kind kind)
{
	struct jsonpath_node *n = arena_alloc(&ps->path->arena, sizeof *n);
	if (n == NULL)
		return NULL;
	n->kind = kind;
	*steps->last = n;
	steps->last = &n->next;
	return n;
}

static void steps_init(struct jsonpath_steps *s)
{
	s->first = NULL;
	s->last = &s->first;
}

/** Parse [@p, @end) as steps of their own: a filter's side, a union's part, a quoted key. */
static int parse_sub(struct parser *ps, const char *p, const char *end, struct jsonpath_steps *ret)
{
	if (ps->depth >= JSONPATH_NESTING)
		return fail(ps, "filters and unions are nested too deeply");
	struct parser sub = {.path = ps->path, .p = p, .end = end, .depth = ps->depth + 1, .err = ps->err};
	steps_init(ret);
	const int rc = parse_steps(&sub, ret, false);
	if (rc == 0 && sub.kind != JP_ACTION)
		return fail(ps, "range and end have no place within brackets");
	return rc;
}

static bool is_word(char c)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_' ||
	       (unsigned char)c >= 0x80;
}

static bool is_line_end(char c)
{
	return c == '\n' || c == '\r';
}

static bool ends_word(char c)
{
	return c == '\0' || is_line_end(c) || strchr(" \t.,[]$@{}", c) != NULL;
}

static int add_literal(struct parser *ps, struct jsonpath_steps *steps, json_t *value, bool is_text)
{
	if (value == NULL || json_array_append_new(ps->path->literals, value) < 0)
		return out_of_memory(ps);
	struct jsonpath_node *n = add_node(ps, steps, JP_LITERAL);
	if (n == NULL)
		return out_of_memory(ps);
	n->literal = value;
	n->is_text = is_text;
	return 0;
}

/** A member's name behind its dot; "\x" stands for x. */
static int parse_member(struct parser *ps, struct jsonpath_steps *steps)
{
	const char *stop = ps->p;
	while (stop < ps->end && !ends_word(*stop))
		stop += *stop == '\\' && stop + 1 < ps->end ? 2 : 1;
	char *name = arena_alloc(&ps->path->arena, (size_t)(stop - ps->p) + 1);
	if (name == NULL)
		return out_of_memory(ps);
	size_t n = 0;
	bool escaped = false;
	for (; ps->p < stop; ps->p++) {
		if (*ps->p == '\\') {
			escaped = true;
			if (++ps->p == stop)
				break;
		}
		if (*ps->p != '\\')
			name[n++] = *ps->p;
	}
	if (n == 1 && name[0] == '*' && !escaped)
		return add_node(ps, steps, JP_WILDCARD) != NULL ? 0 : out_of_memory(ps);
	struct jsonpath_node *m = add_node(ps, steps, JP_MEMBER);
	if (m == NULL)
		return out_of_memory(ps);
	m->name = name;
	m->name_n = n;
	return 0;
}

static int parse_word(struct parser *ps, struct jsonpath_steps *steps)
{
	const char *start = ps->p;
	while (ps->p < ps->end && !ends_word(*ps->p))
		ps->p++;
	const size_t n = (size_t)(ps->p - start);
	if (n == 4 && memcmp(start, "true", 4) == 0)
		return add_literal(ps, steps, json_true(), false);
	if (n == 5 && memcmp(start, "false", 5) == 0)
		return add_literal(ps, steps, json_false(), false);
	const bool range = n == 5 && memcmp(start, "range", 5) == 0;
	if (!range && !(n == 3 && memcmp(start, "end", 3) == 0))
		return error_set(ps->err, -EINVAL, "unrecognized identifier %.*s", (int)(n < 100 ? n : 100), start);
	if (ps->kind != JP_ACTION || steps->first != NULL)
		return fail(ps, "range and end stand at the beginning of an action");
	ps->kind = range ? JP_RANGE : JP_END;
	return 0;
}

static int parse_number(struct parser *ps, struct jsonpath_steps *steps)
{
	const char *start = ps->p;
	if (*ps->p == '+' || *ps->p == '-')
		ps->p++;
	while (ps->p < ps->end && (*ps->p == '.' || (*ps->p >= '0' && *ps->p <= '9')))
		ps->p++;
	const size_t n = (size_t)(ps->p - start);
	char text[64], *stop = text;
	if (n < sizeof text) {
		memcpy(text, start, n);
		text[n] = '\0';
		errno = 0;
		const long long i = strtoll(text, &stop, 10);
		if (*stop == '\0' && stop != text && errno == 0)
			return add_literal(ps, steps, json_integer(i), false);
		const double d = strtod(text, &stop);
		if (*stop == '\0' && stop != text)
			return add_literal(ps, steps, json_real(d), false);
	}
	return error_set(ps->err, -EINVAL, "cannot parse number %.*s", (int)(n < 100 ? n : 100), start);
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

/** @digits digits to base 2^@bits at @p; UINT32_MAX when there are not as many. */
static uint32_t digits_at(const char *p, const char *end, size_t digits, unsigned bits)
{
	uint32_t v = 0;
	if ((size_t)(end - p) < digits)
		return UINT32_MAX;
	for (size_t i = 0; i < digits; i++) {
		const char *const all = "0123456789abcdef";
		const char c = p[i] >= 'A' && p[i] <= 'F' ? (char)(p[i] + 32) : p[i];
		const char *at = c != '\0' ? strchr(all, c) : NULL;
		if (at == NULL || at - all >= 1 << bits)
			return UINT32_MAX;
		v = v << bits | (uint32_t)(at - all);
	}
	return v;
}

/** One escape of Go's strings behind its backslash, *@p moved beyond it. False when it is none. */
static bool unescape(const char **p, const char *end, char quote, struct strbuf *b)
{
	static const char from[] = "abfnrtv\\", to[] = "\a\b\f\n\r\t\v\\";
	if (*p == end || **p == '\0')
		return false;
	const char c = *(*p)++;
	const char *at = strchr(from, c);
	if (at != NULL || c == quote) {
		strbuf_addc(b, at != NULL ? to[at - from] : c);
		return true;
	}
	const size_t digits = c == 'x' ? 2 : c == 'u' ? 4 : c == 'U' ? 8 : 3;
	if (digits == 3)
		(*p)--;
	const uint32_t v = digits_at(*p, end, digits, digits == 3 ? 3 : 4);
	if (v == UINT32_MAX || v > 0x10ffff || (digits == 3 && v > 255) || (digits >= 4 && v >= 0xd800 && v < 0xe000))
		return false;
	*p += digits;
	if (digits <= 3)
		strbuf_addc(b, (char)v);
	else
		add_utf8(b, v);
	return true;
}

static int parse_quoted(struct parser *ps, struct jsonpath_steps *steps)
{
	const char quote = *ps->p++;
	CLEANUP(strbuf_clear) struct strbuf b = STRBUF_INIT(JSONPATH_TEXT_MAX);
	while (ps->p < ps->end && *ps->p != quote) {
		if (*ps->p == '\n')
			return fail(ps, "unterminated quoted string");
		const char *start = ps->p;
		if (*ps->p++ != '\\')
			strbuf_addc(&b, *start);
		else if (!unescape(&ps->p, ps->end, quote, &b))
			return error_set(ps->err, -EINVAL, "invalid escape '%.*s' in a quoted string",
					 (int)(ps->end - start < 2 ? ps->end - start : 2), start);
	}
	if (ps->p == ps->end)
		return fail(ps, "unterminated quoted string");
	ps->p++;
	return b.failed ? out_of_memory(ps)
			: add_literal(ps, steps, json_stringn_nocheck(b.p != NULL ? b.p : "", b.n), true);
}

static int bad_index(struct parser *ps, const char *p, const char *end)
{
	const long n = end - p;
	return error_set(ps->err, -EINVAL, "invalid array index %.*s", (int)(n < 100 ? n : 100), p);
}

/** from:to:step, each of them optional. */
static int parse_slice(struct parser *ps, const char *p, const char *end, struct jsonpath_steps *steps)
{
	const char *const start = p;
	struct jsonpath_node *s = add_node(ps, steps, JP_SLICE);
	if (s == NULL)
		return out_of_memory(ps);
	if (end - p == 1 && *p == '*')
		return 0;
	size_t i = 0;
	for (;; i++) {
		const bool minus = p < end && *p == '-';
		p += minus;
		const char *digits = p;
		for (; p < end && *p >= '0' && *p <= '9' && p - digits < 10; p++)
			s->bound[i].value = s->bound[i].value * 10 + (*p - '0');
		s->bound[i].known = p > digits;
		if (minus)
			s->bound[i].value = -s->bound[i].value;
		if (minus && p == digits)
			return bad_index(ps, start, end);
		if (p == end)
			break;
		if (*p++ != ':' || i == 2)
			return bad_index(ps, start, end);
	}
	if (i == 0) { /* [i]; "[]" is [0:1], as in kubectl */
		s->bound[1].known = s->bound[1].derived = true;
		s->bound[1].value = s->bound[0].value + 1;
	}
	if (s->bound[2].known && s->bound[2].value <= 0)
		return fail(ps, "step must be > 0");
	return 0;
}

static int parse_union(struct parser *ps, const char *p, const char *end, struct jsonpath_steps *steps)
{
	struct jsonpath_node *u = add_node(ps, steps, JP_UNION);
	if (u == NULL)
		return out_of_memory(ps);
	size_t n = 1;
	for (const char *q = p; q < end; q++)
		n += *q == ',';
	u->parts = arena_alloc_array(&ps->path->arena, n, sizeof *u->parts);
	if (u->parts == NULL)
		return out_of_memory(ps);
	for (u->n_parts = 0; u->n_parts < n; u->n_parts++) {
		const char *comma = memchr(p, ',', (size_t)(end - p));
		const char *next = comma != NULL ? comma : end, *stop = next;
		while (p < stop && *p == ' ')
			p++;
		while (stop > p && stop[-1] == ' ')
			stop--;
		char *bracketed = arena_printf(&ps->path->arena, "[%.*s]", (int)(stop - p), p);
		if (bracketed == NULL)
			return out_of_memory(ps);
		const int rc = parse_sub(ps, bracketed, bracketed + strlen(bracketed), &u->parts[u->n_parts]);
		if (rc < 0)
			return rc;
		p = next + 1;
	}
	return 0;
}

/** ['a.b']: the path .a.b. */
static int parse_key(struct parser *ps, const char *p, const char *end, struct jsonpath_steps *steps)
{
	char *dotted = arena_printf(&ps->path->arena, ".%.*s", (int)(end - p), p);
	if (dotted == NULL)
		return out_of_memory(ps);
	struct jsonpath_steps sub = {0};
	const int rc = parse_sub(ps, dotted, dotted + strlen(dotted), &sub);
	if (rc < 0 || sub.first == NULL)
		return rc;
	*steps->last = sub.first;
	steps->last = sub.last;
	return 0;
}

static int parse_brackets(struct parser *ps, struct jsonpath_steps *steps)
{
	const char *start = ++ps->p;
	while (ps->p < ps->end && *ps->p != ']' && *ps->p != '\n')
		ps->p++;
	if (ps->p == ps->end || *ps->p == '\n')
		return fail(ps, "unterminated array");
	const char *end = ps->p++;
	if (memchr(start, ',', (size_t)(end - start)) != NULL)
		return parse_union(ps, start, end, steps);
	if (end - start >= 2 && *start == '\'' && end[-1] == '\'' &&
	    memchr(start + 1, '\'', (size_t)(end - start - 2)) == NULL)
		return parse_key(ps, start + 1, end - 1, steps);
	return parse_slice(ps, start, end, steps);
}

/** Where the ")" of a filter is: one that is not within quotes. NULL: nowhere. */
static const char *filter_end(const char *p, const char *end)
{
	char quote = '\0';
	for (; p < end && *p != '\n'; p++) {
		if (quote != '\0') {
			if (*p == '\\' && p + 1 < end)
				p++;
			else if (*p == quote)
				quote = '\0';
		} else if (*p == '"' || *p == '\'') {
			quote = *p;
		} else if (*p == ')') {
			return p;
		}
	}
	return NULL;
}

static int filter_op(struct parser *ps, const char *p, size_t n, enum jsonpath_op *ret)
{
	static const struct {
		const char *text;
		enum jsonpath_op op;
	} ops[] = {{"==", JP_EQ}, {"!=", JP_NE}, {"<", JP_LT}, {"<=", JP_LE}, {">", JP_GT}, {">=", JP_GE}};
	for (size_t i = 0; i < ARRAY_LEN(ops); i++) {
		if (strlen(ops[i].text) == n && memcmp(ops[i].text, p, n) == 0) {
			*ret = ops[i].op;
			return 0;
		}
	}
	return error_set(ps->err, -EINVAL, "unrecognized filter operator %.*s", (int)(n < 20 ? n : 20), p);
}

/** [?(left op right)] or [?(left)], at "[". */
static int parse_filter(struct parser *ps, struct jsonpath_steps *steps)
{
	const char *p = ps->p + 3;
	const char *end = filter_end(p, ps->end);
	if (end == NULL)
		return fail(ps, "unterminated filter");
	if (end + 1 == ps->end || end[1] != ']')
		return fail(ps, "unclosed array expect ]");
	ps->p = end + 2;
	struct jsonpath_node *f = add_node(ps, steps, JP_FILTER);
	if (f == NULL)
		return out_of_memory(ps);
	const char *op = p;
	while (op < end && strchr("!<>=", *op) == NULL)
		op++;
	if (op == end)
		return parse_sub(ps, p, end, &f->left);
	const char *right = op;
	while (right < end && strchr("!<>=", *right) != NULL)
		right++;
	if (op == p || right == end)
		return fail(ps, "a filter's operator stands between two values");
	int rc = filter_op(ps, op, (size_t)(right - op), &f->op);
	if (rc == 0)
		rc = parse_sub(ps, p, op, &f->left);
	if (rc == 0)
		rc = parse_sub(ps, right, end, &f->right);
	return rc;
}

static int parse_dots(struct parser *ps, struct jsonpath_steps *steps)
{
	if (ps->p + 1 == ps->end || ps->p[1] != '.') {
		ps->p++;
		return parse_member(ps, steps);
	}
	struct jsonpath_node *before = steps->first;
	while (before != NULL && before->next != NULL)
		before = before->next;
	if (before != NULL && before->kind == JP_RECURSIVE)
		return fail(ps, "invalid multiple recursive descent");
	ps->p += 2;
	if (add_node(ps, steps, JP_RECURSIVE) == NULL)
		return out_of_memory(ps);
	return ps->p < ps->end && is_word(*ps->p) ? parse_member(ps, steps) : 0;
}

static int unrecognized(struct parser *ps)
{
	const unsigned char c = (unsigned char)*ps->p;
	return error_set(ps->err, -EINVAL, "unrecognized character in action: U+%04X '%c'", c,
			 c >= ' ' && c < 0x7f ? c : '?');
}

static int parse_step(struct parser *ps, struct jsonpath_steps *steps)
{
	const char c = *ps->p;
	if (c == ' ' || c == '@' || c == '$') {
		ps->p++;
		return 0;
	}
	if (c == '[')
		return ps->end - ps->p >= 3 && memcmp(ps->p, "[?(", 3) == 0 ? parse_filter(ps, steps)
									    : parse_brackets(ps, steps);
	if (c == '"' || c == '\'')
		return parse_quoted(ps, steps);
	if (c == '.')
		return parse_dots(ps, steps);
	if (c == '+' || c == '-' || (c >= '0' && c <= '9'))
		return parse_number(ps, steps);
	return is_word(c) ? parse_word(ps, steps) : unrecognized(ps);
}

/** Steps up to the end of the text, or (@whole) beyond the action's "}". */
static int parse_steps(struct parser *ps, struct jsonpath_steps *steps, bool whole)
{
	ps->kind = JP_ACTION;
	while (ps->p < ps->end) {
		if (whole && *ps->p == '}') {
			ps->p++;
			return 0;
		}
		if (is_line_end(*ps->p))
			break;
		const int rc = parse_step(ps, steps);
		if (rc < 0)
			return rc;
	}
	return ps->p == ps->end && !whole ? 0 : fail(ps, "unclosed action");
}

/** Give each range its end. */
static int match_ranges(struct parser *ps)
{
	size_t open[JSONPATH_NESTING], n = 0;
	for (size_t i = 0; i < ps->path->n_parts; i++) {
		struct jsonpath_part *part = &ps->path->parts[i];
		if (part->kind == JP_RANGE) {
			if (n == JSONPATH_NESTING)
				return fail(ps, "ranges are nested too deeply");
			open[n++] = i;
		} else if (part->kind == JP_END) {
			if (n == 0)
				return fail(ps, "not in range, nothing to end");
			ps->path->parts[open[--n]].end = i;
		}
	}
	return n == 0 ? 0 : fail(ps, "a range has no {end}");
}

static int parse_template(struct parser *ps)
{
	size_t most = 1;
	for (const char *q = ps->p; q < ps->end; q++)
		most += *q == '{' ? 2 : 0;
	ps->path->parts = arena_alloc_array(&ps->path->arena, most, sizeof *ps->path->parts);
	if (ps->path->parts == NULL)
		return out_of_memory(ps);
	while (ps->p < ps->end) {
		struct jsonpath_part *part = &ps->path->parts[ps->path->n_parts];
		const char *brace = memchr(ps->p, '{', (size_t)(ps->end - ps->p));
		const char *stop = brace != NULL ? brace : ps->end;
		if (stop > ps->p) {
			*part = (struct jsonpath_part){.kind = JP_TEXT, .text_n = (size_t)(stop - ps->p)};
			part->text = arena_strndup(&ps->path->arena, ps->p, part->text_n);
			if (part->text == NULL)
				return out_of_memory(ps);
			ps->p = stop;
		} else {
			ps->p++;
			steps_init(&part->steps);
			const int rc = parse_steps(ps, &part->steps, true);
			if (rc < 0)
				return rc;
			part->kind = ps->kind;
		}
		ps->path->n_parts++;
	}
	return match_ranges(ps);
}

static int parse_n(const char *text, size_t n, struct jsonpath **ret, struct error *err)
{
	if (n > JSONPATH_TEXT_MAX)
		return error_set(err, -EINVAL, "a JSONPath may have at most %d bytes", JSONPATH_TEXT_MAX);
	struct jsonpath *path = malloc(sizeof *path);
	if (path == NULL)
		return error_set(err, -ENOMEM, "parse a JSONPath: out of memory");
	*path = (struct jsonpath){.arena = ARENA_INIT(ARENA_MAX), .literals = json_array()};
	struct parser ps = {.path = path, .p = text, .end = text + n, .err = err};
	const int rc = path->literals != NULL ? parse_template(&ps) : out_of_memory(&ps);
	if (rc < 0) {
		jsonpath_free(path);
		return rc;
	}
	*ret = path;
	return 0;
}

int jsonpath_parse(const char *text, struct jsonpath **ret, struct error *err)
{
	return parse_n(text, strlen(text), ret, err);
}

int jsonpath_parse_path(const char *text, struct jsonpath **ret, struct error *err)
{
	size_t n = strlen(text);
	if (n >= 2 && text[0] == '{' && text[n - 1] == '}') {
		text++;
		n -= 2;
	}
	if (n > JSONPATH_TEXT_MAX - 3)
		return error_set(err, -EINVAL, "a JSONPath may have at most %d bytes", JSONPATH_TEXT_MAX);
	if (memchr(text, '{', n) != NULL || memchr(text, '}', n) != NULL)
		return error_set(err, -EINVAL, "'%.100s' is not one path", text);
	const bool bare = n > 0 && strchr(".[@$", text[0]) == NULL;
	char wrapped[256], *p = n < sizeof wrapped - 4 ? wrapped : malloc(n + 4);
	if (p == NULL)
		return error_set(err, -ENOMEM, "parse a JSONPath: out of memory");
	const int len = snprintf(p, n + 4, "{%s%.*s}", bare ? "." : "", (int)n, text);
	const int rc = parse_n(p, (size_t)len, ret, err);
	if (p != wrapped)
		free(p);
	return rc;
}

void jsonpath_free(struct jsonpath *p)
{
	if (p == NULL)
		return;
	json_decref(p->literals);
	arena_free(&p->arena);
	free(p);
}
