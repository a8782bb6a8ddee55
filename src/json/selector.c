/* Label selectors: the grammar of kubectl's -l and of LabelSelector objects. */
#include "json/selector.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/arena.h"
#include "base/cleanup.h"
#include "base/error.h"
#include "base/str.h"
#include "json/json.h"
#include "json/label.h"

#define SELECTOR_MAX_BYTES (64u << 10)
#define ARENA_MAX_BYTES    (16u << 20) /* a requirement is bigger than the text it comes from */

enum label_op { OP_IN, OP_NOT_IN, OP_EXISTS, OP_NOT_EXISTS, OP_GT, OP_LT };

struct value {
	struct value *next;
	const char *s;
};

struct requirement {
	struct requirement *next;
	const char *key;
	enum label_op op;
	struct value *values;
	int64_t bound; /* of OP_GT, OP_LT */
};

struct label_selector {
	struct arena arena; /* owns all below */
	bool nothing;       /* matches no object at all */
	struct requirement *head, **tail;
};

static struct label_selector *selector_new(void)
{
	struct label_selector *s = calloc(1, sizeof *s);
	if (s == NULL)
		return NULL;
	s->arena = ARENA_INIT(ARENA_MAX_BYTES);
	s->tail = &s->head;
	return s;
}

void label_selector_free(struct label_selector *s)
{
	if (s == NULL)
		return;
	arena_free(&s->arena);
	free(s);
}

static void selector_free_p(struct label_selector **s)
{
	label_selector_free(*s);
}

static int no_memory(struct error *err)
{
	return error_set(err, -ENOMEM, "parse selector: out of memory");
}

static int add_value(struct label_selector *s, struct requirement *r, const char *text, size_t n)
{
	for (const struct value *v = r->values; v != NULL; v = v->next)
		if (strlen(v->s) == n && memcmp(v->s, text, n) == 0)
			return 0;
	struct value *v = arena_alloc(&s->arena, sizeof *v);
	char *copy = arena_strndup(&s->arena, text, n);
	if (v == NULL || copy == NULL)
		return -ENOMEM;
	v->s = copy;
	v->next = r->values;
	r->values = v;
	return 0;
}

/* What must hold of a whole requirement, in Kubernetes' words. */
static int check_requirement(struct requirement *r, struct error *err)
{
	const char *why = label_key_problem(r->key);
	if (why != NULL)
		return error_set(err, -EINVAL, "unable to parse requirement: <nil>: Invalid value: \"%s\": %s", r->key,
				 why);
	if ((r->op == OP_IN || r->op == OP_NOT_IN) && r->values == NULL)
		return error_set(err, -EINVAL,
				 "unable to parse requirement: values: Invalid value: []: for 'in', 'notin' "
				 "operators, values set can't be empty");
	if (r->op == OP_GT || r->op == OP_LT) {
		if (r->values == NULL || r->values->next != NULL || str_to_i64(r->values->s, &r->bound) < 0)
			return error_set(err, -EINVAL,
					 "unable to parse requirement: values[0]: Invalid value: \"%s\": for "
					 "'Gt', 'Lt' operators, the value must be an integer",
					 r->values == NULL ? "" : r->values->s);
		return 0;
	}
	for (const struct value *v = r->values; v != NULL; v = v->next) {
		why = label_value_problem(v->s);
		if (why != NULL)
			return error_set(err, -EINVAL,
					 "unable to parse requirement: values[0][%s]: Invalid value: \"%s\": %s",
					 r->key, v->s, why);
	}
	return 0;
}

/* ---- text ---- */

enum token { T_END, T_WORD, T_NOT, T_EQ, T_EQ2, T_NE, T_COMMA, T_OPEN, T_CLOSE, T_GT, T_LT };

struct lexer {
	const char *p;
	enum token tok; /* the one looked at */
	struct str lit;
};

static bool is_space(char c)
{
	return c == ' ' || c == '\t' || c == '\r' || c == '\n';
}

static bool is_symbol(char c)
{
	return c != '\0' && strchr("=!(),><", c) != NULL;
}

static void lex(struct lexer *l)
{
	while (is_space(*l->p))
		l->p++;
	const char *start = l->p;
	switch (*start) {
	case '\0':
		l->tok = T_END;
		break;
	case '=':
		l->tok = start[1] == '=' ? T_EQ2 : T_EQ;
		l->p += l->tok == T_EQ2 ? 2 : 1;
		break;
	case '!':
		l->tok = start[1] == '=' ? T_NE : T_NOT;
		l->p += l->tok == T_NE ? 2 : 1;
		break;
	case '(':
	case ')':
	case ',':
	case '>':
	case '<':
		l->tok = *start == '('   ? T_OPEN
			 : *start == ')' ? T_CLOSE
			 : *start == ',' ? T_COMMA
			 : *start == '>' ? T_GT
					 : T_LT;
		l->p++;
		break;
	default:
		while (*l->p != '\0' && !is_space(*l->p) && !is_symbol(*l->p))
			l->p++;
		l->tok = T_WORD;
	}
	l->lit = (struct str){start, (size_t)(l->p - start)};
}

__attribute__((format(printf, 3, 4))) static int expected(const struct lexer *l, struct error *err, const char *fmt,
							  ...)
{
	char what[128];
	va_list ap;
	va_start(ap, fmt);
	(void)vsnprintf(what, sizeof what, fmt, ap);
	va_end(ap);
	const int n = l->lit.n > 100 ? 100 : (int)l->lit.n;
	return error_set(err, -EINVAL, "found '%.*s', expected: %s", n, l->lit.p, what);
}

static int in_requirement(int rc, struct error *err)
{
	return rc == -EINVAL ? error_wrap(err, rc, "unable to parse requirement") : rc;
}

/* "(a,b)": empty places stand for the empty value, as "(a,)" has one. The lexer looks at what follows "(". */
static int parse_values(struct label_selector *s, struct requirement *r, struct lexer *l, struct error *err)
{
	bool after_comma = false;
	for (;; lex(l)) {
		if (l->tok == T_WORD) {
			if (add_value(s, r, l->lit.p, l->lit.n) < 0)
				return no_memory(err);
			lex(l);
			if (l->tok == T_CLOSE)
				break;
			if (l->tok != T_COMMA)
				return expected(l, err, "',' or ')'");
			after_comma = true;
		} else if (l->tok == T_COMMA || (l->tok == T_CLOSE && after_comma)) {
			if (add_value(s, r, "", 0) < 0)
				return no_memory(err);
			if (l->tok == T_CLOSE)
				break;
			after_comma = true;
		} else if (l->tok == T_CLOSE) {
			break; /* "()": refused with the requirement */
		} else {
			return expected(l, err, "',', ')' or identifier");
		}
	}
	lex(l);
	return 0;
}

static int parse_one_value(struct label_selector *s, struct requirement *r, struct lexer *l, struct error *err)
{
	if (l->tok == T_END || l->tok == T_COMMA)
		return add_value(s, r, "", 0) < 0 ? no_memory(err) : 0;
	if (l->tok != T_WORD)
		return expected(l, err, "identifier");
	if (add_value(s, r, l->lit.p, l->lit.n) < 0)
		return no_memory(err);
	lex(l);
	return 0;
}

/* What follows the key: an operator and its values. */
static int parse_operation(struct label_selector *s, struct requirement *r, struct lexer *l, struct error *err)
{
	const bool is_in = l->tok == T_WORD && str_eq(l->lit, "in"),
		   not_in = l->tok == T_WORD && str_eq(l->lit, "notin");
	if (is_in || not_in) {
		r->op = is_in ? OP_IN : OP_NOT_IN;
		lex(l);
		if (l->tok != T_OPEN) {
			const int n = l->lit.n > 100 ? 100 : (int)l->lit.n;
			return error_set(err, -EINVAL, "found '%.*s' expected: '('", n, l->lit.p);
		}
		lex(l);
		return parse_values(s, r, l, err);
	}
	switch (l->tok) {
	case T_EQ:
	case T_EQ2:
		r->op = OP_IN;
		break;
	case T_NE:
		r->op = OP_NOT_IN;
		break;
	case T_GT:
		r->op = OP_GT;
		break;
	case T_LT:
		r->op = OP_LT;
		break;
	default:
		return expected(l, err, "in, notin, =, ==, !=, gt, lt");
	}
	lex(l);
	return parse_one_value(s, r, l, err);
}

static int parse_requirement(struct label_selector *s, struct lexer *l, struct error *err)
{
	struct requirement *r = arena_alloc(&s->arena, sizeof *r);
	if (r == NULL)
		return no_memory(err);
	const bool negated = l->tok == T_NOT;
	if (negated)
		lex(l);
	if (l->tok != T_WORD)
		return in_requirement(expected(l, err, "identifier"), err);
	r->key = arena_strndup(&s->arena, l->lit.p, l->lit.n);
	if (r->key == NULL)
		return no_memory(err);
	lex(l);
	r->op = negated ? OP_NOT_EXISTS : OP_EXISTS;
	if (!negated && l->tok != T_END && l->tok != T_COMMA) {
		const int rc = parse_operation(s, r, l, err);
		if (rc < 0)
			return in_requirement(rc, err);
	}
	const int rc = check_requirement(r, err);
	if (rc < 0)
		return rc;
	*s->tail = r;
	s->tail = &r->next;
	return 0;
}

int label_selector_parse(const char *text, struct label_selector **ret, struct error *err)
{
	if (strnlen(text, SELECTOR_MAX_BYTES + 1) > SELECTOR_MAX_BYTES)
		return error_set(err, -EINVAL, "a selector may have at most %u bytes", SELECTOR_MAX_BYTES);
	CLEANUP(selector_free_p) struct label_selector *s = selector_new();
	if (s == NULL)
		return no_memory(err);
	struct lexer l = {.p = text};
	lex(&l);
	while (l.tok != T_END) {
		if (l.tok != T_WORD && l.tok != T_NOT)
			return expected(&l, err, "!, identifier, or 'end of string'");
		const int rc = parse_requirement(s, &l, err);
		if (rc < 0)
			return rc;
		if (l.tok == T_END)
			break;
		if (l.tok != T_COMMA)
			return expected(&l, err, "',' or 'end of string'");
		lex(&l);
		if (l.tok != T_WORD && l.tok != T_NOT)
			return expected(&l, err, "identifier after ','");
	}
	*ret = TAKE(s);
	return 0;
}

/* ---- LabelSelector ---- */

static int add_requirement(struct label_selector *s, const char *key, enum label_op op, const json_t *values,
			   struct error *err)
{
	struct requirement *r = arena_alloc(&s->arena, sizeof *r);
	if (r == NULL || (r->key = arena_strdup(&s->arena, key)) == NULL)
		return no_memory(err);
	r->op = op;
	for (size_t i = 0; i < json_array_size(values); i++) {
		const json_t *v = json_array_get(values, i);
		if (!json_is_string(v))
			return error_set(err, -EINVAL, "label selector: values of \"%s\" must be strings", key);
		if (add_value(s, r, json_string_value(v), json_string_length(v)) < 0)
			return no_memory(err);
	}
	if ((op == OP_EXISTS || op == OP_NOT_EXISTS) && r->values != NULL)
		return error_set(err, -EINVAL,
				 "values: Invalid value: values set must be empty for exists and does not exist");
	const int rc = check_requirement(r, err);
	if (rc < 0)
		return rc;
	*s->tail = r;
	s->tail = &r->next;
	return 0;
}

static int add_expression(struct label_selector *s, const json_t *e, struct error *err)
{
	static const struct {
		const char *name;
		enum label_op op;
	} ops[] = {{"In", OP_IN}, {"NotIn", OP_NOT_IN}, {"Exists", OP_EXISTS}, {"DoesNotExist", OP_NOT_EXISTS}};
	const char *key = json_string_value(json_object_get(e, "key"));
	const char *op = json_string_value(json_object_get(e, "operator"));
	for (size_t i = 0; i < ARRAY_LEN(ops); i++)
		if (op != NULL && strcmp(op, ops[i].name) == 0)
			return add_requirement(s, key != NULL ? key : "", ops[i].op, json_object_get(e, "values"), err);
	return error_set(err, -EINVAL, "\"%s\" is not a valid label selector operator", op != NULL ? op : "");
}

int label_selector_from_json(const json_t *selector, struct label_selector **ret, struct error *err)
{
	CLEANUP(selector_free_p) struct label_selector *s = selector_new();
	if (s == NULL)
		return no_memory(err);
	s->nothing = selector == NULL || json_is_null(selector);
	if (!s->nothing && !json_is_object(selector))
		return error_set(err, -EINVAL, "a label selector must be an object");
	const char *key;
	json_t *v;
	json_object_foreach (json_object_get(selector, "matchLabels"), key, v) {
		JSON_AUTO one = json_pack("[O]", v);
		if (one == NULL)
			return no_memory(err);
		const int rc = add_requirement(s, key, OP_IN, one, err);
		if (rc < 0)
			return rc;
	}
	const json_t *expressions = json_object_get(selector, "matchExpressions");
	for (size_t i = 0; i < json_array_size(expressions); i++) {
		const int rc = add_expression(s, json_array_get(expressions, i), err);
		if (rc < 0)
			return rc;
	}
	*ret = TAKE(s);
	return 0;
}

static bool has_value(const struct requirement *r, const char *s)
{
	for (const struct value *v = r->values; v != NULL; v = v->next)
		if (strcmp(v->s, s) == 0)
			return true;
	return false;
}

static bool requirement_matches(const struct requirement *r, const json_t *labels)
{
	const json_t *v = json_object_get(labels, r->key);
	const char *s = json_is_string(v) ? json_string_value(v) : "";
	int64_t i;
	switch (r->op) {
	case OP_IN:
		return v != NULL && has_value(r, s);
	case OP_NOT_IN:
		return v == NULL || !has_value(r, s);
	case OP_EXISTS:
		return v != NULL;
	case OP_NOT_EXISTS:
		return v == NULL;
	case OP_GT:
		return v != NULL && str_to_i64(s, &i) == 0 && i > r->bound;
	case OP_LT:
		return v != NULL && str_to_i64(s, &i) == 0 && i < r->bound;
	}
	return false;
}

bool label_selector_matches(const struct label_selector *s, const json_t *labels)
{
	if (s->nothing)
		return false;
	for (const struct requirement *r = s->head; r != NULL; r = r->next)
		if (!requirement_matches(r, labels))
			return false;
	return true;
}
