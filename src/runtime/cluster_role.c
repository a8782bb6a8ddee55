#include "runtime/cluster_role.h"

#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/error.h"
#include "base/str.h"
#include "kube/resource.h"
#include "sluice/runtime.h"
#include "json/json.h"

/* In the order in which rules name them. */
static const char *const all_verbs[] = {"get", "list", "watch", "create", "update", "patch", "delete"};

static int verb_bits(const char *verbs, json_int_t *ret, struct error *err)
{
	struct str rest = str_from(verbs), verb;
	*ret = 0;
	while (str_split_next(&rest, ',', &verb)) {
		size_t i = 0;
		while (i < ARRAY_LEN(all_verbs) && !str_eq(verb, all_verbs[i]))
			i++;
		if (i == ARRAY_LEN(all_verbs))
			return error_set(err, -EINVAL, "permissions: verb '%.*s' is not one of Kubernetes'",
					 (int)verb.n, verb.p);
		*ret |= (json_int_t)1 << i;
	}
	return 0;
}

static int add_one(json_t *verbs, const char *group, struct str resource, json_int_t bits)
{
	/* Sorted keys are in the order of rules: by group, then by resource. */
	CLEANUP(free_p) char *key = str_printf("%s %.*s", group, (int)resource.n, resource.p);
	if (key == NULL)
		return -ENOMEM;
	bits |= json_integer_value(json_object_get(verbs, key));
	return json_object_set_new(verbs, key, json_integer(bits)) < 0 ? -ENOMEM : 0;
}

int cluster_role_add(json_t *verbs, const struct permission *list, struct error *err)
{
	for (; list->resources != NULL; list++) {
		json_int_t bits;
		int rc = verb_bits(list->verbs, &bits, err);
		struct str rest = str_from(list->resources), resource;
		while (rc == 0 && str_split_next(&rest, ',', &resource)) {
			rc = add_one(verbs, list->group, resource, bits);
			if (rc < 0)
				(void)error_set(err, rc, "permissions: out of memory");
		}
		if (rc < 0)
			return rc;
	}
	return 0;
}

int cluster_role_add_runtime(json_t *verbs, const struct runtime_controller *rt, struct error *err)
{
	const struct kube_resource *r = rt->resource;
	CLEANUP(free_p) char *status = str_printf("%s/status", r->plural);
	if (status == NULL)
		return error_set(err, -ENOMEM, "permissions: out of memory");
	const struct permission list[] = {
		{r->group, r->plural, "get,list,watch,create,update,patch,delete"},
		{r->group, status, "get,update,patch"},
		{.resources = NULL},
	};
	int rc = cluster_role_add(verbs, list, err);
	for (const struct kube_resource *const *k = rt->kinds; rc == 0 && *k != NULL; k++)
		rc = cluster_role_add(
			verbs,
			(const struct permission[]){{(*k)->group, (*k)->plural, "list,watch,create,patch,delete"},
						    {.resources = NULL}},
			err);
	return rc < 0 ? rc : cluster_role_add(verbs, rt->permissions, err);
}

bool cluster_role_allows(const json_t *verbs, const char *group, const char *resource, const char *verb)
{
	json_int_t bit;
	CLEANUP(free_p) char *key = str_printf("%s %s", group, resource);
	return key != NULL && verb_bits(verb, &bit, NULL) == 0 &&
	       (json_integer_value(json_object_get(verbs, key)) & bit) != 0;
}

static json_t *verb_names(json_int_t bits)
{
	JSON_AUTO names = json_array();
	for (size_t i = 0; i < ARRAY_LEN(all_verbs); i++)
		if ((bits >> i & 1) != 0 && json_array_append_new(names, json_string(all_verbs[i])) < 0)
			return NULL;
	return TAKE(names);
}

/* The rule of @rules for that group with those verbs, made when there is none. Borrowed. */
static json_t *rule_for(json_t *rules, const char *group, json_int_t bits)
{
	JSON_AUTO names = verb_names(bits);
	if (names == NULL)
		return NULL;
	size_t i;
	json_t *rule;
	json_array_foreach (rules, i, rule)
		if (str_same(json_string_value(json_array_get(json_object_get(rule, "apiGroups"), 0)), group) &&
		    json_equal(json_object_get(rule, "verbs"), names))
			return rule;
	rule = json_pack("{s:[s],s:[],s:O}", "apiGroups", group, "resources", "verbs", names);
	return json_array_append_new(rules, rule) == 0 ? rule : NULL;
}

static int compare(const void *a, const void *b)
{
	return strcmp(*(const char *const *)a, *(const char *const *)b);
}

json_t *cluster_role_rules(const json_t *verbs)
{
	JSON_AUTO rules = json_array();
	size_t n = 0;
	CLEANUP(free_p) const char **keys = calloc(json_object_size(verbs) + 1, sizeof *keys);
	if (rules == NULL || keys == NULL)
		return NULL;
	const char *key;
	json_t *bits;
	json_object_foreach ((json_t *)verbs, key, bits)
		keys[n++] = key;
	qsort(keys, n, sizeof *keys, compare);
	for (size_t i = 0; i < n; i++) {
		struct str resource = str_from(keys[i]), group;
		(void)str_split_next(&resource, ' ', &group); /* add_one() put it there */
		CLEANUP(free_p) char *name = strndup(group.p, group.n);
		json_t *rule = name == NULL
				       ? NULL
				       : rule_for(rules, name, json_integer_value(json_object_get(verbs, keys[i])));
		if (rule == NULL ||
		    json_array_append_new(json_object_get(rule, "resources"), json_string(resource.p)) < 0)
			return NULL;
	}
	return TAKE(rules);
}
