/* What the two OpenAPI documents share; not for others. */
#pragma once

#include "api/kind.h"

struct openapi {
	bool v3;
	json_t *definitions; /* name to schema; borrowed */
};

/** Where a type stands in the documents: "io.k8s.api.core.v1.Pod"; @out of @size bytes. */
const char *openapi_type_name(const char *name, char *out, size_t size);
/** The same for a kind: its type's, or "io.fluid.data.v1alpha1.Dataset". */
const char *openapi_kind_name(const struct kind *k, char *out, size_t size);
/** The same for a list of the kind. */
const char *openapi_list_name(const struct kind *k, char *out, size_t size);
/** Add the definition of what subresource @s (with a kind of its own) takes; its name goes to @out of @size bytes. */
const char *openapi_add_document(const struct openapi *o, const struct kind_subresource *s, char *out, size_t size);
/** Add the definition of @k, of its list, and of all types that it reaches. */
void openapi_add_kind(const struct openapi *o, const struct kind *k);
/** A reference to the definition @name. New tree. */
json_t *openapi_ref(const struct openapi *o, const char *name);
/** The paths of @k, into @paths. */
void openapi_add_paths(const struct openapi *o, const struct kind *k, json_t *paths);
