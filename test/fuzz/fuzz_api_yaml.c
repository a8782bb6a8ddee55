/* Objects of every kind as YAML. */
#include <jansson.h>

#include "api_harness.h"
#include "json/json.h"
#include "json/yaml.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	JSON_AUTO docs = NULL;
	(void)yaml_parse((const char *)data, n, &docs, NULL);
	harness_write(json_str(json_array_get(docs, 0), "kind", ""), "application/yaml", data, n);
	harness_restore();
	return 0;
}
