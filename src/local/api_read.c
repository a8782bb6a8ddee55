/* Get, list and the beginning of a watch. */
#include <stdio.h>
#include <string.h>

#include "base/base64.h"
#include "base/cleanup.h"
#include "base/clock.h"
#include "base/error.h"
#include "base/random.h"
#include "base/str.h"
#include "base/strbuf.h"
#include "local/api_convert.h"
#include "local/api_internal.h"
#include "local/api_table.h"
#include "json/json.h"
#include "json/selector.h"

#define ANSWER_MAX     (1u << 30)
#define HEAD_ROOM      4096 /* of a list: what stands before its items, nearly always */
#define NAME_MAX_BYTES (64u << 10)
#define CONTINUE_MAX   4096
#define WATCH_MIN_S    300 /* a watch ends after so long at least, and twice that at most */

static void label_selector_free_p(struct label_selector **s)
{
	label_selector_free(*s);
}

static void field_selector_free_p(struct field_selector **s)
{
	field_selector_free(*s);
}

int api_load_other(struct api_server *s, const char *group, const char *plural, const char *ns, const char *name,
		   json_t **ret, int64_t *ret_revision)
{
	struct objstore_key key = {group, plural, ns, name};
	CLEANUP(free_p) char *text = NULL;
	size_t n = 0;
	int rc = objstore_get(s->store, &key, &text, &n, ret_revision, NULL);
	return rc < 0 ? rc : json_parse(text, n, ret, NULL);
}

int api_load(struct api_request *r, const char *name, json_t **ret, int64_t *ret_revision)
{
	struct objstore_key key = {r->kind->stored_group, r->plural, r->ns, name};
	CLEANUP(free_p) char *text = NULL;
	size_t n = 0;
	struct error err = {0};
	int rc = objstore_get(r->server->store, &key, &text, &n, ret_revision, &err);
	if (rc == -ENOENT)
		return api_fail_not_found(r, name);
	if (rc == 0)
		rc = json_parse(text, n, ret, &err);
	if (rc < 0)
		return api_fail_internal(r, &err);
	return api_from_stored(r->kind, *ret) < 0 ? api_fail_memory(r) : 0;
}

int api_get(struct api_request *r)
{
	JSON_AUTO obj = NULL;
	int rc = api_load(r, r->name, &obj, NULL);
	return rc < 0 ? rc : api_reply_object(r, 200, obj);
}

/* Field selectors that each kind knows besides the two of metadata. */
static const struct {
	const char *group, *plural;
	const char *const *paths;
} selectable[] = {
	{"", "pods",
	 (const char *const[]){"spec.nodeName", "spec.restartPolicy", "spec.schedulerName", "spec.serviceAccountName",
			       "spec.hostNetwork", "status.phase", "status.podIP", "status.nominatedNodeName", NULL}},
	{"", "events",
	 (const char *const[]){"involvedObject.kind", "involvedObject.namespace", "involvedObject.name",
			       "involvedObject.uid", "involvedObject.apiVersion", "involvedObject.resourceVersion",
			       "involvedObject.fieldPath", "reason", "reportingComponent", "source", "type", NULL}},
	{"events.k8s.io", "events",
	 (const char *const[]){"regarding.kind", "regarding.namespace", "regarding.name", "regarding.uid",
			       "regarding.apiVersion", "regarding.resourceVersion", "regarding.fieldPath", "reason",
			       "reportingController", "source", "type", NULL}},
	{"", "secrets", (const char *const[]){"type", NULL}},
	{"", "namespaces", (const char *const[]){"status.phase", NULL}},
	{"", "nodes", (const char *const[]){"spec.unschedulable", NULL}},
	{"", "services", (const char *const[]){"spec.clusterIP", "spec.type", NULL}},
};

static bool crd_selectable(const struct api_request *r, const char *path)
{
	size_t i;
	const json_t *version, *field;
	json_array_foreach (json_at(r->kind->crd, "spec.versions"), i, version) {
		if (strcmp(json_str(version, "name", ""), r->version) != 0)
			continue;
		size_t k;
		json_array_foreach (json_object_get(version, "selectableFields"), k, field)
			if (strcmp(json_str(field, "jsonPath", ".") + 1, path) == 0)
				return true;
	}
	return false;
}

static int check_field(void *ctx, const char *path)
{
	struct api_request *r = ctx;
	if (strcmp(path, "metadata.name") == 0 || strcmp(path, "metadata.namespace") == 0)
		return 0;
	for (size_t i = 0; i < ARRAY_LEN(selectable); i++) {
		if (strcmp(selectable[i].group, r->group) != 0 || strcmp(selectable[i].plural, r->plural) != 0)
			continue;
		for (const char *const *p = selectable[i].paths; *p != NULL; p++)
			if (strcmp(*p, path) == 0)
				return 0;
		return api_fail_bad(r, "field label not supported: %s", path);
	}
	if (r->kind->custom && crd_selectable(r, path))
		return 0;
	return api_fail_bad(r, "\"%s\" is not a known field selector: only \"metadata.name\", \"metadata.namespace\"",
			    path);
}

static int read_selectors(struct api_request *r, struct label_selector **ret_labels, struct field_selector **ret_fields)
{
	struct error err = {0};
	const char *labels = api_query(r, "labelSelector"), *fields = api_query(r, "fieldSelector");
	if (labels[0] != '\0' && label_selector_parse(labels, ret_labels, &err) < 0)
		return api_fail_bad(r, "%s", err.msg);
	if (fields[0] == '\0')
		return 0;
	if (field_selector_parse(fields, ret_fields, &err) < 0)
		return api_fail_bad(r, "%s", err.msg);
	return field_selector_each(*ret_fields, check_field, r);
}

/** A list being built as text: the items one after another, behind room for what stands before them. */
struct listing {
	struct api_request *r;
	const struct label_selector *labels;
	const struct field_selector *fields;
	const char *only; /* metadata.name= of the field selector */
	bool plain;       /* items go as they are stored */
	struct strbuf text;
	size_t n;
	struct strbuf last_ns, last_name;
};

static void listing_clear(struct listing *l)
{
	strbuf_clear(&l->text);
	strbuf_clear(&l->last_ns);
	strbuf_clear(&l->last_name);
}

/** @obj in the form that was asked for. New tree, NULL on no memory. */
static json_t *item_view(struct api_request *r, json_t *obj)
{
	if (r->form == API_FORM_TABLE)
		return api_table_row(r->kind, obj, r->include_object);
	return r->form == API_FORM_PARTIAL ? api_partial_metadata(obj) : json_incref(obj);
}

static void next_item(struct listing *l)
{
	if (l->n++ > 0)
		strbuf_addc(&l->text, ',');
}

static int add_parsed(struct listing *l, const struct objstore_item *item)
{
	JSON_AUTO obj = NULL;
	if (json_parse(item->data, item->n, &obj, NULL) < 0)
		return -EIO;
	if (l->labels != NULL && !label_selector_matches(l->labels, json_at(obj, "metadata.labels")))
		return 0;
	if (api_from_stored(l->r->kind, obj) < 0)
		return -ENOMEM;
	if (l->fields != NULL && !field_selector_matches(l->fields, obj))
		return 0;
	next_item(l);
	if (l->plain) {
		strbuf_add(&l->text, item->data, item->n);
		return 0;
	}
	JSON_AUTO view = item_view(l->r, obj);
	if (view == NULL)
		return -ENOMEM;
	json_add_text(&l->text, view);
	return 0;
}

static int add_item(void *ctx, const struct objstore_item *item)
{
	struct listing *l = ctx;
	int rc = 0;
	strbuf_reset(&l->last_ns);
	strbuf_adds(&l->last_ns, item->ns);
	strbuf_reset(&l->last_name);
	strbuf_adds(&l->last_name, item->name);
	if (l->only != NULL && strcmp(l->only, item->name) != 0)
		return 0;
	if (!l->plain || l->labels != NULL || l->fields != NULL) {
		rc = add_parsed(l, item);
	} else {
		next_item(l);
		strbuf_add(&l->text, item->data, item->n);
	}
	return rc < 0 || !(l->text.failed || l->last_ns.failed || l->last_name.failed) ? rc : -ENOMEM;
}

/* The continue token: base64 of {"v":"meta.k8s.io/v1","rv":N,"start":"ns/name"}. */

static char *continue_token(int64_t revision, const char *ns, const char *name)
{
	JSON_AUTO j = json_pack("{s:s, s:I, s:o}", "v", "meta.k8s.io/v1", "rv", (json_int_t)revision, "start",
				json_sprintf("%s/%s", ns, name));
	size_t n = 0;
	CLEANUP(free_p) char *text = json_to_text(j, &n);
	return text != NULL ? base64_encode(text, n) : NULL;
}

static int read_continue(struct api_request *r, struct objstore_range *range)
{
	const char *token = api_query(r, "continue");
	if (token[0] == '\0')
		return 0;
	CLEANUP(free_p) char *text = NULL;
	size_t n = 0;
	JSON_AUTO j = NULL;
	if (strlen(token) > CONTINUE_MAX)
		return api_fail_bad(r, "invalid continue token: continue key is not valid: too long");
	int rc = base64_decode(token, &text, &n);
	if (rc == -ENOMEM)
		return api_fail_memory(r);
	if (rc < 0)
		return api_fail_bad(
			r, "invalid continue token: continue key is not valid: illegal base64 data at input byte %zu",
			base64_bad_byte(token));
	const char *start = json_parse(text, n, &j, NULL) == 0 ? json_str(j, "start", NULL) : NULL;
	const char *slash = start != NULL ? strchr(start, '/') : NULL;
	range->revision = json_int(j, "rv", 0);
	if (slash == NULL || range->revision <= 0)
		return api_fail_bad(
			r, "invalid continue token: continue key is not valid: it was not made by this server");
	range->after_ns = arena_strndup(&r->arena, start, (size_t)(slash - start));
	range->after_name = arena_strdup(&r->arena, slash + 1);
	return range->after_ns != NULL && range->after_name != NULL ? 0 : api_fail_memory(r);
}

/** Of a watch a version that is none is the server's error, as Kubernetes has it. */
static int parse_revision(struct api_request *r, bool watch, int64_t *ret)
{
	const char *v = api_query(r, "resourceVersion");
	*ret = 0;
	if (v[0] == '\0' || (str_to_i64(v, ret) == 0 && *ret >= 0))
		return 0;
	return api_fail(r, watch ? 500 : 400, watch ? "" : "BadRequest", NULL,
			"resourceVersion: Invalid value: \"%s\": strconv.ParseUint: parsing \"%s\": invalid syntax", v,
			v);
}

static int fail_match(struct api_request *r, const char *why)
{
	return api_fail_option(r, "resourceVersionMatch", "FieldValueForbidden", "Forbidden: %s", why);
}

static int fail_unknown_match(struct api_request *r, const char *match, const char *known)
{
	return api_fail_option(r, "resourceVersionMatch", "FieldValueNotSupported",
			       "Unsupported value: \"%s\": supported values: %s", match, known);
}

static int check_list_options(struct api_request *r)
{
	const char *match = api_query(r, "resourceVersionMatch"), *version = api_query(r, "resourceVersion");
	bool exact = strcmp(match, "Exact") == 0;
	if (api_query(r, "sendInitialEvents")[0] != '\0')
		return api_fail_option(r, "sendInitialEvents", "FieldValueForbidden",
				       "Forbidden: sendInitialEvents is forbidden for list");
	if (match[0] == '\0')
		return 0;
	if (version[0] == '\0')
		return fail_match(r, "resourceVersionMatch is forbidden unless resourceVersion is provided");
	if (api_query(r, "continue")[0] != '\0')
		return fail_match(r, "resourceVersionMatch is forbidden when continue is provided");
	if (!exact && strcmp(match, "NotOlderThan") != 0)
		return fail_unknown_match(r, match, "\"Exact\", \"NotOlderThan\", \"\"");
	if (exact && strcmp(version, "0") == 0)
		return fail_match(r, "resourceVersionMatch \"exact\" is forbidden for resourceVersion \"0\"");
	return 0;
}

static int check_watch_options(struct api_request *r)
{
	const char *match = api_query(r, "resourceVersionMatch");
	bool initial = api_query(r, "sendInitialEvents")[0] != '\0', fresh = strcmp(match, "NotOlderThan") == 0;
	if (initial && !fresh)
		return fail_match(r, "sendInitialEvents requires setting resourceVersionMatch to NotOlderThan");
	if (match[0] == '\0')
		return 0;
	if (!initial)
		return fail_match(r,
				  "resourceVersionMatch is forbidden for watch unless sendInitialEvents is provided");
	if (api_query(r, "continue")[0] != '\0')
		return fail_match(r, "resourceVersionMatch is forbidden when continue is provided");
	return 0;
}

/** A version that the store has not reached yet. */
static int check_reached(struct api_request *r, int64_t revision)
{
	int64_t now = objstore_revision(r->server->store);
	if (revision <= now)
		return 0;
	json_t *details = json_pack("{s:[{s:s, s:s}], s:i}", "causes", "reason", "ResourceVersionTooLarge", "message",
				    "Too large resource version", "retryAfterSeconds", 1);
	return api_fail(r, 504, "Timeout", details, "Too large resource version: %lld, current: %lld",
			(long long)revision, (long long)now);
}

static int read_range(struct api_request *r, struct objstore_range *range)
{
	*range = (struct objstore_range){.group = r->kind->stored_group, .plural = r->plural, .ns = r->ns};
	int64_t limit = 0, revision = 0;
	const char *l = api_query(r, "limit");
	if (l[0] != '\0' && str_to_i64(l, &limit) < 0)
		return api_fail_bad(r, "strconv.ParseInt: parsing \"%s\": invalid syntax", l);
	if (limit < 0)
		limit = 0;
	range->limit = (size_t)limit;
	int rc = parse_revision(r, false, &revision);
	if (rc == 0)
		rc = check_list_options(r);
	if (rc == 0)
		rc = check_reached(r, revision);
	if (rc == 0 && strcmp(api_query(r, "resourceVersionMatch"), "Exact") == 0)
		range->revision = revision;
	return rc < 0 ? rc : read_continue(r, range);
}

static int fail_list(struct api_request *r, int rc, const struct error *err)
{
	if (rc == -EKEYEXPIRED && api_query(r, "continue")[0] == '\0')
		return api_fail(r, 410, "Expired", NULL, "The resourceVersion for the provided list is too old.");
	if (rc == -EKEYEXPIRED)
		return api_fail(r, 410, "Expired", NULL,
				"The provided continue parameter is too old to display a consistent list result. You "
				"can start a new list without"
				" the continue parameter.");
	if (rc == -ERANGE)
		return api_fail(r, 504, "Timeout", NULL, "Too large resource version: %s", err->msg);
	if (rc == -ENOMEM)
		return api_fail_memory(r);
	return api_fail_internal(r, err);
}

/** The list without its items. */
static json_t *list_head(struct api_request *r)
{
	const struct kind *k = r->kind->k;
	char version[128];
	if (r->form == API_FORM_TABLE) {
		json_t *table = api_table_new(r->kind, true);
		(void)json_object_del(table, "rows");
		return table;
	}
	if (r->form == API_FORM_PARTIAL)
		return json_pack("{s:s, s:s, s:{}}", "kind", "PartialObjectMetadataList", "apiVersion",
				 "meta.k8s.io/v1", "metadata");
	return json_pack("{s:s, s:s, s:{}}", "kind", k->list_kind, "apiVersion",
			 kube_api_version(&k->resource, version), "metadata");
}

static int list_metadata(json_t *meta, const struct listing *l, int64_t revision, int64_t remaining)
{
	json_t *rv = json_sprintf("%lld", (long long)revision);
	if (json_object_set_new(meta, "resourceVersion", rv) < 0)
		return -ENOMEM;
	if (remaining == 0)
		return 0;
	CLEANUP(free_p) char *token = continue_token(revision, l->last_ns.p, l->last_name.p);
	if (token == NULL || json_object_set_new(meta, "continue", json_string(token)) < 0)
		return -ENOMEM;
	bool exact = l->labels == NULL && l->fields == NULL; /* of what a selector leaves out nobody knows */
	return exact ? json_object_set_new(meta, "remainingItemCount", json_integer(remaining)) : 0;
}

/** Send @whole from @from on; as JSON it is given away. */
static void send_list(struct listing *l, struct strbuf *whole, size_t from)
{
	struct api_request *r = l->r;
	JSON_AUTO tree = NULL;
	if (r->yaml && json_parse(whole->p + from, whole->n - from, &tree, NULL) == 0) {
		api_reply_json(r, 200, tree);
		return;
	}
	r->answered = true;
	http_reply_take(r->x, 200, "application/json", whole->p, whole->p + from, whole->n - from);
	*whole = STRBUF_INIT(0);
}

/** Put the head into the room before the items; a large one (of many columns) begins a text of its own. */
static int reply_list(struct listing *l, const json_t *head)
{
	struct strbuf b = STRBUF_INIT(ANSWER_MAX);
	json_add_text(&b, head);
	if (b.n > 0)
		b.n--; /* its last brace */
	strbuf_adds(&b, l->r->form == API_FORM_TABLE ? ",\"rows\":[" : ",\"items\":[");
	strbuf_adds(&l->text, "]}");
	if (b.n <= HEAD_ROOM && !b.failed && !l->text.failed) {
		memcpy(l->text.p + HEAD_ROOM - b.n, b.p, b.n);
		send_list(l, &l->text, HEAD_ROOM - b.n);
	} else if (!l->text.failed) {
		strbuf_add(&b, l->text.p + HEAD_ROOM, l->text.n - HEAD_ROOM);
		if (!b.failed)
			send_list(l, &b, 0);
	}
	strbuf_clear(&b);
	return l->r->answered ? 0 : api_fail_memory(l->r);
}

static int list_now(struct api_request *r, const struct label_selector *labels, const struct field_selector *fields)
{
	static const char room[HEAD_ROOM];
	struct objstore_range range;
	int rc = read_range(r, &range);
	if (rc < 0)
		return rc;
	CLEANUP(listing_clear)
	struct listing l = {.r = r,
			    .labels = labels,
			    .fields = fields,
			    .text = STRBUF_INIT(ANSWER_MAX),
			    .last_ns = STRBUF_INIT(NAME_MAX_BYTES),
			    .last_name = STRBUF_INIT(NAME_MAX_BYTES)};
	l.only = fields != NULL ? field_selector_value(fields, "metadata.name") : NULL;
	l.plain = r->form == API_FORM_OBJECT && r->kind->one_version;
	strbuf_add(&l.text, room, sizeof room);
	JSON_AUTO head = list_head(r);
	if (head == NULL)
		return api_fail_memory(r);
	int64_t revision = 0, remaining = 0;
	struct error err = {0};
	rc = objstore_list(r->server->store, &range, add_item, &l, &revision, &remaining, &err);
	if (rc < 0)
		return fail_list(r, rc, &err);
	if (list_metadata(json_object_get(head, "metadata"), &l, revision, remaining) < 0)
		return api_fail_memory(r);
	return reply_list(&l, head);
}

static int watch_now(struct api_request *r, struct label_selector **labels, struct field_selector **fields)
{
	struct api_watch_options o = {.bookmarks = api_query_bool(r, "allowWatchBookmarks")};
	int rc = parse_revision(r, true, &o.from);
	if (rc == 0)
		rc = check_watch_options(r);
	if (rc == 0)
		rc = check_reached(r, o.from);
	if (rc < 0)
		return rc;
	bool send_initial = api_query_bool(r, "sendInitialEvents");
	o.initial = send_initial || (o.from == 0 && strcmp(api_query(r, "sendInitialEvents"), "false") != 0);
	o.initial_bookmark = send_initial && o.bookmarks;
	int64_t seconds = 0;
	const char *t = api_query(r, "timeoutSeconds");
	if (t[0] != '\0' && (str_to_i64(t, &seconds) < 0 || seconds < 0))
		return api_fail_bad(r, "timeoutSeconds: Invalid value: \"%s\": must be a number that is not negative",
				    t);
	if (seconds <= 0 || seconds > 24 * 3600)
		seconds = WATCH_MIN_S +
			  random_below(WATCH_MIN_S); /* spread, so that clients do not all come back at once */
	o.timeout_ns = seconds * NSEC_PER_SEC;
	o.labels = TAKE(*labels);
	o.fields = TAKE(*fields);
	return api_watch_begin(r, &o);
}

int api_list(struct api_request *r)
{
	CLEANUP(label_selector_free_p) struct label_selector *labels = NULL;
	CLEANUP(field_selector_free_p) struct field_selector *fields = NULL;
	const bool watch = api_query_bool(r, "watch");
	int rc = read_selectors(r, &labels, &fields);
	if (rc < 0)
		return rc;
	return watch ? watch_now(r, &labels, &fields) : list_now(r, labels, fields);
}
