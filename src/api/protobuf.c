#include "api/protobuf.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "api/field.h"
#include "api/kubernetes/types.h"
#include "base/cleanup.h"
#include "base/clock.h"
#include "base/error.h"
#include "json/json.h"
#include "json/quantity.h"

#define DEPTH_MAX 64

enum wire { WIRE_VARINT, WIRE_FIXED64, WIRE_BYTES, WIRE_FIXED32 = 5 };

/** What is left of a message. */
struct reader {
	const uint8_t *p, *end;
	const char *what; /* type being read, for messages */
	unsigned depth;
	struct error *err;
};

/** One field as it stands on the wire. */
struct item {
	uint32_t number;
	enum wire wire;
	uint64_t value;   /* WIRE_VARINT, WIRE_FIXED64, WIRE_FIXED32 */
	const uint8_t *p; /* WIRE_BYTES */
	size_t n;
};

static int decode_message(const struct schema *s, const struct reader *r, json_t *object);
static int decode_item(const struct schema *s, const struct reader *r, const struct item *it, json_t **ret);

static int malformed(const struct reader *r, const char *why)
{
	return error_set(r->err, -EINVAL, "protobuf: %s: %s", r->what == NULL ? "message" : r->what, why);
}

static int no_memory(const struct reader *r)
{
	return error_set(r->err, -ENOMEM, "protobuf: out of memory");
}

static int read_varint(struct reader *r, uint64_t *ret)
{
	uint64_t v = 0;
	for (unsigned shift = 0; shift < 64; shift += 7) {
		if (r->p == r->end)
			return malformed(r, "ends inside a number");
		const uint8_t byte = *r->p++;
		v |= (uint64_t)(byte & 0x7F) << shift;
		if ((byte & 0x80) == 0) {
			*ret = v;
			return 0;
		}
	}
	return malformed(r, "a number is longer than 64 bits");
}

static int read_fixed(struct reader *r, size_t n, uint64_t *ret)
{
	if ((size_t)(r->end - r->p) < n)
		return malformed(r, "ends inside a number");
	uint64_t v = 0;
	for (size_t i = 0; i < n; i++)
		v |= (uint64_t)r->p[i] << (8 * i);
	r->p += n;
	*ret = v;
	return 0;
}

/* 1 and the next field, 0 at the end, or an error. */
static int next_item(struct reader *r, struct item *ret)
{
	if (r->p == r->end)
		return 0;
	uint64_t key, size;
	int rc = read_varint(r, &key);
	if (rc < 0)
		return rc;
	if (key >> 3 == 0 || key >> 3 > (1u << 29) - 1)
		return malformed(r, "a field number is out of range");
	*ret = (struct item){.number = (uint32_t)(key >> 3), .wire = (enum wire)(key & 7)};
	switch (ret->wire) {
	case WIRE_VARINT:
		rc = read_varint(r, &ret->value);
		break;
	case WIRE_FIXED64:
		rc = read_fixed(r, 8, &ret->value);
		break;
	case WIRE_FIXED32:
		rc = read_fixed(r, 4, &ret->value);
		break;
	case WIRE_BYTES:
		rc = read_varint(r, &size);
		if (rc == 0 && size > (uint64_t)(r->end - r->p))
			return malformed(r, "a field is longer than the message");
		if (rc == 0) {
			ret->p = r->p;
			ret->n = (size_t)size;
			r->p += size;
		}
		break;
	default:
		return malformed(r, "holds a group, which is not supported");
	}
	return rc < 0 ? rc : 1;
}

static struct reader inside(const struct reader *r, const struct item *it, const char *what)
{
	return (struct reader){.p = it->p,
			       .end = it->p + it->n,
			       .what = what == NULL ? r->what : what,
			       .depth = r->depth + 1,
			       .err = r->err};
}

/* Scalars. */

static int text_value(const struct reader *r, const struct item *it, json_t **ret)
{
	*ret = json_stringn((const char *)it->p, it->n);
	return *ret == NULL ? malformed(r, "a text is not valid UTF-8") : 0;
}

static int bytes_value(const struct reader *r, const struct item *it, json_t **ret)
{
	static const char alphabet[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
	CLEANUP(free_p) char *text = malloc(it->n / 3 * 4 + 5);
	if (text == NULL)
		return no_memory(r);
	size_t n = 0;
	for (size_t i = 0; i < it->n; i += 3) {
		const size_t left = it->n - i;
		const uint32_t v = (uint32_t)it->p[i] << 16 | (left > 1 ? (uint32_t)it->p[i + 1] << 8 : 0) |
				   (left > 2 ? it->p[i + 2] : 0);
		text[n++] = alphabet[v >> 18];
		text[n++] = alphabet[v >> 12 & 63];
		text[n++] = left > 1 ? alphabet[v >> 6 & 63] : '=';
		text[n++] = left > 2 ? alphabet[v & 63] : '=';
	}
	*ret = json_stringn(text, n);
	return *ret == NULL ? no_memory(r) : 0;
}

/* The members 1 to 3 of the small messages that are one value in JSON. */
struct small {
	struct item member[4];
	bool has[4];
};

static int read_small(const struct reader *r, const struct item *it, struct small *ret)
{
	struct reader in = inside(r, it, NULL);
	struct item member;
	int rc;
	memset(ret, 0, sizeof *ret);
	while ((rc = next_item(&in, &member)) > 0) {
		if (member.number >= 4)
			continue;
		ret->member[member.number] = member;
		ret->has[member.number] = true;
	}
	return rc;
}

static bool small_is(const struct small *m, unsigned number, enum wire wire)
{
	return m->has[number] && m->member[number].wire == wire;
}

static int64_t small_number(const struct small *m, unsigned number)
{
	return small_is(m, number, WIRE_VARINT) ? (int64_t)m->member[number].value : 0;
}

static int quantity_value(const struct reader *r, const struct item *it, json_t **ret)
{
	struct small m;
	const int rc = read_small(r, it, &m);
	if (rc < 0)
		return rc;
	if (!small_is(&m, 1, WIRE_BYTES) || m.member[1].n == 0) {
		*ret = json_string("0");
		return *ret == NULL ? no_memory(r) : 0;
	}
	return text_value(r, &m.member[1], ret);
}

/* An empty message is Go's zero time: absent (*ret NULL). */
static int time_value(const struct reader *r, const struct item *it, bool micro, json_t **ret)
{
	struct small m;
	const int rc = read_small(r, it, &m);
	if (rc < 0)
		return rc;
	*ret = NULL;
	if (!m.has[1] && !m.has[2])
		return 0;
	const int64_t seconds = small_number(&m, 1), nanos = small_number(&m, 2);
	if (seconds < -62135596800 || seconds > 253402300799 || nanos < 0 || nanos >= NSEC_PER_SEC)
		return malformed(r, "a time is out of range");
	if (seconds < -9000000000 || seconds > 9000000000)
		return malformed(r, "a time is too far from now"); /* past what 64 bits of nanoseconds hold */
	char text[40];
	if (micro)
		clock_format_rfc3339_micro(seconds * NSEC_PER_SEC + nanos, text);
	else
		clock_format_rfc3339(seconds * NSEC_PER_SEC, text);
	*ret = json_string(text);
	return *ret == NULL ? no_memory(r) : 0;
}

static int int_or_string_value(const struct reader *r, const struct item *it, json_t **ret)
{
	struct small m;
	const int rc = read_small(r, it, &m);
	if (rc < 0)
		return rc;
	if (small_number(&m, 1) == 1) {
		const struct item empty = {.p = (const uint8_t *)"", .wire = WIRE_BYTES};
		return text_value(r, small_is(&m, 3, WIRE_BYTES) ? &m.member[3] : &empty, ret);
	}
	*ret = json_integer((int32_t)small_number(&m, 2));
	return *ret == NULL ? no_memory(r) : 0;
}

static int duration_value(const struct reader *r, const struct item *it, json_t **ret)
{
	struct small m;
	const int rc = read_small(r, it, &m);
	if (rc < 0)
		return rc;
	char text[32];
	duration_format(small_number(&m, 1), text);
	*ret = json_string(text);
	return *ret == NULL ? no_memory(r) : 0;
}

/* A message with JSON text in its first member. */
static int raw_value(const struct reader *r, const struct item *it, json_t **ret)
{
	struct small m;
	const int rc = read_small(r, it, &m);
	if (rc < 0)
		return rc;
	if (!small_is(&m, 1, WIRE_BYTES) || m.member[1].n == 0) {
		*ret = json_null();
		return 0;
	}
	return json_parse((const char *)m.member[1].p, m.member[1].n, ret, r->err);
}

/* JSONSchemaPropsOrBool, ...OrArray, ...OrStringArray: a schema in one member, or something plain in the other. */
static int schema_or_value(const struct schema *s, const struct reader *r, const struct item *it, json_t **ret)
{
	static const char prefix[] = "apiextensions.v1.JSONSchemaPropsOr";
	const char *other = s->name + sizeof prefix - 1;
	const bool is_bool = strcmp(other, "Bool") == 0, is_array = strcmp(other, "Array") == 0;
	const unsigned schema_number = is_bool ? 2 : 1, other_number = is_bool ? 1 : 2;
	struct reader in = inside(r, it, s->name);
	struct item member;
	json_t *list = NULL;
	JSON_AUTO value = NULL;
	int rc;
	while ((rc = next_item(&in, &member)) > 0) {
		json_t *v = NULL;
		if (member.number != schema_number && member.number != other_number)
			continue;
		if (is_bool && member.number == other_number) {
			if (value == NULL)
				value = json_boolean(member.value != 0);
			continue;
		}
		const bool plain = member.number == other_number && !is_array;
		rc = decode_item(plain ? &schema_string : &apiextensions_v1_json_schema_props, &in, &member, &v);
		if (rc < 0)
			return rc;
		if (member.number == schema_number) {
			json_decref(value);
			value = v;
			list = NULL;
			continue;
		}
		if (list == NULL) {
			json_decref(value);
			list = value = json_array();
		}
		if (json_array_append_new(list, v) != 0)
			return no_memory(r);
	}
	if (rc < 0)
		return rc;
	*ret = value == NULL ? json_null() : TAKE(value);
	return 0;
}

/* Go's structs send every member that is no pointer; JSON leaves their zeros out, and so does this. */
static bool is_zero(const json_t *v)
{
	switch (json_typeof(v)) {
	case JSON_STRING:
		return json_string_length(v) == 0;
	case JSON_INTEGER:
		return json_integer_value(v) == 0;
	case JSON_REAL:
		return json_real_value(v) == 0;
	case JSON_FALSE:
	case JSON_NULL:
		return true;
	default:
		return false;
	}
}

static bool is_varint(enum schema_type type)
{
	return type == SCHEMA_BOOL || type == SCHEMA_INT32 || type == SCHEMA_INT64;
}

static int number_value(const struct schema *s, const struct reader *r, const struct item *it, json_t **ret)
{
	double d;
	if (s->type == SCHEMA_BOOL)
		*ret = json_boolean(it->value != 0);
	else if (s->type == SCHEMA_INT32)
		*ret = json_integer((int32_t)it->value);
	else if (s->type == SCHEMA_INT64)
		*ret = json_integer((int64_t)it->value);
	else {
		memcpy(&d, &it->value, sizeof d);
		*ret = json_real(d);
		if (*ret == NULL)
			return malformed(r, "a number is not finite");
	}
	return *ret == NULL ? no_memory(r) : 0;
}

static int object_value(const struct schema *s, const struct reader *r, const struct item *it, json_t **ret)
{
	JSON_AUTO object = json_object();
	if (object == NULL)
		return no_memory(r);
	const struct reader in = inside(r, it, s->name);
	const int rc = decode_message(s, &in, object);
	if (rc == 0)
		*ret = TAKE(object);
	return rc;
}

/* One value. *@ret may be NULL: nothing was said. */
static int decode_item(const struct schema *s, const struct reader *r, const struct item *it, json_t **ret)
{
	const enum wire wire = is_varint(s->type) ? WIRE_VARINT : s->type == SCHEMA_DOUBLE ? WIRE_FIXED64 : WIRE_BYTES;
	if (it->wire != wire)
		return malformed(r, "a field has another form than its type");
	if (r->depth > DEPTH_MAX)
		return malformed(r, "nested too deeply");
	switch (s->type) {
	case SCHEMA_STRING:
		return text_value(r, it, ret);
	case SCHEMA_BYTES:
		return bytes_value(r, it, ret);
	case SCHEMA_BOOL:
	case SCHEMA_INT32:
	case SCHEMA_INT64:
	case SCHEMA_DOUBLE:
		return number_value(s, r, it, ret);
	case SCHEMA_QUANTITY:
		return quantity_value(r, it, ret);
	case SCHEMA_TIME:
	case SCHEMA_MICROTIME:
		return time_value(r, it, s->type == SCHEMA_MICROTIME, ret);
	case SCHEMA_INT_OR_STRING:
		return int_or_string_value(r, it, ret);
	case SCHEMA_DURATION:
		return duration_value(r, it, ret);
	case SCHEMA_ANY:
		return s->name != NULL && strncmp(s->name, "apiextensions.v1.JSONSchemaPropsOr", 34) == 0
			       ? schema_or_value(s, r, it, ret)
			       : raw_value(r, it, ret);
	case SCHEMA_OBJECT:
		return object_value(s, r, it, ret);
	case SCHEMA_LIST:
	case SCHEMA_MAP:
		break;
	}
	return malformed(r, "a list of lists has no such form");
}

static json_t *container(json_t *object, const char *name, json_t *(*make)(void))
{
	json_t *c = json_object_get(object, name);
	if (c != NULL)
		return c;
	c = make();
	return c != NULL && json_object_set_new(object, name, c) == 0 ? c : NULL;
}

static int append(const struct reader *r, const struct schema *items, const struct item *it, json_t *list)
{
	json_t *v = NULL;
	const int rc = decode_item(items, r, it, &v);
	if (rc < 0)
		return rc;
	return json_array_append_new(list, v == NULL ? json_null() : v) == 0 ? 0 : no_memory(r);
}

/* Repeated numbers may come packed into one field. */
static int append_packed(const struct reader *r, const struct schema *items, const struct item *it, json_t *list)
{
	struct reader in = inside(r, it, NULL);
	while (in.p < in.end) {
		struct item one = {.wire = WIRE_VARINT};
		int rc = read_varint(&in, &one.value);
		if (rc == 0)
			rc = append(r, items, &one, list);
		if (rc < 0)
			return rc;
	}
	return 0;
}

static int decode_entry(const struct reader *r, const struct schema *values, const struct item *it, json_t *map)
{
	if (it->wire != WIRE_BYTES)
		return malformed(r, "a map's entry is no message");
	struct small m;
	int rc = read_small(r, it, &m);
	if (rc < 0)
		return rc;
	if (!small_is(&m, 1, WIRE_BYTES) || memchr(m.member[1].p, '\0', m.member[1].n) != NULL)
		return malformed(r, "a map's entry has no usable key");
	json_t *value = NULL;
	const struct item absent = {.wire = is_varint(values->type) ? WIRE_VARINT : WIRE_BYTES,
				    .p = (const uint8_t *)""};
	rc = decode_item(values, r, m.has[2] ? &m.member[2] : &absent, &value);
	if (rc < 0)
		return rc;
	if (json_object_setn_new(map, (const char *)m.member[1].p, m.member[1].n,
				 value == NULL ? json_null() : value) != 0)
		return malformed(r, "a map's key is not valid UTF-8");
	return 0;
}

static int decode_field(const struct field *f, const struct reader *r, const struct item *it, json_t *object)
{
	const struct schema *s = f->schema;
	if (s->type == SCHEMA_LIST) {
		json_t *list = container(object, f->name, json_array);
		if (list == NULL)
			return no_memory(r);
		return is_varint(s->items->type) && it->wire == WIRE_BYTES ? append_packed(r, s->items, it, list)
									   : append(r, s->items, it, list);
	}
	if (s->type == SCHEMA_MAP) {
		json_t *map = container(object, f->name, json_object);
		return map == NULL ? no_memory(r) : decode_entry(r, s->items, it, map);
	}
	json_t *value = NULL;
	const int rc = decode_item(s, r, it, &value);
	if (rc < 0)
		return rc;
	if (value == NULL || (is_zero(value) && !f->required && !f->pb_optional)) {
		json_decref(value);
		return 0;
	}
	return json_object_set_new(object, f->name, value) == 0 ? 0 : no_memory(r);
}

static const struct field *find(const struct schema *s, uint32_t outer, uint32_t number)
{
	for (const struct field *f = s->fields; f != NULL && f->name != NULL; f++)
		if (f->pb == number && f->pb_outer == outer)
			return f;
	return NULL;
}

static bool is_outer(const struct schema *s, uint32_t number)
{
	for (const struct field *f = s->fields; f != NULL && f->name != NULL; f++)
		if (f->pb_outer == number)
			return true;
	return false;
}

static int decode_part(const struct schema *s, uint32_t outer, const struct reader *r, json_t *object)
{
	struct reader in = *r;
	struct item it;
	int rc;
	while ((rc = next_item(&in, &it)) > 0) {
		const struct field *f = find(s, outer, it.number);
		if (f != NULL) {
			rc = decode_field(f, &in, &it, object);
		} else if (outer == 0 && it.wire == WIRE_BYTES && is_outer(s, it.number)) {
			const struct reader part = inside(&in, &it, NULL);
			rc = decode_part(s, it.number, &part, object);
		}
		if (rc < 0)
			return rc;
	}
	return rc;
}

static int decode_message(const struct schema *s, const struct reader *r, json_t *object)
{
	return decode_part(s, 0, r, object);
}

int protobuf_decode(const struct schema *s, const uint8_t *data, size_t n, json_t **ret, struct error *err)
{
	const struct reader r = {.p = data, .end = data + n, .what = s->name, .err = err};
	const struct item whole = {.wire = WIRE_BYTES, .p = data, .n = n};
	return object_value(s, &r, &whole, ret);
}

/* The envelope. */

static int copy_text(const struct reader *r, const struct small *m, unsigned number, char **ret)
{
	const bool there = small_is(m, number, WIRE_BYTES);
	const struct item *it = &m->member[number];
	if (there && memchr(it->p, '\0', it->n) != NULL)
		return malformed(r, "apiVersion or kind holds a NUL");
	*ret = strndup(there ? (const char *)it->p : "", there ? it->n : 0);
	return *ret == NULL ? no_memory(r) : 0;
}

int protobuf_envelope(const uint8_t *data, size_t n, char **ret_api_version, char **ret_kind, const uint8_t **ret_raw,
		      size_t *ret_raw_n, struct error *err)
{
	static const uint8_t magic[4] = {'k', '8', 's', 0};
	if (n < sizeof magic || memcmp(data, magic, sizeof magic) != 0)
		return error_set(err, -EINVAL,
				 "protobuf: the body does not begin with the bytes of Kubernetes' protobuf form");

	struct reader r = {.p = data + sizeof magic, .end = data + n, .what = "envelope", .err = err};
	struct item it, type = {.p = (const uint8_t *)"", .wire = WIRE_BYTES}, raw = type;
	int rc;
	while ((rc = next_item(&r, &it)) > 0) {
		if (it.number == 1 && it.wire == WIRE_BYTES)
			type = it;
		else if (it.number == 2 && it.wire == WIRE_BYTES)
			raw = it;
		else if (it.number == 3 && it.n > 0)
			return malformed(&r, "the object is encoded, which is not supported");
	}
	struct small names;
	if (rc == 0)
		rc = read_small(&r, &type, &names);
	CLEANUP(free_p) char *api_version = NULL;
	CLEANUP(free_p) char *kind = NULL;
	if (rc == 0)
		rc = copy_text(&r, &names, 1, &api_version);
	if (rc == 0)
		rc = copy_text(&r, &names, 2, &kind);
	if (rc < 0)
		return rc;
	*ret_api_version = TAKE(api_version);
	*ret_kind = TAKE(kind);
	*ret_raw = raw.p;
	*ret_raw_n = raw.n;
	return 0;
}
