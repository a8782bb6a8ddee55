/* Ownership after what is not an apply: create, update, the other patches. */
#include <errno.h>
#include <string.h>

#include "base/error.h"
#include "json/apply.h"
#include "json/apply_private.h"
#include "json/fieldset.h"
#include "json/json.h"
#include "json/owners.h"
#include "json/typed.h"

static int no_memory(struct error *err)
{
	return error_set(err, -ENOMEM, "track fields: out of memory");
}

/* [{}] is how a client asks that nothing be tracked any more. */
static bool is_reset(const json_t *list)
{
	return json_array_size(list) == 1 && json_object_size(json_array_get(list, 0)) == 0;
}

/*
 * The owners before this change: those the request sends, since clients may rewrite them; else the stored ones, for the many that
 * know nothing of the field. What a client sends and cannot be read counts as nothing sent.
 */
static int owners_before(const json_t *before, const json_t *after, const struct apply_options *o, struct owners *ret,
			 struct error *err)
{
	const json_t *sent = json_at(after, "metadata.managedFields"),
		     *stored = json_at(before, "metadata.managedFields");
	*ret = (struct owners){0};
	if (o->subresource[0] == '\0') {
		if (is_reset(sent))
			return 0;
		const int rc = owners_decode(sent, ret, NULL);
		if (rc == -ENOMEM)
			return no_memory(err);
		if (rc == 0 && ret->n > 0)
			return 0;
	}
	owners_clear(ret);
	if (owners_decode(stored, ret, NULL) == -ENOMEM)
		return no_memory(err);
	return 0;
}

static int track(struct owners *ms, const json_t *before, const json_t *after, const struct apply_options *o,
		 struct error *err)
{
	struct typed_comparison c = {0};
	int rc = typed_compare(before, after, o->root, o->ops, &c, err);
	if (rc < 0)
		return rc;
	JSON_AUTO ignored = apply_unowned(o);
	JSON_AUTO set = fieldset_union(c.modified, c.added);
	JSON_AUTO changed = set != NULL && ignored != NULL ? fieldset_exclude(set, ignored) : NULL;
	JSON_AUTO removed = ignored != NULL ? fieldset_exclude(c.removed, ignored) : NULL;
	typed_comparison_clear(&c);
	if (changed == NULL || removed == NULL || apply_take(ms, NULL, changed) < 0 ||
	    apply_take(ms, NULL, removed) < 0)
		return no_memory(err);
	if (fieldset_empty(changed))
		return 0;
	struct owner *self = owners_get(ms, o->manager, o->api_version, o->subresource, false);
	if (self == NULL || owner_give(self, fieldset_union(self->set, changed)) < 0 ||
	    owner_touch(self, o->now_wall_ns) < 0)
		return no_memory(err);
	return 0;
}

int apply_track_update(const json_t *before, const json_t *after, const struct apply_options *o, json_t **ret,
		       struct error *err)
{
	JSON_AUTO out = json_deep_copy(after);
	if (out == NULL)
		return no_memory(err);
	struct owners ms;
	int rc = owners_before(before, after, o, &ms, err);
	/* An object that was stored without owners stays so until somebody applies to it. */
	if (rc == 0 && (before == NULL || ms.n > 0)) {
		rc = track(&ms, before, after, o, err);
		if (rc == 0 && (apply_strip(&ms) < 0 || owners_cap(&ms) < 0))
			rc = no_memory(err);
	}
	if (rc == 0)
		rc = apply_put_managers(out, &ms, err);
	owners_clear(&ms);
	if (rc == 0)
		*ret = TAKE(out);
	return rc;
}
