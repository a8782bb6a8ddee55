/*
 * Kubernetes REST client. Threads: a client may be used from any thread; calls block and have a deadline (default 30 s).
 *
 * Errors: err->status is the HTTP status, err->reason the Status.reason, err->msg "get pods default/x: <server's message>". The code is
 * -ENOENT 404, -EEXIST 409 AlreadyExists, -ESTALE 409 Conflict, -EKEYEXPIRED 410, -EINVAL 400/422, -EACCES 401, -EPERM 403,
 * -EOPNOTSUPP 405/415, -EBUSY 429 after retries, -EIO 5xx; transport errors as in net/http_client.h.
 * Retry-After is obeyed (within the deadline): with 429 and 503 always (nothing was done), with other 5xx where doing it twice is harmless
 * (not for POST and JSON patches).
 * GETs are tried again once when a kept connection was found dead. Requests are counted as rest_client_requests_total and so on.
 */
#pragma once

#include <jansson.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "kube/resource.h"

struct error;
struct kube_client;
struct kube_config;

/** Field manager and user agent of everything we write. */
#define KUBE_FIELD_MANAGER "sluice"

/**
 * Load @path, or, when NULL, $KUBECONFIG (a list is merged: the first that says something counts), ~/.kube/config, or the in-cluster
 * service account. @context NULL: the current one. Certificates given as data or file; token, token file or credential plug-in.
 */
int kube_config_load(const char *path, const char *context, struct kube_config **ret, struct error *err);
/** Namespace of the context, "default" when it names none. Borrowed. */
const char *kube_config_namespace(const struct kube_config *cfg);
const char *kube_config_server(const struct kube_config *cfg);
void kube_config_free(struct kube_config *cfg);

/** @user_agent NULL: "sluice". Copies what it needs of @cfg. */
int kube_client_new(const struct kube_config *cfg, const char *user_agent, struct kube_client **ret, struct error *err);
/** Accepts NULL. */
void kube_client_free(struct kube_client *c);
/** Make every call under way look at its cancel flag now. Any thread. */
void kube_client_interrupt(struct kube_client *c);

/** Says whether what changes something may be sent now. Called by any thread, right before each attempt. */
struct kube_fence {
	bool (*open)(void *ctx);
	void *ctx;
};
/**
 * From now on ask @f (borrowed; NULL: nobody) before everything that changes something is sent, exec too; what is refused is -ECANCELED
 * with reason "NotLeader". Events and the election's own Lease pass: the one says what was, the other is how one becomes the leader.
 */
void kube_client_set_fence(struct kube_client *c, const struct kube_fence *f);

/* In all calls: @ns is ignored for cluster-scoped resources, NULL or "" means all namespaces in a list; @sub is NULL or a subresource
 * ("status"); *@ret is a new tree and may be NULL when the caller does not want it. */
int kube_get(struct kube_client *c, const struct kube_resource *r, const char *ns, const char *name, json_t **ret,
	     struct error *err);

struct kube_list_options {
	const char *label_selector, *field_selector;
	const char *resource_version; /* NULL: the newest */
	int64_t limit;                /* page size; 0: all at once */
	const char *cont;             /* continue token */
};
/** The whole List object. @o may be NULL. */
int kube_list(struct kube_client *c, const struct kube_resource *r, const char *ns, const struct kube_list_options *o,
	      json_t **ret, struct error *err);
/**
 * One object (@name NULL: those of a list) as the server prints it: a meta.k8s.io/v1 Table. A server that makes none answers with the
 * object or list itself.
 */
int kube_get_table(struct kube_client *c, const struct kube_resource *r, const char *ns, const char *name,
		   const struct kube_list_options *o, json_t **ret, struct error *err);
int kube_create(struct kube_client *c, const struct kube_resource *r, const char *ns, const json_t *obj, json_t **ret,
		struct error *err);
/** POST to a subresource that acts on an object ("binding" of a pod). */
int kube_create_sub(struct kube_client *c, const struct kube_resource *r, const char *ns, const char *name,
		    const char *sub, const json_t *obj, json_t **ret, struct error *err);
/** PUT: only for status of objects that one writer owns, and Leases; prefer patch and apply. */
int kube_update(struct kube_client *c, const struct kube_resource *r, const char *ns, const char *name, const char *sub,
		const json_t *obj, json_t **ret, struct error *err);

enum kube_patch_type { KUBE_PATCH_JSON, KUBE_PATCH_MERGE, KUBE_PATCH_STRATEGIC };
int kube_patch(struct kube_client *c, const struct kube_resource *r, const char *ns, const char *name, const char *sub,
	       enum kube_patch_type type, const json_t *patch, json_t **ret, struct error *err);
/** Server-side apply of @obj (apiVersion, kind, metadata.name set) as KUBE_FIELD_MANAGER, forced. */
int kube_apply(struct kube_client *c, const struct kube_resource *r, const char *ns, const char *name, const char *sub,
	       const json_t *obj, json_t **ret, struct error *err);

struct kube_delete_options {
	int64_t grace_seconds;        /* -1: the object's own */
	const char *uid;              /* precondition; NULL: none */
	const char *resource_version; /* precondition; NULL: none */
	const char *propagation;      /* "Background", "Foreground", "Orphan"; NULL: the server's default */
};
#define KUBE_DELETE_DEFAULT ((struct kube_delete_options){.grace_seconds = -1})
/** @o may be NULL. An absent object is -ENOENT. */
int kube_delete(struct kube_client *c, const struct kube_resource *r, const char *ns, const char *name,
		const struct kube_delete_options *o, struct error *err);

/** One watch event. @type is "ADDED", "MODIFIED", "DELETED", "BOOKMARK" or "ERROR" (object is then a Status). Negative return ends the watch. */
typedef int (*kube_watch_fn)(void *ctx, const char *type, json_t *object);
/**
 * Watch from @resource_version until the server ends it (0), @cancel becomes true (-ECANCELED), @fn says so, or an error; -EKEYEXPIRED: list again.
 * A line longer than 8 MiB is -EFBIG.
 */
int kube_watch(struct kube_client *c, const struct kube_resource *r, const char *ns, const struct kube_list_options *o,
	       kube_watch_fn fn, void *ctx, const atomic_bool *cancel, struct error *err);

struct kube_log_options {
	const char *container; /* NULL: the pod's only one */
	bool follow, previous, timestamps;
	int64_t tail_lines;  /* -1: from the beginning */
	int64_t limit_bytes; /* 0: all */
	int64_t timeout_ns;  /* 0: the usual deadline */
	/** Bytes as they come; a negative return ends the call with it. */
	int (*on_data)(void *ctx, const void *data, size_t n);
	void *ctx;
	const atomic_bool *cancel; /* may be NULL */
};
/** What a container wrote, to its end, or, with follow, until it ends: then there is no deadline. */
int kube_pod_log(struct kube_client *c, const char *ns, const char *pod, const struct kube_log_options *o,
		 struct error *err);

/** GET an absolute path ("/version") into malloc'ed text. */
int kube_get_raw(struct kube_client *c, const char *path, char **ret, size_t *ret_n, struct error *err);

/* Typed access to what every object has. Borrowed strings, "" when absent. */
const char *obj_name(const json_t *obj);
const char *obj_namespace(const json_t *obj);
const char *obj_uid(const json_t *obj);
const char *obj_resource_version(const json_t *obj);
bool obj_deleting(const json_t *obj);                           /* deletionTimestamp set */
const char *obj_label(const json_t *obj, const char *key);      /* NULL when absent */
const char *obj_annotation(const json_t *obj, const char *key); /* NULL when absent */
bool obj_has_finalizer(const json_t *obj, const char *finalizer);
/** Borrowed controller ownerReference, or NULL. */
json_t *obj_controller_ref(const json_t *obj);
/** Condition Complete or Failed of a Job that has ended; borrowed, NULL while it has not. */
const json_t *obj_job_end(const json_t *job);
