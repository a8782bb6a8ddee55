/*
 * Strategic merge patch: a merge patch that knows from the type which lists merge, by which key. Beside plain members a patch may
 * have directives: "$patch" (replace, delete, merge) in an object or list item, "$retainKeys" (drop the other members),
 * "$deleteFromPrimitiveList/NAME" and "$setElementOrder/NAME" beside a list NAME.
 *
 * Everything here works on copies that the caller made of document and patch. Depth never exceeds that of the deeper one.
 */
#include <errno.h>
#include <string.h>

#include "base/error.h"
#include "base/str.h"
#include "json/json.h"
#include "json/patch.h"
#include "json/shape.h"

#define DELETE_FROM "$deleteFromPrimitiveList/"
#define SET_ORDER   "$setElementOrder/"

/* Finding items by key compares each with each: more than this on one side is refused rather than waited for. */
#define MERGE_MAX_ITEMS 10000

struct strategic {
	const struct shape_ops *ops;
};

static int strategic_object(const struct strategic *st, json_t *doc, json_t *patch, const struct shape *s,
			    struct error *err);

static int no_memory(struct error *err)
{
	return error_set(err, -ENOMEM, "apply patch: out of memory");
}

static struct shape member_shape(const struct strategic *st, const struct shape *s, const char *name)
{
	struct shape m = {0};
	if (st->ops == NULL || st->ops->member == NULL || !st->ops->member(s, name, &m))
		m = (struct shape){0};
	return m;
}

static struct shape element_shape(const struct strategic *st, const struct shape *s)
{
	struct shape e = {0};
	if (st->ops == NULL || st->ops->element == NULL || !st->ops->element(s, &e))
		e = (struct shape){0};
	return e;
}

static bool is_directive(const char *key)
{
	return strcmp(key, "$patch") == 0 || strcmp(key, "$retainKeys") == 0 || str_has_prefix(key, DELETE_FROM) ||
	       str_has_prefix(key, SET_ORDER);
}

static const char *patch_directive(const json_t *v)
{
	return json_string_value(json_object_get(v, "$patch"));
}

/* Take the directives (and with @nulls the nulls, which mean "remove") out of what becomes part of the document. */
static void strip(json_t *v, bool nulls)
{
	const char *key;
	void *tmp;
	json_t *child;
	json_object_foreach_safe (v, tmp, key, child) {
		if (is_directive(key) || (nulls && json_is_null(child)))
			(void)json_object_del(v, key); /* it is there */
		else
			strip(child, nulls);
	}
	for (size_t i = json_array_size(v); i-- > 0;) {
		json_t *item = json_array_get(v, i);
		const char *d = patch_directive(item);
		if (d != NULL && strcmp(d, "delete") == 0)
			(void)json_array_remove(v, i);
		else
			strip(item, nulls);
	}
	/* An item that says only "replace the list" is no item. */
	for (size_t i = json_array_size(v); i-- > 0;)
		if (json_object_get(json_array_get(v, i), "$patch") != NULL)
			(void)json_array_remove(v, i);
}

/* The item of @list whose @key equals @value (@key "": the item itself); SIZE_MAX when there is none. */
static size_t find_item(const json_t *list, const char *key, const json_t *value)
{
	for (size_t i = 0; i < json_array_size(list); i++) {
		const json_t *item = json_array_get(list, i);
		const json_t *has = *key == '\0' ? item : json_object_get(item, key);
		if (has != NULL && value != NULL && json_same(has, value))
			return i;
	}
	return SIZE_MAX;
}

static const json_t *item_key(const json_t *item, const char *key)
{
	return *key == '\0' ? item : json_object_get(item, key);
}

/* ---- lists ---- */

static int missing_key(const char *key, const char *field, struct error *err)
{
	return error_set(err, -EINVAL, "strategic merge: an item of \"%s\" does not contain declared merge key: %s",
			 field, key);
}

/* Carry out the "$patch" items of a list patch and take them out; *@ret_replace: the rest replaces the list. */
static int run_list_directives(json_t *doc, json_t *patch, const char *key, const char *field, bool *ret_replace,
			       struct error *err)
{
	*ret_replace = false;
	for (size_t i = 0; i < json_array_size(patch);) {
		json_t *item = json_array_get(patch, i);
		const char *d = patch_directive(item);
		if (d == NULL) {
			i++;
			continue;
		}
		if (strcmp(d, "replace") == 0) {
			*ret_replace = true;
		} else if (strcmp(d, "delete") == 0) {
			const json_t *value = json_object_get(item, key);
			if (value == NULL)
				return missing_key(key, field, err);
			for (size_t at; (at = find_item(doc, key, value)) != SIZE_MAX;)
				(void)json_array_remove(doc, at);
		} else if (strcmp(d, "merge") == 0) {
			(void)json_object_del(item, "$patch"); /* what happens anyway */
			i++;
			continue;
		} else {
			return error_set(err, -EINVAL, "strategic merge: unknown patch type [%.40s] in \"%s\"", d,
					 field);
		}
		(void)json_array_remove(patch, i);
	}
	return 0;
}

static int append_new(json_t *list, json_t *item, struct error *err)
{
	return json_array_append(list, item) < 0 ? no_memory(err) : 0;
}

static int merge_items(const struct strategic *st, json_t *doc, json_t *patch, const struct shape *s, const char *field,
		       struct error *err)
{
	const char *key = s->patch_merge_key;
	const struct shape element = element_shape(st, s);
	for (size_t i = 0; i < json_array_size(patch); i++) {
		json_t *item = json_array_get(patch, i);
		if (json_is_array(item))
			return error_set(err, -EINVAL, "strategic merge: \"%s\": lists of lists are not supported",
					 field);
		if (*key != '\0' && (!json_is_object(item) || json_object_get(item, key) == NULL))
			return missing_key(key, field, err);
		const size_t at = find_item(doc, key, item_key(item, key));
		int rc = 0;
		if (at == SIZE_MAX) {
			strip(item, true);
			rc = append_new(doc, item, err);
		} else if (json_is_object(item) && json_is_object(json_array_get(doc, at))) {
			rc = strategic_object(st, json_array_get(doc, at), item, &element, err);
		}
		if (rc < 0)
			return rc;
	}
	return 0;
}

/* Merge list @patch into list @doc; both belong to the caller. */
static int merge_list(const struct strategic *st, json_t *doc, json_t *patch, const struct shape *s, const char *field,
		      struct error *err)
{
	bool replace = s->patch_merge_key == NULL;
	if (!replace && json_array_size(patch) > MERGE_MAX_ITEMS)
		return error_set(err, -EINVAL, "strategic merge: \"%s\" has more than %d items to merge", field,
				 MERGE_MAX_ITEMS);
	if (!replace) {
		const int rc = run_list_directives(doc, patch, s->patch_merge_key, field, &replace, err);
		if (rc < 0)
			return rc;
	}
	if (!replace)
		return merge_items(st, doc, patch, s, field, err);
	strip(patch, true);
	return json_array_clear(doc) < 0 || json_array_extend(doc, patch) < 0 ? no_memory(err) : 0;
}

static void delete_values(json_t *list, const json_t *values)
{
	for (size_t i = 0; i < json_array_size(values); i++)
		for (size_t at; (at = find_item(list, "", json_array_get(values, i))) != SIZE_MAX;)
			(void)json_array_remove(list, at);
}

/* ---- $setElementOrder ---- */

/* Append to @out the items of @from that the order names, in its order. */
static int append_ordered(json_t *out, const json_t *from, const json_t *order, const char *key, struct error *err)
{
	for (size_t i = 0; i < json_array_size(order); i++) {
		const size_t at = find_item(from, key, item_key(json_array_get(order, i), key));
		if (at != SIZE_MAX && append_new(out, json_array_get(from, at), err) < 0)
			return -ENOMEM;
	}
	return 0;
}

/* The items of @list that the order does not name stay where the server had them, relative to those it names. */
static int reorder(json_t *list, const json_t *order, const json_t *before, const char *key, struct error *err)
{
	JSON_AUTO named = json_array();
	JSON_AUTO others = json_array();
	JSON_AUTO out = json_array();
	if (named == NULL || others == NULL || out == NULL)
		return no_memory(err);
	if (append_ordered(named, list, order, key, err) < 0)
		return -ENOMEM;
	for (size_t i = 0; i < json_array_size(list); i++) {
		json_t *item = json_array_get(list, i);
		if (find_item(order, key, item_key(item, key)) == SIZE_MAX && append_new(others, item, err) < 0)
			return -ENOMEM;
	}
	for (size_t i = 0, j = 0; i < json_array_size(others) || j < json_array_size(named);) {
		bool take_other = j == json_array_size(named);
		if (i < json_array_size(others) && !take_other) {
			const size_t a = find_item(before, key, item_key(json_array_get(others, i), key));
			const size_t b = find_item(before, key, item_key(json_array_get(named, j), key));
			take_other = a != SIZE_MAX && b != SIZE_MAX && a < b;
		}
		if (append_new(out, take_other ? json_array_get(others, i++) : json_array_get(named, j++), err) < 0)
			return -ENOMEM;
	}
	return json_array_clear(list) < 0 || json_array_extend(list, out) < 0 ? no_memory(err) : 0;
}

/* Every item that the patch gives must be in the order, in that order. */
static bool order_covers(const json_t *order, const json_t *patch, const char *key)
{
	size_t from = 0;
	for (size_t i = 0; i < json_array_size(patch); i++) {
		const json_t *item = json_array_get(patch, i);
		if (patch_directive(item) != NULL)
			continue;
		const json_t *value = item_key(item, key);
		while (from < json_array_size(order)) {
			const json_t *o = item_key(json_array_get(order, from), key);
			if (o != NULL && value != NULL && json_same(o, value))
				break;
			from++;
		}
		if (from++ >= json_array_size(order))
			return false;
	}
	return true;
}

static int merge_ordered(const struct strategic *st, json_t *doc, json_t *patch, const char *name, const json_t *order,
			 const struct shape *s, struct error *err)
{
	const char *key = s->patch_merge_key;
	if (key == NULL || !json_is_array(order) || json_array_size(order) > MERGE_MAX_ITEMS)
		return error_set(err, -EINVAL,
				 "strategic merge: \"%s\" is no list that merges, so it has no element order", name);
	JSON_AUTO change = json_incref(json_object_get(patch, name));
	if (json_is_null(change) || (change != NULL && !json_is_array(change)))
		return 0; /* removed or replaced by something else: the plain rule does it */
	(void)json_object_del(patch, name);
	if (!order_covers(order, change, key))
		return error_set(err, -EINVAL,
				 "strategic merge: the order in patch doesn't match $setElementOrder list of \"%s\"",
				 name);
	json_t *list = json_object_get(doc, name);
	if (!json_is_array(list)) {
		if (change == NULL)
			return 0;
		list = json_array();
		if (list == NULL || json_object_set_new(doc, name, list) < 0)
			return no_memory(err);
	}
	JSON_AUTO before = json_copy(list);
	if (before == NULL)
		return no_memory(err);
	const int rc = change != NULL ? merge_list(st, list, change, s, name, err) : 0;
	return rc < 0 ? rc : reorder(list, order, before, key, err);
}

/* ---- objects ---- */

static int retain_keys(json_t *doc, json_t *patch, struct error *err)
{
	JSON_AUTO keep = json_incref(json_object_get(patch, "$retainKeys"));
	if (keep == NULL)
		return 0;
	if (!json_is_array(keep))
		return error_set(err, -EINVAL, "strategic merge: $retainKeys must be a list");
	(void)json_object_del(patch, "$retainKeys");
	const char *key;
	void *tmp;
	json_t *v;
	json_object_foreach (patch, key, v) {
		JSON_AUTO name = json_string(key);
		if (!is_directive(key) && !json_is_null(v) && find_item(keep, "", name) == SIZE_MAX)
			return error_set(err, -EINVAL,
					 "strategic merge: \"%s\" is set, but $retainKeys does not name it", key);
	}
	json_object_foreach_safe (doc, tmp, key, v) {
		JSON_AUTO name = json_string(key);
		if (name == NULL)
			return no_memory(err);
		if (find_item(keep, "", name) == SIZE_MAX)
			(void)json_object_del(doc, key);
	}
	return 0;
}

/* The directives that name a list beside them; taken out of @patch. */
static int run_sibling_directives(const struct strategic *st, json_t *doc, json_t *patch, const struct shape *s,
				  struct error *err)
{
	const char *key;
	void *tmp;
	json_t *v;
	json_object_foreach (patch, key, v) {
		if (!str_has_prefix(key, DELETE_FROM))
			continue;
		if (!json_is_array(v) || json_array_size(v) > MERGE_MAX_ITEMS)
			return error_set(err, -EINVAL, "strategic merge: %s must be a list of at most %d items", key,
					 MERGE_MAX_ITEMS);
		delete_values(json_object_get(doc, key + strlen(DELETE_FROM)), v);
	}
	/* Merging takes members out of @patch, so the orders are moved aside first. */
	JSON_AUTO orders = json_object();
	if (orders == NULL)
		return no_memory(err);
	json_object_foreach_safe (patch, tmp, key, v) {
		if (str_has_prefix(key, SET_ORDER) && json_object_set(orders, key + strlen(SET_ORDER), v) < 0)
			return no_memory(err);
		if (str_has_prefix(key, SET_ORDER) || str_has_prefix(key, DELETE_FROM))
			(void)json_object_del(patch, key);
	}
	json_object_foreach (orders, key, v) {
		const struct shape m = member_shape(st, s, key);
		const int rc = merge_ordered(st, doc, patch, key, v, &m, err);
		if (rc < 0)
			return rc;
	}
	return 0;
}

static int merge_member(const struct strategic *st, json_t *doc, const char *key, json_t *v, const struct shape *s,
			struct error *err)
{
	json_t *old = json_object_get(doc, key);
	if (json_is_null(v)) {
		(void)json_object_del(doc, key); /* absent is fine */
		return 0;
	}
	const struct shape m = member_shape(st, s, key);
	if (json_is_object(old) && json_is_object(v))
		return strategic_object(st, old, v, &m, err);
	if (json_is_array(old) && json_is_array(v))
		return merge_list(st, old, v, &m, key, err);
	const char *d = patch_directive(v);
	if (d != NULL && strcmp(d, "delete") == 0) {
		(void)json_object_del(doc, key); /* absent is fine */
		return 0;
	}
	strip(v, true);
	return json_object_set(doc, key, v) < 0 ? no_memory(err) : 0;
}

static int strategic_object(const struct strategic *st, json_t *doc, json_t *patch, const struct shape *s,
			    struct error *err)
{
	const char *d = patch_directive(patch);
	if (json_object_get(patch, "$patch") != NULL &&
	    (d == NULL || (strcmp(d, "replace") != 0 && strcmp(d, "delete") != 0 && strcmp(d, "merge") != 0)))
		return error_set(err, -EINVAL, "strategic merge: unknown patch type [%.40s]", d != NULL ? d : "");
	if (d != NULL && strcmp(d, "merge") != 0) {
		const bool replace = strcmp(d, "replace") == 0;
		strip(patch, true);
		if (json_object_clear(doc) < 0 || (replace && json_object_update(doc, patch) < 0))
			return no_memory(err);
		return 0;
	}
	(void)json_object_del(patch, "$patch");
	int rc = retain_keys(doc, patch, err);
	if (rc == 0)
		rc = run_sibling_directives(st, doc, patch, s, err);
	const char *key;
	json_t *v;
	if (rc == 0) {
		json_object_foreach (patch, key, v) {
			rc = merge_member(st, doc, key, v, s, err);
			if (rc < 0)
				return rc;
		}
	}
	return rc;
}

int json_strategic_merge(const json_t *doc, const json_t *patch, const struct shape *root, const struct shape_ops *ops,
			 json_t **ret, struct error *err)
{
	if (!json_is_object(patch) || (doc != NULL && !json_is_object(doc) && !json_is_null(doc)))
		return error_set(err, -EINVAL, "strategic merge: document and patch must be objects");
	JSON_AUTO out = json_is_object(doc) ? json_deep_copy(doc) : json_object();
	JSON_AUTO work = json_deep_copy(patch);
	if (out == NULL || work == NULL)
		return no_memory(err);
	const struct strategic st = {.ops = ops};
	const int rc = strategic_object(&st, out, work, root, err);
	if (rc < 0)
		return rc;
	*ret = TAKE(out);
	return 0;
}
