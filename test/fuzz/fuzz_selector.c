/* Label and field selectors as text, and LabelSelector objects where the text is JSON. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "json/json.h"
#include "json/selector.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	static const char object[] =
		"{\"metadata\":{\"name\":\"x\",\"labels\":{\"a\":\"b\",\"n\":\"5\"}},\"spec\":{\"ok\":true}}";
	CLEANUP(free_p) char *text = malloc(n + 1);
	JSON_AUTO obj = NULL;
	JSON_AUTO j = NULL;
	if (text == NULL || json_parse(object, sizeof object - 1, &obj, NULL) < 0)
		return 0;
	memcpy(text, data, n);
	text[n] = '\0';

	const json_t *labels = json_at(obj, "metadata.labels");
	struct label_selector *l = NULL, *from_json = NULL;
	struct field_selector *f = NULL;
	if (label_selector_parse(text, &l, NULL) == 0)
		(void)label_selector_matches(l, labels);
	if (field_selector_parse(text, &f, NULL) == 0) {
		(void)field_selector_matches(f, obj);
		(void)field_selector_value(f, "metadata.name");
	}
	if (json_parse(text, n, &j, NULL) == 0 && label_selector_from_json(j, &from_json, NULL) == 0)
		(void)label_selector_matches(from_json, labels);
	label_selector_free(l);
	label_selector_free(from_json);
	field_selector_free(f);
	return 0;
}
