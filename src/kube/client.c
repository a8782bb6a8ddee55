#include "kube/client.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/error.h"
#include "base/str.h"
#include "base/strbuf.h"
#include "kube/client_private.h"
#include "kube/config.h"
#include "kube/exec_credential.h"
#include "kube/request.h"
#include "net/http_client.h"
#include "json/json.h"

#define PATH_MAX_BYTES (64u << 10) /* selectors are the long part */

static void answer_clear_p(struct http_answer *a)
{
	http_answer_clear(a);
}

/* --- making and ending a client --- */

static int no_memory(struct error *err)
{
	return error_set(err, -ENOMEM, "kube client: out of memory");
}

void kube_client_interrupt(struct kube_client *c)
{
	http_client_interrupt(c->http);
}

void kube_client_set_fence(struct kube_client *c, const struct kube_fence *f)
{
	atomic_store_explicit(&c->fence, f, memory_order_release);
}

void kube_client_free(struct kube_client *c)
{
	if (c == NULL)
		return;
	http_client_free(c->http);
	free(c->server);
	free(c->token_file);
	exec_credential_unref(c->exec);
	if (c->token != NULL)
		explicit_bzero(c->token, strlen(c->token));
	free(c->token);
	pthread_mutex_destroy(&c->lock);
	free(c);
}

static void client_free_p(struct kube_client **c)
{
	kube_client_free(*c);
}

int kube_client_new(const struct kube_config *cfg, const char *user_agent, struct kube_client **ret, struct error *err)
{
	CLEANUP(client_free_p) struct kube_client *c = calloc(1, sizeof *c);
	if (c == NULL)
		return no_memory(err);
	pthread_mutex_init(&c->lock, NULL);
	c->server = strdup(cfg->server);
	const char *host = c->server != NULL ? strstr(c->server, "://") : NULL;
	c->host = host != NULL ? host + 3 : "";
	c->exec = exec_credential_ref(cfg->exec);
	c->token_file = cfg->token_file != NULL ? strdup(cfg->token_file) : NULL;
	c->token = cfg->token != NULL && cfg->token_file == NULL ? strdup(cfg->token) : NULL;
	if (c->server == NULL || (cfg->token_file != NULL && c->token_file == NULL) ||
	    (cfg->token != NULL && cfg->token_file == NULL && c->token == NULL))
		return no_memory(err);
	const struct http_client_options o = {
		.user_agent = user_agent != NULL ? user_agent : KUBE_FIELD_MANAGER,
		.ca_pem = cfg->ca_pem,
		.cert_pem = cfg->cert_pem,
		.key_pem = cfg->key_pem,
		.insecure = cfg->insecure,
		.max_idle = 32,
	};
	int rc = http_client_new(&o, &c->http, err);
	if (rc < 0)
		return error_wrap(err, rc, "kube client for %s", cfg->server);
	*ret = TAKE(c);
	return 0;
}

/* --- paths --- */

static void add_query(struct strbuf *b, char *sep, const char *key, const char *value)
{
	if (value == NULL || value[0] == '\0')
		return;
	strbuf_addc(b, *sep);
	*sep = '&';
	strbuf_addf(b, "%s=", key);
	strbuf_add_url(b, value, "");
}

/* "/api/v1/namespaces/ns/pods[/name[/sub]]" */
static void add_path(struct strbuf *b, const struct kube_resource *r, const char *ns, const char *name, const char *sub)
{
	if (r->group[0] == '\0')
		strbuf_addf(b, "/api/%s", r->version);
	else
		strbuf_addf(b, "/apis/%s/%s", r->group, r->version);
	if (r->namespaced && ns != NULL && ns[0] != '\0') {
		strbuf_adds(b, "/namespaces/");
		strbuf_add_url(b, ns, "");
	}
	strbuf_addf(b, "/%s", r->plural);
	if (name != NULL) {
		strbuf_addc(b, '/');
		strbuf_add_url(b, name, "");
	}
	if (sub != NULL && sub[0] != '\0')
		strbuf_addf(b, "/%s", sub);
}

/* One call while it is being put together: its path, and the words that open its error messages. */
struct call {
	struct strbuf path;
	char sep; /* '?' until the first query parameter */
	char what[400];
};

static void call_clear(struct call *k)
{
	strbuf_clear(&k->path);
}

static int call_begin(struct call *k, const char *verb, const struct kube_resource *r, const char *ns, const char *name,
		      const char *sub, bool one_object, struct error *err)
{
	const bool in_ns = r->namespaced && ns != NULL && ns[0] != '\0';
	k->path = STRBUF_INIT(PATH_MAX_BYTES);
	k->sep = '?';
	(void)snprintf(
		k->what, sizeof k->what, "%s %s%s%s%s%s%s%s", verb, r->plural, /* a cut text is still a good one */
		sub != NULL && sub[0] != '\0' ? "/" : "", sub != NULL ? sub : "", in_ns || name != NULL ? " " : "",
		in_ns ? ns : "", in_ns && name != NULL ? "/" : "", name != NULL ? name : "");
	if (one_object && (name == NULL || name[0] == '\0'))
		return error_set(err, -EINVAL, "%s: no name was given", k->what);
	if (one_object && (strcmp(name, ".") == 0 || strcmp(name, "..") == 0))
		return error_set(err, -EINVAL, "%s: this is no name", k->what);
	if (one_object && r->namespaced && !in_ns)
		return error_set(err, -EINVAL, "%s: no namespace was given", k->what);
	add_path(&k->path, r, ns, name, sub);
	return 0;
}

static int call_send(struct kube_client *c, struct call *k, struct kube_request *q, json_t **ret, struct error *err)
{
	CLEANUP(answer_clear_p) struct http_answer a = {0};
	CLEANUP(free_p) char *path = NULL;
	int rc = strbuf_take(&k->path, &path);
	if (rc < 0)
		return error_set(err, rc, "%s: %s", k->what,
				 rc == -ENOMEM ? "out of memory" : "the request's path is too long");
	q->path_query = path;
	q->what = k->what;
	if (q->timeout_ns == 0)
		q->timeout_ns = KUBE_TIMEOUT_NS;
	rc = kube_request_do(c, q, &a, err);
	if (rc < 0 || ret == NULL)
		return rc;
	json_t *tree = NULL;
	rc = json_parse(a.body, a.body_n, &tree, err);
	if (rc < 0)
		return error_wrap(err, rc == -EINVAL ? -EPROTO : rc, "%s: the server's answer", k->what);
	if (!json_is_object(tree)) {
		json_decref(tree);
		return error_set(err, -EPROTO, "%s: the server's answer is no object", k->what);
	}
	*ret = tree;
	return 0;
}

static int call_send_body(struct kube_client *c, struct call *k, const char *method, const char *content_type,
			  const json_t *body, const struct kube_limits *lim, json_t **ret, struct error *err)
{
	size_t n = 0;
	CLEANUP(free_p) char *text = json_to_text(body, &n);
	if (text == NULL)
		return error_set(err, -ENOMEM, "%s: out of memory", k->what);
	struct kube_request q = {
		.method = method,
		.content_type = content_type,
		.body = text,
		.body_n = n,
		.timeout_ns = lim != NULL ? lim->timeout_ns : 0,
		.cancel = lim != NULL ? lim->cancel : NULL,
		.unfenced = lim != NULL && lim->unfenced,
	};
	return call_send(c, k, &q, ret, err);
}

/* --- the verbs --- */

int kube_get(struct kube_client *c, const struct kube_resource *r, const char *ns, const char *name, json_t **ret,
	     struct error *err)
{
	CLEANUP(call_clear) struct call k = {0};
	struct kube_request q = {.method = "GET"};
	int rc = call_begin(&k, "get", r, ns, name, NULL, true, err);
	return rc < 0 ? rc : call_send(c, &k, &q, ret, err);
}

static void add_list_query(struct call *k, const struct kube_list_options *o)
{
	if (o == NULL)
		return;
	char limit[24];
	(void)snprintf(limit, sizeof limit, "%lld", (long long)o->limit);
	add_query(&k->path, &k->sep, "labelSelector", o->label_selector);
	add_query(&k->path, &k->sep, "fieldSelector", o->field_selector);
	add_query(&k->path, &k->sep, "resourceVersion", o->resource_version);
	add_query(&k->path, &k->sep, "limit", o->limit > 0 ? limit : NULL);
	add_query(&k->path, &k->sep, "continue", o->cont);
}

int kube_list_path(const struct kube_resource *r, const char *ns, const struct kube_list_options *o, char **ret)
{
	CLEANUP(call_clear) struct call k = {.path = STRBUF_INIT(PATH_MAX_BYTES), .sep = '?'};
	add_path(&k.path, r, ns, NULL, NULL);
	add_list_query(&k, o);
	return strbuf_take(&k.path, ret);
}

int kube_list_cancelable(struct kube_client *c, const struct kube_resource *r, const char *ns,
			 const struct kube_list_options *o, const atomic_bool *cancel, json_t **ret, struct error *err)
{
	CLEANUP(call_clear) struct call k = {0};
	struct kube_request q = {.method = "GET", .cancel = cancel};
	int rc = call_begin(&k, "list", r, ns, NULL, NULL, false, err);
	if (rc < 0)
		return rc;
	add_list_query(&k, o);
	return call_send(c, &k, &q, ret, err);
}

int kube_list(struct kube_client *c, const struct kube_resource *r, const char *ns, const struct kube_list_options *o,
	      json_t **ret, struct error *err)
{
	return kube_list_cancelable(c, r, ns, o, NULL, ret, err);
}

int kube_get_table(struct kube_client *c, const struct kube_resource *r, const char *ns, const char *name,
		   const struct kube_list_options *o, json_t **ret, struct error *err)
{
	CLEANUP(call_clear) struct call k = {0};
	struct kube_request q = {.method = "GET",
				 .accept = "application/json;as=Table;v=v1;g=meta.k8s.io,application/json"};
	int rc = call_begin(&k, name != NULL ? "get" : "list", r, ns, name, NULL, name != NULL, err);
	if (rc < 0)
		return rc;
	if (name == NULL)
		add_list_query(&k, o);
	return call_send(c, &k, &q, ret, err);
}

static int create(struct kube_client *c, const struct kube_resource *r, const char *ns, const json_t *obj,
		  const struct kube_limits *lim, json_t **ret, struct error *err)
{
	CLEANUP(call_clear) struct call k = {0};
	const char *name = obj_name(obj);
	int rc = call_begin(&k, "create", r, ns, NULL, NULL, false, err);
	if (rc < 0)
		return rc;
	if (r->namespaced && (ns == NULL || ns[0] == '\0'))
		return error_set(err, -EINVAL, "%s %s: no namespace was given", k.what, name);
	(void)snprintf(k.what, sizeof k.what, "create %s %s%s%s", r->plural, r->namespaced ? ns : "",
		       r->namespaced ? "/" : "", name[0] != '\0' ? name : json_str(obj, "metadata.generateName", ""));
	add_query(&k.path, &k.sep, "fieldManager", KUBE_FIELD_MANAGER);
	return call_send_body(c, &k, "POST", "application/json", obj, lim, ret, err);
}

int kube_create(struct kube_client *c, const struct kube_resource *r, const char *ns, const json_t *obj, json_t **ret,
		struct error *err)
{
	return create(c, r, ns, obj, NULL, ret, err);
}

int kube_create_within(struct kube_client *c, const struct kube_resource *r, const char *ns, const json_t *obj,
		       const struct kube_limits *lim, struct error *err)
{
	return create(c, r, ns, obj, lim, NULL, err);
}

int kube_create_sub(struct kube_client *c, const struct kube_resource *r, const char *ns, const char *name,
		    const char *sub, const json_t *obj, json_t **ret, struct error *err)
{
	CLEANUP(call_clear) struct call k = {0};
	int rc = call_begin(&k, "create", r, ns, name, sub, true, err);
	if (rc < 0)
		return rc;
	add_query(&k.path, &k.sep, "fieldManager", KUBE_FIELD_MANAGER);
	return call_send_body(c, &k, "POST", "application/json", obj, NULL, ret, err);
}

int kube_update(struct kube_client *c, const struct kube_resource *r, const char *ns, const char *name, const char *sub,
		const json_t *obj, json_t **ret, struct error *err)
{
	CLEANUP(call_clear) struct call k = {0};
	int rc = call_begin(&k, "update", r, ns, name, sub, true, err);
	if (rc < 0)
		return rc;
	add_query(&k.path, &k.sep, "fieldManager", KUBE_FIELD_MANAGER);
	return call_send_body(c, &k, "PUT", "application/json", obj, NULL, ret, err);
}

static int patch_within(struct kube_client *c, const struct kube_resource *r, const char *ns, const char *name,
			const char *sub, enum kube_patch_type type, const json_t *patch, const struct kube_limits *lim,
			json_t **ret, struct error *err)
{
	static const char *const content_types[] = {
		[KUBE_PATCH_JSON] = "application/json-patch+json",
		[KUBE_PATCH_MERGE] = "application/merge-patch+json",
		[KUBE_PATCH_STRATEGIC] = "application/strategic-merge-patch+json",
	};
	CLEANUP(call_clear) struct call k = {0};
	int rc = call_begin(&k, "patch", r, ns, name, sub, true, err);
	if (rc < 0)
		return rc;
	add_query(&k.path, &k.sep, "fieldManager", KUBE_FIELD_MANAGER);
	return call_send_body(c, &k, "PATCH", content_types[type], patch, lim, ret, err);
}

int kube_patch(struct kube_client *c, const struct kube_resource *r, const char *ns, const char *name, const char *sub,
	       enum kube_patch_type type, const json_t *patch, json_t **ret, struct error *err)
{
	return patch_within(c, r, ns, name, sub, type, patch, NULL, ret, err);
}

int kube_merge_within(struct kube_client *c, const struct kube_resource *r, const char *ns, const char *name,
		      const json_t *patch, const struct kube_limits *lim, struct error *err)
{
	return patch_within(c, r, ns, name, NULL, KUBE_PATCH_MERGE, patch, lim, NULL, err);
}

int kube_apply(struct kube_client *c, const struct kube_resource *r, const char *ns, const char *name, const char *sub,
	       const json_t *obj, json_t **ret, struct error *err)
{
	CLEANUP(call_clear) struct call k = {0};
	int rc = call_begin(&k, "apply", r, ns, name, sub, true, err);
	if (rc < 0)
		return rc;
	add_query(&k.path, &k.sep, "fieldManager", KUBE_FIELD_MANAGER);
	add_query(&k.path, &k.sep, "force", "true");
	return call_send_body(c, &k, "PATCH", "application/apply-patch+yaml", obj, NULL, ret, err);
}

/* DeleteOptions as a tree; NULL on no memory. */
static json_t *delete_options(const struct kube_delete_options *o)
{
	json_t *j = json_pack("{s:s, s:s}", "apiVersion", "v1", "kind", "DeleteOptions");
	int rc = j == NULL ? -1 : 0;
	if (rc == 0 && o->grace_seconds >= 0)
		rc |= json_put_int(j, "gracePeriodSeconds", o->grace_seconds);
	if (rc == 0 && o->uid != NULL)
		rc |= json_put_str(j, "preconditions.uid", o->uid);
	if (rc == 0 && o->resource_version != NULL)
		rc |= json_put_str(j, "preconditions.resourceVersion", o->resource_version);
	if (rc == 0 && o->propagation != NULL)
		rc |= json_put_str(j, "propagationPolicy", o->propagation);
	if (rc == 0)
		return j;
	json_decref(j);
	return NULL;
}

int kube_delete(struct kube_client *c, const struct kube_resource *r, const char *ns, const char *name,
		const struct kube_delete_options *o, struct error *err)
{
	static const struct kube_delete_options dflt = {.grace_seconds = -1};
	CLEANUP(call_clear) struct call k = {0};
	int rc = call_begin(&k, "delete", r, ns, name, NULL, true, err);
	if (rc < 0)
		return rc;
	JSON_AUTO body = delete_options(o != NULL ? o : &dflt);
	if (body == NULL)
		return error_set(err, -ENOMEM, "%s: out of memory", k.what);
	return call_send_body(c, &k, "DELETE", "application/json", body, NULL, NULL, err);
}

int kube_pod_log(struct kube_client *c, const char *ns, const char *pod, const struct kube_log_options *o,
		 struct error *err)
{
	CLEANUP(call_clear) struct call k = {0};
	char tail[24], limit[24];
	int rc = call_begin(&k, "get", &KUBE_POD, ns, pod, "log", true, err);
	if (rc < 0)
		return rc;
	(void)snprintf(tail, sizeof tail, "%lld", (long long)o->tail_lines);
	if (o->container != NULL)
		add_query(&k.path, &k.sep, "container", o->container);
	if (o->follow)
		add_query(&k.path, &k.sep, "follow", "true");
	if (o->previous)
		add_query(&k.path, &k.sep, "previous", "true");
	if (o->timestamps)
		add_query(&k.path, &k.sep, "timestamps", "true");
	if (o->tail_lines >= 0)
		add_query(&k.path, &k.sep, "tailLines", tail);
	(void)snprintf(limit, sizeof limit, "%lld", (long long)o->limit_bytes); /* at most 20 characters */
	if (o->limit_bytes > 0)
		add_query(&k.path, &k.sep, "limitBytes", limit);
	CLEANUP(free_p) char *path = NULL;
	rc = strbuf_take(&k.path, &path);
	if (rc < 0)
		return error_set(err, rc, "%s: the request's path is too long", k.what);
	CLEANUP(answer_clear_p) struct http_answer a = {0};
	const struct kube_request q = {.method = "GET",
				       .path_query = path,
				       .what = k.what,
				       .timeout_ns = o->timeout_ns > 0 ? o->timeout_ns
						     : o->follow       ? 0
								       : KUBE_TIMEOUT_NS,
				       .cancel = o->cancel,
				       .on_data = o->on_data,
				       .ctx = o->ctx};
	return kube_request_do(c, &q, &a, err);
}

int kube_get_raw(struct kube_client *c, const char *path, char **ret, size_t *ret_n, struct error *err)
{
	CLEANUP(free_p) char *what = str_printf("get %s", path);
	CLEANUP(free_p) char *copy = strdup(path);
	struct http_answer a = {0};
	if (what == NULL || copy == NULL)
		return no_memory(err);
	const struct kube_request q = {
		.method = "GET", .path_query = copy, .what = what, .timeout_ns = KUBE_TIMEOUT_NS};
	int rc = kube_request_do(c, &q, &a, err);
	if (rc < 0)
		return rc;
	if (ret_n != NULL)
		*ret_n = a.body_n;
	*ret = TAKE(a.body);
	http_answer_clear(&a);
	return 0;
}
