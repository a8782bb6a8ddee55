/* Discovery: which groups, versions and resources there are, in the old form and the aggregated one; version and health. */
#include <stdio.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/str.h"
#include "local/api_internal.h"
#include "json/json.h"

/* The aggregated form in its two versions; they differ in their names only. The newer one is preferred. */
static const char *const aggregated_versions[] = {"v2", "v2beta1"};

struct kinds {
	struct api_kind **v;
	size_t n;
};

static void kinds_clear(struct kinds *k)
{
	api_kinds_free(k->v, k->n);
}

static const struct kube_resource *res(const struct kinds *k, size_t i)
{
	return &k->v[i]->k->resource;
}

/** The @i-th kind is the first of its group (and version, if @version). */
static bool first_of(const struct kinds *k, size_t i, bool version)
{
	for (size_t j = 0; j < i; j++)
		if (strcmp(res(k, j)->group, res(k, i)->group) == 0 &&
		    (!version || strcmp(res(k, j)->version, res(k, i)->version) == 0))
			return false;
	return true;
}

static json_t *texts(const char *const *list)
{
	json_t *a = json_array();
	for (size_t i = 0; list != NULL && list[i] != NULL; i++)
		(void)json_array_append_new(a, json_string(list[i]));
	return a;
}

static json_t *verbs_of(unsigned verbs)
{
	static const struct {
		enum kind_verb verb;
		const char *name;
	} all[] = {{VERB_CREATE, "create"}, {VERB_DELETE, "delete"}, {VERB_DELETECOLLECTION, "deletecollection"},
		   {VERB_GET, "get"},       {VERB_LIST, "list"},     {VERB_PATCH, "patch"},
		   {VERB_UPDATE, "update"}, {VERB_WATCH, "watch"}};
	json_t *a = json_array();
	for (size_t i = 0; i < ARRAY_LEN(all); i++)
		if ((verbs & all[i].verb) != 0)
			(void)json_array_append_new(a, json_string(all[i].name));
	return a;
}

/* ---- the old form ---- */

static json_t *resource_entry(const struct kind *k)
{
	json_t *e = json_pack("{s:s, s:s, s:b, s:s, s:o}", "name", k->resource.plural, "singularName",
			      k->singular != NULL ? k->singular : "", "namespaced", k->resource.namespaced, "kind",
			      k->resource.kind, "verbs", verbs_of(k->verbs));
	if (k->short_names != NULL)
		(void)json_object_set_new(e, "shortNames", texts(k->short_names));
	if (k->categories != NULL)
		(void)json_object_set_new(e, "categories", texts(k->categories));
	return e;
}

static void add_subresources(json_t *list, const struct kind *k)
{
	for (const struct kind_subresource *s = kind_subresources; s->name != NULL; s++) {
		if ((k->subresources & s->sub) == 0)
			continue;
		json_t *e = json_pack("{s:o, s:s, s:b, s:s, s:o}", "name",
				      json_sprintf("%s/%s", k->resource.plural, s->name), "singularName", "",
				      "namespaced", k->resource.namespaced, "kind",
				      s->kind != NULL ? s->kind : k->resource.kind, "verbs", verbs_of(s->verbs));
		if (s->kind != NULL && s->group[0] != '\0') {
			(void)json_object_set_new(e, "group", json_string(s->group));
			(void)json_object_set_new(e, "version", json_string(s->version));
		}
		(void)json_array_append_new(list, e);
	}
}

/** NULL when nothing is served there. */
static json_t *resource_list(const struct kinds *all, const char *group, const char *version)
{
	json_t *list = json_array();
	for (size_t i = 0; i < all->n; i++) {
		if (strcmp(res(all, i)->group, group) != 0 || strcmp(res(all, i)->version, version) != 0)
			continue;
		(void)json_array_append_new(list, resource_entry(all->v[i]->k));
		add_subresources(list, all->v[i]->k);
	}
	if (json_array_size(list) == 0) {
		json_decref(list);
		return NULL;
	}
	return json_pack("{s:s, s:s, s:o, s:o}", "kind", "APIResourceList", "apiVersion", "v1", "groupVersion",
			 group[0] != '\0' ? json_sprintf("%s/%s", group, version) : json_string(version), "resources",
			 list);
}

/** NULL when there is no such group. */
static json_t *group_entry(const struct kinds *all, const char *group)
{
	json_t *versions = json_array();
	for (size_t i = 0; i < all->n; i++)
		if (strcmp(res(all, i)->group, group) == 0 && first_of(all, i, true))
			(void)json_array_append_new(versions,
						    json_pack("{s:o, s:s}", "groupVersion",
							      json_sprintf("%s/%s", group, res(all, i)->version),
							      "version", res(all, i)->version));
	if (json_array_size(versions) == 0) {
		json_decref(versions);
		return NULL;
	}
	return json_pack("{s:s, s:o, s:O}", "name", group, "versions", versions, "preferredVersion",
			 json_array_get(versions, 0));
}

static json_t *group_list(const struct kinds *all)
{
	json_t *groups = json_array();
	for (size_t i = 0; i < all->n; i++)
		if (res(all, i)->group[0] != '\0' && first_of(all, i, false))
			(void)json_array_append_new(groups, group_entry(all, res(all, i)->group));
	return json_pack("{s:s, s:s, s:o}", "kind", "APIGroupList", "apiVersion", "v1", "groups", groups);
}

/* ---- the aggregated form ---- */

static json_t *response_kind(const char *group, const char *version, const char *kind)
{
	return json_pack("{s:s, s:s, s:s}", "group", group, "version", version, "kind", kind);
}

static json_t *aggregated_resource(const struct kind *k)
{
	const struct kube_resource *r = &k->resource;
	json_t *e = json_pack("{s:s, s:o, s:s, s:s, s:o}", "resource", r->plural, "responseKind",
			      response_kind(r->group, r->version, r->kind), "scope",
			      r->namespaced ? "Namespaced" : "Cluster", "singularResource",
			      k->singular != NULL ? k->singular : "", "verbs", verbs_of(k->verbs));
	if (k->short_names != NULL)
		(void)json_object_set_new(e, "shortNames", texts(k->short_names));
	if (k->categories != NULL)
		(void)json_object_set_new(e, "categories", texts(k->categories));
	json_t *list = json_array();
	for (const struct kind_subresource *s = kind_subresources; s->name != NULL; s++) {
		if ((k->subresources & s->sub) == 0)
			continue;
		json_t *kind = s->kind != NULL ? response_kind(s->group, s->version, s->kind)
					       : response_kind(r->group, r->version, r->kind);
		(void)json_array_append_new(list, json_pack("{s:s, s:o, s:o}", "subresource", s->name, "responseKind",
							    kind, "verbs", verbs_of(s->verbs)));
	}
	if (json_array_size(list) > 0)
		(void)json_object_set(e, "subresources", list);
	json_decref(list);
	return e;
}

static json_t *aggregated_group(const struct kinds *all, const char *group)
{
	json_t *versions = json_array();
	for (size_t i = 0; i < all->n; i++) {
		if (strcmp(res(all, i)->group, group) != 0 || !first_of(all, i, true))
			continue;
		json_t *list = json_array();
		for (size_t k = i; k < all->n; k++)
			if (strcmp(res(all, k)->group, group) == 0 &&
			    strcmp(res(all, k)->version, res(all, i)->version) == 0)
				(void)json_array_append_new(list, aggregated_resource(all->v[k]->k));
		(void)json_array_append_new(versions, json_pack("{s:s, s:o, s:s}", "version", res(all, i)->version,
								"resources", list, "freshness", "Current"));
	}
	return json_pack("{s:{s:s, s:n}, s:o}", "metadata", "name", group, "creationTimestamp", "versions", versions);
}

static json_t *aggregated(const struct kinds *all, bool core, const char *version)
{
	json_t *items = json_array();
	for (size_t i = 0; i < all->n; i++)
		if ((res(all, i)->group[0] == '\0') == core && first_of(all, i, false))
			(void)json_array_append_new(items, aggregated_group(all, res(all, i)->group));
	return json_pack("{s:s, s:o, s:{}, s:o}", "kind", "APIGroupDiscoveryList", "apiVersion",
			 json_sprintf("apidiscovery.k8s.io/%s", version), "metadata", "items", items);
}

/** The version of the aggregated form that the client accepts, or NULL: it wants the old form. */
static const char *wants_aggregated(struct api_request *r)
{
	const char *accept = http_exchange_header(r->x, "accept");
	for (size_t i = 0; accept != NULL && i < ARRAY_LEN(aggregated_versions); i++) {
		char type[96];
		(void)snprintf(type, sizeof type, "g=apidiscovery.k8s.io;v=%s;as=APIGroupDiscoveryList",
			       aggregated_versions[i]); /* fits */
		if (strstr(accept, type) != NULL)
			return aggregated_versions[i];
	}
	return NULL;
}

static int reply_aggregated(struct api_request *r, const struct kinds *all, bool core, const char *version)
{
	char type[128];
	JSON_AUTO j = aggregated(all, core, version);
	size_t n = 0;
	CLEANUP(free_p) char *text = json_to_text(j, &n);
	if (text == NULL)
		return api_fail_memory(r);
	(void)snprintf(type, sizeof type, "application/json;g=apidiscovery.k8s.io;v=%s;as=APIGroupDiscoveryList",
		       version); /* fits */
	r->answered = true;
	http_reply(r->x, 200, type, text, n);
	return 0;
}

/* ---- the rest ---- */

static int reply_text(struct api_request *r, const char *text)
{
	r->answered = true;
	http_reply(r->x, 200, "text/plain; charset=utf-8", text, strlen(text));
	return 0;
}

static int reply_version(struct api_request *r)
{
	JSON_AUTO v =
		json_pack("{s:s, s:s, s:s, s:s, s:s, s:s, s:s, s:s, s:s}", "major", "1", "minor", "34", "gitVersion",
			  "v1.34.0+sluice." SLUICE_VERSION, "gitCommit", "", "gitTreeState", "clean", "buildDate",
			  "1970-01-01T00:00:00Z", "goVersion", "", "compiler", "gcc", "platform", "linux/amd64");
	api_reply_json(r, 200, v);
	return 0;
}

static int reply_new(struct api_request *r, json_t *j)
{
	JSON_AUTO doc = j;
	if (doc == NULL)
		return api_reply_no_path(r);
	api_reply_json(r, 200, doc);
	return 0;
}

/** What can be asked for here. */
static json_t *root_paths(const struct kinds *all)
{
	static const char *const before[] = {"/api", "/api/v1", "/apis", "/apis/"}, *const after[] = {"/healthz",
												      "/livez",
												      "/metrics",
												      "/openapi/v2",
												      "/openapi/v3",
												      "/readyz",
												      "/version"};
	json_t *paths = json_array();
	for (size_t i = 0; i < ARRAY_LEN(before); i++)
		(void)json_array_append_new(paths, json_string(before[i]));
	for (size_t i = 0; i < all->n; i++) {
		if (res(all, i)->group[0] == '\0')
			continue;
		if (first_of(all, i, false))
			(void)json_array_append_new(paths, json_sprintf("/apis/%s", res(all, i)->group));
		if (first_of(all, i, true))
			(void)json_array_append_new(
				paths, json_sprintf("/apis/%s/%s", res(all, i)->group, res(all, i)->version));
	}
	for (size_t i = 0; i < ARRAY_LEN(after); i++)
		(void)json_array_append_new(paths, json_string(after[i]));
	return json_pack("{s:o}", "paths", paths);
}

static int reply_discovery(struct api_request *r, const char *path)
{
	CLEANUP(kinds_clear) struct kinds all = {0};
	if (api_registry_all(r->server->registry, &all.v, &all.n) < 0)
		return api_fail_memory(r);
	const char *version = wants_aggregated(r);
	if (strcmp(path, "/") == 0)
		return reply_new(r, root_paths(&all));
	if (version != NULL && (strcmp(path, "/api") == 0 || strcmp(path, "/apis") == 0))
		return reply_aggregated(r, &all, strcmp(path, "/api") == 0, version);
	if (strcmp(path, "/api") == 0)
		return reply_new(r, json_pack("{s:s, s:[s], s:[]}", "kind", "APIVersions", "versions", "v1",
					      "serverAddressByClientCIDRs"));
	if (strcmp(path, "/apis") == 0)
		return reply_new(r, group_list(&all));
	if (strcmp(path, "/api/v1") == 0)
		return reply_new(r, resource_list(&all, "", "v1"));
	const char *group = path + strlen("/apis/"), *slash = strchr(group, '/');
	if (slash != NULL) {
		const char *name = arena_strndup(&r->arena, group, (size_t)(slash - group));
		return name != NULL ? reply_new(r, resource_list(&all, name, slash + 1)) : api_fail_memory(r);
	}
	json_t *entry = group_entry(&all, group);
	if (entry != NULL) {
		(void)json_object_set_new(entry, "kind", json_string("APIGroup"));
		(void)json_object_set_new(entry, "apiVersion", json_string("v1"));
	}
	return reply_new(r, entry);
}

/** "/", "/apis/G", "/apis/G/V", "/api/v1", "/api", "/apis", without a slash at the end. NULL: none of these. */
static const char *discovery_path(struct api_request *r)
{
	size_t n = strlen(r->http->path);
	while (n > 1 && r->http->path[n - 1] == '/')
		n--;
	const char *p = arena_strndup(&r->arena, r->http->path, n);
	if (p == NULL)
		return NULL;
	if (strcmp(p, "/") == 0 || strcmp(p, "/api") == 0 || strcmp(p, "/apis") == 0 || strcmp(p, "/api/v1") == 0)
		return p;
	size_t slashes = 0;
	for (const char *c = p; *c != '\0'; c++)
		slashes += *c == '/';
	return str_has_prefix(p, "/apis/") && slashes <= 3 ? p : NULL;
}

bool api_discovery(struct api_request *r, int *ret_rc)
{
	const char *path = r->http->path;
	const char *doc = discovery_path(r);
	if (strcmp(path, "/version") == 0 || strcmp(path, "/version/") == 0)
		*ret_rc = reply_version(r);
	else if (str_has_prefix(path, "/healthz") || str_has_prefix(path, "/livez") || str_has_prefix(path, "/readyz"))
		*ret_rc = reply_text(r, "ok");
	else if (strcmp(path, "/metrics") == 0)
		*ret_rc = api_metrics(r);
	else if (strcmp(path, "/openapi/v2") == 0)
		*ret_rc = api_openapi_v2(r);
	else if (strcmp(path, "/openapi/v3") == 0 || str_has_prefix(path, "/openapi/v3/"))
		*ret_rc = api_openapi_v3(r, path + strlen("/openapi/v3"));
	else if (doc != NULL)
		*ret_rc = reply_discovery(r, doc);
	else
		return false;
	return true;
}
