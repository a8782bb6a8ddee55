#include "json/fieldset.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "base/str.h"
#include "base/strbuf.h"
#include "json/json.h"

#define PATH_TEXT_MAX 65536u

int field_path_push(struct field_path *p, const char *element)
{
	if (p->n == p->cap) {
		const size_t cap = p->cap == 0 ? 32 : p->cap * 2;
		const char **bigger = realloc(p->element, cap * sizeof *bigger);
		if (bigger == NULL)
			return -ENOMEM;
		p->element = bigger;
		p->cap = cap;
	}
	p->element[p->n++] = element;
	return 0;
}

void field_path_pop(struct field_path *p)
{
	p->n--;
}

void field_path_clear(struct field_path *p)
{
	free(p->element);
	*p = (struct field_path){0};
}

int fieldset_insert(json_t *set, const struct field_path *p)
{
	for (size_t i = 0; i < p->n; i++) {
		json_t *child = json_object_get(set, p->element[i]);
		if (child == NULL) {
			child = json_object();
			if (json_object_set_new_nocheck(set, p->element[i], child) < 0)
				return -ENOMEM;
		}
		set = child;
	}
	return p->n > 0 && json_object_set_new(set, ".", json_true()) < 0 ? -ENOMEM : 0;
}

bool fieldset_has(const json_t *node, const char *element)
{
	return json_object_get(json_object_get(node, element), ".") != NULL;
}

bool fieldset_empty(const json_t *set)
{
	return json_object_size(set) == 0;
}

bool fieldset_same(const json_t *a, const json_t *b)
{
	return json_equal(a, b) != 0;
}

/* Put @child (reference taken) into @set unless it is empty. */
static int put_child(json_t *set, const char *key, json_t *child)
{
	if (child == NULL)
		return -ENOMEM;
	if (json_is_object(child) && json_object_size(child) == 0) {
		json_decref(child);
		return 0;
	}
	return json_object_set_new_nocheck(set, key, child) < 0 ? -ENOMEM : 0;
}

json_t *fieldset_union(const json_t *a, const json_t *b)
{
	if (a == NULL || b == NULL || !json_is_object(a) || !json_is_object(b)) /* a "." or a part that only one has */
		return json_deep_copy(a != NULL ? a : b);
	JSON_AUTO out = json_object();
	const char *key;
	json_t *v;
	json_object_foreach ((json_t *)a, key, v)
		if (out == NULL || put_child(out, key, fieldset_union(v, json_object_get(b, key))) < 0)
			return NULL;
	json_object_foreach ((json_t *)b, key, v)
		if (json_object_get(a, key) == NULL && (out == NULL || put_child(out, key, json_deep_copy(v)) < 0))
			return NULL;
	return TAKE(out);
}

/* @a without @b; with @below, what is under a member of @b goes too. */
static json_t *subtract(const json_t *a, const json_t *b, bool below)
{
	if (b == NULL)
		return json_deep_copy(a);
	JSON_AUTO out = json_object();
	if (out == NULL || (below && json_object_get(b, ".") != NULL))
		return TAKE(out);
	const char *key;
	json_t *v;
	json_object_foreach ((json_t *)a, key, v) {
		const json_t *other = json_object_get(b, key);
		if (other != NULL && !json_is_object(v))
			continue; /* "." of both */
		if (put_child(out, key, subtract(v, other, below)) < 0)
			return NULL;
	}
	return TAKE(out);
}

json_t *fieldset_difference(const json_t *a, const json_t *b)
{
	return subtract(a, b, false);
}

json_t *fieldset_exclude(const json_t *a, const json_t *b)
{
	return subtract(a, b, true);
}

json_t *fieldset_intersection(const json_t *a, const json_t *b)
{
	JSON_AUTO out = json_object();
	const char *key;
	json_t *v;
	json_object_foreach ((json_t *)a, key, v) {
		const json_t *other = json_object_get(b, key);
		if (other == NULL)
			continue;
		if (out == NULL ||
		    put_child(out, key, json_is_object(v) ? fieldset_intersection(v, other) : json_true()) < 0)
			return NULL;
	}
	return TAKE(out);
}

/* ---- FieldsV1 ---- */

/* "k:" and "v:" carry JSON, which may be spelled in many ways: ours is compact with sorted keys. */
static int canonical(const char *element, char **ret)
{
	if (element[0] == '\0' || element[1] != ':')
		return -EINVAL;
	if (element[0] == 'f' || element[0] == 'i') {
		*ret = strdup(element);
		return *ret == NULL ? -ENOMEM : 0;
	}
	if (element[0] != 'k' && element[0] != 'v')
		return -EINVAL;
	JSON_AUTO v = NULL;
	int rc = json_parse(element + 2, strlen(element + 2), &v, NULL);
	if (rc < 0)
		return rc;
	if (element[0] == 'k' && !json_is_object(v))
		return -EINVAL;
	return fieldset_element(element[0], v, ret);
}

static int compare_keys(const void *a, const void *b)
{
	return strcmp(*(const char *const *)a, *(const char *const *)b);
}

/* The members of @object by name; malloc'ed array of borrowed names, or NULL. */
static const char **sorted_keys(const json_t *object, size_t *ret_n)
{
	const size_t n = json_object_size(object);
	const char **keys = calloc(n + 1, sizeof *keys);
	if (keys == NULL)
		return NULL;
	size_t i = 0;
	const char *key;
	json_t *v;
	json_object_foreach ((json_t *)object, key, v)
		keys[i++] = key;
	qsort(keys, n, sizeof *keys, compare_keys);
	*ret_n = n;
	return keys;
}

int fieldset_element(char kind, const json_t *value, char **ret)
{
	JSON_AUTO sorted = NULL;
	if (json_is_object(value)) {
		size_t n = 0;
		CLEANUP(free_p) const char **keys = sorted_keys(value, &n);
		sorted = json_object();
		if (keys == NULL || sorted == NULL)
			return -ENOMEM;
		for (size_t i = 0; i < n; i++)
			if (json_object_set(sorted, keys[i], json_object_get(value, keys[i])) < 0)
				return -ENOMEM;
		value = sorted;
	}
	CLEANUP(free_p) char *text = json_to_text(value, NULL);
	char *element = text == NULL ? NULL : str_printf("%c:%s", kind, text);
	if (element == NULL)
		return -ENOMEM;
	*ret = element;
	return 0;
}

int fieldset_decode(const json_t *fields_v1, json_t **ret, struct error *err)
{
	if (!json_is_object(fields_v1))
		return error_set(err, -EINVAL, "fieldsV1 must be made of objects");
	JSON_AUTO out = json_object();
	const char *key;
	json_t *v;
	int rc = out == NULL ? -ENOMEM : 0;
	json_object_foreach ((json_t *)fields_v1, key, v) {
		if (strcmp(key, ".") == 0) {
			rc = json_object_set_new(out, ".", json_true()) < 0 ? -ENOMEM : 0;
		} else {
			CLEANUP(free_p) char *element = NULL;
			rc = canonical(key, &element);
			if (rc == -EINVAL)
				return error_set(err, rc, "fieldsV1: '%.100s' is no path element", key);
			JSON_AUTO child = NULL;
			if (rc == 0)
				rc = fieldset_decode(v, &child, err);
			if (rc == -EINVAL)
				return rc;
			if (rc == 0 && json_object_size(child) == 0)
				rc = json_object_set_new(child, ".", json_true());
			if (rc == 0)
				rc = json_object_set_nocheck(out, element, child);
		}
		if (rc < 0)
			break;
	}
	if (rc < 0)
		return error_set(err, -ENOMEM, "read fieldsV1: out of memory");
	*ret = TAKE(out);
	return 0;
}

json_t *fieldset_encode(const json_t *set)
{
	JSON_AUTO out = json_object();
	size_t n = 0;
	CLEANUP(free_p) const char **keys = sorted_keys(set, &n);
	if (out == NULL || keys == NULL)
		return NULL;
	const bool leaf = n == 1 && strcmp(keys[0], ".") == 0; /* {} says it */
	for (size_t i = 0; i < n && !leaf; i++) {
		const json_t *v = json_object_get(set, keys[i]);
		json_t *child = json_is_object(v) ? fieldset_encode(v) : json_object();
		if (child == NULL || json_object_set_new_nocheck(out, keys[i], child) < 0)
			return NULL;
	}
	return TAKE(out);
}

/* ---- text ---- */

static void add_value(struct strbuf *b, const json_t *v)
{
	char *text = json_to_text(v, NULL);
	if (text != NULL)
		strbuf_adds(b, text);
	else
		b->failed = true;
	free(text);
}

static void add_element(struct strbuf *b, const char *element)
{
	const char *rest = element + 2;
	if (element[0] == 'f') {
		strbuf_addf(b, ".%s", rest);
		return;
	}
	if (element[0] == 'i') {
		strbuf_addf(b, "[%s]", rest);
		return;
	}
	JSON_AUTO v = NULL;
	if (json_parse(rest, strlen(rest), &v, NULL) < 0) {
		b->failed = true; /* elements are canonical: only memory can fail here */
		return;
	}
	strbuf_addc(b, '[');
	if (element[0] == 'v') {
		strbuf_addc(b, '=');
		add_value(b, v);
	} else {
		const char *key;
		json_t *value;
		const char *comma = "";
		json_object_foreach (v, key, value) {
			strbuf_addf(b, "%s%s=", comma, key);
			add_value(b, value);
			comma = ",";
		}
	}
	strbuf_addc(b, ']');
}

void field_path_text(const struct field_path *p, struct strbuf *b)
{
	for (size_t i = 0; i < p->n; i++)
		add_element(b, p->element[i]);
}

static int each(const json_t *set, struct strbuf *b, int (*fn)(void *ctx, const char *path), void *ctx)
{
	size_t n = 0;
	CLEANUP(free_p) const char **keys = sorted_keys(set, &n);
	if (keys == NULL)
		return -ENOMEM;
	const size_t before = b->n;
	int rc = 0;
	/* The members of a level come before what is below them. */
	for (int pass = 0; pass < 2; pass++) {
		for (size_t i = 0; i < n && rc == 0; i++) {
			const json_t *child = json_object_get(set, keys[i]);
			if (!json_is_object(child) || (pass == 0 && json_object_get(child, ".") == NULL))
				continue;
			add_element(b, keys[i]);
			if (b->failed)
				return -ENOMEM;
			rc = pass == 0 ? fn(ctx, b->p) : each(child, b, fn, ctx);
			b->n = before;
			b->p[before] = '\0';
		}
	}
	return rc;
}

int fieldset_each(const json_t *set, int (*fn)(void *ctx, const char *path), void *ctx)
{
	struct strbuf b = STRBUF_INIT(PATH_TEXT_MAX);
	const int rc = each(set, &b, fn, ctx);
	strbuf_clear(&b);
	return rc;
}
