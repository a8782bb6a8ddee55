/* Inside src/json only: a parsed JSONPath template. Everything lives in the template's arena. */
#pragma once

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/arena.h"

#define JSONPATH_NESTING 16 /* of filters, unions and ranges */

struct jsonpath_node;

/** Steps, each taken from the values that the one before it gave. */
struct jsonpath_steps {
	struct jsonpath_node *first, **last; /* `last`: where the next one is hung; parser only */
};

enum jsonpath_kind {
	JP_MEMBER,
	JP_LITERAL,
	JP_SLICE,
	JP_UNION,
	JP_FILTER,
	JP_WILDCARD,
	JP_RECURSIVE,
};

enum jsonpath_op { JP_EXISTS, JP_EQ, JP_NE, JP_LT, JP_LE, JP_GT, JP_GE };

struct jsonpath_node {
	struct jsonpath_node *next;
	enum jsonpath_kind kind;
	const char *name; /* JP_MEMBER */
	size_t name_n;
	json_t *literal; /* JP_LITERAL; owned by the template's list of literals */
	bool is_text;    /* JP_LITERAL: quoted text, which stands once; a number stands once for each value */
	struct {
		bool known, derived; /* derived: [i] is [i:i+1] */
		int64_t value;
	} bound[3];                        /* JP_SLICE: from, to, step */
	struct jsonpath_steps *parts;      /* JP_UNION */
	size_t n_parts;                    /* JP_UNION */
	enum jsonpath_op op;               /* JP_FILTER */
	struct jsonpath_steps left, right; /* JP_FILTER */
};

enum jsonpath_part_kind { JP_TEXT, JP_ACTION, JP_RANGE, JP_END };

/** The template from left to right. */
struct jsonpath_part {
	enum jsonpath_part_kind kind;
	const char *text; /* JP_TEXT */
	size_t text_n;
	struct jsonpath_steps steps; /* JP_ACTION, JP_RANGE */
	size_t end;                  /* JP_RANGE: index of its JP_END */
};

struct jsonpath {
	struct arena arena;
	json_t *literals;
	struct jsonpath_part *parts;
	size_t n_parts;
};
