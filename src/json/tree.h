/* Measures of trees, for the limits of what reads from outside. */
#pragma once

#include <jansson.h>
#include <stddef.h>

/** Levels of containers: 0 for a scalar, 1 for {} and []. */
size_t json_depth(const json_t *j);
/** Values in the tree, containers included. */
size_t json_count_nodes(const json_t *j);
