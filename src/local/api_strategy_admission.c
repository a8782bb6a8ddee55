/* Configurations of admission webhooks: what the server refuses. */
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "api/schema.h"
#include "base/base64.h"
#include "base/cleanup.h"
#include "base/error.h"
#include "base/str.h"
#include "local/api_names.h"
#include "local/api_strategy.h"
#include "json/json.h"
#include "json/selector.h"

#define PATH_MAX_BYTES 128

/** One violation at "webhooks[@i]@rest". */
__attribute__((format(printf, 5, 6))) static void wrong(struct violations *vs, size_t i, const char *rest,
							const char *reason, const char *fmt, ...)
{
	char path[PATH_MAX_BYTES];
	char *text = NULL;
	va_list ap;
	va_start(ap, fmt);
	int n = vasprintf(&text, fmt, ap);
	va_end(ap);
	if (n < 0)
		return; /* without memory the next allocation tells */
	(void)snprintf(path, sizeof path, "webhooks[%zu]%s", i, rest);
	violation_add(vs, path, reason, "%s", text);
	free(text);
}

/* ---- where it is ---- */

static void check_url(const char *url, size_t i, struct violations *vs)
{
	static const char at[] = ".clientConfig.url";
	static const char scheme[] = "https://";
	if (!str_has_prefix(url, scheme)) {
		wrong(vs, i, at, "FieldValueInvalid",
		      "Invalid value: \"%s\": 'https' is the only allowed URL scheme; desired format: "
		      "https://host[/path]",
		      url);
		return;
	}
	const char *host = url + sizeof scheme - 1;
	size_t n = strcspn(host, "/?#");
	if (n == 0)
		wrong(vs, i, at, "FieldValueInvalid",
		      "Invalid value: \"\": host must be specified; desired format: https://host[/path]");
	if (memchr(host, '@', n) != NULL)
		wrong(vs, i, at, "FieldValueInvalid",
		      "Invalid value: \"%s\": user information is not permitted in the URL", url);
	if (strchr(host, '#') != NULL)
		wrong(vs, i, at, "FieldValueInvalid", "Invalid value: \"%s\": fragments are not permitted in the URL",
		      strchr(host, '#') + 1);
	if (strchr(host, '?') != NULL)
		wrong(vs, i, at, "FieldValueInvalid",
		      "Invalid value: \"%s\": query parameters are not permitted in the URL", strchr(host, '?') + 1);
}

static void check_service(const json_t *svc, size_t i, struct violations *vs)
{
	const char *path = json_str(svc, "path", "");
	int64_t port = json_int(svc, "port", 443);
	if (json_str(svc, "name", "")[0] == '\0')
		wrong(vs, i, ".clientConfig.service.name", "FieldValueRequired",
		      "Required value: service name is required");
	if (json_str(svc, "namespace", "")[0] == '\0')
		wrong(vs, i, ".clientConfig.service.namespace", "FieldValueRequired",
		      "Required value: service namespace is required");
	if (port < 1 || port > 65535)
		wrong(vs, i, ".clientConfig.service.port", "FieldValueInvalid",
		      "Invalid value: %lld: port is not valid: must be between 1 and 65535, inclusive",
		      (long long)port);
	if (path[0] != '\0' && path[0] != '/')
		wrong(vs, i, ".clientConfig.service.path", "FieldValueInvalid",
		      "Invalid value: \"%s\": must start with a '/'", path);
	else if (strpbrk(path, "?#") != NULL || strstr(path, "//") != NULL)
		wrong(vs, i, ".clientConfig.service.path", "FieldValueInvalid",
		      "Invalid value: \"%s\": must be a path of a URL without empty segments, query or fragment", path);
}

static void check_client(const json_t *w, size_t i, struct violations *vs)
{
	const char *url = json_str(w, "clientConfig.url", NULL), *bundle = json_str(w, "clientConfig.caBundle", "");
	const json_t *svc = json_at(w, "clientConfig.service");
	if ((url != NULL) == json_is_object(svc)) {
		wrong(vs, i, ".clientConfig", "FieldValueRequired",
		      "Required value: exactly one of url or service is required");
		return;
	}
	CLEANUP(free_p) char *pem = NULL;
	size_t n = 0;
	if (bundle[0] != '\0' &&
	    (base64_decode(bundle, &pem, &n) < 0 || strstr(pem, "-----BEGIN CERTIFICATE-----") == NULL))
		wrong(vs, i, ".clientConfig.caBundle", "FieldValueInvalid",
		      "Invalid value: unable to load root certificates: unable to parse bytes as PEM block");
	if (url != NULL)
		check_url(url, i, vs);
	else
		check_service(svc, i, vs);
}

/* ---- what it is asked about ---- */

static bool holds(const json_t *list, const char *s)
{
	size_t i;
	json_t *v;
	json_array_foreach (list, i, v)
		if (str_same(json_string_value(v), s))
			return true;
	return false;
}

static void check_rule(const json_t *rule, size_t i, size_t k, struct violations *vs)
{
	static const char *const members[] = {"operations", "apiGroups", "apiVersions", "resources"};
	static const char *const known[] = {"*", "CREATE", "UPDATE", "DELETE", "CONNECT"};
	char at[PATH_MAX_BYTES];
	for (size_t m = 0; m < ARRAY_LEN(members); m++) {
		const json_t *list = json_object_get(rule, members[m]);
		(void)snprintf(at, sizeof at, ".rules[%zu].%s", k, members[m]);
		if (json_array_size(list) == 0)
			wrong(vs, i, at, "FieldValueRequired", "Required value");
		else if (json_array_size(list) > 1 && holds(list, "*") && strcmp(members[m], "resources") != 0)
			wrong(vs, i, at, "FieldValueInvalid",
			      "Invalid value: if '*' is present, must not specify other %s",
			      m == 0   ? "operations"
			      : m == 1 ? "API groups"
				       : "API versions");
	}
	size_t n;
	json_t *op;
	json_array_foreach (json_object_get(rule, "operations"), n, op) {
		bool found = false;
		for (size_t m = 0; m < ARRAY_LEN(known); m++)
			found |= str_same(json_string_value(op), known[m]);
		(void)snprintf(at, sizeof at, ".rules[%zu].operations[%zu]", k, n);
		if (!found && json_is_string(op))
			wrong(vs, i, at, "FieldValueNotSupported",
			      "Unsupported value: \"%s\": supported values: \"*\", \"CONNECT\", \"CREATE\", "
			      "\"DELETE\", "
			      "\"UPDATE\"",
			      json_string_value(op));
	}
}

static void check_selector(const json_t *w, const char *member, size_t i, struct violations *vs)
{
	const json_t *given = json_object_get(w, member);
	struct label_selector *s = NULL;
	struct error err = {0};
	char at[PATH_MAX_BYTES];
	(void)snprintf(at, sizeof at, ".%s", member);
	if (json_is_object(given) && label_selector_from_json(given, &s, &err) < 0)
		wrong(vs, i, at, "FieldValueInvalid", "Invalid value: %s", err.msg);
	label_selector_free(s);
}

/* ---- the whole ---- */

/** A domain of three parts or more. */
static bool is_qualified(const char *name)
{
	size_t dots = 0;
	for (const char *c = name; *c != '\0'; c++)
		dots += *c == '.';
	return dots >= 2 && api_name_dns_subdomain(name);
}

static void check_name(const json_t *all, const char *name, size_t i, struct violations *vs)
{
	if (name[0] == '\0') {
		wrong(vs, i, ".name", "FieldValueRequired", "Required value");
		return;
	}
	if (!is_qualified(name))
		wrong(vs, i, ".name", "FieldValueInvalid",
		      "Invalid value: \"%s\": should be a domain with at least three segments separated by dots", name);
	for (size_t k = 0; k < i; k++)
		if (strcmp(json_str(json_array_get(all, k), "name", ""), name) == 0) {
			wrong(vs, i, ".name", "FieldValueDuplicate", "Duplicate value: \"%s\"", name);
			return;
		}
}

static void check_webhook(const json_t *all, const json_t *w, size_t i, struct violations *vs)
{
	const json_t *versions = json_object_get(w, "admissionReviewVersions"), *rules = json_object_get(w, "rules");
	int64_t timeout = json_int(w, "timeoutSeconds", 10);
	check_name(all, json_str(w, "name", ""), i, vs);
	if (json_array_size(versions) == 0)
		wrong(vs, i, ".admissionReviewVersions", "FieldValueRequired",
		      "Required value: must specify one of v1, v1beta1");
	else if (!holds(versions, "v1") && !holds(versions, "v1beta1"))
		wrong(vs, i, ".admissionReviewVersions", "FieldValueInvalid",
		      "Invalid value: must include at least one of v1, v1beta1");
	check_client(w, i, vs);
	if (timeout < 1 || timeout > 30)
		wrong(vs, i, ".timeoutSeconds", "FieldValueInvalid",
		      "Invalid value: %lld: the timeout value must be between 1 and 30 seconds", (long long)timeout);
	if (json_array_size(json_object_get(w, "matchConditions")) > 0)
		wrong(vs, i, ".matchConditions", "FieldValueForbidden",
		      "Forbidden: CEL expressions are not evaluated here; choose requests by rules, namespaceSelector "
		      "and "
		      "objectSelector");
	for (size_t k = 0; k < json_array_size(rules); k++)
		check_rule(json_array_get(rules, k), i, k, vs);
	check_selector(w, "namespaceSelector", i, vs);
	check_selector(w, "objectSelector", i, vs);
}

static void configuration_validate(const json_t *old, const json_t *obj, struct violations *vs)
{
	(void)old;
	const json_t *all = json_object_get(obj, "webhooks");
	size_t i;
	json_t *w;
	json_array_foreach (all, i, w)
		check_webhook(all, w, i, vs);
}

const struct api_strategy api_admission_strategies[] = {
	{"admissionregistration.k8s.io", "mutatingwebhookconfigurations", NULL, NULL, NULL, NULL,
	 configuration_validate},
	{"admissionregistration.k8s.io", "validatingwebhookconfigurations", NULL, NULL, NULL, NULL,
	 configuration_validate},
	{NULL},
};
