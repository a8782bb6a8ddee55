/* Table and PartialObjectMetadata. */
#include "local/api_table.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/clock.h"
#include "json/json.h"

/** One step of a JSONPath. */
struct step {
	enum { STEP_END, STEP_MEMBER, STEP_INDEX, STEP_ALL, STEP_FILTER, STEP_BAD } kind;
	char name[128], want[256]; /* member; of a filter: member and wanted text */
	size_t index;
};

static const char *copy_until(const char *p, const char *stop, char *out, size_t size)
{
	size_t n = strcspn(p, stop);
	if (n == 0 || n >= size)
		return NULL;
	memcpy(out, p, n);
	out[n] = '\0';
	return p + n;
}

/** [?(@.type=="x")], @p behind "[?(". */
static const char *parse_filter(const char *p, struct step *s)
{
	if (strncmp(p, "@.", 2) != 0 || (p = copy_until(p + 2, "= )]", s->name, sizeof s->name)) == NULL)
		return NULL;
	p += strspn(p, " ");
	if (strncmp(p, "==", 2) != 0)
		return NULL;
	p += 2;
	p += strspn(p, " ");
	char quote[2] = {*p, '\0'};
	if ((*p != '"' && *p != '\'') || (p = copy_until(p + 1, quote, s->want, sizeof s->want)) == NULL ||
	    *p != quote[0])
		return NULL;
	s->kind = STEP_FILTER;
	p++;
	return strncmp(p, ")]", 2) == 0 ? p + 2 : NULL;
}

static const char *parse_bracket(const char *p, struct step *s)
{
	if (strncmp(p, "?(", 2) == 0)
		return parse_filter(p + 2, s);
	if (strncmp(p, "*]", 2) == 0) {
		s->kind = STEP_ALL;
		return p + 2;
	}
	if (*p == '\'' || *p == '"') {
		char quote[2] = {*p, '\0'};
		p = copy_until(p + 1, quote, s->name, sizeof s->name);
		s->kind = STEP_MEMBER;
		return p != NULL && p[0] == quote[0] && p[1] == ']' ? p + 2 : NULL;
	}
	size_t n = strspn(p, "0123456789");
	if (n == 0 || n > 6 || p[n] != ']')
		return NULL;
	s->kind = STEP_INDEX;
	for (size_t i = 0; i < n; i++)
		s->index = s->index * 10 + (size_t)(p[i] - '0');
	return p + n + 1;
}

/** Member names may hold escaped dots: .metadata.labels.app\.kubernetes\.io/name. */
static const char *parse_member(const char *p, struct step *s)
{
	size_t n = 0;
	while (*p != '\0' && *p != '.' && *p != '[') {
		if (p[0] == '\\' && p[1] == '.')
			p++;
		if (n + 1 >= sizeof s->name)
			return NULL;
		s->name[n++] = *p++;
	}
	s->name[n] = '\0';
	s->kind = STEP_MEMBER;
	return n > 0 ? p : NULL;
}

static const char *next_step(const char *p, struct step *s)
{
	memset(s, 0, sizeof *s);
	const char *end = NULL;
	if (*p == '\0')
		return p;
	if (*p == '[')
		end = parse_bracket(p + 1, s);
	else if (*p == '.' && p[1] == '[')
		end = parse_bracket(p + 2, s);
	else if (*p == '.')
		end = parse_member(p + 1, s);
	if (end == NULL)
		s->kind = STEP_BAD;
	return end;
}

bool api_json_path_valid(const char *path)
{
	struct step s;
	if (path[0] != '.' && path[0] != '[')
		return false;
	for (const char *p = path; (p = next_step(p, &s)) != NULL;)
		if (s.kind == STEP_END)
			return true;
	return false;
}

static json_t *filter_items(const json_t *list, const struct step *s)
{
	size_t i;
	json_t *item;
	json_array_foreach (list, i, item) {
		const char *v = json_string_value(json_object_get(item, s->name));
		if (v != NULL && strcmp(v, s->want) == 0)
			return item;
	}
	return NULL;
}

json_t *api_json_path(json_t *obj, const char *path)
{
	struct step s;
	if (path[0] == '\0')
		return NULL;
	for (const char *p = path; obj != NULL && (p = next_step(p, &s)) != NULL;) {
		switch (s.kind) {
		case STEP_END:
			return obj;
		case STEP_MEMBER:
			obj = json_object_get(obj, s.name);
			break;
		case STEP_INDEX:
			obj = json_array_get(obj, s.index);
			break;
		case STEP_ALL:
			obj = json_array_get(obj, 0); /* of many values a column shows the first */
			break;
		case STEP_FILTER:
			obj = filter_items(obj, &s);
			break;
		case STEP_BAD:
		default:
			return NULL;
		}
	}
	return NULL;
}

/** "3d4h" as kubectl abbreviates ages. */
static void human_age(int64_t ns, char out[static 32])
{
	long long s = ns / NSEC_PER_SEC, m = s / 60, h = m / 60, d = h / 24;
	if (s < 0)
		(void)snprintf(out, 32, "%s", s < -1 ? "<invalid>" : "0s");
	else if (s < 120)
		(void)snprintf(out, 32, "%llds", s);
	else if (m < 10)
		(void)(s % 60 != 0 ? snprintf(out, 32, "%lldm%llds", m, s % 60) : snprintf(out, 32, "%lldm", m));
	else if (m < 180)
		(void)snprintf(out, 32, "%lldm", m);
	else if (h < 8)
		(void)(m % 60 != 0 ? snprintf(out, 32, "%lldh%lldm", h, m % 60) : snprintf(out, 32, "%lldh", h));
	else if (h < 48)
		(void)snprintf(out, 32, "%lldh", h);
	else if (h < 192)
		(void)(h % 24 != 0 ? snprintf(out, 32, "%lldd%lldh", d, h % 24) : snprintf(out, 32, "%lldd", d));
	else if (d < 730)
		(void)snprintf(out, 32, "%lldd", d);
	else if (d < 2920)
		(void)(d % 365 != 0 ? snprintf(out, 32, "%lldy%lldd", d / 365, d % 365)
				    : snprintf(out, 32, "%lldy", d / 365));
	else
		(void)snprintf(out, 32, "%lldy", d / 365);
}

static json_t *age_cell(const json_t *at, int64_t now)
{
	int64_t then = 0;
	if (!json_is_string(at) || clock_parse_rfc3339(json_string_value(at), &then) < 0)
		return json_string("<unknown>");
	char text[32];
	human_age(now - then, text);
	return json_string(text);
}

/** A cell by the column's path, in the column's type. */
static json_t *path_cell(const struct column *c, json_t *obj, int64_t now)
{
	json_t *v = api_json_path(obj, c->json_path);
	if (v == NULL || json_is_null(v))
		return json_null();
	if (strcmp(c->type, "date") == 0)
		return age_cell(v, now);
	if (strcmp(c->type, "string") == 0 && !json_is_string(v)) {
		CLEANUP(free_p) char *text = json_to_text(v, NULL);
		return text != NULL ? json_string(text) : NULL;
	}
	return json_incref(v);
}

static json_t *cell(const struct column *c, json_t *obj, int64_t now)
{
	json_t *v = c->render != NULL ? c->render(obj, now) : path_cell(c, obj, now);
	return v != NULL ? v : json_null();
}

static const struct column name_and_age[] = {
	{.name = "Name",
	 .type = "string",
	 .format = "name",
	 .doc = "Name must be unique within a namespace.",
	 .json_path = ".metadata.name"},
	{.name = "Age",
	 .type = "date",
	 .format = "",
	 .doc = "When the object was created.",
	 .json_path = ".metadata.creationTimestamp"},
	{0},
};

/** The columns of @kind; custom kinds do not list Name themselves. */
static const struct column *columns_of(const struct api_kind *kind)
{
	return kind->k->columns != NULL ? kind->k->columns : name_and_age;
}

static bool needs_name(const struct column *c)
{
	for (; c->name != NULL; c++)
		if (c->format != NULL && strcmp(c->format, "name") == 0)
			return false;
	return true;
}

static int add_column(json_t *list, const struct column *c)
{
	return json_array_append_new(list, json_pack("{s:s, s:s, s:s, s:s, s:i}", "name", c->name, "type", c->type,
						     "format", c->format != NULL ? c->format : "", "description",
						     c->doc != NULL ? c->doc : "", "priority", c->priority));
}

json_t *api_table_new(const struct api_kind *kind, bool with_columns)
{
	JSON_AUTO t = json_pack("{s:s, s:s, s:{}, s:[], s:[]}", "kind", "Table", "apiVersion", "meta.k8s.io/v1",
				"metadata", "columnDefinitions", "rows");
	if (t == NULL)
		return NULL;
	json_t *list = json_object_get(t, "columnDefinitions");
	const struct column *c = columns_of(kind);
	if (with_columns && needs_name(c) && add_column(list, &name_and_age[0]) < 0)
		return NULL;
	for (; with_columns && c->name != NULL; c++)
		if (add_column(list, c) < 0)
			return NULL;
	return TAKE(t);
}

int api_table_add(const struct api_kind *kind, json_t *table, json_t *obj, const char *include_object)
{
	int64_t now = clock_wall_ns();
	JSON_AUTO row = json_pack("{s:[]}", "cells");
	json_t *cells = json_object_get(row, "cells");
	const struct column *c = columns_of(kind);
	if (needs_name(c) && json_array_append_new(cells, cell(&name_and_age[0], obj, now)) < 0)
		return -ENOMEM;
	for (; c->name != NULL; c++)
		if (json_array_append_new(cells, cell(c, obj, now)) < 0)
			return -ENOMEM;
	if (strcmp(include_object, "Object") == 0) {
		if (json_object_set(row, "object", obj) < 0)
			return -ENOMEM;
	} else if (strcmp(include_object, "None") != 0) {
		if (json_object_set_new(row, "object", api_partial_metadata(obj)) < 0)
			return -ENOMEM;
	}
	return json_array_append(json_object_get(table, "rows"), row) == 0 ? 0 : -ENOMEM;
}

json_t *api_table_one(const struct api_kind *kind, json_t *obj, const char *include_object)
{
	JSON_AUTO t = api_table_new(kind, true);
	if (t == NULL || api_table_add(kind, t, obj, include_object) < 0)
		return NULL;
	json_t *rv = json_at(obj, "metadata.resourceVersion");
	if (rv != NULL)
		(void)json_object_set(json_object_get(t, "metadata"), "resourceVersion", rv); /* informative only */
	return TAKE(t);
}

json_t *api_partial_metadata(const json_t *obj)
{
	json_t *meta = json_object_get(obj, "metadata");
	return json_pack("{s:s, s:s, s:O}", "kind", "PartialObjectMetadata", "apiVersion", "meta.k8s.io/v1", "metadata",
			 meta);
}
