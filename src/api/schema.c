#include "api/schema.h"

#include <errno.h>
#include <string.h>

#include "api/schema_private.h"
#include "base/cleanup.h"

const struct field *schema_field(const struct schema *s, const char *name)
{
	if (s == NULL || s->fields == NULL)
		return NULL;
	for (const struct field *f = s->fields; f->name != NULL; f++)
		if (strcmp(f->name, name) == 0)
			return f;
	return NULL;
}

bool schema_is_native(const struct schema *s)
{
	return s->name != NULL && strstr(s->name, ".v1.") != NULL;
}

json_t *default_value(const char *text)
{
	return json_loads(text, JSON_DECODE_ANY, NULL);
}

/* Shapes. A shape's type is the schema; what a field adds (list type, merge key) is copied into the shape. */

static bool shape_key_default(const void *element_type, const char *key, const char **ret_json)
{
	const struct field *f = schema_field(element_type, key);
	if (f == NULL || f->dflt == NULL)
		return false;
	*ret_json = f->dflt;
	return true;
}

struct shape schema_shape(const struct schema *s)
{
	/* JSON of unknown form inside Kubernetes' types is one value; a CRD that preserves unknown fields owns them one by one. */
	const bool opaque = s->type == SCHEMA_ANY && s->raw == NULL;
	return (struct shape){
		.type = s,
		.atomic = s->map_atomic || opaque,
		.key_default = shape_key_default,
		.map = s->type == SCHEMA_MAP,
		.granular_unknown = s->preserve_unknown || (s->type == SCHEMA_ANY && s->raw != NULL),
	};
}

static struct shape shape_with_rules(const struct schema *s, const struct field *rules)
{
	struct shape shape = schema_shape(s);
	if (rules == NULL)
		return shape;
	shape.list = rules->list;
	shape.list_keys = rules->list_keys;
	shape.patch_merge_key = rules->patch_merge_key;
	shape.patch_retain_keys = rules->patch_retain_keys;
	return shape;
}

static bool shape_member(const struct shape *shape, const char *name, struct shape *ret)
{
	const struct schema *s = shape->type;
	if (s == NULL)
		return false;
	if (s->type == SCHEMA_MAP) {
		*ret = shape_with_rules(s->items, s->items_rules);
		return true;
	}
	const struct field *f = schema_field(s, name);
	if (f == NULL)
		return false;
	*ret = shape_with_rules(f->schema, f);
	return true;
}

static bool shape_element(const struct shape *shape, struct shape *ret)
{
	const struct schema *s = shape->type;
	if (s == NULL || s->type != SCHEMA_LIST)
		return false;
	*ret = shape_with_rules(s->items, s->items_rules);
	return true;
}

const struct shape_ops schema_shape_ops = {.member = shape_member, .element = shape_element};

/* Defaults. Recursion ends with the value: defaults nest only as deep as the tables do. */

static int default_children(const struct schema *s, json_t *value, bool native);

static int default_member(const struct schema *s, const struct field *f, json_t *object, bool native)
{
	json_t *member = json_object_get(object, f->name);
	/* A CRD takes no defaults from Kubernetes' types inside it. */
	const char *dflt = schema_is_native(s) && !native ? NULL : f->dflt;
	if (member != NULL && json_is_null(member) && !f->nullable && (dflt != NULL || s->raw == NULL)) {
		(void)json_object_del(object, f->name); /* it is there */
		member = NULL;
	}
	if (member == NULL && dflt != NULL) {
		member = default_value(dflt);
		if (member == NULL || json_object_set_new(object, f->name, member) != 0)
			return -ENOMEM;
	}
	return member == NULL ? 0 : default_children(f->schema, member, native);
}

static int default_items(const struct schema *s, json_t *value, bool native)
{
	size_t i;
	json_t *item;
	json_array_foreach (value, i, item) {
		const int rc = default_children(s->items, item, native);
		if (rc < 0)
			return rc;
	}
	return 0;
}

static int default_values(const struct schema *s, json_t *value, bool native)
{
	const char *key;
	json_t *item;
	json_object_foreach (value, key, item) {
		const int rc = default_children(s->items, item, native);
		if (rc < 0)
			return rc;
	}
	return 0;
}

static int default_children(const struct schema *s, json_t *value, bool native)
{
	if (s->type == SCHEMA_OBJECT && json_is_object(value) && s->fields != NULL) {
		for (const struct field *f = s->fields; f->name != NULL; f++) {
			const int rc = default_member(s, f, value, native);
			if (rc < 0)
				return rc;
		}
		return 0;
	}
	if (s->type == SCHEMA_LIST && json_is_array(value))
		return default_items(s, value, native);
	if (s->type == SCHEMA_MAP && json_is_object(value))
		return default_values(s, value, native);
	return 0;
}

int schema_default(const struct schema *s, json_t *value)
{
	return default_children(s, value, schema_is_native(s));
}

/* Pruning. */

struct prune {
	void (*fn)(void *ctx, const char *path);
	void *ctx;
};

static bool is_type_meta(const struct schema *s, const char *key)
{
	return s->embedded_resource &&
	       (strcmp(key, "apiVersion") == 0 || strcmp(key, "kind") == 0 || strcmp(key, "metadata") == 0);
}

static void prune_value(const struct prune *p, const struct schema *s, json_t *value, const struct at *at)
{
	size_t i;
	json_t *item;
	const char *key;
	void *next;

	if (s->type == SCHEMA_LIST && json_is_array(value)) {
		json_array_foreach (value, i, item)
			prune_value(p, s->items, item, &(struct at){.up = at, .index = i});
	} else if (s->type == SCHEMA_MAP && json_is_object(value)) {
		json_object_foreach (value, key, item)
			prune_value(p, s->items, item, &(struct at){.up = at, .name = key});
	} else if (s->type == SCHEMA_OBJECT && json_is_object(value)) {
		json_object_foreach_safe (value, next, key, item) {
			const struct at here = {.up = at, .name = key};
			const struct field *f = schema_field(s, key);
			if (f != NULL) {
				prune_value(p, f->schema, item, &here);
			} else if (!s->preserve_unknown && !is_type_meta(s, key)) {
				char path[1024];
				if (p->fn != NULL)
					p->fn(p->ctx, at_path(&here, "", path, sizeof path));
				(void)json_object_del(value, key); /* it is there */
			}
		}
	}
}

void schema_prune(const struct schema *s, json_t *value, void (*fn)(void *ctx, const char *path), void *ctx)
{
	prune_value(&(struct prune){.fn = fn, .ctx = ctx}, s, value, NULL);
}
