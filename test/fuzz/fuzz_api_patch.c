/* Patches on objects that are there. The first line says how and of what: "j p" is a JSON patch of the pod. */
#include <stdio.h>
#include <string.h>

#include "api_harness.h"
#include "base/cleanup.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

static const struct {
	char letter;
	const char *type;
} types[] = {
	{'j', "application/json-patch+json"},
	{'m', "application/merge-patch+json"},
	{'s', "application/strategic-merge-patch+json"},
	{'a', "application/apply-patch+yaml"},
};

static const struct {
	char letter;
	const char *path;
} objects[] = {
	{'p', "/api/v1/namespaces/default/pods/p"},
	{'P', "/api/v1/namespaces/default/pods/p/status"},
	{'c', "/api/v1/namespaces/default/configmaps/c"},
	{'n', "/apis/apps/v1/namespaces/default/statefulsets/new"},
	{'s', "/apis/apps/v1/namespaces/default/statefulsets/s"},
	{'S', "/apis/apps/v1/namespaces/default/statefulsets/s/scale"},
	{'t', "/apis/example.com/v1/namespaces/default/things/t"},
	{'T', "/apis/example.com/v1/namespaces/default/things/t/status"},
	{'d', "/apis/apiextensions.k8s.io/v1/customresourcedefinitions/things.example.com"},
};

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	if (n < 4 || data[3] != '\n')
		return 0;
	const char *type = types[0].type, *path = objects[0].path;
	for (size_t i = 0; i < ARRAY_LEN(types); i++)
		if (types[i].letter == (char)data[0])
			type = types[i].type;
	for (size_t i = 0; i < ARRAY_LEN(objects); i++)
		if (objects[i].letter == (char)data[2])
			path = objects[i].path;
	char target[160];
	(void)snprintf(target, sizeof target, "%s?fieldManager=f&dryRun=All", path);
	(void)harness_request("PATCH", target, NULL, type, data + 4, n - 4);
	(void)snprintf(target, sizeof target, "%s?fieldManager=f&fieldValidation=Strict", path);
	(void)harness_request("PATCH", target, NULL, type, data + 4, n - 4);
	(void)snprintf(target, sizeof target, "%s?fieldManager=g&force=true", path);
	if (data[0] == 'a') /* somebody else applies the same, by force */
		(void)harness_request("PATCH", target, NULL, type, data + 4, n - 4);
	harness_restore();
	return 0;
}
