/*
 * Paths: every place and verb of a kind, with what it takes and answers. kubectl finds kinds by their resources here, sees which
 * parameters a PATCH takes, and generators of clients read all of it.
 */
#include <ctype.h>
#include <stdio.h>
#include <string.h>

#include "api/openapi_private.h"

#define PATH_MAX_ 640
#define ID_MAX    320

struct parameter {
	const char *name, *type, *doc;
};

#define PARAMETERS_END                                                                                                 \
	{                                                                                                              \
		.name = NULL                                                                                           \
	}

static const struct parameter name_parameter = {"name", "string", "Name of the object."};
static const struct parameter namespace_parameter = {"namespace", "string", "Namespace of the object."};

static const struct parameter write_parameters[] = {
	{"dryRun", "string", "All: nothing is stored."},
	{"fieldManager", "string", "Who makes the change."},
	{"fieldValidation", "string", "What to do about unknown and duplicate fields: Ignore, Warn or Strict."},
	PARAMETERS_END,
};
static const struct parameter patch_parameters[] = {
	{"dryRun", "string", "All: nothing is stored."},
	{"fieldManager", "string", "Who makes the change; required for apply."},
	{"fieldValidation", "string", "What to do about unknown and duplicate fields: Ignore, Warn or Strict."},
	{"force", "boolean", "Take over fields that belong to another manager; only for apply."},
	PARAMETERS_END,
};
static const struct parameter list_parameters[] = {
	{"allowWatchBookmarks", "boolean", "Tell a watch now and then how far it is."},
	{"continue", "string", "Where the next page of a list begins, as the last page said."},
	{"fieldSelector", "string", "Only objects with these values in fields."},
	{"labelSelector", "string", "Only objects with these labels."},
	{"limit", "integer", "At most so many objects in a page."},
	{"resourceVersion", "string", "How new the answer must be, or where a watch begins."},
	{"resourceVersionMatch", "string", "How resourceVersion is meant: Exact or NotOlderThan."},
	{"sendInitialEvents", "boolean", "Begin a watch with all objects and a bookmark after them."},
	{"timeoutSeconds", "integer", "End a watch after so long."},
	{"watch", "boolean", "Tell what changes instead of what is there."},
	PARAMETERS_END,
};
static const struct parameter delete_parameters[] = {
	{"dryRun", "string", "All: nothing is deleted."},
	{"gracePeriodSeconds", "integer", "How long the object has to end; 0: at once."},
	{"orphanDependents", "boolean", "Old form of propagationPolicy=Orphan."},
	{"propagationPolicy", "string", "What becomes of its dependents: Orphan, Background or Foreground."},
	PARAMETERS_END,
};
static const struct parameter log_parameters[] = {
	{"container", "string", "Which container; needed when there is more than one."},
	{"follow", "boolean", "Go on with what is written from now."},
	{"limitBytes", "integer", "At most so many bytes."},
	{"previous", "boolean", "Of the container before the last restart."},
	{"sinceSeconds", "integer", "What is younger than so many seconds."},
	{"tailLines", "integer", "Only so many lines from the end."},
	{"timestamps", "boolean", "A time before each line."},
	PARAMETERS_END,
};

enum body { BODY_NONE, BODY_OBJECT, BODY_PATCH, BODY_DELETE };

/** How a verb looks in a document. */
struct action {
	enum kind_verb verb;
	const char *method, *name, *id, *doc; /* "post", "post", "create", "create" */
	enum body body;
	const struct parameter *parameters;
};

static const struct action collection_actions[] = {
	{VERB_LIST, "get", "list", "list", "list or watch", BODY_NONE, list_parameters},
	{VERB_CREATE, "post", "post", "create", "create", BODY_OBJECT, write_parameters},
	{VERB_DELETECOLLECTION, "delete", "deletecollection", "delete", "delete all", BODY_DELETE, list_parameters},
	{.method = NULL},
};
static const struct action object_actions[] = {
	{VERB_GET, "get", "get", "read", "read", BODY_NONE, NULL},
	{VERB_UPDATE, "put", "put", "replace", "replace", BODY_OBJECT, write_parameters},
	{VERB_PATCH, "patch", "patch", "patch", "change parts of", BODY_PATCH, patch_parameters},
	{VERB_DELETE, "delete", "delete", "delete", "delete", BODY_DELETE, delete_parameters},
	{VERB_CREATE, "post", "post", "create", "create", BODY_OBJECT, write_parameters}, /* of subresources */
	{.method = NULL},
};

/** What the operations of one path speak of. */
struct place {
	const struct openapi *o;
	const struct kind *k;
	const char *group, *version, *kind; /* of what is sent and answered */
	const char *definition;             /* its name among the definitions; NULL: plain text */
	const char *suffix;                 /* of operation ids: "Status" */
	bool everywhere;                    /* the list of all namespaces */
};

static json_t *parameter_node(const struct openapi *o, const struct parameter *p, const char *in)
{
	json_t *n = json_pack("{s:s,s:s,s:s}", "name", p->name, "in", in, "description", p->doc);
	if (o->v3)
		(void)json_object_set_new(n, "schema", json_pack("{s:s}", "type", p->type));
	else
		(void)json_object_set_new(n, "type", json_string(p->type));
	if (strcmp(in, "path") == 0)
		(void)json_object_set_new(n, "required", json_true());
	return n;
}

static json_t *answer_schema(const struct place *p, const struct action *a)
{
	char name[ID_MAX];
	if (a->body == BODY_DELETE)
		return openapi_ref(p->o, openapi_type_name("meta.v1.Status", name, sizeof name));
	if (a->verb != VERB_LIST)
		return p->definition != NULL ? openapi_ref(p->o, p->definition) : json_pack("{s:s}", "type", "string");
	(void)openapi_list_name(p->k, name, sizeof name);
	return openapi_ref(p->o, name);
}

static json_t *responses(const struct place *p, const struct action *a)
{
	json_t *ok = json_pack("{s:s}", "description", "OK"), *schema = answer_schema(p, a);
	if (p->o->v3)
		(void)json_object_set_new(ok, "content",
					  json_pack("{s:{s:o}}",
						    p->definition != NULL ? "application/json" : "text/plain", "schema",
						    schema));
	else
		(void)json_object_set_new(ok, "schema", schema);
	return json_pack("{s:o,s:{s:s}}", a->verb == VERB_CREATE ? "201" : "200", ok, "401", "description",
			 "Unauthorized");
}

static json_t *body_node(const struct openapi *o, const char *definition, bool required)
{
	json_t *schema = openapi_ref(o, definition);
	json_t *n = o->v3 ? json_pack("{s:{s:{s:o}}}", "content", "application/json", "schema", schema)
			  : json_pack("{s:s,s:s,s:o}", "name", "body", "in", "body", "schema", schema);
	if (required)
		(void)json_object_set_new(n, "required", json_true());
	return n;
}

static const char *const patch_types[] = {"application/apply-patch+yaml", "application/json-patch+json",
					  "application/merge-patch+json", "application/strategic-merge-patch+json"};

/* kubectl looks here for the patch it may send: custom kinds have no strategic merge. */
static size_t patch_types_of(const struct kind *k)
{
	const size_t n = sizeof patch_types / sizeof patch_types[0];
	return schema_is_native(k->schema) ? n : n - 1;
}

/* A patch has many forms: its body is any object. */
static json_t *patch_body(const struct openapi *o, const struct kind *k)
{
	if (!o->v3)
		return json_pack("{s:s,s:s,s:b,s:{s:s}}", "name", "body", "in", "body", "required", 1, "schema", "type",
				 "object");
	json_t *content = json_object();
	for (size_t i = 0; i < patch_types_of(k); i++)
		(void)json_object_set_new(content, patch_types[i], json_pack("{s:{s:s}}", "schema", "type", "object"));
	return json_pack("{s:b,s:o}", "required", 1, "content", content);
}

static json_t *patch_consumes(const struct kind *k)
{
	json_t *list = json_array();
	for (size_t i = 0; i < patch_types_of(k); i++)
		(void)json_array_append_new(list, json_string(patch_types[i]));
	return list;
}

static void put_body(const struct place *p, const struct action *a, json_t *operation)
{
	char options[ID_MAX];
	json_t *node;
	if (a->body == BODY_NONE || (p->definition == NULL && a->body != BODY_DELETE))
		return; /* remote commands have their options in the query */
	if (a->body == BODY_PATCH)
		node = patch_body(p->o, p->k);
	else if (a->body == BODY_DELETE)
		node = body_node(p->o, openapi_type_name("meta.v1.DeleteOptions", options, sizeof options), false);
	else
		node = body_node(p->o, p->definition, true);
	if (p->o->v3)
		(void)json_object_set_new(operation, "requestBody", node);
	else
		(void)json_array_append_new(json_object_get(operation, "parameters"), node);
	if (a->body == BODY_PATCH && !p->o->v3)
		(void)json_object_set_new(operation, "consumes", patch_consumes(p->k));
}

/** "rbac.authorization.k8s.io", "v1" is "RbacAuthorizationV1"; the core group is "Core". */
static void group_id(const struct kind *k, char *out, size_t size)
{
	const char *group = k->resource.group[0] != '\0' ? k->resource.group : "core";
	const char *tail = schema_is_native(k->schema) ? strstr(group, ".k8s.io") : NULL;
	const size_t n = tail != NULL ? (size_t)(tail - group) : strlen(group);
	size_t used = 0;
	bool upper = true;
	for (size_t i = 0; i < n && used + 1 < size; i++) {
		if (group[i] != '.' && group[i] != '-')
			out[used++] = upper ? (char)toupper((unsigned char)group[i]) : group[i];
		upper = group[i] == '.' || group[i] == '-';
	}
	(void)snprintf(out + used, size - used, "%c%s", toupper((unsigned char)k->resource.version[0]),
		       k->resource.version + 1); /* cut when absurdly long */
}

static json_t *operation(const struct place *p, const struct action *a)
{
	char group[160], id[ID_MAX];
	const struct parameter *const log = strcmp(p->suffix, "Log") == 0 ? log_parameters : NULL;
	group_id(p->k, group, sizeof group);
	(void)snprintf(id, sizeof id, "%s%s%s%s%s%s", a->id, group,
		       a->verb == VERB_DELETECOLLECTION ? "Collection" : "",
		       p->k->resource.namespaced && !p->everywhere ? "Namespaced" : "", p->k->resource.kind, p->suffix);
	json_t *op = json_pack(
		"{s:o,s:s,s:s,s:[],s:o,s:{s:s,s:s,s:s}}", "description",
		json_sprintf("%s %s%s%s", a->doc, p->k->resource.kind, p->suffix[0] != '\0' ? ": " : "", p->suffix),
		"operationId", id, "x-kubernetes-action", a->name, "parameters", "responses", responses(p, a),
		"x-kubernetes-group-version-kind", "group", p->group, "version", p->version, "kind", p->kind);
	for (const struct parameter *f = log != NULL ? log : a->parameters; f != NULL && f->name != NULL; f++)
		(void)json_array_append_new(json_object_get(op, "parameters"), parameter_node(p->o, f, "query"));
	put_body(p, a, op);
	return op;
}

/** The path with those of @actions that @verbs has. */
static void add_path(const struct place *p, json_t *paths, const char *path, const struct action *actions,
		     unsigned verbs)
{
	json_t *item = json_pack("{s:[]}", "parameters"), *parameters = json_object_get(item, "parameters");
	if (strstr(path, "{name}") != NULL)
		(void)json_array_append_new(parameters, parameter_node(p->o, &name_parameter, "path"));
	if (strstr(path, "{namespace}") != NULL)
		(void)json_array_append_new(parameters, parameter_node(p->o, &namespace_parameter, "path"));
	for (const struct action *a = actions; a->method != NULL; a++)
		if ((verbs & a->verb) != 0)
			(void)json_object_set_new(item, a->method, operation(p, a));
	(void)json_object_set_new(paths, path, item);
}

static void add_subresource(const struct place *object, json_t *paths, const char *one,
			    const struct kind_subresource *s)
{
	char path[PATH_MAX_ + 32], suffix[32], definition[ID_MAX];
	struct place p = *object;
	(void)snprintf(path, sizeof path, "%s/%s", one, s->name);
	(void)snprintf(suffix, sizeof suffix, "%c%s", toupper((unsigned char)s->name[0]), s->name + 1);
	p.suffix = suffix;
	if (s->kind != NULL) {
		p.group = s->group;
		p.version = s->version;
		p.kind = s->kind;
	}
	if (s->sub == SUB_LOG || s->sub == SUB_REMOTE)
		p.definition = NULL; /* answers that are no object */
	else if (s->kind != NULL)
		p.definition = openapi_add_document(p.o, s, definition, sizeof definition);
	add_path(&p, paths, path, object_actions, s->verbs);
}

void openapi_add_paths(const struct openapi *o, const struct kind *k, json_t *paths)
{
	char base[256], all[PATH_MAX_], one[PATH_MAX_ + 8], name[ID_MAX];
	const struct kube_resource *const r = &k->resource;
	(void)snprintf(base, sizeof base, "%s%s/%s", r->group[0] == '\0' ? "/api" : "/apis/", r->group, r->version);
	(void)snprintf(all, sizeof all, "%s/%s%s", base, r->namespaced ? "namespaces/{namespace}/" : "", r->plural);
	(void)snprintf(one, sizeof one, "%s/{name}", all);
	(void)openapi_kind_name(k, name, sizeof name);

	struct place p = {o, k, r->group, r->version, r->kind, name, "", false};
	add_path(&p, paths, all, collection_actions, k->verbs);
	if ((k->verbs & VERB_GET) == 0)
		return;
	add_path(&p, paths, one, object_actions, k->verbs & ~(unsigned)VERB_CREATE);
	for (const struct kind_subresource *s = kind_subresources; s->name != NULL; s++)
		if ((k->subresources & s->sub) != 0)
			add_subresource(&p, paths, one, s);
	if (!r->namespaced || (k->verbs & VERB_LIST) == 0)
		return;
	(void)snprintf(all, sizeof all, "%s/%s", base, r->plural);
	p.everywhere = true;
	p.suffix = "ForAllNamespaces";
	add_path(&p, paths, all, collection_actions, VERB_LIST);
}
