#include "local/api_rbac.h"

#include <string.h>

#include "base/cleanup.h"
#include "base/error.h"
#include "base/str.h"
#include "local/api_internal.h"
#include "json/json.h"

#define RBAC "rbac.authorization.k8s.io"

bool api_user_in(const struct api_user *u, const char *group)
{
	for (const char *const *g = u->groups; *g != NULL; g++)
		if (strcmp(*g, group) == 0)
			return true;
	return false;
}

const char *const *api_user_groups(struct arena *a, const char *name, const char *const *given, size_t n)
{
	static const char account[] = "system:serviceaccount:";
	const char **out = arena_alloc_array(a, n + 4, sizeof *out);
	if (out == NULL)
		return NULL;
	size_t k = 0;
	for (size_t i = 0; i < n; i++)
		out[k++] = given[i];
	const char *ns = str_has_prefix(name, account) ? name + sizeof account - 1 : NULL;
	const char *colon = ns != NULL ? strchr(ns, ':') : NULL;
	if (colon != NULL) {
		CLEANUP(free_p) char *all = str_printf("system:serviceaccounts:%.*s", (int)(colon - ns), ns);
		out[k++] = "system:serviceaccounts";
		out[k] = all != NULL ? arena_strdup(a, all) : NULL;
		if (out[k++] == NULL)
			return NULL;
	}
	if (strcmp(name, "system:anonymous") != 0)
		out[k++] = API_AUTHENTICATED;
	out[k] = NULL;
	return out;
}

/* ---- rules ---- */

static bool holds(const json_t *list, const char *s)
{
	size_t i;
	json_t *v;
	json_array_foreach (list, i, v)
		if (str_same(json_string_value(v), s))
			return true;
	return false;
}

static bool holds_or_all(const json_t *list, const char *s)
{
	return holds(list, "*") || holds(list, s);
}

static bool path_matches(const json_t *urls, const char *path)
{
	size_t i;
	json_t *v;
	json_array_foreach (urls, i, v) {
		const char *s = json_string_value(v);
		size_t n = s != NULL ? strlen(s) : 0;
		if (n > 0 && s[n - 1] == '*' ? strncmp(path, s, n - 1) == 0 : str_same(s, path))
			return true;
	}
	return false;
}

/** "pods/log" is named as such, or by "*" followed by "/log"; "*" is everything. */
static bool resource_matches(const json_t *resources, const struct api_access *a)
{
	if (a->sub[0] == '\0')
		return holds_or_all(resources, a->resource);
	CLEANUP(free_p) char *whole = str_printf("%s/%s", a->resource, a->sub);
	CLEANUP(free_p) char *any = str_printf("*/%s", a->sub);
	return holds(resources, "*") || (whole != NULL && holds(resources, whole)) ||
	       (any != NULL && holds(resources, any));
}

bool api_rules_allow(const json_t *rules, const struct api_access *a)
{
	size_t i;
	json_t *rule;
	json_array_foreach (rules, i, rule) {
		if (!holds_or_all(json_object_get(rule, "verbs"), a->verb))
			continue;
		if (a->path != NULL) {
			if (path_matches(json_object_get(rule, "nonResourceURLs"), a->path))
				return true;
			continue;
		}
		const json_t *names = json_object_get(rule, "resourceNames");
		if (holds_or_all(json_object_get(rule, "apiGroups"), a->group) &&
		    resource_matches(json_object_get(rule, "resources"), a) &&
		    (json_array_size(names) == 0 || (a->name[0] != '\0' && holds(names, a->name))))
			return true;
	}
	return false;
}

/* ---- bindings ---- */

static bool is_subject(const struct api_user *u, const json_t *s, const char *binding_ns)
{
	const char *kind = json_str(s, "kind", ""), *name = json_str(s, "name", "");
	if (strcmp(kind, "User") == 0)
		return strcmp(name, u->name) == 0;
	if (strcmp(kind, "Group") == 0)
		return api_user_in(u, name);
	CLEANUP(free_p)
	char *account = str_printf("system:serviceaccount:%s:%s", json_str(s, "namespace", binding_ns), name);
	return strcmp(kind, "ServiceAccount") == 0 && str_same(account, u->name);
}

struct refs {
	const struct api_user *user;
	json_t *list; /* [kind, name of the role] */
};

static int collect(void *ctx, const struct objstore_item *item)
{
	struct refs *refs = ctx;
	JSON_AUTO binding = NULL;
	if (json_parse(item->data, item->n, &binding, NULL) < 0)
		return -EIO;
	size_t i;
	json_t *s;
	json_array_foreach (json_object_get(binding, "subjects"), i, s)
		if (is_subject(refs->user, s, item->ns))
			return json_array_append_new(refs->list,
						     json_pack("[s, s]", json_str(binding, "roleRef.kind", ""),
							       json_str(binding, "roleRef.name", ""))) == 0
				       ? 0
				       : -ENOMEM;
	return 0;
}

/** Append the rules of the roles that @plural of @ns bind to the user. Roles that are gone give nothing. */
static int add_rules(struct api_server *s, const struct api_user *u, const char *plural, const char *ns, json_t *rules,
		     struct error *err)
{
	JSON_AUTO list = json_array();
	struct refs refs = {u, list};
	struct objstore_range range = {.group = RBAC, .plural = plural, .ns = ns};
	int rc = objstore_list(s->store, &range, collect, &refs, NULL, NULL, err);
	size_t i;
	json_t *ref;
	json_array_foreach (list, i, ref) {
		JSON_AUTO role = NULL;
		bool cluster = strcmp(json_string_value(json_array_get(ref, 0)), "ClusterRole") == 0;
		if (rc == 0)
			rc = api_load_other(s, RBAC, cluster ? "clusterroles" : "roles", cluster ? "" : ns,
					    json_string_value(json_array_get(ref, 1)), &role, NULL);
		if (rc == 0 && json_is_array(json_object_get(role, "rules")) &&
		    json_array_extend(rules, json_object_get(role, "rules")) < 0)
			rc = error_set(err, -ENOMEM, "out of memory");
		if (rc == -ENOENT)
			rc = 0;
	}
	return rc;
}

int api_rbac_rules(struct api_server *s, const struct api_user *u, const char *ns, json_t **ret, struct error *err)
{
	JSON_AUTO rules = json_array();
	int rc = 0;
	if (api_user_in(u, API_MASTERS))
		rc = json_array_append_new(rules, json_pack("{s:[s], s:[s], s:[s]}", "verbs", "*", "apiGroups", "*",
							    "resources", "*")) < 0 ||
				     json_array_append_new(rules, json_pack("{s:[s], s:[s]}", "verbs", "*",
									    "nonResourceURLs", "*")) < 0
			     ? error_set(err, -ENOMEM, "out of memory")
			     : 0;
	if (rc == 0)
		rc = add_rules(s, u, "clusterrolebindings", "", rules, err);
	if (rc == 0 && ns[0] != '\0')
		rc = add_rules(s, u, "rolebindings", ns, rules, err);
	if (rc == 0)
		*ret = TAKE(rules);
	return rc;
}

int api_rbac_allowed(struct api_server *s, const struct api_user *u, const struct api_access *a, bool *ret,
		     struct error *err)
{
	if (api_user_in(u, API_MASTERS)) {
		*ret = true;
		return 0;
	}
	JSON_AUTO rules = NULL;
	int rc = api_rbac_rules(s, u, a->ns, &rules, err);
	if (rc == 0)
		*ret = api_rules_allow(rules, a);
	return rc;
}

/* ---- the first roles ---- */

int api_rbac_bootstrap(struct api_server *s, struct error *err)
{
	static const struct {
		const char *name, *rules, *group; /* who has it */
	} roles[] = {
		{"cluster-admin",
		 "[{\"apiGroups\":[\"*\"],\"resources\":[\"*\"],\"verbs\":[\"*\"]},"
		 "{\"nonResourceURLs\":[\"*\"],\"verbs\":[\"*\"]}]",
		 API_MASTERS},
		{"system:basic-user",
		 "[{\"apiGroups\":[\"authorization.k8s.io\"],\"resources\":[\"selfsubjectaccessreviews\","
		 "\"selfsubjectrulesreviews\"],\"verbs\":[\"create\"]},{\"apiGroups\":[\"authentication.k8s.io\"],"
		 "\"resources\":[\"selfsubjectreviews\"],\"verbs\":[\"create\"]}]",
		 API_AUTHENTICATED},
		{"system:discovery",
		 "[{\"nonResourceURLs\":[\"/api\",\"/api/*\",\"/apis\",\"/apis/*\",\"/healthz\",\"/livez\",\"/"
		 "openapi\","
		 "\"/openapi/*\",\"/readyz\",\"/version\",\"/version/\"],\"verbs\":[\"get\"]}]",
		 API_AUTHENTICATED},
	};
	int rc = 0;
	for (size_t i = 0; i < ARRAY_LEN(roles) && rc == 0; i++) {
		JSON_AUTO role =
			json_pack("{s:s, s:s, s:{s:s, s:{s:s}}, s:o}", "apiVersion", RBAC "/v1", "kind", "ClusterRole",
				  "metadata", "name", roles[i].name, "labels", "kubernetes.io/bootstrapping",
				  "rbac-defaults", "rules", json_loads(roles[i].rules, 0, NULL));
		JSON_AUTO binding =
			json_pack("{s:s, s:s, s:{s:s, s:{s:s}}, s:{s:s, s:s, s:s}, s:[{s:s, s:s, s:s}]}", "apiVersion",
				  RBAC "/v1", "kind", "ClusterRoleBinding", "metadata", "name", roles[i].name, "labels",
				  "kubernetes.io/bootstrapping", "rbac-defaults", "roleRef", "apiGroup", RBAC, "kind",
				  "ClusterRole", "name", roles[i].name, "subjects", "kind", "Group", "apiGroup", RBAC,
				  "name", roles[i].group);
		if (role == NULL || binding == NULL)
			return error_set(err, -ENOMEM, "out of memory");
		rc = api_create_internal(s, RBAC, "clusterroles", "", role, err);
		if (rc == 0)
			rc = api_create_internal(s, RBAC, "clusterrolebindings", "", binding, err);
	}
	return rc;
}
