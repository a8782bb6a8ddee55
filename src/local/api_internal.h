/* The parts of the API server as they see one another. Lock order: hub, watcher; nothing of ours is held while the store is called. */
#pragma once

#include <jansson.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "local/api_request.h"
#include "local/store.h"

struct api_admission;
struct api_docs;
struct api_hub;
struct api_janitor;
struct api_keys;
struct api_logs;
struct api_rbac;
struct api_server;
struct field_selector;
struct http_server;
struct label_selector;
struct shape_ops;

struct api_server {
	struct objstore *store;
	struct api_registry *registry;
	struct api_hub *hub;
	struct api_docs *docs;
	struct api_janitor *janitor;
	struct http_server *http;
	struct api_keys *keys;
	struct api_logs *logs;
	struct api_tokens *tokens;
	struct api_admission *admission;
	struct api_rbac *rbac;
	int64_t event_ttl_ns;
	char *address;               /* listened on; written before unpublished_port is */
	atomic_int unpublished_port; /* not 0: the Endpoints of this server wait for room on the disk */
};

/** Answer one request; @ctx is the server (http_handler). */
void api_handle(void *ctx, struct http_exchange *x);

/* Reading (api_read.c). */
int api_get(struct api_request *r);
int api_list(struct api_request *r);
/** The stored object of @r's kind at @name, in the version asked for; a Status when absent. */
int api_load(struct api_request *r, const char *name, json_t **ret, int64_t *ret_revision);
/** The object @name of another resource: -ENOENT when absent, no Status then. */
int api_load_other(struct api_server *s, const char *group, const char *plural, const char *ns, const char *name,
		   json_t **ret, int64_t *ret_revision);

/* Watching (api_watch.c). */
struct api_watch_options {
	struct label_selector *labels; /* taken, may be NULL */
	struct field_selector *fields; /* taken, may be NULL */
	int64_t from;                  /* changes after this revision */
	bool initial;                  /* first everything that exists, as ADDED */
	bool initial_bookmark;         /* tell when that is done */
	bool bookmarks;
	int64_t timeout_ns;
};
/** NULL on no memory. */
struct api_hub *api_hub_new(void);
/** Give it the store, which was opened with api_hub_commit() as its listener. Starts the timer's thread. */
int api_hub_start(struct api_hub *hub, struct objstore *store, struct error *err);
/** All streams must have ended. Accepts NULL. */
void api_hub_free(struct api_hub *hub);
/** The store's on_commit; @ctx is the hub. */
void api_hub_commit(void *ctx, struct objstore_event *const *events, size_t n);
/** Called for each change after the watchers were told, on the committing thread; must not block. */
void api_hub_listen(struct api_hub *hub, void (*fn)(void *ctx, const struct objstore_event *e), void *ctx);
/** How many watches are open. */
size_t api_hub_size(struct api_hub *hub);
/** Answer @r with a watch. Takes the selectors. */
int api_watch_begin(struct api_request *r, const struct api_watch_options *o);

/* Bodies (api_body.c). */
/** Parse a JSON, YAML or protobuf body by its content type into one tree; defaults apiVersion and kind of @kind. */
int api_body_object(struct api_request *r, const struct kind *kind, json_t **ret);
/** A patch: JSON or YAML, as the content type said. */
int api_body_parse(struct api_request *r, bool yaml, json_t **ret);
/** The DeleteOptions of a body or the query, as a tree ({} when there are none). */
int api_body_delete_options(struct api_request *r, json_t **ret);
/** Report unknown fields of @obj as fieldValidation says, and remove them. */
int api_body_prune(struct api_request *r, json_t *obj);

/* Writing (api_write.c). */
int api_create(struct api_request *r);
int api_update(struct api_request *r);
/** Create @obj, which came from a body or an apply. @ret is the object as stored. */
int api_create_object(struct api_request *r, json_t *obj, bool managed, json_t **ret);
/**
 * Replace @old (at @revision) by @obj, both complete and of the version asked for; @managed: the managed fields are right already.
 * -ESTALE when somebody else was faster.
 */
int api_replace_object(struct api_request *r, const json_t *old, int64_t revision, json_t *obj, bool managed,
		       json_t **ret);
/** Store the removal of @old with its last state. -ESTALE as above. */
int api_remove_object(struct api_request *r, json_t *old, int64_t revision);
/** Write @obj as it is for the server itself; @expect as in objstore_write(). Inserts the new resourceVersion. */
int api_store_object(struct api_server *s, const struct objstore_key *key, json_t *obj, int64_t expect, bool remove,
		     struct error *err);
/**
 * Store @obj as @r's kind has it, in the storage version; it stays in the one asked for. 0, -EEXIST, -ESTALE (gone or changed meanwhile),
 * API_FAILED.
 */
int api_store_request(struct api_request *r, const char *name, json_t *obj, int64_t expect, bool remove);
const char *const *api_ignored_fields(const struct api_request *r);

int api_patch(struct api_request *r);
int api_delete(struct api_request *r);
int api_delete_collection(struct api_request *r);
/** The deletion of one object as @options say. @ret is what the client is told, NULL: a Status of success. */
int api_delete_object(struct api_request *r, const char *name, const json_t *options, json_t **ret);

/* Subresources. */
int api_scale(struct api_request *r);
/** The Scale of @obj. New tree. */
json_t *api_scale_of(const struct api_kind *k, json_t *obj);
int api_binding(struct api_request *r);
int api_log(struct api_request *r);
/** The only container of @pod, or the one that was asked for. */
int api_choose_container(struct api_request *r, const json_t *pod, const char **ret);
/** pods/exec, pods/attach, pods/portforward (api_remote.c). */
int api_remote(struct api_request *r);
/** serviceaccounts/token (api_account.c). */
int api_token_request(struct api_request *r);
int api_finalize(struct api_request *r);
/** pods/eviction (api_eviction.c). */
int api_eviction(struct api_request *r);

/* Reviews (api_review.c). */
bool api_is_review(const struct kind *k);
int api_review(struct api_request *r);

/* Who may what (api_auth.c). All return 0 or API_FAILED with a Status. */
/** The user of a service account's token for one of @audiences (n of them). -EBADMSG with the reason in @err; the user is in @arena. */
int api_token_user(struct api_server *s, const char *token, const char *const *audiences, size_t n, struct arena *arena,
		   struct api_user *ret, struct error *err);
/** Find out who asks and for whom. */
int api_authenticate(struct api_request *r);
/** May the user do @verb to what the path points at? */
int api_authorize(struct api_request *r, const char *verb);
/** The same of a path that is no resource's. */
int api_authorize_path(struct api_request *r);
/** May the user who writes @obj give away @rules, those of @role? Who holds them may, and who has @verb (escalate, bind) on it. */
int api_check_grant(struct api_request *r, const json_t *obj, const char *verb, const char *resource, const char *role,
		    const json_t *rules);

/* Objects (api_object.c). */
/** Set or replace the resourceVersion. */
int api_set_revision(json_t *obj, int64_t revision);
/** Names, labels, annotations, owner references, finalizers. */
void api_validate_metadata(const struct api_request *r, const json_t *obj, struct violations *vs);
/** Remove null members as a typed decoder would. */
void api_drop_nulls(const struct schema *s, json_t *value);
void api_now(char out[static 32]);

/* Discovery and documents (api_discovery.c, api_docs.c). True when the path was one of theirs (then *@ret_rc is the result). */
bool api_discovery(struct api_request *r, int *ret_rc);
struct api_docs *api_docs_new(void);
void api_docs_free(struct api_docs *d);
int api_openapi_v2(struct api_request *r);
int api_openapi_v3(struct api_request *r, const char *rest);

/* Counting (api_metrics.c). */
/** "get", "list", ... of a request that is not answered yet. */
const char *api_verb(struct api_request *r);
void api_count_request(const char *verb, int status, int64_t took_ns);
int api_metrics(struct api_request *r);

/* Custom resources, and what the server keeps in order by itself (api_crd.c, api_janitor.c). */
int api_crd_prepare(struct api_request *r, json_t *crd, const json_t *old);
int api_crd_load_all(struct api_server *s, struct error *err);
/** The definition was written or removed: serve it. */
void api_crd_changed(struct api_server *s, const json_t *crd, bool removed);
/** Set a condition; its time changes only with its status or reason. 0 or -ENOMEM. */
int api_crd_put_condition(json_t *crd, const char *type, bool status, const char *reason, const char *message);
/** Which of its names @crd may have, and whether it is established (api_crd_names.c). */
int api_crd_accept_names(struct api_server *s, json_t *crd, struct error *err);
bool api_crd_established(const json_t *crd);
/** Look again at those whose names were taken. */
int api_crd_settle_names(struct api_server *s, struct error *err);
int api_janitor_start(struct api_server *s, struct error *err);
/** Have it keep @k from now on, until it is stopped. */
void api_janitor_keep_keys(struct api_janitor *j, struct api_keys *k);
/** There is something to do. Any thread. */
void api_janitor_wake(struct api_janitor *j);
void api_janitor_stop(struct api_server *s);
/** After the store was closed. Accepts NULL. */
void api_janitor_free(struct api_janitor *j);
/** Make the namespaces every cluster has, and default ServiceAccounts. */
int api_bootstrap(struct api_server *s, struct error *err);
/**
 * Tell the cluster where this server listens: the Service `kubernetes` and its Endpoints (api_self.c). On a full disk the Endpoints are left
 * to the janitor, so that a server that died there comes back and can be read.
 */
int api_publish_self(struct api_server *s, const char *address, uint16_t port, struct error *err);
/** What was left; the janitor's alone. */
int api_publish_self_again(struct api_server *s, struct error *err);
/** Create @obj unless it exists, for the server itself. */
int api_create_internal(struct api_server *s, const char *group, const char *plural, const char *ns, json_t *obj,
			struct error *err);
