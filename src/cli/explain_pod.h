/* What is wrong with a pod, from its status alone. */
#pragma once

#include <jansson.h>
#include <stdbool.h>

struct pod_trouble {
	char problem[1024];
	const char *advice; /* "" when there is none */
};

/** Whether something keeps @pod from being ready; *@ret is filled then. A pod that has succeeded is well. */
bool explain_pod(const json_t *pod, struct pod_trouble *ret);
