/* Reviews: questions about who may do what, answered at once and stored nowhere. */
#include <string.h>

#include "base/cleanup.h"
#include "base/error.h"
#include "base/str.h"
#include "local/api_internal.h"
#include "local/api_token.h"
#include "json/json.h"

#define GROUPS_MAX 64

static int fail_spec(struct api_request *r, const char *message)
{
	return api_fail(r, 422, "Invalid", NULL, "%s.%s \"\" is invalid: %s", r->kind->k->resource.kind, r->group,
			message);
}

/** @a points into @spec. */
static int read_access(struct api_request *r, const json_t *spec, struct api_access *a)
{
	const json_t *resource = json_object_get(spec, "resourceAttributes"),
		     *path = json_object_get(spec, "nonResourceAttributes");
	*a = (struct api_access){.verb = json_str(resource != NULL ? resource : path, "verb", ""),
				 .group = json_str(resource, "group", ""),
				 .resource = json_str(resource, "resource", ""),
				 .sub = json_str(resource, "subresource", ""),
				 .ns = json_str(resource, "namespace", ""),
				 .name = json_str(resource, "name", ""),
				 .path = path != NULL ? json_str(path, "path", "") : NULL};
	if ((resource == NULL) == (path == NULL))
		return fail_spec(r, "spec: Invalid value: exactly one of nonResourceAttributes or resourceAttributes "
				    "must be specified");
	return 0;
}

/** Somebody else, as the spec has him. No group is added: the asker knows them all. */
static int read_user(struct api_request *r, const json_t *spec, struct api_user *u, const char *groups[GROUPS_MAX + 1])
{
	const json_t *list = json_object_get(spec, "groups");
	size_t i, n = 0;
	json_t *g;
	*u = (struct api_user){.name = json_str(spec, "user", ""), .uid = "", .groups = groups};
	if (u->name[0] == '\0' && json_array_size(list) == 0)
		return fail_spec(r, "spec.user: Invalid value: \"\": at least one of user or group must be specified");
	if (json_array_size(list) > GROUPS_MAX)
		return fail_spec(r, "spec.groups: Too many: must have at most 64 items");
	json_array_foreach (list, i, g)
		if (json_is_string(g))
			groups[n++] = json_string_value(g);
	groups[n] = NULL;
	return 0;
}

static int review_access(struct api_request *r, const struct api_user *u, const json_t *spec, json_t **ret)
{
	struct api_access a;
	struct error err = {0};
	bool allowed = false;
	int rc = read_access(r, spec, &a);
	if (rc < 0)
		return rc;
	if (r->ns[0] != '\0' && strcmp(r->ns, a.ns) != 0)
		return fail_spec(r, "spec.resourceAttributes.namespace: Invalid value: must match metadata.namespace");
	if (api_rbac_allowed(r->server, u, &a, &allowed, &err) < 0)
		return api_fail_internal(r, &err);
	*ret = json_pack("{s:b}", "allowed", allowed);
	return 0;
}

static int review_own_access(struct api_request *r, const json_t *spec, json_t **ret)
{
	return review_access(r, &r->user, spec, ret);
}

static int review_others_access(struct api_request *r, const json_t *spec, json_t **ret)
{
	const char *groups[GROUPS_MAX + 1];
	struct api_user u;
	int rc = read_user(r, spec, &u, groups);
	return rc < 0 ? rc : review_access(r, &u, spec, ret);
}

static int review_rules(struct api_request *r, const json_t *spec, json_t **ret)
{
	const char *ns = json_str(spec, "namespace", "");
	struct error err = {0};
	JSON_AUTO rules = NULL;
	if (ns[0] == '\0')
		return api_fail_bad(r, "no namespace on request");
	if (api_rbac_rules(r->server, &r->user, ns, &rules, &err) < 0)
		return api_fail_internal(r, &err);
	JSON_AUTO status = json_pack("{s:[], s:[], s:b}", "resourceRules", "nonResourceRules", "incomplete", 0);
	size_t i;
	json_t *rule;
	json_array_foreach (rules, i, rule) {
		bool urls = json_array_size(json_object_get(rule, "nonResourceURLs")) > 0;
		if (json_array_append(json_object_get(status, urls ? "nonResourceRules" : "resourceRules"), rule) < 0)
			return api_fail_memory(r);
	}
	*ret = TAKE(status);
	return 0;
}

static int review_self(struct api_request *r, const json_t *spec, json_t **ret)
{
	(void)spec;
	*ret = json_pack("{s:o}", "userInfo", api_user_info(&r->user));
	return 0;
}

/** Of the audiences asked for those that a good token has. */
static void add_audiences(const json_t *claims, const char *const *asked, size_t n, json_t *status)
{
	json_t *audiences = json_array(), *v;
	size_t i;
	for (size_t k = 0; k < n; k++)
		json_array_foreach (json_object_get(claims, "aud"), i, v)
			if (str_same(json_string_value(v), asked[k]))
				(void)json_array_append_new(audiences, json_string(asked[k]));
	(void)json_object_set_new(status, "audiences", audiences);
}

/** A token that is not good is an answer, no failure. */
static int review_token(struct api_request *r, const json_t *spec, json_t **ret)
{
	const char *audiences[GROUPS_MAX] = {API_TOKEN_ISSUER};
	const json_t *list = json_object_get(spec, "audiences");
	size_t i, n = 0;
	json_t *a;
	if (json_array_size(list) > GROUPS_MAX)
		return fail_spec(r, "spec.audiences: Too many: must have at most 64 items");
	json_array_foreach (list, i, a)
		if (json_is_string(a))
			audiences[n++] = json_string_value(a);
	struct api_user u;
	struct error err = {0};
	int rc = api_token_user(r->server, json_str(spec, "token", ""), audiences, n > 0 ? n : 1, &r->arena, &u, &err);
	if (rc == -EBADMSG) {
		*ret = json_pack("{s:{}, s:s}", "user", "error", err.msg);
		return 0;
	}
	if (rc < 0)
		return api_fail_internal(r, &err);
	*ret = json_pack("{s:b, s:o}", "authenticated", 1, "user", api_user_info(&u));
	JSON_AUTO claims = NULL;
	if (*ret != NULL && api_token_verify(r->server->tokens, json_str(spec, "token", ""), &claims) == 0)
		add_audiences(claims, audiences, n > 0 ? n : 1, *ret);
	return 0;
}

static const struct {
	const char *kind;
	int (*run)(struct api_request *r, const json_t *spec, json_t **ret_status);
} reviews[] = {
	{"SelfSubjectAccessReview", review_own_access},
	{"SubjectAccessReview", review_others_access},
	{"LocalSubjectAccessReview", review_others_access},
	{"SelfSubjectRulesReview", review_rules},
	{"SelfSubjectReview", review_self},
	{"TokenReview", review_token},
};

bool api_is_review(const struct kind *k)
{
	return strcmp(k->resource.group, "authorization.k8s.io") == 0 ||
	       strcmp(k->resource.group, "authentication.k8s.io") == 0;
}

int api_review(struct api_request *r)
{
	JSON_AUTO obj = NULL;
	JSON_AUTO status = NULL;
	int rc = api_body_object(r, r->kind->k, &obj);
	if (rc == 0)
		rc = api_body_prune(r, obj);
	if (rc < 0)
		return rc;
	for (size_t i = 0; i < ARRAY_LEN(reviews); i++) {
		if (strcmp(reviews[i].kind, r->kind->k->resource.kind) != 0)
			continue;
		rc = reviews[i].run(r, json_object_get(obj, "spec"), &status);
		if (rc == 0 && (status == NULL || json_object_set(obj, "status", status) < 0))
			return api_fail_memory(r);
		if (rc == 0)
			api_reply_json(r, 201, obj);
		return rc;
	}
	return api_fail_method(r);
}
