/* What every object has: metadata and its rules, versions, time. */
#include <stdio.h>
#include <string.h>

#include "api/schema.h"
#include "base/cleanup.h"
#include "base/clock.h"
#include "base/str.h"
#include "local/api_internal.h"
#include "local/api_names.h"
#include "json/json.h"

void api_now(char out[static 32])
{
	clock_format_rfc3339(clock_wall_ns(), out);
}

int api_set_revision(json_t *obj, int64_t revision)
{
	json_t *meta = json_object_get(obj, "metadata");
	return json_object_set_new(meta, "resourceVersion", json_sprintf("%lld", (long long)revision)) == 0 ? 0
													    : -ENOMEM;
}

void api_drop_nulls(const struct schema *s, json_t *value)
{
	if (s == NULL || s->type == SCHEMA_ANY)
		return;
	if (json_is_array(value) && s->type == SCHEMA_LIST) {
		size_t i;
		json_t *item;
		json_array_foreach (value, i, item)
			api_drop_nulls(s->items, item);
		return;
	}
	const char *key;
	void *tmp;
	json_t *member;
	json_object_foreach_safe (value, tmp, key, member) {
		const struct field *f = s->type == SCHEMA_OBJECT && s->fields != NULL ? schema_field(s, key) : NULL;
		const struct schema *below = s->type == SCHEMA_MAP ? s->items : f != NULL ? f->schema : NULL;
		if (json_is_null(member) && below != NULL &&
		    (f == NULL ? schema_is_native(s) || s->type == SCHEMA_MAP : !f->nullable))
			(void)json_object_del(value, key);
		else
			api_drop_nulls(below, member);
	}
}

#define LABEL_VALUE_TEXT                                                                                               \
	"a valid label must be an empty string or consist of alphanumeric characters, '-', '_' or '.', and must "      \
	"start and end with an "                                                                                       \
	"alphanumeric character (e.g. 'MyValue',  or 'my_value',  or '12345', regex used for validation is "           \
	"'(([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9])?')"
#define ANNOTATIONS_MAX (256u << 10)

static void validate_labels(const json_t *labels, struct violations *vs)
{
	const char *key;
	json_t *v;
	json_object_foreach ((json_t *)labels, key, v) {
		const char *fault = api_name_qualified_fault(key, false);
		if (fault != NULL)
			violation_add(vs, "metadata.labels", "FieldValueInvalid", "Invalid value: \"%s\": %s", key,
				      fault);
		const char *s = json_string_value(v);
		if (s == NULL)
			continue; /* the schema says so */
		if (strlen(s) > 63)
			violation_add(vs, "metadata.labels", "FieldValueInvalid",
				      "Invalid value: \"%s\": must be no more than 63 characters", s);
		else if (!api_name_label_value(s))
			violation_add(vs, "metadata.labels", "FieldValueInvalid", "Invalid value: \"%s\": %s", s,
				      LABEL_VALUE_TEXT);
	}
}

static void validate_annotations(const json_t *annotations, struct violations *vs)
{
	const char *key;
	json_t *v;
	size_t total = 0;
	json_object_foreach ((json_t *)annotations, key, v) {
		total += strlen(key) + json_string_length(v);
		const char *fault = api_name_qualified_fault(key, true);
		if (fault != NULL)
			violation_add(vs, "metadata.annotations", "FieldValueInvalid", "Invalid value: \"%s\": %s", key,
				      fault);
	}
	if (total > ANNOTATIONS_MAX)
		violation_add(vs, "metadata.annotations", "FieldValueTooLong",
			      "Too long: may not be more than %u bytes", ANNOTATIONS_MAX);
}

/** What the types say of missing members of owners, Kubernetes says in its own way. */
static void drop_missing(struct violations *vs)
{
	size_t kept = 0;
	for (size_t i = 0; i < vs->n; i++)
		if (!str_has_prefix(vs->v[i].path, "metadata.ownerReferences[") ||
		    strcmp(vs->v[i].reason, "FieldValueRequired") != 0)
			vs->v[kept++] = vs->v[i];
	vs->n = kept;
}

static void validate_owners(const json_t *owners, struct violations *vs)
{
	static const struct {
		const char *name, *text;
	} members[] = {{"apiVersion", "version must not be empty"},
		       {"kind", "must not be empty"},
		       {"name", "must not be empty"},
		       {"uid", "must not be empty"}};
	size_t i, controllers = 0;
	json_t *o;
	drop_missing(vs);
	json_array_foreach (owners, i, o) {
		for (size_t k = 0; k < ARRAY_LEN(members); k++) {
			char path[64];
			(void)snprintf(path, sizeof path, "metadata.ownerReferences.%s", members[k].name);
			if (json_str(o, members[k].name, "")[0] == '\0')
				violation_add(vs, path, "FieldValueInvalid", "Invalid value: \"\": %s",
					      members[k].text);
		}
		controllers += json_bool(o, "controller", false);
	}
	if (controllers > 1)
		violation_add(vs, "metadata.ownerReferences", "FieldValueInvalid",
			      "Invalid value: %zu: Only one reference can have Controller set to true", controllers);
}

static bool is_standard_finalizer(const char *s)
{
	return strcmp(s, "orphan") == 0 || strcmp(s, "foregroundDeletion") == 0 || strcmp(s, "kubernetes") == 0;
}

static void validate_finalizers(const json_t *finalizers, bool custom, struct violations *vs)
{
	size_t i;
	json_t *f;
	bool orphan = false, foreground = false;
	json_array_foreach (finalizers, i, f) {
		const char *s = json_string_value(f);
		if (s == NULL)
			continue;
		orphan |= strcmp(s, "orphan") == 0;
		foreground |= strcmp(s, "foregroundDeletion") == 0;
		const char *fault = api_name_qualified_fault(s, false);
		if (fault == NULL && !custom && strchr(s, '/') == NULL && !is_standard_finalizer(s))
			fault = "name is neither a standard finalizer name nor is it fully qualified";
		if (fault != NULL)
			violation_add(vs, "metadata.finalizers", "FieldValueInvalid", "Invalid value: \"%s\": %s", s,
				      fault);
	}
	if (orphan && foreground)
		violation_add(vs, "metadata.finalizers", "FieldValueInvalid",
			      "Invalid value: \"orphan\": finalizer orphan and foregroundDeletion cannot be both set");
}

/** Custom resources and their definitions: a server of its own in Kubernetes, with rules of its own. */
static bool is_of_extensions(const struct api_request *r)
{
	return (r->kind != NULL && r->kind->custom) || strcmp(r->group, "apiextensions.k8s.io") == 0;
}

void api_validate_metadata(const struct api_request *r, const json_t *obj, struct violations *vs)
{
	const char *name = json_str(obj, "metadata.name", "");
	const struct api_name_rule *rule = api_name_rule(r->group, r->plural);
	if (name[0] == '\0')
		violation_add(vs, "metadata.name", "FieldValueRequired",
			      "Required value: name or generateName is required");
	else if (strlen(name) > rule->max)
		violation_add(vs, "metadata.name", "FieldValueInvalid", "Invalid value: \"%s\": %s", name,
			      rule->too_long);
	else if (!rule->valid(name))
		violation_add(vs, "metadata.name", "FieldValueInvalid", "Invalid value: \"%s\": %s", name, rule->text);
	validate_labels(json_at(obj, "metadata.labels"), vs);
	validate_annotations(json_at(obj, "metadata.annotations"), vs);
	validate_owners(json_at(obj, "metadata.ownerReferences"), vs);
	validate_finalizers(json_at(obj, "metadata.finalizers"), is_of_extensions(r), vs);
}
