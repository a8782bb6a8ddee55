/* Service accounts: their tokens are given out, and whoever brings one is known by it. */
#include <string.h>

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/error.h"
#include "base/random.h"
#include "base/str.h"
#include "local/api_internal.h"
#include "local/api_token.h"
#include "json/json.h"

#define SECONDS_MIN     600
#define SECONDS_DEFAULT 3600
#define SECONDS_MAX     (INT64_C(1) << 32)

/* ---- giving out ---- */

/* What a token may be bound to: it dies with it. */
static const struct {
	const char *kind, *version, *plural, *claim;
	bool namespaced;
} bindable[] = {
	{"Pod", "v1", "pods", "pod", true},
	{"Secret", "v1", "secrets", "secret", true},
	{"Node", "v1", "nodes", "node", false},
};

static int fail_uid(struct api_request *r, size_t kind, const char *name, const char *given, const char *has)
{
	return api_fail(
		r, 409, "Conflict", json_pack("{s:s, s:s}", "name", name, "kind", bindable[kind].plural),
		"Operation cannot be fulfilled on %s \"%s\": the UID in the bound object reference (%s) does not "
		"match the UID in record. The object might have been deleted and then recreated",
		bindable[kind].plural, name, given[0] != '\0' ? given : has);
}

/** The object that @ref names, as a claim: {"pod": {"name", "uid"}}. */
static int bind_to(struct api_request *r, const json_t *ref, json_t **ret)
{
	const char *kind = json_str(ref, "kind", ""), *name = json_str(ref, "name", ""),
		   *uid = json_str(ref, "uid", "");
	JSON_AUTO obj = NULL;
	for (size_t i = 0; i < ARRAY_LEN(bindable); i++) {
		if (strcmp(kind, bindable[i].kind) != 0)
			continue;
		int rc = api_load_other(r->server, "", bindable[i].plural, bindable[i].namespaced ? r->ns : "", name,
					&obj, NULL);
		if (rc == -ENOENT)
			return api_fail(r, 404, "NotFound",
					json_pack("{s:s, s:s}", "name", name, "kind", bindable[i].plural),
					"%s \"%s\" not found", bindable[i].plural, name);
		if (rc < 0)
			return api_fail_internal(r, &(struct error){.code = rc, .msg = "cannot read the bound object"});
		const char *has = json_str(obj, "metadata.uid", "");
		if (uid[0] != '\0' && strcmp(uid, has) != 0)
			return fail_uid(r, i, name, uid, has);
		if (i == 0 && strcmp(json_str(obj, "spec.serviceAccountName", ""), r->name) != 0)
			return api_fail_bad(r,
					    "cannot bind token for serviceaccount \"%s\" to pod running with different "
					    "serviceaccount name.",
					    r->name);
		*ret = json_pack("{s:{s:s, s:s}}", bindable[i].claim, "name", name, "uid", has);
		return *ret != NULL ? 0 : api_fail_memory(r);
	}
	return api_fail_bad(r, "cannot bind token to object of type %s, Kind=%s", json_str(ref, "apiVersion", ""),
			    kind);
}

static json_t *make_claims(const struct api_request *r, const json_t *account, json_t *audiences, int64_t now,
			   int64_t seconds)
{
	char id[37];
	random_uuid(id);
	return json_pack("{s:O, s:I, s:I, s:s, s:s, s:{s:s, s:{s:s, s:s}}, s:I, s:o}", "aud", audiences, "exp",
			 (json_int_t)(now + seconds), "iat", (json_int_t)now, "iss", API_TOKEN_ISSUER, "jti", id,
			 "kubernetes.io", "namespace", r->ns, "serviceaccount", "name", r->name, "uid",
			 json_str(account, "metadata.uid", ""), "nbf", (json_int_t)now, "sub",
			 json_sprintf("system:serviceaccount:%s:%s", r->ns, r->name));
}

/* Kubernetes names no object here. */
static int fail_seconds(struct api_request *r, int64_t seconds, const char *why)
{
	return api_fail_one(r, "TokenRequest", "authentication.k8s.io", "", "spec.expirationSeconds",
			    "FieldValueInvalid", "Invalid value: %lld: may not specify a duration %s",
			    (long long)seconds, why);
}

static int read_request(struct api_request *r, json_t **ret)
{
	struct kind kind = {.resource = {.group = "authentication.k8s.io",
					 .version = "v1",
					 .kind = "TokenRequest",
					 .plural = "token",
					 .namespaced = true}};
	kind.schema = kubernetes_schema("authentication.v1.TokenRequest");
	JSON_AUTO obj = NULL;
	int rc = api_body_object(r, &kind, &obj);
	if (rc < 0)
		return rc;
	if (!json_is_object(json_object_get(obj, "spec")) && json_object_set_new(obj, "spec", json_object()) < 0)
		return api_fail_memory(r);
	json_t *seconds = json_at(obj, "spec.expirationSeconds"), *audiences = json_at(obj, "spec.audiences");
	int64_t n = json_is_integer(seconds) ? json_integer_value(seconds) : SECONDS_DEFAULT;
	if (n < SECONDS_MIN)
		return fail_seconds(r, n, "less than 10 minutes");
	if (n > SECONDS_MAX)
		return fail_seconds(r, n, "larger than 2^32 seconds");
	rc = json_put_int(obj, "spec.expirationSeconds", n);
	if (json_array_size(audiences) == 0)
		rc |= json_put(obj, "spec.audiences", json_pack("[s]", API_TOKEN_ISSUER));
	*ret = TAKE(obj);
	return rc == 0 ? 0 : api_fail_memory(r);
}

int api_token_request(struct api_request *r)
{
	if (strcmp(r->http->method, "POST") != 0)
		return api_fail_method(r);
	JSON_AUTO obj = NULL;
	JSON_AUTO account = NULL;
	int rc = api_load(r, r->name, &account, NULL);
	if (rc == 0)
		rc = read_request(r, &obj);
	if (rc < 0)
		return rc;
	struct error err = {0};
	CLEANUP(free_p) char *token = NULL;
	int64_t now = clock_wall_ns() / NSEC_PER_SEC, seconds = json_int(obj, "spec.expirationSeconds", 0);
	JSON_AUTO claims = make_claims(r, account, json_at(obj, "spec.audiences"), now, seconds);
	if (claims == NULL)
		return api_fail_memory(r);
	const json_t *ref = json_at(obj, "spec.boundObjectRef");
	JSON_AUTO bound = NULL;
	rc = json_is_object(ref) ? bind_to(r, ref, &bound) : 0;
	if (rc < 0)
		return rc;
	if (bound != NULL && json_object_update(json_object_get(claims, "kubernetes.io"), bound) < 0)
		return api_fail_memory(r);
	if (api_token_sign(r->server->tokens, claims, &token, &err) < 0)
		return api_fail_internal(r, &err);
	char until[32], made[32];
	clock_format_rfc3339((now + seconds) * NSEC_PER_SEC, until);
	api_now(made);
	rc = json_put(obj, "metadata",
		      json_pack("{s:s, s:s, s:s}", "name", r->name, "namespace", r->ns, "creationTimestamp", made));
	rc |= json_put(obj, "status", json_pack("{s:s, s:s}", "token", token, "expirationTimestamp", until));
	if (rc != 0)
		return api_fail_memory(r);
	api_reply_json(r, 201, obj);
	return 0;
}

/* ---- knowing again ---- */

static bool meets(const json_t *list, const char *const *audiences, size_t n)
{
	size_t i;
	json_t *v;
	json_array_foreach (list, i, v)
		for (size_t k = 0; k < n; k++)
			if (str_same(json_string_value(v), audiences[k]))
				return true;
	return false;
}

static int check_claims(const json_t *claims, const char *const *audiences, size_t n, struct error *err)
{
	int64_t now = clock_wall_ns() / NSEC_PER_SEC;
	if (strcmp(json_str(claims, "iss", ""), API_TOKEN_ISSUER) != 0)
		return error_set(err, -EBADMSG, "the token is of another issuer");
	if (!json_is_integer(json_object_get(claims, "exp")) || json_int(claims, "exp", 0) <= now)
		return error_set(err, -EBADMSG, "the token has expired");
	if (json_int(claims, "nbf", INT64_MAX) > now)
		return error_set(err, -EBADMSG, "the token is not valid yet");
	if (!meets(json_object_get(claims, "aud"), audiences, n))
		return error_set(err, -EBADMSG, "the token is for another audience");
	return 0;
}

/** What the token is bound to is there still. */
static int check_bound(struct api_server *s, const json_t *of, struct error *err)
{
	const char *ns = json_str(of, "namespace", "");
	for (size_t i = 0; i < ARRAY_LEN(bindable); i++) {
		const json_t *claim = json_object_get(of, bindable[i].claim);
		JSON_AUTO obj = NULL;
		if (claim == NULL)
			continue;
		int rc = api_load_other(s, "", bindable[i].plural, bindable[i].namespaced ? ns : "",
					json_str(claim, "name", ""), &obj, NULL);
		if (rc < 0)
			return error_set(err, rc == -ENOENT ? -EBADMSG : rc,
					 "the %s that the token is bound to is gone", bindable[i].claim);
		if (strcmp(json_str(claim, "uid", ""), json_str(obj, "metadata.uid", "")) != 0)
			return error_set(err, -EBADMSG, "the %s that the token is bound to was made anew",
					 bindable[i].claim);
	}
	return 0;
}

/* What a token is, and which pod it is for. NULL on no memory. */
static const char *const *extra_of(struct arena *a, const json_t *claims)
{
	const json_t *of = json_object_get(claims, "kubernetes.io");
	CLEANUP(free_p) char *id = str_printf("JTI=%s", json_str(claims, "jti", ""));
	const struct {
		const char *key, *value;
	} all[] = {
		{"authentication.kubernetes.io/credential-id", json_str(claims, "jti", "")[0] != '\0' ? id : ""},
		{"authentication.kubernetes.io/pod-name", json_str(of, "pod.name", "")},
		{"authentication.kubernetes.io/pod-uid", json_str(of, "pod.uid", "")},
	};
	const char **extra = arena_alloc_array(a, 2 * ARRAY_LEN(all) + 1, sizeof *extra);
	size_t n = 0;
	for (size_t i = 0; extra != NULL && id != NULL && i < ARRAY_LEN(all); i++) {
		if (all[i].value[0] == '\0')
			continue;
		extra[n++] = all[i].key;
		extra[n] = arena_strdup(a, all[i].value);
		if (extra[n++] == NULL)
			return NULL;
	}
	if (extra != NULL)
		extra[n] = NULL;
	return id != NULL ? extra : NULL;
}

int api_token_user(struct api_server *s, const char *token, const char *const *audiences, size_t n, struct arena *arena,
		   struct api_user *ret, struct error *err)
{
	JSON_AUTO claims = NULL;
	JSON_AUTO account = NULL;
	int rc = api_token_verify(s->tokens, token, &claims);
	if (rc < 0)
		return error_set(err, rc, "the token is not signed by this server");
	rc = check_claims(claims, audiences, n, err);
	if (rc < 0)
		return rc;
	const json_t *of = json_object_get(claims, "kubernetes.io");
	const char *ns = json_str(of, "namespace", ""), *name = json_str(of, "serviceaccount.name", ""),
		   *uid = json_str(of, "serviceaccount.uid", "");
	rc = api_load_other(s, "", "serviceaccounts", ns, name, &account, NULL);
	if (rc < 0)
		return error_set(err, rc == -ENOENT ? -EBADMSG : rc, "the token's service account is gone");
	if (uid[0] == '\0' || strcmp(uid, json_str(account, "metadata.uid", "")) != 0)
		return error_set(err, -EBADMSG, "the token's service account was made anew");
	rc = check_bound(s, of, err);
	if (rc < 0)
		return rc;
	CLEANUP(free_p) char *user = str_printf("system:serviceaccount:%s:%s", ns, name);
	*ret = (struct api_user){.name = user != NULL ? arena_strdup(arena, user) : NULL,
				 .uid = arena_strdup(arena, uid),
				 .extra = extra_of(arena, claims)};
	ret->groups = ret->name != NULL && ret->uid != NULL && ret->extra != NULL
			      ? api_user_groups(arena, ret->name, NULL, 0)
			      : NULL;
	return ret->groups != NULL ? 0 : error_set(err, -ENOMEM, "out of memory");
}
