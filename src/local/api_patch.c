/* PATCH: JSON Patch, merge patch, strategic merge patch and server-side apply. */
#include <string.h>

#include "api/schema.h"
#include "base/cleanup.h"
#include "base/clock.h"
#include "base/error.h"
#include "local/api_internal.h"
#include "json/apply.h"
#include "json/json.h"
#include "json/patch.h"

#define PATCH_TRIES 5

enum patch_type { PATCH_JSON, PATCH_MERGE, PATCH_STRATEGIC, PATCH_APPLY, PATCH_UNKNOWN };

static enum patch_type patch_type(struct api_request *r)
{
	static const struct {
		const char *name;
		enum patch_type type;
	} known[] = {
		{"application/json-patch+json", PATCH_JSON},
		{"application/merge-patch+json", PATCH_MERGE},
		{"application/strategic-merge-patch+json", PATCH_STRATEGIC},
		{"application/apply-patch+yaml", PATCH_APPLY},
		{"application/apply-patch", PATCH_APPLY},
	};
	const char *type = http_exchange_header(r->x, "content-type");
	size_t n = type != NULL ? strcspn(type, "; ") : 0;
	for (size_t i = 0; i < ARRAY_LEN(known); i++)
		if (strlen(known[i].name) == n && strncasecmp(type, known[i].name, n) == 0)
			return known[i].type;
	return PATCH_UNKNOWN;
}

static int fail_patch(struct api_request *r, int rc, const struct error *err)
{
	if (rc == -ENOMEM)
		return api_fail_memory(r);
	if (rc == -ENOENT)
		return api_fail(r, 422, "Invalid", json_object(),
				"the server rejected our request due to an error in our request");
	return api_fail_bad(r, "error applying patch: %s", err->msg);
}

static int merge(struct api_request *r, enum patch_type type, const json_t *old, const json_t *patch, json_t **ret)
{
	struct error err = {0};
	int rc;
	if (type == PATCH_JSON) {
		rc = json_patch_apply(old, patch, ret, &err);
	} else if (type == PATCH_MERGE) {
		rc = json_merge_patch(old, patch, ret, &err);
	} else {
		struct shape root = schema_shape(r->kind->k->schema);
		rc = json_strategic_merge(old, patch, &root, &schema_shape_ops, ret, &err);
	}
	if (rc < 0)
		return fail_patch(r, rc, &err);
	const struct kube_resource *res = &r->kind->k->resource;
	char version[128];
	if (!json_is_object(*ret) || !json_is_object(json_object_get(*ret, "metadata")) ||
	    strcmp(json_str(*ret, "kind", ""), res->kind) != 0 ||
	    strcmp(json_str(*ret, "apiVersion", ""), kube_api_version(res, version)) != 0) {
		json_decref(*ret);
		*ret = NULL;
		return api_fail_bad(r, "a patch may not change apiVersion, kind or remove metadata");
	}
	return 0;
}

/** One try: -ESTALE when somebody else was faster. */
static int patch_once(struct api_request *r, enum patch_type type, const json_t *patch, json_t **ret)
{
	JSON_AUTO old = NULL;
	JSON_AUTO obj = NULL;
	int64_t revision = 0;
	int rc = api_load(r, r->name, &old, &revision);
	if (rc == 0)
		rc = merge(r, type, old, patch, &obj);
	if (rc == 0)
		rc = api_body_prune(r, obj);
	return rc < 0 ? rc : api_replace_object(r, old, revision, obj, false, ret);
}

/* ---- apply ---- */

static int fail_no_manager(struct api_request *r)
{
	return api_fail_option(r, "fieldManager", "FieldValueRequired", "Required value: is required for apply patch");
}

/** The applied configuration must be a whole object of this kind and name. */
static int check_config(struct api_request *r, json_t *config)
{
	const struct kube_resource *res = &r->kind->k->resource;
	char version[128];
	if (!json_is_object(config))
		return api_fail_bad(r, "the applied configuration must be an object");
	if (strcmp(json_str(config, "kind", ""), res->kind) != 0 ||
	    strcmp(json_str(config, "apiVersion", ""), kube_api_version(res, version)) != 0)
		return api_fail_bad(r, "apiVersion and kind of the applied configuration must be %s and %s", version,
				    res->kind);
	if (!json_is_object(json_object_get(config, "metadata")) &&
	    json_object_set_new(config, "metadata", json_object()) < 0)
		return api_fail_memory(r);
	json_t *meta = json_object_get(config, "metadata");
	const char *name = json_str(meta, "name", r->name), *ns = json_str(meta, "namespace", r->ns);
	if (strcmp(name, r->name) != 0)
		return api_fail_bad(r, "the name of the object (%s) does not match the name on the URL (%s)", name,
				    r->name);
	if (strcmp(ns, r->ns) != 0)
		return api_fail_bad(
			r, "the namespace of the provided object does not match the namespace sent on the request");
	if (json_array_size(json_object_get(meta, "managedFields")) > 0)
		return api_fail_bad(r, "metadata.managedFields must be nil");
	(void)json_object_del(meta, "managedFields");
	if (json_object_set_new(meta, "name", json_string(r->name)) < 0)
		return api_fail_memory(r);
	if (!r->kind->custom)
		api_drop_nulls(r->kind->k->schema, config);
	return 0;
}

/** Of what is applied to a subresource only that part counts. */
static void narrow_config(struct api_request *r, json_t *config)
{
	if (strcmp(r->sub, "status") == 0)
		(void)json_object_del(config, "spec");
	else if ((r->kind->k->subresources & SUB_STATUS) != 0)
		(void)json_object_del(config, "status");
}

static int apply_onto(struct api_request *r, const json_t *live, const json_t *config, json_t **ret)
{
	char version[128];
	struct shape root = schema_shape(r->kind->k->schema);
	struct apply_options o = {
		.manager = r->manager,
		.api_version = kube_api_version(&r->kind->k->resource, version),
		.subresource = r->sub,
		.force = r->force,
		.now_wall_ns = clock_wall_ns(),
		.root = &root,
		.ops = &schema_shape_ops,
		.ignore = api_ignored_fields(r),
	};
	JSON_AUTO causes = NULL;
	struct error err = {0};
	int rc = apply_merge(live, config, &o, ret, &causes, &err);
	if (rc == -EEXIST) {
		CLEANUP(free_p) char *text = apply_conflict_message(causes);
		return api_fail(r, 409, "Conflict", json_pack("{s:O}", "causes", causes), "%s",
				text != NULL ? text : err.msg);
	}
	if (rc == -ENOMEM)
		return api_fail_memory(r);
	return rc < 0 ? api_fail_bad(r, "failed to apply: %s", err.msg) : 0;
}

static int apply_create(struct api_request *r, const json_t *config, json_t **ret)
{
	if (r->sub[0] != '\0')
		return api_fail_not_found(r, r->name);
	if (api_authorize(r, "create") < 0)
		return API_FAILED;
	if (json_str(config, "metadata.uid", "")[0] != '\0')
		return api_fail(r, 409, "Conflict", api_details(r, r->name),
				"Operation cannot be fulfilled on %s \"%s\": uid mismatch: the provided object "
				"specified uid %s, and no existing object was"
				" found",
				api_resource_name(r), r->name, json_str(config, "metadata.uid", ""));
	JSON_AUTO obj = NULL;
	int rc = apply_onto(r, NULL, config, &obj);
	if (rc < 0)
		return rc;
	/* The merge leaves out what nobody manages: type and name. */
	json_t *meta = json_object_get(obj, "metadata");
	if (!json_is_object(meta) && json_object_set_new(obj, "metadata", meta = json_object()) < 0)
		return api_fail_memory(r);
	if (json_object_set(obj, "apiVersion", json_object_get(config, "apiVersion")) < 0 ||
	    json_object_set(obj, "kind", json_object_get(config, "kind")) < 0 ||
	    json_object_set_new(meta, "name", json_string(r->name)) < 0)
		return api_fail_memory(r);
	return api_create_object(r, obj, true, ret);
}

static int apply_once(struct api_request *r, const json_t *config, bool *ret_created, json_t **ret)
{
	JSON_AUTO old = NULL;
	JSON_AUTO obj = NULL;
	int64_t revision = 0;
	int rc = api_load(r, r->name, &old, &revision);
	*ret_created = rc == API_FAILED && r->status == 404;
	if (*ret_created) {
		rc = apply_create(r, config, ret);
		return rc == API_FAILED && r->status == 409 &&
				       strcmp(json_str(r->failure, "reason", ""), "AlreadyExists") == 0
			       ? -ESTALE
			       : rc;
	}
	if (rc == 0)
		rc = apply_onto(r, old, config, &obj);
	return rc < 0 ? rc : api_replace_object(r, old, revision, obj, true, ret);
}

static int apply_now(struct api_request *r)
{
	if (api_query(r, "fieldManager")[0] == '\0')
		return fail_no_manager(r);
	JSON_AUTO config = NULL;
	int rc = api_body_parse(r, true, &config);
	if (rc == 0)
		rc = check_config(r, config);
	if (rc == 0)
		rc = api_body_prune(r, config);
	if (rc < 0)
		return rc;
	narrow_config(r, config);
	for (int i = 0; i < PATCH_TRIES; i++) {
		JSON_AUTO obj = NULL;
		bool created = false;
		rc = apply_once(r, config, &created, &obj);
		if (rc == 0)
			return api_reply_object(r, created ? 201 : 200, obj);
		if (rc != -ESTALE)
			return rc;
	}
	return api_fail_conflict(r, r->name);
}

static int fail_patch_type(struct api_request *r)
{
	return api_fail(r, 415, "UnsupportedMediaType", json_object(),
			"the body of the request was in an unknown format - accepted media types include: "
			"application/json-patch+json, application/merge-patch+json, %sapplication/apply-patch+yaml",
			r->kind->custom ? "" : "application/strategic-merge-patch+json, ");
}

int api_patch(struct api_request *r)
{
	enum patch_type type = patch_type(r);
	if (type == PATCH_UNKNOWN)
		return fail_patch_type(r);
	if (type == PATCH_STRATEGIC && r->kind->custom)
		return fail_patch_type(r);
	if (type == PATCH_APPLY)
		return apply_now(r);
	if (r->force)
		return api_fail_option(r, "force", "FieldValueForbidden",
				       "Forbidden: may not be specified for non-apply patch");
	JSON_AUTO patch = NULL;
	int rc = api_body_parse(r, false, &patch);
	if (rc == 0 && type == PATCH_JSON && !json_is_array(patch))
		rc = api_fail_bad(r,
				  "error decoding patch: json: cannot unmarshal %s into Go value of type "
				  "[]handlers.jsonPatchOp",
				  json_is_object(patch) ? "object" : "value");
	for (int i = 0; i < PATCH_TRIES && rc == 0; i++) {
		JSON_AUTO obj = NULL;
		rc = patch_once(r, type, patch, &obj);
		if (rc == 0)
			return api_reply_object(r, 200, obj);
		if (rc == -ESTALE)
			rc = 0;
	}
	return rc < 0 ? rc : api_fail_conflict(r, r->name);
}
