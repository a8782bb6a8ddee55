/* metadata.managedFields as a list of owners, each with the set of fields that it has. */
#pragma once

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct error;

/** More Update entries than this are joined into one, oldest first, as in kube-apiserver. */
#define MANAGERS_MAX_UPDATES 10

struct manager {
	char *name, *api_version, *subresource; /* owned; "" for none */
	char *time;                             /* RFC 3339, owned; NULL: none */
	bool applied;                           /* operation Apply; else Update */
	json_t *set;                            /* owned; fieldset.h */
};

struct managers {
	struct manager *m;
	size_t n, cap;
};

/** Decode managedFields (NULL: none). -EINVAL when an entry is malformed. */
int managers_decode(const json_t *managed_fields, struct managers *ret, struct error *err);
/** A new managedFields list, ordered as Kubernetes orders it; entries without fields are left out. NULL on no memory. */
json_t *managers_encode(struct managers *ms);
/**
 * The entry of this owner, added without fields when there is none: an applier is known by name and subresource, an updater by
 * its apiVersion too. NULL on no memory. Valid until the next one is added.
 */
struct manager *managers_get(struct managers *ms, const char *name, const char *api_version, const char *subresource, bool applied);
/** The same, but never added: NULL when there is none. */
struct manager *managers_find(const struct managers *ms, const char *name, const char *api_version, const char *subresource,
			      bool applied);
/** Set the time of @m. 0 or -ENOMEM. */
int manager_touch(struct manager *m, int64_t now_wall_ns);
/** Replace the set of @m (reference taken; NULL means that making it failed). 0 or -ENOMEM. */
int manager_give(struct manager *m, json_t *set);
/** Join the oldest Update entries into "ancient-changes" while there are too many. 0 or -ENOMEM. */
int managers_cap(struct managers *ms);
void managers_clear(struct managers *ms);
