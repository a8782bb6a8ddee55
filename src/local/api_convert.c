#include "local/api_convert.h"

#include <errno.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/str.h"
#include "local/api_internal.h"

/* Events have two groups and one store: core/v1 is what is stored. */
static const struct {
	const char *core, *events;
} event_members[] = {
	{"involvedObject", "regarding"},
	{"message", "note"},
	{"source", "deprecatedSource"},
	{"firstTimestamp", "deprecatedFirstTimestamp"},
	{"lastTimestamp", "deprecatedLastTimestamp"},
	{"count", "deprecatedCount"},
	{"reportingComponent", "reportingController"},
};

static int rename_member(json_t *obj, const char *from, const char *to)
{
	json_t *v = json_object_get(obj, from);
	if (v == NULL)
		return 0;
	int rc = json_object_set(obj, to, v);
	(void)json_object_del(obj, from);
	return rc;
}

static int convert_event(json_t *obj, bool to_core)
{
	int rc = 0;
	for (size_t i = 0; i < ARRAY_LEN(event_members); i++)
		rc |= to_core ? rename_member(obj, event_members[i].events, event_members[i].core)
			      : rename_member(obj, event_members[i].core, event_members[i].events);
	return rc;
}

static int set_version(json_t *obj, const struct kube_resource *res)
{
	char version[128];
	return json_object_set_new(obj, "apiVersion", json_string(kube_api_version(res, version)));
}

/** Of a kind that two groups serve: events.k8s.io. */
static bool is_alias(const struct api_kind *k)
{
	return strcmp(k->stored_group, k->k->resource.group) != 0;
}

int api_from_stored(const struct api_kind *k, json_t *obj)
{
	if (k->one_version)
		return 0;
	int rc = is_alias(k) ? convert_event(obj, false) : 0;
	rc |= set_version(obj, &k->k->resource);
	return rc == 0 ? 0 : -ENOMEM;
}

int api_to_stored(const struct api_kind *k, json_t *obj)
{
	if (k->one_version)
		return 0;
	struct kube_resource stored = k->k->resource;
	stored.group = k->stored_group;
	stored.version = k->storage_version;
	int rc = is_alias(k) ? convert_event(obj, true) : 0;
	rc |= set_version(obj, &stored);
	return rc == 0 ? 0 : -ENOMEM;
}
