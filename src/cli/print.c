#include "cli/print.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "json/json.h"
#include "json/yaml.h"

bool print_object(const json_t *obj, enum print_format format, bool first)
{
	CLEANUP(free_p) char *text = NULL;
	if (obj != NULL)
		text = format == PRINT_JSON ? json_to_text_indent(obj, 4) : yaml_to_text(obj);
	if (text == NULL)
		return false;
	const size_t n = strlen(text);
	return printf("%s%s%s", format == PRINT_YAML && !first ? "---\n" : "", text,
		      n > 0 && text[n - 1] == '\n' ? "" : "\n") >= 0;
}

int print_format_find(const char *name, int n)
{
	static const char *const names[] = {
		[PRINT_YAML] = "yaml", [PRINT_JSON] = "json", [PRINT_MARKDOWN] = "markdown"};
	for (int i = 0; i < n && i < (int)ARRAY_LEN(names); i++)
		if (strcmp(names[i], name) == 0)
			return i;
	return -1;
}
