/* Inside src/json, and for its tests: the fast half of json_parse(). */
#pragma once

#include <jansson.h>
#include <stddef.h>

/** A new tree of @n bytes. -EAGAIN: it is no JSON, or has something that is left to jansson (reals, \u); -ENOMEM. */
int json_read(const char *text, size_t n, json_t **ret);
