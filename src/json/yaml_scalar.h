/* What a plain YAML scalar means, by the rules of YAML 1.1 as kubectl applies them. */
#pragma once

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>

/**
 * Resolve a plain scalar of @n bytes: yes/no/on/off and friends are booleans, 0777, 0x1f, 0b11 and 1_000 integers, "" and ~ null.
 * 0 and a new value; -ERANGE: infinite or not a number, which JSON cannot hold; -EINVAL: no UTF-8; -ENOMEM.
 */
int yaml_scalar_resolve(const char *s, size_t n, json_t **ret);
/** True when @s, written plainly, would be read as something else than this string. */
bool yaml_scalar_needs_quotes(const char *s, size_t n);
