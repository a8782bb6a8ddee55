/* JSON Patch (RFC 6902) and JSON merge patch (RFC 7396). */
#include "json/patch.h"

#include <errno.h>
#include <string.h>

#include "base/error.h"
#include "json/json.h"
#include "json/pointer.h"
#include "json/tree.h"

/* "copy" can double a document with each of thousands of operations: what is copied in all is limited, as in kube-apiserver. */
#define COPY_MAX_NODES 1000000

size_t json_depth(const json_t *j)
{
	size_t deepest = 0, index;
	const char *key;
	json_t *v;
	json_object_foreach ((json_t *)j, key, v) {
		const size_t d = json_depth(v);
		deepest = d > deepest ? d : deepest;
	}
	json_array_foreach (j, index, v) {
		const size_t d = json_depth(v);
		deepest = d > deepest ? d : deepest;
	}
	return json_is_object(j) || json_is_array(j) ? deepest + 1 : 0;
}

size_t json_count_nodes(const json_t *j)
{
	size_t n = 1, index;
	const char *key;
	json_t *v;
	json_object_foreach ((json_t *)j, key, v)
		n += json_count_nodes(v);
	json_array_foreach (j, index, v)
		n += json_count_nodes(v);
	return n;
}

struct patching {
	json_t *doc; /* owned */
	size_t copied;
};

static int no_memory(struct error *err)
{
	return error_set(err, -ENOMEM, "apply patch: out of memory");
}

/* Put @value (taken) where @p points: a new member, or an item in front of the one there. */
static int pointer_add(struct patching *st, const struct pointer *p, json_t *value)
{
	if (p->depth + json_depth(value) > JSON_MAX_DEPTH) {
		json_decref(value);
		return -E2BIG;
	}
	if (p->parent == NULL) {
		json_decref(st->doc);
		st->doc = value;
		return 0;
	}
	if (json_is_object(p->parent))
		return json_object_setn_new(p->parent, p->key, p->key_n, value) < 0 ? -ENOMEM : 0;
	const size_t size = json_array_size(p->parent), i = pointer_index(p, size);
	if (i > size) {
		json_decref(value);
		return -ENOENT;
	}
	return json_array_insert_new(p->parent, i, value) < 0 ? -ENOMEM : 0;
}

static int pointer_remove(struct patching *st, const struct pointer *p)
{
	if (p->parent == NULL) {
		json_decref(st->doc);
		st->doc = json_null();
		return 0;
	}
	if (json_is_object(p->parent))
		return json_object_deln(p->parent, p->key, p->key_n) < 0 ? -ENOENT : 0;
	return json_array_remove(p->parent, pointer_index(p, SIZE_MAX)) < 0 ? -ENOENT : 0;
}

static int op_replace(struct patching *st, const struct pointer *p, json_t *value)
{
	if (pointer_get(p, st->doc) == NULL)
		return -ENOENT;
	json_t *copy = json_deep_copy(value);
	if (copy == NULL)
		return -ENOMEM;
	if (json_is_array(p->parent)) {
		const int rc = pointer_remove(st, p);
		if (rc < 0) {
			json_decref(copy);
			return rc;
		}
	}
	return pointer_add(st, p, copy);
}

static int op_copy(struct patching *st, const struct pointer *from, const json_t *op, bool move)
{
	json_t *v = pointer_get(from, st->doc);
	if (v == NULL)
		return -ENOENT;
	st->copied += json_count_nodes(v);
	if (st->copied > COPY_MAX_NODES)
		return -E2BIG;
	JSON_AUTO copy = json_deep_copy(v);
	if (copy == NULL)
		return -ENOMEM;
	int rc = move ? pointer_remove(st, from) : 0;
	if (rc < 0)
		return rc;
	/* The target is looked up afterwards: removing may have moved it (RFC 6902, 4.4). */
	const json_t *path = json_object_get(op, "path");
	struct pointer to;
	rc = pointer_find(st->doc, json_string_value(path), json_string_length(path), &to);
	if (rc < 0)
		return rc;
	rc = pointer_add(st, &to, TAKE(copy));
	pointer_clear(&to);
	return rc;
}

/* A value cannot be moved into itself. */
static bool is_inside(const json_t *path, const json_t *from)
{
	const size_t n = json_string_length(from);
	return json_string_length(path) > n && memcmp(json_string_value(path), json_string_value(from), n) == 0 &&
	       json_string_value(path)[n] == '/';
}

static int run_from(struct patching *st, const json_t *op, bool move)
{
	const json_t *from = json_object_get(op, "from");
	if (!json_is_string(from) || (move && is_inside(json_object_get(op, "path"), from)))
		return -EINVAL;
	struct pointer p;
	int rc = pointer_find(st->doc, json_string_value(from), json_string_length(from), &p);
	if (rc < 0)
		return rc;
	rc = op_copy(st, &p, op, move);
	pointer_clear(&p);
	return rc;
}

static int run_at(struct patching *st, const struct pointer *p, const char *name, json_t *value)
{
	if (strcmp(name, "remove") == 0)
		return pointer_remove(st, p);
	if (value == NULL)
		return -EINVAL;
	if (strcmp(name, "test") == 0) {
		const json_t *at = pointer_get(p, st->doc);
		return json_same(at, value) || (at == NULL && json_is_null(value)) ? 0 : -ENOENT;
	}
	if (strcmp(name, "replace") == 0)
		return op_replace(st, p, value);
	if (strcmp(name, "add") != 0)
		return -EINVAL;
	json_t *copy = json_deep_copy(value);
	return copy == NULL ? -ENOMEM : pointer_add(st, p, copy);
}

static int run_op(struct patching *st, const json_t *op, struct error *err)
{
	const char *name = json_string_value(json_object_get(op, "op"));
	const json_t *path = json_object_get(op, "path");
	if (name == NULL || path == NULL || !json_is_string(path))
		return error_set(err, -EINVAL, "JSON Patch: each operation needs \"op\" and \"path\"");
	int rc;
	if (strcmp(name, "move") == 0 || strcmp(name, "copy") == 0) {
		rc = run_from(st, op, name[0] == 'm');
	} else {
		struct pointer p;
		rc = pointer_find(st->doc, json_string_value(path), json_string_length(path), &p);
		if (rc == 0) {
			rc = run_at(st, &p, name, json_object_get(op, "value"));
			pointer_clear(&p);
		}
	}
	const char *at = json_string_value(path);
	switch (rc) {
	case 0:
		return 0;
	case -ENOMEM:
		return no_memory(err);
	case -E2BIG:
		return error_set(err, -EINVAL,
				 "JSON Patch: %.20s \"%.200s\": the result would be too large or too deep", name, at);
	case -ENOENT:
		if (strcmp(name, "test") == 0)
			return error_set(err, rc, "testing value %.200s failed: test failed", at);
		return error_set(err, rc,
				 "%.20s operation does not apply: doc is missing path: \"%.200s\": missing value", name,
				 at);
	default:
		return error_set(err, rc, "JSON Patch: %.20s \"%.200s\" is not a valid operation", name, at);
	}
}

int json_patch_apply(const json_t *doc, const json_t *patch, json_t **ret, struct error *err)
{
	if (!json_is_array(patch))
		return error_set(err, -EINVAL, "JSON Patch: it must be a list of operations");
	if (json_array_size(patch) > JSON_PATCH_MAX_OPS)
		return error_set(err, -EINVAL, "JSON Patch: at most %d operations are allowed, this has %zu",
				 JSON_PATCH_MAX_OPS, json_array_size(patch));
	struct patching st = {.doc = json_deep_copy(doc)};
	if (st.doc == NULL)
		return no_memory(err);
	for (size_t i = 0; i < json_array_size(patch); i++) {
		const int rc = run_op(&st, json_array_get(patch, i), err);
		if (rc < 0) {
			json_decref(st.doc);
			return rc;
		}
	}
	*ret = st.doc;
	return 0;
}

/* RFC 7396, section 2. @doc is owned and changed; returns the new value, or NULL on no memory. */
static json_t *merge(json_t *doc, const json_t *patch)
{
	if (!json_is_object(patch)) {
		json_decref(doc);
		return json_deep_copy(patch);
	}
	if (!json_is_object(doc)) {
		json_decref(doc);
		doc = json_object();
	}
	const char *key;
	size_t len;
	json_t *v;
	json_object_keylen_foreach((json_t *)patch, key, len, v)
	{
		if (json_is_null(v)) {
			(void)json_object_deln(doc, key, len); /* absent is fine */
			continue;
		}
		json_t *merged = merge(json_incref(json_object_getn(doc, key, len)), v);
		if (merged == NULL || json_object_setn_new(doc, key, len, merged) < 0) {
			json_decref(doc);
			return NULL;
		}
	}
	return doc;
}

int json_merge_patch(const json_t *doc, const json_t *patch, json_t **ret, struct error *err)
{
	json_t *copy = doc != NULL ? json_deep_copy(doc) : json_null();
	json_t *merged = copy != NULL ? merge(copy, patch) : NULL;
	if (merged == NULL)
		return no_memory(err);
	*ret = merged;
	return 0;
}

static json_t *diff_objects(const json_t *from, const json_t *to)
{
	JSON_AUTO patch = json_object();
	const char *key;
	size_t len;
	json_t *v;
	if (patch == NULL)
		return NULL;
	json_object_keylen_foreach((json_t *)from, key, len, v)
	{
		if (json_object_getn(to, key, len) == NULL && json_object_setn_new(patch, key, len, json_null()) < 0)
			return NULL;
	}
	json_object_keylen_foreach((json_t *)to, key, len, v)
	{
		const json_t *old = json_object_getn(from, key, len);
		if (old != NULL && json_same(old, v))
			continue;
		json_t *change = json_is_object(old) && json_is_object(v) ? diff_objects(old, v) : json_deep_copy(v);
		if (change == NULL || json_object_setn_new(patch, key, len, change) < 0)
			return NULL;
	}
	return TAKE(patch);
}

int json_merge_diff(const json_t *from, const json_t *to, json_t **ret, struct error *err)
{
	json_t *patch = json_is_object(from) && json_is_object(to) ? diff_objects(from, to) : json_deep_copy(to);
	if (patch == NULL)
		return no_memory(err);
	*ret = patch;
	return 0;
}
