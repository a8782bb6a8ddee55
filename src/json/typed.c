#include "json/typed.h"

#include <errno.h>
#include <stdlib.h>

#include "base/error.h"
#include "base/str.h"
#include "base/strbuf.h"
#include "json/fieldset.h"
#include "json/json.h"
#include "json/shape.h"
#include "json/typed_list.h"

#define PATH_TEXT_MAX 4096u

static int no_memory(struct error *err)
{
	return error_set(err, -ENOMEM, "merge by fields: out of memory");
}

struct shape typed_member_shape(const struct shape_ops *ops, const struct shape *s, const char *name,
				bool *ret_declared)
{
	struct shape m = {0};
	const bool known = ops->member != NULL && ops->member(s, name, &m);
	if (ret_declared != NULL)
		*ret_declared = known && !s->map;
	return known ? m : (struct shape){0};
}

struct shape typed_element_shape(const struct shape_ops *ops, const struct shape *s)
{
	struct shape e = {0};
	return ops->element != NULL && ops->element(s, &e) ? e : (struct shape){0};
}

static bool is_container(const json_t *v)
{
	return json_is_object(v) || json_is_array(v);
}

static bool is_atomic(const json_t *v, const struct shape *s)
{
	return json_is_array(v) ? s->list == LIST_ATOMIC : s->atomic;
}

static size_t size_of(const json_t *v)
{
	return json_is_object(v) ? json_object_size(v) : json_array_size(v);
}

/* "f:" and the name; malloc'ed or NULL. */
static char *field_element(const char *name)
{
	return str_printf("f:%s", name);
}

struct walk {
	const struct shape_ops *ops;
	struct field_path path;
	json_t *set;                 /* of typed_fields() */
	struct typed_comparison cmp; /* of typed_compare() */
	struct error *err;
};

static int note(struct walk *w, json_t *set)
{
	return fieldset_insert(set, &w->path) < 0 ? no_memory(w->err) : 0;
}

static int enter(struct walk *w, const char *element)
{
	return element == NULL || field_path_push(&w->path, element) < 0 ? no_memory(w->err) : 0;
}

/* Put the place in front of the error. */
static int fail_at(struct walk *w, int rc)
{
	struct strbuf b = STRBUF_INIT(PATH_TEXT_MAX);
	field_path_text(&w->path, &b);
	(void)error_wrap(w->err, rc, "%s", b.failed || b.p == NULL ? "(a long path)" : b.p);
	strbuf_clear(&b);
	return rc;
}

/* ---- the fields of an object ---- */

static int fields_of(struct walk *w, const json_t *v, const struct shape *s);

static int fields_of_object(struct walk *w, const json_t *v, const struct shape *s)
{
	const char *name;
	json_t *child;
	json_object_foreach ((json_t *)v, name, child) {
		CLEANUP(free_p) char *element = field_element(name);
		int rc = enter(w, element);
		if (rc < 0)
			return rc;
		bool declared;
		const struct shape m = typed_member_shape(w->ops, s, name, &declared);
		rc = fields_of(w, child, &m);
		if (rc == 0 &&
		    (!declared || json_is_null(child) || (json_is_object(child) && json_object_size(child) == 0)))
			rc = note(w, w->set);
		field_path_pop(&w->path);
		if (rc < 0)
			return rc;
	}
	return 0;
}

static int fields_of_list(struct walk *w, const json_t *v, const struct shape *s)
{
	CLEANUP(typed_list_clear) struct typed_list list = {0};
	int rc = typed_list_index(v, s, w->ops, true, &list, w->err);
	if (rc == -EINVAL)
		return fail_at(w, rc);
	const struct shape e = typed_element_shape(w->ops, s);
	for (size_t i = 0; rc == 0 && i < list.n; i++) {
		rc = enter(w, list.element[i]);
		if (rc < 0)
			return rc;
		rc = fields_of(w, json_array_get(v, i), &e);
		if (rc == 0)
			rc = note(w, w->set);
		field_path_pop(&w->path);
	}
	return rc;
}

static int fields_of(struct walk *w, const json_t *v, const struct shape *s)
{
	if (!is_container(v) || is_atomic(v, s))
		return json_is_null(v) ? 0 : note(w, w->set);
	return json_is_object(v) ? fields_of_object(w, v, s) : fields_of_list(w, v, s);
}

int typed_fields(const json_t *v, const struct shape *s, const struct shape_ops *ops, json_t **ret, struct error *err)
{
	JSON_AUTO set = json_object();
	if (set == NULL)
		return no_memory(err);
	struct walk w = {.ops = ops, .set = set, .err = err};
	const int rc = fields_of(&w, v, s);
	field_path_clear(&w.path);
	if (rc < 0)
		return rc;
	*ret = TAKE(set);
	return 0;
}

/* ---- differences ---- */

static int compare(struct walk *w, const json_t *from, const json_t *to, const struct shape *s);

static int compare_leaf(struct walk *w, const json_t *from, const json_t *to)
{
	if (from == NULL)
		return note(w, w->cmp.added);
	if (to == NULL)
		return note(w, w->cmp.removed);
	return json_same(from, to) ? 0 : note(w, w->cmp.modified);
}

static int compare_member(struct walk *w, const char *name, const json_t *from, const json_t *to, const struct shape *s)
{
	CLEANUP(free_p) char *element = field_element(name);
	int rc = enter(w, element);
	if (rc < 0)
		return rc;
	const struct shape m = typed_member_shape(w->ops, s, name, NULL);
	rc = compare(w, from, to, &m);
	field_path_pop(&w->path);
	return rc;
}

static int compare_objects(struct walk *w, const json_t *from, const json_t *to, const struct shape *s)
{
	const char *name;
	json_t *v;
	json_object_foreach ((json_t *)from, name, v) {
		const int rc = compare_member(w, name, v, json_object_get(to, name), s);
		if (rc < 0)
			return rc;
	}
	json_object_foreach ((json_t *)to, name, v) {
		const int rc = json_object_get(from, name) == NULL ? compare_member(w, name, NULL, v, s) : 0;
		if (rc < 0)
			return rc;
	}
	return 0;
}

static int compare_item(struct walk *w, const char *element, const json_t *from, const json_t *to,
			const struct shape *e)
{
	int rc = enter(w, element);
	if (rc < 0)
		return rc;
	rc = compare(w, from, to, e);
	field_path_pop(&w->path);
	return rc;
}

static int compare_lists(struct walk *w, const json_t *from, const json_t *to, const struct shape *s)
{
	CLEANUP(typed_list_clear) struct typed_list a = {0};
	CLEANUP(typed_list_clear) struct typed_list b = {0};
	int rc = typed_list_index(from, s, w->ops, false, &a, w->err);
	if (rc == 0)
		rc = typed_list_index(to, s, w->ops, false, &b, w->err);
	const struct shape e = typed_element_shape(w->ops, s);
	for (size_t i = 0; rc == 0 && i < a.n; i++)
		rc = compare_item(w, a.element[i], json_array_get(from, i), typed_list_find(&b, to, a.element[i]), &e);
	for (size_t i = 0; rc == 0 && i < b.n; i++)
		if (typed_list_find(&a, from, b.element[i]) == NULL)
			rc = compare_item(w, b.element[i], NULL, json_array_get(to, i), &e);
	return rc;
}

static int compare_containers(struct walk *w, const json_t *from, const json_t *to, const struct shape *s)
{
	return json_is_object(from) || json_is_object(to) ? compare_objects(w, from, to, s)
							  : compare_lists(w, from, to, s);
}

static int compare(struct walk *w, const json_t *from, const json_t *to, const struct shape *s)
{
	const json_t *a = is_container(from) ? from : NULL, *b = is_container(to) ? to : NULL;
	if (a != NULL && b != NULL && json_typeof(a) != json_typeof(b)) {
		/* A list became an object or the reverse: the fields of one go, those of the other come. */
		int rc = is_atomic(a, s) ? 0 : compare_containers(w, a, NULL, s);
		if (rc == 0)
			rc = is_atomic(b, s) ? 0 : compare_containers(w, NULL, b, s);
		return rc < 0 ? rc : note(w, w->cmp.modified);
	}
	if ((a == NULL && b == NULL) || is_atomic(a != NULL ? a : b, s) || (size_of(a) == 0 && size_of(b) == 0))
		return compare_leaf(w, from, to);
	int rc = compare_containers(w, a, b, s);
	if (rc < 0)
		return rc;
	if (from == NULL || to == NULL)
		return note(w, from == NULL ? w->cmp.added : w->cmp.removed);
	return a == NULL || b == NULL ? note(w, w->cmp.modified)
				      : 0; /* a container became a scalar, or null, or the reverse */
}

void typed_comparison_clear(struct typed_comparison *c)
{
	json_decref(c->added);
	json_decref(c->modified);
	json_decref(c->removed);
	*c = (struct typed_comparison){0};
}

int typed_compare(const json_t *from, const json_t *to, const struct shape *s, const struct shape_ops *ops,
		  struct typed_comparison *ret, struct error *err)
{
	struct walk w = {.ops = ops, .cmp = {json_object(), json_object(), json_object()}, .err = err};
	int rc = w.cmp.added == NULL || w.cmp.modified == NULL || w.cmp.removed == NULL ? no_memory(err) : 0;
	if (rc == 0)
		rc = compare(&w, from, to, s);
	field_path_clear(&w.path);
	if (rc < 0)
		typed_comparison_clear(&w.cmp);
	else
		*ret = w.cmp;
	return rc;
}

/* ---- merging ---- */

static int merge_objects(const json_t *base, const json_t *over, const struct shape *s, const struct shape_ops *ops,
			 json_t **ret, struct error *err)
{
	JSON_AUTO out = json_deep_copy(base);
	if (out == NULL)
		return no_memory(err);
	const char *name;
	json_t *v;
	json_object_foreach ((json_t *)over, name, v) {
		const struct shape m = typed_member_shape(ops, s, name, NULL);
		json_t *merged = NULL;
		const int rc = typed_merge(json_object_get(base, name), v, &m, ops, &merged, err);
		if (rc < 0)
			return rc;
		if (json_object_set_new(out, name, merged) < 0)
			return no_memory(err);
	}
	*ret = TAKE(out);
	return 0;
}

struct merging {
	const json_t *base, *over;
	struct typed_list a, b; /* of base and over */
	const struct shape_ops *ops;
	struct shape e;
	json_t *out;
	struct error *err;
};

/* Append item @i of over, merged with its like in base. */
static int append_merged(struct merging *m, size_t i)
{
	json_t *v = NULL;
	const json_t *like = typed_list_find(&m->a, m->base, m->b.element[i]);
	const int rc = typed_merge(like, json_array_get(m->over, i), &m->e, m->ops, &v, m->err);
	if (rc < 0)
		return rc;
	return json_array_append_new(m->out, v) < 0 ? no_memory(m->err) : 0;
}

static int append_base(struct merging *m, size_t i)
{
	json_t *copy = json_deep_copy(json_array_get(m->base, i));
	return copy == NULL || json_array_append_new(m->out, copy) < 0 ? no_memory(m->err) : 0;
}

/* The first item of over from @from on that base has too. */
static size_t next_common(const struct merging *m, size_t from)
{
	size_t at;
	while (from < m->b.n && !typed_list_position(&m->a, m->b.element[from], &at))
		from++;
	return from;
}

/*
 * The order of the result: common items come as over has them; an item that only base has stays in front of the common items it
 * stood in front of there, as far as over's order lets it; an item that only over has stays in front of the common one behind it.
 */
static int merge_items(struct merging *m)
{
	size_t i = 0, j = 0, common = 0;
	while (i < m->a.n || j < m->b.n) {
		size_t at;
		int rc;
		if (i < m->a.n && !typed_list_position(&m->b, m->a.element[i], &at)) {
			rc = append_base(m, i++);
		} else {
			common = next_common(m, common < j ? j : common);
			if (i < m->a.n && at != common) {
				i++; /* it has come already, or comes later, at its place in over */
				continue;
			}
			i += i < m->a.n && at == j;
			rc = append_merged(m, j++);
		}
		if (rc < 0)
			return rc;
	}
	return 0;
}

static int merge_lists(const json_t *base, const json_t *over, const struct shape *s, const struct shape_ops *ops,
		       json_t **ret, struct error *err)
{
	JSON_AUTO out = json_array();
	struct merging m = {
		.base = base, .over = over, .ops = ops, .e = typed_element_shape(ops, s), .out = out, .err = err};
	int rc = out == NULL ? no_memory(err) : typed_list_index(base, s, ops, false, &m.a, err);
	if (rc == 0)
		rc = typed_list_index(over, s, ops, true, &m.b, err);
	if (rc == 0)
		rc = merge_items(&m);
	typed_list_clear(&m.a);
	typed_list_clear(&m.b);
	if (rc == 0)
		*ret = TAKE(out);
	return rc;
}

int typed_merge(const json_t *base, const json_t *over, const struct shape *s, const struct shape_ops *ops,
		json_t **ret, struct error *err)
{
	if (is_container(over) && is_container(base) && json_typeof(base) == json_typeof(over) && !is_atomic(over, s))
		return json_is_object(over) ? merge_objects(base, over, s, ops, ret, err)
					    : merge_lists(base, over, s, ops, ret, err);
	json_t *copy = json_deep_copy(over);
	if (copy == NULL)
		return no_memory(err);
	*ret = copy;
	return 0;
}

/* ---- removing ---- */

/* Value @v of the element @element, without what the set below that element names; *@ret NULL: nothing is left of it. */
static int remove_below(const json_t *v, const char *element, const json_t *set, const struct shape *s,
			const struct shape_ops *ops, json_t **ret, struct error *err)
{
	*ret = NULL;
	const json_t *below = json_object_get(set, element);
	if (json_object_get(below, ".") != NULL)
		return 0;
	if (below == NULL || !is_container(v) || is_atomic(v, s)) {
		*ret = json_deep_copy(v);
		return *ret == NULL ? no_memory(err) : 0;
	}
	json_t *rest = NULL;
	const int rc = typed_remove(v, below, s, ops, &rest, err);
	if (rc == 0 && size_of(rest) == 0 && size_of(v) > 0) {
		json_decref(rest);
		rest = NULL;
	}
	*ret = rest;
	return rc;
}

static int remove_from_list(const json_t *v, const json_t *set, const struct shape *s, const struct shape_ops *ops,
			    json_t **ret, struct error *err)
{
	JSON_AUTO out = json_array();
	CLEANUP(typed_list_clear) struct typed_list list = {0};
	int rc = out == NULL ? no_memory(err) : typed_list_index(v, s, ops, false, &list, err);
	const struct shape e = typed_element_shape(ops, s);
	for (size_t i = 0; rc == 0 && i < list.n; i++) {
		json_t *rest = NULL;
		rc = remove_below(json_array_get(v, i), list.element[i], set, &e, ops, &rest, err);
		if (rc == 0 && rest != NULL && json_array_append_new(out, rest) < 0)
			rc = no_memory(err);
	}
	if (rc == 0)
		*ret = TAKE(out);
	return rc;
}

int typed_remove(const json_t *v, const json_t *set, const struct shape *s, const struct shape_ops *ops, json_t **ret,
		 struct error *err)
{
	if (json_is_array(v))
		return remove_from_list(v, set, s, ops, ret, err);
	JSON_AUTO out = json_object();
	if (out == NULL)
		return no_memory(err);
	const char *name;
	json_t *child;
	json_object_foreach ((json_t *)v, name, child) {
		CLEANUP(free_p) char *element = field_element(name);
		if (element == NULL)
			return no_memory(err);
		const struct shape m = typed_member_shape(ops, s, name, NULL);
		json_t *rest = NULL;
		const int rc = remove_below(child, element, set, &m, ops, &rest, err);
		if (rc < 0)
			return rc;
		if (rest != NULL && json_object_set_new(out, name, rest) < 0)
			return no_memory(err);
	}
	*ret = TAKE(out);
	return 0;
}

int typed_name_fields(const json_t *set, const struct shape *s, const struct shape_ops *ops, json_t **ret,
		      struct error *err)
{
	JSON_AUTO out = json_object();
	if (out == NULL)
		return no_memory(err);
	const char *element;
	json_t *v;
	json_object_foreach ((json_t *)set, element, v) {
		if (!json_is_object(v)) {
			if (json_object_set(out, element, v) < 0)
				return no_memory(err);
			continue;
		}
		bool declared = false;
		const struct shape m = element[0] == 'f' ? typed_member_shape(ops, s, element + 2, &declared)
							 : typed_element_shape(ops, s);
		JSON_AUTO child = NULL;
		const int rc = typed_name_fields(v, &m, ops, &child, err);
		if (rc < 0)
			return rc;
		if ((declared && json_object_set_new(child, ".", json_true()) < 0) ||
		    json_object_set_nocheck(out, element, child) < 0)
			return no_memory(err);
	}
	*ret = TAKE(out);
	return 0;
}

/* ---- nulls ---- */

/* What is not merged lies in the object as the configuration has it. */
static void drop_all_nulls(json_t *v)
{
	const char *name;
	void *tmp;
	json_t *child;
	size_t i;
	json_object_foreach_safe (v, tmp, name, child) {
		if (json_is_null(child))
			(void)json_object_del(v, name); /* it is there */
		else
			drop_all_nulls(child);
	}
	json_array_foreach (v, i, child)
		drop_all_nulls(child);
}

static int drop_nulls_in_list(json_t *v, const json_t *config, const struct shape *s, const struct shape_ops *ops,
			      struct error *err)
{
	CLEANUP(typed_list_clear) struct typed_list a = {0};
	CLEANUP(typed_list_clear) struct typed_list b = {0};
	int rc = typed_list_index(v, s, ops, false, &a, err);
	if (rc == 0)
		rc = typed_list_index(config, s, ops, false, &b, err);
	const struct shape e = typed_element_shape(ops, s);
	for (size_t i = 0; rc == 0 && i < b.n; i++)
		rc = typed_drop_nulls(typed_list_find(&a, v, b.element[i]), json_array_get(config, i), &e, ops, err);
	return rc;
}

int typed_drop_nulls(json_t *v, const json_t *config, const struct shape *s, const struct shape_ops *ops,
		     struct error *err)
{
	if (!is_container(v) || !is_container(config) || json_typeof(v) != json_typeof(config))
		return 0;
	if (is_atomic(v, s)) {
		drop_all_nulls(v);
		return 0;
	}
	if (json_is_array(v))
		return drop_nulls_in_list(v, config, s, ops, err);
	const char *name;
	json_t *child;
	json_object_foreach ((json_t *)config, name, child) {
		if (json_is_null(child)) {
			(void)json_object_del(v, name); /* absent is fine */
			continue;
		}
		const struct shape m = typed_member_shape(ops, s, name, NULL);
		const int rc = typed_drop_nulls(json_object_get(v, name), child, &m, ops, err);
		if (rc < 0)
			return rc;
	}
	return 0;
}
