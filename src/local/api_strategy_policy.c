/* Roles, bindings, disruption budgets and priorities: what the server sets, keeps and refuses. */
#include <string.h>

#include "api/schema.h"
#include "base/cleanup.h"
#include "base/error.h"
#include "base/str.h"
#include "local/api_internal.h"
#include "local/api_strategy.h"
#include "json/json.h"

#define RBAC              "rbac.authorization.k8s.io"
#define USER_PRIORITY_MAX 1000000000

/* ---- roles ---- */

static void require(struct violations *vs, size_t i, const char *member, const char *why)
{
	CLEANUP(free_p) char *path = str_printf("rules[%zu].%s", i, member);
	if (path != NULL)
		violation_add(vs, path, "FieldValueRequired", "Required value: %s", why);
}

static void check_rule(const json_t *rule, size_t i, bool namespaced, struct violations *vs)
{
	bool urls = json_array_size(json_object_get(rule, "nonResourceURLs")) > 0;
	bool resources = json_array_size(json_object_get(rule, "resources")) > 0;
	bool groups = json_array_size(json_object_get(rule, "apiGroups")) > 0;
	bool names = json_array_size(json_object_get(rule, "resourceNames")) > 0;
	CLEANUP(free_p) char *path = str_printf("rules[%zu].nonResourceURLs", i);
	if (json_array_size(json_object_get(rule, "verbs")) == 0)
		require(vs, i, "verbs", "verbs must contain at least one value");
	if (urls && path != NULL && namespaced)
		violation_add(vs, path, "FieldValueInvalid",
			      "Invalid value: namespaced rules cannot apply to non-resource URLs");
	if (urls && path != NULL && (resources || groups || names))
		violation_add(vs, path, "FieldValueInvalid",
			      "Invalid value: rules cannot apply to both regular resources and non-resource URLs");
	if (!urls && !groups)
		require(vs, i, "apiGroups", "resource rules must supply at least one api group");
	if (!urls && !resources)
		require(vs, i, "resources", "resource rules must supply at least one resource");
}

/** Who has rules gathered may get any: only who may do everything asks for that. */
static int check_aggregation(struct api_request *r, const json_t *obj)
{
	if (json_object_get(obj, "aggregationRule") == NULL)
		return 0;
	JSON_AUTO all = json_pack("[{s:[s], s:[s], s:[s]}, {s:[s], s:[s]}]", "verbs", "*", "apiGroups", "*",
				  "resources", "*", "verbs", "*", "nonResourceURLs", "*");
	int rc = all != NULL ? api_check_grant(r, obj, "escalate", r->plural, json_str(obj, "metadata.name", ""), all)
			     : api_fail_memory(r);
	return rc == API_FAILED && r->status == 403
		       ? api_fail(
				 r, 403, "Forbidden", api_details(r, json_str(obj, "metadata.name", "")),
				 "%s \"%s\" is forbidden: must have cluster-admin privileges to use the aggregationRule",
				 api_resource_name(r), json_str(obj, "metadata.name", ""))
		       : rc;
}

static int role_create(struct api_request *r, json_t *obj)
{
	if (check_aggregation(r, obj) < 0)
		return API_FAILED;
	return api_check_grant(r, obj, "escalate", r->plural, json_str(obj, "metadata.name", ""),
			       json_object_get(obj, "rules"));
}

static int role_update(struct api_request *r, const json_t *old, json_t *obj)
{
	const json_t *before = json_object_get(old, "aggregationRule"), *now = json_object_get(obj, "aggregationRule");
	bool same = json_same(json_object_get(old, "rules"), json_object_get(obj, "rules")) &&
		    (now == NULL || (before != NULL && json_same(before, now)));
	return same ? 0 : role_create(r, obj);
}

static void role_validate(const json_t *old, const json_t *obj, struct violations *vs)
{
	(void)old;
	bool namespaced = strcmp(json_str(obj, "kind", ""), "Role") == 0;
	size_t i;
	json_t *rule;
	json_array_foreach (json_object_get(obj, "rules"), i, rule)
		check_rule(rule, i, namespaced, vs);
	const json_t *aggregation = json_object_get(obj, "aggregationRule");
	if (aggregation != NULL && json_array_size(json_object_get(aggregation, "clusterRoleSelectors")) == 0)
		violation_add(
			vs, "aggregationRule.clusterRoleSelectors", "FieldValueRequired",
			"Required value: at least one clusterRoleSelector required if aggregationRule is non-nil");
}

/* ---- bindings ---- */

/** Who binds a role gives away what it allows. */
static int binding_create(struct api_request *r, json_t *obj)
{
	const char *name = json_str(obj, "roleRef.name", "");
	bool cluster = strcmp(json_str(obj, "roleRef.kind", ""), "ClusterRole") == 0;
	const char *plural = cluster ? "clusterroles" : "roles";
	JSON_AUTO role = NULL;
	struct error err = {0};
	int rc = api_load_other(r->server, RBAC, plural, cluster ? "" : r->ns, name, &role, NULL);
	if (rc < 0 && rc != -ENOENT)
		return api_fail_internal(r, &err);
	if (role == NULL) /* what it may become is not known: only who may do everything binds it */
		role = json_pack("{s:[{s:[s], s:[s], s:[s]}]}", "rules", "verbs", "*", "apiGroups", "*", "resources",
				 "*");
	return api_check_grant(r, obj, "bind", plural, name, json_object_get(role, "rules"));
}

static int binding_update(struct api_request *r, const json_t *old, json_t *obj)
{
	bool same = json_same(json_object_get(old, "roleRef"), json_object_get(obj, "roleRef")) &&
		    json_same(json_object_get(old, "subjects"), json_object_get(obj, "subjects"));
	return same ? 0 : binding_create(r, obj);
}

static int binding_fill(json_t *obj, const json_t *old)
{
	(void)old;
	size_t i;
	json_t *s;
	json_array_foreach (json_object_get(obj, "subjects"), i, s) {
		const char *kind = json_str(s, "kind", "");
		bool named = strcmp(kind, "User") == 0 || strcmp(kind, "Group") == 0;
		if (named && json_str(s, "apiGroup", "")[0] == '\0' && json_put_str(s, "apiGroup", RBAC) < 0)
			return -ENOMEM;
	}
	return 0;
}

static void check_subject(const json_t *s, size_t i, struct violations *vs)
{
	const char *kind = json_str(s, "kind", ""), *group = json_str(s, "apiGroup", "");
	bool account = strcmp(kind, "ServiceAccount") == 0;
	bool known = account || strcmp(kind, "User") == 0 || strcmp(kind, "Group") == 0;
	CLEANUP(free_p) char *name = str_printf("subjects[%zu].name", i);
	CLEANUP(free_p) char *ns = str_printf("subjects[%zu].namespace", i);
	CLEANUP(free_p) char *kind_path = str_printf("subjects[%zu].kind", i);
	CLEANUP(free_p) char *group_path = str_printf("subjects[%zu].apiGroup", i);
	if (name == NULL || ns == NULL || kind_path == NULL || group_path == NULL)
		return;
	if (json_str(s, "name", "")[0] == '\0')
		violation_add(vs, name, "FieldValueRequired", "Required value");
	if (!known)
		violation_add(vs, kind_path, "FieldValueNotSupported",
			      "Unsupported value: \"%s\": supported values: \"ServiceAccount\", \"User\", \"Group\"",
			      kind);
	else if (strcmp(group, account ? "" : RBAC) != 0)
		violation_add(vs, group_path, "FieldValueNotSupported",
			      "Unsupported value: \"%s\": supported values: \"%s\"", group, account ? "" : RBAC);
	if (account && json_str(s, "namespace", "")[0] == '\0')
		violation_add(vs, ns, "FieldValueRequired", "Required value");
}

static void binding_validate(const json_t *old, const json_t *obj, struct violations *vs)
{
	const char *group = json_str(obj, "roleRef.apiGroup", ""), *kind = json_str(obj, "roleRef.kind", "");
	bool everywhere = strcmp(json_str(obj, "kind", ""), "ClusterRoleBinding") == 0;
	if (strcmp(group, RBAC) != 0)
		violation_add(vs, "roleRef.apiGroup", "FieldValueNotSupported",
			      "Unsupported value: \"%s\": supported values: \"" RBAC "\"", group);
	if (strcmp(kind, "ClusterRole") != 0 && (everywhere || strcmp(kind, "Role") != 0))
		violation_add(vs, "roleRef.kind", "FieldValueNotSupported",
			      "Unsupported value: \"%s\": supported values: %s\"ClusterRole\"", kind,
			      everywhere ? "" : "\"Role\", ");
	if (json_str(obj, "roleRef.name", "")[0] == '\0')
		violation_add(vs, "roleRef.name", "FieldValueRequired", "Required value");
	size_t i;
	json_t *s;
	json_array_foreach (json_object_get(obj, "subjects"), i, s)
		check_subject(s, i, vs);
	if (old == NULL || json_same(json_object_get(old, "roleRef"), json_object_get(obj, "roleRef")))
		return;
	violation_add(vs, "roleRef", "FieldValueInvalid",
		      "Invalid value: {\"apiGroup\":\"%s\",\"kind\":\"%s\",\"name\":\"%s\"}: cannot change roleRef",
		      group, kind, json_str(obj, "roleRef.name", ""));
}

/* ---- disruption budgets ---- */

static void budget_validate(const json_t *old, const json_t *obj, struct violations *vs)
{
	(void)old;
	static const char *const members[] = {"spec.minAvailable", "spec.maxUnavailable"};
	size_t given = 0;
	for (size_t i = 0; i < ARRAY_LEN(members); i++) {
		const json_t *v = json_at(obj, members[i]);
		given += v != NULL;
		if (json_is_integer(v) && json_integer_value(v) < 0)
			violation_add(vs, members[i], "FieldValueInvalid",
				      "Invalid value: %lld: must be greater than or equal to 0",
				      (long long)json_integer_value(v));
		if (!json_is_string(v))
			continue;
		const char *s = json_string_value(v);
		size_t digits = strspn(s, "0123456789");
		if (digits == 0 || strcmp(s + digits, "%") != 0)
			violation_add(
				vs, members[i], "FieldValueInvalid",
				"Invalid value: \"%s\": a valid percent string must be a numeric string followed "
				"by an ending '%%' (e.g. '1%%',  or '93%%', regex used for validation is '[0-9]+%%')",
				s);
		else if (digits > 3 || (digits == 3 && strcmp(s, "100%") > 0))
			violation_add(vs, members[i], "FieldValueInvalid",
				      "Invalid value: \"%s\": must not be greater than 100%%", s);
	}
	if (given > 1)
		violation_add(vs, "spec", "FieldValueInvalid",
			      "Invalid value: minAvailable and maxUnavailable cannot be both set");
}

/* ---- priorities ---- */

static void priority_validate(const json_t *old, const json_t *obj, struct violations *vs)
{
	const char *name = json_str(obj, "metadata.name", "");
	int64_t value = json_int(obj, "value", 0);
	if (old == NULL && str_has_prefix(name, "system-"))
		violation_add(vs, "metadata.name", "FieldValueForbidden",
			      "Forbidden: priority class names with 'system-' prefix are reserved for system use only");
	if (old == NULL && value > USER_PRIORITY_MAX)
		violation_add(vs, "value", "FieldValueForbidden",
			      "Forbidden: maximum allowed value of a user defined priority is %d", USER_PRIORITY_MAX);
	if (old != NULL && json_int(old, "value", 0) != value)
		violation_add(vs, "value", "FieldValueForbidden", "Forbidden: may not be changed in an update.");
	api_check_same(old, obj, "preemptionPolicy", vs);
}

static int find_default(void *ctx, const struct objstore_item *item)
{
	json_t **best = ctx;
	JSON_AUTO class = NULL;
	if (json_parse(item->data, item->n, &class, NULL) < 0 || !json_bool(class, "globalDefault", false))
		return 0;
	if (*best != NULL && json_int(*best, "value", 0) <= json_int(class, "value", 0))
		return 0; /* of several the lowest counts */
	json_decref(*best);
	*best = TAKE(class);
	return 0;
}

int api_pod_priority(struct api_request *r, json_t *pod)
{
	json_t *spec = json_object_get(pod, "spec");
	const char *name = json_str(spec, "priorityClassName", "");
	JSON_AUTO class = NULL;
	struct error err = {0};
	int rc;
	if (name[0] != '\0') {
		rc = api_load_other(r->server, "scheduling.k8s.io", "priorityclasses", "", name, &class, NULL);
		if (rc == -ENOENT)
			return api_fail(r, 403, "Forbidden", api_details(r, json_str(pod, "metadata.name", "")),
					"pods \"%s\" is forbidden: no PriorityClass with name %s was found",
					json_str(pod, "metadata.name", ""), name);
	} else {
		struct objstore_range range = {.group = "scheduling.k8s.io", .plural = "priorityclasses"};
		rc = objstore_list(r->server->store, &range, find_default, &class, NULL, NULL, &err);
	}
	if (rc < 0)
		return api_fail_internal(r, &err);
	int64_t value = json_int(class, "value", 0);
	const json_t *given = json_object_get(spec, "priority");
	if (given != NULL && json_integer_value(given) != value)
		return api_fail(
			r, 403, "Forbidden", api_details(r, json_str(pod, "metadata.name", "")),
			"pods \"%s\" is forbidden: the integer value of priority (%lld) must not be provided in "
			"pod spec; priority admission controller computed %lld from the given PriorityClass name",
			json_str(pod, "metadata.name", ""), (long long)json_integer_value(given), (long long)value);
	rc = json_put_int(spec, "priority", value);
	if (class != NULL && name[0] == '\0')
		rc |= json_put_str(spec, "priorityClassName", json_str(class, "metadata.name", ""));
	if (json_object_get(spec, "preemptionPolicy") == NULL)
		rc |= json_put_str(spec, "preemptionPolicy",
				   json_str(class, "preemptionPolicy", "PreemptLowerPriority"));
	return rc == 0 ? 0 : api_fail_memory(r);
}

const struct api_strategy api_policy_strategies[] = {
	{RBAC, "clusterroles", NULL, role_create, role_update, NULL, role_validate},
	{RBAC, "roles", NULL, role_create, role_update, NULL, role_validate},
	{RBAC, "clusterrolebindings", NULL, binding_create, binding_update, binding_fill, binding_validate},
	{RBAC, "rolebindings", NULL, binding_create, binding_update, binding_fill, binding_validate},
	{"policy", "poddisruptionbudgets",
	 "{\"disruptionsAllowed\":0,\"currentHealthy\":0,\"desiredHealthy\":0,\"expectedPods\":0}", NULL, NULL, NULL,
	 budget_validate},
	{"scheduling.k8s.io", "priorityclasses", NULL, NULL, NULL, NULL, priority_validate},
	{NULL},
};
