/* The other forms of an answer: Table (what `kubectl get` prints) and PartialObjectMetadata. */
#pragma once

#include <jansson.h>
#include <stdbool.h>

#include "local/api_registry.h"

/** A Table without rows: kind, columns. New tree, NULL on no memory. */
json_t *api_table_new(const struct api_kind *kind, bool with_columns);
/** @obj's row. @include_object: "Metadata", "Object" or "None". New tree, NULL on no memory. */
json_t *api_table_row(const struct api_kind *kind, json_t *obj, const char *include_object);
/** Append that row. 0 or -ENOMEM. */
int api_table_add(const struct api_kind *kind, json_t *table, json_t *obj, const char *include_object);
/** A Table of one row. New tree, NULL on no memory. */
json_t *api_table_one(const struct api_kind *kind, json_t *obj, const char *include_object);
/** PartialObjectMetadata of @obj. New tree, NULL on no memory. */
json_t *api_partial_metadata(const json_t *obj);

/** The first value that the JSONPath @path (json/jsonpath.h; it begins with a dot) finds in @obj: a new reference, or NULL. */
json_t *api_json_path(json_t *obj, const char *path);
/** Whether @path is one. */
bool api_json_path_valid(const char *path);
