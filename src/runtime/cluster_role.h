/*
 * The rules of a role, gathered from the permissions that are declared beside the code (kube/permission.h): for each resource all its verbs
 * once, resources with the same verbs in one rule, everything in a fixed order.
 */
#pragma once

#include <jansson.h>
#include <stdbool.h>

#include "kube/permission.h"

struct error;
struct runtime_controller;

/** Add @list (ends with .resources == NULL) to @verbs, an object that begins empty. 0, -ENOMEM, or -EINVAL: a verb that nobody knows. */
int cluster_role_add(json_t *verbs, const struct permission *list, struct error *err);
/** Add what one Runtime's controller needs beside the framework's own: the kind, the kinds that it makes, what it declares. */
int cluster_role_add_runtime(json_t *verbs, const struct runtime_controller *rt, struct error *err);
/** The rules of what was gathered. New array; NULL on no memory. */
json_t *cluster_role_rules(const json_t *verbs);
/** Whether @verbs allows @verb of @resource ("pods", "datasets/status"). */
bool cluster_role_allows(const json_t *verbs, const char *group, const char *resource, const char *verb);
