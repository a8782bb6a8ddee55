/* Table and PartialObjectMetadata. */
#include "local/api_table.h"

#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/map.h"
#include "base/strbuf.h"
#include "json/json.h"
#include "json/jsonpath.h"

/*
 * Compiled paths by their text: the same few are used for each row. Definitions come from outside, so their number has a limit; what is
 * beyond it is compiled each time.
 */
#define PATHS_MAX 2000
#define CELL_MAX  (1u << 20)

static pthread_mutex_t paths_lock = PTHREAD_MUTEX_INITIALIZER; /* guards paths */
static struct map *paths;

static void free_path(void *p)
{
	jsonpath_free(p);
}

/** The compiled form of @path; *@ret_own is to be freed after use (NULL: it is kept). NULL when it is none, or on no memory. */
static const struct jsonpath *compiled(const char *path, struct jsonpath **ret_own)
{
	*ret_own = NULL;
	pthread_mutex_lock(&paths_lock);
	struct jsonpath *p = paths != NULL ? map_get(paths, path) : NULL;
	if (p == NULL && jsonpath_parse_path(path, &p, NULL) == 0) {
		if (paths == NULL)
			paths = map_new(free_path);
		if (paths == NULL || map_size(paths) >= PATHS_MAX || map_set(paths, path, p) < 0)
			*ret_own = p;
	}
	pthread_mutex_unlock(&paths_lock);
	return p;
}

bool api_json_path_valid(const char *path)
{
	struct jsonpath *p = NULL;
	const bool valid = path[0] == '.' && jsonpath_parse_path(path, &p, NULL) == 0;
	jsonpath_free(p);
	return valid;
}

json_t *api_json_path(json_t *obj, const char *path)
{
	struct jsonpath *own = NULL;
	JSON_AUTO found = NULL;
	if (path[0] != '.')
		return NULL;
	const struct jsonpath *p = compiled(path, &own);
	if (p == NULL || jsonpath_find(p, obj, &found, NULL) < 0)
		found = NULL;
	json_t *first = json_incref(json_array_get(found, 0));
	jsonpath_free(own);
	return first;
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
	JSON_AUTO v = api_json_path(obj, c->json_path);
	if (v == NULL || json_is_null(v))
		return json_null();
	if (strcmp(c->type, "date") == 0)
		return age_cell(v, now);
	if (strcmp(c->type, "string") == 0 && !json_is_string(v)) {
		CLEANUP(strbuf_clear) struct strbuf text = STRBUF_INIT(CELL_MAX);
		jsonpath_print_value(v, &text);
		return text.failed ? NULL : json_string(text.p);
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

json_t *api_table_row(const struct api_kind *kind, json_t *obj, const char *include_object)
{
	int64_t now = clock_wall_ns();
	JSON_AUTO row = json_pack("{s:[]}", "cells");
	json_t *cells = json_object_get(row, "cells");
	const struct column *c = columns_of(kind);
	if (needs_name(c) && json_array_append_new(cells, cell(&name_and_age[0], obj, now)) < 0)
		return NULL;
	for (; c->name != NULL; c++)
		if (json_array_append_new(cells, cell(c, obj, now)) < 0)
			return NULL;
	if (strcmp(include_object, "Object") == 0) {
		if (json_object_set(row, "object", obj) < 0)
			return NULL;
	} else if (strcmp(include_object, "None") != 0) {
		if (json_object_set_new(row, "object", api_partial_metadata(obj)) < 0)
			return NULL;
	}
	return TAKE(row);
}

int api_table_add(const struct api_kind *kind, json_t *table, json_t *obj, const char *include_object)
{
	json_t *row = api_table_row(kind, obj, include_object);
	return json_array_append_new(json_object_get(table, "rows"), row) == 0 ? 0 : -ENOMEM;
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
