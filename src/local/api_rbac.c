#include "local/api_rbac.h"

#include <assert.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/error.h"
#include "base/map.h"
#include "base/str.h"
#include "local/api_internal.h"
#include "local/api_rbac_cache.h"
#include "json/json.h"

bool api_user_in(const struct api_user *u, const char *group)
{
	for (const char *const *g = u->groups; *g != NULL; g++)
		if (strcmp(*g, group) == 0)
			return true;
	return false;
}

static int add_extra(json_t *extra, const char *key, const char *value)
{
	json_t *values = json_object_get(extra, key);
	if (values == NULL && json_object_set_new(extra, key, values = json_array()) < 0)
		return -ENOMEM;
	return json_array_append_new(values, json_string(value));
}

json_t *api_user_info(const struct api_user *u)
{
	JSON_AUTO groups = json_array();
	JSON_AUTO extra = json_object();
	int rc = groups != NULL && extra != NULL ? 0 : -ENOMEM;
	for (const char *const *g = u->groups; rc == 0 && *g != NULL; g++)
		rc = json_array_append_new(groups, json_string(*g));
	for (const char *const *e = u->extra; rc == 0 && e != NULL && *e != NULL; e += 2)
		rc = add_extra(extra, e[0], e[1]);
	JSON_AUTO info = rc == 0 ? json_pack("{s:s, s:O}", "username", u->name, "groups", groups) : NULL;
	if (info != NULL && u->uid[0] != '\0')
		rc = json_object_set_new(info, "uid", json_string(u->uid));
	if (info != NULL && rc == 0 && json_object_size(extra) > 0)
		rc = json_object_set(info, "extra", extra);
	return rc == 0 ? TAKE(info) : NULL;
}

const char *const *api_user_groups(struct arena *a, const char *name, const char *const *given, size_t n)
{
	static const char account[] = "system:serviceaccount:";
	assert(name != NULL);
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

static bool is_bound(const struct api_user *u, const json_t *entry, const char *ns)
{
	size_t i;
	json_t *s;
	json_array_foreach (json_object_get(entry, "subjects"), i, s)
		if (is_subject(u, s, ns))
			return true;
	return false;
}

static void table_unref_p(struct api_rbac_table **t)
{
	(void)api_rbac_table_unref(*t);
}

/** Append the rules that the bindings of @list, those of @ns, give to the user. */
static int add_rules(const json_t *list, const struct api_user *u, const char *ns, json_t *rules)
{
	size_t i;
	json_t *entry;
	json_array_foreach (list, i, entry)
		if (is_bound(u, entry, ns) && json_array_extend(rules, json_object_get(entry, "rules")) < 0)
			return -ENOMEM;
	return 0;
}

static json_t *master_rules(void)
{
	return json_pack("[{s:[s], s:[s], s:[s]}, {s:[s], s:[s]}]", "verbs", "*", "apiGroups", "*", "resources", "*",
			 "verbs", "*", "nonResourceURLs", "*");
}

int api_rbac_rules(struct api_server *s, const struct api_user *u, const char *ns, json_t **ret, struct error *err)
{
	CLEANUP(table_unref_p) struct api_rbac_table *t = NULL;
	int rc = api_rbac_table_get(s, &t, err);
	if (rc < 0)
		return rc;
	JSON_AUTO rules = api_user_in(u, API_MASTERS) ? master_rules() : json_array();
	if (rules == NULL || add_rules(t->cluster, u, "", rules) < 0 ||
	    (ns[0] != '\0' && add_rules(map_get(t->spaces, ns), u, ns, rules) < 0))
		return error_set(err, -ENOMEM, "out of memory");
	*ret = TAKE(rules);
	return 0;
}

static bool list_allows(const json_t *list, const struct api_user *u, const char *ns, const struct api_access *a)
{
	size_t i;
	json_t *entry;
	json_array_foreach (list, i, entry)
		if (is_bound(u, entry, ns) && api_rules_allow(json_object_get(entry, "rules"), a))
			return true;
	return false;
}

int api_rbac_allowed(struct api_server *s, const struct api_user *u, const struct api_access *a, bool *ret,
		     struct error *err)
{
	CLEANUP(table_unref_p) struct api_rbac_table *t = NULL;
	*ret = api_user_in(u, API_MASTERS);
	if (*ret)
		return 0;
	int rc = api_rbac_table_get(s, &t, err);
	if (rc == 0)
		*ret = list_allows(t->cluster, u, "", a) ||
		       (a->ns[0] != '\0' && list_allows(map_get(t->spaces, a->ns), u, a->ns, a));
	return rc;
}
