/* The reference page of a kind, made from its table. */
#include <errno.h>
#include <string.h>

#include "api/kind.h"
#include "base/strbuf.h"

#define DEPTH_MAX 8

static const char *scalar_text(const struct schema *s)
{
	switch (s->type) {
	case SCHEMA_ANY:
		return "any";
	case SCHEMA_STRING:
		return "string";
	case SCHEMA_BOOL:
		return "boolean";
	case SCHEMA_INT32:
	case SCHEMA_INT64:
		return "integer";
	case SCHEMA_DOUBLE:
		return "number";
	case SCHEMA_INT_OR_STRING:
		return "integer or string";
	case SCHEMA_QUANTITY:
		return "quantity";
	case SCHEMA_TIME:
	case SCHEMA_MICROTIME:
		return "time";
	case SCHEMA_DURATION:
		return "duration";
	case SCHEMA_BYTES:
		return "base64";
	case SCHEMA_OBJECT:
		return "object";
	case SCHEMA_LIST:
	case SCHEMA_MAP:
		break;
	}
	return "";
}

/* Kubernetes' fragments are named, not spelled out; the members of ours follow. */
static void add_type(struct strbuf *out, const struct schema *s)
{
	if (s->type == SCHEMA_LIST || s->type == SCHEMA_MAP) {
		strbuf_adds(out, s->type == SCHEMA_LIST ? "list of " : "map to ");
		add_type(out, s->items);
	} else if (s->type == SCHEMA_OBJECT && schema_is_native(s)) {
		strbuf_addf(out, "Kubernetes' %s", strrchr(s->name, '.') + 1);
	} else {
		strbuf_adds(out, scalar_text(s));
	}
}

/* Text inside a cell of a table. */
static void add_cell(struct strbuf *out, const char *text)
{
	for (; text != NULL && *text != '\0'; text++) {
		if (*text == '|')
			strbuf_addc(out, '\\');
		strbuf_addc(out, *text);
	}
}

static void add_rules(struct strbuf *out, const struct field *f)
{
	const size_t start = out->n;
	if (f->required)
		strbuf_adds(out, "required");
	if (f->enums != NULL) {
		strbuf_adds(out, out->n == start ? "one of" : ", one of");
		for (const char *const *e = f->enums; *e != NULL; e++)
			strbuf_addf(out, "%s `%s`", e == f->enums ? "" : ",", (*e)[0] == '\0' ? "\"\"" : *e);
	}
	if (f->has_min)
		strbuf_addf(out, "%sat least %.15g", out->n == start ? "" : ", ", f->min);
	if (f->has_max)
		strbuf_addf(out, "%sat most %.15g", out->n == start ? "" : ", ", f->max);
	if (f->min_length > 0)
		strbuf_addf(out, "%sat least %lld characters", out->n == start ? "" : ", ", (long long)f->min_length);
	if (f->min_items > 0)
		strbuf_addf(out, "%sat least %lld item%s", out->n == start ? "" : ", ", (long long)f->min_items,
			    f->min_items == 1 ? "" : "s");
	if (f->pattern != NULL) {
		strbuf_addf(out, "%smatches `", out->n == start ? "" : ", ");
		add_cell(out, f->pattern);
		strbuf_adds(out, "`");
	}
	if (f->dflt != NULL) {
		strbuf_addf(out, "%sdefault `", out->n == start ? "" : ", ");
		add_cell(out, f->dflt);
		strbuf_adds(out, "`");
	}
}

static const struct schema *element(const struct schema *s)
{
	while (s->type == SCHEMA_LIST || s->type == SCHEMA_MAP)
		s = s->items;
	return s;
}

/* What a section's rows need beside their fields. */
struct section {
	struct strbuf *out;
	bool changes; /* says of each field whether it may change */
};

static void add_fields(const struct section *sec, const struct schema *s, const char *prefix, bool fixed,
		       unsigned depth)
{
	struct strbuf *out = sec->out;
	for (const struct field *f = s->fields; f->name != NULL; f++) {
		const bool is_fixed = fixed || f->immutable;
		const struct schema *below = element(f->schema);
		const bool spelled = below->type == SCHEMA_OBJECT && below->fields != NULL && !schema_is_native(below);
		strbuf_addf(out, "| `%s.%s` | ", prefix, f->name);
		add_type(out, f->schema);
		strbuf_adds(out, " | ");
		add_rules(out, f);
		/* An object may have members of both sorts: they say it. */
		if (sec->changes)
			strbuf_addf(out, " | %s",
				    is_fixed                                      ? "no"
				    : spelled && f->schema->type == SCHEMA_OBJECT ? ""
										  : "yes");
		strbuf_adds(out, " | ");
		add_cell(out, f->doc);
		strbuf_adds(out, " |\n");
		if (!spelled || depth == DEPTH_MAX)
			continue;
		struct strbuf path = STRBUF_INIT(1024);
		strbuf_addf(&path, "%s.%s%s", prefix, f->name, f->schema->type == SCHEMA_LIST ? "[]" : "");
		if (path.p != NULL)
			add_fields(sec, below, path.p, is_fixed, depth + 1);
		out->failed = out->failed || path.failed;
		strbuf_clear(&path);
	}
}

static void add_section(struct strbuf *out, const struct kind *k, const char *name, bool changes)
{
	const struct field *f = schema_field(k->schema, name);
	if (f == NULL)
		return;
	strbuf_addf(out, "\n## %s\n\n%s\n\n", name, f->doc == NULL ? "" : f->doc);
	if (changes)
		strbuf_adds(out, "What may not change keeps the value that it was created with.\n\n");
	strbuf_adds(out, changes ? "| field | type | rules | may change | meaning |\n|---|---|---|---|---|\n"
				 : "| field | type | rules | meaning |\n|---|---|---|---|\n");
	add_fields(&(struct section){.out = out, .changes = changes}, f->schema, name, false, 0);
}

static void add_names(struct strbuf *out, const struct kind *k)
{
	strbuf_addf(out, "- apiVersion `%s/%s`, kind `%s`, %s\n", k->resource.group, k->resource.version,
		    k->resource.kind, k->resource.namespaced ? "in a namespace" : "cluster-wide");
	strbuf_addf(out, "- for kubectl: `%s`, `%s`", k->resource.plural, k->singular);
	for (const char *const *n = k->short_names; n != NULL && *n != NULL; n++)
		if (strcmp(*n, k->singular) != 0)
			strbuf_addf(out, ", `%s`", *n);
	for (const char *const *c = k->categories; c != NULL && *c != NULL; c++)
		strbuf_addf(out, "%s`%s`", c == k->categories ? "; among others by " : ", ", *c);
	strbuf_adds(out, "\n");
	if (k->subresources & SUB_SCALE)
		strbuf_addf(out, "- `kubectl scale` sets `%s`\n", k->scale_spec_path + 1);
}

static void add_columns(struct strbuf *out, const struct kind *k)
{
	strbuf_adds(out, "\n## Columns of kubectl get\n\n| column | from | with | meaning |\n|---|---|---|---|\n");
	for (const struct column *c = k->columns; c->name != NULL; c++)
		strbuf_addf(out, "| %s | `%s` | %s | %s |\n", c->name, c->json_path + 1,
			    c->priority > 0 ? "`-o wide`" : "", c->doc);
}

int kind_to_markdown(const struct kind *k, struct strbuf *out)
{
	strbuf_addf(out, "# %s\n\n%s\n\n", k->resource.kind, k->doc);
	add_names(out, k);
	add_section(out, k, "spec", true);
	add_section(out, k, "status", false);
	if (k->columns != NULL)
		add_columns(out, k);
	return out->failed ? -ENOMEM : 0;
}
