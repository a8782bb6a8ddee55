/* Typed access to the metadata every object has (declared in client.h). */
#include <string.h>

#include "kube/client.h"
#include "json/json.h"

static const json_t *metadata(const json_t *obj)
{
	return json_object_get(obj, "metadata");
}

static const char *metadata_str(const json_t *obj, const char *key)
{
	const char *s = json_string_value(json_object_get(metadata(obj), key));
	return s != NULL ? s : "";
}

const char *obj_name(const json_t *obj)
{
	return metadata_str(obj, "name");
}

const char *obj_namespace(const json_t *obj)
{
	return metadata_str(obj, "namespace");
}

const char *obj_uid(const json_t *obj)
{
	return metadata_str(obj, "uid");
}

const char *obj_resource_version(const json_t *obj)
{
	return metadata_str(obj, "resourceVersion");
}

bool obj_deleting(const json_t *obj)
{
	return metadata_str(obj, "deletionTimestamp")[0] != '\0';
}

const char *obj_label(const json_t *obj, const char *key)
{
	return json_string_value(json_object_get(json_object_get(metadata(obj), "labels"), key));
}

const char *obj_annotation(const json_t *obj, const char *key)
{
	return json_string_value(json_object_get(json_object_get(metadata(obj), "annotations"), key));
}

bool obj_has_finalizer(const json_t *obj, const char *finalizer)
{
	size_t i;
	json_t *f;
	json_array_foreach (json_object_get(metadata(obj), "finalizers"), i, f) {
		const char *s = json_string_value(f);
		if (s != NULL && strcmp(s, finalizer) == 0)
			return true;
	}
	return false;
}

json_t *obj_controller_ref(const json_t *obj)
{
	size_t i;
	json_t *ref;
	json_array_foreach (json_object_get(metadata(obj), "ownerReferences"), i, ref) {
		if (json_is_true(json_object_get(ref, "controller")))
			return ref;
	}
	return NULL;
}

const json_t *obj_job_end(const json_t *job)
{
	size_t i;
	json_t *c;
	json_array_foreach (json_at(job, "status.conditions"), i, c) {
		const char *type = json_str(c, "type", "");
		if ((strcmp(type, "Complete") == 0 || strcmp(type, "Failed") == 0) &&
		    strcmp(json_str(c, "status", ""), "True") == 0)
			return c;
	}
	return NULL;
}
