#include "json/label.h"

#include <stdbool.h>
#include <stddef.h>
#include <string.h>

static bool is_lower(char c)
{
	return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9');
}

static bool is_alnum(char c)
{
	return is_lower(c) || (c >= 'A' && c <= 'Z');
}

/* ([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9] */
static bool is_name_part(const char *s, size_t n)
{
	if (n == 0 || !is_alnum(s[0]) || !is_alnum(s[n - 1]))
		return false;
	for (size_t i = 0; i < n; i++)
		if (!is_alnum(s[i]) && s[i] != '-' && s[i] != '_' && s[i] != '.')
			return false;
	return true;
}

/* [a-z0-9]([-a-z0-9]*[a-z0-9])? */
static bool is_dns_label(const char *s, size_t n)
{
	if (n == 0 || !is_lower(s[0]) || !is_lower(s[n - 1]))
		return false;
	for (size_t i = 0; i < n; i++)
		if (!is_lower(s[i]) && s[i] != '-')
			return false;
	return true;
}

static bool is_dns_subdomain(const char *s, size_t n)
{
	for (size_t start = 0, i = 0; i <= n; i++) {
		if (i < n && s[i] != '.')
			continue;
		if (!is_dns_label(s + start, i - start))
			return false;
		start = i + 1;
	}
	return true;
}

#define SUBDOMAIN_TEXT                                                                                                 \
	"a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.', and must "     \
	"start and "                                                                                                   \
	"end with an alphanumeric character (e.g. 'example.com', regex used for validation is "                        \
	"'[a-z0-9]([-a-z0-9]*[a-z0-9])?(\\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*')"

const char *label_key_problem(const char *key)
{
	const char *slash = strchr(key, '/');
	const char *name = slash != NULL ? slash + 1 : key;
	if (slash != NULL) {
		const size_t n = (size_t)(slash - key);
		if (n == 0)
			return "prefix part must be non-empty";
		if (n > 253)
			return "prefix part must be no more than 253 characters";
		if (!is_dns_subdomain(key, n))
			return "prefix part " SUBDOMAIN_TEXT;
		if (strchr(name, '/') != NULL)
			return "a qualified name must consist of alphanumeric characters, '-', '_' or '.', and must "
			       "start and "
			       "end with an alphanumeric character (e.g. 'MyName',  or 'my.name',  or '123-abc', regex "
			       "used "
			       "for validation is '([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]') with an optional DNS "
			       "subdomain "
			       "prefix and '/' (e.g. 'example.com/MyName')";
	}
	const size_t n = strlen(name);
	if (n == 0)
		return "name part must be non-empty";
	if (n > 63)
		return "name part must be no more than 63 characters";
	if (!is_name_part(name, n))
		return "name part must consist of alphanumeric characters, '-', '_' or '.', and must start and end "
		       "with an "
		       "alphanumeric character (e.g. 'MyName',  or 'my.name',  or '123-abc', regex used for validation "
		       "is "
		       "'([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]')";
	return NULL;
}

const char *label_value_problem(const char *value)
{
	const size_t n = strlen(value);
	if (n > 63)
		return "must be no more than 63 characters";
	if (n > 0 && !is_name_part(value, n))
		return "a valid label must be an empty string or consist of alphanumeric characters, '-', '_' or '.', "
		       "and must "
		       "start and end with an alphanumeric character (e.g. 'MyValue',  or 'my_value',  or '12345', "
		       "regex used "
		       "for validation is '(([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9])?')";
	return NULL;
}

const char *dns_subdomain_problem(const char *name)
{
	const size_t n = strlen(name);
	if (n > 253)
		return "must be no more than 253 characters";
	return is_dns_subdomain(name, n) ? NULL : SUBDOMAIN_TEXT;
}

const char *dns_label_problem(const char *name)
{
	const size_t n = strlen(name);
	if (n > 63)
		return "must be no more than 63 characters";
	if (!is_dns_label(name, n))
		return "a lowercase RFC 1123 label must consist of lower case alphanumeric characters or '-', and must "
		       "start "
		       "and end with an alphanumeric character (e.g. 'my-name',  or '123-abc', regex used for "
		       "validation is "
		       "'[a-z0-9]([-a-z0-9]*[a-z0-9])?')";
	return NULL;
}
