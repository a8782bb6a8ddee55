/* Role-based access control: what a user may do, from the roles and bindings in the store. Threads: any. */
#pragma once

#include <jansson.h>
#include <stdbool.h>

#include "base/arena.h"

struct api_server;
struct error;

#define API_MASTERS       "system:masters" /* its members may do everything, whatever is bound */
#define API_AUTHENTICATED "system:authenticated"

/** Who asks. The strings belong to whoever made it. */
struct api_user {
	const char *name, *uid;
	const char *const *groups; /* NULL-terminated */
	const char *const *extra;  /* key, value, key, value, ..., NULL; a key may come again. NULL: none */
};

/** UserInfo of authentication.k8s.io: a new object, NULL on no memory. */
json_t *api_user_info(const struct api_user *u);

/** What is asked for: a resource, or when @path is set that path. "" where a member does not matter. */
struct api_access {
	const char *verb, *group, *resource, *sub, *ns, *name;
	const char *path;
};

bool api_user_in(const struct api_user *u, const char *group);
/** The groups of @name with those every user of its sort has; @given may be NULL. NULL on no memory. */
const char *const *api_user_groups(struct arena *a, const char *name, const char *const *given, size_t n);
/** The PolicyRules that @u has in @ns ("": those for the whole cluster). New array. 0 or a negative errno. */
int api_rbac_rules(struct api_server *s, const struct api_user *u, const char *ns, json_t **ret, struct error *err);
/** Whether @rules allow @a. */
bool api_rules_allow(const json_t *rules, const struct api_access *a);
/** Both in one. */
int api_rbac_allowed(struct api_server *s, const struct api_user *u, const struct api_access *a, bool *ret,
		     struct error *err);
/** Make the roles and bindings that every cluster has (api_rbac_roles.c). */
int api_rbac_bootstrap(struct api_server *s, struct error *err);
/** Gather the rules of ClusterRoles with an aggregationRule from the roles they select. */
int api_rbac_aggregate(struct api_server *s, struct error *err);
