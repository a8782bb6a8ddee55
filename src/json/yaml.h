/*
 * YAML in and out by libyaml, as kubectl reads and prints it: YAML 1.1 scalars (yes, 0777, 1_000), anchors expanded with a limit.
 */
#pragma once

#include <jansson.h>
#include <stddef.h>

struct error;

#define YAML_MAX_BYTES (3u << 20)

/** Parse a stream of documents (JSON is YAML too). *@ret is a new array, one element a document; empty documents are left out.
 *  -EINVAL with "line L, column C: ..."; -E2BIG past depth (100), nodes (1,000,000) or alias expansion limits. */
int yaml_parse(const char *text, size_t n, json_t **ret, struct error *err);
/** One document as block YAML, keys sorted as kubectl does; malloc'ed; NULL on no memory. */
char *yaml_to_text(const json_t *j);
