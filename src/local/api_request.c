/* Requests: the path, the options that all verbs share, and plain answers. */
#include "local/api_request.h"

#include <string.h>

#include "base/cleanup.h"
#include "base/error.h"
#include "base/str.h"
#include "base/strbuf.h"
#include "local/api_table.h"
#include "local/store.h"
#include "json/json.h"
#include "json/yaml.h"

#define SEGMENTS_MAX 8

static size_t split_path(const char *path, struct arena *arena, const char *out[static SEGMENTS_MAX])
{
	size_t n = 0;
	struct str rest = str_from(path), piece;
	while (str_split_next(&rest, '/', &piece)) {
		if (piece.n == 0)
			continue;
		if (n == SEGMENTS_MAX)
			return SEGMENTS_MAX + 1;
		out[n] = arena_strndup(arena, piece.p, piece.n);
		if (out[n++] == NULL)
			return SEGMENTS_MAX + 1;
	}
	return n;
}

bool api_path_parse(const char *path, struct arena *arena, const char **ret_group, const char **ret_version,
		    const char **ret_plural, const char **ret_ns, const char **ret_name, const char **ret_sub)
{
	const char *seg[SEGMENTS_MAX] = {0};
	size_t n = split_path(path, arena, seg);
	if (n > SEGMENTS_MAX || n < 3)
		return false;
	size_t at = 0;
	if (strcmp(seg[0], "api") == 0) {
		*ret_group = "";
		*ret_version = seg[1];
		at = 2;
	} else if (strcmp(seg[0], "apis") == 0 && n >= 4) {
		*ret_group = seg[1];
		*ret_version = seg[2];
		at = 3;
	} else {
		return false;
	}
	*ret_ns = *ret_name = *ret_sub = "";
	/* /namespaces/NS/... is a namespace's content, but /namespaces/NS[/status|/finalize] is the namespace. */
	bool content = strcmp(seg[at], "namespaces") == 0 && n - at >= 3 &&
		       !((*ret_group)[0] == '\0' && n - at == 3 &&
			 (strcmp(seg[at + 2], "status") == 0 || strcmp(seg[at + 2], "finalize") == 0));
	if (content) {
		*ret_ns = seg[at + 1];
		at += 2;
	}
	*ret_plural = seg[at++];
	if (at < n)
		*ret_name = seg[at++];
	if (at < n)
		*ret_sub = seg[at++];
	return at == n;
}

const char *api_query(struct api_request *r, const char *name)
{
	const char *v = http_exchange_query(r->x, name);
	return v != NULL ? v : "";
}

bool api_query_bool(struct api_request *r, const char *name)
{
	const char *v = api_query(r, name);
	return strcmp(v, "true") == 0 || strcmp(v, "1") == 0;
}

/** Types that JSON may be sent for; protobuf answers are not made here. */
static bool takes_json(const char *accept)
{
	return strstr(accept, "application/json") != NULL || strstr(accept, "*/*") != NULL ||
	       strstr(accept, "application/*") != NULL;
}

/** The first form of Accept that we know; a Table of an unknown version counts as none. */
static int read_accept(struct api_request *r)
{
	const char *accept = http_exchange_header(r->x, "accept");
	r->form = API_FORM_OBJECT;
	if (accept == NULL || accept[0] == '\0')
		return 0;
	r->yaml = !takes_json(accept) && strstr(accept, "application/yaml") != NULL;
	if (!r->yaml && !takes_json(accept))
		return api_fail(r, 406, "NotAcceptable", NULL,
				"only the following media types are accepted: application/json, application/yaml");
	struct str rest = str_from(accept), one;
	while (str_split_next(&rest, ',', &one)) {
		const char *s = arena_strndup(&r->arena, one.p, one.n);
		if (s == NULL || strstr(s, "application/json") == NULL)
			continue;
		bool v1 = strstr(s, "v=v1") != NULL && strstr(s, "v=v1beta1") == NULL &&
			  strstr(s, "g=meta.k8s.io") != NULL;
		if (strstr(s, "as=") == NULL)
			return 0;
		if (v1 && strstr(s, "as=Table") != NULL) {
			r->form = API_FORM_TABLE;
			return 0;
		}
		if (v1 && strstr(s, "as=PartialObjectMetadata") != NULL) {
			r->form = API_FORM_PARTIAL;
			return 0;
		}
	}
	return 0;
}

/** fieldManager, or the first word of the user agent. */
static const char *field_manager(struct api_request *r)
{
	const char *given = api_query(r, "fieldManager");
	if (given[0] != '\0')
		return given;
	const char *agent = http_exchange_header(r->x, "user-agent");
	size_t n = agent != NULL ? strcspn(agent, "/") : 0;
	if (n == 0)
		return "unknown";
	const char *s = arena_strndup(&r->arena, agent, n < 128 ? n : 128);
	return s != NULL && str_is_utf8(s, strlen(s)) ? s : "unknown";
}

static int read_validation(struct api_request *r)
{
	static const char *const names[] = {"Ignore", "Warn", "Strict"};
	const char *v = api_query(r, "fieldValidation");
	r->validation = API_VALIDATE_WARN;
	if (v[0] == '\0')
		return 0;
	for (size_t i = 0; i < ARRAY_LEN(names); i++) {
		if (strcmp(v, names[i]) == 0) {
			r->validation = (enum api_validation)i;
			return 0;
		}
	}
	return api_fail_option(r, "fieldValidation", "FieldValueNotSupported",
			       "Unsupported value: \"%s\": supported values: \"\", \"Ignore\", \"Strict\", \"Warn\"",
			       v);
}

int api_request_options(struct api_request *r)
{
	if (read_accept(r) < 0)
		return API_FAILED;
	const char *dry = api_query(r, "dryRun");
	if (dry[0] != '\0' && strcmp(dry, "All") != 0)
		return api_fail_option(r, "dryRun", "FieldValueNotSupported",
				       "Unsupported value: []string{\"%s\"}: supported values: \"All\"", dry);
	r->dry_run = dry[0] != '\0';
	r->force = api_query_bool(r, "force");
	r->manager = field_manager(r);
	if (strlen(r->manager) > 128)
		return api_fail_option(r, "fieldManager", "FieldValueTooLong",
				       "Too long: may not be more than 128 bytes");
	const char *include = api_query(r, "includeObject");
	r->include_object = include[0] != '\0' ? include : "Metadata";
	return read_validation(r);
}

void api_request_clear(struct api_request *r)
{
	r->kind = api_kind_unref(r->kind);
	json_decref(r->failure);
	r->failure = NULL;
	arena_free(&r->arena);
}

struct objstore_key api_request_key(const struct api_request *r)
{
	return (struct objstore_key){r->kind->stored_group, r->plural, r->ns, r->name};
}

void api_reply_json(struct api_request *r, int status, const json_t *j)
{
	size_t n = 0;
	char *text = json_to_text(j, &n);
	static const char none[] = "{\"kind\":\"Status\",\"apiVersion\":\"v1\",\"status\":\"Failure\",\"reason\":"
				   "\"InternalError\",\"code\":500}";
	r->answered = true;
	r->status = status;
	if (r->yaml && text != NULL) {
		free(text);
		text = yaml_to_text(j);
		if (text != NULL) {
			http_reply_take(r->x, status, "application/yaml", text, text, strlen(text));
			return;
		}
	}
	if (text == NULL)
		http_reply(r->x, 500, "application/json", none, sizeof none - 1);
	else
		http_reply_take(r->x, status, "application/json", text, text, n);
}

int api_reply_object(struct api_request *r, int status, json_t *obj)
{
	if (r->form == API_FORM_OBJECT) {
		api_reply_json(r, status, obj);
		return 0;
	}
	JSON_AUTO view =
		r->form == API_FORM_TABLE ? api_table_one(r->kind, obj, r->include_object) : api_partial_metadata(obj);
	if (view == NULL)
		return api_fail_memory(r);
	api_reply_json(r, status, view);
	return 0;
}

static int reply_text(struct api_request *r, int status, const char *text)
{
	r->answered = true;
	r->status = status;
	http_reply(r->x, status, "text/plain; charset=utf-8", text, strlen(text));
	return 0;
}

int api_reply_empty(struct api_request *r)
{
	return reply_text(r, 200, "");
}

int api_reply_no_path(struct api_request *r)
{
	return reply_text(r, 404, "404 page not found\n");
}

void api_reply_failure(struct api_request *r)
{
	api_reply_json(r, r->status, r->failure);
}

void api_warn(struct api_request *r, const char *text)
{
	struct strbuf b = STRBUF_INIT(4096);
	strbuf_adds(&b, "299 - ");
	strbuf_add_json(&b, text, strlen(text));
	if (!b.failed)
		http_exchange_add_header(r->x, "Warning", b.p);
	strbuf_clear(&b);
}
