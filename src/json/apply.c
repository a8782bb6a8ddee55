#include "json/apply.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "base/str.h"
#include "base/strbuf.h"
#include "json/apply_private.h"
#include "json/fieldset.h"
#include "json/json.h"
#include "json/owners.h"
#include "json/shape.h"
#include "json/typed.h"

/* What the server says of an object: nobody owns it and no configuration changes it. */
static const char *const system_fields[] = {
	"metadata.creationTimestamp",
	"metadata.deletionTimestamp",
	"metadata.deletionGracePeriodSeconds",
	"metadata.generation",
	"metadata.managedFields",
	"metadata.resourceVersion",
	"metadata.selfLink",
	"metadata.uid",
};

/* What says which object it is: nobody owns that either. */
static const char *const identity_fields[] = {"apiVersion", "kind", "metadata.name", "metadata.namespace",
					      "metadata.generateName"};

static int no_memory(struct error *err)
{
	return error_set(err, -ENOMEM, "apply: out of memory");
}

/* ---- fields that nobody owns ---- */

/* Add "a.b" to a set. */
static int add_dotted(json_t *set, const char *dotted)
{
	struct str rest = str_from(dotted), piece;
	while (str_split_next(&rest, '.', &piece)) {
		CLEANUP(free_p) char *element = str_printf("f:%.*s", (int)piece.n, piece.p);
		if (element == NULL)
			return -ENOMEM;
		json_t *child = json_object_get(set, element);
		if (child == NULL) {
			child = json_object();
			if (json_object_set_new(set, element, child) < 0)
				return -ENOMEM;
		}
		set = child;
	}
	return json_object_set_new(set, ".", json_true()) < 0 ? -ENOMEM : 0;
}

static int add_all_dotted(json_t *set, const char *const *paths, size_t n)
{
	for (size_t i = 0; i < n; i++)
		if (add_dotted(set, paths[i]) < 0)
			return -ENOMEM;
	return 0;
}

/* Nobody ever owns these; a new set or NULL. */
static json_t *never_owned(void)
{
	JSON_AUTO set = json_object();
	if (set == NULL || add_all_dotted(set, system_fields, ARRAY_LEN(system_fields)) < 0 ||
	    add_all_dotted(set, identity_fields, ARRAY_LEN(identity_fields)) < 0)
		return NULL;
	return TAKE(set);
}

json_t *apply_unowned(const struct apply_options *o)
{
	JSON_AUTO set = never_owned();
	for (const char *const *p = o->ignore; set != NULL && p != NULL && *p != NULL; p++)
		if (add_dotted(set, *p) < 0)
			return NULL;
	return TAKE(set);
}

int apply_strip(struct owners *ms)
{
	JSON_AUTO fields = never_owned();
	if (fields == NULL)
		return -ENOMEM;
	for (size_t i = 0; i < ms->n; i++) {
		JSON_AUTO set = fieldset_exclude(ms->m[i].set, fields);
		if (set == NULL)
			return -ENOMEM;
		/* "metadata" itself says nothing, only what is below it. */
		json_t *metadata = json_object_get(set, "f:metadata");
		(void)json_object_del(metadata, "."); /* absent is fine */
		if (json_object_size(metadata) == 0)
			(void)json_object_del(set, "f:metadata");
		if (owner_give(&ms->m[i], TAKE(set)) < 0)
			return -ENOMEM;
	}
	return 0;
}

/* ---- conflicts ---- */

struct conflicts {
	json_t *causes; /* borrowed */
	struct strbuf who;
};

/* "a" with subresource "status" using v1 */
static void owner_text(struct strbuf *b, const struct owner *m)
{
	strbuf_reset(b);
	strbuf_add_json(b, m->name, strlen(m->name));
	if (m->subresource[0] != '\0') {
		strbuf_adds(b, " with subresource ");
		strbuf_add_json(b, m->subresource, strlen(m->subresource));
	}
	if (!m->applied)
		strbuf_addf(b, " using %s", m->api_version);
}

static int add_cause(void *ctx, const char *path)
{
	struct conflicts *c = ctx;
	CLEANUP(free_p) char *message = str_printf("conflict with %s", c->who.p);
	json_t *cause = message == NULL ? NULL
					: json_pack("{s:s,s:s,s:s}", "reason", "FieldManagerConflict", "message",
						    message, "field", path);
	return json_array_append_new(c->causes, cause) < 0 ? -ENOMEM : 0;
}

/* A cause for each field of @changed that @m owns. 0 or -ENOMEM. */
static int add_causes(json_t *causes, const struct owner *m, const json_t *changed)
{
	JSON_AUTO common = fieldset_intersection(m->set, changed);
	struct conflicts c = {.causes = causes, .who = STRBUF_INIT(1u << 16)};
	owner_text(&c.who, m);
	const int rc = common == NULL || c.who.failed ? -ENOMEM : fieldset_each(common, add_cause, &c);
	strbuf_clear(&c.who);
	return rc;
}

/* The owner after @prev (NULL: the first) by name, as Kubernetes lists them. */
static const struct owner *next_by_name(const struct owners *ms, const struct owner *prev)
{
	const struct owner *best = NULL;
	for (size_t i = 0; i < ms->n; i++) {
		const struct owner *m = &ms->m[i];
		const int after = prev == NULL ? 1 : strcmp(m->name, prev->name);
		if (m == prev || after < 0 || (after == 0 && m < prev))
			continue;
		if (best == NULL || strcmp(m->name, best->name) < 0)
			best = m;
	}
	return best;
}

char *apply_conflict_message(const json_t *causes)
{
	const size_t n = json_array_size(causes);
	struct strbuf b = STRBUF_INIT(1u << 20);
	const char *previous = "";
	strbuf_addf(&b, "Apply failed with %zu conflict%s: ", n, n == 1 ? "" : "s");
	for (size_t i = 0; i < n; i++) {
		const json_t *cause = json_array_get(causes, i);
		const char *who = json_str(cause, "message", ""), *path = json_str(cause, "field", "");
		who += str_has_prefix(who, "conflict with ") ? strlen("conflict with ") : 0;
		if (n == 1)
			strbuf_addf(&b, "conflict with %s: %s", who, path);
		else if (strcmp(who, previous) != 0)
			strbuf_addf(&b, "%sconflicts with %s:\n- %s", i == 0 ? "" : "\n", who, path);
		else
			strbuf_addf(&b, "\n- %s", path);
		previous = who;
	}
	char *text = NULL;
	return strbuf_take(&b, &text) < 0 ? NULL : text;
}

/* ---- moving ownership ---- */

int apply_take(struct owners *ms, const struct owner *self, const json_t *fields)
{
	for (size_t i = 0; i < ms->n; i++)
		if (&ms->m[i] != self && owner_give(&ms->m[i], fieldset_difference(ms->m[i].set, fields)) < 0)
			return -ENOMEM;
	return 0;
}

/* What others own of the @changed fields. 0 when nothing, or when it may be taken (force); else -EEXIST and the story. */
static int check_conflicts(const struct owners *ms, const struct owner *self, const json_t *changed, bool force,
			   json_t **ret_causes, struct error *err)
{
	JSON_AUTO causes = json_array();
	if (causes == NULL)
		return no_memory(err);
	for (const struct owner *m = NULL; !force && (m = next_by_name(ms, m)) != NULL;)
		if (m != self && add_causes(causes, m, changed) < 0)
			return no_memory(err);
	if (json_array_size(causes) == 0)
		return 0;
	CLEANUP(free_p) char *message = apply_conflict_message(causes);
	if (message == NULL)
		return no_memory(err);
	if (ret_causes != NULL)
		*ret_causes = TAKE(causes);
	return error_set(err, -EEXIST, "%s", message);
}

/* ---- objects around the merge ---- */

/* A copy of @object without what is not the configuration's to say. */
static json_t *without_system_fields(const json_t *object, const struct apply_options *o)
{
	JSON_AUTO copy = json_deep_copy(object);
	if (copy == NULL)
		return NULL;
	for (size_t i = 0; i < ARRAY_LEN(system_fields); i++)
		json_drop(copy, system_fields[i]);
	for (const char *const *p = o->ignore; p != NULL && *p != NULL; p++)
		json_drop(copy, *p);
	return TAKE(copy);
}

/* Put back what removing may have taken along: who the object is and what the server says of it. */
static int restore_system_fields(json_t *object, const json_t *live)
{
	for (size_t i = 0; i < ARRAY_LEN(system_fields) + ARRAY_LEN(identity_fields); i++) {
		const char *path =
			i < ARRAY_LEN(system_fields) ? system_fields[i] : identity_fields[i - ARRAY_LEN(system_fields)];
		json_t *v = json_at(live, path);
		if (v == NULL || json_at(object, path) != NULL)
			continue;
		json_t *copy = json_deep_copy(v);
		const int rc = json_put(object, path, copy);
		if (rc < 0)
			return rc;
	}
	return 0;
}

int apply_put_managers(json_t *object, struct owners *ms, struct error *err)
{
	json_t *list = owners_encode(ms);
	if (list == NULL)
		return no_memory(err);
	if (json_array_size(list) == 0) {
		json_decref(list);
		json_drop(object, "metadata.managedFields");
		return 0;
	}
	const int rc = json_put(object, "metadata.managedFields", list);
	return rc == 0 ? 0 : error_set(err, rc, "apply: metadata is no object");
}

/* ---- pruning ---- */

struct pruning {
	const struct apply_options *o;
	const json_t *merged;
	json_t *merged_fields; /* of merged; declared fields are members. Owned, as all below */
	json_t *last;          /* what the manager applied before, the same */
	json_t *managed;       /* what anybody owns now, the same */
	struct error *err;
};

static int named_fields(const struct apply_options *o, const json_t *set, json_t **ret, struct error *err)
{
	return set == NULL ? no_memory(err) : typed_name_fields(set, o->root, o->ops, ret, err);
}

/* The fields of @v, leniently: they come from objects that were accepted once. As a difference to nothing. */
static int fields_present(const json_t *v, const struct apply_options *o, json_t **ret, struct error *err)
{
	struct typed_comparison c = {0};
	const int rc = typed_compare(NULL, v, o->root, o->ops, &c, err);
	if (rc < 0)
		return rc;
	const int rc2 = named_fields(o, c.added, ret, err);
	typed_comparison_clear(&c);
	return rc2;
}

/* merged without (merged's fields - @keep1 - @keep2), a new tree. */
static int keep_only(const struct pruning *p, const json_t *keep1, const json_t *keep2, json_t **ret)
{
	JSON_AUTO rest = fieldset_difference(p->merged_fields, keep1);
	JSON_AUTO gone = rest != NULL ? fieldset_difference(rest, keep2) : NULL;
	if (gone == NULL)
		return no_memory(p->err);
	return typed_remove(p->merged, gone, p->o->root, p->o->ops, ret, p->err);
}

/*
 * In three steps, each from the merged object: take out all that the manager had applied, whole; give back what anybody owns; give
 * back what nobody owned, unless it lay inside something that the manager had applied and that is gone now.
 */
static int prune_steps(struct pruning *p, json_t **ret)
{
	JSON_AUTO without_last = NULL;
	JSON_AUTO kept = NULL;
	JSON_AUTO owned = NULL;
	JSON_AUTO owned_fields = NULL;
	int rc = typed_remove(p->merged, p->last, p->o->root, p->o->ops, &without_last, p->err);
	if (rc == 0)
		rc = fields_present(without_last, p->o, &kept, p->err);
	if (rc == 0)
		rc = keep_only(p, kept, p->managed, &owned);
	if (rc == 0)
		rc = fields_present(owned, p->o, &owned_fields, p->err);
	if (rc < 0)
		return rc;
	JSON_AUTO rest = fieldset_difference(p->merged_fields, owned_fields);
	JSON_AUTO gone = rest != NULL ? fieldset_intersection(rest, p->last) : NULL;
	if (gone == NULL)
		return no_memory(p->err);
	return typed_remove(p->merged, gone, p->o->root, p->o->ops, ret, p->err);
}

/* Take out of @merged what the manager applied before (@last), does not any more, and nobody else owns. A new tree. */
static int prune(const json_t *merged, const json_t *last, const struct owners *ms, const struct apply_options *o,
		 json_t **ret, struct error *err)
{
	JSON_AUTO all = json_object();
	for (size_t i = 0; i < ms->n; i++) {
		json_t *more = all != NULL ? fieldset_union(all, ms->m[i].set) : NULL;
		json_decref(all);
		all = more;
	}
	struct pruning p = {.o = o, .merged = merged, .err = err};
	int rc = named_fields(o, all, &p.managed, err);
	if (rc == 0)
		rc = named_fields(o, last, &p.last, err);
	if (rc == 0)
		rc = fields_present(merged, o, &p.merged_fields, err);
	if (rc == 0)
		rc = prune_steps(&p, ret);
	json_decref(p.managed);
	json_decref(p.last);
	json_decref(p.merged_fields);
	return rc;
}

/* ---- apply ---- */

struct applying {
	const struct apply_options *o;
	const json_t *live;
	json_t *config; /* owned, as all below */
	json_t *last;   /* what the manager had applied before */
	json_t *object; /* the result, in its making */
	struct owners ms;
	json_t **ret_causes;
	struct error *err;
};

/* Who owns the fields of an object that nobody has applied to so far: its makers, under one name. */
static int adopt_unmanaged(struct applying *a)
{
	if (a->live == NULL || a->ms.n > 0)
		return 0;
	struct typed_comparison c = {0};
	int rc = typed_compare(NULL, a->live, a->o->root, a->o->ops, &c, a->err);
	if (rc < 0)
		return rc;
	JSON_AUTO ignored = apply_unowned(a->o);
	struct owner *m = owners_get(&a->ms, "before-first-apply", a->o->api_version, "", false);
	if (m == NULL || ignored == NULL || owner_give(m, fieldset_exclude(c.added, ignored)) < 0 ||
	    owner_touch(m, a->o->now_wall_ns) < 0)
		rc = no_memory(a->err);
	typed_comparison_clear(&c);
	return rc == 0 && apply_strip(&a->ms) < 0 ? no_memory(a->err) : rc;
}

/* The new object: the configuration laid over the live one, and what the manager dropped taken out. */
static int make_object(struct applying *a)
{
	JSON_AUTO merged = NULL;
	JSON_AUTO pruned = NULL;
	const struct apply_options *o = a->o;
	int rc = typed_merge(a->live, a->config, o->root, o->ops, &merged, a->err);
	if (rc == 0 && !fieldset_empty(a->last))
		rc = prune(merged, a->last, &a->ms, o, &pruned, a->err);
	else if (rc == 0)
		pruned = TAKE(merged);
	/* Once more, for containers that the configuration sets empty and pruning took for emptied ones. */
	if (rc == 0)
		rc = typed_merge(pruned, a->config, o->root, o->ops, &a->object, a->err);
	if (rc == 0 && a->live != NULL && restore_system_fields(a->object, a->live) < 0)
		rc = no_memory(a->err);
	return rc;
}

/* The nulls of the configuration have done their work; what they took out of the object leaves its other owners too. */
static int settle_nulls(struct applying *a, const struct owner *self)
{
	const struct apply_options *o = a->o;
	struct typed_comparison c = {0};
	int rc = typed_drop_nulls(a->object, a->config, o->root, o->ops, a->err);
	if (rc == 0)
		rc = typed_compare(a->live, a->object, o->root, o->ops, &c, a->err);
	if (rc == 0 && apply_take(&a->ms, self, c.removed) < 0)
		rc = no_memory(a->err);
	typed_comparison_clear(&c);
	return rc;
}

/* Give the manager its new set, move what it takes over, and see whether anything has changed at all. */
static int move_ownership(struct applying *a)
{
	const struct apply_options *o = a->o;
	struct typed_comparison c = {0};
	int rc = typed_compare(a->live, a->object, o->root, o->ops, &c, a->err);
	if (rc < 0)
		return rc;
	JSON_AUTO ignored = apply_unowned(o);
	JSON_AUTO set = fieldset_union(c.modified, c.added);
	JSON_AUTO changed = set != NULL && ignored != NULL ? fieldset_exclude(set, ignored) : NULL;
	struct owner *self = owners_get(&a->ms, o->manager, o->api_version, o->subresource, true);
	if (changed == NULL || self == NULL)
		rc = no_memory(a->err);
	if (rc == 0)
		rc = check_conflicts(&a->ms, self, changed, o->force, a->ret_causes, a->err);
	if (rc == 0 && (apply_take(&a->ms, self, changed) < 0 || apply_take(&a->ms, self, c.removed) < 0))
		rc = no_memory(a->err);
	typed_comparison_clear(&c);
	if (rc == 0)
		rc = settle_nulls(a, self);
	const bool same = a->live != NULL && json_same(a->live, a->object); /* both still with the old owners in them */
	if (rc == 0 && apply_strip(&a->ms) < 0)
		rc = no_memory(a->err);
	if (rc == 0 && (!same || self->time == NULL || !fieldset_same(self->set, a->last)))
		rc = owner_touch(self, o->now_wall_ns) < 0 ? no_memory(a->err) : 0;
	return rc;
}

/* The manager's entry as it is, kept aside in a->last, then with the configuration's fields in it. */
static int start_manager(struct applying *a)
{
	struct owner *self = owners_get(&a->ms, a->o->manager, a->o->api_version, a->o->subresource, true);
	if (self == NULL)
		return no_memory(a->err);
	a->last = json_incref(self->set);
	char *version = strdup(a->o->api_version); /* an applier may have moved to another */
	if (version == NULL)
		return no_memory(a->err);
	free(self->api_version);
	self->api_version = version;
	json_t *fields = NULL;
	const int rc = typed_fields(a->config, a->o->root, a->o->ops, &fields, a->err);
	if (rc < 0)
		return rc;
	return owner_give(self, fields) < 0 ? no_memory(a->err) : 0;
}

static int run_apply(struct applying *a)
{
	int rc = owners_decode(json_at(a->live, "metadata.managedFields"), &a->ms, a->err);
	if (rc == 0)
		rc = adopt_unmanaged(a);
	if (rc == 0)
		rc = start_manager(a);
	if (rc == 0)
		rc = make_object(a);
	if (rc == 0)
		rc = move_ownership(a);
	if (rc < 0)
		return rc;
	return apply_put_managers(a->object, &a->ms, a->err);
}

int apply_merge(const json_t *live, const json_t *config, const struct apply_options *o, json_t **ret_object,
		json_t **ret_causes, struct error *err)
{
	if (!json_is_object(config) || (live != NULL && !json_is_object(live)))
		return error_set(err, -EINVAL, "apply: the configuration must be an object");
	struct applying a = {
		.o = o, .live = live, .config = without_system_fields(config, o), .ret_causes = ret_causes, .err = err};
	const int rc = a.config == NULL ? no_memory(err) : run_apply(&a);
	if (rc == 0)
		*ret_object = TAKE(a.object);
	json_decref(a.object);
	json_decref(a.config);
	json_decref(a.last);
	owners_clear(&a.ms);
	return rc;
}
