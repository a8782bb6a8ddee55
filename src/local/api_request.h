/*
 * One request: where it points, what it wants, and the ways to answer it.
 *
 * Errors travel as a Status: a function that fails builds it with one of the api_fail functions and returns their result, API_FAILED; the
 * dispatcher sends it. Threads: a request belongs to the worker that runs it.
 */
#pragma once

#include <errno.h>
#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>

#include "base/arena.h"
#include "local/api_rbac.h"
#include "local/api_registry.h"
#include "net/http_server.h"

struct api_server;
struct error;
struct objstore_key;
struct violations;

#define API_FAILED (-EBADE) /* the Status is in the request */

enum api_form { API_FORM_OBJECT, API_FORM_TABLE, API_FORM_PARTIAL };
enum api_validation { API_VALIDATE_IGNORE, API_VALIDATE_WARN, API_VALIDATE_STRICT };

struct api_request {
	struct api_server *server;
	struct http_exchange *x;
	const struct http_request *http;
	struct api_user user; /* for whom; in the arena */
	struct arena arena;

	const char *group, *version, *plural; /* "" for core; never NULL after api_request_parse() */
	const char *ns, *name, *sub;          /* "" when absent */
	struct api_kind *kind;                /* NULL until found */

	const char *manager;
	bool dry_run, force;
	enum api_validation validation;
	enum api_form form;
	bool yaml;                  /* the answer is wanted as YAML */
	const char *include_object; /* of a Table: "Metadata", "Object", "None" */

	const char *verb; /* for counting */
	bool answered;
	int status; /* of the answer */
	json_t *failure;
};

/** A path below /api or /apis, cut into its parts. False: no resource's path. */
bool api_path_parse(const char *path, struct arena *arena, const char **ret_group, const char **ret_version,
		    const char **ret_plural, const char **ret_ns, const char **ret_name, const char **ret_sub);
/** Read the options that all verbs share (dryRun, fieldManager, fieldValidation, force, Accept). */
int api_request_options(struct api_request *r);
void api_request_clear(struct api_request *r);
/** Query parameter, "" when absent. */
const char *api_query(struct api_request *r, const char *name);
bool api_query_bool(struct api_request *r, const char *name);
/** The key of the object it points at. */
struct objstore_key api_request_key(const struct api_request *r);

/* Answers. */
/** Answer with @j. */
void api_reply_json(struct api_request *r, int status, const json_t *j);
/** Answer with one object in the form that the client asked for. */
int api_reply_object(struct api_request *r, int status, json_t *obj);
/** 200 without a word. */
int api_reply_empty(struct api_request *r);
/** "404 page not found", for paths that nothing is served at. */
int api_reply_no_path(struct api_request *r);
void api_reply_failure(struct api_request *r);
/** Add a Warning header. */
void api_warn(struct api_request *r, const char *text);

/* Failures. @details is taken and may be NULL. */
json_t *api_status_new(int code, const char *reason, json_t *details, const char *message);
__attribute__((format(printf, 5, 6))) int api_fail(struct api_request *r, int code, const char *reason, json_t *details,
						   const char *fmt, ...);
/** {"name", "group", "kind": plural} of the request's resource. */
json_t *api_details(const struct api_request *r, const char *name);
/** "statefulsets.apps", "configmaps". */
const char *api_resource_name(const struct api_request *r);
int api_fail_not_found(struct api_request *r, const char *name);
int api_fail_exists(struct api_request *r, const char *name);
/** The object has been modified. */
int api_fail_conflict(struct api_request *r, const char *name);
__attribute__((format(printf, 2, 3))) int api_fail_bad(struct api_request *r, const char *fmt, ...);
/** 422 with one cause for each violation. */
int api_fail_invalid(struct api_request *r, const char *name, const struct violations *vs);
/** 422 with one cause; @group and @name may be "". */
__attribute__((format(printf, 7, 8))) int api_fail_one(struct api_request *r, const char *kind, const char *group,
						       const char *name, const char *field, const char *reason,
						       const char *fmt, ...);
/** 422 that speaks of an option of the request: "PatchOptions.meta.k8s.io \"\" is invalid: force: ...". */
__attribute__((format(printf, 4, 5))) int api_fail_option(struct api_request *r, const char *option, const char *reason,
							  const char *fmt, ...);
int api_fail_memory(struct api_request *r);
/** 500, or 507 when the disk is full; the error is logged. */
int api_fail_internal(struct api_request *r, const struct error *err);
int api_fail_method(struct api_request *r);
