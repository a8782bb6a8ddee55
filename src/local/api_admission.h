/*
 * Admission webhooks: asked about each write on the worker that runs it, at most API_ADMISSION_MAX writes at a time, so that others are
 * left for whatever the webhooks themselves ask of this server.
 * Threads: any.
 */
#pragma once

#include <jansson.h>
#include <stdbool.h>

struct api_admission;
struct api_request;
struct api_server;
struct kube_resource;

#define API_ADMISSION_MAX 24

/** NULL on no memory. */
struct api_admission *api_admission_new(void);
/** End the calls that are under way. */
void api_admission_stop(struct api_admission *a);
/** Accepts NULL. */
void api_admission_free(struct api_admission *a);
/** A configuration was written or removed: read them again before the next write. */
void api_admission_changed(struct api_admission *a);

/** A write as webhooks are told of it. */
struct api_change {
	const char *operation; /* "CREATE", "UPDATE", "DELETE" */
	const char *name;      /* "" when the server has yet to make one */
	const struct kube_resource
		*of;           /* type of the objects when it is not the request's (a Scale); NULL: the request's */
	const json_t *old;     /* NULL: none */
	json_t *obj;           /* NULL: none */
	const json_t *options; /* DeleteOptions of a deletion; NULL: none */
};

/**
 * Ask the mutating webhooks. What they make of the object replaces c->obj (a reference of the caller's, which is taken and given back);
 * *@ret_changed says whether they did. 0 or API_FAILED.
 */
int api_admit_mutating(struct api_request *r, struct api_change *c, bool *ret_changed);
/** Ask the validating webhooks. 0 or API_FAILED. */
int api_admit_validating(struct api_request *r, const struct api_change *c);
/** Both, for what no webhook may change. */
int api_admit(struct api_request *r, struct api_change *c);
