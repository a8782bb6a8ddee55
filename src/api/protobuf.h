/*
 * Kubernetes' protobuf form (application/vnd.kubernetes.protobuf) of request bodies, decoded by the field tables.
 * Source: the envelope `k8s\0` + runtime.Unknown of k8s.io/apimachinery. Limits: depth 64, the body's own size bounds all lists.
 */
#pragma once

#include <jansson.h>
#include <stddef.h>
#include <stdint.h>

struct error;
struct schema;
struct strbuf;

/** Take the envelope apart: @ret_api_version, @ret_kind (malloc'ed) and the view of the object's bytes. -EINVAL when malformed. */
int protobuf_envelope(const uint8_t *data, size_t n, char **ret_api_version, char **ret_kind, const uint8_t **ret_raw,
		      size_t *ret_raw_n, struct error *err);
/** Decode a message by the table @s into a new JSON tree; unknown numbers are skipped; zero values of proto2 "optional" fields are kept only when sent. */
int protobuf_decode(const struct schema *s, const uint8_t *data, size_t n, json_t **ret, struct error *err);
