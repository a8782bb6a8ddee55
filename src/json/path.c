/* Paths into trees: "spec.containers[name=fuse].image", "items[0]", metadata.labels["a.b/c"]. */
#include <assert.h>
#include <errno.h>
#include <string.h>

#include "base/str.h"
#include "json/json.h"

struct step {
	enum { STEP_MEMBER, STEP_INDEX, STEP_KEYED } kind;
	struct str name;  /* member; key of STEP_KEYED */
	struct str value; /* of STEP_KEYED */
	size_t index;
};

/* What stands in brackets: an index, key=value or a quoted member. Paths come from code, so a bad one is a bug. */
static const char *bracket_step(const char *p, struct step *ret)
{
	if (*p == '"') {
		const char *end = strstr(p + 1, "\"]");
		assert(end != NULL);
		*ret = (struct step){.kind = STEP_MEMBER, .name = {p + 1, (size_t)(end - p - 1)}};
		return end + 2;
	}
	const char *end = strchr(p, ']');
	assert(end != NULL && end > p);
	const char *eq = memchr(p, '=', (size_t)(end - p));
	if (eq != NULL) {
		assert(eq > p);
		*ret = (struct step){
			.kind = STEP_KEYED, .name = {p, (size_t)(eq - p)}, .value = {eq + 1, (size_t)(end - eq - 1)}};
		return end + 1;
	}
	size_t index = 0;
	for (; p < end; p++) {
		assert(*p >= '0' && *p <= '9' && index < 100000000);
		index = index * 10 + (size_t)(*p - '0');
	}
	*ret = (struct step){.kind = STEP_INDEX, .index = index};
	return end + 1;
}

/* Cut the next step off *@path; false at its end. */
static bool next_step(const char **path, struct step *ret)
{
	const char *p = *path;
	if (*p == '\0')
		return false;
	if (*p == '[') {
		p = bracket_step(p + 1, ret);
	} else {
		const size_t n = strcspn(p, ".[");
		assert(n > 0);
		*ret = (struct step){.kind = STEP_MEMBER, .name = {p, n}};
		p += n;
	}
	if (*p == '.') {
		p++;
		assert(*p != '\0' && *p != '.' && *p != '[');
	} else {
		assert(*p == '\0' || *p == '[');
	}
	*path = p;
	return true;
}

static bool item_has(const json_t *item, const struct step *s)
{
	const json_t *v = json_object_getn(item, s->name.p, s->name.n);
	if (json_is_string(v))
		return json_string_length(v) == s->value.n && memcmp(json_string_value(v), s->value.p, s->value.n) == 0;
	if (json_is_integer(v)) {
		char text[24];
		const int n = snprintf(text, sizeof text, "%lld", (long long)json_integer_value(v));
		return (size_t)n == s->value.n && memcmp(text, s->value.p, s->value.n) == 0;
	}
	return false;
}

static size_t keyed_index(const json_t *list, const struct step *s)
{
	for (size_t i = 0; i < json_array_size(list); i++)
		if (item_has(json_array_get(list, i), s))
			return i;
	return SIZE_MAX;
}

static json_t *step_get(const json_t *j, const struct step *s)
{
	switch (s->kind) {
	case STEP_MEMBER:
		return json_object_getn(j, s->name.p, s->name.n);
	case STEP_INDEX:
		return json_array_get(j, s->index);
	case STEP_KEYED:
		return json_array_get(j, keyed_index(j, s));
	}
	return NULL;
}

json_t *json_at(const json_t *j, const char *path)
{
	struct step s;
	while (j != NULL && next_step(&path, &s))
		j = step_get(j, &s);
	return (json_t *)j;
}

const char *json_str(const json_t *j, const char *path, const char *dflt)
{
	const char *s = json_string_value(json_at(j, path));
	return s != NULL ? s : dflt;
}

int64_t json_int(const json_t *j, const char *path, int64_t dflt)
{
	const json_t *v = json_at(j, path);
	if (json_is_integer(v))
		return json_integer_value(v);
	const double d = json_is_real(v) ? json_real_value(v) : 0.5;
	return d >= -0x1p63 && d < 0x1p63 && (double)(int64_t)d == d ? (int64_t)d : dflt;
}

bool json_bool(const json_t *j, const char *path, bool dflt)
{
	const json_t *v = json_at(j, path);
	return json_is_boolean(v) ? json_is_true(v) : dflt;
}

/* Put @value (reference taken) at @s of @j. */
static int step_put(json_t *j, const struct step *s, json_t *value)
{
	if (s->kind == STEP_MEMBER) {
		if (!json_is_object(j)) {
			json_decref(value);
			return -EINVAL;
		}
		return json_object_setn_new(j, s->name.p, s->name.n, value) < 0 ? -ENOMEM : 0;
	}
	const size_t size = json_array_size(j);
	const size_t i = s->kind == STEP_INDEX ? s->index : keyed_index(j, s);
	if (!json_is_array(j) || (s->kind == STEP_INDEX && i > size)) {
		json_decref(value);
		return -EINVAL;
	}
	if (i < size)
		return json_array_set_new(j, i, value) < 0 ? -ENOMEM : 0;
	return json_array_append_new(j, value) < 0 ? -ENOMEM : 0;
}

/* The new container that step @s needs: a list for [..], an object for a member. */
static json_t *container_for(const struct step *s)
{
	return s->kind == STEP_MEMBER ? json_object() : json_array();
}

/* An item {key: value} as [key=value] asks for. */
static json_t *keyed_item(const struct step *s)
{
	JSON_AUTO item = json_object();
	if (item == NULL || json_object_setn_new(item, s->name.p, s->name.n, json_stringn(s->value.p, s->value.n)) < 0)
		return NULL;
	return TAKE(item);
}

/* The container at @s of *@j, made when it is absent or null; @next says which sort. */
static int step_enter(json_t **j, const struct step *s, const struct step *next)
{
	json_t *v = step_get(*j, s);
	if (v == NULL || json_is_null(v)) {
		v = s->kind == STEP_KEYED && next->kind == STEP_MEMBER ? keyed_item(s) : container_for(next);
		if (v == NULL)
			return -ENOMEM;
		const int rc = step_put(*j, s, v); /* the tree owns v now, or it is gone */
		if (rc < 0)
			return rc;
	}
	*j = v;
	return 0;
}

int json_put(json_t *j, const char *path, json_t *value)
{
	if (value == NULL)
		return -ENOMEM;
	struct step s, next;
	const bool any = next_step(&path, &s);
	assert(any);
	while (next_step(&path, &next)) {
		const int rc = step_enter(&j, &s, &next);
		if (rc < 0) {
			json_decref(value);
			return rc;
		}
		s = next;
	}
	return step_put(j, &s, value);
}

int json_put_str(json_t *j, const char *path, const char *value)
{
	return value == NULL ? -EINVAL : json_put(j, path, json_string(value));
}

int json_put_int(json_t *j, const char *path, int64_t value)
{
	return json_put(j, path, json_integer(value));
}

int json_put_bool(json_t *j, const char *path, bool value)
{
	return json_put(j, path, json_boolean(value));
}

void json_drop(json_t *j, const char *path)
{
	struct step s, next;
	const bool any = next_step(&path, &s);
	assert(any);
	while (j != NULL && next_step(&path, &next)) {
		j = step_get(j, &s);
		s = next;
	}
	/* Failing here means absent, which is fine. */
	if (s.kind == STEP_MEMBER)
		(void)json_object_deln(j, s.name.p, s.name.n);
	else
		(void)json_array_remove(j, s.kind == STEP_INDEX ? s.index : keyed_index(j, &s));
}

int json_push(json_t *j, const char *path, json_t *value)
{
	if (value == NULL)
		return -ENOMEM;
	json_t *list = json_at(j, path);
	if (list == NULL || json_is_null(list)) {
		list = json_array();
		const int rc = json_put(j, path, list);
		if (rc < 0) {
			json_decref(value);
			return rc;
		}
	}
	if (!json_is_array(list)) {
		json_decref(value);
		return -EINVAL;
	}
	return json_array_append_new(list, value) < 0 ? -ENOMEM : 0;
}
