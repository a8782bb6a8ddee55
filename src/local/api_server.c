/* The API server: its parts put together, and the way of a request through them. */
#include "local/api_server.h"

#include <string.h>

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/error.h"
#include "base/str.h"
#include "local/api_admission.h"
#include "local/api_internal.h"
#include "local/api_keys.h"
#include "local/api_logs.h"
#include "local/api_pki.h"
#include "local/api_rbac_cache.h"
#include "local/api_token.h"
#include "net/http_server.h"
#include "json/json.h"

#define BODY_MAX         (3u << 20)
#define WORKERS          32          /* most of them wait for the disk, together */
#define STREAM_QUEUE_MAX (64u << 20) /* a watch may begin with everything that exists */
#define REQUEST_ARENA    (8u << 20)
#define EVENT_TTL_NS     (3600 * NSEC_PER_SEC)

static int fail_no_resource(struct api_request *r)
{
	return api_fail(r, 404, "NotFound", json_object(), "the server could not find the requested resource");
}

static const struct {
	const char *name;
	enum kind_sub sub;
	int (*run)(struct api_request *r); /* NULL: a half of the object, by the plain verbs */
} subresources[] = {
	{"status", SUB_STATUS, NULL},
	{"scale", SUB_SCALE, api_scale},
	{"log", SUB_LOG, api_log},
	{"token", SUB_TOKEN, api_token_request},
	{"binding", SUB_BINDING, api_binding},
	{"finalize", SUB_FINALIZE, api_finalize},
	{"eviction", SUB_EVICTION, api_eviction},
	{"exec", SUB_REMOTE, api_remote},
	{"attach", SUB_REMOTE, api_remote},
	{"portforward", SUB_REMOTE, api_remote},
};

static int run_half(struct api_request *r)
{
	const char *m = r->http->method;
	if (strcmp(m, "GET") == 0)
		return api_get(r);
	if (strcmp(m, "PUT") == 0)
		return api_update(r);
	if (strcmp(m, "PATCH") == 0)
		return api_patch(r);
	return api_fail_method(r);
}

static int run_subresource(struct api_request *r)
{
	for (size_t i = 0; i < ARRAY_LEN(subresources); i++)
		if (strcmp(subresources[i].name, r->sub) == 0 && (r->kind->k->subresources & subresources[i].sub) != 0)
			return subresources[i].run != NULL ? subresources[i].run(r) : run_half(r);
	return fail_no_resource(r);
}

static const struct {
	const char *method;
	bool named;
	enum kind_verb verb;
	int (*run)(struct api_request *r);
} verbs[] = {
	{"GET", true, VERB_GET, api_get},
	{"GET", false, VERB_LIST, api_list},
	{"POST", false, VERB_CREATE, api_create},
	{"PUT", true, VERB_UPDATE, api_update},
	{"PATCH", true, VERB_PATCH, api_patch},
	{"DELETE", true, VERB_DELETE, api_delete},
	{"DELETE", false, VERB_DELETECOLLECTION, api_delete_collection},
};

static int run_verb(struct api_request *r)
{
	bool named = r->name[0] != '\0';
	for (size_t i = 0; i < ARRAY_LEN(verbs); i++) {
		if (strcmp(verbs[i].method, r->http->method) != 0 || verbs[i].named != named)
			continue;
		if ((r->kind->k->verbs & verbs[i].verb) == 0)
			return api_fail_method(r);
		return api_is_review(r->kind->k) ? api_review(r) : verbs[i].run(r);
	}
	return api_fail_method(r);
}

static int run_resource(struct api_request *r)
{
	int rc = api_authorize(r, api_verb(r));
	if (rc < 0)
		return rc;
	r->kind = api_registry_find(r->server->registry, r->group, r->version, r->plural);
	if (r->kind == NULL)
		return api_registry_serves(r->server->registry, r->group, r->version) ? fail_no_resource(r)
										      : api_reply_no_path(r);
	bool namespaced = r->kind->k->resource.namespaced;
	if ((!namespaced && r->ns[0] != '\0') || (namespaced && r->ns[0] == '\0' && r->name[0] != '\0'))
		return fail_no_resource(r);
	if (namespaced && r->ns[0] == '\0' && strcmp(r->http->method, "GET") != 0)
		return api_fail_method(r);
	r->verb = api_verb(r);
	rc = api_request_options(r);
	if (rc < 0)
		return rc;
	return r->sub[0] != '\0' ? run_subresource(r) : run_verb(r);
}

static int run_request(struct api_request *r)
{
	int rc = api_authenticate(r);
	if (rc < 0)
		return rc;
	if (api_path_parse(r->http->path, &r->arena, &r->group, &r->version, &r->plural, &r->ns, &r->name, &r->sub))
		return run_resource(r);
	rc = api_authorize_path(r);
	if (rc < 0)
		return rc;
	return api_discovery(r, &rc) ? rc : api_reply_no_path(r);
}

void api_handle(void *ctx, struct http_exchange *x)
{
	struct api_request r = {.server = ctx,
				.x = x,
				.http = http_exchange_request(x),
				.arena = ARENA_INIT(REQUEST_ARENA),
				.group = "",
				.version = "",
				.plural = "",
				.ns = "",
				.name = "",
				.sub = "",
				.manager = "unknown",
				.include_object = "Metadata",
				.verb = "other",
				.status = 200};
	int64_t began = clock_mono_ns();
	int rc = run_request(&r);
	if (!r.answered && rc == 0)
		rc = api_fail(&r, 500, "InternalError", NULL, "Internal error occurred: no answer");
	if (!r.answered && r.failure == NULL)
		(void)api_fail(&r, 500, "InternalError", NULL, "Internal error occurred: %s", strerror(-rc));
	if (!r.answered)
		api_reply_failure(&r);
	api_count_request(r.verb, r.status, clock_mono_ns() - began);
	api_request_clear(&r);
}

/** Errors that the HTTP server answers by itself. */
static char *http_error(void *ctx, int status, const char *message, const char **ret_content_type)
{
	(void)ctx;
	const char *reason = status == 413   ? "RequestEntityTooLarge"
			     : status == 400 ? "BadRequest"
			     : status == 429 ? "TooManyRequests"
			     : status == 503 ? "ServiceUnavailable"
					     : "InternalError";
	CLEANUP(free_p)
	char *text = status == 413 ? str_printf("Request entity too large: limit is %u", BODY_MAX) : NULL;
	JSON_AUTO j = api_status_new(status, reason, NULL, text != NULL ? text : message);
	*ret_content_type = "application/json";
	return json_to_text(j, NULL);
}

static int open_store(struct api_server *s, const struct api_server_options *so, struct error *err)
{
	CLEANUP(free_p) char *dir = str_printf("%s/api", so->data_dir);
	if (dir == NULL)
		return error_set(err, -ENOMEM, "out of memory");
	struct objstore_options o = {.dir = dir, .history = so->history, .on_commit = api_hub_commit, .ctx = s->hub};
	return objstore_open(&o, &s->store, err);
}

static int make_parts(struct api_server *s, const struct api_server_options *o, struct error *err)
{
	s->event_ttl_ns = o->event_ttl_ns > 0 ? o->event_ttl_ns : EVENT_TTL_NS;
	s->registry = api_registry_new();
	s->hub = api_hub_new();
	s->docs = api_docs_new();
	s->admission = api_admission_new();
	s->rbac = api_rbac_new();
	if (s->registry == NULL || s->hub == NULL || s->docs == NULL || s->admission == NULL || s->rbac == NULL)
		return error_set(err, -ENOMEM, "out of memory");
	s->logs = api_logs_new(o->data_dir, err);
	if (s->logs == NULL)
		return err != NULL ? err->code : -EIO;
	int rc = open_store(s, o, err);
	if (rc == 0)
		rc = api_hub_start(s->hub, s->store, err);
	if (rc == 0)
		rc = api_crd_load_all(s, err);
	if (rc == 0)
		rc = api_bootstrap(s, err);
	if (rc == 0)
		rc = api_janitor_start(s, err);
	return rc;
}

static int listen_here(struct api_server *s, const struct api_server_options *o, const struct api_pki *pki,
		       struct error *err)
{
	struct http_server_options h = {
		.address = o->address,
		.port = o->port,
		.cert_pem = pki->server.cert_pem,
		.key_pem = pki->server.key_pem,
		.client_ca_pem = pki->ca.cert_pem,
		.max_body = BODY_MAX,
		.workers = WORKERS,
		.stream_queue_max = STREAM_QUEUE_MAX,
		.handler = api_handle,
		.on_error = http_error,
		.ctx = s,
	};
	int rc = http_server_new(&h, &s->http, err);
	if (rc < 0)
		return rc;
	rc = api_publish_self(s, o->address, http_server_port(s->http), err);
	if (rc < 0)
		return rc;
	rc = api_pki_write_kubeconfig(pki, o->kubeconfig, o->address, http_server_port(s->http), err);
	if (rc == 0)
		rc = api_keys_new(o, s->http, &s->keys, err);
	if (rc == 0)
		api_janitor_keep_keys(s->janitor, s->keys);
	return rc;
}

static int serve(struct api_server *s, const struct api_server_options *o, struct error *err)
{
	CLEANUP(api_pki_clear) struct api_pki pki = {0};
	int rc = api_pki_open(o->data_dir, o->address != NULL ? o->address : "localhost", &pki, err);
	if (rc == 0)
		rc = api_tokens_new(pki.accounts.key_pem, &s->tokens, err);
	return rc < 0 || o->address == NULL ? rc : listen_here(s, o, &pki, err);
}

static void server_free_p(struct api_server **s)
{
	api_server_free(*s);
}

int api_server_new(const struct api_server_options *o, struct api_server **ret, struct error *err)
{
	CLEANUP(server_free_p) struct api_server *s = calloc(1, sizeof *s);
	if (s == NULL)
		return error_set(err, -ENOMEM, "out of memory");
	struct error own = {0};
	int rc = make_parts(s, o, &own);
	if (rc == 0)
		rc = serve(s, o, &own);
	if (rc < 0) {
		if (err != NULL)
			*err = own;
		return rc;
	}
	*ret = TAKE(s);
	return 0;
}

uint16_t api_server_port(const struct api_server *s)
{
	return http_server_port(s->http);
}

void api_server_free(struct api_server *s)
{
	if (s == NULL)
		return;
	if (s->admission != NULL)
		api_admission_stop(s->admission);
	api_janitor_stop(s);
	api_keys_free(s->keys);
	http_server_free(s->http); /* no more requests; all streams have ended */
	api_logs_free(s->logs);
	objstore_close(s->store); /* the last commits still reach the hub */
	api_janitor_free(s->janitor);
	api_hub_free(s->hub);
	api_docs_free(s->docs);
	api_tokens_free(s->tokens);
	api_admission_free(s->admission);
	api_rbac_free(s->rbac);
	api_registry_free(s->registry);
	free(s->address);
	free(s);
}
