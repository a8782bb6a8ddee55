/* Request bodies: JSON, YAML and protobuf into one tree; unknown and duplicate fields as fieldValidation says. */
#include <string.h>

#include "api/protobuf.h"
#include "base/cleanup.h"
#include "base/error.h"
#include "base/str.h"
#include "base/strbuf.h"
#include "local/api_internal.h"
#include "json/json.h"
#include "json/yaml.h"

#define ERRORS_MAX (8u << 10)

enum body_type { BODY_JSON, BODY_YAML, BODY_PROTOBUF, BODY_UNKNOWN };

static enum body_type body_type(struct api_request *r)
{
	const char *type = http_exchange_header(r->x, "content-type");
	if (type == NULL || type[0] == '\0')
		return BODY_JSON;
	static const struct {
		const char *name;
		enum body_type type;
	} known[] = {
		{"application/json", BODY_JSON},
		{"application/yaml", BODY_YAML},
		{"application/vnd.kubernetes.protobuf", BODY_PROTOBUF},
		{"application/x-www-form-urlencoded", BODY_JSON}, /* what curl says when nobody told it */
	};
	size_t n = strcspn(type, "; ");
	for (size_t i = 0; i < ARRAY_LEN(known); i++)
		if (strlen(known[i].name) == n && strncasecmp(type, known[i].name, n) == 0)
			return known[i].type;
	return BODY_UNKNOWN;
}

static int fail_media_type(struct api_request *r)
{
	return api_fail(r, 415, "UnsupportedMediaType", NULL,
			"the body of the request was in an unknown format - accepted media types include: "
			"application/json, application/yaml,"
			" application/vnd.kubernetes.protobuf");
}

/* What Go says of a text that ends too early. */
static const char *json_words(const struct error *err)
{
	return strstr(err->msg, "end of file") != NULL ? "unexpected end of JSON input" : err->msg;
}

static int fail_malformed(struct api_request *r, const struct kind *kind, const struct error *err)
{
	return api_fail_bad(r,
			    "the object provided is unrecognized (must be of type %s): couldn't get version/kind; json "
			    "parse error: %s (%.64s)",
			    kind->resource.kind, json_words(err), r->http->body);
}

/** What fieldValidation=Strict gathers and Warn tells one by one. */
struct report {
	struct api_request *r;
	const char *what; /* "unknown", "duplicate" */
	struct strbuf all;
	size_t n;
};

static void report_field(void *ctx, const char *path)
{
	struct report *rep = ctx;
	CLEANUP(free_p) char *text = str_printf("%s field \"%s\"", rep->what, path);
	if (text == NULL || rep->r->validation == API_VALIDATE_IGNORE)
		return;
	if (rep->r->validation == API_VALIDATE_WARN) {
		if (rep->n++ < 50)
			api_warn(rep->r, text);
		return;
	}
	if (rep->n++ > 0)
		strbuf_adds(&rep->all, ", ");
	strbuf_adds(&rep->all, text);
}

static int report_end(struct report *rep)
{
	struct api_request *r = rep->r;
	const struct kube_resource *res = &r->kind->k->resource;
	int rc = 0;
	if (r->validation == API_VALIDATE_STRICT && rep->n > 0) {
		const char *text = rep->all.p != NULL ? rep->all.p : "";
		rc = api_fail_bad(r, "%s in version \"%s\" cannot be handled as a %s: strict decoding error: %s",
				  res->kind, res->version, res->kind, text);
	}
	strbuf_clear(&rep->all);
	return rc;
}

static int check_duplicates(struct api_request *r)
{
	if (r->validation == API_VALIDATE_IGNORE || r->kind == NULL)
		return 0;
	struct report rep = {.r = r, .what = "duplicate", .all = STRBUF_INIT(ERRORS_MAX)};
	int rc = json_scan_duplicates(r->http->body, r->http->body_n, report_field, &rep);
	if (rc < 0)
		rep.n = 0; /* no JSON: the parser says more */
	return report_end(&rep);
}

int api_body_prune(struct api_request *r, json_t *obj)
{
	struct report rep = {.r = r, .what = "unknown", .all = STRBUF_INIT(ERRORS_MAX)};
	schema_prune(r->kind->k->schema, obj, report_field, &rep);
	return report_end(&rep);
}

static int parse_yaml(const char *text, size_t n, json_t **ret, struct error *err)
{
	JSON_AUTO docs = NULL;
	int rc = yaml_parse(text, n, &docs, err);
	if (rc < 0)
		return rc;
	if (json_array_size(docs) != 1)
		return error_set(err, -EINVAL, "exactly one YAML document is expected, not %zu", json_array_size(docs));
	*ret = json_incref(json_array_get(docs, 0));
	return 0;
}

/** The object in the envelope, with its apiVersion and kind. */
static int parse_protobuf(struct api_request *r, const struct schema *schema, const char *want_kind, json_t **ret,
			  struct error *err)
{
	CLEANUP(free_p) char *version = NULL;
	CLEANUP(free_p) char *kind = NULL;
	const uint8_t *raw = NULL;
	size_t n = 0;
	int rc = protobuf_envelope((const uint8_t *)r->http->body, r->http->body_n, &version, &kind, &raw, &n, err);
	if (rc < 0)
		return rc;
	if (kind[0] != '\0' && strcmp(kind, want_kind) != 0)
		return error_set(err, -EPROTOTYPE, "%s in version \"%s\" cannot be handled as a %s", kind, version,
				 want_kind);
	rc = protobuf_decode(schema, raw, n, ret, err);
	if (rc < 0)
		return rc;
	if (version[0] != '\0')
		(void)json_object_set_new(*ret, "apiVersion", json_string(version));
	if (kind[0] != '\0')
		(void)json_object_set_new(*ret, "kind", json_string(kind));
	return 0;
}

static bool is_builtin(const char *group, const char *version, const char *kind)
{
	for (const struct kind *const *k = kubernetes_kinds; *k != NULL; k++)
		if (strcmp((*k)->resource.kind, kind) == 0 && strcmp((*k)->resource.group, group) == 0 &&
		    strcmp((*k)->resource.version, version) == 0)
			return true;
	return false;
}

/** A body of another kind or version than the request's: of a custom resource a field is wrong, of a built-in one it cannot be converted. */
static int fail_other_kind(struct api_request *r, const struct kind *kind, const char *has_kind,
			   const char *has_version, const char *name)
{
	const struct kube_resource *res = &kind->resource;
	char version[128];
	(void)kube_api_version(res, version);
	if (r->kind != NULL && r->kind->custom) {
		if (strcmp(has_version, version) != 0)
			return api_fail_bad(
				r, "the API version in the data (%s) does not match the expected API version (%s)",
				has_version, version);
		return api_fail_one(r, has_kind, res->group, name, "kind", "FieldValueInvalid",
				    "Invalid value: \"%s\": must be %s", has_kind, res->kind);
	}
	const char *slash = strchr(has_version, '/'), *v = slash != NULL ? slash + 1 : has_version;
	CLEANUP(free_p) char *group = strndup(has_version, slash != NULL ? (size_t)(slash - has_version) : 0);
	if (group == NULL)
		return api_fail_memory(r);
	if (is_builtin(group, v, has_kind))
		return api_fail_bad(r,
				    "%s in version \"%s\" cannot be handled as a %s: converting (%s.%s) to (%s.%s): "
				    "unknown conversion",
				    has_kind, v, res->kind, v, has_kind, res->group[0] != '\0' ? res->group : "core",
				    res->kind);
	return api_fail_bad(r,
			    "%s in version \"%s\" cannot be handled as a %s: no kind \"%s\" is registered for version "
			    "\"%s\" in scheme \"pkg/api/legacyscheme/scheme.go:30\"",
			    has_kind, res->version, res->kind, has_kind, has_version);
}

/** Absent apiVersion and kind are the request's; others are refused. */
static int check_kind(struct api_request *r, const struct kind *kind, json_t *obj)
{
	const struct kube_resource *res = &kind->resource;
	char version[128];
	(void)kube_api_version(res, version);
	if (!json_is_object(obj))
		return api_fail_bad(r, "the object provided is unrecognized (must be of type %s): it is no JSON object",
				    res->kind);
	const char *has_kind = json_str(obj, "kind", ""), *has_version = json_str(obj, "apiVersion", "");
	const bool other = (has_kind[0] != '\0' && strcmp(has_kind, res->kind) != 0) ||
			   (has_version[0] != '\0' && strcmp(has_version, version) != 0);
	if (other)
		return fail_other_kind(r, kind, has_kind[0] != '\0' ? has_kind : res->kind,
				       has_version[0] != '\0' ? has_version : version,
				       json_str(obj, "metadata.name", ""));
	int rc = json_object_set_new(obj, "kind", json_string(res->kind));
	if (rc == 0)
		rc = json_object_set_new(obj, "apiVersion", json_string(version));
	if (rc == 0 && !json_is_object(json_object_get(obj, "metadata")))
		rc = json_object_set_new(obj, "metadata", json_object());
	return rc == 0 ? 0 : api_fail_memory(r);
}

int api_body_object(struct api_request *r, const struct kind *kind, json_t **ret)
{
	JSON_AUTO obj = NULL;
	struct error err = {0};
	int rc = 0;
	switch (body_type(r)) {
	case BODY_JSON:
		rc = check_duplicates(r);
		if (rc == 0)
			rc = json_parse(r->http->body, r->http->body_n, &obj, &err);
		break;
	case BODY_YAML:
		rc = parse_yaml(r->http->body, r->http->body_n, &obj, &err);
		break;
	case BODY_PROTOBUF:
		rc = parse_protobuf(r, kind->schema, kind->resource.kind, &obj, &err);
		break;
	case BODY_UNKNOWN:
	default:
		return fail_media_type(r);
	}
	if (rc == API_FAILED)
		return rc;
	if (rc == -ENOMEM)
		return api_fail_memory(r);
	if (rc == -EPROTOTYPE)
		return api_fail_bad(r, "%s", err.msg);
	if (rc < 0)
		return fail_malformed(r, kind, &err);
	rc = check_kind(r, kind, obj);
	if (rc == 0)
		*ret = TAKE(obj);
	return rc;
}

int api_body_parse(struct api_request *r, bool yaml, json_t **ret)
{
	struct error err = {0};
	int rc = yaml ? 0 : check_duplicates(r);
	if (rc < 0)
		return rc;
	rc = yaml ? parse_yaml(r->http->body, r->http->body_n, ret, &err)
		  : json_parse(r->http->body, r->http->body_n, ret, &err);
	return rc == 0 ? 0 : api_fail_bad(r, "error decoding patch: %s", json_words(&err));
}

/** Members of the query that a body of DeleteOptions may say too. */
static int delete_query(struct api_request *r, json_t *o)
{
	const char *grace = api_query(r, "gracePeriodSeconds"), *policy = api_query(r, "propagationPolicy");
	const char *orphan = api_query(r, "orphanDependents");
	int64_t seconds = 0;
	if (grace[0] != '\0' && str_to_i64(grace, &seconds) < 0)
		return api_fail_bad(r, "gracePeriodSeconds: Invalid value: \"%s\": must be a number", grace);
	int rc = 0;
	if (grace[0] != '\0')
		rc |= json_object_set_new(o, "gracePeriodSeconds", json_integer(seconds));
	if (policy[0] != '\0')
		rc |= json_object_set_new(o, "propagationPolicy", json_string(policy));
	if (orphan[0] != '\0')
		rc |= json_object_set_new(o, "orphanDependents", json_boolean(strcmp(orphan, "true") == 0));
	return rc == 0 ? 0 : api_fail_memory(r);
}

int api_body_delete_options(struct api_request *r, json_t **ret)
{
	JSON_AUTO o = NULL;
	struct error err = {0};
	int rc = 0;
	enum body_type type = body_type(r);
	const struct schema *schema = kubernetes_schema("meta.v1.DeleteOptions");
	if (r->http->body_n == 0)
		o = json_object();
	else if (type == BODY_PROTOBUF && schema != NULL)
		rc = parse_protobuf(r, schema, "DeleteOptions", &o, &err);
	else if (type == BODY_YAML)
		rc = parse_yaml(r->http->body, r->http->body_n, &o, &err);
	else if (type == BODY_JSON)
		rc = json_parse(r->http->body, r->http->body_n, &o, &err);
	else
		return fail_media_type(r);
	if (rc < 0)
		return api_fail_bad(r, "the DeleteOptions of the body cannot be read: %s", err.msg);
	if (!json_is_object(o))
		return api_fail_bad(r, "the body of a deletion must be DeleteOptions");
	rc = delete_query(r, o);
	if (rc < 0)
		return rc;
	if (json_array_size(json_object_get(o, "dryRun")) > 0)
		r->dry_run = true;
	*ret = TAKE(o);
	return 0;
}
