/*
 * Swagger 2 in the protobuf form of gnostic's OpenAPIv2.proto. The numbers are those of that file; what kubectl does not look at
 * (security, tags, examples) is not written because the documents here never have it.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "api/openapi.h"
#include "base/error.h"
#include "base/strbuf.h"

#define DOCUMENT_MAX (64u << 20)
#define DEPTH_MAX    128

/** Writes the message of @value into @out. */
typedef void (*writer)(struct strbuf *out, const json_t *value, unsigned depth);

static void write_schema(struct strbuf *out, const json_t *s, unsigned depth);

static void put_varint(struct strbuf *out, uint64_t v)
{
	while (v >= 0x80) {
		strbuf_addc(out, (char)(v | 0x80));
		v >>= 7;
	}
	strbuf_addc(out, (char)v);
}

static void put_bytes(struct strbuf *out, unsigned number, const char *p, size_t n)
{
	put_varint(out, (uint64_t)number << 3 | 2);
	put_varint(out, n);
	strbuf_add(out, p, n);
}

static void put_text(struct strbuf *out, unsigned number, const json_t *v)
{
	if (json_is_string(v))
		put_bytes(out, number, json_string_value(v), json_string_length(v));
}

static void put_texts(struct strbuf *out, unsigned number, const json_t *list)
{
	size_t i;
	json_t *v;
	json_array_foreach (list, i, v)
		put_text(out, number, v);
}

static void put_flag(struct strbuf *out, unsigned number, const json_t *v)
{
	if (!json_is_true(v))
		return;
	put_varint(out, (uint64_t)number << 3);
	put_varint(out, 1);
}

static void put_count(struct strbuf *out, unsigned number, const json_t *v)
{
	if (!json_is_integer(v))
		return;
	put_varint(out, (uint64_t)number << 3);
	put_varint(out, (uint64_t)json_integer_value(v));
}

static void put_double(struct strbuf *out, unsigned number, const json_t *v)
{
	if (!json_is_number(v))
		return;
	const double d = json_number_value(v);
	uint64_t bits;
	memcpy(&bits, &d, sizeof bits);
	put_varint(out, (uint64_t)number << 3 | 1);
	for (unsigned i = 0; i < 8; i++)
		strbuf_addc(out, (char)(bits >> (8 * i)));
}

static void put_message(struct strbuf *out, unsigned number, const json_t *value, writer write, unsigned depth)
{
	struct strbuf in = STRBUF_INIT(DOCUMENT_MAX);
	if (value == NULL)
		return;
	if (depth > DEPTH_MAX)
		in.failed = true;
	else
		write(&in, value, depth + 1);
	if (in.failed)
		out->failed = true;
	else
		put_bytes(out, number, in.p == NULL ? "" : in.p, in.n);
	strbuf_clear(&in);
}

/* Any {2 yaml}: JSON is YAML. */
static void write_any(struct strbuf *out, const json_t *v, unsigned depth)
{
	(void)depth;
	char *text = json_dumps(v, JSON_ENCODE_ANY | JSON_COMPACT);
	if (text == NULL)
		out->failed = true;
	else
		put_bytes(out, 2, text, strlen(text));
	free(text);
}

/* A message {1 name, 2 value}. */
static void put_named(struct strbuf *out, unsigned number, const char *name, const json_t *value, writer write,
		      unsigned depth)
{
	struct strbuf in = STRBUF_INIT(DOCUMENT_MAX);
	put_bytes(&in, 1, name, strlen(name));
	put_message(&in, 2, value, write, depth + 1);
	if (in.failed)
		out->failed = true;
	else
		put_bytes(out, number, in.p, in.n);
	strbuf_clear(&in);
}

static void put_extensions(struct strbuf *out, unsigned number, const json_t *object, unsigned depth)
{
	const char *key;
	json_t *v;
	json_object_foreach ((json_t *)object, key, v)
		if (strncmp(key, "x-", 2) == 0)
			put_named(out, number, key, v, write_any, depth);
}

/* Properties, Definitions {1 NamedSchema}. */
static void write_schemas(struct strbuf *out, const json_t *object, unsigned depth)
{
	const char *key;
	json_t *v;
	json_object_foreach ((json_t *)object, key, v)
		put_named(out, 1, key, v, write_schema, depth);
}

/* AdditionalPropertiesItem {1 schema, 2 boolean}. */
static void write_additional(struct strbuf *out, const json_t *v, unsigned depth)
{
	if (json_is_object(v)) {
		put_message(out, 1, v, write_schema, depth);
		return;
	}
	put_varint(out, 2u << 3);
	put_varint(out, json_is_true(v));
}

/* ItemsItem, SchemaItem {1 schema}. */
static void write_item(struct strbuf *out, const json_t *v, unsigned depth)
{
	put_message(out, 1, v, write_schema, depth);
}

/* TypeItem {1 value}. */
static void write_type(struct strbuf *out, const json_t *v, unsigned depth)
{
	(void)depth;
	put_text(out, 1, v);
}

static void write_schema(struct strbuf *out, const json_t *s, unsigned depth)
{
	size_t i;
	json_t *v;
	put_text(out, 1, json_object_get(s, "$ref"));
	put_text(out, 2, json_object_get(s, "format"));
	put_text(out, 3, json_object_get(s, "title"));
	put_text(out, 4, json_object_get(s, "description"));
	put_message(out, 5, json_object_get(s, "default"), write_any, depth);
	put_double(out, 6, json_object_get(s, "multipleOf"));
	put_double(out, 7, json_object_get(s, "maximum"));
	put_flag(out, 8, json_object_get(s, "exclusiveMaximum"));
	put_double(out, 9, json_object_get(s, "minimum"));
	put_flag(out, 10, json_object_get(s, "exclusiveMinimum"));
	put_count(out, 11, json_object_get(s, "maxLength"));
	put_count(out, 12, json_object_get(s, "minLength"));
	put_text(out, 13, json_object_get(s, "pattern"));
	put_count(out, 14, json_object_get(s, "maxItems"));
	put_count(out, 15, json_object_get(s, "minItems"));
	put_flag(out, 16, json_object_get(s, "uniqueItems"));
	put_count(out, 17, json_object_get(s, "maxProperties"));
	put_count(out, 18, json_object_get(s, "minProperties"));
	put_texts(out, 19, json_object_get(s, "required"));
	json_array_foreach (json_object_get(s, "enum"), i, v)
		put_message(out, 20, v, write_any, depth);
	put_message(out, 21, json_object_get(s, "additionalProperties"), write_additional, depth);
	put_message(out, 22, json_object_get(s, "type"), write_type, depth);
	put_message(out, 23, json_object_get(s, "items"), write_item, depth);
	put_message(out, 25, json_object_get(s, "properties"), write_schemas, depth);
	put_extensions(out, 31, s, depth);
}

static void write_body_parameter(struct strbuf *out, const json_t *p, unsigned depth)
{
	put_text(out, 1, json_object_get(p, "description"));
	put_text(out, 2, json_object_get(p, "name"));
	put_text(out, 3, json_object_get(p, "in"));
	put_flag(out, 4, json_object_get(p, "required"));
	put_message(out, 5, json_object_get(p, "schema"), write_schema, depth);
}

static void write_query_parameter(struct strbuf *out, const json_t *p, unsigned depth)
{
	(void)depth;
	put_flag(out, 1, json_object_get(p, "required"));
	put_text(out, 2, json_object_get(p, "in"));
	put_text(out, 3, json_object_get(p, "description"));
	put_text(out, 4, json_object_get(p, "name"));
	put_text(out, 6, json_object_get(p, "type"));
}

static void write_path_parameter(struct strbuf *out, const json_t *p, unsigned depth)
{
	(void)depth;
	put_flag(out, 1, json_object_get(p, "required"));
	put_text(out, 2, json_object_get(p, "in"));
	put_text(out, 3, json_object_get(p, "description"));
	put_text(out, 4, json_object_get(p, "name"));
	put_text(out, 5, json_object_get(p, "type"));
}

static bool is_in(const json_t *p, const char *where)
{
	const char *in = json_string_value(json_object_get(p, "in"));
	return in != NULL && strcmp(in, where) == 0;
}

/* NonBodyParameter {3 query, 4 path}. */
static void write_plain_parameter(struct strbuf *out, const json_t *p, unsigned depth)
{
	if (is_in(p, "path"))
		put_message(out, 4, p, write_path_parameter, depth);
	else
		put_message(out, 3, p, write_query_parameter, depth);
}

/* Parameter {1 body, 2 other}. */
static void write_parameter(struct strbuf *out, const json_t *p, unsigned depth)
{
	if (is_in(p, "body"))
		put_message(out, 1, p, write_body_parameter, depth);
	else
		put_message(out, 2, p, write_plain_parameter, depth);
}

/* ParametersItem {1 parameter}. */
static void write_parameters_item(struct strbuf *out, const json_t *p, unsigned depth)
{
	put_message(out, 1, p, write_parameter, depth);
}

static void put_parameters(struct strbuf *out, unsigned number, const json_t *list, unsigned depth)
{
	size_t i;
	json_t *p;
	json_array_foreach (list, i, p)
		put_message(out, number, p, write_parameters_item, depth);
}

static void write_response(struct strbuf *out, const json_t *r, unsigned depth)
{
	put_text(out, 1, json_object_get(r, "description"));
	put_message(out, 2, json_object_get(r, "schema"), write_item, depth);
}

/* ResponseValue {1 response}. */
static void write_response_value(struct strbuf *out, const json_t *r, unsigned depth)
{
	put_message(out, 1, r, write_response, depth);
}

static void write_responses(struct strbuf *out, const json_t *responses, unsigned depth)
{
	const char *code;
	json_t *r;
	json_object_foreach ((json_t *)responses, code, r)
		put_named(out, 1, code, r, write_response_value, depth);
}

static void write_operation(struct strbuf *out, const json_t *op, unsigned depth)
{
	put_text(out, 3, json_object_get(op, "description"));
	put_text(out, 5, json_object_get(op, "operationId"));
	put_texts(out, 6, json_object_get(op, "produces"));
	put_texts(out, 7, json_object_get(op, "consumes"));
	put_parameters(out, 8, json_object_get(op, "parameters"), depth);
	put_message(out, 9, json_object_get(op, "responses"), write_responses, depth);
	put_extensions(out, 13, op, depth);
}

static void write_path_item(struct strbuf *out, const json_t *item, unsigned depth)
{
	static const struct {
		const char *method;
		unsigned number;
	} methods[] = {{"get", 2}, {"put", 3}, {"post", 4}, {"delete", 5}, {"options", 6}, {"head", 7}, {"patch", 8}};
	for (size_t i = 0; i < sizeof methods / sizeof methods[0]; i++)
		put_message(out, methods[i].number, json_object_get(item, methods[i].method), write_operation, depth);
	put_parameters(out, 9, json_object_get(item, "parameters"), depth);
	put_extensions(out, 10, item, depth);
}

/* Paths {2 NamedPathItem}. */
static void write_paths(struct strbuf *out, const json_t *paths, unsigned depth)
{
	const char *path;
	json_t *item;
	json_object_foreach ((json_t *)paths, path, item)
		put_named(out, 2, path, item, write_path_item, depth);
}

static void write_info(struct strbuf *out, const json_t *info, unsigned depth)
{
	(void)depth;
	put_text(out, 1, json_object_get(info, "title"));
	put_text(out, 2, json_object_get(info, "version"));
}

int openapi_v2_protobuf(const json_t *v2, uint8_t **ret, size_t *ret_n, struct error *err)
{
	struct strbuf out = STRBUF_INIT(DOCUMENT_MAX);
	put_text(&out, 1, json_object_get(v2, "swagger"));
	put_message(&out, 2, json_object_get(v2, "info"), write_info, 0);
	put_message(&out, 8, json_object_get(v2, "paths"), write_paths, 0);
	put_message(&out, 9, json_object_get(v2, "definitions"), write_schemas, 0);
	const size_t n = out.n;
	char *bytes;
	const int rc = strbuf_take(&out, &bytes);
	if (rc < 0)
		return error_set(err, rc, "openapi: the document is too large, or out of memory");
	*ret = (uint8_t *)bytes;
	*ret_n = n;
	return 0;
}
