#include "client/match.h"

#include <regex.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/error.h"
#include "base/map.h"
#include "base/str.h"
#include "base/strbuf.h"
#include "json/json.h"

#define TEXT_MAX (64u << 20)

int vars_set(struct map *vars, const char *name, const char *value)
{
	char *copy = strdup(value);
	if (copy == NULL)
		return -ENOMEM;
	const int rc = map_set(vars, name, copy);
	if (rc < 0)
		free(copy);
	return rc;
}

int vars_fill(const struct map *vars, const char *text, char **ret, struct error *err)
{
	CLEANUP(strbuf_clear) struct strbuf b = STRBUF_INIT(TEXT_MAX);
	for (const char *at; (at = strstr(text, "${")) != NULL;) {
		const char *end = strchr(at, '}');
		if (end == NULL)
			break;
		CLEANUP(free_p) char *name = strndup(at + 2, (size_t)(end - at - 2));
		const char *value = name == NULL ? NULL : map_get(vars, name);
		if (value == NULL)
			return error_set(err, -EINVAL, "no variable '%s' is set", name == NULL ? "" : name);
		strbuf_add(&b, text, (size_t)(at - text));
		strbuf_adds(&b, value);
		text = end + 1;
	}
	strbuf_adds(&b, text);
	return strbuf_take(&b, ret);
}

struct matcher {
	struct map *vars;
	struct error *err;
	bool exact;
};

static int compare(const struct matcher *m, const char *path, const json_t *want, const json_t *got);

/* A value as the text that patterns see: strings bare. */
static char *text_of(const json_t *j)
{
	if (j == NULL)
		return strdup("(absent)");
	return json_is_string(j) ? strdup(json_string_value(j)) : json_to_text(j, NULL);
}

static int differs(const struct matcher *m, const char *path, const json_t *want, const json_t *got)
{
	CLEANUP(free_p) char *a = text_of(want);
	CLEANUP(free_p) char *b = text_of(got);
	return error_set(m->err, -EINVAL, "%s: want %.400s, got %.400s", path[0] == '\0' ? "." : path, a, b);
}

static int compare_pattern(const struct matcher *m, const char *path, const json_t *want, const json_t *got)
{
	const char *pattern = json_string_value(want) + 1;
	CLEANUP(free_p) char *text = text_of(got);
	regex_t re;
	if (regcomp(&re, pattern, REG_EXTENDED | REG_NOSUB) != 0)
		return error_set(m->err, -EINVAL, "%s: '%s' is no regular expression", path, pattern);
	const bool fits = got != NULL && text != NULL && regexec(&re, text, 0, NULL, 0) == 0;
	regfree(&re);
	return fits ? 0 : differs(m, path, want, got);
}

static int take_value(const struct matcher *m, const char *path, const json_t *want, const json_t *got)
{
	CLEANUP(free_p) char *text = text_of(got);
	if (got == NULL || text == NULL)
		return differs(m, path, want, got);
	return vars_set(m->vars, json_string_value(want) + 1, text);
}

static int compare_object(const struct matcher *m, const char *path, const json_t *want, const json_t *got)
{
	if (!json_is_object(got))
		return differs(m, path, want, got);
	const char *key;
	json_t *value;
	json_object_foreach ((json_t *)want, key, value) {
		if (strcmp(key, "!") == 0)
			continue;
		CLEANUP(free_p) char *sub = str_printf("%s.%s", path, key);
		const int rc = sub == NULL ? -ENOMEM : compare(m, sub, value, json_object_get(got, key));
		if (rc < 0)
			return rc;
	}
	if (!m->exact && json_object_get(want, "!") == NULL)
		return 0;
	json_object_foreach ((json_t *)got, key, value) {
		if (json_object_get(want, key) == NULL) {
			CLEANUP(free_p) char *sub = str_printf("%s.%s", path, key);
			return differs(m, sub, NULL, value);
		}
	}
	return 0;
}

static int compare_some(const struct matcher *m, const char *path, const json_t *want, const json_t *got)
{
	const struct matcher quiet = {.vars = m->vars, .exact = m->exact};
	size_t at = 0;
	for (size_t i = 1; i < json_array_size(want); i++) {
		while (at < json_array_size(got) &&
		       compare(&quiet, path, json_array_get(want, i), json_array_get(got, at)) < 0)
			at++;
		if (at++ >= json_array_size(got))
			return differs(m, path, json_array_get(want, i), got);
	}
	return 0;
}

static int compare_list(const struct matcher *m, const char *path, const json_t *want, const json_t *got)
{
	if (!json_is_array(got))
		return differs(m, path, want, got);
	if (str_same(json_string_value(json_array_get(want, 0)), "..."))
		return compare_some(m, path, want, got);
	if (json_array_size(want) != json_array_size(got))
		return differs(m, path, want, got);
	for (size_t i = 0; i < json_array_size(want); i++) {
		CLEANUP(free_p) char *sub = str_printf("%s[%zu]", path, i);
		const int rc = sub == NULL ? -ENOMEM : compare(m, sub, json_array_get(want, i), json_array_get(got, i));
		if (rc < 0)
			return rc;
	}
	return 0;
}

static int compare(const struct matcher *m, const char *path, const json_t *want, const json_t *got)
{
	if (json_is_null(want))
		return got == NULL || json_is_null(got) ? 0 : differs(m, path, want, got);
	if (json_is_object(want))
		return compare_object(m, path, want, got);
	if (json_is_array(want))
		return compare_list(m, path, want, got);
	const char *text = json_string_value(want);
	if (text != NULL && text[0] == '~')
		return compare_pattern(m, path, want, got);
	if (text != NULL && text[0] == '=')
		return take_value(m, path, want, got);
	return got != NULL && json_same(want, got) ? 0 : differs(m, path, want, got);
}

int match(const json_t *want, const json_t *got, bool exact, struct map *vars, struct error *err)
{
	const struct matcher m = {.vars = vars, .err = err, .exact = exact};
	return compare(&m, "", want, got);
}
