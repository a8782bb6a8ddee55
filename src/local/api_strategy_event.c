/* Events of both groups: what the server refuses. */
#include <string.h>

#include "api/schema.h"
#include "base/str.h"
#include "local/api_strategy.h"
#include "json/json.h"

#define REASON_MAX 128
#define NOTE_MAX   1024

static void check_length(const json_t *obj, const char *member, size_t max, struct violations *vs)
{
	if (strlen(json_str(obj, member, "")) > max)
		violation_add(vs, member, "FieldValueInvalid", "Invalid value: \"\": can have at most %zu characters",
			      max);
}

static void require(const json_t *obj, const char *member, struct violations *vs)
{
	if (json_str(obj, member, "")[0] == '\0')
		violation_add(vs, member, "FieldValueRequired", "Required value");
}

/** An event is in the namespace of what it is about; of what has none, in default. */
static void check_namespace(const json_t *obj, const char *about, struct violations *vs)
{
	const char *ns = json_str(obj, "metadata.namespace", ""),
		   *of = json_str(json_object_get(obj, about), "namespace", "");
	bool ok = of[0] == '\0' ? strcmp(ns, "default") == 0 || strcmp(ns, "kube-system") == 0 : strcmp(ns, of) == 0;
	char path[64];
	(void)str_copy(path, sizeof path, about); /* both names are short */
	(void)strncat(path, ".namespace", sizeof path - strlen(path) - 1);
	if (!ok)
		violation_add(vs, path, "FieldValueInvalid", "Invalid value: \"%s\": does not match event.namespace",
			      of);
}

static void core_validate(const json_t *old, const json_t *obj, struct violations *vs)
{
	(void)old;
	check_namespace(obj, "involvedObject", vs);
}

static void event_validate(const json_t *old, const json_t *obj, struct violations *vs)
{
	static const char *const fixed[] = {"regarding",           "related",           "reason", "note",     "type",
					    "reportingController", "reportingInstance", "action", "eventTime"};
	const char *type = json_str(obj, "type", "");
	check_namespace(obj, "regarding", vs);
	if (json_object_get(obj, "eventTime") == NULL && json_object_get(obj, "deprecatedFirstTimestamp") == NULL)
		violation_add(vs, "eventTime", "FieldValueRequired", "Required value");
	for (size_t i = 0; old != NULL && i < ARRAY_LEN(fixed); i++)
		api_check_same(old, obj, fixed[i], vs);
	if (json_object_get(obj, "eventTime") == NULL)
		return; /* one of core's, seen from here */
	require(obj, "reportingController", vs);
	require(obj, "reportingInstance", vs);
	require(obj, "action", vs);
	require(obj, "reason", vs);
	check_length(obj, "reportingInstance", REASON_MAX, vs);
	check_length(obj, "action", REASON_MAX, vs);
	check_length(obj, "reason", REASON_MAX, vs);
	check_length(obj, "note", NOTE_MAX, vs);
	if (strcmp(type, "Normal") != 0 && strcmp(type, "Warning") != 0)
		violation_add(vs, "type", "FieldValueInvalid", "Invalid value: \"\": has invalid value: %s", type);
}

const struct api_strategy api_event_strategies[] = {
	{"", "events", NULL, NULL, NULL, NULL, core_validate},
	{"events.k8s.io", "events", NULL, NULL, NULL, NULL, event_validate},
	{NULL},
};
