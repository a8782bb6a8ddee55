/* Evaluation of JSONPath templates, and printing as kubectl prints. */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/error.h"
#include "base/strbuf.h"
#include "json/json.h"
#include "json/jsonpath.h"
#include "json/jsonpath_node.h"

#define VALUES_MAX 100000
#define WORK_MAX   10000000 /* values looked at by one evaluation */

/** Borrowed values: of the tree, or the template's literals. */
struct values {
	json_t **v;
	size_t n, cap;
};

struct eval {
	size_t work;
	struct error *err;
	/* Where results go: a list, or text. */
	json_t *found;
	struct strbuf *out;
};

static void values_clear(struct values *vs)
{
	free(vs->v);
	*vs = (struct values){0};
}

static int values_add(struct eval *e, struct values *vs, json_t *v)
{
	if (vs->n == VALUES_MAX || ++e->work > WORK_MAX)
		return error_set(e->err, -E2BIG, "a JSONPath finds too many values");
	if (vs->n == vs->cap) {
		const size_t cap = vs->cap == 0 ? 16 : 2 * vs->cap;
		json_t **p = realloc(vs->v, cap * sizeof *p);
		if (p == NULL)
			return error_set(e->err, -ENOMEM, "evaluate a JSONPath: out of memory");
		vs->v = p;
		vs->cap = cap;
	}
	vs->v[vs->n++] = v;
	return 0;
}

static int eval_steps(struct eval *e, const struct jsonpath_steps *steps, const struct values *in, struct values *out);

static int eval_member(struct eval *e, const struct jsonpath_node *s, const struct values *in, struct values *out)
{
	int rc = 0;
	for (size_t i = 0; i < in->n && rc == 0; i++) {
		json_t *v = json_object_getn(in->v[i], s->name, s->name_n);
		if (v != NULL)
			rc = values_add(e, out, v);
	}
	return rc;
}

static int eval_literal(struct eval *e, const struct jsonpath_node *s, const struct values *in, struct values *out)
{
	int rc = s->is_text ? values_add(e, out, s->literal) : 0;
	for (size_t i = 0; i < in->n && rc == 0 && !s->is_text; i++)
		rc = values_add(e, out, s->literal);
	return rc;
}

static const char *type_name(const json_t *v)
{
	static const char *const names[] = {"an object", "a list", "text",  "an integer",
					    "a number",  "true",   "false", "null"};
	return names[json_typeof(v)];
}

/** The bounds of a slice of a list of @len. */
static int slice_bounds(struct eval *e, const struct jsonpath_node *s, int64_t len, int64_t *ret_from, int64_t *ret_to)
{
	int64_t from = s->bound[0].value, to = s->bound[1].value;
	if (from < 0)
		from += len;
	if (!s->bound[1].known)
		to = len;
	else if (to < 0 || (to == 0 && s->bound[1].derived))
		to += len;
	if (from != to && (from >= len || from < 0))
		return error_set(e->err, -EINVAL, "array index out of bounds: index %lld, length %lld", (long long)from,
				 (long long)len);
	if (from != to && (to > len || to < 0))
		return error_set(e->err, -EINVAL, "array index out of bounds: index %lld, length %lld",
				 (long long)to - 1, (long long)len);
	if (from > to)
		return error_set(e->err, -EINVAL, "starting index %lld is greater than ending index %lld",
				 (long long)from, (long long)to);
	*ret_from = from;
	*ret_to = to;
	return 0;
}

static int eval_slice(struct eval *e, const struct jsonpath_node *s, const struct values *in, struct values *out)
{
	const int64_t step = s->bound[2].known ? s->bound[2].value : 1;
	for (size_t i = 0; i < in->n; i++) {
		if (json_is_null(in->v[i]))
			continue;
		if (!json_is_array(in->v[i]))
			return error_set(e->err, -EINVAL, "%s is not array or slice", type_name(in->v[i]));
		int64_t from = 0, to = 0;
		int rc = slice_bounds(e, s, (int64_t)json_array_size(in->v[i]), &from, &to);
		for (int64_t k = from; k < to && rc == 0; k += step)
			rc = values_add(e, out, json_array_get(in->v[i], (size_t)k));
		if (rc < 0)
			return rc;
	}
	return 0;
}

static int eval_union(struct eval *e, const struct jsonpath_node *s, const struct values *in, struct values *out)
{
	int rc = 0;
	for (size_t i = 0; i < s->n_parts && rc == 0; i++) {
		CLEANUP(values_clear) struct values part = {0};
		rc = eval_steps(e, &s->parts[i], in, &part);
		for (size_t k = 0; k < part.n && rc == 0; k++)
			rc = values_add(e, out, part.v[k]);
	}
	return rc;
}

static int add_children(struct eval *e, json_t *v, struct values *out)
{
	int rc = 0;
	const char *key;
	json_t *child;
	json_object_foreach (v, key, child)
		if (rc == 0)
			rc = values_add(e, out, child);
	for (size_t i = 0; i < json_array_size(v) && rc == 0; i++)
		rc = values_add(e, out, json_array_get(v, i));
	return rc;
}

static int eval_wildcard(struct eval *e, const struct values *in, struct values *out)
{
	int rc = 0;
	for (size_t i = 0; i < in->n && rc == 0; i++)
		rc = add_children(e, in->v[i], out);
	return rc;
}

/** @v and what is below it: all that is not empty and can hold something (as kubectl has it: text counts). */
static int add_below(struct eval *e, json_t *v, unsigned depth, struct values *out)
{
	if (json_object_size(v) == 0 && json_array_size(v) == 0 && json_string_length(v) == 0)
		return 0;
	if (depth > JSON_MAX_DEPTH)
		return error_set(e->err, -E2BIG, "a JSONPath goes too deep");
	int rc = values_add(e, out, v);
	const char *key;
	json_t *child;
	json_object_foreach (v, key, child)
		if (rc == 0)
			rc = add_below(e, child, depth + 1, out);
	for (size_t i = 0; i < json_array_size(v) && rc == 0; i++)
		rc = add_below(e, json_array_get(v, i), depth + 1, out);
	return rc;
}

static int eval_recursive(struct eval *e, const struct values *in, struct values *out)
{
	int rc = 0;
	for (size_t i = 0; i < in->n && rc == 0; i++)
		rc = add_below(e, in->v[i], 0, out);
	return rc;
}

/** -1, 0, 1; unlike types and things without an order are -EINVAL. Equality needs only like types. */
static int compare(struct eval *e, const json_t *a, const json_t *b, bool ordered, int *ret)
{
	const int ta = json_is_boolean(a) ? JSON_TRUE : (int)json_typeof(a);
	const int tb = json_is_boolean(b) ? JSON_TRUE : (int)json_typeof(b);
	for (size_t i = 0; i < 2; i++) {
		const int t = i == 0 ? ta : tb;
		if (t == JSON_OBJECT || t == JSON_ARRAY || t == JSON_NULL || (t == JSON_TRUE && ordered))
			return error_set(e->err, -EINVAL, "invalid type for comparison");
	}
	if (ta != tb)
		return error_set(e->err, -EINVAL, "incompatible types for comparison");
	if (ta == JSON_STRING) {
		const size_t na = json_string_length(a), nb = json_string_length(b);
		const int c = memcmp(json_string_value(a), json_string_value(b), na < nb ? na : nb);
		*ret = c != 0 ? (c > 0) - (c < 0) : (na > nb) - (na < nb);
	} else if (ta == JSON_INTEGER) {
		*ret = (json_integer_value(a) > json_integer_value(b)) -
		       (json_integer_value(a) < json_integer_value(b));
	} else if (ta == JSON_REAL) {
		*ret = (json_real_value(a) > json_real_value(b)) - (json_real_value(a) < json_real_value(b));
	} else {
		*ret = json_is_true(a) - json_is_true(b);
	}
	return 0;
}

static bool op_holds(enum jsonpath_op op, int c)
{
	switch (op) {
	case JP_EQ:
		return c == 0;
	case JP_NE:
		return c != 0;
	case JP_LT:
		return c < 0;
	case JP_LE:
		return c <= 0;
	case JP_GT:
		return c > 0;
	case JP_GE:
		return c >= 0;
	case JP_EXISTS:
		break;
	}
	return true;
}

/** Whether @item passes the filter: 1, 0 or an error. */
static int filter_item(struct eval *e, const struct jsonpath_node *s, json_t *item)
{
	const struct values one = {.v = &item, .n = 1};
	CLEANUP(values_clear) struct values left = {0};
	CLEANUP(values_clear) struct values right = {0};
	int rc = eval_steps(e, &s->left, &one, &left);
	if (s->op == JP_EXISTS)
		return rc == -EINVAL ? 0 : rc < 0 ? rc : left.n > 0;
	if (rc == 0 && left.n > 0)
		rc = eval_steps(e, &s->right, &one, &right);
	if (rc < 0 || left.n == 0 || (left.n == 1 && right.n == 0))
		return rc;
	if (left.n > 1 || right.n > 1)
		return error_set(e->err, -EINVAL, "can only compare one element at a time");
	int c = 0;
	rc = compare(e, left.v[0], right.v[0], s->op != JP_EQ && s->op != JP_NE, &c);
	return rc < 0 ? rc : op_holds(s->op, c);
}

static int eval_filter(struct eval *e, const struct jsonpath_node *s, const struct values *in, struct values *out)
{
	for (size_t i = 0; i < in->n; i++) {
		if (!json_is_array(in->v[i]))
			return error_set(e->err, -EINVAL, "%s is not array or slice and cannot be filtered",
					 type_name(in->v[i]));
		for (size_t k = 0; k < json_array_size(in->v[i]); k++) {
			json_t *item = json_array_get(in->v[i], k);
			int rc = filter_item(e, s, item);
			if (rc > 0)
				rc = values_add(e, out, item);
			if (rc < 0)
				return rc;
		}
	}
	return 0;
}

static int eval_node(struct eval *e, const struct jsonpath_node *s, const struct values *in, struct values *out)
{
	switch (s->kind) {
	case JP_MEMBER:
		return eval_member(e, s, in, out);
	case JP_LITERAL:
		return eval_literal(e, s, in, out);
	case JP_SLICE:
		return eval_slice(e, s, in, out);
	case JP_UNION:
		return eval_union(e, s, in, out);
	case JP_FILTER:
		return eval_filter(e, s, in, out);
	case JP_WILDCARD:
		return eval_wildcard(e, in, out);
	case JP_RECURSIVE:
		return eval_recursive(e, in, out);
	}
	return 0;
}

/** @out must be empty; it is the caller's to clear. */
static int eval_steps(struct eval *e, const struct jsonpath_steps *steps, const struct values *in, struct values *out)
{
	CLEANUP(values_clear) struct values cur = {0};
	for (size_t i = 0; i < in->n; i++) {
		const int rc = values_add(e, &cur, in->v[i]);
		if (rc < 0)
			return rc;
	}
	for (const struct jsonpath_node *s = steps->first; s != NULL; s = s->next) {
		struct values next = {0};
		const int rc = ++e->work > WORK_MAX ? error_set(e->err, -E2BIG, "a JSONPath finds too many values")
						    : eval_node(e, s, &cur, &next);
		values_clear(&cur);
		cur = next;
		if (rc < 0)
			return rc;
	}
	*out = cur;
	cur = (struct values){0};
	return 0;
}

static int emit(struct eval *e, const struct values *vs)
{
	if (e->found != NULL && json_array_size(e->found) + vs->n > VALUES_MAX)
		return error_set(e->err, -E2BIG, "a JSONPath finds too many values");
	for (size_t i = 0; i < vs->n; i++) {
		if (e->found != NULL && json_array_append(e->found, vs->v[i]) < 0)
			return error_set(e->err, -ENOMEM, "evaluate a JSONPath: out of memory");
		if (e->out == NULL)
			continue;
		if (i > 0)
			strbuf_addc(e->out, ' ');
		jsonpath_print_value(vs->v[i], e->out);
	}
	return 0;
}

/** The parts [@from, @to) with @root as the current object. */
static int eval_parts(struct eval *e, const struct jsonpath *p, size_t from, size_t to, json_t *root)
{
	const struct values in = {.v = &root, .n = 1};
	for (size_t i = from; i < to; i++) {
		const struct jsonpath_part *part = &p->parts[i];
		if (part->kind == JP_TEXT) {
			if (e->out != NULL)
				strbuf_add(e->out, part->text, part->text_n);
			continue;
		}
		if (e->out != NULL && e->out->failed)
			return error_set(e->err, e->out->too_big ? -EFBIG : -ENOMEM, "what a JSONPath prints is %s",
					 e->out->too_big ? "too long" : "cut: out of memory");
		CLEANUP(values_clear) struct values vs = {0};
		int rc = eval_steps(e, &part->steps, &in, &vs);
		if (rc == 0 && part->kind == JP_ACTION)
			rc = emit(e, &vs);
		for (size_t k = 0; part->kind == JP_RANGE && k < vs.n && rc == 0; k++)
			rc = eval_parts(e, p, i + 1, part->end, vs.v[k]);
		if (rc < 0)
			return rc;
		if (part->kind == JP_RANGE)
			i = part->end;
	}
	return 0;
}

int jsonpath_find(const struct jsonpath *p, json_t *root, json_t **ret, struct error *err)
{
	JSON_AUTO found = json_array();
	if (found == NULL)
		return error_set(err, -ENOMEM, "evaluate a JSONPath: out of memory");
	struct eval e = {.err = err, .found = found};
	const int rc = eval_parts(&e, p, 0, p->n_parts, root);
	if (rc == 0)
		*ret = TAKE(found);
	return rc;
}

int jsonpath_print(const struct jsonpath *p, json_t *root, struct strbuf *out, struct error *err)
{
	struct eval e = {.err = err, .out = out};
	const int rc = eval_parts(&e, p, 0, p->n_parts, root);
	if (rc == 0 && out->failed)
		return error_set(err, out->too_big ? -EFBIG : -ENOMEM, "what a JSONPath prints is %s",
				 out->too_big ? "too long" : "cut: out of memory");
	return rc;
}

/* encoding/json writes what could end a script or a line of JavaScript as escapes, and \b and \f in their short form. */
static void print_quoted(const char *s, size_t n, struct strbuf *out)
{
	CLEANUP(strbuf_clear) struct strbuf q = STRBUF_INIT(out->max);
	strbuf_add_json(&q, s, n);
	if (q.failed) {
		out->failed = true;
		out->too_big = q.too_big;
		return;
	}
	for (size_t i = 0; i < q.n; i++) {
		const unsigned char c = (unsigned char)q.p[i];
		if (c == '\\' && i + 1 < q.n) {
			const size_t n_escape = q.p[i + 1] == 'u' && q.n - i >= 6 ? 6 : 2;
			if (n_escape == 6 && (memcmp(&q.p[i], "\\u0008", 6) == 0 || memcmp(&q.p[i], "\\u000c", 6) == 0))
				strbuf_adds(out, q.p[i + 5] == '8' ? "\\b" : "\\f");
			else
				strbuf_add(out, &q.p[i], n_escape);
			i += n_escape - 1;
		} else if (c == '<' || c == '>' || c == '&') {
			strbuf_addf(out, "\\u%04x", c);
		} else if (c == 0xe2 && q.n - i > 2 && (unsigned char)q.p[i + 1] == 0x80 &&
			   ((unsigned char)q.p[i + 2] & 0xfe) == 0xa8) {
			strbuf_addf(out, "\\u%04x", 0x2028 + ((unsigned char)q.p[i + 2] & 1));
			i += 2;
		} else {
			strbuf_addc(out, (char)c);
		}
	}
}

static int by_name(const void *a, const void *b)
{
	return strcmp(*(const char *const *)a, *(const char *const *)b);
}

static void print_json(const json_t *v, unsigned depth, struct strbuf *out);

static void print_object(const json_t *v, unsigned depth, struct strbuf *out)
{
	const size_t n = json_object_size(v);
	CLEANUP(free_p) const char **keys = malloc((n + 1) * sizeof *keys);
	if (keys == NULL) {
		out->failed = true;
		return;
	}
	size_t i = 0;
	const char *key;
	json_t *child;
	json_object_foreach ((json_t *)v, key, child)
		keys[i++] = key;
	qsort(keys, n, sizeof *keys, by_name);
	strbuf_addc(out, '{');
	for (i = 0; i < n && !out->failed; i++) {
		if (i > 0)
			strbuf_addc(out, ',');
		print_quoted(keys[i], strlen(keys[i]), out);
		strbuf_addc(out, ':');
		print_json(json_object_get(v, keys[i]), depth + 1, out);
	}
	strbuf_addc(out, '}');
}

static void print_json(const json_t *v, unsigned depth, struct strbuf *out)
{
	if (depth > JSON_MAX_DEPTH) {
		out->failed = out->too_big = true;
		return;
	}
	if (json_is_object(v)) {
		print_object(v, depth, out);
	} else if (json_is_array(v)) {
		strbuf_addc(out, '[');
		for (size_t i = 0; i < json_array_size(v) && !out->failed; i++) {
			if (i > 0)
				strbuf_addc(out, ',');
			print_json(json_array_get(v, i), depth + 1, out);
		}
		strbuf_addc(out, ']');
	} else if (json_is_string(v)) {
		print_quoted(json_string_value(v), json_string_length(v), out);
	} else {
		CLEANUP(free_p) char *text = json_to_text(v, NULL);
		if (text != NULL)
			strbuf_adds(out, text);
		else
			out->failed = true;
	}
}

/** As Go's %v: the shortest digits that read back, in e-notation for exponents below -4 and from 6 on. */
static void print_real(double d, struct strbuf *out)
{
	char text[40];
	int precision = 1;
	do
		(void)snprintf(text, sizeof text, "%.*e", precision - 1, d);
	while (precision++ < 17 && strtod(text, NULL) != d);
	const char *e = strchr(text, 'e');
	const long exponent = e != NULL ? strtol(e + 1, NULL, 10) : 0;
	if (exponent < -4 || exponent >= 6)
		strbuf_adds(out, text);
	else
		strbuf_addf(out, "%.*f", precision - 2 > exponent ? (int)(precision - 2 - exponent) : 0, d);
}

void jsonpath_print_value(const json_t *v, struct strbuf *out)
{
	if (json_is_string(v))
		strbuf_add(out, json_string_value(v), json_string_length(v));
	else if (json_is_real(v))
		print_real(json_real_value(v), out);
	else
		print_json(v, 0, out);
}
