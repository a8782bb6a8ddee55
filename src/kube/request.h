/* Inside src/kube only: one request with everything the public calls do not offer (stop flag, deadline, streaming). */
#pragma once

#include <jansson.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct error;
struct http_answer;
struct kube_client;
struct kube_list_options;
struct kube_resource;

#define KUBE_TIMEOUT_NS INT64_C(30000000000)

struct kube_request {
	const char *method;
	char *path_query; /* "/api/v1/pods?limit=1", escaped; owned: kube_request_clear() */
	const char *what; /* "get pods default/x": opens every error message */
	const char *content_type;
	const char *accept; /* NULL: application/json */
	const void *body;
	size_t body_n;
	int64_t timeout_ns;        /* of all attempts together; 0: none */
	int64_t stall_ns;          /* 0: none */
	const atomic_bool *cancel; /* may be NULL */
	bool unfenced;             /* may be sent by one who does not lead */
	int (*on_data)(void *ctx, const void *data, size_t n);
	void *ctx;
};

/** Send, obeying Retry-After, until there is a 2xx answer (0, *@ret to be cleared) or an error as client.h describes it. */
int kube_request_do(struct kube_client *c, const struct kube_request *q, struct http_answer *ret, struct error *err);

/** 0, or -ECANCELED: the fence keeps @what from being sent. */
int kube_fence_check(struct kube_client *c, const char *what, struct error *err);

/** A malloc'ed copy of the bearer token to send, NULL for none; to be wiped. @again: the last one was refused. */
int kube_token(struct kube_client *c, bool again, char **ret, struct error *err);
/** Wipe and free one; for CLEANUP(). */
void kube_token_free_p(char **token);

/** The negative errno for an HTTP status with a Status reason; 0 for 2xx. */
int kube_status_errno(int http_status, const char *reason);
/** Fill @err from a Status object (NULL: from the number alone), with "@what: " in front. Returns its errno. */
int kube_status_error(struct error *err, int http_status, const json_t *status, const char *what);

/** The escaped path and query of a list, malloc'ed. 0, -EFBIG, -ENOMEM. */
int kube_list_path(const struct kube_resource *r, const char *ns, const struct kube_list_options *o, char **ret);
/** kube_list() that a stop flag can end. */
int kube_list_cancelable(struct kube_client *c, const struct kube_resource *r, const char *ns,
			 const struct kube_list_options *o, const atomic_bool *cancel, json_t **ret, struct error *err);

/** What one call has of its own; NULL where it is taken: the usual deadline, no stop flag, the fence is asked. */
struct kube_limits {
	int64_t timeout_ns;
	const atomic_bool *cancel;
	bool unfenced;
};
/** kube_create() and a merge patch with that. */
int kube_create_within(struct kube_client *c, const struct kube_resource *r, const char *ns, const json_t *obj,
		       const struct kube_limits *lim, struct error *err);
int kube_merge_within(struct kube_client *c, const struct kube_resource *r, const char *ns, const char *name,
		      const json_t *patch, const struct kube_limits *lim, struct error *err);
