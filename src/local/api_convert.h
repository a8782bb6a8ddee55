/* Objects between the form that is stored and the version that is served. Threads: any. */
#pragma once

#include <jansson.h>

#include "local/api_registry.h"

/** Make of @obj, as it is stored, what @k serves; in place. 0 or -ENOMEM. */
int api_from_stored(const struct api_kind *k, json_t *obj);
/** The reverse. */
int api_to_stored(const struct api_kind *k, json_t *obj);
