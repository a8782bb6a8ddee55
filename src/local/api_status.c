/* Failures: every error is a Status, worded as Kubernetes words it. */
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "api/schema.h"
#include "base/cleanup.h"
#include "base/error.h"
#include "base/log.h"
#include "base/str.h"
#include "base/strbuf.h"
#include "local/api_request.h"
#include "json/json.h"

#define MESSAGE_MAX (64u << 10)

json_t *api_status_new(int code, const char *reason, json_t *details, const char *message)
{
	json_t *s = json_pack("{s:s, s:s, s:{}, s:s, s:s}", "kind", "Status", "apiVersion", "v1", "metadata", "status",
			      code < 400 ? "Success" : "Failure", "message", message);
	if (s == NULL) {
		/* The message holds bytes of the client that are no UTF-8: say the rest. */
		s = json_pack("{s:s, s:s, s:{}, s:s, s:s}", "kind", "Status", "apiVersion", "v1", "metadata", "status",
			      code < 400 ? "Success" : "Failure", "message", reason);
	}
	if (reason[0] != '\0')
		(void)json_object_set_new(s, "reason", json_string(reason));
	if (details != NULL)
		(void)json_object_set_new(s, "details", details);
	(void)json_object_set_new(s, "code", json_integer(code)); /* without memory a shorter Status is still one */
	return s;
}

int api_fail(struct api_request *r, int code, const char *reason, json_t *details, const char *fmt, ...)
{
	char *message = NULL;
	va_list ap;
	va_start(ap, fmt);
	int n = vasprintf(&message, fmt, ap);
	va_end(ap);
	json_decref(r->failure);
	r->status = code;
	r->failure = api_status_new(code, reason, details, n < 0 ? reason : message);
	if (n >= 0)
		free(message);
	return API_FAILED;
}

const char *api_resource_name(const struct api_request *r)
{
	if (r->group[0] == '\0')
		return r->plural;
	const char *s = arena_printf((struct arena *)&r->arena, "%s.%s", r->plural, r->group);
	return s != NULL ? s : r->plural;
}

json_t *api_details(const struct api_request *r, const char *name)
{
	json_t *d = json_object();
	if (name != NULL && name[0] != '\0')
		(void)json_object_set_new(d, "name", json_string(name));
	if (r->group[0] != '\0')
		(void)json_object_set_new(d, "group", json_string(r->group));
	(void)json_object_set_new(d, "kind", json_string(r->plural));
	return d;
}

int api_fail_not_found(struct api_request *r, const char *name)
{
	return api_fail(r, 404, "NotFound", api_details(r, name), "%s \"%s\" not found", api_resource_name(r), name);
}

int api_fail_exists(struct api_request *r, const char *name)
{
	return api_fail(r, 409, "AlreadyExists", api_details(r, name), "%s \"%s\" already exists", api_resource_name(r),
			name);
}

int api_fail_conflict(struct api_request *r, const char *name)
{
	return api_fail(r, 409, "Conflict", api_details(r, name),
			"Operation cannot be fulfilled on %s \"%s\": the object has been modified; please apply your "
			"changes to the latest"
			" version and try again",
			api_resource_name(r), name);
}

int api_fail_bad(struct api_request *r, const char *fmt, ...)
{
	char *message = NULL;
	va_list ap;
	va_start(ap, fmt);
	int n = vasprintf(&message, fmt, ap);
	va_end(ap);
	if (n < 0)
		return api_fail_memory(r);
	int rc = api_fail(r, 400, "BadRequest", NULL, "%s", message);
	free(message);
	return rc;
}

int api_fail_invalid(struct api_request *r, const char *name, const struct violations *vs)
{
	const struct kube_resource *res = &r->kind->k->resource;
	struct strbuf b = STRBUF_INIT(MESSAGE_MAX);
	json_t *causes = json_array();
	if (vs->n > 1)
		strbuf_addc(&b, '[');
	for (size_t i = 0; i < vs->n; i++) {
		const struct violation *v = &vs->v[i];
		strbuf_addf(&b, "%s%s: %s", i > 0 ? ", " : "", v->path[0] != '\0' ? v->path : "<nil>", v->message);
		(void)json_array_append_new(causes,
					    json_pack("{s:s, s:s, s:s}", "reason", v->reason, "message", v->message,
						      "field", v->path[0] != '\0' ? v->path : "<nil>"));
	}
	if (vs->n > 1)
		strbuf_addc(&b, ']');
	json_t *details = json_object();
	if (name[0] != '\0')
		(void)json_object_set_new(details, "name", json_string(name));
	if (res->group[0] != '\0')
		(void)json_object_set_new(details, "group", json_string(res->group));
	(void)json_object_set_new(details, "kind", json_string(res->kind));
	(void)json_object_set_new(details, "causes", causes);
	int rc = api_fail(r, 422, "Invalid", details, "%s%s%s \"%s\" is invalid: %s", res->kind,
			  res->group[0] != '\0' ? "." : "", res->group, name, b.p != NULL ? b.p : "");
	strbuf_clear(&b);
	return rc;
}

__attribute__((format(printf, 7, 0))) static int fail_one(struct api_request *r, const char *kind, const char *group,
							  const char *name, const char *field, const char *reason,
							  const char *fmt, va_list ap)
{
	char *message = NULL;
	if (vasprintf(&message, fmt, ap) < 0)
		return api_fail_memory(r);
	json_t *details = json_pack("{s:s, s:[{s:s, s:s, s:s}]}", "kind", kind, "causes", "reason", reason, "message",
				    message, "field", field);
	if (group[0] != '\0')
		(void)json_object_set_new(details, "group", json_string(group));
	if (name[0] != '\0')
		(void)json_object_set_new(details, "name", json_string(name));
	const int rc = api_fail(r, 422, "Invalid", details, "%s%s%s \"%s\" is invalid: %s: %s", kind,
				group[0] != '\0' ? "." : "", group, name, field, message);
	free(message);
	return rc;
}

int api_fail_one(struct api_request *r, const char *kind, const char *group, const char *name, const char *field,
		 const char *reason, const char *fmt, ...)
{
	va_list ap;
	va_start(ap, fmt);
	const int rc = fail_one(r, kind, group, name, field, reason, fmt, ap);
	va_end(ap);
	return rc;
}

int api_fail_option(struct api_request *r, const char *option, const char *reason, const char *fmt, ...)
{
	static const char *const kinds[][2] = {{"POST", "CreateOptions"},
					       {"PUT", "UpdateOptions"},
					       {"PATCH", "PatchOptions"},
					       {"DELETE", "DeleteOptions"}};
	const char *kind = "ListOptions";
	for (size_t i = 0; i < ARRAY_LEN(kinds); i++)
		if (strcmp(kinds[i][0], r->http->method) == 0)
			kind = kinds[i][1];
	va_list ap;
	va_start(ap, fmt);
	const int rc = fail_one(r, kind, "meta.k8s.io", "", option, reason, fmt, ap);
	va_end(ap);
	return rc;
}

int api_fail_memory(struct api_request *r)
{
	return api_fail(r, 500, "InternalError", NULL, "Internal error occurred: out of memory");
}

int api_fail_internal(struct api_request *r, const struct error *err)
{
	LOG(NULL, LOG_LVL_ERROR, "request failed", LOG_STR("method", r->http->method), LOG_STR("path", r->http->path),
	    LOG_STR("err", err->msg));
	if (err->code == -ENOSPC)
		return api_fail(
			r, 507, "InternalError", NULL,
			"Internal error occurred: %s; make room on the disk of the data directory and try again",
			err->msg);
	return api_fail(r, 500, "InternalError", NULL, "Internal error occurred: %s", err->msg);
}

int api_fail_method(struct api_request *r)
{
	return api_fail(r, 405, "MethodNotAllowed", json_object(),
			"the server does not allow this method on the requested resource");
}
