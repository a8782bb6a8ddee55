/* What a program may do at the API: a rule of a ClusterRole, declared beside the code that needs it. */
#pragma once

/** Lists are comma separated; a list of these ends with .resources == NULL. */
struct permission {
	const char *group;     /* "" for core */
	const char *resources; /* "pods,pods/exec" */
	const char *verbs;     /* "get,list,watch" */
};
