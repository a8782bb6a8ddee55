/* Paths of requests, JSONPaths of definitions, names and continue tokens: what the API server takes apart itself. */
#include <assert.h>
#include <jansson.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/arena.h"
#include "base/base64.h"
#include "local/api_internal.h"
#include "local/api_names.h"
#include "local/api_table.h"
#include "json/json.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

static void check_path(const char *text)
{
	CLEANUP(arena_free) struct arena arena = ARENA_INIT(1u << 20);
	const char *part[6] = {0};
	if (!api_path_parse(text, &arena, &part[0], &part[1], &part[2], &part[3], &part[4], &part[5]))
		return;
	for (size_t i = 0; i < ARRAY_LEN(part); i++)
		assert(part[i] != NULL && strchr(part[i], '/') == NULL);
	assert(part[1][0] != '\0' && part[2][0] != '\0');
}

static void check_json_path(const char *text)
{
	static const char object[] = "{\"a\":{\"b\":[{\"c\":\"x\",\"d\":1},{\"c\":\"y\"}]},\"e.f\":true}";
	JSON_AUTO obj = NULL;
	int rc = json_parse(object, sizeof object - 1, &obj, NULL);
	assert(rc == 0);
	JSON_AUTO found = api_json_path(obj, text);
	assert(found == NULL || api_json_path_valid(text));
}

static void check_base64(const char *text)
{
	CLEANUP(free_p) char *plain = NULL;
	size_t n = 0;
	if (base64_decode(text, &plain, &n) < 0)
		return;
	assert(n <= strlen(text) && plain[n] == '\0');
	CLEANUP(free_p) char *again = base64_encode(plain, n);
	assert(again != NULL && strlen(again) == strlen(text));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	if (n > 4096)
		return 0;
	CLEANUP(free_p) char *text = malloc(n + 1);
	assert(text != NULL);
	memcpy(text, data, n);
	text[n] = '\0';
	check_path(text);
	check_json_path(text);
	check_base64(text);
	/* A name that is valid anywhere never leaves its place in a path. */
	if (api_name_dns_label(text) || api_name_dns_subdomain(text) || api_name_path_segment(text))
		assert(text[0] != '\0' && strchr(text, '/') == NULL && strcmp(text, "..") != 0);
	return 0;
}
