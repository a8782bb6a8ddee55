#include "json/owners.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/error.h"
#include "base/str.h"
#include "json/fieldset.h"
#include "json/json.h"

#define OWNERS_MAX 1000 /* entries taken from a document */
#define ANCIENT    "ancient-changes"

static void owner_clear(struct owner *m)
{
	free(m->name);
	free(m->api_version);
	free(m->subresource);
	free(m->time);
	json_decref(m->set);
	*m = (struct owner){0};
}

void owners_clear(struct owners *ms)
{
	for (size_t i = 0; i < ms->n; i++)
		owner_clear(&ms->m[i]);
	free(ms->m);
	*ms = (struct owners){0};
}

struct owner *owners_find(const struct owners *ms, const char *name, const char *api_version, const char *subresource,
			  bool applied)
{
	for (size_t i = 0; i < ms->n; i++) {
		struct owner *m = &ms->m[i];
		if (m->applied == applied && strcmp(m->name, name) == 0 && strcmp(m->subresource, subresource) == 0 &&
		    (applied || strcmp(m->api_version, api_version) == 0))
			return m;
	}
	return NULL;
}

struct owner *owners_get(struct owners *ms, const char *name, const char *api_version, const char *subresource,
			 bool applied)
{
	struct owner *found = owners_find(ms, name, api_version, subresource, applied);
	if (found != NULL)
		return found;
	if (ms->n == ms->cap) {
		const size_t cap = ms->cap == 0 ? 8 : ms->cap * 2;
		struct owner *bigger = realloc(ms->m, cap * sizeof *bigger);
		if (bigger == NULL)
			return NULL;
		ms->m = bigger;
		ms->cap = cap;
	}
	struct owner m = {.name = strdup(name),
			  .api_version = strdup(api_version),
			  .subresource = strdup(subresource),
			  .applied = applied,
			  .set = json_object()};
	if (m.name == NULL || m.api_version == NULL || m.subresource == NULL || m.set == NULL) {
		owner_clear(&m);
		return NULL;
	}
	ms->m[ms->n] = m;
	return &ms->m[ms->n++];
}

int owner_touch(struct owner *m, int64_t now_wall_ns)
{
	char text[32];
	clock_format_rfc3339(now_wall_ns, text);
	char *copy = strdup(text);
	if (copy == NULL)
		return -ENOMEM;
	free(m->time);
	m->time = copy;
	return 0;
}

int owner_give(struct owner *m, json_t *set)
{
	if (set == NULL)
		return -ENOMEM;
	json_decref(m->set);
	m->set = set;
	return 0;
}

static int decode_entry(struct owners *ms, const json_t *e, struct error *err)
{
	const char *name = json_str(e, "manager", ""), *operation = json_str(e, "operation", ""),
		   *time = json_str(e, "time", NULL);
	if (strcmp(operation, "Apply") != 0 && strcmp(operation, "Update") != 0)
		return error_set(err, -EINVAL, "metadata.managedFields: operation must be Apply or Update");
	if (!str_same(json_str(e, "fieldsType", ""), "FieldsV1"))
		return error_set(err, -EINVAL, "metadata.managedFields: fieldsType must be FieldsV1");
	JSON_AUTO set = NULL;
	const json_t *fields = json_object_get(e, "fieldsV1");
	if (fields != NULL) {
		const int rc = fieldset_decode(fields, &set, err);
		if (rc < 0)
			return error_wrap(err, rc, "metadata.managedFields");
	}
	struct owner *m = owners_get(ms, name, json_str(e, "apiVersion", ""), json_str(e, "subresource", ""),
				     operation[0] == 'A');
	if (m == NULL || (set != NULL && owner_give(m, fieldset_union(m->set, set)) < 0))
		return error_set(err, -ENOMEM, "read managedFields: out of memory");
	if (time != NULL && m->time == NULL && (m->time = strdup(time)) == NULL)
		return error_set(err, -ENOMEM, "read managedFields: out of memory");
	return 0;
}

int owners_decode(const json_t *managed_fields, struct owners *ret, struct error *err)
{
	struct owners ms = {0};
	const size_t n = json_array_size(managed_fields);
	int rc = n > OWNERS_MAX ? error_set(err, -EINVAL, "metadata.managedFields: more than %d entries", OWNERS_MAX)
				: 0;
	for (size_t i = 0; i < n && rc == 0; i++)
		rc = decode_entry(&ms, json_array_get(managed_fields, i), err);
	if (rc < 0)
		owners_clear(&ms);
	else
		*ret = ms;
	return rc;
}

/* RFC 3339 in UTC with seconds sorts as text; no time comes first. */
static int compare_times(const struct owner *a, const struct owner *b)
{
	return strcmp(a->time != NULL ? a->time : "", b->time != NULL ? b->time : "");
}

static int compare_owners(const void *x, const void *y)
{
	const struct owner *a = x, *b = y;
	if (a->applied != b->applied)
		return a->applied ? -1 : 1;
	int c = compare_times(a, b);
	if (c == 0)
		c = strcmp(a->name, b->name);
	if (c == 0)
		c = strcmp(a->api_version, b->api_version);
	return c != 0 ? c : strcmp(a->subresource, b->subresource);
}

static json_t *encode_entry(const struct owner *m)
{
	JSON_AUTO e = json_object();
	if (e == NULL || json_put_str(e, "manager", m->name) < 0 ||
	    json_put_str(e, "operation", m->applied ? "Apply" : "Update") < 0 ||
	    json_put_str(e, "apiVersion", m->api_version) < 0 ||
	    (m->time != NULL && json_put_str(e, "time", m->time) < 0) ||
	    json_put_str(e, "fieldsType", "FieldsV1") < 0 || json_put(e, "fieldsV1", fieldset_encode(m->set)) < 0 ||
	    (m->subresource[0] != '\0' && json_put_str(e, "subresource", m->subresource) < 0))
		return NULL;
	return TAKE(e);
}

json_t *owners_encode(struct owners *ms)
{
	JSON_AUTO out = json_array();
	if (ms->n > 0)
		qsort(ms->m, ms->n, sizeof *ms->m, compare_owners);
	for (size_t i = 0; i < ms->n; i++) {
		if (fieldset_empty(ms->m[i].set))
			continue;
		if (out == NULL || json_array_append_new(out, encode_entry(&ms->m[i])) < 0)
			return NULL;
	}
	return TAKE(out);
}

/* The oldest Update entry that is not the collection itself; NULL when at most the allowed number is there. */
static struct owner *oldest_surplus(struct owners *ms)
{
	struct owner *oldest = NULL;
	size_t updates = 0;
	for (size_t i = 0; i < ms->n; i++) {
		struct owner *m = &ms->m[i];
		if (m->applied || fieldset_empty(m->set))
			continue;
		updates++;
		if (strcmp(m->name, ANCIENT) != 0 && (oldest == NULL || compare_times(m, oldest) < 0))
			oldest = m;
	}
	return updates > OWNERS_MAX_UPDATES ? oldest : NULL;
}

int owners_cap(struct owners *ms)
{
	for (struct owner *m; (m = oldest_surplus(ms)) != NULL;) {
		JSON_AUTO set = TAKE(m->set);
		CLEANUP(free_p) char *time = TAKE(m->time);
		m->set = json_object();
		struct owner *all = m->set != NULL ? owners_get(ms, ANCIENT, m->api_version, "", false) : NULL;
		if (all == NULL || owner_give(all, fieldset_union(all->set, set)) < 0)
			return -ENOMEM;
		if (time != NULL && (all->time == NULL || strcmp(all->time, time) < 0)) {
			free(all->time);
			all->time = TAKE(time);
		}
	}
	return 0;
}
