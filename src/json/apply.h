/*
 * Server-side apply: field ownership (metadata.managedFields, FieldsV1) and the merge of an applied configuration.
 * Source: KEP-555, the structured-merge-diff semantics of Kubernetes 1.34. No input is changed; results are new trees.
 */
#pragma once

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

struct error;
struct shape;
struct shape_ops;

struct apply_options {
	const char *manager;     /* fieldManager, not empty */
	const char *api_version; /* of the request's object */
	const char *subresource; /* "" or "status" ... */
	bool force;              /* take conflicting fields over */
	int64_t now_wall_ns;     /* managedFields[].time */
	const struct shape *root;
	const struct shape_ops *ops;
	/* NULL-terminated paths never owned ("metadata.managedFields", "status" ...); may be NULL. */
	const char *const *ignore;
};

/**
 * Merge @config (what the user applied, complete) into @live (NULL: the object does not exist yet) for one manager:
 * set what it sets, remove what it owned and no longer sets and nobody else owns, record ownership.
 * -EEXIST on conflicts without force: *@ret_causes is then a new array of Status causes
 * ({"reason":"FieldManagerConflict","message":"conflict with \"m\"","field":".spec.x"}), and @err's message as Kubernetes words it.
 */
int apply_merge(const json_t *live, const json_t *config, const struct apply_options *o, json_t **ret_object,
		json_t **ret_causes, struct error *err);

/** The whole message for those causes, which @err may have had to cut; malloc'ed, or NULL on no memory. */
char *apply_conflict_message(const json_t *causes);

/**
 * Ownership after a create, update or patch by @o->manager (operation "Update"): fields that changed from @before (NULL on create)
 * to @after become its own and leave the other managers; removed fields leave everyone. *@ret is @after with new managedFields.
 */
int apply_track_update(const json_t *before, const json_t *after, const struct apply_options *o, json_t **ret,
		       struct error *err);
