/* Deletion: preconditions, grace of pods, finalizers, propagation, collections. */
#include <string.h>

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/error.h"
#include "base/str.h"
#include "local/api_admission.h"
#include "local/api_convert.h"
#include "local/api_internal.h"
#include "json/json.h"
#include "json/selector.h"

#define DELETE_TRIES 10

static bool is_kind(const struct api_request *r, const char *group, const char *plural)
{
	return strcmp(r->group, group) == 0 && strcmp(r->plural, plural) == 0;
}

static int check_preconditions(struct api_request *r, const json_t *obj, const json_t *options)
{
	const char *name = json_str(obj, "metadata.name", "");
	const char *uid = json_str(options, "preconditions.uid", ""), *has_uid = json_str(obj, "metadata.uid", "");
	const char *rv = json_str(options, "preconditions.resourceVersion", ""),
		   *has_rv = json_str(obj, "metadata.resourceVersion", "");
	const bool other_uid = uid[0] != '\0' && strcmp(uid, has_uid) != 0;
	if (!other_uid && (rv[0] == '\0' || strcmp(rv, has_rv) == 0))
		return 0;
	const char *kind = r->kind->k->resource.kind;
	json_t *details = api_details(r, name);
	(void)json_object_set_new(details, "kind", json_string(kind));
	if (other_uid)
		return api_fail(
			r, 409, "Conflict", details,
			"Operation cannot be fulfilled on %s%s%s \"%s\": the UID in the precondition (%s) does not "
			"match the UID in record (%s). The object might have been deleted and then recreated",
			kind, r->group[0] != '\0' ? "." : "", r->group, name, uid, has_uid);
	return api_fail(
		r, 409, "Conflict", details,
		"Operation cannot be fulfilled on %s%s%s \"%s\": the ResourceVersion in the precondition (%s) does not "
		"match the ResourceVersion in record (%s). The object might have been modified",
		kind, r->group[0] != '\0' ? "." : "", r->group, name, rv, has_rv);
}

/** The namespaces that every cluster has stay. */
static int check_protected(struct api_request *r, const char *name)
{
	static const char *const kept[] = {"default", "kube-system", "kube-public"};
	for (size_t i = 0; i < ARRAY_LEN(kept) && is_kind(r, "", "namespaces"); i++)
		if (strcmp(kept[i], name) == 0)
			return api_fail(r, 403, "Forbidden", api_details(r, name),
					"namespaces \"%s\" is forbidden: this namespace may not be deleted", name);
	return 0;
}

static bool has_finalizer(const json_t *obj, const char *name)
{
	size_t i;
	json_t *f;
	json_array_foreach (json_at(obj, "metadata.finalizers"), i, f)
		if (str_same(json_string_value(f), name))
			return true;
	return false;
}

static int set_finalizer(json_t *obj, const char *name, bool wanted)
{
	json_t *list = json_at(obj, "metadata.finalizers");
	if (has_finalizer(obj, name) == wanted)
		return 0;
	if (wanted)
		return json_push(obj, "metadata.finalizers", json_string(name));
	for (size_t i = json_array_size(list); i-- > 0;)
		if (str_same(json_string_value(json_array_get(list, i)), name))
			(void)json_array_remove(list, i);
	return 0;
}

/** The garbage collector learns by these finalizers what shall become of dependents. */
static int set_propagation(struct api_request *r, json_t *obj, const json_t *options)
{
	const char *policy = json_str(options, "propagationPolicy", "");
	json_t *orphan = json_object_get(options, "orphanDependents");
	if (policy[0] == '\0' && orphan == NULL)
		return 0;
	if (policy[0] != '\0' && orphan != NULL)
		return api_fail_option(
			r, "propagationPolicy", "FieldValueInvalid",
			"Invalid value: \"%s\": orphanDependents and deletionPropagation cannot be both set", policy);
	if (policy[0] == '\0')
		policy = json_is_true(orphan) ? "Orphan" : "Background";
	bool is_orphan = strcmp(policy, "Orphan") == 0, foreground = strcmp(policy, "Foreground") == 0;
	if (!is_orphan && !foreground && strcmp(policy, "Background") != 0)
		return api_fail_option(r, "propagationPolicy", "FieldValueNotSupported",
				       "Unsupported value: \"%s\": supported values: \"Foreground\", \"Background\", "
				       "\"Orphan\", \"nil\"",
				       policy);
	if (set_finalizer(obj, "orphan", is_orphan) < 0 || set_finalizer(obj, "foregroundDeletion", foreground) < 0)
		return api_fail_memory(r);
	return 0;
}

/** Seconds a pod gets to end; 0 for everything else. */
static int64_t grace_of(const struct api_request *r, const json_t *obj, const json_t *options)
{
	if (!is_kind(r, "", "pods"))
		return 0;
	const char *phase = json_str(obj, "status.phase", "");
	if (json_str(obj, "spec.nodeName", "")[0] == '\0' || strcmp(phase, "Succeeded") == 0 ||
	    strcmp(phase, "Failed") == 0)
		return 0; /* nobody runs it */
	int64_t own = json_int(obj, "spec.terminationGracePeriodSeconds", 30);
	int64_t grace = json_int(options, "gracePeriodSeconds", own);
	return grace < 0 ? 1 : grace;
}

static int mark(struct api_request *r, json_t *obj, int64_t grace)
{
	char at[32];
	clock_format_rfc3339(clock_wall_ns() + grace * NSEC_PER_SEC, at);
	int rc = json_put_str(obj, "metadata.deletionTimestamp", at);
	rc |= json_put_int(obj, "metadata.deletionGracePeriodSeconds", grace);
	int64_t generation = json_int(obj, "metadata.generation", 0);
	if (generation > 0)
		rc |= json_put_int(obj, "metadata.generation", generation + 1);
	if (is_kind(r, "", "namespaces"))
		rc |= json_put_str(obj, "status.phase", "Terminating");
	return rc == 0 ? 0 : api_fail_memory(r);
}

static bool held(const struct api_request *r, const json_t *obj, int64_t grace)
{
	return grace > 0 || json_array_size(json_at(obj, "metadata.finalizers")) > 0 ||
	       (is_kind(r, "", "namespaces") && json_array_size(json_at(obj, "spec.finalizers")) > 0);
}

static int write_marked(struct api_request *r, json_t *obj, int64_t revision)
{
	if (r->dry_run)
		return 0;
	return api_store_request(r, json_str(obj, "metadata.name", ""), obj, revision, false);
}

/** One try: -ESTALE when somebody else was faster. */
static int delete_once(struct api_request *r, const char *name, const json_t *options, json_t **ret)
{
	JSON_AUTO obj = NULL;
	int64_t revision = 0;
	int rc = api_load(r, name, &obj, &revision);
	if (rc == 0)
		rc = check_preconditions(r, obj, options);
	if (rc == 0)
		rc = check_protected(r, name);
	if (rc == 0 && r->sub[0] == '\0') /* of an eviction, webhooks are told as such */
		rc = api_admit(
			r, &(struct api_change){.operation = "DELETE", .name = name, .old = obj, .options = options});
	if (rc < 0)
		return rc;
	JSON_AUTO before = json_deep_copy(obj);
	rc = before != NULL ? set_propagation(r, obj, options) : api_fail_memory(r);
	if (rc < 0)
		return rc;
	int64_t grace = grace_of(r, obj, options);
	if (!held(r, obj, grace)) {
		rc = api_remove_object(r, obj, revision);
		if (rc == 0 && is_kind(r, "", "pods"))
			*ret = TAKE(obj);
		return rc;
	}
	bool deleting = json_at(obj, "metadata.deletionTimestamp") != NULL;
	if (!deleting || grace < json_int(obj, "metadata.deletionGracePeriodSeconds", 0))
		rc = mark(r, obj, grace);
	if (rc == 0 && !json_same(before, obj))
		rc = write_marked(r, obj, revision);
	if (rc == 0)
		*ret = TAKE(obj);
	return rc;
}

int api_delete_object(struct api_request *r, const char *name, const json_t *options, json_t **ret)
{
	for (int i = 0; i < DELETE_TRIES; i++) {
		int rc = delete_once(r, name, options, ret);
		if (rc != -ESTALE)
			return rc;
	}
	return api_fail_conflict(r, name);
}

int api_delete(struct api_request *r)
{
	JSON_AUTO options = NULL;
	JSON_AUTO obj = NULL;
	JSON_AUTO uid = NULL;
	int rc = api_body_delete_options(r, &options);
	if (rc == 0)
		rc = api_load(r, r->name, &uid, NULL);
	if (rc == 0)
		rc = api_delete_object(r, r->name, options, &obj);
	if (rc < 0)
		return rc;
	if (obj != NULL)
		return api_reply_object(r, 200, obj);
	json_t *details = api_details(r, r->name);
	(void)json_object_set(details, "uid", json_at(uid, "metadata.uid"));
	JSON_AUTO status = json_pack("{s:s, s:s, s:{}, s:s, s:o}", "kind", "Status", "apiVersion", "v1", "metadata",
				     "status", "Success", "details", details);
	api_reply_json(r, 200, status);
	return 0;
}

/* ---- collections ---- */

struct names {
	const struct api_kind *kind;
	const struct label_selector *labels;
	const struct field_selector *fields;
	json_t *list; /* the objects as they are */
};

static int collect(void *ctx, const struct objstore_item *item)
{
	struct names *n = ctx;
	JSON_AUTO obj = NULL;
	if (json_parse(item->data, item->n, &obj, NULL) < 0)
		return -EIO;
	if (n->labels != NULL && !label_selector_matches(n->labels, json_at(obj, "metadata.labels")))
		return 0;
	if (api_from_stored(n->kind, obj) < 0)
		return -ENOMEM;
	if (n->fields != NULL && !field_selector_matches(n->fields, obj))
		return 0;
	return json_array_append(n->list, obj) == 0 ? 0 : -ENOMEM;
}

static int delete_each(struct api_request *r, const json_t *list, const json_t *options)
{
	size_t i;
	json_t *entry;
	const char *ns = r->ns;
	int rc = 0;
	json_array_foreach (list, i, entry) {
		JSON_AUTO obj = NULL;
		r->ns = json_str(entry, "metadata.namespace", "");
		rc = api_delete_object(r, json_str(entry, "metadata.name", ""), options, &obj);
		if (rc == API_FAILED && r->status == 404)
			rc = 0; /* somebody else removed it */
		if (rc < 0)
			break;
	}
	r->ns = ns;
	return rc;
}

int api_delete_collection(struct api_request *r)
{
	JSON_AUTO options = NULL;
	int rc = api_body_delete_options(r, &options);
	struct label_selector *labels = NULL;
	struct field_selector *fields = NULL;
	struct error err = {0};
	if (rc == 0 && label_selector_parse(api_query(r, "labelSelector"), &labels, &err) < 0)
		rc = api_fail_bad(r, "%s", err.msg);
	if (rc == 0 && api_query(r, "fieldSelector")[0] != '\0' &&
	    field_selector_parse(api_query(r, "fieldSelector"), &fields, &err) < 0)
		rc = api_fail_bad(r, "%s", err.msg);
	JSON_AUTO list = json_array();
	if (rc == 0) {
		struct objstore_range range = {.group = r->kind->stored_group, .plural = r->plural, .ns = r->ns};
		struct names names = {r->kind, labels, fields, list};
		if (objstore_list(r->server->store, &range, collect, &names, NULL, NULL, &err) < 0)
			rc = api_fail_internal(r, &err);
	}
	label_selector_free(labels);
	field_selector_free(fields);
	if (rc == 0)
		rc = delete_each(r, list, options);
	if (rc < 0)
		return rc;
	const struct kube_resource *res = &r->kind->k->resource;
	char version[128];
	JSON_AUTO answer = json_pack("{s:s, s:s, s:{s:s}, s:O}", "kind", r->kind->k->list_kind, "apiVersion",
				     kube_api_version(res, version), "metadata", "resourceVersion", "", "items", list);
	api_reply_json(r, 200, answer);
	return 0;
}
