#include "json/typed_list.h"

#include <errno.h>
#include <stdint.h>
#include <stdlib.h>

#include "base/error.h"
#include "base/map.h"
#include "base/str.h"
#include "json/fieldset.h"
#include "json/json.h"

static int no_memory(struct error *err)
{
	return error_set(err, -ENOMEM, "merge by fields: out of memory");
}

/* Put key member @key of @item, or its default, into @keys. 0 also when it has neither. */
static int add_key(json_t *keys, const json_t *item, const char *key, const struct shape *s, const struct shape *e)
{
	const json_t *v = json_object_get(item, key);
	if (v != NULL && !json_is_null(v))
		return json_object_set(keys, key, (json_t *)v) < 0 ? -ENOMEM : 0;
	const char *text = NULL;
	if (s->key_default == NULL || !s->key_default(e->type, key, &text))
		return 0;
	json_t *dflt = NULL;
	const int rc = json_parse(text, strlen(text), &dflt, NULL);
	if (rc < 0)
		return rc;
	return json_object_set_new(keys, key, dflt) < 0 ? -ENOMEM : 0;
}

/* The element of @item: 0 and a new string; -ENOENT: it lacks all keys; -ENOMEM. */
static int element_of(const json_t *item, const struct shape *s, const struct shape *e, char **ret)
{
	if (s->list == LIST_SET)
		return fieldset_element('v', item, ret);
	if (!json_is_object(item) || s->list_keys == NULL)
		return -ENOENT;
	JSON_AUTO keys = json_object();
	if (keys == NULL)
		return -ENOMEM;
	for (const char *const *k = s->list_keys; *k != NULL; k++) {
		const int rc = add_key(keys, item, *k, s, e);
		if (rc < 0)
			return rc;
	}
	return json_object_size(keys) == 0 ? -ENOENT : fieldset_element('k', keys, ret);
}

void typed_list_clear(struct typed_list *l)
{
	for (size_t i = 0; i < l->n; i++)
		free(l->element[i]);
	free(l->element);
	map_free(l->position);
	*l = (struct typed_list){0};
}

/* Find the name of item @i and note it in @l. */
static int index_item(struct typed_list *l, const json_t *item, size_t i, const struct shape *s, const struct shape *e,
		      bool strict, struct error *err)
{
	char *element = NULL;
	int rc = element_of(item, s, e, &element);
	if (rc == -ENOENT && strict)
		return error_set(err, -EINVAL,
				 "element %zu: associative list with keys has an element that omits all key fields "
				 "(the first is \"%s\") and has no default for them",
				 i, s->list_keys != NULL && s->list_keys[0] != NULL ? s->list_keys[0] : "");
	const bool twice = rc == 0 && map_has(l->position, element);
	if (twice && strict) {
		rc = error_set(err, -EINVAL, "duplicate entries for key [%.200s]", element + 2);
		free(element);
		return rc;
	}
	if (rc == -ENOENT || twice) {
		free(element);
		element = str_printf("i:%zu", i);
		rc = element == NULL ? -ENOMEM : 0;
	}
	if (rc < 0)
		return no_memory(err);
	l->element[l->n++] = element;
	return map_set(l->position, element, (void *)(uintptr_t)(i + 1)) < 0 ? no_memory(err) : 0;
}

int typed_list_index(const json_t *list, const struct shape *s, const struct shape_ops *ops, bool strict,
		     struct typed_list *ret, struct error *err)
{
	const size_t n = json_array_size(list);
	const struct shape e = typed_element_shape(ops, s);
	struct typed_list l = {.element = calloc(n + 1, sizeof *l.element), .position = map_new(NULL)};
	int rc = l.element == NULL || l.position == NULL ? no_memory(err) : 0;
	for (size_t i = 0; i < n && rc == 0; i++)
		rc = index_item(&l, json_array_get(list, i), i, s, &e, strict, err);
	if (rc < 0)
		typed_list_clear(&l);
	else
		*ret = l;
	return rc;
}

bool typed_list_position(const struct typed_list *l, const char *element, size_t *ret)
{
	const uintptr_t at = (uintptr_t)map_get(l->position, element);
	if (at == 0)
		return false;
	*ret = at - 1;
	return true;
}

json_t *typed_list_find(const struct typed_list *l, const json_t *list, const char *element)
{
	size_t at;
	return typed_list_position(l, element, &at) ? json_array_get(list, at) : NULL;
}
