/* The forms of names that Kubernetes knows, as pure functions. */
#pragma once

#include <stdbool.h>
#include <stddef.h>

/** a-z 0-9 '-', starting and ending alphanumeric, at most 63. */
bool api_name_dns_label(const char *s);
/** Such labels separated by dots, at most 253. */
bool api_name_dns_subdomain(const char *s);
/** A label that starts with a letter. */
bool api_name_dns_label_1035(const char *s);
/** What may stand in a path: no '/', no '%', not "." or "..". */
bool api_name_path_segment(const char *s);
/** What is wrong with a [prefix/]name (label keys, finalizers), or NULL. @any_case: the prefix may hold capitals (annotation keys). */
const char *api_name_qualified_fault(const char *s, bool any_case);
bool api_name_label_value(const char *s);

struct api_name_rule {
	bool (*valid)(const char *s);
	const char *text; /* what an invalid one is told */
	size_t max;       /* bytes; a longer one is told that alone */
	const char *too_long;
};
/** The rule for names of a resource. Never NULL. */
const struct api_name_rule *api_name_rule(const char *group, const char *plural);
