#include "cli/table.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/str.h"
#include "json/json.h"

#define GAP 3

struct table {
	size_t columns, n, size;
	char **cells; /* n rows of columns, titles first */
	bool lost;
};

struct table *table_new(const char *const *titles)
{
	struct table *t = calloc(1, sizeof *t);
	if (t == NULL)
		return NULL;
	while (titles[t->columns] != NULL && t->columns < TABLE_COLUMNS_MAX)
		t->columns++;
	table_row(t, titles);
	return t;
}

void table_row(struct table *t, const char *const *cells)
{
	if (t == NULL || t->lost)
		return;
	if (t->n == t->size) {
		const size_t size = t->size > 0 ? t->size * 2 : 16;
		char **grown = reallocarray(t->cells, size * t->columns, sizeof *grown);
		if (grown == NULL) {
			t->lost = true;
			return;
		}
		t->cells = grown;
		t->size = size;
	}
	for (size_t i = 0; i < t->columns; i++) {
		char *copy = strdup(cells[i] != NULL ? cells[i] : "");
		t->cells[t->n * t->columns + i] = copy;
		t->lost |= copy == NULL;
	}
	t->n++;
}

/* Characters, not bytes: continuation bytes of UTF-8 take no place. */
static size_t width(const char *s)
{
	size_t n = 0;
	for (; *s != '\0'; s++)
		n += ((unsigned char)*s & 0xc0) != 0x80;
	return n;
}

int table_print(struct table *t, size_t indent)
{
	if (t == NULL)
		return -ENOMEM;
	size_t widest[TABLE_COLUMNS_MAX] = {0};
	for (size_t i = 0; !t->lost && i < t->n * t->columns; i++) {
		const size_t w = width(t->cells[i]);
		if (w > widest[i % t->columns])
			widest[i % t->columns] = w;
	}
	for (size_t row = 0; !t->lost && row < t->n; row++) {
		(void)printf("%*s", (int)indent, "");
		for (size_t i = 0; i < t->columns; i++) {
			const char *cell = t->cells[row * t->columns + i];
			const bool last = i + 1 == t->columns;
			(void)printf("%s%*s", cell, last ? 0 : (int)(widest[i] - width(cell) + GAP), "");
		}
		(void)putchar('\n');
	}
	const int rc = t->lost ? -ENOMEM : ferror(stdout) ? -EIO : 0;
	for (size_t i = 0; i < t->n * t->columns; i++)
		free(t->cells[i]);
	free(t->cells);
	free(t);
	return rc;
}

static void upper(char *s)
{
	for (; *s != '\0'; s++) {
		if (*s >= 'a' && *s <= 'z')
			*s = (char)(*s - 'a' + 'A');
	}
}

/* The columns to show of @defs: their places in @ret, their number returned. */
static size_t choose_columns(const json_t *defs, bool wide, size_t ret[static TABLE_COLUMNS_MAX])
{
	size_t n = 0, i;
	const json_t *def;
	json_array_foreach (defs, i, def) {
		if (n < TABLE_COLUMNS_MAX - 1 && (wide || json_int(def, "priority", 0) == 0))
			ret[n++] = i;
	}
	return n;
}

static char *cell_text(const json_t *cell)
{
	if (json_is_string(cell))
		return strdup(json_string_value(cell));
	return cell == NULL || json_is_null(cell) ? strdup("") : json_to_text(cell, NULL);
}

int table_print_answer(const json_t *answer, bool wide, bool with_namespace, const char *prefix)
{
	if (!str_same(json_str(answer, "kind", ""), "Table"))
		return -EPROTO;
	const json_t *defs = json_at(answer, "columnDefinitions");
	size_t place[TABLE_COLUMNS_MAX];
	const size_t n = choose_columns(defs, wide, place), shift = with_namespace ? 1 : 0;
	char *cells[TABLE_COLUMNS_MAX + 1] = {0};
	if (with_namespace)
		cells[0] = strdup("NAMESPACE");
	for (size_t i = 0; i < n; i++) {
		cells[shift + i] = strdup(json_str(json_array_get(defs, place[i]), "name", ""));
		if (cells[shift + i] != NULL)
			upper(cells[shift + i]);
	}
	struct table *t = table_new((const char *const *)cells);
	size_t r;
	const json_t *row;
	for (size_t i = 0; i < shift + n; i++)
		free(TAKE(cells[i]));
	json_array_foreach (json_at(answer, "rows"), r, row) {
		if (with_namespace)
			cells[0] = strdup(json_str(row, "object.metadata.namespace", ""));
		for (size_t i = 0; i < n; i++) {
			CLEANUP(free_p) char *text = cell_text(json_array_get(json_at(row, "cells"), place[i]));
			cells[shift + i] = i == 0 && prefix != NULL
						   ? str_printf("%s%s", prefix, text != NULL ? text : "")
						   : TAKE(text);
		}
		table_row(t, (const char *const *)cells);
		for (size_t i = 0; i < shift + n; i++)
			free(TAKE(cells[i]));
	}
	return table_print(t, 0);
}
