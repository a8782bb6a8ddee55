/*
 * The three patches of Kubernetes: JSON Patch (RFC 6902), JSON merge patch (RFC 7396) and strategic merge patch.
 * None changes its inputs; results are new trees. Errors: -EINVAL with a message that names the place; -ENOMEM;
 * -ENOENT when JSON Patch's path or test does not hold.
 */
#pragma once

#include <jansson.h>

struct error;
struct shape;
struct shape_ops;

/** Most operations in one JSON Patch, as kube-apiserver has it. */
#define JSON_PATCH_MAX_OPS 10000

int json_patch_apply(const json_t *doc, const json_t *patch, json_t **ret, struct error *err);
int json_merge_patch(const json_t *doc, const json_t *patch, json_t **ret, struct error *err);
/** Merge patch that turns @from into @to (RFC 7396); an empty object when equal. */
int json_merge_diff(const json_t *from, const json_t *to, json_t **ret, struct error *err);
/** With $patch (replace, delete, merge), $deleteFromPrimitiveList, $setElementOrder, $retainKeys. */
int json_strategic_merge(const json_t *doc, const json_t *patch, const struct shape *root, const struct shape_ops *ops,
			 json_t **ret, struct error *err);
