/*
 * Roles and bindings as they are now, read once for all requests until one of them changes.
 * Threads: any. A table is immutable; the reference keeps it.
 */
#pragma once

#include <jansson.h>
#include <stdatomic.h>
#include <stdbool.h>

struct api_server;
struct error;
struct map;

/** Lists of {"subjects": [...], "rules": [...]}: bindings with what they give. */
struct api_rbac_table {
	atomic_uint refs;
	json_t *cluster;    /* of ClusterRoleBindings */
	struct map *spaces; /* namespace to the list of its RoleBindings */
};

struct api_rbac;

/** NULL on no memory. */
struct api_rbac *api_rbac_new(void);
/** Accepts NULL. */
void api_rbac_free(struct api_rbac *c);
/** A role or binding was written or removed. */
void api_rbac_changed(struct api_rbac *c);
/** The table as of now; release it with api_rbac_table_unref(). */
int api_rbac_table_get(struct api_server *s, struct api_rbac_table **ret, struct error *err);
/** Always returns NULL. Accepts NULL. */
struct api_rbac_table *api_rbac_table_unref(struct api_rbac_table *t);
