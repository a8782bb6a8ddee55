/* metadata.managedFields as a list of owners, each with the set of fields that it has. */
#pragma once

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct error;

/** More Update entries than this are joined into one, oldest first, as in kube-apiserver. */
#define OWNERS_MAX_UPDATES 10

struct owner {
	char *name, *api_version, *subresource; /* owned; "" for none */
	char *time;                             /* RFC 3339, owned; NULL: none */
	bool applied;                           /* operation Apply; else Update */
	json_t *set;                            /* owned; fieldset.h */
};

struct owners {
	struct owner *m;
	size_t n, cap;
};

/** Decode managedFields (NULL: none). -EINVAL when an entry is malformed. */
int owners_decode(const json_t *managed_fields, struct owners *ret, struct error *err);
/** A new managedFields list, ordered as Kubernetes orders it; entries without fields are left out. NULL on no memory. */
json_t *owners_encode(struct owners *ms);
/**
 * The entry of this owner, added without fields when there is none: an applier is known by name and subresource, an updater by
 * its apiVersion too. NULL on no memory. Valid until the next one is added.
 */
struct owner *owners_get(struct owners *ms, const char *name, const char *api_version, const char *subresource,
			 bool applied);
/** The same, but never added: NULL when there is none. */
struct owner *owners_find(const struct owners *ms, const char *name, const char *api_version, const char *subresource,
			  bool applied);
/** Set the time of @m. 0 or -ENOMEM. */
int owner_touch(struct owner *m, int64_t now_wall_ns);
/** Replace the set of @m (reference taken; NULL means that making it failed). 0 or -ENOMEM. */
int owner_give(struct owner *m, json_t *set);
/** Join the oldest Update entries into "ancient-changes" while there are too many. 0 or -ENOMEM. */
int owners_cap(struct owners *ms);
void owners_clear(struct owners *ms);
