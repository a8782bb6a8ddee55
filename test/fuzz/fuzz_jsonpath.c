/* JSONPath templates, evaluated on an object of every type. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/strbuf.h"
#include "json/json.h"
#include "json/jsonpath.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	static const char object[] = "{\"i\":5,\"f\":1.5,\"n\":null,\"t\":true,\"l\":[1,2,3],\"s\":\"x\","
				     "\"o\":[{\"a\":1,\"s\":\"<x>\"},{\"a\":2,\"s\":\"y\"}],\"a.b\":{}}";
	CLEANUP(free_p) char *text = malloc(n + 1);
	JSON_AUTO obj = NULL;
	if (text == NULL || json_parse(object, sizeof object - 1, &obj, NULL) < 0)
		return 0;
	memcpy(text, data, n);
	text[n] = '\0';

	struct jsonpath *p = NULL;
	if (jsonpath_parse(text, &p, NULL) == 0) {
		CLEANUP(strbuf_clear) struct strbuf out = STRBUF_INIT(1 << 20);
		JSON_AUTO found = NULL;
		(void)jsonpath_print(p, obj, &out, NULL);
		(void)jsonpath_find(p, obj, &found, NULL);
		jsonpath_free(p);
	}
	p = NULL;
	if (jsonpath_parse_path(text, &p, NULL) == 0)
		jsonpath_free(p);
	return 0;
}
