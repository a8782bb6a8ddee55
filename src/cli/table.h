/* Tables on a terminal: cells in columns as wide as their widest, as kubectl prints them. */
#pragma once

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>

#define TABLE_COLUMNS_MAX 24

struct table;

/** @titles: NULL-terminated, at most TABLE_COLUMNS_MAX, copied. NULL on no memory, which every function here takes. */
struct table *table_new(const char *const *titles);
/** Add a row of as many cells as there are titles; empty ones are shown as empty. Copied. */
void table_row(struct table *t, const char *const *cells);
/** Print it, each line behind @indent spaces, and free it. -ENOMEM when something was lost on the way, -EIO. */
int table_print(struct table *t, size_t indent);

/**
 * Print a meta.k8s.io/v1 Table; @wide: columns of lower priority too; @with_namespace: as first column; @prefix (may be NULL) goes before
 * each name. 0, -EPROTO when it is none, -ENOMEM.
 */
int table_print_answer(const json_t *answer, bool wide, bool with_namespace, const char *prefix);
