/* The roles that every cluster has, and those that gather the rules of others. */
#include <stdio.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/error.h"
#include "local/api_internal.h"
#include "json/json.h"
#include "json/selector.h"

#define RBAC             "rbac.authorization.k8s.io"
#define AGGREGATE_ROUNDS 8

/* ---- the first roles ---- */

#define READ  "[\"get\",\"list\",\"watch\"]"
#define WRITE "[\"create\",\"delete\",\"deletecollection\",\"patch\",\"update\"]"
#define VIEWED                                                                                                         \
	"{\"apiGroups\":[\"\"],\"resources\":[\"configmaps\",\"endpoints\",\"persistentvolumeclaims\","                \
	"\"persistentvolumeclaims/status\",\"pods\",\"pods/log\",\"pods/status\",\"serviceaccounts\",\"services\","    \
	"\"services/status\",\"events\",\"namespaces\",\"namespaces/status\"],\"verbs\":" READ "},"                    \
	"{\"apiGroups\":[\"apps\"],\"resources\":[\"controllerrevisions\",\"daemonsets\",\"daemonsets/status\","       \
	"\"deployments\",\"deployments/scale\",\"deployments/status\",\"replicasets\",\"replicasets/scale\","          \
	"\"replicasets/status\",\"statefulsets\",\"statefulsets/scale\",\"statefulsets/status\"],\"verbs\":" READ      \
	"},{\"apiGroups\":[\"batch\"],\"resources\":[\"cronjobs\",\"cronjobs/status\",\"jobs\",\"jobs/status\"],"      \
	"\"verbs\":" READ "},{\"apiGroups\":[\"policy\"],\"resources\":[\"poddisruptionbudgets\","                     \
	"\"poddisruptionbudgets/status\"],\"verbs\":" READ "}"
#define EDITED                                                                                                         \
	"{\"apiGroups\":[\"\"],\"resources\":[\"pods/attach\",\"pods/exec\",\"pods/portforward\",\"pods/proxy\","      \
	"\"secrets\",\"services/proxy\"],\"verbs\":" READ "},"                                                         \
	"{\"apiGroups\":[\"\"],\"resources\":[\"serviceaccounts\"],\"verbs\":[\"impersonate\"]},"                      \
	"{\"apiGroups\":[\"\"],\"resources\":[\"pods\",\"pods/attach\",\"pods/exec\",\"pods/portforward\","            \
	"\"pods/proxy\",\"configmaps\",\"events\",\"persistentvolumeclaims\",\"secrets\",\"serviceaccounts\","         \
	"\"services\",\"services/proxy\"],\"verbs\":" WRITE "},"                                                       \
	"{\"apiGroups\":[\"\"],\"resources\":[\"pods/eviction\",\"serviceaccounts/token\"],\"verbs\":[\"create\"]},"   \
	"{\"apiGroups\":[\"apps\"],\"resources\":[\"daemonsets\",\"deployments\",\"deployments/scale\","               \
	"\"replicasets\",\"replicasets/scale\",\"statefulsets\",\"statefulsets/scale\"],\"verbs\":" WRITE "},"         \
	"{\"apiGroups\":[\"batch\"],\"resources\":[\"cronjobs\",\"jobs\"],\"verbs\":" WRITE "},"                       \
	"{\"apiGroups\":[\"policy\"],\"resources\":[\"poddisruptionbudgets\"],\"verbs\":" WRITE "},"                   \
	"{\"apiGroups\":[\"coordination.k8s.io\"],\"resources\":[\"leases\"],\"verbs\":[\"create\",\"delete\","        \
	"\"deletecollection\",\"get\",\"list\",\"patch\",\"update\",\"watch\"]}"
#define GOVERNED                                                                                                       \
	"{\"apiGroups\":[\"authorization.k8s.io\"],\"resources\":[\"localsubjectaccessreviews\"],\"verbs\":["          \
	"\"create\"]},{\"apiGroups\":[\"rbac.authorization.k8s.io\"],\"resources\":[\"rolebindings\",\"roles\"],"      \
	"\"verbs\":[\"create\",\"delete\",\"deletecollection\",\"get\",\"list\",\"patch\",\"update\",\"watch\"]}"

static const struct {
	const char *name, *rules; /* rules NULL: gathered */
	const char *group;        /* who has it; NULL: nobody */
	const char *feeds;        /* the role that its rules are gathered into; NULL: none */
} roles[] = {
	{"cluster-admin",
	 "[{\"apiGroups\":[\"*\"],\"resources\":[\"*\"],\"verbs\":[\"*\"]},"
	 "{\"nonResourceURLs\":[\"*\"],\"verbs\":[\"*\"]}]",
	 API_MASTERS, NULL},
	{"system:basic-user",
	 "[{\"apiGroups\":[\"authorization.k8s.io\"],\"resources\":[\"selfsubjectaccessreviews\","
	 "\"selfsubjectrulesreviews\"],\"verbs\":[\"create\"]},{\"apiGroups\":[\"authentication.k8s.io\"],"
	 "\"resources\":[\"selfsubjectreviews\"],\"verbs\":[\"create\"]}]",
	 API_AUTHENTICATED, NULL},
	{"system:discovery",
	 "[{\"nonResourceURLs\":[\"/api\",\"/api/*\",\"/apis\",\"/apis/*\",\"/healthz\",\"/livez\",\"/openapi\","
	 "\"/openapi/*\",\"/readyz\",\"/version\",\"/version/\"],\"verbs\":[\"get\"]}]",
	 API_AUTHENTICATED, NULL},
	{"system:aggregate-to-view", "[" VIEWED "]", NULL, "view"},
	{"system:aggregate-to-edit", "[" EDITED "]", NULL, "edit"},
	{"system:aggregate-to-admin", "[" GOVERNED "]", NULL, "admin"},
	{"view", NULL, NULL, "edit"},
	{"edit", NULL, NULL, "admin"},
	{"admin", NULL, NULL, NULL},
};

static int label_feed(json_t *role, const char *feeds)
{
	char key[96];
	(void)snprintf(key, sizeof key, RBAC "/aggregate-to-%s", feeds);
	return json_object_set_new(json_at(role, "metadata.labels"), key, json_string("true"));
}

/** "view" gathers what is labelled to go into it. */
static int put_aggregation(json_t *role, const char *name)
{
	char key[96];
	(void)snprintf(key, sizeof key, RBAC "/aggregate-to-%s", name);
	json_t *labels = json_object();
	int rc = json_object_set_new(labels, key, json_string("true"));
	rc |= json_put(role, "aggregationRule",
		       json_pack("{s:[{s:o}]}", "clusterRoleSelectors", "matchLabels", labels));
	return rc;
}

static int make_role(struct api_server *s, size_t i, struct error *err)
{
	JSON_AUTO role =
		json_pack("{s:s, s:s, s:{s:s, s:{s:s}}, s:o}", "apiVersion", RBAC "/v1", "kind", "ClusterRole",
			  "metadata", "name", roles[i].name, "labels", "kubernetes.io/bootstrapping", "rbac-defaults",
			  "rules", roles[i].rules != NULL ? json_loads(roles[i].rules, 0, NULL) : json_array());
	int rc = role != NULL ? 0 : -1;
	if (rc == 0 && roles[i].feeds != NULL)
		rc = label_feed(role, roles[i].feeds);
	if (rc == 0 && roles[i].rules == NULL)
		rc = put_aggregation(role, roles[i].name);
	return rc == 0 ? api_create_internal(s, RBAC, "clusterroles", "", role, err)
		       : error_set(err, -ENOMEM, "out of memory");
}

static int make_binding(struct api_server *s, size_t i, struct error *err)
{
	JSON_AUTO binding = json_pack("{s:s, s:s, s:{s:s, s:{s:s}}, s:{s:s, s:s, s:s}, s:[{s:s, s:s, s:s}]}",
				      "apiVersion", RBAC "/v1", "kind", "ClusterRoleBinding", "metadata", "name",
				      roles[i].name, "labels", "kubernetes.io/bootstrapping", "rbac-defaults",
				      "roleRef", "apiGroup", RBAC, "kind", "ClusterRole", "name", roles[i].name,
				      "subjects", "kind", "Group", "apiGroup", RBAC, "name", roles[i].group);
	return binding != NULL ? api_create_internal(s, RBAC, "clusterrolebindings", "", binding, err)
			       : error_set(err, -ENOMEM, "out of memory");
}

int api_rbac_bootstrap(struct api_server *s, struct error *err)
{
	int rc = 0;
	for (size_t i = 0; i < ARRAY_LEN(roles) && rc == 0; i++) {
		rc = make_role(s, i, err);
		if (rc == 0 && roles[i].group != NULL)
			rc = make_binding(s, i, err);
	}
	return rc == 0 ? api_rbac_aggregate(s, err) : rc;
}

/* ---- gathering ---- */

static int read_role(void *ctx, const struct objstore_item *item)
{
	json_t *role = NULL;
	if (json_parse(item->data, item->n, &role, NULL) < 0)
		return -EIO;
	return json_array_append_new(ctx,
				     json_pack("{s:o, s:I}", "role", role, "revision", (json_int_t)item->revision)) == 0
		       ? 0
		       : -ENOMEM;
}

static bool selected(const json_t *selectors, const json_t *role)
{
	size_t i;
	json_t *one;
	bool found = false;
	json_array_foreach (selectors, i, one) {
		struct label_selector *s = NULL;
		found |= label_selector_from_json(one, &s, NULL) == 0 &&
			 label_selector_matches(s, json_at(role, "metadata.labels"));
		label_selector_free(s);
	}
	return found;
}

static bool holds(const json_t *rules, const json_t *rule)
{
	size_t i;
	json_t *one;
	json_array_foreach (rules, i, one)
		if (json_same(one, rule))
			return true;
	return false;
}

/** The rules of all roles but @self that its selectors choose, each once. New array; NULL on no memory. */
static json_t *gather(const json_t *all, const json_t *self)
{
	json_t *rules = json_array();
	const json_t *selectors = json_at(self, "aggregationRule.clusterRoleSelectors");
	size_t i, k;
	json_t *entry, *rule;
	json_array_foreach (all, i, entry) {
		const json_t *role = json_object_get(entry, "role");
		if (role == self || !selected(selectors, role))
			continue;
		json_array_foreach (json_object_get(role, "rules"), k, rule)
			if (!holds(rules, rule) && json_array_append(rules, rule) < 0) {
				json_decref(rules);
				return NULL;
			}
	}
	return rules;
}

/** *@ret_changed: some role was written, so that those which gather from it have to look again. */
static int aggregate_once(struct api_server *s, bool *ret_changed, struct error *err)
{
	JSON_AUTO all = json_array();
	struct objstore_range range = {.group = RBAC, .plural = "clusterroles"};
	int rc = objstore_list(s->store, &range, read_role, all, NULL, NULL, err);
	size_t i;
	json_t *entry;
	*ret_changed = false;
	json_array_foreach (all, i, entry) {
		json_t *role = json_object_get(entry, "role");
		if (rc < 0 || json_object_get(role, "aggregationRule") == NULL)
			continue;
		JSON_AUTO rules = gather(all, role);
		if (rules == NULL)
			return error_set(err, -ENOMEM, "out of memory");
		if (json_same(rules, json_object_get(role, "rules")))
			continue;
		struct objstore_key key = {RBAC, "clusterroles", "", json_str(role, "metadata.name", "")};
		if (json_object_set(role, "rules", rules) < 0)
			return error_set(err, -ENOMEM, "out of memory");
		rc = api_store_object(s, &key, role, json_int(entry, "revision", 0), false, err);
		*ret_changed = true;
	}
	return rc;
}

int api_rbac_aggregate(struct api_server *s, struct error *err)
{
	bool changed = true;
	int rc = 0;
	for (int i = 0; i < AGGREGATE_ROUNDS && changed && rc == 0;
	     i++) /* roles that gather from each other in a ring still end */
		rc = aggregate_once(s, &changed, err);
	return rc;
}
