/* What is wrong with an object, from its status alone. */
#pragma once

#include <jansson.h>
#include <stdbool.h>

struct pod_trouble {
	char problem[1024];
	const char *advice; /* "" when there is none */
};

/** Whether something keeps @pod from being ready; *@ret is filled then. A pod that has succeeded is well. */
bool pod_in_trouble(const json_t *pod, struct pod_trouble *ret);
/** Whether the condition @c says that something is not as it should be: it is False, or it is NotReady and True. */
bool condition_is_bad(const json_t *c);
