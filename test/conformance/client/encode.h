/* Kubernetes' protobuf form of an object, as Go clients send it: the way back from api/protobuf.h. */
#pragma once

#include <jansson.h>

struct error;
struct schema;
struct strbuf;

/** Append the whole body (envelope and object) of @object, whose type @s is. -EINVAL names a value that has no such form. */
int protobuf_encode(const struct schema *s, const json_t *object, struct strbuf *out, struct error *err);
