/* A small type table for the tests of merging: an object a bit like a Pod. */
#pragma once

#include <string.h>

#include "json/shape.h"

struct test_type;

struct test_field {
	const char *name;
	const struct test_type *type;
};

struct test_type {
	const struct test_field *fields; /* NULL-terminated by name; NULL: none */
	const struct test_type *element; /* of lists and maps */
	bool is_map, atomic;
	enum list_type list;
	const char *const *list_keys;
	const char *patch_merge_key;
	bool granular_unknown;
};

static bool port_key_default(const void *type, const char *key, const char **ret_json)
{
	(void)type;
	if (strcmp(key, "protocol") != 0)
		return false;
	*ret_json = "\"TCP\"";
	return true;
}

static const char *const port_keys[] = {"containerPort", "protocol", NULL};
static const char *const name_keys[] = {"name", NULL};

static const struct test_type t_scalar = {0};
static const struct test_type t_map = {.element = &t_scalar, .is_map = true};
static const struct test_type t_atomic_map = {.element = &t_scalar, .is_map = true, .atomic = true};
static const struct test_type t_atomic_list = {.element = &t_scalar, .list = LIST_ATOMIC};
static const struct test_type t_set = {.element = &t_scalar, .list = LIST_SET, .patch_merge_key = ""};
static const struct test_field port_fields[] = {
	{"containerPort", &t_scalar}, {"protocol", &t_scalar}, {"name", &t_scalar}, {NULL, NULL}};
static const struct test_type t_port = {.fields = port_fields};
static const struct test_type t_ports = {
	.element = &t_port, .list = LIST_MAP, .list_keys = port_keys, .patch_merge_key = "containerPort"};
static const struct test_field env_fields[] = {{"name", &t_scalar}, {"value", &t_scalar}, {NULL, NULL}};
static const struct test_type t_env = {.fields = env_fields};
static const struct test_type t_envs = {
	.element = &t_env, .list = LIST_MAP, .list_keys = name_keys, .patch_merge_key = "name"};
static const struct test_field container_fields[] = {{"name", &t_scalar}, {"image", &t_scalar},
						     {"ports", &t_ports}, {"args", &t_atomic_list},
						     {"env", &t_envs},    {NULL, NULL}};
static const struct test_type t_container = {.fields = container_fields};
static const struct test_type t_containers = {
	.element = &t_container, .list = LIST_MAP, .list_keys = name_keys, .patch_merge_key = "name"};
static const struct test_type t_free = {.granular_unknown = true};
static const struct test_field spec_fields[] = {
	{"containers", &t_containers}, {"replicas", &t_scalar}, {"nodeSelector", &t_map},
	{"selector", &t_atomic_map},   {"free", &t_free},       {NULL, NULL}};
static const struct test_type t_spec = {.fields = spec_fields};
static const struct test_field metadata_fields[] = {{"name", &t_scalar},    {"namespace", &t_scalar},
						    {"labels", &t_map},     {"annotations", &t_map},
						    {"finalizers", &t_set}, {NULL, NULL}};
static const struct test_type t_metadata = {.fields = metadata_fields};
static const struct test_field root_fields[] = {
	{"apiVersion", &t_scalar}, {"kind", &t_scalar}, {"metadata", &t_metadata}, {"spec", &t_spec}, {"data", &t_map},
	{"status", &t_map},        {NULL, NULL}};
static const struct test_type t_root = {.fields = root_fields};

static struct shape shape_of(const struct test_type *t)
{
	return (struct shape){.type = t,
			      .map = t->is_map,
			      .atomic = t->atomic,
			      .list = t->list,
			      .list_keys = t->list_keys,
			      .key_default = t->list_keys == port_keys ? port_key_default : NULL,
			      .patch_merge_key = t->patch_merge_key,
			      .granular_unknown = t->granular_unknown};
}

static bool test_member(const struct shape *s, const char *name, struct shape *ret)
{
	const struct test_type *t = s->type;
	if (t == NULL)
		return false;
	if (t->is_map) {
		*ret = shape_of(t->element);
		return true;
	}
	for (const struct test_field *f = t->fields; f != NULL && f->name != NULL; f++) {
		if (strcmp(f->name, name) == 0) {
			*ret = shape_of(f->type);
			return true;
		}
	}
	return false;
}

static bool test_element(const struct shape *s, struct shape *ret)
{
	const struct test_type *t = s->type;
	if (t == NULL || t->element == NULL)
		return false;
	*ret = shape_of(t->element);
	return true;
}

static const struct shape_ops test_shape_ops = {.member = test_member, .element = test_element};
