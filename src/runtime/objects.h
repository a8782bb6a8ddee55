/*
 * Objects of engines: hand-written skeletons (manifests/, compiled into the binary) and the overlay of what depends on the specs.
 *
 * Trees returned are new; all functions may be called from any thread.
 */
#pragma once

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>

#include "api/common.h"
#include "sluice/engine.h"

/** One compiled-in skeleton; the list ends with .name == NULL. */
struct skeleton {
	const char *name; /* "reservoir/worker.yaml" */
	const char *text;
};

extern const struct skeleton skeletons[];

#define LABEL_DATASET_ID   "fluid.io/dataset-id"
#define LABEL_MANAGED_BY   "fluid.io/managed-by"
#define LABEL_DATASET      "fluid.io/dataset"
#define LABEL_PLACEMENT    "fluid.io/dataset-placement"
#define LABEL_RELEASE      "release"
#define ANNOTATION_CREATED "CreatedBy"
/** Hash of what we applied last, so that an unchanged object costs no write. */
#define ANNOTATION_APPLIED "sluice.io/applied"
/** On pod templates: hash of the configuration that the pod reads at its start. */
#define ANNOTATION_CONFIG "sluice.io/config"

/** Skeletons that are looked at before the compiled-in ones: a plug-in's. Borrowed for ever; before threads start. NULL: none. */
void skeletons_use(const struct skeleton *list);
/** The one document of the skeleton @name. -ENOENT when there is none of that name, -EINVAL when it is no YAML. */
int skeleton_load(const char *name, json_t **ret, struct error *err);

/** The id of the Dataset: "<ns>-<name>" when shorter than 63 characters, else its uid. malloc'ed, NULL on no memory. */
char *dataset_id(const char *ns, const char *name, const char *uid);
/** Label key "fluid.io/<prefix><ns>-<name>", with the Dataset's uid when it would be 63 characters or longer. malloc'ed. */
char *dataset_label_key(const char *prefix, const char *ns, const char *name, const char *uid);
/** uid of the pass's Dataset: its own, or that of the runtime's owner reference when it is gone. Borrowed, "" when unknown. */
const char *dataset_uid(const struct reconcile_ctx *ctx);

/** Name, namespace, labels of @role (also on the pod template and the selector where there are), owner reference to the runtime. */
int object_identify(json_t *obj, const struct reconcile_ctx *ctx, const struct engine_traits *t, const char *name,
		    const char *role);
/** Label on the object and on its pod template. */
int object_label(json_t *obj, const char *key, const char *value);

/* A pod template's overlay. @pod is "spec.template" of a workload. */
int pod_merge_metadata(json_t *pod, const struct pod_metadata *m);
/** Put the pairs into the object at @path ("spec.nodeSelector"), which is made when there are any. */
int pod_put_pairs(json_t *pod, const char *path, const struct string_map *m);
/** Append environment variables to container @c (replacing those of the same name). */
int container_env(json_t *c, const struct string_map *env);
int container_mount(json_t *c, const char *volume, const char *path, bool read_only, const char *propagation);
int pod_host_path(json_t *pod, const char *volume, const char *path, const char *type);
/** User volumes (whole objects) that @mounts (volumeMounts, may be NULL) name: appended to pod and container. -EINVAL when one is missing. */
int pod_user_volumes(json_t *pod, json_t *c, const json_t *volumes, const json_t *mounts, const char *path,
		     struct error *err);
/** Append the items of @extra (may be NULL) to the list at @path. */
int list_append(json_t *obj, const char *path, const json_t *extra);

/** FNV-1a of a text, for stable choices (not for anything hostile). */
uint64_t text_hash(const char *s);
/** 16 hexadecimal digits of the hash of @j's compact text, in which the order of members counts. -ENOMEM. */
int json_hash(const json_t *j, char out[static 17]);

/** Apply @obj unless the one in the cache was applied with the same content. 1 when sent, 0 when up to date. */
int object_apply(struct reconcile_ctx *ctx, const struct kube_resource *r, const json_t *obj, struct error *err);
