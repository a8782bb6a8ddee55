/* Who makes a request, for whom, and whether that one may. */
#include <string.h>

#include "base/cleanup.h"
#include "base/error.h"
#include "base/str.h"
#include "base/strbuf.h"
#include "local/api_internal.h"
#include "local/api_rbac.h"
#include "local/api_token.h"
#include "net/http_reader.h"
#include "json/json.h"

#define AUTHENTICATION "authentication.k8s.io"
#define EXTRA_MAX      64
#define GROUPS_MAX     64
#define GRANT_TEXT_MAX (64u << 10)

static bool is_probe(const char *path)
{
	return strcmp(path, "/healthz") == 0 || strcmp(path, "/livez") == 0 || strcmp(path, "/readyz") == 0;
}

/** The holder of a certificate of our CA: its CN, its Os are the groups. */
static int read_certificate(struct api_request *r)
{
	size_t n = 0;
	while (r->http->peer_o != NULL && r->http->peer_o[n] != NULL && n < GROUPS_MAX)
		n++;
	r->user = (struct api_user){.name = r->http->peer_cn,
				    .uid = "",
				    .groups = api_user_groups(&r->arena, r->http->peer_cn, r->http->peer_o, n)};
	return r->user.groups != NULL ? 0 : api_fail_memory(r);
}

static int fail_forbidden(struct api_request *r, const struct api_access *a)
{
	if (a->path != NULL)
		return api_fail(r, 403, "Forbidden", json_object(), "forbidden: User \"%s\" cannot %s path \"%s\"",
				r->user.name, a->verb, a->path);
	json_t *details = json_pack("{s:s}", "kind", a->resource);
	if (a->name[0] != '\0')
		(void)json_object_set_new(details, "name", json_string(a->name));
	if (a->group[0] != '\0')
		(void)json_object_set_new(details, "group", json_string(a->group));
	const char *dot = a->group[0] != '\0' ? "." : "", *slash = a->sub[0] != '\0' ? "/" : "";
	CLEANUP(free_p) char *name = a->name[0] != '\0' ? str_printf(" \"%s\"", a->name) : NULL;
	CLEANUP(free_p) char *where = a->ns[0] != '\0' ? str_printf("in the namespace \"%s\"", a->ns) : NULL;
	return api_fail(r, 403, "Forbidden", details,
			"%s%s%s%s is forbidden: User \"%s\" cannot %s resource \"%s%s%s\" in API group \"%s\" %s",
			a->resource, dot, a->group, name != NULL ? name : "", r->user.name, a->verb, a->resource, slash,
			a->sub, a->group, where != NULL ? where : "at the cluster scope");
}

static int check(struct api_request *r, const struct api_access *a)
{
	struct error err = {0};
	bool allowed = false;
	if (api_rbac_allowed(r->server, &r->user, a, &allowed, &err) < 0)
		return api_fail_internal(r, &err);
	return allowed ? 0 : fail_forbidden(r, a);
}

/* ---- acting for somebody else ---- */

static int may_impersonate(struct api_request *r, const char *group, const char *resource, const char *sub,
			   const char *ns, const char *name)
{
	return check(r, &(struct api_access){.verb = "impersonate",
					     .group = group,
					     .resource = resource,
					     .sub = sub,
					     .ns = ns,
					     .name = name});
}

/** "system:serviceaccount:NS:NAME" is a service account, all else a user. */
static int may_be(struct api_request *r, const char *name)
{
	static const char prefix[] = "system:serviceaccount:";
	const char *ns = str_has_prefix(name, prefix) ? name + sizeof prefix - 1 : NULL;
	const char *colon = ns != NULL ? strchr(ns, ':') : NULL;
	if (colon == NULL)
		return may_impersonate(r, "", "users", "", "", name);
	const char *space = arena_strndup(&r->arena, ns, (size_t)(colon - ns));
	return space != NULL ? may_impersonate(r, "", "serviceaccounts", "", space, colon + 1) : api_fail_memory(r);
}

/** The next of the values that came in headers of one name. 1, 0: none is left, or API_FAILED. */
static int next_value(struct api_request *r, struct str *rest, const char **ret)
{
	struct str one;
	if (!str_split_next(rest, ',', &one))
		return 0;
	while (one.n > 0 && one.p[0] == ' ') {
		one.p++;
		one.n--;
	}
	if (!str_is_utf8(one.p, one.n))
		return api_fail_bad(r, "impersonation by a header that is no UTF-8");
	*ret = arena_strndup(&r->arena, one.p, one.n);
	return *ret != NULL ? 1 : api_fail_memory(r);
}

static int impersonate_groups(struct api_request *r, const char *given[static GROUPS_MAX], size_t *ret_n)
{
	struct str rest = str_from(http_exchange_header(r->x, "impersonate-group"));
	const char *group;
	size_t n = 0;
	int rc;
	while ((rc = next_value(r, &rest, &group)) > 0) {
		if (n == GROUPS_MAX)
			return api_fail_bad(r, "impersonation of more than %d groups", GROUPS_MAX);
		rc = may_impersonate(r, "", "groups", "", "", group);
		if (rc < 0)
			return rc;
		given[n++] = group;
	}
	*ret_n = n;
	return rc;
}

/** The key of a header's name after "Impersonate-Extra-": in small letters, percent-encoded where it has others than a name may have. */
static int extra_key(struct api_request *r, const char *name, const char **ret)
{
	char *key = arena_strdup(&r->arena, name);
	if (key == NULL)
		return api_fail_memory(r);
	for (char *c = key; *c != '\0'; c++)
		if (*c >= 'A' && *c <= 'Z')
			*c = (char)(*c - 'A' + 'a');
	if (http_percent_decode(key, strlen(key), false, key) < 0 || !str_is_utf8(key, strlen(key)) || key[0] == '\0')
		return api_fail_bad(r, "impersonation by the header Impersonate-Extra-%s, which names nothing", name);
	*ret = key;
	return 0;
}

static int impersonate_extra(struct api_request *r, const char *const **ret)
{
	static const char prefix[] = "impersonate-extra-";
	const char **extra = arena_alloc_array(&r->arena, 2 * EXTRA_MAX + 1, sizeof *extra), *name, *values, *value;
	size_t n = 0;
	if (extra == NULL)
		return api_fail_memory(r);
	for (size_t i = 0; (values = http_exchange_header_from(r->x, prefix, i, &name)) != NULL; i++) {
		struct str rest = str_from(values);
		const char *key;
		int rc = extra_key(r, name + sizeof prefix - 1, &key);
		while (rc == 0 && (rc = next_value(r, &rest, &value)) > 0) {
			if (n == (size_t)2 * EXTRA_MAX)
				return api_fail_bad(r, "impersonation with more than %d extra values", EXTRA_MAX);
			rc = may_impersonate(r, AUTHENTICATION, "userextras", key, "", value);
			extra[n++] = key;
			extra[n++] = value;
		}
		if (rc < 0)
			return rc;
	}
	extra[n] = NULL;
	*ret = n > 0 ? extra : NULL;
	return 0;
}

static int impersonate(struct api_request *r)
{
	const char *name = http_exchange_header(r->x, "impersonate-user"), *other;
	const char *uid = http_exchange_header(r->x, "impersonate-uid");
	const char *given[GROUPS_MAX];
	size_t n = 0;
	if (name == NULL || name[0] == '\0') {
		if (uid == NULL && http_exchange_header(r->x, "impersonate-group") == NULL &&
		    http_exchange_header_from(r->x, "impersonate-extra-", 0, &other) == NULL)
			return 0;
		return api_fail_bad(r, "impersonation of groups, a uid or extra values needs a user too: "
				       "Impersonate-User is not set");
	}
	if (!str_is_utf8(name, strlen(name)) || (uid != NULL && !str_is_utf8(uid, strlen(uid))))
		return api_fail_bad(r, "impersonation of a user whose name or uid is no UTF-8");
	struct api_user u = {.name = arena_strdup(&r->arena, name),
			     .uid = uid != NULL ? arena_strdup(&r->arena, uid) : ""};
	int rc = u.name != NULL && u.uid != NULL ? may_be(r, name) : api_fail_memory(r);
	if (rc == 0)
		rc = impersonate_groups(r, given, &n);
	if (rc == 0 && uid != NULL)
		rc = may_impersonate(r, AUTHENTICATION, "uids", "", "", uid);
	if (rc == 0)
		rc = impersonate_extra(r, &u.extra);
	if (rc < 0)
		return rc;
	u.groups = api_user_groups(&r->arena, u.name, given, n);
	if (u.groups == NULL)
		return api_fail_memory(r);
	r->user = u;
	return 0;
}

/* ---- the request ---- */

static int read_token(struct api_request *r, const char *token)
{
	static const char *const here[] = {API_TOKEN_ISSUER};
	struct error err = {0};
	if (api_token_user(r->server, token, here, 1, &r->arena, &r->user, &err) < 0)
		return api_fail(r, 401, "Unauthorized", NULL, "Unauthorized");
	return impersonate(r);
}

int api_authenticate(struct api_request *r)
{
	static const char *const nobody[] = {"system:unauthenticated", NULL};
	const char *authorization = http_exchange_header(r->x, "authorization");
	if (r->http->peer_cn == NULL && authorization != NULL && strncasecmp(authorization, "bearer ", 7) == 0)
		return read_token(r, authorization + 7);
	if (r->http->peer_cn == NULL && !is_probe(r->http->path))
		return api_fail(r, 401, "Unauthorized", NULL, "Unauthorized");
	if (r->http->peer_cn == NULL) {
		r->user = (struct api_user){.name = "system:anonymous", .uid = "", .groups = nobody};
		return 0;
	}
	int rc = read_certificate(r);
	return rc < 0 ? rc : impersonate(r);
}

int api_authorize_path(struct api_request *r)
{
	CLEANUP(free_p) char *verb = strdup(r->http->method);
	if (verb == NULL)
		return api_fail_memory(r);
	for (char *c = verb; *c != '\0'; c++)
		if (*c >= 'A' && *c <= 'Z')
			*c = (char)(*c - 'A' + 'a');
	if (is_probe(r->http->path))
		return 0;
	return check(r, &(struct api_access){.verb = verb, .ns = "", .path = r->http->path});
}

int api_authorize(struct api_request *r, const char *verb)
{
	/* A namespace counts as its own content, so that its roles can speak of it. */
	bool space = r->group[0] == '\0' && strcmp(r->plural, "namespaces") == 0;
	return check(r, &(struct api_access){.verb = verb,
					     .group = r->group,
					     .resource = r->plural,
					     .sub = r->sub,
					     .ns = space ? r->name : r->ns,
					     .name = r->name});
}

/* ---- granting ---- */

/** "pods/log" as resource and subresource. */
static int split_resource(struct api_request *r, const char *whole, struct api_access *a)
{
	const char *slash = strchr(whole, '/');
	a->resource = slash != NULL ? arena_strndup(&r->arena, whole, (size_t)(slash - whole)) : whole;
	a->sub = slash != NULL ? slash + 1 : "";
	return a->resource != NULL ? 0 : api_fail_memory(r);
}

static const char *text(const json_t *list, size_t i)
{
	const char *s = json_string_value(json_array_get(list, i));
	return s != NULL ? s : "";
}

/** Whether @held allow all that @rule does for one verb. */
static int covers_verb(struct api_request *r, const json_t *held, const json_t *rule, const char *verb, bool *ret)
{
	const json_t *urls = json_object_get(rule, "nonResourceURLs"), *groups = json_object_get(rule, "apiGroups"),
		     *resources = json_object_get(rule, "resources"), *names = json_object_get(rule, "resourceNames");
	for (size_t i = 0; i < json_array_size(urls); i++)
		*ret &= api_rules_allow(held, &(struct api_access){.verb = verb, .path = text(urls, i)});
	for (size_t g = 0; g < json_array_size(groups); g++) {
		for (size_t k = 0; k < json_array_size(resources) && *ret; k++) {
			struct api_access a = {.verb = verb, .group = text(groups, g), .ns = "", .name = ""};
			if (split_resource(r, text(resources, k), &a) < 0)
				return API_FAILED;
			size_t n = 0;
			do {
				a.name = text(names, n);
				*ret &= api_rules_allow(held, &a);
			} while (++n < json_array_size(names) && *ret);
		}
	}
	return 0;
}

/** One list of a rule as Go prints it: Resources:["pods"]. */
static void add_list(struct strbuf *b, const json_t *rule, const char *member, const char *title)
{
	const json_t *list = json_object_get(rule, member);
	if (json_array_size(list) == 0)
		return;
	strbuf_addf(b, "%s%s:[", b->p[b->n - 1] == '{' ? "" : ", ", title);
	for (size_t i = 0; i < json_array_size(list); i++)
		strbuf_addf(b, "%s\"%s\"", i > 0 ? " " : "", text(list, i));
	strbuf_addc(b, ']');
}

static void add_rule(struct strbuf *b, const json_t *rule)
{
	static const char *const members[][2] = {{"apiGroups", "APIGroups"},
						 {"resources", "Resources"},
						 {"resourceNames", "ResourceNames"},
						 {"nonResourceURLs", "NonResourceURLs"},
						 {"verbs", "Verbs"}};
	strbuf_adds(b, "\n{");
	for (size_t i = 0; i < ARRAY_LEN(members); i++)
		add_list(b, rule, members[i][0], members[i][1]);
	strbuf_addc(b, '}');
}

/** Adds the rules that @held do not cover to @missing. */
static int covers(struct api_request *r, const json_t *held, const json_t *rules, struct strbuf *missing)
{
	size_t i;
	json_t *rule;
	json_array_foreach (rules, i, rule) {
		const json_t *verbs = json_object_get(rule, "verbs");
		bool all = true;
		for (size_t v = 0; v < json_array_size(verbs) && all; v++)
			if (covers_verb(r, held, rule, text(verbs, v), &all) < 0)
				return API_FAILED;
		if (!all)
			add_rule(missing, rule);
	}
	return missing->failed ? api_fail_memory(r) : 0;
}

/** (groups=["a" "b"]), as Go prints a list. */
static void add_groups(struct strbuf *b, const struct api_user *u)
{
	strbuf_adds(b, "(groups=[");
	for (size_t i = 0; u->groups[i] != NULL; i++)
		strbuf_addf(b, "%s\"%s\"", i > 0 ? " " : "", u->groups[i]);
	strbuf_adds(b, "])");
}

int api_check_grant(struct api_request *r, const json_t *obj, const char *verb, const char *resource, const char *role,
		    const json_t *rules)
{
	if (api_user_in(&r->user, API_MASTERS))
		return 0;
	struct error err = {0};
	JSON_AUTO held = NULL;
	struct api_access a = {
		.verb = verb, .group = r->group, .resource = resource, .sub = "", .ns = r->ns, .name = role};
	if (api_rbac_rules(r->server, &r->user, r->ns, &held, &err) < 0)
		return api_fail_internal(r, &err);
	if (api_rules_allow(held, &a))
		return 0;
	CLEANUP(strbuf_clear) struct strbuf missing = STRBUF_INIT(GRANT_TEXT_MAX);
	CLEANUP(strbuf_clear) struct strbuf groups = STRBUF_INIT(GRANT_TEXT_MAX);
	if (covers(r, held, rules, &missing) < 0)
		return API_FAILED;
	if (missing.n == 0)
		return 0;
	add_groups(&groups, &r->user);
	const char *name = json_str(obj, "metadata.name", "");
	return api_fail(r, 403, "Forbidden", api_details(r, name),
			"%s \"%s\" is forbidden: user \"%s\" %s is attempting to grant RBAC permissions not currently "
			"held:%s",
			api_resource_name(r), name, r->user.name, groups.p != NULL ? groups.p : "", missing.p);
}
