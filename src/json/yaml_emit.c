/* YAML out: block style with sorted keys, strings quoted where a YAML 1.1 reader would take them for something else. */
#include <stdlib.h>
#include <string.h>
#include <yaml.h>

#include "base/cleanup.h"
#include "base/strbuf.h"
#include "json/json.h"
#include "json/yaml.h"
#include "json/yaml_scalar.h"

#define TEXT_MAX  ((size_t)1 << 30)
#define DEPTH_MAX (4 * JSON_MAX_DEPTH)

static int write_out(void *data, unsigned char *buffer, size_t size)
{
	struct strbuf *b = data;
	strbuf_add(b, buffer, size);
	return !b->failed;
}

static bool emit_scalar(yaml_emitter_t *e, const char *s, size_t n, yaml_scalar_style_t style)
{
	yaml_event_t ev;
	return n <= INT32_MAX &&
	       yaml_scalar_event_initialize(&ev, NULL, NULL, (const yaml_char_t *)s, (int)n, 1, 1, style) &&
	       yaml_emitter_emit(e, &ev);
}

/* CR, NEL, LS and PS are line breaks in YAML 1.1: any reader would turn them into \n. */
static bool has_odd_break(const char *s, size_t n)
{
	return memchr(s, '\r', n) != NULL || memmem(s, n, "\xc2\x85", 2) != NULL ||
	       memmem(s, n, "\xe2\x80\xa8", 3) != NULL || memmem(s, n, "\xe2\x80\xa9", 3) != NULL;
}

static bool emit_string(yaml_emitter_t *e, const char *s, size_t n)
{
	if (yaml_scalar_needs_quotes(s, n))
		return emit_scalar(e, s, n, YAML_DOUBLE_QUOTED_SCALAR_STYLE);
	const bool lines = memchr(s, '\n', n) != NULL;
	if (has_odd_break(s, n) || (lines && (s[0] == ' ' || s[0] == '\n' || s[0] == '\t')))
		return emit_scalar(e, s, n, YAML_DOUBLE_QUOTED_SCALAR_STYLE); /* a block cannot start with a blank */
	return emit_scalar(e, s, n, lines ? YAML_LITERAL_SCALAR_STYLE : YAML_ANY_SCALAR_STYLE);
}

static int compare_keys(const void *a, const void *b)
{
	return strcmp(*(const char *const *)a, *(const char *const *)b);
}

static bool emit_value(yaml_emitter_t *e, const json_t *j, int depth);

static bool emit_members(yaml_emitter_t *e, const json_t *j, int depth)
{
	const size_t n = json_object_size(j);
	CLEANUP(free_p) const char **keys = calloc(n + 1, sizeof *keys);
	if (keys == NULL)
		return false;
	size_t i = 0;
	const char *key;
	json_t *v;
	json_object_foreach ((json_t *)j, key, v)
		keys[i++] = key;
	qsort(keys, n, sizeof *keys, compare_keys);
	for (i = 0; i < n; i++)
		if (!emit_string(e, keys[i], strlen(keys[i])) || !emit_value(e, json_object_get(j, keys[i]), depth + 1))
			return false;
	return true;
}

static bool emit_object(yaml_emitter_t *e, const json_t *j, int depth)
{
	yaml_event_t ev;
	const yaml_mapping_style_t style =
		json_object_size(j) == 0 ? YAML_FLOW_MAPPING_STYLE : YAML_BLOCK_MAPPING_STYLE;
	return yaml_mapping_start_event_initialize(&ev, NULL, NULL, 1, style) && yaml_emitter_emit(e, &ev) &&
	       emit_members(e, j, depth) && yaml_mapping_end_event_initialize(&ev) && yaml_emitter_emit(e, &ev);
}

static bool emit_array(yaml_emitter_t *e, const json_t *j, int depth)
{
	yaml_event_t ev;
	const yaml_sequence_style_t style =
		json_array_size(j) == 0 ? YAML_FLOW_SEQUENCE_STYLE : YAML_BLOCK_SEQUENCE_STYLE;
	if (!yaml_sequence_start_event_initialize(&ev, NULL, NULL, 1, style) || !yaml_emitter_emit(e, &ev))
		return false;
	for (size_t i = 0; i < json_array_size(j); i++)
		if (!emit_value(e, json_array_get(j, i), depth + 1))
			return false;
	return yaml_sequence_end_event_initialize(&ev) && yaml_emitter_emit(e, &ev);
}

static bool emit_value(yaml_emitter_t *e, const json_t *j, int depth)
{
	if (j == NULL || depth > DEPTH_MAX)
		return false;
	if (json_is_object(j))
		return emit_object(e, j, depth);
	if (json_is_array(j))
		return emit_array(e, j, depth);
	if (json_is_string(j))
		return emit_string(e, json_string_value(j), json_string_length(j));
	CLEANUP(free_p) char *text = json_to_text(j, NULL);
	return text != NULL && emit_scalar(e, text, strlen(text), YAML_PLAIN_SCALAR_STYLE);
}

static bool emit_document(yaml_emitter_t *e, const json_t *j)
{
	yaml_event_t ev;
	return yaml_stream_start_event_initialize(&ev, YAML_UTF8_ENCODING) && yaml_emitter_emit(e, &ev) &&
	       yaml_document_start_event_initialize(&ev, NULL, NULL, NULL, 1) && yaml_emitter_emit(e, &ev) &&
	       emit_value(e, j, 0) && yaml_document_end_event_initialize(&ev, 1) && yaml_emitter_emit(e, &ev) &&
	       yaml_stream_end_event_initialize(&ev) && yaml_emitter_emit(e, &ev) && yaml_emitter_flush(e);
}

char *yaml_to_text(const json_t *j)
{
	yaml_emitter_t e;
	struct strbuf b = STRBUF_INIT(TEXT_MAX);
	if (!yaml_emitter_initialize(&e))
		return NULL;
	yaml_emitter_set_output(&e, write_out, &b);
	yaml_emitter_set_unicode(&e, 1);
	yaml_emitter_set_width(&e, -1);
	const bool ok = emit_document(&e, j);
	yaml_emitter_delete(&e);
	char *text = NULL;
	if (!ok || strbuf_take(&b, &text) < 0)
		strbuf_clear(&b);
	return text;
}
