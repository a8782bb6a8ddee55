/* Names of custom kinds: what one definition of a group has, another one cannot have; who comes first, keeps it. */
#include <stdio.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/error.h"
#include "base/str.h"
#include "local/api_internal.h"
#include "json/json.h"

#define CRD_GROUP  "apiextensions.k8s.io"
#define CRD_PLURAL "customresourcedefinitions"

/** What the other definitions of the group have. */
struct taken {
	const json_t *crd;
	json_t *resources, *kinds; /* name: true */
	int rc;
};

static void note(struct taken *t, json_t *into, const char *name)
{
	if (name[0] != '\0' && json_object_set_new(into, name, json_true()) < 0)
		t->rc = -ENOMEM;
}

static int gather(void *ctx, const struct objstore_item *item)
{
	struct taken *t = ctx;
	JSON_AUTO crd = NULL;
	if (strcmp(item->name, json_str(t->crd, "metadata.name", "")) == 0)
		return 0;
	if (json_parse(item->data, item->n, &crd, NULL) < 0)
		return -EIO;
	if (strcmp(json_str(crd, "spec.group", ""), json_str(t->crd, "spec.group", "")) != 0)
		return 0;
	const json_t *names = json_at(crd, "status.acceptedNames");
	note(t, t->resources, json_str(names, "plural", ""));
	note(t, t->resources, json_str(names, "singular", ""));
	note(t, t->kinds, json_str(names, "kind", ""));
	note(t, t->kinds, json_str(names, "listKind", ""));
	size_t i;
	json_t *s;
	json_array_foreach (json_object_get(names, "shortNames"), i, s)
		note(t, t->resources, json_string_value(s) != NULL ? json_string_value(s) : "");
	return t->rc;
}

/** One name: accepted, or the conflict is told by *@reason and @message; the last one is what a cluster tells. */
static int accept_name(json_t *crd, const json_t *used, const char *member, const char *why, const char **reason,
		       char message[static 300])
{
	json_t *names = json_at(crd, "status.acceptedNames");
	const char *wanted = json_str(json_at(crd, "spec.names"), member, "");
	if (wanted[0] == '\0' || json_object_get(used, wanted) == NULL)
		return json_object_set_new(names, member, json_string(wanted));
	(void)snprintf(message, 300, "\"%s\" is already in use", wanted);
	*reason = why;
	return 0;
}

static int accept_short_names(json_t *crd, const json_t *used, const char **reason, char message[static 300])
{
	json_t *wanted = json_at(crd, "spec.names.shortNames");
	size_t i;
	json_t *s;
	json_array_foreach (wanted, i, s) {
		const char *name = json_string_value(s) != NULL ? json_string_value(s) : "";
		if (json_object_get(used, name) == NULL)
			continue;
		(void)snprintf(message, 300, "\"%s\" is already in use", name);
		*reason = "ShortNamesConflict";
		return 0;
	}
	return wanted == NULL ? 0 : json_object_set(json_at(crd, "status.acceptedNames"), "shortNames", wanted);
}

static int accept_all(json_t *crd, const struct taken *t, const char **reason, char message[static 300])
{
	json_t *categories = json_at(crd, "spec.names.categories");
	if (json_put(crd, "status.acceptedNames", json_pack("{s:s, s:s}", "plural", "", "kind", "")) < 0)
		return -ENOMEM;
	int rc = accept_name(crd, t->resources, "plural", "PluralConflict", reason, message);
	rc |= accept_name(crd, t->resources, "singular", "SingularConflict", reason, message);
	rc |= accept_short_names(crd, t->resources, reason, message);
	rc |= accept_name(crd, t->kinds, "kind", "KindConflict", reason, message);
	rc |= accept_name(crd, t->kinds, "listKind", "ListKindConflict", reason, message);
	if (categories != NULL)
		rc |= json_object_set(json_at(crd, "status.acceptedNames"), "categories", categories);
	return rc == 0 ? 0 : -ENOMEM;
}

bool api_crd_established(const json_t *crd)
{
	return strcmp(json_str(crd, "status.conditions[type=Established].status", ""), "True") == 0;
}

int api_crd_accept_names(struct api_server *s, json_t *crd, struct error *err)
{
	JSON_AUTO resources = json_object();
	JSON_AUTO kinds = json_object();
	struct taken t = {.crd = crd, .resources = resources, .kinds = kinds};
	struct objstore_range range = {.group = CRD_GROUP, .plural = CRD_PLURAL};
	int rc = objstore_list(s->store, &range, gather, &t, NULL, NULL, err);
	const char *reason = NULL;
	char message[300] = "no conflicts found";
	if (rc == 0 && accept_all(crd, &t, &reason, message) < 0)
		rc = error_set(err, -ENOMEM, "out of memory");
	if (rc < 0)
		return rc;
	rc = api_crd_put_condition(crd, "NamesAccepted", reason == NULL, reason != NULL ? reason : "NoConflicts",
				   message);
	if (reason == NULL)
		rc |= api_crd_put_condition(crd, "Established", true, "InitialNamesAccepted",
					    "the initial names have been accepted");
	else if (!api_crd_established(crd))
		rc |= api_crd_put_condition(crd, "Established", false, "NotAccepted", "not all names are accepted");
	return rc == 0 ? 0 : error_set(err, -ENOMEM, "out of memory");
}

/* ---- when a name is free again ---- */

static int collect_refused(void *ctx, const struct objstore_item *item)
{
	JSON_AUTO crd = NULL;
	if (json_parse(item->data, item->n, &crd, NULL) < 0)
		return -EIO;
	bool refused = strcmp(json_str(crd, "status.conditions[type=NamesAccepted].status", ""), "False") == 0;
	return !refused || json_array_append_new(ctx, json_string(item->name)) == 0 ? 0 : -ENOMEM;
}

static int settle(struct api_server *s, const char *name, struct error *err)
{
	JSON_AUTO crd = NULL;
	int64_t revision = 0;
	int rc = api_load_other(s, CRD_GROUP, CRD_PLURAL, "", name, &crd, &revision);
	if (rc < 0)
		return rc == -ENOENT ? 0 : error_set(err, rc, "read definition '%s'", name);
	JSON_AUTO before = json_deep_copy(json_object_get(crd, "status"));
	rc = before != NULL ? api_crd_accept_names(s, crd, err) : error_set(err, -ENOMEM, "out of memory");
	if (rc < 0 || json_same(before, json_object_get(crd, "status")))
		return rc;
	struct objstore_key key = {CRD_GROUP, CRD_PLURAL, "", name};
	return api_store_object(s, &key, crd, revision, false, err);
}

int api_crd_settle_names(struct api_server *s, struct error *err)
{
	JSON_AUTO list = json_array();
	struct objstore_range range = {.group = CRD_GROUP, .plural = CRD_PLURAL};
	int rc = objstore_list(s->store, &range, collect_refused, list, NULL, NULL, err);
	size_t i;
	json_t *name;
	json_array_foreach (list, i, name)
		if (rc == 0)
			rc = settle(s, json_string_value(name), err);
	return rc;
}
