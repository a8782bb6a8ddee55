/*
 * A whole API server in this process for the fuzz targets of its entries: no socket, but each request goes through the reader of HTTP, the
 * handler and the answer as a client sees it, which is checked. What a request wrote is undone, so that each input meets the same objects.
 *
 * One thread. The server ends with the process.
 */
#pragma once

#include <stddef.h>
#include <stdint.h>

struct api_server;

/** The server, started by the first call. It has a few objects: a pod, a config map, a role and its binding, a custom kind and an object of it. */
struct api_server *harness_server(void);
/** Whom requests come from: the administrator, or nobody (then tokens count). */
void harness_certificate(int on);
/**
 * Ask with the bytes of an HTTP request. The status of the answer; 0 when the reader refused the bytes or wanted more. Ends the process when the
 * answer is none: no JSON where it says so, a failure without a Status, or an internal error.
 */
int harness_ask(const void *raw, size_t n);
/** The same, put together. @content_type and @accept may be NULL. */
int harness_request(const char *method, const char *target, const char *accept, const char *content_type,
		    const void *body, size_t n);
/** Where objects of @kind are created ("/api/v1/namespaces/default/pods"), of config maps when it is unknown. */
const char *harness_collection(const char *kind);
/** Write @body (n bytes, of kind @kind, with that content type) in the ways there are: create, read as a table, replace. */
void harness_write(const char *kind, const char *content_type, const void *body, size_t n);
/** Undo what was written. */
void harness_restore(void);
