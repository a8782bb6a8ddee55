/* YAML text: what is read can be written and read again as the same. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "json/json.h"
#include "json/yaml.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	JSON_AUTO documents = NULL;
	if (n > 65536 || yaml_parse((const char *)data, n, &documents, NULL) < 0)
		return 0;
	for (size_t i = 0; i < json_array_size(documents); i++) {
		const json_t *j = json_array_get(documents, i);
		CLEANUP(free_p) char *text = yaml_to_text(j);
		JSON_AUTO again = NULL;
		if (text == NULL)
			abort();
		if (strlen(text) > YAML_MAX_BYTES)
			continue;
		if (yaml_parse(text, strlen(text), &again, NULL) < 0 || json_array_size(again) != 1 ||
		    !json_same(j, json_array_get(again, 0)))
			abort();
	}
	return 0;
}
