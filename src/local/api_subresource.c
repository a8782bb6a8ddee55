/* Subresources that are no plain half of their object: scale, binding, finalize. */
#include <string.h>

#include "base/cleanup.h"
#include "base/error.h"
#include "base/str.h"
#include "base/strbuf.h"
#include "local/api_admission.h"
#include "local/api_internal.h"
#include "local/api_table.h"
#include "json/json.h"
#include "json/patch.h"

#define SCALE_TRIES 5

/** A LabelSelector as text, or the text that a custom object keeps. malloc'ed; NULL on no memory. */
static char *selector_text(json_t *sel)
{
	struct strbuf b = STRBUF_INIT(64u << 10);
	char *out = NULL;
	if (json_is_string(sel)) {
		strbuf_adds(&b, json_string_value(sel));
	} else {
		const char *key;
		json_t *v;
		json_object_foreach (json_object_get(sel, "matchLabels"), key, v)
			strbuf_addf(&b, "%s%s=%s", b.n > 0 ? "," : "", key,
				    json_string_value(v) != NULL ? json_string_value(v) : "");
		size_t i;
		json_t *e;
		json_array_foreach (json_object_get(sel, "matchExpressions"), i, e) {
			const char *op = json_str(e, "operator", ""), *k = json_str(e, "key", "");
			if (b.n > 0)
				strbuf_addc(&b, ',');
			if (strcmp(op, "Exists") == 0 || strcmp(op, "DoesNotExist") == 0) {
				strbuf_addf(&b, "%s%s", op[0] == 'D' ? "!" : "", k);
				continue;
			}
			strbuf_addf(&b, "%s %s (", k, strcmp(op, "In") == 0 ? "in" : "notin");
			size_t n;
			json_t *value;
			json_array_foreach (json_object_get(e, "values"), n, value)
				strbuf_addf(&b, "%s%s", n > 0 ? "," : "",
					    json_string_value(value) != NULL ? json_string_value(value) : "");
			strbuf_addc(&b, ')');
		}
	}
	return strbuf_take(&b, &out) == 0 ? out : NULL;
}

json_t *api_scale_of(const struct api_kind *k, json_t *obj)
{
	JSON_AUTO spec = k->k->scale_spec_path != NULL ? api_json_path(obj, k->k->scale_spec_path) : NULL;
	JSON_AUTO status = k->k->scale_status_path != NULL ? api_json_path(obj, k->k->scale_status_path) : NULL;
	JSON_AUTO selector = k->k->scale_selector_path != NULL ? api_json_path(obj, k->k->scale_selector_path) : NULL;
	json_t *meta = json_object_get(obj, "metadata");
	static const char *const kept[] = {"name", "namespace", "uid", "resourceVersion", "creationTimestamp"};
	JSON_AUTO s = json_pack("{s:s, s:s, s:{}, s:{s:I}, s:{s:I}}", "kind", "Scale", "apiVersion", "autoscaling/v1",
				"metadata", "spec", "replicas", json_integer_value(spec), "status", "replicas",
				json_integer_value(status));
	for (size_t i = 0; i < ARRAY_LEN(kept); i++) {
		json_t *v = json_object_get(meta, kept[i]);
		if (v != NULL)
			(void)json_object_set(json_object_get(s, "metadata"), kept[i], v);
	}
	if (selector != NULL) {
		CLEANUP(free_p) char *text = selector_text(selector);
		if (text != NULL && text[0] != '\0')
			(void)json_object_set_new(json_object_get(s, "status"), "selector", json_string(text));
	}
	return TAKE(s);
}

static int scale_patch(struct api_request *r, const json_t *scale, json_t **ret)
{
	const char *type = http_exchange_header(r->x, "content-type");
	JSON_AUTO patch = NULL;
	struct error err = {0};
	int rc = api_body_parse(r, false, &patch);
	if (rc < 0)
		return rc;
	if (type != NULL && str_has_prefix(type, "application/json-patch+json"))
		rc = json_patch_apply(scale, patch, ret, &err);
	else if (type != NULL && (str_has_prefix(type, "application/merge-patch+json") ||
				  str_has_prefix(type, "application/strategic-merge-patch+json")))
		rc = json_merge_patch(scale, patch, ret, &err); /* a Scale has no lists: both mean the same */
	else
		return api_fail(r, 415, "UnsupportedMediaType", json_object(), "415: Unsupported Media Type");
	return rc < 0 ? api_fail_bad(r, "error applying patch: %s", err.msg) : 0;
}

/** A Scale of a body: by a small kind of its own, so that protobuf is read too. */
static int scale_body(struct api_request *r, json_t **ret)
{
	struct kind scale = {.resource = {.group = "autoscaling",
					  .version = "v1",
					  .kind = "Scale",
					  .plural = "scale",
					  .namespaced = true}};
	scale.schema = kubernetes_schema("autoscaling.v1.Scale");
	return api_body_object(r, &scale, ret);
}

static int admit_scale(struct api_request *r, const json_t *old, json_t **scale)
{
	static const struct kube_resource of = {"autoscaling", "v1", "Scale", "scale", true};
	struct api_change c = {.operation = "UPDATE", .name = r->name, .of = &of, .old = old, .obj = *scale};
	int rc = api_admit(r, &c);
	*scale = c.obj;
	return rc;
}

static int wanted_replicas(struct api_request *r, json_t *obj, json_t **ret_scale, int64_t *ret)
{
	JSON_AUTO scale = api_scale_of(r->kind, obj);
	if (scale == NULL)
		return api_fail_memory(r);
	JSON_AUTO now = NULL;
	int rc = strcmp(r->http->method, "PATCH") == 0 ? scale_patch(r, scale, &now) : scale_body(r, &now);
	if (rc == 0)
		rc = admit_scale(r, scale, &now);
	if (rc < 0)
		return rc;
	const char *rv = json_str(now, "metadata.resourceVersion", "");
	if (rv[0] != '\0' && strcmp(rv, json_str(obj, "metadata.resourceVersion", "")) != 0)
		return api_fail_conflict(r, r->name);
	json_t *replicas = json_at(now, "spec.replicas");
	*ret = json_integer_value(replicas);
	if ((replicas != NULL && !json_is_integer(replicas)) || *ret > INT32_MAX)
		return api_fail_bad(
			r,
			"Scale in version \"v1\" cannot be handled as a Scale: spec.replicas: a 32-bit number is wanted");
	if (*ret < 0)
		return api_fail_one(r, "Scale", "autoscaling", r->name, "spec.replicas", "FieldValueInvalid",
				    "Invalid value: %lld: %s", (long long)*ret,
				    r->kind->custom ? "should be a non-negative integer"
						    : "must be greater than or equal to 0");
	*ret_scale = TAKE(now);
	return 0;
}

/** Paths of scale are ".spec.replicas": without the dot they are ours. */
static int put_replicas(struct api_request *r, json_t *obj, int64_t replicas)
{
	return json_put_int(obj, r->kind->k->scale_spec_path + 1, replicas) == 0 ? 0 : api_fail_memory(r);
}

static int scale_once(struct api_request *r, json_t **ret)
{
	JSON_AUTO old = NULL;
	JSON_AUTO scale = NULL;
	JSON_AUTO now = NULL;
	int64_t revision = 0, replicas = 0;
	int rc = api_load(r, r->name, &old, &revision);
	if (rc == 0)
		rc = wanted_replicas(r, old, &scale, &replicas);
	JSON_AUTO obj = rc == 0 ? json_deep_copy(old) : NULL;
	if (rc == 0)
		rc = put_replicas(r, obj, replicas);
	if (rc == 0)
		rc = api_replace_object(r, old, revision, obj, false, &now);
	if (rc == 0 && (*ret = api_scale_of(r->kind, now)) == NULL)
		rc = api_fail_memory(r);
	return rc;
}

int api_scale(struct api_request *r)
{
	if (r->kind->k->scale_spec_path == NULL)
		return api_fail(r, 404, "NotFound", json_object(), "the server could not find the requested resource");
	JSON_AUTO scale = NULL;
	int rc = 0;
	if (strcmp(r->http->method, "GET") == 0) {
		JSON_AUTO obj = NULL;
		rc = api_load(r, r->name, &obj, NULL);
		if (rc == 0)
			scale = api_scale_of(r->kind, obj);
	} else if (strcmp(r->http->method, "PUT") == 0 || strcmp(r->http->method, "PATCH") == 0) {
		for (int i = 0; i < SCALE_TRIES && (i == 0 || rc == -ESTALE); i++)
			rc = scale_once(r, &scale);
		if (rc == -ESTALE)
			return api_fail_conflict(r, r->name);
	} else {
		return api_fail_method(r);
	}
	if (rc < 0)
		return rc;
	api_reply_json(r, 200, scale);
	return 0;
}

/* ---- pods/binding ---- */

static int bind_pod(struct api_request *r, const json_t *binding, json_t *pod)
{
	const char *node = json_str(binding, "target.name", ""), *now_on = json_str(pod, "spec.nodeName", "");
	if (node[0] == '\0')
		return api_fail(r, 422, "Invalid", api_details(r, r->name),
				"Binding \"%s\" is invalid: target.name: Required value", r->name);
	const char *uid = json_str(binding, "metadata.uid", "");
	if (uid[0] != '\0' && strcmp(uid, json_str(pod, "metadata.uid", "")) != 0)
		return api_fail_conflict(r, r->name);
	if (json_at(pod, "metadata.deletionTimestamp") != NULL)
		return api_fail(r, 409, "Conflict", api_details(r, r->name),
				"Operation cannot be fulfilled on pods/binding \"%s\": pod %s is being deleted, cannot "
				"be assigned to a host",
				r->name, r->name);
	if (now_on[0] != '\0')
		return api_fail(r, 409, "Conflict", api_details(r, r->name),
				"Operation cannot be fulfilled on pods/binding \"%s\": pod %s is already assigned to "
				"node \"%s\"",
				r->name, r->name, now_on);
	char now[32];
	api_now(now);
	int rc = json_put_str(pod, "spec.nodeName", node);
	rc |= json_put(pod, "status.conditions[type=PodScheduled]",
		       json_pack("{s:s, s:s, s:n, s:s}", "type", "PodScheduled", "status", "True", "lastProbeTime",
				 "lastTransitionTime", now));
	return rc == 0 ? 0 : api_fail_memory(r);
}

static int admit_binding(struct api_request *r, const struct kube_resource *of, json_t **binding)
{
	struct api_change c = {.operation = "CREATE", .name = r->name, .of = of, .obj = *binding};
	int rc = api_admit(r, &c);
	*binding = c.obj;
	return rc;
}

int api_binding(struct api_request *r)
{
	if (strcmp(r->http->method, "POST") != 0)
		return api_fail_method(r);
	struct kind kind = {
		.resource = {
			.group = "", .version = "v1", .kind = "Binding", .plural = "bindings", .namespaced = true}};
	kind.schema = kubernetes_schema("core.v1.Binding");
	JSON_AUTO binding = NULL;
	int rc = api_body_object(r, &kind, &binding);
	if (rc == 0)
		rc = admit_binding(r, &kind.resource, &binding);
	for (int i = 0; i < SCALE_TRIES && rc == 0; i++) {
		JSON_AUTO pod = NULL;
		int64_t revision = 0;
		rc = api_load(r, r->name, &pod, &revision);
		if (rc == 0)
			rc = bind_pod(r, binding, pod);
		struct objstore_key key = api_request_key(r);
		struct error err = {0};
		if (rc == 0 && !r->dry_run)
			rc = api_store_object(r->server, &key, pod, revision, false, &err);
		if (rc == 0) {
			JSON_AUTO status = api_status_new(201, "", NULL, "");
			api_reply_json(r, 201, status);
			return 0;
		}
		if (rc == -ESTALE || rc == -ENOENT)
			rc = 0;
		else if (rc != API_FAILED)
			return api_fail_internal(r, &err);
	}
	return rc < 0 ? rc : api_fail_conflict(r, r->name);
}

/* ---- namespaces/finalize ---- */

int api_finalize(struct api_request *r)
{
	if (strcmp(r->http->method, "PUT") != 0)
		return api_fail_method(r);
	JSON_AUTO given = NULL;
	int rc = api_body_object(r, r->kind->k, &given);
	for (int i = 0; i < SCALE_TRIES && rc == 0; i++) {
		JSON_AUTO old = NULL;
		JSON_AUTO now = NULL;
		int64_t revision = 0;
		rc = api_load(r, r->name, &old, &revision);
		JSON_AUTO obj = rc == 0 ? json_deep_copy(old) : NULL;
		if (rc == 0) {
			json_t *finalizers = json_at(given, "spec.finalizers");
			rc = json_put(obj, "spec.finalizers",
				      finalizers != NULL ? json_incref(finalizers) : json_array());
			rc = rc < 0 ? api_fail_memory(r) : api_replace_object(r, old, revision, obj, false, &now);
		}
		if (rc == 0)
			return api_reply_object(r, 200, now);
		if (rc == -ESTALE)
			rc = 0;
	}
	return rc < 0 ? rc : api_fail_conflict(r, r->name);
}
