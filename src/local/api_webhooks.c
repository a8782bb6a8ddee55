#include "local/api_webhooks.h"

#include <string.h>

#include "base/base64.h"
#include "base/cleanup.h"
#include "base/clock.h"
#include "base/error.h"
#include "base/str.h"
#include "local/api_internal.h"
#include "net/http_client.h"
#include "json/json.h"
#include "json/selector.h"

#define GROUP        "admissionregistration.k8s.io"
#define WEBHOOKS_MAX 1024

/* ---- the set ---- */

static void webhook_clear(struct api_webhook *w)
{
	label_selector_free(w->namespaces);
	label_selector_free(w->objects);
	http_client_free(w->client);
	free(w->url);
	json_decref(w->spec);
}

struct api_webhook_set *api_webhook_set_ref(struct api_webhook_set *set)
{
	atomic_fetch_add_explicit(&set->refs, 1, memory_order_relaxed);
	return set;
}

struct api_webhook_set *api_webhook_set_unref(struct api_webhook_set *set)
{
	if (set == NULL || atomic_fetch_sub_explicit(&set->refs, 1, memory_order_acq_rel) != 1)
		return NULL;
	for (size_t i = 0; i < set->n_mutating; i++)
		webhook_clear(&set->mutating[i]);
	for (size_t i = 0; i < set->n_validating; i++)
		webhook_clear(&set->validating[i]);
	free(set->mutating);
	free(set->validating);
	free(set);
	return NULL;
}

static void set_unref_p(struct api_webhook_set **set)
{
	(void)api_webhook_set_unref(*set);
}

/** "https://NAME.NS.svc:PORT/PATH" of a Service, as its certificate names it; or the URL that is given. */
static char *make_url(const struct api_webhook *w)
{
	if (w->service == NULL)
		return strdup(json_str(w->spec, "clientConfig.url", ""));
	return str_printf("https://%s.%s.svc:%lld%s", json_str(w->service, "name", ""),
			  json_str(w->service, "namespace", ""), (long long)json_int(w->service, "port", 443),
			  json_str(w->service, "path", ""));
}

static int make_client(struct api_webhook *w, struct error *err)
{
	const char *bundle = json_str(w->spec, "clientConfig.caBundle", "");
	CLEANUP(free_p) char *pem = NULL;
	size_t n = 0;
	if (bundle[0] != '\0' && base64_decode(bundle, &pem, &n) < 0)
		return error_set(err, -EINVAL, "webhook '%s': its caBundle is no base64", w->name);
	struct http_client_options o = {
		.user_agent = "kube-apiserver-admission", .ca_pem = pem, .no_proxy = w->service != NULL};
	return http_client_new(&o, &w->client, err);
}

static const char *review_version(const json_t *spec)
{
	size_t i;
	json_t *v;
	json_array_foreach (json_object_get(spec, "admissionReviewVersions"), i, v)
		if (str_same(json_string_value(v), "v1") || str_same(json_string_value(v), "v1beta1"))
			return json_string_value(v);
	return "v1";
}

static int read_webhook(struct api_webhook *w, json_t *spec, struct error *err)
{
	w->spec = json_incref(spec);
	w->name = json_str(spec, "name", "");
	w->ignore_failure = strcmp(json_str(spec, "failurePolicy", "Fail"), "Ignore") == 0;
	w->equivalent = strcmp(json_str(spec, "matchPolicy", "Equivalent"), "Equivalent") == 0;
	w->reinvoke = strcmp(json_str(spec, "reinvocationPolicy", "Never"), "IfNeeded") == 0;
	w->timeout_ns = json_int(spec, "timeoutSeconds", 10) * NSEC_PER_SEC;
	w->service = json_at(spec, "clientConfig.service");
	w->review_version = review_version(spec);
	w->url = make_url(w);
	if (w->url == NULL)
		return error_set(err, -ENOMEM, "out of memory");
	int rc = label_selector_from_json(json_object_get(spec, "namespaceSelector"), &w->namespaces, err);
	if (rc == 0)
		rc = label_selector_from_json(json_object_get(spec, "objectSelector"), &w->objects, err);
	return rc == 0 ? make_client(w, err) : rc;
}

struct gathering {
	struct api_webhook *v;
	size_t n, cap;
	struct error *err;
};

static int gather(void *ctx, const struct objstore_item *item)
{
	struct gathering *g = ctx;
	JSON_AUTO config = NULL;
	if (json_parse(item->data, item->n, &config, NULL) < 0)
		return -EIO;
	size_t i;
	json_t *spec;
	json_array_foreach (json_object_get(config, "webhooks"), i, spec) {
		if (g->n == g->cap) {
			size_t cap = g->cap > 0 ? g->cap * 2 : 8;
			struct api_webhook *v = cap <= WEBHOOKS_MAX ? reallocarray(g->v, cap, sizeof *v) : NULL;
			if (v == NULL)
				return error_set(g->err, -ENOMEM, "out of memory, or more than %d webhooks",
						 WEBHOOKS_MAX);
			g->v = v;
			g->cap = cap;
		}
		struct api_webhook *w = &g->v[g->n++];
		*w = (struct api_webhook){0};
		int rc = read_webhook(w, spec, g->err);
		if (rc < 0)
			return rc;
	}
	return 0;
}

static int load(struct api_server *s, const char *plural, struct api_webhook **ret, size_t *ret_n, struct error *err)
{
	struct gathering g = {.err = err};
	struct objstore_range range = {.group = GROUP, .plural = plural};
	int rc = objstore_list(s->store, &range, gather, &g, NULL, NULL, err);
	*ret = g.v; /* also on failure: the set frees what there is */
	*ret_n = g.n;
	return rc;
}

int api_webhook_set_load(struct api_server *s, struct api_webhook_set **ret, struct error *err)
{
	CLEANUP(set_unref_p) struct api_webhook_set *set = calloc(1, sizeof *set);
	if (set == NULL)
		return error_set(err, -ENOMEM, "out of memory");
	atomic_init(&set->refs, 1);
	int rc = load(s, "mutatingwebhookconfigurations", &set->mutating, &set->n_mutating, err);
	if (rc == 0)
		rc = load(s, "validatingwebhookconfigurations", &set->validating, &set->n_validating, err);
	if (rc == 0)
		*ret = TAKE(set);
	return rc;
}

/* ---- rules ---- */

static bool names(const json_t *list, const char *s)
{
	size_t i;
	json_t *v;
	json_array_foreach (list, i, v)
		if (str_same(json_string_value(v), s) || str_same(json_string_value(v), "*"))
			return true;
	return false;
}

/** "pods", "pods/status", "pods/" and a star, a star and "/status", "*" (no subresource), or both stars. */
static bool resource_named(const char *pattern, const struct api_webhook_target *t)
{
	const char *slash = strchr(pattern, '/');
	size_t n = slash != NULL ? (size_t)(slash - pattern) : strlen(pattern);
	const char *sub = slash != NULL ? slash + 1 : "";
	bool plural = (n == 1 && pattern[0] == '*') || (strlen(t->plural) == n && strncmp(pattern, t->plural, n) == 0);
	return plural && (strcmp(sub, "*") == 0 || strcmp(sub, t->sub) == 0);
}

static bool resources_name(const json_t *list, const struct api_webhook_target *t)
{
	size_t i;
	json_t *v;
	json_array_foreach (list, i, v)
		if (json_is_string(v) && resource_named(json_string_value(v), t))
			return true;
	return false;
}

bool api_webhook_rules_match(const struct api_webhook *w, const struct api_webhook_target *t)
{
	size_t i;
	json_t *rule;
	json_array_foreach (json_object_get(w->spec, "rules"), i, rule) {
		const char *scope = json_str(rule, "scope", "*");
		if (strcmp(scope, "*") != 0 && (strcmp(scope, "Namespaced") == 0) != t->namespaced)
			continue;
		if (names(json_object_get(rule, "operations"), t->operation) &&
		    names(json_object_get(rule, "apiGroups"), t->group) &&
		    names(json_object_get(rule, "apiVersions"), t->version) &&
		    resources_name(json_object_get(rule, "resources"), t))
			return true;
	}
	return false;
}
