/* YAML in: libyaml's events become jansson trees. */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <yaml.h>

#include "base/error.h"
#include "base/map.h"
#include "json/json.h"
#include "json/tree.h"
#include "json/yaml.h"
#include "json/yaml_scalar.h"

#define YAML_MAX_DEPTH 100
#define YAML_MAX_NODES 1000000

struct reader {
	yaml_parser_t parser;
	yaml_event_t event; /* the one looked at; valid while `have` */
	bool have;
	struct map *anchors; /* name to json_t, of the current document */
	size_t nodes;        /* made so far, copies for aliases included */
	struct error *err;
};

static void unref(void *v)
{
	json_decref(v);
}

static int fail_at(struct reader *r, const yaml_mark_t *m, int code, const char *text)
{
	return error_set(r->err, code, "line %zu, column %zu: %s", m->line + 1, m->column + 1, text);
}

static int fail(struct reader *r, int code, const char *text)
{
	return fail_at(r, &r->event.start_mark, code, text);
}

static int no_memory(struct reader *r)
{
	return error_set(r->err, -ENOMEM, "read YAML: out of memory");
}

static int next(struct reader *r)
{
	if (r->have)
		yaml_event_delete(&r->event);
	r->have = false;
	if (yaml_parser_parse(&r->parser, &r->event)) {
		r->have = true;
		return 0;
	}
	if (r->parser.error == YAML_MEMORY_ERROR)
		return no_memory(r);
	yaml_mark_t m = r->parser.problem_mark;
	if (r->parser.error == YAML_READER_ERROR) /* bad bytes: only their offset is known */
		return error_set(r->err, -EINVAL, "line %zu, column %zu: %s at byte %zu", r->parser.mark.line + 1,
				 r->parser.mark.column + 1, r->parser.problem, r->parser.problem_offset);
	return fail_at(r, &m, -EINVAL, r->parser.problem != NULL ? r->parser.problem : "not YAML");
}

static int count(struct reader *r, size_t n)
{
	r->nodes += n;
	return r->nodes > YAML_MAX_NODES ? fail(r, -E2BIG, "too many values (aliases count for all they stand for)")
					 : 0;
}

static int read_node(struct reader *r, int depth, json_t **ret);

/* The anchors name what is complete, so an alias cannot contain itself. */
static int remember(struct reader *r, const char *anchor, json_t *v)
{
	if (anchor == NULL)
		return 0;
	if (map_set(r->anchors, anchor, json_incref(v)) < 0) {
		json_decref(v);
		return no_memory(r);
	}
	return 0;
}

static int read_alias(struct reader *r, int depth, json_t **ret)
{
	const json_t *v = map_get(r->anchors, (const char *)r->event.data.alias.anchor);
	if (v == NULL)
		return fail(r, -EINVAL, "alias of an unknown anchor");
	int rc = count(r, json_count_nodes(v));
	if (rc < 0)
		return rc;
	if ((size_t)depth + json_depth(v) > YAML_MAX_DEPTH)
		return fail(r, -E2BIG, "nested too deep");
	JSON_AUTO copy = json_deep_copy(v);
	if (copy == NULL)
		return no_memory(r);
	rc = next(r);
	if (rc == 0)
		*ret = TAKE(copy);
	return rc;
}

static bool tag_is(const char *tag, const char *name)
{
	static const char prefix[] = YAML_DEFAULT_SCALAR_TAG; /* "tag:yaml.org,2002:str" */
	const size_t n = sizeof prefix - sizeof "str";
	return strncmp(tag, prefix, n) == 0 && strcmp(tag + n, name) == 0;
}

/* A tag only says what a scalar must turn out to be; "!" and !!str make it a string. */
static bool tag_agrees(const char *tag, const json_t *v)
{
	return (tag_is(tag, "int") && json_is_integer(v)) || (tag_is(tag, "float") && json_is_number(v)) ||
	       (tag_is(tag, "bool") && json_is_boolean(v)) || (tag_is(tag, "null") && json_is_null(v));
}

static int scalar_value(struct reader *r, json_t **ret)
{
	const char *s = (const char *)r->event.data.scalar.value, *tag = (const char *)r->event.data.scalar.tag;
	const size_t n = r->event.data.scalar.length;
	const bool text = tag != NULL ? tag_is(tag, "str") || strcmp(tag, "!") == 0
				      : r->event.data.scalar.style != YAML_PLAIN_SCALAR_STYLE;
	if (text) {
		*ret = json_stringn(s, n);
		return *ret == NULL ? no_memory(r) : 0; /* libyaml has seen to it that it is UTF-8 */
	}
	JSON_AUTO v = NULL;
	const int rc = yaml_scalar_resolve(s, n, &v);
	if (rc == -ENOMEM)
		return no_memory(r);
	if (rc < 0)
		return fail(r, -EINVAL, rc == -ERANGE ? "this number cannot be written in JSON" : "not valid UTF-8");
	if (tag != NULL && !tag_agrees(tag, v))
		return fail(r, -EINVAL, "the tag is unknown here or does not fit the value");
	*ret = TAKE(v);
	return 0;
}

static int read_scalar(struct reader *r, json_t **ret)
{
	JSON_AUTO v = NULL;
	int rc = scalar_value(r, &v);
	if (rc == 0)
		rc = remember(r, (const char *)r->event.data.scalar.anchor, v);
	if (rc == 0)
		rc = next(r);
	if (rc == 0)
		*ret = TAKE(v);
	return rc;
}

/* A new anchor name that outlives its event, or NULL. *@failed tells no memory from no anchor. */
static char *copy_anchor(const yaml_char_t *anchor, bool *failed)
{
	char *copy = anchor != NULL ? strdup((const char *)anchor) : NULL;
	*failed = anchor != NULL && copy == NULL;
	return copy;
}

static int read_sequence(struct reader *r, int depth, json_t **ret)
{
	bool failed;
	CLEANUP(free_p) char *anchor = copy_anchor(r->event.data.sequence_start.anchor, &failed);
	JSON_AUTO list = json_array();
	if (failed || list == NULL)
		return no_memory(r);
	int rc = next(r);
	while (rc == 0 && r->event.type != YAML_SEQUENCE_END_EVENT) {
		json_t *item = NULL;
		rc = read_node(r, depth + 1, &item);
		if (rc == 0 && json_array_append_new(list, item) < 0)
			rc = no_memory(r);
	}
	if (rc == 0)
		rc = remember(r, anchor, list);
	if (rc == 0)
		rc = next(r);
	if (rc == 0)
		*ret = TAKE(list);
	return rc;
}

/* The name that a key becomes: JSON has only strings there, so 1, true and 1.5 turn into their text, as kubectl does it. */
static int key_text(struct reader *r, const json_t *key, const yaml_mark_t *at, char **ret, size_t *ret_n)
{
	char *text;
	size_t n = 0;
	if (json_is_string(key)) {
		n = json_string_length(key);
		text = strndup(json_string_value(key), n);
	} else if (json_is_object(key) || json_is_array(key)) {
		return fail_at(r, at, -EINVAL, "a key must be a scalar");
	} else {
		text = json_to_text(key, &n);
	}
	if (text == NULL)
		return no_memory(r);
	if (strlen(text) != n) {
		free(text);
		return fail_at(r, at, -EINVAL, "a key must not contain a NUL");
	}
	*ret = text;
	*ret_n = n;
	return 0;
}

/* What "<<" may stand before: a mapping or a list of mappings. */
static bool can_merge(const json_t *v)
{
	if (!json_is_array(v))
		return json_is_object(v);
	for (size_t i = 0; i < json_array_size(v); i++)
		if (!json_is_object(json_array_get(v, i)))
			return false;
	return true;
}

/* "<<": members of @from that @into does not have. */
static int merge_into(struct reader *r, json_t *into, json_t *from)
{
	if (json_is_object(from))
		return json_object_update_missing(into, from) < 0 ? no_memory(r) : 0;
	for (size_t i = 0; i < json_array_size(from); i++)
		if (json_object_update_missing(into, json_array_get(from, i)) < 0)
			return no_memory(r);
	return 0;
}

struct mapping {
	json_t *object; /* owned */
	json_t *merges; /* owned list of the values of "<<": they come last, since what is written out wins */
};

static int read_member(struct reader *r, struct mapping *m, int depth)
{
	const yaml_mark_t at = r->event.start_mark;
	const bool plain = r->event.type == YAML_SCALAR_EVENT &&
			   r->event.data.scalar.style == YAML_PLAIN_SCALAR_STYLE && r->event.data.scalar.tag == NULL;
	JSON_AUTO key = NULL;
	JSON_AUTO value = NULL;
	int rc = read_node(r, depth + 1, &key);
	if (rc == 0)
		rc = read_node(r, depth + 1, &value);
	if (rc < 0)
		return rc;
	if (plain && json_is_string(key) && strcmp(json_string_value(key), "<<") == 0) {
		if (!can_merge(value))
			return fail_at(r, &at, -EINVAL, "<< needs a mapping or a list of mappings");
		return json_array_append(m->merges, value) < 0 ? no_memory(r) : 0;
	}
	CLEANUP(free_p) char *name = NULL;
	size_t n = 0;
	rc = key_text(r, key, &at, &name, &n);
	if (rc < 0)
		return rc;
	if (json_object_getn(m->object, name, n) != NULL) {
		char text[120];
		(void)snprintf(text, sizeof text, "key '%.80s' is there already", name);
		return fail_at(r, &at, -EINVAL, text);
	}
	return json_object_setn_new(m->object, name, n, TAKE(value)) < 0 ? no_memory(r) : 0;
}

static int read_mapping(struct reader *r, int depth, json_t **ret)
{
	bool failed;
	CLEANUP(free_p) char *anchor = copy_anchor(r->event.data.mapping_start.anchor, &failed);
	JSON_AUTO object = json_object();
	JSON_AUTO merges = json_array();
	if (failed || object == NULL || merges == NULL)
		return no_memory(r);
	struct mapping m = {object, merges};
	int rc = next(r);
	while (rc == 0 && r->event.type != YAML_MAPPING_END_EVENT)
		rc = read_member(r, &m, depth);
	for (size_t i = 0; rc == 0 && i < json_array_size(merges); i++)
		rc = merge_into(r, object, json_array_get(merges, i));
	if (rc == 0)
		rc = remember(r, anchor, object);
	if (rc == 0)
		rc = next(r);
	if (rc == 0)
		*ret = TAKE(object);
	return rc;
}

/* The value that starts at the event at hand; afterwards the event behind it is at hand. */
static int read_node(struct reader *r, int depth, json_t **ret)
{
	if (depth > YAML_MAX_DEPTH)
		return fail(r, -E2BIG, "nested too deep");
	const int rc = count(r, 1);
	if (rc < 0)
		return rc;
	switch (r->event.type) {
	case YAML_ALIAS_EVENT:
		return read_alias(r, depth, ret);
	case YAML_SCALAR_EVENT:
		return read_scalar(r, ret);
	case YAML_SEQUENCE_START_EVENT:
		return read_sequence(r, depth, ret);
	case YAML_MAPPING_START_EVENT:
		return read_mapping(r, depth, ret);
	default:
		return fail(r, -EINVAL, "a value is missing");
	}
}

static int read_document(struct reader *r, json_t *documents)
{
	CLEANUP(map_free_p) struct map *anchors = map_new(unref);
	if (anchors == NULL)
		return no_memory(r);
	r->anchors = anchors;
	JSON_AUTO v = NULL;
	int rc = next(r);
	if (rc == 0)
		rc = read_node(r, 0, &v);
	if (rc == 0 && !json_is_null(v) && json_array_append(documents, v) < 0)
		rc = no_memory(r);
	return rc < 0 ? rc : next(r); /* past the document's end */
}

static int read_stream(struct reader *r, json_t *documents)
{
	int rc = next(r); /* the stream's start */
	if (rc == 0)
		rc = next(r);
	while (rc == 0 && r->event.type == YAML_DOCUMENT_START_EVENT)
		rc = read_document(r, documents);
	return rc;
}

int yaml_parse(const char *text, size_t n, json_t **ret, struct error *err)
{
	if (n > YAML_MAX_BYTES)
		return error_set(err, -E2BIG, "YAML of %zu bytes is larger than the limit of %u", n, YAML_MAX_BYTES);
	JSON_AUTO documents = json_array();
	struct reader r = {.err = err};
	if (documents == NULL || !yaml_parser_initialize(&r.parser))
		return no_memory(&r);
	yaml_parser_set_input_string(&r.parser, (const unsigned char *)text, n);
	const int rc = read_stream(&r, documents);
	if (r.have)
		yaml_event_delete(&r.event);
	yaml_parser_delete(&r.parser);
	if (rc < 0)
		return rc;
	*ret = TAKE(documents);
	return 0;
}
