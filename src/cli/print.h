/* Objects printed for people and for kubectl. */
#pragma once

#include <jansson.h>
#include <stdbool.h>

enum print_format { PRINT_YAML, PRINT_JSON, PRINT_MARKDOWN };

/** What is said when print_object() is false. */
#define CANNOT_PRINT "cannot write the output: no memory, or nobody reads it"

/** Print @obj; @first is false when another object came before it. False when it could not be written or made. */
bool print_object(const json_t *obj, enum print_format format, bool first);
/** The @format called @name, among the first @n; -1: none. */
int print_format_find(const char *name, int n);
