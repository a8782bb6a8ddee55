/* What a list and a watch can be asked for: selectors, pages, versions, forms. The first line is the query, the second Accept. */
#include <ctype.h>
#include <stdio.h>
#include <string.h>

#include "api_harness.h"
#include "base/cleanup.h"
#include "base/str.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

static const char *const paths[] = {
	"/api/v1/namespaces/default/pods",
	"/api/v1/pods/",
	"/api/v1/namespaces/default/events",
	"/apis/example.com/v1/namespaces/default/things",
	"/apis/apiextensions.k8s.io/v1/customresourcedefinitions",
	"/api/v1/namespaces/default/configmaps",
};

/** As it stands in a request line: what may not stand there is escaped. */
static void escape(struct str s, char *out)
{
	static const char hex[] = "0123456789ABCDEF";
	for (size_t i = 0; i < s.n; i++) {
		const unsigned char c = (unsigned char)s.p[i];
		if (isgraph(c)) {
			*out++ = (char)c;
			continue;
		}
		*out++ = '%';
		*out++ = hex[c >> 4];
		*out++ = hex[c & 15];
	}
	*out = '\0';
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	struct str rest = {(const char *)data, n}, query = {0}, accept = {0};
	if (n > 4096 || !str_split_next(&rest, '\n', &query))
		return 0;
	(void)str_split_next(&rest, '\n', &accept);
	char form[1024] = "application/json", target[4 * 4096 + 256], escaped[3 * 4096 + 1];
	if (accept.n > 0 && accept.n < sizeof form) {
		memcpy(form, accept.p, accept.n);
		form[accept.n] = '\0';
	}
	escape(query, escaped);
	for (size_t i = 0; i < ARRAY_LEN(paths); i++) {
		(void)snprintf(target, sizeof target, "%s?%s", paths[i], escaped);
		(void)harness_request("GET", target, form, NULL, NULL, 0);
	}
	(void)snprintf(target, sizeof target, "%s?%s", paths[0], escaped);
	(void)harness_request("DELETE", target, form, NULL, NULL, 0);
	(void)snprintf(target, sizeof target, "%s/p?%s", paths[0], escaped);
	(void)harness_request("DELETE", target, form, NULL, NULL, 0);
	harness_restore();
	return 0;
}
