/* CustomResourceDefinitions: what a server fills in and refuses, and serving them. */
#include <ctype.h>
#include <string.h>

#include "api/schema.h"
#include "base/cleanup.h"
#include "base/error.h"
#include "base/log.h"
#include "base/str.h"
#include "local/api_internal.h"
#include "local/api_names.h"
#include "json/json.h"

#define CLEANUP_FINALIZER "customresourcecleanup.apiextensions.k8s.io"

static int fail_crd(struct api_request *r, const json_t *crd, const char *path, const char *reason, const char *message)
{
	CLEANUP(arena_free) struct arena arena = ARENA_INIT(64u << 10);
	struct violations *vs = calloc(1, sizeof *vs);
	if (vs == NULL)
		return api_fail_memory(r);
	vs->arena = &arena;
	violation_add(vs, path, reason, "%s", message);
	int rc = api_fail_invalid(r, json_str(crd, "metadata.name", ""), vs);
	free(vs);
	return rc;
}

static int default_names(json_t *crd)
{
	json_t *names = json_at(crd, "spec.names");
	const char *kind = json_str(names, "kind", "");
	int rc = 0;
	if (json_str(names, "singular", "")[0] == '\0') {
		CLEANUP(free_p) char *lower = strdup(kind);
		if (lower == NULL)
			return -ENOMEM;
		for (char *p = lower; *p != '\0'; p++)
			*p = (char)tolower((unsigned char)*p);
		rc |= json_put_str(names, "singular", lower);
	}
	if (json_str(names, "listKind", "")[0] == '\0') {
		CLEANUP(free_p) char *list = str_printf("%sList", kind);
		rc |= list != NULL ? json_put_str(names, "listKind", list) : -ENOMEM;
	}
	if (json_at(crd, "spec.conversion") == NULL)
		rc |= json_put(crd, "spec.conversion", json_pack("{s:s}", "strategy", "None"));
	return rc == 0 ? 0 : -ENOMEM;
}

int api_crd_put_condition(json_t *crd, const char *type, bool status, const char *reason, const char *message)
{
	const char *word = status ? "True" : "False";
	char now[32];
	api_now(now);
	json_t *list = json_at(crd, "status.conditions"), *c;
	size_t i;
	json_array_foreach (list, i, c) {
		if (strcmp(json_str(c, "type", ""), type) != 0)
			continue;
		if (strcmp(json_str(c, "status", ""), word) == 0 && strcmp(json_str(c, "reason", ""), reason) == 0)
			return 0; /* it holds since it was set */
		return json_array_set_new(list, i,
					  json_pack("{s:s, s:s, s:s, s:s, s:s}", "type", type, "status", word,
						    "lastTransitionTime", now, "reason", reason, "message", message));
	}
	return json_push(crd, "status.conditions",
			 json_pack("{s:s, s:s, s:s, s:s, s:s}", "type", type, "status", word, "lastTransitionTime", now,
				   "reason", reason, "message", message));
}

/** Established at once, unless a name is taken: the kinds are served before the answer is sent. */
static int fill_status(struct api_request *r, json_t *crd)
{
	if (!json_is_object(json_object_get(crd, "status")) && json_object_set_new(crd, "status", json_object()) < 0)
		return api_fail_memory(r);
	struct error err = {0};
	int rc = api_crd_accept_names(r->server, crd, &err);
	if (rc < 0)
		return api_fail_internal(r, &err);
	size_t i;
	json_t *v;
	json_array_foreach (json_at(crd, "spec.versions"), i, v) {
		if (!json_bool(v, "storage", false))
			continue;
		const char *name = json_str(v, "name", "");
		size_t k;
		json_t *stored;
		bool known = false;
		json_array_foreach (json_at(crd, "status.storedVersions"), k, stored)
			known |= str_same(json_string_value(stored), name);
		if (!known)
			rc |= json_push(crd, "status.storedVersions", json_string(name));
	}
	return rc == 0 ? 0 : api_fail_memory(r);
}

static int check_versions(struct api_request *r, const json_t *crd)
{
	const json_t *versions = json_at(crd, "spec.versions");
	size_t i, storage = 0;
	json_t *v;
	json_array_foreach (versions, i, v) {
		storage += json_bool(v, "storage", false);
		if (!api_name_dns_label_1035(json_str(v, "name", "")))
			return fail_crd(r, crd, "spec.versions[*].name", "FieldValueInvalid",
					"Invalid value: a DNS-1035 label is required");
	}
	if (storage != 1)
		return fail_crd(r, crd, "spec.versions", "FieldValueInvalid",
				"Invalid value: must have exactly one version marked as storage version");
	if (strcmp(json_str(crd, "spec.conversion.strategy", "None"), "None") != 0)
		return fail_crd(r, crd, "spec.conversion.strategy", "FieldValueNotSupported",
				"Unsupported value: \"Webhook\": conversion by webhooks is not served here; supported "
				"values: \"None\"");
	return 0;
}

static int check_names(struct api_request *r, const json_t *crd, const json_t *old)
{
	static const char *const fixed[] = {"spec.group", "spec.scope", "spec.names.plural", "spec.names.kind"};
	const char *plural = json_str(crd, "spec.names.plural", ""), *group = json_str(crd, "spec.group", "");
	if (!api_name_dns_label_1035(plural))
		return fail_crd(r, crd, "spec.names.plural", "FieldValueInvalid",
				"Invalid value: a DNS-1035 label is required");
	if (!api_name_dns_subdomain(group) || strchr(group, '.') == NULL)
		return fail_crd(r, crd, "spec.group", "FieldValueInvalid",
				"Invalid value: should be a domain with at least one dot");
	if (json_str(crd, "spec.names.kind", "")[0] == '\0')
		return fail_crd(r, crd, "spec.names.kind", "FieldValueRequired", "Required value");
	CLEANUP(free_p) char *want = str_printf("%s.%s", plural, group);
	if (want == NULL)
		return api_fail_memory(r);
	if (strcmp(json_str(crd, "metadata.name", ""), want) != 0)
		return fail_crd(r, crd, "metadata.name", "FieldValueInvalid",
				"Invalid value: must be spec.names.plural+\".\"+spec.group");
	CLEANUP(api_kind_unref_p)
	struct api_kind *builtin = api_registry_find(r->server->registry, group, NULL, plural);
	if (builtin != NULL && !builtin->custom)
		return fail_crd(r, crd, "spec.names.plural", "FieldValueInvalid",
				"Invalid value: a built-in kind has this name");
	for (size_t i = 0; old != NULL && i < ARRAY_LEN(fixed); i++)
		if (strcmp(json_str(old, fixed[i], ""), json_str(crd, fixed[i], "")) != 0)
			return fail_crd(r, crd, fixed[i], "FieldValueInvalid", "Invalid value: field is immutable");
	return 0;
}

int api_crd_prepare(struct api_request *r, json_t *crd, const json_t *old)
{
	if (default_names(crd) < 0)
		return api_fail_memory(r);
	int rc = check_names(r, crd, old);
	if (rc == 0)
		rc = check_versions(r, crd);
	if (rc < 0)
		return rc;
	struct error err = {0};
	rc = api_registry_check_crd(crd, &err);
	if (rc == -EINVAL)
		return fail_crd(r, crd, "spec.versions[*].schema.openAPIV3Schema", "FieldValueInvalid", err.msg);
	if (rc < 0)
		return api_fail_internal(r, &err);
	if (old == NULL && json_push(crd, "metadata.finalizers", json_string(CLEANUP_FINALIZER)) < 0)
		return api_fail_memory(r);
	return fill_status(r, crd);
}

void api_crd_changed(struct api_server *s, const json_t *crd, bool removed)
{
	struct error err = {0};
	if (removed)
		api_registry_remove_crd(s->registry, json_str(crd, "spec.group", ""),
					json_str(crd, "spec.names.plural", ""));
	else if (api_crd_established(crd) && api_registry_add_crd(s->registry, crd, &err) < 0)
		LOG(NULL, LOG_LVL_ERROR, "custom kind is not served",
		    LOG_STR("name", json_str(crd, "metadata.name", "")), LOG_STR("err", err.msg));
}

static int load_one(void *ctx, const struct objstore_item *item)
{
	JSON_AUTO crd = NULL;
	if (json_parse(item->data, item->n, &crd, NULL) < 0)
		return -EIO;
	api_crd_changed(ctx, crd, false);
	return 0;
}

int api_crd_load_all(struct api_server *s, struct error *err)
{
	struct objstore_range range = {.group = "apiextensions.k8s.io", .plural = "customresourcedefinitions"};
	return objstore_list(s->store, &range, load_one, s, NULL, NULL, err);
}
