#include "local/api_webhook_call.h"

#include <stdio.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/error.h"
#include "base/random.h"
#include "base/str.h"
#include "local/api_internal.h"
#include "net/http_client.h"
#include "json/json.h"

#define ANSWER_MAX      (4u << 20) /* a patch may hold a whole object, in base64 */
#define SERVER_TEXT_MAX 200
#define VERSION_MAX     128

/* ---- the question ---- */

static json_t *group_version_kind(const char *group, const char *version, const char *kind)
{
	return json_pack("{s:s, s:s, s:s}", "group", group, "version", version, "kind", kind);
}

static json_t *group_version_resource(const char *group, const char *version, const char *resource)
{
	return json_pack("{s:s, s:s, s:s}", "group", group, "version", version, "resource", resource);
}

/** @obj as @version of its group has it. A new reference, or JSON's null. */
static json_t *in_version(const struct api_webhook_question *q, const json_t *obj)
{
	if (obj == NULL)
		return json_null();
	if (q->change->of != NULL || strcmp(q->version, q->r->version) == 0)
		return json_incref((json_t *)obj);
	struct kube_resource res = q->r->kind->k->resource;
	res.version = q->version;
	char version[VERSION_MAX];
	json_t *copy = json_copy((json_t *)obj);
	(void)json_object_set_new(copy, "apiVersion", json_string(kube_api_version(&res, version)));
	return copy;
}

/** The options of the request, as their own type. */
static json_t *options_of(const struct api_webhook_question *q)
{
	struct api_request *r = q->r;
	const char *op = q->change->operation;
	json_t *o = q->change->options != NULL ? json_copy((json_t *)q->change->options) : json_object();
	const char *kind = strcmp(op, "CREATE") == 0   ? "CreateOptions"
			   : strcmp(op, "DELETE") == 0 ? "DeleteOptions"
						       : "UpdateOptions";
	(void)json_object_set_new(o, "kind", json_string(kind));
	(void)json_object_set_new(o, "apiVersion", json_string("meta.k8s.io/v1"));
	if (r->dry_run)
		(void)json_object_set_new(o, "dryRun", json_pack("[s]", "All"));
	if (strcmp(op, "DELETE") == 0)
		return o;
	const char *manager = api_query(r, "fieldManager"), *validation = api_query(r, "fieldValidation");
	if (manager[0] != '\0')
		(void)json_object_set_new(o, "fieldManager", json_string(manager));
	if (validation[0] != '\0')
		(void)json_object_set_new(o, "fieldValidation", json_string(validation));
	return o;
}

/** New tree; NULL on no memory. */
static json_t *make_review(const struct api_webhook_question *q, const char *uid)
{
	const struct api_change *c = q->change;
	const struct api_request *r = q->r;
	const struct kube_resource *res = &r->kind->k->resource, *of = c->of != NULL ? c->of : res;
	const char *version = c->of != NULL ? of->version : q->version;
	JSON_AUTO request =
		json_pack("{s:s, s:o, s:o, s:o, s:o, s:s, s:o, s:o, s:o, s:b, s:o}", "uid", uid, "kind",
			  group_version_kind(of->group, version, of->kind), "resource",
			  group_version_resource(res->group, q->version, res->plural), "requestKind",
			  group_version_kind(of->group, of->version, of->kind), "requestResource",
			  group_version_resource(res->group, res->version, res->plural), "operation", c->operation,
			  "userInfo", api_user_info(&r->user), "object", in_version(q, c->obj), "oldObject",
			  in_version(q, c->old), "dryRun", r->dry_run, "options", options_of(q));
	int rc = request != NULL ? 0 : -1;
	if (r->sub[0] != '\0') {
		rc |= json_object_set_new(request, "subResource", json_string(r->sub));
		rc |= json_object_set_new(request, "requestSubResource", json_string(r->sub));
	}
	if (c->name[0] != '\0')
		rc |= json_object_set_new(request, "name", json_string(c->name));
	/* A namespace counts as its own content. */
	bool space = res->group[0] == '\0' && strcmp(res->plural, "namespaces") == 0;
	const char *ns = space ? c->name : r->ns;
	if (ns[0] != '\0')
		rc |= json_object_set_new(request, "namespace", json_string(ns));
	return rc == 0 ? json_pack("{s:s, s:o, s:O}", "kind", "AdmissionReview", "apiVersion",
				   json_sprintf("admission.k8s.io/%s", q->hook->review_version), "request", request)
		       : NULL;
}

/* ---- the way there ---- */

/** The port of @svc that has the webhook's number, by its name. */
static const char *service_port(const json_t *svc, int64_t number)
{
	size_t i;
	json_t *p;
	json_array_foreach (json_at(svc, "spec.ports"), i, p)
		if (json_int(p, "port", 0) == number)
			return json_str(p, "name", "");
	return NULL;
}

/** The first ready address behind the port @name, as "ADDRESS:PORT". */
static bool first_address(const json_t *endpoints, const char *name, char *out, size_t size)
{
	size_t i, k;
	json_t *subset, *port;
	json_array_foreach (json_object_get(endpoints, "subsets"), i, subset) {
		const char *ip = json_str(json_array_get(json_object_get(subset, "addresses"), 0), "ip", NULL);
		json_array_foreach (json_object_get(subset, "ports"), k, port) {
			if (ip == NULL || strcmp(json_str(port, "name", ""), name) != 0)
				continue;
			bool v6 = strchr(ip, ':') != NULL;
			(void)snprintf(out, size, v6 ? "[%s]:%lld" : "%s:%lld", ip,
				       (long long)json_int(port, "port", 0));
			return true;
		}
	}
	return false;
}

/** Where the webhook's Service leads now. False with the reason in @why. */
static bool resolve(const struct api_webhook_question *q, char *out, size_t size, char *why)
{
	const json_t *ref = q->hook->service;
	struct api_server *s = q->r->server;
	const char *name = json_str(ref, "name", ""), *ns = json_str(ref, "namespace", "");
	int64_t number = json_int(ref, "port", 443);
	JSON_AUTO svc = NULL;
	JSON_AUTO endpoints = NULL;
	if (api_load_other(s, "", "services", ns, name, &svc, NULL) < 0) {
		(void)snprintf(why, API_WEBHOOK_WHY_MAX, "service \"%s\" not found", name);
		return false;
	}
	const char *port = service_port(svc, number);
	if (port == NULL) {
		(void)snprintf(why, API_WEBHOOK_WHY_MAX, "no service port %lld found for service \"%s\"",
			       (long long)number, name);
		return false;
	}
	if (api_load_other(s, "", "endpoints", ns, name, &endpoints, NULL) == 0 &&
	    first_address(endpoints, port, out, size))
		return true;
	(void)snprintf(why, API_WEBHOOK_WHY_MAX, "no endpoints available for service \"%s\"", name);
	return false;
}

/** Why a call failed, in the words of Go's HTTP client. */
static void failure_text(const struct error *err, const char *url, const char *to, char *out, size_t size)
{
	const char *host = url + strlen("https://");
	size_t n = strcspn(host, "/?");
	switch (err->code) {
	case -ETIMEDOUT:
		(void)snprintf(out, size, "context deadline exceeded");
		break;
	case -ECONNREFUSED:
		(void)snprintf(out, size, "dial tcp %.*s: connect: connection refused", to != NULL ? 64 : (int)n,
			       to != NULL ? to : host);
		break;
	case -EKEYREJECTED:
		(void)snprintf(out, size, "tls: failed to verify certificate: %s", err->msg);
		break;
	default:
		(void)snprintf(out, size, "%s", err->msg);
	}
}

/** What an answer other than 200 says, as client-go words it. */
static void status_text(const struct http_answer *a, char *out, size_t size)
{
	if (a->status == 404)
		(void)snprintf(out, size, "the server could not find the requested resource");
	else if (a->status == 503)
		(void)snprintf(out, size, "the server is currently unable to handle the request");
	else if (a->status >= 500)
		(void)snprintf(out, size, "an error on the server (\"%.*s\") has prevented the request from succeeding",
			       SERVER_TEXT_MAX, a->body);
	else
		(void)snprintf(out, size,
			       "the server responded with the status code %d but did not return more information",
			       a->status);
}

static int post(const struct api_webhook_question *q, const char *body, size_t n, struct http_answer *ret, char *why)
{
	char to[128] = "", text[600];
	int64_t left = q->deadline - clock_mono_ns(), timeout = q->hook->timeout_ns;
	if (left < timeout)
		timeout = left > NSEC_PER_MSEC ? left : NSEC_PER_MSEC;
	CLEANUP(free_p)
	char *url = str_printf("%s?timeout=%llds", q->hook->url, (long long)(q->hook->timeout_ns / NSEC_PER_SEC));
	if (url == NULL)
		return api_fail_memory(q->r);
	bool direct = q->hook->service == NULL;
	struct error err = {0};
	if (direct || resolve(q, to, sizeof to, text)) {
		const struct http_header headers[] = {{"Content-Type", "application/json"},
						      {"Accept", "application/json"}};
		struct http_call call = {.method = "POST",
					 .url = url,
					 .headers = headers,
					 .n_headers = ARRAY_LEN(headers),
					 .body = body,
					 .body_n = n,
					 .connect_to = direct ? NULL : to,
					 .timeout_ns = timeout,
					 .max_body = ANSWER_MAX,
					 .cancel = q->cancel};
		if (http_client_do(q->hook->client, &call, ret, &err) == 0)
			return 0;
		failure_text(&err, url, direct ? NULL : to, text, sizeof text);
	}
	(void)snprintf(why, API_WEBHOOK_WHY_MAX, "failed to call webhook: Post \"%.120s\": %s", url, text);
	return -EREMOTEIO;
}

/* ---- the answer ---- */

/** Takes the response out of @review. */
static int read_response(const struct api_webhook_question *q, const json_t *review, const char *uid, json_t **ret,
			 char *why)
{
	static const char invalid[] = "received invalid webhook response";
	const char *kind = json_str(review, "kind", ""), *version = json_str(review, "apiVersion", "");
	json_t *response = json_object_get(review, "response");
	const char *got = json_str(response, "uid", "");
	bool patched = json_object_get(response, "patch") != NULL && !json_is_null(json_object_get(response, "patch"));
	const char *type = json_str(response, "patchType", "");
	if (!str_has_prefix(version, "admission.k8s.io/") ||
	    strcmp(version + strlen("admission.k8s.io/"), q->hook->review_version) != 0 ||
	    strcmp(kind, "AdmissionReview") != 0)
		(void)snprintf(
			why, API_WEBHOOK_WHY_MAX,
			"%s: expected webhook response of admission.k8s.io/%s, Kind=AdmissionReview, got %.100s, "
			"Kind=%.100s",
			invalid, q->hook->review_version, version, kind);
	else if (!json_is_object(response))
		(void)snprintf(why, API_WEBHOOK_WHY_MAX, "%s: webhook response was absent", invalid);
	else if (strcmp(got, uid) != 0 && strcmp(q->hook->review_version, "v1") == 0)
		(void)snprintf(why, API_WEBHOOK_WHY_MAX, "%s: expected response.uid=\"%s\", got \"%.60s\"", invalid,
			       uid, got);
	else if (patched && type[0] == '\0')
		(void)snprintf(why, API_WEBHOOK_WHY_MAX,
			       "%s: webhook returned response.patch but not response.patchType", invalid);
	else if (patched && strcmp(type, "JSONPatch") != 0)
		(void)snprintf(why, API_WEBHOOK_WHY_MAX, "%s: webhook returned invalid response.patchType of \"%.60s\"",
			       invalid, type);
	else {
		*ret = json_incref(response);
		return 0;
	}
	return -EREMOTEIO;
}

int api_webhook_ask(const struct api_webhook_question *q, json_t **ret, char why[static API_WEBHOOK_WHY_MAX])
{
	char uid[37];
	random_uuid(uid);
	JSON_AUTO review = make_review(q, uid);
	JSON_AUTO answer = NULL;
	size_t n = 0;
	CLEANUP(free_p) char *text = review != NULL ? json_to_text(review, &n) : NULL;
	if (text == NULL)
		return api_fail_memory(q->r);
	struct error err = {0};
	CLEANUP(http_answer_clear) struct http_answer a = {0};
	int rc = post(q, text, n, &a, why);
	if (rc < 0)
		return rc;
	if (a.status != 200) {
		char said[600];
		status_text(&a, said, sizeof said);
		(void)snprintf(why, API_WEBHOOK_WHY_MAX, "failed to call webhook: %s", said);
		return -EREMOTEIO;
	}
	rc = json_parse(a.body, a.body_n, &answer, &err);
	if (rc == -ENOMEM)
		return api_fail_memory(q->r);
	if (rc < 0) {
		(void)snprintf(why, API_WEBHOOK_WHY_MAX, "failed to call webhook: the answer is no JSON: %s", err.msg);
		return -EREMOTEIO;
	}
	return read_response(q, answer, uid, ret, why);
}

int api_webhook_refused(struct api_request *r, const char *name, const json_t *response)
{
	const json_t *status = json_object_get(response, "status");
	const char *message = json_str(status, "message", ""), *reason = json_str(status, "reason", "");
	int64_t code = json_int(status, "code", 0);
	if (code < 400 || code > 599)
		code = 400; /* a refusal is never a success */
	json_t *details = json_object_get(status, "details");
	const char *said = message[0] != '\0' ? message : reason;
	if (said[0] == '\0')
		return api_fail(r, (int)code, reason, json_incref(details),
				"admission webhook \"%s\" denied the request without explanation", name);
	return api_fail(r, (int)code, reason, json_incref(details), "admission webhook \"%s\" denied the request: %s",
			name, said);
}
