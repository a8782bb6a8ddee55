/* Names. Source: RFC 1123, RFC 1035, and the rules that Kubernetes' validation messages state. */
#include "local/api_names.h"

#include <stddef.h>
#include <string.h>

#include "base/cleanup.h"

#define LOWER  "abcdefghijklmnopqrstuvwxyz"
#define DIGITS "0123456789"
#define UPPER  "ABCDEFGHIJKLMNOPQRSTUVWXYZ"

static bool one_of(char c, const char *set)
{
	return c != '\0' && strchr(set, c) != NULL;
}

/** All of @n bytes in @inner, the first and last in @outer; at least one. */
static bool framed(const char *s, size_t n, const char *outer, const char *inner)
{
	if (n == 0 || !one_of(s[0], outer) || !one_of(s[n - 1], outer))
		return false;
	for (size_t i = 0; i < n; i++)
		if (!one_of(s[i], inner))
			return false;
	return true;
}

bool api_name_dns_label(const char *s)
{
	size_t n = strlen(s);
	return n <= 63 && framed(s, n, LOWER DIGITS, LOWER DIGITS "-");
}

bool api_name_dns_label_1035(const char *s)
{
	return api_name_dns_label(s) && one_of(s[0], LOWER);
}

bool api_name_dns_subdomain(const char *s)
{
	if (strlen(s) > 253)
		return false;
	for (;;) {
		size_t n = strcspn(s, ".");
		if (!framed(s, n, LOWER DIGITS, LOWER DIGITS "-"))
			return false;
		if (s[n] == '\0')
			return true;
		s += n + 1;
	}
}

bool api_name_path_segment(const char *s)
{
	return s[0] != '\0' && strlen(s) <= 253 && strcmp(s, ".") != 0 && strcmp(s, "..") != 0 &&
	       strpbrk(s, "/%") == NULL;
}

bool api_name_label_value(const char *s)
{
	size_t n = strlen(s);
	return n == 0 || (n <= 63 && framed(s, n, LOWER UPPER DIGITS, LOWER UPPER DIGITS "-_."));
}

#define SUBDOMAIN_TEXT                                                                                                   \
	"a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.', and must start " \
	"and end with an alphanumeric character (e.g. 'example.com', regex used for validation is "                      \
	"'[a-z0-9]([-a-z0-9]*[a-z0-9])?(\\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*')"
#define QUALIFIED_TEXT                                                                                                 \
	"must consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric "       \
	"character (e.g. 'MyName',  or 'my.name',  or '123-abc', regex used for validation is "                        \
	"'([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]')"

static const char *prefix_fault(const char *s, size_t n, bool any_case)
{
	char prefix[254];
	if (n == 0)
		return "prefix part must be non-empty";
	if (n >= sizeof prefix)
		return "prefix part must be no more than 253 characters";
	for (size_t i = 0; i < n; i++)
		prefix[i] = any_case && one_of(s[i], UPPER) ? (char)(s[i] - 'A' + 'a') : s[i];
	prefix[n] = '\0';
	return api_name_dns_subdomain(prefix) ? NULL : "prefix part " SUBDOMAIN_TEXT;
}

const char *api_name_qualified_fault(const char *s, bool any_case)
{
	const char *slash = strchr(s, '/');
	if (slash != NULL && strchr(slash + 1, '/') != NULL)
		return "a qualified name " QUALIFIED_TEXT " with an optional DNS subdomain prefix and '/' (e.g. "
		       "'example.com/MyName')";
	const char *fault = slash != NULL ? prefix_fault(s, (size_t)(slash - s), any_case) : NULL;
	if (fault != NULL)
		return fault;
	const char *name = slash != NULL ? slash + 1 : s;
	const size_t n = strlen(name);
	if (n == 0)
		return "name part must be non-empty";
	if (n > 63)
		return "name part must be no more than 63 characters";
	return framed(name, n, LOWER UPPER DIGITS, LOWER UPPER DIGITS "-_.") ? NULL : "name part " QUALIFIED_TEXT;
}

static const struct api_name_rule subdomain_rule = {
	api_name_dns_subdomain,
	SUBDOMAIN_TEXT,
	253,
	"must be no more than 253 characters",
};
static const struct api_name_rule label_rule = {
	api_name_dns_label,
	"a lowercase RFC 1123 label must consist of lower case alphanumeric characters or '-', and must start and end "
	"with an alphanumeric "
	"character (e.g. 'my-name',  or '123-abc', regex used for validation is '[a-z0-9]([-a-z0-9]*[a-z0-9])?')",
	63,
	"must be no more than 63 characters",
};
static const struct api_name_rule label_1035_rule = {
	api_name_dns_label_1035,
	"a DNS-1035 label must consist of lower case alphanumeric characters or '-', start with an alphabetic "
	"character, and end with an "
	"alphanumeric character (e.g. 'my-name',  or 'abc-123', regex used for validation is "
	"'[a-z]([-a-z0-9]*[a-z0-9])?')",
	63,
	"must be no more than 63 characters",
};
static const struct api_name_rule path_rule = {api_name_path_segment,
					       "may not contain '/' or '%', and may not be '.' or '..'", 253,
					       "must be no more than 253 characters"};

const struct api_name_rule *api_name_rule(const char *group, const char *plural)
{
	static const struct {
		const char *group, *plural;
		const struct api_name_rule *rule;
	} rules[] = {
		{"", "namespaces", &label_rule},
		{"", "services", &label_1035_rule},
		{"rbac.authorization.k8s.io", "roles", &path_rule},
		{"rbac.authorization.k8s.io", "rolebindings", &path_rule},
		{"rbac.authorization.k8s.io", "clusterroles", &path_rule},
		{"rbac.authorization.k8s.io", "clusterrolebindings", &path_rule},
	};
	for (size_t i = 0; i < ARRAY_LEN(rules); i++)
		if (strcmp(rules[i].group, group) == 0 && strcmp(rules[i].plural, plural) == 0)
			return rules[i].rule;
	return &subdomain_rule;
}
