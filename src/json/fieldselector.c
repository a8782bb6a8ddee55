/* Field selectors: "metadata.name=x,spec.nodeName!=y". */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/arena.h"
#include "base/cleanup.h"
#include "base/error.h"
#include "json/selector.h"

#define SELECTOR_MAX_BYTES (64u << 10)
#define ARENA_MAX_BYTES    (16u << 20)

struct term {
	struct term *next;
	const char *path, *value;
	bool negated;
};

struct field_selector {
	struct arena arena; /* owns all below */
	struct term *head, **tail;
};

void field_selector_free(struct field_selector *s)
{
	if (s == NULL)
		return;
	arena_free(&s->arena);
	free(s);
}

static void field_selector_free_p(struct field_selector **s)
{
	field_selector_free(*s);
}

/* Where the term at @p ends: a comma that no backslash precedes. */
static size_t term_length(const char *p)
{
	size_t i = 0;
	for (; p[i] != '\0' && p[i] != ','; i++)
		if (p[i] == '\\' && p[i + 1] != '\0')
			i++;
	return i;
}

/* Drop the backslashes of "\\", "\,", "\=" in place; any other is an error. */
static bool unescape(char *s)
{
	char *out = s;
	for (; *s != '\0'; s++) {
		if (*s == ',' || *s == '=')
			return false;
		if (*s == '\\') {
			s++;
			if (*s != '\\' && *s != ',' && *s != '=')
				return false;
		}
		*out++ = *s;
	}
	*out = '\0';
	return true;
}

static int parse_term(struct field_selector *s, const char *text, const char *p, size_t n, struct error *err)
{
	size_t i = 0;
	while (i < n && p[i] != '=' && !(p[i] == '!' && i + 1 < n && p[i + 1] == '='))
		i++;
	if (i == n)
		return error_set(err, -EINVAL, "invalid selector: '%.100s'; can't understand '%.*s'", text,
				 n > 100 ? 100 : (int)n, p);
	const bool negated = p[i] == '!';
	const size_t op = negated || (i + 1 < n && p[i + 1] == '=') ? 2 : 1;
	struct term *t = arena_alloc(&s->arena, sizeof *t);
	char *path = arena_strndup(&s->arena, p, i), *value = arena_strndup(&s->arena, p + i + op, n - i - op);
	if (t == NULL || path == NULL || value == NULL)
		return error_set(err, -ENOMEM, "parse selector: out of memory");
	if (!unescape(value))
		return error_set(err, -EINVAL,
				 "invalid field selector: invalid escape sequence or unescaped character in "
				 "value: %.100s",
				 value);
	*t = (struct term){.path = path, .value = value, .negated = negated};
	*s->tail = t;
	s->tail = &t->next;
	return 0;
}

int field_selector_parse(const char *text, struct field_selector **ret, struct error *err)
{
	if (strnlen(text, SELECTOR_MAX_BYTES + 1) > SELECTOR_MAX_BYTES)
		return error_set(err, -EINVAL, "a selector may have at most %u bytes", SELECTOR_MAX_BYTES);
	CLEANUP(field_selector_free_p) struct field_selector *s = calloc(1, sizeof *s);
	if (s == NULL)
		return error_set(err, -ENOMEM, "parse selector: out of memory");
	s->arena = ARENA_INIT(ARENA_MAX_BYTES);
	s->tail = &s->head;
	for (const char *p = text; *p != '\0';) {
		const size_t n = term_length(p);
		const int rc = n > 0 ? parse_term(s, text, p, n, err) : 0; /* empty terms say nothing */
		if (rc < 0)
			return rc;
		p += n + (p[n] == ',');
	}
	*ret = TAKE(s);
	return 0;
}

int field_selector_each(const struct field_selector *s, int (*fn)(void *ctx, const char *path), void *ctx)
{
	for (const struct term *t = s->head; t != NULL; t = t->next) {
		const int rc = fn(ctx, t->path);
		if (rc != 0)
			return rc;
	}
	return 0;
}

/* The value at a dotted path as text; paths are user input here, so json_at() with its asserts will not do. */
static const char *text_at(const json_t *j, const char *path, char number[static 32])
{
	while (*path != '\0' && j != NULL) {
		const size_t n = strcspn(path, ".");
		j = json_object_getn(j, path, n);
		path += n + (path[n] == '.');
	}
	if (json_is_string(j))
		return json_string_value(j);
	if (json_is_boolean(j))
		return json_is_true(j) ? "true" : "false";
	if (json_is_integer(j))
		(void)snprintf(number, 32, "%lld", (long long)json_integer_value(j));
	else if (json_is_real(j))
		(void)snprintf(number, 32, "%.15g", json_real_value(j));
	else
		return "";
	return number;
}

bool field_selector_matches(const struct field_selector *s, const json_t *obj)
{
	for (const struct term *t = s->head; t != NULL; t = t->next) {
		char number[32];
		if ((strcmp(text_at(obj, t->path, number), t->value) == 0) == t->negated)
			return false;
	}
	return true;
}

const char *field_selector_value(const struct field_selector *s, const char *path)
{
	for (const struct term *t = s->head; t != NULL; t = t->next)
		if (!t->negated && strcmp(t->path, path) == 0)
			return t->value;
	return NULL;
}
