/* Objects of every kind as JSON: created for show, created, listed as a table, watched, and put in place of what is there. */
#include <jansson.h>

#include "api_harness.h"
#include "json/json.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	JSON_AUTO obj = NULL;
	(void)json_parse((const char *)data, n, &obj, NULL);
	harness_write(json_str(obj, "kind", ""), "application/json", data, n);
	harness_restore();
	return 0;
}
