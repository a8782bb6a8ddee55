#include "client/encode.h"

#include <string.h>

#include "api/schema.h"
#include "base/base64.h"
#include "base/cleanup.h"
#include "base/clock.h"
#include "base/error.h"
#include "base/strbuf.h"
#include "json/json.h"

#define MESSAGE_MAX (8u << 20)

enum { VARINT = 0, FIXED64 = 1, BYTES = 2 };

static int encode_object(const struct schema *s, const json_t *object, struct strbuf *out, struct error *err);

static void add_varint(struct strbuf *out, uint64_t v)
{
	for (; v >= 0x80; v >>= 7)
		strbuf_addc(out, (char)(v | 0x80));
	strbuf_addc(out, (char)v);
}

static void add_key(struct strbuf *out, uint32_t number, unsigned wire)
{
	add_varint(out, (uint64_t)number << 3 | wire);
}

static void add_bytes(struct strbuf *out, uint32_t number, const void *data, size_t n)
{
	add_key(out, number, BYTES);
	add_varint(out, n);
	strbuf_add(out, data, n);
}

static void add_number(struct strbuf *out, uint32_t number, int64_t v)
{
	add_key(out, number, VARINT);
	add_varint(out, (uint64_t)v);
}

static const char *string_of(const json_t *v)
{
	return json_is_string(v) ? json_string_value(v) : "";
}

/* Messages that are one value in JSON. */
static int encode_small(const struct schema *s, const json_t *v, struct strbuf *out, struct error *err)
{
	int64_t ns;
	switch (s->type) {
	case SCHEMA_QUANTITY: {
		CLEANUP(free_p) char *number = json_is_string(v) ? NULL : json_to_text(v, NULL);
		const char *text = number != NULL ? number : string_of(v);
		add_bytes(out, 1, text, strlen(text));
		return 0;
	}
	case SCHEMA_TIME:
	case SCHEMA_MICROTIME:
		if (clock_parse_rfc3339(string_of(v), &ns) < 0)
			return error_set(err, -EINVAL, "protobuf: '%s' is no time", string_of(v));
		add_number(out, 1, ns / NSEC_PER_SEC);
		add_number(out, 2, ns % NSEC_PER_SEC);
		return 0;
	case SCHEMA_INT_OR_STRING:
		add_number(out, 1, json_is_string(v));
		add_number(out, 2, json_integer_value(v));
		add_bytes(out, 3, string_of(v), strlen(string_of(v)));
		return 0;
	case SCHEMA_ANY: {
		CLEANUP(free_p) char *text = json_to_text(v, NULL);
		if (text == NULL)
			return -ENOMEM;
		add_bytes(out, 1, text, strlen(text));
		return 0;
	}
	default:
		return encode_object(s, v, out, err);
	}
}

static int encode_value(const struct schema *s, uint32_t number, const json_t *v, struct strbuf *out, struct error *err)
{
	CLEANUP(strbuf_clear) struct strbuf inner = STRBUF_INIT(MESSAGE_MAX);
	const double real = json_number_value(v);
	CLEANUP(free_p) char *data = NULL;
	size_t n;
	int rc = 0;
	switch (s->type) {
	case SCHEMA_STRING:
		add_bytes(out, number, string_of(v), json_string_length(v));
		return 0;
	case SCHEMA_BYTES:
		rc = base64_decode(string_of(v), &data, &n);
		if (rc == 0)
			add_bytes(out, number, data, n);
		return rc;
	case SCHEMA_BOOL:
	case SCHEMA_INT32:
	case SCHEMA_INT64:
		add_number(out, number, json_is_true(v) ? 1 : json_integer_value(v));
		return 0;
	case SCHEMA_DOUBLE:
		add_key(out, number, FIXED64);
		strbuf_add(out, &real, sizeof real);
		return 0;
	case SCHEMA_DURATION:
	case SCHEMA_LIST:
	case SCHEMA_MAP:
		return error_set(err, -EINVAL, "protobuf: a %s is not written",
				 s->type == SCHEMA_DURATION ? "duration" : "list of lists");
	default:
		rc = encode_small(s, v, &inner, err);
		if (rc == 0)
			add_bytes(out, number, inner.p == NULL ? "" : inner.p, inner.n);
		return rc;
	}
}

static int encode_entry(const struct schema *items, uint32_t number, const char *key, const json_t *v,
			struct strbuf *out, struct error *err)
{
	CLEANUP(strbuf_clear) struct strbuf entry = STRBUF_INIT(MESSAGE_MAX);
	add_bytes(&entry, 1, key, strlen(key));
	const int rc = encode_value(items, 2, v, &entry, err);
	if (rc == 0)
		add_bytes(out, number, entry.p, entry.n);
	return rc;
}

static int encode_field(const struct field *f, const json_t *v, struct strbuf *out, struct error *err)
{
	int rc = 0;
	if (f->schema->type == SCHEMA_LIST) {
		for (size_t i = 0; rc == 0 && i < json_array_size(v); i++)
			rc = encode_value(f->schema->items, f->pb, json_array_get(v, i), out, err);
		return rc;
	}
	if (f->schema->type != SCHEMA_MAP)
		return encode_value(f->schema, f->pb, v, out, err);
	const char *key;
	json_t *value;
	json_object_foreach ((json_t *)v, key, value)
		if (rc == 0)
			rc = encode_entry(f->schema->items, f->pb, key, value, out, err);
	return rc;
}

/* The fields whose number is inside @outer (0: of the message itself). */
static int encode_part(const struct schema *s, uint32_t outer, const json_t *object, struct strbuf *out,
		       struct error *err)
{
	const char *key;
	json_t *v;
	json_object_foreach ((json_t *)object, key, v) {
		const struct field *f = schema_field(s, key);
		if (f == NULL)
			return error_set(err, -EINVAL, "protobuf: %s has no field %s", s->name, key);
		if (f->pb == 0 || f->pb_outer != outer || json_is_null(v))
			continue;
		const int rc = encode_field(f, v, out, err);
		if (rc < 0)
			return rc;
	}
	return 0;
}

static int encode_object(const struct schema *s, const json_t *object, struct strbuf *out, struct error *err)
{
	int rc = encode_part(s, 0, object, out, err);
	uint32_t done = 0;
	for (const struct field *f = s->fields; rc == 0 && f->name != NULL; f++) {
		if (f->pb_outer == 0 || f->pb_outer == done)
			continue;
		CLEANUP(strbuf_clear) struct strbuf part = STRBUF_INIT(MESSAGE_MAX);
		done = f->pb_outer;
		rc = encode_part(s, done, object, &part, err);
		if (rc == 0 && part.n > 0)
			add_bytes(out, done, part.p, part.n);
	}
	return rc;
}

int protobuf_encode(const struct schema *s, const json_t *object, struct strbuf *out, struct error *err)
{
	CLEANUP(strbuf_clear) struct strbuf type = STRBUF_INIT(4096);
	CLEANUP(strbuf_clear) struct strbuf raw = STRBUF_INIT(MESSAGE_MAX);
	const char *version = json_str(object, "apiVersion", ""), *kind = json_str(object, "kind", "");
	const int rc = encode_object(s, object, &raw, err);
	if (rc < 0)
		return rc;
	add_bytes(&type, 1, version, strlen(version));
	add_bytes(&type, 2, kind, strlen(kind));
	strbuf_add(out, "k8s", 4);
	add_bytes(out, 1, type.p, type.n);
	add_bytes(out, 2, raw.p == NULL ? "" : raw.p, raw.n);
	return out->failed ? -ENOMEM : 0;
}
