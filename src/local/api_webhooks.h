/*
 * The admission webhooks that are configured, parsed once for all requests until a configuration changes.
 * Threads: any. A set is immutable; the reference keeps it.
 */
#pragma once

#include <jansson.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>

struct api_server;
struct error;
struct http_client;
struct label_selector;
struct kube_resource;

/** One webhook of a configuration. */
struct api_webhook {
	json_t *spec; /* as configured */
	const char *name;
	bool ignore_failure, equivalent, reinvoke;
	int64_t timeout_ns;
	struct label_selector *namespaces, *objects;
	struct http_client *client;
	char *url;                  /* without a query */
	json_t *service;            /* borrowed from spec; NULL: the URL is asked directly */
	const char *review_version; /* "v1" or "v1beta1" */
};

struct api_webhook_set {
	atomic_uint refs;
	struct api_webhook *mutating, *validating;
	size_t n_mutating, n_validating;
};

/** Read all configurations of the store. */
int api_webhook_set_load(struct api_server *s, struct api_webhook_set **ret, struct error *err);
struct api_webhook_set *api_webhook_set_ref(struct api_webhook_set *set);
/** Always returns NULL. Accepts NULL. */
struct api_webhook_set *api_webhook_set_unref(struct api_webhook_set *set);

/** What a rule is compared with. */
struct api_webhook_target {
	const char *operation, *group, *version, *plural, *sub;
	bool namespaced;
};
/** Whether one of the webhook's rules names the target. */
bool api_webhook_rules_match(const struct api_webhook *w, const struct api_webhook_target *t);
