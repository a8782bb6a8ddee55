/* Create and update: what every write goes through, from the client's tree to the store. */
#include <string.h>

#include "api/schema.h"
#include "base/cleanup.h"
#include "base/clock.h"
#include "base/error.h"
#include "base/random.h"
#include "base/str.h"
#include "local/api_admission.h"
#include "local/api_convert.h"
#include "local/api_internal.h"
#include "local/api_strategy.h"
#include "json/apply.h"
#include "json/json.h"

#define UPDATE_TRIES     5
#define VALIDATION_ARENA (4u << 20)

/* Fields that the server owns: nobody manages them. */
static const char *const ignored_main[] = {
	"apiVersion",
	"kind",
	"metadata.name",
	"metadata.namespace",
	"metadata.uid",
	"metadata.resourceVersion",
	"metadata.generation",
	"metadata.creationTimestamp",
	"metadata.deletionTimestamp",
	"metadata.deletionGracePeriodSeconds",
	"metadata.selfLink",
	"metadata.managedFields",
	"status",
	NULL,
};
static const char *const ignored_whole[] = {
	"apiVersion",
	"kind",
	"metadata.name",
	"metadata.namespace",
	"metadata.uid",
	"metadata.resourceVersion",
	"metadata.generation",
	"metadata.creationTimestamp",
	"metadata.deletionTimestamp",
	"metadata.deletionGracePeriodSeconds",
	"metadata.selfLink",
	"metadata.managedFields",
	NULL,
};
static const char *const ignored_status[] = {"apiVersion", "kind", "metadata", "spec", NULL};

static bool is_status(const struct api_request *r)
{
	return strcmp(r->sub, "status") == 0;
}

const char *const *api_ignored_fields(const struct api_request *r)
{
	if (is_status(r))
		return ignored_status;
	return (r->kind->k->subresources & SUB_STATUS) != 0 ? ignored_main : ignored_whole;
}

/* ---- storing ---- */

/** The object with its type first and the version's place at the beginning of metadata, so that the place can be found. */
static char *storable(json_t *obj, size_t *ret_n, size_t *ret_at)
{
	static const char mark[] = "\"metadata\":{\"resourceVersion\":\"";
	JSON_AUTO top = json_object();
	JSON_AUTO meta = json_pack("{s:s}", "resourceVersion", "");
	json_t *old_meta = json_object_get(obj, "metadata");
	int rc = json_object_set(top, "apiVersion", json_object_get(obj, "apiVersion"));
	rc |= json_object_set(top, "kind", json_object_get(obj, "kind"));
	(void)json_object_del(old_meta, "resourceVersion");
	rc |= json_object_update_missing(meta, old_meta);
	rc |= json_object_set(top, "metadata", meta);
	rc |= json_object_update_missing(top, obj);
	char *text = rc == 0 ? json_to_text(top, ret_n) : NULL;
	char *at = text != NULL ? strstr(text, mark) : NULL; /* neither apiVersion nor kind can hold a quote */
	if (at == NULL) {
		free(text);
		return NULL;
	}
	*ret_at = (size_t)(at - text) + sizeof mark - 1;
	return text;
}

int api_store_object(struct api_server *s, const struct objstore_key *key, json_t *obj, int64_t expect, bool remove,
		     struct error *err)
{
	size_t n = 0, at = 0;
	CLEANUP(free_p) char *text = storable(obj, &n, &at);
	if (text == NULL)
		return error_set(err, -ENOMEM, "out of memory");
	struct objstore_write w = {
		.key = *key, .expect = expect, .remove = remove, .data = text, .n = n, .revision_at = at};
	int64_t revision = 0;
	int rc = objstore_write(s->store, &w, &revision, err);
	return rc < 0 ? rc : api_set_revision(obj, revision);
}

int api_store_request(struct api_request *r, const char *name, json_t *obj, int64_t expect, bool remove)
{
	struct objstore_key key = {r->kind->stored_group, r->plural, r->ns, name};
	struct error err = {0};
	if (api_to_stored(r->kind, obj) < 0)
		return api_fail_memory(r);
	int rc = api_store_object(r->server, &key, obj, expect, remove, &err);
	if (api_from_stored(r->kind, obj) < 0)
		return api_fail_memory(r);
	if (rc == -EEXIST)
		return -EEXIST;
	if (rc == -ENOENT || rc == -ESTALE)
		return -ESTALE; /* gone or changed meanwhile: look again */
	return rc < 0 ? api_fail_internal(r, &err) : 0;
}

static struct apply_options track_options(struct api_request *r, char version[static 128])
{
	return (struct apply_options){
		.manager = r->manager,
		.api_version = kube_api_version(&r->kind->k->resource, version),
		.subresource = r->sub,
		.now_wall_ns = clock_wall_ns(),
		.root = NULL,
		.ops = &schema_shape_ops,
		.ignore = api_ignored_fields(r),
	};
}

/** Ownership of what changed from @old to @obj. Replaces *@obj. */
static int track(struct api_request *r, const json_t *old, json_t **obj)
{
	char version[128];
	struct error err = {0};
	struct shape root = schema_shape(r->kind->k->schema);
	struct apply_options o = track_options(r, version);
	o.root = &root;
	json_t *tracked = NULL;
	int rc = apply_track_update(old, *obj, &o, &tracked, &err);
	if (rc < 0)
		return rc == -EINVAL ? api_fail_bad(r, "metadata.managedFields: %s", err.msg)
				     : api_fail_internal(r, &err);
	json_decref(*obj);
	*obj = tracked;
	return 0;
}

/* ---- checks ---- */

/** Of built-in kinds, and in the metadata of all, a wrong type is a body that cannot be decoded; elsewhere it is an invalid value. */
static int fail_types(struct api_request *r, const struct violations *vs)
{
	const struct kube_resource *res = &r->kind->k->resource;
	for (size_t i = 0; i < vs->n; i++)
		if (strcmp(vs->v[i].reason, "FieldValueTypeInvalid") == 0)
			return api_fail_bad(r, "%s in version \"%s\" cannot be handled as a %s: %s", res->kind,
					    res->version, res->kind, vs->v[i].message);
	return 0;
}

/** The violations that the kind's types show; API_FAILED when the body cannot be decoded at all. */
static int check_types(struct api_request *r, const json_t *obj, struct violations *vs)
{
	if (r->kind->custom)
		schema_validate(&object_meta_schema, json_object_get(obj, "metadata"), "", vs);
	else
		schema_validate(r->kind->k->schema, obj, "", vs);
	const int rc = fail_types(r, vs);
	if (rc == 0 && r->kind->custom) {
		vs->n = 0; /* the rest is said of the whole object */
		schema_validate(r->kind->k->schema, obj, "", vs);
	}
	return rc;
}

/** What may not change: a definition cannot say it, but of kinds of ours it is known. */
static void validate_change(const struct api_request *r, const json_t *old, const json_t *obj, struct violations *vs)
{
	const struct kube_resource *res = &r->kind->k->resource;
	const struct kind *ours = r->kind->custom ? sluice_kind_find(res->group, res->kind) : NULL;
	schema_validate_update(ours != NULL ? ours->schema : r->kind->k->schema, old, obj, "", vs);
}

static int validate(struct api_request *r, const json_t *old, const json_t *obj)
{
	CLEANUP(arena_free) struct arena arena = ARENA_INIT(VALIDATION_ARENA);
	struct violations *vs = calloc(1, sizeof *vs);
	if (vs == NULL)
		return api_fail_memory(r);
	vs->arena = &arena;
	const char *name = json_str(obj, "metadata.name", "");
	int rc = check_types(r, obj, vs);
	if (rc == 0) {
		api_validate_metadata(r, obj, vs);
		if (old != NULL)
			validate_change(r, old, obj, vs);
		api_strategy_validate(r, old, obj, vs);
		if (vs->n > 0)
			rc = api_fail_invalid(r, name, vs);
	}
	free(vs);
	return rc;
}

/** What a definition means can be looked at once its types are right. */
static int prepare_definition(struct api_request *r, json_t *obj, const json_t *old)
{
	CLEANUP(arena_free) struct arena arena = ARENA_INIT(VALIDATION_ARENA);
	struct violations *vs = calloc(1, sizeof *vs);
	if (vs == NULL)
		return api_fail_memory(r);
	vs->arena = &arena;
	const int rc = check_types(r, obj, vs);
	free(vs);
	return rc < 0 ? rc : api_crd_prepare(r, obj, old);
}

static int check_namespace(struct api_request *r, const char *name)
{
	if (!r->kind->k->resource.namespaced)
		return 0;
	JSON_AUTO ns = NULL;
	int rc = api_load_other(r->server, "", "namespaces", "", r->ns, &ns, NULL);
	if (rc == -ENOENT)
		return api_fail(r, 404, "NotFound", json_pack("{s:s, s:s}", "name", r->ns, "kind", "namespaces"),
				"namespaces \"%s\" not found", r->ns);
	if (rc < 0)
		return api_fail_internal(r, &(struct error){.code = rc, .msg = "cannot read the namespace"});
	if (json_at(ns, "metadata.deletionTimestamp") == NULL)
		return 0;
	json_t *details = api_details(r, name);
	json_t *cause =
		json_pack("{s:s, s:o, s:s}", "reason", "NamespaceTerminating", "message",
			  json_sprintf("namespace %s is being terminated", r->ns), "field", "metadata.namespace");
	(void)json_object_set_new(details, "causes", json_pack("[o]", cause));
	return api_fail(r, 403, "Forbidden", details,
			"%s \"%s\" is forbidden: unable to create new content in namespace %s because it is being"
			" terminated",
			api_resource_name(r), name, r->ns);
}

/** A definition that is going takes no new objects, or it would never be gone. */
static int check_definition(struct api_request *r)
{
	if (!r->kind->custom)
		return 0;
	if (json_at(r->kind->crd, "metadata.deletionTimestamp") == NULL)
		return 0;
	return api_fail(r, 405, "MethodNotAllowed", api_details(r, ""),
			"create not allowed while custom resource definition is terminating");
}

/** Name, namespace and what a new object must not have yet. */
static int new_metadata(struct api_request *r, json_t *obj)
{
	static const char *const servers[] = {
		"uid",        "creationTimestamp", "deletionTimestamp", "deletionGracePeriodSeconds",
		"generation", "selfLink"};
	json_t *meta = json_object_get(obj, "metadata");
	const char *ns = json_str(meta, "namespace", ""), *name = json_str(meta, "name", ""),
		   *generate = json_str(meta, "generateName", "");
	if (ns[0] != '\0' && strcmp(ns, r->ns) != 0)
		return api_fail_bad(
			r, "the namespace of the provided object does not match the namespace sent on the request");
	if (json_str(meta, "resourceVersion", "")[0] != '\0')
		return api_fail(r, 500, "", NULL, "resourceVersion should not be set on objects to be created");
	for (size_t i = 0; i < ARRAY_LEN(servers); i++)
		(void)json_object_del(meta, servers[i]);
	int rc = 0;
	if (name[0] == '\0' && generate[0] != '\0') {
		char suffix[6];
		random_suffix(suffix, 5);
		rc |= json_object_set_new(meta, "name", json_sprintf("%.58s%s", generate, suffix));
	}
	if (r->kind->k->resource.namespaced)
		rc |= json_object_set_new(meta, "namespace", json_string(r->ns));
	else
		(void)json_object_del(meta, "namespace");
	char uid[37], now[32];
	random_uuid(uid);
	api_now(now);
	rc |= json_object_set_new(meta, "uid", json_string(uid));
	rc |= json_object_set_new(meta, "creationTimestamp", json_string(now));
	return rc == 0 ? 0 : api_fail_memory(r);
}

static bool has_generation(const struct api_request *r)
{
	static const char *const groups[] = {"apps",   "apiextensions.k8s.io", "batch",
					     "policy", "scheduling.k8s.io",    "admissionregistration.k8s.io"};
	for (size_t i = 0; i < ARRAY_LEN(groups); i++)
		if (strcmp(r->group, groups[i]) == 0)
			return strcmp(r->plural, "controllerrevisions") != 0;
	return r->kind->custom || strcmp(r->plural, "pods") == 0;
}

/** Of metadata nothing is kept empty. */
static void drop_empty(json_t *meta)
{
	static const char *const members[] = {"labels", "annotations", "finalizers", "ownerReferences",
					      "managedFields"};
	for (size_t i = 0; i < ARRAY_LEN(members); i++) {
		json_t *v = json_object_get(meta, members[i]);
		if ((json_is_array(v) && json_array_size(v) == 0) || (json_is_object(v) && json_object_size(v) == 0))
			(void)json_object_del(meta, members[i]);
	}
}

/** Fill in what nobody said. */
static int fill_defaults(struct api_request *r, json_t *obj, const json_t *old)
{
	drop_empty(json_object_get(obj, "metadata"));
	api_drop_nulls(r->kind->k->schema, obj);
	if (schema_default(r->kind->k->schema, obj) < 0 || api_strategy_default(r, obj, old) < 0)
		return api_fail_memory(r);
	return 0;
}

/* ---- create ---- */

/** What the server itself sets and fills in; may be done twice. */
static int complete_new(struct api_request *r, json_t *obj)
{
	if (r->kind->custom && (r->kind->k->subresources & SUB_STATUS) != 0)
		(void)json_object_del(obj, "status");
	if (!r->kind->custom)
		api_drop_nulls(r->kind->k->schema, obj);
	int rc = api_strategy_create(r, obj);
	return rc == 0 ? fill_defaults(r, obj, NULL) : rc;
}

/** Mutating webhooks see the object as it was sent, completed, without what the server gives it at the end. Replaces *@obj. */
static int admit_new(struct api_request *r, json_t **obj, bool generated)
{
	static const char *const servers[] = {"uid", "creationTimestamp", "name"};
	JSON_AUTO held = json_object();
	json_t *meta = json_object_get(*obj, "metadata");
	for (size_t i = 0; i < (generated ? 3 : 2); i++) {
		(void)json_object_set(held, servers[i], json_object_get(meta, servers[i]));
		(void)json_object_del(meta, servers[i]);
	}
	if (r->ns[0] != '\0')
		(void)json_object_set(held, "namespace", json_object_get(meta, "namespace"));
	struct api_change c = {.operation = "CREATE", .name = json_str(meta, "name", ""), .obj = *obj};
	bool changed = false;
	int rc = api_admit_mutating(r, &c, &changed);
	*obj = c.obj;
	if (held == NULL || json_object_update(json_object_get(*obj, "metadata"), held) < 0)
		return api_fail_memory(r);
	return rc == 0 && changed ? complete_new(r, *obj) : rc;
}

static int prepare_new(struct api_request *r, json_t **obj)
{
	bool generated = json_str(*obj, "metadata.name", "")[0] == '\0';
	int rc = new_metadata(r, *obj);
	const char *name = json_str(*obj, "metadata.name", "");
	if (rc == 0)
		rc = check_namespace(r, name);
	if (rc == 0)
		rc = check_definition(r);
	if (rc == 0)
		rc = complete_new(r, *obj);
	if (rc == 0)
		rc = admit_new(r, obj, generated);
	if (rc == 0 && has_generation(r) && json_put_int(*obj, "metadata.generation", 1) < 0)
		rc = api_fail_memory(r);
	if (rc == 0 && strcmp(r->plural, "customresourcedefinitions") == 0)
		rc = prepare_definition(r, *obj, NULL);
	return rc;
}

int api_create_object(struct api_request *r, json_t *given, bool managed, json_t **ret)
{
	JSON_AUTO obj = json_incref(given);
	int rc = prepare_new(r, &obj);
	if (rc == 0)
		rc = validate(r, NULL, obj);
	const char *name = json_str(obj, "metadata.name", "");
	if (rc == 0)
		rc = api_admit_validating(r, &(struct api_change){.operation = "CREATE", .name = name, .obj = obj});
	if (rc == 0 && !managed) {
		json_drop(obj, "metadata.managedFields");
		rc = track(r, NULL, &obj);
	}
	if (rc < 0)
		return rc;
	name = json_str(obj, "metadata.name", "");
	if (r->dry_run) {
		JSON_AUTO there = NULL;
		rc = api_load_other(r->server, r->kind->stored_group, r->plural, r->ns, name, &there, NULL) == 0
			     ? -EEXIST
			     : 0;
	} else {
		rc = api_store_request(r, name, obj, 0, false);
	}
	if (rc == -EEXIST)
		return api_fail_exists(r, name);
	if (rc == 0)
		*ret = TAKE(obj);
	return rc;
}

int api_create(struct api_request *r)
{
	JSON_AUTO obj = NULL;
	JSON_AUTO made = NULL;
	int rc = api_body_object(r, r->kind->k, &obj);
	if (rc == 0)
		rc = api_body_prune(r, obj);
	if (rc == 0)
		rc = api_create_object(r, obj, false, &made);
	return rc < 0 ? rc : api_reply_object(r, 201, made);
}

/* ---- update ---- */

/** Whether an update without a version is taken. */
static bool takes_unconditional(const struct api_request *r)
{
	static const char *const never[] = {"customresourcedefinitions",
					    "leases",
					    "csidrivers",
					    "csinodes",
					    "volumeattachments",
					    "mutatingwebhookconfigurations",
					    "validatingwebhookconfigurations",
					    "poddisruptionbudgets"};
	for (size_t i = 0; i < ARRAY_LEN(never); i++)
		if (strcmp(r->plural, never[i]) == 0)
			return false;
	return !r->kind->custom;
}

static int check_given_version(struct api_request *r, const char *rv)
{
	uint64_t version = 0;
	if (rv[0] != '\0' && str_to_u64(rv, &version) < 0)
		return api_fail(r, 500, "", NULL, "strconv.ParseUint: parsing \"%s\": invalid syntax", rv);
	if (version > 0 || takes_unconditional(r))
		return 0;
	return api_fail_one(r, r->plural, r->group, r->name, "metadata.resourceVersion", "FieldValueInvalid",
			    "Invalid value: 0: must be specified for an update");
}

/** What an update may not touch is as it was. */
static int keep_metadata(struct api_request *r, const json_t *old, json_t *obj)
{
	static const char *const kept[] = {"name",
					   "namespace",
					   "uid",
					   "creationTimestamp",
					   "deletionTimestamp",
					   "deletionGracePeriodSeconds",
					   "generation",
					   "generateName"};
	json_t *meta = json_object_get(obj, "metadata"), *before = json_object_get(old, "metadata");
	const char *name = json_str(meta, "name", ""), *ns = json_str(meta, "namespace", ""),
		   *uid = json_str(meta, "uid", "");
	const char *rv = json_str(meta, "resourceVersion", "");
	if (name[0] != '\0' && strcmp(name, r->name) != 0)
		return api_fail_bad(r, "the name of the object (%s) does not match the name on the URL (%s)", name,
				    r->name);
	if (name[0] == '\0')
		return api_fail_bad(
			r, "the name of the object (%s based on URL) was undeterminable: name must be provided",
			r->name);
	if (ns[0] != '\0' && strcmp(ns, r->ns) != 0)
		return api_fail_bad(
			r, "the namespace of the provided object does not match the namespace sent on the request");
	const int rc = check_given_version(r, rv);
	if (rc < 0)
		return rc;
	const bool other_uid = uid[0] != '\0' && strcmp(uid, json_str(before, "uid", "")) != 0;
	if (other_uid && strcmp(r->http->method, "PATCH") == 0) /* only a whole object sent back is a precondition */
		return api_fail_one(r, r->kind->k->resource.kind, r->group, r->name, "metadata.uid",
				    "FieldValueInvalid", "Invalid value: \"%s\": field is immutable", uid);
	if (other_uid)
		return api_fail(r, 409, "Conflict", api_details(r, r->name),
				"Operation cannot be fulfilled on %s \"%s\": StorageError: invalid object, Code: 4, "
				"Precondition failed: UID in"
				" precondition: %s, UID in object meta: %s",
				api_resource_name(r), r->name, uid, json_str(before, "uid", ""));
	if (rv[0] != '\0' && strcmp(rv, "0") != 0 && strcmp(rv, json_str(before, "resourceVersion", "")) != 0)
		return api_fail_conflict(r, r->name);
	const char *end = json_str(meta, "deletionTimestamp", "");
	if (end[0] != '\0' && strcmp(end, json_str(before, "deletionTimestamp", "")) != 0)
		return api_fail_one(r, r->kind->k->resource.kind, r->group, r->name, "metadata.deletionTimestamp",
				    "FieldValueInvalid", "Invalid value: \"%s\": field is immutable", end);
	for (size_t i = 0; i < ARRAY_LEN(kept); i++) {
		json_t *v = json_object_get(before, kept[i]);
		if (v == NULL)
			(void)json_object_del(meta, kept[i]);
		else if (json_object_set(meta, kept[i], v) < 0)
			return api_fail_memory(r);
	}
	return json_object_set(meta, "resourceVersion", json_object_get(before, "resourceVersion")) == 0
		       ? 0
		       : api_fail_memory(r);
}

/** Of a status write only the status counts, of any other write everything but it. Replaces *@obj. */
static int keep_other_half(struct api_request *r, const json_t *old, json_t **obj)
{
	bool separate = (r->kind->k->subresources & SUB_STATUS) != 0;
	if (!is_status(r)) {
		if (!separate)
			return 0;
		json_t *status = json_object_get(old, "status");
		if (status == NULL)
			(void)json_object_del(*obj, "status");
		else if (json_object_set(*obj, "status", status) < 0)
			return api_fail_memory(r);
		return 0;
	}
	json_t *whole = json_deep_copy(old);
	if (whole == NULL)
		return api_fail_memory(r);
	json_t *status = json_object_get(*obj, "status"), *managed = json_at(*obj, "metadata.managedFields");
	if (status == NULL)
		(void)json_object_del(whole, "status");
	else
		(void)json_object_set(whole, "status", status);
	if (managed != NULL)
		(void)json_object_set(json_object_get(whole, "metadata"), "managedFields", managed);
	json_decref(*obj);
	*obj = whole;
	return 0;
}

static bool in_list(const json_t *list, const char *s)
{
	size_t i;
	json_t *item;
	json_array_foreach (list, i, item)
		if (str_same(json_string_value(item), s))
			return true;
	return false;
}

static int check_new_finalizers(struct api_request *r, const json_t *old, const json_t *obj)
{
	if (json_at(old, "metadata.deletionTimestamp") == NULL)
		return 0;
	size_t i;
	json_t *f;
	json_array_foreach (json_at(obj, "metadata.finalizers"), i, f) {
		const char *s = json_string_value(f);
		if (s == NULL || in_list(json_at(old, "metadata.finalizers"), s))
			continue;
		CLEANUP(arena_free) struct arena arena = ARENA_INIT(4096);
		struct violations *vs = calloc(1, sizeof *vs);
		if (vs == NULL)
			return api_fail_memory(r);
		vs->arena = &arena;
		violation_add(vs, "metadata.finalizers", "FieldValueForbidden",
			      "Forbidden: no new finalizers can be added if the object is being deleted, found new "
			      "finalizers []string{\"%s\"}",
			      s);
		int rc = api_fail_invalid(r, r->name, vs);
		free(vs);
		return rc;
	}
	return 0;
}

/** Equality of everything but metadata and status: what generation counts. */
static bool same_spec(const json_t *a, const json_t *b)
{
	JSON_AUTO x = json_copy((json_t *)a);
	JSON_AUTO y = json_copy((json_t *)b);
	static const char *const not_spec[] = {"metadata", "status", "apiVersion"};
	for (size_t i = 0; i < ARRAY_LEN(not_spec); i++) {
		(void)json_object_del(x, not_spec[i]);
		(void)json_object_del(y, not_spec[i]);
	}
	return json_same(x, y);
}

/** Equality of everything but the times in managedFields. */
static bool same_object(const json_t *a, const json_t *b)
{
	JSON_AUTO x = json_deep_copy(a);
	JSON_AUTO y = json_deep_copy(b);
	json_t *const both[] = {x, y};
	for (size_t i = 0; i < ARRAY_LEN(both); i++) {
		size_t k;
		json_t *entry;
		json_array_foreach (json_at(both[i], "metadata.managedFields"), k, entry)
			(void)json_object_del(entry, "time");
	}
	return x != NULL && y != NULL && json_same(x, y);
}

/** Nothing holds the object any more. */
static bool deletion_complete(const struct api_request *r, const json_t *obj)
{
	if (json_at(obj, "metadata.deletionTimestamp") == NULL ||
	    json_array_size(json_at(obj, "metadata.finalizers")) > 0)
		return false;
	if (r->group[0] == '\0' && strcmp(r->plural, "namespaces") == 0 &&
	    json_array_size(json_at(obj, "spec.finalizers")) > 0)
		return false;
	return json_int(obj, "metadata.deletionGracePeriodSeconds", 0) == 0;
}

/** What the server keeps, sets and fills in; may be done twice. */
static int complete_changed(struct api_request *r, const json_t *old, json_t **obj)
{
	int rc = keep_metadata(r, old, *obj);
	if (rc == 0)
		rc = keep_other_half(r, old, obj);
	if (rc == 0)
		rc = check_new_finalizers(r, old, *obj);
	if (rc == 0 && !is_status(r))
		rc = api_strategy_update(r, old, *obj);
	return rc == 0 ? fill_defaults(r, *obj, old) : rc;
}

/** Of a scale, webhooks are told where the Scale is (api_subresource.c). */
static bool is_scale(const struct api_request *r)
{
	return strcmp(r->sub, "scale") == 0;
}

static int admit_changed(struct api_request *r, const json_t *old, json_t **obj)
{
	struct api_change c = {.operation = "UPDATE", .name = r->name, .old = old, .obj = *obj};
	bool changed = false;
	int rc = is_scale(r) ? 0 : api_admit_mutating(r, &c, &changed);
	*obj = c.obj;
	return rc == 0 && changed ? complete_changed(r, old, obj) : rc;
}

static int prepare_changed(struct api_request *r, const json_t *old, json_t **obj)
{
	int rc = complete_changed(r, old, obj);
	if (rc == 0)
		rc = admit_changed(r, old, obj);
	if (rc == 0 && !is_status(r) && strcmp(r->plural, "customresourcedefinitions") == 0)
		rc = prepare_definition(r, *obj, old);
	if (rc == 0 && !is_status(r) && has_generation(r) && !same_spec(old, *obj))
		rc = json_put_int(*obj, "metadata.generation", json_int(old, "metadata.generation", 0) + 1) < 0
			     ? api_fail_memory(r)
			     : 0;
	if (rc == 0)
		rc = validate(r, old, *obj);
	if (rc == 0 && !is_scale(r))
		rc = api_admit_validating(
			r, &(struct api_change){.operation = "UPDATE", .name = r->name, .old = old, .obj = *obj});
	return rc;
}

int api_replace_object(struct api_request *r, const json_t *old, int64_t revision, json_t *given, bool managed,
		       json_t **ret)
{
	JSON_AUTO obj = json_incref(given);
	int rc = prepare_changed(r, old, &obj);
	if (rc == 0 && !managed)
		rc = track(r, old, &obj);
	if (rc < 0)
		return rc;
	if (same_object(old, obj)) {
		*ret = json_deep_copy(old);
		return *ret != NULL ? 0 : api_fail_memory(r);
	}
	if (!r->dry_run) {
		rc = api_store_request(r, r->name, obj, revision, deletion_complete(r, obj));
		if (rc < 0)
			return rc;
	}
	*ret = TAKE(obj);
	return 0;
}

int api_remove_object(struct api_request *r, json_t *old, int64_t revision)
{
	return r->dry_run ? 0 : api_store_request(r, json_str(old, "metadata.name", ""), old, revision, true);
}

int api_update(struct api_request *r)
{
	JSON_AUTO obj = NULL;
	int rc = api_body_object(r, r->kind->k, &obj);
	if (rc == 0)
		rc = api_body_prune(r, obj);
	if (rc < 0)
		return rc;
	for (int i = 0; i < UPDATE_TRIES; i++) {
		JSON_AUTO old = NULL;
		JSON_AUTO now = NULL;
		JSON_AUTO copy = json_deep_copy(obj);
		int64_t revision = 0;
		rc = api_load(r, r->name, &old, &revision);
		if (rc == 0)
			rc = copy != NULL ? api_replace_object(r, old, revision, copy, false, &now)
					  : api_fail_memory(r);
		if (rc == 0)
			return api_reply_object(r, 200, now);
		if (rc != -ESTALE)
			return rc;
	}
	return api_fail_conflict(r, r->name);
}
