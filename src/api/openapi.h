/* OpenAPI documents made from the tables, for kubectl: /openapi/v2 (JSON and protobuf) and /openapi/v3. */
#pragma once

#include <jansson.h>
#include <stddef.h>
#include <stdint.h>

struct error;
struct kind;

/** Swagger 2.0 for @kinds: definitions with descriptions, x-kubernetes-group-version-kind, merge keys; paths with the PATCH parameters. New tree. */
json_t *openapi_v2(const struct kind *const *kinds, size_t n);
/**
 * The same document as gnostic's protobuf, asked for as application/com.github.proto-openapi.spec.v2@v1.0+protobuf. malloc'ed.
 * Answer it as OPENAPI_V2_PROTOBUF: old clients cannot parse a Content-Type with an @.
 */
#define OPENAPI_V2_PROTOBUF "application/com.github.proto-openapi.spec.v2.v1.0+protobuf"
int openapi_v2_protobuf(const json_t *v2, uint8_t **ret, size_t *ret_n, struct error *err);
/** OpenAPI 3.0 for the kinds of one group and version. New tree. */
json_t *openapi_v3(const struct kind *const *kinds, size_t n, const char *group, const char *version);
